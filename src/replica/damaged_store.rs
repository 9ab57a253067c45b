//! How is a store repaired that the disk has damaged?
//!
//! The store is a materialised view of the log. Where the disk has changed a part of it (a message whose checksum is
//! wrong, a page that does not hang together), the rest can still be served, and the journal, which is whole, still
//! counts for everything that was acknowledged: also where the store can take in nothing more. So the server stays
//! what it is as long as it is needed, and no longer:
//!
//! - It says in its reports that its store is damaged, and gives nobody a snapshot of it.
//! - As soon as another member of its view has a whole store, it asks the members to go on without it, by the same
//!   Leave by which a server ends. If it leads, it thereby hands over.
//! - Once a view without it is in force it resigns, comes back as a learner, and says of its log what a server says
//!   whose log has nothing in common with the primary's. So it gets a snapshot, which replaces everything.
//! - Where the primary's store is damaged, too, it takes part by ops, like every other: two servers with damage at
//!   different places are better than one.

use super::Replica;
use super::face::Note;
use crate::types::{Member, OpNumber, Time};
use crate::wire::peer::PeerMessage;

impl Replica {
    /// The disk has lost or changed something of the store.
    pub(super) fn store_is_damaged(&mut self) {
        if self.sabotage.damage_ignored || std::mem::replace(&mut self.store_damaged, true) {
            return;
        }
        self.unsettled = true;
        // A learner is fed by ops. It has to be fed by a snapshot from now on.
        if let Some(following) = &self.following
            && !self.is_intact()
        {
            let leader = following.leader;
            self.send_log_state(leader);
        }
    }

    /// Asks the other members, once, to go on without this process.
    pub(super) fn give_way_if_damaged(&mut self, now: Time) {
        if self.gives_way(now) && !std::mem::replace(&mut self.gave_way, true) {
            self.note(Note::GivesWay);
            self.send_to_all(&PeerMessage::Leave);
        }
    }

    /// The store here is damaged, and another member has a whole one: the view is to go on without this server,
    /// which neither stands nor admits anybody meanwhile. Where the last such member is lost, this one is needed
    /// again.
    ///
    /// Not while a view is pending: a member that never heard of it could not get past it, and would wait for this
    /// server to bring it about.
    pub(super) fn gives_way(&self, now: Time) -> bool {
        let newest = self.log.newest().map_or(OpNumber::ZERO, |(op, _)| op);
        self.store_damaged
            && !self.leaving
            && self.is_intact()
            && self.candidacy.is_none()
            && self.log.in_force() == newest
            && self.has_whole_member(now)
    }

    /// Another member of the newest view is linked, and has a whole store as far as it knows.
    pub fn has_whole_member(&self, now: Time) -> bool {
        let me = self.me();
        let is_whole = |member: Member| {
            let report = self.peers.get(&member.server).and_then(|peer| peer.report);
            self.link_to(member).is_some()
                && !self.is_lost(member, now)
                && report.is_some_and(|report| report.intact && !report.store_damaged)
        };
        self.view()
            .is_some_and(|view| view.members.iter().any(|it| *it != me && is_whole(*it)))
    }

    /// Whether a snapshot of the server that is followed is to replace everything here.
    pub(super) fn wants_snapshot(&self) -> bool {
        let leader = self.following.as_ref().map(|following| following.leader);
        let report = leader
            .and_then(|leader| self.peers.get(&leader))
            .and_then(|peer| peer.report);
        self.store_damaged
            && !self.is_intact()
            && report.is_some_and(|report| !report.store_damaged)
    }
}
