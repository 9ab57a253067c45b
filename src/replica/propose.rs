//! How does a candidate get a view decided?
//!
//! It proposes a number and a set of members, gathers promises, and decides once it has a quorum in
//! every view that it *stands* in, the newest in force and all later ones in its log: more have
//! promised than are silent, or as many, and the one of both that ranks first has promised. Who is
//! dead is left out of both counts.

use std::time::Duration;

use super::promise::Promised;
use super::{AfterSave, Leading, Replica};
use crate::types::{ClusterOp, Member, Op, ServerId, Time, View, ViewNumber};
use crate::wire::operation::encode_op;
use crate::wire::peer::{PeerMessage, Proposal};

/// How long a proposal may take once its candidate's own promise is on disk, on disks that take no
/// time.
const ATTEMPT: Duration = Duration::from_millis(200);
/// How long, in milliseconds, a candidate that failed waits before it stands again.
const PAUSE_MS: (u64, u64) = (10, 120);

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
    /// Since when the others are asked.
    pub asked_since: Time,
}

impl Candidacy {
    /// When time alone changes something about it: never while its own promise is being saved.
    pub fn next_step(&self) -> Option<Time> {
        self.durable.then_some(self.ask_at)
    }

    pub fn number(&self) -> ViewNumber {
        self.proposal.number
    }
}

impl Replica {
    /// `propose`: this server stands for a view, with `learner` as a new member.
    pub(super) fn propose(&mut self, learner: Option<Member>, now: Time) {
        let me = self.me();
        let Some(view) = self.view() else { return };
        let mut members: Vec<Member> = view.members.clone();
        let too_slow = members.iter().find(|m| self.is_too_slow(**m, now)).copied();
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
        if let Some(member) = too_slow {
            self.ban(member, now);
        }
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
        if number <= self.promised() {
            return; // Somebody has named a number that none can follow. No promise is taken back.
        }
        self.stop_leading(now);
        self.vote.promised = number;
        self.vote.stood = number;
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
            asked_since: now,
        });
        self.enter_descent();
        self.save();
        self.after_save(AfterSave::Named(self.identity.incarnation));
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
            if !self.sabotage.impatient {
                candidacy.asked_since = now;
            }
            self.unsettled = true;
        }
    }

    /// Whether a proposal has failed: those who are asked had time enough to save their promises.
    /// A voter that has said nothing since it was asked is at its disk, as long as it is not
    /// silent; to ask anew, with another number, would cost it another sync.
    pub(super) fn has_failed(&self, candidacy: &Candidacy, now: Time) -> bool {
        let time = ATTEMPT * self.strain() as u32 + self.election_allowance();
        if now.since(candidacy.asked_since) < time {
            return false;
        }
        let is_at_its_disk = |member: &Member| {
            let peer = self.peers.get(&member.server);
            self.link_to(*member).is_some()
                && !self.is_silent(*member, now)
                && peer.is_some_and(|p| p.heard.is_some_and(|at| at < candidacy.asked_since))
        };
        let proposal = &candidacy.proposal;
        let mut awaited = proposal
            .members
            .iter()
            .filter(|m| !proposal.promised.contains(m));
        self.sabotage.impatient || !awaited.any(is_at_its_disk)
    }

    /// Asks everybody who has not promised yet.
    pub(super) fn canvass(&mut self, now: Time) {
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
        proposal.unreached.sort_unstable();
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

    /// Somebody has promised a proposal: mine, or that of somebody whom it cannot reach.
    pub(super) fn promised_by(&mut self, number: ViewNumber, voter: Member, now: Time) {
        let message = PeerMessage::Promise { number, voter };
        if self.relay(number, message) {
            return;
        }
        if let Some(candidacy) = &mut self.candidacy
            && candidacy.number() == number
            && candidacy.durable
            && candidacy.proposal.has_voter(voter)
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
    fn decide(&mut self, now: Time) {
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
