//! Are the README's tables true? (Its examples are replayed by the end-to-end tests, and with real
//! `nc` by `scripts/test-nc`.)

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use lastword::limits::*;

fn readme() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    std::fs::read_to_string(path).expect("there is a README.md")
}

/// The rows of the table whose head begins with this cell, without head and rule.
fn table(head: &str) -> Vec<Vec<String>> {
    let rows: Vec<Vec<String>> = readme()
        .lines()
        .skip_while(|line| !line.starts_with(&format!("| {head} |")))
        .skip(2)
        .take_while(|line| line.starts_with('|'))
        .map(|line| {
            line.trim_matches('|')
                .split(" |")
                .map(|cell| cell.trim().to_owned())
                .collect()
        })
        .collect();
    assert!(!rows.is_empty(), "README.md has no table of {head}");
    rows
}

fn bytes(bytes: usize) -> String {
    const KIB: usize = 1024;
    const MIB: usize = 1024 * KIB;
    match bytes {
        _ if bytes.is_multiple_of(MIB) => format!("{} MiB", bytes / MIB),
        _ if bytes.is_multiple_of(KIB) => format!("{} KiB", bytes / KIB),
        _ => format!("{bytes} bytes"),
    }
}

fn seconds(duration: Duration) -> String {
    format!("{} s", duration.as_secs())
}

#[test]
fn the_limits_are_those_of_the_program() {
    let limits = BTreeMap::from([
        ("name", format!("{NAME_BYTES_MAX} characters")),
        ("password, at least", bytes(PASSWORD_BYTES_MIN)),
        ("password, at most", bytes(PASSWORD_BYTES_MAX)),
        ("text of a message", bytes(TEXT_BYTES_MAX)),
        ("line before login", bytes(LINE_BYTES_MAX_BEFORE_LOGIN)),
        ("line after login", bytes(LINE_BYTES_MAX)),
        (
            "messages that HISTORY gives at once",
            HISTORY_MESSAGES_MAX.to_string(),
        ),
        ("sessions of an account", ACCOUNT_SESSIONS_MAX.to_string()),
        (
            "open requests of a session",
            SESSION_OPEN_REQUESTS_MAX.to_string(),
        ),
        ("time to log in, text", seconds(LOGIN_TIME_MAX_TEXT)),
        ("time to log in, frames", seconds(LOGIN_TIME_MAX_BINARY)),
        (
            "errors in a row before login",
            ERRORS_BEFORE_LOGIN_MAX.to_string(),
        ),
        (
            "what waits to be sent on a connection",
            bytes(SEND_QUEUE_BYTES_MAX),
        ),
        ("time that this may last", seconds(SEND_QUEUE_FULL_MAX)),
        (
            "wrong passwords without a wait",
            LOGIN_FAILURES_FREE.to_string(),
        ),
        ("longest such wait", seconds(LOGIN_WAIT_MAX)),
        ("password checks that wait", PASSWORD_QUEUE_MAX.to_string()),
        ("servers in sync", MEMBERS_MAX.to_string()),
        ("servers that have an id", SERVERS_MAX.to_string()),
    ]);
    let written = table("limit");
    for row in &written {
        assert_eq!(limits.get(row[0].as_str()), Some(&row[1]), "{}", row[0]);
    }
    let labels: BTreeSet<&str> = written.iter().map(|row| row[0].as_str()).collect();
    assert_eq!(labels, limits.keys().copied().collect());
}

/// Whether a line of `--help` goes on with what an option does, which may begin with another option.
fn is_continued(line: &str) -> bool {
    line.starts_with("       ")
}

/// What `--help` says about each option: the text from its name to the next one.
fn help(program: &str) -> BTreeMap<String, String> {
    let output = Command::new(program)
        .arg("--help")
        .output()
        .expect("the program runs");
    let text = String::from_utf8(output.stdout).expect("help is text");
    let mut options: BTreeMap<String, String> = BTreeMap::new();
    let mut name = String::new();
    for line in text.lines() {
        if let Some(option) = line
            .split_whitespace()
            .find(|word| word.starts_with("--"))
            .filter(|_| line.trim_start().starts_with('-') && !is_continued(line))
        {
            name = option.to_owned();
        }
        let said = options.entry(name.clone()).or_default();
        // Where lines are broken depends on the terminal.
        for word in line.split_whitespace() {
            said.push_str(word);
            said.push(' ');
        }
    }
    options.remove("");
    options.remove("--help");
    options.remove("--version");
    options
}

#[test]
fn the_servers_options_are_those_that_it_has() {
    let help = help(env!("CARGO_BIN_EXE_server"));
    let mut written = BTreeSet::new();
    for row in table("option") {
        let cell = row[0].trim_matches('`');
        if !cell.starts_with("--") {
            continue;
        }
        let name = cell.split(' ').next().expect("a first word");
        let said = help
            .get(name)
            .unwrap_or_else(|| panic!("the server has no {name}"));
        if let Some((_, value)) = cell.split_once(' ') {
            assert!(
                said.contains(&format!("{name} <{value}>")),
                "{cell}: {said}"
            );
        }
        if row[1].starts_with(|c: char| c.is_ascii_digit()) {
            assert!(said.contains(&format!("[default: {}]", row[1])), "{said}");
        }
        written.insert(name.to_owned());
    }
    assert_eq!(written, help.into_keys().collect());
}

#[test]
fn every_command_of_text_mode_is_in_the_readme() {
    let written: String = table("request")
        .into_iter()
        .map(|row| format!("{} ", row[0].replace(['`', ','], " ")))
        .collect();
    let words: BTreeSet<&str> = written
        .split_whitespace()
        .filter(|word| word.chars().all(|c| c.is_ascii_uppercase()))
        .collect();
    let commands: BTreeSet<&str> = lastword::client::command::USAGE
        .iter()
        .map(|(command, ..)| *command)
        .collect();
    assert_eq!(words, commands);
}

/// How a title is linked to: in lower case, without punctuation.
fn anchor_of(title: &str) -> String {
    let words = title.trim_start_matches('#').trim().to_lowercase();
    words
        .chars()
        .filter(|c| c.is_alphanumeric() || " -".contains(*c))
        .map(|c| if c == ' ' { '-' } else { c })
        .collect()
}

#[test]
fn what_the_readme_links_to_is_there() {
    let top = Path::new(env!("CARGO_MANIFEST_DIR"));
    let readme = readme();
    let links: Vec<&str> = readme
        .split("](")
        .skip(1)
        .filter_map(|rest| rest.split(')').next())
        .filter(|link| !link.starts_with("https://"))
        .collect();
    assert!(links.len() >= 5, "{links:?}");
    for link in links {
        match link.strip_prefix('#') {
            Some(anchor) => {
                let is_title = |line: &str| line.starts_with('#') && anchor_of(line) == anchor;
                assert!(readme.lines().any(is_title), "no title for #{anchor}");
            }
            None => assert!(top.join(link).exists(), "there is no {link}"),
        }
    }
}
