//! What does a connection go through, and when is its server left?

use std::net::SocketAddr;
use std::time::Duration;

use super::super::connection::Connection;
use super::super::event::Ending;
use super::{Change, Client, LinkId, Output, Wish};
use crate::types::{ErrorCode, RequestNumber, SessionId, Time};
use crate::wire::hello::Hello;
use crate::wire::message::{Answer, Refusal, Request};

/// How often a server that has said it is not ready is asked again, if it does not say when it is.
const READY_ASKED_AGAIN: Duration = Duration::from_secs(1);
/// How many times as long a server may be silent that was left for it, and yet is the only one.
const PATIENCE_MAX: u32 = 8;

/// A connection, on its way or up.
#[derive(Debug)]
pub(super) struct Link {
    pub address: SocketAddr,
    pub connection: Connection,
    pub stage: Stage,
    /// When it has to be further than its first stage.
    pub greeted_by: Time,
    /// There from the second stage on.
    pub hello: Option<Hello>,
}

/// How far a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// It is not up, or the hellos were not said.
    Greeting,
    /// It was asked under this number to log in again whoever was logged in.
    Resuming(RequestNumber),
    /// The server is not ready.
    Waiting {
        /// When it is asked again.
        again_at: Time,
    },
    /// Requests go by it.
    Serving,
}

impl Client {
    /// A server said who it is.
    pub(super) fn greeted(&mut self, id: LinkId, hello: Hello, now: Time) {
        if let Some(why) = self.objection(&hello) {
            return self.forget(id, why);
        }
        self.known.newest_view = (hello.cluster, hello.view);
        if let Some(link) = self.links.get_mut(&id) {
            link.hello = Some(hello);
        }
        self.log_in_again(id, now);
    }

    /// Why a server is not to be believed.
    fn objection(&self, hello: &Hello) -> Option<String> {
        if self.known.cluster.is_some_and(|it| it != hello.cluster) && hello.cluster.0 != 0 {
            return Some("belongs to another cluster".to_owned());
        }
        let (cluster, newest) = self.known.newest_view;
        let is_older = cluster == hello.cluster && hello.view < newest;
        let is_older = is_older && !self.sabotage.behind_believed;
        (is_older || hello.cluster.0 == 0 && cluster.0 != 0).then(|| {
            format!(
                "knows view {} at most, and view {} has been seen: it is behind, or was cut off (after \
                 --force-primary start the client again)",
                hello.view.round(),
                newest.round()
            )
        })
    }

    /// Whether more was seen since a connection's hello than that says. Its server may have come to
    /// know it, too, or may not.
    fn is_outdated(&self, id: LinkId) -> bool {
        let hello = self.links.get(&id).and_then(|link| link.hello.as_ref());
        hello.is_some_and(|hello| self.objection(hello).is_some())
    }

    /// Asks a server by a new connection what it knows by now, before any other.
    fn connect_anew(&mut self, id: LinkId) {
        if let Some(link) = self.links.get(&id) {
            let address = link.address;
            self.hang_up(id);
            self.search.round_at = None;
            self.search.queue.retain(|it| *it != address);
            self.search.queue.push_front(address);
        }
    }

    /// Goes on as whoever was logged in, if anybody was.
    fn log_in_again(&mut self, id: LinkId, now: Time) {
        let Some(identity) = self.identity.clone() else {
            return self.serve_by(id, now);
        };
        let number = self.number_to_resume();
        let lowest_open = self.lowest_open().min(number);
        let Some(link) = self.links.get_mut(&id) else {
            return;
        };
        link.stage = Stage::Resuming(number);
        if self.sabotage.seen_forgotten {
            self.deliveries = Default::default();
        }
        let mut login = Self::login_again(&identity, &self.deliveries);
        let request = match (identity.session, identity.secret) {
            (Some(session), Some(_)) if self.sabotage.another_session => {
                login.session = Some(SessionId(session.0 ^ u128::from(number.0)));
                login.request()
            }
            (Some(session), Some(secret)) => Request::Resume {
                session,
                secret,
                deliver: login.deliver,
            },
            _ => login.request(),
        };
        link.connection.ask(number, lowest_open, &request, now);
    }

