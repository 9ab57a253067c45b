//! Is everything there that was acknowledged, once, in order, whichever way one looks?

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::SocketAddr;
use std::process::Command;

use lastword::types::SessionId;
use lastword::wire::message::Deliver;

use crate::common::PASSWORD;
use crate::common::binary::BinaryClient;
use crate::common::text::{Message, TextClient, ids};

use tempfile::TempDir;

use super::ledger::Told;
use super::{BINARY_NAMES, Ledger, TEXT_NAMES, session};

/// What each account sees.
pub type Logs = BTreeMap<&'static str, Vec<Message>>;

/// Compares what the clients were told with what the server at this address says now. Answers what
/// each account sees there.
pub fn check_everything(server: SocketAddr, ledger: &Ledger) -> Logs {
    let told = ledger.told();
    let mut logs = BTreeMap::new();
    for name in BINARY_NAMES.into_iter().chain(TEXT_NAMES) {
        let log = all_ways_to_see(server, name);
        check_unread(server, name, &log, &told);
        logs.insert(name, log);
    }
    check_messages(&logs, &told);
    check_accounts(server, &told);
    logs
}

/// Fails if the server at this address says anything else than another one has said: there is one
/// order, on all of them.
pub fn check_same(server: SocketAddr, logs: &Logs) {
    for (name, log) in logs {
        assert_same(
            "another server",
            name,
            &login(server, name).messages("LOG"),
            log,
        );
    }
}

fn login(server: SocketAddr, name: &str) -> TextClient {
    let mut client = TextClient::connect(server);
    client.login_with(name, PASSWORD);
    client
}

/// The log of an account, which is the same by every way there is.
fn all_ways_to_see(server: SocketAddr, name: &str) -> Vec<Message> {
    let mut text = login(server, name);
    let log = text.messages("LOG");
    let increasing = log.is_sorted_by(|one, other| one.id < other.id);
    assert!(
        increasing,
        "the log of {name} is out of order: {:?}",
        ids(&log)
    );
    let times_increase = log.is_sorted_by(|one, other| one.time <= other.time);
    assert!(times_increase, "times of {name} go back");

    let mut pages = Vec::new();
    let mut before = u64::MAX;
    loop {
        let page = text.messages(&format!("HISTORY * 1000 {before}"));
        let Some(first) = page.first() else { break };
        before = first.id;
        pages.splice(0..0, page);
    }
    assert_same("HISTORY", name, &pages, &log);

    let mut binary = BinaryClient::connect(server);
    binary.login(name, own_session(name), Deliver::Nothing);
    assert_same("LOG in frames", name, &binary.log(), &log);

    let printed = by_the_client(server, name, &["log"]);
    assert_same("the client's log", name, &printed, &log);

    let with: BTreeSet<_> = log.iter().map(|message| other_end(message, name)).collect();
    for other in with {
        let shown = text.messages(&format!("HISTORY {other} 1000"));
        assert!(
            shown
                .iter()
                .all(|message| other_end(message, name) == other)
        );
        let arguments = ["history", other, "--limit", "1000"];
        let printed = by_the_client(server, name, &arguments);
        assert_same("the client's history", name, &printed, &shown);
    }
    log
}

/// Fails with the first difference: there are thousands of messages.
fn assert_same(how: &str, name: &str, seen: &[Message], expected: &[Message]) {
    let both = seen.iter().zip(expected);
    let different = both.take_while(|(one, other)| one == other).count();
    assert_eq!(
        (seen.len(), seen.get(different)),
        (expected.len(), expected.get(different)),
        "{how} shows {name} something else at {different}"
    );
}

/// Messages as the client prints them for programs.
fn by_the_client(server: SocketAddr, name: &str, arguments: &[&str]) -> Vec<Message> {
    let folder = TempDir::with_prefix("lastword-test-").expect("a folder for the password");
    let password_file = folder.path().join("password");
    std::fs::write(&password_file, format!("{PASSWORD}\n")).expect("a file for the password");
    let output = Command::new(env!("CARGO_BIN_EXE_client"))
        .args(["--server", &server.to_string(), "--user", name])
        .arg("--password-file")
        .arg(&password_file)
        .args(arguments)
        .arg("--json")
        .output()
        .expect("the client can be run");
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{:?}: {complaint}", output.status);
    let lines = String::from_utf8(output.stdout).expect("JSON is UTF-8");
    lines.lines().map(parse_json).collect()
}

