//! What happened last, and was it the same as the last time?
//!
//! A run leaves a number behind that depends on everything that happened in it. Its lines are
//! written only when a run that has failed is repeated: they take longer to write than the run.

use std::cell::RefCell;
use std::collections::VecDeque;

/// How many of the last lines are kept.
const LINES_MAX: usize = 20_000;

thread_local! {
    /// The lines survive the panic that ends a failed run. `None`: they are not wanted.
    static LINES: RefCell<Option<VecDeque<String>>> = const { RefCell::new(None) };
}

/// From now on, this thread keeps the lines of its runs.
pub fn begin() {
    LINES.with_borrow_mut(|lines| *lines = Some(VecDeque::new()));
}

/// The lines that were kept; no more are.
pub fn end() -> Vec<String> {
    LINES.take().into_iter().flatten().collect()
}

/// Keeps a line, if lines are wanted.
pub fn line(now: u64, text: impl FnOnce() -> String) {
    LINES.with_borrow_mut(|lines| {
        if let Some(lines) = lines {
            if lines.len() == LINES_MAX {
                lines.pop_front();
            }
            lines.push_back(format!("{:>12.6} {}", now as f64 / 1e9, text()));
        }
    });
}

/// A number that depends on all numbers that it was given, and their order (FNV-1a by words).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fingerprint(pub u64);

impl Fingerprint {
    pub fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    pub fn add(&mut self, number: u64) {
        self.0 = (self.0 ^ number)
            .wrapping_mul(0x0000_0100_0000_01b3)
            .rotate_left(17);
    }

    pub fn of(bytes: &[u8]) -> u64 {
        let mut print = Self::new();
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            print.add(u64::from_le_bytes(word));
        }
        print.add(bytes.len() as u64);
        print.0
    }
}
