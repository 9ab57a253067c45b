//! What does the chat look like after the ops that were committed so far, and what does the next
//! one do to it?
//!
//! [`State`] is the same on every server that has applied the same ops: it reads no clock, draws
//! no random number, and nothing depends on the order in which a map is walked. Everything that
//! an op says was looked up by somebody else, possibly long ago and on another server, so it is
//! looked up again here: an account may be gone, a name taken, a password changed, a session let
//! go, and the request may have come before. Hence any op, also a senseless one, has an outcome.
//!
//! ```text
//! committed op ─► apply ─► Outcome             to who asked, and into the session's memory
//!                       └► Effects.message     to the connections of both accounts
//!                       └► Effects.changes     to the store, with flush_sessions once a turn
//! ```
//!
//! Histories and password hashes are not here: they go through to the store. What is here is
//! what a message needs on its way.
//!
//! | file | what happens there |
//! | --- | --- |
//! | `mod.rs` | the rules of each op |
//! | `queries.rs` | what can be asked |
//! | `accounts.rs` | living accounts, their names and read cursors |
//! | `conversations.rs` | who writes to whom |
//! | `sessions.rs` | sessions, what their requests got, and which are let go |
//! | `creations.rs` | answers to account creations, which have no session yet |
//! | `effects.rs`, `change.rs` | what comes out |
//! | `image.rs` | the state as a whole, out and in |

mod accounts;
pub mod change;
mod conversations;
mod creations;
mod effects;
mod image;
mod queries;
mod sessions;
#[cfg(test)]
mod tests;

pub use effects::{Effects, Sent};
pub use image::InvalidImage;
pub use queries::{AccountView, SessionView};

use accounts::Accounts;
use change::{Change, Creation, Message};
use conversations::Conversations;
use creations::Creations;
use sessions::{Admission, Sessions};

use crate::types::{
    AccountId, ChatOp, ConversationId, ErrorCode, Name, OpNumber, Origin, Outcome, PasswordVersion,
    SecretHash, SessionId, SessionRequest, Text, Timestamp,
};

/// The chat's replicated state.
#[derive(Debug, Default)]
pub struct State {
    /// The last op that was applied here, or was in the image. Only rises.
    applied: OpNumber,
    /// The time of the last message. Never falls.
    clock: Timestamp,
    accounts: Accounts,
    /// Each has a living member.
    conversations: Conversations,
    /// Each belongs to a living account.
    sessions: Sessions,
    creations: Creations,
}

impl State {
    /// The state before the first op.
    pub fn new() -> Self {
        Self::default()
    }

