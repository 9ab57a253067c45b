//! What is kept for ever: everything that committed ops have changed, in a database, written
//! behind the journal.

mod codec;
mod garbage;
mod history;
mod inserting;
mod lists;
mod loading;
mod memory;
mod migrating;
mod niceness;
mod pending;
mod problem;
mod run;
mod schema;
mod snapshot;
mod sqlite;
mod worker;
mod writing;

pub use memory::MemoryStore;
pub use snapshot::{
    CheckedSnapshot, MadeSnapshot, MakeSnapshotError, MemorySnapshots, SnapshotCheck,
    SnapshotMaker, SnapshotReader, SnapshotWriter, TakeSnapshotError, remove_snapshot,
};
pub use sqlite::SqliteStore;
pub use worker::{QueueFull, SnapshotRunning, StoreAnswer, StoreWorker};

use crate::chat::change::{Change, Image};
use crate::types::{AccountId, ConversationId, OpNumber, Timestamp};

/// Where committed changes are kept. Calls come from one thread, in the order of the ops.
///
/// `apply` adds to an open transaction, which queries see; `commit` ends it. After a crash of the
/// process the store is as of some commit, at least the newest before the newest `checkpoint`,
/// and after a crash of the machine likewise: never a part of a transaction.
pub trait Store: Send {
    /// Everything that memory has to hold, as of the last op that is in the store.
    fn load(&mut self) -> Result<Image, StoreError>;

    /// Adds the changes of committed ops.
    fn apply(&mut self, batch: Batch) -> Result<(), StoreError>;

    /// Ends the open transaction, if there is one.
    fn commit(&mut self) -> Result<(), StoreError>;

    /// Commits and syncs everything to disk. Answers the last op that is now safe there: the
    /// journal up to it is no longer needed to start again.
    fn checkpoint(&mut self) -> Result<OpNumber, StoreError>;

    /// How many bytes a checkpoint would have to move, at most: it is time for one when there are
    /// many.
    fn unsynced_bytes(&self) -> Result<u64, StoreError>;

    /// Looks something up, in the state after the last `apply`. An error that
    /// [is damage](StoreError::is_damage) concerns what was asked for, and other queries may be answered.
    fn query(&mut self, query: &Query) -> Result<Found, StoreError>;

    /// What makes a snapshot of what is committed when it begins to, or of a later commit, on
    /// another thread while this goes on. It has to end before this is dropped. A store without a
    /// file has none.
    fn snapshot_maker(&self) -> Option<SnapshotMaker>;
}

/// The changes of some consecutive ops.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    /// The last of the ops. The store has taken in all ops up to it when it has this batch.
    pub applied: OpNumber,
    /// The time of the last message.
    pub clock: Timestamp,
    /// What they changed.
    pub changes: Vec<Change>,
}

/// What can be looked up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Query {
    /// An account's password hash; of an account that is gone, none.
    PasswordHash {
        /// The account.
        account: AccountId,
    },
    /// How many messages a page would hold if it had no limits.
    Count(Range),
    /// Where the newest `limit` messages of the range begin.
    Newest {
        /// Out of these.
        range: Range,
        /// How many.
        limit: u32,
    },
    /// The first messages of a range, oldest first.
    Page {
        /// Out of these.
        range: Range,
        /// At most so many, and at most [`crate::limits::PAGE_TEXT_BYTES_MAX`] bytes of text, but
        /// at least one if there is one.
        limit: u32,
    },
}

/// Some messages of an account, by id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Range {
    /// Whose. Nothing that this account is not a member of is ever found.
    pub account: AccountId,
    /// Which of them.
    pub scope: Scope,
    /// Only ids above this one.
    pub after: OpNumber,
    /// Only ids below this one.
    pub before: OpNumber,
}

/// Which of an account's messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// All that it sent or received.
    All,
    /// Those of one conversation.
    Conversation(ConversationId),
    /// Those that it received (from itself, too) and has not read.
    Unread {
        /// Conversations that are read up to an id of their own; in the others, all that is in
        /// the range is unread.
        read_up_to: Vec<(ConversationId, OpNumber)>,
    },
}

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// A PHC string.
    PasswordHash(Option<String>),
    /// A number of messages.
    Count(u64),
    /// The first of the newest messages and how many they are; `None` if there are none.
    Newest(Option<(OpNumber, u64)>),
    /// Messages in the order of their ids.
    Page {
        /// They.
        messages: Vec<StoredMessage>,
        /// There are more in the range.
        more: bool,
    },
}

/// A message as the store gives it out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredMessage {
    /// Its id.
    pub id: OpNumber,
    /// When it was sent.
    pub time: Timestamp,
    /// Where it lives.
    pub conversation: ConversationId,
    /// Who sent it.
    pub sender: AccountId,
    /// The sender's name, with `(deleted)` behind it if the account is gone.
    pub from: String,
    /// The recipient's name, likewise.
    pub to: String,
    /// What it says.
    pub text: String,
}

/// The store cannot go on, or cannot answer a query because of damage. What is in the journal is not lost.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database failed, or is damaged.
    #[error("the store {path} failed: {source}")]
    Database {
        /// The database's file.
        path: String,
        /// What SQLite says.
        source: rusqlite::Error,
    },
    /// A file of it, or its folder, cannot be used.
    #[error("{path} cannot be used: {source}")]
    File {
        /// The file or folder.
        path: String,
        /// What the operating system says.
        source: std::io::Error,
    },
    /// A store in a format that this version does not know.
    #[error("{0}")]
    Foreign(String),
    /// Where a store should be is something else.
    #[error(
        "{0} is not a store of lastword: move it away, or choose another data folder with --data"
    )]
    NotAStore(String),
    /// What it holds contradicts itself.
    #[error("the store is damaged: {0}")]
    Damaged(String),
    /// A message in it cannot be read, or is not what it was.
    #[error("the store is damaged: {path}: message {id} is not what it was")]
    DamagedMessage {
        /// The database's file.
        path: String,
        /// The message.
        id: OpNumber,
    },
}

impl StoreError {
    /// The disk has changed what was written: another server can help, and waiting cannot.
    pub fn is_damage(&self) -> bool {
        match self {
            Self::Database { source, .. } => matches!(
                source.sqlite_error_code(),
                Some(rusqlite::ErrorCode::DatabaseCorrupt | rusqlite::ErrorCode::NotADatabase)
            ),
            Self::Damaged(_) | Self::DamagedMessage { .. } => true,
            Self::File { .. } | Self::Foreign(_) | Self::NotAStore(_) => false,
        }
    }
}
