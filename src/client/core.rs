//! What does one connection to one server go through, from its first byte to its last?
//!
//! A state machine without sockets and clocks, with the same face as the replica's:
//!
//! 1. the driver feeds it with [`Core::handle_input`] (and [`Core::handle_timeout`] when
//!    [`Core::poll_timeout`] says so), and whoever uses the connection with [`Core::ask`];
//! 2. after each of these the driver drains [`Core::poll_output`] until it gives nothing more.
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
//! that they were. A session, its secret and the last message seen outlive the connection for whoever
//! resumes it elsewhere.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::event::{Ending, Input, Output, Part};
use crate::limits::SESSION_OPEN_REQUESTS_MAX;
use crate::types::{ErrorCode, Name, OpNumber, RequestNumber, Secret, SessionId, Time};
use crate::wire::hello::{Hello, Role, encode_hello};
use crate::wire::message::{Answer, Item, NoteKind, Push, Refusal, Request};
use crate::wire::reply::decode_from_server;
use crate::wire::request::encode_request;
use crate::wire::{Decoded, FromServer};

/// Why something could not be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AskError {
    /// There is no server that could be asked.
    #[error("there is no connection to a server")]
    NotOpen,
    /// As many requests are open as may be: one of them has to be answered first.
    #[error("too many requests are open")]
    TooManyOpen,
}

/// As whom the connection is logged in, and what it takes to be so again elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The account.
    pub name: Name,
    /// The session; `None` if the login asked for none.
    pub session: Option<SessionId>,
    /// What the session can be resumed with.
    pub secret: Option<Secret>,
}

/// One connection to one server.
#[derive(Debug)]
pub struct Core {
    state: State,
    /// How the client calls itself in its hello.
    software: String,
    /// How long a server that owes something may be silent.
    silence_max: Duration,
    /// Bytes that came and are not a whole frame yet: less than the largest frame.
    received: Vec<u8>,
    /// The number of the next request: above every number that was ever used here.
    next_number: RequestNumber,
    /// Requests without an answer. Empty unless the state is open.
    open: BTreeMap<RequestNumber, Open>,
    /// Since when the server owes something: the last time that it was heard, or the time at which
    /// it came to owe something again. Means something while it does.
    waiting_since: Time,
    /// Who is logged in.
    identity: Option<Identity>,
    /// The highest id of a message that was delivered. What was sent from here does not count: a message
    /// with a lower id may still be on its way.
    last_seen: OpNumber,
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
    /// What a login or a resume logs in with.
    login: Option<(Option<SessionId>, Option<Secret>)>,
}

impl Core {
    /// A connection that is to be made, by a client that calls itself `software`. A server that owes
    /// an answer and says nothing for `silence_max` is given up.
    pub fn new(software: &str, silence_max: Duration) -> Self {
        Self {
            state: State::Idle,
            software: software.to_owned(),
            silence_max,
            received: Vec::new(),
            next_number: RequestNumber(1),
            open: BTreeMap::new(),
            waiting_since: Time::default(),
            identity: None,
            last_seen: OpNumber::ZERO,
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
                _ => Ending::Silent(self.silence_max),
            });
        }
        self.check_invariants();
    }

    /// When [`Core::handle_timeout`] wants to be called.
    pub fn poll_timeout(&self) -> Option<Time> {
        let owes = self.state == State::Greeting || !self.open.is_empty();
        owes.then(|| self.waiting_since + self.silence_max)
    }

    /// The next thing that the connection wants done or has to say.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Asks for something. What a server has to remember to answer a retry alike, the session, is
    /// the asker's to name.
    ///
    /// # Errors
    /// Nothing was asked: see [`AskError`].
    pub fn ask(&mut self, request: &Request<'_>, now: Time) -> Result<RequestNumber, AskError> {
        if self.state != State::Open {
            return Err(AskError::NotOpen);
        }
        if !self.can_ask() {
            return Err(AskError::TooManyOpen);
        }
        if self.open.is_empty() {
            self.waiting_since = now;
        }
        let number = self.next_number;
        self.next_number = RequestNumber(number.0 + 1);
        self.open.insert(
            number,
            Open {
                fits: answers_to(request),
                login: login_of(request),
            },
        );
        let lowest_open = self.lowest_open();
        self.send(|out| encode_request(out, number, lowest_open, request));
        self.check_invariants();
        Ok(number)
    }

    /// Whether one more request may be asked now.
    pub fn can_ask(&self) -> bool {
        // A server counts from the lowest open number on, answered or not.
        let span = self.next_number.0 - self.lowest_open().0;
        self.state == State::Open && span < SESSION_OPEN_REQUESTS_MAX
    }

    /// Makes it ready for another connection, after one that ended with nobody logged in and
    /// nothing asked: there is nothing to go on with.
    ///
    /// # Panics
    /// If the connection has not ended, or something depended on it: our own mistakes.
    pub fn renew(&mut self) {
        assert_eq!(self.state, State::Ended, "only what has ended is renewed");
        assert!(self.identity.is_none() && self.open.is_empty());
        self.state = State::Idle;
        self.received.clear();
    }

    /// As whom one is logged in.
    pub fn identity(&self) -> Option<&Identity> {
        self.identity.as_ref()
    }

    /// The highest id of a message that was delivered: what came after it is what a resumed
    /// session asks for.
    pub fn last_seen(&self) -> OpNumber {
        self.last_seen
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
        match &answer {
            Ok(Answer::LoggedIn { name, secret, .. }) => {
                let (session, known_secret) = open.login.unwrap_or_default();
                self.identity = Some(Identity {
                    name: *name,
                    session,
                    secret: secret.or(known_secret),
                });
            }
            Ok(Answer::LoggedOut | Answer::Deleted { .. }) => self.identity = None,
            Err(refusal)
                if matches!(
                    refusal.code,
                    ErrorCode::NotLoggedIn | ErrorCode::SessionGone
                ) =>
            {
                self.identity = None;
            }
            _ => {}
        }
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
                self.last_seen = self.last_seen.max(message.id);
                self.outputs.push_back(Output::Delivered(message.into()));
            }
            Push::Note { about, sentence } => {
                if matches!(about, NoteKind::SessionEnded | NoteKind::AccountDeleted) {
                    self.identity = None;
                }
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

    fn lowest_open(&self) -> RequestNumber {
        self.open
            .first_key_value()
            .map_or(self.next_number, |(number, _)| *number)
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
        debug_assert!(self.open.keys().all(|number| *number < self.next_number));
        debug_assert!(
            self.next_number.0 - self.lowest_open().0 <= SESSION_OPEN_REQUESTS_MAX,
            "no server would take the newest request"
        );
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

/// The session and the secret that a login will have been made with.
fn login_of(request: &Request<'_>) -> Option<(Option<SessionId>, Option<Secret>)> {
    match request {
        Request::Login { session, .. } => Some((*session, None)),
        Request::Resume {
            session, secret, ..
        } => Some((Some(*session), Some(*secret))),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
