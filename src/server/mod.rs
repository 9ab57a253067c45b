//! The glue: what carries the outputs of one room to the next?
//!
//! One turn of the loop: read what is ready, hand it to the replica, send what it has for the other
//! servers, sync the journal once for all of it, apply what is committed, answer, deliver, give the
//! store what was applied. See `Server::turn`.
//!
//! | file | what happens there |
//! | --- | --- |
//! | [`options`](self) | what an operator decides |
//! | **at the start** | |
//! | [`start`](self) | everything up to the first turn |
//! | [`slot`](self) | the data directory: which part of it is this server's |
//! | [`opening`](self) | what is in it, and can it be gone on with |
//! | [`generation`](self) | what journals and stores are called |
//! | [`probe`](self) | is there a cluster already |
//! | [`key`](self) | the servers' shared secret |
//! | [`announce`](self) | what people are told |
//! | **among servers** | |
//! | [`links`](self) | messages go out and come in |
//! | [`handshake`](self) | who is there, and may he be |
//! | [`complaints`](self) | what was said a moment ago |
//! | [`commit`](self) | from the replica to the journal, the state and the store |
//! | [`disk`](self) | the superblock and the journal |
//! | [`sending`](self) | a snapshot goes to another server |
//! | [`taking`](self) | a snapshot comes from another server |
//! | [`member`](self), [`service`](self) | the server's own address, and everybody's |
//! | **with clients** | |
//! | [`gate`](self) | who is let in |
//! | [`connection`](self) | what is known of a client's connection, and what may be under way on it |
//! | [`input`](self) | bytes become requests |
//! | [`requests`](self) | requests begin |
//! | [`tickets`](self) | who has asked for what the replica answers |
//! | [`answers`](self) | requests end |
//! | [`accounts`](self) | accounts and logins, from one hand to the next |
//! | [`history`](self) | answers that may be long |
//! | [`feed`](self) | deliveries |
//! | [`passwords`](self) | Argon2 on a thread of its own |
//! | [`throttle`](self) | who has to wait |
//! | [`deadlines`](self) | who is too late |
//! | [`status`](self) | how the server is |
//! | **without a network** | |
//! | [`offline`](self) | a folder as a server leaves it |
//! | **at the end** | |
//! | [`stop`](self) | everything after the last turn |
//! | [`error`](self) | what can go wrong for good |

mod accounts;
mod announce;
mod answers;
mod commit;
mod complaints;
mod connection;
mod deadlines;
mod disk;
mod error;
mod feed;
mod gate;
mod generation;
mod handshake;
mod history;
mod input;
mod key;
mod links;
mod member;
pub(crate) mod offline;
mod opening;
mod options;
mod passwords;
mod pattern;
mod probe;
mod requests;
mod sending;
mod service;
mod slot;
mod start;
mod status;
mod stop;
mod taking;
mod throttle;
mod tickets;

pub use error::{Fatal, RunError, StartError};
pub use options::Options;

use std::collections::VecDeque;
use std::net::IpAddr;
use std::time::Duration;

use crate::chat::State;
use crate::chat::change::Change;
use crate::limits::{
    INPUT_BYTES_MAX, INPUT_BYTES_MAX_BEFORE_LOGIN, SEND_QUEUE_BYTES_MAX,
    SEND_QUEUE_BYTES_MAX_BEFORE_LOGIN, TURN_WORK_TIME_MAX,
};
use crate::net::{Bounds, ConnectionId, Event, EventLoop, Excess, clock};
use crate::replica::{Input, Replica};
use crate::store::{StoreAnswer, StoreWorker};
use crate::types::{
    AccountId, Cluster, ErrorCode, Name, NumberMap, OpNumber, RequestNumber, Time, Timestamp,
};
use crate::wire::message::{Answer, Refusal};
use announce::Announced;
use connection::{ClientConnection, QueryTicket};
use disk::Disk;
use feed::Delivery;
use gate::Gate;
use links::Links;
use member::MemberAddress;
use passwords::PasswordWorker;
use sending::Transfers;
use service::ServiceAddress;
use stop::Stopping;
use throttle::Failures;
use tickets::Tickets;

