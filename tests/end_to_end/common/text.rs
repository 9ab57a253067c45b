//! How does a test speak text mode? As a script would, and stricter: a push within an answer, a
//! line that does not end in LF alone, or an answer that does not come are failures at once.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use super::{PASSWORD, PATIENCE};

/// A connection in text mode.
pub struct TextClient {
    reader: BufReader<TcpStream>,
    /// Messages that came unasked and were not looked at yet. The data lines of HISTORY and LOG
    /// are among them until `messages` takes them out.
    pushed: VecDeque<Message>,
    /// Notes that were not looked at yet.
    notes: VecDeque<String>,
    /// Nothing coming for long is the end of the connection, and no failure of the test.
    gives_up: bool,
}

/// An answer: its lines with `* ` before them, and its last line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub lines: Vec<String>,
    pub last: String,
}

/// A line with a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    pub id: u64,
    pub time: String,
    pub from: String,
    pub to: String,
    pub text: String,
}

impl TextClient {
    /// A connection to this address.
    pub fn connect(address: SocketAddr) -> Self {
        Self::over(TcpStream::connect(address).expect("the server takes the connection"))
    }

    /// A connection that is there already.
    pub fn over(stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
        stream
            .set_write_timeout(Some(PATIENCE))
            .expect("a time-out");
        stream.set_nodelay(true).expect("no delay");
        Self {
            reader: BufReader::new(stream),
            pushed: VecDeque::new(),
            notes: VecDeque::new(),
            gives_up: false,
        }
    }

    /// A connection to a server that may be mute: after so long without a word of it, it counts as
    /// gone.
    pub fn try_connect_for(address: SocketAddr, patience: Duration) -> Option<Self> {
        let mut client = Self::over(TcpStream::connect_timeout(&address, patience).ok()?);
        client.give_up_after(patience);
        Some(client)
    }

    /// From now on, after so long without a word of the server, it counts as gone.
    pub fn give_up_after(&mut self, patience: Duration) {
        let stream = self.reader.get_ref();
        stream.set_read_timeout(Some(patience)).expect("a time-out");
        stream
            .set_write_timeout(Some(patience))
            .expect("a time-out");
        self.gives_up = true;
    }

    // --- saying ---

    /// Sends one line.
    pub fn say(&mut self, line: &str) {
        self.say_bytes(format!("{line}\n").as_bytes());
    }

    /// Sends bytes as they are.
    pub fn say_bytes(&mut self, bytes: &[u8]) {
        self.try_say_bytes(bytes)
            .expect("the server takes the bytes");
    }

    /// Sends bytes to a server that may end meanwhile.
    pub fn try_say_bytes(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.reader.get_mut().write_all(bytes)
    }

    /// Closes this side, as `nc -N` does at the end of its input.
    pub fn half_close(&mut self) {
        let stream = self.reader.get_ref();
        stream.shutdown(Shutdown::Write).expect("half a close");
    }

    /// The connection itself.
    pub fn stream(&self) -> &TcpStream {
        self.reader.get_ref()
    }

    // --- hearing ---

    /// The next line, whatever it is; `None` at the end of the connection.
    pub fn line(&mut self) -> Option<String> {
        let mut bytes = Vec::new();
        match self.reader.read_until(b'\n', &mut bytes) {
            Ok(0) => return None,
            Ok(_) => {}
            // What the peer of a closed connection gets that still had something to say.
            Err(e) if e.kind() == ErrorKind::ConnectionReset => return None,
            Err(_) if self.gives_up => return None,
            Err(e) => panic!("no line comes: {e}; so far {:?}", bytes.escape_ascii()),
        }
        if self.gives_up && bytes.last() != Some(&b'\n') {
            return None;
        }
        assert_eq!(
            bytes.pop(),
            Some(b'\n'),
            "half a line: {}",
            bytes.escape_ascii()
        );
        assert_ne!(bytes.last(), Some(&b'\r'), "lines end with LF alone");
        Some(String::from_utf8(bytes).expect("lines are UTF-8"))
    }

