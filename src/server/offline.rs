//! What would a server's folder look like if clients had asked for this?
//!
//! A server without a network: it founds a cluster of its own in an empty folder, takes ops up, and carries
//! out what the replica says as [`commit`](super::commit) does: append, sync, apply, hand over to the
//! store. So what it leaves is what a server leaves, and a server starts from it. There is nobody to
//! answer, no other server to send to, and no hurry: many ops go into one sync, and the store is written
//! to by the same thread.

use std::io;
use std::net::SocketAddr;
use std::path::Path;

use super::commit::batch;
use super::disk::Disk;
use super::opening::Opened;
use super::{Fatal, RunError, StartError, random};
use crate::chat::change::Change;
use crate::chat::{Effects, State};
use crate::journal::storage::DataDirectory;
use crate::limits::{
    CHECKPOINT_BYTES, FRESH_DEFAULT, GRACE_DEFAULT, HEARTBEAT_DEFAULT, TRANSACTION_OPS_MAX,
};
use crate::net::clock;
use crate::replica::{Config, Entry, Input, Output, Replica, Ticket};
use crate::store::{SqliteStore, Store};
use crate::types::{ChatOp, Op, OpNumber, Outcome, Timestamp, TrustRefused};
use crate::wire::operation::{decode_op, encode_op};

/// The slot that is founded in.
const SLOT: u32 = 1;
/// Bytes of ops that go into one sync, about.
const BATCH_BYTES: usize = 4 * 1024 * 1024;
/// How often a founder without backups has to be called until it serves: far more often than it needs.
const TURNS_MAX: u32 = 1000;

/// A server without a network, that leads a cluster of itself.
pub(crate) struct Offline {
    /// The slot, with the superblock and the journal.
    disk: Disk,
    replica: Replica,
    /// What the committed ops have made, up to `applied`.
    state: State,
    store: SqliteStore,
    /// The last op that was applied.
    applied: OpNumber,
    /// The last op that the store was given; at most `applied`.
    handed_over: OpNumber,
    /// The last op that the store has committed; at most `handed_over`.
    committed: OpNumber,
    /// What the ops between `handed_over` and `applied` have changed.
    changes: Vec<Change>,
    /// One of them was about the cluster.
    cluster_changed: bool,
    /// Requests that were taken up: each has its own ticket.
    requests: u64,
    /// Kept for its memory alone: an op that is encoded.
    payload: Vec<u8>,
}

impl Offline {
    /// Founds a cluster in the data directory `data`, which is missing or empty, and lets clients in
    /// without any backup. `member` is the address of its own that the server keeps: it is bound when
    /// the server starts, and replaced if it is taken.
    ///
    /// # Errors
    /// The directory cannot be written, or is used by a live process.
    pub fn found(data: &Path, member: SocketAddr) -> Result<Self, RunError> {
        let slot = DataDirectory::claim(data, Some(SLOT)).map_err(StartError::from)?;
        let mut opened = Opened::of(slot, member)?;
        let superblock = opened.found()?;
        // There is nobody whose silence could mean anything.
        let config = Config {
            heartbeat: HEARTBEAT_DEFAULT,
            fresh: FRESH_DEFAULT,
            grace: GRACE_DEFAULT,
            trust_refused: TrustRefused::OnThisHost,
            own_ip: member.ip(),
            contacts: Vec::new(),
            force: false,
            seed: random(),
        };
        let identity = super::start::identity_of(&superblock, member);
        let mut offline = Self {
            disk: opened.disk,
            replica: Replica::found(identity, 0, config, clock::now()),
            state: opened.state,
            store: opened.store,
            applied: OpNumber::ZERO,
            handed_over: OpNumber::ZERO,
            committed: OpNumber::ZERO,
            changes: Vec::new(),
            cluster_changed: false,
            requests: 0,
            payload: Vec::new(),
        };
        for _ in 0..TURNS_MAX {
            offline.settle(&mut |_| {})?;
            if offline.replica.serves() {
                return Ok(offline);
            }
            offline.replica.handle_timeout(clock::now());
        }
        unreachable!("a founder without backups does not come to serve");
    }

    /// Takes an op up. What becomes of it is said by [`Self::settle`].
    pub fn request(&mut self, op: ChatOp<'_>, time: Timestamp) {
        self.payload.clear();
        encode_op(&mut self.payload, &Op::Chat(op));
        self.requests += 1;
        let input = Input::Request {
            ticket: Ticket(self.requests),
            time,
            payload: &self.payload,
        };
        self.replica.handle_input(input, clock::now());
    }

