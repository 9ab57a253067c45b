//! Do the store on disk and its twin in memory keep what they are told, and answer alike?

mod store_support;

use lastword::store::{MemoryStore, SqliteStore, Store};
use proptest::prelude::*;
use store_support::model::Model;
use store_support::{End, any_run, queries, told};

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

fn follow(store: &mut dyn Store, run: &store_support::Run) {
    let told = told(run);
    for (turn, (batch, end, model)) in told.iter().enumerate() {
        store.apply(batch).unwrap();
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
    fn memory_loses_at_a_crash_what_was_not_committed_or_synced(
        run in any_run(12),
        commits_lost in 0_usize..4,
    ) {
        let mut store = MemoryStore::new();
        // What may be found again: the last checkpoint, and each commit since then.
        let mut kept = vec![Model::default()];
        for (batch, end, model) in told(&run) {
            store.apply(&batch).unwrap();
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
        store.apply(&batch).unwrap();
        let refused = store.apply(&batch).unwrap_err();
        assert!(refused.to_string().contains("op 7"), "{refused}");
    }
}
