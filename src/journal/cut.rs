//! Where are the ops that were cut off a log?
//!
//! In a file of their own beside the segments, named by the first of them and a nonce, such as
//! `cut-00000000000000000017-9c4e6f2a81d3b705.ops`: a header block, then a record for each op, as in
//! a segment (see `record.rs`), and nothing behind.
//!
//! ```text
//!  byte  0       8         12    16         24        32      40           56       4096
//!        ┌───────┬─────────┬─────┬──────────┬─────────┬───────┬────────────┬───────┐
//!        │ magic │ version │ CRC │ first op │ last op │ nonce │ cluster id │ zeros │ records …
//!        └───────┴─────────┴─────┴──────────┴─────────┴───────┴────────────┴───────┘
//!        ├──────── the CRC covers all 4096 bytes but itself ───────────────────────┤
//! ```
//!
//! Nobody here reads such a file again or removes it. It is for people, after a day on which
//! somebody said `--force-primary`: nothing that anybody wrote is thrown away in silence. It is whole
//! and safe before anything is cut off; one whose cut never came about, because of a crash, holds
//! ops that are still in the log.

use std::io;
use std::ops::ControlFlow;

use byteorder::{BigEndian, ByteOrder};

use super::reader::RecordReader;
use super::record;
use super::segment::{HEADER_BLOCK_BYTES, RECORDS_BEGIN, Segment, mix};
use super::storage::{Storage, StorageFile};
use super::{Journal, JournalError};
use crate::types::{ClusterId, OpNumber};

/// How the name of such a file begins.
const BEGIN: &str = "cut-";
/// How it ends.
const FINISHED: &str = ".ops";
/// How it ends until the file is whole.
const UNFINISHED: &str = ".ops.new";

const MAGIC: [u8; 8] = [0xff, b'L', b'W', b'c', b'u', b't', b's', 0xfe];
const FORMAT_VERSION: u32 = 1;
/// Bytes 12 to 16 of the header block.
const CHECKSUM: std::ops::Range<usize> = 12..16;
/// How much is written at once.
const WRITE_BYTES: usize = 1024 * 1024;

/// A file that keeps what was cut off a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CutFile {
    /// Its name in the journal's folder, for [`read_cut`].
    pub name: String,
    /// What people call it, for messages.
    pub file: String,
    /// The first op in it.
    pub first: OpNumber,
    /// The last op in it; none between them is missing.
    pub last: OpNumber,
}

/// Shows all ops that a [`CutFile`] keeps, in order, with the bytes that they were appended with,
/// until `visit` breaks. All that is shown is checked. A megabyte of memory.
///
/// # Errors
/// [`JournalError::BadCut`] if it does not hold, up to where `visit` breaks, all that it was
/// written with.
pub fn read_cut(
    storage: &dyn Storage,
    name: &str,
    visit: &mut dyn FnMut(OpNumber, &[u8]) -> ControlFlow<()>,
) -> Result<CutFile, JournalError> {
    let path = storage.path(name);
    let fail = |source| JournalError::io("read", path.clone(), source);
    let bad = |reason: String| JournalError::BadCut {
        file: path.clone(),
        reason,
    };
    let file = storage.open(name).map_err(fail)?;
    let mut block = [0; HEADER_BLOCK_BYTES];
    let read = file.read_at(&mut block, 0).map_err(fail)?;
    let header = Header::decode(&block[..read], &path)?;
    let mut reader = RecordReader::new(&header.segment(), &*file).map_err(fail)?;
    while reader.expected() <= header.last {
        let (op, offset) = (reader.expected(), reader.offset());
        let Some(record) = reader.next().map_err(fail)? else {
            return Err(bad(format!("op {op} should stand at byte {offset}")));
        };
        if visit(op, record.body).is_break() {
            break;
        }
    }
    Ok(CutFile {
        name: name.to_owned(),
        file: path,
        first: header.first,
        last: header.last,
    })
}

/// Whether a file of this name was never finished, and keeps nothing.
pub(super) fn is_unfinished(name: &str) -> bool {
    name.starts_with(BEGIN) && name.ends_with(UNFINISHED)
}

/// What the header block says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Header {
    first: OpNumber,
    last: OpNumber,
    nonce: u64,
    cluster: ClusterId,
}

impl Header {
    /// The name, with one of the two ends.
    fn name(&self, end: &str) -> String {
        name(self.first, self.nonce, end)
    }

    /// What makes its records look like those of a segment.
    fn segment(&self) -> Segment {
        Segment {
            first: self.first,
            cluster: self.cluster,
            nonce: self.nonce,
            reused: false,
        }
    }

