//! Coming back: how does a server that is no member get what it lacks, and become one again?

use crate::properties::Broken;
use crate::rules::Guard;
use crate::state::{Contact, Entry, Id, LOG_MAX, State};
use crate::step::{Step, Steps};

impl State {
    /// What a serving `primary` does for servers that are no members of its view.
    pub(crate) fn catching_up(&self, primary: Id, steps: &mut Steps<'_>) {
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
    fn catch_up(&self, primary: Id, learner: Id, steps: &mut Steps<'_>) {
        let (leader, follower) = (&self.servers[primary], &self.servers[learner]);
        let equal = leader.log == follower.log && leader.commit <= follower.commit;
        if self.view(learner) > self.view(primary) || equal {
            return;
        }
        let mut next = *self;
        next.forget(learner);
        let (whole, broken) = next.copy_log(primary, learner);
        if whole {
            next.servers[learner].commit = leader.commit.max(follower.commit);
        }
        steps.add_checked(Step::CatchUp(primary as u8, learner as u8), next, broken);
    }

    /// A learner is proposed as a member, beside all the others.
    ///
    /// It must have the View op that left it out: until then it may still stand as a candidate of
    /// the view before, and from now on its pings are echoed again.
    fn admit(&self, primary: Id, learner: Id, steps: &mut Steps<'_>) {
        let guarded = steps.setting.rules.hold(Guard::LearnerKnowsTheView);
        if guarded && !self.has_view(learner, self.view(primary)) {
            return;
        }
        for members in self.sets_to_propose(primary, steps) {
            let with_it = members | 1 << learner;
            self.propose_members(primary, with_it, steps);
        }
    }

    /// Makes `to`'s log the log of `from`, in two steps that are durable each: cut off, append.
    /// Answers whether it is whole now.
    pub(crate) fn copy_log(&mut self, from: Id, to: Id) -> (bool, Option<Broken>) {
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
    pub(crate) fn raise_incarnation(&mut self, server: Id, guarded: bool) {
        self.forget(server);
        self.servers[server].dead = Default::default();
        if !guarded {
            return;
        }
        self.servers[server].incarnation += 1;
        self.fresh_before[server] = 0;
        for other in self.all().filter(|&other| other != server) {
            if self.runs(other) && self.contact[other][server] == Contact::Fresh {
                self.fresh_before[server] |= 1 << other;
            }
            self.contact[server][other] = Contact::Stale;
            self.contact[other][server] = Contact::Stale;
        }
    }

    /// Whether the log of `server` can take one more View op.
    pub(crate) fn has_room(&self, server: Id, steps: &Steps<'_>) -> bool {
        let length = usize::from(self.servers[server].length);
        length < LOG_MAX && length < usize::from(steps.setting.bounds.log)
    }
}
