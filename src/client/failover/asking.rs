//! What happens to a request between its asking and its answer?
//!
//! It is sent in its turn, and again by each new connection, until there is an answer that says what was
//! done. Answers that say no more than "not here" or "not now" are not told to anybody.

use std::time::Duration;

use super::super::event::Part;
use super::deliveries::Deliveries;
use super::{Client, Identity, LinkId, Output, Wish};
use crate::limits::SESSION_OPEN_REQUESTS_MAX;
use crate::types::{ErrorCode, RequestNumber, Time};
use crate::wire::message::{Answer, Deliver, Refusal, Request};

/// Numbers that a user does not get: for resuming, and for the client's own questions.
const NUMBERS_RESERVED: u64 = 8;
/// How long after a refusal that says "not now" a request is made again, at first and at most.
const RETRY_AFTER: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

/// Why something could not be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AskError {
    /// As many requests are open as may be: one of them has to be answered first.
    #[error("too many requests are open")]
    TooManyOpen,
    /// Nobody is logged in.
    #[error("nobody is logged in")]
    NotLoggedIn,
}

/// A request without an answer.
#[derive(Debug)]
pub(super) struct Open {
    pub wish: Wish,
    asked_at: Time,
    /// The client itself has asked, to see whether the server is there. Nobody asks that again.
    is_own: bool,
    /// The connection by which it was sent and that may still answer.
    sent_by: Option<LinkId>,
    /// It was sent by some connection: it may have been done.
    pub was_sent: bool,
    /// It was refused for now, so often.
    refusals: u32,
    /// Not to be sent before.
    retry_at: Option<Time>,
    /// What came of its answer.
    items: Vec<Part>,
    /// How much of it was handed on already.
    items_told: u64,
}

impl Client {
    /// Asks for something; it need not be possible now. Requests are done in the order in which
    /// they are asked, and a login, a logout or a deletion alone.
    ///
    /// # Errors
    /// Nothing was asked: see [`AskError`].
    ///
    /// # Panics
    /// For RESUME and QUIT, which are this client's own business.
    pub fn ask(&mut self, request: &Request<'_>, now: Time) -> Result<RequestNumber, AskError> {
        let wish = Wish::of(request).expect("the client itself resumes and quits");
        if !self.can_ask() {
            return Err(AskError::TooManyOpen);
        }
        let logs_in = |open: &Open| matches!(open.wish, Wish::Login(_));
        let is_known = self.identity.is_some() || self.open.values().any(logs_in);
        if !is_known && !wish.needs_no_login() {
            return Err(AskError::NotLoggedIn);
        }
        let number = self.open_request(wish, false, now);
        self.go_on(now);
        Ok(number)
    }

    /// Whether one more request may be asked now.
    pub fn can_ask(&self) -> bool {
        // A server counts from the lowest open number on, answered or not.
        let span = self.next_number.0 - self.lowest_open().0;
        span + NUMBERS_RESERVED < SESSION_OPEN_REQUESTS_MAX
    }

    /// For how long a request has been open; `None` if it is not.
    pub fn trying_for(&self, number: RequestNumber, now: Time) -> Option<Duration> {
        let open = self.open.get(&number)?;
        Some(now.since(open.asked_at))
    }

    /// Whether a request that is open was sent to a server: then it may have been done. `false`: no
    /// server has ever seen it, or it is not open.
    pub fn may_be_done(&self, number: RequestNumber) -> bool {
        self.open.get(&number).is_some_and(|open| open.was_sent)
    }

