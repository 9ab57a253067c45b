//! How are records read: in order, with bounded memory, and nothing taken on trust?

use std::io;

use super::record::{ALIGNMENT, HEADER_BYTES, Header, RECORD_BYTES_MAX};
use super::segment::{RECORDS_BEGIN, Segment};
use super::storage::StorageFile;
use crate::types::OpNumber;

/// How much is read at once: much more than the longest record, so that hardly anything is read
/// twice.
const WINDOW_BYTES: usize = 1024 * 1024;

const _: () = assert!(WINDOW_BYTES >= 16 * RECORD_BYTES_MAX);

/// A part of a file in memory, moved along as it is read.
struct Window<'a> {
    file: &'a dyn StorageFile,
    /// Never longer than [`WINDOW_BYTES`]; what it holds of the file is `..filled`.
    buffer: Vec<u8>,
    filled: usize,
    /// Where in the file the buffer begins.
    start: u64,
}

impl<'a> Window<'a> {
    /// On a file that is `length` bytes long.
    fn new(file: &'a dyn StorageFile, length: u64) -> Self {
        let capacity = length.min(WINDOW_BYTES as u64) as usize;
        Self {
            file,
            buffer: vec![0; capacity],
            filled: 0,
            start: 0,
        }
    }

    /// The bytes at an offset: `length` of them, fewer at the file's end. `length` is much
    /// smaller than the window.
    fn bytes(&mut self, offset: u64, length: usize) -> io::Result<&[u8]> {
        let end = offset + length as u64;
        if offset < self.start || end > self.start + self.filled as u64 {
            self.filled = self.file.read_at(&mut self.buffer, offset)?;
            self.start = offset;
        }
        let begin = ((offset - self.start) as usize).min(self.filled);
        Ok(&self.buffer[begin..self.filled.min(begin + length)])
    }
}

/// Reads a segment's records from its first on.
pub(super) struct RecordReader<'a> {
    window: Window<'a>,
    nonce: u64,
    /// The file's length.
    length: u64,
    /// Where the next record begins, if there is one.
    offset: u64,
    /// The op that has to be next.
    expected: OpNumber,
}

/// A record that was found right.
pub(super) struct Record<'a> {
    pub header: Header,
    pub body: &'a [u8],
}

impl<'a> RecordReader<'a> {
    pub fn new(segment: &Segment, file: &'a dyn StorageFile) -> io::Result<Self> {
        let length = file.length()?;
        Ok(Self {
            window: Window::new(file, length),
            nonce: segment.nonce,
            length,
            offset: RECORDS_BEGIN,
            expected: segment.first,
        })
    }

    /// The next record, if it is the op that has to be next and both its checksums are right.
    /// After `None`, nothing more is read; whether that is the end is for the caller to find out.
    pub fn next(&mut self) -> io::Result<Option<Record<'_>>> {
        let bytes = self.window.bytes(self.offset, HEADER_BYTES)?;
        let header = Header::decode(bytes, self.nonce).filter(|it| it.op == self.expected);
        let Some(header) = header else {
            return Ok(None);
        };
        let bytes = self.window.bytes(self.offset, header.record_bytes())?;
        let Some(body) = header.body(bytes) else {
            return Ok(None);
        };
        self.offset += header.record_bytes() as u64;
        self.expected = self.expected.next();
        Ok(Some(Record { header, body }))
    }

    /// Where the next record begins, or would.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// The op that is, or would be, next.
    pub fn expected(&self) -> OpNumber {
        self.expected
    }

    /// The file's length.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Behind the last byte from here on that is not zero; `None` if there are only zeros.
    pub fn end_of_bytes(&mut self) -> io::Result<Option<u64>> {
        const CHUNK_BYTES: usize = 64 * 1024;
        let mut end = None;
        let mut offset = self.offset;
        while offset < self.length {
            let chunk = self.window.bytes(offset, CHUNK_BYTES)?;
            if chunk.is_empty() {
                break;
            }
            if let Some(last) = chunk.iter().rposition(|it| *it != 0) {
                end = Some(offset + last as u64 + 1);
            }
            offset += chunk.len() as u64;
        }
        Ok(end)
    }

    /// Looks, from here to `end`, for a record which shows that the op expected here was synced
    /// once: a later op that knew it. Answers that op.
    pub fn evidence_of_sync(&mut self, end: u64) -> io::Result<Option<OpNumber>> {
        let mut offset = self.offset;
        while offset < end {
            let bytes = self.window.bytes(offset, HEADER_BYTES)?;
            let header = Header::decode(bytes, self.nonce);
            if let Some(header) = header.filter(|it| it.synced >= self.expected) {
                return Ok(Some(header.op));
            }
            offset += ALIGNMENT;
        }
        Ok(None)
    }
}
