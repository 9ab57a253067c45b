//! What does a typed line ask for?
//!
//! The words are those of text mode, in any case. Line mode is friendlier where it costs nothing:
//! a password that was left out is asked for, and ACK alone means what was shown. What the server
//! could only refuse is refused here, so that no frame is ever larger than a server takes.

use std::borrow::Cow;

use crate::limits::{
    HISTORY_MESSAGES_DEFAULT, HISTORY_MESSAGES_MAX, NAME_BYTES_MAX, PASSWORD_BYTES_MAX,
    PATTERN_BYTES_MAX,
};
use crate::types::{ErrorCode, InvalidText, Name, OpNumber, Password, Text};
use crate::wire::message::{HistoryScope, Refusal};

/// A line that was understood. What it holds has been looked at: it fits into a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// What there is.
    Help,
    /// Is anybody there.
    Ping,
    /// A new account.
    Create {
        /// Its name.
        name: Name,
        /// Its password, if it was typed in the same line.
        password: Option<String>,
    },
    /// A login.
    Login {
        /// As whom.
        name: String,
        /// The password, if it was typed in the same line.
        password: Option<String>,
    },
    /// The end of the login.
    Logout,
    /// The end of one's own account.
    Delete {
        /// The password, if it was typed in the same line.
        password: Option<String>,
    },
    /// The accounts whose names match.
    List {
        /// `*` stands for any characters, `?` for one.
        pattern: String,
    },
    /// A message.
    Send {
        /// For whom.
        to: Name,
        /// What it says: [`Text::parse`] takes it.
        text: String,
    },
    /// The newest messages.
    History {
        /// With whom.
        scope: HistoryScope,
        /// How many at most.
        limit: u32,
        /// Only those with a lower id.
        before: OpNumber,
    },
    /// All messages after some id.
    Log {
        /// That id.
        after: OpNumber,
    },
    /// Messages were read.
    Acknowledge {
        /// Up to this id; `None`: up to the last one that was shown.
        up_to: Option<OpNumber>,
    },
    /// As whom one is logged in.
    WhoAmI,
    /// How the server is.
    Status,
    /// The end.
    Quit,
}

/// Each command with its arguments and what it is for, as HELP shows it.
pub const USAGE: &[(&str, &str, &str)] = &[
    ("CREATE", "name [password]", "make an account"),
    ("LOGIN", "name [password]", "log in, and see what is unread"),
    (
        "SEND",
        "name text",
        "write to somebody; \\n in it breaks the line",
    ),
    (
        "HISTORY",
        "[name [limit [id]]]",
        "the newest with somebody (*: all), before id",
    ),
    ("LOG", "[id]", "all of your messages, after that id"),
    ("LIST", "[pattern]", "who has an account, and who is online"),
    ("ACK", "[id]", "all up to id, or to the last shown, is read"),
    ("WHOAMI", "", "your name"),
    ("STATUS", "", "how the servers are"),
    ("PING", "", "is anybody there"),
    ("LOGOUT", "", "end the login"),
    (
        "DELETE",
        "[password]",
        "delete your account and what is unread in it",
    ),
    ("HELP", "", "this"),
    ("QUIT", "", "leave"),
];

/// What `line` asks for; nothing if it is empty.
///
/// # Errors
/// The refusal that the server would give, with a sentence that says what to type instead.
pub fn parse(line: &str) -> Result<Option<Command>, Refusal> {
    let (word, rest) = split_word(line);
    if word.is_empty() {
        return Ok(None);
    }
    let upper = word.to_ascii_uppercase();
    let arguments = Arguments {
        command: &upper,
        rest,
    };
    let command = match upper.as_str() {
        "HELP" => arguments.none(Command::Help)?,
        "PING" => arguments.none(Command::Ping)?,
        "LOGOUT" => arguments.none(Command::Logout)?,
        "WHOAMI" => arguments.none(Command::WhoAmI)?,
        "STATUS" => arguments.none(Command::Status)?,
        "QUIT" => arguments.none(Command::Quit)?,
        "CREATE" => create(&arguments)?,
        "LOGIN" => login(&arguments)?,
        "DELETE" => delete(&arguments)?,
        "LIST" => list(&arguments)?,
        "SEND" => send(&arguments)?,
        "HISTORY" => history(&arguments)?,
        "LOG" => log(&arguments)?,
        "ACK" => acknowledge(&arguments)?,
        _ => return Err(unknown_command(word)),
    };
    Ok(Some(command))
}

