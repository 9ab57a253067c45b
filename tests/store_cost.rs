//! What does the store cost, in microseconds and bytes, as it grows? Figures on standard output:
//!
//!     cargo test --release --test store_cost -- --ignored --nocapture
//!
//! `LASTWORD_COST_MESSAGES=10000000` adds a larger store than the usual three, and
//! `LASTWORD_COST_PAGE_SIZE=8192` gives all of them other pages than they would have.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use lastword::chat::change::{Change, Message};
use lastword::limits::{CHECKPOINT_BYTES, TRANSACTION_OPS_MAX};
use lastword::store::{Batch, Query, Range, Scope, SqliteStore, Store};
use lastword::types::{AccountId, ConversationId, Name, OpNumber, Timestamp};

const ACCOUNTS: u64 = 10_000;
/// Each account writes to so many others.
const FRIENDS: u64 = 10;
/// Ops in a batch, as one turn of the loop may hand over.
const BATCH: u64 = 64;

/// Numbers without order, the same at every run.
struct Scatter(u64);

impl Scatter {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (self.0 >> 33) % bound
    }
}

/// Who talks.
#[derive(Clone, Copy, Debug)]
enum Pattern {
    /// Everybody: each message is in any of 100,000 conversations.
    Everybody,
    /// Fifty pairs, who talk without a pause.
    FiftyPairs,
}

/// Time on the clock, and that of it which the processor gave to this thread: where machines are
/// shared, only the second means much.
#[derive(Default)]
struct Spent {
    time: Duration,
    work: Duration,
}

fn processor_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// What this process has written to files, in bytes.
fn bytes_written() -> u64 {
    let counters = fs::read_to_string("/proc/self/io").unwrap();
    let line = counters.lines().find(|line| line.starts_with("wchar:"));
    let bytes = line.unwrap().split_whitespace().nth(1).unwrap();
    bytes.parse().unwrap()
}

/// An empty store, with pages of the size that was asked for.
fn empty(path: &Path) -> SqliteStore {
    if let Ok(size) = std::env::var("LASTWORD_COST_PAGE_SIZE") {
        drop(SqliteStore::open(path).unwrap());
        let database = rusqlite::Connection::open(path).unwrap();
        let pages = format!("PRAGMA journal_mode = DELETE; PRAGMA page_size = {size}; VACUUM;");
        database.execute_batch(&pages).unwrap();
    }
    SqliteStore::open(path).unwrap()
}

struct Filling {
    store: SqliteStore,
    scatter: Scatter,
    op: u64,
    conversations: std::collections::HashMap<[AccountId; 2], ConversationId>,
    committed: u64,
}

impl Filling {
    fn new(store: SqliteStore) -> Self {
        let mut filling = Self {
            store,
            scatter: Scatter(1),
            op: ACCOUNTS,
            conversations: std::collections::HashMap::new(),
            committed: 0,
        };
        let accounts = (1..=ACCOUNTS).map(|id| Change::AccountCreated {
            id: AccountId(id),
            name: Name::parse(&format!("account-{id}")).unwrap(),
            password_hash: "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHRzYWx0c2FsdA$".repeat(2),
        });
        filling.apply(accounts.collect());
        filling
    }

    fn apply(&mut self, changes: Vec<Change>) -> Spent {
        let batch = Batch {
            applied: OpNumber(self.op),
            clock: Timestamp(self.op),
            changes,
        };
        let began = Instant::now();
        let worked = processor_time();
        self.store.apply(batch).unwrap();
        if self.op - self.committed >= TRANSACTION_OPS_MAX {
            self.committed = self.op;
            self.store.commit().unwrap();
            if self.store.unsynced_bytes().unwrap() >= CHECKPOINT_BYTES {
                self.store.checkpoint().unwrap();
            }
        }
        Spent {
            time: began.elapsed(),
            work: processor_time() - worked,
        }
    }

    /// Sends so many messages; answers the time that the store took for them.
    fn send(&mut self, count: u64, pattern: Pattern) -> Spent {
        let mut spent = Spent::default();
        for _ in 0..count / BATCH {
            let mut changes = Vec::new();
            for _ in 0..BATCH {
                self.message(pattern, &mut changes);
            }
            let batch = self.apply(changes);
            spent.time += batch.time;
            spent.work += batch.work;
        }
        spent
    }

