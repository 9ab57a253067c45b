//! When is an op committed, and who may say so?
//!
//! The replica is the protocol as a pure state machine: no sockets, no files, no clocks. What
//! happens outside comes in by [`Replica::handle_input`] and [`Replica::handle_timeout`]; what is
//! to be done comes out of [`Replica::poll_output`], which has to be drained after every turn, in
//! order. What must be durable before it is told is gated here and not in the driver, so that no
//! driver can forget it: a PrepareOk comes out only after its [`Input::Persisted`] came in, and a
//! promise only after its [`Input::Saved`].
//!
//! It is primary-backup in the line of PacificA (every member of the view acknowledges) with the
//! view changes of Viewstamped Replication, and with servers that are *known* to be dead leaving
//! the quorum's denominator, so that the last of three serves.
//!
//! The names of the transitions are those of the model in `tests/model`, so that the two can be
//! laid side by side:
//!
//! | file | what happens there |
//! | --- | --- |
//! | [`face`](self) | what goes in and what comes out |
//! | [`log`](self) | what stands in the log |
//! | [`peers`](self) | links: kept, closed, dialed again |
//! | [`ids`](self) | which server has which id and which address, by what the log says |
//! | [`descent`](self) | which process continues which, in spite of copied folders |
//! | [`evidence`](self) | who is dead, who is silent, who is fresh: `beat`, `age`, `evidence` |
//! | [`normal`](self) | `request`, `prepare`, `commit`, `tell`; reads |
//! | [`pace`](self) | how long disks take: time-outs follow them, and a slow one is left out |
//! | [`stand`](self) | who stands for another view, and when |
//! | [`propose`](self) | a candidate's side of it: `propose`, `decide` |
//! | [`promise`](self) | the voters' side of it: `promise`, `veto` |
//! | [`lead`](self) | a view comes in force, and ends: `learn`; who follows whom |
//! | [`catch_up`](self) | `install`, `learn`, `catch_up`, `admit`: everybody gets the primary's log |
//! | [`damaged_store`](self) | a store that the disk has damaged is replaced by a snapshot of another server |
//! | [`cold_start`](self) | a founding, a start, `cold_propose`, `cold_promise`, `resign` |
//! | [`force`](self) | an operator's order to lead alone |
//! | [`report`](self) | how it stands, for people and for the clients' gate |
//!
//! # Where the rules had to be worded anew
//!
//! The model for three to five servers showed that some rules, as they were first written down, say
//! too little. They now read:
//!
//! - **Admission**: a learner is proposed as a member only once it has *acknowledged the View op of
//!   the primary's newest view*; to be nearly caught up is not enough. Otherwise: B is stopped, C
//!   is killed, A goes on alone and proposes to admit B, which wakes and still counts itself into
//!   the view before. As it is among the members proposed, A echoes its Pings again; A is killed, B
//!   has fresh evidence of that, and decides alone without what A had acknowledged. (An excluded
//!   server raises its incarnation when it hears of it, too; the rule does not lean on that.)
//! - **When a promise stops binding**: also once its View op stands in the log of whoever gave it.
//!   From there on the view itself is one of those in whose terms a quorum is needed, while the
//!   promise would for ever refuse a server that was admitted later. "Without having that View op"
//!   means: not in its log, however new its newest view is. A proposal is such a report of its candidate, too:
//!   where others have to hand it on, no other report of him comes.
//! - **Who is silent, who is dead**: a proposal names processes, not servers. In a standing view an
//!   earlier process of a server may be silent while a later one is a living member.
//! - **Every promise that was not released binds**, with three servers as with more. For three, the
//!   newest would do; one rule is simpler.
//! - **An objection to a death** takes a moment: a voter with a link to somebody whom a proposal calls
//!   dead waits until that link ends, too, or something comes by it.
//! - **Who is called dead and has a link again lives**: the refusals were forged. To let the verdict
//!   outlast the link would let one forged link after the other leave a server alone.
//! - **A member resigns** only where those of its views who are there could never decide, also if all
//!   of them promised.
//! - **A copy of a data directory** proves nothing about the process that went on: that a later process
//!   has ended says of an earlier one only that it has ended if both were at the same address; and at
//!   a cold start only that very member, or a later process of its server, counts as present.
//! - **Across lineages** positions say nothing, since an old copy that was forced to lead may give
//!   numbers again: a log of another lineage has no prefix in common with this one's, and is replaced
//!   by a snapshot.
//! - **A link that is silent** for ten heartbeats is dialed anew beside the old one, by either side, and the
//!   new one takes its place. Only of two that both work the servers keep the one that the server with the
//!   higher id has dialed.
//! - **Addresses are hearsay**: whoever has a link tells the others where it leads. What is heard is
//!   dialed, and a refused connect there proves nothing.
//! - **An old copy of a data directory** is fed like any learner, and is not admitted, since its
//!   counter was seen before. Once it has everything, it sees in the log how high its counter has to
//!   be, and raises it.

