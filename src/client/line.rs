//! What does a person see who types text mode's commands into the client?
//!
//! Answers for people, and messages as they come. Messages that were sent are written ahead, up
//! to as many as a server takes; every other command waits for what came before it and holds up
//! what comes behind it, so that a script's lines take effect in their order.
//!
//! **What is read.** What was shown on a terminal is acknowledged, after it was written out: the
//! next login does not show it again. A file or a pipe is no reader: what went there stays unread
//! until ACK.
//!
//! **What is not known.** Servers may come and go meanwhile: what was asked is answered by the next
//! one. Who leaves before that is told every command without an answer, and nothing is ever called
//! sent that no server has acknowledged.
//!
//! **How it ends.** QUIT and the end of the input wait for every answer, end the session, and give
//! 0; without a person at the terminal 1, if anything was refused. Ctrl+C ends the session too, but
//! waits for nothing longer than [`LEAVE_TIME_MAX`].

mod asking;
mod telling;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::command::{self, Command};
use super::failover::{Client, Output};
use super::front::{Exit, Front, Typed, Wants, Written};
use super::show::{Colours, Conversation};
use crate::types::{ErrorCode, Name, OpNumber, RequestNumber, SessionId, Time};
use crate::wire::message::HistoryScope;

/// How long one who leaves waits for the server to end the session.
pub const LEAVE_TIME_MAX: Duration = Duration::from_millis(500);
/// How long the next unread message may take to come: then commands go on without it.
pub const UNREAD_TIME_MAX: Duration = Duration::from_secs(5);

/// What line mode has to know of where it runs.
pub struct LineOptions {
    /// A person types on a terminal and sees what is written: passwords can be asked for.
    pub has_person: bool,
    /// Ask for the next command with a prompt.
    pub has_prompt: bool,
    /// Output goes to a terminal: what was written is read.
    pub output_is_read: bool,
    /// Colours of what is written.
    pub colours: Colours,
    /// Whom to log in at the start, with which password.
    pub login: Option<(String, String)>,
}

/// Line mode.
pub struct LineMode {
    options: LineOptions,
    conversation: Conversation,
    /// Gives the name of the next session: 128 random bits.
    fresh_session: Box<dyn FnMut() -> SessionId>,
    /// A server has served: what is typed from now on goes to it, or to the next one.
    greeted: bool,
    /// What was said about the servers since one did something: it is not said twice.
    told: BTreeSet<String>,
    /// It was said that there is no server.
    down_is_told: bool,
    /// Every open request, and what it was.
    asked: BTreeMap<RequestNumber, Asked>,
    /// A command that waits until nothing is open.
    held: Option<Command>,
    /// The next line is a password, for this.
    secret: Option<SecretFor>,
    /// What is to be written.
    out: String,
    /// What goes to standard error: why it ended.
    error: String,
    /// The last thing on the terminal is a prompt, which has to go before something is written.
    prompt_is_shown: bool,
    /// What has been shown of what came for me.
    shown: Shown,
    /// Unread messages that the login announced and that have not come yet. Commands wait for
    /// them: the end of the input must not cut them off, and ACK means them, too.
    awaited: Option<Awaited>,
    /// Something was refused.
    had_trouble: bool,
    /// It is about to end.
    leaving: Option<Leaving>,
    exit: Option<Exit>,
}

/// What an open request was.
struct Asked {
    kind: Kind,
    /// As it was typed, without passwords and long texts.
    typed: String,
    asked_at: Time,
}

enum Kind {
    /// Other messages may be sent behind it.
    Send,
    /// Nobody typed it: what was shown up to this id is read.
    Read(OpNumber),
    /// The newest messages.
    History {
        scope: HistoryScope,
        limit: u32,
        /// The id of the oldest one that was shown.
        oldest: Option<OpNumber>,
    },
    /// The end of the session, which nobody typed.
    Leave,
    /// Whatever is told by its answer alone.
    Plain,
}

enum SecretFor {
    Login {
        name: String,
    },
    /// The password was typed once, or not yet.
    Create {
        name: Name,
        first: Option<String>,
    },
    Delete,
}

#[derive(Default)]
struct Shown {
    /// The highest id that came for me and was given to be written.
    given: OpNumber,
    /// The highest id that was written out.
    written: OpNumber,
    /// The highest id that was called read, whether the server has answered that or not.
    read: OpNumber,
}

#[derive(Clone, Copy)]
struct Awaited {
    /// How many, at least one.
    messages: u64,
    /// When to give them up.
    at_latest: Time,
}

struct Leaving {
    exit: Exit,
    /// When to go without an answer.
    at_latest: Time,
}

impl LineMode {
    /// Line mode that shows messages as `conversation` does and names its sessions by
    /// `fresh_session`.
    pub fn new(
        options: LineOptions,
        conversation: Conversation,
        fresh_session: Box<dyn FnMut() -> SessionId>,
    ) -> Self {
        Self {
            options,
            conversation,
            fresh_session,
            greeted: false,
            told: BTreeSet::new(),
            down_is_told: false,
            asked: BTreeMap::new(),
            held: None,
            secret: None,
            out: String::new(),
            error: String::new(),
            prompt_is_shown: false,
            shown: Shown::default(),
            awaited: None,
            had_trouble: false,
            leaving: None,
            exit: None,
        }
    }
}

