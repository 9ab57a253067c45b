//! Who is let in.

use crate::rig::{Client, Rig, TAG};
use lastword::net::{CloseReason, Event, EventLoop, Excess, Listener, ListenerTag, LoopConfig};
use std::io::ErrorKind;
use std::net::{Ipv4Addr, TcpStream};

#[test]
fn a_connection_is_told_of_with_its_peer_and_its_listener() {
    let mut rig = Rig::new();
    let (client, id) = rig.client();
    let peer = client.stream.local_addr().unwrap();
    let opened = Event::Opened {
        connection: id,
        listener: TAG,
        peer,
        excess: None,
    };
    assert_eq!(rig.events, [opened]);
    let connection = rig.net.connection(id).unwrap();
    assert_eq!(
        (connection.peer(), connection.listener()),
        (peer, Some(TAG))
    );
}

#[test]
fn a_turn_accepts_no_more_than_its_budget() {
    let accept_budget = 2;
    let mut rig = Rig::with(LoopConfig {
        accept_budget,
        ..LoopConfig::default()
    });
    let clients: Vec<_> = (0..7).map(|_| Client::connect(rig.address)).collect();
    // No new client comes: the ready list does it alone.
    rig.until(|rig| {
        assert!(rig.events.len() <= accept_budget * rig.turns);
        rig.events.len() == clients.len()
    });
}

#[test]
fn whoever_exceeds_a_cap_is_marked_and_few_of_them_are_kept() {
    let mut rig = Rig::with(LoopConfig {
        clients_max: 1,
        refusals_max: 1,
        ..LoopConfig::default()
    });
    let (_first, first_id) = rig.client();
    let (mut second, second_id) = rig.client();
    let excess_of = |rig: &Rig, index: usize| match rig.events[index] {
        Event::Opened { excess, .. } => excess,
        other => panic!("{other:?}"),
    };
    assert_eq!(excess_of(&rig, 0), None);
    assert_eq!(excess_of(&rig, 1), Some(Excess::Clients));
    assert_eq!(rig.net.clients(), 1);

    // The third takes the place of the second.
    let (mut third, third_id) = rig.client();
    rig.until(|_| second.has_ended());
    let cut = Event::Closed {
        connection: second_id,
        reason: CloseReason::Crowded,
    };
    assert_eq!(rig.events[2], cut);
    assert_eq!(excess_of(&rig, 3), Some(Excess::Clients));

    // It can be answered, and who is being closed is cut without a word to anybody.
    rig.send(third_id, b"ERR busy\n");
    rig.net.close_when_sent(third_id);
    rig.until(|_| third.has_ended());
    assert_eq!(third.read, b"ERR busy\n");
    let (_fourth, _) = rig.client();
    assert_eq!(rig.events.len(), 5);
    assert_eq!(excess_of(&rig, 4), Some(Excess::Clients));
    assert_eq!(rig.net.clients(), 1);

    rig.net.close(first_id);
    rig.client();
    assert_eq!(excess_of(&rig, rig.events.len() - 1), None);
}

#[test]
fn a_stopped_listener_refuses_and_its_connections_stay() {
    let mut net = EventLoop::<()>::new(LoopConfig::default()).unwrap();
    let mut listen = |tag| {
        let listener = Listener::bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        let address = listener.local_addr();
        (address, net.listen(listener, ListenerTag(tag)).unwrap())
    };
    let (service, service_id) = listen(1);
    let (member, _) = listen(2);
    let _client = TcpStream::connect(service).unwrap();
    let mut events = Vec::new();
    while events.is_empty() {
        net.poll(&mut events, None).unwrap();
    }
    let Event::Opened {
        connection,
        listener,
        ..
    } = events[0]
    else {
        panic!("{events:?}");
    };
    assert_eq!(listener, ListenerTag(1));
    net.stop_listening(service_id);
    let error = TcpStream::connect(service).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    // The address is free at once.
    Listener::bind(service).unwrap();
    assert!(net.connection(connection).is_some());

    let _other = TcpStream::connect(member).unwrap();
    while events.len() < 2 {
        net.poll(&mut events, None).unwrap();
    }
    assert!(matches!(
        events[1],
        Event::Opened {
            listener: ListenerTag(2),
            ..
        }
    ));
}
