//! How does a test speak binary frames? With the codecs that the project publishes, over a plain
//! socket; requests can be sent ahead, under any numbers, and answers are matched by theirs.

use std::collections::{HashMap, VecDeque};
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use lastword::types::{ErrorCode, Name, OpNumber, RequestNumber, Secret, SessionId, Text};
use lastword::wire::decoded::Decoded;
use lastword::wire::hello::{Hello, encode_hello};
use lastword::wire::message::{
    Answer, Deliver, Item, MessageView, NoteKind, Push, Refusal, Request,
};
use lastword::wire::reply::{FromServer, decode_from_server};
use lastword::wire::request::encode_request;

use super::text::Message;
use super::{PASSWORD, PATIENCE};

/// A connection that speaks binary frames.
pub struct BinaryClient {
    stream: TcpStream,
    /// What has come and was not decoded yet.
    input: Vec<u8>,
    /// Parts of answers whose last word has not come yet.
    parts: HashMap<u64, Parts>,
    pushed: VecDeque<Message>,
    notes: VecDeque<(NoteKind, String)>,
    /// The number of the next request that `ask` sends.
    next: u64,
    /// Nothing coming for long is the end of the connection, and no failure of the test.
    gives_up: bool,
}

/// What came before an answer's last word.
#[derive(Debug, Default)]
pub struct Parts {
    pub lines: Vec<String>,
    pub accounts: Vec<(Name, bool)>,
    pub messages: Vec<Message>,
}

/// An answer with its parts.
#[derive(Debug)]
pub struct BinaryAnswer {
    pub number: u64,
    pub parts: Parts,
    pub last: Result<Answer<'static>, Refusal>,
}

/// How a login can be taken up again.
#[derive(Clone, Copy)]
pub struct Login {
    pub session: SessionId,
    pub secret: Secret,
}

impl BinaryClient {
    /// A connection to this address, after both hellos.
    pub fn connect(address: SocketAddr) -> Self {
        Self::try_connect(address).expect("the server takes the connection")
    }

    /// The same with a server that may not be there.
    pub fn try_connect(address: SocketAddr) -> Option<Self> {
        Self::over(TcpStream::connect(address).ok()?)
    }

    /// The same with a server that may be there and mute: after so long without a word of it, it
    /// counts as gone.
    pub fn try_connect_for(address: SocketAddr, patience: Duration) -> Option<Self> {
        let stream = TcpStream::connect_timeout(&address, patience).ok()?;
        Self::with_patience(stream, patience)
    }

    /// Says hello on a connection that is there already.
    pub fn over(stream: TcpStream) -> Option<Self> {
        Self::with_patience(stream, PATIENCE)
    }

    fn with_patience(stream: TcpStream, patience: Duration) -> Option<Self> {
        stream.set_read_timeout(Some(patience)).ok()?;
        stream.set_write_timeout(Some(patience)).ok()?;
        stream.set_nodelay(true).ok()?;
        let mut client = Self {
            stream,
            input: Vec::new(),
            parts: HashMap::new(),
            pushed: VecDeque::new(),
            notes: VecDeque::new(),
            next: 1,
            gives_up: patience < PATIENCE,
        };
        let mut hello = Vec::new();
        encode_hello(&mut hello, &Hello::client("end-to-end test"));
        client.stream.write_all(&hello).ok()?;
        client.take(|said| matches!(said, FromServer::Hello(_)).then_some(()))?;
        Some(client)
    }

    /// Sends a request under these numbers. `None` when the server is gone.
    pub fn say(&mut self, number: u64, lowest_open: u64, request: &Request<'_>) -> Option<()> {
        let mut bytes = Vec::new();
        let (number, lowest_open) = (RequestNumber(number), RequestNumber(lowest_open));
        encode_request(&mut bytes, number, lowest_open, request);
        self.stream.write_all(&bytes).ok()
    }

    /// Sends bytes as they are.
    pub fn say_bytes(&mut self, bytes: &[u8]) {
        self.stream
            .write_all(bytes)
            .expect("the server takes the bytes");
    }

    /// The next answer to whichever request; `None` at the end of the connection.
    pub fn try_answer(&mut self) -> Option<BinaryAnswer> {
        loop {
            let said = self.take(|said| match said {
                FromServer::Answer { number, answer } => Some(Said::Last(number.0, answer.clone())),
                FromServer::Item { number, item } => Some(Said::Part(number.0, Part::of(item))),
                _ => None,
            })?;
            match said {
                Said::Part(number, part) => self.parts.entry(number).or_default().add(part),
                Said::Last(number, last) => {
                    let parts = self.parts.remove(&number).unwrap_or_default();
                    return Some(BinaryAnswer {
                        number,
                        parts,
                        last,
                    });
                }
            }
        }
    }

    /// One request and its answer, under a number of its own.
    pub fn ask(&mut self, request: &Request<'_>) -> BinaryAnswer {
        let number = self.next;
        self.next += 1;
        self.say(number, number, request)
            .expect("the server takes the request");
        let answer = self.try_answer().expect("an answer, and not the end");
        assert_eq!(answer.number, number, "to {request:?}: {answer:?}");
        answer
    }

    /// One request that is refused. Answers why.
    pub fn refused(&mut self, request: &Request<'_>) -> ErrorCode {
        match self.ask(request).last {
            Err(refusal) => refusal.code,
            Ok(answer) => panic!("to {request:?}: {answer:?}"),
        }
    }

