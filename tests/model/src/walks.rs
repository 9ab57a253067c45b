//! What happens on long ways that no search reaches? Random walks, each repeatable by its seed.
//!
//! They look further and not closely: a violation that needs twenty steps in one certain order is
//! found by the search, and hardly ever here.

use crate::checker::{Outcome, Violation};
use crate::properties::Broken;
use crate::rules::Setting;
use crate::state::State;
use crate::step::{Step, Successor};

/// A small generator of random numbers (xorshift), the same on every machine.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % end
    }
}

/// Walks from the start again and again, `length` steps each time, until there were `steps`. A
/// violation's trace is made short by leaving out whatever is not needed for it.
pub fn walk(setting: &Setting, steps: usize, length: usize, seed: u64) -> Outcome {
    let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let (mut done, mut violation) = (0, None);
    let mut successors = Vec::new();
    while done < steps && violation.is_none() {
        let mut state = State::start(setting);
        let mut trace = Vec::new();
        let fault_in = 4 + random.below(20);
        for _ in 0..length {
            state.successors(setting, &mut successors);
            if let Some(found) = successors.iter().find(|found| found.broken.is_some()) {
                trace.push(found.step);
                violation = found.broken.map(|broken| Violation {
                    broken,
                    trace: shorten(setting, trace, broken),
                });
                break;
            }
            let Some(chosen) = choose(&successors, fault_in, &mut random) else {
                break;
            };
            trace.push(chosen.step);
            state = chosen.state;
            done += 1;
        }
    }
    Outcome {
        states: done,
        depth: length,
        complete: false,
        violation,
    }
}

/// Chooses a fault or a step of the protocol, then mostly a kind of it, and then which: else the
/// many ways in which flags can fall would drown everything else.
fn choose<'a>(
    successors: &'a [Successor],
    fault_in: usize,
    random: &mut Random,
) -> Option<&'a Successor> {
    let faults = successors
        .iter()
        .filter(|next| next.step.is_fault())
        .count();
    let fault = faults > 0 && (faults == successors.len() || random.below(fault_in) == 0);
    let possible: Vec<&Successor> = successors
        .iter()
        .filter(|next| next.step.is_fault() == fault)
        .collect();
    if possible.is_empty() {
        return None;
    }
    let mut kinds: Vec<u8> = possible.iter().map(|next| next.step.kind()).collect();
    if random.below(3) != 0 {
        kinds.sort_unstable();
        kinds.dedup();
    }
    let kind = kinds[random.below(kinds.len())];
    let of_kind = possible.iter().filter(|next| next.step.kind() == kind);
    let chosen = random.below(of_kind.clone().count());
    of_kind.copied().nth(chosen)
}

/// Takes these steps from the start. Answers what the last one broke, or nothing when one of them
/// is not possible or breaks something too early.
///
/// A step may lead to more than one state (a proposal has a number of its candidate's choice), so
/// all ways are followed.
pub fn replay(setting: &Setting, trace: &[String]) -> Option<Option<Broken>> {
    let mut states = vec![State::start(setting)];
    for (at, step) in trace.iter().enumerate() {
        let nexts = follow(setting, &states, step);
        if let Some(next) = nexts.iter().find(|next| next.broken.is_some()) {
            return (at + 1 == trace.len()).then_some(next.broken);
        }
        states.clear();
        for next in nexts {
            // Else the ways that lead to the same would double with every step.
            if !states.contains(&next.state) {
                states.push(next.state);
            }
        }
        if states.is_empty() {
            return None;
        }
    }
    Some(None)
}

/// Everything that a step of this wording can lead to.
pub fn follow(setting: &Setting, states: &[State], step: &str) -> Vec<Successor> {
    let (mut found, mut successors) = (Vec::new(), Vec::new());
    for state in states {
        state.successors(setting, &mut successors);
        found.extend(
            successors
                .iter()
                .filter(|next| next.step.to_string() == step),
        );
    }
    found
}

/// Leaves out steps, one after the other from the end, as long as what is left still breaks the same.
fn shorten(setting: &Setting, mut trace: Vec<Step>, broken: Broken) -> Vec<Step> {
    let words = |trace: &[Step]| trace.iter().map(Step::to_string).collect::<Vec<_>>();
    loop {
        let length = trace.len();
        for at in (0..length).rev() {
            let mut shorter = trace.clone();
            shorter.remove(at);
            if replay(setting, &words(&shorter)) == Some(Some(broken)) {
                trace = shorter;
            }
        }
        if trace.len() == length {
            return trace;
        }
    }
}
