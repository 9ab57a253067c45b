//! How does the loop use a database without ever waiting for it?
//!
//! A thread owns the store and takes tasks out of one queue in the order in which they came, so
//! that a query sees everything that was handed over before it. Handing over only puts a task into
//! the queue; answers are put into another, and the loop is woken when there are some. Neither
//! queue can grow without end: batches are counted in bytes, by which the loop takes fewer
//! requests, and queries are counted and refused.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::{Batch, Found, Query, Store, StoreError};
use crate::limits::{
    CHECKPOINT_BYTES, STORE_LAG_BYTES_MAX, STORE_QUERIES_MAX, TRANSACTION_AGE_MAX,
    TRANSACTION_OPS_MAX,
};
use crate::types::OpNumber;

/// The loop's end of the store's thread. Dropped without [`StoreWorker::stop`], it leaves the
/// store as a crash would.
pub struct StoreWorker {
    shared: Arc<Shared>,
    /// `None` once it was joined.
    thread: Option<JoinHandle<()>>,
    /// Queries that were handed over and whose answers were not taken yet.
    queries_open: usize,
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
    /// Everything up to this op is safe on disk: the journal up to it is no longer needed to
    /// start again.
    Durable(OpNumber),
    /// The store cannot go on, and its thread has ended. This is the last answer.
    Failed(StoreError),
}

/// Too many queries wait: [`STORE_QUERIES_MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{STORE_QUERIES_MAX} queries wait for the store")]
pub struct QueueFull;

