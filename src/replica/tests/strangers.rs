//! Servers that come and go, and servers that talk nonsense.

use super::rig::Rig;
use crate::limits::SERVERS_MAX;

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
