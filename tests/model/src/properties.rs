//! What must be true in every state?

use std::fmt;

use crate::rules::{Guard, Setting};
use crate::state::{Contact, Entry, Id, Lineage, OPS_MAX, Place, State};

/// A promise of the protocol that does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broken {
    /// S1: a new view began without an op that a client was told OK for.
    AcknowledgedOpMissing,
    /// S2: an op was cut off that its server knew to be committed.
    CommittedOpCutOff,
    /// S2 and S3: two servers hold different ops to be committed at the same place, so that two
    /// views are in force that do not know each other.
    OrdersDiffer,
    /// S3: a client was told OK for an op that another acknowledged history does not have.
    AnswersDiffer,
    /// S3: a primary may answer a read from a state that lacks an acknowledged op.
    StaleRead,
    /// A server was forced over the head of one that it could reach and that holds acknowledged ops
    /// which the forced one lacks.
    LostByForce,
    /// A server was forced again by a flag that was left behind.
    ForcedTwice,
    /// A view stands in a log before one with a lower number.
    LowerViewAfterHigher,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AcknowledgedOpMissing => "S1: a new view lacks an acknowledged op",
            Self::CommittedOpCutOff => "S2: an op known to be committed is cut off",
            Self::OrdersDiffer => "S2: two servers hold different ops to be committed",
            Self::AnswersDiffer => "S3: two histories were acknowledged",
            Self::StaleRead => "S3: a primary may answer a read without an acknowledged op",
            Self::LostByForce => "forcing: an acknowledged op that could be reached is thrown away",
            Self::ForcedTwice => "forcing: a flag that was left behind forces again",
            Self::LowerViewAfterHigher => "S2: a lower view stands behind a higher one in a log",
        })
    }
}

/// What holds in every state, whatever led to it.
pub fn check(state: &State, setting: &Setting) -> Option<Broken> {
    for one in state.all() {
        for other in one + 1..state.count {
            if !orders_agree(state, one, other) {
                return Some(Broken::OrdersDiffer);
            }
        }
    }
    if state.lineages > 0 && !state.all().all(|server| views_rise(state, server)) {
        return Some(Broken::LowerViewAfterHigher);
    }
    let stale = |server: Place| may_read(state, server, setting) && !knows_answers(state, server);
    state.all().any(stale).then_some(Broken::StaleRead)
}

/// Whether the views in a log have rising numbers.
fn views_rise(state: &State, server: Place) -> bool {
    let server = &state.servers[server];
    let entries = server.log[..usize::from(server.length)].iter();
    let views: Vec<_> = entries.filter(|entry| entry.is_view()).collect();
    views.is_sorted_by(|one, next| one.number() < next.number())
}

/// Whether what both know to be committed is the same, as far as both logs are of one lineage.
fn orders_agree(state: &State, one: Place, other: Place) -> bool {
    if state.lineages > 0 && state.lineage_of_log(one) != state.lineage_of_log(other) {
        return true;
    }
    let (one, other) = (&state.servers[one], &state.servers[other]);
    let common = usize::from(one.commit.min(other.commit));
    one.log[..common] == other.log[..common]
}

/// Whether `server` would answer a read now.
fn may_read(state: &State, server: Place, setting: &Setting) -> bool {
    if !state.runs(server) || !state.servers[server].serves {
        return false;
    }
    let members = state.proposals[usize::from(state.view(server))].members;
    let is_fresh = |id: Id| {
        let place = state.place_of(id, members[id]);
        place.is_some_and(|place| state.contact[server][place] == Contact::Fresh)
    };
    !setting.rules.hold(Guard::ReadsAreFresh)
        || state
            .all()
            .all(|id| id == state.id(server) || members[id] == 0 || is_fresh(id))
}

/// Whether everything acknowledged in its lineage is among what `server` knows to be committed.
pub fn knows_answers(state: &State, server: Place) -> bool {
    let known = committed_values(state, server);
    includes(known, state, state.servers[server].lineage)
}

/// Whether everything acknowledged in `lineage` is in the log of `server`.
pub fn holds_answers(state: &State, server: Place, lineage: Lineage) -> bool {
    let server = &state.servers[server];
    let held = values(&server.log[..usize::from(server.length)]);
    includes(held, state, lineage)
}

fn includes((values, count): ([u8; OPS_MAX], usize), state: &State, lineage: Lineage) -> bool {
    let lineage = usize::from(lineage);
    let answered = usize::from(state.answered_count[lineage]);
    count >= answered && values[..answered] == state.answered[lineage][..answered]
}

/// The client ops that `server` knows to be committed.
fn committed_values(state: &State, server: Place) -> ([u8; OPS_MAX], usize) {
    let server = &state.servers[server];
    values(&server.log[..usize::from(server.commit)])
}

