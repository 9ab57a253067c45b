//! Changing the view: who may lead whom from now on?

use crate::properties::{self, Broken};
use crate::rules::Guard;
use crate::state::{
    Entry, Id, NUMBERS_MAX, Number, Place, Processes, Proposal, SERVERS_MAX, Set, State, ids,
    numbers,
};
use crate::step::{Step, Steps};

impl State {
    /// What `server` does about views.
    pub(crate) fn view_change(&self, server: Place, steps: &mut Steps<'_>) {
        for members in self.sets_to_propose(server, false, steps) {
            self.propose_members(server, members, None, steps);
        }
        for candidate in self.all().filter(|&candidate| candidate != server) {
            self.promise(server, candidate, steps);
        }
        self.decide(server, steps);
        self.spread(server, steps);
    }

    /// The sets of members that `server` may propose now, if it may stand at all.
    /// An admission is a reason by itself, in a world where it is.
    pub(crate) fn sets_to_propose(
        &self,
        server: Place,
        admits: bool,
        steps: &Steps<'_>,
    ) -> Vec<Set> {
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
            let current = self.place_of(member, members[member]).is_some();
            let is_dead = dead[member] >> members[member] & 1 == 1;
            all |= 1 << member;
            here |= Set::from(current && !is_dead) << member;
        }
        let own = self.id(server);
        here |= 1 << own;
        let silent = self.silent_for(server, steps);
        let heard: Set = ids(here)
            .filter(|&member| silent[member] >> members[member] & 1 == 0 || member == own)
            .map(|member| 1 << member)
            .sum();
        if !setting.world.sober_candidates {
            return (1..=here)
                .filter(|set| set & !here == 0 && set >> own & 1 == 1)
                .collect();
        }
        let lost = all & !heard != 0;
        if admits && setting.world.prompt_admission && !lost {
            return vec![heard];
        }
        if self.has_reason(server, lost, heard) && !self.may_succeed(server, heard, &silent) {
            return vec![heard];
        }
        Vec::new()
    }

    /// Whether `server` stands already, for what it would propose now, and nobody within its
    /// reach has promised a higher number. It goes on asking for those promises, then.
    fn may_succeed(&self, server: Place, heard: Set, silent: &[Processes; SERVERS_MAX]) -> bool {
        let number = self.servers[server].candidate;
        let proposal = &self.proposals[usize::from(number)];
        number != 0
            && proposal.silent == *silent
            && !proposal.cold
            && self.all().all(|member| {
                let wanted = heard >> member & 1 == 1;
                let current = || self.place_of(member, proposal.members[member]).is_some();
                (proposal.members[member] != 0) == wanted
                    && (!wanted || current())
                    && !(self.linked(server, member) && self.seen(member) > number)
            })
    }

    /// Whether something is amiss, so that a sober server stands: somebody is `lost`, and it
    /// leads or there is nobody who leads; or a promise was given and nothing came of it.
    fn has_reason(&self, server: Place, lost: bool, heard: Set) -> bool {
        let view = self.view(server);
        let primary = usize::from(self.proposals[usize::from(view)].candidate);
        let serves = self.servers[server].serves;
        let leader = self.leader_of(view);
        let leader_serves = leader.is_some_and(|place| self.servers[place].serves);
        let abandoned = heard >> primary & 1 == 0 || !leader_serves;
        let leads = primary == self.id(server);
        let disturbed = self.servers[server].promised > view || (leads && !serves);
        disturbed || (lost && (serves || abandoned))
    }

    /// `server` proposes a view of these members of its newest view, and of a learner.
    pub(crate) fn propose_members(
        &self,
        server: Place,
        members: Set,
        learner: Option<Place>,
        steps: &mut Steps<'_>,
    ) {
        let view = self.view(server);
        let before = self.proposals[usize::from(view)].members;
        let mut proposal = Proposal {
            candidate: self.servers[server].id,
            lineage: self.servers[server].lineage,
            silent: self.silent_for(server, steps),
            ..Proposal::default()
        };
        for member in ids(members) {
            proposal.members[member] = before[member];
        }
        proposal.members[self.id(server)] = self.servers[server].incarnation;
        let step = match learner {
            None => Step::Propose(server as u8, members),
            Some(learner) => {
                proposal.members[self.id(learner)] = self.servers[learner].incarnation;
                Step::Admit(server as u8, members | 1 << self.id(learner))
            }
        };
        self.stand(server, proposal, step, steps);
    }

    /// `server` stands for `proposal`, under any number above all that it has seen.
    pub(crate) fn stand(
        &self,
        server: Place,
        proposal: Proposal,
        step: Step,
        steps: &mut Steps<'_>,
    ) {
        let near = |&other: &Place| other == server || self.linked(server, other);
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
            standing.promised = number;
            next.note_stood(server, number, steps);
            next.servers[server].descent |= self.process(server);
            let counts = self.counts_in(server, &proposal, steps);
            next.servers[server].promises[self.id(server)] = counts;
            steps.add(step, next);
        }
    }

    /// For which processes of its server a promise of `voter` counts.
    pub(crate) fn counts_in(
        &self,
        voter: Place,
        proposal: &Proposal,
        steps: &Steps<'_>,
    ) -> Processes {
        if proposal.cold {
            let by_descent = steps.setting.rules.hold(Guard::ColdStartByDescent);
            self.continued(voter, by_descent)
        } else {
            self.process(voter)
        }
    }

    /// A view of this number may have `server` as a member.
    pub(crate) fn note_stood(&mut self, server: Place, number: Number, steps: &Steps<'_>) {
        if steps.setting.bounds.damages > 0 {
            self.servers[server].stood = self.servers[server].stood.max(number);
        }
    }

    /// Whether another number can be told apart from those that are known.
    pub(crate) fn has_number_left(&self, steps: &Steps<'_>) -> bool {
        self.highest < steps.setting.bounds.numbers && usize::from(self.highest) + 1 < NUMBERS_MAX
    }

    /// The processes that are members of a standing view and that `server` counts as silent.
    fn silent_for(&self, server: Place, steps: &Steps<'_>) -> [Processes; SERVERS_MAX] {
        let rules = &steps.setting.rules;
        let mut silent = [0; SERVERS_MAX];
        for view in numbers(self.standing_views(server, steps.setting)) {
            let members = self.proposals[usize::from(view)].members;
            for member in self.all().filter(|&member| members[member] != 0) {
                let process = members[member];
                let dead = self.servers[server].dead[member] >> process & 1 == 1;
                if !dead && self.is_silent_for(server, member, process, rules) {
                    silent[member] |= 1 << process;
                }
            }
        }
        silent
    }

    /// Whether a promise of `voter` binds it to a view that `candidate` is no member of.
    fn is_bound(&self, voter: Place, candidate: Place, steps: &Steps<'_>) -> bool {
        steps.setting.rules.hold(Guard::PromiseBinds)
            && numbers(self.servers[voter].binding)
                .any(|promised| !self.is_member(promised, candidate))
    }

    /// Whether `voter` hears somebody whom `candidate` names as silent.
    fn veto(&self, voter: Place, candidate: Place, number: Number, steps: &Steps<'_>) -> bool {
        let rules = &steps.setting.rules;
        let silent = self.proposals[usize::from(number)].silent;
        let stands = self.servers[candidate].candidate == number;
        let consents = |id: Id, process: Processes| {
            rules.hold(Guard::PromisedAreNotSilent)
                && stands
                && self.servers[candidate].promises[id] & process != 0
        };
        rules.hold(Guard::HeardAreNotSilent)
            && self.all().any(|member| {
                let (id, current) = (self.id(member), self.servers[member].incarnation);
                let process = self.process(member);
                silent[id] & process != 0
                    && member != voter
                    && !self.is_silent_for(voter, id, current, rules)
                    && !consents(id, process)
            })
    }

    /// `voter` promises `candidate`'s proposal, durably, and stops whatever it did before.
    fn promise(&self, voter: Place, candidate: Place, steps: &mut Steps<'_>) {
        let Some((number, arrives)) = self.proposal_of(candidate, voter, steps) else {
            return;
        };
        let rules = &steps.setting.rules;
        let standing = self.standing_views(candidate, steps.setting);
        let asked = numbers(standing).any(|view| self.is_member(view, voter));
        let rises = number > self.servers[voter].promised || !rules.hold(Guard::PromisesRise);
        let newer = self.view(voter) > self.view(candidate) && rules.hold(Guard::VoterIsNotNewer);
        let id = self.id(voter);
        let given = self.servers[candidate].promises[id] & self.process(voter) != 0;
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
            next.servers[candidate].promises[id] |= self.process(voter);
        }
        steps.add(Step::Promise(candidate as u8, voter as u8), next);
    }

    /// What `candidate` proposes, as far as `voter` hears of it, and whether an answer arrives.
    fn proposal_of(
        &self,
        candidate: Place,
        voter: Place,
        steps: &Steps<'_>,
    ) -> Option<(Number, bool)> {
        let server = &self.servers[candidate];
        if server.candidate != 0 && self.reaches(voter, candidate) {
            return Some((server.candidate, true));
        }
        // A Propose that was on its way when its candidate was killed or stopped.
        let promised = server.promised;
        let own = self.leader_of(promised) == Some(candidate)
            && self.servers[candidate].lineage == self.servers[voter].lineage;
        let late = own
            && promised > self.view(candidate)
            && !self.runs(candidate)
            && self.open(candidate, voter);
        (steps.setting.world.late_frames && late).then_some((promised, false))
    }

    /// `voter` has this promise on disk.
    pub(crate) fn give_promise(&mut self, voter: Place, number: Number, steps: &Steps<'_>) {
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
        server.descent |= 1 << server.incarnation;
        if self.proposals[usize::from(number)].members[self.id(voter)] != 0 {
            self.note_stood(voter, number, steps);
        }
    }

    /// The candidate has promises enough in each of its standing views.
    fn decide(&self, candidate: Place, steps: &mut Steps<'_>) {
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
    fn has_members(&self, candidate: Place, number: Number, steps: &Steps<'_>) -> bool {
        let proposal = &self.proposals[usize::from(number)];
        let before = self.proposals[usize::from(self.view(candidate))].members;
        let promises = self.servers[candidate].promises;
        !steps.setting.rules.hold(Guard::MembersPromised)
            || self.all().all(|member| {
                let proposed = proposal.members[member];
                let learner = proposed != before[member] && !proposal.cold;
                proposed == 0 || promises[member] >> proposed & 1 == 1 || learner
            })
    }

    /// Whether the promises suffice in terms of this view.
    fn has_quorum(
        &self,
        candidate: Place,
        number: Number,
        view: Number,
        steps: &Steps<'_>,
    ) -> bool {
        let rules = &steps.setting.rules;
        let members = self.proposals[usize::from(view)].members;
        let named = self.proposals[usize::from(number)].silent;
        let server = &self.servers[candidate];
        let (mut promised, mut silent): (Set, Set) = (0, 0);
        for member in self.all().filter(|&member| members[member] != 0) {
            let process = members[member];
            let is_in = |set: Processes| set >> process & 1 == 1;
            let was_named = is_in(named[member]) || !rules.hold(Guard::SilentWereNamed);
            if is_in(server.promises[member]) {
                promised |= 1 << member;
            } else if is_in(server.dead[member]) {
                let counts = !rules.hold(Guard::DeadAreNoVotes);
                promised |= Set::from(counts) << member;
            } else if self.is_silent_for(candidate, member, process, rules) && was_named {
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
    fn spread(&self, candidate: Place, steps: &mut Steps<'_>) {
        let rules = &steps.setting.rules;
        let server = &self.servers[candidate];
        let view = self.view(candidate);
        let leads = view != 0
            && self.leader_of(view) == Some(candidate)
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
    fn install(&self, candidate: Place, member: Place, steps: &mut Steps<'_>) {
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
        next.note_stood(member, view, steps);
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
            .any(|id| members[id] != 0 && id != self.id(candidate) && id != self.id(member));
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
    fn learn(&self, candidate: Place, member: Place, steps: &mut Steps<'_>) {
        let server = &self.servers[candidate];
        let id = self.id(member);
        if self.view(member) == self.view(candidate) && server.acknowledged[id] != server.length {
            let mut next = *self;
            next.servers[candidate].acknowledged[id] = server.length;
            let broken = next.serve_if_in_force(candidate, steps);
            steps.add_checked(Step::Learn(candidate as u8, member as u8), next, broken);
        }
    }

    /// Once all members have the View op, the view is in force and everything is committed.
    fn serve_if_in_force(&mut self, candidate: Place, steps: &Steps<'_>) -> Option<Broken> {
        let members = self.proposals[usize::from(self.view(candidate))].members;
        let server = &mut self.servers[candidate];
        let (mut have, mut all) = (0, 0);
        for member in (0..self.count).filter(|&member| members[member] != 0) {
            let acknowledged = server.acknowledged[member] == server.length;
            all += 1;
            have += u8::from(member == usize::from(server.id) || acknowledged);
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
