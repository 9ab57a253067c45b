//! An event loop with a listener, and clients of it in the same thread.

use lastword::net::{ConnectionId, Event, EventLoop, Listener, ListenerTag, LoopConfig};
use socket2::{Domain, SockRef, Socket, Type};
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// What a test's timers mean.
pub type Timer = &'static str;

/// The tag of the rig's listener.
pub const TAG: ListenerTag = ListenerTag(7);

/// How long something may take that is sure to happen.
const PATIENCE: Duration = Duration::from_secs(30);

pub struct Rig {
    pub net: EventLoop<Timer>,
    pub address: SocketAddr,
    /// The events of all turns, in order.
    pub events: Vec<Event<Timer>>,
    pub turns: usize,
}

impl Rig {
    pub fn new() -> Self {
        Self::with(LoopConfig::default())
    }

    pub fn with(config: LoopConfig) -> Self {
        let mut net = EventLoop::new(config).unwrap();
        let listener = Listener::bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        let address = listener.local_addr();
        net.listen(listener, TAG).unwrap();
        Self {
            net,
            address,
            events: Vec::new(),
            turns: 0,
        }
    }

    /// One turn, and the events that it gave.
    pub fn turn(&mut self) -> Vec<Event<Timer>> {
        let mut events = Vec::new();
        let wait_max = Some(Duration::from_millis(20));
        self.net.poll(&mut events, wait_max).unwrap();
        self.net.flush();
        self.events.extend(&events);
        self.turns += 1;
        events
    }

    /// Turns until `condition` holds.
    pub fn until(&mut self, mut condition: impl FnMut(&mut Self) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !condition(self) {
            assert!(
                Instant::now() < deadline,
                "events so far: {:?}",
                self.events
            );
            self.turn();
        }
    }

    /// Turns until there was such an event.
    pub fn until_event(&mut self, event: Event<Timer>) {
        self.until(|rig| rig.count(event) > 0);
    }

    /// How often there was such an event.
    pub fn count(&self, event: Event<Timer>) -> usize {
        self.events.iter().filter(|seen| **seen == event).count()
    }

    /// A client, and its connection's id.
    pub fn client(&mut self) -> (Client, ConnectionId) {
        let client = Client::connect(self.address);
        let id = self.opened(&client);
        (client, id)
    }

    /// Turns until the client was let in.
    pub fn opened(&mut self, client: &Client) -> ConnectionId {
        let address = client.stream.local_addr().unwrap();
        let mut id = None;
        self.until(|rig| {
            id = rig.events.iter().find_map(|event| match event {
                Event::Opened {
                    connection, peer, ..
                } => (*peer == address).then_some(*connection),
                _ => None,
            });
            id.is_some()
        });
        id.unwrap()
    }

    /// What a connection holds unread.
    pub fn unread(&mut self, id: ConnectionId) -> Vec<u8> {
        let connection = self.net.connection(id).unwrap();
        connection.input().bytes().to_vec()
    }

    /// Takes all that a connection holds unread.
    pub fn take(&mut self, id: ConnectionId) -> Vec<u8> {
        let bytes = self.unread(id);
        self.net
            .connection(id)
            .unwrap()
            .input()
            .consume(bytes.len());
        bytes
    }

    pub fn send(&mut self, id: ConnectionId, bytes: &[u8]) {
        self.net.output(id).unwrap().extend_from_slice(bytes);
    }
}

/// A client whose socket never blocks.
pub struct Client {
    pub stream: TcpStream,
    /// What it has read.
    pub read: Vec<u8>,
    /// Whether the other end has ended its half.
    pub ended: bool,
}

impl Client {
    pub fn connect(address: SocketAddr) -> Self {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, None).unwrap();
        // Small, so that a client that does not read is noticed soon.
        socket.set_recv_buffer_size(16 * 1024).unwrap();
        socket.connect(&address.into()).unwrap();
        socket.set_nonblocking(true).unwrap();
        Self {
            stream: socket.into(),
            read: Vec::new(),
            ended: false,
        }
    }

    /// Sends all of it, which has to fit into the kernel's buffers.
    pub fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    /// Sends as much as the kernel takes, `Err` when the connection is broken.
    pub fn try_send(&mut self, bytes: &[u8]) -> Result<usize, ErrorKind> {
        match self.stream.write(bytes) {
            Ok(count) => Ok(count),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(0),
            Err(error) => Err(error.kind()),
        }
    }

    /// Reads what is there, `Err` when the connection is broken.
    pub fn try_read(&mut self) -> Result<(), ErrorKind> {
        let mut buffer = [0; 64 * 1024];
        loop {
            match self.stream.read(&mut buffer) {
                Ok(0) => {
                    self.ended = true;
                    return Ok(());
                }
                Ok(count) => self.read.extend_from_slice(&buffer[..count]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error.kind()),
            }
        }
    }

    /// Reads what is there, and says whether that was the end.
    pub fn has_ended(&mut self) -> bool {
        self.try_read().unwrap();
        self.ended
    }

    /// Ends its half.
    pub fn end(&mut self) {
        self.stream.shutdown(Shutdown::Write).unwrap();
    }

    /// Cuts the connection by a reset.
    pub fn reset(self) {
        SockRef::from(&self.stream)
            .set_linger(Some(Duration::ZERO))
            .unwrap();
    }
}

/// Bytes among which none that is lost, doubled or moved goes unnoticed.
pub fn pattern(length: usize) -> Vec<u8> {
    let period: Vec<u8> = (0..251).collect();
    let mut bytes = period.repeat(length.div_ceil(period.len()));
    bytes.truncate(length);
    bytes
}
