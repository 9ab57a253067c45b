//! What does a journal hold after a crash: where does it end, and is it whole?
//!
//! Only the last segment is read for that. The earlier ones were synced before the next was made,
//! so that nothing in them can be torn; their records are checked when they are read.

use std::io;

use super::cut::{self, CutFile};
use super::reader::RecordReader;
use super::segment::{self, Segment, is_segment};
use super::storage::{Storage, StorageFile};
use super::{JournalError, truncate};
use crate::types::OpNumber;

/// What was found when a journal was opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recovery {
    /// The oldest op that is still there; `head + 1` if there is none.
    pub first: OpNumber,
    /// The last op; everything up to it is safe on the disk.
    pub head: OpNumber,
    /// What a crash had left of a write that was never synced. It was cut off.
    pub torn: Option<TornEnd>,
    /// What a crash had left of a [cut](super::Journal::truncate). It was finished; what is cut off
    /// is kept here.
    pub cut: Option<CutFile>,
}

/// The remains of a write that was never synced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TornEnd {
    /// In which file.
    pub file: String,
    /// Where they began.
    pub offset: u64,
    /// How many bytes they were; they are zeros now.
    pub bytes: u64,
    /// The last op before them.
    pub after: OpNumber,
}

/// How much is copied or zeroed at once.
const REPAIR_BYTES: u64 = 1024 * 1024;

/// A journal that was found whole and made safe.
pub(super) struct Recovered {
    /// All segments, oldest first; there is one at least.
    pub segments: Vec<Segment>,
    /// The last segment's file.
    pub file: Box<dyn StorageFile>,
    /// Where its records end. There is nothing behind that could be taken for a record.
    pub end: u64,
    /// The file's length.
    pub length: u64,
    /// What is told to others.
    pub recovery: Recovery,
}

/// Finds out what there is, and makes the end safe. Nothing is changed if anything is damaged.
pub(super) fn recover(storage: &mut dyn Storage) -> Result<Recovered, JournalError> {
    let mut segments = read_segments(storage)?;
    if segments.is_empty() {
        return Err(JournalError::Missing {
            directory: storage.directory().to_owned(),
        });
    }
    // Before anything else: the end of a log that is half cut off looks like damage.
    let cut = truncate::finish(storage, &mut segments)?;
    let last = &segments[segments.len() - 1];
    let name = last.name();
    let fail_read = |source| JournalError::io("read", storage.path(&name), source);
    let mut file = storage.open(&name).map_err(fail_read)?;
    let end = find_end(storage, last, &*file)?;
    let fail_write = |source| JournalError::io("write", storage.path(&name), source);
    make_safe(&mut *file, &end).map_err(fail_write)?;
    remove_remains(storage)?;
    let recovery = Recovery {
        first: segments[0].first,
        head: end.head,
        torn: end.torn_to.map(|torn_to| TornEnd {
            file: storage.path(&name),
            offset: end.offset,
            bytes: torn_to - end.offset,
            after: end.head,
        }),
        cut,
    };
    Ok(Recovered {
        file,
        end: end.offset,
        length: end.length,
        recovery,
        segments,
    })
}

/// Reads the header blocks of all segments.
fn read_segments(storage: &dyn Storage) -> Result<Vec<Segment>, JournalError> {
    let fail = |source| JournalError::io("list", directory_of(storage), source);
    let mut names = storage.list().map_err(fail)?;
    names.retain(|it| is_segment(it));
    names.sort_unstable();
    let mut segments: Vec<Segment> = Vec::with_capacity(names.len());
    for name in names {
        let segment = Segment::read(storage, &name)?;
        if let Some(before) = segments.last()
            && !before.is_followed_by(&segment)
        {
            let reason = format!("{} does not come before it", before.name());
            return Err(JournalError::damaged(storage.path(&name), 0, &reason));
        }
        segments.push(segment);
    }
    Ok(segments)
}

/// How a segment ends.
struct End {
    /// The last op.
    head: OpNumber,
    /// Where the records end.
    offset: u64,
    /// From here on, nothing shows that what is there was ever synced: what stands from here to
    /// `offset` may be in the kernel's memory only.
    unconfirmed_from: u64,
    /// Where the remains of a torn write end, if there are any behind `offset`.
    torn_to: Option<u64>,
    /// The file's length.
    length: u64,
}

