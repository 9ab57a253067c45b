//! Which messages has a connection still to get?
//!
//! A connection is *live* when it has every message of its account up to now: a new one is then
//! written to it as soon as it is committed. When that is not possible, because its queue is full,
//! or because an answer of many messages is under way, it falls *behind*: the message stays in the
//! store, and the connection reads on from there, page by page, as its queue has room. So nobody
//! is ever left out, and a slow reader costs no memory.

use std::collections::VecDeque;

use super::Server;
use super::connection::{ClientConnection, Dialect, QueryTicket, Step};
use crate::chat::Sent;
use crate::limits::{CONNECTION_REQUESTS_MAX, PAGE_MESSAGES_MAX};
use crate::net::ConnectionId;
use crate::store::{Query, Range, Scope, StoredMessage};
use crate::types::{AccountId, ConversationId, OpNumber};
use crate::wire::message::{Deliver, MessageView, NoteKind, Push};

/// What a connection has got, and what it has still to get.
pub(super) struct Feed {
    phase: Phase,
    /// Messages up to here were delivered, or need not be.
    position: OpNumber,
    /// The newest message that was committed while the feed was not live.
    missed: OpNumber,
    /// Messages above `position` that were sent from this connection, which are not delivered to
    /// it, in order. Empty while the feed is live.
    own: VecDeque<OpNumber>,
    /// The page that is on its way from the store, and the op as of which it was asked for.
    asked: Option<(QueryTicket, OpNumber)>,
}

enum Phase {
    /// Nobody is logged in, or nothing is wanted.
    Off,
    /// Unread messages below an op are sent first.
    Unread {
        read_up_to: Vec<(ConversationId, OpNumber)>,
        before: OpNumber,
    },
    /// Messages are read from the store.
    Behind,
    /// All is delivered.
    Live,
}

impl Feed {
    /// Of a connection to which nothing is delivered.
    pub fn none() -> Self {
        Self {
            phase: Phase::Off,
            position: OpNumber::ZERO,
            missed: OpNumber::ZERO,
            own: VecDeque::new(),
            asked: None,
        }
    }

    /// So many of the connection's own messages wait for the feed to pass them that it takes no
    /// further requests.
    pub fn is_full(&self) -> bool {
        self.own.len() >= CONNECTION_REQUESTS_MAX
    }

    /// The unread messages of a login are not all sent yet.
    pub fn sends_unread(&self) -> bool {
        matches!(self.phase, Phase::Unread { .. })
    }

    /// There is something to fetch, and it was not asked for yet.
    fn wants_page(&self) -> bool {
        self.asked.is_none() && matches!(self.phase, Phase::Unread { .. } | Phase::Behind)
    }

    /// Takes in that a message of the account was committed. Says whether to write it out now.
    fn offer(&mut self, id: OpNumber, own: bool, can_write: bool) -> bool {
        match self.phase {
            Phase::Off => false,
            Phase::Live if own || can_write => {
                self.position = id;
                !own
            }
            _ => {
                if matches!(self.phase, Phase::Live) {
                    self.phase = Phase::Behind;
                }
                if own {
                    self.own.push_back(id);
                }
                self.missed = id;
                false
            }
        }
    }

    /// The range that the next page is from.
    fn range(&self, account: AccountId) -> Range {
        let (scope, before) = match &self.phase {
            Phase::Unread { read_up_to, before } => {
                let read_up_to = read_up_to.clone();
                (Scope::Unread { read_up_to }, *before)
            }
            _ => (Scope::All, OpNumber::MAX),
        };
        Range {
            account,
            scope,
            after: self.position,
            before,
        }
    }

    /// Takes in a message of a page. Says whether to write it out.
    fn pass(&mut self, id: OpNumber) -> bool {
        self.position = id;
        while self.own.front().is_some_and(|own| *own < id) {
            self.own.pop_front();
        }
        self.own.front() != Some(&id)
    }

    /// Everything up to `newest` is left out.
    fn skip(&mut self, newest: OpNumber) {
        self.position = newest;
        self.own.clear();
        self.phase = Phase::Live;
    }

    /// A page was the last that there was, as of the op at which it was asked for.
    fn reached(&mut self, asked_at: OpNumber) {
        self.position = match self.phase {
            Phase::Unread { before, .. } => OpNumber(before.0 - 1),
            _ => self.position.max(asked_at),
        };
        while self.own.front().is_some_and(|own| *own <= self.position) {
            self.own.pop_front();
        }
        self.phase = if self.missed <= self.position {
            Phase::Live
        } else {
            Phase::Behind
        };
    }
}