mod catch_up;
mod cold_start;
mod damaged_store;
mod descent;
mod evidence;
mod face;
mod force;
mod ids;
mod lead;
mod log;
mod normal;
mod pace;
mod peers;
mod promise;
mod propose;
mod random;
mod report;
mod stand;

pub use self::cold_start::{FOUNDER, InvalidLog, Start};
pub use self::descent::ancestor_of;
pub use self::face::{
    Config, ForceRefusal, Identity, Input, LinkId, Note, Output, Ticket, Unwanted,
};
pub use self::normal::apply_to_cluster;
pub use self::report::{Condition, NotReady, Role, ServerStatus};
pub use crate::wire::prepare::Entry;
use crate::wire::prepare::EntryMaker;

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;

use self::force::Order;
use self::log::Log;
use self::pace::{DiskPace, Slowness};
use self::peers::{Contact, Peer};
use self::promise::Promised;
use self::propose::Candidacy;
use self::random::Random;
use crate::types::{
    Cluster, Incarnation, Member, OpNumber, ServerId, Time, Timestamp, View, ViewNumber, Vote,
};
use crate::wire::peer::{PeerMessage, Report, Rumour};

/// The protocol's state machine of one server.
#[derive(Debug)]
pub struct Replica {
    /// Who this server is. Its incarnation rises when it resigns.
    identity: Identity,
    config: Config,
    /// What it has bound itself to, as it was last given to be saved.
    vote: Vote,
    /// The newest proposal, of its own or another's, that this very process has promised.
    promised_here: Option<Promised>,
    /// The process of this server that its folder is known, on disk, to continue or to be: see
    /// [`descent`](self). It may be named in views.
    named: Option<Incarnation>,
    /// How many times [`Output::Save`] came out, and how many of them are on disk.
    saves_asked: u64,
    saves_done: u64,
    /// What waits for a save, with its number; in order.
    after_save: VecDeque<(u64, AfterSave)>,

    log: Log,
    /// Where ops get their form.
    entries: EntryMaker,
    /// What the committed ops have made of the cluster. `None` until the founding is committed.
    cluster: Option<Cluster>,
    /// The journal cannot be used, or nothing is known of it: this server neither leads nor counts
    /// in a cold start before it was given everything by another.
    damaged: bool,

    /// Every other server that has an id.
    peers: BTreeMap<ServerId, Peer>,
    /// Whose link it is; each is its peer's, or about to be closed by it.
    links: BTreeMap<LinkId, ServerId>,
    /// Links of servers that have no id yet.
    joiners: BTreeMap<LinkId, Joiner>,
    /// The newest ids that were given here, at most
    /// [`SERVERS_MAX`](crate::limits::SERVERS_MAX), and to which process.
    ids_given: VecDeque<(Incarnation, ServerId)>,
    /// The server that makes room for another one, as long as the op that says so is not committed.
    forgetting: Option<ServerId>,
    /// Where else somebody may be found.
    contacts: Vec<Contact>,
    /// What was last heard of what servers have promised, from them or from others.
    rumours: BTreeMap<ServerId, Rumour>,
    /// The highest view number that was seen anywhere.
    highest_seen: ViewNumber,

