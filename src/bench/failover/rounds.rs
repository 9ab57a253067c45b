//! What is done in which order, and what is timed?
//!
//! ```text
//!  Entering ──► Looking ──► Warming ──► Killing ──► Restarting ──► Looking … ──► Checking ──► Leaving
//!  account,     all in      one         the gap     if there is                  the log      account
//!  login        sync        message                 a command                                 deleted
//! ```
//!
//! One request is open at a time. Whatever fails leads to Leaving, so that no account is left over
//! where that can be helped.

mod face;

use std::time::Duration;

use super::command::{Running, Victim, Which};
use super::record::Record;
use super::{Failover, FailoverError, Gap, Gaps};
use crate::bench::entrance::random_bits;
use crate::bench::process::Process;
use crate::client::cluster::Cluster;
use crate::client::failover::Client;
use crate::client::front::Exit;
use crate::types::{Name, OpNumber, Password, RequestNumber, ServerId, SessionId, Text, Time};
use crate::wire::message::{Answer, Deliver, Request};

/// How often it is looked at what no event tells: commands, and servers that catch up.
const LOOK_EVERY: Duration = Duration::from_millis(5);
/// How long servers may take to be in sync.
const IN_SYNC_TIME_MAX: Duration = Duration::from_secs(120);
/// How long somebody is looked for who serves, before anything else: the service's address comes to a
/// new primary a moment after clients that know its own.
const ENTER_TIME_MAX: Duration = Duration::from_secs(1);
/// How long after the kill, or without one, nothing may be acknowledged.
const SILENCE_MAX: Duration = Duration::from_secs(60);
/// How long the primary may serve on when the command is done: longer than a client takes to notice
/// that it is silent.
const SERVES_ON_MAX: Duration = Duration::from_secs(3);
/// How long one tries to delete the account after something has failed.
const LEAVE_TIME_MAX: Duration = Duration::from_secs(3);

/// The rounds, as the front of a client.
pub(super) struct Rounds<'a> {
    failover: &'a Failover,
    tell: &'a mut dyn FnMut(&Gap),
    name: Name,
    password: String,
    stage: Stage,
    /// The request that is open.
    asked: Option<RequestNumber>,
    /// When something went on the last time.
    progress_at: Time,
    /// What the client said last of what it waits for.
    why: String,
    /// The lines of STATUS that have come.
    lines: Vec<String>,
    /// How many servers were in sync at the beginning.
    in_sync: Option<usize>,
    record: Record,
    gaps: Vec<Gap>,
    failure: Option<FailoverError>,
    exit: Option<Exit>,
    /// When something is to be looked at again.
    look_at: Option<Time>,
}

/// What is going on.
enum Stage {
    /// Before there is a login; nothing of it has failed yet.
    Entering,
    /// All servers are to be in sync.
    Looking {
        since: Time,
        /// When STATUS is to be asked again.
        again_at: Option<Time>,
    },
    /// All servers are in sync; a message more, so that nothing is cold.
    Warming(Victim),
    /// The primary is being killed.
    Killing(Kill),
    /// It is being started again.
    Restarting(Running),
    /// The log is read.
    Checking,
    /// The account is being deleted.
    Leaving { since: Time },
}

/// A kill.
struct Kill {
    victim: Victim,
    command: Running,
    /// The last acknowledgement before the gap.
    counts_from: Time,
    /// The connection to the primary has ended.
    is_down: bool,
    /// The gap has been measured.
    is_over: bool,
}

impl<'a> Rounds<'a> {
    pub fn new(failover: &'a Failover, tell: &'a mut dyn FnMut(&Gap)) -> Self {
        let tag = random_bits() as u32;
        Self {
            failover,
            tell,
            name: Name::parse(&format!("bench-{tag:08x}-gap")).expect("a name"),
            password: format!("{:032x}", random_bits()),
            stage: Stage::Entering,
            asked: None,
            progress_at: crate::net::clock::now(),
            why: String::new(),
            lines: Vec::new(),
            in_sync: None,
            record: Record::default(),
            gaps: Vec::new(),
            failure: None,
            exit: None,
            look_at: None,
        }
    }

