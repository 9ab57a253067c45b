//! Tests wait on channels that the thread itself speaks into, and never on a clock.

use std::sync::mpsc::{Receiver, Sender, channel};

use super::*;
use crate::chat::change::{Change, Image};
use crate::store::{MemoryStore, SnapshotMaker};
use crate::types::{AccountId, Name, Timestamp};

/// What the thread did with its store.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Called {
    Apply(OpNumber),
    Commit,
    Checkpoint,
    Query,
}

/// A store that tells of every call, and can be held up in one.
struct Watched {
    inner: MemoryStore,
    calls: Sender<Called>,
    /// Every `apply` waits for a word of it; `Err` is what it then gives, or a panic.
    gate: Option<Receiver<Result<(), &'static str>>>,
    /// What it says a checkpoint would have to move.
    bytes: u64,
}

impl Store for Watched {
    fn load(&mut self) -> Result<Image, StoreError> {
        self.inner.load()
    }

    fn apply(&mut self, batch: &Batch) -> Result<(), StoreError> {
        match self.gate.as_ref().map(|gate| gate.recv().unwrap()) {
            None | Some(Ok(())) => {}
            Some(Err("panic")) => panic!("a store that panics, for a test"),
            Some(Err(what)) => return Err(StoreError::Damaged(what.to_owned())),
        }
        self.inner.apply(batch)?;
        self.calls.send(Called::Apply(batch.applied)).unwrap();
        Ok(())
    }

    fn commit(&mut self) -> Result<(), StoreError> {
        self.inner.commit()?;
        self.calls.send(Called::Commit).unwrap();
        Ok(())
    }

    fn checkpoint(&mut self) -> Result<OpNumber, StoreError> {
        self.bytes = 0;
        self.calls.send(Called::Checkpoint).unwrap();
        self.inner.checkpoint()
    }

    fn unsynced_bytes(&self) -> Result<u64, StoreError> {
        Ok(self.bytes)
    }

    fn query(&mut self, query: &Query) -> Result<Found, StoreError> {
        let found = self.inner.query(query)?;
        self.calls.send(Called::Query).unwrap();
        Ok(found)
    }

    fn snapshot_maker(&self) -> Option<SnapshotMaker> {
        None
    }
}

struct Started {
    worker: StoreWorker,
    calls: Receiver<Called>,
    gate: Sender<Result<(), &'static str>>,
    woken: Receiver<()>,
}

fn start(gated: bool, bytes: u64) -> Started {
    let (calls, calls_made) = channel();
    let (gate, gate_end) = channel();
    let (wake, woken) = channel();
    let store = Watched {
        inner: MemoryStore::new(),
        calls,
        gate: gated.then_some(gate_end),
        bytes,
    };
    let wake = Box::new(move || {
        // A thread that ends after its test wakes nobody.
        let _ = wake.send(());
    });
    Started {
        worker: StoreWorker::start(Box::new(store), wake).unwrap(),
        calls: calls_made,
        gate,
        woken,
    }
}

/// An account of the name and the id of its op.
fn batch(op: u64) -> Batch {
    Batch {
        applied: OpNumber(op),
        clock: Timestamp(0),
        changes: vec![Change::AccountCreated {
            id: AccountId(op),
            name: Name::parse(&format!("n{op}")).unwrap(),
            password_hash: format!("hash of {op}"),
        }],
    }
}

fn hash_of(op: u64) -> Query {
    Query::PasswordHash {
        account: AccountId(op),
    }
}

/// The next answers, after a wait for them.
fn answers(started: &mut Started) -> Vec<StoreAnswer> {
    started.woken.recv().unwrap();
    started.worker.answers().collect()
}

#[test]
fn a_query_sees_what_was_handed_over_before_it_and_nothing_else() {
    let mut started = start(true, 0);
    started.worker.apply(batch(1), 10);
    started.worker.query(7, hash_of(1)).unwrap();
    started.worker.query(8, hash_of(2)).unwrap();
    started.worker.apply(batch(2), 10);
    started.gate.send(Ok(())).unwrap();
    started.gate.send(Ok(())).unwrap();
    let mut found = Vec::new();
    while found.len() < 2 {
        for answer in answers(&mut started) {
            match answer {
                StoreAnswer::Found {
                    ticket,
                    found: what,
                } => found.push((ticket, what)),
                other => panic!("{other:?}"),
            }
        }
    }
    let expected = [(7, Some("hash of 1".to_owned())), (8, None)];
    assert_eq!(
        found,
        expected.map(|(ticket, hash)| (ticket, Found::PasswordHash(hash)))
    );
}

