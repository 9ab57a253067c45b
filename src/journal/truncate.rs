//! How is the end of a log cut off, so that a crash at any point leaves all of it or none?
//!
//! A server that comes back may hold ops at its log's end that nobody else has: they were never
//! acknowledged, and others stand in their place. [`Journal::truncate`] takes them off, in steps:
//!
//! 1. What was only appended is synced, so that there is one kind of op to cut off.
//! 2. The ops are copied into a [file of their own](super::CutFile), which is made safe.
//! 3. The file `truncate`, the *intent*, is made: it says after which op the log ends. It is written
//!    under another name, synced and renamed, and the directory is synced. From here on, the log is
//!    cut off: whoever opens the journal finishes what is below before anything else.
//! 4. The segments that begin behind the cut are removed, newest first, each for good before the
//!    next. (The journal's oldest segment stays, even if none of its ops do: it says whose log it is
//!    and where it began.)
//! 5. What stands behind the cut in the segment that is now the last is made zeros, up to the file's
//!    end, and synced.
//! 6. The intent is overwritten: done; and synced. Only now may an op be appended again.
//! 7. The intent's name is taken away.
//!
//! The records that are cut off say of each other that they were synced, by which a half cut log
//! looks damaged. The intent is why nobody looks before the cut is done.
//!
//! ```text
//!  byte  0       8         12    16      24        32            40          48         512
//!        ┌───────┬─────────┬─────┬───────┬─────────┬─────────────┬───────────┬──────────┐
//!        │ magic │ version │ CRC │ after │ last op │ nonce of    │ nonce of  │ 1: to do │
//!        │       │         │     │       │ cut off │ the segment │ cut file  │ 2: done  │
//!        └───────┴─────────┴─────┴───────┴─────────┴─────────────┴───────────┴──────────┘
//!        ├──────── the CRC covers all 512 bytes but itself ─────────────────────────────┤
//! ```
//!
//! It is one sector long, which a disk writes wholly or not at all: so it always says the one or the
//! other, and if it does not, it is damage.

use byteorder::{BigEndian, ByteOrder};

use super::cut::{self, CutFile};
use super::reader::RecordReader;
use super::recovery::write_zeros;
use super::segment::Segment;
use super::storage::{Storage, StorageFile};
use super::{Journal, JournalError};
use crate::types::OpNumber;

/// The name of the intent.
pub(super) const INTENT: &str = "truncate";
/// Its name until it is whole.
pub(super) const INTENT_UNFINISHED: &str = "truncate.new";

const INTENT_BYTES: usize = 512;
const MAGIC: [u8; 8] = [0xff, b'L', b'W', b't', b'r', b'n', b'c', 0xfe];
const FORMAT_VERSION: u32 = 1;
/// Bytes 12 to 16 of the intent.
const CHECKSUM: std::ops::Range<usize> = 12..16;

/// What became of a log's end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Truncated {
    /// The last op now; it is safe on the disk.
    pub head: OpNumber,
    /// Where the ops behind it are kept; `None` if there were none.
    pub cut: Option<CutFile>,
}

impl Journal {
    /// Cuts off all ops beyond `after`, those that are synced and those that were only appended,
    /// and goes on with the op after it. When this returns, they are gone for good, and the log
    /// up to [`Truncated::head`] (`after`, or the last op if there was none beyond it) is safe on
    /// the disk.
    ///
    /// Nothing is thrown away: what is cut off is kept in [`Truncated::cut`].
    ///
    /// This takes several syncs, and may read a segment, write as much as is cut off, and a segment
    /// of zeros.
    ///
    /// # Errors
    /// [`JournalError::BeforeFirst`] if `after` lies before the journal's first op by more than one:
    /// nothing was done. Any other is final, as those of [`Self::sync`]; the log is then, when it is
    /// opened again, as it was before or cut off.
    pub fn truncate(&mut self, after: OpNumber) -> Result<Truncated, JournalError> {
        let first = self.first();
        if after.0 < first.0 - 1 {
            return Err(JournalError::BeforeFirst { first, after });
        }
        let last = self.sync()?;
        if after >= last {
            return Ok(Truncated {
                head: last,
                cut: None,
            });
        }
        // Stays so if anything below fails.
        self.poisoned = true;
        let begun = self.segments.partition_point(|it| it.first <= after);
        let index = begun.saturating_sub(1);
        let kept = self.segments[index];
        let later: Vec<Segment> = self.segments.range(index + 1..).copied().collect();
        let offset = find(&*self.storage, &kept, after)?;
        let cut_nonce = self.set_aside(after)?;
        let intent = Intent {
            after,
            last,
            segment_nonce: kept.nonce,
            cut_nonce,
        };
        self.file = intent.carry_out(&mut *self.storage, &kept, &later, offset)?;
        let fail = |source| JournalError::io("read", self.storage.path(&kept.name()), source);
        self.prepared = self.file.length().map_err(fail)?;
        self.segments.truncate(index + 1);
        self.position = offset;
        self.end = offset;
        self.head = after;
        self.synced = after;
        self.poisoned = false;
        self.check_invariants();
        Ok(Truncated {
            head: after,
            cut: Some(intent.cut_file(&*self.storage)),
        })
    }
}

