//! What is a state of the cluster?
//!
//! Everything is as small as it can be, for millions of states are looked at. A view's *number* is
//! its rank among the numbers that somebody still knows (see `canonical.rs`), a process is the
//! rank of its birth among the processes of its server that somebody still knows, and a log begins
//! with the newest View op that everybody knows to be in force.
//!
//! A *place* is an address with a data folder. The first places are the servers' own. If there are
//! copies, one more place holds the newest copy of a folder: it can be put back, and it can be
//! started beside its original, at an address of its own. What is said in views is said of a
//! server's id and a process of it; what runs, is linked and has a disk is a place. Processes are
//! told apart by birth, as the random bits of incarnations do, also when two folders count the
//! same number of starts.
//!
//! Time is three flags instead of a clock. What a server's pings to another are worth is a
//! [`Contact`]: *fresh* when one that was sent within L has come back, *silent* when none has
//! arrived within G. As L is less than G, never both. Time passes by letting flags fall.

use crate::rules::{Guard, Rules, Setting};

/// The most servers that a model can have.
pub const SERVERS_MAX: usize = 5;
/// The most entries that a log can have.
pub const LOG_MAX: usize = 10;
/// The most view numbers that can be known at the same time; 0 stands for none.
pub const NUMBERS_MAX: usize = 24;
/// The most client ops.
pub const OPS_MAX: usize = 4;

/// A server's id, or its own place; 0 is A, who is the primary at the beginning.
pub type Id = usize;
/// A place: an address with a data folder.
pub type Place = usize;
/// A process of a server: its rank by birth among those that are known to anybody. 0 is none.
pub type Birth = u8;
/// A set of processes of one server.
pub type Processes = u16;
/// A lineage, in the order in which they began; 0 is that of the founding.
pub type Lineage = u8;
/// The most lineages.
pub const LINEAGES_MAX: usize = 4;
/// A view's number: its rank among those that are known to anybody. 0 is none.
pub type Number = u8;
/// A set of servers, by id.
pub type Set = u8;
/// A set of view numbers.
pub type Numbers = u32;

/// The ids in `set`.
pub fn ids(set: Set) -> impl Iterator<Item = Id> {
    (0..SERVERS_MAX).filter(move |id| set >> id & 1 == 1)
}

/// What a server's pings to another are worth.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Contact {
    /// The other echoed one that was sent within L.
    #[default]
    Fresh,
    /// None of that, but the other heard one within G.
    Stale,
    /// The other has heard none within G.
    Silent,
}

/// What a process does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Process {
    /// It runs.
    #[default]
    Up,
    /// It was stopped; it may go on as if nothing had happened.
    Paused,
    /// It is dead.
    Down,
}

/// One entry of a log: the number of the view in which it was written, and a client's op, or 0
/// for that view's own View op.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Entry(pub u8);

impl Entry {
    /// The View op of this number.
    pub const fn view(number: Number) -> Self {
        Self(number << 3)
    }

    /// A client's op.
    pub const fn op(number: Number, value: u8) -> Self {
        Self(number << 3 | value)
    }

    /// The view in which it was written.
    pub const fn number(self) -> Number {
        self.0 >> 3
    }

    /// The client's op, or 0.
    pub const fn value(self) -> u8 {
        self.0 & 7
    }

    /// Whether it is a View op.
    pub const fn is_view(self) -> bool {
        self.value() == 0
    }
}

/// A proposed view. It never changes, so that whoever knows the number knows all of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Proposal {
    /// Who stands for it, and leads it.
    pub candidate: u8,
    /// The lineage that the view belongs to.
    pub lineage: Lineage,
    /// The member process of each server; 0: not a member.
    pub members: [Birth; SERVERS_MAX],
    /// The processes of each server that the candidate names as silent. Means something as long as
    /// the candidate stands.
    pub silent: [Processes; SERVERS_MAX],
    /// Whether it begins anew after everything was down. Means something as long as the candidate
    /// stands.
    pub cold: bool,
}

