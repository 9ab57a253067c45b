//! What an account may be called.

use std::fmt;

use crate::limits::NAME_BYTES_MAX;

/// An account's name: 1 to [`NAME_BYTES_MAX`] bytes of `a-z 0-9 _ . -`, lower-case. Copied
/// freely: it holds its bytes in place.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name {
    /// Zero beyond `length`, so that equality and order by fields are those of the strings.
    bytes: [u8; NAME_BYTES_MAX],
    length: u8,
}

/// The bytes cannot be an account's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a name has 1 to {NAME_BYTES_MAX} characters out of a-z 0-9 _ . -")]
pub struct InvalidName;

impl Name {
    /// The name that `text` spells, in lower case.
    pub fn parse(text: &str) -> Result<Self, InvalidName> {
        if text.is_empty() || text.len() > NAME_BYTES_MAX {
            return Err(InvalidName);
        }
        let mut bytes = [0; NAME_BYTES_MAX];
        for (to, from) in bytes.iter_mut().zip(text.bytes()) {
            *to = match from {
                b'a'..=b'z' | b'0'..=b'9' | b'_' | b'.' | b'-' => from,
                b'A'..=b'Z' => from.to_ascii_lowercase(),
                _ => return Err(InvalidName),
            };
        }
        Ok(Self {
            bytes,
            length: text.len() as u8,
        })
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        let bytes = &self.bytes[..usize::from(self.length)];
        std::str::from_utf8(bytes).expect("names are made of ASCII alone")
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Name({})", self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_at_below_and_above_their_limits() {
        assert_eq!(Name::parse(""), Err(InvalidName));
        assert_eq!(Name::parse("a").unwrap().as_str(), "a");
        assert_eq!(Name::parse(&"x".repeat(32)).unwrap().as_str().len(), 32);
        assert_eq!(Name::parse(&"x".repeat(33)), Err(InvalidName));
        assert_eq!(Name::parse("Al_i.c-E9").unwrap().as_str(), "al_i.c-e9");
    }

    #[test]
    fn nothing_but_the_alphabet_makes_a_name() {
        for text in ["al ice", "al\0", "*", "a(deleted)", "ä", "a\n", "a/b"] {
            assert_eq!(Name::parse(text), Err(InvalidName), "{text:?}");
        }
    }

    #[test]
    fn names_sort_as_their_text_does() {
        let mut names = ["b", "a.", "ab", "a", "a-b"].map(|text| Name::parse(text).unwrap());
        names.sort();
        assert_eq!(names.map(|n| n.to_string()), ["a", "a-b", "a.", "ab", "b"]);
    }
}
