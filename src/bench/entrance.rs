//! Who are the connections logged in as?
//!
//! A few accounts are made, since a password is meant to cost the server something. Each session is
//! opened once, and resumed by the other connections that share it: more sessions than an account may
//! have, or than [`SESSIONS_SHARED_BEYOND`], would only make the beginning longer. All of them write to
//! one more account, whose log is what is looked at in the end.

use std::net::SocketAddr;
use std::time::Duration;

use super::connections::{BenchError, Connections};
use crate::limits::{ACCOUNT_SESSIONS_MAX, SESSION_OPEN_REQUESTS_MAX};
use crate::types::{Name, Password, RequestNumber, Secret, SessionId};
use crate::wire::message::{Answer, Deliver, Request};

/// Sessions beyond which connections begin to share them.
const SESSIONS_SHARED_BEYOND: usize = 64;
/// Accounts that write, if there are so many sessions.
const WRITERS: usize = 8;
/// Logins and resumptions that are asked for at a time.
const LOGINS_AT_A_TIME: usize = 256;
/// How often it is tried to delete the accounts, and how long after one another.
const DELETIONS_TRIED: u32 = 10;
const DELETION_TRIED_AGAIN_AFTER: Duration = Duration::from_millis(200);
/// The number of the requests by which one comes in: one on each connection at a time.
const ENTERING: RequestNumber = RequestNumber(1);
/// The first number that a session has left for everything else.
pub(super) const FIRST_NUMBER: u64 = 16;

/// Connections that are logged in, and as whom.
pub(super) struct Entrance {
    address: SocketAddr,
    pub connections: Connections,
    /// The session of each connection, by its place among `sessions`.
    pub session_of: Vec<usize>,
    sessions: Vec<Session>,
    /// Whom they all write to.
    pub recipient: Name,
    /// The accounts' one password.
    password: String,
    writers: Vec<Name>,
}

/// A session.
struct Session {
    id: SessionId,
    secret: Secret,
}

impl Entrance {
    /// So many connections to the server at `address`, each of which may have `depth` requests open.
    pub fn open(address: SocketAddr, count: usize, depth: usize) -> Result<Self, BenchError> {
        let sessions = sessions_for(count, depth);
        let writers = sessions
            .min(WRITERS)
            .max(sessions.div_ceil(ACCOUNT_SESSIONS_MAX));
        let tag = random_bits() as u32;
        let name = |what: &str| Name::parse(&format!("bench-{tag:08x}-{what}")).expect("a name");
        let mut entrance = Self {
            address,
            connections: Connections::open(address, 1)?,
            session_of: (0..count).map(|place| place % sessions).collect(),
            sessions: Vec::with_capacity(sessions),
            recipient: name("all"),
            password: format!("{:032x}", random_bits()),
            writers: (0..writers).map(|n| name(&n.to_string())).collect(),
        };
        entrance.create_accounts()?;
        let entered = entrance.log_in(sessions).and_then(|()| entrance.add(count));
        match entered {
            Ok(()) => Ok(entrance),
            Err(error) => {
                entrance.leave(false);
                Err(error)
            }
        }
    }

    /// The same at something that takes the same frames and knows no accounts.
    pub fn without_accounts(
        address: SocketAddr,
        count: usize,
        depth: usize,
    ) -> Result<Self, BenchError> {
        let sessions = sessions_for(count, depth);
        Ok(Self {
            address,
            connections: Connections::open(address, count)?,
            session_of: (0..count).map(|place| place % sessions).collect(),
            sessions: Vec::new(),
            recipient: Name::parse("bench-00000000-all").expect("a name"),
            password: String::new(),
            writers: Vec::new(),
        })
    }

    /// How many sessions there are.
    pub fn session_count(&self) -> usize {
        self.session_of.iter().max().map_or(0, |last| last + 1)
    }

    fn create_accounts(&mut self) -> Result<(), BenchError> {
        let password = Password::parse(&self.password).expect("long enough");
        let names = self.writers.iter().chain([&self.recipient]);
        let questions: Vec<_> = (ENTERING.0..)
            .zip(names)
            .map(|(number, name)| {
                let request = Request::Create {
                    name: *name,
                    password,
                    session: Some(SessionId(random_bits())),
                };
                (0, RequestNumber(number), request)
            })
            .collect();
        self.connections.ask("a new account", &questions)?;
        Ok(())
    }

    fn log_in(&mut self, sessions: usize) -> Result<(), BenchError> {
        while self.sessions.len() < sessions {
            let begin = self.sessions.len();
            let end = sessions.min(begin + LOGINS_AT_A_TIME);
            self.connections.add(end - self.connections.count())?;
            let logins: Vec<(SessionId, Name)> = (begin..end)
                .map(|at| {
                    let writer = self.writers[at % self.writers.len()];
                    (SessionId(random_bits()), writer)
                })
                .collect();
            let questions: Vec<_> = (begin..)
                .zip(&logins)
                .map(|(place, (id, writer))| {
                    let request = login(writer, &self.password, *id, Deliver::Nothing);
                    (place, ENTERING, request)
                })
                .collect();
            let answers = self.connections.ask("a login", &questions)?;
            for ((id, _), answer) in logins.iter().zip(answers) {
                let Answer::LoggedIn {
                    secret: Some(secret),
                    ..
                } = answer
                else {
                    return Err(BenchError::Senseless(format!("{answer:?}")));
                };
                self.sessions.push(Session { id: *id, secret });
            }
        }
        Ok(())
    }

