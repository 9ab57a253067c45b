//! The durable log: what is on the disk when an op is acknowledged, and how is it found again?
//!
//! A journal is a row of segments in one directory, each a file that begins with a header block
//! and goes on with records, one for each op, without gaps. (How they look, byte by byte, stands at
//! the top of `segment.rs` and `record.rs`.) Ops are [appended](Journal::append) in memory; one
//! [sync](Journal::sync) for each turn of the loop writes them and waits for the disk. Beside it,
//! the [`superblock`] says whose log it is. It is written after the journal was created and before
//! the first op is appended: so a first start that crashed is one that never was.
//!
//! ```text
//!   …0001.segment, full           …4711.segment, the last
//!  ┌────────┬──────────┬───┬───┐  ┌────────┬─────────────┬───┬─────────────────┬ ─ ─ ─ ─ ─ ─ ─ ─ ┐
//!  │ header │ record 1 │ … │   │  │ header │ record 4711 │ … │ zeros, prepared   not there yet
//!  └────────┴──────────┴───┴───┘  └────────┴─────────────┴───┴─────────────────┴ ─ ─ ─ ─ ─ ─ ─ ─ ┘
//!                                                            │                 │                 │
//!                                             the next sync writes here   the file ends   SEGMENT_BYTES
//! ```
//!
//! Beside the segments there may stand files of ops that were [cut off](Journal::truncate) the log
//! (`cut.rs` says what is in them), and for as long as that takes, the intent to do so
//! (`truncate.rs` says in which steps it goes).
//!
//! # A sync
//!
//! All appended records go to the end of the last segment in one write, and one fdatasync makes
//! them safe. The file is longer than its records: zeros were written ahead, so that the sync has
//! no new length and no new blocks to write down. A write that does not fit into what was prepared
//! carries more zeros behind its records. Once segments are [released](Journal::release), the next ones
//! are made out of their files: what stands there already needs no zeros, and under load each byte goes to
//! the disk once and not twice.
//!
//! When a record does not fit into the segment any more, what comes before it is written and
//! synced there; then the next segment is made (under a name of its own, synced, renamed, the
//! directory synced), and the rest goes there.
//!
//! Whatever fails on the way is final: `sync` gave no answer, so nothing of it was acknowledged,
//! and every later call fails, too. Only reading the disk again can tell what is on it.
//!
//! # Recovery: torn or damaged?
//!
//! What the disk has to promise is written in [`storage`]. Given that, opening a journal reads the
//! last segment up to the first place where the next op is not found whole. That place is the end
//! if there are only zeros behind, or, where the file was another segment's before, no record that was
//! written for this one. If not, something is wrong, and it is one of two things:
//!
//! - **Torn**: a crash cut a write short that was never synced. Nobody was told of its ops. What is
//!   left of it is made zeros again, and the log goes on there. (Where the file was another segment's,
//!   this ends with the last header of a record that is left. Bytes without one stay behind it, as those
//!   of the other segment do: they cannot be told from them, nor taken for a record.)
//! - **Damaged**: something is gone that was synced. That must never be cut off in silence, since it
//!   may have been acknowledged: opening fails, names file and offset, and changes nothing.
//!
//! Every record tells them apart: it says which op was the last one synced when it was appended. So
//! if anywhere behind the bad place a record stands that knew the missing op to be synced, it is
//! damage; in a segment that is not the last, it always is. What cannot be told apart is damage to
//! the very last batch: nothing was written since that could know of it. Opening cuts it off, and
//! says so; if it was acknowledged, the other servers have it.
//!
//! Before an opened journal says what its head is, it writes all that nobody knows to be synced (the
//! last batch, at most) once more, and syncs it. For what it has read may be in the kernel's memory
//! alone; and after a sync that failed, the kernel takes it for written and would not write it by a
//! sync.
//!
//! # The crash cases
//!
//! - *In the write of a batch, or before its sync ends.* Any of its sectors may be on the disk. Its
//!   records that are whole, up to the first that is not, are kept: they were appended, and to keep
//!   more than was acknowledged is allowed. From there on it is torn: all records of a write say
//!   `synced` = the op before the first of them, so none of them makes another look damaged.
//! - *The first sectors are lost and later ones are there.* The same: torn from the start. The records
//!   behind are found in the search, and do not count, because they say `synced` < the bad op.
//! - *In a write that prepares zeros.* Some zeros are missing, and the file is shorter, or they are
//!   there: both read as the end. Nothing counts on zeros that were not read at the last opening or
//!   written since.
//! - *While a torn end is made zeros.* Some of its sectors are zeros already. It is torn as before, or
//!   shorter; the next opening goes on with it.
//! - *In the first append after a torn end was cut.* The zeros were synced before the journal was
//!   opened, so no record of the old write can stand behind the new one, and be taken for its
//!   successor, though its number would fit.
//! - *Between two segments of one batch.* The full segment is synced before the next one is made. If
//!   the next is there, the full one is whole, and a bad record in it is damage. If not, the full one
//!   is the last, and all it holds of this batch is kept or torn as above.
//! - *While a segment is made.* Under its first name it does not count, and is removed. It gets its
//!   final name after header and zeros were synced, so a bad header under that name is damage. If
//!   the new name is lost with the directory, the segment does not exist; no record in it can have
//!   counted, because the directory is synced before the first.
//! - *While a segment is made out of a spare file.* Its header is written under the spare name, which never
//!   counts, and is safe before the file gets its final one. Whatever else is in it has lower op numbers
//!   than all that is written into it from then on. The old name was gone for good before.
//! - *After a segment was made, before its first record.* The last segment is empty, and its first op
//!   comes next.
//! - *While segments are released.* They go one at a time, oldest first, each for good before the
//!   next. So there is never a gap, and a missing segment between others is damage: each one's nonce
//!   is derived from that of the one before, which shows that they follow each other.
//! - *In a cut, before its intent is safe.* The log is as it was. A file of ops to be cut off that is
//!   not whole has a name that does not count, and is removed; a whole one stays, for nothing. The
//!   intent under its first name does not count; under its final one it may be lost with the
//!   directory, and nothing was touched before that was synced.
//! - *In a cut, from then on.* The log is cut off; opening finishes it before it looks for an end.
//!   Segments go newest first, one at a time, so that those that are left follow each other. Of the
//!   zeros, any sector may be there, and what reads as zeros may be in the kernel's memory alone: so
//!   all are written again. The intent that is found may be there only, too, if the process was
//!   killed, or a sync of the directory failed: so it is made anew before anything else.
//! - *At the end of a cut.* The intent is one sector, and says "to do", and everything is done again,
//!   which changes nothing; or it says "done", and the zeros were synced before that. It is synced
//!   before the journal takes another op: an intent that came back later, and said "to do", would cut
//!   off what was acknowledged since. That its name is taken away need not be safe.
//! - *In an opening that finds an intent that is done.* That may be in the kernel's memory alone; its
//!   name is taken away, for good, before the journal takes another op.
//! - *The disk is full.* It shows in the write, before anything of it is acknowledged. The end may be
//!   torn; repairing it needs no space.

