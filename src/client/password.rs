//! Where does a password come from, if never from an argument?
//!
//! From a file, from the environment, or from a person at a terminal: the first that there is.

use std::fs::File;
use std::io::{self, BufRead, BufReader, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use signal_hook::consts::SIGINT;

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
    /// Ctrl+C.
    #[error("interrupted")]
    Interrupted,
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

/// Asks a person. While the terminal shows nothing, Ctrl+C must not end the process, which would leave
/// the terminal like that: it ends the question.
fn ask(prompt: &str) -> Result<String, PasswordError> {
    let interrupted = Arc::new(AtomicBool::new(false));
    let handler = signal_hook::flag::register(SIGINT, Arc::clone(&interrupted));
    let answer = rpassword::prompt_password(prompt);
    if let Ok(handler) = handler {
        signal_hook::low_level::unregister(handler);
    }
    if interrupted.load(Ordering::Relaxed) {
        return Err(PasswordError::Interrupted);
    }
    answer.map_err(|error| {
        if error.kind() == io::ErrorKind::UnexpectedEof {
            // Ctrl+D leaves the cursor behind the prompt, and the complaint would follow it there.
            let _ = writeln!(io::stderr());
        }
        PasswordError::NobodyToAsk
    })
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
