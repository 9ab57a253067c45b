//! How do lines get from standard input into the loop?
//!
//! A terminal, a pipe and a file are all read by one thread of their own, since a file cannot be
//! polled and a terminal must not be made non-blocking (the shell shares it). It hands over whole
//! lines and wakes the loop. The channel is short: when the loop takes no lines, the thread stops
//! reading, and whoever writes into the pipe waits.

use std::io::{self, BufRead, Read};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};

use crossterm::event::{self, Event, KeyEventKind};
use rustix::termios::{
    LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcsetattr,
};

use super::front::Typed;
use crate::limits::LINE_BYTES_MAX;

/// Lines (or keys) that were read and not taken yet.
const LINES_WAITING_MAX: usize = 64;

/// The reading end of standard input.
#[derive(Debug)]
pub struct Keyboard {
    lines: Receiver<Typed>,
    /// The input has ended, and that has been told.
    ended: bool,
}

impl Keyboard {
    /// Reads `input` line by line from now on, and calls `wake` when there is something to take.
    pub fn start(
        input: impl BufRead + Send + 'static,
        wake: impl Fn() + Send + 'static,
    ) -> io::Result<Self> {
        let (sender, lines) = sync_channel(LINES_WAITING_MAX);
        std::thread::Builder::new()
            .name("keyboard".into())
            .spawn(move || read_lines(input, &sender, wake))?;
        Ok(Self {
            lines,
            ended: false,
        })
    }

    /// Reads the keys of the terminal from now on, and calls `wake` when there is something to take.
    /// It has to be one that hands them over one by one.
    pub fn start_keys(wake: impl Fn() + Send + 'static) -> io::Result<Self> {
        let (sender, lines) = sync_channel(LINES_WAITING_MAX);
        std::thread::Builder::new()
            .name("keyboard".into())
            .spawn(move || read_keys(&sender, wake))?;
        Ok(Self {
            lines,
            ended: false,
        })
    }

    /// The next line or key, if there is one already. The end is told once.
    pub fn take(&mut self) -> Option<Typed> {
        if self.ended {
            return None;
        }
        let typed = match self.lines.try_recv() {
            Ok(typed) => typed,
            Err(TryRecvError::Empty) => return None,
            Err(TryRecvError::Disconnected) => Typed::End,
        };
        self.ended = matches!(typed, Typed::End);
        Some(typed)
    }
}

fn read_keys(keys: &SyncSender<Typed>, wake: impl Fn()) {
    // Where the terminal is gone there is nothing more to come: the thread ends, and with it the channel.
    while let Ok(event) = event::read() {
        let typed = match event {
            Event::Key(key) if key.kind != KeyEventKind::Release => Typed::Key(key),
            Event::Paste(text) => Typed::Pasted(text),
            // Changes of size are the driver's business.
            _ => continue,
        };
        if keys.send(typed).is_err() {
            return;
        }
        wake();
    }
    // What is left in the channel is taken before its end.
    let _ = keys.send(Typed::End);
    wake();
}

fn read_lines(mut input: impl BufRead, lines: &SyncSender<Typed>, wake: impl Fn()) {
    loop {
        // An input that cannot be read any more (a terminal that is gone) has ended.
        let typed = read_line(&mut input).unwrap_or(Typed::End);
        let is_end = matches!(typed, Typed::End);
        if lines.send(typed).is_err() {
            return;
        }
        wake();
        if is_end {
            return;
        }
    }
}

/// Reads one line, which may lack its end if it is the last. Of one that is too long no more is
/// held than of any other.
fn read_line(input: &mut impl BufRead) -> io::Result<Typed> {
    const BYTES_MAX: u64 = LINE_BYTES_MAX as u64 + 2;
    let mut line = Vec::new();
    if input
        .by_ref()
        .take(BYTES_MAX)
        .read_until(b'\n', &mut line)?
        == 0
    {
        return Ok(Typed::End);
    }
    let is_whole = line.ends_with(b"\n");
    if is_whole {
        line.pop();
        if line.ends_with(b"\r") {
            line.pop();
        }
    }
    if line.len() > LINE_BYTES_MAX {
        if !is_whole {
            input.skip_until(b'\n')?;
        }
        return Ok(Typed::TooLong);
    }
    Ok(String::from_utf8(line).map_or(Typed::NotUtf8, Typed::Line))
}

/// Hides what is typed on a terminal, and shows it again when it is dropped, however that comes
/// about.
#[derive(Debug)]
pub struct Hidden {
    before: Termios,
}

impl Hidden {
    /// Hides what is typed into standard input; nothing if that is not a terminal.
    pub fn start() -> Option<Self> {
        let before = tcgetattr(io::stdin()).ok()?;
        let mut hidden = before.clone();
        hidden.local_modes.remove(LocalModes::ECHO);
        // Stopped here it would leave the shell with a terminal that shows nothing.
        hidden.special_codes[SpecialCodeIndex::VSUSP] = 0;
        tcsetattr(io::stdin(), OptionalActions::Now, &hidden).ok()?;
        Some(Self { before })
    }
}

impl Drop for Hidden {
    fn drop(&mut self) {
        // There is nothing to be done about a terminal that is gone.
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, &self.before);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;

    /// Everything that is read from `bytes`, in short words.
    fn read(bytes: &[u8]) -> Vec<String> {
        let mut input = io::BufReader::with_capacity(16, bytes);
        let mut words = Vec::new();
        loop {
            let word = match read_line(&mut input).unwrap() {
                Typed::Line(line) if line.len() < 100 => line,
                Typed::Line(line) => format!("{} bytes", line.len()),
                Typed::TooLong => "too long".into(),
                Typed::NotUtf8 => "not utf-8".into(),
                Typed::End => return words,
                _ => unreachable!("nobody pressed a key"),
            };
            words.push(word);
        }
    }

    #[test]
    fn lines_end_with_or_without_a_carriage_return_and_the_last_without_anything() {
        assert_eq!(read(b"one\ntwo\r\n\nlast"), ["one", "two", "", "last"]);
        assert_eq!(read(b""), [""; 0]);
    }

    #[test]
    fn a_bad_line_is_skipped_and_the_next_one_read() {
        assert_eq!(read(b"\xff\xfe\nnext\n"), ["not utf-8", "next"]);
        let line = |length: usize| {
            let mut bytes = vec![b'x'; length];
            bytes.extend_from_slice(b"\nnext\n");
            bytes
        };
        let at_limit = format!("{LINE_BYTES_MAX} bytes");
        assert_eq!(read(&line(LINE_BYTES_MAX)), [&at_limit, "next"]);
        for above in 1..4 {
            assert_eq!(read(&line(LINE_BYTES_MAX + above)), ["too long", "next"]);
        }
        assert_eq!(read(&vec![b'x'; 10 * LINE_BYTES_MAX]), ["too long"]);
    }

    #[test]
    fn lines_arrive_in_order_and_the_end_is_told_once() {
        let (wake, woken) = channel();
        let mut keyboard = Keyboard::start(&b"one\ntwo\n"[..], move || {
            let _ = wake.send(());
        })
        .unwrap();
        let mut taken = Vec::new();
        while woken.recv().is_ok() {
            while let Some(typed) = keyboard.take() {
                taken.push(match typed {
                    Typed::Line(line) => line,
                    _ => "end".into(),
                });
            }
        }
        assert_eq!(taken, ["one", "two", "end"]);
        assert!(keyboard.take().is_none());
    }
}
