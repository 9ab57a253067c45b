//! How are numbers and strings laid out in bytes, and how are they read without trusting them?
//!
//! Everything is big-endian. A short string is a length of one byte and then UTF-8; where a longer
//! one is needed it takes the rest of the body. A [`Reader`] never panics and never allocates: it
//! hands out what it found, already checked, or says what was wrong.

use byteorder::{BigEndian, ReadBytesExt, WriteBytesExt};

use crate::limits::SENTENCE_BYTES_MAX;
use crate::types::{ErrorCode, InvalidName, InvalidPassword, InvalidText, Name, Text};

use super::message::Refusal;

/// Longest short string: its length has one byte.
pub const SHORT_STRING_BYTES_MAX: usize = u8::MAX as usize;

/// Why a body is not what its kind takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidField {
    /// It ends before its last field does.
    #[error("the body ends in the middle of a field")]
    Short,
    /// It goes on behind its last field.
    #[error("the body has bytes behind its last field")]
    Trailing,
    /// A string is not UTF-8.
    #[error("text has to be UTF-8")]
    NotUtf8,
    /// A name is none.
    #[error(transparent)]
    Name(#[from] InvalidName),
    /// A text is none.
    #[error(transparent)]
    Text(#[from] InvalidText),
    /// A password is none.
    #[error(transparent)]
    Password(#[from] InvalidPassword),
    /// A field has a value that it may not have. Says which one, and what it may have.
    #[error("{0}")]
    OutOfRange(&'static str),
}

impl From<InvalidField> for Refusal {
    fn from(invalid: InvalidField) -> Self {
        let code = match invalid {
            InvalidField::Short | InvalidField::Trailing | InvalidField::OutOfRange(_) => {
                ErrorCode::BadArguments
            }
            InvalidField::NotUtf8 => ErrorCode::NotUtf8,
            InvalidField::Name(InvalidName) => ErrorCode::BadName,
            InvalidField::Text(InvalidText::TooLong) => ErrorCode::TooLong,
            InvalidField::Text(InvalidText::Empty | InvalidText::ControlCharacter) => {
                ErrorCode::BadText
            }
            InvalidField::Password(InvalidPassword) => ErrorCode::BadPassword,
        };
        Self::new(code, invalid.to_string())
    }
}

/// Reads fields one after the other.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    /// What was not read yet.
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// At the first field of `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// A number of one byte.
    pub fn u8(&mut self) -> Result<u8, InvalidField> {
        self.rest.read_u8().map_err(|_| InvalidField::Short)
    }

    /// A number of two bytes.
    pub fn u16(&mut self) -> Result<u16, InvalidField> {
        self.rest
            .read_u16::<BigEndian>()
            .map_err(|_| InvalidField::Short)
    }

    /// A number of four bytes.
    pub fn u32(&mut self) -> Result<u32, InvalidField> {
        self.rest
            .read_u32::<BigEndian>()
            .map_err(|_| InvalidField::Short)
    }

    /// A number of eight bytes.
    pub fn u64(&mut self) -> Result<u64, InvalidField> {
        self.rest
            .read_u64::<BigEndian>()
            .map_err(|_| InvalidField::Short)
    }

    /// A number of sixteen bytes.
    pub fn u128(&mut self) -> Result<u128, InvalidField> {
        self.rest
            .read_u128::<BigEndian>()
            .map_err(|_| InvalidField::Short)
    }

    /// One byte that is 0 or 1.
    pub fn flag(&mut self) -> Result<bool, InvalidField> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(InvalidField::OutOfRange("a flag is 0 or 1")),
        }
    }

    /// So many bytes as they are.
    pub fn array<const COUNT: usize>(&mut self) -> Result<[u8; COUNT], InvalidField> {
        let (array, rest) = self
            .rest
            .split_first_chunk::<COUNT>()
            .ok_or(InvalidField::Short)?;
        self.rest = rest;
        Ok(*array)
    }

    /// A string behind its length, as it is.
    pub fn short_string(&mut self) -> Result<&'a str, InvalidField> {
        let length = usize::from(self.u8()?);
        self.string(length)
    }

    /// A string of so many bytes, as it is.
    pub fn string(&mut self, length: usize) -> Result<&'a str, InvalidField> {
        std::str::from_utf8(self.bytes(length)?).map_err(|_| InvalidField::NotUtf8)
    }

    /// So many bytes, as they are, where their number is known only now.
    pub fn bytes(&mut self, length: usize) -> Result<&'a [u8], InvalidField> {
        let (bytes, rest) = self
            .rest
            .split_at_checked(length)
            .ok_or(InvalidField::Short)?;
        self.rest = rest;
        Ok(bytes)
    }

    /// The string that the rest of the body is, as it is.
    pub fn rest_string(&mut self) -> Result<&'a str, InvalidField> {
        self.string(self.rest.len())
    }

    /// A short string that is a name.
    pub fn name(&mut self) -> Result<Name, InvalidField> {
        Ok(Name::parse(self.short_string()?)?)
    }

    /// The rest of the body, which is a message's text.
    pub fn text(&mut self) -> Result<Text<'a>, InvalidField> {
        Ok(Text::parse(self.rest_string()?)?)
    }

    /// All bytes that were not read yet.
    pub fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.rest)
    }

    /// How many bytes were not read yet.
    pub fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// Everything was read.
    pub fn finish(self) -> Result<(), InvalidField> {
        match self.rest {
            [] => Ok(()),
            _ => Err(InvalidField::Trailing),
        }
    }
}

