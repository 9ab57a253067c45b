//! Scripts: what happens to connections, and everything that the client makes of it.

use std::fmt::Write;
use std::net::SocketAddr;

use super::super::event::{Message, Part};
use super::super::scripted::{Server, message, name, sent, settings};
use super::*;
use crate::types::{ClusterId, Text};
use crate::wire::hello::{Hello, Role, encode_hello};
use crate::wire::message::{Answer, Item, MessageView, Push, Request};

mod asking;
mod finding;

const SECRET: Secret = Secret([7; 32]);

fn address(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

fn at(milliseconds: u64) -> Time {
    Time(0) + Duration::from_millis(milliseconds)
}

/// A client of servers at these ports, with a patience of a second.
struct Chat {
    client: Client,
    now: Time,
}

impl Chat {
    /// And the first connection that is dialed: link 1.
    fn new(ports: &[u16]) -> Self {
        let settings = Settings {
            servers: ports.iter().map(|port| address(*port)).collect(),
            silence_max: Duration::from_secs(1),
            ..settings()
        };
        let client = Client::new(settings, at(0));
        Self { client, now: at(0) }
    }

    /// Served by the first of them, without anybody logged in.
    fn served(ports: &[u16]) -> Self {
        let mut chat = Self::new(ports);
        chat.log();
        chat.connect(1, 1);
        chat.hears(1, Server::default().answer(1, Answer::Reported));
        chat
    }

    /// Logged in as alice: requests 1 and 2 were answered.
    fn logged_in(ports: &[u16], deliver: Deliver) -> Self {
        let mut chat = Self::served(ports);
        chat.ask(&login(deliver));
        let welcome = Server::default().answer(2, welcome(Some(SECRET)));
        chat.hears(1, welcome);
        chat
    }

    /// A connection comes up and hellos are said, by a server that knows this view.
    fn connect(&mut self, link: u64, view: u64) -> String {
        self.connect_to(link, view, 5)
    }

    fn connect_to(&mut self, link: u64, view: u64, cluster: u128) -> String {
        self.put(Input::Connected(LinkId(link)));
        let mut bytes = Vec::new();
        let hello = Hello {
            role: Role::Server,
            cluster: ClusterId(cluster),
            server: ServerId(1),
            view: ViewNumber(view << 16),
            ..Hello::client("lastword test")
        };
        encode_hello(&mut bytes, &hello);
        self.put(Input::Received(LinkId(link), &bytes));
        self.log()
    }

    fn hears(&mut self, link: u64, server: Server) -> String {
        self.put(Input::Received(LinkId(link), &server.0));
        self.log()
    }

    fn closes(&mut self, link: u64) -> String {
        self.put(Input::Closed(LinkId(link)));
        self.log()
    }

    fn fails(&mut self, link: u64) -> String {
        self.put(Input::Failed(LinkId(link), "nothing listens there".into()));
        self.log()
    }

    fn put(&mut self, input: Input<'_>) {
        self.client.handle_input(input, self.now);
    }

    fn ask(&mut self, request: &Request<'_>) -> String {
        self.client.ask(request, self.now).unwrap();
        self.log()
    }

    fn send(&mut self, text: &str) -> String {
        let (to, text) = (name("bob"), Text::parse(text).unwrap());
        self.ask(&Request::Send { to, text })
    }

    /// Until this moment, with everything that the client wants to be woken for.
    fn until(&mut self, milliseconds: u64) -> String {
        while let Some(wake) = self.client.poll_timeout()
            && wake <= at(milliseconds)
        {
            self.now = self.now.max(wake);
            self.client.handle_timeout(self.now);
            assert_ne!(self.client.poll_timeout(), Some(wake), "it is busy");
        }
        self.now = at(milliseconds);
        self.log()
    }

    /// Until the next server is dialed, however long the pause is.
    fn until_dialed(&mut self) -> String {
        let mut said = String::new();
        while !said.contains("dial") {
            self.now = self.client.poll_timeout().unwrap();
            self.client.handle_timeout(self.now);
            said.push_str(&self.log());
        }
        said
    }

    /// Everything that came out, a line each, but for hellos.
    fn log(&mut self) -> String {
        let mut log = String::new();
        while let Some(output) = self.client.poll_output() {
            match output {
                Output::Dial { link, address } => {
                    writeln!(log, "dial {} as {}", address.port(), link.0).unwrap();
                }
                Output::Send { link, bytes } => {
                    for line in sent(&bytes).lines() {
                        if !line.contains("hello") {
                            writeln!(log, "by {}: {line}", link.0).unwrap();
                        }
                    }
                }
                Output::HangUp(link) => writeln!(log, "hang up {}", link.0).unwrap(),
                Output::Item {
                    number,
                    item: Part::Message(message),
                } => writeln!(log, "{number}: message {}", message.id).unwrap(),
                Output::Item { number, .. } => writeln!(log, "{number}: item").unwrap(),
                Output::Answered { number, answer } => match answer {
                    Ok(answer) => writeln!(log, "{number} done: {answer:?}").unwrap(),
                    Err(refusal) => {
                        writeln!(log, "{number} refused: {}", refusal.code.word()).unwrap();
                    }
                },
                Output::Delivered(Message { id, .. }) => writeln!(log, "delivered {id}").unwrap(),
                Output::Changed(Change::Unreachable { pause, .. }) => {
                    let limits = Duration::from_millis(12)..=PAUSE_MAX;
                    assert!(limits.contains(&pause), "{pause:?}");
                    writeln!(log, "unreachable").unwrap();
                }
                Output::Changed(change) => writeln!(log, "{change}").unwrap(),
                Output::Noted { .. }
                | Output::Status { .. }
                | Output::RoundTrip(_)
                | Output::Learnt { .. } => {}
            }
        }
        log
    }
}

fn login(deliver: Deliver) -> Request<'static> {
    Request::Login {
        name: "alice",
        password: "correct-horse",
        session: Some(SessionId(9)),
        deliver,
    }
}

