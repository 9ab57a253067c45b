//! Why a data directory cannot be used, in sentences that say what to do.

use std::io;
use std::path::PathBuf;

use super::SLOTS_MAX;

/// A data directory cannot be looked at.
#[derive(Debug, thiserror::Error)]
pub enum ExamineError {
    /// The path leads to a file, or through one.
    #[error("{} is not a directory: choose another folder for the data (--data)", .path.display())]
    NotADirectory {
        /// The path.
        path: PathBuf,
    },
    /// Something in it cannot be read.
    #[error(
        "cannot read {}: {source}; let this user read it, or choose another folder for the data \
         (--data)",
        .path.display()
    )]
    Unreadable {
        /// What.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

/// No slot could be claimed. Nothing was created.
#[derive(Debug, thiserror::Error)]
pub enum ClaimError {
    /// The directory cannot be looked at.
    #[error(transparent)]
    Examine(#[from] ExamineError),
    /// It holds something that is not Lastword's.
    #[error(
        "{} is not Lastword's: choose an empty folder, or a new one, for the data (--data)",
        .entry.display()
    )]
    Foreign {
        /// What.
        entry: PathBuf,
    },
    /// Another process works in the slot that was named.
    #[error(
        "slot {number} ({}) is in use by {}: stop that server, or start without --slot to take a \
         free one",
        .directory.display(), holder(*.process)
    )]
    InUse {
        /// The slot.
        number: u32,
        /// Its folder.
        directory: PathBuf,
        /// The process, if it can be told.
        process: Option<u32>,
    },
    /// Every slot that there can be is in use.
    #[error("all {SLOTS_MAX} slots of {} are in use: choose another folder for the data (--data)", .path.display())]
    AllInUse {
        /// The directory.
        path: PathBuf,
    },
    /// There is no slot of that number.
    #[error("there is no slot {number}: slots are numbered from 1 to {SLOTS_MAX}")]
    NoSuchSlot {
        /// What was asked for.
        number: u32,
    },
    /// Something cannot be created or written.
    #[error(
        "cannot write {}: {source}; let this user write there, or choose another folder for the \
         data (--data)",
        .path.display()
    )]
    NotWritable {
        /// What.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

fn holder(process: Option<u32>) -> String {
    match process {
        Some(process) => format!("process {process}"),
        None => "another process".to_owned(),
    }
}
