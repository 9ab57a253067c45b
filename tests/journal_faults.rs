//! Is everything that the journal ever said to be safe still there, whatever the disk did?
//!
//! Random runs of append, sync, roll, release and reopen on a storage that records every change.
//! Then, for the state after each number of changes, and for each choice of what a power cut spares
//! of the unsynced pieces: is everything there that was acknowledged, in order, with its bytes, and
//! nothing that was never appended; and does the journal go on from there, and survive another cut,
//! also one in the middle of the recovery? Then the same with errors of the disk; then with every
//! byte of a journal flipped.

use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use lastword::journal::storage::{FaultyStorage, Storage};
use lastword::journal::{Journal, JournalError, Recovery, Sizes};
use lastword::types::{ClusterId, OpNumber};

const SIZES: Sizes = Sizes {
    segment_bytes: 4096 + 640,
    prepared_bytes: 300,
    segments_kept: 1,
};
const CLUSTER: ClusterId = ClusterId(0xc1);

/// Small random numbers that can be had again (splitmix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let number = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        number ^ (number >> 31)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    fn bytes(&mut self, length: u64) -> Vec<u8> {
        (0..length).map(|_| self.next() as u8).collect()
    }
}

/// Runs `check` for each seed, and says which one failed.
fn for_each_seed(seeds: std::ops::Range<u64>, check: impl Fn(u64)) {
    for seed in seeds {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| check(seed))) {
            eprintln!("this was seed {seed}");
            resume_unwind(panic);
        }
    }
}

fn open(storage: &FaultyStorage) -> Result<(Journal, Recovery), JournalError> {
    Journal::open_sized(Box::new(storage.clone()), SIZES)
}

fn create(storage: &FaultyStorage) -> Result<Journal, JournalError> {
    Journal::create_sized(Box::new(storage.clone()), SIZES, CLUSTER, 7)
}

fn read(journal: &Journal, after: u64) -> Result<Vec<Vec<u8>>, JournalError> {
    let mut bodies = Vec::new();
    journal.read(OpNumber(after), &mut |op, body| {
        assert_eq!(op.0, after + 1 + bodies.len() as u64);
        bodies.push(body.to_vec());
        ControlFlow::Continue(())
    })?;
    Ok(bodies)
}

/// What a run has been promised so far.
#[derive(Clone, Copy, Debug, Default)]
struct Promise {
    /// The number of changes of the storage by then.
    steps: usize,
    /// The journal was made.
    created: bool,
    /// A sync answered this.
    synced: u64,
    /// Up to here, ops were released.
    released: u64,
}

/// A journal on its way through a random life.
struct Run {
    random: Random,
    storage: FaultyStorage,
    /// The body of each op, as it was appended last.
    bodies: Vec<Vec<u8>>,
    /// After each call that came back, oldest first; the first one promises nothing.
    promises: Vec<Promise>,
}

impl Run {
    fn new(seed: u64) -> Self {
        let storage = FaultyStorage::new();
        storage.record();
        Self {
            random: Random(seed),
            storage,
            bodies: Vec::new(),
            promises: vec![Promise::default()],
        }
    }

    /// Creates the journal and does some things with it, until the storage fails, if it does.
    fn live(&mut self, actions: u64) -> Result<(), JournalError> {
        let mut journal = create(&self.storage)?;
        self.promise(|it| it.created = true);
        for _ in 0..actions {
            match self.random.below(12) {
                0..5 => self.append(&mut journal),
                5..9 => self.sync(&mut journal)?,
                9 => {
                    let up_to = self.random.below(journal.synced().0 + 1);
                    // It may happen from now on, whether the call comes back or not.
                    self.promise(|it| it.released = it.released.max(up_to));
                    journal.release(OpNumber(up_to))?;
                    self.promise(|_| {});
                }
                _ => {
                    // The process is killed: what was only appended is gone.
                    drop(journal);
                    let (reopened, recovery) = open(&self.storage)?;
                    journal = reopened;
                    self.bodies.truncate(recovery.head.0 as usize);
                    self.promise(|it| it.synced = recovery.head.0);
                }
            }
        }
        self.sync(&mut journal)
    }

    fn append(&mut self, journal: &mut Journal) {
        for _ in 0..=self.random.below(4) {
            let length = match self.random.below(8) {
                0 => self.random.below(900),
                _ => self.random.below(60),
            };
            let body = self.random.bytes(length);
            journal.append(journal.head().next(), &body);
            self.bodies.push(body);
        }
    }

    fn sync(&mut self, journal: &mut Journal) -> Result<(), JournalError> {
        let synced = journal.sync()?.0;
        assert_eq!(synced, self.bodies.len() as u64);
        self.promise(|it| it.synced = synced);
        Ok(())
    }

