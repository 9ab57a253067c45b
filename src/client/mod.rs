//! The other end of the wire.

mod command;
pub mod core;
pub mod event;
mod show;