/// One place, and what runs there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Server {
    /// The process that runs, or the last one that ran here; 0: none ever did.
    pub incarnation: Birth,
    /// The process that ran here before, as long as somebody may find out that it ended.
    pub before: Birth,

    // On disk: what outlasts a process, and what a copy of the folder takes along.
    /// The server whose folder lies here.
    pub id: u8,
    /// The processes of its server whose acknowledgements it holds: its descent.
    pub descent: Processes,
    /// How many processes have run on it and on what it was copied from. Kept only where counters
    /// are asked; see [`State::counters`].
    pub counter: u8,
    /// It is a copy, put into its place from elsewhere, and no process has started on it yet: its
    /// fingerprint is not the one in its superblock.
    pub copied: bool,
    /// Its last process ended by a clean stop.
    pub clean: bool,
    /// The journal cannot be read, so that the log is empty.
    pub damaged: bool,
    /// Its server was forced to lead, and was not started without the flag since. Holds the lineage
    /// that it began.
    pub forced: Lineage,
    /// The lineage that it follows.
    pub lineage: Lineage,
    /// The highest number of a view that it may have been a member of.
    pub stood: Number,
    /// How far the log went that is known to be in force, for when the journal is damaged.
    pub in_force: u8,
    /// The highest number promised.
    pub promised: Number,
    /// Promises given to others that were not released, and whose View op is not in the log.
    pub binding: Numbers,
    /// Entries in the log: the head.
    pub length: u8,
    /// Entries that every member is known to have.
    pub commit: u8,
    /// The log; what is beyond its length is zero.
    pub log: [Entry; LOG_MAX],

    // In memory, and only while it is not down.
    /// Whether it runs.
    pub process: Process,
    /// Whether it leads its newest view, and all of its members are known to have that.
    pub serves: bool,
    /// The number that it stands for; 0: none.
    pub candidate: Number,
    /// It was started with the wish to be forced to lead.
    pub wishes: bool,
    /// For which processes of each server that number was promised.
    pub promises: [Processes; SERVERS_MAX],
    /// How many entries each member acknowledged, by id, while it leads.
    pub acknowledged: [u8; SERVERS_MAX],
    /// The processes of each server that it knows to be dead.
    pub dead: [Processes; SERVERS_MAX],
}

/// How many faults and ops there were.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spent {
    /// Client ops.
    pub ops: u8,
    /// Crashes.
    pub crashes: u8,
    /// Restarts.
    pub restarts: u8,
    /// Pauses.
    pub pauses: u8,
    /// Cuts.
    pub cuts: u8,
    /// Heals.
    pub heals: u8,
    /// Clean stops.
    pub stops: u8,
    /// Copies of folders made.
    pub copies: u8,
    /// Copies put back in place of a folder.
    pub restores: u8,
    /// Folders lost.
    pub losses: u8,
    /// Journals damaged.
    pub damages: u8,
    /// Servers started with the wish to be forced.
    pub forces: u8,
}

/// The whole cluster, and what its clients were told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct State {
    /// How many places there are: a server's own each, and one for copies if there are any.
    pub count: usize,
    /// Whether the last place is for copies.
    pub has_copies: bool,
    /// Whether counters of starts are kept.
    pub counts_starts: bool,
    /// The places; a server's own place is that of its id.
    pub servers: [Server; SERVERS_MAX],
    /// The proposals by number, in the order of their numbers; the first stands for none.
    pub proposals: [Proposal; NUMBERS_MAX],
    /// The highest number that anybody knows.
    pub highest: Number,
    /// What the first one's pings to the second one are worth.
    pub contact: [[Contact; SERVERS_MAX]; SERVERS_MAX],
    /// For each server, the counter of each process of it, for the rule that descent replaced.
    pub counters: [[u8; 16]; SERVERS_MAX],
    /// Lineages that were begun although a primary, or a member that counted itself as one, could be
    /// reached.
    pub beside_living: u8,
    /// How many lineages there are, but for the first one.
    pub lineages: Lineage,
    /// The counter of each lineage.
    pub raised: [u8; LINEAGES_MAX],
    /// For each server, who had fresh echoes of its last incarnation when that ended, and may
    /// still have them.
    pub fresh_before: [Set; SERVERS_MAX],
    /// For each server, whom its frames do not reach.
    pub cut: [Set; SERVERS_MAX],
    /// Client ops that were acknowledged in each lineage, in the order of the log, from where the
    /// logs begin.
    pub answered: [[u8; OPS_MAX]; LINEAGES_MAX],
    /// How many of them there are.
    pub answered_count: [u8; LINEAGES_MAX],
    /// What has happened.
    pub spent: Spent,
}

