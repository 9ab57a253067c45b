//! What does each key do?

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::super::commands::{Completion, complete, word_before};
use super::super::conversations::Key;
use super::super::editor::Editor;
use super::super::entries::Entry;
use super::{Asked, Chat, REMEMBERED_MAX, Search};
use crate::client::failover::Client;
use crate::limits::PASSWORD_BYTES_MAX;
use crate::types::{Name, Time};
use crate::wire::message::Request;

/// Bytes of what is searched for.
const SEARCH_BYTES_MAX: usize = 256;

impl Chat {
    /// Does what a key does here.
    pub fn handle_key(&mut self, key: KeyEvent, client: &mut Client, now: Time) {
        if key.code != KeyCode::Tab {
            self.completion = None;
        }
        let has_control = key.modifiers.contains(KeyModifiers::CONTROL);
        let has_alt = key.modifiers.contains(KeyModifiers::ALT);
        match key.code {
            KeyCode::PageUp => self.page_by(1),
            KeyCode::PageDown => self.page_by(-1),
            KeyCode::Char('n') if has_control => self.step(1, client, now),
            KeyCode::Char('p') if has_control => self.step(-1, client, now),
            KeyCode::Down if has_alt => self.step(1, client, now),
            KeyCode::Up if has_alt => self.step(-1, client, now),
            KeyCode::F(1) => self.help(),
            KeyCode::Esc => self.go_back(),
            _ if self.secret.is_some() => self.handle_secret(key, client, now),
            _ if self.search.is_some() => self.handle_search(key),
            KeyCode::Char('f') if has_control => self.begin_search(""),
            KeyCode::Enter if has_alt || key.modifiers.contains(KeyModifiers::SHIFT) => {
                self.type_in("\n");
            }
            KeyCode::Char('j') if has_control => self.type_in("\n"),
            KeyCode::Enter => self.enter(client, now),
            KeyCode::Tab => self.complete(client, now),
            KeyCode::End if self.input.text().is_empty() || has_control => self.view.follow(),
            KeyCode::Up | KeyCode::Down if self.shows_list() && self.input.text().is_empty() => {
                let by = if key.code == KeyCode::Up { -1 } else { 1 };
                self.step(by, client, now);
            }
            KeyCode::Up if !self.input.up() => self.recall(-1),
            KeyCode::Down if !self.input.down() => self.recall(1),
            KeyCode::Up | KeyCode::Down => {}
            _ => {
                if self.input.handle_key(key) {
                    self.notice = None;
                    self.recalled = None;
                } else if matches!(key.code, KeyCode::Char(_)) && !has_alt {
                    self.complain("the input line is full");
                }
            }
        }
    }

    /// Puts what was pasted where the cursor is.
    pub fn paste(&mut self, text: &str) {
        self.completion = None;
        let field = self.secret.as_mut();
        let field = field.or(self.search.as_mut().map(|search| &mut search.text));
        match field {
            Some(field) => drop(field.insert(text.trim_end_matches(['\r', '\n']))),
            None => self.type_in(text),
        }
        if self.search.is_some() {
            self.find_again();
        }
    }

    fn type_in(&mut self, text: &str) {
        if self.input.insert(text) {
            self.notice = None;
        } else {
            self.complain("this is more than fits into the input line; nothing was pasted");
        }
    }

    /// The list of conversations has the whole screen.
    pub fn shows_list(&self) -> bool {
        self.is_narrow && self.list_is_shown
    }

    /// One step out of whatever is open.
    fn go_back(&mut self) {
        if self.secret.take().is_some() {
            return self.tell("nothing was deleted");
        }
        if self.search.take().is_some() || self.page.take().is_some() {
            return;
        }
        if self.notice.take().is_none() && self.is_narrow {
            self.list_is_shown = true;
        }
    }

    fn page_by(&mut self, pages: isize) {
        let rows = self.height.saturating_sub(1).max(1);
        match self.page {
            Some(_) if pages > 0 => self.page_scroll = self.page_scroll.saturating_sub(rows),
            Some(_) => self.page_scroll += rows,
            None => self.view.scroll(pages * rows as isize),
        }
    }

    /// The next conversation of the list, or the one before.
    fn step(&mut self, by: isize, client: &mut Client, now: Time) {
        let ordered: Vec<Key> = self
            .conversations
            .in_order()
            .iter()
            .map(|(key, _)| *key)
            .collect();
        if ordered.is_empty() {
            return;
        }
        let at = ordered.iter().position(|key| Some(*key) == self.open);
        let count = ordered.len() as isize;
        let next = match at {
            Some(at) => (at as isize + by).rem_euclid(count),
            None => 0,
        };
        let was_list = self.shows_list();
        self.open(ordered[next as usize], client, now);
        self.list_is_shown = was_list;
    }

    /// Shows what was sent before, or what was typed after it.
    fn recall(&mut self, by: isize) {
        let (at, typed) = match self.recalled.take() {
            Some(recalled) => recalled,
            None => (self.remembered.len(), self.input.text().to_owned()),
        };
        let at = at.saturating_add_signed(by).min(self.remembered.len());
        match self.remembered.get(at) {
            Some(line) => {
                self.input.set(line);
                self.recalled = Some((at, typed));
            }
            None => self.input.set(&typed),
        }
    }

    /// Keeps what was sent, to be shown again.
    pub(super) fn remember(&mut self, line: &str) {
        self.recalled = None;
        if self.remembered.last().is_none_or(|last| last != line) {
            self.remembered.push(line.to_owned());
        }
        if self.remembered.len() > REMEMBERED_MAX {
            self.remembered.remove(0);
        }
    }

