//! Some servers with instant disks and links of one millisecond.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use crate::replica::{
    Config, Entry, Identity, Input, LinkId, Output, Replica, Start, Ticket, ancestor_of,
};
use crate::types::{
    AccountId, ChatOp, Cluster, ClusterId, Incarnation, Lineage, LogPosition, Op, OpNumber, Origin,
    ServerId, Time, Timestamp, TrustRefused, Vote,
};
use crate::wire::Decoded;
use crate::wire::operation::{decode_op, encode_op};
use crate::wire::peer::{PeerMessage, decode_peer, encode_peer};

pub struct Rig {
    now: Time,
    nodes: BTreeMap<u16, Node>,
    /// Links: by their name, the two ends' process numbers.
    links: BTreeMap<LinkId, (u16, u16)>,
    next_link: u64,
    cuts: Vec<(u16, u16)>,
    /// Addresses that other programs have: they take connections and say nothing.
    taken: Vec<SocketAddr>,
    /// What is on its way, with when it arrives.
    mail: Vec<(Time, u16, Mail)>,
    acknowledged: Vec<u64>,
    /// Whose refusals the next servers believe, each on a host of its own; `None`: all run on one host.
    hosts: Option<TrustRefused>,
}

/// One data folder, and the process that runs in it. Nodes are numbered in the order in which they
/// joined, which is that of their ids.
struct Node {
    replica: Option<Replica>,
    paused: bool,
    waiting: Vec<Mail>,
    address: SocketAddr,
    identity: Identity,
    vote: Vote,
    log: Vec<Entry>,
    /// What the store holds: how many ops of the log, and what a snapshot left out of it.
    base: OpNumber,
    base_cluster: Option<Cluster>,
    applied: Vec<u64>,
    base_applied: Vec<u64>,
    process: u64,
    readable: usize,
}

enum Mail {
    Message(LinkId, PeerMessage),
    LinkUp(LinkId, Identity, Option<SocketAddr>),
    Ended(LinkId, bool),
    Failed(SocketAddr, bool),
    Snapshot(Cluster, LogPosition, Vec<u64>),
}

/// What an old copy of a data folder holds.
pub struct Copy {
    identity: Identity,
    vote: Vote,
    log: Vec<Entry>,
}

const SERVICE: ([u8; 4], u16) = ([127, 0, 0, 1], 5000);

fn host_ip(host: Option<u16>) -> IpAddr {
    match host {
        Some(host) => IpAddr::from([10, 0, 0, host as u8]),
        None => IpAddr::from([127, 0, 0, 1]),
    }
}

impl Rig {
    pub fn new() -> Self {
        Self {
            now: Time(1_000_000_000_000),
            nodes: BTreeMap::new(),
            links: BTreeMap::new(),
            next_link: 1,
            cuts: Vec::new(),
            taken: Vec::new(),
            mail: Vec::new(),
            acknowledged: Vec::new(),
            hosts: None,
        }
    }

    /// From now on each new server has a host of its own.
    pub fn on_hosts(&mut self, trust_refused: TrustRefused) {
        self.hosts = Some(trust_refused);
    }

    fn config(&self, seed: u64, number: u16) -> Config {
        let host = self.hosts.is_some().then_some(number);
        Config {
            heartbeat: Duration::from_millis(100),
            fresh: Duration::from_millis(800),
            grace: Duration::from_secs(1),
            trust_refused: self.hosts.unwrap_or_default(),
            own_ip: host_ip(host),
            contacts: vec![SERVICE.into()],
            force: false,
            seed,
        }
    }

    /// Three servers in sync, the first of them the primary.
    pub fn three() -> Self {
        let mut rig = Self::new();
        rig.found(2);
        rig.run_ms(50);
        rig.join();
        rig.run_ms(1000);
        rig.join();
        rig.run_ms(1000);
        assert!(rig.replica(1).serves());
        assert_eq!(rig.replica(1).view().unwrap().members.len(), 3);
        rig
    }

    fn node(&mut self, server: u16) -> &mut Node {
        self.nodes.get_mut(&server).unwrap()
    }

