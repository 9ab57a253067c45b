//! How is a page found at the same cost among ten million messages as among ten thousand?
//!
//! Every question is first answered in ids, out of the indexes alone: ranges of an index, merged,
//! and never more of a range than is asked for. Only the messages that are handed out are then
//! looked up, one by one.

use std::collections::{BTreeSet, HashMap};

use rusqlite::{Connection, OptionalExtension, params};

use super::codec::{column, integer, number};
use super::garbage::is_living;
use super::problem::Problem;
use super::writing::{account_checksum, message_checksum};
use super::{Found, Query, Range, Scope, StoredMessage};
use crate::limits::PAGE_TEXT_BYTES_MAX;
use crate::types::{AccountId, ConversationId, OpNumber, Timestamp};

/// Answers a query, in the state that the connection sees.
pub(super) fn answer(connection: &Connection, query: &Query) -> Result<Found, Problem> {
    match query {
        Query::PasswordHash { account } => {
            password_hash(connection, *account).map(Found::PasswordHash)
        }
        Query::Count(range) => {
            let mut count = 0;
            for part in parts(connection, range)? {
                count += part.count(connection)?;
            }
            Ok(Found::Count(count))
        }
        Query::Newest { range, limit } => {
            let parts = parts(connection, range)?;
            let ids = merged_ids(connection, parts, Order::NewestFirst, *limit as usize)?;
            let first = ids.iter().next().map(|first| number(*first)).transpose()?;
            let count = ids.len() as u64;
            Ok(Found::Newest(first.map(|first| (OpNumber(first), count))))
        }
        Query::Page { range, limit } => page(connection, range, *limit as usize),
    }
}

/// `?1` to `?3` are what the ranges are of, `?4` and `?5` the bounds of the ids, both exclusive.
/// A conversation's messages are kept as what was written to each of its members.
const IN_CONVERSATION: &str = "
    SELECT id FROM messages INDEXED BY messages_by_conversation
        WHERE conversation = ?1 AND recipient = ?2 AND id > ?4 AND id < ?5
    UNION ALL
    SELECT id FROM messages INDEXED BY messages_by_conversation
        WHERE conversation = ?1 AND recipient = ?3 AND id > ?4 AND id < ?5";
const RECEIVED_IN_CONVERSATION: &str = "
    SELECT id FROM messages INDEXED BY messages_by_conversation
        WHERE conversation = ?1 AND recipient = ?2 AND id > ?4 AND id < ?5";
const RECEIVED: &str = "
    SELECT id FROM messages INDEXED BY messages_by_recipient
        WHERE recipient = ?1 AND id > ?4 AND id < ?5";
/// What somebody wrote to himself is among what he received.
const SENT_OR_RECEIVED: &str = "
    SELECT id FROM messages INDEXED BY messages_by_sender
        WHERE sender = ?1 AND sender <> recipient AND id > ?4 AND id < ?5
    UNION ALL
    SELECT id FROM messages INDEXED BY messages_by_recipient
        WHERE recipient = ?1 AND id > ?4 AND id < ?5";
const CONVERSATIONS_OF: &str = "
    SELECT id FROM conversations INDEXED BY conversations_by_lower WHERE lower_member = ?1
    UNION ALL
    SELECT id FROM conversations INDEXED BY conversations_by_higher
        WHERE higher_member = ?1 AND lower_member <> higher_member";
const MEMBERS: &str = "SELECT lower_member, higher_member FROM conversations WHERE id = ?1";
const MESSAGE: &str =
    "SELECT conversation, sender, recipient, time, text, checksum FROM messages WHERE id = ?1";
const ACCOUNT: &str =
    "SELECT name, password_hash, password_version, deleted, checksum FROM accounts WHERE id = ?1";

/// Which end of a range is wanted when not all of it is.
#[derive(Clone, Copy)]
enum Order {
    OldestFirst,
    NewestFirst,
}

/// One statement's share of a range: the ids it finds are in no other share.
struct Part {
    /// Selects the ids.
    ids: &'static str,
    /// `?1` to `?3`.
    keys: [i64; 3],
    /// Only ids above this one.
    after: i64,
    /// Only ids below this one.
    before: i64,
}

