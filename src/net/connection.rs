//! In which part of its life is a connection, and what may it do there?
//!
//! ```text
//!   Connecting
//!      │ it comes about
//!      ▼     the peer ends its half
//!     Open ────────────────────────► InputEnded
//!      │                                  │          close_when_sent
//!      ▼     the peer ends its half       ▼
//!   Closing ────────────────────► ClosingInputEnded
//!      │                                  │          everything is sent
//!      ▼                                  ▼
//!  Lingering ─────────────────────────► gone
//! ```
//!
//! Being gone is not a state: the registry then no longer knows the connection. An error, a limit
//! or `close` leads there from everywhere. One that came in is open from the beginning; one that
//! goes out has to come about first.

use super::crowd::Place;
use super::input::Input;
use super::listener::ListenerTag;
use super::send_queue::SendQueue;
use super::timers::TimerId;
use mio::net::TcpStream;
use rustix::io::Errno;
use std::net::SocketAddr;
use std::{fmt, io};

/// A part of a connection's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// The peer has not answered yet. Nothing is read, and what is queued waits.
    Connecting,
    /// Both halves are open.
    Open,
    /// The peer will send no more; it may still read.
    InputEnded,
    /// What is queued is being sent, and what comes in is thrown away.
    Closing,
    /// What is queued is being sent to a peer that will send no more.
    ClosingInputEnded,
    /// Everything was sent and our half is closed. What comes in is thrown away until the peer ends
    /// its half: closing a socket that has unread bytes sends a reset, which may overtake our last
    /// answer.
    Lingering,
}

impl State {
    /// The table of transitions.
    fn may_become(self, next: Self) -> bool {
        matches!(
            (self, next),
            (Self::Connecting, Self::Open)
                | (Self::Open, Self::InputEnded | Self::Closing)
                | (Self::InputEnded, Self::ClosingInputEnded)
                | (Self::Closing, Self::ClosingInputEnded | Self::Lingering)
        )
    }

    /// Whether there is anything to read.
    fn reads(self) -> bool {
        matches!(self, Self::Open | Self::Closing | Self::Lingering)
    }

    /// Whether the caller has let go of it.
    pub(super) fn is_closing(self) -> bool {
        matches!(
            self,
            Self::Closing | Self::ClosingInputEnded | Self::Lingering
        )
    }
}

/// Why a connection is gone that nobody here has closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseReason {
    /// The peer has said so, by a reset: its process is gone, or has cut the connection. What was
    /// sent last may not have arrived. (It is evidence against a server, as [`Event::InputEnded`]
    /// is; no other reason is.)
    ///
    /// [`Event::InputEnded`]: super::Event::InputEnded
    Reset,
    /// The peer has not read for so long that its send queue stayed full beyond the limit.
    TooSlow,
    /// It came in beyond a cap, and so many have done so since that its place was needed.
    Crowded,
    /// The system says that it cannot go on: the peer's machine is silent, or cannot be reached.
    /// Nobody knows about the peer itself.
    Failed(io::ErrorKind),
}

impl CloseReason {
    pub(super) fn of(error: &io::Error) -> Self {
        match Errno::from_io_error(error) {
            // A socket that timed out says so before it says EPIPE, and is freed when it does.
            Some(Errno::CONNRESET | Errno::PIPE) => Self::Reset,
            _ => Self::Failed(error.kind()),
        }
    }
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reset => f.write_str("the peer has cut the connection"),
            Self::TooSlow => f.write_str("the peer does not read what it is sent"),
            Self::Crowded => f.write_str("too many others have come"),
            Self::Failed(kind) => kind.fmt(f),
        }
    }
}

