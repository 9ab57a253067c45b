//! What may never happen?
//!
//! The checker sees everything at once, which no server can: what each has applied, what was
//! acknowledged to whom, who leads, and what is safe on which disk. It panics with the name of the
//! property that was violated.

use std::collections::BTreeMap;

use lastword::chat::Effects;
use lastword::limits::CLOCK_AHEAD_MAX;
use lastword::replica::{Entry, Role, Ticket};
use lastword::types::{
    ChatOp, LogPosition, Member, Op, Outcome, ServerId, Timestamp, View, ViewNumber,
};
use lastword::wire::operation::decode_op;
use lastword::wire::peer::Proposal;

use super::process::Process;
use super::told::Told;
use super::trace::Fingerprint;
use super::world::World;

/// How far what a server reckons of another's wall clock may be wrong.
const CLOCKS_MAY_DRIFT_MS: u64 = 5000;

/// Everything that was seen so far.
#[derive(Default)]
pub struct Checker {
    /// The one log: each op as the first server has applied it.
    log: Vec<Applied>,
    /// Who led each view.
    primaries: BTreeMap<ViewNumber, Member>,
    /// Who proposed which members under each number.
    proposals: BTreeMap<ViewNumber, (Member, Vec<Member>)>,
    /// The newest op that a client got an answer for.
    pub newest_acknowledged: u64,
    pub acknowledged: u64,
    /// What clients were told.
    pub told: Told,
    pub reads: u64,
    pub views: u64,
    /// These run, and somebody hears each of them, as the world knows it for the moment: none is
    /// left out of a view.
    pub heard: Vec<ServerId>,
    /// The latest time that a primary without other members can have given to an op.
    lone_time: Timestamp,
}

/// An op that was applied somewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Applied {
    position: LogPosition,
    content: u64,
    outcome: Option<Outcome>,
}

impl Checker {
    /// A primary without other members has given an op its time.
    pub fn note_lone_time(&mut self, time: Timestamp) {
        self.lone_time = self.lone_time.max(time);
    }

    /// A server has applied an op: all apply the same ones, with the same outcome.
    fn applied(&mut self, host: usize, entry: &Entry, outcome: Option<Outcome>) {
        let applied = Applied {
            position: entry.position,
            content: Fingerprint::of(entry.payload()),
            outcome,
        };
        let index = entry.op().0 as usize - 1;
        assert!(
            index <= self.log.len(),
            "ONE ORDER: server at {} applies op {} when nobody has applied op {}",
            host + 1,
            entry.op(),
            self.log.len() + 1
        );
        match self.log.get(index) {
            None => self.log.push(applied),
            Some(first) => assert_eq!(
                *first,
                applied,
                "ONE ORDER: op {} is another one on the server at {} (left: as it was first)",
                entry.op(),
                host + 1
            ),
        }
    }

    /// A server leads a view.
    pub fn leads(&mut self, view: &View, member: Member) {
        assert_eq!(
            view.primary, member.server,
            "ONE PRIMARY: {member:?} leads {view:?}"
        );
        self.views = self.views.max(view.number.round());
        let first = *self.primaries.entry(view.number).or_insert(member);
        assert_eq!(
            first, member,
            "ONE PRIMARY: two processes lead view {}",
            view.number
        );
    }

    /// A proposal is told to somebody, for the first time or again: its number names no other one,
    /// of an earlier process neither. A late promise would count for what it was not given for.
    pub fn proposed(&mut self, proposal: &Proposal) {
        let proposed = (proposal.candidate, proposal.members.clone());
        let first = self.proposals.entry(proposal.number);
        assert_eq!(
            *first.or_insert_with(|| proposed.clone()),
            proposed,
            "ONE NAME: view {} names two proposals (left: the first)",
            proposal.number
        );
    }

    /// A server has the View op of this view on disk.
    pub fn decided(&self, view: &View) {
        for server in &self.heard {
            assert!(
                view.member(*server).is_some(),
                "HEARD: server {server} is left out of {view:?}, and others hear it"
            );
        }
    }

    /// A read was answered: it sees everything that was acknowledged before it was asked.
    pub fn read(&mut self, host: usize, client: usize, newest: u64, applied: u64) {
        self.reads += 1;
        assert!(
            applied >= newest,
            "FRESH: the server at {} answers a read of client {client} as of op {applied}, and op \
             {newest} had been acknowledged before it was asked",
            host + 1
        );
    }

