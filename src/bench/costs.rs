//! What does a server take that has so many messages?
//!
//! It is started on a folder that [`fill`](super::fill) has filled. How long it takes until clients are let in,
//! and how much memory it has then, is measured; and how long single requests take, one after the other, on
//! connections of accounts from all over the folder, so that none of them finds warm what another one has just
//! used. Most of the time of LOGIN is Argon2, which is slow on purpose, for everybody the same; RESUME is a
//! login without it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::connections::{BenchError, Connections, refused, unasked};
use super::entrance::random_bits;
use super::figures::Latency;
use super::fill::{Fill, FillError, Progress, account_name, fill};
use super::process::{ServerProcess, folder_bytes};
use crate::journal::storage::leftovers;
use crate::net::clock;
use crate::types::{Name, OpNumber, RequestNumber, Secret, SessionId, Text};
use crate::wire::message::{Answer, Deliver, HistoryScope, Item, Request};
use crate::wire::reply::FromServer;
use crate::wire::request::encode_request;

/// How long a server may take until clients are let in.
const START_TIME_MAX: Duration = Duration::from_secs(600);
/// How often it is looked whether they are.
const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(1);
/// Accounts that are logged in as.
const ACCOUNTS_ASKED: usize = 100;
/// Messages that each of them sends.
const SENT_BY_EACH: u64 = 10;
/// Messages that HISTORY is asked for.
const HISTORY_MESSAGES: u32 = 100;
/// The most accounts that are made where nobody has said how many.
const ACCOUNTS_DEFAULT_MAX: u64 = 10_000;
/// The numbers of the requests that are asked once on a connection.
const ENTERING: RequestNumber = RequestNumber(1);
const HISTORY: RequestNumber = RequestNumber(2);
const FIRST_SEND: u64 = 3;

/// On what a server is measured.
#[derive(Clone, Debug)]
pub struct Place {
    /// The server's program.
    pub program: PathBuf,
    /// The filled folder. What is measured adds a few messages and sessions to it.
    pub data: PathBuf,
    /// How many accounts were made in it, from 1.
    pub accounts: usize,
    /// Their password.
    pub password: String,
    /// Bytes of the messages that are sent.
    pub size: usize,
}

/// What a server takes.
#[derive(Clone, Debug)]
pub struct Costs {
    /// Bytes of the folder before the server was started.
    pub disk_bytes: u64,
    /// From the start of the process until clients were let in.
    pub start: Duration,
    /// Bytes of memory then.
    pub memory_at_start: u64,
    /// Bytes of memory after all the requests.
    pub memory: u64,
    /// How long a login takes.
    pub login: Latency,
    /// How long resuming a session takes.
    pub resume: Latency,
    /// How long a message takes until it is acknowledged.
    pub send: Latency,
    /// How long the newest 100 messages of an account take, the first time that they are asked for.
    pub history: Latency,
}

/// Starts a server, measures it, and stops it.
///
/// # Errors
/// It does not start, or its accounts are not those of [`fill`](super::fill).
pub fn measure_costs(place: &Place) -> Result<Costs, BenchError> {
    let disk_bytes = folder_bytes(&place.data).map_err(|error| {
        let data = place.data.display();
        BenchError::Process(format!(
            "{data} cannot be read: {error}; fill it first, with: bench fill --data {data}"
        ))
    })?;
    let begun = clock::now();
    let mut server = ServerProcess::start(&place.program, &place.data)?;
    let mut asker = Asker {
        connections: wait_until_ready(&mut server)?,
    };
    let start = clock::now().since(begun);
    let mut costs = Costs {
        disk_bytes,
        start,
        memory_at_start: server.resident_bytes()?,
        memory: 0,
        login: Latency::new(),
        resume: Latency::new(),
        send: Latency::new(),
        history: Latency::new(),
    };
    let asked = place.accounts.min(ACCOUNTS_ASKED);
    for at in 0..asked {
        let account = at * place.accounts / asked;
        asker.ask_as(account, place, &mut costs)?;
    }
    costs.memory = server.resident_bytes()?;
    server.check()?;
    server.stop()?;
    Ok(costs)
}

/// Fills a folder, measures a server on it, and removes it. `tell` is called as by [`fill`].
///
/// # Errors
/// As [`fill`], and as [`measure_costs`].
pub fn fill_and_measure(
    program: &Path,
    wanted: &Fill,
    tell: &mut dyn FnMut(Progress),
) -> Result<Costs, BenchError> {
    let filled = fill(wanted, tell);
    // What is another's stays.
    let _removed = match &filled {
        Ok(_) | Err(FillError::Broken { .. } | FillError::Unmoved { .. }) => {
            Some(Removed(&wanted.data))
        }
        Err(_) => None,
    };
    filled?;
    measure_costs(&Place {
        program: program.to_owned(),
        data: wanted.data.clone(),
        accounts: wanted.accounts,
        password: wanted.password.clone(),
        size: wanted.size,
    })
}

/// A folder that is removed when this is dropped.
struct Removed<'a>(&'a Path);

impl Drop for Removed<'_> {
    fn drop(&mut self) {
        // What cannot be removed is seen by whoever looks where it was made.
        let _ = leftovers::remove(self.0);
    }
}