    /// An answer came by a connection.
    pub(super) fn heard(
        &mut self,
        id: LinkId,
        number: RequestNumber,
        answer: Result<Answer<'static>, Refusal>,
        now: Time,
    ) {
        match self.links.get(&id).map(|link| link.stage) {
            Some(Stage::Resuming(resuming)) if resuming == number => match answer {
                Ok(_) => {
                    self.serve_by(id, now);
                    if self.current == Some(id) {
                        self.succeeded();
                    }
                }
                Err(refusal) => self.not_let_in(id, refusal, now),
            },
            Some(Stage::Serving) => self.settle(id, number, answer, now),
            _ => {}
        }
    }

    fn not_let_in(&mut self, id: LinkId, refusal: Refusal, now: Time) {
        match refusal.code {
            ErrorCode::NotPrimary => self.sent_elsewhere(id, refusal, now),
            ErrorCode::NotReady => self.has_to_wait(id, refusal, now),
            // The session is not there, or not this client's any more.
            ErrorCode::SessionGone | ErrorCode::BadLogin | ErrorCode::BadArguments => {
                self.session_is_gone(refusal, now);
                self.serve_by(id, now);
            }
            _ => self.forget(id, refusal.sentence.into_owned()),
        }
    }

    /// From now on this is the connection that serves.
    fn serve_by(&mut self, id: LinkId, now: Time) {
        if self.is_outdated(id) {
            return self.connect_anew(id);
        }
        // Those that wait for their cluster are kept until this one has done something.
        self.hang_up_all(|other, stage| other != id && !matches!(stage, Stage::Waiting { .. }));
        let Some(link) = self.links.get_mut(&id) else {
            return;
        };
        link.stage = Stage::Serving;
        let Some(hello) = link.hello.clone() else {
            return;
        };
        let address = link.address;
        self.current = Some(id);
        self.is_new = false;
        self.search.is_proven = false;
        if hello.cluster.0 != 0 {
            self.known.cluster = Some(hello.cluster);
        }
        let without = self.down_since.take().map(|since| now.since(since));
        self.outputs.push_back(Output::Changed(Change::Up {
            address,
            server: hello.server,
            view: hello.view,
            software: hello.software,
            without,
        }));
        if self.can_ask() {
            self.status_at = now;
            self.ask_oneself(Wish::Status, now);
        }
    }

    /// The server that serves has done something: there is nothing to look for.
    pub(super) fn succeeded(&mut self) {
        self.search.rounds = 0;
        self.search.tried.clear();
        self.search.queue.clear();
        self.search.round_at = None;
        self.search.is_proven = true;
        self.search.slow = None;
        self.hang_up_all(|_, stage| matches!(stage, Stage::Waiting { .. }));
    }

    fn hang_up_all(&mut self, which: impl Fn(LinkId, Stage) -> bool) {
        let links = self
            .links
            .iter()
            .filter(|(id, link)| which(**id, link.stage));
        for id in links.map(|(id, _)| *id).collect::<Vec<_>>() {
            self.hang_up(id);
        }
    }

    /// A server has said that it is not the primary, or stops, and mostly who is.
    pub(super) fn sent_elsewhere(&mut self, id: LinkId, refusal: Refusal, now: Time) {
        let first = refusal.sentence.split([' ', ';', ',']).next();
        let named: Option<SocketAddr> = first.and_then(|word| word.parse().ok());
        self.link_ended(id, Ending::Refused(refusal), now);
        let Some(named) = named else { return };
        let is_tried = self.search.tried.iter().any(|it| it.0 == named);
        let is_dialed = self.links.values().any(|link| link.address == named);
        for link in self.links.values_mut() {
            // It was not ready when it was asked last.
            if let Stage::Waiting { again_at } = &mut link.stage
                && link.address == named
            {
                *again_at = now;
            }
        }
        // Two that point to each other are no reason to run in a circle.
        if is_tried || self.search.round_at.is_some() {
            self.search.hint = Some(named);
        } else if !is_dialed {
            self.search.queue.retain(|address| *address != named);
            self.search.queue.push_front(named);
        }
    }

    /// A server has said that the cluster does not serve.
    pub(super) fn has_to_wait(&mut self, id: LinkId, refusal: Refusal, now: Time) {
        let Some(link) = self.links.get_mut(&id) else {
            return;
        };
        link.stage = Stage::Waiting {
            again_at: now + READY_ASKED_AGAIN,
        };
        let address = link.address;
        let sentence = refusal.sentence.into_owned();
        if self.current == Some(id) {
            self.current = None;
            self.take_back(id, now);
            self.look_on(now);
        }
        self.outputs
            .push_back(Output::Changed(Change::Waiting { address, sentence }));
    }