    /// The user's requests that are open, oldest first.
    pub fn open_requests(&self) -> impl Iterator<Item = RequestNumber> + '_ {
        let of_user = self.open.iter().filter(|(_, open)| !open.is_own);
        of_user.map(|(number, _)| *number)
    }

    /// Asks for something of the client's own.
    pub(super) fn ask_oneself(&mut self, wish: Wish, now: Time) {
        self.open_request(wish, true, now);
    }

    fn open_request(&mut self, wish: Wish, is_own: bool, now: Time) -> RequestNumber {
        let number = self.next_number;
        self.next_number = RequestNumber(number.0 + 1);
        let open = Open {
            wish,
            asked_at: now,
            is_own,
            sent_by: None,
            was_sent: false,
            refusals: 0,
            retry_at: None,
            items: Vec::new(),
            items_told: 0,
        };
        self.open.insert(number, open);
        number
    }

    /// A number for what is asked to be let in: the next one, as long as servers take it.
    pub(super) fn number_to_resume(&mut self) -> RequestNumber {
        let lowest = self.lowest_open().0;
        if self.next_number.0 - lowest < SESSION_OPEN_REQUESTS_MAX {
            let number = self.next_number;
            self.next_number = RequestNumber(number.0 + 1);
            return number;
        }
        // Nothing is remembered of a resume, so its number may come again.
        RequestNumber(lowest + SESSION_OPEN_REQUESTS_MAX - 1)
    }

    pub(super) fn lowest_open(&self) -> RequestNumber {
        let first = self.open.first_key_value();
        first.map_or(self.next_number, |(number, _)| *number)
    }

    /// Whether somebody waits for an answer.
    pub(super) fn has_open(&self) -> bool {
        self.open.values().any(|open| !open.is_own)
    }

    /// Sends what can be sent, in its order, by the connection that serves.
    pub(super) fn send_open(&mut self, now: Time) {
        let Some(id) = self.current else { return };
        let lowest_open = self.lowest_open();
        let Some(link) = self.links.get_mut(&id) else {
            return;
        };
        if !link.connection.is_open() {
            return;
        }
        let mut is_first = true;
        for (number, open) in &mut self.open {
            if open.wish.is_alone() && !is_first || open.retry_at.is_some_and(|at| at > now) {
                return;
            }
            is_first = false;
            if open.sent_by != Some(id) {
                if open.was_sent
                    && let Wish::Login(login) = &mut open.wish
                {
                    login.take_another_session();
                }
                open.sent_by = Some(id);
                open.was_sent = true;
                open.retry_at = None;
                let request = open.wish.request();
                link.connection.ask(*number, lowest_open, &request, now);
            }
            if open.wish.is_alone() {
                return;
            }
        }
    }

    /// When something that was refused for now is to be sent again: the first of all, since what
    /// stands behind it is not sent before.
    pub(super) fn retry_at(&self) -> Option<Time> {
        self.current?;
        self.open.values().find_map(|open| open.retry_at)
    }

    /// A part of an answer came.
    pub(super) fn collect(&mut self, id: LinkId, number: RequestNumber, item: Part) {
        let Some(open) = self.open.get_mut(&number) else {
            return;
        };
        if open.sent_by != Some(id) {
            return;
        }
        // A log is as long as it is: it is handed on at once, and goes on where it was.
        match (&mut open.wish, &item) {
            (Wish::Log { after, limit }, Part::Message(message)) => {
                *after = message.id;
                if let Some(limit) = limit {
                    *limit = limit.saturating_sub(1);
                }
                open.items_told += 1;
                self.outputs.push_back(Output::Item { number, item });
            }
            _ => open.items.push(item),
        }
    }

    /// A request has its answer from the server that serves.
    pub(super) fn settle(
        &mut self,
        id: LinkId,
        number: RequestNumber,
        answer: Result<Answer<'static>, Refusal>,
        now: Time,
    ) {
        let Some(open) = self.open.get_mut(&number) else {
            return;
        };
        match answer {
            Err(refusal) => match after(&refusal, &open.wish) {
                After::Told => self.tell(number, Err(refusal), now),
                After::AgainLater => {
                    let (first, most) = RETRY_AFTER;
                    let pause = first.saturating_mul(1 << open.refusals.min(8)).min(most);
                    open.refusals += 1;
                    open.sent_by = None;
                    // A refusal may come in the middle of an answer, which begins anew then.
                    open.items.clear();
                    open.retry_at = Some(now + pause);
                }
                After::Elsewhere => self.sent_elsewhere(id, refusal, now),
                After::WhenReady => self.has_to_wait(id, refusal, now),
                After::SessionGone if self.identity.is_some() => self.session_is_gone(refusal, now),
                After::SessionGone => self.tell(number, Err(refusal), now),
            },
            Ok(answer) => {
                if !open.wish.is_for_anybody() {
                    self.succeeded();
                }
                self.tell(number, Ok(answer), now);
            }
        }
    }

    /// Says what was done, or why it was not.
    fn tell(&mut self, number: RequestNumber, answer: Result<Answer<'static>, Refusal>, now: Time) {
        let Some(open) = self.open.remove(&number) else {
            return;
        };
        let answer = answer.map(|answer| match (&open.wish, answer) {
            // What came by an earlier connection belongs to it.
            (Wish::Log { .. }, Answer::Messages { .. }) => Answer::Messages {
                count: open.items_told,
            },
            (_, answer) => answer,
        });
        if let Ok(answer) = &answer {
            self.take_effect(&open, answer);
        }
        if open.is_own {
            return self.take_own(&open, now);
        }
        for item in open.items {
            self.outputs.push_back(Output::Item { number, item });
        }
        self.outputs.push_back(Output::Answered { number, answer });
        self.release();
    }

    /// What an answer means for the client itself.
    fn take_effect(&mut self, open: &Open, answer: &Answer<'static>) {
        match (&open.wish, answer) {
            (Wish::Login(login), Answer::LoggedIn { name, secret, .. }) => {
                self.identity = Some(Identity {
                    name: *name,
                    session: login.session,
                    secret: *secret,
                    login: login.clone(),
                });
                self.deliveries = match login.deliver {
                    Deliver::After(seen) => Deliveries::after(seen),
                    Deliver::Nothing | Deliver::Unread => Deliveries::default(),
                };
            }
            (Wish::Logout | Wish::Delete { .. }, _) => self.identity = None,
            (Wish::Send { to, .. }, Answer::Sent { id }) => self.note_sent(*to, *id),
            _ => {}
        }
    }

    /// The session that an open request belongs to is gone.
    pub(super) fn settle_without_session(
        &mut self,
        number: RequestNumber,
        why: &Refusal,
        now: Time,
    ) {
        let Some(open) = self.open.get(&number) else {
            return;
        };
        let answer = match &open.wish {
            wish if wish.needs_no_login() => return,
            // It ended, which was all that was asked for.
            Wish::Logout => Ok(Answer::LoggedOut),
            wish if wish.is_write() && open.was_sent => Err(Refusal::new(
                ErrorCode::UnknownOutcome,
                format!(
                    "it may or may not have been done: its session is gone ({}); look with LOG",
                    why.sentence
                ),
            )),
            _ => Err(why.clone()),
        };
        self.tell(number, answer, now);
    }

    /// A connection does not serve any more: what it was asked is asked of the next one. The
    /// client's own questions are not.
    pub(super) fn take_back(&mut self, id: LinkId, now: Time) {
        self.open.retain(|_, open| !open.is_own);
        for open in self.open.values_mut() {
            // What this one would not do now the next one may.
            open.retry_at = None;
            if open.sent_by == Some(id) {
                open.sent_by = None;
                open.items.clear();
            }
        }
        // To the server no limit at all is what 0 would mean.
        let is_complete = |open: &Open| matches!(open.wish, Wish::Log { limit: Some(0), .. });
        let complete = self.open.iter().filter(|(_, open)| is_complete(open));
        for number in complete.map(|(number, _)| *number).collect::<Vec<_>>() {
            self.tell(number, Ok(Answer::Messages { count: 0 }), now);
        }
        // Without a session nobody would know them again.
        let has_session = |me: &Identity| me.session.is_some() && me.secret.is_some();
        if !self.identity.as_ref().is_none_or(has_session) {
            let unknown = |open: &Open| {
                open.was_sent && open.wish.is_write() && !matches!(open.wish, Wish::Create { .. })
            };
            let lost = self.open.iter().filter(|(_, open)| unknown(open));
            let sentence =
                "the server was lost before it answered: it may or may not have been done";
            for number in lost.map(|(number, _)| *number).collect::<Vec<_>>() {
                let refusal = Refusal::new(ErrorCode::UnknownOutcome, sentence);
                self.tell(number, Err(refusal), now);
            }
        }
    }

    fn take_own(&mut self, open: &Open, now: Time) {
        let round_trip = now.since(open.asked_at);
        if open.wish == Wish::Status {
            let lines = open.items.iter().filter_map(|item| match item {
                Part::Line(line) => Some(line.as_str()),
                Part::Account { .. } | Part::Message(_) => None,
            });
            let cluster = super::super::cluster::Cluster::parse(lines);
            self.learn(&cluster);
            self.outputs.push_back(Output::Status {
                cluster,
                round_trip,
            });
        } else {
            self.outputs.push_back(Output::RoundTrip(round_trip));
        }
    }
}

/// What follows from a refusal.
enum After {
    /// Whoever asked is told.
    Told,
    /// It is asked again, of the same server.
    AgainLater,
    /// Another server is looked for, which is asked then.
    Elsewhere,
    /// It is asked again when the server is ready.
    WhenReady,
    /// Nobody is logged in any more.
    SessionGone,
}

fn after(refusal: &Refusal, wish: &Wish) -> After {
    let is_password_tried = matches!(
        wish,
        Wish::Login(_) | Wish::Create { .. } | Wish::Delete { .. }
    );
    match refusal.code {
        ErrorCode::NotPrimary | ErrorCode::ShuttingDown => After::Elsewhere,
        ErrorCode::NotReady => After::WhenReady,
        ErrorCode::UnknownOutcome | ErrorCode::Busy => After::AgainLater,
        // Who has tried too many passwords is to hear of it.
        ErrorCode::RateLimited if !is_password_tried => After::AgainLater,
        ErrorCode::SessionGone | ErrorCode::NotLoggedIn => After::SessionGone,
        _ => After::Told,
    }
}
