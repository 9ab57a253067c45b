//! Changing the view: who may lead whom from now on?

use crate::properties::{self, Broken};
use crate::rules::Guard;
use crate::state::{
    Entry, Id, NUMBERS_MAX, Number, Proposal, SERVERS_MAX, Set, State, ids, numbers,
};
use crate::step::{Step, Steps};

impl State {
    /// What `server` does about views.
    pub(crate) fn view_change(&self, server: Id, steps: &mut Steps<'_>) {
        for members in self.sets_to_propose(server, steps) {
            self.propose_members(server, members, steps);
        }
        for candidate in self.all().filter(|&candidate| candidate != server) {
            self.promise(server, candidate, steps);
        }
        self.decide(server, steps);
        self.spread(server, steps);
    }

    /// The sets of members that `server` may propose now, if it may stand at all.
    pub(crate) fn sets_to_propose(&self, server: Id, steps: &Steps<'_>) -> Vec<Set> {
        let setting = steps.setting;
        let intact = !setting.rules.hold(Guard::CandidateIsIntact) || self.is_intact(server);
        let may_stand = setting.bounds.candidates >> server & 1 == 1;
        if !may_stand
            || !intact
            || self.is_bound(server, server, steps)
            || !self.has_number_left(steps)
        {
            return Vec::new();
        }
        let view = self.view(server);
        let members = self.proposals[usize::from(view)].members;
        let dead = self.servers[server].dead;
        // Those that run under that incarnation, as far as the candidate knows.
        let (mut here, mut all) = (0, 0);
        for member in self.all().filter(|&member| members[member] != 0) {
            let current = self.servers[member].incarnation == members[member];
            all |= 1 << member;
            here |= Set::from(current && dead[member] < members[member]) << member;
        }
        here |= 1 << server;
        let silent = self.silent_for(server, steps);
        let heard: Set = ids(here)
            .filter(|&member| silent[member] < members[member] || member == server)
            .map(|member| 1 << member)
            .sum();
        if !setting.world.sober_candidates {
            return (1..=here)
                .filter(|set| set & !here == 0 && set >> server & 1 == 1)
                .collect();
        }
        let lost = all & !heard != 0;
        if self.has_reason(server, lost, heard) && !self.may_succeed(server, heard, &silent) {
            return vec![heard];
        }
        Vec::new()
    }

    /// Whether `server` stands already, for what it would propose now, and nobody within its
    /// reach has promised a higher number. It goes on asking for those promises, then.
    fn may_succeed(&self, server: Id, heard: Set, silent: &[u8; SERVERS_MAX]) -> bool {
        let number = self.servers[server].candidate;
        let proposal = &self.proposals[usize::from(number)];
        number != 0
            && proposal.silent == *silent
            && !proposal.cold
            && self.all().all(|member| {
                let wanted = heard >> member & 1 == 1;
                (proposal.members[member] != 0) == wanted
                    && (!wanted || self.is_member(number, member))
                    && !(self.linked(server, member) && self.seen(member) > number)
            })
    }

    /// Whether something is amiss, so that a sober server stands: somebody is `lost`, and it
    /// leads or there is nobody who leads; or a promise was given and nothing came of it.
    fn has_reason(&self, server: Id, lost: bool, heard: Set) -> bool {
        let view = self.view(server);
        let primary = usize::from(self.proposals[usize::from(view)].candidate);
        let serves = self.servers[server].serves;
        let abandoned = heard >> primary & 1 == 0 || !self.servers[primary].serves;
        let disturbed = self.servers[server].promised > view || (primary == server && !serves);
        disturbed || (lost && (serves || abandoned))
    }

    /// `server` proposes a view of these members.
    pub(crate) fn propose_members(&self, server: Id, members: Set, steps: &mut Steps<'_>) {
        let view = self.view(server);
        let before = self.proposals[usize::from(view)].members;
        let added: Set = ids(members)
            .filter(|&member| before[member] != self.servers[member].incarnation)
            .map(|member| 1 << member)
            .sum();
        let mut proposal = Proposal {
            candidate: server as u8,
            silent: self.silent_for(server, steps),
            ..Proposal::default()
        };
        for member in ids(members) {
            proposal.members[member] = self.servers[member].incarnation;
        }
        let step = if added == 0 {
            Step::Propose(server as u8, members)
        } else {
            Step::Admit(server as u8, members)
        };
        self.stand(server, proposal, step, steps);
    }

