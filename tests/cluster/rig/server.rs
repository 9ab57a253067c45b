//! What can be done to a server's process? It is started as a user would start it, ended by its
//! id, and asked nothing that it would not tell anybody.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use crate::common::eventually;
use crate::common::process::{listens_at, state};
use crate::common::server::{SERVER, wait_for};
use crate::common::status::Status;

use super::hosts::Host;

/// A server, which runs or does not, and ends with the test.
pub struct Server {
    /// What the test calls it.
    name: String,
    service: SocketAddr,
    /// `0` or `1`, as it is started the next time.
    is_primary: bool,
    /// What stands behind the three arguments.
    options: Vec<OsString>,
    /// The folder in which it is started, and in which what it says is kept.
    folder: PathBuf,
    /// The network that it lives in; `None`: the test's own.
    host: Option<Host>,
    child: Option<Child>,
}

impl Server {
    /// A server that does not run yet. `folder` is its own.
    pub fn new(name: &str, service: SocketAddr, folder: PathBuf) -> Self {
        fs::create_dir_all(&folder).expect("a folder for the server");
        Self {
            name: name.to_string(),
            service,
            is_primary: false,
            options: Vec::new(),
            folder,
            host: None,
            child: None,
        }
    }

    /// Adds an option and its value.
    pub fn with(mut self, option: &str, value: impl Into<OsString>) -> Self {
        self.options.extend([option.into(), value.into()]);
        self
    }

    /// Adds options as they would be typed.
    pub fn with_words(mut self, words: &[&str]) -> Self {
        self.options.extend(words.iter().map(OsString::from));
        self
    }

    /// From the next start on these options stand behind the others.
    pub fn add_words(&mut self, words: &[&str]) {
        self.options.extend(words.iter().map(OsString::from));
    }

    /// From the next start on the last options are left out again.
    pub fn take_words_away(&mut self, words: &[&str]) {
        let kept = self.options.len() - words.len();
        assert_eq!(self.options[kept..], *words, "other options are the last");
        self.options.truncate(kept);
    }

    /// It lives on this host.
    pub fn on(mut self, host: &Host) -> Self {
        self.host = Some(host.clone());
        self
    }

    // --- life ---

    /// Starts it as the one that is to be the primary if nobody is.
    pub fn start_as_primary(&mut self) {
        self.is_primary = true;
        self.start();
    }

    /// Starts it as the one that joins.
    pub fn start_to_join(&mut self) {
        self.is_primary = false;
        self.start();
    }

    /// The next start is one to join.
    pub fn join_from_now_on(&mut self) {
        self.is_primary = false;
    }

    /// Starts it with the arguments that it had the last time; 0 at first. Waits for nothing.
    pub fn start(&mut self) {
        assert!(self.child.is_none(), "{} runs already", self.name);
        let mut command = self.command();
        let mut spawn = move || command.spawn().expect("the server can be run");
        self.child = Some(match &self.host {
            None => spawn(),
            Some(host) => host.inside(spawn),
        });
    }

    /// Ends it as a crash would.
    pub fn kill(&mut self) {
        let mut child = self.child.take().expect("the server runs");
        child.kill().expect("SIGKILL goes out");
        child.wait().expect("the server ends");
    }

    /// Asks it to end, without waiting.
    pub fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// Waits until it has ended by itself.
    pub fn wait(&mut self) -> ExitStatus {
        let mut child = self.child.take().expect("the server runs");
        let status = wait_for(&mut child);
        status.unwrap_or_else(|| panic!("{} does not end\n{}", self.name, self.said()))
    }

    /// Stops it where it stands, as a debugger or a swapping machine would.
    pub fn pause(&self) {
        self.signal(Signal::STOP);
        eventually("a process stops", || {
            (state(self.pid()) == 'T').then_some(())
        });
    }

    /// Lets it go on.
    pub fn go_on(&self) {
        self.signal(Signal::CONT);
    }

    /// Whether its process is there.
    pub fn runs(&self) -> bool {
        self.child.is_some()
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.as_ref().expect("the server runs").id()
    }

    fn signal(&self, signal: Signal) {
        let child = self.child.as_ref().expect("the server runs");
        kill_process(Pid::from_child(child), signal).expect("a signal goes out");
    }

    // --- what it says ---

    /// Its own address, as soon as it has bound it.
    pub fn member(&self) -> SocketAddr {
        eventually("a server binds its own address", || {
            let addresses = listens_at(self.pid());
            addresses
                .into_iter()
                .find(|address| *address != self.service)
        })
    }

    /// What it says of itself; `None` while it cannot.
    pub fn status(&self) -> Option<Status> {
        let addresses = listens_at(self.pid());
        let member = addresses
            .into_iter()
            .find(|address| *address != self.service)?;
        match &self.host {
            None => Status::ask(member),
            Some(host) => host.inside(|| Status::ask(member)),
        }
    }

    /// Waits until it says what is wanted of itself.
    #[track_caller]
    pub fn until(&self, what: &str, wanted: impl Fn(&Status) -> bool) -> Status {
        eventually(&format!("{}: {what}", self.name), || {
            self.status().filter(|status| wanted(status))
        })
    }

    /// Its id, as soon as it has one.
    pub fn id(&self) -> u16 {
        let status = self.until("gets an id", |status| status.server.is_some());
        status.server.expect("just looked at")
    }

    /// Everything that it has written, of all its starts.
    pub fn said(&self) -> String {
        let read = |name| fs::read(self.folder.join(name)).unwrap_or_default();
        String::from_utf8_lossy(&[read("stdout"), read("stderr")].concat()).into_owned()
    }

    /// Waits until it has written this.
    #[track_caller]
    pub fn until_it_says(&self, words: &str) {
        eventually(&format!("{} says {words:?}", self.name), || {
            self.said().contains(words).then_some(())
        });
    }

    /// Fails if it has ended or panicked.
    #[track_caller]
    pub fn assert_well(&mut self) {
        let name = &self.name;
        if let Some(child) = self.child.as_mut() {
            let status = child.try_wait().expect("its state can be asked for");
            assert_eq!(status, None, "{name} has ended\n{}", self.said());
        }
        assert!(!self.said().contains("panicked"), "{}", self.said());
    }

    /// What stands behind the program's name when it is started the next time.
    pub fn arguments(&self) -> Vec<OsString> {
        let primary = if self.is_primary { "1" } else { "0" };
        let service = [
            self.service.ip().to_string(),
            self.service.port().to_string(),
        ];
        let first = service.into_iter().map(OsString::from);
        first
            .chain([primary.into()])
            .chain(self.options.iter().cloned())
            .collect()
    }

    fn command(&self) -> Command {
        let mut command = Command::new(SERVER);
        command.args(self.arguments());
        command.env_remove("RUST_LOG").env_remove("LASTWORD_DATA");
        command.current_dir(&self.folder);
        command.stdin(Stdio::null());
        command.stdout(self.log_file("stdout"));
        command.stderr(self.log_file("stderr"));
        command
    }

    fn log_file(&self, name: &str) -> File {
        OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.folder.join(name))
            .expect("a file for what the server says")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            if std::thread::panicking() {
                // Where it is stopped, it could not tell; nobody waits for it any more.
                eprintln!("--- {} (process {}) still ran", self.name, child.id());
            }
            // It may have ended by itself; then there is nothing left to kill.
            let _ = child.kill();
            let _ = child.wait();
        }
        if std::thread::panicking() {
            eprintln!("--- what {} said:\n{}---", self.name, self.said());
        }
    }
}
