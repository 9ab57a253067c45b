//! What does the driver of a simulated server do in a turn?
//!
//! The same as the real one, in the same order: it reads everything that is there and hands it to
//! the replica, then the time; carries out what comes out; flushes its links; and then syncs the
//! journal, once. While the disk works, the process does nothing, and what comes in waits.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;

use lastword::chat::State;
use lastword::chat::change::Change;
use lastword::journal::Journal;
use lastword::journal::superblock::Superblock;
use lastword::replica::{Input, LinkId, Output, Replica, Role};
use lastword::types::{AccountId, ErrorCode, LogPosition, OpNumber, SessionId, Time, ViewNumber};
use lastword::wire::peer::PeerMessage;

use super::codec;
use super::host::{Death, read_entries};
use super::lines::Parcel;
use super::network::{Packet, service_address};
use super::service::{self, Service};
use super::settings::{MICROSECOND, MILLISECOND};
use super::snapshots::{Incoming, Outgoing};
use super::work::Work;
use super::world::{Event, World};

/// `--rebind-delay`.
const REBIND_DELAY: u64 = 50 * MILLISECOND;
/// More than a turn can ever have to do.
const OUTPUTS_MAX: u32 = 100_000;
/// More often in a row no process has a reason to be woken at once.
const SPINS_MAX: u32 = 100;
/// How long a leaving process waits for the others.
const LEAVE_TIME_MAX: u64 = 1500 * MILLISECOND;

/// Something that a process will read in its next turn.
#[derive(Debug)]
pub enum Arrival {
    Connected {
        connection: u64,
    },
    DialFailed {
        attempt: u64,
        refused: bool,
    },
    Packet {
        connection: u64,
        packet: Packet,
    },
    Broken {
        connection: u64,
    },
    /// Something came from a client.
    Line {
        line: u64,
        parcel: Parcel,
    },
    /// Somebody ends a session from elsewhere.
    EndSession {
        account: AccountId,
        session: SessionId,
    },
    /// What was looked up in the store is damaged.
    StoreDamaged,
    Leave,
}

/// A running server.
pub struct Process {
    pub number: u64,
    pub replica: Replica,
    /// `None` until there is data.
    pub journal: Option<Journal>,
    /// What was saved last.
    pub superblock: Superblock,
    /// Is there data yet?
    pub has_data: bool,
    pub state: State,
    /// The last op that was applied.
    pub applied: LogPosition,
    /// The last op that the store was given.
    pub handed_over: OpNumber,
    pub changes: Vec<Change>,
    pub cluster_changed: bool,
    /// Its clients.
    pub service: Service,
    inbox: VecDeque<Arrival>,
    outgoing: Vec<(u64, Packet)>,
    /// What the disk is doing.
    working: Option<Work>,
    /// What was appended to the journal and is not synced.
    pub appended: Vec<(u64, ViewNumber)>,
    /// It has done it, and the process is paused.
    is_overdue: bool,
    pub is_paused: bool,
    turn_is_due: bool,
    wake_at: u64,
    /// How often in a row it wanted to be woken at once.
    spins: u32,
    bind_is_due: bool,
    dialing: BTreeMap<SocketAddr, u64>,
    /// The connections that were told to the replica, with the end that is this process's.
    links: BTreeMap<LinkId, usize>,
    is_leaving: bool,
    /// How it ends when its turn is over.
    pub doomed: Option<Death>,
    pub incoming: Option<Incoming>,
    /// A snapshot that has arrived wholly.
    pub to_install: Option<Work>,
    pub outgoing_snapshots: BTreeMap<LinkId, Outgoing>,
}

impl Process {
    pub fn new(
        number: u64,
        replica: Replica,
        journal: Option<Journal>,
        superblock: Superblock,
        state: State,
        applied: LogPosition,
    ) -> Self {
        Self {
            number,
            replica,
            has_data: journal.is_some(),
            journal,
            superblock,
            state,
            applied,
            handed_over: applied.op,
            changes: Vec::new(),
            cluster_changed: false,
            service: Service::default(),
            inbox: VecDeque::new(),
            outgoing: Vec::new(),
            working: None,
            appended: Vec::new(),
            is_overdue: false,
            is_paused: false,
            turn_is_due: false,
            wake_at: u64::MAX,
            spins: 0,
            bind_is_due: false,
            dialing: BTreeMap::new(),
            links: BTreeMap::new(),
            is_leaving: false,
            doomed: None,
            incoming: None,
            to_install: None,
            outgoing_snapshots: BTreeMap::new(),
        }
    }

