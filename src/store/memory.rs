//! The store without a disk: the twin of the real one for simulated clusters, with crashes on
//! demand.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use super::{Batch, Found, Query, Range, Scope, SnapshotMaker, Store, StoreError, StoredMessage};
use crate::chat::change::{AccountImage, Change, Creation, Image, Message, SessionImage};
use crate::limits::PAGE_TEXT_BYTES_MAX;
use crate::types::{
    AccountId, Cluster, ConversationId, Name, OpNumber, PasswordVersion, SessionId, Timestamp,
};

/// A [`Store`] in memory.
#[derive(Clone, Debug, Default)]
pub struct MemoryStore {
    /// After the last `apply`.
    now: State,
    /// As of the last checkpoint.
    synced: State,
    /// What lies between `synced` and `now`, in the order in which it came.
    since: Vec<Batch>,
    /// How many of `since` had come at each commit since then.
    commits: Vec<usize>,
    /// Messages that cannot be read any more.
    damaged: BTreeSet<OpNumber>,
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many commits there were since the last checkpoint: a power cut may take them.
    pub fn commits_unsynced(&self) -> usize {
        self.commits.len()
    }

    /// The process or the machine dies: the open transaction is gone, and so are the last
    /// `commits_lost` commits, back to the last checkpoint at most. (A process alone loses none;
    /// a machine may lose any number of them.)
    pub fn crash(&mut self, commits_lost: usize) {
        self.commits
            .truncate(self.commits.len().saturating_sub(commits_lost));
        self.since
            .truncate(self.commits.last().copied().unwrap_or(0));
        self.now = self.synced.clone();
        for batch in &self.since {
            self.now.apply(batch);
        }
    }

    /// What a snapshot gives to another server: everything up to the last commit, all of it synced
    /// there.
    pub fn snapshot(&self) -> Self {
        let mut state = self.synced.clone();
        for batch in &self.since[..self.committed()] {
            state.apply(batch);
        }
        Self {
            now: state.clone(),
            synced: state,
            since: Vec::new(),
            commits: Vec::new(),
            damaged: self.damaged.clone(),
        }
    }

    /// Damages one of its messages on the disk, `nth` of them from the oldest, if there is one.
    pub fn damage(&mut self, nth: usize) {
        let messages = &self.now.messages;
        let nth = nth % messages.len().max(1);
        self.damaged.extend(messages.keys().nth(nth).copied());
    }

    /// Whether a message of it cannot be read.
    pub fn is_damaged(&self) -> bool {
        self.damaged
            .iter()
            .any(|id| self.now.messages.contains_key(id))
    }

    /// How many messages it holds.
    pub(super) fn messages(&self) -> usize {
        self.now.messages.len()
    }

    fn committed(&self) -> usize {
        self.commits.last().copied().unwrap_or(0)
    }
}

impl Store for MemoryStore {
    fn load(&mut self) -> Result<Image, StoreError> {
        Ok(self.now.image())
    }

    fn apply(&mut self, batch: Batch) -> Result<(), StoreError> {
        if batch.applied <= self.now.applied {
            return Err(StoreError::Damaged(format!(
                "op {} was handed over behind op {}",
                batch.applied, self.now.applied
            )));
        }
        self.now.apply(&batch);
        self.since.push(batch);
        Ok(())
    }

    fn commit(&mut self) -> Result<(), StoreError> {
        if self.since.len() > self.committed() {
            self.commits.push(self.since.len());
        }
        Ok(())
    }

    fn checkpoint(&mut self) -> Result<OpNumber, StoreError> {
        for batch in self.since.drain(..) {
            self.synced.apply(&batch);
        }
        self.commits.clear();
        Ok(self.synced.applied)
    }

    fn unsynced_bytes(&self) -> Result<u64, StoreError> {
        let changes: usize = self.since[..self.committed()]
            .iter()
            .map(|batch| batch.changes.len())
            .sum();
        Ok((changes * std::mem::size_of::<Change>()) as u64)
    }

