//! Coming back: how does a server that is no member get what it lacks, and become one again?

use crate::properties::Broken;
use crate::rules::Guard;
use crate::state::{Contact, Entry, Id, LOG_MAX, Place, Processes, State};
use crate::step::{Step, Steps};

impl State {
    /// What a serving `primary` does for servers that are no members of its view.
    pub(crate) fn catching_up(&self, primary: Place, steps: &mut Steps<'_>) {
        if !self.servers[primary].serves {
            return;
        }
        for learner in self.all().filter(|&other| self.linked(primary, other)) {
            if !self.is_member(self.view(primary), learner) {
                self.catch_up(primary, learner, steps);
                self.admit(primary, learner, steps);
            }
        }
    }

    /// A learner, or a member that hears now that it was left out, takes the primary's log: first
    /// it cuts off what the primary does not have, then it appends.
    fn catch_up(&self, primary: Place, learner: Place, steps: &mut Steps<'_>) {
        let (leader, follower) = (&self.servers[primary], &self.servers[learner]);
        let equal = leader.log == follower.log && leader.commit <= follower.commit;
        let named = follower.descent & self.process(learner) != 0;
        if self.view(learner) > self.view(primary) || (equal && named) {
            return;
        }
        let mut next = *self;
        next.forget(learner);
        let (mut whole, mut broken) = (true, None);
        if self.view(learner) == 0 {
            // Nothing, or a log of another lineage: positions say nothing. A snapshot replaces it.
            let target = &mut next.servers[learner];
            (target.length, target.log, target.commit) = (leader.length, leader.log, leader.commit);
        } else {
            (whole, broken) = next.copy_log(primary, learner);
        }
        if whole {
            let target = &mut next.servers[learner];
            target.commit = target.commit.max(leader.commit);
            // From now on it may be named in a view, since it acknowledges what it has.
            target.descent |= self.process(learner);
            (target.damaged, target.in_force) = (false, 0);
        }
        steps.add_checked(Step::CatchUp(primary as u8, learner as u8), next, broken);
    }

    /// A learner is proposed as a member, beside all the others.
    ///
    /// It must have the View op that left it out: until then it may still stand as a candidate of
    /// the view before, and from now on its pings are echoed again.
    fn admit(&self, primary: Place, learner: Place, steps: &mut Steps<'_>) {
        let guarded = steps.setting.rules.hold(Guard::LearnerKnowsTheView);
        if guarded && !self.has_view(learner, self.view(primary)) {
            return;
        }
        // It adds itself to its folder's descent before it acknowledges anything. Else no later process
        // of its server would count for it, and a cold start would wait for ever.
        let named = self.servers[learner].descent & self.process(learner) != 0;
        if steps.setting.rules.hold(Guard::NamedAreInDescent) && !named {
            return;
        }
        // Two processes of one server are never members of one view.
        if self.id(learner) != self.id(primary) {
            for members in self.sets_to_propose(primary, true, steps) {
                self.propose_members(primary, members, Some(learner), steps);
            }
        }
    }

    /// Makes `to`'s log the log of `from`, in two steps that are durable each: cut off, append.
    /// Answers whether it is whole now.
    pub(crate) fn copy_log(&mut self, from: Place, to: Place) -> (bool, Option<Broken>) {
        let (source, target) = (self.servers[from], &mut self.servers[to]);
        let shorter = usize::from(source.length.min(target.length));
        let differs = |at: &usize| source.log[*at] != target.log[*at];
        let common = (0..shorter).find(differs).unwrap_or(shorter);
        if usize::from(target.length) == common {
            target.length = source.length;
            target.log = source.log;
            return (true, None);
        }
        let broken = usize::from(target.commit) > common;
        target.length = common as u8;
        target.log[common..].fill(Entry::default());
        (false, broken.then_some(Broken::CommittedOpCutOff))
    }

    /// The process ends for good: whoever runs under this id from now on is another one.
    pub(crate) fn raise_incarnation(&mut self, server: Place, guarded: bool) {
        self.forget(server);
        self.servers[server].dead = Default::default();
        if !guarded {
            return;
        }
        let id = self.id(server);
        let youngest = 15 - self.known_processes(id).leading_zeros() as u8;
        let born = &mut self.servers[server];
        born.before = born.incarnation;
        born.incarnation = youngest + 1;
        if self.counts_starts {
            born.counter += 1;
            self.counters[id][usize::from(born.incarnation)] = born.counter;
        }
        self.fresh_before[server] = 0;
        for other in self.all().filter(|&other| other != server) {
            if self.runs(other) && self.contact[other][server] == Contact::Fresh {
                self.fresh_before[server] |= 1 << other;
            }
            self.contact[server][other] = Contact::Stale;
            self.contact[other][server] = Contact::Stale;
        }
    }

    /// The processes of a server that anybody knows.
    pub(crate) fn known_processes(&self, id: Id) -> Processes {
        let mut known = 0;
        for server in &self.servers[..self.count] {
            known |= server.dead[id] | server.promises[id];
            if usize::from(server.id) == id {
                known |= 1 << server.incarnation | 1 << server.before | server.descent;
            }
        }
        for proposal in &self.proposals[1..=usize::from(self.highest)] {
            known |= 1 << proposal.members[id] | proposal.silent[id];
        }
        known | 1
    }

    /// Whether the log of `server` can take one more View op.
    pub(crate) fn has_room(&self, server: Place, steps: &Steps<'_>) -> bool {
        let length = usize::from(self.servers[server].length);
        length < LOG_MAX && length < usize::from(steps.setting.bounds.log)
    }
}
