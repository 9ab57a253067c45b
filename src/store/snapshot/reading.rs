//! How does a snapshot get onto a link?

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// A snapshot that was made, to be sent in parts, to one server or to several.
///
/// Its file has no name any more: the space is free again when this is dropped, and likewise when
/// the process is killed.
#[derive(Debug)]
pub struct SnapshotReader {
    file: File,
    length: u64,
}

impl SnapshotReader {
    /// Takes over the file at `path`.
    ///
    /// # Errors
    ///
    /// It cannot be opened, or its name cannot be removed.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let length = file.metadata()?.len();
        fs::remove_file(path)?;
        Ok(Self { file, length })
    }

    /// How many bytes there are to send.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// The bytes from `offset` on: `max` of them, or fewer at the end, or none behind it. It costs
    /// a copy out of the page cache, and a read of the disk if they were written out of it.
    ///
    /// # Errors
    ///
    /// The disk fails: this snapshot is of no more use.
    pub fn read_at(&self, offset: u64, max: usize) -> io::Result<Vec<u8>> {
        let left = self.length.saturating_sub(offset);
        let count = usize::try_from(left).unwrap_or(usize::MAX).min(max);
        let mut bytes = vec![0; count];
        self.file.read_exact_at(&mut bytes, offset)?;
        Ok(bytes)
    }
}