    fn promise(&mut self, change: impl FnOnce(&mut Promise)) {
        let mut promise = self.last_promise();
        change(&mut promise);
        promise.steps = self.storage.steps();
        self.promises.push(promise);
    }

    fn last_promise(&self) -> Promise {
        *self.promises.last().expect("there is the first")
    }

    /// The last promise that was made within so many changes.
    fn promise_after(&self, steps: usize) -> Promise {
        let made = self.promises.partition_point(|it| it.steps <= steps);
        self.promises[made - 1]
    }

    /// Is everything kept that was promised, and does the journal go on?
    fn check(&self, left: &FaultyStorage, promise: Promise, random: &mut Random) {
        left.record();
        let mut journal = match open(left) {
            Ok((journal, recovery)) => {
                self.check_opened(&journal, &recovery, promise);
                journal
            }
            Err(JournalError::Missing { .. }) if !promise.created => create(left).unwrap(),
            Err(error) => panic!("{error}"),
        };
        // The power goes again while the end is repaired.
        let steps = random.below(left.steps() as u64 + 1) as usize;
        let again = left.after(steps).crash(&mut |_| random.below(2) == 0);
        match open(&again) {
            Ok((journal, recovery)) => self.check_opened(&journal, &recovery, promise),
            Err(JournalError::Missing { .. }) if !promise.created => {}
            Err(error) => panic!("in the recovery, after {steps} steps: {error}"),
        }
        // Other bodies than those that were torn off, for the same ops.
        let first = journal.first().0;
        let mut bodies = read(&journal, first - 1).unwrap();
        for _ in 0..2 {
            for _ in 0..=random.below(2) {
                let length = random.below(100);
                bodies.push(random.bytes(length));
                journal.append(journal.head().next(), bodies.last().unwrap());
            }
            journal.sync().unwrap();
        }
        let (journal, recovery) = open(&left.crash(&mut |_| false)).unwrap();
        assert_eq!(recovery.torn, None);
        assert_eq!(read(&journal, first - 1).unwrap(), bodies);
    }

    fn check_opened(&self, journal: &Journal, recovery: &Recovery, promise: Promise) {
        let (first, head) = (recovery.first.0, recovery.head.0);
        assert!(head >= promise.synced, "op {} is lost", promise.synced);
        assert!(
            head <= self.bodies.len() as u64,
            "op {head} was never appended"
        );
        assert!(first <= promise.released + 1, "op {} is lost", first - 1);
        assert_eq!(journal.cluster(), CLUSTER);
        let found = read(journal, first - 1).unwrap();
        assert_eq!(found, self.bodies[first as usize - 1..head as usize]);
    }
}

/// Calls `check` with what a power cut can leave: every choice of what survives if there are few
/// pieces; else nothing, everything, each alone, all but each, and some at random.
fn for_each_crash(
    storage: &FaultyStorage,
    random: &mut Random,
    mut check: impl FnMut(FaultyStorage, &mut Random),
) {
    let pieces = storage.unsynced();
    let mut crash = |random: &mut Random, survives: &dyn Fn(usize) -> bool| {
        let mut next = 0;
        let left = storage.crash(&mut |_| {
            next += 1;
            survives(next - 1)
        });
        check(left, random);
    };
    if pieces <= 5 {
        for choice in 0..1_u32 << pieces {
            crash(random, &|it| choice >> it & 1 == 1);
        }
        return;
    }
    crash(random, &|_| false);
    crash(random, &|_| true);
    for one in 0..pieces {
        crash(random, &|it| it == one);
        crash(random, &|it| it != one);
    }
    for _ in 0..8 {
        let choice = random.bytes(pieces as u64);
        crash(random, &|it| choice[it] < 128);
    }
}

#[test]
fn what_was_acknowledged_survives_every_power_cut_at_every_step() {
    for_each_seed(0..200, |seed| {
        let mut run = Run::new(seed);
        run.live(14).unwrap();
        let mut random = Random(!seed);
        for steps in 0..=run.storage.steps() {
            let promise = run.promise_after(steps);
            // The process alone is killed: the kernel still has everything.
            run.check(&run.storage.after(steps), promise, &mut random);
            for_each_crash(&run.storage.after(steps), &mut random, |left, random| {
                run.check(&left, promise, random);
            });
        }
    });
}

