//! What does a client want, and may it have it now?
//!
//! Bytes become requests here, and requests begin their way: into the log, to a worker, or
//! straight to an answer. See [`super::connection`] for what may be under way at a time.

use super::Server;
use super::connection::{
    Check, ClientConnection, Dialect, InFlight, NewAccount, Purpose, Reading, Step, Task,
};
use super::history::{Listing, Stream};
use crate::limits::{
    CONNECTION_REQUESTS_MAX, ERRORS_BEFORE_LOGIN_MAX, FRAME_BODY_BYTES_MAX,
    FRAME_BODY_BYTES_MAX_BEFORE_LOGIN, LINE_BYTES_MAX, LINE_BYTES_MAX_BEFORE_LOGIN,
};
use crate::net::ConnectionId;
use crate::replica::{Input, Ticket};
use crate::types::{ChatOp, ErrorCode, Op, Origin, RequestNumber, SessionId, SessionRequest};
use crate::wire::decoded::Decoded;
use crate::wire::hello::{Hello, Role, decode_first, encode_hello};
use crate::wire::message::{Answer, Asked, Item, NoteKind, Push, Refusal, Request};
use crate::wire::operation::encode_op;
use crate::wire::{reply, request, text};

/// What came of looking at the next bytes of a connection.
enum Taken {
    /// Drop so many and look again.
    Go(usize),
    /// Nothing can be done with what is there until more has come.
    NeedsMore,
    /// What is there has to wait until something else is done.
    Waits,
}

impl Server {
    /// Takes up what a connection has sent, as far as it may go on now.
    pub(super) fn work_off(&mut self, id: ConnectionId) {
        // The input is taken out while it is read, since requests borrow from it.
        let Some(connection) = self.network.connection(id) else {
            return;
        };
        let mut input = std::mem::take(connection.input());
        let mut took_some = false;
        let waits = loop {
            match self.take_request(id, input.bytes()) {
                Taken::Go(consumed) => {
                    input.consume(consumed);
                    took_some = true;
                }
                Taken::NeedsMore => break false,
                Taken::Waits => break true,
            }
        };
        let is_partial = !input.is_empty();
        let (Some(client), Some(connection)) =
            (self.clients.get_mut(&id), self.network.connection(id))
        else {
            return;
        };
        if waits {
            *connection.input() = input;
            client.partial_since = None;
            connection.pause();
        } else if client.input_ended {
            // What is left is a part of a request, and the rest of it cannot come any more.
            self.ending.push(id);
        } else {
            *connection.input() = input;
            client.note_partial(is_partial, took_some, self.now);
            self.watch(id);
        }
    }

    /// Goes on with a connection whose requests waited.
    pub(super) fn unblock(&mut self, id: ConnectionId) {
        if !self.is_blocked(id)
            && let Some(connection) = self.network.connection(id)
        {
            connection.resume();
            self.ending.push(id);
        }
    }

    /// No further request of the connection can be taken up now.
    fn is_blocked(&mut self, id: ConnectionId) -> bool {
        let Some(client) = self.clients.get(&id) else {
            return true;
        };
        let blocked = client.task.is_some()
            || self.stopping.is_some()
            || client.in_flight.len() >= CONNECTION_REQUESTS_MAX
            || client.feed.is_full()
            || self.network.is_full(id);
        if !blocked && self.store_lags {
            // Everybody waits for the store; `Server::store_caught_up` lets them go on.
            self.stalled.push(id);
            return true;
        }
        blocked
    }

    /// Looks at the next bytes of a connection.
    fn take_request(&mut self, id: ConnectionId, bytes: &[u8]) -> Taken {
        if self.is_blocked(id) {
            return Taken::Waits;
        }
        let Some(client) = self.clients.get_mut(&id) else {
            return Taken::Go(bytes.len());
        };
        let Some(&first) = bytes.first() else {
            return Taken::NeedsMore;
        };
        client.greet_at = None;
        if matches!(client.dialect, Dialect::Undecided) {
            client.decide_dialect(first);
            self.watch(id);
        }
        match self.clients[&id].dialect.clone() {
            Dialect::Binary { greeted } => self.take_frame(id, bytes, greeted),
            Dialect::Text(decoder) => self.take_line(id, bytes, decoder),
            Dialect::Undecided => unreachable!("it was decided above"),
        }
    }

    fn take_frame(&mut self, id: ConnectionId, bytes: &[u8], greeted: bool) -> Taken {
        if !greeted {
            return match decode_first(bytes) {
                Decoded::Incomplete => Taken::NeedsMore,
                Decoded::Nothing { consumed } => Taken::Go(consumed),
                Decoded::Broken { refusal } => self.broken(id, &refusal),
                Decoded::Message { message, consumed } => self.greet(id, &message, consumed),
            };
        }
        let body_bytes_max = if self.clients[&id].login.is_some() {
            FRAME_BODY_BYTES_MAX
        } else {
            FRAME_BODY_BYTES_MAX_BEFORE_LOGIN
        };
        match request::decode_from_client(bytes, body_bytes_max) {
            Decoded::Incomplete => Taken::NeedsMore,
            Decoded::Nothing { consumed } => Taken::Go(consumed),
            Decoded::Broken { refusal } => self.broken(id, &refusal),
            Decoded::Message { message, consumed } => match message {
                request::FromClient::Asked(asked) => self.begin(id, asked, consumed),
                request::FromClient::Hello(_) => {
                    self.broken(id, &bad_arguments("a hello comes once, at the beginning"))
                }
            },
        }
    }

