//! Do the store on disk and its twin in memory keep what they are told, and answer alike?

mod store_support;

use std::sync::mpsc::channel;

use lastword::store::{MemorySnapshots, MemoryStore, SnapshotWriter, SqliteStore, Store};
use lastword::types::OpNumber;
use proptest::prelude::*;
use store_support::model::Model;
use store_support::{End, Run, any_run, queries, told};

fn sqlite() -> (tempfile::TempDir, SqliteStore) {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(folder.path().join("store.db")).unwrap();
    (folder, store)
}

/// Every `stride`th query, so that a long run is looked at often and from all sides.
fn check(store: &mut dyn Store, model: &Model, first: usize, stride: usize) {
    assert_eq!(store.load().unwrap(), model.image());
    for query in queries(model).iter().skip(first % stride).step_by(stride) {
        assert_eq!(
            store.query(query).unwrap(),
            model.answer(query),
            "{query:?}"
        );
    }
}

fn follow(store: &mut dyn Store, run: &Run) {
    let told = told(run);
    for (turn, (batch, end, model)) in told.iter().enumerate() {
        store.apply(batch.clone()).unwrap();
        check(store, model, turn * 5, 17);
        match end {
            End::Open => {}
            End::Commit => store.commit().unwrap(),
            End::Checkpoint => {
                assert_eq!(store.checkpoint().unwrap(), batch.applied);
                assert_eq!(store.unsynced_bytes().unwrap(), 0);
            }
        }
        check(store, model, turn * 7, 19);
    }
    store.commit().unwrap();
    let (_, _, last) = told.last().unwrap();
    check(store, last, 0, 1);
}

/// A store of which snapshots can be taken, sent in parts, and used by somebody else.
trait Snapshots: Store + Sized {
    /// What is needed beside the store.
    type Around;
    /// A snapshot on its way.
    type Begun;

    fn new() -> (Self::Around, Self);

    /// Begins one of what is committed. It may see what is committed later, too.
    fn begin(&self, around: &mut Self::Around) -> Self::Begun;

    /// Sends it in parts of so many bytes; answers what it holds everything up to, and a store
    /// that was made of it.
    fn arrive(begun: Self::Begun, around: &mut Self::Around, part: usize) -> (OpNumber, Self);
}

impl Snapshots for SqliteStore {
    type Around = tempfile::TempDir;
    type Begun = std::thread::JoinHandle<lastword::store::MadeSnapshot>;

    fn new() -> (Self::Around, Self) {
        sqlite()
    }

    fn begin(&self, folder: &mut Self::Around) -> Self::Begun {
        let maker = self.snapshot_maker().unwrap();
        let path = folder.path().join("snapshot");
        std::thread::spawn(move || maker.make(&path, &Default::default()).unwrap())
    }

    fn arrive(begun: Self::Begun, folder: &mut Self::Around, part: usize) -> (OpNumber, Self) {
        let made = begun.join().unwrap();
        let length = made.reader.length();
        let incoming = folder.path().join("incoming");
        let mut writer = SnapshotWriter::create(&incoming).unwrap();
        while writer.received() < length {
            let bytes = made.reader.read_at(writer.received(), part).unwrap();
            writer.write(writer.received(), &bytes).unwrap();
        }
        let (wake, woken) = channel();
        let wake = Box::new(move || wake.send(()).unwrap());
        let mut check = writer.finish(length, made.applied, wake).unwrap();
        woken.recv().unwrap();
        let checked = check.poll().unwrap().unwrap();
        // What it replaces was another server's.
        let path = folder.path().join("other.db");
        drop(SqliteStore::open(&path).unwrap());
        let image = checked.accept(&path).unwrap();
        assert_eq!(SqliteStore::accepted(&path).unwrap(), Some(made.applied));
        let mut store = SqliteStore::open(&path).unwrap();
        assert_eq!(SqliteStore::accepted(&path).unwrap(), None);
        assert_eq!(store.load().unwrap(), image);
        (made.applied, store)
    }
}

impl Snapshots for MemoryStore {
    type Around = MemorySnapshots;
    type Begun = MemoryStore;

    fn new() -> (Self::Around, Self) {
        Default::default()
    }

    fn begin(&self, _: &mut Self::Around) -> Self::Begun {
        self.snapshot()
    }

    fn arrive(begun: Self::Begun, sent: &mut Self::Around, part: usize) -> (OpNumber, Self) {
        let bytes = sent.put(begun);
        let parts: Vec<&[u8]> = bytes.chunks(part).collect();
        if parts.len() > 1 {
            let but_the_last = parts[..parts.len() - 1].concat();
            assert!(sent.restore(&but_the_last).is_err());
            let but_the_first = parts[1..].concat();
            assert!(sent.restore(&but_the_first).is_err());
        }
        let mut store = sent.restore(&parts.concat()).unwrap();
        (store.load().unwrap().applied, store)
    }
}

