//! The byte layout of one copy of the superblock.
//!
//! ```text
//!  byte  0       8         12     16         24       28                  4096
//!        ┌───────┬─────────┬──────┬──────────┬────────┬──────┬───────────┐
//!        │ magic │ version │ CRC  │ sequence │ length │ body │ zeros     │
//!        └───────┴─────────┴──────┴──────────┴────────┴──────┴───────────┘
//!
//!  the body, of `length` bytes, one field after the other:
//!        ┌────────────┬─────────┬─────────┬────────┬─────────────┬─────────────┐
//!        │ cluster id │ lineage │ lineage │ server │ incarnation │ incarnation │
//!        │ 16         │ count 4 │ rand. 8 │ id 2   │ counter 8   │ random 8    │
//!        ├────────────┴─────────┴─────────┼────────┴───┬─────────┴┬────────────┤
//!        │ member address: 4 or 6, 16 of  │ generation │ promised │ in force   │
//!        │ IP, port 2, scope id (v6) 4    │ 4          │ 8        │ 8          │
//!        ├──────────────────┬─────────────┴┬───────────┴──────────┴────────────┘
//!        │ bindings (count) │ the bindings │
//!        ├─────────┬────────┴─────┬────────┴───────┬─────────────┐
//!        │ stood 8 │ ordered?     │ descent        │ descent:    │
//!        │         │ lineage 12   │ (count)        │ 16 each     │
//!        ├─────────┴─────────┬────┴────────────────┴─────────────┘
//!        │ folder mark? 8, 8 │
//!        └───────────────────┘
//!
//!  a binding:  ┌────────────────┬─────────────────┬───────────┐    a member:  ┌─────────────┐
//!              │ view number: 8 │ members (count) │ members … │               │ server: 2   │
//!              └────────────────┴─────────────────┴───────────┘               │ incarnation │
//!                                                                             │ counter: 8, │
//!                                                                             │ random: 8   │
//!                                                                             └─────────────┘
//! ```
//!
//! All numbers are big-endian; a count is one byte. The CRC (CRC32C) covers all 4096 bytes of its
//! copy but itself. Magic, version, CRC and sequence stay where they are in every later version,
//! so that an older program names the version instead of calling the file damaged.
//!
//! Versions 1 and 2 had no length: the same body began at byte 24, with zeros after its last
//! field, the bindings. Version 1 ended with the member address. A file of theirs held two copies.
//! Where a field may be missing ("?"), a byte of 0 or 1 before it says so.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

use byteorder::{BigEndian, ByteOrder};

use super::{FolderMark, Superblock};
use crate::limits::{BINDINGS_MAX, DESCENT_MAX, MEMBERS_MAX};
use crate::types::{
    Binding, ClusterId, Incarnation, Lineage, Member, OpNumber, ServerId, ViewNumber, Vote,
};
use crate::wire::fields::{InvalidField, Reader, put_u8, put_u16, put_u32, put_u64, put_u128};

/// The length of a copy.
pub(super) const COPY_BYTES: usize = 4096;
/// The version that is written.
pub(super) const FORMAT_VERSION: u32 = 3;
/// The last version whose file held two copies, with a body of no stated length.
pub(super) const FORMAT_VERSION_2: u32 = 2;
const FORMAT_VERSION_1: u32 = 1;

const MAGIC: [u8; 8] = [0xff, b'L', b'W', b's', b'u', b'p', b'b', 0xfe];
/// Bytes 12 to 16 of a copy.
const CHECKSUM: std::ops::Range<usize> = 12..16;
/// Where the body's length stands; in versions 1 and 2 the body begins here.
const LENGTH: usize = 24;
const BODY: usize = LENGTH + 4;
/// The longest body.
const BODY_BYTES_MAX: usize = COPY_BYTES - BODY;

/// Everything but the bindings and the descent.
const FIXED_BYTES: usize =
    16 + 12 + 2 + 16 + ADDRESS_BYTES + 4 + 8 + 8 + 1 + 8 + (1 + 12) + 1 + (1 + 16);
const ADDRESS_BYTES: usize = 1 + 16 + 2 + 4;
const INCARNATION_BYTES: usize = 16;
const MEMBER_BYTES: usize = 2 + INCARNATION_BYTES;
const BINDING_BYTES_MAX: usize = 8 + 1 + MEMBERS_MAX * MEMBER_BYTES;

const _: () = assert!(
    FIXED_BYTES + BINDINGS_MAX * BINDING_BYTES_MAX + DESCENT_MAX * INCARNATION_BYTES
        <= BODY_BYTES_MAX
);
const _: () = assert!(DESCENT_MAX <= u8::MAX as usize);
const _: () = assert!(BINDINGS_MAX <= u8::MAX as usize);
const _: () = assert!(MEMBERS_MAX <= u8::MAX as usize);

