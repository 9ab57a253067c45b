//! Processes and machines stand still, and clocks are wrong.

use super::*;

#[test]
fn fault_7_a_stopped_backup_refuses_when_it_wakes_alone() {
    play(3, 20, |world| {
        let primary = world.primary();
        let others = world.others(primary);
        let stopped = others[world.random.index(2)];
        let backup = others[usize::from(others[0] == stopped)];
        world.pause(stopped);
        world.run_for(1100 * MILLISECOND);
        world.expect_served_by(&[primary], AFTER_GRACE);
        world.kill(primary);
        world.while_random(0, 200 * MILLISECOND);
        world.kill(backup);
        world.while_random(0, SECOND);
        world.resume(stopped);
        world.expect_refusal(&[stopped], LONG);
        world.expect_a_good_end();
    });
}

#[test]
fn fault_8_a_backup_that_was_cut_off_refuses_when_it_is_alone() {
    play(3, 20, |world| {
        let primary = world.primary();
        let others = world.others(primary);
        let away = others[world.random.index(2)];
        let backup = others[usize::from(others[0] == away)];
        world.isolate(away);
        world.run_for(1100 * MILLISECOND);
        world.expect_served_by(&[primary], AFTER_GRACE);
        world.kill(primary);
        world.while_random(0, 200 * MILLISECOND);
        world.kill(backup);
        world.while_random(0, SECOND);
        world.mend_all();
        world.expect_refusal(&[away], LONG);
        world.expect_a_good_end();
    });
}

#[test]
fn fault_14_the_primary_stands_still_while_the_next_serves() {
    play(3, 30, |world| {
        let primary = world.primary();
        world.pause(primary);
        let others = world.others(primary);
        world.run_for(SECOND);
        world.expect_served_by(&others, AFTER_GRACE);
        world.while_random(0, 2 * SECOND);
        world.resume(primary);
        world.expect_settled();
        assert!(others.contains(&world.primary()));
        world.expect_a_good_end();
    });
}

#[test]
fn fault_14_short_stops_of_everybody_change_nothing() {
    play(3, 20, |world| {
        let round = world.newest_round();
        for _ in 0..5 {
            let host = world.random.index(3);
            world.pause(host);
            world.while_random(0, 600 * MILLISECOND);
            world.resume(host);
            world.while_random(100 * MILLISECOND, 400 * MILLISECOND);
        }
        assert_eq!(world.newest_round(), round, "{}", world.describe());
        world.expect_a_good_end();
    });
}

#[test]
fn fault_26_a_machine_is_suspended_for_a_minute() {
    play(3, 6, |world| {
        let primary = world.primary();
        world.suspend(primary);
        let others = world.others(primary);
        world.run_for(SECOND);
        world.expect_served_by(&others, AFTER_GRACE);
        world.run_for(60 * SECOND);
        world.resume(primary);
        world.expect_settled();
        assert!(others.contains(&world.primary()));
        world.expect_a_good_end();
    });
}

#[test]
fn fault_26_wall_clocks_are_an_hour_off() {
    play(3, 10, |world| {
        let round = world.newest_round();
        for host in 0..3 {
            world.hosts[host].set_wall_clock(if host == 0 { 3_600_000 } else { -3_600_000 });
        }
        world.run_for(3 * SECOND);
        assert_eq!(world.newest_round(), round);
        let primary = world.primary();
        world.kill(primary);
        world.expect_a_good_end();
    });
}

#[test]
fn fault_26_a_wall_clock_is_a_year_ahead_for_a_moment() {
    play(3, 20, |world| {
        for host in 0..3 {
            world.hosts[host].set_wall_clock(0);
        }
        // Everybody tells everybody.
        world.run_for(SECOND);
        let primary = world.primary();
        let year_ms = 365 * 24 * 3_600_000;
        world.hosts[primary].set_wall_clock(year_ms);
        // The checker compares the time of each op with the other clocks.
        world.while_random(100 * MILLISECOND, SECOND);
        world.hosts[primary].set_wall_clock(0);
        world.expect_a_good_end();
    });
}
