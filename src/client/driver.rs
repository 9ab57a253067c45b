//! How do sockets, the clock, signals and standard input reach a core and its front?
//!
//! One thread and one `mio::Poll`, as in the server; beside it the thread that reads standard input. What
//! waits here is bounded: bytes to the server by the requests that may be open, bytes from it
//! by one read, text by what one read can hold. While standard output takes nothing more (a pager, a
//! stopped terminal), nothing is read from the server either, and messages wait there.

use std::io::{self, BufRead, ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token, Waker};
use rustix::time::{ClockId, clock_gettime};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook_mio::v1_0::Signals;

use super::core::Core;
use super::event::{Input, Output};
use super::front::{Exit, Front, Wants, Written};
use super::keyboard::{Hidden, Keyboard};
use crate::limits::READ_BUDGET_BYTES;
use crate::types::Time;

const SERVER: Token = Token(0);
const SIGNALS: Token = Token(1);
const KEYBOARD: Token = Token(2);

/// Lines taken from standard input before the server has its turn.
const LINES_PER_TURN_MAX: usize = 256;

/// Connects to the first of `servers` that takes the connection, each within its share of
/// `connect_time_max`, and runs `front` on it to its end. Standard input is read only if
/// `reads_input`.
///
/// # Errors
/// The system does not give what a loop needs, or standard output fails other than by being
/// closed.
pub fn run(
    front: &mut impl Front,
    core: Core,
    servers: &[SocketAddr],
    connect_time_max: Duration,
    reads_input: bool,
) -> io::Result<Exit> {
    let mut driver = Driver::new(core, servers, connect_time_max)?;
    if reads_input {
        driver.start_keyboard(io::BufReader::new(io::stdin()))?;
    }
    driver.dial_next(front, String::new());
    loop {
        if let Some(exit) = driver.turn(front)? {
            return Ok(exit);
        }
    }
}

/// The loop.
struct Driver {
    core: Core,
    poll: Poll,
    events: Events,
    signals: Signals,
    /// Standard input, if it is read, and what its thread wakes the loop with. The loop holds on to
    /// the waker: closed by the thread at the end of the input, it would take its last call along.
    keyboard: Option<(Keyboard, Arc<Waker>)>,
    /// There while what is typed must not be seen.
    hidden: Option<Hidden>,
    link: Link,
    /// Servers that were not tried yet, the next one last.
    servers: Vec<SocketAddr>,
    /// How long each server may take to be connected to.
    dial_time_max: Duration,
    /// Bytes on their way to the server. The requests that may be open bound them.
    outgoing: Vec<u8>,
    /// What one read takes in.
    chunk: Box<[u8]>,
    /// The socket may hold more than was read: being edge-triggered, it gives no second event.
    may_read: bool,
    /// There may be more lines than one turn takes.
    may_type: bool,
}

enum Link {
    /// There is none (any more).
    None,
    /// On its way up.
    Dialing {
        stream: TcpStream,
        server: SocketAddr,
        /// When to try the next server.
        until: Time,
        /// Why the servers before were not to be had: sentences.
        failures: String,
    },
    /// Up.
    Up(TcpStream),
}

