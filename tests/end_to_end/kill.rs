//! Is everything there that was acknowledged, however the server ends?

use std::time::{Duration, Instant};

use crate::common::random::Random;
use crate::common::server::TestServer;
use crate::load::{self, Finder, Ledger, check_everything};

const KILLS: u64 = 20;

#[test]
fn killed_twenty_times_under_load_it_keeps_every_word() {
    let mut server = TestServer::start();
    let ledger = Ledger::default();
    let finder = Finder::at(server.address());
    let mut random = Random::new(20);
    std::thread::scope(|scope| {
        let clients = load::start(scope, &finder, &ledger);
        for _ in 0..KILLS {
            ledger.wait_for_more(random.between(20..150));
            server.kill();
            server.restart();
        }
        ledger.wait_for_more(100);
        clients.finish();
    });
    check_everything(server.address(), &ledger);

    // And once more from the disk alone, after an end that nothing was going on at.
    server.kill();
    server.restart();
    check_everything(server.address(), &ledger);
    server.assert_well();
}

#[test]
fn killed_while_it_starts_it_loses_nothing() {
    let mut server = TestServer::start();
    let ledger = Ledger::default();
    let finder = Finder::at(server.address());
    std::thread::scope(|scope| {
        let clients = load::start(scope, &finder, &ledger);
        ledger.wait_for_more(500);
        for round in 0..10 {
            server.kill();
            server.start_and_kill_after(Duration::from_millis(3 * round));
            server.restart();
            ledger.wait_for_more(10);
        }
        clients.finish();
    });
    check_everything(server.address(), &ledger);
}

#[test]
fn asked_to_end_under_load_it_says_goodbye_and_loses_nothing() {
    let mut server = TestServer::start();
    let ledger = Ledger::default();
    let finder = Finder::at(server.address());
    std::thread::scope(|scope| {
        let clients = load::start(scope, &finder, &ledger);
        for _ in 0..3 {
            ledger.wait_for_more(200);
            let mut idle = server.text();
            idle.ping();
            let asked = Instant::now();
            server.terminate();
            let status = server.wait();
            assert_eq!(status.code(), Some(0), "{}", server.said());
            // The promise is two seconds; a loaded machine may be late to tell.
            assert!(
                asked.elapsed() < Duration::from_secs(6),
                "{:?}",
                asked.elapsed()
            );
            let notes = idle.until_closed();
            assert!(
                notes.iter().any(|line| line.starts_with("NOTE ")),
                "{notes:?}"
            );
            server.restart();
        }
        clients.finish();
    });
    check_everything(server.address(), &ledger);
}

#[test]
fn a_second_signal_ends_it_as_well() {
    let mut server = TestServer::start();
    let mut client = server.text();
    client.ping();
    server.terminate();
    // It may have ended already.
    server.terminate();
    server.wait();
    client.until_closed();
    server.restart();
    server.assert_well();
}
