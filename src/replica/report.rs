//! How is the cluster, as this server knows it?

use std::fmt;
use std::net::SocketAddr;

use super::peers::Peer;
use super::{Leading, Replica};
use crate::types::{OpNumber, ServerId, ServerRecord, View, ViewNumber};
use crate::wire::peer::Report;

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
    /// Everything was down, and these servers are back with damaged journals, of which nobody knows what
    /// was in them.
    DamagedServers(Vec<ServerRecord>),
    /// Everything was down, and these servers are back with data folders that lack what a process of
    /// theirs acknowledged: older copies.
    Folders(Vec<ServerRecord>),
    /// The journal is damaged, and only another server can repair it.
    Damaged,
    /// Another server was forced to lead, and its messages did not get here yet.
    NewHistory,
    /// This server is new, and those that it has found have no primary either.
    Joining(Vec<ServerRecord>),
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
            Self::DamagedServers(servers) => {
                f.write_str("waiting for ")?;
                write_servers(f, servers)?;
                f.write_str(match servers.len() {
                    1 => ": it runs, but its journal is damaged, and it may have held newer messages",
                    _ => ": they run, but their journals are damaged, and may have held newer messages",
                })
            }
            Self::Folders(servers) => {
                f.write_str("waiting for the original data folder of ")?;
                write_servers(f, servers)?;
                f.write_str(match servers.len() {
                    1 => ": it runs with a copy, which may lack messages",
                    _ => ": they run with copies, which may lack messages",
                })
            }
            Self::NewHistory => f.write_str(
                "waiting for the server that was forced to lead: its messages are not here yet",
            ),
            Self::Joining(servers) => {
                f.write_str("waiting for a primary to join: ")?;
                write_servers(f, servers)?;
                f.write_str(match servers.len() {
                    1 => " runs, and waits, too",
                    _ => " run, and wait, too",
                })
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
        if self.is_primary() {
            Role::Primary
        } else if self.is_intact() {
            Role::Backup
        } else if self.following.is_some() {
            Role::Learner
        } else {
            Role::Waiting
        }
    }

    /// Clients' requests are taken: it leads a view in force, and the gate is open.
    pub fn serves(&self) -> bool {
        self.is_primary() && !self.is_stuck && self.is_formed() && self.guests_are_in()
    }

    fn is_formed(&self) -> bool {
        self.cluster.as_ref().is_some_and(|cluster| cluster.formed)
    }

    /// A change of view is under way that will be over in a moment, with this server as the
    /// primary or another: requests are best left where they are.
    pub fn holds_back(&self) -> bool {
        self.is_formed()
            && (self.stopped_since.is_some() || matches!(self.leading, Leading::Pending(_)))
    }

    /// The service's address is this server's to bind: it leads the newest view that is in force.
    /// It stays so while it has only promised something, or admits somebody.
    pub fn owns_service(&self) -> bool {
        let is_mine = |view: &View| view.primary == self.identity.server;
        self.is_intact() && self.log.in_force() > OpNumber::ZERO && self.log.standing().all(is_mine)
    }

    /// Who leads, if it is known; this server, if it leads.
    pub fn leader(&self) -> Option<ServerRecord> {
        self.leader_id().map(|server| self.known(server))
    }

    /// Whether a snapshot may take the place of everything that is here: it comes from whoever
    /// feeds this learner, and holds all that was acknowledged to him. While it was read through,
    /// another may have begun to lead, or what it lacks may have come.
    pub fn may_install(&self, from: ServerId, last: OpNumber) -> bool {
        let mut following = self.following.iter();
        self.role() == Role::Learner
            && self.leader_id() == Some(from)
            && following.all(|it| it.matched <= last)
    }

    /// A server as it is known here.
    fn known(&self, server: ServerId) -> ServerRecord {
        let peer = self.peers.get(&server).and_then(|peer| peer.address);
        let record = self.record(server);
        let address = match (peer, record) {
            _ if server == self.identity.server => self.identity.address,
            (Some(address), _) => address,
            (None, Some(record)) => record.address,
            (None, None) => SocketAddr::from(([0, 0, 0, 0], 0)),
        };
        ServerRecord {
            server,
            address,
            incarnation: record.map_or(0, |record| record.incarnation),
        }
    }

    /// Why clients are not let in; `None` if they are.
    pub fn not_ready(&self) -> Option<NotReady> {
        if self.serves() {
            return None;
        }
        if self.is_primary() {
            return Some(self.not_ready_as_primary());
        }
        if let Some(leader) = self.leader() {
            return Some(NotReady::NotPrimary(leader));
        }
        if self.holds_back() {
            return Some(NotReady::ViewChange);
        }
        if self.damaged {
            return Some(NotReady::Damaged);
        }
        if self.newest_number() == ViewNumber(0) {
            return Some(self.not_ready_without_history());
        }
        let awaited = self.awaited();
        if awaited.is_empty() || self.is_intact() {
            return Some(match awaited.is_empty() {
                true => NotReady::ViewChange,
                false => NotReady::Unreached(awaited),
            });
        }
        let runs = |record: &ServerRecord| {
            record.server == self.identity.server || self.is_present(record.server)
        };
        let (copies, absent): (Vec<_>, Vec<_>) = awaited.into_iter().partition(runs);
        let is_damaged = |record: &ServerRecord| {
            self.linked_report(record.server)
                .is_some_and(|report| report.damaged)
        };
        let (damaged, absent): (Vec<_>, Vec<_>) = absent.into_iter().partition(is_damaged);
        Some(match (absent.is_empty(), damaged.is_empty()) {
            (false, _) => NotReady::Servers(absent),
            (true, false) => NotReady::DamagedServers(damaged),
            (true, true) => NotReady::Folders(copies),
        })
    }

    /// What a server that there is a link to has said of itself.
    fn linked_report(&self, server: ServerId) -> Option<Report> {
        let peer = self.peers.get(&server).filter(|peer| peer.link.is_some());
        peer.and_then(|peer| peer.report)
    }

    /// The last op in the log of this server.
    pub fn holds(&self) -> OpNumber {
        self.log.last().op
    }

    /// Of this server and those that there are links to, the one that holds the most; `None` if none
    /// holds anything.
    pub fn holds_most(&self) -> Option<ServerId> {
        let others = self.peers.keys().copied();
        let others = others.filter_map(|it| Some((it, self.linked_report(it)?)));
        let all = others.chain([(self.identity.server, self.report())]);
        let whole = all.filter(|(_, report)| !report.damaged && report.newest != ViewNumber(0));
        let held = |(server, report): &(ServerId, Report)| {
            (report.newest, report.last, std::cmp::Reverse(*server))
        };
        whole.max_by_key(held).map(|(server, _)| server)
    }

    /// Where servers are that have no id yet: their folders are empty.
    pub fn joiners(&self) -> Vec<SocketAddr> {
        let mut addresses: Vec<_> = self.joiners.values().map(|it| it.address).collect();
        addresses.sort_unstable();
        addresses.dedup();
        addresses
    }

    /// Nothing of the history that this server follows is here yet.
    fn not_ready_without_history(&self) -> NotReady {
        if self.view().is_some() {
            return NotReady::NewHistory;
        }
        let of_cluster = |peer: &Peer| peer.link.is_some() && peer.cluster.0 != 0;
        let linked = self.peers.iter().filter(|(_, peer)| of_cluster(peer));
        let linked: Vec<ServerRecord> = linked.map(|(server, _)| self.known(*server)).collect();
        match linked.is_empty() {
            true => NotReady::Primary(self.looked_for_at()),
            false => NotReady::Joining(linked),
        }
    }

    fn not_ready_as_primary(&self) -> NotReady {
        let in_sync = self.view().map_or(0, |view| view.members.len() - 1);
        let wanted = self.cluster.as_ref().map_or(0, |c| usize::from(c.backups));
        if !self.is_formed() {
            let lacking = wanted.saturating_sub(in_sync);
            return match u16::try_from(lacking) {
                Ok(0) | Err(_) => NotReady::ViewChange,
                Ok(lacking) => NotReady::Backups(lacking),
            };
        }
        if self.is_stuck {
            return NotReady::Unreached(self.awaited());
        }
        NotReady::CatchingUp
    }

    /// Who has to come back: of the newest view that anybody here knows, and of those before it.
    fn awaited(&self) -> Vec<ServerRecord> {
        let newer = self
            .peers
            .values()
            .filter(|peer| peer.link.is_some())
            .filter_map(|peer| Some((peer.standing.last()?.number, &peer.standing)))
            .filter(|(number, _)| *number > self.newest_number())
            .max_by_key(|(number, _)| *number);
        let absent = match newer {
            None if self.is_intact() => self.unheard(),
            None => self.absent(),
            Some((_, standing)) => {
                let members = standing.iter().flat_map(|view| &view.members);
                let mut absent: Vec<ServerId> = members
                    .filter(|member| !self.is_present_for(**member))
                    .map(|member| member.server)
                    .collect();
                absent.sort_unstable();
                absent.dedup();
                absent
            }
        };
        absent
            .into_iter()
            .map(|server| self.known(server))
            .collect()
    }

    /// Members that a member cannot reach: by a link that is cut nothing comes.
    fn unheard(&self) -> Vec<ServerId> {
        let others = self.bases().flat_map(|view| &view.members);
        let unheard = others.filter(|member| {
            **member != self.me()
                && !self.is_dead(**member)
                && (self.link_to(**member).is_none() || self.is_silent(**member, self.called_at))
        });
        let mut unheard: Vec<ServerId> = unheard.map(|member| member.server).collect();
        unheard.sort_unstable();
        unheard.dedup();
        unheard
    }

    /// Every server that has an id, in the order of their ids.
    pub fn servers(&self) -> Vec<ServerStatus> {
        let Some(cluster) = &self.cluster else {
            return Vec::new();
        };
        let followed = self.following.as_ref().map(|following| &following.view);
        let view = followed.or(self.view());
        let leader = self.leader_id().and_then(|server| self.peers.get(&server));
        let leaders_head = leader.and_then(|peer| peer.report).map(|r| r.last.op.0);
        let head = self.log.head().0.max(leaders_head.unwrap_or(0));
        cluster
            .servers
            .iter()
            .map(|record| {
                let server = record.server;
                let lag = if server == self.identity.server {
                    Some(head - self.log.persisted().0)
                } else {
                    self.lag_of(server)
                };
                let condition = self.condition(server, view);
                ServerStatus {
                    server,
                    address: self.known(server).address,
                    condition,
                    lag: lag
                        .filter(|_| matches!(condition, Condition::InSync | Condition::CatchingUp)),
                }
            })
            .collect()
    }

    fn condition(&self, server: ServerId, view: Option<&View>) -> Condition {
        let member = view.and_then(|view| view.member(server));
        if server == self.identity.server {
            return match member == Some(self.me()) {
                true => Condition::InSync,
                false => Condition::CatchingUp,
            };
        }
        let Some(peer) = self.peers.get(&server) else {
            return Condition::Unknown;
        };
        match (member, peer.link) {
            (Some(member), Some(_)) if peer.link_to(member).is_some() => Condition::InSync,
            (_, Some(_)) => Condition::CatchingUp,
            (_, None) if peer.incarnation.is_some() || peer.dial.failures > 0 => Condition::Down,
            (_, None) => Condition::Unknown,
        }
    }

    /// The journal may release everything before this op: nobody who is connected needs it.
    pub fn oldest_needed(&self) -> OpNumber {
        self.lowest_progress()
    }

    /// Bytes of ops that are in the log and not committed.
    pub fn uncommitted_bytes(&self) -> usize {
        self.log.uncommitted_bytes()
    }

    /// After [`super::Input::Leave`]: nobody counts on this server any more.
    pub fn may_leave(&self) -> bool {
        let me = self.me();
        let goes_on_without_me = self
            .following
            .as_ref()
            .is_some_and(|f| f.in_force && !f.view.contains(me));
        self.leaving && (!self.is_intact() || self.leads_alone() || goes_on_without_me)
    }
}
