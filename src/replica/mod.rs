//! When is an op committed?
//!
//! The replica is the protocol as a pure state machine: no sockets, no files, no clocks. What
//! happens outside comes in by [`Replica::handle_input`]; what is to be done comes out of
//! [`Replica::poll_output`], which has to be drained after every input, in order. Nothing that
//! depends on the journal comes out before its [`Input::Persisted`] came in: the rule stands here
//! and not in the driver, so that no driver can forget it.
//!
//! For now a view has one member. What is there already keeps to the words of the protocol, so
//! that further members are further inputs and outputs, and not another program.
//!
//! | file | what happens there |
//! | --- | --- |
//! | [`cold_start`](self) | a cluster is founded; a server starts again with what it has |
//! | [`normal`](self) | a request becomes an op, is persisted, and is committed |

mod cold_start;
mod normal;

pub use cold_start::{Identity, InvalidLog};

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;

use crate::types::{Cluster, Incarnation, Lineage, OpNumber, ServerId, Time, Timestamp, View};
pub use crate::wire::prepare::Entry;

/// A driver's own name for who asked: it comes back with what became of the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ticket(pub u64);

/// What happened outside.
#[derive(Debug)]
pub enum Input<'a> {
    /// A client wants an op in the log.
    Request {
        /// Who asks.
        ticket: Ticket,
        /// The wall clock.
        time: Timestamp,
        /// The op, encoded.
        payload: &'a [u8],
    },
    /// A client wants an answer out of the state, at least as new as all that was acknowledged
    /// before it asked.
    Read {
        /// Who asks.
        ticket: Ticket,
    },
    /// This server's member address is another one now.
    Moved {
        /// Where the others reach it from now on.
        address: SocketAddr,
        /// The wall clock.
        time: Timestamp,
    },
    /// The journal has synced everything up to this op.
    Persisted {
        /// The last of them.
        op: OpNumber,
    },
}

/// What is to be done outside.
#[derive(Clone, Debug)]
pub enum Output {
    /// Append this to the journal, and say `Persisted` when it is synced. Many may be synced at
    /// once.
    Append(Arc<Entry>),
    /// This op is committed: apply it and answer whoever asked. They come in order, without gaps,
    /// each once.
    Committed {
        /// The op.
        entry: Arc<Entry>,
        /// Who asked here and waits for an answer, if anybody.
        ticket: Option<Ticket>,
    },
    /// The state may be read for this client now.
    Readable(Ticket),
    /// The request never reached the log: no view is in force in which this server leads.
    NotReady(Ticket),
}

/// Where a server stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Status {
    /// It has proposed its view and not persisted it: it leads nobody yet.
    Pending,
    /// Its view is in force.
    Primary,
}

/// The protocol's state machine of one server.
#[derive(Debug)]
pub struct Replica {
    /// Who this server is. Never changes while it runs, but for its address.
    identity: Identity,
    status: Status,
    /// What the committed ops have made of the cluster. `None` until the founding is committed.
    cluster: Option<Cluster>,
    /// The view that this process leads, from the moment it was proposed. Its only member is
    /// this process.
    view: View,
    /// The op of `view` in the log: the view is in force once it is committed.
    view_op: OpNumber,
    /// The highest op in the log.
    head: OpNumber,
    /// The highest op that the journal has synced; at most `head`.
    persisted: OpNumber,
    /// The highest op that every member of the view has persisted; at most `persisted`.
    commit: OpNumber,
    /// The ops above `commit` up to `head`, without gaps, with those who wait for them.
    uncommitted: VecDeque<(Arc<Entry>, Option<Ticket>)>,
    /// What the driver has not fetched yet. It grows within one input only, by at most what is
    /// uncommitted.
    outputs: VecDeque<Output>,
}

impl Replica {
    /// Takes in what happened. Drain [`Self::poll_output`] afterwards.
    pub fn handle_input(&mut self, input: Input<'_>, _now: Time) {
        match input {
            Input::Request {
                ticket,
                time,
                payload,
            } => self.request(ticket, time, payload),
            Input::Read { ticket } => self.read(ticket),
            Input::Moved { address, time } => self.moved(address, time),
            Input::Persisted { op } => self.journal_persisted(op),
        }
        if cfg!(debug_assertions) {
            self.check_invariants();
        }
    }

    /// Takes in that time has passed.
    pub fn handle_timeout(&mut self, _now: Time) {}

    /// When [`Self::handle_timeout`] wants to be called; a view of one member waits for nobody.
    pub fn poll_timeout(&self) -> Option<Time> {
        None
    }

    /// The next thing to do, oldest first.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Clients are let in: the view is in force and the cluster was formed once.
    pub fn serves(&self) -> bool {
        self.status == Status::Primary && self.cluster.as_ref().is_some_and(|c| c.formed)
    }

    /// What the committed ops have made of the cluster; `None` before its founding.
    pub fn cluster(&self) -> Option<&Cluster> {
        self.cluster.as_ref()
    }

    /// Who this server is.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// The view that this server leads, or is about to.
    pub fn view(&self) -> &View {
        &self.view
    }

    /// The highest op in the log.
    pub fn head(&self) -> OpNumber {
        self.head
    }

    /// The highest op that is committed.
    pub fn commit(&self) -> OpNumber {
        self.commit
    }

    /// Panics if something that is always true of the fields is not.
    pub fn check_invariants(&self) {
        assert!(self.commit <= self.persisted, "committed, but not on disk");
        assert!(self.persisted <= self.head, "on disk, but not in the log");
        assert_eq!(
            self.head.0 - self.commit.0,
            self.uncommitted.len() as u64,
            "the uncommitted ops have gaps"
        );
        if let Some((first, _)) = self.uncommitted.front() {
            assert_eq!(first.op(), self.commit.next());
        }
        assert_eq!(
            self.status == Status::Primary,
            self.commit >= self.view_op,
            "a view is in force exactly when its op is committed"
        );
        assert_eq!(self.view.primary, self.identity.server);
        assert_eq!(self.view.members.len(), 1);
    }
}

#[cfg(test)]
mod tests;
