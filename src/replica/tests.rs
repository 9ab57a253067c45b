//! Scripted clusters: what happens when is written down, and nothing else happens.

mod forcing;
mod old_copies;
mod rig;
mod strangers;

use rig::Rig;

use super::{Condition, NotReady, Role, apply_to_cluster};
use crate::types::{
    ClusterId, ClusterOp, Incarnation, Lineage, Member, OpNumber, ServerId, Time, Timestamp,
    TrustRefused, View, ViewNumber,
};
use crate::wire::peer::{PeerMessage, Ping};

#[test]
fn a_founder_without_backups_serves_at_once() {
    let mut rig = Rig::new();
    rig.found(0);
    rig.run_ms(10);
    assert!(rig.replica(1).serves());
    assert_eq!(rig.replica(1).role(), Role::Primary);
    assert!(rig.replica(1).owns_service());
    rig.send(1, 1);
    rig.run_ms(1);
    assert_eq!(rig.acknowledged(), [1]);
}

#[test]
fn a_founder_that_died_on_the_way_goes_on_and_one_that_was_only_begun_to_be_fed_does_not() {
    for ops in 1..=2 {
        let mut rig = Rig::new();
        rig.found(0);
        rig.kill(1);
        rig.keep(1, ops);
        rig.restart(1);
        rig.run_ms(10);
        assert!(rig.replica(1).serves(), "after {ops} ops");
        assert_eq!(rig.replica(1).servers().len(), 1);

        let mut rig = Rig::three();
        for server in [2, 3] {
            rig.kill(server);
            rig.keep(server, ops);
            rig.restart(server);
        }
        rig.kill(1);
        rig.run_ms(3000);
        assert!(!rig.replica(2).serves() && !rig.replica(3).serves());
    }
}

#[test]
fn two_join_and_the_gate_opens() {
    let mut rig = Rig::new();
    rig.found(2);
    rig.run_ms(50);
    assert_eq!(rig.replica(1).not_ready(), Some(NotReady::Backups(2)));
    rig.join();
    rig.run_ms(1000);
    assert_eq!(rig.replica(1).not_ready(), Some(NotReady::Backups(1)));
    rig.join();
    rig.run_ms(1000);
    assert_eq!(rig.replica(1).not_ready(), None);
    assert_eq!(rig.replica(2).role(), Role::Backup);
    assert_eq!(rig.replica(3).role(), Role::Backup);
    for status in rig.replica(3).servers() {
        assert_eq!(status.condition, Condition::InSync, "{status:?}");
    }
    rig.send(1, 7);
    rig.run_ms(5);
    assert_eq!(rig.acknowledged(), [7]);
    for server in 1..=3 {
        rig.run_ms(200);
        assert_eq!(rig.applied(server), [7]);
    }
}

#[test]
fn any_two_of_three_die_and_the_last_one_serves() {
    for order in [
        [1, 2, 3],
        [1, 3, 2],
        [2, 1, 3],
        [2, 3, 1],
        [3, 1, 2],
        [3, 2, 1],
    ] {
        for apart_ms in [0, 1, 5, 20, 25, 40, 100, 500, 1500] {
            let mut rig = Rig::three();
            rig.kill(order[0]);
            rig.run_ms(apart_ms);
            rig.kill(order[1]);
            rig.run_ms(400);
            let last = order[2];
            assert!(rig.replica(last).serves(), "{order:?} {apart_ms} ms apart");
            rig.send(last, 9);
            rig.run_ms(5);
            assert_eq!(rig.acknowledged(), [9], "{order:?} {apart_ms} ms apart");
            rig.restart(order[0]);
            rig.restart(order[1]);
            rig.run_ms(1500);
            for server in 1..=3 {
                assert_eq!(rig.applied(server), [9]);
            }
            assert_eq!(rig.replica(last).view().unwrap().members.len(), 3);
        }
    }
}