/// A copy whose checksum is right.
#[derive(Clone, Debug)]
pub(super) struct GoodCopy {
    /// The copy's place in the file, from 0.
    pub index: usize,
    /// The version of its format.
    pub version: u32,
    /// One more with each write; all copies of one write have the same.
    pub sequence: u64,
    /// What it says.
    pub superblock: Superblock,
}

/// A copy that says nothing.
#[derive(Debug)]
pub(super) enum BadCopy {
    /// Nothing was written there yet: it begins with zeros, or the file ends before it.
    Blank,
    /// It begins with something else.
    WrongMagic,
    /// Something in it is not as it was written.
    Damaged,
    /// It is whole, and of a version that is not known here.
    Newer { sequence: u64, version: u32 },
}

/// The bytes of a copy, [`COPY_BYTES`] of them.
///
/// # Panics
/// If the vote has more bindings, or a binding more members, than there can be.
pub(super) fn encode(superblock: &Superblock, sequence: u64) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(COPY_BYTES);
    bytes.extend(MAGIC);
    put_u32(&mut bytes, FORMAT_VERSION);
    put_u32(&mut bytes, 0); // The checksum comes last.
    put_u64(&mut bytes, sequence);
    put_u32(&mut bytes, 0); // And the length once it is known.
    put_body(&mut bytes, superblock);
    let length = bytes.len() - BODY;
    assert!(length <= BODY_BYTES_MAX, "a body of {length} bytes");
    BigEndian::write_u32(&mut bytes[LENGTH..], length as u32);
    bytes.resize(COPY_BYTES, 0);
    seal(&mut bytes);
    bytes
}

