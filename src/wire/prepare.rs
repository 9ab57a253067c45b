//! An op on its way to the journals: the body of a Prepare, which is also what the journal keeps.

use byteorder::{BigEndian, ByteOrder};
use bytes::{BufMut, Bytes, BytesMut};

use crate::limits::OP_BYTES_MAX;
use crate::types::{LogPosition, OpNumber, Timestamp, ViewNumber};

/// View, op, commit and time.
const HEADER_BYTES: usize = 4 * 8;

/// An op with its place in the log. The bytes of its encoding are what goes to the backups, and
/// what every journal stores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prepare<'a> {
    /// The view it is proposed in.
    pub view: ViewNumber,
    /// Its number.
    pub op: OpNumber,
    /// The highest op that was known to be committed when it was proposed.
    pub commit: OpNumber,
    /// The primary's clock when it was proposed.
    pub time: Timestamp,
    /// The op, encoded.
    pub payload: &'a [u8],
}

/// An op with its place in the log, encoded once: what goes to the backups is what the journals
/// keep. A clone is the same bytes in memory, and many entries may share one allocation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Where it stands, and in which view it was proposed.
    pub position: LogPosition,
    /// The primary's clock when it was proposed.
    pub time: Timestamp,
    /// The [`Prepare`] that carries it, encoded.
    pub prepare: Bytes,
}

impl Entry {
    /// Encodes an op.
    pub fn new(prepare: &Prepare<'_>) -> Self {
        let mut bytes = Vec::with_capacity(HEADER_BYTES + prepare.payload.len());
        prepare.encode(&mut bytes);
        Self::of(prepare, bytes.into())
    }

    /// Takes in an op that is encoded already, as a journal keeps it.
    pub fn decode(bytes: impl Into<Bytes>) -> Result<Self, InvalidPrepare> {
        let bytes = bytes.into();
        let (position, time) = {
            let prepare = Prepare::decode(&bytes)?;
            (prepare.position(), prepare.time)
        };
        Ok(Self {
            position,
            time,
            prepare: bytes,
        })
    }

    fn of(prepare: &Prepare<'_>, bytes: Bytes) -> Self {
        Self {
            position: prepare.position(),
            time: prepare.time,
            prepare: bytes,
        }
    }

    /// Its number.
    pub fn op(&self) -> OpNumber {
        self.position.op
    }

    /// The op itself, encoded.
    pub fn payload(&self) -> &[u8] {
        &self.prepare[HEADER_BYTES..]
    }

    /// About what it occupies in memory, on the wire and in a journal.
    pub fn bytes(&self) -> usize {
        self.prepare.len()
    }
}

/// Makes entries, many of them in one allocation.
#[derive(Debug, Default)]
pub struct EntryMaker {
    /// Room for the next ones.
    room: BytesMut,
}

impl EntryMaker {
    /// Bytes that are allocated at a time. All of them stay as long as one of their entries is kept.
    const ROOM_BYTES: usize = 64 * 1024;

    /// Encodes an op.
    pub fn entry(&mut self, prepare: &Prepare<'_>) -> Entry {
        let bytes = HEADER_BYTES + prepare.payload.len();
        if self.room.capacity() < bytes {
            self.room = BytesMut::with_capacity(bytes.max(Self::ROOM_BYTES));
        }
        prepare.encode(&mut self.room);
        Entry::of(prepare, self.room.split().freeze())
    }
}

/// Why bytes are no op on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPrepare {
    /// They end before the payload begins.
    #[error("a prepare has at least {HEADER_BYTES} bytes, and this has {0}")]
    Short(usize),
    /// The payload is longer than [`OP_BYTES_MAX`].
    #[error("an op has at most {OP_BYTES_MAX} bytes, and this has {0}")]
    TooLong(usize),
    /// Ops are numbered from 1.
    #[error("a prepare of op 0, before the first")]
    NoOp,
}

impl<'a> Prepare<'a> {
    /// Bytes before the payload: view, op, commit and time.
    pub const HEADER_BYTES: usize = HEADER_BYTES;

    /// Where it stands.
    pub fn position(&self) -> LogPosition {
        LogPosition {
            view: self.view,
            op: self.op,
        }
    }

    /// Writes it: the header, then the payload.
    pub fn encode(&self, out: &mut impl BufMut) {
        out.put_u64(self.view.0);
        out.put_u64(self.op.0);
        out.put_u64(self.commit.0);
        out.put_u64(self.time.0);
        out.put_slice(self.payload);
    }

    /// Reads one, which is all of `bytes`. What its payload says is not looked at.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, InvalidPrepare> {
        let (header, payload) = bytes
            .split_first_chunk::<HEADER_BYTES>()
            .ok_or(InvalidPrepare::Short(bytes.len()))?;
        if payload.len() > OP_BYTES_MAX {
            return Err(InvalidPrepare::TooLong(payload.len()));
        }
        let op = OpNumber(BigEndian::read_u64(&header[8..16]));
        if op == OpNumber::ZERO {
            return Err(InvalidPrepare::NoOp);
        }
        Ok(Self {
            view: ViewNumber(BigEndian::read_u64(&header[..8])),
            op,
            commit: OpNumber(BigEndian::read_u64(&header[16..24])),
            time: Timestamp(BigEndian::read_u64(&header[24..])),
            payload,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(op: u64, payload: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        Prepare {
            view: ViewNumber(1),
            op: OpNumber(op),
            commit: OpNumber(2),
            time: Timestamp(4),
            payload,
        }
        .encode(&mut out);
        out
    }

    #[test]
    fn it_is_laid_out_as_journals_keep_it() {
        let bytes = encoded(3, b"op");
        assert_eq!(
            bytes,
            [
                0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0,
                0, 0, 0, 4, b'o', b'p'
            ]
        );
        assert_eq!(Prepare::decode(&bytes).unwrap().payload, b"op");
    }

    #[test]
    fn what_cannot_be_one_is_refused() {
        let bytes = encoded(3, b"");
        assert!(Prepare::decode(&bytes).is_ok());
        assert_eq!(
            Prepare::decode(&bytes[..Prepare::HEADER_BYTES - 1]),
            Err(InvalidPrepare::Short(31))
        );
        assert_eq!(
            Prepare::decode(&encoded(0, b"op")),
            Err(InvalidPrepare::NoOp)
        );
        assert!(Prepare::decode(&encoded(1, &[0; OP_BYTES_MAX])).is_ok());
        assert_eq!(
            Prepare::decode(&encoded(1, &[0; OP_BYTES_MAX + 1])),
            Err(InvalidPrepare::TooLong(OP_BYTES_MAX + 1))
        );
    }
}
