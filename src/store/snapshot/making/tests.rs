//! Is a snapshot given up in time, and is it the database that it was made of?

use super::*;
use crate::chat::change::{Change, Message};
use crate::store::{Batch, SqliteStore, Store};
use crate::types::{AccountId, ConversationId, Name, Timestamp};

/// A store of some megabytes, in several steps of a copy.
fn filled(folder: &Path) -> SqliteStore {
    let mut store = SqliteStore::open(folder.join("store.db")).unwrap();
    let members = [AccountId(1), AccountId(2)];
    let names = ["alice", "bob"].into_iter().zip(members);
    let mut changes: Vec<Change> = names
        .map(|(name, id)| Change::AccountCreated {
            id,
            name: Name::parse(name).unwrap(),
            password_hash: String::new(),
        })
        .collect();
    let conversation = ConversationId(3);
    changes.push(Change::ConversationBegun {
        id: conversation,
        members,
    });
    changes.extend((3..30_000).map(|id| {
        Change::MessageSent(Message {
            id: OpNumber(id),
            time: Timestamp(id),
            conversation,
            sender: members[0],
            recipient: members[1],
            text: "0123456789".repeat(10),
        })
    }));
    let batch = Batch {
        applied: OpNumber(30_000),
        clock: Timestamp(30_000),
        changes,
    };
    store.apply(batch).unwrap();
    store.commit().unwrap();
    store
}

fn names_in(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

const STORE_ALONE: [&str; 3] = ["store.db", "store.db-shm", "store.db-wal"];

#[test]
fn a_snapshot_has_the_form_of_its_store_and_no_name() {
    let folder = tempfile::tempdir().unwrap();
    let store = filled(folder.path());
    let path = folder.path().join("snapshot");
    let made = store.snapshot_maker().unwrap();
    let made = made.make(&path, &Arc::default()).unwrap();
    assert_eq!(made.applied, OpNumber(30_000));
    assert_eq!(names_in(folder.path()), STORE_ALONE);

    let bytes = made.reader.read_at(0, usize::MAX).unwrap();
    assert_eq!(bytes.len() as u64, made.reader.length());
    let database = &bytes[..bytes.len() - super::super::TRAILER_BYTES];
    assert_eq!(
        crc32c::crc32c(database).to_be_bytes(),
        bytes[database.len() + 4..][..4]
    );
    fs::write(&path, database).unwrap();
    let copy = SqliteStore::open(&path).unwrap();
    let pragmas = [
        "page_size",
        "application_id",
        "user_version",
        "encoding",
        "journal_mode",
    ];
    for pragma in pragmas.into_iter().chain(["auto_vacuum"]) {
        let value = |of: &SqliteStore| -> rusqlite::types::Value {
            let connection = &of.connection;
            connection
                .pragma_query_value(None, pragma, |row| row.get(0))
                .unwrap()
        };
        assert_eq!(value(&copy), value(&store), "{pragma}");
    }
    let schema = |of: &SqliteStore| -> String {
        let sql =
            "SELECT group_concat(sql, ';') FROM (SELECT sql FROM sqlite_schema ORDER BY name)";
        of.connection.query_row(sql, [], |row| row.get(0)).unwrap()
    };
    assert_eq!(schema(&copy), schema(&store));
}

#[test]
fn a_part_is_read_from_anywhere() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("snapshot");
    let bytes: Vec<u8> = (0..=255).collect();
    fs::write(&path, &bytes).unwrap();
    let reader = SnapshotReader::open(&path).unwrap();
    assert_eq!(reader.length(), 256);
    assert_eq!(reader.read_at(0, 256).unwrap(), bytes);
    assert_eq!(reader.read_at(250, 100).unwrap(), bytes[250..]);
    assert_eq!(reader.read_at(7, 3).unwrap(), bytes[7..10]);
    for offset in [256, 257, u64::MAX] {
        assert!(reader.read_at(offset, 100).unwrap().is_empty());
    }
}

#[test]
fn nobody_needs_to_wait_for_one_that_is_given_up() {
    let folder = tempfile::tempdir().unwrap();
    let store = filled(folder.path());
    let maker = store.snapshot_maker().unwrap();
    let given_up = maker.make(&folder.path().join("snapshot"), &Arc::new(true.into()));
    assert!(matches!(given_up, Err(MakeSnapshotError::Cancelled)));
    assert_eq!(names_in(folder.path()), STORE_ALONE);
}

#[test]
fn the_last_of_the_disk_is_left_to_the_journal_and_the_store() {
    let folder = tempfile::tempdir().unwrap();
    let store = filled(folder.path());
    let database = folder.path().join("store.db");
    let path = folder.path().join("snapshot");
    // No disk has so much space at the beginning; and none has it any more later on.
    let at_once = make(&database, &path, u64::MAX, &Arc::default()).unwrap_err();
    assert!(matches!(at_once, MakeSnapshotError::NoSpace { .. }));
    let later = copy(&database, &path, u64::MAX, &Arc::default()).unwrap_err();
    assert!(
        matches!(&later, Problem::Sqlite(error)
            if error.sqlite_error_code() == Some(ErrorCode::OperationInterrupted)),
        "{later:?}"
    );
    remove_snapshot(&path).unwrap();
    assert_eq!(names_in(folder.path()), STORE_ALONE);
    drop(store);
}

#[test]
fn what_an_earlier_one_has_left_is_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let store = filled(folder.path());
    let path = folder.path().join("snapshot");
    fs::write(&path, b"SQLite format 3\0 and no more").unwrap();
    fs::write(folder.path().join("snapshot-journal"), b"half").unwrap();
    let maker = store.snapshot_maker().unwrap();
    maker.make(&path, &Arc::default()).unwrap();
    assert_eq!(names_in(folder.path()), STORE_ALONE);
}
