//! Is what was received a store that one may go on with?
//!
//! What the trailer's checksum proves is that it is what the sender has. Whether that was sound is
//! looked at here: the form of every page, that each index has exactly its table's rows, that the
//! lists have exactly the messages that belong there, and the checksums of messages, runs, accounts,
//! sessions and of the last op. That costs about a second of the processor for a million messages,
//! so it happens on a thread. What no checksum covers are conversations, read cursors, remembered
//! creations and garbage: of these only the form is checked.
//!
//! The lists are not looked at one by one: the table of their runs is read from end to end, and
//! has to add up to what the table of messages does. What the lists of a deleted account still
//! have is garbage, and nobody can ask for it.

use std::collections::HashSet;
use std::fs::{self, File};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, TryRecvError};
use std::thread::{self, JoinHandle};

use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::{NICENESS, TakeSnapshotError, Unfinished};
use crate::chat::change::Image;
use crate::store::codec::{column, integer};
use crate::store::inserting::message_checksum;
use crate::store::lists::List;
use crate::store::niceness::be_nicer;
use crate::store::problem::Problem;
use crate::store::run::Run;
use crate::store::schema::{self, file_error, sync_folder_of};
use crate::store::writing::account_checksum;
use crate::store::{StoreError, loading};
use crate::types::{AccountId, ConversationId, OpNumber, Timestamp};

/// Steps of SQLite's machine between two looks at whether to give up.
const STEPS_BETWEEN_LOOKS: i32 = 10_000;

/// A snapshot that is being checked. Dropped, it is given up and removed, which waits for a sync
/// of it that is under way.
#[derive(Debug)]
pub struct SnapshotCheck {
    result: Receiver<Result<CheckedSnapshot, TakeSnapshotError>>,
    cancelled: Arc<AtomicBool>,
    /// `None` once it was joined.
    thread: Option<JoinHandle<()>>,
}

/// A snapshot that is sound and on disk. Dropped without [`Self::accept`], it is removed.
#[derive(Debug)]
pub struct CheckedSnapshot {
    unfinished: Unfinished,
    image: Image,
}

/// Calls when it is dropped, also by a panic.
struct WakeAtEnd(Box<dyn Fn() + Send>);

impl Drop for WakeAtEnd {
    fn drop(&mut self) {
        (self.0)();
    }
}

impl SnapshotCheck {
    pub(super) fn start(
        file: File,
        unfinished: Unfinished,
        promised: OpNumber,
        wake: Box<dyn Fn() + Send>,
    ) -> Result<Self, TakeSnapshotError> {
        let cancelled = Arc::new(AtomicBool::new(false));
        let (sender, result) = mpsc::channel();
        let seen = Arc::clone(&cancelled);
        let run = move || {
            // Dropped last: the loop finds the result, or that there is none, when it is woken.
            let _wake = WakeAtEnd(wake);
            let sender = sender;
            be_nicer(NICENESS);
            let checked = check(&file, unfinished, promised, &seen);
            // Nobody receives it: then it is given up, and so removed.
            let _ = sender.send(checked);
        };
        let thread = thread::Builder::new()
            .name("snapshot".to_owned())
            .spawn(run)
            .map_err(TakeSnapshotError::NoThread)?;
        Ok(Self {
            result,
            cancelled,
            thread: Some(thread),
        })
    }

    /// The result, once there is one, and once. Never waits.
    ///
    /// # Errors
    ///
    /// (In the result.) The snapshot is of no use and was removed.
    pub fn poll(&mut self) -> Option<Result<CheckedSnapshot, TakeSnapshotError>> {
        match self.result.try_recv() {
            Ok(result) => Some(result),
            Err(TryRecvError::Empty) => None,
            Err(TryRecvError::Disconnected) => Some(Err(TakeSnapshotError::Panicked)),
        }
    }
}

impl Drop for SnapshotCheck {
    fn drop(&mut self) {
        self.cancelled.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // A panic has told of itself on standard error.
            let _ = thread.join();
        }
    }
}

impl CheckedSnapshot {
    /// Everything of it that memory has to hold.
    pub fn image(&self) -> &Image {
        &self.image
    }

    /// Makes it what [`SqliteStore::open`](crate::store::SqliteStore::open) finds at `store`, from
    /// now on and whatever happens. Only the next `open` replaces what is there: before it, the
    /// store that is there has to be closed, and a journal that fits this one begun. (A crash in
    /// between is found by
    /// [`SqliteStore::accepted`](crate::store::SqliteStore::accepted).)
    ///
    /// # Errors
    ///
    /// The file cannot be renamed: then it is removed, and the store stays as it was.
    pub fn accept(self, store: &Path) -> Result<Image, StoreError> {
        let accepted = schema::accepted_path(store);
        fs::rename(self.unfinished.path(), &accepted).map_err(file_error(&accepted))?;
        self.unfinished.hand_on();
        sync_folder_of(&accepted)?;
        Ok(self.image)
    }
}

fn check(
    file: &File,
    unfinished: Unfinished,
    promised: OpNumber,
    cancelled: &Arc<AtomicBool>,
) -> Result<CheckedSnapshot, TakeSnapshotError> {
    let path = unfinished.path();
    file.sync_all().map_err(file_error(path))?;
    check_format(path)?;
    let image = match read_everything(path, cancelled) {
        Err(Problem::Sqlite(error))
            if error.sqlite_error_code() == Some(ErrorCode::OperationInterrupted) =>
        {
            return Err(TakeSnapshotError::Cancelled);
        }
        read => read.map_err(|problem| problem.at(path))?,
    };
    if image.applied != promised {
        return Err(TakeSnapshotError::WrongOp {
            applied: image.applied,
            promised,
        });
    }
    Ok(CheckedSnapshot { unfinished, image })
}

