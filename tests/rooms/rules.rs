//! Who may know whom, and who may touch sockets, clocks and files?

use std::collections::BTreeSet;
use std::fmt;

use crate::paths::{crate_paths, module_of};
use crate::tokens::{Token, tokens};

/// The rooms, and what each may name besides itself: rooms, or parts of rooms.
const KNOWS: &[(&str, &[&str])] = &[
    ("limits", &[]),
    ("types", &["limits"]),
    ("wire", &["types", "limits"]),
    ("chat", &["types", "limits"]),
    ("replica", &["types", "limits", "wire"]),
    ("journal", &["types", "limits", "wire"]),
    ("store", &["types", "limits", "chat::change"]),
    ("net", &["types", "limits", "wire"]),
    ("client", &["types", "limits", "wire"]),
    ("server", EVERYTHING),
    ("bench", EVERYTHING),
    ("bin", EVERYTHING),
    // The tour of the house names the rooms in its documentation alone.
    ("lib", &[]),
];

/// The glue knows everybody.
const EVERYTHING: &[&str] = &[
    "limits", "types", "wire", "chat", "replica", "journal", "store", "net", "server", "client",
    "bench",
];

/// Something of the outside world that few may touch. Unit tests may.
struct Outside {
    what: &'static str,
    /// Words that give it away.
    words: &'static [&'static str],
    /// Modules that may.
    allowed: &'static [&'static str],
}

const OUTSIDE: &[Outside] = &[
    Outside {
        what: "sockets",
        words: &[
            "mio",
            "signal_hook_mio",
            "socket2",
            "TcpListener",
            "TcpStream",
            "UdpSocket",
        ],
        allowed: &["net", "server", "bin", "client::driver"],
    },
    Outside {
        what: "signals",
        words: &["signal_hook"],
        allowed: &["net", "server", "bin", "client::driver", "client::password"],
    },
    Outside {
        what: "a terminal",
        words: &[
            "termios",
            "enable_raw_mode",
            "disable_raw_mode",
            "stdin",
            "stdout",
            "stderr",
        ],
        allowed: &[
            "net",
            "server",
            "bin",
            "client::driver",
            "client::keyboard",
            "client::terminal",
            "client::password",
            // Those of the processes that they start.
            "bench::pipeline",
            "bench::process",
            "bench::failover::command",
        ],
    },
    Outside {
        what: "a clock",
        words: &["Instant", "SystemTime", "clock_gettime", "::now"],
        allowed: &[
            "net",
            "server",
            "bin",
            "bench",
            "client::driver",
            "store::migrating",
            "store::worker",
        ],
    },
    Outside {
        what: "files",
        words: &["fs", "File", "OpenOptions"],
        allowed: &[
            "journal::storage",
            "store",
            // It counts the descriptors that the system lists.
            "net::descriptors",
            "client::password",
            "client::remembered",
            "bench::process",
        ],
    },
    Outside {
        what: "the database",
        words: &["rusqlite"],
        allowed: &["store"],
    },
];

/// Longest file; a longer one is two.
const LINES_MAX: usize = 800;

/// A file below `src`.
pub struct Source {
    /// Its path from there, with `/`.
    pub path: String,
    /// What it says.
    pub text: String,
}

/// A rule that a file does not keep.
#[derive(Debug, PartialEq, Eq)]
pub struct Breach {
    /// The file's path below `src`.
    pub path: String,
    /// The line, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub what: String,
}

impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "src/{}:{}: {}", self.path, self.line, self.what)
    }
}

/// The rooms that the sources belong to.
pub fn rooms(sources: &[Source]) -> BTreeSet<String> {
    sources.iter().map(|source| room_of(&source.path)).collect()
}

