//! What does an applied op ask of the rest of the program?

use super::change::Change;
use crate::types::{AccountId, ConversationId, Name, OpNumber, SessionId, Timestamp};

/// What ops ask for, in their order: [`super::State::apply`] adds, and whoever carries it out
/// clears. The text of a message is borrowed from the op.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Effects<'a> {
    /// For the store. Those of sessions are not among them, but for their end: they come once a
    /// turn, by [`super::State::flush_sessions`].
    pub changes: Vec<Change>,
    /// To be delivered.
    pub messages: Vec<Sent<'a>>,
    /// Accounts that are gone. Their connections end. Their sessions are gone with them, and are
    /// not among `ended_sessions`.
    pub deleted: Vec<AccountId>,
    /// Sessions that were closed by a request of their own, or let go for newer ones of their
    /// account. Connections that share them are logged out.
    pub ended_sessions: Vec<SessionId>,
}

/// A message that was just sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sent<'a> {
    /// Its id.
    pub id: OpNumber,
    /// When it was sent; never before the message before it.
    pub time: Timestamp,
    /// Where it lives.
    pub conversation: ConversationId,
    /// Who sent it.
    pub sender: AccountId,
    /// Whom it is for; the sender, if somebody writes to himself.
    pub recipient: AccountId,
    /// The sender's name.
    pub sender_name: Name,
    /// The recipient's name.
    pub recipient_name: Name,
    /// What it says.
    pub text: &'a str,
}

impl Effects<'_> {
    /// Forgets everything, and keeps the room that it took.
    pub fn clear(&mut self) {
        self.changes.clear();
        self.messages.clear();
        self.deleted.clear();
        self.ended_sessions.clear();
    }

    /// Whether nothing is asked.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
            && self.messages.is_empty()
            && self.deleted.is_empty()
            && self.ended_sessions.is_empty()
    }
}
