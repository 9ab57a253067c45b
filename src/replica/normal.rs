//! Normal operation: a request becomes an op, every member has it on disk, it is committed.
//!
//! The primary appends, sends and only then syncs: the disks work side by side. What one turn
//! brought goes to each peer in one message and is synced once everywhere.

use std::net::SocketAddr;

use super::face::{Note, Output};
use super::log::cluster_op;
use super::{Leading, Replica, Ticket};
use crate::limits::{SERVERS_MAX, VIEWS_REMEMBERED_MAX};
use crate::types::{
    Cluster, ClusterOp, LogPosition, Op, OpNumber, ServerId, ServerRecord, Time, Timestamp, View,
    ViewMark, ViewNumber,
};
use crate::wire::operation::encode_op;
use crate::wire::peer::{PeerMessage, Prepares, Report};
use crate::wire::prepare::{Entry, Prepare};

impl Replica {
    /// `request`: a client's op gets the next number, unless nobody would commit it. What was taken
    /// up before a change of view and comes to the log during it waits for its end.
    pub(super) fn request(&mut self, ticket: Ticket, time: Timestamp, payload: &[u8]) {
        if self.serves() {
            let time = self.bounded_time(time);
            self.wall_clock = self.wall_clock.max(time);
            self.append(Some(ticket), time, payload);
        } else if self.holds_back() {
            self.held_back.push_back((ticket, time, payload.to_vec()));
        } else {
            self.outputs.push_back(Output::Refused(ticket));
        }
    }

    /// Goes on with the requests that a change of view has held back, or refuses them.
    pub(super) fn go_on_with_requests(&mut self) {
        if self.held_back.is_empty() || !self.serves() && self.holds_back() {
            return;
        }
        for (ticket, time, payload) in std::mem::take(&mut self.held_back) {
            self.request(ticket, time, &payload);
        }
    }

    /// A read is answered while every other member has echoed a Ping that was sent within L: so
    /// none of them has let another view begin that leaves this server out.
    pub(super) fn read(&mut self, ticket: Ticket, now: Time) {
        if !self.serves() && !self.holds_back() {
            self.outputs.push_back(Output::Refused(ticket));
        } else if self.serves() && self.all_fresh(now) {
            self.outputs.push_back(Output::Readable(ticket));
        } else {
            if self.reads.is_empty() {
                self.ping_all(now);
            }
            self.reads.push_back(ticket);
        }
    }

    /// Answers the reads that wait, or says that they will not be.
    pub(super) fn answer_reads(&mut self, now: Time) {
        if self.reads.is_empty() {
            return;
        }
        let serves = self.serves();
        if serves && !self.all_fresh(now) || !serves && self.holds_back() {
            return;
        }
        for ticket in std::mem::take(&mut self.reads) {
            self.outputs.push_back(match serves {
                true => Output::Readable(ticket),
                false => Output::Refused(ticket),
            });
        }
    }

    /// Every other member has echoed a Ping that was sent within L.
    pub(super) fn all_fresh(&self, now: Time) -> bool {
        let me = self.identity.server;
        self.view().is_some_and(|view| {
            let mut others = view.members.iter().filter(|m| m.server != me);
            self.sabotage.no_freshness || others.all(|member| self.is_fresh(*member, now))
        })
    }

    /// Tells the cluster where this server is reached from now on: by the log, or by hellos that
    /// the primary writes it down from.
    pub(super) fn moved(&mut self, address: SocketAddr, now: Time) {
        if self.identity.address == address {
            return;
        }
        self.identity.address = address;
        if self.is_primary() {
            let server = self.identity.server;
            self.append_cluster_op(ClusterOp::Move { server, address });
        } else {
            self.close_all(now);
            self.dial_those_due(now);
        }
    }

