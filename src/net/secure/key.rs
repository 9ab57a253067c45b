//! What do the servers of a cluster know that nobody else does?

use blake2::{Blake2s256, Digest};
use std::fmt;

/// Shortest key file, without the white space around: less can be guessed.
const KEY_BYTES_MIN: usize = 16;
/// Makes this hash another one than every other use of the same file.
const DOMAIN: &[u8] = b"lastword cluster key 1\0";
/// The permissions of a file by which somebody other than its owner can do something with it.
const OTHERS: u32 = 0o077;

/// The secret that the servers of a cluster share, as the links use it.
#[derive(Clone)]
pub struct ClusterKey([u8; 32]);

/// Why a file is no cluster key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidKey {
    /// It can be guessed.
    #[error(
        "a cluster key has at least {KEY_BYTES_MIN} bytes, and this one has {0}: make one with \
         `(umask 077; head -c 32 /dev/urandom | base64 > FILE)`, and give every server the same"
    )]
    TooShort(usize),
    /// Others than its owner may read or write it.
    #[error(
        "the cluster key may be read or written by others than its owner (mode {0:03o}): \
         `chmod 600 FILE` changes that"
    )]
    OpenToOthers(u32),
}

impl ClusterKey {
    /// Makes a key of a file's contents. White space around does not count, so that an editor's
    /// line feed at the end makes no difference. The contents are to be random, as nothing here
    /// makes guessing slow.
    pub fn parse(contents: &[u8]) -> Result<Self, InvalidKey> {
        let secret = contents.trim_ascii();
        if secret.len() < KEY_BYTES_MIN {
            return Err(InvalidKey::TooShort(secret.len()));
        }
        let hash = Blake2s256::new_with_prefix(DOMAIN).chain_update(secret);
        Ok(Self(hash.finalize().into()))
    }

    /// Whether a file with these permissions (`st_mode`, of which only the lowest nine bits count)
    /// is its owner's alone.
    pub fn check_mode(mode: u32) -> Result<(), InvalidKey> {
        match mode & OTHERS {
            0 => Ok(()),
            _ => Err(InvalidKey::OpenToOthers(mode & 0o777)),
        }
    }

    pub(super) fn bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// It must not get into a log.
impl fmt::Debug for ClusterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClusterKey(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &[u8] = b"correct horse battery";

    #[test]
    fn white_space_around_makes_no_difference_and_everything_else_does() {
        let key = |contents: &[u8]| ClusterKey::parse(contents).unwrap().0;
        assert_eq!(key(SECRET), key(b"\r\n correct horse battery\t\n"));
        assert_ne!(key(SECRET), key(b"correct horse  battery"));
        assert_ne!(key(SECRET), key(b"correct horse battery."));
    }

    #[test]
    fn the_key_of_a_file_stays_what_it_is() {
        // A server that derived another one could not talk to those that were not updated yet. The
        // sum is that of Python's hashlib.blake2s over the domain and the secret.
        let key = ClusterKey::parse(SECRET).unwrap();
        let hex: String = key.0.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(
            hex,
            "4bd6e8634c237c8463362ed9484dc40d6491687ee37aad6c25492431af380f1b"
        );
    }

    #[test]
    fn what_is_short_without_its_white_space_is_refused() {
        let refused = |contents: &[u8]| ClusterKey::parse(contents).unwrap_err();
        assert_eq!(refused(b""), InvalidKey::TooShort(0));
        let padded = [b"0123456789abcde".as_slice(), &[b'\n'; 100]].concat();
        assert_eq!(refused(&padded), InvalidKey::TooShort(15));
        assert!(ClusterKey::parse(b"0123456789abcdef").is_ok());
        let sentence = refused(b"hunter2").to_string();
        assert!(sentence.contains("at least 16 bytes, and this one has 7"));
    }

    #[test]
    fn others_must_have_no_permission() {
        for mode in [0o100_600, 0o100_400, 0o600, 0o700] {
            assert_eq!(ClusterKey::check_mode(mode), Ok(()));
        }
        for mode in [0o644, 0o640, 0o604, 0o620, 0o601] {
            assert_eq!(
                ClusterKey::check_mode(0o100_000 | mode),
                Err(InvalidKey::OpenToOthers(mode))
            );
        }
        let sentence = InvalidKey::OpenToOthers(0o644).to_string();
        assert!(sentence.contains("(mode 644)"), "{sentence}");
    }

    #[test]
    fn a_key_does_not_show_itself() {
        let key = ClusterKey::parse(SECRET).unwrap();
        assert_eq!(format!("{key:?}"), "ClusterKey(…)");
    }
}
