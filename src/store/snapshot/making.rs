//! How is a store copied while it is being written?
//!
//! By a second connection, on a thread of its own: `VACUUM INTO` holds one read transaction, so
//! that it sees a single commit, and the writer goes on beside it in its log. Only checkpoints have
//! to wait: the log grows until the copy is finished. The copy has no gaps, and its rows and their
//! checksums are the very bytes of the original.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::checking::read_everything;
use super::{NICENESS, SnapshotReader, Trailer, Unfinished, remove_snapshot};
use crate::limits::STORE_NICENESS;
use crate::store::niceness::be_nicer;
use crate::store::problem::Problem;
use crate::store::schema::{BUSY_TIME_MAX, MODE, file_error, folder_of};
use crate::store::{StoreError, loading};
use crate::types::OpNumber;

/// Steps of SQLite's machine between two looks at whether to give up: about a millisecond.
const STEPS_BETWEEN_LOOKS: i32 = 10_000;
/// What is read at a time for the checksum.
const CHUNK_BYTES: usize = 256 * 1024;

type Make = dyn FnOnce(&Path, &Arc<AtomicBool>) -> Result<MadeSnapshot, MakeSnapshotError> + Send;

/// Makes a snapshot of what is committed in a store, while that goes on.
pub struct SnapshotMaker(Box<Make>);

/// A snapshot that was made.
#[derive(Debug)]
pub struct MadeSnapshot {
    /// The op that it holds everything up to.
    pub applied: OpNumber,
    /// Its bytes.
    pub reader: SnapshotReader,
}

/// No snapshot was made. The store and the journal are as they were, and nothing of it is left.
#[derive(Debug, thiserror::Error)]
pub enum MakeSnapshotError {
    /// The disk is full or fails, or the store is damaged.
    #[error("no snapshot could be made: {0}")]
    Store(#[from] StoreError),
    /// It would leave the journal and the store too little of the disk.
    #[error(
        "no snapshot could be made: {path} has {available} bytes left on its disk, and a snapshot \
         needs {needed}"
    )]
    NoSpace {
        /// Its file.
        path: String,
        /// Bytes that have to be available, with what it leaves free.
        needed: u64,
        /// Bytes that are.
        available: u64,
    },
    /// The store is not as far as it has to be.
    #[error("no snapshot could be made: the store has op {applied}, and not op {asked}")]
    TooOld {
        /// The last op that is committed in the store.
        applied: OpNumber,
        /// The op that was asked for.
        asked: OpNumber,
    },
    /// The store is one in memory.
    #[error("no snapshot could be made: the store has no file")]
    NoFile,
    /// The operating system gives no thread.
    #[error("no snapshot could be made: there is no thread for it: {0}")]
    NoThread(io::Error),
    /// Its thread has panicked.
    #[error("no snapshot could be made: its thread has panicked")]
    Panicked,
    /// Nobody wants it any more.
    #[error("the snapshot was given up")]
    Cancelled,
}

impl SnapshotMaker {
    /// What makes a snapshot in its own way: it is told where, and given up when the flag is set.
    pub fn new(
        make: impl FnOnce(&Path, &Arc<AtomicBool>) -> Result<MadeSnapshot, MakeSnapshotError>
        + Send
        + 'static,
    ) -> Self {
        Self(Box::new(make))
    }

    /// What copies the store at `database`, unless less than `left_free` bytes of the disk would
    /// be left then.
    pub(in crate::store) fn of_database(database: PathBuf, left_free: u64) -> Self {
        Self::new(move |path, cancelled| {
            // The store's thread, which starts this one, is nicer than the loop already.
            be_nicer(NICENESS - STORE_NICENESS);
            make(&database, path, left_free, cancelled)
        })
    }

    /// Makes it at `path`, where it replaces what an earlier one has left; its mode is 0600, and it
    /// is not synced. It takes seconds: let a thread of its own call this, whose priority it
    /// lowers. When `cancelled` is set it ends within milliseconds.
    ///
    /// # Errors
    ///
    /// Nothing is left at `path` then.
    pub fn make(
        self,
        path: &Path,
        cancelled: &Arc<AtomicBool>,
    ) -> Result<MadeSnapshot, MakeSnapshotError> {
        (self.0)(path, cancelled)
    }
}

impl fmt::Debug for SnapshotMaker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SnapshotMaker")
    }
}

