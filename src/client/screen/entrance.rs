//! How does somebody get in who is not logged in?
//!
//! The first screen: a name and a password for an account that there is, or for a new one, which is
//! logged in at once. It comes back when the login is over, with the reason.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::super::command::{check_login, check_name, check_password};
use super::super::failover::Client;
use super::conversations::Local;
use super::editor::Editor;
use crate::limits::PASSWORD_BYTES_MAX;
use crate::types::{ErrorCode, Name, OpNumber, RequestNumber, SessionId, Time};
use crate::wire::message::{Answer, Deliver, Refusal, Request};

/// What fits into a field. A little more than what is allowed, so that it can be said what is.
const FIELD_BYTES_MAX: usize = PASSWORD_BYTES_MAX + 32;

/// A field of the form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Field {
    Name,
    Password,
    /// The password of a new account again, since nobody sees it.
    Again,
}

/// A message that no server had acknowledged when the login was over.
#[derive(Clone, Debug)]
pub(super) struct Leftover {
    /// Who had sent it.
    pub me: Name,
    pub peer: String,
    /// Behind which message it stood.
    pub after: OpNumber,
    pub local: Local,
}

/// What somebody was typing when the login was over, without having asked for that.
#[derive(Clone, Debug)]
pub(super) struct Draft {
    /// Who typed it.
    pub me: Name,
    /// For whom; `None` where no conversation was open.
    pub peer: Option<String>,
    pub text: String,
    /// It stood in the input line.
    pub is_open: bool,
}

/// The first screen.
#[derive(Debug)]
pub(super) struct Entrance {
    /// A new account is to be made.
    pub is_new: bool,
    pub name: Editor,
    pub password: Editor,
    pub again: Editor,
    pub focus: Field,
    /// What went wrong, or what happened.
    pub told: String,
    /// What is told is no trouble.
    pub is_good: bool,
    stage: Stage,
    /// These were not sent, or nobody knows whether they were. While somebody is logged in, those of
    /// others.
    pub leftovers: Vec<Leftover>,
    /// These come back when who typed them does.
    pub drafts: Vec<Draft>,
    /// It came by itself, and whoever is typing may not have seen that: until a key that makes no text,
    /// nothing is taken for a name or a password.
    pub is_held: bool,
}

#[derive(Debug)]
enum Stage {
    Idle,
    Creating {
        number: RequestNumber,
        name: Name,
        password: String,
    },
    LoggingIn {
        number: RequestNumber,
    },
}

/// What comes of an answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Entered {
    /// Nothing that changes the screen.
    NotYet,
    /// Somebody is logged in.
    As(Name),
}

impl Entrance {
    /// An empty form, or one with a name in it.
    pub fn new(name: Option<&str>) -> Self {
        let mut entrance = Self {
            is_new: false,
            name: Editor::of_one_line(FIELD_BYTES_MAX),
            password: Editor::of_one_line(FIELD_BYTES_MAX),
            again: Editor::of_one_line(FIELD_BYTES_MAX),
            focus: Field::Name,
            told: String::new(),
            is_good: false,
            stage: Stage::Idle,
            leftovers: Vec::new(),
            drafts: Vec::new(),
            is_held: false,
        };
        if let Some(name) = name {
            entrance.name.set(name);
            entrance.focus = Field::Password;
        }
        entrance
    }

