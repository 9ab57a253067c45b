//! What does a slot hold, and can it be gone on with?
//!
//! A journal or a store that is damaged does not end a server that has others beside it: it is put
//! aside as the generation before, and everything comes from them. What cannot be explained by a
//! bad disk (a journal that is older than what the server has acknowledged, a folder of another
//! cluster) is the work of people, and ends the start with a sentence: nothing is changed then.

use std::net::SocketAddr;
use std::ops::ControlFlow;

use super::disk::{self, Disk};
use super::generation;
use super::{StartError, random};
use crate::chat::State;
use crate::chat::change::Image;
use crate::journal::storage::{DiskStorage, Slot, Storage};
use crate::journal::superblock::{Superblock, SuperblockFile};
use crate::journal::{Journal, JournalError, Recovery};
use crate::replica::{Entry, FOUNDER, InvalidLog};
use crate::store::{SqliteStore, Store, StoreError, remove_snapshot};
use crate::types::{Cluster, ClusterId, Incarnation, Lineage, OpNumber, ServerId, Timestamp, Vote};

/// What a slot held, or was founded with.
pub(super) struct Opened {
    /// The slot, with the superblock and the journal.
    pub disk: Disk,
    /// Who the server is, as the superblock says; `None` if the slot is empty.
    pub superblock: Option<Superblock>,
    /// What was written behind the journal.
    pub store: SqliteStore,
    /// What the store holds that belongs into memory.
    pub image: Image,
    /// The same, as it is used.
    pub state: State,
    /// What the journal holds that the store lacks.
    pub log: Vec<Entry>,
    /// The journal or the store could not be used, or there is nothing in them yet: everything has
    /// to come from another server.
    pub damaged: bool,
    /// Where the other servers were, as far as a store says that was put aside.
    pub others: Vec<SocketAddr>,
}

impl Opened {
    /// The last op that there is, and when it was written; `None` if there is none.
    pub fn last(&self) -> Option<(OpNumber, Timestamp)> {
        match self.log.last() {
            Some(entry) => Some((entry.position.op, entry.time)),
            None => Some((self.image.applied, self.image.clock)),
        }
        .filter(|(op, _)| *op > OpNumber::ZERO)
    }
}

/// Why what is there cannot be used.
enum Unusable {
    /// The disk has lost or changed something of the store. The journal may have all that is needed.
    Store(StartError),
    /// The disk has lost or changed something of the journal, or of both.
    Damaged(StartError),
    /// Everything else.
    Other(StartError),
}

impl Unusable {
    fn into_error(self) -> StartError {
        match self {
            Self::Store(error) | Self::Damaged(error) | Self::Other(error) => error,
        }
    }
}

impl<T: Into<StartError>> From<T> for Unusable {
    fn from(error: T) -> Self {
        match error.into() {
            error @ StartError::Journal(
                JournalError::Damaged { .. } | JournalError::Missing { .. },
            ) => Self::Damaged(error),
            error @ StartError::Image(_) => Self::Store(error),
            // In a folder with a superblock, what has the store's name was the store.
            StartError::Store(error)
                if error.is_damage() || matches!(error, StoreError::NotAStore(_)) =>
            {
                Self::Store(error.into())
            }
            error => Self::Other(error),
        }
    }
}

impl Opened {
    /// Opens what is in a claimed slot. The process that does is a new incarnation.
    pub fn of(slot: Slot, member_address: SocketAddr) -> Result<Self, StartError> {
        let mut storage = DiskStorage::open(slot.directory())?;
        remove_snapshot(generation::outgoing(slot.directory()))?;
        remove_snapshot(generation::incoming(slot.directory()))?;
        let file = DiskStorage::open(slot.directory())?;
        let (file, superblock) = SuperblockFile::open(Box::new(file))?;
        let Some(mut superblock) = superblock else {
            return Self::empty(slot, file, member_address);
        };
        superblock.member_address = member_address;
        let mut image = None;
        match Whole::open_or_rebuild(&slot, &mut storage, &superblock, &mut image) {
            Ok(whole) => {
                generation::remove_old(slot.directory(), superblock.generation)?;
                begin_process(&mut superblock, &slot);
                Self::whole(slot, file, superblock, whole)
            }
            Err(Unusable::Other(error)) => Err(error),
            Err(Unusable::Store(error) | Unusable::Damaged(error)) => {
                let cluster = image.and_then(|image| image.cluster);
                // Nobody could repair the only server that there is.
                if !has_others(&superblock, cluster.as_ref()) {
                    return Err(error);
                }
                log::error!("{error}");
                log::error!("this server leads nothing before another one has repaired it");
                let servers = cluster.map(|it| it.servers).unwrap_or_default();
                begin_process(&mut superblock, &slot);
                let mut opened = Self::anew(slot, file, superblock)?;
                opened.others = servers.iter().map(|it| it.address).collect();
                Ok(opened)
            }
        }
    }

