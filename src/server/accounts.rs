//! How does somebody become known: accounts, logins and their end?
//!
//! A login goes through many hands: the replica says that the state may be read, the store gives
//! the password's hash, the worker checks it, and, if a session is wanted, the log opens it. What
//! was true at one step is looked at again at the next, and once more when the op is applied.

use std::time::Duration;

use blake2::{Blake2s256, Digest};
use subtle::ConstantTimeEq;

use super::Server;
use super::connection::{Check, Committing, LoggingIn, Login, NewAccount, Purpose, Reading, Step};
use super::feed::Feed;
use super::passwords::{Job, PasswordOutcome, QueueFull, Work};
use crate::net::ConnectionId;
use crate::store::{Query, Range, Scope};
use crate::types::{
    AccountId, ChatOp, ErrorCode, Name, Origin, Outcome, RequestNumber, Secret, SecretHash,
    SessionId,
};
use crate::wire::message::{Answer, Deliver, NoteKind, Refusal};

impl Server {
    /// Begins to check a password, unless it has to wait after too many wrong ones.
    pub(super) fn check_password(&mut self, id: ConnectionId, number: RequestNumber, check: Check) {
        match self.has_to_wait(id, check.name) {
            Some(refusal) => self.write_answer(id, number, &Answer::Refused(&refusal)),
            None => self.begin_read(id, number, Reading::Check(check)),
        }
    }

    /// What somebody gets who may not try a password now.
    fn has_to_wait(&self, id: ConnectionId, name: Option<Name>) -> Option<Refusal> {
        let of_account = name.map_or(Duration::ZERO, |name| {
            self.failures_by_account.wait(&name, self.now)
        });
        let peer = self.clients[&id].peer;
        let wait = of_account.max(self.failures_by_address.wait(&peer, self.now));
        if wait == Duration::ZERO {
            return None;
        }
        let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        Some(Refusal::new(
            ErrorCode::RateLimited,
            format!("too many wrong passwords; try again in {seconds} s"),
        ))
    }

    /// The state may be read now: goes on with the task that asked for it.
    pub(super) fn readable(&mut self, id: ConnectionId) {
        let Some(client) = self.clients.get_mut(&id) else {
            return;
        };
        let Some(Step::Read(reading)) = client.take_step() else {
            return;
        };
        match reading {
            Reading::Create(account, password) => self.create(id, account, password),
            Reading::Check(check) => self.find_hash(id, check),
            Reading::Resume(session, secret, deliver) => {
                self.resume_session(id, session, &secret, deliver);
            }
            Reading::Messages(stream) => self.begin_stream(id, stream),
            Reading::Accounts(listing) => self.next_accounts(id, listing),
        }
    }

    fn create(&mut self, id: ConnectionId, account: NewAccount, password: String) {
        let remembered = account
            .retry
            .and_then(|retry| self.state.recall_creation(retry.session, retry.number));
        if let Some(outcome) = remembered {
            return self.created(id, account.name, outcome);
        }
        // Not worth a hash. Whoever takes the name in the meantime is noticed by the log.
        if self.state.account_named(account.name).is_some() {
            return self.refuse_task(id, ErrorCode::NameTaken.into());
        }
        self.compute(id, Step::NewHash(account), Work::Hash { password });
    }

    fn created(&mut self, id: ConnectionId, name: Name, outcome: Outcome) {
        match outcome {
            Outcome::Created(_) => self.finish_task(id, &Answer::Created { name }),
            other => self.refuse_task(id, refusal_of(other)),
        }
    }

    fn find_hash(&mut self, id: ConnectionId, mut check: Check) {
        check.account = check.name.and_then(|name| {
            let account = self.state.account_named(name)?;
            Some((account, self.state.account(account)?.password_version))
        });
        // The store is asked for nobody's hash, too, so that nobody takes as long as somebody.
        let account = check.account.map_or(AccountId(0), |(account, _)| account);
        self.ask_for_task(id, Step::Hash(check), Query::PasswordHash { account });
    }

    /// The store has a password's hash.
    pub(super) fn hash_found(&mut self, id: ConnectionId, check: Check, hash: Option<String>) {
        let password = check.password.clone();
        let hash = hash.filter(|_| check.account.is_some());
        self.compute(id, Step::Verify(check), Work::Verify { password, hash });
    }

    /// Hands work to the password worker, or says that it has too much.
    fn compute(&mut self, id: ConnectionId, step: Step, work: Work) {
        let job = Job {
            connection: id,
            work,
        };
        match self.passwords.submit(job) {
            Ok(()) => self.set_step(id, step),
            Err(QueueFull) => self.refuse_task(id, ErrorCode::Busy.into()),
        }
    }

