//! What does this server keep, and where?
//!
//! Its slot with the superblock and the journal. A server that has joined no cluster yet has an
//! empty slot: it becomes a server with data when the replica first says so.

use std::io;
use std::net::SocketAddr;
use std::path::Path;

use super::{Fatal, StartError, generation};
use crate::journal::storage::birth::made_at;
use crate::journal::storage::{DiskStorage, Slot, Storage, leftovers};
use crate::journal::superblock::{self, FolderMark, Superblock, SuperblockFile};
use crate::journal::{Cursor, Journal, JournalError};
use crate::limits::PREPARE_BYTES_MAX;
use crate::replica::{Entry, Identity};
use crate::types::{OpNumber, Vote};

/// When a slot and its superblock were made; `None` if the system does not tell.
pub(super) fn folder_mark(slot: &Path) -> Option<FolderMark> {
    Some(FolderMark {
        directory: made_at(slot)?,
        file: made_at(&slot.join(superblock::FILE))?,
    })
}

/// A server's slot, and what is in it.
pub(super) struct Disk {
    /// The folder, locked while the process lives.
    slot: Slot,
    /// Where the superblock is kept.
    file: SuperblockFile,
    /// Who this server is; `None` before it has joined a cluster.
    superblock: Option<Superblock>,
    /// The log; there is one exactly when there is a superblock.
    journal: Option<Journal>,
    /// The address that was bound.
    member_address: SocketAddr,
    /// The journal was damaged, and what took its place was once safe up to here. Until it is so
    /// again, the superblock keeps saying it: a next start has to know.
    was_in_force: OpNumber,
    /// The generation whose store is known to be damaged.
    damaged_store: Option<u32>,
}

impl Disk {
    /// An empty slot.
    pub fn empty(slot: Slot, file: SuperblockFile, member_address: SocketAddr) -> Self {
        Self {
            slot,
            file,
            superblock: None,
            journal: None,
            member_address,
            was_in_force: OpNumber::ZERO,
            damaged_store: None,
        }
    }

    /// A slot with data; `damaged`: the journal begins anew.
    pub fn with_data(
        slot: Slot,
        file: SuperblockFile,
        superblock: Superblock,
        journal: Journal,
        damaged: bool,
    ) -> Self {
        let was_in_force = match damaged {
            true => superblock.vote.in_force,
            false => OpNumber::ZERO,
        };
        Self {
            slot,
            file,
            member_address: superblock.member_address,
            superblock: Some(superblock),
            journal: Some(journal),
            was_in_force,
            damaged_store: None,
        }
    }

    /// The folder.
    pub fn slot(&self) -> &Slot {
        &self.slot
    }

    /// The address of its own that this server keeps.
    pub fn member_address(&self) -> SocketAddr {
        self.member_address
    }

    /// Which journal and store count.
    pub fn generation(&self) -> u32 {
        self.superblock.as_ref().map_or(0, |it| it.generation)
    }

    /// Whether the store is known to be damaged.
    pub fn has_damaged_store(&self) -> bool {
        self.damaged_store == Some(self.generation())
    }

    /// Looks whether a process before this one has found the store to be damaged.
    pub fn look_for_damage(&mut self) -> Result<(), StartError> {
        let mark = generation::damage_mark(self.generation());
        let storage = DiskStorage::open(self.slot.directory())?;
        if storage.list()?.contains(&mark) {
            self.damaged_store = Some(self.generation());
        }
        Ok(())
    }

    /// The store is damaged: from now on every start knows it, until another store has taken its place.
    pub fn note_damaged_store(&mut self, reason: &str) -> Result<(), Fatal> {
        if self.has_damaged_store() {
            return Ok(());
        }
        let mark = generation::damage_mark(self.generation());
        let path = self.slot.directory().join(&mark);
        DiskStorage::open(self.slot.directory())
            .and_then(|mut storage| write_mark(&mut storage, &mark, reason))
            .map_err(|source| io_error(&path, source))?;
        self.damaged_store = Some(self.generation());
        Ok(())
    }

    /// Keeps another member address from now on.
    pub fn keep_member_address(&mut self, address: SocketAddr) -> Result<(), Fatal> {
        self.member_address = address;
        if let Some(superblock) = &mut self.superblock {
            superblock.member_address = address;
            self.file.save(superblock)?;
        }
        Ok(())
    }

