//! Who are the others, and is there a link to them?
//!
//! Everybody dials everybody to whom there is no link. When two links come up between the same two
//! processes, both sides keep the one that the server with the higher id has dialed, so that they
//! never close each other's choice. A link that ends is dialed again at once: the answer, or that
//! there is none, is evidence (see [`super::evidence`]).

use std::net::SocketAddr;
use std::time::Duration;

use super::catch_up::Progress;
use super::face::{Identity, LinkId, Output, Unwanted};
use super::{Joiner, Replica};
use crate::limits::SERVERS_MAX;
use crate::types::{ClusterId, ClusterOp, Incarnation, Member, ServerId, ServerRecord, Time, View};
use crate::wire::peer::{PeerMessage, Report, Standing};

/// How long the server with the lower id leaves the first dial to the other.
const LOWER_WAITS: Duration = Duration::from_millis(50);
/// How far apart refused dials are that count as evidence.
pub(super) const REFUSALS_APART: Duration = Duration::from_millis(20);
/// How often somebody is dialed who was there a moment ago.
const DIAL_AGAIN_SOON: Duration = Duration::from_millis(100);
/// How often somebody is dialed who has been away for long.
const DIAL_AGAIN: Duration = Duration::from_millis(500);
/// A link by which nothing has come for so long makes way for a new one, which shows that the
/// other side has lost it.
const STALE_AFTER: Duration = Duration::from_millis(500);
/// When somebody has been away for long.
const AWAY_LONG: u32 = 20;

/// Another server.
#[derive(Debug)]
pub(super) struct Peer {
    /// Where it is reached: what its newest hello said, else what the log says.
    pub address: Option<SocketAddr>,
    /// The cluster that it said it belongs to.
    pub cluster: ClusterId,
    /// The link to it, with who has dialed it.
    pub link: Option<(LinkId, ServerId)>,
    /// When that came up, or the last one did.
    pub linked_at: Time,
    /// The newest process of it that there was a link to.
    pub incarnation: Option<Incarnation>,
    /// When the last message of that process came in; `None` until there was one.
    pub heard: Option<Time>,
    /// When the newest Ping was sent that this process has echoed.
    pub echoed: Option<Time>,
    /// How the last link to this process has ended; `None` while there is one.
    pub ended: Option<Ended>,
    /// The counter of the first process of it that was at this address.
    pub first_here: u64,
    /// Processes of it that are known to have ended, the newest of them: each with the counter of the
    /// first one at its address, which ended before it. (One elsewhere may run on a copy.)
    pub dead: Vec<(u64, Incarnation)>,
    /// It was noted to be silent.
    pub noted_silent: bool,
    /// What this process last said of itself.
    pub report: Option<Report>,
    /// The views that it said it stands in.
    pub standing: Vec<View>,
    /// Whom it said it is fresh with, and when it said so.
    pub fresh_with: (Vec<ServerId>, Time),
    /// It is about to end, or wants to be fed anew: the view is to go on without this process of it.
    pub leaving: bool,
    /// By how many milliseconds its wall clock is ahead of this server's clock of time that has passed, as it was
    /// last heard; `None` before it was.
    pub clock_ahead_ms: Option<i128>,
    /// How far it has this server's log; `None` unless this server leads, and it has answered.
    pub progress: Option<Progress>,
    /// Its next dial.
    pub dial: Dial,
}

/// How a link has ended.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ended {
    /// By FIN or RST.
    pub by_peer: bool,
    /// How many dials were refused since, far enough apart.
    pub refusals: u32,
    /// When the last of them was.
    pub refused_at: Option<Time>,
}

/// When an address is dialed next.
#[derive(Clone, Copy, Debug)]
pub(super) struct Dial {
    pub at: Time,
    /// An attempt is under way.
    pub under_way: bool,
    /// Attempts that have failed in a row.
    pub failures: u32,
}

impl Dial {
    pub fn new(at: Time) -> Self {
        Self {
            at,
            under_way: false,
            failures: 0,
        }
    }

