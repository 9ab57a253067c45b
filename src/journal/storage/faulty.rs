//! What would a disk do to us at the worst moment?
//!
//! A storage in memory that keeps apart what a running process sees and what is on the disk. A
//! [`crash`](FaultyStorage::crash) yields what a power cut leaves: everything that was synced, and
//! of the rest what the caller chooses, piece by piece. What a mere kill of the process leaves is
//! the storage itself. It can also record every change, and go back to the state
//! [`after`](FaultyStorage::after) any number of them; fail a write or a sync; be full; flip bits.
//!
//! It decides nothing by itself: no randomness and no clock, so that a run can be repeated.

mod image;

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};

use self::image::{Disk, Step};
use super::{Storage, StorageFile};

/// The error numbers that real disks give.
const EIO: i32 = 5;
const EMFILE: i32 = 24;
const ENOSPC: i32 = 28;

/// A storage in memory that can fail in every way a disk does. Clones share the same files.
#[derive(Clone, Debug, Default)]
pub struct FaultyStorage {
    shared: Arc<Mutex<Shared>>,
}

/// A piece of what was not synced, which a power cut may or may not have spared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unsynced {
    /// A file was created, renamed or removed.
    Name,
    /// A write made a file longer. (If not, a later sector of it that survives does.)
    Length {
        /// The file, by the order of creation.
        file: usize,
        /// How long it became.
        bytes: u64,
    },
    /// A write touched a sector.
    Sector {
        /// The file, by the order of creation.
        file: usize,
        /// Where the sector begins in the file.
        offset: u64,
    },
}

impl FaultyStorage {
    /// An empty directory.
    pub fn new() -> Self {
        Self::default()
    }

    /// A copy of its own of the files, synced or not as they are, without faults or recording.
    pub fn fork(&self) -> Self {
        Self::of(self.lock().disk.clone())
    }

    /// The storage after a power cut. `survives` is asked about each unsynced piece, always in the
    /// same order: names first, then the writes of each file. Everything that is left is synced.
    pub fn crash(&self, survives: &mut impl FnMut(Unsynced) -> bool) -> Self {
        Self::of(self.lock().disk.crash(survives))
    }

    /// How many pieces a power cut may spare or lose: so often is `survives` asked.
    pub fn unsynced(&self) -> usize {
        let mut pieces = 0;
        self.crash(&mut |_| {
            pieces += 1;
            true
        });
        pieces
    }

    /// From now on, remembers every change (which takes memory).
    pub fn record(&self) {
        let mut shared = self.lock();
        shared.recording = Some(Recording {
            base: shared.disk.clone(),
            steps: Vec::new(),
        });
    }

    /// How many changes (creations, writes, syncs, …) were made since [`Self::record`].
    pub fn steps(&self) -> usize {
        self.lock()
            .recording
            .as_ref()
            .map_or(0, |it| it.steps.len())
    }

    /// A storage of its own as this one was after the first `steps` recorded changes.
    ///
    /// # Panics
    /// If nothing, or less, was recorded.
    pub fn after(&self, steps: usize) -> Self {
        let shared = self.lock();
        let recording = shared.recording.as_ref().expect("it is recording");
        let mut disk = recording.base.clone();
        for step in &recording.steps[..steps] {
            disk.apply(step);
        }
        Self::of(disk)
    }

    /// After `successes` more writes, one fails with EIO when half of it is done.
    pub fn fail_write(&self, successes: u64) {
        self.lock().write_failure = Some(successes);
    }

    /// After `successes` more syncs (of files and of the directory), one fails with EIO. What it
    /// was to make safe never gets to the disk, though reads still show it: as kernels do it.
    pub fn fail_sync(&self, successes: u64) {
        self.lock().sync_failure = Some(successes);
    }

    /// After `successes` more files were opened or created, none can be: the process has no file descriptor left.
    /// Files that are open go on.
    pub fn fail_opens(&self, successes: u64) {
        self.lock().opens_left = Some(successes);
    }

    /// Lets files grow by so many bytes more, taken together: a write beyond that is cut short and
    /// fails with ENOSPC.
    pub fn limit_growth(&self, bytes: u64) {
        self.lock().growth_left = Some(bytes);
    }

    /// Whether one of the failures that were asked for has happened.
    pub fn has_failed(&self) -> bool {
        self.lock().has_failed
    }

    /// Inverts the bits of `mask` in a byte of a file, on the disk and for all who read it.
    ///
    /// # Panics
    /// If there is no such byte on the disk.
    pub fn flip(&self, name: &str, offset: u64, mask: u8) {
        let mut shared = self.lock();
        let id = shared.disk.names[name];
        shared.disk.files[id].flip(offset, mask);
    }

    /// What a running process reads in a file.
    ///
    /// # Panics
    /// If there is no such file.
    pub fn contents(&self, name: &str) -> Vec<u8> {
        let shared = self.lock();
        shared.disk.files[shared.disk.names[name]].seen.clone()
    }

