//! How do sockets, the clock, signals and standard input reach a client and its front?
//!
//! One thread and one `mio::Poll`, as in the server; beside it the thread that reads standard input. What
//! waits here is bounded: bytes to the server by the requests that may be open, bytes from it
//! by one read, text by what one read can hold. While standard output takes nothing more (a pager, a
//! stopped terminal), nothing is read from the server either, and messages wait there.

use std::collections::BTreeMap;
use std::io::{self, BufRead, ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use mio::net::TcpStream;
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token, Waker};
use rustix::io::ioctl_fionread;
use rustix::pipe::fcntl_getpipe_size;
use rustix::time::{ClockId, clock_gettime};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGWINCH};
use signal_hook_mio::v1_0::Signals;

use super::failover::{Client, Input, LinkId, Output, Settings};
use super::front::{Exit, Front, Typed, Wants, Written};
use super::keyboard::{Hidden, Keyboard};
use super::remembered::Remembered;
use super::terminal;
use crate::limits::READ_BUDGET_BYTES;
use crate::types::Time;

const SIGNALS: Token = Token(0);
const KEYBOARD: Token = Token(1);
const OUTPUT: Token = Token(2);
/// A connection's token is its number and this.
const LINKS: usize = 3;

/// How soon and how late it is looked at whether the reader of a pipe has taken everything out. Of
/// that no event tells.
const READER_LOOKED_AT: (Duration, Duration) =
    (Duration::from_micros(50), Duration::from_millis(5));

/// Lines taken from standard input before the server has its turn.
const LINES_PER_TURN_MAX: usize = 256;

/// What is read from standard input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reads {
    /// Nothing.
    Nothing,
    /// Lines, from wherever they come.
    Lines,
    /// Keys, from a terminal that has been taken over
    /// ([`FullScreen`](super::terminal::FullScreen)).
    Keys,
}

/// Runs `front` with a client of these `settings` to its end. The members of the cluster are remembered
/// in the folder `remembers`, if there is one, and those of last time are tried, too.
///
/// # Errors
/// The system does not give what a loop needs.
pub fn run(
    front: &mut impl Front,
    mut settings: Settings,
    remembers: Option<PathBuf>,
    reads: Reads,
) -> io::Result<Exit> {
    let remembered = remembers.map(|folder| Remembered::new(folder, &settings.servers));
    if let Some(remembered) = &remembered {
        settings.members = remembered.members();
    }
    let mut driver = Driver::new(Client::new(settings, now()), remembered)?;
    match reads {
        Reads::Nothing => {}
        Reads::Lines => driver.start_keyboard(io::BufReader::new(io::stdin()))?,
        Reads::Keys => driver.start_keys(front)?,
    }
    if front.is_for_its_reader() {
        driver.watch_output();
    }
    loop {
        if let Some(exit) = driver.turn(front)? {
            return Ok(exit);
        }
    }
}

/// The loop.
struct Driver {
    client: Client,
    remembered: Option<Remembered>,
    poll: Poll,
    events: Events,
    signals: Signals,
    /// Standard input, if it is read, and what its thread wakes the loop with. The loop holds on to
    /// the waker: closed by the thread at the end of the input, it would take its last call along.
    keyboard: Option<(Keyboard, Arc<Waker>)>,
    /// There while what is typed must not be seen.
    hidden: Option<Hidden>,
    sockets: BTreeMap<LinkId, Socket>,
    /// What one read takes in.
    chunk: Box<[u8]>,
    /// There may be more lines than one turn takes.
    may_type: bool,
    /// Standard output is a pipe, and it matters what its reader has taken out of it.
    output_is_pipe: bool,
    /// When it is looked at again whether the reader has done so, and how long that is then put off.
    reader: Option<(Time, Duration)>,
    /// Standard output takes nothing more.
    output_is_lost: bool,
    /// How that ends it, unless the front ends by itself.
    over_by: Option<Exit>,
}

/// A connection's socket.
struct Socket {
    stream: TcpStream,
    /// It is up, and not still on its way.
    is_up: bool,
    /// Bytes on their way out. The requests that may be open bound them.
    outgoing: Vec<u8>,
    /// It may hold more than was read: being edge-triggered, it gives no second event.
    may_read: bool,
}

