//! Something happens in the middle of a change of view.

use super::*;
use crate::faults::Strike;
use crate::host::Death;

/// Kills a server, and then another one just at a certain message of what follows. The third has
/// to go on alone, unless it cannot know that the other one is dead.
fn strike_during_change(servers: usize, death: Death, kills_peer: bool, swallows: bool) {
    for after in 0..24 {
        play(servers, 2, |world| {
            let first = if world.random.percent(60) {
                world.primary()
            } else {
                world.random.index(servers)
            };
            world.kill(first);
            world.strike_at(Strike {
                after,
                death,
                kills_peer,
                swallows,
            });
            world.run_for(2 * SECOND);
            if world.has_struck() && death == Death::Kill {
                let rest: Vec<usize> = (0..servers)
                    .filter(|it| world.hosts[*it].process.is_some())
                    .collect();
                world.expect_served_by(&rest, AFTER_GRACE);
            }
            world.expect_a_good_end();
        });
    }
}

#[test]
fn fault_19_who_sends_is_killed_at_every_step_of_a_view_change() {
    strike_during_change(3, Death::Kill, false, true);
    strike_during_change(3, Death::Kill, false, false);
}

#[test]
fn fault_19_who_is_told_is_killed_at_every_step_of_a_view_change() {
    strike_during_change(3, Death::Kill, true, false);
    strike_during_change(5, Death::Kill, true, false);
}

#[test]
fn fault_19_the_power_goes_at_every_step_of_a_view_change() {
    strike_during_change(3, Death::PowerCut, false, true);
    strike_during_change(5, Death::PowerCut, true, false);
}

#[test]
fn candidates_that_duel_agree_before_long() {
    play(5, 20, |world| {
        let primary = world.primary();
        world.kill(primary);
        // Everybody sees some of the others, and for a while each sees others.
        for _ in 0..10 {
            let one = world.random.index(5);
            let other = world.others(one)[world.random.index(4)];
            world.cut_apart(one, other);
            world.while_random(0, 300 * MILLISECOND);
            world.mend(one, other);
            world.mend(other, one);
        }
        world.expect_serving("four that see each other again");
        world.expect_a_good_end();
    });
}

#[test]
fn members_that_are_all_restarted_start_over() {
    play(3, 30, |world| {
        // Some of them at the same time, so that each view has members that are not there any more.
        for _ in 0..4 {
            for host in world.shuffled() {
                if world.random.percent(60) {
                    world.kill(host);
                    world.while_random(0, 40 * MILLISECOND);
                    world.start(host);
                }
            }
            world.while_random(0, 300 * MILLISECOND);
        }
        world.expect_serving("three that were all restarted");
        world.expect_a_good_end();
    });
}

#[test]
fn a_promise_does_not_bind_for_ever() {
    play(3, 30, |world| {
        // The primary is alone for a while, and so is each of the others, in turn.
        for _ in 0..3 {
            for host in world.shuffled() {
                world.isolate(host);
                world.while_random(500 * MILLISECOND, 1500 * MILLISECOND);
                world.mend_all();
                world.while_random(0, 200 * MILLISECOND);
            }
        }
        world.expect_serving("three that see each other again");
        world.expect_a_good_end();
    });
}
