//! Who serves when a cable is cut? Each server lives on a host of its own, with the cluster's key,
//! and so do the clients.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use crate::common::text::{TextClient, texts};
use crate::load::{self, Ledger};
use crate::rig::cluster::QUICKER;
use crate::rig::hosts::Network;
use crate::rig::{Cluster, Server};
use crate::verdict::check_on_all;

/// Where the clients are.
const CLIENTS: usize = 3;
/// How long a client waits for a server that may be cut off.
const MUTE_MAX: Duration = Duration::from_secs(8);

/// A client of this server: one that is cut off takes itself for the primary for a while.
fn login_at(server: &Server, name: &str) -> TextClient {
    let mut client = TextClient::connect(server.member());
    client.login_unread(name);
    client
}

/// Runs a story on the clients' host, with three servers on hosts of their own that are in sync.
fn on_three_hosts(story: impl FnOnce(&mut Cluster, &Network) + Send) {
    let Some(network) = Network::of(4) else {
        return;
    };
    network.hosts()[CLIENTS].inside(|| {
        let service = (network.hosts()[0].address(), 5000).into();
        let mut cluster = Cluster::at(service, 0, &[]);
        let key = cluster.folder().join("key");
        fs::write(&key, "a key that all three have").expect("a file for the key");
        fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).expect("a mode");
        for (place, host) in network.hosts()[..CLIENTS].iter().enumerate() {
            let name = format!("server {place}");
            let folder = cluster.folder().join(&name);
            let mut server = Server::new(&name, service, folder)
                .on(host)
                .with("--cluster-key", &key)
                // Nothing between these hosts answers for another.
                .with("--trust-refused", "yes")
                .with_words(&QUICKER);
            if place > 0 {
                server = server.with("--member", format!("{}:5000", host.address()));
            }
            cluster.add_server(server);
        }
        cluster.form();
        story(&mut cluster, &network);
        cluster.assert_well();
    });
}

#[test]
fn a_primary_that_is_cut_off_stops_and_the_others_serve() {
    on_three_hosts(|cluster, network| {
        let mut alice = cluster.account("alice");
        alice.send("alice", "to three");
        let member = cluster[0].member();
        // Somebody on the primary's own host, who is cut off with it.
        network.cut(0);
        let (heir, _) = cluster.primary_with("follows", |status| status.in_sync().len() == 2);
        assert_ne!(heir, 0);
        login_at(&cluster[heir], "alice").send("alice", "to two");
        network.hosts()[0].inside(|| {
            let mut left = TextClient::try_connect_for(member, MUTE_MAX).expect("it is there");
            for request in [
                "LOGIN alice correct-horse-battery",
                "CREATE bob correct-horse-battery",
            ] {
                if let Some(answer) = left.try_ask(request) {
                    assert!(answer.last.starts_with("ERR "), "{request}: {answer:?}");
                }
            }
        });
        cluster[0].until("does not lead", |status| !status.serves());
        network.mend(0);
        cluster.until_in_sync(0);
        let log = cluster.login("alice").messages("LOG");
        assert_eq!(texts(&log), ["to three", "to two"]);
    });
}

#[test]
fn a_reader_at_a_primary_that_is_cut_off_never_sees_the_past() {
    on_three_hosts(|cluster, network| {
        cluster.account("alice").send("alice", "to three");
        let member = cluster[0].member();
        let mut left = network.hosts()[0].inside(|| TextClient::connect(member));
        left.login_unread("alice");
        network.cut(0);
        let (heir, _) = cluster.primary_with("follows", |status| status.in_sync().len() == 2);
        assert_ne!(heir, 0);
        // From now on there is something newer than what the first one has.
        login_at(&cluster[heir], "alice").send("alice", "to two");
        left.give_up_after(MUTE_MAX);
        left.say("LOG");
        let answer = left.try_answer();
        assert!(answer.is_none_or(|it| it.last.starts_with("ERR ")));
    });
}

#[test]
fn a_backup_that_is_cut_off_comes_back_by_itself() {
    on_three_hosts(|cluster, network| {
        let ledger = Ledger::unhurried();
        let finder = cluster.finder();
        std::thread::scope(|scope| {
            let clients = load::start(scope, &finder, &ledger);
            let id = cluster[1].id();
            ledger.wait_for_more(100);
            network.cut(1);
            cluster.primary_with("goes on without it", |status| {
                !status.in_sync().contains(&id)
            });
            ledger.wait_for_more(100);
            network.mend(1);
            cluster.until_in_sync(1);
            clients.finish();
        });
        check_on_all(cluster, &ledger);
    });
}

#[test]
fn of_two_that_are_cut_apart_only_the_primary_serves() {
    on_three_hosts(|cluster, network| {
        cluster.account("alice").send("alice", "to three");
        cluster[2].kill();
        let third = cluster[1].id() + 1;
        cluster.primary_with("goes on without the third", |status| {
            !status.in_sync().contains(&third)
        });
        let primary = cluster.primary();
        let other = 1 - primary;
        let other_id = cluster[other].id();
        network.cut(other);
        cluster.primary_with("goes on alone", |status| {
            !status.in_sync().contains(&other_id)
        });
        cluster.login("alice").send("alice", "to one");
        let said = cluster[other].until("does not serve", |status| !status.serves());
        assert_ne!(said.role, "primary");
        network.mend(other);
        cluster.until_in_sync(other);
        assert_eq!(cluster.primary(), primary);
        let log = cluster.login("alice").messages("LOG");
        assert_eq!(texts(&log), ["to three", "to one"]);
    });
}

#[test]
fn killed_on_its_host_a_primary_is_followed_at_another_address() {
    on_three_hosts(|cluster, _network| {
        let ledger = Ledger::unhurried();
        let finder = cluster.finder();
        std::thread::scope(|scope| {
            let clients = load::start(scope, &finder, &ledger);
            for _ in 0..2 {
                ledger.wait_for_more(100);
                let killed = cluster.primary();
                cluster[killed].kill();
                ledger.wait_for_more(100);
                // The service's ip is the first host's, and cannot be bound on the others.
                let heir = cluster.primary();
                if heir != 0 {
                    cluster[heir].until_it_says("is not an address of this host");
                }
                cluster[killed].start();
                cluster.until_in_sync(killed);
            }
            clients.finish();
        });
        check_on_all(cluster, &ledger);
    });
}

#[test]
fn two_that_do_not_see_each_other_come_to_rest_with_the_third() {
    on_three_hosts(|cluster, network| {
        let ledger = Ledger::unhurried();
        let finder = cluster.finder();
        std::thread::scope(|scope| {
            let clients = load::start(scope, &finder, &ledger);
            ledger.wait_for_more(100);
            network.part(&[0, 1]);
            let (_, said) = cluster.primary_with("goes on with one other", |status| {
                status.in_sync().len() == 2
            });
            // The third is in it: nobody else sees anybody.
            assert!(said.in_sync().contains(&cluster[2].id()), "{said:?}");
            ledger.wait_for_more(300);
            clients.finish();
        });
    });
}
