//! Which states cannot be told apart?
//!
//! A search is finite, and small, only because of this. View numbers matter by their order, and
//! only while somebody knows them: a candidate that tries a hundred times in vain comes back to
//! the state where it began. The same holds for incarnations. What everybody knows to be
//! committed cannot be disputed any more, so the logs begin after it. And news that a server may
//! have at any time, and that only ever allows it more, it has at once: that a promise is released.

use crate::rules::{Guard, Rules, Setting};
use crate::state::{
    Birth, Contact, Entry, Id, LOG_MAX, NUMBERS_MAX, Number, Numbers, OPS_MAX, Place, Process,
    Processes, Proposal, SERVERS_MAX, State, numbers,
};

impl State {
    /// Turns this state into the one that stands for all that are like it.
    pub(crate) fn make_canonical(&mut self, setting: &Setting) {
        if setting.world.prompt_pings {
            self.carry_pings(setting);
        }
        self.release_promises(setting);
        self.forget_what_nobody_asks(setting);
        self.shorten_logs();
        self.renumber_views(setting);
        self.rank_processes();
    }

    /// Links that work have carried pings already.
    fn carry_pings(&mut self, setting: &Setting) {
        let guarded = setting.rules.hold(Guard::NoEchoToTheExcluded);
        for server in self.all() {
            for other in self.all() {
                if self.linked(server, other) {
                    self.ping(server, other, guarded);
                }
            }
        }
    }

    /// A promise stops to bind when its View op is in one's own log, where the view itself takes
    /// its place, or when a member of the promised view is heard of that will never have it.
    fn release_promises(&mut self, setting: &Setting) {
        let rules = &setting.rules;
        for server in self.all() {
            if self.servers[server].binding == 0 {
                continue;
            }
            for promised in numbers(self.servers[server].binding) {
                let kept = rules.hold(Guard::PromiseBinds)
                    && !self.has_view(server, promised)
                    && !(rules.hold(Guard::PromiseIsReleased)
                        && self.is_released(server, promised, rules));
                self.servers[server].binding &= !(Numbers::from(!kept) << promised);
            }
        }
    }

    /// Whether a member of the promised view, within `server`'s reach, has promised a higher
    /// number or ended, without having that View op.
    fn is_released(&self, server: Place, promised: Number, rules: &Rules) -> bool {
        let by_descent = rules.hold(Guard::ReleaseByDescent);
        let members = self.proposals[usize::from(promised)].members;
        self.all().any(|place| {
            let process = members[self.id(place)];
            process != 0
                && (place == server || self.reaches(server, place))
                && self.continued(place, by_descent) >> process & 1 == 1
                && !(rules.hold(Guard::ReleasedWithoutViewOp) && self.has_view(place, promised))
                && !(rules.hold(Guard::ReleasedByWholeLog) && self.servers[place].damaged)
                && (self.servers[place].promised > promised || !self.is_member(promised, place))
        })
    }

    /// Fields that no step will look at before they are written again.
    fn forget_what_nobody_asks(&mut self, setting: &Setting) {
        for server in self.all() {
            let view = self.view(server);
            let state = &mut self.servers[server];
            // A view counts as promised: whoever has its View op takes nothing lower.
            state.promised = state.promised.max(view);
        }
        if !setting.rules.hold(Guard::IncarnationRises) {
            return;
        }
        for server in self.all() {
            for other in self.all().filter(|&other| other != server) {
                // Whoever starts again begins with new links: what it heard before, or who echoed
                // it, is nothing to it.
                let contact = &mut self.contact[server][other];
                match (self.servers[server].process, self.servers[other].process) {
                    (Process::Down, Process::Down) => *contact = Contact::Stale,
                    (Process::Down, _) => *contact = (*contact).max(Contact::Stale),
                    (_, Process::Down) if *contact == Contact::Stale => *contact = Contact::Silent,
                    _ => {}
                }
                let before = self.servers[other].before;
                let known = self.servers[server].dead[self.id(other)] >> before & 1 == 1;
                if self.is_down(server) || known {
                    self.fresh_before[other] &= !(1 << server);
                }
            }
        }
    }

    /// Drops what comes before the newest View op that everybody knows to be committed.
    fn shorten_logs(&mut self) {
        if self.lineages > 0 || self.servers.iter().any(|server| server.damaged) {
            return;
        }
        let first = self.servers[0].log;
        let mut common = usize::from(self.servers[0].commit);
        let nothing_copied =
            |place: &Place| Some(*place) == self.place_of_copies() && self.id(*place) == *place;
        for place in (1..self.count).filter(|place| !nothing_copied(place)) {
            let server = &self.servers[place];
            common = common.min(usize::from(server.commit));
            let differs = |&at: &usize| server.log[at] != first[at];
            common = (0..common).find(differs).unwrap_or(common);
        }
        let newest = first[..common].iter().rposition(|entry| entry.is_view());
        let dropped = newest.unwrap_or(0);
        if dropped == 0 {
            return;
        }
        let values: Vec<u8> = first[..dropped]
            .iter()
            .filter(|entry| !entry.is_view())
            .map(|entry| entry.value())
            .collect();
        if self.answered[0][..values.len()] != values {
            // Committed by whoever has not answered yet.
            return;
        }
        self.answered[0].rotate_left(values.len());
        self.answered[0][OPS_MAX - values.len()..].fill(0);
        self.answered_count[0] -= values.len() as u8;
        for server in self.servers[..self.count]
            .iter_mut()
            .filter(|it| it.length > 0)
        {
            server.log.rotate_left(dropped);
            server.log[LOG_MAX - dropped..].fill(Entry::default());
            server.length -= dropped as u8;
            server.commit -= dropped as u8;
            for acknowledged in &mut server.acknowledged {
                *acknowledged = acknowledged.saturating_sub(dropped as u8);
            }
        }
    }

