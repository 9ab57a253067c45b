//! When do messages go that nobody is left to read?
//!
//! A deleted account is put down here, and a little is done about it at the end of every
//! transaction: its own lists are removed, for nobody can ask for them again; then its
//! conversations are walked through in the order of their ids, and where the other member is gone
//! too, the messages are removed, a slice at a time. So the end of an account with a million
//! messages costs no transaction more than any other.

use rusqlite::{Connection, OptionalExtension, params};

use super::codec::{integer, number};
use super::lists::List;
use super::problem::Problem;
use super::run::{RUN_BYTES_MAX, Run};
use crate::types::{AccountId, ConversationId};

/// Messages and runs of an account removed, and conversations looked at, in one transaction.
pub(super) const SLICE: u32 = 1024;
// A run goes with all of its messages, so that most have to find room in a slice.
const _: () = assert!(RUN_BYTES_MAX + 2 < SLICE as usize);

/// What is left of a slice for a conversation's messages when nothing was removed before.
const LEFT_FOR_FIRST: u32 = SLICE - 1;

const NEXT_ACCOUNT: &str = "SELECT account, conversation FROM garbage ORDER BY account LIMIT 1";
const NEXT_CONVERSATION: &str = "
    SELECT id, lower_member, higher_member
        FROM conversations INDEXED BY conversations_by_lower
        WHERE lower_member = ?1 AND id > ?2
    UNION ALL
    SELECT id, lower_member, higher_member
        FROM conversations INDEXED BY conversations_by_higher
        WHERE higher_member = ?1 AND lower_member <> higher_member AND id > ?2
    ORDER BY id LIMIT 1";
/// An account's own lists have parts below 0, and a conversation's are of accounts.
const RUNS_OF_ACCOUNT: &str = "
    SELECT part, first FROM runs WHERE owner = ?1 AND part < 0 LIMIT ?2";
const NEXT_RUN_OF_CONVERSATION: &str = "
    SELECT first, count, ids, checksum, part FROM runs WHERE owner = ?1 AND part >= 0 LIMIT 1";
const DELETE_RUN: &str = "DELETE FROM runs WHERE owner = ?1 AND part = ?2 AND first = ?3";
const DELETE_MESSAGE: &str = "DELETE FROM messages WHERE id = ?1";
pub(super) const ACCOUNT_IS_DELETED: &str = "SELECT deleted FROM accounts WHERE id = ?1";
const FORGET_ACCOUNT: &str = "
    DELETE FROM accounts WHERE id = ?1 AND deleted = 1
        AND NOT EXISTS (SELECT 1 FROM conversations INDEXED BY conversations_by_lower
            WHERE lower_member = ?1)
        AND NOT EXISTS (SELECT 1 FROM conversations INDEXED BY conversations_by_higher
            WHERE higher_member = ?1 AND lower_member <> higher_member)";

/// The account is gone: what it alone could still read is garbage.
pub(super) fn add(connection: &Connection, account: AccountId) -> Result<(), Problem> {
    connection
        .prepare_cached("INSERT INTO garbage (account, conversation) VALUES (?1, 0)")?
        .execute(params![integer(account.0)])?;
    Ok(())
}

/// Removes at most a slice of what is garbage.
pub(super) fn remove_slice(connection: &Connection) -> Result<(), Problem> {
    let mut left = SLICE;
    while left > 0 {
        left -= 1;
        let Some((account, walked)) = next_account(connection)? else {
            return Ok(());
        };
        if walked == 0 {
            left -= remove_runs_of(connection, account, left)?;
            if left == 0 {
                return Ok(());
            }
        }
        let Some((conversation, members)) = next_conversation(connection, account, walked)? else {
            finish_account(connection, account)?;
            continue;
        };
        let mut readable = false;
        for member in members {
            readable |= is_living(connection, member)?;
        }
        if !readable {
            match remove_messages_of(connection, conversation, left)? {
                Some(rest) => left = rest,
                None => return Ok(()),
            }
            remove_conversation(connection, conversation, members)?;
        }
        connection
            .prepare_cached("UPDATE garbage SET conversation = ?2 WHERE account = ?1")?
            .execute(params![integer(account.0), integer(conversation.0)])?;
    }
    Ok(())
}

