//! Which messages are there, with whom, and which of them has nobody seen?
//!
//! Messages are kept by their ids, so that none is there twice, however it came. What was sent from here
//! stands beside them until its fate is known.
//!
//! What is kept is bounded: of all conversations [`BYTES_MAX`]. Beyond, those that were not touched for
//! the longest time lose all their messages but the newest, and load them again when they are
//! opened.

use std::collections::{BTreeMap, BTreeSet};

use super::super::event::Message;
use crate::types::{ConversationId, Name, OpNumber, RequestNumber, Time};

/// Bytes of messages that are kept in memory.
pub(super) const BYTES_MAX: usize = 64 * 1024 * 1024;
/// Bytes of one conversation that are kept: with so many, nothing older is loaded.
pub(super) const CONVERSATION_BYTES_MAX: usize = 16 * 1024 * 1024;
/// What a message costs beside its text.
const MESSAGE_BYTES: usize = 256;

/// A conversation for as long as the screen lasts, whether the server knows it already or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key(u64);

/// Where something stands in a conversation: behind the message of this id, and there in this
/// place. 0 is the message itself.
pub(super) type Place = (OpNumber, u64);

/// Something that was sent from here and is no message (yet).
#[derive(Clone, Debug)]
pub(super) struct Local {
    pub text: String,
    pub fate: Fate,
}

/// What became of it.
#[derive(Clone, Debug)]
pub(super) enum Fate {
    /// No server has acknowledged it yet.
    Pending {
        number: RequestNumber,
        asked_at: Time,
    },
    /// It was refused, and why.
    Refused(String),
    /// Nobody knows whether it was sent.
    Unknown,
}

/// How a message came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// It is an old one.
    History,
    /// It was delivered: to its reader it is new.
    Delivery,
}

/// What is known of the messages with somebody.
#[derive(Debug)]
pub(super) struct Conversation {
    /// With whom, with `(deleted)` behind it if the account is gone.
    pub peer: String,
    /// What the server calls it, once that is known.
    pub id: Option<ConversationId>,
    pub messages: BTreeMap<OpNumber, Message>,
    pub locals: BTreeMap<Place, Local>,
    /// What came for me and was not shown.
    pub unread: BTreeSet<OpNumber>,
    /// The highest id that came for me and was shown.
    seen: OpNumber,
    /// The highest one that the server was told of.
    called_read: OpNumber,
    /// From this id on nothing is missing. [`OpNumber::MAX`]: that is not known of any.
    pub loaded_from: OpNumber,
    /// Nothing older is there.
    pub is_complete: bool,
    /// What was typed and not sent.
    pub draft: String,
    /// What the messages cost.
    bytes: usize,
    /// The higher, the later something happened here.
    touched: u64,
}

impl Conversation {
    fn new(peer: String, id: Option<ConversationId>) -> Self {
        Self {
            peer,
            id,
            messages: BTreeMap::new(),
            locals: BTreeMap::new(),
            unread: BTreeSet::new(),
            seen: OpNumber::ZERO,
            called_read: OpNumber::ZERO,
            loaded_from: OpNumber::MAX,
            is_complete: false,
            draft: String::new(),
            bytes: 0,
            touched: 0,
        }
    }

    /// The account it is with, if there still is one.
    pub fn name(&self) -> Option<Name> {
        Name::parse(&self.peer).ok()
    }

    /// The highest id.
    pub fn newest(&self) -> OpNumber {
        let last = self.messages.last_key_value();
        last.map_or(OpNumber::ZERO, |(id, _)| *id)
    }

    /// How many were sent from here and have no answer.
    pub fn pending(&self) -> usize {
        let is_pending = |local: &&Local| matches!(local.fate, Fate::Pending { .. });
        self.locals.values().filter(is_pending).count()
    }

    /// There may be older messages, and there is room for them.
    pub fn may_load(&self) -> bool {
        !self.is_complete && !self.is_full()
    }

    /// As much is kept of it as may be.
    pub fn is_full(&self) -> bool {
        self.bytes >= CONVERSATION_BYTES_MAX
    }

    /// Everything up to this id was shown. `true` if some of it was unread.
    pub fn shown(&mut self, up_to: OpNumber) -> bool {
        let left = self.unread.split_off(&up_to.next());
        let shown = std::mem::replace(&mut self.unread, left);
        self.seen = shown.last().map_or(self.seen, |last| self.seen.max(*last));
        !shown.is_empty()
    }

