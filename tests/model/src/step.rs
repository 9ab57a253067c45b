//! What can happen next, and how is it told?

use std::fmt;

use crate::properties::{self, Broken};
use crate::rules::Setting;
use crate::state::{Id, Set, State, ids};

/// One step of the protocol, or one fault. The names are those of the replica's own functions.
///
/// The first id is who leads, stands or does it; the second one who follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// A primary takes a client's op into its log.
    Request(u8),
    /// A backup has the primary's next op on disk, and the primary hears of it.
    Prepare(u8, u8),
    /// A primary commits one op and answers the client.
    Commit(u8),
    /// A primary tells a member its commit number.
    Tell(u8, u8),
    /// A server proposes a view with these members.
    Propose(u8, Set),
    /// The candidate gets the other's promise.
    Promise(u8, u8),
    /// The candidate decides, and has its View op on disk.
    Decide(u8),
    /// A member cuts off what the candidate does not have.
    Truncate(u8, u8),
    /// A member has the candidate's log, View op included.
    Install(u8, u8),
    /// The candidate hears of that.
    Learn(u8, u8),
    /// A primary gives a server that is no member what it lacks.
    CatchUp(u8, u8),
    /// A primary proposes its view with a learner that has caught up.
    Admit(u8, Set),
    /// A server establishes that a process of another is dead.
    Evidence(u8, u8),
    /// A ping arrives, and is echoed if it may be.
    Beat(u8, u8),
    /// The first one's pings to the second one grow old.
    Age(u8, u8),
    /// An intact server gives up its incarnation.
    Resign(u8),
    /// A server proposes to begin anew.
    ColdPropose(u8),
    /// It gets the other's promise for that.
    ColdPromise(u8, u8),

    /// A server hears of a higher lineage, and follows it.
    Adopt(u8, u8),
    /// A server that was started with that wish leads a new lineage.
    Force(u8),

    /// A process is killed.
    Crash(u8),
    /// A process ends by a clean stop.
    Stop(u8),
    /// A dead server starts again with the wish to be forced, by an operator.
    StartForced(u8),
    /// A dead server starts again with a flag that was left behind.
    RestartWithFlag(u8),
    /// A server's folder is copied.
    Copy(u8),
    /// The copy is put back in place of a server's folder.
    Restore(u8),
    /// A server's folder is lost.
    Lose(u8),
    /// A server's journal is damaged.
    Damage(u8),
    /// A dead server starts again.
    Restart(u8),
    /// A process is stopped.
    Pause(u8),
    /// It goes on.
    Resume(u8),
    /// Frames of the first one do not reach the second one any more.
    CutOneWay(u8, u8),
    /// Nothing goes from these servers to the other ones, nor back.
    Cut(Set, Set),
    /// Nothing is lost any more between these.
    Heal(Set, Set),
}

impl Step {
    /// Whether it is something that happens to the protocol, and not a step of it.
    pub const fn is_fault(self) -> bool {
        matches!(
            self,
            Self::Crash(_)
                | Self::Stop(_)
                | Self::StartForced(_)
                | Self::RestartWithFlag(_)
                | Self::Copy(_)
                | Self::Restore(_)
                | Self::Lose(_)
                | Self::Damage(_)
                | Self::Restart(_)
                | Self::Pause(_)
                | Self::Resume(_)
                | Self::CutOneWay(..)
                | Self::Cut(..)
                | Self::Heal(..)
        )
    }

    /// Which kind of step it is, for choosing among kinds.
    pub const fn kind(self) -> u8 {
        match self {
            Self::Request(_) => 0,
            Self::Prepare(..) => 1,
            Self::Commit(_) => 2,
            Self::Tell(..) => 3,
            Self::Propose(..) => 4,
            Self::Promise(..) => 5,
            Self::Decide(_) => 6,
            Self::Truncate(..) => 7,
            Self::Install(..) => 8,
            Self::Learn(..) => 9,
            Self::CatchUp(..) => 10,
            Self::Admit(..) => 11,
            Self::Evidence(..) => 12,
            Self::Beat(..) => 13,
            Self::Age(..) => 14,
            Self::Resign(_) => 15,
            Self::ColdPropose(_) => 16,
            Self::ColdPromise(..) => 17,
            Self::Crash(_) => 18,
            Self::Restart(_) => 19,
            Self::Pause(_) => 20,
            Self::Resume(_) => 21,
            Self::CutOneWay(..) => 22,
            Self::Cut(..) => 23,
            Self::Heal(..) => 24,
            Self::Adopt(..) => 25,
            Self::Force(_) => 26,
            Self::Stop(_) => 27,
            Self::StartForced(_) => 28,
            Self::RestartWithFlag(_) => 29,
            Self::Copy(_) => 30,
            Self::Restore(_) => 31,
            Self::Lose(_) => 32,
            Self::Damage(_) => 33,
        }
    }
}

/// A server's letter.
fn letter(id: Id) -> char {
    char::from(b'A' + id as u8)
}

