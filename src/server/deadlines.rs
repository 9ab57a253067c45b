//! Who has been silent for too long?
//!
//! Each connection has at most one timer, for the earliest thing that it could be late for. When
//! it rings, everything is looked at again: a deadline that moved meanwhile costs one more timer,
//! and no bookkeeping on the way.

use super::{Alarm, Server};
use crate::limits::PARTIAL_MESSAGE_TIME_MAX;
use crate::net::ConnectionId;
use crate::types::Time;
use crate::wire::message::NoteKind;

impl Server {
    /// Sets a connection's timer, if there is something to wait for and it is not set.
    pub(super) fn watch(&mut self, id: ConnectionId) {
        let now = self.now;
        let Some(client) = self.clients.get_mut(&id) else {
            return;
        };
        if client.has_timer {
            return;
        }
        let greeting = client.greet_at;
        let login = client.login_deadline();
        let partial = client
            .partial_since
            .map(|since| since + PARTIAL_MESSAGE_TIME_MAX);
        if let Some(at) = [greeting, login, partial].into_iter().flatten().min() {
            client.has_timer = true;
            // A deadline that passed while a task was under way is looked at again soon, and not
            // in a circle without end.
            let at = at.max(now + std::time::Duration::from_millis(100));
            self.network.set_timer(at, Alarm::Client(id));
        }
    }

    /// A connection's timer has rung.
    pub(super) fn timer_rang(&mut self, id: ConnectionId) {
        let now = self.now;
        let Some(client) = self.clients.get_mut(&id) else {
            return;
        };
        client.has_timer = false;
        if client.greet_at.is_some_and(|at| at <= now) {
            client.greet_at = None;
            let sentence = format!("{}: type HELP", super::SOFTWARE);
            self.write_note(id, NoteKind::Greeting, &sentence);
        }
        let Some(client) = self.clients.get(&id) else {
            return;
        };
        let too_late = |at: Time| at <= now;
        if client.task.is_none() && client.login_deadline().is_some_and(too_late) {
            self.write_note(
                id,
                NoteKind::Closing,
                "nobody logged in; this connection ends",
            );
            self.close(id);
        } else if client
            .partial_since
            .is_some_and(|since| too_late(since + PARTIAL_MESSAGE_TIME_MAX))
        {
            let sentence = "the rest of a request did not come; this connection ends";
            self.write_note(id, NoteKind::Closing, sentence);
            self.close(id);
        } else {
            self.watch(id);
        }
    }
}
