//! What must be true in every state?

use std::fmt;

use crate::rules::{Guard, Setting};
use crate::state::{Contact, Id, OPS_MAX, State};

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
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AcknowledgedOpMissing => "S1: a new view lacks an acknowledged op",
            Self::CommittedOpCutOff => "S2: an op known to be committed is cut off",
            Self::OrdersDiffer => "S2: two servers hold different ops to be committed",
            Self::AnswersDiffer => "S3: two histories were acknowledged",
            Self::StaleRead => "S3: a primary may answer a read without an acknowledged op",
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
    let stale = |server: Id| may_read(state, server, setting) && !knows_answers(state, server);
    state.all().any(stale).then_some(Broken::StaleRead)
}

/// Whether what both know to be committed is the same.
fn orders_agree(state: &State, one: Id, other: Id) -> bool {
    let (one, other) = (&state.servers[one], &state.servers[other]);
    let common = usize::from(one.commit.min(other.commit));
    one.log[..common] == other.log[..common]
}

/// Whether `server` would answer a read now.
fn may_read(state: &State, server: Id, setting: &Setting) -> bool {
    if !state.runs(server) || !state.servers[server].serves {
        return false;
    }
    let members = state.proposals[usize::from(state.view(server))].members;
    !setting.rules.hold(Guard::ReadsAreFresh)
        || state.all().all(|member| {
            member == server
                || members[member] == 0
                || (members[member] == state.servers[member].incarnation
                    && state.contact[server][member] == Contact::Fresh)
        })
}

/// Whether everything acknowledged is among what `server` knows to be committed.
fn knows_answers(state: &State, server: Id) -> bool {
    let (values, count) = committed_values(state, server);
    let answered = usize::from(state.answered_count);
    count >= answered && values[..answered] == state.answered[..answered]
}

/// The client ops that `server` knows to be committed.
fn committed_values(state: &State, server: Id) -> ([u8; OPS_MAX], usize) {
    let server = &state.servers[server];
    let (mut values, mut count) = ([0; OPS_MAX], 0);
    for entry in &server.log[..usize::from(server.commit)] {
        if !entry.is_view() {
            values[count] = entry.value();
            count += 1;
        }
    }
    (values, count)
}

/// `primary` answers the clients of everything that is committed now.
pub fn answer(state: &mut State, primary: Id) -> Option<Broken> {
    let (values, count) = committed_values(state, primary);
    let answered = usize::from(state.answered_count);
    let common = answered.min(count);
    if state.answered[..common] != values[..common] {
        return Some(Broken::AnswersDiffer);
    }
    if count > answered {
        state.answered = values;
        state.answered_count = count as u8;
    }
    None
}

/// The same when a view has begun, which has to have everything.
pub fn answer_in_new_view(state: &mut State, primary: Id) -> Option<Broken> {
    let (_, count) = committed_values(state, primary);
    let broken = answer(state, primary);
    let missing = count < usize::from(state.answered_count);
    broken.or(missing.then_some(Broken::AcknowledgedOpMissing))
}

/// Whether somebody leads a view that is in force, and would answer.
pub fn serves(state: &State) -> bool {
    state.all().any(|server| leads(state, server))
}

/// Whether `server` leads a view that is in force, and would answer.
pub fn leads(state: &State, server: Id) -> bool {
    state.runs(server) && state.servers[server].serves
}

/// Whether `server` serves alone.
pub fn leads_alone(state: &State, server: Id) -> bool {
    let members = state.proposals[usize::from(state.view(server))].members;
    let others = state
        .all()
        .any(|other| other != server && members[other] != 0);
    leads(state, server) && !others
}

/// Whether a majority of the newest view that anybody knows to be in force runs and can talk to
/// each other, all with all: what L2 is about.
pub fn has_connected_majority(state: &State) -> bool {
    let in_force = |server: Id| {
        let server = &state.servers[server];
        let known = &server.log[..usize::from(server.commit)];
        let newest = known.iter().rev().find(|entry| entry.is_view());
        newest.map_or(0, |entry| entry.number())
    };
    let newest = state.all().map(in_force).max().unwrap_or(0);
    let members = state.proposals[usize::from(newest)].members;
    let is_there = |id: Id| members[id] != 0 && state.runs(id) && state.is_member(newest, id);
    let there: Vec<Id> = state.all().filter(|&id| is_there(id)).collect();
    let all = members.iter().filter(|&&member| member != 0).count();
    (1..1_u8 << there.len()).any(|group| {
        let group: Vec<Id> = (0..there.len())
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

/// Whether everybody runs and can talk to everybody.
pub fn is_well(state: &State) -> bool {
    let all = state.all();
    all.clone().all(|one| {
        all.clone()
            .all(|other| one == other || state.linked(one, other))
    })
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
