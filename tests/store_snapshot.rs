//! What becomes of a snapshot that is damaged, cut short, killed, or too large for its disk?

mod store_support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use lastword::chat::change::{Change, Image, Message};
use lastword::limits::SNAPSHOT_PART_BYTES;
use lastword::store::{
    Batch, CheckedSnapshot, Found, MakeSnapshotError, Query, Scope, SnapshotWriter, SqliteStore,
    Store, StoreAnswer, StoreWorker, TakeSnapshotError, remove_snapshot,
};
use lastword::types::{AccountId, ConversationId, Name, OpNumber, Timestamp};
use proptest::prelude::*;
use store_support::{any_run, queries, told};

const TRAILER_BYTES: usize = 16;
/// Tells a process that it is the one to be killed, and where.
const FOLDER: &str = "LASTWORD_TEST_FOLDER";

/// The bytes of a snapshot of everything that is committed.
fn snapshot(store: &SqliteStore, folder: &Path) -> Vec<u8> {
    let maker = store.snapshot_maker().unwrap();
    let made = maker.make(&folder.join("snapshot"), &Default::default());
    made.unwrap().reader.read_at(0, usize::MAX).unwrap()
}

/// What is said of a damaged store: no snapshot is made of it, so that nobody else gets the damage.
fn refusal(store: &SqliteStore, folder: &Path) -> String {
    let maker = store.snapshot_maker().unwrap();
    match maker.make(&folder.join("snapshot"), &Default::default()) {
        Err(MakeSnapshotError::Store(error)) if error.is_damage() => error.to_string(),
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("a snapshot of a damaged store"),
    }
}

fn write(path: &Path, bytes: &[u8]) -> Result<SnapshotWriter, TakeSnapshotError> {
    let mut writer = SnapshotWriter::create(path)?;
    for part in bytes.chunks(SNAPSHOT_PART_BYTES) {
        writer.write(writer.received(), part)?;
    }
    Ok(writer)
}

/// Takes in `bytes` at `path` and checks them.
fn take(
    path: &Path,
    bytes: &[u8],
    promised: OpNumber,
) -> Result<CheckedSnapshot, TakeSnapshotError> {
    let (wake, woken) = channel();
    let wake = Box::new(move || wake.send(()).unwrap());
    let mut check = write(path, bytes)?.finish(bytes.len() as u64, promised, wake)?;
    woken.recv().unwrap();
    check.poll().unwrap()
}

/// The same database with a trailer that fits, whatever has become of it.
fn sealed(database: &[u8]) -> Vec<u8> {
    let mut bytes = database.to_vec();
    bytes.extend_from_slice(b"LWs1");
    bytes.extend_from_slice(&crc32c::crc32c(database).to_be_bytes());
    bytes.extend_from_slice(&(database.len() as u64).to_be_bytes());
    bytes
}

fn messages(first: u64, last: u64) -> Batch {
    let members = [AccountId(1), AccountId(2)];
    let conversation = ConversationId(3);
    let mut changes = Vec::new();
    if first == 1 {
        for (name, id) in ["alice", "bob"].into_iter().zip(members) {
            changes.push(Change::AccountCreated {
                id,
                name: Name::parse(name).unwrap(),
                password_hash: String::new(),
            });
        }
        changes.push(Change::ConversationBegun {
            id: conversation,
            members,
        });
    }
    changes.extend((first.max(3)..=last).map(|id| {
        Change::MessageSent(Message {
            id: OpNumber(id),
            time: Timestamp(id),
            conversation,
            sender: members[id as usize % 2],
            recipient: members[1 - id as usize % 2],
            text: "0123456789".repeat(10),
        })
    }));
    Batch {
        applied: OpNumber(last),
        clock: Timestamp(last),
        changes,
    }
}

/// A store of some megabytes.
fn filled(path: &Path, last: u64) -> SqliteStore {
    let mut store = SqliteStore::open(path).unwrap();
    store.apply(messages(1, last)).unwrap();
    store.checkpoint().unwrap();
    store
}

fn worker(path: &Path) -> (StoreWorker, Receiver<()>) {
    let (wake, woken) = channel();
    let wake = Box::new(move || {
        let _ = wake.send(());
    });
    let store = SqliteStore::open(path).unwrap();
    (StoreWorker::start(Box::new(store), wake).unwrap(), woken)
}

