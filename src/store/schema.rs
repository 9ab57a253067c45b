//! What does the file look like, and is it ours?
//!
//! A database is made whole under another name and then renamed, so that a file of the right name
//! always has its tables. Before SQLite touches a file, its header is read as plain bytes: another
//! program's database, or one of a newer version of this program, is left as it is.
//!
//! The text of messages is there to be read with `sqlite3`, in a copy of the files. Which messages
//! are of a conversation only this program finds without looking at all of them; otherwise
//!
//! ```sql
//! SELECT messages.id, name, text FROM messages JOIN accounts ON accounts.id = sender
//!     WHERE conversation = 17 ORDER BY messages.id;
//! ```
//!
//! Measured by `tests/store_cost.rs` with 1,000,000 messages of 100 bytes, with fifty pairs who talk
//! without a pause and with everybody talking to everybody (nearly each message of a transaction in
//! another one of 100,000 conversations): what each costs the processor, and what of it is written,
//! into the log and out of it.
//!
//! ```text
//!                                   fifty pairs            everybody
//! three indexes of messages         2.7 us   415 bytes     8.4 us   1230 bytes
//! runs, in pages of 4096 bytes      1.0 us   326 bytes     4.7 us   1182 bytes
//! runs, in pages of 8192 bytes      0.9 us   326 bytes     4.2 us   1174 bytes
//! runs, in pages of 16384 bytes     0.8 us   331 bytes     3.7 us   1179 bytes
//! ```
//!
//! With 4,000,000 messages of everybody, pages of 16384 bytes save a third of the processor and
//! write 5 % more. What they cost is a message that has a transaction for itself: some 100 KiB, once
//! in a second at most.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Read};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use super::problem::Problem;
use super::snapshot::applied_in;
use super::{StoreError, migrating};
use crate::types::OpNumber;

/// `LWst`, at byte 68 of the file: how a database of ours is known.
const APPLICATION_ID: i32 = 0x4c57_7374;
/// The format of the tables, at byte 60. One higher whenever an older program could not read them.
pub(super) const FORMAT: i32 = 2;
/// The lowest format that is converted when its store is opened.
const FORMAT_CONVERTED: i32 = 1;
/// The size of a page, in a new store. (A store that was converted keeps what it has.)
const PAGE_BYTES: usize = 16384;
/// What every SQLite database begins with.
const MAGIC: &[u8; 16] = b"SQLite format 3\0";
/// The part of the file that says whose it is.
const HEADER_BYTES: usize = 100;
/// Only the owner reads what people say to each other.
pub(super) const MODE: u32 = 0o600;
/// How long a write waits for somebody who looks into the live database with a tool that locks it.
pub(super) const BUSY_TIME_MAX: Duration = Duration::from_secs(5);
/// More than there are statements in this module, so that each is compiled once.
const STATEMENTS_KEPT: usize = 64;

