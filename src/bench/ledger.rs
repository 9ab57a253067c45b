//! What was acknowledged, and is it all there?
//!
//! Each message says in its text which session wrote it and under which number. So the log of the one
//! who got them all shows each acknowledged message under the id that it was acknowledged with, once.

use super::connections::{BenchError, refused, unasked};
use super::entrance::{Entrance, FIRST_NUMBER};
use crate::limits::SESSION_OPEN_REQUESTS_MAX;
use crate::types::{OpNumber, RequestNumber};
use crate::wire::message::{Answer, Item, MessageView, Request};
use crate::wire::reply::FromServer;
use crate::wire::request::encode_request;

/// Bytes of a text that say which message it is: a session and a number, in hexadecimal digits.
pub const LABEL_BYTES: usize = 4 + 1 + 11;

/// What stands behind a label.
pub(super) const FILLING: u8 = b'.';

/// Everything that a load has asked for.
pub(super) struct Ledger {
    pages: Vec<Page>,
    acknowledged: u64,
    /// The sum of the ids that were acknowledged, as far as it goes.
    sum: u64,
}

/// The requests of one session.
#[derive(Clone, Default)]
struct Page {
    /// The ids that they got, by their numbers; 0: none yet.
    ids: Vec<u64>,
    /// All below this one have got an answer.
    lowest_open: usize,
}

impl Ledger {
    /// Nothing asked yet in so many sessions.
    pub fn new(sessions: usize) -> Self {
        Self {
            pages: vec![Page::default(); sessions],
            acknowledged: 0,
            sum: 0,
        }
    }

    /// How many were acknowledged.
    pub fn acknowledged(&self) -> u64 {
        self.acknowledged
    }

    /// The sum of their ids, as far as it goes: who was told of as many that add up to the same was told of
    /// these.
    pub fn sum(&self) -> u64 {
        self.sum
    }

    /// The number of a session's next request, and the lowest that is open; `None` if as many are open
    /// as may be.
    pub fn next(&mut self, session: usize) -> Option<(RequestNumber, RequestNumber)> {
        let page = &mut self.pages[session];
        let next = page.ids.len();
        if (next - page.lowest_open) as u64 >= SESSION_OPEN_REQUESTS_MAX {
            return None;
        }
        page.ids.push(0);
        let number = |at: usize| RequestNumber(FIRST_NUMBER + at as u64);
        Some((number(next), number(page.lowest_open)))
    }

    /// A request was acknowledged.
    pub fn note(&mut self, session: usize, number: RequestNumber, id: OpNumber) {
        let page = &mut self.pages[session];
        let at = (number.0 - FIRST_NUMBER) as usize;
        debug_assert_eq!(page.ids[at], 0, "one answer for each request");
        page.ids[at] = id.0;
        while page.ids.get(page.lowest_open).is_some_and(|id| *id != 0) {
            page.lowest_open += 1;
        }
        self.acknowledged += 1;
        self.sum = self.sum.wrapping_add(id.0);
    }

    /// Looks everything up, once nothing is open any more: whatever is there was acknowledged, and says all of
    /// what was sent, `size` bytes of it. None can be there twice, since each is known by one id, and ids
    /// rise.
    ///
    /// # Errors
    /// A message that was acknowledged is not there, or another one under its id, or one twice.
    pub fn check(&self, entrance: &mut Entrance, size: usize) -> Result<(), BenchError> {
        entrance.connections.close_stalled();
        let place = entrance.enter_as_recipient()?;
        let number = RequestNumber(FIRST_NUMBER);
        let log = Request::Log {
            after: OpNumber::ZERO,
            limit: None,
        };
        if let Some(out) = entrance.connections.output(place) {
            encode_request(out, number, number, &log);
        }
        let mut found = 0;
        let mut last = OpNumber::ZERO;
        let mut done = false;
        while !done {
            entrance
                .connections
                .turn(None, |_, message| match message {
                    FromServer::Item {
                        item: Item::Message(view),
                        ..
                    } => {
                        if view.id <= last {
                            return Err(wrong(&view, "comes after a later one"));
                        }
                        last = view.id;
                        found += 1;
                        self.verify(&view, size)
                    }
                    FromServer::Answer { answer, .. } => match answer {
                        Ok(Answer::Messages { .. }) => {
                            done = true;
                            Ok(())
                        }
                        Ok(other) => Err(BenchError::Senseless(format!("{other:?}"))),
                        Err(refusal) => Err(refused("the log", refusal)),
                    },
                    other => unasked(&other),
                })?;
        }
        if found == self.acknowledged {
            return Ok(());
        }
        let missing = self.acknowledged - found;
        Err(BenchError::Wrong(format!(
            "{missing} of {} acknowledged messages are not there: that must never happen, please report it",
            self.acknowledged
        )))
    }

