//! Which messages has a connection still to get from a simulated server?
//!
//! As in the real one: who has everything gets what comes at once; others get page by page what is
//! in the store. The pages are small, so that many things happen between them.

use std::collections::BTreeSet;

use lastword::chat::Sent;
use lastword::store::{Found, Query, Range, Scope, Store, StoredMessage};
use lastword::types::{AccountId, ConversationId, ErrorCode, OpNumber};
use lastword::wire::message::{Answer, Deliver, Item, MessageView, Push};
use lastword::wire::reply::{encode_item, encode_push};

use super::process::Process;
use super::service::{Caller, Step};
use super::world::World;

/// Messages that the store gives in a turn.
const PAGE: u32 = 3;

/// What a connection has got, and what it has still to get.
#[derive(Default)]
pub struct Feed {
    phase: Phase,
    /// Messages up to here were delivered, or need not be.
    position: OpNumber,
    /// Messages above `position` that were sent from this connection.
    own: BTreeSet<OpNumber>,
}

#[derive(Default)]
enum Phase {
    /// Nobody is logged in, or nothing is wanted.
    #[default]
    Off,
    /// Unread messages below an op are sent first.
    Unread {
        read_up_to: Vec<(ConversationId, OpNumber)>,
        before: OpNumber,
    },
    /// Messages are read from the store.
    Behind,
    /// All is delivered.
    Live,
}

/// An answer of messages.
pub struct Stream {
    range: Range,
    /// Only the newest so many.
    newest: Option<u32>,
    left: u64,
    count: u64,
}

impl Feed {
    /// Of a connection that has just logged in, when everything up to `applied` is in the state.
    pub fn begin(
        deliver: Deliver,
        (all_read, read_up_to): (OpNumber, &[(ConversationId, OpNumber)]),
        applied: OpNumber,
    ) -> Self {
        let (phase, position) = match deliver {
            Deliver::Nothing => (Phase::Off, OpNumber::ZERO),
            Deliver::After(after) => (Phase::Behind, after.min(applied)),
            Deliver::Unread => {
                let (read_up_to, before) = (read_up_to.to_vec(), applied.next());
                (Phase::Unread { read_up_to, before }, all_read)
            }
        };
        Self {
            phase,
            position,
            own: BTreeSet::new(),
        }
    }

    pub fn wants_page(&self) -> bool {
        matches!(self.phase, Phase::Unread { .. } | Phase::Behind)
    }

    /// Takes in that a message of the account was committed. Says whether to write it out now.
    fn offer(&mut self, id: OpNumber, is_own: bool, can_write: bool) -> bool {
        match self.phase {
            Phase::Off => false,
            Phase::Live if is_own || can_write => {
                self.position = id;
                !is_own
            }
            _ => {
                if matches!(self.phase, Phase::Live) {
                    self.phase = Phase::Behind;
                }
                if is_own {
                    self.own.insert(id);
                }
                false
            }
        }
    }

    fn range(&self, account: AccountId) -> Range {
        let (scope, before) = match &self.phase {
            Phase::Unread { read_up_to, before } => {
                let read_up_to = read_up_to.clone();
                (Scope::Unread { read_up_to }, *before)
            }
            _ => (Scope::All, OpNumber::MAX),
        };
        Range {
            account,
            scope,
            after: self.position,
            before,
        }
    }

    /// There is no more of it in the store, which has everything up to `applied`.
    fn reached(&mut self, applied: OpNumber) {
        (self.position, self.phase) = match self.phase {
            Phase::Unread { before, .. } => (OpNumber(before.0 - 1), Phase::Behind),
            _ => (self.position.max(applied), Phase::Live),
        };
        self.own.retain(|own| *own > self.position);
    }
}

impl Stream {
    /// The newest `limit` messages before an id.
    pub fn history(account: AccountId, limit: u32, before: OpNumber) -> Self {
        Self {
            newest: Some(limit),
            ..Self::new(account, OpNumber::ZERO, before, u64::from(limit))
        }
    }

    /// The messages after an id.
    pub fn log(account: AccountId, after: OpNumber, limit: Option<u32>) -> Self {
        let left = limit.map_or(u64::MAX, u64::from);
        Self::new(account, after, OpNumber::MAX, left)
    }

    fn new(account: AccountId, after: OpNumber, before: OpNumber, left: u64) -> Self {
        let scope = Scope::All;
        Self {
            range: Range {
                account,
                scope,
                after,
                before,
            },
            newest: None,
            left,
            count: 0,
        }
    }
}

fn view(message: &StoredMessage) -> MessageView<'_> {
    MessageView {
        id: message.id,
        time: message.time,
        conversation: message.conversation,
        from: &message.from,
        to: &message.to,
        text: &message.text,
    }
}

