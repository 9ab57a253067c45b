//! Do the rules do in a certain story what they are there for?
//!
//! A story is told by its faults. Between them everything may happen that the protocol allows.

use lastword_model::properties::{leads, leads_alone};
use lastword_model::reachable::closure;
use lastword_model::rules::Setting;
use lastword_model::state::State;
use lastword_model::walks::follow;

/// Everything that can be so after these faults.
struct Story {
    setting: Setting,
    states: Vec<State>,
}

impl Story {
    fn of(servers: u8) -> Self {
        let mut setting = Setting::calm(servers)
            .with("9 crashes, 9 restarts, 9 pauses, 9 cuts, 9 heals, 8 numbers, 8 log");
        setting.world.prompt_evidence = true;
        let states = vec![State::start(&setting)];
        Self { setting, states }
    }

    /// Only what is so, too, goes on.
    fn when(mut self, condition: impl Fn(&State) -> bool) -> Self {
        self.states.retain(condition);
        assert!(!self.states.is_empty(), "it cannot be so");
        self
    }

    /// This happens, and nothing yet in answer to it.
    fn at_once(mut self, fault: &str) -> Self {
        let nexts = follow(&self.setting, &self.states, fault);
        self.states = nexts.iter().map(|next| next.state).collect();
        assert!(!self.states.is_empty(), "{fault} is not possible");
        self
    }

    /// This happens, and then whatever may.
    fn then(self, fault: &str) -> Self {
        let mut story = self.at_once(fault);
        story.states =
            closure(&story.setting, &story.states, 400_000).expect("a story is not that long");
        story
    }

    fn may(self, what: &str, condition: impl Fn(&State) -> bool) -> Self {
        assert!(self.states.iter().any(condition), "can never be: {what}");
        self
    }

    fn never(self, what: &str, condition: impl Fn(&State) -> bool) -> Self {
        assert!(!self.states.iter().any(condition), "can be: {what}");
        self
    }
}

/// `server` leads all that run, nobody has promised anything else, and all know it to be so.
fn settled(server: usize) -> impl Fn(&State) -> bool {
    move |state| {
        let view = state.view(server);
        leads(state, server)
            && state.all().filter(|&id| state.runs(id)).all(|id| {
                let other = &state.servers[id];
                other.commit == other.length
                    && state.is_member(view, id)
                    && state.view(id) == view
                    && other.promised == view
            })
    }
}

const A: usize = 0;
const B: usize = 1;
const C: usize = 2;

#[test]
fn two_of_three_die_and_the_last_one_serves_and_knows_that_it_may_alone() {
    let alone = Story::of(3)
        .then("** A is killed")
        .when(settled(B))
        .then("** B is killed")
        .may("C serves", |state| leads_alone(state, C))
        .when(settled(C));
    alone
        .at_once("** C is killed")
        .then("** A starts again")
        .then("** B starts again")
        .never("A or B serve", |state| leads(state, A) || leads(state, B))
        .then("** C starts again")
        .may("C serves", |state| leads(state, C));
}

#[test]
fn all_die_at_once_and_start_again() {
    Story::of(3)
        .at_once("** A is killed")
        .at_once("** B is killed")
        .at_once("** C is killed")
        .at_once("** C starts again")
        .then("** B starts again")
        .never("two of three serve", |state| {
            leads(state, B) || leads(state, C)
        })
        .then("** A starts again")
        .may("A serves", |state| leads(state, A))
        .may("C serves", |state| leads(state, C));
}

#[test]
fn one_hangs_and_one_dies() {
    Story::of(3)
        .at_once("** C is stopped")
        .then("** A is killed")
        .may("B serves: it ranks before C", |state| leads_alone(state, B));
    Story::of(3)
        .at_once("** B is stopped")
        .then("** A is killed")
        .never("C serves: B may, too", |state| leads(state, C));
}

#[test]
fn two_that_are_left_are_cut_apart() {
    Story::of(3)
        .then("** C is killed")
        .when(settled(A))
        .then("** A and B are cut apart")
        .may("the primary serves", |state| leads_alone(state, A))
        .never("the other one serves", |state| leads(state, B));
}

#[test]
fn of_four_the_last_one_serves() {
    Story::of(4)
        .then_settled("** A is killed", B)
        .then_settled("** B is killed", C)
        .then("** C is killed")
        .may("D serves", |state| leads_alone(state, 3));
}

impl Story {
    /// This happens, and those that are left agree that `server` leads.
    fn then_settled(self, fault: &str, server: usize) -> Self {
        let mut story = self;
        story.setting.bounds.candidates = 1 << server;
        let mut story = story.then(fault).when(settled(server));
        story.setting.bounds.candidates = u8::MAX;
        story
    }
}
