//! What does the store's thread do next?

use std::path::PathBuf;
use std::sync::{Arc, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::making::{Made, Making};
use super::{Ending, Shared, StoreAnswer, Task};
use crate::limits::{
    CHECKPOINT_BYTES, STORE_LAG_BYTES_MAX, TRANSACTION_AGE_MAX, TRANSACTION_OPS_MAX,
};
use crate::store::{Batch, MakeSnapshotError, Store, StoreError};
use crate::types::OpNumber;

/// The thread's own.
pub(super) struct Work {
    store: Box<dyn Store>,
    wake: Box<dyn Fn() + Send>,
    shared: Arc<Shared>,
    /// The transaction that is open.
    transaction: Option<Transaction>,
    /// The snapshot that is in the making: it reads from the store, and ends before it.
    making: Option<Making>,
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
    SnapshotMade,
    End(Ending),
}

impl Work {
    /// A thread's work, before it has begun.
    pub(super) fn new(
        store: Box<dyn Store>,
        wake: Box<dyn Fn() + Send>,
        shared: Arc<Shared>,
    ) -> Self {
        Self {
            store,
            wake,
            shared,
            transaction: None,
            making: None,
            applied: None,
            durable: OpNumber::ZERO,
        }
    }

    /// Works until the end, and says what came of it.
    pub(super) fn run(mut self) {
        let ended = match self.work() {
            Err(error) if error.is_damage() => {
                // What is open was not taken in as a whole, and is never committed.
                self.transaction = None;
                self.making = None;
                self.answer(StoreAnswer::Damaged(error));
                Ok(self.take_in_nothing())
            }
            ended => ended,
        };
        match ended {
            Ok(Some(durable)) => self.shared.queue().stopped = Some(durable),
            Ok(None) => {}
            Err(error) => self.answer(StoreAnswer::Failed(error)),
        }
    }

    /// The part of a store that has to be written is damaged. Whatever is handed over is dropped,
    /// since the journal has it, and nothing is looked up, since it would be too old. Answers like
    /// [`Self::work`], at the end.
    fn take_in_nothing(&mut self) -> Option<OpNumber> {
        let refusal = || StoreError::Damaged("it can take in nothing more".to_owned());
        loop {
            match self.next() {
                Next::Task(Task::Apply { bytes, .. }) => self.lower_lag(bytes),
                Next::Task(Task::Query { ticket, .. }) => {
                    let error = refusal();
                    self.answer(StoreAnswer::Unreadable { ticket, error });
                }
                Next::Task(Task::Snapshot { .. }) => {
                    self.answer_snapshot(Err(MakeSnapshotError::Store(refusal())));
                }
                Next::Commit | Next::SnapshotMade => {}
                Next::End(Ending::Graceful) => return Some(self.durable),
                Next::End(Ending::Abrupt) => return None,
            }
        }
    }

    /// Works until the end; answers the last op that is safe, if that is a graceful one.
    fn work(&mut self) -> Result<Option<OpNumber>, StoreError> {
        loop {
            match self.next() {
                Next::Task(Task::Apply { batch, bytes }) => self.take_in(batch, bytes)?,
                Next::Task(Task::Query { ticket, query }) => {
                    let answer = match self.store.query(&query) {
                        Ok(found) => StoreAnswer::Found { ticket, found },
                        Err(error) if error.is_damage() => {
                            StoreAnswer::Unreadable { ticket, error }
                        }
                        Err(error) => return Err(error),
                    };
                    self.answer(answer);
                }
                Next::Task(Task::Snapshot { path, at_least }) => {
                    self.commit()?;
                    self.begin_snapshot(path, at_least);
                }
                Next::Commit => self.commit()?,
                Next::SnapshotMade => {
                    if let Some(making) = self.making.take() {
                        self.answer_snapshot(making.made());
                    }
                }
                Next::End(Ending::Graceful) => {
                    // Whoever reads from the log keeps a checkpoint from moving all of it.
                    self.making = None;
                    return self.store.checkpoint().map(Some);
                }
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
            if std::mem::take(&mut queue.snapshot_made) {
                return Next::SnapshotMade;
            }
            match (queue.tasks.pop_front(), queue.ending) {
                (Some(Task::Query { .. } | Task::Snapshot { .. }), Some(Ending::Graceful)) => {
                    continue;
                }
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

    fn take_in(&mut self, batch: Batch, bytes: usize) -> Result<(), StoreError> {
        let applied = batch.applied;
        let taken_in = self.store.apply(batch);
        self.lower_lag(bytes);
        taken_in?;
        let before = self.applied.replace(applied);
        let ops = before.map_or(1, |before| applied.0.saturating_sub(before.0));
        let transaction = self.transaction.get_or_insert_with(|| Transaction {
            began: Instant::now(),
            ops: 0,
        });
        transaction.ops += ops;
        let full = transaction.ops >= TRANSACTION_OPS_MAX;
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

    fn begin_snapshot(&mut self, path: PathBuf, at_least: OpNumber) {
        let shared = Arc::clone(&self.shared);
        let maker = self.store.snapshot_maker();
        let making = maker
            .ok_or(MakeSnapshotError::NoFile)
            .and_then(|maker| Making::start(maker, path, at_least, shared));
        match making {
            Ok(making) => self.making = Some(making),
            Err(error) => self.answer_snapshot(Err(error)),
        }
    }

    fn answer_snapshot(&self, made: Made) {
        self.answer(match made {
            Ok(snapshot) => StoreAnswer::Snapshot(snapshot),
            Err(error) => StoreAnswer::SnapshotFailed(error),
        });
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
        // Before the store, from which it reads.
        self.making = None;
        if thread::panicking() {
            let sentence = "its thread has panicked".to_owned();
            self.answer(StoreAnswer::Failed(StoreError::Damaged(sentence)));
        }
    }
}
