//! Do servers that come back find their place, in whichever order they went and come? Each of these
//! stories is one at which an earlier server of this kind failed.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::common::closed_loop::{drive, fill_accounts};
use crate::common::text::{TextClient, ids, texts};
use crate::load::{self, Ledger};
use crate::rig::address::common_service;
use crate::rig::{Cluster, Server};
use crate::verdict::{check_on_all, served_at};

/// How long links are kept full.
const FULL_FOR: Duration = Duration::from_secs(2);

#[test]
fn those_that_come_back_are_taken_for_servers() {
    let mut cluster = Cluster::of_three();
    let mut alice = cluster.account("alice");
    alice.send("alice", "to three");
    cluster[0].kill();
    cluster.primary();
    cluster[1].kill();
    assert_eq!(cluster.primary(), 2);
    cluster.login("alice").send("alice", "to one");
    for place in [0, 1] {
        cluster[place].start();
        assert_eq!(cluster.until_in_sync(place), 2);
    }
    // All three are servers, and none of them is anybody's client.
    for place in 0..3 {
        let said = cluster[place].until("knows all", |status| status.in_sync().len() == 3);
        assert_eq!(said.members.len(), 3, "{said:?}");
    }
    cluster[2].kill();
    cluster.primary();
    assert_eq!(
        texts(&cluster.login("alice").messages("LOG")),
        ["to three", "to one"]
    );
    cluster.assert_well();
}

#[test]
fn killed_as_soon_as_another_is_in_sync_it_leaves_nothing_behind() {
    let mut cluster = Cluster::of_three();
    let mut alice = cluster.account("alice");
    let mut sent = vec![alice.send("alice", "to three")];
    for [last, other] in [[2, 1], [0, 1], [2, 0]] {
        let back = 3 - last - other;
        for place in [back, other] {
            if cluster[place].runs() {
                cluster[place].kill();
            }
        }
        assert_eq!(cluster.primary(), last);
        let mut alice = cluster.login("alice");
        for n in 0..50 {
            sent.push(alice.send("alice", &format!("to {last}, {n}")));
        }
        cluster[back].start();
        cluster.until_in_sync(back);
        cluster[last].kill();
        assert_eq!(cluster.primary(), back);
        // The next command is answered, and nothing is missing.
        let mut alice = cluster.login("alice");
        sent.push(alice.send("alice", "after all"));
        let log = alice.messages("LOG");
        assert_eq!(ids(&log), sent);
        cluster[last].start();
        cluster.until_in_sync(last);
    }
}

#[test]
fn rolling_restarts_under_load_keep_every_word() {
    rolling_restarts(2);
}

#[test]
#[ignore = "takes minutes"]
fn rolling_restarts_for_minutes_keep_every_word() {
    rolling_restarts(60);
}

/// All three in turn, by signals of both kinds, so often.
fn rolling_restarts(rounds: usize) {
    let mut cluster = Cluster::of_three();
    let ledger = Ledger::unhurried();
    let finder = cluster.finder();
    std::thread::scope(|scope| {
        let clients = load::start(scope, &finder, &ledger);
        for round in 0..rounds {
            for place in 0..3 {
                ledger.wait_for_more(50);
                if (round + place) % 2 == 0 {
                    cluster[place].kill();
                } else {
                    cluster[place].terminate();
                    cluster[place].wait();
                }
                ledger.wait_for_more(20);
                cluster[place].start();
                cluster.until_in_sync(place);
            }
        }
        clients.finish();
    });
    check_on_all(&mut cluster, &ledger);
}

#[test]
fn heartbeats_acknowledgements_and_writes_never_wait_for_each_other() {
    let cluster = Cluster::of_three();
    let address = cluster[0].member();
    cluster.text().create("bob");
    fill_accounts(address, 10);
    let before = cluster[0].until("leads", |status| status.serves());
    let begin = Instant::now();
    let asked = AtomicU64::new(0);
    // Much in both directions, on links that are full, for longer than a heartbeat takes.
    let (count, _) = drive(address, 10, 64, || {
        asked.fetch_add(1, Ordering::Relaxed) < 10_000 || begin.elapsed() < FULL_FOR
    });
    assert!(count >= 10_000, "{count}");
    for place in 0..3 {
        let said = cluster[place].until("has all", |status| status.in_sync().len() == 3);
        assert_eq!(said.view, before.view, "somebody was given up on: {said:?}");
    }
}

#[test]
fn a_broken_pipe_of_one_server_is_nothing_to_the_others() {
    let mut cluster = Cluster::of_three();
    let mut alice = cluster.account("alice");
    for round in 0..4 {
        let primary = cluster.primary();
        let killed = (primary + 1 + round % 2) % 3;
        // In the middle of what is being sent to it.
        for n in 0..200 {
            alice.say(&format!("SEND alice {round} {n}"));
        }
        cluster[killed].kill();
        for n in 0..200 {
            let last = alice.answer().last;
            assert!(last.starts_with("OK "), "{round} {n}: {last}");
        }
        alice.ping();
        alice.pushed();
        cluster[killed].start();
        cluster.until_in_sync(killed);
    }
    cluster.assert_well();
}

#[test]
fn three_equal_commands_in_one_folder_make_a_cluster() {
    let mut cluster = Cluster::at(common_service(), 0, &[]);
    let (service, folder) = (cluster.service(), cluster.folder().join("here"));
    for name in ["first", "second", "third"] {
        // No option at all: not the folder, not the slot, not the port.
        let server = Server::new(name, service, folder.clone());
        cluster.add_server(server);
    }
    cluster[0].start_as_primary();
    cluster[1].start_to_join();
    cluster[2].start_to_join();
    cluster.until_all_in_sync();
    served_at(service, cluster[0].id());
    let mut alice = TextClient::connect(service);
    alice.create("alice");
    alice.login("alice");
    let id = alice.send("alice", "hello");

    // Slots are taken again from the lowest: whoever comes first is who died first here.
    cluster[0].kill();
    cluster.primary();
    cluster[1].kill();
    cluster.primary();
    for place in [0, 1] {
        cluster[place].start_to_join();
        cluster.until_in_sync(place);
    }
    cluster[2].kill();
    let last = cluster.primary();
    served_at(service, cluster[last].id());
    assert_eq!(cluster.login("alice").messages("LOG")[0].id, id);
}
