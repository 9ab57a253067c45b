//! Where is there room for a cluster? On a loopback address of its own: a test's servers find the
//! ports above the service's free, whatever else runs on the machine and however often they start.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::sync::atomic::{AtomicU8, Ordering};

use crate::common::eventually;

/// Below the range from which the system takes ports for outgoing connections.
const FIRST_PORT: u16 = 20_000;
/// The service's, and enough for its servers' own.
const PORTS: u16 = 10;

/// A service address of which the ip is used by nobody else, with free ports above its port.
pub fn own_service() -> SocketAddr {
    let ip = own_loopback();
    (ip, first_free_port(ip)).into()
}

/// The same on 127.0.0.1, where everybody is.
pub fn common_service() -> SocketAddr {
    let ip = Ipv4Addr::LOCALHOST;
    (ip, first_free_port(ip)).into()
}

/// All of 127.0.0.0/8 is this machine. Two runs at a time have different process ids.
fn own_loopback() -> Ipv4Addr {
    static NEXT: AtomicU8 = AtomicU8::new(1);
    let [.., high, low] = std::process::id().to_be_bytes();
    Ipv4Addr::new(127, high.max(1), low, NEXT.fetch_add(1, Ordering::Relaxed))
}

fn first_free_port(ip: Ipv4Addr) -> u16 {
    let ip = IpAddr::from(ip);
    let mut port = FIRST_PORT + (std::process::id() % 1000) as u16 * PORTS;
    eventually("free ports in a row", || {
        let all: Result<Vec<_>, _> = (port..port + PORTS)
            .map(|port| TcpListener::bind((ip, port)))
            .collect();
        if all.is_err() {
            port += PORTS;
        }
        all.ok().map(|_| port)
    })
}