    /// More connections until there are so many, which share the sessions that there are.
    pub fn add(&mut self, count: usize) -> Result<(), BenchError> {
        let sessions = self.sessions.len();
        let begin = self.session_of.len();
        self.session_of
            .extend((begin..count).map(|place| place % sessions));
        while self.connections.count() < count {
            let begin = self.connections.count();
            let end = count.min(begin + LOGINS_AT_A_TIME);
            self.connections.add(end - begin)?;
            let questions: Vec<_> = (begin..end)
                .map(|place| {
                    let session = &self.sessions[self.session_of[place]];
                    let request = Request::Resume {
                        session: session.id,
                        secret: session.secret,
                        deliver: Deliver::Nothing,
                    };
                    (place, ENTERING, request)
                })
                .collect();
            self.connections.ask("a resumption", &questions)?;
        }
        Ok(())
    }

    /// Asks on every connection whether anybody is there, and waits until all are answered.
    pub fn ping_all(&mut self) -> Result<(), BenchError> {
        // Beyond what any session has used.
        const LATE: RequestNumber = RequestNumber(u64::MAX >> 2);
        let places = 0..self.connections.count();
        let questions: Vec<_> = places.map(|it| (it, LATE, Request::Ping)).collect();
        self.connections.ask("a ping", &questions)?;
        Ok(())
    }

    /// So many more connections to which everything is delivered, and behind them so many of which nothing
    /// is read.
    pub fn listen(&mut self, listeners: usize, stalled: usize) -> Result<(), BenchError> {
        let begin = self.connections.count();
        let count = listeners + stalled;
        if count == 0 {
            return Ok(());
        }
        self.connections.add(count)?;
        let id = SessionId(random_bits());
        let request = login(&self.recipient, &self.password, id, Deliver::Unread);
        let questions = [(begin, ENTERING, request)];
        let answers = self.connections.ask("a login", &questions)?;
        let Some(Answer::LoggedIn {
            secret: Some(secret),
            ..
        }) = answers.first()
        else {
            return Err(BenchError::Senseless(format!("{answers:?}")));
        };
        let resume = Request::Resume {
            session: id,
            secret: *secret,
            deliver: Deliver::Unread,
        };
        let questions: Vec<_> = (begin + 1..begin + count)
            .map(|place| (place, ENTERING, resume.clone()))
            .collect();
        self.connections.ask("a resumption", &questions)?;
        if stalled > 0 {
            self.connections.stall_from(begin + listeners);
        }
        Ok(())
    }

    /// Logs in as whom everybody has written to, on a connection of its own. Answers its number.
    pub fn enter_as_recipient(&mut self) -> Result<usize, BenchError> {
        let place = self.connections.count();
        self.connections.add(1)?;
        let session = SessionId(random_bits());
        let request = login(&self.recipient, &self.password, session, Deliver::Nothing);
        let questions = [(place, ENTERING, request)];
        self.connections.ask("a login", &questions)?;
        Ok(place)
    }

    /// Ends all connections, and unless they are to be kept deletes the accounts, and with them what they
    /// wrote to each other. Where that fails, it is said which stay.
    pub fn leave(&mut self, keep: bool) {
        self.connections.close_all();
        if keep || self.writers.is_empty() {
            return;
        }
        let mut tries = 1;
        let deleted = loop {
            match self.delete_accounts() {
                // A server that was full has not noticed yet that it no longer is.
                Err(error) if error.is_of_a_full_server() && tries < DELETIONS_TRIED => {
                    tries += 1;
                    std::thread::sleep(DELETION_TRIED_AGAIN_AFTER);
                }
                other => break other,
            }
        };
        if let Err(error) = deleted {
            log::warn!(
                "the accounts {} and those beside it stay: {error}",
                self.recipient.as_str()
            );
        }
    }

    fn delete_accounts(&mut self) -> Result<(), BenchError> {
        const DELETING: RequestNumber = RequestNumber(ENTERING.0 + 1);
        let names: Vec<Name> = self
            .writers
            .iter()
            .chain([&self.recipient])
            .copied()
            .collect();
        let mut connections = Connections::open(self.address, names.len())?;
        let logins: Vec<_> = names
            .iter()
            .enumerate()
            .map(|(place, name)| {
                let session = SessionId(random_bits());
                let request = login(name, &self.password, session, Deliver::Nothing);
                (place, ENTERING, request)
            })
            .collect();
        connections.ask("a login", &logins)?;
        let delete = Request::Delete {
            password: &self.password,
        };
        let deletions: Vec<_> = (0..names.len())
            .map(|place| (place, DELETING, delete.clone()))
            .collect();
        connections.ask("an account's end", &deletions)?;
        Ok(())
    }
}

fn login<'a>(
    name: &'a Name,
    password: &'a str,
    session: SessionId,
    deliver: Deliver,
) -> Request<'a> {
    Request::Login {
        name: name.as_str(),
        password,
        session: Some(session),
        deliver,
    }
}

/// How many sessions so many connections share.
fn sessions_for(count: usize, depth: usize) -> usize {
    let wanted = count.min(SESSIONS_SHARED_BEYOND);
    let needed = (count * depth).div_ceil(SESSION_OPEN_REQUESTS_MAX as usize);
    wanted.max(needed).min(count)
}

/// Random bits: what is named by them exists nowhere else.
pub(super) fn random_bits() -> u128 {
    let half = || getrandom::u64().expect("the operating system gives random bits");
    u128::from(half()) << 64 | u128::from(half())
}
