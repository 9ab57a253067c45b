//! How does a snapshot get made while the store's thread goes on with its tasks?

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use super::Shared;
use crate::store::{MadeSnapshot, MakeSnapshotError, SnapshotMaker};
use crate::types::OpNumber;

/// What comes of it.
pub(super) type Made = Result<MadeSnapshot, MakeSnapshotError>;

/// A snapshot in the making, on a thread of its own. Dropped, it is given up.
pub(super) struct Making {
    cancelled: Arc<AtomicBool>,
    /// `None` once it was joined.
    thread: Option<JoinHandle<Made>>,
}

/// Says that the thread is at its end, also by a panic.
struct TellAtEnd(Arc<Shared>);

impl Drop for TellAtEnd {
    fn drop(&mut self) {
        self.0.queue().snapshot_made = true;
        self.0.changed.notify_one();
    }
}

impl Making {
    /// Starts the thread, which tells the store's when it is at its end.
    pub(super) fn start(
        maker: SnapshotMaker,
        path: PathBuf,
        at_least: OpNumber,
        shared: Arc<Shared>,
    ) -> Result<Self, MakeSnapshotError> {
        let cancelled = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&cancelled);
        let thread = thread::Builder::new()
            .name("snapshot".to_owned())
            .spawn(move || {
                let _tell = TellAtEnd(shared);
                let made = maker.make(&path, &seen)?;
                if made.applied < at_least {
                    return Err(MakeSnapshotError::TooOld {
                        applied: made.applied,
                        asked: at_least,
                    });
                }
                Ok(made)
            })
            .map_err(MakeSnapshotError::NoThread)?;
        Ok(Self {
            cancelled,
            thread: Some(thread),
        })
    }

    /// What has come of it, after the thread told that it is at its end.
    pub(super) fn made(mut self) -> Made {
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok(made)) => made,
            _ => Err(MakeSnapshotError::Panicked),
        }
    }
}

impl Drop for Making {
    fn drop(&mut self) {
        self.cancelled.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // What it has made all the same is removed with this.
            let _ = thread.join();
        }
    }
}
