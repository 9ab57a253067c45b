//! Is there a cluster already?
//!
//! Asked once, before a cluster is founded: at the service's address, if somebody has it, and at
//! the addresses that the operator has named. The question is a client's hello, which every server
//! answers whatever its state, and which changes nothing anywhere.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::Duration;

use crate::limits::HANDSHAKE_TIME_MAX;
use crate::net::clock;
use crate::types::ClusterId;
use crate::wire::decoded::Decoded;
use crate::wire::hello::{Hello, Role, encode_hello};
use crate::wire::reply::{FromServer, decode_from_server};

/// Who is at an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Somebody {
    /// A server of a cluster.
    Server(ClusterId),
    /// A server that belongs to no cluster yet.
    Seeker,
    /// Something else, or something that does not say what it is.
    Stranger,
    /// Nobody that answers.
    Nobody,
}

/// Asks at all these addresses at once; no longer than a handshake may take.
pub(super) fn ask(addresses: &[SocketAddr]) -> Vec<Somebody> {
    thread::scope(|scope| {
        let asking: Vec<_> = addresses
            .iter()
            .map(|address| scope.spawn(|| ask_one(*address)))
            .collect();
        let answered = asking.into_iter().map(|it| it.join());
        answered.map(|it| it.unwrap_or(Somebody::Nobody)).collect()
    })
}

fn ask_one(address: SocketAddr) -> Somebody {
    let Ok(stream) = TcpStream::connect_timeout(&address, HANDSHAKE_TIME_MAX) else {
        return Somebody::Nobody;
    };
    // One that has reached itself is nobody.
    if stream.local_addr().ok() == stream.peer_addr().ok() {
        return Somebody::Nobody;
    }
    match hello_of(stream) {
        Some(hello) if hello.role != Role::Server => Somebody::Stranger,
        Some(Hello {
            cluster: ClusterId(0),
            ..
        }) => Somebody::Seeker,
        Some(hello) => Somebody::Server(hello.cluster),
        None => Somebody::Stranger,
    }
}

fn hello_of(mut stream: TcpStream) -> Option<Hello> {
    let until = clock::now() + HANDSHAKE_TIME_MAX;
    let mut hello = Vec::new();
    encode_hello(&mut hello, &Hello::client(super::SOFTWARE));
    stream.write_all(&hello).ok()?;
    let mut input = Vec::new();
    let mut buffer = [0; 1024];
    loop {
        match decode_from_server(&input) {
            Decoded::Message {
                message: FromServer::Hello(hello),
                ..
            } => return Some(hello),
            Decoded::Nothing { consumed } => {
                input.drain(..consumed);
                continue;
            }
            Decoded::Incomplete => {}
            Decoded::Message { .. } | Decoded::Broken { .. } => return None,
        }
        let left = until.since(clock::now());
        if left == Duration::ZERO {
            return None;
        }
        stream.set_read_timeout(Some(left)).ok()?;
        match stream.read(&mut buffer) {
            Ok(0) | Err(_) => return None,
            Ok(count) => input.extend_from_slice(&buffer[..count]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{Ipv4Addr, TcpListener};

    fn listener() -> TcpListener {
        TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap()
    }

    /// What is made of somebody who says this.
    fn made_of(said: Vec<u8>) -> Somebody {
        let listener = listener();
        let address = listener.local_addr().unwrap();
        let answer = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            stream.write_all(&said).unwrap();
            // What it is asked has to be read, or its end is a reset.
            let _ = stream.read(&mut [0; 1024]);
        });
        let somebody = ask(&[address])[0];
        answer.join().unwrap();
        somebody
    }

    fn hello(hello: &Hello) -> Vec<u8> {
        let mut bytes = Vec::new();
        encode_hello(&mut bytes, hello);
        bytes
    }

    #[test]
    fn servers_are_told_from_strangers() {
        let server = |cluster| {
            let (id, view) = Default::default();
            made_of(hello(&Hello::server("test", ClusterId(cluster), id, view)))
        };
        assert_eq!(server(7), Somebody::Server(ClusterId(7)));
        assert_eq!(server(0), Somebody::Seeker);
        assert_eq!(made_of(hello(&Hello::client("test"))), Somebody::Stranger);
        assert_eq!(
            made_of(b"HTTP/1.1 400 Bad Request\r\n\r\n".into()),
            Somebody::Stranger
        );
    }

    #[test]
    fn who_is_mute_or_not_there_is_not_waited_for() {
        let mute = listener();
        let gone = listener().local_addr().unwrap();
        let begun = clock::now();
        let asked = ask(&[mute.local_addr().unwrap(), gone]);
        assert_eq!(asked, [Somebody::Stranger, Somebody::Nobody]);
        assert!(clock::now().since(begun) < HANDSHAKE_TIME_MAX * 3);
    }
}
