//! What does a server need before its first turn?
//!
//! In this order, so that a start that cannot succeed leaves no trace: look at the data
//! directory, bind the addresses, and only then write.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use super::member::{MEMBER, MemberAddress, SERVICE, bind};
use super::passwords::PasswordWorker;
use super::slot::{Opened, choose_slot, kept_address, open_slot};
use super::throttle::Failures;
use super::{Alarm, Options, Server, StartError};
use crate::chat::State;
use crate::journal::storage::ClaimError;
use crate::net::{EventLoop, LoopConfig, clock, descriptors};
use crate::replica::{Entry, Identity, Replica};
use crate::store::StoreWorker;
use crate::types::OpNumber;

/// How long what a dying process holds is waited for.
const PATIENCE: Duration = Duration::from_millis(500);

impl Server {
    /// Everything up to the first turn.
    pub(super) fn start(options: Options) -> Result<Self, StartError> {
        let slot = patiently(|| choose_slot(&options))?;
        let kept = slot
            .has_data
            .then(|| kept_address(&options, slot))
            .transpose()?;

        let config = LoopConfig {
            clients_max: descriptors::clients_within_limit(options.max_clients),
            clients_per_ip_max: options.max_clients_per_ip,
            ..LoopConfig::default()
        };
        let mut network = EventLoop::new(config)?;
        let now = clock::now();
        let (member, member_listener) = MemberAddress::bind(&options, kept, now)?;
        let service = patiently(|| bind(options.service, "port"))?;

        let mut opened = open_slot(&options, slot, member.address)?;
        let state = State::restore(&opened.image)?;
        let applied = opened.image.applied;
        let log = std::mem::take(&mut opened.log);
        let replica = begin(&opened, log, options.advertise, options.backups)?;

        network.catch_signals()?;
        let mut listeners = vec![network.listen(service, SERVICE)?];
        if let Some(listener) = member_listener {
            listeners.push(network.listen(listener, MEMBER)?);
        } else {
            network.set_timer(now, Alarm::Member);
        }
        let (wake_for_store, wake_for_passwords) = (network.waker(), network.waker());
        let store = StoreWorker::start(
            Box::new(opened.store),
            Box::new(move || wake_for_store.wake()),
        )?;
        let passwords = PasswordWorker::start(move || wake_for_passwords.wake())?;
        let mut server = Self {
            network,
            replica,
            journal: opened.journal,
            state,
            store,
            passwords,
            member,
            listeners,
            clients: Default::default(),
            online: Default::default(),
            failures_by_account: Failures::new(),
            failures_by_address: Failures::new(),
            applied,
            handed_over: applied,
            changes: Vec::new(),
            cluster_changed: false,
            last_query: 0,
            queries: Default::default(),
            store_answers: Default::default(),
            store_lags: false,
            starved: Vec::new(),
            again: Vec::new(),
            ending: Vec::new(),
            unread: Default::default(),
            now,
            wall_clock: clock::wall_clock(),
            sync_time: Default::default(),
            longest_turn: Default::default(),
            longest_sync: Default::default(),
            stopping: None,
            at_once: false,
            line: String::new(),
            payload: Vec::new(),
            events: Vec::new(),
            superblock: opened.superblock,
            slot_storage: opened.storage,
            slot: opened.slot,
            options,
        };
        server.warn_if_open();
        Ok(server)
    }

    fn warn_if_open(&mut self) {
        if !self.options.service.ip().is_loopback() {
            log::warn!(
                "{} can be reached from other machines, and what is said on it is not encrypted",
                self.options.service
            );
        }
    }

    /// Says, for people, that clients are let in, and what to type next.
    pub(super) fn print_ready(&self) {
        let me = self.replica.identity();
        let service = self.options.service;
        let (ip, port) = (service.ip(), service.port());
        println_quietly(&format!(
            "lastword {version}: server {server} is the primary, alone, and ready\n\
             service {service}, member address {member}, process {process}\n\
             data in {data}\n\
             next: nc {ip} {port}   or: client --server {service}",
            version = env!("CARGO_PKG_VERSION"),
            server = me.server,
            member = me.address,
            process = std::process::id(),
            data = self.slot.directory().display(),
        ));
    }
}

/// Standard output may be closed; that is no reason to end.
fn println_quietly(text: &str) {
    use io::Write;
    let _ = writeln!(io::stdout(), "{text}");
}

/// A server that was killed a moment ago is not quite gone yet: whoever starts the next one at
/// once is not refused for it.
fn patiently<T>(attempt: impl Fn() -> Result<T, StartError>) -> Result<T, StartError> {
    let begun = clock::now();
    loop {
        let result = attempt();
        let is_taken = matches!(
            result,
            Err(StartError::AddressInUse { .. }
                | StartError::AnotherSlot {
                    process: Some(_),
                    ..
                }
                | StartError::Claim(ClaimError::InUse { .. }))
        );
        if !is_taken || clock::now().since(begun) > PATIENCE {
            return result;
        }
        std::thread::sleep(PATIENCE / 25);
    }
}

/// The replica, as a founder or with what there is.
fn begin(
    opened: &Opened,
    log: Vec<Entry>,
    advertise: Option<SocketAddr>,
    backups: u16,
) -> Result<Replica, StartError> {
    let superblock = &opened.superblock;
    let identity = Identity {
        cluster: superblock.cluster,
        lineage: superblock.lineage,
        server: superblock.server,
        incarnation: superblock.incarnation,
        address: advertise.unwrap_or(superblock.member_address),
    };
    let config = crate::replica::Config {
        heartbeat: Duration::from_millis(100),
        fresh: Duration::from_millis(800),
        grace: Duration::from_secs(1),
        trust_refused: true,
        contacts: Vec::new(),
        seed: 0,
    };
    let now = clock::now();
    // A founder that died before its first op was on disk has founded nothing yet.
    if opened.journal.head() == OpNumber::ZERO {
        return Ok(Replica::found(identity, backups, config, now));
    }
    let image = &opened.image;
    let start = crate::replica::Start {
        identity,
        vote: Default::default(),
        cluster: image.cluster.clone(),
        applied: image.applied,
        log,
        damaged: false,
        force: false,
    };
    Ok(Replica::start(start, config, now)?)
}
