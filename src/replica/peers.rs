//! Who are the others, and is there a link to them?
//!
//! Every server dials every other to which it has no link. When two links come up at once between the same two
//! processes, both sides keep the one that the server with the higher id has dialed, so that they
//! never close each other's choice. A link that ends is dialed again at once: the answer, or that
//! there is none, is evidence (see [`super::evidence`]).
//!
//! A link that is there and by which nothing comes is dialed anew, too, beside the old one: TCP's
//! exponential backoff makes a connection sleep for about as long again as the network was cut. The
//! new link takes the place of the old one as soon as it is up.
//!
//! A server that has come back at another address after everything was down is not where the others'
//! logs say. Whoever has a link to it tells the others where that is. Such hearsay is dialed, and proves
//! nothing: a refused connect counts only at the address that the server itself has named.

use std::net::SocketAddr;
use std::time::Duration;

use super::Replica;
use super::catch_up::Progress;
use super::face::{Config, Identity, LinkId, Output, Unwanted};
use super::pace::{Ban, Slowness};
use crate::limits::SERVERS_MAX;
use crate::types::{ClusterId, Incarnation, Lineage, Member, ServerId, ServerRecord, Time, View};
use crate::wire::peer::{PeerMessage, Report, Standing};

/// How long the server with the lower id leaves the first dial to the other.
const LOWER_WAITS: Duration = Duration::from_millis(50);
/// How far apart refused dials are that count as evidence.
pub(super) const REFUSALS_APART: Duration = Duration::from_millis(20);
/// How often a member is dialed that may be dead, as long as that can be proven: more often than
/// refusals count, so that a process that is restarted in the same rhythm is not missed each time.
const DIAL_URGENTLY: Duration = Duration::from_millis(7);
/// How often somebody is dialed who was there a moment ago.
const DIAL_AGAIN_SOON: Duration = Duration::from_millis(100);
/// How often somebody is dialed who has been away for long.
const DIAL_AGAIN: Duration = Duration::from_millis(250);
/// A link by which nothing has come for this many heartbeats is dialed anew. (TCP by itself sleeps no
/// longer than that after a shorter cut.)
const HEARTBEATS_MISSED: u32 = 10;
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
    /// The processes of its server that this one descends from: its newest ancestor, as its hello
    /// said, and all of them once it has said how it stands.
    pub descent: Vec<Incarnation>,
    /// The process before, and when the last message of that one came in.
    pub before: Option<(Incarnation, Time)>,
    /// When the last message of that process came in; `None` until there was one.
    pub heard: Option<Time>,
    /// When the newest Ping was sent that this process has echoed.
    pub echoed: Option<Time>,
    /// The newest process of it that may have ended: not the linked one.
    pub suspect: Option<Suspect>,
    /// Where others have a link to it, if that is not [`Self::address`].
    pub hearsay: Option<Contact>,
    /// The counter of the first process of it that was at this address.
    pub first_here: u64,
    /// Processes of it that are known to have ended, the newest of them.
    pub dead: Vec<DeadProcess>,
    /// Since when it is noted to be silent; `None` once something has come in.
    pub silent_since: Option<Time>,
    /// What this process last said of itself.
    pub report: Option<Report>,
    /// The views that it said it stands in.
    pub standing: Vec<View>,
    /// The processes that it said it is fresh with, and when it said so.
    pub fresh_with: (Vec<Member>, Time),
    /// It is about to end, or to give up its place.
    pub leaving: bool,
    /// Since when its disk is much slower than all others', while this server leads.
    pub slowness: Slowness,
    /// Whether it may be admitted again after it was excluded for its disk. It outlasts the
    /// process.
    pub ban: Ban,
    /// By how many milliseconds its wall clock is ahead of this server's clock of time that has passed, as it was
    /// last heard; `None` before it was.
    pub clock_ahead_ms: Option<i128>,
    /// How far it has this server's log; `None` unless this server leads, and it has answered.
    pub progress: Option<Progress>,
    /// Its next dial.
    pub dial: Dial,
}

/// A process that is known to have ended.
#[derive(Debug)]
pub(super) struct DeadProcess {
    /// The counter of the first process of its server that was at its address: what it continues,
    /// from that one on, ended before it. (A process elsewhere may run on a copy of the folder.)
    pub first_here: u64,
    pub process: Incarnation,
    /// The processes that it continued.
    pub descent: Vec<Incarnation>,
}