impl State {
    /// All servers run, are members of view 1, and know it to be in force; A leads it.
    pub fn start(setting: &Setting) -> Self {
        let servers = usize::from(setting.bounds.servers);
        let has_copies = setting.bounds.copies > 0;
        let count = servers + usize::from(has_copies);
        let counts_starts = !setting.rules.hold(Guard::ColdStartByDescent)
            || !setting.rules.hold(Guard::ReleaseByDescent)
            || !setting.rules.hold(Guard::ResignationByDescent);
        let mut state = Self {
            count,
            has_copies,
            counts_starts,
            servers: [Server::default(); SERVERS_MAX],
            proposals: [Proposal::default(); NUMBERS_MAX],
            highest: 1,
            contact: [[Contact::Fresh; SERVERS_MAX]; SERVERS_MAX],
            counters: [[0; 16]; SERVERS_MAX],
            beside_living: 0,
            lineages: 0,
            raised: [0; LINEAGES_MAX],
            fresh_before: [0; SERVERS_MAX],
            cut: [0; SERVERS_MAX],
            answered: [[0; OPS_MAX]; LINEAGES_MAX],
            answered_count: [0; LINEAGES_MAX],
            spent: Spent::default(),
        };
        for id in 0..count {
            let server = &mut state.servers[id];
            server.id = id as u8;
            if id == servers {
                // Nothing has been copied yet.
                server.process = Process::Down;
                for other in 0..count {
                    state.contact[id][other] = Contact::Stale;
                    state.contact[other][id] = Contact::Silent;
                }
                continue;
            }
            server.incarnation = 1;
            server.descent = 1 << 1;
            server.counter = u8::from(counts_starts);
            server.stood = u8::from(setting.bounds.damages > 0);
            state.counters[id][1] = u8::from(counts_starts);
            server.promised = 1;
            server.length = 1;
            server.commit = 1;
            server.log[0] = Entry::view(1);
            state.proposals[1].members[id] = 1;
        }
        state.servers[0].serves = true;
        state.servers[0].acknowledged = state.proposals[1].members;
        state
    }

    /// All places.
    pub fn all(&self) -> std::ops::Range<Place> {
        0..self.count
    }

    /// The place for copies.
    pub fn place_of_copies(&self) -> Option<Place> {
        self.has_copies.then(|| self.count - 1)
    }

    /// The id of the server whose folder lies at `place`.
    pub fn id(&self, place: Place) -> Id {
        usize::from(self.servers[place].id)
    }

    /// The place where this process runs, or where it was the last one to run.
    pub fn place_of(&self, id: Id, process: Birth) -> Option<Place> {
        self.all()
            .find(|&place| process != 0 && self.is_process(place, id, process))
    }

    /// Whether the process at `place` is that one.
    pub fn is_process(&self, place: Place, id: Id, process: Birth) -> bool {
        self.id(place) == id && self.servers[place].incarnation == process
    }

    /// The process at `place`, as a set.
    pub fn process(&self, place: Place) -> Processes {
        1 << self.servers[place].incarnation
    }

    /// The place of the process that leads this view.
    pub fn leader_of(&self, number: Number) -> Option<Place> {
        let proposal = &self.proposals[usize::from(number)];
        let id = usize::from(proposal.candidate);
        self.place_of(id, proposal.members[id])
    }

    /// The processes whose acknowledgements are known to be in the folder at `place`: those that it
    /// descends from, and the one that runs there; or, where counters are asked instead, all whose
    /// counter is lower.
    pub fn continued(&self, place: Place, by_descent: bool) -> Processes {
        let server = &self.servers[place];
        if by_descent {
            return server.descent | self.process(place);
        }
        let counters = &self.counters[self.id(place)];
        let own = counters[usize::from(server.incarnation)];
        let lower = (1..16).filter(|&process| counters[process] != 0 && counters[process] < own);
        lower.map(|process| 1 << process).sum::<Processes>() | self.process(place)
    }

    /// Whether the process runs and is not stopped.
    pub fn runs(&self, id: Id) -> bool {
        self.servers[id].process == Process::Up
    }

    /// Whether the process is dead.
    pub fn is_down(&self, id: Id) -> bool {
        self.servers[id].process == Process::Down
    }

    /// Whether no frame of `from` to `to` is lost.
    pub fn open(&self, from: Id, to: Id) -> bool {
        self.cut[from] >> to & 1 == 0
    }

    /// Whether no frame between these two is lost.
    pub fn is_whole(&self, one: Id, other: Id) -> bool {
        self.open(one, other) && self.open(other, one)
    }

    /// Whether frames of `from` arrive at `to` now. Two processes of one server refuse each other.
    pub fn sends(&self, from: Id, to: Id) -> bool {
        from != to
            && self.servers[from].id != self.servers[to].id
            && self.servers[from].lineage == self.servers[to].lineage
            && self.reaches_process(from, to)
    }

