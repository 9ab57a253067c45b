//! How does a script hear what comes, and what counts as heard?
//!
//! A message is acknowledged once it was written out, never before: what a full disk or a reader
//! that has gone did not take is unread, and comes again the next time. Messages are written one by one,
//! and into a pipe not before its reader has taken out the one before: `head -1` takes one.

use std::collections::VecDeque;
use std::time::Duration;

use super::super::failover::{Change, Client, Output};
use super::super::front::{Exit, Front, Written};
use super::super::show::escape_line;
use super::patience::Patience;
use super::{Credentials, Format, LEAVE_TIME_MAX, refused, show_message};
use crate::types::{ErrorCode, OpNumber, RequestNumber, SessionId, Time};
use crate::wire::message::{Answer, Deliver, NoteKind, Refusal, Request};

/// A session that has ended sooner than this is not replaced once more: somebody else wants its place.
const SESSION_TIME_MIN: Duration = Duration::from_secs(60);

/// So many messages wait for a slow reader; more wait at the server.
const WAITING_MAX: usize = 256;

/// What is watched for, and how.
pub struct WatchOptions {
    /// How messages are written.
    pub format: Format,
    /// What was written is called read.
    pub acknowledges: bool,
    /// It ends after so many messages.
    pub count: Option<u64>,
    /// How long there may be no server that serves.
    pub time_max: Duration,
}

/// Writing out messages as they come.
pub struct Watching {
    options: WatchOptions,
    credentials: Credentials,
    /// Names sessions.
    fresh_session: Box<dyn Fn() -> SessionId>,
    stage: Stage,
    patience: Patience,
    /// When the last login was answered.
    logged_in_at: Time,
    /// Messages that came, of those that `options.count` asks for.
    count: u64,
    /// Messages that are to be written, the oldest first.
    waiting: VecDeque<(OpNumber, String)>,
    /// The newest message that came; that was taken to be written; that was written out.
    shown: OpNumber,
    taken: OpNumber,
    out: OpNumber,
    /// Up to where a server was asked to call messages read, and the question if it is open.
    asked: OpNumber,
    asking: Option<RequestNumber>,
    /// It comes to its end, and what that is.
    leaves: Option<Exit>,
    /// When the end of the session is waited for no more.
    leave_by: Option<Time>,
    written: Written,
    exit: Option<Exit>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Nothing was asked yet.
    Before,
    /// The login is open.
    LoggingIn(RequestNumber),
    /// Messages come.
    Watching,
    /// The end of the session was asked for.
    Leaving(RequestNumber),
}

impl Watching {
    /// Watches as whoever logs in with `credentials`; `fresh_session` names a session, a new one each
    /// time that it is called.
    pub fn new(
        options: WatchOptions,
        credentials: Credentials,
        fresh_session: Box<dyn Fn() -> SessionId>,
    ) -> Self {
        Self {
            patience: Patience::new(options.time_max),
            options,
            credentials,
            fresh_session,
            stage: Stage::Before,
            logged_in_at: Time(0),
            count: 0,
            waiting: VecDeque::new(),
            shown: OpNumber::ZERO,
            taken: OpNumber::ZERO,
            out: OpNumber::ZERO,
            asked: OpNumber::ZERO,
            asking: None,
            leaves: None,
            leave_by: None,
            written: Written::default(),
            exit: None,
        }
    }
}

impl Front for Watching {
    fn handle_output(&mut self, output: Output, client: &mut Client, now: Time) {
        if self.exit.is_some() {
            return;
        }
        match output {
            Output::Delivered(message) if self.leaves.is_none() && !self.is_complete() => {
                self.shown = message.id;
                let format = &mut self.options.format;
                let shown = show_message(&message, format, Some(&self.credentials));
                self.waiting.push_back((message.id, shown));
                self.count += 1;
            }
            Output::Answered { number, answer } => self.answered(number, answer, client, now),
            // All others are the library's business.
            Output::Noted {
                about: NoteKind::WritesWait,
                sentence,
            } => self.written.complain(&escape_line(&sentence)),
            Output::Changed(change) => self.changed(&change, client, now),
            _ => {}
        }
    }

    fn handle_signal(&mut self, signal: i32, client: &mut Client, now: Time) {
        if self.leaves.is_some() {
            self.exit = Some(Exit::Signal(signal));
        }
        self.leave(Exit::Signal(signal), client, now);
    }

    fn handle_written(&mut self, client: &mut Client, now: Time) {
        self.out = self.taken;
        match self.is_complete() && self.out == self.shown && self.leaves.is_none() {
            true => self.leave(Exit::Done, client, now),
            false => self.go_on(client, now),
        }
    }

    fn handle_output_lost(&mut self, why: Exit, client: &mut Client, now: Time) -> bool {
        // What was not written never will be, and is not waited for.
        self.shown = self.out;
        self.waiting.clear();
        self.leave(why, client, now);
        true
    }

    fn is_for_its_reader(&self) -> bool {
        true
    }

    fn has_enough(&self) -> bool {
        self.waiting.len() >= WAITING_MAX
    }

