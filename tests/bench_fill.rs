//! Does a server find in a filled folder what would be there if clients had sent it?

// Shared with the tests of single servers, which need more than these.
#[allow(dead_code)]
#[path = "end_to_end/common/mod.rs"]
mod common;

use std::collections::BTreeMap;
use std::fs;
use std::io::Read as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use common::files::{assert_untouched, listing};
use common::server::{SERVER, TestServer, free_port, loopback, wait_for};
use common::{PASSWORD, eventually};
use rustix::process::{Pid, Signal, kill_process};

const ACCOUNTS: usize = 20;
const MESSAGES: u64 = 300;
const SIZE: usize = 64;

fn fill(data: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_bench"))
        .args(["fill", "--password", PASSWORD])
        .args(["--member", &loopback(free_port()).to_string()])
        .args(["--accounts", &ACCOUNTS.to_string()])
        .args(["--messages", &MESSAGES.to_string()])
        .args(["--size", &SIZE.to_string()])
        .arg("--data")
        .arg(data)
        .output()
        .expect("bench can be run")
}

fn filled_server() -> TestServer {
    TestServer::start_on(|data| {
        let output = fill(data);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{said}");
        assert_eq!(said, "", "nobody watches");
        let told = String::from_utf8(output.stdout).expect("what it says is text");
        assert!(told.starts_with("20 accounts (a0 to a19, "), "{told}");
        assert!(told.contains("300 messages of 64 bytes"), "{told}");
    })
}

#[test]
fn a_server_finds_every_message_and_goes_on() {
    let mut server = filled_server();
    // By number, how often each was found, and as what.
    let mut found: BTreeMap<u64, Vec<(u64, String, String)>> = BTreeMap::new();
    for account in 0..ACCOUNTS {
        let name = format!("a{account}");
        let mut client = server.text();
        client.login(&name);
        let log = client.messages("LOG");
        assert_eq!(client.messages("HISTORY * 1000"), log);
        assert!(log.is_sorted_by_key(|message| message.id));
        for message in log {
            assert_eq!(message.text.len(), SIZE);
            let number = message
                .text
                .split(' ')
                .next()
                .and_then(|it| it.parse().ok());
            let number = number.expect("a text begins with its number");
            assert!(message.from == name || message.to == name);
            let entry = (message.id, message.from, message.to);
            found.entry(number).or_default().push(entry);
        }
    }
    assert!(found.keys().copied().eq(0..MESSAGES));
    for seen in found.values() {
        assert_eq!(
            seen.len(),
            2,
            "by its sender and by its recipient: {seen:?}"
        );
        assert_eq!(seen[0], seen[1]);
    }
    let ids: Vec<u64> = found.values().map(|seen| seen[0].0).collect();
    assert!(
        ids.is_sorted(),
        "they were sent in the order of their numbers"
    );

    // What comes now stands behind it, and survives a crash with it.
    let mut client = server.login("a3");
    let listed = client.ask("LIST");
    assert_eq!(listed.last, format!("OK {ACCOUNTS} accounts"));
    let id = client.send("a17", "and now for something new");
    assert!(id > ids[ids.len() - 1]);
    server.kill();
    server.restart();
    let unread = server.text().login_unread("a17");
    assert_eq!(unread.len(), 1);
    let expected = (id, "a3", "a17", "and now for something new");
    assert_eq!(unread[0].summary(), expected);
    server.assert_well();
}

#[test]
fn a_folder_with_something_in_it_stays_as_it_is() {
    let folder = tempfile::tempdir().expect("a folder for the test");
    let data = folder.path().join("data");
    fs::create_dir(&data).expect("it is a new one");
    fs::write(data.join("thesis.txt"), "all of it").expect("room on the disk");
    let assert_refused = |data: &Path| {
        let before = listing(data);
        let output = fill(data);
        assert_eq!(output.status.code(), Some(1));
        assert_eq!(output.stdout, b"");
        let said = String::from_utf8(output.stderr).expect("what it says is text");
        let sentence = format!("bench: {} is not empty: ", data.display());
        assert!(said.starts_with(&sentence), "{said}");
        assert_eq!(said.lines().count(), 1, "{said}");
        assert_untouched(data, &before);
    };
    assert_refused(&data);

    // Nor is filled again what was filled before.
    let filled = folder.path().join("filled");
    assert!(fill(&filled).status.success());
    assert_refused(&filled);
}