/// Every rule that is not kept, in the order of the sources.
pub fn check(sources: &[Source]) -> Vec<Breach> {
    let parsed: Vec<(&Source, Vec<Token>)> = sources
        .iter()
        .map(|source| (source, tokens(&source.text)))
        .collect();
    let test_modules: BTreeSet<Vec<String>> = parsed
        .iter()
        .flat_map(|(source, tokens)| test_modules(&source.path, tokens))
        .collect();
    let mut breaches = Vec::new();
    for (source, tokens) in &parsed {
        check_directions(source, tokens, &mut breaches);
        let module = module_of(&source.path);
        let is_test = (1..=module.len()).any(|length| test_modules.contains(&module[..length]));
        if !is_test {
            check_outside(source, tokens, &mut breaches);
        }
        check_form(source, tokens, &mut breaches);
    }
    breaches
}

fn room_of(path: &str) -> String {
    module_of(path)
        .first()
        .map_or("lib".to_owned(), String::clone)
}

/// Whether a path is the module `allowed`, or inside it.
fn is_within(path: &[String], allowed: &str) -> bool {
    let allowed: Vec<&str> = allowed.split("::").collect();
    path.len() >= allowed.len() && path.iter().zip(&allowed).all(|(a, b)| a == b)
}

fn check_directions(source: &Source, tokens: &[Token], breaches: &mut Vec<Breach>) {
    let room = room_of(&source.path);
    let Some((_, may_know)) = KNOWS.iter().find(|(name, _)| *name == room) else {
        breaches.push(Breach {
            path: source.path.clone(),
            line: 1,
            what: format!("{room} is a new room: say in the table whom it may know"),
        });
        return;
    };
    // Within a program, `crate` is the program itself.
    if room == "bin" {
        return;
    }
    for path in crate_paths(&source.path, tokens) {
        let own = path.segments[0] == room;
        if !own
            && !may_know
                .iter()
                .any(|allowed| is_within(&path.segments, allowed))
        {
            breaches.push(Breach {
                path: source.path.clone(),
                line: path.line,
                what: format!("{room} may not know {}", path.segments.join("::")),
            });
        }
    }
}

fn check_outside(source: &Source, tokens: &[Token], breaches: &mut Vec<Breach>) {
    let module = module_of(&source.path);
    let in_tests = test_ranges(tokens);
    for outside in OUTSIDE {
        if outside
            .allowed
            .iter()
            .any(|allowed| is_within(&module, allowed))
        {
            continue;
        }
        for (at, token) in tokens.iter().enumerate() {
            let after_colons = at > 0 && tokens[at - 1].text == "::";
            let found = outside
                .words
                .iter()
                .any(|word| match word.strip_prefix("::") {
                    Some(word) => after_colons && token.text == word,
                    None => token.text == *word,
                });
            if found && !in_tests.iter().any(|range| range.contains(&at)) {
                breaches.push(Breach {
                    path: source.path.clone(),
                    line: token.line,
                    what: format!(
                        "{} may not touch {} ({})",
                        module.join("::"),
                        outside.what,
                        token.text
                    ),
                });
            }
        }
    }
}

fn check_form(source: &Source, tokens: &[Token], breaches: &mut Vec<Breach>) {
    let mut breach = |line, what: String| {
        breaches.push(Breach {
            path: source.path.clone(),
            line,
            what,
        });
    };
    if !source.text.trim_start().starts_with("//!") {
        breach(
            1,
            "the file does not begin with the question that it answers (//!)".to_owned(),
        );
    }
    let lines = source.text.lines().count();
    if lines > LINES_MAX {
        breach(
            lines,
            format!("{lines} lines; a file of {LINES_MAX} is two files"),
        );
    }
    for token in tokens.iter().filter(|token| token.text == "unsafe") {
        breach(token.line, "unsafe code".to_owned());
    }
}

const TEST_ATTRIBUTE: [&str; 7] = ["#", "[", "cfg", "(", "test", ")", "]"];