/// A connection, as the event loop lends it out.
#[derive(Debug)]
pub struct Connection {
    /// The socket, registered for reading and writing from its first moment to its last.
    pub(super) socket: TcpStream,
    /// The other end.
    peer: SocketAddr,
    /// Where it came in, if it did.
    listener: Option<ListenerTag>,
    /// How it is counted.
    pub(super) place: Place,
    /// Its part of life.
    state: State,
    /// What was read and not consumed: nothing once it is closing.
    pub(super) input: Input,
    /// What has to be sent: nothing once it lingers.
    pub(super) output: SendQueue,
    /// The kernel may hold bytes, or the end, or an error: it said so, and no read has said
    /// otherwise since.
    pub(super) readable: bool,
    /// The kernel has announced an end or an error, for which it gives no second event: a
    /// short read no longer shows that there is nothing to read.
    pub(super) hung_up: bool,
    /// The kernel takes bytes, as far as we know.
    pub(super) writable: bool,
    /// The caller wants no input; never so once it is closing.
    paused: bool,
    /// The caller has resumed it while bytes were unread, and has to be told of them.
    pub(super) announce: bool,
    /// It stands on the ready list.
    pub(super) listed: bool,
    /// It stands on the list of those that the caller has had in its hands.
    pub(super) touched: bool,
    /// It stands on the list of those that have something to write.
    pub(super) dirty: bool,
    /// Its send queue was full, and the caller was not yet told that it no longer is.
    pub(super) congested: bool,
    /// When it is cut: set while it is being established, while its send queue is full, and always
    /// once it is closing.
    pub(super) deadline: Option<TimerId>,
    /// How many bytes were thrown away; 0 unless it is closing.
    pub(super) discarded_bytes: usize,
    /// How much it may hold.
    pub(super) bounds: Bounds,
}

/// Where a connection comes from.
#[derive(Clone, Copy, Debug)]
pub(super) enum Origin {
    /// Somebody has connected.
    Accepted(ListenerTag, Place),
    /// It was asked for here.
    Dialled,
}

/// How much a connection may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Bytes that were read and not consumed: beyond, nothing more is read.
    pub input_bytes_max: usize,
    /// Bytes that wait to be sent: beyond, it is full.
    pub output_bytes_max: usize,
}

impl Connection {
    pub(super) fn new(socket: TcpStream, peer: SocketAddr, origin: Origin, bounds: Bounds) -> Self {
        let (state, listener, place) = match origin {
            Origin::Accepted(tag, place) => (State::Open, Some(tag), place),
            Origin::Dialled => (State::Connecting, None, Place::Apart),
        };
        Self {
            socket,
            peer,
            listener,
            place,
            state,
            input: Input::default(),
            output: SendQueue::default(),
            readable: false,
            hung_up: false,
            writable: state == State::Open,
            paused: false,
            announce: false,
            listed: false,
            touched: false,
            dirty: false,
            congested: false,
            deadline: None,
            discarded_bytes: 0,
            bounds,
        }
    }

    /// From now on it may hold so much. What it holds beyond stays.
    pub fn bound(&mut self, bounds: Bounds) {
        self.bounds = bounds;
    }

