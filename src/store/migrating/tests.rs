//! Is a store of format 1 the same store afterwards, whenever a crash comes in between?

use std::fs;
use std::sync::mpsc::channel;

use super::*;
use crate::chat::change::{Change, Message};
use crate::store::{Batch, MemoryStore, Query, Range, Scope, SnapshotWriter, SqliteStore, Store};
use crate::types::{AccountId, ConversationId, Name, OpNumber, Timestamp};

/// What format 1 had in place of the runs.
const INDEXES: &str = "
    CREATE INDEX messages_by_conversation ON messages (conversation, recipient);
    CREATE INDEX messages_by_recipient ON messages (recipient);
    CREATE INDEX messages_by_sender ON messages (sender) WHERE sender <> recipient;
    DROP TABLE runs;
    PRAGMA user_version = 1;";
const ACCOUNTS: u64 = 4;
const MESSAGES: u64 = 8_000;

/// Everybody writes to everybody, some more than others, and then the last account goes.
fn batches() -> Vec<Batch> {
    let mut changes: Vec<Change> = (1..=ACCOUNTS)
        .map(|id| Change::AccountCreated {
            id: AccountId(id),
            name: Name::parse(&format!("n{id}")).unwrap(),
            password_hash: String::new(),
        })
        .collect();
    let mut begun = HashSet::new();
    for turn in 0..MESSAGES {
        let id = 100 + turn;
        let (sender, recipient) = (1 + turn % 3 % ACCOUNTS, 1 + turn * turn % 7 % ACCOUNTS);
        let members = [sender.min(recipient), sender.max(recipient)];
        let conversation = ConversationId(10 * members[0] + members[1]);
        if begun.insert(conversation) {
            changes.push(Change::ConversationBegun {
                id: conversation,
                members: members.map(AccountId),
            });
        }
        changes.push(Change::MessageSent(Message {
            id: OpNumber(id),
            time: Timestamp(id),
            conversation,
            sender: AccountId(sender),
            recipient: AccountId(recipient),
            text: format!("message {id}"),
        }));
    }
    let batch = |applied, changes| Batch {
        applied: OpNumber(applied),
        clock: Timestamp(0),
        changes,
    };
    let id = AccountId(ACCOUNTS);
    vec![
        batch(100 + MESSAGES, changes),
        batch(101 + MESSAGES, vec![Change::AccountDeleted { id }]),
    ]
}

/// A store of format 1 in `folder`, and what it has to answer.
fn of_format_1(folder: &Path) -> (std::path::PathBuf, MemoryStore) {
    let path = folder.join("store.db");
    let mut store = SqliteStore::open(&path).unwrap();
    let mut twin = MemoryStore::new();
    for batch in batches() {
        store.apply(batch.clone()).unwrap();
        store.commit().unwrap();
        twin.apply(batch).unwrap();
    }
    store.connection.execute_batch(INDEXES).unwrap();
    store.checkpoint().unwrap();
    drop(store);
    assert_eq!(fs::read(&path).unwrap()[60..64], 1_u32.to_be_bytes());
    (path, twin)
}

fn check(path: &Path, twin: &mut MemoryStore) {
    SqliteStore::examine(path).unwrap();
    let mut store = SqliteStore::open(path).unwrap();
    assert_eq!(fs::read(path).unwrap()[60..64], FORMAT.to_be_bytes());
    assert_eq!(store.load().unwrap(), twin.load().unwrap());
    let mut scopes = vec![
        Scope::All,
        Scope::Unread {
            read_up_to: Vec::new(),
        },
    ];
    let conversations =
        (1..=ACCOUNTS).flat_map(|one| (one..=ACCOUNTS).map(move |other| 10 * one + other));
    scopes.extend(conversations.map(|id| Scope::Conversation(ConversationId(id))));
    for account in 1..=ACCOUNTS {
        for scope in &scopes {
            let range = |after, before| Range {
                account: AccountId(account),
                scope: scope.clone(),
                after: OpNumber(after),
                before: OpNumber(before),
            };
            for query in [
                Query::Count(range(0, u64::MAX)),
                Query::Count(range(1_000, 5_000)),
                Query::Newest {
                    range: range(0, u64::MAX),
                    limit: u32::MAX,
                },
                Query::Page {
                    range: range(3_000, u64::MAX),
                    limit: 200,
                },
            ] {
                assert_eq!(
                    store.query(&query).unwrap(),
                    twin.query(&query).unwrap(),
                    "{query:?}"
                );
            }
        }
    }
    // That the lists have each message, and no other, is what the check of a snapshot looks at.
    let folder = path.parent().unwrap();
    let maker = store.snapshot_maker().unwrap();
    let made = maker
        .make(&folder.join("snapshot"), &Default::default())
        .unwrap();
    let bytes = made.reader.read_at(0, usize::MAX).unwrap();
    let mut writer = SnapshotWriter::create(&folder.join("incoming")).unwrap();
    writer.write(0, &bytes).unwrap();
    let (wake, woken) = channel();
    let wake = Box::new(move || wake.send(()).unwrap());
    let mut checking = writer
        .finish(bytes.len() as u64, made.applied, wake)
        .unwrap();
    woken.recv().unwrap();
    checking.poll().unwrap().unwrap();
}

