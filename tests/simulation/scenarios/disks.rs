//! Disks lose, fail and lie, and power goes.

use super::*;
use crate::host::Death;
use crate::slow_disks::ELECTED_WITHIN;

#[test]
fn fault_20_a_folder_that_was_emptied_belongs_to_a_learner() {
    play(3, 20, |world| {
        let primary = world.primary();
        let emptied = world.others(primary)[world.random.index(2)];
        world.kill(emptied);
        world.expect_served_by(&[primary], AT_ONCE);
        world.empty_disk(emptied);
        world.start(emptied);
        world.expect_settled();
        world.expect_a_good_end();
    });
}

#[test]
fn fault_20_an_emptied_folder_does_not_help_those_who_wait_for_what_was_in_it() {
    play(3, 20, |world| {
        let last = world.random.index(3);
        let others = world.others(last);
        for host in &others {
            world.kill(*host);
            world.while_random(0, 300 * MILLISECOND);
        }
        world.expect_served_by(&[last], 2 * SECOND);
        world.kill(last);
        world.empty_disk(last);
        for host in 0..3 {
            world.start(host);
        }
        world.expect_refusal(&[0, 1, 2], LONG);
    });
}

#[test]
fn fault_20_an_old_copy_of_a_folder_never_votes() {
    play(3, 20, |world| {
        let old = world.random.index(3);
        let copy = world.hosts[old].disk.copied();
        world.kill(old);
        let others = world.others(old);
        world.expect_served_by(&others, AFTER_GRACE);
        world.start(old);
        world.expect_settled();
        world.while_random(0, SECOND);
        world.kill(old);
        world.expect_served_by(&others, AFTER_GRACE);
        world.hosts[old].disk = copy;
        world.start(old);
        // It is fed like any other, under a number that nobody has seen.
        world.expect_settled();
        world.expect_a_good_end();
    });
}

#[test]
fn fault_22_a_flipped_bit_is_repaired_from_another_server() {
    play(3, 40, |world| {
        let damaged = world.random.index(3);
        world.kill(damaged);
        let others = world.others(damaged);
        world.expect_served_by(&others, AT_ONCE);
        world.flip_bit_at(damaged);
        world.start(damaged);
        world.expect_settled();
        world.expect_a_good_end();
    });
}

#[test]
fn fault_22_a_damaged_journal_does_not_lead_when_everything_was_down() {
    play(3, 40, |world| {
        for host in 0..3 {
            world.kill(host);
        }
        let damaged = world.random.index(3);
        world.flip_bit_at(damaged);
        for host in world.shuffled() {
            world.while_random(0, SECOND);
            world.start(host);
        }
        // Nobody knows what was in it: the others wait, unless it has just lost its torn end.
        world.run_for(LONG);
        let why = world.hosts[damaged].replica().not_ready();
        if why == Some(NotReady::Damaged) {
            world.expect_refusal(&[0, 1, 2], LONG);
        } else {
            world.expect_serving("everybody who was there");
            world.expect_a_good_end();
        }
    });
}

#[test]
fn fault_22_a_damaged_store_is_replaced_by_another_servers() {
    play(3, 40, |world| {
        let damaged = world.random.index(3);
        world.damage_store_at(damaged);
        world.expect_served_by(&[0, 1, 2], AT_ONCE);
        world.expect_settled();
        world.expect_a_good_end();
    });
}

#[test]
fn fault_22_the_last_server_serves_what_is_whole_of_its_store() {
    play(3, 40, |world| {
        let last = world.random.index(3);
        for host in world.others(last) {
            world.kill(host);
        }
        world.expect_served_by(&[last], 2 * SECOND);
        world.damage_store_at(last);
        world.run_for(SECOND);
        world.expect_served_by(&[last], AT_ONCE);
        // It may be started again before anybody is there.
        if world.random.percent(50) {
            world.kill(last);
            world.start(last);
            world.expect_served_by(&[last], 2 * SECOND);
        }
        for host in world.others(last) {
            world.start(host);
        }
        world.expect_settled();
        world.expect_a_good_end();
    });
}

#[test]
fn fault_22_two_stores_are_damaged_at_different_places() {
    play(3, 40, |world| {
        let whole = world.random.index(3);
        for host in world.others(whole) {
            world.damage_store_at(host);
            world.while_random(0, 300 * MILLISECOND);
        }
        world.expect_settled();
        world.expect_a_good_end();
    });
}

