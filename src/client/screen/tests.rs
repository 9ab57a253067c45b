//! Scripts: what is typed and what the server says, and what a terminal shows of it.

mod chatting;
mod entering;
mod failing;
mod leaving;
mod looking;

use super::super::failover::{Input, LinkId};
use super::super::scripted::{Server, name, seconds, sent, settings};
use super::*;
use crate::types::{ConversationId, OpNumber, Secret};
use crate::wire::message::{Answer, Item, MessageView, Push, Refusal};
use unicode_segmentation::UnicodeSegmentation;
use unicode_width::UnicodeWidthStr;

/// 2026-11-21, 14:03 in UTC.
const AFTERNOON: Timestamp = Timestamp(1_795_269_780_000);
const WIDE: (u16, u16) = (80, 24);
const NARROW: (u16, u16) = (40, 20);

/// A person at a terminal, a client, and whatever servers there are.
struct Person {
    client: Client,
    screen: Screen,
    terminal: Terminal,
    now: Time,
    /// Connections that are to be made.
    dials: Vec<(LinkId, String)>,
    /// The connection that was made last.
    link: LinkId,
    /// What was sent since somebody looked.
    sent: String,
    /// The sequences that the terminal got since somebody looked.
    written: String,
}

impl Person {
    /// Before any server has answered.
    fn before_servers(size: (u16, u16), colours: Colours) -> Self {
        let options = ScreenOptions {
            size,
            colours,
            zone: TimeZone::UTC,
            wall: AFTERNOON,
            servers: vec!["127.0.0.1:5000".parse().unwrap()],
            user: None,
            password: None,
        };
        let mut sessions = 0;
        let fresh_session = Box::new(move || {
            sessions += 1;
            SessionId(sessions)
        });
        let mut person = Self {
            client: Client::new(settings(), seconds(0)),
            screen: Screen::new(options, fresh_session),
            terminal: Terminal::new(size),
            now: seconds(0),
            dials: Vec::new(),
            link: LinkId(0),
            sent: String::new(),
            written: String::new(),
        };
        person.turn();
        person
    }

    /// On the first screen, with a server.
    fn at(size: (u16, u16)) -> Self {
        let mut person = Self::before_servers(size, Colours::Off);
        person.connects();
        person
    }

    /// Logged in as alice, who has these messages; `(id, from, to, text)`.
    fn logged_in(size: (u16, u16), history: &[(u64, &str, &str, &str)]) -> Self {
        let mut person = Self::at(size);
        person.types("alice\tcorrect-horse\n");
        assert!(person.takes_sent().contains("send 2 (2..) Login alice"));
        person.hears(Server::default().answer(2, welcome()));
        assert!(person.takes_sent().contains("send 3 (3..) History 1000"));
        let mut server = Server::default();
        for (id, from, to, text) in history {
            server = server.item(3, Item::Message(message(*id, from, to, text)));
        }
        let count = history.len() as u64;
        person.hears(server.answer(3, Answer::Messages { count }));
        person
    }

    /// Logged in as alice with bob's conversation open, and nothing asked for but what is said.
    fn with_bob(size: (u16, u16)) -> Self {
        let mut person = Self::logged_in(size, &[(4, "bob", "alice", "hello")]);
        person.press(KeyCode::Enter);
        assert_eq!(person.takes_sent(), "send 4 (4..) List bob\n");
        person.hears(presence(4, "bob", true));
        person
    }

    /// The connection that is wanted is made, and its server greets.
    fn connects(&mut self) {
        let (link, _) = self.dials.pop().expect("no connection is wanted");
        self.link = link;
        self.client.handle_input(Input::Connected(link), self.now);
        self.hears(Server::default().hello());
        let asked = self.takes_sent();
        if let Some(number) = number_of(&asked, "Status") {
            self.hears(Server::default().answer(number, Answer::Reported));
        }
        self.sent = asked;
    }

