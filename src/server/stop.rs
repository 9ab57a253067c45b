//! How does a server leave?
//!
//! The first signal begins an orderly end: nothing new is taken up, what was asked is answered,
//! everybody is told, and the process ends when all is sent. The second one ends it at once.
//! Either way, what was acknowledged is on disk.

use std::time::Duration;

use super::{Alarm, Fatal, Flow, Server};
use crate::limits::SHUTDOWN_TIME_MAX;
use crate::net::{ConnectionId, Signal};
use crate::types::{ErrorCode, Time};
use crate::wire::message::NoteKind;

/// How often a stopping server looks whether it may go.
const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(20);
/// How long peers that have got everything may take to close their half: a reset could otherwise
/// overtake the last answer on its way.
const GOODBYE_TIME: Duration = Duration::from_millis(200);

/// How far the store may be behind for a stopping server to wait for it.
const LAG_BYTES_MAX: usize = 4 * 1024 * 1024;

/// An orderly end that has begun.
pub(super) struct Stopping {
    /// When it began.
    since: Time,
}

impl Server {
    /// A signal has come.
    pub(super) fn signalled(&mut self, signal: Signal) -> Flow {
        if self.stopping.is_some() {
            self.at_once = true;
            return Flow::Ends;
        }
        log::info!("stopping, after {signal:?}; once more to stop at once");
        self.stopping = Some(Stopping { since: self.now });
        for listener in std::mem::take(&mut self.listeners) {
            self.network.stop_listening(listener);
        }
        self.network.set_timer(self.now, Alarm::Stop);
        Flow::Goes
    }

    /// At the end of a turn: whether there is another one.
    pub(super) fn flow(&mut self) -> Flow {
        let Some(Stopping { since }) = self.stopping else {
            return Flow::Goes;
        };
        self.say_farewell();
        let waited = self.now.since(since);
        let all_gone = self.network.clients() == 0;
        let all_sent = waited > GOODBYE_TIME && self.network.is_all_sent();
        if all_gone || all_sent || waited > SHUTDOWN_TIME_MAX {
            return Flow::Ends;
        }
        self.network
            .set_timer(self.now + LOOK_AGAIN_AFTER, Alarm::Stop);
        Flow::Goes
    }

    /// Tells everybody, and closes the connections. What is on its way through the log was
    /// answered when the turn settled; what still waits for a worker cannot be waited for.
    fn say_farewell(&mut self) {
        let ids: Vec<ConnectionId> = self.clients.keys().copied().collect();
        for id in ids {
            self.abandon_task(id, ErrorCode::ShuttingDown);
            self.write_note(id, NoteKind::ServerStops, "the server stops");
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
        self.store.stop()?;
        log::info!("stopped; everything up to op {applied} is on disk");
        Ok(())
    }
}
