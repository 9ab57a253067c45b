//! What does a server do at an address where somebody else is, or nobody? It says whom it looks
//! for, where, and what is in the way; it tries again, and joins when there is somebody to join.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use lastword::types::{ClusterId, Incarnation, Lineage, ServerId, ViewNumber};
use lastword::wire::hello::{Hello, LINK_VERSION, LinkHello, encode_hello};

use crate::common::PATIENCE;
use crate::rig::{Cluster, Server};

/// A program that is no Lastword server, until it is dropped.
struct Stranger {
    address: SocketAddr,
    ends: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Stranger {
    /// Answers everybody with these bytes; none: takes the connection and says nothing.
    fn at(address: SocketAddr, says: &[u8]) -> Self {
        let listener = TcpListener::bind(address).expect("a free address");
        let ends = Arc::new(AtomicBool::new(false));
        let (says, its_end) = (says.to_vec(), Arc::clone(&ends));
        let address = listener.local_addr().expect("it is bound");
        let thread = std::thread::spawn(move || {
            let mut mute = Vec::new();
            while let Ok((mut stream, _)) = listener.accept() {
                if its_end.load(Ordering::Relaxed) {
                    return;
                }
                if says.is_empty() {
                    mute.push(stream);
                    continue;
                }
                // What it was asked has to be read, or its end is a reset.
                let _ = stream.set_read_timeout(Some(Duration::from_secs(1)));
                let _ = stream.read(&mut [0; 1024]);
                let _ = stream.write_all(&says);
            }
        });
        Self {
            address,
            ends,
            thread: Some(thread),
        }
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

const HTTP: &[u8] = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n";

#[test]
fn a_strangers_port_is_not_taken_for_a_primary() {
    for (name, says) in [("http", HTTP), ("mute", b"")] {
        let mut cluster = Cluster::to_be_started(1, &[]);
        let stranger = Stranger::at(cluster.service(), says);
        cluster[0].start_to_join();
        cluster[0].until_it_says("Lastword server");
        let said = cluster[0].until("waits", |status| status.ready.is_err());
        assert_eq!(said.role, "waiting", "{name}");

        // Nobody can found a cluster there either.
        let folder = cluster.folder().join("founder");
        let mut founder = Server::new("founder", cluster.service(), folder);
        founder.start_as_primary();
        assert_eq!(founder.wait().code(), Some(1), "{name}");
        assert!(founder.said().contains("in use"), "{}", founder.said());

        // When the stranger is gone, it joins whoever comes.
        drop(stranger);
        let mut founder = founder.with("--backups", "1");
        founder.start_as_primary();
        let founder = cluster.add_server(founder);
        assert_eq!(cluster.until_in_sync(0), founder);
        cluster.assert_well();
    }
}

#[test]
fn peers_that_are_strangers_do_not_keep_anybody_from_the_cluster() {
    let mut cluster = Cluster::of_three();
    let ip = cluster.service().ip();
    let http = Stranger::at((ip, 0).into(), HTTP);
    let mute = Stranger::at((ip, 0).into(), b"");
    let peers = format!("{},{}", http.address, mute.address);
    let added = cluster.add(&["--peers", &peers]);
    cluster[added].start_to_join();
    cluster.until_in_sync(added);
    cluster[added].until_it_says("Lastword server");
    cluster.account("alice");
    cluster.assert_well();
}

#[test]
fn a_member_address_in_use_is_told() {
    let mut cluster = Cluster::of_three();
    let taken = Stranger::at((cluster.service().ip(), 0).into(), HTTP);
    let added = cluster.add(&["--member", &taken.address.to_string()]);
    cluster[added].start_to_join();
    assert_eq!(cluster[added].wait().code(), Some(1));
    let said = cluster[added].said();
    assert!(said.contains(&taken.address.to_string()), "{said}");
    assert!(
        said.contains("in use") && said.contains("--member"),
        "{said}"
    );
}

#[test]
fn a_kept_port_that_stays_taken_is_replaced_and_told_to_the_others() {
    let mut cluster = Cluster::of_three();
    let (id, before) = (cluster[2].id(), cluster[2].member());
    cluster[2].kill();
    let _taken = Stranger::at(before, HTTP);
    cluster[2].start();
    cluster.until_in_sync(2);
    let after = cluster[2].member();
    assert_ne!(after, before);
    for place in 0..3 {
        cluster[place].until("knows the new address", |status| {
            status
                .members
                .get(&id)
                .is_some_and(|member| member.address == after)
        });
    }
    // It is kept from then on, and found by the others when all were down.
    for place in 0..3 {
        cluster[place].kill();
    }
    for place in 0..3 {
        cluster[place].start();
    }
    cluster.until_all_in_sync();
    assert_eq!(cluster[2].member(), after);
}

#[test]
fn a_backup_of_a_later_version_is_refused_with_a_sentence() {
    let mut cluster = Cluster::of_three();
    let mut alice = cluster.account("alice");
    let said = cluster[0].until("leads", |status| status.serves());
    for (place, role) in [(0, "the primary"), (1, "a backup")] {
        let refusal = refusal_of(cluster[place].member(), LINK_VERSION + 1);
        assert!(refusal.contains("version"), "{role}: {refusal}");
        cluster[place].until_it_says("same version");
    }
    alice.send("alice", "still here");
    assert_eq!(
        cluster[0].until("leads", |status| status.serves()).view,
        said.view
    );
    cluster.assert_well();
}

/// What a server says to a newcomer that speaks this version of the protocol.
fn refusal_of(address: SocketAddr, version: u16) -> String {
    let hello = Hello::server("lastword 9.9.9", ClusterId(0), ServerId(0), ViewNumber(0));
    let hello = hello.with_link(LinkHello {
        lineage: Lineage {
            counter: 0,
            random: 0,
        },
        incarnation: Incarnation {
            counter: 1,
            random: 99,
        },
        address: Some((address.ip(), 1).into()),
        encrypted: false,
        nonce: 5,
        ancestor: Incarnation::default(),
        service: None,
        version,
    });
    let mut bytes = Vec::new();
    encode_hello(&mut bytes, &hello);
    let mut stream = TcpStream::connect(address).expect("the server is there");
    stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
    stream.write_all(&bytes).expect("the server listens");
    let mut said = Vec::new();
    stream.read_to_end(&mut said).expect("the server closes");
    String::from_utf8_lossy(&said).into_owned()
}
