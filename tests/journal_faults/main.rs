//! Is everything that the journal ever said to be safe still there, whatever the disk did?
//!
//! Random runs of append, sync, roll, release, cut off and reopen on a storage that records every
//! change. Then, for the state after each number of changes, and for each choice of what a power cut
//! spares of the unsynced pieces: is everything there that was acknowledged, in order, with its bytes,
//! and nothing that was never appended, or cut off; and does the journal go on from there, and survive
//! another cut of the power, also one in the middle of the recovery? Then the same with errors of the
//! disk; then with every byte of a journal flipped.

mod damage;
mod run;

use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use lastword::journal::storage::FaultyStorage;
use lastword::journal::{Journal, JournalError, Recovery, Sizes};
use lastword::types::{ClusterId, OpNumber};

use self::run::{Reuse, Run};

const SIZES: Sizes = Sizes {
    segment_bytes: 4096 + 640,
    prepared_bytes: 300,
    segments_kept: 1,
    segments_spare: 1,
};
const CLUSTER: ClusterId = ClusterId(0xc1);

/// What a run does with its journal.
const ACTIONS: u64 = 14;

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
fn for_each_seed(seeds: std::ops::Range<u64>, mut check: impl FnMut(u64)) {
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

fn create_after(storage: &FaultyStorage, after: u64) -> Result<Journal, JournalError> {
    let storage = Box::new(storage.clone());
    Journal::create_after_sized(storage, SIZES, CLUSTER, 7, OpNumber(after))
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
    let mut reuse = Reuse::default();
    for_each_seed(0..200, |seed| {
        let mut run = Run::new(seed);
        run.live(ACTIONS).unwrap();
        reuse.add(run.reuse);
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
    assert!(reuse.made >= 50, "{reuse:?}");
    assert!(reuse.cut >= 10 && reuse.gone_on >= 10, "{reuse:?}");
}

#[test]
fn what_was_acknowledged_survives_every_failing_write_and_sync() {
    type Fault = (&'static str, u64, fn(&FaultyStorage, u64));
    let faults: [Fault; 3] = [
        ("a write", 1, FaultyStorage::fail_write),
        ("a sync", 1, FaultyStorage::fail_sync),
        ("a full disk", 293, FaultyStorage::limit_growth),
    ];
    let mut reuse = Reuse::default();
    for_each_seed(1000..1025, |seed| {
        for (name, stride, fault) in faults {
            let mut random = Random(!seed);
            for place in 0.. {
                let mut run = Run::new(seed);
                fault(&run.storage, place * stride);
                let Err(error) = run.live(ACTIONS) else {
                    assert!(!run.storage.has_failed(), "{name}: nobody was told");
                    reuse.add(run.reuse);
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
    assert!(reuse.made > 0 && reuse.cut > 0, "{reuse:?}");
}

#[test]
fn a_cut_is_finished_or_never_was_whatever_else_happens_in_the_recovery() {
    let mut reuse = Reuse::default();
    for_each_seed(2000..2012, |seed| {
        let mut run = Run::new(seed);
        run.live(ACTIONS).unwrap();
        reuse.add(run.reuse);
        let mut random = Random(!seed);
        for steps in 0..=run.storage.steps() {
            let promise = run.promise_after(steps);
            if promise.cutting.is_none() {
                continue;
            }
            let states = |random: &mut Random| {
                let now = run.storage.after(steps);
                [
                    now.fork(),
                    now.crash(&mut |_| false),
                    now.crash(&mut |_| true),
                    now.crash(&mut |_| random.below(2) == 0),
                ]
            };
            for left in states(&mut random) {
                left.record();
                open(&left).unwrap();
                for steps in 0..=left.steps() {
                    run.check(&left.after(steps), promise, &mut random);
                    for_each_crash(&left.after(steps), &mut random, |again, _| {
                        run.check_again(&again, promise);
                    });
                }
            }
        }
    });
    assert!(reuse.made > 0 && reuse.cut > 0, "{reuse:?}");
}
