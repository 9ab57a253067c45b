//! How does the loop use a database without ever waiting for it?
//!
//! A thread owns the store and takes tasks out of one queue in the order in which they came, so
//! that a query sees everything that was handed over before it. Handing over only puts a task into
//! the queue; answers are put into another, and the loop is woken when there are some. Neither
//! queue can grow without end: batches are counted in bytes, by which the loop takes fewer
//! requests, and queries are counted and refused.

mod making;
mod work;

use std::collections::VecDeque;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use work::Work;

use super::niceness::be_nicer;
use super::{Batch, Found, MadeSnapshot, MakeSnapshotError, Query, Store, StoreError};
use crate::limits::{STORE_NICENESS, STORE_QUERIES_MAX};
use crate::types::OpNumber;

/// The loop's end of the store's thread. Dropped without [`StoreWorker::stop`], it leaves the
/// store as a crash would.
pub struct StoreWorker {
    shared: Arc<Shared>,
    /// `None` once it was joined.
    thread: Option<JoinHandle<()>>,
    /// Queries that were handed over and whose answers were not taken yet.
    queries_open: usize,
    /// A snapshot was asked for, and what came of it was not taken yet.
    snapshot_open: bool,
}

/// What the store's thread says.
#[derive(Debug)]
pub enum StoreAnswer {
    /// A query was answered.
    Found {
        /// What the query was handed over with.
        ticket: u64,
        /// Its answer.
        found: Found,
    },
    /// What a query asked for is damaged on the disk. The store goes on.
    Unreadable {
        /// What the query was handed over with.
        ticket: u64,
        /// What was found.
        error: StoreError,
    },
    /// Everything up to this op is safe on disk: the journal up to it is no longer needed to
    /// start again.
    Durable(OpNumber),
    /// The snapshot that was asked for.
    Snapshot(MadeSnapshot),
    /// There will be no snapshot. The store goes on.
    SnapshotFailed(MakeSnapshotError),
    /// The disk has changed a part of the store that has to be written. From now on it takes in
    /// nothing, drops what is handed over, and answers every query with
    /// [`StoreAnswer::Unreadable`].
    Damaged(StoreError),
    /// The store cannot go on, and its thread has ended. This is the last answer.
    Failed(StoreError),
}

/// Too many queries wait: [`STORE_QUERIES_MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{STORE_QUERIES_MAX} queries wait for the store")]
pub struct QueueFull;

/// A snapshot was asked for before, and there is no answer yet, or it was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a snapshot is being made already")]
pub struct SnapshotRunning;

