//! How does a script send many messages? A message a line, as many at a time as a server takes.
//!
//! Lines are sent in their order, each as soon as it is read, and nothing waits for the answers but
//! the end: that says how many were acknowledged, and which were not. A line that cannot be a message is
//! refused where it stands, and the others are sent. An empty line is no message and is skipped.
//! Where nothing that follows can be sent either (there is no such account), no more is read.

use std::collections::BTreeMap;
use std::time::Duration;

use super::super::command::check_text;
use super::super::failover::{Change, Client, Output};
use super::super::front::{Exit, Front, Typed, Wants, Written};
use super::super::show::escape_line;
use super::patience::Patience;
use super::tally::{Fate, Line, Tally};
use super::{Credentials, LEAVE_TIME_MAX, refused};
use crate::limits::LINE_BYTES_MAX;
use crate::types::{ErrorCode, Name, RequestNumber, SessionId, Time};
use crate::wire::message::{Answer, Deliver, NoteKind, Refusal, Request};

/// Sending what comes out of standard input.
pub struct Sending {
    to: Name,
    credentials: Credentials,
    session: SessionId,
    stage: Stage,
    patience: Patience,
    /// Lines that were read.
    lines: u64,
    /// More of them are taken.
    reads: bool,
    /// There are no more.
    is_read_up: bool,
    /// What was asked and has no answer.
    open: BTreeMap<RequestNumber, Line>,
    tally: Tally,
    /// How it ends, if not by what became of the lines.
    exit_early: Option<Exit>,
    /// When what is still open is waited for no more.
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
    /// One is logged in.
    Sending,
    /// The end of the session was asked for.
    Leaving(RequestNumber),
    /// There is no session any more.
    LoggedOut,
}

impl Sending {
    /// Sends to `to`, logged in with `credentials` to `session`. It is given up when something was
    /// asked and nothing is answered for `time_max`. With `is_json` each line's fate is told as an object.
    pub fn new(
        to: Name,
        is_json: bool,
        credentials: Credentials,
        session: SessionId,
        time_max: Duration,
    ) -> Self {
        Self {
            to,
            credentials,
            session,
            stage: Stage::Before,
            patience: Patience::new(time_max),
            lines: 0,
            reads: true,
            is_read_up: false,
            open: BTreeMap::new(),
            tally: Tally::new(is_json),
            exit_early: None,
            leave_by: None,
            written: Written::default(),
            exit: None,
        }
    }
}

impl Front for Sending {
    fn handle_output(&mut self, output: Output, client: &mut Client, now: Time) {
        if self.exit.is_some() {
            return;
        }
        match output {
            Output::Answered { number, answer } => self.answered(number, answer, client, now),
            Output::Noted {
                about: NoteKind::WritesWait,
                sentence,
            } => self.written.complain(&escape_line(&sentence)),
            Output::Changed(change) => self.changed(&change, client, now),
            _ => {}
        }
    }

    fn handle_typed(&mut self, typed: Typed, client: &mut Client, now: Time) {
        let is_line = matches!(typed, Typed::Line(_) | Typed::TooLong | Typed::NotUtf8);
        self.lines += u64::from(is_line);
        match typed {
            Typed::Line(text) if text.is_empty() => {}
            Typed::Line(text) => self.send(&text, client, now),
            Typed::TooLong => {
                let why = format!("a line has at most {LINE_BYTES_MAX} bytes");
                self.refuse("", &Refusal::new(ErrorCode::TooLong, why));
            }
            Typed::NotUtf8 => self.refuse("", &ErrorCode::NotUtf8.into()),
            Typed::End => {
                self.is_read_up = true;
                self.stop_reading(client, now);
            }
            // Nobody has a full screen here.
            Typed::Key(_) | Typed::Pasted(_) | Typed::Resized { .. } => {}
        }
    }

    fn handle_signal(&mut self, signal: i32, client: &mut Client, now: Time) {
        let is_second = self.leave_by.is_some();
        self.exit_early = Some(Exit::Signal(signal));
        // What was sent a moment ago has its answer on the way.
        self.leave_by.get_or_insert(now + LEAVE_TIME_MAX);
        self.stop_reading(client, now);
        if is_second {
            self.finish(client);
        }
    }

    fn handle_output_lost(&mut self, why: Exit, client: &mut Client, now: Time) -> bool {
        let why = *self.exit_early.get_or_insert(why);
        if self.exit == Some(Exit::Done) {
            self.exit = Some(why);
        }
        self.leave_by.get_or_insert(now + LEAVE_TIME_MAX);
        self.stop_reading(client, now);
        true
    }

    fn handle_timeout(&mut self, client: &mut Client, now: Time) {
        if self.exit.is_some() {
            return;
        }
        if self.waits() {
            self.patience.begin(now);
        }
        if self.leave_by.is_some_and(|at| at <= now) {
            self.finish(client);
        } else if self.patience.is_over(now) {
            for sentence in self.patience.complaint() {
                self.written.complain(&sentence);
            }
            self.exit_early = Some(Exit::NobodyAnswered);
            self.finish(client);
        }
    }

    fn poll_timeout(&self) -> Option<Time> {
        let until = match self.patience.until() {
            // It begins with the first call.
            None if self.waits() => Some(Time::default()),
            until => until,
        };
        self.leave_by.into_iter().chain(until).min()
    }

    fn take_text(&mut self, _: &Client, _: Time) -> Written {
        std::mem::take(&mut self.written)
    }

