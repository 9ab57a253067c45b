//! Budgets, pauses and ends of what comes in.

use crate::rig::{Client, Rig, pattern};
use lastword::net::{Bounds, CloseReason, Event, LoopConfig};

#[test]
fn bytes_that_come_one_by_one_add_up() {
    let mut rig = Rig::new();
    let (mut client, id) = rig.client();
    for (index, byte) in b"hello".iter().enumerate() {
        client.send(&[*byte]);
        rig.until(|rig| rig.unread(id).len() == index + 1);
    }
    assert_eq!(rig.take(id), b"hello");
    assert_eq!(rig.count(Event::Input(id)), 5);
    assert_eq!(rig.take(id), b"");
}

#[test]
fn a_busy_connection_does_not_starve_another() {
    let read_budget_bytes = 1024;
    let mut rig = Rig::with(LoopConfig {
        read_budget_bytes,
        ..LoopConfig::default()
    });
    let (mut busy, busy_id) = rig.client();
    let (mut quiet, quiet_id) = rig.client();
    let sent = pattern(64 * 1024);
    busy.send(&sent);
    quiet.send(b"!");

    let mut read = Vec::new();
    rig.until(|rig| {
        let bytes = rig.take(busy_id);
        assert!(bytes.len() <= read_budget_bytes, "one budget a turn");
        read.extend(bytes);
        rig.count(Event::Input(quiet_id)) > 0
    });
    assert!(read.len() < sent.len(), "the quiet one came between");
    // No new byte comes in, and so no new event of the kernel's: the ready list does it alone.
    rig.until(|rig| {
        read.extend(rig.take(busy_id));
        read.len() == sent.len()
    });
    assert!(read == sent);
    assert!(rig.count(Event::Input(busy_id)) >= sent.len() / read_budget_bytes);
    assert_eq!(rig.count(Event::Input(quiet_id)), 1);
}

#[test]
fn a_turn_reads_no_more_than_its_budget() {
    let read_budget_bytes = 1024;
    let turn_read_budget_bytes = 4 * read_budget_bytes;
    let mut rig = Rig::with(LoopConfig {
        read_budget_bytes,
        turn_read_budget_bytes,
        ..LoopConfig::default()
    });
    let mut clients: Vec<_> = (0..16).map(|_| rig.client()).collect();
    let sent = pattern(8 * 1024);
    for (client, _) in &mut clients {
        client.send(&sent);
    }
    let mut unread_before = 0;
    rig.until(|rig| {
        let unread: usize = clients.iter().map(|(_, id)| rig.unread(*id).len()).sum();
        assert!(unread - unread_before <= turn_read_budget_bytes);
        unread_before = unread;
        unread == clients.len() * sent.len()
    });
    for (_, id) in &clients {
        assert!(rig.unread(*id) == sent);
    }
}

#[test]
fn a_resumed_connection_is_read_on_without_a_new_byte() {
    let mut rig = Rig::new();
    let (mut client, id) = rig.client();
    client.send(b"one");
    rig.until_event(Event::Input(id));
    rig.net.connection(id).unwrap().pause();
    client.send(b"two");
    // What another sends after it has come in, so its own event is behind us, too.
    let (mut other, other_id) = rig.client();
    other.send(b"!");
    rig.until_event(Event::Input(other_id));
    assert_eq!(rig.unread(id), b"one");
    assert_eq!(rig.count(Event::Input(id)), 1);

    let connection = rig.net.connection(id).unwrap();
    assert!(connection.is_paused());
    connection.resume();
    let events = rig.turn();
    assert!(
        events.contains(&Event::Input(id)),
        "in the very next turn: {events:?}"
    );
    rig.until(|rig| rig.unread(id) == b"onetwo");
}

