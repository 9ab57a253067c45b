//! Which sessions are open, and what have their requests got so far?
//!
//! The answers that a session remembers are what makes a retry safe: a request that comes again
//! is answered, not repeated. They are replicated like everything else, so that the next primary
//! answers as the last one would have.
//!
//! Of a session that is gone nothing is known. One that is opened under its id later is a new one,
//! to which every number is new: a client that hears `session_gone` draws another id, and leaves
//! open requests of the old session alone, or they might be done twice.

use std::collections::{HashMap, VecDeque};

use super::accounts::Accounts;
use super::change::{Change, SessionImage};
use super::image::{InvalidImage, ascending};
use crate::limits::{ACCOUNT_SESSIONS_MAX, SESSION_OPEN_REQUESTS_MAX};
use crate::types::{
    AccountId, ErrorCode, NumberMap, OpNumber, Outcome, RequestNumber, SecretHash, SessionId,
    SessionRequest,
};

/// Spare places for answers that are not worth giving back.
const SPARE_ANSWERS: usize = 4;

/// All open sessions. About 300 bytes for an account that has one, 150 for each further one, and
/// 24 for each answer.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    /// With the standard hasher and its random key: clients choose these ids.
    by_id: HashMap<SessionId, Session>,
    /// The sessions of each account that has any, 1 to [`ACCOUNT_SESSIONS_MAX`], in the order in
    /// which they were opened (or restored).
    of_account: NumberMap<AccountId, Vec<SessionId>>,
    /// Holds, once or several times, every session whose `changed` is set, in the order in which
    /// they changed; and possibly some that have ended since.
    changed: Vec<SessionId>,
}

/// An open session.
#[derive(Debug)]
pub(super) struct Session {
    /// Whose it is; lives. Never changes.
    pub account: AccountId,
    /// What resuming it is checked against.
    pub secret_hash: SecretHash,
    /// The last op that opened or used it. No two sessions have the same.
    last_used: OpNumber,
    /// Requests below this number are stale. Only rises.
    lowest_open: RequestNumber,
    /// What requests got whose numbers lie between `lowest_open` and
    /// [`SESSION_OPEN_REQUESTS_MAX`] beyond it, in the order of their numbers.
    answers: VecDeque<(RequestNumber, Outcome)>,
    /// It is different from what the last [`Sessions::flush`] gave.
    changed: bool,
}

/// What is to become of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Admission {
    /// It is new: to be done, and its outcome to be remembered.
    New,
    /// It came before, and got this.
    Answered(Outcome),
    /// It is not to be done, and this is not remembered.
    Refused(ErrorCode),
}

/// The session belongs to another account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NotYours;

impl Sessions {
    /// The session, if it is open.
    pub fn session(&self, id: SessionId) -> Option<&Session> {
        self.by_id.get(&id)
    }

    /// Opens a session of a living account, or gives one that it has a new secret. Answers which
    /// one had to be let go for it.
    pub fn open(
        &mut self,
        id: SessionId,
        account: AccountId,
        secret_hash: SecretHash,
        op: OpNumber,
    ) -> Result<Option<SessionId>, NotYours> {
        let mut evicted = None;
        match self.by_id.get_mut(&id) {
            Some(session) if session.account != account => return Err(NotYours),
            Some(session) => {
                session.secret_hash = secret_hash;
                session.last_used = op;
            }
            None => {
                evicted = self.make_room(account);
                self.by_id
                    .insert(id, Session::new(account, secret_hash, op));
                self.of_account.entry(account).or_default().push(id);
            }
        }
        self.mark_changed(id);
        Ok(evicted)
    }

    /// Lets go of the session of `account` whose last use is the longest ago, if there is no
    /// place for one more. By op number, and so the same one on every server.
    fn make_room(&mut self, account: AccountId) -> Option<SessionId> {
        let own = self.of_account.get(&account)?;
        if own.len() < ACCOUNT_SESSIONS_MAX {
            return None;
        }
        let oldest = own.iter().min_by_key(|id| (self.by_id[id].last_used, **id));
        let oldest = *oldest.expect("there are as many as there may be");
        self.close(oldest);
        Some(oldest)
    }

