//! What does one connection to one server go through, from its first byte to its last?
//!
//! A state machine without sockets and clocks, with the same face as the replica's:
//!
//! 1. the driver feeds it with [`Connection::handle_input`] (and [`Connection::handle_timeout`] when
//!    [`Connection::poll_timeout`] says so), and whoever uses the connection with [`Connection::ask`];
//! 2. after each of these the driver drains [`Connection::poll_output`] until it gives nothing more.
//!
//! ```text
//!            Connected          the server's hello
//!   Idle ───────────────► Greeting ──────────────► Open
//!     │                       │                      │   bytes that make no sense, an end,
//!     └───────────────────────┴──────────┬───────────┘   nothing heard for too long
//!                                        ▼
//!                                      Ended
//! ```
//!
//! Nothing but a hello is said before the other side has shown that it is a Lastword server: a
//! password must not go to a stranger. When the connection ends, the requests that have no answer
//! are handed back by their numbers: whether they were done is not known, and nobody may be told
//! that they were. What outlives a connection, a session above all, belongs to the
//! [`Client`](super::failover::Client).

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::event::{Ending, Input, Output, Part};
use crate::types::{ErrorCode, RequestNumber, Time};
use crate::wire::hello::{Hello, Role, encode_hello};
use crate::wire::message::{Answer, Item, Push, Refusal, Request};
use crate::wire::reply::decode_from_server;
use crate::wire::request::encode_request;
use crate::wire::{Decoded, FromServer};

/// One connection to one server.
#[derive(Debug)]
pub struct Connection {
    state: State,
    /// How the client calls itself in its hello.
    software: String,
    /// How long a server that owes something may be silent.
    silence_max: Duration,
    /// How long, if what it owes takes the computing of a password's hash, for which many may wait.
    hashing_max: Duration,
    /// Bytes that came and are not a whole frame yet: less than the largest frame.
    received: Vec<u8>,
    /// Requests without an answer. Empty unless the state is open.
    open: BTreeMap<RequestNumber, Open>,
    /// Since when the server owes something: the last time that it was heard, or the time at which
    /// it came to owe something again. Means something while it does.
    waiting_since: Time,
    /// In the order in which they happened.
    outputs: VecDeque<Output>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// There is no connection yet.
    Idle,
    /// It is up, and our hello was sent.
    Greeting,
    /// Both hellos were said.
    Open,
    /// It is over.
    Ended,
}

/// A request without an answer.
#[derive(Clone, Copy, Debug)]
struct Open {
    /// Whether an answer is one to this request.
    fits: fn(&Answer<'_>) -> bool,
    /// A password's hash has to be computed for it.
    hashes: bool,
}

impl Connection {
    /// A connection that is to be made, by a client that calls itself `software`. A server that owes
    /// an answer and says nothing for `silence_max` is given up; for `hashing_max`, where a
    /// password's hash has to be computed.
    pub fn new(software: &str, silence_max: Duration, hashing_max: Duration) -> Self {
        Self {
            state: State::Idle,
            software: software.to_owned(),
            silence_max,
            hashing_max: hashing_max.max(silence_max),
            received: Vec::new(),
            open: BTreeMap::new(),
            waiting_since: Time::default(),
            outputs: VecDeque::new(),
        }
    }

    /// Takes in what happened to the connection. After its end nothing more is taken in.
    pub fn handle_input(&mut self, input: Input<'_>, now: Time) {
        match (input, self.state) {
            (_, State::Ended) => {}
            (Input::Connected, _) => self.greet(now),
            (Input::Received(bytes), _) => self.receive(bytes, now),
            (Input::Closed, State::Idle | State::Greeting) => self.end(Ending::ClosedUngreeted),
            (Input::Closed, State::Open) => self.end(Ending::Closed),
            (Input::Failed(why), _) => self.end(Ending::Failed(why)),
        }
        self.check_invariants();
    }

    /// Notices what has taken too long.
    pub fn handle_timeout(&mut self, now: Time) {
        if self.poll_timeout().is_some_and(|at| at <= now) {
            self.end(match self.state {
                State::Greeting => Ending::Mute(self.silence_max),
                _ => Ending::Silent(self.patience()),
            });
        }
        self.check_invariants();
    }

