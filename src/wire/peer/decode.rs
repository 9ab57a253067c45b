//! What a server reads from another.
//!
//! Another server is one of us, but its memory or its disk may be damaged, and a port may belong
//! to somebody else by now: what cannot be right breaks the link here, before it gets into a
//! journal. Above all, an op that no server could apply would stop all of them for ever.

use bytes::Bytes;

use crate::limits::{
    DESCENT_MAX, GOSSIPED_DESCENT_MAX, MEMBERS_MAX, PEER_FRAME_BODY_BYTES_MAX, SERVERS_MAX,
    SNAPSHOT_PART_BYTES, VIEWS_REMEMBERED_MAX,
};
use crate::types::{
    ErrorCode, LogPosition, OpNumber, ServerId, ServerRecord, Time, Timestamp, TrustRefused, View,
    ViewMark, ViewNumber,
};

use super::super::cluster::{
    are_in_order, read_address, read_incarnation, read_lineage, read_member, read_view_with,
};
use super::super::decoded::Decoded;
use super::super::fields::{InvalidField, Reader};
use super::super::frame::{Frame, Kind, decode_frame};
use super::super::message::Refusal;
use super::super::operation::decode_op;
use super::super::prepare::Entry;
use super::super::reply::read_refusal;
use super::{
    Lead, LogState, PROCESSES_MAX, PeerMessage, Ping, Prepares, Proposal, Report, Rumour,
    SnapshotPart, Standing,
};

/// Finds the first message in `bytes`, behind the hello. A kind between servers that only newer
/// ones understand is nothing; what is no message between servers breaks the link, and so does a
/// refusal by the other side, with its sentence.
pub fn decode_peer(bytes: &[u8]) -> Decoded<PeerMessage> {
    decode_frame(bytes, PEER_FRAME_BODY_BYTES_MAX).and_then_if_known(|frame| read_frame(&frame))
}

/// `None` for what may be skipped.
fn read_frame(frame: &Frame<'_>) -> Result<Option<PeerMessage>, Refusal> {
    let Kind(number) = frame.kind;
    let mut fields = Reader::new(frame.body);
    if frame.kind == Kind::REFUSED {
        return Err(read_refusal(fields)?);
    }
    if !frame.kind.is_between_servers() {
        return Err(refused(format!(
            "a frame of the kind {number:04x} on a link between servers"
        )));
    }
    let message = read_message(frame.kind, &mut fields).and_then(|message| {
        if message.is_some() {
            fields.finish()?;
        }
        Ok(message)
    });
    // It goes into a log, where nobody knows what the other server was about to say.
    message.map_err(|refusal| {
        let sentence = format!("in a frame of the kind {number:04x}: {}", refusal.sentence);
        Refusal::new(refusal.code, sentence)
    })
}

/// `None` for an unknown kind.
fn read_message(kind: Kind, fields: &mut Reader<'_>) -> Result<Option<PeerMessage>, Refusal> {
    Ok(Some(match kind {
        Kind::PEER_PING => PeerMessage::Ping(read_ping(fields)?),
        Kind::PEER_PONG => PeerMessage::Pong {
            sent_at: Time(fields.u64()?),
        },
        Kind::PREPARE => PeerMessage::Prepare(read_prepares(fields)?),
        Kind::PREPARE_OK => PeerMessage::PrepareOk {
            view: ViewNumber(fields.u64()?),
            op: OpNumber(fields.u64()?),
        },
        Kind::PROPOSE => PeerMessage::Propose(read_proposal(fields)?),
        Kind::PROMISE => PeerMessage::Promise {
            number: ViewNumber(fields.u64()?),
            voter: read_member(fields)?,
        },
        Kind::VETO => PeerMessage::Veto {
            number: ViewNumber(fields.u64()?),
            voter: read_member(fields)?,
            alive: read_server(fields)?,
        },
        Kind::OVERRULED => PeerMessage::Overruled {
            number: ViewNumber(fields.u64()?),
            voter: read_member(fields)?,
            promised: ViewNumber(fields.u64()?),
        },
        Kind::LEAD => PeerMessage::Lead(read_lead(fields)?),
        Kind::LOG_STATE => PeerMessage::LogState(read_log_state(fields)?),
        Kind::STANDING => PeerMessage::Standing(Standing {
            views: read_views(fields)?,
            report: read_report(fields)?,
            descent: read_list(fields, DESCENT_MAX, read_incarnation)?,
        }),
        Kind::WELCOME => PeerMessage::Welcome {
            server: read_server(fields)?,
            lineage: read_lineage(fields)?,
        },
        Kind::LEAVE => PeerMessage::Leave,
        Kind::ADDRESSES => {
            PeerMessage::Addresses(read_list(fields, SERVERS_MAX, read_server_record)?)
        }
        Kind::SNAPSHOT => PeerMessage::Snapshot(read_snapshot_part(fields)?),
        Kind::SNAPSHOT_OK => PeerMessage::SnapshotOk {
            applied: OpNumber(fields.u64()?),
            bytes: fields.u64()?,
        },
        _ => return Ok(None),
    }))
}

