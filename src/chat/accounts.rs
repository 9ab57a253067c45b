//! Which accounts live, what are they called, and what has each of them read?

use std::collections::BTreeMap;
use std::ops::Bound;

use super::change::AccountImage;
use super::image::{InvalidImage, ascending};
use crate::types::{AccountId, ConversationId, Name, NumberMap, OpNumber, PasswordVersion};

/// A cursor of one conversation.
pub(super) type Cursor = (ConversationId, OpNumber);

/// All living accounts. About a hundred and fifty bytes for each, its name twice: one with many
/// cursors or sessions pays for them, and the others do not.
#[derive(Debug, Default)]
pub(super) struct Accounts {
    by_id: NumberMap<AccountId, Account>,
    /// Holds exactly the names of `by_id`. Sorted, since LIST is, and is answered in slices.
    by_name: BTreeMap<Name, AccountId>,
    /// Cursors of single conversations, in the order of the conversations' ids, each beyond its
    /// account's `all_read_up_to`. An account without any has no entry.
    cursors: NumberMap<AccountId, Vec<Cursor>>,
}

/// A living account.
#[derive(Debug)]
pub(super) struct Account {
    /// No other living account has it.
    pub name: Name,
    /// Raised whenever the password changes.
    pub password_version: PasswordVersion,
    /// Everything up to here is read, in every conversation. Only rises.
    pub all_read_up_to: OpNumber,
}

/// What an acknowledgement did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Read {
    /// Up to where is read now.
    pub position: OpNumber,
    /// Whether that is further than before.
    pub moved: bool,
}

impl Accounts {
    /// The account, if it lives.
    pub fn account(&self, id: AccountId) -> Option<&Account> {
        self.by_id.get(&id)
    }

    /// Whether the account lives.
    pub fn lives(&self, id: AccountId) -> bool {
        self.by_id.contains_key(&id)
    }

    /// The living account of this name.
    pub fn named(&self, name: Name) -> Option<AccountId> {
        self.by_name.get(&name).copied()
    }

