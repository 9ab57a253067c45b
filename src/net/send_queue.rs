//! What has still to go out?
//!
//! Encoders append to the tail; the kernel takes from the front. A tail that has grown beyond
//! [`CHUNK_BYTES`] becomes a full chunk and a new one begins, so that a long queue is never moved
//! in memory and gives up its memory as it is sent. An empty queue holds none. The queue counts its
//! bytes but does not refuse any: the mark above which nothing more may be queued is kept by those
//! who queue, who know what can wait elsewhere.

use std::collections::VecDeque;
use std::io::{self, IoSlice, Write};

/// Size at which a chunk is full. Small answers share one; few writes need more than one.
const CHUNK_BYTES: usize = 16 * 1024;
/// What a new tail has room for, so that the first small answers do not grow it step by step.
const TAIL_BYTES_FIRST: usize = 512;
/// Chunks that one system call takes.
const SLICES_MAX: usize = 32;

/// How far a write came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Written {
    /// Everything was taken.
    All,
    /// The kernel takes no more for now; it will say when it does.
    Blocked,
}

/// Bytes that wait to be sent on one connection.
#[derive(Debug, Default)]
pub(super) struct SendQueue {
    /// The chunks before the tail, none of them empty.
    full: VecDeque<Vec<u8>>,
    /// How many bytes the full chunks have together, those that were sent included.
    full_bytes: usize,
    /// Where encoders append. They may have, since the last call of any method here.
    tail: Vec<u8>,
    /// How much of the first chunk (which may be the tail) was sent: less than its length, or 0.
    sent: usize,
}

impl SendQueue {
    /// How many bytes wait.
    pub(super) fn len(&self) -> usize {
        self.full_bytes + self.tail.len() - self.sent
    }

    /// Whether nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Where to append.
    pub(super) fn tail(&mut self) -> &mut Vec<u8> {
        if self.tail.len() >= CHUNK_BYTES {
            self.full_bytes += self.tail.len();
            self.full.push_back(std::mem::take(&mut self.tail));
        }
        if self.tail.capacity() == 0 {
            self.tail.reserve(TAIL_BYTES_FIRST);
        }
        &mut self.tail
    }

    /// Throws away what waits, and the memory.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Hands as much to `writer` as it takes.
    pub(super) fn write_to(&mut self, mut writer: impl Write) -> io::Result<Written> {
        while !self.is_empty() {
            let offered;
            let written = if self.full.is_empty() {
                // Nearly always: the kernel takes one piece for less than a list with one in it.
                offered = self.tail.len() - self.sent;
                writer.write(&self.tail[self.sent..])
            } else {
                let mut slices = [IoSlice::new(&[]); SLICES_MAX];
                let count = self.fill(&mut slices);
                offered = slices[..count].iter().map(|slice| slice.len()).sum();
                writer.write_vectored(&slices[..count])
            };
            match written {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => {
                    self.advance(written);
                    // The kernel's buffer is full: asking again would only cost a call to hear so.
                    if written < offered {
                        return Ok(Written::Blocked);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return Ok(Written::Blocked);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.clear();
        Ok(Written::All)
    }

    /// Points `slices` at what waits, and says how many were needed.
    fn fill<'a>(&'a self, slices: &mut [IoSlice<'a>; SLICES_MAX]) -> usize {
        let chunks = self.full.iter().chain([&self.tail]);
        let mut skip = self.sent;
        let mut count = 0;
        for (slice, chunk) in slices.iter_mut().zip(chunks) {
            *slice = IoSlice::new(&chunk[skip..]);
            skip = 0;
            count += 1;
        }
        count
    }

    /// Notes that the first `count` bytes were sent, and frees the chunks that they filled.
    fn advance(&mut self, count: usize) {
        self.sent += count;
        while let Some(first) = self.full.front() {
            if self.sent < first.len() {
                return;
            }
            self.sent -= first.len();
            self.full_bytes -= first.len();
            self.full.pop_front();
        }
        assert!(self.sent <= self.tail.len(), "only what waits can be sent");
    }

    /// The memory that it holds.
    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        let full: usize = self.full.iter().map(Vec::capacity).sum();
        full + self.tail.capacity() + self.full.capacity() * size_of::<Vec<u8>>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Takes at most `room` bytes, and then blocks.
    struct Narrow {
        room: usize,
        taken: Vec<u8>,
    }

    impl Write for Narrow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.write_vectored(&[IoSlice::new(bytes)])
        }

        fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
            if self.room == 0 {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            let before = self.taken.len();
            for slice in slices {
                let count = slice.len().min(self.room);
                self.taken.extend_from_slice(&slice[..count]);
                self.room -= count;
            }
            Ok(self.taken.len() - before)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    proptest! {
        #[test]
        fn sends_every_byte_once_and_in_order(
            steps in prop::collection::vec((0..40_000usize, 0..60_000usize), 1..40),
        ) {
            let mut queue = SendQueue::default();
            let mut narrow = Narrow { room: 0, taken: Vec::new() };
            let mut queued = Vec::new();
            for (append, room) in steps {
                let first = queued.len();
                let bytes = (first..first + append).map(|n| (n % 251) as u8);
                let bytes: Vec<u8> = bytes.collect();
                queue.tail().extend_from_slice(&bytes);
                queued.extend_from_slice(&bytes);
                narrow.room = room;
                let waiting = queued.len() - narrow.taken.len();
                let expected = if room >= waiting { Written::All } else { Written::Blocked };
                prop_assert_eq!(queue.write_to(&mut narrow).unwrap(), expected);
                prop_assert_eq!(queue.len(), queued.len() - narrow.taken.len());
                prop_assert_eq!(queue.is_empty(), expected == Written::All);
            }
            narrow.room = usize::MAX;
            prop_assert_eq!(queue.write_to(&mut narrow).unwrap(), Written::All);
            prop_assert_eq!(queue.capacity(), 0);
            prop_assert!(narrow.taken == queued);
        }
    }

    #[test]
    fn gives_up_memory_as_it_is_sent() {
        let mut queue = SendQueue::default();
        for _ in 0..1024 {
            queue.tail().extend_from_slice(&[1; 1024]);
        }
        assert_eq!(queue.len(), 1024 * 1024);
        let room = 1000 * 1024;
        let mut narrow = Narrow {
            room,
            taken: Vec::new(),
        };
        assert_eq!(queue.write_to(&mut narrow).unwrap(), Written::Blocked);
        assert_eq!(queue.len(), 24 * 1024);
        assert!(queue.capacity() < 96 * 1024);
    }

    #[test]
    fn a_writer_that_takes_nothing_is_an_error_rather_than_an_endless_loop() {
        let mut queue = SendQueue::default();
        queue.tail().push(1);
        let full: &mut [u8] = &mut [];
        let error = queue.write_to(full).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::WriteZero);
    }
}
