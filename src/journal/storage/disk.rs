//! The real disk: a directory of the file system.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::{Storage, StorageFile};

/// Files are for their owner alone: they hold messages and password hashes.
pub(super) const FILE_MODE: u32 = 0o600;
/// Directories are for their owner alone.
pub(super) const DIRECTORY_MODE: u32 = 0o700;

/// A directory of the file system. Files are created with mode 0600.
#[derive(Debug)]
pub struct DiskStorage {
    /// Exists.
    directory: PathBuf,
}

impl DiskStorage {
    /// The files of `directory`, which is created (with mode 0700, and for good) if it is missing;
    /// the one that holds it has to exist.
    pub fn open(directory: &Path) -> io::Result<Self> {
        if !directory.is_dir() {
            create_directory(directory)?;
            if let Some(parent) = directory.parent() {
                sync_directory(parent)?;
            }
        }
        Ok(Self {
            directory: directory.to_owned(),
        })
    }
}

impl Storage for DiskStorage {
    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.directory)? {
            // A name that is not UTF-8 is none of ours.
            if let Ok(name) = entry?.file_name().into_string() {
                names.push(name);
            }
        }
        Ok(names)
    }

    fn create(&mut self, name: &str) -> io::Result<Box<dyn StorageFile>> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .mode(FILE_MODE)
            .open(self.directory.join(name))?;
        Ok(Box::new(DiskFile { file }))
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn StorageFile>> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .open(self.directory.join(name))?;
        Ok(Box::new(DiskFile { file }))
    }

    fn remove(&mut self, name: &str) -> io::Result<()> {
        fs::remove_file(self.directory.join(name))
    }

    fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.directory.join(from), self.directory.join(to))
    }

    fn sync_directory(&mut self) -> io::Result<()> {
        sync_directory(&self.directory)
    }

    fn directory(&self) -> &Path {
        &self.directory
    }
}

/// Creates one directory for its owner alone.
pub(super) fn create_directory(directory: &Path) -> io::Result<()> {
    DirBuilder::new().mode(DIRECTORY_MODE).create(directory)
}

/// Makes what was created in a directory stay there. The empty path is the working directory.
pub(super) fn sync_directory(directory: &Path) -> io::Result<()> {
    let here = Path::new(".");
    let directory = if directory.as_os_str().is_empty() {
        here
    } else {
        directory
    };
    File::open(directory)?.sync_all()
}

struct DiskFile {
    file: File,
}

impl StorageFile for DiskFile {
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut read = 0;
        while read < bytes.len() {
            match self.file.read_at(&mut bytes[read..], offset + read as u64) {
                Ok(0) => break,
                Ok(count) => read += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(read)
    }

    fn write_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.file.write_all_at(bytes, offset)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn length(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn files_are_created_once_and_are_for_their_owner_alone() {
        let parent = tempfile::tempdir().unwrap();
        let directory = parent.path().join("slot");
        let mut storage = DiskStorage::open(&directory).unwrap();
        storage.create("one").unwrap();
        let again = storage.create("one").err().unwrap();
        assert_eq!(again.kind(), io::ErrorKind::AlreadyExists);
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&directory), DIRECTORY_MODE);
        assert_eq!(mode(&directory.join("one")), FILE_MODE);
    }

    #[test]
    fn bytes_come_back_by_offset_and_reads_end_at_the_end() {
        let directory = tempfile::tempdir().unwrap();
        let mut storage = DiskStorage::open(directory.path()).unwrap();
        let mut file = storage.create("one").unwrap();
        file.write_at(b"later", 10).unwrap();
        file.write_at(b"early", 0).unwrap();
        file.sync().unwrap();
        assert_eq!(file.length().unwrap(), 15);
        let mut bytes = [0xaa; 20];
        assert_eq!(file.read_at(&mut bytes, 0).unwrap(), 15);
        assert_eq!(&bytes[..15], b"early\0\0\0\0\0later");
        assert_eq!(file.read_at(&mut bytes, 15).unwrap(), 0);
    }

    #[test]
    fn a_renamed_file_replaces_the_other_and_keeps_its_handle() {
        let directory = tempfile::tempdir().unwrap();
        let mut storage = DiskStorage::open(directory.path()).unwrap();
        storage.create("old").unwrap().write_at(b"old", 0).unwrap();
        let mut file = storage.create("new").unwrap();
        storage.rename("new", "old").unwrap();
        storage.sync_directory().unwrap();
        file.write_at(b"new", 0).unwrap();
        assert_eq!(storage.list().unwrap(), ["old"]);
        let mut bytes = [0; 3];
        storage.open("old").unwrap().read_at(&mut bytes, 0).unwrap();
        assert_eq!(&bytes, b"new");
        storage.remove("old").unwrap();
        assert!(storage.list().unwrap().is_empty());
        assert!(storage.open("old").is_err());
    }
}
