//! What goes wrong, and when?
//!
//! Each seed draws some of all faults, and how often they happen: a run in which everything goes
//! wrong all the time gets nowhere, and most of what there is to find needs a few faults only,
//! close together. Some come at any time, some just when a server says something that matters.

use lastword::replica::{LinkId, Role};
use lastword::types::ServerId;
use lastword::wire::peer::PeerMessage;

use super::host::Death;
use super::process::{Arrival, Process};
use super::random::Random;
use super::settings::{MICROSECOND, MILLISECOND, SECOND};
use super::work::Work;
use super::world::{Event, Repair, World};

/// What can go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    Kill,
    KillAll,
    KillTwo,
    PowerCut,
    PowerCutAll,
    Pause,
    Suspend,
    /// Nothing reaches a server, and nothing comes from it.
    Isolate,
    CutPair,
    CutOneWay,
    /// Two groups that do not reach each other.
    Split,
    ForgedResets,
    /// Something between two servers refuses connects, and resets their connections.
    Refuse,
    /// A connection is given up on one side.
    GiveUp,
    SlowDisk,
    /// The next write or sync fails, or the disk is full.
    DiskError,
    /// A process hands over and ends.
    Leave,
    /// The data of a server that nobody counts on is gone.
    EmptyDisk,
    /// A bit in a journal is wrong.
    FlippedBit,
    /// Nothing goes between a server and the clients.
    CutClients,
    /// Clients' connections to a server are reset.
    BreakLines,
    /// Somebody ends a client's session from elsewhere.
    EndSession,
    /// A process dies, is started again at once, and dies again before long.
    CrashLoop,
    /// A process can open no further file.
    NoDescriptors,
    /// A message in a store is not what it was, and is read.
    DamagedStore,
    /// A wall clock is set forward or back, by up to a year.
    ClockJump,
}

/// How many things can happen just when something is said.
const REACTIONS: u64 = 10;

const FAULTS: &[Fault] = &[
    Fault::Kill,
    Fault::KillAll,
    Fault::KillTwo,
    Fault::PowerCut,
    Fault::PowerCutAll,
    Fault::Pause,
    Fault::Suspend,
    Fault::Isolate,
    Fault::CutPair,
    Fault::CutOneWay,
    Fault::Split,
    Fault::ForgedResets,
    Fault::Refuse,
    Fault::GiveUp,
    Fault::SlowDisk,
    Fault::DiskError,
    Fault::Leave,
    Fault::EmptyDisk,
    Fault::FlippedBit,
    Fault::CutClients,
    Fault::BreakLines,
    Fault::EndSession,
    Fault::CrashLoop,
];

/// What only a quarter of the seeds draw from. It concerns a server's own resources and not the protocol's votes,
/// and more kinds of faults in each run leave less time for those that have to come close together.
const RESOURCE_FAULTS: &[Fault] = &[Fault::NoDescriptors, Fault::DamagedStore, Fault::ClockJump];

/// What goes wrong in a run.
pub struct Faults {
    /// Of these.
    kinds: Vec<Fault>,
    /// So long after each other, at most.
    pause: u64,
    /// So long at most before what went wrong is repaired.
    duration: u64,
    /// No more of them from then on.
    until: u64,
    /// Of 1000 messages that matter, so many are a reason.
    at_messages_per_mille: u64,
    /// Of 1000 pieces of work of a disk, so many are.
    at_work_per_mille: u64,
    may_flip: bool,
    /// What happens then.
    reactions: Vec<u64>,
    /// Just before the message with this number among those that matter, a server dies.
    strike: Option<Strike>,
}

/// What is done to a disk.
#[derive(Clone, Copy, Debug)]
pub enum Harm {
    Empty,
    FlipBit,
}

/// A death at a certain message.
#[derive(Clone, Copy, Debug)]
pub struct Strike {
    /// So many messages that matter come before.
    pub after: u64,
    pub death: Death,
    /// Who dies: who gets the message, or who sends it.
    pub kills_peer: bool,
    /// It dies before what it has said has left.
    pub swallows: bool,
}

