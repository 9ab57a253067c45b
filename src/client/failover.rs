//! How does a client stay with whoever serves, while servers come and go?
//!
//! A state machine without sockets and clocks, with the same face as the replica's:
//!
//! 1. the driver feeds it with [`Client::handle_input`] (and [`Client::handle_timeout`] when
//!    [`Client::poll_timeout`] says so), and whoever uses it with [`Client::ask`];
//! 2. after each of these the driver drains [`Client::poll_output`] until it gives nothing more.
//!
//! ```text
//!            Dial            hellos             RESUME, if there is a session
//!   (none) ───────► Greeting ──────► Resuming ──────► Serving
//!                      │                │  ▲              │  not_ready
//!                      │                ▼  │ it is, or a  │
//!                      │              Waiting ◄───────────┘
//!                      │                │   second later
//!                      └────────────────┴──► gone: the next server is tried
//! ```
//!
//! Of all connections at most one serves. When it ends, refuses to be the primary or says nothing for
//! too long, the others are tried: where the refusal pointed first, then the members of the cluster,
//! then whatever was named, one after the other, and the next one already while one is slow. After a
//! round in vain there is a pause, which grows up to [`PAUSE_MAX`] and is never quite the same, and then
//! another round: a client never gives up.
//!
//! What was asked stays open until it is answered, and goes to the next server under the same numbers,
//! in the same order; the session makes that safe. Messages come once and in order: a new
//! connection asks for what came after the last one that was seen. A server that knows less than
//! one that was heard before is not believed.
//!
//! ```
//! use lastword::client::failover::{Client, Input, Output, Settings};
//! use lastword::types::Time;
//! use lastword::wire::message::Request;
//!
//! let server = "127.0.0.1:5000".parse().unwrap();
//! let mut client = Client::new(Settings::new(vec![server], 7), Time(0));
//! // Asked before there is a connection: it waits for one.
//! let ping = client.ask(&Request::Ping, Time(0)).unwrap();
//!
//! // Whoever drives it makes connections, and tells what becomes of them.
//! let Some(Output::Dial { link, address }) = client.poll_output() else { panic!() };
//! assert_eq!(address, server);
//! client.handle_input(Input::Failed(link, "nothing listens there".into()), Time(1_000));
//!
//! // There is a pause now, after which the servers are tried again.
//! let again = client.poll_timeout().unwrap();
//! while client.poll_output().is_some() {}
//! client.handle_timeout(again);
//! assert!(matches!(client.poll_output(), Some(Output::Dial { .. })));
//! assert!(client.trying_for(ping, again).is_some(), "nobody gave up");
//! ```

mod asking;
mod deliveries;
mod face;
mod finding;
mod heartbeat;
mod links;
mod wish;

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

pub use asking::AskError;
pub use face::{Change, Input, LinkId, Output, Settings};
pub use finding::PAUSE_MAX;

use self::asking::Open;
use self::deliveries::Deliveries;
use self::finding::{Known, Search};
use self::links::{Link, Stage};
use self::wish::{Login, Wish};
use super::event::{Input as LinkInput, Output as LinkOutput};
use crate::limits::SESSION_OPEN_REQUESTS_MAX;
use crate::types::{
    ErrorCode, Name, OpNumber, RequestNumber, Secret, ServerId, SessionId, Time, ViewNumber,
};
use crate::wire::message::{Deliver, NoteKind, Refusal};

/// As whom one is logged in, and what it takes to be so again with another server.
#[derive(Clone, Debug, PartialEq)]
pub struct Identity {
    /// The account.
    pub name: Name,
    /// The session; `None` if the login asked for none.
    pub session: Option<SessionId>,
    /// What the session can be resumed with.
    secret: Option<Secret>,
    /// What the login was made with.
    login: Login,
}

