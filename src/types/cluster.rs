//! Who belongs to a cluster and who leads it: the state that ops about the cluster make.

use std::fmt;
use std::net::SocketAddr;

use super::{ServerId, ViewNumber};

/// Which cluster: 128 bits drawn at its founding.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct ClusterId(pub u128);

impl fmt::Debug for ClusterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ClusterId({:032x})", self.0)
    }
}

/// Which line of its history: raised when somebody forces a primary. Equal counters with
/// different random bits are two lines that know nothing of each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Lineage {
    /// How often a primary was forced.
    pub counter: u32,
    /// Drawn when this lineage began.
    pub random: u64,
}

/// Which process of a server: one more at each start, with bits drawn then, so that an old copy
/// of a data directory cannot pass for the process that went on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Incarnation {
    /// Counts the starts, from 1.
    pub counter: u64,
    /// Drawn at this start.
    pub random: u64,
}

/// A process that belongs to a view.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member {
    /// The server.
    pub server: ServerId,
    /// The process of that server.
    pub incarnation: Incarnation,
}

/// Who leads and who has to acknowledge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct View {
    /// The view's number.
    pub number: ViewNumber,
    /// The lineage it belongs to.
    pub lineage: Lineage,
    /// Who leads; one of the members.
    pub primary: ServerId,
    /// All in sync, in the order of their ids.
    pub members: Vec<Member>,
}

/// A server that has an id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServerRecord {
    /// The server.
    pub server: ServerId,
    /// Where the others reach it.
    pub address: SocketAddr,
}

/// What the log's ops about the cluster have made so far: a part of the replicated state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cluster {
    /// The cluster's id.
    pub id: ClusterId,
    /// The founder's number of backups.
    pub backups: u16,
    /// Clients are let in.
    pub formed: bool,
    /// Every server that ever joined, in the order of their ids.
    pub servers: Vec<ServerRecord>,
    /// The newest view.
    pub view: View,
}
