//! What outlives a process?
//!
//! A machine with its clock, its address and its disk. A process that is killed leaves on the disk
//! what it has written; a power cut leaves what was synced, and of the rest what chance spares.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use lastword::journal::storage::FaultyStorage;
use lastword::journal::superblock::FolderMark;
use lastword::journal::{Journal, JournalError, Sizes, superblock};
use lastword::replica::{Entry, Replica};
use lastword::store::{MemoryStore, Store};
use lastword::types::{ServerId, Time, Timestamp, ViewNumber};

use super::process::Process;
use super::random::Random;
use super::settings::{SECOND, Settings};
use super::start;
use super::world::{Event, World};

/// Small segments, so that the oldest are gone before long, and snapshots are needed.
pub const SIZES: Sizes = Sizes {
    segment_bytes: 4096 + 6000,
    prepared_bytes: 1000,
    segments_kept: 1,
    segments_spare: 1,
};

/// What the wall clocks show when a run begins, if they are right.
const WALL_CLOCK: u64 = 1_700_000_000_000;

/// A machine.
pub struct Host {
    pub index: usize,
    pub address: SocketAddr,
    pub has_power: bool,
    /// The whole machine stands still; its clock goes on.
    pub is_suspended: bool,
    /// What its clock showed when the world began, and by how much it runs too fast.
    clock_begin: u64,
    skew_per_million: i64,
    /// By how much its wall clock is wrong, in milliseconds.
    pub wall_clock_error: i64,
    /// The most that it ever was.
    pub wall_clock_error_max: i64,
    pub disk: Disk,
    pub process: Option<Process>,
    /// The number of a process that has begun, and is not as far as its first turn.
    pub starting: Option<u64>,
    /// What is safe in the journal, as the world knows it: the view of each op.
    pub safe: BTreeMap<u64, ViewNumber>,
    /// Its server's id, as it was last on its disk.
    pub server: Option<ServerId>,
    /// It is started with 1.
    pub is_founder: bool,
    /// Its own `--fresh` and `--grace`, if they are not those of all.
    pub timing: Option<(Duration, Duration)>,
    /// Its processes are started with `--force-primary`.
    pub has_order: bool,
    /// Syncs take so many times as long.
    pub slowness: u64,
    /// Each sync takes about so long, if that is not 0: a busy volume, a throttled disk.
    pub sync_delay: u64,
    pub starts: u64,
}

/// The files of a server.
pub struct Disk {
    /// When the folder was made: a copy was made later.
    pub mark: Option<FolderMark>,
    pub superblock: FaultyStorage,
    /// By generation: the superblock says which one counts.
    pub journals: BTreeMap<u32, FaultyStorage>,
    pub stores: BTreeMap<u32, MemoryStore>,
    /// The generations whose stores are known to be damaged.
    pub damage_marks: BTreeSet<u32>,
}

impl Disk {
    pub fn new() -> Self {
        Self {
            mark: Some(FolderMark {
                directory: 0,
                file: 0,
            }),
            superblock: FaultyStorage::new(),
            journals: BTreeMap::new(),
            stores: BTreeMap::new(),
            damage_marks: BTreeSet::new(),
        }
    }

    /// From now on so many files can be opened, and no more: the process has no descriptors left.
    pub fn limit_opens(&self, opens: u64) {
        self.superblock.fail_opens(opens);
        for journal in self.journals.values() {
            journal.fail_opens(opens);
        }
    }

    /// A copy of everything, as a backup would have it.
    pub fn copied(&self) -> Self {
        let journals = self.journals.iter();
        let later = |mark: FolderMark| FolderMark {
            directory: mark.directory + 1,
            file: mark.file + 1,
        };
        Self {
            mark: self.mark.map(later),
            superblock: self.superblock.fork(),
            journals: journals.map(|(id, it)| (*id, it.fork())).collect(),
            stores: self.stores.clone(),
            damage_marks: self.damage_marks.clone(),
        }
    }

    /// The power fails.
    pub fn power_cut(&mut self, random: &mut Random) {
        // Some disks keep nearly all, some nearly nothing.
        let kept = random.below(101);
        self.superblock = self.superblock.crash(&mut |_| random.percent(kept));
        for journal in self.journals.values_mut() {
            *journal = journal.crash(&mut |_| random.percent(kept));
        }
        for store in self.stores.values_mut() {
            let commits = store.commits_unsynced() as u64;
            store.crash(random.between(0, commits) as usize);
        }
    }
}

