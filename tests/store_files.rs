//! Whose file is it, who may read it, and what is left alone?

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use lastword::chat::change::{Change, Image};
use lastword::store::{Batch, SqliteStore, Store, StoreError};
use lastword::types::{AccountId, Name, OpNumber, Timestamp};

fn one_account() -> Batch {
    Batch {
        applied: OpNumber(1),
        clock: Timestamp(0),
        changes: vec![Change::AccountCreated {
            id: AccountId(1),
            name: Name::parse("alice").unwrap(),
            password_hash: "$argon2id$".to_owned(),
        }],
    }
}

/// The names, modes and contents of all files in a folder.
fn everything_in(folder: &Path) -> Vec<(String, u32, Vec<u8>)> {
    let mut files: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| {
            let entry = entry.unwrap();
            let name = entry.file_name().into_string().unwrap();
            let mode = entry.metadata().unwrap().permissions().mode() & 0o777;
            (name, mode, fs::read(entry.path()).unwrap())
        })
        .collect();
    files.sort();
    files
}

#[test]
fn a_new_store_is_empty_and_the_owners_alone() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = SqliteStore::open(folder.path().join("store.db")).unwrap();
    assert_eq!(store.load().unwrap(), Image::empty());
    store.apply(one_account()).unwrap();
    store.commit().unwrap();
    let files = everything_in(folder.path());
    let names: Vec<_> = files.iter().map(|(name, ..)| name.as_str()).collect();
    assert_eq!(names, ["store.db", "store.db-shm", "store.db-wal"]);
    assert!(files.iter().all(|(_, mode, _)| *mode == 0o600), "{names:?}");
}

#[test]
fn a_store_that_others_could_read_is_closed_to_them() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    drop(SqliteStore::open(&path).unwrap());
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    let _store = SqliteStore::open(&path).unwrap();
    assert!(
        everything_in(folder.path())
            .iter()
            .all(|(_, mode, _)| *mode == 0o600)
    );
}

#[test]
fn what_is_not_ours_is_refused_and_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let other = folder.path().join("other.db");
    rusqlite::Connection::open(&other)
        .and_then(|other| other.execute_batch("CREATE TABLE theirs (a)"))
        .unwrap();
    let other = fs::read(folder.path().join("other.db")).unwrap();
    for content in [b"a letter", &[0; 4096][..], &other] {
        fs::write(&path, content).unwrap();
        let before = everything_in(folder.path());
        match SqliteStore::open(&path) {
            Err(error @ StoreError::NotAStore(_)) => {
                assert!(error.to_string().contains("--data"));
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(everything_in(folder.path()), before);
    }
}

#[test]
fn an_empty_file_holds_as_much_as_none() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    fs::write(&path, b"").unwrap();
    let mut store = SqliteStore::open(&path).unwrap();
    assert_eq!(store.load().unwrap(), Image::empty());
}

#[test]
fn a_store_that_has_lost_its_end_is_damaged() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let mut store = SqliteStore::open(&path).unwrap();
    store.apply(one_account()).unwrap();
    store.checkpoint().unwrap();
    drop(store);
    let bytes = fs::read(&path).unwrap();
    for length in [bytes.len() - 1, bytes.len() / 2, 4096] {
        fs::write(&path, &bytes[..length]).unwrap();
        let refused = SqliteStore::open(&path).unwrap_err();
        assert!(refused.is_damage(), "{length}: {refused}");
    }
    fs::write(&path, &bytes[..99]).unwrap();
    let refused = SqliteStore::open(&path).unwrap_err();
    assert!(matches!(refused, StoreError::NotAStore(_)), "{refused}");
    fs::write(&path, &bytes).unwrap();
    assert_eq!(
        SqliteStore::open(&path)
            .unwrap()
            .load()
            .unwrap()
            .accounts
            .len(),
        1
    );
}

#[test]
fn a_newer_store_is_refused_and_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    drop(SqliteStore::open(&path).unwrap());
    let mut bytes = fs::read(&path).unwrap();
    bytes[60..64].copy_from_slice(&3_u32.to_be_bytes());
    fs::write(&path, bytes).unwrap();
    let before = everything_in(folder.path());
    match SqliteStore::open(&path) {
        Err(StoreError::Foreign(sentence)) => {
            assert!(sentence.contains("has format 3, "), "{sentence}");
            assert!(sentence.contains("knows formats 1 and 2: "), "{sentence}");
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(everything_in(folder.path()), before);
}

#[test]
fn a_folder_that_is_missing_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("missing").join("store.db");
    let refused = SqliteStore::open(path).unwrap_err().to_string();
    assert!(refused.contains("missing/store.db"), "{refused}");
}

#[test]
fn a_store_that_was_half_made_is_made_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    fs::write(
        folder.path().join("store.db.new"),
        b"SQLite format 3\0 and no more",
    )
    .unwrap();
    fs::write(
        folder.path().join("store.db.new-journal"),
        b"half of a page",
    )
    .unwrap();
    let mut store = SqliteStore::open(path).unwrap();
    assert_eq!(store.load().unwrap(), Image::empty());
    drop(store);
    assert_eq!(everything_in(folder.path()).len(), 1);
}

#[test]
fn a_log_without_its_database_is_not_taken_for_another_ones() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let mut store = SqliteStore::open(&path).unwrap();
    store.apply(one_account()).unwrap();
    store.commit().unwrap();
    // Its owner goes on, and so the log stays.
    fs::remove_file(&path).unwrap();
    let before = everything_in(folder.path());
    match SqliteStore::open(&path) {
        Err(StoreError::NotAStore(path)) => assert!(path.contains("store.db-wal")),
        other => panic!("{other:?}"),
    }
    assert_eq!(everything_in(folder.path()), before);
}

#[test]
fn somebody_who_reads_holds_up_no_checkpoint_but_his_own_view() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let mut store = SqliteStore::open(&path).unwrap();
    assert_eq!(store.checkpoint().unwrap(), OpNumber::ZERO);
    let reader = rusqlite::Connection::open(&path).unwrap();
    let accounts = |reader: &rusqlite::Connection| -> i64 {
        let count = "SELECT count(*) FROM accounts";
        reader.query_row(count, [], |row| row.get(0)).unwrap()
    };
    reader.execute_batch("BEGIN").unwrap();
    assert_eq!(accounts(&reader), 0);
    store.apply(one_account()).unwrap();
    // The reader still needs the pages that the log would overwrite.
    assert_eq!(store.checkpoint().unwrap(), OpNumber::ZERO);
    assert_eq!(accounts(&reader), 0);
    reader.execute_batch("COMMIT").unwrap();
    assert_eq!(store.checkpoint().unwrap(), OpNumber(1));
    assert_eq!(accounts(&reader), 1);
}
