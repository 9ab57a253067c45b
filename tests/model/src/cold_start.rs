//! Everything was down: who begins anew, and who gives up so that somebody can?

use crate::rules::{Guard, Rules};
use crate::state::{Birth, Id, Number, Numbers, Place, Process, Proposal, State, numbers};
use crate::step::{Step, Steps};

impl State {
    /// What `server` does when nobody serves.
    pub(crate) fn cold_start(&self, server: Place, steps: &mut Steps<'_>) {
        self.resign(server, steps);
        self.cold_propose(server, steps);
        for candidate in self.all().filter(|&other| self.linked(server, other)) {
            self.cold_promise(server, candidate, steps);
        }
    }

    /// An intact server that can never decide anything again, or that hears of a newer view
    /// without it, gives up its incarnation: it would only keep the others from starting over.
    fn resign(&self, server: Place, steps: &mut Steps<'_>) {
        let near = |other: Place| other == server || self.linked(server, other);
        let served = self
            .all()
            .any(|other| near(other) && self.servers[other].serves);
        if !self.is_intact(server) || served || !steps.setting.rules.hold(Guard::Resignation) {
            return;
        }
        let by_descent = steps.setting.rules.hold(Guard::ResignationByDescent);
        let (mut all_near, mut some_reborn) = (true, false);
        for view in numbers(self.standing_views(server, steps.setting)) {
            let members = self.proposals[usize::from(view)].members;
            for member in self.all().filter(|&member| members[member] != 0) {
                let here = |place: &Place| near(*place) && self.id(*place) == member;
                let is_later = |place: Place| {
                    !self.is_process(place, member, members[member])
                        && self.continued(place, by_descent) >> members[member] & 1 == 1
                };
                all_near &= self.all().any(|place| here(&place));
                some_reborn |= member != self.id(server) && self.all().filter(here).any(is_later);
            }
        }
        let left_out = self.all().any(|other| {
            let newer = self.view(other);
            near(other) && newer > self.view(server) && !self.is_member(newer, server)
        });
        if (all_near && some_reborn) || left_out {
            let mut next = *self;
            next.raise_incarnation(server, steps.setting.rules.hold(Guard::IncarnationRises));
            steps.add(Step::Resign(server as u8), next);
        }
    }

    /// `server` proposes a view of itself alone, if everybody who may know more is here and none
    /// of them does.
    fn cold_propose(&self, server: Place, steps: &mut Steps<'_>) {
        let rules = &steps.setting.rules;
        let near = |other: Place| other == server || self.linked(server, other);
        let held_up = self.all().any(|other| {
            let intact = rules.hold(Guard::ColdStartWithoutIntact) && self.is_intact(other);
            near(other) && (self.servers[other].serves || intact)
        });
        let newest = self
            .all()
            .filter(|&other| near(other))
            .map(|other| self.view(other));
        let newest = newest.max().unwrap_or(0);
        let may_stand = steps.setting.bounds.candidates >> server & 1 == 1;
        if held_up || !may_stand || self.view(server) != newest || !self.has_number_left(steps) {
            return;
        }
        let of_newest = |place: Place| {
            !rules.hold(Guard::ColdLeaderWasMember)
                || self.proposals[usize::from(newest)].members[self.id(place)] != 0
        };
        let ahead = !rules.hold(Guard::ColdLeaderIsAhead)
            || self
                .all()
                .filter(|&other| near(other) && of_newest(other))
                .all(|other| self.last(other) <= self.last(server));
        let asked = self.views_asked_cold(server, steps);
        let all_here = self.asked_members(asked).all(|(id, process)| {
            let refused = self.is_down(id) && self.open(server, id);
            let is_here =
                |place| near(place) && self.counts_cold(place, server, id, process, rules);
            self.all().any(is_here) || (!rules.hold(Guard::ColdStartNeedsAll) && refused)
        });
        if of_newest(server) && ahead && all_here {
            let mut proposal = Proposal {
                candidate: self.servers[server].id,
                lineage: self.servers[server].lineage,
                cold: true,
                ..Proposal::default()
            };
            proposal.members[self.id(server)] = self.servers[server].incarnation;
            self.stand(server, proposal, Step::ColdPropose(server as u8), steps);
        }
    }