impl Driver {
    fn new(client: Client, remembered: Option<Remembered>) -> io::Result<Self> {
        let poll = Poll::new()?;
        let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP])?;
        poll.registry()
            .register(&mut signals, SIGNALS, Interest::READABLE)?;
        Ok(Self {
            client,
            remembered,
            poll,
            events: Events::with_capacity(16),
            signals,
            keyboard: None,
            hidden: None,
            sockets: BTreeMap::new(),
            chunk: vec![0; READ_BUDGET_BYTES].into_boxed_slice(),
            may_type: false,
            output_is_pipe: false,
            reader: None,
            output_is_lost: false,
            over_by: None,
        })
    }

    fn start_keys(&mut self, front: &mut impl Front) -> io::Result<()> {
        let waker = Arc::new(Waker::new(self.poll.registry(), KEYBOARD)?);
        let thread_waker = Arc::clone(&waker);
        let keyboard = Keyboard::start_keys(move || {
            // As below.
            let _ = thread_waker.wake();
        })?;
        self.keyboard = Some((keyboard, waker));
        self.signals.add_signal(SIGWINCH)?;
        // It may have changed before anybody listened.
        self.tell_size(front);
        Ok(())
    }

    /// The thread that reads keys would lose a change of size that comes together with a key.
    fn tell_size(&mut self, front: &mut impl Front) {
        let (columns, rows) = terminal::size();
        let resized = Typed::Resized { columns, rows };
        front.handle_typed(resized, &mut self.client, now());
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

    /// Notices when the last reader of a pipe goes away, as `tail -f` does.
    fn watch_output(&mut self) {
        // Files cannot be watched, and have no readers that could leave.
        let output = io::stdout().as_raw_fd();
        let _ = self
            .poll
            .registry()
            .register(&mut SourceFd(&output), OUTPUT, Interest::READABLE);
        // Nothing else has such a size.
        self.output_is_pipe = fcntl_getpipe_size(io::stdout()).is_ok();
    }

    /// One turn of the loop.
    fn turn(&mut self, front: &mut impl Front) -> io::Result<Option<Exit>> {
        let exit = self.work(front);
        if exit.is_none() {
            self.wait(front)?;
        }
        Ok(exit)
    }

    /// Hands on what came, and writes what is to be written.
    fn work(&mut self, front: &mut impl Front) -> Option<Exit> {
        if !front.has_enough() {
            for link in self.sockets.keys().copied().collect::<Vec<_>>() {
                self.read(link);
            }
            // Not before what was said meanwhile was heard.
            let now = now();
            if self.client.poll_timeout().is_some_and(|at| at <= now) {
                self.client.handle_timeout(now);
            }
        }
        self.drain_client(front);
        self.type_lines(front);
        self.drain_client(front);
        // Before somebody sees the question and begins to answer it.
        self.hide_or_show(front);
        if let Some(exit) = self.write_text(front) {
            return Some(exit);
        }
        self.drain_client(front);
        self.flush();
        if let Some(exit) = front.exit() {
            // What the end itself had to say, which may be lost.
            let lost = self.write_text(front);
            return lost.or(front.exit()).or(Some(exit));
        }
        None
    }

    fn wait(&mut self, front: &mut impl Front) -> io::Result<()> {
        let may_read = !front.has_enough() && self.sockets.values().any(|it| it.may_read);
        let has_more = may_read || (self.may_type && front.wants(&self.client) != Wants::Nothing);
        let time_out = match has_more {
            true => Some(Duration::ZERO),
            false => self.next_timeout(front).map(|at| at.since(now())),
        };
        match self.poll.poll(&mut self.events, time_out) {
            Err(error) if error.kind() != ErrorKind::Interrupted => return Err(error),
            _ => {}
        }
        let mut ready = Vec::new();
        let mut is_read = true;
        for event in &self.events {
            match event.token() {
                SIGNALS => {}
                KEYBOARD => self.may_type = true,
                OUTPUT => is_read &= !event.is_error(),
                Token(token) => ready.push(LinkId((token - LINKS) as u64)),
            }
        }
        for link in ready {
            self.look_at(link);
        }
        if !is_read {
            self.lose_output(Exit::OutputClosed, front);
        }
        for signal in self.signals.pending() {
            match signal {
                SIGWINCH => self.tell_size(front),
                signal => front.handle_signal(signal, &mut self.client, now()),
            }
        }
        front.handle_timeout(&mut self.client, now());
        Ok(())
    }

    fn next_timeout(&self, front: &impl Front) -> Option<Time> {
        let client = match front.has_enough() {
            true => None,
            false => self.client.poll_timeout(),
        };
        let reader = self.reader.map(|(at, _)| at);
        let timeouts = [client, front.poll_timeout(), reader];
        timeouts.into_iter().flatten().min()
    }
}

