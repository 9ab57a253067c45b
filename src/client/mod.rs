//! The other end of the wire.

mod command;
mod show;