#[test]
fn what_was_acknowledged_survives_every_failing_write_and_sync() {
    type Fault = (&'static str, u64, fn(&FaultyStorage, u64));
    let faults: [Fault; 3] = [
        ("a write", 1, FaultyStorage::fail_write),
        ("a sync", 1, FaultyStorage::fail_sync),
        ("a full disk", 293, FaultyStorage::limit_growth),
    ];
    for_each_seed(1000..1025, |seed| {
        for (name, stride, fault) in faults {
            let mut random = Random(!seed);
            for place in 0.. {
                let mut run = Run::new(seed);
                fault(&run.storage, place * stride);
                let Err(error) = run.live(14) else {
                    assert!(!run.storage.has_failed(), "{name}: nobody was told");
                    assert!(place > 0, "{name} never failed");
                    break;
                };
                assert!(matches!(error, JournalError::Io { .. }), "{name}: {error}");
                let promise = run.last_promise();
                run.check(&run.storage.fork(), promise, &mut random);
                for_each_crash(&run.storage.fork(), &mut random, |left, random| {
                    run.check(&left, promise, random);
                });
            }
        }
    });
}

/// Where a record stands, by the layout that the journal's documentation gives.
#[derive(Debug)]
struct Place {
    file: String,
    begin: u64,
    end: u64,
    /// The batch of its op.
    batch: usize,
}

/// A journal of several segments and batches, with the place of each op.
fn mapped_journal(storage: &FaultyStorage) -> Vec<Place> {
    let mut random = Random(3);
    let mut journal = create(storage).unwrap();
    let mut places: Vec<Place> = Vec::new();
    let (mut first, mut end) = (1, 4096);
    for batch in 0..10 {
        for _ in 0..3 {
            let op = journal.head().next();
            let length = random.below(120);
            journal.append(op, &random.bytes(length));
            let bytes = (32 + length).next_multiple_of(8);
            if end + bytes > SIZES.segment_bytes {
                (first, end) = (op.0, 4096);
            }
            places.push(Place {
                file: format!("{first:020}.segment"),
                begin: end,
                end: end + bytes,
                batch,
            });
            end += bytes;
        }
        journal.sync().unwrap();
    }
    places
}

/// What opening and then reading everything says of a journal.
#[derive(Debug, PartialEq)]
enum Verdict {
    /// Damage, there.
    Damaged { file: String, offset: u64 },
    /// These ops; and a torn end was cut off, there.
    Whole { ops: usize, torn: Option<u64> },
}

fn judge(storage: &FaultyStorage) -> Verdict {
    let all = open(storage).and_then(|(journal, recovery)| {
        let ops = read(&journal, 0)?.len();
        let torn = recovery.torn.map(|it| it.offset);
        Ok(Verdict::Whole { ops, torn })
    });
    match all {
        Ok(verdict) => verdict,
        Err(JournalError::Damaged { file, offset, .. }) => Verdict::Damaged { file, offset },
        Err(error) => panic!("{error}"),
    }
}

/// What has to be said when a byte of a file is wrong.
fn expected(places: &[Place], file: &str, offset: u64) -> Verdict {
    let last = places.last().unwrap();
    let damaged = |offset| Verdict::Damaged {
        file: format!("memory/{file}"),
        offset,
    };
    if offset < 4096 {
        return damaged(0);
    }
    let in_record = |it: &Place| it.file == file && (it.begin..it.end).contains(&offset);
    match places.iter().position(in_record) {
        // The last batch was synced, too, but nothing that came later says so: it cannot be told
        // from one that was torn.
        Some(index) if places[index].batch == last.batch => Verdict::Whole {
            ops: index,
            torn: Some(places[index].begin),
        },
        Some(index) => damaged(places[index].begin),
        // Behind the records of a full segment nothing is ever read.
        None if file != last.file => Verdict::Whole {
            ops: places.len(),
            torn: None,
        },
        // The zeros that were prepared are made zeros again.
        None => Verdict::Whole {
            ops: places.len(),
            torn: Some(last.end),
        },
    }
}

#[test]
fn a_flipped_bit_in_any_byte_is_reported_where_it_matters() {
    let whole = FaultyStorage::new();
    let places = mapped_journal(&whole);
    let files = whole.list().unwrap();
    assert!(files.len() >= 3);
    let last = places.last().unwrap();
    let batches_of_last = places.iter().filter(|it| it.file == last.file);
    assert!(batches_of_last.map(|it| it.batch).min() < Some(last.batch));
    assert!(last.end < whole.contents(&last.file).len() as u64);
    for file in &files {
        for offset in 0..whole.contents(file).len() as u64 {
            let storage = whole.fork();
            storage.flip(file, offset, 1 << (offset % 8));
            let before: Vec<_> = files.iter().map(|it| storage.contents(it)).collect();
            let verdict = judge(&storage);
            assert_eq!(
                verdict,
                expected(&places, file, offset),
                "{file}, byte {offset}"
            );
            if matches!(verdict, Verdict::Damaged { .. }) {
                let after: Vec<_> = files.iter().map(|it| storage.contents(it)).collect();
                assert!(
                    before == after,
                    "{file}, byte {offset}: something was changed"
                );
            }
        }
    }
}
