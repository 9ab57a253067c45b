//! What is in the data directory, and which part of it is this server's?
//!
//! Everything is looked at before anything is changed. A founding writes its superblock last: a
//! slot without one holds nothing, whatever else a crash has left in it.

use std::net::SocketAddr;
use std::ops::ControlFlow;

use super::{Options, StartError};
use crate::chat::change::Image;
use crate::journal::storage::{ClaimError, DataDirectory, DiskStorage, Slot, SlotState};
use crate::journal::superblock::{self, Superblock};
use crate::journal::{Journal, Recovery};
use crate::replica::{Entry, InvalidLog};
use crate::store::{SqliteStore, Store};
use crate::types::{ClusterId, Incarnation, Lineage, OpNumber, ServerId, Vote};

/// The journal's folder in a slot.
const JOURNAL: &str = "journal";
/// The store's file in a slot.
const STORE: &str = "store.sqlite";

/// What a slot held, or was founded with.
pub(super) struct Opened {
    /// The folder, locked.
    pub slot: Slot,
    /// Where the superblock is.
    pub storage: DiskStorage,
    /// Who the server is, and which process of it this is.
    pub superblock: Superblock,
    /// The log.
    pub journal: Journal,
    /// What was written behind it.
    pub store: SqliteStore,
    /// What the store holds that belongs into memory.
    pub image: Image,
    /// What the journal holds that the store lacks.
    pub log: Vec<Entry>,
}

/// The lowest slot that nobody has, or the one that was named; one that is new is only taken when
/// no other has data, since alone it could not join it.
pub(super) fn choose_slot(options: &Options) -> Result<SlotState, StartError> {
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
pub(super) fn kept_address(options: &Options, slot: SlotState) -> Result<SocketAddr, StartError> {
    let directory = options.data.join(format!("server-{}", slot.number));
    let storage = DiskStorage::open(&directory)?;
    let superblock = superblock::read(&storage)?.ok_or_else(|| StartError::Mismatch {
        reason: format!("the superblock in {} vanished", directory.display()),
    })?;
    Ok(superblock.member_address)
}

/// Takes a slot and opens, or founds, what is in it. This process is a new incarnation.
pub(super) fn open_slot(
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
        vote: Vote::default(),
        generation: 0,
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
        let Ok(entry) = Entry::decode(bytes.to_vec()) else {
            unreadable = Some(op);
            return ControlFlow::Break(());
        };
        log.push(entry);
        ControlFlow::Continue(())
    })?;
    match unreadable {
        Some(op) => Err(InvalidLog::Unreadable(op).into()),
        None => Ok(log),
    }
}

fn random() -> u64 {
    getrandom::u64().expect("the operating system gives random bits")
}
