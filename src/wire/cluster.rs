//! How are servers and their views written, wherever they stand?
//!
//! Ops keep them in journals for years, and messages carry them between servers: one layout for
//! both. Only a view's members are divided otherwise: those of the View op go to the end of its
//! body, and elsewhere their number stands before them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

use crate::types::{Incarnation, Lineage, Member, ServerId, View, ViewNumber};

use super::fields::{InvalidField, Reader, put_u8, put_u16, put_u32, put_u64};

/// A member of a view: its id, and the counter and the random bits of its incarnation.
pub(super) const MEMBER_BYTES: usize = 2 + 8 + 8;

/// Writes a lineage.
pub(super) fn put_lineage(out: &mut Vec<u8>, lineage: Lineage) {
    put_u32(out, lineage.counter);
    put_u64(out, lineage.random);
}

/// Reads a lineage.
pub(super) fn read_lineage(fields: &mut Reader<'_>) -> Result<Lineage, InvalidField> {
    Ok(Lineage {
        counter: fields.u32()?,
        random: fields.u64()?,
    })
}

/// Writes which process of a server.
pub(super) fn put_incarnation(out: &mut Vec<u8>, incarnation: Incarnation) {
    put_u64(out, incarnation.counter);
    put_u64(out, incarnation.random);
}

/// Reads which process of a server.
pub(super) fn read_incarnation(fields: &mut Reader<'_>) -> Result<Incarnation, InvalidField> {
    Ok(Incarnation {
        counter: fields.u64()?,
        random: fields.u64()?,
    })
}

/// Writes a process.
pub(super) fn put_member(out: &mut Vec<u8>, member: Member) {
    put_u16(out, member.server.0);
    put_incarnation(out, member.incarnation);
}

/// Reads a process.
pub(super) fn read_member(fields: &mut Reader<'_>) -> Result<Member, InvalidField> {
    Ok(Member {
        server: ServerId(fields.u16()?),
        incarnation: read_incarnation(fields)?,
    })
}

/// Writes what stands in a view before its members.
pub(super) fn put_view_head(out: &mut Vec<u8>, view: &View) {
    put_u64(out, view.number.0);
    put_lineage(out, view.lineage);
    put_u16(out, view.primary.0);
}

/// Reads a view, its members with `read_members`, and looks at whether it can be one.
pub(super) fn read_view_with<'a>(
    fields: &mut Reader<'a>,
    read_members: impl FnOnce(&mut Reader<'a>) -> Result<Vec<Member>, InvalidField>,
) -> Result<View, InvalidField> {
    let view = View {
        number: ViewNumber(fields.u64()?),
        lineage: read_lineage(fields)?,
        primary: ServerId(fields.u16()?),
        members: read_members(fields)?,
    };
    if !are_in_order(&view.members) || view.member(view.primary).is_none() {
        return Err(InvalidField::OutOfRange(
            "a view's members stand in the order of their ids, the primary among them",
        ));
    }
    Ok(view)
}

/// Whether members stand in the order of their ids, no server twice.
pub(super) fn are_in_order(members: &[Member]) -> bool {
    members.is_sorted_by(|a, b| a.server < b.server)
}

/// Writes an address.
pub(super) fn put_address(out: &mut Vec<u8>, address: SocketAddr) {
    match address {
        SocketAddr::V4(address) => {
            put_u8(out, 4);
            out.extend_from_slice(&address.ip().octets());
            put_u16(out, address.port());
        }
        SocketAddr::V6(address) => {
            put_u8(out, 6);
            out.extend_from_slice(&address.ip().octets());
            put_u16(out, address.port());
            put_u32(out, address.flowinfo());
            put_u32(out, address.scope_id());
        }
    }
}

/// Reads an address.
pub(super) fn read_address(fields: &mut Reader<'_>) -> Result<SocketAddr, InvalidField> {
    match fields.u8()? {
        4 => {
            let ip = Ipv4Addr::from(fields.array::<4>()?);
            Ok(SocketAddr::new(IpAddr::V4(ip), fields.u16()?))
        }
        6 => {
            let ip = Ipv6Addr::from(fields.array::<16>()?);
            let port = fields.u16()?;
            let flow = fields.u32()?;
            Ok(SocketAddrV6::new(ip, port, flow, fields.u32()?).into())
        }
        _ => Err(InvalidField::OutOfRange("an address is of version 4 or 6")),
    }
}
