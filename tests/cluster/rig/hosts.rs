//! How does one machine become several? Network namespaces, one for each host, with a cable each
//! to a common switch. A thread that enters a host's namespace has nothing but that host's network,
//! and so have the threads and processes that it starts.

use std::fs::File;
use std::net::Ipv4Addr;
use std::os::fd::AsFd;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// Where `ip netns` keeps them.
const NAMESPACES: &str = "/run/netns";

/// A network of hosts, which ends with the test.
pub struct Network {
    switch: Host,
    hosts: Vec<Host>,
}

/// A host, as long as somebody has a hold of it.
#[derive(Clone)]
pub struct Host(Arc<Namespace>);

struct Namespace {
    name: String,
    ip: Ipv4Addr,
}

impl Network {
    /// So many hosts on one switch, all with each other; `None`, and a word, where the machine
    /// does not allow it.
    pub fn of(count: u8) -> Option<Self> {
        remove_leftovers();
        if let Err(reason) = Host::try_new("probe", Ipv4Addr::LOCALHOST) {
            println!("skipped: no network namespaces can be made here ({reason})");
            return None;
        }
        let switch = Host::new("switch", Ipv4Addr::UNSPECIFIED);
        switch.ip("link add switch type bridge");
        switch.ip("link set switch up");
        let mut network = Self {
            switch,
            hosts: Vec::new(),
        };
        for number in 1..=count {
            network.add_host(number);
        }
        Some(network)
    }

    /// The hosts in their order.
    pub fn hosts(&self) -> &[Host] {
        &self.hosts
    }

    /// Pulls the cable of a host out of the switch.
    pub fn cut(&self, host: usize) {
        self.switch.ip(&format!("link set cable{} down", host + 1));
    }

    /// Plugs it in again.
    pub fn mend(&self, host: usize) {
        self.switch.ip(&format!("link set cable{} up", host + 1));
    }

    /// Keeps two hosts or more from each other, while all the others reach them.
    pub fn part(&self, hosts: &[usize]) {
        for host in hosts {
            let host = host + 1;
            self.switch.ip(&format!(
                "link set cable{host} type bridge_slave isolated on"
            ));
        }
    }

    fn add_host(&mut self, number: u8) {
        let host = Host::new(&format!("host{number}"), Ipv4Addr::new(10, 77, 0, number));
        let (name, ip) = (&host.0.name, host.0.ip);
        self.switch.ip(&format!(
            "link add cable{number} type veth peer name lan netns {name}"
        ));
        self.switch
            .ip(&format!("link set cable{number} master switch up"));
        host.ip(&format!("address add {ip}/24 dev lan"));
        host.ip("link set lan up");
        self.hosts.push(host);
    }
}

impl Host {
    /// Its address in the network.
    pub fn address(&self) -> Ipv4Addr {
        self.0.ip
    }

    /// Does something on this host.
    pub fn inside<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let path = Path::new(NAMESPACES).join(&self.0.name);
        std::thread::scope(|scope| {
            let inside = scope.spawn(move || {
                let namespace = File::open(path).expect("the namespace is there");
                move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))
                    .expect("its maker may enter it");
                work()
            });
            match inside.join() {
                Ok(done) => done,
                Err(panic) => std::panic::resume_unwind(panic),
            }
        })
    }

    /// Makes one that is not connected to anything.
    fn new(name: &str, ip: Ipv4Addr) -> Self {
        Self::try_new(name, ip).expect("a second namespace can be made as the first one was")
    }

    fn try_new(name: &str, ip: Ipv4Addr) -> Result<Self, String> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let (process, number) = (std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let name = format!("lastword-{process}-{number}-{name}");
        run(&["netns", "add", &name])?;
        let host = Self(Arc::new(Namespace { name, ip }));
        run(&["-n", &host.0.name, "link", "set", "lo", "up"])?;
        Ok(host)
    }

    /// Runs `ip` with these words, on this host.
    fn ip(&self, words: &str) {
        let mut all = vec!["-n", &self.0.name];
        all.extend(words.split(' '));
        if let Err(reason) = run(&all) {
            panic!("ip {words}: {reason}");
        }
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // The interfaces in it go with it, and so do the cables' other ends.
        let _ = run(&["netns", "delete", &self.name]);
    }
}

/// Takes away what tests have left behind that were killed themselves.
fn remove_leftovers() {
    let Ok(entries) = std::fs::read_dir(NAMESPACES) else {
        return;
    };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let mut words = name.to_str().unwrap_or_default().split('-');
        let is_ours = words.next() == Some("lastword");
        let process: Option<u32> = words.next().and_then(|word| word.parse().ok());
        if is_ours && process.is_some_and(|id| !Path::new(&format!("/proc/{id}")).exists()) {
            let _ = run(&["netns", "delete", name.to_str().unwrap_or_default()]);
        }
    }
}

fn run(words: &[&str]) -> Result<(), String> {
    let output = Command::new("ip").args(words).output();
    match output {
        Ok(Output { status, .. }) if status.success() => Ok(()),
        Ok(Output { stderr, .. }) => Err(String::from_utf8_lossy(&stderr).trim().to_string()),
        Err(error) => Err(format!("ip cannot be run: {error}")),
    }
}
