//! How are answers given that may be longer than any buffer: HISTORY, LOG and LIST?
//!
//! Piece by piece, each when the connection has room for it. Nothing is collected in memory: a
//! page of messages comes from the store when the one before has been queued, and the accounts
//! are walked in slices.

use super::Server;
use super::connection::Step;
use super::pattern::matches;
use crate::limits::PAGE_MESSAGES_MAX;
use crate::net::ConnectionId;
use crate::store::{Query, Range, Scope, StoredMessage};
use crate::types::{AccountId, ErrorCode, Name, OpNumber};
use crate::wire::message::{Answer, HistoryScope, Item, MessageView};

/// Names that are looked at in one go, so that a turn stays short with many accounts.
const LISTING_SLICE: usize = 1024;

/// An answer of messages.
pub(super) struct Stream {
    /// Where the next one is from. Its scope is found when the state may be read.
    pub range: Range,
    /// Between whom; only until the scope is found.
    pub asked: Option<HistoryScope>,
    /// Only the newest so many (HISTORY); otherwise from the first (LOG).
    pub newest: Option<u32>,
    /// How many may still come.
    pub left: u64,
    /// How many came.
    pub count: u64,
}

/// An answer of accounts.
pub(super) struct Listing {
    /// Which.
    pub pattern: String,
    /// The last name that was looked at.
    pub after: Option<Name>,
    /// How many came.
    pub count: u64,
}

impl Stream {
    /// The newest `limit` messages before an id.
    pub fn history(account: AccountId, scope: HistoryScope, limit: u32, before: OpNumber) -> Self {
        Self {
            range: Range {
                account,
                scope: Scope::All,
                after: OpNumber::ZERO,
                before,
            },
            asked: Some(scope),
            newest: Some(limit),
            left: u64::from(limit),
            count: 0,
        }
    }

    /// The messages after an id.
    pub fn log(account: AccountId, after: OpNumber, limit: Option<u32>) -> Self {
        Self {
            range: Range {
                account,
                scope: Scope::All,
                after,
                before: OpNumber::MAX,
            },
            asked: None,
            newest: None,
            left: limit.map_or(u64::MAX, u64::from),
            count: 0,
        }
    }
}

impl StoredMessage {
    /// The message as it is shown.
    pub(super) fn view(&self) -> MessageView<'_> {
        MessageView {
            id: self.id,
            time: self.time,
            conversation: self.conversation,
            from: &self.from,
            to: &self.to,
            text: &self.text,
        }
    }
}

impl Server {
    /// The state may be read: finds out where the messages are, and asks for them.
    pub(super) fn begin_stream(&mut self, id: ConnectionId, mut stream: Stream) {
        match self.scope_of(&stream) {
            Ok(Some(scope)) => stream.range.scope = scope,
            // Two who never wrote to each other.
            Ok(None) => return self.finish_task(id, &Answer::Messages { count: 0 }),
            Err(code) => return self.refuse_task(id, code.into()),
        }
        // What comes while the answer is given does not belong to it.
        stream.range.before = stream.range.before.min(self.applied.next());
        match stream.newest {
            Some(limit) => {
                let range = stream.range.clone();
                self.ask_for_task(id, Step::FindNewest(stream), Query::Newest { range, limit });
            }
            None => self.next_page(id, stream),
        }
    }

    fn scope_of(&self, stream: &Stream) -> Result<Option<Scope>, ErrorCode> {
        let me = stream.range.account;
        match stream.asked {
            None | Some(HistoryScope::All) => Ok(Some(Scope::All)),
            Some(HistoryScope::Conversation(conversation)) => {
                Ok(Some(Scope::Conversation(conversation)))
            }
            Some(HistoryScope::With(name)) => {
                let other = self
                    .state
                    .account_named(name)
                    .ok_or(ErrorCode::NoSuchAccount)?;
                let conversation = self.state.conversation_between(me, other);
                Ok(conversation.map(Scope::Conversation))
            }
        }
    }

    /// The store has found where the newest messages begin.
    pub(super) fn newest_found(
        &mut self,
        id: ConnectionId,
        mut stream: Stream,
        found: Option<(OpNumber, u64)>,
    ) {
        let Some((first, count)) = found else {
            return self.finish_task(id, &Answer::Messages { count: 0 });
        };
        stream.range.after = OpNumber(first.0 - 1);
        stream.left = count;
        self.next_page(id, stream);
    }

    /// Asks for the next page, or waits until there is room for it.
    pub(super) fn next_page(&mut self, id: ConnectionId, stream: Stream) {
        if stream.left == 0 {
            let count = stream.count;
            return self.finish_task(id, &Answer::Messages { count });
        }
        if self.network.is_full(id) {
            return self.set_step(id, Step::Messages(stream));
        }
        let limit = u32::try_from(stream.left)
            .map_or(PAGE_MESSAGES_MAX, |left| left.min(PAGE_MESSAGES_MAX));
        let range = stream.range.clone();
        self.ask_for_task(id, Step::Messages(stream), Query::Page { range, limit });
    }

    /// A page has come.
    pub(super) fn page_found(
        &mut self,
        id: ConnectionId,
        mut stream: Stream,
        messages: &[StoredMessage],
        more: bool,
    ) {
        for message in messages {
            self.write_item(id, &Item::Message(message.view()));
            stream.range.after = message.id;
        }
        stream.count += messages.len() as u64;
        stream.left -= (messages.len() as u64).min(stream.left);
        if !more {
            stream.left = 0;
        }
        self.next_page(id, stream);
    }

    /// Lists the next slice of accounts, if there is room.
    pub(super) fn next_accounts(&mut self, id: ConnectionId, mut listing: Listing) {
        let mut names = Vec::new();
        let mut looked_at = 0;
        for (name, account) in self.state.accounts_after(listing.after).take(LISTING_SLICE) {
            looked_at += 1;
            listing.after = Some(name);
            if matches(&listing.pattern, name.as_str()) {
                names.push((name, self.online.contains_key(&account)));
            }
        }
        for (name, online) in names {
            self.write_item(id, &Item::Account { name, online });
            listing.count += 1;
        }
        if looked_at < LISTING_SLICE {
            let count = listing.count;
            return self.finish_task(id, &Answer::Listed { count });
        }
        self.set_step(id, Step::Accounts(listing));
        self.again.push(id);
    }

    /// Goes on with an answer that waited for room, or for its turn.
    pub(super) fn continue_task(&mut self, id: ConnectionId) {
        if self.network.is_full(id) {
            return;
        }
        let Some(client) = self.clients.get_mut(&id) else {
            return;
        };
        if client.task_query.is_some() || !client.is_answering() {
            return;
        }
        match client.take_step() {
            Some(Step::Messages(stream)) => self.next_page(id, stream),
            Some(Step::Accounts(listing)) => self.next_accounts(id, listing),
            _ => {}
        }
    }
}