    /// The fields that there are, from above.
    pub fn fields(&self) -> &'static [Field] {
        match self.is_new {
            true => &[Field::Name, Field::Password, Field::Again],
            false => &[Field::Name, Field::Password],
        }
    }

    pub fn editor(&self, field: Field) -> &Editor {
        match field {
            Field::Name => &self.name,
            Field::Password => &self.password,
            Field::Again => &self.again,
        }
    }

    fn focused(&mut self) -> &mut Editor {
        match self.focus {
            Field::Name => &mut self.name,
            Field::Password => &mut self.password,
            Field::Again => &mut self.again,
        }
    }

    /// What is being asked for, and since when.
    pub fn doing(&self, client: &Client, now: Time) -> Option<(String, u64)> {
        let (number, doing) = match &self.stage {
            Stage::Idle => return None,
            Stage::Creating { number, name, .. } => (*number, format!("making the account {name}")),
            Stage::LoggingIn { number } => (*number, "logging in".to_owned()),
        };
        let seconds = client.trying_for(number, now).unwrap_or_default().as_secs();
        Some((doing, seconds))
    }

    pub fn is_busy(&self) -> bool {
        !matches!(self.stage, Stage::Idle)
    }

    /// Puts what was pasted where the cursor is.
    pub fn paste(&mut self, text: &str) {
        if !self.is_busy() && !self.is_held {
            let text = text.trim_end_matches(['\r', '\n']);
            if !self.focused().insert(text) {
                self.tell("this is too long for a name or a password");
            }
        }
    }

    /// Does what a key does here. What is asked for waits for an answer, during which keys do
    /// nothing.
    pub fn handle_key(
        &mut self,
        key: KeyEvent,
        fresh_session: &mut dyn FnMut() -> SessionId,
        client: &mut Client,
        now: Time,
    ) {
        if self.is_busy() {
            return;
        }
        let has_control = key.modifiers.contains(KeyModifiers::CONTROL);
        if self.is_held && !(has_control && key.code == KeyCode::Char('n')) {
            let is_go = matches!(key.code, KeyCode::Enter | KeyCode::Tab | KeyCode::BackTab);
            self.is_held = !is_go;
            return;
        }
        self.is_held = false;
        match key.code {
            KeyCode::Char('n' | 'p') if has_control => self.choose(!self.is_new),
            KeyCode::Tab | KeyCode::Down => self.step(1),
            KeyCode::BackTab | KeyCode::Up => self.step(self.fields().len() - 1),
            KeyCode::Char('j') if has_control => self.enter(fresh_session, client, now),
            KeyCode::Enter => self.enter(fresh_session, client, now),
            _ => drop(self.focused().handle_key(key)),
        }
    }

    /// A new account, or one that there is.
    pub fn choose(&mut self, is_new: bool) {
        self.is_new = is_new;
        self.told.clear();
        self.again.take();
        if self.focus == Field::Again {
            self.focus = Field::Password;
        }
    }

    fn step(&mut self, by: usize) {
        let fields = self.fields();
        let at = fields.iter().position(|field| *field == self.focus);
        self.focus = fields[(at.unwrap_or(0) + by) % fields.len()];
    }

    /// The next empty field, or what the form is for.
    fn enter(
        &mut self,
        fresh_session: &mut dyn FnMut() -> SessionId,
        client: &mut Client,
        now: Time,
    ) {
        let is_empty = |field: &&Field| self.editor(**field).text().is_empty();
        if let Some(field) = self.fields().iter().find(is_empty) {
            self.focus = *field;
            return;
        }
        self.told.clear();
        self.is_good = false;
        let (name, password) = (self.name.text().trim().to_owned(), self.password.take());
        let again = self.again.take();
        match self.is_new {
            false => self.log_in(&name, &password, fresh_session(), client, now),
            true if again != password => {
                self.tell("these were two different passwords; type them again");
                self.focus = Field::Password;
            }
            true => self.create(&name, password, fresh_session(), client, now),
        }
    }

    /// Asks for a login.
    pub fn log_in(
        &mut self,
        name: &str,
        password: &str,
        session: SessionId,
        client: &mut Client,
        now: Time,
    ) {
        self.focus = Field::Password;
        if let Err(refusal) = check_login(name, password) {
            return self.tell_refusal(&refusal);
        }
        let request = Request::Login {
            name,
            password,
            session: Some(session),
            deliver: Deliver::Unread,
        };
        match client.ask(&request, now) {
            Ok(number) => self.stage = Stage::LoggingIn { number },
            Err(error) => self.tell(&format!("not done: {error}")),
        }
    }

    fn create(
        &mut self,
        name: &str,
        password: String,
        session: SessionId,
        client: &mut Client,
        now: Time,
    ) {
        let name = match check_name(name) {
            Ok(name) => name,
            Err(refusal) => {
                self.focus = Field::Name;
                return self.tell_refusal(&refusal);
            }
        };
        self.focus = Field::Password;
        let checked = match check_password(&password) {
            Ok(checked) => checked,
            Err(refusal) => return self.tell_refusal(&refusal),
        };
        let request = Request::Create {
            name,
            password: checked,
            session: Some(session),
        };
        match client.ask(&request, now) {
            Ok(number) => {
                self.stage = Stage::Creating {
                    number,
                    name,
                    password,
                }
            }
            Err(error) => self.tell(&format!("not done: {error}")),
        }
    }

    /// A request has its answer.
    pub fn answered(
        &mut self,
        number: RequestNumber,
        answer: &Result<Answer<'static>, Refusal>,
        fresh_session: &mut dyn FnMut() -> SessionId,
        client: &mut Client,
        now: Time,
    ) -> Entered {
        let is_mine = match &self.stage {
            Stage::Idle => false,
            Stage::Creating { number: asked, .. } | Stage::LoggingIn { number: asked } => {
                *asked == number
            }
        };
        if !is_mine {
            return Entered::NotYet;
        }
        match (std::mem::replace(&mut self.stage, Stage::Idle), answer) {
            (Stage::Creating { name, password, .. }, Ok(_)) => {
                self.is_new = false;
                self.log_in(name.as_str(), &password, fresh_session(), client, now);
            }
            (_, Ok(Answer::LoggedIn { name, .. })) => return Entered::As(*name),
            (_, Ok(_)) => {}
            (_, Err(refusal)) => self.refused(refusal),
        }
        Entered::NotYet
    }

    fn refused(&mut self, refusal: &Refusal) {
        self.tell_refusal(refusal);
        match refusal.code {
            ErrorCode::NameTaken => self.focus = Field::Name,
            ErrorCode::BadLogin => self.told.push_str("; Ctrl+N makes a new one"),
            _ => {}
        }
    }

    fn tell_refusal(&mut self, refusal: &Refusal) {
        self.tell(&refusal.sentence);
    }

    fn tell(&mut self, sentence: &str) {
        sentence.clone_into(&mut self.told);
        self.is_good = false;
    }
}