impl Front for LineMode {
    fn handle_output(&mut self, output: Output, client: &mut Client, now: Time) {
        match output {
            Output::Dial { .. }
            | Output::Send { .. }
            | Output::HangUp(_)
            | Output::Learnt { .. }
            | Output::Status { .. }
            | Output::RoundTrip(_) => {}
            Output::Item { number, item } => self.show_part(number, item, client),
            Output::Answered { number, answer } => self.answered(number, answer, client, now),
            Output::Delivered(message) => self.delivered(&message, client, now),
            Output::Noted { about, sentence } => self.noted(about, &sentence),
            Output::Changed(change) => self.changed(change, client, now),
        }
    }

    fn handle_typed(&mut self, typed: Typed, client: &mut Client, now: Time) {
        self.prompt_is_shown = false;
        match typed {
            Typed::End => {
                if self.options.has_person {
                    self.out.push('\n');
                }
                self.secret = None;
                self.take_up(Command::Quit, client, now);
            }
            Typed::TooLong => self.refuse("this line", &ErrorCode::TooLong.into()),
            Typed::NotUtf8 => self.refuse("this line", &ErrorCode::NotUtf8.into()),
            // Nobody reads single keys for line mode.
            Typed::Key(_) | Typed::Pasted(_) | Typed::Resized { .. } => {}
            Typed::Line(line) => match self.secret.take() {
                Some(secret_for) => {
                    self.out.push('\n');
                    self.take_secret(secret_for, &line, client, now);
                }
                None => match command::parse(&line) {
                    Ok(Some(command)) => self.take_up(command, client, now),
                    Ok(None) => {}
                    Err(refusal) => self.refuse("", &refusal),
                },
            },
        }
    }

    fn handle_signal(&mut self, signal: i32, client: &mut Client, now: Time) {
        if self.options.has_person && self.leaving.is_none() {
            // The terminal shows ^C where the cursor was.
            self.prompt_is_shown = false;
            self.out.push('\n');
        }
        if self.leaving.is_some() {
            return self.finish(Exit::Signal(signal));
        }
        self.leave(Exit::Signal(signal), client, now);
    }

    fn handle_written(&mut self, client: &mut Client, now: Time) {
        self.shown.written = self.shown.given;
        self.call_read(client, now);
    }

    fn handle_timeout(&mut self, client: &mut Client, now: Time) {
        if let Some(Leaving { exit, at_latest }) = &self.leaving
            && *at_latest <= now
        {
            return self.finish(*exit);
        }
        if self.awaited.is_some_and(|awaited| awaited.at_latest <= now) {
            self.awaited = None;
            self.go_on(client, now);
        }
    }

    fn poll_timeout(&self) -> Option<Time> {
        let leaving = self.leaving.as_ref().map(|leaving| leaving.at_latest);
        let awaited = self.awaited.map(|awaited| awaited.at_latest);
        leaving.into_iter().chain(awaited).min()
    }

    fn take_text(&mut self, client: &Client, _: Time) -> Written {
        if self.options.has_prompt && !self.prompt_is_shown {
            let prompt = match (self.wants(client), client.identity()) {
                (Wants::Nothing | Wants::Keys, _) => None,
                (Wants::Secret, _) => Some(self.secret_prompt().to_owned()),
                (Wants::Line, _) if !self.is_idle() => None,
                (Wants::Line, Some(identity)) => Some(format!("{}> ", identity.name)),
                (Wants::Line, None) => Some("> ".to_owned()),
            };
            if let Some(prompt) = prompt {
                self.out.push_str(&prompt);
                self.prompt_is_shown = true;
            }
        }
        Written {
            output: std::mem::take(&mut self.out),
            error: std::mem::take(&mut self.error),
        }
    }

    fn wants(&self, client: &Client) -> Wants {
        let is_held_up = self.held.is_some()
            || self.leaving.is_some()
            || self.exit.is_some()
            || self.awaited.is_some()
            || self.asked.values().any(|asked| asked.kind.is_alone());
        if !self.greeted || is_held_up || !client.can_ask() {
            Wants::Nothing
        } else if self.secret.is_some() {
            Wants::Secret
        } else {
            Wants::Line
        }
    }

    fn exit(&self) -> Option<Exit> {
        self.exit
    }
}

/// How it ends, and what is open until then.
impl LineMode {
    fn exit_at_end(&self) -> Exit {
        match self.had_trouble && !self.options.has_person {
            true => Exit::Failed,
            false => Exit::Done,
        }
    }

    fn finish(&mut self, exit: Exit) {
        self.name_unanswered();
        self.exit = Some(exit);
    }

    /// No request of somebody's is open, and nothing that was announced is still to come.
    fn is_idle(&self) -> bool {
        self.awaited.is_none() && self.asked.values().all(|asked| asked.kind.is_read())
    }
}

impl Kind {
    fn is_read(&self) -> bool {
        matches!(self, Self::Read(_))
    }

    /// Nothing is asked behind it before it has its answer.
    fn is_alone(&self) -> bool {
        !matches!(self, Self::Read(_) | Self::Send)
    }
}

#[cfg(test)]
mod tests;