#[test]
fn a_snapshot_of_another_format_is_refused_and_says_who_is_to_be_updated() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = SqliteStore::open(folder.path().join("store.db")).unwrap();
    store.commit().unwrap();
    let sound = snapshot(&store, folder.path());
    for format in [1_u32, 3] {
        let mut database = sound[..sound.len() - TRAILER_BYTES].to_vec();
        database[60..64].copy_from_slice(&format.to_be_bytes());
        let incoming = folder.path().join("incoming");
        let refused = take(&incoming, &sealed(&database), OpNumber::ZERO).unwrap_err();
        let sentence = refused.to_string();
        assert!(
            sentence.contains(&format!("has format {format}, ")),
            "{sentence}"
        );
        assert!(sentence.contains("; update the older one"), "{sentence}");
        assert!(!sentence.contains("--data"), "{sentence}");
        assert!(!incoming.exists());
    }
}

fn names_in(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() })]

    /// The sender's disk has flipped a bit: either that is found, or everybody still finds each of
    /// his messages and nothing else.
    #[test]
    fn what_was_damaged_before_it_was_sent_is_found(
        run in any_run(8),
        flips in prop::collection::vec(any::<(prop::sample::Index, u8)>(), 12),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let mut store = SqliteStore::open(folder.path().join("store.db")).unwrap();
        let told = told(&run);
        for (batch, ..) in &told {
            store.apply(batch.clone()).unwrap();
        }
        store.commit().unwrap();
        let (last, _, model) = told.last().unwrap();
        let sound = snapshot(&store, folder.path());
        let database = &sound[..sound.len() - TRAILER_BYTES];
        assert_eq!(sealed(database), sound);
        for (at, bit) in flips {
            let mut database = database.to_vec();
            let at = at.index(database.len());
            database[at] ^= 1 << (bit % 8);
            let incoming = folder.path().join("incoming");
            let checked = match take(&incoming, &sealed(&database), last.applied) {
                Ok(checked) => checked,
                Err(TakeSnapshotError::Damaged(_) | TakeSnapshotError::Store(_)) => {
                    prop_assert!(!incoming.exists());
                    continue;
                }
                Err(other) => panic!("{other:?}"),
            };
            let path = folder.path().join("other.db");
            checked.accept(&path).unwrap();
            let mut store = SqliteStore::open(&path).unwrap();
            for query in queries(model) {
                if matches!(&query, Query::Page { range, .. } if range.scope == Scope::All) {
                    assert_eq!(store.query(&query).unwrap(), model.answer(&query), "byte {at}");
                }
            }
        }
    }
}

#[test]
fn a_snapshot_of_another_op_or_of_no_store_is_refused_and_removed() {
    let folder = tempfile::tempdir().unwrap();
    let incoming = folder.path().join("incoming");
    let store = filled(&folder.path().join("store.db"), 100);
    let bytes = snapshot(&store, folder.path());
    let refused = take(&incoming, &bytes, OpNumber(101)).unwrap_err();
    assert!(
        matches!(
            refused,
            TakeSnapshotError::WrongOp {
                applied: OpNumber(100),
                promised: OpNumber(101)
            }
        ),
        "{refused}"
    );
    for other in [&b""[..], b"a letter"] {
        let refused = take(&incoming, &sealed(other), OpNumber(1)).unwrap_err();
        assert!(refused.to_string().contains("not a store"), "{refused}");
    }
    assert!(!incoming.exists());
    drop(store);
}

/// Each index in turn lacks a row.
#[test]
fn an_index_that_lacks_a_row_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    drop(filled(&path, 100));
    let indexes = [
        (
            "conversations_by_lower",
            "conversations (lower_member) WHERE id <> 3",
        ),
        (
            "conversations_by_higher",
            "conversations (higher_member) WHERE id <> 3",
        ),
    ];
    for (index, without) in indexes {
        let database = rusqlite::Connection::open(&path).unwrap();
        let sql: String = database
            .query_row(
                "SELECT sql FROM sqlite_schema WHERE name = ?1",
                [index],
                |row| row.get(0),
            )
            .unwrap();
        let forge = format!(
            "DROP INDEX {index}; CREATE INDEX {index} ON {without}; PRAGMA writable_schema = ON;"
        );
        database.execute_batch(&forge).unwrap();
        let restored = "UPDATE sqlite_schema SET sql = ?2 WHERE name = ?1";
        assert_eq!(database.execute(restored, [index, &sql]).unwrap(), 1);
        drop(database);
        let store = SqliteStore::open(&path).unwrap();
        let what = refusal(&store, folder.path());
        assert!(what.contains("index"), "{index}: {what}");
        drop(store);
        let database = rusqlite::Connection::open(&path).unwrap();
        database.execute_batch(&format!("REINDEX {index}")).unwrap();
        drop(database);
        let store = SqliteStore::open(&path).unwrap();
        let bytes = snapshot(&store, folder.path());
        take(&folder.path().join("incoming"), &bytes, OpNumber(100)).unwrap();
    }
}

