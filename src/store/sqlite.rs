//! The store on disk: SQLite, in write-ahead-log mode.
//!
//! Between two checkpoints the changes are in the `-wal` file, and what of it survives a power cut is a
//! prefix that ends with a commit. A checkpoint moves the log into the database, syncs that, and empties the
//! log. A commit syncs the log, though nothing depends on it: so what is written goes to the disk a little
//! at a time, and the journal's own syncs never wait behind a whole log of it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::Connection;

use super::pending::Pending;
use super::problem::Problem;
use super::{
    Batch, Found, Query, SnapshotMaker, Store, StoreError, garbage, history, loading, schema,
    writing,
};
use crate::chat::change::Image;
use crate::limits::SNAPSHOT_BYTES_LEFT_FREE;
use crate::types::{OpNumber, Timestamp};

/// A [`Store`] in a file.
#[derive(Debug)]
pub struct SqliteStore {
    /// In a transaction from the first `apply` after a commit on.
    pub(super) connection: Connection,
    /// The database's file.
    path: PathBuf,
    /// The last op that was taken in, committed or not.
    applied: OpNumber,
    /// The time of the last message up to there.
    clock: Timestamp,
    /// The last op that is known to survive a power cut; 0 until the first checkpoint.
    synced: OpNumber,
    /// Empty when no transaction is open.
    pub(super) pending: Pending,
    /// Something that was handed over could not be written: nothing may be committed any more.
    is_broken: bool,
}

impl SqliteStore {
    /// Opens the store at `path`, and makes an empty one if there is no such file. If a snapshot
    /// was accepted for it, that takes its place first. Its files can be read by their owner
    /// alone.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, StoreError> {
        let path = path.as_ref();
        let connection = schema::open(path)?;
        let meta = loading::meta(&connection).map_err(|problem| problem.at(path))?;
        Ok(Self {
            connection,
            path: path.to_owned(),
            applied: meta.applied,
            clock: meta.clock,
            synced: OpNumber::ZERO,
            pending: Pending::default(),
            is_broken: false,
        })
    }

    /// Looks whether [`Self::open`] would find another program's file, or a newer version's, at
    /// `path`. Changes nothing, and is content if there is nothing.
    pub fn examine(path: impl AsRef<Path>) -> Result<(), StoreError> {
        schema::examine(path.as_ref()).map(|_| ())
    }

    /// The last op of a snapshot that was accepted for `path` and has not taken its place yet: the
    /// next [`Self::open`] finds everything up to it, so a journal has to be there that begins
    /// behind it. Changes nothing.
    ///
    /// # Errors
    ///
    /// There is one, and it cannot be read.
    pub fn accepted(path: impl AsRef<Path>) -> Result<Option<OpNumber>, StoreError> {
        schema::accepted(path.as_ref())
    }

    fn in_transaction(&self) -> bool {
        !self.connection.is_autocommit()
    }

    /// A transaction that lacks something must never be committed.
    fn check_unbroken(&self) -> Result<(), Problem> {
        match self.is_broken {
            true => Err(Problem::Damaged("messages could not be written".to_owned())),
            false => Ok(()),
        }
    }

    fn take_in(&mut self, batch: Batch) -> Result<(), Problem> {
        self.check_unbroken()?;
        if batch.applied <= self.applied {
            return Err(Problem::Damaged(format!(
                "op {} was handed over behind op {}",
                batch.applied, self.applied
            )));
        }
        if !self.in_transaction() {
            self.connection
                .prepare_cached("BEGIN IMMEDIATE")?
                .execute([])?;
        }
        writing::write(&self.connection, &mut self.pending, batch.changes)?;
        self.applied = batch.applied;
        self.clock = batch.clock;
        Ok(())
    }

    /// Writes what waits for the end of the transaction.
    fn flush(&mut self) -> Result<(), Problem> {
        self.check_unbroken()?;
        self.pending.write(&self.connection)?;
        writing::write_meta(&self.connection, self.applied, self.clock)
    }

    fn end_transaction(&mut self) -> Result<(), Problem> {
        if self.in_transaction() {
            self.flush()?;
            garbage::remove_slice(&self.connection)?;
            self.connection.prepare_cached("COMMIT")?.execute([])?;
        }
        Ok(())
    }

    fn find(&mut self, query: &Query) -> Result<Found, Problem> {
        // What a query sees has to be complete, and what fails here is missing from the transaction.
        self.check_unbroken()?;
        if let Err(problem) = self.pending.messages.write(&self.connection) {
            self.is_broken = true;
            return Err(problem);
        }
        history::answer(&self.connection, &self.pending.lists, query)
    }

    /// Moves the log into the database. Somebody who reads from it at the moment is not waited
    /// for: then the log stays for the next time.
    fn move_log(&mut self) -> Result<(), Problem> {
        self.connection.busy_timeout(Duration::ZERO)?;
        let (busy, frames, moved): (bool, i64, i64) =
            self.connection
                .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| {
                    Ok((row.get(0)?, row.get(1)?, row.get(2)?))
                })?;
        self.connection.busy_timeout(schema::BUSY_TIME_MAX)?;
        // Frames are -1 when somebody else has the lock of checkpoints. A log of which all frames
        // were moved and synced, but which could not be emptied, is as good as an empty one.
        if !busy || (frames >= 0 && frames == moved) {
            self.synced = self.applied;
        }
        Ok(())
    }
}

impl Store for SqliteStore {
    fn load(&mut self) -> Result<Image, StoreError> {
        let flushed = if self.in_transaction() {
            self.flush()
        } else {
            Ok(())
        };
        flushed
            .and_then(|()| loading::load(&self.connection))
            .map_err(|problem| problem.at(&self.path))
    }

    fn apply(&mut self, batch: Batch) -> Result<(), StoreError> {
        self.take_in(batch)
            .map_err(|problem| problem.at(&self.path))
    }

    fn commit(&mut self) -> Result<(), StoreError> {
        self.end_transaction()
            .map_err(|problem| problem.at(&self.path))
    }

    fn checkpoint(&mut self) -> Result<OpNumber, StoreError> {
        self.end_transaction()
            .and_then(|()| self.move_log())
            .map_err(|problem| problem.at(&self.path))?;
        Ok(self.synced)
    }

    fn unsynced_bytes(&self) -> Result<u64, StoreError> {
        let path = schema::wal_path(&self.path);
        match fs::metadata(&path) {
            Ok(metadata) => Ok(metadata.len()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
            Err(source) => Err(StoreError::File {
                path: path.display().to_string(),
                source,
            }),
        }
    }

    fn query(&mut self, query: &Query) -> Result<Found, StoreError> {
        self.find(query).map_err(|problem| problem.at(&self.path))
    }

    fn snapshot_maker(&self) -> Option<SnapshotMaker> {
        let database = self.path.clone();
        Some(SnapshotMaker::of_database(
            database,
            SNAPSHOT_BYTES_LEFT_FREE,
        ))
    }
}