    fn failed(&mut self, now: Time) {
        self.under_way = false;
        self.failures += 1;
        let pause = match self.failures {
            0..=3 => REFUSALS_APART + Duration::from_millis(1),
            4..AWAY_LONG => DIAL_AGAIN_SOON,
            AWAY_LONG.. => DIAL_AGAIN,
        };
        self.at = now + pause;
    }
}

/// An address where somebody of the cluster may be found.
#[derive(Debug)]
pub(super) struct Contact {
    pub address: SocketAddr,
    pub dial: Dial,
}

impl Peer {
    fn new(address: Option<SocketAddr>, dial_at: Time) -> Self {
        Self {
            address,
            cluster: ClusterId(0),
            link: None,
            linked_at: Time(0),
            incarnation: None,
            heard: None,
            echoed: None,
            ended: None,
            first_here: 0,
            dead: Vec::new(),
            noted_silent: false,
            report: None,
            standing: Vec::new(),
            fresh_with: (Vec::new(), Time(0)),
            leaving: false,
            clock_ahead_ms: None,
            progress: None,
            dial: Dial::new(dial_at),
        }
    }

    /// Forgets what only concerned the process before.
    fn become_process(&mut self, incarnation: Incarnation) {
        self.incarnation = Some(incarnation);
        self.heard = None;
        self.echoed = None;
        self.noted_silent = false;
        self.report = None;
        self.standing.clear();
        self.fresh_with = (Vec::new(), Time(0));
        self.leaving = false;
    }

    /// The link, if it leads to this very process.
    pub fn link_to(&self, member: Member) -> Option<LinkId> {
        let (link, _) = self.link?;
        (self.incarnation == Some(member.incarnation)).then_some(link)
    }

    /// The process at the other end of the link.
    pub fn process(&self, server: ServerId) -> Option<Member> {
        self.link?;
        let incarnation = self.incarnation?;
        Some(Member {
            server,
            incarnation,
        })
    }
}

impl Replica {
    /// A link has come up: it is kept, or closed with a reason.
    pub(super) fn link_up(
        &mut self,
        link: LinkId,
        peer: Identity,
        dialed: Option<SocketAddr>,
        now: Time,
    ) {
        if let Some(address) = dialed {
            self.dial_answered(address, peer.member(), now);
        }
        match self.accept(peer, now) {
            Err(why) => return self.close(link, why),
            Ok(Accepted::Adopts) => return self.close(link, None),
            Ok(Accepted::Welcome) => {}
        }
        if peer.server == ServerId(0) {
            return self.joiner_up(link, peer);
        }
        let me = self.identity.server;
        let dialer = if dialed.is_some() { me } else { peer.server };
        let entry = self
            .peers
            .entry(peer.server)
            .or_insert_with(|| Peer::new(None, now));
        let is_same = entry.incarnation == Some(peer.incarnation);
        let higher = me.max(peer.server);
        if let Some((_, other)) = entry.link
            && is_same
            && (other == higher || dialer != higher)
            && entry.heard.is_some_and(|at| now.since(at) < STALE_AFTER)
        {
            return self.close(link, Some(Unwanted::Redundant));
        }
        let replaced = entry.link.take();
        if !is_same {
            entry.become_process(peer.incarnation);
        }
        if entry.address != Some(peer.address) {
            entry.first_here = peer.incarnation.counter;
        }
        entry.address = Some(peer.address);
        entry.cluster = peer.cluster;
        entry.link = Some((link, dialer));
        entry.linked_at = now;
        entry.heard = Some(now);
        entry.ended = None;
        // If it speaks, its death was forged. Else one forged link after the other would kill
        // everybody here, and this server would go on alone.
        entry.dead.retain(|(_, last)| *last != peer.incarnation);
        entry.progress = None;
        entry.dial = Dial::new(now);
        self.links.insert(link, peer.server);
        if let Some((other, _)) = replaced {
            self.close(other, Some(Unwanted::Redundant));
        }
        if self
            .following
            .as_ref()
            .is_some_and(|f| f.leader == peer.server)
        {
            self.following = None;
        }
        self.greet(peer.server, link, now);
        self.note_address(peer.server, peer.address);
        self.unsettled = true;
    }