    fn handle_timeout(&mut self, _: &mut Client, now: Time) {
        if self.exit.is_some() {
            return;
        }
        if self.stage != Stage::Watching {
            self.patience.begin(now);
        }
        if self.leave_by.is_some_and(|at| at <= now) {
            self.exit = self.leaves;
        } else if self.leaves.is_none() && self.patience.is_over(now) {
            for sentence in self.patience.complaint() {
                self.written.complain(&sentence);
            }
            self.exit = Some(Exit::NobodyAnswered);
        }
    }

    fn poll_timeout(&self) -> Option<Time> {
        let until = match self.patience.until() {
            // It begins with the first call.
            None if self.stage != Stage::Watching => Some(Time::default()),
            until => until,
        };
        match self.leaves {
            _ if self.may_write() => Some(Time::default()),
            Some(_) => self.leave_by,
            None => until,
        }
    }

    fn take_text(&mut self, _: &Client, _: Time) -> Written {
        if self.may_write()
            && let Some((id, shown)) = self.waiting.pop_front()
        {
            self.taken = id;
            self.written.output.push_str(&shown);
        }
        std::mem::take(&mut self.written)
    }

    fn exit(&self) -> Option<Exit> {
        self.exit
    }
}

impl Watching {
    /// As many messages came as are wanted.
    fn is_complete(&self) -> bool {
        self.options.count == Some(self.count)
    }

    /// The next message can be written: the one before is.
    fn may_write(&self) -> bool {
        self.taken == self.out && !self.waiting.is_empty()
    }

    fn changed(&mut self, change: &Change, client: &mut Client, now: Time) {
        self.patience.note(change);
        match change {
            Change::Up { .. } if self.stage == Stage::Before => {
                self.log_in(Deliver::Unread, client, now);
            }
            Change::Up { without, .. } => {
                if self.stage == Stage::Watching {
                    self.patience.end();
                }
                if without.is_some() {
                    self.written.complain(&change.to_string());
                }
            }
            Change::Down { .. } => {
                self.patience.begin(now);
                self.written.complain(&escape_line(&change.to_string()));
            }
            Change::Waiting { .. } => self.patience.begin(now),
            Change::Unreachable { .. } => {}
            Change::LoggedOut { why, .. } => self.logged_out(change, why.code, client, now),
        }
    }

    fn log_in(&mut self, deliver: Deliver, client: &mut Client, now: Time) {
        let request = Request::Login {
            name: &self.credentials.name,
            password: &self.credentials.password,
            session: Some((self.fresh_session)()),
            deliver,
        };
        match client.ask(&request, now) {
            Ok(number) => self.stage = Stage::LoggingIn(number),
            Err(error) => self.fail(&error.to_string()),
        }
    }

    /// A session that newer ones have pushed out is replaced.
    fn logged_out(&mut self, change: &Change, code: ErrorCode, client: &mut Client, now: Time) {
        self.asking = None;
        self.asked = OpNumber::ZERO;
        let is_old = now.since(self.logged_in_at) >= SESSION_TIME_MIN;
        if self.leaves.is_some() {
            self.exit = self.leaves;
        } else if code == ErrorCode::SessionGone && is_old {
            let deliver = match client.last_seen() {
                OpNumber::ZERO => Deliver::Unread,
                seen => Deliver::After(seen),
            };
            self.log_in(deliver, client, now);
        } else {
            self.fail(&escape_line(&change.to_string()));
        }
    }

    fn answered(
        &mut self,
        number: RequestNumber,
        answer: Result<Answer<'static>, Refusal>,
        client: &mut Client,
        now: Time,
    ) {
        if self.asking == Some(number) {
            // One that was refused is asked for again with the next message.
            self.asking = None;
            return self.go_on(client, now);
        }
        match (self.stage, answer) {
            (Stage::LoggingIn(login), Ok(_)) if login == number => {
                self.stage = Stage::Watching;
                self.logged_in_at = now;
                self.patience.end();
                self.go_on(client, now);
            }
            (Stage::LoggingIn(login), Err(refusal)) if login == number => {
                self.fail(&refused("watch", &refusal));
            }
            (Stage::Leaving(logout), _) if logout == number => self.exit = self.leaves,
            _ => {}
        }
    }

    /// Comes to its end, after what was written is acknowledged.
    fn leave(&mut self, exit: Exit, client: &mut Client, now: Time) {
        self.leaves.get_or_insert(exit);
        self.leave_by.get_or_insert(now + LEAVE_TIME_MAX);
        match client.identity() {
            Some(_) => self.go_on(client, now),
            None => self.exit = self.leaves,
        }
    }

    /// Acknowledges what was written out, one request at a time, and at the end the session's.
    fn go_on(&mut self, client: &mut Client, now: Time) {
        if self.stage != Stage::Watching || self.asking.is_some() {
            return;
        }
        if self.options.acknowledges && self.out > self.asked {
            let request = Request::Acknowledge {
                conversation: None,
                up_to: self.out,
            };
            self.asked = self.out;
            self.asking = client.ask(&request, now).ok();
        } else if self.leaves.is_some() && self.out == self.shown {
            match client.ask(&Request::Logout, now) {
                Ok(number) => self.stage = Stage::Leaving(number),
                Err(_) => self.exit = self.leaves,
            }
        }
    }

    fn fail(&mut self, sentence: &str) {
        self.written.complain(sentence);
        self.exit = Some(Exit::Failed);
    }
}

#[cfg(test)]
mod tests;
