//! A process without descriptors. A test binary of its own, since it lowers its own limit.

use lastword::net::{ConnectionId, Event, EventLoop, Listener, ListenerTag, LoopConfig, clock};
use log::{LevelFilter, Log, Metadata, Record};
use rustix::io::Errno;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// Descriptors that are left for the clients.
const DESCRIPTORS: usize = 3;
const CLIENTS: usize = 8;
const PAUSE: Duration = Duration::from_millis(20);

/// Counts what is logged as a warning.
struct Warnings(AtomicUsize);

static WARNINGS: Warnings = Warnings(AtomicUsize::new(0));

impl Log for Warnings {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() == log::Level::Warn
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn flush(&self) {}
}

struct Rig {
    net: EventLoop<&'static str>,
    opened: Vec<ConnectionId>,
    /// Turns since the counter was last set back.
    turns: usize,
}

impl Rig {
    /// Turns until `condition` holds. Polls without a limit of time, so that each turn has a
    /// reason.
    fn until(&mut self, mut condition: impl FnMut(&Self, &[Event<&'static str>]) -> bool) {
        let mut events = Vec::new();
        while !condition(self, &events) {
            events.clear();
            self.net.poll(&mut events, None).unwrap();
            self.turns += 1;
            for event in &events {
                if let Event::Opened { connection, .. } = event {
                    self.opened.push(*connection);
                }
            }
        }
    }
}

/// Lets the process open `more` descriptors beyond those that it has open. The limit is one of
/// their numbers, not of their count, and numbers above it may be in use.
fn allow_descriptors(original: Rlimit, more: usize) {
    // Looking needs a descriptor, too.
    setrlimit(Resource::Nofile, original).unwrap();
    let is_open = |number: &u64| std::fs::read_link(format!("/proc/self/fd/{number}")).is_ok();
    let last = (0..)
        .filter(|number| !is_open(number))
        .nth(more - 1)
        .unwrap();
    let current = Some(last + 1);
    setrlimit(
        Resource::Nofile,
        Rlimit {
            current,
            ..original
        },
    )
    .unwrap();
}

#[test]
fn without_descriptors_it_does_not_spin_and_goes_on_when_there_are_some() {
    let original = getrlimit(Resource::Nofile);
    log::set_logger(&WARNINGS).unwrap();
    log::set_max_level(LevelFilter::Warn);
    let config = LoopConfig {
        accept_pause: PAUSE,
        ..LoopConfig::default()
    };
    let mut net = EventLoop::new(config).unwrap();
    let listener = Listener::bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    let address = listener.local_addr();
    let mut clients: Vec<_> = (0..CLIENTS)
        .map(|_| TcpStream::connect(address).unwrap())
        .collect();
    net.listen(listener, ListenerTag(0)).unwrap();
    allow_descriptors(original, DESCRIPTORS);
    let mut rig = Rig {
        net,
        opened: Vec::new(),
        turns: 0,
    };

    // As many get in as there are descriptors. Then it tries again, but not all the time.
    rig.until(|rig, _| rig.opened.len() == DESCRIPTORS);
    rig.turns = 0;
    rig.net.set_timer(clock::now() + 10 * PAUSE, "later");
    rig.until(|_, events| events.contains(&Event::Timer("later")));
    assert!(
        (1..=30).contains(&rig.turns),
        "{} turns in ten pauses",
        rig.turns
    );
    assert_eq!(rig.opened.len(), DESCRIPTORS);
    assert_eq!(
        WARNINGS.0.load(Ordering::Relaxed),
        1,
        "one warning an episode"
    );

    // Those who are in are served meanwhile.
    let first = rig.opened[0];
    clients[0].write_all(b"ping").unwrap();
    rig.until(|_, events| events.contains(&Event::Input(first)));
    rig.net.output(first).unwrap().extend_from_slice(b"pong");
    rig.net.flush();
    let mut answer = [0; 4];
    clients[0].read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"pong");

    // So is another server's link. No further one can be dialled, and that is told at once.
    let link = rig.opened[1];
    rig.net.mark_as_link(link);
    let error = rig.net.connect(address, PAUSE).unwrap_err();
    assert_eq!(Errno::from_io_error(&error), Some(Errno::MFILE));
    clients[1].write_all(b"ping").unwrap();
    rig.until(|_, events| events.contains(&Event::Input(link)));

    // One leaves, one gets in; and the episode goes on.
    rig.net.close(first);
    rig.until(|rig, _| rig.opened.len() == DESCRIPTORS + 1);
    rig.net.set_timer(clock::now() + 3 * PAUSE, "still");
    rig.until(|_, events| events.contains(&Event::Timer("still")));
    assert_eq!(rig.opened.len(), DESCRIPTORS + 1);
    assert_eq!(
        WARNINGS.0.load(Ordering::Relaxed),
        1,
        "it is the same episode"
    );

    // Descriptors come back, and everybody who waited gets in.
    allow_descriptors(original, CLIENTS + 1);
    rig.until(|rig, _| rig.opened.len() == CLIENTS);
}
