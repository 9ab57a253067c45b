//! How do commands get to the server, and in which order?

use std::net::SocketAddr;

use super::super::command::{self, Command};
use super::super::failover::Client;
use super::super::front::Exit;
use super::super::show::escape_line;
use super::{Asked, Kind, LEAVE_TIME_MAX, Leaving, LineMode, SecretFor};
use crate::types::{ErrorCode, Name, OpNumber, Time};
use crate::wire::message::{Deliver, HistoryScope, Refusal, Request};

impl LineMode {
    /// A server serves, for the first time.
    pub(super) fn greeted(
        &mut self,
        software: &str,
        address: SocketAddr,
        client: &mut Client,
        now: Time,
    ) {
        self.greeted = true;
        if self.options.has_person {
            let software = escape_line(software);
            let line = match self.options.login {
                Some(_) => format!("{software} at {address}"),
                None => format!(
                    "{software} at {address}. CREATE name makes an account, LOGIN name logs in, HELP lists the rest."
                ),
            };
            self.say_faintly(&line);
        }
        if let Some((name, password)) = self.options.login.take() {
            self.log_in(&name, &password, client, now);
        }
    }

    /// Runs a command as soon as those before it allow it.
    pub(super) fn take_up(&mut self, command: Command, client: &mut Client, now: Time) {
        let waits = !matches!(command, Command::Send { .. }) && !self.is_idle();
        if waits {
            debug_assert!(
                self.held.is_none(),
                "nothing is taken while a command is held"
            );
            self.held = Some(command);
        } else {
            self.run(command, client, now);
        }
    }

    /// Runs the command that was held, once nothing holds it up.
    pub(super) fn go_on(&mut self, client: &mut Client, now: Time) {
        if self.is_idle()
            && let Some(command) = self.held.take()
        {
            self.run(command, client, now);
        }
    }

    fn run(&mut self, command: Command, client: &mut Client, now: Time) {
        match command {
            Command::Help => self.show_help(),
            Command::Ping => self.ask(&Request::Ping, "PING", client, now),
            Command::WhoAmI => self.ask(&Request::WhoAmI, "WHOAMI", client, now),
            Command::Status => self.ask(&Request::Status, "STATUS", client, now),
            Command::Logout => self.ask(&Request::Logout, "LOGOUT", client, now),
            Command::Quit => self.leave(self.exit_at_end(), client, now),
            Command::List { pattern } => {
                let request = Request::List { pattern: &pattern };
                self.ask(&request, "LIST", client, now);
            }
            Command::Send { to, text } => self.send(to, &text, client, now),
            Command::History {
                scope,
                limit,
                before,
            } => self.ask_for_history(scope, limit, before, client, now),
            Command::Log { after } => {
                let limit = None;
                self.ask(&Request::Log { after, limit }, "LOG", client, now);
            }
            Command::Acknowledge { up_to } => {
                let up_to = up_to.unwrap_or(self.shown.given);
                if up_to == OpNumber::ZERO {
                    return self.say_faintly("nothing was shown that could be called read");
                }
                let conversation = None;
                let request = Request::Acknowledge {
                    conversation,
                    up_to,
                };
                self.ask(&request, "ACK", client, now);
            }
            Command::Login { name, password } => match password {
                Some(password) => self.log_in(&name, &password, client, now),
                None => self.ask_secret(SecretFor::Login { name }, "LOGIN name password"),
            },
            Command::Create { name, password } => match password {
                Some(password) => self.create(name, &password, client, now),
                None => {
                    let first = None;
                    self.ask_secret(SecretFor::Create { name, first }, "CREATE name password");
                }
            },
            Command::Delete { password } => match password {
                Some(password) => self.delete(&password, client, now),
                None => self.ask_secret(SecretFor::Delete, "DELETE password"),
            },
        }
    }

    pub(super) fn take_secret(
        &mut self,
        secret_for: SecretFor,
        line: &str,
        client: &mut Client,
        now: Time,
    ) {
        match secret_for {
            SecretFor::Login { name } => match command::check_login(&name, line) {
                Ok(()) => self.log_in(&name, line, client, now),
                Err(refusal) => self.refuse("LOGIN", &refusal),
            },
            SecretFor::Delete => match command::check_login("", line) {
                Ok(()) => self.delete(line, client, now),
                Err(refusal) => self.refuse("DELETE", &refusal),
            },
            SecretFor::Create { name, first } => match (command::check_password(line), first) {
                (Err(refusal), _) => self.refuse("CREATE", &refusal),
                (Ok(_), None) => {
                    let first = Some(line.to_owned());
                    self.secret = Some(SecretFor::Create { name, first });
                }
                (Ok(_), Some(first)) if first == line => self.create(name, line, client, now),
                (Ok(_), Some(_)) => {
                    let sentence = "these were two different passwords; try again";
                    let refusal = Refusal::new(ErrorCode::BadPassword, sentence);
                    self.refuse("CREATE", &refusal);
                }
            },
        }
    }

