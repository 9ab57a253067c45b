//! What can be asked about the chat, without changing it?

use super::State;
use crate::types::{
    AccountId, ConversationId, Name, OpNumber, Outcome, PasswordVersion, RequestNumber, SecretHash,
    SessionId, Timestamp,
};

/// An account, as it can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AccountView {
    /// Its name.
    pub name: Name,
    /// How often its password was changed; an op that depends on a check of it carries this.
    pub password_version: PasswordVersion,
}

/// A session, as it can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionView {
    /// Whose it is.
    pub account: AccountId,
    /// What resuming it is checked against.
    pub secret_hash: SecretHash,
}

impl State {
    /// The living account of this name.
    pub fn account_named(&self, name: Name) -> Option<AccountId> {
        self.accounts.named(name)
    }

    /// The account, if it lives.
    pub fn account(&self, id: AccountId) -> Option<AccountView> {
        let account = self.accounts.account(id)?;
        Some(AccountView {
            name: account.name,
            password_version: account.password_version,
        })
    }

    /// The living accounts whose names come after `after`, sorted: a long list can be answered in
    /// slices, each of which goes on after the last name of the one before.
    pub fn accounts_after(
        &self,
        after: Option<Name>,
    ) -> impl Iterator<Item = (Name, AccountId)> + '_ {
        self.accounts.after(after)
    }

    /// How many accounts live.
    pub fn account_count(&self) -> usize {
        self.accounts.count()
    }

    /// The session, if it is open.
    pub fn session(&self, id: SessionId) -> Option<SessionView> {
        let session = self.sessions.session(id)?;
        Some(SessionView {
            account: session.account,
            secret_hash: session.secret_hash,
        })
    }

    /// The conversation of two accounts, in either order, or of one with itself.
    pub fn conversation_between(&self, one: AccountId, other: AccountId) -> Option<ConversationId> {
        self.conversations.between(one, other)
    }

    /// The members of a conversation, the lower id first; twice the same when somebody writes to
    /// himself. One of them may be gone. A conversation that nobody is left to read has none.
    pub fn members(&self, conversation: ConversationId) -> Option<[AccountId; 2]> {
        self.conversations.members(conversation)
    }

    /// What an account has read: everything up to the first, and in each conversation of the list
    /// (in the order of their ids) everything up to its own position, which is further.
    pub fn cursors(&self, account: AccountId) -> (OpNumber, &[(ConversationId, OpNumber)]) {
        self.accounts.cursors(account)
    }

    /// What an account creation got that came with this session and number, if that is still
    /// remembered. To hash a password again for a retry would be a waste.
    pub fn recall_creation(&self, session: SessionId, number: RequestNumber) -> Option<Outcome> {
        self.creations.recall(session, number)
    }

    /// The last op that was applied here, or was in the image. (Ops about the cluster are not
    /// applied here: the log may be further.)
    pub fn applied(&self) -> OpNumber {
        self.applied
    }

    /// The time of the last message.
    pub fn clock(&self) -> Timestamp {
        self.clock
    }
}
