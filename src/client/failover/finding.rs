//! Where is a server that serves looked for?

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use super::super::connection::Connection;
use super::links::{Link, Stage};
use super::{Change, Client, LinkId, Output, Settings};
use crate::types::{ClusterId, Time, ViewNumber};

/// The longest pause between two rounds of looking.
pub const PAUSE_MAX: Duration = Duration::from_secs(1);
/// The pause after the first round in vain, which doubles with each further one.
const PAUSE_FIRST: Duration = Duration::from_millis(25);
/// While one server has not even said hello for so long, the next one is tried beside it.
const STAGGER: Duration = Duration::from_millis(150);

/// What is known of the cluster.
#[derive(Debug)]
pub(super) struct Known {
    /// Which it is, once a server of it has served.
    pub cluster: Option<ClusterId>,
    /// Its members' own addresses, in the order of their ids: who takes over is mostly the first.
    pub members: Vec<SocketAddr>,
    /// The newest view that a server has named, and the cluster that it is of.
    pub newest_view: (ClusterId, ViewNumber),
}

/// The looking for a server.
#[derive(Debug)]
pub(super) struct Search {
    random: u64,
    /// Servers that are to be tried in this round, the next one first.
    pub queue: VecDeque<SocketAddr>,
    /// What came of those that were.
    pub tried: Vec<(SocketAddr, String)>,
    /// When the next round begins; `None` while one is going on.
    pub round_at: Option<Time>,
    /// When the next server is tried though the one before has not failed.
    stagger_at: Time,
    /// Rounds in vain since a server has last done something.
    pub rounds: u32,
    /// The one that serves has done something that only the primary does.
    pub is_proven: bool,
    /// The primary, as a server named it that is not.
    pub hint: Option<SocketAddr>,
    /// The server that was lost last: it is tried after the others.
    pub lost: Option<SocketAddr>,
    /// Who was left for its silence last, and how much longer it may be silent next time: it may
    /// have had to wait itself.
    pub slow: Option<(SocketAddr, u32)>,
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

    pub fn patience(&self, address: SocketAddr) -> u32 {
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
    pub(super) fn is_trying(&self) -> bool {
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
}