#[test]
fn between_hosts_a_refused_connect_proves_a_death_only_where_the_network_is_known() {
    let three_hosts = |trust: [TrustRefused; 3]| {
        let mut rig = Rig::new();
        rig.on_hosts(trust[0]);
        rig.found(2);
        rig.run_ms(50);
        for trust in &trust[1..] {
            rig.on_hosts(*trust);
            rig.join();
            rig.run_ms(1000);
        }
        assert_eq!(rig.replica(1).view().unwrap().members.len(), 3);
        rig
    };
    use TrustRefused::{Everywhere, Nowhere, OnThisHost};
    let mut rig = three_hosts([Everywhere; 3]);
    rig.kill(2);
    rig.run_ms(300);
    rig.kill(1);
    rig.run_ms(300);
    assert!(rig.replica(3).serves());

    // The most careful one decides.
    for careful in [OnThisHost, Nowhere] {
        let mut rig = three_hosts([Everywhere, careful, Everywhere]);
        rig.kill(3);
        rig.run_ms(900);
        assert_eq!(rig.replica(1).view().unwrap().members.len(), 3);
        rig.run_ms(500);
        assert_eq!(
            rig.replica(1).view().unwrap().members.len(),
            2,
            "of three, one may be silent"
        );
        rig.kill(1);
        rig.run_ms(5000);
        assert!(
            !rig.replica(2).serves(),
            "the primary may have been cut off, and go on alone"
        );
        // Its next process answers at its address: that cannot be forged.
        rig.restart(1);
        rig.run_ms(1500);
        assert!(rig.replica(1).serves() || rig.replica(2).serves());
    }
}

#[test]
fn a_word_that_a_process_is_heard_outweighs_refused_connects_until_it_is_withdrawn_or_old() {
    let mut rig = Rig::three();
    let dead = rig.replica(2).me();
    rig.kill(2);
    rig.run_ms(40);
    assert!(
        rig.replica(1).is_dead(dead),
        "the third has said at once that it hears it no more"
    );

    let mut rig = Rig::three();
    let dead = rig.replica(2).me();
    rig.pause(3);
    rig.run_ms(1);
    let word = Ping {
        sent_at: Time(0),
        wall_clock: Timestamp(0),
        report: rig.replica(3).report(),
        fresh: vec![dead],
        rumours: Vec::new(),
    };
    rig.say(3, 1, PeerMessage::Ping(word));
    rig.kill(2);
    rig.run_ms(300);
    assert!(
        !rig.replica(1).is_dead(dead),
        "three heartbeats have passed since it was given"
    );
    rig.run_ms(25);
    assert!(rig.replica(1).is_dead(dead));
}

#[test]
fn a_backup_that_is_back_at_once_makes_nobody_else_begin_anew() {
    for away_ms in [0, 1, 5, 15, 30, 60] {
        for taken in [false, true] {
            let mut rig = Rig::three();
            let before = [1, 3].map(|server| *rig.replica(server).identity());
            rig.kill(2);
            if taken {
                // No refusal ever proves its death, and nobody reaches its new process.
                rig.take_address_of(2);
            }
            rig.run_ms(away_ms);
            rig.restart(2);
            rig.run_ms(1500);
            let after = [1, 3].map(|server| *rig.replica(server).identity());
            assert_eq!(before, after, "after {away_ms} ms, taken: {taken}");
            assert!(rig.replica(1).serves());
            assert_eq!(rig.replica(1).view().unwrap().members.len(), 3);
        }
    }
}

#[test]
fn whose_address_was_taken_is_found_at_another_one() {
    let mut rig = Rig::three();
    rig.kill(2);
    rig.take_address_of(2);
    rig.restart(2);
    rig.run_ms(1000);
    let address = rig.move_away(2);
    rig.run_ms(1000);
    for server in 1..=3 {
        let cluster = rig.replica(server).cluster().unwrap();
        assert_eq!(cluster.servers[1].address, address, "as {server} knows it");
    }
    assert_eq!(rig.replica(1).view().unwrap().members.len(), 3);
}

#[test]
fn a_later_process_that_dials_first_does_not_hide_a_death() {
    let mut rig = Rig::three();
    rig.kill(3);
    rig.run_ms(500);
    rig.send(1, 5);
    rig.run_ms(100);
    let before = *rig.replica(2).identity();
    rig.kill(1);
    rig.restart(1);
    rig.run_ms(100);
    assert!(rig.replica(2).serves());
    let after = *rig.replica(2).identity();
    assert_eq!(before, after, "nobody had to start over");
}