fn make(
    database: &Path,
    path: &Path,
    left_free: u64,
    cancelled: &Arc<AtomicBool>,
) -> Result<MadeSnapshot, MakeSnapshotError> {
    let length = fs::metadata(database).map_err(file_error(database))?.len();
    remove_snapshot(path)?;
    // SQLite makes files that others can read, but takes one that is there and empty.
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create_new(true)
        .mode(MODE)
        .open(path)
        .map_err(file_error(path))?;
    let unfinished = Unfinished(path.to_owned());
    check_space(path, left_free.saturating_add(length))?;
    let copied = copy(database, path, left_free, cancelled);
    match copied {
        Err(Problem::Sqlite(error))
            if error.sqlite_error_code() == Some(ErrorCode::OperationInterrupted) =>
        {
            let wanted = !cancelled.load(Ordering::Relaxed);
            return Err(if wanted {
                no_space(path, left_free, available(path)?)
            } else {
                MakeSnapshotError::Cancelled
            });
        }
        copied => copied.map_err(|problem| problem.at(database))?,
    }
    // A copy of damaged rows is whole as a file. Whoever got it would find them, and ask again and again.
    let applied = match read_everything(path, cancelled) {
        Err(_) if cancelled.load(Ordering::Relaxed) => return Err(MakeSnapshotError::Cancelled),
        read => read.map_err(|problem| problem.at(database))?.applied,
    };
    add_trailer(file, cancelled)
        .map_err(file_error(path))?
        .ok_or(MakeSnapshotError::Cancelled)?;
    let reader = SnapshotReader::open(path).map_err(file_error(path))?;
    unfinished.hand_on();
    Ok(MadeSnapshot { applied, reader })
}

/// Copies what is committed. The database's own file is opened by SQLite alone: any other handle
/// of this process would, when it is closed, take the locks of the store's connection along.
fn copy(
    database: &Path,
    path: &Path,
    left_free: u64,
    cancelled: &Arc<AtomicBool>,
) -> Result<(), Problem> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(database, flags)?;
    connection.busy_timeout(BUSY_TIME_MAX)?;
    // What is lost in a crash is made anew: nothing of it has to be synced. The cache is for
    // either file; every page is needed once.
    connection.execute_batch(
        "PRAGMA synchronous = OFF;
         PRAGMA cache_size = -4096;
         PRAGMA mmap_size = 0;
         PRAGMA temp_store = MEMORY;
         PRAGMA cell_size_check = ON;",
    )?;
    let (cancelled, watched) = (Arc::clone(cancelled), path.to_owned());
    let gives_up =
        move || cancelled.load(Ordering::Relaxed) || check_space(&watched, left_free).is_err();
    connection.progress_handler(STEPS_BETWEEN_LOOKS, Some(gives_up))?;
    let path = path
        .to_str()
        .ok_or_else(|| Problem::Damaged(format!("{} is no text", path.display())))?;
    connection.execute("VACUUM INTO ?1", [path])?;
    Ok(())
}

/// Whether so many bytes can still be had where `path` is.
fn check_space(path: &Path, needed: u64) -> Result<(), MakeSnapshotError> {
    match available(path)? {
        available if available < needed => Err(no_space(path, needed, available)),
        _ => Ok(()),
    }
}

fn available(path: &Path) -> Result<u64, StoreError> {
    let space = rustix::fs::statvfs(folder_of(path))
        .map_err(|errno| file_error(path)(io::Error::from(errno)))?;
    Ok(space.f_bavail.saturating_mul(space.f_frsize))
}

fn no_space(path: &Path, needed: u64, available: u64) -> MakeSnapshotError {
    MakeSnapshotError::NoSpace {
        path: path.display().to_string(),
        needed,
        available,
    }
}

/// The last op of the database at `path`, which nobody writes. Changes nothing.
pub(in crate::store) fn applied_in(path: &Path) -> Result<OpNumber, Problem> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    Ok(loading::meta(&connection)?.applied)
}

/// Writes the trailer behind the database; `None` if it was given up.
fn add_trailer(mut file: File, cancelled: &AtomicBool) -> io::Result<Option<()>> {
    let mut trailer = Trailer {
        checksum: 0,
        bytes: 0,
    };
    let mut chunk = vec![0; CHUNK_BYTES];
    file.rewind()?;
    loop {
        if cancelled.load(Ordering::Relaxed) {
            return Ok(None);
        }
        let read = match file.read(&mut chunk) {
            Ok(0) => break,
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        trailer.checksum = crc32c::crc32c_append(trailer.checksum, &chunk[..read]);
        trailer.bytes += read as u64;
    }
    file.write_all(&trailer.encode())?;
    Ok(Some(()))
}

#[cfg(test)]
mod tests;
