//! What happens between a request and its answer? One write and one sync for a whole turn, and
//! then everything that they made true.

use super::{Fatal, Server, WorkTime};
use crate::chat::change::Change;
use crate::chat::{Effects, State};
use crate::limits::{STORE_LAG_BYTES_MAX, UNCOMMITTED_BYTES_MAX};
use crate::net::{ConnectionId, clock};
use crate::replica::{Entry, Input, LinkId, Note, Output, Ticket, apply_to_cluster};
use crate::store::{Batch, Found, MakeSnapshotError, Query, StoreAnswer, StoreError};
use crate::types::{ChatOp, Cluster, ErrorCode, Op, OpNumber, Outcome, RequestNumber, Time};
use crate::wire::message::{Answer, Refusal};
use crate::wire::operation::decode_op;

use super::accounts::refusal_of;
use super::connection::{QueryTicket, Step};

/// What a session's answer occupies.
const ANSWER_BYTES: usize = size_of::<(RequestNumber, Outcome)>();

impl Server {
    /// Carries out what the replica says: what goes to the other servers first, then one sync for
    /// all that this turn has appended, and then everything that follows, until there is nothing
    /// more to say.
    pub(super) fn settle(&mut self) -> Result<(), Fatal> {
        loop {
            while let Some(output) = self.replica.poll_output() {
                self.carry_out(output)?;
            }
            if !self.disk.has_unsynced() || self.falls_behind() {
                break;
            }
            // The other servers' disks work while this one does.
            self.network.flush();
            let started = clock::now();
            let op = self.disk.sync()?;
            self.disk_was_waited_for(started);
            self.replica.handle_input(Input::Persisted { op }, self.now);
        }
        self.look_at_gate();
        self.hand_over();
        Ok(())
    }

    /// The store is so far behind that this server must not be sent more: what it has is not
    /// acknowledged before the store has come nearer, which wakes the loop. (A primary takes fewer
    /// requests long before.)
    fn falls_behind(&self) -> bool {
        self.store_lags && self.store.lag_bytes() > 2 * STORE_LAG_BYTES_MAX
    }

    fn carry_out(&mut self, output: Output) -> Result<(), Fatal> {
        match output {
            Output::Append(entry) => self.disk.append(&entry),
            Output::Truncate { after } => {
                // What stays was made safe on the way.
                let started = clock::now();
                let op = self.disk.truncate(after)?;
                self.disk_was_waited_for(started);
                self.replica.handle_input(Input::Persisted { op }, self.now);
            }
            Output::Save { identity, vote } => {
                // Nobody has to wait with what was said before.
                self.network.flush();
                let started = clock::now();
                self.disk.save(&identity, vote)?;
                self.disk_was_waited_for(started);
                self.replica.handle_input(Input::Saved, self.now);
            }
            Output::Dial(address) => self.dial(address),
            Output::Send { link, message } => {
                self.send_to_link(super::links::connection_of(link), &message);
            }
            Output::Close { link, why } => {
                self.close_link(super::links::connection_of(link), why);
            }
            Output::Fetch { link, after } => self.fetch(link, after)?,
            Output::SendSnapshot { link } => {
                self.send_snapshot(super::links::connection_of(link));
            }
            Output::Committed { entry, ticket } => {
                let asker = ticket.and_then(|ticket| self.asker(ticket));
                self.apply(&entry, asker)?;
            }
            Output::Readable(ticket) => {
                if let Some(id) = self.asker(ticket) {
                    self.readable(id);
                }
            }
            Output::Refused(ticket) => {
                if let Some(id) = self.asker(ticket) {
                    let refusal = self.refusal_at_gate();
                    self.turn_down(id, ticket, refusal);
                }
            }
            Output::Abandoned(ticket) => {
                if let Some(id) = self.asker(ticket) {
                    self.turn_down(id, ticket, ErrorCode::UnknownOutcome.into());
                }
            }
            Output::Note(Note::FoundedBeside(address)) => {
                self.disk.remove_all()?;
                return Err(Fatal::FoundedBeside(address));
            }
            Output::Note(note) => self.note(&note),
        }
        Ok(())
    }

    /// Time has passed since then that is the disk's, and not this program's.
    fn disk_was_waited_for(&mut self, started: Time) {
        self.now = clock::now();
        self.sync_time += self.now.since(started);
    }

    /// The connection that waits for the replica's answer by a ticket, if it still does.
    fn asker(&mut self, ticket: Ticket) -> Option<ConnectionId> {
        let id = self.tickets.take(ticket)?;
        let client = self.clients.get(&id)?;
        client.awaits(ticket).then_some(id)
    }

    /// Reads ops out of the journal for a server that is far behind.
    fn fetch(&mut self, link: LinkId, after: OpNumber) -> Result<(), Fatal> {
        let entries = self.read_for(super::links::connection_of(link), after)?;
        let input = Input::Fetched {
            link,
            after,
            entries,
        };
        self.replica.handle_input(input, self.now);
        Ok(())
    }

