//! Which messages were acknowledged, and does the log show them, each once, and nothing else?
//!
//! All are of one account to itself, and each says which one it is.

use crate::client::event::Message;
use crate::types::OpNumber;

/// What was acknowledged, and how much of it was found again.
#[derive(Debug, Default)]
pub(super) struct Record {
    /// The ids, in the order of the messages.
    ids: Vec<OpNumber>,
    /// How many of them the log has shown.
    found: usize,
}

impl Record {
    /// How many were acknowledged.
    pub fn acknowledged(&self) -> usize {
        self.ids.len()
    }

    /// What the next message says.
    pub fn next_text(&self) -> String {
        text_of(self.ids.len())
    }

    /// That message was acknowledged.
    pub fn note(&mut self, id: OpNumber) {
        self.ids.push(id);
    }

    /// The log shows a message, behind those before.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn find(&mut self, message: &Message) -> Result<(), String> {
        let Message { id, text, .. } = message;
        let wanted = text_of(self.found);
        match self.ids.get(self.found) {
            Some(expected) if expected == id && *text == wanted => {
                self.found += 1;
                Ok(())
            }
            Some(expected) => Err(format!(
                "where the log has to show {wanted:?} as {expected}, it shows {text:?} as {id}"
            )),
            None => Err(format!(
                "the log shows {text:?} as {id}, which was not acknowledged"
            )),
        }
    }

    /// The log is at its end.
    ///
    /// # Errors
    /// How many are missing.
    pub fn is_complete(&self) -> Result<(), String> {
        match self.ids.len() - self.found {
            0 => Ok(()),
            missing => Err(format!(
                "{missing} of {} acknowledged messages are not there",
                self.ids.len()
            )),
        }
    }
}

fn text_of(place: usize) -> String {
    format!("message {place} of bench failover")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{ConversationId, Timestamp};

    fn message(id: u64, place: usize) -> Message {
        Message {
            id: OpNumber(id),
            time: Timestamp(0),
            conversation: ConversationId(1),
            from: "one".to_owned(),
            to: "one".to_owned(),
            text: text_of(place),
        }
    }

    fn record() -> Record {
        let mut record = Record::default();
        record.note(OpNumber(7));
        record.note(OpNumber(9));
        record
    }

    #[test]
    fn what_was_acknowledged_is_found_in_order() {
        let mut record = record();
        record.find(&message(7, 0)).unwrap();
        assert!(record.is_complete().is_err(), "one is missing");
        record.find(&message(9, 1)).unwrap();
        record.is_complete().unwrap();
    }

    #[test]
    fn what_is_there_twice_or_under_another_id_is_wrong() {
        let mut twice = record();
        twice.find(&message(7, 0)).unwrap();
        assert!(twice.find(&message(8, 0)).is_err());
        assert!(record().find(&message(8, 0)).is_err(), "another id");
        assert!(record().find(&message(9, 1)).is_err(), "the first is lost");
        let mut more = record();
        more.find(&message(7, 0)).unwrap();
        more.find(&message(9, 1)).unwrap();
        assert!(more.find(&message(10, 1)).is_err(), "once more");
    }
}