    /// The same whatever lineage they follow: a hello says that, and nothing else is heard of who
    /// follows another one.
    pub fn reaches_process(&self, from: Place, to: Place) -> bool {
        self.runs(from) && self.runs(to) && self.open(from, to)
    }

    /// Whether two servers can talk to each other.
    pub fn linked(&self, one: Id, other: Id) -> bool {
        self.sends(one, other) && self.sends(other, one)
    }

    /// Whether they can talk to each other, or by way of a third.
    pub fn reaches(&self, one: Id, other: Id) -> bool {
        self.linked(one, other)
            || self
                .all()
                .any(|third| self.linked(one, third) && self.linked(third, other))
    }

    /// Whether `server`, as it is now, is a member of this view.
    pub fn is_member(&self, number: Number, server: Id) -> bool {
        let member = self.proposals[usize::from(number)].members[self.id(server)];
        member != 0 && member == self.servers[server].incarnation
    }

    /// The number of the newest view on `server`'s disk, if it is of the lineage that it follows.
    pub fn view(&self, server: Place) -> Number {
        let newest = self.newest_in_log(server);
        let lineage = self.proposals[usize::from(newest)].lineage;
        if lineage == self.servers[server].lineage {
            newest
        } else {
            0
        }
    }

    /// The number of the newest view on `server`'s disk, of whatever lineage.
    pub fn newest_in_log(&self, server: Place) -> Number {
        let server = &self.servers[server];
        let entries = &server.log[..usize::from(server.length)];
        let newest = entries.iter().rev().find(|entry| entry.is_view());
        newest.map_or(0, |entry| entry.number())
    }

    /// The lineage of `server`'s log.
    pub fn lineage_of_log(&self, server: Place) -> Lineage {
        self.proposals[usize::from(self.newest_in_log(server))].lineage
    }

    /// Whether the View op of this number is in `server`'s log.
    pub fn has_view(&self, server: Id, number: Number) -> bool {
        let server = &self.servers[server];
        server.log[..usize::from(server.length)].contains(&Entry::view(number))
    }

    /// Whether `server` is a member of the newest view that it knows.
    pub fn is_intact(&self, server: Id) -> bool {
        !self.is_down(server) && self.is_member(self.view(server), server)
    }

    /// The newest view in force, for `server`, and every later View op of its log.
    pub fn standing_views(&self, server: Id, setting: &Setting) -> Numbers {
        if !setting.rules.hold(Guard::EachStandingView) {
            return 1 << self.view(server);
        }
        self.views_since_force(server)
    }

    /// The same whatever the rules.
    pub fn views_since_force(&self, server: Id) -> Numbers {
        if self.view(server) == 0 {
            return 0;
        }
        let server = &self.servers[server];
        let mut views = 0;
        for (at, entry) in server.log[..usize::from(server.length)].iter().enumerate() {
            let lineage = self.proposals[usize::from(entry.number())].lineage;
            if entry.is_view() && lineage == server.lineage {
                if at < usize::from(server.commit) {
                    views = 0;
                }
                views |= 1 << entry.number();
            }
        }
        views
    }

    /// The highest number that `server` has promised or has as a view.
    pub fn seen(&self, server: Id) -> Number {
        self.servers[server].promised.max(self.view(server))
    }

    /// Whether `server` counts a process as silent. One that has ended may be counted so at any
    /// time.
    pub fn is_silent_for(&self, server: Place, id: Id, process: Birth, rules: &Rules) -> bool {
        let Some(place) = self.place_of(id, process) else {
            return true;
        };
        let elsewhere = |other: Place| {
            other != place && other != server && self.id(other) == id && self.linked(server, other)
        };
        let by_successor = !rules.hold(Guard::SuccessorAtTheAddress) && self.all().any(elsewhere);
        place != server && (self.contact[place][server] == Contact::Silent || by_successor)
    }

    /// Forgets what `server` was doing: it crashed, or changed its mind.
    pub fn forget(&mut self, server: Id) {
        let server = &mut self.servers[server];
        server.serves = false;
        server.candidate = 0;
        server.wishes = false;
        server.promises = [0; SERVERS_MAX];
        server.acknowledged = [0; SERVERS_MAX];
    }
}

/// The numbers in a set of them, in their order.
pub fn numbers(set: Numbers) -> impl Iterator<Item = Number> {
    (0..32).filter(move |number| set >> number & 1 == 1)
}