/// For each `#[cfg(test)] mod …` the place of its name.
fn test_module_names(tokens: &[Token]) -> impl Iterator<Item = usize> + '_ {
    let is_attribute = |at: &usize| {
        TEST_ATTRIBUTE.iter().enumerate().all(|(ahead, sign)| {
            tokens
                .get(at + ahead)
                .is_some_and(|token| token.text == *sign)
        })
    };
    (0..tokens.len()).filter(is_attribute).filter_map(|at| {
        let mut at = at + TEST_ATTRIBUTE.len();
        // Further attributes and a visibility may stand between: none of them has a `{` or a `;`.
        while !matches!(tokens.get(at)?.text.as_str(), "mod" | "{" | ";") {
            at += 1;
        }
        (tokens[at].text == "mod").then_some(at + 1)
    })
}

/// The modules with files of their own that exist in tests only.
fn test_modules(path: &str, tokens: &[Token]) -> Vec<Vec<String>> {
    test_module_names(tokens)
        .filter(|name| tokens.get(name + 1).is_some_and(|next| next.text == ";"))
        .map(|name| {
            let mut module = module_of(path);
            module.push(tokens[name].text.clone());
            module
        })
        .collect()
}

/// Which tokens stand within `#[cfg(test)] mod … { … }`.
fn test_ranges(tokens: &[Token]) -> Vec<std::ops::Range<usize>> {
    test_module_names(tokens)
        .filter(|name| tokens.get(name + 1).is_some_and(|next| next.text == "{"))
        .map(|name| {
            let mut depth = 0;
            let length = tokens[name + 1..].iter().position(|token| {
                match token.text.as_str() {
                    "{" => depth += 1,
                    "}" => depth -= 1,
                    _ => {}
                }
                depth == 0
            });
            name..length.map_or(tokens.len(), |length| name + 1 + length)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is wrong with a house of these files.
    fn wrong(files: &[(&str, &str)]) -> Vec<String> {
        let sources: Vec<Source> = files
            .iter()
            .map(|(path, text)| Source {
                path: (*path).to_owned(),
                text: format!("//! What for?\n{text}"),
            })
            .collect();
        check(&sources).iter().map(Breach::to_string).collect()
    }

    #[test]
    fn a_room_may_know_what_the_table_says_and_itself() {
        assert_eq!(
            wrong(&[
                (
                    "store/mod.rs",
                    "use crate::chat::change::Change; use crate::{types::Name, limits};"
                ),
                (
                    "wire/text.rs",
                    "use super::message::Request; use crate::wire::prepare::Prepare;"
                ),
                (
                    "server/mod.rs",
                    "use crate::{chat, journal, net, replica, store};"
                ),
                (
                    "bin/server.rs",
                    "use lastword::server; mod arguments; use crate::arguments::X;"
                ),
            ]),
            [""; 0]
        );
    }

    #[test]
    fn a_forbidden_import_is_found_with_its_line() {
        assert_eq!(
            wrong(&[(
                "chat/apply.rs",
                "use crate::types::Op;\nuse crate::store::Store;"
            )]),
            ["src/chat/apply.rs:3: chat may not know store::Store"]
        );
        assert_eq!(
            wrong(&[("store/mod.rs", "use crate::chat::Chat;")]),
            ["src/store/mod.rs:2: store may not know chat::Chat"]
        );
        assert_eq!(
            wrong(&[("types.rs", "fn f() -> crate::wire::message::Push {}")]),
            ["src/types.rs:2: types may not know wire::message::Push"]
        );
        assert_eq!(
            wrong(&[(
                "replica/mod.rs",
                "#[cfg(test)] mod tests { use super::super::journal::X; }"
            )]),
            ["src/replica/mod.rs:2: replica may not know journal::X"]
        );
        assert_eq!(
            wrong(&[(
                "replica/mod.rs",
                "#[cfg(test)] mod tests { use crate::{types::X, journal::Y}; }"
            )]),
            ["src/replica/mod.rs:2: replica may not know journal::Y"]
        );
        assert_eq!(
            wrong(&[("net/mod.rs", "use crate::*;")]),
            ["src/net/mod.rs:2: net may not know *"]
        );
    }

    #[test]
    fn every_room_is_in_the_table() {
        let found = wrong(&[("attic/mod.rs", "")]);
        assert_eq!(found.len(), 1);
        assert!(found[0].contains("attic is a new room"), "{found:?}");
    }

    #[test]
    fn sockets_clocks_files_and_the_database_are_for_few() {
        for (path, text) in [
            ("replica/mod.rs", "use mio::Poll;"),
            (
                "client/session.rs",
                "use std::net::{SocketAddr, TcpStream};",
            ),
            ("chat/mod.rs", "use std::time::Instant;"),
            ("journal/segment.rs", "let x = jiff::Timestamp::now();"),
            ("server/slot.rs", "use std::{fs, io};"),
            ("journal/segment.rs", "fn f(x: &std::fs::File) {}"),
            ("server/mod.rs", "use rusqlite::Connection;"),
        ] {
            assert!(!wrong(&[(path, text)]).is_empty(), "{path}: {text}");
        }
        for (path, text) in [
            ("net/turn.rs", "use mio::Poll; use std::time::Instant;"),
            ("client/driver.rs", "use mio::Poll; use std::time::Instant;"),
            ("client/driver/turn.rs", "use mio::Poll;"),
            ("store/worker.rs", "use std::time::Instant;"),
            ("journal/storage.rs", "use std::fs::File;"),
            ("journal/storage/real.rs", "use std::fs::File;"),
            ("store/sqlite.rs", "use std::fs; use rusqlite::Connection;"),
            (
                "replica/mod.rs",
                "fn f(now: Time) { self.now(); // Instant::now()\n }",
            ),
        ] {
            assert_eq!(wrong(&[(path, text)]), [""; 0], "{path}: {text}");
        }
    }

    #[test]
    fn unit_tests_may_touch_the_outside_and_nothing_after_them() {
        let within = "#[cfg(test)]\nmod tests { fn f() { std::fs::read(x); } }";
        assert_eq!(wrong(&[("journal/mod.rs", within)]), [""; 0]);
        let after = "#[cfg(test)]\nmod tests { fn f() {} }\nfn g() { std::fs::read(x); }";
        assert_eq!(
            wrong(&[("journal/mod.rs", after)]),
            ["src/journal/mod.rs:4: journal may not touch files (fs)"]
        );
        let elsewhere = "use std::fs::File;";
        assert_eq!(
            wrong(&[
                ("journal/mod.rs", "#[cfg(test)] mod tests;"),
                ("journal/tests.rs", elsewhere)
            ]),
            [""; 0]
        );
        assert_eq!(
            wrong(&[
                ("journal/mod.rs", "mod tests;"),
                ("journal/tests.rs", elsewhere)
            ])
            .len(),
            2,
            "both words are found in a module that is no test"
        );
    }

    #[test]
    fn files_have_a_question_a_length_and_no_unsafe_code() {
        let without_question = Source {
            path: "chat/mod.rs".to_owned(),
            text: "/// Not a module's.\nfn f() {}".to_owned(),
        };
        assert_eq!(check(&[without_question]).len(), 1);
        assert_eq!(
            wrong(&[("chat/mod.rs", &"\n".repeat(LINES_MAX - 1))]),
            [""; 0]
        );
        assert_eq!(wrong(&[("chat/mod.rs", &"\n".repeat(LINES_MAX))]).len(), 1);
        assert_eq!(
            wrong(&[("chat/mod.rs", "fn f() { unsafe { g() } }")]),
            ["src/chat/mod.rs:2: unsafe code"]
        );
        assert_eq!(
            wrong(&[("chat/mod.rs", "// unsafe\n#![forbid(unsafe_code)]")]),
            [""; 0]
        );
    }
}
