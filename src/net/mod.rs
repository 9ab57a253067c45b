//! One thread, one poll, one registry of connections.

pub mod clock;
pub mod timers;

pub use timers::TimerId;
