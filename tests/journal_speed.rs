//! How quick is the journal on this machine's disk? Figures for people, nothing asserted:
//! `cargo test --release --test journal_speed -- --ignored --nocapture`.

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use lastword::journal::storage::{DiskStorage, Storage};
use lastword::journal::{Cursor, Journal};
use lastword::limits::{PREPARE_BYTES_MAX, SEGMENT_BYTES};
use lastword::types::{ClusterId, OpNumber};

#[test]
#[ignore = "prints figures"]
fn figures() {
    let directory = tempfile::tempdir().unwrap();
    let storage = || -> Box<dyn Storage> { Box::new(DiskStorage::open(directory.path()).unwrap()) };
    let mut journal = Journal::create(storage(), ClusterId(1), 1).unwrap();
    let prepare = [7; 150];
    for batch in [1, 64, 1024] {
        let mut microseconds = Histogram::<u64>::new(3).unwrap();
        let begin = Instant::now();
        for _ in 0..200 {
            for _ in 0..batch {
                journal.append(journal.head().next(), &prepare);
            }
            let sync = Instant::now();
            journal.sync().unwrap();
            microseconds
                .record(sync.elapsed().as_micros() as u64)
                .unwrap();
        }
        println!(
            "{batch:>5} ops a sync: {:>8.0} ops/s, a sync takes p50 {} us, p99 {} us",
            f64::from(200 * batch) / begin.elapsed().as_secs_f64(),
            microseconds.value_at_quantile(0.5),
            microseconds.value_at_quantile(0.99),
        );
    }
    // Just short of a full segment: what opening has to read at most.
    let record_bytes = 32 + 152;
    let left = SEGMENT_BYTES - 4096 - journal.head().0 * record_bytes;
    for _ in 0..left / record_bytes {
        journal.append(journal.head().next(), &prepare);
    }
    journal.sync().unwrap();
    drop(journal);
    let begin = Instant::now();
    let (journal, recovery) = Journal::open(storage()).unwrap();
    println!("opening {} ops: {:?}", recovery.head, begin.elapsed());
    let begin = Instant::now();
    let mut bytes = 0;
    let mut visit = |_, body: &[u8]| {
        bytes += body.len();
        ControlFlow::Continue(())
    };
    journal.read(OpNumber::ZERO, &mut visit).unwrap();
    println!("reading {bytes} bytes of them: {:?}", begin.elapsed());
    let megabytes = bytes as f64 / 1e6;
    let mut slowest = Duration::ZERO;
    let (mut calls, mut shown) = (0, 0);
    let mut cursor = Cursor::after(OpNumber::ZERO);
    let all = Instant::now();
    while cursor.next_op() <= journal.synced() {
        let begin = Instant::now();
        let mut visit = |_, body: &[u8]| shown += body.len();
        journal
            .read_next(&mut cursor, PREPARE_BYTES_MAX, &mut visit)
            .unwrap();
        slowest = slowest.max(begin.elapsed());
        calls += 1;
    }
    assert_eq!(shown, bytes);
    println!(
        "reading them in {calls} pieces: {:.0} MB/s, the slowest took {slowest:?}",
        megabytes / all.elapsed().as_secs_f64(),
    );
    for before_the_end in [1000, 1] {
        let after = OpNumber(journal.synced().0 - before_the_end);
        let mut cursor = Cursor::after(after);
        let begin = Instant::now();
        journal.read_next(&mut cursor, 1, &mut |_, _| {}).unwrap();
        let found = begin.elapsed();
        let begin = Instant::now();
        journal
            .read_next(&mut cursor, PREPARE_BYTES_MAX, &mut |_, _| {})
            .unwrap();
        println!(
            "finding op {}: {found:?}, then reading what comes after it: {:?}",
            after.next(),
            begin.elapsed()
        );
    }
    let mut journal = journal;
    for back in [1, 100_000] {
        let after = OpNumber(journal.head().0 - back);
        let begin = Instant::now();
        journal.truncate(after).unwrap();
        println!("cutting off {back} ops: {:?}", begin.elapsed());
    }
}