impl Host {
    pub fn new(index: usize, settings: &Settings, random: &mut Random) -> Self {
        let skew = random.below(2 * settings.skew_per_million + 1) as i64;
        let hour = 3_600_000;
        let clock_begin = random.below(1000 * SECOND);
        let wall_clock_error = random.between(0, 2 * hour) as i64 - hour as i64;
        Self {
            index,
            address: SocketAddr::from(([10, 0, 0, index as u8 + 1], 5000)),
            has_power: true,
            is_suspended: false,
            clock_begin,
            skew_per_million: skew - settings.skew_per_million as i64,
            wall_clock_error,
            wall_clock_error_max: wall_clock_error,
            disk: Disk::new(),
            process: None,
            starting: None,
            safe: BTreeMap::new(),
            server: None,
            is_founder: index == 0,
            timing: None,
            has_order: false,
            slowness: 1,
            sync_delay: 0,
            starts: 0,
        }
    }

    /// What its CLOCK_BOOTTIME shows.
    pub fn clock(&self, now: u64) -> Time {
        let skewed = now as i128 * (1_000_000 + i128::from(self.skew_per_million)) / 1_000_000;
        Time(self.clock_begin + skewed as u64)
    }

    /// When its clock will show this.
    pub fn moment_of(&self, time: Time) -> u64 {
        let passed = i128::from(time.0.saturating_sub(self.clock_begin));
        let rate = 1_000_000 + i128::from(self.skew_per_million);
        let mut moment =
            (passed.saturating_mul(1_000_000) / rate).min(i128::from(u64::MAX / 4)) as u64;
        while self.clock(moment) < time && moment < u64::MAX / 4 {
            moment += 1;
        }
        moment
    }

    pub fn wall_clock(&self, now: u64) -> Timestamp {
        Timestamp((WALL_CLOCK as i64 + (now / 1_000_000) as i64 + self.wall_clock_error) as u64)
    }

    /// Its wall clock is set, by an operator or by a time server that is wrong.
    pub fn set_wall_clock(&mut self, error_ms: i64) {
        self.wall_clock_error = error_ms;
        self.wall_clock_error_max = self.wall_clock_error_max.max(error_ms);
    }

    /// The latest that its wall clock can ever have shown.
    pub fn latest_wall_clock(&self, now: u64) -> Timestamp {
        Timestamp((WALL_CLOCK as i64 + (now / 1_000_000) as i64 + self.wall_clock_error_max) as u64)
    }

    /// The replica of a process that is known to run.
    pub fn replica(&self) -> &Replica {
        &self.process.as_ref().expect("a process runs").replica
    }

    pub fn describe(&self) -> String {
        let name = self.index + 1;
        match &self.process {
            None if !self.has_power => format!("  {name}: no power\n"),
            None => format!("  {name}: no process\n"),
            Some(process) => {
                let replica = &process.replica;
                format!(
                    "  {name}: {}{:?}, {}, serves {}, view {:?}, head {}, commit {}, vote {:?}, not ready: {:?}\n",
                    if process.is_paused { "paused, " } else { "" },
                    replica.identity().member(),
                    replica.role(),
                    replica.serves(),
                    replica.view(),
                    replica.head(),
                    replica.commit(),
                    replica.vote(),
                    replica.not_ready().map(|it| it.to_string()),
                )
            }
        }
    }
}

/// How a process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Death {
    /// It is killed, or ends by itself.
    Kill,
    /// Its machine loses power.
    PowerCut,
}

impl World {
    /// Starts a process, if none runs and there is power.
    pub fn start(&mut self, index: usize) {
        let host = &self.hosts[index];
        if host.process.is_some() || host.starting.is_some() || !host.has_power {
            return;
        }
        let number = self.number();
        self.hosts[index].starts += 1;
        let (low, high) = self.settings.start_time;
        if high == 0 {
            return self.first_turn(index, number);
        }
        self.hosts[index].starting = Some(number);
        let duration = self.random.between(low, high);
        let process = number;
        self.after(
            duration,
            Event::Started {
                host: index,
                process,
            },
        );
    }

    /// A process has done what comes before its first turn, unless it has died meanwhile.
    pub fn started(&mut self, index: usize, number: u64) {
        if self.hosts[index].starting == Some(number) {
            self.hosts[index].starting = None;
            self.first_turn(index, number);
            // Whoever has connected before is answered now.
            self.way_is_open(None, index);
        }
    }

