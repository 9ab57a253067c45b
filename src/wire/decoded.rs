//! What did a decoder make of the bytes that have come so far?
//!
//! Every decoder of this room is called with all bytes that were received and not yet consumed,
//! and looks at the first message among them. It holds no bytes itself, so that a message can
//! borrow from the connection's own buffer.

use super::message::Refusal;

/// What a decoder made of the first bytes it was given.
#[derive(Debug, PartialEq)]
pub enum Decoded<T> {
    /// There is no whole message yet. More bytes have to come, and nothing is consumed.
    Incomplete,
    /// A message, which the first `consumed` bytes hold; at least one.
    Message {
        /// What was said.
        message: T,
        /// How many bytes it took.
        consumed: usize,
    },
    /// Bytes that say nothing and are to be dropped: an empty line, the rest of a line that was
    /// too long, something that only newer peers understand.
    Nothing {
        /// How many; at least one.
        consumed: usize,
    },
    /// The bytes make no sense, and nothing that follows can be found in them: say so, then close.
    Broken {
        /// What was wrong.
        refusal: Refusal,
    },
}

impl<T> Decoded<T> {
    /// The same, with another message. A message that turns out to be unusable breaks the stream.
    pub(super) fn and_then<U>(self, change: impl FnOnce(T) -> Result<U, Refusal>) -> Decoded<U> {
        self.and_then_if_known(|message| change(message).map(Some))
    }

    /// Likewise, where a message may also be one that only newer peers understand: `None`, which
    /// is nothing.
    pub(super) fn and_then_if_known<U>(
        self,
        change: impl FnOnce(T) -> Result<Option<U>, Refusal>,
    ) -> Decoded<U> {
        match self {
            Self::Incomplete => Decoded::Incomplete,
            Self::Message { message, consumed } => match change(message) {
                Ok(Some(message)) => Decoded::Message { message, consumed },
                Ok(None) => Decoded::Nothing { consumed },
                Err(refusal) => Decoded::Broken { refusal },
            },
            Self::Nothing { consumed } => Decoded::Nothing { consumed },
            Self::Broken { refusal } => Decoded::Broken { refusal },
        }
    }
}
