//! What does a server make of a journal that is not as it left it?

use std::fs;
use std::path::{Path, PathBuf};

use crate::common::files::{assert_untouched, files, find_last, last_record, listing};
use crate::common::server::TestServer;

/// Where a text stands in the journal. The store's files hold it, too, but are not meant.
fn in_the_journal(data: &Path, text: &str) -> (PathBuf, usize) {
    let found = files(data).into_iter().find_map(|path| {
        let segment = path
            .extension()
            .is_some_and(|extension| extension == "segment");
        let bytes = segment.then(|| fs::read(&path).expect("a segment"))?;
        find_last(&bytes, text.as_bytes()).map(|place| (path, place))
    });
    found.unwrap_or_else(|| panic!("{text:?} is in no segment of the journal"))
}

fn change(path: &Path, how: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(path).expect("a segment");
    how(&mut bytes);
    fs::write(path, bytes).expect("a segment");
}

#[test]
fn a_flipped_bit_before_the_end_is_told_with_its_place() {
    let mut server = TestServer::start();
    let mut alice = server.account("alice");
    for n in 0..20 {
        alice.send("alice", &format!("message number {n:02}."));
    }
    server.kill();
    let (path, place) = in_the_journal(&server.data(), "message number 07.");
    change(&path, |bytes| bytes[place + 3] ^= 0x10);

    // Only the store may be looked at, and does not stay as it was by that.
    let journal = path.parent().expect("a segment lies in a folder");
    let before = listing(journal);
    let status = server.restart_refused();
    assert_eq!(status.code(), Some(1));
    let said = server.said();
    let complaint = said.lines().last().expect("a complaint");
    let file = path
        .file_name()
        .and_then(|name| name.to_str())
        .expect("a name");
    assert!(complaint.contains(file), "{complaint}");
    // The record that holds the text begins not far before it.
    let numbers = complaint.split(|c: char| !c.is_ascii_digit());
    let mut numbers = numbers.filter_map(|number| number.parse::<usize>().ok());
    let near = |offset: usize| offset <= place + 3 && offset + 256 > place;
    assert!(numbers.any(near), "no offset near {place} in {complaint}");
    assert_untouched(journal, &before);

    // With the bit as it was, everything is.
    change(&path, |bytes| bytes[place + 3] ^= 0x10);
    server.restart();
    assert_eq!(server.login("alice").messages("LOG").len(), 20);
}

#[test]
fn what_was_not_finished_at_the_end_is_cut_off() {
    let mut server = TestServer::start();
    let mut alice = server.account("alice");
    for n in 0..20 {
        alice.send("alice", &format!("message number {n:02}."));
    }
    server.kill();
    let (path, _) = in_the_journal(&server.data(), "message number 19.");
    // What a crash leaves of a next record: its first bytes, and what stood there before.
    let begin_again = |bytes: &[u8], length| bytes[..length].to_vec();
    let last = last_record(&fs::read(&path).expect("a segment"));
    let (begin, _) = last.expect("a record");
    let record = fs::read(&path).expect("a segment")[begin..].to_vec();
    for piece in [
        begin_again(&record, 1),
        begin_again(&record, 4),
        begin_again(&record, 31),
        b"what stood here before".to_vec(),
        vec![0xff; 100],
    ] {
        change(&path, |bytes| {
            let (_, end) = last_record(bytes).expect("a record");
            bytes[end..end + piece.len()].copy_from_slice(&piece);
        });
        server.restart();
        assert_eq!(server.login("alice").messages("LOG").len(), 20, "{piece:?}");
        server.kill();
    }
}

#[test]
fn a_server_without_its_store_makes_it_again() {
    let mut server = TestServer::start();
    let mut alice = server.account("alice");
    let sent: Vec<u64> = (0..20)
        .map(|n| alice.send("alice", &n.to_string()))
        .collect();
    alice.expect(&format!("ACK {}", sent[9]), "OK");
    server.kill();
    // Nothing was checkpointed so early: the journal holds everything.
    for path in files(&server.data()) {
        let bytes = fs::read(&path).expect("a file");
        let name = path
            .file_name()
            .and_then(|name| name.to_str())
            .expect("a name");
        if bytes.starts_with(b"SQLite format 3\0")
            || name.ends_with("-wal")
            || name.ends_with("-shm")
        {
            fs::remove_file(&path).expect("a file of the store");
        }
    }
    server.restart();
    let mut alice = server.text();
    assert_eq!(alice.login_unread("alice").len(), 10);
    assert_eq!(alice.messages("LOG").len(), 20);
}
