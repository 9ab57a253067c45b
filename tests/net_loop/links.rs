//! What a link to another server is that a client is not, and how it ends.

use crate::rig::{Client, Rig, pattern};
use lastword::net::{CloseReason, ConnectionId, Event, Excess, LoopConfig};
use rustix::io::Errno;
use socket2::SockRef;
use std::io::Write;
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::time::Duration;

/// A connection that the rig has asked for, and its other end.
fn dialled(rig: &mut Rig) -> (TcpStream, ConnectionId) {
    let peer = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = peer.local_addr().unwrap();
    let connection = rig.net.connect(address, Duration::from_secs(60)).unwrap();
    rig.until_event(Event::Connected { connection });
    (peer.accept().unwrap().0, connection)
}

fn reset(stream: TcpStream) {
    let socket = SockRef::from(&stream);
    socket.set_linger(Some(Duration::ZERO)).unwrap();
}

fn was_reset(connection: ConnectionId) -> Event<&'static str> {
    Event::Closed {
        connection,
        reason: CloseReason::Reset,
    }
}

#[test]
fn an_end_and_a_reset_are_told_apart_on_both_sides() {
    let mut rig = Rig::new();
    for is_dialled in [false, true] {
        let pair = |rig: &mut Rig| {
            if is_dialled {
                return dialled(rig);
            }
            let (client, id) = rig.client();
            client.stream.set_nonblocking(false).unwrap();
            (client.stream, id)
        };
        let (stream, ended) = pair(&mut rig);
        stream.shutdown(Shutdown::Write).unwrap();
        rig.until_event(Event::InputEnded(ended));
        assert!(rig.net.connection(ended).is_some());

        let (stream, id) = pair(&mut rig);
        reset(stream);
        rig.until_event(was_reset(id));
        assert_eq!(rig.count(Event::InputEnded(id)), 0);

        // As it shows when somebody writes, and nobody reads.
        let (stream, id) = pair(&mut rig);
        rig.net.connection(id).unwrap().pause();
        reset(stream);
        rig.send(id, b"anybody there?");
        rig.net.flush();
        rig.until_event(was_reset(id));

        // After the end, too.
        let (stream, id) = pair(&mut rig);
        stream.shutdown(Shutdown::Write).unwrap();
        rig.until_event(Event::InputEnded(id));
        reset(stream);
        rig.until_event(was_reset(id));
    }
}

#[test]
fn a_link_leaves_its_place_to_a_client() {
    let mut rig = Rig::with(LoopConfig {
        clients_max: 1,
        ..LoopConfig::default()
    });
    let (_link, link) = rig.client();
    assert_eq!(rig.net.clients(), 1);
    rig.net.mark_as_link(link);
    rig.net.mark_as_link(link);
    assert_eq!(rig.net.clients(), 0);
    let (_client, client) = rig.client();
    assert!(rig.events.iter().all(|event| excess_in(event).is_none()));
    assert_eq!(rig.net.clients(), 1);

    rig.net.close(link);
    rig.net.mark_as_link(link);
    assert_eq!(rig.net.clients(), 1);
    rig.net.close(client);
    assert_eq!(rig.net.clients(), 0);
}

#[test]
fn a_turn_reads_more_from_a_link() {
    let mut rig = Rig::with(LoopConfig {
        read_budget_bytes: 1000,
        link_read_budget_bytes: 5000,
        ..LoopConfig::default()
    });
    let (mut client, client_id) = rig.client();
    let (mut link, link_id) = rig.client();
    rig.net.mark_as_link(link_id);
    let (mut peer, dialled_id) = dialled(&mut rig);
    let sent = pattern(8000);
    client.send(&sent);
    link.send(&sent);
    peer.write_all(&sent).unwrap();
    for (id, turns) in [(client_id, 8), (link_id, 2), (dialled_id, 2)] {
        rig.until(|rig| rig.unread(id).len() == sent.len());
        assert_eq!(rig.count(Event::Input(id)), turns);
    }
}

