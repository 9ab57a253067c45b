//! When does a server stand for another view?
//!
//! Promotion, exclusion, admission and leaving are one mechanism: somebody who is a member of the
//! newest view that it knows stands for the next one. The primary stands at once when a member is
//! lost; when the primary is, the others do in the order of their ids, so that one is usually alone.
//! Who fails tries again after a pause, which grows from attempt to attempt.

use std::time::Duration;

use super::face::LinkId;
use super::peers::Peer;
use super::{Leading, Replica};
use crate::types::{Member, OpNumber, Time, View, ViewNumber};
use crate::wire::peer::Proposal;

/// How often what is in the way of a candidate, or has not answered it, is looked at again.
pub(super) const ASK_AGAIN: Duration = Duration::from_millis(20);
/// How much later each further member stands, so that one is usually alone.
const RANK_APART: Duration = Duration::from_millis(10);
/// How long, in milliseconds, a promise to another may lead to nothing before its giver stands.
const PATIENCE_MS: (u64, u64) = (250, 500);
/// So many times as long all of these become while one attempt after the other fails: on slow disks
/// and long lines nobody would ever be done in time.
const STRAIN_MAX: u64 = 8;

impl Replica {
    /// Goes on with a candidacy, or begins one when there is a reason to, in its turn.
    pub(super) fn stand_or_wait(&mut self, now: Time) {
        if let Some(candidacy) = &self.candidacy
            && (candidacy.durable || self.sabotage.impatient)
            && self.has_failed(candidacy, now)
        {
            return self.give_up(now);
        }
        if let Some(candidacy) = &mut self.candidacy {
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
        let makes_way = self.leaving || self.gives_way(now);
        if !self.is_intact() || makes_way && !self.leads_alone() {
            return false;
        }
        let someone_lost = view.members.iter().any(|m| self.is_lost(*m, now));
        match self.leading {
            // What it has just decided is not on disk yet, and is not among its views.
            Leading::Pending(op) if op > self.log.persisted() => return false,
            Leading::Pending(op) => return someone_lost && !self.is_being_told(view, op, now),
            Leading::Active => return someone_lost,
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
        let is_abandoned = self.is_abandoned(view, now);
        !is_patient && (i_am_primary || primary_lost || is_disturbed || is_abandoned)
    }

    /// The primary of the newest view stands for another, in vain: it does not lead any more, and does
    /// not get what it needs, perhaps since it cannot reach those whom others hear.
    fn is_abandoned(&self, view: &View, now: Time) -> bool {
        self.primary_stands.is_some_and(|(number, since)| {
            number == view.number && now >= since + self.patience(number)
        })
    }

    /// Somebody proposes a view. If it is the primary of the newest one, that has no leader now.
    pub(super) fn note_that_primary_stands(&mut self, proposal: &Proposal, now: Time) {
        if let Some(view) = self.view()
            && proposal.candidate.server == view.primary
            && proposal.number > view.number
            && self
                .primary_stands
                .is_none_or(|(number, _)| number != view.number)
        {
            self.primary_stands = Some((view.number, now));
        }
    }

    /// Members that could soon have the view that this server has decided do not have it yet. If it
    /// stood again at once, nobody but this server would ever have that view in its log: the others,
    /// which do not see the same members silent, would refuse this server's proposals, and it theirs,
    /// as they do not know the newest view.
    fn is_being_told(&self, view: &View, op: OpNumber, now: Time) -> bool {
        let lacks_it = |member: &Member| {
            let progress = |peer: &Peer| Some(peer.progress.as_ref()?.on_disk);
            let on_disk = self.peers.get(&member.server).and_then(progress);
            *member != self.me()
                && !self.is_lost(*member, now)
                && on_disk.is_none_or(|on_disk| on_disk < op)
        };
        let patience = self.config.grace + self.election_allowance();
        now.since(self.promised_at) < patience && view.members.iter().any(lacks_it)
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

    /// What it has just decided is not on its disk yet, and nobody is told.
    pub(super) fn is_writing_view(&self) -> bool {
        matches!(self.leading, Leading::Pending(op) if op > self.log.persisted())
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
        self.promised_at + self.patience(self.promised())
    }

    /// How long somebody else's attempt may lead to nothing. Differs from server to server, and from
    /// view to view.
    fn patience(&self, number: ViewNumber) -> Duration {
        let spread = PATIENCE_MS.1 - PATIENCE_MS.0;
        let share =
            number.0.wrapping_mul(0x9e37_79b9) ^ self.identity.incarnation.random.wrapping_mul(31);
        let patience = Duration::from_millis((PATIENCE_MS.0 + share % spread) * self.strain());
        patience + self.election_allowance()
    }

    /// How many rounds there were since the newest view that is known to be one.
    pub(super) fn strain(&self) -> u64 {
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
                let patience = self.config.grace + self.disk_allowance(member.server);
                progress.is_some_and(|it| it.is_lagging(now, self.silence_counts_from, patience))
            });
        let too_slow = self.is_too_slow(member, now);
        leaving || lagging || too_slow || self.is_dead(member) || self.is_silent(member, now)
    }

    /// How many of those who remain come before this server: the primary does not wait.
    pub(super) fn rank(&self, now: Time) -> u32 {
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
    pub(super) fn voters(&self) -> Vec<Member> {
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
}
