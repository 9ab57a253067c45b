//! The superblock: the durable record of who this server is and what it has promised.
//!
//! It is saved before every promise is told, so a save has to cost one fdatasync and no more: an
//! election takes a save of the candidate and one of its voter, whatever their disks take for it.
//! The file `superblock` is kept open, has its full length from the start, and holds four copies of
//! 4096 bytes, each with a sequence number and a checksum (`format.rs` has the layout):
//!
//! ```text
//!  byte 0        4096     8192     12288
//!       ┌────────┬────────┬────────┬────────┐
//!       │ even 1 │ odd 1  │ even 2 │ odd 2  │     pairs: even 1 and even 2, odd 1 and odd 2
//!       └────────┴────────┴────────┴────────┘
//! ```
//!
//! A save with an even sequence number writes both even copies, the next one both odd copies, each
//! followed by one fdatasync. The newest good copy counts. So:
//!
//! - a crash in the middle of a save may tear both copies that it writes: the other pair was synced
//!   before, and says what was true before this save, of which nobody was told yet;
//! - when a save has returned, two copies hold it, 4096 bytes apart and more, and damage to either
//!   loses nothing. (With one copy for each save, a flipped bit in the newest would silently bring
//!   back the state before it, and would take back a promise or use an incarnation again.)
//!
//! What a starting process reads may be in the kernel's memory alone, if the process before it was
//! killed in a save, or its sync failed. Its first save therefore writes the pair that counts
//! once more, with what it already holds, and syncs the file and its directory, before it writes
//! over the other pair. (That also replaces a copy that is damaged.)
//!
//! The file is made under another name, synced, and renamed: a file of this name is always whole.
//! A file of an earlier version, which held two copies, is read, and the first save replaces it by
//! one of today's in the same way.

mod format;

use std::io;
use std::net::SocketAddr;

use self::format::{BadCopy, COPY_BYTES, FORMAT_VERSION, GoodCopy, decode, encode};
use super::storage::{Storage, StorageFile};
use crate::types::{ClusterId, Incarnation, Lineage, ServerId, Vote};

/// The name of the file. Where it is, a server has data.
pub const FILE: &str = "superblock";
/// Its name until it is whole.
const FILE_UNFINISHED: &str = "superblock.new";

/// What a server knows of itself when it starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Superblock {
    /// The cluster it belongs to.
    pub cluster: ClusterId,
    /// The line of the cluster's history that it follows.
    pub lineage: Lineage,
    /// Its id; 0 as long as it was given none.
    pub server: ServerId,
    /// Its newest process.
    pub incarnation: Incarnation,
    /// The address of its own, which it keeps.
    pub member_address: SocketAddr,
    /// What it has promised, and what it knows to be in force: at most
    /// [`BINDINGS_MAX`](crate::limits::BINDINGS_MAX) bindings of at most
    /// [`MEMBERS_MAX`](crate::limits::MEMBERS_MAX) members. None in a file of format 1.
    pub vote: Vote,
    /// Which journal and store of its folder are the current ones: it is raised when others take
    /// their place. 0 at first, and in a file of format 1.
    pub generation: u32,
    /// The folder that this was written in; `None` where the system does not tell, and until the
    /// second save.
    pub folder: Option<FolderMark>,
}

/// When the folder and its superblock were made, by the file system's own account: nanoseconds
/// since 1970. A copy was made later, whatever its files say of themselves; one that is renamed,
/// and a disk that is moved to another machine, stay what they are. (A snapshot of a whole block
/// device or virtual disk cannot be told from its original, and neither can files that were
/// overwritten in place with their older copies.)
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FolderMark {
    /// The folder's.
    pub directory: u64,
    /// The file's.
    pub file: u64,
}

impl Superblock {
    /// Begins the next process in this folder. Where the folder is a copy, a process of the original
    /// may have acknowledged more since: the new one counts for none of them. (Also where the
    /// original's process had ended in order before it was copied: it may have been started again,
    /// and have gone on alone.) Answers whether it is a copy.
    pub fn begin_process(&mut self, incarnation: Incarnation, folder: Option<FolderMark>) -> bool {
        let is_copy = match (self.folder, folder) {
            (Some(before), Some(now)) => before != now,
            (None, _) | (_, None) => false,
        };
        if is_copy {
            self.vote.descent.clear();
        }
        self.incarnation = incarnation;
        // A file of an earlier version is about to be replaced: it has no mark yet.
        self.folder = self.folder.and(folder);
        is_copy
    }
}

