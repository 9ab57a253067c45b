//! Normal operation: a request becomes an op, the op is persisted, the op is committed.

use std::net::SocketAddr;
use std::sync::Arc;

use super::{Entry, Output, Replica, Status, Ticket};
use crate::types::{Cluster, ClusterOp, Op, OpNumber, ServerRecord, Timestamp};
use crate::wire::operation::{decode_op, encode_op, is_cluster_op};
use crate::wire::prepare::Prepare;

impl Replica {
    /// A client's request gets the next number, unless nobody would commit it.
    pub(super) fn request(&mut self, ticket: Ticket, time: Timestamp, payload: &[u8]) {
        if self.serves() {
            self.append(Some(ticket), time, payload);
        } else {
            self.outputs.push_back(Output::NotReady(ticket));
        }
    }

    /// A read is answered at once by who leads a view of one: no other member can have
    /// acknowledged anything.
    pub(super) fn read(&mut self, ticket: Ticket) {
        self.outputs.push_back(if self.serves() {
            Output::Readable(ticket)
        } else {
            Output::NotReady(ticket)
        });
    }

    /// Tells the cluster where this server is reached from now on.
    pub(super) fn moved(&mut self, address: SocketAddr, time: Timestamp) {
        if self.identity.address != address {
            self.identity.address = address;
            let server = self.identity.server;
            self.append_cluster_op(ClusterOp::Move { server, address }, time);
        }
    }

    /// Gives an op about the cluster the next number.
    pub(super) fn append_cluster_op(&mut self, op: ClusterOp, time: Timestamp) {
        let mut payload = Vec::new();
        encode_op(&mut payload, &Op::Cluster(op));
        self.append(None, time, &payload);
    }

    fn append(&mut self, ticket: Option<Ticket>, time: Timestamp, payload: &[u8]) {
        self.head = self.head.next();
        let prepare = Prepare {
            view: self.view.number,
            op: self.head,
            commit: self.commit,
            time,
            payload,
        };
        let entry = Arc::new(Entry::new(&prepare));
        self.uncommitted.push_back((Arc::clone(&entry), ticket));
        self.outputs.push_back(Output::Append(entry));
    }

    /// An op is committed once the journal of every member has it: here, this server's own.
    pub(super) fn journal_persisted(&mut self, op: OpNumber) {
        assert!(op <= self.head, "the journal has more than it was given");
        self.persisted = self.persisted.max(op);
        let view_was_pending = self.status == Status::Pending;
        let mut time = Timestamp(0);
        while self.commit < self.persisted {
            let (entry, ticket) = self
                .uncommitted
                .pop_front()
                .expect("what is not committed is here");
            self.commit = entry.op();
            time = entry.time;
            self.apply_cluster_op(&entry);
            self.outputs.push_back(Output::Committed { entry, ticket });
        }
        if view_was_pending && self.commit >= self.view_op {
            self.view_in_force(time);
        }
    }

    /// Keeps the cluster's part of the state up to date.
    fn apply_cluster_op(&mut self, entry: &Entry) {
        if !is_cluster_op(entry.payload()) {
            return;
        }
        let Ok(Op::Cluster(op)) = decode_op(entry.payload()) else {
            return;
        };
        match (op, &mut self.cluster) {
            (
                ClusterOp::Found {
                    cluster, backups, ..
                },
                none @ None,
            ) => {
                *none = Some(Cluster {
                    id: cluster,
                    backups,
                    formed: false,
                    servers: Vec::new(),
                    view: self.view.clone(),
                    views: Vec::new(),
                });
            }
            (ClusterOp::Join { server, address }, Some(cluster))
            | (ClusterOp::Move { server, address }, Some(cluster)) => {
                let record = ServerRecord {
                    server,
                    address,
                    incarnation: 0,
                };
                match cluster.servers.binary_search_by_key(&server, |s| s.server) {
                    Ok(at) => cluster.servers[at] = record,
                    Err(at) => cluster.servers.insert(at, record),
                }
            }
            (ClusterOp::View(view), Some(cluster)) => cluster.view = view,
            (ClusterOp::Formed, Some(cluster)) => cluster.formed = true,
            // A log that founds twice, or does anything before its founding, was refused when it
            // was read; this server writes none.
            (ClusterOp::Found { .. }, Some(_)) | (_, None) => {}
        }
    }

    /// From here on this server answers clients, if the cluster is formed or can be now.
    fn view_in_force(&mut self, time: Timestamp) {
        self.status = Status::Primary;
        let Some(cluster) = &self.cluster else { return };
        let in_sync_backups = self.view.members.len() - 1;
        if !cluster.formed && in_sync_backups >= usize::from(cluster.backups) {
            self.append_cluster_op(ClusterOp::Formed, time);
        }
    }
}
