//! How does a test get a server? By starting the real binary on a free port and a folder that
//! vanishes with the test, and waiting until it says that it is ready.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::text::TextClient;
use super::{PASSWORD, PATIENCE, eventually};

/// The server's binary.
pub const SERVER: &str = env!("CARGO_BIN_EXE_server");

/// A running server, which ends with the test.
pub struct TestServer {
    folder: TempDir,
    port: u16,
    options: Vec<String>,
    /// The most descriptors it may open; `None`: as many as the test itself.
    descriptors: Option<u32>,
    /// `None` between an end and the next start.
    child: Option<Child>,
}

impl TestServer {
    /// A server on an empty folder, ready for clients.
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// The same with further options.
    pub fn start_with(options: &[&str]) -> Self {
        Self::first_start(options, None)
    }

    /// The same, but no more than so many open descriptors.
    pub fn start_with_descriptors(descriptors: u32) -> Self {
        Self::first_start(&[], Some(descriptors))
    }

    /// The same on a data folder that `prepare` makes.
    pub fn start_on(prepare: impl FnOnce(&Path)) -> Self {
        let mut server = Self::not_started(&[], None);
        prepare(&server.data());
        server.start_somewhere();
        server
    }

    /// Where it serves.
    pub fn address(&self) -> SocketAddr {
        loopback(self.port)
    }

    /// What `--data` named.
    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// A folder for the test's own files, beside the data.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.as_ref().expect("the server runs").id()
    }

    /// A connection in text mode.
    pub fn text(&self) -> TextClient {
        TextClient::connect(self.address())
    }

    /// A connection in text mode, logged in as a new account.
    pub fn account(&self, name: &str) -> TextClient {
        let mut client = self.text();
        client.create(name);
        client.login(name);
        client
    }

    /// A connection in text mode, logged in as an account that exists. Answers what was unread.
    pub fn login(&self, name: &str) -> TextClient {
        let mut client = self.text();
        client.login_with(name, PASSWORD);
        client
    }

    /// Ends it as a crash would.
    pub fn kill(&mut self) {
        let mut child = self.child.take().expect("the server runs");
        child.kill().expect("SIGKILL goes out");
        child.wait().expect("the server ends");
    }

    /// Asks it to end, without waiting.
    pub fn terminate(&self) {
        let child = self.child.as_ref().expect("the server runs");
        kill_process(Pid::from_child(child), Signal::TERM).expect("SIGTERM goes out");
    }

    /// Waits until it has ended by itself.
    pub fn wait(&mut self) -> ExitStatus {
        let mut child = self.child.take().expect("the server runs");
        match wait_for(&mut child) {
            Some(status) => status,
            None => panic!("the server does not end\n{}", self.said()),
        }
    }

    /// Starts it again on the same folder and port, until it is ready.
    pub fn restart(&mut self) {
        assert!(self.child.is_none(), "the server still runs");
        if let Err(status) = self.try_start() {
            panic!("the server does not start again: {status}\n{}", self.said());
        }
    }

    /// Starts it and ends it as a crash would, somewhere on its way.
    pub fn start_and_kill_after(&mut self, pause: Duration) {
        assert!(self.child.is_none(), "the server still runs");
        let mut child = self.command().spawn().expect("the server can be run");
        std::thread::sleep(pause);
        child.kill().expect("SIGKILL goes out");
        child.wait().expect("the server ends");
    }

    /// Starts it again where it is expected to refuse. Answers its exit status.
    pub fn restart_refused(&mut self) -> ExitStatus {
        assert!(self.child.is_none(), "the server still runs");
        match self.try_start() {
            Ok(()) => panic!("the server starts, and should not\n{}", self.said()),
            Err(status) => status,
        }
    }

    /// Everything it has written to standard error, of all its starts.
    pub fn said(&self) -> String {
        let bytes = fs::read(self.folder.path().join("stderr")).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Fails if it has ended or panicked.
    pub fn assert_well(&mut self) {
        let child = self.child.as_mut().expect("the server runs");
        let status = child.try_wait().expect("its state can be asked for");
        assert_eq!(status, None, "the server has ended\n{}", self.said());
        assert!(!self.said().contains("panicked"), "{}", self.said());
        self.text().ping();
    }

    fn first_start(options: &[&str], descriptors: Option<u32>) -> Self {
        let mut server = Self::not_started(options, descriptors);
        server.start_somewhere();
        server
    }

    fn not_started(options: &[&str], descriptors: Option<u32>) -> Self {
        Self {
            folder: TempDir::with_prefix("lastword-test-").expect("a folder for the test"),
            port: 0,
            options: options.iter().map(|option| option.to_string()).collect(),
            descriptors,
            child: None,
        }
    }

    /// Starts it for the first time.
    fn start_somewhere(&mut self) {
        // Between looking for a free port and taking it, somebody else may have been quicker.
        for _ in 0..10 {
            self.port = free_port();
            match self.try_start() {
                Ok(()) => return,
                Err(_) if self.said().contains("in use") => {}
                Err(status) => panic!("the server does not start: {status}\n{}", self.said()),
            }
        }
        panic!("no port was free ten times in a row\n{}", self.said());
    }

    fn try_start(&mut self) -> Result<(), ExitStatus> {
        let mut child = self.command().spawn().expect("the server can be run");
        let address = self.address();
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = child.try_wait().expect("its state can be asked for") {
                return Err(status);
            }
            if says_ready(address) {
                self.child = Some(child);
                return Ok(());
            }
            if Instant::now() > deadline {
                self.child = Some(child);
                panic!("the server does not become ready\n{}", self.said());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn command(&self) -> Command {
        let mut words: Vec<OsString> = vec![
            "127.0.0.1".into(),
            self.port.to_string().into(),
            "1".into(),
            "--data".into(),
            self.data().into(),
        ];
        if !self.options.iter().any(|option| option == "--backups") {
            words.extend(["--backups".into(), "0".into()]);
        }
        words.extend(self.options.iter().map(OsString::from));
        let mut command = match self.descriptors {
            None => Command::new(SERVER),
            Some(limit) => {
                let mut shell = Command::new("sh");
                shell.arg("-c");
                shell.arg(format!("ulimit -n {limit} && exec \"$0\" \"$@\""));
                shell.arg(SERVER);
                shell
            }
        };
        command.args(words);
        command.env_remove("RUST_LOG").env_remove("LASTWORD_DATA");
        command.stdin(Stdio::null());
        command.stdout(self.log_file("stdout"));
        command.stderr(self.log_file("stderr"));
        command
    }

    fn log_file(&self, name: &str) -> File {
        OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.folder.path().join(name))
            .expect("a file for what the server says")
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            // It may have ended by itself; then there is nothing left to kill.
            let _ = child.kill();
            let _ = child.wait();
        }
        if std::thread::panicking() {
            eprintln!("--- what the server said:\n{}---", self.said());
        }
    }
}

