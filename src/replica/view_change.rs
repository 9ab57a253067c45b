//! How does another view begin?
//!
//! Promotion, exclusion, admission and leaving are one mechanism. Somebody who is a member of the
//! newest view that it knows stands for a view: it proposes a number and a set of members, gathers
//! promises, and decides once it has a quorum in every view that it *stands* in, the newest in
//! force and all later ones in its log: more have promised than are silent, or as many, and the
//! one of them that ranks first has promised. Who is dead is left out of both counts.
//!
//! A promise binds: whoever gave it neither stands nor votes for a view outside of the members that
//! it was given for, until it is certain that it led to nothing.

use std::time::Duration;

use super::face::{LinkId, Note, Output};
use super::{AfterSave, Following, Leading, Replica};
use crate::types::{Binding, ClusterOp, Member, Op, OpNumber, ServerId, Time, View, ViewNumber};
use crate::wire::operation::encode_op;
use crate::wire::peer::{Lead, PeerMessage, Proposal};

/// How much later each further member stands, so that one is usually alone.
const RANK_APART: Duration = Duration::from_millis(10);
/// How often those who have not answered are asked again.
const ASK_AGAIN: Duration = Duration::from_millis(20);
/// How long a proposal may take.
const ATTEMPT: Duration = Duration::from_millis(200);
/// How long, in milliseconds, a candidate that failed waits before it stands again.
const PAUSE_MS: (u64, u64) = (10, 120);
/// How long, in milliseconds, a promise to another may lead to nothing before its giver stands.
const PATIENCE_MS: (u64, u64) = (250, 500);
/// So many times as long all of these become while one attempt after the other fails: on slow disks
/// and long lines nobody would ever be done in time.
const STRAIN_MAX: u64 = 8;

/// A proposal that this process has promised.
#[derive(Debug)]
pub(super) struct Promised {
    pub number: ViewNumber,
    pub members: Vec<Member>,
}

/// A proposal of this server's own.
#[derive(Debug)]
pub(super) struct Candidacy {
    pub proposal: Proposal,
    /// Who is admitted by it.
    pub learner: Option<Member>,
    /// It needs nobody's promise: an operator has said so.
    pub forced: bool,
    /// Its own promise is on disk: nobody is asked before.
    pub durable: bool,
    /// When those who have not answered are asked again.
    pub ask_at: Time,
    /// When it has failed.
    pub until: Time,
}

impl Candidacy {
    /// When time alone changes something about it.
    pub fn next_step(&self) -> Time {
        match self.durable {
            true => self.ask_at.min(self.until),
            false => self.until,
        }
    }

    pub fn number(&self) -> ViewNumber {
        self.proposal.number
    }
}

impl Replica {
    /// Goes on with a candidacy, or begins one when there is a reason to, in its turn.
    pub(super) fn stand_or_wait(&mut self, now: Time) {
        if let Some(candidacy) = &mut self.candidacy {
            if now >= candidacy.until {
                return self.give_up(now);
            }
            if candidacy.durable && now >= candidacy.ask_at {
                candidacy.ask_at = now + ASK_AGAIN;
                self.canvass(now);
            }
            return;
        }
        if !self.wants_to_stand(now) {
            self.stand_at = None;
            return;
        }
        let rank = self.rank(now);
        let first = now + RANK_APART * rank;
        let at = *self.stand_at.get_or_insert(first);
        if now < at || !self.may_stand(now) {
            if now >= at {
                // What is in the way is looked at again soon.
                self.stand_at = Some(now + ASK_AGAIN);
            }
            return;
        }
        self.stand_at = None;
        self.propose(None, now);
    }

    /// Whether the view should be another one, and this server may be the one to see to it.
    fn wants_to_stand(&self, now: Time) -> bool {
        let Some(view) = self.view() else {
            return false;
        };
        if !self.is_intact() || self.leaving && !self.leads_alone() {
            return false;
        }
        let someone_lost = view.members.iter().any(|m| self.is_lost(*m, now));
        match self.leading {
            // What it has just decided is not on disk yet, and is not among its views.
            Leading::Pending(op) if op > self.log.persisted() => return false,
            Leading::Pending(_) | Leading::Active => return someone_lost,
            Leading::No => {}
        }
        let i_am_primary = view.primary == self.identity.server;
        let primary = view.member(view.primary);
        let primary_lost = primary.is_none_or(|m| self.is_lost(m, now));
        let is_disturbed = self.promised() > view.number;
        // Whom it has promised something is on his way to lead. To stand against him now would only
        // take from him what he needs: his view could never come in force.
        let is_patient =
            is_disturbed && now < self.patience_ends() && !self.is_promised_in_vain(now);
        !is_patient && (i_am_primary || primary_lost || is_disturbed)
    }

