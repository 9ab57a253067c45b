//! What does a person see who runs the client on a terminal?
//!
//! A state machine like line mode, on a grid of cells: keys, pastes and what the client says go in, and
//! out come the bytes that bring the terminal up to date. In reading order:
//!
//! 1. `entrance`: the first screen, on which one logs in or makes an account
//! 2. `chat`: who is logged in, with `conversations` for the messages, `view` for the part of them
//!    that is seen, `entries` for how they look, `editor` and `commands` for what is typed
//! 3. `status`: the last row, which tells how it is with the servers
//! 4. `draw`: all of it on one grid, and `paper`: from grid to grid
//!
//! **What is sent.** One's own message is there at once, with a mark and a word that call it pending. Both
//! go when a server has acknowledged it, and not before. What was pending when the session was lost is
//! called not known.
//!
//! **What is read.** Messages for me that were on the screen, after they were written out. What comes while
//! nobody scrolls rests at the first that does not fit, so that nothing passes by unseen.
//!
//! **How it ends.** `/quit` and Ctrl+C end the session, which may take [`LEAVE_TIME_MAX`]; a second
//! Ctrl+C waits for nothing. [`Screen::farewell`] names what was not acknowledged, for the terminal
//! as it is afterwards.

mod chat;
mod commands;
mod conversations;
mod draw;
mod editor;
mod entrance;
mod entries;
mod paper;
mod status;
mod theme;
mod view;
mod wrap;

use std::net::SocketAddr;
use std::time::Duration;

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use jiff::tz::TimeZone;

use self::chat::{Chat, Parting, Wall};
use self::conversations::Fate;
use self::entrance::{Draft, Entered, Entrance, Leftover};
use self::paper::Paper;
use self::status::Status;
use self::wrap::fit;
use super::failover::{Change, Client, Output};
use super::front::{Exit, Front, Typed, Wants, Written};
use super::show::{Colours, escape_line};
use crate::types::{ErrorCode, RequestNumber, SessionId, Time, Timestamp};
use crate::wire::message::{NoteKind, Request};

/// How long one who leaves waits for the server to end the session.
pub const LEAVE_TIME_MAX: Duration = Duration::from_millis(500);
/// Ctrl+C, which comes as a key, ends like the signal.
const INTERRUPT: i32 = 2;
/// And the end of the input like a terminal that was closed.
const HANG_UP: i32 = 1;
/// Keys and pastes that wait for a login: more are lost.
const AHEAD_MAX: usize = 1024;
/// Columns and rows that a screen has at most: more are left empty.
const SIZE_MAX: u16 = 1000;

/// What the screen has to know of where it runs.
pub struct ScreenOptions {
    /// Columns and rows of the terminal.
    pub size: (u16, u16),
    /// Whether there are colours.
    pub colours: Colours,
    /// The zone of the times that are shown.
    pub zone: TimeZone,
    /// What time it is.
    pub wall: Timestamp,
    /// The servers with which the search begins.
    pub servers: Vec<SocketAddr>,
    /// The name that stands in the form.
    pub user: Option<String>,
    /// The password with which it is logged in at once.
    pub password: Option<String>,
}

/// The full screen.
pub struct Screen {
    colours: Colours,
    zone: TimeZone,
    wall: Timestamp,
    /// When it was that time: when the first thing happened.
    started_at: Option<Time>,
    /// With which the first screen begins.
    password: Option<String>,
    /// Gives the name of the next session: 128 random bits.
    fresh_session: Box<dyn FnMut() -> SessionId>,
    size: (u16, u16),
    status: Status,
    entrance: Entrance,
    /// What was typed while a login was on its way: it is meant for what comes behind it.
    ahead: Vec<Typed>,
    /// There while somebody is logged in.
    chat: Option<Chat>,
    paper: Paper,
    /// Something is to be drawn.
    is_stale: bool,
    /// When something else is to be seen, though nothing happens.
    redraw_at: Option<Time>,
    leaving: Option<Leaving>,
    /// What to say when the terminal is as it was before.
    farewell: String,
    exit: Option<Exit>,
}

/// It is about to end.
#[derive(Clone, Copy)]
struct Leaving {
    exit: Exit,
    /// The request that ends the session.
    logout: Option<RequestNumber>,
    /// When to go without an answer.
    at_latest: Time,
}

