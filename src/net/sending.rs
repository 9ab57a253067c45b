//! What goes out, and how does a connection end?

use super::clock;
use super::connection::{CloseReason, State};
use super::event::Event;
use super::event_loop::{Alarm, EventLoop};
use super::registry::{ConnectionId, Entry, Key};
use super::send_queue::Written;
use std::net::Shutdown;
use std::time::Duration;

impl<T> EventLoop<T> {
    /// Where to append what is to be sent, with the next [`Self::flush`]; `None` when the
    /// connection is gone or being closed. The end of what was queued before may stand there: it
    /// must be left as it is.
    pub fn output(&mut self, id: ConnectionId) -> Option<&mut Vec<u8>> {
        let key = id.key();
        if self.registry.connection(key)?.state().is_closing() {
            return None;
        }
        self.soil(key);
        Some(self.registry.connection(key)?.output.tail())
    }

    /// How many bytes wait to be sent; 0 when the connection is gone.
    pub fn queued_bytes(&self, id: ConnectionId) -> usize {
        let connection = self.registry.peek(id.key());
        connection.map_or(0, |connection| connection.output.len())
    }

    /// Whether more waits to be sent than should. If it still does after a flush, or did before it,
    /// [`Event::Drained`] says when there is room again.
    pub fn is_full(&self, id: ConnectionId) -> bool {
        let connection = self.registry.peek(id.key());
        connection.is_some_and(|connection| connection.is_full())
    }

    /// Whether everything that was appended was taken by the kernel, on every connection.
    pub fn is_all_sent(&self) -> bool {
        self.registry.connections().all(|c| c.output.is_empty())
    }

    /// Sends what was appended, as far as the kernel takes it. The rest follows by itself, as the
    /// peer reads.
    pub fn flush(&mut self) {
        let mut dirty = std::mem::take(&mut self.dirty);
        for id in dirty.drain(..) {
            self.flush_connection(id.key());
        }
        debug_assert!(self.dirty.is_empty(), "writing makes nothing dirty");
        self.dirty = dirty;
    }

    /// Closes a connection at once: what is queued is not sent, and a peer that is still sending
    /// gets a reset.
    pub fn close(&mut self, id: ConnectionId) {
        self.free(id.key());
    }

    /// Sends what is queued, then closes our half, waits a little for the peer to close its own,
    /// and frees the connection. What comes in meanwhile is thrown away. For the caller it is
    /// gone at once. One that is still being established is closed at once.
    pub fn close_when_sent(&mut self, id: ConnectionId) {
        let key = id.key();
        let Some(connection) = self.registry.connection(key) else {
            return;
        };
        match connection.state() {
            State::Open => connection.become_state(State::Closing),
            State::InputEnded => connection.become_state(State::ClosingInputEnded),
            // Whoever does not answer is not waited for.
            State::Connecting => return self.free(key),
            State::Closing | State::ClosingInputEnded | State::Lingering => return,
        }
        self.set_deadline(key, self.config.closing_time_max);
        self.soil(key);
        self.list(key);
    }

    /// Has a connection looked at by the next flush.
    pub(super) fn soil(&mut self, key: Key) {
        let Some(connection) = self.registry.connection(key) else {
            return;
        };
        if !connection.dirty {
            connection.dirty = true;
            self.dirty.push(ConnectionId::new(key));
        }
    }

    fn flush_connection(&mut self, key: Key) {
        let Some(connection) = self.registry.connection(key) else {
            return;
        };
        connection.dirty = false;
        if !connection.state().is_closing() {
            connection.congested |= connection.is_full();
        }
        if connection.writable {
            match connection.output.write_to(&mut connection.socket) {
                Ok(Written::All) => {}
                Ok(Written::Blocked) => connection.writable = false,
                Err(error) => return self.break_off_later(key, CloseReason::of(&error)),
            }
        }
        let is_sent = connection.output.is_empty();
        match connection.state() {
            State::Open | State::InputEnded => self.watch_queue(key),
            State::Closing if is_sent => self.linger(key),
            State::ClosingInputEnded if is_sent => self.free(key),
            // Its deadline is another one; it is looked at again once it is open.
            State::Connecting | State::Closing | State::ClosingInputEnded | State::Lingering => {}
        }
    }

    /// Says when a queue that was full has drained, and begins or ends the time that it may be
    /// full.
    fn watch_queue(&mut self, key: Key) {
        let Some(connection) = self.registry.connection(key) else {
            return;
        };
        let half = connection.bounds.output_bytes_max / 2;
        if connection.congested && connection.output.len() <= half {
            connection.congested = false;
            self.pending.push(Event::Drained(ConnectionId::new(key)));
        }
        match connection.deadline {
            None if connection.is_full() => self.set_deadline(key, self.config.send_queue_full_max),
            Some(deadline) if !connection.is_full() => {
                connection.deadline = None;
                self.timers.cancel(deadline);
            }
            None | Some(_) => {}
        }
    }

    /// Everything is sent: closes our half, and waits for the peer to close its own.
    fn linger(&mut self, key: Key) {
        let Some(connection) = self.registry.connection(key) else {
            return;
        };
        if connection.socket.shutdown(Shutdown::Write).is_err() {
            // The peer is gone already, so there is nothing that a reset could overtake.
            return self.free(key);
        }
        connection.become_state(State::Lingering);
        self.set_deadline(key, self.config.linger_time_max);
    }

    pub(super) fn set_deadline(&mut self, key: Key, after: Duration) {
        let alarm = Alarm::Deadline(ConnectionId::new(key));
        let deadline = self.timers.set(clock::now() + after, alarm);
        let before = match self.registry.connection(key) {
            Some(connection) => connection.deadline.replace(deadline),
            None => Some(deadline),
        };
        if let Some(before) = before {
            self.timers.cancel(before);
        }
    }

    /// Frees a connection that is broken, and says so unless the caller has let go of it.
    pub(super) fn break_off(&mut self, key: Key, reason: CloseReason, events: &mut Vec<Event<T>>) {
        let Some(connection) = self.registry.connection(key) else {
            return;
        };
        if !connection.state().is_closing() {
            let connection = ConnectionId::new(key);
            events.push(Event::Closed { connection, reason });
        }
        self.free(key);
    }

    /// As [`Self::break_off`], outside of a poll: the next one tells.
    fn break_off_later(&mut self, key: Key, reason: CloseReason) {
        let mut pending = std::mem::take(&mut self.pending);
        self.break_off(key, reason, &mut pending);
        self.pending = pending;
    }

    /// Closes the socket, and forgets the connection.
    pub(super) fn free(&mut self, key: Key) {
        if self.registry.connection(key).is_none() {
            return;
        }
        if let Some(Entry::Connection(connection)) = self.registry.vacate(key) {
            self.connections -= 1;
            self.crowd.leave(connection.peer().ip(), connection.place);
            if let Some(deadline) = connection.deadline {
                self.timers.cancel(deadline);
            }
        }
    }
}
