//! Who uses a connection, and how does a client end?
//!
//! Line mode and a one-shot command are both a [`Front`]: a state machine like the core, which the
//! driver feeds with what was typed and what the core says, and from which it takes text to write.

use std::net::SocketAddr;

use super::core::Core;
use super::event::Output;
use crate::types::Time;

/// What stands between a connection and whoever uses it. The driver calls the `handle_*` methods
/// as things happen, writes out [`Front::take_text`] after each turn, and stops when
/// [`Front::exit`] says how.
pub trait Front {
    /// A server took the connection. It has not said hello yet.
    fn handle_connected(&mut self, server: SocketAddr);
    /// No server took it. `why` is a sentence with every address that was tried.
    fn handle_unreachable(&mut self, why: &str);
    /// The core has something to say. (What is to be sent has been sent.)
    fn handle_output(&mut self, output: Output, core: &mut Core, now: Time);
    /// Something was typed, of the kind that [`Front::wants`] named.
    fn handle_typed(&mut self, typed: Typed, core: &mut Core, now: Time);
    /// A signal came that asks for the end.
    fn handle_signal(&mut self, signal: i32, core: &mut Core, now: Time);
    /// Everything that was taken before is written and flushed.
    fn handle_written(&mut self, core: &mut Core, now: Time);
    /// Notices what has taken too long.
    fn handle_timeout(&mut self, core: &mut Core, now: Time);
    /// When [`Front::handle_timeout`] wants to be called.
    fn poll_timeout(&self) -> Option<Time>;
    /// What is to be written now.
    fn take_text(&mut self, core: &Core) -> Written;
    /// What may be typed now.
    fn wants(&self, core: &Core) -> Wants;
    /// Whether nothing depends on the connection now: if the server closes it (servers have no
    /// patience with those who do not log in), there is a new one when something is typed, and
    /// the front hears of neither.
    fn may_rest(&self, core: &Core) -> bool;
    /// How it ends, once it does.
    fn exit(&self) -> Option<Exit>;
}

/// Text on its way out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// For standard output.
    pub output: String,
    /// For standard error.
    pub error: String,
}

/// What was typed, or came out of a pipe or a file.
#[derive(Debug)]
pub enum Typed {
    /// A line, without its end.
    Line(String),
    /// A line that is longer than any command; it was skipped.
    TooLong,
    /// A line that is not UTF-8; it was skipped.
    NotUtf8,
    /// There is no more.
    End,
}

/// What a front can take from standard input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wants {
    /// Nothing for now; what is typed waits.
    Nothing,
    /// A line.
    Line,
    /// A line that must not be seen on a terminal.
    Secret,
}

/// How a client ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Everything was acknowledged.
    Done,
    /// Something was refused or failed, or it is not known whether it was done.
    Failed,
    /// It was called in a wrong way.
    Usage,
    /// No server answered in time.
    NobodyAnswered,
    /// This signal ended it.
    Signal(i32),
    /// Nobody reads what it writes any more.
    OutputClosed,
}

impl Exit {
    /// The code for the shell. A signal counts as shells count it: Ctrl+C is 130, and a closed
    /// pipe is 141, like that of every other tool.
    pub fn code(self) -> u8 {
        const SIGNAL_BASE: i32 = 128;
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::NobodyAnswered => 3,
            Self::Signal(signal) => u8::try_from(SIGNAL_BASE + signal).unwrap_or(u8::MAX),
            Self::OutputClosed => 141,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_those_that_shells_expect() {
        let exits = [
            Exit::Done,
            Exit::Failed,
            Exit::Usage,
            Exit::NobodyAnswered,
            Exit::Signal(2),
            Exit::Signal(15),
            Exit::OutputClosed,
        ];
        assert_eq!(exits.map(Exit::code), [0, 1, 2, 3, 130, 143, 141]);
    }
}
