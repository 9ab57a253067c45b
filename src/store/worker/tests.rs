//! Tests wait on channels that the thread itself speaks into, and never on a clock.

use std::fs;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use super::*;
use crate::chat::change::{Change, Image};
use crate::limits::{CHECKPOINT_BYTES, STORE_LAG_BYTES_MAX, TRANSACTION_OPS_MAX};
use crate::store::{MemoryStore, SnapshotMaker, SnapshotReader};
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
    /// What its next snapshot waits for; `None`: it makes none.
    snapshots: Mutex<Option<Receiver<Result<(), &'static str>>>>,
}

impl Store for Watched {
    fn load(&mut self) -> Result<Image, StoreError> {
        self.inner.load()
    }

    fn apply(&mut self, batch: Batch) -> Result<(), StoreError> {
        match self.gate.as_ref().map(|gate| gate.recv().unwrap()) {
            None | Some(Ok(())) => {}
            Some(Err("panic")) => panic!("a store that panics, for a test"),
            Some(Err("damage")) => return Err(StoreError::Damaged("a page".to_owned())),
            Some(Err(what)) => return Err(StoreError::Foreign(what.to_owned())),
        }
        let applied = batch.applied;
        self.inner.apply(batch)?;
        self.calls.send(Called::Apply(applied)).unwrap();
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

    /// One that waits for a word, too, and notices when it is given up.
    fn snapshot_maker(&self) -> Option<SnapshotMaker> {
        let words = self.snapshots.lock().unwrap().take()?;
        let applied = self.inner.snapshot().load().unwrap().applied;
        Some(SnapshotMaker::new(move |path, cancelled| {
            fs::write(path, "of a store").unwrap();
            while !cancelled.load(Ordering::Relaxed) {
                match words.recv_timeout(Duration::from_millis(1)) {
                    Ok(Ok(())) => {
                        let reader = SnapshotReader::open(path).unwrap();
                        return Ok(MadeSnapshot { applied, reader });
                    }
                    Ok(Err(what)) => panic!("{what}"),
                    Err(_) => {}
                }
            }
            fs::remove_file(path).unwrap();
            Err(MakeSnapshotError::Cancelled)
        }))
    }
}

struct Started {
    worker: StoreWorker,
    calls: Receiver<Called>,
    gate: Sender<Result<(), &'static str>>,
    snapshot: Sender<Result<(), &'static str>>,
    woken: Receiver<()>,
}

fn start(gated: bool, bytes: u64) -> Started {
    let (calls, calls_made) = channel();
    let (gate, gate_end) = channel();
    let (snapshot, snapshot_end) = channel();
    let (wake, woken) = channel();
    let store = Watched {
        inner: MemoryStore::new(),
        calls,
        gate: gated.then_some(gate_end),
        bytes,
        snapshots: Mutex::new(Some(snapshot_end)),
    };
    let wake = Box::new(move || {
        // A thread that ends after its test wakes nobody.
        let _ = wake.send(());
    });
    Started {
        worker: StoreWorker::start(Box::new(store), wake).unwrap(),
        calls: calls_made,
        gate,
        snapshot,
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
fn a_store_that_is_damaged_where_it_is_written_says_so_and_takes_in_nothing_more() {
    let mut started = start(true, 0);
    started.worker.apply(batch(1), 10);
    started.worker.apply(batch(2), 1);
    started.gate.send(Err("damage")).unwrap();
    match &answers(&mut started)[..] {
        [StoreAnswer::Damaged(error)] => assert!(error.to_string().contains("a page"), "{error}"),
        other => panic!("{other:?}"),
    }
    // What it drops is no longer waited for, and nobody who asks is left waiting.
    started.worker.query(7, hash_of(1)).unwrap();
    match &answers(&mut started)[..] {
        [StoreAnswer::Unreadable { ticket: 7, error }] => assert!(error.is_damage()),
        other => panic!("{other:?}"),
    }
    assert_eq!(started.worker.lag_bytes(), 0);
    let path = PathBuf::from("never made");
    started.worker.snapshot(path, OpNumber(1)).unwrap();
    match &answers(&mut started)[..] {
        [StoreAnswer::SnapshotFailed(MakeSnapshotError::Store(error))] => {
            assert!(error.is_damage());
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(started.worker.stop().unwrap(), OpNumber::ZERO);
    assert_eq!(started.calls.iter().count(), 0, "nothing reaches the store");
}

#[test]
fn stopping_tells_of_a_failure_that_nobody_has_heard_of() {
    for (what, sentence) in [("no space", "no space"), ("damage", "a page")] {
        let mut started = start(true, 0);
        started.worker.apply(batch(1), 0);
        started.gate.send(Err(what)).unwrap();
        let failure = started.worker.stop().unwrap_err();
        assert!(failure.to_string().contains(sentence), "{failure}");
    }
}

#[test]
fn a_snapshot_is_of_a_commit_of_what_was_handed_over_and_holds_up_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("snapshot");
    let mut started = start(false, 0);
    started.worker.apply(batch(1), 0);
    started.worker.apply(batch(2), 0);
    started.worker.snapshot(path.clone(), OpNumber(2)).unwrap();
    started.worker.apply(batch(3), 0);
    started.worker.query(7, hash_of(3)).unwrap();
    // The query is answered while the snapshot still waits for its word.
    let found = answers(&mut started);
    assert!(matches!(found[..], [StoreAnswer::Found { ticket: 7, .. }]));
    let calls: Vec<_> = started.calls.iter().take(5).collect();
    let [one, two, three] = [1, 2, 3].map(|op| Called::Apply(OpNumber(op)));
    assert_eq!(calls, [one, two, Called::Commit, three, Called::Query]);
    assert_eq!(
        started.worker.snapshot(path.clone(), OpNumber(2)),
        Err(SnapshotRunning)
    );
    started.snapshot.send(Ok(())).unwrap();
    started.woken.recv().unwrap();
    // Nobody has heard of its end yet.
    assert!(started.worker.snapshot(path.clone(), OpNumber(2)).is_err());
    let answers: Vec<_> = started.worker.answers().collect();
    match &answers[..] {
        [StoreAnswer::Snapshot(made)] => {
            assert_eq!(made.applied, OpNumber(2));
            assert_eq!(made.reader.read_at(0, 99).unwrap(), b"of a store");
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(started.worker.snapshot(path, OpNumber(2)), Ok(()));
}

#[test]
fn without_a_snapshot_the_store_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("snapshot");
    for (word, asked, sentence) in [
        (Err("a snapshot that panics, for a test"), 1, "panicked"),
        (Ok(()), 2, "op 1, and not op 2"),
    ] {
        let mut started = start(false, 0);
        started.worker.apply(batch(1), 0);
        started
            .worker
            .snapshot(path.clone(), OpNumber(asked))
            .unwrap();
        started.snapshot.send(word).unwrap();
        match &answers(&mut started)[..] {
            [StoreAnswer::SnapshotFailed(error)] => {
                assert!(error.to_string().contains(sentence), "{error}");
            }
            other => panic!("{other:?}"),
        }
        // The next one finds that there is none to be had.
        started.worker.snapshot(path.clone(), OpNumber(1)).unwrap();
        let answers = answers(&mut started);
        assert!(matches!(
            answers[..],
            [StoreAnswer::SnapshotFailed(MakeSnapshotError::NoFile)]
        ));
        started.worker.apply(batch(2), 0);
        assert_eq!(started.worker.stop().unwrap(), OpNumber(2));
    }
}

#[test]
fn stopping_or_dropping_gives_a_snapshot_up() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("snapshot");
    for stops in [true, false] {
        let mut started = start(false, 0);
        started.worker.apply(batch(1), 0);
        started.worker.snapshot(path.clone(), OpNumber(1)).unwrap();
        let _words = started.snapshot;
        while !path.exists() {
            thread::yield_now();
        }
        if stops {
            assert_eq!(started.worker.stop().unwrap(), OpNumber(1));
        } else {
            drop(started.worker);
        }
        assert!(!path.exists());
    }
}

#[test]
fn a_snapshot_that_nobody_takes_is_gone_with_its_worker() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("snapshot");
    let mut started = start(false, 0);
    started.worker.snapshot(path, OpNumber::ZERO).unwrap();
    started.snapshot.send(Ok(())).unwrap();
    started.woken.recv().unwrap();
    assert_eq!(started.worker.stop().unwrap(), OpNumber::ZERO);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}