impl Server {
    /// From now on a connection that was just logged in misses nothing. What it has to get is
    /// fetched once its login is answered.
    pub(super) fn start_feed(&mut self, id: ConnectionId, deliver: Deliver) {
        let Some(client) = self.clients.get_mut(&id) else {
            return;
        };
        let Some(login) = client.login else { return };
        let newest = self.applied;
        client.feed = Feed::none();
        if deliver != Deliver::Nothing {
            self.listening.entry(login.account).or_default().push(id);
        }
        match deliver {
            Deliver::Nothing => {}
            Deliver::After(after) => {
                client.feed.phase = Phase::Behind;
                client.feed.position = after.min(newest);
                client.feed.missed = newest;
            }
            Deliver::Unread => {
                let (all_read, read_up_to) = self.state.cursors(login.account);
                client.feed.position = all_read;
                client.feed.phase = Phase::Unread {
                    read_up_to: read_up_to.to_vec(),
                    before: newest.next(),
                };
            }
        }
    }

    /// Writes a committed message to those of its readers' connections that can take it.
    pub(super) fn deliver(&mut self, sent: &Sent<'_>, from: Option<ConnectionId>) {
        if self.listening.is_empty() {
            return;
        }
        self.delivery.clear();
        self.deliver_to(sent.recipient, sent, from);
        if sent.sender != sent.recipient {
            self.deliver_to(sent.sender, sent, from);
        }
    }

    fn deliver_to(&mut self, account: AccountId, sent: &Sent<'_>, from: Option<ConnectionId>) {
        let Some(connections) = self.listening.get(&account) else {
            return;
        };
        let push = Push::Message(MessageView {
            id: sent.id,
            time: sent.time,
            conversation: sent.conversation,
            from: sent.sender_name.as_str(),
            to: sent.recipient_name.as_str(),
            text: sent.text,
        });
        for &id in connections {
            let Some(client) = self.clients.get_mut(&id) else {
                continue;
            };
            let own = from == Some(id) && account != sent.recipient;
            let room = !self.network.is_full(id);
            let can_write = room && !client.is_answering();
            if client.feed.offer(sent.id, own, can_write)
                && let Some(out) = self.network.output(id)
            {
                out.extend_from_slice(self.delivery.encoded(client, &push));
            }
        }
    }

    /// Asks the store for a connection's next page, if it wants one and can take it now.
    pub(super) fn pump(&mut self, id: ConnectionId) {
        let Some(client) = self.clients.get(&id) else {
            return;
        };
        let Some(login) = client.login else { return };
        let answering = client.is_answering();
        if !client.feed.wants_page() || answering || self.network.is_full(id) {
            return;
        }
        let range = client.feed.range(login.account);
        let limit = PAGE_MESSAGES_MAX;
        // A full queue of the store is no reason to forget: the next turn asks again.
        let Ok(ticket) = self.ask_store(id, Query::Page { range, limit }) else {
            self.starved.push(id);
            return;
        };
        let asked_at = self.applied;
        if let Some(client) = self.clients.get_mut(&id) {
            client.feed.asked = Some((ticket, asked_at));
        }
    }

    /// Writes out a page that came from the store for a connection's feed.
    pub(super) fn feed_page(
        &mut self,
        id: ConnectionId,
        ticket: QueryTicket,
        messages: &[StoredMessage],
        more: bool,
    ) {
        let Some(client) = self.clients.get_mut(&id) else {
            return;
        };
        let Some((asked, asked_at)) = client.feed.asked else {
            return;
        };
        if asked != ticket || client.login.is_none() {
            return;
        }
        client.feed.asked = None;
        // An answer of many messages began in between: it is not interrupted, and the page is
        // asked for again.
        if client.is_answering() {
            return;
        }
        for message in messages {
            if client.feed.pass(message.id) {
                write_message(client, self.network.output(id), &message.view());
            }
        }
        if !more {
            client.feed.reached(asked_at);
        }
        self.unread_sent(id);
        self.pump(id);
        self.unblock(id);
    }

