//! Who has been silent for too long?
//!
//! Each connection has at most one timer, for the earliest thing that it could be late for. When
//! it rings, everything is looked at again: a deadline that has moved away meanwhile costs one more
//! timer, and no bookkeeping on the way.

use std::time::Duration;

use super::{Alarm, Server};
use crate::limits::PARTIAL_MESSAGE_TIME_MAX;
use crate::net::ConnectionId;
use crate::types::Time;
use crate::wire::message::NoteKind;

/// How soon a deadline is looked at again that has passed without effect.
const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(100);

impl Server {
    /// Sets a connection's timer, if there is something to wait for before it rings.
    pub(super) fn watch(&mut self, id: ConnectionId) {
        let now = self.now;
        let Some(client) = self.clients.get_mut(&id) else {
            return;
        };
        let greeting = client.greet_at;
        let login = client.login_deadline();
        let partial = client
            .partial_since
            .map(|since| since + PARTIAL_MESSAGE_TIME_MAX);
        let Some(at) = [greeting, login, partial].into_iter().flatten().min() else {
            return;
        };
        // A deadline that passed while a task was under way is looked at again soon, and not in a
        // circle without end.
        let at = at.max(now + LOOK_AGAIN_AFTER);
        match client.timer {
            Some((rings_at, _)) if rings_at <= at => return,
            Some((_, later)) => self.network.cancel_timer(later),
            None => false,
        };
        client.timer = Some((at, self.network.set_timer(at, Alarm::Client(id))));
    }

    /// A connection's timer has rung.
    pub(super) fn timer_rang(&mut self, id: ConnectionId) {
        let now = self.now;
        let Some(client) = self.clients.get_mut(&id) else {
            return;
        };
        client.timer = None;
        if client.greet_at.is_some_and(|at| at <= now) {
            client.greet_at = None;
            if let Some(excess) = client.excess {
                return self.refuse_excess(id, excess);
            }
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