    /// Nothing is there: the server founds a cluster, or joins one.
    fn empty(
        slot: Slot,
        file: SuperblockFile,
        member_address: SocketAddr,
    ) -> Result<Self, StartError> {
        let mut store = SqliteStore::open(generation::store(slot.directory(), 0))?;
        let image = store.load()?;
        if image.applied > OpNumber::ZERO {
            let reason = format!(
                "{} has a store with messages, and no superblock",
                slot.directory().display()
            );
            return Err(StartError::Mismatch { reason });
        }
        Ok(Self {
            disk: Disk::empty(slot, file, member_address),
            superblock: None,
            store,
            image,
            state: State::new(),
            log: Vec::new(),
            damaged: false,
            others: Vec::new(),
        })
    }

    fn whole(
        slot: Slot,
        mut file: SuperblockFile,
        superblock: Superblock,
        whole: Whole,
    ) -> Result<Self, StartError> {
        file.save(&superblock)?;
        let Whole {
            journal,
            store,
            image,
            state,
            log,
        } = whole;
        // A server that was given an id and nothing else, or lost everything, must not take itself
        // for one that nothing was ever said to. (The founder is one, until it has said
        // something.)
        let knows_nothing = image.applied == OpNumber::ZERO && log.is_empty();
        let is_founder = superblock.server == FOUNDER && superblock.generation == 0;
        let mut disk = Disk::with_data(slot, file, superblock.clone(), journal, false);
        disk.look_for_damage()?;
        Ok(Self {
            disk,
            superblock: Some(superblock),
            store,
            image,
            state,
            log,
            damaged: knows_nothing && !is_founder,
            others: Vec::new(),
        })
    }

    /// Puts aside what is there, as the generation before.
    fn anew(
        slot: Slot,
        mut file: SuperblockFile,
        mut superblock: Superblock,
    ) -> Result<Self, StartError> {
        let directory = slot.directory();
        superblock.generation += 1;
        generation::remove(directory, superblock.generation)?;
        let path = generation::store(directory, superblock.generation);
        let mut store = SqliteStore::open(path)?;
        let image = store.load()?;
        let folder = generation::journal(directory, superblock.generation);
        let journal = DiskStorage::open(&folder)?;
        let journal = Journal::create(Box::new(journal), superblock.cluster, random())?;
        file.save(&superblock)?;
        Ok(Self {
            disk: Disk::with_data(slot, file, superblock.clone(), journal, true),
            superblock: Some(superblock),
            store,
            image,
            state: State::new(),
            log: Vec::new(),
            damaged: true,
            others: Vec::new(),
        })
    }

    /// Makes this slot that of a new cluster's first server.
    pub fn found(&mut self) -> Result<Superblock, super::Fatal> {
        let cluster = ClusterId(u128::from(random()) << 64 | u128::from(random()));
        let superblock = Superblock {
            cluster,
            lineage: Lineage {
                counter: 0,
                random: random(),
            },
            server: FOUNDER,
            incarnation: next_incarnation(Incarnation::default()),
            member_address: self.disk.member_address(),
            vote: Vote::default(),
            generation: 0,
            folder: None,
        };
        let identity = super::start::identity_of(&superblock, superblock.member_address);
        self.disk.save(&identity, Vote::default())?;
        self.superblock = Some(superblock.clone());
        Ok(superblock)
    }
}

/// Whether there is another server, as far as a server knows whose journal or store is damaged: it
/// was given its id by one, or its store or the views that it has promised speak of one.
fn has_others(superblock: &Superblock, cluster: Option<&Cluster>) -> bool {
    let is_other = |server: ServerId| server != superblock.server;
    let mut promised = superblock.vote.bindings.iter().flat_map(|it| &it.members);
    let mut servers = cluster.iter().flat_map(|it| &it.servers);
    is_other(FOUNDER)
        || promised.any(|it| is_other(it.server))
        || servers.any(|it| is_other(it.server))
}

/// Makes a superblock that of the next process in its slot.
fn begin_process(superblock: &mut Superblock, slot: &Slot) {
    let incarnation = next_incarnation(superblock.incarnation);
    let directory = slot.directory();
    if superblock.begin_process(incarnation, disk::folder_mark(directory)) {
        log::warn!(
            "{} is a copy of another folder, whose server may have acknowledged more since: this \
             server has no say before it has got everything from the others",
            directory.display()
        );
    }
}

/// The process that follows another.
pub(super) fn next_incarnation(before: Incarnation) -> Incarnation {
    Incarnation {
        counter: before.counter + 1,
        random: random(),
    }
}

