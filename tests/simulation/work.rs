//! What does a disk do for a server, and what is left of it if the server dies in the middle?
//!
//! Each piece of work is done at the end of the time that it takes. If the process or the power
//! dies before, the same work is done on a disk that records its steps, and some of the first of
//! them are kept.

use lastword::chat::State;
use lastword::chat::change::Change;
use lastword::journal::storage::FaultyStorage;
use lastword::journal::superblock::{self, Superblock};
use lastword::journal::{Journal, JournalError};
use lastword::replica::{Entry, Identity, Input};
use lastword::store::{Batch, MemoryStore, Store};
use lastword::types::{ClusterId, OpNumber, ServerId, Time, Vote};

use super::host::{Death, Disk, Host, SIZES, image_of};
use super::process::Process;
use super::random::Random;
use super::settings::SECOND;
use super::world::World;

/// No sync takes longer, however slow the disk is.
const WORK_TIME_MAX: u64 = SECOND;

/// What the disk does while the process waits.
#[derive(Clone, Debug)]
pub enum Work {
    /// Makes everything safe that was appended.
    Sync,
    /// Cuts off what stands behind an op.
    Truncate(OpNumber),
    /// Writes the superblock.
    Save(Box<Superblock>),
    /// Puts a snapshot in place.
    Install { snapshot: usize },
}

impl Work {
    /// The process dies in the middle of it.
    pub fn interrupt(self, process: &mut Process, disk: &mut Disk, random: &mut Random) {
        match self {
            Self::Sync | Self::Truncate(_) => {
                let generation = process.superblock.generation;
                let (Some(storage), Some(journal)) =
                    (disk.journals.get_mut(&generation), &mut process.journal)
                else {
                    return;
                };
                storage.record();
                // An error is as good an end as any other.
                let _ = match self {
                    Self::Truncate(after) => journal.truncate(after).map(|_| ()),
                    _ => journal.sync().map(|_| ()),
                };
                *storage = some_steps(storage, random);
            }
            Self::Save(superblock) => {
                if process.has_data || superblock.cluster != ClusterId(0) {
                    disk.superblock.record();
                    if !process.has_data {
                        let _ = create_journal(disk, &superblock, random.next());
                    }
                    let _ = superblock::write(&mut disk.superblock, &superblock);
                    disk.superblock = some_steps(&disk.superblock, random);
                }
            }
            // Nothing leads to what is not finished.
            Self::Install { .. } => {}
        }
    }
}

fn some_steps(storage: &FaultyStorage, random: &mut Random) -> FaultyStorage {
    let steps = random.between(0, storage.steps() as u64);
    storage.after(steps as usize)
}

pub fn create_journal(
    disk: &mut Disk,
    superblock: &Superblock,
    nonce: u64,
) -> Result<Journal, JournalError> {
    let storage = FaultyStorage::new();
    disk.journals.insert(superblock.generation, storage.clone());
    disk.stores
        .insert(superblock.generation, MemoryStore::new());
    Journal::create_sized(Box::new(storage), SIZES, superblock.cluster, nonce)
}

/// A journal that begins behind an op, and a store that ends there, under the next generation.
fn create_after(
    disk: &mut Disk,
    superblock: &Superblock,
    store: MemoryStore,
    after: OpNumber,
    nonce: u64,
) -> Result<Journal, JournalError> {
    let storage = FaultyStorage::new();
    disk.journals.insert(superblock.generation, storage.clone());
    disk.stores.insert(superblock.generation, store);
    Journal::create_after_sized(Box::new(storage), SIZES, superblock.cluster, nonce, after)
}

impl Process {
    /// What is saved next.
    pub fn superblock_with(&self, identity: &Identity, vote: Vote) -> Box<Superblock> {
        Box::new(Superblock {
            cluster: identity.cluster,
            lineage: identity.lineage,
            server: identity.server,
            incarnation: identity.incarnation,
            member_address: identity.address,
            vote,
            generation: self.superblock.generation,
            folder: self.superblock.folder,
        })
    }