    /// The other end.
    pub fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// This end: the address that the peer has connected to, or the one that the system has
    /// chosen to connect from. Asks the system.
    pub fn local(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Whether the peer is a process of this host, as far as addresses tell: it comes from
    /// loopback, or from the very ip that it has connected to.
    pub fn is_from_this_host(&self) -> bool {
        let peer = self.peer.ip().to_canonical();
        let local = || self.local().map(|local| local.ip().to_canonical());
        peer.is_loopback() || local().is_ok_and(|local| local == peer)
    }

    /// The listener where it came in; none if it goes out.
    pub fn listener(&self) -> Option<ListenerTag> {
        self.listener
    }

    /// What was read and not consumed.
    pub fn input(&mut self) -> &mut Input {
        &mut self.input
    }

    /// Whether the peer has ended its half: [`Self::input`] holds the last that it will ever hold.
    pub fn input_ended(&self) -> bool {
        matches!(self.state, State::InputEnded | State::ClosingInputEnded)
    }

    /// Reads no further: the peer's own buffers fill, and it has to wait. An event of this turn
    /// may still follow.
    pub fn pause(&mut self) {
        self.paused = true;
        self.announce = false;
    }

    /// Reads on. In the next turn there is an event for what was unread before, and for what the
    /// kernel held back, though no new byte comes in.
    pub fn resume(&mut self) {
        if self.paused {
            self.paused = false;
            self.announce = !self.input.is_empty();
        }
    }

    /// Whether it is paused.
    pub fn is_paused(&self) -> bool {
        self.paused
    }

    pub(super) fn state(&self) -> State {
        self.state
    }

    pub(super) fn become_state(&mut self, next: State) {
        assert!(
            self.state.may_become(next),
            "{:?} cannot become {next:?}",
            self.state
        );
        self.state = next;
        if next.is_closing() {
            self.input.clear();
            self.paused = false;
            self.announce = false;
            self.congested = false;
        }
        self.check_invariants();
    }

    /// Whether a read may be tried.
    pub(super) fn may_read(&self) -> bool {
        self.state.reads() && !self.paused && self.input_room() > 0
    }

    /// How many bytes may still be read before some are consumed.
    pub(super) fn input_room(&self) -> usize {
        self.bounds.input_bytes_max.saturating_sub(self.input.len())
    }

    /// More waits to be sent than should.
    pub(super) fn is_full(&self) -> bool {
        self.output.len() > self.bounds.output_bytes_max
    }

    /// Whether it belongs on the ready list.
    pub(super) fn wants_turn(&self) -> bool {
        self.announce || self.readable && self.may_read()
    }

    pub(super) fn check_invariants(&self) {
        debug_assert!(!(self.announce && self.paused));
        debug_assert!(!self.announce || !self.input.is_empty());
        if self.state.is_closing() {
            debug_assert!(self.input.is_empty() && !self.paused && !self.congested);
        } else {
            debug_assert_eq!(self.discarded_bytes, 0);
        }
        if self.state == State::Lingering {
            debug_assert!(self.output.is_empty());
        }
        if self.state == State::Connecting {
            debug_assert!(self.input.is_empty() && !self.readable && !self.writable);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_idle_connection_is_small() {
        // 10,000 of them at 1 KiB each, of which the server needs most for itself.
        assert!(
            size_of::<Connection>() <= 256,
            "{}",
            size_of::<Connection>()
        );
    }

    #[test]
    fn only_a_reset_is_a_reset() {
        for errno in [Errno::CONNRESET, Errno::PIPE] {
            assert_eq!(CloseReason::of(&errno.into()), CloseReason::Reset);
        }
        for errno in [
            Errno::TIMEDOUT,
            Errno::HOSTUNREACH,
            Errno::NETUNREACH,
            Errno::NETDOWN,
            Errno::CONNREFUSED,
            Errno::CONNABORTED,
            Errno::NOTCONN,
            Errno::NOBUFS,
        ] {
            let error = io::Error::from(errno);
            assert_eq!(CloseReason::of(&error), CloseReason::Failed(error.kind()));
        }
        // An error that is nobody's errno cannot have come from the peer.
        let made_up = io::Error::from(io::ErrorKind::ConnectionReset);
        assert_eq!(
            CloseReason::of(&made_up),
            CloseReason::Failed(io::ErrorKind::ConnectionReset)
        );
    }

    #[test]
    fn life_goes_one_way() {
        use State::*;
        let states = [
            Connecting,
            Open,
            InputEnded,
            Closing,
            ClosingInputEnded,
            Lingering,
        ];
        let allowed: Vec<_> = states
            .iter()
            .flat_map(|from| states.iter().map(move |to| (*from, *to)))
            .filter(|(from, to)| from.may_become(*to))
            .collect();
        assert_eq!(
            allowed,
            [
                (Connecting, Open),
                (Open, InputEnded),
                (Open, Closing),
                (InputEnded, ClosingInputEnded),
                (Closing, ClosingInputEnded),
                (Closing, Lingering),
            ]
        );
    }
}
