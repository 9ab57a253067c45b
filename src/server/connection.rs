//! What does the server know of one client's connection?
//!
//! A connection's requests are answered in their order. Sends and acknowledgements are *pipelined*:
//! many of one connection may be on their way through the log at a time ([`InFlight`]). Everything
//! else is a *task*: it begins when nothing is in flight, and nothing further of the connection is
//! taken up until it has ended. Bytes that cannot be taken up wait in the connection's input, and
//! then in the peer's.

use std::collections::VecDeque;
use std::net::IpAddr;

use super::feed::Feed;
use super::history::{Listing, Stream};
use super::throttle::Allowance;
use crate::limits::{GREETING_AFTER, LOGIN_TIME_MAX_BINARY, LOGIN_TIME_MAX_TEXT};
use crate::net::{Excess, TimerId};
use crate::replica::Ticket;
use crate::types::{
    AccountId, Name, PasswordVersion, RequestNumber, Secret, SessionId, SessionRequest, Time,
};
use crate::wire::message::{Deliver, Refusal};
use crate::wire::text::TextDecoder;

/// A client's connection.
pub(super) struct ClientConnection {
    /// Where it comes from.
    pub peer: IpAddr,
    /// What it speaks.
    pub dialect: Dialect,
    /// As whom it is logged in.
    pub login: Option<Login>,
    /// Requests on their way through the log, oldest first, and refusals that wait behind them.
    /// Empty while there is a task that is not the newest of them.
    pub in_flight: VecDeque<InFlight>,
    /// The request that has the connection to itself. In a box, as its step is, since most
    /// connections have none.
    pub task: Option<Box<Task>>,
    /// What the task waits for. `None` without a task, and while the task is being worked on.
    pub step: Option<Box<Step>>,
    /// The store's query that the task waits for.
    pub task_query: Option<QueryTicket>,
    /// Its session was ended from elsewhere, and it has not logged in again.
    pub session_ended: bool,
    /// What is delivered.
    pub feed: Feed,
    /// Refusals since the last success; they count before login only.
    pub errors_in_row: u32,
    /// Since when nobody has been logged in, not counting the time that it has waited for us.
    /// Meaningless while somebody is.
    pub logged_out_since: Time,
    /// When its silence is answered with a greeting; `None` once it spoke or was greeted.
    pub greet_at: Option<Time>,
    /// When the first byte of an incomplete line or frame came.
    pub partial_since: Option<Time>,
    /// Its one timer, and when it rings.
    pub timer: Option<(Time, TimerId)>,
    /// Since when it waits for the server to be ready, after it was refused with `not_ready`: it is
    /// told when that changes.
    pub waits_since: Option<Time>,
    /// The cap that it exceeds: it is refused, unless it turns out to be another server.
    pub excess: Option<Excess>,
    /// The peer has closed its half: what it asked is answered, and then it is closed.
    pub input_ended: bool,
    /// What `--max-rate` leaves it.
    pub allowance: Allowance,
}

/// How a connection speaks. Decided once, by its first byte.
#[derive(Clone)]
pub(super) enum Dialect {
    /// It has not spoken yet.
    Undecided,
    /// Lines.
    Text(TextDecoder),
    /// Frames.
    Binary {
        /// Its hello has come.
        greeted: bool,
    },
}

/// As whom a connection is logged in.
#[derive(Clone, Copy, Debug)]
pub(super) struct Login {
    /// The account.
    pub account: AccountId,
    /// Its name.
    pub name: Name,
    /// The session; `None` in text mode.
    pub session: Option<SessionId>,
}

/// A pipelined request.
pub(super) struct InFlight {
    /// Its number.
    pub number: RequestNumber,
    /// What the replica answers by; `None` if it never got there.
    pub ticket: Option<Ticket>,
    /// `None`: it is on its way through the log. Otherwise it was refused, and the refusal waits
    /// for its turn.
    pub refusal: Option<Refusal>,
}

/// The store's name for a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct QueryTicket(pub u64);

/// A request that has the connection to itself.
pub(super) struct Task {
    /// Its number.
    pub number: RequestNumber,
    /// When it began: waiting for us does not count as the client's idleness.
    pub since: Time,
    /// What the replica answers by, while the task waits for it.
    pub ticket: Option<Ticket>,
}

/// What a task waits for.
pub(super) enum Step {
    /// The replica's word that the state may be read.
    Read(Reading),
    /// The store's copy of a password's hash.
    Hash(Check),
    /// The password worker's verdict.
    Verify(Check),
    /// The password worker's hash.
    NewHash(NewAccount),
    /// Its op's commit.
    Commit(Committing),
    /// The number of unread messages.
    CountUnread(LoggingIn),
    /// In text mode: the unread messages themselves.
    SendUnread,
    /// Where the newest messages begin.
    FindNewest(Stream),
    /// Messages, page by page.
    Messages(Stream),
    /// Room for the next slice of accounts.
    Accounts(Listing),
}

/// What is to be done once the state may be read.
pub(super) enum Reading {
    /// A new account's name may be free.
    Create(NewAccount, String),
    /// An account's password is to be checked.
    Check(Check),
    /// A session's secret is to be compared.
    Resume(SessionId, Secret, Deliver),
    /// Messages are to be found.
    Messages(Stream),
    /// Accounts are to be listed.
    Accounts(Listing),
}