    /// An op was given to the journal.
    pub fn note_append(&mut self, entry: &Entry) {
        self.appended
            .push((entry.position.op.0, entry.position.view));
    }
}

impl World {
    pub fn work_time(&mut self, host: usize, work: &Work) -> u64 {
        let (low, high) = self.settings.sync_time;
        let mut time = self.random.between(low, high) * self.hosts[host].slowness;
        if self.random.per_mille(self.settings.long_sync_per_mille) {
            time += self.random.below(self.settings.long_sync_time);
        }
        let mut time = time.min(WORK_TIME_MAX);
        let delay = self.hosts[host].sync_delay;
        if delay > 0 {
            time = time.max(self.random.between(delay * 9 / 10, delay));
        }
        match work {
            Work::Sync | Work::Truncate(_) | Work::Save(_) => time,
            Work::Install { .. } => 4 * time,
        }
    }

    /// The disk has done it.
    pub fn finish(&mut self, host: usize, process: &mut Process, work: Work) {
        let now = self.hosts[host].clock(self.now);
        match work {
            Work::Sync => {
                let journal = process.journal.as_mut().expect("it was appended to");
                match journal.sync() {
                    Ok(op) => {
                        self.hosts[host].safe.extend(process.appended.drain(..));
                        process.replica.handle_input(Input::Persisted { op }, now);
                    }
                    Err(error) => self.disk_failed(host, process, &error),
                }
            }
            Work::Truncate(after) => self.truncate(host, process, after, now),
            Work::Save(superblock) => self.save(host, process, *superblock, now),
            Work::Install { snapshot } => self.install(host, process, snapshot, now),
        }
    }

    /// Cutting off makes everything safe that stays: that is told, too.
    fn truncate(&mut self, host: usize, process: &mut Process, after: OpNumber, now: Time) {
        self.say(|| format!("{} truncates after {after}", host + 1));
        if process.journal.is_none() {
            self.replace_journal(host, process);
        }
        let journal = process.journal.as_mut().expect("there is data");
        if let Err(error) = journal.truncate(after) {
            return self.disk_failed(host, process, &error);
        }
        let op = journal.synced();
        let safe = &mut self.hosts[host].safe;
        safe.split_off(&(after.0 + 1));
        let appended = std::mem::take(&mut process.appended);
        let kept = appended.into_iter().filter(|(op, _)| *op <= after.0);
        let count = safe.len();
        safe.extend(kept);
        if safe.len() > count {
            process.replica.handle_input(Input::Persisted { op }, now);
        }
    }

    fn disk_failed(&mut self, host: usize, process: &mut Process, error: &JournalError) {
        self.say(|| format!("{}: {error}", host + 1));
        process.doomed = Some(Death::Kill);
    }

    fn save(&mut self, host: usize, process: &mut Process, superblock: Superblock, now: Time) {
        let is_same_process = superblock.incarnation == process.superblock.incarnation;
        let is_left_out =
            self.settings.broken.promise_not_synced && is_same_process && process.has_data;
        if !is_left_out && (process.has_data || superblock.cluster != ClusterId(0)) {
            let disk = &mut self.hosts[host].disk;
            if !process.has_data {
                let journal = create_journal(disk, &superblock, self.random.next());
                process.journal = Some(journal.expect("a new journal"));
                process.has_data = true;
            }
            if superblock::write(&mut disk.superblock, &superblock).is_err() {
                process.doomed = Some(Death::Kill);
                return;
            }
        }
        self.say(|| format!("{} saved {:?}", host + 1, superblock.vote));
        let server = superblock.server;
        self.hosts[host].server = (server != ServerId(0)).then_some(server);
        process.superblock = superblock;
        process.replica.handle_input(Input::Saved, now);
    }

