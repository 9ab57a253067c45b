//! How is the cluster, as this server knows it?

use std::fmt;
use std::net::SocketAddr;

use super::Replica;
use crate::types::{OpNumber, ServerId, ServerRecord};

/// What a server is to the cluster at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// It leads a view that is in force.
    Primary,
    /// It is a member of the newest view, and another one leads.
    Backup,
    /// It is being fed by a primary, and is no member.
    Learner,
    /// It is no member, and knows no primary.
    Waiting,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Primary => "primary",
            Self::Backup => "backup",
            Self::Learner => "learner",
            Self::Waiting => "waiting",
        })
    }
}

/// How another server (or this one) stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// It is a member of the newest view, and as far as we know it runs.
    InSync,
    /// It is connected, and is no member.
    CatchingUp,
    /// It is not there.
    Down,
    /// Nothing was heard of it since this process began.
    Unknown,
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::InSync => "in-sync",
            Self::CatchingUp => "catching-up",
            Self::Down => "down",
            Self::Unknown => "unknown",
        })
    }
}

/// A server of the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServerStatus {
    /// Its id.
    pub server: ServerId,
    /// Its member address.
    pub address: SocketAddr,
    /// How it stands.
    pub condition: Condition,
    /// How many ops it is behind what is known here to be in the log; `None` where that is not
    /// known.
    pub lag: Option<u64>,
}

/// Why clients are not let in. Displayed as the word behind `ready no` in STATUS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotReady {
    /// A new cluster lacks backups: so many.
    Backups(u16),
    /// Everything was down, and these may hold newer messages.
    Servers(Vec<ServerRecord>),
    /// The journal is damaged, and only another server can repair it.
    Damaged,
    /// No primary was found yet; it is looked for at these addresses.
    Primary(Vec<SocketAddr>),
    /// A primary is there, and it is not this server.
    NotPrimary(ServerRecord),
    /// A view is being changed.
    ViewChange,
    /// This server leads, and cannot reach these members.
    Unreached(Vec<ServerRecord>),
    /// Everything was down, and those who are back are being brought up to date first.
    CatchingUp,
}

impl fmt::Display for NotReady {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Backups(1) => f.write_str("waiting for 1 more backup"),
            Self::Backups(count) => write!(f, "waiting for {count} more backups"),
            Self::Servers(servers) => {
                f.write_str("waiting for ")?;
                write_servers(f, servers)?;
                let pronoun = if servers.len() == 1 { "it" } else { "they" };
                write!(f, ": {pronoun} may hold newer messages")
            }
            Self::Damaged => f.write_str(
                "waiting for a server that has everything, since the journal here is damaged",
            ),
            Self::Primary(addresses) => {
                f.write_str("waiting for a primary, looked for at ")?;
                for (index, address) in addresses.iter().enumerate() {
                    write!(f, "{}{address}", if index == 0 { "" } else { ", " })?;
                }
                Ok(())
            }
            Self::NotPrimary(leader) => write!(f, "{} is the primary", leader.address),
            Self::ViewChange => f.write_str("another server is taking over"),
            Self::Unreached(servers) => {
                f.write_str("waiting for an answer of ")?;
                write_servers(f, servers)
            }
            Self::CatchingUp => f.write_str("waiting for the other servers to catch up"),
        }
    }
}

fn write_servers(f: &mut fmt::Formatter<'_>, servers: &[ServerRecord]) -> fmt::Result {
    f.write_str(if servers.len() == 1 {
        "server "
    } else {
        "servers "
    })?;
    for (index, record) in servers.iter().enumerate() {
        let separator = match index {
            0 => "",
            _ if index + 1 == servers.len() => " and ",
            _ => ", ",
        };
        write!(f, "{separator}{} ({})", record.server, record.address)?;
    }
    Ok(())
}

impl Replica {
    /// What this server is at the moment.
    pub fn role(&self) -> Role {
        todo!()
    }

    /// Clients' requests are taken: it leads a view in force, and the gate is open.
    pub fn serves(&self) -> bool {
        todo!()
    }

    /// A change of view is under way that will be over in a moment, with this server as the
    /// primary or another: requests are best left where they are.
    pub fn holds_back(&self) -> bool {
        todo!()
    }

    /// The service's address is this server's to bind: it leads the newest view that it knows.
    pub fn owns_service(&self) -> bool {
        todo!()
    }

    /// Who leads, if it is known; this server, if it leads.
    pub fn leader(&self) -> Option<ServerRecord> {
        todo!()
    }

    /// Why clients are not let in; `None` if they are.
    pub fn not_ready(&self) -> Option<NotReady> {
        todo!()
    }

    /// Every server that has an id, in the order of their ids.
    pub fn servers(&self) -> Vec<ServerStatus> {
        todo!()
    }

    /// The journal may release everything before this op: nobody who is connected needs it.
    pub fn oldest_needed(&self) -> OpNumber {
        todo!()
    }

    /// Bytes of ops that are in the log and not committed.
    pub fn uncommitted_bytes(&self) -> usize {
        todo!()
    }

    /// After [`super::Input::Leave`]: nobody counts on this server any more.
    pub fn may_leave(&self) -> bool {
        todo!()
    }
}