fn count(connection: &Connection, sql: &str) -> i64 {
    connection.query_row(sql, [], |row| row.get(0)).unwrap()
}

#[test]
fn a_store_of_format_1_answers_as_before() {
    let folder = tempfile::tempdir().unwrap();
    let (path, mut twin) = of_format_1(folder.path());
    check(&path, &mut twin);
    // What the deleted account had is garbage that was never made.
    let connection = Connection::open(&path).unwrap();
    let own = format!("SELECT count(*) FROM runs WHERE owner = {ACCOUNTS} AND part < 0");
    assert_eq!(count(&connection, &own), 0);
    let indexes =
        "SELECT count(*) FROM sqlite_schema WHERE type = 'index' AND tbl_name = 'messages'";
    assert_eq!(count(&connection, indexes), 0);
    // The second time there is nothing to do.
    check(&path, &mut twin);
}

#[test]
fn a_store_goes_on_after_it_was_converted_and_its_garbage_goes() {
    let folder = tempfile::tempdir().unwrap();
    let (path, _) = of_format_1(folder.path());
    let mut store = SqliteStore::open(&path).unwrap();
    let mut op = 200 + MESSAGES;
    for id in 1..ACCOUNTS {
        op += 1;
        let batch = Batch {
            applied: OpNumber(op),
            clock: Timestamp(0),
            changes: vec![Change::AccountDeleted { id: AccountId(id) }],
        };
        store.apply(batch).unwrap();
        store.commit().unwrap();
    }
    while count(&store.connection, "SELECT count(*) FROM garbage") > 0 {
        op += 1;
        let batch = Batch {
            applied: OpNumber(op),
            clock: Timestamp(0),
            changes: Vec::new(),
        };
        store.apply(batch).unwrap();
        store.commit().unwrap();
    }
    for table in ["messages", "runs", "conversations", "accounts"] {
        let sql = format!("SELECT count(*) FROM {table}");
        assert_eq!(count(&store.connection, &sql), 0, "{table}");
    }
}

/// The files that count, as they are while somebody writes them, in a folder of their own.
fn copy(path: &Path) -> (tempfile::TempDir, std::path::PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let to = folder.path().join("store.db");
    fs::copy(path, &to).unwrap();
    fs::copy(path.with_extension("db-wal"), to.with_extension("db-wal")).unwrap();
    (folder, to)
}

#[test]
fn a_crash_in_the_middle_leaves_either_format_whole() {
    let folder = tempfile::tempdir().unwrap();
    let (path, mut twin) = of_format_1(folder.path());
    let connection = Connection::open(&path).unwrap();
    // So little room that the transaction is in the log long before its end.
    connection
        .execute_batch("PRAGMA cache_size = 2; PRAGMA wal_autocheckpoint = 0; BEGIN")
        .unwrap();
    convert(&connection).unwrap();
    let (_before, open) = copy(&path);
    let log = fs::metadata(open.with_extension("db-wal")).unwrap();
    assert!(log.len() > 10_000, "{}", log.len());
    connection.execute_batch("COMMIT").unwrap();
    let (_after, committed) = copy(&path);
    // The log was not moved: the file itself is of format 1 in both.
    for copied in [&open, &committed] {
        assert_eq!(fs::read(copied).unwrap()[60..64], 1_u32.to_be_bytes());
        check(copied, &mut twin);
    }
}
