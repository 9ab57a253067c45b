//! What can happen to servers and links?

use crate::rules::Guard;
use crate::state::{Contact, Entry, Place, Process, SERVERS_MAX, Server, Set, State};
use crate::step::{Step, Steps};

impl State {
    /// Every fault of `server`, and of its links with servers of a higher id.
    pub(crate) fn faults(&self, server: Place, steps: &mut Steps<'_>) {
        self.crash(server, steps);
        self.stop(server, steps);
        self.folders(server, steps);
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

    fn crash(&self, server: Place, steps: &mut Steps<'_>) {
        if self.is_down(server) || self.spent.crashes == steps.setting.bounds.crashes {
            return;
        }
        let mut next = *self;
        next.spent.crashes += 1;
        next.end(server, steps);
        steps.add(Step::Crash(server as u8), next);
    }

    /// A process ends by a clean stop: its folder says so. It says nothing to the others here, which
    /// is the worst that it can do.
    fn stop(&self, server: Place, steps: &mut Steps<'_>) {
        if self.runs(server) && self.spent.stops < steps.setting.bounds.stops {
            let mut next = *self;
            next.spent.stops += 1;
            next.end(server, steps);
            next.servers[server].clean = true;
            steps.add(Step::Stop(server as u8), next);
        }
    }

    fn end(&mut self, server: Place, steps: &Steps<'_>) {
        let world = steps.setting.world;
        for other in self.all().filter(|&other| other != server) {
            let told = self.open(server, other)
                && !self.is_down(other)
                && self.servers[server].lineage == self.servers[other].lineage;
            let noticed = !self.echoes(server, other, true);
            if told && (world.ends_are_fresh || world.ends_after_notice_are_fresh && !noticed) {
                self.contact[other][server] = Contact::Fresh;
            }
        }
        self.forget(server);
        self.servers[server].process = Process::Down;
        self.servers[server].dead = Default::default();
    }

    fn restart(&self, server: Place, steps: &mut Steps<'_>) {
        let world = steps.setting.world;
        let is_copy = Some(server) == self.place_of_copies();
        // Nothing lies there, or two processes are not to run on one another's copies.
        let nothing = is_copy && (self.id(server) == server || !world.copies_run);
        if !self.is_down(server) || nothing {
            return;
        }
        let bounds = steps.setting.bounds;
        if self.spent.restarts < bounds.restarts {
            let mut next = *self;
            next.spent.restarts += 1;
            next.begin(server, steps);
            next.servers[server].forced = 0;
            steps.add(Step::Restart(server as u8), next);
            if self.servers[server].forced != 0 {
                // A supervisor starts it as it was started before: with the flag.
                let mut next = *self;
                next.spent.restarts += 1;
                next.begin(server, steps);
                next.servers[server].wishes = true;
                steps.add(Step::RestartWithFlag(server as u8), next);
            }
        }
        if self.spent.forces < bounds.forces && self.servers[server].forced == 0 {
            let mut next = *self;
            next.spent.forces += 1;
            next.begin(server, steps);
            next.servers[server].wishes = true;
            steps.add(Step::StartForced(server as u8), next);
        }
    }

    fn begin(&mut self, server: Place, steps: &Steps<'_>) {
        let rules = &steps.setting.rules;
        self.raise_incarnation(server, rules.hold(Guard::IncarnationRises));
        let view = self.view(server);
        let started = &mut self.servers[server];
        started.process = Process::Up;
        let exempt = started.clean && !rules.hold(Guard::CleanCopiesHaveNoSay);
        if started.copied && !exempt && rules.hold(Guard::CopiesHaveNoSay) {
            started.descent = 0;
        }
        (started.copied, started.clean) = (false, false);
        if !rules.hold(Guard::PromisesAreDurable) {
            started.promised = view;
            started.binding = 0;
        }
    }

    /// What can happen to the folder at `place`.
    fn folders(&self, place: Place, steps: &mut Steps<'_>) {
        let bounds = steps.setting.bounds;
        let copies = self.place_of_copies();
        if let Some(copies) = copies.filter(|&copies| copies != place && self.is_down(copies)) {
            let fits = self.id(copies) == place
                || (self.id(copies) == copies && self.servers[copies].incarnation == 0);
            if fits && self.spent.copies < bounds.copies {
                let mut next = *self;
                next.spent.copies += 1;
                next.put_folder(copies, self.servers[place]);
                steps.add(Step::Copy(place as u8), next);
            }
            let may_return = self.is_down(place) && self.id(copies) == place;
            if may_return && self.spent.restores < bounds.restores {
                let mut next = *self;
                next.spent.restores += 1;
                next.put_folder(place, self.servers[copies]);
                steps.add(Step::Restore(place as u8), next);
            }
        }
        if !self.is_down(place) || Some(place) == copies {
            return;
        }
        if self.spent.losses < bounds.losses && self.servers[place].length > 0 {
            let mut next = *self;
            next.spent.losses += 1;
            let lost = Server {
                id: place as u8,
                ..Server::default()
            };
            next.put_folder(place, lost);
            next.servers[place].copied = false;
            steps.add(Step::Lose(place as u8), next);
        }
        if self.spent.damages < bounds.damages && self.servers[place].length > 0 {
            let mut next = *self;
            next.spent.damages += 1;
            let damaged = &mut next.servers[place];
            let known = &damaged.log[..usize::from(damaged.commit)];
            let in_force = known.iter().rposition(|entry| entry.is_view());
            damaged.in_force = in_force.map_or(0, |at| at as u8 + 1);
            damaged.damaged = true;
            (damaged.length, damaged.commit) = (0, 0);
            damaged.log = [Entry::default(); _];
            steps.add(Step::Damage(place as u8), next);
        }
    }

    /// Puts a copy of this folder into `place`. The process that ran there last stays the one that
    /// others look for at its address.
    fn put_folder(&mut self, place: Place, from: Server) {
        let there = self.servers[place];
        self.servers[place] = Server {
            incarnation: there.incarnation,
            before: there.before,
            process: Process::Down,
            copied: true,
            serves: false,
            candidate: 0,
            wishes: false,
            promises: [0; SERVERS_MAX],
            acknowledged: [0; SERVERS_MAX],
            dead: [0; SERVERS_MAX],
            ..from
        };
    }

    fn pause(&self, server: Place, steps: &mut Steps<'_>) {
        if self.runs(server) && self.spent.pauses < steps.setting.bounds.pauses {
            let mut next = *self;
            next.spent.pauses += 1;
            next.servers[server].process = Process::Paused;
            steps.add(Step::Pause(server as u8), next);
        }
    }

    fn resume(&self, server: Place, steps: &mut Steps<'_>) {
        if self.servers[server].process == Process::Paused {
            let mut next = *self;
            next.servers[server].process = Process::Up;
            steps.add(Step::Resume(server as u8), next);
        }
    }

    fn cut_one_way(&self, server: Place, other: Place, steps: &mut Steps<'_>) {
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
