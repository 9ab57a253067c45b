//! What came in?
//!
//! A connection that has its turn gets one read of at most its budget, which is larger for another
//! server's link. Whether that has emptied the
//! socket is known without asking again: a read that was given less than it had room for has taken
//! everything, and whatever comes later raises a new event. Only an end or an error that the kernel
//! has announced already raises none, so then reading goes on, a turn each, until it shows. (The
//! requests before a reset are thus handled before the reset is.) A peer that sends urgent data,
//! which nothing here asks for, makes reads short without emptying the socket: it waits until it
//! sends more, and nobody else does.

use super::connection::{CloseReason, Connection, State};
use super::crowd::Place;
use super::event::Event;
use super::event_loop::EventLoop;
use super::registry::{ConnectionId, Key};
use std::io::{self, Read};

/// What a read has shown.
enum Taken {
    /// So many bytes, which stand at the front of the scratch buffer.
    Bytes(usize),
    /// Nothing for now.
    Nothing,
    /// The peer has ended its half.
    End,
    /// The connection is broken.
    Broken(CloseReason),
}

impl<T> EventLoop<T> {
    /// Notes what the poll has said about a connection.
    pub(super) fn take_connection_readiness(
        &mut self,
        key: Key,
        event: &mio::event::Event,
        events: &mut Vec<Event<T>>,
    ) {
        let Some(connection) = self.registry.connection(key) else {
            return;
        };
        if connection.state() == State::Connecting {
            return self.take_outcome(key, event, events);
        }
        let hung_up = event.is_read_closed() || event.is_error();
        connection.hung_up |= hung_up;
        connection.readable |= hung_up || event.is_readable();
        if event.is_writable() && !connection.writable {
            connection.writable = true;
            self.soil(key);
        }
        if event.is_error() {
            self.take_error(key, events);
        }
        self.list(key);
    }

    /// An error on a connection that is being read shows after its last input. On any other it
    /// would not show before somebody writes, so that is gone now.
    fn take_error(&mut self, key: Key, events: &mut Vec<Event<T>>) {
        let Some(connection) = self.registry.connection(key) else {
            return;
        };
        if connection.may_read() {
            return;
        }
        let reason = match connection.socket.take_error() {
            Ok(Some(error)) | Err(error) => CloseReason::of(&error),
            // An error that is nowhere to be found is no word of the peer's.
            Ok(None) => CloseReason::Failed(io::ErrorKind::Other),
        };
        self.break_off(key, reason, events);
    }

    /// Gives a connection its turn, and says how much was read.
    pub(super) fn serve_connection(&mut self, key: Key, events: &mut Vec<Event<T>>) -> usize {
        let Some(connection) = self.registry.connection(key) else {
            return 0;
        };
        connection.listed = false;
        let mut has_news = std::mem::take(&mut connection.announce);
        let taken = if connection.readable && connection.may_read() {
            let budget_bytes = match connection.place {
                Place::Apart => self.config.link_read_budget_bytes,
                Place::Within | Place::Beyond(_) => self.config.read_budget_bytes,
            };
            read(connection, &mut self.scratch[..budget_bytes])
        } else {
            Taken::Nothing
        };
        let mut read_bytes = 0;
        if let Taken::Bytes(count) = taken {
            read_bytes = count;
            if connection.state().is_closing() {
                connection.discarded_bytes += count;
            } else {
                connection.input.append(&self.scratch[..count]);
                has_news = true;
            }
        }
        if has_news {
            events.push(Event::Input(ConnectionId::new(key)));
        }
        match taken {
            Taken::Bytes(_) => self.limit_discarded(key),
            Taken::Nothing => {}
            Taken::End => self.end_input(key, events),
            Taken::Broken(reason) => self.break_off(key, reason, events),
        }
        self.list(key);
        read_bytes
    }

    /// Cuts a connection that sends on and on while it is being closed.
    fn limit_discarded(&mut self, key: Key) {
        let discarded_bytes_max = self.config.linger_bytes_max;
        let connection = self.registry.connection(key);
        if connection.is_some_and(|connection| connection.discarded_bytes > discarded_bytes_max) {
            self.free(key);
        }
    }

    fn end_input(&mut self, key: Key, events: &mut Vec<Event<T>>) {
        let Some(connection) = self.registry.connection(key) else {
            return;
        };
        match connection.state() {
            State::Open => {
                connection.become_state(State::InputEnded);
                events.push(Event::InputEnded(ConnectionId::new(key)));
            }
            State::Closing => connection.become_state(State::ClosingInputEnded),
            State::Lingering => self.free(key),
            State::Connecting | State::InputEnded | State::ClosingInputEnded => {
                unreachable!("nothing is read before the beginning and after the end")
            }
        }
    }
}

/// One read, which also notes whether another would give anything.
fn read(connection: &mut Connection, scratch: &mut [u8]) -> Taken {
    let room = scratch.len().min(connection.input_room());
    match connection.socket.read(&mut scratch[..room]) {
        Ok(0) => {
            connection.readable = false;
            Taken::End
        }
        Ok(count) => {
            connection.readable = count == room || connection.hung_up;
            Taken::Bytes(count)
        }
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
            connection.readable = false;
            Taken::Nothing
        }
        // It stays readable, and is read again in the next turn.
        Err(error) if error.kind() == io::ErrorKind::Interrupted => Taken::Nothing,
        Err(error) => Taken::Broken(CloseReason::of(&error)),
    }
}
