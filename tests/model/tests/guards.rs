//! Is every guard missed when it is not there?
//!
//! Each is taken out once. From where the given beginning leads, a search of all ways on has to
//! find what the guard prevents; with the guard in its place the same search finds nothing. The
//! beginnings are there to make the search short: `scripts/model guards` does without them.

use lastword_model::checker::{search, search_from};
use lastword_model::rules::{Guard, Setting};
use lastword_model::state::State;
use lastword_model::walks::{follow, walk};

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
        #[test]
        fn each_guard_is_taken_out() {
            let mut taken = [$(Guard::$guard),*];
            taken.sort_unstable();
            assert_eq!(taken, Guard::ALL);
        }

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
    only_the_named_are_silent: SilentWereNamed, free("1 crash, 1 cut"), [
        "C proposes {C}",
        "B promises C's proposal",
        "** B is killed",
        "A knows that B is dead",
    ];
    a_view_in_force_is_known_to_all: InForceWithAll, free("1 crash, 1 cut"), [
        "** A and B are cut apart",
        "B proposes {ABC}",
        "B's pings to A grow old",
        "A promises B's proposal",
        "C promises B's proposal",
        "B decides, has its View op on disk",
        "C has B's View op on disk",
    ];
    only_members_lead: CandidateIsIntact, free("1 crash, 1 op"), [
        "** B is killed",
        "C knows that B is dead",
    ];
    a_learner_knows_what_left_it_out: LearnerKnowsTheView, free("2 crashes, 1 pause"), [
        "** B is stopped",
        "C's pings to B grow old",
        "B's pings to A grow old",
        "** C is killed",
    ];
    a_restarted_server_is_another_one: IncarnationRises,
        Setting::calm(3).with("2 crashes, 1 restart, 1 cut"), [
        "** A is killed",
        "B knows that A is dead",
        "** C is killed",
    ];
    a_cold_start_waits_for_all: ColdStartNeedsAll, Setting::calm(3).with("3 crashes, 1 restart"), [
        "** C is killed",
    ];
    a_cold_start_asks_standing_views: ColdStartAsksStandingViews,
        free("2 crashes, 2 restarts, 1 pause"), [
        "A proposes {AC}",
        "C promises A's proposal",
        "B promises A's proposal",
        "A decides, has its View op on disk",
        "C proposes {BC}",
        "** A is killed",
        "B knows that A is dead",
        "** C is killed",
        "C's pings to B grow old",
        "B proposes {B}",
        "B decides, has its View op on disk",
    ];
    a_cold_start_is_led_by_a_member: ColdLeaderWasMember, free("2 crashes, 2 restarts"), [
        "** C is killed",
        "C's pings to A grow old",
        "A proposes {AB}",
        "** C starts again",
        "A gives up its incarnation",
        "B gives up its incarnation",
        "A proposes a cold start",
        "C promises A's cold start",
        "B promises A's cold start",
        "A decides, has its View op on disk",
    ];
    more_starts_are_no_descent: ColdStartByDescent, copied("1 crash, 1 restart"), [
        "** A is killed",
        "B knows that A is dead",
        "B proposes {B}",
        "B decides, has its View op on disk",
        "** B's folder is copied",
    ];
    a_copy_of_a_process_that_went_on_has_no_say: CopiesHaveNoSay, copied("1 crash, 1 restart"), [
        "** A is killed",
        "B knows that A is dead",
        "B proposes {B}",
        "B decides, has its View op on disk",
        "** B's folder is copied",
    ];
    a_copy_of_a_clean_folder_has_no_say: CleanCopiesHaveNoSay,
        Setting::calm(1).with("1 copy, 1 restore, 2 stops, 2 restarts, 1 op, 5 log"), [
        "** A is stopped cleanly",
        "** A's folder is copied",
    ];
    a_promise_is_released_by_descendants: ReleaseByDescent,
        free("1 copy, 1 restore, 1 crash, 1 restart, 1 cut, 4 numbers"), [
        "** B's folder is copied",
        "** A and B are cut apart",
        "B's pings to A grow old",
        "B proposes {B}",
        "A promises B's proposal",
        "C promises B's proposal",
        "B decides, has its View op on disk",
        "B proposes {B}",
        "C gives up its incarnation",
        "A knows that C is dead",
        "B decides, has its View op on disk",
        "learner C catches up from B",
        "** B is killed",
    ];
    a_promise_is_released_by_a_whole_log: ReleasedByWholeLog,
        free("1 crash, 1 restart, 1 damage, 1 op, 4 numbers"), [
        "C proposes {C}",
        "A promises C's proposal",
        "B promises C's proposal",
        "C decides, has its View op on disk",
        "C takes a client's op",
        "C commits an op, answers its client",
        "** C is killed",
        "** C's journal is damaged",
    ];
    a_copy_elsewhere_silences_nobody: SuccessorAtTheAddress,
        free("1 copy, 1 restart, 1 op").beside(), [
        "** A's folder is copied",
        "** D starts again",
    ];
    a_copy_elsewhere_kills_nobody: DeathAtTheAddress,
        Setting::calm(2).free().beside().with("1 copy, 1 restart, 1 cut, 1 op, 4 numbers"), [
        "** A's folder is copied",
        "** A and B are cut apart",
    ];
    a_damaged_server_stood_in_no_later_view: DamagedStoodNoLater,
        Setting::calm(2).with("2 crashes, 2 restarts, 1 damage, 1 op, 4 numbers"), [
        "A takes a client's op",
        "** B is killed",
        "** B starts again",
    ];
    nobody_is_forced_beside_the_living: ForcedWithoutIntact, forced("1 crash, 1 force, 1 op"), [];
    nobody_is_forced_who_holds_less: ForcedHoldsMost, forced("2 crashes, 1 restart, 1 force, 1 op"), [
        "A takes a client's op",
        "** B is killed",
        "** B starts again, to be forced",
    ];
    a_flag_forces_once: ForcedOnce, forced("3 crashes, 3 restarts, 1 force"), [
        "** A is killed",
    ];
    a_forced_view_is_above_all_in_its_log: ForcedNumberIsAboveItsLog, forced("3 crashes, 2 forces"), [
        "** A is killed",
    ];
    promises_rise: PromisesRise, free("1 crash, 1 cut"), [
        "C proposes {AC}",
        "A proposes {ABC}",
        "B promises C's proposal",
        "A promises C's proposal",
        "C decides, has its View op on disk",
        "A has C's View op on disk",
        "** A is killed",
        "B knows that A is dead",
    ];
}

