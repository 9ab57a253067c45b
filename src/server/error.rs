//! Why does a server not start, or end before it was told to? Each sentence says what to do.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use crate::chat::InvalidImage;
use crate::journal::JournalError;
use crate::journal::storage::{ClaimError, ExamineError};
use crate::journal::superblock::SuperblockError;
use crate::net::descriptors::TooFew;
use crate::net::secure::InvalidKey;
use crate::replica::InvalidLog;
use crate::store::StoreError;
use crate::types::OpNumber;

/// Why a server ended that was not told to.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// It could not start. Nothing was changed.
    #[error(transparent)]
    Start(#[from] StartError),
    /// It could not go on. What was acknowledged is on disk.
    #[error(transparent)]
    Fatal(#[from] Fatal),
}

/// What no server can go on with. None of it is tried again: after a failed sync nobody knows
/// what is on the disk.
#[derive(Debug, thiserror::Error)]
pub enum Fatal {
    /// The journal failed.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The poll failed.
    #[error("the event loop failed: {0}")]
    Loop(std::io::Error),
    /// An op that was committed cannot be read.
    #[error(
        "op {0} was committed and cannot be read: this is a mistake of the program; please report it"
    )]
    UnreadableOp(OpNumber),
    /// The data directory cannot be written any more.
    #[error(transparent)]
    Superblock(#[from] SuperblockError),
    /// A cluster was founded where there is one already.
    #[error(
        "a server of another cluster at {0} looks for its primary here: the cluster that this server \
         has just founded would take its place, so it was taken back, with nothing in it; start this \
         server with 0, and see the other one's STATUS for what it waits for"
    )]
    FoundedBeside(std::net::SocketAddr),
    /// A snapshot contradicts itself.
    #[error("the snapshot of another server is damaged: {0}")]
    Image(#[from] InvalidImage),
}

/// Why a server cannot start. Each sentence says what to do.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The data directory cannot be looked at.
    #[error(transparent)]
    Examine(#[from] ExamineError),
    /// The slot cannot be had.
    #[error(transparent)]
    Claim(#[from] ClaimError),
    /// An address is taken.
    #[error("{address} is in use by another program; stop that one, or choose another {what}")]
    AddressInUse {
        /// Which address.
        address: SocketAddr,
        /// What to choose.
        what: &'static str,
    },
    /// No port is left for the member address.
    #[error(
        "no port above that of {0} is free for this server's own address; choose one with --member IP:PORT"
    )]
    NoMemberPort(SocketAddr),
    /// An address cannot be listened on.
    #[error(
        "cannot listen on {address}: {source}; choose an address and a port that this machine and this user may use"
    )]
    Address {
        /// Which address.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// The process may not open enough files and connections.
    #[error(transparent)]
    Descriptors(#[from] TooFew),
    /// The superblock.
    #[error(transparent)]
    Superblock(#[from] SuperblockError),
    /// The journal.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The journal and the store do not belong together.
    #[error(
        "{reason}; put both back from the same backup, or, if other servers of the cluster are \
         alive, move this server's folder away and start it with 0: nothing was changed"
    )]
    Mismatch {
        /// In which way.
        reason: String,
    },
    /// An earlier process has found damage in the store.
    #[error("the store {path} was found to be damaged by an earlier process")]
    MarkedStore {
        /// Its file.
        path: String,
    },
    /// The store's state contradicts itself.
    #[error("the store is damaged: {0}; put the folder back from a backup: nothing was changed")]
    Image(#[from] InvalidImage),
    /// The log cannot be gone on with.
    #[error("{0}; nothing was changed")]
    Log(#[from] InvalidLog),
    /// The file with the cluster key cannot be read.
    #[error("the cluster key {} cannot be read: {source}", .path.display())]
    KeyUnreadable {
        /// Which file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// It is no key.
    #[error("{}: {reason}", .path.display())]
    Key {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        reason: InvalidKey,
    },
    /// Nobody can be asked.
    #[error("{cost}; say --yes as well if that is meant")]
    ForceUnconfirmed {
        /// What is lost, as far as this server can know.
        cost: String,
    },
    /// Somebody was asked.
    #[error("it was not forced; without --force-primary this server waits for the others")]
    ForceDeclined,
    /// The operating system gives no descriptors, threads or random bits.
    #[error("the system refuses what a server needs: {0}")]
    System(#[from] io::Error),
}
