//! What does a simulated server say to its clients?
//!
//! The same as the real one (`src/server/`), in the same order, and in the same bytes: it decodes
//! frames, leaves requests where they are while a view changes, hands ops and reads to the replica,
//! and answers each connection in the order in which it has asked. Left out is what has nothing to
//! do with servers that come and go: the text mode, the hashing of passwords, caps and deadlines.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use lastword::limits::{
    CONNECTION_REQUESTS_MAX, FRAME_BODY_BYTES_MAX, FRAME_BODY_BYTES_MAX_BEFORE_LOGIN,
};
use lastword::replica::{Input, NotReady, Role, ServerStatus, Ticket};
use lastword::types::{
    AccountId, ChatOp, ErrorCode, Name, Op, Origin, RequestNumber, ServerId, SessionId,
    SessionRequest, Time, ViewNumber,
};
use lastword::wire::Decoded;
use lastword::wire::hello::{Hello, decode_first, encode_hello};
use lastword::wire::message::{Answer, Asked, Item, NoteKind, Push, Refusal, Request};
use lastword::wire::operation::encode_op;
use lastword::wire::reply::{encode_answer, encode_item, encode_push};
use lastword::wire::request::{FromClient, decode_from_client};

use super::entrance::{LoggingIn, Reading};
use super::feeds::{Feed, Stream};
use super::lines::{Parcel, SERVER};
use super::network::service_address;
use super::process::Process;
use super::world::World;

/// The clients of a process.
#[derive(Default)]
pub struct Service {
    /// By the line that they have come by.
    pub callers: BTreeMap<u64, Caller>,
    /// Who waits for the replica's answer by a ticket.
    tickets: BTreeMap<u64, u64>,
    last_ticket: u64,
    /// Who has said something that was not taken up yet, and may be.
    ready: BTreeSet<u64>,
    /// Clients are let in, or were until the view began to change.
    is_open: bool,
    /// Requests wait for a change of view.
    holds: bool,
    /// One was left waiting since this was last looked at.
    has_waiting: bool,
    /// The primary of which those who wait here were told.
    told_of: Option<ServerId>,
}

/// A client's connection.
#[derive(Default)]
pub struct Caller {
    /// What came and was not taken up.
    input: Vec<u8>,
    /// What is sent when the turn is over.
    pub output: Vec<u8>,
    is_greeted: bool,
    /// The client has closed its half: what it asked before is done all the same.
    input_ended: bool,
    pub login: Option<Login>,
    pub session_ended: bool,
    /// Requests on their way through the log, oldest first, and refusals that wait behind them.
    in_flight: VecDeque<InFlight>,
    /// A request that has the connection to itself.
    pub task: Option<Task>,
    pub feed: Feed,
    /// It was refused because this server is not ready.
    waits: bool,
}

/// As whom a connection is logged in.
#[derive(Clone, Copy, Debug)]
pub struct Login {
    pub account: AccountId,
    pub name: Name,
    pub session: Option<SessionId>,
}

struct InFlight {
    number: RequestNumber,
    ticket: Option<Ticket>,
    refusal: Option<Refusal>,
}

/// A request that is worked on alone.
pub struct Task {
    pub number: RequestNumber,
    ticket: Option<Ticket>,
    pub step: Step,
}

/// What a task waits for.
pub enum Step {
    /// That the state may be read.
    Read(Reading),
    /// That the new account is in the log.
    Create(Name),
    /// That the session is.
    OpenSession(LoggingIn),
    /// That its end is.
    CloseSession,
    /// The next page of messages.
    Messages(Stream),
}

/// What came of looking at a connection's bytes.
enum Taken {
    Go(usize),
    /// It needs more, or has to wait.
    Stays,
}

impl Service {
    /// Who waits for the answer by a ticket, if somebody still does.
    pub fn asker(&mut self, ticket: Ticket) -> Option<u64> {
        let line = self.tickets.remove(&ticket.0)?;
        let caller = self.callers.get(&line)?;
        caller.awaits(ticket).then_some(line)
    }

