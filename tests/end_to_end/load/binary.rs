//! How does a client keep its word over crashes? It takes its session up again, and asks for what
//! is open under the same numbers; and, to see that the server remembers, for some that is not.

use std::collections::BTreeMap;

use lastword::types::{Name, OpNumber, Text};
use lastword::wire::message::{Answer, Deliver, Request};

use crate::common::binary::{BinaryClient, Login, is_elsewhere};
use crate::common::eventually;

use super::{BINARY_NAMES, Finder, Ledger, OPEN, TEXT_NAMES};

/// So many answered requests stay above the lowest open number, and are asked again after a crash.
const REMEMBERED: u64 = 8;
/// One request in so many says what is read.
const READ_EVERY: u64 = 10;
/// Numbers below are for logins.
const FIRST_NUMBER: u64 = 1000;

/// What a request wants, in words that last longer than its frame.
#[derive(Clone, Debug)]
enum Wanted {
    Message { to: &'static str, text: String },
    Read { up_to: u64 },
}

/// A client over all its connections.
struct Load<'l> {
    name: &'static str,
    ledger: &'l Ledger,
    /// Sent and not answered, by number.
    open: BTreeMap<u64, Wanted>,
    /// Answered not long ago, with what the answer was.
    answered: BTreeMap<u64, (Wanted, u64)>,
    next: u64,
    /// The last message that was seen.
    seen: u64,
}

/// Sends until the ledger says stop, then until everything is answered.
pub fn run(finder: &Finder, name: &'static str, login: Login, ledger: &Ledger) {
    let mut load = Load {
        name,
        ledger,
        open: BTreeMap::new(),
        answered: BTreeMap::new(),
        next: FIRST_NUMBER,
        seen: 0,
    };
    let connected = || {
        let mut client = finder.binary()?;
        client.resume(login, Deliver::Unread)?;
        Some(client)
    };
    while load
        .over(&mut eventually("a session is taken up again", connected))
        .is_none()
    {}
}

impl Load<'_> {
    /// Everything that can be done over one connection; `None` if it ended too early.
    fn over(&mut self, client: &mut BinaryClient) -> Option<()> {
        let mut unconfirmed = self.ask_again(client)?;
        loop {
            while self.ledger.goes_on() && self.open.len() < OPEN {
                self.ask_something_new(client)?;
            }
            if self.open.is_empty() && unconfirmed == 0 {
                return Some(());
            }
            let answer = client.try_answer()?;
            let told = match answer.last {
                Ok(Answer::Sent { id }) => id.0,
                Ok(Answer::Acknowledged { up_to }) => up_to.0,
                // On its way out, or when another one takes over, a server may say so.
                Err(refusal) if is_elsewhere(refusal.code) => return None,
                other => panic!("{} got {other:?} for {}", self.name, answer.number),
            };
            match self.answered.get(&answer.number) {
                Some((wanted, first)) => {
                    assert_eq!(told, *first, "another answer to {} {wanted:?}", self.name);
                    unconfirmed -= 1;
                }
                None => self.note(answer.number, told),
            }
            self.look_at(client);
            self.ledger.pause();
        }
    }

    /// Asks for all that is open and for some that is answered, in the order of the numbers.
    /// Answers how many of the latter.
    fn ask_again(&mut self, client: &mut BinaryClient) -> Option<usize> {
        let lowest = self.lowest_open();
        self.answered = self.answered.split_off(&lowest);
        let answered = self
            .answered
            .iter()
            .map(|(number, (wanted, _))| (number, wanted));
        let all: BTreeMap<_, _> = answered.chain(&self.open).collect();
        for (number, wanted) in all {
            wanted.ask(client, *number, lowest)?;
        }
        Some(self.answered.len())
    }

    fn ask_something_new(&mut self, client: &mut BinaryClient) -> Option<()> {
        let number = self.next;
        self.next += 1;
        let place = BINARY_NAMES.iter().position(|name| *name == self.name);
        let place = place.expect("one of them");
        let wanted = match number % READ_EVERY {
            0 if self.seen > 0 => Wanted::Read { up_to: self.seen },
            1 => Wanted::Message {
                to: TEXT_NAMES[0],
                text: format!("{} {number}", self.name),
            },
            _ => Wanted::Message {
                to: BINARY_NAMES[(place + 1) % BINARY_NAMES.len()],
                text: format!("{} {number}", self.name),
            },
        };
        // It counts as open before it is sent: nobody knows how much of it arrives.
        self.open.insert(number, wanted.clone());
        wanted.ask(client, number, self.lowest_open())
    }

    /// Notes an answer that came for the first time.
    fn note(&mut self, number: u64, told: u64) {
        let wanted = self.open.remove(&number);
        let wanted = wanted.unwrap_or_else(|| panic!("nobody asked {number}"));
        match &wanted {
            Wanted::Message { to, text } => self.ledger.sent(told, self.name, to, text),
            Wanted::Read { up_to } => {
                assert_eq!(told, *up_to, "what was seen is there");
                self.ledger.read(self.name, told);
            }
        }
        self.answered.insert(number, (wanted, told));
    }

    /// Looks at what was delivered: in order, each once for a connection.
    fn look_at(&mut self, client: &mut BinaryClient) {
        for message in client.pushed() {
            assert_eq!(message.to, self.name);
            self.seen = self.seen.max(message.id);
        }
    }

    fn lowest_open(&self) -> u64 {
        let open = self.open.keys().next().copied().unwrap_or(self.next);
        open.saturating_sub(REMEMBERED).max(FIRST_NUMBER)
    }
}

impl Wanted {
    fn ask(&self, client: &mut BinaryClient, number: u64, lowest_open: u64) -> Option<()> {
        match self {
            Self::Message { to, text } => {
                let to = Name::parse(to).expect("a name");
                let text = Text::parse(text).expect("a text");
                client.say(number, lowest_open, &Request::Send { to, text })
            }
            Self::Read { up_to } => client.say(
                number,
                lowest_open,
                &Request::Acknowledge {
                    conversation: None,
                    up_to: OpNumber(*up_to),
                },
            ),
        }
    }
}
