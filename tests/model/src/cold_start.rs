//! Everything was down: who begins anew, and who gives up so that somebody can?

use crate::rules::Guard;
use crate::state::{Id, Number, Numbers, Process, Proposal, State, numbers};
use crate::step::{Step, Steps};

impl State {
    /// What `server` does when nobody serves.
    pub(crate) fn cold_start(&self, server: Id, steps: &mut Steps<'_>) {
        self.resign(server, steps);
        self.cold_propose(server, steps);
        for candidate in self.all().filter(|&other| self.linked(server, other)) {
            self.cold_promise(server, candidate, steps);
        }
    }

    /// An intact server that can never decide anything again, or that hears of a newer view
    /// without it, gives up its incarnation: it would only keep the others from starting over.
    fn resign(&self, server: Id, steps: &mut Steps<'_>) {
        let near = |other: Id| other == server || self.linked(server, other);
        let served = self
            .all()
            .any(|other| near(other) && self.servers[other].serves);
        if !self.is_intact(server) || served || !steps.setting.rules.hold(Guard::Resignation) {
            return;
        }
        let (mut all_near, mut some_reborn) = (true, false);
        for view in numbers(self.standing_views(server, steps.setting)) {
            let members = self.proposals[usize::from(view)].members;
            for member in self.all().filter(|&member| members[member] != 0) {
                all_near &= near(member);
                some_reborn |=
                    member != server && self.servers[member].incarnation > members[member];
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
    fn cold_propose(&self, server: Id, steps: &mut Steps<'_>) {
        let rules = &steps.setting.rules;
        let near = |other: Id| other == server || self.linked(server, other);
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
        let of_newest = |member: Id| {
            !rules.hold(Guard::ColdLeaderWasMember)
                || self.proposals[usize::from(newest)].members[member] != 0
        };
        let ahead = !rules.hold(Guard::ColdLeaderIsAhead)
            || self
                .all()
                .filter(|&other| near(other) && of_newest(other))
                .all(|other| self.last(other) <= self.last(server));
        let asked = self.views_asked_cold(server, steps);
        let all_here = self.all().all(|member| {
            let refused = self.is_down(member) && self.open(server, member);
            near(member)
                || !self.asks_member(asked, member)
                || (!rules.hold(Guard::ColdStartNeedsAll) && refused)
        });
        if of_newest(server) && ahead && all_here {
            let mut proposal = Proposal {
                candidate: server as u8,
                cold: true,
                ..Proposal::default()
            };
            proposal.members[server] = self.servers[server].incarnation;
            self.stand(server, proposal, Step::ColdPropose(server as u8), steps);
        }
    }

    /// `server` promises `candidate` to begin anew, if it does not know more.
    fn cold_promise(&self, server: Id, candidate: Id, steps: &mut Steps<'_>) {
        let rules = &steps.setting.rules;
        let number = self.servers[candidate].candidate;
        let intact = rules.hold(Guard::ColdStartWithoutIntact) && self.is_intact(server);
        let knows_more = self.view(server) > self.view(candidate)
            || (rules.hold(Guard::ColdLeaderIsAhead)
                && self.proposals[usize::from(self.view(candidate))].members[server] != 0
                && self.last(server) > self.last(candidate));
        if number > self.servers[server].promised
            && self.proposals[usize::from(number)].cold
            && !self.servers[server].serves
            && !intact
            && !knows_more
        {
            let mut next = *self;
            next.give_promise(server, number, steps);
            next.servers[candidate].promises[server] = self.servers[server].incarnation;
            steps.add(Step::ColdPromise(candidate as u8, server as u8), next);
        }
    }

    /// Whether everybody who has to has promised `candidate`'s cold start.
    pub(crate) fn may_start_cold(
        &self,
        candidate: Id,
        standing: Numbers,
        steps: &Steps<'_>,
    ) -> bool {
        let asked = if steps.setting.rules.hold(Guard::ColdStartAsksStandingViews) {
            standing
        } else {
            1 << self.view(candidate)
        };
        let needs_all = steps.setting.rules.hold(Guard::ColdStartNeedsAll);
        self.all().all(|member| {
            let promised = self.servers[candidate].promises[member] != 0;
            let refused = self.servers[member].process == Process::Down && !needs_all;
            promised || refused || !self.asks_member(asked, member)
        })
    }

    /// The views whose members a cold start of `server` waits for.
    fn views_asked_cold(&self, server: Id, steps: &Steps<'_>) -> Numbers {
        if steps.setting.rules.hold(Guard::ColdStartAsksStandingViews) {
            self.standing_views(server, steps.setting)
        } else {
            1 << self.view(server)
        }
    }

    /// Whether `member`, by id, belongs to one of these views.
    fn asks_member(&self, views: Numbers, member: Id) -> bool {
        numbers(views).any(|view| self.proposals[usize::from(view)].members[member] != 0)
    }

    /// How far a log goes: its last entry's view and its length.
    fn last(&self, server: Id) -> (Number, u8) {
        let server = &self.servers[server];
        (
            server.log[usize::from(server.length) - 1].number(),
            server.length,
        )
    }
}
