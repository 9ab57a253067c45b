//! An operator's order to lead alone (`--force-primary`), for the day when a disk is gone for good.
//!
//! A new *lineage* begins: the history of the cluster goes on with what this server has, and what
//! only others had acknowledged is given up. So the order is not carried out at once. The server
//! first looks round for a while, as any server that starts: where a primary leads, or a member runs
//! that could, or a server that waits has more, the order would lose messages that are not lost yet,
//! and is refused. Of several that are ordered at once, the one with the lowest id goes first, and the
//! others follow it. An order is dealt with once, be it carried out or refused: if it was left behind in
//! a unit file, it has no effect at the next start, when the others may only be a little later.
//!
//! Positions in the log say nothing across lineages. A server that follows a new lineage gives up its
//! whole log for a snapshot; one that is forced goes on with its log, and its first view has a number
//! above all in it, whatever lineage they are of: so that in one log views always rise.

use std::time::Duration;

use super::face::{ForceRefusal, Note};
use super::{Leading, Replica};
use crate::types::{Lineage, Member, ServerId, Time, View, ViewNumber, Vote};
use crate::wire::peer::Report;

/// How long a server that is to be forced looks round at least: long enough to connect to every
/// server that it knows, to be told how each stands, and for a cold start to begin by itself.
const LOOKS_ROUND: Duration = Duration::from_millis(1500);
/// How long it waits at most for an answer from an address where another server may be; longer, if
/// the grace is, or if disks are slow.
const LOOKS_ROUND_MAX: Duration = Duration::from_secs(5);
/// How often it looks whether there is an answer.
const LOOKS_AGAIN: Duration = Duration::from_millis(20);

/// An order to lead alone that is not dealt with yet.
#[derive(Debug)]
pub(super) struct Order {
    given_at: Time,
    /// When it may be carried out, or is looked at again.
    pub look_at: Time,
}

impl Replica {
    /// An operator has ordered this server to lead alone: it looks round first.
    pub(super) fn take_order(&mut self, now: Time) {
        let pause = LOOKS_ROUND.max(self.config.grace);
        self.order = Some(Order {
            given_at: now,
            look_at: now + pause,
        });
    }

    /// A server that has no log yet has nothing to force: the order is dealt with.
    pub(super) fn settle_idle_order(&mut self) {
        if self.config.force && !self.sabotage.orders_stay {
            self.vote.ordered = Some(self.identity.lineage);
        }
    }

    /// The order was carried out or refused, and is not dealt with again.
    fn settle_order(&mut self) {
        self.order = None;
        if !self.sabotage.orders_stay {
            self.vote.ordered = Some(self.identity.lineage);
        }
        self.save();
    }

    /// Whether every other server has said how it stands, or could not be reached.
    fn has_looked_everywhere(&self) -> bool {
        self.peers.values().all(|peer| match peer.link {
            Some(_) => peer.report.is_some(),
            None => peer.address.is_none() || peer.dial.failures > 0,
        })
    }

    /// Carries out an order to lead alone, or says why not.
    pub(super) fn force_or_refuse(&mut self, now: Time) {
        let Some(order) = &self.order else { return };
        let waits_no_longer = now >= order.given_at + LOOKS_ROUND_MAX + self.election_allowance();
        let has_looked = now >= order.look_at && (waits_no_longer || self.has_looked_everywhere());
        let is_due = has_looked || self.sabotage.force_blindly;
        let refusal = self.force_refusal(is_due);
        if refusal.is_none() && !is_due {
            if let Some(order) = &mut self.order {
                order.look_at = order.look_at.max(now + LOOKS_AGAIN);
            }
            return;
        }
        let is_forced = refusal.is_none() || self.sabotage.force_blindly && self.is_whole();
        match refusal {
            Some(refusal) if !is_forced => self.note(Note::ForceRefused(refusal)),
            _ => self.force(now),
        }
        self.settle_order();
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
        if self.log.newest().is_none() {
            return Some(ForceRefusal::Empty);
        }
        if self.vote.ordered.is_some() {
            return Some(ForceRefusal::Done);
        }
        if self.leading != Leading::No {
            return Some(ForceRefusal::Served(self.identity.server));
        }
        if let Some(leader) = self.leader_id() {
            return Some(ForceRefusal::Served(leader));
        }
        if self.identity.lineage.counter == u32::MAX {
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
        if let Some((server, _)) = more {
            return Some(ForceRefusal::HasMore(server));
        }
        let goes_first = |(server, report): &(ServerId, Report)| {
            report.ordered
                && (report.newest, report.last) == mine
                && *server < self.identity.server
                && !self.sabotage.orders_apart
        };
        let first = linked().find(goes_first);
        first.map(|(server, _)| ForceRefusal::Another(server))
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
        self.vote.bindings.clear();
        self.highest_seen = self.highest_seen.max(self.highest_in_log());
        self.candidacy = None;
        // Who has a link still speaks of the history before.
        self.close_all(now);
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
        if self.order.is_some() {
            self.note(Note::ForceRefused(ForceRefusal::Overtaken));
            self.settle_order();
        }
        if self.log.newest().is_some() {
            self.note(Note::Adopted);
        }
        self.identity.lineage = lineage;
        self.vote = Vote {
            descent: std::mem::take(&mut self.vote.descent),
            ordered: self.vote.ordered.map(|_| lineage),
            ..Vote::default()
        };
        self.highest_seen = ViewNumber(0);
        self.rumours.clear();
        let now = self.called_at;
        self.resign(now);
    }
}
