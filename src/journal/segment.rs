//! What is a segment, as a file?
//!
//! A file named by its first op, such as `00000000000000000001.segment`: a header block, then
//! records, then zeros; or, where `reused` is 1, what stood there when the file was another segment.
//!
//! ```text
//!  byte  0        8         12      16           24           40        48       49       4096
//!        ┌────────┬─────────┬───────┬────────────┬────────────┬─────────┬────────┬─────────┐
//!        │ magic  │ version │ CRC   │ first op   │ cluster id │ nonce   │ reused │ zeros   │ records …
//!        └────────┴─────────┴───────┴────────────┴────────────┴─────────┴────────┴─────────┘
//!        ├──────── the CRC covers all 4096 bytes but itself ───────────────────────────────┤
//! ```
//!
//! Magic, version and CRC are where they are in every later version, too.
//!
//! A segment gets this name only when its header block and the zeros are safe on the disk; before,
//! its name ends with `.segment.new`. So a bad header under the final name is always damage, and a
//! file of the other name never holds anything. Nor does one whose name ends with `.segment.spare`: it was
//! a segment that nobody needs any more, and becomes another one, since a file that is there already
//! needs no zeros, and its blocks are known.
//!
//! What tells the records of a reused file from those that stood there before is the order of the ops:
//! a spare comes from the beginning of the log, so that all it holds has lower numbers than any record
//! that is ever written into it. That their nonces differ only makes it more unlikely still that one
//! is taken for another: a record has of its nonce no more than the 32 bits of a checksum.

use byteorder::{BigEndian, ByteOrder};

use super::JournalError;
use super::record::ALIGNMENT;
use super::storage::{Storage, StorageFile};
use crate::types::{ClusterId, OpNumber};

/// Length of the header block; the first record follows.
pub(super) const HEADER_BLOCK_BYTES: usize = 4096;
/// Where the first record begins.
pub(super) const RECORDS_BEGIN: u64 = HEADER_BLOCK_BYTES as u64;
/// How the name of a segment under construction ends.
const UNFINISHED: &str = ".segment.new";
/// How the name of a segment ends.
const FINISHED: &str = ".segment";
/// How the name of one ends that is to become another.
const SPARE: &str = ".segment.spare";
/// Digits of an op number in a name: all that there can be, so that names sort like numbers.
const NAME_DIGITS: usize = 20;

const MAGIC: [u8; 8] = [0xff, b'L', b'W', b's', b'e', b'g', b'm', 0xfe];
const FORMAT_VERSION: u32 = 1;
/// Bytes 12 to 16 of the header block.
const CHECKSUM: std::ops::Range<usize> = 12..16;
/// The byte of the header block that says whether the file was another segment's.
const REUSED: usize = 48;

const _: () = assert!(RECORDS_BEGIN.is_multiple_of(ALIGNMENT));

/// What a header block says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Segment {
    /// The number of its first record; also its name.
    pub first: OpNumber,
    /// Whose log it is a part of.
    pub cluster: ClusterId,
    /// Drawn by lot for the journal's first segment, derived for the others; no two of a journal
    /// have the same.
    pub nonce: u64,
    /// Its file was another segment's: behind its records stand those of that one, which have lower
    /// numbers (and another nonce).
    pub reused: bool,
}

impl Segment {
    /// The segment that follows this one.
    pub fn following(&self, first: OpNumber) -> Self {
        Self {
            first,
            nonce: mix(self.nonce.wrapping_add(first.0)),
            reused: false,
            ..*self
        }
    }

    /// Whether `other` is the segment that follows this one.
    pub fn is_followed_by(&self, other: &Self) -> bool {
        let following = self.following(other.first);
        (following.cluster, following.nonce) == (other.cluster, other.nonce)
    }

    /// The name of its file.
    pub fn name(&self) -> String {
        format!("{:0NAME_DIGITS$}{FINISHED}", self.first)
    }

    /// The name of its file once it is a spare one.
    pub fn spare_name(&self) -> String {
        format!("{:0NAME_DIGITS$}{SPARE}", self.first)
    }

    /// Makes the file, with `length` bytes of which those behind the header block are zeros. It is
    /// there for good when this returns.
    pub fn create(
        &self,
        storage: &mut dyn Storage,
        length: u64,
    ) -> Result<Box<dyn StorageFile>, JournalError> {
        let unfinished = format!("{:0NAME_DIGITS$}{UNFINISHED}", self.first);
        let path = storage.path(&unfinished);
        let fail = |action| {
            let path = path.clone();
            move |source| JournalError::io(action, path, source)
        };
        let mut bytes = self.encode();
        bytes.resize(length as usize, 0);
        let mut file = storage.create(&unfinished).map_err(fail("create"))?;
        file.write_at(&bytes, 0).map_err(fail("write"))?;
        self.finish(storage, file, &unfinished)
    }

