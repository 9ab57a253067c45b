//! What has happened, and what has to be sent?
//!
//! A turn, as the server calls it:
//!
//! 1. [`EventLoop::poll`] waits, reads, and says what has happened.
//! 2. The server handles the events in their order: takes input ([`EventLoop::connection`]),
//!    appends output ([`EventLoop::output`]), pauses, resumes and closes, sets timers.
//! 3. [`EventLoop::flush`] sends what was appended, once for all answers of the turn. It may be
//!    called earlier, too, for what is not to wait for the rest (a Prepare on its way to the
//!    backups while the own disk is busy).
//!
//! An id never names another connection than the one it was made for. A connection may be closed
//! while events for it are still to be handled; [`EventLoop::connection`] and [`EventLoop::output`]
//! then say `None`.

use super::accepting::Accepting;
use super::clock;
use super::config::LoopConfig;
use super::connecting::FailedAtOnce;
use super::connection::{CloseReason, Connection, State};
use super::crowd::Crowd;
use super::event::{Event, Waker};
use super::listener::{Listener, ListenerTag, Listening};
use super::registry::{ConnectionId, Entry, Key, ListenerId, Registry, SIGNALS, WAKER};
use super::signals::{self, Signal};
use super::timers::{TimerId, Timers};
use crate::types::Time;
use mio::{Events, Interest, Poll};
use rustix::io::Errno;
use signal_hook_mio::v1_0::Signals;
use std::collections::VecDeque;
use std::io;
use std::time::Duration;

/// What a timer of the loop means.
#[derive(Clone, Copy, Debug)]
pub(super) enum Alarm<T> {
    /// What the caller has set.
    Caller(T),
    /// A connection's deadline, see [`Connection`].
    Deadline(ConnectionId),
    /// Accepting is tried again.
    Accept,
}

/// One poll and everything that is registered with it. `T` is what a timer means to the caller.
pub struct EventLoop<T> {
    /// The limits; they never change.
    pub(super) config: LoopConfig,
    /// The kernel's side.
    pub(super) poll: Poll,
    /// Room for what a poll gives: empty between polls.
    polled: Events,
    /// Connections and listeners.
    pub(super) registry: Registry,
    /// The listeners in the registry.
    pub(super) listeners: Vec<ListenerId>,
    /// How many connections there are, links included: at most the configured maximum.
    pub(super) connections: usize,
    /// How many clients there are.
    pub(super) crowd: Crowd,
    /// Those who came in beyond a cap, oldest first. Some of them may be gone, or links by now.
    pub(super) beyond: VecDeque<ConnectionId>,
    /// Whether accepting pauses.
    pub(super) accepting: Accepting,
    /// Who has something to read or to accept, in the order in which they get their turn. An
    /// entry stands there once at most, and may be gone by its turn.
    pub(super) ready: VecDeque<Key>,
    /// Connections that the caller has had in its hands since the last poll, each once: it may have
    /// resumed them, or have consumed input.
    pub(super) touched: Vec<ConnectionId>,
    /// Connections that may have something to write, or to be done with writing, each once.
    pub(super) dirty: Vec<ConnectionId>,
    /// Events that came up outside of a poll; the next one gives them first.
    pub(super) pending: Vec<Event<T>>,
    /// Connections that failed as they began, of which the next poll tells.
    pub(super) failed_at_once: Vec<FailedAtOnce>,
    /// Every deadline, the caller's included.
    pub(super) timers: Timers<Alarm<T>>,
    /// Where bytes are read to, before it is known how many there are: as long as the longest read.
    pub(super) scratch: Vec<u8>,
    /// How other threads end a wait.
    waker: Waker,
    /// The signals, once they are caught.
    signals: Option<Signals>,
}

