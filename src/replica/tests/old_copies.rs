//! Somebody copies a data folder, and puts the copy back later.

use super::rig::Rig;

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
    rig.run_ms(500);
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