    /// `server` stands for `proposal`, under any number above all that it has seen.
    pub(crate) fn stand(&self, server: Id, proposal: Proposal, step: Step, steps: &mut Steps<'_>) {
        let near = |&other: &Id| other == server || self.linked(server, other);
        let seen = self.all().filter(near).map(|other| self.seen(other)).max();
        for number in seen.unwrap_or(0) + 1..=self.highest + 1 {
            let mut next = *self;
            next.insert_number(number, proposal);
            next.forget(server);
            next.servers[server].serves = self.servers[server].serves
                && !steps.setting.rules.hold(Guard::PromisingPrimaryStops);
            next.servers[server].acknowledged = self.servers[server].acknowledged;
            let standing = &mut next.servers[server];
            if !standing.serves {
                standing.acknowledged = [0; SERVERS_MAX];
            }
            standing.candidate = number;
            standing.promises[server] = standing.incarnation;
            standing.promised = number;
            steps.add(step, next);
        }
    }

    /// Whether another number can be told apart from those that are known.
    pub(crate) fn has_number_left(&self, steps: &Steps<'_>) -> bool {
        self.highest < steps.setting.bounds.numbers && usize::from(self.highest) + 1 < NUMBERS_MAX
    }

    /// The newest incarnation of each member of a standing view that `server` counts as silent.
    fn silent_for(&self, server: Id, steps: &Steps<'_>) -> [u8; SERVERS_MAX] {
        let mut silent = [0; SERVERS_MAX];
        for view in numbers(self.standing_views(server, steps.setting)) {
            let members = self.proposals[usize::from(view)].members;
            for member in self.all() {
                let incarnation = members[member];
                let dead = self.servers[server].dead[member] >= incarnation;
                if !dead && self.is_silent_for(server, member, incarnation) {
                    silent[member] = silent[member].max(incarnation);
                }
            }
        }
        silent
    }

    /// Whether a promise of `voter` binds it to a view that `candidate` is no member of.
    fn is_bound(&self, voter: Id, candidate: Id, steps: &Steps<'_>) -> bool {
        steps.setting.rules.hold(Guard::PromiseBinds)
            && numbers(self.servers[voter].binding)
                .any(|promised| !self.is_member(promised, candidate))
    }

    /// Whether `voter` hears somebody whom `candidate` names as silent.
    fn veto(&self, voter: Id, candidate: Id, number: Number, steps: &Steps<'_>) -> bool {
        let rules = &steps.setting.rules;
        let silent = self.proposals[usize::from(number)].silent;
        let consents = |member: Id| {
            rules.hold(Guard::PromisedAreNotSilent)
                && self.servers[candidate].candidate == number
                && self.servers[candidate].promises[member] != 0
        };
        rules.hold(Guard::HeardAreNotSilent)
            && self.all().any(|member| {
                let current = self.servers[member].incarnation;
                silent[member] >= current
                    && member != voter
                    && !self.is_silent_for(voter, member, current)
                    && !consents(member)
            })
    }

    /// `voter` promises `candidate`'s proposal, durably, and stops whatever it did before.
    fn promise(&self, voter: Id, candidate: Id, steps: &mut Steps<'_>) {
        let Some((number, arrives)) = self.proposal_of(candidate, voter, steps) else {
            return;
        };
        let rules = &steps.setting.rules;
        let standing = self.standing_views(candidate, steps.setting);
        let asked = numbers(standing).any(|view| self.is_member(view, voter));
        let rises = number > self.servers[voter].promised || !rules.hold(Guard::PromisesRise);
        let newer = self.view(voter) > self.view(candidate) && rules.hold(Guard::VoterIsNotNewer);
        let given = self.servers[candidate].promises[voter] == self.servers[voter].incarnation;
        if !asked
            || !rises
            || newer
            || (given && arrives)
            || self.proposals[usize::from(number)].cold
            || self.is_bound(voter, candidate, steps)
            || self.veto(voter, candidate, number, steps)
        {
            return;
        }
        let mut next = *self;
        next.give_promise(voter, number, steps);
        if arrives {
            next.servers[candidate].promises[voter] = self.servers[voter].incarnation;
        }
        steps.add(Step::Promise(candidate as u8, voter as u8), next);
    }