fn values(entries: &[Entry]) -> ([u8; OPS_MAX], usize) {
    let (mut values, mut count) = ([0; OPS_MAX], 0);
    for entry in entries.iter().filter(|entry| !entry.is_view()) {
        values[count] = entry.value();
        count += 1;
    }
    (values, count)
}

/// `primary` answers the clients of everything that is committed now.
pub fn answer(state: &mut State, primary: Place) -> Option<Broken> {
    let (values, count) = committed_values(state, primary);
    let lineage = usize::from(state.servers[primary].lineage);
    let answered = usize::from(state.answered_count[lineage]);
    let common = answered.min(count);
    if state.answered[lineage][..common] != values[..common] {
        return Some(Broken::AnswersDiffer);
    }
    if count > answered {
        state.answered[lineage] = values;
        state.answered_count[lineage] = count as u8;
    }
    None
}

/// The same when a view has begun, which has to have everything.
pub fn answer_in_new_view(state: &mut State, primary: Place) -> Option<Broken> {
    let (_, count) = committed_values(state, primary);
    let broken = answer(state, primary);
    let lineage = usize::from(state.servers[primary].lineage);
    let missing = count < usize::from(state.answered_count[lineage]);
    broken.or(missing.then_some(Broken::AcknowledgedOpMissing))
}

/// Whether somebody leads a view that is in force, and would answer.
pub fn serves(state: &State) -> bool {
    state.all().any(|server| leads(state, server))
}

/// Whether `server` leads a view that is in force, and would answer.
pub fn leads(state: &State, server: Place) -> bool {
    state.runs(server) && state.servers[server].serves
}

/// Whether `server` serves alone.
pub fn leads_alone(state: &State, server: Place) -> bool {
    let members = state.proposals[usize::from(state.view(server))].members;
    let others = state
        .all()
        .any(|id| id != state.id(server) && members[id] != 0);
    leads(state, server) && !others
}

/// Whether a majority of the newest view that anybody knows to be in force runs and can talk to
/// each other, all with all: what L2 is about.
pub fn has_connected_majority(state: &State) -> bool {
    let in_force = |server: Place| {
        let server = &state.servers[server];
        let known = &server.log[..usize::from(server.commit)];
        let newest = known.iter().rev().find(|entry| entry.is_view());
        newest.map_or(0, |entry| entry.number())
    };
    let newest = state.all().map(in_force).max().unwrap_or(0);
    let members = state.proposals[usize::from(newest)].members;
    let is_there = |place: Place| state.runs(place) && state.is_member(newest, place);
    let there: Vec<Place> = state.all().filter(|&place| is_there(place)).collect();
    let all = members.iter().filter(|&&member| member != 0).count();
    (1..1_u8 << there.len()).any(|group| {
        let group: Vec<Place> = (0..there.len())
            .filter(|at| group >> at & 1 == 1)
            .map(|at| there[at])
            .collect();
        let together = group.iter().all(|&one| {
            group
                .iter()
                .all(|&other| one == other || state.linked(one, other))
        });
        group.len() * 2 > all && together
    })
}

/// Whether everybody runs and can talk to everybody, but for what runs on a copy.
pub fn is_well(state: &State) -> bool {
    let copies = state.place_of_copies();
    let own = || state.all().filter(|&place| Some(place) != copies);
    let copy_is_out = copies.is_none_or(|place| state.is_down(place));
    let whole = |one: Place| own().all(|other| one == other || state.is_whole(one, other));
    copy_is_out && own().all(|one| state.runs(one) && whole(one))
}

/// Whether all that run are members of one view, and its primary serves.
pub fn is_in_sync(state: &State) -> bool {
    let in_sync = |leader: Place| {
        let view = state.view(leader);
        let runs = |place: &Place| state.runs(*place);
        leads(state, leader)
            && state
                .all()
                .filter(runs)
                .all(|place| state.is_member(view, place) && state.view(place) == view)
    };
    state.all().any(in_sync)
}

/// Whether a server was forced to lead, and none is about to be.
pub fn was_forced(state: &State) -> bool {
    let about = |place: Place| state.servers[place].wishes;
    state.lineages > 0 && !state.all().any(about)
}

/// How many processes are dead.
pub fn deaths(state: &State) -> usize {
    state.all().filter(|&server| state.is_down(server)).count()
}

/// Whether the bounds leave room for two more views: else being stuck says nothing.
pub fn has_room(state: &State, setting: &Setting) -> bool {
    let length = state.servers.iter().map(|server| server.length).max();
    length.unwrap_or(0) + 2 <= setting.bounds.log && state.highest + 2 <= setting.bounds.numbers
}
