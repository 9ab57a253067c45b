//! How is it with the servers, in one row?
//!
//! While all is well: which server serves, the view, who is in sync, how long an answer takes. While there is none:
//! what is being done about it, for how long, and how much waits for it.

use std::net::SocketAddr;
use std::time::Duration;

use super::super::cluster::Cluster;
use super::super::event::Ending;
use super::super::failover::Change;
use super::super::show::{duration, escape_line};
use super::theme::Look;
use super::wrap::{columns, fit, wrap};
use crate::types::{ErrorCode, ServerId, Time, ViewNumber};

/// How long it is told that another server took over.
const TAKE_OVER_TOLD_FOR: Duration = Duration::from_secs(10);
/// Rows that trouble may take.
pub(super) const ROWS_MAX: usize = 3;

/// What is known of the servers.
#[derive(Debug)]
pub(super) struct Status {
    /// Where the search begins.
    named: Vec<SocketAddr>,
    up: Option<Up>,
    /// What one that serves has said.
    pub cluster: Option<Cluster>,
    round_trip: Option<Duration>,
    /// Since when there is no server that serves.
    down_since: Option<Time>,
    /// What was heard last while there is none.
    trouble: String,
    /// Another server took over: after how long without one, and when.
    took_over: Option<(Duration, Time)>,
    /// It is the one that served before.
    is_back: bool,
    last_server: Option<ServerId>,
    /// The last one that served has said no more than that another one does.
    is_sent_on: bool,
    /// The newest view of one that served.
    last_view: ViewNumber,
    /// The server has said that writes wait.
    writes_wait: bool,
}

/// The server that serves.
#[derive(Debug)]
struct Up {
    address: SocketAddr,
    server: ServerId,
    view: ViewNumber,
}

impl Status {
    /// Nothing is known; the search begins with the servers that were `named`.
    pub fn new(named: Vec<SocketAddr>) -> Self {
        Self {
            named,
            up: None,
            cluster: None,
            round_trip: None,
            down_since: None,
            trouble: String::new(),
            took_over: None,
            is_back: false,
            last_server: None,
            is_sent_on: false,
            last_view: ViewNumber::default(),
            writes_wait: false,
        }
    }

    pub fn is_up(&self) -> bool {
        self.up.is_some()
    }

    /// It is not as it was.
    pub fn changed(&mut self, change: &Change, now: Time) {
        match change {
            Change::Up {
                address,
                server,
                view,
                without,
                ..
            } => {
                self.up = Some(Up {
                    address: *address,
                    server: *server,
                    view: *view,
                });
                self.is_back = self.last_server == Some(*server);
                // Who is not logged in talks to any server: to be sent on from there to the primary
                // is no take-over, unless there is a new view.
                let is_news = self.is_back || !self.is_sent_on || *view > self.last_view;
                self.is_sent_on = false;
                self.took_over = without.filter(|_| is_news).map(|without| (without, now));
                self.last_server = Some(*server);
                self.last_view = self.last_view.max(*view);
                self.cluster = None;
                self.round_trip = None;
                self.down_since = None;
                self.writes_wait = false;
                return;
            }
            Change::LoggedOut { .. } => return,
            Change::Down {
                why: Ending::Refused(refusal),
                ..
            } => self.is_sent_on = refusal.code == ErrorCode::NotPrimary,
            Change::Down { .. } | Change::Waiting { .. } | Change::Unreachable { .. } => {}
        }
        self.up = None;
        self.down_since.get_or_insert(now);
        self.trouble = match change {
            Change::Unreachable { tried, .. } if tried.is_empty() => return,
            Change::Waiting { .. } => format!("{change}; it is asked again every second"),
            Change::Unreachable { tried, .. } => {
                format!("{}; tried again every second", tried_in_vain(tried))
            }
            change => change.to_string(),
        };
    }

    /// A server that serves has said how the cluster is.
    pub fn heard(&mut self, cluster: Cluster, round_trip: Duration) {
        self.cluster = Some(cluster);
        self.round_trip = Some(round_trip);
    }

    /// An answer took so long. Nothing waits any more.
    pub fn answered_after(&mut self, round_trip: Duration) {
        self.round_trip = Some(round_trip);
    }

    /// A server has said whether writes wait.
    pub fn writes_wait(&mut self, wait: bool) {
        self.writes_wait = wait;
    }

    /// When there is something else to say, though nothing happens.
    pub fn changes_at(&self, now: Time) -> Option<Time> {
        let seconds = self.down_since.map(|since| next_second(since, now));
        let told = self.took_over.map(|(_, at)| at + TAKE_OVER_TOLD_FOR);
        let told = told.filter(|at| *at > now);
        [seconds, told].into_iter().flatten().min()
    }