    /// The server closes the connection.
    fn loses_server(&mut self) {
        self.client.handle_input(Input::Closed(self.link), self.now);
        self.turn();
    }

    /// The session is ended from elsewhere.
    fn session_ends(&mut self) {
        let note = Push::Note {
            about: NoteKind::SessionEnded,
            sentence: "the session was ended from elsewhere",
        };
        self.hears(Server::default().push(note));
    }

    /// No connection can be made to any server.
    fn finds_nobody(&mut self) {
        for (link, _) in std::mem::take(&mut self.dials) {
            let why = "nothing listens there".to_owned();
            self.client.handle_input(Input::Failed(link, why), self.now);
        }
        self.turn();
    }

    fn hears(&mut self, server: Server) {
        self.client
            .handle_input(Input::Received(self.link, &server.0), self.now);
        self.turn();
    }

    /// Types characters; a line feed is Enter, and a tab is Tab.
    fn types(&mut self, text: &str) {
        for character in text.chars() {
            self.press(match character {
                '\n' => KeyCode::Enter,
                '\t' => KeyCode::Tab,
                character => KeyCode::Char(character),
            });
        }
    }

    fn press(&mut self, code: KeyCode) {
        self.press_with(code, KeyModifiers::NONE);
    }

    fn control(&mut self, character: char) {
        self.press_with(KeyCode::Char(character), KeyModifiers::CONTROL);
    }

    fn press_with(&mut self, code: KeyCode, modifiers: KeyModifiers) {
        self.gives(Typed::Key(KeyEvent::new(code, modifiers)));
    }

    fn gives(&mut self, typed: Typed) {
        if let Typed::Resized { columns, rows } = &typed {
            self.terminal = Terminal::new((*columns, *rows));
        }
        self.screen.handle_typed(typed, &mut self.client, self.now);
        self.turn();
    }

    /// So many milliseconds pass.
    fn waits(&mut self, milliseconds: u64) {
        self.now = self.now + Duration::from_millis(milliseconds);
        if self.client.poll_timeout().is_some_and(|at| at <= self.now) {
            self.client.handle_timeout(self.now);
        }
        self.screen.handle_timeout(&mut self.client, self.now);
        self.turn();
    }

    /// As the driver does it: what is shown is written before anything is called read.
    fn turn(&mut self) {
        for _ in 0..2 {
            self.drain();
            let written = self.screen.take_text(&self.client, self.now);
            self.terminal.shows(&written.output);
            self.written.push_str(&written.output);
            self.screen.handle_written(&mut self.client, self.now);
        }
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(output) = self.client.poll_output() {
            match output {
                Output::Dial { link, address } => self.dials.push((link, address.to_string())),
                Output::Send { bytes, .. } => self.sent.push_str(&sent(&bytes)),
                Output::HangUp(link) => self.dials.retain(|(dialed, _)| *dialed != link),
                output => self
                    .screen
                    .handle_output(output, &mut self.client, self.now),
            }
        }
    }

    fn takes_sent(&mut self) -> String {
        std::mem::take(&mut self.sent)
    }

    /// The number by which something was asked last.
    fn asked(&self, what: &str) -> u64 {
        number_of(&self.sent, what).unwrap_or_else(|| panic!("{what} in {}", self.sent))
    }

    fn shown(&self) -> String {
        self.terminal.text()
    }

    /// The rows in which something stands.
    fn rows_with(&self, text: &str) -> Vec<String> {
        let shown = self.shown();
        let rows = shown.lines().filter(|row| row.contains(text));
        rows.map(str::to_owned).collect()
    }

    #[track_caller]
    fn sees(&self, text: &str) {
        let shown = self.shown();
        assert!(shown.contains(text), "{text:?} is not in\n{shown}");
    }

    /// Something is to be read, in however many rows.
    #[track_caller]
    fn reads(&self, text: &str) {
        let shown = self.shown();
        let words: Vec<&str> = shown.split_whitespace().collect();
        assert!(
            words.join(" ").contains(text),
            "{text:?} is not in\n{shown}"
        );
    }

