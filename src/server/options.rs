//! What does an operator decide?

use std::net::SocketAddr;
use std::path::PathBuf;

use crate::limits::{CLIENTS_MAX_DEFAULT, CLIENTS_PER_IP_MAX_DEFAULT};

/// Everything that a server is told at its start.
#[derive(Clone, Debug)]
pub struct Options {
    /// The service's address, where clients look for the primary.
    pub service: SocketAddr,
    /// Be the primary if nobody is: only then may an empty folder found a cluster.
    pub is_primary: bool,
    /// The data directory, with a slot for each server that was started in it.
    pub data: PathBuf,
    /// The data directory was named by hand: the slot in it is the one that is meant, also while
    /// another process has it.
    pub data_named: bool,
    /// This slot and no other.
    pub slot: Option<u32>,
    /// This server's own address; `None`: the kept one, or the first free port above the
    /// service's.
    pub member: Option<SocketAddr>,
    /// What others are told instead of the member address.
    pub advertise: Option<SocketAddr>,
    /// How many backups have to be in sync before a new cluster lets clients in.
    pub backups: u16,
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
            data_named: false,
            slot: None,
            member: None,
            advertise: None,
            backups: 0,
            max_clients: CLIENTS_MAX_DEFAULT,
            max_clients_per_ip: CLIENTS_PER_IP_MAX_DEFAULT,
            max_rate: 0,
        }
    }
}
