//! The commands of text mode: how each is written, what it is for, and how its words are read.

use crate::limits::HISTORY_MESSAGES_DEFAULT;
use crate::types::{ErrorCode, Name, OpNumber, Password, Text};

use super::super::fields::InvalidField;
use super::super::message::{Deliver, HistoryScope, Refusal, Request};
use super::super::request::{check_history_limit, check_pattern};

/// One command.
struct Command {
    /// How it is written. The first word is in upper case here, and in any case in a request.
    form: &'static str,
    /// What it is for.
    about: &'static str,
    /// Reads what follows the first word. The string is room for a text that is not as it came.
    read: for<'a> fn(&'a str, &'a mut String) -> Result<Request<'a>, WrongArguments>,
}

/// All commands, in the order in which HELP shows them.
const COMMANDS: &[Command] = &[
    Command {
        form: "HELP",
        about: "these lines",
        read: |rest, _| no_words(rest, Request::Help),
    },
    Command {
        form: "PING",
        about: "is anybody there",
        read: |rest, _| no_words(rest, Request::Ping),
    },
    Command {
        form: "CREATE name password",
        about: "a new account; LOGIN comes after it",
        read: |rest, _| read_create(rest),
    },
    Command {
        form: "LOGIN name password",
        about: "log in, and get what is unread and what comes",
        read: |rest, _| read_login(rest),
    },
    Command {
        form: "LOGOUT",
        about: "log out",
        read: |rest, _| no_words(rest, Request::Logout),
    },
    Command {
        form: "DELETE password",
        about: "delete your own account",
        read: |rest, _| read_delete(rest),
    },
    Command {
        form: "LIST [pattern]",
        about: "accounts; * stands for any characters, ? for one",
        read: |rest, _| read_list(rest),
    },
    Command {
        form: "SEND name text",
        about: "send a message: OK says that no crash can lose it",
        read: read_send,
    },
    Command {
        form: "HISTORY [name [limit [id]]]",
        about: "the newest messages with name (*: with all), before id",
        read: |rest, _| read_history(rest),
    },
    Command {
        form: "LOG [id]",
        about: "all your messages, after id",
        read: |rest, _| read_log(rest),
    },
    Command {
        form: "ACK id",
        about: "you have read everything up to id",
        read: |rest, _| read_acknowledge(rest),
    },
    Command {
        form: "WHOAMI",
        about: "as whom you are logged in",
        read: |rest, _| no_words(rest, Request::WhoAmI),
    },
    Command {
        form: "STATUS",
        about: "the servers, and how they are",
        read: |rest, _| no_words(rest, Request::Status),
    },
    Command {
        form: "QUIT",
        about: "close the connection",
        read: |rest, _| no_words(rest, Request::Quit),
    },
];

/// What HELP says besides the commands.
const HELP_NOTES: &[&str] = &[
    "Messages that LOGIN shows stay unread, and come again at the next LOGIN, until ACK.",
    "In a text, \\n is a line break and \\\\ a backslash.",
    "Messages come as: MSG id time from to text",
];

/// What HELP is answered with, a line at a time: every command, and what one has to know besides.
pub fn help_lines() -> impl Iterator<Item = String> {
    let commands = COMMANDS
        .iter()
        .map(|command| format!("{:<28} {}", command.form, command.about));
    let notes = HELP_NOTES.iter().map(|note| note.to_string());
    commands.chain(notes)
}

/// Reads a line that has a word in it. `scratch` is room for a text that has to be unescaped.
pub(super) fn parse_line<'a>(
    line: &'a str,
    scratch: &'a mut String,
) -> Result<Request<'a>, Refusal> {
    let (word, rest) = split_word(line);
    let Some(command) = COMMANDS
        .iter()
        .find(|command| split_word(command.form).0.eq_ignore_ascii_case(word))
    else {
        return Err(ErrorCode::UnknownCommand.into());
    };
    (command.read)(rest, scratch).map_err(|wrong| match wrong {
        WrongArguments::Form => Refusal::new(
            ErrorCode::BadArguments,
            format!("it is written: {}", command.form),
        ),
        WrongArguments::Invalid(invalid) => invalid.into(),
    })
}

/// Why what follows a command's word is not what it takes.
enum WrongArguments {
    /// There is too little or too much of it.
    Form,
    /// One of the words is wrong.
    Invalid(InvalidField),
}

impl<T: Into<InvalidField>> From<T> for WrongArguments {
    fn from(invalid: T) -> Self {
        Self::Invalid(invalid.into())
    }
}

/// The first word of `text`, and what stands behind the spaces that follow it.
fn split_word(text: &str) -> (&str, &str) {
    let text = text.trim_start_matches(' ');
    match text.split_once(' ') {
        Some((word, rest)) => (word, rest.trim_start_matches(' ')),
        None => (text, ""),
    }
}

