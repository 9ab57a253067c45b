//! What is left of the store after a crash, at whichever moment and however much of what was not
//! synced is gone?
//!
//! A crash is made of copies of the files. After the death of a process they are as they were
//! written, with the open transaction lost; after a power cut, everything since the last sync may
//! be there, or not, or be other bytes, sector by sector.

mod store_support;

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use lastword::chat::change::{Change, Message};
use lastword::store::{Batch, Found, SqliteStore, Store, StoredMessage};
use lastword::types::{AccountId, Name, OpNumber, Timestamp};
use proptest::prelude::*;
use store_support::model::Model;
use store_support::{End, Run, any_run, queries, told};

/// What a disk writes wholly or not at all.
const SECTOR: usize = 512;
/// The header of SQLite's log, which is synced before anything is written behind it.
const LOG_HEADER: usize = 32;

/// The bytes of the two files that count. (`-shm` is made again from the log.)
#[derive(Clone, Default)]
struct Files {
    database: Vec<u8>,
    log: Vec<u8>,
}

impl Files {
    fn of(database: &Path) -> Self {
        Self {
            database: fs::read(database).unwrap(),
            log: fs::read(log_path(database)).unwrap_or_default(),
        }
    }

    /// Puts the files into a new folder and opens what they are.
    fn open(&self) -> (tempfile::TempDir, SqliteStore) {
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("store.db");
        fs::write(&database, &self.database).unwrap();
        fs::write(log_path(&database), &self.log).unwrap();
        let store = SqliteStore::open(database).unwrap();
        (folder, store)
    }
}

fn log_path(database: &Path) -> PathBuf {
    database.with_extension("db-wal")
}

/// A run up to its end, and what may be found after it.
struct Crashed {
    told: Vec<(Batch, End, Model)>,
    /// The model as of each commit since the last checkpoint, and as of that.
    commits: Vec<Model>,
    /// The files at the end.
    last: Files,
    /// The files before and after the last checkpoint, if there was one.
    checkpoint: Option<(Files, Files)>,
}

fn crash(run: &Run) -> Crashed {
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("store.db");
    let mut store = SqliteStore::open(&database).unwrap();
    let mut crashed = Crashed {
        told: told(run),
        commits: vec![Model::default()],
        last: Files::default(),
        checkpoint: None,
    };
    for (batch, end, model) in &crashed.told {
        store.apply(batch.clone()).unwrap();
        if *end != End::Open {
            store.commit().unwrap();
        }
        if *end == End::Checkpoint {
            let before = Files::of(&database);
            assert_eq!(store.checkpoint().unwrap(), batch.applied);
            crashed.checkpoint = Some((before, Files::of(&database)));
            crashed.commits.clear();
        }
        if *end != End::Open {
            crashed.commits.push(model.clone());
        }
    }
    crashed.last = Files::of(&database);
    crashed
}

impl Crashed {
    /// The store is as of one of `allowed`, and the ops after that lead to where they led before.
    fn check(&self, files: &Files, allowed: &[Model]) {
        let (_folder, mut store) = files.open();
        let applied = store.load().unwrap().applied;
        let found = allowed
            .iter()
            .find(|model| model.image().applied == applied);
        let Some(model) = found else {
            let allowed: Vec<_> = allowed.iter().map(|m| m.image().applied).collect();
            panic!("the store is as of op {applied}, and not of one of {allowed:?}");
        };
        check(&mut store, model, 11);
        for (batch, end, _) in &self.told {
            if batch.applied > applied {
                store.apply(batch.clone()).unwrap();
                if *end != End::Open {
                    store.commit().unwrap();
                }
            }
        }
        let (last, _, model) = self.told.last().unwrap();
        check(&mut store, model, 13);
        assert_eq!(store.checkpoint().unwrap(), last.applied);
    }
}

fn check(store: &mut SqliteStore, model: &Model, stride: usize) {
    assert_eq!(store.load().unwrap(), model.image());
    for query in queries(model).iter().step_by(stride) {
        assert_eq!(
            store.query(query).unwrap(),
            model.answer(query),
            "{query:?}"
        );
    }
}

/// What became of a sector that was written and not synced.
#[derive(Clone, Copy, Debug)]
enum Sector {
    Written,
    Zeros,
    Garbage(u8),
}

fn any_sectors() -> impl Strategy<Value = Vec<Sector>> {
    let sector = prop_oneof![
        12 => Just(Sector::Written),
        1 => Just(Sector::Zeros),
        1 => any::<u8>().prop_map(Sector::Garbage),
    ];
    prop::collection::vec(sector, 1..600)
}

/// The log as a power cut leaves it: any length, and behind the header sectors that were written
/// or were not. (Beyond the list nothing was lost.)
fn cut(log: &[u8], length: prop::sample::Index, sectors: &[Sector]) -> Vec<u8> {
    let mut log = log.to_vec();
    let mut header = LOG_HEADER;
    for (bytes, sector) in log.chunks_mut(SECTOR).zip(sectors) {
        let unsynced = &mut bytes[header..];
        header = 0;
        match sector {
            Sector::Written => {}
            Sector::Zeros => unsynced.fill(0),
            Sector::Garbage(seed) => unsynced.fill(*seed),
        }
    }
    log.truncate(length.index(log.len() + 1));
    log
}

