//! Who is this server, and which of its processes ran last?
//!
//! One small file, `superblock`, with two copies of the same:
//!
//! ```text
//!  byte  0       8         12     16         24           40        44         52        54
//!        ┌───────┬─────────┬──────┬──────────┬────────────┬─────────┬──────────┬─────────┐
//!        │ magic │ version │ CRC  │ sequence │ cluster id │ lineage │ lineage  │ server  │
//!        │       │         │      │          │            │ counter │ random   │ id      │
//!        ├───────┴──┬──────┴──────┼──────────┴────────────┴─────────┴──────────┴─────────┘
//!  byte  54         62            70                                                   4096
//!        ├──────────┼─────────────┼────────────────────────────────────────────────┬──────┐
//!        │ incarn.  │ incarnation │ member address: 4 or 6, 16 bytes of IP, port,  │zeros │
//!        │ counter  │ random      │ scope id (v6)                                  │      │
//!        └──────────┴─────────────┴────────────────────────────────────────────────┴──────┘
//! ```
//!
//! The second copy begins at byte 4096. The CRC (CRC32C) covers all 4096 bytes of its copy but
//! itself. Magic, version and CRC stay where they are in every later version.
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

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

use byteorder::{BigEndian, ByteOrder};

use super::storage::{Storage, StorageFile};
use crate::types::{ClusterId, Incarnation, Lineage, ServerId};

/// The name of the file. Where it is, a server has data.
pub const FILE: &str = "superblock";
/// Its name until it is whole.
const FILE_UNFINISHED: &str = "superblock.new";

const COPY_BYTES: usize = 4096;
const MAGIC: [u8; 8] = [0xff, b'L', b'W', b's', b'u', b'p', b'b', 0xfe];
const FORMAT_VERSION: u32 = 1;
/// Bytes 12 to 16 of a copy.
const CHECKSUM: std::ops::Range<usize> = 12..16;

/// What a server knows of itself when it starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
    Ok(Some(newest.superblock))
}

/// Replaces what is there, or makes the file. It is safe on the disk when this returns; after an
/// error, either is there.
pub fn write(storage: &mut dyn Storage, superblock: &Superblock) -> Result<(), SuperblockError> {
    let Some(copies) = read_copies(storage)? else {
        return create(storage, superblock);
    };
    let newest = copies.newest(storage)?;
    let bytes = encode(superblock, newest.sequence + 1);
    let fail = |action| {
        let file = storage.path(FILE);
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
    Ok(())
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

/// A copy whose checksum is right.
#[derive(Clone, Copy)]
struct GoodCopy {
    index: usize,
    sequence: u64,
    superblock: Superblock,
}

enum BadCopy {
    WrongMagic,
    Damaged,
    Newer { sequence: u64, version: u32 },
}

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
    fn newest(&self, storage: &dyn Storage) -> Result<GoodCopy, SuperblockError> {
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
            (Some(newest), _) => Ok(*newest),
            (None, [Err(BadCopy::WrongMagic), Err(BadCopy::WrongMagic)]) => {
                Err(SuperblockError::Foreign { file })
            }
            (None, _) => Err(SuperblockError::Damaged { file }),
        }
    }
}

fn encode(superblock: &Superblock, sequence: u64) -> Vec<u8> {
    let mut bytes = vec![0; COPY_BYTES];
    bytes[..8].copy_from_slice(&MAGIC);
    BigEndian::write_u32(&mut bytes[8..], FORMAT_VERSION);
    BigEndian::write_u64(&mut bytes[16..], sequence);
    BigEndian::write_u128(&mut bytes[24..], superblock.cluster.0);
    BigEndian::write_u32(&mut bytes[40..], superblock.lineage.counter);
    BigEndian::write_u64(&mut bytes[44..], superblock.lineage.random);
    BigEndian::write_u16(&mut bytes[52..], superblock.server.0);
    BigEndian::write_u64(&mut bytes[54..], superblock.incarnation.counter);
    BigEndian::write_u64(&mut bytes[62..], superblock.incarnation.random);
    match superblock.member_address {
        SocketAddr::V4(address) => {
            bytes[70] = 4;
            bytes[71..75].copy_from_slice(&address.ip().octets());
        }
        SocketAddr::V6(address) => {
            bytes[70] = 6;
            bytes[71..87].copy_from_slice(&address.ip().octets());
            BigEndian::write_u32(&mut bytes[89..], address.scope_id());
        }
    }
    BigEndian::write_u16(&mut bytes[87..], superblock.member_address.port());
    let checksum = checksum(&bytes);
    BigEndian::write_u32(&mut bytes[CHECKSUM], checksum);
    bytes
}

fn decode(bytes: &[u8], index: usize) -> Result<GoodCopy, BadCopy> {
    if bytes.len() < 8 || bytes[..8] != MAGIC {
        return Err(BadCopy::WrongMagic);
    }
    if bytes.len() < COPY_BYTES || BigEndian::read_u32(&bytes[CHECKSUM]) != checksum(bytes) {
        return Err(BadCopy::Damaged);
    }
    let version = BigEndian::read_u32(&bytes[8..]);
    let sequence = BigEndian::read_u64(&bytes[16..]);
    if version != FORMAT_VERSION {
        return Err(BadCopy::Newer { sequence, version });
    }
    let superblock = Superblock {
        cluster: ClusterId(BigEndian::read_u128(&bytes[24..])),
        lineage: Lineage {
            counter: BigEndian::read_u32(&bytes[40..]),
            random: BigEndian::read_u64(&bytes[44..]),
        },
        server: ServerId(BigEndian::read_u16(&bytes[52..])),
        incarnation: Incarnation {
            counter: BigEndian::read_u64(&bytes[54..]),
            random: BigEndian::read_u64(&bytes[62..]),
        },
        member_address: decode_address(&bytes[70..93]).ok_or(BadCopy::Damaged)?,
    };
    Ok(GoodCopy {
        index,
        sequence,
        superblock,
    })
}

fn decode_address(bytes: &[u8]) -> Option<SocketAddr> {
    let port = BigEndian::read_u16(&bytes[17..]);
    match bytes[0] {
        4 => {
            let ip = Ipv4Addr::from(BigEndian::read_u32(&bytes[1..]));
            Some(SocketAddr::new(IpAddr::V4(ip), port))
        }
        6 => {
            let ip = Ipv6Addr::from(BigEndian::read_u128(&bytes[1..]));
            let scope_id = BigEndian::read_u32(&bytes[19..]);
            Some(SocketAddr::V6(SocketAddrV6::new(ip, port, 0, scope_id)))
        }
        _ => None,
    }
}

fn checksum(copy: &[u8]) -> u32 {
    let before = crc32c::crc32c(&copy[..CHECKSUM.start]);
    crc32c::crc32c_append(before, &copy[CHECKSUM.end..COPY_BYTES])
}

#[cfg(test)]
mod tests;