/// The superblock cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum SuperblockError {
    /// The disk failed, or is full.
    #[error("cannot {action} {file}: {source}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// With which file.
        file: String,
        /// What the system says.
        source: io::Error,
    },
    /// No copy is good.
    #[error(
        "{file} is damaged, all copies of it: nothing was changed. Put this server's folder back \
         from a backup; or, if other servers of the cluster are alive, move it away, and this \
         server joins them anew"
    )]
    Damaged {
        /// Which file.
        file: String,
    },
    /// Something else.
    #[error("{file} is not Lastword's: choose another folder for the data (--data)")]
    Foreign {
        /// Which file.
        file: String,
    },
    /// Somebody else writes to it.
    #[error(
        "{file} was changed by another process: two servers run with one folder, perhaps on two \
         machines; this one ends"
    )]
    Shared {
        /// Which file.
        file: String,
    },
    /// A later version of this program made it.
    #[error("{file} was made by a newer version of Lastword (format {version}): use that version")]
    NewerVersion {
        /// Which file.
        file: String,
        /// The version of its format.
        version: u32,
    },
}

/// The copies in the file.
const COPIES: usize = 4;
/// Sequence numbers take turns with so many pairs of copies.
const PAIRS: usize = 2;

/// Reads the newest good copy; `None` if there is no such file.
///
/// After a crash in a write this may be what was being written, and not yet be safe: a server
/// saves a new incarnation at its start, before it tells anybody anything.
pub fn read(storage: &dyn Storage) -> Result<Option<Superblock>, SuperblockError> {
    Ok(read_file(storage)?.map(|(_, superblock)| superblock))
}

/// Saves once, in a file that need not be open otherwise; makes the file if it is missing. The
/// superblock is safe on the disk when this returns; after an error, the old or the new one is.
///
/// # Panics
/// If the vote has more bindings, or one of them more members, than there can be: our own mistake.
pub fn write(storage: &mut dyn Storage, superblock: &Superblock) -> Result<(), SuperblockError> {
    let mut open = read_file(storage)?.map(|(open, _)| open);
    save(storage, &mut open, superblock)
}

/// The superblock of a server that runs: its file stays open, and a save is one write of each of
/// two copies and one fdatasync.
pub struct SuperblockFile {
    storage: Box<dyn Storage>,
    /// `None` before the first save in an empty folder.
    open: Option<OpenFile>,
}

impl SuperblockFile {
    /// Opens the file and reads what it says; `None` if there is no such file yet.
    pub fn open(storage: Box<dyn Storage>) -> Result<(Self, Option<Superblock>), SuperblockError> {
        let (open, superblock) = read_file(&*storage)?.unzip();
        Ok((Self { storage, open }, superblock))
    }

    /// Replaces what is there, or makes the file. It is safe on the disk when this returns; after
    /// an error, the old or the new one is.
    ///
    /// # Panics
    /// If the vote has more bindings, or one of them more members, than there can be: our own
    /// mistake.
    pub fn save(&mut self, superblock: &Superblock) -> Result<(), SuperblockError> {
        save(&mut *self.storage, &mut self.open, superblock)
    }
}

/// The file, with what its newest copies say.
struct OpenFile {
    file: Box<dyn StorageFile>,
    /// The sequence number of the newest copies.
    sequence: u64,
    /// What they hold, until it is known to be safe: this process has not saved anything yet.
    unsure: Option<Vec<u8>>,
    /// It is of an earlier version, and is replaced and not written to.
    is_old: bool,
}

