//! Which process continues which: proof of descent.
//!
//! A counter of starts does not tell whether a process holds what an earlier process of its server
//! acknowledged: a copy of a data folder, put back and started often enough, has a high counter,
//! too. So each folder names the processes that it continues ([`Vote::descent`]), and a process
//! counts for an earlier one only if its folder names that one. A process is added to the list,
//! durably, before it can be named in a view: before it promises or proposes anything, and before it
//! acknowledges its first op. What the original added after a copy was taken is missing in the copy.
//!
//! A copy of a folder names the processes of its original, which may have gone on since, and alone.
//! The driver recognises a copy (see [`crate::journal::superblock`]) and starts it with an empty list.

use super::{AfterSave, Replica};
use crate::limits::{DESCENT_MAX, GOSSIPED_DESCENT_MAX};
use crate::types::{Incarnation, Member, Vote};
use crate::wire::peer::Rumour;

impl Replica {
    /// Whether this server's folder holds what `member`, a process of this server, acknowledged.
    pub(super) fn continues(&self, member: Member) -> bool {
        self.is_descendant(self.me(), &self.vote.descent, member)
    }

    /// Whether the process that is linked holds what `member`, a process of the same server,
    /// acknowledged.
    pub(super) fn peer_continues(&self, member: Member) -> bool {
        self.peers.get(&member.server).is_some_and(|peer| {
            peer.process(member.server)
                .is_some_and(|process| self.is_descendant(process, &peer.descent, member))
        })
    }

    /// Whether a process that was heard of, perhaps by way of others, is `member` or a later process
    /// that continues it.
    pub(super) fn gossiped_continues(&self, rumour: &Rumour, member: Member) -> bool {
        let process = rumour.member;
        // What it has said itself is the whole list.
        let peer = self.peers.get(&process.server);
        let peer = peer.filter(|peer| peer.incarnation == Some(process.incarnation));
        peer.is_some_and(|peer| self.is_descendant(process, &peer.descent, member))
            || self.is_descendant(process, &rumour.descent, member)
    }

    pub(super) fn is_descendant(
        &self,
        process: Member,
        descent: &[Incarnation],
        member: Member,
    ) -> bool {
        if process.server != member.server {
            return false;
        }
        if self.sabotage.counter_for_descent {
            return process.incarnation.counter >= member.incarnation.counter;
        }
        process == member || descent.contains(&member.incarnation)
    }

    /// Adds this process to those that its folder continues: from now on it may be named in a view.
    /// The caller saves. Answers whether it was not there yet.
    pub(super) fn enter_descent(&mut self) -> bool {
        let me = self.identity.incarnation;
        if self.vote.descent.contains(&me) {
            return false;
        }
        self.vote.descent.push(me);
        let beyond = self.vote.descent.len().saturating_sub(DESCENT_MAX);
        self.vote.descent.drain(..beyond);
        true
    }

    /// Whether this process may say what it has on disk: only once its folder names it, since whoever
    /// acknowledges may be admitted to a view. Otherwise sees to it that it will be.
    pub(super) fn may_acknowledge(&mut self) -> bool {
        if self.enter_descent() {
            self.save();
            self.after_save(AfterSave::Named(self.identity.incarnation));
        }
        self.named == Some(self.identity.incarnation)
    }
}

/// The newest processes of a list, as many as are told about a third server.
pub(super) fn gossiped(descent: &[Incarnation]) -> Vec<Incarnation> {
    let from = descent.len().saturating_sub(GOSSIPED_DESCENT_MAX);
    descent[from..].to_vec()
}

/// The newest process that a folder continues, other than `process` itself; 0 if there is none.
pub fn ancestor_of(process: Incarnation, vote: &Vote) -> Incarnation {
    let mut earlier = vote.descent.iter().rev().filter(|it| **it != process);
    earlier.next().copied().unwrap_or_default()
}
