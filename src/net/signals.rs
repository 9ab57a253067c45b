//! Did somebody ask the process to stop?
//!
//! Signals come through the loop like any other event: the handler only writes a byte to a pipe.
//! (SIGPIPE is no event: Rust's runtime ignores it, and a write to a closed connection fails. SIGHUP
//! is none either: it keeps the meaning that the process was started with, so that nohup works.)

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook_mio::v1_0::Signals;
use std::io;

/// A signal that the loop hands on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// SIGINT: Ctrl+C.
    Interrupt,
    /// SIGTERM: `kill`, or the system is stopping.
    Terminate,
}

/// From now on the signals of [`Signal`] no longer end the process, but wait to be asked for.
pub(super) fn catch() -> io::Result<Signals> {
    Signals::new([SIGINT, SIGTERM])
}

impl Signal {
    /// The system's number of it.
    pub fn number(self) -> i32 {
        match self {
            Self::Interrupt => SIGINT,
            Self::Terminate => SIGTERM,
        }
    }

    /// Which signal a number stands for, if it is one that was asked for.
    pub(super) fn of(number: i32) -> Option<Self> {
        match number {
            SIGINT => Some(Self::Interrupt),
            SIGTERM => Some(Self::Terminate),
            _ => None,
        }
    }
}