/// A process whose side has ended its link, by FIN or RST: is it dead?
#[derive(Clone, Copy, Debug)]
pub(super) struct Suspect {
    pub incarnation: Incarnation,
    /// Its own address.
    pub address: SocketAddr,
    /// As of its [`Peer`].
    pub first_here: u64,
    /// When the newest Ping was sent that it has echoed.
    pub echoed: Option<Time>,
    /// How old that may be: until then the process cannot have let a view begin without this server.
    pub fresh_for: Duration,
    /// How many dials to its address were refused since, far enough apart.
    pub refusals: u32,
    /// When the last of them was.
    pub refused_at: Option<Time>,
}

impl Suspect {
    /// Whether its death may still be proven.
    pub fn is_fresh(&self, now: Time) -> bool {
        let is_fresh = |at: Time| now.since(at) <= self.fresh_for;
        self.echoed.is_some_and(is_fresh)
    }
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

    /// An attempt has failed; `is_urgent`: the next one may prove that a member is dead.
    fn failed(&mut self, is_urgent: bool, now: Time) {
        self.under_way = false;
        self.failures += 1;
        let pause = match self.failures {
            _ if is_urgent => DIAL_URGENTLY,
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
            descent: Vec::new(),
            before: None,
            heard: None,
            echoed: None,
            suspect: None,
            hearsay: None,
            first_here: 0,
            dead: Vec::new(),
            silent_since: None,
            report: None,
            standing: Vec::new(),
            fresh_with: (Vec::new(), Time(0)),
            leaving: false,
            slowness: Slowness::default(),
            ban: Ban::default(),
            clock_ahead_ms: None,
            progress: None,
            dial: Dial::new(dial_at),
        }
    }

    /// Forgets what only concerned the process before.
    fn become_process(&mut self, incarnation: Incarnation, ancestor: Incarnation) {
        if let (Some(before), Some(heard)) = (self.incarnation, self.heard) {
            self.before = Some((before, heard));
        }
        self.incarnation = Some(incarnation);
        self.descent = match ancestor {
            Incarnation { counter: 0, .. } => Vec::new(),
            _ => vec![ancestor],
        };
        self.heard = None;
        self.echoed = None;
        self.silent_since = None;
        self.report = None;
        self.standing.clear();
        self.fresh_with = (Vec::new(), Time(0));
        self.leaving = false;
        self.slowness = Slowness::default();
    }

    /// The link, if it leads to this very process.
    pub fn link_to(&self, member: Member) -> Option<LinkId> {
        let (link, _) = self.link?;
        (self.incarnation == Some(member.incarnation)).then_some(link)
    }

    /// The process that may have ended, as long as that may be proven.
    fn examined(&self, now: Time) -> Option<Suspect> {
        self.suspect.filter(|suspect| suspect.is_fresh(now))
    }

    /// Who may have ended, now that the link has. A process that was not there for long has proven
    /// nothing of itself yet, and does not take the place of the one before it.
    fn suspected(&self, by_peer: bool, fresh_for: Duration, now: Time) -> Option<Suspect> {
        let last = Suspect {
            incarnation: self.incarnation?,
            address: self.address?,
            first_here: self.first_here,
            echoed: self.echoed,
            fresh_for,
            refusals: 0,
            refused_at: None,
        };
        if by_peer && last.is_fresh(now) {
            return Some(last);
        }
        let before = self.examined(now);
        before.or(Some(last).filter(|_| by_peer))
    }

    /// When the link is to be dialed anew, if nothing comes by it before; `since` is from when on
    /// silence counts at all.
    fn stale_at(&self, config: &Config, since: Time) -> Time {
        self.heard.unwrap_or(self.linked_at).max(since) + config.heartbeat * HEARTBEATS_MISSED
    }