    /// Ends a session.
    pub fn close(&mut self, id: SessionId) {
        let Some(session) = self.by_id.remove(&id) else {
            return;
        };
        let own = self.of_account.get_mut(&session.account);
        let own = own.expect("an open session is in its account's list");
        own.retain(|one| *one != id);
        if own.is_empty() {
            self.of_account.remove(&session.account);
        }
    }

    /// Ends all sessions of an account.
    pub fn account_deleted(&mut self, account: AccountId) {
        for id in self.of_account.remove(&account).unwrap_or_default() {
            self.by_id.remove(&id);
        }
    }

    /// Decides about a request, in this order:
    ///
    /// 1. its session is not open, or not the asker's: `session_gone`
    /// 2. it calls itself closed, its `lowest_open` being above its number: `bad_arguments`
    /// 3. its number is below the session's lowest open one: `stale_request`
    /// 4. its number is [`SESSION_OPEN_REQUESTS_MAX`] or more above the lowest open one, be that
    ///    the session's or its own: `bad_arguments`
    /// 5. from here on it uses the session and raises its lowest open number. It was answered
    ///    before: that answer, whatever it asks for now
    /// 6. it is new
    ///
    /// What is refused leaves no trace.
    pub fn admit(
        &mut self,
        account: AccountId,
        request: &SessionRequest,
        op: OpNumber,
    ) -> Admission {
        let session = self.by_id.get_mut(&request.session);
        let Some(session) = session.filter(|session| session.account == account) else {
            return Admission::Refused(ErrorCode::SessionGone);
        };
        if request.lowest_open > request.number {
            return Admission::Refused(ErrorCode::BadArguments);
        }
        if request.number < session.lowest_open {
            return Admission::Refused(ErrorCode::StaleRequest);
        }
        let lowest_open = session.lowest_open.max(request.lowest_open);
        if request.number.0 - lowest_open.0 >= SESSION_OPEN_REQUESTS_MAX {
            return Admission::Refused(ErrorCode::BadArguments);
        }
        session.last_used = op;
        session.raise_lowest_open(lowest_open);
        let answer = session.answer(request.number);
        self.mark_changed(request.session);
        answer.map_or(Admission::New, Admission::Answered)
    }

    /// Remembers what a request got that was admitted as new, unless it ended its own session.
    pub fn remember(&mut self, request: &SessionRequest, outcome: Outcome) {
        if let Some(session) = self.by_id.get_mut(&request.session) {
            session.remember(request.number, outcome);
            debug_assert!(session.changed, "whoever admitted the request marked it");
        }
    }

    fn mark_changed(&mut self, id: SessionId) {
        let session = self.by_id.get_mut(&id).expect("only open ones change");
        if !session.changed {
            session.changed = true;
            self.changed.push(id);
        }
    }

    /// Hands over every session that is different from what was handed over last, once.
    pub fn flush(&mut self, changes: &mut Vec<Change>) {
        for id in self.changed.drain(..) {
            // It may have ended meanwhile, or ended and come again, and then stands here twice.
            if let Some(session) = self.by_id.get_mut(&id)
                && session.changed
            {
                session.changed = false;
                session.give_back_room();
                changes.push(Change::Session(session.image(id)));
            }
        }
    }

    /// All of them, in the order of their ids.
    pub fn images(&self) -> Vec<SessionImage> {
        let images = self.by_id.iter().map(|(id, session)| session.image(*id));
        let mut images: Vec<_> = images.collect();
        images.sort_unstable_by_key(|image| image.id);
        images
    }

    /// The sessions of an image. Whether they agree with each other and with the rest is for
    /// [`Self::verify`] to say.
    pub fn restore(images: &[SessionImage]) -> Result<Self, InvalidImage> {
        ascending("sessions", images.iter().map(|image| image.id))?;
        let mut sessions = Self::default();
        sessions.by_id.reserve(images.len());
        for image in images {
            let session = Session {
                account: image.account,
                secret_hash: image.secret_hash,
                last_used: image.last_used,
                lowest_open: image.lowest_open,
                answers: image.answers.iter().copied().collect(),
                changed: false,
            };
            sessions.by_id.insert(image.id, session);
            let own = sessions.of_account.entry(image.account).or_default();
            own.push(image.id);
        }
        Ok(sessions)
    }

