//! How does an op stand in a segment?
//!
//! ```text
//!  byte  0      4            8           12        16           24            32        32+length
//!        ┌──────┬────────────┬───────────┬─────────┬────────────┬─────────────┬──────────┬───────┐
//!        │magic │ header CRC │ body CRC  │ length  │ op number  │ synced      │ body     │ zeros │
//!        └──────┴────────────┴───────────┴─────────┴────────────┴─────────────┴──────────┴───────┘
//!                            ├────────── the header CRC covers ──────────────┤├─ the body CRC ───┤
//! ```
//!
//! All numbers are big-endian; checksums are CRC32C; a record begins at a multiple of 8, and zeros
//! fill it up to the next. The body is a Prepare as it came over the wire, which means nothing
//! here. `synced` is the highest op that this journal knew to be synced when it took this one: by
//! it, recovery tells damage from a torn end.
//!
//! The magic begins with 0xff, which no UTF-8 text holds, and the header CRC begins with the
//! segment's nonce, which nobody outside knows. So neither what a user wrote nor what stood on the
//! disk before is ever taken for a record. (Not even where a file was another segment's, whose records
//! may have any of the 2^32 checksums: there, all that stood before has lower op numbers, and a record
//! counts only if it is the op that has to come next, or one behind it.)

use byteorder::{BigEndian, ByteOrder};

use crate::limits::OP_BYTES_MAX;
use crate::types::OpNumber;

/// Records begin at multiples of this.
pub(super) const ALIGNMENT: u64 = 8;
/// What stands before a body.
pub(super) const HEADER_BYTES: usize = 32;
/// Longest body: the longest op, and room for what a Prepare puts around it. The journal does not
/// take a longer one, and a length beyond it is no record.
pub(super) const BODY_BYTES_MAX: usize = OP_BYTES_MAX + 1024;
/// Longest record.
pub(super) const RECORD_BYTES_MAX: usize = record_bytes(BODY_BYTES_MAX);

const MAGIC: [u8; 4] = [0xff, b'L', b'W', 0xfe];

/// What stands before a body, once its checksum was found right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    /// The op's number.
    pub op: OpNumber,
    /// The highest op that was synced when this one was appended; lower than `op`.
    pub synced: OpNumber,
    /// The body's length; at most [`BODY_BYTES_MAX`].
    pub body_bytes: usize,
    /// Checksum of the body and the zeros behind it.
    body_checksum: u32,
}

/// How long a record is, with what fills it up.
pub(super) const fn record_bytes(body_bytes: usize) -> usize {
    (HEADER_BYTES + body_bytes).next_multiple_of(ALIGNMENT as usize)
}

/// Appends a record to a buffer.
pub(super) fn encode(
    buffer: &mut Vec<u8>,
    nonce: u64,
    op: OpNumber,
    synced: OpNumber,
    body: &[u8],
) {
    let start = buffer.len();
    buffer.extend_from_slice(&[0; HEADER_BYTES]);
    buffer.extend_from_slice(body);
    buffer.resize(start + record_bytes(body.len()), 0);
    let (header, padded_body) = buffer[start..].split_at_mut(HEADER_BYTES);
    header[..4].copy_from_slice(&MAGIC);
    BigEndian::write_u32(&mut header[8..], crc32c::crc32c(padded_body));
    BigEndian::write_u32(&mut header[12..], body.len() as u32);
    BigEndian::write_u64(&mut header[16..], op.0);
    BigEndian::write_u64(&mut header[24..], synced.0);
    let checksum = header_checksum(header, nonce);
    BigEndian::write_u32(&mut header[4..], checksum);
}

impl Header {
    /// The header at the beginning of `bytes`, if there is one that was written for this nonce.
    pub fn decode(bytes: &[u8], nonce: u64) -> Option<Self> {
        let bytes = bytes.get(..HEADER_BYTES)?;
        if bytes[..4] != MAGIC || BigEndian::read_u32(&bytes[4..]) != header_checksum(bytes, nonce)
        {
            return None;
        }
        let header = Self {
            op: OpNumber(BigEndian::read_u64(&bytes[16..])),
            synced: OpNumber(BigEndian::read_u64(&bytes[24..])),
            body_bytes: BigEndian::read_u32(&bytes[12..]) as usize,
            body_checksum: BigEndian::read_u32(&bytes[8..]),
        };
        (header.synced < header.op && header.body_bytes <= BODY_BYTES_MAX).then_some(header)
    }

    /// How long the whole record is.
    pub fn record_bytes(&self) -> usize {
        record_bytes(self.body_bytes)
    }

    /// The body, if all of `record` is there and is what the header was written for.
    pub fn body<'a>(&self, record: &'a [u8]) -> Option<&'a [u8]> {
        let padded_body = record.get(HEADER_BYTES..self.record_bytes())?;
        (crc32c::crc32c(padded_body) == self.body_checksum).then(|| &padded_body[..self.body_bytes])
    }
}

fn header_checksum(header: &[u8], nonce: u64) -> u32 {
    let checksum = crc32c::crc32c(&nonce.to_be_bytes());
    crc32c::crc32c_append(checksum, &header[8..HEADER_BYTES])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(body: &[u8]) -> Vec<u8> {
        let mut buffer = Vec::new();
        encode(&mut buffer, 7, OpNumber(3), OpNumber(2), body);
        buffer
    }

    #[test]
    fn a_record_comes_back_as_it_was() {
        for length in [0, 1, 7, 8, 9, BODY_BYTES_MAX] {
            let body: Vec<u8> = (0..length).map(|it| it as u8).collect();
            let bytes = record(&body);
            assert_eq!(bytes.len() as u64 % ALIGNMENT, 0);
            assert!(bytes.len() <= RECORD_BYTES_MAX);
            let header = Header::decode(&bytes, 7).unwrap();
            assert_eq!((header.op, header.synced), (OpNumber(3), OpNumber(2)));
            assert_eq!(header.record_bytes(), bytes.len());
            assert_eq!(header.body(&bytes).unwrap(), body);
        }
    }

    #[test]
    fn every_flipped_bit_is_noticed_even_in_what_fills_up() {
        let good = record(b"hello");
        for bit in 0..good.len() * 8 {
            let mut bytes = good.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            let body = Header::decode(&bytes, 7).and_then(|it| it.body(&bytes).map(<[u8]>::len));
            assert_eq!(body, None, "bit {bit}");
        }
    }

    #[test]
    fn a_record_of_another_segment_or_half_of_one_is_none() {
        let bytes = record(b"hello");
        assert_eq!(Header::decode(&bytes, 8), None);
        assert_eq!(Header::decode(&bytes[..HEADER_BYTES - 1], 7), None);
        let header = Header::decode(&bytes, 7).unwrap();
        assert_eq!(header.body(&bytes[..bytes.len() - 1]), None);
    }

    #[test]
    fn the_magic_is_never_part_of_a_text() {
        assert!(std::str::from_utf8(&MAGIC[..1]).is_err());
    }
}
