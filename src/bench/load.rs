//! How many messages are acknowledged, and how long does each one take?
//!
//! In a *closed loop* every connection keeps so many requests open, and asks the next one when one is
//! answered: that shows how much can be done at once. *At a rate* the moment of each request is fixed
//! before, whatever became of those before it, and its time is counted from that moment, also where no
//! connection was free for it then: a server that stands still for a second has kept all of that
//! second's requests waiting, and not one. (A closed loop would leave them out, which is known as
//! coordinated omission.)
//!
//! Times are taken once for all answers that one look at the sockets brings, so they are too long rather
//! than too short.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use super::connections::{BenchError, Connections, refused, unasked};
use super::entrance::Entrance;
use super::figures::{Figures, Second};
use super::ledger::{FILLING, LABEL_BYTES, Ledger, write_label};
use super::window::Window;
use crate::limits::{CONNECTION_REQUESTS_MAX, TEXT_BYTES_MAX};
use crate::net::clock;
use crate::types::{Name, OpNumber, RequestNumber, Text, Time};
use crate::wire::frame::HEADER_BYTES;
use crate::wire::message::{Answer, Push, Request};
use crate::wire::reply::FromServer;
use crate::wire::request::encode_request;

/// Shortest text: it says which message it is.
pub const SIZE_MIN: usize = LABEL_BYTES;
/// Longest text.
pub const SIZE_MAX: usize = TEXT_BYTES_MAX;
/// Most requests that a connection may have open: a server reads no more of it at a time.
pub const DEPTH_MAX: usize = CONNECTION_REQUESTS_MAX;
/// Most connections: so many sessions fit into a message's label, and so many ports has an address.
pub const CLIENTS_MAX: usize = 20_000;
/// Most connections that listen, and most that are stalled.
pub const LISTENERS_MAX: usize = 1000;
/// The system's own waiting is by this, and up.
const SYSTEM_WAITS_BY: Duration = Duration::from_millis(1);
/// How long it may take until the next request is due without the loop looking at its sockets first.
const LOOK_AT_LEAST_EVERY: Duration = Duration::from_micros(100);

/// What load is put on a server.
#[derive(Clone, Debug)]
pub struct Load {
    /// Connections, at most [`CLIENTS_MAX`].
    pub clients: usize,
    /// Requests that each may have open, at most [`DEPTH_MAX`].
    pub depth: usize,
    /// Bytes of a text, from [`SIZE_MIN`] to [`SIZE_MAX`].
    pub size: usize,
    /// How long it goes on before anything counts.
    pub warm_up: Duration,
    /// How long it counts.
    pub window: Duration,
    /// Requests a second; `None`: as many as the loop allows.
    pub rate: Option<f64>,
    /// Connections to which every message is delivered, and which read it.
    pub listeners: usize,
    /// Connections to which every message is delivered, and which read nothing: the server is expected to let
    /// them wait, and to close them in the end.
    pub stalled: usize,
    /// Whether the accounts that are made for it stay.
    pub keep: bool,
}

/// Puts a load on the server at `address`, and checks in the end that all that was acknowledged is
/// there. `tell` is called once for each second that has passed since the warm-up.
///
/// # Errors
/// Whatever ends it before there is a figure. A message that was acknowledged and is not there is
/// [`BenchError::Wrong`].
pub fn measure(
    address: SocketAddr,
    load: &Load,
    tell: &mut dyn FnMut(&Second),
) -> Result<Figures, BenchError> {
    let mut entrance = Entrance::open(address, load.clients, load.depth)?;
    let mut ledger = Ledger::new(entrance.session_count());
    let figures = entrance
        .listen(load.listeners, load.stalled)
        .and_then(|()| Generator::new(&mut entrance, &mut ledger, load).run(tell))
        .and_then(|figures| ledger.check(&mut entrance, load.size).map(|()| figures));
    // What is wrong is left for those who have to find out why.
    let is_wrong = matches!(figures, Err(BenchError::Wrong(_)));
    entrance.leave(load.keep || is_wrong);
    figures
}