/// Finishes a cut that a crash has interrupted, if one was; `segments` are then those that are left.
/// Nothing is changed if anything is damaged.
pub(super) fn finish(
    storage: &mut dyn Storage,
    segments: &mut Vec<Segment>,
) -> Result<Option<CutFile>, JournalError> {
    let Some(intent) = Intent::read(storage)? else {
        return Ok(None);
    };
    let index = segments
        .iter()
        .position(|it| it.nonce == intent.segment_nonce);
    let Some(index) = index else {
        let reason = "the segment that it is about is not there";
        return Err(JournalError::damaged(storage.path(INTENT), 0, reason));
    };
    let kept = segments[index];
    let offset = find(storage, &kept, intent.after)?;
    // A crash may have left a name that is not safe yet. `carry_out` makes the intent anew: were it
    // lost while the zeros are written, half a log would be all there is.
    intent.carry_out(storage, &kept, &segments[index + 1..], offset)?;
    segments.truncate(index + 1);
    Ok(Some(intent.cut_file(storage)))
}

/// Where the records end after the one of `after`, in the segment that holds it, or that begins
/// right behind it. All before it are checked: nothing behind bears witness to them any more.
fn find(storage: &dyn Storage, segment: &Segment, after: OpNumber) -> Result<u64, JournalError> {
    let path = || storage.path(&segment.name());
    let fail = |source| JournalError::io("read", path(), source);
    let file = storage.open(&segment.name()).map_err(fail)?;
    let mut reader = RecordReader::new(segment, &*file).map_err(fail)?;
    while reader.expected() <= after {
        let (op, offset) = (reader.expected(), reader.offset());
        if reader.next().map_err(fail)?.is_none() {
            let reason = format!("op {op} should be here");
            return Err(JournalError::damaged(path(), offset, &reason));
        }
    }
    Ok(reader.offset())
}

/// That the log is to be cut off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Intent {
    /// The last op that stays.
    after: OpNumber,
    /// The last one that there was.
    last: OpNumber,
    /// Of the segment that is the last one then.
    segment_nonce: u64,
    /// Of the file that keeps what is cut off.
    cut_nonce: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    ToDo = 1,
    Done = 2,
}

impl Intent {
    /// Steps 3 to 7. Answers the file of the last segment.
    fn carry_out(
        &self,
        storage: &mut dyn Storage,
        kept: &Segment,
        later: &[Segment],
        offset: u64,
    ) -> Result<Box<dyn StorageFile>, JournalError> {
        let mut intent = self.write(storage)?;
        for segment in later.iter().rev() {
            let name = segment.name();
            storage
                .remove(&name)
                .and_then(|()| storage.sync_directory())
                .map_err(|source| JournalError::io("remove", storage.path(&name), source))?;
        }
        let fail = |source| JournalError::io("write", storage.path(&kept.name()), source);
        let mut file = storage.open(&kept.name()).map_err(fail)?;
        // All of it, also what reads as zeros already: that may be in the kernel's memory only.
        let end = file.length().map_err(fail)?;
        write_zeros(&mut *file, offset, end)
            .and_then(|()| file.sync())
            .map_err(fail)?;
        let fail = |source| JournalError::io("write", storage.path(INTENT), source);
        intent
            .write_at(&self.encode(State::Done), 0)
            .and_then(|()| intent.sync())
            .map_err(fail)?;
        // Not synced: if the name comes back, it leads to one that is done.
        storage
            .remove(INTENT)
            .map_err(|source| JournalError::io("remove", storage.path(INTENT), source))?;
        Ok(file)
    }