impl Faults {
    pub fn none() -> Self {
        Self {
            kinds: Vec::new(),
            pause: SECOND,
            duration: SECOND,
            until: 0,
            at_messages_per_mille: 0,
            at_work_per_mille: 0,
            may_flip: true,
            reactions: Vec::new(),
            strike: None,
        }
    }

    /// What a seed draws. Forged refusals are believed, if they are to be: then there are none.
    pub fn drawn(random: &mut Random, trust_refused: bool) -> Self {
        let chance = random.pick(&[10, 25, 50]).unwrap_or(25);
        let mut kinds: Vec<Fault> = FAULTS.to_vec();
        kinds.retain(|_| random.percent(chance));
        kinds.retain(|it| !(trust_refused && *it == Fault::Refuse));
        // By draws of their own: the other seeds are what they are without these.
        let mut own = Random::new(random.clone().next());
        if own.percent(25) {
            let mut further = RESOURCE_FAULTS.to_vec();
            further.retain(|_| own.percent(50));
            kinds.extend(further);
        }
        let mut faults = Self::none();
        faults.kinds = kinds;
        faults.pause = random.scaled(20 * MILLISECOND, 3 * SECOND);
        // Half of the seeds have faults that outlast the grace.
        faults.duration = if random.percent(50) {
            random.scaled(10 * MILLISECOND, 4 * SECOND)
        } else {
            random.between(SECOND, 4 * SECOND)
        };
        faults.reactions = (0..REACTIONS).filter(|_| random.percent(50)).collect();
        if random.percent(50) {
            faults.at_messages_per_mille = random.scaled(2, 300);
        }
        if random.percent(30) {
            faults.at_work_per_mille = random.scaled(1, 30);
        }
        faults
    }

    fn is_over(&self, now: u64) -> bool {
        now >= self.until
    }
}

impl World {
    /// Things go wrong from now on, for so long.
    pub fn go_wrong(&mut self, faults: Faults, duration: u64) {
        self.say(|| format!("faults: {:?}", faults.kinds));
        self.faults = faults;
        self.faults.until = self.now + duration;
        self.after(0, Event::Fault);
    }

    pub fn next_fault(&mut self) {
        if self.faults.is_over(self.now) {
            return;
        }
        if let Some(fault) = self.random.pick(&self.faults.kinds) {
            // The primary is the most interesting one.
            let primary = self.serving().first().copied();
            let primary = primary.filter(|_| self.random.percent(40));
            let host = primary.unwrap_or(self.random.index(self.hosts.len()));
            self.go_wrong_now(fault, host);
        }
        let pause = self.random.between(MILLISECOND, self.faults.pause);
        self.after(pause, Event::Fault);
    }

    fn fault_duration(&mut self) -> u64 {
        let longest = self.faults.duration;
        if self.random.percent(50) {
            self.random.scaled(MILLISECOND, longest)
        } else {
            self.random.between(longest / 2, longest)
        }
    }