/// The same on a bare [pipeline](super::pipeline), which knows no accounts and keeps nothing that could be looked up.
///
/// # Errors
/// Whatever ends it before there is a figure.
pub fn measure_bare(
    address: SocketAddr,
    load: &Load,
    tell: &mut dyn FnMut(&Second),
) -> Result<Figures, BenchError> {
    let mut entrance = Entrance::without_accounts(address, load.clients, load.depth)?;
    let mut ledger = Ledger::new(entrance.session_count());
    Generator::new(&mut entrance, &mut ledger, load).run(tell)
}

/// One run of a load.
struct Generator<'a> {
    connections: &'a mut Connections,
    session_of: &'a [usize],
    ledger: &'a mut Ledger,
    load: &'a Load,
    /// The request as it is sent, but for its numbers and its label.
    frame: Vec<u8>,
    /// What each connection waits for: the numbers, and when each was due.
    open: Vec<VecDeque<(RequestNumber, Time)>>,
    /// Connections that may ask something, each once.
    free: VecDeque<usize>,
    is_free: Vec<bool>,
    /// Connections whose session had too much open.
    held_back: Vec<usize>,
    /// Requests that were sent, and that wait for an answer.
    sent: u64,
    waiting: u64,
    /// What was delivered to each of those who listen and read.
    delivered: Vec<Delivered>,
}

/// What one connection was sent.
#[derive(Clone, Copy, Default)]
struct Delivered {
    count: u64,
    last: OpNumber,
    /// Of the ids, as far as it goes.
    sum: u64,
}

/// The times of a run.
struct Schedule {
    /// When the first request is due.
    begin: Time,
    /// When it ends.
    end: Time,
}

impl<'a> Generator<'a> {
    fn new(entrance: &'a mut Entrance, ledger: &'a mut Ledger, load: &'a Load) -> Self {
        let text = char::from(FILLING).to_string().repeat(load.size);
        Self {
            frame: frame(entrance.recipient, &text),
            connections: &mut entrance.connections,
            session_of: &entrance.session_of,
            ledger,
            load,
            open: vec![VecDeque::with_capacity(load.depth); load.clients],
            free: (0..load.clients).collect(),
            is_free: vec![true; load.clients],
            held_back: Vec::new(),
            sent: 0,
            waiting: 0,
            delivered: vec![Delivered::default(); load.listeners],
        }
    }

    fn run(mut self, tell: &mut dyn FnMut(&Second)) -> Result<Figures, BenchError> {
        let begin = clock::now();
        let by_due = self.load.rate.is_some();
        let mut window = Window::new(begin + self.load.warm_up, self.load.window, by_due);
        let schedule = Schedule {
            begin,
            end: window.end(),
        };
        let mut answered = Vec::new();
        loop {
            let now = clock::now();
            self.send(&schedule, now);
            let is_over = self.next_due(&schedule, now).is_none();
            if is_over && self.waiting == 0 && self.all_is_delivered() {
                break;
            }
            self.wait(&schedule, now, &mut answered)
                .map_err(|error| self.undelivered().unwrap_or(error))?;
            let now = clock::now();
            window.pass(now, tell);
            for due in answered.drain(..) {
                window.note(due, now);
            }
        }
        if let Some(undelivered) = self.undelivered() {
            return Err(undelivered);
        }
        let delivered = self.delivered.iter().map(|it| it.count).sum();
        Ok(window.finish(self.ledger.acknowledged(), delivered, tell))
    }

    /// Whether those who listen have got as much as was acknowledged.
    fn all_is_delivered(&self) -> bool {
        let all = self.ledger.acknowledged();
        self.delivered.iter().all(|it| it.count >= all)
    }

    /// What is wrong with what was delivered once nothing is open any more; `None` if it is what was
    /// acknowledged.
    fn undelivered(&self) -> Option<BenchError> {
        let (all, sum) = (self.ledger.acknowledged(), self.ledger.sum());
        let wrong = |it: &&Delivered| (it.count, it.sum) != (all, sum);
        let wrong = self.delivered.iter().find(wrong)?;
        (self.waiting == 0).then(|| {
            BenchError::Wrong(format!(
                "{} messages were delivered where {all} were acknowledged, or others: that must never happen, \
                 please report it",
                wrong.count
            ))
        })
    }