/// A process that was stalled for longer than L, and is then killed, ends its links by FIN. To take that
/// for an echo would spare the last server its waiting, and is wrong: the one that died may not have
/// been stalled, but cut off, and may have gone on alone before the cut was mended.
#[test]
fn the_end_of_a_link_is_no_echo() {
    let mut setting = Setting::calm(2).free().with("1 crash, 1 cut, 1 heal, 1 op");
    let beginning = [
        "** A and B are cut apart",
        "B's pings to A grow old",
        "A's pings to B grow old",
        "A proposes {A}",
        "A decides, has its View op on disk",
    ];
    let held = search_from(&setting, &begin(&setting, &beginning), STATES_MAX);
    if let Some(violation) = held.violation {
        panic!("{violation}");
    }
    setting.world.ends_are_fresh = true;
    let broken = search_from(&setting, &begin(&setting, &beginning), STATES_MAX);
    println!("{}", broken.violation.expect("what A did alone is lost"));
}

/// Two servers, of which one is left and serves alone; its folder is copied, and put back.
fn copied(faults: &str) -> Setting {
    let left_alone = "1 copy, 1 restore, 1 op, 5 log, 5 numbers";
    let mut setting = Setting::calm(2).with(left_alone).with(faults);
    setting.bounds.crashes += 1;
    setting
}

/// Two servers, of which each may be forced to lead.
fn forced(faults: &str) -> Setting {
    Setting::calm(2).admitting().with("6 log").with(faults)
}

/// The same with connects that are refused although the server runs.
fn forged(faults: &str) -> Setting {
    let mut setting = free(faults);
    setting.world.forged_refusals = true;
    setting
}

/// Without all those together of which nobody knows what they prevent: whoever makes this fail has
/// found it, and moves the rule to the others.
#[test]
fn spare_rules_are_not_missed() {
    let without = |setting: Setting| Guard::SPARE.into_iter().fold(setting, Setting::without);
    let far = "2 crashes, 1 restart, 1 pause, 2 cuts, 1 heal, 1 op, 6 log, 8 numbers";
    for outcome in [
        search(
            &without(Setting::calm(3).with("1 crash, 1 cut, 1 op, 3 numbers")),
            300_000,
        ),
        search(&without(free("1 crash, 1 op")), 200_000),
        search(
            &without(Setting::calm(3).with("2 crashes, 1 restart, 1 op, 3 numbers")),
            300_000,
        ),
        walk(&without(free(far)), 20_000, 90, 1),
        walk(&without(Setting::calm(4).free().with(far)), 20_000, 90, 1),
    ] {
        if let Some(violation) = outcome.violation {
            panic!("{violation}");
        }
    }
}