    fn take_line(
        &mut self,
        id: ConnectionId,
        bytes: &[u8],
        mut decoder: text::TextDecoder,
    ) -> Taken {
        let client = &self.clients[&id];
        let line_bytes_max = if client.login.is_some() {
            LINE_BYTES_MAX
        } else {
            LINE_BYTES_MAX_BEFORE_LOGIN
        };
        let at_end = client.input_ended;
        let mut scratch = std::mem::take(&mut self.line);
        scratch.clear();
        let taken = match decoder.next(bytes, line_bytes_max, at_end, &mut scratch) {
            Decoded::Incomplete => Taken::NeedsMore,
            Decoded::Nothing { consumed } => Taken::Go(consumed),
            Decoded::Broken { refusal } => self.broken(id, &refusal),
            Decoded::Message { message, consumed } => self.begin(id, message, consumed),
        };
        self.line = scratch;
        // What was not taken is decoded again later, from the same state.
        if let (Taken::Go(_) | Taken::NeedsMore, Some(client)) = (&taken, self.clients.get_mut(&id))
        {
            client.dialect = Dialect::Text(decoder);
        }
        taken
    }

    /// A client's hello is answered with ours.
    fn greet(&mut self, id: ConnectionId, hello: &Hello, consumed: usize) -> Taken {
        if hello.role != Role::Client {
            return self.broken(
                id,
                &bad_arguments("this server has no other servers; connect as a client"),
            );
        }
        let answer = self.hello();
        if let Some(out) = self.network.output(id) {
            encode_hello(out, &answer);
        }
        if let Some(client) = self.clients.get_mut(&id) {
            client.dialect = Dialect::Binary { greeted: true };
        }
        Taken::Go(consumed)
    }

    /// Bytes after which nothing can be understood any more: says so and closes.
    fn broken(&mut self, id: ConnectionId, refusal: &Refusal) -> Taken {
        self.write_answer(id, RequestNumber(0), &Answer::Refused(refusal));
        self.close(id);
        Taken::Waits
    }

    /// Begins a request, or leaves it where it is until it may begin.
    fn begin(&mut self, id: ConnectionId, asked: Asked<'_>, consumed: usize) -> Taken {
        let now = self.now;
        let client = self
            .clients
            .get_mut(&id)
            .expect("it has just been read from");
        let pipelined = matches!(
            asked.request,
            Err(_) | Ok(Request::Send { .. } | Request::Acknowledge { .. })
        );
        if !pipelined && !client.in_flight.is_empty() {
            return Taken::Waits;
        }
        let allowed = client.allowance.take(self.options.max_rate, now);
        let request = match asked.request {
            Ok(_) if !allowed => Err(ErrorCode::RateLimited.into()),
            other => other.and_then(|request| match self.gate(id, &request) {
                Ok(()) => Ok(request),
                Err(refusal) => Err(refusal),
            }),
        };
        match request {
            Ok(request) => self.start_request(id, asked.number, asked.lowest_open, request),
            Err(refusal) => self.refuse(id, asked.number, refusal),
        }
        Taken::Go(consumed)
    }

    /// Whether a request may be done at all, now and by this client.
    fn gate(&mut self, id: ConnectionId, request: &Request<'_>) -> Result<(), Refusal> {
        if matches!(
            request,
            Request::Help | Request::Ping | Request::Status | Request::Quit
        ) {
            return Ok(());
        }
        let client = self
            .clients
            .get_mut(&id)
            .expect("it has just been read from");
        if !self.replica.serves() {
            client.told_not_ready = true;
            return Err(ErrorCode::NotReady.into());
        }
        let needs_login = !matches!(
            request,
            Request::Create { .. } | Request::Login { .. } | Request::Resume { .. }
        );
        if needs_login && client.login.is_none() {
            return Err(ErrorCode::NotLoggedIn.into());
        }
        Ok(())
    }