    /// Applies a committed op, answers who asked for it, and delivers what it sent.
    fn apply(&mut self, entry: &Entry, asker: Option<ConnectionId>) -> Result<(), Fatal> {
        let op = decode_op(entry.payload()).map_err(|_| Fatal::UnreadableOp(entry.op()))?;
        self.applied = entry.op();
        let op = match op {
            Op::Cluster(op) => {
                apply_to_cluster(&mut self.cluster, op, entry.op());
                self.cluster_changed = true;
                return Ok(());
            }
            Op::Chat(op) => op,
        };
        let mut effects = Effects {
            changes: std::mem::take(&mut self.changes),
            ..Effects::default()
        };
        let outcome = self.state.apply(entry.op(), entry.time, &op, &mut effects);
        // Before anything else: an answer may ask the store something, which hands over all that
        // was applied. What it did not hand over of this op a restart would not know.
        self.changes = effects.changes;
        if let Some(id) = asker {
            self.answer_asker(id, outcome);
        }
        if let Some(sent) = &effects.message {
            self.deliver(sent, asker);
        }
        if let Some(session) = effects.ended_session {
            self.session_ended(account_of(&op), session, asker);
        }
        if let Some(account) = effects.deleted {
            self.account_deleted(account, asker);
        }
        Ok(())
    }

    fn answer_asker(&mut self, id: ConnectionId, outcome: Outcome) {
        if self.task_number(id).is_some() {
            return self.task_committed(id, outcome);
        }
        match outcome {
            Outcome::Sent(message) => self.finish_oldest(id, &Answer::Sent { id: message }),
            Outcome::Acknowledged(up_to) => {
                self.finish_oldest(id, &Answer::Acknowledged { up_to });
            }
            other => self.finish_oldest(id, &Answer::Refused(&refusal_of(other))),
        }
    }

    /// Hands everything that was applied to the store. Queries that are asked later see it.
    pub(super) fn hand_over(&mut self) {
        if self.handed_over == self.applied {
            debug_assert!(self.changes.is_empty(), "a change came after its op");
            return;
        }
        let changes = std::mem::take(&mut self.changes);
        let cluster = self.cluster.as_ref();
        let cluster = cluster.filter(|_| std::mem::take(&mut self.cluster_changed));
        let batch = batch(&mut self.state, self.applied, changes, cluster);
        self.handed_over = self.applied;
        let bytes = batch.changes.iter().map(memory_of).sum();
        self.store.apply(batch, bytes);
    }

    /// Asks the store something for a connection, as of now.
    pub(super) fn ask_store(
        &mut self,
        id: ConnectionId,
        query: Query,
    ) -> Result<QueryTicket, crate::store::QueueFull> {
        self.hand_over();
        self.last_query += 1;
        let ticket = QueryTicket(self.last_query);
        self.store.query(ticket.0, query)?;
        self.queries.insert(ticket, id);
        Ok(ticket)
    }

    /// Asks the store something for a connection's task, or says that it has too much to do.
    pub(super) fn ask_for_task(&mut self, id: ConnectionId, step: Step, query: Query) {
        match self.ask_store(id, query) {
            Ok(ticket) => {
                self.set_step(id, step);
                if let Some(client) = self.clients.get_mut(&id) {
                    client.task_query = Some(ticket);
                }
            }
            Err(_) => self.refuse_task(id, ErrorCode::Busy.into()),
        }
    }

