//! What does a client want, and may it have it?
//!
//! Requests begin their way here: into the log, to a worker, or straight to an answer. See
//! [`super::connection`] for what may be under way at a time.

use super::Server;
use super::connection::{Check, InFlight, NewAccount, Purpose, Reading, Step};
use super::gate::needs_no_primary;
use super::history::{Listing, Stream};
use super::input::Taken;
use crate::net::ConnectionId;
use crate::replica::{Input, Ticket};
use crate::types::{ChatOp, ErrorCode, Name, Op, Origin, RequestNumber, SessionId, SessionRequest};
use crate::wire::message::{Answer, Asked, Refusal, Request};
use crate::wire::operation::encode_op;

impl Server {
    /// Begins a request, or leaves it where it is until it may begin.
    pub(super) fn begin(&mut self, id: ConnectionId, asked: Asked<'_>, consumed: usize) -> Taken {
        let now = self.now;
        let held = self.replica.holds_back() && self.gate.is_open() && !self.is_saying_farewell();
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
        if held && asked.request.as_ref().is_ok_and(|it| !needs_no_primary(it)) {
            self.gate.note_waiting();
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
        if needs_no_primary(request) {
            return Ok(());
        }
        let now = self.now;
        let refusal = match self.replica.serves() {
            true => self
                .has_handed_over()
                .then(|| ErrorCode::ShuttingDown.into()),
            false => Some(self.refusal_at_gate()),
        };
        let client = self
            .clients
            .get_mut(&id)
            .expect("it has just been read from");
        if let Some(refusal) = refusal {
            if refusal.code == ErrorCode::NotReady {
                client.waits_since.get_or_insert(now);
            }
            return Err(refusal);
        }
        let needs_login = !matches!(
            request,
            Request::Create { .. } | Request::Login { .. } | Request::Resume { .. }
        );
        match client.login {
            None if needs_login && client.session_ended => Err(ErrorCode::SessionGone.into()),
            None if needs_login => Err(ErrorCode::NotLoggedIn.into()),
            _ => Ok(()),
        }
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
                let name = Name::parse(name).ok();
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
        let ticket = self.submit_as(id, op);
        if let Some(client) = self.clients.get_mut(&id) {
            client.in_flight.push_back(InFlight {
                number,
                ticket: Some(ticket),
                refusal: None,
            });
        }
    }

    /// Hands a task's op to the replica.
    pub(super) fn submit(&mut self, id: ConnectionId, op: ChatOp<'_>) {
        let ticket = self.submit_as(id, op);
        self.await_ticket(id, ticket);
    }

    /// Hands an op to the replica. Its answer comes later, by the ticket.
    fn submit_as(&mut self, id: ConnectionId, op: ChatOp<'_>) -> Ticket {
        let mut payload = std::mem::take(&mut self.payload);
        payload.clear();
        encode_op(&mut payload, &Op::Chat(op));
        let ticket = self.tickets.give(id);
        let input = Input::Request {
            ticket,
            time: self.wall_clock,
            payload: &payload,
        };
        self.replica.handle_input(input, self.now);
        self.payload = payload;
        ticket
    }

    /// Begins a task that reads the state.
    pub(super) fn begin_read(&mut self, id: ConnectionId, number: RequestNumber, reading: Reading) {
        self.begin_task(id, number, Step::Read(reading));
        let ticket = self.tickets.give(id);
        self.await_ticket(id, ticket);
        self.replica.handle_input(Input::Read { ticket }, self.now);
    }

    fn await_ticket(&mut self, id: ConnectionId, ticket: Ticket) {
        if let Some(task) = self.clients.get_mut(&id).and_then(|c| c.task.as_mut()) {
            task.ticket = Some(ticket);
        }
    }
}

impl Check {
    fn new(name: Option<Name>, password: &str, purpose: Purpose) -> Self {
        Self {
            name,
            account: None,
            password: password.to_owned(),
            purpose,
        }
    }
}
