//! The files of a faulty storage: as a running process sees them, as they are on the disk, and what
//! lies between.

use std::collections::BTreeMap;
use std::io;

use super::Unsynced;

/// What a disk writes wholly or not at all.
const SECTOR_BYTES: u64 = 512;

/// One change. Files go by the order of their creation.
#[derive(Clone, Debug)]
pub(super) enum Step {
    Create(String),
    Remove(String),
    Rename(String, String),
    SyncDirectory,
    Write(usize, u64, Vec<u8>),
    Sync(usize),
    SyncFailed(usize),
}

/// What becomes of the names when a change of them gets to the disk.
#[derive(Clone, Debug)]
enum NameChange {
    Set(String, usize),
    Unset(String),
    Move(String, String, usize),
}

#[derive(Clone, Debug, Default)]
pub(super) struct Disk {
    /// Names as a running process sees them.
    pub names: BTreeMap<String, usize>,
    /// Names as they are on the disk.
    durable_names: BTreeMap<String, usize>,
    /// What leads from the latter to the former, in order.
    name_changes: Vec<NameChange>,
    /// Every file that was ever created, also those that no name leads to any more.
    pub files: Vec<FileImage>,
}

#[derive(Clone, Debug, Default)]
pub(super) struct FileImage {
    /// What a running process reads.
    pub seen: Vec<u8>,
    /// What is on the disk.
    durable: Vec<u8>,
    /// What was written since the last sync, in order.
    writes: Vec<Write>,
}

#[derive(Clone, Debug)]
struct Write {
    offset: u64,
    bytes: Vec<u8>,
    /// It made the file longer.
    grew: bool,
}

impl Disk {
    /// The file of a name.
    pub fn id(&self, name: &str) -> io::Result<usize> {
        let id = self.names.get(name).copied();
        id.ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// Makes a change that is known to be possible.
    pub fn apply(&mut self, step: &Step) {
        match step {
            Step::Create(name) => {
                let change = NameChange::Set(name.clone(), self.files.len());
                self.files.push(FileImage::default());
                self.change_name(change);
            }
            Step::Remove(name) => self.change_name(NameChange::Unset(name.clone())),
            Step::Rename(from, to) => {
                let change = NameChange::Move(from.clone(), to.clone(), self.names[from]);
                self.change_name(change);
            }
            Step::SyncDirectory => {
                self.durable_names = self.names.clone();
                self.name_changes.clear();
            }
            Step::Write(id, offset, bytes) => self.files[*id].write(*offset, bytes),
            Step::Sync(id) => {
                let file = &mut self.files[*id];
                for write in std::mem::take(&mut file.writes) {
                    put(&mut file.durable, write.offset, &write.bytes);
                }
            }
            Step::SyncFailed(id) => self.files[*id].writes.clear(),
        }
    }

    fn change_name(&mut self, change: NameChange) {
        change.apply(&mut self.names);
        self.name_changes.push(change);
    }

    /// What a power cut leaves.
    pub fn crash(&self, survives: &mut impl FnMut(Unsynced) -> bool) -> Self {
        let mut names = self.durable_names.clone();
        for change in &self.name_changes {
            if survives(Unsynced::Name) {
                change.apply(&mut names);
            }
        }
        let files = self.files.iter().enumerate();
        Self {
            durable_names: names.clone(),
            names,
            name_changes: Vec::new(),
            files: files.map(|(id, file)| file.crash(id, survives)).collect(),
        }
    }
}

impl NameChange {
    fn apply(&self, names: &mut BTreeMap<String, usize>) {
        match self {
            Self::Set(name, id) => {
                names.insert(name.clone(), *id);
            }
            Self::Unset(name) => {
                names.remove(name);
            }
            Self::Move(from, to, id) => {
                names.remove(from);
                names.insert(to.clone(), *id);
            }
        }
    }
}

impl FileImage {
    /// Inverts some bits of a byte, for all who read it.
    pub fn flip(&mut self, offset: u64, mask: u8) {
        self.seen[offset as usize] ^= mask;
        self.durable[offset as usize] ^= mask;
    }

    fn write(&mut self, offset: u64, bytes: &[u8]) {
        let grew = offset as usize + bytes.len() > self.seen.len();
        put(&mut self.seen, offset, bytes);
        self.writes.push(Write {
            offset,
            bytes: bytes.to_vec(),
            grew,
        });
    }

    fn crash(&self, id: usize, survives: &mut impl FnMut(Unsynced) -> bool) -> Self {
        let mut left = self.durable.clone();
        for write in &self.writes {
            let end = write.offset + write.bytes.len() as u64;
            let length = Unsynced::Length {
                file: id,
                bytes: end,
            };
            if write.grew && survives(length) {
                put(&mut left, end, &[]);
            }
            let mut from = write.offset;
            while from < end {
                let offset = from - from % SECTOR_BYTES;
                let to = end.min(offset + SECTOR_BYTES);
                if survives(Unsynced::Sector { file: id, offset }) {
                    let range = (from - write.offset) as usize..(to - write.offset) as usize;
                    put(&mut left, from, &write.bytes[range]);
                }
                from = to;
            }
        }
        Self {
            seen: left.clone(),
            durable: left,
            writes: Vec::new(),
        }
    }
}

/// Puts bytes at an offset; the file grows with zeros as far as that needs.
fn put(file: &mut Vec<u8>, offset: u64, bytes: &[u8]) {
    let begin = offset as usize;
    let end = begin + bytes.len();
    if file.len() < end {
        file.resize(end, 0);
    }
    file[begin..end].copy_from_slice(bytes);
}