    /// What `candidate` proposes, as far as `voter` hears of it, and whether an answer arrives.
    fn proposal_of(&self, candidate: Id, voter: Id, steps: &Steps<'_>) -> Option<(Number, bool)> {
        let server = &self.servers[candidate];
        if server.candidate != 0 && self.reaches(voter, candidate) {
            return Some((server.candidate, true));
        }
        // A Propose that was on its way when its candidate was killed or stopped.
        let promised = server.promised;
        let own = usize::from(self.proposals[usize::from(promised)].candidate) == candidate;
        let late = own
            && promised > self.view(candidate)
            && !self.runs(candidate)
            && self.open(candidate, voter);
        (steps.setting.world.late_frames && late).then_some((promised, false))
    }

    /// `voter` has this promise on disk.
    pub(crate) fn give_promise(&mut self, voter: Id, number: Number, steps: &Steps<'_>) {
        let rules = &steps.setting.rules;
        let (serves, acknowledged) = {
            let server = &self.servers[voter];
            (server.serves, server.acknowledged)
        };
        self.forget(voter);
        let server = &mut self.servers[voter];
        if serves && !rules.hold(Guard::PromisingPrimaryStops) {
            server.serves = serves;
            server.acknowledged = acknowledged;
        }
        if !rules.hold(Guard::EveryPromiseBinds) {
            server.binding = 0;
        }
        server.promised = number;
        server.binding |= 1 << number;
    }

    /// The candidate has promises enough in each of its standing views.
    fn decide(&self, candidate: Id, steps: &mut Steps<'_>) {
        let number = self.servers[candidate].candidate;
        let standing = self.standing_views(candidate, steps.setting);
        if number == 0
            || self.servers[candidate].promised != number
            || !self.has_room(candidate, steps)
            || !self.has_members(candidate, number, steps)
        {
            return;
        }
        let decided = if self.proposals[usize::from(number)].cold {
            self.may_start_cold(candidate, standing, steps)
        } else {
            numbers(standing).all(|view| self.has_quorum(candidate, number, view, steps))
        };
        if decided {
            let mut next = *self;
            next.forget(candidate);
            let server = &mut next.servers[candidate];
            server.log[usize::from(server.length)] = Entry::view(number);
            server.length += 1;
            let broken = next.serve_if_in_force(candidate, steps);
            steps.add_checked(Step::Decide(candidate as u8), next, broken);
        }
    }

    /// Whether all proposed members promised, but for the learner.
    fn has_members(&self, candidate: Id, number: Number, steps: &Steps<'_>) -> bool {
        let proposal = &self.proposals[usize::from(number)];
        let before = self.proposals[usize::from(self.view(candidate))].members;
        let promises = self.servers[candidate].promises;
        !steps.setting.rules.hold(Guard::MembersPromised)
            || self.all().all(|member| {
                let proposed = proposal.members[member];
                let learner = proposed != before[member] && !proposal.cold;
                proposed == 0 || promises[member] == proposed || learner
            })
    }