#[test]
fn fault_27_a_server_that_can_open_no_file_ends_before_it_promises_anything() {
    play(3, 30, |world| {
        let primary = world.primary();
        let others = world.others(primary);
        let short = others[world.random.index(2)];
        world.hosts[short].disk.limit_opens(0);
        world.kill(primary);
        let third = [0, 1, 2]
            .into_iter()
            .find(|it| *it != primary && *it != short);
        world.expect_served_by(&[third.expect("there are three")], AFTER_GRACE);
        world.expect_a_good_end();
    });
}

#[test]
fn faults_23_and_24_a_disk_that_fails_or_is_full_ends_its_server_and_no_other() {
    play(3, 30, |world| {
        let broken = world.random.index(3);
        let later = world.random.below(5);
        let kind = world.random.below(3);
        for storage in world.hosts[broken].disk.journals.values() {
            match kind {
                0 => storage.fail_write(later),
                1 => storage.fail_sync(later),
                _ => storage.limit_growth(200 * later),
            }
        }
        let ends = world.run_until(20 * SECOND, |it| it.hosts[broken].process.is_none());
        assert!(ends, "it goes on with a disk that fails");
        let others = world.others(broken);
        world.expect_served_by(&others, AT_ONCE);
        world.expect_a_good_end();
    });
}

#[test]
fn fault_25_one_server_loses_power() {
    play(3, 30, |world| {
        let dark = world.random.index(3);
        world.end(dark, Death::PowerCut);
        let others = world.others(dark);
        world.expect_served_by(&others, AFTER_GRACE);
        world.power_on(dark);
        world.start(dark);
        world.expect_settled();
        world.expect_a_good_end();
    });
}

#[test]
fn fault_25_all_lose_power_at_once() {
    play(3, 60, |world| {
        for host in 0..3 {
            world.end(host, Death::PowerCut);
        }
        for host in world.shuffled() {
            world.while_random(0, SECOND);
            world.power_on(host);
            world.start(host);
        }
        world.expect_serving("everybody who was there");
        world.expect_a_good_end();
    });
}

#[test]
fn fault_25_all_of_five_lose_power_one_after_the_other() {
    play(5, 20, |world| {
        for host in world.shuffled() {
            world.end(host, Death::PowerCut);
            world.while_random(0, 600 * MILLISECOND);
        }
        world.expect_a_good_end();
    });
}

#[test]
fn fault_34_somebody_is_elected_on_slow_disks() {
    play(3, 40, |world| {
        let primary = world.primary();
        let others = world.others(primary);
        let slow = match world.random.index(3) {
            0 => vec![0, 1, 2],
            1 => vec![others[0]],
            _ => vec![others[1]],
        };
        let delays = [20, 100, 200, 300, 500, 1000];
        let delay = delays[world.random.index(delays.len())] * MILLISECOND;
        world.slow_down(&slow, delay);
        // Before a slow one is left out.
        world.while_random(0, 4 * SECOND);
        let primary = world.primary();
        let others = world.others(primary);
        world.kill(primary);
        world.expect_served_by(&others, ELECTED_WITHIN);
        world.expect_a_good_end();
    });
}

#[test]
fn fault_34_the_view_stays_while_all_disks_are_slow() {
    play(3, 20, |world| {
        let round = world.newest_round();
        world.slow_down(&[0, 1, 2], 900 * MILLISECOND);
        world.run_for(20 * SECOND);
        assert_eq!(world.newest_round(), round, "{}", world.describe());
        world.expect_a_good_end();
    });
}

/// Its disk holds up every write. It is left out once, stays out while it is slow, and comes back.
#[test]
fn fault_34_a_server_whose_disk_is_far_slower_is_left_out_until_it_is_quick() {
    play(3, 20, |world| {
        let slow = world.random.index(3);
        let members = |world: &World| match world.serving()[..] {
            [one] => world.hosts[one].replica().view().map(|it| it.members.len()),
            _ => None,
        };
        world.slow_down(&[slow], 600 * MILLISECOND);
        let is_out = world.run_until(20 * SECOND, |world| {
            !world.serving().contains(&slow) && members(world) == Some(2)
        });
        assert!(is_out, "it stays a member:\n{}", world.describe());
        let round = world.newest_round();
        world.run_for(25 * SECOND);
        assert_eq!(world.newest_round(), round, "{}", world.describe());
        world.expect_a_good_end();
    });
}