/// Reads all of a segment, the last one, and tells a torn end from damage.
fn find_end(
    storage: &dyn Storage,
    segment: &Segment,
    file: &dyn StorageFile,
) -> Result<End, JournalError> {
    let fail = |source| JournalError::io("read", storage.path(&segment.name()), source);
    let mut reader = RecordReader::new(segment, file).map_err(fail)?;
    // Until some record knows the segment's first op to be synced, its header is not known to be.
    let mut unconfirmed_from = 0;
    let mut unconfirmed_op = segment.first;
    loop {
        let offset = reader.offset();
        let Some(record) = reader.next().map_err(fail)? else {
            break;
        };
        if record.header.synced >= unconfirmed_op {
            unconfirmed_op = record.header.op;
            unconfirmed_from = offset;
        }
    }
    let torn_to = end_of_remains(segment, &mut reader).map_err(fail)?;
    if let Some(torn_to) = torn_to
        && let Some(witness) = reader.evidence_of_sync(torn_to).map_err(fail)?
    {
        let reason = format!(
            "op {} should be here, and op {witness} behind it shows that it was",
            reader.expected()
        );
        let file = storage.path(&segment.name());
        return Err(JournalError::damaged(file, reader.offset(), &reason));
    }
    Ok(End {
        head: OpNumber(reader.expected().0 - 1),
        offset: reader.offset(),
        unconfirmed_from,
        torn_to,
        length: reader.length(),
    })
}

/// Behind the last byte of what a torn write has left where the next record would begin, if there is any.
/// Where the file was another segment's, that one's bytes are no remains: then only what can be told by a
/// record's header is. Of a torn write without a whole header nothing is left that could ever be taken for
/// a record.
fn end_of_remains(segment: &Segment, reader: &mut RecordReader<'_>) -> io::Result<Option<u64>> {
    match segment.reused {
        true => reader.end_of_later_records(),
        false => reader.end_of_bytes(),
    }
}

/// Zeroes the remains of a torn write, and sees to it that what comes before is on the disk.
///
/// What was read may be in the kernel's memory only, and after an error of a sync the kernel holds
/// it for written though it is not: a sync alone would do nothing. So it is written once more.
fn make_safe(file: &mut dyn StorageFile, end: &End) -> io::Result<()> {
    let mut buffer = Vec::new();
    let mut from = end.unconfirmed_from;
    while from < end.offset {
        buffer.resize((end.offset - from).min(REPAIR_BYTES) as usize, 0);
        if file.read_at(&mut buffer, from)? < buffer.len() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        file.write_at(&buffer, from)?;
        from += buffer.len() as u64;
    }
    if let Some(torn_to) = end.torn_to {
        write_zeros(file, end.offset, torn_to)?;
    }
    file.sync()
}

/// Writes zeros, a bounded number at a time, and does not sync them.
pub(super) fn write_zeros(file: &mut dyn StorageFile, mut from: u64, to: u64) -> io::Result<()> {
    let zeros = vec![0; to.saturating_sub(from).min(REPAIR_BYTES) as usize];
    while from < to {
        let count = (to - from).min(REPAIR_BYTES);
        file.write_at(&zeros[..count as usize], from)?;
        from += count;
    }
    Ok(())
}

/// Removes what was begun and never finished, and the intent of a cut, which is done by now; and
/// makes the names as they are then safe.
fn remove_remains(storage: &mut dyn Storage) -> Result<(), JournalError> {
    let names = storage
        .list()
        .map_err(|source| JournalError::io("list", directory_of(storage), source))?;
    let remains = |name: &str| {
        segment::is_nothing(name)
            || cut::is_unfinished(name)
            || [truncate::INTENT, truncate::INTENT_UNFINISHED].contains(&name)
    };
    for name in names.iter().filter(|it| remains(it)) {
        storage
            .remove(name)
            .map_err(|source| JournalError::io("remove", storage.path(name), source))?;
    }
    storage
        .sync_directory()
        .map_err(|source| JournalError::io("sync", directory_of(storage), source))
}

/// Prepares an empty place for a new journal: one that a crash left right after it was made, without
/// any op in it, goes, wherever it was to begin.
pub(super) fn clear_empty(storage: &mut dyn Storage) -> Result<(), JournalError> {
    let segments = read_segments(storage)?;
    if let [segment] = segments[..] {
        let name = segment.name();
        let fail = |source| JournalError::io("read", storage.path(&name), source);
        let file = storage.open(&name).map_err(fail)?;
        let remains = RecordReader::new(&segment, &*file)
            .and_then(|mut it| end_of_remains(&segment, &mut it))
            .map_err(fail)?;
        if remains.is_none() {
            storage
                .remove(&name)
                .map_err(|source| JournalError::io("remove", storage.path(&name), source))?;
            return remove_remains(storage);
        }
    }
    if segments.is_empty() {
        return remove_remains(storage);
    }
    Err(JournalError::Exists {
        directory: storage.directory().to_owned(),
    })
}

fn directory_of(storage: &dyn Storage) -> String {
    storage.directory().display().to_string()
}