/// What is older could be converted, but what sends it is to be updated anyway.
fn check_format(path: &Path) -> Result<(), TakeSnapshotError> {
    let format = schema::format_of(path)?;
    if format == schema::FORMAT {
        return Ok(());
    }
    let (known, version) = (schema::FORMAT, env!("CARGO_PKG_VERSION"));
    Err(TakeSnapshotError::Store(StoreError::Foreign(format!(
        "it has format {format}, and this server ({version}) uses format {known}: the server that sent \
         it runs another version of lastword; update the older one of the two"
    ))))
}

/// Reads a database that nobody writes from end to end, and checks every row and page of it.
pub(super) fn read_everything(path: &Path, cancelled: &Arc<AtomicBool>) -> Result<Image, Problem> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(path, flags)?;
    connection.execute_batch(
        "PRAGMA cache_size = -16384;
         PRAGMA mmap_size = 0;
         PRAGMA temp_store = MEMORY;
         PRAGMA cell_size_check = ON;",
    )?;
    let cancelled = Arc::clone(cancelled);
    let gives_up = move || cancelled.load(Ordering::Relaxed);
    connection.progress_handler(STEPS_BETWEEN_LOOKS, Some(gives_up))?;
    check_pages(&connection)?;
    let living = check_accounts(&connection)?;
    check_messages(&connection, &living)?;
    loading::load(&connection)
}

/// The form of everything, and all indexes. (`integrity_check` looks every row up in every index,
/// so it is used where there is one.)
fn check_pages(connection: &Connection) -> Result<(), Problem> {
    for check in [
        "PRAGMA quick_check(1)",
        "PRAGMA integrity_check(accounts)",
        "PRAGMA integrity_check(conversations)",
        "PRAGMA integrity_check(sessions)",
    ] {
        let said: String = connection.prepare(check)?.query_row([], |row| row.get(0))?;
        if said != "ok" {
            return Err(Problem::Damaged(said));
        }
    }
    Ok(())
}

/// Also those that are gone: their names are shown. Answers the living.
fn check_accounts(connection: &Connection) -> Result<HashSet<AccountId>, Problem> {
    let mut statement = connection.prepare(
        "SELECT id, name, password_hash, password_version, deleted, checksum FROM accounts",
    )?;
    let mut rows = statement.query([])?;
    let mut living = HashSet::new();
    while let Some(row) = rows.next()? {
        let id = AccountId(column(row, 0)?);
        let name = row.get_ref(1)?.as_str().map_err(not_text)?;
        let password_hash = row.get_ref(2)?.as_str().map_err(not_text)?;
        let deleted = row.get(4)?;
        let sum = account_checksum(id, name, password_hash, row.get(3)?, deleted);
        if row.get::<_, i64>(5)? != sum {
            return Err(Problem::Damaged(format!("account {id} does not add up")));
        }
        if !deleted {
            living.insert(id);
        }
    }
    Ok(living)
}

/// What the messages of all lists add up to, in whichever order they come.
#[derive(Default, PartialEq)]
struct ListsSum(u64);

impl ListsSum {
    fn add(&mut self, list: List, id: i64) {
        let mut bytes = [0; 24];
        for (to, from) in bytes.chunks_exact_mut(8).zip([list.owner, list.part, id]) {
            to.copy_from_slice(&from.to_be_bytes());
        }
        self.0 = self.0.wrapping_add(crc32c::crc32c(&bytes).into());
    }
}

fn check_messages(connection: &Connection, living: &HashSet<AccountId>) -> Result<(), Problem> {
    if check_message_rows(connection, living)? == check_runs(connection, living)? {
        return Ok(());
    }
    let what = "the lists of messages are not of these messages";
    Err(Problem::Damaged(what.to_owned()))
}

/// Checks each message, and answers what the lists have to add up to.
fn check_message_rows(
    connection: &Connection,
    living: &HashSet<AccountId>,
) -> Result<ListsSum, Problem> {
    let mut lists = ListsSum::default();
    let mut statement = connection.prepare(
        "SELECT id, conversation, sender, recipient, time, text, checksum FROM messages",
    )?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let id = OpNumber(column(row, 0)?);
        let conversation = ConversationId(column(row, 1)?);
        let (sender, recipient) = (AccountId(column(row, 2)?), AccountId(column(row, 3)?));
        let time = Timestamp(column(row, 4)?);
        let text = row.get_ref(5)?.as_str().map_err(not_text)?;
        let sum = message_checksum(id, conversation, sender, recipient, time, text);
        if row.get::<_, i64>(6)? != sum {
            return Err(Problem::Damaged(format!("message {id} does not add up")));
        }
        let id = integer(id.0);
        lists.add(List::written_to(conversation, recipient), id);
        if living.contains(&recipient) {
            lists.add(List::received_by(recipient), id);
        }
        if sender != recipient && living.contains(&sender) {
            lists.add(List::sent_by(sender), id);
        }
    }
    Ok(lists)
}

/// Checks each run, and answers what they add up to.
fn check_runs(connection: &Connection, living: &HashSet<AccountId>) -> Result<ListsSum, Problem> {
    let mut lists = ListsSum::default();
    let mut statement =
        connection.prepare("SELECT first, count, ids, checksum, owner, part FROM runs")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let list = List {
            owner: row.get(4)?,
            part: row.get(5)?,
        };
        let ids = Run::of_row(row, list)?.ids(list)?;
        if list.is_of_conversation() || living.contains(&AccountId(column(row, 4)?)) {
            ids.iter().for_each(|id| lists.add(list, *id));
        }
    }
    Ok(lists)
}

fn not_text(error: rusqlite::types::FromSqlError) -> Problem {
    Problem::Damaged(format!("a text is none: {error}"))
}