impl<T> EventLoop<T> {
    /// A loop without listeners.
    ///
    /// # Errors
    ///
    /// When the system has no descriptors left for the poll and the waker.
    pub fn new(config: LoopConfig) -> io::Result<Self> {
        assert!(config.read_budget_bytes > 0 && config.turn_read_budget_bytes > 0);
        assert!(config.link_read_budget_bytes > 0);
        assert!(config.accept_budget > 0 && config.events_per_poll > 0);
        assert!(config.input_bytes_max > 0);
        let poll = Poll::new()?;
        let waker = Waker::new(poll.registry())?;
        Ok(Self {
            poll,
            polled: Events::with_capacity(config.events_per_poll),
            registry: Registry::new(),
            listeners: Vec::new(),
            connections: 0,
            crowd: Crowd::new(
                config.clients_max,
                config.clients_per_ip_max,
                config.refusals_max,
            ),
            beyond: VecDeque::new(),
            accepting: Accepting::default(),
            ready: VecDeque::new(),
            touched: Vec::new(),
            dirty: Vec::new(),
            pending: Vec::new(),
            failed_at_once: Vec::new(),
            timers: Timers::default(),
            scratch: vec![0; config.read_budget_bytes.max(config.link_read_budget_bytes)],
            waker,
            signals: None,
            config,
        })
    }

    /// Accepts connections from `listener` from now on, until it is told to stop.
    pub fn listen(&mut self, mut listener: Listener, tag: ListenerTag) -> io::Result<ListenerId> {
        listener.open()?;
        let token = self.registry.key_next().token();
        let socket = listener.socket();
        self.poll
            .registry()
            .register(socket, token, Interest::READABLE)?;
        let listening = Listening::new(listener, tag);
        let id = ListenerId::new(self.registry.insert(Entry::Listening(listening)));
        self.listeners.push(id);
        Ok(id)
    }

    /// Closes the listener's socket at once. The connections that came in there stay.
    pub fn stop_listening(&mut self, id: ListenerId) {
        self.listeners.retain(|listener| *listener != id);
        self.registry.vacate(id.key());
    }

    /// From now on SIGINT and SIGTERM come as events, and no longer end the process.
    pub fn catch_signals(&mut self) -> io::Result<()> {
        let mut signals = signals::catch()?;
        self.poll
            .registry()
            .register(&mut signals, SIGNALS, Interest::READABLE)?;
        self.signals = Some(signals);
        Ok(())
    }

    /// How other threads end a wait.
    pub fn waker(&self) -> Waker {
        self.waker.clone()
    }

    /// The input of a turn, appended to `events`. Waits until there is some, but no longer than
    /// `wait_max`; not at all if there is something left from the last turn. A signal or spurious
    /// news may end the wait without an event. What the caller has not flushed is flushed first.
    pub fn poll(
        &mut self,
        events: &mut Vec<Event<T>>,
        wait_max: Option<Duration>,
    ) -> io::Result<()> {
        self.flush();
        self.registry.sweep();
        self.list_touched();
        let wait = self.wait(wait_max);
        events.append(&mut self.pending);
        self.tell_failed_at_once(events);
        match self.poll.poll(&mut self.polled, wait) {
            Ok(()) => self.take_polled(events),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
        self.serve_ready(events);
        self.expire(events);
        Ok(())
    }

    /// The connection, unless it is gone or being closed.
    pub fn connection(&mut self, id: ConnectionId) -> Option<&mut Connection> {
        let connection = self.registry.connection(id.key())?;
        if connection.state().is_closing() {
            return None;
        }
        if !connection.touched {
            connection.touched = true;
            self.touched.push(id);
        }
        Some(connection)
    }

    /// How many clients there are within the caps, those that are being closed included.
    pub fn clients(&self) -> usize {
        self.crowd.clients()
    }

    /// Sets a timer; `what` comes back as [`Event::Timer`] when it is due.
    pub fn set_timer(&mut self, at: Time, what: T) -> TimerId {
        self.timers.set(at, Alarm::Caller(what))
    }

    /// Cancels a timer, and says whether it was still to come. Its event may be among those of
    /// this turn already.
    pub fn cancel_timer(&mut self, id: TimerId) -> bool {
        self.timers.cancel(id).is_some()
    }

    /// Puts those on the ready list that the caller has made ready.
    fn list_touched(&mut self) {
        let mut touched = std::mem::take(&mut self.touched);
        for id in touched.drain(..) {
            if let Some(connection) = self.registry.connection(id.key()) {
                connection.touched = false;
            }
            self.list(id.key());
        }
        self.touched = touched;
    }

    /// Puts a connection at the end of the ready list if it belongs there and is not there.
    pub(super) fn list(&mut self, key: Key) {
        let Some(connection) = self.registry.connection(key) else {
            return;
        };
        connection.check_invariants();
        if !connection.listed && connection.wants_turn() {
            connection.listed = true;
            self.ready.push_back(key);
        }
    }

    fn wait(&mut self, wait_max: Option<Duration>) -> Option<Duration> {
        let has_news = !self.pending.is_empty() || !self.failed_at_once.is_empty();
        if has_news || !self.ready.is_empty() {
            return Some(Duration::ZERO);
        }
        let until_timer = self.timers.next_at().map(|at| at.since(clock::now()));
        match (wait_max, until_timer) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        }
    }