/// Why writing cannot fail: there is no device behind a vector.
const GROWS: &str = "a vector takes every byte";

/// Writes a number of one byte.
pub fn put_u8(out: &mut Vec<u8>, number: u8) {
    out.push(number);
}

/// Writes a number of two bytes.
pub fn put_u16(out: &mut Vec<u8>, number: u16) {
    out.write_u16::<BigEndian>(number).expect(GROWS);
}

/// Writes a number of four bytes.
pub fn put_u32(out: &mut Vec<u8>, number: u32) {
    out.write_u32::<BigEndian>(number).expect(GROWS);
}

/// Writes a number of eight bytes.
pub fn put_u64(out: &mut Vec<u8>, number: u64) {
    out.write_u64::<BigEndian>(number).expect(GROWS);
}

/// Writes a number of sixteen bytes.
pub fn put_u128(out: &mut Vec<u8>, number: u128) {
    out.write_u128::<BigEndian>(number).expect(GROWS);
}

/// Writes a string behind its length. A string longer than [`SHORT_STRING_BYTES_MAX`] is our own
/// mistake.
pub fn put_short_string(out: &mut Vec<u8>, string: &str) {
    let length = u8::try_from(string.len()).expect("a short string has at most 255 bytes");
    out.push(length);
    out.extend_from_slice(string.as_bytes());
}

/// Writes a sentence or a line for people so that it is one line, whatever it was made of:
/// control characters become spaces, and what goes beyond [`SENTENCE_BYTES_MAX`] is cut off.
pub fn put_line(out: &mut Vec<u8>, line: &str) {
    let line = cut(line, SENTENCE_BYTES_MAX);
    if !line.contains(char::is_control) {
        out.extend_from_slice(line.as_bytes());
        return;
    }
    let mut buffer = [0; 4];
    for character in line.chars() {
        let shown = if character.is_control() {
            ' '
        } else {
            character
        };
        out.extend_from_slice(shown.encode_utf8(&mut buffer).as_bytes());
    }
}

/// The longest beginning of `text` that has at most so many bytes.
pub fn cut(text: &str, bytes_max: usize) -> &str {
    &text[..text.floor_char_boundary(bytes_max)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_big_endian_and_come_back() {
        let mut bytes = Vec::new();
        put_u8(&mut bytes, 1);
        put_u16(&mut bytes, 0x0203);
        put_u32(&mut bytes, 0x0405_0607);
        put_u64(&mut bytes, 0x0809_0a0b_0c0d_0e0f);
        put_u128(&mut bytes, 0x1011_1213_1415_1617_1819_1a1b_1c1d_1e1f);
        assert_eq!(bytes, (1..=0x1f).collect::<Vec<u8>>());

        let mut fields = Reader::new(&bytes);
        assert_eq!(fields.u8(), Ok(1));
        assert_eq!(fields.u16(), Ok(0x0203));
        assert_eq!(fields.u32(), Ok(0x0405_0607));
        assert_eq!(fields.u64(), Ok(0x0809_0a0b_0c0d_0e0f));
        assert_eq!(fields.u128(), Ok(0x1011_1213_1415_1617_1819_1a1b_1c1d_1e1f));
        assert_eq!(fields.finish(), Ok(()));
    }

    #[test]
    fn what_is_not_there_is_short_and_what_is_left_is_trailing() {
        assert_eq!(Reader::new(&[0; 15]).u128(), Err(InvalidField::Short));
        assert_eq!(Reader::new(&[0; 7]).u64(), Err(InvalidField::Short));
        assert_eq!(
            Reader::new(&[0; 31]).array::<32>(),
            Err(InvalidField::Short)
        );
        assert_eq!(
            Reader::new(&[2, b'a']).short_string(),
            Err(InvalidField::Short)
        );
        assert_eq!(Reader::new(&[]).short_string(), Err(InvalidField::Short));
        assert_eq!(Reader::new(&[0]).finish(), Err(InvalidField::Trailing));
        assert_eq!(
            Reader::new(&[1, 0xff]).short_string(),
            Err(InvalidField::NotUtf8)
        );
        assert!(Reader::new(&[2]).flag().is_err());
    }

    #[test]
    fn a_line_is_one_line_and_bounded() {
        let mut out = Vec::new();
        put_line(&mut out, "one\ntwo\r\x1b[2Jthree\u{9b}");
        assert_eq!(out, b"one two  [2Jthree ");

        for length in SENTENCE_BYTES_MAX - 1..=SENTENCE_BYTES_MAX + 1 {
            out.clear();
            put_line(&mut out, &"x".repeat(length));
            assert_eq!(out.len(), length.min(SENTENCE_BYTES_MAX));
        }
    }

    #[test]
    fn cutting_keeps_characters_whole() {
        assert_eq!(cut("aä", 2), "a");
        assert_eq!(cut("aä", 3), "aä");
        assert_eq!(cut("aä", 300), "aä");
    }
}
