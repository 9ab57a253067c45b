//! Where are the servers?

use std::fmt;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::str::FromStr;
use std::sync::mpsc::channel;
use std::time::Duration;

/// The port of a server when none is named.
pub const PORT_DEFAULT: u16 = 5000;

/// A server as it was named: `host:port`, where a host is a name or an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerAddress {
    host: String,
    port: u16,
}

/// What was named is no server's address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no server's address; one looks like 127.0.0.1:5000, chat.example:5000 or [::1]:5000"
)]
pub struct InvalidAddress(String);

/// None of the names that were given leads anywhere.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResolveError {
    /// The system does not know them.
    #[error("{names} cannot be found ({why}); look for a slip of the pen in --server")]
    Unknown {
        /// What was looked for.
        names: String,
        /// What the system says of the last one.
        why: String,
    },
    /// The system has not said anything about them in time.
    #[error("looking up {names} took too long; name the servers by their addresses, or try again")]
    TooSlow {
        /// What was looked for.
        names: String,
    },
}

impl FromStr for ServerAddress {
    type Err = InvalidAddress;

    fn from_str(text: &str) -> Result<Self, InvalidAddress> {
        let invalid = || InvalidAddress(text.to_owned());
        // An address of version 6 has colons of its own: alone it has no port.
        if let Ok(ip) = text.parse::<IpAddr>() {
            return Ok(Self {
                host: ip.to_string(),
                port: PORT_DEFAULT,
            });
        }
        if let Ok(address) = text.parse::<SocketAddr>() {
            return Ok(Self {
                host: address.ip().to_string(),
                port: address.port(),
            })
            .and_then(|address| (address.port != 0).then_some(address).ok_or_else(invalid));
        }
        let (host, port) = match text.split_once(':') {
            Some((host, port)) => (host, port.parse().map_err(|_| invalid())?),
            None => (text, PORT_DEFAULT),
        };
        let is_host = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_');
        if host.is_empty() || port == 0 || !host.chars().all(is_host) {
            return Err(invalid());
        }
        Ok(Self {
            host: host.to_owned(),
            port,
        })
    }
}

impl fmt::Display for ServerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]:{}", self.host, self.port),
            false => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

/// The addresses behind what was named, in that order, each once. Those that the system does not
/// know are left out as long as there are others.
///
/// # Errors
/// There are none, or it took longer than `time_max`.
pub fn resolve(
    servers: &[ServerAddress],
    time_max: Duration,
) -> Result<Vec<SocketAddr>, ResolveError> {
    let names: Vec<_> = servers.iter().map(ToString::to_string).collect();
    let names = names.join(", ");
    // The system's resolver takes no time-out: a thread waits for it, and is left behind.
    let (found, wait) = channel();
    let servers = servers.to_vec();
    std::thread::spawn(move || {
        // Nobody waits any more if this fails.
        let _ = found.send(look_up(&servers));
    });
    match wait.recv_timeout(time_max) {
        Ok(Ok(addresses)) => Ok(addresses),
        Ok(Err(why)) => Err(ResolveError::Unknown { names, why }),
        Err(_) => Err(ResolveError::TooSlow { names }),
    }
}

fn look_up(servers: &[ServerAddress]) -> Result<Vec<SocketAddr>, String> {
    let mut addresses = Vec::new();
    let mut why = String::from("no address");
    for server in servers {
        match (server.host.as_str(), server.port).to_socket_addrs() {
            Ok(found) => {
                for address in found {
                    if !addresses.contains(&address) {
                        addresses.push(address);
                    }
                }
            }
            Err(error) => why = error.to_string(),
        }
    }
    if addresses.is_empty() {
        return Err(why);
    }
    Ok(addresses)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        text.parse::<ServerAddress>().unwrap().to_string()
    }

    #[test]
    fn servers_are_named_by_address_or_host_with_or_without_a_port() {
        assert_eq!(shown("127.0.0.1:5001"), "127.0.0.1:5001");
        assert_eq!(shown("127.0.0.1"), "127.0.0.1:5000");
        assert_eq!(shown("chat.example:6000"), "chat.example:6000");
        assert_eq!(shown("chat-1"), "chat-1:5000");
        assert_eq!(shown("[::1]:5001"), "[::1]:5001");
        assert_eq!(shown("::1"), "[::1]:5000");
    }

    #[test]
    fn what_is_no_address_is_told() {
        for text in [
            "",
            ":5000",
            "host:",
            "host:port",
            "host:70000",
            "host:0",
            "127.0.0.1:0",
            "a b:5000",
            "http://host:5000",
        ] {
            let error = text.parse::<ServerAddress>().unwrap_err();
            assert!(error.to_string().contains("looks like"), "{text}");
        }
    }

    #[test]
    fn addresses_come_in_their_order_and_once() {
        let servers = ["127.0.0.1:7", "[::1]:7", "127.0.0.1:7"].map(|text| text.parse().unwrap());
        let found = resolve(&servers, Duration::from_secs(60)).unwrap();
        let shown: Vec<_> = found.iter().map(ToString::to_string).collect();
        assert_eq!(shown, ["127.0.0.1:7", "[::1]:7"]);
    }
}
