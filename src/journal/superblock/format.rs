//! How does a copy of the superblock look, byte by byte?
//!
//! ```text
//!  byte  0       8         12     16         24           40        44         52       54
//!        ┌───────┬─────────┬──────┬──────────┬────────────┬─────────┬──────────┬────────┐
//!        │ magic │ version │ CRC  │ sequence │ cluster id │ lineage │ lineage  │ server │
//!        │       │         │      │          │            │ counter │ random   │ id     │
//!        └───────┴─────────┴──────┴──────────┴────────────┴─────────┴──────────┴────────┘
//!  byte  54            62            70                                            93
//!        ┌─────────────┬─────────────┬─────────────────────────────────────────────┐
//!        │ incarnation │ incarnation │ member address: 4 or 6, 16 bytes of IP,     │
//!        │ counter     │ random      │ port, scope id (v6)                         │
//!        └─────────────┴─────────────┴─────────────────────────────────────────────┘
//!  byte  93           97         105        113        114                       4096
//!        ┌────────────┬──────────┬──────────┬──────────┬──────────────┬───────────┐
//!        │ generation │ promised │ in force │ bindings │ the bindings │ zeros     │
//!        │            │          │          │ (count)  │              │           │
//!        └────────────┴──────────┴──────────┴──────────┴──────────────┴───────────┘
//!
//!  a binding:  ┌────────────────┬─────────────────┬───────────┐    a member:  ┌─────────────┐
//!              │ view number: 8 │ members (count) │ members … │               │ server: 2   │
//!              └────────────────┴─────────────────┴───────────┘               │ incarnation │
//!                                                                             │ counter: 8, │
//!                                                                             │ random: 8   │
//!                                                                             └─────────────┘
//! ```
//!
//! All numbers are big-endian; a count is one byte. The second copy begins at byte 4096. The CRC
//! (CRC32C) covers all 4096 bytes of its copy but itself. Magic, version, CRC and sequence stay
//! where they are in every later version.
//!
//! Version 1 ended with the member address, and zeros: a server that had nobody to promise to.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

use byteorder::{BigEndian, ByteOrder};

use super::Superblock;
use crate::limits::{BINDINGS_MAX, MEMBERS_MAX};
use crate::types::{
    Binding, ClusterId, Incarnation, Lineage, Member, OpNumber, ServerId, ViewNumber, Vote,
};

/// How long a copy is.
pub(super) const COPY_BYTES: usize = 4096;
/// What is written.
pub(super) const FORMAT_VERSION: u32 = 2;
/// The version that knew of no votes; it is read, too.
const FORMAT_VERSION_1: u32 = 1;

const MAGIC: [u8; 8] = [0xff, b'L', b'W', b's', b'u', b'p', b'b', 0xfe];
/// Bytes 12 to 16 of a copy.
const CHECKSUM: std::ops::Range<usize> = 12..16;
/// Where what version 2 has added begins.
const GENERATION: usize = 93;
/// Where the count of bindings stands.
const BINDINGS: usize = 113;
const MEMBER_BYTES: usize = 18;
const BINDING_BYTES_MAX: usize = 8 + 1 + MEMBERS_MAX * MEMBER_BYTES;

const _: () = assert!(BINDINGS + 1 + BINDINGS_MAX * BINDING_BYTES_MAX <= COPY_BYTES);
const _: () = assert!(BINDINGS_MAX <= u8::MAX as usize);
const _: () = assert!(MEMBERS_MAX <= u8::MAX as usize);

/// A copy whose checksum is right.
#[derive(Clone, Debug)]
pub(super) struct GoodCopy {
    /// 0 or 1: the first or the second of the file.
    pub index: usize,
    /// One more with each write. Both copies have the same when a write has returned.
    pub sequence: u64,
    /// What it says.
    pub superblock: Superblock,
}

/// A copy that says nothing.
#[derive(Debug)]
pub(super) enum BadCopy {
    /// It does not even begin as one does.
    WrongMagic,
    /// Something in it is not as it was written.
    Damaged,
    /// It is whole, and of a version that is not known here.
    Newer { sequence: u64, version: u32 },
}

/// The bytes of a copy, [`COPY_BYTES`] of them.
pub(super) fn encode(superblock: &Superblock, sequence: u64) -> Vec<u8> {
    let mut bytes = vec![0; COPY_BYTES];
    bytes[..8].copy_from_slice(&MAGIC);
    BigEndian::write_u32(&mut bytes[8..], FORMAT_VERSION);
    BigEndian::write_u64(&mut bytes[16..], sequence);
    BigEndian::write_u128(&mut bytes[24..], superblock.cluster.0);
    BigEndian::write_u32(&mut bytes[40..], superblock.lineage.counter);
    BigEndian::write_u64(&mut bytes[44..], superblock.lineage.random);
    BigEndian::write_u16(&mut bytes[52..], superblock.server.0);
    BigEndian::write_u64(&mut bytes[54..], superblock.incarnation.counter);
    BigEndian::write_u64(&mut bytes[62..], superblock.incarnation.random);
    encode_address(&mut bytes[70..GENERATION], superblock.member_address);
    BigEndian::write_u32(&mut bytes[GENERATION..], superblock.generation);
    encode_vote(&mut bytes[GENERATION + 4..], &superblock.vote);
    seal(&mut bytes);
    bytes
}

