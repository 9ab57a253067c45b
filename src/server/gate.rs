//! Who is let in, and what is everybody else told?
//!
//! Clients are served by the primary alone. While a view changes, what they ask stays where it is:
//! in a moment this server serves them, or tells them who does. When this server has stopped being
//! the primary for good, nobody is left hanging: what was asked is answered, and nobody is logged
//! in any more.

use std::time::Duration;

use super::connection::{ClientConnection, Committing, Step};
use super::{Alarm, Server};
use crate::limits::WRITES_WAIT_TOLD_AFTER;
use crate::net::ConnectionId;
use crate::replica::{NotReady, Role};
use crate::types::{ErrorCode, ServerId, Time};
use crate::wire::message::{NoteKind, Refusal, Request};

/// How the clients' gate stands.
#[derive(Debug, Default)]
pub(super) struct Gate {
    /// Clients are let in, or were until the view began to change.
    open: bool,
    /// Requests wait for a change of view.
    holds: bool,
    /// A request was left waiting since this was last looked at. A change of view may begin and
    /// end between two looks, where nobody else has to agree.
    has_waiting: bool,
    /// The primary of which those who wait here were told.
    told_of: Option<ServerId>,
    /// Since when this server neither serves nor knows who does.
    waits_since: Option<Time>,
}

impl Gate {
    /// Clients are let in, or were until the view began to change.
    pub fn is_open(&self) -> bool {
        self.open
    }

    /// How long this server has neither served nor known who does; `None` if it does.
    pub fn has_waited(&self, now: Time) -> Option<Duration> {
        self.waits_since.map(|since| now.since(since))
    }

    /// A request is left where it is until the view has changed.
    pub fn note_waiting(&mut self) {
        self.has_waiting = true;
    }
}

/// Every server does this for everybody.
pub(super) fn needs_no_primary(request: &Request<'_>) -> bool {
    matches!(
        request,
        Request::Help | Request::Ping | Request::Status | Request::Quit
    )
}

impl Server {
    /// Looks whether this server has begun or stopped to serve.
    pub(super) fn look_at_gate(&mut self) {
        let serves = self.replica.serves();
        let is_served = serves
            || self
                .replica
                .leader()
                .is_some_and(|it| it.server != self.replica.identity().server);
        match is_served {
            true => self.gate.waits_since = None,
            false => {
                self.gate.waits_since.get_or_insert(self.now);
            }
        }
        let holds = !serves && self.gate.open && self.replica.holds_back();
        if holds && !self.gate.holds {
            let at = self.now + WRITES_WAIT_TOLD_AFTER;
            self.network.set_timer(at, Alarm::WritesWait);
        }
        let held = std::mem::replace(&mut self.gate.holds, holds);
        if serves && !self.gate.open {
            self.gate.open = true;
            self.gate.told_of = None;
            self.announce_ready();
        }
        if !serves && !holds && self.gate.open {
            self.gate.open = false;
            self.step_down();
        }
        if (held || self.gate.has_waiting) && !holds {
            self.gate.has_waiting = false;
            self.unblock_all();
        }
        if !self.gate.open {
            self.tell_of_primary();
        }
    }

    /// What a client gets whose request needs the primary, and this is none, or not yet.
    pub(super) fn refusal_at_gate(&self) -> Refusal {
        let service = self.options.service;
        match self.replica.not_ready() {
            Some(NotReady::NotPrimary(leader)) => Refusal::new(
                ErrorCode::NotPrimary,
                format!(
                    "{} is the primary; the service is at {service}",
                    leader.address
                ),
            ),
            Some(NotReady::ViewChange) => Refusal::new(
                ErrorCode::NotPrimary,
                format!(
                    "unknown is the primary: another server is taking over; the service is at \
                     {service}, try again in a moment"
                ),
            ),
            Some(why) => Refusal::new(ErrorCode::NotReady, self.remedy(&why)),
            None => ErrorCode::NotReady.into(),
        }
    }

