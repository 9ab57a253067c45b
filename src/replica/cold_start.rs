//! How does it begin: a cluster is founded, a server starts with what it has, everything was down?
//!
//! A server that starts is another process than the one that was a member: it is a learner, and
//! looks for a primary. If there is none because everything was down, all members, by id, of the
//! newest view that anyone has and of every earlier one back to the newest in force have to be
//! present and promise; then the one with the most leads a new view of itself alone, and admits
//! the others. Somebody who is absent may have gone on alone, and hold newer messages: a refused
//! connect does not count here.
//!
//! A process that is still a member, but can never decide anything again, *resigns*: it becomes
//! another process, as if it had been restarted, so that a cold start can begin.

use std::time::Duration;

use super::descent::ancestor_of;
use super::face::{Config, Identity, Note};
use super::log::{Log, cluster_op};
use super::normal::apply_to_cluster;
use super::peers::{Contact, Dial};
use super::propose::outweighs;
use super::random::Random;
use super::{AfterSave, Entry, Leading, Replica, Sabotage};
use crate::types::{
    Cluster, ClusterOp, Incarnation, Member, OpNumber, ServerId, Time, Timestamp, ViewNumber, Vote,
};
use crate::wire::operation::decode_op;
use crate::wire::peer::{PeerMessage, Proposal};
use crate::wire::prepare::EntryMaker;

/// How long, after a cold start, those who were present are waited for before clients are let in.
const GUESTS_AWAITED: Duration = Duration::from_secs(5);
/// How long, in milliseconds, is waited between looks at whether a cold start can begin.
const LOOK_AGAIN_MS: (u64, u64) = (20, 60);

/// The id of the server that founds a cluster.
pub const FOUNDER: ServerId = ServerId(1);

/// What a server starts with.
#[derive(Debug)]
pub struct Start {
    /// Who it is. Its incarnation was raised for this process, durably.
    pub identity: Identity,
    /// What it has bound itself to.
    pub vote: Vote,
    /// What its store says of the cluster.
    pub cluster: Option<Cluster>,
    /// The last op that its store holds.
    pub applied: OpNumber,
    /// The ops behind it, out of its journal, in order.
    pub log: Vec<Entry>,
    /// Its journal cannot be used: nothing is known of it, and `log` is empty.
    pub damaged: bool,
    /// When the last op was written that its store holds.
    pub clock: Timestamp,
}

/// The log of a server cannot be gone on with.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidLog {
    /// An op that this version cannot read: the log is another version's, or damaged in a way
    /// that its checksum does not show.
    #[error("op {0} of the journal cannot be read by this version")]
    Unreadable(OpNumber),
    /// There are ops, but neither the store nor they know of a founding.
    #[error(
        "the store and the journal do not fit together: the founding of the cluster is missing"
    )]
    NoFounding,
}

impl Replica {
    /// The first process of a new cluster. It lets clients in once `backups` others are in sync.
    pub fn found(identity: Identity, backups: u16, config: Config, now: Time) -> Self {
        let mut replica = Self::new(identity, Vote::default(), config, now);
        replica.settle_idle_order();
        let Identity {
            cluster,
            lineage,
            server,
            address,
            ..
        } = identity;
        replica.append_cluster_op(ClusterOp::Found {
            cluster,
            lineage,
            backups,
        });
        replica.append_cluster_op(ClusterOp::Join { server, address });
        replica.lead_alone(now);
        replica
    }

    /// A process with nothing on its disk: it wants an id from whoever leads.
    pub fn join(identity: Identity, config: Config, now: Time) -> Self {
        let mut replica = Self::new(identity, Vote::default(), config, now);
        replica.settle_idle_order();
        replica
    }

    /// A process that starts with what is on its disk.
    pub fn start(start: Start, config: Config, now: Time) -> Result<Self, InvalidLog> {
        check_log(&start)?;
        let mut replica = Self::new(start.identity, start.vote, config, now);
        replica.log = Log::after(start.applied, start.cluster.as_ref());
        replica.damaged = start.damaged;
        replica.wall_clock = start.clock;
        for entry in start.log {
            replica.wall_clock = replica.wall_clock.max(entry.time);
            replica.log.append(entry, None);
        }
        replica.log.all_persisted();
        replica.log.note_in_force(replica.vote.in_force);
        replica.cluster = start.cluster;
        // Members whose joining is not committed here yet have to be found, too.
        let mut known = replica.cluster.clone();
        for entry in replica.log.uncommitted() {
            if let Some(op) = cluster_op(entry) {
                apply_to_cluster(&mut known, op, entry.op());
            }
        }
        let servers = known.map_or(Vec::new(), |known| known.servers);
        replica.know_servers(&servers, now);
        replica.highest_seen = replica.promised();
        if replica.config.force {
            replica.take_order(now);
        } else if replica.vote.ordered.take().is_some() {
            // The next order is another one.
            replica.save();
        }
        if replica.is_founding() {
            let Identity {
                server, address, ..
            } = replica.identity;
            if servers.is_empty() {
                replica.append_cluster_op(ClusterOp::Join { server, address });
            }
            replica.lead_alone(now);
        }
        Ok(replica)
    }

