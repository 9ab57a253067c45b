//! When all servers were down, who may go on, who has to wait for whom, and does he say so?

use std::net::SocketAddr;

use crate::common::random::Random;
use crate::common::text::TextClient;
use crate::load::{self, Ledger};
use crate::rig::Cluster;
use crate::verdict::check_on_all;

/// Three servers in every order.
const ORDERS: [[usize; 3]; 6] = [
    [0, 1, 2],
    [0, 2, 1],
    [1, 0, 2],
    [1, 2, 0],
    [2, 0, 1],
    [2, 1, 0],
];

#[test]
fn killed_in_each_order_they_come_back_in_another() {
    // Each order of dying once, and each order of coming back once.
    let pairs = (0..6).map(|n| (ORDERS[n], ORDERS[(5 * n + 3) % 6]));
    down_and_up(pairs);
}

#[test]
#[ignore = "takes two minutes"]
fn killed_in_each_order_they_come_back_in_each() {
    let pairs = ORDERS.map(|down| ORDERS.map(|up| (down, up)));
    down_and_up(pairs.into_iter().flatten());
}

/// Kills the servers one after the other, so that the last one serves alone, and starts them again.
fn down_and_up(orders: impl Iterator<Item = ([usize; 3], [usize; 3])>) {
    let mut cluster = Cluster::of_three();
    let ledger = Ledger::unhurried();
    let finder = cluster.finder();
    std::thread::scope(|scope| {
        let clients = load::start(scope, &finder, &ledger);
        for (down, up) in orders {
            ledger.wait_for_more(50);
            for place in &down[..2] {
                cluster[*place].kill();
                ledger.wait_for_more(20);
            }
            let last = down[2];
            assert_eq!(cluster.primary(), last);
            let address = cluster[last].member();
            cluster[last].kill();
            for place in up {
                cluster[place].start();
                if place == last {
                    ledger.wait_for_more(20);
                } else if !cluster[last].runs() {
                    cluster[place].until("waits for the last one", |status| {
                        waits_for(&status.ready, address)
                    });
                }
            }
            cluster.until_all_in_sync();
        }
        clients.finish();
    });
    check_on_all(&mut cluster, &ledger);
}

/// Whether this is why a server does not let clients in; it may wait for others, too.
fn waits_for(ready: &Result<(), String>, address: SocketAddr) -> bool {
    let named = format!("({address})");
    let waits = |why: &String| why.starts_with("waiting for server") && why.contains(&named);
    ready.as_ref().is_err_and(waits)
}

#[test]
fn killed_all_at_once_they_come_back_when_all_are_there() {
    let mut cluster = Cluster::of_three();
    let ledger = Ledger::unhurried();
    let finder = cluster.finder();
    let mut random = Random::new(4);
    std::thread::scope(|scope| {
        let clients = load::start(scope, &finder, &ledger);
        for _ in 0..4 {
            ledger.wait_for_more(random.between(20..80));
            let order = ORDERS[random.between(0..6) as usize];
            for place in order {
                cluster[place].kill();
            }
            for place in ORDERS[random.between(0..6) as usize] {
                cluster[place].start();
            }
            ledger.wait_for_more(20);
            cluster.until_all_in_sync();
        }
        clients.finish();
    });
    check_on_all(&mut cluster, &ledger);
}

#[test]
fn those_who_did_not_see_the_end_refuse_and_say_why() {
    let mut cluster = Cluster::of_three();
    let mut alice = cluster.account("alice");
    alice.send("alice", "to three");
    let ids = [0, 1, 2].map(|place| cluster[place].id());
    let addresses = [0, 1, 2].map(|place| cluster[place].member());
    cluster[0].kill();
    cluster.primary();
    cluster[1].kill();
    assert_eq!(cluster.primary(), 2);
    let alone = cluster.login("alice").send("alice", "to one alone");
    cluster[2].kill();

    let sentence = format!(
        "waiting for server {} ({}): it may hold newer messages",
        ids[2], addresses[2]
    );
    for place in [0, 1] {
        cluster[place].start();
    }
    for place in [0, 1] {
        let said = cluster[place].until("waits", |status| status.ready == Err(sentence.clone()));
        assert_eq!(said.role, "waiting");
        cluster[place].until_it_says(&sentence);
        let mut client = TextClient::connect(cluster[place].member());
        let told = client.expect_refused("LOGIN alice correct-horse-battery", "not_ready");
        assert!(told.contains(&sentence), "{told}");
    }
    cluster[2].start();
    cluster.until_all_in_sync();
    let log = cluster.login("alice").messages("LOG");
    assert_eq!(log.last().map(|message| message.id), Some(alone));
}