impl Part {
    fn count(&self, connection: &Connection) -> Result<u64, Problem> {
        let [one, two, three] = self.keys;
        let count = connection
            .prepare_cached(&count_of(self.ids))?
            .query_row(params![one, two, three, self.after, self.before], |row| {
                row.get(0)
            })?;
        number(count)
    }

    /// Adds the first ids of this part, in `order`.
    fn add_ids(
        &self,
        connection: &Connection,
        order: Order,
        limit: usize,
        found: &mut BTreeSet<i64>,
    ) -> Result<(), Problem> {
        let mut statement = connection.prepare_cached(&first_of(self.ids, order))?;
        let [one, two, three] = self.keys;
        let limit = integer(limit as u64);
        let mut rows = statement.query(params![one, two, three, self.after, self.before, limit])?;
        while let Some(row) = rows.next()? {
            found.insert(row.get(0)?);
        }
        Ok(())
    }
}

fn count_of(ids: &str) -> String {
    format!("SELECT count(*) FROM ({ids})")
}

fn first_of(ids: &str, order: Order) -> String {
    let direction = match order {
        Order::OldestFirst => "ASC",
        Order::NewestFirst => "DESC",
    };
    format!("{ids} ORDER BY id {direction} LIMIT ?6")
}

/// What a range consists of; nothing if the account is gone, or is no member.
fn parts(connection: &Connection, range: &Range) -> Result<Vec<Part>, Problem> {
    if !is_living(connection, range.account)? {
        return Ok(Vec::new());
    }
    let account = integer(range.account.0);
    let whole = |ids, keys| Part {
        ids,
        keys,
        after: integer(range.after.0),
        before: integer(range.before.0),
    };
    match &range.scope {
        Scope::All => Ok(vec![whole(SENT_OR_RECEIVED, [account; 3])]),
        Scope::Conversation(conversation) => {
            let id = integer(conversation.0);
            Ok(match members(connection, *conversation)? {
                Some([one, other]) if one == account && other == account => {
                    vec![whole(RECEIVED_IN_CONVERSATION, [id, one, one])]
                }
                Some([one, other]) if one == account || other == account => {
                    vec![whole(IN_CONVERSATION, [id, one, other])]
                }
                _ => Vec::new(),
            })
        }
        Scope::Unread { read_up_to } => {
            let beyond: HashMap<ConversationId, OpNumber> = read_up_to
                .iter()
                .filter(|(_, up_to)| *up_to > range.after)
                .copied()
                .collect();
            if beyond.is_empty() {
                return Ok(vec![whole(RECEIVED, [account; 3])]);
            }
            unread_parts(connection, range, &beyond)
        }
    }
}

/// Where single conversations are read beyond the range's beginning, each conversation is looked
/// into behind what is read of it: what was read once is never passed over again.
fn unread_parts(
    connection: &Connection,
    range: &Range,
    beyond: &HashMap<ConversationId, OpNumber>,
) -> Result<Vec<Part>, Problem> {
    let account = integer(range.account.0);
    let mut statement = connection.prepare_cached(CONVERSATIONS_OF)?;
    let mut rows = statement.query(params![account])?;
    let mut parts = Vec::new();
    while let Some(row) = rows.next()? {
        let id: i64 = row.get(0)?;
        let read = beyond.get(&ConversationId(number(id)?)).copied();
        let after = read.unwrap_or(range.after);
        if after < range.before {
            parts.push(Part {
                ids: RECEIVED_IN_CONVERSATION,
                keys: [id, account, account],
                after: integer(after.0),
                before: integer(range.before.0),
            });
        }
    }
    Ok(parts)
}

/// The first `limit` ids of all parts in `order`.
fn merged_ids(
    connection: &Connection,
    parts: Vec<Part>,
    order: Order,
    limit: usize,
) -> Result<BTreeSet<i64>, Problem> {
    let mut found = BTreeSet::new();
    for mut part in parts {
        // Once there are enough, the next part has to look only at what would be before the last.
        if found.len() == limit {
            match order {
                Order::OldestFirst => part.before = found.last().copied().unwrap_or(0),
                Order::NewestFirst => {
                    part.after = found
                        .first()
                        .map_or(i64::MAX, |first| part.after.max(*first));
                }
            }
        }
        part.add_ids(connection, order, limit, &mut found)?;
        while found.len() > limit {
            match order {
                Order::OldestFirst => found.pop_last(),
                Order::NewestFirst => found.pop_first(),
            };
        }
    }
    Ok(found)
}