    /// The founder has died before its first view: nobody can have joined, or gone on without it.
    /// (A server that was given the first ops by another, and has died then, has an id that was
    /// given to it, or has seen a view in force.)
    fn is_founding(&self) -> bool {
        self.identity.server == FOUNDER
            && self.identity.lineage.counter == 0
            && self.vote.in_force == OpNumber::ZERO
            && self.log.head() != OpNumber::ZERO
            && self.log.newest().is_none()
            && !self.damaged
    }

    fn new(identity: Identity, vote: Vote, config: Config, now: Time) -> Self {
        let contacts = config.contacts.iter().map(|address| Contact {
            address: *address,
            dial: Dial::new(now),
        });
        Self {
            identity,
            promised_here: None,
            vote,
            named: None,
            saves_asked: 0,
            saves_done: 0,
            after_save: Default::default(),
            log: Log::after(OpNumber::ZERO, None),
            entries: EntryMaker::default(),
            cluster: None,
            damaged: false,
            peers: Default::default(),
            links: Default::default(),
            joiners: Default::default(),
            ids_given: Default::default(),
            forgetting: None,
            contacts: contacts.collect(),
            rumours: Default::default(),
            highest_seen: ViewNumber(0),
            leading: Leading::No,
            is_stuck: false,
            following: None,
            candidacy: None,
            pace: super::pace::DiskPace::default(),
            slowness: super::pace::Slowness::default(),
            stand_at: None,
            stopped_since: None,
            view_since: now,
            promised_at: now,
            primary_stands: None,
            claims: Default::default(),
            guests: None,
            cold_at: Some(now),
            order: None,
            reads: Default::default(),
            held_back: Default::default(),
            ping_at: now,
            called_at: now,
            silence_counts_from: now,
            unsettled: true,
            to_send: false,
            leaving: false,
            store_damaged: false,
            gave_way: false,
            wall_clock: Timestamp(0),
            own_clock: Timestamp(0),
            random: Random::new(config.seed),
            sabotage: Sabotage::default(),
            outputs: Default::default(),
            config,
        }
    }

    /// Stands for a view of this server alone, by the rules of a cold start.
    pub(super) fn lead_alone(&mut self, now: Time) {
        let me = self.me();
        let proposal = Proposal {
            number: self.next_number(),
            lineage: self.identity.lineage,
            candidate: me,
            members: vec![me],
            standing: self.bases().cloned().collect(),
            silent: Vec::new(),
            dead: Vec::new(),
            promised: Vec::new(),
            unreached: Vec::new(),
            cold: true,
            last: self.log.last(),
        };
        self.begin_candidacy(proposal, None, now);
    }

    /// Whether everybody is present whom a cold start needs, and has promised.
    pub(super) fn is_cold_decided(&self, proposal: &Proposal) -> bool {
        let is_forced = self.candidacy.as_ref().is_some_and(|c| c.forced);
        let has_promised = |member: Member| {
            let mut promised = proposal.promised.iter();
            promised.any(|it| it.server == member.server) && self.is_present_for(member)
        };
        is_forced
            || self
                .bases()
                .flat_map(|view| &view.members)
                .all(|member| has_promised(*member))
    }

    /// `cold_propose`: if nobody leads, nobody can, and everybody who counts is here.
    pub(super) fn cold_propose_or_wait(&mut self, now: Time) {
        if self.candidacy.is_some() || !self.could_cold_start() {
            self.cold_at = None;
            return;
        }
        if *self.cold_at.get_or_insert(now) > now {
            return;
        }
        let pause = self.random.between(LOOK_AGAIN_MS.0, LOOK_AGAIN_MS.1);
        self.cold_at = Some(now + Duration::from_millis(pause));
        if !self.absent().is_empty() || !self.is_ahead() {
            return;
        }
        self.lead_alone(now);
    }