    /// Applies a committed op, and adds what it asks for to `effects`. A repeated request gets its
    /// first outcome, and has no effects.
    ///
    /// # Panics
    ///
    /// If `op` is not above all that were applied before. The bytes of `operation` never panic.
    pub fn apply<'a>(
        &mut self,
        op: OpNumber,
        time: Timestamp,
        operation: &ChatOp<'a>,
        effects: &mut Effects<'a>,
    ) -> Outcome {
        assert!(op > self.applied, "op {op} after op {}", self.applied);
        self.applied = op;
        match operation {
            ChatOp::CreateAccount {
                name,
                password_hash,
                retry,
            } => self.create_account(*name, password_hash, retry.as_ref(), effects),
            ChatOp::OpenSession {
                account,
                password_version,
                session,
                secret_hash,
            } => self.open_session(*account, *password_version, *session, *secret_hash, effects),
            ChatOp::CloseSession { origin } => {
                self.request(origin, |state| state.close_session(origin, effects))
            }
            ChatOp::DeleteAccount {
                origin,
                password_version,
            } => self.request(origin, |state| {
                state.delete_account(origin.account, *password_version, effects)
            }),
            ChatOp::Send { origin, to, text } => self.request(origin, |state| {
                state.send(origin.account, *to, *text, time, effects)
            }),
            ChatOp::Acknowledge {
                origin,
                conversation,
                up_to,
            } => self.request(origin, |state| {
                state.acknowledge(origin.account, *conversation, *up_to, effects)
            }),
        }
    }

    /// Adds one [`Change::Session`] for each session that has changed since the last call, in the
    /// order in which they changed. Sessions change with every request, and the store wants each
    /// once a turn. Those that have ended meanwhile are not among them.
    pub fn flush_sessions(&mut self, changes: &mut Vec<Change>) {
        self.sessions.flush(changes);
    }

    /// Runs a request once. In a session, as [`Sessions::admit`] decides, and what it got is
    /// remembered, a refusal too; without one, whenever the asker lives.
    fn request(&mut self, origin: &Origin, run: impl FnOnce(&mut Self) -> Outcome) -> Outcome {
        let Some(request) = &origin.request else {
            if !self.accounts.lives(origin.account) {
                return Outcome::Refused(ErrorCode::NotLoggedIn);
            }
            return run(self);
        };
        match self.sessions.admit(origin.account, request, self.applied) {
            Admission::New => {
                let outcome = run(self);
                self.sessions.remember(request, outcome);
                outcome
            }
            Admission::Answered(outcome) => outcome,
            Admission::Refused(code) => Outcome::Refused(code),
        }
    }

    /// A retry gets what the first one got; all others are decided by the name, and remembered.
    fn create_account(
        &mut self,
        name: Name,
        password_hash: &str,
        retry: Option<&SessionRequest>,
        effects: &mut Effects<'_>,
    ) -> Outcome {
        let recalled = retry.and_then(|one| self.creations.recall(one.session, one.number));
        if let Some(outcome) = recalled {
            return outcome;
        }
        let outcome = if self.accounts.named(name).is_some() {
            Outcome::Refused(ErrorCode::NameTaken)
        } else {
            let id = AccountId(self.applied.0);
            self.accounts.create(id, name);
            effects.changes.push(Change::AccountCreated {
                id,
                name,
                password_hash: password_hash.to_owned(),
            });
            Outcome::Created(id)
        };
        if let Some(request) = retry {
            self.remember_creation(request, outcome, effects);
        }
        debug_assert!(self.accounts.sizes_agree());
        outcome
    }

    fn remember_creation(
        &mut self,
        request: &SessionRequest,
        outcome: Outcome,
        effects: &mut Effects<'_>,
    ) {
        let creation = Creation {
            op: self.applied,
            session: request.session,
            number: request.number,
            outcome,
        };
        if let Some(forgotten) = self.creations.remember(creation) {
            let op = forgotten.op;
            effects.changes.push(Change::CreationForgotten { op });
        }
        effects.changes.push(Change::CreationRemembered(creation));
    }

    /// The password was checked before the op stood in the log: whether it is still that account's
    /// is decided first, then whose the session is.
    fn open_session(
        &mut self,
        account: AccountId,
        password_version: PasswordVersion,
        session: SessionId,
        secret_hash: SecretHash,
        effects: &mut Effects<'_>,
    ) -> Outcome {
        if !self.password_is_current(account, password_version) {
            return Outcome::Refused(ErrorCode::BadLogin);
        }
        let op = self.applied;
        match self.sessions.open(session, account, secret_hash, op) {
            Err(sessions::NotYours) => Outcome::Refused(ErrorCode::BadArguments),
            Ok(evicted) => {
                if let Some(session) = evicted {
                    effects.changes.push(Change::SessionEnded { session });
                    effects.ended_session = Some(session);
                }
                Outcome::SessionOpened
            }
        }
    }

    fn password_is_current(&self, account: AccountId, version: PasswordVersion) -> bool {
        let account = self.accounts.account(account);
        account.is_some_and(|account| account.password_version == version)
    }

    /// The answer cannot be remembered: a retry gets `session_gone`, which says the same. A login
    /// without a session, as text mode's, has nothing here that could end.
    fn close_session(&mut self, origin: &Origin, effects: &mut Effects<'_>) -> Outcome {
        if let Some(request) = &origin.request {
            let session = request.session;
            self.sessions.close(session);
            effects.changes.push(Change::SessionEnded { session });
            effects.ended_session = Some(session);
        }
        Outcome::SessionClosed
    }

    /// As with a logout, a retry gets `session_gone`.
    fn delete_account(
        &mut self,
        account: AccountId,
        password_version: PasswordVersion,
        effects: &mut Effects<'_>,
    ) -> Outcome {
        if !self.password_is_current(account, password_version) {
            return Outcome::Refused(ErrorCode::BadLogin);
        }
        self.accounts.delete(account);
        self.sessions.account_deleted(account);
        self.conversations.account_deleted(account, &self.accounts);
        effects.changes.push(Change::AccountDeleted { id: account });
        effects.deleted = Some(account);
        debug_assert!(self.accounts.sizes_agree() && self.conversations.sizes_agree());
        Outcome::Deleted
    }

    /// A message's id is its op. Its time is the primary's clock when it proposed the op, unless
    /// the message before it is later: a new primary's clock may be behind.
    fn send<'a>(
        &mut self,
        sender: AccountId,
        to: Name,
        text: Text<'a>,
        time: Timestamp,
        effects: &mut Effects<'a>,
    ) -> Outcome {
        let Some(recipient) = self.accounts.named(to) else {
            return Outcome::Refused(ErrorCode::NoSuchAccount);
        };
        let sender_account = self.accounts.account(sender);
        let sender_name = sender_account.expect("only the living send").name;
        let conversation = self.conversation(sender, recipient, effects);
        let id = self.applied;
        self.clock = self.clock.max(time);
        effects.changes.push(Change::MessageSent(Message {
            id,
            time: self.clock,
            conversation,
            sender,
            recipient,
            text: text.as_str().to_owned(),
        }));
        effects.message = Some(Sent {
            id,
            time: self.clock,
            conversation,
            sender,
            recipient,
            sender_name,
            recipient_name: to,
            text: text.as_str(),
        });
        Outcome::Sent(id)
    }

    /// The conversation of two living accounts; it begins with this op if there is none.
    fn conversation(
        &mut self,
        one: AccountId,
        other: AccountId,
        effects: &mut Effects<'_>,
    ) -> ConversationId {
        if let Some(id) = self.conversations.between(one, other) {
            return id;
        }
        let id = ConversationId(self.applied.0);
        let members = self.conversations.begin(id, one, other);
        let begun = Change::ConversationBegun { id, members };
        effects.changes.push(begun);
        id
    }

    /// Nobody has read what is not there yet: the op before this one is as far as it goes. That
    /// covers every message there is, and none that comes later, and is known to every server
    /// without looking for the newest message.
    fn acknowledge(
        &mut self,
        account: AccountId,
        conversation: Option<ConversationId>,
        up_to: OpNumber,
        effects: &mut Effects<'_>,
    ) -> Outcome {
        let up_to = up_to.min(OpNumber(self.applied.0 - 1));
        let Some(conversation) = conversation else {
            let read = self.accounts.read_all(account, up_to);
            if read.moved {
                effects.changes.push(Change::AllRead { account, up_to });
            }
            return Outcome::Acknowledged(read.position);
        };
        let members = self.conversations.members(conversation);
        if !members.is_some_and(|members| members.contains(&account)) {
            return Outcome::Refused(ErrorCode::BadArguments);
        }
        let read = self.accounts.read_one(account, conversation, up_to);
        if read.moved {
            effects.changes.push(Change::ConversationRead {
                account,
                conversation,
                up_to,
            });
        }
        Outcome::Acknowledged(read.position)
    }
}
