//! What does a process begin with?
//!
//! With what is on its host's disk, as the real server's start does it: a founder founds, a server
//! without data joins, and one with data raises its incarnation on the disk before anything else.

use lastword::chat::State;
use lastword::chat::change::Image;
use lastword::journal::superblock::{self, Superblock};
use lastword::journal::{Journal, JournalError};
use lastword::replica::{Entry, Identity, Input, Replica, Start, ancestor_of};
use lastword::types::{
    ClusterId, Incarnation, Lineage, LogPosition, OpNumber, ServerId, ViewNumber, Vote,
};

use super::host::{SIZES, image_of, read_entries, read_superblock};
use super::network::service_address;
use super::process::Process;
use super::settings::SECOND;
use super::work::create_journal;
use super::world::{Event, Repair, World};

/// A process with what is on the disk.
pub fn start(world: &mut World, index: usize, number: u64) -> Option<Process> {
    match read_superblock(&world.hosts[index].disk) {
        None if world.hosts[index].is_founder => found(world, index, number),
        None => Some(join(world, index, number)),
        Some(superblock) => restart(world, index, number, superblock),
    }
}

fn config(world: &mut World, index: usize) -> lastword::replica::Config {
    let mut config = world.settings.config.clone();
    if let Some((fresh, grace)) = world.hosts[index].timing {
        (config.fresh, config.grace) = (fresh, grace);
    }
    config.force = world.hosts[index].has_order;
    config.seed = world.random.next();
    config.contacts = vec![service_address()];
    if world.settings.knows_peers {
        let others = world.hosts.iter().filter(|it| it.index != index);
        config.contacts.extend(others.map(|it| it.address));
    }
    config
}

fn found(world: &mut World, index: usize, number: u64) -> Option<Process> {
    let superblock = Superblock {
        cluster: ClusterId(u128::from(world.random.bits())),
        lineage: Lineage {
            counter: 0,
            random: world.random.bits(),
        },
        server: ServerId(1),
        incarnation: Incarnation {
            counter: 1,
            random: world.random.bits(),
        },
        member_address: world.hosts[index].address,
        vote: Vote::default(),
        generation: 0,
        folder: world.hosts[index].disk.mark,
    };
    let disk = &mut world.hosts[index].disk;
    let journal = create_journal(disk, &superblock, world.random.next()).ok()?;
    superblock::write(&mut disk.superblock, &superblock).ok()?;
    Some(founder(world, index, number, superblock, journal))
}

fn founder(
    world: &mut World,
    index: usize,
    number: u64,
    superblock: Superblock,
    journal: Journal,
) -> Process {
    let config = config(world, index);
    let now = world.hosts[index].clock(world.now);
    world.hosts[index].server = Some(superblock.server);
    let mut replica = Replica::found(
        identity_of(&superblock),
        world.settings.backups,
        config,
        now,
    );
    replica.sabotage(world.settings.broken.replica);
    let (state, applied) = (State::new(), LogPosition::default());
    Process::new(number, replica, Some(journal), superblock, state, applied)
}

fn join(world: &mut World, index: usize, number: u64) -> Process {
    let superblock = Superblock {
        cluster: ClusterId(0),
        lineage: Lineage::default(),
        server: ServerId(0),
        incarnation: Incarnation {
            counter: 1,
            random: world.random.bits(),
        },
        member_address: world.hosts[index].address,
        vote: Vote::default(),
        generation: 0,
        folder: world.hosts[index].disk.mark,
    };
    let config = config(world, index);
    let now = world.hosts[index].clock(world.now);
    let mut replica = Replica::join(identity_of(&superblock), config, now);
    replica.sabotage(world.settings.broken.replica);
    let (state, applied) = (State::new(), LogPosition::default());
    Process::new(number, replica, None, superblock, state, applied)
}

fn identity_of(superblock: &Superblock) -> Identity {
    Identity {
        cluster: superblock.cluster,
        lineage: superblock.lineage,
        server: superblock.server,
        incarnation: superblock.incarnation,
        ancestor: ancestor_of(superblock.incarnation, &superblock.vote),
        address: superblock.member_address,
    }
}