    /// Gives an op about the cluster the next number.
    pub(super) fn append_cluster_op(&mut self, op: ClusterOp) {
        let mut payload = Vec::new();
        encode_op(&mut payload, &Op::Cluster(op));
        self.append(None, self.wall_clock, &payload);
    }

    fn append(&mut self, ticket: Option<Ticket>, time: Timestamp, payload: &[u8]) {
        self.append_in(self.newest_number(), ticket, time, payload);
    }

    /// Appends an op that is proposed in the view `view`.
    pub(super) fn append_in(
        &mut self,
        view: ViewNumber,
        ticket: Option<Ticket>,
        time: Timestamp,
        payload: &[u8],
    ) {
        let entry = self.entries.entry(&Prepare {
            view,
            op: self.log.head().next(),
            commit: self.log.commit(),
            time,
            payload,
        });
        self.log.append(entry.clone(), ticket);
        self.pace.began(self.called_at);
        self.outputs.push_back(Output::Append(entry));
        self.to_send = true;
    }

    /// `prepare`: ops of the primary whose view this server follows.
    pub(super) fn prepare(&mut self, server: ServerId, prepares: Prepares, now: Time) {
        if !self.follows(server, prepares.view) {
            return;
        }
        if self.log.position(prepares.after.op) != Some(prepares.after)
            || prepares.after.op > self.log.head()
        {
            // Something was lost between: the primary is told how this log is.
            return self.send_log_state(server);
        }
        let mut matched = prepares.after.op;
        for entry in prepares.entries {
            if self.log.position(entry.op()) != Some(entry.position) {
                if !self.make_room(entry.op()) {
                    return self.send_log_state(server);
                }
                self.wall_clock = self.wall_clock.max(entry.time);
                self.log.append(entry.clone(), None);
                self.pace.began(now);
                self.outputs.push_back(Output::Append(entry.clone()));
            }
            matched = entry.op();
        }
        if let Some(following) = &mut self.following {
            following.matched = following.matched.max(matched);
            following.told = following.told.max(prepares.commit);
        }
        self.acknowledge(now);
    }

    /// Cuts off what stands where an op of the primary belongs. What is applied cannot be cut off:
    /// then this log is of another lineage, and the primary has to send a snapshot.
    fn make_room(&mut self, op: OpNumber) -> bool {
        let after = OpNumber(op.0 - 1);
        if self.log.head() == after {
            return true;
        }
        if after < self.log.commit() {
            return false;
        }
        let last = self.log.head();
        // What a view in force lacks is in no later view either. Before it is in force, another candidate may still
        // bring what is cut off here.
        let is_final = self.following.as_ref().is_some_and(|it| it.in_force);
        for ticket in self.log.truncate(after) {
            self.outputs.push_back(match is_final {
                true => Output::Refused(ticket),
                false => Output::Abandoned(ticket),
            });
        }
        self.outputs.push_back(Output::Truncate { after });
        self.note(Note::Cut { after, last });
        true
    }

    /// The journal has synced something.
    pub(super) fn persisted(&mut self, op: OpNumber, now: Time) {
        let newest_before = self.newest_number();
        // What was cut off meanwhile does not count.
        self.log.persist(op.min(self.log.head()));
        self.disk_done(now);
        self.judge_disk(self.identity.server, now);
        if self.newest_number() != newest_before {
            self.view_on_disk(now);
        }
        if self.leading == Leading::No {
            self.acknowledge(now);
        } else {
            self.commit_what_all_have(now);
        }
    }

    /// Tells the primary what is on disk here, and applies what it has told to be committed.
    pub(super) fn acknowledge(&mut self, now: Time) {
        let Some(following) = &self.following else {
            return;
        };
        let op = following.matched.min(self.log.persisted());
        let view = following.view.number;
        let server = following.leader;
        let told = following.told.min(op);
        if op > following.acknowledged && self.may_acknowledge() {
            if let Some(following) = &mut self.following {
                following.acknowledged = op;
            }
            self.send_to(server, PeerMessage::PrepareOk { view, op });
        }
        self.commit_up_to(told, now);
    }

