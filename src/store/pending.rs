//! Which changes wait for the end of their transaction?
//!
//! Sessions and read cursors change with nearly every op, and no query looks at them. So the
//! newest state of each is kept here and written once, when the transaction ends. What a message
//! adds to lists waits here, too, and queries look at it.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use rusqlite::{Connection, params};

use super::codec::{checksum, integer, put_session, session_id};
use super::inserting::OpenMessages;
use super::lists::OpenLists;
use super::problem::Problem;
use crate::chat::change::SessionImage;
use crate::types::{AccountId, ConversationId, OpNumber, SessionId};

/// What the open transaction has changed and not written yet. Empty when none is open.
#[derive(Debug, Default)]
pub(super) struct Pending {
    /// Messages that no query may ask for before they are rows.
    pub(super) messages: OpenMessages,
    /// Which messages are new in which lists.
    pub(super) lists: OpenLists,
    /// The newest state of each session that changed; `None`: it is gone.
    sessions: BTreeMap<SessionId, Option<SessionImage>>,
    /// Up to where each account has read everything: now, and at most since the transaction began,
    /// for the cursors that were passed by then stay dropped.
    all_read: BTreeMap<AccountId, (OpNumber, OpNumber)>,
    /// Cursors of single conversations; `None`: dropped, because all is read beyond it.
    cursors: BTreeMap<(AccountId, ConversationId), Option<OpNumber>>,
}

impl Pending {
    /// A session is new or has changed.
    pub(super) fn session(&mut self, session: SessionImage) {
        self.sessions.insert(session.id, Some(session));
    }

    /// A session is gone.
    pub(super) fn session_ended(&mut self, session: SessionId) {
        self.sessions.insert(session, None);
    }

    /// An account has read everything up to an id.
    pub(super) fn all_read(&mut self, account: AccountId, up_to: OpNumber) {
        let (now, most) = self.all_read.entry(account).or_insert((up_to, up_to));
        *now = up_to;
        *most = up_to.max(*most);
        for (_, cursor) in self.cursors.range_mut(cursors_of(account)) {
            *cursor = cursor.filter(|cursor| *cursor > up_to);
        }
    }

    /// An account has read a conversation up to an id.
    pub(super) fn conversation_read(
        &mut self,
        account: AccountId,
        conversation: ConversationId,
        up_to: OpNumber,
    ) {
        self.cursors.insert((account, conversation), Some(up_to));
    }

    /// Nothing of this account is left to write.
    pub(super) fn forget_account(&mut self, account: AccountId) {
        self.all_read.remove(&account);
        for (_, cursor) in self.cursors.range_mut(cursors_of(account)) {
            *cursor = None;
        }
        for session in self.sessions.values_mut() {
            if session.as_ref().is_some_and(|s| s.account == account) {
                *session = None;
            }
        }
    }

    /// Writes everything into the open transaction.
    pub(super) fn write(&mut self, connection: &Connection) -> Result<(), Problem> {
        self.messages.write(connection)?;
        self.lists.write(connection)?;
        self.write_cursors(connection)?;
        self.write_sessions(connection)
    }

    fn write_cursors(&mut self, connection: &Connection) -> Result<(), Problem> {
        let mut update =
            connection.prepare_cached("UPDATE accounts SET all_read_up_to = ?2 WHERE id = ?1")?;
        let mut passed =
            connection.prepare_cached("DELETE FROM cursors WHERE account = ?1 AND up_to <= ?2")?;
        for (account, (now, most)) in std::mem::take(&mut self.all_read) {
            update.execute(params![integer(account.0), integer(now.0)])?;
            passed.execute(params![integer(account.0), integer(most.0)])?;
        }
        let mut cursor = connection.prepare_cached(
            "INSERT INTO cursors (account, conversation, up_to) VALUES (?1, ?2, ?3)
             ON CONFLICT (account, conversation) DO UPDATE SET up_to = excluded.up_to",
        )?;
        let mut drop = connection
            .prepare_cached("DELETE FROM cursors WHERE account = ?1 AND conversation = ?2")?;
        for ((account, conversation), up_to) in std::mem::take(&mut self.cursors) {
            let (account, conversation) = (integer(account.0), integer(conversation.0));
            match up_to {
                Some(up_to) => cursor.execute(params![account, conversation, integer(up_to.0)])?,
                None => drop.execute(params![account, conversation])?,
            };
        }
        Ok(())
    }

    fn write_sessions(&mut self, connection: &Connection) -> Result<(), Problem> {
        let mut put = connection.prepare_cached(
            "INSERT INTO sessions (id, account, state, checksum) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT (id) DO UPDATE SET
                 account = excluded.account,
                 state = excluded.state,
                 checksum = excluded.checksum",
        )?;
        let mut end = connection.prepare_cached("DELETE FROM sessions WHERE id = ?1")?;
        let mut state = Vec::new();
        for (id, session) in std::mem::take(&mut self.sessions) {
            let id = session_id(id);
            let Some(session) = session else {
                end.execute(params![id])?;
                continue;
            };
            state.clear();
            put_session(
                &mut state,
                &session.secret_hash,
                session.last_used,
                session.lowest_open,
                &session.answers,
            );
            put.execute(params![
                id,
                integer(session.account.0),
                state,
                session_checksum(&id, session.account, &state)
            ])?;
        }
        Ok(())
    }
}

fn cursors_of(account: AccountId) -> RangeInclusive<(AccountId, ConversationId)> {
    (account, ConversationId(0))..=(account, ConversationId(u64::MAX))
}

/// What a session's row has to add up to.
pub(super) fn session_checksum(id: &[u8; 16], account: AccountId, state: &[u8]) -> i64 {
    checksum(&[id, &account.0.to_be_bytes(), state])
}