fn letters(set: Set) -> String {
    ids(set).map(letter).collect()
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = |id: u8| letter(usize::from(id));
        match *self {
            Self::Request(a) => write!(f, "{} takes a client's op", name(a)),
            Self::Prepare(a, b) => write!(f, "{} has {}'s next op on disk", name(b), name(a)),
            Self::Commit(a) => write!(f, "{} commits an op, answers its client", name(a)),
            Self::Tell(a, b) => write!(f, "{} hears {}'s commit number", name(b), name(a)),
            Self::Propose(a, set) => write!(f, "{} proposes {{{}}}", name(a), letters(set)),
            Self::Promise(a, b) => write!(f, "{} promises {}'s proposal", name(b), name(a)),
            Self::Decide(a) => write!(f, "{} decides, has its View op on disk", name(a)),
            Self::Truncate(a, b) => write!(f, "{} cuts off what {} has not", name(b), name(a)),
            Self::Install(a, b) => write!(f, "{} has {}'s View op on disk", name(b), name(a)),
            Self::Learn(a, b) => write!(f, "{} hears that {} has its View op", name(a), name(b)),
            Self::CatchUp(a, b) => write!(f, "learner {} catches up from {}", name(b), name(a)),
            Self::Admit(a, set) => write!(f, "{} proposes to admit: {{{}}}", name(a), letters(set)),
            Self::Evidence(a, b) => write!(f, "{} knows that {} is dead", name(a), name(b)),
            Self::Beat(a, b) => write!(f, "{}'s ping reaches {}", name(a), name(b)),
            Self::Age(a, b) => write!(f, "{}'s pings to {} grow old", name(a), name(b)),
            Self::Resign(a) => write!(f, "{} gives up its incarnation", name(a)),
            Self::ColdPropose(a) => write!(f, "{} proposes a cold start", name(a)),
            Self::ColdPromise(a, b) => write!(f, "{} promises {}'s cold start", name(b), name(a)),
            Self::Adopt(a, b) => write!(f, "{} adopts the lineage of {}", name(a), name(b)),
            Self::Force(a) => write!(f, "{} is forced to lead", name(a)),
            Self::Stop(a) => write!(f, "** {} is stopped cleanly", name(a)),
            Self::StartForced(a) => write!(f, "** {} starts again, to be forced", name(a)),
            Self::RestartWithFlag(a) => write!(f, "** {} starts again, flag left", name(a)),
            Self::Copy(a) => write!(f, "** {}'s folder is copied", name(a)),
            Self::Restore(a) => write!(f, "** the copy replaces {}'s folder", name(a)),
            Self::Lose(a) => write!(f, "** {}'s folder is lost", name(a)),
            Self::Damage(a) => write!(f, "** {}'s journal is damaged", name(a)),
            Self::Crash(a) => write!(f, "** {} is killed", name(a)),
            Self::Restart(a) => write!(f, "** {} starts again", name(a)),
            Self::Pause(a) => write!(f, "** {} is stopped", name(a)),
            Self::Resume(a) => write!(f, "** {} goes on", name(a)),
            Self::CutOneWay(a, b) => write!(f, "** {}'s frames to {} are lost", name(a), name(b)),
            Self::Cut(a, b) => write!(f, "** {} and {} are cut apart", letters(a), letters(b)),
            Self::Heal(a, b) => write!(f, "** {} and {} are together", letters(a), letters(b)),
        }
    }
}

/// A step, where it leads, and what it broke.
#[derive(Clone, Copy, Debug)]
pub struct Successor {
    /// What happened.
    pub step: Step,
    /// How things are then, in their canonical form.
    pub state: State,
    /// The promise that does not hold any more.
    pub broken: Option<Broken>,
}

/// Collects what can happen next.
pub struct Steps<'a> {
    /// What the search is asked about.
    pub setting: &'a Setting,
    found: &'a mut Vec<Successor>,
}

impl Steps<'_> {
    /// This may happen, and leads there.
    pub fn add(&mut self, step: Step, state: State) {
        self.add_checked(step, state, None);
    }

    /// This may happen, leads there, and may have broken something on its way.
    pub fn add_checked(&mut self, step: Step, mut state: State, broken: Option<Broken>) {
        let broken = broken.or_else(|| properties::check(&state, self.setting));
        if broken.is_none() {
            state.make_canonical(self.setting);
        }
        self.found.push(Successor {
            step,
            state,
            broken,
        });
    }
}

impl State {
    /// Fills `found` with everything that can happen next, in a fixed order.
    pub fn successors(&self, setting: &Setting, found: &mut Vec<Successor>) {
        found.clear();
        let mut steps = Steps { setting, found };
        for server in self.all() {
            self.faults(server, &mut steps);
            if self.runs(server) {
                self.normal(server, &mut steps);
                self.catching_up(server, &mut steps);
                self.view_change(server, &mut steps);
                self.cold_start(server, &mut steps);
                self.forcing(server, &mut steps);
            }
            self.time(server, &mut steps);
        }
    }
}
