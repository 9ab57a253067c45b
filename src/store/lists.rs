//! Which messages are of a conversation, and which are an account's?
//!
//! Each message is in a few lists, and a list is kept as runs: rows of many ids each, in a table of
//! their own. While a transaction is open, what it adds to a list stays here, and becomes a row
//! when the transaction ends, or when it is long enough. So a message that follows others of its
//! conversation costs some bytes in memory, where an entry in an index would cost a walk down a
//! tree; and where nothing follows anything, a row for each message is what an index would have.

use rusqlite::{Connection, params};

use super::codec::integer;
use super::problem::Problem;
use super::run::{OpenRun, RUN_BYTES_MAX, Run};
use crate::chat::change::Message;
use crate::types::{AccountId, ConversationId, NumberMap};

/// A transaction that adds to at most so many lists looks for the last run of each, and adds to
/// that. So runs become long also where every message has a transaction of its own. Where there are
/// more, that would cost more than it saves.
const LISTS_REOPENED_MAX: usize = 4096;

/// Runs that may have ids between `?3` and `?4`, both exclusive, lowest first.
pub(super) const RUNS: &str = "
    SELECT first, count, ids, checksum FROM runs
        WHERE owner = ?1 AND part = ?2 AND first < ?4
            AND first >= coalesce((SELECT max(first) FROM runs
                WHERE owner = ?1 AND part = ?2 AND first <= ?3), ?3)
        ORDER BY first ASC";
/// Runs that may have ids below `?3`, highest first.
pub(super) const RUNS_BACKWARDS: &str = "
    SELECT first, count, ids, checksum FROM runs
        WHERE owner = ?1 AND part = ?2 AND first < ?3
        ORDER BY first DESC";
const LAST_RUN: &str = "
    SELECT first, count, ids, checksum FROM runs
        WHERE owner = ?1 AND part = ?2
        ORDER BY first DESC LIMIT 1";
const INSERT_RUN: &str = "
    INSERT INTO runs (owner, part, first, count, ids, checksum) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
const REPLACE_RUN: &str = "
    UPDATE runs SET count = ?4, ids = ?5, checksum = ?6
        WHERE owner = ?1 AND part = ?2 AND first = ?3";

/// The `part` of what an account received, from itself, too.
pub(super) const RECEIVED: i64 = -1;
/// The `part` of what an account sent to others.
pub(super) const SENT: i64 = -2;

/// Some messages that are looked for together. No message is in a list twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct List {
    /// A conversation, or an account.
    pub owner: i64,
    /// Of a conversation, the recipient; of an account, [`RECEIVED`] or [`SENT`].
    pub part: i64,
}

impl List {
    /// What was written to one member of a conversation.
    pub(super) fn written_to(conversation: ConversationId, recipient: AccountId) -> Self {
        Self {
            owner: integer(conversation.0),
            part: integer(recipient.0),
        }
    }

    /// What an account received.
    pub(super) fn received_by(account: AccountId) -> Self {
        Self {
            owner: integer(account.0),
            part: RECEIVED,
        }
    }

    /// What an account sent to others.
    pub(super) fn sent_by(account: AccountId) -> Self {
        Self {
            owner: integer(account.0),
            part: SENT,
        }
    }

    /// Whether it is a conversation's, and not an account's own.
    pub(super) fn is_of_conversation(self) -> bool {
        self.part >= 0
    }
}

/// Which end of a list is wanted when not all of it is.
#[derive(Clone, Copy, Debug)]
pub(super) enum Order {
    OldestFirst,
    NewestFirst,
}

/// A stretch of a list.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stretch {
    /// Of this one.
    pub list: List,
    /// Only ids above this one.
    pub after: i64,
    /// Only ids below this one.
    pub before: i64,
}

impl Stretch {
    fn has(&self, id: i64) -> bool {
        self.after < id && id < self.before
    }

    fn ids_of(&self, run: &Run) -> Result<impl DoubleEndedIterator<Item = i64>, Problem> {
        let ids = run.ids(self.list)?.into_iter();
        Ok(ids.filter(|id| self.has(*id)))
    }

    /// How many ids of a run are in it, of which all are below its end.
    fn count_of(&self, run: &Run, is_below_end: bool) -> Result<u64, Problem> {
        if is_below_end && self.after < run.first {
            return Ok(run.count);
        }
        Ok(self.ids_of(run)?.count() as u64)
    }
}

/// What the open transaction has added to lists and not written yet. Empty when none is open.
#[derive(Debug)]
pub(super) struct OpenLists {
    /// What comes behind all rows of the list.
    runs: NumberMap<List, OpenRun>,
    /// No run has more bytes of differences.
    pub(super) run_bytes_max: usize,
    /// [`LISTS_REOPENED_MAX`], or what a test has in its place.
    pub(super) lists_reopened_max: usize,
}

impl Default for OpenLists {
    fn default() -> Self {
        Self {
            runs: NumberMap::default(),
            run_bytes_max: RUN_BYTES_MAX,
            lists_reopened_max: LISTS_REOPENED_MAX,
        }
    }
}

impl OpenLists {
    /// Adds a message to its lists.
    pub(super) fn add(
        &mut self,
        connection: &Connection,
        message: &Message,
    ) -> Result<(), Problem> {
        let (sender, recipient) = (message.sender, message.recipient);
        let id = integer(message.id.0);
        let of_conversation = List::written_to(message.conversation, recipient);
        self.add_to(connection, of_conversation, id)?;
        self.add_to(connection, List::received_by(recipient), id)?;
        if sender != recipient {
            self.add_to(connection, List::sent_by(sender), id)?;
        }
        Ok(())
    }