/// Removes at most so many runs of an account's own lists; answers how many they were.
fn remove_runs_of(connection: &Connection, account: AccountId, most: u32) -> Result<u32, Problem> {
    let owner = integer(account.0);
    let runs: Vec<(i64, i64)> = connection
        .prepare_cached(RUNS_OF_ACCOUNT)?
        .query_map(params![owner, most], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<Result<_, _>>()?;
    let mut delete = connection.prepare_cached(DELETE_RUN)?;
    for (part, first) in &runs {
        delete.execute(params![owner, part, first])?;
    }
    Ok(u32::try_from(runs.len()).unwrap_or(most))
}

/// Removes messages of a conversation, each run of them with its row, but at most so many. Answers
/// how many more may go, or that there are more messages than that. A run that is alone in a slice
/// goes whatever its length: it would not find more room in the next one, and nothing behind it
/// would ever go.
fn remove_messages_of(
    connection: &Connection,
    conversation: ConversationId,
    most: u32,
) -> Result<Option<u32>, Problem> {
    let mut delete = connection.prepare_cached(DELETE_MESSAGE)?;
    let mut delete_run = connection.prepare_cached(DELETE_RUN)?;
    let mut left = most;
    while let Some((list, run)) = next_run_of(connection, conversation)? {
        let ids = run.ids(list)?;
        let length = u32::try_from(ids.len()).unwrap_or(u32::MAX);
        if length > left && left < LEFT_FOR_FIRST {
            return Ok(None);
        }
        left = left.saturating_sub(length);
        for id in ids {
            delete.execute(params![id])?;
        }
        delete_run.execute(params![list.owner, list.part, run.first])?;
    }
    Ok(Some(left))
}

fn next_run_of(
    connection: &Connection,
    conversation: ConversationId,
) -> Result<Option<(List, Run)>, Problem> {
    let owner = integer(conversation.0);
    let mut statement = connection.prepare_cached(NEXT_RUN_OF_CONVERSATION)?;
    let mut rows = statement.query(params![owner])?;
    let Some(row) = rows.next()? else {
        return Ok(None);
    };
    let part = row.get(4)?;
    let list = List { owner, part };
    Ok(Some((list, Run::of_row(row, list)?)))
}

/// Whether there is an account of this id that was not deleted.
pub(super) fn is_living(connection: &Connection, account: AccountId) -> Result<bool, Problem> {
    let deleted: Option<bool> = connection
        .prepare_cached(ACCOUNT_IS_DELETED)?
        .query_row(params![integer(account.0)], |row| row.get(0))
        .optional()?;
    Ok(deleted == Some(false))
}

fn next_account(connection: &Connection) -> Result<Option<(AccountId, i64)>, Problem> {
    let next: Option<(i64, i64)> = connection
        .prepare_cached(NEXT_ACCOUNT)?
        .query_row([], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    next.map(|(account, walked)| Ok((AccountId(number(account)?), walked)))
        .transpose()
}

fn next_conversation(
    connection: &Connection,
    account: AccountId,
    walked: i64,
) -> Result<Option<(ConversationId, [AccountId; 2])>, Problem> {
    let next: Option<(i64, i64, i64)> = connection
        .prepare_cached(NEXT_CONVERSATION)?
        .query_row(params![integer(account.0), walked], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        })
        .optional()?;
    next.map(|(id, lower, higher)| {
        let members = [AccountId(number(lower)?), AccountId(number(higher)?)];
        Ok((ConversationId(number(id)?), members))
    })
    .transpose()
}

fn finish_account(connection: &Connection, account: AccountId) -> Result<(), Problem> {
    connection
        .prepare_cached("DELETE FROM garbage WHERE account = ?1")?
        .execute(params![integer(account.0)])?;
    forget_account(connection, account)
}

fn remove_conversation(
    connection: &Connection,
    conversation: ConversationId,
    members: [AccountId; 2],
) -> Result<(), Problem> {
    connection
        .prepare_cached("DELETE FROM conversations WHERE id = ?1")?
        .execute(params![integer(conversation.0)])?;
    for member in members {
        forget_account(connection, member)?;
    }
    Ok(())
}

/// Removes the row of a deleted account if there is no message left to show its name beside.
fn forget_account(connection: &Connection, account: AccountId) -> Result<(), Problem> {
    connection
        .prepare_cached(FORGET_ACCOUNT)?
        .execute(params![integer(account.0)])?;
    Ok(())
}

#[cfg(test)]
mod tests;
