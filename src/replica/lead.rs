//! How does a decided view come in force, and how does it end?
//!
//! Its View op is on its primary's disk before anybody hears of it; once all its members have it,
//! everything before it is committed, and clients may be answered. Whoever promises a higher number,
//! or hears of a higher view, stops at once: no reads, no ops, no commits.

use super::face::{Note, Output};
use super::{Following, Leading, Replica};
use crate::types::{ClusterOp, OpNumber, ServerId, Time, View, ViewNumber};
use crate::wire::peer::{Lead, PeerMessage};

impl Replica {
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
    fn announce(&mut self) {
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
        // The op by which somebody was to make room may be cut off.
        self.forgetting = None;
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
