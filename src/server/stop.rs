//! How does a server leave?
//!
//! The first signal begins an orderly end: the other servers go on without this one, which hands
//! over if it leads; then nothing new is taken up, what was asked is answered, everybody is told,
//! and the process ends when all is sent. The second one ends it at once. Either way, what was
//! acknowledged is on disk.

use std::time::Duration;

use super::{Alarm, Fatal, Flow, Server};
use crate::limits::{HANDOVER_TIME_MAX, SHUTDOWN_TIME_MAX};
use crate::net::{ConnectionId, Signal};
use crate::replica::Input;
use crate::types::{ErrorCode, Time};
use crate::wire::message::NoteKind;

/// How often a stopping server looks whether it may go.
const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(20);
/// How long peers that have got everything may take to close their half: a reset could otherwise
/// overtake the last answer on its way.
const GOODBYE_TIME: Duration = Duration::from_millis(200);

/// How long requests that go on coming are refused, with the new primary's address, before connections are closed:
/// who gets no answer at all does not know that nothing was done.
const REFUSING_TIME: Duration = Duration::from_millis(100);

/// How far the store may be behind for a stopping server to wait for it.
const LAG_BYTES_MAX: usize = 4 * 1024 * 1024;

/// An orderly end that has begun.
pub(super) struct Stopping {
    /// When it began.
    since: Time,
    /// Since when nobody counts on this server any more, and no client waits for what became of a request; `None`
    /// while the others are asked to go on alone.
    handed_over: Option<Time>,
    /// When clients began to be told; `None` before.
    farewell: Option<Time>,
}

impl Server {
    /// A signal has come.
    pub(super) fn signalled(&mut self, signal: Signal) -> Flow {
        if self.stopping.is_some() {
            self.at_once = true;
            return Flow::Ends;
        }
        log::info!("stopping, after {signal:?}; once more to stop at once");
        self.stopping = Some(Stopping {
            since: self.now,
            handed_over: None,
            farewell: None,
        });
        self.replica.handle_input(Input::Leave, self.now);
        self.network.set_timer(self.now, Alarm::Stop);
        Flow::Goes
    }

    /// Nothing new is taken up any more.
    pub(super) fn is_saying_farewell(&self) -> bool {
        let farewell = self.stopping.as_ref().and_then(|it| it.farewell);
        farewell.is_some()
    }

    /// Requests are refused, if they have not begun.
    pub(super) fn has_handed_over(&self) -> bool {
        let handed_over = self.stopping.as_ref().and_then(|it| it.handed_over);
        handed_over.is_some()
    }

    /// At the end of a turn: whether there is another one.
    pub(super) fn flow(&mut self) -> Result<Flow, Fatal> {
        let may_leave = self.replica.may_leave();
        let owes_outcomes = self.owes_outcomes();
        let has_clients = self.network.clients() > 0;
        let Some(Stopping {
            since,
            handed_over,
            farewell,
        }) = &mut self.stopping
        else {
            return Ok(Flow::Goes);
        };
        // What was in the log is answered as soon as the next primary says what became of it.
        if may_leave && !owes_outcomes {
            handed_over.get_or_insert(self.now);
        }
        // Whoever has just got an answer may have asked again, and is told that this was not done.
        let has_answered =
            handed_over.is_some_and(|at| !has_clients || self.now.since(at) > REFUSING_TIME);
        let (since, farewell) = (*since, *farewell);
        let farewell = match farewell {
            Some(farewell) => farewell,
            None if has_answered || self.now.since(since) > HANDOVER_TIME_MAX => {
                self.begin_farewell(since)?;
                self.now
            }
            None => {
                self.network
                    .set_timer(self.now + LOOK_AGAIN_AFTER, Alarm::Stop);
                return Ok(Flow::Goes);
            }
        };
        self.say_farewell();
        let waited = self.now.since(farewell);
        let all_gone = self.network.clients() == 0 && self.network.is_all_sent();
        let all_sent = waited > GOODBYE_TIME && self.network.is_all_sent();
        if all_gone || all_sent || self.now.since(since) > SHUTDOWN_TIME_MAX {
            return Ok(Flow::Ends);
        }
        self.network
            .set_timer(self.now + LOOK_AGAIN_AFTER, Alarm::Stop);
        Ok(Flow::Goes)
    }

    /// Nobody counts on this server any more, or it cannot be helped.
    fn begin_farewell(&mut self, since: Time) -> Result<(), Fatal> {
        if !self.replica.may_leave() {
            log::warn!("the other servers were not told in time; they go on all the same");
        }
        self.stopping = Some(Stopping {
            since,
            handed_over: Some(self.now),
            farewell: Some(self.now),
        });
        // Its own address stays bound as long as it lives: a refused connect means that it does not.
        self.look_at_service()
    }

    /// Tells everybody, and closes the connections. What has been read and not begun is refused; what still waits
    /// for a worker cannot be waited for.
    fn say_farewell(&mut self) {
        self.give_up_outcomes();
        let ids: Vec<ConnectionId> = self.clients.keys().copied().collect();
        let me = self.replica.identity().server;
        let sentence = match self.replica.leader().filter(|leader| leader.server != me) {
            Some(leader) => format!("the server stops; {} is the primary", leader.address),
            None => "the server stops".into(),
        };
        for id in ids {
            self.abandon_task(id, ErrorCode::ShuttingDown);
            self.work_off(id);
            self.write_note(id, NoteKind::ServerStops, &sentence);
            self.close(id);
        }
        self.network.flush();
    }

    /// The last step: the store is brought up to date, so that the next start is quick. If that
    /// would take long, the next start does it out of the journal.
    pub(super) fn leave_in_order(self) -> Result<(), Fatal> {
        let applied = self.applied;
        if self.at_once || self.store.lag_bytes() > LAG_BYTES_MAX {
            log::info!("stopped; the journal holds everything up to op {applied}");
            return Ok(());
        }
        let mut disk = self.disk;
        if let Err(error) = self.store.stop() {
            if error.is_damage() {
                disk.note_damaged_store(&error.to_string())?;
            }
            return Err(error.into());
        }
        log::info!("stopped; everything up to op {applied} is on disk");
        Ok(())
    }
}