/// The way to the servers.
impl Driver {
    fn dial(&mut self, link: LinkId, address: SocketAddr) {
        let connected = TcpStream::connect(address).and_then(|mut stream| {
            let token = Token(link.0 as usize + LINKS);
            let interest = Interest::READABLE | Interest::WRITABLE;
            self.poll
                .registry()
                .register(&mut stream, token, interest)?;
            Ok(stream)
        });
        match connected {
            Ok(stream) => {
                let socket = Socket {
                    stream,
                    is_up: false,
                    outgoing: Vec::new(),
                    may_read: false,
                };
                self.sockets.insert(link, socket);
            }
            Err(error) => self.tell(Input::Failed(link, reason(&error))),
        }
    }

    /// Something happened to a socket. Whatever it is, an error too: reading finds out.
    fn look_at(&mut self, link: LinkId) {
        let Some(socket) = self.sockets.get_mut(&link) else {
            return;
        };
        if socket.is_up {
            socket.may_read = true;
            return;
        }
        let stream = &socket.stream;
        match stream.take_error().map(|error| (error, stream.peer_addr())) {
            Ok((None, Ok(_))) => {
                // Without it, small requests wait for each other; where it is refused, they do.
                let _ = stream.set_nodelay(true);
                socket.is_up = true;
                // Readiness that came while it was dialed gives no second event.
                socket.may_read = true;
                self.tell(Input::Connected(link));
            }
            // It is still on its way.
            Ok((None, Err(error))) if error.kind() == ErrorKind::NotConnected => {}
            Ok((Some(error), _)) | Ok((None, Err(error))) | Err(error) => {
                self.lost(Input::Failed(link, reason(&error)), link);
            }
        }
    }

    /// Reads once, at most a chunk, so that what it says is written out before the next.
    fn read(&mut self, link: LinkId) {
        let Some(socket) = self.sockets.get_mut(&link).filter(|it| it.may_read) else {
            return;
        };
        match socket.stream.read(&mut self.chunk) {
            Ok(0) => self.lost(Input::Closed(link), link),
            Ok(length) => {
                let input = Input::Received(link, &self.chunk[..length]);
                self.client.handle_input(input, now());
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => socket.may_read = false,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => self.lost(Input::Failed(link, reason(&error)), link),
        }
    }

    fn flush(&mut self) {
        for socket in self.sockets.values_mut().filter(|it| it.is_up) {
            let mut written = 0;
            while written < socket.outgoing.len() {
                match socket.stream.write(&socket.outgoing[written..]) {
                    Ok(length) => written += length,
                    Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                    Err(error) if error.kind() == ErrorKind::Interrupted => {}
                    // What the server said before is still to be read, and its end with it. Nothing
                    // more is sent.
                    Err(_) => {
                        socket.may_read = true;
                        written = socket.outgoing.len();
                    }
                }
            }
            socket.outgoing.drain(..written);
        }
    }

    fn lost(&mut self, input: Input<'_>, link: LinkId) {
        self.sockets.remove(&link);
        self.tell(input);
    }

    fn tell(&mut self, input: Input<'_>) {
        self.client.handle_input(input, now());
    }
}

/// The front's side.
impl Driver {
    fn drain_client(&mut self, front: &mut impl Front) {
        while let Some(output) = self.client.poll_output() {
            match output {
                Output::Dial { link, address } => self.dial(link, address),
                Output::Send { link, bytes } => {
                    if let Some(socket) = self.sockets.get_mut(&link) {
                        socket.outgoing.extend_from_slice(&bytes);
                    }
                }
                Output::HangUp(link) => drop(self.sockets.remove(&link)),
                Output::Learnt { cluster, members } => {
                    if let Some(remembered) = &self.remembered {
                        // Without it the servers that were named have to do next time.
                        let _ = remembered.remember(cluster, &members);
                    }
                }
                output => front.handle_output(output, &mut self.client, now()),
            }
        }
    }

