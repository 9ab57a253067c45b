//! How large is a simulated cluster, and how good are its network and its disks?

use std::net::IpAddr;
use std::time::Duration;

use lastword::client::failover;
use lastword::replica::{Config, Sabotage};
use lastword::types::TrustRefused;

use super::random::Random;

pub const MICROSECOND: u64 = 1_000;
pub const MILLISECOND: u64 = 1_000_000;
pub const SECOND: u64 = 1_000_000_000;

/// What does not change during a run.
#[derive(Clone, Debug)]
pub struct Settings {
    pub servers: usize,
    pub clients: usize,
    /// The founder's `--backups`.
    pub backups: u16,
    /// As an operator would set it; contacts and seed are each server's own.
    pub config: Config,
    /// Every server is told every address (`--peers`), and not only the service's.
    pub knows_peers: bool,
    /// The time that a packet takes, at least and at most.
    pub latency: (u64, u64),
    /// Of 1000 packets, so many are lost and come later, when they are sent again.
    pub loss_per_mille: u64,
    /// Of 1000 frames, so many come twice.
    pub duplicates_per_mille: u64,
    /// The time that a sync takes, at least and at most.
    pub sync_time: (u64, u64),
    /// Of 1000 syncs, so many take up to [`Self::long_sync_time`].
    pub long_sync_per_mille: u64,
    pub long_sync_time: u64,
    /// The time that a process takes from its beginning to its first turn, at least and at most.
    pub start_time: (u64, u64),
    /// Clocks run too fast or too slow by at most so many millionths.
    pub skew_per_million: u64,
    /// How long a client thinks between two requests, at most.
    pub thinking_time: u64,
    /// Requests that a client has open at a time, at most.
    pub requests_open: usize,
    /// Rules that are broken on purpose.
    pub broken: Broken,
}

/// A rule that is broken on purpose, to see it missed.
#[derive(Clone, Debug, Default)]
pub struct Broken {
    /// What the replica leaves out.
    pub replica: Sabotage,
    /// The driver says that a promise is on disk before it is, and a crash comes first.
    pub promise_not_synced: bool,
    /// A copy of a folder passes for the folder itself.
    pub copies_undetected: bool,
    /// A process takes connections from its beginning on, and answers them in its first turn.
    pub listens_early: bool,
    /// What the clients leave out.
    pub client: failover::Sabotage,
}

impl Settings {
    /// A good network, good disks, and a few clients.
    pub fn calm(servers: usize) -> Self {
        Self {
            servers,
            clients: 3,
            backups: servers as u16 - 1,
            config: Config {
                heartbeat: Duration::from_millis(100),
                fresh: Duration::from_millis(800),
                grace: Duration::from_secs(1),
                trust_refused: TrustRefused::Everywhere,
                own_ip: IpAddr::from([10, 0, 0, 0]),
                force: false,
                contacts: Vec::new(),
                seed: 0,
            },
            knows_peers: true,
            latency: (50 * MICROSECOND, 300 * MICROSECOND),
            loss_per_mille: 0,
            duplicates_per_mille: 0,
            sync_time: (100 * MICROSECOND, MILLISECOND),
            long_sync_per_mille: 0,
            long_sync_time: 0,
            start_time: (0, 0),
            skew_per_million: 50,
            thinking_time: 40 * MILLISECOND,
            requests_open: 3,
            broken: Broken::default(),
        }
    }

    /// What a seed's network and disks are like.
    pub fn drawn(servers: usize, random: &mut Random) -> Self {
        let mut settings = Self::calm(servers);
        settings.clients = random.between(1, 4) as usize;
        settings.backups = random.between(1, servers as u64 - 1) as u16;
        settings.knows_peers = random.percent(70);
        let latency = random.scaled(50 * MICROSECOND, 20 * MILLISECOND);
        settings.latency = (latency / 2, latency * random.between(1, 4));
        if random.percent(30) {
            settings.loss_per_mille = random.scaled(1, 100);
        }
        if random.percent(20) {
            settings.duplicates_per_mille = random.scaled(1, 200);
        }
        let sync = random.scaled(50 * MICROSECOND, 10 * MILLISECOND);
        settings.sync_time = (sync / 2, sync * random.between(1, 4));
        if random.percent(30) {
            settings.long_sync_per_mille = random.scaled(1, 60);
            settings.long_sync_time = random.scaled(20 * MILLISECOND, 1500 * MILLISECOND);
        }
        settings.skew_per_million = random.scaled(1, 2000);
        settings.thinking_time = random.scaled(5 * MILLISECOND, 400 * MILLISECOND);
        settings.requests_open = random.between(1, 6) as usize;
        if random.percent(30) {
            settings.start_time = (MILLISECOND, random.scaled(MILLISECOND, 500 * MILLISECOND));
        }
        settings
    }
}