    /// Asks a person for a password, or says that it has to stand in the line.
    fn ask_secret(&mut self, secret_for: SecretFor, usage: &str) {
        if self.options.has_person {
            self.secret = Some(secret_for);
        } else {
            let sentence = format!("nobody is there to be asked for the password: {usage}");
            self.refuse("", &Refusal::new(ErrorCode::BadArguments, sentence));
        }
    }

    pub(super) fn secret_prompt(&self) -> &'static str {
        match &self.secret {
            Some(SecretFor::Create { first: Some(_), .. }) => "the same again: ",
            Some(SecretFor::Delete) => "password, to delete your account: ",
            _ => "password: ",
        }
    }

    fn log_in(&mut self, name: &str, password: &str, client: &mut Client, now: Time) {
        let request = Request::Login {
            name,
            password,
            session: Some((self.fresh_session)()),
            deliver: Deliver::Unread,
        };
        self.ask(&request, &format!("LOGIN {name}"), client, now);
    }

    fn create(&mut self, name: Name, password: &str, client: &mut Client, now: Time) {
        let typed = format!("CREATE {name}");
        let session = Some((self.fresh_session)());
        match command::check_password(password) {
            Ok(password) => {
                let request = Request::Create {
                    name,
                    password,
                    session,
                };
                self.ask(&request, &typed, client, now);
            }
            Err(refusal) => self.refuse(&typed, &refusal),
        }
    }

    fn delete(&mut self, password: &str, client: &mut Client, now: Time) {
        self.ask(&Request::Delete { password }, "DELETE", client, now);
    }

    fn send(&mut self, to: Name, text: &str, client: &mut Client, now: Time) {
        const SHOWN_CHARACTERS_MAX: usize = 40;
        let shown: String = text.chars().take(SHOWN_CHARACTERS_MAX).collect();
        let more = if shown.len() < text.len() { "..." } else { "" };
        let typed = format!("SEND {to} {shown}{more}");
        // A server takes no frame of this size from somebody whom it does not know.
        if client.identity().is_none() {
            let sentence = "log in first: LOGIN name";
            return self.refuse(&typed, &Refusal::new(ErrorCode::NotLoggedIn, sentence));
        }
        match command::check_text(text) {
            Ok(text) => self.ask_as(Kind::Send, &Request::Send { to, text }, typed, client, now),
            Err(refusal) => self.refuse(&typed, &refusal),
        }
    }

    fn ask_for_history(
        &mut self,
        scope: HistoryScope,
        limit: u32,
        before: OpNumber,
        client: &mut Client,
        now: Time,
    ) {
        let request = Request::History {
            scope,
            limit,
            before,
        };
        let kind = Kind::History {
            scope,
            limit,
            oldest: None,
        };
        self.ask_as(kind, &request, "HISTORY".into(), client, now);
    }

    fn ask(&mut self, request: &Request<'_>, typed: &str, client: &mut Client, now: Time) {
        self.ask_as(Kind::Plain, request, typed.to_owned(), client, now);
    }

    fn ask_as(
        &mut self,
        kind: Kind,
        request: &Request<'_>,
        typed: String,
        client: &mut Client,
        now: Time,
    ) {
        match client.ask(request, now) {
            Ok(number) => {
                let asked = Asked {
                    kind,
                    typed,
                    asked_at: now,
                };
                self.asked.insert(number, asked);
            }
            // The end of the connection has been told, or is about to be.
            Err(error) => self.refuse_sentence(&typed, &format!("not done: {error}")),
        }
    }

    /// Calls read what was written out; one request at a time, and none on the way out.
    pub(super) fn call_read(&mut self, client: &mut Client, now: Time) {
        let is_asking = self.asked.values().any(|asked| asked.kind.is_read());
        let is_due = self.options.output_is_read && self.shown.written > self.shown.read;
        let may = client.identity().is_some() && client.can_ask() && self.leaving.is_none();
        if !is_due || is_asking || !may {
            return;
        }
        let up_to = self.shown.written;
        let request = Request::Acknowledge {
            conversation: None,
            up_to,
        };
        self.ask_as(Kind::Read(up_to), &request, String::new(), client, now);
    }

    /// Ends the session, if there is one, and then line mode.
    pub(super) fn leave(&mut self, exit: Exit, client: &mut Client, now: Time) {
        self.held = None;
        self.secret = None;
        let has_session = client
            .identity()
            .is_some_and(|identity| identity.session.is_some());
        if has_session && client.can_ask() {
            let at_latest = now + LEAVE_TIME_MAX;
            self.leaving = Some(Leaving { exit, at_latest });
            self.ask_as(Kind::Leave, &Request::Logout, String::new(), client, now);
        } else {
            self.finish(exit);
        }
    }
}