    /// This server has a log, is no member that counts, and knows nobody who leads or could.
    fn could_cold_start(&self) -> bool {
        self.identity.server != ServerId(0)
            && self.newest_number() != ViewNumber(0)
            && !self.damaged
            && !self.leaving
            && !self.is_intact()
            && self.leading == Leading::No
            && self.following.is_none()
            && !self
                .peers
                .values()
                .any(|peer| peer.link.is_some() && peer.report.is_some_and(|r| r.intact || r.leads))
    }

    /// Servers that a cold start has to wait for, since they may have gone on without this one. This
    /// server is among them if its own folder lacks what a process of it acknowledged.
    pub(super) fn absent(&self) -> Vec<ServerId> {
        let members = self.bases().flat_map(|view| &view.members);
        let mut absent: Vec<ServerId> = members
            .filter(|member| !self.is_present_for(**member))
            .map(|member| member.server)
            .collect();
        absent.sort_unstable();
        absent.dedup();
        absent
    }

    /// Whether there is a link to a server that has said what it has, and has something: one whose
    /// disk was replaced has nothing. A damaged journal is no obstacle where the vote, which is
    /// whole, proves that the server never went on without the others: what it acknowledged is on
    /// all their disks.
    pub(super) fn is_present(&self, server: ServerId) -> bool {
        let Some(peer) = self.peers.get(&server).filter(|peer| peer.link.is_some()) else {
            return false;
        };
        peer.report.is_some_and(|report| {
            let stood_no_later =
                report.stood <= self.newest_number() && report.in_force <= self.log.persisted();
            match report.damaged {
                true => stood_no_later || self.sabotage.damaged_counts,
                false => report.newest != ViewNumber(0),
            }
        })
    }

    /// Whether what a member acknowledged is there: in this folder, or in that of a linked server.
    pub(super) fn is_present_for(&self, member: Member) -> bool {
        match member.server == self.identity.server {
            true => self.continues(member),
            false => self.is_present(member.server) && self.peer_continues(member),
        }
    }

    /// This server is a member of the newest view that anybody present has, and no other member of
    /// it has more.
    fn is_ahead(&self) -> bool {
        let Some(view) = self.view() else {
            return false;
        };
        let (me, last) = (self.identity.server, self.log.last());
        view.member(me).is_some()
            && self.peers.iter().all(|(server, peer)| {
                let report = match (peer.link, peer.report) {
                    (Some(_), Some(report)) => report,
                    _ => return true,
                };
                // One with a damaged journal does not lead, whatever its store holds.
                let has_more =
                    !report.damaged && (report.last > last || report.last == last && *server < me);
                report.newest <= view.number
                    && !(has_more && view.member(*server).is_some() && report.newest == view.number)
            })
    }

    /// `cold_promise`: if this server could not lead itself, and the candidate has at least as
    /// much.
    pub(super) fn cold_promise(&mut self, from: ServerId, proposal: Proposal, now: Time) {
        let base = proposal.standing.last().map_or(ViewNumber(0), |v| v.number);
        let is_lower = self.newest_number() > base
            || self.newest_number() == base && self.log.last() > proposal.last;
        if is_lower || self.is_intact() || self.leading != Leading::No {
            return;
        }
        self.promise(from, proposal, now);
    }

    /// Who was present when everything began anew is to be in sync before clients are let in.
    pub(super) fn expect_guests(&mut self, promised: &[Member], now: Time) {
        let me = self.identity.server;
        let guests: Vec<ServerId> = promised
            .iter()
            .map(|m| m.server)
            .filter(|server| *server != me)
            .collect();
        self.guests = (!guests.is_empty()).then_some((guests, now + GUESTS_AWAITED));
    }

    /// Clients need not wait for those who were present at a cold start any more.
    pub(super) fn guests_are_in(&self) -> bool {
        let Some((guests, until)) = &self.guests else {
            return true;
        };
        let view = self.view();
        let is_in = |server: &ServerId| view.is_some_and(|view| view.member(*server).is_some());
        self.called_at >= *until || guests.iter().all(is_in)
    }

