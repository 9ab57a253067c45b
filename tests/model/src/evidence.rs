//! Who is dead, who is silent, and what does a server let others believe of it?

use crate::rules::Guard;
use crate::state::{Contact, Id, State};
use crate::step::{Step, Steps};

impl State {
    /// Pings of `server`, how they age, and what it knows about deaths.
    pub(crate) fn time(&self, server: Id, steps: &mut Steps<'_>) {
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
    pub(crate) fn echoes(&self, server: Id, other: Id, guarded: bool) -> bool {
        !guarded || self.is_member(self.seen(server), other)
    }

    /// A ping arrives, and is echoed if it may be.
    fn beat(&self, server: Id, other: Id, steps: &mut Steps<'_>) {
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
    pub(crate) fn ping(&mut self, server: Id, other: Id, guarded: bool) {
        let echoed = self.sends(other, server) && self.echoes(other, server, guarded);
        let contact = &mut self.contact[server][other];
        *contact = if echoed {
            Contact::Fresh
        } else {
            (*contact).min(Contact::Stale)
        };
    }

    /// Time passes, and no ping of `server` gets through to `other`, or no echo comes back.
    fn age(&self, server: Id, other: Id, steps: &mut Steps<'_>) {
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
    fn evidence(&self, server: Id, other: Id, steps: &mut Steps<'_>) {
        let rules = &steps.setting.rules;
        let was_fresh = |fresh: bool| fresh || !rules.hold(Guard::DeadWasFresh);
        let fresh = self.contact[server][other] == Contact::Fresh;
        let forged = steps.setting.world.forged_refusals
            && !self.is_down(other)
            && !self.is_whole(server, other)
            && (!rules.hold(Guard::DeathIsUnopposed) || !self.is_opposed(server, other));
        let mut found = self.finds(server, other);
        if (forged || self.is_refused(server, other)) && was_fresh(fresh) {
            found = Some(self.servers[other].incarnation);
        } else if self.linked(server, other) && was_fresh(false) {
            found = Some(self.servers[other].incarnation - 1);
        }
        if let Some(incarnation) = found
            && self.servers[server].dead[other] < incarnation
        {
            let mut next = *self;
            next.servers[server].dead[other] = incarnation;
            steps.add(Step::Evidence(server as u8, other as u8), next);
        }
    }

    /// The incarnation of `other` that `server` finds dead now, if it does not know yet.
    fn finds(&self, server: Id, other: Id) -> Option<u8> {
        let incarnation = self.servers[other].incarnation;
        let fresh = self.contact[server][other] == Contact::Fresh;
        let found = if self.is_refused(server, other) && fresh {
            incarnation
        } else if self.linked(server, other) && self.fresh_before[other] >> server & 1 == 1 {
            incarnation - 1
        } else {
            return None;
        };
        (self.servers[server].dead[other] < found).then_some(found)
    }

    /// Whether nobody listens at `other`'s own address, and `server` can tell.
    fn is_refused(&self, server: Id, other: Id) -> bool {
        self.runs(server) && self.is_down(other) && self.is_whole(server, other)
    }

    /// Whether somebody with whom `server` can talk hears `other`.
    fn is_opposed(&self, server: Id, other: Id) -> bool {
        self.all()
            .any(|third| self.linked(server, third) && self.sends(other, third))
    }
}
