//! Where is a server that serves, and when is one left?

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use super::super::cluster::Cluster;
use super::super::connection::Connection;
use super::super::event::Ending;
use super::asking::Open;
use super::{Change, Client, LinkId, Output, Settings, Wish};
use crate::types::{ClusterId, ErrorCode, RequestNumber, SessionId, Time, ViewNumber};
use crate::wire::hello::Hello;
use crate::wire::message::{Answer, Refusal, Request};

/// The longest pause between two rounds of looking.
pub const PAUSE_MAX: Duration = Duration::from_secs(1);
/// The pause after the first round in vain, which doubles with each further one.
const PAUSE_FIRST: Duration = Duration::from_millis(25);
/// While one server has not even said hello for so long, the next one is tried beside it.
const STAGGER: Duration = Duration::from_millis(150);
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
    greeted_by: Time,
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

/// What is known of the cluster.
#[derive(Debug)]
pub(super) struct Known {
    /// Which it is, once a server of it has served.
    cluster: Option<ClusterId>,
    /// Its members' own addresses, in the order of their ids: who takes over is mostly the first.
    members: Vec<SocketAddr>,
    /// The newest view that a server has named, and the cluster that it is of.
    newest_view: (ClusterId, ViewNumber),
}

/// The looking for a server.
#[derive(Debug)]
pub(super) struct Search {
    random: u64,
    /// Servers that are to be tried in this round, the next one first.
    queue: VecDeque<SocketAddr>,
    /// What came of those that were.
    tried: Vec<(SocketAddr, String)>,
    /// When the next round begins; `None` while one is going on.
    round_at: Option<Time>,
    /// When the next server is tried though the one before has not failed.
    stagger_at: Time,
    /// Rounds in vain since a server has last done something.
    rounds: u32,
    /// The one that serves has done something that only the primary does.
    is_proven: bool,
    /// The primary, as a server named it that is not.
    hint: Option<SocketAddr>,
    /// The server that was lost last: it is tried after the others.
    lost: Option<SocketAddr>,
    /// Who was left for its silence last, and how much longer it may be silent next time: it may
    /// have had to wait itself.
    slow: Option<(SocketAddr, u32)>,
}

impl Known {
    pub fn new(members: &[SocketAddr]) -> Self {
        Self {
            cluster: None,
            members: members.to_vec(),
            newest_view: (ClusterId(0), ViewNumber(0)),
        }
    }
}

impl Search {
    pub fn new(seed: u64, now: Time) -> Self {
        Self {
            random: seed,
            queue: VecDeque::new(),
            tried: Vec::new(),
            round_at: Some(now),
            stagger_at: now,
            rounds: 0,
            is_proven: false,
            hint: None,
            lost: None,
            slow: None,
        }
    }

    /// Half a pause to a whole one.
    fn pause(&mut self) -> Duration {
        let pause = PAUSE_FIRST
            .saturating_mul(1 << self.rounds.min(8))
            .min(PAUSE_MAX);
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.random;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits ^= bits >> 27;
        pause / 2 + pause.mul_f64((bits >> 40) as f64 / (1u64 << 25) as f64)
    }

    fn patience(&self, address: SocketAddr) -> u32 {
        match self.slow {
            Some((slow, times)) if slow == address => times,
            _ => 1,
        }
    }
}

impl Client {
    /// Whether anything depends on a connection.
    pub(super) fn wants_link(&self) -> bool {
        self.is_new || self.identity.is_some() || self.has_open()
    }

    // --- the looking ---

    /// Tries another server, if it is time for that.
    pub(super) fn seek(&mut self, now: Time) {
        while self.current.is_none() && self.wants_link() {
            if self.is_trying() && (self.search.stagger_at > now || !self.is_only_greeting()) {
                return;
            }
            // It is there, and does not have to be connected to.
            if let Some(id) = self.waiting_until(now).filter(|_| !self.is_trying()) {
                self.is_ready(id, now);
                continue;
            }
            if let Some(at) = self.search.round_at {
                if at > now {
                    return;
                }
                self.begin_round();
            }
            let Some(address) = self.search.queue.pop_front() else {
                if !self.is_trying() {
                    self.end_round(now);
                }
                return;
            };
            self.dial(address, now);
        }
    }

    /// When [`Client::seek`] has something to do.
    pub(super) fn dial_at(&self) -> Option<Time> {
        if self.current.is_some() || !self.wants_link() {
            return None;
        }
        if self.is_trying() {
            let has_more = !self.search.queue.is_empty() && self.is_only_greeting();
            return has_more.then_some(self.search.stagger_at);
        }
        self.search.round_at
    }

