//! What is a state of the cluster?
//!
//! Everything is as small as it can be, for millions of states are looked at. A view's *number* is
//! its rank among the numbers that somebody still knows (see `canonical.rs`), an incarnation is
//! its rank among those of its server that somebody still knows, and a log begins with the newest
//! View op that everybody knows to be in force.
//!
//! Time is three flags instead of a clock. What a server's pings to another are worth is a
//! [`Contact`]: *fresh* when one that was sent within L has come back, *silent* when none has
//! arrived within G. As L is less than G, never both. Time passes by letting flags fall.

use crate::rules::{Guard, Setting};

/// The most servers that a model can have.
pub const SERVERS_MAX: usize = 5;
/// The most entries that a log can have.
pub const LOG_MAX: usize = 10;
/// The most view numbers that can be known at the same time; 0 stands for none.
pub const NUMBERS_MAX: usize = 24;
/// The most client ops.
pub const OPS_MAX: usize = 4;

/// A server's id; 0 is A, who is the primary at the beginning.
pub type Id = usize;
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
    /// The incarnation of each member; 0: not a member.
    pub members: [u8; SERVERS_MAX],
    /// The newest incarnation of each server that the candidate names as silent; 0: none. Means
    /// something as long as the candidate stands.
    pub silent: [u8; SERVERS_MAX],
    /// Whether it begins anew after everything was down. Means something as long as the candidate
    /// stands.
    pub cold: bool,
}

/// One server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Server {
    // On disk.
    /// The process that runs, or the last one that ran.
    pub incarnation: u8,
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
    /// The incarnation that promised that number, of each server.
    pub promises: [u8; SERVERS_MAX],
    /// How many entries each member acknowledged, while it leads.
    pub acknowledged: [u8; SERVERS_MAX],
    /// The newest incarnation of each server that it knows to be dead.
    pub dead: [u8; SERVERS_MAX],
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
}

/// The whole cluster, and what its clients were told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct State {
    /// How many servers there are.
    pub count: usize,
    /// The servers by id.
    pub servers: [Server; SERVERS_MAX],
    /// The proposals by number, in the order of their numbers; the first stands for none.
    pub proposals: [Proposal; NUMBERS_MAX],
    /// The highest number that anybody knows.
    pub highest: Number,
    /// What the first one's pings to the second one are worth.
    pub contact: [[Contact; SERVERS_MAX]; SERVERS_MAX],
    /// For each server, who had fresh echoes of its last incarnation when that ended, and may
    /// still have them.
    pub fresh_before: [Set; SERVERS_MAX],
    /// For each server, whom its frames do not reach.
    pub cut: [Set; SERVERS_MAX],
    /// Client ops that were acknowledged, in the order of the log, from where the logs begin.
    pub answered: [u8; OPS_MAX],
    /// How many of them there are.
    pub answered_count: u8,
    /// What has happened.
    pub spent: Spent,
}

impl State {
    /// All servers run, are members of view 1, and know it to be in force; A leads it.
    pub fn start(setting: &Setting) -> Self {
        let count = usize::from(setting.bounds.servers);
        let mut state = Self {
            count,
            servers: [Server::default(); SERVERS_MAX],
            proposals: [Proposal::default(); NUMBERS_MAX],
            highest: 1,
            contact: [[Contact::Fresh; SERVERS_MAX]; SERVERS_MAX],
            fresh_before: [0; SERVERS_MAX],
            cut: [0; SERVERS_MAX],
            answered: [0; OPS_MAX],
            answered_count: 0,
            spent: Spent::default(),
        };
        for id in 0..count {
            let server = &mut state.servers[id];
            server.incarnation = 1;
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

    /// The ids of all servers.
    pub fn all(&self) -> std::ops::Range<Id> {
        0..self.count
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

    /// Whether frames of `from` arrive at `to` now.
    pub fn sends(&self, from: Id, to: Id) -> bool {
        from != to && self.runs(from) && self.runs(to) && self.open(from, to)
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
        self.proposals[usize::from(number)].members[server] == self.servers[server].incarnation
    }

    /// The number of the newest view on `server`'s disk.
    pub fn view(&self, server: Id) -> Number {
        let server = &self.servers[server];
        let entries = &server.log[..usize::from(server.length)];
        let newest = entries.iter().rev().find(|entry| entry.is_view());
        newest.map_or(0, |entry| entry.number())
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
        let server = &self.servers[server];
        let mut views = 0;
        for (at, entry) in server.log[..usize::from(server.length)].iter().enumerate() {
            if entry.is_view() {
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

    /// Whether `server` counts the process (`member`, `incarnation`) as silent.
    pub fn is_silent_for(&self, server: Id, member: Id, incarnation: u8) -> bool {
        let current = self.servers[member].incarnation;
        member != server
            && (current != incarnation || self.contact[member][server] == Contact::Silent)
    }

    /// Forgets what `server` was doing: it crashed, or changed its mind.
    pub fn forget(&mut self, server: Id) {
        let server = &mut self.servers[server];
        server.serves = false;
        server.candidate = 0;
        server.promises = [0; SERVERS_MAX];
        server.acknowledged = [0; SERVERS_MAX];
    }
}

/// The numbers in a set of them, in their order.
pub fn numbers(set: Numbers) -> impl Iterator<Item = Number> {
    (0..32).filter(move |number| set >> number & 1 == 1)
}