    /// One message. Answers its id.
    pub fn send(&mut self, to: &str, text: &str) -> u64 {
        let to = Name::parse(to).expect("a name");
        let text = Text::parse(text).expect("a text");
        match self.ask(&Request::Send { to, text }).last {
            Ok(Answer::Sent { id }) => id.0,
            other => panic!("to SEND: {other:?}"),
        }
    }

    /// All messages of the account.
    pub fn log(&mut self) -> Vec<Message> {
        let answer = self.ask(&Request::Log {
            after: OpNumber::ZERO,
            limit: None,
        });
        let count = answer.parts.messages.len() as u64;
        assert_eq!(answer.last, Ok(Answer::Messages { count }));
        answer.parts.messages
    }

    /// Logs in with the tests' password. Answers how to come back.
    pub fn login(&mut self, name: &str, session: SessionId, deliver: Deliver) -> Login {
        let request = Request::Login {
            name,
            password: PASSWORD,
            session: Some(session),
            deliver,
        };
        match self.ask(&request).last {
            Ok(Answer::LoggedIn {
                secret: Some(secret),
                ..
            }) => Login { session, secret },
            other => panic!("to LOGIN: {other:?}"),
        }
    }

    /// Takes a login up again; `None` when the server is gone, or does not lead.
    pub fn resume(&mut self, login: Login, deliver: Deliver) -> Option<()> {
        let Login { session, secret } = login;
        let number = self.next;
        self.next += 1;
        self.say(
            number,
            number,
            &Request::Resume {
                session,
                secret,
                deliver,
            },
        )?;
        let answer = self.try_answer()?;
        match answer.last {
            Ok(Answer::LoggedIn { .. }) => Some(()),
            Err(refusal) if is_elsewhere(refusal.code) => None,
            other => panic!("to RESUME: {other:?}"),
        }
    }

    /// The next message that comes or came unasked.
    pub fn delivered(&mut self) -> Message {
        loop {
            if let Some(message) = self.pushed.pop_front() {
                return message;
            }
            let push = self.take(|said| matches!(said, FromServer::Push(_)).then_some(()));
            push.expect("a message, and not the end");
        }
    }

    /// The messages that came unasked so far.
    pub fn pushed(&mut self) -> Vec<Message> {
        self.pushed.drain(..).collect()
    }

    /// The notes that came so far.
    pub fn notes(&mut self) -> Vec<(NoteKind, String)> {
        self.notes.drain(..).collect()
    }

    /// Everything until the server closes. What it answers last, if it does.
    pub fn until_closed(&mut self) -> Option<BinaryAnswer> {
        let mut last = None;
        while let Some(answer) = self.try_answer() {
            last = Some(answer);
        }
        last
    }

    /// Reads until `wanted` finds something; `None` at the end of the connection. Pushes are kept
    /// on the way.
    fn take<T>(&mut self, mut wanted: impl FnMut(&FromServer<'_>) -> Option<T>) -> Option<T> {
        loop {
            match decode_from_server(&self.input) {
                Decoded::Message { message, consumed } => {
                    if let FromServer::Push(push) = &message {
                        match push {
                            Push::Message(view) => self.pushed.push_back(owned(view)),
                            Push::Note { about, sentence } => {
                                self.notes.push_back((*about, sentence.to_string()));
                            }
                        }
                    }
                    let found = wanted(&message);
                    self.input.drain(..consumed);
                    if found.is_some() {
                        return found;
                    }
                }
                Decoded::Nothing { consumed } => {
                    self.input.drain(..consumed);
                }
                Decoded::Broken { refusal } => panic!("not a frame: {refusal:?}"),
                Decoded::Incomplete => self.read()?,
            }
        }
    }

    fn read(&mut self) -> Option<()> {
        let mut buffer = [0; 16 * 1024];
        match self.stream.read(&mut buffer) {
            Ok(0) => None,
            Ok(count) => {
                self.input.extend_from_slice(&buffer[..count]);
                Some(())
            }
            Err(e) if e.kind() == ErrorKind::ConnectionReset => None,
            // A partition looks like this, too.
            Err(_) if self.gives_up => None,
            Err(e) => panic!("nothing comes: {e}"),
        }
    }
}

/// Whether a refusal says that the request is to be asked again, here or of another server.
pub fn is_elsewhere(code: ErrorCode) -> bool {
    matches!(
        code,
        ErrorCode::NotPrimary
            | ErrorCode::NotReady
            | ErrorCode::UnknownOutcome
            | ErrorCode::ShuttingDown
            | ErrorCode::Busy
    )
}

enum Said {
    Part(u64, Part),
    Last(u64, Result<Answer<'static>, Refusal>),
}

enum Part {
    Line(String),
    Account(Name, bool),
    Message(Message),
}

impl Part {
    fn of(item: &Item<'_>) -> Self {
        match item {
            Item::Line(line) => Self::Line(line.to_string()),
            Item::Account { name, online } => Self::Account(*name, *online),
            Item::Message(view) => Self::Message(owned(view)),
        }
    }
}

impl Parts {
    fn add(&mut self, part: Part) {
        match part {
            Part::Line(line) => self.lines.push(line),
            Part::Account(name, online) => self.accounts.push((name, online)),
            Part::Message(message) => self.messages.push(message),
        }
    }
}

/// A message as the text client would show it, but with its text as it is.
fn owned(view: &MessageView<'_>) -> Message {
    let time = i64::try_from(view.time.0).expect("a time before the year 9999");
    let time = jiff::Timestamp::from_millisecond(time).expect("a time before the year 9999");
    Message {
        id: view.id.0,
        time: time.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string(),
        from: view.from.to_string(),
        to: view.to.to_string(),
        text: view.text.to_string(),
    }
}