    fn type_lines(&mut self, front: &mut impl Front) {
        let Some((keyboard, _)) = &mut self.keyboard else {
            return;
        };
        for _ in 0..LINES_PER_TURN_MAX {
            if front.exit().is_some() || front.wants(&self.client) == Wants::Nothing {
                return;
            }
            let Some(typed) = keyboard.take() else {
                self.may_type = false;
                return;
            };
            front.handle_typed(typed, &mut self.client, now());
        }
    }

    /// Writes out what the front has to say. `Some` if that cannot be done any more, and is its end.
    fn write_text(&mut self, front: &mut impl Front) -> Option<Exit> {
        let Written { output, error } = front.take_text(&self.client, now());
        let mut complaint = String::new();
        if !self.output_is_lost {
            let mut stdout = io::stdout().lock();
            let written = stdout
                .write_all(output.as_bytes())
                .and_then(|()| stdout.flush());
            drop(stdout);
            match written {
                Ok(()) => self.written(!output.is_empty(), front),
                Err(error) if error.kind() == ErrorKind::BrokenPipe => {
                    self.lose_output(Exit::OutputClosed, front);
                }
                Err(error) => {
                    complaint = format!("client: standard output cannot be written: {error}\n");
                    self.lose_output(Exit::Failed, front);
                }
            }
        }
        // Where nobody can be told, nobody is told.
        let _ = io::stderr().write_all((complaint + &error).as_bytes());
        self.over_by
    }

    /// Everything is written. Where that is a pipe with a reader that matters, what counts is that it
    /// was taken out: who leaves (`head`) has not seen what is still in it.
    fn written(&mut self, is_new: bool, front: &mut impl Front) {
        if is_new && self.output_is_pipe {
            self.reader = Some((now() + READER_LOOKED_AT.0, READER_LOOKED_AT.0));
        }
        if let Some((at, pause)) = self.reader {
            if at > now() {
                return;
            }
            if !is_taken_out() {
                let pause = (pause * 2).min(READER_LOOKED_AT.1);
                self.reader = Some((now() + pause, pause));
                return;
            }
            self.reader = None;
        }
        front.handle_written(&mut self.client, now());
    }

    /// Tells the front once that standard output takes nothing more.
    fn lose_output(&mut self, why: Exit, front: &mut impl Front) {
        if !self.output_is_lost {
            self.output_is_lost = true;
            if self.reader.take().is_some() && is_taken_out() {
                // It has read everything before it left.
                front.handle_written(&mut self.client, now());
            }
            let ends_by_itself = front.handle_output_lost(why, &mut self.client, now());
            let exit = front.exit().filter(|exit| *exit != Exit::Done);
            self.over_by = (!ends_by_itself).then_some(exit.unwrap_or(why));
        }
    }

    /// Hides what is typed while it is a secret.
    fn hide_or_show(&mut self, front: &impl Front) {
        match (front.wants(&self.client), &self.hidden) {
            (Wants::Secret, None) => self.hidden = Hidden::start(),
            (Wants::Line | Wants::Nothing | Wants::Keys, Some(_)) => self.hidden = None,
            _ => {}
        }
    }
}

/// Whether the pipe that standard output is holds nothing any more.
fn is_taken_out() -> bool {
    ioctl_fionread(io::stdout()).is_ok_and(|bytes| bytes == 0)
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

/// The clock of the client.
fn now() -> Time {
    let time = clock_gettime(ClockId::Boottime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let nanoseconds = u64::try_from(time.tv_nsec).unwrap_or(0);
    Time(seconds * 1_000_000_000 + nanoseconds)
}

#[cfg(test)]
mod tests {
    use super::super::scripted::settings;
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
        let mut driver = Driver::new(Client::new(settings(), now()), None).unwrap();
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
