//! Every rule by itself, and then all of them together under generated logs.

mod accounts;
mod fold;
mod images;
mod messages;
mod properties;
mod requests;
mod sessions;

use super::change::{Change, Image};
use super::{Effects, State};
use crate::types::{
    AccountId, ChatOp, ConversationId, ErrorCode, Name, OpNumber, Origin, Outcome, PasswordVersion,
    RequestNumber, SecretHash, SessionId, SessionRequest, Text, Timestamp,
};

const VERSION: PasswordVersion = PasswordVersion(0);

/// A state with everything around it. After each op it is looked at from all sides: it agrees
/// with itself, and a store that knows nothing but the changes knows all of it.
struct World {
    state: State,
    stored: Image,
    /// Of the last op alone, but for the sessions.
    effects: Effects<'static>,
    /// The clock of the primary. Stands still unless a test moves it.
    time: Timestamp,
}

impl World {
    fn new() -> Self {
        Self {
            state: State::new(),
            stored: Image::empty(),
            effects: Effects::default(),
            time: Timestamp(1000),
        }
    }

    fn apply(&mut self, operation: ChatOp<'static>) -> Outcome {
        let op = self.state.applied().next();
        self.effects.clear();
        let outcome = self
            .state
            .apply(op, self.time, &operation, &mut self.effects);
        self.state.check_invariants();
        let mut changes = self.effects.changes.clone();
        self.state.flush_sessions(&mut changes);
        fold::fold(&mut self.stored, op, &changes);
        assert_eq!(self.stored, self.state.image(), "after {operation:?}");
        outcome
    }

    /// The number of the last op.
    fn op(&self) -> OpNumber {
        self.state.applied()
    }

    fn create(&mut self, text: &str) -> AccountId {
        let outcome = self.apply(creation(text, None));
        assert_eq!(outcome, Outcome::Created(AccountId(self.op().0)));
        AccountId(self.op().0)
    }

    fn open(&mut self, account: AccountId, session: u128) {
        let outcome = self.apply(opening(account, VERSION, session, 1));
        assert_eq!(outcome, Outcome::SessionOpened);
    }

    /// Sends from a connection without a session.
    fn send(&mut self, from: AccountId, to: &str) -> Outcome {
        self.apply(sending(without_session(from), to, "hello"))
    }

    fn delete(&mut self, account: AccountId) {
        let outcome = self.apply(deletion(without_session(account), VERSION));
        assert_eq!(outcome, Outcome::Deleted);
    }
}

fn refused(code: ErrorCode) -> Outcome {
    Outcome::Refused(code)
}

fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

fn request(session: u128, number: u64, lowest_open: u64) -> SessionRequest {
    SessionRequest {
        session: SessionId(session),
        number: RequestNumber(number),
        lowest_open: RequestNumber(lowest_open),
    }
}

fn within(account: AccountId, session: u128, number: u64, lowest_open: u64) -> Origin {
    Origin {
        account,
        request: Some(request(session, number, lowest_open)),
    }
}

fn without_session(account: AccountId) -> Origin {
    Origin {
        account,
        request: None,
    }
}

fn creation(text: &str, retry: Option<SessionRequest>) -> ChatOp<'static> {
    ChatOp::CreateAccount {
        name: name(text),
        password_hash: "$argon2id$hash",
        retry,
    }
}

fn opening(
    account: AccountId,
    password_version: PasswordVersion,
    session: u128,
    secret: u8,
) -> ChatOp<'static> {
    ChatOp::OpenSession {
        account,
        password_version,
        session: SessionId(session),
        secret_hash: SecretHash([secret; 32]),
    }
}

fn closing(origin: Origin) -> ChatOp<'static> {
    ChatOp::CloseSession { origin }
}

fn deletion(origin: Origin, password_version: PasswordVersion) -> ChatOp<'static> {
    ChatOp::DeleteAccount {
        origin,
        password_version,
    }
}

fn sending(origin: Origin, to: &str, text: &'static str) -> ChatOp<'static> {
    ChatOp::Send {
        origin,
        to: name(to),
        text: Text::parse(text).unwrap(),
    }
}

fn acknowledging(
    origin: Origin,
    conversation: Option<ConversationId>,
    up_to: u64,
) -> ChatOp<'static> {
    ChatOp::Acknowledge {
        origin,
        conversation,
        up_to: OpNumber(up_to),
    }
}
