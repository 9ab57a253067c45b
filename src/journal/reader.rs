//! How are records read: in order, with bounded memory, and nothing taken on trust?

use std::io;

use super::record::{ALIGNMENT, HEADER_BYTES, Header, RECORD_BYTES_MAX};
use super::segment::{RECORDS_BEGIN, Segment};
use super::storage::StorageFile;
use crate::types::OpNumber;

/// How much is read at once, unless less is wanted: much more than the longest record, so that
/// hardly anything is read twice.
pub(super) const WINDOW_BYTES: usize = 1024 * 1024;

const _: () = assert!(WINDOW_BYTES >= 16 * RECORD_BYTES_MAX);

/// A part of a file in memory, moved along as it is read.
struct Window<'a> {
    file: &'a dyn StorageFile,
    /// Of the same length always; what it holds of the file is `..filled`.
    buffer: Vec<u8>,
    filled: usize,
    /// Where in the file the buffer begins.
    start: u64,
}

impl<'a> Window<'a> {
    /// On a file; at most so many bytes of it are in memory.
    fn new(file: &'a dyn StorageFile, bytes: usize) -> Self {
        Self {
            file,
            buffer: vec![0; bytes],
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

/// Reads a segment's records in order, from its first or from a place that is known.
pub(super) struct RecordReader<'a> {
    window: Window<'a>,
    nonce: u64,
    /// The file's length, or where its records end if that is known.
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
    /// All records, from the first on.
    pub fn new(segment: &Segment, file: &'a dyn StorageFile) -> io::Result<Self> {
        let first = (segment.first, RECORDS_BEGIN);
        Ok(Self::starting_at(
            segment.nonce,
            file,
            first,
            file.length()?,
            WINDOW_BYTES,
        ))
    }

    /// From the record of an op on, which begins at an offset. Nothing from `end` on is a record.
    /// At most `window_bytes` are read at once; they have room for the longest record.
    pub fn starting_at(
        nonce: u64,
        file: &'a dyn StorageFile,
        (op, offset): (OpNumber, u64),
        end: u64,
        window_bytes: usize,
    ) -> Self {
        debug_assert!(window_bytes >= RECORD_BYTES_MAX);
        let bytes = window_bytes.min(end.saturating_sub(offset) as usize);
        Self {
            window: Window::new(file, bytes),
            nonce,
            length: end,
            offset,
            expected: op,
        }
    }

    /// The next record, if it is the op that has to be next and both its checksums are right.
    /// After `None`, nothing more is read; whether that is the end is for the caller to find out.
    pub fn next(&mut self) -> io::Result<Option<Record<'_>>> {
        let Some(header) = self.header()? else {
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

    /// Passes the next record over, if its header is right; what it holds is not looked at.
    pub fn skip(&mut self) -> io::Result<bool> {
        let Some(header) = self.header()? else {
            return Ok(false);
        };
        self.offset += header.record_bytes() as u64;
        self.expected = self.expected.next();
        Ok(true)
    }

    /// The next record's header, if it is right and the op that has to be next.
    pub fn header(&mut self) -> io::Result<Option<Header>> {
        let bytes = self.window.bytes(self.offset, HEADER_BYTES)?;
        Ok(Header::decode(bytes, self.nonce).filter(|it| it.op == self.expected))
    }

    /// Where the next record begins, or would.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// The op that is, or would be, next.
    pub fn expected(&self) -> OpNumber {
        self.expected
    }

    /// The file's length, or where its records end if that was said.
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

    /// Behind the last record from here on that was written for this segment, whether it is whole or
    /// not; `None` if there is none. What a segment held whose file this was has lower numbers.
    pub fn end_of_later_records(&mut self) -> io::Result<Option<u64>> {
        let mut end = None;
        let mut offset = self.offset;
        while offset < self.length {
            let bytes = self.window.bytes(offset, HEADER_BYTES)?;
            let header = Header::decode(bytes, self.nonce);
            if let Some(header) = header.filter(|it| it.op >= self.expected) {
                end = Some((offset + header.record_bytes() as u64).min(self.length));
            }
            offset += ALIGNMENT;
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
