//! Is every guard missed when it is not there?
//!
//! Each is taken out once. From where the given beginning leads, a search of all ways on has to
//! find what the guard prevents; with the guard in its place the same search finds nothing. The
//! beginnings are there to make the search short: `scripts/model guards` does without them.

use lastword_model::checker::search_from;
use lastword_model::rules::{Guard, Setting};
use lastword_model::state::State;
use lastword_model::walks::follow;

/// How many states are looked at, each time.
const STATES_MAX: usize = 60_000;

/// The states to which these steps lead; the guard may forbid one of them.
fn begin(setting: &Setting, beginning: &[&str]) -> Vec<State> {
    let mut states = vec![State::start(setting)];
    for step in beginning {
        let nexts = follow(setting, &states, step);
        states = nexts.iter().map(|next| next.state).collect();
    }
    states
}

/// Without `guard` something breaks, and with it nothing does.
fn is_missed(guard: Guard, setting: Setting, beginning: &[&str]) {
    let without = setting.without(guard);
    let states = begin(&without, beginning);
    assert!(!states.is_empty(), "the beginning is not possible");
    let outcome = search_from(&without, &states, STATES_MAX);
    match outcome.violation {
        Some(violation) => println!("{} states. {violation}", outcome.states),
        None => panic!("nobody misses {guard:?} in {} states", outcome.states),
    }
    let outcome = search_from(&setting, &begin(&setting, beginning), STATES_MAX);
    assert!(
        outcome.violation.is_none(),
        "with {guard:?}: {}",
        outcome.violation.expect("just seen")
    );
}

/// Three servers, candidates that may stand at any time, and these faults.
fn free(faults: &str) -> Setting {
    Setting::calm(3).free().with(faults)
}

macro_rules! guards {
    ($($name:ident: $guard:ident, $setting:expr, [$($step:literal),* $(,)?];)*) => {
        $(
            #[test]
            fn $name() {
                is_missed(Guard::$guard, $setting, &[$($step),*]);
            }
        )*
    };
}

guards! {
    acknowledgements_of_most_are_not_enough: EveryMemberHasIt, free("1 op"), [
        "A takes a client's op",
    ];
    a_primary_that_promises_is_none: PromisingPrimaryStops, free("1 op"), [];
    reads_need_fresh_members: ReadsAreFresh, free("1 op, 1 pause"), [
        "** A is stopped",
        "A's pings to B grow old",
        "A's pings to C grow old",
    ];
    a_death_was_seen_in_time: DeadWasFresh, free("1 crash, 1 pause"), [
        "** B is stopped",
        "B's pings to A grow old",
        "B's pings to C grow old",
        "A proposes {A}",
        "C promises A's proposal",
        "A decides, has its View op on disk",
    ];
    a_death_is_unopposed: DeathIsUnopposed, forged("1 cut"), [
        "A proposes {AB}",
        "** A and B are cut apart",
        "B knows that A is dead",
        "A knows that B is dead",
    ];
    the_excluded_get_no_echo: NoEchoToTheExcluded, free("1 op, 1 pause, 1 cut"), [
        "** A is stopped",
        "A's pings to C grow old",
        "A's pings to B grow old",
        "B proposes {B}",
    ];
    who_knows_more_promises_nothing: VoterIsNotNewer, free("1 pause"), [
        "A proposes {A}",
        "** A is stopped",
        "A's pings to B grow old",
        "A's pings to C grow old",
        "C proposes {C}",
        "B promises C's proposal",
    ];
    a_promise_binds: PromiseBinds, free("1 crash, 1 pause"), [
        "** B is killed",
        "B's pings to C grow old",
        "C proposes {C}",
        "A knows that B is dead",
    ];
    a_promise_is_released_by_those_who_have_nothing: ReleasedWithoutViewOp, free("1 cut"), [
        "** A and B are cut apart",
        "B's pings to A grow old",
        "B proposes {B}",
        "A promises B's proposal",
        "C promises B's proposal",
    ];
    each_standing_view_is_asked: EachStandingView, free("1 pause, 1 cut"), [
        "** B is stopped",
        "C proposes {BC}",
        "** B goes on",
        "A promises C's proposal",
        "B promises C's proposal",
        "C decides, has its View op on disk",
        "A gives up its incarnation",
    ];
    a_tie_needs_precedence: TieNeedsPrecedence, free("1 crash, 1 cut"), [
        "** B is killed",
        "A knows that B is dead",
    ];
    the_dead_are_no_votes: DeadAreNoVotes, free("1 crash, 1 cut"), [
        "** B is killed",
        "A knows that B is dead",
    ];
    the_heard_are_not_silent: HeardAreNotSilent, free("1 cut"), [
        "** B and C are cut apart",
        "B's pings to C grow old",
        "C proposes {C}",
        "C's pings to B grow old",
    ];
    a_higher_promise_installs_nothing_lower: PromiserInstallsNothingLower, free("1 crash, 1 cut"), [
        "B proposes {BC}",
        "** A and B are cut apart",
        "A promises B's proposal",
        "B's pings to A grow old",
        "C promises B's proposal",
        "C proposes {ABC}",
        "B decides, has its View op on disk",
    ];
}

/// The same with connects that are refused although the server runs.
fn forged(faults: &str) -> Setting {
    let mut setting = free(faults);
    setting.world.forged_refusals = true;
    setting
}