    fn go_wrong_now(&mut self, fault: Fault, host: usize) {
        self.say(|| format!("{fault:?} at {}", host + 1));
        let other = self.another(host);
        match fault {
            Fault::Kill => self.die(host, Death::Kill),
            Fault::PowerCut => self.die(host, Death::PowerCut),
            Fault::KillAll => (0..self.hosts.len()).for_each(|it| self.die(it, Death::Kill)),
            Fault::PowerCutAll => {
                (0..self.hosts.len()).for_each(|it| self.die(it, Death::PowerCut));
            }
            Fault::KillTwo => {
                self.die(host, Death::Kill);
                self.die(other, Death::Kill);
            }
            Fault::Pause | Fault::Suspend => {
                if fault == Fault::Pause {
                    self.pause(host);
                } else {
                    self.suspend(host);
                }
                self.repair_later(Repair::Resume { host });
            }
            Fault::Isolate => {
                for other in (0..self.hosts.len()).filter(|it| *it != host) {
                    self.cut_for_a_while(host, other);
                    self.cut_for_a_while(other, host);
                }
            }
            Fault::CutPair => {
                self.cut_for_a_while(host, other);
                self.cut_for_a_while(other, host);
            }
            Fault::CutOneWay => self.cut_for_a_while(host, other),
            Fault::Split => self.split(),
            Fault::ForgedResets => self.forge_resets(host, other),
            Fault::Refuse => self.refuse_for_a_while(host, other),
            Fault::GiveUp => self.give_up_one(),
            Fault::SlowDisk => {
                self.hosts[host].slowness = self.random.scaled(10, 300);
                self.repair_later(Repair::QuickDisk { host });
            }
            Fault::DiskError => self.break_disk(host),
            Fault::Leave => self.leave(host),
            Fault::EmptyDisk => self.harm_unneeded_disk(host, Harm::Empty),
            Fault::FlippedBit => self.flip_bit(host),
            Fault::CutClients => {
                self.cut_clients(host);
                self.repair_later(Repair::MendClients { host });
            }
            Fault::BreakLines => {
                let share = self.random.pick(&[50, 100]).unwrap_or(100);
                self.break_lines(host, share);
            }
            Fault::EndSession => self.end_session(host),
            Fault::CrashLoop => {
                let until = self.now + self.fault_duration();
                self.crash_again(host, until);
            }
            Fault::NoDescriptors => {
                let opens = self.random.below(4);
                if self.hosts[host].process.is_some() {
                    self.hosts[host].disk.limit_opens(opens);
                }
            }
            Fault::DamagedStore => self.damage_store(host),
            Fault::ClockJump => self.clock_jumps(host),
        }
    }

    /// Another host than this one.
    fn another(&mut self, host: usize) -> usize {
        let count = self.hosts.len();
        (host + 1 + self.random.index(count - 1)) % count
    }

    fn repair_later(&mut self, repair: Repair) {
        let duration = self.fault_duration();
        self.after(duration, Event::Over(repair));
    }

    /// A process ends, and is started again after a while.
    fn die(&mut self, host: usize, death: Death) {
        self.end(host, death);
        self.come_back(host, death);
    }

    fn come_back(&mut self, host: usize, death: Death) {
        let mut delay = self.fault_duration();
        if death == Death::PowerCut {
            self.after(delay, Event::Over(Repair::PowerOn { host }));
            delay += self.fault_duration();
        }
        self.after(delay, Event::Over(Repair::Start { host }));
    }

    /// Kills a process that a supervisor starts again at once.
    fn crash_again(&mut self, host: usize, until: u64) {
        self.kill(host);
        let delay = self.random.scaled(100 * MICROSECOND, 10 * MILLISECOND);
        self.after(delay, Event::Over(Repair::Start { host }));
        if self.now < until && !self.faults.is_over(self.now) {
            let life = self.random.scaled(MILLISECOND, 400 * MILLISECOND);
            let again = Repair::CrashLoop { host, until };
            self.after(delay + life, Event::Over(again));
        }
    }

    fn cut_for_a_while(&mut self, from: usize, to: usize) {
        self.cut(from, to);
        self.repair_later(Repair::Mend { from, to });
    }

    fn split(&mut self) {
        let sides: Vec<bool> = self.hosts.iter().map(|_| false).collect();
        let sides: Vec<bool> = sides.iter().map(|_| self.random.percent(50)).collect();
        for from in 0..sides.len() {
            for to in (0..sides.len()).filter(|to| sides[*to] != sides[from]) {
                self.cut_for_a_while(from, to);
            }
        }
    }

    fn refuse_for_a_while(&mut self, one: usize, other: usize) {
        for (from, to) in [(one, other), (other, one)] {
            self.refuse(from, to);
            self.repair_later(Repair::Accept { from, to });
        }
        self.forge_resets(one, other);
    }

    fn give_up_one(&mut self) {
        let ids: Vec<u64> = self.network.connections.keys().copied().collect();
        if let Some(id) = self.random.pick(&ids) {
            let end = self.random.index(2);
            self.give_up(id, end);
        }
    }

    fn break_disk(&mut self, host: usize) {
        let later = self.random.below(4);
        let kind = self.random.below(3);
        let Some(process) = &self.hosts[host].process else {
            return;
        };
        let generation = process.superblock.generation;
        if let Some(storage) = self.hosts[host].disk.journals.get(&generation) {
            match kind {
                0 => storage.fail_write(later),
                1 => storage.fail_sync(later),
                _ => storage.limit_growth(300 * later),
            }
        }
    }

