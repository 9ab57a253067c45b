//! What comes through between a client and a server, and when?
//!
//! A line is two ordered queues of bytes, as TCP makes them. It leads to the process that listens at
//! the dialed address when the first packet arrives there: at the service's address that is whoever
//! has bound it. The kernel takes it up, so that a paused process has lines, too, on which it says
//! nothing. A host that stands still, has no power or is cut off from the clients is silent; what
//! was sent to it comes when it is back. Clients are nowhere in particular: who is cut off from the
//! other servers still hears them.

use std::collections::VecDeque;
use std::net::SocketAddr;

use lastword::client::failover::LinkId;

use super::process::Arrival;
use super::settings::MILLISECOND;
use super::world::{Event, World};

/// The ends of a line.
pub const CLIENT: usize = 0;
pub const SERVER: usize = 1;

/// A connection between a client and a server.
pub struct Line {
    pub client: usize,
    /// As the client calls it.
    link: LinkId,
    dialed: SocketAddr,
    /// The host and the process that it leads to, once it has arrived there.
    server: Option<(usize, u64)>,
    /// Nobody at this end has closed it, and whoever was there lives.
    is_open: [bool; 2],
    /// What is on its way to each end, and when it is due.
    queues: [VecDeque<(u64, Parcel)>; 2],
}

/// What goes over a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Parcel {
    /// The line is asked for, or there.
    Syn,
    Bytes(Vec<u8>),
    Fin,
    Rst,
}

impl World {
    /// A client connects to an address.
    pub fn call(&mut self, client: usize, link: LinkId, dialed: SocketAddr) -> u64 {
        let id = self.number();
        let line = Line {
            client,
            link,
            dialed,
            server: None,
            is_open: [true, true],
            queues: [VecDeque::new(), VecDeque::new()],
        };
        self.lines.insert(id, line);
        self.send_parcel(id, SERVER, Parcel::Syn);
        id
    }

    /// Puts something on its way to an end, behind everything that is.
    pub fn send_parcel(&mut self, id: u64, end: usize, parcel: Parcel) {
        let (low, high) = self.settings.latency;
        let latency = self.random.between(low, high);
        let now = self.now;
        let Some(line) = self.lines.get_mut(&id) else {
            return;
        };
        let queue = &mut line.queues[end];
        let last = queue.back().map_or(0, |(due, _)| *due);
        let due = last.max(now + latency);
        queue.push_back((due, parcel));
        self.at(due, Event::LineDelivers { line: id, end });
    }

    /// Who is at an end closes it, behind what was said, or in a way that takes some of that along.
    pub fn close_line(&mut self, id: u64, end: usize) {
        let is_reset = self.random.percent(30);
        let Some(line) = self.lines.get_mut(&id) else {
            return;
        };
        if !line.is_open[end] {
            return;
        }
        line.queues[end].clear();
        if !line.is_open[1 - end] {
            return self.leave_line(id, end);
        }
        line.is_open[end] = false;
        if is_reset {
            let sent = &mut line.queues[1 - end];
            let kept = self.random.index(sent.len() + 1);
            sent.truncate(kept);
            self.send_parcel(id, 1 - end, Parcel::Rst);
        } else {
            self.send_parcel(id, 1 - end, Parcel::Fin);
        }
    }

    /// Where a line leads to, or would: `None` if nobody is there who could even refuse it.
    fn line_host(&self, line: &Line) -> Option<usize> {
        match line.server {
            Some((host, _)) => Some(host),
            None => self.listener(line.dialed).map_or_else(|host| host, Some),
        }
    }

    fn is_line_blocked(&self, line: &Line, end: usize) -> bool {
        let Some(host) = self.line_host(line) else {
            return false;
        };
        let is_away = |it: &super::host::Host| it.is_suspended || end == SERVER && !it.has_power;
        self.clients_cut[host] > 0 || is_away(&self.hosts[host])
    }

    /// Hands over what is due at an end, unless the way is closed.
    pub fn line_delivers(&mut self, id: u64, end: usize) {
        loop {
            let Some(line) = self.lines.get(&id) else {
                return;
            };
            let is_due = line.queues[end]
                .front()
                .is_some_and(|(due, _)| *due <= self.now);
            if !is_due || self.is_line_blocked(line, end) {
                return;
            }
            let line = self.lines.get_mut(&id).expect("looked at");
            let Some((_, parcel)) = line.queues[end].pop_front() else {
                return;
            };
            if end == CLIENT {
                self.arrives_at_client(id, parcel);
            } else {
                self.arrives_at_server(id, parcel);
            }
        }
    }