    /// A member, or a learner, has everything up to `op` on disk.
    pub(super) fn prepare_ok(
        &mut self,
        server: ServerId,
        view: ViewNumber,
        op: OpNumber,
        now: Time,
    ) {
        if self.leading == Leading::No || view != self.newest_number() {
            return;
        }
        let head = self.log.head();
        let Some(progress) = self
            .peers
            .get_mut(&server)
            .and_then(|p| p.progress.as_mut())
        else {
            return;
        };
        if op > head {
            return; // Nobody was sent that.
        }
        let has_synced = op > progress.on_disk;
        progress.acknowledged(op, now);
        self.to_send |= progress.wants_more(head);
        if has_synced {
            self.judge_disk(server, now);
        }
        if self.leading == Leading::Active {
            self.commit_what_all_have(now);
        } else {
            self.unsettled = true;
        }
    }

    /// `commit`: everything that all members have on disk.
    pub(super) fn commit_what_all_have(&mut self, now: Time) {
        if self.leading == Leading::Active {
            self.commit_up_to(self.on_all_disks(), now);
        }
    }

    /// The highest op that every member of the view has on disk.
    pub(super) fn on_all_disks(&self) -> OpNumber {
        let Some(view) = self.view() else {
            return OpNumber::ZERO;
        };
        let mut on_disk: Vec<OpNumber> = view
            .members
            .iter()
            .map(|member| {
                if *member == self.me() {
                    return self.log.persisted();
                }
                let peer = self.peers.get(&member.server);
                let peer = peer.filter(|peer| peer.link_to(*member).is_some());
                let progress = peer.and_then(|peer| peer.progress.as_ref());
                progress.map_or(OpNumber::ZERO, |progress| progress.on_disk)
            })
            .collect();
        on_disk.sort_unstable();
        match self.sabotage.commit_by_majority {
            true => on_disk[(on_disk.len() - 1) / 2],
            false => on_disk[0],
        }
    }

    /// `tell`: a primary's Ping carries its commit number, too.
    pub(super) fn tell(&mut self, server: ServerId, report: Report) {
        if report.leads
            && self.follows(server, report.newest)
            && let Some(following) = &mut self.following
        {
            following.told = following.told.max(report.commit);
            let told = following.told.min(following.matched);
            self.commit_up_to(told, self.called_at);
        }
    }

    /// Everything up to `commit` that is on this disk is committed.
    pub(super) fn commit_up_to(&mut self, commit: OpNumber, now: Time) {
        let in_force_before = self.log.in_force();
        let mut has_committed = false;
        while let Some((entry, ticket)) = self.log.commit_next(commit) {
            has_committed = true;
            self.apply_cluster_op(&entry, now);
            self.outputs.push_back(Output::Committed { entry, ticket });
        }
        if !has_committed {
            return;
        }
        if self.log.in_force() != in_force_before {
            self.vote.in_force = self.vote.in_force.max(self.log.in_force());
            self.save();
            self.unsettled = true;
        }
        if self.is_primary() {
            // Backups learn of it with the next op or Ping; who waits for an id is told at once.
            self.take_in_joiners();
            if self.forgetting.is_some_and(|it| self.record(it).is_none()) {
                // There is room now.
                self.forgetting = None;
                self.refresh_addresses();
            }
        }
    }

    /// Keeps the cluster's part of the state up to date.
    fn apply_cluster_op(&mut self, entry: &Entry, now: Time) {
        let Some(op) = cluster_op(entry) else { return };
        let op_number = entry.op();
        apply_to_cluster(&mut self.cluster, op, op_number);
        if let Some(cluster) = &self.cluster {
            let servers = cluster.servers.clone();
            self.know_servers(&servers, now);
            let is_known = |server: &ServerId| servers.iter().any(|r| r.server == *server);
            // Who made way for another at its address.
            self.peers
                .retain(|server, peer| peer.link.is_some() || is_known(server));
            self.forget_rumours();
        }
        self.unsettled = true;
    }

