//! What did the peer send that nobody has taken yet?

/// Bytes that were read from a connection and not consumed. It holds memory only while it holds
/// bytes: of 10,000 idle connections none has a buffer.
#[derive(Debug, Default)]
pub struct Input {
    /// What was read; no capacity when there is nothing unread.
    buffer: Vec<u8>,
    /// How much of it was consumed: less than its length, or 0.
    consumed: usize,
}

impl Input {
    /// What is unread, in the order in which it came.
    pub fn bytes(&self) -> &[u8] {
        &self.buffer[self.consumed..]
    }

    /// Takes `count` bytes off the front.
    ///
    /// # Panics
    ///
    /// If there are fewer: a decoder took what it has not seen.
    pub fn consume(&mut self, count: usize) {
        assert!(count <= self.len(), "only what was read can be consumed");
        self.consumed += count;
        if self.consumed == self.buffer.len() {
            self.clear();
        }
    }

    /// How many bytes are unread.
    pub fn len(&self) -> usize {
        self.buffer.len() - self.consumed
    }

    /// Whether nothing is unread.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Throws away what is unread, and the memory.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Adds what was read. What was consumed is given up only here: once for a read rather than
    /// once for a message, and then at most a part of one message has to move.
    pub(super) fn append(&mut self, bytes: &[u8]) {
        if self.consumed > 0 {
            self.buffer.drain(..self.consumed);
            self.consumed = 0;
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// The memory that it holds.
    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        self.buffer.capacity()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gives_bytes_in_order_over_consumes_and_appends() {
        let mut input = Input::default();
        input.append(b"one two");
        input.consume(4);
        assert_eq!(input.bytes(), b"two");
        input.append(b" three");
        assert_eq!(input.bytes(), b"two three");
        assert_eq!(input.len(), 9);
        input.consume(9);
        assert!(input.is_empty());
        assert_eq!(input.bytes(), b"");
    }

    #[test]
    fn holds_no_memory_when_it_holds_no_bytes() {
        let mut input = Input::default();
        assert_eq!(input.capacity(), 0);
        input.append(&[7; 1000]);
        assert!(input.capacity() >= 1000);
        input.consume(1000);
        assert_eq!(input.capacity(), 0);
    }

    #[test]
    #[should_panic(expected = "only what was read")]
    fn consuming_more_than_there_is_is_our_mistake() {
        let mut input = Input::default();
        input.append(b"ab");
        input.consume(3);
    }
}