/// `text` as a message's, with a sentence that helps if it cannot be one.
pub fn check_text(text: &str) -> Result<Text<'_>, Refusal> {
    Text::parse(text).map_err(|error| {
        let code = match error {
            InvalidText::TooLong => ErrorCode::TooLong,
            InvalidText::Empty | InvalidText::ControlCharacter => ErrorCode::BadText,
        };
        refusal(code, error.to_string())
    })
}

/// Refuses a name or a password that no account can have, as a wrong one: it is not worth a
/// frame, and may not fit into one.
pub fn check_login(name: &str, password: &str) -> Result<(), Refusal> {
    if name.len() > NAME_BYTES_MAX || password.len() > PASSWORD_BYTES_MAX {
        return Err(ErrorCode::BadLogin.into());
    }
    Ok(())
}

/// `password` as a new account's.
pub fn check_password(password: &str) -> Result<Password<'_>, Refusal> {
    Password::parse(password).map_err(|_| ErrorCode::BadPassword.into())
}

/// `name` as an account's.
pub fn check_name(name: &str) -> Result<Name, Refusal> {
    Name::parse(name).map_err(|_| ErrorCode::BadName.into())
}

/// `pattern` for LIST.
pub fn check_pattern(pattern: &str) -> Result<(), Refusal> {
    if pattern.len() > PATTERN_BYTES_MAX {
        return Err(refusal(
            ErrorCode::BadArguments,
            format!("a pattern has at most {PATTERN_BYTES_MAX} bytes"),
        ));
    }
    Ok(())
}

fn create(arguments: &Arguments<'_>) -> Result<Command, Refusal> {
    let (name, password) = arguments.name_and_word()?;
    if let Some(password) = password {
        check_password(password)?;
    }
    Ok(Command::Create {
        name: check_name(name)?,
        password: password.map(str::to_owned),
    })
}

fn login(arguments: &Arguments<'_>) -> Result<Command, Refusal> {
    let (name, password) = arguments.name_and_word()?;
    check_login(name, password.unwrap_or_default())?;
    Ok(Command::Login {
        name: name.to_owned(),
        password: password.map(str::to_owned),
    })
}

fn delete(arguments: &Arguments<'_>) -> Result<Command, Refusal> {
    let [password, ..] = arguments.words::<1>()?;
    check_login("", password.unwrap_or_default())?;
    Ok(Command::Delete {
        password: password.map(str::to_owned),
    })
}

fn list(arguments: &Arguments<'_>) -> Result<Command, Refusal> {
    let [pattern] = arguments.words::<1>()?;
    let pattern = pattern.unwrap_or("*");
    check_pattern(pattern)?;
    Ok(Command::List {
        pattern: pattern.to_owned(),
    })
}

fn send(arguments: &Arguments<'_>) -> Result<Command, Refusal> {
    let (name, text) = split_word(arguments.rest);
    if name.is_empty() || text.is_empty() {
        return Err(arguments.wrong());
    }
    let text = unescape(text).into_owned();
    check_text(&text)?;
    Ok(Command::Send {
        to: check_name(name)?,
        text,
    })
}

fn history(arguments: &Arguments<'_>) -> Result<Command, Refusal> {
    let [name, limit, before] = arguments.words::<3>()?;
    let scope = match name {
        None | Some("*") => HistoryScope::All,
        Some(name) => HistoryScope::With(check_name(name)?),
    };
    let limit = match limit {
        None => HISTORY_MESSAGES_DEFAULT,
        Some(limit) => limit
            .parse()
            .ok()
            .filter(|limit| (1..=HISTORY_MESSAGES_MAX).contains(limit))
            .ok_or_else(|| {
                refusal(
                    ErrorCode::BadArguments,
                    format!("HISTORY takes a limit of 1 to {HISTORY_MESSAGES_MAX} messages"),
                )
            })?,
    };
    let before = match before {
        None => OpNumber::MAX,
        Some(id) => arguments.id(id)?,
    };
    Ok(Command::History {
        scope,
        limit,
        before,
    })
}

fn log(arguments: &Arguments<'_>) -> Result<Command, Refusal> {
    let [after] = arguments.words::<1>()?;
    let after = after.map_or(Ok(OpNumber::ZERO), |id| arguments.id(id))?;
    Ok(Command::Log { after })
}

