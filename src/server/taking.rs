//! How does a server take in a snapshot?
//!
//! Part by part into a file, which is then read through from end to end on a thread of its own.
//! Only when it is found whole does it become the next generation, with a journal that begins
//! behind it: until the superblock says so, everything is as it was.

use super::sending::Transfers;
use super::{Fatal, Server, generation, random};
use crate::chat::State;
use crate::journal::Journal;
use crate::journal::storage::DiskStorage;
use crate::net::ConnectionId;
use crate::replica::{Input, Role};
use crate::store::{
    CheckedSnapshot, SnapshotCheck, SnapshotWriter, SqliteStore, StoreWorker, TakeSnapshotError,
};
use crate::types::{Cluster, LogPosition, OpNumber};
use crate::wire::peer::{PeerMessage, SnapshotPart};

/// A snapshot that is coming in.
pub(super) struct Incoming {
    /// By which link.
    link: ConnectionId,
    /// Its last op.
    last: LogPosition,
    stage: Stage,
}

enum Stage {
    /// Parts are awaited.
    Collecting(SnapshotWriter),
    /// It is being read through.
    Checking(SnapshotCheck),
}

impl Incoming {
    /// Whether it comes by this link.
    pub fn is_of(&self, link: ConnectionId) -> bool {
        self.link == link
    }
}

impl Server {
    /// A part has come.
    pub(super) fn take_snapshot_part(&mut self, id: ConnectionId, part: SnapshotPart) {
        if let Err(error) = self.try_part(id, part) {
            self.transfers.incoming = None;
            self.give_up_transfer(id, &format!("sends a snapshot in vain: {error}"));
        }
    }

    fn try_part(&mut self, id: ConnectionId, part: SnapshotPart) -> Result<(), TakeSnapshotError> {
        let leader = self.replica.leader().map(|it| it.server);
        if self.replica.role() != Role::Learner || leader != self.links.server_at(id) {
            return Ok(());
        }
        let SnapshotPart {
            last,
            length,
            offset,
            bytes,
        } = part;
        if offset == 0 {
            log::info!("getting a snapshot of {length} bytes, up to op {}", last.op);
            let path = generation::incoming(self.disk.slot().directory());
            // What came before is of no use any more, and is at the same place.
            self.transfers.incoming = None;
            self.transfers.incoming = Some(Incoming {
                link: id,
                last,
                stage: Stage::Collecting(SnapshotWriter::create(&path)?),
            });
        }
        let Some(incoming) = &mut self.transfers.incoming else {
            return Ok(());
        };
        let Stage::Collecting(writer) = &mut incoming.stage else {
            return Ok(());
        };
        if incoming.link != id || incoming.last != last {
            return Ok(());
        }
        writer.write(offset, &bytes)?;
        let received = writer.received();
        if received >= length {
            self.check_snapshot(length)?;
        }
        let message = PeerMessage::SnapshotOk {
            applied: last.op,
            bytes: received,
        };
        self.send_to_link(id, &message);
        Ok(())
    }

    /// All of it is there.
    fn check_snapshot(&mut self, length: u64) -> Result<(), TakeSnapshotError> {
        let Some(Incoming { link, last, stage }) = self.transfers.incoming.take() else {
            return Ok(());
        };
        if let Stage::Collecting(writer) = stage {
            let waker = self.network.waker();
            let check = writer.finish(length, last.op, Box::new(move || waker.wake()))?;
            self.transfers.incoming = Some(Incoming {
                link,
                last,
                stage: Stage::Checking(check),
            });
        }
        Ok(())
    }

    /// Looks whether a snapshot was read through.
    pub(super) fn look_at_incoming(&mut self) -> Result<(), Fatal> {
        let Transfers { incoming, .. } = &mut self.transfers;
        let Some(Incoming { link, last, stage }) = incoming else {
            return Ok(());
        };
        let Stage::Checking(check) = stage else {
            return Ok(());
        };
        let (link, last) = (*link, *last);
        match check.poll() {
            None => Ok(()),
            Some(Err(error)) => {
                self.transfers.incoming = None;
                self.give_up_transfer(link, &format!("sent a snapshot in vain: {error}"));
                Ok(())
            }
            Some(Ok(checked)) => {
                self.transfers.incoming = None;
                // What this turn has brought belongs to the journal that is there now.
                self.settle()?;
                let from = self.links.server_at(link);
                if !from.is_some_and(|from| self.replica.may_install(from, last.op)) {
                    log::info!("the snapshot up to op {} is not needed any more", last.op);
                    return Ok(());
                }
                match self.cluster_in(&checked) {
                    Some(cluster) => self.install(checked, cluster, last),
                    None => {
                        self.give_up_transfer(link, "sent the snapshot of another cluster");
                        Ok(())
                    }
                }
            }
        }
    }

    fn cluster_in(&self, checked: &CheckedSnapshot) -> Option<Cluster> {
        let cluster = checked.image().cluster.clone();
        cluster.filter(|it| it.id == self.replica.identity().cluster)
    }

    /// Puts a snapshot in the place of everything that was here.
    fn install(
        &mut self,
        checked: CheckedSnapshot,
        cluster: Cluster,
        last: LogPosition,
    ) -> Result<(), Fatal> {
        let directory = self.disk.slot().directory().to_owned();
        let next = self.disk.generation() + 1;
        generation::remove(&directory, next).map_err(Fatal::Loop)?;
        let path = generation::store(&directory, next);
        let image = checked.accept(&path)?;
        let store = SqliteStore::open(&path)?;
        let folder = DiskStorage::open(&generation::journal(&directory, next));
        let folder = Box::new(folder.map_err(Fatal::Loop)?);
        let journal = Journal::create_after(folder, cluster.id, random(), last.op)?;
        self.disk.begin_generation(journal)?;

        let waker = self.network.waker();
        let wake = Box::new(move || waker.wake());
        self.store = StoreWorker::start(Box::new(store), wake).map_err(Fatal::Loop)?;
        self.state = State::restore(&image)?;
        let had = std::mem::replace(&mut self.applied, last.op);
        self.handed_over = last.op;
        self.changes.clear();
        self.cluster = Some(cluster.clone());
        self.cluster_changed = false;
        self.queries.clear();
        self.store_answers.clear();
        log::info!(
            "the snapshot is in place: everything up to op {} is here",
            last.op
        );
        if had > OpNumber::ZERO {
            log::info!(
                "what was here before, up to op {had}, is put aside in {}: journal and store of \
                 generation {}",
                directory.display(),
                next - 1
            );
        }
        let input = Input::Installed { cluster, last };
        self.replica.handle_input(input, self.now);
        Ok(())
    }
}