    /// Whether the link works in both directions, as far as this server can tell. A peer may dial
    /// again although it is heard here: then its own half of the link sleeps, and the echoes of this
    /// server's Pings are missing, too.
    fn carries(&self, config: &Config, now: Time) -> bool {
        let is_recent = |at: Time| now.since(at) <= config.fresh;
        let is_echoed = is_recent(self.linked_at) || self.echoed.is_some_and(is_recent);
        now < self.stale_at(config, Time(0)) && is_echoed
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
            && entry.carries(&self.config, now)
        {
            return self.close(link, Some(Unwanted::Redundant));
        }
        let replaced = entry.link.take();
        if !is_same {
            entry.become_process(peer.incarnation, peer.ancestor);
        }
        if entry.address != Some(peer.address) {
            entry.first_here = peer.incarnation.counter;
        }
        entry.address = Some(peer.address);
        entry.cluster = peer.cluster;
        entry.link = Some((link, dialer));
        entry.linked_at = now;
        entry.heard = Some(now);
        entry.silent_since = None;
        entry.suspect = entry
            .suspect
            .filter(|suspect| suspect.incarnation != peer.incarnation);
        entry.hearsay = None;
        // If it speaks, its death was forged. Else one forged link after the other would kill
        // everybody here, and this server would go on alone.
        entry.dead.retain(|dead| dead.process != peer.incarnation);
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
        self.tell_addresses(peer.server, link);
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
            descent: self.vote.descent.clone(),
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
            // Of two servers that were forced apart from each other, one follows: which one is chance.
            let order = |lineage: Lineage| (lineage.counter, lineage.random);
            if order(me.lineage) > order(peer.lineage) {
                return Err(None); // It has our hello, too, and follows.
            }
            self.adopt_lineage(peer.lineage);
            return Ok(Accepted::Adopts);
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
            && !self.is_right_folder(peer)
        {
            return Err(Some(Unwanted::Twice));
        }
        Ok(Accepted::Welcome)
    }

    /// Everything was down, a process with an older copy of a server's folder is linked, and this one
    /// says that it continues the process that is waited for.
    fn is_right_folder(&self, peer: Identity) -> bool {
        let members = self.bases().flat_map(|view| &view.members);
        let mut awaited = members.filter(|member| member.server == peer.server);
        self.leader_id().is_none()
            && awaited.any(|it| it.incarnation == peer.ancestor && !self.peer_continues(*it))
    }

