//! What has a connection sent, and may it be taken up now?
//!
//! Bytes become requests here. What cannot be taken up stays where it is: in the connection's
//! input, then in the kernel's, then in the peer's.

use super::Server;
use super::connection::{ClientConnection, Dialect};
use crate::limits::{
    CONNECTION_REQUESTS_MAX, FRAME_BODY_BYTES_MAX, FRAME_BODY_BYTES_MAX_BEFORE_LOGIN,
    LINE_BYTES_MAX, LINE_BYTES_MAX_BEFORE_LOGIN,
};
use crate::net::ConnectionId;
use crate::types::{ErrorCode, RequestNumber};
use crate::wire::decoded::Decoded;
use crate::wire::hello::{Hello, Role, decode_first, encode_hello};
use crate::wire::message::{Answer, Refusal};
use crate::wire::{self, request, text};

/// What came of looking at the next bytes of a connection.
pub(super) enum Taken {
    /// Drop so many and look again.
    Go(usize),
    /// Nothing can be done with what is there until more has come.
    NeedsMore,
    /// What is there has to wait until something else is done.
    Waits,
    /// It was another server's hello, of so many bytes: what follows is the link's.
    BecameLink(usize),
}

impl Server {
    /// Takes up what a connection has sent, as far as it may go on now.
    pub(super) fn work_off(&mut self, id: ConnectionId) {
        // The input is taken out while it is read, since requests borrow from it.
        let Some(connection) = self.network.connection(id) else {
            return;
        };
        let mut input = std::mem::take(connection.input());
        let mut took_some = false;
        let waits = loop {
            match self.take_request(id, input.bytes()) {
                Taken::Go(consumed) => {
                    input.consume(consumed);
                    took_some = true;
                }
                Taken::NeedsMore => break false,
                Taken::Waits => break true,
                Taken::BecameLink(consumed) => {
                    input.consume(consumed);
                    if let Some(connection) = self.network.connection(id) {
                        *connection.input() = input;
                    }
                    return self.hear_link(id);
                }
            }
        };
        let is_partial = !input.is_empty();
        let (Some(client), Some(connection)) =
            (self.clients.get_mut(&id), self.network.connection(id))
        else {
            return;
        };
        if waits {
            *connection.input() = input;
            client.partial_since = None;
            connection.pause();
        } else if client.input_ended {
            // What is left is a part of a request, and the rest of it cannot come any more.
            self.ending.push(id);
        } else {
            *connection.input() = input;
            client.note_partial(is_partial, took_some, self.now);
            self.watch(id);
        }
    }

    /// Goes on with a connection whose requests waited.
    pub(super) fn unblock(&mut self, id: ConnectionId) {
        if !self.is_blocked(id)
            && let Some(connection) = self.network.connection(id)
        {
            connection.resume();
            if connection.input_ended() {
                self.ending.push(id);
            }
        }
    }

    /// No further request of the connection can be taken up now.
    fn is_blocked(&self, id: ConnectionId) -> bool {
        let Some(client) = self.clients.get(&id) else {
            return true;
        };
        client.task.is_some()
            || self.lags()
            || client.in_flight.len() >= CONNECTION_REQUESTS_MAX
            || client.feed.is_full()
            || self.network.is_full(id)
    }

    /// Looks at the next bytes of a connection.
    fn take_request(&mut self, id: ConnectionId, bytes: &[u8]) -> Taken {
        if self.is_blocked(id) {
            return Taken::Waits;
        }
        let Some(client) = self.clients.get_mut(&id) else {
            return Taken::Go(bytes.len());
        };
        let Some(&first) = bytes.first() else {
            return Taken::NeedsMore;
        };
        client.greet_at = None;
        if matches!(client.dialect, Dialect::Undecided) {
            client.decide_dialect(first);
            if let (Some(excess), Dialect::Text(_)) = (client.excess, &client.dialect) {
                self.refuse_excess(id, excess);
                return Taken::Waits;
            }
            self.watch(id);
        }
        match self.clients[&id].dialect.clone() {
            Dialect::Binary { greeted } => self.take_frame(id, bytes, greeted),
            Dialect::Text(decoder) => self.take_line(id, bytes, decoder),
            Dialect::Undecided => unreachable!("it was decided above"),
        }
    }

