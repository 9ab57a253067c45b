//! Who comes in, and what if there is no descriptor left for them?
//!
//! Without descriptors, accept fails and the client stays in the kernel's queue, where the listener
//! stays readable: a loop that just tries again spins. Of the two known ways out, closing a spare
//! descriptor to accept and drop the client, or leaving accept alone for a while, this is the
//! second. The client is not turned away but gets in when there is room, ten tries a second cost
//! nothing, and no descriptor has to be won back in a race with the journal and the store.

use super::clock;
use super::connection::{Bounds, CloseReason, Connection, Origin};
use super::crowd::Place;
use super::event::Event;
use super::event_loop::{Alarm, EventLoop};
use super::listener::{AcceptFailure, ListenerTag, set_link_options};
use super::registry::{ConnectionId, Entry, Key};
use mio::Interest;
use mio::net::TcpStream;
use std::io;
use std::net::SocketAddr;

/// Whether accepting pauses. The lack concerns the whole process, so all listeners pause together.
#[derive(Debug, Default)]
pub(super) struct Accepting {
    /// It pauses now, and a timer is set that ends it.
    paused: bool,
    /// It has paused since a listener was last found without anybody waiting. Within such an
    /// episode, which may be many pauses, only the first is logged.
    in_trouble: bool,
}

impl<T> EventLoop<T> {
    /// The connection has turned out to be another server's link, and no client. From now on no cap
    /// concerns it, and its place is free for a client; it makes no difference whether it came in
    /// within the caps or beyond one. A turn reads more from it; but its bounds stay as they are,
    /// see [`Connection::bound`].
    pub fn mark_as_link(&mut self, id: ConnectionId) {
        if let Some(connection) = self.registry.connection(id.key()) {
            let place = std::mem::replace(&mut connection.place, Place::Apart);
            self.crowd.leave(connection.peer().ip(), place);
            if let Err(error) = set_link_options(&connection.socket) {
                log::warn!("a link may sleep for long after a cut: {error}");
            }
        }
    }

    /// Gives a listener its turn.
    pub(super) fn accept(&mut self, key: Key, events: &mut Vec<Event<T>>) {
        if let Some(listening) = self.registry.listening(key) {
            listening.listed = false;
        }
        if self.accepting.paused {
            return;
        }
        for _ in 0..self.config.accept_budget {
            let Some(listening) = self.registry.listening(key) else {
                return;
            };
            let tag = listening.tag;
            let opened = match listening.socket.accept() {
                Ok((socket, peer)) => self.open(socket, peer, tag, events),
                Err(error) => Err(error),
            };
            let Err(error) = opened else { continue };
            match AcceptFailure::of(&error) {
                AcceptFailure::NobodyWaits => return self.note_nobody_waits(key),
                AcceptFailure::Passing => log::debug!("a connection failed as it came in: {error}"),
                AcceptFailure::Lasting => return self.pause_accepting(&error),
            }
        }
        self.list_listener(key);
    }

    /// Ends a pause.
    pub(super) fn accept_again(&mut self) {
        self.accepting.paused = false;
        for index in 0..self.listeners.len() {
            self.list_listener(self.listeners[index].key());
        }
    }

    /// Registers a new connection.
    fn open(
        &mut self,
        mut socket: TcpStream,
        peer: SocketAddr,
        tag: ListenerTag,
        events: &mut Vec<Event<T>>,
    ) -> io::Result<()> {
        let token = self.registry.key_next().token();
        let interest = Interest::READABLE | Interest::WRITABLE;
        self.poll
            .registry()
            .register(&mut socket, token, interest)?;
        let mut place = self.place_for(peer);
        if place.is_none() && self.make_room(events) {
            place = self.place_for(peer);
        }
        let Some(place) = place else {
            log::debug!("too many clients, {peer} is closed without a word");
            return Ok(());
        };
        let bounds = Bounds {
            input_bytes_max: self.config.input_bytes_max,
            output_bytes_max: self.config.send_queue_bytes_max,
        };
        let connection = Connection::new(socket, peer, Origin::Accepted(tag, place), bounds);
        let key = self.registry.insert(Entry::Connection(connection));
        self.connections += 1;
        let connection = ConnectionId::new(key);
        if matches!(place, Place::Beyond(_)) {
            self.note_beyond(connection);
        }
        events.push(Event::Opened {
            connection,
            listener: tag,
            peer,
            excess: match place {
                Place::Within | Place::Apart => None,
                Place::Beyond(excess) => Some(excess),
            },
        });
        Ok(())
    }

    /// The place of somebody who comes in; `None` if nobody more may hold a descriptor.
    fn place_for(&mut self, peer: SocketAddr) -> Option<Place> {
        if self.connections >= self.config.connections_max {
            return None;
        }
        self.crowd.enter(peer.ip())
    }

    /// Cuts the one that has been beyond the caps for longest, and says whether there was one.
    /// Those who only hold their places are cut thus, and a server, which says at once what it is,
    /// is not.
    fn make_room(&mut self, events: &mut Vec<Event<T>>) -> bool {
        while let Some(id) = self.beyond.pop_front() {
            if self.is_beyond(id) {
                self.break_off(id.key(), CloseReason::Crowded, events);
                return true;
            }
        }
        false
    }

    fn note_beyond(&mut self, id: ConnectionId) {
        if self.beyond.len() > 2 * self.config.refusals_max {
            let mut beyond = std::mem::take(&mut self.beyond);
            beyond.retain(|id| self.is_beyond(*id));
            self.beyond = beyond;
        }
        self.beyond.push_back(id);
    }

    fn is_beyond(&self, id: ConnectionId) -> bool {
        let connection = self.registry.peek(id.key());
        connection.is_some_and(|connection| matches!(connection.place, Place::Beyond(_)))
    }

    fn note_nobody_waits(&mut self, key: Key) {
        if let Some(listening) = self.registry.listening(key) {
            listening.readable = false;
        }
        if std::mem::take(&mut self.accepting.in_trouble) {
            log::info!("connections are accepted again");
        }
    }

    /// The listener stays marked readable, so that the end of the pause lists it.
    fn pause_accepting(&mut self, error: &io::Error) {
        let pause = self.config.accept_pause;
        if !std::mem::replace(&mut self.accepting.in_trouble, true) {
            log::warn!(
                "no connection can be accepted ({error}); new clients wait, tried again every {} ms",
                pause.as_millis()
            );
        }
        self.accepting.paused = true;
        self.timers.set(clock::now() + pause, Alarm::Accept);
    }

    fn list_listener(&mut self, key: Key) {
        if let Some(listening) = self.registry.listening(key)
            && listening.readable
            && !listening.listed
        {
            listening.listed = true;
            self.ready.push_back(key);
        }
    }
}
