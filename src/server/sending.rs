//! How does a server that was away for long get everything?
//!
//! Ops that the journal still has are read out of it, a message full at a time, each link from its
//! own place. For one that needs older ones the store makes a snapshot, which is sent in parts, a
//! few of them at a time, so that heartbeats never wait behind more than those. The journal keeps
//! what follows the snapshot until the other server has it.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use super::taking::Incoming;
use super::{Fatal, Server, generation};
use crate::journal::Cursor;
use crate::limits::{SNAPSHOT_PART_BYTES, SNAPSHOT_PARTS_OPEN_MAX};
use crate::net::ConnectionId;
use crate::replica::Entry;
use crate::store::{MadeSnapshot, MakeSnapshotError};
use crate::types::{LogPosition, OpNumber, Time, ViewNumber};
use crate::wire::peer::{PeerMessage, SnapshotPart};

/// How long the journal is kept for a server that has got a whole snapshot and has yet to say so.
const INSTALLING_TIME_MAX: Duration = Duration::from_secs(60);

/// Snapshots on their way, and places in the journal.
#[derive(Default)]
pub(super) struct Transfers {
    /// Where each link is in the journal.
    cursors: HashMap<ConnectionId, Cursor>,
    /// Links that want a snapshot. The first one's is being made, if `making` says so.
    wanted: VecDeque<ConnectionId>,
    /// What the snapshot in the making holds at least.
    making: Option<OpNumber>,
    /// What goes out by each link.
    outgoing: HashMap<ConnectionId, Outgoing>,
    /// What comes in.
    pub incoming: Option<Incoming>,
}

/// A snapshot that is being sent.
struct Outgoing {
    snapshot: MadeSnapshot,
    /// Its last op.
    last: LogPosition,
    /// How many bytes were sent.
    sent: u64,
    /// How many of them are on the other server's disk; at most `sent`.
    acknowledged: u64,
    /// When the last of them got there.
    finished: Option<Time>,
}

impl Transfers {
    /// The last op that nobody needs who gets a snapshot.
    pub fn held_back(&self, now: Time) -> OpNumber {
        let needed = self.outgoing.values().filter_map(|outgoing| {
            let over = |at: Time| now.since(at) > INSTALLING_TIME_MAX;
            (!outgoing.finished.is_some_and(over)).then_some(outgoing.last.op)
        });
        needed.chain(self.making).min().unwrap_or(OpNumber::MAX)
    }
}

impl Server {
    /// The ops behind one, for a link.
    pub(super) fn read_for(
        &mut self,
        id: ConnectionId,
        after: OpNumber,
    ) -> Result<Vec<Entry>, Fatal> {
        let cursor = self.transfers.cursors.entry(id);
        let cursor = cursor.or_insert_with(|| Cursor::after(after));
        if cursor.next_op() != after.next() {
            *cursor = Cursor::after(after);
        }
        let entries = self.disk.read(cursor)?;
        Ok(entries)
    }

    /// A link is to get everything.
    pub(super) fn send_snapshot(&mut self, id: ConnectionId) {
        self.transfers.outgoing.remove(&id);
        if self.disk.has_damaged_store() {
            // Whoever got it would find the damage, and ask again and again.
            let name = self.name_of_link(id);
            return self.complain(
                &name,
                "gets no snapshot, since the store here is damaged: start a server that has everything",
            );
        }
        if !self.transfers.wanted.contains(&id) {
            self.transfers.wanted.push_back(id);
        }
        self.make_snapshot();
    }

    /// Has the next snapshot made, if one is wanted and none is in the making.
    fn make_snapshot(&mut self) {
        if self.transfers.making.is_some() || self.transfers.wanted.is_empty() {
            return;
        }
        self.hand_over();
        let path = generation::outgoing(self.disk.slot().directory());
        let at_least = self.handed_over;
        if self.store.snapshot(path, at_least).is_ok() {
            self.transfers.making = Some(at_least);
        }
    }

