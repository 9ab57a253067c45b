//! What becomes of a store that an older version has written?
//!
//! Format 1 found the messages of a conversation or an account by indexes, and this one finds them
//! by runs. All of it is converted in one transaction, so that a crash leaves either format whole.
//! The indexes have the ids of each list in their order, so no more than one run is in memory.

use std::collections::HashSet;
use std::path::Path;
use std::time::Instant;

use rusqlite::Connection;

use super::lists::{self, List, RECEIVED, SENT};
use super::problem::Problem;
use super::run::{OpenRun, RUN_BYTES_MAX};
use super::schema::{FORMAT, RUNS_TABLE};

/// The lists of format 1, each message as owner, part and id, in the order of the three. What
/// accounts have is found by their indexes, which have no parts.
const OF_CONVERSATIONS: &str = "
    SELECT conversation, recipient, id FROM messages INDEXED BY messages_by_conversation
        ORDER BY conversation, recipient, id";
const RECEIVED_BY: &str = "
    SELECT recipient, ?1, id FROM messages INDEXED BY messages_by_recipient
        ORDER BY recipient, id";
const SENT_BY: &str = "
    SELECT sender, ?1, id FROM messages INDEXED BY messages_by_sender
        WHERE sender <> recipient ORDER BY sender, id";
const DROP_INDEXES: &str = "
    DROP INDEX messages_by_conversation;
    DROP INDEX messages_by_recipient;
    DROP INDEX messages_by_sender;";

/// Brings a store to the format of this version, of which the file's header says that it has an
/// older one that is known.
pub(super) fn migrate(connection: &mut Connection, path: &Path) -> Result<(), Problem> {
    let began = Instant::now();
    // It may be newer than the header: a crash may have come before the log was moved.
    let format: i32 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if format < FORMAT {
        let transaction = connection.transaction()?;
        convert(&transaction)?;
        transaction.commit()?;
        log::info!(
            "the store {} was converted from format {format} to {FORMAT} in {:.1} s",
            path.display(),
            began.elapsed().as_secs_f64()
        );
    }
    // An older version looks at the header alone: it must not take this for its own.
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
    Ok(())
}

/// Format 1 to format 2, in the transaction that is open.
fn convert(connection: &Connection) -> Result<(), Problem> {
    connection.execute_batch(RUNS_TABLE)?;
    let living = living(connection)?;
    copy_lists(connection, OF_CONVERSATIONS, None, |_| true)?;
    // Of who is gone nobody asks: such lists would be garbage.
    for (select, part) in [(RECEIVED_BY, RECEIVED), (SENT_BY, SENT)] {
        copy_lists(connection, select, Some(part), |owner| {
            living.contains(&owner)
        })?;
    }
    connection.execute_batch(DROP_INDEXES)?;
    connection.pragma_update(None, "user_version", FORMAT)?;
    Ok(())
}

fn living(connection: &Connection) -> Result<HashSet<i64>, Problem> {
    let mut statement = connection.prepare("SELECT id FROM accounts WHERE deleted = 0")?;
    let ids = statement.query_map([], |row| row.get(0))?;
    Ok(ids.collect::<Result<_, _>>()?)
}

/// Makes runs of all lists that `select` gives and `wanted` wants the owners of.
fn copy_lists(
    connection: &Connection,
    select: &str,
    part: Option<i64>,
    wanted: impl Fn(i64) -> bool,
) -> Result<(), Problem> {
    let mut statement = connection.prepare(select)?;
    let mut rows = statement.query(rusqlite::params_from_iter(part))?;
    let mut open: Option<(List, OpenRun)> = None;
    while let Some(row) = rows.next()? {
        let (owner, part, id) = (row.get(0)?, row.get(1)?, row.get(2)?);
        if !wanted(owner) {
            continue;
        }
        let list = List { owner, part };
        match &mut open {
            Some((same, run)) if *same == list && run.has_room(RUN_BYTES_MAX) => run.push(id)?,
            _ => {
                if let Some((list, full)) = open.replace((list, OpenRun::new(id))) {
                    lists::insert(connection, list, &full.run)?;
                }
            }
        }
    }
    if let Some((list, last)) = open {
        lists::insert(connection, list, &last.run)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