mod cursor;
mod cut;
mod error;
mod reader;
mod record;
mod recovery;
mod segment;
pub mod storage;
pub mod superblock;
mod truncate;

pub use self::cursor::Cursor;
pub use self::cut::{CutFile, read_cut};
pub use self::error::JournalError;
pub use self::recovery::{Recovery, TornEnd};
pub use self::truncate::Truncated;

use std::collections::VecDeque;

use self::record::{BODY_BYTES_MAX, record_bytes};
use self::segment::{RECORDS_BEGIN, Segment};
use self::storage::{Storage, StorageFile};
use crate::limits;
use crate::types::{ClusterId, OpNumber};

/// The replicated log of one server, on its disk.
///
/// [`append`](Self::append) any number of ops, then [`sync`](Self::sync) once: what it answers is
/// on the disk. The first error of a write or a sync is final: every later call fails, and the
/// process has to end, because nobody can say what the disk holds before it is read again.
pub struct Journal {
    storage: Box<dyn Storage>,
    sizes: Sizes,
    /// All segments on the disk, oldest first; never empty. The last one is written to.
    segments: VecDeque<Segment>,
    /// The last segment's file.
    file: Box<dyn StorageFile>,
    /// Where the next sync writes in it. There is nothing behind that could be taken for a record.
    position: u64,
    /// The file's length: up to here, writing does not change its size.
    prepared: u64,
    /// Records that were appended and not written.
    buffer: Vec<u8>,
    /// Where in the buffer a new segment begins, in order.
    rolls: Vec<Roll>,
    /// Where the next record goes, in the segment that the last record of the buffer goes to.
    end: u64,
    /// The last op that was appended.
    head: OpNumber,
    /// The last op that is safe on the disk; `synced <= head`.
    synced: OpNumber,
    /// The names of files that are to become segments: at most [`Sizes::segments_spare`].
    spare: Vec<String>,
    /// A write or a sync failed.
    poisoned: bool,
}