/// A journal and a store that belong together.
struct Whole {
    journal: Journal,
    store: SqliteStore,
    image: Image,
    state: State,
    log: Vec<Entry>,
}

impl Whole {
    /// As [`Self::open`]. A store that is damaged, or was found to be by an earlier process, is made anew if the
    /// journal still has every op: nobody else is needed for that.
    fn open_or_rebuild(
        slot: &Slot,
        storage: &mut DiskStorage,
        superblock: &Superblock,
        found: &mut Option<Image>,
    ) -> Result<Self, Unusable> {
        let mark = generation::damage_mark(superblock.generation);
        let is_marked = storage.list().map_err(StartError::from)?.contains(&mark);
        let opened = Self::open(slot, superblock, found);
        let is_damaged = match &opened {
            Ok(_) => is_marked,
            Err(unusable) => matches!(unusable, Unusable::Store(_)),
        };
        if !is_damaged {
            return opened;
        }
        let path = generation::store(slot.directory(), superblock.generation);
        let path = path.display();
        let is_open = opened.is_ok();
        let why = opened.map_or_else(Unusable::into_error, |_| StartError::MarkedStore {
            path: path.to_string(),
        });
        let (journal, recovery) = open_journal(slot, superblock)?;
        drop(journal);
        if recovery.first > OpNumber(1) {
            return match is_open {
                true => Self::open(slot, superblock, found),
                false => Err(Unusable::Store(why)),
            };
        }
        log::error!("{why}");
        log::warn!(
            "the store is made anew from the journal, and {path} is put aside as {path}-aside"
        );
        generation::set_store_aside(storage, superblock.generation).map_err(StartError::from)?;
        Self::open(slot, superblock, found)
    }

    /// Opens both, and compares them. What the store says comes out by `found` as soon as it is
    /// read.
    fn open(
        slot: &Slot,
        superblock: &Superblock,
        found: &mut Option<Image>,
    ) -> Result<Self, Unusable> {
        let directory = slot.directory();
        let path = generation::store(directory, superblock.generation);
        // Opening either changes it: whatever is not ours to open is found before.
        SqliteStore::examine(&path)?;
        let mut store = SqliteStore::open(&path)?;
        let image = store.load()?;
        *found = Some(image.clone());
        let (journal, recovery) = open_journal(slot, superblock)?;
        let state = State::restore(&image).map_err(StartError::from)?;
        let log = read_log(slot, superblock, &journal, &recovery, &image)?;
        Ok(Self {
            journal,
            store,
            image,
            state,
            log,
        })
    }
}

fn open_journal(slot: &Slot, superblock: &Superblock) -> Result<(Journal, Recovery), Unusable> {
    let directory = generation::journal(slot.directory(), superblock.generation);
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
    if let Some(cut) = &recovery.cut {
        log::warn!(
            "ops {} to {} were being cut off the log when this server ended; they are kept in {}",
            cut.first,
            cut.last,
            cut.file
        );
    }
    if journal.cluster() != superblock.cluster {
        let directory = directory.display();
        let reason = format!("the journal in {directory} is another cluster's");
        return Err(StartError::Mismatch { reason }.into());
    }
    Ok((journal, recovery))
}

/// Reads what the store lacks.
fn read_log(
    slot: &Slot,
    superblock: &Superblock,
    journal: &Journal,
    recovery: &Recovery,
    image: &Image,
) -> Result<Vec<Entry>, Unusable> {
    let directory = generation::journal(slot.directory(), superblock.generation);
    let directory = directory.display();
    let (applied, head, first) = (image.applied, recovery.head, recovery.first);
    let in_force = superblock.vote.in_force;
    if head < in_force && superblock.generation > 0 {
        let reason = format!(
            "the journal in {directory} took the place of a damaged one, and ends with op {head}: \
             another server has yet to bring what this one had up to op {in_force}"
        );
        return Err(Unusable::Damaged(StartError::Mismatch { reason }));
    }
    if head < applied.max(in_force) {
        let (what, op) = match applied > head {
            true => ("the store already holds", applied),
            false => ("this server has once acknowledged", in_force),
        };
        let reason = format!(
            "the journal in {directory} ends with op {head}, but {what} op {op}: the journal is older; \
             put the right one back, or, if other servers have everything, move this one's folder \
             away and start with 0"
        );
        return Err(StartError::Mismatch { reason }.into());
    }
    if applied.next() < first {
        let reason = format!(
            "the store ends with op {applied}, but the journal in {directory} begins with op {first}: the store is older"
        );
        return Err(Unusable::Damaged(StartError::Mismatch { reason }));
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
        Some(op) => Err(StartError::from(InvalidLog::Unreadable(op)).into()),
        None => Ok(log),
    }
}
