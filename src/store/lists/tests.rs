//! Does a query find the same however a list is cut into runs, and whatever of it is written?

use proptest::prelude::*;

use super::*;
use crate::chat::change::Change;
use crate::store::{
    Batch, Found, MemoryStore, Query, Range, Scope, SqliteStore, Store, StoreError,
};
use crate::types::{Name, OpNumber, Timestamp};

const ACCOUNTS: u64 = 3;

/// A store with three accounts and a conversation between any two of them, of which one may be
/// with itself.
fn begin(store: &mut dyn Store) {
    let accounts = (1..=ACCOUNTS).map(|id| Change::AccountCreated {
        id: AccountId(id),
        name: Name::parse(&format!("n{id}")).unwrap(),
        password_hash: String::new(),
    });
    let conversations = pairs().map(|members| Change::ConversationBegun {
        id: conversation(members),
        members: members.map(AccountId),
    });
    let batch = Batch {
        applied: OpNumber(100),
        clock: Timestamp(0),
        changes: accounts.chain(conversations).collect(),
    };
    store.apply(batch).unwrap();
    store.commit().unwrap();
}

fn pairs() -> impl Iterator<Item = [u64; 2]> {
    (1..=ACCOUNTS).flat_map(|lower| (lower..=ACCOUNTS).map(move |higher| [lower, higher]))
}

fn conversation([lower, higher]: [u64; 2]) -> ConversationId {
    ConversationId(10 * lower + higher)
}

/// A message between two of the accounts.
fn message(id: u64, sender: u64, recipient: u64) -> Change {
    Change::MessageSent(Message {
        id: OpNumber(id),
        time: Timestamp(id),
        conversation: conversation([sender.min(recipient), sender.max(recipient)]),
        sender: AccountId(sender),
        recipient: AccountId(recipient),
        text: format!("message {id}"),
    })
}

/// So many messages with gaps between their ids, and whether the transaction ends behind them.
type Turn = (Vec<(u64, u64, u64)>, bool);

fn any_turns() -> impl Strategy<Value = Vec<Turn>> {
    let gap = prop_oneof![8 => 1..4_u64, 1 => 100..100_000_u64];
    let messages = prop::collection::vec((1..=ACCOUNTS, 1..=ACCOUNTS, gap), 0..30);
    prop::collection::vec((messages, any::<bool>()), 1..12)
}

/// Each scope of an account, between bounds that fall anywhere among the ids.
fn questions(account: u64, after: u64, before: u64) -> Vec<Query> {
    let mut scopes = vec![
        Scope::All,
        Scope::Unread {
            read_up_to: Vec::new(),
        },
        Scope::Unread {
            read_up_to: vec![(conversation([1, 2]), OpNumber(after + before / 3))],
        },
    ];
    scopes.extend(pairs().map(|members| Scope::Conversation(conversation(members))));
    let mut questions = Vec::new();
    for scope in scopes {
        let range = Range {
            account: AccountId(account),
            scope,
            after: OpNumber(after),
            before: OpNumber(before),
        };
        questions.push(Query::Count(range.clone()));
        for limit in [1, 7, 1000] {
            let (page, newest) = (range.clone(), range.clone());
            questions.push(Query::Page { range: page, limit });
            questions.push(Query::Newest {
                range: newest,
                limit,
            });
        }
    }
    questions
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn lists_of_short_runs_answer_as_the_memory_does(
        turns in any_turns(),
        run_bytes_max in 0..24_usize,
        lists_reopened_max in 0..8_usize,
        bounds in prop::collection::vec(any::<(prop::sample::Index, prop::sample::Index)>(), 4),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let mut on_disk = SqliteStore::open(folder.path().join("store.db")).unwrap();
        on_disk.pending.lists.run_bytes_max = run_bytes_max;
        on_disk.pending.lists.lists_reopened_max = lists_reopened_max;
        let mut in_memory = MemoryStore::new();
        begin(&mut on_disk);
        begin(&mut in_memory);
        let mut last = 100;
        for (messages, commits) in turns {
            let first = last;
            let mut changes = Vec::new();
            for (sender, recipient, gap) in messages {
                last += gap;
                changes.push(message(last, sender, recipient));
            }
            last += 1;
            let batch = Batch { applied: OpNumber(last), clock: Timestamp(last), changes };
            on_disk.apply(batch.clone()).unwrap();
            in_memory.apply(batch).unwrap();
            if commits {
                on_disk.commit().unwrap();
            }
            let bounds = bounds.iter().map(|(after, before)| {
                let at = |index: &prop::sample::Index| 99 + index.index(last as usize) as u64;
                (at(after).min(last), at(before).min(last))
            });
            for (after, before) in bounds.chain([(0, u64::MAX), (first, last)]) {
                for account in 1..=ACCOUNTS {
                    for question in questions(account, after, before) {
                        let found = on_disk.query(&question).unwrap();
                        prop_assert_eq!(found, in_memory.query(&question).unwrap(), "{:?}", question);
                    }
                }
            }
        }
    }
}

