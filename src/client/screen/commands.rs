//! What does somebody mean who types into the input line?
//!
//! A message, unless it begins with a slash. Two slashes are a message that begins with one.

use crate::types::Name;

/// What was typed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Typing {
    /// A message for the open conversation.
    Message(String),
    Command(Command),
}

/// A command of the full screen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Command {
    Help,
    /// To the conversation with somebody, perhaps with a message for it. A name without a
    /// command before it is to be that of an account, so that a slip of the finger opens nothing.
    To {
        name: Name,
        text: Option<String>,
        is_bare: bool,
    },
    Search {
        text: String,
    },
    List {
        pattern: String,
    },
    Status,
    Create,
    Delete,
    Logout,
    Quit,
}

/// Every command: its words, the first of which is shown, its arguments, and what it does.
pub(super) const COMMANDS: &[(&[&str], &str, &str)] = &[
    (
        &["/to", "/msg", "/query"],
        "NAME [TEXT]",
        "the conversation with somebody; /NAME does the same",
    ),
    (&["/search"], "TEXT", "find a text in this conversation"),
    (
        &["/list", "/names"],
        "[PATTERN]",
        "who has an account, and who is online",
    ),
    (&["/status"], "", "how the servers are"),
    (&["/create"], "", "log out and make another account"),
    (&["/delete"], "", "delete this account"),
    (&["/logout"], "", "log out"),
    (&["/quit", "/exit"], "", "leave"),
    (&["/help"], "", "this page"),
];

/// Understands what was typed, which is not empty.
///
/// # Errors
/// A sentence about what is wrong with it.
pub(super) fn parse(typed: &str) -> Result<Typing, String> {
    let Some(command) = typed.strip_prefix('/') else {
        return Ok(Typing::Message(typed.to_owned()));
    };
    if command.starts_with('/') {
        return Ok(Typing::Message(command.to_owned()));
    }
    let end = typed.find(char::is_whitespace).unwrap_or(typed.len());
    let (word, rest) = (typed[..end].to_lowercase(), typed[end..].trim());
    let known = COMMANDS
        .iter()
        .find(|(words, _, _)| words.contains(&word.as_str()));
    let Some((words, arguments, _)) = known else {
        return parse_bare_name(&word, rest);
    };
    let usage = format!("it is {} {arguments}", words[0]);
    let command = match words[0] {
        "/to" => {
            let name_end = rest.find(char::is_whitespace).unwrap_or(rest.len());
            let (name, text) = rest.split_at(name_end);
            if name.is_empty() {
                return Err(usage);
            }
            let name = Name::parse(name).map_err(|error| error.to_string())?;
            let is_bare = false;
            let text = some(text);
            Command::To {
                name,
                text,
                is_bare,
            }
        }
        "/search" if rest.is_empty() => return Err(usage),
        "/search" => Command::Search { text: rest.into() },
        "/list" if rest.is_empty() => Command::List {
            pattern: "*".into(),
        },
        "/list" => Command::List {
            pattern: rest.into(),
        },
        _ if !rest.is_empty() => return Err(format!("{} takes nothing behind it", words[0])),
        "/status" => Command::Status,
        "/create" => Command::Create,
        "/delete" => Command::Delete,
        "/logout" => Command::Logout,
        "/quit" => Command::Quit,
        _ => Command::Help,
    };
    Ok(Typing::Command(command))
}

fn parse_bare_name(word: &str, rest: &str) -> Result<Typing, String> {
    let name = Name::parse(&word[1..]).map_err(|_| {
        format!("there is no command {word}; /help lists them, and // begins a message with a /")
    })?;
    let is_bare = true;
    let text = some(rest);
    Ok(Typing::Command(Command::To {
        name,
        text,
        is_bare,
    }))
}

fn some(text: &str) -> Option<String> {
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

/// Candidates for what stands before the cursor, on the press of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Completion {
    /// Where the word begins.
    pub from: usize,
    /// What it may become, without doubles, sorted. At least one.
    pub candidates: Vec<String>,
    /// Which of them stands there.
    pub chosen: usize,
}