#[test]
fn clients_at_the_cap_keep_no_link_out() {
    let mut rig = Rig::with(LoopConfig {
        clients_max: 1,
        refusals_max: 1,
        ..LoopConfig::default()
    });
    let (_client, _) = rig.client();
    let mut links: Vec<(Client, ConnectionId)> = Vec::new();
    for _ in 0..5 {
        let (link, id) = rig.client();
        let last = rig.events.last().unwrap();
        assert_eq!(excess_in(last), Some(Excess::Clients));
        rig.net.mark_as_link(id);
        links.push((link, id));
    }
    assert_eq!(rig.net.clients(), 1);
    for (link, id) in &mut links {
        rig.send(*id, b"welcome");
        rig.net.flush();
        rig.until(|_| {
            link.try_read().unwrap();
            link.read == b"welcome"
        });
    }
}

#[test]
fn strangers_who_say_nothing_keep_no_link_out() {
    let refusals_max = 3;
    let mut rig = Rig::with(LoopConfig {
        clients_max: 0,
        refusals_max,
        ..LoopConfig::default()
    });
    let mut strangers: Vec<_> = (0..10).map(|_| rig.client().0).collect();
    let (mut link, id) = rig.client();
    link.send(b"I am a server");
    rig.until_event(Event::Input(id));
    rig.net.mark_as_link(id);
    strangers.extend((0..10).map(|_| rig.client().0));
    assert!(rig.net.connection(id).is_some());
    let closed = rig.events.iter().filter(|event| {
        matches!(event, Event::Closed { connection, reason }
            if *reason == CloseReason::Crowded && *connection != id)
    });
    assert_eq!(closed.count(), strangers.len() - refusals_max);
    let mut ended = strangers.iter_mut().map(Client::has_ended);
    assert!(ended.by_ref().take(17).all(|ended| ended));
    assert!(!ended.any(|ended| ended), "the newest are still there");

    // Without a place for any, nobody gets in, and nobody hears of it.
    let mut rig = Rig::with(LoopConfig {
        clients_max: 0,
        refusals_max: 0,
        ..LoopConfig::default()
    });
    let mut stranger = Client::connect(rig.address);
    rig.until(|_| stranger.has_ended());
    assert_eq!(rig.events, []);
}

fn excess_in(event: &Event<&'static str>) -> Option<Excess> {
    match event {
        Event::Opened { excess, .. } => *excess,
        _ => None,
    }
}

#[test]
fn clients_never_get_the_descriptors_of_links_and_files() {
    let mut rig = Rig::with(LoopConfig {
        clients_max: 3,
        refusals_max: 1,
        connections_max: 6,
        ..LoopConfig::default()
    });
    // A flood: three get in, and of those beyond the cap there is one at a time.
    let flood: Vec<_> = (0..20)
        .map(|_| TcpStream::connect(rig.address).unwrap())
        .collect();
    rig.until(|rig| {
        let closed = |it: &&Event<_>| matches!(it, Event::Closed { .. });
        rig.events.iter().filter(closed).count() == flood.len() - 4
    });
    // What is left for links is left.
    let peer = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = peer.local_addr().unwrap();
    let patience = Duration::from_secs(60);
    let links = [(); 2].map(|()| rig.net.connect(address, patience).unwrap());
    // And what is left for files is not for connections of any kind.
    let refused = rig.net.connect(address, patience).unwrap_err();
    assert_eq!(Errno::from_io_error(&refused), Some(Errno::MFILE));
    let _late = TcpStream::connect(rig.address).unwrap();
    let before = rig.events.len();
    rig.until(|rig| rig.events.len() > before + 1);
    let closed = |it: &Event<_>| matches!(it, Event::Closed { .. });
    assert!(rig.events[before..].iter().any(closed), "{:?}", rig.events);
    // Where one link has ended, another one has its place.
    rig.net.close(links[0]);
    rig.net.connect(address, patience).unwrap();
}
