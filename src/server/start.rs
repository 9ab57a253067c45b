//! What does a server need before its first turn?
//!
//! In this order, so that a start that cannot succeed leaves no trace: look at the data
//! directory, bind the addresses, ask who is there already, and only then write.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use super::links::Links;
use super::member::{MEMBER, MemberAddress, bind};
use super::opening::{Opened, next_incarnation};
use super::passwords::PasswordWorker;
use super::probe::{self, Somebody};
use super::slot::{Choice, choose_slot};
use super::throttle::Failures;
use super::{Alarm, Fatal, Options, Server, StartError, announce, key, random};
use crate::journal::storage::{ClaimError, DataDirectory};
use crate::journal::superblock::Superblock;
use crate::limits::NEIGHBOURS_MAX;
use crate::net::{EventLoop, Listener, LoopConfig, clock, descriptors};
use crate::replica::{Config, Identity, Input, Replica, Start, ancestor_of};
use crate::store::StoreWorker;
use crate::types::{Incarnation, OpNumber};

/// How long what a dying process holds is waited for.
const PATIENCE: Duration = Duration::from_millis(500);

/// What was bound, and why.
struct Bound {
    member: MemberAddress,
    /// None while another program has the kept address.
    member_listener: Option<Listener>,
    /// The service's address, if a cluster is to be founded.
    service: Option<Listener>,
    /// Where to look for others.
    contacts: Vec<SocketAddr>,
}

impl Server {
    /// Everything up to the first turn.
    pub(super) fn start(options: Options) -> Result<Self, StartError> {
        let key = options.cluster_key.as_deref().map(key::read).transpose()?;
        let share = descriptors::share_out(options.max_clients)?;
        if share.clients_max < options.max_clients {
            log::info!(
                "the limit of file descriptors leaves room for {} clients at a time, and not for {}",
                share.clients_max,
                options.max_clients
            );
        }
        let mut network = EventLoop::new(LoopConfig {
            clients_max: share.clients_max,
            refusals_max: share.refusals_max,
            connections_max: share.connections_max,
            clients_per_ip_max: options.max_clients_per_ip,
            ..LoopConfig::default()
        })?;
        let (bound, mut opened) = patiently(|| take_place(&options))?;
        announce::ask_about_force(&options, &opened)?;
        let now = clock::now();
        let founds = bound.service.is_some();
        let contacts = contacts(&options, &bound, &opened);
        let replica = begin(&options, &mut opened, founds, contacts)?;

        network.catch_signals()?;
        let (wake_for_store, wake_for_passwords) = (network.waker(), network.waker());
        let store = StoreWorker::start(
            Box::new(opened.store),
            Box::new(move || wake_for_store.wake()),
        )?;
        let passwords = PasswordWorker::start(move || wake_for_passwords.wake())?;
        let applied = opened.image.applied;
        let mut server = Self {
            network,
            replica,
            disk: opened.disk,
            state: opened.state,
            store,
            passwords,
            member: bound.member,
            service: Default::default(),
            links: Links::new(key),
            transfers: Default::default(),
            gate: Default::default(),
            tickets: Default::default(),
            clients: Default::default(),
            online: Default::default(),
            listening: Default::default(),
            failures_by_account: Failures::new(),
            failures_by_address: Failures::new(),
            applied,
            handed_over: applied,
            changes: Vec::new(),
            cluster: opened.image.cluster,
            cluster_changed: false,
            last_query: 0,
            queries: Default::default(),
            store_answers: Default::default(),
            store_durable: OpNumber::ZERO,
            store_lags: false,
            others_lag: false,
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
            delivery: Default::default(),
            events: Vec::new(),
            announced: Default::default(),
            options,
        };
        if let Some(listener) = bound.service {
            server.serve_at(listener)?;
        }
        server.warn_if_open();
        // Last of all: from here on whoever connects is answered at once.
        match bound.member_listener {
            Some(listener) => {
                server.network.listen(listener, MEMBER)?;
            }
            None => {
                server.network.set_timer(now, Alarm::Member);
            }
        }
        Ok(server)
    }

    fn warn_if_open(&mut self) {
        let member = self.member.address;
        let service = self.options.service;
        if !service.ip().is_loopback() || !member.ip().is_loopback() {
            log::warn!(
                "{service} and {member} can be reached from other machines, and what clients say \
                 there is not encrypted"
            );
        }
    }
}

/// Takes a slot, the addresses and, if it is so, the right to found a cluster.
fn take_place(options: &Options) -> Result<(Bound, Opened), StartError> {
    let Choice {
        slot,
        kept_address,
        siblings,
    } = choose_slot(options)?;
    let (member, member_listener) = MemberAddress::bind(options, kept_address, clock::now())?;
    let may_found = options.is_primary && !slot.has_data && siblings.is_empty();
    let service = match may_found {
        true => bind_to_found(options)?,
        false => None,
    };
    let slot = DataDirectory::claim(&options.data, Some(slot.number))?;
    // Somebody may have been quicker since it was looked at.
    let service = service.filter(|_| !slot.has_data() && slot.other_slots_with_data().is_empty());
    let opened = Opened::of(slot, member.address)?;
    let bound = Bound {
        member,
        member_listener,
        service,
        contacts: siblings,
    };
    Ok((bound, opened))
}