impl Screen {
    /// The first screen. It names its sessions by `fresh_session`.
    pub fn new(options: ScreenOptions, fresh_session: Box<dyn FnMut() -> SessionId>) -> Self {
        Self {
            colours: options.colours,
            zone: options.zone,
            wall: options.wall,
            started_at: None,
            entrance: Entrance::new(options.user.as_deref()),
            password: options.password.filter(|_| options.user.is_some()),
            fresh_session,
            size: options.size,
            status: Status::new(options.servers),
            ahead: Vec::new(),
            chat: None,
            paper: Paper::default(),
            is_stale: true,
            redraw_at: None,
            leaving: None,
            farewell: String::new(),
            exit: None,
        }
    }

    /// What to tell whoever has left, in lines: what was not acknowledged. Nothing, if nothing was open.
    pub fn farewell(&self) -> &str {
        &self.farewell
    }
}

impl Front for Screen {
    fn handle_output(&mut self, output: Output, client: &mut Client, now: Time) {
        self.begin(client, now);
        self.is_stale = true;
        match output {
            Output::Dial { .. }
            | Output::Send { .. }
            | Output::HangUp(_)
            | Output::Learnt { .. } => {}
            Output::Item { number, item } => {
                if let Some(chat) = &mut self.chat {
                    chat.take_part(number, item);
                }
            }
            Output::Answered { number, answer } => {
                self.status.writes_wait(false);
                if self
                    .leaving
                    .is_some_and(|leaving| leaving.logout == Some(number))
                {
                    self.finish();
                } else if let Some(chat) = &mut self.chat {
                    chat.answered(number, answer, client, now);
                } else {
                    let fresh = &mut self.fresh_session;
                    let entered = self.entrance.answered(number, &answer, fresh, client, now);
                    self.entered(entered, client, now);
                    if !self.entrance.is_busy() {
                        // A password is not to be made of what was meant for somebody.
                        self.ahead.clear();
                    }
                }
            }
            Output::Delivered(message) => {
                if let Some(chat) = &mut self.chat {
                    chat.delivered(message);
                }
            }
            Output::Noted { about, .. } => self.noted(about),
            Output::Changed(change) => self.changed(&change, now),
            Output::Status {
                cluster,
                round_trip,
            } => self.status.heard(cluster, round_trip),
            Output::RoundTrip(round_trip) => self.status.answered_after(round_trip),
        }
        self.part(client, now);
    }

    fn handle_typed(&mut self, typed: Typed, client: &mut Client, now: Time) {
        self.begin(client, now);
        self.is_stale = true;
        match typed {
            Typed::Key(key) if self.is_early() && !is_for_all(key) => {
                self.type_ahead(Typed::Key(key));
            }
            Typed::Pasted(text) if self.is_early() => self.type_ahead(Typed::Pasted(text)),
            Typed::Key(key) => self.handle_key(key, client, now),
            Typed::Pasted(text) => match &mut self.chat {
                Some(chat) => chat.paste(&text),
                None => self.entrance.paste(&text),
            },
            Typed::Resized { columns, rows } => {
                self.size = (columns, rows);
                self.paper.forget();
            }
            Typed::End => self.leave(Exit::Signal(HANG_UP), client, now),
            Typed::Line(_) | Typed::TooLong | Typed::NotUtf8 => {}
        }
        self.part(client, now);
    }

    fn handle_signal(&mut self, signal: i32, client: &mut Client, now: Time) {
        self.is_stale = true;
        self.leave(Exit::Signal(signal), client, now);
    }

    /// The terminal was closed: there is still a session to end.
    fn handle_output_lost(&mut self, _: Exit, client: &mut Client, now: Time) -> bool {
        /// The signal by which a terminal says the same.
        const HANGUP: i32 = 1;
        self.handle_signal(HANGUP, client, now);
        true
    }

    fn handle_written(&mut self, client: &mut Client, now: Time) {
        self.begin(client, now);
        if let Some(chat) = self.chat.as_mut().filter(|_| self.leaving.is_none()) {
            self.is_stale |= chat.handle_written(client, now);
        }
    }

