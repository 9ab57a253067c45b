//! What can go wrong with a journal, in sentences that say what to do.

use std::io;
use std::path::PathBuf;

use crate::types::OpNumber;

/// The journal cannot be made, opened, written or read.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The disk failed, or is full.
    #[error("cannot {action} {file}: {source}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// With which file.
        file: String,
        /// What the system says.
        source: io::Error,
    },
    /// What was once safe on the disk is not there any more.
    #[error(
        "the journal is damaged: {file}, byte {offset}: {reason}. Nothing was changed. Put this \
         server's folder back from a backup; or, if other servers of the cluster are alive, move \
         it away, and this server gets everything from them"
    )]
    Damaged {
        /// In which file.
        file: String,
        /// Where the first bad record (or 0: the header) begins.
        offset: u64,
        /// What is wrong with it.
        reason: String,
    },
    /// A later version of this program made it.
    #[error("{file} was made by a newer version of Lastword (format {version}): use that version")]
    NewerVersion {
        /// Which file.
        file: String,
        /// The version of its format.
        version: u32,
    },
    /// There is no journal to open.
    #[error(
        "there is no journal in {}, though there should be: put this server's folder \
         back from a backup; or, if other servers of the cluster are alive, move it away, and \
         this server gets everything from them",
        .directory.display()
    )]
    Missing {
        /// Where it should be.
        directory: PathBuf,
    },
    /// There are ops already where a new journal should be made.
    #[error(
        "there is a journal in {} already: it is not overwritten; move it away",
        .directory.display()
    )]
    Exists {
        /// Where it is.
        directory: PathBuf,
    },
    /// The ops that were asked for were released.
    #[error("the journal begins with op {first}: earlier ones were released")]
    Released {
        /// The oldest op that is there.
        first: OpNumber,
    },
    /// The log was to end before its oldest op.
    #[error("the journal begins with op {first}: it cannot be cut off after op {after}")]
    BeforeFirst {
        /// The oldest op that is there.
        first: OpNumber,
        /// The op that was to be the last.
        after: OpNumber,
    },
    /// A file of ops that were cut off is not as it was written.
    #[error("{file} does not hold what was cut off as it was: {reason}")]
    BadCut {
        /// Which file.
        file: String,
        /// What is wrong with it.
        reason: String,
    },
    /// An earlier write or sync failed.
    #[error("the journal takes nothing any more, because an earlier write failed")]
    Poisoned,
}

impl JournalError {
    pub(super) fn io(action: &'static str, file: String, source: io::Error) -> Self {
        Self::Io {
            action,
            file,
            source,
        }
    }

    pub(super) fn damaged(file: String, offset: u64, reason: &str) -> Self {
        Self::Damaged {
            file,
            offset,
            reason: reason.to_owned(),
        }
    }
}
