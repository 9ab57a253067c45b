//! What is a cluster to a test? Its servers, numbered from 0, and conditions to wait for: who
//! leads, and who is in sync. Nothing here waits for a time.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::ops::{Index, IndexMut};
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::common::eventually;
use crate::common::status::Status;
use crate::common::text::TextClient;
use crate::load::Finder;

use super::address::own_service;
use super::server::Server;

/// Times for tests in which processes die: their ends are known at once by other signs than
/// silence, and on a machine that is busy with other tests a second of silence means nothing.
pub const PATIENT: [&str; 4] = ["--fresh", "8s", "--grace", "10s"];
/// Times for tests of silence: longer than a busy machine keeps a process or a disk waiting.
pub const QUICKER: [&str; 4] = ["--fresh", "2400ms", "--grace", "3s"];

/// Servers with one service address, each with a slot of its own in a common data folder.
pub struct Cluster {
    servers: Vec<Server>,
    service: SocketAddr,
    folder: TempDir,
}

impl Cluster {
    /// Three servers that run and are in sync, server 0 leading. Only ends of processes are to be
    /// noticed quickly.
    pub fn of_three() -> Self {
        let mut cluster = Self::to_be_started(3, &PATIENT);
        cluster.form();
        cluster
    }

    /// The same where silence is noticed within seconds.
    pub fn of_three_that_notice_silence() -> Self {
        let mut cluster = Self::to_be_started(3, &QUICKER);
        cluster.form();
        cluster
    }

    /// So many servers, none of which runs.
    pub fn to_be_started(count: usize, options: &[&str]) -> Self {
        Self::at(own_service(), count, options)
    }

    /// The same at this address.
    pub fn at(service: SocketAddr, count: usize, options: &[&str]) -> Self {
        let mut cluster = Self {
            servers: Vec::new(),
            service,
            folder: TempDir::with_prefix("lastword-test-").expect("a folder for the test"),
        };
        for _ in 0..count {
            cluster.add(options);
        }
        cluster
    }

    /// One more server, in the next slot. Answers its place.
    pub fn add(&mut self, options: &[&str]) -> usize {
        let place = self.servers.len();
        let name = format!("server {place}");
        let folder = self.folder.path().join(&name);
        let slot = (place + 1).to_string();
        let server = Server::new(&name, self.service, folder)
            .with("--data", self.data())
            .with("--slot", slot)
            .with_words(options);
        self.servers.push(server);
        place
    }

    /// One more server, whatever it is like.
    pub fn add_server(&mut self, server: Server) -> usize {
        self.servers.push(server);
        self.servers.len() - 1
    }

    /// Starts all, the first one as the primary, until all are in sync.
    pub fn form(&mut self) {
        self.servers[0].start_as_primary();
        for server in &mut self.servers[1..] {
            server.start_to_join();
        }
        self.until_all_in_sync();
        // From now on the cluster is there, and nobody founds one.
        self.servers[0].join_from_now_on();
    }

    /// Ends servers 0, 1 and 2, one after the other. Alice sends herself a message to which only the
    /// last one says OK.
    pub fn end_one_by_one(&mut self, last_message: &str) {
        for place in [0, 1] {
            self[place].kill();
            self.primary();
        }
        self.login("alice").send("alice", last_message);
        self[2].kill();
    }

    // --- where things are ---

    /// The service's address.
    pub fn service(&self) -> SocketAddr {
        self.service
    }

    /// What `--data` names.
    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// The folder of a server's slot.
    pub fn slot(&self, place: usize) -> PathBuf {
        self.data().join(format!("server-{}", place + 1))
    }

    /// A folder for the test's own files.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The places of the servers that run.
    pub fn running(&self) -> Vec<usize> {
        let all = 0..self.servers.len();
        all.filter(|place| self.servers[*place].runs()).collect()
    }

    /// What clients know who have been here before.
    pub fn finder(&self) -> Finder {
        let members = self.running().into_iter().map(|it| self[it].member());
        Finder::at(self.service).knowing(members)
    }

    // --- conditions ---

    /// The place of the server that leads and lets clients in, as soon as there is one.
    #[track_caller]
    pub fn primary(&self) -> usize {
        self.primary_with("leads", |_| true).0
    }

    /// The same, once what it says of the cluster is as wanted.
    #[track_caller]
    pub fn primary_with(&self, what: &str, wanted: impl Fn(&Status) -> bool) -> (usize, Status) {
        eventually(&format!("some server {what}"), || {
            self.running().into_iter().find_map(|place| {
                let status = self.servers[place].status()?;
                (status.serves() && wanted(&status)).then_some((place, status))
            })
        })
    }

    /// Waits until all servers that run are in sync. Answers who leads.
    #[track_caller]
    pub fn until_all_in_sync(&self) -> usize {
        let ids: BTreeSet<u16> = self.running().iter().map(|it| self[*it].id()).collect();
        let (primary, _) = self.primary_with("has all in sync", |status| {
            status.in_sync().is_superset(&ids)
        });
        primary
    }

    /// Waits until the primary has this server in sync.
    #[track_caller]
    pub fn until_in_sync(&self, place: usize) -> usize {
        let id = self[place].id();
        self.primary_with("has it in sync", |status| status.in_sync().contains(&id))
            .0
    }

    /// A connection in text mode to the primary, whoever that is.
    #[track_caller]
    pub fn text(&self) -> TextClient {
        TextClient::connect(self[self.primary()].member())
    }

    /// The same, logged in as a new account.
    #[track_caller]
    pub fn account(&self, name: &str) -> TextClient {
        let mut client = self.text();
        client.create(name);
        client.login(name);
        client
    }

    /// The same, logged in as an account that exists.
    #[track_caller]
    pub fn login(&self, name: &str) -> TextClient {
        let mut client = self.text();
        client.login_unread(name);
        client
    }

    /// Fails if a server that should run has ended, or any has panicked.
    #[track_caller]
    pub fn assert_well(&mut self) {
        for server in &mut self.servers {
            server.assert_well();
        }
    }
}

impl Index<usize> for Cluster {
    type Output = Server;

    fn index(&self, place: usize) -> &Server {
        &self.servers[place]
    }
}

impl IndexMut<usize> for Cluster {
    fn index_mut(&mut self, place: usize) -> &mut Server {
        &mut self.servers[place]
    }
}