    /// The disk is doing something for it.
    pub fn is_working(&self) -> bool {
        self.working.is_some()
    }

    /// Its store is damaged: its next turn begins with that.
    pub fn store_is_damaged(&mut self) {
        self.inbox.push_back(Arrival::StoreDamaged);
    }

    /// It will end before long, because it was asked to.
    pub fn will_leave(&self) -> bool {
        let is_asked = |it: &Arrival| matches!(it, Arrival::Leave);
        self.is_leaving || self.inbox.iter().any(is_asked)
    }

    pub fn is_overdue(&self) -> bool {
        self.is_overdue
    }

    /// It dies: what the disk was doing for it is done in part.
    pub fn interrupt(&mut self, disk: &mut super::host::Disk, random: &mut super::random::Random) {
        if let Some(work) = self.working.take() {
            work.interrupt(self, disk, random);
        }
    }
}

impl World {
    // --- when a turn begins ---

    /// A process will read this. It is lost if the process ends before.
    pub fn arrived(&mut self, host: usize, number: u64, arrival: Arrival) {
        let Some(process) = self.process(host, number) else {
            return;
        };
        process.inbox.push_back(arrival);
        self.turn_soon(host);
    }

    fn process(&mut self, host: usize, number: u64) -> Option<&mut Process> {
        let process = self.hosts[host].process.as_mut();
        process.filter(|it| it.number == number)
    }

    fn turn_soon(&mut self, host: usize) {
        let delay = self.random.between(10, 60) * MICROSECOND;
        let Some(process) = &mut self.hosts[host].process else {
            return;
        };
        if process.turn_is_due || process.is_paused || process.is_working() {
            return;
        }
        process.turn_is_due = true;
        let process = process.number;
        self.after(delay, Event::Turn { host, process });
    }

    pub fn wake(&mut self, host: usize, number: u64) {
        if let Some(process) = self.process(host, number) {
            process.wake_at = u64::MAX;
            self.turn_soon(host);
        }
    }

    /// Does something with a process and the world. The process may end by it.
    fn with_process(
        &mut self,
        host: usize,
        number: u64,
        action: impl FnOnce(&mut Self, &mut Process),
    ) {
        if self.process(host, number).is_none() {
            return;
        }
        let Some(mut process) = self.hosts[host].process.take() else {
            return;
        };
        action(self, &mut process);
        let doomed = process.doomed;
        self.hosts[host].process = Some(process);
        if let Some(death) = doomed {
            self.end(host, death);
        }
    }

    pub fn turn(&mut self, host: usize, number: u64) {
        self.with_process(host, number, |world, process| {
            process.turn_is_due = false;
            if process.is_paused || process.is_working() {
                return;
            }
            let now = world.hosts[host].clock(world.now);
            let time = world.hosts[host].wall_clock(world.now);
            process.replica.handle_input(Input::WallClock { time }, now);
            while let Some(arrival) = process.inbox.pop_front() {
                world.take_in(host, process, arrival, now);
                // A client's request may come before what other servers have to say.
                world.work_off(host, process, now);
            }
            world.work_off(host, process, now);
            if process.replica.poll_timeout().is_some_and(|at| at <= now) {
                process.replica.handle_timeout(now);
            }
            world.drain(host, process);
        });
    }

    pub fn work_done(&mut self, host: usize, number: u64) {
        self.with_process(host, number, |world, process| {
            if process.is_paused {
                process.is_overdue = true;
                return;
            }
            process.is_overdue = false;
            if let Some(work) = process.working.take() {
                world.finish(host, process, work);
                if process.doomed.is_none() {
                    world.drain(host, process);
                }
            }
        });
    }

    // --- what comes in ---