    /// Up to which id it is to be called read, if that was not done yet, and is done now.
    pub fn take_read(&mut self) -> Option<(ConversationId, OpNumber)> {
        let id = self.id?;
        let is_due = self.seen > self.called_read;
        self.called_read = self.seen;
        is_due.then_some((id, self.seen))
    }

    /// Keeps a message, once.
    pub fn put(&mut self, message: Message) {
        let cost = |message: &Message| message.text.len() + MESSAGE_BYTES;
        self.bytes += cost(&message);
        if let Some(before) = self.messages.insert(message.id, message) {
            self.bytes -= cost(&before);
        }
    }

    /// Lets go of everything but the newest message and what has no other place.
    fn shrink(&mut self) {
        let newest = self.messages.pop_last();
        self.messages.clear();
        self.bytes = 0;
        self.loaded_from = OpNumber::MAX;
        self.is_complete = false;
        if let Some((_, message)) = newest {
            self.put(message);
        }
    }
}

/// All conversations of an account.
#[derive(Debug)]
pub(super) struct Conversations {
    me: Name,
    list: BTreeMap<Key, Conversation>,
    made: u64,
    touches: u64,
    locals_made: u64,
}

impl Conversations {
    /// None yet, of this account.
    pub fn new(me: Name) -> Self {
        Self {
            me,
            list: BTreeMap::new(),
            made: 0,
            touches: 0,
            locals_made: 0,
        }
    }

    pub fn of(&self, key: Key) -> Option<&Conversation> {
        self.list.get(&key)
    }

    pub fn of_mut(&mut self, key: Key) -> Option<&mut Conversation> {
        self.list.get_mut(&key)
    }

    /// All, in no order that means anything.
    pub fn all(&self) -> impl Iterator<Item = &Conversation> {
        self.list.values()
    }

    pub fn all_mut(&mut self) -> impl Iterator<Item = &mut Conversation> {
        self.list.values_mut()
    }

    /// All, the one in which something happened last first.
    pub fn in_order(&self) -> Vec<(Key, &Conversation)> {
        let mut ordered: Vec<_> = self.list.iter().map(|(key, it)| (*key, it)).collect();
        ordered.sort_by_key(|(key, it)| std::cmp::Reverse((it.touched, it.newest(), *key)));
        ordered
    }

    /// How many messages were sent from here and have no answer.
    pub fn pending(&self) -> usize {
        self.all().map(Conversation::pending).sum()
    }

    /// The conversation with the account that has this name now. It is made if there is none.
    pub fn with(&mut self, name: Name) -> Key {
        self.called(name.as_str())
    }

    /// The conversation with whoever is or was called so. It is made if there is none.
    pub fn called(&mut self, peer: &str) -> Key {
        match self.find(peer) {
            Some(key) => key,
            None => self.make(peer.to_owned(), None),
        }
    }

    /// The conversation with whoever is called so, if there is one.
    pub fn find(&self, peer: &str) -> Option<Key> {
        let mut found = self.list.iter().filter(|(_, it)| it.peer == peer);
        found.next().map(|(key, _)| *key)
    }

    /// Something happens there: it comes first.
    pub fn touch(&mut self, key: Key) {
        self.touches += 1;
        if let Some(conversation) = self.list.get_mut(&key) {
            conversation.touched = self.touches;
        }
    }

    /// Takes in a message, and says where it went.
    pub fn take_in(&mut self, message: Message, source: Source) -> Key {
        let key = self.place_of(&message);
        let is_for_me = message.to == self.me.as_str();
        if source == Source::Delivery {
            self.touch(key);
        }
        if let Some(conversation) = self.list.get_mut(&key) {
            if source == Source::Delivery && is_for_me {
                conversation.unread.insert(message.id);
            }
            conversation.put(message);
        }
        key
    }

    /// Keeps what was asked to be sent.
    pub fn add_pending(&mut self, key: Key, text: String, number: RequestNumber, asked_at: Time) {
        self.touch(key);
        self.locals_made += 1;
        let place = (OpNumber::MAX, self.locals_made);
        let fate = Fate::Pending { number, asked_at };
        if let Some(conversation) = self.list.get_mut(&key) {
            conversation.locals.insert(place, Local { text, fate });
        }
    }