#[test]
fn a_folder_that_was_not_filled_to_its_end_is_no_server_s_and_is_not_filled_again() {
    let folder = tempfile::tempdir().expect("a folder for the test");
    let data = folder.path().join("data");
    let draft = data.join("unfinished-fill");
    let mut filling = Command::new(env!("CARGO_BIN_EXE_bench"))
        .args(["fill", "--accounts", "20", "--messages", "1000000000"])
        .args(["--member", &loopback(free_port()).to_string()])
        .arg("--data")
        .arg(&data)
        .stdout(Stdio::null())
        .spawn()
        .expect("bench can be run");
    let superblock = draft.join("server-1").join("superblock");
    eventually("a server's data", || superblock.exists().then_some(()));
    kill_process(Pid::from_child(&filling), Signal::INT).expect("SIGINT goes out");
    let status = wait_for(&mut filling).expect("it ends");
    assert!(!status.success());
    let before = listing(&data);

    let port = free_port();
    let mut server = Command::new(SERVER)
        .args(["127.0.0.1", &port.to_string(), "1", "--backups", "0"])
        .arg("--data")
        .arg(&data)
        .env_remove("RUST_LOG")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the server can be run");
    let status = wait_for(&mut server).expect("it does not start");
    assert!(!status.success());
    let mut said = String::new();
    let mut stderr = server.stderr.take().expect("it is a pipe");
    stderr.read_to_string(&mut said).expect("it is text");
    assert!(said.contains(&draft.display().to_string()), "{said}");
    assert_untouched(&data, &before);

    let output = fill(&data);
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).expect("what it says is text");
    let sentence = format!(
        "bench: {} is a filling that has not come to its end",
        draft.display()
    );
    assert!(said.starts_with(&sentence), "{said}");
    assert_untouched(&data, &before);

    // With what is left gone, it is filled as any other.
    fs::remove_dir_all(&draft).expect("it is ours");
    assert!(fill(&data).status.success());
    let names = fs::read_dir(&data).expect("it is there");
    let names: Vec<_> = names
        .map(|it| it.expect("it can be read").file_name())
        .collect();
    assert_eq!(names, ["server-1"]);
}

#[test]
fn passwords_that_no_account_may_have_are_refused_before_anything_is_made() {
    let folder = tempfile::tempdir().expect("a folder for the test");
    let data = folder.path().join("data");
    let output = Command::new(env!("CARGO_BIN_EXE_bench"))
        .args(["fill", "--password", "short", "--data"])
        .arg(&data)
        .output()
        .expect("bench can be run");
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).expect("what it says is text");
    assert!(said.contains("choose another --password"), "{said}");
    assert!(!data.exists());
}

#[test]
fn what_a_server_takes_is_a_row_of_a_table_and_the_folder_is_gone() {
    let folder = tempfile::tempdir().expect("a folder for the test");
    let output = Command::new(env!("CARGO_BIN_EXE_bench"))
        .args(["costs", "--messages", "400,800"])
        .args(["--program", SERVER, "--folder"])
        .arg(folder.path())
        .output()
        .expect("bench can be run");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let table = String::from_utf8(output.stdout).expect("what it says is text");
    let rows: Vec<Vec<&str>> = table
        .lines()
        .map(|line| line.trim_matches('|').split('|').map(str::trim).collect())
        .collect();
    assert_eq!(rows.len(), 4, "{table}");
    assert_eq!(rows[2][..2], ["400", "4"]);
    assert_eq!(rows[3][..2], ["800", "8"]);
    assert!(rows.iter().all(|row| row.len() == rows[0].len()), "{table}");
    let left = fs::read_dir(folder.path()).expect("it is there").count();
    assert_eq!(left, 0);
}