    fn handle_timeout(&mut self, client: &mut Client, now: Time) {
        self.is_stale |= self.redraw_at.is_some_and(|at| at <= now);
        if self.leaving.is_some_and(|leaving| leaving.at_latest <= now) {
            return self.finish();
        }
        if let Some(chat) = &mut self.chat {
            chat.handle_timeout(client, now);
        }
    }

    fn poll_timeout(&self) -> Option<Time> {
        let leaving = self.leaving.map(|leaving| leaving.at_latest);
        let asks = self.chat.as_ref().and_then(Chat::asks_at);
        [leaving, asks, self.redraw_at].into_iter().flatten().min()
    }

    fn take_text(&mut self, client: &Client, now: Time) -> Written {
        let mut written = Written::default();
        if self.is_stale && self.exit.is_none() {
            self.is_stale = false;
            self.redraw_at = self.changes_at(client, now);
            let (page, cursor) = draw::screen(self, client, now);
            written.output = self.paper.paint(page, cursor);
        }
        written
    }

    fn wants(&self, _: &Client) -> Wants {
        Wants::Keys
    }

    fn exit(&self) -> Option<Exit> {
        self.exit
    }
}

/// From screen to screen.
impl Screen {
    /// The first thing that happens says when it is.
    fn begin(&mut self, client: &mut Client, now: Time) {
        if self.started_at.is_some() {
            return;
        }
        self.started_at = Some(now);
        self.is_stale = true;
        if let Some(password) = self.password.take() {
            let name = self.entrance.name.text().to_owned();
            let session = (self.fresh_session)();
            self.entrance.log_in(&name, &password, session, client, now);
        }
    }

    fn entered(&mut self, entered: Entered, client: &mut Client, now: Time) {
        let Entered::As(me) = entered else { return };
        let wall = Wall {
            then: self.wall,
            at: self.started_at.unwrap_or(now),
        };
        let mut chat = Chat::new(me, wall, client, now);
        chat.take_leftovers(&mut self.entrance.leftovers);
        self.chat = Some(chat);
        for typed in std::mem::take(&mut self.ahead) {
            self.handle_typed(typed, client, now);
        }
        // Behind what was typed meanwhile, whose Enter is not to send what nobody saw again.
        if let Some(chat) = &mut self.chat {
            chat.take_drafts(&mut self.entrance.drafts, client, now);
        }
    }

    /// A login is on its way, and nobody has left.
    fn is_early(&self) -> bool {
        self.chat.is_none() && self.entrance.is_busy() && self.leaving.is_none()
    }

    fn type_ahead(&mut self, typed: Typed) {
        if self.ahead.len() < AHEAD_MAX {
            self.ahead.push(typed);
        }
    }

    fn noted(&mut self, about: NoteKind) {
        match about {
            NoteKind::WritesWait => self.status.writes_wait(true),
            NoteKind::Ready => self.status.writes_wait(false),
            // What follows from these is told where it is felt.
            NoteKind::Greeting
            | NoteKind::AccountDeleted
            | NoteKind::ServerStops
            | NoteKind::SessionEnded
            | NoteKind::Closing
            | NoteKind::SteppedDown
            | NoteKind::Damaged => {}
        }
    }

    fn changed(&mut self, change: &Change, now: Time) {
        self.status.changed(change, now);
        let Change::LoggedOut { name, why } = change else {
            return;
        };
        let sentence = match why.code {
            ErrorCode::NoSuchAccount => format!("the account {name} was deleted"),
            _ => format!("{name} is not logged in any more: {}", why.sentence),
        };
        self.come_back(Some(name.as_str()));
        self.entrance.told = sentence;
        if let Some(chat) = self.chat.take() {
            self.entrance.is_held = true;
            self.entrance.told.push_str("; Enter goes on");
            self.entrance.drafts.extend(chat.drafts());
            self.entrance.leftovers.extend(chat.leftovers());
        }
    }

    /// The first screen again, with what it keeps of those who were logged in before.
    fn come_back(&mut self, name: Option<&str>) {
        let before = std::mem::replace(&mut self.entrance, Entrance::new(name));
        self.entrance.leftovers = before.leftovers;
        self.entrance.drafts = before.drafts;
    }