    fn take_polled(&mut self, events: &mut Vec<Event<T>>) {
        // Handling needs all of the loop, but not the room for the events.
        let polled = std::mem::replace(&mut self.polled, Events::with_capacity(0));
        for event in &polled {
            match event.token() {
                WAKER => events.push(Event::Woken),
                SIGNALS => self.take_signals(events),
                token => self.take_readiness(Key::of(token), event, events),
            }
        }
        self.polled = polled;
    }

    fn take_signals(&mut self, events: &mut Vec<Event<T>>) {
        let pending = self
            .signals
            .iter_mut()
            .flat_map(|signals| signals.pending());
        events.extend(pending.filter_map(Signal::of).map(Event::Signal));
    }

    fn take_readiness(&mut self, key: Key, event: &mio::event::Event, events: &mut Vec<Event<T>>) {
        match self.registry.entry(key) {
            Some(Entry::Connection(_)) => {
                self.take_connection_readiness(key, event, events);
            }
            Some(Entry::Listening(listening)) => {
                listening.readable = true;
                if !listening.listed {
                    listening.listed = true;
                    self.ready.push_back(key);
                }
            }
            // It was closed after the kernel had noted the event.
            Some(Entry::Vacated) | None => {}
        }
    }

    /// Gives everybody on the ready list a turn, until this turn has read enough.
    fn serve_ready(&mut self, events: &mut Vec<Event<T>>) {
        let mut budget_bytes = self.config.turn_read_budget_bytes;
        for _ in 0..self.ready.len() {
            if budget_bytes == 0 {
                return;
            }
            let Some(key) = self.ready.pop_front() else {
                return;
            };
            match self.registry.entry(key) {
                Some(Entry::Connection(_)) => {
                    let read_bytes = self.serve_connection(key, events);
                    budget_bytes = budget_bytes.saturating_sub(read_bytes);
                }
                Some(Entry::Listening(_)) => self.accept(key, events),
                Some(Entry::Vacated) | None => {}
            }
        }
    }

    fn expire(&mut self, events: &mut Vec<Event<T>>) {
        let now = clock::now();
        while let Some(alarm) = self.timers.pop_due(now) {
            match alarm {
                Alarm::Caller(what) => events.push(Event::Timer(what)),
                Alarm::Deadline(id) => self.miss_deadline(id, events),
                Alarm::Accept => self.accept_again(),
            }
        }
    }

    fn miss_deadline(&mut self, id: ConnectionId, events: &mut Vec<Event<T>>) {
        let Some(connection) = self.registry.connection(id.key()) else {
            return;
        };
        connection.deadline = None;
        match connection.state() {
            State::Connecting => {
                return self.fail_to_connect(id.key(), &Errno::TIMEDOUT.into(), events);
            }
            State::Open | State::InputEnded => events.push(Event::Closed {
                connection: id,
                reason: CloseReason::TooSlow,
            }),
            State::Closing | State::ClosingInputEnded | State::Lingering => {}
        }
        self.free(id.key());
    }
}