    fn add_to(&mut self, connection: &Connection, list: List, id: i64) -> Result<(), Problem> {
        let Some(open) = self.runs.get_mut(&list) else {
            self.runs.insert(list, OpenRun::new(id));
            return Ok(());
        };
        if open.has_room(self.run_bytes_max) {
            return open.push(id);
        }
        let full = std::mem::replace(open, OpenRun::new(id));
        insert(connection, list, &full.run)
    }

    /// Writes everything into the open transaction.
    pub(super) fn write(&mut self, connection: &Connection) -> Result<(), Problem> {
        let reopens = self.runs.len() <= self.lists_reopened_max;
        let mut runs: Vec<_> = self.runs.drain().collect();
        runs.sort_unstable_by_key(|(list, _)| *list);
        for (list, open) in runs {
            if reopens {
                self.write_behind_last(connection, list, &open)?;
            } else {
                insert(connection, list, &open.run)?;
            }
        }
        Ok(())
    }

    /// Adds `open` to the list's last row if there is room, or makes it a row.
    fn write_behind_last(
        &self,
        connection: &Connection,
        list: List,
        open: &OpenRun,
    ) -> Result<(), Problem> {
        let last = last_run(connection, list)?
            .map(|run| OpenRun::reopened(run, list))
            .transpose()?
            .filter(|last| last.has_room_for(open, self.run_bytes_max));
        let Some(mut last) = last else {
            return insert(connection, list, &open.run);
        };
        last.append(open)?;
        put(connection, REPLACE_RUN, list, &last.run)
    }

    /// How many ids a stretch has.
    pub(super) fn count(&self, connection: &Connection, stretch: &Stretch) -> Result<u64, Problem> {
        let list = stretch.list;
        // Of the highest run, ids may be beyond the end; of those before it, they cannot.
        let mut is_below_end = stretch.before == i64::MAX;
        let mut count = 0;
        if let Some(open) = self.runs.get(&list) {
            count += stretch.count_of(&open.run, is_below_end)?;
        }
        let mut statement = connection.prepare_cached(RUNS_BACKWARDS)?;
        let mut rows = statement.query(params![list.owner, list.part, stretch.before])?;
        while let Some(row) = rows.next()? {
            let run = Run::of_row(row, list)?;
            count += stretch.count_of(&run, is_below_end)?;
            if run.first <= stretch.after {
                break;
            }
            is_below_end = true;
        }
        Ok(count)
    }

    /// Gives the first `limit` ids of a stretch, in `order`, to `found`.
    pub(super) fn first_ids(
        &self,
        connection: &Connection,
        stretch: &Stretch,
        order: Order,
        limit: usize,
        found: impl FnMut(i64),
    ) -> Result<(), Problem> {
        match order {
            Order::OldestFirst => self.oldest_ids(connection, stretch, limit, found),
            Order::NewestFirst => self.newest_ids(connection, stretch, limit, found),
        }
    }

    fn oldest_ids(
        &self,
        connection: &Connection,
        stretch: &Stretch,
        limit: usize,
        found: impl FnMut(i64),
    ) -> Result<(), Problem> {
        let mut statement = connection.prepare_cached(RUNS)?;
        let Stretch {
            list,
            after,
            before,
        } = *stretch;
        let mut rows = statement.query(params![list.owner, list.part, after, before])?;
        let mut taken = Taken::new(limit, found);
        while !taken.is_all()
            && let Some(row) = rows.next()?
        {
            taken.take(stretch.ids_of(&Run::of_row(row, list)?)?);
        }
        if let Some(open) = self.runs.get(&list) {
            taken.take(stretch.ids_of(&open.run)?);
        }
        Ok(())
    }

    fn newest_ids(
        &self,
        connection: &Connection,
        stretch: &Stretch,
        limit: usize,
        found: impl FnMut(i64),
    ) -> Result<(), Problem> {
        let list = stretch.list;
        let mut taken = Taken::new(limit, found);
        if let Some(open) = self.runs.get(&list) {
            taken.take(stretch.ids_of(&open.run)?.rev());
        }
        let mut statement = connection.prepare_cached(RUNS_BACKWARDS)?;
        let mut rows = statement.query(params![list.owner, list.part, stretch.before])?;
        while !taken.is_all()
            && let Some(row) = rows.next()?
        {
            let run = Run::of_row(row, list)?;
            taken.take(stretch.ids_of(&run)?.rev());
            if run.first <= stretch.after {
                break;
            }
        }
        Ok(())
    }
}

/// Hands ids on until there were enough.
struct Taken<F> {
    left: usize,
    found: F,
}

impl<F: FnMut(i64)> Taken<F> {
    fn new(limit: usize, found: F) -> Self {
        Self { left: limit, found }
    }

    fn is_all(&self) -> bool {
        self.left == 0
    }

    fn take(&mut self, ids: impl Iterator<Item = i64>) {
        for id in ids.take(self.left) {
            self.left -= 1;
            (self.found)(id);
        }
    }
}

/// Makes a run a row.
pub(super) fn insert(connection: &Connection, list: List, run: &Run) -> Result<(), Problem> {
    put(connection, INSERT_RUN, list, run)
}

fn put(connection: &Connection, sql: &str, list: List, run: &Run) -> Result<(), Problem> {
    connection.prepare_cached(sql)?.execute(params![
        list.owner,
        list.part,
        run.first,
        run.count.cast_signed(),
        run.differences,
        run.checksum(list)
    ])?;
    Ok(())
}

fn last_run(connection: &Connection, list: List) -> Result<Option<Run>, Problem> {
    let mut statement = connection.prepare_cached(LAST_RUN)?;
    let mut rows = statement.query(params![list.owner, list.part])?;
    rows.next()?.map(|row| Run::of_row(row, list)).transpose()
}

#[cfg(test)]
mod tests;
