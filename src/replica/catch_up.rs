//! How does everybody get the primary's log?
//!
//! Members after a change of view and learners alike: who leads says so (Lead), the other says how
//! its log is (LogState), and is sent what follows their common prefix (Prepare); what stands
//! elsewhere in its log is cut off. Ops come from memory, or from the journal if they are older, or
//! after a snapshot if the journal does not go back that far. Nobody waits for it but the learner.
//!
//! A learner that has nearly caught up and is fresh with every member is admitted: by a new view.
//! It has to have acknowledged the View op of the view that it was left out of: before, it could
//! still stand for the view before that, and as soon as it is proposed as a member its Pings are
//! echoed again.

use std::net::SocketAddr;
use std::time::Duration;

use super::face::{LinkId, Note, Output};
use super::log::Log;
use super::{Leading, Replica};
use crate::limits::{LEARNER_LAG_BYTES_MAX, LEARNER_WINDOW_BYTES, MEMBERS_MAX};
use crate::types::{Cluster, Lineage, LogPosition, Member, OpNumber, ServerId, Time, Vote};
use crate::wire::peer::{LogState, PeerMessage};
use crate::wire::prepare::Entry;

/// How far a peer has the log of the server that leads.
#[derive(Debug)]
pub(super) struct Progress {
    /// The last op that it was sent, or is known to have.
    sent: LogPosition,
    /// The last op that it has acknowledged.
    pub on_disk: OpNumber,
    /// When it acknowledged something last, or had nothing to acknowledge.
    acknowledged_at: Time,
    feeding: Feeding,
    /// Bytes that are on their way, or waiting at the peer, each with the last op of its message.
    under_way: std::collections::VecDeque<(OpNumber, usize)>,
    bytes_under_way: usize,
}

/// Where a peer's ops come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Feeding {
    /// From memory, as they are appended.
    Live,
    /// From the journal: the driver is reading them.
    Fetching,
    /// It gets a snapshot, and says how its log is when it has it.
    Snapshot,
}

impl Progress {
    fn new(common: LogPosition, now: Time) -> Self {
        Self {
            sent: common,
            on_disk: common.op,
            acknowledged_at: now,
            feeding: Feeding::Live,
            under_way: std::collections::VecDeque::new(),
            bytes_under_way: 0,
        }
    }

    /// Everything up to `op` is on the peer's disk.
    pub fn acknowledged(&mut self, op: OpNumber, now: Time) {
        if op > self.on_disk {
            self.on_disk = op;
            self.acknowledged_at = now;
        }
        while let Some((_, bytes)) = self.under_way.pop_front_if(|(last, _)| *last <= op) {
            self.bytes_under_way -= bytes;
        }
    }

    /// Whether something can be sent now that was not.
    pub fn wants_more(&self, head: OpNumber) -> bool {
        self.feeding == Feeding::Live
            && self.sent.op < head
            && self.bytes_under_way < LEARNER_WINDOW_BYTES
    }

    /// It has had something to acknowledge for longer than `patience`, and what came in before
    /// `read_since` was read.
    pub fn is_lagging(&self, now: Time, read_since: Time, patience: Duration) -> bool {
        let since = self.acknowledged_at.max(read_since);
        self.on_disk < self.sent.op && now.since(since) > patience
    }

    fn was_sent(&mut self, last: LogPosition, bytes: usize, now: Time) {
        if self.on_disk == self.sent.op {
            self.acknowledged_at = now;
        }
        self.sent = last;
        self.under_way.push_back((last.op, bytes));
        self.bytes_under_way += bytes;
    }
}

impl Replica {
    /// Tells the primary how this log is.
    /// (That it has something is an acknowledgement, too.)
    pub(super) fn send_log_state(&mut self, leader: ServerId) {
        if self.following.is_none() || !self.may_acknowledge() {
            return;
        }
        let Some(following) = &self.following else {
            return;
        };
        let is_of_lineage = self
            .view()
            .is_none_or(|view| view.lineage == self.identity.lineage);
        // Positions say nothing across lineages: an old copy that was forced to lead may have given
        // numbers again that stand for other ops here. All of it is replaced then.
        // And a store that is damaged is replaced, though the log is the primary's.
        let (applied, views) = match is_of_lineage && !self.wants_snapshot() {
            true => (self.log.commit(), self.log.marks_on_disk()),
            false => (self.log.head(), Vec::new()),
        };
        let state = LogState {
            view: following.view.number,
            last: self.log.last(),
            applied,
            views,
        };
        self.send_to(leader, PeerMessage::LogState(state));
    }