/// The runs of a store of two accounts and of their conversation are forged, each time otherwise.
#[test]
fn lists_that_are_not_of_their_messages_are_found() {
    let folder = tempfile::tempdir().unwrap();
    let (path, copy) = (
        folder.path().join("store.db"),
        folder.path().join("copy.db"),
    );
    drop(filled(&path, 100));
    let forgeries = [
        ("DELETE FROM runs WHERE owner = 3 AND part = 2", "lists"),
        ("DELETE FROM runs WHERE owner = 1 AND part = -1", "lists"),
        ("DELETE FROM runs WHERE owner = 2 AND part = -2", "lists"),
        ("DELETE FROM messages WHERE id = 50", "lists"),
        (
            "UPDATE runs SET count = count + 1 WHERE owner = 3",
            "add up",
        ),
        ("UPDATE runs SET first = first + 1", "add up"),
        (
            "UPDATE runs SET part = 7 WHERE part = -1 AND owner = 1",
            "add up",
        ),
        (
            "UPDATE runs SET ids = CAST(ids || x'01' AS BLOB) WHERE part = -1",
            "add up",
        ),
        ("UPDATE runs SET checksum = 0 WHERE part = -2", "add up"),
    ];
    for (forgery, how) in forgeries {
        fs::copy(&path, &copy).unwrap();
        let database = rusqlite::Connection::open(&copy).unwrap();
        assert!(database.execute(forgery, []).unwrap() > 0, "{forgery}");
        drop(database);
        let store = SqliteStore::open(&copy).unwrap();
        let what = refusal(&store, folder.path());
        assert!(what.contains(how), "{forgery}: {what}");
    }
}

/// They go in slices, each list for itself, and snapshots are made between.
#[test]
fn what_is_left_of_the_lists_of_a_deleted_account_is_no_damage() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let mut store = filled(&path, 100);
    let reader = rusqlite::Connection::open(&path).unwrap();
    let received = "SELECT * FROM runs WHERE owner = 1 AND part = -1";
    let row: [rusqlite::types::Value; 6] = reader
        .query_row(received, [], |row| {
            let mut values = [const { rusqlite::types::Value::Null }; 6];
            for (at, value) in values.iter_mut().enumerate() {
                *value = row.get(at)?;
            }
            Ok(values)
        })
        .unwrap();
    let batch = Batch {
        applied: OpNumber(101),
        clock: Timestamp(101),
        changes: vec![Change::AccountDeleted { id: AccountId(1) }],
    };
    store.apply(batch).unwrap();
    store.commit().unwrap();
    let sent_or_received = "SELECT count(*) FROM runs WHERE owner = 1 AND part < 0";
    let rows: i64 = reader
        .query_row(sent_or_received, [], |row| row.get(0))
        .unwrap();
    assert_eq!(rows, 0);
    for _ in 0..2 {
        let bytes = snapshot(&store, folder.path());
        take(&folder.path().join("incoming"), &bytes, OpNumber(101)).unwrap();
        reader
            .execute(
                "REPLACE INTO runs VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                row.clone(),
            )
            .unwrap();
    }
}

#[test]
fn received_files_are_the_owners_alone_and_go_when_nobody_wants_them() {
    let folder = tempfile::tempdir().unwrap();
    let incoming = folder.path().join("incoming");
    let store = filled(&folder.path().join("store.db"), 20_000);
    let bytes = snapshot(&store, folder.path());
    drop(store);
    let writer = write(&incoming, &bytes).unwrap();
    let mode = fs::metadata(&incoming).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let length = bytes.len() as u64;
    // Given up while it is checked.
    let check = writer.finish(length, OpNumber(20_000), Box::new(|| {}));
    drop(check.unwrap());
    assert!(!incoming.exists());
    // Given up when it was.
    let checked = take(&incoming, &bytes, OpNumber(20_000)).unwrap();
    assert_eq!(checked.image().applied, OpNumber(20_000));
    assert!(incoming.exists());
    drop(checked);
    assert_eq!(names_in(folder.path()), ["store.db"]);
}

