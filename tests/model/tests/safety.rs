//! Is nothing ever lost, and is there never a second primary?

use lastword_model::checker::search;
use lastword_model::rules::Setting;
use lastword_model::walks::walk;

/// Looks at every state there is.
fn holds(setting: Setting) {
    let outcome = search(&setting, 3_000_000);
    if let Some(violation) = outcome.violation {
        panic!("{violation}");
    }
    assert!(outcome.complete, "more than {} states", outcome.states);
    println!("{} states, {} steps deep", outcome.states, outcome.depth);
}

/// Walks at random, far.
fn holds_on_walks(setting: Setting, steps: usize) {
    let outcome = walk(&setting, steps, 120, 1);
    if let Some(violation) = outcome.violation {
        panic!("{violation}");
    }
}

#[test]
fn three_servers_two_crashes() {
    holds(Setting::calm(3).with("2 crashes, 1 op, 3 numbers"));
}

#[test]
fn three_servers_a_crash_a_cut_and_an_op() {
    holds(Setting::calm(3).with("1 crash, 1 cut, 1 op, 3 numbers"));
}

#[test]
fn three_servers_walk_far() {
    let faults = "4 crashes, 3 restarts, 2 pauses, 3 cuts, 3 heals, 3 ops, 9 log, 12 numbers";
    holds_on_walks(Setting::calm(3).with(faults), 30_000);
    holds_on_walks(Setting::calm(3).free().with(faults), 30_000);
    holds_on_walks(Setting::calm(3).wild().with(faults), 30_000);
}

#[test]
fn four_and_five_servers_walk_far() {
    let faults = "4 crashes, 3 restarts, 2 pauses, 3 cuts, 3 heals, 3 ops, 9 log, 12 numbers";
    for servers in [4, 5] {
        let mut setting = Setting::calm(servers).with(faults);
        holds_on_walks(setting, 20_000);
        setting.world.cuts_in_two = true;
        holds_on_walks(setting.free(), 20_000);
    }
}

#[test]
fn a_copy_is_put_back_or_runs_beside_its_original() {
    let faults = "1 copy, 1 restore, 1 crash, 1 stop, 2 restarts, 1 op, 4 numbers, 5 log";
    holds(Setting::calm(1).beside().with(faults));
    holds(
        Setting::calm(2)
            .beside()
            .with("1 copy, 1 crash, 1 restart, 1 op, 3 numbers"),
    );
    holds(Setting::calm(2).with("1 copy, 1 restore, 1 crash, 1 restart, 1 op, 3 numbers"));
    holds(Setting::calm(2).with("1 loss, 2 crashes, 2 restarts, 1 op, 4 numbers"));
}

#[test]
fn a_journal_is_damaged_when_all_were_down() {
    holds(Setting::calm(2).with("2 crashes, 2 restarts, 1 damage, 1 op, 4 numbers"));
}

#[test]
fn a_server_is_forced_to_lead() {
    let faults = "2 crashes, 1 restart, 1 force, 1 op, 5 numbers, 6 log";
    holds(Setting::calm(2).admitting().with(faults));
}

#[test]
fn folders_are_copied_lost_and_forced_on_long_walks() {
    let faults = "4 crashes, 4 restarts, 1 pause, 2 cuts, 2 heals, 2 stops, 1 loss, 1 damage, \
                  2 forces, 3 ops, 9 log, 12 numbers";
    for faults in [faults.to_owned(), format!("{faults}, 2 copies, 2 restores")] {
        let setting = Setting::calm(3).admitting().beside().with(&faults);
        holds_on_walks(setting, 20_000);
        holds_on_walks(setting.free(), 20_000);
        holds_on_walks(setting.wild(), 20_000);
    }
}

#[test]
fn four_servers_a_crash() {
    holds(Setting::calm(4).with("1 crash, 3 numbers"));
}

#[test]
fn four_servers_cut_in_two() {
    let mut setting = Setting::calm(4).with("1 cut, 3 numbers");
    setting.world.cuts_in_two = true;
    holds(setting);
}

#[test]
fn five_servers_a_crash() {
    holds(Setting::calm(5).with("1 crash, 2 numbers"));
}
