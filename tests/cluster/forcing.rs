//! What does an operator's order to lead alone (`--force-primary`) do? What it costs is said before
//! and after; beside servers that serve it does nothing; and it is carried out once.

use std::fs;

use crate::common::files::files;
use crate::common::server::SERVER;
use crate::common::text::{TextClient, texts};
use crate::rig::Cluster;
use crate::rig::terminal::Terminal;

/// Where the first record of a segment is.
const FIRST_RECORD: usize = 4096;
const FORCE: &[&str] = &["--force-primary", "--yes"];

/// Two servers that wait for a third whose disk is lost, and which alone had the last message.
fn last_disk_lost() -> Cluster {
    let cluster = last_one_down();
    fs::remove_dir_all(cluster.slot(2)).expect("the slot is there");
    cluster
}

/// All have ended, one after the other, and the last one alone had the last message.
fn last_one_down() -> Cluster {
    let mut cluster = Cluster::of_three_that_notice_silence();
    let mut alice = cluster.account("alice");
    alice.send("alice", "everybody has this");
    cluster.until_all_in_sync();
    cluster.end_one_by_one("only the last one has this");
    cluster
}

/// Waits until this server is not let lead, and waits for another.
fn until_it_waits(cluster: &Cluster, place: usize) {
    cluster[place].until("waits", |status| {
        let why = status.ready.as_ref().err();
        why.is_some_and(|why| why.starts_with("waiting for server"))
    });
}

#[test]
fn a_forced_server_says_what_is_lost_and_serves_and_the_others_join() {
    let mut cluster = last_disk_lost();
    cluster[0].start();
    cluster[1].start();
    until_it_waits(&cluster, 0);
    // The first one has less than the second.
    cluster[0].kill();
    cluster[0].add_words(FORCE);
    cluster[0].start();
    cluster[0].until_it_says("holds newer messages: force that one");
    cluster[1].kill();
    cluster[1].add_words(FORCE);
    cluster[1].start();
    assert_eq!(cluster.primary(), 1);
    let said = cluster[1].said();
    let before = said
        .find("this server's log ends with op ")
        .expect("before");
    let after = said.find("this server leads alone from now on, with its log up to op ");
    assert!(after.expect("after") > before, "{said}");
    cluster[2].start();
    assert_eq!(cluster.until_all_in_sync(), 1);
    let log = cluster.login("alice").messages("LOG");
    assert_eq!(texts(&log), ["everybody has this"]);
    cluster.assert_well();
}

#[test]
fn an_order_that_is_left_behind_has_no_effect_the_second_time() {
    let mut cluster = last_disk_lost();
    cluster[0].add_words(FORCE);
    cluster[0].start();
    assert_eq!(cluster.primary(), 0);
    for place in [1, 2] {
        cluster[place].start();
        cluster.until_in_sync(place);
    }
    cluster[0].kill();
    let primary = cluster.primary();
    let first = cluster.login("alice").send("alice", "while it was away");
    cluster[0].start();
    cluster[0].until_it_says("--force-primary is refused");
    cluster.until_all_in_sync();
    // All down, and only the one with the order comes back: others have more, so it waits.
    cluster[0].kill();
    let second = cluster
        .login("alice")
        .send("alice", "while it was away again");
    for place in [1, 2] {
        cluster[place].kill();
    }
    cluster[0].start();
    until_it_waits(&cluster, 0);
    cluster[0].until_it_says("this order was given at an earlier start");
    for place in [1, 2] {
        cluster[place].start();
    }
    cluster.until_all_in_sync();
    let log = cluster.login("alice").messages("LOG");
    let ids: Vec<u64> = log.iter().map(|it| it.id).collect();
    assert!(ids.ends_with(&[first, second]), "{primary} led: {ids:?}");
}

#[test]
fn an_order_beside_servers_that_serve_is_refused() {
    let mut cluster = Cluster::of_three_that_notice_silence();
    let mut alice = cluster.account("alice");
    alice.send("alice", "first");
    cluster[2].kill();
    alice.send("alice", "second");
    cluster[2].add_words(FORCE);
    cluster[2].start();
    cluster[2].until_it_says("--force-primary is refused, and nothing was changed");
    assert_eq!(cluster.until_all_in_sync(), 0);
    let log = cluster.login("alice").messages("LOG");
    assert_eq!(texts(&log), ["first", "second"]);
}

#[test]
fn an_order_has_to_be_confirmed() {
    let mut cluster = last_disk_lost();
    // Nobody can be asked.
    let order = ["--force-primary"];
    cluster[0].add_words(&order);
    cluster[0].start();
    assert!(!cluster[0].wait().success());
    let said = cluster[0].said();
    assert!(said.contains("this server's log ends with op "), "{said}");
    assert!(said.contains("say --yes as well"), "{said}");
    // Somebody is, and thinks better of it.
    let words = cluster[0].arguments();
    let mut terminal = Terminal::run_program(SERVER, 80, 24, &words, &[]);
    terminal.until_shown("Type yes to go on:");
    terminal.types("no\r");
    assert!(!terminal.wait().success());
    let shown = terminal.shown();
    assert!(shown.contains("log ends with op "), "{shown}");
    assert!(shown.contains("it was not forced"), "{shown}");
    // It still waits, and says for how long, what it holds, and what to do.
    cluster[0].take_words_away(&order);
    cluster[0].start();
    until_it_waits(&cluster, 0);
    let status = TextClient::connect(cluster[0].member()).ask("STATUS").lines;
    let begins = |word: &str| status.iter().any(|line| line.starts_with(word));
    assert!(begins("* waiting-s ") && begins("* holds "), "{status:?}");
    let forces = "stop this server and start it with --force-primary";
    let says = |line: &String| line.starts_with("* remedy start ") && line.ends_with(forces);
    assert!(status.iter().any(says), "{status:?}");
}

/// What was only on the last one's disk is damaged, and it runs: nobody is sent to start it.
#[test]
fn a_last_server_that_is_back_with_a_damaged_journal_is_called_that() {
    let mut cluster = last_one_down();
    let journal = cluster.slot(2).join("journal");
    let segment = files(&journal).into_iter().min().expect("a segment");
    let mut bytes = fs::read(&segment).expect("it can be read");
    bytes[FIRST_RECORD + 40] ^= 1;
    fs::write(&segment, bytes).expect("it can be written");
    for place in 0..3 {
        cluster[place].start();
    }
    cluster[0].until("waits for the damaged one", |status| {
        let why = status.ready.as_ref().err();
        why.is_some_and(|why| why.contains("it runs, but its journal is damaged"))
    });
    for (place, holds) in [(0, 2), (2, 2)] {
        let status = TextClient::connect(cluster[place].member())
            .ask("STATUS")
            .lines;
        let id = cluster[holds - 1].id();
        let forces = format!("stop server {id}, which holds the most of those that run");
        let says = |line: &String| line.starts_with("* remedy ") && line.contains(&forces);
        assert!(status.iter().any(says), "{status:?}");
    }
}
