//! What goes in, and what comes out?

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use crate::types::{
    Cluster, ClusterId, Incarnation, Lineage, LogPosition, Member, OpNumber, ServerId, Timestamp,
    TrustRefused, Vote,
};
use crate::wire::peer::PeerMessage;
use crate::wire::prepare::Entry;

/// A driver's own name for who asked: it comes back with what became of the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ticket(pub u64);

/// A driver's own name for a link to another server. It names another link never again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkId(pub u64);

/// What an operator decides about the protocol.
#[derive(Clone, Debug)]
pub struct Config {
    /// H: how often servers tell each other that they are alive.
    pub heartbeat: Duration,
    /// L: how old a Ping may be for its echo to prove anything. Shorter than `grace`.
    pub fresh: Duration,
    /// G: how long somebody may be unheard before being called silent.
    pub grace: Duration,
    /// Whose refused connects prove that a process has ended.
    pub trust_refused: TrustRefused,
    /// The address of this host on which this server listens: refusals of the same one come from this host.
    pub own_ip: IpAddr,
    /// Where else to look for the cluster, beside the servers that are known: the service's
    /// address, and what the operator named.
    pub contacts: Vec<SocketAddr>,
    /// An operator wants this server to lead alone, whatever others may hold.
    pub force: bool,
    /// Where random choices come from.
    pub seed: u64,
}

/// Who a server is. The driver keeps it on disk, with the [`Vote`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The cluster it belongs to; 0 as long as it has joined none.
    pub cluster: ClusterId,
    /// The line of the cluster's history that it follows.
    pub lineage: Lineage,
    /// Its id; 0 as long as it was given none.
    pub server: ServerId,
    /// This process of it.
    pub incarnation: Incarnation,
    /// The newest process of this server that this one descends from and that may have been a member
    /// of a view (the last of [`Vote::descent`], as it was when this process began); 0 if there is
    /// none.
    pub ancestor: Incarnation,
    /// Its member address, as others reach it.
    pub address: SocketAddr,
}

impl Identity {
    /// The process.
    pub fn member(&self) -> Member {
        Member {
            server: self.server,
            incarnation: self.incarnation,
        }
    }
}

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
    },
    /// The journal has synced everything up to this op.
    Persisted {
        /// The last of them.
        op: OpNumber,
    },
    /// The oldest [`Output::Save`] that was not answered yet is on disk.
    Saved,
    /// A link has come up: both hellos were exchanged, and the peer has proven that it may be here
    /// (by the cluster's key, or by being on this host).
    LinkUp {
        /// The link.
        link: LinkId,
        /// Who is at the other end, as its hello said.
        peer: Identity,
        /// The address that was dialed; `None` if the peer has dialed.
        dialed: Option<SocketAddr>,
    },
    /// A link has ended, and nobody here has closed it.
    LinkEnded {
        /// The link.
        link: LinkId,
        /// The peer's side has ended it, by FIN or RST. Otherwise nobody knows why.
        by_peer: bool,
    },
    /// A dial has led to no link.
    DialFailed {
        /// The address that was dialed.
        address: SocketAddr,
        /// The host has refused the connection, or it has led back to this very process: nobody
        /// listens there. Otherwise nobody knows why.
        refused: bool,
    },
    /// A message of a peer.
    Message {
        /// The link that it came by.
        link: LinkId,
        /// What it says.
        message: PeerMessage,
    },
    /// What an [`Output::Fetch`] has found: the ops that follow, or none if the journal does not
    /// go back that far.
    Fetched {
        /// As it was asked.
        link: LinkId,
        /// As it was asked.
        after: OpNumber,
        /// The ops, without gaps.
        entries: Vec<Entry>,
    },
    /// A snapshot is in place: store and journal were replaced, durably.
    Installed {
        /// What the snapshot says of the cluster.
        cluster: Cluster,
        /// The last op that is in it. The journal begins behind it.
        last: LogPosition,
    },
    /// The wall clock of this server, for the others. To be told at least as often as the heartbeat.
    WallClock {
        /// What it shows.
        time: Timestamp,
    },
    /// The disk has lost or changed something of the store, while the journal is whole. It is known at the next
    /// start, too, which says it again.
    StoreDamaged,
    /// Somebody wants this server to end: hand over first.
    Leave,
}