    /// Keeps who this server is and what it has bound itself to. With the first cluster it becomes
    /// a server with data: first the journal, then the superblock, without which the journal
    /// would mean nothing.
    pub fn save(&mut self, identity: &Identity, mut vote: Vote) -> Result<(), Fatal> {
        if self.superblock.is_none() && identity.cluster.0 == 0 {
            return Ok(());
        }
        if self.journal.is_none() {
            let folder = generation::journal(self.slot.directory(), 0);
            let storage = DiskStorage::open(&folder).map_err(|source| io_error(&folder, source))?;
            let storage = Box::new(storage);
            self.journal = Some(Journal::create(storage, identity.cluster, super::random())?);
        }
        if self.head() >= self.was_in_force {
            self.was_in_force = OpNumber::ZERO;
        }
        vote.in_force = vote.in_force.max(self.was_in_force);
        let superblock = Superblock {
            cluster: identity.cluster,
            lineage: identity.lineage,
            server: identity.server,
            incarnation: identity.incarnation,
            member_address: self.member_address,
            vote,
            generation: self.generation(),
            // Only once there is a file that lasts.
            folder: self
                .superblock
                .as_ref()
                .and_then(|_| folder_mark(self.slot.directory())),
        };
        self.file.save(&superblock)?;
        self.superblock = Some(superblock);
        Ok(())
    }

    /// Removes everything that this server has written: its cluster was founded by mistake, and
    /// nobody has been told anything yet. The superblock goes first: without it there is nothing.
    pub fn remove_all(&mut self) -> Result<(), Fatal> {
        let directory = self.slot.directory();
        let removed = leftovers::remove(&directory.join(superblock::FILE))
            .and_then(|()| generation::remove(directory, self.generation()));
        removed.map_err(|source| io_error(directory, source).into())
    }

    /// The next generation's journal and store are whole and safe: from now on they count.
    pub fn begin_generation(&mut self, journal: Journal) -> Result<(), Fatal> {
        let Some(superblock) = &mut self.superblock else {
            return Ok(());
        };
        superblock.generation += 1;
        self.file.save(superblock)?;
        self.journal = Some(journal);
        self.was_in_force = OpNumber::ZERO;
        Ok(())
    }

    /// Takes an op in; it is safe with the next sync.
    pub fn append(&mut self, entry: &Entry) {
        let journal = self.journal.as_mut();
        let journal = journal.expect("only who has joined a cluster has ops");
        journal.append(entry.op(), &entry.prepare);
    }

    /// Cuts off what stands behind an op, and says what is safe then. What is cut off is kept in a
    /// file of its own.
    pub fn truncate(&mut self, after: OpNumber) -> Result<OpNumber, Fatal> {
        let Some(journal) = &mut self.journal else {
            return Ok(OpNumber::ZERO);
        };
        let truncated = journal.truncate(after)?;
        if let Some(cut) = truncated.cut {
            log::warn!(
                "ops {} to {} are cut off, as they were never acknowledged; they are kept in {}",
                cut.first,
                cut.last,
                cut.file
            );
        }
        Ok(truncated.head)
    }

    /// Something was appended and is not safe yet.
    pub fn has_unsynced(&self) -> bool {
        self.journal
            .as_ref()
            .is_some_and(|journal| journal.synced() < journal.head())
    }

    /// Makes everything safe that was appended; answers the last op.
    pub fn sync(&mut self) -> Result<OpNumber, Fatal> {
        match &mut self.journal {
            Some(journal) => Ok(journal.sync()?),
            None => Ok(OpNumber::ZERO),
        }
    }

    /// Lets go of the ops up to one, as far as that is worth while.
    pub fn release(&mut self, up_to: OpNumber) -> Result<usize, Fatal> {
        match &mut self.journal {
            Some(journal) => Ok(journal.release(up_to)?),
            None => Ok(0),
        }
    }

    /// The next ops from a cursor on, about a message full of them; none if they were let go.
    pub fn read(&self, cursor: &mut Cursor) -> Result<Vec<Entry>, Fatal> {
        let mut entries = Vec::new();
        let Some(journal) = &self.journal else {
            return Ok(entries);
        };
        let mut unreadable = None;
        let read = journal.read_next(
            cursor,
            PREPARE_BYTES_MAX,
            &mut |op, bytes| match Entry::decode(bytes.to_vec()) {
                Ok(entry) if unreadable.is_none() => entries.push(entry),
                _ => unreadable = unreadable.or(Some(op)),
            },
        );
        match (read, unreadable) {
            (_, Some(op)) => Err(Fatal::UnreadableOp(op)),
            (Err(JournalError::Released { .. }), _) => Ok(Vec::new()),
            // Whoever asked gets a snapshot instead: what is in the store was checked on its way.
            (Err(error @ JournalError::Damaged { .. }), _) => {
                log::error!("{error}");
                Ok(Vec::new())
            }
            (read, None) => {
                read?;
                Ok(entries)
            }
        }
    }

    fn head(&self) -> OpNumber {
        self.journal.as_ref().map_or(OpNumber::ZERO, Journal::head)
    }
}

fn write_mark(storage: &mut dyn Storage, mark: &str, reason: &str) -> io::Result<()> {
    // A start may have been unable to look for it.
    if storage.list()?.iter().any(|name| name == mark) {
        return Ok(());
    }
    let mut file = storage.create(mark)?;
    file.write_at(reason.as_bytes(), 0)?;
    file.sync()?;
    storage.sync_directory()
}

fn io_error(folder: &std::path::Path, source: io::Error) -> JournalError {
    JournalError::Io {
        action: "create",
        file: folder.display().to_string(),
        source,
    }
}