fn welcome(secret: Option<Secret>) -> Answer<'static> {
    Answer::LoggedIn {
        name: name("alice"),
        unread: 0,
        secret,
    }
}

fn sent_as(id: u64) -> Answer<'static> {
    Answer::Sent { id: OpNumber(id) }
}

fn delivery(id: u64) -> Server {
    Server::default().push(Push::Message(message(id)))
}

/// A message from alice to bob.
fn own(id: u64, text: &'static str) -> Server {
    let (from, to) = ("alice", "bob");
    Server::default().push(Push::Message(MessageView {
        from,
        to,
        text,
        ..message(id)
    }))
}

/// What a server says that points to another one.
fn elsewhere(number: u64, sentence: &'static str) -> Server {
    let refusal = Refusal::new(ErrorCode::NotPrimary, sentence);
    Server::default().answer(number, Answer::Refused(&refusal))
}

proptest::proptest! {
    #[test]
    fn nothing_that_servers_say_makes_it_panic(
        steps: Vec<(u8, u8, Vec<u8>)>,
        is_logged_in: bool,
    ) {
        let mut chat = match is_logged_in {
            true => Chat::logged_in(&[5001, 5002], Deliver::Unread),
            false => Chat::new(&[5001, 5002]),
        };
        let mut connected = if is_logged_in { vec![1] } else { Vec::new() };
        for (what, link, bytes) in steps {
            let link = u64::from(link % 8);
            match what % 7 {
                0 if connected.contains(&link) => {}
                0 => {
                    connected.push(link);
                    drop(chat.connect(link, u64::from(what)));
                }
                1 => drop(chat.closes(link)),
                2 => drop(chat.fails(link)),
                3 => drop(chat.hears(link, Server(bytes))),
                4 => drop(chat.hears(link, elsewhere(u64::from(what % 16), "127.0.0.1:5003 is"))),
                5 if chat.client.can_ask() => drop(chat.ask(&Request::Status)),
                _ => {
                    let next = chat.now + Duration::from_millis(u64::from(what));
                    chat.until((next.0 / 1_000_000).min(1 << 40));
                }
            }
        }
    }
}
