//! How do values that SQL has no types for become columns?
//!
//! Op numbers and times are SQL's signed integers. What nobody looks for by its parts (a
//! session's answers, the cluster) is a blob: numbers as varints, seven bits to a byte, so that
//! the state of a busy session stays within a page of the database. What is read back is checked
//! like anything that comes from outside: a damaged blob is an error and never a panic.

use std::net::SocketAddr;

use super::problem::Problem;
use crate::types::{
    AccountId, Cluster, ClusterId, ErrorCode, Incarnation, Lineage, Member, OpNumber, Outcome,
    RequestNumber, SecretHash, ServerId, ServerRecord, SessionId, View, ViewMark, ViewNumber,
};

/// A number as SQL's integer. What is beyond it lies behind every op that there can be.
pub(super) fn integer(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A number out of SQL's integer.
pub(super) fn number(integer: i64) -> Result<u64, Problem> {
    u64::try_from(integer).map_err(|_| damaged("a number is negative"))
}

/// A number out of a row.
pub(super) fn column(row: &rusqlite::Row<'_>, index: usize) -> Result<u64, Problem> {
    number(row.get(index)?)
}

/// A checksum over the parts of a row, as SQL's integer.
pub(super) fn checksum(parts: &[&[u8]]) -> i64 {
    let sum = parts
        .iter()
        .fold(0, |sum, part| crc32c::crc32c_append(sum, part));
    i64::from(sum)
}

/// What is remembered of a session beside its id and its account.
#[derive(Debug, PartialEq)]
pub(super) struct SessionState {
    /// What resuming it is checked against.
    pub secret_hash: SecretHash,
    /// The last op that used it.
    pub last_used: OpNumber,
    /// Requests below this number are stale.
    pub lowest_open: RequestNumber,
    /// In the order of their numbers.
    pub answers: Vec<(RequestNumber, Outcome)>,
}

/// Writes a session's state behind `bytes`.
pub(super) fn put_session(
    bytes: &mut Vec<u8>,
    secret_hash: &SecretHash,
    last_used: OpNumber,
    lowest_open: RequestNumber,
    answers: &[(RequestNumber, Outcome)],
) {
    bytes.extend_from_slice(&secret_hash.0);
    put_varint(bytes, last_used.0);
    put_varint(bytes, lowest_open.0);
    put_varint(bytes, answers.len() as u64);
    let mut previous = lowest_open.0;
    for (number, outcome) in answers {
        // A difference modulo 2^64 is small where numbers follow each other, and right always.
        put_varint(bytes, number.0.wrapping_sub(previous));
        previous = number.0;
        put_outcome(bytes, outcome);
    }
}

/// A session's state, as [`put_session`] wrote it.
pub(super) fn session(bytes: &[u8]) -> Result<SessionState, Problem> {
    let mut reader = Reader(bytes);
    let secret_hash = SecretHash(reader.array()?);
    let last_used = OpNumber(reader.varint()?);
    let lowest_open = RequestNumber(reader.varint()?);
    let count = reader.varint()?;
    let mut previous = lowest_open.0;
    let mut answers = Vec::new();
    for _ in 0..count {
        previous = previous.wrapping_add(reader.varint()?);
        answers.push((RequestNumber(previous), reader.outcome()?));
    }
    reader.end()?;
    Ok(SessionState {
        secret_hash,
        last_used,
        lowest_open,
        answers,
    })
}

/// A session's id as a blob that sorts as the id does.
pub(super) fn session_id(id: SessionId) -> [u8; 16] {
    id.0.to_be_bytes()
}

/// Writes an outcome behind `bytes`.
pub(super) fn put_outcome(bytes: &mut Vec<u8>, outcome: &Outcome) {
    let (kind, value) = match *outcome {
        Outcome::Created(account) => (1, account.0),
        Outcome::SessionOpened => (2, 0),
        Outcome::SessionClosed => (3, 0),
        Outcome::Deleted => (4, 0),
        Outcome::Sent(id) => (5, id.0),
        Outcome::Acknowledged(up_to) => (6, up_to.0),
        Outcome::Refused(code) => (7, code as u64),
    };
    bytes.push(kind);
    put_varint(bytes, value);
}

/// An outcome that stands alone, as [`put_outcome`] wrote it.
pub(super) fn outcome(bytes: &[u8]) -> Result<Outcome, Problem> {
    let mut reader = Reader(bytes);
    let outcome = reader.outcome()?;
    reader.end()?;
    Ok(outcome)
}

/// The cluster as a blob.
pub(super) fn cluster_bytes(cluster: &Cluster) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend_from_slice(&cluster.id.0.to_be_bytes());
    put_varint(&mut bytes, cluster.backups.into());
    bytes.push(cluster.formed.into());
    put_varint(&mut bytes, cluster.servers.len() as u64);
    for server in &cluster.servers {
        put_varint(&mut bytes, server.server.0.into());
        let address = server.address.to_string();
        put_varint(&mut bytes, address.len() as u64);
        bytes.extend_from_slice(address.as_bytes());
    }
    put_view(&mut bytes, &cluster.view);
    for server in &cluster.servers {
        put_varint(&mut bytes, server.incarnation);
    }
    put_varint(&mut bytes, cluster.views.len() as u64);
    for mark in &cluster.views {
        put_varint(&mut bytes, mark.number.0);
        put_varint(&mut bytes, mark.op.0);
    }
    bytes
}

