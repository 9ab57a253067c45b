//! Where does a password come from, if never from an argument?
//!
//! From a file, from the environment, or from a person at a terminal: the first that there is.

use std::fs::File;
use std::io::{self, BufRead, BufReader, IsTerminal, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::termios::{
    LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcsetattr,
};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::{SigId, flag, low_level};

use crate::limits::PASSWORD_BYTES_MAX;

/// Where to look for a password.
#[derive(Clone, Default)]
pub struct PasswordSource {
    /// Its first line; `-` is standard input.
    pub file: Option<PathBuf>,
    /// What LASTWORD_PASSWORD says.
    pub environment: Option<String>,
    /// Standard input is where commands come from.
    pub input_is_taken: bool,
}

/// There is no password.
#[derive(Debug, thiserror::Error)]
pub enum PasswordError {
    /// The file cannot be read.
    #[error("the password file {path} cannot be read: {source}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file's first line cannot be a password.
    #[error(
        "the first line of {path} is no password: it has to be UTF-8, not empty, and at most {PASSWORD_BYTES_MAX} bytes"
    )]
    NoPassword {
        /// The file.
        path: PathBuf,
    },
    /// Standard input is needed for something else.
    #[error(
        "--password-file - takes standard input, which is where commands are read from; name a file"
    )]
    InputIsTaken,
    /// There is nobody to ask.
    #[error(
        "a password is needed; put it into a file for --password-file, or into LASTWORD_PASSWORD"
    )]
    NobodyToAsk,
    /// The two that were typed differ.
    #[error("these were two different passwords; nothing was done, try again")]
    Different,
    /// Ctrl+C, or another signal that asks for the end: this one.
    #[error("interrupted")]
    Interrupted(i32),
}

impl PasswordSource {
    /// There is a password, or at least a file for it, without anybody being asked.
    pub fn has_answer(&self) -> bool {
        self.file.is_some() || self.environment.is_some()
    }

    /// The password. On a terminal it is asked for with `prompt`, and if it is a new one, twice.
    pub fn password(&self, prompt: &str, is_new: bool) -> Result<String, PasswordError> {
        if let Some(path) = &self.file {
            return self.read_file(path);
        }
        if let Some(password) = &self.environment {
            return Ok(password.clone());
        }
        if !io::stdin().is_terminal() && !io::stderr().is_terminal() {
            return Err(PasswordError::NobodyToAsk);
        }
        let password = ask(prompt)?;
        if is_new && ask("the same again: ")? != password {
            return Err(PasswordError::Different);
        }
        Ok(password)
    }

    fn read_file(&self, path: &Path) -> Result<String, PasswordError> {
        let read = if path != Path::new("-") {
            File::open(path).and_then(|file| first_line(BufReader::new(file)))
        } else if self.input_is_taken {
            return Err(PasswordError::InputIsTaken);
        } else {
            first_line(io::stdin().lock())
        };
        let line = read.map_err(|source| PasswordError::Unreadable {
            path: path.to_owned(),
            source,
        })?;
        line.ok_or_else(|| PasswordError::NoPassword {
            path: path.to_owned(),
        })
    }
}

/// The first line, if it can be a password. No more is read of an endless one.
fn first_line(input: impl BufRead) -> io::Result<Option<String>> {
    const BYTES_MAX: u64 = PASSWORD_BYTES_MAX as u64 + 2;
    let mut line = Vec::new();
    input.take(BYTES_MAX).read_until(b'\n', &mut line)?;
    while line.ends_with(b"\n") || line.ends_with(b"\r") {
        line.pop();
    }
    let fits = (1..=PASSWORD_BYTES_MAX).contains(&line.len());
    Ok(String::from_utf8(line).ok().filter(|_| fits))
}

/// Asks a person at the terminal, which shows nothing of the answer.
fn ask(prompt: &str) -> Result<String, PasswordError> {
    let terminal = File::options().read(true).write(true).open("/dev/tty");
    let terminal = terminal.map_err(|_| PasswordError::NobodyToAsk)?;
    let signals = Signals::catch().map_err(|_| PasswordError::NobodyToAsk)?;
    // From here on a signal ends the question, and not the process, which would leave the terminal
    // as it is then.
    let hidden = Hidden::start(&terminal);
    let answer = (&terminal)
        .write_all(prompt.as_bytes())
        .and_then(|()| read_answer(&terminal, &signals));
    drop(hidden);
    // The line that was ended by whoever answered was not shown either.
    let _ = (&terminal).write_all(b"\n");
    match signals.caught() {
        Some(signal) => Err(PasswordError::Interrupted(signal)),
        None => answer.ok().flatten().ok_or(PasswordError::NobodyToAsk),
    }
}

