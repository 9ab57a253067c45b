//! Who belongs to a cluster and who leads it: the state that ops about the cluster make.

use std::fmt;
use std::net::SocketAddr;

use super::{OpNumber, ServerId, ViewNumber};

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

/// A process of a server: a counter that rises at each start, with bits drawn then. The counter
/// alone cannot tell two processes apart that were started from copies of one data directory; the
/// random bits can, and [`Vote::descent`] says which process continues which.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Incarnation {
    /// Counts the starts, from 1.
    pub counter: u64,
    /// Drawn at this start.
    pub random: u64,
}

/// Whose refused connects prove that a process has ended, in the order of less to more trust.
///
/// Something between two hosts, a firewall say, may refuse a connect in the name of the other host, and reset what it
/// has with it. Within a host nothing is in between.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum TrustRefused {
    /// Nobody's.
    Nowhere,
    /// Those of the host on which a server runs itself.
    #[default]
    OnThisHost,
    /// Everybody's.
    Everywhere,
}

/// A process that belongs to a view.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
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

impl View {
    /// The process of `server` that is a member, if one is.
    pub fn member(&self, server: ServerId) -> Option<Member> {
        self.members.iter().copied().find(|m| m.server == server)
    }

    /// Whether this very process is a member.
    pub fn contains(&self, member: Member) -> bool {
        self.members.contains(&member)
    }
}

/// Where an op stands, and in which view it was proposed. No two different ops have the same
/// position, and logs that agree on one agree on everything before it. Ordered as logs are: the
/// view decides first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LogPosition {
    /// The view that the op was proposed in.
    pub view: ViewNumber,
    /// The op.
    pub op: OpNumber,
}

/// Where a view begins in the log: its View op.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ViewMark {
    /// The view's number.
    pub number: ViewNumber,
    /// Its View op.
    pub op: OpNumber,
}

/// A promise that may still bind its giver: whoever gave it stands for no other view, and votes
/// for nobody, outside of these members.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binding {
    /// The number that was promised.
    pub number: ViewNumber,
    /// The members of the view that was proposed.
    pub members: Vec<Member>,
}

/// What a server has bound itself to. It is on disk before it is used or told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Vote {
    /// The highest view number that was promised, to another candidate or to itself.
    pub promised: ViewNumber,
    /// The highest number that was promised for a view in which this server would be a member. A
    /// later view with this server in it was decided by another server, if there is one.
    pub stood: ViewNumber,
    /// Promises to other candidates that were not released, in the order of their numbers.
    pub bindings: Vec<Binding>,
    /// The newest View op that is known to be on the disks of all its members; 0 if none is.
    pub in_force: OpNumber,
    /// The processes of this server whose acknowledgements its folder holds, oldest first: all that
    /// may have been named in a view, this one included from the moment on in which it may be. At
    /// most [`DESCENT_MAX`](crate::limits::DESCENT_MAX). It proves descent where a counter cannot: a
    /// copy of the folder that is started often enough has a high counter, too.
    pub descent: Vec<Incarnation>,
    /// The lineage in which an operator's order to lead alone was dealt with, be it carried out or
    /// refused; `None` if there was no such order since this server was last started without one. An
    /// order that is left behind has no effect a second time.
    pub ordered: Option<Lineage>,
}

/// A server that has an id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServerRecord {
    /// The server.
    pub server: ServerId,
    /// Where the others reach it.
    pub address: SocketAddr,
    /// The highest incarnation counter of it that was a member of a view; 0 if none was. Only a
    /// higher one is admitted again.
    pub incarnation: u64,
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
    /// The newest views, `view` the last of them, at most
    /// [`VIEWS_REMEMBERED_MAX`](crate::limits::VIEWS_REMEMBERED_MAX): by them two servers find out
    /// how far their logs are the same.
    pub views: Vec<ViewMark>,
}