    /// The store has made one.
    pub(super) fn snapshot_made(&mut self, snapshot: MadeSnapshot) {
        self.transfers.making = None;
        let last = LogPosition {
            view: self.view_of(snapshot.applied),
            op: snapshot.applied,
        };
        if let Some(id) = self.transfers.wanted.pop_front()
            && self.links.has(id)
        {
            log::info!(
                "{} gets a snapshot of {} bytes, up to op {}",
                self.name_of_link(id),
                snapshot.reader.length(),
                last.op
            );
            let outgoing = Outgoing {
                snapshot,
                last,
                sent: 0,
                acknowledged: 0,
                finished: None,
            };
            self.transfers.outgoing.insert(id, outgoing);
            self.send_parts(id);
        }
        self.make_snapshot();
    }

    /// There is no snapshot: the link that waits for it begins anew, later.
    pub(super) fn snapshot_failed(&mut self, error: &MakeSnapshotError) {
        self.transfers.making = None;
        if let Some(id) = self.transfers.wanted.pop_front() {
            self.give_up_transfer(id, &error.to_string());
        }
        self.make_snapshot();
    }

    /// So much of a snapshot has got there.
    pub(super) fn snapshot_acknowledged(
        &mut self,
        id: ConnectionId,
        applied: OpNumber,
        bytes: u64,
    ) {
        let Some(outgoing) = self.transfers.outgoing.get_mut(&id) else {
            return;
        };
        if outgoing.last.op != applied || bytes > outgoing.sent {
            return;
        }
        outgoing.acknowledged = outgoing.acknowledged.max(bytes);
        if outgoing.acknowledged == outgoing.snapshot.reader.length() {
            outgoing.finished.get_or_insert(self.now);
        }
        self.send_parts(id);
    }

    /// Sends as many parts as may be on their way.
    fn send_parts(&mut self, id: ConnectionId) {
        let open_max = SNAPSHOT_PARTS_OPEN_MAX * SNAPSHOT_PART_BYTES as u64;
        while let Some(outgoing) = self.transfers.outgoing.get_mut(&id) {
            let length = outgoing.snapshot.reader.length();
            let offset = outgoing.sent;
            if offset == length || offset - outgoing.acknowledged >= open_max {
                return;
            }
            let reader = &outgoing.snapshot.reader;
            let bytes = match reader.read_at(offset, SNAPSHOT_PART_BYTES) {
                Ok(bytes) => bytes,
                Err(error) => {
                    let reason = format!("cannot be sent a snapshot: {error}");
                    return self.give_up_transfer(id, &reason);
                }
            };
            outgoing.sent += bytes.len() as u64;
            let part = SnapshotPart {
                last: outgoing.last,
                length,
                offset,
                bytes,
            };
            self.send_to_link(id, &PeerMessage::Snapshot(part));
        }
    }

    /// Ends a link by which a snapshot cannot come or go: both sides begin anew.
    pub(super) fn give_up_transfer(&mut self, id: ConnectionId, reason: &str) {
        let name = self.name_of_link(id);
        self.complain(&name, reason);
        self.network.close(id);
        self.link_gone(id, false);
    }

    /// A link is gone, and with it what was on its way.
    pub(super) fn transfer_ended(&mut self, id: ConnectionId) {
        self.transfers.cursors.remove(&id);
        self.transfers.outgoing.remove(&id);
        let making = self.transfers.making.is_some();
        // The first one's is in the making: its place is given up when that is done.
        let mut place = 0;
        self.transfers.wanted.retain(|other| {
            place += 1;
            *other != id || making && place == 1
        });
        if self
            .transfers
            .incoming
            .as_ref()
            .is_some_and(|it| it.is_of(id))
        {
            self.transfers.incoming = None;
        }
    }

    /// The view that a committed op was proposed in.
    fn view_of(&self, op: OpNumber) -> ViewNumber {
        let marks = self.cluster.as_ref().map_or(&[][..], |it| &it.views);
        let mark = marks.iter().rev().find(|mark| mark.op <= op);
        mark.map_or(ViewNumber(0), |mark| mark.number)
    }
}