/// The store that a snapshot replaces was killed in the middle of its work: its log must not get
/// into the new one, whenever the next crash comes.
#[test]
fn an_accepted_snapshot_takes_the_place_of_a_store_and_of_its_log() {
    let folder = tempfile::tempdir().unwrap();
    let store = filled(&folder.path().join("store.db"), 1000);
    let bytes = snapshot(&store, folder.path());
    let (path, incoming) = (folder.path().join("old.db"), folder.path().join("incoming"));
    let mut old = filled(&path, 300);
    old.apply(messages(301, 400)).unwrap();
    old.commit().unwrap();
    let log = folder.path().join("old.db-wal");
    let (database, old_log) = (fs::read(&path).unwrap(), fs::read(&log).unwrap());
    drop(old);
    for crash_after_the_log in [false, true] {
        fs::write(&path, &database).unwrap();
        fs::write(&log, &old_log).unwrap();
        assert_eq!(SqliteStore::accepted(&path).unwrap(), None);
        let checked = take(&incoming, &bytes, OpNumber(1000)).unwrap();
        let image: Image = checked.accept(&path).unwrap();
        if crash_after_the_log {
            fs::remove_file(&log).unwrap();
        }
        // However often it is asked, nothing changes before it is opened.
        for _ in 0..2 {
            assert_eq!(SqliteStore::accepted(&path).unwrap(), Some(OpNumber(1000)));
            SqliteStore::examine(&path).unwrap();
            assert_eq!(fs::read(&path).unwrap(), database);
        }
        let mut store = SqliteStore::open(&path).unwrap();
        assert_eq!(store.load().unwrap(), image);
        assert_eq!(SqliteStore::accepted(&path).unwrap(), None);
        store.apply(messages(1001, 1002)).unwrap();
        store.checkpoint().unwrap();
        drop(store);
        let mut again = SqliteStore::open(&path).unwrap();
        assert_eq!(again.load().unwrap().applied, OpNumber(1002));
    }
}

