//! Which server has which id, and where is it reached, by what the log says?
//!
//! The primary gives a new server the id above the highest that it knows of. An id may be given twice,
//! if the server that has the highest is replaced by another at its address; the two are told apart by
//! the random bits of their processes, and neither continues the other. Where [`SERVERS_MAX`] are
//! given, the one that is needed least makes room ([`ClusterOp::Forget`]).

use std::net::SocketAddr;

use super::face::{Identity, LinkId, Unwanted};
use super::{Joiner, Replica};
use crate::limits::SERVERS_MAX;
use crate::types::{ClusterOp, Incarnation, ServerId, ServerRecord};
use crate::wire::peer::PeerMessage;

impl Replica {
    /// A server without an id wants one: the primary gives it. It has looked for the primary at
    /// several addresses at once, and may come by as many links, also after it was told: it gets
    /// one id.
    pub(super) fn joiner_up(&mut self, link: LinkId, peer: Identity) {
        let process = peer.incarnation;
        let joiner = Joiner {
            address: peer.address,
            process,
            given: None,
        };
        self.joiners.insert(link, joiner);
        if let Some(lead) = self.lead_message() {
            self.send_by(link, PeerMessage::Lead(lead));
        }
        self.take_in_joiners();
        self.welcome_joiners();
    }

    /// Gives ids to those who wait for one, if this server leads.
    pub(super) fn take_in_joiners(&mut self) {
        if !self.is_primary() || self.identity.server == ServerId(0) || self.joiners.is_empty() {
            return;
        }
        let waiting: Vec<(LinkId, SocketAddr, Incarnation)> = self
            .joiners
            .iter()
            .filter(|(_, joiner)| joiner.given.is_none())
            .map(|(link, joiner)| (*link, joiner.address, joiner.process))
            .collect();
        for (link, address, process) in waiting {
            let given = self.given_to(process);
            if given.is_none() && self.makes_room() {
                break; // They are looked at again when there is room.
            }
            let Some(server) = given.or_else(|| self.next_server_id()) else {
                self.close(link, Some(Unwanted::TooMany));
                continue;
            };
            if let Some(joiner) = self.joiners.get_mut(&link) {
                joiner.given = Some(server);
            }
            if given.is_none() {
                self.ids_given.push_back((process, server));
                if self.ids_given.len() > SERVERS_MAX {
                    self.ids_given.pop_front();
                }
            }
            // Also if it is on its way already: it says the same again.
            if self.record(server).is_none() {
                self.append_cluster_op(ClusterOp::Join { server, address });
            }
        }
        self.welcome_joiners();
    }

    /// The id that a process was given here, if it was.
    fn given_to(&self, process: Incarnation) -> Option<ServerId> {
        let mut given = self.ids_given.iter();
        let (_, server) = given.find(|(other, _)| *other == process)?;
        Some(*server)
    }

    /// Whether there are as many servers as there can be, and one of them is being forgotten: one
    /// that no view needs, and to which there is no link; of several, the one that was not heard for
    /// longest. The one with the highest id stays, so that its id is not given again at once.
    fn makes_room(&mut self) -> bool {
        let Some(cluster) = &self.cluster else {
            return false;
        };
        if cluster.servers.len() < SERVERS_MAX {
            return false;
        }
        if self.forgetting.is_some_and(|it| self.record(it).is_some()) {
            return true;
        }
        let needed = self.voters();
        let highest = cluster.servers.iter().map(|it| it.server).max();
        let forgettable = cluster.servers.iter().map(|it| it.server).filter(|server| {
            let peer = self.peers.get(server);
            Some(*server) != highest
                && *server != self.identity.server
                && needed.iter().all(|member| member.server != *server)
                && peer.is_none_or(|peer| peer.link.is_none())
        });
        let last_heard = |server: &ServerId| self.peers.get(server).and_then(|peer| peer.heard);
        self.forgetting = forgettable.min_by_key(last_heard);
        if let Some(server) = self.forgetting {
            self.append_cluster_op(ClusterOp::Forget { server });
        }
        self.forgetting.is_some()
    }

    /// The id above the highest, unless there are too many servers. (Whoever is forgotten makes way for
    /// one with a higher id.)
    fn next_server_id(&self) -> Option<ServerId> {
        let cluster = self.cluster.as_ref()?;
        let given = self.ids_given.iter().map(|(_, server)| *server);
        let known = cluster.servers.iter().map(|record| record.server);
        let highest = known.chain(given).max().unwrap_or_default();
        let is_full = cluster.servers.len() >= SERVERS_MAX;
        (!is_full && highest.0 < u16::MAX).then(|| ServerId(highest.0 + 1))
    }

    /// The primary keeps the addresses in the log up to date.
    pub(super) fn note_address(&mut self, server: ServerId, address: SocketAddr) {
        if !self.is_primary() {
            return;
        }
        match self.record(server) {
            Some(record) if record.address == address => {}
            Some(_) => self.append_cluster_op(ClusterOp::Move { server, address }),
            // When there is room it says its address again, with its next link.
            None if self.makes_room() => {}
            // It was forgotten for another one at its address, and is there all the same.
            None => self.append_cluster_op(ClusterOp::Join { server, address }),
        }
    }

    /// Whose id is committed is told so.
    pub(super) fn welcome_joiners(&mut self) {
        let lineage = self.identity.lineage;
        let committed: Vec<(LinkId, ServerId)> = self
            .joiners
            .iter()
            .filter_map(|(link, joiner)| Some((*link, joiner.given?)))
            .filter(|(_, server)| self.record(*server).is_some())
            .collect();
        for (link, server) in committed {
            self.joiners.remove(&link);
            self.send_by(link, PeerMessage::Welcome { server, lineage });
        }
    }

    /// Addresses that have changed while nobody could write them down.
    pub(super) fn refresh_addresses(&mut self) {
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

    /// What the log says of a server.
    pub(super) fn record(&self, server: ServerId) -> Option<ServerRecord> {
        let servers = &self.cluster.as_ref()?.servers;
        let at = servers.binary_search_by_key(&server, |record| record.server);
        at.ok().map(|at| servers[at])
    }
}