/// The word before the cursor, of which there is something: where it begins, and the name that it
/// may be the beginning of.
pub(super) fn word_before(text: &str) -> Option<(usize, &str)> {
    let from = text
        .char_indices()
        .rev()
        .find(|it| it.1.is_whitespace())
        .map_or(0, |(at, space)| at + space.len_utf8());
    let word = &text[from..];
    (!word.is_empty() || from > 0).then_some((from, word))
}

/// What the word before the cursor may become, of commands and `names`.
pub(super) fn complete<'a>(
    text: &str,
    names: impl IntoIterator<Item = &'a str>,
) -> Option<Completion> {
    let (from, word) = word_before(text)?;
    let begin = word.to_lowercase();
    let is_first = from == 0;
    let mut candidates: Vec<String> = match begin.strip_prefix('/') {
        Some(begin) if is_first => {
            let words = COMMANDS.iter().map(|(words, _, _)| words[0]);
            let commands = words.filter(|word| word[1..].starts_with(begin));
            let names = names.into_iter().filter(|name| name.starts_with(begin));
            commands
                .map(str::to_owned)
                .chain(names.map(|name| format!("/{name}")))
                .collect()
        }
        _ => {
            let names = names.into_iter();
            let begun = names.filter(|name| name.starts_with(&begin));
            begun.map(str::to_owned).collect()
        }
    };
    candidates.sort();
    candidates.dedup();
    (!candidates.is_empty()).then_some(Completion {
        from,
        candidates,
        chosen: 0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn to(name: &str, text: Option<&str>, is_bare: bool) -> Typing {
        Typing::Command(Command::To {
            name: Name::parse(name).unwrap(),
            text: text.map(str::to_owned),
            is_bare,
        })
    }

    #[test]
    fn what_begins_with_no_slash_or_with_two_is_a_message() {
        let message = |text: &str| Ok(Typing::Message(text.to_owned()));
        assert_eq!(parse("hi"), message("hi"));
        assert_eq!(parse(" /help"), message(" /help"));
        assert_eq!(parse("//etc"), message("/etc"));
    }

    #[test]
    fn commands_are_understood_with_their_arguments() {
        assert_eq!(parse("/to bob"), Ok(to("bob", None, false)));
        assert_eq!(
            parse("/MSG Bob  hi there"),
            Ok(to("bob", Some("hi there"), false))
        );
        assert_eq!(
            parse("/to bob one\ntwo"),
            Ok(to("bob", Some("one\ntwo"), false))
        );
        assert_eq!(parse("/bob"), Ok(to("bob", None, true)));
        assert_eq!(parse("/bob hi"), Ok(to("bob", Some("hi"), true)));
        let command = |command| Ok(Typing::Command(command));
        assert_eq!(
            parse("/search a b"),
            command(Command::Search { text: "a b".into() })
        );
        assert_eq!(
            parse("/list"),
            command(Command::List {
                pattern: "*".into()
            })
        );
        assert_eq!(parse("/exit"), command(Command::Quit));
        assert_eq!(parse("/help"), command(Command::Help));
    }

    #[test]
    fn mistakes_get_a_sentence() {
        for typed in ["/to", "/search", "/quit now", "/to b/b", "/etc/passwd", "/"] {
            let sentence = parse(typed).unwrap_err();
            assert!(!sentence.is_empty(), "{typed}");
        }
    }

    #[test]
    fn every_command_that_is_shown_is_understood() {
        for (words, _, _) in COMMANDS {
            for word in *words {
                let typed = format!("{word} x");
                assert!(
                    !matches!(
                        parse(&typed),
                        Ok(Typing::Command(Command::To { is_bare: true, .. }))
                    ),
                    "{word}"
                );
            }
        }
    }

    #[test]
    fn names_and_commands_are_completed() {
        let names = ["bob", "berta", "seth"];
        let candidates = |text: &str| complete(text, names).map(|it| (it.from, it.candidates));
        let words = |words: &[&str]| words.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>();
        assert_eq!(
            candidates("/s"),
            Some((0, words(&["/search", "/seth", "/status"])))
        );
        assert_eq!(candidates("/to b"), Some((4, words(&["berta", "bob"]))));
        assert_eq!(candidates("hello BO"), Some((6, words(&["bob"]))));
        assert_eq!(candidates("hello x"), None);
        assert_eq!(candidates(""), None);
        assert_eq!(candidates("see /st"), None);
    }
}
