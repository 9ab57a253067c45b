//! What counts, and in which second?

use std::time::Duration;

use super::figures::{Figures, Latency, Second};
use crate::types::Time;

/// The time that counts, second by second; the last of them may be shorter.
pub(super) struct Window {
    begin: Time,
    end: Time,
    /// Requests are due at fixed times: each counts that was due in the window, whenever its answer comes.
    /// Otherwise those count whose answer comes in it.
    by_due: bool,
    seconds: Vec<(u64, Latency)>,
    /// Seconds that were told of.
    told: usize,
}

impl Window {
    pub fn new(begin: Time, length: Duration, by_due: bool) -> Self {
        let seconds = length.as_nanos().div_ceil(1_000_000_000).max(1) as usize;
        Self {
            begin,
            end: begin + length,
            by_due,
            seconds: vec![(0, Latency::new()); seconds],
            told: 0,
        }
    }

    pub fn end(&self) -> Time {
        self.end
    }

    /// An answer came now to a request that was due then. How long one took whose answer comes behind the
    /// end counts with the last second: it is among the slowest, and must not be left out.
    pub fn note(&mut self, due: Time, now: Time) {
        let decides = if self.by_due { due } else { now };
        if decides < self.begin {
            return;
        }
        let at = now.since(self.begin).as_secs() as usize;
        let at = at.min(self.seconds.len() - 1);
        let (count, latency) = &mut self.seconds[at];
        latency.note(now.since(due));
        *count += u64::from(decides < self.end);
    }

    /// Tells of the seconds that have passed by now.
    pub fn pass(&mut self, now: Time, tell: &mut dyn FnMut(&Second)) {
        let passed = now.since(self.begin).as_secs() as usize;
        // The last one may still get something.
        while self.told < passed.min(self.seconds.len() - 1) {
            tell(&self.second(self.told));
            self.told += 1;
        }
    }

    /// What came of it; `checked` and `delivered` as in [`Figures`].
    pub fn finish(
        mut self,
        checked: u64,
        delivered: u64,
        tell: &mut dyn FnMut(&Second),
    ) -> Figures {
        while self.told < self.seconds.len() {
            tell(&self.second(self.told));
            self.told += 1;
        }
        let mut latency = Latency::new();
        for (_, of_second) in &self.seconds {
            latency.add(of_second);
        }
        let timeline: Vec<Second> = (0..self.seconds.len()).map(|at| self.second(at)).collect();
        Figures {
            window: Duration::from_nanos(self.end.0 - self.begin.0),
            acknowledged: timeline.iter().map(|second| second.acknowledged).sum(),
            checked,
            delivered,
            latency,
            timeline,
        }
    }

    fn second(&self, at: usize) -> Second {
        let (count, latency) = &self.seconds[at];
        Second::new(at, *count, latency)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(milliseconds: u64) -> Time {
        Time(milliseconds * 1_000_000)
    }

    fn window(by_due: bool) -> Window {
        Window::new(at(1000), Duration::from_millis(2500), by_due)
    }

    #[test]
    fn at_a_rate_what_was_due_counts_however_late_it_is_answered() {
        let mut window = window(true);
        window.note(at(999), at(1001));
        window.note(at(1000), at(1001));
        window.note(at(3499), at(9000));
        let figures = window.finish(0, 0, &mut |_| {});
        assert_eq!(figures.acknowledged, 2);
        assert!(figures.latency.max() >= Duration::from_millis(5500));
    }

    #[test]
    fn in_a_closed_loop_a_late_answer_is_slow_but_does_not_count() {
        let mut window = window(false);
        window.note(at(500), at(1000));
        window.note(at(3000), at(9000));
        let figures = window.finish(0, 0, &mut |_| {});
        assert_eq!(figures.acknowledged, 1);
        assert!(figures.latency.max() >= Duration::from_millis(5995));
    }

    #[test]
    fn every_second_is_told_of_once_also_the_empty_ones() {
        let mut window = window(false);
        let mut told = Vec::new();
        window.note(at(1500), at(1600));
        window.pass(at(1900), &mut |second| told.push(second.at));
        assert_eq!(told, [0; 0]);
        window.pass(at(3100), &mut |second| told.push(second.at));
        assert_eq!(told, [0, 1]);
        let figures = window.finish(0, 0, &mut |second| told.push(second.at));
        assert_eq!(told, [0, 1, 2]);
        let counts: Vec<u64> = figures.timeline.iter().map(|it| it.acknowledged).collect();
        assert_eq!(counts, [1, 0, 0]);
    }
}
