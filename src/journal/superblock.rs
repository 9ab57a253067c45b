//! Who is this server, and which of its processes ran last?
//!
//! One small file, `superblock`, with two copies of the same, each of 4096 bytes with a checksum.
//! (How a copy looks, byte by byte, stands at the top of `format.rs`.)
//!
//! A write goes to the copy that is not the newest good one, and when that is safe, with the same
//! sequence number, to the other. So:
//!
//! - a crash in the middle of one copy leaves the other, which is the state before the write, or
//!   already the one after it;
//! - when a write has returned, both copies hold it, and damage to either loses nothing. (With one
//!   copy written each time, a flipped bit in the newest would silently bring back the state before
//!   the last write, and with it an incarnation that was already used.)
//!
//! The file is made under another name, synced, and renamed: a file of this name is always whole.
//!
//! A file in an earlier format is read as it is, and in today's after the next write. A crash in
//! that write may leave a copy of either: the newest good one counts, as ever.

mod format;

use std::io;
use std::net::SocketAddr;

use self::format::{BadCopy, COPY_BYTES, GoodCopy, decode, encode};
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
    /// Both copies are bad.
    #[error(
        "{file} is damaged, both copies of it: nothing was changed. Put this server's folder back \
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
    /// A later version of this program made it.
    #[error("{file} was made by a newer version of Lastword (format {version}): use that version")]
    NewerVersion {
        /// Which file.
        file: String,
        /// The version of its format.
        version: u32,
    },
}

/// Reads the newest good copy; `None` if there is no such file.
///
/// After a crash in a write this may be what was being written, and not yet be safe: a server
/// writes a new incarnation at its start, before it tells anybody anything.
pub fn read(storage: &dyn Storage) -> Result<Option<Superblock>, SuperblockError> {
    let Some(copies) = read_copies(storage)? else {
        return Ok(None);
    };
    let newest = copies.newest(storage)?;
    Ok(Some(newest.superblock.clone()))
}

/// Replaces what is there, or makes the file. It is safe on the disk when this returns; after an
/// error, either is there.
///
/// # Panics
/// If the vote has more bindings, or one of them more members, than there can be: our own mistake.
pub fn write(storage: &mut dyn Storage, superblock: &Superblock) -> Result<(), SuperblockError> {
    let Some(copies) = read_copies(storage)? else {
        return create(storage, superblock);
    };
    let newest = copies.newest(storage)?;
    let bytes = encode(superblock, newest.sequence + 1);
    let path = storage.path(FILE);
    let fail = |action| {
        let file = path.clone();
        move |source| SuperblockError::Io {
            action,
            file,
            source,
        }
    };
    let mut file = storage.open(FILE).map_err(fail("open"))?;
    for index in [1 - newest.index, newest.index] {
        file.write_at(&bytes, (index * COPY_BYTES) as u64)
            .map_err(fail("write"))?;
        file.sync().map_err(fail("sync"))?;
    }
    // The file may have got its name from a process that was killed before that was safe, too.
    storage
        .sync_directory()
        .map_err(fail("sync the directory of"))
}

fn create(storage: &mut dyn Storage, superblock: &Superblock) -> Result<(), SuperblockError> {
    let path = storage.path(FILE);
    create_file(storage, &encode(superblock, 1).repeat(2)).map_err(|source| SuperblockError::Io {
        action: "create",
        file: path,
        source,
    })
}

fn create_file(storage: &mut dyn Storage, bytes: &[u8]) -> io::Result<()> {
    // A crash may have left one.
    if storage.list()?.iter().any(|it| it == FILE_UNFINISHED) {
        storage.remove(FILE_UNFINISHED)?;
    }
    let mut file = storage.create(FILE_UNFINISHED)?;
    file.write_at(bytes, 0)?;
    file.sync()?;
    storage.rename(FILE_UNFINISHED, FILE)?;
    storage.sync_directory()
}

/// The two copies as they are found.
struct Copies([Result<GoodCopy, BadCopy>; 2]);

fn read_copies(storage: &dyn Storage) -> Result<Option<Copies>, SuperblockError> {
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
    let copy = |index| read_copy(&*file, index);
    let copies = [copy(0).map_err(fail)?, copy(1).map_err(fail)?];
    Ok(Some(Copies(copies)))
}

fn read_copy(file: &dyn StorageFile, index: usize) -> io::Result<Result<GoodCopy, BadCopy>> {
    let mut bytes = [0; COPY_BYTES];
    let read = file.read_at(&mut bytes, (index * COPY_BYTES) as u64)?;
    Ok(decode(&bytes[..read], index))
}

impl Copies {
    /// The copy that counts.
    fn newest(&self, storage: &dyn Storage) -> Result<&GoodCopy, SuperblockError> {
        let file = storage.path(FILE);
        let good = self.0.iter().filter_map(|it| it.as_ref().ok());
        let newest = good.max_by_key(|it| it.sequence);
        for copy in &self.0 {
            if let &Err(BadCopy::Newer { sequence, version }) = copy
                && newest.is_none_or(|it| it.sequence <= sequence)
            {
                return Err(SuperblockError::NewerVersion { file, version });
            }
        }
        match (newest, &self.0) {
            (Some(newest), _) => Ok(newest),
            (None, [Err(BadCopy::WrongMagic), Err(BadCopy::WrongMagic)]) => {
                Err(SuperblockError::Foreign { file })
            }
            (None, _) => Err(SuperblockError::Damaged { file }),
        }
    }
}

#[cfg(test)]
mod tests;