#[test]
fn what_is_asked_during_a_change_of_view_waits_for_its_end() {
    let mut rig = Rig::three();
    rig.leave(3);
    // The primary stands for a view without 3, and has not decided yet.
    while rig.replica(1).serves() {
        rig.run_ms(1);
    }
    assert!(rig.replica(1).holds_back());
    rig.send(1, 5);
    let waits = rig.reads_refused_or_waiting(1);
    rig.run_ms(50);
    assert!(waits && rig.replica(1).serves());
    assert_eq!(rig.acknowledged(), [5]);
    assert_eq!(rig.answered_reads(1), 1);
}

#[test]
fn who_comes_back_finds_the_new_primary() {
    let mut rig = Rig::three();
    rig.kill(1);
    rig.run_ms(300);
    assert!(rig.replica(2).serves());
    rig.send(2, 1);
    rig.restart(1);
    rig.run_ms(1000);
    assert_eq!(rig.replica(1).role(), Role::Backup);
    assert_eq!(rig.replica(1).leader().unwrap().server, ServerId(2));
    rig.kill(2);
    rig.kill(3);
    rig.run_ms(300);
    assert!(rig.replica(1).serves());
    assert_eq!(rig.applied(1), [1]);
}

#[test]
fn everything_down_and_up_again() {
    for order in [[1, 2, 3], [3, 2, 1], [2, 3, 1]] {
        let mut rig = Rig::three();
        rig.send(1, 4);
        rig.run_ms(200);
        for server in order {
            rig.kill(server);
            rig.run_ms(300);
        }
        // The last one went on alone: it can start at once, the others wait for it.
        rig.restart(order[0]);
        rig.restart(order[1]);
        rig.run_ms(3000);
        assert!(!rig.replica(order[0]).serves());
        let Some(NotReady::Servers(awaited)) = rig.replica(order[0]).not_ready() else {
            panic!("{:?}", rig.replica(order[0]).not_ready());
        };
        assert_eq!(awaited[0].server, ServerId(order[2]));
        rig.restart(order[2]);
        rig.run_ms(2000);
        let serving: Vec<u16> = (1..=3).filter(|s| rig.replica(*s).serves()).collect();
        assert_eq!(serving, [order[2]]);
        for server in 1..=3 {
            assert_eq!(rig.applied(server), [4]);
        }
    }
}

#[test]
fn all_at_once_down_and_all_come_back() {
    let mut rig = Rig::three();
    rig.send(1, 4);
    rig.run_ms(200);
    for server in 1..=3 {
        rig.kill(server);
    }
    rig.restart(3);
    rig.restart(2);
    rig.run_ms(2000);
    assert!(!rig.replica(2).serves() && !rig.replica(3).serves());
    rig.restart(1);
    rig.run_ms(3000);
    let serving: Vec<u16> = (1..=3).filter(|s| rig.replica(*s).serves()).collect();
    assert_eq!(serving.len(), 1);
    for server in 1..=3 {
        assert_eq!(rig.applied(server), [4]);
    }
}

#[test]
fn a_paused_primary_is_replaced_and_comes_back() {
    let mut rig = Rig::three();
    rig.pause(1);
    rig.run_ms(1600);
    assert!(rig.replica(2).serves());
    rig.send(2, 5);
    rig.run_ms(100);
    rig.resume(1);
    assert!(rig.reads_refused_or_waiting(1));
    rig.run_ms(2000);
    assert_eq!(rig.replica(1).role(), Role::Backup, "{:?}", rig.replica(1));
    assert_eq!(rig.applied(1), [5]);
}

#[test]
fn a_cut_off_primary_stops_and_the_others_go_on() {
    let mut rig = Rig::three();
    rig.cut(1, 2);
    rig.cut(1, 3);
    rig.send(1, 8);
    rig.run_ms(1700);
    assert!(rig.replica(2).serves());
    assert!(!rig.replica(1).serves() || rig.reads_refused_or_waiting(1));
    assert_eq!(rig.acknowledged(), [0u64; 0]);
    rig.send(2, 6);
    rig.run_ms(1500);
    assert_eq!(rig.acknowledged(), [6]);
    assert!(!rig.replica(1).serves());
    rig.heal(1, 2);
    rig.heal(1, 3);
    rig.run_ms(2500);
    assert_eq!(rig.replica(1).role(), Role::Backup);
    assert_eq!(rig.applied(1), [6]);
}