    /// The message was acknowledged, under this id, and is what was sent.
    fn verify(&self, view: &MessageView<'_>, size: usize) -> Result<(), BenchError> {
        let asked = read_label(view.text).and_then(|(session, number)| {
            let at = usize::try_from(number.0.checked_sub(FIRST_NUMBER)?).ok()?;
            self.pages.get(session)?.ids.get(at)
        });
        match asked {
            None => Err(wrong(view, "was never sent")),
            Some(0) => Err(wrong(view, "was never acknowledged")),
            Some(id) if *id == view.id.0 => {
                let rest = view.text.as_bytes()[LABEL_BYTES..].iter();
                match view.text.len() == size && rest.eq(vec![FILLING; size - LABEL_BYTES].iter()) {
                    true => Ok(()),
                    false => Err(wrong(view, "does not say what was sent")),
                }
            }
            Some(id) => {
                let what = format!("was acknowledged as {id}");
                Err(wrong(view, &what))
            }
        }
    }
}

fn wrong(view: &MessageView<'_>, what: &str) -> BenchError {
    let id = view.id;
    BenchError::Wrong(format!(
        "message {id} {what}: that must never happen, please report it"
    ))
}

/// Writes into the beginning of a text which message it is.
pub(super) fn write_label(text: &mut [u8], session: usize, number: RequestNumber) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digits = |field: &mut [u8], mut value: u64| {
        for digit in field.iter_mut().rev() {
            *digit = DIGITS[(value & 0xf) as usize];
            value >>= 4;
        }
    };
    digits(&mut text[..4], session as u64);
    text[4] = b'-';
    digits(&mut text[5..LABEL_BYTES], number.0);
}

fn read_label(text: &str) -> Option<(usize, RequestNumber)> {
    let (session, number) = text.get(..LABEL_BYTES)?.split_once('-')?;
    let session = usize::from_str_radix(session, 16).ok()?;
    let number = u64::from_str_radix(number, 16).ok()?;
    Some((session, RequestNumber(number)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{ConversationId, Timestamp};

    fn message(id: u64, text: &str) -> MessageView<'_> {
        MessageView {
            id: OpNumber(id),
            time: Timestamp(0),
            conversation: ConversationId(1),
            from: "one",
            to: "all",
            text,
        }
    }

    #[test]
    fn a_label_says_which_message_it_is() {
        let mut text = [b'.'; 20];
        write_label(&mut text, 0x1f, RequestNumber(1234));
        assert_eq!(text, *b"001f-000000004d2....");
        let text = std::str::from_utf8(&text).unwrap();
        assert_eq!(read_label(text), Some((0x1f, RequestNumber(1234))));
        assert_eq!(read_label("hello"), None);
    }

    #[test]
    fn what_was_acknowledged_is_known_under_its_id_alone() {
        let mut ledger = Ledger::new(2);
        let (number, _) = ledger.next(1).unwrap();
        let (open, lowest) = ledger.next(1).unwrap();
        assert_eq!(lowest, number);
        ledger.note(1, number, OpNumber(7));
        let mut text = [b'.'; LABEL_BYTES];
        write_label(&mut text, 1, number);
        let text = std::str::from_utf8(&text).unwrap();
        let size = LABEL_BYTES + 2;
        let whole = format!("{text}..");
        assert!(ledger.verify(&message(7, &whole), size).is_ok());
        let garbled = format!("{text}.!");
        for (id, wrong) in [(8, &*whole), (7, "hello"), (7, text), (7, &garbled)] {
            assert!(ledger.verify(&message(id, wrong), size).is_err(), "{wrong}");
        }
        let mut other = [b'.'; LABEL_BYTES];
        write_label(&mut other, 1, open);
        let other = std::str::from_utf8(&other).unwrap();
        let open = format!("{other}..");
        assert!(
            ledger.verify(&message(9, &open), size).is_err(),
            "it has no answer"
        );
    }

    #[test]
    fn a_session_has_no_more_open_than_it_may() {
        let mut ledger = Ledger::new(1);
        let (first, _) = ledger.next(0).unwrap();
        let (second, _) = ledger.next(0).unwrap();
        for _ in 2..SESSION_OPEN_REQUESTS_MAX {
            assert!(ledger.next(0).is_some());
        }
        assert_eq!(ledger.next(0), None);
        ledger.note(0, second, OpNumber(2));
        assert_eq!(ledger.next(0), None, "the first one is still open");
        ledger.note(0, first, OpNumber(1));
        assert!(ledger.next(0).is_some());
    }
}
