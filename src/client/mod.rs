//! The other end of the wire: how do people and scripts reach a server, and what may they be told?
//!
//! In reading order:
//!
//! 1. [`mod@core`]: one connection's life, without sockets and clocks, with [`event`] for what goes in
//!    and comes out
//! 2. [`front`]: who uses a connection, and how a client ends
//! 3. [`mod@line`]: commands typed by a person or piped in by a script, with [`command`] to understand
//!    them; [`one_shot`]: one command and its exit code
//! 4. [`show`]: messages for people and for programs
//! 5. [`driver`]: the loop that brings sockets, the clock, signals and standard input to all this
//! 6. [`address`] and [`password`]: what is needed before the first connection
//!
//! One rule stands above the rest: nothing is called done that no server has acknowledged.

pub mod address;
pub mod command;
pub mod core;
pub mod driver;
pub mod event;
pub mod front;
mod keyboard;
pub mod line;
pub mod one_shot;
pub mod password;
#[cfg(test)]
mod scripted;
pub mod show;