    /// Sends what is due, as far as connections are free for it.
    fn send(&mut self, schedule: &Schedule, now: Time) {
        while let Some(due) = self.next_due(schedule, now)
            && due <= now
        {
            let Some(place) = self.free.pop_front() else {
                return;
            };
            self.is_free[place] = false;
            let session = self.session_of[place];
            let Some((number, lowest_open)) = self.ledger.next(session) else {
                self.held_back.push(place);
                continue;
            };
            self.frame[8..16].copy_from_slice(&number.0.to_be_bytes());
            self.frame[HEADER_BYTES..HEADER_BYTES + 8]
                .copy_from_slice(&lowest_open.0.to_be_bytes());
            let text = self.frame.len() - self.load.size;
            write_label(&mut self.frame[text..], session, number);
            if let Some(out) = self.connections.output(place) {
                out.extend_from_slice(&self.frame);
            }
            self.open[place].push_back((number, due));
            self.sent += 1;
            self.waiting += 1;
            self.set_free(place);
        }
    }

    /// When the next request is due, or was; `None` if there is none any more.
    fn next_due(&self, schedule: &Schedule, now: Time) -> Option<Time> {
        let due = match self.load.rate {
            Some(rate) => schedule.begin + Duration::from_secs_f64(self.sent as f64 / rate),
            None => now,
        };
        (due < schedule.end).then_some(due)
    }

    /// How long the sockets may be waited for. The system waits by the millisecond: what is due within less
    /// is slept for here.
    fn wait_max(&self, schedule: &Schedule, now: Time) -> Option<Duration> {
        if self.load.rate.is_none() || self.free.is_empty() {
            return None;
        }
        let left = self.next_due(schedule, now)?.since(now);
        if left >= 2 * SYSTEM_WAITS_BY {
            return Some(left - SYSTEM_WAITS_BY);
        }
        std::thread::sleep(left.min(LOOK_AT_LEAST_EVERY));
        Some(Duration::ZERO)
    }

    /// Puts a connection among those that may ask, if it may.
    fn set_free(&mut self, place: usize) {
        if !self.is_free[place] && self.open[place].len() < self.load.depth {
            self.is_free[place] = true;
            self.free.push_back(place);
        }
    }

    /// Waits for answers, or until the next request is due, and puts into `answered` when those were
    /// due that are answered now.
    fn wait(
        &mut self,
        schedule: &Schedule,
        now: Time,
        answered: &mut Vec<Time>,
    ) -> Result<(), BenchError> {
        let wait_max = self.wait_max(schedule, now);
        let (open, ledger, session_of) = (&mut self.open, &mut *self.ledger, self.session_of);
        let (delivered, clients) = (&mut self.delivered, self.load.clients);
        let mut came = Vec::new();
        self.connections
            .turn(wait_max, |place, message| match message {
                FromServer::Answer { number, answer } => {
                    let id = match answer {
                        Ok(Answer::Sent { id }) => id,
                        Ok(other) => return Err(BenchError::Senseless(format!("{other:?}"))),
                        Err(refusal) => return Err(refused("a message", refusal)),
                    };
                    match open[place].pop_front() {
                        Some((expected, due)) if expected == number => {
                            ledger.note(session_of[place], number, id);
                            answered.push(due);
                            came.push(place);
                            Ok(())
                        }
                        _ => Err(BenchError::Senseless(format!(
                            "an answer to request {number}, which is not the next one"
                        ))),
                    }
                }
                FromServer::Push(Push::Message(view)) if place >= clients => {
                    let delivered = &mut delivered[place - clients];
                    if view.id <= delivered.last {
                        return Err(BenchError::Wrong(format!(
                            "message {} was delivered after message {}: that must never happen, please report it",
                            view.id, delivered.last
                        )));
                    }
                    delivered.last = view.id;
                    delivered.count += 1;
                    delivered.sum = delivered.sum.wrapping_add(view.id.0);
                    Ok(())
                }
                other => unasked(&other),
            })?;
        self.waiting -= came.len() as u64;
        if !came.is_empty() {
            for place in std::mem::take(&mut self.held_back) {
                self.set_free(place);
            }
        }
        for place in came {
            self.set_free(place);
        }
        Ok(())
    }
}

/// A message to `recipient`, as it is sent.
fn frame(recipient: Name, text: &str) -> Vec<u8> {
    let mut frame = Vec::new();
    let request = Request::Send {
        to: recipient,
        text: Text::parse(text).expect("a text of a size that is allowed"),
    };
    encode_request(&mut frame, RequestNumber(1), RequestNumber(1), &request);
    frame
}
