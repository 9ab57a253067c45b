//! How do others get at the ops: all in one go, or a piece at a time?
//!
//! A segment has no index: where an op stands in it shows only when all records before it are passed
//! over. That is done once by [`Journal::read`], and once by a [`Cursor`], which then remembers the
//! place: a server that catches up is sent a log of any length in pieces, and each costs what it
//! holds.
//!
//! A place is never believed, only tried: the header of the wanted op has to stand there, with a
//! checksum that depends on the segment's nonce. When the log was cut off there and has gone on
//! otherwise, something else stands there, and the op is looked for anew.

use std::ops::ControlFlow;

use super::reader::{RecordReader, WINDOW_BYTES};
use super::record::RECORD_BYTES_MAX;
use super::segment::{RECORDS_BEGIN, Segment};
use super::storage::StorageFile;
use super::{Journal, JournalError};
use crate::types::OpNumber;

/// How far somebody has read, and where that is: for [`Journal::read_next`].
///
/// It holds no file and no memory to speak of, and stays usable whatever becomes of the journal,
/// also when it is closed and opened again.
#[derive(Clone, Debug)]
pub struct Cursor {
    /// The op that is read next.
    next: OpNumber,
    /// Where it should stand, if that is known.
    place: Option<Place>,
}

#[derive(Clone, Copy, Debug)]
struct Place {
    /// Of the segment.
    nonce: u64,
    /// Where the record begins in it.
    offset: u64,
}

impl Cursor {
    /// Before the op that comes after this one.
    pub fn after(op: OpNumber) -> Self {
        Self {
            next: OpNumber(op.0.saturating_add(1)),
            place: None,
        }
    }

    /// The op that is read next, if it is there.
    pub fn next_op(&self) -> OpNumber {
        self.next
    }
}

impl Journal {
    /// Shows the ops after `after` that are safe on the disk, in order, with the bytes that they
    /// were appended with, until `visit` breaks. All that is shown is checked. A megabyte of memory.
    ///
    /// # Errors
    /// [`JournalError::Released`] if the first of them is not there any more.
    pub fn read(
        &self,
        after: OpNumber,
        visit: &mut dyn FnMut(OpNumber, &[u8]) -> ControlFlow<()>,
    ) -> Result<(), JournalError> {
        self.show(&mut Cursor::after(after), WINDOW_BYTES, visit)
    }

    /// Shows the next ops that are safe on the disk, and moves the cursor behind them: at most
    /// `bytes_max` bytes of them, but one op if there is one, however long it is. All that is shown
    /// is checked.
    ///
    /// It costs about what it shows: one read of the file, which is opened each time. Only the
    /// first call for a cursor, and the first one after the place was lost, because the journal
    /// was cut off there, passes over the segment's records to find the op.
    ///
    /// # Errors
    /// [`JournalError::Released`] if the next op is not there any more; the cursor stays usable
    /// after every error, and stands behind the last op that was shown.
    pub fn read_next(
        &self,
        cursor: &mut Cursor,
        bytes_max: usize,
        visit: &mut dyn FnMut(OpNumber, &[u8]),
    ) -> Result<(), JournalError> {
        // So that all of it, and the record that is too much, comes in one read.
        let window_bytes = bytes_max.saturating_add(RECORD_BYTES_MAX).min(WINDOW_BYTES);
        let mut shown: Option<usize> = None;
        self.show(cursor, window_bytes, &mut |op, body| {
            let bytes = shown.unwrap_or(0) + body.len();
            if shown.is_some() && bytes > bytes_max {
                return ControlFlow::Break(());
            }
            shown = Some(bytes);
            visit(op, body);
            ControlFlow::Continue(())
        })
    }

    /// Offers the ops from the cursor on, until `take` breaks: it has not taken that one, then.
    fn show(
        &self,
        cursor: &mut Cursor,
        window_bytes: usize,
        take: &mut dyn FnMut(OpNumber, &[u8]) -> ControlFlow<()>,
    ) -> Result<(), JournalError> {
        while cursor.next <= self.synced {
            let first = self.first();
            if cursor.next < first {
                return Err(JournalError::Released { first });
            }
            if self.show_segment(cursor, window_bytes, take)?.is_break() {
                break;
            }
        }
        Ok(())
    }

    /// The same, in the segment that the cursor stands in.
    fn show_segment(
        &self,
        cursor: &mut Cursor,
        window_bytes: usize,
        take: &mut dyn FnMut(OpNumber, &[u8]) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, JournalError> {
        let index = self.segments.partition_point(|it| it.first <= cursor.next) - 1;
        let segment = &self.segments[index];
        let fail = |source| JournalError::io("read", self.storage.path(&segment.name()), source);
        let file = self.storage.open(&segment.name()).map_err(fail)?;
        let (last, end) = match self.segments.get(index + 1) {
            Some(next) => (OpNumber(next.first.0 - 1), file.length().map_err(fail)?),
            None => (self.synced, self.position),
        };
        let mut reader = self.find(cursor, segment, &*file, end, window_bytes)?;
        while reader.expected() <= last {
            let (op, offset) = (reader.expected(), reader.offset());
            let Some(record) = reader.next().map_err(fail)? else {
                return Err(self.gone(segment, op, offset));
            };
            let nonce = segment.nonce;
            cursor.place = Some(Place { nonce, offset });
            if take(op, record.body).is_break() {
                return Ok(ControlFlow::Break(()));
            }
            let offset = reader.offset();
            cursor.next = op.next();
            cursor.place = Some(Place { nonce, offset });
        }
        Ok(ControlFlow::Continue(()))
    }

    /// A reader that stands at the cursor's op: where the cursor says, if it is there, or else where
    /// it is.
    fn find<'a>(
        &self,
        cursor: &Cursor,
        segment: &Segment,
        file: &'a dyn StorageFile,
        end: u64,
        window_bytes: usize,
    ) -> Result<RecordReader<'a>, JournalError> {
        let fail = |source| JournalError::io("read", self.storage.path(&segment.name()), source);
        let nonce = segment.nonce;
        if let Some(place) = cursor.place
            && place.nonce == nonce
            && place.offset < end
        {
            let there = (cursor.next, place.offset);
            let mut reader = RecordReader::starting_at(nonce, file, there, end, window_bytes);
            if reader.header().map_err(fail)?.is_some() {
                return Ok(reader);
            }
        }
        let first = (segment.first, RECORDS_BEGIN);
        let mut reader = RecordReader::starting_at(nonce, file, first, end, window_bytes);
        while reader.expected() < cursor.next {
            if !reader.skip().map_err(fail)? {
                return Err(self.gone(segment, reader.expected(), reader.offset()));
            }
        }
        Ok(reader)
    }

    fn gone(&self, segment: &Segment, op: OpNumber, offset: u64) -> JournalError {
        let reason = format!("op {op} should be here");
        JournalError::damaged(self.storage.path(&segment.name()), offset, &reason)
    }
}

#[cfg(test)]
mod tests;