    /// The next answer. Messages and notes before it are kept; within it they are a failure.
    pub fn answer(&mut self) -> Answer {
        self.try_answer().expect("an answer, and not the end")
    }

    /// The next answer, or `None` at the end of the connection.
    pub fn try_answer(&mut self) -> Option<Answer> {
        let mut lines: Vec<String> = Vec::new();
        loop {
            let line = self.line()?;
            if line.starts_with("* ") {
                lines.push(line);
            } else if line == "OK" || line.starts_with("OK ") || line.starts_with("ERR ") {
                return Some(Answer { lines, last: line });
            } else {
                assert!(
                    lines.is_empty(),
                    "within an answer: {line:?} after {lines:?}"
                );
                self.push(&line);
            }
        }
    }

    /// The next message that comes or came unasked.
    pub fn delivered(&mut self) -> Message {
        while self.pushed.is_empty() {
            let line = self.line().expect("a message, and not the end");
            self.push(&line);
        }
        self.pushed.pop_front().expect("there is one")
    }

    /// All messages that came unasked until a request of now is answered.
    pub fn delivered_so_far(&mut self) -> Vec<Message> {
        self.ping();
        self.pushed()
    }

    /// The messages that came unasked before the last answer.
    pub fn pushed(&mut self) -> Vec<Message> {
        self.pushed.drain(..).collect()
    }

    /// The next note.
    pub fn note(&mut self) -> String {
        while self.notes.is_empty() {
            let line = self.line().expect("a note, and not the end");
            self.push(&line);
        }
        self.notes.pop_front().expect("there is one")
    }

    /// The notes that came and were not looked at.
    pub fn notes_so_far(&mut self) -> Vec<String> {
        self.ping();
        self.notes.drain(..).collect()
    }

    /// All that is left until the server closes.
    pub fn until_closed(&mut self) -> Vec<String> {
        std::iter::from_fn(|| self.line()).collect()
    }

    // --- asking ---

    /// One request and its answer.
    pub fn ask(&mut self, request: &str) -> Answer {
        self.say(request);
        self.answer()
    }

    /// One request of a server that may not be there; no answer is `None`.
    pub fn try_ask(&mut self, request: &str) -> Option<Answer> {
        self.try_say_bytes(format!("{request}\n").as_bytes()).ok()?;
        self.try_answer()
    }

    /// One request whose answer is this line and nothing else.
    #[track_caller]
    pub fn expect(&mut self, request: &str, last: &str) {
        let answer = self.ask(request);
        assert_eq!(answer.last, last, "to {}", shortened(request));
        assert_eq!(answer.lines, [""; 0], "to {}", shortened(request));
    }

    /// One request that is refused with this code. Answers the sentence.
    #[track_caller]
    pub fn expect_refused(&mut self, request: &str, code: &str) -> String {
        self.say(request);
        self.expect_refusal(code, request)
    }

    /// The next answer is a refusal with this code. Answers the sentence.
    #[track_caller]
    pub fn expect_refusal(&mut self, code: &str, request: &str) -> String {
        let answer = self.answer();
        let last = &answer.last;
        let asked = shortened(request);
        let sentence = last.strip_prefix(&format!("ERR {code} "));
        assert!(sentence.is_some(), "to {asked}: {last:?}, not {code}");
        assert_eq!(answer.lines, [""; 0], "to {asked}");
        let sentence = sentence.expect("just looked at").trim().to_string();
        assert!(!sentence.is_empty(), "to {asked}: no sentence");
        sentence
    }

    /// A HISTORY or LOG with its messages.
    #[track_caller]
    pub fn messages(&mut self, request: &str) -> Vec<Message> {
        self.say(request);
        self.messages_of_answer(request)
    }

    /// The next answer, which is that of a HISTORY or LOG, with its messages.
    #[track_caller]
    pub fn messages_of_answer(&mut self, request: &str) -> Vec<Message> {
        let answer = self.answer();
        let count = answer.last.strip_prefix("OK ").and_then(|n| n.parse().ok());
        let Some(count) = count else {
            panic!("to {request}: {:?} is not OK and a number", answer.last);
        };
        let pushed_before = self.pushed.len().checked_sub(count);
        let Some(pushed_before) = pushed_before else {
            panic!("to {request}: {} lines, not {count}", self.pushed.len());
        };
        self.pushed.drain(pushed_before..).collect()
    }

