//! What comes through between two servers, and when?
//!
//! A connection is two ordered queues of packets, as TCP makes them: a packet that is lost comes
//! later, and all behind it, too. A direction that is cut keeps what was sent, and what comes the
//! other way still arrives. A process that dies ends its connections, FIN or RST, if its host can
//! still send; a host without power says nothing until it is back, and then resets what it does
//! not know. Connects are refused where a host lives and no process listens.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;

use lastword::replica::Identity;

use super::process::Arrival;
use super::settings::{MICROSECOND, MILLISECOND, SECOND};
use super::world::{Event, World};

/// How long a connect, with the hellos, may take.
const DIAL_TIME_MAX: u64 = SECOND;

/// How long TCP waits before it first sends again what was not acknowledged, and at most.
const RETRANSMITS_AFTER: u64 = 200 * MILLISECOND;
const RETRANSMITS_AFTER_MAX: u64 = 120 * SECOND;

/// Where clients look first; the primary listens there, too.
pub fn service_address() -> SocketAddr {
    "10.0.0.100:5000".parse().expect("an address")
}

/// Which way is open?
pub struct Network {
    servers: usize,
    /// How many faults close the way from one host to another.
    cuts: Vec<u32>,
    /// How many faults have connects of one host to another refused.
    refusals: Vec<u32>,
    pub connections: BTreeMap<u64, Connection>,
}

/// Two processes that speak with each other.
pub struct Connection {
    /// Who has dialed, and who was dialed.
    pub ends: [End; 2],
    pub attempt: u64,
    pub dialed: SocketAddr,
    /// Who the dialing end has said it is.
    pub said: Option<Identity>,
    /// What is on its way to each end.
    queues: [VecDeque<(u64, Packet)>; 2],
    /// Until when nothing arrives at each end, since the other one waits before it sends again.
    asleep_until: [u64; 2],
}

#[derive(Clone, Copy, Debug)]
pub struct End {
    pub host: usize,
    pub process: u64,
    /// Its process has not closed it, and lives.
    pub is_open: bool,
    /// Its replica was told of it.
    pub is_up: bool,
}

/// What goes over a connection.
#[derive(Clone, Debug)]
pub enum Packet {
    Hello(Identity),
    Frame(Vec<u8>),
    Fin,
    Rst,
}

/// A connect that is under way.
pub struct Attempt {
    pub host: usize,
    pub process: u64,
    pub address: SocketAddr,
    /// The host that it has reached.
    pub reached: Option<usize>,
    pub connection: Option<u64>,
}

impl Network {
    pub fn new(servers: usize) -> Self {
        Self {
            servers,
            cuts: vec![0; servers * servers],
            refusals: vec![0; servers * servers],
            connections: BTreeMap::new(),
        }
    }

    fn is_cut(&self, from: usize, to: usize) -> bool {
        self.cuts[from * self.servers + to] > 0
    }

    fn is_refused(&self, from: usize, to: usize) -> bool {
        self.refusals[from * self.servers + to] > 0
    }
}

impl World {
    /// Nothing from one host reaches the other.
    fn is_blocked(&self, from: usize, to: usize) -> bool {
        let is_away = |host: usize| !self.hosts[host].has_power || self.hosts[host].is_suspended;
        self.network.is_cut(from, to) || is_away(from) || is_away(to)
    }

    fn latency(&mut self) -> u64 {
        let (low, high) = self.settings.latency;
        let mut latency = self.random.between(low, high);
        // TCP sends again after 200 ms, then after twice as long each time.
        let mut again = RETRANSMITS_AFTER;
        while again < 4 * SECOND && self.random.per_mille(self.settings.loss_per_mille) {
            latency += again;
            again *= 2;
        }
        latency
    }

    // --- faults ---

    /// Closes the way from one host to another.
    pub fn cut(&mut self, from: usize, to: usize) {
        self.say(|| format!("  cut {} -> {}", from + 1, to + 1));
        self.network.cuts[from * self.network.servers + to] += 1;
    }

