//! How is a page found at the same cost among ten million messages as among ten thousand?
//!
//! Every question is first answered in ids, out of the lists alone: stretches of lists, merged, and
//! never more of a stretch than is asked for. Only the messages that are handed out are then looked
//! up, one by one.

use std::collections::{BTreeSet, HashMap};

use rusqlite::{Connection, params};

use super::codec::{column, integer, number};
use super::garbage::is_living;
use super::inserting::message_checksum;
use super::lists::{List, OpenLists, Order, Stretch};
use super::problem::Problem;
use super::writing::account_checksum;
use super::{Found, Query, Range, Scope, StoredMessage};
use crate::limits::PAGE_TEXT_BYTES_MAX;
use crate::types::{AccountId, ConversationId, OpNumber, Timestamp};

/// Answers a query, in the state that the connection sees and `lists` add to.
pub(super) fn answer(
    connection: &Connection,
    lists: &OpenLists,
    query: &Query,
) -> Result<Found, Problem> {
    match query {
        Query::PasswordHash { account } => {
            password_hash(connection, *account).map(Found::PasswordHash)
        }
        Query::Count(range) => {
            let mut count = 0;
            for stretch in stretches(connection, range)? {
                count += lists.count(connection, &stretch)?;
            }
            Ok(Found::Count(count))
        }
        Query::Newest { range, limit } => {
            let stretches = stretches(connection, range)?;
            let order = Order::NewestFirst;
            let ids = merged_ids(connection, lists, stretches, order, *limit as usize)?;
            let first = ids.iter().next().map(|first| number(*first)).transpose()?;
            let count = ids.len() as u64;
            Ok(Found::Newest(first.map(|first| (OpNumber(first), count))))
        }
        Query::Page { range, limit } => page(connection, lists, range, *limit as usize),
    }
}

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

/// What a range consists of: no message is in two of them. Nothing if the account is gone, or is no
/// member.
fn stretches(connection: &Connection, range: &Range) -> Result<Vec<Stretch>, Problem> {
    if !is_living(connection, range.account)? {
        return Ok(Vec::new());
    }
    let account = range.account;
    let lists = match &range.scope {
        Scope::All => vec![List::sent_by(account), List::received_by(account)],
        Scope::Conversation(conversation) => match members(connection, *conversation)? {
            Some([one, other]) if one == account && other == account => {
                vec![List::written_to(*conversation, account)]
            }
            Some(members) if members.contains(&account) => members
                .map(|member| List::written_to(*conversation, member))
                .to_vec(),
            _ => Vec::new(),
        },
        Scope::Unread { read_up_to } => {
            let beyond: HashMap<ConversationId, OpNumber> = read_up_to
                .iter()
                .filter(|(_, up_to)| *up_to > range.after)
                .copied()
                .collect();
            if !beyond.is_empty() {
                return unread_stretches(connection, range, &beyond);
            }
            vec![List::received_by(account)]
        }
    };
    let whole = |list| Stretch {
        list,
        after: integer(range.after.0),
        before: integer(range.before.0),
    };
    Ok(lists.into_iter().map(whole).collect())
}

/// Where single conversations are read beyond the range's beginning, each conversation is looked
/// into behind what is read of it: what was read once is never passed over again.
fn unread_stretches(
    connection: &Connection,
    range: &Range,
    beyond: &HashMap<ConversationId, OpNumber>,
) -> Result<Vec<Stretch>, Problem> {
    let mut statement = connection.prepare_cached(CONVERSATIONS_OF)?;
    let mut rows = statement.query(params![integer(range.account.0)])?;
    let mut stretches = Vec::new();
    while let Some(row) = rows.next()? {
        let conversation = ConversationId(column(row, 0)?);
        let after = *beyond.get(&conversation).unwrap_or(&range.after);
        if after < range.before {
            stretches.push(Stretch {
                list: List::written_to(conversation, range.account),
                after: integer(after.0),
                before: integer(range.before.0),
            });
        }
    }
    Ok(stretches)
}

/// The first `limit` ids of all stretches in `order`.
fn merged_ids(
    connection: &Connection,
    lists: &OpenLists,
    stretches: Vec<Stretch>,
    order: Order,
    limit: usize,
) -> Result<BTreeSet<i64>, Problem> {
    let mut found = BTreeSet::new();
    for mut stretch in stretches {
        // Once there are enough, the next one has to be looked into only for what would be before
        // the last.
        if found.len() == limit {
            match order {
                Order::OldestFirst => stretch.before = found.last().copied().unwrap_or(0),
                Order::NewestFirst => {
                    stretch.after = found
                        .first()
                        .map_or(i64::MAX, |first| stretch.after.max(*first));
                }
            }
        }
        lists.first_ids(connection, &stretch, order, limit, |id| {
            found.insert(id);
        })?;
        while found.len() > limit {
            match order {
                Order::OldestFirst => found.pop_last(),
                Order::NewestFirst => found.pop_first(),
            };
        }
    }
    Ok(found)
}

fn page(
    connection: &Connection,
    lists: &OpenLists,
    range: &Range,
    limit: usize,
) -> Result<Found, Problem> {
    let stretches = stretches(connection, range)?;
    let ids = merged_ids(connection, lists, stretches, Order::OldestFirst, limit + 1)?;
    let mut names = HashMap::new();
    let mut messages = Vec::new();
    let mut text_bytes = 0;
    for id in ids.iter().take(limit) {
        let message = match message(connection, range, *id, &mut names) {
            // What is whole is handed out first: the next page begins with what is not.
            Err(problem) if problem.is_damage() && !messages.is_empty() => break,
            found => found.map_err(|problem| problem.of_message(OpNumber(id.cast_unsigned())))?,
        };
        text_bytes += message.text.len();
        if text_bytes > PAGE_TEXT_BYTES_MAX && !messages.is_empty() {
            break;
        }
        messages.push(message);
    }
    let more = ids.len() > messages.len();
    Ok(Found::Page { messages, more })
}

/// A message that a list named: that it is there, and what was asked for, is checked.
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

fn members(connection: &Connection, id: ConversationId) -> Result<Option<[AccountId; 2]>, Problem> {
    let mut statement = connection.prepare_cached(MEMBERS)?;
    let mut rows = statement.query(params![integer(id.0)])?;
    let Some(row) = rows.next()? else {
        return Ok(None);
    };
    let members = [AccountId(column(row, 0)?), AccountId(column(row, 1)?)];
    Ok(Some(members))
}

#[cfg(test)]
mod tests;