    /// How many ops there are that a server has applied.
    pub fn length(&self) -> u64 {
        self.log.len() as u64
    }

    /// At the end, with what a server has in its store: everything that was acknowledged, once.
    pub fn compare(&self, host: usize, found: &BTreeMap<u64, String>) {
        for (text, op) in self.told.answered() {
            assert_eq!(
                found.get(op),
                Some(text),
                "DURABLE: op {op}, which was acknowledged, is not on the server at {}",
                host + 1
            );
        }
        assert_eq!(
            &self.told.all(),
            found,
            "ONE ORDER: the messages on the server at {} (left: what was applied)",
            host + 1
        );
    }
}

impl World {
    /// An op is committed: it is applied, compared, and answered.
    /// A primary gives an op no time that is far ahead of the clocks of all others.
    fn check_time(&self, host: usize, process: &Process, entry: &Entry) {
        if process.replica.role() != Role::Primary {
            return;
        }
        let others = self.hosts.iter().filter(|it| it.index != host);
        let latest = others.map(|it| it.latest_wall_clock(self.now)).max();
        let latest = latest.unwrap_or(Timestamp(0)).max(self.checker.lone_time);
        let bound = CLOCK_AHEAD_MAX.as_millis() as u64 + CLOCKS_MAY_DRIFT_MS;
        assert!(
            entry.time.0 <= latest.0 + bound,
            "TIME: the primary at {} gives op {} the time {:?}, and no other clock shows more than {latest:?}",
            host + 1,
            entry.op(),
            entry.time
        );
    }

    pub fn committed(
        &mut self,
        host: usize,
        process: &mut Process,
        entry: &Entry,
        ticket: Option<Ticket>,
    ) {
        assert_eq!(
            entry.op(),
            process.applied.op.next(),
            "ONE ORDER: ops are committed without gaps"
        );
        process.applied = entry.position;
        self.check_time(host, process, entry);
        let mut effects = Effects::default();
        let op = decode_op(entry.payload()).expect("what is in the log can be read");
        let outcome = match &op {
            Op::Cluster(_) => {
                process.cluster_changed = true;
                None
            }
            Op::Chat(op) => {
                let time = entry.time;
                Some(process.state.apply(entry.op(), time, op, &mut effects))
            }
        };
        process.changes.append(&mut effects.changes);
        self.checker.applied(host, entry, outcome);
        if let Some(sent) = &effects.message {
            self.checker.told.sent(sent);
        }
        if let Some(session) = &effects.ended_session {
            self.checker.told.session_ended(*session);
        }
        if let (Op::Chat(ChatOp::CreateAccount { name, .. }), Some(Outcome::Created(_))) =
            (&op, outcome)
        {
            self.checker.told.account_made(*name);
        }
        self.fingerprint.add(entry.op().0 << 8 | host as u64);
        self.fingerprint.add(Fingerprint::of(&entry.prepare));
        if let Some(outcome) = outcome {
            let asker = ticket.and_then(|it| process.service.asker(it));
            if ticket.is_some() {
                self.acknowledge(host, process, entry);
            }
            self.op_applied(host, process, asker, outcome, &effects);
        }
    }

    /// Somebody is told: the op has to be safe on the disk of every member of the view.
    fn acknowledge(&mut self, host: usize, process: &Process, entry: &Entry) {
        let (op, view) = (entry.op().0, entry.position.view);
        // Who led, and follows by now, has it from the next primary that an op of its is committed.
        let leads = process.replica.role() == Role::Primary;
        let view_of_all = process.replica.view().filter(|_| leads);
        let members = view_of_all.map(|it| it.members.clone());
        for member in members.iter().flatten() {
            let holder = self
                .hosts
                .iter()
                .find(|it| it.server == Some(member.server));
            if let Some(holder) = holder {
                assert_eq!(
                    holder.safe.get(&op),
                    Some(&view),
                    "DURABLE: op {op} is acknowledged by the server at {} and not safe at {}, \
                     though both are members of its view",
                    host + 1,
                    holder.index + 1
                );
            }
        }
        self.checker.newest_acknowledged = self.checker.newest_acknowledged.max(op);
        self.checker.acknowledged += 1;
        self.say(|| format!("{} acknowledges op {op}", host + 1));
    }
}
