//! When do messages go that nobody is left to read?
//!
//! A deleted account is put down here, and a little is done about it at the end of every
//! transaction: its conversations are walked through in the order of their ids, and where the
//! other member is gone too, the messages are removed, a slice at a time. So the end of an account
//! with a million messages costs no transaction more than any other.

use rusqlite::{Connection, OptionalExtension, params};

use super::codec::{integer, number};
use super::problem::Problem;
use crate::types::{AccountId, ConversationId};

/// Messages removed and conversations looked at in one transaction.
pub(super) const SLICE: u32 = 1024;

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
const DELETE_MESSAGES: &str = "
    DELETE FROM messages WHERE id IN (
        SELECT id FROM messages INDEXED BY messages_by_conversation
        WHERE conversation = ?1 LIMIT ?2)";
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
        let Some((conversation, members)) = next_conversation(connection, account, walked)? else {
            finish_account(connection, account)?;
            continue;
        };
        let mut readable = false;
        for member in members {
            readable |= is_living(connection, member)?;
        }
        if !readable {
            let removed = connection
                .prepare_cached(DELETE_MESSAGES)?
                .execute(params![integer(conversation.0), left])?;
            left -= u32::try_from(removed).unwrap_or(left).min(left);
            if left == 0 {
                return Ok(());
            }
            remove_conversation(connection, conversation, members)?;
        }
        connection
            .prepare_cached("UPDATE garbage SET conversation = ?2 WHERE account = ?1")?
            .execute(params![integer(account.0), integer(conversation.0)])?;
    }
    Ok(())
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
