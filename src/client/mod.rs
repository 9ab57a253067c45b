//! The other end of the wire: how do people and scripts reach a server, and what may they be told?
//!
//! In reading order:
//!
//! 1. [`mod@connection`]: one connection's life, without sockets and clocks, with [`event`] for what goes in
//!    and comes out
//! 2. [`failover`]: a client's life, from server to server: what was asked is answered once, and what
//!    came is told once; [`cluster`] is what it knows of the servers
//! 3. [`front`]: who uses a client, and how it ends
//! 4. [`mod@line`]: commands typed by a person or piped in by a script, with [`command`] to understand
//!    them; [`one_shot`]: one command and its exit code
//! 5. [`mod@screen`]: the full screen; [`terminal`] takes a terminal over for it, and gives it back
//! 6. [`show`]: messages for people and for programs
//! 7. [`driver`]: the loop that brings sockets, the clock, signals and standard input to all this
//! 8. [`address`], [`password`] and [`remembered`]: what is needed before the first connection
//!
//! One rule stands above the rest: nothing is called done that no server has acknowledged.

pub mod address;
pub mod cluster;
pub mod command;
pub mod connection;
pub mod driver;
pub mod event;
pub mod failover;
pub mod front;
mod keyboard;
pub mod line;
pub mod one_shot;
pub mod password;
pub mod remembered;
pub mod screen;
#[cfg(test)]
mod scripted;
pub mod show;
pub mod terminal;