    pub fn mend(&mut self, from: usize, to: usize) {
        self.say(|| format!("  mend {} -> {}", from + 1, to + 1));
        let cuts = &mut self.network.cuts[from * self.network.servers + to];
        *cuts = cuts.saturating_sub(1);
        if *cuts == 0 {
            self.way_is_open(Some(from), to);
        }
    }

    /// From now on something between them refuses connects of one to the other, in its name.
    pub fn refuse(&mut self, from: usize, to: usize) {
        self.say(|| format!("  refuse {} -> {}", from + 1, to + 1));
        self.network.refusals[from * self.network.servers + to] += 1;
    }

    pub fn accept(&mut self, from: usize, to: usize) {
        let refusals = &mut self.network.refusals[from * self.network.servers + to];
        *refusals = refusals.saturating_sub(1);
    }

    /// No way is closed and nothing refused any more.
    pub fn mend_all(&mut self) {
        self.network.cuts.fill(0);
        self.network.refusals.fill(0);
        self.clients_cut.fill(0);
        for host in 0..self.hosts.len() {
            self.way_is_open(None, host);
            self.lines_go_on(host);
        }
    }

    /// What waited for this way is sent again at TCP's next retransmission. Each comes after twice the
    /// time of the one before, so the next one may be as far away as the cut was long.
    pub fn way_is_open(&mut self, from: Option<usize>, to: usize) {
        let now = self.now;
        let waiting: Vec<(u64, usize, u64)> = self
            .network
            .connections
            .iter()
            .flat_map(|(id, connection)| [(*id, connection, 0), (*id, connection, 1)])
            .filter(|(_, connection, end)| {
                let is_way = connection.ends[*end].host == to
                    && from.is_none_or(|from| connection.ends[1 - end].host == from);
                is_way && !connection.queues[*end].is_empty()
            })
            .map(|(id, connection, end)| {
                let due = connection.queues[end].front().map_or(now, |(due, _)| *due);
                (id, end, now.saturating_sub(due))
            })
            .collect();
        for (connection, end, waited) in waiting {
            let longest = waited.clamp(RETRANSMITS_AFTER, RETRANSMITS_AFTER_MAX);
            let delay = self.random.below(longest);
            if let Some(it) = self.network.connections.get_mut(&connection) {
                it.asleep_until[end] = now + delay;
            }
            self.after(delay, Event::Deliver { connection, end });
        }
    }

    /// Something between them resets every connection that they have.
    pub fn forge_resets(&mut self, one: usize, other: usize) {
        self.say(|| format!("  forged resets {} <-> {}", one + 1, other + 1));
        let hosts = [(one, other), (other, one)];
        let ids: Vec<u64> = self
            .network
            .connections
            .iter()
            .filter(|(_, it)| hosts.contains(&(it.ends[0].host, it.ends[1].host)))
            .map(|(id, _)| *id)
            .collect();
        for id in ids {
            for end in [0, 1] {
                self.reset(id, end);
            }
        }
    }

    /// An end gives up, though the other one is there: its kernel has tried for too long.
    pub fn give_up(&mut self, id: u64, end: usize) {
        let Some(connection) = self.network.connections.get_mut(&id) else {
            return;
        };
        let End {
            host,
            process,
            is_open,
            ..
        } = connection.ends[end];
        if is_open {
            connection.queues[end].clear();
            self.arrived(host, process, Arrival::Broken { connection: id });
        }
    }

    fn reset(&mut self, id: u64, end: usize) {
        let Some(connection) = self.network.connections.get_mut(&id) else {
            return;
        };
        if connection.ends[end].is_open {
            connection.queues[end].clear();
            connection.asleep_until[end] = 0;
            connection.queues[end].push_back((self.now, Packet::Rst));
            self.after(
                0,
                Event::Deliver {
                    connection: id,
                    end,
                },
            );
        }
    }

    /// The processes of two hosts have a connection that both have told their replicas of.
    pub fn are_linked(&self, one: usize, other: usize) -> bool {
        let hosts = [(one, other), (other, one)];
        self.network.connections.values().any(|it| {
            let is_theirs = hosts.contains(&(it.ends[0].host, it.ends[1].host));
            is_theirs && it.ends.iter().all(|end| end.is_open && end.is_up)
        })
    }