    /// The password worker has a result.
    pub(super) fn password_computed(&mut self, id: ConnectionId, outcome: PasswordOutcome) {
        let Some(client) = self.clients.get_mut(&id) else {
            return;
        };
        match (client.take_step(), outcome) {
            (Some(Step::NewHash(account)), PasswordOutcome::Hashed(Some(hash))) => {
                self.set_step(id, Step::Commit(Committing::Create(account.name)));
                let op = ChatOp::CreateAccount {
                    name: account.name,
                    password_hash: &hash,
                    retry: account.retry,
                };
                self.submit(id, op);
            }
            (Some(Step::NewHash(_)), _) => self.refuse_task(id, ErrorCode::Internal.into()),
            (Some(Step::Verify(check)), PasswordOutcome::Verified(right)) => {
                self.password_checked(id, check, right);
            }
            // The task ended while the worker was busy with it: nobody waits any more.
            (step, _) => client.step = step.map(Box::new),
        }
    }

    fn password_checked(&mut self, id: ConnectionId, check: Check, right: bool) {
        // Others may have failed meanwhile: whoever guesses on many connections at once is told no
        // more than who guesses on one after the other.
        if let Some(refusal) = self.has_to_wait(id, check.name) {
            return self.refuse_task(id, refusal);
        }
        let peer = self.clients[&id].peer;
        let (Some((account, version)), true) = (check.account, right) else {
            let now = self.now;
            if let Some(name) = check.name {
                self.failures_by_account.failed(name, now);
            }
            if !peer.is_loopback() {
                self.failures_by_address.failed(peer, now);
            }
            return self.refuse_task(id, ErrorCode::BadLogin.into());
        };
        if let Some(name) = &check.name {
            self.failures_by_account.succeeded(name);
        }
        self.failures_by_address.succeeded(&peer);
        // Nothing that was read before the check has to be true after it.
        let name = match self.state.account(account) {
            Some(view) if view.password_version == version => view.name,
            _ => return self.refuse_task(id, ErrorCode::BadLogin.into()),
        };
        match check.purpose {
            Purpose::Delete { request } => {
                self.set_step(id, Step::Commit(Committing::Delete(name)));
                let op = ChatOp::DeleteAccount {
                    origin: Origin { account, request },
                    password_version: version,
                };
                self.submit(id, op);
            }
            Purpose::LogIn { session, deliver } => {
                let login = Login {
                    account,
                    name,
                    session,
                };
                let Some(session) = session else {
                    return self.enter(id, login, None, deliver);
                };
                let secret = random_secret();
                let logging_in = LoggingIn {
                    login,
                    secret: Some(secret),
                    deliver,
                };
                self.set_step(id, Step::Commit(Committing::OpenSession(logging_in)));
                let op = ChatOp::OpenSession {
                    account,
                    password_version: version,
                    session,
                    secret_hash: hash_of(&secret),
                };
                self.submit(id, op);
            }
        }
    }

    fn resume_session(
        &mut self,
        id: ConnectionId,
        session: SessionId,
        secret: &Secret,
        deliver: Deliver,
    ) {
        let Some(view) = self.state.session(session) else {
            return self.refuse_task(id, ErrorCode::SessionGone.into());
        };
        let account = view.account;
        let right: bool = view.secret_hash.0.ct_eq(&hash_of(secret).0).into();
        match self.state.account(account).map(|a| a.name) {
            Some(name) if right => {
                let login = Login {
                    account,
                    name,
                    session: Some(session),
                };
                self.enter(id, login, None, deliver);
            }
            _ => {
                let sentence = "this is not the session's newest secret; log in with the password";
                self.refuse_task(id, Refusal::new(ErrorCode::BadLogin, sentence));
            }
        }
    }

    /// A task's op was applied.
    pub(super) fn task_committed(&mut self, id: ConnectionId, outcome: Outcome) {
        let Some(client) = self.clients.get_mut(&id) else {
            return;
        };
        let Some(Step::Commit(committing)) = client.take_step() else {
            return;
        };
        match (committing, outcome) {
            (Committing::Create(name), outcome) => self.created(id, name, outcome),
            (Committing::OpenSession(logging_in), Outcome::SessionOpened) => {
                let LoggingIn {
                    login,
                    secret,
                    deliver,
                } = logging_in;
                self.enter(id, login, secret, deliver);
            }
            (Committing::CloseSession, Outcome::SessionClosed) => {
                self.leave(id);
                self.finish_task(id, &Answer::LoggedOut);
            }
            (Committing::Delete(name), Outcome::Deleted) => {
                self.leave(id);
                self.finish_task(id, &Answer::Deleted { name });
            }
            (_, other) => self.refuse_task(id, refusal_of(other)),
        }
    }