    /// A ticket of which nobody hears.
    pub fn ticket_of_nobody(&mut self) -> Ticket {
        self.last_ticket += 1;
        Ticket(self.last_ticket)
    }

    fn ticket(&mut self, line: u64) -> Ticket {
        let ticket = self.ticket_of_nobody();
        self.tickets.insert(ticket.0, line);
        ticket
    }

    /// Something is left to do for somebody, though nothing comes in.
    pub fn wants_turn(&self) -> bool {
        !self.ready.is_empty() || self.callers.values().any(Caller::wants_page)
    }

    /// A pipelined request, the oldest of its connection, got its answer.
    pub fn finish_oldest(&mut self, line: u64, answer: &Answer<'_>) {
        let Some(caller) = self.callers.get_mut(&line) else {
            return;
        };
        if let Some(oldest) = caller.in_flight.pop_front() {
            assert!(oldest.refusal.is_none(), "refusals never wait in front");
            encode_answer(&mut caller.output, oldest.number, answer);
            self.answer_refused(line);
        }
    }

    /// A task's last word.
    pub fn finish_task(&mut self, line: u64, answer: &Answer<'_>) {
        if let Some(caller) = self.callers.get_mut(&line)
            && let Some(task) = caller.task.take()
        {
            encode_answer(&mut caller.output, task.number, answer);
            self.ready.insert(line);
        }
    }

    pub fn refuse_task(&mut self, line: u64, refusal: &Refusal) {
        self.finish_task(line, &Answer::Refused(refusal));
    }

    /// The replica will not do what was asked by a ticket, or not say what came of it.
    pub fn turn_down(&mut self, ticket: Ticket, refusal: &Refusal) {
        let Some(line) = self.asker(ticket) else {
            return;
        };
        let Some(caller) = self.callers.get_mut(&line) else {
            return;
        };
        if caller.task.is_some() {
            return self.refuse_task(line, refusal);
        }
        let mut in_flight = caller.in_flight.iter_mut();
        if let Some(request) = in_flight.find(|it| it.ticket == Some(ticket)) {
            request.refusal = Some(refusal.clone());
        }
        self.answer_refused(line);
    }

    /// Writes the refusals whose turn has come.
    fn answer_refused(&mut self, line: u64) {
        let Some(caller) = self.callers.get_mut(&line) else {
            return;
        };
        while let Some(next) = caller.in_flight.pop_front_if(|it| it.refusal.is_some()) {
            let refusal = next.refusal.expect("looked at");
            let answer = Answer::Refused(&refusal);
            encode_answer(&mut caller.output, next.number, &answer);
        }
        self.ready.insert(line);
    }

    fn note(&mut self, line: u64, about: NoteKind, sentence: &str) {
        if let Some(caller) = self.callers.get_mut(&line) {
            encode_push(&mut caller.output, &Push::Note { about, sentence });
        }
    }

    /// Tells those who wait for the cluster to be ready that it is over.
    fn end_waiting(&mut self, sentence: &str) {
        for line in self.lines_of(|caller| caller.waits) {
            self.callers.entry(line).or_default().waits = false;
            self.note(line, NoteKind::Ready, sentence);
        }
    }

    fn lines_of(&self, which: impl Fn(&Caller) -> bool) -> Vec<u64> {
        let which = self.callers.iter().filter(|(_, caller)| which(caller));
        which.map(|(line, _)| *line).collect()
    }

    /// A session has ended: the other connections that have it are told, and logged out.
    pub fn session_ended(&mut self, session: SessionId, asker: Option<u64>) {
        let has_it = |it: &Caller| it.login.is_some_and(|it| it.session == Some(session));
        for line in self.lines_of(has_it) {
            if Some(line) == asker {
                continue;
            }
            let sentence = "your session was ended from elsewhere; log in again";
            self.note(line, NoteKind::SessionEnded, sentence);
            self.leave(line);
            self.callers.entry(line).or_default().session_ended = true;
        }
    }

