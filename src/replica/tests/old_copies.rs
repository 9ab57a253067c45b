//! Somebody copies a data folder, and puts the copy back later.

use super::rig::Rig;
use super::{NotReady, ServerId};

/// The copy and the folder that went on have both begun the same view at the same op.
#[test]
fn numbers_that_an_old_copy_gives_again_when_it_is_forced_are_not_taken_for_the_same() {
    let mut rig = Rig::three();
    rig.send(1, 1);
    rig.run_ms(300);
    let copy = rig.copy(1);
    rig.kill(3);
    rig.run_ms(300);
    rig.send(1, 2);
    rig.run_ms(300);
    let lost = rig.replica(1).view().unwrap().clone();
    rig.kill(1);
    rig.kill(2);
    rig.put_back(1, copy);
    rig.force(1);
    rig.run_ms(4000);
    rig.send(1, 3);
    rig.run_ms(300);
    let forced = rig.replica(1).view().unwrap();
    assert_eq!(forced.number, lost.number, "the same number, by chance");
    rig.restart(2);
    rig.run_ms(2000);
    rig.restart(3);
    rig.run_ms(2000);
    for server in 1..=3 {
        assert_eq!(rig.applied(server), [1, 3], "of {server}");
    }
    assert_eq!(rig.replica(1).view().unwrap().members.len(), 3);
}

#[test]
fn after_everything_was_down_an_old_copy_does_not_count_for_the_server_that_went_on() {
    let mut rig = Rig::three();
    let copy = rig.copy(3);
    rig.kill(3);
    rig.restart(3);
    rig.run_ms(1500);
    rig.kill(3);
    rig.restart(3);
    rig.run_ms(1500);
    rig.kill(1);
    rig.kill(2);
    rig.run_ms(300);
    rig.send(3, 7);
    rig.run_ms(100);
    assert_eq!(rig.acknowledged(), [7]);
    rig.kill(3);
    let went_on = rig.copy(3);
    rig.put_back(3, copy);
    for server in 1..=3 {
        rig.restart(server);
    }
    rig.run_ms(8000);
    assert!((1..=3).all(|server| !rig.replica(server).serves()));
    let Some(NotReady::Folders(awaited)) = rig.replica(1).not_ready() else {
        panic!("{:?}", rig.replica(1).not_ready());
    };
    assert_eq!(awaited[0].server, ServerId(3));
    // The right folder comes back after all.
    rig.kill(3);
    rig.put_back(3, went_on);
    rig.restart(3);
    rig.run_ms(3000);
    for server in 1..=3 {
        assert_eq!(rig.applied(server), [7], "of {server}");
    }
}

#[test]
fn the_end_of_a_copy_elsewhere_is_not_that_of_the_server() {
    let mut rig = Rig::three();
    rig.kill(3);
    rig.run_ms(300);
    rig.cut(1, 2);
    rig.run_ms(1500);
    assert!(rig.replica(1).serves());
    rig.copy_comes_and_goes(1, 2);
    rig.run_ms(1000);
    assert!(rig.replica(1).serves());
    assert!(!rig.replica(2).serves(), "two primaries");
}