#[test]
fn a_link_between_two_is_cut_and_the_view_stays_stable() {
    let mut rig = Rig::three();
    rig.cut(1, 2);
    rig.run_ms(4000);
    let rounds: Vec<u64> = (1..=3)
        .map(|s| rig.replica(s).view().unwrap().number.round())
        .collect();
    assert_eq!((1..=3).filter(|s| rig.replica(*s).serves()).count(), 1);
    rig.run_ms(5000);
    let later: Vec<u64> = (1..=3)
        .map(|s| rig.replica(s).view().unwrap().number.round())
        .collect();
    assert_eq!(rounds, later);
    rig.heal(1, 2);
    rig.run_ms(3000);
    let serving = (1..=3).find(|s| rig.replica(*s).serves()).unwrap();
    assert_eq!(rig.replica(serving).view().unwrap().members.len(), 3);
}

#[test]
fn graceful_leaves_hand_over() {
    let mut rig = Rig::three();
    rig.leave(1);
    rig.run_ms(100);
    assert!(rig.replica(1).may_leave());
    rig.kill(1);
    assert!(rig.replica(2).serves());
    rig.leave(3);
    rig.run_ms(100);
    assert!(rig.replica(3).may_leave());
    rig.kill(3);
    rig.run_ms(1);
    assert!(rig.replica(2).serves());
    rig.leave(2);
    rig.run_ms(1);
    assert!(rig.replica(2).may_leave());
}

#[test]
fn a_forced_primary_begins_a_lineage_that_the_others_follow() {
    let mut rig = Rig::three();
    rig.send(1, 1);
    rig.run_ms(200);
    rig.kill(3);
    rig.run_ms(200);
    rig.kill(2);
    rig.run_ms(200);
    rig.send(1, 2);
    rig.run_ms(200);
    rig.kill(1);
    // What 1 has acknowledged alone is given up.
    rig.force(2);
    rig.run_ms(4000);
    assert!(rig.replica(2).serves());
    rig.send(2, 3);
    rig.run_ms(100);
    rig.restart(3);
    rig.run_ms(1500);
    assert_eq!(rig.applied(3), [1, 3]);
    rig.restart(1);
    rig.run_ms(2500);
    assert_eq!(rig.applied(1), [1, 3]);
    assert_eq!(rig.replica(2).view().unwrap().members.len(), 3);
}

#[test]
fn a_server_with_a_new_disk_takes_the_place_of_the_old_one() {
    let address = |port: u16| ([127, 0, 0, 1], port).into();
    let view = |round, members: &[u16]| {
        ClusterOp::View(View {
            number: ViewNumber::new(round, ServerId(1)),
            lineage: Lineage::default(),
            primary: ServerId(1),
            members: members
                .iter()
                .map(|server| Member {
                    server: ServerId(*server),
                    incarnation: Incarnation {
                        counter: 1,
                        random: 0,
                    },
                })
                .collect(),
        })
    };
    let join = |server, port| ClusterOp::Join {
        server: ServerId(server),
        address: address(port),
    };
    let found = ClusterOp::Found {
        cluster: ClusterId(7),
        lineage: Lineage::default(),
        backups: 0,
    };
    let mut cluster = None;
    let ops = [
        found,
        join(1, 5001),
        join(2, 5002),
        view(1, &[1, 2]),
        // The old one still counts as a member when the new one comes.
        join(3, 5002),
        view(2, &[1]),
    ];
    for (op, number) in ops.into_iter().zip(1..) {
        apply_to_cluster(&mut cluster, op, OpNumber(number));
    }
    let servers = cluster.unwrap().servers;
    let ids: Vec<u16> = servers.iter().map(|record| record.server.0).collect();
    assert_eq!(ids, [1, 3]);
}