impl StoreWorker {
    /// Starts a thread for `store`. It calls `wake` whenever there are answers after there were
    /// none, and when the lag falls back to [`STORE_LAG_BYTES_MAX`].
    ///
    /// # Errors
    ///
    /// The operating system gives no thread.
    pub fn start(store: Box<dyn Store>, wake: Box<dyn Fn() + Send>) -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let work = Work {
            store,
            wake,
            shared: Arc::clone(&shared),
            transaction: None,
            applied: None,
            durable: OpNumber::ZERO,
        };
        let thread = thread::Builder::new()
            .name("store".to_owned())
            .spawn(move || work.run())?;
        Ok(Self {
            shared,
            thread: Some(thread),
            queries_open: 0,
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

    /// Bytes of batches that the store has not taken in yet. The loop takes fewer requests above
    /// [`STORE_LAG_BYTES_MAX`].
    pub fn lag_bytes(&self) -> usize {
        self.shared.queue().lag_bytes
    }

    /// What the thread has said since the last call. All of it has to be taken.
    pub fn answers(&mut self) -> impl Iterator<Item = StoreAnswer> + use<> {
        let answers = std::mem::take(&mut self.shared.queue().answers);
        let found = |answer: &&StoreAnswer| matches!(answer, StoreAnswer::Found { .. });
        self.queries_open -= answers.iter().filter(found).count();
        answers.into_iter()
    }

    /// Waits until everything that was handed over is in the store and safe on disk, and ends the
    /// thread. Answers the last op that is safe. Queries that still wait are dropped.
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
            (Some(durable), _) => Ok(durable),
            (None, Some(StoreAnswer::Failed(error))) => Err(error),
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
    /// Told of every task, and of the ending.
    changed: Condvar,
}

#[derive(Default)]
struct Queue {
    /// In the order in which they were handed over.
    tasks: VecDeque<Task>,
    /// Bytes of the batches that are in `tasks` or just being taken in.
    lag_bytes: usize,
    /// At most [`STORE_QUERIES_MAX`], one for each checkpoint, and one failure.
    answers: Vec<StoreAnswer>,
    /// How the thread is to end.
    ending: Option<Ending>,
    /// The last op that is safe, once the thread has ended gracefully.
    stopped: Option<OpNumber>,
}

enum Task {
    Apply { batch: Batch, bytes: usize },
    Query { ticket: u64, query: Query },
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

/// The thread's own.
struct Work {
    store: Box<dyn Store>,
    wake: Box<dyn Fn() + Send>,
    shared: Arc<Shared>,
    /// The transaction that is open.
    transaction: Option<Transaction>,
    /// The last op that was taken in; `None` before the first batch.
    applied: Option<OpNumber>,
    /// The last op of which the loop was told that it is safe.
    durable: OpNumber,
}

struct Transaction {
    began: Instant,
    /// How many ops are in it.
    ops: u64,
}

impl Transaction {
    /// How long it may still stay open.
    fn time_left(&self) -> Duration {
        TRANSACTION_AGE_MAX.saturating_sub(self.began.elapsed())
    }
}

/// What there is to do next.
enum Next {
    Task(Task),
    Commit,
    End(Ending),
}

impl Work {
    fn run(mut self) {
        match self.work() {
            Ok(Some(durable)) => self.shared.queue().stopped = Some(durable),
            Ok(None) => {}
            Err(error) => self.answer(StoreAnswer::Failed(error)),
        }
    }

    /// Works until the end; answers the last op that is safe, if that is a graceful one.
    fn work(&mut self) -> Result<Option<OpNumber>, StoreError> {
        loop {
            match self.next() {
                Next::Task(Task::Apply { batch, bytes }) => self.take_in(&batch, bytes)?,
                Next::Task(Task::Query { ticket, query }) => {
                    let found = self.store.query(&query)?;
                    self.answer(StoreAnswer::Found { ticket, found });
                }
                Next::Commit => self.commit()?,
                Next::End(Ending::Graceful) => return self.store.checkpoint().map(Some),
                Next::End(Ending::Abrupt) => return Ok(None),
            }
        }
    }

    /// Waits for something to do. A transaction that is old enough comes first, or else a queue
    /// that never empties would hold it open.
    fn next(&self) -> Next {
        let mut queue = self.shared.queue();
        loop {
            let time_left = self.transaction.as_ref().map(Transaction::time_left);
            if queue.ending == Some(Ending::Abrupt) {
                return Next::End(Ending::Abrupt);
            }
            if time_left == Some(Duration::ZERO) {
                return Next::Commit;
            }
            match (queue.tasks.pop_front(), queue.ending) {
                (Some(Task::Query { .. }), Some(Ending::Graceful)) => continue,
                (Some(task), _) => return Next::Task(task),
                (None, Some(ending)) => return Next::End(ending),
                (None, None) => {}
            }
            queue = match time_left {
                Some(time_left) => {
                    let waited = self.shared.changed.wait_timeout(queue, time_left);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
                None => {
                    let waited = self.shared.changed.wait(queue);
                    waited.unwrap_or_else(PoisonError::into_inner)
                }
            };
        }
    }

    fn take_in(&mut self, batch: &Batch, bytes: usize) -> Result<(), StoreError> {
        self.store.apply(batch)?;
        let before = self.applied.replace(batch.applied);
        let ops = before.map_or(1, |before| batch.applied.0.saturating_sub(before.0));
        let transaction = self.transaction.get_or_insert_with(|| Transaction {
            began: Instant::now(),
            ops: 0,
        });
        transaction.ops += ops;
        let full = transaction.ops >= TRANSACTION_OPS_MAX;
        self.lower_lag(bytes);
        if full { self.commit() } else { Ok(()) }
    }

    /// Tells the loop, which may have stopped taking requests, when it may go on.
    fn lower_lag(&self, bytes: usize) {
        let mut queue = self.shared.queue();
        let before = queue.lag_bytes;
        queue.lag_bytes -= bytes;
        let resumes = before > STORE_LAG_BYTES_MAX && queue.lag_bytes <= STORE_LAG_BYTES_MAX;
        drop(queue);
        if resumes {
            (self.wake)();
        }
    }

    fn commit(&mut self) -> Result<(), StoreError> {
        self.transaction = None;
        self.store.commit()?;
        if self.store.unsynced_bytes()? < CHECKPOINT_BYTES {
            return Ok(());
        }
        let durable = self.store.checkpoint()?;
        if durable > self.durable {
            self.durable = durable;
            self.answer(StoreAnswer::Durable(durable));
        }
        Ok(())
    }

    fn answer(&self, answer: StoreAnswer) {
        let mut queue = self.shared.queue();
        queue.answers.push(answer);
        let first = queue.answers.len() == 1;
        drop(queue);
        if first {
            (self.wake)();
        }
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        if thread::panicking() {
            let sentence = "its thread has panicked".to_owned();
            self.answer(StoreAnswer::Failed(StoreError::Damaged(sentence)));
        }
    }
}

#[cfg(test)]
mod tests;