    /// Whoever has this server's promise will not lead any more.
    fn is_promised_in_vain(&self, now: Time) -> bool {
        self.promised_here.as_ref().is_some_and(|promised| {
            let candidate = promised.number.candidate();
            let mut members = promised.members.iter();
            promised.number == self.promised()
                && members.any(|m| m.server == candidate && self.is_lost(*m, now))
        })
    }

    /// When a promise to another has had its time.
    fn patience_ends(&self) -> Time {
        let is_own = self.promised_here.as_ref().is_some_and(|promised| {
            promised.number == self.promised()
                && promised.number.candidate() == self.identity.server
        });
        if is_own {
            return self.promised_at;
        }
        // Differs from server to server, and from promise to promise.
        let spread = PATIENCE_MS.1 - PATIENCE_MS.0;
        let share = self.promised().0.wrapping_mul(0x9e37_79b9)
            ^ self.identity.incarnation.random.wrapping_mul(31);
        self.promised_at + Duration::from_millis((PATIENCE_MS.0 + share % spread) * self.strain())
    }

    /// How many rounds there were since the newest view that is known to be one.
    fn strain(&self) -> u64 {
        let round = self.highest_seen.max(self.promised()).round();
        let failed = round.saturating_sub(self.newest_number().round());
        failed.clamp(1, STRAIN_MAX)
    }

    /// Nobody else is a member.
    pub(super) fn leads_alone(&self) -> bool {
        self.view().is_some_and(|view| view.members.len() == 1)
    }

    /// A member that the next view should not have.
    pub(super) fn is_lost(&self, member: Member, now: Time) -> bool {
        if member == self.me() {
            return false;
        }
        let peer = self.peers.get(&member.server);
        let leaving = peer.is_some_and(|p| p.leaving && p.incarnation == Some(member.incarnation));
        let lagging = self.leading != Leading::No
            && peer.is_some_and(|p| {
                let progress = p.progress.as_ref();
                progress.is_some_and(|it| it.is_lagging(now, self.config.grace))
            });
        leaving || lagging || self.is_dead(member) || self.is_silent(member, now)
    }

    /// How many of those who remain come before this server: the primary does not wait.
    fn rank(&self, now: Time) -> u32 {
        let me = self.identity.server;
        let Some(view) = self.view() else { return 0 };
        if view.primary == me {
            return 0;
        }
        let before = view
            .members
            .iter()
            .filter(|m| m.server < me && !self.is_lost(**m, now));
        before.count() as u32
    }

    /// Whether everybody who has to be asked can be, or is known not to answer, and no promise
    /// forbids it.
    fn may_stand(&self, now: Time) -> bool {
        let me = self.me();
        if self.is_bound_against(me) {
            return false;
        }
        self.voters().into_iter().all(|voter| {
            voter == me
                || self.is_dead(voter)
                || self.is_silent(voter, now)
                || self.link_to(voter).is_some()
        })
    }

    /// The members of all views that this server stands in, each once.
    fn voters(&self) -> Vec<Member> {
        let mut voters: Vec<Member> = self
            .bases()
            .flat_map(|v| v.members.iter().copied())
            .collect();
        voters.sort_unstable();
        voters.dedup();
        voters
    }

    /// The views in whose terms this server needs a quorum.
    pub(super) fn bases(&self) -> impl Iterator<Item = &View> {
        let skip = match self.sabotage.newest_view_only {
            true => self.log.standing().count().saturating_sub(1),
            false => 0,
        };
        self.log.standing().skip(skip)
    }

    pub(super) fn link_to(&self, member: Member) -> Option<LinkId> {
        self.peers.get(&member.server)?.link_to(member)
    }

    /// A number above all that were seen, which no other proposal has.
    pub(super) fn next_number(&self) -> ViewNumber {
        let highest = self.highest_seen.max(self.promised());
        ViewNumber::new(highest.round() + 1, self.identity.server)
    }