    /// Waits until everything that was asked before is answered.
    #[track_caller]
    pub fn ping(&mut self) {
        self.expect("PING", "OK pong");
    }

    /// Sends a message. Answers its id.
    #[track_caller]
    pub fn send(&mut self, to: &str, text: &str) -> u64 {
        let answer = self.ask(&format!("SEND {to} {text}"));
        let id = answer
            .last
            .strip_prefix("OK ")
            .and_then(|id| id.parse().ok());
        id.unwrap_or_else(|| panic!("to SEND: {:?} is not OK and an id", answer.last))
    }

    /// Makes an account.
    #[track_caller]
    pub fn create(&mut self, name: &str) {
        self.expect(
            &format!("CREATE {name} {PASSWORD}"),
            &format!("OK created {name}"),
        );
    }

    /// Logs in where nothing is unread.
    #[track_caller]
    pub fn login(&mut self, name: &str) {
        let unread = self.login_unread(name);
        assert_eq!(unread, [], "unread of {name}");
    }

    /// Logs in. Answers what is unread.
    #[track_caller]
    pub fn login_unread(&mut self, name: &str) -> Vec<Message> {
        self.login_with(name, PASSWORD)
    }

    /// Logs in with a password. Answers what is unread.
    #[track_caller]
    pub fn login_with(&mut self, name: &str, password: &str) -> Vec<Message> {
        let answer = self.ask(&format!("LOGIN {name} {password}"));
        let count = answer
            .last
            .strip_prefix(&format!("OK {name}, "))
            .and_then(|rest| rest.strip_suffix(" unread"))
            .and_then(|count| count.parse().ok());
        let Some(count) = count else {
            panic!("to LOGIN {name}: {:?}", answer.last);
        };
        let count: usize = count;
        (0..count).map(|_| self.delivered()).collect()
    }

    fn push(&mut self, line: &str) {
        if let Some(sentence) = line.strip_prefix("NOTE ") {
            assert!(!sentence.is_empty(), "a note without a sentence");
            self.notes.push_back(sentence.to_string());
        } else {
            self.pushed.push_back(Message::parse(line));
        }
    }
}

impl Message {
    /// The message of a line, whose form is looked at to the letter.
    pub fn parse(line: &str) -> Self {
        let mut words = line.splitn(6, ' ');
        assert_eq!(words.next(), Some("MSG"), "neither MSG nor NOTE: {line:?}");
        let mut word = || {
            words
                .next()
                .unwrap_or_else(|| panic!("too short: {line:?}"))
        };
        let message = Self {
            id: word().parse().expect("an id is a number"),
            time: word().to_string(),
            from: word().to_string(),
            to: word().to_string(),
            text: word().to_string(),
        };
        let pattern = "dddd-dd-ddTdd:dd:dd.dddZ";
        let fits = |(c, p): (u8, u8)| match p {
            b'd' => c.is_ascii_digit(),
            _ => c == p,
        };
        let time = message.time.bytes();
        assert!(
            time.len() == pattern.len() && time.zip(pattern.bytes()).all(fits),
            "not RFC 3339 in UTC with milliseconds: {line:?}"
        );
        message
    }

    /// Who wrote what, to whom: what tests mostly look at.
    pub fn summary(&self) -> (u64, &str, &str, &str) {
        (self.id, &self.from, &self.to, &self.text)
    }
}

/// The ids of messages.
pub fn ids(messages: &[Message]) -> Vec<u64> {
    messages.iter().map(|message| message.id).collect()
}

/// The texts of messages.
pub fn texts(messages: &[Message]) -> Vec<&str> {
    messages
        .iter()
        .map(|message| message.text.as_str())
        .collect()
}

fn shortened(request: &str) -> String {
    let mut shown: String = request.chars().take(60).collect();
    if shown.len() < request.len() {
        shown.push('…');
    }
    shown
}
