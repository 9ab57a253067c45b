//! What does a scripted server say, and what does it make of what it hears? For unit tests.

use std::fmt::Write;
use std::time::Duration;

use super::failover::{Client, Input, LinkId, Output, Settings};
use super::front::Front;
use crate::types::{
    ConversationId, ErrorCode, Name, OpNumber, RequestNumber, ServerId, Time, Timestamp,
};
use crate::wire::hello::{Hello, Role, decode_first, encode_hello};
use crate::wire::message::{Answer, Item, MessageView, Push, Request};
use crate::wire::reply::{encode_answer, encode_item, encode_push};
use crate::wire::request::decode_from_client;
use crate::wire::{Decoded, FromClient};

pub fn seconds(seconds: u64) -> Time {
    Time(0) + Duration::from_secs(seconds)
}

pub fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

pub fn message(id: u64) -> MessageView<'static> {
    MessageView {
        id: OpNumber(id),
        time: Timestamp(1),
        conversation: ConversationId(3),
        from: "bob",
        to: "alice",
        text: "hello",
    }
}

/// Where the scripted server is.
pub const SERVER: &str = "127.0.0.1:5000";

/// A client with one connection to a scripted server, on which both hellos were said, and the
/// client's own question how the cluster is, request 1, was answered.
pub struct Dialed {
    pub client: Client,
    pub link: LinkId,
    /// What the client has said by then.
    said: Vec<Output>,
}

impl Dialed {
    pub fn new() -> Self {
        let mut client = Client::new(settings(), seconds(0));
        let Some(Output::Dial { link, .. }) = client.poll_output() else {
            panic!("a client begins by dialing")
        };
        client.handle_input(Input::Connected(link), seconds(0));
        let said = Vec::new();
        let mut dialed = Self { client, link, said };
        dialed.hears(&Server::default().hello());
        dialed.hears(&Server::default().answer(1, Answer::Reported));
        while let Some(output) = dialed.client.poll_output() {
            if !matches!(output, Output::Send { .. }) {
                dialed.said.push(output);
            }
        }
        dialed
    }

    pub fn hears(&mut self, server: &Server) {
        let input = Input::Received(self.link, &server.0);
        self.client.handle_input(input, seconds(0));
    }

    /// What is sent, and what the front makes of the rest.
    pub fn drain(&mut self, front: &mut impl Front) -> String {
        let mut log = String::new();
        for output in std::mem::take(&mut self.said) {
            front.handle_output(output, &mut self.client, seconds(0));
        }
        while let Some(output) = self.client.poll_output() {
            match output {
                Output::Send { bytes, .. } => log.push_str(&sent(&bytes)),
                output => front.handle_output(output, &mut self.client, seconds(0)),
            }
        }
        log
    }
}

/// One server, and ten seconds' patience.
pub fn settings() -> Settings {
    Settings {
        software: "client test".to_owned(),
        silence_max: Duration::from_secs(10),
        ..Settings::new(vec![SERVER.parse().unwrap()], 1)
    }
}

/// What a server says.
#[derive(Default)]
pub struct Server(pub Vec<u8>);

impl Server {
    pub fn hello(mut self) -> Self {
        let hello = Hello {
            role: Role::Server,
            server: ServerId(1),
            ..Hello::client("lastword test")
        };
        encode_hello(&mut self.0, &hello);
        self
    }

    pub fn answer(mut self, number: u64, answer: Answer<'_>) -> Self {
        encode_answer(&mut self.0, RequestNumber(number), &answer);
        self
    }

    pub fn refuse(self, number: u64, code: ErrorCode) -> Self {
        self.answer(number, Answer::Refused(&code.into()))
    }

    pub fn item(mut self, number: u64, item: Item<'_>) -> Self {
        encode_item(&mut self.0, RequestNumber(number), &item);
        self
    }

    pub fn push(mut self, push: Push<'_>) -> Self {
        encode_push(&mut self.0, &push);
        self
    }

    pub fn raw(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }
}

/// What a server makes of the bytes that are sent.
pub fn sent(mut bytes: &[u8]) -> String {
    let mut log = String::new();
    if let Decoded::Message { message, consumed } = decode_first(bytes) {
        writeln!(log, "send hello of {}", message.software).unwrap();
        bytes = &bytes[consumed..];
    }
    while let Decoded::Message { message, consumed } = decode_from_client(bytes, 32 * 1024) {
        bytes = &bytes[consumed..];
        let FromClient::Asked(asked) = message else {
            panic!("a second hello");
        };
        let request = asked.request.unwrap();
        let shown = shown(&request);
        writeln!(
            log,
            "send {} ({}..) {shown}",
            asked.number, asked.lowest_open
        )
        .unwrap();
    }
    assert!(bytes.is_empty(), "half a frame was sent");
    log
}

/// A request in a few words, of which none is a password.
fn shown(request: &Request<'_>) -> String {
    match request {
        Request::Login { name, .. } => format!("Login {name}"),
        Request::Create { name, .. } => format!("Create {name}"),
        Request::Send { to, text } => format!("Send {to} {}", text.as_str()),
        Request::Acknowledge { up_to, .. } => format!("Acknowledge {up_to}"),
        Request::History { limit, before, .. } => format!("History {limit} {before}"),
        Request::Log { after, .. } => format!("Log {after}"),
        Request::List { pattern } => format!("List {pattern}"),
        other => format!("{other:?}")
            .split([' ', '{'])
            .next()
            .unwrap_or_default()
            .to_owned(),
    }
}