fn acknowledge(arguments: &Arguments<'_>) -> Result<Command, Refusal> {
    let [id] = arguments.words::<1>()?;
    let up_to = id.map(|id| arguments.id(id)).transpose()?;
    Ok(Command::Acknowledge { up_to })
}

/// What stands behind a command's word.
struct Arguments<'a> {
    /// The command, in upper case: it is one of [`USAGE`].
    command: &'a str,
    /// The rest of the line, without the spaces before it.
    rest: &'a str,
}

impl<'a> Arguments<'a> {
    fn none(&self, command: Command) -> Result<Command, Refusal> {
        self.words::<0>().map(|_| command)
    }

    fn name_and_word(&self) -> Result<(&'a str, Option<&'a str>), Refusal> {
        let [name, word] = self.words::<2>()?;
        Ok((name.ok_or_else(|| self.wrong())?, word))
    }

    /// At most `MAX` words.
    fn words<const MAX: usize>(&self) -> Result<[Option<&'a str>; MAX], Refusal> {
        let mut words = self.rest.split(' ').filter(|word| !word.is_empty());
        let found = std::array::from_fn(|_| words.next());
        match words.next() {
            None => Ok(found),
            Some(_) => Err(self.wrong()),
        }
    }

    fn id(&self, word: &str) -> Result<OpNumber, Refusal> {
        word.parse().map(OpNumber).map_err(|_| {
            refusal(
                ErrorCode::BadArguments,
                format!("{} takes a message's id, which is a number", self.command),
            )
        })
    }

    fn wrong(&self) -> Refusal {
        let arguments = USAGE
            .iter()
            .find(|(command, ..)| *command == self.command)
            .map_or("", |(_, arguments, _)| arguments);
        let sentence = match arguments {
            "" => format!("{} stands alone", self.command),
            arguments => format!("this is how it goes: {} {arguments}", self.command),
        };
        refusal(ErrorCode::BadArguments, sentence)
    }
}

fn unknown_command(word: &str) -> Refusal {
    const SHOWN_CHARACTERS_MAX: usize = 32;
    let mut shown: String = word.chars().take(SHOWN_CHARACTERS_MAX).collect();
    if shown.len() < word.len() {
        shown.push_str("...");
    }
    refusal(
        ErrorCode::UnknownCommand,
        format!(
            "there is no command {shown}; HELP lists what there is, and SEND name text writes to somebody"
        ),
    )
}

fn refusal(code: ErrorCode, sentence: String) -> Refusal {
    Refusal {
        code,
        sentence: Cow::Owned(sentence),
    }
}

/// The first word and what comes after the spaces behind it.
fn split_word(line: &str) -> (&str, &str) {
    let line = line.trim_start_matches(' ');
    match line.split_once(' ') {
        Some((word, rest)) => (word, rest.trim_start_matches(' ')),
        None => (line, ""),
    }
}