    fn take_frame(&mut self, id: ConnectionId, bytes: &[u8], greeted: bool) -> Taken {
        if !greeted {
            return match decode_first(bytes) {
                Decoded::Incomplete => Taken::NeedsMore,
                Decoded::Nothing { consumed } => Taken::Go(consumed),
                Decoded::Broken { refusal } => self.broken(id, &refusal),
                Decoded::Message { message, consumed } => {
                    self.greet(id, &message, &bytes[..consumed])
                }
            };
        }
        let body_bytes_max = if self.clients[&id].login.is_some() {
            FRAME_BODY_BYTES_MAX
        } else {
            FRAME_BODY_BYTES_MAX_BEFORE_LOGIN
        };
        match request::decode_from_client(bytes, body_bytes_max) {
            Decoded::Incomplete => Taken::NeedsMore,
            Decoded::Nothing { consumed } => Taken::Go(consumed),
            Decoded::Broken { refusal } => self.broken(id, &refusal),
            Decoded::Message { message, consumed } => match message {
                request::FromClient::Asked(asked) => self.begin(id, asked, consumed),
                request::FromClient::Hello(_) => {
                    self.broken(id, &bad_arguments("a hello comes once, at the beginning"))
                }
            },
        }
    }

    fn take_line(
        &mut self,
        id: ConnectionId,
        bytes: &[u8],
        mut decoder: text::TextDecoder,
    ) -> Taken {
        let client = &self.clients[&id];
        let line_bytes_max = if client.login.is_some() {
            LINE_BYTES_MAX
        } else {
            LINE_BYTES_MAX_BEFORE_LOGIN
        };
        let at_end = client.input_ended;
        let mut scratch = std::mem::take(&mut self.line);
        scratch.clear();
        let taken = match decoder.next(bytes, line_bytes_max, at_end, &mut scratch) {
            Decoded::Incomplete => Taken::NeedsMore,
            Decoded::Nothing { consumed } => Taken::Go(consumed),
            Decoded::Broken { refusal } => self.broken(id, &refusal),
            Decoded::Message { message, consumed } => self.begin(id, message, consumed),
        };
        self.line = scratch;
        // What was not taken is decoded again later, from the same state.
        if let (Taken::Go(_) | Taken::NeedsMore, Some(client)) = (&taken, self.clients.get_mut(&id))
        {
            client.dialect = Dialect::Text(decoder);
        }
        taken
    }

    /// A client's hello is answered with ours; a server is no client any more.
    fn greet(&mut self, id: ConnectionId, hello: &Hello, bytes: &[u8]) -> Taken {
        if hello.role == Role::Server {
            self.become_link(id, hello, bytes);
            return Taken::BecameLink(bytes.len());
        }
        if let Some(excess) = self.clients.get(&id).and_then(|client| client.excess) {
            self.refuse_excess(id, excess);
            return Taken::Waits;
        }
        let answer = self.hello();
        if let Some(out) = self.network.output(id) {
            encode_hello(out, &answer);
        }
        if let Some(client) = self.clients.get_mut(&id) {
            client.dialect = Dialect::Binary { greeted: true };
        }
        Taken::Go(bytes.len())
    }

    /// Bytes after which nothing can be understood any more: says so and closes.
    fn broken(&mut self, id: ConnectionId, refusal: &Refusal) -> Taken {
        self.write_answer(id, RequestNumber(0), &Answer::Refused(refusal));
        self.close(id);
        Taken::Waits
    }
}

impl ClientConnection {
    fn decide_dialect(&mut self, first_byte: u8) {
        self.dialect = match wire::dialect_of(first_byte) {
            wire::Dialect::Text => Dialect::Text(text::TextDecoder::new()),
            wire::Dialect::Binary => Dialect::Binary { greeted: false },
        };
    }
}

fn bad_arguments(sentence: &'static str) -> Refusal {
    Refusal::new(ErrorCode::BadArguments, sentence)
}
