//! What does somebody see and do who is logged in?
//!
//! Conversations, the open one of them, and the line in which one types. What keys and commands do
//! is in [`keys`] and [`doing`], what comes from the server in [`hearing`].

mod doing;
mod hearing;
mod keys;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::super::failover::Client;
use super::commands::Completion;
use super::conversations::{Conversations, Fate, Key, Local};
use super::editor::Editor;
use super::entrance::{Draft, Leftover};
use super::status::next_second;
use super::view::View;
use crate::limits::{HISTORY_MESSAGES_MAX, TEXT_BYTES_MAX};
use crate::types::{Name, OpNumber, RequestNumber, Time, Timestamp};
use crate::wire::message::{HistoryScope, Request};

/// Bytes that the input line may hold: some messages that are too long fit, to be shortened.
const INPUT_BYTES_MAX: usize = 4 * TEXT_BYTES_MAX;
/// Messages that are loaded at a time as one scrolls up.
const PAGE_MESSAGES: u32 = 100;
/// So often the newest [`HISTORY_MESSAGES_MAX`] messages are asked for to find conversations. Older ones are
/// found by name.
const FIRST_PAGES_MAX: u32 = 5;
/// How often it is asked whether the other one is online.
const PRESENCE_INTERVAL: Duration = Duration::from_secs(15);
/// Lines of the input history.
const REMEMBERED_MAX: usize = 100;
/// Names that are kept for completion.
const NAMES_MAX: usize = 10_000;

/// An open request, and what it was for.
#[derive(Debug)]
enum Asked {
    /// A message.
    Send(Key),
    /// The newest messages of all conversations: how many pages there were before.
    First {
        pages: u32,
        oldest: OpNumber,
    },
    /// Older messages of one: those below this id.
    Older {
        key: Key,
        before: OpNumber,
    },
    /// Which accounts there are, to be shown.
    Accounts,
    /// Which names begin like what stands in the input line.
    Names {
        line: String,
    },
    /// Whether somebody is there, of whom only the name was typed.
    Whether {
        name: Name,
        text: Option<String>,
        is_there: bool,
    },
    /// Whether the other one is online.
    Presence {
        name: Name,
        online: Option<bool>,
    },
    /// Messages are read.
    Read,
    Logout,
    Delete,
}

/// A page over the conversation.
#[derive(Debug)]
pub(super) enum Page {
    Help,
    /// Accounts with their presence, and whether these are all.
    Accounts {
        accounts: Vec<(Name, bool)>,
        is_whole: bool,
    },
    Servers,
}

/// A short sentence about what was typed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Notice {
    pub sentence: String,
    pub is_trouble: bool,
}

/// A search in the open conversation.
#[derive(Debug)]
pub(super) struct Search {
    pub text: Editor,
    /// What was found last.
    pub found: Option<super::conversations::Place>,
}

/// What is to come of all this.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Parting {
    /// The user has logged out, to make an account if so.
    LoggedOut { to_create: bool },
    /// The account was deleted from here.
    Deleted,
    /// The user wants to leave.
    Quit,
}

/// Somebody who is logged in.
pub(super) struct Chat {
    pub me: Name,
    pub conversations: Conversations,
    /// The one whose messages are shown.
    pub open: Option<Key>,
    pub view: View,
    pub input: Editor,
    pub notice: Option<Notice>,
    pub page: Option<Page>,
    /// Rows of the page that are above the screen.
    pub page_scroll: usize,
    pub search: Option<Search>,
    /// The password that a deletion needs is being typed.
    pub secret: Option<Editor>,
    /// On a narrow screen the list of conversations is shown, and not the open one.
    pub list_is_shown: bool,
    /// The screen is narrow.
    pub is_narrow: bool,
    /// Rows of messages that are on the screen.
    pub height: usize,
    /// What is known about the other one's presence.
    pub presence: Option<bool>,
    /// The first page of messages is still to come.
    pub is_loading: bool,
    /// What the other side of the clock says.
    wall: Wall,
    presence_at: Option<Time>,
    asked: BTreeMap<RequestNumber, Asked>,
    completion: Option<Completion>,
    /// Names that were heard of, besides those of conversations.
    names: BTreeSet<String>,
    /// What was sent before, oldest first.
    remembered: Vec<String>,
    /// Which of them is shown, and what was typed before.
    recalled: Option<(usize, String)>,
    /// What was drawn last of the open conversation, before it was written out.
    drawn: Option<(Key, OpNumber)>,
    to_create: bool,
    /// It was said that something waits when somebody wanted to leave.
    was_warned: bool,
    parting: Option<Parting>,
}

/// What time it is for people.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wall {
    /// It was this time…
    pub then: Timestamp,
    /// …at this one.
    pub at: Time,
}

impl Wall {
    fn time(self, now: Time) -> Timestamp {
        let since = u64::try_from(now.since(self.at).as_millis()).unwrap_or(u64::MAX);
        Timestamp(self.then.0.saturating_add(since))
    }
}