    /// Tells a server that has just been linked what it has to know.
    fn greet(&mut self, server: ServerId, link: LinkId, now: Time) {
        self.send_ping(server, now);
        let standing = self.my_standing();
        self.send_by(link, PeerMessage::Standing(standing));
        if let Some(lead) = self.lead_message() {
            self.send_by(link, PeerMessage::Lead(lead));
        }
        if self.leaving || self.gave_way {
            self.send_by(link, PeerMessage::Leave);
        }
    }

    /// What this server stands in, for others.
    pub(super) fn my_standing(&self) -> Standing {
        Standing {
            views: self.log.standing().cloned().collect(),
            report: self.report(),
        }
    }

    /// Whether a peer may have a link.
    fn accept(&mut self, peer: Identity, now: Time) -> Result<Accepted, Option<Unwanted>> {
        let me = self.identity;
        let both = me.cluster.0 != 0 && peer.cluster.0 != 0;
        if both && me.cluster != peer.cluster {
            return Err(Some(Unwanted::OtherCluster));
        }
        if both && me.lineage != peer.lineage {
            return match me.lineage.counter.cmp(&peer.lineage.counter) {
                std::cmp::Ordering::Equal => Err(Some(Unwanted::OtherLineage)),
                // It has our hello, too, and follows.
                std::cmp::Ordering::Greater => Err(None),
                std::cmp::Ordering::Less => {
                    self.adopt_lineage(peer.lineage);
                    Ok(Accepted::Adopts)
                }
            };
        }
        if peer.server == ServerId(0) {
            return Ok(Accepted::Welcome);
        }
        if peer.server == me.server {
            return Err(Some(Unwanted::Twice));
        }
        if let Some(known) = self.peers.get(&peer.server)
            && known.link.is_some()
            && known.incarnation.is_some_and(|i| i != peer.incarnation)
            && known
                .heard
                .is_some_and(|at| now.since(at) <= self.config.grace)
        {
            return Err(Some(Unwanted::Twice));
        }
        Ok(Accepted::Welcome)
    }

    /// A link has ended.
    pub(super) fn link_ended(&mut self, link: LinkId, by_peer: bool, now: Time) {
        self.joiners.remove(&link);
        let Some(server) = self.links.remove(&link) else {
            return;
        };
        let Some(peer) = self.peers.get_mut(&server) else {
            return;
        };
        if peer.link.is_none_or(|(current, _)| current != link) {
            return;
        }
        peer.link = None;
        peer.progress = None;
        peer.ended = Some(Ended {
            by_peer,
            refusals: 0,
            refused_at: None,
        });
        peer.dial = Dial {
            under_way: peer.dial.under_way,
            // At once, but not again and again to one that takes no link from here.
            ..Dial::new(now.max(peer.linked_at + DIAL_AGAIN_SOON))
        };
        if self.following.as_ref().is_some_and(|f| f.leader == server) {
            self.following = None;
        }
        self.unsettled = true;
        self.dial_those_due(now);
    }

    /// Closes a link.
    pub(super) fn close(&mut self, link: LinkId, why: Option<Unwanted>) {
        self.links.remove(&link);
        self.joiners.remove(&link);
        self.outputs.push_back(Output::Close { link, why });
    }

    /// Closes all links: this server is another process from now on.
    pub(super) fn close_all(&mut self, now: Time) {
        let links: Vec<LinkId> = self.links.keys().copied().collect();
        for link in links {
            self.close(link, None);
        }
        for joiner in std::mem::take(&mut self.joiners).into_keys() {
            self.outputs.push_back(Output::Close {
                link: joiner,
                why: None,
            });
        }
        for peer in self.peers.values_mut() {
            peer.link = None;
            peer.progress = None;
            // What was heard as another process proves nothing about this one's links.
            peer.echoed = None;
            peer.ended = None;
            peer.dial = Dial::new(now);
        }
        self.following = None;
    }