/// Writes a committed message to those of its readers' connections that can take it.
pub fn deliver(process: &mut Process, sent: &Sent<'_>, from: Option<u64>) {
    let view = MessageView {
        id: sent.id,
        time: sent.time,
        conversation: sent.conversation,
        from: sent.sender_name.as_str(),
        to: sent.recipient_name.as_str(),
        text: sent.text,
    };
    for (line, caller) in &mut process.service.callers {
        let Some(login) = caller.login else { continue };
        if login.account != sent.recipient && login.account != sent.sender {
            continue;
        }
        let is_own = from == Some(*line) && login.account != sent.recipient;
        let can_write = !caller.is_answering();
        if caller.feed.offer(sent.id, is_own, can_write) {
            encode_push(&mut caller.output, &Push::Message(view));
        }
    }
}

impl World {
    /// Looks something up in what the store of a server has taken in; `None` if it is damaged.
    pub fn look_up(&mut self, host: usize, process: &mut Process, query: &Query) -> Option<Found> {
        self.hand_over(host, process);
        let store = self.hosts[host].store(process);
        match store.query(query) {
            Ok(found) => Some(found),
            Err(error) => {
                assert!(error.is_damage(), "a store in memory: {error}");
                self.store_is_damaged(host, process);
                None
            }
        }
    }

    /// The store is known to be damaged from now on, at the next start, too.
    pub fn store_is_damaged(&mut self, host: usize, process: &mut Process) {
        let generation = process.superblock.generation;
        if self.hosts[host].disk.damage_marks.insert(generation) {
            self.say(|| format!("{}: its store is damaged", host + 1));
            process.store_is_damaged();
        }
    }

    /// The state may be read: finds out where the messages of an answer are.
    pub fn begin_stream(
        &mut self,
        host: usize,
        process: &mut Process,
        line: u64,
        mut stream: Stream,
    ) {
        // What comes while the answer is given does not belong to it.
        stream.range.before = stream.range.before.min(process.applied.op.next());
        if let Some(limit) = stream.newest {
            let range = stream.range.clone();
            let found = self.look_up(host, process, &Query::Newest { range, limit });
            let Some(Found::Newest(newest)) = found else {
                unreachable!("only messages are damaged here");
            };
            let (first, count) = newest.unwrap_or((OpNumber(1), 0));
            stream.range.after = OpNumber(first.0 - 1);
            stream.left = count;
        }
        let caller = process.service.callers.get_mut(&line);
        if let Some(task) = caller.and_then(|it| it.task.as_mut()) {
            task.step = Step::Messages(stream);
        }
    }

    /// A page more for everybody who waits for one.
    pub fn pump(&mut self, host: usize, process: &mut Process) {
        let lines: Vec<u64> = process.service.callers.keys().copied().collect();
        for line in lines {
            let caller = &process.service.callers[&line];
            if caller.is_answering() {
                self.next_page(host, process, line);
            } else if caller.feed.wants_page()
                && let Some(login) = caller.login
            {
                let range = caller.feed.range(login.account);
                let limit = PAGE;
                let found = self.look_up(host, process, &Query::Page { range, limit });
                let Some(found) = found else { continue };
                let applied = process.applied.op;
                let caller = process.service.callers.entry(line).or_default();
                feed_page(caller, found, applied);
            }
        }
    }

    fn next_page(&mut self, host: usize, process: &mut Process, line: u64) {
        let caller = process.service.callers.get_mut(&line);
        let Some(caller) = caller else { return };
        let Some(task) = &mut caller.task else { return };
        let (number, Step::Messages(stream)) = (task.number, &mut task.step) else {
            return;
        };
        let limit = stream.left.min(u64::from(PAGE)) as u32;
        let mut is_last = limit == 0;
        if !is_last {
            let range = stream.range.clone();
            let query = Query::Page { range, limit };
            let Some(found) = self.look_up(host, process, &query) else {
                let refusal = ErrorCode::Busy.into();
                return process
                    .service
                    .finish_task(line, &Answer::Refused(&refusal));
            };
            let Found::Page { messages, more } = found else {
                unreachable!("the store answers what it was asked");
            };
            let caller = process.service.callers.entry(line).or_default();
            let Some(task) = &mut caller.task else { return };
            let Step::Messages(stream) = &mut task.step else {
                return;
            };
            for message in &messages {
                let item = Item::Message(view(message));
                encode_item(&mut caller.output, number, &item);
                stream.range.after = message.id;
            }
            stream.count += messages.len() as u64;
            stream.left -= messages.len() as u64;
            is_last = !more || stream.left == 0;
        }
        if is_last {
            self.end_stream(process, line);
        }
    }

    fn end_stream(&mut self, process: &mut Process, line: u64) {
        let caller = &process.service.callers[&line];
        let Some(Step::Messages(stream)) = caller.task.as_ref().map(|it| &it.step) else {
            return;
        };
        let count = stream.count;
        process
            .service
            .finish_task(line, &Answer::Messages { count });
    }
}

fn feed_page(caller: &mut Caller, found: Found, applied: OpNumber) {
    let Found::Page { messages, more } = found else {
        unreachable!("the store answers what it was asked");
    };
    for message in &messages {
        caller.feed.position = message.id;
        if !caller.feed.own.contains(&message.id) {
            encode_push(&mut caller.output, &Push::Message(view(message)));
        }
    }
    if !more {
        caller.feed.reached(applied);
    }
}
