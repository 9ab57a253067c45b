//! What time is it?
//!
//! Two clocks that must not be mixed up: [`now`] is what deadlines are measured by, and
//! [`wall_clock`] is what people see beside a message.

use crate::types::{Time, Timestamp};
use rustix::time::{ClockId, Timespec, clock_gettime};

/// Now, on CLOCK_BOOTTIME: it never steps, and goes on while the machine is suspended.
/// (CLOCK_MONOTONIC stands still then, and a server that slept through an election would take
/// itself for fresh.)
pub fn now() -> Time {
    let time = clock_gettime(ClockId::Boottime);
    Time(seconds(time) * 1_000_000_000 + fraction_ns(time))
}

/// The wall clock, in milliseconds since 1970. It may step in either direction. A clock that was
/// set before 1970 reads as 1970.
pub fn wall_clock() -> Timestamp {
    let time = clock_gettime(ClockId::Realtime);
    Timestamp(seconds(time) * 1000 + fraction_ns(time) / 1_000_000)
}

fn seconds(time: Timespec) -> u64 {
    u64::try_from(time.tv_sec).unwrap_or(0)
}

fn fraction_ns(time: Timespec) -> u64 {
    u64::try_from(time.tv_nsec).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{SystemTime, UNIX_EPOCH};

    #[test]
    fn boot_time_never_goes_back() {
        let mut last = now();
        for _ in 0..1000 {
            let next = now();
            assert!(next >= last);
            last = next;
        }
        assert!(last > Time(0));
    }

    #[test]
    fn the_wall_clock_is_the_systems() {
        let milliseconds = || {
            let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
            u64::try_from(since_1970.as_millis()).unwrap()
        };
        let before = milliseconds();
        let Timestamp(wall) = wall_clock();
        assert!((before..=milliseconds()).contains(&wall));
    }
}
