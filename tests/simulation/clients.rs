//! What do people do meanwhile, and what do their clients when a server goes away?
//!
//! Each client makes an account, opens a session, and then sends, acknowledges and reads, with
//! several requests open. It holds on to a server until that refuses, ends or says nothing for a
//! while; then it tries the next, and sends what is open again, under the same numbers.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use lastword::types::{
    AccountId, ChatOp, Name, Op, OpNumber, Origin, Outcome, PasswordVersion, RequestNumber,
    SecretHash, SessionId, SessionRequest, Text,
};
use lastword::wire::operation::encode_op;

use super::random::Random;
use super::settings::{MILLISECOND, SECOND};
use super::trace;
use super::world::{Event, World};

/// How long a client waits for an answer before it tries another server.
const PATIENCE: u64 = 700 * MILLISECOND;

/// Who has asked, by which connection.
#[derive(Clone, Debug)]
pub struct Asked {
    pub client: usize,
    pub connection: u64,
    pub number: u64,
}

/// What is asked.
#[derive(Clone, Debug)]
pub enum Request {
    /// For the log.
    Op { number: u64, payload: Vec<u8> },
    /// Out of the state: no older than what was acknowledged when it was asked.
    Read { number: u64, newest: u64 },
}

/// What is answered.
#[derive(Clone, Debug)]
pub enum Reply {
    Done {
        number: u64,
        outcome: Outcome,
    },
    Read,
    /// It is not the primary; who is, if that is known.
    Refused {
        leader: Option<SocketAddr>,
    },
    /// The outcome is not known here.
    Abandoned,
    /// The connection has ended.
    Lost,
}

/// What an open request is about.
#[derive(Clone, Debug, PartialEq)]
enum Wish {
    Account,
    Session,
    Message { to: usize, text: String },
    Acknowledge,
}

/// Somebody who chats.
pub struct Client {
    pub index: usize,
    account: Option<AccountId>,
    /// The account's session is open.
    is_open: bool,
    session: SessionId,
    /// What is open: an answer is still wanted.
    open: BTreeMap<u64, Wish>,
    last_number: u64,
    /// An open read: its number, and what was acknowledged when it was asked.
    reading: Option<(u64, u64)>,
    server: usize,
    connection: u64,
    is_connected: bool,
    /// The connection that has arrived somewhere last, and the process that it leads to.
    reached: (u64, u64),
    /// When it last heard anything, or began to wait.
    heard: u64,
    /// When the last packet each way arrives: they stay in order.
    arrives: u64,
    /// Nothing new is asked any more.
    pub is_resting: bool,
    pub answers: u64,
}

impl Client {
    pub fn new(index: usize, random: &mut Random) -> Self {
        Self {
            index,
            account: None,
            is_open: false,
            session: SessionId(u128::from(random.bits()) << 64 | index as u128),
            open: BTreeMap::new(),
            last_number: 0,
            reading: None,
            server: 0,
            connection: 0,
            is_connected: false,
            reached: (0, 0),
            heard: 0,
            arrives: 0,
            is_resting: false,
            answers: 0,
        }
    }

    /// Nothing is open.
    pub fn is_idle(&self) -> bool {
        self.open.is_empty() && self.reading.is_none()
    }

    fn name(index: usize) -> Name {
        Name::parse(&format!("client{index}")).expect("a name")
    }

    /// The op for a request, as it is sent now.
    fn encode(&self, number: u64, wish: &Wish) -> Vec<u8> {
        let lowest_open = self.open.keys().next().copied().unwrap_or(number);
        let request = SessionRequest {
            session: self.session,
            number: RequestNumber(number),
            lowest_open: RequestNumber(lowest_open),
        };
        let origin = Origin {
            account: self.account.unwrap_or_default(),
            request: Some(request),
        };
        let op = match wish {
            Wish::Account => ChatOp::CreateAccount {
                name: Self::name(self.index),
                password_hash: "$argon2id$v=19$m=8,t=1,p=1$c2FsdHNhbHQ$aGFzaGhhc2g",
                retry: Some(request),
            },
            Wish::Session => ChatOp::OpenSession {
                account: self.account.unwrap_or_default(),
                password_version: PasswordVersion(0),
                session: self.session,
                secret_hash: SecretHash([7; 32]),
            },
            Wish::Message { to, text } => ChatOp::Send {
                origin,
                to: Self::name(*to),
                text: Text::parse(text).expect("a text"),
            },
            Wish::Acknowledge => ChatOp::Acknowledge {
                origin,
                conversation: None,
                up_to: OpNumber::MAX,
            },
        };
        let mut payload = Vec::new();
        encode_op(&mut payload, &Op::Chat(op));
        payload
    }
}