    fn query(&mut self, query: &Query) -> Result<Found, StoreError> {
        let mut found = self.now.answer(query);
        if let Found::Page { messages, more } = &mut found
            && let Some(at) = messages.iter().position(|it| self.damaged.contains(&it.id))
        {
            if at == 0 {
                let (path, id) = ("memory".to_owned(), messages[0].id);
                return Err(StoreError::DamagedMessage { path, id });
            }
            messages.truncate(at);
            *more = true;
        }
        Ok(found)
    }

    fn snapshot_maker(&self) -> Option<SnapshotMaker> {
        None
    }
}

/// What all batches so far have made.
#[derive(Clone, Debug, Default)]
struct State {
    applied: OpNumber,
    clock: Timestamp,
    cluster: Option<Cluster>,
    /// The living, and the dead whose names are shown beside messages.
    accounts: BTreeMap<AccountId, Account>,
    /// Those with a living member.
    conversations: BTreeMap<ConversationId, Conversation>,
    sessions: BTreeMap<SessionId, SessionImage>,
    creations: BTreeMap<OpNumber, Creation>,
    /// Those of `conversations`.
    messages: BTreeMap<OpNumber, Message>,
}

#[derive(Clone, Debug)]
struct Account {
    name: Name,
    /// `None`: the account is gone.
    password_hash: Option<String>,
    all_read_up_to: OpNumber,
    cursors: BTreeMap<ConversationId, OpNumber>,
    /// Its messages, sent or received.
    messages: BTreeSet<OpNumber>,
}

#[derive(Clone, Debug)]
struct Conversation {
    members: [AccountId; 2],
    messages: BTreeSet<OpNumber>,
}

impl State {
    fn apply(&mut self, batch: &Batch) {
        for change in &batch.changes {
            self.change(change);
        }
        self.applied = batch.applied;
        self.clock = batch.clock;
    }

    fn change(&mut self, change: &Change) {
        match change {
            Change::Cluster(cluster) => self.cluster = Some(cluster.clone()),
            Change::AccountCreated {
                id,
                name,
                password_hash,
            } => {
                let account = Account {
                    name: *name,
                    password_hash: Some(password_hash.clone()),
                    all_read_up_to: OpNumber::ZERO,
                    cursors: BTreeMap::new(),
                    messages: BTreeSet::new(),
                };
                self.accounts.insert(*id, account);
            }
            Change::AccountDeleted { id } => self.delete_account(*id),
            Change::ConversationBegun { id, members } => {
                let conversation = Conversation {
                    members: *members,
                    messages: BTreeSet::new(),
                };
                self.conversations.insert(*id, conversation);
            }
            Change::MessageSent(message) => self.add_message(message),
            Change::AllRead { account, up_to } => {
                if let Some(account) = self.accounts.get_mut(account) {
                    account.all_read_up_to = *up_to;
                    account.cursors.retain(|_, cursor| *cursor > *up_to);
                }
            }
            Change::ConversationRead {
                account,
                conversation,
                up_to,
            } => {
                if let Some(account) = self.accounts.get_mut(account) {
                    account.cursors.insert(*conversation, *up_to);
                }
            }
            Change::Session(session) => {
                self.sessions.insert(session.id, session.clone());
            }
            Change::SessionEnded { session } => {
                self.sessions.remove(session);
            }
            Change::CreationRemembered(creation) => {
                self.creations.insert(creation.op, *creation);
            }
            Change::CreationForgotten { op } => {
                self.creations.remove(op);
            }
        }
    }

    fn add_message(&mut self, message: &Message) {
        if let Some(conversation) = self.conversations.get_mut(&message.conversation) {
            conversation.messages.insert(message.id);
        }
        for member in [message.sender, message.recipient] {
            if let Some(account) = self.accounts.get_mut(&member) {
                account.messages.insert(message.id);
            }
        }
        self.messages.insert(message.id, message.clone());
    }

    fn delete_account(&mut self, id: AccountId) {
        if let Some(account) = self.accounts.get_mut(&id) {
            account.password_hash = None;
            account.cursors.clear();
            account.messages.clear();
        }
        self.sessions.retain(|_, session| session.account != id);
        let unreadable: Vec<ConversationId> = self
            .conversations
            .iter()
            .filter(|(_, conversation)| !conversation.members.iter().any(|m| self.is_living(*m)))
            .map(|(id, _)| *id)
            .collect();
        for id in unreadable {
            let gone = self.conversations.remove(&id);
            for message in gone.into_iter().flat_map(|gone| gone.messages) {
                self.messages.remove(&message);
            }
        }
    }