    fn first_turn(&mut self, index: usize, number: u64) {
        if let Some(process) = start::start(self, index, number) {
            self.say(|| {
                format!(
                    "{} starts as {:?}",
                    index + 1,
                    process.replica.identity().member()
                )
            });
            self.hosts[index].process = Some(process);
            self.after(
                0,
                Event::Turn {
                    host: index,
                    process: number,
                },
            );
        }
    }

    /// Ends a process, if one runs.
    pub fn end(&mut self, index: usize, death: Death) {
        self.say(|| format!("{} ends by {death:?}", index + 1));
        if death == Death::PowerCut {
            self.hosts[index].has_power = false;
        }
        if let Some(number) = self.hosts[index].starting.take() {
            self.process_is_gone(index, number);
        }
        let host = &mut self.hosts[index];
        if let Some(mut process) = host.process.take() {
            process.interrupt(&mut host.disk, &mut self.random);
            let number = process.number;
            drop(process);
            self.process_is_gone(index, number);
        }
        let host = &mut self.hosts[index];
        // The next process has descriptors of its own.
        host.disk.limit_opens(u64::MAX);
        match death {
            // The open transaction of the store is gone.
            Death::Kill => host.disk.stores.values_mut().for_each(|it| it.crash(0)),
            Death::PowerCut => {
                host.disk.power_cut(&mut self.random);
                host.clock_begin = self.random.below(1000 * SECOND);
            }
        }
    }

    pub fn kill(&mut self, index: usize) {
        self.end(index, Death::Kill);
    }

    /// The machine has power again; its processes do not start by themselves.
    pub fn power_on(&mut self, index: usize) {
        self.hosts[index].has_power = true;
        self.hosts[index].is_suspended = false;
        self.way_is_open(None, index);
        self.lines_go_on(index);
    }

    /// SIGSTOP: the process does nothing, and its host goes on.
    pub fn pause(&mut self, index: usize) {
        self.say(|| format!("{} is paused", index + 1));
        if let Some(process) = &mut self.hosts[index].process {
            process.is_paused = true;
        }
    }

    /// The whole machine stands still, and is not reached.
    pub fn suspend(&mut self, index: usize) {
        self.pause(index);
        self.hosts[index].is_suspended = true;
    }

    /// SIGCONT, or the machine wakes.
    pub fn resume(&mut self, index: usize) {
        if std::mem::take(&mut self.hosts[index].is_suspended) {
            self.way_is_open(None, index);
            self.lines_go_on(index);
        }
        let Some(process) = &mut self.hosts[index].process else {
            return;
        };
        if !std::mem::take(&mut process.is_paused) {
            return;
        }
        let (host, number) = (index, process.number);
        let is_overdue = process.is_overdue();
        self.say(|| format!("{} is resumed", index + 1));
        let event = if is_overdue {
            Event::WorkDone {
                host,
                process: number,
            }
        } else {
            Event::Turn {
                host,
                process: number,
            }
        };
        self.after(0, event);
    }

    /// Its address is another one when a process is started next.
    pub fn move_away(&mut self, index: usize) {
        let number = self.number();
        let port = 5000 + (number % 50_000) as u16;
        let address = SocketAddr::from(([10, 0, 1, index as u8 + 1], port));
        self.say(|| format!("{} moves to {address}", index + 1));
        self.hosts[index].address = address;
    }

    /// The folder with the data is emptied, while no process runs. It comes back with 0.
    pub fn empty_disk(&mut self, index: usize) {
        self.say(|| format!("{}: its disk is emptied", index + 1));
        let host = &mut self.hosts[index];
        host.disk = Disk::new();
        host.safe.clear();
        host.server = None;
        host.is_founder = false;
    }
}

/// The ops of a journal behind one.
pub fn read_entries(
    journal: &Journal,
    after: lastword::types::OpNumber,
    bytes_max: usize,
) -> Result<Vec<Entry>, JournalError> {
    let mut entries = Vec::new();
    let mut bytes = 0;
    journal.read(after, &mut |_, body| {
        bytes += body.len();
        entries.push(Entry::decode(body.to_vec()).expect("what was appended is a Prepare"));
        if bytes < bytes_max {
            std::ops::ControlFlow::Continue(())
        } else {
            std::ops::ControlFlow::Break(())
        }
    })?;
    Ok(entries)
}

/// What a superblock's storage says.
pub fn read_superblock(disk: &Disk) -> Option<superblock::Superblock> {
    superblock::read(&disk.superblock).expect("a superblock survives what happens here")
}

/// What a store holds.
pub fn image_of(store: &mut MemoryStore) -> lastword::chat::change::Image {
    store.load().expect("a store in memory")
}
