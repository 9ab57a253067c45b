//! What cannot be seen from outside of the room.

use super::*;
use socket2::{Domain, SockRef, Socket, Type};
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::time::Duration;

/// A loop with a connection, and its other end.
fn connected(config: LoopConfig) -> (EventLoop<()>, TcpStream, ConnectionId) {
    let mut net = EventLoop::new(config).unwrap();
    let listener = Listener::bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    let client = TcpStream::connect(listener.local_addr()).unwrap();
    net.listen(listener, ListenerTag(0)).unwrap();
    let events = until(&mut net, |_, events| !events.is_empty());
    let Event::Opened { connection, .. } = events[0] else {
        panic!("{events:?}");
    };
    (net, client, connection)
}

/// Turns until `condition` holds of all their events.
fn until(
    net: &mut EventLoop<()>,
    mut condition: impl FnMut(&mut EventLoop<()>, &[Event<()>]) -> bool,
) -> Vec<Event<()>> {
    let mut events = Vec::new();
    let started = clock::now();
    while !condition(net, &events) {
        assert!(clock::now().since(started).as_secs() < 30, "{events:?}");
        net.poll(&mut events, Some(Duration::from_millis(20)))
            .unwrap();
    }
    events
}

#[test]
fn an_accepted_socket_inherits_its_listeners_options() {
    let (mut net, _client, id) = connected(LoopConfig::default());
    let connection = net.connection(id).unwrap();
    let socket = SockRef::from(&connection.socket);
    assert!(socket.tcp_nodelay().unwrap());
    assert!(socket.keepalive().unwrap());
}

#[test]
fn a_dialled_socket_has_the_same_options_and_no_timer_once_it_is_there() {
    let mut net = EventLoop::<()>::new(LoopConfig::default()).unwrap();
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let id = net.connect(address, Duration::from_secs(30)).unwrap();
    assert_eq!(net.timers.len(), 1);
    until(&mut net, |_, events| {
        events.contains(&Event::Connected { connection: id })
    });
    assert!(net.timers.is_empty());
    let connection = net.connection(id).unwrap();
    let socket = SockRef::from(&connection.socket);
    assert!(socket.tcp_nodelay().unwrap());
    assert!(socket.keepalive().unwrap());
}

#[test]
fn a_connection_that_reaches_itself_is_refused() {
    let mut net = EventLoop::<()>::new(LoopConfig::default()).unwrap();
    // The kernel does it by chance, once in some 14,000 tries; binding the socket forces it.
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    let any_port = std::net::SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    socket.bind(&any_port.into()).unwrap();
    socket.set_nonblocking(true).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    let id = net.connect_by(socket, address, Duration::from_secs(30));
    let connection = id.unwrap();
    let events = until(&mut net, |_, events| !events.is_empty());
    let failed = Event::ConnectFailed {
        connection,
        refused: true,
        error: ErrorKind::ConnectionRefused,
    };
    assert_eq!(events, [failed]);
    assert!(net.timers.is_empty());
    // It leaves the port as it was: whose it is can bind it, even without SO_REUSEADDR.
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&address.into()).unwrap();
}

#[test]
fn an_idle_connection_holds_no_buffers_and_no_timer() {
    let (mut net, mut client, id) = connected(LoopConfig::default());
    client.write_all(&[1; 10_000]).unwrap();
    until(&mut net, |net, _| {
        net.connection(id).unwrap().input().len() == 10_000
    });
    net.connection(id).unwrap().input().consume(10_000);
    net.output(id).unwrap().extend_from_slice(&[2; 10_000]);
    net.flush();
    client.read_exact(&mut [0; 10_000]).unwrap();
    net.poll(&mut Vec::new(), Some(Duration::ZERO)).unwrap();
    let connection = net.registry.connection(id.key()).unwrap();
    assert_eq!(connection.input.capacity(), 0);
    assert_eq!(connection.output.capacity(), 0);
    assert_eq!(connection.deadline, None);
    assert!(net.timers.is_empty());
    assert!(net.ready.is_empty() && net.dirty.is_empty() && net.touched.is_empty());
}

#[test]
fn a_queue_that_is_no_longer_full_has_no_deadline() {
    let (mut net, mut client, id) = connected(LoopConfig::default());
    while !net.is_full(id) {
        net.output(id).unwrap().extend_from_slice(&[3; 64 * 1024]);
        net.flush();
    }
    assert_eq!(net.timers.len(), 1);
    let mut read = vec![0; 64 * 1024];
    until(&mut net, |net, _| {
        if net.queued_bytes(id) > 0 {
            assert!(client.read(&mut read).unwrap() > 0);
        }
        // It is not full from the mark on, though it is only drained at half of it.
        assert_eq!(net.timers.is_empty(), !net.is_full(id));
        net.queued_bytes(id) == 0
    });
}

#[test]
fn a_freed_connection_leaves_no_timer() {
    let (mut net, _client, id) = connected(LoopConfig::default());
    net.output(id).unwrap().push(b'.');
    net.close_when_sent(id);
    net.flush();
    assert_eq!(net.timers.len(), 1);
    net.close(id);
    assert!(net.timers.is_empty());
    assert_eq!(net.clients(), 0);
}