    /// A member that can never decide anything again gives up its place: when all members of its
    /// views are here, but some as later processes; or when others went on without it.
    pub(super) fn resign_if_lost(&mut self, now: Time) {
        if self.is_overtaken() {
            return self.resign(now);
        }
        if !self.is_intact() || self.leading != Leading::No || self.leaving {
            return;
        }
        let someone_leads = self.peers.values().any(|peer| {
            peer.link.is_some()
                && peer
                    .report
                    .is_some_and(|r| r.leads && r.newest >= self.newest_number())
        });
        if someone_leads {
            return; // Its Lead says what to do.
        }
        let me = self.me();
        let is_left_out = self.peers.values().any(|peer| {
            peer.link.is_some()
                && peer.standing.last().is_some_and(|view| {
                    view.lineage == self.identity.lineage
                        && view.number > self.newest_number()
                        && !view.contains(me)
                })
        });
        let others = || {
            self.bases()
                .flat_map(|view| view.members.iter())
                .filter(|m| m.server != me.server)
        };
        let all_here = others().all(|m| self.is_present(m.server));
        let some_reborn = others().any(|m| self.link_to(*m).is_none() && self.peer_continues(*m));
        if is_left_out || all_here && some_reborn && !self.might_decide() {
            self.resign(now);
        }
    }

    /// Whether there would be a quorum if everybody promised who is still the process that he was
    /// when the view began.
    fn might_decide(&self) -> bool {
        let me = self.me();
        self.bases().all(|view| {
            let members = view.members.iter().copied();
            let (might_promise, others): (Vec<Member>, Vec<Member>) = members
                .filter(|m| !self.may_be_dead(*m))
                .partition(|m| *m == me || self.link_to(*m).is_some());
            outweighs(view, &might_promise, &others)
        })
    }

    /// An old copy of the data directory was put back, and others have seen later processes of
    /// this server: none of it is admitted before its counter is above theirs. It has caught up,
    /// so that nothing of what the copy lacked is missing any more.
    fn is_overtaken(&self) -> bool {
        let me = self.identity;
        let has_all = self.following.as_ref().is_some_and(|following| {
            following.in_force
                && following.matched != OpNumber::ZERO
                && following.told <= self.log.commit()
        });
        has_all
            && !self.is_intact()
            && self
                .record(me.server)
                .is_some_and(|record| record.incarnation >= me.incarnation.counter)
    }

    /// `resign`: as if this process had been restarted.
    pub(super) fn resign(&mut self, now: Time) {
        self.stop_leading(now);
        self.candidacy = None;
        self.stand_at = None;
        self.cold_at = Some(now);
        self.following = None;
        self.promised_here = None;
        self.gave_way = false;
        let seen = self
            .record(self.identity.server)
            .map_or(0, |r| r.incarnation);
        let counter = self.identity.incarnation.counter.max(seen);
        self.identity.incarnation = Incarnation {
            counter: counter.saturating_add(1),
            random: self.random.next(),
        };
        self.identity.ancestor = ancestor_of(self.identity.incarnation, &self.vote);
        self.named = None;
        // What this process knew of others' ends was known by a process that is gone.
        for peer in self.peers.values_mut() {
            peer.dead.clear();
        }
        self.save();
        self.after_save(AfterSave::Reborn);
        self.note(Note::Resigned);
    }

    /// A server, which has proven that it may be here, looks for the primary of its cluster at the
    /// address of the service that this server is for. If this server has just founded a cluster there,
    /// that was a mistake.
    pub fn sought_by(&mut self, peer: Identity) {
        let is_of_another = peer.cluster.0 != 0 && peer.cluster != self.identity.cluster;
        if is_of_another && self.is_just_founded() {
            self.note(Note::FoundedBeside(peer.address));
        }
    }

    /// This process has founded its cluster, and nothing was said to any client: nobody would miss
    /// it.
    fn is_just_founded(&self) -> bool {
        self.identity.server == FOUNDER
            && self.identity.ancestor == Incarnation::default()
            && self.log.only_cluster_ops()
    }

    /// Somebody wants this server to end.
    pub(super) fn leave(&mut self) {
        self.leaving = true;
        self.send_to_all(&PeerMessage::Leave);
        self.unsettled = true;
    }
}

/// Every op can be read, and they begin with a founding.
fn check_log(start: &Start) -> Result<(), InvalidLog> {
    let mut founded = start.cluster.is_some() || start.damaged;
    for entry in &start.log {
        decode_op(entry.payload()).map_err(|_| InvalidLog::Unreadable(entry.op()))?;
        founded |= matches!(cluster_op(entry), Some(ClusterOp::Found { .. }));
    }
    // A server that has joined and was given nothing yet has no founding either.
    if founded || start.log.is_empty() && start.applied == OpNumber::ZERO {
        Ok(())
    } else {
        Err(InvalidLog::NoFounding)
    }
}