/// The cluster out of its blob.
pub(super) fn cluster(bytes: &[u8]) -> Result<Cluster, Problem> {
    let mut reader = Reader(bytes);
    let id = ClusterId(u128::from_be_bytes(reader.array()?));
    let backups = reader.small()?;
    let formed = reader.varint()? != 0;
    let mut servers = Vec::new();
    for _ in 0..reader.varint()? {
        servers.push(ServerRecord {
            server: ServerId(reader.small()?),
            address: reader.address()?,
            incarnation: 0,
        });
    }
    let view = reader.view()?;
    let mut views = Vec::new();
    // Version 0.1 ended here: it had one server, and views that nobody had to compare.
    if !reader.0.is_empty() {
        for server in &mut servers {
            server.incarnation = reader.varint()?;
        }
        for _ in 0..reader.varint()? {
            views.push(ViewMark {
                number: ViewNumber(reader.varint()?),
                op: OpNumber(reader.varint()?),
            });
        }
    }
    reader.end()?;
    Ok(Cluster {
        id,
        backups,
        formed,
        servers,
        view,
        views,
    })
}

fn put_view(bytes: &mut Vec<u8>, view: &View) {
    put_varint(bytes, view.number.0);
    put_varint(bytes, view.lineage.counter.into());
    put_varint(bytes, view.lineage.random);
    put_varint(bytes, view.primary.0.into());
    put_varint(bytes, view.members.len() as u64);
    for member in &view.members {
        put_varint(bytes, member.server.0.into());
        put_varint(bytes, member.incarnation.counter);
        put_varint(bytes, member.incarnation.random);
    }
}

/// Writes a number behind `bytes`, seven bits to a byte.
pub(super) fn put_varint(bytes: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}

fn damaged(what: &str) -> Problem {
    Problem::Damaged(what.to_owned())
}

/// What is still to be read of a blob.
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl<'a> Reader<'a> {
    /// Nothing is left.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], Problem> {
        let (taken, rest) = self
            .0
            .split_at_checked(count)
            .ok_or_else(|| damaged("a blob ends too early"))?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Problem> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    /// A number, as [`put_varint`] wrote it.
    pub(super) fn varint(&mut self) -> Result<u64, Problem> {
        let mut value = 0;
        for shift in (0..u64::BITS).step_by(7) {
            let [byte] = self.array()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(damaged("a number in a blob does not end"))
    }

    fn small<T: TryFrom<u64>>(&mut self) -> Result<T, Problem> {
        T::try_from(self.varint()?).map_err(|_| damaged("a number in a blob is too large"))
    }

    fn outcome(&mut self) -> Result<Outcome, Problem> {
        let [kind] = self.array()?;
        let value = self.varint()?;
        Ok(match kind {
            1 => Outcome::Created(AccountId(value)),
            2 => Outcome::SessionOpened,
            3 => Outcome::SessionClosed,
            4 => Outcome::Deleted,
            5 => Outcome::Sent(OpNumber(value)),
            6 => Outcome::Acknowledged(OpNumber(value)),
            7 => Outcome::Refused(
                u16::try_from(value)
                    .ok()
                    .and_then(ErrorCode::from_number)
                    .ok_or_else(|| damaged("an outcome has an unknown code"))?,
            ),
            _ => return Err(damaged("an outcome is of no known kind")),
        })
    }

    fn address(&mut self) -> Result<SocketAddr, Problem> {
        let length = self.small()?;
        std::str::from_utf8(self.take(length)?)
            .ok()
            .and_then(|text| text.parse().ok())
            .ok_or_else(|| damaged("a server's address is none"))
    }

    fn view(&mut self) -> Result<View, Problem> {
        let number = ViewNumber(self.varint()?);
        let lineage = Lineage {
            counter: self.small()?,
            random: self.varint()?,
        };
        let primary = ServerId(self.small()?);
        let mut members = Vec::new();
        for _ in 0..self.varint()? {
            members.push(Member {
                server: ServerId(self.small()?),
                incarnation: Incarnation {
                    counter: self.varint()?,
                    random: self.varint()?,
                },
            });
        }
        Ok(View {
            number,
            lineage,
            primary,
            members,
        })
    }

    fn end(&self) -> Result<(), Problem> {
        if self.0.is_empty() {
            Ok(())
        } else {
            Err(damaged("a blob is longer than what is in it"))
        }
    }
}

#[cfg(test)]
mod tests;
