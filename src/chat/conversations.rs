//! Which conversations are there, and between whom?

use super::accounts::Accounts;
use super::image::{InvalidImage, ascending};
use crate::types::{AccountId, ConversationId, NumberMap, OpNumber};

/// All conversations that have a living member. About a hundred bytes for each.
#[derive(Debug, Default)]
pub(super) struct Conversations {
    /// Their members, the lower id first; twice the same when somebody writes to himself.
    by_id: NumberMap<ConversationId, [AccountId; 2]>,
    /// Holds exactly what `by_id` does, the other way round.
    between: NumberMap<[AccountId; 2], ConversationId>,
    /// The conversations of each living account that has any, in the order of their ids: so that
    /// the end of an account costs as much as it had conversations, and not as all there are.
    of_account: NumberMap<AccountId, Vec<ConversationId>>,
}

/// The members of a conversation in the order that is kept.
fn ordered(one: AccountId, other: AccountId) -> [AccountId; 2] {
    [one.min(other), one.max(other)]
}

impl Conversations {
    /// The conversation of two accounts, or of one with itself.
    pub fn between(&self, one: AccountId, other: AccountId) -> Option<ConversationId> {
        self.between.get(&ordered(one, other)).copied()
    }

    /// Its members.
    pub fn members(&self, id: ConversationId) -> Option<[AccountId; 2]> {
        self.by_id.get(&id).copied()
    }

    /// Begins the conversation of two living accounts that have none, and answers its members.
    /// Its id must be higher than all before.
    pub fn begin(
        &mut self,
        id: ConversationId,
        one: AccountId,
        other: AccountId,
    ) -> [AccountId; 2] {
        let members = ordered(one, other);
        self.insert(id, members);
        self.list(members[0], id);
        if members[1] != members[0] {
            self.list(members[1], id);
        }
        members
    }

    fn insert(&mut self, id: ConversationId, members: [AccountId; 2]) {
        self.by_id.insert(id, members);
        self.between.insert(members, id);
        debug_assert!(self.sizes_agree(), "two conversations between the same");
    }

    fn list(&mut self, member: AccountId, id: ConversationId) {
        self.of_account.entry(member).or_default().push(id);
    }

    /// `account` does not live any more, as `accounts` says: what nobody is left to read goes.
    pub fn account_deleted(&mut self, account: AccountId, accounts: &Accounts) {
        for id in self.of_account.remove(&account).unwrap_or_default() {
            let members = self.by_id[&id];
            if !members.iter().any(|member| accounts.lives(*member)) {
                self.by_id.remove(&id);
                self.between.remove(&members);
            }
        }
    }

    /// All of them, in the order of their ids.
    pub fn images(&self) -> Vec<(ConversationId, [AccountId; 2])> {
        let images = self.by_id.iter().map(|(id, members)| (*id, *members));
        let mut images: Vec<_> = images.collect();
        images.sort_unstable_by_key(|(id, _)| *id);
        images
    }

    /// The conversations of an image, between its accounts.
    pub fn restore(
        images: &[(ConversationId, [AccountId; 2])],
        accounts: &Accounts,
    ) -> Result<Self, InvalidImage> {
        ascending("conversations", images.iter().map(|(id, _)| *id))?;
        let mut conversations = Self::default();
        conversations.by_id.reserve(images.len());
        conversations.between.reserve(images.len());
        for (id, members) in images {
            if conversations.between.contains_key(members) {
                return Err(InvalidImage::Conversation {
                    conversation: *id,
                    what: "its members have another one",
                });
            }
            conversations.insert(*id, *members);
            for (place, member) in members.iter().enumerate() {
                if accounts.lives(*member) && !members[..place].contains(member) {
                    conversations.list(*member, *id);
                }
            }
        }
        Ok(conversations)
    }

    /// What must always be true of the conversations and of the cursors that point to them.
    pub fn verify(&self, accounts: &Accounts, applied: OpNumber) -> Result<(), InvalidImage> {
        for (id, members) in &self.by_id {
            let wrong = |what| {
                Err(InvalidImage::Conversation {
                    conversation: *id,
                    what,
                })
            };
            let [low, high] = *members;
            if low > high || id.0 <= high.0 || id.0 > applied.0 {
                return wrong("its members are disordered, or its first message is not applied");
            }
            if !accounts.lives(low) && !accounts.lives(high) {
                return wrong("nobody is left to read it");
            }
            let listed = |member| self.of(member).binary_search(id).is_ok();
            assert_eq!(self.between(low, high), Some(*id));
            assert!(
                members
                    .iter()
                    .all(|one| listed(*one) == accounts.lives(*one))
            );
        }
        for (account, list) in &self.of_account {
            assert!(accounts.lives(*account) && list.is_sorted());
            assert!(list.iter().all(|id| self.by_id.contains_key(id)));
        }
        assert!(self.sizes_agree(), "a pair without a conversation");
        self.verify_cursors(accounts)
    }

    fn verify_cursors(&self, accounts: &Accounts) -> Result<(), InvalidImage> {
        for (account, cursors) in accounts.all_cursors() {
            for (conversation, _) in cursors {
                let members = self.members(*conversation);
                if !members.is_some_and(|members| members.contains(&account)) {
                    return Err(InvalidImage::Account {
                        account,
                        what: "a cursor points to a conversation of others",
                    });
                }
            }
        }
        Ok(())
    }

    /// The conversations of a living account.
    fn of(&self, account: AccountId) -> &[ConversationId] {
        self.of_account.get(&account).map_or(&[], Vec::as_slice)
    }

    /// The part of [`Self::verify`] that costs nothing.
    pub fn sizes_agree(&self) -> bool {
        self.by_id.len() == self.between.len()
    }
}
