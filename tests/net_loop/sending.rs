//! Partial writes and full queues.

use crate::rig::{Client, Rig, pattern};
use lastword::net::{CloseReason, ConnectionId, Event, LoopConfig};
use std::time::Duration;

/// An hour: longer than any test, so that what it bounds does not happen by it.
const NEVER: Duration = Duration::from_secs(3600);

/// Sends to a client that does not read, until its queue is full though it was flushed; says how
/// much that took.
fn fill(rig: &mut Rig, id: ConnectionId) -> usize {
    let chunk = pattern(251 * 256);
    let mut sent = 0;
    while !rig.net.is_full(id) {
        rig.send(id, &chunk);
        sent += chunk.len();
        rig.net.flush();
        assert!(sent < 256 * 1024 * 1024, "the queue does not fill");
    }
    sent
}

/// Turns until the client has read `length` bytes of the pattern, and nothing else.
fn read_pattern(rig: &mut Rig, client: &mut Client, length: usize) {
    rig.until(|_| {
        client.try_read().unwrap();
        client.read.len() >= length
    });
    assert!(client.read == pattern(length));
}

#[test]
fn what_the_kernel_does_not_take_at_once_follows_in_order() {
    let mut rig = Rig::new();
    let (mut client, id) = rig.client();
    let sent = pattern(32 * 1024 * 1024);
    rig.send(id, &sent);
    rig.net.flush();
    assert!(rig.net.queued_bytes(id) > 0, "the kernel took all of it");
    read_pattern(&mut rig, &mut client, sent.len());
    assert_eq!(rig.net.queued_bytes(id), 0);
}

#[test]
fn what_is_sent_in_one_turn_goes_out_at_its_end() {
    let mut rig = Rig::new();
    let (mut client, id) = rig.client();
    rig.send(id, b"one ");
    rig.send(id, b"two");
    assert_eq!(rig.net.queued_bytes(id), 7);
    rig.net.flush();
    assert_eq!(rig.net.queued_bytes(id), 0);
    rig.until(|_| {
        client.try_read().unwrap();
        client.read == b"one two"
    });
}

#[test]
fn what_was_not_flushed_is_flushed_by_the_next_poll() {
    let mut rig = Rig::new();
    let (_client, id) = rig.client();
    rig.send(id, b"forgotten");
    rig.net.poll(&mut Vec::new(), Some(Duration::ZERO)).unwrap();
    assert_eq!(rig.net.queued_bytes(id), 0);
}

#[test]
fn a_full_queue_says_when_it_has_drained() {
    let mut rig = Rig::new();
    let (mut client, id) = rig.client();
    let sent = fill(&mut rig, id);
    rig.turn();
    assert!(rig.net.is_full(id));
    assert_eq!(rig.count(Event::Drained(id)), 0);
    let mark = LoopConfig::default().send_queue_bytes_max;
    rig.until(|rig| {
        client.try_read().unwrap();
        let is_drained = rig.count(Event::Drained(id)) > 0;
        assert!(!is_drained || rig.net.queued_bytes(id) <= mark / 2);
        is_drained
    });
    read_pattern(&mut rig, &mut client, sent);
    rig.turn();
    assert_eq!(rig.count(Event::Drained(id)), 1);
}

#[test]
fn a_queue_that_was_full_before_the_flush_says_so_too() {
    let mut rig = Rig::with(LoopConfig {
        send_queue_bytes_max: 1000,
        ..LoopConfig::default()
    });
    let (_client, id) = rig.client();
    rig.send(id, &[1; 1001]);
    // The server sees this, and stops until it hears of room.
    assert!(rig.net.is_full(id));
    rig.until_event(Event::Drained(id));
    // Once for each time that it was full.
    rig.send(id, &[1; 10]);
    rig.turn();
    rig.turn();
    assert_eq!(rig.count(Event::Drained(id)), 1);
    rig.send(id, &[1; 1001]);
    rig.until(|rig| rig.count(Event::Drained(id)) == 2);
}

#[test]
fn a_client_that_never_reads_is_closed() {
    let mut rig = Rig::with(LoopConfig {
        send_queue_full_max: Duration::from_millis(30),
        ..LoopConfig::default()
    });
    let (_client, id) = rig.client();
    fill(&mut rig, id);
    let reason = CloseReason::TooSlow;
    rig.until_event(Event::Closed {
        connection: id,
        reason,
    });
    assert!(rig.net.output(id).is_none());
    assert_eq!(rig.net.queued_bytes(id), 0);
    assert_eq!(rig.net.clients(), 0);
}

#[test]
fn a_client_that_is_gone_is_told_of_once_when_written_to() {
    let mut rig = Rig::with(LoopConfig {
        send_queue_full_max: NEVER,
        ..LoopConfig::default()
    });
    let (client, id) = rig.client();
    fill(&mut rig, id);
    client.reset();
    let closed = Event::Closed {
        connection: id,
        reason: CloseReason::Reset,
    };
    rig.until_event(closed);
    rig.turn();
    assert_eq!(rig.count(closed), 1);
}
