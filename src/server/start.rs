//! What does a server need before its first turn?
//!
//! In this order, so that a start that cannot succeed leaves no trace: look at the data
//! directory, bind the addresses, and only then write. A founding writes its superblock last but
//! for the log: a folder without one holds nothing, whatever else a crash has left in it.

use std::io;
use std::net::SocketAddr;
use std::ops::ControlFlow;
use std::path::PathBuf;

use super::member::MemberAddress;
use super::passwords::PasswordWorker;
use super::throttle::Failures;
use super::{Options, Server};
use crate::chat::change::Image;
use crate::chat::{InvalidImage, State};
use crate::journal::storage::{
    ClaimError, DataDirectory, DiskStorage, ExamineError, Slot, SlotState,
};
use crate::journal::superblock::{self, Superblock, SuperblockError};
use crate::journal::{Journal, JournalError, Recovery};
use crate::net::{EventLoop, Listener, ListenerTag, LoopConfig, clock, descriptors};
use crate::replica::{Entry, Identity, InvalidLog, Replica};
use crate::store::{SqliteStore, Store, StoreError, StoreWorker};
use crate::types::{ClusterId, Incarnation, Lineage, OpNumber, ServerId};
use crate::wire::prepare::Prepare;

/// Connections that came in by the service's address.
pub(super) const SERVICE: ListenerTag = ListenerTag(0);
/// Connections that came in by the member address.
pub(super) const MEMBER: ListenerTag = ListenerTag(1);

/// How long what a dying process holds is waited for.
const PATIENCE: std::time::Duration = std::time::Duration::from_millis(500);

/// The journal's folder in a slot.
const JOURNAL: &str = "journal";
/// The store's file in a slot.
const STORE: &str = "store.sqlite";