    /// `propose`: this server stands for a view, with `learner` as a new member.
    pub(super) fn propose(&mut self, learner: Option<Member>, now: Time) {
        let me = self.me();
        let Some(view) = self.view() else { return };
        let mut members: Vec<Member> = view.members.clone();
        members.retain(|m| *m == me || !self.is_lost(*m, now));
        members.extend(learner);
        members.sort_by_key(|m| m.server);
        let others = |keep: &dyn Fn(Member) -> bool| -> Vec<Member> {
            let voters = self.voters().into_iter();
            voters.filter(|m| *m != me && keep(*m)).collect()
        };
        let proposal = Proposal {
            number: self.next_number(),
            lineage: self.identity.lineage,
            candidate: me,
            members,
            standing: self.bases().cloned().collect(),
            silent: others(&|m| !self.is_dead(m) && self.is_silent(m, now)),
            dead: others(&|m| self.is_dead(m)),
            promised: Vec::new(),
            unreached: Vec::new(),
            cold: false,
            last: self.log.last(),
        };
        self.begin_candidacy(proposal, learner, now);
    }

    /// A proposal is promised by its candidate first, durably.
    pub(super) fn begin_candidacy(
        &mut self,
        proposal: Proposal,
        learner: Option<Member>,
        now: Time,
    ) {
        let number = proposal.number;
        self.stop_leading(now);
        self.vote.promised = number;
        self.highest_seen = self.highest_seen.max(number);
        self.promised_here = Some(Promised {
            number,
            members: proposal.members.clone(),
        });
        self.promised_at = now;
        self.candidacy = Some(Candidacy {
            proposal,
            learner,
            forced: false,
            durable: false,
            ask_at: now,
            until: now + ATTEMPT * self.strain() as u32,
        });
        self.save();
        self.after_save(AfterSave::OwnPromise(number));
    }

    pub(super) fn own_promise_saved(&mut self, number: ViewNumber, now: Time) {
        let me = self.me();
        if let Some(candidacy) = &mut self.candidacy
            && candidacy.number() == number
        {
            candidacy.durable = true;
            candidacy.proposal.promised.push(me);
            candidacy.ask_at = now;
            self.unsettled = true;
        }
    }

    /// Asks everybody who has not promised yet.
    fn canvass(&mut self, now: Time) {
        let Some(candidacy) = &self.candidacy else {
            return;
        };
        let mut proposal = candidacy.proposal.clone();
        let asked: Vec<Member> = proposal
            .standing
            .iter()
            .flat_map(|view| view.members.iter().copied())
            .filter(|m| m.server != self.identity.server && !self.has_answered(&proposal, *m))
            .collect();
        let (reached, unreached): (Vec<Member>, Vec<Member>) = if proposal.cold {
            let linked = |m: &Member| self.peers.get(&m.server).is_some_and(|p| p.link.is_some());
            asked.into_iter().partition(linked)
        } else {
            asked
                .into_iter()
                .partition(|m| self.link_to(*m).is_some() && !self.is_silent(*m, now))
        };
        proposal.unreached = unreached.iter().map(|m| m.server).collect();
        proposal.unreached.dedup();
        let mut servers: Vec<ServerId> = reached.iter().map(|m| m.server).collect();
        if !proposal.unreached.is_empty() {
            // Whoever has promised already may still reach others.
            servers.extend(proposal.promised.iter().map(|m| m.server));
            // And who is silent may be so in one direction only.
            servers.extend(proposal.unreached.iter());
        }
        servers.sort_unstable();
        servers.dedup();
        for server in servers {
            self.send_to(server, PeerMessage::Propose(proposal.clone()));
        }
    }

    /// Whether a member need not be asked any more. At a cold start its id counts, whichever
    /// process of it is there.
    fn has_answered(&self, proposal: &Proposal, member: Member) -> bool {
        if proposal.cold {
            return proposal.promised.iter().any(|m| m.server == member.server);
        }
        proposal.promised.contains(&member) || self.is_dead(member)
    }

    /// A candidacy has come to nothing.
    pub(super) fn give_up(&mut self, now: Time) {
        if self.candidacy.take().is_some() {
            let pause = self.random.between(PAUSE_MS.0, PAUSE_MS.1) * self.strain();
            self.stand_at = Some(now + Duration::from_millis(pause));
            self.cold_at = self.stand_at;
        }
    }