/// Waits for a process to end by itself; ends it, and answers `None`, when it does not.
pub fn wait_for(child: &mut Child) -> Option<ExitStatus> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(status) = child.try_wait().expect("its state can be asked for") {
            return Some(status);
        }
        if Instant::now() > deadline {
            let _ = child.kill();
            let _ = child.wait();
            return None;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// This port on the loopback address.
pub fn loopback(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

/// A port that is free, as is the next one, which the server takes for itself. Below the range
/// from which the system takes ports for outgoing connections, so that it stays free between two
/// starts of a server.
pub fn free_port() -> u16 {
    const FIRST: u32 = 10_000;
    const PAIRS: u32 = 11_000;
    static NEXT: AtomicU32 = AtomicU32::new(0);
    eventually("two free ports in a row", || {
        let taken = NEXT.fetch_add(1, Ordering::Relaxed);
        let pair = (std::process::id().wrapping_mul(257).wrapping_add(taken)) % PAIRS;
        let port = (FIRST + 2 * pair) as u16;
        let both = [port, port + 1].map(|port| TcpListener::bind(loopback(port)));
        both.iter().all(Result::is_ok).then_some(port)
    })
}

/// Whether a server answers there that lets clients in.
fn says_ready(address: SocketAddr) -> bool {
    let Ok(stream) = TcpStream::connect(address) else {
        return false;
    };
    let Some(status) = TextClient::over(stream).try_ask("STATUS") else {
        return false;
    };
    status.lines.iter().any(|line| line == "* ready yes")
}