    /// Starts a request that may be done.
    fn start_request(
        &mut self,
        id: ConnectionId,
        number: RequestNumber,
        lowest_open: RequestNumber,
        request: Request<'_>,
    ) {
        let client = self
            .clients
            .get_mut(&id)
            .expect("it has just been read from");
        let retry = |session: SessionId| SessionRequest {
            session,
            number,
            lowest_open,
        };
        let login = client.login;
        let account = login.map(|l| l.account).unwrap_or_default();
        let origin = Origin {
            account,
            request: login.and_then(|l| l.session).map(retry),
        };
        match request {
            Request::Send { to, text } => {
                self.pipeline(id, number, ChatOp::Send { origin, to, text });
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
                self.pipeline(id, number, op);
            }
            Request::Help => self.help(id, number),
            Request::Ping => self.write_answer(id, number, &Answer::Pong),
            Request::Status => self.report_status(id, number),
            Request::WhoAmI => {
                let name = login.expect("the gate asks for a login").name;
                self.write_answer(id, number, &Answer::You { name });
            }
            Request::Quit => {
                self.write_answer(id, number, &Answer::Bye);
                self.close(id);
            }
            Request::Logout => self.log_out(id, number, origin),
            Request::Create {
                name,
                password,
                session,
            } => {
                let retry = session.map(retry);
                let password = password.as_str().to_owned();
                self.begin_read(
                    id,
                    number,
                    Reading::Create(NewAccount { name, retry }, password),
                );
            }
            Request::Login {
                name,
                password,
                session,
                deliver,
            } => {
                let purpose = Purpose::LogIn { session, deliver };
                let name = crate::types::Name::parse(name).ok();
                self.check_password(id, number, Check::new(name, password, purpose));
            }
            Request::Delete { password } => {
                let login = login.expect("the gate asks for a login");
                let purpose = Purpose::Delete {
                    request: origin.request,
                };
                self.check_password(id, number, Check::new(Some(login.name), password, purpose));
            }
            Request::Resume {
                session,
                secret,
                deliver,
            } => self.begin_read(id, number, Reading::Resume(session, secret, deliver)),
            Request::History {
                scope,
                limit,
                before,
            } => {
                let stream = Stream::history(account, scope, limit, before);
                self.begin_read(id, number, Reading::Messages(stream));
            }
            Request::Log { after, limit } => {
                let stream = Stream::log(account, after, limit);
                self.begin_read(id, number, Reading::Messages(stream));
            }
            Request::List { pattern } => {
                let listing = Listing {
                    pattern: pattern.to_owned(),
                    after: None,
                    count: 0,
                };
                self.begin_read(id, number, Reading::Accounts(listing));
            }
        }
    }

    /// Sends an op on its way, beside others of the same connection.
    fn pipeline(&mut self, id: ConnectionId, number: RequestNumber, op: ChatOp<'_>) {
        if let Some(client) = self.clients.get_mut(&id) {
            client.in_flight.push_back(InFlight {
                number,
                refusal: None,
            });
        }
        self.submit(id, op);
    }

    /// Hands an op to the replica.
    pub(super) fn submit(&mut self, id: ConnectionId, op: ChatOp<'_>) {
        let mut payload = std::mem::take(&mut self.payload);
        payload.clear();
        encode_op(&mut payload, &Op::Chat(op));
        let input = Input::Request {
            ticket: Ticket(id.to_bits()),
            time: self.wall_clock,
            payload: &payload,
        };
        self.replica.handle_input(input, self.now);
        self.payload = payload;
    }

    /// Begins a task that reads the state.
    pub(super) fn begin_read(&mut self, id: ConnectionId, number: RequestNumber, reading: Reading) {
        self.begin_task(id, number, Step::Read(reading));
        let ticket = Ticket(id.to_bits());
        self.replica.handle_input(Input::Read { ticket }, self.now);
    }

    /// Gives the connection to a request.
    pub(super) fn begin_task(&mut self, id: ConnectionId, number: RequestNumber, step: Step) {
        let since = self.now;
        if let Some(client) = self.clients.get_mut(&id) {
            debug_assert!(client.is_idle(), "a task has the connection to itself");
            client.task = Some(Task { number, since });
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
    fn refuse(&mut self, id: ConnectionId, number: RequestNumber, refusal: Refusal) {
        let Some(client) = self.clients.get_mut(&id) else {
            return;
        };
        if client.in_flight.is_empty() {
            self.write_answer(id, number, &Answer::Refused(&refusal));
        } else {
            client.in_flight.push_back(InFlight {
                number,
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
        while let Some(InFlight {
            number,
            refusal: Some(refusal),
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
            Answer::Refused(refusal) if refusal.code != ErrorCode::NotReady => {
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

impl Check {
    fn new(name: Option<crate::types::Name>, password: &str, purpose: Purpose) -> Self {
        Self {
            name,
            account: None,
            password: password.to_owned(),
            purpose,
        }
    }
}

impl ClientConnection {
    fn decide_dialect(&mut self, first_byte: u8) {
        self.dialect = match crate::wire::dialect_of(first_byte) {
            crate::wire::Dialect::Text => Dialect::Text(text::TextDecoder::new()),
            crate::wire::Dialect::Binary => Dialect::Binary { greeted: false },
        };
    }

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

fn bad_arguments(sentence: &'static str) -> Refusal {
    Refusal::new(ErrorCode::BadArguments, sentence)
}