    /// Somebody wants to lead a view.
    pub(super) fn proposed(&mut self, from: ServerId, proposal: Proposal, now: Time) {
        self.highest_seen = self.highest_seen.max(proposal.number);
        if proposal.lineage != self.identity.lineage
            || proposal.number.candidate() != proposal.candidate.server
            || proposal.candidate.server == self.identity.server
        {
            return;
        }
        if from == proposal.candidate.server {
            self.forward(&proposal);
        }
        let number = proposal.number;
        let voter = self.me();
        let given_here = self
            .promised_here
            .as_ref()
            .is_some_and(|p| p.number == number);
        if given_here && self.vote.promised == number {
            // It is asked again: the promise was lost on its way, or is not on disk yet.
            let message = PeerMessage::Promise { number, voter };
            return self.after_save(AfterSave::Send(from, Box::new(message)));
        }
        if number <= self.promised() {
            let promised = self.promised();
            let message = PeerMessage::Overruled {
                number,
                voter,
                promised,
            };
            return self.send_to(from, message);
        }
        if proposal.cold {
            return self.cold_promise(from, proposal, now);
        }
        if !proposal.standing.iter().any(|view| view.contains(voter)) {
            return;
        }
        let base = proposal.standing.last().map_or(ViewNumber(0), |v| v.number);
        if self.newest_number() > base {
            // It does not know the newest view: it is told.
            let standing = self.my_standing();
            return self.send_to(from, PeerMessage::Standing(standing));
        }
        if self.is_bound_against(proposal.candidate) || self.is_bound_too_often() {
            return;
        }
        match self.objection(&proposal, now) {
            Objection::None => self.promise(from, proposal, now),
            Objection::Undecided => {}
            Objection::Alive(alive) => self.send_to(
                from,
                PeerMessage::Veto {
                    number,
                    voter,
                    alive,
                },
            ),
        }
    }

    /// Hands a proposal on to those whom its candidate cannot reach.
    fn forward(&mut self, proposal: &Proposal) {
        for server in proposal.unreached.clone() {
            if server != self.identity.server {
                self.send_to(server, PeerMessage::Propose(proposal.clone()));
            }
        }
    }

    /// `veto`: whether somebody whom a proposal calls silent or dead is heard here.
    fn objection(&mut self, proposal: &Proposal, now: Time) -> Objection {
        if self.sabotage.no_veto {
            return Objection::None;
        }
        let me = self.me();
        for member in proposal.silent.iter().copied() {
            if member != me
                && !proposal.promised.contains(&member)
                && !self.is_silent(member, now)
                && !self.is_dead(member)
            {
                return Objection::Alive(member.server);
            }
        }
        let mut undecided = false;
        for member in proposal.dead.iter().copied() {
            if member == me {
                return Objection::Alive(me.server);
            }
            let Some(peer) = self.peers.get(&member.server) else {
                continue;
            };
            if peer.link_to(member).is_none() || self.is_silent(member, now) {
                self.claims.remove(&member);
                continue;
            }
            // There is a link to it: either that is about to end, too, or something comes by it.
            let claimed = *self.claims.entry(member).or_insert(now);
            if peer.heard.is_some_and(|at| at > claimed) {
                self.claims.remove(&member);
                return Objection::Alive(member.server);
            }
            undecided = true;
        }
        match undecided {
            true => Objection::Undecided,
            false => Objection::None,
        }
    }

    /// `promise`: durably, before it is told.
    pub(super) fn promise(&mut self, from: ServerId, proposal: Proposal, now: Time) {
        let number = proposal.number;
        self.stop_leading(now);
        self.candidacy = None;
        self.stand_at = None;
        self.vote.promised = number;
        self.promised_at = now;
        self.release();
        self.vote.bindings.push(Binding {
            number,
            members: proposal.members.clone(),
        });
        self.promised_here = Some(Promised {
            number,
            members: proposal.members,
        });
        self.save();
        let voter = self.me();
        let promise = PeerMessage::Promise { number, voter };
        self.after_save(AfterSave::Send(from, Box::new(promise)));
    }

    /// Lets go of the promises that are released.
    fn release(&mut self) {
        let mut bindings = std::mem::take(&mut self.vote.bindings);
        bindings.retain(|binding| !self.is_released(binding));
        self.vote.bindings = bindings;
    }

