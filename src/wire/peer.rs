//! What do servers say to each other?
//!
//! Each message is a frame of its own, and nothing waits for anything else: heartbeats, ops on
//! their way and acknowledgements share a link in both directions. Which message has to come when
//! is the business of [`crate::replica`]; here stands what is in it.
//!
//! A link begins with a hello of each side, like every connection ([`super::hello`]), which says
//! who the sender is; behind it come these messages alone. In a body, the fields stand in the
//! order of the types below. A list has its length in front, of two bytes; the ops of a Prepare
//! and the bytes of a snapshot go to the end of the body instead.

mod decode;
mod encode;

pub use decode::decode_peer;
pub use encode::encode_peer;

use std::time::Duration;

use crate::limits::{DISK_TIME_MAX, MEMBERS_MAX, VIEWS_REMEMBERED_MAX};
use crate::types::{
    Incarnation, Lineage, LogPosition, Member, OpNumber, ServerId, ServerRecord, Time, Timestamp,
    TrustRefused, View, ViewMark, ViewNumber,
};

use super::prepare::Entry;

/// Processes that a proposal speaks of at most: each is a member of one of its standing views.
const PROCESSES_MAX: usize = MEMBERS_MAX * VIEWS_REMEMBERED_MAX;

/// A message between servers. Whoever receives it knows from the link's hello who has sent it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PeerMessage {
    /// Every heartbeat interval, to everybody: how I am.
    Ping(Ping),
    /// A Ping came, and its sender is not left out of what I have promised.
    Pong {
        /// What the Ping said.
        sent_at: Time,
    },
    /// Ops, in the order of their numbers.
    Prepare(Prepares),
    /// My journal has synced everything up to an op.
    PrepareOk {
        /// The view in which it was prepared.
        view: ViewNumber,
        /// The op.
        op: OpNumber,
    },
    /// I want to lead a view.
    Propose(Proposal),
    /// I have promised a proposal, durably.
    Promise {
        /// The proposal.
        number: ViewNumber,
        /// Who has promised.
        voter: Member,
    },
    /// I have heard somebody whom a proposal calls silent or dead.
    Veto {
        /// The proposal.
        number: ViewNumber,
        /// Who objects.
        voter: Member,
        /// Who was heard.
        alive: ServerId,
    },
    /// A proposal or a view comes too late: something higher was promised, or is known.
    Overruled {
        /// What comes too late.
        number: ViewNumber,
        /// Who says so.
        voter: Member,
        /// The highest number that it has promised.
        promised: ViewNumber,
    },
    /// I lead a view, or am about to.
    Lead(Lead),
    /// How my log is, for who leads: the answer to Lead.
    LogState(LogState),
    /// The views that I stand in. At the beginning of a link and whenever they change.
    Standing(Standing),
    /// You have an id now. Keep it, and dial again with it.
    Welcome {
        /// The id.
        server: ServerId,
        /// The lineage that the cluster follows.
        lineage: Lineage,
    },
    /// I am about to end: go on without me.
    Leave,
    /// The servers that I have links to, with the addresses that they have now, which nobody's log may
    /// say yet. At the beginning of a link, and whenever another one begins.
    Addresses(Vec<ServerRecord>),
    /// A part of a snapshot.
    Snapshot(SnapshotPart),
    /// So many bytes of a snapshot are on disk.
    SnapshotOk {
        /// The op that the snapshot holds everything up to.
        applied: OpNumber,
        /// How many bytes of it.
        bytes: u64,
    },
}

/// How a server is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ping {
    /// The sender's clock; it means nothing to anybody else, and comes back in the Pong.
    pub sent_at: Time,
    /// The sender's wall clock: a primary compares its own with it.
    pub wall_clock: Timestamp,
    /// What it says of itself.
    pub report: Report,
    /// The processes that it has a link to and is fresh with.
    pub fresh: Vec<Member>,
    /// What it last heard others say of themselves: a report may concern somebody whom they cannot
    /// reach.
    pub rumours: Vec<Rumour>,
}

