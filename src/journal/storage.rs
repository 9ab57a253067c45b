//! What does the journal need of a disk, and what may it believe of one?
//!
//! It needs little: files with plain names in one directory, reads and writes at an offset, and two
//! kinds of sync. It believes this, and no more:
//!
//! - What was written is safe only after a [`StorageFile::sync`] that came back without an error.
//!   Before, any of its 512-byte sectors may be on the disk or not, in any combination, and the
//!   file may have become longer or not.
//! - A sector is written wholly or not at all. One that is overwritten with what it already holds
//!   keeps it.
//! - A file that was created, renamed or removed is so for good only after a
//!   [`Storage::sync_directory`]. Before, each of these may be undone by a power cut on its own.
//! - After an error of a sync nothing is known about what it was to make safe, and another sync
//!   that succeeds says nothing about it: the kernel may have thrown the data away.
//!
//! [`DiskStorage`] is the real one. [`FaultyStorage`] does, in memory, everything that is allowed
//! above, and what is worse: errors, a full disk, flipped bits.

pub mod birth;
mod data_directory;
mod disk;
mod faulty;
pub mod leftovers;

pub use data_directory::{ClaimError, DataDirectory, ExamineError, Slot, SlotState};
pub use disk::DiskStorage;
pub use faulty::{FaultyStorage, Unsynced};

use std::io;
use std::path::Path;

/// Files in one directory. Names are plain: no separators.
pub trait Storage: Send {
    /// The names of all files, in no order.
    fn list(&self) -> io::Result<Vec<String>>;

    /// A new empty file, for reading and writing; an error if the name is taken.
    fn create(&mut self, name: &str) -> io::Result<Box<dyn StorageFile>>;

    /// A file that exists, for reading and writing.
    fn open(&self, name: &str) -> io::Result<Box<dyn StorageFile>>;

    /// Takes a file's name away.
    fn remove(&mut self, name: &str) -> io::Result<()>;

    /// Gives a file another name; a file that had that name is gone.
    fn rename(&mut self, from: &str, to: &str) -> io::Result<()>;

    /// Returns when everything that was created, renamed and removed is so for good.
    fn sync_directory(&mut self) -> io::Result<()>;

    /// Where the files are, for messages.
    fn directory(&self) -> &Path;

    /// What people call a file, for messages.
    fn path(&self, name: &str) -> String {
        self.directory().join(name).display().to_string()
    }
}

/// A file of a [`Storage`]. It stays usable when it is renamed.
pub trait StorageFile: Send {
    /// Reads at an offset, and answers how many bytes there were: fewer than asked only at the
    /// file's end.
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Writes everything at an offset. Beyond the end, the file grows; what is skipped is zeros.
    fn write_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// Returns when what was written, and the length, is safe (fdatasync).
    fn sync(&mut self) -> io::Result<()>;

    /// The file's length in bytes.
    fn length(&self) -> io::Result<u64>;
}