fn parse_json(line: &str) -> Message {
    let json: serde_json::Value = serde_json::from_str(line).expect("one JSON object in each line");
    let word = |key: &str| json[key].as_str().expect(key).to_string();
    Message {
        id: json["id"].as_u64().expect("id"),
        time: word("time"),
        from: word("from"),
        to: word("to"),
        text: word("text"),
    }
}

/// Unread is what came to the account after its cursor.
fn check_unread(server: SocketAddr, name: &str, log: &[Message], told: &Told) {
    let cursor = told.read.get(name).copied().unwrap_or(0);
    let unread = ids(&TextClient::connect(server).login_unread(name));
    let received = log.iter().filter(|message| message.to == name);
    let expected: Vec<u64> = received
        .map(|message| message.id)
        .filter(|id| *id > cursor)
        .collect();
    // A cursor that was asked for and not confirmed may have moved; then it moved further.
    let moved = expected.ends_with(&unread);
    let may_have_moved = TEXT_NAMES.contains(&name);
    assert!(
        unread == expected || may_have_moved && moved,
        "{name} has read up to {cursor}: {} from {:?} are unread, not {} from {:?}",
        unread.len(),
        unread.first(),
        expected.len(),
        expected.first(),
    );
}

/// Every acknowledged message is there once, at both ends; nothing is there that nobody sent, or
/// twice; and the messages of one sender stand in the order in which they were sent.
fn check_messages(logs: &BTreeMap<&str, Vec<Message>>, told: &Told) {
    let mut all: BTreeMap<u64, &Message> = BTreeMap::new();
    for (name, log) in logs {
        for message in log {
            let known = *all.entry(message.id).or_insert(message);
            assert_eq!(known, message, "{name} sees another message");
        }
    }
    let mut by_text: HashMap<&str, u64> = HashMap::new();
    let mut last_number: HashMap<&str, u64> = HashMap::new();
    for (id, message) in &all {
        let twice = by_text.insert(&message.text, *id);
        assert_eq!(twice, None, "there twice, the second time as {message:?}");
        let (name, number) = message.text.split_once(' ').expect("a name and a number");
        assert_eq!(name, message.from);
        let number: u64 = number.parse().expect("a number");
        let before = last_number.insert(name, number).unwrap_or(0);
        assert!(number >= before, "{message:?} comes after {before}");
        for end in [&message.from, &message.to] {
            let log = &logs[end.as_str()];
            let found = log.binary_search_by_key(id, |message| message.id);
            assert!(found.is_ok(), "{end} does not see {message:?}");
        }
    }
    for (id, sent) in &told.sent {
        let found = all.get(id);
        let found = found.map(|message| (&message.from, &message.to, &message.text));
        let expected = Some((&sent.from, &sent.to, &sent.text));
        assert_eq!(found, expected, "acknowledged as {id}");
    }
    // Frames are asked again until they are answered, so that there is nothing in between.
    let acknowledged = |message: &&&Message| !told.sent.contains_key(&message.id);
    let unknown = all.values().filter(acknowledged);
    for message in unknown {
        assert!(TEXT_NAMES.contains(&&*message.from), "{message:?}");
    }
}

fn check_accounts(server: SocketAddr, told: &Told) {
    let answer = login(server, TEXT_NAMES[0]).ask("LIST");
    let listed = answer.lines.iter().map(|line| line.split(' ').nth(1));
    let listed: BTreeSet<String> = listed
        .map(|name| name.expect("a name").to_string())
        .collect();
    assert_eq!(listed, told.created);
}

/// A session for each account, beside those of its clients.
fn own_session(name: &str) -> SessionId {
    let names = BINARY_NAMES.into_iter().chain(TEXT_NAMES);
    let place = names.take_while(|other| *other != name).count();
    session(1000 + place as u64)
}

fn other_end<'m>(message: &'m Message, name: &str) -> &'m str {
    if message.from == name {
        &message.to
    } else {
        &message.from
    }
}