/// What this program calls itself.
const SOFTWARE: &str = concat!("lastword ", env!("CARGO_PKG_VERSION"));

/// Runs a server until it is told to stop. `Ok` means that it left in good order.
pub fn run(options: Options) -> Result<(), RunError> {
    let mut server = Server::start(options)?;
    server.settle()?;
    server.print_start();
    while server.turn()? == Flow::Goes {}
    server.leave_in_order()?;
    Ok(())
}

/// Whether there is another turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flow {
    Goes,
    Ends,
}

/// A server: everything that one process is.
struct Server {
    options: Options,
    network: EventLoop<Alarm>,
    replica: Replica,
    disk: Disk,
    /// What the committed ops have made, up to `applied`.
    state: State,
    store: StoreWorker,
    passwords: PasswordWorker,
    member: MemberAddress,
    service: ServiceAddress,
    links: Links,
    /// Snapshots on their way.
    transfers: Transfers,
    gate: Gate,
    tickets: Tickets,

    clients: NumberMap<ConnectionId, Box<ClientConnection>>,
    /// The connections of each account that is logged in: never an empty list.
    online: NumberMap<AccountId, Vec<ConnectionId>>,
    /// Those of them to which messages are delivered: never an empty list either.
    listening: NumberMap<AccountId, Vec<ConnectionId>>,
    failures_by_account: Failures<Name>,
    failures_by_address: Failures<IpAddr>,

    /// The last op that was applied, about the cluster or the chat.
    applied: OpNumber,
    /// The last op that the store was given; at most `applied`.
    handed_over: OpNumber,
    /// What the ops between the two have changed.
    changes: Vec<Change>,
    /// What the ops up to `applied` have made of the cluster.
    cluster: Option<Cluster>,
    /// One of those between the two was about it.
    cluster_changed: bool,
    last_query: u64,
    /// Whose queries are under way. A connection has at most one for its task and one for its
    /// feed.
    queries: NumberMap<QueryTicket, ConnectionId>,
    /// What the store's worker has said and no turn has come to. No more than `queries`, and a few.
    store_answers: VecDeque<StoreAnswer>,
    /// The last op that the store has safely on disk, as far as it has said.
    store_durable: OpNumber,
    /// The store is so far behind that no requests are taken up.
    store_lags: bool,
    /// So much waits for the other servers that no requests are taken up.
    others_lag: bool,
    /// Connections whose feed could not ask, since the store's queue was full.
    starved: Vec<ConnectionId>,
    /// Connections with a task that goes on in the next turn.
    again: Vec<ConnectionId>,
    /// Connections that may be over, now that something of theirs was done.
    ending: Vec<ConnectionId>,
    /// Connections with input that this turn has not come to.
    unread: VecDeque<ConnectionId>,

    /// This turn's clocks.
    now: Time,
    wall_clock: Timestamp,
    /// How long this turn has waited for the disk.
    sync_time: Duration,
    /// The longest turn without its syncs, and the longest syncs of a turn, since the start.
    longest_turn: Duration,
    longest_sync: Duration,
    stopping: Option<Stopping>,
    /// A second signal came: nothing is waited for any more.
    at_once: bool,

    /// Buffers that are kept for their memory alone: a line that is unescaped, an op that is
    /// encoded, a message that is delivered, events of a poll.
    line: String,
    payload: Vec<u8>,
    delivery: Delivery,
    events: Vec<Event<Alarm>>,
    /// What people were told of.
    announced: Announced,
}