    pub fn replica(&self, server: u16) -> &Replica {
        self.nodes[&server].replica.as_ref().unwrap()
    }

    pub fn acknowledged(&self) -> Vec<u64> {
        self.acknowledged.clone()
    }

    pub fn applied(&self, server: u16) -> Vec<u64> {
        self.nodes[&server].applied.clone()
    }

    fn add(&mut self, cluster: u128, server: u16) -> u16 {
        let number = self.nodes.len() as u16 + 1;
        let ip = host_ip(self.hosts.is_some().then_some(number));
        let address = SocketAddr::new(ip, 5000 + number);
        let identity = Identity {
            cluster: ClusterId(cluster),
            lineage: Lineage {
                counter: 0,
                random: u64::try_from(cluster).unwrap(),
            },
            server: ServerId(server),
            incarnation: Incarnation {
                counter: 1,
                random: u64::from(number) * 1000 + 1,
            },
            ancestor: Incarnation::default(),
            address,
        };
        let node = Node {
            replica: None,
            paused: false,
            waiting: Vec::new(),
            address,
            identity,
            vote: Vote::default(),
            log: Vec::new(),
            base: OpNumber::ZERO,
            base_cluster: None,
            applied: Vec::new(),
            base_applied: Vec::new(),
            process: 1,
            readable: 0,
        };
        self.nodes.insert(number, node);
        number
    }

    pub fn found(&mut self, backups: u16) {
        let number = self.add(77, 1);
        let (now, config) = (self.now, self.config(1, number));
        let node = self.node(number);
        node.replica = Some(Replica::found(node.identity, backups, config, now));
        self.drain(number);
    }

    pub fn join(&mut self) {
        let number = self.add(0, 0);
        let (now, config) = (self.now, self.config(number.into(), number));
        let node = self.node(number);
        node.replica = Some(Replica::join(node.identity, config, now));
        self.drain(number);
    }

    /// A server with an empty folder comes in the place of one that is gone.
    pub fn replace(&mut self, server: u16) -> u16 {
        let number = self.add(0, 0);
        let (now, address) = (self.now, self.node(server).address);
        let config = self.config(number.into(), number);
        let node = self.node(number);
        node.address = address;
        node.identity.address = address;
        node.replica = Some(Replica::join(node.identity, config, now));
        self.drain(number);
        number
    }

    /// Something that says it is the server `server` connects to one.
    pub fn connect_as(&mut self, server: u16, to: u16) {
        let link = LinkId(self.next_link);
        self.next_link += 1;
        let peer = Identity {
            server: ServerId(server),
            address: ([127, 0, 0, 2], server).into(),
            ..*self.replica(to).identity()
        };
        let dialed = None;
        self.input(to, Input::LinkUp { link, peer, dialed });
    }

    /// A copy of a server's folder runs elsewhere, connects to another server, and ends.
    pub fn copy_comes_and_goes(&mut self, server: u16, to: u16) {
        let link = LinkId(self.next_link);
        self.next_link += 1;
        let mut peer = *self.replica(server).identity();
        peer.incarnation.counter += 1;
        peer.incarnation.random += 1;
        peer.address = ([127, 0, 0, 3], server).into();
        let dialed = None;
        self.input(to, Input::LinkUp { link, peer, dialed });
        let sent_at = self.now;
        let message = PeerMessage::Pong { sent_at };
        self.input(to, Input::Message { link, message });
        let by_peer = true;
        self.input(to, Input::LinkEnded { link, by_peer });
    }

    /// Says something to a server by its link to another.
    pub fn say(&mut self, from: u16, to: u16, message: PeerMessage) {
        let mut links = self.links.iter();
        let between = links.find(|(_, ends)| **ends == (from, to) || **ends == (to, from));
        let link = *between.unwrap().0;
        self.input(to, Input::Message { link, message });
    }

    /// Copies the folder of a server that has no store yet.
    pub fn copy(&mut self, server: u16) -> Copy {
        let node = self.node(server);
        assert_eq!(node.base, OpNumber::ZERO);
        Copy {
            identity: node.identity,
            vote: node.vote.clone(),
            log: node.log.clone(),
        }
    }

