//! How does what was typed become requests?

use super::super::commands::{Command, Typing, parse};
use super::super::conversations::Key;
use super::super::view::View;
use super::{Asked, Chat, Page, Parting};
use crate::client::command::{check_login, check_pattern, check_text};
use crate::client::failover::Client;
use crate::limits::TEXT_BYTES_MAX;
use crate::types::{ErrorCode, Name, Time};
use crate::wire::message::Request;

impl Chat {
    /// Enter: sends what was typed, does a command, or opens what is chosen. What cannot be done
    /// stays in the input line.
    pub(super) fn enter(&mut self, client: &mut Client, now: Time) {
        let typed = self.input.text().to_owned();
        if typed.trim().is_empty() {
            if self.shows_list() && self.open.is_some() {
                self.list_is_shown = false;
            }
            return;
        }
        let done = match parse(&typed) {
            Err(sentence) => Err(sentence),
            Ok(Typing::Message(text)) => match self.open.filter(|_| !self.shows_list()) {
                Some(key) => self.send(key, &text, client, now),
                None => Err("to whom? /to NAME opens a conversation".to_owned()),
            },
            Ok(Typing::Command(command)) => self.run(command, client, now),
        };
        match done {
            Ok(()) => {
                self.remember(&typed);
                if self.input.text() == typed {
                    self.input.take();
                }
            }
            Err(sentence) => self.complain(sentence),
        }
    }

    /// Sends a message, which is pending from now on.
    pub(super) fn send(
        &mut self,
        key: Key,
        text: &str,
        client: &mut Client,
        now: Time,
    ) -> Result<(), String> {
        let checked = check_text(text).map_err(|refusal| match refusal.code {
            ErrorCode::TooLong => {
                let bytes = text.len();
                format!("not sent: {bytes} bytes, and a message has at most {TEXT_BYTES_MAX}")
            }
            _ => format!("not sent: {}", refusal.sentence),
        })?;
        let conversation = self.conversations.of(key);
        let Some(to) = conversation.and_then(|conversation| conversation.name()) else {
            return Err("not sent: this account was deleted".to_owned());
        };
        let request = Request::Send { to, text: checked };
        let number = client
            .ask(&request, now)
            .map_err(|error| format!("not sent: {error}"))?;
        self.asked.insert(number, Asked::Send(key));
        let text = text.to_owned();
        self.conversations.add_pending(key, text, number, now);
        self.page = None;
        self.notice = None;
        if self.open == Some(key) {
            self.view.follow();
            self.view.new_from = None;
        }
        Ok(())
    }

    fn run(&mut self, command: Command, client: &mut Client, now: Time) -> Result<(), String> {
        self.notice = None;
        match command {
            Command::Help => self.help(),
            Command::To {
                name,
                text,
                is_bare,
            } => return self.go_to(name, text, is_bare, client, now),
            Command::Search { text } => self.begin_search(&text),
            Command::List { pattern } => {
                check_pattern(&pattern).map_err(|refusal| refusal.sentence.into_owned())?;
                let (accounts, is_whole) = (Vec::new(), false);
                self.turn_to(Page::Accounts { accounts, is_whole });
                let request = Request::List { pattern: &pattern };
                self.ask(Asked::Accounts, &request, client, now);
            }
            Command::Status => {
                self.turn_to(Page::Servers);
                client.look_at_cluster(now);
            }
            Command::Create => self.log_out(true, client, now),
            Command::Logout => self.log_out(false, client, now),
            Command::Delete => self.ask_secret(),
            Command::Quit => return self.quit(),
        }
        Ok(())
    }

    pub(super) fn help(&mut self) {
        self.turn_to(Page::Help);
    }

    fn turn_to(&mut self, page: Page) {
        self.page = Some(page);
        self.page_scroll = 0;
        self.list_is_shown = false;
    }

    /// Who has typed nothing but a name is asked for nothing, if there is one.
    fn go_to(
        &mut self,
        name: Name,
        text: Option<String>,
        is_bare: bool,
        client: &mut Client,
        now: Time,
    ) -> Result<(), String> {
        let is_known =
            self.conversations.find(name.as_str()).is_some() || self.names.contains(name.as_str());
        if is_bare && !is_known {
            let pattern = name.as_str().to_owned();
            let asked = Asked::Whether {
                name,
                text,
                is_there: false,
            };
            let request = Request::List { pattern: &pattern };
            self.ask(asked, &request, client, now);
            self.tell(format!("looking for {name}"));
            return Ok(());
        }
        self.go_to_known(name, text, client, now)
    }

    pub(super) fn go_to_known(
        &mut self,
        name: Name,
        text: Option<String>,
        client: &mut Client,
        now: Time,
    ) -> Result<(), String> {
        let key = self.conversations.with(name);
        if let Some(text) = text {
            self.send(key, &text, client, now)?;
        }
        // What was typed is done, and is no draft of the conversation that is left.
        self.input.take();
        self.conversations.touch(key);
        self.open(key, client, now);
        Ok(())
    }

    /// Shows a conversation. What was typed in the one before waits there.
    pub(super) fn open(&mut self, key: Key, client: &mut Client, now: Time) {
        self.list_is_shown = false;
        self.page = None;
        if self.open == Some(key) {
            return;
        }
        let draft = self.input.take();
        let before = self.open.and_then(|open| self.conversations.of_mut(open));
        match before {
            Some(before) => before.draft = draft,
            None => self.input.set(&draft),
        }
        self.open = Some(key);
        self.search = None;
        self.notice = None;
        self.recalled = None;
        self.presence = None;
        if let Some(conversation) = self.conversations.of_mut(key) {
            self.view = View::of(conversation);
            let draft = std::mem::take(&mut conversation.draft);
            if !draft.is_empty() {
                self.input.set(&draft);
            }
        }
        self.conversations.trim(Some(key));
        self.ask_presence(client, now);
    }

    fn log_out(&mut self, to_create: bool, client: &mut Client, now: Time) {
        self.to_create = to_create;
        self.tell("logging out");
        self.ask(Asked::Logout, &Request::Logout, client, now);
    }

    pub(super) fn delete(&mut self, password: &str, client: &mut Client, now: Time) {
        if let Err(refusal) = check_login("", password) {
            return self.complain(refusal.sentence);
        }
        self.tell("deleting the account");
        self.ask(Asked::Delete, &Request::Delete { password }, client, now);
    }

    /// Leaves, but not without a word while something waits.
    fn quit(&mut self) -> Result<(), String> {
        let waiting = self.conversations.pending();
        if waiting > 0 && !self.was_warned {
            self.was_warned = true;
            return Err(format!(
                "{waiting} not acknowledged yet; /quit again leaves, and nobody knows then whether it was sent"
            ));
        }
        self.parting = Some(Parting::Quit);
        Ok(())
    }
}
