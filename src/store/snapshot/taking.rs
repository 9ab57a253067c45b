//! How does a snapshot come off a link?

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use super::{SnapshotCheck, TRAILER_BYTES, Trailer, Unfinished, remove_snapshot};
use crate::store::StoreError;
use crate::store::schema::{MODE, file_error};
use crate::types::OpNumber;

/// A snapshot that is being received. Dropped, it leaves nothing.
#[derive(Debug)]
pub struct SnapshotWriter {
    /// What is in it is the beginning of a database.
    file: File,
    /// Where that is.
    unfinished: Unfinished,
    /// How many bytes came, those of `tail` among them.
    received: u64,
    /// CRC32C of all of them but `tail`.
    checksum: u32,
    /// The last bytes that came, which may be the trailer: at most [`TRAILER_BYTES`], and not in
    /// the file.
    tail: Vec<u8>,
}

/// A snapshot cannot be taken in. Nothing of it is kept, but after
/// [`OutOfOrder`](TakeSnapshotError::OutOfOrder), which changes nothing.
#[derive(Debug, thiserror::Error)]
pub enum TakeSnapshotError {
    /// This part begins elsewhere than the last one ended.
    #[error("a part of a snapshot begins at byte {offset}, and {received} bytes are there")]
    OutOfOrder {
        /// How many bytes are there, from the first one on.
        received: u64,
        /// Where the part begins.
        offset: u64,
    },
    /// Its end has not come, or more than that.
    #[error("a snapshot of {length} bytes ended after {received}")]
    Incomplete {
        /// How many bytes came.
        received: u64,
        /// How many there should be.
        length: u64,
    },
    /// It is not what was sent, or what was sent was damaged already.
    #[error("a snapshot is damaged: {0}")]
    Damaged(String),
    /// It is sound, and ends with another op than was promised.
    #[error("a snapshot holds everything up to op {applied}, and op {promised} was promised")]
    WrongOp {
        /// Its last op.
        applied: OpNumber,
        /// What was said before.
        promised: OpNumber,
    },
    /// It cannot be written, as on a full disk, or read again; or it is no store of this version.
    #[error("a snapshot cannot be taken in: {0}")]
    Store(StoreError),
    /// The operating system gives no thread.
    #[error("there is no thread to check a snapshot: {0}")]
    NoThread(io::Error),
    /// Its thread has panicked.
    #[error("the thread that checked a snapshot has panicked")]
    Panicked,
    /// Nobody wants it any more.
    #[error("the snapshot was given up")]
    Cancelled,
}

impl From<StoreError> for TakeSnapshotError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Damaged(what) => Self::Damaged(what),
            other => Self::Store(other),
        }
    }
}

impl SnapshotWriter {
    /// Begins a file at `path`, where it replaces what an earlier one has left. It has to be in the
    /// folder of the store that it is for. Its mode is 0600.
    ///
    /// # Errors
    ///
    /// The file cannot be made.
    pub fn create(path: &Path) -> Result<Self, TakeSnapshotError> {
        remove_snapshot(path)?;
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .mode(MODE)
            .open(path)
            .map_err(file_error(path))?;
        Ok(Self {
            file,
            unfinished: Unfinished(path.to_owned()),
            received: 0,
            checksum: 0,
            tail: Vec::with_capacity(TRAILER_BYTES),
        })
    }

    /// How many bytes came, from the first one on: where the next part has to begin.
    pub fn received(&self) -> u64 {
        self.received
    }

    /// Takes in the next part. It goes into the page cache; nothing is synced before the end.
    ///
    /// # Errors
    ///
    /// It is not the next one, and was not taken in; or it cannot be written: then only dropping
    /// this is left.
    pub fn write(&mut self, offset: u64, bytes: &[u8]) -> Result<(), TakeSnapshotError> {
        if offset != self.received {
            return Err(TakeSnapshotError::OutOfOrder {
                received: self.received,
                offset,
            });
        }
        self.received += bytes.len() as u64;
        // Of everything that is there, the last bytes stay behind.
        let settled = (self.tail.len() + bytes.len()).saturating_sub(TRAILER_BYTES);
        let of_tail = settled.min(self.tail.len());
        let (of_bytes, rest) = bytes.split_at(settled - of_tail);
        for part in [&self.tail[..of_tail], of_bytes] {
            self.checksum = crc32c::crc32c_append(self.checksum, part);
            self.file
                .write_all(part)
                .map_err(file_error(self.unfinished.path()))?;
        }
        self.tail.drain(..of_tail);
        self.tail.extend_from_slice(rest);
        Ok(())
    }

    /// Ends a snapshot of `length` bytes that was said to hold everything up to `applied`, and has
    /// it synced and checked on a thread of its own, which calls `wake` when
    /// [`SnapshotCheck::poll`] has the result.
    ///
    /// # Errors
    ///
    /// It has not as many bytes, or is not what was sent, or there is no thread to check it.
    pub fn finish(
        self,
        length: u64,
        applied: OpNumber,
        wake: Box<dyn Fn() + Send>,
    ) -> Result<SnapshotCheck, TakeSnapshotError> {
        if self.received != length {
            return Err(TakeSnapshotError::Incomplete {
                received: self.received,
                length,
            });
        }
        let expected = Trailer {
            checksum: self.checksum,
            bytes: length.saturating_sub(TRAILER_BYTES as u64),
        };
        if self.tail != expected.encode() {
            let path = self.unfinished.path().display();
            return Err(TakeSnapshotError::Damaged(format!(
                "{path} is not what was sent"
            )));
        }
        SnapshotCheck::start(self.file, self.unfinished, applied, wake)
    }
}

#[cfg(test)]
mod tests;