    /// What came of it, in the end.
    pub fn outcome(self) -> Result<Gaps, FailoverError> {
        match self.failure {
            Some(failure) => Err(failure),
            None => Ok(Gaps {
                each: self.gaps,
                checked: self.record.acknowledged() as u64,
            }),
        }
    }

    // --- what is asked ---

    fn ask(&mut self, request: &Request<'_>, client: &mut Client, now: Time) {
        match client.ask(request, now) {
            Ok(number) => self.asked = Some(number),
            // It is logged out, of which the client has told before.
            Err(_) => self.exit = Some(Exit::Failed),
        }
    }

    fn create(&mut self, client: &mut Client, now: Time) {
        let password = self.password.clone();
        let request = Request::Create {
            name: self.name,
            password: Password::parse(&password).expect("long enough"),
            session: Some(SessionId(random_bits())),
        };
        self.ask(&request, client, now);
    }

    fn log_in(&mut self, client: &mut Client, now: Time) {
        let (name, password) = (self.name, self.password.clone());
        let request = Request::Login {
            name: name.as_str(),
            password: &password,
            session: Some(SessionId(random_bits())),
            deliver: Deliver::Nothing,
        };
        self.ask(&request, client, now);
    }

    fn send(&mut self, client: &mut Client, now: Time) {
        let text = self.record.next_text();
        let request = Request::Send {
            to: self.name,
            text: Text::parse(&text).expect("a short text"),
        };
        self.ask(&request, client, now);
    }

    fn look(&mut self, since: Time, client: &mut Client, now: Time) {
        self.lines.clear();
        let again_at = None;
        self.stage = Stage::Looking { since, again_at };
        self.ask(&Request::Status, client, now);
    }

    // --- what is answered ---

    fn answered(&mut self, answer: Answer<'_>, client: &mut Client, now: Time) {
        match (&mut self.stage, answer) {
            (Stage::Entering, Answer::Created { .. }) => self.log_in(client, now),
            (Stage::Entering, Answer::LoggedIn { .. }) => self.look(now, client, now),
            (Stage::Looking { since, .. }, Answer::Reported) => {
                let since = *since;
                self.looked(since, client, now);
            }
            (Stage::Warming(victim), Answer::Sent { id }) => {
                let victim = *victim;
                self.record.note(id);
                self.kill(victim, client, now);
            }
            (Stage::Killing(_), Answer::Sent { id }) => {
                self.record.note(id);
                self.acknowledged_meanwhile(client, now);
            }
            (Stage::Checking, Answer::Messages { .. }) => self.checked(client, now),
            (Stage::Leaving { .. }, Answer::Deleted { .. }) => self.over(),
            // It came about while something failed.
            (Stage::Leaving { .. }, Answer::Created { .. }) => self.log_in(client, now),
            (Stage::Leaving { .. }, Answer::LoggedIn { .. }) => self.delete(client, now),
            // A message that was open when something failed.
            (Stage::Leaving { .. }, _) => {}
            (_, other) => {
                let what = format!("a server has answered what was not asked: {other:?}");
                self.wrong(what);
            }
        }
    }

    /// STATUS has been told.
    fn looked(&mut self, since: Time, client: &mut Client, now: Time) {
        let cluster = Cluster::parse(self.lines.iter().map(String::as_str));
        let in_sync = cluster.in_sync();
        let wanted = match (self.in_sync, &self.failover.restart) {
            (None, _) => in_sync,
            (Some(before), Some(_)) => before,
            (Some(before), None) => before - self.gaps.len(),
        };
        let leads = cluster.role == "primary" && in_sync >= wanted;
        let Some((server, member)) = cluster.primary.filter(|_| leads) else {
            return self.look_later(since, in_sync, wanted, client, now);
        };
        if self.gaps.len() == self.failover.times as usize {
            return self.check(client, now);
        }
        if self.in_sync.is_none() {
            if let Err(failure) = self.is_enough(server, in_sync) {
                return self.fail(failure, client, now);
            }
            self.in_sync = Some(in_sync);
        }
        let process = client
            .server()
            .and_then(|(address, ..)| Process::serving(address));
        self.stage = Stage::Warming(Victim {
            server,
            member,
            process: process.map(|it| it.0),
        });
        self.send(client, now);
    }