    fn handle_secret(&mut self, key: KeyEvent, client: &mut Client, now: Time) {
        let Some(secret) = &mut self.secret else {
            return;
        };
        if key.code != KeyCode::Enter {
            secret.handle_key(key);
            return;
        }
        let password = secret.take();
        self.secret = None;
        match password.is_empty() {
            true => self.tell("nothing was deleted"),
            false => self.delete(&password, client, now),
        }
    }

    /// The password is asked for that a deletion needs.
    pub(super) fn ask_secret(&mut self) {
        self.secret = Some(Editor::of_one_line(PASSWORD_BYTES_MAX));
        self.notice = None;
    }
}

/// Names and commands.
impl Chat {
    /// Names that are known.
    fn known_names(&self) -> impl Iterator<Item = &str> {
        let peers = self
            .conversations
            .all()
            .map(|it| it.peer.as_str())
            .filter(|peer| Name::parse(peer).is_ok());
        peers.chain(self.names.iter().map(String::as_str))
    }

    /// The word before the cursor becomes one that is known, and at the next press another one. When
    /// none is known, the server is asked.
    fn complete(&mut self, client: &mut Client, now: Time) {
        if let Some(completion) = &mut self.completion {
            completion.chosen = (completion.chosen + 1) % completion.candidates.len();
            return self.put_candidate();
        }
        let before = self.input.before_cursor().to_owned();
        self.completion = complete(&before, self.known_names());
        match &self.completion {
            Some(_) => self.put_candidate(),
            None => self.ask_names(&before, client, now),
        }
    }

    fn put_candidate(&mut self) {
        let Some(Completion {
            from,
            candidates,
            chosen,
        }) = &self.completion
        else {
            return;
        };
        let candidate = &candidates[*chosen];
        match candidates.len() {
            1 => {
                self.input.replace_from(*from, &format!("{candidate} "));
                self.completion = None;
                self.notice = None;
            }
            _ => {
                self.input.replace_from(*from, candidate);
                let others = candidates.join("  ");
                self.tell(others);
            }
        }
    }

    fn ask_names(&mut self, before: &str, client: &mut Client, now: Time) {
        let Some((_, word)) = word_before(before) else {
            return;
        };
        let begin = word.strip_prefix('/').unwrap_or(word).to_lowercase();
        if Name::parse(&begin).is_err() {
            return;
        }
        let line = before.to_owned();
        let pattern = format!("{begin}*");
        let request = Request::List { pattern: &pattern };
        self.ask(Asked::Names { line }, &request, client, now);
    }

    /// The server has said which names there are for a line.
    pub(super) fn names_came(&mut self, line: &str) {
        if self.input.before_cursor() != line || self.completion.is_some() {
            return;
        }
        self.completion = complete(line, self.known_names());
        match self.completion {
            Some(_) => self.put_candidate(),
            None => self.tell("no name begins like this"),
        }
    }
}

/// The search in the open conversation.
impl Chat {
    /// Searches for a text, which may be typed further.
    pub(super) fn begin_search(&mut self, text: &str) {
        if self.open.is_none() {
            return self.complain("there is no conversation to search in");
        }
        self.list_is_shown = false;
        self.page = None;
        self.notice = None;
        let mut editor = Editor::of_one_line(SEARCH_BYTES_MAX);
        editor.set(text);
        self.search = Some(Search {
            text: editor,
            found: None,
        });
        self.find_again();
    }

    fn handle_search(&mut self, key: KeyEvent) {
        let has_control = key.modifiers.contains(KeyModifiers::CONTROL);
        match key.code {
            KeyCode::Enter | KeyCode::Up => self.find(true),
            KeyCode::Char('f' | 'r') if has_control => self.find(true),
            KeyCode::Down => self.find(false),
            _ => {
                if let Some(search) = &mut self.search
                    && search.text.handle_key(key)
                {
                    self.find_again();
                }
            }
        }
    }

    /// What is searched for has changed: the search begins at the newest message.
    fn find_again(&mut self) {
        if let Some(search) = &mut self.search {
            search.found = None;
        }
        self.find(true);
    }

    /// Finds the next older message, or the next newer one.
    fn find(&mut self, is_older: bool) {
        let open = self.open.and_then(|key| self.conversations.of(key));
        let (Some(search), Some(conversation)) = (&mut self.search, open) else {
            return;
        };
        let wanted = search.text.text().to_lowercase();
        if wanted.is_empty() {
            search.found = None;
            self.notice = None;
            return;
        }
        let entries = Entry::all(conversation);
        let has = |entry: &&Entry<'_>| entry.text().to_lowercase().contains(&wanted);
        let found = search.found;
        let next = match (is_older, found) {
            (true, None) => entries.iter().rev().find(has),
            (true, Some(last)) => entries
                .iter()
                .rev()
                .filter(|it| it.place() < last)
                .find(has),
            (false, Some(last)) => entries.iter().filter(|it| it.place() > last).find(has),
            (false, None) => None,
        };
        let all = entries.iter().filter(has).count();
        match next.map(Entry::place) {
            Some(place) => {
                search.found = Some(place);
                let newer = entries.iter().filter(|it| it.place() > place);
                let rank = newer.filter(has).count() + 1;
                self.view.show(place);
                self.tell(format!("{rank} of {all} found, from the newest"));
            }
            None if found.is_some() && is_older => self.tell(match conversation.is_complete {
                true => "there is no older one",
                false => "there is no older one in what is loaded; PageUp loads more",
            }),
            None if found.is_some() => self.tell("there is no newer one"),
            None => self.tell("not found in what is loaded"),
        }
    }
}