    fn wants(&self, client: &Client) -> Wants {
        match self.reads && self.stage == Stage::Sending && client.can_ask() {
            true => Wants::Line,
            false => Wants::Nothing,
        }
    }

    fn exit(&self) -> Option<Exit> {
        self.exit
    }
}

impl Sending {
    /// Whether an answer is waited for: a pipe that brings nothing for hours is no reason to end.
    fn waits(&self) -> bool {
        !self.open.is_empty() || matches!(self.stage, Stage::Before | Stage::LoggingIn(_))
    }

    fn changed(&mut self, change: &Change, client: &mut Client, now: Time) {
        self.patience.note(change);
        match change {
            Change::Up { .. } if self.stage == Stage::Before => self.log_in(client, now),
            // What was open was answered before, each for itself.
            Change::LoggedOut { .. } => {
                self.written.complain(&escape_line(&change.to_string()));
                self.stage = Stage::LoggedOut;
                self.stop_reading(client, now);
            }
            _ => {}
        }
    }

    fn log_in(&mut self, client: &mut Client, now: Time) {
        let request = Request::Login {
            name: &self.credentials.name,
            password: &self.credentials.password,
            session: Some(self.session),
            deliver: Deliver::Nothing,
        };
        match client.ask(&request, now) {
            Ok(number) => self.stage = Stage::LoggingIn(number),
            Err(error) => self.fail(&error.to_string(), client),
        }
    }

    fn send(&mut self, text: &str, client: &mut Client, now: Time) {
        let text = match check_text(text) {
            Ok(text) => text,
            Err(refusal) => return self.refuse(text, &refusal),
        };
        let line = Line::new(self.lines, text.as_str());
        match client.ask(&Request::Send { to: self.to, text }, now) {
            Ok(number) => {
                self.open.insert(number, line);
                self.patience.begin(now);
            }
            Err(_) => self.tally.settle(line, Fate::NotSent, &mut self.written),
        }
    }

    /// The line that was read last cannot be a message.
    fn refuse(&mut self, text: &str, refusal: &Refusal) {
        let line = Line::new(self.lines, text);
        self.tally
            .settle(line, Fate::Refused(refusal), &mut self.written);
    }

    fn answered(
        &mut self,
        number: RequestNumber,
        answer: Result<Answer<'static>, Refusal>,
        client: &mut Client,
        now: Time,
    ) {
        self.patience.begin_again(now);
        match (self.stage, answer) {
            (Stage::LoggingIn(login), Ok(_)) if login == number => self.stage = Stage::Sending,
            (Stage::LoggingIn(login), Err(refusal)) if login == number => {
                return self.fail(&refused("send", &refusal), client);
            }
            (Stage::Leaving(logout), _) if logout == number => return self.finish(client),
            (_, answer) => self.settle(number, &answer),
        }
        if !self.waits() {
            self.patience.end();
        }
        self.leave_when_done(client, now);
    }

    fn settle(&mut self, number: RequestNumber, answer: &Result<Answer<'static>, Refusal>) {
        let Some(line) = self.open.remove(&number) else {
            return;
        };
        let fate = match answer {
            Ok(Answer::Sent { id }) => Fate::Acknowledged(*id),
            Ok(_) => Fate::Unknown,
            Err(refusal) => match refusal.code {
                ErrorCode::UnknownOutcome => Fate::Unknown,
                ErrorCode::SessionGone | ErrorCode::NotLoggedIn => Fate::NotSent,
                code => {
                    // It is not the line that is wrong, and the next one would be refused, too.
                    self.reads &= code != ErrorCode::NoSuchAccount;
                    Fate::Refused(refusal)
                }
            },
        };
        self.tally.settle(line, fate, &mut self.written);
    }

    fn stop_reading(&mut self, client: &mut Client, now: Time) {
        self.reads = false;
        self.leave_when_done(client, now);
    }

    /// Ends the session when there is nothing left to send and to hear.
    fn leave_when_done(&mut self, client: &mut Client, now: Time) {
        if self.reads || !self.open.is_empty() {
            return;
        }
        match self.stage {
            Stage::Sending => match client.ask(&Request::Logout, now) {
                Ok(number) => {
                    self.stage = Stage::Leaving(number);
                    self.leave_by.get_or_insert(now + LEAVE_TIME_MAX);
                }
                Err(_) => self.finish(client),
            },
            Stage::Leaving(_) => {}
            Stage::Before | Stage::LoggingIn(_) | Stage::LoggedOut => self.finish(client),
        }
    }

    /// Says what became of everything.
    fn finish(&mut self, client: &Client) {
        if self.exit.is_some() {
            return;
        }
        for (number, line) in std::mem::take(&mut self.open) {
            let fate = match client.may_be_done(number) {
                true => Fate::Unknown,
                false => Fate::NotSent,
            };
            self.tally.settle(line, fate, &mut self.written);
        }
        let unread_from = (!self.is_read_up).then_some(self.lines + 1);
        self.tally.close(unread_from, &mut self.written);
        let by_lines = match self.tally.is_all_acknowledged() && self.is_read_up {
            true => Exit::Done,
            false => Exit::Failed,
        };
        self.exit = Some(self.exit_early.unwrap_or(by_lines));
    }

    fn fail(&mut self, sentence: &str, client: &Client) {
        self.written.complain(sentence);
        self.exit_early.get_or_insert(Exit::Failed);
        self.finish(client);
    }
}

#[cfg(test)]
mod tests;