impl StoreWorker {
    /// Starts a thread for `store`. It calls `wake` whenever there are answers after there were
    /// none, and when the lag falls back to [`STORE_LAG_BYTES_MAX`](crate::limits::STORE_LAG_BYTES_MAX).
    ///
    /// # Errors
    ///
    /// The operating system gives no thread.
    pub fn start(store: Box<dyn Store>, wake: Box<dyn Fn() + Send>) -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let work = Work::new(store, wake, Arc::clone(&shared));
        let thread = thread::Builder::new()
            .name("store".to_owned())
            .spawn(move || {
                be_nicer(STORE_NICENESS);
                work.run();
            })?;
        Ok(Self {
            shared,
            thread: Some(thread),
            queries_open: 0,
            snapshot_open: false,
        })
    }

    /// Hands over the changes of committed ops, which occupy about `bytes`. Never waits.
    pub fn apply(&mut self, batch: Batch, bytes: usize) {
        let mut queue = self.shared.queue();
        queue.lag_bytes += bytes;
        queue.tasks.push_back(Task::Apply { batch, bytes });
        drop(queue);
        self.shared.changed.notify_one();
    }

    /// Hands over a query, to be answered after all batches that were handed over before it.
    /// Never waits.
    ///
    /// # Errors
    ///
    /// [`STORE_QUERIES_MAX`] queries are open.
    pub fn query(&mut self, ticket: u64, query: Query) -> Result<(), QueueFull> {
        if self.queries_open >= STORE_QUERIES_MAX {
            return Err(QueueFull);
        }
        self.queries_open += 1;
        let task = Task::Query { ticket, query };
        self.shared.queue().tasks.push_back(task);
        self.shared.changed.notify_one();
        Ok(())
    }

    /// Asks for a snapshot of everything that was handed over, or more: at least up to `at_least`,
    /// which has been. It is made at `path`, on a thread of its own with low priority; the store
    /// commits before, and is not held up but by what the two take from each other of the disk and
    /// the processor. Its log cannot be emptied while a snapshot is in the making, and so no op
    /// becomes [`StoreAnswer::Durable`]. The answer is [`StoreAnswer::Snapshot`] or
    /// [`StoreAnswer::SnapshotFailed`]. Never waits.
    ///
    /// When the worker is stopped or dropped, the snapshot is given up and removed.
    ///
    /// # Errors
    ///
    /// One was asked for before, and its answer was not taken yet.
    pub fn snapshot(&mut self, path: PathBuf, at_least: OpNumber) -> Result<(), SnapshotRunning> {
        if std::mem::replace(&mut self.snapshot_open, true) {
            return Err(SnapshotRunning);
        }
        let task = Task::Snapshot { path, at_least };
        self.shared.queue().tasks.push_back(task);
        self.shared.changed.notify_one();
        Ok(())
    }

    /// Bytes of batches that the store has not taken in yet. The loop takes fewer requests above
    /// [`STORE_LAG_BYTES_MAX`](crate::limits::STORE_LAG_BYTES_MAX).
    pub fn lag_bytes(&self) -> usize {
        self.shared.queue().lag_bytes
    }

    /// What the thread has said since the last call. All of it has to be taken.
    pub fn answers(&mut self) -> impl Iterator<Item = StoreAnswer> + use<> {
        let answers = std::mem::take(&mut self.shared.queue().answers);
        let found = |answer: &&StoreAnswer| {
            matches!(
                answer,
                StoreAnswer::Found { .. } | StoreAnswer::Unreadable { .. }
            )
        };
        self.queries_open -= answers.iter().filter(found).count();
        self.snapshot_open &= !answers.iter().any(|answer| {
            matches!(
                answer,
                StoreAnswer::Snapshot(_) | StoreAnswer::SnapshotFailed(_)
            )
        });
        answers.into_iter()
    }

    /// Waits until everything that was handed over is in the store and safe on disk, and ends the
    /// thread. Answers the last op that is safe. Queries that still wait are dropped, and so is a
    /// snapshot.
    ///
    /// # Errors
    ///
    /// The store fails, or has failed.
    pub fn stop(mut self) -> Result<OpNumber, StoreError> {
        self.join(Ending::Graceful);
        let mut queue = self.shared.queue();
        let stopped = queue.stopped.take();
        let failed = queue.answers.pop();
        match (stopped, failed) {
            (_, Some(StoreAnswer::Failed(error) | StoreAnswer::Damaged(error))) => Err(error),
            (Some(durable), _) => Ok(durable),
            (None, _) => Err(StoreError::Damaged("it has failed before".to_owned())),
        }
    }

    fn join(&mut self, ending: Ending) {
        self.shared.queue().ending = Some(ending);
        self.shared.changed.notify_one();
        if let Some(thread) = self.thread.take() {
            // A panic was made a `Failed` when the thread's own was dropped.
            let _ = thread.join();
        }
    }
}

impl Drop for StoreWorker {
    fn drop(&mut self) {
        self.join(Ending::Abrupt);
    }
}

/// What both ends can reach.
#[derive(Default)]
struct Shared {
    queue: Mutex<Queue>,
    /// Told of every task, of a snapshot's end, and of the ending.
    changed: Condvar,
}

#[derive(Default)]
struct Queue {
    /// In the order in which they were handed over.
    tasks: VecDeque<Task>,
    /// Bytes of the batches that are in `tasks` or just being taken in.
    lag_bytes: usize,
    /// At most [`STORE_QUERIES_MAX`], one for each checkpoint, a snapshot, one damage, and one failure.
    answers: Vec<StoreAnswer>,
    /// The thread that makes a snapshot is at its end.
    snapshot_made: bool,
    /// How the thread is to end.
    ending: Option<Ending>,
    /// The last op that is safe, once the thread has ended gracefully.
    stopped: Option<OpNumber>,
}

enum Task {
    Apply { batch: Batch, bytes: usize },
    Query { ticket: u64, query: Query },
    Snapshot { path: PathBuf, at_least: OpNumber },
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Ending {
    /// After all batches, with a checkpoint.
    Graceful,
    /// After the task at hand.
    Abrupt,
}

impl Shared {
    /// No call of the store happens under this lock, so nobody waits for more than a move of
    /// some words; and nothing under it can be left half done by a panic.
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
