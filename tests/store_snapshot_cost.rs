//! What does a snapshot cost, and whom does it hold up? Figures on standard output:
//!
//!     cargo test --release --test store_snapshot_cost -- --ignored --nocapture
//!
//! `LASTWORD_COST_MESSAGES=10000000` measures another number of messages than a million.

use std::path::Path;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use lastword::chat::change::{Change, Message};
use lastword::limits::SNAPSHOT_PART_BYTES;
use lastword::store::{
    Batch, MadeSnapshot, Query, SnapshotWriter, SqliteStore, StoreAnswer, StoreWorker,
};
use lastword::types::{AccountId, ConversationId, Name, OpNumber, Timestamp};

const ACCOUNTS: u64 = 10_000;
/// Each account writes to so many others.
const FRIENDS: u64 = 10;
/// Ops in a batch, as one turn of the loop may hand over.
const BATCH: u64 = 64;
/// While somebody looks on, so many batches come in a second.
const BATCHES_A_SECOND: u32 = 300;

struct Filling {
    worker: StoreWorker,
    woken: Receiver<()>,
    op: u64,
    scatter: u64,
    begun: std::collections::HashSet<u64>,
    snapshot: Option<Result<MadeSnapshot, String>>,
    found: u64,
}

impl Filling {
    fn new(path: &Path) -> Self {
        let (wake, woken) = channel();
        let wake = Box::new(move || {
            let _ = wake.send(());
        });
        let store = SqliteStore::open(path).unwrap();
        let mut filling = Self {
            worker: StoreWorker::start(Box::new(store), wake).unwrap(),
            woken,
            op: ACCOUNTS,
            scatter: 1,
            begun: Default::default(),
            snapshot: None,
            found: 0,
        };
        let accounts = (1..=ACCOUNTS).map(|id| Change::AccountCreated {
            id: AccountId(id),
            name: Name::parse(&format!("account-{id}")).unwrap(),
            password_hash: "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHRzYWx0c2FsdA$".repeat(2),
        });
        filling.apply(accounts.collect());
        filling
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.scatter = self
            .scatter
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (self.scatter >> 33) % bound
    }

    fn apply(&mut self, changes: Vec<Change>) {
        let batch = Batch {
            applied: OpNumber(self.op),
            clock: Timestamp(self.op),
            changes,
        };
        self.worker.apply(batch, BATCH as usize * 250);
    }

    /// A batch of messages in any of 100,000 conversations, of which both members are known.
    fn send_batch(&mut self) {
        let mut changes = Vec::new();
        for _ in 0..BATCH {
            self.op += 1;
            let lower = self.below(ACCOUNTS - FRIENDS) + 1;
            let friend = self.below(FRIENDS) + 1;
            let members = [AccountId(lower), AccountId(lower + friend)];
            let id = lower * (FRIENDS + 1) + friend;
            let conversation = ConversationId(id);
            if self.begun.insert(id) {
                changes.push(Change::ConversationBegun {
                    id: conversation,
                    members,
                });
            }
            let back = self.below(2) as usize;
            changes.push(Change::MessageSent(Message {
                id: OpNumber(self.op),
                time: Timestamp(self.op),
                conversation,
                sender: members[back],
                recipient: members[1 - back],
                text: "0123456789".repeat(10),
            }));
        }
        self.apply(changes);
    }

    fn take_answers(&mut self) {
        for answer in self.worker.answers() {
            match answer {
                StoreAnswer::Found { .. } => self.found += 1,
                StoreAnswer::Durable(_) => {}
                StoreAnswer::Snapshot(made) => self.snapshot = Some(Ok(made)),
                StoreAnswer::SnapshotFailed(error) => self.snapshot = Some(Err(error.to_string())),
                StoreAnswer::Unreadable { error, .. }
                | StoreAnswer::Damaged(error)
                | StoreAnswer::Failed(error) => {
                    panic!("{error}")
                }
            }
        }
    }

    /// The time from handing over a batch with a query behind it to the query's answer.
    fn round_trip(&mut self) -> Duration {
        let began = Instant::now();
        self.send_batch();
        let account = AccountId(1);
        let query = Query::PasswordHash { account };
        self.worker.query(0, query).unwrap();
        let before = self.found;
        while self.found == before {
            self.woken.recv().unwrap();
            self.take_answers();
        }
        began.elapsed()
    }