    /// Whether this server leads its newest view.
    leading: Leading,
    /// It leads, and has not reached all members for so long, without being able to go on without
    /// them, that clients are not left waiting.
    is_stuck: bool,
    /// Whom it follows; `None` while it leads, or knows nobody.
    following: Option<Following>,
    /// Its own proposal.
    candidacy: Option<Candidacy>,
    /// How long its disk took lately.
    pace: DiskPace,
    /// Since when its own disk is much slower than the others', while it leads.
    slowness: Slowness,
    /// When it stands, unless what made it want to has passed.
    stand_at: Option<Time>,
    /// When it stopped leading because of a promise, and nobody has led since.
    stopped_since: Option<Time>,
    /// Since when its newest view is on its disk.
    view_since: Time,
    /// When its newest promise was given; once it is on disk, when that was.
    promised_at: Time,
    /// The newest view, once its primary stands for another one, and since when it does.
    primary_stands: Option<(ViewNumber, Time)>,
    /// Since when claims are known that somebody is dead who is linked here.
    claims: BTreeMap<Member, Time>,
    /// After a cold start: those who were present and are to be admitted before clients are let
    /// in, and until when they are waited for.
    guests: Option<(Vec<ServerId>, Time)>,
    /// When it stands in a cold start.
    cold_at: Option<Time>,
    /// An operator's order to lead alone that is not dealt with yet.
    order: Option<Order>,

    /// Reads that wait for proof that this server still leads, or for the end of a change of view.
    reads: VecDeque<Ticket>,
    /// Requests that wait for the end of a change of view: no more than clients may have open.
    held_back: VecDeque<(Ticket, Timestamp, Vec<u8>)>,
    /// When the next Pings are due.
    ping_at: Time,
    /// When the core was last called, and since when silence counts, after it was not called for
    /// too long.
    called_at: Time,
    silence_counts_from: Time,
    /// Something has changed that may let somebody stand, decide, be admitted or resign.
    unsettled: bool,
    /// Ops were appended, or may be sent, that some peer was not sent yet.
    to_send: bool,
    /// Somebody wants this server to end.
    leaving: bool,
    /// The store is damaged, and only another server's snapshot repairs it.
    store_damaged: bool,
    /// The other members were asked to go on without this process, because of that.
    gave_way: bool,
    /// The highest time that an op carries.
    wall_clock: Timestamp,
    /// What the wall clock of this server showed last.
    own_clock: Timestamp,
    random: Random,
    sabotage: Sabotage,
    /// What the driver has not fetched yet.
    outputs: VecDeque<Output>,
}

/// Whether this server leads its newest view.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Leading {
    No,
    /// It has decided the view whose op is this one, and not all members have that on disk.
    Pending(OpNumber),
    /// All members have it.
    Active,
}

/// Whom this server follows.
#[derive(Debug)]
struct Following {
    view: View,
    leader: ServerId,
    /// All members are known to have the view.
    in_force: bool,
    /// Up to here, this log is the leader's.
    matched: OpNumber,
    /// The highest commit number that the leader has told.
    told: OpNumber,
    /// The last op that was acknowledged.
    acknowledged: OpNumber,
}

/// A server that has no id yet.
#[derive(Debug)]
struct Joiner {
    address: SocketAddr,
    process: Incarnation,
    /// The id that it gets once the op is committed that says so.
    given: Option<ServerId>,
}

/// What is done once something is on disk.
#[derive(Debug)]
enum AfterSave {
    /// A message may be told.
    Send(ServerId, Box<PeerMessage>),
    /// Its own proposal is promised by itself.
    OwnPromise(ViewNumber),
    /// It is another process now, and dials everybody.
    Reborn,
    /// This process may be named in views.
    Named(Incarnation),
}

