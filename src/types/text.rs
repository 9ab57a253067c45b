//! What a message may say.

use crate::limits::TEXT_BYTES_MAX;

/// A message's text: 1 byte to [`TEXT_BYTES_MAX`] of UTF-8, without control characters but tab
/// and line feed, so that what one client sends cannot steer another's terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Text<'a>(&'a str);

/// Why a text cannot be a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidText {
    /// There is nothing in it.
    #[error("a message has at least one character")]
    Empty,
    /// It is longer than [`TEXT_BYTES_MAX`].
    #[error("a message has at most {TEXT_BYTES_MAX} bytes; divide it into several")]
    TooLong,
    /// A control character stands in it.
    #[error("a message has no control characters but tab and line feed")]
    ControlCharacter,
}

impl<'a> Text<'a> {
    /// `text` as a message's, if it may be one.
    pub fn parse(text: &'a str) -> Result<Self, InvalidText> {
        if text.is_empty() {
            return Err(InvalidText::Empty);
        }
        if text.len() > TEXT_BYTES_MAX {
            return Err(InvalidText::TooLong);
        }
        if may_have_controls(text) {
            let is_wrong = |c: char| c.is_control() && c != '\t' && c != '\n';
            if text.chars().any(is_wrong) {
                return Err(InvalidText::ControlCharacter);
            }
        }
        Ok(Self(text))
    }

    /// The text itself.
    pub fn as_str(self) -> &'a str {
        self.0
    }
}

/// Whether a byte is there that every control character has: C0, DEL, and C1, which in UTF-8 is C2 80 to
/// C2 9F. Nearly no text has one. All bytes are looked at, and none is decided by, so that the processor can
/// look at many at a time.
fn may_have_controls(text: &str) -> bool {
    let bytes = text.as_bytes().iter();
    bytes.fold(0, |found, &byte| {
        found | u8::from(byte < b' ') | u8::from(byte == 0x7f) | u8::from(byte == 0xc2)
    }) != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_at_below_and_above_their_limits() {
        assert_eq!(Text::parse(""), Err(InvalidText::Empty));
        assert!(Text::parse("x").is_ok());
        assert!(Text::parse(&"x".repeat(TEXT_BYTES_MAX)).is_ok());
        assert_eq!(
            Text::parse(&"x".repeat(TEXT_BYTES_MAX + 1)),
            Err(InvalidText::TooLong)
        );
        assert_eq!(
            Text::parse(&"ä".repeat(TEXT_BYTES_MAX / 2 + 1)),
            Err(InvalidText::TooLong)
        );
    }

    #[test]
    fn control_characters_stay_out() {
        assert!(Text::parse("one\ttwo\nthree").is_ok());
        for text in ["\0", "bell\x07", "\x1b[2J", "\r", "\x7f", "\u{9b}31m"] {
            assert_eq!(
                Text::parse(text),
                Err(InvalidText::ControlCharacter),
                "{text:?}"
            );
        }
    }
}