/// What a copy says. Anything may stand in `bytes`.
pub(super) fn decode(bytes: &[u8], index: usize) -> Result<GoodCopy, BadCopy> {
    if bytes.iter().take(MAGIC.len()).all(|byte| *byte == 0) {
        return Err(BadCopy::Blank);
    }
    if !bytes.starts_with(&MAGIC) {
        return Err(BadCopy::WrongMagic);
    }
    if bytes.len() < COPY_BYTES || BigEndian::read_u32(&bytes[CHECKSUM]) != checksum(bytes) {
        return Err(BadCopy::Damaged);
    }
    let version = BigEndian::read_u32(&bytes[8..]);
    let sequence = BigEndian::read_u64(&bytes[16..]);
    let superblock = match version {
        0 => return Err(BadCopy::Damaged),
        FORMAT_VERSION_1 | FORMAT_VERSION_2 => {
            // Version 1 goes on with zeros: generation 0, and no promise.
            read_body(&mut Reader::new(&bytes[LENGTH..COPY_BYTES])).map(with_history_assumed)
        }
        FORMAT_VERSION => read_sized_body(&bytes[LENGTH..COPY_BYTES]),
        _ => return Err(BadCopy::Newer { sequence, version }),
    };
    Ok(GoodCopy {
        index,
        version,
        sequence,
        superblock: superblock.map_err(|_| BadCopy::Damaged)?,
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

fn put_body(out: &mut Vec<u8>, superblock: &Superblock) {
    put_u128(out, superblock.cluster.0);
    put_u32(out, superblock.lineage.counter);
    put_u64(out, superblock.lineage.random);
    put_u16(out, superblock.server.0);
    put_incarnation(out, superblock.incarnation);
    put_address(out, superblock.member_address);
    put_u32(out, superblock.generation);
    put_vote(out, &superblock.vote);
    put_history(out, &superblock.vote);
    put_u8(out, u8::from(superblock.folder.is_some()));
    if let Some(mark) = superblock.folder {
        put_u64(out, mark.directory);
        put_u64(out, mark.file);
    }
}

/// The body of a copy that says how long it is: nothing may stand after its last field.
fn read_sized_body(bytes: &[u8]) -> Result<Superblock, InvalidField> {
    let mut reader = Reader::new(bytes);
    let length = reader.u32()? as usize;
    let mut body = Reader::new(reader.bytes(length)?);
    let mut superblock = read_body(&mut body)?;
    read_history(&mut body, &mut superblock.vote)?;
    if body.flag()? {
        superblock.folder = Some(FolderMark {
            directory: body.u64()?,
            file: body.u64()?,
        });
    }
    body.finish()?;
    Ok(superblock)
}

/// What an earlier version did not write down: the newest process has acknowledged what there is,
/// and may have been a member of the newest view that it promised.
fn with_history_assumed(mut superblock: Superblock) -> Superblock {
    superblock.vote.stood = superblock.vote.promised;
    superblock.vote.descent = vec![superblock.incarnation];
    superblock
}

fn read_body(reader: &mut Reader<'_>) -> Result<Superblock, InvalidField> {
    let cluster = ClusterId(reader.u128()?);
    let lineage = Lineage {
        counter: reader.u32()?,
        random: reader.u64()?,
    };
    Ok(Superblock {
        cluster,
        lineage,
        server: ServerId(reader.u16()?),
        incarnation: read_incarnation(reader)?,
        member_address: read_address(reader)?,
        generation: reader.u32()?,
        vote: read_vote(reader)?,
        folder: None,
    })
}

fn put_incarnation(out: &mut Vec<u8>, incarnation: Incarnation) {
    put_u64(out, incarnation.counter);
    put_u64(out, incarnation.random);
}

fn read_incarnation(reader: &mut Reader<'_>) -> Result<Incarnation, InvalidField> {
    Ok(Incarnation {
        counter: reader.u64()?,
        random: reader.u64()?,
    })
}

fn put_address(out: &mut Vec<u8>, address: SocketAddr) {
    let mut ip = [0; 16];
    let (kind, scope_id) = match address {
        SocketAddr::V4(address) => {
            ip[..4].copy_from_slice(&address.ip().octets());
            (4, 0)
        }
        SocketAddr::V6(address) => {
            ip = address.ip().octets();
            (6, address.scope_id())
        }
    };
    put_u8(out, kind);
    out.extend(ip);
    put_u16(out, address.port());
    put_u32(out, scope_id);
}

fn read_address(reader: &mut Reader<'_>) -> Result<SocketAddr, InvalidField> {
    let kind = reader.u8()?;
    let ip: [u8; 16] = reader.array()?;
    let port = reader.u16()?;
    let scope_id = reader.u32()?;
    match kind {
        4 => {
            let ip = Ipv4Addr::new(ip[0], ip[1], ip[2], ip[3]);
            Ok(SocketAddr::new(IpAddr::V4(ip), port))
        }
        6 => {
            let ip = Ipv6Addr::from(ip);
            Ok(SocketAddr::V6(SocketAddrV6::new(ip, port, 0, scope_id)))
        }
        _ => Err(InvalidField::OutOfRange("an address is of IP 4 or 6")),
    }
}

fn put_vote(out: &mut Vec<u8>, vote: &Vote) {
    let bindings = vote.bindings.len();
    assert!(bindings <= BINDINGS_MAX, "{bindings} bindings");
    put_u64(out, vote.promised.0);
    put_u64(out, vote.in_force.0);
    put_u8(out, bindings as u8);
    for binding in &vote.bindings {
        let members = binding.members.len();
        assert!(members <= MEMBERS_MAX, "{members} members");
        put_u64(out, binding.number.0);
        put_u8(out, members as u8);
        for member in &binding.members {
            put_u16(out, member.server.0);
            put_incarnation(out, member.incarnation);
        }
    }
}

fn put_history(out: &mut Vec<u8>, vote: &Vote) {
    let descent = vote.descent.len();
    assert!(descent <= DESCENT_MAX, "{descent} processes");
    put_u64(out, vote.stood.0);
    put_u8(out, u8::from(vote.ordered.is_some()));
    if let Some(lineage) = vote.ordered {
        put_u32(out, lineage.counter);
        put_u64(out, lineage.random);
    }
    put_u8(out, descent as u8);
    for incarnation in &vote.descent {
        put_incarnation(out, *incarnation);
    }
}

fn read_history(reader: &mut Reader<'_>, vote: &mut Vote) -> Result<(), InvalidField> {
    vote.stood = ViewNumber(reader.u64()?);
    if reader.flag()? {
        vote.ordered = Some(Lineage {
            counter: reader.u32()?,
            random: reader.u64()?,
        });
    }
    let descent = read_count(reader, DESCENT_MAX)?;
    vote.descent = (0..descent)
        .map(|_| read_incarnation(reader))
        .collect::<Result<_, _>>()?;
    Ok(())
}

fn read_vote(reader: &mut Reader<'_>) -> Result<Vote, InvalidField> {
    let promised = ViewNumber(reader.u64()?);
    let in_force = OpNumber(reader.u64()?);
    let bindings = read_count(reader, BINDINGS_MAX)?;
    let bindings = (0..bindings)
        .map(|_| read_binding(reader))
        .collect::<Result<_, _>>()?;
    Ok(Vote {
        promised,
        bindings,
        in_force,
        ..Vote::default()
    })
}

fn read_binding(reader: &mut Reader<'_>) -> Result<Binding, InvalidField> {
    let number = ViewNumber(reader.u64()?);
    let members = read_count(reader, MEMBERS_MAX)?;
    let members = (0..members)
        .map(|_| read_member(reader))
        .collect::<Result<_, _>>()?;
    Ok(Binding { number, members })
}

fn read_member(reader: &mut Reader<'_>) -> Result<Member, InvalidField> {
    Ok(Member {
        server: ServerId(reader.u16()?),
        incarnation: read_incarnation(reader)?,
    })
}

fn read_count(reader: &mut Reader<'_>, most: usize) -> Result<usize, InvalidField> {
    let count = usize::from(reader.u8()?);
    match count <= most {
        true => Ok(count),
        false => Err(InvalidField::OutOfRange("more than there can be")),
    }
}
