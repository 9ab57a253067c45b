//! Is everything true that clients were told?
//!
//! What was sent by whom is known from the log, as the first server has applied it. Against that the
//! checker holds each answer, each refusal and each message that a client gives to its user.

use std::collections::{BTreeMap, BTreeSet};

use lastword::client::event::Message;
use lastword::types::{Name, OpNumber, SessionId};

/// A message, as it is in the log.
#[derive(Debug)]
struct Sent {
    /// The client that has sent it.
    by: usize,
    from: Name,
    to: Name,
    text: String,
}

/// What the log says of messages, accounts and sessions.
#[derive(Default)]
pub struct Told {
    messages: BTreeMap<u64, Sent>,
    /// By which op a text was sent.
    texts: BTreeMap<String, u64>,
    /// The messages that an account has sent or got.
    of_account: BTreeMap<Name, Vec<u64>>,
    accounts: BTreeSet<Name>,
    ended_sessions: BTreeSet<SessionId>,
    /// Messages that a client knows to be there.
    answered: BTreeMap<String, u64>,
    /// Messages of which a client was told that they were certainly not sent.
    refused: BTreeSet<String>,
}

/// Which messages a read has asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// So many of the newest.
    Newest(usize),
    /// So many after an id, or all.
    After(OpNumber, Option<usize>),
}

/// The client that has sent a text: they begin with its number.
fn sender_of(text: &str) -> usize {
    let number = text.split('/').next().and_then(|it| it.parse().ok());
    number.expect("a text begins with the number of its sender")
}

impl Told {
    // --- what the log says ---

    /// A message was sent, says the state of a server.
    pub fn sent(&mut self, sent: &lastword::chat::Sent<'_>) {
        let (text, op) = (sent.text, sent.id.0);
        if let Some(first) = self.texts.get(text) {
            assert_eq!(*first, op, "EXACTLY ONCE: {text:?} was sent by two ops");
            return;
        }
        assert!(
            !self.refused.contains(text),
            "TRUE: {text:?} is sent by op {op}, and its client was told that it is not"
        );
        self.texts.insert(text.to_owned(), op);
        let message = Sent {
            by: sender_of(text),
            from: sent.sender_name,
            to: sent.recipient_name,
            text: text.to_owned(),
        };
        self.of_account.entry(message.from).or_default().push(op);
        if message.to != message.from {
            self.of_account.entry(message.to).or_default().push(op);
        }
        self.messages.insert(op, message);
    }

    pub fn account_made(&mut self, name: Name) {
        self.accounts.insert(name);
    }

    pub fn session_ended(&mut self, session: SessionId) {
        self.ended_sessions.insert(session);
    }

    /// Everything that was sent.
    pub fn all(&self) -> BTreeMap<u64, String> {
        let messages = self.messages.iter();
        messages.map(|(op, it)| (*op, it.text.clone())).collect()
    }

    /// Everything of which a client knows that it was sent.
    pub fn answered(&self) -> &BTreeMap<String, u64> {
        &self.answered
    }

    // --- what clients were told ---

    /// A client was told that its message was sent.
    pub fn told_sent(&mut self, text: &str, op: OpNumber) {
        assert_eq!(
            self.texts.get(text),
            Some(&op.0),
            "EXACTLY ONCE: the answer to {text:?} names another op than it was sent by"
        );
        self.answered.insert(text.to_owned(), op.0);
    }

    /// A client was told that its message was not sent.
    pub fn told_refused(&mut self, text: &str) {
        assert!(
            !self.texts.contains_key(text),
            "TRUE: {text:?} was sent, and its client was told that it was not"
        );
        self.refused.insert(text.to_owned());
    }

    /// A client was told that its session is over, and that nobody knows what became of something
    /// or can do it any more.
    pub fn told_session_over(&self, session: Option<SessionId>) {
        assert!(
            session.is_some_and(|it| self.ended_sessions.contains(&it)),
            "TRUE: the session {session:?} is there, and could tell the outcome"
        );
    }

    /// A client was told that an account exists.
    pub fn told_account(&self, name: Name) {
        assert!(
            self.accounts.contains(&name),
            "TRUE: nobody has made the account {name}"
        );
    }

    /// A client got the messages that it had asked for: what there was at some moment since, of
    /// which everything up to `newest` was acknowledged before.
    pub fn told_messages(&self, account: Name, wanted: Wanted, got: &[Message], newest: u64) {
        let all = self.of_account.get(&account).map_or(&[][..], Vec::as_slice);
        let known = all.partition_point(|op| *op <= newest);
        let ids: Vec<u64> = got.iter().map(|message| message.id.0).collect();
        let (begin, end) = match (wanted, ids.last()) {
            (Wanted::Newest(limit), Some(last)) => {
                let end = all.partition_point(|op| op <= last);
                (end.saturating_sub(limit), end)
            }
            (Wanted::Newest(_), None) => (0, 0),
            (Wanted::After(after, _), _) => {
                let begin = all.partition_point(|op| *op <= after.0);
                (begin, (begin + ids.len()).min(all.len()))
            }
        };
        assert_eq!(
            ids,
            all[begin..end],
            "TRUE: {wanted:?} of {account} (right: what there was)"
        );
        let is_full = matches!(wanted, Wanted::After(_, Some(limit)) if limit == ids.len());
        assert!(
            end >= known || is_full,
            "FRESH: {wanted:?} of {account} ends before op {newest}: {ids:?}"
        );
        got.iter().for_each(|message| self.told_message(message));
    }

    fn told_message(&self, message: &Message) {
        let there = self.messages.get(&message.id.0);
        let is_it = there.is_some_and(|it| {
            let names = (it.from.as_str(), it.to.as_str());
            names == (&message.from[..], &message.to[..]) && it.text == message.text
        });
        assert!(is_it, "TRUE: {message:?} is not what was sent: {there:?}");
    }

    // --- what came to readers ---

    /// A message came to a client that uses an account; it was not asked for.
    pub fn delivered(&self, client: usize, account: Name, message: &Message, may_be_own: bool) {
        self.told_message(message);
        let there = &self.messages[&message.id.0];
        assert!(
            there.to == account || there.from == account,
            "DELIVERED: {message:?} came to client {client} as {account}"
        );
        assert!(
            there.to == account || there.by != client || may_be_own,
            "DELIVERED: {message:?} came back to client {client}, which has sent it"
        );
    }

    /// The messages behind an op that have to come to a client that uses an account.
    pub fn due(&self, client: usize, account: Name, after: u64) -> impl Iterator<Item = u64> + '_ {
        let all = self.of_account.get(&account).map_or(&[][..], Vec::as_slice);
        let begin = all.partition_point(|op| *op <= after);
        all[begin..].iter().copied().filter(move |op| {
            let message = &self.messages[op];
            message.to == account || message.by != client
        })
    }
}
