//! What happens between a request and its answer? One write and one sync for a whole turn, and
//! then everything that they made true.

use super::{Fatal, Server, WorkTime};
use crate::chat::Effects;
use crate::chat::change::Change;
use crate::limits::STORE_LAG_BYTES_MAX;
use crate::net::ConnectionId;
use crate::replica::{Entry, Input, Output, Ticket};
use crate::store::{Batch, Found, Query, StoreAnswer};
use crate::types::{ChatOp, ErrorCode, Op, OpNumber, Outcome, RequestNumber};
use crate::wire::message::{Answer, NoteKind};
use crate::wire::operation::decode_op;

use super::accounts::refusal_of;
use super::connection::{QueryTicket, Step};

/// What a session's answer occupies.
const ANSWER_BYTES: usize = size_of::<(RequestNumber, Outcome)>();

impl Server {
    /// Syncs what this turn has appended, once for all of it, and carries out everything that
    /// follows, until the replica has nothing more to say.
    pub(super) fn settle(&mut self) -> Result<(), Fatal> {
        let served = self.replica.serves();
        loop {
            while let Some(output) = self.replica.poll_output() {
                self.carry_out(output)?;
            }
            if self.journal.synced() == self.journal.head() {
                break;
            }
            let started = crate::net::clock::now();
            let op = self.journal.sync()?;
            let took = crate::net::clock::now().since(started);
            self.sync_time += took;
            self.replica.handle_input(Input::Persisted { op }, self.now);
        }
        if !served && self.replica.serves() {
            self.announce_ready();
        }
        self.hand_over();
        Ok(())
    }

    fn carry_out(&mut self, output: Output) -> Result<(), Fatal> {
        match output {
            Output::Append(entry) => self.journal.append(entry.op(), &entry.prepare),
            Output::Committed { entry, ticket } => {
                self.apply(&entry, ticket.map(connection_of))?;
            }
            Output::Readable(ticket) => self.readable(connection_of(ticket)),
            Output::Refused(ticket) => {
                let id = connection_of(ticket);
                if self.task_number(id).is_some() {
                    self.refuse_task(id, ErrorCode::NotReady.into());
                } else {
                    self.finish_oldest(id, &Answer::Refused(&ErrorCode::NotReady.into()));
                }
            }
            Output::Save { .. } => self.replica.handle_input(Input::Saved, self.now),
            _ => {}
        }
        Ok(())
    }

    /// Applies a committed op, answers who asked for it, and delivers what it sent.
    fn apply(&mut self, entry: &Entry, asker: Option<ConnectionId>) -> Result<(), Fatal> {
        let op = decode_op(entry.payload()).map_err(|_| Fatal::UnreadableOp(entry.op()))?;
        self.applied = entry.op();
        let op = match op {
            Op::Cluster(_) => {
                self.cluster_changed = true;
                return Ok(());
            }
            Op::Chat(op) => op,
        };
        let mut effects = Effects::default();
        let outcome = self.state.apply(entry.op(), entry.time, &op, &mut effects);
        // Before anything else: an answer may ask the store something, which hands over all that
        // was applied. What it did not hand over of this op a restart would not know.
        self.changes.append(&mut effects.changes);
        if let Some(id) = asker {
            self.answer_asker(id, outcome);
        }
        for sent in &effects.messages {
            self.deliver(sent, asker);
        }
        for session in &effects.ended_sessions {
            self.session_ended(account_of(&op), *session, asker);
        }
        for account in &effects.deleted {
            self.account_deleted(*account, asker);
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
        let mut changes = std::mem::take(&mut self.changes);
        self.state.flush_sessions(&mut changes);
        if std::mem::take(&mut self.cluster_changed)
            && let Some(cluster) = self.replica.cluster()
        {
            changes.push(Change::Cluster(cluster.clone()));
        }
        let batch = Batch {
            applied: self.applied,
            clock: self.state.clock(),
            changes,
        };
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
                StoreAnswer::Durable(op) => self.release_journal(op)?,
                StoreAnswer::Failed(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Looks how far behind the store is. Beyond the limit no further requests are taken up; its
    /// worker wakes the loop when it has come below.
    pub(super) fn look_at_lag(&mut self) {
        let lagged = self.store_lags;
        self.store_lags = self.store.lag_bytes() > STORE_LAG_BYTES_MAX;
        if lagged && !self.store_lags {
            for id in self.clients.keys().copied().collect::<Vec<_>>() {
                self.unblock(id);
            }
        }
    }

    fn release_journal(&mut self, op: OpNumber) -> Result<(), Fatal> {
        let released = self.journal.release(op)?;
        if released > 0 {
            log::debug!("deleted {released} journal segments: the store has synced up to op {op}");
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

    /// From now on clients are let in: those who came before are told.
    fn announce_ready(&mut self) {
        self.print_ready();
        let waiting: Vec<ConnectionId> = self
            .clients
            .iter_mut()
            .filter_map(|(id, client)| std::mem::take(&mut client.told_not_ready).then_some(*id))
            .collect();
        for id in waiting {
            self.write_note(id, NoteKind::Ready, "ready");
        }
    }
}

fn connection_of(ticket: Ticket) -> ConnectionId {
    ConnectionId::from_bits(ticket.0)
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
