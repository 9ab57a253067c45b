//! What things are called: the numbers, names and operations that every room speaks of.
//!
//! Numbers that could be mixed up are types of their own, and what came from outside and was not
//! looked at yet (a name, a text, a password) has another type than what was. Nothing here does
//! anything; nothing here knows another room.

mod cluster;
mod credentials;
mod name;
mod numbers;
mod operation;
mod outcome;
mod text;

pub use cluster::{
    Binding, Cluster, ClusterId, Incarnation, Lineage, LogPosition, Member, ServerRecord,
    TrustRefused, View, ViewMark, Vote,
};
pub use credentials::{InvalidPassword, Password, Secret, SecretHash};
pub use name::{InvalidName, Name};
pub use numbers::{NumberHasher, NumberMap};
pub use operation::{ChatOp, ClusterOp, Op, Origin, SessionRequest};
pub use outcome::{ErrorCode, Outcome};
pub use text::{InvalidText, Text};

use std::fmt;
use std::time::Duration;

macro_rules! number {
    ($(#[$meta:meta])* $name:ident($inner:ty)) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

number! {
    /// The place of an op in the replicated log, from 1, without gaps; 0 stands before the first.
    /// A message's id is the number of the op that sent it.
    OpNumber(u64)
}

impl OpNumber {
    /// Before the first op.
    pub const ZERO: Self = Self(0);
    /// Behind every op that there can be.
    pub const MAX: Self = Self(u64::MAX);

    /// The op after this one.
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

number! {
    /// A view's number: its round x 65536 + the id of the server that proposed it, so that a
    /// number names one proposal.
    ViewNumber(u64)
}

impl ViewNumber {
    /// The number of `candidate`'s proposal in `round`.
    pub fn new(round: u64, candidate: ServerId) -> Self {
        Self(round << 16 | u64::from(candidate.0))
    }

    /// What people are shown of a view's number.
    pub fn round(self) -> u64 {
        self.0 >> 16
    }

    /// Who proposed the view.
    pub fn candidate(self) -> ServerId {
        ServerId((self.0 & 0xffff) as u16)
    }
}

number! {
    /// A server of the cluster: a small number from 1, given when it first joins, kept in its
    /// data directory.
    ServerId(u16)
}

number! {
    /// An account for ever, also when its name was freed and taken again: the op that created it.
    AccountId(u64)
}

number! {
    /// A conversation: the op of its first message.
    ConversationId(u64)
}

number! {
    /// How often an account's password was changed. An op that depends on a check of the password
    /// carries it, so that a password changed in between is noticed when the op is applied.
    PasswordVersion(u32)
}

number! {
    /// A request's number within its session (or its connection, before there is a session).
    RequestNumber(u64)
}

/// A client's own name for its session: 128 random bits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(pub u128);

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SessionId({:032x})", self.0)
    }
}

/// A moment of CLOCK_BOOTTIME, in nanoseconds: it never steps, and goes on while a machine is
/// suspended. It means nothing on another machine. The cores get it as an argument.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(pub u64);

impl Time {
    /// How long ago `earlier` was; zero if it is not in the past.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl std::ops::Add<Duration> for Time {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        let nanoseconds = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(nanoseconds))
    }
}

/// A wall-clock time: milliseconds since 1970 in UTC. People see it beside a message; no rule
/// depends on it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(pub u64);