/// `\n` becomes a line feed and `\\` a backslash; a backslash before anything else stands for
/// itself.
fn unescape(text: &str) -> Cow<'_, str> {
    if !text.contains('\\') {
        return Cow::Borrowed(text);
    }
    let mut plain = String::with_capacity(text.len());
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        let next = (character == '\\').then(|| characters.peek()).flatten();
        match next {
            Some('n') => plain.push('\n'),
            Some('\\') => plain.push('\\'),
            _ => {
                plain.push(character);
                continue;
            }
        }
        characters.next();
    }
    Cow::Owned(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Command {
        parse(line)
            .unwrap_or_else(|refusal| panic!("{line:?}: {refusal:?}"))
            .unwrap()
    }

    fn refused(line: &str) -> (ErrorCode, String) {
        let refusal = parse(line).expect_err(line);
        (refusal.code, refusal.sentence.into_owned())
    }

    fn name(text: &str) -> Name {
        Name::parse(text).unwrap()
    }

    #[test]
    fn every_command_of_the_help_is_understood_in_any_case() {
        for (command, arguments, _) in USAGE {
            let line = format!("{} {}", command.to_lowercase(), arguments)
                .replace(['[', ']'], "")
                .replace("password", "correct-horse")
                .replace("limit", "5")
                .replace("id", "7")
                .replace("pattern", "a*");
            assert!(parse(&line).unwrap().is_some(), "{line}");
        }
    }

    #[test]
    fn a_password_may_be_left_out() {
        assert_eq!(
            parsed("login alice"),
            Command::Login {
                name: "alice".into(),
                password: None
            }
        );
        assert_eq!(
            parsed("Create Alice correct-horse"),
            Command::Create {
                name: name("alice"),
                password: Some("correct-horse".into())
            }
        );
        assert_eq!(parsed("DELETE"), Command::Delete { password: None });
    }

    #[test]
    fn a_text_is_the_rest_of_the_line_with_its_escapes_undone() {
        let text = |line| match parsed(line) {
            Command::Send { text, .. } => text,
            other => panic!("{other:?}"),
        };
        assert_eq!(text("SEND bob   two  words "), "two  words ");
        assert_eq!(text(r"send bob a\nb\\n c\x \"), "a\nb\\n c\\x \\");
        assert_eq!(refused("SEND bob").0, ErrorCode::BadArguments);
        assert_eq!(refused("SEND bob \x1b[2J").0, ErrorCode::BadText);
        let long = "x".repeat(crate::limits::TEXT_BYTES_MAX + 1);
        assert_eq!(refused(&format!("SEND bob {long}")).0, ErrorCode::TooLong);
        assert_eq!(refused("SEND b/b hi").0, ErrorCode::BadName);
    }

    #[test]
    fn history_takes_its_arguments_by_their_place() {
        let everything = Command::History {
            scope: HistoryScope::All,
            limit: HISTORY_MESSAGES_DEFAULT,
            before: OpNumber::MAX,
        };
        assert_eq!(parsed("HISTORY"), everything);
        assert_eq!(parsed("HISTORY *"), everything);
        assert_eq!(
            parsed("HISTORY bob 20 900"),
            Command::History {
                scope: HistoryScope::With(name("bob")),
                limit: 20,
                before: OpNumber(900),
            }
        );
        for line in [
            "HISTORY bob 0",
            "HISTORY bob 1001",
            "HISTORY bob x",
            "HISTORY bob 1 x",
            "HISTORY bob 1 2 3",
            "LOG -1",
            "ACK all",
        ] {
            assert_eq!(refused(line).0, ErrorCode::BadArguments, "{line}");
        }
    }

    #[test]
    fn acknowledging_without_an_id_means_what_was_shown() {
        assert_eq!(parsed("ack"), Command::Acknowledge { up_to: None });
        assert_eq!(
            parsed("ack 42"),
            Command::Acknowledge {
                up_to: Some(OpNumber(42))
            }
        );
    }

    #[test]
    fn a_mistake_is_told_with_what_to_type_instead() {
        assert_eq!(
            refused("LOGIN"),
            (
                ErrorCode::BadArguments,
                "this is how it goes: LOGIN name [password]".into()
            )
        );
        assert_eq!(
            refused("QUIT now"),
            (ErrorCode::BadArguments, "QUIT stands alone".into())
        );
        let (code, sentence) = refused("hello bob");
        assert_eq!(code, ErrorCode::UnknownCommand);
        assert!(sentence.starts_with("there is no command hello; HELP"));
        assert!(refused(&"x".repeat(5000)).1.len() < 200);
    }

    #[test]
    fn what_could_not_fit_into_a_frame_is_refused_here() {
        let long = "x".repeat(PASSWORD_BYTES_MAX + 1);
        assert_eq!(refused(&format!("LOGIN bob {long}")).0, ErrorCode::BadLogin);
        assert_eq!(
            refused(&format!("LOGIN {long} pass")).0,
            ErrorCode::BadLogin
        );
        assert_eq!(refused(&format!("DELETE {long}")).0, ErrorCode::BadLogin);
        assert_eq!(
            refused(&format!("CREATE bob {long}")).0,
            ErrorCode::BadPassword
        );
        assert_eq!(refused(&format!("LIST {long}")).0, ErrorCode::BadArguments);
    }

    #[test]
    fn each_line_of_help_fits_a_terminal() {
        for (command, arguments, purpose) in USAGE {
            assert!(command.len() + 1 + arguments.len() <= 32, "{command}");
            assert!(33 + purpose.len() < 80, "{command}");
        }
    }

    #[test]
    fn empty_lines_ask_for_nothing() {
        assert_eq!(parse(""), Ok(None));
        assert_eq!(parse("    "), Ok(None));
    }
}
