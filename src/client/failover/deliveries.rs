//! How does each message come once, and in order?
//!
//! A connection that begins asks for everything after the last message that was seen. Among that are
//! messages which were sent from here, some of them before their answer has come: those are held
//! back, with all that comes behind them, until it is clear whose they are.

use std::collections::{BTreeSet, VecDeque};

use super::super::event::Message;
use super::{Client, Output, Wish};
use crate::types::{Name, OpNumber};

/// So many ids of sent messages are remembered beyond the last message that came. Whoever sends
/// more without getting anything is shown the oldest again after a failover.
const OWN_MAX: usize = 64 * 1024;

/// What has come.
#[derive(Debug, Default)]
pub(super) struct Deliveries {
    /// The highest id that came. What was sent from here does not count: a message with a lower id
    /// may still be on its way.
    last_seen: OpNumber,
    /// What was sent from here, above the last one seen.
    own: BTreeSet<OpNumber>,
    /// What came and waits for the answer to something that may be the first of it.
    held: VecDeque<Message>,
}

impl Deliveries {
    /// Nothing up to `seen` is to come.
    pub fn after(seen: OpNumber) -> Self {
        Self {
            last_seen: seen,
            ..Self::default()
        }
    }

    pub fn last_seen(&self) -> OpNumber {
        self.last_seen
    }

    /// Something was sent from here: it is not to come.
    fn sent(&mut self, id: OpNumber) {
        self.held.retain(|message| message.id != id);
        if id > self.last_seen {
            self.own.insert(id);
            if self.own.len() > OWN_MAX {
                self.own.pop_first();
            }
        }
    }

    /// Whether a message is one that was not seen before.
    fn is_new(&mut self, id: OpNumber) -> bool {
        if id <= self.last_seen {
            return false;
        }
        let is_own = self.own.contains(&id);
        self.last_seen = id;
        self.own = self.own.split_off(&id.next());
        !is_own
    }
}

impl Client {
    pub(super) fn take_delivery(&mut self, message: Message) {
        if self.deliveries.is_new(message.id) {
            self.deliveries.held.push_back(message);
            self.release();
        }
    }

    /// The answer to a message says its id. The one to oneself is delivered, too.
    pub(super) fn note_sent(&mut self, to: Name, id: OpNumber) {
        let is_to_oneself = self.identity.as_ref().is_some_and(|me| me.name == to);
        if !is_to_oneself {
            self.deliveries.sent(id);
        }
    }

    /// Lets go of what is held, up to the first that may be one's own.
    pub(super) fn release(&mut self) {
        while let Some(first) = self.deliveries.held.front()
            && !self.may_be_open(first)
            && let Some(message) = self.deliveries.held.pop_front()
        {
            self.outputs.push_back(Output::Delivered(message));
        }
    }

    /// Whether a message may be one that was sent from here and has no answer yet.
    fn may_be_open(&self, message: &Message) -> bool {
        let Some(me) = &self.identity else {
            return false;
        };
        let is_mine = message.from == me.name.as_str() && message.to != me.name.as_str();
        is_mine
            && self.open.values().any(|open| match &open.wish {
                Wish::Send { to, text } => {
                    open.was_sent && message.to == to.as_str() && message.text == *text
                }
                _ => false,
            })
    }
}
