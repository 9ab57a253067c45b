//! Is there a way to break a promise? Breadth first, so that the first one found is the shortest.

use std::collections::HashSet;
use std::fmt;
use std::hash::{BuildHasherDefault, Hasher};

use crate::packed::{fingerprint, pack, unpack};
use crate::properties::Broken;
use crate::rules::Setting;
use crate::state::State;
use crate::step::{Step, Successor};

/// Fingerprints are spread already.
#[derive(Default)]
pub struct Spread(u64);

impl Hasher for Spread {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _: &[u8]) {
        unreachable!("only fingerprints are hashed")
    }

    fn write_u64(&mut self, fingerprint: u64) {
        self.0 = fingerprint;
    }
}

/// How fingerprints are hashed.
pub type Spreading = BuildHasherDefault<Spread>;

/// What broke, and how it came to that.
#[derive(Clone, Debug)]
pub struct Violation {
    /// What broke.
    pub broken: Broken,
    /// Every step from the start.
    pub trace: Vec<Step>,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.broken)?;
        tell(f, &self.trace)
    }
}

/// Writes a trace in words, a line for each step.
pub fn tell(f: &mut fmt::Formatter<'_>, trace: &[Step]) -> fmt::Result {
    for (at, step) in trace.iter().enumerate() {
        writeln!(f, "  {:3}. {step}", at + 1)?;
    }
    Ok(())
}

/// What a search came to.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// How many states it looked at; in random walks, how many steps it took.
    pub states: usize,
    /// The most steps from the start.
    pub depth: usize,
    /// Whether it saw every state.
    pub complete: bool,
    /// What it found.
    pub violation: Option<Violation>,
}

/// How each state was reached, for telling traces.
#[derive(Default)]
pub(crate) struct Origins {
    /// The state before, and the step from there; the first states come from themselves.
    from: Vec<(u32, Option<Step>)>,
}

impl Origins {
    /// Adds a state, and gives its place.
    pub(crate) fn add(&mut self, before: u32, step: Option<Step>) -> u32 {
        let place = self.from.len() as u32;
        let before = if step.is_some() { before } else { place };
        self.from.push((before, step));
        place
    }

    /// The steps to the state at this place.
    pub(crate) fn trace(&self, mut place: u32) -> Vec<Step> {
        let mut trace = Vec::new();
        while let (before, Some(step)) = self.from[place as usize] {
            trace.push(step);
            place = before;
        }
        trace.reverse();
        trace
    }
}

/// States in the order in which they were found, packed.
#[derive(Default)]
pub(crate) struct Layer {
    places: Vec<u32>,
    bytes: Vec<u8>,
}

impl Layer {
    /// Adds a state that is known by this place.
    pub(crate) fn push(&mut self, place: u32, bytes: &[u8]) {
        self.places.push(place);
        self.bytes.extend(bytes);
    }

    /// All of them, with their places.
    pub(crate) fn states(self, setting: &Setting) -> impl Iterator<Item = (u32, State)> {
        let mut bytes = self.bytes.into_iter();
        self.places
            .into_iter()
            .map(move |place| (place, unpack(setting, &mut bytes)))
    }

    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.places.is_empty()
    }
}

/// Looks at every state that can be reached from the start, up to about `states_max` of them.
pub fn search(setting: &Setting, states_max: usize) -> Outcome {
    search_from(setting, &[State::start(setting)], states_max)
}

/// The same from these states on. A trace begins after them.
pub fn search_from(setting: &Setting, starts: &[State], states_max: usize) -> Outcome {
    let mut seen: HashSet<u64, Spreading> = HashSet::default();
    let mut origins = Origins::default();
    let (mut layer, mut bytes) = (Layer::default(), Vec::new());
    for start in starts {
        bytes.clear();
        pack(start, &mut bytes);
        if seen.insert(fingerprint(&bytes)) {
            layer.push(origins.add(0, None), &bytes);
        }
    }
    let (mut depth, mut complete, mut violation) = (0, true, None);
    let mut successors: Vec<Successor> = Vec::new();
    'search: while !layer.is_empty() {
        let mut next = Layer::default();
        for (place, state) in layer.states(setting) {
            state.successors(setting, &mut successors);
            for successor in &successors {
                if let Some(broken) = successor.broken {
                    let mut trace = origins.trace(place);
                    trace.push(successor.step);
                    violation = Some(Violation { broken, trace });
                    complete = false;
                    break 'search;
                }
                bytes.clear();
                pack(&successor.state, &mut bytes);
                if seen.insert(fingerprint(&bytes)) {
                    next.push(origins.add(place, Some(successor.step)), &bytes);
                }
            }
            if seen.len() >= states_max {
                complete = false;
                break 'search;
            }
        }
        layer = next;
        depth += 1;
    }
    Outcome {
        states: seen.len(),
        depth,
        complete,
        violation,
    }
}
