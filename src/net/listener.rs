//! Where do connections come in?
//!
//! A server has an address to itself from its first moment on, and refuses connections there until it
//! can answer them: a refused connect is how the others learn that the process which had the address
//! before is dead. If it only let them wait, a process that is started again and again, and never gets
//! as far as its first turn, would hide that death for ever.

use crate::limits;
use mio::net::TcpListener;
use rustix::io::Errno;
use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use std::io;
use std::net::{Shutdown, SocketAddr};
use std::os::fd::AsFd;

/// What a listener is for: the caller's own number, given back with each connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ListenerTag(pub u8);

/// A bound address.
#[derive(Debug)]
pub struct Listener {
    socket: TcpListener,
    address: SocketAddr,
    /// Connections are refused for the time being.
    is_closed: bool,
}

impl Listener {
    /// Binds `address`; port 0 takes any free port. It listens from now on, though nobody accepts yet.
    ///
    /// # Errors
    ///
    /// What the system says: `AddrInUse`, `AddrNotAvailable`, `PermissionDenied`, …
    pub fn bind(address: SocketAddr) -> io::Result<Self> {
        let socket = Socket::new(
            Domain::for_address(address),
            Type::STREAM,
            Some(Protocol::TCP),
        )?;
        socket.set_nonblocking(true)?;
        // A restarted server must not wait for its predecessor's connections to be forgotten.
        socket.set_reuse_address(true)?;
        if address.is_ipv6() {
            // Otherwise [::] would take the port of 0.0.0.0, and peers would be v4 in v6 clothes.
            socket.set_only_v6(true)?;
        }
        // What is accepted inherits them, at no cost for each.
        set_options(&socket)?;
        socket.bind(&address.into())?;
        socket.listen(limits::LISTEN_BACKLOG)?;
        let socket = TcpListener::from_std(socket.into());
        let address = socket.local_addr()?;
        Ok(Self {
            socket,
            address,
            is_closed: false,
        })
    }

    /// As [`Self::bind`], but connections are refused until [`Self::open`] is called. Nobody else gets
    /// the address meanwhile. (A port that the system was asked to choose, with 0, listens at once.)
    ///
    /// # Errors
    ///
    /// As for [`Self::bind`].
    pub fn bind_closed(address: SocketAddr) -> io::Result<Self> {
        let mut listener = Self::bind(address)?;
        if address.port() != 0 {
            let socket = SockRef::from(&listener.socket);
            // A listening socket that is shut down keeps its address, and listens again when it is told
            // to. Without SO_REUSEADDR nobody else can bind it, with or without that option; nor may there
            // be a moment between, in which a server that starts at the same time could.
            socket.set_reuse_address(false)?;
            socket.shutdown(Shutdown::Read)?;
            listener.is_closed = true;
        }
        Ok(listener)
    }

    /// Takes connections from now on.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn open(&mut self) -> io::Result<()> {
        if std::mem::take(&mut self.is_closed) {
            let socket = SockRef::from(&self.socket);
            socket.set_reuse_address(true)?;
            socket.listen(limits::LISTEN_BACKLOG)?;
        }
        Ok(())
    }

    /// The address that was bound, with its real port.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    pub(super) fn socket(&mut self) -> &mut TcpListener {
        &mut self.socket
    }
}

/// Sets what every connection is to have.
pub(super) fn set_options(socket: &Socket) -> io::Result<()> {
    // A turn's answers go out in one write: there is nothing for Nagle to gather.
    socket.set_tcp_nodelay(true)?;
    // A client whose machine has vanished would otherwise stay online for ever.
    let keepalive = TcpKeepalive::new()
        .with_time(limits::KEEPALIVE_AFTER)
        .with_interval(limits::KEEPALIVE_INTERVAL);
    socket.set_tcp_keepalive(&keepalive)
}

/// Sets what a link to another server is to have: it ends when the other machine has acknowledged
/// nothing for [`limits::LINK_UNACKNOWLEDGED_MAX`] (TCP_USER_TIMEOUT, RFC 5482), and no
/// retransmission sleeps longer.
pub(super) fn set_link_options(socket: impl AsFd) -> io::Result<()> {
    let milliseconds = limits::LINK_UNACKNOWLEDGED_MAX.as_millis() as u32;
    Ok(rustix::net::sockopt::set_tcp_user_timeout(
        socket,
        milliseconds,
    )?)
}

/// A listener that is registered with the poll.
#[derive(Debug)]
pub(super) struct Listening {
    /// The socket.
    pub(super) socket: TcpListener,
    /// What the caller knows it by.
    pub(super) tag: ListenerTag,
    /// Somebody may be waiting: the poll said so, and accept has not said otherwise since.
    pub(super) readable: bool,
    /// It stands on the ready list.
    pub(super) listed: bool,
}