    /// Another journal takes the place of a damaged one, behind what the store has.
    pub fn replace_journal(&mut self, host: usize, process: &mut Process) {
        let disk = &mut self.hosts[host].disk;
        let mut store = disk.stores[&process.superblock.generation].clone();
        store.checkpoint().expect("a store in memory");
        let was_damaged = disk.damage_marks.contains(&process.superblock.generation);
        process.superblock.generation += 1;
        if was_damaged {
            disk.damage_marks.insert(process.superblock.generation);
        }
        let (after, nonce) = (process.handed_over, self.random.next());
        let journal = create_after(disk, &process.superblock, store, after, nonce);
        process.journal = Some(journal.expect("a new journal"));
        if superblock::write(&mut disk.superblock, &process.superblock).is_err() {
            process.doomed = Some(Death::Kill);
        }
        self.hosts[host].safe.clear();
    }

    fn install(&mut self, host: usize, process: &mut Process, snapshot: usize, now: Time) {
        let snapshot = &self.snapshots[snapshot];
        let last = snapshot.last;
        let mut store = snapshot.store.clone();
        store.checkpoint().expect("a store in memory");
        let image = image_of(&mut store);
        process.superblock.generation += 1;
        let disk = &mut self.hosts[host].disk;
        let nonce = self.random.next();
        let journal = create_after(disk, &process.superblock, store, last.op, nonce);
        process.journal = Some(journal.expect("a new journal"));
        if superblock::write(&mut disk.superblock, &process.superblock).is_err() {
            process.doomed = Some(Death::Kill);
            return;
        }
        self.say(|| format!("{} has a snapshot up to {last:?}", host + 1));
        self.hosts[host].safe.clear();
        process.state = State::restore(&image).expect("a snapshot of a good store");
        process.applied = last;
        process.handed_over = last.op;
        process.changes.clear();
        process.cluster_changed = false;
        process.appended.clear();
        let cluster = image.cluster.expect("a snapshot has a cluster");
        let input = Input::Installed { cluster, last };
        process.replica.handle_input(input, now);
    }

    // --- the store ---

    /// Hands everything that was applied to the store.
    pub fn hand_over(&mut self, host: usize, process: &mut Process) {
        if process.handed_over == process.applied.op || !process.has_data {
            return;
        }
        let mut changes = std::mem::take(&mut process.changes);
        process.state.flush_sessions(&mut changes);
        if std::mem::take(&mut process.cluster_changed)
            && let Some(cluster) = process.replica.cluster()
        {
            changes.push(Change::Cluster(cluster.clone()));
        }
        let batch = Batch {
            applied: process.applied.op,
            clock: process.state.clock(),
            changes,
        };
        process.handed_over = process.applied.op;
        let store = self.hosts[host].store(process);
        store.apply(batch).expect("batches come in order");
    }

    /// Its worker commits now and then, and makes a checkpoint more rarely; then old segments of
    /// the journal go.
    pub fn store_work(&mut self, host: usize, process: &mut Process) {
        if !process.has_data {
            return;
        }
        if self.random.per_mille(50) {
            let store = self.hosts[host].store(process);
            store.commit().expect("a store in memory");
        }
        if self.random.per_mille(10) {
            let store = self.hosts[host].store(process);
            let kept = store.checkpoint().expect("a store in memory");
            if self.hosts[host].has_damaged_store(process) {
                // Others get what they lack out of the journal, or not at all.
                return;
            }
            let needed = OpNumber(process.replica.oldest_needed().0.saturating_sub(1));
            if let Some(journal) = &mut process.journal
                && journal.release(kept.min(needed)).is_err()
            {
                process.doomed = Some(Death::Kill);
            }
        }
    }
}

impl Host {
    /// Whether the store is known to be damaged.
    pub fn has_damaged_store(&self, process: &Process) -> bool {
        let generation = process.superblock.generation;
        self.disk.damage_marks.contains(&generation)
    }

    pub fn store(&mut self, process: &Process) -> &mut MemoryStore {
        let generation = process.superblock.generation;
        let store = self.disk.stores.get_mut(&generation);
        store.expect("where there is a journal, there is a store")
    }
}