    /// Somebody says to a server that a client's session is over.
    fn end_session(&mut self, host: usize) {
        let client = self.random.index(self.clients.len());
        let (Some((name, session)), Some(process)) =
            (self.clients[client].identity(), &self.hosts[host].process)
        else {
            return;
        };
        if let Some(account) = process.state.account_named(name) {
            let number = process.number;
            self.arrived(host, number, Arrival::EndSession { account, session });
        }
    }

    /// A process is asked to end.
    pub fn leave(&mut self, host: usize) {
        if let Some(process) = &self.hosts[host].process {
            let number = process.number;
            self.arrived(host, number, Arrival::Leave);
            let delay = 1500 * MILLISECOND + self.fault_duration();
            self.after(delay, Event::Over(Repair::Start { host }));
        }
    }

    /// Nobody would miss the data: everybody else runs, one of them serves, and nobody's newest
    /// view has this server among its members.
    fn is_unneeded(&self, host: usize) -> bool {
        let Some(server) = self.hosts[host].server else {
            return false;
        };
        let others = || self.hosts.iter().filter(move |it| it.index != host);
        let is_out = |id: ServerId| {
            others().all(|it| {
                let process = it.process.as_ref();
                process
                    .is_some_and(|it| it.replica.view().is_some_and(|it| it.member(id).is_none()))
            })
        };
        is_out(server) && self.serving().iter().any(|it| *it != host)
    }

    /// It is killed, and when nobody can be about to admit it any more, something is done to its
    /// disk.
    fn harm_unneeded_disk(&mut self, host: usize, harm: Harm) {
        if self.is_unneeded(host) {
            self.kill(host);
            self.after(2 * SECOND, Event::Over(Repair::Harm { host, harm }));
        }
    }

    fn harm_disk(&mut self, host: usize, harm: Harm) {
        if self.hosts[host].process.is_none() && self.is_unneeded(host) {
            match harm {
                Harm::Empty => self.empty_disk(host),
                Harm::FlipBit => self.flip_bit_at(host),
            }
        }
        self.start(host);
    }

    /// One bit, once in a run, of a server that nobody counts on. (Of a member's journal that is
    /// damaged when everything was down nobody knows what was in it, and an operator has to decide.)
    fn flip_bit(&mut self, host: usize) {
        if std::mem::take(&mut self.faults.may_flip) {
            self.harm_unneeded_disk(host, Harm::FlipBit);
        }
    }

    /// A message in the store of a member, once in a run, while all others are members, too. (Who is alone with a
    /// message that is damaged has lost it.)
    fn damage_store(&mut self, host: usize) {
        let everybody = self.hosts.len();
        let is_in_sync = |it: &super::host::Host| {
            let process = it.process.as_ref();
            process.is_some_and(|it| {
                let view = it.replica.view();
                view.is_some_and(|view| view.members.len() == everybody)
                    && matches!(it.replica.role(), Role::Primary | Role::Backup)
            })
        };
        if !self.faults.may_flip || !self.hosts.iter().all(is_in_sync) {
            return;
        }
        self.faults.may_flip = false;
        self.damage_store_at(host);
    }

    /// A message in the store of a running server is not what it was any more, and somebody reads it.
    pub fn damage_store_at(&mut self, host: usize) {
        let nth = self.random.index(1000);
        let Some(mut process) = self.hosts[host].process.take() else {
            return;
        };
        let store = self.hosts[host].store(&process);
        store.damage(nth);
        if store.is_damaged() {
            self.store_is_damaged(host, &mut process);
        }
        let number = process.number;
        self.hosts[host].process = Some(process);
        self.wake(host, number);
    }

    fn clock_jumps(&mut self, host: usize) {
        let year = 365 * 24 * 3_600_000;
        let ahead = self.random.scaled(1000, year) as i64;
        let error = if self.random.percent(70) {
            ahead
        } else {
            -ahead
        };
        self.hosts[host].set_wall_clock(error);
        self.repair_later(Repair::RightClock { host });
    }

