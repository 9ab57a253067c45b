//! An operator's order to lead alone (`--force-primary`), for the day when a disk is gone for good.
//!
//! A new *lineage* begins: the history of the cluster goes on with what this server has, and what
//! only others had acknowledged is given up. So the order is not carried out at once. The server
//! first looks round for a while, as any server that starts: where a primary leads, or a member runs
//! that could, or a server that waits has more, the order would lose messages that are not lost yet,
//! and is refused. It is carried out once: an order that was left behind in a unit file has no effect
//! at the next start.
//!
//! Positions in the log say nothing across lineages. A server that follows a new lineage gives up its
//! whole log for a snapshot; one that is forced goes on with its log, and its first view has a number
//! above all in it, whatever lineage they are of: so that in one log views always rise.

use std::time::Duration;

use super::face::{ForceRefusal, Note};
use super::{Leading, Replica};
use crate::types::{Lineage, Member, ServerId, Time, View, ViewNumber, Vote};

/// How long a server that is to be forced looks round at least: long enough to connect to every
/// server that it knows, to be told how each stands, and for a cold start to begin by itself.
const LOOKS_ROUND: Duration = Duration::from_millis(1500);
/// How much longer the next server of several that are forced at once does, so that it hears of the
/// first.
const FORCED_APART: Duration = Duration::from_millis(400);
/// After how many of them it begins anew.
const FORCED_APART_MAX: u16 = 8;

impl Replica {
    /// How long this server looks round before it carries out an order to lead alone.
    pub(super) fn force_pause(&self) -> Duration {
        let turn = u32::from(self.identity.server.0 % FORCED_APART_MAX);
        LOOKS_ROUND.max(self.config.grace) + FORCED_APART * turn
    }

    /// Carries out an order to lead alone, or says why not.
    pub(super) fn force_or_refuse(&mut self, now: Time) {
        let Some(at) = self.force_at else { return };
        let is_due = now >= at || self.sabotage.force_blindly;
        let refusal = self.force_refusal(is_due);
        if refusal.is_none() && !is_due {
            return;
        }
        self.force_at = None;
        match refusal {
            Some(_) if self.sabotage.force_blindly && self.is_whole() => self.force(now),
            Some(refusal) => self.note(Note::ForceRefused(refusal)),
            None => self.force(now),
        }
    }

    /// It has a log of a cluster that it could go on with.
    fn is_whole(&self) -> bool {
        !self.damaged && self.log.newest().is_some()
    }

    /// Why the order is not carried out; as long as this server still looks round, only what will not
    /// change.
    fn force_refusal(&self, is_due: bool) -> Option<ForceRefusal> {
        if self.damaged {
            return Some(ForceRefusal::Damaged);
        }
        let Some((_, view)) = self.log.newest() else {
            return Some(ForceRefusal::Empty);
        };
        let lineage = self.identity.lineage;
        if self.vote.forced == Some(lineage) && view.lineage == lineage {
            return Some(ForceRefusal::Done);
        }
        if self.leading != Leading::No {
            return Some(ForceRefusal::Served(self.identity.server));
        }
        if let Some(leader) = self.leader_id() {
            return Some(ForceRefusal::Served(leader));
        }
        if lineage.counter == u32::MAX {
            return Some(ForceRefusal::TooOften);
        }
        if !is_due {
            return None;
        }
        let linked = || {
            let peers = self.peers.iter().filter(|(_, peer)| peer.link.is_some());
            peers.filter_map(|(server, peer)| Some((*server, peer.report?)))
        };
        if let Some((server, _)) = linked().find(|(_, report)| report.leads) {
            return Some(ForceRefusal::Served(server));
        }
        if let Some((server, _)) = linked().find(|(_, report)| report.intact) {
            return Some(ForceRefusal::Member(server));
        }
        let mine = (self.newest_number(), self.log.last());
        let more = linked().find(|(_, report)| (report.newest, report.last) > mine);
        more.map(|(server, _)| ForceRefusal::HasMore(server))
    }

    /// A new lineage begins with this server alone.
    fn force(&mut self, now: Time) {
        let me = self.identity.server;
        let others = self.bases().flat_map(|view: &View| view.members.iter());
        let mut others: Vec<ServerId> = others.map(|m: &Member| m.server).collect();
        others.retain(|server| *server != me);
        others.sort_unstable();
        others.dedup();
        self.note(Note::Forced {
            last: self.log.last(),
            time: self.wall_clock,
            others,
        });
        self.identity.lineage = Lineage {
            counter: self.identity.lineage.counter.saturating_add(1),
            random: self.random.next(),
        };
        self.vote.forced = Some(self.identity.lineage);
        self.vote.bindings.clear();
        self.highest_seen = self.highest_seen.max(self.highest_in_log());
        self.candidacy = None;
        self.following = None;
        self.lead_alone(now);
        if let Some(candidacy) = &mut self.candidacy {
            // Whatever stood before is overruled.
            candidacy.forced = true;
        }
    }

    /// The number of the newest view in the log, whatever lineage it is of.
    fn highest_in_log(&self) -> ViewNumber {
        self.log
            .newest()
            .map_or(ViewNumber(0), |(_, view)| view.number)
    }

    /// Another server was forced: this one's history is not the cluster's any more where the two
    /// differ.
    pub(super) fn adopt_lineage(&mut self, lineage: Lineage) {
        if self.force_at.take().is_some() {
            self.note(Note::ForceRefused(ForceRefusal::Overtaken));
        }
        self.identity.lineage = lineage;
        self.vote = Vote {
            descent: std::mem::take(&mut self.vote.descent),
            ..Vote::default()
        };
        self.highest_seen = ViewNumber(0);
        self.rumours.clear();
        let now = self.called_at;
        self.resign(now);
    }
}
