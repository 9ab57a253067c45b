//! The event loop over real sockets of this machine.
//!
//! Nothing here sleeps: the loop is polled until something is so, or until it has taken absurdly
//! long.

mod accepting;
mod closing;
mod connecting;
mod links;
mod reading;
mod rig;
mod sending;
mod waking;