/// A database in the middle of being written: each page as it was, or as it will be.
fn half_moved(before: &[u8], after: &[u8], moved: &[bool]) -> Vec<u8> {
    let mut database = before.to_vec();
    if moved.len().is_multiple_of(2) {
        database.resize(after.len().max(before.len()), 0);
    }
    for ((to, from), moved) in database
        .chunks_mut(SECTOR)
        .zip(after.chunks(SECTOR))
        .zip(moved.iter().cycle())
    {
        if *moved && to.len() == from.len() {
            to.copy_from_slice(from);
        }
    }
    database
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_killed_process_loses_its_open_transaction_alone(run in any_run(10)) {
        let crashed = crash(&run);
        let newest = crashed.commits.last().unwrap();
        crashed.check(&crashed.last, std::slice::from_ref(newest));
    }

    #[test]
    fn a_power_cut_leaves_the_state_of_some_commit(
        run in any_run(10),
        length: prop::sample::Index,
        sectors in any_sectors(),
    ) {
        let crashed = crash(&run);
        for sectors in [&[], &sectors[..]] {
            let log = cut(&crashed.last.log, length, sectors);
            let database = crashed.last.database.clone();
            crashed.check(&Files { database, log }, &crashed.commits);
        }
    }

    #[test]
    fn a_power_cut_during_a_checkpoint_loses_nothing_of_it(
        run in any_run(8),
        moved in prop::collection::vec(any::<bool>(), 1..64),
    ) {
        let mut run = run;
        run.last_mut().unwrap().1 = End::Checkpoint;
        let crashed = crash(&run);
        let (before, after) = crashed.checkpoint.clone().unwrap();
        // The log was synced, and is being moved.
        let database = half_moved(&before.database, &after.database, &moved);
        let log = before.log.clone();
        crashed.check(&Files { database, log }, &crashed.commits);
        // All of it was moved, and the log was emptied, but that did not reach the disk.
        let database = after.database.clone();
        let log = before.log;
        crashed.check(&Files { database, log }, &crashed.commits);
        crashed.check(&after, &crashed.commits);
    }

    #[test]
    fn a_flipped_bit_is_reported_or_harmless(
        run in any_run(8),
        flips in prop::collection::vec(any::<(prop::sample::Index, u8)>(), 24),
    ) {
        let mut run = run;
        run.last_mut().unwrap().1 = End::Checkpoint;
        let crashed = crash(&run);
        let sent = Sent::of(&crashed.told);
        for (at, bit) in flips {
            let mut files = crashed.last.clone();
            let at = at.index(files.database.len());
            files.database[at] ^= 1 << (bit % 8);
            sent.check(&files, &crashed.told.last().unwrap().2);
        }
    }
}

/// Everything that was said, and by whom.
struct Sent {
    messages: HashMap<OpNumber, Message>,
    names: HashMap<AccountId, Name>,
}

impl Sent {
    fn of(told: &[(Batch, End, Model)]) -> Self {
        let mut sent = Self {
            messages: HashMap::new(),
            names: HashMap::new(),
        };
        for change in told.iter().flat_map(|(batch, ..)| &batch.changes) {
            match change {
                Change::MessageSent(message) => {
                    sent.messages.insert(message.id, message.clone());
                }
                Change::AccountCreated { id, name, .. } => {
                    sent.names.insert(*id, *name);
                }
                _ => {}
            }
        }
        sent
    }

    /// Uses a database with a flipped bit: every call gives an error, or else nothing that was
    /// not said.
    fn check(&self, files: &Files, model: &Model) {
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("store.db");
        fs::write(&database, &files.database).unwrap();
        let Ok(mut store) = SqliteStore::open(database) else {
            return;
        };
        let image = store.load();
        for account in image.iter().flat_map(|image| &image.accounts) {
            assert_eq!(self.names[&account.id], account.name);
        }
        for query in queries(model).iter().step_by(5) {
            if let Ok(Found::Page { messages, .. }) = store.query(query) {
                messages.iter().for_each(|message| self.was_said(message));
            }
        }
        let batch = Batch {
            applied: model.image().applied.next(),
            clock: Timestamp(u64::MAX),
            changes: Vec::new(),
        };
        // Also what comes afterwards may fail, but not panic.
        let _ = store.apply(batch).and_then(|()| store.checkpoint());
    }

    fn was_said(&self, shown: &StoredMessage) {
        let said = &self.messages[&shown.id];
        let numbers = (shown.time, shown.conversation, shown.sender);
        assert_eq!(numbers, (said.time, said.conversation, said.sender));
        assert_eq!(shown.text, said.text);
        for (name, id) in [(&shown.from, said.sender), (&shown.to, said.recipient)] {
            let name = name.trim_end_matches("(deleted)");
            assert_eq!(name, self.names[&id].as_str());
        }
    }
}
