//! How does a script use the chat? One command, one exit code.
//!
//! The exit code is 0 only if a server has acknowledged the command. What was found goes to
//! standard output, a sentence about what went wrong to standard error. A login is made only for
//! commands that need one. For those that change something it opens a session, so that nothing is done
//! twice when a server is lost meanwhile, and ends it: a script is not to push the sessions out
//! that people hold.
//!
//! Here are the commands that are one request each. What takes more has a file of its own:
//! [`sending`] for a message a line, [`watching`] for messages as they come, [`status`] for how
//! the servers are; all give up after the same time without an answer.

mod drawing;
mod patience;
pub mod sending;
pub mod status;
mod tally;
pub mod watching;

use std::time::Duration;

use self::patience::Patience;
use super::event::{Message, Part};
use super::failover::{Change, Client, Output};
use super::front::{Exit, Front, Written};
use super::show::{Conversation, escape_line, json, json_string};
use crate::types::{ErrorCode, Name, OpNumber, Password, RequestNumber, SessionId, Text, Time};
use crate::wire::message::{Answer, Deliver, HistoryScope, NoteKind, Refusal, Request};

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Job {
    /// Write a message.
    Send {
        /// To whom.
        to: Name,
        /// What it says: [`Text::parse`] takes it.
        text: String,
    },
    /// Show the newest messages.
    History {
        /// Whose.
        scope: HistoryScope,
        /// How many at most.
        limit: u32,
        /// Only those with a lower id.
        before: OpNumber,
    },
    /// Show all messages after some id.
    Log {
        /// That id.
        after: OpNumber,
    },
    /// Show who has an account.
    List {
        /// `*` stands for any characters, `?` for one.
        pattern: String,
    },
    /// Call messages read.
    Acknowledge {
        /// Up to this id.
        up_to: OpNumber,
    },
    /// Make an account.
    Create {
        /// Its name.
        name: Name,
        /// Its password: [`Password::parse`] takes it.
        password: String,
    },
    /// Delete the account that one logs in as.
    Delete,
}

/// How the result is written.
pub enum Format {
    /// For people.
    People(Box<Conversation>),
    /// One JSON object a line.
    Json,
}

/// A name and its password.
#[derive(Clone)]
pub struct Credentials {
    /// The name.
    pub name: String,
    /// The password.
    pub password: String,
}

/// How long the end of the session may take.
const LEAVE_TIME_MAX: Duration = Duration::from_millis(500);

/// One command.
pub struct OneShot {
    job: Job,
    format: Format,
    /// Whom to log in first; there for every job that needs it.
    credentials: Option<Credentials>,
    /// Names the session.
    session: SessionId,
    stage: Stage,
    patience: Patience,
    /// Somebody wants it to end, and how that counts.
    interrupted: Option<Exit>,
    /// When its end is waited for no more.
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
    /// The job itself is open.
    Working(RequestNumber),
    /// It is done, and the session is being ended.
    Leaving(Exit),
}

impl Job {
    /// Whether one has to be logged in for it.
    pub fn needs_login(&self) -> bool {
        !matches!(self, Self::Create { .. })
    }

    /// Whether it changes something, which must not be done twice.
    fn is_write(&self) -> bool {
        !matches!(
            self,
            Self::History { .. } | Self::Log { .. } | Self::List { .. }
        )
    }

    /// What it is called in sentences.
    fn verb(&self) -> &'static str {
        match self {
            Self::Send { .. } => "send",
            Self::History { .. } => "history",
            Self::Log { .. } => "log",
            Self::List { .. } => "list",
            Self::Acknowledge { .. } => "ack",
            Self::Create { .. } => "create",
            Self::Delete => "delete",
        }
    }
}

impl OneShot {
    /// The command `job`, after a login with `credentials` to `session` if it needs one: then they
    /// must be there. It is given up when it gets no answer for `time_max`.
    pub fn new(
        job: Job,
        format: Format,
        credentials: Option<Credentials>,
        session: SessionId,
        time_max: Duration,
    ) -> Self {
        assert!(
            credentials.is_some() || !job.needs_login(),
            "who starts a job sees to its login"
        );
        Self {
            job,
            format,
            credentials,
            session,
            stage: Stage::Before,
            patience: Patience::new(time_max),
            interrupted: None,
            leave_by: None,
            written: Written::default(),
            exit: None,
        }
    }
}

impl Front for OneShot {
    fn handle_output(&mut self, output: Output, client: &mut Client, now: Time) {
        if self.exit.is_some() {
            return;
        }
        match output {
            Output::Item { item, .. } => {
                self.patience.begin_again(now);
                self.show_part(item);
            }
            Output::Answered { number, answer } => {
                self.patience.begin_again(now);
                self.answered(number, answer, client, now);
            }
            // All others are the library's business.
            Output::Noted {
                about: NoteKind::WritesWait,
                sentence,
            } => self.written.complain(&escape_line(&sentence)),
            Output::Changed(change) => self.changed(&change, client, now),
            _ => {}
        }
    }