    /// Somebody has logged out, or wants to leave.
    fn part(&mut self, client: &mut Client, now: Time) {
        let Some(parting) = self.chat.as_mut().and_then(Chat::take_parting) else {
            return;
        };
        match (parting, self.chat.take()) {
            (Parting::Quit, chat) => {
                self.chat = chat;
                self.leave(Exit::Done, client, now);
            }
            (Parting::LoggedOut { to_create }, Some(chat)) => {
                let name = Some(chat.me.as_str()).filter(|_| !to_create);
                self.come_back(name);
                self.entrance.choose(to_create);
                self.entrance.leftovers.extend(chat.leftovers());
            }
            (Parting::Deleted, Some(chat)) => {
                self.come_back(None);
                self.entrance.told = format!("the account {} is deleted", chat.me);
                self.entrance.is_good = true;
            }
            (_, None) => {}
        }
    }

    fn handle_key(&mut self, key: KeyEvent, client: &mut Client, now: Time) {
        let has_control = key.modifiers.contains(KeyModifiers::CONTROL);
        match key.code {
            KeyCode::Char('c') if has_control => {
                self.leave(Exit::Signal(INTERRUPT), client, now);
            }
            KeyCode::Char('l') if has_control => self.paper.forget(),
            _ if self.leaving.is_some() => {}
            _ => match &mut self.chat {
                Some(chat) => chat.handle_key(key, client, now),
                None => {
                    let fresh = &mut self.fresh_session;
                    self.entrance.handle_key(key, fresh, client, now);
                }
            },
        }
    }
}

/// How it ends.
impl Screen {
    /// Ends the session, if there is one, and then the screen.
    fn leave(&mut self, exit: Exit, client: &mut Client, now: Time) {
        let is_second = self.leaving.is_some();
        let identity = client.identity();
        let has_session = identity.is_some_and(|identity| identity.session.is_some());
        let logout = match has_session && !is_second {
            true => client.ask(&Request::Logout, now).ok(),
            false => None,
        };
        self.leaving = Some(Leaving {
            exit,
            logout,
            at_latest: now + LEAVE_TIME_MAX,
        });
        if logout.is_none() {
            self.finish();
        }
    }

    fn finish(&mut self) {
        let leaving = self.leaving.take();
        self.exit = leaving.map(|leaving| leaving.exit).or(self.exit);
        let leftovers = self.chat.as_ref().map(Chat::leftovers);
        let kept = self.entrance.leftovers.iter();
        for leftover in kept.chain(leftovers.iter().flatten()) {
            self.farewell.push_str(&farewell_to(leftover));
        }
        for draft in &self.entrance.drafts {
            self.farewell.push_str(&farewell_to_draft(draft));
        }
    }

    /// When something else is to be seen, though nothing happens.
    fn changes_at(&self, client: &Client, now: Time) -> Option<Time> {
        let chat = self.chat.as_ref().and_then(|chat| chat.changes_at(now));
        let doing = self.entrance.doing(client, now);
        let doing = doing.map(|_| now + Duration::from_secs(1));
        let own = [self.status.changes_at(now), chat, doing];
        own.into_iter().flatten().min()
    }
}

/// A key that does the same wherever it is pressed: Ctrl+C and Ctrl+L.
fn is_for_all(key: KeyEvent) -> bool {
    key.modifiers.contains(KeyModifiers::CONTROL) && matches!(key.code, KeyCode::Char('c' | 'l'))
}

/// Columns of a text in a line about it at the end.
const FAREWELL_COLUMNS_MAX: usize = 40;

/// A line about what somebody was typing who was logged out.
fn farewell_to_draft(draft: &Draft) -> String {
    let text = fit(&escape_line(&draft.text), FAREWELL_COLUMNS_MAX);
    let to = draft.peer.as_deref().map(escape_line);
    let to = to.map_or(String::new(), |to| format!(" to {to}:"));
    format!("not sent, you were logged out:{to} {text}\n")
}

/// A line about a message that no server has acknowledged.
fn farewell_to(leftover: &Leftover) -> String {
    let fate = match &leftover.local.fate {
        Fate::Refused(_) => "not sent",
        Fate::Pending { .. } | Fate::Unknown => {
            "not acknowledged: it may or may not have been sent"
        }
    };
    let text = fit(&escape_line(&leftover.local.text), FAREWELL_COLUMNS_MAX);
    format!("{fate}: to {}: {text}\n", escape_line(&leftover.peer))
}

#[cfg(test)]
mod tests;
