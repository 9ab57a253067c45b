//! Timers, and other threads.

use crate::rig::{Rig, pattern};
use lastword::net::{Event, EventLoop, LoopConfig, clock};
use lastword::types::Time;
use std::time::Duration;

#[test]
fn timers_come_in_their_order_and_cancelled_ones_do_not() {
    let mut rig = Rig::new();
    let now = clock::now();
    rig.net.set_timer(now + Duration::from_millis(20), "third");
    rig.net.set_timer(now + Duration::from_millis(10), "second");
    let cancelled = rig
        .net
        .set_timer(now + Duration::from_millis(10), "cancelled");
    rig.net.set_timer(Time(0), "first");
    assert!(rig.net.cancel_timer(cancelled));
    assert!(!rig.net.cancel_timer(cancelled));
    rig.until_event(Event::Timer("third"));
    let expected = ["first", "second", "third"].map(Event::Timer);
    assert_eq!(rig.events, expected);
}

#[test]
fn a_timer_ends_the_wait_and_is_not_early() {
    let mut net = EventLoop::new(LoopConfig::default()).unwrap();
    let at = clock::now() + Duration::from_millis(15);
    net.set_timer(at, "due");
    let mut events = Vec::new();
    let mut turns = 0;
    while events.is_empty() {
        net.poll(&mut events, None).unwrap();
        turns += 1;
    }
    assert!(clock::now() >= at);
    assert!(
        turns <= 3,
        "waiting for a timer must not spin: {turns} turns"
    );
}

#[test]
fn a_waker_ends_the_wait_of_another_thread() {
    let mut net = EventLoop::<()>::new(LoopConfig::default()).unwrap();
    let waker = net.waker();
    let worker = std::thread::spawn(move || waker.wake());
    let mut events = Vec::new();
    while events.is_empty() {
        net.poll(&mut events, None).unwrap();
    }
    assert_eq!(events, [Event::Woken]);
    worker.join().unwrap();
}

#[test]
fn waking_before_the_wait_counts() {
    let mut net = EventLoop::<()>::new(LoopConfig::default()).unwrap();
    net.waker().wake();
    let mut events = Vec::new();
    while events.is_empty() {
        net.poll(&mut events, None).unwrap();
    }
    assert_eq!(events, [Event::Woken]);
}

#[test]
fn what_is_left_from_the_last_turn_is_not_waited_for() {
    let mut rig = Rig::with(LoopConfig {
        read_budget_bytes: 1024,
        ..LoopConfig::default()
    });
    let (mut client, id) = rig.client();
    client.send(&pattern(3 * 1024));
    rig.until_event(Event::Input(id));
    // Nothing new comes in: a loop that waited would wait for this.
    let late = clock::now() + Duration::from_secs(10);
    rig.net.set_timer(late, "late");
    let mut events = Vec::new();
    rig.net.poll(&mut events, None).unwrap();
    assert_eq!(events, [Event::Input(id)]);
    assert!(clock::now() < late);
}
