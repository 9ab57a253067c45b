//! The glue: what carries the outputs of one room to the next?
//!
//! One turn of the loop: read what is ready, hand it to the replica, sync the journal once for all
//! of it, apply what is committed, answer, deliver, give the store what was applied. See
//! `Server::turn`.
//!
//! | file | what happens there |
//! | --- | --- |
//! | [`options`](self) | what an operator decides |
//! | [`start`](self) | the data directory is opened, the addresses are bound, memory is filled |
//! | [`connection`](self) | what is known of a client's connection, and what may be under way on it |
//! | [`requests`](self) | bytes become requests, and requests begin |
//! | [`accounts`](self) | accounts and logins, from one hand to the next |
//! | [`history`](self) | answers that may be long |
//! | [`feed`](self) | deliveries |
//! | [`commit`](self) | from the replica to the journal, the state and the store |
//! | [`passwords`](self) | Argon2 on a thread of its own |
//! | [`throttle`](self) | who has to wait |
//! | [`deadlines`](self) | who is too late |
//! | [`status`](self) | how the server is |
//! | [`member`](self) | the server's own address |

mod accounts;
mod commit;
mod connection;
mod deadlines;
mod feed;
mod history;
mod member;
mod options;
mod passwords;
mod pattern;
mod requests;
mod start;
mod status;
mod stop;
mod throttle;

pub use options::Options;
pub use start::StartError;

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::time::Duration;

use crate::chat::State;
use crate::chat::change::Change;
use crate::journal::storage::{DiskStorage, Slot};
use crate::journal::superblock::{Superblock, SuperblockError};
use crate::journal::{Journal, JournalError};
use crate::net::{ConnectionId, Event, EventLoop, Excess, ListenerId, clock};
use crate::replica::Replica;
use crate::store::{StoreError, StoreWorker};
use crate::types::{AccountId, ErrorCode, Name, OpNumber, RequestNumber, Time, Timestamp};
use crate::wire::message::{Answer, Refusal};
use connection::{ClientConnection, QueryTicket};
use member::MemberAddress;
use passwords::PasswordWorker;
use stop::Stopping;
use throttle::Failures;

/// What this program calls itself.
const SOFTWARE: &str = concat!("lastword ", env!("CARGO_PKG_VERSION"));

/// Runs a server until it is told to stop. `Ok` means that it left in good order.
pub fn run(options: Options) -> Result<(), RunError> {
    let mut server = Server::start(options)?;
    server.settle()?;
    while server.turn()? == Flow::Goes {}
    server.leave_in_order()?;
    Ok(())
}

/// Why a server ended that was not told to.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// It could not start. Nothing was changed.
    #[error(transparent)]
    Start(#[from] StartError),
    /// It could not go on. What was acknowledged is on disk.
    #[error(transparent)]
    Fatal(#[from] Fatal),
}

/// What no server can go on with. None of it is tried again: after a failed sync nobody knows
/// what is on the disk.
#[derive(Debug, thiserror::Error)]
pub enum Fatal {
    /// The journal failed.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The poll failed.
    #[error("the event loop failed: {0}")]
    Loop(std::io::Error),
    /// An op that was committed cannot be read.
    #[error(
        "op {0} was committed and cannot be read: this is a mistake of the program; please report it"
    )]
    UnreadableOp(OpNumber),
    /// The data directory cannot be written any more.
    #[error(transparent)]
    Superblock(#[from] SuperblockError),
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
    journal: Journal,
    /// What the committed ops have made, up to `applied`.
    state: State,
    store: StoreWorker,
    passwords: PasswordWorker,
    member: MemberAddress,
    /// Where connections come in.
    listeners: Vec<ListenerId>,

    clients: HashMap<ConnectionId, Box<ClientConnection>>,
    /// The connections of each account that is logged in: never an empty list.
    online: HashMap<AccountId, Vec<ConnectionId>>,
    failures_by_account: Failures<Name>,
    failures_by_address: Failures<IpAddr>,

    /// The last op that was applied, about the cluster or the chat.
    applied: OpNumber,
    /// The last op that the store was given; at most `applied`.
    handed_over: OpNumber,
    /// What the ops between the two have changed.
    changes: Vec<Change>,
    /// One of them was about the cluster.
    cluster_changed: bool,
    last_query: u64,
    /// Whose queries are under way. A connection has at most one for its task and one for its
    /// feed.
    queries: HashMap<QueryTicket, ConnectionId>,
    /// The store is so far behind that no requests are taken up.
    store_lags: bool,
    /// Connections whose requests wait until the store has caught up.
    stalled: Vec<ConnectionId>,
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
    /// encoded, events of a poll.
    line: String,
    payload: Vec<u8>,
    events: Vec<Event<Alarm>>,
    /// Who this server is, as it stands on the disk.
    superblock: Superblock,
    /// Where that stands.
    slot_storage: DiskStorage,
    /// The folder, locked while the process lives.
    slot: Slot,
}

