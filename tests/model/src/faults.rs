//! What can happen to servers and links?

use crate::rules::Guard;
use crate::state::{Contact, Id, Process, Set, State};
use crate::step::{Step, Steps};

impl State {
    /// Every fault of `server`, and of its links with servers of a higher id.
    pub(crate) fn faults(&self, server: Id, steps: &mut Steps<'_>) {
        self.crash(server, steps);
        self.restart(server, steps);
        self.pause(server, steps);
        self.resume(server, steps);
        if !steps.setting.world.cuts_in_two {
            for other in self.all().filter(|&other| other != server) {
                self.cut_one_way(server, other, steps);
                if server < other {
                    self.cut(1 << server, 1 << other, steps);
                    self.heal(1 << server, 1 << other, steps);
                }
            }
        } else if server == 0 {
            let all = (1 << self.count) - 1;
            for group in (1..all).filter(|group| group & 1 == 1) {
                self.cut(group, all & !group, steps);
            }
            self.heal(all, all, steps);
        }
    }

    fn crash(&self, server: Id, steps: &mut Steps<'_>) {
        if self.is_down(server) || self.spent.crashes == steps.setting.bounds.crashes {
            return;
        }
        let mut next = *self;
        next.spent.crashes += 1;
        next.forget(server);
        next.servers[server].process = Process::Down;
        next.servers[server].dead = Default::default();
        if steps.setting.world.end_is_echo {
            for other in self.all().filter(|&other| self.is_whole(other, server)) {
                next.contact[other][server] = Contact::Fresh;
            }
        }
        steps.add(Step::Crash(server as u8), next);
    }

    fn restart(&self, server: Id, steps: &mut Steps<'_>) {
        if !self.is_down(server) || self.spent.restarts == steps.setting.bounds.restarts {
            return;
        }
        let mut next = *self;
        next.spent.restarts += 1;
        next.raise_incarnation(server, steps.setting.rules.hold(Guard::IncarnationRises));
        next.servers[server].process = Process::Up;
        if !steps.setting.rules.hold(Guard::PromisesAreDurable) {
            next.servers[server].promised = self.view(server);
            next.servers[server].binding = 0;
        }
        steps.add(Step::Restart(server as u8), next);
    }

    fn pause(&self, server: Id, steps: &mut Steps<'_>) {
        if self.runs(server) && self.spent.pauses < steps.setting.bounds.pauses {
            let mut next = *self;
            next.spent.pauses += 1;
            next.servers[server].process = Process::Paused;
            steps.add(Step::Pause(server as u8), next);
        }
    }

    fn resume(&self, server: Id, steps: &mut Steps<'_>) {
        if self.servers[server].process == Process::Paused {
            let mut next = *self;
            next.servers[server].process = Process::Up;
            steps.add(Step::Resume(server as u8), next);
        }
    }

    fn cut_one_way(&self, server: Id, other: Id, steps: &mut Steps<'_>) {
        let setting = steps.setting;
        let possible = setting.world.one_way_cuts && self.spent.cuts < setting.bounds.cuts;
        if possible && self.open(server, other) {
            let mut next = *self;
            next.spent.cuts += 1;
            next.cut[server] |= 1 << other;
            steps.add(Step::CutOneWay(server as u8, other as u8), next);
        }
    }

    fn cut(&self, group: Set, rest: Set, steps: &mut Steps<'_>) {
        if self.spent.cuts == steps.setting.bounds.cuts {
            return;
        }
        let mut next = *self;
        next.spent.cuts += 1;
        for server in self.all() {
            let across = match (group >> server & 1, rest >> server & 1) {
                (1, _) => rest,
                (_, 1) => group,
                _ => 0,
            };
            next.cut[server] |= across;
        }
        if next.cut != self.cut {
            steps.add(Step::Cut(group, rest), next);
        }
    }

    fn heal(&self, group: Set, rest: Set, steps: &mut Steps<'_>) {
        if self.spent.heals == steps.setting.bounds.heals {
            return;
        }
        let mut next = *self;
        next.spent.heals += 1;
        for server in self.all() {
            if group >> server & 1 == 1 {
                next.cut[server] &= !rest;
            }
            if rest >> server & 1 == 1 {
                next.cut[server] &= !group;
            }
        }
        if next.cut != self.cut {
            steps.add(Step::Heal(group, rest), next);
        }
    }
}