    /// `server` promises `candidate` to begin anew, if it does not know more.
    fn cold_promise(&self, server: Place, candidate: Place, steps: &mut Steps<'_>) {
        let rules = &steps.setting.rules;
        let number = self.servers[candidate].candidate;
        let intact = rules.hold(Guard::ColdStartWithoutIntact) && self.is_intact(server);
        let knows_more = self.view(server) > self.view(candidate)
            || (rules.hold(Guard::ColdLeaderIsAhead)
                && self.proposals[usize::from(self.view(candidate))].members[self.id(server)] != 0
                && self.last(server) > self.last(candidate));
        if number > self.servers[server].promised
            && self.proposals[usize::from(number)].cold
            && !self.servers[server].serves
            && !intact
            && !knows_more
        {
            let mut next = *self;
            next.give_promise(server, number, steps);
            if self.proves_no_later(server, candidate, rules) {
                let proposal = self.proposals[usize::from(number)];
                let counts = self.counts_in(server, &proposal, steps);
                next.servers[candidate].promises[self.id(server)] |= counts;
            }
            steps.add(Step::ColdPromise(candidate as u8, server as u8), next);
        }
    }

    /// Whether everybody who has to has promised `candidate`'s cold start.
    pub(crate) fn may_start_cold(
        &self,
        candidate: Place,
        standing: Numbers,
        steps: &Steps<'_>,
    ) -> bool {
        let asked = if steps.setting.rules.hold(Guard::ColdStartAsksStandingViews) {
            standing
        } else {
            1 << self.view(candidate)
        };
        let needs_all = steps.setting.rules.hold(Guard::ColdStartNeedsAll);
        self.asked_members(asked).all(|(id, process)| {
            let promised = self.servers[candidate].promises[id] >> process & 1 == 1;
            let refused = self.servers[id].process == Process::Down && !needs_all;
            promised || refused
        })
    }

    /// Whether the folder at `place` holds what this member acknowledged, as far as a cold start of
    /// `candidate` can know.
    fn counts_cold(
        &self,
        place: Place,
        candidate: Place,
        id: Id,
        process: Birth,
        rules: &Rules,
    ) -> bool {
        let by_descent = rules.hold(Guard::ColdStartByDescent);
        self.id(place) == id
            && self.continued(place, by_descent) >> process & 1 == 1
            && self.proves_no_later(place, candidate, rules)
    }

    /// Whether the log at `place` is there; or, where the journal is damaged, what is left proves
    /// that its server was no member of a view that `candidate` does not have. Then all that it
    /// acknowledged is on the disks of the other members.
    fn proves_no_later(&self, place: Place, candidate: Place, rules: &Rules) -> bool {
        let server = &self.servers[place];
        if !server.damaged {
            return self.view(place) != 0;
        }
        let stood_no_later = server.stood <= self.view(candidate)
            && server.in_force <= self.servers[candidate].length;
        stood_no_later || !rules.hold(Guard::DamagedStoodNoLater)
    }

    /// The views whose members a cold start of `server` waits for.
    fn views_asked_cold(&self, server: Place, steps: &Steps<'_>) -> Numbers {
        if steps.setting.rules.hold(Guard::ColdStartAsksStandingViews) {
            self.standing_views(server, steps.setting)
        } else {
            1 << self.view(server)
        }
    }

    /// The members of these views.
    fn asked_members(&self, views: Numbers) -> impl Iterator<Item = (Id, Birth)> {
        let members = numbers(views).map(|view| self.proposals[usize::from(view)].members);
        let members = members.flat_map(|members| members.into_iter().enumerate());
        members.filter(|&(_, process)| process != 0)
    }

    /// How far a log goes: its last entry's view and its length.
    pub(crate) fn last(&self, server: Place) -> (Number, u8) {
        let server = &self.servers[server];
        let log = &server.log[..usize::from(server.length)];
        let number = log.last().map_or(0, |entry| entry.number());
        (number, server.length)
    }
}