fn rows(store: &SqliteStore) -> i64 {
    let count = "SELECT count(*) FROM runs";
    store
        .connection
        .query_row(count, [], |row| row.get(0))
        .unwrap()
}

fn send(store: &mut SqliteStore, ids: std::ops::RangeInclusive<u64>) {
    let batch = Batch {
        applied: OpNumber(*ids.end()),
        clock: Timestamp(0),
        changes: ids.map(|id| message(id, 1, 2)).collect(),
    };
    store.apply(batch).unwrap();
}

#[test]
fn a_message_in_each_transaction_makes_no_row_for_each() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = SqliteStore::open(folder.path().join("store.db")).unwrap();
    begin(&mut store);
    for id in 101..=200 {
        send(&mut store, id..=id);
        store.commit().unwrap();
    }
    // Of the conversation, of who received them, and of who sent them.
    assert_eq!(rows(&store), 3);
    send(&mut store, 201..=3000);
    assert_eq!(rows(&store), 3 + 2 * 3);
    store.commit().unwrap();
    assert_eq!(rows(&store), 3 + 3 * 3);
    // Nor has any row more than fits beside three others.
    let longest: i64 = store
        .connection
        .query_row("SELECT max(length(ids)) FROM runs", [], |row| row.get(0))
        .unwrap();
    assert!(longest <= RUN_BYTES_MAX as i64, "{longest}");
}

#[test]
fn a_damaged_run_is_found_by_whatever_reads_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let mut store = SqliteStore::open(&path).unwrap();
    store.pending.lists.run_bytes_max = 20;
    begin(&mut store);
    send(&mut store, 101..=200);
    store.commit().unwrap();
    let range = Range {
        account: AccountId(2),
        scope: Scope::All,
        after: OpNumber::ZERO,
        before: OpNumber::MAX,
    };
    let count = Query::Count(range.clone());
    assert_eq!(store.query(&count).unwrap(), Found::Count(100));
    for damage in [
        "count = count + 1",
        "ids = x'01'",
        "checksum = checksum + 1",
        "first = first + 1",
        "owner = owner + 1",
    ] {
        // One in the middle: what is counted by `count` alone, too.
        let sql = format!("UPDATE runs SET {damage} WHERE first BETWEEN 130 AND 141");
        store.connection.execute_batch("SAVEPOINT sound").unwrap();
        assert_eq!(store.connection.execute(&sql, []).unwrap(), 3, "{sql}");
        let page = Query::Page {
            range: range.clone(),
            limit: 90,
        };
        let newest = Query::Newest {
            range: range.clone(),
            limit: 90,
        };
        for query in [&count, &page, &newest] {
            // A row that went to another list is missed by nobody but a snapshot's check.
            match store.query(query) {
                Err(StoreError::Damaged(_)) => {}
                Ok(_) if damage.starts_with("owner") => {}
                other => panic!("{damage}: {other:?}"),
            }
        }
        store
            .connection
            .execute_batch("ROLLBACK TO sound; RELEASE sound")
            .unwrap();
    }
}