    /// Keeps something that was not sent, or of which nobody knows whether it was.
    pub fn add_local(&mut self, peer: &str, after: OpNumber, local: Local) {
        let key = self.called(peer);
        self.locals_made += 1;
        let place = (after, self.locals_made);
        if let Some(conversation) = self.list.get_mut(&key) {
            conversation.locals.insert(place, local);
        }
    }

    /// Takes out what was asked by this number, to be put where it belongs.
    pub fn take_pending(&mut self, key: Key, number: RequestNumber) -> Option<Local> {
        let conversation = self.list.get_mut(&key)?;
        let is_it = |local: &Local| match local.fate {
            Fate::Pending { number: asked, .. } => asked == number,
            Fate::Refused(_) | Fate::Unknown => false,
        };
        let mut places = conversation.locals.iter();
        let place = *places.find(|(_, local)| is_it(local))?.0;
        conversation.locals.remove(&place)
    }

    /// Puts something that is no message behind those that are there.
    pub fn put_behind(&mut self, key: Key, local: Local) {
        self.locals_made += 1;
        let made = self.locals_made;
        if let Some(conversation) = self.list.get_mut(&key) {
            let place = (conversation.newest(), made);
            conversation.locals.insert(place, local);
        }
    }

    /// Keeps what there is within its limit; `open` keeps all it has.
    pub fn trim(&mut self, open: Option<Key>) {
        let mut bytes: usize = self.all().map(|it| it.bytes).sum();
        if bytes <= BYTES_MAX {
            return;
        }
        let ordered: Vec<Key> = self.in_order().iter().map(|(key, _)| *key).collect();
        for key in ordered.into_iter().rev().filter(|key| Some(*key) != open) {
            let Some(conversation) = self.list.get_mut(&key) else {
                continue;
            };
            bytes -= conversation.bytes;
            conversation.shrink();
            bytes += conversation.bytes;
            if bytes <= BYTES_MAX {
                return;
            }
        }
    }

    /// Where a message belongs. A conversation that was begun here learns what the server calls it; one
    /// whose account is gone makes way for that of the next account of the name.
    fn place_of(&mut self, message: &Message) -> Key {
        let is_mine = message.from == self.me.as_str();
        let peer = match is_mine {
            true => message.to.clone(),
            false => message.from.clone(),
        };
        let by_id = self
            .list
            .iter_mut()
            .find(|(_, it)| it.id == Some(message.conversation));
        if let Some((key, conversation)) = by_id {
            // Of two answers the one with the deletion in it is the newer.
            if conversation.peer.len() < peer.len() {
                conversation.peer = peer;
            }
            return *key;
        }
        if let Some(key) = self.find(&peer)
            && let Some(conversation) = self.list.get_mut(&key)
        {
            if conversation.id.is_none() {
                conversation.id = Some(message.conversation);
                return key;
            }
            if conversation.name().is_some() {
                conversation.peer.push_str("(deleted)");
            }
        }
        self.make(peer, Some(message.conversation))
    }