impl World {
    /// A client looks around: has it waited for too long, and does it want something new?
    pub fn tick(&mut self, index: usize) {
        let has_waited = {
            let client = &self.clients[index];
            !client.is_idle() && self.now > client.heard + PATIENCE
        };
        if has_waited {
            self.change_server(index, None);
        }
        self.wish(index);
        if !self.clients[index].is_connected {
            self.send_all(index);
        }
        let pause = self.random.between(1, self.settings.thinking_time.max(2));
        self.after(pause, Event::Tick { client: index });
    }

    /// Somebody may want something.
    fn wish(&mut self, index: usize) {
        let known = self.known_accounts();
        let requests_open = self.settings.requests_open;
        let wants_read = self.random.percent(20);
        let draw = self.random.below(100);
        let to = self.random.pick(&known);
        let newest = self.checker.newest_acknowledged;
        let client = &mut self.clients[index];
        if client.is_resting {
            return;
        }
        // Readers do not wait until their writes are done: who still answers reads shows it.
        if client.is_open && wants_read && client.reading.is_none() {
            client.last_number += 1;
            let number = client.last_number;
            client.reading = Some((number, newest));
            if client.is_connected {
                self.ask(index, Request::Read { number, newest });
            }
            return;
        }
        if client.open.len() >= requests_open {
            return;
        }
        let wish = match (client.account, client.is_open) {
            _ if !client.open.is_empty() && !client.is_open => return,
            (None, _) => Wish::Account,
            (Some(_), false) => Wish::Session,
            _ => match to {
                Some(to) if draw < 85 => Wish::Message {
                    to,
                    text: format!("{index}/{}", client.last_number + 1),
                },
                _ => Wish::Acknowledge,
            },
        };
        if client.is_idle() {
            client.heard = self.now;
        }
        client.last_number += 1;
        let number = client.last_number;
        client.open.insert(number, wish.clone());
        let payload = client.encode(number, &wish);
        if client.is_connected {
            self.ask(index, Request::Op { number, payload });
        }
    }

    fn known_accounts(&self) -> Vec<usize> {
        let known = self.clients.iter().filter(|it| it.account.is_some());
        known.map(|it| it.index).collect()
    }

    /// Everything that is open, oldest first, by a new connection.
    fn send_all(&mut self, index: usize) {
        let connection = self.number();
        let client = &mut self.clients[index];
        client.connection = connection;
        client.is_connected = true;
        client.heard = self.now;
        client.arrives = self.now;
        let open: Vec<Request> = client
            .open
            .iter()
            .map(|(number, wish)| Request::Op {
                number: *number,
                payload: client.encode(*number, wish),
            })
            .collect();
        let reading = client.reading;
        for request in open {
            self.ask(index, request);
        }
        if let Some((number, newest)) = reading {
            self.ask(index, Request::Read { number, newest });
        }
    }

    fn ask(&mut self, index: usize, request: Request) {
        let latency = self.client_latency();
        let client = &mut self.clients[index];
        client.arrives = client.arrives.max(self.now + latency);
        let (at, connection, host) = (client.arrives, client.connection, client.server);
        self.at(
            at,
            Event::Asked {
                client: index,
                connection,
                host,
                request,
            },
        );
    }

    fn client_latency(&mut self) -> u64 {
        let (low, high) = self.settings.latency;
        self.random.between(low, high)
    }

    /// It goes on with another server: with this one, if it is known, or with the next.
    fn change_server(&mut self, index: usize, leader: Option<usize>) {
        let count = self.hosts.len();
        let client = &mut self.clients[index];
        client.server = leader.unwrap_or((client.server + 1) % count);
        client.is_connected = false;
        client.connection = 0;
        client.heard = self.now;
    }