/// The words of `text`: at most so many, the missing ones `None`.
fn optional_words<const COUNT: usize>(text: &str) -> Result<[Option<&str>; COUNT], WrongArguments> {
    let mut words = text.split(' ').filter(|word| !word.is_empty());
    let found = std::array::from_fn(|_| words.next());
    match words.next() {
        None => Ok(found),
        Some(_) => Err(WrongArguments::Form),
    }
}

fn words<const COUNT: usize>(text: &str) -> Result<[&str; COUNT], WrongArguments> {
    let found = optional_words::<COUNT>(text)?;
    if found.contains(&None) {
        return Err(WrongArguments::Form);
    }
    Ok(found.map(|word| word.unwrap_or_default()))
}

fn no_words<'a>(rest: &str, request: Request<'a>) -> Result<Request<'a>, WrongArguments> {
    words::<0>(rest).map(|[]| request)
}

fn read_create(rest: &str) -> Result<Request<'_>, WrongArguments> {
    let [name, password] = words(rest)?;
    Ok(Request::Create {
        name: Name::parse(name)?,
        password: Password::parse(password)?,
        session: None,
    })
}

fn read_login(rest: &str) -> Result<Request<'_>, WrongArguments> {
    let [name, password] = words(rest)?;
    Ok(Request::Login {
        name,
        password,
        session: None,
        deliver: Deliver::Unread,
    })
}

fn read_delete(rest: &str) -> Result<Request<'_>, WrongArguments> {
    let [password] = words(rest)?;
    Ok(Request::Delete { password })
}

fn read_list(rest: &str) -> Result<Request<'_>, WrongArguments> {
    let [pattern] = optional_words(rest)?;
    let pattern = pattern.unwrap_or("*");
    check_pattern(pattern)?;
    Ok(Request::List { pattern })
}

/// What follows the name is the text, with all its spaces but those right behind the name.
fn read_send<'a>(rest: &'a str, scratch: &'a mut String) -> Result<Request<'a>, WrongArguments> {
    let (name, text) = split_word(rest);
    if text.is_empty() {
        return Err(WrongArguments::Form);
    }
    Ok(Request::Send {
        to: Name::parse(name)?,
        text: Text::parse(unescape(text, scratch))?,
    })
}

/// `text` with line breaks and backslashes in place of `\n` and `\\`. Most texts have none, and
/// are not copied.
fn unescape<'a>(text: &'a str, scratch: &'a mut String) -> &'a str {
    if !text.contains('\\') {
        return text;
    }
    scratch.clear();
    let mut rest = text;
    while let Some((plain, escaped)) = rest.split_once('\\') {
        scratch.push_str(plain);
        let (character, width) = match escaped.as_bytes().first() {
            Some(b'n') => ('\n', 1),
            Some(b'\\') => ('\\', 1),
            _ => ('\\', 0),
        };
        scratch.push(character);
        rest = &escaped[width..];
    }
    scratch.push_str(rest);
    scratch
}

fn read_history(rest: &str) -> Result<Request<'_>, WrongArguments> {
    let [name, limit, before] = optional_words(rest)?;
    let scope = match name {
        None | Some("*") => HistoryScope::All,
        Some(name) => HistoryScope::With(Name::parse(name)?),
    };
    // A number that is too large for its type is too large for the limit, too.
    let limit = match limit {
        None => HISTORY_MESSAGES_DEFAULT,
        Some(limit) => u32::try_from(parse_number(limit)?).unwrap_or(u32::MAX),
    };
    check_history_limit(limit)?;
    Ok(Request::History {
        scope,
        limit,
        before: before.map_or(Ok(OpNumber::MAX), parse_id)?,
    })
}

fn read_log(rest: &str) -> Result<Request<'_>, WrongArguments> {
    let [after] = optional_words(rest)?;
    Ok(Request::Log {
        after: after.map_or(Ok(OpNumber::ZERO), parse_id)?,
        limit: None,
    })
}

fn read_acknowledge(rest: &str) -> Result<Request<'_>, WrongArguments> {
    let [up_to] = words(rest)?;
    Ok(Request::Acknowledge {
        conversation: None,
        up_to: parse_id(up_to)?,
    })
}

fn parse_id(word: &str) -> Result<OpNumber, WrongArguments> {
    parse_number(word).map(OpNumber)
}

/// A number in decimal digits and nothing else: no sign, no spaces.
fn parse_number(word: &str) -> Result<u64, WrongArguments> {
    if !word.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(WrongArguments::Form);
    }
    word.parse()
        .map_err(|_| InvalidField::OutOfRange("no number is above 18446744073709551615").into())
}

#[cfg(test)]
mod tests;
