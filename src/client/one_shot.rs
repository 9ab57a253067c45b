//! How does a script use the chat? One command, one exit code.
//!
//! The exit code is 0 only if the server has acknowledged the command. What was found goes to
//! standard output, a sentence about what went wrong to standard error. A login is made only for
//! commands that need one, without a session: a script is not to push the sessions out that
//! people hold.

use std::net::SocketAddr;

use super::core::Core;
use super::event::{Ending, Message, Output, Part};
use super::front::{Exit, Front, Typed, Wants, Written};
use super::show::{Conversation, escape_line, json, json_string};
use crate::types::{ErrorCode, Name, OpNumber, Password, RequestNumber, Text, Time};
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

/// One command.
pub struct OneShot {
    job: Job,
    format: Format,
    /// Whom to log in first; there for every job that needs it.
    credentials: Option<Credentials>,
    stage: Stage,
    /// The server that took the connection.
    server: String,
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
    /// The command `job`, after a login with `credentials` if it needs one: then they must be
    /// there.
    pub fn new(job: Job, format: Format, credentials: Option<Credentials>) -> Self {
        assert!(
            credentials.is_some() || !job.needs_login(),
            "who starts a job sees to its login"
        );
        Self {
            job,
            format,
            credentials,
            stage: Stage::Before,
            server: String::new(),
            written: Written::default(),
            exit: None,
        }
    }
}

impl Front for OneShot {
    fn handle_connected(&mut self, server: SocketAddr) {
        self.server = server.to_string();
    }

    fn handle_unreachable(&mut self, why: &str) {
        self.fail(why, Exit::NobodyAnswered);
    }

    fn handle_output(&mut self, output: Output, core: &mut Core, now: Time) {
        if self.exit.is_some() {
            return;
        }
        match output {
            Output::Send(_) | Output::Delivered(_) => {}
            Output::Greeted(_) => match self.job.needs_login() {
                true => self.log_in(core, now),
                false => self.work(core, now),
            },
            Output::Item { item, .. } => self.show_part(item),
            Output::Answered { number, answer } => match answer {
                Err(refusal) => self.refused(&refusal),
                Ok(_) if self.stage == Stage::LoggingIn(number) => self.work(core, now),
                Ok(answer) => {
                    self.show_answer(&answer);
                    self.exit = Some(Exit::Done);
                }
            },
            Output::Noted { about, sentence } => {
                if about != NoteKind::Greeting {
                    let sentence = escape_line(&sentence);
                    self.written
                        .error
                        .push_str(&format!("client: {sentence}\n"));
                }
            }
            Output::Ended { ending, .. } => self.ended(&ending),
        }
    }

    fn handle_typed(&mut self, _: Typed, _: &mut Core, _: Time) {}

    fn handle_signal(&mut self, signal: i32, _: &mut Core, _: Time) {
        if let Some(unknown) = self.unknown() {
            self.fail(&format!("interrupted; {unknown}"), Exit::Signal(signal));
        }
        self.exit = Some(Exit::Signal(signal));
    }

    fn handle_written(&mut self, _: &mut Core, _: Time) {}

    fn handle_timeout(&mut self, _: &mut Core, _: Time) {}

    fn poll_timeout(&self) -> Option<Time> {
        None
    }

    fn take_text(&mut self, _: &Core) -> Written {
        std::mem::take(&mut self.written)
    }

    fn wants(&self, _: &Core) -> Wants {
        Wants::Nothing
    }

    fn may_rest(&self, _: &Core) -> bool {
        false
    }

    fn exit(&self) -> Option<Exit> {
        self.exit
    }
}

impl OneShot {
    fn log_in(&mut self, core: &mut Core, now: Time) {
        let Some(credentials) = self.credentials.clone() else {
            return self.work(core, now);
        };
        let request = Request::Login {
            name: &credentials.name,
            password: &credentials.password,
            session: None,
            deliver: Deliver::Nothing,
        };
        match core.ask(&request, now) {
            Ok(number) => self.stage = Stage::LoggingIn(number),
            Err(error) => self.fail(&error.to_string(), Exit::Failed),
        }
    }

    fn work(&mut self, core: &mut Core, now: Time) {
        let job = self.job.clone();
        let password = self
            .credentials
            .as_ref()
            .map(|known| known.password.clone());
        let request = match request_of(&job, password.as_deref().unwrap_or_default()) {
            Ok(request) => request,
            Err(refusal) => return self.refused(&refusal),
        };
        match core.ask(&request, now) {
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
            ErrorCode::NotPrimary => {
                "; this server is not the primary: name the one that is with --server"
            }
            ErrorCode::BadLogin => "; look at --user and the password",
            _ => "",
        };
        let word = refusal.code.word();
        self.fail(
            &format!("{}: {sentence} ({word}){hint}", self.job.verb()),
            Exit::Failed,
        );
    }

    fn ended(&mut self, ending: &Ending) {
        let mut sentence = format!("{} {ending}", self.server);
        if let Some(unknown) = self.unknown() {
            sentence.push_str("; ");
            sentence.push_str(unknown);
        }
        let exit = match ending {
            Ending::Mute(_) | Ending::Silent(_) => Exit::NobodyAnswered,
            _ => Exit::Failed,
        };
        self.fail(&sentence, exit);
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
        self.written
            .error
            .push_str(&format!("client: {sentence}\n"));
        self.exit = Some(exit);
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
fn request_of<'a>(job: &'a Job, password: &'a str) -> Result<Request<'a>, Refusal> {
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
            session: None,
        },
        Job::Delete => Request::Delete { password },
    })
}

#[cfg(test)]
mod tests;
