//! What a store has to answer, found in the most obvious way: everything that was ever said is
//! kept in a list and looked through.

use lastword::chat::change::{AccountImage, Change, Image, Message};
use lastword::limits::PAGE_TEXT_BYTES_MAX;
use lastword::store::{Batch, Found, Query, Range, Scope, StoredMessage};
use lastword::types::{AccountId, ConversationId, OpNumber, PasswordVersion};

/// Everything that was ever said.
#[derive(Clone)]
pub struct Model {
    image: Image,
    /// Everybody who ever was, with the password hash.
    accounts: Vec<(AccountId, String, String)>,
    conversations: Vec<(ConversationId, [AccountId; 2])>,
    messages: Vec<Message>,
}

impl Default for Model {
    fn default() -> Self {
        Self {
            image: Image::empty(),
            accounts: Vec::new(),
            conversations: Vec::new(),
            messages: Vec::new(),
        }
    }
}

impl Model {
    pub fn take_in(&mut self, batch: &Batch) {
        for change in &batch.changes {
            self.change(change.clone());
        }
        self.image.applied = batch.applied;
        self.image.clock = batch.clock;
    }

    /// What [`lastword::store::Store::load`] has to give.
    pub fn image(&self) -> Image {
        let mut image = self.image.clone();
        image.conversations = self.conversations.clone();
        image
            .conversations
            .retain(|(_, members)| members.iter().any(|member| self.lives(*member)));
        image
    }

    pub fn everybody(&self) -> impl Iterator<Item = AccountId> {
        self.accounts.iter().map(|(id, ..)| *id)
    }

    pub fn every_conversation(&self) -> impl Iterator<Item = ConversationId> {
        self.conversations.iter().map(|(id, _)| *id)
    }

    /// What [`lastword::store::Store::query`] has to give.
    pub fn answer(&self, query: &Query) -> Found {
        match query {
            Query::PasswordHash { account } => {
                let known = self.accounts.iter().find(|(id, ..)| id == account);
                let living = known.filter(|(id, ..)| self.lives(*id));
                Found::PasswordHash(living.map(|(.., hash)| hash.clone()))
            }
            Query::Count(range) => Found::Count(self.range(range).len() as u64),
            Query::Newest { range, limit } => {
                let all = self.range(range);
                let newest = &all[all.len().saturating_sub(*limit as usize)..];
                let first = newest.first().map(|message| message.id);
                Found::Newest(first.map(|first| (first, newest.len() as u64)))
            }
            Query::Page { range, limit } => {
                let all = self.range(range);
                let mut messages: Vec<StoredMessage> = Vec::new();
                let mut text_bytes = 0;
                for message in all.iter().take(*limit as usize) {
                    text_bytes += message.text.len();
                    if text_bytes > PAGE_TEXT_BYTES_MAX && !messages.is_empty() {
                        break;
                    }
                    messages.push(self.shown(message));
                }
                let more = messages.len() < all.len();
                Found::Page { messages, more }
            }
        }
    }

    fn change(&mut self, change: Change) {
        let image = &mut self.image;
        match change {
            Change::Cluster(cluster) => image.cluster = Some(cluster),
            Change::AccountCreated {
                id,
                name,
                password_hash,
            } => {
                self.accounts.push((id, name.to_string(), password_hash));
                image.accounts.push(AccountImage {
                    id,
                    name,
                    password_version: PasswordVersion(0),
                    all_read_up_to: OpNumber::ZERO,
                    read_up_to: Vec::new(),
                });
            }
            Change::AccountDeleted { id } => {
                image.accounts.retain(|account| account.id != id);
                image.sessions.retain(|session| session.account != id);
            }
            Change::ConversationBegun { id, members } => self.conversations.push((id, members)),
            Change::MessageSent(message) => self.messages.push(message),
            Change::AllRead { account, up_to } => {
                let account = find(&mut image.accounts, account);
                account.all_read_up_to = up_to;
                account.read_up_to.retain(|(_, cursor)| *cursor > up_to);
            }
            Change::ConversationRead {
                account,
                conversation,
                up_to,
            } => {
                let account = find(&mut image.accounts, account);
                account.read_up_to.retain(|(id, _)| *id != conversation);
                account.read_up_to.push((conversation, up_to));
                account.read_up_to.sort();
            }
            Change::Session(session) => {
                image.sessions.retain(|known| known.id != session.id);
                image.sessions.push(session);
                image.sessions.sort_by_key(|session| session.id);
            }
            Change::SessionEnded { session } => image.sessions.retain(|known| known.id != session),
            Change::CreationRemembered(creation) => image.creations.push(creation),
            Change::CreationForgotten { op } => image.creations.retain(|known| known.op != op),
        }
    }

    fn range(&self, range: &Range) -> Vec<&Message> {
        let in_range = |message: &&Message| {
            let mine = [message.sender, message.recipient].contains(&range.account);
            let in_scope = match &range.scope {
                Scope::All => true,
                Scope::Conversation(conversation) => message.conversation == *conversation,
                Scope::Unread { read_up_to } => {
                    message.recipient == range.account
                        && !read_up_to.iter().any(|(conversation, up_to)| {
                            message.conversation == *conversation && message.id <= *up_to
                        })
                }
            };
            mine && in_scope && message.id > range.after && message.id < range.before
        };
        let messages = self.messages.iter().filter(in_range);
        messages.filter(|_| self.lives(range.account)).collect()
    }

    fn shown(&self, message: &Message) -> StoredMessage {
        let name = |account: AccountId| {
            let known = self.accounts.iter().find(|(id, ..)| *id == account);
            let (_, name, _) = known.expect("messages are of accounts");
            let mark = if self.lives(account) { "" } else { "(deleted)" };
            format!("{name}{mark}")
        };
        StoredMessage {
            id: message.id,
            time: message.time,
            conversation: message.conversation,
            sender: message.sender,
            from: name(message.sender),
            to: name(message.recipient),
            text: message.text.clone(),
        }
    }

    fn lives(&self, account: AccountId) -> bool {
        self.image.accounts.iter().any(|image| image.id == account)
    }
}

fn find(accounts: &mut [AccountImage], id: AccountId) -> &mut AccountImage {
    let found = accounts.iter_mut().find(|account| account.id == id);
    found.expect("only the living read")
}
