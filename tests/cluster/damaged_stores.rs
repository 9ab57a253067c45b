//! What does a server do whose store the disk has damaged? It serves what is whole as long as
//! nobody else can, hands over as soon as somebody can, and comes back with a whole store, all in
//! one process.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use crate::common::files::find_last;
use crate::common::text::{TextClient, texts};
use crate::common::{PASSWORD, eventually};
use crate::rig::Cluster;

const MESSAGES: usize = 50;
/// The server whose store is damaged.
const DAMAGED: usize = 0;

/// Three servers that have ended in order, so that their stores have everything, and what alice
/// has sent to herself.
fn stopped() -> (Cluster, Vec<String>) {
    let mut cluster = Cluster::of_three();
    let mut alice = cluster.account("alice");
    let sent: Vec<String> = (0..MESSAGES).map(|it| format!("needle {it:04}")).collect();
    for text in &sent {
        alice.send("alice", text);
    }
    alice.expect(&format!("ACK {}", u64::MAX), "OK");
    cluster.until_all_in_sync();
    for place in 0..3 {
        cluster[place].terminate();
        assert!(cluster[place].wait().success());
    }
    (cluster, sent)
}

fn store(cluster: &Cluster) -> PathBuf {
    cluster.slot(DAMAGED).join("store.sqlite")
}

/// Flips a bit of a message's text.
fn damage_a_message(cluster: &Cluster) {
    let path = store(cluster);
    let mut bytes = fs::read(&path).expect("the store is there");
    let at = find_last(&bytes, b"needle 0025").expect("the message is there");
    bytes[at + 7] ^= 1;
    fs::write(path, bytes).expect("it can be written");
}

/// Makes the page unreadable that every message is written to.
fn damage_what_is_written(cluster: &Cluster) {
    let path = store(cluster);
    let database = rusqlite::Connection::open(&path).expect("a database");
    let number = |sql| -> usize {
        let number: i64 = database.query_row(sql, [], |row| row.get(0)).expect(sql);
        usize::try_from(number).expect("a small number")
    };
    let page = number("SELECT rootpage FROM sqlite_master WHERE name = 'messages'");
    let size = number("PRAGMA page_size");
    drop(database);
    let mut bytes = fs::read(&path).expect("the store is there");
    bytes[(page - 1) * size..][..size].fill(0xee);
    fs::write(path, bytes).expect("it can be written");
}

/// Starts all, and lets the damaged one lead.
fn start_and_lead(cluster: &mut Cluster) {
    for place in 0..3 {
        cluster[place].start();
    }
    loop {
        let primary = cluster.until_all_in_sync();
        if primary == DAMAGED {
            return;
        }
        cluster[primary].kill();
        cluster.primary();
        cluster[primary].start();
    }
}

/// Waits until another server leads and all are in sync again, with nobody's process ended.
fn until_repaired(cluster: &mut Cluster) {
    eventually("another server leads", || {
        (cluster.until_all_in_sync() != DAMAGED).then_some(())
    });
    cluster.assert_well();
    let another = cluster.slot(DAMAGED).join("store-1.sqlite");
    assert!(another.exists(), "no other store took its place");
}

/// The texts of everything, from the damaged server as the only one.
fn texts_of_the_last(cluster: &mut Cluster) -> Vec<String> {
    for place in [1, 2] {
        cluster[place].kill();
    }
    assert_eq!(cluster.primary(), DAMAGED);
    let log = cluster.login("alice").messages("LOG");
    texts(&log).into_iter().map(str::to_owned).collect()
}

/// Asks for everything until somebody has it.
fn until_read(cluster: &Cluster, sent: &[String]) {
    eventually("everything can be read", || {
        let member = cluster[cluster.primary()].member();
        let mut alice = TextClient::connect(member);
        alice.try_ask(&format!("LOGIN alice {PASSWORD}"))?;
        let answer = alice.try_ask("LOG")?;
        let is_whole = answer.last.starts_with("OK");
        // What is unread is delivered besides.
        let all: BTreeMap<u64, String> =
            (alice.pushed().into_iter().map(|it| (it.id, it.text))).collect();
        is_whole.then(|| assert_eq!(all.into_values().collect::<Vec<_>>(), sent))
    });
}

#[test]
fn a_flipped_bit_in_a_message_is_repaired_from_another_server() {
    let (mut cluster, sent) = stopped();
    damage_a_message(&cluster);
    start_and_lead(&mut cluster);
    until_read(&cluster, &sent);
    until_repaired(&mut cluster);
    assert_eq!(texts_of_the_last(&mut cluster), sent);
}

#[test]
fn a_damaged_page_that_has_to_be_written_ends_nobody_and_is_repaired() {
    let (mut cluster, mut sent) = stopped();
    damage_what_is_written(&cluster);
    start_and_lead(&mut cluster);
    let mut alice = cluster.login("alice");
    sent.push("written behind the damage".to_owned());
    alice.send("alice", sent.last().expect("one"));
    until_repaired(&mut cluster);
    until_read(&cluster, &sent);
    assert_eq!(texts_of_the_last(&mut cluster), sent);
}

#[test]
fn the_last_server_goes_on_with_a_store_that_cannot_be_written() {
    let (mut cluster, mut sent) = stopped();
    damage_what_is_written(&cluster);
    start_and_lead(&mut cluster);
    for place in [1, 2] {
        cluster[place].kill();
    }
    assert_eq!(cluster.primary(), DAMAGED);
    let mut alice = cluster.login("alice");
    for text in ["while", "nobody", "else is there"] {
        sent.push(text.to_owned());
        alice.send("alice", text);
    }
    // What it has taken in since is only in its journal.
    alice.expect_refused("LOG", "damaged");
    let status = alice.ask("STATUS");
    assert!(
        status
            .lines
            .iter()
            .any(|it| it.contains("damaged the store"))
    );
    cluster[DAMAGED].assert_well();
    for place in [1, 2] {
        cluster[place].start();
    }
    until_repaired(&mut cluster);
    until_read(&cluster, &sent);
    assert_eq!(texts_of_the_last(&mut cluster), sent);
}