    /// A server that was not ready may be.
    pub(super) fn is_ready(&mut self, id: LinkId, now: Time) {
        let is_current_none = self.current.is_none();
        if let Some(link) = self.links.get_mut(&id)
            && let Stage::Waiting { again_at } = &mut link.stage
            && link.connection.is_open()
        {
            *again_at = now;
            if !is_current_none || self.is_trying() {
                return;
            }
            // What it was asked before and has not answered cannot be asked by it again.
            match self.links[&id].connection.is_settled() {
                true if self.is_outdated(id) => self.connect_anew(id),
                true => self.log_in_again(id, now),
                false => self.forget(id, "leaves requests without an answer".to_owned()),
            }
        }
    }

    /// A connection is over, and the one that serves looks for a successor.
    pub(super) fn link_ended(&mut self, id: LinkId, ending: Ending, now: Time) {
        let Some(link) = self.links.get(&id) else {
            return;
        };
        let address = link.address;
        // Whoever waits for an answer has been without a server for all the silence, too.
        let down_since = match ending {
            Ending::Silent(_) => link.connection.heard_at(),
            _ => now,
        };
        if self.current != Some(id) {
            // Of one that was never reached it is not said that it cannot be any more.
            let why = match ending {
                Ending::Failed(why) => why,
                ending => ending.to_string(),
            };
            return self.forget(id, why);
        }
        self.current = None;
        self.hang_up(id);
        self.take_back(id, now);
        if self.search.is_proven {
            self.search.lost = Some(address);
        } else {
            self.search.tried.push((address, ending.to_string()));
        }
        if matches!(ending, Ending::Silent(_)) {
            let times = self.search.patience(address) * 2;
            self.search.slow = Some((address, times.min(PATIENCE_MAX)));
        }
        if self.wants_link() {
            self.down_since.get_or_insert(down_since);
            self.outputs.push_back(Output::Changed(Change::Down {
                address,
                why: ending,
            }));
        }
        self.look_on(now);
    }

    /// None serves any more. One that has done nothing was one of those that are tried in vain: the
    /// round goes on, and a pause comes behind it, unless it was the first of all.
    fn look_on(&mut self, now: Time) {
        let is_first = self.search.rounds == 0 && self.search.queue.is_empty();
        if self.search.is_proven || !self.has_open() {
            self.search.round_at = Some(now);
        } else if is_first && self.search.round_at.is_none() {
            self.search.rounds = 1;
            self.search.round_at = Some(now);
        }
    }

    /// A connection is of no use.
    fn forget(&mut self, id: LinkId, why: String) {
        if let Some(link) = self.links.get(&id) {
            let address = link.address;
            self.search.tried.push((address, why));
            self.hang_up(id);
        }
    }

    fn hang_up(&mut self, id: LinkId) {
        if self.links.remove(&id).is_some() {
            self.outputs.push_back(Output::HangUp(id));
        }
    }

    pub(super) fn timeout_of(&self, link: &Link) -> Option<Time> {
        match link.stage {
            Stage::Greeting => {
                let silent_at = link.connection.poll_timeout();
                Some(silent_at.map_or(link.greeted_by, |at| at.min(link.greeted_by)))
            }
            // Not before the one that is being tried has failed.
            Stage::Waiting { .. } if self.current.is_some() || self.is_trying() => None,
            Stage::Waiting { again_at } => Some(again_at),
            Stage::Resuming(_) | Stage::Serving => link.connection.poll_timeout(),
        }
    }

    pub(super) fn link_timeout(&mut self, id: LinkId, now: Time) {
        let is_heartbeat_due = self.heartbeat_at().is_some_and(|at| at <= now);
        let Some(link) = self.links.get_mut(&id) else {
            return;
        };
        match link.stage {
            Stage::Waiting { again_at } if again_at <= now => self.is_ready(id, now),
            Stage::Greeting if link.greeted_by <= now => {
                let silence = self.settings.silence_max;
                self.link_ended(id, Ending::Mute(silence), now);
            }
            Stage::Serving if is_heartbeat_due => self.ask_whether_there(now),
            _ => {
                link.connection.handle_timeout(now);
                self.drain(id, now);
            }
        }
    }
}