#[test]
fn resuming_tells_of_what_was_unread_before_though_nothing_followed() {
    let mut rig = Rig::new();
    let (mut client, id) = rig.client();
    client.send(b"one");
    rig.until_event(Event::Input(id));
    rig.net.connection(id).unwrap().pause();
    rig.turn();
    assert_eq!(rig.count(Event::Input(id)), 1);
    rig.net.connection(id).unwrap().resume();
    assert_eq!(rig.turn(), [Event::Input(id)]);
    assert_eq!(rig.turn(), []);
}

#[test]
fn resuming_a_connection_that_was_not_paused_tells_nothing_anew() {
    let mut rig = Rig::new();
    let (mut client, id) = rig.client();
    client.send(b"one");
    rig.until_event(Event::Input(id));
    rig.net.connection(id).unwrap().resume();
    rig.turn();
    assert_eq!(rig.count(Event::Input(id)), 1);
}

#[test]
fn a_paused_peer_has_to_wait() {
    let mut rig = Rig::new();
    let (mut client, id) = rig.client();
    rig.net.connection(id).unwrap().pause();
    // Far more than the kernel's buffers hold.
    let all = pattern(64 * 1024 * 1024);
    let mut sent = 0;
    let mut tries_in_vain = 0;
    while tries_in_vain < 5 {
        let count = client.try_send(&all[sent..]).unwrap();
        sent += count;
        tries_in_vain = if count == 0 { tries_in_vain + 1 } else { 0 };
        rig.turn();
    }
    assert!(sent < all.len(), "nothing held the client back");
    assert_eq!(rig.count(Event::Input(id)), 0);
    rig.net.connection(id).unwrap().resume();
    let mut read = Vec::new();
    rig.until(|rig| {
        read.extend(rig.take(id));
        read.len() == sent
    });
    assert!(read == all[..sent]);
}

#[test]
fn input_that_nobody_takes_is_bounded() {
    let input_bytes_max = 4096;
    let mut rig = Rig::with(LoopConfig {
        input_bytes_max,
        ..LoopConfig::default()
    });
    let (mut client, id) = rig.client();
    let sent = pattern(64 * 1024);
    client.send(&sent);
    rig.until(|rig| rig.unread(id).len() == input_bytes_max);
    let (mut other, other_id) = rig.client();
    other.send(b"!");
    rig.until_event(Event::Input(other_id));
    assert_eq!(rig.unread(id).len(), input_bytes_max);
    // Taking makes room, and that is enough to go on.
    let mut read = Vec::new();
    rig.until(|rig| {
        assert!(rig.unread(id).len() <= input_bytes_max);
        read.extend(rig.take(id));
        read.len() == sent.len()
    });
    assert!(read == sent);
}

#[test]
fn a_connection_may_be_allowed_less_and_then_more() {
    let mut rig = Rig::new();
    let (mut client, id) = rig.client();
    let bounded = |rig: &mut Rig, bytes_max| {
        let connection = rig.net.connection(id).unwrap();
        connection.bound(Bounds {
            input_bytes_max: bytes_max,
            output_bytes_max: bytes_max,
        });
    };
    bounded(&mut rig, 1000);
    client.send(&pattern(3000));
    rig.until(|rig| rig.unread(id).len() == 1000);
    rig.turn();
    assert_eq!(rig.unread(id).len(), 1000);
    rig.send(id, &[1; 1001]);
    assert!(rig.net.is_full(id));
    bounded(&mut rig, 2000);
    assert!(!rig.net.is_full(id));
    rig.until(|rig| rig.unread(id).len() == 2000);
    // Less than is unread already: nothing is lost, and nothing more is read.
    bounded(&mut rig, 500);
    rig.turn();
    assert_eq!(rig.unread(id).len(), 2000);
    bounded(&mut rig, 4000);
    rig.until(|rig| rig.unread(id).len() == 3000);
}