    /// Puts an old copy in the place of a server's folder.
    pub fn put_back(&mut self, server: u16, copy: Copy) {
        let node = self.node(server);
        assert!(node.replica.is_none());
        node.identity = copy.identity;
        node.vote = copy.vote;
        node.log = copy.log;
        node.base = OpNumber::ZERO;
        node.base_cluster = None;
        node.base_applied.clear();
    }

    pub fn kill(&mut self, server: u16) {
        let node = self.node(server);
        node.replica = None;
        node.paused = false;
        node.waiting.clear();
        self.mail.retain(|(_, to, _)| *to != server);
        let ended: Vec<(LinkId, u16)> = self
            .links
            .iter()
            .filter(|(_, (a, b))| *a == server || *b == server)
            .map(|(link, (a, b))| (*link, if *a == server { *b } else { *a }))
            .collect();
        for (link, other) in ended {
            self.links.remove(&link);
            if !self.is_cut(server, other) {
                self.post(other, Mail::Ended(link, true));
            }
        }
    }

    /// Of the journal of a server that is down only the first ops are there, and it has not seen a
    /// view in force.
    pub fn keep(&mut self, server: u16, ops: usize) {
        let node = self.node(server);
        assert!(node.replica.is_none() && node.base == OpNumber::ZERO);
        node.log.truncate(ops);
        node.vote.in_force = OpNumber::ZERO;
    }

    pub fn restart(&mut self, server: u16) {
        self.start(server, false);
    }

    pub fn force(&mut self, server: u16) {
        self.start(server, true);
    }

    fn start(&mut self, server: u16, force: bool) {
        let now = self.now;
        let node = self.node(server);
        assert!(node.replica.is_none());
        node.process += 1;
        node.identity.incarnation = Incarnation {
            counter: node.identity.incarnation.counter + 1,
            random: u64::from(server) * 1000 + node.process,
        };
        node.identity.ancestor = ancestor_of(node.identity.incarnation, &node.vote);
        node.applied = node.base_applied.clone();
        let log = node
            .log
            .iter()
            .map(|entry| Entry::decode(entry.prepare.clone()).unwrap());
        let start = Start {
            identity: node.identity,
            vote: node.vote.clone(),
            cluster: node.base_cluster.clone(),
            applied: node.base,
            log: log.collect(),
            damaged: false,
            clock: Timestamp(0),
        };
        let seed = node.process;
        let config = Config {
            force,
            ..self.config(seed, server)
        };
        let node = self.node(server);
        node.replica = Some(Replica::start(start, config, now).unwrap());
        self.drain(server);
    }

    /// Another program takes the address that a server has left.
    pub fn take_address_of(&mut self, server: u16) {
        let address = self.node(server).address;
        self.taken.push(address);
    }

    /// A server takes an address that is free.
    pub fn move_away(&mut self, server: u16) -> SocketAddr {
        let address: SocketAddr = ([127, 0, 0, 1], 6000 + server).into();
        self.node(server).address = address;
        self.node(server).identity.address = address;
        self.input(server, Input::Moved { address });
        address
    }

    pub fn pause(&mut self, server: u16) {
        self.node(server).paused = true;
    }

    pub fn resume(&mut self, server: u16) {
        self.node(server).paused = false;
    }

    pub fn leave(&mut self, server: u16) {
        self.input(server, Input::Leave);
    }

    pub fn cut(&mut self, a: u16, b: u16) {
        self.cuts.push((a, b));
    }

    pub fn heal(&mut self, a: u16, b: u16) {
        self.cuts.retain(|cut| *cut != (a, b));
        // What was cut for long has timed out.
        let stale: Vec<LinkId> = self
            .links
            .iter()
            .filter(|(_, ends)| **ends == (a, b) || **ends == (b, a))
            .map(|(link, _)| *link)
            .collect();
        for link in stale {
            self.links.remove(&link);
            self.post(a, Mail::Ended(link, false));
            self.post(b, Mail::Ended(link, false));
        }
    }

