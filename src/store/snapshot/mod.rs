//! How does a server that was away for too long get everything that it has missed?
//!
//! From a snapshot: the whole store of the primary as of some commit. It is made into a file
//! ([`SnapshotMaker`]), read in parts ([`SnapshotReader`]), written in parts by who gets it
//! ([`SnapshotWriter`]), checked from end to end ([`SnapshotCheck`]), and only then used
//! ([`CheckedSnapshot`]).
//!
//! ```text
//! offset 0                                             length - 16              length
//!        | a database, as it will be used               | trailer               |
//!                                                       | LWs1 | crc  | bytes   |
//!                                                         4      4      8
//! ```
//!
//! The trailer has the checksum (CRC32C) and the length of the database. It is written last, so
//! that no part of a snapshot can pass for the whole, and it never reaches the receiver's file.

mod checking;
mod making;
mod memory;
mod reading;
mod taking;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

pub use checking::{CheckedSnapshot, SnapshotCheck};
pub(super) use making::applied_in;
pub use making::{MadeSnapshot, MakeSnapshotError, SnapshotMaker};
pub use memory::MemorySnapshots;
pub use reading::SnapshotReader;
pub use taking::{SnapshotWriter, TakeSnapshotError};

use super::StoreError;
use super::schema::{beside, file_error};

/// What a trailer begins with; its last digit is the format.
const MAGIC: &[u8; 4] = b"LWs1";
/// The length of a trailer.
const TRAILER_BYTES: usize = 16;
/// How much later than the loop and its workers these threads get the processor: a snapshot is not in
/// a hurry, its server is.
const NICENESS: i32 = 10;

/// Removes what a crash has left of the snapshot at `path`, made or received, with what SQLite
/// may have put beside it. Without one, nothing happens.
///
/// # Errors
///
/// There is one, and it cannot be removed.
pub fn remove_snapshot(path: impl AsRef<Path>) -> Result<(), StoreError> {
    let path = path.as_ref();
    for file in [path.to_owned(), beside(path, "-journal")] {
        match fs::remove_file(&file) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(file_error(&file)(error));
            }
            _ => {}
        }
    }
    Ok(())
}

/// What a snapshot ends with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Trailer {
    /// CRC32C of everything before.
    checksum: u32,
    /// How many bytes are before.
    bytes: u64,
}

impl Trailer {
    fn encode(self) -> [u8; TRAILER_BYTES] {
        let mut encoded = [0; TRAILER_BYTES];
        encoded[..4].copy_from_slice(MAGIC);
        encoded[4..8].copy_from_slice(&self.checksum.to_be_bytes());
        encoded[8..].copy_from_slice(&self.bytes.to_be_bytes());
        encoded
    }
}

/// A file that nobody has use for if it is not handed on.
#[derive(Debug)]
struct Unfinished(PathBuf);

impl Unfinished {
    fn path(&self) -> &Path {
        &self.0
    }

    /// From now on the file is somebody else's.
    fn hand_on(mut self) {
        self.0 = PathBuf::new();
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if self.0.as_os_str().is_empty() {
            return;
        }
        if let Err(error) = remove_snapshot(&self.0) {
            log::warn!("the rest of a snapshot stays: {error}");
        }
    }
}
