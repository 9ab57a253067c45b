//! One thread, one poll, one registry of connections.
//!
//! Bytes come in and bytes go out; what they mean is none of this room's business. [`EventLoop`] is
//! its face: each turn the server polls for events, takes what came in, appends what has to go
//! out, and flushes. What two servers say to each other goes through [`secure`] on its way, if they
//! have a cluster key.
//!
//! Two things are easy to get wrong with edge-triggered sockets, and are dealt with in one place
//! each:
//!
//! - A socket that was not read until it was empty gets no second event. Whatever stops a read
//!   (its budget, a pause, a full buffer) leaves the connection marked readable, and whatever
//!   ends the reason puts it on the ready list, which is served round robin (`reading`).
//! - A socket that took all of a write gets no event that it takes more. Writing is therefore
//!   always tried at once, and only a socket that refused waits for its event (`sending`).

mod accepting;
pub mod clock;
mod config;
mod connecting;
mod connection;
mod crowd;
pub mod descriptors;
mod event;
mod event_loop;
mod input;
mod listener;
mod reading;
mod registry;
pub mod secure;
mod send_queue;
mod sending;
mod signals;
#[cfg(test)]
mod tests;
pub mod timers;

pub use config::LoopConfig;
pub use connection::{Bounds, CloseReason, Connection};
pub use crowd::Excess;
pub use event::{Event, Waker};
pub use event_loop::EventLoop;
pub use input::Input;
pub use listener::{Listener, ListenerTag};
pub use registry::{ConnectionId, ListenerId};
pub use signals::Signal;
pub use timers::TimerId;