    /// Nobody is logged in on a connection any more.
    pub fn leave(&mut self, line: u64) {
        if let Some(caller) = self.callers.get_mut(&line) {
            caller.login = None;
            caller.feed = Feed::default();
            self.ready.insert(line);
        }
    }
}

impl Caller {
    fn awaits(&self, ticket: Ticket) -> bool {
        match &self.task {
            Some(task) => task.ticket == Some(ticket),
            None => {
                let mut in_flight = self.in_flight.iter();
                in_flight.any(|it| it.ticket == Some(ticket) && it.refusal.is_none())
            }
        }
    }

    /// Nothing may be written now but the answer that is under way.
    pub fn is_answering(&self) -> bool {
        let step = self.task.as_ref().map(|it| &it.step);
        matches!(step, Some(Step::Messages(_)))
    }

    fn is_blocked(&self) -> bool {
        self.task.is_some() || self.in_flight.len() >= CONNECTION_REQUESTS_MAX
    }

    fn wants_page(&self) -> bool {
        self.is_answering() || self.feed.wants_page()
    }
}

fn needs_no_primary(request: &Request<'_>) -> bool {
    matches!(request, Request::Ping | Request::Status)
}

impl World {
    /// Something has come by a line.
    pub fn line_arrived(&mut self, process: &mut Process, line: u64, parcel: Parcel) {
        let service = &mut process.service;
        match parcel {
            Parcel::Bytes(bytes) => {
                let caller = service.callers.entry(line).or_default();
                caller.input.extend_from_slice(&bytes);
                service.ready.insert(line);
            }
            Parcel::Fin => {
                service.callers.entry(line).or_default().input_ended = true;
                service.ready.insert(line);
            }
            Parcel::Rst => {
                service.callers.remove(&line);
            }
            Parcel::Syn => unreachable!("the kernel takes lines up"),
        }
    }

    /// Takes up what connections have asked, as far as it may go on now.
    pub fn work_off(&mut self, host: usize, process: &mut Process, now: Time) {
        for line in std::mem::take(&mut process.service.ready) {
            let Some(caller) = process.service.callers.get_mut(&line) else {
                continue;
            };
            let input = std::mem::take(&mut caller.input);
            let mut begin = 0;
            while let Taken::Go(consumed) =
                self.take_request(host, process, line, &input[begin..], now)
            {
                begin += consumed;
            }
            let Some(caller) = process.service.callers.get_mut(&line) else {
                continue;
            };
            caller.input = input[begin..].to_vec();
            let is_idle = caller.task.is_none() && caller.in_flight.is_empty();
            if caller.input_ended && is_idle && caller.input.is_empty() {
                process.service.callers.remove(&line);
                self.close_line(line, SERVER);
            }
        }
    }

    fn take_request(
        &mut self,
        host: usize,
        process: &mut Process,
        line: u64,
        bytes: &[u8],
        now: Time,
    ) -> Taken {
        let Some(caller) = process.service.callers.get(&line) else {
            return Taken::Stays;
        };
        if caller.is_blocked() {
            return Taken::Stays;
        }
        if !caller.is_greeted {
            return greet(process, line, bytes);
        }
        let body_bytes_max = if caller.login.is_some() {
            FRAME_BODY_BYTES_MAX
        } else {
            FRAME_BODY_BYTES_MAX_BEFORE_LOGIN
        };
        match decode_from_client(bytes, body_bytes_max) {
            Decoded::Message {
                message: FromClient::Asked(asked),
                consumed,
            } => {
                if self.begin_request(host, process, line, asked, now) {
                    Taken::Go(consumed)
                } else {
                    Taken::Stays
                }
            }
            Decoded::Incomplete => Taken::Stays,
            other => panic!("a client has said what no server can read: {other:?}"),
        }
    }