    fn is_living(&self, account: AccountId) -> bool {
        self.accounts
            .get(&account)
            .is_some_and(|account| account.password_hash.is_some())
    }

    fn image(&self) -> Image {
        let living = self
            .accounts
            .iter()
            .filter(|(_, account)| account.password_hash.is_some());
        Image {
            applied: self.applied,
            clock: self.clock,
            cluster: self.cluster.clone(),
            accounts: living
                .map(|(id, account)| AccountImage {
                    id: *id,
                    name: account.name,
                    password_version: PasswordVersion(0),
                    all_read_up_to: account.all_read_up_to,
                    read_up_to: account.cursors.iter().map(|(c, up)| (*c, *up)).collect(),
                })
                .collect(),
            conversations: self
                .conversations
                .iter()
                .map(|(id, conversation)| (*id, conversation.members))
                .collect(),
            sessions: self.sessions.values().cloned().collect(),
            creations: self.creations.values().copied().collect(),
        }
    }

    fn answer(&self, query: &Query) -> Found {
        match query {
            Query::PasswordHash { account } => Found::PasswordHash(
                self.accounts
                    .get(account)
                    .and_then(|account| account.password_hash.clone()),
            ),
            Query::Count(range) => Found::Count(self.range(range).count() as u64),
            Query::Newest { range, limit } => {
                let newest = || self.range(range).rev().take(*limit as usize);
                let first = newest().last();
                Found::Newest(first.map(|first| (first.id, newest().count() as u64)))
            }
            Query::Page { range, limit } => self.page(range, *limit as usize),
        }
    }

    /// The messages of a range, oldest first.
    fn range(&self, range: &Range) -> impl DoubleEndedIterator<Item = &Message> {
        let account = self.accounts.get(&range.account);
        let conversation = match &range.scope {
            Scope::Conversation(id) => self
                .conversations
                .get(id)
                .filter(|conversation| conversation.members.contains(&range.account)),
            _ => None,
        };
        let ids = match (&range.scope, account, conversation) {
            (Scope::Conversation(_), Some(account), Some(conversation))
                if account.password_hash.is_some() =>
            {
                Some(&conversation.messages)
            }
            (Scope::Conversation(_), ..) => None,
            (_, account, _) => account.map(|account| &account.messages),
        };
        let bounds = (Bound::Excluded(range.after), Bound::Excluded(range.before));
        ids.filter(|_| range.after < range.before)
            .into_iter()
            .flat_map(move |ids| ids.range(bounds))
            .filter_map(|id| self.messages.get(id))
            .filter(|message| is_in_scope(message, range))
    }

    fn page(&self, range: &Range, limit: usize) -> Found {
        let mut rest = self.range(range).peekable();
        let mut messages = Vec::new();
        let mut text_bytes = 0;
        while messages.len() < limit {
            let next = rest.next_if(|message| {
                messages.is_empty() || text_bytes + message.text.len() <= PAGE_TEXT_BYTES_MAX
            });
            let Some(message) = next else { break };
            text_bytes += message.text.len();
            messages.push(self.shown(message));
        }
        let more = rest.peek().is_some();
        Found::Page { messages, more }
    }

    fn shown(&self, message: &Message) -> StoredMessage {
        let name = |id: AccountId| match self.accounts.get(&id) {
            Some(account) if account.password_hash.is_some() => account.name.to_string(),
            Some(account) => format!("{}(deleted)", account.name),
            None => unreachable!("message {} is of account {id}, never created", message.id),
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
}

fn is_in_scope(message: &Message, range: &Range) -> bool {
    match &range.scope {
        Scope::All | Scope::Conversation(_) => true,
        Scope::Unread { read_up_to } => {
            let read = read_up_to
                .iter()
                .find(|(conversation, _)| *conversation == message.conversation)
                .is_some_and(|(_, up_to)| message.id <= *up_to);
            message.recipient == range.account && !read
        }
    }
}
