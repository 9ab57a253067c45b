//! Who does this token belong to?
//!
//! A slab of everything that is registered with the poll. Its keys are small, dense and come again,
//! so each carries a generation: an event, an answer or a timer for a connection that is gone finds
//! nothing, rather than the connection that has its place now. A place that was left is not given
//! again before the turn is over.

use super::connection::Connection;
use super::listener::Listening;
use mio::Token;
use slab::Slab;
use std::fmt;
use std::hash::{Hash, Hasher};

/// Generation of the tokens that are not in the slab.
const GENERATION_RESERVED: u32 = 0;
/// The token of the waker.
pub(super) const WAKER: Token = Token(0);
/// The token of the signals.
pub(super) const SIGNALS: Token = Token(1);

const _: () = assert!(
    usize::BITS == 64,
    "a token holds an index and a generation of 32 bits each"
);

/// Names a connection, for ever: a later connection in its place has another generation.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(Key);

/// Names a listener, for ever.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ListenerId(Key);

/// A place in the slab, and which of those who had it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    index: u32,
    generation: u32,
}

/// What is registered with the poll.
#[derive(Debug)]
pub(super) enum Entry {
    /// A client, or another server.
    Connection(Connection),
    /// Where they come in.
    Listening(Listening),
    /// What was here is gone; the place is free when the turn is over.
    Vacated,
}

/// Everything that is registered with the poll, but the waker and the signals.
#[derive(Debug)]
pub(super) struct Registry {
    /// The entries, each with its generation.
    slots: Slab<(u32, Entry)>,
    /// The places that were left in this turn.
    vacated: Vec<u32>,
    /// The generation of the next entry: never [`GENERATION_RESERVED`].
    generation_next: u32,
}

impl ConnectionId {
    pub(super) fn new(key: Key) -> Self {
        Self(key)
    }

    pub(super) fn key(self) -> Key {
        self.0
    }

    /// The name as a number, for rooms that do not know connections.
    pub fn to_bits(self) -> u64 {
        self.0.token().0 as u64
    }

    /// The name that was made a number. Another number names nobody.
    pub fn from_bits(bits: u64) -> Self {
        Self(Key::of(Token(bits as usize)))
    }
}

impl fmt::Display for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.0.index, self.0.generation)
    }
}

impl fmt::Debug for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ConnectionId({self})")
    }
}

impl ListenerId {
    pub(super) fn new(key: Key) -> Self {
        Self(key)
    }

    pub(super) fn key(self) -> Key {
        self.0
    }
}

impl fmt::Debug for ListenerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ListenerId({}.{})", self.0.index, self.0.generation)
    }
}

/// One number, for maps that hash those quickly.
impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.token().0 as u64);
    }
}

impl Key {
    /// The token that the poll gives back: the generation in its upper half.
    pub(super) fn token(self) -> Token {
        Token((self.generation as usize) << 32 | self.index as usize)
    }

    /// Whose token it is. One of the reserved ones gives a key that finds nothing.
    pub(super) fn of(token: Token) -> Self {
        Self {
            index: (token.0 & 0xffff_ffff) as u32,
            generation: (token.0 >> 32) as u32,
        }
    }
}

impl Registry {
    pub(super) fn new() -> Self {
        Self {
            slots: Slab::new(),
            vacated: Vec::new(),
            generation_next: GENERATION_RESERVED + 1,
        }
    }

    /// The key that the next entry will have: it is registered with the poll before it is kept.
    pub(super) fn key_next(&self) -> Key {
        Key {
            index: u32::try_from(self.slots.vacant_key()).expect("fewer than 2^32 entries"),
            generation: self.generation_next,
        }
    }

    /// Keeps an entry under [`Self::key_next`].
    pub(super) fn insert(&mut self, entry: Entry) -> Key {
        let key = self.key_next();
        self.slots.insert((key.generation, entry));
        self.generation_next = match self.generation_next.wrapping_add(1) {
            GENERATION_RESERVED => GENERATION_RESERVED + 1,
            generation => generation,
        };
        key
    }

