//! Connections that go out, and what becomes of them.

use crate::rig::{Rig, Timer, pattern};
use lastword::net::{ConnectionId, Event, LoopConfig};
use socket2::{Domain, Socket, Type};
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::time::Duration;

/// Longer than any test.
const NEVER: Duration = Duration::from_secs(3600);

fn loopback() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, 0).into()
}

/// An address where nobody listens.
fn nobody() -> SocketAddr {
    let listener = TcpListener::bind(loopback()).unwrap();
    listener.local_addr().unwrap()
}

/// An address whose machine does not answer: the queue of those who wait there is full. What has to
/// be kept for it comes along.
fn silence() -> (SocketAddr, Vec<Socket>) {
    let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    listener.bind(&loopback().into()).unwrap();
    listener.listen(0).unwrap();
    let address = listener.local_addr().unwrap();
    let mut sockets = vec![listener];
    for _ in 0..4 {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.set_nonblocking(true).unwrap();
        let _ = socket.connect(&address);
        sockets.push(socket);
    }
    (address.as_socket().unwrap(), sockets)
}

fn failed(connection: ConnectionId, refused: bool, error: ErrorKind) -> Event<Timer> {
    Event::ConnectFailed {
        connection,
        refused,
        error,
    }
}

#[test]
fn what_was_queued_before_is_sent_as_soon_as_it_is_there() {
    let mut rig = Rig::new();
    let peer = TcpListener::bind(loopback()).unwrap();
    let address = peer.local_addr().unwrap();
    let connection = rig.net.connect(address, NEVER).unwrap();
    let sent = pattern(100_000);
    rig.send(connection, &sent);
    rig.net.flush();
    assert_eq!(rig.net.queued_bytes(connection), sent.len());
    let (mut accepted, from) = peer.accept().unwrap();
    // It speaks at once: that there is a connection is told first all the same.
    accepted.write_all(b"hello").unwrap();
    rig.until_event(Event::Input(connection));
    assert_eq!(
        rig.events,
        [Event::Connected { connection }, Event::Input(connection)]
    );
    assert_eq!(rig.take(connection), b"hello");
    rig.until(|rig| rig.net.queued_bytes(connection) == 0);
    let mut read = vec![0; sent.len()];
    accepted.read_exact(&mut read).unwrap();
    assert!(read == sent);

    let connection = rig.net.connection(connection).unwrap();
    assert_eq!(connection.peer(), address);
    assert_eq!(connection.local().unwrap(), from);
    assert_eq!(connection.listener(), None);
    assert!(connection.is_from_this_host());
}

#[test]
fn nobody_there_is_a_refusal() {
    let mut rig = Rig::new();
    let id = rig.net.connect(nobody(), NEVER).unwrap();
    assert!(rig.net.connection(id).is_some());
    rig.until(|rig| !rig.events.is_empty());
    let refused = failed(id, true, ErrorKind::ConnectionRefused);
    assert_eq!(rig.events, [refused]);
    assert!(rig.net.connection(id).is_none() && rig.net.output(id).is_none());
}

#[test]
fn no_answer_is_no_refusal() {
    let mut rig = Rig::new();
    let (address, _kept) = silence();
    let id = rig.net.connect(address, Duration::from_millis(50)).unwrap();
    rig.until(|rig| !rig.events.is_empty());
    assert_eq!(rig.events, [failed(id, false, ErrorKind::TimedOut)]);
    assert!(rig.net.connection(id).is_none());
}

#[test]
fn what_fails_at_once_is_told_with_the_next_poll() {
    let mut rig = Rig::new();
    // TCP has no broadcasts: connect itself says so.
    let nowhere = (Ipv4Addr::BROADCAST, 1).into();
    let id = rig.net.connect(nowhere, NEVER).unwrap();
    assert!(rig.net.output(id).is_some());
    let mut events = Vec::new();
    rig.net.poll(&mut events, None).unwrap();
    assert_eq!(events, [failed(id, false, ErrorKind::NetworkUnreachable)]);
    assert!(rig.net.connection(id).is_none());

    let id = rig.net.connect(nowhere, NEVER).unwrap();
    rig.net.close(id);
    assert_eq!(rig.turn(), [], "who closes knows of it");
}

#[test]
fn whoever_is_closed_on_the_way_is_not_heard_of_again() {
    let mut rig = Rig::new();
    let (address, _kept) = silence();
    let first = rig.net.connect(address, Duration::from_millis(1)).unwrap();
    let second = rig.net.connect(address, Duration::from_millis(1)).unwrap();
    rig.send(second, b"bye");
    rig.net.close(first);
    rig.net.close_when_sent(second);
    assert!(rig.net.is_all_sent());
    assert!(rig.net.connection(first).is_none() && rig.net.connection(second).is_none());
    rig.net
        .set_timer(lastword::net::clock::now() + Duration::from_millis(100), "");
    rig.until_event(Event::Timer(""));
    assert_eq!(rig.events, [Event::Timer("")]);

    // Nor when the answer is there already.
    let refused = rig.net.connect(nobody(), NEVER).unwrap();
    rig.net.close(refused);
    let peer = TcpListener::bind(loopback()).unwrap();
    let address = peer.local_addr().unwrap();
    let accepted = rig.net.connect(address, NEVER).unwrap();
    let (mut accepted_there, _) = peer.accept().unwrap();
    rig.net.close(accepted);
    assert_eq!(accepted_there.read(&mut [0]).unwrap(), 0);
    assert_eq!(rig.turn(), []);
}

#[test]
fn two_loops_can_talk() {
    let (mut one, mut other) = (Rig::new(), Rig::new());
    let dialled = one.net.connect(other.address, NEVER).unwrap();
    one.send(dialled, b"ping");
    one.until_event(Event::Connected {
        connection: dialled,
    });
    one.net.flush();
    other.until(|rig| rig.events.len() == 2);
    let Event::Opened { connection, .. } = other.events[0] else {
        panic!("{:?}", other.events);
    };
    assert_eq!(other.take(connection), b"ping");
    other.send(connection, b"pong");
    other.net.close_when_sent(connection);
    other.turn();
    one.until_event(Event::InputEnded(dialled));
    assert_eq!(one.take(dialled), b"pong");
}

#[test]
fn no_cap_concerns_a_connection_that_goes_out() {
    let mut rig = Rig::with(LoopConfig {
        clients_max: 0,
        clients_per_ip_max: 0,
        refusals_max: 0,
        ..LoopConfig::default()
    });
    let peer = TcpListener::bind(loopback()).unwrap();
    let address = peer.local_addr().unwrap();
    let connection = rig.net.connect(address, NEVER).unwrap();
    rig.until_event(Event::Connected { connection });
    assert_eq!(rig.net.clients(), 0);
    rig.net.close(connection);
    assert_eq!(rig.net.clients(), 0);
}