    // --- packets ---

    /// Sends something to the other end.
    pub fn send(&mut self, id: u64, from_end: usize, packet: Packet) {
        let latency = self.latency();
        let twice = matches!(packet, Packet::Frame(_))
            && self.random.per_mille(self.settings.duplicates_per_mille);
        let now = self.now;
        let Some(connection) = self.network.connections.get_mut(&id) else {
            return;
        };
        let end = 1 - from_end;
        let queue = &mut connection.queues[end];
        let last = queue.back().map_or(0, |(due, _)| *due);
        let due = last.max(now + latency);
        if twice {
            queue.push_back((due, packet.clone()));
        }
        queue.push_back((due, packet));
        self.at(
            due,
            Event::Deliver {
                connection: id,
                end,
            },
        );
    }

    /// Hands over what is due at an end, unless the way is closed.
    pub fn deliver(&mut self, id: u64, end: usize) {
        loop {
            let Some(connection) = self.network.connections.get(&id) else {
                return;
            };
            let (from, to) = (connection.ends[1 - end], connection.ends[end]);
            let is_due = connection.queues[end].front().map(|(due, _)| *due) <= Some(self.now);
            let is_starting = self.hosts[to.host].starting == Some(to.process);
            let is_asleep = connection.asleep_until[end] > self.now;
            if is_starting
                || is_asleep
                || !is_due
                || connection.queues[end].is_empty()
                || self.is_blocked(from.host, to.host)
            {
                return;
            }
            let connection = self.network.connections.get_mut(&id).expect("looked at");
            let Some((_, packet)) = connection.queues[end].pop_front() else {
                return;
            };
            self.receive(id, end, packet);
        }
    }

    fn receive(&mut self, id: u64, end: usize, packet: Packet) {
        let connection = &self.network.connections[&id];
        let (from, to) = (connection.ends[1 - end], connection.ends[end]);
        let is_end = matches!(packet, Packet::Fin | Packet::Rst);
        if to.is_open {
            let connection = id;
            self.arrived(to.host, to.process, Arrival::Packet { connection, packet });
        } else if !is_end && from.is_open {
            // Nobody is there any more: the kernel says so.
            self.reset_after_latency(id, 1 - end);
        }
        if !from.is_open && !to.is_open {
            self.network.connections.remove(&id);
        }
    }

    fn reset_after_latency(&mut self, id: u64, end: usize) {
        let at = self.now + self.latency();
        if let Some(connection) = self.network.connections.get_mut(&id) {
            connection.queues[end].push_back((at, Packet::Rst));
            self.at(
                at,
                Event::Deliver {
                    connection: id,
                    end,
                },
            );
        }
    }

    /// A process closes its end, in order behind what it has sent.
    pub fn close_end(&mut self, id: u64, end: usize) {
        if let Some(connection) = self.network.connections.get_mut(&id)
            && connection.ends[end].is_open
        {
            connection.ends[end].is_open = false;
            self.send(id, end, Packet::Fin);
        }
    }

    /// A process has ended: its host ends its connections, if it still can.
    pub fn process_is_gone(&mut self, host: usize, process: u64) {
        let has_power = self.hosts[host].has_power;
        let ids: Vec<(u64, usize)> = self
            .network
            .connections
            .iter()
            .flat_map(|(id, it)| [(*id, 0, it.ends[0]), (*id, 1, it.ends[1])])
            .filter(|(_, _, end)| end.is_open && (end.host, end.process) == (host, process))
            .map(|(id, index, _)| (id, index))
            .collect();
        for (id, end) in ids {
            let has_unread = self.random.percent(30);
            let Some(connection) = self.network.connections.get_mut(&id) else {
                continue;
            };
            connection.ends[end].is_open = false;
            if !has_power {
                // What was on its way may still arrive. Of the rest nobody hears.
                continue;
            }
            if has_unread {
                // The reset overtakes some of what was sent before.
                let sent = &mut connection.queues[1 - end];
                let kept = self.random.index(sent.len() + 1);
                sent.truncate(kept);
                self.send(id, end, Packet::Rst);
            } else {
                self.send(id, end, Packet::Fin);
            }
        }
        self.lines_are_gone(host, process);
        if self.service == Some((host, process)) {
            self.service = None;
        }
        self.attempts
            .retain(|_, it| (it.host, it.process) != (host, process));
    }

