//! What do several servers do together when processes, disks and cables fail? Every test starts
//! real processes, ends them by their ids at bad moments, and compares what clients were told with
//! what the servers say afterwards. Nothing is waited for by the clock.
//!
//! The same in more orders, and for longer, a few minutes:
//! `cargo test --release --test cluster -- --ignored --skip measure::`. What prints figures, best
//! on a machine that does nothing else:
//! `cargo test --release --test cluster measure:: -- --ignored --nocapture --test-threads 1`.

// What is common with the tests of a single server, not all of which is needed here.
#[allow(dead_code)]
#[path = "../end_to_end/common/mod.rs"]
mod common;
#[allow(dead_code)]
#[path = "../end_to_end/load/mod.rs"]
mod load;

mod rig;

mod all_down;
mod bad_input;
mod by_script;
mod comings_and_goings;
mod damaged_stores;
mod forcing;
mod forming;
mod kills;
mod learners;
mod measure;
mod old_copies;
mod partitions;
mod pauses;
mod people;
mod screens;
mod strangers;
mod verdict;
mod writes;