    fn of(disk: Disk) -> Self {
        let shared = Shared {
            disk,
            ..Shared::default()
        };
        Self {
            shared: Arc::new(Mutex::new(shared)),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().expect("nobody panics while holding it")
    }
}

impl Storage for FaultyStorage {
    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.lock().disk.names.keys().cloned().collect())
    }

    fn create(&mut self, name: &str) -> io::Result<Box<dyn StorageFile>> {
        let mut shared = self.lock();
        if shared.disk.names.contains_key(name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        shared.take_descriptor()?;
        let id = shared.disk.files.len();
        shared.step(Step::Create(name.to_owned()));
        Ok(self.handle(id))
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn StorageFile>> {
        let mut shared = self.lock();
        let id = shared.disk.id(name)?;
        shared.take_descriptor()?;
        Ok(self.handle(id))
    }

    fn remove(&mut self, name: &str) -> io::Result<()> {
        let mut shared = self.lock();
        shared.disk.id(name)?;
        shared.step(Step::Remove(name.to_owned()));
        Ok(())
    }

    fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        let mut shared = self.lock();
        shared.disk.id(from)?;
        shared.step(Step::Rename(from.to_owned(), to.to_owned()));
        Ok(())
    }

    fn sync_directory(&mut self) -> io::Result<()> {
        let mut shared = self.lock();
        // A directory is opened to be synced.
        shared.take_descriptor()?;
        if due(&mut shared.sync_failure) {
            shared.has_failed = true;
            return Err(io::Error::from_raw_os_error(EIO));
        }
        shared.step(Step::SyncDirectory);
        Ok(())
    }

    fn directory(&self) -> &Path {
        Path::new("memory")
    }
}

impl FaultyStorage {
    fn handle(&self, id: usize) -> Box<dyn StorageFile> {
        Box::new(FaultyFile {
            storage: self.clone(),
            id,
        })
    }
}

struct FaultyFile {
    storage: FaultyStorage,
    id: usize,
}

impl StorageFile for FaultyFile {
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        let shared = self.storage.lock();
        let seen = &shared.disk.files[self.id].seen;
        let there = &seen[seen.len().min(offset as usize)..];
        let count = there.len().min(bytes.len());
        bytes[..count].copy_from_slice(&there[..count]);
        Ok(count)
    }

    fn write_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut shared = self.storage.lock();
        let (written, error) = shared.admit(self.id, bytes.len(), offset);
        shared.step(Step::Write(self.id, offset, bytes[..written].to_vec()));
        error.map_or(Ok(()), |number| Err(io::Error::from_raw_os_error(number)))
    }

    fn sync(&mut self) -> io::Result<()> {
        let mut shared = self.storage.lock();
        if due(&mut shared.sync_failure) {
            shared.has_failed = true;
            shared.step(Step::SyncFailed(self.id));
            return Err(io::Error::from_raw_os_error(EIO));
        }
        shared.step(Step::Sync(self.id));
        Ok(())
    }

    fn length(&self) -> io::Result<u64> {
        Ok(self.storage.lock().disk.files[self.id].seen.len() as u64)
    }
}

/// Counts down to a failure that was asked for; it happens once.
fn due(failure: &mut Option<u64>) -> bool {
    match failure {
        Some(0) => {
            *failure = None;
            true
        }
        Some(successes) => {
            *successes -= 1;
            false
        }
        None => false,
    }
}

#[derive(Debug, Default)]
struct Shared {
    disk: Disk,
    recording: Option<Recording>,
    /// After so many writes, one fails.
    write_failure: Option<u64>,
    /// After so many syncs, one fails.
    sync_failure: Option<u64>,
    /// By how much files may still grow; `None`: without a limit.
    growth_left: Option<u64>,
    /// How many files may still be opened; `None`: without a limit.
    opens_left: Option<u64>,
    /// One of these has happened.
    has_failed: bool,
}

impl Shared {
    fn step(&mut self, step: Step) {
        self.disk.apply(&step);
        if let Some(recording) = &mut self.recording {
            recording.steps.push(step);
        }
    }

    /// Opens a file, or fails to.
    fn take_descriptor(&mut self) -> io::Result<()> {
        match &mut self.opens_left {
            Some(0) => {
                self.has_failed = true;
                Err(io::Error::from_raw_os_error(EMFILE))
            }
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// How much of a write gets through, and the error if that is not all.
    fn admit(&mut self, id: usize, bytes: usize, offset: u64) -> (usize, Option<i32>) {
        if due(&mut self.write_failure) {
            self.has_failed = true;
            return (bytes / 2, Some(EIO));
        }
        let length = self.disk.files[id].seen.len() as u64;
        let growth = (offset + bytes as u64).saturating_sub(length);
        match &mut self.growth_left {
            Some(left) if growth > *left => {
                self.has_failed = true;
                let end = length + std::mem::take(left);
                let written = end.saturating_sub(offset).min(bytes as u64) as usize;
                (written, Some(ENOSPC))
            }
            Some(left) => {
                *left -= growth;
                (bytes, None)
            }
            None => (bytes, None),
        }
    }
}

#[derive(Debug)]
struct Recording {
    /// The disk before the first step.
    base: Disk,
    steps: Vec<Step>,
}

#[cfg(test)]
mod tests;
