//! Which changes wait for the end of their transaction?
//!
//! Sessions and read cursors change with nearly every op, and no query looks at them. So the
//! newest state of each is kept here and written once, when the transaction ends.

use std::collections::BTreeMap;

use rusqlite::{Connection, params};

use super::codec::{checksum, integer, put_session, session_id};
use super::problem::Problem;
use crate::chat::change::SessionImage;
use crate::types::{AccountId, ConversationId, OpNumber, SessionId};

/// What the open transaction has changed and not written yet. Empty when none is open.
#[derive(Debug, Default)]
pub(super) struct Pending {
    /// The newest state of each session that changed; `None`: it is gone.
    sessions: BTreeMap<SessionId, Option<SessionImage>>,
    /// Up to where each account has now read everything.
    all_read: BTreeMap<AccountId, OpNumber>,
    /// Cursors of single conversations, moved after their account's entry in `all_read`, or above
    /// it.
    cursors: BTreeMap<(AccountId, ConversationId), OpNumber>,
}

impl Pending {
    /// A session is new or has changed.
    pub(super) fn session(&mut self, session: &SessionImage) {
        self.sessions.insert(session.id, Some(session.clone()));
    }

    /// A session is gone.
    pub(super) fn session_ended(&mut self, session: SessionId) {
        self.sessions.insert(session, None);
    }

    /// An account has read everything up to an id.
    pub(super) fn all_read(&mut self, account: AccountId, up_to: OpNumber) {
        self.all_read.insert(account, up_to);
        let passed: Vec<_> = self
            .cursors_of(account)
            .filter(|(_, cursor)| *cursor <= up_to)
            .map(|(key, _)| key)
            .collect();
        for key in passed {
            self.cursors.remove(&key);
        }
    }

    /// An account has read a conversation up to an id.
    pub(super) fn conversation_read(
        &mut self,
        account: AccountId,
        conversation: ConversationId,
        up_to: OpNumber,
    ) {
        self.cursors.insert((account, conversation), up_to);
    }

    /// Nothing of this account is left to write.
    pub(super) fn forget_account(&mut self, account: AccountId) {
        self.all_read.remove(&account);
        let cursors: Vec<_> = self.cursors_of(account).map(|(key, _)| key).collect();
        for key in cursors {
            self.cursors.remove(&key);
        }
        for session in self.sessions.values_mut() {
            if session.as_ref().is_some_and(|s| s.account == account) {
                *session = None;
            }
        }
    }

    /// Writes everything into the open transaction.
    pub(super) fn write(&mut self, connection: &Connection) -> Result<(), Problem> {
        self.write_cursors(connection)?;
        self.write_sessions(connection)
    }

    fn write_cursors(&mut self, connection: &Connection) -> Result<(), Problem> {
        let mut update =
            connection.prepare_cached("UPDATE accounts SET all_read_up_to = ?2 WHERE id = ?1")?;
        let mut passed =
            connection.prepare_cached("DELETE FROM cursors WHERE account = ?1 AND up_to <= ?2")?;
        for (account, up_to) in std::mem::take(&mut self.all_read) {
            let key = params![integer(account.0), integer(up_to.0)];
            update.execute(key)?;
            passed.execute(key)?;
        }
        let mut cursor = connection.prepare_cached(
            "INSERT INTO cursors (account, conversation, up_to) VALUES (?1, ?2, ?3)
             ON CONFLICT (account, conversation) DO UPDATE SET up_to = excluded.up_to",
        )?;
        for ((account, conversation), up_to) in std::mem::take(&mut self.cursors) {
            cursor.execute(params![
                integer(account.0),
                integer(conversation.0),
                integer(up_to.0)
            ])?;
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

    fn cursors_of(
        &self,
        account: AccountId,
    ) -> impl Iterator<Item = ((AccountId, ConversationId), OpNumber)> {
        let first = (account, ConversationId(0));
        let last = (account, ConversationId(u64::MAX));
        self.cursors
            .range(first..=last)
            .map(|(key, up_to)| (*key, *up_to))
    }
}

/// What a session's row has to add up to.
pub(super) fn session_checksum(id: &[u8; 16], account: AccountId, state: &[u8]) -> i64 {
    checksum(&[id, &account.0.to_be_bytes(), state])
}