    /// Makes room for a proposal under this number; higher numbers move up.
    pub(crate) fn insert_number(&mut self, number: Number, proposal: Proposal) {
        let mut map = [0; NUMBERS_MAX];
        for old in 1..=self.highest {
            map[usize::from(old)] = old + Number::from(old >= number);
        }
        let (from, to) = (usize::from(number), usize::from(self.highest));
        self.proposals
            .copy_within(from..=to.max(from - 1), from + 1);
        self.proposals[from] = proposal;
        self.highest += 1;
        self.map_numbers(&map);
    }

    /// Forgets numbers that nobody knows, and what nobody asks about the others.
    fn renumber_views(&mut self, setting: &Setting) {
        let (mut known, mut open): (Numbers, Numbers) = (1, 0);
        for id in self.all() {
            let server = &self.servers[id];
            known |= 1 << server.promised | 1 << server.candidate | server.binding;
            known |= 1 << server.stood;
            open |= 1 << server.candidate;
            if setting.world.late_frames {
                open |= 1 << server.promised;
            }
            for entry in &server.log[..usize::from(server.length)] {
                known |= 1 << entry.number();
            }
        }
        let (mut map, mut kept) = ([0; NUMBERS_MAX], 0);
        for number in 1..=self.highest {
            let at = usize::from(number);
            if open >> number & 1 == 0 {
                self.proposals[at].silent = [0; SERVERS_MAX];
                self.proposals[at].cold = false;
            }
            if known >> number & 1 == 1 {
                kept += 1;
                map[at] = kept;
                self.proposals[usize::from(kept)] = self.proposals[at];
            }
        }
        if kept < self.highest {
            self.proposals[usize::from(kept) + 1..=usize::from(self.highest)]
                .fill(Proposal::default());
            self.highest = kept;
            self.map_numbers(&map);
        }
    }

    /// Gives each number that a server knows its new rank.
    fn map_numbers(&mut self, map: &[Number; NUMBERS_MAX]) {
        for server in &mut self.servers[..self.count] {
            server.promised = map[usize::from(server.promised)];
            server.candidate = map[usize::from(server.candidate)];
            server.stood = map[usize::from(server.stood)];
            server.binding = numbers(server.binding)
                .map(|number| 1 << map[usize::from(number)])
                .sum();
            for entry in &mut server.log[..usize::from(server.length)] {
                *entry = Entry::op(map[usize::from(entry.number())], entry.value());
            }
        }
    }

    /// Ranks each server's processes that matter by birth: those that run or ran last in a place,
    /// and members of views.
    fn rank_processes(&mut self) {
        for id in 0..self.count {
            let mut members: Processes = 0;
            for proposal in &self.proposals[1..=usize::from(self.highest)] {
                members |= 1 << proposal.members[id];
            }
            let mut known = members;
            for place in self.all() {
                if self.id(place) != id {
                    continue;
                }
                known |= self.process(place);
                if members >> self.servers[place].before & 1 == 0 {
                    self.fresh_before[place] = 0;
                }
                if self.fresh_before[place] == 0 || self.servers[place].before == 0 {
                    (self.fresh_before[place], self.servers[place].before) = (0, 0);
                }
            }
            known &= !1;
            if known & (known + 2) == 0 {
                // The ranks stay: all that are known are 1 to some number, and nothing else is kept.
                self.forget_processes(id, known);
                continue;
            }
            // A process's rank is how many known ones are not younger.
            let rank = |process: Birth| {
                let is_known = process != 0 && known >> process & 1 == 1;
                let older = known & ((2 << process) - 1);
                if is_known {
                    older.count_ones() as u8
                } else {
                    0
                }
            };
            let ranks = |set: Processes| {
                let kept = (1..16).filter(|&process| (set & known) >> process & 1 == 1);
                kept.map(|process| 1 << rank(process)).sum::<Processes>()
            };
            let mut counters = [0; 16];
            for process in (1..16).filter(|process| known >> process & 1 == 1) {
                counters[usize::from(rank(process))] = self.counters[id][usize::from(process)];
            }
            self.counters[id] = counters;
            for proposal in &mut self.proposals[1..=usize::from(self.highest)] {
                proposal.members[id] = rank(proposal.members[id]);
                proposal.silent[id] = ranks(proposal.silent[id]);
            }
            for server in &mut self.servers[..self.count] {
                server.dead[id] = ranks(server.dead[id]);
                server.promises[id] = ranks(server.promises[id]);
                if usize::from(server.id) == id {
                    server.incarnation = rank(server.incarnation);
                    server.before = rank(server.before);
                    server.descent = ranks(server.descent);
                }
            }
        }
    }

    /// Forgets the processes of a server that are not `known`, where the others keep their ranks.
    fn forget_processes(&mut self, id: Id, known: Processes) {
        for process in (1..16).filter(|process| self.counts_starts && known >> process & 1 == 0) {
            self.counters[id][process] = 0;
        }
        for proposal in &mut self.proposals[1..=usize::from(self.highest)] {
            proposal.silent[id] &= known;
        }
        for server in &mut self.servers[..self.count] {
            server.dead[id] &= known;
            server.promises[id] &= known;
            if usize::from(server.id) == id {
                server.descent &= known;
            }
        }
    }
}