    fn take_in(&mut self, host: usize, process: &mut Process, arrival: Arrival, now: Time) {
        match arrival {
            Arrival::Connected { connection } => self.connected(process, connection),
            Arrival::DialFailed { attempt, refused } => {
                self.dial_failed(process, attempt, refused, now);
            }
            Arrival::Packet { connection, packet } => {
                self.take_packet(host, process, connection, packet, now);
            }
            Arrival::Broken { connection } => self.link_ended(process, connection, false, now),
            Arrival::Line { line, parcel } => self.line_arrived(process, line, parcel),
            Arrival::EndSession { account, session } => {
                let ticket = process.service.ticket_of_nobody();
                let op = super::entrance::end_of_session(account, session);
                self.submit_as(host, process, ticket, op, now);
            }
            Arrival::StoreDamaged => process.replica.handle_input(Input::StoreDamaged, now),
            Arrival::Leave => {
                process.is_leaving = true;
                process.replica.handle_input(Input::Leave, now);
                let process = process.number;
                self.after(LEAVE_TIME_MAX, Event::LeaveEnds { host, process });
            }
        }
    }

    /// A connect has led to a connection: who dialed says who it is.
    fn connected(&mut self, process: &Process, id: u64) {
        let identity = *process.replica.identity();
        if let Some(connection) = self.network.connections.get_mut(&id)
            && self.attempts.contains_key(&connection.attempt)
        {
            connection.said = Some(identity);
            self.send(id, 0, Packet::Hello(identity));
        }
    }

    fn dial_failed(&mut self, process: &mut Process, id: u64, refused: bool, now: Time) {
        let Some(attempt) = self.attempts.remove(&id) else {
            return;
        };
        process.dialing.remove(&attempt.address);
        if let Some(connection) = attempt.connection {
            self.close_end(connection, 0);
        }
        let address = attempt.address;
        let input = Input::DialFailed { address, refused };
        process.replica.handle_input(input, now);
    }

    fn take_packet(
        &mut self,
        host: usize,
        process: &mut Process,
        id: u64,
        packet: Packet,
        now: Time,
    ) {
        let link = LinkId(id);
        match packet {
            Packet::Hello(peer) => self.hello(process, id, peer, now),
            Packet::Frame(bytes) if process.links.contains_key(&link) => {
                let message = codec::decode(&bytes);
                self.say(|| format!("{} gets by {id}: {message:?}", host + 1));
                match message {
                    PeerMessage::Snapshot(part) => self.take_part(host, process, link, &part),
                    PeerMessage::SnapshotOk { bytes, .. } => {
                        self.send_parts(host, process, link, bytes);
                    }
                    message => {
                        let input = Input::Message { link, message };
                        process.replica.handle_input(input, now);
                    }
                }
            }
            Packet::Frame(_) => {}
            Packet::Fin | Packet::Rst => self.link_ended(process, id, true, now),
        }
    }

    fn hello(
        &mut self,
        process: &mut Process,
        id: u64,
        peer: lastword::replica::Identity,
        now: Time,
    ) {
        let Some(connection) = self.network.connections.get_mut(&id) else {
            return;
        };
        let is_dialer = connection.ends[0].process == process.number;
        let identity = *process.replica.identity();
        let mut dialed = None;
        if is_dialer {
            if self.attempts.remove(&connection.attempt).is_none() {
                return;
            }
            dialed = Some(connection.dialed);
            process.dialing.remove(&connection.dialed);
            if connection.said != Some(identity) {
                // It is somebody else by now: what it has said is not true any more.
                let address = connection.dialed;
                let input = Input::DialFailed {
                    address,
                    refused: false,
                };
                process.replica.handle_input(input, now);
                return self.close_end(id, 0);
            }
        }
        let end = usize::from(!is_dialer);
        connection.ends[end].is_up = true;
        let link = LinkId(id);
        process.links.insert(link, end);
        if !is_dialer {
            self.send(id, 1, Packet::Hello(identity));
        }
        let input = Input::LinkUp { link, peer, dialed };
        process.replica.handle_input(input, now);
    }

    fn link_ended(&mut self, process: &mut Process, id: u64, by_peer: bool, now: Time) {
        let Some(connection) = self.network.connections.get_mut(&id) else {
            return;
        };
        let attempt = connection.attempt;
        let end = usize::from(connection.ends[0].process != process.number);
        if !std::mem::take(&mut connection.ends[end].is_open) {
            return;
        }
        let link = LinkId(id);
        process.outgoing_snapshots.remove(&link);
        if process.links.remove(&link).is_some() {
            let input = Input::LinkEnded { link, by_peer };
            process.replica.handle_input(input, now);
        } else if end == 0 {
            self.dial_failed(process, attempt, false, now);
        }
    }