/// A client of a cluster.
#[derive(Debug)]
pub struct Client {
    settings: Settings,
    /// Every connection that has not ended.
    links: BTreeMap<LinkId, Link>,
    /// The one that serves, in stage [`Stage::Serving`].
    current: Option<LinkId>,
    links_made: u64,
    /// The number of the next request: above every number that was ever used here.
    next_number: RequestNumber,
    /// Requests without an answer, a user's and the client's own.
    open: BTreeMap<RequestNumber, Open>,
    identity: Option<Identity>,
    deliveries: Deliveries,
    search: Search,
    known: Known,
    /// A connection is wanted though nothing depends on it: until the first one is there.
    is_new: bool,
    /// Since when there is none that serves, after there was one: one that is left for its silence
    /// served until it was heard last.
    down_since: Option<Time>,
    /// When the state of the cluster was asked for last.
    status_at: Time,
    sabotage: Sabotage,
    /// In the order in which they happened.
    outputs: VecDeque<Output>,
}

/// Rules that a test has taken out, to see that they are missed.
#[doc(hidden)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sabotage {
    /// After a failover a new session is opened, in which all numbers are new.
    pub another_session: bool,
    /// After a failover nothing is known of what has come.
    pub seen_forgotten: bool,
    /// A server is believed whatever it knows.
    pub behind_believed: bool,
}

impl Client {
    /// A client that looks for a server at once.
    pub fn new(settings: Settings, now: Time) -> Self {
        let mut client = Self {
            search: Search::new(settings.seed, now),
            known: Known::new(&settings.members),
            settings,
            links: BTreeMap::new(),
            current: None,
            links_made: 0,
            next_number: RequestNumber(1),
            open: BTreeMap::new(),
            identity: None,
            deliveries: Deliveries::default(),
            is_new: true,
            down_since: None,
            status_at: now,
            sabotage: Sabotage::default(),
            outputs: VecDeque::new(),
        };
        client.go_on(now);
        client
    }

    /// Takes in what happened to a connection.
    pub fn handle_input(&mut self, input: Input<'_>, now: Time) {
        let (id, input) = match input {
            Input::Connected(id) => (id, LinkInput::Connected),
            Input::Failed(id, why) => (id, LinkInput::Failed(why)),
            Input::Received(id, bytes) => (id, LinkInput::Received(bytes)),
            Input::Closed(id) => (id, LinkInput::Closed),
        };
        if let Some(link) = self.links.get_mut(&id) {
            link.connection.handle_input(input, now);
            self.drain(id, now);
        }
        self.go_on(now);
    }

    /// Notices what has taken too long, and goes on after pauses.
    pub fn handle_timeout(&mut self, now: Time) {
        for id in self.links.keys().copied().collect::<Vec<_>>() {
            self.link_timeout(id, now);
        }
        self.go_on(now);
    }

    /// When [`Client::handle_timeout`] wants to be called.
    pub fn poll_timeout(&self) -> Option<Time> {
        let links = self.links.values().filter_map(|link| self.timeout_of(link));
        let own = [self.heartbeat_at(), self.retry_at(), self.dial_at()];
        links.chain(own.into_iter().flatten()).min()
    }

    /// The next thing that the client wants done or has to say.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// As whom one is logged in, whether there is a connection or not.
    pub fn identity(&self) -> Option<&Identity> {
        self.identity.as_ref()
    }

    /// The server that serves this client now: its address, its id (0 while it has none), and the
    /// newest view that it knew when the connection began.
    pub fn server(&self) -> Option<(std::net::SocketAddr, ServerId, ViewNumber)> {
        let link = self.links.get(&self.current?)?;
        let hello = link.hello.as_ref()?;
        Some((link.address, hello.server, hello.view))
    }

    /// For how long there has been no server that serves, after there was one.
    pub fn down_for(&self, now: Time) -> Option<Duration> {
        self.down_since.map(|since| now.since(since))
    }

    /// The highest id of a message that has come.
    pub fn last_seen(&self) -> OpNumber {
        self.deliveries.last_seen()
    }