/// What a server says of itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// The highest view number that it has promised.
    pub promised: ViewNumber,
    /// The newest view of which it has the View op on disk.
    pub newest: ViewNumber,
    /// It is a member of that view.
    pub intact: bool,
    /// It leads that view, and all its members have it.
    pub leads: bool,
    /// The last op that is on its disk.
    pub last: LogPosition,
    /// The highest op that it knows to be committed.
    pub commit: OpNumber,
    /// The newest View op that it knows to be in force.
    pub in_force: OpNumber,
    /// Its journal is damaged and was put aside: what it acknowledged is not on its disk any more,
    /// while what it promised still is.
    pub damaged: bool,
    /// The highest number that it promised for a view in which it would be a member.
    pub stood: ViewNumber,
    /// How long it waits before it calls a member silent, in milliseconds. A primary's proof that it
    /// still leads has to be younger than that.
    pub grace_ms: u32,
    /// Whose refused connects it takes for the end of a process. The most careful of all servers decides.
    pub trust_refused: TrustRefused,
    /// How long its disk took for a sync lately, in milliseconds, at most
    /// [`DISK_TIME_MAX`].
    pub disk_ms: u16,
    /// Its store is damaged: it must not be asked for a snapshot, and wants one.
    pub store_damaged: bool,
    /// An operator has ordered it to lead alone, and it looks round before it does.
    pub ordered: bool,
}

impl Report {
    /// A disk time as a report tells it.
    pub fn ms_of(time: Duration) -> u16 {
        let most = DISK_TIME_MAX.as_millis();
        u16::try_from(time.as_millis().min(most)).unwrap_or(u16::MAX)
    }

    /// How long its disk took for a sync lately.
    pub fn disk_time(&self) -> Duration {
        Duration::from_millis(self.disk_ms.into()).min(DISK_TIME_MAX)
    }
}

/// What a third server was heard to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rumour {
    /// Whose report it was.
    pub member: Member,
    /// The highest view number that it had promised.
    pub promised: ViewNumber,
    /// The newest view of which it had the View op.
    pub newest: ViewNumber,
    /// The newest processes of that server that it descends from, at most
    /// [`GOSSIPED_DESCENT_MAX`](crate::limits::GOSSIPED_DESCENT_MAX), oldest first.
    pub descent: Vec<Incarnation>,
}

/// Ops that follow a position.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prepares {
    /// The view of the primary that sends it. (An op's own view is the one that it was proposed
    /// in first.)
    pub view: ViewNumber,
    /// What has to stand in the log before the first of them.
    pub after: LogPosition,
    /// The primary's commit number.
    pub commit: OpNumber,
    /// The ops, without gaps; perhaps none.
    pub entries: Vec<Entry>,
}

/// A view that somebody wants to lead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proposal {
    /// Its number; it says who the candidate is.
    pub number: ViewNumber,
    /// The lineage that it belongs to.
    pub lineage: Lineage,
    /// The candidate's process.
    pub candidate: Member,
    /// The members of the view, in the order of their ids.
    pub members: Vec<Member>,
    /// The views in whose terms it needs a quorum, oldest first; the last is the candidate's
    /// newest view.
    pub standing: Vec<View>,
    /// The members of those that the candidate counts as silent.
    pub silent: Vec<Member>,
    /// The members of those that the candidate counts as dead.
    pub dead: Vec<Member>,
    /// The members of those that have promised it already.
    pub promised: Vec<Member>,
    /// The members of those that the candidate has no link to: whoever has one forwards it.
    pub unreached: Vec<ServerId>,
    /// Everything was down: the rules of a cold start count.
    pub cold: bool,
    /// The candidate's last op.
    pub last: LogPosition,
}

impl Proposal {
    /// Whether a process was asked. At a cold start its id counts.
    pub fn has_voter(&self, voter: Member) -> bool {
        self.standing.iter().any(|view| match self.cold {
            true => view.member(voter.server).is_some(),
            false => view.contains(voter),
        })
    }
}

/// Who leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lead {
    /// The view; the sender is its primary.
    pub view: View,
    /// All its members have it.
    pub in_force: bool,
    /// Every server that has an id, with its address.
    pub servers: Vec<ServerRecord>,
}

/// How a server's log is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogState {
    /// The view that it follows.
    pub view: ViewNumber,
    /// Its last op that is on disk.
    pub last: LogPosition,
    /// The highest op that it has applied: what it cannot take back.
    pub applied: OpNumber,
    /// Where the newest views begin in its log, oldest first.
    pub views: Vec<ViewMark>,
}

/// The views that a server stands in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The newest view that it knows to be in force, and all later ones in its log, oldest first.
    pub views: Vec<View>,
    /// As in a Ping.
    pub report: Report,
    /// The processes of its server that it descends from, oldest first: see
    /// [`Vote::descent`](crate::types::Vote::descent).
    pub descent: Vec<Incarnation>,
}

/// A part of a snapshot, which is the file of a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotPart {
    /// The op that the snapshot holds everything up to, with its view.
    pub last: LogPosition,
    /// The length of the whole in bytes.
    pub length: u64,
    /// Where this part begins.
    pub offset: u64,
    /// The part.
    pub bytes: Vec<u8>,
}
