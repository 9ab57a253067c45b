//! What is there, and what happens next?
//!
//! One queue of events in the order of their time, and everything that they change. Whatever is
//! random comes from [`World::random`], and nothing depends on the order of a hash map: a seed
//! names a run.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use lastword::replica::Role;
use lastword::store::MemoryStore;
use lastword::types::LogPosition;

use super::checker::Checker;
use super::clients::Client;
use super::faults::{Faults, Harm};
use super::host::Host;
use super::lines::Line;
use super::network::{Attempt, Network};
use super::random::Random;
use super::settings::{SECOND, Settings};
use super::trace::{self, Fingerprint};

/// More events than any run needs: something goes round in circles.
const EVENTS_MAX: u64 = 2_000_000;

/// Something that is going to happen. A process is named by its number: one that has ended does
/// not get what was meant for it.
#[derive(Debug)]
pub enum Event {
    /// A process has something to read.
    Turn { host: usize, process: u64 },
    /// A process has done what comes before its first turn.
    Started { host: usize, process: u64 },
    /// A process has asked to be woken.
    Wake { host: usize, process: u64 },
    /// The disk has done what a process waits for.
    WorkDone { host: usize, process: u64 },
    /// A process may try to take the service's address.
    Bind { host: usize, process: u64 },
    /// A process that leaves does not wait any longer.
    LeaveEnds { host: usize, process: u64 },
    /// A connection has something for one of its ends.
    Deliver { connection: u64, end: usize },
    /// A connection's first packet arrives where it was meant for.
    DialArrives { attempt: u64 },
    /// The answer to it comes back: a connection, or a refusal.
    DialAnswered {
        attempt: u64,
        connection: Option<u64>,
    },
    /// Nothing came of it.
    DialEnds { attempt: u64 },
    /// A line between a client and a server has something for one of its ends.
    LineDelivers { line: u64, end: usize },
    /// A client has asked to be woken.
    ClientWakes { client: usize },
    /// Somebody looks at his client.
    Tick { client: usize },
    /// Something goes wrong.
    Fault,
    /// Something that went wrong is over.
    Over(Repair),
}

/// How something that went wrong ends.
#[derive(Clone, Debug)]
pub enum Repair {
    Start {
        host: usize,
    },
    PowerOn {
        host: usize,
    },
    Resume {
        host: usize,
    },
    Mend {
        from: usize,
        to: usize,
    },
    Accept {
        from: usize,
        to: usize,
    },
    MendClients {
        host: usize,
    },
    QuickDisk {
        host: usize,
    },
    RightClock {
        host: usize,
    },
    /// Not a repair: it is killed again, until then.
    CrashLoop {
        host: usize,
        until: u64,
    },
    /// Nor this: a disk is harmed.
    Harm {
        host: usize,
        harm: Harm,
    },
    /// Nor this: what the disk does for a process is to be interrupted.
    Strike {
        host: usize,
        is_power: bool,
    },
}

struct Scheduled {
    at: u64,
    number: u64,
    event: Event,
}

impl PartialEq for Scheduled {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}

impl Eq for Scheduled {}

impl PartialOrd for Scheduled {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Scheduled {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}

/// A store as it was at some moment, on its way to another server.
pub struct Snapshot {
    pub store: MemoryStore,
    pub last: LogPosition,
}

/// Everything.
pub struct World {
    /// Nanoseconds since it began. No server knows it: they have clocks of their own.
    pub now: u64,
    queue: BinaryHeap<Reverse<Scheduled>>,
    scheduled: u64,
    pub random: Random,
    pub settings: Settings,
    pub hosts: Vec<Host>,
    pub network: Network,
    pub attempts: BTreeMap<u64, Attempt>,
    /// Which process has the service's address.
    pub service: Option<(usize, u64)>,
    pub clients: Vec<Client>,
    /// The clients' connections.
    pub lines: BTreeMap<u64, Line>,
    /// How many faults close the way between the clients and a host.
    pub clients_cut: Vec<u32>,
    pub checker: Checker,
    pub snapshots: Vec<Snapshot>,
    pub faults: Faults,
    pub fingerprint: Fingerprint,
    /// The last number that was given to a process, a connection or an attempt.
    numbers: u64,
    pub events: u64,
}

impl World {
    /// Hosts without processes, and clients that have not begun.
    pub fn new(seed: u64, settings: Settings) -> Self {
        let mut random = Random::new(seed);
        let hosts: Vec<Host> = (0..settings.servers)
            .map(|index| Host::new(index, &settings, &mut random))
            .collect();
        let network = Network::new(settings.servers);
        let members: Vec<_> = hosts.iter().map(|host| host.address).collect();
        let clients = (0..settings.clients)
            .map(|index| Client::new(index, &settings, &members, &mut random))
            .collect();
        Self {
            now: 0,
            queue: BinaryHeap::new(),
            scheduled: 0,
            random,
            settings,
            hosts,
            network,
            attempts: BTreeMap::new(),
            service: None,
            clients,
            lines: BTreeMap::new(),
            clients_cut: vec![0; members.len()],
            checker: Checker::default(),
            snapshots: Vec::new(),
            faults: Faults::none(),
            fingerprint: Fingerprint::new(),
            numbers: 0,
            events: 0,
        }
    }