    /// Makes the file out of one that is spare, whose length it keeps. It is there for good when this
    /// returns.
    pub fn create_from(
        &self,
        storage: &mut dyn Storage,
        spare: &str,
    ) -> Result<Box<dyn StorageFile>, JournalError> {
        debug_assert!(self.reused, "behind its records there is something");
        let path = storage.path(spare);
        let fail = |action| {
            let path = path.clone();
            move |source| JournalError::io(action, path, source)
        };
        let mut file = storage.open(spare).map_err(fail("open"))?;
        file.write_at(&self.encode(), 0).map_err(fail("write"))?;
        self.finish(storage, file, spare)
    }

    /// Makes what was written into the file `name` safe, and then gives it the name that counts, for
    /// good.
    fn finish(
        &self,
        storage: &mut dyn Storage,
        mut file: Box<dyn StorageFile>,
        name: &str,
    ) -> Result<Box<dyn StorageFile>, JournalError> {
        let path = storage.path(name);
        let fail = |action| {
            let path = path.clone();
            move |source| JournalError::io(action, path, source)
        };
        file.sync().map_err(fail("sync"))?;
        storage.rename(name, &self.name()).map_err(fail("rename"))?;
        storage
            .sync_directory()
            .map_err(fail("sync the directory of"))?;
        Ok(file)
    }

    /// Reads the header block of a file, and checks that it is what the name says.
    pub fn read(storage: &dyn Storage, name: &str) -> Result<Self, JournalError> {
        let fail = |source| JournalError::io("read", storage.path(name), source);
        let damaged = |reason: &str| JournalError::damaged(storage.path(name), 0, reason);
        let mut bytes = [0; HEADER_BLOCK_BYTES];
        let file = storage.open(name).map_err(fail)?;
        if file.read_at(&mut bytes, 0).map_err(fail)? < HEADER_BLOCK_BYTES {
            return Err(damaged("it is shorter than a segment's header"));
        }
        if bytes[..8] != MAGIC {
            return Err(damaged("it does not begin as a segment does"));
        }
        if BigEndian::read_u32(&bytes[CHECKSUM]) != checksum(&bytes) {
            return Err(damaged("the checksum of its header is wrong"));
        }
        let version = BigEndian::read_u32(&bytes[8..]);
        if version != FORMAT_VERSION {
            let file = storage.path(name);
            return Err(JournalError::NewerVersion { file, version });
        }
        let segment = Self {
            first: OpNumber(BigEndian::read_u64(&bytes[16..])),
            cluster: ClusterId(BigEndian::read_u128(&bytes[24..])),
            nonce: BigEndian::read_u64(&bytes[40..]),
            reused: bytes[REUSED] == 1,
        };
        if segment.name() != name {
            return Err(damaged("it is another segment than its name says"));
        }
        Ok(segment)
    }

    fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![0; HEADER_BLOCK_BYTES];
        bytes[..8].copy_from_slice(&MAGIC);
        BigEndian::write_u32(&mut bytes[8..], FORMAT_VERSION);
        BigEndian::write_u64(&mut bytes[16..], self.first.0);
        BigEndian::write_u128(&mut bytes[24..], self.cluster.0);
        BigEndian::write_u64(&mut bytes[40..], self.nonce);
        bytes[REUSED] = u8::from(self.reused);
        let checksum = checksum(&bytes);
        BigEndian::write_u32(&mut bytes[CHECKSUM], checksum);
        bytes
    }
}

/// Whether a file of this name is a segment.
pub(super) fn is_segment(name: &str) -> bool {
    is_numbered(name, FINISHED)
}

/// The op that the segment began with which is a spare one of this name; `None` if it is no such name.
pub(super) fn first_of_spare(name: &str) -> Option<OpNumber> {
    let digits = name.strip_suffix(SPARE)?;
    digits.parse().ok().map(OpNumber)
}

/// Whether a file of this name is a segment that was never finished, or is one no more, and holds
/// nothing.
pub(super) fn is_nothing(name: &str) -> bool {
    is_numbered(name, UNFINISHED) || is_numbered(name, SPARE)
}

fn is_numbered(name: &str, end: &str) -> bool {
    name.strip_suffix(end).is_some_and(|digits| {
        digits.len() == NAME_DIGITS && digits.bytes().all(|it| it.is_ascii_digit())
    })
}

fn checksum(block: &[u8]) -> u32 {
    let before = crc32c::crc32c(&block[..CHECKSUM.start]);
    crc32c::crc32c_append(before, &block[CHECKSUM.end..HEADER_BLOCK_BYTES])
}

