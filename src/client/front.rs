//! Who uses a client, and how does it end?
//!
//! The full screen, line mode and a one-shot command are each a [`Front`]: a state machine like the client, which
//! the driver feeds with what was typed and what the client says, and from which it takes text to write.

use crossterm::event::KeyEvent;

use super::failover::{Client, Output};
use crate::types::Time;

/// What stands between a client and whoever uses it. The driver calls the `handle_*` methods
/// as things happen, writes out [`Front::take_text`] after each turn, and stops when
/// [`Front::exit`] says how.
pub trait Front {
    /// The client has something to say. (What it wants done is done.)
    fn handle_output(&mut self, output: Output, client: &mut Client, now: Time);
    /// Something was typed, of the kind that [`Front::wants`] named.
    fn handle_typed(&mut self, _typed: Typed, _client: &mut Client, _now: Time) {}
    /// A signal came that asks for the end.
    fn handle_signal(&mut self, signal: i32, client: &mut Client, now: Time);
    /// Everything that was taken before is written and flushed; and read, if it went into a pipe and
    /// the front [is for its reader](Front::is_for_its_reader).
    fn handle_written(&mut self, _client: &mut Client, _now: Time) {}
    /// Standard output takes nothing more: nobody reads it ([`Exit::OutputClosed`]), or what is
    /// written there cannot be kept ([`Exit::Failed`]). What was taken and not called written is lost.
    /// Answers whether it comes to its end by itself, after what there is still to do; otherwise it is
    /// over at once.
    fn handle_output_lost(&mut self, _why: Exit, _client: &mut Client, _now: Time) -> bool {
        false
    }
    /// Notices what has taken too long.
    fn handle_timeout(&mut self, client: &mut Client, now: Time);
    /// When [`Front::handle_timeout`] wants to be called.
    fn poll_timeout(&self) -> Option<Time>;
    /// What is to be written now.
    fn take_text(&mut self, client: &Client, now: Time) -> Written;
    /// What may be typed now.
    fn wants(&self, _client: &Client) -> Wants {
        Wants::Nothing
    }
    /// Whether there is no point in going on when nobody reads what it writes. Then that is noticed
    /// before there is something to write.
    fn is_for_its_reader(&self) -> bool {
        false
    }
    /// Whether it holds as much as it can for a reader that is slow: then servers are not listened to.
    fn has_enough(&self) -> bool {
        false
    }
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

impl Written {
    /// Adds a sentence for people to standard error, in a line that says who speaks.
    pub fn complain(&mut self, sentence: &str) {
        self.error.push_str(&format!("client: {sentence}\n"));
    }
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
    /// A key was pressed, on a terminal that is used as a full screen.
    Key(KeyEvent),
    /// A text was pasted there.
    Pasted(String),
    /// The terminal has another size.
    Resized {
        /// Its columns.
        columns: u16,
        /// Its rows.
        rows: u16,
    },
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
    /// Keys as they are pressed.
    Keys,
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