impl Listening {
    pub(super) fn new(listener: Listener, tag: ListenerTag) -> Self {
        Self {
            socket: listener.socket,
            tag,
            readable: false,
            listed: false,
        }
    }
}

/// What a failed accept means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AcceptFailure {
    /// Nobody is waiting.
    NobodyWaits,
    /// It concerns the one connection that would have been accepted; the next may do.
    Passing,
    /// It will happen again: there are no descriptors, or no memory, or nobody knows.
    Lasting,
}

impl AcceptFailure {
    pub(super) fn of(error: &io::Error) -> Self {
        if error.kind() == io::ErrorKind::WouldBlock {
            return Self::NobodyWaits;
        }
        match Errno::from_io_error(error) {
            // Linux hands errors that wait on the new socket to accept, too; accept(2) lists them.
            Some(
                Errno::CONNABORTED
                | Errno::INTR
                | Errno::PERM
                | Errno::PROTO
                | Errno::NOPROTOOPT
                | Errno::OPNOTSUPP
                | Errno::NETDOWN
                | Errno::NETUNREACH
                | Errno::HOSTDOWN
                | Errno::HOSTUNREACH
                | Errno::NONET
                | Errno::TIMEDOUT,
            ) => Self::Passing,
            _ => Self::Lasting,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{Ipv4Addr, Ipv6Addr};

    #[test]
    fn port_zero_takes_a_free_one_and_an_address_in_use_is_refused() {
        let listener = Listener::bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        assert_ne!(listener.local_addr().port(), 0);
        let error = Listener::bind(listener.local_addr()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    }

    #[test]
    fn a_closed_listener_refuses_and_keeps_its_address() {
        let address = Listener::bind((Ipv4Addr::LOCALHOST, 0).into())
            .unwrap()
            .local_addr();
        let mut listener = Listener::bind_closed(address).unwrap();
        let refused = std::net::TcpStream::connect(address).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
        let error = Listener::bind(address).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        listener.open().unwrap();
        assert_eq!(listener.local_addr(), address);
        std::net::TcpStream::connect(address).unwrap();
    }

    #[test]
    fn of_two_who_take_an_address_closed_at_once_one_has_it() {
        let free = Listener::bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        let address = free.local_addr();
        drop(free);
        let rounds = 300;
        let begins = std::sync::Barrier::new(2);
        // How often it was taken, and how often it could be opened then.
        let take = || {
            let mut times = (0, 0);
            for _ in 0..rounds {
                begins.wait();
                let taken = Listener::bind_closed(address);
                begins.wait();
                if let Ok(mut listener) = taken {
                    times.0 += 1;
                    times.1 += usize::from(listener.open().is_ok());
                }
            }
            times
        };
        let (one, other) = std::thread::scope(|scope| {
            let other = scope.spawn(take);
            (take(), other.join().unwrap())
        });
        assert!(one.0 + other.0 <= rounds, "both had it at once");
        assert_eq!(one.0 + other.0, one.1 + other.1, "it was taken away again");
    }

    #[test]
    fn a_v6_listener_leaves_the_v4_port_alone() {
        // Somebody else may have the v4 port of one number, but hardly of ten.
        let is_free = |_| {
            let v6 = Listener::bind((Ipv6Addr::UNSPECIFIED, 0).into())?;
            Listener::bind((Ipv4Addr::UNSPECIFIED, v6.local_addr().port()).into())
        };
        if Listener::bind((Ipv6Addr::UNSPECIFIED, 0).into()).is_err() {
            return; // A machine without IPv6 has nothing to mix up.
        }
        assert!((0..10).map(is_free).any(|bound| bound.is_ok()));
    }

    #[test]
    fn accept_errors_are_told_apart() {
        let failure = |errno: Errno| AcceptFailure::of(&errno.into());
        assert_eq!(failure(Errno::AGAIN), AcceptFailure::NobodyWaits);
        assert_eq!(failure(Errno::CONNABORTED), AcceptFailure::Passing);
        assert_eq!(failure(Errno::INTR), AcceptFailure::Passing);
        assert_eq!(failure(Errno::MFILE), AcceptFailure::Lasting);
        assert_eq!(failure(Errno::NFILE), AcceptFailure::Lasting);
        assert_eq!(failure(Errno::NOBUFS), AcceptFailure::Lasting);
        assert_eq!(failure(Errno::INVAL), AcceptFailure::Lasting);
    }
}
