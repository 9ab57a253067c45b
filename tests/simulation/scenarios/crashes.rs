//! Processes are killed, and come back.

use super::*;

#[test]
fn fault_1_the_primary_is_killed_under_load() {
    play(3, 20, |world| {
        let primary = world.primary();
        world.kill(primary);
        let others = world.others(primary);
        let next = world.expect_served_by(&others, AT_ONCE);
        let lowest = others.iter().map(|it| world.server_id(*it)).min();
        assert_eq!(
            Some(world.server_id(next)),
            lowest,
            "the lowest id takes over"
        );
        world.start(primary);
        world.expect_settled();
        assert_eq!(world.primary(), next, "there is no going back");
        world.expect_a_good_end();
    });
}

#[test]
fn fault_2_a_backup_is_killed_in_the_middle_of_an_acknowledgement() {
    play(3, 20, |world| {
        let primary = world.primary();
        let backup = world.others(primary)[world.random.index(2)];
        world.kill(backup);
        let next = world.expect_served_by(&[primary], AT_ONCE);
        assert_eq!(next, primary);
        world.expect_settled();
        world.expect_a_good_end();
    });
}

#[test]
fn fault_3_two_of_three_are_killed_up_to_half_a_second_apart() {
    play(3, 60, |world| {
        let order = world.shuffled();
        world.kill(order[0]);
        world.while_random(0, 500 * MILLISECOND);
        world.kill(order[1]);
        world.expect_served_by(&order[2..], 2 * SECOND);
        world.expect_a_good_end();
    });
}

#[test]
fn fault_3_four_of_five_are_killed_one_after_the_other() {
    play(5, 20, |world| {
        let order = world.shuffled();
        for host in &order[..4] {
            world.kill(*host);
            world.while_random(0, 700 * MILLISECOND);
        }
        world.expect_served_by(&order[4..], 3 * SECOND);
        world.expect_a_good_end();
    });
}

#[test]
fn fault_4_all_are_killed_in_some_order_and_come_back_in_another() {
    play(3, 60, |world| {
        let order = world.shuffled();
        for host in &order {
            world.kill(*host);
            world.while_random(0, 800 * MILLISECOND);
        }
        for host in world.shuffled() {
            world.while_random(0, 1500 * MILLISECOND);
            world.start(host);
        }
        world.expect_serving("everybody who was there");
        world.expect_a_good_end();
    });
}

#[test]
fn fault_5_two_without_the_third_that_went_on_alone_refuse() {
    play(3, 20, |world| {
        let last = world.random.index(3);
        let others = world.others(last);
        for host in &others {
            world.kill(*host);
            world.while_random(0, 300 * MILLISECOND);
        }
        world.expect_served_by(&[last], 2 * SECOND);
        world.kill(last);
        for host in &others {
            world.start(*host);
        }
        world.expect_refusal(&others, LONG);
        for host in &others {
            let server = world.server_id(last);
            world.expect_waits_for(*host, server);
        }
        world.start(last);
        world.expect_serving("with the third one");
        world.expect_a_good_end();
    });
}

#[test]
fn fault_6_two_refuse_while_the_third_serves_on_and_cannot_be_reached() {
    play(3, 20, |world| {
        let last = world.random.index(3);
        let others = world.others(last);
        for host in &others {
            world.kill(*host);
            world.while_random(0, 300 * MILLISECOND);
        }
        world.expect_served_by(&[last], 2 * SECOND);
        world.isolate(last);
        for host in &others {
            world.start(*host);
        }
        world.expect_refusal(&others, LONG);
        world.expect_served_by(&[last], MILLISECOND);
        world.expect_a_good_end();
    });
}

#[test]
fn fault_18_a_server_that_is_being_fed_is_killed_or_who_feeds_it() {
    play(3, 60, |world| {
        let primary = world.primary();
        let [feeds, rejoins] = world.others(primary)[..] else {
            unreachable!("three servers");
        };
        world.kill(rejoins);
        world.expect_served_by(&[primary], AT_ONCE);
        world.while_random(0, 3 * SECOND);
        world.start(rejoins);
        world.while_random(0, 150 * MILLISECOND);
        if world.random.percent(50) {
            world.kill(rejoins);
        } else {
            // Neither of those who have everything is left: the one that is being fed must wait,
            // unless it was admitted.
            world.kill(primary);
            world.kill(feeds);
        }
        world.while_random(0, 2 * SECOND);
        world.expect_a_good_end();
    });
}

#[test]
fn fault_32_rolling_restarts_under_load() {
    play(3, 6, |world| {
        for _ in 0..2 {
            for host in 0..3 {
                if world.random.percent(50) {
                    world.kill(host);
                } else {
                    world.leave(host);
                    world.run_for(1600 * MILLISECOND);
                }
                world.while_random(0, 500 * MILLISECOND);
                world.start(host);
                world.expect_settled();
            }
        }
        world.expect_a_good_end();
    });
}

#[test]
fn who_leaves_hands_over_before_it_ends() {
    play(3, 20, |world| {
        let primary = world.primary();
        world.leave(primary);
        let others = world.others(primary);
        world.expect_served_by(&others, AT_ONCE);
        let is_gone = world.run_until(1600 * MILLISECOND, |it| it.hosts[primary].process.is_none());
        assert!(is_gone);
        world.expect_a_good_end();
    });
}
