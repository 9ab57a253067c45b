//! How does a script use the chat? One command, one exit code.
//!
//! The exit code is 0 only if a server has acknowledged the command. What was found goes to
//! standard output, a sentence about what went wrong to standard error. A login is made only for
//! commands that need one. It opens a session, so that nothing is done twice when a server is lost
//! meanwhile, and ends it: a script is not to push the sessions out that people hold.

use std::time::Duration;

use super::event::{Message, Part};
use super::failover::{Change, Client, Output};
use super::front::{Exit, Front, Typed, Wants, Written};
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
    /// Show how the servers are.
    Status,
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
    /// How long it may take to hear anything from a server that serves.
    time_max: Duration,
    /// When that is over.
    until: Option<Time>,
    /// What was said last about the servers.
    trouble: String,
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
        !matches!(self, Self::Status | Self::Create { .. })
    }

    /// What it is called in sentences.
    fn verb(&self) -> &'static str {
        match self {
            Self::Send { .. } => "send",
            Self::History { .. } => "history",
            Self::Log { .. } => "log",
            Self::List { .. } => "list",
            Self::Acknowledge { .. } => "ack",
            Self::Status => "status",
            Self::Create { .. } => "create",
            Self::Delete => "delete",
        }
    }
}

impl OneShot {
    /// The command `job`, after a login with `credentials` to `session` if it needs one: then they
    /// must be there. It is given up when no server that serves says anything for `time_max`.
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
            time_max,
            until: None,
            trouble: String::new(),
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
                self.heard(now);
                self.show_part(item);
            }
            Output::Answered { number, answer } => {
                self.heard(now);
                self.answered(number, answer, client, now);
            }
            Output::Noted {
                about: NoteKind::Greeting,
                ..
            } => {}
            Output::Noted { sentence, .. } => self.say(&escape_line(&sentence)),
            Output::Changed(change) => self.changed(&change, client, now),
            Output::RoundTrip(_) | Output::Status { .. } => self.heard(now),
            _ => {}
        }
    }

    fn handle_typed(&mut self, _: Typed, _: &mut Client, _: Time) {}

    fn handle_signal(&mut self, signal: i32, _: &mut Client, _: Time) {
        if let Some(unknown) = self.unknown() {
            self.fail(&format!("interrupted; {unknown}"), Exit::Signal(signal));
        }
        self.exit = Some(Exit::Signal(signal));
    }

    fn handle_written(&mut self, _: &mut Client, _: Time) {}

    fn handle_timeout(&mut self, _: &mut Client, now: Time) {
        match (self.stage, self.until) {
            (Stage::Leaving(exit), Some(at)) if at <= now => self.exit = Some(exit),
            (_, Some(at)) if at <= now && self.exit.is_none() => self.give_up(),
            (_, None) => self.heard(now),
            _ => {}
        }
    }

    fn poll_timeout(&self) -> Option<Time> {
        // Zero: the first turn sets it.
        Some(self.until.unwrap_or_default())
    }

    fn take_text(&mut self, _: &Client, _: Time) -> Written {
        std::mem::take(&mut self.written)
    }

    fn wants(&self, _: &Client) -> Wants {
        Wants::Nothing
    }

    fn exit(&self) -> Option<Exit> {
        self.exit
    }
}

impl OneShot {
    /// A server that serves has said something.
    fn heard(&mut self, now: Time) {
        if !matches!(self.stage, Stage::Leaving(_)) {
            self.until = Some(now + self.time_max);
        }
    }

    fn changed(&mut self, change: &Change, client: &mut Client, now: Time) {
        match change {
            Change::Up { .. } if self.stage == Stage::Before => match self.job.needs_login() {
                true => self.log_in(client, now),
                false => self.work(client, now),
            },
            Change::Up { .. } => {}
            // What answered at all is told only if it comes to nothing.
            _ => self.trouble = escape_line(&change.to_string()),
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
        let Some(exit) = self.exit else { return };
        if client.identity().is_some() && client.ask(&Request::Logout, now).is_ok() {
            self.exit = None;
            self.stage = Stage::Leaving(exit);
            self.until = Some(now + LEAVE_TIME_MAX);
        }
    }

    fn log_in(&mut self, client: &mut Client, now: Time) {
        let Some(credentials) = self.credentials.clone() else {
            return self.work(client, now);
        };
        let request = Request::Login {
            name: &credentials.name,
            password: &credentials.password,
            session: Some(self.session),
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
            (Part::Message(message), format) => show_message(&message, format, &self.credentials),
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
        let sentence = escape_line(&refusal.sentence);
        let hint = match refusal.code {
            ErrorCode::BadLogin => "; look at --user and the password",
            _ => "",
        };
        let word = refusal.code.word();
        self.fail(
            &format!("{}: {sentence} ({word}){hint}", self.job.verb()),
            Exit::Failed,
        );
    }

    /// Nobody has said anything for too long.
    fn give_up(&mut self) {
        let seconds = self.time_max.as_secs_f32();
        let mut sentence = match self.trouble.is_empty() {
            true => format!("no server has answered for {seconds} s"),
            false => format!("tried for {seconds} s: {}", self.trouble),
        };
        if let Some(unknown) = self.unknown() {
            sentence.push_str("; ");
            sentence.push_str(unknown);
        } else if self.stage == Stage::Before {
            sentence
                .push_str("; start one (./server 127.0.0.1 5000 1), or name another with --server");
        }
        self.fail(&sentence, Exit::NobodyAnswered);
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
        self.say(sentence);
        self.exit = Some(exit);
    }

    fn say(&mut self, sentence: &str) {
        let line = format!("client: {sentence}\n");
        self.written.error.push_str(&line);
    }
}

fn show_message(
    message: &Message,
    format: &mut Format,
    credentials: &Option<Credentials>,
) -> String {
    match format {
        Format::Json => json(message.view()),
        Format::People(conversation) => {
            let me = credentials
                .as_ref()
                .and_then(|known| Name::parse(&known.name).ok());
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
        Job::Status => Request::Status,
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