/// A snapshot is begun after so many batches, while the others follow. It is the state of some
/// commit, at least the last one before, and goes on like the original.
fn snapshot_story<S: Snapshots>(run: &Run, begins: usize, part: usize) {
    let told = told(run);
    let begins = begins % told.len();
    let (mut around, mut store) = S::new();
    let (mut begun, mut at_least) = (None, OpNumber::ZERO);
    let mut committed = vec![Model::default()];
    for (turn, (batch, end, model)) in told.iter().enumerate() {
        if turn == begins {
            begun = Some(store.begin(&mut around));
            at_least = committed.last().unwrap().image().applied;
        }
        store.apply(batch.clone()).unwrap();
        if *end != End::Open {
            store.commit().unwrap();
            committed.push(model.clone());
        }
        if *end == End::Checkpoint {
            // Whoever makes a snapshot may keep it from getting everything to the disk.
            assert!(store.checkpoint().unwrap() <= batch.applied);
        }
    }
    let (applied, mut copy) = S::arrive(begun.unwrap(), &mut around, part);
    assert!(applied >= at_least, "op {applied}, and not op {at_least}");
    let as_of = committed.iter().find(|m| m.image().applied == applied);
    let as_of = as_of.expect("a snapshot is the state of some commit");
    check(&mut copy, as_of, begins, 5);
    // All of it is synced: a learner's journal begins behind it.
    assert_eq!(copy.checkpoint().unwrap(), applied);
    for (batch, end, _) in told.iter().filter(|(batch, ..)| batch.applied > applied) {
        copy.apply(batch.clone()).unwrap();
        if *end != End::Open {
            copy.commit().unwrap();
        }
    }
    let (_, _, last) = told.last().unwrap();
    check(&mut copy, last, begins, 7);
    check(&mut store, last, begins, 11);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn sqlite_answers_as_the_model_does(run in any_run(12)) {
        let (folder, mut store) = sqlite();
        follow(&mut store, &run);
        drop(store);
        let mut again = SqliteStore::open(folder.path().join("store.db")).unwrap();
        check(&mut again, &told(&run).last().unwrap().2, 3, 7);
    }

    #[test]
    fn memory_answers_as_the_model_does(run in any_run(12)) {
        follow(&mut MemoryStore::new(), &run);
    }

    #[test]
    fn a_snapshot_of_sqlite_is_the_store_of_some_commit(
        run in any_run(10),
        begins: usize,
        part in 1000_usize..100_000,
    ) {
        snapshot_story::<SqliteStore>(&run, begins, part);
    }

    #[test]
    fn a_snapshot_of_memory_is_the_store_of_some_commit(
        run in any_run(10),
        begins: usize,
        part in 1_usize..1000,
    ) {
        snapshot_story::<MemoryStore>(&run, begins, part);
    }

    #[test]
    fn memory_loses_at_a_crash_what_was_not_committed_or_synced(
        run in any_run(12),
        commits_lost in 0_usize..4,
    ) {
        let mut store = MemoryStore::new();
        // What may be found again: the last checkpoint, and each commit since then.
        let mut kept = vec![Model::default()];
        for (batch, end, model) in told(&run) {
            store.apply(batch).unwrap();
            match end {
                End::Open => continue,
                End::Commit => store.commit().unwrap(),
                End::Checkpoint => {
                    store.checkpoint().unwrap();
                    kept.clear();
                }
            }
            kept.push(model);
        }
        assert_eq!(store.commits_unsynced(), kept.len() - 1);
        store.crash(commits_lost);
        let expected = kept.len() - 1 - commits_lost.min(kept.len() - 1);
        check(&mut store, &kept[expected], 0, 5);
    }
}

#[test]
fn an_op_cannot_be_handed_over_twice() {
    let (_folder, mut on_disk) = sqlite();
    let mut in_memory = MemoryStore::new();
    let batch = lastword::store::Batch {
        applied: lastword::types::OpNumber(7),
        clock: lastword::types::Timestamp(0),
        changes: Vec::new(),
    };
    for store in [&mut on_disk as &mut dyn Store, &mut in_memory] {
        store.apply(batch.clone()).unwrap();
        let refused = store.apply(batch.clone()).unwrap_err();
        assert!(refused.to_string().contains("op 7"), "{refused}");
    }
}