fn page(connection: &Connection, range: &Range, limit: usize) -> Result<Found, Problem> {
    let parts = parts(connection, range)?;
    let ids = merged_ids(connection, parts, Order::OldestFirst, limit + 1)?;
    let mut names = HashMap::new();
    let mut messages = Vec::new();
    let mut text_bytes = 0;
    for id in ids.iter().take(limit) {
        let message = message(connection, range, *id, &mut names)?;
        text_bytes += message.text.len();
        if text_bytes > PAGE_TEXT_BYTES_MAX && !messages.is_empty() {
            break;
        }
        messages.push(message);
    }
    let more = ids.len() > messages.len();
    Ok(Found::Page { messages, more })
}

/// A message that an index named: that it is there, and what was asked for, is checked.
fn message(
    connection: &Connection,
    range: &Range,
    id: i64,
    names: &mut HashMap<AccountId, String>,
) -> Result<StoredMessage, Problem> {
    let mut statement = connection.prepare_cached(MESSAGE)?;
    let mut rows = statement.query(params![id])?;
    let damaged = || Problem::Damaged(format!("message {id} is not what it was"));
    let row = rows.next()?.ok_or_else(damaged)?;
    let id = OpNumber(number(id)?);
    let conversation = ConversationId(column(row, 0)?);
    let sender = AccountId(column(row, 1)?);
    let recipient = AccountId(column(row, 2)?);
    let time = Timestamp(column(row, 3)?);
    let text: String = row.get(4)?;
    let checksum: i64 = row.get(5)?;
    let in_scope = match &range.scope {
        Scope::All => sender == range.account || recipient == range.account,
        Scope::Conversation(asked) => conversation == *asked,
        Scope::Unread { .. } => recipient == range.account,
    };
    let sum = message_checksum(id, conversation, sender, recipient, time, &text);
    if checksum != sum || !in_scope {
        return Err(damaged());
    }
    Ok(StoredMessage {
        id,
        time,
        conversation,
        sender,
        from: shown_name(connection, sender, names)?,
        to: shown_name(connection, recipient, names)?,
        text,
    })
}

/// The name of an account beside a message, out of `names` if it was shown before.
fn shown_name(
    connection: &Connection,
    id: AccountId,
    names: &mut HashMap<AccountId, String>,
) -> Result<String, Problem> {
    if let Some(name) = names.get(&id) {
        return Ok(name.clone());
    }
    let account = account(connection, id)?
        .ok_or_else(|| Problem::Damaged(format!("account {id} is missing")))?;
    let shown = if account.deleted {
        format!("{}(deleted)", account.name)
    } else {
        account.name
    };
    names.insert(id, shown.clone());
    Ok(shown)
}

fn password_hash(connection: &Connection, id: AccountId) -> Result<Option<String>, Problem> {
    let account = account(connection, id)?.filter(|account| !account.deleted);
    Ok(account.map(|account| account.password_hash))
}

/// The row of an account, living or not.
struct Account {
    name: String,
    password_hash: String,
    deleted: bool,
}

fn account(connection: &Connection, id: AccountId) -> Result<Option<Account>, Problem> {
    let mut statement = connection.prepare_cached(ACCOUNT)?;
    let mut rows = statement.query(params![integer(id.0)])?;
    let Some(row) = rows.next()? else {
        return Ok(None);
    };
    let name: String = row.get(0)?;
    let password_hash: String = row.get(1)?;
    let deleted: bool = row.get(3)?;
    let sum = account_checksum(id, &name, &password_hash, row.get(2)?, deleted);
    if row.get::<_, i64>(4)? != sum {
        return Err(Problem::Damaged(format!("account {id} does not add up")));
    }
    Ok(Some(Account {
        name,
        password_hash,
        deleted,
    }))
}

fn members(connection: &Connection, id: ConversationId) -> Result<Option<[i64; 2]>, Problem> {
    let members = connection
        .prepare_cached(MEMBERS)?
        .query_row(params![integer(id.0)], |row| Ok([row.get(0)?, row.get(1)?]))
        .optional()?;
    Ok(members)
}

#[cfg(test)]
mod tests;