impl Server {
    /// One turn of the loop.
    fn turn(&mut self) -> Result<Flow, Fatal> {
        let busy = !self.unread.is_empty() || !self.again.is_empty();
        let wait_max = busy.then_some(Duration::ZERO);
        let mut events = std::mem::take(&mut self.events);
        self.network
            .poll(&mut events, wait_max)
            .map_err(Fatal::Loop)?;
        self.now = clock::now();
        self.wall_clock = clock::wall_clock();
        self.sync_time = Duration::ZERO;
        let started = self.now;

        for event in events.drain(..) {
            if self.handle(event)? == Flow::Ends {
                return Ok(Flow::Ends);
            }
        }
        self.events = events;
        self.take_unread();
        for id in std::mem::take(&mut self.again) {
            self.continue_task(id);
        }
        for id in std::mem::take(&mut self.starved) {
            self.pump(id);
        }
        self.settle()?;
        self.close_those_done();
        self.look_at_lag();
        self.network.flush();

        let whole = clock::now().since(started);
        self.longest_turn = self.longest_turn.max(whole.saturating_sub(self.sync_time));
        self.longest_sync = self.longest_sync.max(self.sync_time);
        Ok(self.flow())
    }

    fn handle(&mut self, event: Event<Alarm>) -> Result<Flow, Fatal> {
        match event {
            Event::Opened {
                connection,
                peer,
                excess,
                ..
            } => self.opened(connection, peer.ip(), excess),
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
            Event::Timer(Alarm::Client(id)) => self.timer_rang(id),
            Event::Timer(Alarm::Member) => self.try_member_address()?,
            Event::Timer(Alarm::Stop) => {}
            Event::Woken => {
                self.take_store_answers()?;
                while let Some(result) = self.passwords.result() {
                    self.password_computed(result.connection, result.outcome);
                }
            }
            Event::Signal(signal) => return Ok(self.signalled(signal)),
        }
        Ok(Flow::Goes)
    }

    fn opened(&mut self, id: ConnectionId, peer: IpAddr, excess: Option<Excess>) {
        let client = ClientConnection::new(peer, self.now, self.options.max_rate);
        self.clients.insert(id, Box::new(client));
        match excess {
            None => self.watch(id),
            Some(excess) => {
                let refusal = Refusal::new(ErrorCode::Busy, format!("{excess}; try again later"));
                self.write_answer(id, RequestNumber(0), &Answer::Refused(&refusal));
                self.close(id);
            }
        }
    }

    /// Takes up requests, connection by connection, until the turn has enough to do.
    fn take_unread(&mut self) {
        let enough = OpNumber(self.replica.head().0 + OPS_PER_TURN);
        for _ in 0..self.unread.len() {
            if self.replica.head() >= enough {
                break;
            }
            if let Some(id) = self.unread.pop_front() {
                self.work_off(id);
            }
        }
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

/// What a timer is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Alarm {
    /// A connection may be late.
    Client(ConnectionId),
    /// The member address is tried again.
    Member,
    /// A stopping server looks whether all is sent.
    Stop,
}

/// Ops that one turn takes up at most (and what one connection's input holds beyond): so many
/// are synced at once, and the first of them does not wait for more.
const OPS_PER_TURN: u64 = 4096;
