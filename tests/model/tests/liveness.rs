//! Can it always go on?

use lastword_model::properties::{
    deaths, has_connected_majority, has_room, is_in_sync, is_well, serves, was_forced,
};
use lastword_model::reachable::always_reachable;
use lastword_model::rules::{Guard, Setting};
use lastword_model::state::State;

/// Where evidence is found in time, which is what L1 supposes.
fn prompt(servers: u8, faults: &str) -> Setting {
    let mut setting = Setting::calm(servers).with(faults);
    setting.world.prompt_evidence = true;
    setting
}

/// From every state with `condition` somebody can serve again.
fn goes_on(setting: Setting, condition: impl Fn(&State) -> bool) {
    let asked = |state: &State| has_room(state, &setting) && condition(state);
    let answer = always_reachable(&setting, 3_000_000, asked, serves);
    assert!(answer.complete, "more than {} states", answer.states);
    assert!(answer.asked > 0, "nobody was asked");
    assert!(answer.stuck.is_none(), "{answer}");
    println!("{} states, {} of them asked", answer.states, answer.asked);
}

#[test]
fn l1_of_three_the_last_one_serves() {
    goes_on(prompt(3, "2 crashes"), |state| deaths(state) == 2);
}

#[test]
fn l2_a_majority_that_can_talk_serves() {
    goes_on(prompt(3, "2 cuts, 4 numbers"), has_connected_majority);
}

#[test]
fn when_all_is_well_again_somebody_serves() {
    goes_on(prompt(3, "1 pause"), is_well);
}

/// After a force all get in sync, whatever they had.
#[test]
fn all_follow_who_was_forced() {
    let setting = prompt(2, "2 crashes, 2 forces, 7 numbers, 8 log").admitting();
    let asked = |state: &State| has_room(state, &setting) && is_well(state) && was_forced(state);
    let answer = always_reachable(&setting, 1_000_000, asked, is_in_sync);
    assert!(
        answer.complete && answer.asked > 0,
        "{} states",
        answer.states
    );
    assert!(answer.stuck.is_none(), "{answer}");
}

/// A process that was named in a view, and is not in its folder's descent, has no successor.
#[test]
fn the_named_have_to_be_in_the_descent() {
    let setting = prompt(2, "1 crash, 1 restart, 6 numbers, 6 log").admitting();
    let asked = |state: &State| has_room(state, &setting) && is_well(state);
    let with = always_reachable(&setting, 100_000, asked, serves);
    assert!(with.complete && with.stuck.is_none(), "{with}");
    let setting = setting.without(Guard::NamedAreInDescent);
    let without = always_reachable(&setting, 100_000, asked, serves);
    assert!(without.complete && without.stuck.is_some(), "{without}");
}

/// Who has promised the number is no reason against it; else nobody could leave.
#[test]
fn vetoes_for_those_who_agree_would_block() {
    let setting = prompt(3, "1 cut").without(Guard::PromisedAreNotSilent);
    let answer = always_reachable(&setting, 100_000, has_connected_majority, serves);
    assert!(answer.complete && answer.stuck.is_some(), "{answer}");
}