    /// Why clients are not let in, and what to do about it.
    pub(super) fn remedy(&self, why: &NotReady) -> String {
        match self.what_to_do(why) {
            Some(what_to_do) => format!("{why}; {what_to_do}"),
            None => why.to_string(),
        }
    }

    /// What to do about clients' not being let in; `None` where waiting is all.
    pub(super) fn what_to_do(&self, why: &NotReady) -> Option<String> {
        let (ip, port) = (self.options.service.ip(), self.options.service.port());
        Some(match why {
            NotReady::Backups(count) => {
                let times = if *count == 1 {
                    String::new()
                } else {
                    format!(" {count} times")
                };
                format!(
                    "start `server {ip} {port} 0`{times}, or found the cluster with --backups 0 \
                     for a single server"
                )
            }
            NotReady::Servers(servers) => {
                let (them, their_disk_is) = match servers.len() {
                    1 => ("it", "its disk is"),
                    _ => ("them", "their disks are"),
                };
                let force = self.how_to_force();
                format!(
                    "start {them} again; if {their_disk_is} lost for good, {force}{}",
                    match &self.replica.joiners()[..] {
                        [] => String::new(),
                        [empty, ..] => format!(
                            " (the server at {empty} is new and has an empty folder: it replaces none)"
                        ),
                    }
                )
            }
            NotReady::DamagedServers(servers) => format!(
                "put the folder of {} back from a backup; if there is none, {}",
                if servers.len() == 1 { "that server" } else { "those servers" },
                self.how_to_force()
            ),
            NotReady::Primary(_) => format!("start one with `server {ip} {port} 1`"),
            NotReady::Damaged => {
                let force = match self.replica.holds_most() {
                    Some(_) => self.how_to_force(),
                    None => "force one of the others".to_owned(),
                };
                format!(
                    "start the other servers; if all run and wait for this one, put its folder back from a backup; \
                     if there is none, {force}"
                )
            }
            NotReady::Folders(_) => format!(
                "start it with the original folder; if that is gone, or everything was moved by copying, {}",
                self.how_to_force()
            ),
            NotReady::Unreached(servers) => {
                let (them, their_disk_is) = match servers.len() {
                    1 => ("it", "its disk is"),
                    _ => ("them", "their disks are"),
                };
                format!(
                    "start {them} again, or mend the network; if {their_disk_is} lost, stop this server and start \
                     it with --force-primary"
                )
            }
            NotReady::NewHistory => {
                "start the server that was forced to lead; if its disk is lost, \
                 start this one with --force-primary"
                    .to_owned()
            }
            NotReady::Joining(_) => "ask them with STATUS what they wait for, and start no other \
                 cluster beside them; this server's folder is empty, so that it replaces none of theirs"
                .to_owned(),
            _ => return None,
        })
    }

    /// Which server to force, if one has to be.
    fn how_to_force(&self) -> String {
        match self.replica.holds_most() {
            Some(server) if server != self.replica.identity().server => format!(
                "stop server {server}, which holds the most of those that run, and start it with --force-primary"
            ),
            _ => "stop this server and start it with --force-primary".to_owned(),
        }
    }

    /// It has taken longer than people are left without a word.
    pub(super) fn tell_that_writes_wait(&mut self) {
        if !self.gate.holds {
            return;
        }
        let concerned = |client: &super::connection::ClientConnection| {
            client.login.is_some() || !client.is_idle()
        };
        let ids: Vec<ConnectionId> = self
            .clients
            .iter()
            .filter_map(|(id, client)| concerned(client).then_some(*id))
            .collect();
        for id in ids {
            let sentence = "requests wait while another server takes over";
            self.write_note(id, NoteKind::WritesWait, sentence);
        }
    }

    /// From now on clients are let in: those who came before are told.
    fn announce_ready(&mut self) {
        self.print_ready();
        self.end_waiting("ready");
    }