    /// The rows, of so many columns, while so many messages `wait`, the oldest of them for so long.
    pub fn rows(&self, width: usize, wait: usize, longest: Duration, now: Time) -> Vec<String> {
        let Some(up) = &self.up else {
            let mut rows = wrap(&self.trouble_sentence(wait, now), width, width);
            if rows.len() > ROWS_MAX {
                let rest = rows.split_off(ROWS_MAX - 1).join(" ");
                rows.push(fit(&rest, width));
            }
            return rows;
        };
        let is_slow = longest >= Duration::from_secs(1) || self.writes_wait;
        let waits = match wait {
            0 => String::new(),
            wait if is_slow => format!(" · {}", waiting(wait)),
            _ => String::new(),
        };
        let variants = self.variants(up, now);
        let fits = |row: &&String| columns(row) + columns(&waits) <= width;
        let row = variants.iter().find(fits).or(variants.last());
        let row = row.map(String::as_str).unwrap_or_default();
        vec![fit(&format!("{row}{waits}"), width)]
    }

    /// How the row looks.
    pub fn look(&self) -> Look {
        match self.up.is_some() && !self.writes_wait {
            true => Look::Faint,
            false => Look::Waiting,
        }
    }

    /// What is tried and waited for while there is no server.
    pub fn trouble_sentence(&self, wait: usize, now: Time) -> String {
        let waits = match wait {
            0 => String::new(),
            wait => format!(", {}", waiting(wait)),
        };
        let doing = match self.trouble.is_empty() {
            true => {
                let named: Vec<_> = self.named.iter().map(SocketAddr::to_string).collect();
                format!("connecting to {}", named.join(", "))
            }
            false => escape_line(&self.trouble),
        };
        match self.down_since {
            None => format!("◌ {doing}{waits}"),
            Some(since) => {
                let seconds = now.since(since).as_secs();
                format!("◌ no server for {seconds} s{waits}: {doing}")
            }
        }
    }

    /// The same in fewer and fewer columns.
    fn variants(&self, up: &Up, now: Time) -> Vec<String> {
        let Up { address, .. } = up;
        let server = match up.server {
            ServerId(0) => "a server without an id".to_owned(),
            server => format!("server {server}"),
        };
        let (mut view, mut sync, mut short_sync) = (up.view.round(), String::new(), String::new());
        if let Some(cluster) = &self.cluster {
            view = cluster.view;
            let (in_sync, all) = (cluster.in_sync(), cluster.members.len());
            sync = format!(" · {in_sync} of {all} in sync");
            short_sync = format!(" · {in_sync}/{all}");
        }
        let time = self.round_trip.map(milliseconds).unwrap_or_default();
        let sign = if self.writes_wait { "◌" } else { "●" };
        let took_over = self
            .took_over
            .filter(|(_, at)| now.since(*at) < TAKE_OVER_TOLD_FOR);
        match took_over {
            Some((without, _)) => {
                let without = duration(without);
                let did = if self.is_back { "is back" } else { "took over" };
                vec![
                    format!(
                        "{sign} {address} ({server}) {did} after {without} · view {view}{sync}{time}"
                    ),
                    format!("{sign} {server} {did} after {without} · view {view}{sync}"),
                    format!("{sign} {server} after {without} · view {view}{short_sync}"),
                ]
            }
            None => vec![
                format!("{sign} {address} ({server}) · view {view}{sync}{time}"),
                format!("{sign} {server} · view {view}{sync}{time}"),
                format!("{sign} {server} · view {view}{short_sync}{time}"),
            ],
        }
    }
}

/// What was tried, with servers that gave the same reason together.
fn tried_in_vain(tried: &[(SocketAddr, String)]) -> String {
    let mut reasons: Vec<(String, &String)> = Vec::new();
    for (address, why) in tried {
        match reasons.iter_mut().find(|(_, known)| *known == why) {
            Some((addresses, _)) => addresses.push_str(&format!(", {address}")),
            None => reasons.push((address.to_string(), why)),
        }
    }
    let sentences = reasons
        .iter()
        .map(|(addresses, why)| format!("{addresses}: {why}"));
    sentences.collect::<Vec<_>>().join("; ")
}

/// How many messages wait, in words.
fn waiting(messages: usize) -> String {
    match messages {
        1 => "1 message waits".to_owned(),
        messages => format!("{messages} messages wait"),
    }
}

fn milliseconds(time: Duration) -> String {
    format!(" · {:.1} ms", time.as_secs_f64() * 1000.0)
}

/// The next whole second behind `since`.
pub(super) fn next_second(since: Time, now: Time) -> Time {
    since + Duration::from_secs(now.since(since).as_secs() + 1)
}

#[cfg(test)]
mod tests {
    use super::super::super::event::Ending;
    use super::super::super::scripted::seconds;
    use super::*;