    /// Somebody has promised a proposal: mine, or that of somebody whom it cannot reach.
    pub(super) fn promised_by(&mut self, number: ViewNumber, voter: Member, now: Time) {
        let message = PeerMessage::Promise { number, voter };
        if self.relay(number, message) {
            return;
        }
        if let Some(candidacy) = &mut self.candidacy
            && candidacy.number() == number
            && candidacy.durable
            && !candidacy.proposal.promised.contains(&voter)
        {
            candidacy.proposal.promised.push(voter);
            // Those who objected to its silence may not any more.
            candidacy.ask_at = now;
            self.unsettled = true;
        }
    }

    /// Somebody hears one whom my proposal calls silent or dead.
    pub(super) fn vetoed(&mut self, number: ViewNumber, voter: Member, alive: ServerId, now: Time) {
        let message = PeerMessage::Veto {
            number,
            voter,
            alive,
        };
        if self.relay(number, message) {
            return;
        }
        let Some(candidacy) = &self.candidacy else {
            return;
        };
        if candidacy.number() != number {
            return;
        }
        if candidacy.proposal.dead.iter().any(|m| m.server == alive) {
            self.not_dead(alive);
            self.give_up(now);
        }
        // One who only seems silent here may still promise, by way of others.
    }

    /// Somebody has promised more, or knows more.
    pub(super) fn overruled(
        &mut self,
        number: ViewNumber,
        voter: Member,
        promised: ViewNumber,
        now: Time,
    ) {
        self.highest_seen = self.highest_seen.max(promised);
        let message = PeerMessage::Overruled {
            number,
            voter,
            promised,
        };
        if self.relay(number, message) {
            return;
        }
        if self
            .candidacy
            .as_ref()
            .is_some_and(|c| c.number() == number)
        {
            self.give_up(now);
        }
        if self.leading != Leading::No && number == self.newest_number() && promised > number {
            // A member will never follow this view: another one has to be.
            self.stop_leading(now);
        }
    }

    /// Hands an answer on to the candidate that it is for, if that is another server.
    fn relay(&mut self, number: ViewNumber, message: PeerMessage) -> bool {
        let candidate = number.candidate();
        if candidate == self.identity.server {
            return false;
        }
        self.send_to(candidate, message);
        true
    }

    /// `decide`: once there is a quorum in every standing view.
    pub(super) fn try_decide(&mut self, now: Time) {
        let Some(candidacy) = &self.candidacy else {
            return;
        };
        if !candidacy.durable || self.vote.promised != candidacy.number() {
            return;
        }
        let proposal = &candidacy.proposal;
        let is_decided = if proposal.cold {
            self.is_cold_decided(proposal)
        } else {
            let learner = candidacy.learner;
            let mut members = proposal.members.iter();
            members.all(|m| proposal.promised.contains(m) || learner == Some(*m))
                && self
                    .bases()
                    .all(|view| self.has_quorum(view, proposal, now))
        };
        if is_decided {
            self.decide(now);
        }
    }

    /// More members of a view have promised than are silent, or as many, and the one of both that
    /// ranks first has promised.
    fn has_quorum(&self, view: &View, proposal: &Proposal, now: Time) -> bool {
        let (mut promised, mut silent) = (Vec::new(), Vec::new());
        for member in view.members.iter().copied() {
            if proposal.promised.contains(&member) {
                promised.push(member);
            } else if self.is_dead(member) {
            } else if proposal.silent.contains(&member) && self.is_silent(member, now) {
                silent.push(member);
            } else {
                return false;
            }
        }
        outweighs(view, &promised, &silent)
    }

    /// The View op goes into the log; nobody is told before it is on disk.
    pub(super) fn decide(&mut self, now: Time) {
        let Some(candidacy) = self.candidacy.take() else {
            return;
        };
        let Proposal {
            number,
            members,
            promised,
            cold,
            ..
        } = candidacy.proposal;
        if cold {
            self.expect_guests(&promised, now);
        }
        let view = View {
            number,
            lineage: self.identity.lineage,
            primary: self.identity.server,
            members,
        };
        self.following = None;
        self.stand_at = None;
        self.cold_at = None;
        for peer in self.peers.values_mut() {
            peer.progress = None;
        }
        let op = self.log.head().next();
        let mut payload = Vec::new();
        encode_op(&mut payload, &Op::Cluster(ClusterOp::View(view)));
        self.append_in(number, None, self.wall_clock, &payload);
        self.leading = Leading::Pending(op);
    }

