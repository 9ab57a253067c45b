//! How does a request get its answer?
//!
//! In its turn: those that are in flight in the order in which they came, and a task when the
//! connection is its own. Each ends with exactly one last word.

use super::Server;
use super::connection::{ClientConnection, InFlight, Step, Task};
use crate::limits::ERRORS_BEFORE_LOGIN_MAX;
use crate::net::ConnectionId;
use crate::replica::Ticket;
use crate::types::{ErrorCode, RequestNumber};
use crate::wire::message::{Answer, Item, NoteKind, Push, Refusal};
use crate::wire::{reply, text};

impl Server {
    /// Gives the connection to a request.
    pub(super) fn begin_task(&mut self, id: ConnectionId, number: RequestNumber, step: Step) {
        let since = self.now;
        if let Some(client) = self.clients.get_mut(&id) {
            debug_assert!(client.is_idle(), "a task has the connection to itself");
            client.task = Some(Box::new(Task {
                number,
                since,
                ticket: None,
            }));
            client.step = Some(Box::new(step));
        }
    }

    /// Says what a task waits for next.
    pub(super) fn set_step(&mut self, id: ConnectionId, step: Step) {
        if let Some(client) = self.clients.get_mut(&id) {
            debug_assert!(client.task.is_some(), "a step belongs to a task");
            client.step = Some(Box::new(step));
        }
    }

    /// A task's last word.
    pub(super) fn finish_task(&mut self, id: ConnectionId, answer: &Answer<'_>) {
        if let Some(number) = self.task_number(id) {
            self.end_task(id);
            self.write_answer(id, number, answer);
        }
    }

    /// A task cannot be done.
    pub(super) fn refuse_task(&mut self, id: ConnectionId, refusal: Refusal) {
        self.finish_task(id, &Answer::Refused(&refusal));
    }

    /// Ends whatever task there is before the connection ends, so that nothing comes in the middle
    /// of an answer.
    pub(super) fn abandon_task(&mut self, id: ConnectionId, code: ErrorCode) {
        let step = self.clients.get(&id).and_then(|c| c.step.as_deref());
        if matches!(step, Some(Step::SendUnread)) {
            // The login itself was answered.
            self.end_task(id);
        } else {
            self.refuse_task(id, code.into());
        }
    }

    pub(super) fn task_number(&self, id: ConnectionId) -> Option<RequestNumber> {
        Some(self.clients.get(&id)?.task.as_ref()?.number)
    }

    /// Gives the connection back to its further requests.
    pub(super) fn end_task(&mut self, id: ConnectionId) {
        let now = self.now;
        let Some(client) = self.clients.get_mut(&id) else {
            return;
        };
        if let Some(task) = client.task.take() {
            client.logged_out_since = client.logged_out_since + now.since(task.since);
        }
        client.step = None;
        client.task_query = None;
        self.pump(id);
        self.unblock(id);
    }

    /// Refuses a request, in its turn.
    pub(super) fn refuse(&mut self, id: ConnectionId, number: RequestNumber, refusal: Refusal) {
        let Some(client) = self.clients.get_mut(&id) else {
            return;
        };
        if client.in_flight.is_empty() {
            self.write_answer(id, number, &Answer::Refused(&refusal));
        } else {
            client.in_flight.push_back(InFlight {
                number,
                ticket: None,
                refusal: Some(refusal),
            });
        }
    }

    /// A pipelined request, the oldest of its connection, got its answer.
    pub(super) fn finish_oldest(&mut self, id: ConnectionId, answer: &Answer<'_>) {
        let Some(client) = self.clients.get_mut(&id) else {
            return;
        };
        let Some(oldest) = client.in_flight.pop_front() else {
            return;
        };
        debug_assert!(oldest.refusal.is_none(), "refusals never wait in front");
        self.write_answer(id, oldest.number, answer);
        self.answer_refused(id);
    }

    /// The replica will not do what was asked by a ticket, or not say what came of it.
    pub(super) fn turn_down(&mut self, id: ConnectionId, ticket: Ticket, refusal: Refusal) {
        let Some(client) = self.clients.get_mut(&id) else {
            return;
        };
        if !client.awaits(ticket) {
            return;
        }
        if client.task.is_some() {
            return self.refuse_task(id, refusal);
        }
        for request in &mut client.in_flight {
            if request.ticket == Some(ticket) {
                request.refusal = Some(refusal);
                break;
            }
        }
        self.answer_refused(id);
    }

    /// Writes the refusals whose turn has come.
    pub(super) fn answer_refused(&mut self, id: ConnectionId) {
        while let Some(InFlight {
            number,
            refusal: Some(refusal),
            ..
        }) = self
            .clients
            .get_mut(&id)
            .and_then(|client| client.in_flight.pop_front_if(|next| next.refusal.is_some()))
        {
            self.write_answer(id, number, &Answer::Refused(&refusal));
        }
        self.unblock(id);
    }

    /// Writes the last word of an answer.
    pub(super) fn write_answer(
        &mut self,
        id: ConnectionId,
        number: RequestNumber,
        answer: &Answer<'_>,
    ) {
        let Some(client) = self.clients.get_mut(&id) else {
            return;
        };
        let Some(out) = self.network.output(id) else {
            return;
        };
        client.write_answer(out, number, answer);
        match answer {
            // A client cannot know yet, and may have sent much ahead.
            Answer::Refused(refusal) if is_servers_doing(refusal.code) || client.session_ended => {}
            Answer::Refused(_) => {
                client.errors_in_row += 1;
                let too_many = client.errors_in_row >= ERRORS_BEFORE_LOGIN_MAX;
                if too_many && client.login.is_none() {
                    self.write_note(id, NoteKind::Closing, "too many errors before login");
                    self.close(id);
                }
            }
            _ => client.errors_in_row = 0,
        }
    }

    /// Writes a part of a task's answer.
    pub(super) fn write_item(&mut self, id: ConnectionId, item: &Item<'_>) {
        if let Some(number) = self.task_number(id)
            && let Some(client) = self.clients.get(&id)
            && let Some(out) = self.network.output(id)
        {
            client.write_item(out, number, item);
        }
    }

    /// Writes a note.
    pub(super) fn write_note(&mut self, id: ConnectionId, about: NoteKind, sentence: &str) {
        if let (Some(client), Some(out)) = (self.clients.get(&id), self.network.output(id)) {
            client.write_push(out, &Push::Note { about, sentence });
        }
    }
}

/// It was refused for nothing that the client has done.
fn is_servers_doing(code: ErrorCode) -> bool {
    matches!(
        code,
        ErrorCode::NotReady | ErrorCode::NotPrimary | ErrorCode::UnknownOutcome
    )
}

impl ClientConnection {
    /// Writes the last word of an answer, as the connection speaks.
    pub fn write_answer(&self, out: &mut Vec<u8>, number: RequestNumber, answer: &Answer<'_>) {
        if self.is_binary() {
            reply::encode_answer(out, number, answer);
        } else {
            text::encode_answer(out, answer);
        }
    }

    /// Writes a part of an answer, as the connection speaks.
    pub fn write_item(&self, out: &mut Vec<u8>, number: RequestNumber, item: &Item<'_>) {
        if self.is_binary() {
            reply::encode_item(out, number, item);
        } else {
            text::encode_item(out, item);
        }
    }
}