    /// When [`Connection::handle_timeout`] wants to be called.
    pub fn poll_timeout(&self) -> Option<Time> {
        let owes = self.state == State::Greeting || !self.open.is_empty();
        owes.then(|| self.waiting_since + self.patience())
    }

    /// How long what the server owes may take.
    fn patience(&self) -> Duration {
        match self.open.values().any(|open| open.hashes) {
            true => self.hashing_max,
            false => self.silence_max,
        }
    }

    /// The next thing that the connection wants done or has to say.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Asks for something, under a number above all that are open here. `lowest_open` is the lowest
    /// number whose answer is still wanted.
    ///
    /// # Panics
    /// Before the hellos or after the end; and with a number that is open: our own mistakes.
    pub fn ask(
        &mut self,
        number: RequestNumber,
        lowest_open: RequestNumber,
        request: &Request<'_>,
        now: Time,
    ) {
        assert_eq!(self.state, State::Open, "only an open connection is asked");
        if self.open.is_empty() {
            self.waiting_since = now;
        }
        let open = Open {
            fits: answers_to(request),
            hashes: hashes(request),
        };
        let before = self.open.insert(number, open);
        assert!(before.is_none(), "a number names one open request");
        self.send(|out| encode_request(out, number, lowest_open, request));
        self.check_invariants();
    }

    /// Whether both hellos were said, and it has not ended.
    pub fn is_open(&self) -> bool {
        self.state == State::Open
    }

    /// Whether it is over.
    pub fn has_ended(&self) -> bool {
        self.state == State::Ended
    }

    /// Whether the server owes no answer.
    pub fn is_settled(&self) -> bool {
        self.open.is_empty()
    }

    /// When the server was heard last, or came to owe something.
    pub fn heard_at(&self) -> Time {
        self.waiting_since
    }

    fn greet(&mut self, now: Time) {
        assert_eq!(self.state, State::Idle, "a connection comes up once");
        self.state = State::Greeting;
        self.waiting_since = now;
        let hello = Hello::client(&self.software);
        self.send(|out| encode_hello(out, &hello));
    }

    fn receive(&mut self, bytes: &[u8], now: Time) {
        // A server that sends its text greeting over and over has still not said hello.
        if self.state == State::Open {
            self.waiting_since = now;
        }
        let mut received = std::mem::take(&mut self.received);
        received.extend_from_slice(bytes);
        let mut begin = 0;
        while self.state != State::Ended {
            match decode_from_server(&received[begin..]) {
                Decoded::Incomplete => break,
                Decoded::Message { message, consumed } => {
                    begin += consumed;
                    self.hear(message, now);
                }
                Decoded::Nothing { consumed } => begin += consumed,
                Decoded::Broken { refusal } => self.end(self.broken_off(refusal)),
            }
        }
        if self.state != State::Ended {
            received.drain(..begin);
            self.received = received;
        }
    }

    fn hear(&mut self, message: FromServer<'_>, now: Time) {
        match (message, self.state) {
            (FromServer::Hello(hello), State::Greeting) if hello.role == Role::Server => {
                self.state = State::Open;
                self.waiting_since = now;
                self.outputs.push_back(Output::Greeted(hello));
            }
            (FromServer::Hello(_), State::Greeting) => {
                self.end(Ending::Stranger("it says that it is a client".into()));
            }
            (FromServer::Hello(_), _) => self.nonsense("a second hello"),
            // The whole connection is meant: the server closes it.
            (
                FromServer::Answer {
                    number: RequestNumber(0),
                    answer: Err(refusal),
                },
                _,
            ) => self.end(Ending::Refused(refusal)),
            (_, State::Greeting) => {
                self.end(Ending::Stranger("its first frame is no hello".into()));
            }
            (FromServer::Answer { number, answer }, _) => self.settle(number, answer),
            (FromServer::Item { number, item }, _) => self.collect(number, item),
            (FromServer::Push(push), _) => self.take_push(push),
        }
    }