    fn make(&mut self, peer: String, id: Option<ConversationId>) -> Key {
        self.made += 1;
        let key = Key(self.made);
        self.list.insert(key, Conversation::new(peer, id));
        key
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::scripted::name;
    use super::*;
    use crate::types::Timestamp;

    fn message(id: u64, conversation: u64, from: &str, to: &str) -> Message {
        Message {
            id: OpNumber(id),
            time: Timestamp(1),
            conversation: ConversationId(conversation),
            from: from.into(),
            to: to.into(),
            text: "hello".into(),
        }
    }

    fn alices() -> Conversations {
        Conversations::new(name("alice"))
    }

    fn peers(conversations: &Conversations) -> Vec<String> {
        let ordered = conversations.in_order();
        ordered.iter().map(|(_, it)| it.peer.clone()).collect()
    }

    #[test]
    fn a_message_is_there_once_however_often_it_comes() {
        let mut all = alices();
        let key = all.take_in(message(4, 4, "bob", "alice"), Source::Delivery);
        all.take_in(message(4, 4, "bob", "alice"), Source::History);
        let conversation = all.of(key).unwrap();
        assert_eq!(conversation.messages.len(), 1);
        assert_eq!(conversation.unread.len(), 1);
        assert_eq!(conversation.bytes, 5 + MESSAGE_BYTES);
    }

    #[test]
    fn only_what_was_delivered_for_me_is_unread() {
        let mut all = alices();
        let key = all.take_in(message(4, 4, "bob", "alice"), Source::History);
        all.take_in(message(5, 4, "alice", "bob"), Source::Delivery);
        assert!(all.of(key).unwrap().unread.is_empty());
        all.take_in(message(6, 4, "bob", "alice"), Source::Delivery);
        all.take_in(message(7, 4, "bob", "alice"), Source::Delivery);
        let conversation = all.of_mut(key).unwrap();
        assert_eq!(conversation.take_read(), None);
        assert!(conversation.shown(OpNumber(6)));
        let read = Some((ConversationId(4), OpNumber(6)));
        assert_eq!(
            (conversation.take_read(), conversation.take_read()),
            (read, None)
        );
        assert_eq!(
            all.of(key).unwrap().unread.first().copied(),
            Some(OpNumber(7))
        );
    }

    #[test]
    fn a_conversation_that_was_begun_here_is_the_one_that_the_server_knows() {
        let mut all = alices();
        let key = all.with(name("bob"));
        assert_eq!(
            all.take_in(message(4, 4, "bob", "alice"), Source::Delivery),
            key
        );
        assert_eq!(all.of(key).unwrap().id, Some(ConversationId(4)));
    }

    #[test]
    fn a_new_account_of_an_old_name_has_a_conversation_of_its_own() {
        let mut all = alices();
        let old = all.take_in(message(4, 4, "bob", "alice"), Source::Delivery);
        let new = all.take_in(message(9, 9, "bob", "alice"), Source::Delivery);
        assert_ne!(old, new);
        assert_eq!(peers(&all), ["bob", "bob(deleted)"]);
        assert_eq!(all.with(name("bob")), new);
        // An answer from before the deletion does not bring the account back.
        all.take_in(message(5, 4, "bob", "alice"), Source::History);
        assert_eq!(all.of(old).unwrap().peer, "bob(deleted)");
        assert_eq!(all.of(old).unwrap().name(), None);
    }

    #[test]
    fn where_something_happened_last_comes_first() {
        let mut all = alices();
        all.take_in(message(4, 4, "bob", "alice"), Source::History);
        all.take_in(message(5, 5, "carol", "alice"), Source::History);
        assert_eq!(peers(&all), ["carol", "bob"]);
        let bob = all.find("bob").unwrap();
        all.add_pending(bob, "hi".into(), RequestNumber(7), Time(0));
        assert_eq!(peers(&all), ["bob", "carol"]);
        assert_eq!(all.pending(), 1);
        assert!(all.take_pending(bob, RequestNumber(8)).is_none());
        assert!(all.take_pending(bob, RequestNumber(7)).is_some());
        assert_eq!(all.pending(), 0);
    }

    #[test]
    fn what_was_not_touched_for_long_makes_room() {
        let mut all = alices();
        let text = "x".repeat(16 * 1024);
        let long = |id, conversation| Message {
            text: text.clone(),
            ..message(id, conversation, &format!("peer{conversation}"), "alice")
        };
        let each = (CONVERSATION_BYTES_MAX / text.len()) as u64;
        for conversation in 1..=5 {
            for place in 0..each {
                let id = conversation * 10_000 + place;
                all.take_in(long(id, conversation), Source::History);
            }
        }
        let oldest = all.find("peer1").unwrap();
        let second = all.find("peer2").unwrap();
        all.of_mut(second).unwrap().is_complete = true;
        assert!(all.of(oldest).unwrap().is_full());
        all.trim(Some(oldest));
        assert_eq!(all.of(oldest).unwrap().messages.len() as u64, each);
        assert_eq!(all.of(second).unwrap().messages.len(), 1);
        assert!(all.of(second).unwrap().may_load());
        let bytes: usize = all.all().map(|it| it.bytes).sum();
        assert!(bytes <= BYTES_MAX);
        let newest = all.find("peer5").unwrap();
        assert_eq!(all.of(newest).unwrap().messages.len() as u64, each);
    }
}