    fn encode(&self) -> Vec<u8> {
        let mut block = vec![0; HEADER_BLOCK_BYTES];
        block[..8].copy_from_slice(&MAGIC);
        BigEndian::write_u32(&mut block[8..], FORMAT_VERSION);
        BigEndian::write_u64(&mut block[16..], self.first.0);
        BigEndian::write_u64(&mut block[24..], self.last.0);
        BigEndian::write_u64(&mut block[32..], self.nonce);
        BigEndian::write_u128(&mut block[40..], self.cluster.0);
        let checksum = checksum(&block);
        BigEndian::write_u32(&mut block[CHECKSUM], checksum);
        block
    }

    fn decode(block: &[u8], path: &str) -> Result<Self, JournalError> {
        let bad = |reason: &str| JournalError::BadCut {
            file: path.to_owned(),
            reason: reason.to_owned(),
        };
        if block.len() < HEADER_BLOCK_BYTES || block[..8] != MAGIC {
            return Err(bad("it does not begin as such a file does"));
        }
        if BigEndian::read_u32(&block[CHECKSUM]) != checksum(block) {
            return Err(bad("the checksum of its header is wrong"));
        }
        let version = BigEndian::read_u32(&block[8..]);
        if version != FORMAT_VERSION {
            let file = path.to_owned();
            return Err(JournalError::NewerVersion { file, version });
        }
        Ok(Self {
            first: OpNumber(BigEndian::read_u64(&block[16..])),
            last: OpNumber(BigEndian::read_u64(&block[24..])),
            nonce: BigEndian::read_u64(&block[32..]),
            cluster: ClusterId(BigEndian::read_u128(&block[40..])),
        })
    }
}

fn name(first: OpNumber, nonce: u64, end: &str) -> String {
    format!("{BEGIN}{first:020}-{nonce:016x}{end}")
}

/// The file of a cut whose first and last op and nonce are known.
pub(super) fn describe(
    storage: &dyn Storage,
    first: OpNumber,
    last: OpNumber,
    nonce: u64,
) -> CutFile {
    let name = name(first, nonce, FINISHED);
    CutFile {
        file: storage.path(&name),
        name,
        first,
        last,
    }
}

fn checksum(block: &[u8]) -> u32 {
    let before = crc32c::crc32c(&block[..CHECKSUM.start]);
    crc32c::crc32c_append(before, &block[CHECKSUM.end..HEADER_BLOCK_BYTES])
}

impl Journal {
    /// Copies all ops after `after`, of which there is one at least, into a new file. They are safe
    /// in it when this returns its nonce. Nothing is only appended.
    pub(super) fn set_aside(&mut self, after: OpNumber) -> Result<u64, JournalError> {
        let directory = self.storage.directory().display().to_string();
        let names = self
            .storage
            .list()
            .map_err(|source| JournalError::io("list", directory, source))?;
        let mut header = Header {
            first: after.next(),
            last: self.synced,
            nonce: mix(!self.segments[0].nonce ^ self.synced.0),
            cluster: self.cluster(),
        };
        while names.contains(&header.name(FINISHED)) {
            header.nonce = mix(header.nonce.wrapping_add(1));
        }
        let (unfinished, finished) = (header.name(UNFINISHED), header.name(FINISHED));
        let path = self.storage.path(&unfinished);
        let fail = |action| {
            let path = path.clone();
            move |source| JournalError::io(action, path, source)
        };
        let mut file = self.storage.create(&unfinished).map_err(fail("create"))?;
        self.copy_ops(after, &header, &mut *file, &path)?;
        file.sync().map_err(fail("sync"))?;
        self.storage
            .rename(&unfinished, &finished)
            .map_err(fail("rename"))?;
        // Before anything says that the ops are to be cut off: this name must outlive that.
        self.storage
            .sync_directory()
            .map_err(fail("sync the directory of"))?;
        Ok(header.nonce)
    }

    fn copy_ops(
        &self,
        after: OpNumber,
        header: &Header,
        file: &mut dyn StorageFile,
        path: &str,
    ) -> Result<(), JournalError> {
        let mut buffer = header.encode();
        let mut position = 0;
        let mut flush = |buffer: &mut Vec<u8>| -> io::Result<()> {
            file.write_at(buffer, position)?;
            position += buffer.len() as u64;
            buffer.clear();
            Ok(())
        };
        let mut written = Ok(());
        self.read(after, &mut |op, body| {
            // What was synced when it was appended means nothing here.
            record::encode(&mut buffer, header.nonce, op, OpNumber::ZERO, body);
            if buffer.len() >= WRITE_BYTES {
                written = flush(&mut buffer);
            }
            match written {
                Ok(()) => ControlFlow::Continue(()),
                Err(_) => ControlFlow::Break(()),
            }
        })?;
        written
            .and_then(|()| flush(&mut buffer))
            .map_err(|source| JournalError::io("write", path.to_owned(), source))
    }
}

const _: () = assert!(RECORDS_BEGIN == HEADER_BLOCK_BYTES as u64);

#[cfg(test)]
mod tests;