    /// Makes the file, for good; one of this name is replaced.
    fn write(&self, storage: &mut dyn Storage) -> Result<Box<dyn StorageFile>, JournalError> {
        let path = storage.path(INTENT_UNFINISHED);
        let fail = |action| {
            let path = path.clone();
            move |source| JournalError::io(action, path, source)
        };
        let names = storage.list().map_err(fail("list"))?;
        if names.iter().any(|it| it == INTENT_UNFINISHED) {
            storage.remove(INTENT_UNFINISHED).map_err(fail("remove"))?;
        }
        let mut file = storage.create(INTENT_UNFINISHED).map_err(fail("create"))?;
        file.write_at(&self.encode(State::ToDo), 0)
            .map_err(fail("write"))?;
        file.sync().map_err(fail("sync"))?;
        storage
            .rename(INTENT_UNFINISHED, INTENT)
            .map_err(fail("rename"))?;
        storage
            .sync_directory()
            .map_err(fail("sync the directory of"))?;
        Ok(file)
    }

    /// The one that is to be carried out, if there is one.
    fn read(storage: &dyn Storage) -> Result<Option<Self>, JournalError> {
        let path = || storage.path(INTENT);
        let fail = |source| JournalError::io("read", path(), source);
        let names = storage.list().map_err(fail)?;
        if !names.iter().any(|it| it == INTENT) {
            return Ok(None);
        }
        let file = storage.open(INTENT).map_err(fail)?;
        let mut bytes = [0; INTENT_BYTES];
        let read = file.read_at(&mut bytes, 0).map_err(fail)?;
        if read < INTENT_BYTES
            || bytes[..8] != MAGIC
            || BigEndian::read_u32(&bytes[CHECKSUM]) != checksum(&bytes)
        {
            return Err(JournalError::damaged(path(), 0, "its checksum is wrong"));
        }
        let version = BigEndian::read_u32(&bytes[8..]);
        if version != FORMAT_VERSION {
            let file = path();
            return Err(JournalError::NewerVersion { file, version });
        }
        let intent = Self {
            after: OpNumber(BigEndian::read_u64(&bytes[16..])),
            last: OpNumber(BigEndian::read_u64(&bytes[24..])),
            segment_nonce: BigEndian::read_u64(&bytes[32..]),
            cut_nonce: BigEndian::read_u64(&bytes[40..]),
        };
        Ok((bytes[48] == State::ToDo as u8).then_some(intent))
    }

    fn encode(&self, state: State) -> [u8; INTENT_BYTES] {
        let mut bytes = [0; INTENT_BYTES];
        bytes[..8].copy_from_slice(&MAGIC);
        BigEndian::write_u32(&mut bytes[8..], FORMAT_VERSION);
        BigEndian::write_u64(&mut bytes[16..], self.after.0);
        BigEndian::write_u64(&mut bytes[24..], self.last.0);
        BigEndian::write_u64(&mut bytes[32..], self.segment_nonce);
        BigEndian::write_u64(&mut bytes[40..], self.cut_nonce);
        bytes[48] = state as u8;
        let checksum = checksum(&bytes);
        BigEndian::write_u32(&mut bytes[CHECKSUM], checksum);
        bytes
    }

    fn cut_file(&self, storage: &dyn Storage) -> CutFile {
        cut::describe(storage, self.after.next(), self.last, self.cut_nonce)
    }
}

fn checksum(bytes: &[u8; INTENT_BYTES]) -> u32 {
    let before = crc32c::crc32c(&bytes[..CHECKSUM.start]);
    crc32c::crc32c_append(before, &bytes[CHECKSUM.end..])
}

#[cfg(test)]
mod tests;