    /// A request arrives at a host.
    pub fn asked(&mut self, client: usize, connection: u64, host: usize, request: Request) {
        self.say(|| {
            format!(
                "client {client} asks {} by {connection}: {request:?}",
                host + 1
            )
        });
        let target = &self.hosts[host];
        if target.is_suspended {
            // It is sent again until the machine is back.
            let request = Event::Asked {
                client,
                connection,
                host,
                request,
            };
            return self.after(100 * MILLISECOND, request);
        }
        // A connection leads to one process, and to nobody when that has ended.
        let process = target.process.as_ref().map_or(0, |it| it.number);
        let known = &mut self.clients[client].reached;
        if known.0 != connection {
            *known = (connection, process);
        }
        if *known != (connection, process) || process == 0 {
            if target.has_power {
                self.lose_client(client, connection);
            }
            return;
        }
        let number = match &request {
            Request::Op { number, .. } | Request::Read { number, .. } => *number,
        };
        let asked = Asked {
            client,
            connection,
            number,
        };
        let arrival = super::process::Arrival::Request { asked, request };
        self.arrived(host, process, arrival);
    }

    /// A server answers.
    pub fn reply(&mut self, asked: &Asked, reply: Reply) {
        let latency = self.client_latency();
        let (client, connection) = (asked.client, asked.connection);
        self.after(
            latency,
            Event::Answered {
                client,
                connection,
                reply,
            },
        );
    }

    /// A server has ended the connection, or was not there.
    pub fn lose_client(&mut self, client: usize, connection: u64) {
        let latency = self.client_latency();
        let reply = Reply::Lost;
        self.after(
            latency,
            Event::Answered {
                client,
                connection,
                reply,
            },
        );
    }

    /// An answer arrives at a client.
    pub fn answered(&mut self, index: usize, connection: u64, reply: Reply) {
        let client = &mut self.clients[index];
        if client.connection != connection {
            return;
        }
        client.heard = self.now;
        trace::line(self.now, || {
            format!("client {index} hears by {connection}: {reply:?}")
        });
        match reply {
            Reply::Done { number, outcome } => self.done(index, number, outcome),
            Reply::Read => {
                client.answers += u64::from(client.reading.take().is_some());
            }
            Reply::Refused { leader } => {
                let of_host = |it: SocketAddr| self.hosts.iter().position(|h| h.address == it);
                let leader = leader.and_then(of_host);
                let server = self.clients[index].server;
                self.change_server(index, leader.filter(|it| *it != server));
            }
            Reply::Abandoned | Reply::Lost => self.change_server(index, None),
        }
    }

    fn done(&mut self, index: usize, number: u64, outcome: Outcome) {
        let client = &mut self.clients[index];
        let Some(wish) = client.open.remove(&number) else {
            return;
        };
        client.answers += 1;
        match (&wish, outcome) {
            (Wish::Account, Outcome::Created(account)) => client.account = Some(account),
            (Wish::Session, Outcome::SessionOpened) => client.is_open = true,
            (Wish::Message { .. }, Outcome::Sent(_))
            | (Wish::Acknowledge, Outcome::Acknowledged(_)) => {}
            (wish, outcome) => panic!(
                "client {index} asked for {wish:?} and got {outcome:?}; open: {:?}",
                client.open
            ),
        }
        if let Wish::Message { text, .. } = wish
            && let Outcome::Sent(op) = outcome
        {
            self.checker.answered(&text, op);
        }
    }

    /// Nothing new is asked from now on.
    pub fn let_clients_rest(&mut self) {
        self.clients.iter_mut().for_each(|it| it.is_resting = true);
    }

    /// Everybody's next request begins now, and waits for nothing older.
    pub fn answers_of_all(&self) -> Vec<u64> {
        self.clients.iter().map(|it| it.answers).collect()
    }

    /// How long clients have to be given to find a server that answers.
    pub fn clients_time(&self) -> u64 {
        PATIENCE * self.hosts.len() as u64 + SECOND
    }
}