/// Why a server cannot start. Each sentence says what to do.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The data directory cannot be looked at.
    #[error(transparent)]
    Examine(#[from] ExamineError),
    /// The slot cannot be had.
    #[error(transparent)]
    Claim(#[from] ClaimError),
    /// The slot that would be taken is empty, and another has data.
    #[error(
        "{} holds the data of a server {}; {}",
        .directory.display(),
        match .process { Some(process) => format!("that runs as process {process}"), None => "in another slot".into() },
        match .process { Some(_) => "stop it first, or choose another folder with --data".to_string(), None => format!("start with --slot {slot} to go on with it, or choose another folder with --data") }
    )]
    AnotherSlot {
        /// The data directory.
        directory: PathBuf,
        /// The slot that has data.
        slot: u32,
        /// The process that has it.
        process: Option<u32>,
    },
    /// An empty folder, and `is_primary` is 0.
    #[error(
        "there is no data in {} yet, and a server that is started with 0 founds nothing; start it with 1",
        .directory.display()
    )]
    NothingToJoin {
        /// The data directory.
        directory: PathBuf,
    },
    /// An address is taken.
    #[error("{address} is in use by another program; stop that one, or choose another {what}")]
    AddressInUse {
        /// Which address.
        address: SocketAddr,
        /// What to choose.
        what: &'static str,
    },
    /// No port is left for the member address.
    #[error(
        "no port above that of {0} is free for this server's own address; choose one with --member IP:PORT"
    )]
    NoMemberPort(SocketAddr),
    /// An address cannot be listened on.
    #[error(
        "cannot listen on {address}: {source}; choose an address and a port that this machine and this user may use"
    )]
    Address {
        /// Which address.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// The superblock.
    #[error(transparent)]
    Superblock(#[from] SuperblockError),
    /// The journal.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The journal and the store do not belong together.
    #[error("{reason}; put both back from the same backup: nothing was changed")]
    Mismatch {
        /// In which way.
        reason: String,
    },
    /// The store's state contradicts itself.
    #[error("the store is damaged: {0}; put the folder back from a backup: nothing was changed")]
    Image(#[from] InvalidImage),
    /// The log cannot be gone on with.
    #[error("{0}; nothing was changed")]
    Log(#[from] InvalidLog),
    /// The operating system gives no descriptors, threads or random bits.
    #[error("the system refuses what a server needs: {0}")]
    System(#[from] io::Error),
}

/// What a slot held, or was founded with.
struct Opened {
    slot: Slot,
    storage: DiskStorage,
    superblock: Superblock,
    journal: Journal,
    store: SqliteStore,
    image: Image,
    log: Vec<Entry>,
}

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
            network.set_timer(now, super::Alarm::Member);
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
            store_lags: false,
            stalled: Vec::new(),
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

/// The lowest slot that nobody has, or the one that was named; one that is new is only taken when
/// no other has data, since alone it could not join it.
fn choose_slot(options: &Options) -> Result<SlotState, StartError> {
    let slots: Vec<SlotState> = match DataDirectory::examine(&options.data)? {
        DataDirectory::Missing | DataDirectory::Empty => Vec::new(),
        DataDirectory::Slots(slots) => slots,
        DataDirectory::Foreign { entry } => return Err(ClaimError::Foreign { entry }.into()),
    };
    let number = options.slot.unwrap_or_else(|| {
        (1..)
            .find(|n| !slots.iter().any(|s| s.number == *n && s.locked))
            .expect("there are more numbers than slots")
    });
    let chosen = slots.iter().find(|slot| slot.number == number);
    let chosen = chosen.copied().unwrap_or(SlotState {
        number,
        has_data: false,
        locked: false,
        process: None,
    });
    let directory = options.data.clone();
    if chosen.locked {
        let (number, process) = (chosen.number, chosen.process);
        return Err(ClaimError::InUse {
            number,
            directory,
            process,
        }
        .into());
    }
    if chosen.has_data {
        return Ok(chosen);
    }
    if let Some(other) = slots.iter().find(|slot| slot.has_data) {
        return Err(StartError::AnotherSlot {
            directory,
            slot: other.number,
            process: other.process.filter(|_| other.locked),
        });
    }
    if !options.is_primary {
        return Err(StartError::NothingToJoin { directory });
    }
    Ok(chosen)
}

/// The member address that the slot's server had. Changes nothing.
fn kept_address(options: &Options, slot: SlotState) -> Result<SocketAddr, StartError> {
    let directory = options.data.join(format!("server-{}", slot.number));
    let storage = DiskStorage::open(&directory)?;
    let superblock = superblock::read(&storage)?.ok_or_else(|| StartError::Mismatch {
        reason: format!("the superblock in {} vanished", directory.display()),
    })?;
    Ok(superblock.member_address)
}

pub(super) fn bind(address: SocketAddr, what: &'static str) -> Result<Listener, StartError> {
    Listener::bind(address).map_err(|source| match source.kind() {
        io::ErrorKind::AddrInUse => StartError::AddressInUse { address, what },
        _ => StartError::Address { address, source },
    })
}

fn open_slot(
    options: &Options,
    chosen: SlotState,
    member_address: SocketAddr,
) -> Result<Opened, StartError> {
    let slot = DataDirectory::claim(&options.data, Some(chosen.number))?;
    let mut storage = DiskStorage::open(slot.directory())?;
    match superblock::read(&storage)? {
        Some(mut superblock) => {
            // Opening either changes it: whatever is not ours to open is found before.
            SqliteStore::examine(slot.directory().join(STORE))?;
            let (journal, recovery) = open_journal(&slot, &superblock)?;
            let (store, image) = open_store(&slot)?;
            let log = read_log(&slot, &journal, &recovery, &image)?;
            superblock.incarnation = Incarnation {
                counter: superblock.incarnation.counter + 1,
                random: random(),
            };
            superblock.member_address = member_address;
            superblock::write(&mut storage, &superblock)?;
            Ok(Opened {
                slot,
                storage,
                superblock,
                journal,
                store,
                image,
                log,
            })
        }
        None => found_slot(slot, storage, member_address),
    }
}

/// A new cluster's first server.
fn found_slot(
    slot: Slot,
    mut storage: DiskStorage,
    member_address: SocketAddr,
) -> Result<Opened, StartError> {
    let cluster = ClusterId(u128::from(random()) << 64 | u128::from(random()));
    let (store, image) = open_store(&slot)?;
    if image.applied > OpNumber::ZERO {
        let reason = format!(
            "{} has a store with messages, and no superblock",
            slot.directory().display()
        );
        return Err(StartError::Mismatch { reason });
    }
    let journal = DiskStorage::open(&slot.directory().join(JOURNAL))?;
    let journal = Journal::create(Box::new(journal), cluster, random())?;
    let superblock = Superblock {
        cluster,
        lineage: Lineage {
            counter: 0,
            random: random(),
        },
        server: ServerId(1),
        incarnation: Incarnation {
            counter: 1,
            random: random(),
        },
        member_address,
    };
    superblock::write(&mut storage, &superblock)?;
    Ok(Opened {
        slot,
        storage,
        superblock,
        journal,
        store,
        image,
        log: Vec::new(),
    })
}

fn open_store(slot: &Slot) -> Result<(SqliteStore, Image), StartError> {
    let mut store = SqliteStore::open(slot.directory().join(STORE))?;
    let image = store.load()?;
    Ok((store, image))
}

fn open_journal(slot: &Slot, superblock: &Superblock) -> Result<(Journal, Recovery), StartError> {
    let directory = slot.directory().join(JOURNAL);
    let (journal, recovery) = Journal::open(Box::new(DiskStorage::open(&directory)?))?;
    if let Some(torn) = &recovery.torn {
        log::warn!(
            "{}: {} bytes from offset {} on were never synced, and are cut off; the last op is {}",
            torn.file,
            torn.bytes,
            torn.offset,
            torn.after
        );
    }
    if journal.cluster() != superblock.cluster {
        let directory = directory.display();
        let reason = format!("the journal in {directory} is another cluster's");
        return Err(StartError::Mismatch { reason });
    }
    Ok((journal, recovery))
}

/// Reads what the store lacks.
fn read_log(
    slot: &Slot,
    journal: &Journal,
    recovery: &Recovery,
    image: &Image,
) -> Result<Vec<Entry>, StartError> {
    let directory = slot.directory().join(JOURNAL);
    let directory = directory.display();
    let (applied, head, first) = (image.applied, recovery.head, recovery.first);
    if applied > head {
        let reason = format!(
            "the journal in {directory} ends with op {head}, but the store already holds op {applied}: the journal is older"
        );
        return Err(StartError::Mismatch { reason });
    }
    if applied.next() < first {
        let reason = format!(
            "the store ends with op {applied}, but the journal in {directory} begins with op {first}: the store is older"
        );
        return Err(StartError::Mismatch { reason });
    }
    let mut log = Vec::new();
    let mut unreadable = None;
    journal.read(applied, &mut |op, bytes| {
        let Ok(prepare) = Prepare::decode(bytes) else {
            unreadable = Some(op);
            return ControlFlow::Break(());
        };
        log.push(Entry {
            op,
            time: prepare.time,
            prepare: bytes.to_vec(),
        });
        ControlFlow::Continue(())
    })?;
    match unreadable {
        Some(op) => Err(InvalidLog::Unreadable(op).into()),
        None => Ok(log),
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
    let time = clock::wall_clock();
    // A founder that died before its first op was on disk has founded nothing yet.
    if opened.journal.head() == OpNumber::ZERO {
        return Ok(Replica::found(identity, backups, time));
    }
    let image = &opened.image;
    Ok(Replica::restart(
        identity,
        image.cluster.clone(),
        image.applied,
        log,
        time,
    )?)
}

fn random() -> u64 {
    getrandom::u64().expect("the operating system gives random bits")
}
