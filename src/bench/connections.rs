//! Who talks to the server?
//!
//! Many connections of one process, numbered from 0, in one event loop.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use super::fill::FillError;
use crate::limits::HANDSHAKE_TIME_MAX;
use crate::net::{CloseReason, ConnectionId, Event, EventLoop, LoopConfig, Signal, clock};
use crate::types::{ErrorCode, RequestNumber, Time};
use crate::wire::decoded::Decoded;
use crate::wire::hello::{Hello, Role, encode_hello};
use crate::wire::message::{Answer, NoteKind, Push, Refusal, Request};
use crate::wire::reply::{FromServer, decode_from_server};
use crate::wire::request::encode_request;

/// What the load calls itself.
pub(super) const SOFTWARE: &str = concat!("lastword-bench ", env!("CARGO_PKG_VERSION"));
/// Connections on their way at a time: fewer than what a server's kernel completes ahead of accept.
const CONNECTING_MAX: usize = 256;
/// How long the server may say nothing at all while something is asked.
const SILENCE_MAX: Duration = Duration::from_secs(30);

/// Why a measurement ended without a figure.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// Nobody can be connected to.
    #[error("{address} cannot be connected to: {error}; is the server running there?")]
    Unreachable {
        /// Where.
        address: SocketAddr,
        /// What the system says.
        error: io::ErrorKind,
    },
    /// The system gives no more sockets.
    #[error("this process cannot open so many connections ({0}); raise its limit with: ulimit -n")]
    Descriptors(io::Error),
    /// The server has ended a connection.
    #[error(
        "the server has closed a connection: {0}; what was acknowledged until then was not looked up"
    )]
    Closed(String),
    /// The server has said something that it should not have.
    #[error("the server speaks, but not as a server of Lastword does: {0}")]
    Senseless(String),
    /// A request was refused.
    #[error("{what} was refused: {} ({})", refusal.sentence, refusal.code.word())]
    Refused {
        /// What was asked.
        what: &'static str,
        /// Why not.
        refusal: Refusal,
    },
    /// Nothing was heard for so long.
    #[error("the server has not answered for {} s", SILENCE_MAX.as_secs())]
    Silent,
    /// Somebody wants it to end.
    #[error("ended by a signal")]
    Interrupted(Signal),
    /// What was acknowledged and what is there differ.
    #[error("{0}")]
    Wrong(String),
    /// A process that was started has ended, or cannot be started.
    #[error("{0}")]
    Process(String),
    /// There is no folder to measure on.
    #[error(transparent)]
    Fill(#[from] FillError),
    /// The loop itself has failed.
    #[error("the event loop failed: {0}")]
    Loop(#[from] io::Error),
}

impl BenchError {
    /// Whether the server may have had no room for one more client.
    pub(super) fn is_of_a_full_server(&self) -> bool {
        match self {
            Self::Refused { refusal, .. } => refusal.code == ErrorCode::Busy,
            // One of very many that are too many is not even told so.
            Self::Closed(_) => true,
            _ => false,
        }
    }
}

/// Connections to one server.
pub(super) struct Connections {
    pub network: EventLoop<()>,
    address: SocketAddr,
    ids: Vec<ConnectionId>,
    places: HashMap<ConnectionId, usize>,
    events: Vec<Event<()>>,
    heard_at: Time,
    /// From here on they are not read, and may be closed by the server at any time.
    stalled_from: usize,
}

impl Connections {
    /// So many connections, each of which has been greeted.
    pub fn open(address: SocketAddr, count: usize) -> Result<Self, BenchError> {
        crate::net::descriptors::raise_limit();
        let mut connections = Self {
            network: EventLoop::new(LoopConfig::default())?,
            address,
            ids: Vec::with_capacity(count),
            places: HashMap::with_capacity(count),
            events: Vec::new(),
            heard_at: clock::now(),
            stalled_from: usize::MAX,
        };
        connections.network.catch_signals()?;
        connections.add(count)?;
        Ok(connections)
    }

    /// So many more, numbered on.
    pub fn add(&mut self, count: usize) -> Result<(), BenchError> {
        let wanted = self.ids.len() + count;
        let mut greeted = self.ids.len();
        self.heard_at = clock::now();
        while greeted < wanted {
            while self.ids.len() < wanted && self.ids.len() - greeted < CONNECTING_MAX {
                self.dial()?;
            }
            let mut hellos = 0;
            self.turn(None, |_, message| match message {
                FromServer::Hello(hello) if hello.role == Role::Server => {
                    hellos += 1;
                    Ok(())
                }
                other => unasked(&other),
            })?;
            greeted += hellos;
        }
        Ok(())
    }

    fn dial(&mut self) -> Result<(), BenchError> {
        let dialed = self.network.connect(self.address, HANDSHAKE_TIME_MAX);
        let id = dialed.map_err(BenchError::Descriptors)?;
        self.places.insert(id, self.ids.len());
        self.ids.push(id);
        if let Some(out) = self.network.output(id) {
            encode_hello(out, &Hello::client(SOFTWARE));
        }
        Ok(())
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.ids.len()
    }

    /// Ends all of them.
    pub fn close_all(&mut self) {
        for place in 0..self.ids.len() {
            self.close(place);
        }
    }

    /// From the connection of this number on nothing is read any more.
    pub fn stall_from(&mut self, place: usize) {
        self.stalled_from = place;
        for id in &self.ids[place..] {
            if let Some(connection) = self.network.connection(*id) {
                connection.pause();
            }
        }
    }

    /// Ends those of which nothing is read.
    pub fn close_stalled(&mut self) {
        for place in self.stalled_from.min(self.ids.len())..self.ids.len() {
            self.close(place);
        }
        self.stalled_from = usize::MAX;
    }

    fn is_stalled(&self, id: ConnectionId) -> bool {
        self.places
            .get(&id)
            .is_some_and(|place| *place >= self.stalled_from)
    }

    /// Ends a connection.
    pub fn close(&mut self, place: usize) {
        self.network.close(self.ids[place]);
    }

    /// Where to write what a connection is to say.
    pub fn output(&mut self, place: usize) -> Option<&mut Vec<u8>> {
        self.network.output(self.ids[place])
    }

    /// Sends what was written, waits for something to come, but no longer than `wait_max`, and gives
    /// every message that came to `heard`, with its connection's number. It is an error if nothing at
    /// all comes for long.
    pub fn turn(
        &mut self,
        wait_max: Option<Duration>,
        mut heard: impl FnMut(usize, FromServer<'_>) -> Result<(), BenchError>,
    ) -> Result<(), BenchError> {
        let mut events = std::mem::take(&mut self.events);
        let wait = wait_max.unwrap_or(SILENCE_MAX).min(SILENCE_MAX);
        self.network.poll(&mut events, Some(wait))?;
        if !events.is_empty() {
            self.heard_at = clock::now();
        } else if wait_max != Some(Duration::ZERO)
            && clock::now().since(self.heard_at) >= SILENCE_MAX
        {
            return Err(BenchError::Silent);
        }
        for event in events.drain(..) {
            match event {
                Event::Input(id) => self.hear(id, &mut heard)?,
                Event::ConnectFailed { error, .. } => {
                    let address = self.address;
                    return Err(BenchError::Unreachable { address, error });
                }
                Event::InputEnded(id) | Event::Closed { connection: id, .. }
                    if self.is_stalled(id) => {}
                Event::InputEnded(_) => {
                    return Err(BenchError::Closed("it has ended".to_owned()));
                }
                Event::Closed { reason, .. } => return Err(closed(reason)),
                Event::Signal(signal) => return Err(BenchError::Interrupted(signal)),
                _ => {}
            }
        }
        self.events = events;
        Ok(())
    }

    /// Asks nothing for so long, less than [`SILENCE_MAX`], and hears what is said all the same: it is an error
    /// if a connection ends.
    pub fn rest(&mut self, time: Duration) -> Result<(), BenchError> {
        self.heard_at = clock::now();
        let end = self.heard_at + time;
        while clock::now() < end {
            self.turn(Some(end.since(clock::now())), |_, message| {
                unasked(&message)
            })?;
        }
        Ok(())
    }

    fn hear(
        &mut self,
        id: ConnectionId,
        heard: &mut impl FnMut(usize, FromServer<'_>) -> Result<(), BenchError>,
    ) -> Result<(), BenchError> {
        let (Some(&place), Some(connection)) = (self.places.get(&id), self.network.connection(id))
        else {
            return Ok(());
        };
        let mut input = std::mem::take(connection.input());
        loop {
            match decode_from_server(input.bytes()) {
                Decoded::Incomplete => break,
                Decoded::Nothing { consumed } => input.consume(consumed),
                Decoded::Broken { refusal } => {
                    return Err(BenchError::Senseless(refusal.sentence.into_owned()));
                }
                Decoded::Message { message, consumed } => {
                    heard(place, message)?;
                    input.consume(consumed);
                }
            }
        }
        if let Some(connection) = self.network.connection(id) {
            *connection.input() = input;
        }
        Ok(())
    }

    /// Asks one thing on each of some connections, and waits for all the answers, which come back in
    /// the order of the questions. `what` says what it was, should one be refused.
    pub fn ask(
        &mut self,
        what: &'static str,
        questions: &[(usize, RequestNumber, Request<'_>)],
    ) -> Result<Vec<Answer<'static>>, BenchError> {
        let mut answers: Vec<Option<Answer<'static>>> = vec![None; questions.len()];
        let mut asked: HashMap<(usize, RequestNumber), usize> = HashMap::new();
        for (at, (place, number, request)) in questions.iter().enumerate() {
            asked.insert((*place, *number), at);
            if let Some(out) = self.output(*place) {
                encode_request(out, *number, *number, request);
            }
        }
        let mut open = questions.len();
        self.heard_at = clock::now();
        while open > 0 {
            self.turn(None, |place, message| match message {
                FromServer::Answer { number, answer } => {
                    let answer = answer.map_err(|refusal| refused(what, refusal))?;
                    if let Some(at) = asked.remove(&(place, number)) {
                        answers[at] = Some(answer);
                        open -= 1;
                    }
                    Ok(())
                }
                other => unasked(&other),
            })?;
        }
        Ok(answers.into_iter().flatten().collect())
    }
}

/// What a refusal means to a measurement.
pub(super) fn refused(what: &'static str, refusal: Refusal) -> BenchError {
    BenchError::Refused { what, refusal }
}

/// What a server may say without being asked, and what it may not.
pub(super) fn unasked(message: &FromServer<'_>) -> Result<(), BenchError> {
    match message {
        FromServer::Push(Push::Note {
            about: NoteKind::Closing | NoteKind::ServerStops | NoteKind::SteppedDown,
            sentence,
        }) => Err(BenchError::Closed((*sentence).to_owned())),
        FromServer::Push(_) => Ok(()),
        FromServer::Answer {
            answer: Err(refusal),
            ..
        } => Err(refused("what was asked", refusal.clone())),
        other => Err(BenchError::Senseless(format!("{other:?}"))),
    }
}

fn closed(reason: CloseReason) -> BenchError {
    BenchError::Closed(reason.to_string())
}