    /// A dial has led to no link.
    pub(super) fn dial_failed(&mut self, address: SocketAddr, refused: bool, now: Time) {
        for contact in &mut self.contacts {
            if contact.address == address && contact.dial.under_way {
                contact.dial.failed(now);
            }
        }
        let concerned: Vec<ServerId> = self
            .peers
            .iter()
            .filter(|(_, peer)| peer.address == Some(address))
            .map(|(server, _)| *server)
            .collect();
        for server in concerned {
            if let Some(peer) = self.peers.get_mut(&server) {
                peer.dial.failed(now);
            }
            if refused {
                self.refused_at(server, now);
            }
        }
    }

    /// A dial was answered by this process.
    fn dial_answered(&mut self, address: SocketAddr, by: Member, now: Time) {
        for contact in &mut self.contacts {
            if contact.address == address {
                contact.dial.failed(now);
            }
        }
        let concerned: Vec<ServerId> = self
            .peers
            .iter()
            .filter(|(_, peer)| peer.address == Some(address))
            .map(|(server, _)| *server)
            .collect();
        for server in concerned {
            self.answered_by(server, by, now);
            if let Some(peer) = self.peers.get_mut(&server) {
                peer.dial.failed(now);
            }
        }
    }

    /// Makes sure that every server that has an id is known, and dialed.
    pub(super) fn know_servers(&mut self, servers: &[ServerRecord], now: Time) {
        let me = self.identity.server;
        for record in servers.iter().filter(|record| record.server != me) {
            let dial_at = if record.server > me && me != ServerId(0) {
                now + LOWER_WAITS
            } else {
                now
            };
            let peer = self
                .peers
                .entry(record.server)
                .or_insert_with(|| Peer::new(Some(record.address), dial_at));
            if peer.link.is_none() {
                peer.address = Some(record.address);
            }
        }
    }

    /// Dials everybody whose time has come.
    pub(super) fn dial_those_due(&mut self, now: Time) {
        let due: Vec<SocketAddr> = self
            .to_dial()
            .filter(|(_, at)| *at <= now)
            .map(|(address, _)| address)
            .collect();
        for address in due {
            for peer in self.peers.values_mut() {
                peer.dial.under_way |= peer.address == Some(address) && peer.link.is_none();
            }
            for contact in &mut self.contacts {
                contact.dial.under_way |= contact.address == address;
            }
            self.outputs.push_back(Output::Dial(address));
        }
    }

    /// When the next dial is due.
    pub(super) fn next_dial(&self) -> Option<Time> {
        self.to_dial().map(|(_, at)| at).min()
    }

    /// Who is to be dialed, and when: every server without a link, and, as long as nobody is known
    /// to lead, the addresses where somebody may be found.
    fn to_dial(&self) -> impl Iterator<Item = (SocketAddr, Time)> {
        let peers = self.peers.values().filter(|peer| peer.link.is_none());
        let peers = peers.filter_map(|peer| Some((peer.address?, peer.dial)));
        let knows_leader = self.leader_id().is_some();
        let is_known = |address| self.peers.values().any(|p| p.address == Some(address));
        let contacts = self
            .contacts
            .iter()
            .filter(move |contact| !knows_leader && !is_known(contact.address))
            .map(|contact| (contact.address, contact.dial));
        peers
            .chain(contacts)
            .filter(|(address, dial)| !dial.under_way && *address != self.identity.address)
            .map(|(address, dial)| (address, dial.at))
    }

    /// A server without an id wants one: the primary gives it. It has looked for the primary at
    /// several addresses at once, and may come by as many links, also after it was told: it gets
    /// one id.
    fn joiner_up(&mut self, link: LinkId, peer: Identity) {
        let process = peer.incarnation;
        let joiner = Joiner {
            address: peer.address,
            process,
            given: None,
        };
        self.joiners.insert(link, joiner);
        if let Some(lead) = self.lead_message() {
            self.send_by(link, PeerMessage::Lead(lead));
        }
        self.take_in_joiners();
        self.welcome_joiners();
    }