    /// Begins a request, or leaves it where it is until it may begin.
    fn begin_request(
        &mut self,
        host: usize,
        process: &mut Process,
        line: u64,
        asked: Asked<'_>,
        now: Time,
    ) -> bool {
        let service = &mut process.service;
        let caller = &service.callers[&line];
        let pipelined = matches!(
            asked.request,
            Err(_) | Ok(Request::Send { .. } | Request::Acknowledge { .. })
        );
        if !pipelined && !caller.in_flight.is_empty() {
            return false;
        }
        let held = process.replica.holds_back() && service.is_open;
        if held && asked.request.as_ref().is_ok_and(|it| !needs_no_primary(it)) {
            service.has_waiting = true;
            return false;
        }
        self.say(|| format!("{} is asked by {line}: {asked:?}", host + 1));
        let number = asked.number;
        let refusal = match asked.request {
            Err(refusal) => refusal,
            Ok(request) => match may_begin(process, line, &request) {
                Err(refusal) => refusal,
                Ok(()) => {
                    let lowest_open = asked.lowest_open;
                    self.start_request(host, process, line, (number, lowest_open), request, now);
                    return true;
                }
            },
        };
        let caller = process.service.callers.entry(line).or_default();
        caller.in_flight.push_back(InFlight {
            number,
            ticket: None,
            refusal: Some(refusal),
        });
        process.service.answer_refused(line);
        true
    }

    fn start_request(
        &mut self,
        host: usize,
        process: &mut Process,
        line: u64,
        (number, lowest_open): (RequestNumber, RequestNumber),
        request: Request<'_>,
        now: Time,
    ) {
        let retry = |session: SessionId| SessionRequest {
            session,
            number,
            lowest_open,
        };
        let login = process.service.callers[&line].login;
        let origin = Origin {
            account: login.map(|it| it.account).unwrap_or_default(),
            request: login.and_then(|it| it.session).map(retry),
        };
        let reading = match request {
            Request::Send { to, text } => {
                let op = ChatOp::Send { origin, to, text };
                return self.pipeline(host, process, line, number, op, now);
            }
            Request::Acknowledge {
                conversation,
                up_to,
            } => {
                let op = ChatOp::Acknowledge {
                    origin,
                    conversation,
                    up_to,
                };
                return self.pipeline(host, process, line, number, op, now);
            }
            Request::Logout => {
                begin_task(process, line, number, Step::CloseSession);
                return self.submit(host, process, line, ChatOp::CloseSession { origin }, now);
            }
            Request::Ping => return answer(process, line, number, &Answer::Pong),
            Request::Status => return report_status(process, line, number),
            Request::Create { name, session, .. } => Reading::Create(name, session.map(retry)),
            Request::Login {
                name,
                session,
                deliver,
                ..
            } => Reading::Check(Name::parse(name).ok(), session, deliver),
            Request::Resume {
                session,
                secret,
                deliver,
            } => Reading::Resume(session, secret, deliver),
            Request::History {
                scope,
                limit,
                before,
            } => {
                assert_eq!(scope, lastword::wire::message::HistoryScope::All);
                Reading::Messages(Stream::history(origin.account, limit, before))
            }
            Request::Log { after, limit } => {
                Reading::Messages(Stream::log(origin.account, after, limit))
            }
            other => panic!("no simulated client asks for {other:?}"),
        };
        begin_task(process, line, number, Step::Read(reading));
        let ticket = process.service.ticket(line);
        await_ticket(process, line, ticket);
        let input = Input::Read { ticket };
        process.replica.handle_input(input, now);
    }

    /// Sends an op on its way, beside others of the same connection.
    fn pipeline(
        &mut self,
        host: usize,
        process: &mut Process,
        line: u64,
        number: RequestNumber,
        op: ChatOp<'_>,
        now: Time,
    ) {
        let ticket = process.service.ticket(line);
        let caller = process.service.callers.entry(line).or_default();
        caller.in_flight.push_back(InFlight {
            number,
            ticket: Some(ticket),
            refusal: None,
        });
        self.submit_as(host, process, ticket, op, now);
    }

