//! What can happen to a server?

use super::connection::CloseReason;
use super::crowd::Excess;
use super::listener::ListenerTag;
use super::registry::{ConnectionId, WAKER};
use super::signals::Signal;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

/// What has happened. `T` is what a timer means to the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event<T> {
    /// Somebody has connected.
    Opened {
        /// Its name from now on.
        connection: ConnectionId,
        /// Where it came in.
        listener: ListenerTag,
        /// Who it is.
        peer: SocketAddr,
        /// The cap that it exceeds: it is to be told so and closed soon, unless it turns out not
        /// to be a client.
        excess: Option<Excess>,
    },
    /// A connection that was being established is there. Once, and before any other event of it.
    Connected {
        /// Which.
        connection: ConnectionId,
    },
    /// A connection that was being established did not come about; it is gone, and its id with it.
    ConnectFailed {
        /// Which.
        connection: ConnectionId,
        /// Nobody listens there: the other machine has answered by a reset, or the connection has
        /// reached itself. A timeout, an unreachable network, a firewall's ICMP message and
        /// everything else is not that.
        refused: bool,
        /// What the system says.
        error: io::ErrorKind,
    },
    /// There is unread input that there was not before, or before the connection was resumed. Once
    /// a turn at most.
    Input(ConnectionId),
    /// The peer has ended its half. Once, and after the event for its last input.
    InputEnded(ConnectionId),
    /// The send queue was full, and is less than half full now.
    Drained(ConnectionId),
    /// The connection is gone, and its id with it. It does not follow on `close` and
    /// `close_when_sent`.
    Closed {
        /// Which.
        connection: ConnectionId,
        /// Why.
        reason: CloseReason,
    },
    /// A timer is due.
    Timer(T),
    /// A signal came, once or several times since the last poll.
    Signal(Signal),
    /// A [`Waker`] was used, once or several times since the last poll.
    Woken,
}

/// Ends the loop's wait from another thread.
#[derive(Clone, Debug)]
pub struct Waker(Arc<mio::Waker>);

impl Waker {
    pub(super) fn new(registry: &mio::Registry) -> io::Result<Self> {
        Ok(Self(Arc::new(mio::Waker::new(registry, WAKER)?)))
    }

    /// Makes the loop's current or next poll return with [`Event::Woken`]. What the loop is to
    /// find has to be there before.
    pub fn wake(&self) {
        if let Err(error) = self.0.wake() {
            // It can only fail if the descriptor is not ours any more.
            log::error!("cannot wake the event loop: {error}");
        }
    }
}