/// Everything but the runs.
const TABLES: &str = "
    CREATE TABLE meta (
        id INTEGER PRIMARY KEY CHECK (id = 1),
        applied INTEGER NOT NULL,
        clock INTEGER NOT NULL,
        cluster BLOB,
        checksum INTEGER NOT NULL
    ) STRICT;

    CREATE TABLE accounts (
        id INTEGER PRIMARY KEY,
        name TEXT NOT NULL,
        password_hash TEXT NOT NULL,
        password_version INTEGER NOT NULL,
        all_read_up_to INTEGER NOT NULL,
        deleted INTEGER NOT NULL,
        checksum INTEGER NOT NULL
    ) STRICT;
    CREATE UNIQUE INDEX living_names ON accounts (name) WHERE deleted = 0;

    CREATE TABLE conversations (
        id INTEGER PRIMARY KEY,
        lower_member INTEGER NOT NULL,
        higher_member INTEGER NOT NULL
    ) STRICT;
    CREATE INDEX conversations_by_lower ON conversations (lower_member);
    CREATE INDEX conversations_by_higher ON conversations (higher_member)
        WHERE lower_member <> higher_member;

    CREATE TABLE cursors (
        account INTEGER NOT NULL,
        conversation INTEGER NOT NULL,
        up_to INTEGER NOT NULL,
        PRIMARY KEY (account, conversation)
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE messages (
        id INTEGER PRIMARY KEY,
        conversation INTEGER NOT NULL,
        sender INTEGER NOT NULL,
        recipient INTEGER NOT NULL,
        time INTEGER NOT NULL,
        text TEXT NOT NULL,
        checksum INTEGER NOT NULL
    ) STRICT;

    CREATE TABLE sessions (
        id BLOB PRIMARY KEY NOT NULL,
        account INTEGER NOT NULL,
        state BLOB NOT NULL,
        checksum INTEGER NOT NULL
    ) STRICT;
    CREATE INDEX sessions_by_account ON sessions (account);

    CREATE TABLE creations (
        op INTEGER PRIMARY KEY,
        session BLOB NOT NULL,
        number INTEGER NOT NULL,
        outcome BLOB NOT NULL
    ) STRICT;

    CREATE TABLE garbage (
        account INTEGER PRIMARY KEY,
        conversation INTEGER NOT NULL
    ) STRICT;
";

/// Which messages are of a conversation (`owner`) to one of its members (`part`), and which an
/// account (`owner`) received (`part` -1) or sent to others (`part` -2): `count` ids from `first` on,
/// where `ids` has what each is above the one before. The only thing that format 1 had other, with
/// three indexes of `messages` in its place.
pub(super) const RUNS_TABLE: &str = "
    CREATE TABLE runs (
        owner INTEGER NOT NULL,
        part INTEGER NOT NULL,
        first INTEGER NOT NULL,
        count INTEGER NOT NULL,
        ids BLOB NOT NULL,
        checksum INTEGER NOT NULL,
        PRIMARY KEY (owner, part, first)
    ) STRICT, WITHOUT ROWID;
";

/// Whether there is a database at `path`; one that is not ours, or newer, is an error. Changes
/// nothing.
pub(super) fn examine(path: &Path) -> Result<bool, StoreError> {
    let accepted = accepted_path(path);
    if accepted.try_exists().map_err(file_error(&accepted))? {
        return check_header(&accepted).map(|_| true);
    }
    match fs::metadata(path) {
        // A copy that was begun, or a file whose bytes did not survive a power cut, holds as much as none.
        Ok(metadata) if metadata.len() == 0 => Ok(false),
        Ok(_) => check_header(path).map(|_| true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(file_error(path)(error)),
    }
}

/// Opens the database at `path`, and makes it if there is none. One of an older format is converted.
pub(super) fn open(path: &Path) -> Result<Connection, StoreError> {
    if !examine(path)? {
        create(path)?;
    }
    put_in_place(path)?;
    restrict(path)?;
    // Looked at before SQLite has the file: whoever else closes it takes SQLite's locks along.
    let is_older = check_header(path)? < FORMAT;
    check_length(path)?;
    let mut connection = connect(path).map_err(|problem| problem.at(path))?;
    if is_older {
        migrating::migrate(&mut connection, path).map_err(|problem| problem.at(path))?;
    }
    Ok(connection)
}

/// A snapshot that is to replace the database at `path`.
pub(super) fn accepted_path(path: &Path) -> PathBuf {
    beside(path, ".accepted")
}

/// The last op of such a snapshot, if there is one. Changes nothing.
pub(super) fn accepted(path: &Path) -> Result<Option<OpNumber>, StoreError> {
    let accepted = accepted_path(path);
    if !accepted.try_exists().map_err(file_error(&accepted))? {
        return Ok(None);
    }
    check_header(&accepted)?;
    applied_in(&accepted)
        .map(Some)
        .map_err(|problem| problem.at(&accepted))
}

/// The write-ahead log that belongs to the database at `path`.
pub(super) fn wal_path(path: &Path) -> PathBuf {
    beside(path, "-wal")
}

fn connect(path: &Path) -> Result<Connection, Problem> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY_TIME_MAX)?;
    let mode: String =
        connection.pragma_update_and_check(None, "journal_mode", "wal", |row| row.get(0))?;
    if mode != "wal" {
        return Err(Problem::Damaged(format!(
            "its journal mode is {mode}, not wal"
        )));
    }
    // FULL syncs the log at each commit: nothing needs it, since the replicated journal has everything until
    // a checkpoint, but what is written at once has to be synced at once, too, and meanwhile nobody's message
    // is acknowledged. Checkpoints are ours to time, because only they let the journal's segments go. The
    // cache is what a transaction over many conversations dirties; no mmap, for an unreadable page has to
    // be an error and not a signal.
    connection.execute_batch(
        "PRAGMA synchronous = FULL;
         PRAGMA wal_autocheckpoint = 0;
         PRAGMA foreign_keys = OFF;
         PRAGMA cache_size = -49152;
         PRAGMA mmap_size = 0;
         PRAGMA temp_store = MEMORY;
         PRAGMA cell_size_check = ON;",
    )?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_KEPT);
    // Plans do not depend on what is bound to parameters, or else SQLite would make most of them
    // again at each use.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    Ok(connection)
}

/// Makes an empty store that is there wholly or not at all, also after a power cut.
fn create(path: &Path) -> Result<(), StoreError> {
    refuse_orphaned_log(path)?;
    let draft = beside(path, ".new");
    for leftover in [draft.clone(), beside(&draft, "-journal")] {
        match fs::remove_file(&leftover) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(file_error(&leftover)(error));
            }
            _ => {}
        }
    }
    let file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(MODE)
        .open(&draft)
        .map_err(file_error(&draft))?;
    fill(&draft).map_err(|problem| problem.at(&draft))?;
    file.sync_all().map_err(file_error(&draft))?;
    fs::rename(&draft, path).map_err(file_error(path))?;
    sync_folder_of(path)
}