    fn settle(&mut self, number: RequestNumber, answer: Result<Answer<'static>, Refusal>) {
        let Some(open) = self.open.get(&number).copied() else {
            return self.nonsense("an answer to what was not asked");
        };
        if answer.as_ref().is_ok_and(|answer| !(open.fits)(answer)) {
            return self.nonsense("an answer to another question");
        }
        self.open.remove(&number);
        self.outputs.push_back(Output::Answered { number, answer });
    }

    fn collect(&mut self, number: RequestNumber, item: Item<'_>) {
        if !self.open.contains_key(&number) {
            return self.nonsense("a part of an answer to what was not asked");
        }
        let item = match item {
            Item::Line(line) => Part::Line(line.to_owned()),
            Item::Account { name, online } => Part::Account { name, online },
            Item::Message(message) => Part::Message(message.into()),
        };
        self.outputs.push_back(Output::Item { number, item });
    }

    fn take_push(&mut self, push: Push<'_>) {
        match push {
            Push::Message(message) => {
                self.outputs.push_back(Output::Delivered(message.into()));
            }
            Push::Note { about, sentence } => {
                self.outputs.push_back(Output::Noted {
                    about,
                    sentence: sentence.to_owned(),
                });
            }
        }
    }

    /// What it means that the bytes of the server cannot be understood, or say that it is over.
    fn broken_off(&self, refusal: Refusal) -> Ending {
        let is_our_reading = matches!(
            refusal.code,
            ErrorCode::BadArguments | ErrorCode::TooLong | ErrorCode::NotUtf8
        );
        match (is_our_reading, self.state) {
            (true, State::Open) => Ending::Nonsense(refusal.sentence.into_owned()),
            (true, _) => Ending::Stranger(refusal.sentence.into_owned()),
            // An error in a line of text, from a server that had no time to see our hello.
            (false, _) => Ending::Refused(refusal),
        }
    }

    fn nonsense(&mut self, what: &str) {
        self.end(Ending::Nonsense(what.to_owned()));
    }

    fn end(&mut self, ending: Ending) {
        self.state = State::Ended;
        self.received = Vec::new();
        let open = std::mem::take(&mut self.open).into_keys().collect();
        self.outputs.push_back(Output::Ended { ending, open });
    }

    /// Adds to what is to be sent; one piece for all that is asked in one go.
    fn send(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        match self.outputs.back_mut() {
            Some(Output::Send(bytes)) => write(bytes),
            _ => {
                let mut bytes = Vec::new();
                write(&mut bytes);
                self.outputs.push_back(Output::Send(bytes));
            }
        }
    }

    fn check_invariants(&self) {
        debug_assert!(self.open.is_empty() || self.state == State::Open);
        debug_assert!(self.state != State::Ended || self.received.is_empty());
    }
}

/// Which answers answer a request.
fn answers_to(request: &Request<'_>) -> fn(&Answer<'_>) -> bool {
    match request {
        Request::Help => |answer| matches!(answer, Answer::Helped),
        Request::Ping => |answer| matches!(answer, Answer::Pong),
        Request::Create { .. } => |answer| matches!(answer, Answer::Created { .. }),
        Request::Login { .. } | Request::Resume { .. } => {
            |answer| matches!(answer, Answer::LoggedIn { .. })
        }
        Request::Logout => |answer| matches!(answer, Answer::LoggedOut),
        Request::Delete { .. } => |answer| matches!(answer, Answer::Deleted { .. }),
        Request::List { .. } => |answer| matches!(answer, Answer::Listed { .. }),
        Request::Send { .. } => |answer| matches!(answer, Answer::Sent { .. }),
        Request::History { .. } | Request::Log { .. } => {
            |answer| matches!(answer, Answer::Messages { .. })
        }
        Request::Acknowledge { .. } => |answer| matches!(answer, Answer::Acknowledged { .. }),
        Request::WhoAmI => |answer| matches!(answer, Answer::You { .. }),
        Request::Status => |answer| matches!(answer, Answer::Reported),
        Request::Quit => |answer| matches!(answer, Answer::Bye),
    }
}

/// Whether a password's hash is computed for it.
fn hashes(request: &Request<'_>) -> bool {
    matches!(
        request,
        Request::Create { .. } | Request::Login { .. } | Request::Delete { .. }
    )
}

#[cfg(test)]
mod tests;