    #[track_caller]
    fn sees_not(&self, text: &str) {
        let shown = self.shown();
        assert!(!shown.contains(text), "{text:?} is in\n{shown}");
    }
}

/// `send 7 (5..) What …`: 7.
fn number_of(sent: &str, what: &str) -> Option<u64> {
    let lines = sent.lines().rev();
    let mut numbers = lines.filter_map(|line| {
        let (number, rest) = line.strip_prefix("send ")?.split_once(' ')?;
        let (_, request) = rest.split_once(") ")?;
        request.starts_with(what).then(|| number.parse().unwrap())
    });
    numbers.next()
}

fn welcome() -> Answer<'static> {
    Answer::LoggedIn {
        name: name("alice"),
        unread: 0,
        secret: Some(Secret([7; 32])),
    }
}

fn sent_as(number: u64, id: u64) -> Server {
    let id = OpNumber(id);
    Server::default().answer(number, Answer::Sent { id })
}

fn presence(number: u64, of: &str, online: bool) -> Server {
    let account = Item::Account {
        name: name(of),
        online,
    };
    let count = 1;
    Server::default()
        .item(number, account)
        .answer(number, Answer::Listed { count })
}

/// A message of alice's, in a conversation whose number the other one's name makes.
fn message<'a>(id: u64, from: &'a str, to: &'a str, text: &'a str) -> MessageView<'a> {
    let peer = if from == "alice" { to } else { from };
    let first = peer.bytes().next().unwrap_or_default();
    MessageView {
        id: OpNumber(id),
        time: Timestamp(AFTERNOON.0 + id * 60_000),
        conversation: ConversationId(u64::from(first)),
        from,
        to,
        text,
    }
}

fn push(message: MessageView<'_>) -> Server {
    Server::default().push(Push::Message(message))
}

/// A terminal that understands what the screen writes, and nothing else.
struct Terminal {
    cells: Vec<Vec<String>>,
    x: usize,
    y: usize,
}

impl Terminal {
    fn new((columns, rows): (u16, u16)) -> Self {
        let row = vec![" ".to_owned(); usize::from(columns)];
        Self {
            cells: vec![row; usize::from(rows)],
            x: 0,
            y: 0,
        }
    }

    fn shows(&mut self, mut bytes: &str) {
        while let Some(character) = bytes.chars().next() {
            if character != '\x1b' {
                let part = bytes.graphemes(true).next().unwrap();
                assert!(!part.contains(char::is_control), "{part:?} was written");
                self.put(part);
                bytes = &bytes[part.len()..];
                continue;
            }
            let sequence = bytes.strip_prefix("\x1b[").expect("another sequence");
            let end = sequence.find(char::is_alphabetic).unwrap();
            let (arguments, rest) = sequence.split_at(end);
            self.obey(arguments, &rest[..1]);
            bytes = &rest[1..];
        }
    }

    fn obey(&mut self, arguments: &str, verb: &str) {
        match verb {
            "H" => {
                let (y, x) = arguments.split_once(';').unwrap();
                self.y = y.parse::<usize>().unwrap() - 1;
                self.x = x.parse::<usize>().unwrap() - 1;
            }
            "J" => {
                let cells = self.cells.iter_mut().flatten();
                cells.for_each(|cell| *cell = " ".to_owned());
            }
            "m" => {}
            "h" | "l" => assert_eq!(arguments, "?25"),
            other => panic!("nobody knows {arguments}{other}"),
        }
    }

    fn put(&mut self, part: &str) {
        let width = part.width();
        part.clone_into(&mut self.cells[self.y][self.x]);
        for covered in 1..width {
            self.cells[self.y][self.x + covered].clear();
        }
        self.x += width;
    }

    fn text(&self) -> String {
        let rows = self.cells.iter().map(|row| row.concat());
        let rows = rows.map(|row| row.trim_end().to_owned());
        rows.collect::<Vec<_>>().join("\n")
    }
}