    fn arrives_at_client(&mut self, id: u64, parcel: Parcel) {
        let line = &self.lines[&id];
        let (client, link, is_open) = (line.client, line.link, line.is_open[CLIENT]);
        let is_end = matches!(parcel, Parcel::Fin | Parcel::Rst);
        if is_end {
            self.leave_line(id, CLIENT);
        } else if !is_open {
            // Nobody is there any more: the client's kernel says so.
            return self.send_parcel(id, SERVER, Parcel::Rst);
        }
        if is_open {
            self.client_hears(client, link, parcel);
        }
    }

    fn arrives_at_server(&mut self, id: u64, parcel: Parcel) {
        let line = &self.lines[&id];
        if parcel == Parcel::Syn {
            return self.take_line_up(id);
        }
        let is_open = line.is_open[SERVER];
        let lives = line.server.filter(|(host, process)| {
            let running = self.hosts[*host].process.as_ref();
            is_open && running.is_some_and(|it| it.number == *process)
        });
        let is_end = matches!(parcel, Parcel::Fin | Parcel::Rst);
        if parcel == Parcel::Rst || lives.is_none() {
            self.leave_line(id, SERVER);
        }
        match lives {
            Some((host, process)) => {
                self.arrived(host, process, Arrival::Line { line: id, parcel });
            }
            None if !is_end => self.send_parcel(id, CLIENT, Parcel::Rst),
            None => {}
        }
    }

    /// The kernel of whoever listens answers a connect.
    fn take_line_up(&mut self, id: u64) {
        let host = self.listener(self.lines[&id].dialed).ok();
        let process = host.and_then(|host| self.hosts[host].process.as_ref());
        let server = host.zip(process.map(|it| it.number));
        if let Some(line) = self.lines.get_mut(&id) {
            line.server = server;
        }
        if server.is_some() {
            return self.send_parcel(id, CLIENT, Parcel::Syn);
        }
        self.send_parcel(id, CLIENT, Parcel::Rst);
        self.leave_line(id, SERVER);
    }

    /// Nobody is at this end any more. Of a line with nobody at either end nothing is left.
    fn leave_line(&mut self, id: u64, end: usize) {
        if let Some(line) = self.lines.get_mut(&id) {
            line.is_open[end] = false;
            if line.is_open == [false; 2] {
                self.lines.remove(&id);
            }
        }
    }

    /// A process has ended: its host ends its lines, if it still can.
    pub fn lines_are_gone(&mut self, host: usize, process: u64) {
        let is_its = |line: &Line| line.server == Some((host, process)) && line.is_open[SERVER];
        let ids: Vec<u64> = self
            .lines
            .iter()
            .filter_map(|(id, line)| is_its(line).then_some(*id))
            .collect();
        for id in ids {
            if self.hosts[host].has_power {
                self.close_line(id, SERVER);
            } else {
                // Nobody says so before the host is back and is asked something.
                self.leave_line(id, SERVER);
            }
        }
    }

    /// Something between them resets lines: all that lead to a host, or some.
    pub fn break_lines(&mut self, host: usize, share_percent: u64) {
        let ids: Vec<u64> = self
            .lines
            .iter()
            .filter(|(_, line)| line.server.is_some_and(|(it, _)| it == host))
            .map(|(id, _)| *id)
            .collect();
        for id in ids {
            if !self.random.percent(share_percent) {
                continue;
            }
            for end in [CLIENT, SERVER] {
                let line = self.lines.get_mut(&id).expect("it was there");
                if line.is_open[end] {
                    line.queues[end].clear();
                    line.queues[end].push_back((self.now, Parcel::Rst));
                    self.after(0, Event::LineDelivers { line: id, end });
                }
            }
        }
    }

    /// Nothing goes between a host and the clients.
    pub fn cut_clients(&mut self, host: usize) {
        self.say(|| format!("  cut clients - {}", host + 1));
        self.clients_cut[host] += 1;
    }

    pub fn mend_clients(&mut self, host: usize) {
        self.say(|| format!("  mend clients - {}", host + 1));
        self.clients_cut[host] = self.clients_cut[host].saturating_sub(1);
        if self.clients_cut[host] == 0 {
            self.lines_go_on(host);
        }
    }

    /// What waited for the way to a host, or from it, is sent again before long.
    pub fn lines_go_on(&mut self, host: usize) {
        let waiting: Vec<(u64, usize)> = self
            .lines
            .iter()
            .filter(|(_, line)| self.line_host(line) == Some(host))
            .flat_map(|(id, line)| [(*id, CLIENT, line), (*id, SERVER, line)])
            .filter(|(_, end, line)| !line.queues[*end].is_empty())
            .map(|(id, end, _)| (id, end))
            .collect();
        for (line, end) in waiting {
            let delay = self.random.below(200 * MILLISECOND);
            self.after(delay, Event::LineDelivers { line, end });
        }
    }
}
