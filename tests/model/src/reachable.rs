//! Can it always go on? From every state that satisfies a condition, a state that satisfies a
//! goal has to be reachable by steps of the protocol alone.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;

use crate::checker::{Layer, Origins, Spreading, tell};
use crate::packed::{fingerprint, pack};
use crate::rules::Setting;
use crate::state::State;
use crate::step::Step;

/// What became of the question.
#[derive(Clone, Debug)]
pub struct Answer {
    /// How many states there are.
    pub states: usize,
    /// From how many of them the goal has to be reachable.
    pub asked: usize,
    /// Whether every state was seen; else nothing can be said.
    pub complete: bool,
    /// The nearest state from which it is not, by the steps that lead there.
    pub stuck: Option<Vec<Step>>,
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.stuck {
            Some(trace) => {
                writeln!(f, "stuck: from here on nobody can ever serve")?;
                tell(f, trace)
            }
            None => writeln!(f, "not stuck"),
        }
    }
}

/// Every state that steps of the protocol alone lead to from `starts`, unless there are more than
/// `states_max`.
pub fn closure(setting: &Setting, starts: &[State], states_max: usize) -> Option<Vec<State>> {
    let mut seen: HashMap<u64, (), Spreading> = HashMap::default();
    let (mut all, mut bytes): (Vec<State>, _) = (Vec::new(), Vec::new());
    let mut is_new = |state: &State| {
        bytes.clear();
        pack(state, &mut bytes);
        seen.insert(fingerprint(&bytes), ()).is_none()
    };
    all.extend(starts.iter().filter(|state| is_new(state)));
    let (mut at, mut successors) = (0, Vec::new());
    while at < all.len() {
        all[at].successors(setting, &mut successors);
        for successor in &successors {
            assert!(successor.broken.is_none(), "{:?}", successor.broken);
            if !successor.step.is_fault() && is_new(&successor.state) {
                all.push(successor.state);
            }
        }
        at += 1;
        if all.len() > states_max {
            return None;
        }
    }
    Some(all)
}

/// Asks whether from every state with `condition` one with `goal` can be reached without faults.
pub fn always_reachable(
    setting: &Setting,
    states_max: usize,
    condition: impl Fn(&State) -> bool,
    goal: impl Fn(&State) -> bool,
) -> Answer {
    let graph = explore(setting, states_max, condition, goal);
    let states = graph.asked.len();
    let reaches = graph.backwards();
    let stuck = (0..states).find(|&place| graph.asked[place] && !reaches[place]);
    Answer {
        states,
        asked: graph.asked.iter().filter(|&&asked| asked).count(),
        complete: graph.complete,
        stuck: stuck
            .filter(|_| graph.complete)
            .map(|place| graph.origins.trace(place as u32)),
    }
}

/// All states, and how they are connected.
#[derive(Default)]
struct Graph {
    origins: Origins,
    /// Each step of the protocol: the state after it, the state before it.
    steps: Vec<(u32, u32)>,
    asked: Vec<bool>,
    goals: Vec<bool>,
    complete: bool,
}

fn explore(
    setting: &Setting,
    states_max: usize,
    condition: impl Fn(&State) -> bool,
    goal: impl Fn(&State) -> bool,
) -> Graph {
    let mut graph = Graph {
        complete: true,
        ..Graph::default()
    };
    let mut places: HashMap<u64, u32, Spreading> = HashMap::default();
    let (mut layer, mut bytes) = (Layer::default(), Vec::new());
    let start = State::start(setting);
    pack(&start, &mut bytes);
    places.insert(
        fingerprint(&bytes),
        graph.add(0, None, &start, &condition, &goal),
    );
    layer.push(0, &bytes);
    let mut successors = Vec::new();
    while !layer.is_empty() && graph.complete {
        let mut next = Layer::default();
        for (place, state) in layer.states(setting) {
            state.successors(setting, &mut successors);
            for successor in successors.iter().filter(|next| next.broken.is_none()) {
                bytes.clear();
                pack(&successor.state, &mut bytes);
                let after = match places.entry(fingerprint(&bytes)) {
                    Entry::Occupied(known) => *known.get(),
                    Entry::Vacant(new) => {
                        let step = Some(successor.step);
                        let after = graph.add(place, step, &successor.state, &condition, &goal);
                        next.push(after, &bytes);
                        *new.insert(after)
                    }
                };
                if !successor.step.is_fault() {
                    graph.steps.push((after, place));
                }
            }
        }
        graph.complete = places.len() < states_max;
        layer = next;
    }
    graph
}

impl Graph {
    fn add(
        &mut self,
        before: u32,
        step: Option<Step>,
        state: &State,
        condition: impl Fn(&State) -> bool,
        goal: impl Fn(&State) -> bool,
    ) -> u32 {
        self.asked.push(condition(state));
        self.goals.push(goal(state));
        self.origins.add(before, step)
    }

    /// From which states a goal can be reached.
    fn backwards(&self) -> Vec<bool> {
        let mut steps = self.steps.clone();
        steps.sort_unstable();
        steps.dedup();
        let mut reaches = self.goals.clone();
        let mut open: Vec<u32> = (0..reaches.len() as u32)
            .filter(|&place| reaches[place as usize])
            .collect();
        while let Some(after) = open.pop() {
            let first = steps.partition_point(|step| step.0 < after);
            for &(_, before) in steps[first..].iter().take_while(|step| step.0 == after) {
                if !reaches[before as usize] {
                    reaches[before as usize] = true;
                    open.push(before);
                }
            }
        }
        reaches
    }
}
