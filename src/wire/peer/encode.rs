//! What a server writes to another.

use crate::limits::{
    DESCENT_MAX, GOSSIPED_DESCENT_MAX, MEMBERS_MAX, PEER_FRAME_BODY_BYTES_MAX, SERVERS_MAX,
    SNAPSHOT_PART_BYTES, VIEWS_REMEMBERED_MAX,
};
use crate::types::{
    Incarnation, LogPosition, Member, RequestNumber, ServerId, ServerRecord, View, ViewMark,
};

use super::super::cluster::{put_address, put_incarnation, put_lineage, put_member, put_view_head};
use super::super::fields::{put_u8, put_u16, put_u32, put_u64};
use super::super::frame::{HEADER_BYTES, Kind, put_frame};
use super::{
    Lead, LogState, PROCESSES_MAX, PeerMessage, Ping, Prepares, Proposal, Report, Rumour,
    SnapshotPart, Standing,
};

/// Writes a message. A list, or a whole message, beyond its limit is our own mistake: no server
/// would take it.
pub fn encode_peer(out: &mut Vec<u8>, message: &PeerMessage) {
    let start = out.len();
    put_frame(out, kind_of(message), RequestNumber(0), |out| {
        put_message(out, message);
    });
    assert!(
        out.len() - start - HEADER_BYTES <= PEER_FRAME_BODY_BYTES_MAX,
        "what goes into one message is counted before it is made"
    );
}

fn kind_of(message: &PeerMessage) -> Kind {
    match message {
        PeerMessage::Ping(_) => Kind::PEER_PING,
        PeerMessage::Pong { .. } => Kind::PEER_PONG,
        PeerMessage::Prepare(_) => Kind::PREPARE,
        PeerMessage::PrepareOk { .. } => Kind::PREPARE_OK,
        PeerMessage::Propose(_) => Kind::PROPOSE,
        PeerMessage::Promise { .. } => Kind::PROMISE,
        PeerMessage::Veto { .. } => Kind::VETO,
        PeerMessage::Overruled { .. } => Kind::OVERRULED,
        PeerMessage::Lead(_) => Kind::LEAD,
        PeerMessage::LogState(_) => Kind::LOG_STATE,
        PeerMessage::Standing(_) => Kind::STANDING,
        PeerMessage::Welcome { .. } => Kind::WELCOME,
        PeerMessage::Leave => Kind::LEAVE,
        PeerMessage::Addresses(_) => Kind::ADDRESSES,
        PeerMessage::Snapshot(_) => Kind::SNAPSHOT,
        PeerMessage::SnapshotOk { .. } => Kind::SNAPSHOT_OK,
    }
}

fn put_message(out: &mut Vec<u8>, message: &PeerMessage) {
    match message {
        PeerMessage::Ping(ping) => put_ping(out, ping),
        PeerMessage::Pong { sent_at } => put_u64(out, sent_at.0),
        PeerMessage::Prepare(prepares) => put_prepares(out, prepares),
        PeerMessage::PrepareOk { view, op } => {
            put_u64(out, view.0);
            put_u64(out, op.0);
        }
        PeerMessage::Propose(proposal) => put_proposal(out, proposal),
        PeerMessage::Promise { number, voter } => {
            put_u64(out, number.0);
            put_member(out, *voter);
        }
        PeerMessage::Veto {
            number,
            voter,
            alive,
        } => {
            put_u64(out, number.0);
            put_member(out, *voter);
            put_u16(out, alive.0);
        }
        PeerMessage::Overruled {
            number,
            voter,
            promised,
        } => {
            put_u64(out, number.0);
            put_member(out, *voter);
            put_u64(out, promised.0);
        }
        PeerMessage::Lead(lead) => put_lead(out, lead),
        PeerMessage::LogState(state) => put_log_state(out, state),
        PeerMessage::Standing(standing) => put_standing(out, standing),
        PeerMessage::Welcome { server, lineage } => {
            put_u16(out, server.0);
            put_lineage(out, *lineage);
        }
        PeerMessage::Leave => {}
        PeerMessage::Addresses(servers) => put_list(out, SERVERS_MAX, servers, put_server_record),
        PeerMessage::Snapshot(part) => put_snapshot_part(out, part),
        PeerMessage::SnapshotOk { applied, bytes } => {
            put_u64(out, applied.0);
            put_u64(out, *bytes);
        }
    }
}

fn put_ping(out: &mut Vec<u8>, ping: &Ping) {
    put_u64(out, ping.sent_at.0);
    put_u64(out, ping.wall_clock.0);
    put_report(out, &ping.report);
    put_list(out, SERVERS_MAX, &ping.fresh, put_listed_member);
    put_list(out, SERVERS_MAX, &ping.rumours, put_rumour);
}