impl Chat {
    /// `me` has been logged in just now.
    pub fn new(me: Name, wall: Wall, client: &mut Client, now: Time) -> Self {
        let mut chat = Self {
            me,
            conversations: Conversations::new(me),
            open: None,
            view: View::default(),
            input: Editor::of_lines(INPUT_BYTES_MAX),
            notice: None,
            page: None,
            page_scroll: 0,
            search: None,
            secret: None,
            list_is_shown: true,
            is_narrow: false,
            height: 0,
            presence: None,
            is_loading: true,
            wall,
            presence_at: None,
            asked: BTreeMap::new(),
            completion: None,
            names: BTreeSet::new(),
            remembered: Vec::new(),
            recalled: None,
            drawn: None,
            to_create: false,
            was_warned: false,
            parting: None,
        };
        chat.ask_first(0, OpNumber::MAX, client, now);
        chat
    }

    /// Takes out what was pending when this account's last session was lost. That of others stays.
    pub fn take_leftovers(&mut self, leftovers: &mut Vec<Leftover>) {
        for it in leftovers.extract_if(.., |it| it.me == self.me) {
            self.conversations.add_local(&it.peer, it.after, it.local);
        }
    }

    /// What no server has acknowledged. Of what is pending nobody will hear any more.
    pub fn leftovers(&self) -> Vec<Leftover> {
        let mut leftovers = Vec::new();
        for conversation in self.conversations.all() {
            for local in conversation.locals.values() {
                let fate = match &local.fate {
                    Fate::Pending { .. } | Fate::Unknown => Fate::Unknown,
                    Fate::Refused(why) => Fate::Refused(why.clone()),
                };
                let text = local.text.clone();
                leftovers.push(Leftover {
                    me: self.me,
                    peer: conversation.peer.clone(),
                    after: conversation.newest(),
                    local: Local { text, fate },
                });
            }
        }
        leftovers
    }

    /// Puts back what was being typed when this account's last session was lost, before what was typed
    /// since. That of others stays.
    pub fn take_drafts(&mut self, drafts: &mut Vec<Draft>, client: &mut Client, now: Time) {
        let me = self.me;
        for draft in drafts.extract_if(.., |it| it.me == me) {
            let key = draft.peer.map(|peer| self.conversations.called(&peer));
            if let Some(key) = key.filter(|_| draft.is_open && self.open.is_none()) {
                self.open(key, client, now);
            }
            match key.filter(|key| self.open != Some(*key)) {
                Some(key) => {
                    if let Some(conversation) = self.conversations.of_mut(key) {
                        conversation.draft.insert_str(0, &draft.text);
                    }
                }
                None => {
                    let text = draft.text + self.input.text();
                    self.input.set(&text);
                }
            }
        }
    }

    /// What was typed and not sent, in the input line and elsewhere.
    pub fn drafts(&self) -> Vec<Draft> {
        let open = self.open.and_then(|key| self.conversations.of(key));
        let peer = open.map(|conversation| conversation.peer.clone());
        let input = (peer, self.input.text(), true);
        // That of the open one is in the input line.
        let others = self.conversations.all();
        let others = others.map(|it| (Some(it.peer.clone()), it.draft.as_str(), false));
        let all = std::iter::once(input).chain(others);
        let drafts = all.filter(|(_, text, _)| !text.is_empty());
        let drafts = drafts.map(|(peer, text, is_open)| Draft {
            me: self.me,
            peer,
            text: text.to_owned(),
            is_open,
        });
        drafts.collect()
    }

    /// What is to come of all this, once.
    pub fn take_parting(&mut self) -> Option<Parting> {
        self.parting.take()
    }

    /// For how long the oldest message has been pending.
    pub fn longest_wait(&self, now: Time) -> Duration {
        let oldest = self.pending_since().min();
        oldest.map_or(Duration::ZERO, |since| now.since(since))
    }