    /// A peer says how its log is: it is sent what follows the common prefix.
    pub(super) fn log_state(&mut self, server: ServerId, state: LogState, now: Time) {
        if self.leading == Leading::No || state.view != self.newest_number() {
            return;
        }
        if self.is_writing_view() {
            // It is about the view before. The next one is told once it is on disk.
            return;
        }
        let common = self.log.common(&state.views, state.last.op);
        let position = self.log.position(common);
        let feeding = match position {
            Some(_) if common >= state.applied => Feeding::Live,
            _ => Feeding::Snapshot,
        };
        let Some(peer) = self.peers.get_mut(&server) else {
            return;
        };
        let mut progress = Progress::new(position.unwrap_or_default(), now);
        progress.feeding = feeding;
        peer.progress = Some(progress);
        if feeding == Feeding::Snapshot {
            self.send_snapshot(server);
        } else {
            // Also if there is nothing to send: so it knows up to where the logs are the same.
            let message = self.prepares(position.unwrap_or_default(), Vec::new());
            self.send_to(server, message);
            self.to_send = true;
        }
        self.unsettled = true;
    }

    fn send_snapshot(&mut self, server: ServerId) {
        if let Some(peer) = self.peers.get_mut(&server)
            && let Some((link, _)) = peer.link
        {
            if let Some(progress) = &mut peer.progress {
                progress.feeding = Feeding::Snapshot;
            }
            self.outputs.push_back(Output::SendSnapshot { link });
            // Of a damaged store there is none, and the driver says so.
            if !self.store_damaged {
                self.note(Note::SnapshotFor(server));
            }
        }
    }

    /// Sends a peer what it was not sent yet, as much as may be on its way.
    pub(super) fn prepare_peer(&mut self, server: ServerId) {
        let is_member = self
            .view()
            .is_some_and(|view| view.member(server).is_some());
        loop {
            let head = self.log.head();
            let Some(peer) = self.peers.get(&server) else {
                return;
            };
            let (Some(progress), Some((link, _))) = (&peer.progress, peer.link) else {
                return;
            };
            let room = is_member || progress.bytes_under_way < LEARNER_WINDOW_BYTES;
            if progress.feeding != Feeding::Live || progress.sent.op >= head || !room {
                return;
            }
            let after = progress.sent;
            match self.log.entries(after.op) {
                Some(entries) => self.send_entries(server, link, after, entries),
                None => return self.fetch(server, link, after.op),
            }
        }
    }

    fn send_entries(
        &mut self,
        server: ServerId,
        link: LinkId,
        after: LogPosition,
        entries: Vec<Entry>,
    ) {
        let Some(last) = entries.last().map(|entry| entry.position) else {
            return;
        };
        let bytes = entries.iter().map(|entry| entry.bytes()).sum();
        let now = self.called_at;
        if let Some(progress) = self
            .peers
            .get_mut(&server)
            .and_then(|p| p.progress.as_mut())
        {
            progress.was_sent(last, bytes, now);
        }
        let message = self.prepares(after, entries);
        self.send_by(link, message);
    }

    fn fetch(&mut self, server: ServerId, link: LinkId, after: OpNumber) {
        if let Some(progress) = self
            .peers
            .get_mut(&server)
            .and_then(|p| p.progress.as_mut())
        {
            progress.feeding = Feeding::Fetching;
        }
        self.outputs.push_back(Output::Fetch { link, after });
    }

    /// What the journal had for a peer.
    pub(super) fn fetched(&mut self, link: LinkId, after: OpNumber, entries: Vec<Entry>) {
        let Some(&server) = self.links.get(&link) else {
            return;
        };
        let Some(progress) = self
            .peers
            .get_mut(&server)
            .and_then(|p| p.progress.as_mut())
        else {
            return;
        };
        if progress.feeding != Feeding::Fetching || progress.sent.op != after {
            return; // It was for a progress that has begun anew since.
        }
        if entries.is_empty() {
            return self.send_snapshot(server);
        }
        progress.feeding = Feeding::Live;
        let after = progress.sent;
        self.send_entries(server, link, after, entries);
        self.to_send = true;
    }

    /// A snapshot has taken the place of everything that was here.
    pub(super) fn installed(&mut self, cluster: Cluster, last: LogPosition, now: Time) {
        for ticket in self.log.take_tickets() {
            self.outputs.push_back(Output::Abandoned(ticket));
        }
        self.log = Log::after(last.op, Some(&cluster));
        self.know_servers(&cluster.servers.clone(), now);
        self.cluster = Some(cluster);
        self.damaged = false;
        self.store_damaged = false;
        self.view_since = now;
        self.vote.in_force = self.log.in_force();
        self.save();
        if let Some(following) = &mut self.following {
            following.matched = OpNumber::ZERO;
            following.acknowledged = OpNumber::ZERO;
            let leader = following.leader;
            self.send_log_state(leader);
        }
        self.unsettled = true;
    }