/// Rules that a test has taken out, to see that they are missed.
#[doc(hidden)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sabotage {
    /// An op counts as committed once a majority has it.
    pub commit_by_majority: bool,
    /// Neither reads nor deaths ask for a fresh echo.
    pub no_freshness: bool,
    /// Promises are told before they are saved.
    pub promise_not_saved: bool,
    /// Only the newest view counts, not all standing ones.
    pub newest_view_only: bool,
    /// Nobody objects to being called silent or dead, and nobody says whom it hears.
    pub no_veto: bool,
    /// Refused connects prove a death, whatever may be between two hosts.
    pub refusals_believed: bool,
    /// Refused connects prove a death whoever else says that it hears the process.
    pub no_witness: bool,
    /// A server stands and votes though a promise binds it.
    pub unbound: bool,
    /// A higher counter passes for descent.
    pub counter_for_descent: bool,
    /// A primary proves that it is fresh by its own limit, whatever grace the others have.
    pub own_limit_only: bool,
    /// A primary is forced without a look at who else is there.
    pub force_blindly: bool,
    /// An order to lead alone is carried out at a later start, though it was dealt with at an earlier one.
    pub orders_stay: bool,
    /// Of several servers that are ordered to lead alone, none waits for another.
    pub orders_apart: bool,
    /// A server with a damaged journal counts in a cold start whatever it has promised.
    pub damaged_counts: bool,
    /// A silent link is left as it is, however long it sleeps.
    pub sleeping_links: bool,
    /// Nobody tells others where a server is.
    pub no_gossip: bool,
    /// Time-outs do not follow the disks, and an attempt that waits for one is given up.
    pub impatient: bool,
    /// A primary believes its own wall clock, whatever those of the others show.
    pub own_clock: bool,
    /// A server with a damaged store goes on as if nothing were wrong.
    pub damage_ignored: bool,
}

impl Replica {
    /// Takes in what happened. Drain [`Self::poll_output`] afterwards.
    pub fn handle_input(&mut self, input: Input<'_>, now: Time) {
        self.called(now);
        match input {
            Input::Request {
                ticket,
                time,
                payload,
            } => self.request(ticket, time, payload),
            Input::Read { ticket } => self.read(ticket, now),
            Input::Moved { address } => self.moved(address, now),
            Input::Persisted { op } => self.persisted(op, now),
            Input::Saved => self.saved(now),
            Input::LinkUp { link, peer, dialed } => self.link_up(link, peer, dialed, now),
            Input::LinkEnded { link, by_peer } => self.link_ended(link, by_peer, now),
            Input::DialFailed { address, refused } => self.dial_failed(address, refused, now),
            Input::Message { link, message } => self.message(link, message, now),
            Input::Fetched {
                link,
                after,
                entries,
            } => self.fetched(link, after, entries),
            Input::Installed { cluster, last } => self.installed(cluster, last, now),
            Input::WallClock { time } => self.own_clock = time,
            Input::StoreDamaged => self.store_is_damaged(),
            Input::Leave => self.leave(),
        }
        if std::mem::take(&mut self.unsettled) {
            self.settle(now);
        }
        if cfg!(debug_assertions) {
            self.check_invariants();
        }
    }

    /// Takes in that time has passed: after a turn's inputs, when [`Self::poll_timeout`] says so.
    pub fn handle_timeout(&mut self, now: Time) {
        self.called(now);
        self.forget_suspects(now);
        self.dial_those_due(now);
        if now >= self.ping_at {
            self.ping_all(now);
        }
        self.age(now);
        self.unsettled = false;
        self.settle(now);
        if cfg!(debug_assertions) {
            self.check_invariants();
        }
    }