    fn handle_signal(&mut self, signal: i32, _: &mut Client, now: Time) {
        let exit = Exit::Signal(signal);
        let is_first = self.interrupted.replace(exit).is_none();
        match self.stage {
            // The answer to what was sent a moment ago is on its way.
            Stage::Working(_) if is_first && self.job.is_write() => {
                self.leave_by = Some(now + LEAVE_TIME_MAX);
            }
            Stage::Leaving(_) if is_first => {}
            _ => self.stop(exit),
        }
    }

    fn handle_output_lost(&mut self, why: Exit, _: &mut Client, _: Time) -> bool {
        // What was begun is done, and the session ended. Reading for nobody is of no use.
        let why = *self.interrupted.get_or_insert(why);
        match (&mut self.stage, &mut self.exit) {
            (Stage::Leaving(exit), _) | (_, Some(exit)) if *exit == Exit::Done => *exit = why,
            _ => {}
        }
        self.job.is_write()
    }

    fn handle_timeout(&mut self, _: &mut Client, now: Time) {
        self.patience.begin(now);
        match (self.stage, self.leave_by) {
            (Stage::Leaving(exit), Some(at)) if at <= now => self.exit = Some(exit),
            (Stage::Leaving(_), _) => {}
            (_, Some(at)) if at <= now => self.stop(self.interrupted.unwrap_or(Exit::Failed)),
            _ if self.patience.is_over(now) && self.exit.is_none() => self.give_up(),
            _ => {}
        }
    }

    fn poll_timeout(&self) -> Option<Time> {
        // At first it is called at once, and the waiting begins.
        let until = self.patience.until().unwrap_or_default();
        Some(self.leave_by.unwrap_or(until))
    }

    fn take_text(&mut self, _: &Client, _: Time) -> Written {
        std::mem::take(&mut self.written)
    }

    fn exit(&self) -> Option<Exit> {
        self.exit
    }
}

impl OneShot {
    fn changed(&mut self, change: &Change, client: &mut Client, now: Time) {
        self.patience.note(change);
        if self.stage == Stage::Before && matches!(change, Change::Up { .. }) {
            match self.job.needs_login() {
                true => self.log_in(client, now),
                false => self.work(client, now),
            }
        }
    }

    fn answered(
        &mut self,
        number: RequestNumber,
        answer: Result<Answer<'static>, Refusal>,
        client: &mut Client,
        now: Time,
    ) {
        match (answer, self.stage) {
            (_, Stage::Leaving(exit)) => self.exit = Some(exit),
            (Err(refusal), _) => {
                self.refused(&refusal);
                self.leave(client, now);
            }
            (Ok(_), Stage::LoggingIn(login)) if login == number => self.work(client, now),
            (Ok(answer), _) => {
                self.show_answer(&answer);
                self.exit = Some(Exit::Done);
                self.leave(client, now);
            }
        }
    }

    /// Ends the session before the end, if there is one.
    fn leave(&mut self, client: &mut Client, now: Time) {
        let Some(exit) = self.exit.map(|exit| self.interrupted.unwrap_or(exit)) else {
            return;
        };
        self.exit = Some(exit);
        let has_session = client.identity().is_some_and(|it| it.session.is_some());
        if has_session && client.ask(&Request::Logout, now).is_ok() {
            self.exit = None;
            self.stage = Stage::Leaving(exit);
            self.leave_by = Some(now + LEAVE_TIME_MAX);
        }
    }

    fn log_in(&mut self, client: &mut Client, now: Time) {
        let Some(credentials) = self.credentials.clone() else {
            return self.work(client, now);
        };
        let request = Request::Login {
            name: &credentials.name,
            password: &credentials.password,
            session: self.job.is_write().then_some(self.session),
            deliver: Deliver::Nothing,
        };
        match client.ask(&request, now) {
            Ok(number) => self.stage = Stage::LoggingIn(number),
            Err(error) => self.fail(&error.to_string(), Exit::Failed),
        }
    }

    fn work(&mut self, client: &mut Client, now: Time) {
        let job = self.job.clone();
        let password = self
            .credentials
            .as_ref()
            .map(|known| known.password.clone());
        let password = password.as_deref().unwrap_or_default();
        let request = match request_of(&job, password, self.session) {
            Ok(request) => request,
            Err(refusal) => return self.refused(&refusal),
        };
        match client.ask(&request, now) {
            Ok(number) => self.stage = Stage::Working(number),
            Err(error) => self.fail(&error.to_string(), Exit::Failed),
        }
    }