fn save(
    storage: &mut dyn Storage,
    open: &mut Option<OpenFile>,
    superblock: &Superblock,
) -> Result<(), SuperblockError> {
    let path = storage.path(FILE);
    let fail = |action| {
        let file = path.clone();
        move |source| SuperblockError::Io {
            action,
            file,
            source,
        }
    };
    match open {
        Some(open) if !open.is_old => {
            let written = read_copies(&*open.file).map_err(fail("read"))?;
            if newest(&written, storage)?.sequence != open.sequence {
                return Err(SuperblockError::Shared { file: path });
            }
            if let Some(newest) = &open.unsure {
                write_pair(&mut *open.file, open.sequence, newest).map_err(fail("write"))?;
                let directory = storage.sync_directory();
                directory.map_err(fail("sync the directory of"))?;
                open.unsure = None;
            }
            let sequence = open.sequence + 1;
            let bytes = encode(superblock, sequence);
            write_pair(&mut *open.file, sequence, &bytes).map_err(fail("write"))?;
            open.sequence = sequence;
        }
        _ => {
            let sequence = open.as_ref().map_or(1, |old| old.sequence + 1);
            let bytes = encode(superblock, sequence);
            let file = create_file(storage, sequence, &bytes).map_err(fail("create"))?;
            *open = Some(OpenFile {
                file,
                sequence,
                unsure: None,
                is_old: false,
            });
        }
    }
    Ok(())
}

/// Writes both copies of a sequence number, and returns when they are safe.
fn write_pair(file: &mut dyn StorageFile, sequence: u64, bytes: &[u8]) -> io::Result<()> {
    let first = (sequence % PAIRS as u64) as usize;
    for index in (first..COPIES).step_by(PAIRS) {
        file.write_at(bytes, (index * COPY_BYTES) as u64)?;
    }
    file.sync()
}

/// Makes the file with its full length, so that no later sync has a new length to write down.
fn create_file(
    storage: &mut dyn Storage,
    sequence: u64,
    bytes: &[u8],
) -> io::Result<Box<dyn StorageFile>> {
    // A crash may have left one.
    if storage.list()?.iter().any(|it| it == FILE_UNFINISHED) {
        storage.remove(FILE_UNFINISHED)?;
    }
    let mut file = storage.create(FILE_UNFINISHED)?;
    file.write_at(&[0; COPIES * COPY_BYTES], 0)?;
    write_pair(&mut *file, sequence, bytes)?;
    storage.rename(FILE_UNFINISHED, FILE)?;
    storage.sync_directory()?;
    Ok(file)
}

/// Opens the file and finds the copy that counts; `None` if there is no such file.
fn read_file(storage: &dyn Storage) -> Result<Option<(OpenFile, Superblock)>, SuperblockError> {
    let fail = |source| SuperblockError::Io {
        action: "read",
        file: storage.path(FILE),
        source,
    };
    let file = match storage.open(FILE) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(fail(error)),
    };
    let bytes = read_copies(&*file).map_err(fail)?;
    let newest = newest(&bytes, storage)?;
    let begin = newest.index * COPY_BYTES;
    let open = OpenFile {
        file,
        sequence: newest.sequence,
        unsure: Some(bytes[begin..begin + COPY_BYTES].to_vec()),
        is_old: newest.version < FORMAT_VERSION,
    };
    Ok(Some((open, newest.superblock)))
}

fn read_copies(file: &dyn StorageFile) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; COPIES * COPY_BYTES];
    let read = file.read_at(&mut bytes, 0)?;
    bytes.truncate(read);
    Ok(bytes)
}

/// The copy that counts, of all that a file holds.
fn newest(bytes: &[u8], storage: &dyn Storage) -> Result<GoodCopy, SuperblockError> {
    let file = storage.path(FILE);
    let mut newest: Option<GoodCopy> = None;
    let mut newer = None;
    let mut is_ours = false;
    for index in 0..COPIES {
        let copy = &bytes[bytes.len().min(index * COPY_BYTES)..];
        match decode(copy, index) {
            Ok(copy) if newest.as_ref().is_none_or(|it| it.sequence < copy.sequence) => {
                newest = Some(copy);
            }
            Err(BadCopy::Newer { sequence, version }) => {
                newer = newer.max(Some((sequence, version)))
            }
            Err(BadCopy::Damaged) => is_ours = true,
            Ok(_) | Err(BadCopy::Blank | BadCopy::WrongMagic) => {}
        }
    }
    // A file of zeros is what some crashes leave of one that was ours.
    is_ours |= bytes.iter().all(|byte| *byte == 0);
    match (newest, newer) {
        (Some(newest), Some((sequence, _))) if newest.sequence > sequence => Ok(newest),
        (_, Some((_, version))) => Err(SuperblockError::NewerVersion { file, version }),
        (Some(newest), None) => Ok(newest),
        (None, None) if is_ours => Err(SuperblockError::Damaged { file }),
        (None, None) => Err(SuperblockError::Foreign { file }),
    }
}

#[cfg(test)]
mod tests;