    /// Hands a task's op to the replica.
    pub fn submit(
        &mut self,
        host: usize,
        process: &mut Process,
        line: u64,
        op: ChatOp<'_>,
        now: Time,
    ) {
        let ticket = process.service.ticket(line);
        await_ticket(process, line, ticket);
        self.submit_as(host, process, ticket, op, now);
    }

    pub fn submit_as(
        &mut self,
        host: usize,
        process: &mut Process,
        ticket: Ticket,
        op: ChatOp<'_>,
        now: Time,
    ) {
        let mut payload = Vec::new();
        encode_op(&mut payload, &Op::Chat(op));
        let input = Input::Request {
            ticket,
            time: self.hosts[host].wall_clock(self.now),
            payload: &payload,
        };
        process.replica.handle_input(input, now);
    }

    /// Sends what was written to clients.
    pub fn flush_callers(&mut self, process: &mut Process) {
        for (line, caller) in &mut process.service.callers {
            if !caller.output.is_empty() {
                let bytes = std::mem::take(&mut caller.output);
                self.send_parcel(*line, super::lines::CLIENT, Parcel::Bytes(bytes));
            }
        }
    }
}

fn begin_task(process: &mut Process, line: u64, number: RequestNumber, step: Step) {
    let caller = process.service.callers.entry(line).or_default();
    assert!(caller.task.is_none() && caller.in_flight.is_empty());
    caller.task = Some(Task {
        number,
        ticket: None,
        step,
    });
}

fn await_ticket(process: &mut Process, line: u64, ticket: Ticket) {
    let caller = process.service.callers.get_mut(&line);
    if let Some(task) = caller.and_then(|it| it.task.as_mut()) {
        task.ticket = Some(ticket);
    }
}

fn answer(process: &mut Process, line: u64, number: RequestNumber, answer: &Answer<'_>) {
    if let Some(caller) = process.service.callers.get_mut(&line) {
        encode_answer(&mut caller.output, number, answer);
    }
}

// --- the gate ---

/// Whether a request may be done at all, now and by this client.
fn may_begin(process: &mut Process, line: u64, request: &Request<'_>) -> Result<(), Refusal> {
    if needs_no_primary(request) {
        return Ok(());
    }
    let refusal = (!process.replica.serves()).then(|| refusal_at_gate(process));
    let caller = process.service.callers.entry(line).or_default();
    if let Some(refusal) = refusal {
        caller.waits |= refusal.code == ErrorCode::NotReady;
        return Err(refusal);
    }
    let needs_login = !matches!(
        request,
        Request::Create { .. } | Request::Login { .. } | Request::Resume { .. }
    );
    match caller.login {
        None if needs_login && caller.session_ended => Err(ErrorCode::SessionGone.into()),
        None if needs_login => Err(ErrorCode::NotLoggedIn.into()),
        _ => Ok(()),
    }
}

/// What a client gets whose request needs the primary, and this is none, or not yet.
pub fn refusal_at_gate(process: &Process) -> Refusal {
    let service = service_address();
    match process.replica.not_ready() {
        Some(NotReady::NotPrimary(leader)) => Refusal::new(
            ErrorCode::NotPrimary,
            format!(
                "{} is the primary; the service is at {service}",
                leader.address
            ),
        ),
        Some(NotReady::ViewChange) => Refusal::new(
            ErrorCode::NotPrimary,
            format!(
                "unknown is the primary: another server is taking over; the service is at \
                 {service}, try again in a moment"
            ),
        ),
        Some(why) => Refusal::new(ErrorCode::NotReady, why.to_string()),
        None => ErrorCode::NotReady.into(),
    }
}