/// A segment that is yet to be made.
struct Roll {
    /// Where its first record stands in the buffer.
    begin: usize,
    segment: Segment,
}

/// How large the files become. Tests use small ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// A segment's greatest length, unless a single record is longer.
    pub segment_bytes: u64,
    /// How much is written with zeros ahead of the records at a time.
    pub prepared_bytes: u64,
    /// How many full segments [`Journal::release`] keeps though they are not needed.
    pub segments_kept: usize,
    /// How many files of segments that were released wait to become others.
    pub segments_spare: usize,
}

impl Default for Sizes {
    fn default() -> Self {
        Self {
            segment_bytes: limits::SEGMENT_BYTES,
            prepared_bytes: limits::SEGMENT_PREPARED_BYTES,
            segments_kept: limits::SEGMENTS_KEPT,
            segments_spare: limits::SEGMENTS_SPARE,
        }
    }
}

impl Journal {
    /// A new journal, with its first segment, for a log that begins with op 1. `nonce` is random.
    ///
    /// One without any op, which a crash left, is made anew; one with ops is an error.
    pub fn create(
        storage: Box<dyn Storage>,
        cluster: ClusterId,
        nonce: u64,
    ) -> Result<Self, JournalError> {
        Self::create_after(storage, cluster, nonce, OpNumber::ZERO)
    }

    /// As [`Self::create`], with sizes of one's own.
    pub fn create_sized(
        storage: Box<dyn Storage>,
        sizes: Sizes,
        cluster: ClusterId,
        nonce: u64,
    ) -> Result<Self, JournalError> {
        Self::create_after_sized(storage, sizes, cluster, nonce, OpNumber::ZERO)
    }

    /// As [`Self::create`], for a log whose ops up to `after` are elsewhere: in a snapshot. Its
    /// first op is the one after `after`.
    pub fn create_after(
        storage: Box<dyn Storage>,
        cluster: ClusterId,
        nonce: u64,
        after: OpNumber,
    ) -> Result<Self, JournalError> {
        Self::create_after_sized(storage, Sizes::default(), cluster, nonce, after)
    }

    /// As [`Self::create_after`], with sizes of one's own.
    pub fn create_after_sized(
        mut storage: Box<dyn Storage>,
        sizes: Sizes,
        cluster: ClusterId,
        nonce: u64,
        after: OpNumber,
    ) -> Result<Self, JournalError> {
        recovery::clear_empty(&mut *storage)?;
        let segment = Segment {
            first: after.next(),
            cluster,
            nonce,
            reused: false,
        };
        let prepared = sizes.new_segment_bytes();
        let file = segment.create(&mut *storage, prepared)?;
        Ok(Self {
            storage,
            sizes,
            segments: VecDeque::from([segment]),
            file,
            position: RECORDS_BEGIN,
            prepared,
            buffer: Vec::new(),
            rolls: Vec::new(),
            end: RECORDS_BEGIN,
            head: after,
            synced: after,
            spare: Vec::new(),
            poisoned: false,
        })
    }

