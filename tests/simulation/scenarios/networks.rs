//! Packets do not arrive, or somebody else answers them.

use super::*;

#[test]
fn fault_9_one_is_dead_and_the_other_two_are_cut_apart() {
    play(3, 30, |world| {
        let primary = world.primary();
        let others = world.others(primary);
        let dead = others[world.random.index(2)];
        let backup = others[usize::from(others[0] == dead)];
        world.kill(dead);
        if world.random.percent(50) {
            // It is a view of two by then, of which the primary's half is enough.
            world.expect_served_by(&[primary], AT_ONCE);
            world.run_for(SECOND);
        }
        world.cut_apart(primary, backup);
        world.expect_refusal(&[backup], LONG);
        let both_voted = world.serving();
        assert!(
            both_voted.is_empty() || both_voted == [primary],
            "{}",
            world.describe()
        );
        world.expect_a_good_end();
    });
}

#[test]
fn fault_9_the_primarys_half_of_two_serves_on_after_the_grace() {
    play(3, 20, |world| {
        let primary = world.primary();
        let [dead, backup] = world.others(primary)[..] else {
            unreachable!("three servers");
        };
        world.kill(dead);
        world.expect_served_by(&[primary], AT_ONCE);
        world.run_for(SECOND);
        world.cut_apart(primary, backup);
        world.run_for(1100 * MILLISECOND);
        world.expect_served_by(&[primary], AFTER_GRACE);
        world.expect_refusal(&[backup], LONG);
        world.expect_a_good_end();
    });
}

#[test]
fn fault_10_the_primary_is_cut_off() {
    play(3, 30, |world| {
        let primary = world.primary();
        world.isolate(primary);
        // From then on no Ping of it was echoed for longer than L.
        world.run_for(1100 * MILLISECOND);
        let others = world.others(primary);
        let reads_before = world.checker.reads;
        let acknowledged_before = world.checker.acknowledged;
        if world.serving().contains(&primary)
            && !world.serving().iter().any(|it| others.contains(it))
        {
            world.run_for(10 * MILLISECOND);
            let silent = world.checker.reads == reads_before
                && world.checker.acknowledged == acknowledged_before;
            assert!(silent || world.serving() != [primary], "it answers alone");
        }
        let served = world.run_until(AFTER_GRACE, |it| {
            it.serving().iter().any(|it| others.contains(it))
        });
        assert!(served, "{}", world.describe());
        world.run_for(2 * SECOND);
        world.mend_all();
        world.expect_settled();
        assert!(others.contains(&world.primary()));
        world.expect_a_good_end();
    });
}

#[test]
fn fault_11_a_backup_is_cut_off_and_comes_back() {
    play(3, 30, |world| {
        let primary = world.primary();
        let backup = world.others(primary)[world.random.index(2)];
        world.isolate(backup);
        world.run_for(1100 * MILLISECOND);
        world.expect_served_by(&[primary], AFTER_GRACE);
        world.while_random(0, 3 * SECOND);
        world.mend_all();
        world.expect_settled();
        assert_eq!(world.primary(), primary);
        world.expect_a_good_end();
    });
}

#[test]
fn fault_12_two_do_not_see_each_other_and_the_third_sees_both() {
    for [one, other] in [[0, 1], [0, 2], [1, 2]] {
        play(3, 15, |world| {
            world.cut_apart(one, other);
            world.run_for(5 * SECOND);
            let round = world.newest_round();
            world.expect_served_by(&[0, 1, 2], AFTER_GRACE);
            world.run_for(10 * SECOND);
            assert!(
                world.newest_round() <= round + 1,
                "the views change from {round} to {}:\n{}",
                world.newest_round(),
                world.describe()
            );
            world.expect_a_good_end();
        });
    }
}

#[test]
fn fault_13_nothing_goes_one_way() {
    for [from, to] in [[0, 1], [1, 0], [1, 2], [2, 1], [0, 2], [2, 0]] {
        play(3, 8, |world| {
            world.cut(from, to);
            world.run_for(5 * SECOND);
            let round = world.newest_round();
            world.expect_served_by(&[0, 1, 2], AFTER_GRACE);
            world.run_for(10 * SECOND);
            assert!(
                world.newest_round() <= round + 2,
                "the views change from {round} to {}:\n{}",
                world.newest_round(),
                world.describe()
            );
            world.expect_a_good_end();
        });
    }
}

#[test]
fn fault_15_a_third_of_everything_is_lost_and_comes_late_or_twice() {
    let mut settings = Settings::calm(3);
    settings.duplicates_per_mille = 100;
    settings.latency = (MILLISECOND, 30 * MILLISECOND);
    play_with(settings, 10, |world| {
        world.settings.loss_per_mille = 300;
        world.run_for(20 * SECOND);
        world.expect_a_good_end();
    });
}

#[test]
fn fault_16_a_reset_is_forged_on_a_live_link() {
    play(3, 30, |world| {
        let round = world.newest_round();
        for _ in 0..5 {
            let one = world.random.index(3);
            let other = world.others(one)[world.random.index(2)];
            world.forge_resets(one, other);
            world.while_random(0, SECOND);
        }
        world.run_for(SECOND);
        assert_eq!(world.newest_round(), round, "{}", world.describe());
        world.expect_a_good_end();
    });
}