/// Lets a snapshot that was accepted take the place of the database at `path`, if there is one.
/// The log of the old database goes first, or SQLite would move it into the new one; as long as the
/// snapshot has its own name, all of this is done again after a crash.
fn put_in_place(path: &Path) -> Result<(), StoreError> {
    let accepted = accepted_path(path);
    if !accepted.try_exists().map_err(file_error(&accepted))? {
        return Ok(());
    }
    for old in [wal_path(path), beside(path, "-shm")] {
        match fs::remove_file(&old) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(file_error(&old)(error));
            }
            _ => {}
        }
    }
    sync_folder_of(path)?;
    fs::rename(&accepted, path).map_err(file_error(path))?;
    sync_folder_of(path)
}

/// Where a file is.
pub(super) fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// Makes names that were given or removed beside `path` survive a power cut.
pub(super) fn sync_folder_of(path: &Path) -> Result<(), StoreError> {
    let folder = folder_of(path);
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(file_error(folder))
}

/// SQLite would move the log of a database that is gone into the new one.
fn refuse_orphaned_log(path: &Path) -> Result<(), StoreError> {
    let log = wal_path(path);
    if !log.try_exists().map_err(file_error(&log))? {
        return Ok(());
    }
    Err(StoreError::NotAStore(format!(
        "{}, without {}, which it belongs to,",
        log.display(),
        path.display()
    )))
}

fn fill(draft: &Path) -> Result<(), Problem> {
    let connection = Connection::open(draft)?;
    connection.execute_batch(&format!(
        "PRAGMA page_size = {PAGE_BYTES};
         BEGIN;
         PRAGMA application_id = {APPLICATION_ID};
         PRAGMA user_version = {FORMAT};
         {TABLES}
         {RUNS_TABLE}
         COMMIT;"
    ))?;
    Ok(())
}

/// Reads whose file it is, without touching it, and that it has a format that can be opened. Answers
/// which.
fn check_header(path: &Path) -> Result<i32, StoreError> {
    let format = format_of(path)?;
    if !(FORMAT_CONVERTED..=FORMAT).contains(&format) {
        return Err(StoreError::Foreign(format!(
            "{} has format {format}, and this version of lastword knows formats {FORMAT_CONVERTED} and \
             {FORMAT}: start the version that wrote it, or choose another data folder with --data",
            path.display()
        )));
    }
    Ok(format)
}

/// Reads whose file it is, without touching it, and answers its format, whichever that is.
pub(super) fn format_of(path: &Path) -> Result<i32, StoreError> {
    let mut header = Vec::with_capacity(HEADER_BYTES);
    File::open(path)
        .and_then(|file| file.take(HEADER_BYTES as u64).read_to_end(&mut header))
        .map_err(file_error(path))?;
    let ours = header.len() == HEADER_BYTES
        && header.starts_with(MAGIC)
        && header[68..72] == APPLICATION_ID.to_be_bytes();
    if !ours {
        return Err(StoreError::NotAStore(path.display().to_string()));
    }
    Ok(i32::from_be_bytes([
        header[60], header[61], header[62], header[63],
    ]))
}

/// A database that is shorter than its header says has lost its end, unless that is in the log: SQLite would say so
/// only to whoever reads it. (Bytes 16, 24, 28 and 92 of the header: the size of a page, 1 meaning 65,536; how often
/// the file was changed; the number of pages; and the change as of which that is right.)
fn check_length(path: &Path) -> Result<(), StoreError> {
    let log = wal_path(path);
    if fs::metadata(&log).is_ok_and(|metadata| metadata.len() > 0) {
        return Ok(());
    }
    let length = fs::metadata(path).map_err(file_error(path))?.len();
    let mut header = [0; HEADER_BYTES];
    File::open(path)
        .and_then(|mut file| file.read_exact(&mut header))
        .map_err(file_error(path))?;
    let page_bytes = match u16::from_be_bytes([header[16], header[17]]) {
        1 => 65_536,
        bytes => u64::from(bytes),
    };
    let pages = u32::from_be_bytes([header[28], header[29], header[30], header[31]]);
    if header[24..28] == header[92..96] && length < page_bytes * u64::from(pages) {
        return Err(StoreError::Damaged(format!(
            "{} has {length} bytes, and {pages} pages of {page_bytes} bytes should be in it",
            path.display()
        )));
    }
    Ok(())
}

/// Files of the owner alone; SQLite gives new ones the mode of the database.
fn restrict(path: &Path) -> Result<(), StoreError> {
    for file in [path.to_owned(), wal_path(path), beside(path, "-shm")] {
        match fs::set_permissions(&file, Permissions::from_mode(MODE)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(file_error(&file)(error));
            }
            _ => {}
        }
    }
    Ok(())
}

/// The path with `suffix` behind it.
pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

pub(super) fn file_error(path: &Path) -> impl FnOnce(io::Error) -> StoreError {
    let path = path.display().to_string();
    move |source| StoreError::File { path, source }
}