    fn message(&mut self, pattern: Pattern, changes: &mut Vec<Change>) {
        self.op += 1;
        let sender = match pattern {
            Pattern::Everybody => self.scatter.below(ACCOUNTS),
            Pattern::FiftyPairs => self.scatter.below(50) * 100,
        };
        let friend = match pattern {
            Pattern::Everybody => self.scatter.below(FRIENDS) + 1,
            Pattern::FiftyPairs => 1,
        };
        let recipient = AccountId((sender + friend) % ACCOUNTS + 1);
        let sender = AccountId(sender + 1);
        let members = [sender.min(recipient), sender.max(recipient)];
        let id = ConversationId(self.op);
        let conversation = *self.conversations.entry(members).or_insert_with(|| {
            changes.push(Change::ConversationBegun { id, members });
            id
        });
        changes.push(Change::MessageSent(Message {
            id: OpNumber(self.op),
            time: Timestamp(self.op),
            conversation,
            sender,
            recipient,
            text: "0123456789".repeat(10),
        }));
    }

    /// Tells the mean time of a query about somebody, over some hundred of them.
    fn ask(
        &mut self,
        title: &str,
        query: impl Fn(Range, u32) -> Query,
        scope: impl Fn(ConversationId) -> Scope,
    ) {
        let mut conversations: Vec<_> = self.conversations.iter().collect();
        conversations.sort_unstable();
        let some: Vec<_> = conversations
            .iter()
            .cycle()
            .step_by(1 + conversations.len() / 500)
            .take(500)
            .map(|(members, id)| (members[1], **id))
            .collect();
        let began = Instant::now();
        let worked = processor_time();
        for (account, conversation) in &some {
            let range = Range {
                account: *account,
                scope: scope(*conversation),
                after: OpNumber(self.op - self.op / 10),
                before: OpNumber::MAX,
            };
            self.store.query(&query(range, 20)).unwrap();
        }
        println!(
            "  {title:<36} {:9.2?} ({:.2?} of the processor)",
            began.elapsed() / some.len() as u32,
            (processor_time() - worked) / some.len() as u32
        );
    }
}

fn resident_mib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .unwrap();
    let kib = line.split_whitespace().nth(1).unwrap();
    kib.parse::<u64>().unwrap() / 1024
}

fn report(messages: u64, pattern: Pattern) {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let path = folder.path().join("store.db");
    let mut filling = Filling::new(empty(&path));
    let before = bytes_written();
    let mut all = filling.send(messages * 9 / 10, pattern);
    let last_tenth = filling.send(messages / 10, pattern);
    all.work += last_tenth.work;
    let resident = resident_mib();
    filling.store.checkpoint().unwrap();
    let written = bytes_written() - before;
    let page = |range, limit| Query::Page { range, limit };
    let newest = |range, limit| Query::Newest { range, limit };
    let whole = |_| Scope::All;
    let unread = |_| Scope::Unread {
        read_up_to: Vec::new(),
    };
    println!(
        "{messages} messages, {pattern:?}: {resident} MiB resident, {} MiB on disk",
        fs::metadata(&path).unwrap().len() >> 20
    );
    let share = (messages / 10) as u32;
    println!(
        "  apply a message, of the last tenth   {:9.2?} ({:.2?} of the processor)",
        last_tenth.time / share,
        last_tenth.work / share
    );
    println!(
        "  apply a message, of all of them      {:9.2?} of the processor, {} bytes written",
        all.work / messages as u32,
        written / messages
    );
    filling.ask("page of 20 of a conversation", page, Scope::Conversation);
    filling.ask("newest 20 of a conversation", newest, Scope::Conversation);
    filling.ask("page of 20 of an account", page, whole);
    filling.ask("newest 20 of an account", newest, whole);
    filling.ask("count of unread", |range, _| Query::Count(range), unread);
    let applied = filling.op;
    drop(filling);
    let began = Instant::now();
    let mut store = SqliteStore::open(&path).unwrap();
    assert_eq!(store.load().unwrap().applied, OpNumber(applied));
    println!(
        "  open and load                        {:9.2?}",
        began.elapsed()
    );
}

#[test]
#[ignore = "measures, for minutes"]
fn what_the_store_costs() {
    let asked = std::env::var("LASTWORD_COST_MESSAGES");
    let more = asked
        .iter()
        .map(|asked| asked.parse().expect("a number of messages"));
    for messages in [10_000, 100_000, 1_000_000].into_iter().chain(more) {
        for pattern in [Pattern::FiftyPairs, Pattern::Everybody] {
            report(messages, pattern);
        }
    }
}
