//! An operator orders a server to lead alone: when it is carried out, and what comes of it.

use super::rig::Rig;
use super::{NotReady, Role};

/// Longer than a server looks round before it is forced.
const LOOKS_ROUND_MS: u64 = 6000;

fn forced_lineages(rig: &Rig, server: u16) -> u32 {
    rig.replica(server).identity().lineage.counter
}

#[test]
fn beside_a_cluster_that_serves_the_order_is_refused_and_the_server_joins() {
    let mut rig = Rig::three();
    rig.kill(3);
    rig.run_ms(300);
    rig.send(1, 7);
    rig.force(3);
    rig.run_ms(LOOKS_ROUND_MS);
    assert!(rig.replica(1).serves());
    assert_eq!(rig.replica(3).role(), Role::Backup);
    assert_eq!(forced_lineages(&rig, 3), 0);
    assert_eq!(rig.applied(3), [7]);
}

#[test]
fn beside_a_server_that_waits_and_has_more_the_order_is_refused() {
    let mut rig = Rig::three();
    rig.kill(3);
    rig.run_ms(300);
    rig.send(1, 7);
    rig.run_ms(300);
    rig.kill(1);
    rig.run_ms(300);
    rig.kill(2);
    // Server 2 was the last one; server 3 never saw the 7.
    rig.restart(1);
    rig.force(3);
    rig.run_ms(LOOKS_ROUND_MS);
    assert_eq!(forced_lineages(&rig, 3), 0);
    assert!((1..=3).all(|it| it == 2 || !rig.replica(it).serves()));
}

#[test]
fn an_order_that_was_left_behind_has_no_effect_the_second_time() {
    let mut rig = Rig::three();
    for server in 1..=3 {
        rig.kill(server);
    }
    rig.force(2);
    rig.run_ms(LOOKS_ROUND_MS);
    assert!(rig.replica(2).serves());
    assert_eq!(forced_lineages(&rig, 2), 1);
    rig.restart(1);
    rig.restart(3);
    rig.run_ms(3000);
    rig.send(2, 1);
    rig.run_ms(300);
    // It leaves, and the others go on; then everything is down.
    rig.kill(2);
    rig.run_ms(500);
    rig.send(1, 2);
    rig.run_ms(300);
    rig.kill(1);
    rig.kill(3);
    rig.force(2);
    rig.run_ms(LOOKS_ROUND_MS);
    assert!(matches!(
        rig.replica(2).not_ready(),
        Some(NotReady::Servers(_))
    ));
    assert_eq!(forced_lineages(&rig, 2), 1);
    rig.restart(1);
    rig.restart(3);
    rig.run_ms(3000);
    assert_eq!(rig.applied(2), [1, 2]);

    // An operator who means it starts it once without the order.
    for server in 1..=3 {
        rig.kill(server);
    }
    rig.restart(2);
    rig.run_ms(100);
    rig.kill(2);
    rig.force(2);
    rig.run_ms(LOOKS_ROUND_MS);
    assert!(rig.replica(2).serves());
    assert_eq!(forced_lineages(&rig, 2), 2);
}

#[test]
fn a_server_that_follows_a_new_lineage_and_has_only_its_old_log_can_be_forced() {
    let mut rig = Rig::three();
    // Views come and go, so that their numbers are high.
    for server in [1, 2, 3, 1] {
        rig.kill(server);
        rig.run_ms(500);
        rig.restart(server);
        rig.run_ms(2000);
    }
    for server in 1..=3 {
        rig.kill(server);
    }
    rig.restart(3);
    rig.force(1);
    let mut waited = 0;
    while forced_lineages(&rig, 3) == 0 && waited < LOOKS_ROUND_MS {
        rig.run_ms(1);
        waited += 1;
    }
    rig.run_ms(1);
    rig.kill(1);
    let newest = rig.replica(3).view().unwrap().number;
    rig.kill(3);
    rig.force(3);
    rig.run_ms(LOOKS_ROUND_MS);
    assert!(rig.replica(3).serves(), "{:?}", rig.replica(3).not_ready());
    assert!(rig.replica(3).view().unwrap().number > newest);
    rig.send(3, 5);
    rig.restart(2);
    rig.run_ms(3000);
    rig.restart(1);
    rig.run_ms(3000);
    for server in 1..=3 {
        assert_eq!(rig.applied(server), [5], "of {server}");
    }
}