#[test]
fn the_end_comes_once_and_after_the_last_input() {
    let mut rig = Rig::new();
    let (mut client, id) = rig.client();
    client.send(b"last words");
    client.end();
    rig.until_event(Event::InputEnded(id));
    let of_connection: Vec<_> = rig.events.iter().skip(1).copied().collect();
    assert_eq!(of_connection, [Event::Input(id), Event::InputEnded(id)]);
    assert_eq!(rig.take(id), b"last words");
    assert!(rig.net.connection(id).unwrap().input_ended());
    // Our half is still open.
    rig.send(id, b"understood");
    rig.until(|_| {
        client.try_read().unwrap();
        client.read == b"understood"
    });
    assert!(!client.ended);
    assert_eq!(rig.count(Event::InputEnded(id)), 1);
}

#[test]
fn the_end_is_not_read_while_paused() {
    let mut rig = Rig::new();
    let (mut client, id) = rig.client();
    rig.net.connection(id).unwrap().pause();
    client.send(b"last words");
    client.end();
    let (mut other, other_id) = rig.client();
    other.send(b"!");
    rig.until_event(Event::Input(other_id));
    assert_eq!(rig.count(Event::InputEnded(id)), 0);
    rig.net.connection(id).unwrap().resume();
    rig.until_event(Event::InputEnded(id));
    assert_eq!(rig.unread(id), b"last words");
}

#[test]
fn a_reset_ends_the_connection_after_what_was_sent_before() {
    let mut rig = Rig::new();
    let (mut client, id) = rig.client();
    client.send(b"one");
    rig.until_event(Event::Input(id));
    client.send(b"two");
    client.reset();
    let reason = CloseReason::Reset;
    rig.until_event(Event::Closed {
        connection: id,
        reason,
    });
    assert_eq!(rig.count(Event::Input(id)), 2);
    assert!(rig.net.connection(id).is_none());
    assert!(rig.net.output(id).is_none());
    assert_eq!(rig.net.clients(), 0);
}

#[test]
fn a_reset_is_noticed_on_a_paused_connection() {
    let mut rig = Rig::new();
    let (client, id) = rig.client();
    rig.net.connection(id).unwrap().pause();
    rig.turn();
    client.reset();
    let reason = CloseReason::Reset;
    rig.until_event(Event::Closed {
        connection: id,
        reason,
    });
}

#[test]
fn a_reset_is_noticed_after_the_end_of_input() {
    let mut rig = Rig::new();
    let (mut client, id) = rig.client();
    client.end();
    rig.until_event(Event::InputEnded(id));
    client.reset();
    // The reset is the answer to what is sent to a socket that is gone.
    let reason = CloseReason::Reset;
    rig.until(|rig| {
        if let Some(output) = rig.net.output(id) {
            output.push(b'.');
        }
        rig.count(Event::Closed {
            connection: id,
            reason,
        }) == 1
    });
    assert_eq!(rig.count(Event::InputEnded(id)), 1);
}

#[test]
fn an_id_never_names_a_later_connection() {
    let mut rig = Rig::new();
    let (mut first, first_id) = rig.client();
    let (mut second, second_id) = rig.client();
    first.send(b"1");
    second.send(b"2");
    // The first's handler closes the second, whose event may be there already, or still to come.
    rig.until_event(Event::Input(first_id));
    rig.net.close(second_id);
    assert!(rig.net.connection(second_id).is_none());
    let third = Client::connect(rig.address);
    let mut third_id = rig.opened(&third);
    // The place comes again one turn later at the earliest.
    let index =
        |id: lastword::net::ConnectionId| id.to_string().split('.').next().map(String::from);
    let mut clients = vec![third];
    while index(third_id) != index(second_id) {
        let (client, id) = rig.client();
        clients.push(client);
        third_id = id;
        assert!(clients.len() < 10, "the place does not come again");
    }
    assert_ne!(third_id, second_id);
    assert!(rig.net.output(second_id).is_none());
    rig.net.close(second_id);
    assert!(rig.net.connection(third_id).is_some());
}