/// Spreads a number over all 64 bits, one to one (the finaliser of splitmix64).
pub(super) fn mix(number: u64) -> u64 {
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

#[cfg(test)]
mod tests {
    use super::super::record;
    use super::super::storage::FaultyStorage;
    use super::*;

    fn segment() -> Segment {
        Segment {
            first: OpNumber(17),
            cluster: ClusterId(0xabcd),
            nonce: 99,
            reused: false,
        }
    }

    #[test]
    fn a_segment_is_there_for_good_and_says_what_it_is() {
        let mut storage = FaultyStorage::new();
        segment().create(&mut storage, 6000).unwrap();
        let storage = storage.crash(&mut |_| false);
        assert_eq!(storage.list().unwrap(), ["00000000000000000017.segment"]);
        let name = segment().name();
        assert_eq!(Segment::read(&storage, &name).unwrap(), segment());
        let contents = storage.contents(&name);
        assert_eq!(contents.len(), 6000);
        assert!(contents[48..].iter().all(|it| *it == 0));
    }

    #[test]
    fn a_crash_while_it_is_made_leaves_all_of_it_or_nothing() {
        let mut storage = FaultyStorage::new();
        storage.record();
        segment().create(&mut storage, 6000).unwrap();
        assert_all_or_nothing(&storage, segment());
    }

    #[test]
    fn a_crash_while_it_is_made_of_another_leaves_all_of_it_or_nothing() {
        let mut storage = FaultyStorage::new();
        let before = Segment {
            first: OpNumber(1),
            nonce: 98,
            ..segment()
        };
        let mut file = before.create(&mut storage, 6000).unwrap();
        let mut records = Vec::new();
        for op in 1..=9 {
            record::encode(
                &mut records,
                before.nonce,
                OpNumber(op),
                OpNumber(op - 1),
                b"hello",
            );
        }
        file.write_at(&records, RECORDS_BEGIN).unwrap();
        file.sync().unwrap();
        let spare = before.spare_name();
        storage.rename(&before.name(), &spare).unwrap();
        storage.sync_directory().unwrap();
        storage.record();
        let reused = Segment {
            reused: true,
            ..segment()
        };
        reused.create_from(&mut storage, &spare).unwrap();
        assert_eq!(storage.list().unwrap(), [reused.name()]);
        let contents = storage.contents(&reused.name());
        assert_eq!(contents.len(), 6000);
        assert!(contents[HEADER_BLOCK_BYTES..].starts_with(&records));
        assert_all_or_nothing(&storage, reused);
    }

    /// Whatever a crash leaves after any step that was recorded: what has the name of a segment is
    /// `made`, and everything else is nothing.
    fn assert_all_or_nothing(storage: &FaultyStorage, made: Segment) {
        for steps in 0..=storage.steps() {
            let before = storage.after(steps);
            // All but one of what is not safe is left, or that one alone.
            for one in 0..=before.unsynced() {
                for is_left in [false, true] {
                    let mut piece = 0;
                    let left = before.crash(&mut |_| {
                        piece += 1;
                        (piece == one) == is_left
                    });
                    for name in left.list().unwrap() {
                        if is_segment(&name) {
                            assert_eq!(Segment::read(&left, &name).unwrap(), made);
                        } else {
                            assert!(is_nothing(&name));
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn every_flipped_bit_of_the_header_block_is_damage() {
        let mut storage = FaultyStorage::new();
        segment().create(&mut storage, 6000).unwrap();
        let name = segment().name();
        for offset in 0..RECORDS_BEGIN {
            storage.flip(&name, offset, 0x10);
            let error = Segment::read(&storage, &name).unwrap_err();
            assert!(matches!(error, JournalError::Damaged { .. }), "{offset}");
            storage.flip(&name, offset, 0x10);
        }
    }

    #[test]
    fn a_newer_version_is_told_from_damage() {
        let mut storage = FaultyStorage::new();
        let name = segment().name();
        let mut bytes = segment().encode();
        bytes[11] = 2;
        let checksum = checksum(&bytes);
        BigEndian::write_u32(&mut bytes[CHECKSUM], checksum);
        storage.create(&name).unwrap().write_at(&bytes, 0).unwrap();
        let error = Segment::read(&storage, &name).unwrap_err();
        assert!(matches!(
            error,
            JournalError::NewerVersion { version: 2, .. }
        ));
    }

    #[test]
    fn the_nonces_of_a_journal_differ() {
        let one = segment();
        let two = one.following(OpNumber(18));
        let three = two.following(OpNumber(19));
        assert_ne!(one.nonce, two.nonce);
        assert_ne!(two.nonce, three.nonce);
        assert_eq!(two.cluster, one.cluster);
    }

    #[test]
    fn other_names_are_no_segments() {
        assert!(is_segment("00000000000000000001.segment"));
        for name in [
            "1.segment",
            "0000000000000000000x.segment",
            "lock",
            "superblock",
        ] {
            assert!(!is_segment(name) && !is_nothing(name), "{name}");
        }
        assert!(!is_segment("00000000000000000001.segment.new"));
    }
}