    // --- what comes out ---

    /// Carries out everything that the replica wants, until it waits for the disk or for the next
    /// turn.
    pub fn drain(&mut self, host: usize, process: &mut Process) {
        let mut count = 0;
        while let Some(output) = process.replica.poll_output() {
            count += 1;
            assert!(
                count < OUTPUTS_MAX,
                "LIVE: the replica goes round in circles: {output:?}"
            );
            if let Some(work) = self.carry_out(host, process, output) {
                if matches!(work, Work::Save(_)) {
                    self.flush(host, process);
                }
                return self.begin_work(host, process, work);
            }
            if process.doomed.is_some() {
                return;
            }
        }
        process.replica.check_invariants();
        self.flush(host, process);
        if process.doomed.is_some() {
            return;
        }
        let journal = process.journal.as_ref();
        if journal.is_some_and(|it| it.synced() < it.head()) {
            return self.begin_work(host, process, Work::Sync);
        }
        if let Some(work) = process.to_install.take() {
            return self.begin_work(host, process, work);
        }
        self.end_turn(host, process);
    }

    fn begin_work(&mut self, host: usize, process: &mut Process, work: Work) {
        let duration = self.work_time(host, &work);
        self.react_to_work(host, &work, duration);
        process.working = Some(work);
        let process = process.number;
        self.after(duration, Event::WorkDone { host, process });
    }

    /// Does it at once, or says what the disk has to do first.
    fn carry_out(&mut self, host: usize, process: &mut Process, output: Output) -> Option<Work> {
        match output {
            Output::Append(entry) => {
                if process.journal.is_none() {
                    // The damaged journal is given up now that there is something to put in its place.
                    self.replace_journal(host, process);
                }
                let view = process.replica.view();
                if view.is_some_and(|view| view.members.len() == 1) {
                    // The primary's own clock is all there is.
                    self.checker.note_lone_time(entry.time);
                }
                let journal = process.journal.as_mut().expect("there is data");
                journal.append(entry.op(), &entry.prepare);
                process.note_append(&entry);
            }
            Output::Truncate { after } => return Some(Work::Truncate(after)),
            Output::Save { identity, vote } => {
                return Some(Work::Save(process.superblock_with(&identity, vote)));
            }
            Output::Dial(address) => self.begin_dial(host, process, address),
            Output::Send { link, message } => self.queue_message(host, process, link, &message),
            Output::Close { link, why } => self.close(host, process, link, why),
            Output::Fetch { link, after } => self.fetch(host, process, link, after),
            Output::SendSnapshot { link } => self.begin_snapshot(host, process, link),
            Output::Committed { entry, ticket } => self.committed(host, process, &entry, ticket),
            Output::Readable(ticket) => {
                let now = self.hosts[host].clock(self.now);
                self.readable(host, process, ticket, now);
            }
            Output::Refused(ticket) => {
                let refusal = service::refusal_at_gate(process);
                process.service.turn_down(ticket, &refusal);
            }
            Output::Abandoned(ticket) => {
                let refusal = ErrorCode::UnknownOutcome.into();
                process.service.turn_down(ticket, &refusal);
            }
            Output::Note(note) => self.say(|| format!("{} notes: {note:?}", host + 1)),
        }
        None
    }

    fn begin_dial(&mut self, host: usize, process: &mut Process, address: SocketAddr) {
        if !process.dialing.contains_key(&address) {
            let attempt = self.dial(host, process.number, address);
            process.dialing.insert(address, attempt);
        }
    }

    pub fn queue_message(
        &mut self,
        host: usize,
        process: &mut Process,
        link: LinkId,
        message: &PeerMessage,
    ) {
        if process.links.contains_key(&link) {
            self.say(|| format!("{} sends by {}: {message:?}", host + 1, link.0));
            if let PeerMessage::Propose(proposal) = message {
                self.checker.proposed(proposal);
            }
            let bytes = codec::encode(message);
            process.outgoing.push((link.0, Packet::Frame(bytes)));
            self.react(host, process, link, message);
        }
    }

