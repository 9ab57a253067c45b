//! What came of it?

use std::time::Duration;

use hdrhistogram::Histogram;

/// Longest time that is told from longer ones.
const LONGEST_US: u64 = 100_000_000;

/// How long things took, in microseconds to three digits.
#[derive(Clone, Debug)]
pub struct Latency(Histogram<u64>);

impl Default for Latency {
    fn default() -> Self {
        Self::new()
    }
}

impl Latency {
    /// Nothing so far.
    pub fn new() -> Self {
        Self(Histogram::new_with_bounds(1, LONGEST_US, 3).expect("bounds that make sense"))
    }

    /// Something took so long.
    pub fn note(&mut self, time: Duration) {
        let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        self.0.saturating_record(micros);
    }

    /// Everything that `other` has noted, too.
    pub fn add(&mut self, other: &Self) {
        self.0.add(&other.0).expect("the same bounds");
    }

    /// So many of a hundred took no longer than this.
    pub fn percentile(&self, percent: f64) -> Duration {
        Duration::from_micros(self.0.value_at_quantile(percent / 100.0))
    }

    /// The longest time.
    pub fn max(&self) -> Duration {
        Duration::from_micros(self.0.max())
    }

    /// The mean.
    pub fn mean(&self) -> Duration {
        Duration::from_secs_f64(self.0.mean() / 1e6)
    }
}

/// What came of one second.
#[derive(Clone, Copy, Debug)]
pub struct Second {
    /// Which one, from 0.
    pub at: usize,
    /// Messages that were acknowledged in it.
    pub acknowledged: u64,
    /// How long half of them took at most.
    pub p50: Duration,
    /// How long all but one in a hundred took at most.
    pub p99: Duration,
    /// How long the slowest took.
    pub max: Duration,
}

impl Second {
    pub(super) fn new(at: usize, acknowledged: u64, latency: &Latency) -> Self {
        Self {
            at,
            acknowledged,
            p50: latency.percentile(50.0),
            p99: latency.percentile(99.0),
            max: latency.max(),
        }
    }
}

/// What came of a load.
#[derive(Clone, Debug)]
pub struct Figures {
    /// How long it counted.
    pub window: Duration,
    /// Messages that were acknowledged while it counted.
    pub acknowledged: u64,
    /// All that were acknowledged, warm-up and end included: each of them was looked up.
    pub checked: u64,
    /// Messages that were delivered to those who listen, each of which has got all of them in order.
    pub delivered: u64,
    /// How long each took.
    pub latency: Latency,
    /// Second by second.
    pub timeline: Vec<Second>,
}

impl Figures {
    /// Messages that were acknowledged in a second, on average.
    pub fn each_second(&self) -> f64 {
        self.acknowledged as f64 / self.window.as_secs_f64()
    }
}
