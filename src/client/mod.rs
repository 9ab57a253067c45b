//! The other end of the wire.

pub mod address;
mod command;
pub mod core;
pub mod event;
pub mod front;
mod keyboard;
pub mod password;
mod show;
