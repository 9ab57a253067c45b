//! What does the kernel tell of a process?
//!
//! Below `/proc`, to whoever runs on the same machine.

use std::fs;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

/// In which parts of a second the kernel counts processor time for others to read: the same on every
/// machine that this can be built for.
const TICKS_EACH_SECOND: u64 = 100;
/// How `/proc/net/tcp` calls a connection that is up.
const ESTABLISHED: &str = "01";

/// A process of this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::bench) struct Process(pub u32);

impl Process {
    /// The process that has taken a connection to `address`, of which there has to be one; `None` if that
    /// is elsewhere, or belongs to somebody into whose processes this user may not look. (Who listens
    /// there would not do: another server's address may be that of another machine.)
    pub fn serving(address: SocketAddr) -> Option<Self> {
        let table = match address {
            SocketAddr::V4(_) => "/proc/net/tcp",
            SocketAddr::V6(_) => "/proc/net/tcp6",
        };
        let table = fs::read_to_string(table).ok()?;
        let sockets: Vec<String> = table
            .lines()
            .filter_map(|line| socket_at(line, address))
            .map(|inode| format!("socket:[{inode}]"))
            .collect();
        let processes = fs::read_dir("/proc").ok()?.filter_map(|entry| {
            let name = entry.ok()?.file_name();
            name.to_str()?.parse().ok().map(Self)
        });
        let mut processes = processes.filter(|_| !sockets.is_empty());
        processes.find(|process| process.holds(&sockets))
    }

    /// Whether it has one of these sockets.
    fn holds(self, sockets: &[String]) -> bool {
        // One that has ended meanwhile, or is somebody else's, has none.
        let descriptors = fs::read_dir(format!("/proc/{}/fd", self.0));
        let descriptors = descriptors.into_iter().flatten();
        let mut links = descriptors.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
        links.any(|link| {
            link.to_str()
                .is_some_and(|link| sockets.iter().any(|socket| socket == link))
        })
    }

    /// Bytes of memory that are there for it at this moment, its program included.
    ///
    /// # Errors
    /// There is no such process any more.
    pub fn resident_bytes(self) -> io::Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.0))?;
        resident_bytes(&status).ok_or_else(|| io::ErrorKind::InvalidData.into())
    }

    /// The processor time that it has used so far, to a hundredth of a second.
    ///
    /// # Errors
    /// There is no such process any more.
    pub fn cpu_time(self) -> io::Result<Duration> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.0))?;
        cpu_time(&stat).ok_or_else(|| io::ErrorKind::InvalidData.into())
    }
}

/// The number of the socket that a line of `/proc/net/tcp` is about, if it is one end of a connection
/// and stands at `address`.
fn socket_at(line: &str, address: SocketAddr) -> Option<&str> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let here = *fields.get(3)? == ESTABLISHED && address_of(fields.get(1)?)? == address;
    here.then_some(*fields.get(9)?)
}

/// An address as `/proc/net/tcp` has it: words of 32 bits as they lie in memory.
fn address_of(field: &str) -> Option<SocketAddr> {
    let (ip, port) = field.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let word = |at: usize| u32::from_str_radix(ip.get(8 * at..8 * (at + 1))?, 16).ok();
    if ip.len() == 8 {
        let ip = Ipv4Addr::from(word(0)?.to_ne_bytes());
        return Some((ip, port).into());
    }
    let mut bytes = [0; 16];
    for (at, part) in bytes.chunks_exact_mut(4).enumerate() {
        part.copy_from_slice(&word(at)?.to_ne_bytes());
    }
    Some((Ipv6Addr::from(bytes), port).into())
}

fn resident_bytes(status: &str) -> Option<u64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: u64 = line.trim().strip_suffix(" kB")?.trim().parse().ok()?;
    Some(kilobytes * 1024)
}

fn cpu_time(stat: &str) -> Option<Duration> {
    // The name, in parentheses, may hold anything; the times are the 12th and 13th field behind it.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(Duration::from_millis(
        (user + system) * 1000 / TICKS_EACH_SECOND,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream};

    #[test]
    fn the_kernels_words_are_understood() {
        let stat = "7 (a ) b) S 1 2 3 4 5 6 7 8 9 10 150 51 0 0";
        assert_eq!(cpu_time(stat), Some(Duration::from_millis(2010)));
        let status = "Name:\tserver\nVmRSS:\t   1200 kB\nThreads:\t3\n";
        assert_eq!(resident_bytes(status), Some(1200 * 1024));
        assert_eq!(resident_bytes("Name:\tkthreadd\n"), None);
    }

    #[test]
    fn the_process_behind_an_address_is_found() {
        for ip in ["127.0.0.1:0", "[::1]:0"] {
            // Not every machine has the sixth version.
            let Ok(listener) = TcpListener::bind(ip) else {
                continue;
            };
            let address = listener.local_addr().unwrap();
            assert_eq!(Process::serving(address), None, "nobody has come");
            let _client = TcpStream::connect(address).unwrap();
            let _taken = listener.accept().unwrap();
            let found = Process::serving(address).unwrap();
            assert_eq!(found, Process(std::process::id()));
            assert!(found.resident_bytes().unwrap() > 100_000);
            found.cpu_time().unwrap();
        }
    }
}
