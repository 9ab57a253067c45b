//! How does a simulated network carry the snapshot of a store that has no file?

use super::{TRAILER_BYTES, TakeSnapshotError, Trailer};
use crate::store::MemoryStore;

/// What stands for one message among a snapshot's bytes.
const BYTES_OF_A_MESSAGE: usize = 100;
/// No two numbers become the same by it.
const SCATTER: u64 = 0x9e37_79b9_7f4a_7c15;

/// Snapshots of [`MemoryStore`]s, kept while opaque bytes that stand for them are on their way.
/// The bytes are about as many as a file's would be, and any other bytes are found out.
#[derive(Debug, Default)]
pub struct MemorySnapshots {
    /// By their numbers, from 0.
    kept: Vec<MemoryStore>,
}

impl MemorySnapshots {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Keeps `snapshot` (of [`MemoryStore::snapshot`]) and answers the bytes to send, with their
    /// trailer.
    pub fn put(&mut self, snapshot: MemoryStore) -> Vec<u8> {
        let number = self.kept.len() as u64;
        let words = 1 + snapshot.messages() * BYTES_OF_A_MESSAGE / size_of::<u64>();
        self.kept.push(snapshot);
        // The first word is the number itself, and no two words are the same.
        let word = |at: u64| number.wrapping_add(at.wrapping_mul(SCATTER)).to_be_bytes();
        let mut bytes: Vec<u8> = (0..words as u64).flat_map(word).collect();
        let trailer = Trailer {
            checksum: crc32c::crc32c(&bytes),
            bytes: bytes.len() as u64,
        };
        bytes.extend_from_slice(&trailer.encode());
        bytes
    }

    /// The store that `bytes` stand for, all of it synced.
    ///
    /// # Errors
    ///
    /// They are not what [`Self::put`] has answered.
    pub fn restore(&self, bytes: &[u8]) -> Result<MemoryStore, TakeSnapshotError> {
        let split = bytes.len().saturating_sub(TRAILER_BYTES);
        let (body, trailer) = bytes.split_at(split);
        let expected = Trailer {
            checksum: crc32c::crc32c(body),
            bytes: split as u64,
        };
        let number = body.first_chunk().map(|word| u64::from_be_bytes(*word));
        number
            .filter(|_| trailer == expected.encode())
            .and_then(|number| self.kept.get(usize::try_from(number).ok()?))
            .cloned()
            .ok_or_else(|| TakeSnapshotError::Damaged("it is not what was sent".to_owned()))
    }
}