impl Driver {
    fn new(core: Core, servers: &[SocketAddr], connect_time_max: Duration) -> io::Result<Self> {
        let poll = Poll::new()?;
        let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP])?;
        poll.registry()
            .register(&mut signals, SIGNALS, Interest::READABLE)?;
        let shares = u32::try_from(servers.len().max(1)).unwrap_or(u32::MAX);
        Ok(Self {
            core,
            poll,
            events: Events::with_capacity(16),
            signals,
            keyboard: None,
            hidden: None,
            link: Link::None,
            servers: servers.iter().rev().copied().collect(),
            dial_time_max: connect_time_max / shares,
            outgoing: Vec::new(),
            chunk: vec![0; READ_BUDGET_BYTES].into_boxed_slice(),
            may_read: false,
            may_type: false,
        })
    }

    fn start_keyboard(&mut self, input: impl BufRead + Send + 'static) -> io::Result<()> {
        let waker = Arc::new(Waker::new(self.poll.registry(), KEYBOARD)?);
        let thread_waker = Arc::clone(&waker);
        let keyboard = Keyboard::start(input, move || {
            // It fails only when the loop is gone, and then nobody has to be woken.
            let _ = thread_waker.wake();
        })?;
        self.keyboard = Some((keyboard, waker));
        Ok(())
    }

    /// One turn of the loop: hand on what came, write what is to be written, wait for more.
    fn turn(&mut self, front: &mut impl Front) -> io::Result<Option<Exit>> {
        if self.may_read {
            self.read(front);
        }
        self.type_lines(front);
        self.drain_core(front);
        if let Some(exit) = self.write_text(front)? {
            return Ok(Some(exit));
        }
        self.drain_core(front);
        self.flush(front);
        if let Some(exit) = front.exit() {
            // What the end itself had to say.
            return Ok(Some(self.write_text(front)?.unwrap_or(exit)));
        }
        self.hide_or_show(front);
        self.wait(front)?;
        Ok(None)
    }

    fn wait(&mut self, front: &mut impl Front) -> io::Result<()> {
        let has_more =
            self.may_read || (self.may_type && front.wants(&self.core) != Wants::Nothing);
        let time_out = match has_more {
            true => Some(Duration::ZERO),
            false => self.next_timeout(front).map(|at| at.since(now())),
        };
        match self.poll.poll(&mut self.events, time_out) {
            Err(error) if error.kind() != ErrorKind::Interrupted => return Err(error),
            _ => {}
        }
        let mut is_server_ready = false;
        for event in &self.events {
            match event.token() {
                // Whatever it is, an error too: reading finds out.
                SERVER => is_server_ready = true,
                KEYBOARD => self.may_type = true,
                _ => {}
            }
        }
        if is_server_ready {
            self.may_read = true;
            self.check_dialing(front);
        }
        for signal in self.signals.pending() {
            front.handle_signal(signal, &mut self.core, now());
        }
        self.handle_timeouts(front);
        Ok(())
    }

    fn next_timeout(&self, front: &impl Front) -> Option<Time> {
        let dialing = match &self.link {
            Link::Dialing { until, .. } => Some(*until),
            _ => None,
        };
        let timeouts = [dialing, self.core.poll_timeout(), front.poll_timeout()];
        timeouts.into_iter().flatten().min()
    }

    fn handle_timeouts(&mut self, front: &mut impl Front) {
        let now = now();
        if let Link::Dialing { until, .. } = &self.link
            && *until <= now
        {
            self.dial_failed(front, "no answer");
        }
        self.core.handle_timeout(now);
        front.handle_timeout(&mut self.core, now);
    }
}

/// The way to a server.
impl Driver {
    /// Tries the next server; `failures` tells what came of those before.
    fn dial_next(&mut self, front: &mut impl Front, mut failures: String) {
        while let Some(server) = self.servers.pop() {
            match self.dial(server) {
                Ok(stream) => {
                    self.link = Link::Dialing {
                        stream,
                        server,
                        until: now() + self.dial_time_max,
                        failures,
                    };
                    return;
                }
                Err(error) => add_failure(&mut failures, server, &reason(&error)),
            }
        }
        self.link = Link::None;
        front.handle_unreachable(&format!(
            "no server can be reached: {failures}; start one (./server 127.0.0.1 5000 1 --backups 0), or name another with --server"
        ));
    }

    fn dial(&self, server: SocketAddr) -> io::Result<TcpStream> {
        let mut stream = TcpStream::connect(server)?;
        let interest = Interest::READABLE | Interest::WRITABLE;
        self.poll
            .registry()
            .register(&mut stream, SERVER, interest)?;
        Ok(stream)
    }

    /// Looks whether the connection came up, or will not.
    fn check_dialing(&mut self, front: &mut impl Front) {
        let Link::Dialing { stream, server, .. } = &self.link else {
            return;
        };
        let server = *server;
        match stream.take_error().map(|error| (error, stream.peer_addr())) {
            Ok((None, Ok(_))) => self.come_up(front, server),
            // It is still on its way.
            Ok((None, Err(error))) if error.kind() == ErrorKind::NotConnected => {}
            Ok((Some(error), _)) | Ok((None, Err(error))) | Err(error) => {
                self.dial_failed(front, &reason(&error));
            }
        }
    }

    fn come_up(&mut self, front: &mut impl Front, server: SocketAddr) {
        let Link::Dialing { stream, .. } = std::mem::replace(&mut self.link, Link::None) else {
            return;
        };
        // Without it, small requests wait for each other; where it is refused, they do.
        let _ = stream.set_nodelay(true);
        self.link = Link::Up(stream);
        // Readiness that came while it was dialed gives no second event.
        self.may_read = true;
        front.handle_connected(server);
        self.core.handle_input(Input::Connected, now());
    }

    fn dial_failed(&mut self, front: &mut impl Front, why: &str) {
        if let Link::Dialing {
            server,
            mut failures,
            ..
        } = std::mem::replace(&mut self.link, Link::None)
        {
            add_failure(&mut failures, server, why);
            self.may_read = false;
            self.dial_next(front, failures);
        }
    }

