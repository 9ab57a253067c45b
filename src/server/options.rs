//! What does an operator decide?

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::limits::{
    BACKUPS_DEFAULT, CLIENTS_MAX_DEFAULT, CLIENTS_PER_IP_MAX_DEFAULT, FRESH_DEFAULT, GRACE_DEFAULT,
    HEARTBEAT_DEFAULT, REBIND_DELAY_DEFAULT,
};
use crate::types::TrustRefused;

/// Everything that a server is told at its start.
#[derive(Clone, Debug)]
pub struct Options {
    /// The service's address, where clients look for the primary.
    pub service: SocketAddr,
    /// Be the primary if nobody is: only then may an empty folder found a cluster.
    pub is_primary: bool,
    /// The data directory, with a slot for each server that was started in it.
    pub data: PathBuf,
    /// This slot and no other.
    pub slot: Option<u32>,
    /// This server's own address; `None`: the kept one, or the first free port above the
    /// service's.
    pub member: Option<SocketAddr>,
    /// What others are told instead of the member address.
    pub advertise: Option<SocketAddr>,
    /// Where else to look for the cluster, besides the service's address and the servers that are
    /// known.
    pub peers: Vec<SocketAddr>,
    /// How many backups have to be in sync before a new cluster lets clients in.
    pub backups: u16,
    /// How long a server that takes over leaves the service's address to whoever is dying.
    pub rebind_delay: Duration,
    /// How often servers tell each other that they are alive.
    pub heartbeat: Duration,
    /// How old a proof of leadership may be for reads. Shorter than `grace`.
    pub fresh: Duration,
    /// How long a server may be unheard before it is called silent.
    pub grace: Duration,
    /// Whose refused connects prove that a process has ended.
    pub trust_refused: TrustRefused,
    /// Lead alone, whatever others may hold: what only they have is lost.
    pub force_primary: bool,
    /// `force_primary` needs no answer on a terminal.
    pub yes: bool,
    /// The file with the servers' shared secret; without one, only servers of this host are
    /// accepted.
    pub cluster_key: Option<PathBuf>,
    /// Clients at a time.
    pub max_clients: usize,
    /// Clients of one address at a time, loopback exempt.
    pub max_clients_per_ip: usize,
    /// Requests a second for each connection; 0: no limit.
    pub max_rate: u32,
}

impl Options {
    /// What a server is told with nothing but `<ip> <port> <is_primary>`.
    pub fn new(service: SocketAddr, is_primary: bool) -> Self {
        let folder = format!("{}_{}", service.ip(), service.port());
        Self {
            service,
            is_primary,
            data: PathBuf::from("lastword-data").join(folder),
            slot: None,
            member: None,
            advertise: None,
            peers: Vec::new(),
            backups: BACKUPS_DEFAULT,
            rebind_delay: REBIND_DELAY_DEFAULT,
            heartbeat: HEARTBEAT_DEFAULT,
            fresh: FRESH_DEFAULT,
            grace: GRACE_DEFAULT,
            trust_refused: TrustRefused::OnThisHost,
            force_primary: false,
            yes: false,
            cluster_key: None,
            max_clients: CLIENTS_MAX_DEFAULT,
            max_clients_per_ip: CLIENTS_PER_IP_MAX_DEFAULT,
            max_rate: 0,
        }
    }
}