    /// A View op is on disk here: it is the newest view from now on.
    pub(super) fn view_on_disk(&mut self, now: Time) {
        let Some((op, view)) = self.log.newest() else {
            return;
        };
        let view = view.clone();
        self.view_since = now;
        // A member has everything, whatever it began with.
        self.damaged &= !view.contains(self.me());
        self.highest_seen = self.highest_seen.max(view.number);
        self.release();
        match self.leading {
            Leading::Pending(mine) if mine == op => self.announce(),
            Leading::Pending(_) | Leading::Active => {}
            Leading::No => self.followed_view_on_disk(op, &view, now),
        }
        self.unsettled = true;
    }

    /// The candidate and this server are its only members: as both have it, it is in force.
    fn followed_view_on_disk(&mut self, op: OpNumber, view: &View, now: Time) {
        let me = self.me();
        let mut others = view.members.iter().filter(|m| **m != me);
        let only_both = view.contains(me) && others.all(|m| m.server == view.primary);
        if only_both
            && self
                .following
                .as_ref()
                .is_some_and(|f| f.view.number == view.number && f.matched >= op)
        {
            self.commit_up_to(op, now);
        }
    }

    /// Tells everybody who leads.
    pub(super) fn announce(&mut self) {
        if let Some(lead) = self.lead_message() {
            self.send_to_all(&PeerMessage::Lead(lead));
        }
        let standing = self.my_standing();
        self.send_to_all(&PeerMessage::Standing(standing));
    }

    /// What this server knows of who leads, for others.
    pub(super) fn lead_message(&self) -> Option<Lead> {
        let servers = self
            .cluster
            .as_ref()
            .map_or(Vec::new(), |c| c.servers.clone());
        let (view, in_force) = match (&self.leading, &self.following) {
            (Leading::No, Some(following)) => (following.view.clone(), following.in_force),
            (Leading::No, None) => return None,
            (leading, _) => (self.view()?.clone(), *leading == Leading::Active),
        };
        if self.leading != Leading::No && view.primary != self.identity.server {
            return None; // Its own View op is not on disk yet.
        }
        Some(Lead {
            view,
            in_force,
            servers,
        })
    }

    /// `learn`: all members have the view: everything before it is committed, and clients may be
    /// answered.
    pub(super) fn become_active(&mut self, now: Time) {
        let Leading::Pending(op) = self.leading else {
            return;
        };
        if self.log.persisted() < op || self.on_all_disks() < op {
            return;
        }
        let Some(view) = self.view().cloned() else {
            return;
        };
        if self.promised() > view.number {
            return;
        }
        self.leading = Leading::Active;
        self.stopped_since = None;
        self.note(Note::Leads { view });
        self.commit_what_all_have(now);
        self.announce();
        self.ping_all(now);
        self.form();
        self.refresh_addresses();
        self.take_in_joiners();
        self.unsettled = true;
    }

    /// Clients are let in for ever, once the founder's number of backups is in sync.
    fn form(&mut self) {
        let Some(cluster) = &self.cluster else { return };
        let in_sync = self.view().map_or(0, |view| view.members.len() - 1);
        if !cluster.formed && in_sync >= usize::from(cluster.backups) {
            self.append_cluster_op(ClusterOp::Formed);
        }
    }

    /// Addresses that have changed while nobody could write them down.
    fn refresh_addresses(&mut self) {
        let me = self.identity;
        let linked = self.peers.iter().filter(|(_, peer)| peer.link.is_some());
        let mut addresses: Vec<_> = linked
            .filter_map(|(server, peer)| Some((*server, peer.address?)))
            .collect();
        if self.record(me.server).is_some() {
            addresses.push((me.server, me.address));
        }
        for (server, address) in addresses {
            self.note_address(server, address);
        }
    }

    /// No reads, no ops, no commits from here on.
    pub(super) fn stop_leading(&mut self, now: Time) {
        if self.leading == Leading::No {
            return;
        }
        if self.leading == Leading::Active {
            self.stopped_since = Some(now);
        }
        self.leading = Leading::No;
        self.guests = None;
        for peer in self.peers.values_mut() {
            peer.progress = None;
        }
        self.unsettled = true;
    }

    /// Who waits for an op of a view that has stopped, or cannot go on, is not left waiting for
    /// long.
    pub(super) fn abandon_after_grace(&mut self, now: Time) {
        let has_stopped = self
            .stopped_since
            .is_some_and(|at| now.since(at) > self.config.grace);
        if has_stopped {
            self.stopped_since = None;
            self.note(Note::Stopped);
        }
        self.is_stuck = self.is_primary() && self.has_long_lost_a_member(now);
        if !has_stopped && !self.is_stuck {
            return;
        }
        for ticket in self.log.take_tickets() {
            self.outputs.push_back(Output::Abandoned(ticket));
        }
        for ticket in std::mem::take(&mut self.reads) {
            self.outputs.push_back(Output::Refused(ticket));
        }
    }

