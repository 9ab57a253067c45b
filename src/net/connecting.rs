//! Is anybody there?
//!
//! A connection to another server is registered before it is known whether it comes about. Its
//! outcome, as the kernel tells it, is evidence: a server whose own address refuses connections is
//! dead, where one that only says nothing may be alive behind a broken cable. So a refusal is
//! never mixed up with any other failure, and never lost, though on one machine it may be there
//! before connect has returned.
//!
//! Not every refusal comes from the machine that was asked. A firewall or a router on the way that
//! says by ICMP that the port is unreachable (which is how many of them reject) looks like a reset,
//! but for what it leaves in the socket's queue of errors. It may stand before a server that is
//! alive. (Older kernels leave nothing there, and a firewall can send resets as well: so between hosts
//! refusals are believed only with `--trust-refused yes`.)
//!
//! A connection to an address where nobody listens may reach itself: the kernel gives it that very
//! port as its own, and the two ends of one socket greet each other. That is a refusal, too.

use super::connection::{Bounds, Connection, Origin, State};
use super::event::Event;
use super::event_loop::EventLoop;
use super::listener::{set_link_options, set_options};
use super::registry::{ConnectionId, Entry, Key};
use mio::Interest;
use mio::net::TcpStream;
use rustix::io::Errno;
use rustix::net::RecvFlags;
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

/// What the kernel says about a connection that is being established.
enum Outcome {
    /// Nothing yet.
    Open,
    /// The other end has answered.
    Connected,
    /// The other end is this end.
    ReachedItself,
    /// It did not come about.
    Failed(io::Error),
}

/// A connection that failed before the kernel could say so by an event.
#[derive(Debug)]
pub(super) struct FailedAtOnce {
    connection: ConnectionId,
    error: io::Error,
}

impl<T> EventLoop<T> {
    /// Begins to establish a connection, and gives it `timeout` to come about. What becomes of it
    /// is told once, by [`Event::Connected`] or [`Event::ConnectFailed`], with the next poll at the
    /// earliest; not at all if it is closed before. What is appended to its output meanwhile is
    /// sent as soon as it is there.
    ///
    /// It is a link to another server: no cap concerns it, and [`Self::clients`] does not count it.
    ///
    /// # Errors
    ///
    /// When the system has no descriptor, or no memory, for one more socket, or there are as many connections
    /// as there may be, which says nothing about anybody else. Whatever the attempt itself meets with is an
    /// event.
    pub fn connect(&mut self, address: SocketAddr, timeout: Duration) -> io::Result<ConnectionId> {
        if self.connections >= self.config.connections_max {
            return Err(Errno::MFILE.into());
        }
        let socket = Socket::new(
            Domain::for_address(address),
            Type::STREAM,
            Some(Protocol::TCP),
        )?;
        socket.set_nonblocking(true)?;
        self.connect_by(socket, address, timeout)
    }

    /// As [`Self::connect`], by a socket that does not block, and may be bound.
    pub(super) fn connect_by(
        &mut self,
        socket: Socket,
        address: SocketAddr,
        timeout: Duration,
    ) -> io::Result<ConnectionId> {
        set_options(&socket)?;
        set_link_options(&socket)?;
        // Before it is registered: a socket that has not asked yet is reported as hung up.
        let failure = match socket.connect(&address.into()) {
            Ok(()) => None,
            Err(error) if Errno::from_io_error(&error) == Some(Errno::INPROGRESS) => None,
            Err(error) => Some(error),
        };
        let mut socket = TcpStream::from_std(socket.into());
        let token = self.registry.key_next().token();
        let interest = Interest::READABLE | Interest::WRITABLE;
        self.poll
            .registry()
            .register(&mut socket, token, interest)?;
        let bounds = Bounds {
            input_bytes_max: self.config.input_bytes_max,
            output_bytes_max: self.config.send_queue_bytes_max,
        };
        let connection = Connection::new(socket, address, Origin::Dialled, bounds);
        let key = self.registry.insert(Entry::Connection(connection));
        self.connections += 1;
        let connection = ConnectionId::new(key);
        match failure {
            Some(error) => self.failed_at_once.push(FailedAtOnce { connection, error }),
            None => self.set_deadline(key, timeout),
        }
        Ok(connection)
    }

    /// Tells of those that failed before the poll.
    pub(super) fn tell_failed_at_once(&mut self, events: &mut Vec<Event<T>>) {
        for FailedAtOnce { connection, error } in std::mem::take(&mut self.failed_at_once) {
            self.fail_to_connect(connection.key(), &error, events);
        }
    }

    /// Looks what has become of a connection that is being established. If it is there, what the
    /// poll has said about it is noted as of any other.
    pub(super) fn take_outcome(
        &mut self,
        key: Key,
        event: &mio::event::Event,
        events: &mut Vec<Event<T>>,
    ) {
        let Some(connection) = self.registry.connection(key) else {
            return;
        };
        match outcome(&connection.socket) {
            Outcome::Open => {}
            Outcome::Connected => {
                connection.become_state(State::Open);
                if let Some(deadline) = connection.deadline.take() {
                    self.timers.cancel(deadline);
                }
                let connection = ConnectionId::new(key);
                events.push(Event::Connected { connection });
                self.take_connection_readiness(key, event, events);
            }
            Outcome::ReachedItself => {
                // Without a reset the port would be remembered for a minute as one that was in use.
                let _ = SockRef::from(&connection.socket).set_linger(Some(Duration::ZERO));
                self.fail_to_connect(key, &Errno::CONNREFUSED.into(), events);
            }
            Outcome::Failed(error) => self.fail_to_connect(key, &error, events),
        }
    }

    /// Frees a connection that did not come about, and says why.
    pub(super) fn fail_to_connect(
        &mut self,
        key: Key,
        error: &io::Error,
        events: &mut Vec<Event<T>>,
    ) {
        let Some(connection) = self.registry.connection(key) else {
            return;
        };
        let is_refusal = Errno::from_io_error(error) == Some(Errno::CONNREFUSED);
        events.push(Event::ConnectFailed {
            connection: ConnectionId::new(key),
            refused: is_refusal && !is_from_on_the_way(&connection.socket),
            error: error.kind(),
        });
        self.free(key);
    }
}

/// Whether an ICMP message has ended the attempt.
fn is_from_on_the_way(socket: &TcpStream) -> bool {
    // What is read is the beginning of the packet of ours that was not let through.
    rustix::net::recv(socket, &mut [0; 1], RecvFlags::ERRQUEUE).is_ok()
}

fn outcome(socket: &TcpStream) -> Outcome {
    match socket.take_error() {
        Ok(None) => {}
        Ok(Some(error)) | Err(error) => return Outcome::Failed(error),
    }
    match (socket.peer_addr(), socket.local_addr()) {
        (Ok(peer), Ok(local)) if peer == local => Outcome::ReachedItself,
        (Ok(_), Ok(_)) => Outcome::Connected,
        (Err(error), _) if error.kind() == io::ErrorKind::NotConnected => Outcome::Open,
        (Err(error), _) | (_, Err(error)) => Outcome::Failed(error),
    }
}