    /// A link has ended.
    pub(super) fn link_ended(&mut self, link: LinkId, by_peer: bool, now: Time) {
        self.joiners.remove(&link);
        let Some(server) = self.links.remove(&link) else {
            return;
        };
        let peer = self.peers.get(&server);
        let fresh_for = peer.map_or(Duration::ZERO, |peer| self.freshness_limit(peer));
        let Some(peer) = self.peers.get_mut(&server) else {
            return;
        };
        if peer.link.is_none_or(|(current, _)| current != link) {
            return;
        }
        peer.link = None;
        peer.progress = None;
        peer.suspect = peer.suspected(by_peer, fresh_for, now);
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
        // Nobody is to take this server any longer for one that hears the other.
        self.ping_all(now);
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
            peer.suspect = None;
            peer.dial = Dial::new(now);
        }
        self.following = None;
    }

    /// A dial has led to no link.
    pub(super) fn dial_failed(&mut self, address: SocketAddr, refused: bool, now: Time) {
        self.dial_is_over(address, now);
        if refused {
            for server in self.suspected_at(address) {
                self.refused_at(server, now);
            }
        }
    }

    /// A dial was answered by this process.
    fn dial_answered(&mut self, address: SocketAddr, by: Member, now: Time) {
        self.dial_is_over(address, now);
        for server in self.suspected_at(address) {
            self.answered_by(server, by, now);
        }
    }

    /// Whatever came of it, the next dial to an address comes after a pause, unless there is a link.
    fn dial_is_over(&mut self, address: SocketAddr, now: Time) {
        let hearsay = self.peers.values_mut().filter_map(|it| it.hearsay.as_mut());
        for contact in self.contacts.iter_mut().chain(hearsay) {
            if contact.address == address {
                contact.dial.failed(false, now);
            }
        }
        for peer in self.peers.values_mut() {
            let examined = peer.examined(now);
            let is_urgent = examined.is_some();
            if peer.address == Some(address) || examined.is_some_and(|it| it.address == address) {
                peer.dial.failed(is_urgent, now);
            }
        }
    }

    /// Servers of which a process was at this address that may have ended.
    fn suspected_at(&self, address: SocketAddr) -> Vec<ServerId> {
        let is_there = |peer: &Peer| peer.suspect.is_some_and(|it| it.address == address);
        let suspected = self.peers.iter().filter(|(_, peer)| is_there(peer));
        suspected.map(|(server, _)| *server).collect()
    }

    /// Lets go of processes of which it cannot be proven any more that they have ended.
    pub(super) fn forget_suspects(&mut self, now: Time) {
        for peer in self.peers.values_mut() {
            let is_kept = self.sabotage.no_freshness && peer.link.is_none();
            if !is_kept && peer.examined(now).is_none() {
                peer.suspect = None;
            }
        }
    }

    /// Tells a server that has just been linked where the others are, and the others where it is.
    fn tell_addresses(&mut self, server: ServerId, link: LinkId) {
        if self.sabotage.no_gossip {
            return;
        }
        let linked = self.peers.iter().filter_map(|(server, peer)| {
            let (link, _) = peer.link?;
            let record = ServerRecord {
                server: *server,
                address: peer.address?,
                incarnation: peer.incarnation?.counter,
            };
            Some((link, record))
        });
        let (new, others): (Vec<_>, Vec<_>) =
            linked.partition(|(_, record)| record.server == server);
        let is_new = new.into_iter().map(|(_, record)| record).collect();
        let told = others.iter().map(|(_, record)| *record);
        self.send_by(
            link,
            PeerMessage::Addresses(told.take(SERVERS_MAX).collect()),
        );
        let message = PeerMessage::Addresses(is_new);
        for (link, _) in others {
            self.send_by(link, message.clone());
        }
    }

    /// Another server has links to these. Where there is none from here, what it says is tried, too.
    pub(super) fn told_addresses(&mut self, servers: &[ServerRecord], now: Time) {
        for record in servers {
            // What is known of others is enough for every server that may be waited for.
            if let Some(peer) = self.peers.get_mut(&record.server)
                && peer.link.is_none()
                && peer.address != Some(record.address)
                && peer.hearsay.as_ref().map(|it| it.address) != Some(record.address)
            {
                peer.hearsay = Some(Contact {
                    address: record.address,
                    dial: Dial::new(now),
                });
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
                let is_examined = peer.suspect.is_some_and(|it| it.address == address);
                peer.dial.under_way |= peer.address == Some(address) || is_examined;
            }
            let hearsay = self.peers.values_mut().filter_map(|it| it.hearsay.as_mut());
            for contact in self.contacts.iter_mut().chain(hearsay) {
                contact.dial.under_way |= contact.address == address;
            }
            self.outputs.push_back(Output::Dial(address));
        }
    }

    /// When the next dial is due.
    pub(super) fn next_dial(&self) -> Option<Time> {
        self.to_dial().map(|(_, at)| at).min()
    }

    /// Who is to be dialed, and when: every server without a link, or with one that is silent; the
    /// address of a process that may have ended, although a later one has a link; and, as long as nobody
    /// is known to lead, the addresses where somebody may be found.
    fn to_dial(&self) -> impl Iterator<Item = (SocketAddr, Time)> {
        let peers = self.peers.values().filter_map(|peer| {
            let mut dial = peer.dial;
            let suspect = peer.suspect.map(|it| it.address);
            if peer.link.is_some() && suspect.is_none() {
                if self.sabotage.sleeping_links {
                    return None;
                }
                let stale_at = peer.stale_at(&self.config, self.silence_counts_from);
                dial.at = dial.at.max(stale_at);
            }
            Some((suspect.or(peer.address)?, dial))
        });
        let knows_leader = self.leader_id().is_some();
        let is_known = |address| self.peers.values().any(|p| p.address == Some(address));
        let contacts = self
            .contacts
            .iter()
            .filter(move |contact| !knows_leader && !is_known(contact.address));
        let hearsay = self.peers.values().filter_map(|peer| peer.hearsay.as_ref());
        let elsewhere = contacts
            .chain(hearsay)
            .map(|contact| (contact.address, contact.dial));
        peers
            .chain(elsewhere)
            .filter(|(address, dial)| !dial.under_way && *address != self.identity.address)
            .map(|(address, dial)| (address, dial.at))
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