    /// Reads once, at most a chunk, so that what it says is written out before the next.
    fn read(&mut self, front: &mut impl Front) {
        let Link::Up(stream) = &mut self.link else {
            self.may_read = false;
            return;
        };
        match stream.read(&mut self.chunk) {
            Ok(0) => self.lost(Input::Closed),
            Ok(length) => {
                let input = Input::Received(&self.chunk[..length]);
                self.core.handle_input(input, now());
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => self.may_read = false,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => self.lost(Input::Failed(reason(&error))),
        }
        self.drain_core(front);
    }

    fn flush(&mut self, front: &mut impl Front) {
        let mut written = 0;
        while let Link::Up(stream) = &mut self.link
            && written < self.outgoing.len()
        {
            match stream.write(&self.outgoing[written..]) {
                Ok(length) => written += length,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // What the server said before is still to be read, and its end with it. Nothing
                // more is sent.
                Err(_) => {
                    self.may_read = true;
                    self.outgoing.clear();
                    written = 0;
                    break;
                }
            }
        }
        self.outgoing.drain(..written);
        self.drain_core(front);
    }

    fn lost(&mut self, input: Input<'_>) {
        self.link = Link::None;
        self.may_read = false;
        self.core.handle_input(input, now());
    }
}

/// The front's side.
impl Driver {
    fn drain_core(&mut self, front: &mut impl Front) {
        while let Some(output) = self.core.poll_output() {
            match output {
                Output::Send(bytes) => self.outgoing.extend_from_slice(&bytes),
                output => {
                    if matches!(output, Output::Ended { .. }) {
                        self.link = Link::None;
                        self.may_read = false;
                    }
                    front.handle_output(output, &mut self.core, now());
                }
            }
        }
    }

    fn type_lines(&mut self, front: &mut impl Front) {
        let Some((keyboard, _)) = &mut self.keyboard else {
            return;
        };
        for _ in 0..LINES_PER_TURN_MAX {
            if front.exit().is_some() || front.wants(&self.core) == Wants::Nothing {
                return;
            }
            let Some(typed) = keyboard.take() else {
                self.may_type = false;
                return;
            };
            front.handle_typed(typed, &mut self.core, now());
        }
    }

    /// Writes out what the front has to say. `Some` if nobody reads it any more.
    fn write_text(&mut self, front: &mut impl Front) -> io::Result<Option<Exit>> {
        let Written { output, error } = front.take_text(&self.core);
        let mut stdout = io::stdout().lock();
        let written = stdout
            .write_all(output.as_bytes())
            .and_then(|()| stdout.flush());
        drop(stdout);
        // Where nobody can be told, nobody is told.
        let _ = io::stderr().write_all(error.as_bytes());
        match written {
            Ok(()) => {
                front.handle_written(&mut self.core, now());
                Ok(None)
            }
            Err(error) if error.kind() == ErrorKind::BrokenPipe => {
                Ok(Some(front.exit().unwrap_or(Exit::OutputClosed)))
            }
            Err(error) => Err(io::Error::new(
                error.kind(),
                format!("standard output cannot be written: {error}"),
            )),
        }
    }

    /// Hides what is typed while it is a secret.
    fn hide_or_show(&mut self, front: &impl Front) {
        match (front.wants(&self.core), &self.hidden) {
            (Wants::Secret, None) => self.hidden = Hidden::start(),
            (Wants::Line | Wants::Nothing, Some(_)) => self.hidden = None,
            _ => {}
        }
    }
}

fn add_failure(failures: &mut String, server: SocketAddr, why: &str) {
    if !failures.is_empty() {
        failures.push_str(", ");
    }
    failures.push_str(&format!("{server}: {why}"));
}

/// What the system says, in the words of people.
fn reason(error: &io::Error) -> String {
    match error.kind() {
        ErrorKind::ConnectionRefused => "nothing listens there".into(),
        ErrorKind::ConnectionReset => "the connection was reset".into(),
        ErrorKind::TimedOut => "no answer".into(),
        ErrorKind::BrokenPipe => "the connection was closed".into(),
        _ => error.to_string(),
    }
}

/// The clock of the cores.
fn now() -> Time {
    let time = clock_gettime(ClockId::Boottime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let nanoseconds = u64::try_from(time.tv_nsec).unwrap_or(0);
    Time(seconds * 1_000_000_000 + nanoseconds)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::{Sender, channel};

    /// An input without anything in it, which tells when the thread that read it lets go of it.
    struct Nothing(Sender<()>);

    impl Read for Nothing {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Ok(0)
        }
    }

    impl Drop for Nothing {
        fn drop(&mut self) {
            let _ = self.0.send(());
        }
    }

    #[test]
    fn the_end_of_the_input_is_heard_after_the_thread_that_told_it_is_gone() {
        let core = Core::new("a test", Duration::from_secs(1));
        let mut driver = Driver::new(core, &[], Duration::from_secs(1)).unwrap();
        let (gone, is_gone) = channel();
        driver
            .start_keyboard(io::BufReader::new(Nothing(gone)))
            .unwrap();
        is_gone.recv().unwrap();
        driver
            .poll
            .poll(&mut driver.events, Some(Duration::ZERO))
            .unwrap();
        assert!(driver.events.iter().any(|event| event.token() == KEYBOARD));
    }
}
