//! Servers that come and go, and servers that talk nonsense.

use super::rig::Rig;
use super::{Incarnation, Member, OpNumber, Role, ServerId, ViewNumber};
use crate::limits::SERVERS_MAX;
use crate::wire::peer::PeerMessage;

#[test]
fn a_folder_may_be_emptied_more_often_than_there_can_be_servers() {
    let mut rig = Rig::new();
    rig.found(1);
    rig.run_ms(50);
    rig.join();
    rig.run_ms(600);
    let mut backup = 2;
    for _ in 0..SERVERS_MAX + 4 {
        rig.kill(backup);
        rig.run_ms(100);
        backup = rig.replace(backup);
        rig.run_ms(600);
        assert_eq!(rig.replica(1).view().unwrap().members.len(), 2);
    }
    assert!(rig.replica(1).serves());
}

#[test]
fn when_all_ids_are_given_a_server_that_is_gone_makes_room() {
    let mut rig = Rig::new();
    rig.found(1);
    rig.run_ms(50);
    rig.join();
    rig.run_ms(600);
    for other in 3..SERVERS_MAX as u16 + 6 {
        rig.join();
        rig.run_ms(600);
        assert_eq!(rig.replica(other).role(), Role::Backup, "server {other}");
        rig.kill(other);
        rig.run_ms(300);
        assert!(rig.replica(1).cluster().unwrap().servers.len() <= SERVERS_MAX);
    }
    // One that was forgotten is back, and so is a disk that was replaced.
    rig.restart(3);
    rig.run_ms(1500);
    assert_eq!(rig.replica(3).role(), Role::Backup);
    rig.kill(2);
    let replaced = rig.replace(2);
    rig.run_ms(1500);
    assert_eq!(rig.replica(replaced).role(), Role::Backup);
}

#[test]
fn who_claims_one_id_after_the_other_makes_nobody_say_what_cannot_be_said() {
    let mut rig = Rig::three();
    for server in 100..100 + SERVERS_MAX as u16 + 4 {
        rig.connect_as(server, 1);
    }
    rig.run_ms(1000);
    assert!(rig.replica(1).cluster().unwrap().servers.len() <= SERVERS_MAX);
    rig.kill(1);
    rig.run_ms(500);
    assert!(rig.replica(2).serves());
}

#[test]
fn a_number_that_none_can_follow_takes_no_promise_back() {
    let mut rig = Rig::three();
    let before = rig.replica(2).vote().promised;
    let voter = rig.replica(3).identity().member();
    let number = ViewNumber::new(1, ServerId(2));
    let promised = ViewNumber(u64::MAX);
    let overruled = PeerMessage::Overruled {
        number,
        voter,
        promised,
    };
    rig.say(3, 2, overruled);
    rig.kill(1);
    for _ in 0..1000 {
        rig.run_ms(1);
        assert!(rig.replica(2).vote().promised >= before);
    }
    assert!(rig.replica(3).serves());
}

#[test]
fn a_snapshot_takes_the_place_only_of_what_a_learner_has_from_whoever_feeds_it() {
    let mut rig = Rig::three();
    rig.kill(3);
    rig.run_ms(300);
    rig.send(1, 1);
    rig.restart(3);
    let behind = OpNumber(rig.replica(3).head().0);
    let mut was_learner = false;
    for _ in 0..1500 {
        rig.run_ms(1);
        let learner = rig.replica(3);
        let is_learner = learner.role() == Role::Learner && learner.leader().is_some();
        let newest = OpNumber::MAX;
        assert_eq!(learner.may_install(ServerId(1), newest), is_learner);
        assert!(
            !learner.may_install(ServerId(2), newest),
            "it does not lead"
        );
        if is_learner && learner.head() > behind {
            // It has acknowledged more.
            assert!(!learner.may_install(ServerId(1), behind));
        }
        was_learner |= is_learner;
    }
    assert!(was_learner);
    assert_eq!(rig.replica(3).role(), Role::Backup);
}

#[test]
fn only_those_who_were_asked_promise() {
    let mut rig = Rig::three();
    rig.kill(1);
    rig.cut(2, 3);
    for counter in 0..1200 {
        rig.run_ms(1);
        for random in 0..20 {
            let number = rig.replica(3).vote().promised;
            let voter = Member {
                server: ServerId(2),
                incarnation: Incarnation { counter, random },
            };
            rig.say(2, 3, PeerMessage::Promise { number, voter });
        }
    }
    assert!(!rig.replica(3).serves());
}
