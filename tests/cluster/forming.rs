//! How does a cluster come to be, in whichever order its servers and its first clients come?

use crate::common::text::TextClient;
use crate::rig::{Cluster, Server};
use crate::verdict::served_at;

#[test]
fn a_client_that_comes_too_early_is_told_and_let_in_by_itself() {
    let mut cluster = Cluster::to_be_started(3, &[]);
    cluster[0].start_as_primary();
    let mut before = connected(&cluster[0]);
    let told = before.expect_refused("CREATE alice correct-horse-battery", "not_ready");
    assert!(told.starts_with("waiting for 2 more backups"), "{told}");
    // It says what to type, too.
    let command = format!("{} {} 0", cluster.service().ip(), cluster.service().port());
    assert!(told.contains(&command), "{told}");

    cluster[1].start_to_join();
    let one_more = "waiting for 1 more backup";
    cluster[0].until("has one backup", |status| {
        status
            .ready
            .as_ref()
            .is_err_and(|why| why.starts_with(one_more))
    });
    let mut between = connected(&cluster[0]);
    for client in [&mut before, &mut between] {
        let told = client.expect_refused("LOGIN alice correct-horse-battery", "not_ready");
        assert!(told.starts_with(one_more), "{told}");
    }

    cluster[2].start_to_join();
    for client in [&mut before, &mut between] {
        assert!(client.note().starts_with("ready"));
    }
    before.create("alice");
    before.login("alice");
    between.login("alice");
    let id = before.send("alice", "at last");
    assert_eq!(between.delivered().id, id);

    // Once it was formed, it serves with as many as there are.
    cluster[1].kill();
    cluster[2].kill();
    before.send("alice", "alone");
    cluster.assert_well();
}

#[test]
fn backups_that_are_started_first_wait_and_say_so() {
    let mut cluster = Cluster::to_be_started(3, &[]);
    for place in [1, 2] {
        cluster[place].start_to_join();
    }
    for place in [1, 2] {
        let said = cluster[place].until("waits", |status| {
            status
                .ready
                .as_ref()
                .is_err_and(|why| why.starts_with("waiting for a primary"))
        });
        assert_eq!(said.role, "waiting");
        assert_eq!(said.server, None);
        cluster[place].until_it_says("waiting for a primary");
        let mut client = TextClient::connect(cluster[place].member());
        client.expect_refused("CREATE alice correct-horse-battery", "not_ready");
        client.expect("PING", "OK pong");
    }
    cluster[0].start_as_primary();
    cluster.until_all_in_sync();
    served_at(cluster.service(), cluster[0].id());
    cluster.account("alice");
}

#[test]
fn of_two_that_are_started_to_be_the_primary_one_is() {
    let mut cluster = Cluster::to_be_started(3, &[]);
    cluster[0].start_as_primary();
    cluster[1].start_as_primary();
    cluster[2].start_to_join();
    let primary = cluster.until_all_in_sync();
    for place in [0, 1] {
        let said = cluster[place].until("knows its role", |status| status.server.is_some());
        assert_eq!(said.role == "primary", place == primary, "{said:?}");
    }
    cluster.account("alice");
    cluster.assert_well();
}

#[test]
fn of_two_with_folders_of_their_own_one_is_the_primary_too() {
    let mut cluster = Cluster::to_be_started(0, &[]);
    let service = cluster.service();
    for name in ["one", "two", "three"] {
        let folder = cluster.folder().join(name);
        cluster.add_server(Server::new(name, service, folder));
    }
    cluster[0].start_as_primary();
    cluster[1].start_as_primary();
    cluster[2].start_to_join();
    cluster.until_all_in_sync();
    cluster.account("alice");
    cluster.assert_well();
}

#[test]
fn started_as_the_primary_where_one_serves_it_joins() {
    let mut cluster = Cluster::of_three();
    let mut alice = cluster.account("alice");
    alice.send("alice", "hello");
    for place in [1, 2] {
        cluster[place].kill();
        cluster[place].start_as_primary();
        assert_eq!(cluster.until_in_sync(place), 0);
    }
    let added = cluster.add(&[]);
    cluster[added].start_as_primary();
    assert_eq!(cluster.until_in_sync(added), 0);
    let id = cluster[added].id();
    cluster[added].until("is a backup", |status| status.role == "backup");
    let said = cluster[0].until("knows it", |status| status.in_sync().len() == 4);
    assert!(said.in_sync().contains(&id));
}

#[test]
fn a_single_server_needs_no_backup_and_takes_some_later() {
    let mut cluster = Cluster::to_be_started(1, &["--backups", "0"]);
    cluster[0].start_as_primary();
    let mut alice = cluster.account("alice");
    let id = alice.send("alice", "to one");
    let added = cluster.add(&[]);
    cluster[added].start_to_join();
    cluster.until_in_sync(added);
    alice.ping();
    cluster[0].kill();
    assert_eq!(cluster.primary(), added);
    assert_eq!(cluster.login("alice").messages("LOG")[0].id, id);
}

fn connected(server: &Server) -> TextClient {
    TextClient::connect(server.member())
}