    /// Gives ids to those who wait for one, if this server leads.
    pub(super) fn take_in_joiners(&mut self) {
        if !self.is_primary() || self.identity.server == ServerId(0) {
            return;
        }
        let waiting: Vec<(LinkId, SocketAddr, Incarnation)> = self
            .joiners
            .iter()
            .filter(|(_, joiner)| joiner.given.is_none())
            .map(|(link, joiner)| (*link, joiner.address, joiner.process))
            .collect();
        for (link, address, process) in waiting {
            let given = self.given_to(process);
            let Some(server) = given.or_else(|| self.next_server_id()) else {
                self.close(link, Some(Unwanted::TooMany));
                continue;
            };
            if let Some(joiner) = self.joiners.get_mut(&link) {
                joiner.given = Some(server);
            }
            if given.is_none() {
                self.ids_given.push_back((process, server));
                if self.ids_given.len() > SERVERS_MAX {
                    self.ids_given.pop_front();
                }
            }
            // Also if it is on its way already: it says the same again.
            if self.record(server).is_none() {
                self.append_cluster_op(ClusterOp::Join { server, address });
            }
        }
        self.welcome_joiners();
    }

    /// The id that a process was given here, if it was.
    fn given_to(&self, process: Incarnation) -> Option<ServerId> {
        let mut given = self.ids_given.iter();
        let (_, server) = given.find(|(other, _)| *other == process)?;
        Some(*server)
    }

    /// An id that no server ever had, unless there are too many servers. (Whoever is forgotten
    /// makes way for one with a higher id, so the highest never falls.)
    fn next_server_id(&self) -> Option<ServerId> {
        let cluster = self.cluster.as_ref()?;
        let given = self.ids_given.iter().map(|(_, server)| *server);
        let known = cluster.servers.iter().map(|record| record.server);
        let highest = known.chain(given).max().unwrap_or_default();
        let is_full = cluster.servers.len() >= SERVERS_MAX;
        (!is_full && highest.0 < u16::MAX).then(|| ServerId(highest.0 + 1))
    }

    /// The primary keeps the addresses in the log up to date.
    pub(super) fn note_address(&mut self, server: ServerId, address: SocketAddr) {
        if !self.is_primary() {
            return;
        }
        match self.record(server) {
            Some(record) if record.address == address => {}
            Some(_) => self.append_cluster_op(ClusterOp::Move { server, address }),
            // It was forgotten for another one at its address, and is there all the same.
            None => self.append_cluster_op(ClusterOp::Join { server, address }),
        }
    }

    /// What the log says of a server.
    pub(super) fn record(&self, server: ServerId) -> Option<ServerRecord> {
        let servers = &self.cluster.as_ref()?.servers;
        let at = servers.binary_search_by_key(&server, |record| record.server);
        at.ok().map(|at| servers[at])
    }

    /// Sends by a link.
    pub(super) fn send_by(&mut self, link: LinkId, message: PeerMessage) {
        self.outputs.push_back(Output::Send { link, message });
    }

    /// Sends to a server, if there is a link to it.
    pub(super) fn send_to(&mut self, server: ServerId, message: PeerMessage) {
        if let Some((link, _)) = self.peers.get(&server).and_then(|peer| peer.link) {
            self.send_by(link, message);
        }
    }

    /// Sends to every server that there is a link to.
    pub(super) fn send_to_all(&mut self, message: &PeerMessage) {
        let links: Vec<LinkId> = self.links.keys().copied().collect();
        for link in links {
            self.send_by(link, message.clone());
        }
    }
}

/// What becomes of a link.
enum Accepted {
    /// It is used.
    Welcome,
    /// This server follows another lineage from now on, and begins anew with its links.
    Adopts,
}