    fn is_cut(&self, a: u16, b: u16) -> bool {
        self.cuts.contains(&(a, b)) || self.cuts.contains(&(b, a))
    }

    /// A client's op, with a number for what it says.
    pub fn send(&mut self, server: u16, value: u64) {
        let mut payload = Vec::new();
        let op = ChatOp::Acknowledge {
            origin: Origin {
                account: AccountId(1),
                request: None,
            },
            conversation: None,
            up_to: OpNumber(value),
        };
        encode_op(&mut payload, &Op::Chat(op));
        self.input(
            server,
            Input::Request {
                ticket: Ticket(value),
                time: Timestamp(1),
                payload: &payload,
            },
        );
    }

    /// How many reads were answered.
    pub fn answered_reads(&self, server: u16) -> usize {
        self.nodes[&server].readable
    }

    /// A read now is not answered at once.
    pub fn reads_refused_or_waiting(&mut self, server: u16) -> bool {
        let before = self.node(server).readable;
        self.input(server, Input::Read { ticket: Ticket(0) });
        self.node(server).readable == before
    }

    pub fn run_ms(&mut self, milliseconds: u64) {
        for _ in 0..milliseconds {
            self.now = self.now + Duration::from_millis(1);
            let now = self.now;
            let (due, later) = std::mem::take(&mut self.mail)
                .into_iter()
                .partition(|(at, ..)| *at <= now);
            self.mail = later;
            for (_, to, mail) in due {
                let due: Vec<(Time, u16, Mail)> = vec![(now, to, mail)];
                for (_, to, mail) in due {
                    self.deliver(to, mail);
                }
            }
            for server in self.nodes.keys().copied().collect::<Vec<_>>() {
                self.tick(server);
            }
        }
    }

    fn tick(&mut self, server: u16) {
        let now = self.now;
        let node = self.node(server);
        if node.replica.is_none() || node.paused {
            return;
        }
        for mail in std::mem::take(&mut node.waiting) {
            self.deliver(server, mail);
        }
        let replica = self.node(server).replica.as_mut().unwrap();
        if replica.poll_timeout().is_some_and(|at| at <= now) {
            replica.handle_timeout(now);
            self.drain(server);
        }
    }

    fn deliver(&mut self, server: u16, mail: Mail) {
        let node = self.node(server);
        if node.replica.is_none() {
            return;
        }
        if node.paused {
            return node.waiting.push(mail);
        }
        match mail {
            Mail::Message(link, message) => self.input(server, Input::Message { link, message }),
            Mail::LinkUp(link, peer, dialed) => {
                self.input(server, Input::LinkUp { link, peer, dialed });
            }
            Mail::Ended(link, by_peer) => self.input(server, Input::LinkEnded { link, by_peer }),
            Mail::Failed(address, refused) => {
                self.input(server, Input::DialFailed { address, refused });
            }
            Mail::Snapshot(cluster, last, applied) => {
                node.log.clear();
                node.base = last.op;
                node.base_cluster = Some(cluster.clone());
                node.applied = applied.clone();
                node.base_applied = applied;
                self.input(server, Input::Installed { cluster, last });
            }
        }
    }

    fn input(&mut self, server: u16, input: Input<'_>) {
        let now = self.now;
        let replica = self.node(server).replica.as_mut().unwrap();
        replica.handle_input(input, now);
        self.drain(server);
    }

    fn drain(&mut self, server: u16) {
        while let Some(output) = self.node(server).replica.as_mut().unwrap().poll_output() {
            self.carry_out(server, output);
        }
    }

    fn post(&mut self, to: u16, mail: Mail) {
        let at = self.now + Duration::from_millis(1);
        self.mail.push((at, to, mail));
    }

    fn other_end(&self, link: LinkId, server: u16) -> Option<u16> {
        let (a, b) = self.links.get(&link)?;
        Some(if *a == server { *b } else { *a })
    }