    fn address(port: u16) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], port))
    }

    fn up(port: u16, without: Option<Duration>) -> Change {
        up_in(3, port, without)
    }

    fn up_in(view: u64, port: u16, without: Option<Duration>) -> Change {
        Change::Up {
            address: address(port),
            server: ServerId(port - 5000),
            view: ViewNumber::new(view, ServerId(1)),
            software: "lastword test".into(),
            without,
        }
    }

    fn row(status: &Status, width: usize, wait: usize, now: Time) -> String {
        status
            .rows(width, wait, Duration::from_secs(5), now)
            .join("\n")
    }

    #[test]
    fn while_all_is_well_it_says_who_serves() {
        let mut status = Status::new(vec![address(5001)]);
        assert_eq!(
            row(&status, 80, 0, seconds(0)),
            "◌ connecting to 127.0.0.1:5001"
        );
        status.changed(&up(5001, None), seconds(0));
        let cluster = Cluster::parse([
            "server 1 primary view 7 commit 9 member 127.0.0.1:5001 service 127.0.0.1:5000",
            "member 1 in-sync 127.0.0.1:5001",
            "member 2 in-sync 127.0.0.1:5002",
            "member 3 down 127.0.0.1:5003",
        ]);
        status.heard(cluster, Duration::from_micros(420));
        assert_eq!(
            row(&status, 80, 0, seconds(0)),
            "● 127.0.0.1:5001 (server 1) · view 7 · 2 of 3 in sync · 0.4 ms"
        );
        assert_eq!(
            row(&status, 40, 0, seconds(0)),
            "● server 1 · view 7 · 2/3 · 0.4 ms"
        );
        assert_eq!(status.changes_at(seconds(0)), None);
    }

    #[test]
    fn while_there_is_none_it_says_what_is_done_and_what_waits() {
        let mut status = Status::new(vec![address(5001)]);
        status.changed(&up(5001, None), seconds(0));
        let why = Ending::Closed;
        let address_down = address(5001);
        let down = Change::Down {
            address: address_down,
            why,
        };
        status.changed(&down, seconds(1));
        assert_eq!(
            row(&status, 80, 2, seconds(4)),
            "◌ no server for 3 s, 2 messages wait: 127.0.0.1:5001 closed the connection;\nanother server is looked for"
        );
        assert_eq!(status.changes_at(seconds(4)), Some(seconds(5)));
        let tried = [(5001, "nothing listens there"), (5002, "no answer")];
        assert_eq!(
            tried_in_vain(&tried.map(|(port, why)| (address(port), why.into()))),
            "127.0.0.1:5001: nothing listens there; 127.0.0.1:5002: no answer"
        );
        let tried = (5001..5010).map(|port| (address(port), "nothing listens there".into()));
        let unreachable = Change::Unreachable {
            tried: tried.collect(),
            pause: Duration::from_secs(1),
        };
        status.changed(&unreachable, seconds(5));
        let rows = status.rows(40, 1, Duration::ZERO, seconds(5));
        assert_eq!(rows.len(), ROWS_MAX);
        assert!(rows[0].starts_with("◌ no server for 4 s, 1 message waits:"));
        assert!(rows.iter().all(|row| columns(row) <= 40), "{rows:?}");
        status.changed(
            &up_in(4, 5002, Some(Duration::from_millis(4300))),
            seconds(5),
        );
        assert_eq!(
            row(&status, 80, 0, seconds(5)),
            "● 127.0.0.1:5002 (server 2) took over after 4.3 s · view 4"
        );
        assert_eq!(
            row(&status, 40, 0, seconds(5)),
            "● server 2 after 4.3 s · view 4"
        );
        assert_eq!(status.changes_at(seconds(5)), Some(seconds(15)));
        assert_eq!(
            row(&status, 80, 3, seconds(15)),
            "● 127.0.0.1:5002 (server 2) · view 4 · 3 messages wait"
        );
    }

    #[test]
    fn who_is_sent_on_to_the_primary_hears_of_no_take_over() {
        let mut status = Status::new(vec![address(5002)]);
        status.changed(&up(5002, None), seconds(0));
        let moment = Some(Duration::from_millis(1));
        let down = |why| Change::Down {
            address: address(5002),
            why,
        };
        let sent_on = Ending::Refused(ErrorCode::NotPrimary.into());
        status.changed(&down(sent_on), seconds(1));
        status.changed(&up(5001, moment), seconds(1));
        assert_eq!(
            row(&status, 80, 0, seconds(1)),
            "● 127.0.0.1:5001 (server 1) · view 3"
        );
        status.changed(&up(5001, moment), seconds(2));
        assert!(row(&status, 80, 0, seconds(2)).contains("is back"));
        // One that has just taken over said hello before it knew its own view.
        status.changed(&down(Ending::Closed), seconds(3));
        status.changed(&up(5002, moment), seconds(3));
        assert!(row(&status, 80, 0, seconds(3)).contains("took over"));
    }

    #[test]
    fn a_cluster_that_is_not_ready_is_told_with_its_reason() {
        let mut status = Status::new(vec![address(5001)]);
        let waiting = Change::Waiting {
            address: address(5001),
            sentence: "waiting for 1 more backup".into(),
        };
        status.changed(&waiting, seconds(0));
        let row = row(&status, 200, 0, seconds(2));
        assert_eq!(
            row,
            "◌ no server for 2 s: 127.0.0.1:5001 does not serve yet: waiting for 1 more backup; it is asked again every second"
        );
    }
}
