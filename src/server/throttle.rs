//! Who has to wait? Whoever guesses passwords, and whoever asks too often.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::Hash;
use std::time::Duration;

use crate::limits::{
    LOGIN_FAILURES_FREE, LOGIN_FAILURES_REMEMBERED_MAX, LOGIN_WAIT_FIRST, LOGIN_WAIT_MAX,
};
use crate::types::Time;

/// Counts wrong passwords of something (an account's name, an address), and says how long it has
/// to wait: not at all for the first [`LOGIN_FAILURES_FREE`], then twice as long after each. What
/// has been quiet for twice the longest wait is forgiven.
#[derive(Debug)]
pub struct Failures<K> {
    /// At most [`LOGIN_FAILURES_REMEMBERED_MAX`].
    by_key: HashMap<K, Record>,
}

#[derive(Clone, Copy, Debug)]
struct Record {
    count: u32,
    last: Time,
}

impl Record {
    fn wait(self) -> Duration {
        match self.count.checked_sub(LOGIN_FAILURES_FREE) {
            None => Duration::ZERO,
            Some(further) => LOGIN_WAIT_FIRST
                .saturating_mul(1 << further.min(16))
                .min(LOGIN_WAIT_MAX),
        }
    }

    fn forgiven(self, now: Time) -> bool {
        now.since(self.last) > 2 * LOGIN_WAIT_MAX
    }
}

impl<K: Eq + Hash + Clone> Failures<K> {
    /// Nobody failed yet.
    pub fn new() -> Self {
        Self {
            by_key: HashMap::new(),
        }
    }

    /// How long `key` has to wait from now on; zero if it may try.
    pub fn wait(&self, key: &K, now: Time) -> Duration {
        self.by_key.get(key).map_or(Duration::ZERO, |record| {
            record.wait().saturating_sub(now.since(record.last))
        })
    }

    /// `key` gave a wrong password.
    pub fn failed(&mut self, key: K, now: Time) {
        if self.by_key.len() >= LOGIN_FAILURES_REMEMBERED_MAX {
            self.make_room(now);
        }
        match self.by_key.entry(key) {
            Entry::Occupied(mut entry) => {
                let record = entry.get_mut();
                let count = if record.forgiven(now) {
                    1
                } else {
                    record.count.saturating_add(1)
                };
                *record = Record { count, last: now };
            }
            Entry::Vacant(entry) => {
                entry.insert(Record {
                    count: 1,
                    last: now,
                });
            }
        }
    }

    /// `key` gave the right password.
    pub fn succeeded(&mut self, key: &K) {
        self.by_key.remove(key);
    }

    /// Forgets those that are forgiven and, if that is not enough, the older half: an attacker
    /// with so many addresses is not held up by counting them.
    fn make_room(&mut self, now: Time) {
        self.by_key.retain(|_, record| !record.forgiven(now));
        if self.by_key.len() >= LOGIN_FAILURES_REMEMBERED_MAX {
            let mut times: Vec<Time> = self.by_key.values().map(|r| r.last).collect();
            let middle = times.len() / 2;
            let (_, median, _) = times.select_nth_unstable(middle);
            let median = *median;
            self.by_key.retain(|_, record| record.last > median);
        }
    }
}

/// A connection's allowance of requests: it fills at `--max-rate` a second, up to one second's
/// worth.
#[derive(Clone, Copy, Debug)]
pub struct Allowance {
    /// Thousandths of a request.
    left_millis: u64,
    filled: Time,
}

impl Allowance {
    /// A full one.
    pub fn full(rate: u32, now: Time) -> Self {
        Self {
            left_millis: u64::from(rate) * 1000,
            filled: now,
        }
    }

    /// Takes one request out of it, if there is one. A `rate` of 0 is no limit.
    pub fn take(&mut self, rate: u32, now: Time) -> bool {
        if rate == 0 {
            return true;
        }
        let elapsed_ms = u64::try_from(now.since(self.filled).as_millis()).unwrap_or(u64::MAX);
        let filled = elapsed_ms.saturating_mul(u64::from(rate));
        self.left_millis = (self.left_millis.saturating_add(filled)).min(u64::from(rate) * 1000);
        // What is left of a millisecond counts next time: whoever asks often is not to lose it.
        self.filled = self.filled + Duration::from_millis(elapsed_ms);
        match self.left_millis.checked_sub(1000) {
            Some(left) => {
                self.left_millis = left;
                true
            }
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Time {
        Time(seconds * 1_000_000_000)
    }

    #[test]
    fn the_first_failures_are_free_and_then_each_wait_is_longer() {
        let mut failures = Failures::new();
        for _ in 0..LOGIN_FAILURES_FREE - 1 {
            failures.failed("alice", at(1));
            assert_eq!(failures.wait(&"alice", at(1)), Duration::ZERO);
        }
        let mut waits = Vec::new();
        for _ in 0..8 {
            failures.failed("alice", at(1));
            waits.push(failures.wait(&"alice", at(1)).as_secs());
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(failures.wait(&"alice", at(31)).as_secs(), 30);
        assert_eq!(failures.wait(&"bob", at(1)), Duration::ZERO);
        failures.succeeded(&"alice");
        assert_eq!(failures.wait(&"alice", at(1)), Duration::ZERO);
    }

    #[test]
    fn long_quiet_is_forgiven() {
        let mut failures = Failures::new();
        for _ in 0..20 {
            failures.failed(1, at(1));
        }
        failures.failed(1, at(200));
        assert_eq!(failures.wait(&1, at(200)), Duration::ZERO);
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut failures = Failures::new();
        for key in 0..2 * LOGIN_FAILURES_REMEMBERED_MAX as u64 {
            failures.failed(key, Time(key));
        }
        assert!(failures.by_key.len() <= LOGIN_FAILURES_REMEMBERED_MAX);
        let newest = 2 * LOGIN_FAILURES_REMEMBERED_MAX as u64 - 1;
        assert!(failures.by_key.contains_key(&newest));
    }

    #[test]
    fn an_allowance_gives_its_rate() {
        let mut allowance = Allowance::full(3, at(1));
        let taken = (0..9).filter(|_| allowance.take(3, at(1))).count();
        assert_eq!(taken, 3);
        assert!(allowance.take(3, Time(at(1).0 + 400_000_000)));
        assert!(!allowance.take(3, Time(at(1).0 + 400_000_000)));
        assert!(Allowance::full(0, at(1)).take(0, at(1)));
    }

    #[test]
    fn an_allowance_loses_no_parts_of_milliseconds() {
        let mut allowance = Allowance::full(100, at(1));
        let asked = (0..20_000).map(|n| Time(at(1).0 + n * 1_900_000));
        let taken = asked.filter(|&now| allowance.take(100, now)).count();
        assert_eq!(taken, 3899, "100 at once and 100 a second");
    }
}