    fn close(
        &mut self,
        host: usize,
        process: &mut Process,
        link: LinkId,
        why: Option<lastword::replica::Unwanted>,
    ) {
        self.say(|| format!("{} closes {}: {why:?}", host + 1, link.0));
        if process.links.contains_key(&link) {
            process.outgoing.push((link.0, Packet::Fin));
            process.links.remove(&link);
            process.outgoing_snapshots.remove(&link);
        }
    }

    pub fn flush(&mut self, _host: usize, process: &mut Process) {
        for (id, packet) in std::mem::take(&mut process.outgoing) {
            let Some(connection) = self.network.connections.get(&id) else {
                continue;
            };
            let end = usize::from(connection.ends[0].process != process.number);
            match packet {
                Packet::Fin => self.close_end(id, end),
                packet if connection.ends[end].is_open => self.send(id, end, packet),
                _ => {}
            }
        }
        self.flush_callers(process);
    }

    fn fetch(&mut self, host: usize, process: &mut Process, link: LinkId, after: OpNumber) {
        let journal = process.journal.as_ref().expect("there is data");
        let bytes_max = lastword::limits::PREPARE_BYTES_MAX;
        let entries = read_entries(journal, after, bytes_max).unwrap_or_default();
        let now = self.hosts[host].clock(self.now);
        let input = Input::Fetched {
            link,
            after,
            entries,
        };
        process.replica.handle_input(input, now);
    }

    // --- at the end of a turn ---

    fn end_turn(&mut self, host: usize, process: &mut Process) {
        let replica = &process.replica;
        if replica.role() == Role::Primary {
            let member = replica.identity().member();
            let view = replica.view().expect("who leads has a view");
            self.checker.leads(view, member);
        }
        if let Some(view) = replica.view() {
            self.checker.decided(view);
        }
        self.look_at_service(host, process);
        service::look_at_gate(process);
        self.hand_over(host, process);
        self.pump(host, process);
        self.store_work(host, process);
        self.flush_callers(process);
        if process.is_leaving && process.replica.may_leave() {
            process.doomed = Some(Death::Kill);
            return;
        }
        self.schedule(host, process);
    }

    fn schedule(&mut self, host: usize, process: &mut Process) {
        let number = process.number;
        let is_waited_for = !process.inbox.is_empty() || process.service.wants_turn();
        if is_waited_for && !process.turn_is_due {
            process.turn_is_due = true;
            let delay = 20 * MICROSECOND;
            let process = number;
            self.after(delay, Event::Turn { host, process });
        }
        if let Some(time) = process.replica.poll_timeout() {
            let at = self.hosts[host].moment_of(time).max(self.now);
            process.spins = if at == self.now { process.spins + 1 } else { 0 };
            assert!(
                process.spins < SPINS_MAX,
                "LIVE: the server at {} wants to be woken again and again:\n{:#?}",
                host + 1,
                process.replica
            );
            if at < process.wake_at {
                process.wake_at = at;
                let process = number;
                self.at(at, Event::Wake { host, process });
            }
        }
    }

    /// The service's address belongs to the primary, which takes it when it is free.
    fn look_at_service(&mut self, host: usize, process: &mut Process) {
        let mine = (host, process.number);
        if process.replica.owns_service() {
            if self.service != Some(mine) && !process.bind_is_due {
                process.bind_is_due = true;
                let (_, process) = mine;
                self.after(REBIND_DELAY, Event::Bind { host, process });
            }
        } else if self.service == Some(mine) {
            self.service = None;
        }
    }

    pub fn bind_service(&mut self, host: usize, number: u64) {
        let is_free = self.service.is_none();
        let Some(process) = self.process(host, number) else {
            return;
        };
        process.bind_is_due = false;
        if process.is_paused || !process.replica.owns_service() {
            return;
        }
        if is_free {
            self.service = Some((host, number));
            self.say(|| format!("{} binds {}", host + 1, service_address()));
        } else {
            process.bind_is_due = true;
            let process = number;
            self.after(REBIND_DELAY, Event::Bind { host, process });
        }
    }

    pub fn leave_ends(&mut self, host: usize, number: u64) {
        if self.process(host, number).is_some_and(|it| it.is_leaving) {
            self.kill(host);
        }
    }
}
