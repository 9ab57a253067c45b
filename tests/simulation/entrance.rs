//! How does somebody become known to a simulated server, and what becomes of what was asked?
//!
//! As in the real one: what was true at one step is looked at again at the next. A password is right
//! if there is such an account: computing hashes is no part of this.

use blake2::{Blake2s256, Digest};
use lastword::chat::Effects;
use lastword::replica::Ticket;
use lastword::store::{Found, Query, Range, Scope};
use lastword::types::{
    ChatOp, ErrorCode, Name, Outcome, PasswordVersion, Secret, SecretHash, SessionId,
    SessionRequest, Time,
};
use lastword::wire::message::{Answer, Deliver, Refusal};

use super::feeds::{self, Feed, Stream};
use super::process::Process;
use super::service::{Login, Step};
use super::world::World;

/// Of everybody's password.
const PASSWORD_HASH: &str = "$argon2id$v=19$m=8,t=1,p=1$c2FsdHNhbHQ$aGFzaGhhc2g";

/// What is to be done once the state may be read.
pub enum Reading {
    Create(Name, Option<SessionRequest>),
    Check(Option<Name>, Option<SessionId>, Deliver),
    Resume(SessionId, Secret, Deliver),
    Messages(Stream),
}

/// A login whose password or secret was right.
#[derive(Clone, Copy)]
pub struct LoggingIn {
    login: Login,
    secret: Option<Secret>,
    deliver: Deliver,
}

fn hash_of(secret: &Secret) -> SecretHash {
    SecretHash(Blake2s256::digest(secret.0).into())
}

impl World {
    /// The state may be read: goes on with the task that has asked for it.
    pub fn readable(&mut self, host: usize, process: &mut Process, ticket: Ticket, now: Time) {
        let Some(line) = process.service.asker(ticket) else {
            return;
        };
        let caller = process.service.callers.entry(line).or_default();
        let Some(task) = &mut caller.task else { return };
        let number = task.number;
        let step = std::mem::replace(&mut task.step, Step::CloseSession);
        let Step::Read(reading) = step else {
            unreachable!("only a read becomes readable");
        };
        if let Some(line) = self.lines.get(&line) {
            let client = line.client;
            if let Some(newest) = self.clients[client].newest_at(number) {
                let applied = process.applied.op.0;
                self.checker.read(host, client, newest, applied);
            }
        }
        match reading {
            Reading::Create(name, retry) => self.create(host, process, line, name, retry, now),
            Reading::Check(name, session, deliver) => {
                self.check(host, process, line, name, session, deliver, now);
            }
            Reading::Resume(session, secret, deliver) => {
                self.resume_session(host, process, line, session, &secret, deliver);
            }
            Reading::Messages(stream) => self.begin_stream(host, process, line, stream),
        }
    }

    fn create(
        &mut self,
        host: usize,
        process: &mut Process,
        line: u64,
        name: Name,
        retry: Option<SessionRequest>,
        now: Time,
    ) {
        let remembered = retry.and_then(|it| process.state.recall_creation(it.session, it.number));
        if let Some(outcome) = remembered {
            return created(process, line, name, outcome);
        }
        if process.state.account_named(name).is_some() {
            let refusal = ErrorCode::NameTaken.into();
            return process.service.refuse_task(line, &refusal);
        }
        set_step(process, line, Step::Create(name));
        let op = ChatOp::CreateAccount {
            name,
            password_hash: PASSWORD_HASH,
            retry,
        };
        self.submit(host, process, line, op, now);
    }

    #[expect(clippy::too_many_arguments, reason = "a login has many parts")]
    fn check(
        &mut self,
        host: usize,
        process: &mut Process,
        line: u64,
        name: Option<Name>,
        session: Option<SessionId>,
        deliver: Deliver,
        now: Time,
    ) {
        let account = name.and_then(|name| process.state.account_named(name));
        let Some((name, account)) = name.zip(account) else {
            let refusal = ErrorCode::BadLogin.into();
            return process.service.refuse_task(line, &refusal);
        };
        let login = Login {
            account,
            name,
            session,
        };
        let Some(session) = session else {
            panic!("simulated clients have sessions");
        };
        let mut secret = [0; 32];
        for bytes in secret.chunks_exact_mut(8) {
            bytes.copy_from_slice(&self.random.next().to_be_bytes());
        }
        let secret = Secret(secret);
        let logging_in = LoggingIn {
            login,
            secret: Some(secret),
            deliver,
        };
        set_step(process, line, Step::OpenSession(logging_in));
        let op = ChatOp::OpenSession {
            account,
            password_version: PasswordVersion(0),
            session,
            secret_hash: hash_of(&secret),
        };
        self.submit(host, process, line, op, now);
    }

