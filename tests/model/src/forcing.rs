//! Forcing: an operator makes one server lead although others may hold more.
//!
//! It begins a new lineage. Servers of a lower one adopt it, and what their logs hold of their own
//! is not the cluster's any more. The wish is given at a start; the server looks round first, and is
//! an ordinary one if there is a reason against it.

use crate::properties::{self, Broken};
use crate::rules::{Guard, Rules};
use crate::state::{Entry, LINEAGES_MAX, LOG_MAX, Lineage, Number, Place, Proposal, State};
use crate::step::{Step, Steps};

impl State {
    /// What `server` does about lineages.
    pub(crate) fn forcing(&self, server: Place, steps: &mut Steps<'_>) {
        self.force(server, steps);
        self.adopt(server, steps);
    }

    /// `server` leads alone, in a new lineage.
    fn force(&self, server: Place, steps: &mut Steps<'_>) {
        let rules = &steps.setting.rules;
        let forced = &self.servers[server];
        let room = usize::from(forced.length) < LOG_MAX
            && forced.length < steps.setting.bounds.log
            && usize::from(self.lineages) + 1 < LINEAGES_MAX;
        if !forced.wishes
            || forced.length == 0
            || !room
            || !self.has_number_left(steps)
            || self.is_refused_force(server, rules)
        {
            return;
        }
        let broken = self.loses_by_force(server);
        let beside = |other: Place| self.answers(server, other) && self.lives(other);
        let is_beside_living = self.all().any(beside);
        let above = rules.hold(Guard::ForcedNumberIsAboveItsLog);
        let least = if above {
            forced.promised.max(self.newest_in_log(server))
        } else {
            forced.promised
        };
        for number in least + 1..=self.highest + 1 {
            let mut next = *self;
            next.lineages += 1;
            let lineage = next.lineages;
            next.beside_living |= u8::from(is_beside_living) << lineage;
            let counter = self.raised[usize::from(forced.lineage)] + 1;
            next.raised[usize::from(lineage)] = counter;
            let mut proposal = Proposal {
                candidate: forced.id,
                lineage,
                ..Proposal::default()
            };
            proposal.members[self.id(server)] = forced.incarnation;
            next.insert_number(number, proposal);
            next.forget(server);
            next.note_stood(server, number, steps);
            let leader = &mut next.servers[server];
            leader.log[usize::from(leader.length)] = Entry::view(number);
            leader.length += 1;
            leader.commit = leader.length;
            leader.promised = number;
            leader.binding = 0;
            leader.descent |= 1 << leader.incarnation;
            leader.lineage = lineage;
            leader.forced = lineage;
            leader.serves = true;
            let broken = broken.or_else(|| properties::answer(&mut next, server));
            steps.add_checked(Step::Force(server as u8), next, broken);
        }
    }

    /// Whether there is a reason against forcing `server`.
    fn is_refused_force(&self, server: Place, rules: &Rules) -> bool {
        let answers = |other: &Place| self.answers(server, *other);
        let lives = |other: Place| self.lives(other);
        let is_living =
            rules.hold(Guard::ForcedWithoutIntact) && self.all().filter(answers).any(lives);
        let holds_more =
            |other: Place| !self.servers[other].damaged && self.holds(other) > self.holds(server);
        let is_behind =
            rules.hold(Guard::ForcedHoldsMost) && self.all().filter(answers).any(holds_more);
        let is_left_behind = rules.hold(Guard::ForcedOnce) && self.servers[server].forced != 0;
        is_living || is_behind || is_left_behind || self.is_intact(server)
    }

    /// Whether `other` is linked, and does not have to follow `server`'s lineage already.
    fn answers(&self, server: Place, other: Place) -> bool {
        let rank = |place: Place| self.rank(self.servers[place].lineage);
        self.linked_in_any(server, other) && rank(other) >= rank(server)
    }

    /// Whether a server may acknowledge something by itself: it serves, or is intact. It may be so in
    /// an older view than others know: the newer one may be pending, and that server a member of both.
    fn lives(&self, server: Place) -> bool {
        self.servers[server].serves || self.is_intact(server)
    }

    /// How much a server holds: the counter of its log's lineage, its newest view, its length.
    fn holds(&self, server: Place) -> (u8, Number, u8) {
        let counter = self.raised[usize::from(self.lineage_of_log(server))];
        let length = self.servers[server].length;
        (counter, self.newest_in_log(server), length)
    }

    /// Whether forcing `server` now throws away something that a server within its reach knows to be
    /// acknowledged in the lineage that it follows. (What that one only holds may have been
    /// acknowledged elsewhere, in a view that neither of them knows. No rule can tell.)
    fn loses_by_force(&self, server: Place) -> Option<Broken> {
        if self.servers[server].forced != 0 {
            return Some(Broken::ForcedTwice);
        }
        let lost = |other: Place| {
            let lineage = self.servers[other].lineage;
            self.answers(server, other)
                && self.lineage_of_log(other) == lineage
                && properties::knows_answers(self, other)
                && !properties::holds_answers(self, server, lineage)
        };
        self.all().any(lost).then_some(Broken::LostByForce)
    }

    /// `server` hears of a higher lineage, and is a learner there from now on.
    fn adopt(&self, server: Place, steps: &mut Steps<'_>) {
        for other in self
            .all()
            .filter(|&other| self.linked_in_any(server, other))
        {
            let lineage = self.servers[other].lineage;
            if self.rank(lineage) <= self.rank(self.servers[server].lineage) {
                continue;
            }
            let mut next = *self;
            let above = steps.setting.rules.hold(Guard::ForcedNumberIsAboveItsLog);
            next.raise_incarnation(server, true);
            let adopts = &mut next.servers[server];
            adopts.lineage = lineage;
            adopts.binding = 0;
            adopts.promised = if above {
                adopts.promised.max(self.newest_in_log(server))
            } else {
                0
            };
            let old = self.servers[server].lineage;
            let lost = self.beside_living >> lineage & 1 == 1
                && properties::holds_answers(self, server, old)
                && !properties::holds_answers(self, other, old);
            let broken = lost.then_some(Broken::LostByForce);
            steps.add_checked(Step::Adopt(server as u8, other as u8), next, broken);
        }
    }

    /// Which lineage is followed: the one with the higher counter, and of two that were forced apart from
    /// each other the one with the higher bits, for which its number stands.
    fn rank(&self, lineage: Lineage) -> (u8, Lineage) {
        (self.raised[usize::from(lineage)], lineage)
    }

    /// Whether two processes have a link, or would if they followed the same lineage.
    fn linked_in_any(&self, one: Place, other: Place) -> bool {
        one != other && self.reaches_process(one, other) && self.reaches_process(other, one)
    }
}