/// Looks whether this process has begun or stopped to serve.
pub fn look_at_gate(process: &mut Process) {
    let serves = process.replica.serves();
    let service = &mut process.service;
    let holds = !serves && service.is_open && process.replica.holds_back();
    let held = std::mem::replace(&mut service.holds, holds);
    if serves && !service.is_open {
        service.is_open = true;
        service.told_of = None;
        service.end_waiting("ready");
    }
    if !serves && !holds && process.service.is_open {
        process.service.is_open = false;
        step_down(process);
    }
    let service = &mut process.service;
    if (held || service.has_waiting) && !holds {
        service.has_waiting = false;
        service.ready.extend(service.callers.keys());
    }
    if !service.is_open {
        tell_of_primary(process);
    }
}

/// Those who wait here for the cluster to be ready will be let in elsewhere.
fn tell_of_primary(process: &mut Process) {
    let Some(leader) = process.replica.leader() else {
        return;
    };
    let is_told = process.service.told_of == Some(leader.server);
    if process.replica.role() != Role::Primary && !is_told {
        process.service.told_of = Some(leader.server);
        let sentence = format!("ready: {} is the primary", leader.address);
        process.service.end_waiting(&sentence);
    }
}

/// This process is not the primary any more: what was asked is answered, and nobody is logged in.
fn step_down(process: &mut Process) {
    let sentence = match process.replica.leader() {
        Some(leader) => format!("{} is the primary now; log in there", leader.address),
        None => "this server is not the primary any more; log in again elsewhere".into(),
    };
    let not_done = refusal_at_gate(process);
    let service = &mut process.service;
    for line in service.lines_of(|_| true) {
        give_up_requests(service, line, &not_done);
        if service.callers[&line].login.is_some() {
            service.note(line, NoteKind::SteppedDown, &sentence);
            service.leave(line);
        }
    }
}

/// What has reached the log may be done or not, everything else was not.
fn give_up_requests(service: &mut Service, line: u64, not_done: &Refusal) {
    let unknown = || Some(ErrorCode::UnknownOutcome.into());
    let caller = service.callers.entry(line).or_default();
    for request in &mut caller.in_flight {
        request.refusal = request.refusal.take().or_else(unknown);
    }
    let is_in_log = caller.task.as_ref().is_some_and(|task| {
        matches!(
            task.step,
            Step::Create(_) | Step::OpenSession(_) | Step::CloseSession
        )
    });
    service.answer_refused(line);
    if is_in_log {
        service.refuse_task(line, &ErrorCode::UnknownOutcome.into());
    } else {
        service.refuse_task(line, not_done);
    }
}

// --- what every server tells everybody ---

/// A hello is answered with the server's own.
fn greet(process: &mut Process, line: u64, bytes: &[u8]) -> Taken {
    let consumed = match decode_first(bytes) {
        Decoded::Message { consumed, .. } => consumed,
        Decoded::Incomplete => return Taken::Stays,
        other => panic!("a client begins with what is no hello: {other:?}"),
    };
    let me = process.replica.identity();
    let view = process.replica.view();
    let view = view.map_or(ViewNumber(0), |it| it.number);
    let hello = Hello::server("simulated", me.cluster, me.server, view);
    let caller = process.service.callers.entry(line).or_default();
    encode_hello(&mut caller.output, &hello);
    caller.is_greeted = true;
    Taken::Go(consumed)
}

fn report_status(process: &mut Process, line: u64, number: RequestNumber) {
    let replica = &process.replica;
    let me = replica.identity();
    let name = match me.server {
        ServerId(0) => "-".to_owned(),
        server => server.to_string(),
    };
    let mut lines = vec![format!(
        "server {name} {} view {} commit {} member {} service {}",
        replica.role(),
        replica.view().map_or(0, |view| view.number.round()),
        replica.commit(),
        me.address,
        service_address()
    )];
    for status in replica.servers() {
        let ServerStatus {
            server,
            address,
            condition,
            ..
        } = status;
        lines.push(format!("member {server} {condition} {address}"));
    }
    if let Some(caller) = process.service.callers.get_mut(&line) {
        for text in &lines {
            encode_item(&mut caller.output, number, &Item::Line(text));
        }
    }
    answer(process, line, number, &Answer::Reported);
}