    /// Whether the promises suffice in terms of this view.
    fn has_quorum(&self, candidate: Id, number: Number, view: Number, steps: &Steps<'_>) -> bool {
        let rules = &steps.setting.rules;
        let members = self.proposals[usize::from(view)].members;
        let named = self.proposals[usize::from(number)].silent;
        let server = &self.servers[candidate];
        let (mut promised, mut silent): (Set, Set) = (0, 0);
        for member in self.all().filter(|&member| members[member] != 0) {
            let incarnation = members[member];
            let was_named = named[member] >= incarnation || !rules.hold(Guard::SilentWereNamed);
            if server.promises[member] == incarnation {
                promised |= 1 << member;
            } else if server.dead[member] >= incarnation {
                let counts = !rules.hold(Guard::DeadAreNoVotes);
                promised |= Set::from(counts) << member;
            } else if self.is_silent_for(candidate, member, incarnation) && was_named {
                silent |= 1 << member;
            } else {
                return false;
            }
        }
        let primary: Set = 1 << self.proposals[usize::from(view)].candidate;
        let both = promised | silent;
        let first = if both & primary != 0 {
            primary
        } else {
            both & both.wrapping_neg()
        };
        let (ayes, absent) = (promised.count_ones(), silent.count_ones());
        let precedes = promised & first != 0 || !rules.hold(Guard::TieNeedsPrecedence);
        ayes > absent || (ayes == absent && precedes)
    }

    /// Its newest view is led by `candidate`, but not all members are known to have it.
    fn spread(&self, candidate: Id, steps: &mut Steps<'_>) {
        let rules = &steps.setting.rules;
        let server = &self.servers[candidate];
        let view = self.view(candidate);
        let leads = usize::from(self.proposals[usize::from(view)].candidate) == candidate
            && self.is_member(view, candidate)
            && (server.promised <= view || !rules.hold(Guard::PromisingPrimaryStops))
            && server.log[usize::from(server.length) - 1] == Entry::view(view);
        if server.serves || !leads {
            return;
        }
        for member in self.all() {
            if self.linked(candidate, member) && self.is_member(view, member) {
                self.install(candidate, member, steps);
                self.learn(candidate, member, steps);
            }
        }
    }

    /// A member takes the candidate's log, View op included.
    fn install(&self, candidate: Id, member: Id, steps: &mut Steps<'_>) {
        let view = self.view(candidate);
        let guarded = steps
            .setting
            .rules
            .hold(Guard::PromiserInstallsNothingLower);
        let free = self.servers[member].promised <= view || !guarded;
        if self.view(member) >= view || !free {
            return;
        }
        let mut next = *self;
        next.forget(member);
        let server = &mut next.servers[member];
        server.promised = server.promised.max(view);
        let (whole, broken) = next.copy_log(candidate, member);
        if !whole {
            steps.add_checked(Step::Truncate(candidate as u8, member as u8), next, broken);
            return;
        }
        let members = self.proposals[usize::from(view)].members;
        let others = self
            .all()
            .any(|other| members[other] != 0 && other != candidate && other != member);
        let leader = &self.servers[candidate];
        let server = &mut next.servers[member];
        server.commit = server.commit.max(leader.commit);
        if !others {
            // Whoever must have it has it: the view is in force, as this server knows.
            server.commit = server.length;
        }
        steps.add_checked(Step::Install(candidate as u8, member as u8), next, broken);
    }

    /// The candidate hears that a member has its View op.
    fn learn(&self, candidate: Id, member: Id, steps: &mut Steps<'_>) {
        let server = &self.servers[candidate];
        if self.view(member) == self.view(candidate) && server.acknowledged[member] != server.length
        {
            let mut next = *self;
            next.servers[candidate].acknowledged[member] = server.length;
            let broken = next.serve_if_in_force(candidate, steps);
            steps.add_checked(Step::Learn(candidate as u8, member as u8), next, broken);
        }
    }

    /// Once all members have the View op, the view is in force and everything is committed.
    fn serve_if_in_force(&mut self, candidate: Id, steps: &Steps<'_>) -> Option<Broken> {
        let members = self.proposals[usize::from(self.view(candidate))].members;
        let server = &mut self.servers[candidate];
        let (mut have, mut all) = (0, 0);
        for member in (0..self.count).filter(|&member| members[member] != 0) {
            let acknowledged = server.acknowledged[member] == server.length;
            all += 1;
            have += u8::from(member == candidate || acknowledged);
        }
        let guarded = steps.setting.rules.hold(Guard::InForceWithAll);
        if have == all || (!guarded && have * 2 > all) {
            server.serves = true;
            server.commit = server.length;
            return properties::answer_in_new_view(self, candidate);
        }
        None
    }
}