#[test]
fn the_lag_is_what_was_handed_over_and_not_taken_in() {
    let mut started = start(true, 0);
    started.worker.apply(batch(1), STORE_LAG_BYTES_MAX);
    started.worker.apply(batch(2), 100);
    assert_eq!(started.worker.lag_bytes(), STORE_LAG_BYTES_MAX + 100);
    started.gate.send(Ok(())).unwrap();
    // The loop hears of it when it may take requests again.
    started.woken.recv().unwrap();
    assert_eq!(started.worker.lag_bytes(), 100);
    started.gate.send(Ok(())).unwrap();
    started.worker.stop().unwrap();
}

#[test]
fn queries_beyond_the_limit_are_refused_until_answers_were_taken() {
    let mut started = start(true, 0);
    started.worker.apply(batch(1), 0);
    for ticket in 0..STORE_QUERIES_MAX as u64 {
        started.worker.query(ticket, hash_of(1)).unwrap();
    }
    assert_eq!(started.worker.query(0, hash_of(1)), Err(QueueFull));
    started.gate.send(Ok(())).unwrap();
    assert!(!answers(&mut started).is_empty());
    assert_eq!(started.worker.query(0, hash_of(1)), Ok(()));
}

#[test]
fn a_transaction_ends_when_it_is_full() {
    let mut started = start(false, 0);
    started.worker.apply(batch(1), 0);
    started.worker.apply(batch(TRANSACTION_OPS_MAX), 0);
    let calls: Vec<_> = started.calls.iter().take(3).collect();
    let last = Called::Apply(OpNumber(TRANSACTION_OPS_MAX));
    assert_eq!(calls, [Called::Apply(OpNumber(1)), last, Called::Commit]);
}

#[test]
fn a_transaction_ends_when_it_is_old_though_nothing_more_comes() {
    let mut started = start(false, 0);
    started.worker.apply(batch(1), 0);
    let calls: Vec<_> = started.calls.iter().take(2).collect();
    assert_eq!(calls, [Called::Apply(OpNumber(1)), Called::Commit]);
}

#[test]
fn a_log_that_is_long_enough_is_checkpointed_and_the_loop_is_told() {
    let mut started = start(false, CHECKPOINT_BYTES);
    started.worker.apply(batch(1), 0);
    started.worker.apply(batch(TRANSACTION_OPS_MAX), 0);
    let answers = answers(&mut started);
    assert!(
        matches!(
            answers[..],
            [StoreAnswer::Durable(OpNumber(TRANSACTION_OPS_MAX))]
        ),
        "{answers:?}"
    );
    let calls: Vec<_> = started.calls.iter().skip(2).take(2).collect();
    assert_eq!(calls, [Called::Commit, Called::Checkpoint]);
}

#[test]
fn stopping_takes_in_everything_and_drops_queries() {
    let mut started = start(false, 0);
    started.worker.apply(batch(1), 0);
    started.worker.apply(batch(2), 0);
    assert_eq!(started.worker.stop().unwrap(), OpNumber(2));
    let calls: Vec<_> = started.calls.iter().collect();
    assert_eq!(
        calls,
        [
            Called::Apply(OpNumber(1)),
            Called::Apply(OpNumber(2)),
            Called::Checkpoint
        ]
    );
}

#[test]
fn dropping_leaves_the_store_as_a_crash_would() {
    let mut started = start(false, 0);
    started.worker.apply(batch(1), 0);
    assert_eq!(started.calls.recv(), Ok(Called::Apply(OpNumber(1))));
    drop(started.worker);
    assert_eq!(started.calls.iter().count(), 0);
}

#[test]
fn a_failure_is_told_and_is_the_end() {
    for (what, sentence) in [("no space", "no space"), ("panic", "panicked")] {
        let mut started = start(true, 0);
        started.worker.apply(batch(1), 0);
        started.gate.send(Err(what)).unwrap();
        let answers = answers(&mut started);
        match &answers[..] {
            [StoreAnswer::Failed(error)] => assert!(error.to_string().contains(sentence)),
            other => panic!("{other:?}"),
        }
        // Nothing waits for a thread that is gone.
        started.worker.apply(batch(2), 0);
        started.worker.query(1, hash_of(1)).unwrap();
        assert!(started.worker.stop().is_err());
    }
}

#[test]
fn stopping_tells_of_a_failure_that_nobody_has_heard_of() {
    let mut started = start(true, 0);
    started.worker.apply(batch(1), 0);
    started.gate.send(Err("no space")).unwrap();
    let failure = started.worker.stop().unwrap_err();
    assert!(failure.to_string().contains("no space"), "{failure}");
}
