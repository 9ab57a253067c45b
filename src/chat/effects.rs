//! What does an applied op ask of the rest of the program?

use super::change::Change;
use crate::types::{AccountId, ConversationId, Name, OpNumber, SessionId, Timestamp};

/// What an op asks for: [`super::State::apply`] puts it here, and whoever carries it out clears. The text
/// of a message is borrowed from the op. No op sends more than one message, or ends more than one session
/// or account.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Effects<'a> {
    /// For the store. Those of sessions are not among them, but for their end: they come once a
    /// turn, by [`super::State::flush_sessions`].
    pub changes: Vec<Change>,
    /// To be delivered.
    pub message: Option<Sent<'a>>,
    /// An account that is gone. Its connections end. Its sessions are gone with it, and are not told of
    /// as `ended_session`.
    pub deleted: Option<AccountId>,
    /// A session that was closed by a request of its own, or let go for a newer one of its account.
    /// Connections that share it are logged out.
    pub ended_session: Option<SessionId>,
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
        self.message = None;
        self.deleted = None;
        self.ended_session = None;
    }

    /// Whether nothing is asked.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
            && self.message.is_none()
            && self.deleted.is_none()
            && self.ended_session.is_none()
    }
}