    // --- connects ---

    /// Who listens at an address, and with which process.
    pub fn listener(&self, address: SocketAddr) -> Result<usize, Option<usize>> {
        if address == service_address() {
            return self.service.map(|(host, _)| host).ok_or(None);
        }
        let host = self.hosts.iter().position(|it| it.address == address);
        match host {
            Some(host) if self.hosts[host].process.is_some() => Ok(host),
            Some(host) if self.listens_early(host) => Ok(host),
            other => Err(other),
        }
    }

    /// A process has begun that takes connections, and does not answer them yet.
    fn listens_early(&self, host: usize) -> bool {
        self.settings.broken.listens_early && self.hosts[host].starting.is_some()
    }

    /// A process connects to an address.
    pub fn dial(&mut self, host: usize, process: u64, address: SocketAddr) -> u64 {
        let attempt = self.number();
        self.attempts.insert(
            attempt,
            Attempt {
                host,
                process,
                address,
                reached: None,
                connection: None,
            },
        );
        let latency = self.latency();
        self.after(latency, Event::DialArrives { attempt });
        self.after(DIAL_TIME_MAX, Event::DialEnds { attempt });
        attempt
    }

    pub fn dial_arrives(&mut self, id: u64) {
        let Some(attempt) = self.attempts.get(&id) else {
            return;
        };
        let (from, address) = (attempt.host, attempt.address);
        let latency = self.latency();
        let refused = Event::DialAnswered {
            attempt: id,
            connection: None,
        };
        let to = match self.listener(address) {
            Ok(host) | Err(Some(host)) => host,
            Err(None) => return self.after(latency, refused),
        };
        if to == from {
            return self.after(10 * MICROSECOND, refused);
        }
        if self.is_blocked(from, to) {
            return;
        }
        if let Some(attempt) = self.attempts.get_mut(&id) {
            attempt.reached = Some(to);
        }
        let is_refused = self.network.is_refused(from, to) || self.listener(address).is_err();
        let connection = (!is_refused).then(|| self.connect(id, to));
        self.after(
            latency,
            Event::DialAnswered {
                attempt: id,
                connection,
            },
        );
    }

    fn connect(&mut self, id: u64, to: usize) -> u64 {
        let connection = self.number();
        let attempt = self.attempts.get_mut(&id).expect("it has just arrived");
        attempt.connection = Some(connection);
        let end = |host, process| End {
            host,
            process,
            is_open: true,
            is_up: false,
        };
        let running = self.hosts[to].process.as_ref().map(|it| it.number);
        let listening = running.or(self.hosts[to].starting).unwrap_or(0);
        self.network.connections.insert(
            connection,
            Connection {
                ends: [end(attempt.host, attempt.process), end(to, listening)],
                attempt: id,
                dialed: attempt.address,
                said: None,
                queues: [VecDeque::new(), VecDeque::new()],
                asleep_until: [0, 0],
            },
        );
        connection
    }

    pub fn dial_answered(&mut self, id: u64, connection: Option<u64>) {
        let Some(attempt) = self.attempts.get(&id) else {
            return;
        };
        let (host, process) = (attempt.host, attempt.process);
        if attempt.reached.is_some_and(|to| self.is_blocked(to, host)) {
            return;
        }
        let arrival = match connection {
            Some(connection) => Arrival::Connected { connection },
            None => Arrival::DialFailed {
                attempt: id,
                refused: true,
            },
        };
        self.arrived(host, process, arrival);
    }

    pub fn dial_ends(&mut self, id: u64) {
        if let Some(attempt) = self.attempts.get(&id) {
            let (host, process) = (attempt.host, attempt.process);
            let refused = false;
            self.arrived(
                host,
                process,
                Arrival::DialFailed {
                    attempt: id,
                    refused,
                },
            );
        }
    }
}