    /// `admit`: a learner that has nearly everything, and that every member is fresh with, becomes
    /// a member.
    pub(super) fn admit(&mut self, now: Time) {
        if !self.is_primary() || self.leaving || self.gives_way(now) || self.candidacy.is_some() {
            return;
        }
        let Some(view) = self.view() else { return };
        if view.members.len() >= MEMBERS_MAX
            || view.members.iter().any(|m| self.is_lost(*m, now))
            || self.log.in_force() < self.log.newest().map_or(OpNumber::ZERO, |(op, _)| op)
        {
            return;
        }
        let learner = self
            .peers
            .keys()
            .filter(|server| view.member(**server).is_none())
            .find_map(|server| self.may_be_admitted(*server, now));
        if let Some(learner) = learner {
            self.propose(Some(learner), now);
        }
    }

    fn may_be_admitted(&self, server: ServerId, now: Time) -> Option<Member> {
        let peer = self.peers.get(&server)?;
        let process = peer.process(server)?;
        let progress = peer.progress.as_ref()?;
        let behind = self.log.bytes_behind(progress.on_disk)?;
        let record = self.record(server)?;
        let is_new = process.incarnation.counter > record.incarnation;
        let (view_op, _) = self.log.newest()?;
        let is_near = progress.feeding == Feeding::Live
            && progress.on_disk >= view_op
            && behind < LEARNER_LAG_BYTES_MAX;
        let may = is_new
            && is_near
            && !peer.leaving
            && !self.is_too_slow_to_admit(server, now)
            && peer.report.is_some_and(|report| !report.intact)
            && self.is_fresh(process, now)
            && self.members_are_fresh_with(process, now);
        may.then_some(process)
    }

    /// Every other member has said lately that it is fresh with a learner.
    fn members_are_fresh_with(&self, learner: Member, now: Time) -> bool {
        let me = self.identity.server;
        let Some(view) = self.view() else {
            return false;
        };
        let mut others = view.members.iter().filter(|m| m.server != me);
        others.all(|member| {
            self.peers.get(&member.server).is_some_and(|peer| {
                let (processes, said_at) = &peer.fresh_with;
                processes.contains(&learner) && now.since(*said_at) <= self.config.fresh
            })
        })
    }

    /// This server has an id now: it dials anew with it.
    pub(super) fn welcomed(&mut self, link: LinkId, server: ServerId, lineage: Lineage) {
        if self.identity.server != ServerId(0) || server == ServerId(0) {
            return;
        }
        let peer = self.links.get(&link).and_then(|id| self.peers.get(id));
        let Some(cluster) = peer.map(|peer| peer.cluster) else {
            return;
        };
        self.identity.cluster = cluster;
        self.identity.lineage = lineage;
        self.identity.server = server;
        self.vote = Vote::default();
        self.peers.remove(&server);
        self.save();
        self.note(Note::Joined(server));
        self.after_save(super::AfterSave::Reborn);
    }

    /// This process has another name from now on: everybody is dialed anew.
    pub(super) fn reborn(&mut self, now: Time) {
        self.close_all(now);
        self.dial_those_due(now);
        self.unsettled = true;
    }

    /// The lowest op that somebody who is connected may still ask for.
    pub(super) fn lowest_progress(&self) -> OpNumber {
        let peers = self
            .peers
            .values()
            .filter_map(|peer| peer.progress.as_ref());
        let peers = peers.filter(|progress| progress.feeding != Feeding::Snapshot);
        let needed = peers.map(|progress| progress.on_disk.next());
        needed.min().unwrap_or(self.log.commit().next())
    }

    /// How far behind a peer is, in ops.
    pub(super) fn lag_of(&self, server: ServerId) -> Option<u64> {
        let peer = self.peers.get(&server)?;
        let head = self.log.head().0;
        if let Some(progress) = &peer.progress {
            return Some(head - progress.on_disk.0);
        }
        let report = peer.report?;
        Some(head.saturating_sub(report.last.op.0))
    }

    /// Addresses at which a primary is looked for.
    pub(super) fn looked_for_at(&self) -> Vec<SocketAddr> {
        let contacts = self.contacts.iter().map(|contact| contact.address);
        let peers = self.peers.values().filter_map(|peer| peer.address);
        let mut addresses: Vec<SocketAddr> = contacts.chain(peers).collect();
        addresses.retain(|address| *address != self.identity.address);
        addresses.sort_unstable();
        addresses.dedup();
        addresses
    }
}