    /// Those who wait here for the cluster to be ready will be let in elsewhere.
    fn tell_of_primary(&mut self) {
        let Some(leader) = self.replica.leader() else {
            return;
        };
        if self.replica.role() == Role::Primary || self.gate.told_of == Some(leader.server) {
            return;
        }
        self.gate.told_of = Some(leader.server);
        self.end_waiting(&format!("ready: {} is the primary", leader.address));
    }

    /// Tells those who wait that it is over. Their waiting does not count as idleness.
    fn end_waiting(&mut self, sentence: &str) {
        let now = self.now;
        let mut waiting: Vec<ConnectionId> = Vec::new();
        for (id, client) in &mut self.clients {
            if let Some(since) = client.waits_since.take() {
                client.logged_out_since = client.logged_out_since + now.since(since);
                waiting.push(*id);
            }
        }
        for id in waiting {
            self.write_note(id, NoteKind::Ready, sentence);
            self.watch(id);
        }
    }

    /// This server is not the primary any more.
    fn step_down(&mut self) {
        let sentence = match self.replica.leader() {
            Some(leader) => format!("{} is the primary now; log in there", leader.address),
            None => "this server is not the primary any more; log in again elsewhere".into(),
        };
        let ids: Vec<ConnectionId> = self.clients.keys().copied().collect();
        for id in ids {
            self.give_up_requests(id);
            if self.clients.get(&id).is_some_and(|c| c.login.is_some()) {
                self.write_note(id, NoteKind::SteppedDown, &sentence);
                self.leave(id);
            }
        }
        if self.owes_outcomes() {
            let at = self.now + self.options.grace;
            self.network.set_timer(at, Alarm::Outcomes);
        }
    }

    /// Answers what a connection has asked and what has not reached the log: it was not done. What has reached it
    /// is answered as soon as the next primary's log says what became of it; see [`Self::give_up_outcomes`].
    fn give_up_requests(&mut self, id: ConnectionId) {
        let not_done = self.refusal_at_gate();
        let Some(client) = self.clients.get_mut(&id) else {
            return;
        };
        match client.step.as_deref() {
            Some(Step::SendUnread) => self.end_task(id),
            // Nobody is logged in here any more. The session may be there, and is resumed elsewhere.
            Some(Step::Commit(Committing::OpenSession(_))) => {
                self.refuse_task(id, ErrorCode::UnknownOutcome.into());
            }
            Some(Step::Commit(_)) => {}
            _ => self.refuse_task(id, not_done),
        }
    }

    /// Some of what clients have asked is in the log, and it is not known yet what becomes of it.
    pub(super) fn owes_outcomes(&self) -> bool {
        self.clients.values().any(|client| client.awaits_outcome())
    }

    /// The next primary's log has said nothing about these requests for too long: they may be done or not.
    pub(super) fn give_up_outcomes(&mut self) {
        if self.gate.open && !self.is_saying_farewell() {
            return;
        }
        let waiting = self.clients.iter();
        let waiting = waiting.filter_map(|(id, client)| client.awaits_outcome().then_some(*id));
        for id in waiting.collect::<Vec<_>>() {
            let Some(client) = self.clients.get_mut(&id) else {
                continue;
            };
            for request in &mut client.in_flight {
                let unknown = || Some(ErrorCode::UnknownOutcome.into());
                request.refusal = request.refusal.take().or_else(unknown);
            }
            let is_in_log = matches!(client.step.as_deref(), Some(Step::Commit(_)));
            self.answer_refused(id);
            if is_in_log {
                self.refuse_task(id, ErrorCode::UnknownOutcome.into());
            }
        }
    }

    /// Goes on with every connection whose requests waited.
    pub(super) fn unblock_all(&mut self) {
        for id in self.clients.keys().copied().collect::<Vec<_>>() {
            self.unblock(id);
        }
    }
}

impl ClientConnection {
    /// Something that it has asked is in the log, and has no answer yet.
    fn awaits_outcome(&self) -> bool {
        let is_in_log = matches!(self.step.as_deref(), Some(Step::Commit(_)));
        is_in_log || self.in_flight.iter().any(|it| it.refusal.is_none())
    }
}
