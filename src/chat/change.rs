//! What an applied op changes, for those who keep it: the store writes it down, and hands it back
//! as an [`Image`] at the next start.

use crate::types::{
    AccountId, Cluster, ConversationId, Name, OpNumber, Outcome, PasswordVersion, RequestNumber,
    SecretHash, SessionId, Timestamp,
};

/// One thing that became different. Changes are handed over in the order of their ops.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// The cluster is now this.
    Cluster(Cluster),
    /// There is a new account.
    AccountCreated {
        /// Its id.
        id: AccountId,
        /// Its name; no other living account has it.
        name: Name,
        /// Its password's PHC string.
        password_hash: String,
    },
    /// An account is gone: its name is free, its cursors and sessions are gone, and messages that
    /// nobody is left to read may go. Its name stays known, to be shown beside what it sent.
    AccountDeleted {
        /// Its id.
        id: AccountId,
    },
    /// A conversation began with its first message.
    ConversationBegun {
        /// Its id.
        id: ConversationId,
        /// Between whom, the lower id first; twice the same when somebody writes to himself.
        members: [AccountId; 2],
    },
    /// A message was sent.
    MessageSent(Message),
    /// An account has read everything up to an id, in all its conversations.
    AllRead {
        /// The reader.
        account: AccountId,
        /// The last message that is read. Cursors of single conversations at or below it are
        /// dropped.
        up_to: OpNumber,
    },
    /// An account has read everything up to an id in one conversation.
    ConversationRead {
        /// The reader.
        account: AccountId,
        /// The conversation.
        conversation: ConversationId,
        /// The last message that is read.
        up_to: OpNumber,
    },
    /// A session is new or has changed; this is all of it.
    Session(SessionImage),
    /// A session is gone.
    SessionEnded {
        /// Its id.
        session: SessionId,
    },
    /// An account creation was answered.
    CreationRemembered(Creation),
    /// The oldest remembered account creation is forgotten.
    CreationForgotten {
        /// The op that it was remembered with.
        op: OpNumber,
    },
}

/// A message, as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Its id.
    pub id: OpNumber,
    /// When it was sent.
    pub time: Timestamp,
    /// Where it lives.
    pub conversation: ConversationId,
    /// Who sent it.
    pub sender: AccountId,
    /// Who is to read it.
    pub recipient: AccountId,
    /// What it says.
    pub text: String,
}

/// The replicated state without history and password hashes: what the memory of a server holds.
#[derive(Clone, Debug, PartialEq)]
pub struct Image {
    /// The last op that is in it; 0 for an empty one.
    pub applied: OpNumber,
    /// The time of the last message.
    pub clock: Timestamp,
    /// The cluster; `None` before its founding.
    pub cluster: Option<Cluster>,
    /// All living accounts, in the order of their ids.
    pub accounts: Vec<AccountImage>,
    /// All conversations that have a living member, with their members, in the order of their ids.
    pub conversations: Vec<(ConversationId, [AccountId; 2])>,
    /// All sessions, in the order of their ids.
    pub sessions: Vec<SessionImage>,
    /// The account creations that are remembered, oldest first.
    pub creations: Vec<Creation>,
}

impl Image {
    /// Nothing, before the first op.
    pub fn empty() -> Self {
        Self {
            applied: OpNumber::ZERO,
            clock: Timestamp(0),
            cluster: None,
            accounts: Vec::new(),
            conversations: Vec::new(),
            sessions: Vec::new(),
            creations: Vec::new(),
        }
    }
}

/// A living account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountImage {
    /// Its id.
    pub id: AccountId,
    /// Its name.
    pub name: Name,
    /// How often its password was changed.
    pub password_version: PasswordVersion,
    /// Everything up to here is read, in every conversation.
    pub all_read_up_to: OpNumber,
    /// Further cursors, of conversations that are read beyond that, in the order of their ids.
    pub read_up_to: Vec<(ConversationId, OpNumber)>,
}

/// A session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionImage {
    /// Its id.
    pub id: SessionId,
    /// Whose it is.
    pub account: AccountId,
    /// What resuming it is checked against.
    pub secret_hash: SecretHash,
    /// The last op that used it.
    pub last_used: OpNumber,
    /// Requests below this number are stale.
    pub lowest_open: RequestNumber,
    /// What its requests got that are not below, in the order of their numbers.
    pub answers: Vec<(RequestNumber, Outcome)>,
}

/// An account creation that a client may ask for again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Creation {
    /// The op that answered it.
    pub op: OpNumber,
    /// The session it came with. (It is not open: one logs in afterwards.)
    pub session: SessionId,
    /// Its number.
    pub number: RequestNumber,
    /// What it got.
    pub outcome: Outcome,
}