fn read_ping(fields: &mut Reader<'_>) -> Result<Ping, InvalidField> {
    Ok(Ping {
        sent_at: Time(fields.u64()?),
        wall_clock: Timestamp(fields.u64()?),
        report: read_report(fields)?,
        fresh: read_list(fields, SERVERS_MAX, read_member)?,
        rumours: read_list(fields, SERVERS_MAX, read_rumour)?,
    })
}

fn read_report(fields: &mut Reader<'_>) -> Result<Report, InvalidField> {
    Ok(Report {
        promised: ViewNumber(fields.u64()?),
        newest: ViewNumber(fields.u64()?),
        intact: fields.flag()?,
        leads: fields.flag()?,
        last: read_position(fields)?,
        commit: OpNumber(fields.u64()?),
        in_force: OpNumber(fields.u64()?),
        damaged: fields.flag()?,
        stood: ViewNumber(fields.u64()?),
        grace_ms: fields.u32()?,
        trust_refused: read_trust(fields)?,
        disk_ms: fields.u16()?,
        store_damaged: fields.flag()?,
        ordered: fields.flag()?,
    })
}

fn read_rumour(fields: &mut Reader<'_>) -> Result<Rumour, InvalidField> {
    Ok(Rumour {
        member: read_member(fields)?,
        promised: ViewNumber(fields.u64()?),
        newest: ViewNumber(fields.u64()?),
        descent: read_list(fields, GOSSIPED_DESCENT_MAX, read_incarnation)?,
    })
}

fn read_prepares(fields: &mut Reader<'_>) -> Result<Prepares, Refusal> {
    let view = ViewNumber(fields.u64()?);
    let after = read_position(fields)?;
    let commit = OpNumber(fields.u64()?);
    let mut entries = Vec::new();
    let mut last = after;
    // One allocation for all of them.
    let all = Bytes::copy_from_slice(fields.rest());
    let mut fields = Reader::new(&all);
    while fields.remaining() > 0 {
        let length = usize::try_from(fields.u32()?).unwrap_or(usize::MAX);
        let entry = read_entry(all.slice_ref(fields.bytes(length)?), last)?;
        last = entry.position;
        entries.push(entry);
    }
    if last.view > view {
        return Err(refused(format!(
            "op {} is of a higher view than the primary that sends it",
            last.op
        )));
    }
    Ok(Prepares {
        view,
        after,
        commit,
        entries,
    })
}

/// The op behind `last`. Its payload is read to see that it can be, and kept as it came.
fn read_entry(bytes: Bytes, last: LogPosition) -> Result<Entry, Refusal> {
    let entry = Entry::decode(bytes).map_err(|invalid| refused(invalid.to_string()))?;
    let op = entry.op();
    if last.op.0.checked_add(1) != Some(op.0) {
        return Err(refused(format!("op {op} stands behind op {}", last.op)));
    }
    if entry.position.view < last.view {
        return Err(refused(format!(
            "op {op} is of a lower view than the op before it"
        )));
    }
    match decode_op(entry.payload()) {
        Ok(_) => Ok(entry),
        Err(invalid) => Err(refused(format!("op {op} cannot be read: {invalid}"))),
    }
}

fn read_proposal(fields: &mut Reader<'_>) -> Result<Proposal, InvalidField> {
    let proposal = Proposal {
        number: ViewNumber(fields.u64()?),
        lineage: read_lineage(fields)?,
        candidate: read_member(fields)?,
        members: read_list(fields, MEMBERS_MAX, read_member)?,
        standing: read_views(fields)?,
        silent: read_list(fields, PROCESSES_MAX, read_member)?,
        dead: read_list(fields, PROCESSES_MAX, read_member)?,
        promised: read_list(fields, PROCESSES_MAX, read_member)?,
        unreached: read_list(fields, SERVERS_MAX, read_server)?,
        cold: fields.flag()?,
        last: read_position(fields)?,
    };
    let is_view = are_in_order(&proposal.members) && proposal.members.contains(&proposal.candidate);
    if !is_view || proposal.number.candidate() != proposal.candidate.server {
        return Err(InvalidField::OutOfRange(
            "a proposal's number names its candidate, which is one of its members in the order of their ids",
        ));
    }
    if proposal.standing.is_empty() {
        return Err(InvalidField::OutOfRange(
            "a proposal's candidate stands in a view",
        ));
    }
    Ok(proposal)
}