    /// Opens a journal, cuts off a torn end, and says what there is. Everything up to
    /// `Recovery::head` is safe on the disk, and only the last segment was read through.
    pub fn open(storage: Box<dyn Storage>) -> Result<(Self, Recovery), JournalError> {
        Self::open_sized(storage, Sizes::default())
    }

    /// As [`Self::open`], with sizes of one's own, which may be others than before.
    pub fn open_sized(
        mut storage: Box<dyn Storage>,
        sizes: Sizes,
    ) -> Result<(Self, Recovery), JournalError> {
        let found = recovery::recover(&mut *storage)?;
        let journal = Self {
            storage,
            sizes,
            segments: found.segments.into(),
            file: found.file,
            position: found.end,
            prepared: found.length,
            buffer: Vec::new(),
            rolls: Vec::new(),
            end: found.end,
            head: found.recovery.head,
            synced: found.recovery.head,
            spare: Vec::new(),
            poisoned: false,
        };
        journal.check_invariants();
        Ok((journal, found.recovery))
    }

    /// Takes an op in; it is not written before [`Self::sync`]. `prepare` is the Prepare as it
    /// came over the wire, and stays below the longest op and a few bytes.
    ///
    /// # Panics
    /// If `op` is not the one after [`Self::head`], or `prepare` is too long: our own mistakes.
    pub fn append(&mut self, op: OpNumber, prepare: &[u8]) {
        assert_eq!(op, self.head.next(), "ops are appended without gaps");
        assert!(
            prepare.len() <= BODY_BYTES_MAX,
            "a Prepare of {} bytes",
            prepare.len()
        );
        let length = record_bytes(prepare.len()) as u64;
        if self.end > RECORDS_BEGIN && self.end + length > self.sizes.segment_bytes {
            self.rolls.push(Roll {
                begin: self.buffer.len(),
                segment: self.segment_to_append().following(op),
            });
            self.end = RECORDS_BEGIN;
        }
        let nonce = self.segment_to_append().nonce;
        record::encode(&mut self.buffer, nonce, op, self.synced, prepare);
        self.end += length;
        self.head = op;
    }

    /// Writes everything that was appended, and returns when it is safe on the disk: the last op
    /// that is. One write and one sync, unless a segment is full.
    pub fn sync(&mut self) -> Result<OpNumber, JournalError> {
        if self.poisoned {
            return Err(JournalError::Poisoned);
        }
        if self.buffer.is_empty() {
            return Ok(self.synced);
        }
        // Stays so if anything below fails.
        self.poisoned = true;
        self.write_buffer()?;
        self.poisoned = false;
        self.synced = self.head;
        self.check_invariants();
        Ok(self.synced)
    }

    /// The last op that was appended.
    pub fn head(&self) -> OpNumber {
        self.head
    }

    /// The last op that is safe on the disk.
    pub fn synced(&self) -> OpNumber {
        self.synced
    }

    /// The oldest op that is still there, or the next one if there is none.
    pub fn first(&self) -> OpNumber {
        self.segments[0].first
    }

    /// Whose log this is.
    pub fn cluster(&self) -> ClusterId {
        self.segments[0].cluster
    }

    /// Lets go of the segments of which no op beyond `up_to` is a part, but for the newest
    /// [`Sizes::segments_kept`] of them, and never the last. Answers how many. Their ops are gone then;
    /// up to [`Sizes::segments_spare`] of the files wait to become other segments, and the rest is
    /// deleted.
    pub fn release(&mut self, up_to: OpNumber) -> Result<usize, JournalError> {
        if self.poisoned {
            return Err(JournalError::Poisoned);
        }
        let begun = self
            .segments
            .partition_point(|it| it.first.0 - 1 <= up_to.0);
        let full = begun.saturating_sub(1);
        let count = full.saturating_sub(self.sizes.segments_kept);
        for _ in 0..count {
            let name = self.segments[0].name();
            self.poisoned = true;
            let spare = self.segments[0].spare_name();
            let is_spare = self.spare.len() < self.sizes.segments_spare;
            let (action, taken_away) = match is_spare {
                true => ("rename", self.storage.rename(&name, &spare)),
                false => ("remove", self.storage.remove(&name)),
            };
            // One after the other: were the directory synced once for all, then a crash could
            // bring an older one back and not a newer one, and leave a gap.
            taken_away
                .and_then(|()| self.storage.sync_directory())
                .map_err(|source| JournalError::io(action, self.storage.path(&name), source))?;
            self.poisoned = false;
            self.segments.pop_front();
            if is_spare {
                self.spare.push(spare);
            }
        }
        self.check_invariants();
        Ok(count)
    }
}

