//! Does what nobody can read any more go, and in slices?

use super::*;
use crate::chat::change::{Change, Message};
use crate::store::{Batch, Found, Query, Range, Scope, SqliteStore, Store};
use crate::types::{Name, OpNumber, Timestamp};

/// A store that tells how many rows its tables have.
struct Rows {
    store: SqliteStore,
    op: u64,
    _folder: tempfile::TempDir,
}

impl Rows {
    /// Accounts of these names, with ids from 1.
    fn with_accounts(names: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(folder.path().join("store.db")).unwrap();
        let mut rows = Self {
            store,
            op: names.len() as u64,
            _folder: folder,
        };
        let accounts = names
            .iter()
            .zip(1..)
            .map(|(name, id)| Change::AccountCreated {
                id: AccountId(id),
                name: Name::parse(name).unwrap(),
                password_hash: String::new(),
            });
        rows.apply(accounts.collect());
        rows
    }

    fn apply(&mut self, changes: Vec<Change>) {
        self.op += 1;
        let batch = Batch {
            applied: OpNumber(self.op),
            clock: Timestamp(0),
            changes,
        };
        self.store.apply(batch).unwrap();
        self.store.commit().unwrap();
    }

    /// A new conversation of so many messages.
    fn talk(&mut self, sender: u64, recipient: u64, messages: u64) {
        let id = ConversationId(self.op + 1);
        let (sender, recipient) = (AccountId(sender), AccountId(recipient));
        let members = [sender.min(recipient), sender.max(recipient)];
        let mut changes = vec![Change::ConversationBegun { id, members }];
        changes.extend((1..=messages).map(|number| {
            Change::MessageSent(Message {
                id: OpNumber(self.op + number),
                time: Timestamp(0),
                conversation: id,
                sender,
                recipient,
                text: "hello".to_owned(),
            })
        }));
        self.op += messages;
        self.apply(changes);
    }

    fn delete(&mut self, id: u64) {
        self.apply(vec![Change::AccountDeleted { id: AccountId(id) }]);
    }

    fn count(&self, table: &str) -> i64 {
        let sql = format!("SELECT count(*) FROM {table}");
        let connection = &self.store.connection;
        connection.query_row(&sql, [], |row| row.get(0)).unwrap()
    }
}

#[test]
fn what_nobody_can_read_goes_a_slice_at_a_time() {
    let mut rows = Rows::with_accounts(&["alice", "bob"]);
    let slice = u64::from(SLICE);
    rows.talk(1, 2, 3 * slice);
    rows.delete(1);
    rows.apply(Vec::new());
    assert_eq!(rows.count("messages"), 3 * i64::from(SLICE));
    rows.delete(2);
    let mut before = 3 * i64::from(SLICE);
    let mut commits = 0;
    while rows.count("garbage") > 0 {
        let left = rows.count("messages");
        assert!(
            left < before && before - left <= i64::from(SLICE),
            "{before} {left}"
        );
        before = left;
        commits += 1;
        rows.apply(Vec::new());
    }
    assert_eq!(commits, 3);
    for table in ["messages", "runs", "conversations", "accounts", "garbage"] {
        assert_eq!(rows.count(table), 0, "{table}");
    }
}

#[test]
fn a_run_that_is_longer_than_a_slice_goes_alone() {
    let mut rows = Rows::with_accounts(&["alice", "bob"]);
    rows.store.pending.lists.run_bytes_max = 4 * SLICE as usize;
    let messages = 2 * i64::from(SLICE);
    rows.talk(1, 2, messages.cast_unsigned());
    rows.talk(1, 2, messages.cast_unsigned());
    assert_eq!(rows.count("runs WHERE part = 2"), 2);
    rows.delete(1);
    rows.delete(2);
    let mut left = vec![rows.count("messages")];
    while rows.count("garbage") > 0 {
        rows.apply(Vec::new());
        left.push(rows.count("messages"));
        assert!(left.len() < 10, "nothing goes any more: {left:?}");
    }
    left.dedup();
    assert_eq!(left, [2 * messages, messages, 0]);
    for table in ["messages", "runs", "conversations", "accounts"] {
        assert_eq!(rows.count(table), 0, "{table}");
    }
}

#[test]
fn lists_of_an_account_go_a_slice_at_a_time() {
    let mut rows = Rows::with_accounts(&["alice", "bob"]);
    // A run for each message.
    rows.store.pending.lists.run_bytes_max = 0;
    rows.talk(1, 2, 3 * u64::from(SLICE));
    let own = "runs WHERE owner = 1 AND part < 0";
    let mut before = rows.count(own);
    assert_eq!(before, 3 * i64::from(SLICE));
    rows.delete(1);
    while rows.count("garbage") > 0 {
        let left = rows.count(own);
        assert!(
            left < before && before - left <= i64::from(SLICE),
            "{before} {left}"
        );
        before = left;
        rows.apply(Vec::new());
    }
    // What the other one received stays, and what he may read of the conversation.
    assert_eq!(rows.count(own), 0);
    assert_eq!(rows.count("runs"), 2 * 3 * i64::from(SLICE));
    rows.delete(2);
    while rows.count("garbage") > 0 {
        rows.apply(Vec::new());
    }
    for table in ["messages", "runs", "conversations", "accounts"] {
        assert_eq!(rows.count(table), 0, "{table}");
    }
}

#[test]
fn messages_and_the_name_stay_for_the_one_who_is_left() {
    let mut rows = Rows::with_accounts(&["alice", "bob", "carol"]);
    rows.talk(1, 2, 2);
    rows.talk(1, 1, 2);
    rows.talk(3, 1, 2);
    rows.delete(3);
    rows.delete(1);
    rows.apply(Vec::new());
    assert_eq!(rows.count("messages"), 2);
    assert_eq!(rows.count("conversations"), 1);
    // Carol's row is gone: nothing is left that it is shown beside.
    assert_eq!(rows.count("accounts"), 2);
    let range = Range {
        account: AccountId(2),
        scope: Scope::All,
        after: OpNumber::ZERO,
        before: OpNumber::MAX,
    };
    let Found::Page { messages, more } =
        rows.store.query(&Query::Page { range, limit: 9 }).unwrap()
    else {
        unreachable!("a page answers a page");
    };
    assert_eq!((messages.len(), more), (2, false));
    assert_eq!(messages[0].from, "alice(deleted)");
    assert_eq!(messages[0].to, "bob");
}

#[test]
fn an_account_of_many_conversations_is_walked_through_a_slice_at_a_time() {
    let mut rows = Rows::with_accounts(&["alice", "bob"]);
    // The store does not ask why two accounts have so many conversations.
    let members = [AccountId(1), AccountId(2)];
    let first = 100;
    let conversations = (first..first + 2 * u64::from(SLICE)).map(|id| Change::ConversationBegun {
        id: ConversationId(id),
        members,
    });
    rows.apply(conversations.collect());
    rows.delete(1);
    assert_eq!(rows.count("garbage"), 1);
    rows.apply(Vec::new());
    rows.apply(Vec::new());
    assert_eq!(rows.count("garbage"), 0);
    assert_eq!(rows.count("conversations"), 2 * i64::from(SLICE));
}
