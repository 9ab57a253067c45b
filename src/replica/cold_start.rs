//! The first moment of a process: a cluster is founded, or a server starts with what it has.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;

use super::{Cluster, Entry, Incarnation, Lineage, Replica, ServerId, Status, View};
use crate::types::{ClusterId, ClusterOp, Member, OpNumber, Timestamp, ViewNumber};
use crate::wire::operation::decode_op;

/// Who a server is, as its superblock says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The cluster it belongs to.
    pub cluster: ClusterId,
    /// The line of the cluster's history that it follows.
    pub lineage: Lineage,
    /// Its id.
    pub server: ServerId,
    /// This process of it.
    pub incarnation: Incarnation,
    /// Its member address.
    pub address: SocketAddr,
}

/// The log of a server cannot be gone on with.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidLog {
    /// An op that this version cannot read: the log is another version's, or damaged in a way
    /// that its checksum does not show.
    #[error("op {0} of the journal cannot be read by this version")]
    Unreadable(OpNumber),
    /// There are ops, but neither the store nor they know of a founding.
    #[error(
        "the store and the journal do not fit together: the founding of the cluster is missing"
    )]
    NoFounding,
    /// The newest view has other members, which may have gone on alone.
    #[error("the newest view has other servers, which this version cannot wait for")]
    OtherMembers,
}

impl Replica {
    /// The first process of a new cluster. It lets clients in once `backups` others are in sync.
    pub fn found(identity: Identity, backups: u16, time: Timestamp) -> Self {
        let mut replica = Self::new(identity, None, ViewNumber(0), OpNumber::ZERO);
        let Identity {
            cluster,
            lineage,
            server,
            address,
            ..
        } = identity;
        replica.append_cluster_op(
            ClusterOp::Found {
                cluster,
                lineage,
                backups,
            },
            time,
        );
        replica.append_cluster_op(ClusterOp::Join { server, address }, time);
        replica.propose_view(time);
        replica
    }

    /// A process that starts with data: `cluster` as of the op `applied`, and all ops behind it
    /// that the journal holds, in order. They are committed with the new view.
    ///
    /// A server whose newest view is itself alone may start at once: nobody can have gone on
    /// without it.
    pub fn restart(
        identity: Identity,
        cluster: Option<Cluster>,
        applied: OpNumber,
        log: Vec<Entry>,
        time: Timestamp,
    ) -> Result<Self, InvalidLog> {
        let newest = newest_view(cluster.as_ref(), &log)?;
        if newest.members.iter().any(|m| m.server != identity.server) {
            return Err(InvalidLog::OtherMembers);
        }
        let address_known = newest_address(cluster.as_ref(), &log, identity.server)?;
        let mut replica = Self::new(identity, cluster, newest.number, applied);
        replica.head = OpNumber(applied.0 + log.len() as u64);
        replica.persisted = replica.head;
        replica.uncommitted = log.into_iter().map(|e| (Arc::new(e), None)).collect();
        replica.propose_view(time);
        if address_known != Some(identity.address) {
            let Identity {
                server, address, ..
            } = identity;
            let op = match address_known {
                Some(_) => ClusterOp::Move { server, address },
                None => ClusterOp::Join { server, address },
            };
            replica.append_cluster_op(op, time);
        }
        Ok(replica)
    }

    fn new(
        identity: Identity,
        cluster: Option<Cluster>,
        newest: ViewNumber,
        applied: OpNumber,
    ) -> Self {
        let view = View {
            number: ViewNumber::new(newest.round() + 1, identity.server),
            lineage: identity.lineage,
            primary: identity.server,
            members: vec![Member {
                server: identity.server,
                incarnation: identity.incarnation,
            }],
        };
        Self {
            identity,
            status: Status::Pending,
            cluster,
            view,
            // No op has this number yet; `propose_view` says which one it is.
            view_op: OpNumber::MAX,
            head: applied,
            persisted: applied,
            commit: applied,
            uncommitted: VecDeque::new(),
            outputs: VecDeque::new(),
        }
    }

    fn propose_view(&mut self, time: Timestamp) {
        self.view_op = self.head.next();
        self.append_cluster_op(ClusterOp::View(self.view.clone()), time);
    }
}

fn newest_view(cluster: Option<&Cluster>, log: &[Entry]) -> Result<View, InvalidLog> {
    let mut newest = cluster.map(|c| c.view.clone());
    let mut founded = cluster.is_some();
    for op in cluster_ops(log) {
        match op? {
            ClusterOp::Found { .. } => founded = true,
            ClusterOp::View(view) if founded => newest = Some(view),
            _ => {}
        }
    }
    if !founded {
        return Err(InvalidLog::NoFounding);
    }
    // A founder that died between its first op and its first view has led nothing yet.
    Ok(newest.unwrap_or(View {
        number: ViewNumber(0),
        lineage: Lineage::default(),
        primary: ServerId(0),
        members: Vec::new(),
    }))
}

fn newest_address(
    cluster: Option<&Cluster>,
    log: &[Entry],
    me: ServerId,
) -> Result<Option<SocketAddr>, InvalidLog> {
    let mut newest = cluster
        .and_then(|c| c.servers.iter().find(|s| s.server == me))
        .map(|s| s.address);
    for op in cluster_ops(log) {
        match op? {
            ClusterOp::Join { server, address } | ClusterOp::Move { server, address }
                if server == me =>
            {
                newest = Some(address);
            }
            _ => {}
        }
    }
    Ok(newest)
}

fn cluster_ops(log: &[Entry]) -> impl Iterator<Item = Result<ClusterOp, InvalidLog>> + '_ {
    log.iter()
        .filter_map(|entry| match decode_op(entry.payload()) {
            Ok(crate::types::Op::Cluster(op)) => Some(Ok(op)),
            Ok(crate::types::Op::Chat(_)) => None,
            Err(_) => Some(Err(InvalidLog::Unreadable(entry.op()))),
        })
}
