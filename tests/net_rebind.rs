//! Can the next primary have the service address as soon as the last one is dead? A test binary of its
//! own, since it starts itself as the one that is killed.

use lastword::net::{Event, EventLoop, Listener, ListenerTag, LoopConfig};
use socket2::{Domain, Socket, Type};
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};

/// Tells the test to be the server; no test of the usual run does anything without it.
const ROLE: &str = "LASTWORD_TEST_SERVER";

/// A server that answers every byte, and closes a connection that says `q`. It never ends.
#[test]
fn server() {
    if std::env::var_os(ROLE).is_none() {
        return;
    }
    let mut net = EventLoop::<()>::new(LoopConfig::default()).unwrap();
    let listener = Listener::bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    println!("\nlistening {}", listener.local_addr());
    net.listen(listener, ListenerTag(0)).unwrap();
    let mut events = Vec::new();
    loop {
        net.poll(&mut events, None).unwrap();
        for event in events.drain(..) {
            let Event::Input(id) = event else { continue };
            let input = net.connection(id).unwrap().input();
            let bytes = input.bytes().to_vec();
            input.consume(bytes.len());
            net.output(id).unwrap().extend(&bytes);
            if bytes == b"q" {
                net.flush();
                net.close(id);
            }
        }
    }
}

/// The server in a process of its own, and its address.
fn start() -> (Child, SocketAddr) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "server", "--nocapture"])
        .env(ROLE, "1")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let address = lines
        .map_while(Result::ok)
        .find_map(|line| line.strip_prefix("listening ")?.parse().ok())
        .expect("the server says where it listens");
    (child, address)
}

/// A client that has been answered.
fn client(address: SocketAddr, word: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(word).unwrap();
    let mut answer = vec![0; word.len()];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(answer, word);
    stream
}

/// The states of the kernel's sockets at that port, as /proc/net/tcp numbers them.
fn states(port: u16) -> Vec<u8> {
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let local = format!(":{port:04X}");
    let lines = table.lines().skip(1);
    let fields = lines.map(|line| line.split_whitespace().collect::<Vec<_>>());
    fields
        .filter(|fields| fields[1].ends_with(&local))
        .map(|fields| u8::from_str_radix(fields[3], 16).unwrap())
        .collect()
}

const ESTABLISHED: u8 = 1;
/// The server's end is closed, and the client's is not; the client's kernel may know of it (2) or not
/// yet (1).
const FIN_WAIT: [u8; 2] = [4, 5];
const TIME_WAIT: u8 = 6;
const LISTEN: u8 = 10;

#[test]
fn the_address_of_a_killed_server_is_free_at_once_whatever_its_connections_are_in() {
    let (mut server, address) = start();
    // Connections whose ends the server's kernel has to remember: closed by the server first, and
    // then by the client.
    for _ in 0..3 {
        let mut closed = client(address, b"q");
        assert_eq!(closed.read(&mut [0]).unwrap(), 0);
    }
    // And connections that are open when it is killed.
    let mut open: Vec<_> = (0..3).map(|_| client(address, b"ping")).collect();
    let before = states(address.port());
    assert!(before.contains(&ESTABLISHED) && before.contains(&LISTEN));
    assert!(before.contains(&TIME_WAIT), "{before:?}");

    server.kill().unwrap();
    server.wait().unwrap();
    let after = states(address.port());
    assert!(!after.contains(&LISTEN), "{after:?}");
    assert!(after.contains(&TIME_WAIT), "{after:?}");
    assert!(after.iter().any(|s| FIN_WAIT.contains(s)), "{after:?}");
    // They are really in the way of whoever does not care for it.
    let careless = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    let error = careless.bind(&address.into()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AddrInUse);

    let listener = Listener::bind(address).unwrap();
    assert_eq!(listener.local_addr(), address);
    // The old connections have nothing to do with it, and new ones come in.
    for stream in &mut open {
        assert_eq!(stream.read(&mut [0]).unwrap(), 0);
    }
    let mut net = EventLoop::<()>::new(LoopConfig::default()).unwrap();
    net.listen(listener, ListenerTag(0)).unwrap();
    let _new = TcpStream::connect(address).unwrap();
    let mut events = Vec::new();
    while events.is_empty() {
        net.poll(&mut events, None).unwrap();
    }
    assert!(matches!(events[0], Event::Opened { .. }));
}