    /// Who was found to be who he says is logged in: from now on nothing of his is missed. The
    /// answer waits for the number of his unread messages.
    fn enter(&mut self, id: ConnectionId, login: Login, secret: Option<Secret>, deliver: Deliver) {
        self.leave(id);
        let Some(client) = self.clients.get_mut(&id) else {
            return;
        };
        client.login = Some(login);
        client.session_ended = false;
        self.bound(id, super::BOUNDS);
        self.online.entry(login.account).or_default().push(id);
        self.start_feed(id, deliver);
        let (all_read, read_up_to) = self.state.cursors(login.account);
        let range = Range {
            account: login.account,
            scope: Scope::Unread {
                read_up_to: read_up_to.to_vec(),
            },
            after: all_read,
            before: self.applied.next(),
        };
        let logging_in = LoggingIn {
            login,
            secret,
            deliver,
        };
        self.ask_for_task(id, Step::CountUnread(logging_in), Query::Count(range));
    }

    /// The store has counted a login's unread messages.
    pub(super) fn unread_counted(&mut self, id: ConnectionId, logging_in: LoggingIn, unread: u64) {
        if self.clients.get(&id).is_none_or(|c| c.login.is_none()) {
            // Another connection has ended the session while the store was counting.
            return self.refuse_task(id, ErrorCode::SessionGone.into());
        }
        let answer = Answer::LoggedIn {
            name: logging_in.login.name,
            unread,
            secret: logging_in.secret,
        };
        let is_text = self.clients.get(&id).is_some_and(|c| !c.is_binary());
        if is_text && unread > 0 && logging_in.deliver == Deliver::Unread {
            let Some(number) = self.task_number(id) else {
                return;
            };
            self.write_answer(id, number, &answer);
            self.set_step(id, Step::SendUnread);
            self.pump(id);
        } else {
            self.finish_task(id, &answer);
        }
    }

    /// A logout: in text mode there is no session to end.
    pub(super) fn log_out(&mut self, id: ConnectionId, number: RequestNumber, origin: Origin) {
        if origin.request.is_some() {
            self.begin_task(id, number, Step::Commit(Committing::CloseSession));
            self.submit(id, ChatOp::CloseSession { origin });
        } else {
            self.leave(id);
            self.write_answer(id, number, &Answer::LoggedOut);
        }
    }

    /// Nobody is logged in on the connection any more.
    pub(super) fn leave(&mut self, id: ConnectionId) {
        let now = self.now;
        let Some(client) = self.clients.get_mut(&id) else {
            return;
        };
        let Some(login) = client.login.take() else {
            return;
        };
        client.feed = Feed::none();
        client.errors_in_row = 0;
        client.logged_out_since = now;
        self.go_offline(login.account, id);
        self.watch(id);
        // Its requests may have waited for the feed to come nearer, which it never will now.
        self.unblock(id);
    }

    /// One connection less of an account.
    pub(super) fn go_offline(&mut self, account: AccountId, id: ConnectionId) {
        for lists in [&mut self.online, &mut self.listening] {
            if let Some(connections) = lists.get_mut(&account) {
                connections.retain(|other| *other != id);
                if connections.is_empty() {
                    lists.remove(&account);
                }
            }
        }
    }

    /// An account was deleted: its other connections are told, and closed.
    pub(super) fn account_deleted(&mut self, account: AccountId, asker: Option<ConnectionId>) {
        for id in self.online.get(&account).cloned().unwrap_or_default() {
            if Some(id) != asker {
                self.abandon_task(id, ErrorCode::NotLoggedIn);
                let sentence = "your account was deleted from elsewhere; this connection ends";
                self.write_note(id, NoteKind::AccountDeleted, sentence);
                self.leave(id);
                self.close(id);
            }
        }
    }

    /// A session has ended: its other connections are told, and are logged out.
    pub(super) fn session_ended(
        &mut self,
        account: AccountId,
        session: SessionId,
        asker: Option<ConnectionId>,
    ) {
        for id in self.online.get(&account).cloned().unwrap_or_default() {
            let its_session = self.clients.get(&id).and_then(|c| c.login?.session);
            if Some(id) == asker || its_session != Some(session) {
                continue;
            }
            let sentence = "your session was ended from elsewhere; log in again";
            self.write_note(id, NoteKind::SessionEnded, sentence);
            self.leave(id);
            if let Some(client) = self.clients.get_mut(&id) {
                client.session_ended = true;
            }
        }
    }
}

/// What a client is told of an outcome that it did not hope for.
pub(super) fn refusal_of(outcome: Outcome) -> Refusal {
    match outcome {
        Outcome::Refused(code) => code.into(),
        _ => ErrorCode::Internal.into(),
    }
}

fn random_secret() -> Secret {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).expect("the operating system gives random bits");
    Secret(bytes)
}

fn hash_of(secret: &Secret) -> SecretHash {
    SecretHash(Blake2s256::digest(secret.0).into())
}