impl Journal {
    /// The segment that the next record goes to, unless it is full.
    fn segment_to_append(&self) -> &Segment {
        match self.rolls.last() {
            Some(roll) => &roll.segment,
            None => &self.segments[self.segments.len() - 1],
        }
    }

    fn write_buffer(&mut self) -> Result<(), JournalError> {
        let mut begin = 0;
        for roll in std::mem::take(&mut self.rolls) {
            self.write_records(begin, roll.begin)?;
            self.begin_segment(roll.segment)?;
            begin = roll.begin;
        }
        let records_end = self.buffer.len();
        let end = self.position + (records_end - begin) as u64;
        if end > self.prepared {
            // The zeros go in the same write, so that the file grows once for many syncs.
            let ahead = (end + self.sizes.prepared_bytes).min(self.sizes.segment_bytes);
            self.buffer
                .resize(records_end + (ahead.max(end) - end) as usize, 0);
        }
        self.write_records(begin, self.buffer.len())?;
        self.position = end;
        self.buffer.clear();
        Ok(())
    }

    /// Writes a part of the buffer and syncs it.
    fn write_records(&mut self, begin: usize, end: usize) -> Result<(), JournalError> {
        if begin == end {
            return Ok(());
        }
        let bytes = &self.buffer[begin..end];
        let name = || {
            self.storage
                .path(&self.segments[self.segments.len() - 1].name())
        };
        self.file
            .write_at(bytes, self.position)
            .map_err(|source| JournalError::io("write", name(), source))?;
        self.file
            .sync()
            .map_err(|source| JournalError::io("sync", name(), source))?;
        self.prepared = self.prepared.max(self.position + bytes.len() as u64);
        Ok(())
    }

    fn begin_segment(&mut self, mut segment: Segment) -> Result<(), JournalError> {
        if let Some(spare) = self.spare.pop() {
            debug_assert!(
                segment::first_of_spare(&spare).is_some_and(|it| it < self.first()),
                "{spare} is no older part of the log that begins with op {}",
                self.first()
            );
            segment.reused = true;
            self.file = segment.create_from(&mut *self.storage, &spare)?;
            let fail =
                |source| JournalError::io("read", self.storage.path(&segment.name()), source);
            self.prepared = self.file.length().map_err(fail)?;
        } else {
            self.prepared = self.sizes.new_segment_bytes();
            self.file = segment.create(&mut *self.storage, self.prepared)?;
        }
        self.position = RECORDS_BEGIN;
        self.segments.push_back(segment);
        Ok(())
    }

    fn check_invariants(&self) {
        debug_assert!(self.synced <= self.head);
        debug_assert!(self.position >= RECORDS_BEGIN && self.position <= self.prepared);
        debug_assert_eq!(self.buffer.is_empty(), self.synced == self.head);
        debug_assert!(self.segments.iter().is_sorted_by_key(|it| it.first));
        debug_assert!(self.segments[self.segments.len() - 1].first <= self.synced.next());
    }
}

impl Sizes {
    /// How long a new segment is.
    fn new_segment_bytes(&self) -> u64 {
        let prepared = (RECORDS_BEGIN + self.prepared_bytes).min(self.segment_bytes);
        prepared.max(RECORDS_BEGIN)
    }
}

#[cfg(test)]
mod tests;
