//! Signals come through the loop. A test binary of its own, since they concern the whole process.

use lastword::net::{Event, EventLoop, LoopConfig, Signal};
use rustix::process::{self, getpid, kill_process};

#[test]
fn signals_are_events_and_do_not_end_the_process() {
    let mut net = EventLoop::<()>::new(LoopConfig::default()).unwrap();
    net.catch_signals().unwrap();
    let signals = [
        (process::Signal::INT, Signal::Interrupt),
        (process::Signal::TERM, Signal::Terminate),
        (process::Signal::TERM, Signal::Terminate),
    ];
    for (number, signal) in signals {
        kill_process(getpid(), number).unwrap();
        let mut events = Vec::new();
        while events.is_empty() {
            net.poll(&mut events, None).unwrap();
        }
        assert_eq!(events, [Event::Signal(signal)]);
    }
}