    /// A server that was not ready and is to be asked again by now.
    fn waiting_until(&self, now: Time) -> Option<LinkId> {
        let mut links = self.links.iter().filter(|(_, link)| {
            let is_due = matches!(link.stage, Stage::Waiting { again_at } if again_at <= now);
            is_due && link.connection.is_open()
        });
        links.next().map(|(id, _)| *id)
    }

    /// Whether a connection is on its way that may become the one that serves.
    fn is_trying(&self) -> bool {
        let mut links = self.links.values();
        links.any(|link| matches!(link.stage, Stage::Greeting | Stage::Resuming(_)))
    }

    fn is_only_greeting(&self) -> bool {
        let mut links = self.links.values();
        !links.any(|link| matches!(link.stage, Stage::Resuming(_)))
    }

    /// Where to look, in which order.
    fn begin_round(&mut self) {
        let search = &mut self.search;
        search.round_at = None;
        search.tried.clear();
        let named = search.hint.take().into_iter();
        let members = self.known.members.iter().copied();
        let given = self.settings.servers.iter().copied();
        // Nobody has told yet that the members of last time are there: what was named comes first.
        let addresses: Vec<_> = match self.known.cluster {
            Some(_) => named.chain(members).chain(given).collect(),
            None => named.chain(given).chain(members).collect(),
        };
        for address in addresses {
            let waits = self.links.values().any(|link| link.address == address);
            if !waits && !search.queue.contains(&address) {
                search.queue.push_back(address);
            }
        }
        if let Some(lost) = search.lost.take()
            && let Some(place) = search.queue.iter().position(|address| *address == lost)
        {
            search.queue.remove(place);
            search.queue.push_back(lost);
        }
    }

    fn end_round(&mut self, now: Time) {
        let pause = self.search.pause();
        self.search.rounds += 1;
        self.search.round_at = Some(now + pause);
        let tried = self.search.tried.clone();
        if !tried.is_empty() {
            self.outputs
                .push_back(Output::Changed(Change::Unreachable { tried, pause }));
        }
    }

    fn dial(&mut self, address: SocketAddr, now: Time) {
        self.links_made += 1;
        let id = LinkId(self.links_made);
        let Settings {
            software,
            silence_max,
            hashing_max,
            ..
        } = &self.settings;
        let silence_max = *silence_max * self.search.patience(address);
        let link = Link {
            address,
            connection: Connection::new(software, silence_max, *hashing_max),
            stage: Stage::Greeting,
            greeted_by: now + silence_max,
            hello: None,
        };
        self.links.insert(id, link);
        self.search.stagger_at = now + STAGGER;
        self.outputs.push_back(Output::Dial { link: id, address });
    }

    // --- what connections go through ---

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

    // --- time ---

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

    /// When the server that serves is asked whether it is there.
    pub(super) fn heartbeat_at(&self) -> Option<Time> {
        let link = self.links.get(&self.current?)?;
        if !self.open.is_empty() || !link.connection.is_settled() {
            return None;
        }
        // Nobody depends on it, and the server would keep who has nothing to say.
        if !self.wants_link() {
            return None;
        }
        let status = self.settings.status_interval;
        let status_at = status.map(|interval| self.status_at + interval);
        let heartbeat_at = link.connection.heard_at() + self.settings.heartbeat;
        Some(status_at.map_or(heartbeat_at, |at| at.min(heartbeat_at)))
    }

    fn ask_whether_there(&mut self, now: Time) {
        let interval = self.settings.status_interval;
        if interval.is_some_and(|it| self.status_at + it <= now) {
            self.status_at = now;
            self.ask_oneself(Wish::Status, now);
        } else {
            self.ask_oneself(Wish::Ping, now);
        }
    }

    // --- what is learnt ---

    pub(super) fn learn(&mut self, cluster: &Cluster) {
        let members: Vec<_> = cluster
            .members
            .iter()
            .map(|member| member.address)
            .collect();
        if let Some(id) = self.known.cluster
            && !members.is_empty()
            && members != self.known.members
        {
            self.known.members.clone_from(&members);
            self.outputs.push_back(Output::Learnt {
                cluster: id,
                members,
            });
        }
    }

    /// The state of the cluster is asked for when there is next time for it.
    pub fn look_at_cluster(&mut self, now: Time) {
        let is_asked = |open: &Open| open.wish == Wish::Status;
        if self.current.is_some() && !self.open.values().any(is_asked) && self.can_ask() {
            self.status_at = now;
            self.ask_oneself(Wish::Status, now);
            self.go_on(now);
        }
    }
}