    fn show_part(&mut self, part: Part) {
        let line = match (part, &mut self.format) {
            (Part::Message(message), format) => {
                show_message(&message, format, self.credentials.as_ref())
            }
            (Part::Account { name, online }, Format::Json) => {
                let name = json_string(name.as_str());
                format!("{{\"name\":{name},\"online\":{online}}}\n")
            }
            (Part::Account { name, online }, Format::People(_)) => {
                let presence = if online { "online" } else { "offline" };
                format!("{name} {presence}\n")
            }
            (Part::Line(line), Format::Json) => {
                format!("{{\"line\":{}}}\n", json_string(&line))
            }
            (Part::Line(line), Format::People(_)) => format!("{}\n", escape_line(&line)),
        };
        self.written.output.push_str(&line);
    }

    fn show_answer(&mut self, answer: &Answer<'_>) {
        let is_json = matches!(self.format, Format::Json);
        let line = match answer {
            Answer::Sent { id } if is_json => format!("{{\"id\":{id}}}\n"),
            Answer::Sent { id } => format!("sent, id {id}\n"),
            Answer::Acknowledged { up_to } if is_json => format!("{{\"up_to\":{up_to}}}\n"),
            Answer::Acknowledged { up_to } => format!("read up to {up_to}\n"),
            Answer::Created { name } => format!("created {name}\n"),
            Answer::Deleted { name } => format!("deleted {name}\n"),
            // What was asked for stands there already.
            _ => return,
        };
        self.written.output.push_str(&line);
    }

    fn refused(&mut self, refusal: &Refusal) {
        self.fail(&refused(self.job.verb(), refusal), Exit::Failed);
    }

    /// It ends before there is an answer.
    fn stop(&mut self, exit: Exit) {
        if let Some(unknown) = self.unknown() {
            self.written.complain(&format!("interrupted; {unknown}"));
        }
        self.exit = Some(exit);
    }

    /// Nobody has said anything for too long.
    fn give_up(&mut self) {
        for sentence in self.patience.complaint() {
            self.written.complain(&sentence);
        }
        if let Some(unknown) = self.unknown() {
            self.written.complain(unknown);
        }
        self.exit = Some(Exit::NobodyAnswered);
    }

    /// What is not known if it ends now.
    fn unknown(&self) -> Option<&'static str> {
        match (self.stage, &self.job) {
            (Stage::Working(_), Job::Send { .. }) => Some(
                "the message was not acknowledged: it may or may not have been sent; look with: client log",
            ),
            (Stage::Working(_), Job::Create { .. } | Job::Delete | Job::Acknowledge { .. }) => {
                Some("it was not acknowledged: it may or may not have been done")
            }
            (Stage::Working(_), Job::History { .. } | Job::Log { .. } | Job::List { .. }) => {
                Some("what was shown is not complete")
            }
            _ => None,
        }
    }

    fn fail(&mut self, sentence: &str, exit: Exit) {
        self.written.complain(sentence);
        self.exit = Some(exit);
    }
}

/// What is said of a command that was refused.
fn refused(verb: &str, refusal: &Refusal) -> String {
    let hint = match refusal.code {
        ErrorCode::BadLogin => "; look at --user and the password",
        _ => "",
    };
    let (sentence, word) = (escape_line(&refusal.sentence), refusal.code.word());
    format!("{verb}: {sentence} ({word}){hint}")
}

fn show_message(
    message: &Message,
    format: &mut Format,
    credentials: Option<&Credentials>,
) -> String {
    match format {
        Format::Json => json(message.view()),
        Format::People(conversation) => {
            let me = credentials.and_then(|known| Name::parse(&known.name).ok());
            conversation.message(message.view(), me)
        }
    }
}

/// The request that does `job`, with the password of whoever is logged in.
fn request_of<'a>(
    job: &'a Job,
    password: &'a str,
    session: SessionId,
) -> Result<Request<'a>, Refusal> {
    Ok(match job {
        Job::Send { to, text } => Request::Send {
            to: *to,
            text: Text::parse(text)
                .map_err(|error| Refusal::new(ErrorCode::BadText, error.to_string()))?,
        },
        Job::History {
            scope,
            limit,
            before,
        } => Request::History {
            scope: *scope,
            limit: *limit,
            before: *before,
        },
        Job::Log { after } => Request::Log {
            after: *after,
            limit: None,
        },
        Job::List { pattern } => Request::List { pattern },
        Job::Acknowledge { up_to } => Request::Acknowledge {
            conversation: None,
            up_to: *up_to,
        },
        Job::Create { name, password } => Request::Create {
            name: *name,
            password: Password::parse(password)
                .map_err(|error| Refusal::new(ErrorCode::BadPassword, error.to_string()))?,
            session: Some(session),
        },
        Job::Delete => Request::Delete { password },
    })
}

#[cfg(test)]
mod tests;
