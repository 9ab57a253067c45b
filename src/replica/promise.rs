//! Does a server promise what another proposes?
//!
//! A promise is on disk before it is told, and binds: whoever gave it neither stands nor votes for a
//! view outside of the members that it was given for, until it is certain that it led to nothing.
//! Who hears somebody whom a proposal calls silent or dead objects.

use super::{AfterSave, Replica};
use crate::limits::BINDINGS_MAX;
use crate::types::{Binding, Member, ServerId, Time, ViewNumber};
use crate::wire::peer::{PeerMessage, Proposal};

/// A proposal that this process has promised.
#[derive(Debug)]
pub(super) struct Promised {
    pub number: ViewNumber,
    pub members: Vec<Member>,
}

impl Replica {
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
        self.note_candidate(&proposal);
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
        self.note_that_primary_stands(&proposal, now);
        if self.is_bound_against(proposal.candidate) {
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
        self.release();
        if self.vote.bindings.len() >= BINDINGS_MAX {
            return; // More cannot be kept in mind. It is asked again, and some are released meanwhile.
        }
        let number = proposal.number;
        self.stop_leading(now);
        self.candidacy = None;
        self.stand_at = None;
        self.vote.promised = number;
        if proposal
            .members
            .iter()
            .any(|m| m.server == self.identity.server)
        {
            self.vote.stood = number;
        }
        self.promised_at = now;
        self.vote.bindings.push(Binding {
            number,
            members: proposal.members.clone(),
        });
        self.promised_here = Some(Promised {
            number,
            members: proposal.members,
        });
        self.enter_descent();
        self.save();
        self.after_save(AfterSave::Named(self.identity.incarnation));
        let voter = self.me();
        let promise = PeerMessage::Promise { number, voter };
        self.after_save(AfterSave::Send(from, Box::new(promise)));
    }

    /// Lets go of the promises that are released.
    pub(super) fn release(&mut self) {
        let mut bindings = std::mem::take(&mut self.vote.bindings);
        bindings.retain(|binding| !self.is_released(binding));
        self.vote.bindings = bindings;
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
