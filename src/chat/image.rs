//! How is the state written down and taken up again?

use super::State;
use super::accounts::Accounts;
use super::change::Image;
use super::conversations::Conversations;
use super::creations::Creations;
use super::sessions::Sessions;
use crate::types::{AccountId, ConversationId, OpNumber, SessionId};

/// Why an [`Image`] cannot be a state: what it says contradicts itself. Whoever made it is
/// damaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidImage {
    /// A list is not in its order, or has something twice.
    #[error("the {list} are out of order")]
    Disordered {
        /// Which list.
        list: &'static str,
    },
    /// An account cannot be so.
    #[error("account {account}: {what}")]
    Account {
        /// The account.
        account: AccountId,
        /// What is wrong.
        what: &'static str,
    },
    /// A conversation cannot be so.
    #[error("conversation {conversation}: {what}")]
    Conversation {
        /// The conversation.
        conversation: ConversationId,
        /// What is wrong.
        what: &'static str,
    },
    /// A session cannot be so.
    #[error("session {:032x}: {what}", .session.0)]
    Session {
        /// The session.
        session: SessionId,
        /// What is wrong.
        what: &'static str,
    },
    /// A remembered account creation cannot be so.
    #[error("the account creation of op {op}: {what}")]
    Creation {
        /// The op that it was answered with.
        op: OpNumber,
        /// What is wrong.
        what: &'static str,
    },
}

impl State {
    /// The state that `image` shows. Its cluster is left alone: that is the replica's.
    pub fn restore(image: &Image) -> Result<Self, InvalidImage> {
        let accounts = Accounts::restore(&image.accounts)?;
        let conversations = Conversations::restore(&image.conversations, &accounts)?;
        let state = Self {
            applied: image.applied,
            clock: image.clock,
            accounts,
            conversations,
            sessions: Sessions::restore(&image.sessions)?,
            creations: Creations::restore(&image.creations, image.applied)?,
        };
        state.verify()?;
        Ok(state)
    }

    /// All of the state. The cluster, which is the replica's, is not in it.
    pub fn image(&self) -> Image {
        Image {
            applied: self.applied,
            clock: self.clock,
            cluster: None,
            accounts: self.accounts.images(),
            conversations: self.conversations.images(),
            sessions: self.sessions.images(),
            creations: self.creations.images(),
        }
    }

    /// Looks at everything, which takes as long as there is much of it: for tests and simulators.
    ///
    /// # Panics
    ///
    /// If something contradicts itself.
    pub fn check_invariants(&self) {
        if let Err(wrong) = self.verify() {
            panic!("the state contradicts itself: {wrong}");
        }
    }

    /// What an image can get wrong is an error; what only this room can get wrong is asserted.
    fn verify(&self) -> Result<(), InvalidImage> {
        self.accounts.verify(self.applied)?;
        self.conversations.verify(&self.accounts, self.applied)?;
        self.sessions.verify(&self.accounts, self.applied)?;
        self.creations.verify();
        Ok(())
    }
}

/// Whether a list stands in its order, with nothing twice.
pub(super) fn ascending<T: PartialOrd>(
    list: &'static str,
    keys: impl Iterator<Item = T>,
) -> Result<(), InvalidImage> {
    if keys.is_sorted_by(|one, next| one < next) {
        Ok(())
    } else {
        Err(InvalidImage::Disordered { list })
    }
}