    /// Sends every peer what it was not sent yet.
    pub(super) fn prepare_all(&mut self) {
        if self.leading == Leading::No {
            return;
        }
        let servers: Vec<ServerId> = self.links.values().copied().collect();
        for server in servers {
            self.prepare_peer(server);
        }
    }

    /// The message that carries ops to a peer.
    pub(super) fn prepares(&self, after: LogPosition, entries: Vec<Entry>) -> PeerMessage {
        PeerMessage::Prepare(Prepares {
            view: self.newest_number(),
            after,
            commit: self.log.commit(),
            entries,
        })
    }
}

/// What a committed op about the cluster does to it: the same on every server, and again in what
/// a driver keeps of it for its store.
pub fn apply_to_cluster(state: &mut Option<Cluster>, op: ClusterOp, number: OpNumber) {
    match (op, state) {
        (
            ClusterOp::Found {
                cluster,
                backups,
                lineage,
            },
            none @ None,
        ) => {
            *none = Some(Cluster {
                id: cluster,
                backups,
                formed: false,
                servers: Vec::new(),
                view: View {
                    number: ViewNumber(0),
                    lineage,
                    primary: ServerId(0),
                    members: Vec::new(),
                },
                views: Vec::new(),
            });
        }
        (
            ClusterOp::Join { server, address } | ClusterOp::Move { server, address },
            Some(cluster),
        ) => {
            // Two servers cannot have one address: who had it before is gone.
            let view = &cluster.view;
            cluster.servers.retain(|other| {
                other.server == server
                    || other.address != address
                    || view.member(other.server).is_some()
            });
            match cluster.servers.binary_search_by_key(&server, |s| s.server) {
                Ok(at) => cluster.servers[at].address = address,
                // More than there may be can come at once, and cannot be told to others.
                Err(_) if cluster.servers.len() >= SERVERS_MAX => {}
                Err(at) => cluster.servers.insert(
                    at,
                    ServerRecord {
                        server,
                        address,
                        incarnation: 0,
                    },
                ),
            }
        }
        (ClusterOp::View(view), Some(cluster)) => {
            for member in &view.members {
                if let Some(record) = cluster
                    .servers
                    .iter_mut()
                    .find(|record| record.server == member.server)
                {
                    record.incarnation = record.incarnation.max(member.incarnation.counter);
                }
            }
            cluster.views.push(ViewMark {
                number: view.number,
                op: number,
            });
            let beyond = cluster.views.len().saturating_sub(VIEWS_REMEMBERED_MAX);
            cluster.views.drain(..beyond);
            cluster.view = view;
            forget_replaced(cluster);
        }
        (ClusterOp::Formed, Some(cluster)) => cluster.formed = true,
        (ClusterOp::Forget { server }, Some(cluster)) => {
            let view = &cluster.view;
            cluster
                .servers
                .retain(|it| it.server != server || view.member(server).is_some());
        }
        // A log that founds twice, or does anything before its founding, was refused when it was
        // read; no server writes one.
        (ClusterOp::Found { .. }, Some(_)) | (_, None) => {}
    }
}

/// Whoever is no member, and whose address a newer server has, was replaced by it: its disk is gone.
fn forget_replaced(cluster: &mut Cluster) {
    let newest_at = |address: SocketAddr| {
        let same = cluster.servers.iter().filter(|it| it.address == address);
        same.map(|it| it.server).max()
    };
    let replaced: Vec<ServerId> = cluster
        .servers
        .iter()
        .filter(|it| cluster.view.member(it.server).is_none())
        .filter(|it| newest_at(it.address) > Some(it.server))
        .map(|it| it.server)
        .collect();
    cluster.servers.retain(|it| !replaced.contains(&it.server));
}