    /// A page for a connection's feed cannot be read, because of damage. Where another server is about to take over,
    /// the feed stays where it is, and goes on there. Otherwise what is damaged is passed over with a note, and
    /// everything else is delivered.
    pub(super) fn feed_unreadable(
        &mut self,
        id: ConnectionId,
        ticket: QueryTicket,
        message: Option<OpNumber>,
    ) {
        let takes_over = self.replica.has_whole_member(self.now);
        let newest = self.applied;
        let Some(client) = self.clients.get_mut(&id) else {
            return;
        };
        let Some((_, asked_at)) = client.feed.asked.take_if(|(asked, _)| *asked == ticket) else {
            return;
        };
        if takes_over {
            return;
        }
        let sentence = match message {
            Some(message) => {
                client.feed.pass(message);
                format!("message {message} is damaged on this server's disk, and is left out")
            }
            None => {
                client.feed.skip(asked_at.max(newest));
                "messages are damaged on this server's disk, and older ones than now are left out"
                    .to_owned()
            }
        };
        self.write_note(id, NoteKind::Damaged, &sentence);
        self.unread_sent(id);
        self.pump(id);
        self.unblock(id);
    }

    /// In text mode the unread messages belong to the answer of LOGIN, which ends with them.
    fn unread_sent(&mut self, id: ConnectionId) {
        let Some(client) = self.clients.get_mut(&id) else {
            return;
        };
        if matches!(client.step.as_deref(), Some(Step::SendUnread)) && !client.feed.sends_unread() {
            self.end_task(id);
        }
    }
}

/// A message on its way to many connections: it is encoded once for each way to speak.
#[derive(Default)]
pub(super) struct Delivery {
    /// For those who speak frames, and for those who speak lines; empty before the first.
    frame: Vec<u8>,
    line: Vec<u8>,
}

impl Delivery {
    fn clear(&mut self) {
        self.frame.clear();
        self.line.clear();
    }

    fn encoded(&mut self, client: &ClientConnection, push: &Push<'_>) -> &[u8] {
        let encoded = match client.is_binary() {
            true => &mut self.frame,
            false => &mut self.line,
        };
        if encoded.is_empty() {
            client.write_push(encoded, push);
        }
        encoded
    }
}

fn write_message(client: &ClientConnection, out: Option<&mut Vec<u8>>, view: &MessageView<'_>) {
    if let Some(out) = out {
        client.write_push(out, &Push::Message(*view));
    }
}

impl ClientConnection {
    /// Writes something that was not asked for, as the connection speaks.
    pub fn write_push(&self, out: &mut Vec<u8>, push: &Push<'_>) {
        match self.dialect {
            Dialect::Binary { .. } => crate::wire::reply::encode_push(out, push),
            Dialect::Text(_) | Dialect::Undecided => crate::wire::text::encode_push(out, push),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn feed(phase: Phase, position: u64) -> Feed {
        Feed {
            phase,
            position: OpNumber(position),
            ..Feed::none()
        }
    }

    #[test]
    fn a_live_feed_writes_what_comes_but_not_its_own() {
        let mut feed = feed(Phase::Live, 5);
        assert!(feed.offer(OpNumber(6), false, true));
        assert!(!feed.offer(OpNumber(7), true, true));
        assert!(matches!(feed.phase, Phase::Live));
        assert_eq!(feed.position, OpNumber(7));
    }

    #[test]
    fn a_feed_that_cannot_write_falls_behind_and_catches_up() {
        let mut feed = feed(Phase::Live, 5);
        assert!(!feed.offer(OpNumber(6), false, false));
        assert!(!feed.offer(OpNumber(7), true, true));
        assert!(!feed.offer(OpNumber(8), false, true), "order would be lost");
        assert!(feed.wants_page());
        assert!(feed.pass(OpNumber(6)));
        assert!(!feed.pass(OpNumber(7)), "its own");
        feed.reached(OpNumber(7));
        assert!(
            matches!(feed.phase, Phase::Behind),
            "8 came after the page was asked for"
        );
        assert!(feed.pass(OpNumber(8)));
        feed.reached(OpNumber(9));
        assert!(matches!(feed.phase, Phase::Live));
        assert!(feed.own.is_empty());
        assert_eq!(feed.position, OpNumber(9));
    }

    #[test]
    fn unread_messages_come_before_new_ones() {
        let before = OpNumber(10);
        let read_up_to = Vec::new();
        let mut feed = feed(Phase::Unread { read_up_to, before }, 3);
        assert!(!feed.offer(OpNumber(11), false, true));
        assert!(feed.pass(OpNumber(4)));
        feed.reached(OpNumber(9));
        assert!(matches!(feed.phase, Phase::Behind));
        assert_eq!(feed.position, OpNumber(9));
        assert!(feed.pass(OpNumber(11)));
        feed.reached(OpNumber(11));
        assert!(matches!(feed.phase, Phase::Live));
    }
}
