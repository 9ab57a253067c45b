//! Who is dead, who is silent, and what does a server let others believe of it?

use crate::rules::Guard;
use crate::state::{Birth, Contact, Place, Processes, State};
use crate::step::{Step, Steps};

impl State {
    /// Pings of `server`, how they age, and what it knows about deaths.
    pub(crate) fn time(&self, server: Place, steps: &mut Steps<'_>) {
        for other in self.all().filter(|&other| other != server) {
            self.age(server, other, steps);
            if self.runs(server) {
                self.beat(server, other, steps);
                self.evidence(server, other, steps);
            }
        }
    }

    /// Whether `server` echoes pings of `other`: not when the newest view that it promised or has
    /// leaves `other` out, so that nobody takes it for fresh who is no part of that.
    pub(crate) fn echoes(&self, server: Place, other: Place, guarded: bool) -> bool {
        !guarded || self.is_member(self.seen(server), other)
    }

    /// A ping arrives, and is echoed if it may be.
    fn beat(&self, server: Place, other: Place, steps: &mut Steps<'_>) {
        if steps.setting.world.prompt_pings && self.linked(server, other) {
            // It has happened already.
            return;
        }
        let mut next = *self;
        if self.sends(server, other) {
            next.ping(
                server,
                other,
                steps.setting.rules.hold(Guard::NoEchoToTheExcluded),
            );
            if next.contact != self.contact {
                steps.add(Step::Beat(server as u8, other as u8), next);
            }
        }
    }

    /// What one ping changes.
    pub(crate) fn ping(&mut self, server: Place, other: Place, guarded: bool) {
        let echoed = self.sends(other, server) && self.echoes(other, server, guarded);
        let contact = &mut self.contact[server][other];
        *contact = if echoed {
            Contact::Fresh
        } else {
            (*contact).min(Contact::Stale)
        };
    }

    /// Time passes, and no ping of `server` gets through to `other`, or no echo comes back.
    fn age(&self, server: Place, other: Place, steps: &mut Steps<'_>) {
        if !self.runs(server) && !self.runs(other) {
            // Neither of them looks at it.
            return;
        }
        let world = steps.setting.world;
        let guarded = steps.setting.rules.hold(Guard::NoEchoToTheExcluded);
        let works = self.linked(server, other) && self.echoes(other, server, guarded);
        let floor = if self.sends(server, other) && !world.slow_network {
            Contact::Stale
        } else {
            Contact::Silent
        };
        let found_before = world.prompt_evidence && self.finds(server, other).is_some();
        if self.contact[server][other] < floor && (!works || world.slow_network) && !found_before {
            let mut next = *self;
            next.contact[server][other] = floor;
            steps.add(Step::Age(server as u8, other as u8), next);
        }
        // What was fresh of the process that ran there before runs out, too.
        if self.fresh_before[other] >> server & 1 == 1 && !found_before {
            let mut next = *self;
            next.fresh_before[other] &= !(1 << server);
            steps.add(Step::Age(server as u8, other as u8), next);
        }
    }

    /// A death is established: connects were refused, or a later incarnation answered, while the
    /// dead one was fresh, and nobody who hears it objects.
    fn evidence(&self, server: Place, other: Place, steps: &mut Steps<'_>) {
        let rules = &steps.setting.rules;
        let (id, process) = (self.id(other), self.servers[other].incarnation);
        let was_fresh = |fresh: bool| fresh || !rules.hold(Guard::DeadWasFresh);
        let fresh = self.contact[server][other] == Contact::Fresh;
        let unopposed = || !rules.hold(Guard::DeathIsUnopposed) || !self.is_opposed(server, other);
        let forged = steps.setting.world.forged_refusals
            && !self.is_down(other)
            && !self.is_whole(server, other)
            && unopposed();
        // Another process of its server answers, elsewhere, while the link is broken.
        let is_answered =
            |place: Place| place != other && self.id(place) == id && self.linked(server, place);
        let elsewhere = !rules.hold(Guard::DeathAtTheAddress)
            && !self.linked(server, other)
            && unopposed()
            && self.all().any(is_answered);
        let mut found = self.finds(server, other);
        if (forged || elsewhere || self.is_refused(server, other)) && was_fresh(fresh) {
            found = Some(process);
        } else if self.linked(server, other) && was_fresh(false) {
            found = Some(self.servers[other].before);
        }
        let Some(found) = found.filter(|&found| found != 0) else {
            return;
        };
        // What it continues ended before it, but for what runs elsewhere.
        let ended_before = |earlier: &Birth| {
            let place = self.place_of(id, *earlier);
            self.servers[other].descent >> earlier & 1 == 1
                && *earlier != process
                && (place.is_none() || !rules.hold(Guard::DeathAtTheAddress))
        };
        let earlier = (1..16).filter(ended_before).map(|it| 1 << it);
        let ended = 1 << found | earlier.sum::<Processes>();
        if ended & !self.servers[server].dead[id] != 0 {
            let mut next = *self;
            next.servers[server].dead[id] |= ended;
            steps.add(Step::Evidence(server as u8, other as u8), next);
        }
    }

    /// The process at `other` that `server` finds dead now, if it does not know yet.
    fn finds(&self, server: Place, other: Place) -> Option<Birth> {
        let fresh = self.contact[server][other] == Contact::Fresh;
        let found = if self.is_refused(server, other) && fresh {
            self.servers[other].incarnation
        } else if self.linked(server, other) && self.fresh_before[other] >> server & 1 == 1 {
            self.servers[other].before
        } else {
            return None;
        };
        let known = self.servers[server].dead[self.id(other)] >> found & 1 == 1;
        (found != 0 && !known).then_some(found)
    }

    /// Whether nobody listens at `other`'s own address, and `server` can tell.
    fn is_refused(&self, server: Place, other: Place) -> bool {
        self.runs(server)
            && self.is_down(other)
            && self.servers[other].incarnation != 0
            && self.is_whole(server, other)
    }

    /// Whether somebody with whom `server` can talk hears `other`.
    fn is_opposed(&self, server: Place, other: Place) -> bool {
        self.all()
            .any(|third| self.linked(server, third) && self.sends(other, third))
    }
}