    /// The entry, unless it is gone.
    pub(super) fn entry(&mut self, key: Key) -> Option<&mut Entry> {
        match self.slots.get_mut(key.index as usize) {
            Some((_, Entry::Vacated)) | None => None,
            Some((generation, entry)) => (*generation == key.generation).then_some(entry),
        }
    }

    /// The connection, unless it is gone.
    pub(super) fn connection(&mut self, key: Key) -> Option<&mut Connection> {
        match self.entry(key)? {
            Entry::Connection(connection) => Some(connection),
            Entry::Listening(_) | Entry::Vacated => None,
        }
    }

    /// All connections, to look at.
    pub(super) fn connections(&self) -> impl Iterator<Item = &Connection> {
        self.slots.iter().filter_map(|(_, (_, entry))| match entry {
            Entry::Connection(connection) => Some(connection),
            Entry::Listening(_) | Entry::Vacated => None,
        })
    }

    /// The connection, unless it is gone, to look at.
    pub(super) fn peek(&self, key: Key) -> Option<&Connection> {
        match self.slots.get(key.index as usize)? {
            (generation, Entry::Connection(connection)) if *generation == key.generation => {
                Some(connection)
            }
            _ => None,
        }
    }

    /// The listener, unless it is gone.
    pub(super) fn listening(&mut self, key: Key) -> Option<&mut Listening> {
        match self.entry(key)? {
            Entry::Listening(listening) => Some(listening),
            Entry::Connection(_) | Entry::Vacated => None,
        }
    }

    /// Takes an entry out; its place stays taken until [`Self::sweep`].
    pub(super) fn vacate(&mut self, key: Key) -> Option<Entry> {
        let entry = std::mem::replace(self.entry(key)?, Entry::Vacated);
        self.vacated.push(key.index);
        Some(entry)
    }

    /// Gives free the places that were left: the turn is over, and nobody holds an event for them.
    pub(super) fn sweep(&mut self) {
        for index in self.vacated.drain(..) {
            let (_, entry) = self.slots.remove(index as usize);
            assert!(
                matches!(entry, Entry::Vacated),
                "only what is gone is swept"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::{Listener, ListenerTag};
    use std::net::Ipv4Addr;

    fn entry() -> Entry {
        let listener = Listener::bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        Entry::Listening(Listening::new(listener, ListenerTag(0)))
    }

    #[test]
    fn an_older_generation_finds_nothing() {
        let mut registry = Registry::new();
        let older = registry.insert(entry());
        let token = older.token();
        assert!(registry.listening(Key::of(token)).is_some());
        assert!(registry.vacate(older).is_some());
        assert!(registry.vacate(older).is_none());
        registry.sweep();
        let newer = registry.insert(entry());
        assert_eq!(newer.index, older.index);
        assert!(registry.entry(Key::of(token)).is_none());
        assert!(registry.vacate(older).is_none());
        assert!(registry.listening(newer).is_some());
    }

    #[test]
    fn a_place_is_not_given_again_before_the_turn_is_over() {
        let mut registry = Registry::new();
        let first = registry.insert(entry());
        registry.vacate(first);
        assert!(registry.entry(first).is_none());
        let second = registry.insert(entry());
        assert_ne!(second.index, first.index);
        registry.sweep();
        let third = registry.insert(entry());
        assert_eq!(third.index, first.index);
        assert!(registry.listening(second).is_some());
    }

    #[test]
    fn no_entry_has_a_reserved_token() {
        let mut registry = Registry::new();
        registry.generation_next = u32::MAX;
        let last = registry.insert(entry());
        let first = registry.insert(entry());
        assert_eq!((last.generation, first.generation), (u32::MAX, 1));
        for reserved in [WAKER, SIGNALS] {
            assert_eq!(Key::of(reserved).generation, GENERATION_RESERVED);
            assert!(registry.entry(Key::of(reserved)).is_none());
        }
    }
}