    /// What must always be true of the sessions.
    pub fn verify(&self, accounts: &Accounts, applied: OpNumber) -> Result<(), InvalidImage> {
        for (id, session) in &self.by_id {
            let wrong = |what| Err(InvalidImage::Session { session: *id, what });
            if !accounts.lives(session.account) {
                return wrong("its account does not live");
            }
            if session.last_used > applied {
                return wrong("an op that is not applied has used it");
            }
            ascending("answers", session.answers.iter().map(|(number, _)| *number))?;
            if !session.answers_are_open() {
                return wrong("it remembers the answer of a request that is not open");
            }
            let own = &self.of_account[&session.account];
            assert!(own.contains(id), "an open session is in its account's list");
            assert!(!session.changed || self.changed.contains(id));
        }
        for own in self.of_account.values() {
            if own.len() > ACCOUNT_SESSIONS_MAX {
                return Err(InvalidImage::Session {
                    session: own[0],
                    what: "its account has too many",
                });
            }
            assert!(!own.is_empty(), "an empty list takes room");
        }
        let listed: usize = self.of_account.values().map(Vec::len).sum();
        assert_eq!(listed, self.by_id.len(), "an ended session is in a list");
        Ok(())
    }
}

impl Session {
    fn new(account: AccountId, secret_hash: SecretHash, op: OpNumber) -> Self {
        Self {
            account,
            secret_hash,
            last_used: op,
            lowest_open: RequestNumber::default(),
            answers: VecDeque::new(),
            changed: false,
        }
    }

    /// A new request nearly always has the highest number so far: no search for it.
    fn answer(&self, number: RequestNumber) -> Option<Outcome> {
        if self.comes_last(number) {
            return None;
        }
        let at = self.answers.binary_search_by_key(&number, |(one, _)| *one);
        at.ok().map(|at| self.answers[at].1)
    }

    /// Only connections that share a session come out of order.
    fn remember(&mut self, number: RequestNumber, outcome: Outcome) {
        if self.comes_last(number) {
            self.answers.push_back((number, outcome));
        } else {
            let at = self.answers.partition_point(|(one, _)| *one < number);
            self.answers.insert(at, (number, outcome));
        }
        debug_assert!(self.answers_are_open());
    }

    fn comes_last(&self, number: RequestNumber) -> bool {
        let last = self.answers.back();
        last.is_none_or(|(last, _)| *last < number)
    }

    fn raise_lowest_open(&mut self, lowest_open: RequestNumber) {
        debug_assert!(lowest_open >= self.lowest_open);
        self.lowest_open = lowest_open;
        let is_closed = |answer: Option<&(RequestNumber, Outcome)>| {
            answer.is_some_and(|(number, _)| *number < lowest_open)
        };
        while is_closed(self.answers.front()) {
            self.answers.pop_front();
        }
    }

    fn answers_are_open(&self) -> bool {
        let lowest = self.lowest_open;
        let is_open = |number: RequestNumber| {
            number >= lowest && number.0 - lowest.0 < SESSION_OPEN_REQUESTS_MAX
        };
        let ends = [self.answers.front(), self.answers.back()];
        ends.iter().flatten().all(|(number, _)| is_open(*number))
    }

    /// An idle session has at most as much room as it needs twice over. (One that is busy would
    /// ask for the rest again in the next turn.)
    fn give_back_room(&mut self) {
        let needed = self.answers.len().max(SPARE_ANSWERS);
        if self.answers.capacity() > 2 * needed {
            self.answers.shrink_to(needed);
        }
    }

    fn image(&self, id: SessionId) -> SessionImage {
        SessionImage {
            id,
            account: self.account,
            secret_hash: self.secret_hash,
            last_used: self.last_used,
            lowest_open: self.lowest_open,
            answers: self.answers.iter().copied().collect(),
        }
    }
}
