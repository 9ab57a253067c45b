//! How are maps hashed whose keys are our own numbers?
//!
//! By one multiplication for each number. Account and conversation ids are op numbers, and connections
//! get their ids from the event loop: nobody outside can choose them freely, so these maps need no
//! defence against chosen keys, and they are looked into several times for each message. Session ids are chosen by clients: their maps
//! use the standard library's hasher with its random key. No outcome may depend on the order in
//! which a map is walked, whichever hasher it has.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// A map whose keys are numbers that this program gave.
pub type NumberMap<K, V> = HashMap<K, V, BuildHasherDefault<NumberHasher>>;

/// An odd constant without a pattern: the fraction of the golden ratio.
const MULTIPLIER: u128 = 0x9e37_79b9_7f4a_7c15;

/// Multiplies, and folds the upper half of the product into the lower, so that all bits of a
/// number reach both the bits that choose a bucket and those that tell entries in it apart.
#[derive(Default)]
pub struct NumberHasher {
    /// Of all numbers so far; 0 before the first.
    hash: u64,
}

impl Hasher for NumberHasher {
    fn write_u64(&mut self, number: u64) {
        let product = u128::from(self.hash ^ number) * MULTIPLIER;
        self.hash = (product >> 64) as u64 ^ product as u64;
    }

    /// The length of an array, which stands before its numbers.
    fn write_usize(&mut self, length: usize) {
        self.write_u64(length as u64);
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    fn finish(&self) -> u64 {
        self.hash
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::hash::{BuildHasher, BuildHasherDefault};

    use super::super::AccountId;
    use super::*;

    #[test]
    fn neighbours_and_pairs_of_neighbours_are_told_apart() {
        let build = BuildHasherDefault::<NumberHasher>::default();
        let mut seen = HashSet::new();
        for first in 0..200 {
            assert!(seen.insert(build.hash_one(AccountId(first + (1 << 40)))));
            for second in 0..200 {
                assert!(seen.insert(build.hash_one([AccountId(first), AccountId(second)])));
            }
        }
    }

    #[test]
    fn low_and_high_bits_both_depend_on_the_number() {
        let build = BuildHasherDefault::<NumberHasher>::default();
        let hashes = (0..4096).map(|n| build.hash_one(AccountId(n << 20)));
        let low: HashSet<u64> = hashes.clone().map(|hash| hash & 0xff).collect();
        let high: HashSet<u64> = hashes.map(|hash| hash >> 57).collect();
        assert!(low.len() > 200, "{} of 256 buckets", low.len());
        assert_eq!(high.len(), 128);
    }
}