    /// Whether so many servers are enough for what is to be done to them.
    fn is_enough(&self, server: u16, in_sync: usize) -> Result<(), FailoverError> {
        let Failover { times, restart, .. } = self.failover;
        let possible = in_sync.saturating_sub(1);
        match possible {
            0 => Err(FailoverError::Alone(server)),
            _ if restart.is_none() && *times as usize > possible => Err(FailoverError::TooFew {
                in_sync,
                possible,
                times: *times,
            }),
            _ => Ok(()),
        }
    }

    fn look_later(
        &mut self,
        since: Time,
        in_sync: usize,
        wanted: usize,
        client: &mut Client,
        now: Time,
    ) {
        if now.since(since) >= IN_SYNC_TIME_MAX {
            let failure = FailoverError::NotInSync {
                in_sync,
                wanted,
                seconds: IN_SYNC_TIME_MAX,
            };
            return self.fail(failure, client, now);
        }
        let again_at = Some(now + LOOK_EVERY);
        self.stage = Stage::Looking { since, again_at };
    }

    fn kill(&mut self, victim: Victim, client: &mut Client, now: Time) {
        let command = Running::start(Which::Kill, &self.failover.kill, &victim, now);
        match command {
            Ok(command) => {
                self.stage = Stage::Killing(Kill {
                    victim,
                    command,
                    counts_from: now,
                    is_down: false,
                    is_over: false,
                });
                self.send(client, now);
            }
            Err(failure) => self.fail(failure, client, now),
        }
    }

    /// A message was acknowledged while the primary is being killed.
    fn acknowledged_meanwhile(&mut self, client: &mut Client, now: Time) {
        let Stage::Killing(kill) = &mut self.stage else {
            return;
        };
        if !kill.is_down {
            kill.counts_from = now;
            return self.send(client, now);
        }
        kill.is_over = true;
        let gap = Gap {
            time: now.since(kill.counts_from),
            from: ServerId(kill.victim.server),
            to: client.server().map_or(ServerId(0), |(_, server, _)| server),
        };
        self.gaps.push(gap);
        (self.tell)(&gap);
    }

    fn check(&mut self, client: &mut Client, now: Time) {
        self.stage = Stage::Checking;
        let log = Request::Log {
            after: OpNumber::ZERO,
            limit: None,
        };
        self.ask(&log, client, now);
    }

    fn checked(&mut self, client: &mut Client, now: Time) {
        match self.record.is_complete() {
            Ok(()) => self.leave(client, now),
            Err(what) => self.wrong(what),
        }
    }

    // --- the end ---

    fn leave(&mut self, client: &mut Client, now: Time) {
        // An account may come about all the same.
        let is_entering = matches!(self.stage, Stage::Entering)
            && self.asked.is_some()
            && client.server().is_some();
        self.stage = Stage::Leaving { since: now };
        if client.identity().is_some() && !self.failover.keep {
            self.delete(client, now);
        } else if !is_entering || self.failover.keep {
            self.over();
        }
    }

    fn delete(&mut self, client: &mut Client, now: Time) {
        let password = self.password.clone();
        let delete = Request::Delete {
            password: &password,
        };
        self.ask(&delete, client, now);
    }

    fn over(&mut self) {
        self.exit = Some(match self.failure {
            None => Exit::Done,
            Some(_) => Exit::Failed,
        });
    }

    /// It is over, after the account was deleted.
    fn fail(&mut self, failure: FailoverError, client: &mut Client, now: Time) {
        if self.failure.is_none() {
            self.failure = Some(failure);
            self.leave(client, now);
        }
    }

    /// Something is as it must never be: everything is left as it is.
    fn wrong(&mut self, what: String) {
        let name = self.name.to_string();
        self.failure = Some(FailoverError::Wrong(what, name));
        self.over();
    }
}
