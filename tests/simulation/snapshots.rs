//! How does a snapshot get from one simulated server to another?
//!
//! A store in memory has no file: its bytes are the number by which the world keeps it, in parts.
//! They go with a window of a few, and a link that ends in the middle means starting over.

use lastword::replica::LinkId;
use lastword::store::Store;
use lastword::types::LogPosition;
use lastword::wire::peer::{PeerMessage, SnapshotPart};

use super::process::Process;
use super::work::Work;
use super::world::{Snapshot, World};

const PARTS: u64 = 8;
const PART_BYTES: u64 = 8;
const WINDOW_BYTES: u64 = 3 * PART_BYTES;

/// A snapshot that is being sent.
pub struct Outgoing {
    snapshot: u64,
    last: LogPosition,
    sent: u64,
}

/// A snapshot that is being received.
#[derive(Debug)]
pub struct Incoming {
    link: LinkId,
    last: LogPosition,
    received: u64,
}

impl World {
    /// The store's worker makes a snapshot, and its first parts go out.
    pub fn begin_snapshot(&mut self, host: usize, process: &mut Process, link: LinkId) {
        self.hand_over(host, process);
        // It is read through before it is sent.
        if self.hosts[host].store(process).is_damaged() {
            return self.store_is_damaged(host, process);
        }
        let store = self.hosts[host].store(process);
        store.commit().expect("a store in memory");
        let snapshot = Snapshot {
            store: store.clone(),
            last: process.applied,
        };
        let outgoing = Outgoing {
            snapshot: self.snapshots.len() as u64,
            last: process.applied,
            sent: 0,
        };
        self.snapshots.push(snapshot);
        process.outgoing_snapshots.insert(link, outgoing);
        self.send_parts(host, process, link, 0);
    }

    /// So many bytes have arrived: the next parts may go out.
    pub fn send_parts(&mut self, host: usize, process: &mut Process, link: LinkId, arrived: u64) {
        let Some(mut outgoing) = process.outgoing_snapshots.remove(&link) else {
            return;
        };
        let length = PARTS * PART_BYTES;
        while outgoing.sent < length.min(arrived + WINDOW_BYTES) {
            let part = SnapshotPart {
                last: outgoing.last,
                length,
                offset: outgoing.sent,
                bytes: outgoing.snapshot.to_be_bytes().to_vec(),
            };
            outgoing.sent += PART_BYTES;
            self.queue_message(host, process, link, &PeerMessage::Snapshot(part));
        }
        if arrived < length {
            process.outgoing_snapshots.insert(link, outgoing);
        }
    }

    /// A part has arrived. After the last one the disk has work to do.
    pub fn take_part(
        &mut self,
        host: usize,
        process: &mut Process,
        link: LinkId,
        part: &SnapshotPart,
    ) {
        if part.offset == 0 {
            process.incoming = Some(Incoming {
                link,
                last: part.last,
                received: 0,
            });
        }
        let Some(incoming) = &mut process.incoming else {
            return;
        };
        let expected = (incoming.link, incoming.last, incoming.received);
        if expected != (link, part.last, part.offset) {
            return;
        }
        incoming.received += part.bytes.len() as u64;
        let answer = PeerMessage::SnapshotOk {
            applied: part.last.op,
            bytes: incoming.received,
        };
        if incoming.received == part.length {
            process.incoming = None;
            let mut number = [0; 8];
            number.copy_from_slice(&part.bytes);
            let snapshot = u64::from_be_bytes(number) as usize;
            process.to_install = Some(Work::Install { snapshot });
        }
        self.queue_message(host, process, link, &answer);
    }
}