fn read_lead(fields: &mut Reader<'_>) -> Result<Lead, InvalidField> {
    Ok(Lead {
        view: read_view(fields)?,
        in_force: fields.flag()?,
        servers: read_list(fields, SERVERS_MAX, read_server_record)?,
    })
}

fn read_log_state(fields: &mut Reader<'_>) -> Result<LogState, InvalidField> {
    let state = LogState {
        view: ViewNumber(fields.u64()?),
        last: read_position(fields)?,
        applied: OpNumber(fields.u64()?),
        views: read_list(fields, VIEWS_REMEMBERED_MAX, read_view_mark)?,
    };
    let rises = |a: &ViewMark, b: &ViewMark| a.number < b.number && a.op < b.op;
    if !state.views.is_sorted_by(rises) {
        return Err(InvalidField::OutOfRange(
            "the views of a log stand in the order in which they began",
        ));
    }
    Ok(state)
}

fn read_snapshot_part(fields: &mut Reader<'_>) -> Result<SnapshotPart, InvalidField> {
    let part = SnapshotPart {
        last: read_position(fields)?,
        length: fields.u64()?,
        offset: fields.u64()?,
        bytes: fields.bytes(fields.remaining())?.to_vec(),
    };
    let end = part.offset.checked_add(part.bytes.len() as u64);
    if part.bytes.len() > SNAPSHOT_PART_BYTES || end.is_none_or(|end| end > part.length) {
        return Err(InvalidField::OutOfRange(
            "a part of a snapshot is short, and lies within it",
        ));
    }
    Ok(part)
}

/// A list behind its length. One beyond `count_max` is refused before any of it is read.
fn read_list<'a, T>(
    fields: &mut Reader<'a>,
    count_max: usize,
    mut read_item: impl FnMut(&mut Reader<'a>) -> Result<T, InvalidField>,
) -> Result<Vec<T>, InvalidField> {
    let count = usize::from(fields.u16()?);
    if count > count_max {
        return Err(InvalidField::OutOfRange(
            "a list has more members, servers or views than there may be",
        ));
    }
    (0..count).map(|_| read_item(fields)).collect()
}

fn read_trust(fields: &mut Reader<'_>) -> Result<TrustRefused, InvalidField> {
    match fields.u8()? {
        0 => Ok(TrustRefused::Nowhere),
        1 => Ok(TrustRefused::OnThisHost),
        2 => Ok(TrustRefused::Everywhere),
        _ => Err(InvalidField::OutOfRange(
            "whose refusals are believed is 0, 1 or 2",
        )),
    }
}

fn read_server(fields: &mut Reader<'_>) -> Result<ServerId, InvalidField> {
    Ok(ServerId(fields.u16()?))
}

fn read_server_record(fields: &mut Reader<'_>) -> Result<ServerRecord, InvalidField> {
    Ok(ServerRecord {
        server: read_server(fields)?,
        address: read_address(fields)?,
        incarnation: fields.u64()?,
    })
}

fn read_view(fields: &mut Reader<'_>) -> Result<View, InvalidField> {
    read_view_with(fields, |fields| read_list(fields, MEMBERS_MAX, read_member))
}

/// Views that stand one behind the other in a log.
fn read_views(fields: &mut Reader<'_>) -> Result<Vec<View>, InvalidField> {
    let views = read_list(fields, VIEWS_REMEMBERED_MAX, read_view)?;
    if !views.is_sorted_by(|a, b| a.number < b.number) {
        return Err(InvalidField::OutOfRange(
            "the views that a server stands in have rising numbers",
        ));
    }
    Ok(views)
}

fn read_view_mark(fields: &mut Reader<'_>) -> Result<ViewMark, InvalidField> {
    Ok(ViewMark {
        number: ViewNumber(fields.u64()?),
        op: OpNumber(fields.u64()?),
    })
}

fn read_position(fields: &mut Reader<'_>) -> Result<LogPosition, InvalidField> {
    Ok(LogPosition {
        view: ViewNumber(fields.u64()?),
        op: OpNumber(fields.u64()?),
    })
}

fn refused(sentence: String) -> Refusal {
    Refusal::new(ErrorCode::BadArguments, sentence)
}
