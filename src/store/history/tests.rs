//! Does a query do the same work among many messages as among few? Counted in SQLite's own
//! steps, so that no clock and no other load can say otherwise.

use rusqlite::StatementStatus;

use super::*;
use crate::chat::change::{Change, Message};
use crate::store::{Batch, SqliteStore, Store};
use crate::types::Name;

const ACCOUNTS: u64 = 20;

/// Who writes to whom: half of the messages go to and fro between 3 and 4, a quarter comes to 3
/// from everybody in turn (from itself, too), and a quarter is between others.
fn pair(turn: u64) -> [AccountId; 2] {
    let somebody = turn / 4 % ACCOUNTS + 1;
    [[3, 4], [4, 3], [somebody, 3], [somebody, 21 - somebody]][turn as usize % 4].map(AccountId)
}

struct Filled {
    store: SqliteStore,
    conversations: HashMap<[AccountId; 2], ConversationId>,
    /// The last message's id.
    last: u64,
    _folder: tempfile::TempDir,
}

fn filled(messages: u64) -> Filled {
    let folder = tempfile::tempdir().unwrap();
    let mut store = SqliteStore::open(folder.path().join("store.db")).unwrap();
    let mut conversations = HashMap::new();
    let mut changes: Vec<Change> = (1..=ACCOUNTS)
        .map(|id| Change::AccountCreated {
            id: AccountId(id),
            name: Name::parse(&format!("n{id}")).unwrap(),
            password_hash: "$argon2id$".to_owned(),
        })
        .collect();
    for turn in 0..messages {
        let id = ACCOUNTS + 1 + turn;
        let [sender, recipient] = pair(turn);
        let members = [sender.min(recipient), sender.max(recipient)];
        let conversation = *conversations.entry(members).or_insert_with(|| {
            let id = ConversationId(id);
            changes.push(Change::ConversationBegun { id, members });
            id
        });
        changes.push(Change::MessageSent(Message {
            id: OpNumber(id),
            time: Timestamp(turn),
            conversation,
            sender,
            recipient,
            text: "hello".to_owned(),
        }));
    }
    let batch = Batch {
        applied: OpNumber(ACCOUNTS + messages),
        clock: Timestamp(messages),
        changes,
    };
    store.apply(batch).unwrap();
    store.commit().unwrap();
    Filled {
        store,
        conversations,
        last: ACCOUNTS + messages,
        _folder: folder,
    }
}

/// What a query cost.
#[derive(Debug, Default, PartialEq)]
struct Work {
    /// Instructions of SQLite's machine.
    steps: i32,
    /// Steps through a whole table, sorts, and indexes made for one statement.
    waste: i32,
}

/// Every statement that answers queries, as [`answer`] prepares them.
const STATEMENTS: [&str; 7] = [
    CONVERSATIONS_OF,
    MEMBERS,
    MESSAGE,
    ACCOUNT,
    crate::store::garbage::ACCOUNT_IS_DELETED,
    crate::store::lists::RUNS,
    crate::store::lists::RUNS_BACKWARDS,
];

fn work(connection: &Connection, query: &Query) -> (Found, Work) {
    let counters = |kind| -> i32 {
        let statement = |sql: &&str| connection.prepare_cached(sql).unwrap().reset_status(kind);
        STATEMENTS.iter().map(statement).sum()
    };
    let kinds = [
        StatementStatus::VmStep,
        StatementStatus::FullscanStep,
        StatementStatus::Sort,
        StatementStatus::AutoIndex,
    ];
    let _before = kinds.map(counters);
    let found = answer(connection, &OpenLists::default(), query).unwrap();
    let [steps, fullscan, sorts, indexes] = kinds.map(counters);
    let waste = fullscan + sorts + indexes;
    (found, Work { steps, waste })
}

/// The same questions in any store, about a page from its end.
fn questions(filled: &Filled) -> Vec<Query> {
    let account = AccountId(3);
    let conversation = filled.conversations[&[account, AccountId(4)]];
    let before = OpNumber::MAX;
    let range = |scope, after| Range {
        account,
        scope,
        after: OpNumber(after),
        before,
    };
    let read = vec![(conversation, OpNumber(filled.last - 20))];
    let unread = Scope::Unread {
        read_up_to: Vec::new(),
    };
    let unread_elsewhere = Scope::Unread { read_up_to: read };
    let lately = filled.last - 40;
    let mut questions = vec![Query::PasswordHash { account }];
    for scope in [Scope::All, Scope::Conversation(conversation)] {
        let range = range(scope, 0);
        let newest = range.clone();
        questions.push(Query::Page { range, limit: 5 });
        questions.push(Query::Newest {
            range: newest,
            limit: 5,
        });
    }
    for scope in [
        Scope::All,
        Scope::Conversation(conversation),
        unread,
        unread_elsewhere,
    ] {
        let range = range(scope, lately);
        questions.push(Query::Count(range.clone()));
        questions.push(Query::Page { range, limit: 5 });
    }
    questions
}

#[test]
fn a_query_does_the_same_work_among_many_messages_as_among_few() {
    let few = filled(200);
    let many = filled(20_000);
    for (in_few, in_many) in questions(&few).iter().zip(questions(&many)) {
        let (found, little) = work(&few.store.connection, in_few);
        assert!(little.steps > 0, "{in_few:?}");
        let (_, much) = work(&many.store.connection, &in_many);
        assert!(
            much.steps <= 2 * little.steps,
            "{in_many:?}: {much:?}, not {little:?}"
        );
        assert_eq!((little.waste, much.waste), (0, 0), "{in_many:?}");
        if let Found::Page { messages, .. } = found {
            assert!(!messages.is_empty(), "{in_few:?}");
        }
    }
}

#[test]
fn what_was_read_once_is_never_passed_over_again() {
    let filled = filled(20_000);
    let account = AccountId(3);
    let all_read_but = |but: u64| Scope::Unread {
        read_up_to: filled
            .conversations
            .values()
            .map(|conversation| (*conversation, OpNumber(filled.last - but)))
            .collect(),
    };
    let range = |scope| Range {
        account,
        scope,
        after: OpNumber::ZERO,
        before: OpNumber::MAX,
    };
    let query = Query::Count(range(all_read_but(20)));
    let (found, work) = work(&filled.store.connection, &query);
    // Of the last 20: five from 4, five from everybody in turn, and the one from 18.
    assert_eq!(found, Found::Count(11));
    // Some instructions for each of its 20 conversations, and none for the 10,000 messages that it has read.
    assert!(work.steps < 1_000, "{work:?}");
}