    /// Takes in what the store's worker has to say: not more pages of messages than a turn has
    /// time to write, however many have asked for one.
    pub(super) fn take_store_answers(&mut self) -> Result<(), Fatal> {
        let time = WorkTime::begin();
        while time.is_left()
            && let Some(answer) = self.store_answers.pop_front()
        {
            match answer {
                StoreAnswer::Found { ticket, found } => {
                    let ticket = QueryTicket(ticket);
                    if let Some(id) = self.queries.remove(&ticket) {
                        self.found(id, ticket, found);
                    }
                }
                StoreAnswer::Durable(op) => {
                    self.store_durable = op;
                    self.release_journal()?;
                }
                StoreAnswer::Unreadable { ticket, error } => {
                    self.store_is_damaged(&error)?;
                    self.unreadable(QueryTicket(ticket), &error);
                }
                StoreAnswer::Snapshot(made) => self.snapshot_made(made),
                StoreAnswer::SnapshotFailed(error) => {
                    if let MakeSnapshotError::Store(error) = &error
                        && error.is_damage()
                    {
                        self.store_is_damaged(error)?;
                    }
                    self.snapshot_failed(&error);
                }
                StoreAnswer::Damaged(error) => self.store_is_damaged(&error)?,
                StoreAnswer::Failed(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// The disk has changed something of the store: it is replaced by another server's as soon as one is in sync,
    /// and until then what is whole is served.
    fn store_is_damaged(&mut self, error: &StoreError) -> Result<(), Fatal> {
        if !self.disk.has_damaged_store() {
            log::error!("{error}");
            self.disk.note_damaged_store(&error.to_string())?;
            self.replica.handle_input(Input::StoreDamaged, self.now);
        }
        Ok(())
    }

    /// What a connection has asked the store for is damaged.
    fn unreadable(&mut self, ticket: QueryTicket, error: &StoreError) {
        let Some(id) = self.queries.remove(&ticket) else {
            return;
        };
        let Some(client) = self.clients.get_mut(&id) else {
            return;
        };
        let message = match error {
            StoreError::DamagedMessage { id, .. } => Some(*id),
            _ => None,
        };
        if client.task_query != Some(ticket) {
            return self.feed_unreadable(id, ticket, message);
        }
        client.task_query = None;
        let refusal = self.refusal_of_damage(message);
        self.refuse_task(id, refusal);
    }

    /// What somebody gets who has asked for something that is damaged here.
    pub(super) fn refusal_of_damage(&self, message: Option<OpNumber>) -> Refusal {
        let what = match message {
            Some(id) => format!("message {id} is"),
            None => "a part of this is".to_owned(),
        };
        match self.replica.has_whole_member(self.now) {
            true => Refusal::new(
                ErrorCode::Busy,
                format!(
                    "{what} damaged on this server's disk, and another server takes over: try again"
                ),
            ),
            false => Refusal::new(
                ErrorCode::Damaged,
                format!(
                    "{what} damaged on this server's disk, and no other server is there that has it: start one \
                     that has everything"
                ),
            ),
        }
    }

    /// Looks how far the store is behind, and the other servers. Beyond the limits no further
    /// requests are taken up; the store's worker wakes the loop when it has come below, and so
    /// does what the others acknowledge.
    pub(super) fn look_at_lag(&mut self) {
        let lagged = self.lags();
        self.store_lags = self.store.lag_bytes() > STORE_LAG_BYTES_MAX;
        self.others_lag = self.replica.uncommitted_bytes() > UNCOMMITTED_BYTES_MAX;
        if lagged && !self.lags() {
            self.unblock_all();
        }
    }

    /// No further requests are taken up before others have come nearer.
    pub(super) fn lags(&self) -> bool {
        self.store_lags || self.others_lag
    }

    /// Lets go of what neither this server nor another one will want out of the journal.
    pub(super) fn release_journal(&mut self) -> Result<(), Fatal> {
        if self.disk.has_damaged_store() {
            // No snapshot can be made: others get what they lack out of the journal, or not at all.
            return Ok(());
        }
        let needed_by_others = OpNumber(self.replica.oldest_needed().0.saturating_sub(1));
        let up_to = self
            .store_durable
            .min(needed_by_others)
            .min(self.transfers.held_back(self.now));
        let released = self.disk.release(up_to)?;
        if released > 0 {
            log::debug!("let go of {released} journal segments: nobody needs ops up to {up_to}");
        }
        Ok(())
    }

    fn found(&mut self, id: ConnectionId, ticket: QueryTicket, found: Found) {
        let Some(client) = self.clients.get_mut(&id) else {
            return;
        };
        if client.task_query != Some(ticket) {
            if let Found::Page { messages, more } = found {
                self.feed_page(id, ticket, &messages, more);
            }
            return;
        }
        client.task_query = None;
        match (client.take_step(), found) {
            (Some(Step::Hash(check)), Found::PasswordHash(hash)) => {
                self.hash_found(id, check, hash);
            }
            (Some(Step::CountUnread(logging_in)), Found::Count(unread)) => {
                self.unread_counted(id, logging_in, unread);
            }
            (Some(Step::FindNewest(stream)), Found::Newest(newest)) => {
                self.newest_found(id, stream, newest);
            }
            (Some(Step::Messages(stream)), Found::Page { messages, more }) => {
                self.page_found(id, stream, &messages, more);
            }
            _ => unreachable!("the store answers what it was asked"),
        }
    }
}

/// What ops have changed up to `applied`, for the store: `changes`, and what has changed in the sessions; and the
/// cluster, if it has.
pub(super) fn batch(
    state: &mut State,
    applied: OpNumber,
    mut changes: Vec<Change>,
    cluster: Option<&Cluster>,
) -> Batch {
    state.flush_sessions(&mut changes);
    changes.extend(cluster.map(|cluster| Change::Cluster(cluster.clone())));
    Batch {
        applied,
        clock: state.clock(),
        changes,
    }
}

/// About how many bytes a change occupies while it waits for the store.
fn memory_of(change: &Change) -> usize {
    let further = match change {
        Change::MessageSent(message) => message.text.capacity(),
        Change::Session(session) => session.answers.capacity() * ANSWER_BYTES,
        Change::AccountCreated { password_hash, .. } => password_hash.capacity(),
        _ => 0,
    };
    size_of::<Change>() + further
}

/// Whose sessions an op can end.
fn account_of(op: &ChatOp<'_>) -> crate::types::AccountId {
    match op {
        ChatOp::OpenSession { account, .. } => *account,
        ChatOp::CloseSession { origin }
        | ChatOp::DeleteAccount { origin, .. }
        | ChatOp::Send { origin, .. }
        | ChatOp::Acknowledge { origin, .. } => origin.account,
        ChatOp::CreateAccount { .. } => Default::default(),
    }
}