    fn pending_since(&self) -> impl Iterator<Item = Time> + '_ {
        let locals = self
            .conversations
            .all()
            .flat_map(|conversation| conversation.locals.values());
        locals.filter_map(|local| match local.fate {
            Fate::Pending { asked_at, .. } => Some(asked_at),
            Fate::Refused(_) | Fate::Unknown => None,
        })
    }

    /// When there is something else to show, though nothing happens.
    pub fn changes_at(&self, now: Time) -> Option<Time> {
        let waits = self.pending_since().map(|since| next_second(since, now));
        waits.min()
    }

    /// When something is to be asked.
    pub fn asks_at(&self) -> Option<Time> {
        self.presence_at
    }

    /// Asks what is to be asked from time to time.
    pub fn handle_timeout(&mut self, client: &mut Client, now: Time) {
        if self.presence_at.is_some_and(|at| at <= now) {
            self.ask_presence(client, now);
        }
    }

    /// What was drawn of the open conversation, from which follows what is asked next.
    pub fn drawn(&mut self) {
        self.drawn = self.open.map(|key| (key, self.view.seen.up_to));
    }

    /// The screen that was drawn is written out: what was on it is read, and above it
    /// there is to be more. `true` if that can be seen.
    pub fn handle_written(&mut self, client: &mut Client, now: Time) -> bool {
        if client.identity().is_none() {
            return false;
        }
        let is_read = self.call_read(client, now);
        let is_loading = self.load_above(client, now);
        is_read || is_loading
    }

    /// Calls read what was written out, in one request at a time.
    fn call_read(&mut self, client: &mut Client, now: Time) -> bool {
        let mut is_read = false;
        if let Some((key, up_to)) = self.drawn
            && let Some(conversation) = self.conversations.of_mut(key)
        {
            is_read = conversation.shown(up_to);
        }
        let is_asking = self
            .asked
            .values()
            .any(|asked| matches!(asked, Asked::Read));
        if is_asking || !client.can_ask() {
            return is_read;
        }
        let mut all = self.conversations.all_mut();
        let read = all.find_map(|conversation| conversation.take_read());
        drop(all);
        if let Some((id, up_to)) = read {
            let conversation = Some(id);
            let request = Request::Acknowledge {
                conversation,
                up_to,
            };
            self.ask(Asked::Read, &request, client, now);
        }
        is_read
    }

    /// Loads what is older than the first row, if there is something.
    fn load_above(&mut self, client: &mut Client, now: Time) -> bool {
        let seen = self.view.seen;
        let Some(key) = self.drawn.map(|(key, _)| key).filter(|_| !self.is_loading) else {
            return false;
        };
        let Some(conversation) = self.conversations.of(key) else {
            return false;
        };
        let is_due = seen.is_top || seen.from <= conversation.loaded_from;
        let is_asking =
            |asked: &Asked| matches!(asked, Asked::Older { key: asked, .. } if *asked == key);
        let may_load = conversation.may_load() && client.can_ask();
        if !is_due || !may_load || self.asked.values().any(is_asking) {
            return false;
        }
        let scope = match (conversation.id, conversation.name()) {
            (Some(id), _) => HistoryScope::Conversation(id),
            (None, Some(name)) => HistoryScope::With(name),
            (None, None) => return false,
        };
        let before = conversation.loaded_from;
        let request = Request::History {
            scope,
            limit: PAGE_MESSAGES,
            before,
        };
        let asked = Asked::Older { key, before };
        self.ask(asked, &request, client, now).is_some()
    }

    /// The open conversation has messages above that are being loaded.
    pub fn is_loading_above(&self) -> bool {
        let is_asking = |asked: &Asked| matches!(asked, Asked::Older { .. });
        self.asked.values().any(is_asking)
    }

    fn ask_first(&mut self, pages: u32, before: OpNumber, client: &mut Client, now: Time) {
        let request = Request::History {
            scope: HistoryScope::All,
            limit: HISTORY_MESSAGES_MAX,
            before,
        };
        let oldest = before;
        self.ask(Asked::First { pages, oldest }, &request, client, now);
    }

    /// Asks whether the other one of the open conversation is online, and again later.
    fn ask_presence(&mut self, client: &mut Client, now: Time) {
        self.presence_at = None;
        let Some(name) = self.open_name() else {
            return;
        };
        let is_asking = |asked: &Asked| matches!(asked, Asked::Presence { .. });
        if self.asked.values().any(is_asking) {
            return;
        }
        if !client.can_ask() {
            self.presence_at = Some(now + PRESENCE_INTERVAL);
            return;
        }
        let pattern = name.as_str();
        let online = None;
        let asked = Asked::Presence { name, online };
        self.ask(asked, &Request::List { pattern }, client, now);
    }

    /// The account with which the open conversation is.
    fn open_name(&self) -> Option<Name> {
        let open = self.open.and_then(|key| self.conversations.of(key));
        open.and_then(|conversation| conversation.name())
    }

    /// Asks for something, and says so if that is not possible.
    fn ask(
        &mut self,
        asked: Asked,
        request: &Request<'_>,
        client: &mut Client,
        now: Time,
    ) -> Option<RequestNumber> {
        match client.ask(request, now) {
            Ok(number) => {
                self.asked.insert(number, asked);
                Some(number)
            }
            Err(error) => {
                self.complain(format!("not done: {error}"));
                None
            }
        }
    }

    fn tell(&mut self, sentence: impl Into<String>) {
        self.notice = Some(Notice {
            sentence: sentence.into(),
            is_trouble: false,
        });
    }

    fn complain(&mut self, sentence: impl Into<String>) {
        self.notice = Some(Notice {
            sentence: sentence.into(),
            is_trouble: true,
        });
    }
}