/// An account that is to be made.
pub(super) struct NewAccount {
    /// Its name.
    pub name: Name,
    /// By what a retry is known.
    pub retry: Option<SessionRequest>,
}

/// A password that is to be checked.
pub(super) struct Check {
    /// The name that was given, if it can be one.
    pub name: Option<Name>,
    /// The account and its password's version, if there is such an account.
    pub account: Option<(AccountId, PasswordVersion)>,
    /// The password that was given.
    pub password: String,
    /// What follows when it is right.
    pub purpose: Purpose,
}

/// What a password is checked for.
#[derive(Clone, Copy)]
pub(super) enum Purpose {
    /// To log in.
    LogIn {
        /// The session to open; `None` in text mode.
        session: Option<SessionId>,
        /// What is to be delivered.
        deliver: Deliver,
    },
    /// To delete the account.
    Delete {
        /// The request's place in its session.
        request: Option<SessionRequest>,
    },
}

/// A task's op that is on its way through the log.
pub(super) enum Committing {
    /// The account's creation.
    Create(Name),
    /// The session's opening.
    OpenSession(LoggingIn),
    /// The session's end.
    CloseSession,
    /// The account's end.
    Delete(Name),
}

/// A login whose password or secret was right.
#[derive(Clone, Copy)]
pub(super) struct LoggingIn {
    /// As whom.
    pub login: Login,
    /// The session's new secret, to be told.
    pub secret: Option<Secret>,
    /// What is to be delivered.
    pub deliver: Deliver,
}

impl ClientConnection {
    /// A connection that was just accepted.
    pub fn new(peer: IpAddr, now: Time, max_rate: u32) -> Self {
        Self {
            peer,
            dialect: Dialect::Undecided,
            login: None,
            in_flight: VecDeque::new(),
            task: None,
            step: None,
            task_query: None,
            session_ended: false,
            feed: Feed::none(),
            errors_in_row: 0,
            logged_out_since: now,
            greet_at: Some(now + GREETING_AFTER),
            partial_since: None,
            timer: None,
            waits_since: None,
            excess: None,
            input_ended: false,
            allowance: Allowance::full(max_rate, now),
        }
    }

    /// Everything that it asked so far is answered.
    pub fn is_idle(&self) -> bool {
        self.task.is_none() && self.in_flight.is_empty()
    }

    /// Nothing may be written now but the answer that is under way.
    pub fn is_answering(&self) -> bool {
        matches!(
            self.step.as_deref(),
            Some(Step::Messages(_) | Step::Accounts(_) | Step::CountUnread(_))
        )
    }

    /// Notes whether the input ends with a part of a request. After something was taken it is a
    /// part of another one than before: who sends without a pause always has one on its way, and
    /// is not late for that.
    pub fn note_partial(&mut self, is_partial: bool, took_some: bool, now: Time) {
        let since = self.partial_since.filter(|_| !took_some);
        self.partial_since = is_partial.then(|| since.unwrap_or(now));
    }

    /// When somebody has to be logged in; `None` if somebody is, or cannot be at the moment.
    pub fn login_deadline(&self) -> Option<Time> {
        let time_max = match self.dialect {
            Dialect::Undecided | Dialect::Text(_) => LOGIN_TIME_MAX_TEXT,
            Dialect::Binary { .. } => LOGIN_TIME_MAX_BINARY,
        };
        let deadline = self.logged_out_since + time_max;
        let may_be_late = self.login.is_none() && self.waits_since.is_none();
        may_be_late.then_some(deadline)
    }

    /// Takes out what the task waits for, to work on it.
    pub fn take_step(&mut self) -> Option<Step> {
        self.step.take().map(|step| *step)
    }

    /// Whether it still waits for the replica's answer by this ticket.
    pub fn awaits(&self, ticket: Ticket) -> bool {
        match &self.task {
            Some(task) => task.ticket == Some(ticket),
            None => self
                .in_flight
                .iter()
                .any(|it| it.ticket == Some(ticket) && it.refusal.is_none()),
        }
    }

    /// It speaks frames.
    pub fn is_binary(&self) -> bool {
        matches!(self.dialect, Dialect::Binary { .. })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_idle_connection_is_small() {
        // 10,000 idle clients at 1 KiB each, of which the network's side needs a quarter.
        let bytes = size_of::<ClientConnection>();
        assert!(bytes <= 384, "{bytes}");
    }

    #[test]
    fn only_the_same_part_of_a_request_grows_old() {
        let peer = std::net::Ipv4Addr::LOCALHOST.into();
        let mut client = ClientConnection::new(peer, Time(0), 0);
        client.note_partial(true, false, Time(1));
        client.note_partial(true, false, Time(2));
        assert_eq!(client.partial_since, Some(Time(1)));
        client.note_partial(true, true, Time(3));
        assert_eq!(client.partial_since, Some(Time(3)));
        client.note_partial(false, true, Time(4));
        assert_eq!(client.partial_since, None);
    }
}