    fn carry_out(&mut self, server: u16, output: Output) {
        let now = self.now;
        let node = self.node(server);
        match output {
            Output::Append(entry) => {
                let op = entry.op();
                node.log.push(entry);
                let replica = node.replica.as_mut().unwrap();
                replica.handle_input(Input::Persisted { op }, now);
            }
            Output::Truncate { after } => {
                node.log.truncate((after.0 - node.base.0) as usize);
            }
            Output::Save { identity, vote } => {
                node.identity = identity;
                node.vote = vote;
                let replica = node.replica.as_mut().unwrap();
                replica.handle_input(Input::Saved, now);
            }
            Output::Dial(address) => self.dial(server, address),
            Output::Send { link, message } => {
                let message = by_wire(&message);
                if let Some(other) = self.other_end(link, server)
                    && !self.is_cut(server, other)
                {
                    self.post(other, Mail::Message(link, message));
                }
            }
            Output::Close { link, .. } => {
                if let Some(other) = self.other_end(link, server) {
                    self.links.remove(&link);
                    self.post(other, Mail::Ended(link, true));
                }
            }
            Output::Fetch { link, after } => {
                let entries = match after.0.checked_sub(node.base.0) {
                    Some(from) => node
                        .log
                        .iter()
                        .skip(from as usize)
                        .take(5)
                        .cloned()
                        .collect(),
                    None => Vec::new(),
                };
                let input = Input::Fetched {
                    link,
                    after,
                    entries,
                };
                node.replica.as_mut().unwrap().handle_input(input, now);
            }
            Output::SendSnapshot { link } => {
                let replica = node.replica.as_ref().unwrap();
                let cluster = replica.cluster().unwrap().clone();
                let last = replica.commit();
                let view = cluster.view.number;
                let applied = node.applied.clone();
                let last = LogPosition { view, op: last };
                let other = self.other_end(link, server).unwrap();
                self.post(other, Mail::Snapshot(cluster, last, applied));
            }
            Output::Committed { entry, ticket } => {
                if let Ok(Op::Chat(ChatOp::Acknowledge { up_to, .. })) = decode_op(entry.payload())
                {
                    let value = up_to.0;
                    node.applied.push(value);
                    if ticket.is_some() {
                        self.acknowledged.push(value);
                    }
                }
            }
            Output::Readable(_) => node.readable += 1,
            Output::Refused(_) | Output::Abandoned(_) => {}
            Output::Note(note) => {
                if std::env::var_os("RIG_NOTES").is_some() {
                    println!("{} ms: {server}: {note:?}", now.0 / 1_000_000 % 1_000_000);
                }
            }
        }
    }

    fn dial(&mut self, from: u16, address: SocketAddr) {
        if self.taken.contains(&address) {
            return self.post(from, Mail::Failed(address, false));
        }
        let is_service = address == SocketAddr::from(SERVICE);
        let listens = |(_, node): &(&u16, &Node)| {
            let replica = node.replica.as_ref();
            replica.is_some_and(|replica| match is_service {
                true => replica.owns_service(),
                false => node.address == address,
            })
        };
        let Some(to) = self.nodes.iter().find(listens).map(|(number, _)| *number) else {
            return self.post(from, Mail::Failed(address, true));
        };
        if self.is_cut(from, to) || self.nodes[&to].paused {
            return self.post(from, Mail::Failed(address, false));
        }
        if from == to {
            return self.post(from, Mail::Failed(address, true));
        }
        let link = LinkId(self.next_link);
        self.next_link += 1;
        self.links.insert(link, (from, to));
        let mine = *self.replica(from).identity();
        let theirs = *self.replica(to).identity();
        self.post(from, Mail::LinkUp(link, theirs, Some(address)));
        self.post(to, Mail::LinkUp(link, mine, None));
    }
}

/// A message as it comes out of a frame's bytes.
fn by_wire(message: &PeerMessage) -> PeerMessage {
    let mut bytes = Vec::new();
    encode_peer(&mut bytes, message);
    match decode_peer(&bytes) {
        Decoded::Message { message, .. } => message,
        other => panic!("a server has sent what no server can read: {other:?}"),
    }
}