fn put_report(out: &mut Vec<u8>, report: &Report) {
    put_u64(out, report.promised.0);
    put_u64(out, report.newest.0);
    put_u8(out, u8::from(report.intact));
    put_u8(out, u8::from(report.leads));
    put_position(out, report.last);
    put_u64(out, report.commit.0);
    put_u64(out, report.in_force.0);
    put_u8(out, u8::from(report.damaged));
    put_u64(out, report.stood.0);
    put_u32(out, report.grace_ms);
    put_u8(out, report.trust_refused as u8);
    put_u16(out, report.disk_ms);
    put_u8(out, u8::from(report.store_damaged));
    put_u8(out, u8::from(report.ordered));
}

fn put_rumour(out: &mut Vec<u8>, rumour: &Rumour) {
    put_member(out, rumour.member);
    put_u64(out, rumour.promised.0);
    put_u64(out, rumour.newest.0);
    put_list(
        out,
        GOSSIPED_DESCENT_MAX,
        &rumour.descent,
        put_listed_incarnation,
    );
}

/// The ops go to the end of the body, each as it is kept, behind its length.
fn put_prepares(out: &mut Vec<u8>, prepares: &Prepares) {
    let bytes = prepares
        .entries
        .iter()
        .map(|e| 4 + e.bytes())
        .sum::<usize>();
    out.reserve(4 * 8 + bytes);
    put_u64(out, prepares.view.0);
    put_position(out, prepares.after);
    put_u64(out, prepares.commit.0);
    for entry in &prepares.entries {
        let length = u32::try_from(entry.bytes()).expect("an op is far below 4 GiB");
        put_u32(out, length);
        out.extend_from_slice(&entry.prepare);
    }
}

fn put_proposal(out: &mut Vec<u8>, proposal: &Proposal) {
    put_u64(out, proposal.number.0);
    put_lineage(out, proposal.lineage);
    put_member(out, proposal.candidate);
    put_list(out, MEMBERS_MAX, &proposal.members, put_listed_member);
    put_list(out, VIEWS_REMEMBERED_MAX, &proposal.standing, put_view);
    for processes in [&proposal.silent, &proposal.dead, &proposal.promised] {
        put_list(out, PROCESSES_MAX, processes, put_listed_member);
    }
    put_list(out, SERVERS_MAX, &proposal.unreached, put_server);
    put_u8(out, u8::from(proposal.cold));
    put_position(out, proposal.last);
}

fn put_lead(out: &mut Vec<u8>, lead: &Lead) {
    put_view(out, &lead.view);
    put_u8(out, u8::from(lead.in_force));
    put_list(out, SERVERS_MAX, &lead.servers, put_server_record);
}

fn put_log_state(out: &mut Vec<u8>, state: &LogState) {
    put_u64(out, state.view.0);
    put_position(out, state.last);
    put_u64(out, state.applied.0);
    put_list(out, VIEWS_REMEMBERED_MAX, &state.views, put_view_mark);
}

fn put_standing(out: &mut Vec<u8>, standing: &Standing) {
    put_list(out, VIEWS_REMEMBERED_MAX, &standing.views, put_view);
    put_report(out, &standing.report);
    put_list(out, DESCENT_MAX, &standing.descent, put_listed_incarnation);
}

/// The part itself goes to the end of the body.
fn put_snapshot_part(out: &mut Vec<u8>, part: &SnapshotPart) {
    assert!(
        part.bytes.len() <= SNAPSHOT_PART_BYTES,
        "a snapshot goes in parts"
    );
    put_position(out, part.last);
    put_u64(out, part.length);
    put_u64(out, part.offset);
    out.extend_from_slice(&part.bytes);
}

/// A list behind its length, of two bytes.
fn put_list<T>(
    out: &mut Vec<u8>,
    count_max: usize,
    items: &[T],
    mut put_item: impl FnMut(&mut Vec<u8>, &T),
) {
    assert!(
        items.len() <= count_max,
        "a list between servers has at most {count_max} items, and this has {}",
        items.len()
    );
    let count = u16::try_from(items.len()).expect("every list's limit fits into two bytes");
    put_u16(out, count);
    for item in items {
        put_item(out, item);
    }
}

fn put_server(out: &mut Vec<u8>, server: &ServerId) {
    put_u16(out, server.0);
}

fn put_server_record(out: &mut Vec<u8>, record: &ServerRecord) {
    put_u16(out, record.server.0);
    put_address(out, record.address);
    put_u64(out, record.incarnation);
}

fn put_view(out: &mut Vec<u8>, view: &View) {
    put_view_head(out, view);
    put_list(out, MEMBERS_MAX, &view.members, put_listed_member);
}

fn put_listed_member(out: &mut Vec<u8>, member: &Member) {
    put_member(out, *member);
}

fn put_listed_incarnation(out: &mut Vec<u8>, incarnation: &Incarnation) {
    put_incarnation(out, *incarnation);
}

fn put_view_mark(out: &mut Vec<u8>, mark: &ViewMark) {
    put_u64(out, mark.number.0);
    put_u64(out, mark.op.0);
}

fn put_position(out: &mut Vec<u8>, position: LogPosition) {
    put_u64(out, position.view.0);
    put_u64(out, position.op.0);
}