/// What a copy says. Anything may stand in `bytes`.
pub(super) fn decode(bytes: &[u8], index: usize) -> Result<GoodCopy, BadCopy> {
    if bytes.len() < 8 || bytes[..8] != MAGIC {
        return Err(BadCopy::WrongMagic);
    }
    if bytes.len() < COPY_BYTES || BigEndian::read_u32(&bytes[CHECKSUM]) != checksum(bytes) {
        return Err(BadCopy::Damaged);
    }
    let version = BigEndian::read_u32(&bytes[8..]);
    let sequence = BigEndian::read_u64(&bytes[16..]);
    let (generation, vote) = match version {
        0 => return Err(BadCopy::Damaged),
        FORMAT_VERSION_1 => (0, Vote::default()),
        FORMAT_VERSION => (
            BigEndian::read_u32(&bytes[GENERATION..]),
            decode_vote(&bytes[GENERATION + 4..COPY_BYTES]).ok_or(BadCopy::Damaged)?,
        ),
        _ => return Err(BadCopy::Newer { sequence, version }),
    };
    let superblock = Superblock {
        cluster: ClusterId(BigEndian::read_u128(&bytes[24..])),
        lineage: Lineage {
            counter: BigEndian::read_u32(&bytes[40..]),
            random: BigEndian::read_u64(&bytes[44..]),
        },
        server: ServerId(BigEndian::read_u16(&bytes[52..])),
        incarnation: Incarnation {
            counter: BigEndian::read_u64(&bytes[54..]),
            random: BigEndian::read_u64(&bytes[62..]),
        },
        member_address: decode_address(&bytes[70..GENERATION]).ok_or(BadCopy::Damaged)?,
        vote,
        generation,
    };
    Ok(GoodCopy {
        index,
        sequence,
        superblock,
    })
}

/// Gives a copy the checksum of what it holds.
pub(super) fn seal(copy: &mut [u8]) {
    let checksum = checksum(copy);
    BigEndian::write_u32(&mut copy[CHECKSUM], checksum);
}

fn checksum(copy: &[u8]) -> u32 {
    let before = crc32c::crc32c(&copy[..CHECKSUM.start]);
    crc32c::crc32c_append(before, &copy[CHECKSUM.end..COPY_BYTES])
}

fn encode_address(bytes: &mut [u8], address: SocketAddr) {
    match address {
        SocketAddr::V4(address) => {
            bytes[0] = 4;
            bytes[1..5].copy_from_slice(&address.ip().octets());
        }
        SocketAddr::V6(address) => {
            bytes[0] = 6;
            bytes[1..17].copy_from_slice(&address.ip().octets());
            BigEndian::write_u32(&mut bytes[19..], address.scope_id());
        }
    }
    BigEndian::write_u16(&mut bytes[17..], address.port());
}

fn decode_address(bytes: &[u8]) -> Option<SocketAddr> {
    let port = BigEndian::read_u16(&bytes[17..]);
    match bytes[0] {
        4 => {
            let ip = Ipv4Addr::from(BigEndian::read_u32(&bytes[1..]));
            Some(SocketAddr::new(IpAddr::V4(ip), port))
        }
        6 => {
            let ip = Ipv6Addr::from(BigEndian::read_u128(&bytes[1..]));
            let scope_id = BigEndian::read_u32(&bytes[19..]);
            Some(SocketAddr::V6(SocketAddrV6::new(ip, port, 0, scope_id)))
        }
        _ => None,
    }
}

fn encode_vote(bytes: &mut [u8], vote: &Vote) {
    assert!(
        vote.bindings.len() <= BINDINGS_MAX,
        "{} bindings",
        vote.bindings.len()
    );
    BigEndian::write_u64(bytes, vote.promised.0);
    BigEndian::write_u64(&mut bytes[8..], vote.in_force.0);
    bytes[16] = vote.bindings.len() as u8;
    let mut at = 17;
    for binding in &vote.bindings {
        let members = &binding.members;
        assert!(members.len() <= MEMBERS_MAX, "{} members", members.len());
        BigEndian::write_u64(&mut bytes[at..], binding.number.0);
        bytes[at + 8] = members.len() as u8;
        at += 9;
        for member in members {
            BigEndian::write_u16(&mut bytes[at..], member.server.0);
            BigEndian::write_u64(&mut bytes[at + 2..], member.incarnation.counter);
            BigEndian::write_u64(&mut bytes[at + 10..], member.incarnation.random);
            at += MEMBER_BYTES;
        }
    }
}

/// `None` if there is more than there can be: then the space behind would not suffice, either.
fn decode_vote(bytes: &[u8]) -> Option<Vote> {
    let count = usize::from(bytes[16]);
    if count > BINDINGS_MAX {
        return None;
    }
    let mut bindings = Vec::with_capacity(count);
    let mut at = 17;
    for _ in 0..count {
        let number = ViewNumber(BigEndian::read_u64(&bytes[at..]));
        let members = usize::from(bytes[at + 8]);
        if members > MEMBERS_MAX {
            return None;
        }
        at += 9;
        let end = at + members * MEMBER_BYTES;
        let members = bytes[at..end].chunks_exact(MEMBER_BYTES);
        bindings.push(Binding {
            number,
            members: members.map(decode_member).collect(),
        });
        at = end;
    }
    Some(Vote {
        promised: ViewNumber(BigEndian::read_u64(bytes)),
        bindings,
        in_force: OpNumber(BigEndian::read_u64(&bytes[8..])),
        ..Vote::default()
    })
}

fn decode_member(bytes: &[u8]) -> Member {
    Member {
        server: ServerId(BigEndian::read_u16(bytes)),
        incarnation: Incarnation {
            counter: BigEndian::read_u64(&bytes[2..]),
            random: BigEndian::read_u64(&bytes[10..]),
        },
    }
}