    /// When [`Self::handle_timeout`] wants to be called.
    pub fn poll_timeout(&self) -> Option<Time> {
        let candidacy = self.candidacy.as_ref().and_then(Candidacy::next_step);
        [
            Some(self.ping_at),
            self.next_dial(),
            self.stand_at,
            self.cold_at,
            self.order.as_ref().map(|order| order.look_at),
            candidacy,
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// The next thing to do, oldest first. What a turn has appended goes to each peer in as few
    /// messages as it can, once everything else is out.
    pub fn poll_output(&mut self) -> Option<Output> {
        if self.outputs.is_empty() && std::mem::take(&mut self.to_send) {
            self.prepare_all();
        }
        self.outputs.pop_front()
    }

    /// Who this server is.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// What it has bound itself to.
    pub fn vote(&self) -> &Vote {
        &self.vote
    }

    /// What the committed ops have made of the cluster; `None` before its founding.
    pub fn cluster(&self) -> Option<&Cluster> {
        self.cluster.as_ref()
    }

    /// The newest view whose op is on this server's disk.
    pub fn view(&self) -> Option<&View> {
        self.log.newest().map(|(_, view)| view)
    }

    /// The highest op in the log.
    pub fn head(&self) -> OpNumber {
        self.log.head()
    }

    /// The highest op that is known to be committed.
    pub fn commit(&self) -> OpNumber {
        self.log.commit()
    }

    #[doc(hidden)]
    pub fn sabotage(&mut self, sabotage: Sabotage) {
        self.sabotage = sabotage;
    }

    /// Panics if something that is always true of the fields is not.
    pub fn check_invariants(&self) {
        self.log.check_invariants();
        if self.leading != Leading::No {
            assert!(self.following.is_none(), "it leads and follows");
            assert!(self.candidacy.is_none(), "it leads and stands");
        }
        if self.leading == Leading::Active {
            let view = self.view().expect("who leads has a view");
            assert_eq!(view.primary, self.identity.server);
            assert!(
                self.promised() <= view.number,
                "it leads against its promise"
            );
        }
        for (link, server) in &self.links {
            let peer = self.peers.get(server).expect("a link is a peer's");
            assert_eq!(peer.link.map(|(id, _)| id), Some(*link));
        }
        assert!(self.saves_done <= self.saves_asked);
    }

    fn message(&mut self, link: LinkId, message: PeerMessage, now: Time) {
        // Whoever has no id yet has nothing to say.
        let Some(&server) = self.links.get(&link) else {
            return;
        };
        self.hear(server, now);
        match message {
            PeerMessage::Ping(ping) => self.pinged(server, ping, now),
            PeerMessage::Pong { sent_at } => self.beat(server, sent_at, now),
            PeerMessage::Prepare(prepares) => self.prepare(server, prepares, now),
            PeerMessage::PrepareOk { view, op } => self.prepare_ok(server, view, op, now),
            PeerMessage::Propose(proposal) => self.proposed(server, proposal, now),
            PeerMessage::Promise { number, voter } => self.promised_by(number, voter, now),
            PeerMessage::Veto {
                number,
                voter,
                alive,
            } => self.vetoed(number, voter, alive, now),
            PeerMessage::Overruled {
                number,
                voter,
                promised,
            } => self.overruled(number, voter, promised, now),
            PeerMessage::Lead(lead) => self.led_by(server, lead, now),
            PeerMessage::LogState(state) => self.log_state(server, state, now),
            PeerMessage::Standing(standing) => self.standing_of(server, standing),
            PeerMessage::Welcome { server, lineage } => self.welcomed(link, server, lineage),
            PeerMessage::Leave => self.peer_leaves(server),
            PeerMessage::Addresses(servers) => self.told_addresses(&servers, now),
            // These are between the drivers.
            PeerMessage::Snapshot(_) | PeerMessage::SnapshotOk { .. } => {}
        }
    }

    /// Asks for what this server is bound to to be kept.
    fn save(&mut self) {
        self.saves_asked += 1;
        self.pace.began(self.called_at);
        self.outputs.push_back(Output::Save {
            identity: self.identity,
            vote: self.vote.clone(),
        });
    }

    /// Does something once everything that was asked to be kept is on disk.
    fn after_save(&mut self, action: AfterSave) {
        let is_done = self.saves_done == self.saves_asked;
        if (is_done || self.sabotage.promise_not_saved) && matches!(action, AfterSave::Send(..)) {
            return self.carry_out(action);
        }
        self.after_save.push_back((self.saves_asked, action));
    }

    fn saved(&mut self, now: Time) {
        self.saves_done += 1;
        self.disk_done(now);
        while let Some((_, action)) = self
            .after_save
            .pop_front_if(|(save, _)| *save <= self.saves_done)
        {
            if !self.sabotage.impatient && self.is_newest_promise(&action) {
                self.promised_at = now;
            }
            match action {
                AfterSave::OwnPromise(number) => self.own_promise_saved(number, now),
                AfterSave::Reborn => self.reborn(now),
                AfterSave::Named(process) => {
                    self.named = Some(process);
                    if let Some(leader) = self.following.as_ref().map(|it| it.leader) {
                        self.send_log_state(leader);
                    }
                }
                other => self.carry_out(other),
            }
        }
    }

    /// Whether an action tells the newest promise that this server has given to another one.
    fn is_newest_promise(&self, action: &AfterSave) -> bool {
        let AfterSave::Send(_, message) = action else {
            return false;
        };
        matches!(**message, PeerMessage::Promise { number, .. } if number == self.vote.promised)
    }

    /// The disk has done something that it was given.
    fn disk_done(&mut self, now: Time) {
        let is_all = self.saves_done == self.saves_asked && self.log.persisted() == self.log.head();
        self.pace.done(is_all, now);
    }

    fn carry_out(&mut self, action: AfterSave) {
        if let AfterSave::Send(server, message) = action {
            self.send_to(server, *message);
        }
    }

    /// The process of this server.
    fn me(&self) -> Member {
        self.identity.member()
    }

    /// The highest view number that this server has promised. Having a View op is a promise.
    fn promised(&self) -> ViewNumber {
        self.vote.promised.max(self.newest_number())
    }

    /// The number of the newest view on disk, if it is of the lineage that this server follows.
    fn newest_number(&self) -> ViewNumber {
        match self.view() {
            Some(view) if view.lineage == self.identity.lineage => view.number,
            _ => ViewNumber(0),
        }
    }

    /// This very process is a member of the newest view that it knows.
    fn is_intact(&self) -> bool {
        let me = self.me();
        self.newest_number() != ViewNumber(0) && self.view().is_some_and(|v| v.contains(me))
    }

    /// It leads a view that is in force.
    fn is_primary(&self) -> bool {
        self.leading == Leading::Active
    }

    /// Who leads, as far as this server knows.
    fn leader_id(&self) -> Option<ServerId> {
        if self.is_primary() {
            return Some(self.identity.server);
        }
        let following = self.following.as_ref()?;
        following.in_force.then_some(following.leader)
    }

    /// What it says of itself.
    fn report(&self) -> Report {
        Report {
            promised: self.promised(),
            newest: self.newest_number(),
            intact: self.is_intact(),
            leads: self.is_primary(),
            last: self.log.last(),
            commit: self.log.commit(),
            in_force: self.vote.in_force,
            damaged: self.damaged,
            stood: self.vote.stood,
            grace_ms: u32::try_from(self.config.grace.as_millis()).unwrap_or(u32::MAX),
            trust_refused: self.config.trust_refused,
            disk_ms: Report::ms_of(self.pace.slowest(self.called_at)),
            store_damaged: self.store_damaged,
            ordered: self.order.is_some(),
        }
    }

    fn note(&mut self, note: Note) {
        self.outputs.push_back(Output::Note(note));
    }

    /// Everything that may have become possible, in the order of what it makes unnecessary.
    fn settle(&mut self, now: Time) {
        self.resign_if_lost(now);
        self.give_way_if_damaged(now);
        self.try_decide(now);
        self.become_active(now);
        self.stand_or_wait(now);
        self.admit(now);
        self.cold_propose_or_wait(now);
        self.force_or_refuse(now);
        self.abandon_after_grace(now);
        self.go_on_with_requests();
        self.answer_reads(now);
    }
}

#[cfg(test)]
mod tests;
