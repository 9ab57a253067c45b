//! Normal operation: when is an op committed, and who may answer a read?

use crate::properties;
use crate::rules::Guard;
use crate::state::{Entry, Id, LOG_MAX, OPS_MAX, State};
use crate::step::{Step, Steps};

impl State {
    /// What `primary` does while it serves.
    pub(crate) fn normal(&self, primary: Id, steps: &mut Steps<'_>) {
        if !self.servers[primary].serves {
            return;
        }
        self.request(primary, steps);
        self.commit(primary, steps);
        for backup in self.all().filter(|&backup| self.linked(primary, backup)) {
            if self.is_member(self.view(primary), backup) {
                self.prepare(primary, backup, steps);
                self.tell(primary, backup, steps);
            }
        }
    }

    /// A client's request gets the next op number.
    fn request(&self, primary: Id, steps: &mut Steps<'_>) {
        let server = &self.servers[primary];
        let length = usize::from(server.length);
        let room = length < usize::from(steps.setting.bounds.log) && length < LOG_MAX;
        let ops_max = steps.setting.bounds.ops.min(OPS_MAX as u8);
        if room && self.spent.ops < ops_max {
            let mut next = *self;
            next.spent.ops += 1;
            next.servers[primary].log[length] = Entry::op(self.view(primary), next.spent.ops);
            next.servers[primary].length += 1;
            steps.add(Step::Request(primary as u8), next);
        }
    }

    /// An op is committed when every member's journal has it.
    fn commit(&self, primary: Id, steps: &mut Steps<'_>) {
        let server = &self.servers[primary];
        if server.commit == server.length {
            return;
        }
        let members = self.proposals[usize::from(self.view(primary))].members;
        let (mut have, mut all) = (0, 0);
        for member in self.all().filter(|&member| members[member] != 0) {
            all += 1;
            let own = member == usize::from(server.id);
            have += u8::from(own || server.acknowledged[member] > server.commit);
        }
        if have == all || (!steps.setting.rules.hold(Guard::EveryMemberHasIt) && have * 2 > all) {
            let mut next = *self;
            next.servers[primary].commit += 1;
            let broken = properties::answer(&mut next, primary);
            steps.add_checked(Step::Commit(primary as u8), next, broken);
        }
    }

    /// A backup takes the next op of the primary of its view, if it has promised no higher one.
    ///
    /// Its acknowledgement is there at once. That it may be late is covered: the primary may
    /// commit late, too.
    fn prepare(&self, primary: Id, backup: Id, steps: &mut Steps<'_>) {
        let (leader, follower) = (&self.servers[primary], &self.servers[backup]);
        if !self.follows(primary, backup, steps) || follower.length == leader.length {
            return;
        }
        let mut next = *self;
        let server = &mut next.servers[backup];
        server.log[usize::from(server.length)] = leader.log[usize::from(server.length)];
        server.length += 1;
        server.commit = server.commit.max(leader.commit.min(server.length));
        let id = usize::from(server.id);
        next.servers[primary].acknowledged[id] = server.length;
        steps.add(Step::Prepare(primary as u8, backup as u8), next);
    }

    /// A backup hears what is committed.
    fn tell(&self, primary: Id, backup: Id, steps: &mut Steps<'_>) {
        let (leader, follower) = (&self.servers[primary], &self.servers[backup]);
        let told = leader.commit.min(follower.length);
        if self.follows(primary, backup, steps) && follower.commit < told {
            let mut next = *self;
            next.servers[backup].commit = told;
            steps.add(Step::Tell(primary as u8, backup as u8), next);
        }
    }

    /// Whether `backup` takes ops and commit numbers of `primary`.
    fn follows(&self, primary: Id, backup: Id, steps: &Steps<'_>) -> bool {
        let (leader, follower) = (&self.servers[primary], &self.servers[backup]);
        let length = usize::from(follower.length);
        let view = self.view(primary);
        let free =
            follower.promised <= view || !steps.setting.rules.hold(Guard::PromiserTakesNoPrepare);
        free && self.view(backup) == view
            && follower.length <= leader.length
            && follower.log[..length] == leader.log[..length]
    }
}