/// How many accounts there are for so many messages, if nobody says how many: few enough for each of them to have
/// more messages than it asks for, or else what is asked for of few would be less than of many.
pub fn accounts_for(messages: u64) -> usize {
    let enough = messages / u64::from(HISTORY_MESSAGES);
    enough.clamp(1, ACCOUNTS_DEFAULT_MAX) as usize
}

/// The server's program that was built with this one.
pub fn program_beside(this: &Path) -> PathBuf {
    this.with_file_name("server")
}

/// Connects as soon as that can be, and asks until clients are let in.
fn wait_until_ready(server: &mut ServerProcess) -> Result<Connections, BenchError> {
    let begun = clock::now();
    let mut connections = None;
    loop {
        server.check()?;
        connections = match connections.take() {
            None => match Connections::open(server.address, 1) {
                Err(BenchError::Unreachable { .. }) => None,
                opened => Some(opened?),
            },
            Some(mut connections) => {
                if says_ready(&mut connections)? {
                    // Nobody logs in on it, for which a server does not wait long.
                    connections.close(0);
                    return Ok(connections);
                }
                Some(connections)
            }
        };
        if clock::now().since(begun) > START_TIME_MAX {
            let seconds = START_TIME_MAX.as_secs();
            return Err(BenchError::Process(format!(
                "the server has not let clients in for {seconds} s"
            )));
        }
        std::thread::sleep(LOOK_AGAIN_AFTER);
    }
}

fn says_ready(connections: &mut Connections) -> Result<bool, BenchError> {
    let mut is_ready = false;
    if let Some(out) = connections.output(0) {
        encode_request(out, ENTERING, ENTERING, &Request::Status);
    }
    let mut answered = false;
    while !answered {
        connections.turn(None, |_, message| match message {
            FromServer::Item {
                item: Item::Line(line),
                ..
            } => {
                is_ready |= line == "ready yes";
                Ok(())
            }
            FromServer::Answer {
                answer: Ok(Answer::Reported),
                ..
            } => {
                answered = true;
                Ok(())
            }
            other => unasked(&other),
        })?;
    }
    Ok(is_ready)
}

/// Requests, one after the other.
struct Asker {
    connections: Connections,
}

impl Asker {
    /// Logs in as one account, and asks for what is measured.
    fn ask_as(
        &mut self,
        account: usize,
        place: &Place,
        costs: &mut Costs,
    ) -> Result<(), BenchError> {
        let session = SessionId(random_bits());
        let name = account_name(account);
        let connection = self.connect()?;
        let login = Request::Login {
            name: name.as_str(),
            password: &place.password,
            session: Some(session),
            deliver: Deliver::Nothing,
        };
        let secret = match self.time(connection, "a login", ENTERING, &login, &mut costs.login)? {
            Answer::LoggedIn {
                secret: Some(secret),
                ..
            } => secret,
            other => return Err(BenchError::Senseless(format!("{other:?}"))),
        };
        let history = Request::History {
            scope: HistoryScope::All,
            limit: HISTORY_MESSAGES,
            before: OpNumber::MAX,
        };
        let what = "a history";
        self.time(connection, what, HISTORY, &history, &mut costs.history)?;
        let neighbour = account_name((account + 1) % place.accounts);
        self.send(connection, neighbour, place, costs)?;
        self.connections.close(connection);
        self.resume(session, secret, costs)
    }

    fn send(
        &mut self,
        connection: usize,
        to: Name,
        place: &Place,
        costs: &mut Costs,
    ) -> Result<(), BenchError> {
        let text = "x".repeat(place.size);
        let text = Text::parse(&text).expect("it has a size that a text may have");
        let send = Request::Send { to, text };
        for number in (FIRST_SEND..).take(SENT_BY_EACH as usize) {
            let number = RequestNumber(number);
            self.time(connection, "a message", number, &send, &mut costs.send)?;
        }
        Ok(())
    }

    fn resume(
        &mut self,
        session: SessionId,
        secret: Secret,
        costs: &mut Costs,
    ) -> Result<(), BenchError> {
        let connection = self.connect()?;
        let resume = Request::Resume {
            session,
            secret,
            deliver: Deliver::Nothing,
        };
        let what = "a resumption";
        self.time(connection, what, ENTERING, &resume, &mut costs.resume)?;
        self.connections.close(connection);
        Ok(())
    }

    fn connect(&mut self) -> Result<usize, BenchError> {
        self.connections.add(1)?;
        Ok(self.connections.count() - 1)
    }

    /// Asks one thing, and notes how long it takes until the last word of the answer is there.
    fn time(
        &mut self,
        connection: usize,
        what: &'static str,
        number: RequestNumber,
        request: &Request<'_>,
        latency: &mut Latency,
    ) -> Result<Answer<'static>, BenchError> {
        let begun = clock::now();
        if let Some(out) = self.connections.output(connection) {
            encode_request(out, number, number, request);
        }
        let mut answered = None;
        loop {
            self.connections
                .turn(None, |place, message| match message {
                    FromServer::Answer { answer, .. } if place == connection => {
                        answered = Some(answer.map_err(|refusal| refused(what, refusal))?);
                        Ok(())
                    }
                    FromServer::Item { .. } => Ok(()),
                    other => unasked(&other),
                })?;
            if let Some(answer) = answered {
                latency.note(clock::now().since(begun));
                return Ok(answer);
            }
        }
    }
}