/// A line; `None` if there is none, or a signal comes first.
fn read_answer(mut terminal: &File, signals: &Signals) -> io::Result<Option<String>> {
    let mut line = Vec::new();
    while !line.ends_with(b"\n") {
        let mut both = [
            PollFd::new(&terminal, PollFlags::IN),
            PollFd::new(&signals.wake, PollFlags::IN),
        ];
        match poll(&mut both, None) {
            Err(Errno::INTR) => continue,
            polled => polled?,
        };
        if signals.caught().is_some() {
            return Ok(None);
        }
        let mut chunk = [0; 1024];
        let length = terminal.read(&mut chunk)?;
        if length == 0 || line.len() > chunk.len() {
            return Ok(None);
        }
        line.extend_from_slice(&chunk[..length]);
    }
    line.pop();
    Ok(String::from_utf8(line).ok())
}

/// The signals that ask for the end, caught as long as this lives.
struct Signals {
    last: Arc<AtomicUsize>,
    /// Can be read once one was caught.
    wake: UnixStream,
    handlers: Vec<SigId>,
}

impl Signals {
    fn catch() -> io::Result<Self> {
        let (wake, waker) = UnixStream::pair()?;
        let mut signals = Self {
            last: Arc::default(),
            wake,
            handlers: Vec::new(),
        };
        for signal in [SIGINT, SIGTERM, SIGHUP] {
            let last = Arc::clone(&signals.last);
            let number = usize::try_from(signal).unwrap_or_default();
            let handler = flag::register_usize(signal, last, number)?;
            signals.handlers.push(handler);
            let handler = low_level::pipe::register(signal, waker.try_clone()?)?;
            signals.handlers.push(handler);
        }
        Ok(signals)
    }

    fn caught(&self) -> Option<i32> {
        match self.last.load(Ordering::Relaxed) {
            0 => None,
            signal => i32::try_from(signal).ok(),
        }
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        for handler in self.handlers.drain(..) {
            low_level::unregister(handler);
        }
    }
}

/// A terminal that does not show what is typed, until this is dropped.
struct Hidden<'a> {
    terminal: &'a File,
    before: Termios,
}

impl<'a> Hidden<'a> {
    fn start(terminal: &'a File) -> Option<Self> {
        let before = tcgetattr(terminal).ok()?;
        let mut hidden = before.clone();
        hidden.local_modes.remove(LocalModes::ECHO);
        // Stopped here it would leave the shell with a terminal that shows nothing.
        hidden.special_codes[SpecialCodeIndex::VSUSP] = 0;
        tcsetattr(terminal, OptionalActions::Now, &hidden).ok()?;
        Some(Self { terminal, before })
    }
}

impl Drop for Hidden<'_> {
    fn drop(&mut self) {
        // There is nothing to be done about a terminal that is gone.
        let _ = tcsetattr(self.terminal, OptionalActions::Now, &self.before);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn in_file(content: &[u8]) -> Result<String, PasswordError> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(content).unwrap();
        PasswordSource {
            file: Some(file.path().to_owned()),
            ..PasswordSource::default()
        }
        .password("", false)
    }

    #[test]
    fn the_first_line_of_a_file_is_the_password() {
        for content in [
            "correct-horse",
            "correct-horse\n",
            "correct-horse\r\nmore\n",
        ] {
            assert_eq!(in_file(content.as_bytes()).unwrap(), "correct-horse");
        }
        let at_limit = "x".repeat(PASSWORD_BYTES_MAX);
        assert_eq!(
            in_file(format!("{at_limit}\n").as_bytes()).unwrap(),
            at_limit
        );
    }

    #[test]
    fn a_file_without_a_password_is_told_and_not_shown() {
        let above = [b'x'; PASSWORD_BYTES_MAX + 1];
        for content in [&b""[..], b"\nsecond", b"\xff\xfe\n", &above] {
            let error = in_file(content).unwrap_err();
            assert!(matches!(error, PasswordError::NoPassword { .. }));
        }
    }

    #[test]
    fn a_file_goes_before_the_environment() {
        let mut source = PasswordSource {
            file: Some("/nowhere/at/all".into()),
            environment: Some("correct-horse".into()),
            input_is_taken: true,
        };
        let error = source.password("", false).unwrap_err();
        assert!(error.to_string().contains("/nowhere/at/all"));
        source.file = Some("-".into());
        let error = source.password("", false).unwrap_err();
        assert!(matches!(error, PasswordError::InputIsTaken));
        source.file = None;
        assert_eq!(source.password("", false).unwrap(), "correct-horse");
    }
}