fn restart(
    world: &mut World,
    index: usize,
    number: u64,
    mut superblock: Superblock,
) -> Option<Process> {
    let incarnation = Incarnation {
        counter: superblock.incarnation.counter + 1,
        random: world.random.bits(),
    };
    let mark = world.hosts[index].disk.mark;
    let mark = mark.filter(|_| !world.settings.broken.copies_undetected);
    superblock.begin_process(incarnation, mark);
    superblock.member_address = world.hosts[index].address;
    let generation = superblock.generation;
    let disk = &mut world.hosts[index].disk;
    superblock::write(&mut disk.superblock, &superblock).ok()?;
    disk.journals.retain(|it, _| *it == generation);
    disk.stores.retain(|it, _| *it == generation);
    let mut image = image_of(disk.stores.get_mut(&generation).expect("a store"));
    let storage = disk.journals[&generation].clone();
    let opened = Journal::open_sized(Box::new(storage), SIZES);
    let (journal, log) = match opened.and_then(|(journal, _)| with_log(journal, image.applied)) {
        Ok((journal, log)) => (Some(journal), log),
        Err(error) => {
            world.say(|| format!("{}: {error}", index + 1));
            if matches!(error, JournalError::Io { .. }) {
                // It ends at once, with the reason, and somebody starts it again.
                world.after(SECOND / 10, Event::Over(Repair::Start { host: index }));
                return None;
            }
            // The store is put aside with it.
            image = Image::empty();
            (None, Vec::new())
        }
    };
    world.hosts[index].server = (superblock.server != ServerId(0)).then_some(superblock.server);
    world.rebuild_safe(index, &image, &log);
    let is_new = image.applied == OpNumber::ZERO && log.is_empty();
    match journal {
        // It died before its first op was on disk: it has founded nothing yet.
        Some(journal) if is_new && superblock.server == ServerId(1) => {
            Some(founder(world, index, number, superblock, journal))
        }
        journal => Some(started(
            world, index, number, superblock, journal, &image, log,
        )),
    }
}

/// A journal with the ops that the store lacks.
fn with_log(journal: Journal, applied: OpNumber) -> Result<(Journal, Vec<Entry>), JournalError> {
    let head = journal.head();
    if head < applied {
        // A bad end that looked torn has taken away what the store knows to be committed.
        return Err(JournalError::Released { first: head.next() });
    }
    let log = read_entries(&journal, applied, usize::MAX)?;
    Ok((journal, log))
}

/// A process with data that can be gone on with, or whose journal is damaged.
fn started(
    world: &mut World,
    index: usize,
    number: u64,
    superblock: Superblock,
    journal: Option<Journal>,
    image: &Image,
    log: Vec<Entry>,
) -> Process {
    let start = Start {
        identity: identity_of(&superblock),
        vote: superblock.vote.clone(),
        cluster: image.cluster.clone(),
        applied: image.applied,
        log,
        damaged: journal.is_none(),
        clock: image.clock,
    };
    let config = config(world, index);
    let now = world.hosts[index].clock(world.now);
    let mut replica = Replica::start(start, config, now).expect("a log that fits together");
    replica.sabotage(world.settings.broken.replica);
    if world.hosts[index]
        .disk
        .damage_marks
        .contains(&superblock.generation)
    {
        replica.handle_input(Input::StoreDamaged, now);
    }
    let state = State::restore(image).expect("the image of a good store");
    let applied = LogPosition {
        view: view_of(image, image.applied),
        op: image.applied,
    };
    let mut process = Process::new(number, replica, journal, superblock, state, applied);
    process.has_data = true;
    process
}

/// In which view an op of the store was proposed.
fn view_of(image: &Image, op: OpNumber) -> ViewNumber {
    let views = image.cluster.iter().flat_map(|it| it.views.iter());
    let mut begun = views.filter(|it| it.op <= op);
    begun.next_back().map_or(ViewNumber(0), |it| it.number)
}

impl World {
    /// What the world knows of a disk that a process starts with.
    fn rebuild_safe(&mut self, index: usize, image: &Image, log: &[Entry]) {
        let host = &mut self.hosts[index];
        let applied = image.applied.0;
        // What is only in the store was committed: it is what it was.
        host.safe.retain(|op, _| *op <= applied);
        for entry in log {
            host.safe.insert(entry.op().0, entry.position.view);
        }
    }
}