    /// Enough was taken up for one sync: settle before more is.
    pub fn is_full(&self) -> bool {
        self.replica.uncommitted_bytes() >= BATCH_BYTES
    }

    /// Makes everything safe that was taken up, and says what each op has come to, in their order.
    ///
    /// # Errors
    /// The disk fails, or is full. What was said before is safe.
    pub fn settle(&mut self, heard: &mut dyn FnMut(Outcome)) -> Result<(), Fatal> {
        loop {
            while let Some(output) = self.replica.poll_output() {
                self.carry_out(output, heard)?;
            }
            if !self.disk.has_unsynced() {
                return self.hand_over();
            }
            let op = self.disk.sync()?;
            let input = Input::Persisted { op };
            self.replica.handle_input(input, clock::now());
        }
    }

    /// Brings the store up to date, so that the server starts quickly, and answers the last op.
    ///
    /// # Errors
    /// As [`Self::settle`].
    pub fn finish(mut self) -> Result<OpNumber, Fatal> {
        self.settle(&mut |_| {})?;
        self.checkpoint()?;
        Ok(self.applied)
    }

    fn carry_out(&mut self, output: Output, heard: &mut dyn FnMut(Outcome)) -> Result<(), Fatal> {
        match output {
            Output::Append(entry) => self.disk.append(&entry),
            Output::Save { identity, vote } => {
                self.disk.save(&identity, vote)?;
                self.replica.handle_input(Input::Saved, clock::now());
            }
            Output::Committed { entry, .. } => {
                if let Some(outcome) = self.apply(&entry)? {
                    heard(outcome);
                }
            }
            Output::Refused(_) | Output::Abandoned(_) | Output::Truncate { .. } => {
                unreachable!("it leads alone from its first op on")
            }
            // There is nobody else.
            Output::Dial(_)
            | Output::Send { .. }
            | Output::Close { .. }
            | Output::Fetch { .. }
            | Output::SendSnapshot { .. }
            | Output::Readable(_)
            | Output::Note(_) => {}
        }
        Ok(())
    }

    /// Applies a committed op; no outcome comes of one about the cluster.
    fn apply(&mut self, entry: &Entry) -> Result<Option<Outcome>, Fatal> {
        let op = decode_op(entry.payload()).map_err(|_| Fatal::UnreadableOp(entry.op()))?;
        self.applied = entry.op();
        let Op::Chat(op) = op else {
            self.cluster_changed = true;
            return Ok(None);
        };
        let mut effects = Effects {
            changes: std::mem::take(&mut self.changes),
            ..Effects::default()
        };
        let outcome = self.state.apply(entry.op(), entry.time, &op, &mut effects);
        self.changes = effects.changes;
        Ok(Some(outcome))
    }

    /// Gives the store what was applied.
    fn hand_over(&mut self) -> Result<(), Fatal> {
        if self.handed_over == self.applied {
            return Ok(());
        }
        let changes = std::mem::take(&mut self.changes);
        let cluster = self.replica.cluster();
        let cluster = cluster.filter(|_| std::mem::take(&mut self.cluster_changed));
        let batch = batch(&mut self.state, self.applied, changes, cluster);
        self.store.apply(batch)?;
        self.handed_over = self.applied;
        if self.handed_over.0 - self.committed.0 < TRANSACTION_OPS_MAX {
            return Ok(());
        }
        self.store.commit()?;
        self.committed = self.handed_over;
        if self.store.unsynced_bytes()? >= CHECKPOINT_BYTES {
            self.checkpoint()?;
        }
        Ok(())
    }

    /// Makes the store safe, and lets go of what nobody needs of the journal any more.
    fn checkpoint(&mut self) -> Result<(), Fatal> {
        let durable = self.store.checkpoint()?;
        self.committed = self.handed_over;
        self.disk.release(durable)?;
        Ok(())
    }
}

/// A password's hash, as accounts have it.
///
/// # Errors
/// There is not enough memory for it, or the system gives no random bits.
pub(crate) fn password_hash(password: &str) -> io::Result<String> {
    super::passwords::hash(password)
        .ok_or_else(|| io::Error::other("a password's hash takes memory that is not there"))
}
