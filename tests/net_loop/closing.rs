//! The last words of a connection.

use crate::rig::{Rig, pattern};
use lastword::net::{Event, LoopConfig};
use std::time::Duration;

/// An hour: longer than any test, so that what it bounds does not happen by it.
const NEVER: Duration = Duration::from_secs(3600);

/// No bound but the one under test.
fn patient() -> LoopConfig {
    LoopConfig {
        closing_time_max: NEVER,
        linger_time_max: NEVER,
        linger_bytes_max: usize::MAX,
        ..LoopConfig::default()
    }
}

#[test]
fn the_last_answer_arrives_though_the_client_has_sent_more() {
    let mut rig = Rig::with(patient());
    let (mut client, id) = rig.client();
    // Bytes that nobody will read: a socket closed over them sends a reset, and the client's kernel
    // throws away what it had not read.
    rig.net.connection(id).unwrap().pause();
    client.send(&pattern(64 * 1024));
    rig.send(id, b"bye");
    rig.net.close_when_sent(id);
    assert!(rig.net.connection(id).is_none());
    assert!(rig.net.output(id).is_none());
    rig.net.flush();
    client.send(b"and another thing");
    rig.until(|_| client.has_ended());
    assert_eq!(client.read, b"bye");
    assert_eq!(rig.net.clients(), 1, "it waits for the client's end");
    client.end();
    rig.until(|rig| rig.net.clients() == 0);
    assert_eq!(
        rig.events.len(),
        1,
        "the caller hears no more of it: {:?}",
        rig.events
    );
}

#[test]
fn a_client_that_was_held_back_can_finish_what_it_sends() {
    let mut rig = Rig::with(patient());
    let (mut client, id) = rig.client();
    rig.net.connection(id).unwrap().pause();
    // It reads nothing of this long answer before it has sent all that it wants to say.
    rig.send(id, &pattern(32 * 1024 * 1024));
    // Until the kernel's buffers are full both ways, and nothing about them is news any more.
    let chunk = pattern(64 * 1024);
    let mut tries_in_vain = 0;
    while tries_in_vain < 10 {
        let count = client.try_send(&chunk).unwrap();
        tries_in_vain = if count == 0 { tries_in_vain + 1 } else { 0 };
        rig.turn();
    }
    rig.net.close_when_sent(id);
    let mut sent = 0;
    rig.until(|_| {
        sent += client.try_send(&chunk).unwrap();
        sent > 32 * 1024 * 1024
    });
}

#[test]
fn a_long_queue_is_sent_before_the_end() {
    let mut rig = Rig::with(patient());
    let (mut client, id) = rig.client();
    let sent = pattern(16 * 1024 * 1024);
    rig.send(id, &sent);
    rig.net.close_when_sent(id);
    rig.until(|_| client.has_ended());
    assert!(client.read == sent);
}

#[test]
fn after_the_clients_end_there_is_nothing_to_wait_for() {
    let mut rig = Rig::with(patient());
    let (mut client, id) = rig.client();
    client.end();
    rig.until_event(Event::InputEnded(id));
    rig.send(id, b"bye");
    rig.net.close_when_sent(id);
    rig.net.flush();
    assert_eq!(rig.net.clients(), 0);
    rig.until(|_| client.has_ended());
    assert_eq!(client.read, b"bye");
}

#[test]
fn a_clients_end_is_noticed_while_the_queue_is_sent() {
    let mut rig = Rig::with(patient());
    let (mut client, id) = rig.client();
    let sent = pattern(16 * 1024 * 1024);
    rig.send(id, &sent);
    rig.net.close_when_sent(id);
    client.end();
    rig.turn();
    rig.until(|_| client.has_ended());
    assert!(client.read == sent);
    rig.until(|rig| rig.net.clients() == 0);
}

#[test]
fn waiting_for_the_clients_end_has_an_end() {
    let mut rig = Rig::with(LoopConfig {
        linger_time_max: Duration::from_millis(10),
        ..patient()
    });
    let (mut client, id) = rig.client();
    rig.send(id, b"bye");
    rig.net.close_when_sent(id);
    rig.until(|rig| rig.net.clients() == 0);
    assert!(client.has_ended());
    assert_eq!(client.read, b"bye");
}

#[test]
fn a_client_that_sends_on_and_on_is_cut() {
    let mut rig = Rig::with(LoopConfig {
        linger_bytes_max: 1024 * 1024,
        ..patient()
    });
    let (mut client, id) = rig.client();
    rig.net.close_when_sent(id);
    let chunk = pattern(64 * 1024);
    let mut is_broken = false;
    rig.until(|_| {
        is_broken |= client.try_send(&chunk).is_err();
        is_broken
    });
    assert_eq!(rig.net.clients(), 0);
}

#[test]
fn a_client_that_does_not_read_the_last_answer_is_cut() {
    let mut rig = Rig::with(LoopConfig {
        closing_time_max: Duration::from_millis(10),
        ..patient()
    });
    let (_client, id) = rig.client();
    rig.send(id, &pattern(32 * 1024 * 1024));
    rig.net.close_when_sent(id);
    rig.until(|rig| rig.net.clients() == 0);
}

#[test]
fn closing_at_once_sends_nothing_more() {
    let mut rig = Rig::new();
    let (mut client, id) = rig.client();
    rig.send(id, b"never mind");
    rig.net.close(id);
    assert!(rig.net.connection(id).is_none());
    assert_eq!(rig.net.clients(), 0);
    rig.until(|_| client.has_ended());
    assert_eq!(client.read, b"");
    assert_eq!(
        rig.events.len(),
        1,
        "who closes knows of it: {:?}",
        rig.events
    );
}

#[test]
fn a_client_that_vanishes_while_it_is_closed_leaves_nothing() {
    let mut rig = Rig::with(patient());
    let (client, id) = rig.client();
    rig.send(id, &pattern(32 * 1024 * 1024));
    rig.net.close_when_sent(id);
    rig.turn();
    client.reset();
    rig.until(|rig| rig.net.clients() == 0);
    assert_eq!(rig.events.len(), 1, "{:?}", rig.events);
}
