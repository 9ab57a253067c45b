//! What does a server do that has slept through everything? It must not take what it reads when it
//! wakes for news.

use std::time::Duration;

use crate::common::text::{TextClient, texts};
use crate::load::{self, Ledger};
use crate::rig::Cluster;
use crate::verdict::check_on_all;

/// So long that much could be acknowledged, and short enough that nobody is given up on.
const WITHIN_GRACE: Duration = Duration::from_millis(300);

#[test]
fn a_primary_that_wakes_up_says_nothing_stale_and_joins_again() {
    let mut cluster = Cluster::of_three_that_notice_silence();
    cluster.account("alice");
    for round in 0..2 {
        let slept = cluster.primary();
        let mut before = cluster.login("alice");
        cluster[slept].pause();
        // Nobody answers; but it is there when the server wakes.
        before.say(&format!("HISTORY * 10\nSEND alice stale {round}"));
        let heir = cluster.primary();
        assert_ne!(heir, slept);
        let mut after = TextClient::connect(cluster[heir].member());
        after.login_unread("alice");
        after.send("alice", &format!("fresh {round}"));

        cluster[slept].go_on();
        for request in ["HISTORY", "SEND"] {
            // The connection may also just end.
            let Some(answer) = before.try_answer() else {
                break;
            };
            assert!(answer.last.starts_with("ERR "), "{request}: {answer:?}");
        }
        assert_eq!(
            before.pushed(),
            [],
            "said by one that does not lead any more"
        );
        cluster.until_all_in_sync();
        let log = cluster.login("alice").messages("LOG");
        let expected: Vec<String> = (0..=round).map(|n| format!("fresh {n}")).collect();
        assert_eq!(texts(&log), expected);
    }
    cluster.assert_well();
}

#[test]
fn sleeping_primaries_under_load_lose_nothing() {
    let mut cluster = Cluster::of_three_that_notice_silence();
    let ledger = Ledger::unhurried();
    let finder = cluster.finder();
    std::thread::scope(|scope| {
        let clients = load::start(scope, &finder, &ledger);
        for _ in 0..2 {
            ledger.wait_for_more(100);
            let slept = cluster.primary();
            cluster[slept].pause();
            // It still has the service's address, and holds up nobody.
            assert_ne!(cluster.primary(), slept);
            ledger.wait_for_more(100);
            cluster[slept].go_on();
            cluster.until_all_in_sync();
        }
        clients.finish();
    });
    check_on_all(&mut cluster, &ledger);
}

#[test]
fn who_slept_for_a_moment_has_all_that_was_acknowledged_when_the_others_are_dead() {
    let mut cluster = Cluster::of_three();
    let ledger = Ledger::unhurried();
    let finder = cluster.finder();
    std::thread::scope(|scope| {
        let clients = load::start(scope, &finder, &ledger);
        for _ in 0..2 {
            ledger.wait_for_more(100);
            let primary = cluster.primary();
            let (slept, other) = ((primary + 1) % 3, (primary + 2) % 3);
            cluster[slept].pause();
            // In this time the clients ask, and nobody may say OK: one member does not have it.
            std::thread::sleep(WITHIN_GRACE);
            cluster[primary].kill();
            cluster[other].kill();
            cluster[slept].go_on();
            assert_eq!(cluster.primary(), slept);
            ledger.wait_for_more(50);
            cluster[primary].start();
            cluster[other].start();
            cluster.until_all_in_sync();
        }
        clients.finish();
    });
    check_on_all(&mut cluster, &ledger);
}

#[test]
fn who_slept_while_the_others_went_on_refuses_when_they_are_dead() {
    let mut cluster = Cluster::of_three_that_notice_silence();
    let ids = [0, 1, 2].map(|place| cluster[place].id());
    let mut alice = cluster.account("alice");
    alice.send("alice", "to three");
    cluster[1].pause();
    cluster.primary_with("goes on without it", |status| {
        !status.in_sync().contains(&ids[1])
    });
    let second = cluster.login("alice").send("alice", "to two");
    cluster[0].kill();
    cluster[2].kill();
    cluster[1].go_on();
    let said = cluster[1].until("refuses", |status| {
        status.role != "primary"
            && status
                .ready
                .as_ref()
                .is_err_and(|why| why.contains("waiting"))
    });
    assert!(!said.serves(), "{said:?}");

    // One of the two alone is not enough: neither knows whether the other has gone on.
    cluster[0].start();
    cluster[2].start();
    cluster.until_all_in_sync();
    let log = cluster.login("alice").messages("LOG");
    assert_eq!(texts(&log), ["to three", "to two"]);
    assert_eq!(log[1].id, second);
    cluster.assert_well();
}

#[test]
fn a_backup_that_sleeps_for_a_moment_holds_up_nobody_for_long() {
    let cluster = Cluster::of_three_that_notice_silence();
    let mut alice = cluster.account("alice");
    let sleeper = (cluster.primary() + 1) % 3;
    for n in 0..2 {
        cluster[sleeper].pause();
        // Answered when it is left out, and not before: that is what OK means.
        alice.send("alice", &format!("number {n}"));
        cluster[sleeper].go_on();
        cluster.until_in_sync(sleeper);
    }
    assert_eq!(alice.delivered_so_far().len(), 2);
}
