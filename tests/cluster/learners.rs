//! Can a server that lacks something lead? One that is still being fed, one with an old disk, with
//! none, and with a damaged one.

use std::fs::{self, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use lastword::types::{Name, SessionId, Text};
use lastword::wire::message::{Deliver, Request};

use crate::common::binary::BinaryClient;
use crate::common::files::{files, last_record};
use crate::common::text::texts;
use crate::rig::{Cluster, Server};

/// More than a learner may be behind when it is admitted, several times.
const MESSAGES: u64 = 600;
/// The length of each.
const MESSAGE_BYTES: usize = 16_000;

/// Fills the log with messages from alice to alice, all of which are read.
fn fill(cluster: &Cluster) {
    const FIRST: u64 = 100;
    const AHEAD: u64 = 50;
    let mut client = BinaryClient::connect(cluster[cluster.primary()].member());
    client.login("alice", SessionId(1), Deliver::Nothing);
    let text = "x".repeat(MESSAGE_BYTES);
    let request = Request::Send {
        to: Name::parse("alice").expect("a name"),
        text: Text::parse(&text).expect("a text"),
    };
    for number in FIRST..FIRST + MESSAGES {
        let lowest_open = number.saturating_sub(AHEAD).max(FIRST);
        client
            .say(number, lowest_open, &request)
            .expect("it is there");
        if number >= FIRST + AHEAD {
            client.try_answer().expect("an answer, and not the end");
        }
    }
    for _ in 0..AHEAD {
        client.try_answer().expect("an answer, and not the end");
    }
    let mut reader = cluster.login("alice");
    reader.expect(&format!("ACK {}", u64::MAX), "OK");
}

/// Everything a server has, as it is on its disk.
fn copy(from: &Path, to: &Path) {
    let status = Command::new("cp").arg("-a").args([from, to]).status();
    assert!(status.expect("cp can be run").success());
}

/// Waits until a server is being fed, or has been.
fn until_fed(server: &Server) {
    server.until("is being fed", |status| {
        ["learner", "backup"].contains(&&*status.role)
    });
}

#[test]
fn a_half_fed_server_never_serves() {
    let mut cluster = Cluster::of_three();
    cluster.account("alice");
    cluster[2].kill();
    fill(&cluster);
    let mut alice = cluster.login("alice");
    let last = alice.send("alice", "the last word");

    // It loses its disk, and is killed while it gets a new one.
    fs::remove_dir_all(cluster.slot(2)).expect("the slot is there");
    cluster[2].start();
    until_fed(&cluster[2]);
    cluster[2].kill();
    cluster[2].start();
    until_fed(&cluster[2]);
    // Now the one that feeds it.
    cluster[0].kill();
    // Whoever leads now has everything; the third, if it was quick enough to be in sync.
    let mut alice = cluster.login("alice");
    assert_eq!(alice.messages("HISTORY * 1")[0].id, last);
    cluster.until_all_in_sync();
    cluster[1].kill();
    assert_eq!(cluster.primary(), 2);
    assert_eq!(cluster.login("alice").messages("HISTORY * 1")[0].id, last);
    assert_eq!(
        cluster.login("alice").messages("LOG").len() as u64,
        MESSAGES + 1
    );
}

#[test]
fn a_learner_whose_members_are_all_dead_waits_for_them() {
    let mut cluster = Cluster::of_three();
    cluster.account("alice");
    cluster[2].kill();
    fill(&cluster);
    fs::remove_dir_all(cluster.slot(2)).expect("the slot is there");
    cluster[2].start();
    until_fed(&cluster[2]);
    cluster[0].kill();
    cluster[1].kill();
    // On a quick machine it had everything before the others were killed: then it may lead.
    let said = cluster[2].until("waits, or leads", |status| {
        status.serves() || status.role == "waiting"
    });
    if said.serves() {
        assert_eq!(
            cluster.login("alice").messages("LOG").len() as u64,
            MESSAGES
        );
    }
    cluster[0].start();
    cluster[1].start();
    cluster.until_all_in_sync();
    assert_eq!(
        cluster.login("alice").messages("LOG").len() as u64,
        MESSAGES
    );
}

#[test]
fn an_emptied_disk_learns_and_an_old_copy_is_no_voter() {
    let mut cluster = Cluster::of_three();
    let mut alice = cluster.account("alice");
    alice.send("alice", "first");
    cluster[2].kill();
    let kept = cluster.folder().join("kept");
    copy(&cluster.slot(2), &kept);
    cluster[2].start();
    cluster.until_in_sync(2);
    alice.send("alice", "second");
    cluster[2].kill();
    alice.send("alice", "third");

    // The old copy, while the others are down: it does not know the second, which it once said OK
    // to, and must not lead.
    fs::remove_dir_all(cluster.slot(2)).expect("the slot is there");
    copy(&kept, &cluster.slot(2));
    cluster[0].kill();
    cluster[1].kill();
    cluster[2].start();
    cluster[2].until("waits", |status| {
        status
            .ready
            .as_ref()
            .is_err_and(|why| why.starts_with("waiting for "))
    });
    cluster[0].start();
    cluster[1].start();
    cluster.until_all_in_sync();
    let expected = ["first", "second", "third"];
    assert_eq!(texts(&cluster.login("alice").messages("LOG")), expected);

    // No disk at all, of each in turn.
    for place in 0..3 {
        cluster[place].kill();
        fs::remove_dir_all(cluster.slot(place)).expect("the slot is there");
        cluster.primary();
        cluster[place].start();
        cluster.until_in_sync(place);
    }
    for _ in 0..2 {
        let killed = cluster.primary();
        cluster[killed].kill();
        let log = cluster.login("alice").messages("LOG");
        assert_eq!(texts(&log), expected);
    }
    cluster.assert_well();
}

#[test]
fn the_copy_of_an_old_disk_joins_while_the_others_serve() {
    let mut cluster = Cluster::of_three();
    let mut alice = cluster.account("alice");
    alice.send("alice", "first");
    cluster[2].kill();
    let kept = cluster.folder().join("kept");
    copy(&cluster.slot(2), &kept);
    for text in ["second", "third"] {
        cluster[2].start();
        cluster.until_in_sync(2);
        alice.send("alice", text);
        cluster[2].kill();
    }
    fs::remove_dir_all(cluster.slot(2)).expect("the slot is there");
    copy(&kept, &cluster.slot(2));
    cluster[2].start();
    cluster.until_in_sync(2);
    cluster[0].kill();
    cluster.primary();
    cluster[1].kill();
    assert_eq!(cluster.primary(), 2);
    let log = cluster.login("alice").messages("LOG");
    assert_eq!(texts(&log), ["first", "second", "third"]);
}

#[test]
fn a_torn_end_of_the_journal_is_cut_off_and_nothing_is_missing() {
    let mut cluster = Cluster::of_three();
    let mut alice = cluster.account("alice");
    for n in 0..20 {
        alice.send("alice", &format!("message number {n:02}."));
    }
    // One alone, while the others serve; then all at once.
    for places in [vec![2], vec![0], vec![0, 1, 2]] {
        for place in &places {
            cluster[*place].kill();
        }
        for place in &places {
            tear(&cluster.slot(*place));
        }
        for place in &places {
            cluster[*place].start();
        }
        cluster.until_all_in_sync();
        let log = cluster.login("alice").messages("LOG");
        assert_eq!(log.len(), 20, "after {places:?}");
    }
    cluster.assert_well();
}

/// Leaves behind the last record what a crash leaves of a next one that was never synced.
fn tear(slot: &Path) {
    let (segment, end) = end_of_journal(slot);
    let mut file = OpenOptions::new()
        .write(true)
        .open(segment)
        .expect("a segment");
    file.seek(SeekFrom::Start(end)).expect("a place in it");
    file.write_all(b"what stood here before")
        .expect("room on the disk");
}

/// Where the last record ends.
fn end_of_journal(slot: &Path) -> (PathBuf, u64) {
    let mut segments: Vec<PathBuf> = files(slot);
    segments.retain(|path| path.extension().is_some_and(|it| it == "segment"));
    segments.sort();
    let mut ends = segments.into_iter().rev().filter_map(|segment| {
        let bytes = fs::read(&segment).expect("a segment");
        // The next one may be there and hold nothing yet.
        let (_, end) = last_record(&bytes)?;
        Some((segment, end as u64))
    });
    ends.next().expect("a record in some segment")
}
