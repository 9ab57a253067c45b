//! How do the ids of many messages fit into one row?
//!
//! Ascending ids are kept as the first one and then the differences, as varints: a byte or two for
//! each message of a busy conversation. A checksum over all of it, and over the list that it
//! belongs to, tells a row that has changed or is in the wrong place.

use rusqlite::Row;

use super::codec::{Reader, put_varint};
use super::lists::List;
use super::problem::Problem;

/// More bytes of differences than this are in no row. With everything else in it, a row of so many
/// stays on its page: SQLite moves what is beyond about a quarter of a page, which may have 4096
/// bytes, to pages of its own.
pub(super) const RUN_BYTES_MAX: usize = 960;
/// What a number may occupy.
const VARINT_BYTES_MAX: usize = 10;

/// Some ids of a list that follow each other there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Run {
    /// The lowest.
    pub first: i64,
    /// How many they are, at least one.
    pub count: u64,
    /// What each of the others is above the one before it.
    pub differences: Vec<u8>,
}

impl Run {
    /// One id.
    pub(super) fn new(id: i64) -> Self {
        Self {
            first: id,
            count: 1,
            differences: Vec::new(),
        }
    }

    /// Out of the columns `first`, `count`, `ids` and `checksum`, in this order.
    pub(super) fn of_row(row: &Row<'_>, list: List) -> Result<Self, Problem> {
        let count: i64 = row.get(1)?;
        let run = Self {
            first: row.get(0)?,
            count: count.cast_unsigned(),
            differences: row.get(2)?,
        };
        if row.get::<_, i64>(3)? != run.checksum(list) {
            return Err(damaged(list, "does not add up"));
        }
        Ok(run)
    }

    /// What the row of this run in `list` has to add up to.
    pub(super) fn checksum(&self, list: List) -> i64 {
        let numbers = [list.owner, list.part, self.first, self.count.cast_signed()];
        let mut bytes = [0; 32];
        for (to, from) in bytes.chunks_exact_mut(8).zip(numbers) {
            to.copy_from_slice(&from.to_be_bytes());
        }
        let sum = crc32c::crc32c_append(crc32c::crc32c(&bytes), &self.differences);
        // With its sign, it is never longer than four bytes in a row.
        sum.cast_signed().into()
    }

    /// The ids, lowest first.
    pub(super) fn ids(&self, list: List) -> Result<Vec<i64>, Problem> {
        // A number occupies a byte at least, whatever `count` says.
        let mut ids = Vec::with_capacity(self.differences.len() + 1);
        ids.push(self.first);
        let mut last = self.first;
        let mut reader = Reader(&self.differences);
        while !reader.is_empty() {
            let difference = i64::try_from(reader.varint()?).ok();
            last = difference
                .filter(|difference| *difference > 0)
                .and_then(|difference| last.checked_add(difference))
                .ok_or_else(|| damaged(list, "does not ascend"))?;
            ids.push(last);
        }
        if ids.len() as u64 != self.count {
            return Err(damaged(list, "has not as many ids as it says"));
        }
        Ok(ids)
    }
}

fn damaged(list: List, what: &str) -> Problem {
    let (owner, part) = (list.owner, list.part);
    Problem::Damaged(format!("a run of list ({owner}, {part}) {what}"))
}

/// A run that ids are still added to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct OpenRun {
    /// What is in it.
    pub run: Run,
    /// Its highest id.
    last: i64,
}

impl OpenRun {
    /// One id.
    pub(super) fn new(id: i64) -> Self {
        Self {
            run: Run::new(id),
            last: id,
        }
    }

    /// A run that was written, to go on with.
    pub(super) fn reopened(run: Run, list: List) -> Result<Self, Problem> {
        let last = run.ids(list)?.last().copied().unwrap_or(run.first);
        Ok(Self { run, last })
    }

    /// Adds an id that is above all of them.
    pub(super) fn push(&mut self, id: i64) -> Result<(), Problem> {
        self.put_difference(id)?;
        self.run.count += 1;
        self.last = id;
        Ok(())
    }

    /// Adds all ids of a run that begins above the last one.
    pub(super) fn append(&mut self, other: &Self) -> Result<(), Problem> {
        self.put_difference(other.run.first)?;
        self.run
            .differences
            .extend_from_slice(&other.run.differences);
        self.run.count += other.run.count;
        self.last = other.last;
        Ok(())
    }

    /// Whether one more id would still leave at most `bytes_max` bytes of differences.
    pub(super) fn has_room(&self, bytes_max: usize) -> bool {
        self.run.differences.len() + VARINT_BYTES_MAX <= bytes_max
    }

    /// Whether all ids of `other` would, too.
    pub(super) fn has_room_for(&self, other: &Self, bytes_max: usize) -> bool {
        let bytes = self.run.differences.len() + other.run.differences.len();
        bytes + VARINT_BYTES_MAX <= bytes_max
    }

    fn put_difference(&mut self, id: i64) -> Result<(), Problem> {
        let difference = id
            .checked_sub(self.last)
            .and_then(|difference| u64::try_from(difference).ok())
            .filter(|difference| *difference > 0)
            .ok_or_else(|| {
                Problem::Damaged(format!("message {id} came behind message {}", self.last))
            })?;
        put_varint(&mut self.run.differences, difference);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
