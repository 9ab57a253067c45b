//! How do messages become rows at little cost for each?
//!
//! Many at a time: a statement of its own for each message costs SQLite as much again as the row.
//! So messages wait here until they are a group, or somebody asks for one, or the transaction ends.

use std::sync::LazyLock;

use rusqlite::{CachedStatement, Connection};

use super::codec::{checksum, integer};
use super::problem::Problem;
use crate::chat::change::Message;
use crate::types::{AccountId, ConversationId, OpNumber, Timestamp};

/// How many rows the longer of the two statements inserts. Twice as many save little more.
const GROUP: usize = 32;
const COLUMNS: usize = 7;
const INSERT: &str = "
    INSERT INTO messages (id, conversation, sender, recipient, time, text, checksum)
        VALUES (?, ?, ?, ?, ?, ?, ?)";
static INSERT_GROUP: LazyLock<String> =
    LazyLock::new(|| format!("{INSERT}{}", ", (?, ?, ?, ?, ?, ?, ?)".repeat(GROUP - 1)));

/// Messages of the open transaction that are not rows yet: fewer than a group. Empty when none is
/// open.
#[derive(Debug, Default)]
pub(super) struct OpenMessages(Vec<Message>);

impl OpenMessages {
    /// Takes in a message; with enough others, they become rows.
    pub(super) fn add(&mut self, connection: &Connection, message: Message) -> Result<(), Problem> {
        self.0.push(message);
        if self.0.len() < GROUP {
            return Ok(());
        }
        let mut insert = connection.prepare_cached(&INSERT_GROUP)?;
        for (message, columns) in self.0.drain(..).zip((1..).step_by(COLUMNS)) {
            bind(&mut insert, columns, &message)?;
        }
        insert.raw_execute()?;
        Ok(())
    }

    /// Makes all of them rows.
    pub(super) fn write(&mut self, connection: &Connection) -> Result<(), Problem> {
        if self.0.is_empty() {
            return Ok(());
        }
        let mut insert = connection.prepare_cached(INSERT)?;
        for message in self.0.drain(..) {
            bind(&mut insert, 1, &message)?;
            insert.raw_execute()?;
        }
        Ok(())
    }
}

/// Binds a message to the parameters from `columns` on.
fn bind(
    insert: &mut CachedStatement<'_>,
    columns: usize,
    message: &Message,
) -> Result<(), Problem> {
    let sum = message_checksum(
        message.id,
        message.conversation,
        message.sender,
        message.recipient,
        message.time,
        &message.text,
    );
    insert.raw_bind_parameter(columns, integer(message.id.0))?;
    insert.raw_bind_parameter(columns + 1, integer(message.conversation.0))?;
    insert.raw_bind_parameter(columns + 2, integer(message.sender.0))?;
    insert.raw_bind_parameter(columns + 3, integer(message.recipient.0))?;
    insert.raw_bind_parameter(columns + 4, integer(message.time.0))?;
    insert.raw_bind_parameter(columns + 5, message.text.as_str())?;
    insert.raw_bind_parameter(columns + 6, sum)?;
    Ok(())
}

/// What a message's row has to add up to.
pub(super) fn message_checksum(
    id: OpNumber,
    conversation: ConversationId,
    sender: AccountId,
    recipient: AccountId,
    time: Timestamp,
    text: &str,
) -> i64 {
    let numbers = [id.0, conversation.0, sender.0, recipient.0, time.0];
    let mut bytes = [0; 40];
    for (to, from) in bytes.chunks_exact_mut(8).zip(numbers) {
        to.copy_from_slice(&from.to_be_bytes());
    }
    checksum(&[&bytes, text.as_bytes()])
}