    #[doc(hidden)]
    pub fn sabotage(&mut self, sabotage: Sabotage) {
        self.sabotage = sabotage;
    }

    /// After everything that happened: what there is to look for is looked for, and what there is
    /// to send is sent, also by a connection that serves only now.
    fn go_on(&mut self, now: Time) {
        self.seek(now);
        self.send_open(now);
        // What was asked of a new connection, and what the connections have to say to all that.
        for id in self.links.keys().copied().collect::<Vec<_>>() {
            self.drain(id, now);
        }
        self.check_invariants();
    }

    /// Takes what a connection has to say.
    fn drain(&mut self, id: LinkId, now: Time) {
        loop {
            let link = self.links.get_mut(&id);
            let Some(output) = link.and_then(|link| link.connection.poll_output()) else {
                return;
            };
            match output {
                LinkOutput::Send(bytes) => self.outputs.push_back(Output::Send { link: id, bytes }),
                LinkOutput::Greeted(hello) => self.greeted(id, hello, now),
                LinkOutput::Item { number, item } => self.collect(id, number, item),
                LinkOutput::Answered { number, answer } => self.heard(id, number, answer, now),
                LinkOutput::Delivered(message) if self.current == Some(id) => {
                    self.take_delivery(message);
                }
                LinkOutput::Delivered(_) => {}
                LinkOutput::Noted { about, sentence } => self.noted(id, about, sentence, now),
                LinkOutput::Ended { ending, .. } => self.link_ended(id, ending, now),
            }
        }
    }

    fn noted(&mut self, id: LinkId, about: NoteKind, sentence: String, now: Time) {
        match about {
            NoteKind::Ready => self.is_ready(id, now),
            _ if self.current != Some(id) => return,
            // A refusal will say so, too, when something is asked; but nothing may be asked for long.
            NoteKind::SteppedDown => {
                let refusal = Refusal::new(ErrorCode::NotPrimary, sentence.clone());
                self.sent_elsewhere(id, refusal, now);
            }
            NoteKind::SessionEnded => {
                let why = Refusal::new(ErrorCode::SessionGone, sentence.clone());
                self.session_is_gone(why, now);
            }
            NoteKind::AccountDeleted => {
                let why = Refusal::new(ErrorCode::NoSuchAccount, sentence.clone());
                self.session_is_gone(why, now);
            }
            // Who is sent away for doing nothing comes back when there is something to do.
            NoteKind::Closing if !self.wants_link() => return,
            _ => {}
        }
        self.outputs.push_back(Output::Noted { about, sentence });
    }

    /// Nobody is logged in any more, and nobody asked for that. What may have been done cannot be
    /// found out; what was not sent is refused, and reads are, too.
    fn session_is_gone(&mut self, why: Refusal, now: Time) {
        let Some(identity) = self.identity.take() else {
            return;
        };
        for number in self.open.keys().copied().collect::<Vec<_>>() {
            self.settle_without_session(number, &why, now);
        }
        let name = identity.name;
        self.outputs
            .push_back(Output::Changed(Change::LoggedOut { name, why }));
    }

    /// A login whose deliveries begin where those before ended.
    fn login_again(identity: &Identity, deliveries: &Deliveries) -> Login {
        let deliver = match identity.login.deliver {
            Deliver::Nothing => Deliver::Nothing,
            other => match deliveries.last_seen() {
                OpNumber::ZERO => other,
                seen => Deliver::After(seen),
            },
        };
        Login {
            deliver,
            ..identity.login.clone()
        }
    }

    fn check_invariants(&self) {
        debug_assert!(self.links.iter().all(|(id, link)| {
            matches!(link.stage, Stage::Serving) == (self.current == Some(*id))
        }));
        debug_assert!(self.open.keys().all(|number| *number < self.next_number));
        debug_assert!(
            self.next_number.0 - self.lowest_open().0 <= SESSION_OPEN_REQUESTS_MAX,
            "no server would take the newest request"
        );
    }
}

#[cfg(test)]
mod tests;