    /// A member has been silent for a second grace, in which it could not be excluded.
    fn has_long_lost_a_member(&self, now: Time) -> bool {
        let grace = u64::try_from(self.config.grace.as_nanos()).unwrap_or(u64::MAX);
        let earlier = Time(now.0.saturating_sub(grace));
        self.view()
            .is_some_and(|view| view.members.iter().any(|m| self.is_silent(*m, earlier)))
    }

    /// Somebody leads, or says who does.
    pub(super) fn led_by(&mut self, server: ServerId, lead: Lead, now: Time) {
        let Lead {
            view,
            in_force,
            servers,
        } = lead;
        self.highest_seen = self.highest_seen.max(view.number);
        if view.lineage != self.identity.lineage && self.identity.cluster.0 != 0 {
            return;
        }
        self.know_servers(&servers, now);
        if view.primary != server || self.identity.server == ServerId(0) {
            return;
        }
        let me = self.me();
        if view.number < self.newest_number() {
            let standing = self.my_standing();
            return self.send_to(server, PeerMessage::Standing(standing));
        }
        if let Some(following) = &mut self.following
            && following.view.number == view.number
        {
            let begins = in_force && !following.in_force;
            following.in_force |= in_force;
            if begins {
                self.leader_in_force(view);
            }
            return;
        }
        if !view.contains(me) {
            return self.led_without_me(server, view, in_force, now);
        }
        if view.number < self.promised() {
            let message = PeerMessage::Overruled {
                number: view.number,
                voter: me,
                promised: self.promised(),
            };
            return self.send_to(server, message);
        }
        self.follow(server, view, in_force, now);
    }

    /// A view without this server: it is a learner, or has to become one.
    fn led_without_me(&mut self, server: ServerId, view: View, in_force: bool, now: Time) {
        if !in_force {
            // It may come to nothing; `resign_if_lost` looks whether it can.
            return;
        }
        if self.is_intact() && !self.leaving {
            return self.resign(now);
        }
        self.follow(server, view, in_force, now);
    }

    /// Takes the log of whoever leads a view from now on.
    fn follow(&mut self, leader: ServerId, view: View, in_force: bool, now: Time) {
        self.stop_leading(now);
        self.candidacy = None;
        self.stand_at = None;
        self.cold_at = None;
        self.guests = None;
        let is_news = in_force;
        self.following = Some(Following {
            view: view.clone(),
            leader,
            in_force,
            matched: OpNumber::ZERO,
            told: OpNumber::ZERO,
            acknowledged: OpNumber::ZERO,
        });
        if is_news {
            self.leader_in_force(view);
        }
        self.send_log_state(leader);
        self.unsettled = true;
    }

    fn leader_in_force(&mut self, view: View) {
        self.stopped_since = None;
        self.note(Note::Follows { view });
        self.unsettled = true;
    }

    /// Whether `server` leads the view that this server follows.
    pub(super) fn follows(&self, server: ServerId, view: ViewNumber) -> bool {
        let Some(following) = &self.following else {
            return false;
        };
        // A member keeps its promises; a learner's concern nobody before it is admitted.
        let has_promised_more = following.view.contains(self.me()) && self.promised() > view;
        !has_promised_more && following.leader == server && following.view.number == view
    }
}

/// Whether those who have promised are more than those who are silent, or as many, with the one of
/// both that ranks first among them.
pub(super) fn outweighs(view: &View, promised: &[Member], silent: &[Member]) -> bool {
    let both = || promised.iter().chain(silent);
    let first = both()
        .find(|m| m.server == view.primary)
        .or_else(|| both().min_by_key(|m| m.server));
    match promised.len().cmp(&silent.len()) {
        std::cmp::Ordering::Greater => true,
        std::cmp::Ordering::Equal => first.is_some_and(|first| promised.contains(first)),
        std::cmp::Ordering::Less => false,
    }
}

/// Whether a voter has something against a proposal.
enum Objection {
    None,
    /// It will know in a moment, and is asked again.
    Undecided,
    /// It hears this one.
    Alive(ServerId),
}