/// Binds the service's address for a server that would found a cluster, unless there is one.
fn bind_to_found(options: &Options) -> Result<Option<Listener>, StartError> {
    let service = options.service;
    let listener = match bind(service, "port") {
        Ok(listener) => Some(listener),
        Err(error @ StartError::AddressInUse { .. }) => match probe::ask(&[service])[0] {
            Somebody::Server(_) | Somebody::Seeker => None,
            // It may have ended just now; otherwise it is somebody whom no server can join.
            Somebody::Nobody | Somebody::Stranger if options.peers.is_empty() => {
                return Err(error);
            }
            Somebody::Nobody | Somebody::Stranger => None,
        },
        // The service is another host's: whoever founds there is joined.
        Err(StartError::Address { source, .. })
            if source.kind() == io::ErrorKind::AddrNotAvailable =>
        {
            None
        }
        Err(error) => return Err(error),
    };
    let heard = |it: &Somebody| matches!(it, Somebody::Server(_));
    Ok(listener.filter(|_| !probe::ask(&options.peers).iter().any(heard)))
}

/// Where a server looks for others, beside those that it knows.
fn contacts(options: &Options, bound: &Bound, opened: &Opened) -> Vec<SocketAddr> {
    let mut contacts = vec![options.service];
    let further = options
        .peers
        .iter()
        .chain(&bound.contacts)
        .chain(&opened.others)
        .copied();
    for address in further.chain(neighbours(options, opened)) {
        if !contacts.contains(&address) && address != bound.member.address {
            contacts.push(address);
        }
    }
    contacts
}

/// Where the others may be if all of them had to take other ports while everything was down: at the
/// first ports above the service's, where a server without `--member` binds. A server that has no
/// cluster yet does not look there, since it might find another cluster.
fn neighbours(options: &Options, opened: &Opened) -> Vec<SocketAddr> {
    if options.member.is_some() || opened.superblock.is_none() {
        return Vec::new();
    }
    let ports = options.service.port()..=u16::MAX;
    let ports = ports.skip(1).take(NEIGHBOURS_MAX);
    ports
        .map(|port| SocketAddr::new(options.service.ip(), port))
        .collect()
}

/// A server that was killed a moment ago is not quite gone yet: whoever starts the next one at
/// once is not refused for it.
fn patiently<T>(attempt: impl Fn() -> Result<T, StartError>) -> Result<T, StartError> {
    let begun = clock::now();
    loop {
        let result = attempt();
        let is_taken = matches!(
            result,
            Err(StartError::AddressInUse { .. } | StartError::Claim(ClaimError::InUse { .. }))
        );
        if !is_taken || clock::now().since(begun) > PATIENCE {
            return result;
        }
        std::thread::sleep(PATIENCE / 25);
    }
}

/// The replica: of a founder, of a server that joins, or with what there is.
fn begin(
    options: &Options,
    opened: &mut Opened,
    founds: bool,
    contacts: Vec<SocketAddr>,
) -> Result<Replica, StartError> {
    let config = Config {
        heartbeat: options.heartbeat,
        fresh: options.fresh,
        grace: options.grace,
        trust_refused: options.trust_refused,
        own_ip: opened.disk.member_address().ip(),
        force: options.force_primary,
        contacts,
        seed: random(),
    };
    let now = clock::now();
    let address = options.advertise.unwrap_or(opened.disk.member_address());
    let Some(superblock) = opened.superblock.clone() else {
        if founds {
            let superblock = opened.found().map_err(not_founded)?;
            let identity = identity_of(&superblock, address);
            return Ok(Replica::found(identity, options.backups, config, now));
        }
        let nobody = Identity {
            cluster: Default::default(),
            lineage: Default::default(),
            server: Default::default(),
            incarnation: next_incarnation(Incarnation::default()),
            ancestor: Incarnation::default(),
            address,
        };
        return Ok(Replica::join(nobody, config, now));
    };
    let identity = identity_of(&superblock, address);
    // A founder that died before its first op was on disk has founded nothing yet.
    let has_founded = opened.image.applied > OpNumber::ZERO || !opened.log.is_empty();
    if !has_founded && !opened.damaged {
        return Ok(Replica::found(identity, options.backups, config, now));
    }
    let start = Start {
        identity,
        vote: superblock.vote,
        cluster: opened.image.cluster.clone(),
        applied: opened.image.applied,
        log: std::mem::take(&mut opened.log),
        damaged: opened.damaged,
        clock: opened.image.clock,
    };
    let mut replica = Replica::start(start, config, now)?;
    if opened.disk.has_damaged_store() {
        log::warn!(
            "the store is damaged in part: it is replaced as soon as another server has all of it"
        );
        replica.handle_input(Input::StoreDamaged, now);
    }
    Ok(replica)
}

/// Who a server is whose superblock this is, with the address that the others are told.
pub(super) fn identity_of(superblock: &Superblock, address: SocketAddr) -> Identity {
    Identity {
        cluster: superblock.cluster,
        lineage: superblock.lineage,
        server: superblock.server,
        incarnation: superblock.incarnation,
        ancestor: ancestor_of(superblock.incarnation, &superblock.vote),
        address,
    }
}

fn not_founded(error: Fatal) -> StartError {
    match error {
        Fatal::Journal(error) => error.into(),
        Fatal::Superblock(error) => error.into(),
        other => StartError::System(io::Error::other(other.to_string())),
    }
}