    /// Somewhere in the records of a journal.
    pub fn flip_bit_at(&mut self, host: usize) {
        self.flip_bit_within(host, usize::MAX);
    }

    /// In a journal's first record: damage that cannot be taken for a torn end, which nobody was told
    /// of. (Of the very last batch nobody can tell.)
    pub fn flip_bit_of_first(&mut self, host: usize) {
        self.flip_bit_within(host, 4096 + 40);
    }

    fn flip_bit_within(&mut self, host: usize, end: usize) {
        use lastword::journal::storage::Storage;
        let Some(superblock) = super::host::read_superblock(&self.hosts[host].disk) else {
            return;
        };
        let storage = self.hosts[host].disk.journals[&superblock.generation].fork();
        let names = storage.list().unwrap_or_default();
        let mut files: Vec<&String> = names.iter().filter(|it| it.ends_with(".segment")).collect();
        files.sort_unstable();
        if end != usize::MAX {
            files.truncate(1);
        }
        if let Some(name) = self.random.pick(&files) {
            // Everything that a killed process has written counts as being on the disk.
            let storage = storage.crash(&mut |_| true);
            let length = storage.contents(name).len().min(end) as u64;
            let offset = self.random.between(4096, length.max(4097) - 1);
            if offset < length {
                storage.flip(name, offset, 1 << self.random.below(8));
                let journals = &mut self.hosts[host].disk.journals;
                journals.insert(superblock.generation, storage);
            }
        }
    }

    // --- just then ---

    /// A process is about to say something: a good moment for a fault.
    pub fn react(
        &mut self,
        host: usize,
        process: &mut Process,
        link: LinkId,
        message: &PeerMessage,
    ) {
        if self.faults.is_over(self.now) || !matters(message, process) {
            return;
        }
        if self.faults.strike.is_some() {
            return self.strike(host, process, link);
        }
        if !self.random.per_mille(self.faults.at_messages_per_mille) {
            return;
        }
        let Some(peer) = self.peer_of(process, link) else {
            return;
        };
        self.say(|| {
            format!(
                "a fault at {} between {} and {}",
                name(message),
                host + 1,
                peer + 1
            )
        });
        if self.random.percent(50) {
            self.flush(host, process);
        }
        match self.random.pick(&self.faults.reactions).unwrap_or(0) {
            0 => self.doom(host, process, Death::Kill),
            1 => self.doom(host, process, Death::PowerCut),
            2 => self.die(peer, Death::Kill),
            3 => {
                self.cut_for_a_while(host, peer);
                self.cut_for_a_while(peer, host);
            }
            4 => self.cut_for_a_while(host, peer),
            5 => {
                self.pause(peer);
                self.repair_later(Repair::Resume { host: peer });
            }
            6 => self.forge_resets(host, peer),
            7 => self.go_wrong_now(Fault::Isolate, host),
            8 => self.go_wrong_now(Fault::Isolate, peer),
            _ => {
                process.is_paused = true;
                self.repair_later(Repair::Resume { host });
            }
        }
    }

    /// The host at the other end of a link.
    fn peer_of(&self, process: &Process, link: LinkId) -> Option<usize> {
        let connection = self.network.connections.get(&link.0)?;
        let end = usize::from(connection.ends[0].process != process.number);
        Some(connection.ends[1 - end].host)
    }

    /// From now on messages that matter are counted, and at one of them somebody dies for good.
    pub fn strike_at(&mut self, strike: Strike) {
        self.faults = Faults::none();
        self.faults.until = u64::MAX;
        self.faults.strike = Some(strike);
    }

    fn strike(&mut self, host: usize, process: &mut Process, link: LinkId) {
        let Some(strike) = &mut self.faults.strike else {
            return;
        };
        if strike.after > 0 {
            strike.after -= 1;
            return;
        }
        let strike = *strike;
        let Some(peer) = self.peer_of(process, link) else {
            return;
        };
        self.faults = Faults::none();
        if !strike.swallows {
            self.flush(host, process);
        }
        if strike.kills_peer {
            self.end(peer, strike.death);
        } else {
            process.doomed = Some(strike.death);
        }
    }