#[test]
fn fault_17_one_link_is_refused_and_the_other_is_not() {
    play(3, 30, |world| {
        let one = world.random.index(3);
        let other = world.others(one)[world.random.index(2)];
        let is_both = world.random.percent(50);
        world.refuse(one, other);
        if is_both {
            world.refuse(other, one);
        }
        world.forge_resets(one, other);
        // Long enough for refusals to come, and not so long that they are silent.
        world.run_for(800 * MILLISECOND);
        // A primary that stood in vain is relieved by one that hears everybody; nobody is excluded.
        let view = world.hosts[world.primary()].replica().view();
        assert_eq!(view.map(|it| it.members.len()), Some(3));
        world.mend_all();
        world.expect_a_good_end();
    });
}

#[test]
fn fault_17_one_link_is_refused_after_the_other() {
    play(3, 30, |world| {
        let one = world.random.index(3);
        // Each time a third hears both: who was called dead once, and is back, is asked again.
        for other in world.others(one) {
            world.checker.heard = world.hosts.iter().filter_map(|it| it.server).collect();
            world.refuse(one, other);
            world.refuse(other, one);
            world.forge_resets(one, other);
            world.while_random(200 * MILLISECOND, 700 * MILLISECOND);
            world.checker.heard.clear();
            world.mend_all();
            let are_back = world.run_until(AFTER_GRACE, |it| it.are_linked(one, other));
            assert!(are_back, "{}", world.describe());
        }
        world.expect_a_good_end();
    });
}

#[test]
fn after_a_long_cut_the_links_do_not_sleep_on() {
    play(3, 15, |world| {
        let primary = world.primary();
        let cut_off = match world.random.index(3) {
            0 => vec![0, 1, 2],
            1 => vec![primary],
            _ => vec![world.others(primary)[world.random.index(2)]],
        };
        for host in cut_off {
            world.isolate(host);
        }
        world.while_random(5 * SECOND, 60 * SECOND);
        world.mend_all();
        let serves = world.run_until(2 * SECOND, |it| it.serving().len() == 1);
        assert!(serves, "nobody serves:\n{}", world.describe());
        let is_in_sync = world.run_until(5 * SECOND, World::is_settled);
        assert!(is_in_sync, "not in sync:\n{}", world.describe());
        world.expect_a_good_end();
    });
}

#[test]
fn of_five_one_is_cut_from_two_and_a_majority_that_can_talk_serves() {
    play(5, 60, |world| {
        let one = match world.random.percent(60) {
            true => world.primary(),
            false => world.random.index(5),
        };
        let mut others = world.others(one);
        for _ in 0..2 {
            let other = others.swap_remove(world.random.index(others.len()));
            world.cut_apart(one, other);
        }
        world.run_for(5 * SECOND);
        world.expect_served_by(&[0, 1, 2, 3, 4], SECOND);
        world.mend_all();
        world.expect_a_good_end();
    });
}

#[test]
fn whatever_is_cut_a_majority_of_five_that_can_talk_serves() {
    play(5, 60, |world| {
        // Three stay linked with each other; of the rest, anything may be cut.
        let mut hosts = world.shuffled();
        let clique = hosts.split_off(2);
        let pairs = (0..5).flat_map(|one| (one + 1..5).map(move |other| (one, other)));
        for (one, other) in pairs {
            let may_be_cut = !(clique.contains(&one) && clique.contains(&other));
            if may_be_cut && world.random.percent(40) {
                world.cut_apart(one, other);
            }
        }
        world.run_for(7 * SECOND);
        world.expect_served_by(&[0, 1, 2, 3, 4], SECOND);
        world.mend_all();
        world.expect_a_good_end();
    });
}

#[test]
fn two_who_went_on_after_a_shorter_grace_are_not_called_dead_by_the_third() {
    play(3, 30, |world| {
        let cut_off = world.random.index(3);
        let others = world.others(cut_off);
        for other in &others {
            let (fresh, grace) = (120 * MILLISECOND, 150 * MILLISECOND);
            world.hosts[*other].timing =
                Some((Duration::from_nanos(fresh), Duration::from_nanos(grace)));
            world.kill(*other);
            world.expect_serving("without it");
            world.start(*other);
            world.expect_settled();
        }
        if world.primary() == cut_off {
            world.kill(cut_off);
            world.expect_serving("without it");
            world.start(cut_off);
            world.expect_settled();
        }
        world.isolate(cut_off);
        // Long enough for their grace, and not for the limit of the third.
        world.run_for(280 * MILLISECOND);
        let members = world.hosts[world.primary()]
            .replica()
            .view()
            .map(|it| it.members.len());
        assert_eq!(members, Some(2), "{}", world.describe());
        for other in &others {
            world.kill(*other);
        }
        world.mend_all();
        // What was acknowledged without it, it does not have.
        world.expect_refusal(&[cut_off], 2 * SECOND);
        for other in others {
            world.start(other);
        }
        world.expect_a_good_end();
    });
}