impl Server {
    /// One turn of the loop.
    fn turn(&mut self) -> Result<Flow, Fatal> {
        let wait_max = self.wait_max();
        let mut events = std::mem::take(&mut self.events);
        self.network
            .poll(&mut events, wait_max)
            .map_err(Fatal::Loop)?;
        self.now = clock::now();
        self.wall_clock = clock::wall_clock();
        self.sync_time = Duration::ZERO;
        let started = self.now;
        let time = self.wall_clock;
        self.replica
            .handle_input(Input::WallClock { time }, self.now);

        // What other servers say is taken in here, and clients' requests only behind it.
        for event in events.drain(..) {
            if self.handle(event)? == Flow::Ends {
                return Ok(Flow::Ends);
            }
        }
        self.events = events;
        self.take_store_answers()?;
        self.take_unread();
        self.take_again();
        for id in std::mem::take(&mut self.starved) {
            self.pump(id);
        }
        if self.replica.poll_timeout().is_some_and(|at| at <= self.now) {
            self.replica.handle_timeout(self.now);
        }
        self.settle()?;
        self.look_at_service()?;
        self.look_at_place();
        self.close_those_done();
        self.look_at_lag();
        self.network.flush();

        let whole = clock::now().since(started);
        self.longest_turn = self.longest_turn.max(whole.saturating_sub(self.sync_time));
        self.longest_sync = self.longest_sync.max(self.sync_time);
        self.flow()
    }

    /// How long the next poll may wait: until the replica wants to be called, and not at all while
    /// something is left over.
    fn wait_max(&self) -> Option<Duration> {
        let busy =
            !self.unread.is_empty() || !self.again.is_empty() || !self.store_answers.is_empty();
        if busy {
            return Some(Duration::ZERO);
        }
        let at = self.replica.poll_timeout()?;
        Some(at.since(clock::now()))
    }

    fn handle(&mut self, event: Event<Alarm>) -> Result<Flow, Fatal> {
        match event {
            Event::Opened {
                connection,
                peer,
                excess,
                ..
            } => self.opened(connection, peer.ip(), excess),
            Event::Connected { connection } => self.connected(connection),
            Event::ConnectFailed {
                connection,
                refused,
                error,
            } => self.connect_failed(connection, refused, error),
            Event::Input(id) if self.links.has(id) => self.hear_link(id),
            Event::InputEnded(id) if self.links.has(id) => self.link_closed(id, None),
            Event::Closed { connection, reason } if self.links.has(connection) => {
                self.link_closed(connection, Some(reason));
            }
            Event::Input(id) => self.unread.push_back(id),
            Event::InputEnded(id) => {
                if let Some(client) = self.clients.get_mut(&id) {
                    client.input_ended = true;
                    self.unread.push_back(id);
                }
            }
            Event::Drained(id) => {
                self.continue_task(id);
                self.pump(id);
                self.unblock(id);
            }
            Event::Closed { connection, .. } => self.closed(connection),
            Event::Timer(alarm) => self.ring(alarm)?,
            Event::Woken => {
                self.store_answers.extend(self.store.answers());
                while let Some(result) = self.passwords.result() {
                    self.password_computed(result.connection, result.outcome);
                }
                self.look_at_incoming()?;
            }
            Event::Signal(signal) => return Ok(self.signalled(signal)),
        }
        Ok(Flow::Goes)
    }

    fn ring(&mut self, alarm: Alarm) -> Result<(), Fatal> {
        match alarm {
            Alarm::Client(id) => self.timer_rang(id),
            Alarm::Handshake(id) => self.handshake_late(id),
            Alarm::Member => self.try_member_address()?,
            Alarm::Service => self.try_service_again()?,
            Alarm::WritesWait => self.tell_that_writes_wait(),
            Alarm::Outcomes => self.give_up_outcomes(),
            Alarm::Stop => {}
        }
        Ok(())
    }

    /// Somebody has connected: a client, as long as no hello says that it is a server. So one who is
    /// too many is not refused before he has said something, or has been silent for long.
    fn opened(&mut self, id: ConnectionId, peer: IpAddr, excess: Option<Excess>) {
        let mut client = ClientConnection::new(peer, self.now, self.options.max_rate);
        client.excess = excess;
        self.clients.insert(id, Box::new(client));
        self.bound(id, BOUNDS_BEFORE_LOGIN);
        self.watch(id);
    }