/// Runs one test of this program in a process of its own, which finds `folder`.
fn child(test: &str, folder: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(FOLDER, folder)
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

fn folder_of_child() -> Option<PathBuf> {
    std::env::var_os(FOLDER).map(PathBuf::from)
}

/// Kills a child so many milliseconds after there was `file`; answers whether it was there then.
fn kill_at(child: &mut Child, file: &Path, delay: u64) -> bool {
    let began = Instant::now();
    while !file.exists() {
        assert!(child.try_wait().unwrap().is_none(), "the child has ended");
        assert!(
            began.elapsed() < Duration::from_secs(60),
            "there is no file"
        );
        std::thread::sleep(Duration::from_micros(100));
    }
    std::thread::sleep(Duration::from_millis(delay));
    child.kill().unwrap();
    child.wait().unwrap();
    file.exists()
}

#[test]
fn a_server_killed_while_it_makes_a_snapshot_has_lost_nothing() {
    if let Some(folder) = folder_of_child() {
        let path = folder.join("store.db");
        let mut op = SqliteStore::open(&path).unwrap().load().unwrap().applied.0;
        let (mut worker, woken) = worker(&path);
        loop {
            worker
                .snapshot(folder.join("snapshot"), OpNumber(op))
                .unwrap();
            while !worker
                .answers()
                .any(|answer| matches!(answer, StoreAnswer::Snapshot(_)))
            {
                worker.apply(messages(op + 1, op + 10), 1000);
                op += 10;
                let _ = woken.recv_timeout(Duration::from_millis(1));
            }
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let (path, making) = (
        folder.path().join("store.db"),
        folder.path().join("snapshot"),
    );
    drop(filled(&path, 30_000));
    let mut left = 0;
    let mut applied = OpNumber(30_000);
    for delay in [0, 0, 1, 5, 20] {
        let mut child = child(
            "a_server_killed_while_it_makes_a_snapshot_has_lost_nothing",
            folder.path(),
        );
        left += u32::from(kill_at(&mut child, &making, delay));
        remove_snapshot(&making).unwrap();
        let mut store = SqliteStore::open(&path).unwrap();
        let found = store.load().unwrap().applied;
        assert!(found >= applied, "op {found}, and not op {applied}");
        applied = found;
        let bytes = snapshot(&store, folder.path());
        take(&folder.path().join("incoming"), &bytes, applied).unwrap();
        drop(store);
        assert_eq!(names_in(folder.path()), ["store.db"]);
    }
    assert!(
        left > 0,
        "none was in the making when its server was killed"
    );
}

#[test]
fn a_learner_killed_while_it_takes_a_snapshot_in_has_its_old_store() {
    if let Some(folder) = folder_of_child() {
        let _old = SqliteStore::open(folder.join("store.db")).unwrap();
        let bytes = fs::read(folder.join("sent")).unwrap();
        loop {
            take(&folder.join("incoming"), &bytes, OpNumber(30_000)).unwrap();
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let (path, incoming) = (
        folder.path().join("store.db"),
        folder.path().join("incoming"),
    );
    let other = filled(&folder.path().join("other.db"), 30_000);
    fs::write(folder.path().join("sent"), snapshot(&other, folder.path())).unwrap();
    drop(other);
    drop(filled(&path, 500));
    let mut left = 0;
    for delay in [0, 0, 2, 10, 50] {
        let mut child = child(
            "a_learner_killed_while_it_takes_a_snapshot_in_has_its_old_store",
            folder.path(),
        );
        left += u32::from(kill_at(&mut child, &incoming, delay));
        assert_eq!(SqliteStore::accepted(&path).unwrap(), None);
        remove_snapshot(&incoming).unwrap();
        let mut store = SqliteStore::open(&path).unwrap();
        assert_eq!(store.load().unwrap().applied, OpNumber(500));
        drop(store);
        assert_eq!(names_in(folder.path()), ["other.db", "sent", "store.db"]);
    }
    assert!(left > 0, "none was there when its learner was killed");
}

/// In a process of its own, in which no file may become longer than a snapshot is.
#[test]
fn a_snapshot_that_cannot_be_written_ends_nothing_but_itself() {
    if let Some(folder) = folder_of_child() {
        // Without a handler, a write beyond the limit would end the process.
        let seen = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
        signal_hook::flag::register(signal_hook::consts::SIGXFSZ, seen).unwrap();
        let (mut worker, woken) = worker(&folder.join("store.db"));
        let limit = rustix::process::Rlimit {
            current: Some(1 << 20),
            maximum: Some(1 << 20),
        };
        rustix::process::setrlimit(rustix::process::Resource::Fsize, limit).unwrap();
        for round in 0..3 {
            let making = folder.join("snapshot");
            worker.snapshot(making, OpNumber(30_000)).unwrap();
            woken.recv().unwrap();
            match &worker.answers().collect::<Vec<_>>()[..] {
                [StoreAnswer::SnapshotFailed(MakeSnapshotError::Store(error))] => {
                    assert!(error.to_string().contains("store.db"), "{error}");
                }
                other => panic!("{other:?}"),
            }
            assert_eq!(
                names_in(&folder),
                ["store.db", "store.db-shm", "store.db-wal"]
            );
            worker.apply(messages(30_001 + round, 30_001 + round), 0);
            let account = AccountId(1);
            worker.query(0, Query::PasswordHash { account }).unwrap();
            woken.recv().unwrap();
            let found = worker.answers().next();
            let hash = Found::PasswordHash(Some(String::new()));
            assert!(matches!(found, Some(StoreAnswer::Found { found, .. }) if found == hash));
        }
        // A learner that gets one meets the same.
        let refused = write(&folder.join("incoming"), &[0; 2 << 20]).unwrap_err();
        assert!(matches!(refused, TakeSnapshotError::Store(_)), "{refused}");
        assert!(!folder.join("incoming").exists());
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    drop(filled(&path, 30_000));
    let test = "a_snapshot_that_cannot_be_written_ends_nothing_but_itself";
    let ended = child(test, folder.path()).wait().unwrap();
    assert!(ended.success(), "{ended}");
    let mut store = SqliteStore::open(&path).unwrap();
    assert!(store.load().unwrap().applied >= OpNumber(30_000));
}

/// A file system of so many bytes, until it is dropped; `None` where that is not allowed.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn new(size: &str) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o"])
            .arg(format!("size={size}"))
            .arg("tmpfs")
            .arg(folder.path())
            .stderr(Stdio::null())
            .status();
        match mounted {
            Ok(status) if status.success() => Some(Self(folder)),
            _ => {
                eprintln!("no file system could be mounted: not tested");
                None
            }
        }
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0.path()).status();
    }
}

#[test]
fn a_disk_that_is_too_small_is_not_filled() {
    let Some(small) = SmallDisk::new("2m") else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let store = filled(&path, 30_000);
    let bytes = snapshot(&store, folder.path());
    drop(store);
    let (mut worker, woken) = worker(&path);
    let making = small.0.path().join("snapshot");
    worker.snapshot(making, OpNumber(30_000)).unwrap();
    woken.recv().unwrap();
    match worker.answers().next() {
        Some(StoreAnswer::SnapshotFailed(error @ MakeSnapshotError::NoSpace { available, .. })) => {
            assert!(available <= 2 << 20, "{error}");
        }
        other => panic!("{other:?}"),
    }
    worker.apply(messages(30_001, 30_001), 0);
    assert_eq!(worker.stop().unwrap(), OpNumber(30_001));
    let refused = write(&small.0.path().join("incoming"), &bytes).unwrap_err();
    assert!(refused.to_string().contains("No space left"), "{refused}");
    assert!(names_in(small.0.path()).is_empty());
}