    /// Round trips at an even pace, until `ends` says so: how long they took, and at what lag.
    fn watch(&mut self, title: &str, mut ends: impl FnMut(&Self) -> bool) {
        let mut times = Vec::new();
        while !ends(self) {
            let began = Instant::now();
            times.push(self.round_trip());
            let pace = Duration::from_secs(1) / BATCHES_A_SECOND;
            std::thread::sleep(pace.saturating_sub(began.elapsed()));
        }
        times.sort();
        let at = |share: usize| times[(times.len() - 1) * share / 1000];
        println!(
            "  {title}: {} batches of {BATCH}, each taken in and queried in {:.2?} (median), {:.2?} \
             (p99), {:.2?} (worst)",
            times.len(),
            at(500),
            at(990),
            at(1000)
        );
    }
}

/// What the processor gave to this process: where machines are shared, only that means much.
fn processor_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// How fast so many bytes went.
fn rate(bytes: u64, time: Duration) -> String {
    let mib = bytes as f64 / 1_048_576.0;
    format!("{:.2?}, {:.0} MiB/s", time, mib / time.as_secs_f64())
}

#[test]
#[ignore = "measures, for a minute"]
fn what_a_snapshot_costs() {
    let asked = std::env::var("LASTWORD_COST_MESSAGES");
    let messages = asked.map_or(1_000_000, |asked| asked.parse().expect("a number"));
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let path = folder.path().join("store.db");
    let mut filling = Filling::new(&path);
    for _ in 0..messages / BATCH {
        filling.send_batch();
        while filling.worker.lag_bytes() > 1 << 20 {
            std::thread::sleep(Duration::from_micros(200));
        }
        filling.take_answers();
    }
    filling.round_trip();
    let on_disk = std::fs::metadata(&path).unwrap().len() >> 20;
    println!("{messages} messages, {on_disk} MiB on disk");
    let quiet = Instant::now();
    filling.watch("without a snapshot ", |_| quiet.elapsed().as_secs() >= 5);
    let began = Instant::now();
    let asked = OpNumber(filling.op);
    let making = folder.path().join("store.snapshot");
    filling.worker.snapshot(making, asked).unwrap();
    filling.watch("during the snapshot", |filling| filling.snapshot.is_some());
    let took = began.elapsed();
    let made = filling.snapshot.take().unwrap().unwrap();
    assert!(made.applied >= asked);
    let length = made.reader.length();
    println!("  making: {} MiB in {}", length >> 20, rate(length, took));
    let log = std::fs::metadata(folder.path().join("store.db-wal")).unwrap();
    println!("  the store's log had {} MiB then", log.len() >> 20);

    let mut writer = SnapshotWriter::create(&folder.path().join("store.incoming")).unwrap();
    let (mut reading, mut writing, mut worst) = (Duration::ZERO, Duration::ZERO, Duration::ZERO);
    while writer.received() < length {
        let began = Instant::now();
        let offset = writer.received();
        let part = made.reader.read_at(offset, SNAPSHOT_PART_BYTES).unwrap();
        let read = began.elapsed();
        writer.write(offset, &part).unwrap();
        let wrote = began.elapsed() - read;
        (reading, writing, worst) = (reading + read, writing + wrote, worst.max(wrote));
    }
    println!("  reading parts: {}", rate(length, reading));
    println!(
        "  writing parts: {}, {worst:.2?} the slowest",
        rate(length, writing)
    );
    let (wake, woken) = channel();
    let began = Instant::now();
    let worked = processor_time();
    let wake = Box::new(move || wake.send(()).unwrap());
    let mut check = writer.finish(length, made.applied, wake).unwrap();
    woken.recv().unwrap();
    let checked = check.poll().unwrap().unwrap();
    println!(
        "  syncing and checking: {} ({:.2?} of the processor)",
        rate(length, began.elapsed()),
        processor_time() - worked
    );
    let began = Instant::now();
    let accepted = folder.path().join("received.db");
    checked.accept(&accepted).unwrap();
    SqliteStore::open(&accepted).unwrap();
    println!("  accepting and opening: {:.2?}", began.elapsed());
}
