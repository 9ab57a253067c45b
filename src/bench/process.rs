//! What does a server's process take of the machine?

mod kernel;

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

pub(super) use self::kernel::Process;
use super::connections::BenchError;
use crate::net::{Listener, clock};

/// How long a server that is told to end may take.
const END_TIME_MAX: Duration = Duration::from_secs(60);
/// How often it is looked whether it has ended.
const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(5);

/// A server that was started here. It is killed when this is dropped.
pub(super) struct ServerProcess {
    child: Child,
    /// Where it serves.
    pub address: SocketAddr,
}

impl ServerProcess {
    /// Starts `program` on the data folder `data`, at a free address of this machine. It may not be ready
    /// yet.
    pub fn start(program: &Path, data: &Path) -> Result<Self, BenchError> {
        let (address, member) = free_addresses()?;
        let mut command = Command::new(program);
        command
            .arg(address.ip().to_string())
            .arg(address.port().to_string())
            .args(["1", "--backups", "0", "--data"])
            .arg(data)
            .args(["--member", &member.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        if std::env::var_os("RUST_LOG").is_none() {
            command.env("RUST_LOG", "warn");
        }
        let child = command.spawn().map_err(|error| {
            let program = program.display();
            BenchError::Process(format!(
                "{program} cannot be started: {error}; say with --program where the server is"
            ))
        })?;
        Ok(Self { child, address })
    }

    /// An error if it has ended.
    pub fn check(&mut self) -> Result<(), BenchError> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => Err(BenchError::Process(format!(
                "the server has ended ({status}); what it said is above"
            ))),
        }
    }

    /// Bytes of memory that are its own at this moment.
    pub fn resident_bytes(&self) -> Result<u64, BenchError> {
        Ok(Process(self.child.id()).resident_bytes()?)
    }

    /// Tells it to end, and waits until it has.
    pub fn stop(mut self) -> Result<(), BenchError> {
        // It may be gone already.
        let _ = kill_process(Pid::from_child(&self.child), Signal::TERM);
        let begun = clock::now();
        while self.child.try_wait()?.is_none() {
            if clock::now().since(begun) > END_TIME_MAX {
                return Err(BenchError::Process(
                    "the server does not end when it is told to".to_owned(),
                ));
            }
            std::thread::sleep(LOOK_AGAIN_AFTER);
        }
        Ok(())
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        // It is gone already, if that fails.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Two addresses that nobody has at the moment.
fn free_addresses() -> io::Result<(SocketAddr, SocketAddr)> {
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let (one, other) = (Listener::bind(any)?, Listener::bind(any)?);
    Ok((one.local_addr(), other.local_addr()))
}

/// Bytes of all files in a folder and below.
pub(super) fn folder_bytes(folder: &Path) -> io::Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let about = entry.metadata()?;
        bytes += match about.is_dir() {
            true => folder_bytes(&entry.path())?,
            false => about.len(),
        };
    }
    Ok(bytes)
}