    /// One client too many.
    fn refuse_excess(&mut self, id: ConnectionId, excess: Excess) {
        let refusal = Refusal::new(ErrorCode::Busy, format!("{excess}; try again later"));
        self.write_answer(id, RequestNumber(0), &Answer::Refused(&refusal));
        self.close(id);
    }

    /// Lets a connection hold so much.
    fn bound(&mut self, id: ConnectionId, bounds: Bounds) {
        if let Some(connection) = self.network.connection(id) {
            connection.bound(bounds);
        }
    }

    /// Takes up requests, connection by connection, until the turn has enough to do.
    fn take_unread(&mut self) {
        let enough = OpNumber(self.replica.head().0 + OPS_PER_TURN);
        let time = WorkTime::begin();
        for _ in 0..self.unread.len() {
            if self.replica.head() >= enough || !time.is_left() {
                break;
            }
            if let Some(id) = self.unread.pop_front() {
                self.work_off(id);
            }
        }
    }

    /// Goes on with the tasks that gave way to others in the last turn.
    fn take_again(&mut self) {
        let time = WorkTime::begin();
        let mut waiting = std::mem::take(&mut self.again).into_iter();
        while time.is_left()
            && let Some(id) = waiting.next()
        {
            self.continue_task(id);
        }
        // Whose turn did not come is first in the next one.
        self.again.splice(0..0, waiting);
    }

    /// Ends a connection, once what is queued for it is sent.
    fn close(&mut self, id: ConnectionId) {
        self.network.close_when_sent(id);
        self.closed(id);
    }

    /// Ends connections whose peer has said all that it wants to say, and got its answers.
    fn close_those_done(&mut self) {
        for id in std::mem::take(&mut self.ending) {
            let client = self.clients.get(&id);
            let answered = client.is_some_and(|client| client.input_ended && client.is_idle());
            if answered
                && let Some(connection) = self.network.connection(id)
                && connection.input().is_empty()
            {
                self.close(id);
            }
        }
    }

    /// A connection is gone.
    fn closed(&mut self, id: ConnectionId) {
        let Some(client) = self.clients.remove(&id) else {
            return;
        };
        if let Some((_, timer)) = client.timer {
            self.network.cancel_timer(timer);
        }
        if let Some(login) = client.login {
            self.go_offline(login.account, id);
        }
    }
}

/// How long one kind of work may go on in a turn. Each has its own, so that none of them ever
/// starves another.
struct WorkTime {
    until: Time,
}

impl WorkTime {
    fn begin() -> Self {
        let until = clock::now() + TURN_WORK_TIME_MAX;
        Self { until }
    }

    fn is_left(&self) -> bool {
        clock::now() < self.until
    }
}

/// What strangers may make the server hold: little, since there may be many of them.
const BOUNDS_BEFORE_LOGIN: Bounds = Bounds {
    input_bytes_max: INPUT_BYTES_MAX_BEFORE_LOGIN,
    output_bytes_max: SEND_QUEUE_BYTES_MAX_BEFORE_LOGIN,
};
const BOUNDS: Bounds = Bounds {
    input_bytes_max: INPUT_BYTES_MAX,
    output_bytes_max: SEND_QUEUE_BYTES_MAX,
};

/// What a timer is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Alarm {
    /// A connection may be late.
    Client(ConnectionId),
    /// A link may be late.
    Handshake(ConnectionId),
    /// The member address is tried again.
    Member,
    /// The service's address is tried again.
    Service,
    /// Requests may have waited for long.
    WritesWait,
    /// Requests that were in the log when this server stopped being the primary may have no outcome still.
    Outcomes,
    /// A stopping server looks whether all is sent.
    Stop,
}

/// Ops that one turn takes up at most (and what one connection's input holds beyond): so many
/// are synced at once, and the first of them does not wait for more.
const OPS_PER_TURN: u64 = 4096;

fn random() -> u64 {
    getrandom::u64().expect("the operating system gives random bits")
}