    /// Whether the strike has come.
    pub fn has_struck(&self) -> bool {
        self.faults.strike.is_none()
    }

    fn doom(&mut self, host: usize, process: &mut Process, death: Death) {
        process.doomed = Some(death);
        self.come_back(host, death);
    }

    /// The disk is about to do something: a good moment, too.
    pub fn react_to_work(&mut self, host: usize, work: &Work, duration: u64) {
        let factor = if matches!(work, Work::Sync) { 1 } else { 10 };
        let chance = self.faults.at_work_per_mille * factor;
        if !self.faults.is_over(self.now) && self.random.per_mille(chance) {
            let delay = self.random.below(duration);
            let is_power = self.random.percent(50);
            self.after(delay, Event::Over(Repair::Strike { host, is_power }));
        }
    }

    // --- repairs ---

    pub fn repair(&mut self, repair: Repair) {
        match repair {
            Repair::Start { host } => self.start(host),
            Repair::PowerOn { host } => self.power_on(host),
            Repair::Resume { host } => self.resume(host),
            Repair::Mend { from, to } => self.mend(from, to),
            Repair::Accept { from, to } => self.accept(from, to),
            Repair::MendClients { host } => self.mend_clients(host),
            Repair::CrashLoop { host, until } => {
                if !self.faults.is_over(self.now) {
                    self.crash_again(host, until);
                }
            }
            Repair::QuickDisk { host } => self.hosts[host].slowness = 1,
            Repair::RightClock { host } => self.hosts[host].set_wall_clock(0),
            Repair::Harm { host, harm } => self.harm_disk(host, harm),
            Repair::Strike {
                host,
                is_power: true,
            } => self.die(host, Death::PowerCut),
            Repair::Strike { host, .. } => self.die(host, Death::Kill),
        }
    }

    /// Everything that is wrong is repaired, now.
    pub fn repair_all(&mut self) {
        self.say(|| "everything is repaired".to_owned());
        self.faults = Faults::none();
        self.settings.loss_per_mille = 0;
        self.settings.duplicates_per_mille = 0;
        self.settings.long_sync_per_mille = 0;
        self.mend_all();
        for host in 0..self.hosts.len() {
            self.hosts[host].slowness = 1;
            self.hosts[host].sync_delay = 0;
            self.hosts[host].disk.limit_opens(u64::MAX);
            self.heal_disk(host);
            self.power_on(host);
            self.resume(host);
            let process = self.hosts[host].process.as_ref();
            if process.is_some_and(|it| it.will_leave()) {
                self.kill(host);
            }
            self.start(host);
        }
    }

    /// No further write or sync fails.
    fn heal_disk(&mut self, host: usize) {
        for storage in self.hosts[host].disk.journals.values() {
            storage.fail_write(u64::MAX);
            storage.fail_sync(u64::MAX);
            storage.limit_growth(u64::MAX / 2);
        }
    }
}

/// Changes of views hang on it.
fn matters(message: &PeerMessage, process: &Process) -> bool {
    match message {
        PeerMessage::Propose(_)
        | PeerMessage::Promise { .. }
        | PeerMessage::Veto { .. }
        | PeerMessage::Overruled { .. }
        | PeerMessage::Lead(_)
        | PeerMessage::LogState(_)
        | PeerMessage::Welcome { .. }
        | PeerMessage::Leave
        | PeerMessage::Snapshot(_) => true,
        PeerMessage::Prepare(it) => {
            !it.entries.is_empty() && process.replica.role() != Role::Primary
        }
        PeerMessage::PrepareOk { .. } => process.replica.role() != Role::Backup,
        PeerMessage::Ping(_)
        | PeerMessage::Pong { .. }
        | PeerMessage::Standing(_)
        | PeerMessage::Addresses(_)
        | PeerMessage::SnapshotOk { .. } => false,
    }
}

fn name(message: &PeerMessage) -> String {
    let text = format!("{message:?}");
    text.split(['(', ' ']).next().unwrap_or_default().to_owned()
}