    /// Starts the founder, then the others, and the clients.
    pub fn begin(&mut self) {
        for host in 0..self.hosts.len() {
            let delay = self.random.below(SECOND / 20);
            self.after(delay, Event::Over(Repair::Start { host }));
        }
        for client in 0..self.clients.len() {
            self.after(SECOND / 10, Event::Tick { client });
        }
    }

    pub fn after(&mut self, delay: u64, event: Event) {
        self.at(self.now + delay, event);
    }

    pub fn at(&mut self, at: u64, event: Event) {
        self.scheduled += 1;
        self.queue.push(Reverse(Scheduled {
            at: at.max(self.now),
            number: self.scheduled,
            event,
        }));
    }

    /// A number that names nothing else.
    pub fn number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }

    pub fn say(&self, text: impl FnOnce() -> String) {
        trace::line(self.now, text);
    }

    /// Lets so much time pass.
    pub fn run_for(&mut self, duration: u64) {
        let end = self.now + duration;
        while self.step(end) {}
        self.now = end;
    }

    /// Lets time pass until something is true; answers whether it was within the time.
    pub fn run_until(&mut self, duration: u64, mut is_true: impl FnMut(&Self) -> bool) -> bool {
        let end = self.now + duration;
        loop {
            if is_true(self) {
                return true;
            }
            // Not after each event: most of them change nothing that anybody asks for.
            let next = (self.now + SECOND / 100).min(end);
            while self.step(next) {}
            self.now = next;
            if next == end {
                return is_true(self);
            }
        }
    }

    /// As [`Self::run_until`], and stops just behind the event by which it becomes true.
    pub fn run_until_event(&mut self, duration: u64, is_true: impl Fn(&Self) -> bool) -> bool {
        let end = self.now + duration;
        while !is_true(self) {
            if !self.step(end) {
                self.now = end;
                return false;
            }
        }
        true
    }

    /// The next event, if it happens by `end`.
    fn step(&mut self, end: u64) -> bool {
        if self.queue.peek().is_none_or(|Reverse(next)| next.at > end) {
            return false;
        }
        let Some(Reverse(next)) = self.queue.pop() else {
            return false;
        };
        self.now = next.at;
        self.events += 1;
        assert!(
            self.events < EVENTS_MAX,
            "LIVE: too much happens:\n{}",
            self.describe()
        );
        self.fingerprint.add(next.at);
        self.happen(next.event);
        true
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Turn { host, process } => self.turn(host, process),
            Event::Started { host, process } => self.started(host, process),
            Event::Wake { host, process } => self.wake(host, process),
            Event::WorkDone { host, process } => self.work_done(host, process),
            Event::Bind { host, process } => self.bind_service(host, process),
            Event::LeaveEnds { host, process } => self.leave_ends(host, process),
            Event::Deliver { connection, end } => self.deliver(connection, end),
            Event::DialArrives { attempt } => self.dial_arrives(attempt),
            Event::DialAnswered {
                attempt,
                connection,
            } => self.dial_answered(attempt, connection),
            Event::DialEnds { attempt } => self.dial_ends(attempt),
            Event::LineDelivers { line, end } => self.line_delivers(line, end),
            Event::ClientWakes { client } => self.client_wakes(client),
            Event::Tick { client } => self.tick(client),
            Event::Fault => self.next_fault(),
            Event::Over(repair) => self.repair(repair),
        }
    }

    /// The hosts with a running process that answers clients.
    pub fn serving(&self) -> Vec<usize> {
        let serves = |host: &Host| {
            let process = host.process.as_ref();
            process.is_some_and(|it| !it.is_paused && it.replica.serves())
        };
        (0..self.hosts.len())
            .filter(|host| serves(&self.hosts[*host]))
            .collect()
    }

    /// Everybody who runs is a member of one view, knows it, and has applied everything.
    pub fn is_settled(&self) -> bool {
        if self.hosts.iter().any(|it| it.starting.is_some()) {
            return false;
        }
        let &[primary] = &self.serving()[..] else {
            return false;
        };
        let lead = self.hosts[primary].replica();
        let Some(view) = lead.view() else {
            return false;
        };
        let running = || self.hosts.iter().filter_map(|it| it.process.as_ref());
        let has_damage = |it: &Host| {
            let process = it.process.as_ref();
            process.is_some_and(|process| it.has_damaged_store(process))
        };
        if self.hosts.iter().any(has_damage) {
            return false;
        }
        running().all(|process| {
            let replica = &process.replica;
            let is_member = view.contains(replica.identity().member());
            let knows = replica.view() == lead.view() && replica.commit() == lead.commit();
            is_member && knows && matches!(replica.role(), Role::Primary | Role::Backup)
        }) && view.members.len() == running().count()
    }

    /// One line for each server, for a message.
    pub fn describe(&self) -> String {
        {
            let hosts: String = self.hosts.iter().map(|host| host.describe()).collect();
            hosts + &self.describe_clients()
        }
    }
}