    fn resume_session(
        &mut self,
        host: usize,
        process: &mut Process,
        line: u64,
        session: SessionId,
        secret: &Secret,
        deliver: Deliver,
    ) {
        let Some(view) = process.state.session(session) else {
            let refusal = ErrorCode::SessionGone.into();
            return process.service.refuse_task(line, &refusal);
        };
        let account = process.state.account(view.account);
        let Some(account) = account.filter(|_| view.secret_hash == hash_of(secret)) else {
            let sentence = "this is not the session's newest secret; log in with the password";
            let refusal = Refusal::new(ErrorCode::BadLogin, sentence);
            return process.service.refuse_task(line, &refusal);
        };
        let login = Login {
            account: view.account,
            name: account.name,
            session: Some(session),
        };
        let logging_in = LoggingIn {
            login,
            secret: None,
            deliver,
        };
        self.enter(host, process, line, logging_in);
    }

    /// From now on nothing is missed by who was found to be who he says.
    fn enter(&mut self, host: usize, process: &mut Process, line: u64, logging_in: LoggingIn) {
        let LoggingIn {
            login,
            secret,
            deliver,
        } = logging_in;
        let cursors = process.state.cursors(login.account);
        let feed = Feed::begin(deliver, cursors, process.applied.op);
        let range = Range {
            account: login.account,
            scope: Scope::Unread {
                read_up_to: cursors.1.to_vec(),
            },
            after: cursors.0,
            before: process.applied.op.next(),
        };
        let found = self.look_up(host, process, &Query::Count(range));
        let Some(Found::Count(unread)) = found else {
            unreachable!("the store answers what it was asked");
        };
        let caller = process.service.callers.entry(line).or_default();
        caller.login = Some(login);
        caller.session_ended = false;
        caller.feed = feed;
        let answer = Answer::LoggedIn {
            name: login.name,
            unread,
            secret,
        };
        process.service.finish_task(line, &answer);
    }

    /// An op was applied: who asked for it is answered, and what it sent is delivered.
    pub fn op_applied(
        &mut self,
        host: usize,
        process: &mut Process,
        asker: Option<u64>,
        outcome: Outcome,
        effects: &Effects<'_>,
    ) {
        if let Some(line) = asker {
            self.answer_asker(host, process, line, outcome);
        }
        if let Some(sent) = &effects.message {
            feeds::deliver(process, sent, asker);
        }
        if let Some(session) = &effects.ended_session {
            process.service.session_ended(*session, asker);
        }
    }

    fn answer_asker(&mut self, host: usize, process: &mut Process, line: u64, outcome: Outcome) {
        let caller = process.service.callers.entry(line).or_default();
        if let Some(task) = &mut caller.task {
            let step = std::mem::replace(&mut task.step, Step::CloseSession);
            return self.task_committed(host, process, line, step, outcome);
        }
        let service = &mut process.service;
        match outcome {
            Outcome::Sent(id) => service.finish_oldest(line, &Answer::Sent { id }),
            Outcome::Acknowledged(up_to) => {
                service.finish_oldest(line, &Answer::Acknowledged { up_to });
            }
            other => service.finish_oldest(line, &Answer::Refused(&refusal_of(other))),
        }
    }

    fn task_committed(
        &mut self,
        host: usize,
        process: &mut Process,
        line: u64,
        step: Step,
        outcome: Outcome,
    ) {
        match (step, outcome) {
            (Step::Create(name), outcome) => created(process, line, name, outcome),
            (Step::OpenSession(logging_in), Outcome::SessionOpened) => {
                self.enter(host, process, line, logging_in);
            }
            (Step::CloseSession, Outcome::SessionClosed) => {
                process.service.leave(line);
                process.service.finish_task(line, &Answer::LoggedOut);
            }
            (_, other) => process.service.refuse_task(line, &refusal_of(other)),
        }
    }
}

fn created(process: &mut Process, line: u64, name: Name, outcome: Outcome) {
    match outcome {
        Outcome::Created(_) => process.service.finish_task(line, &Answer::Created { name }),
        other => process.service.refuse_task(line, &refusal_of(other)),
    }
}

fn set_step(process: &mut Process, line: u64, step: Step) {
    let caller = process.service.callers.get_mut(&line);
    if let Some(task) = caller.and_then(|it| it.task.as_mut()) {
        task.step = step;
    }
}

fn refusal_of(outcome: Outcome) -> Refusal {
    match outcome {
        Outcome::Refused(code) => code.into(),
        other => panic!("nobody hopes for {other:?} here"),
    }
}

/// How an op ends that others have asked for: from elsewhere, in somebody's session.
pub fn end_of_session(account: lastword::types::AccountId, session: SessionId) -> ChatOp<'static> {
    let number = lastword::types::RequestNumber(1 << 40);
    let request = SessionRequest {
        session,
        number,
        lowest_open: number,
    };
    ChatOp::CloseSession {
        origin: lastword::types::Origin {
            account,
            request: Some(request),
        },
    }
}