    /// All names behind `after`, sorted.
    pub fn after(&self, after: Option<Name>) -> impl Iterator<Item = (Name, AccountId)> + '_ {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let range = self.by_name.range((from, Bound::Unbounded));
        range.map(|(name, id)| (*name, *id))
    }

    /// How many live.
    pub fn count(&self) -> usize {
        self.by_id.len()
    }

    /// A new account, which has read nothing. Its name must be free and its id new.
    pub fn create(&mut self, id: AccountId, name: Name) {
        let account = Account {
            name,
            password_version: PasswordVersion::default(),
            all_read_up_to: OpNumber::ZERO,
        };
        let name_before = self.by_name.insert(name, id);
        let account_before = self.by_id.insert(id, account);
        assert!(name_before.is_none() && account_before.is_none());
    }

    /// Takes an account with its cursors away and frees its name.
    pub fn delete(&mut self, id: AccountId) {
        if let Some(account) = self.by_id.remove(&id) {
            self.by_name.remove(&account.name);
            self.cursors.remove(&id);
        }
    }

    /// Up to where an account has read in all its conversations, and the conversations in which
    /// it has read further.
    pub fn cursors(&self, id: AccountId) -> (OpNumber, &[Cursor]) {
        let all = self.by_id.get(&id).map(|account| account.all_read_up_to);
        let single = self.cursors.get(&id).map_or(&[][..], Vec::as_slice);
        (all.unwrap_or_default(), single)
    }

    /// Every account that has cursors of single conversations, in no order.
    pub fn all_cursors(&self) -> impl Iterator<Item = (AccountId, &[Cursor])> {
        let lists = self.cursors.iter();
        lists.map(|(id, cursors)| (*id, cursors.as_slice()))
    }

    /// The account has read everything up to `up_to`.
    pub fn read_all(&mut self, id: AccountId, up_to: OpNumber) -> Read {
        let account = self.by_id.get_mut(&id).expect("only the living read");
        if up_to <= account.all_read_up_to {
            return Read {
                position: account.all_read_up_to,
                moved: false,
            };
        }
        account.all_read_up_to = up_to;
        self.drop_cursors_up_to(id, up_to);
        Read {
            position: up_to,
            moved: true,
        }
    }

    /// Cursors at or below `up_to` say nothing that `all_read_up_to` does not say.
    fn drop_cursors_up_to(&mut self, id: AccountId, up_to: OpNumber) {
        let Some(cursors) = self.cursors.get_mut(&id) else {
            return;
        };
        cursors.retain(|(_, position)| *position > up_to);
        if cursors.is_empty() {
            self.cursors.remove(&id);
        } else {
            cursors.shrink_to_fit();
        }
    }

    /// The account, a member of the conversation, has read it up to `up_to`.
    pub fn read_one(
        &mut self,
        id: AccountId,
        conversation: ConversationId,
        up_to: OpNumber,
    ) -> Read {
        let (all_read_up_to, cursors) = self.cursors(id);
        let place = cursors.binary_search_by_key(&conversation, |(one, _)| *one);
        let before = place.map_or(all_read_up_to, |at| cursors[at].1);
        if up_to <= before {
            return Read {
                position: before,
                moved: false,
            };
        }
        let cursors = self.cursors.entry(id).or_default();
        match place {
            Ok(at) => cursors[at].1 = up_to,
            Err(at) => cursors.insert(at, (conversation, up_to)),
        }
        Read {
            position: up_to,
            moved: true,
        }
    }

    /// All of them, in the order of their ids.
    pub fn images(&self) -> Vec<AccountImage> {
        let image = |(id, account): (&AccountId, &Account)| AccountImage {
            id: *id,
            name: account.name,
            password_version: account.password_version,
            all_read_up_to: account.all_read_up_to,
            read_up_to: self.cursors(*id).1.to_vec(),
        };
        let mut images: Vec<_> = self.by_id.iter().map(image).collect();
        images.sort_unstable_by_key(|image| image.id);
        images
    }

    /// The accounts of an image. Whether they agree with each other and with the rest is for
    /// [`Self::verify`] to say.
    pub fn restore(images: &[AccountImage]) -> Result<Self, InvalidImage> {
        ascending("accounts", images.iter().map(|image| image.id))?;
        let mut accounts = Self::default();
        accounts.by_id.reserve(images.len());
        for image in images {
            let account = Account {
                name: image.name,
                password_version: image.password_version,
                all_read_up_to: image.all_read_up_to,
            };
            accounts.by_id.insert(image.id, account);
            accounts.by_name.insert(image.name, image.id);
            if !image.read_up_to.is_empty() {
                accounts.cursors.insert(image.id, image.read_up_to.clone());
            }
        }
        Ok(accounts)
    }

    /// What must always be true of the accounts by themselves, `applied` being the last op.
    pub fn verify(&self, applied: OpNumber) -> Result<(), InvalidImage> {
        for (id, account) in &self.by_id {
            let wrong = |what| Err(InvalidImage::Account { account: *id, what });
            if id.0 == 0 || id.0 > applied.0 {
                return wrong("no applied op has created it");
            }
            if self.named(account.name) != Some(*id) {
                return wrong("another account has its name");
            }
            if account.all_read_up_to > applied {
                return wrong("it has read what does not exist yet");
            }
        }
        for (id, cursors) in &self.cursors {
            let wrong = |what| Err(InvalidImage::Account { account: *id, what });
            let Some(account) = self.account(*id) else {
                return wrong("it has cursors, and does not live");
            };
            ascending("cursors", cursors.iter().map(|(one, _)| *one))?;
            let readable = |at: OpNumber| at > account.all_read_up_to && at <= applied;
            if cursors.is_empty() || !cursors.iter().all(|(_, at)| readable(*at)) {
                return wrong("a cursor says nothing new, or points beyond the last op");
            }
        }
        assert!(self.sizes_agree(), "a name without an account");
        Ok(())
    }

    /// The part of [`Self::verify`] that costs nothing.
    pub fn sizes_agree(&self) -> bool {
        self.by_id.len() == self.by_name.len() && self.cursors.len() <= self.by_id.len()
    }
}