/// What is to be done outside. The order counts.
#[derive(Clone, Debug)]
pub enum Output {
    /// Append this to the journal, and say `Persisted` when it is synced. Many may be synced at
    /// once, and what is to be sent may be sent before.
    Append(Entry),
    /// Cut off what the journal holds behind this op, durably, before anything further is
    /// appended. It was never acknowledged.
    Truncate {
        /// The last op that stays.
        after: OpNumber,
    },
    /// Keep this on disk in place of what was there, and say `Saved` when it is safe. If there is
    /// no data of this server yet and `identity.cluster` is not 0, there is from now on.
    Save {
        /// Who this server is.
        identity: Identity,
        /// What it has bound itself to.
        vote: Vote,
    },
    /// Connect to this address, if no attempt to do so is under way, and exchange hellos. Say
    /// `LinkUp` or `DialFailed`.
    Dial(SocketAddr),
    /// Send this by this link, if it is still there.
    Send {
        /// The link.
        link: LinkId,
        /// The message.
        message: PeerMessage,
    },
    /// Close a link. It is not told back.
    Close {
        /// The link.
        link: LinkId,
        /// Why the peer is not wanted, for both sides' logs.
        why: Option<Unwanted>,
    },
    /// Read the synced ops that follow this one out of the journal, about
    /// [`crate::limits::PREPARE_BYTES_MAX`] of them, and say `Fetched`.
    Fetch {
        /// The link that they are for.
        link: LinkId,
        /// The op before the first of them.
        after: OpNumber,
    },
    /// Make a snapshot that is at least as new as now, and send it by this link.
    SendSnapshot {
        /// The link.
        link: LinkId,
    },
    /// This op is committed: apply it and answer whoever asked. They come in order, without gaps,
    /// each once.
    Committed {
        /// The op.
        entry: Entry,
        /// Who asked here and waits for an answer, if anybody.
        ticket: Option<Ticket>,
    },
    /// The state may be read for this client now.
    Readable(Ticket),
    /// The request was not done, and will not be: this server does not lead. It never reached the log, or was cut
    /// off it for good.
    Refused(Ticket),
    /// The request reached the log, and nobody here will learn what became of it.
    Abandoned(Ticket),
    /// Something that people may want to know, for the log.
    Note(Note),
}

/// Why a peer is not wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unwanted {
    /// It belongs to another cluster.
    #[error(
        "it belongs to another cluster; start it with another --data folder, or with other addresses"
    )]
    OtherCluster,
    /// Another process with its id is connected.
    #[error(
        "another process with its id is connected: if its data folder is a copy, move it away and \
         start with 0; if it has just been restarted, this passes in a second"
    )]
    Twice,
    /// There is a better link to it.
    #[error("there is another link")]
    Redundant,
    /// No more servers can join.
    #[error("the cluster has as many servers as there can be")]
    TooMany,
}

/// Something that people may want to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Note {
    /// This server leads from now on.
    Leads {
        /// The view.
        view: crate::types::View,
    },
    /// Another server leads from now on.
    Follows {
        /// The view.
        view: crate::types::View,
    },
    /// This server does not lead any more, and nobody is known who does.
    Stopped,
    /// Somebody's process has ended.
    Dead(Member),
    /// Somebody has not been heard for longer than the grace.
    Silent(Member),
    /// A member's disk takes so long for a sync, far longer than all others': it is left out of the
    /// next view.
    SlowDisk(Member, Duration),
    /// This server has given up its place, to come back as a learner.
    Resigned,
    /// Another server was forced to lead, and this one follows its history from now on.
    Adopted,
    /// This server has an id now.
    Joined(ServerId),
    /// Ops were cut off that were never acknowledged.
    Cut {
        /// The last op that stayed.
        after: OpNumber,
        /// The last op that was there.
        last: OpNumber,
    },
    /// Another server gets a snapshot.
    SnapshotFor(ServerId),
    /// By an operator's order this server leads alone from now on, in a new lineage.
    Forced {
        /// The last op of its log: everything after it that other servers acknowledged is given up.
        last: LogPosition,
        /// When that op was written, by the wall clock of the primary at that time.
        time: Timestamp,
        /// The servers that may hold more: the other members of the views in its log that count.
        others: Vec<ServerId>,
    },
    /// An operator's order to lead alone is not carried out.
    ForceRefused(ForceRefusal),
    /// This server has just founded a cluster, and a server of another one, which has no primary at
    /// the moment, looks for it at this one's addresses.
    FoundedBeside(SocketAddr),
    /// A server has another grace, or trusts refused connects otherwise, than this one.
    OptionsDiffer(ServerId),
    /// The store here is damaged: the other members are asked to go on without this server, which comes back with
    /// a snapshot.
    GivesWay,
}

/// Why an operator's order to lead alone is not carried out. Displayed as the reason, with what to
/// do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ForceRefusal {
    /// A primary answers.
    #[error("server {0} leads the cluster: nothing has to be forced, and this server joins it")]
    Served(ServerId),
    /// A member of the newest view that is known runs and can be reached.
    #[error(
        "server {0} runs and never stopped being in sync: start the others of its view, or stop it \
         first if it cannot lead any more"
    )]
    Member(ServerId),
    /// A server that waits, too, has more.
    #[error("server {0} runs and holds newer messages: force that one instead of this one")]
    HasMore(ServerId),
    /// Its journal cannot be used.
    #[error(
        "this server's journal is damaged and was put aside, so that it would lead with nothing: \
         force another server, or put this folder back from a backup"
    )]
    Damaged,
    /// There is nothing to lead with.
    #[error(
        "this server has not got the messages of the cluster's history yet: force a server that has"
    )]
    Empty,
    /// A server that was ordered to lead alone, too, goes first.
    #[error("server {0} is to be forced, too, and goes first: this one follows it")]
    Another(ServerId),
    /// An earlier process has dealt with this order.
    #[error(
        "this order was given at an earlier start, and was carried out or refused then; to give it anew, \
         start this server once without --force-primary"
    )]
    Done,
    /// Another server was forced meanwhile.
    #[error("another server was forced to lead, and this one follows it")]
    Overtaken,
    /// No lineage can come after this one.
    #[error("a primary was forced too often for this cluster: make a new one")]
    TooOften,
}
