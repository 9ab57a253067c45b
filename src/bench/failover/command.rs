//! How is a server killed, and started again?
//!
//! By commands of the user's, in the shell, since only he knows how: they are told by their
//! environment which server it is about.

use std::fmt;
use std::net::SocketAddr;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use super::FailoverError;
use crate::types::Time;

/// The variable with the id of the server that leads. (Where `scripts/cluster` has started the
/// servers, it is the number of the slot, too.)
pub const SERVER_VARIABLE: &str = "LASTWORD_SERVER_ID";
/// The variable with the own address of the server that leads.
pub const MEMBER_VARIABLE: &str = "LASTWORD_MEMBER";
/// The variable with the id of its process, where that runs on this machine and may be looked at.
pub const PROCESS_VARIABLE: &str = "LASTWORD_PID";
/// How long a command may take.
const TIME_MAX: Duration = Duration::from_secs(120);

/// A command of the user's, by its option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// What kills the primary.
    Kill,
    /// What starts it again.
    Restart,
}

impl fmt::Display for Which {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kill => "--kill",
            Self::Restart => "--restart",
        })
    }
}

/// The server that a command is about.
#[derive(Clone, Copy, Debug)]
pub(super) struct Victim {
    pub server: u16,
    pub member: SocketAddr,
    pub process: Option<u32>,
}

/// A command that was started.
pub(super) struct Running {
    which: Which,
    command: String,
    child: Child,
    since: Time,
    /// When it was seen to have done its work.
    pub done_at: Option<Time>,
}

impl Running {
    /// Runs a command in the shell. It gets nothing to read; its standard output is for nobody, and
    /// what it complains of is seen. (A pipe would be lost on a server that it leaves running.)
    pub fn start(
        which: Which,
        command: &str,
        victim: &Victim,
        now: Time,
    ) -> Result<Self, FailoverError> {
        let mut shell = Command::new("sh");
        shell
            .args(["-c", command])
            .env(SERVER_VARIABLE, victim.server.to_string())
            .env(MEMBER_VARIABLE, victim.member.to_string())
            .env_remove(PROCESS_VARIABLE)
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        if let Some(process) = victim.process {
            shell.env(PROCESS_VARIABLE, process.to_string());
        }
        let child = shell
            .spawn()
            .map_err(|error| FailoverError::NotStarted(which, error))?;
        Ok(Self {
            which,
            command: command.to_owned(),
            child,
            since: now,
            done_at: None,
        })
    }

    /// Whether it has done its work.
    ///
    /// # Errors
    /// It has failed, or takes too long.
    pub fn is_done(&mut self, now: Time) -> Result<bool, FailoverError> {
        if self.done_at.is_some() {
            return Ok(true);
        }
        let status = self.child.try_wait()?;
        match status {
            None if now.since(self.since) < TIME_MAX => return Ok(false),
            None => {
                // It is given up either way.
                let _ = self.child.kill();
                let _ = self.child.wait();
                return Err(FailoverError::CommandHangs {
                    which: self.which,
                    command: self.command.clone(),
                    seconds: TIME_MAX,
                });
            }
            Some(status) => self.judge(status)?,
        }
        self.done_at = Some(now);
        Ok(true)
    }

    fn judge(&self, status: ExitStatus) -> Result<(), FailoverError> {
        if status.success() {
            return Ok(());
        }
        Err(FailoverError::CommandFailed {
            which: self.which,
            command: self.command.clone(),
            status,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    fn outcome(command: &str) -> Result<(), FailoverError> {
        let victim = Victim {
            server: 3,
            member: "127.0.0.1:5003".parse().unwrap(),
            process: None,
        };
        let mut running = Running::start(Which::Kill, command, &victim, Time(0))?;
        let begin = Instant::now();
        while !running.is_done(Time(1))? {
            assert!(begin.elapsed() < Duration::from_secs(30), "true ends");
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    #[test]
    fn a_command_is_told_whom_it_is_about_and_its_failure_is_told() {
        outcome(
            "test \"$LASTWORD_SERVER_ID $LASTWORD_MEMBER $LASTWORD_PID\" = '3 127.0.0.1:5003 '",
        )
        .unwrap();
        let failed = outcome("exit 7").unwrap_err().to_string();
        assert!(failed.contains("--kill has failed"), "{failed}");
        assert!(failed.contains("exit status: 7"), "{failed}");
        assert!(failed.contains("exit 7"), "{failed}");
    }

    #[test]
    fn a_command_that_does_not_end_is_given_up() {
        let victim = Victim {
            server: 3,
            member: "127.0.0.1:5003".parse().unwrap(),
            process: None,
        };
        let mut running =
            Running::start(Which::Restart, "exec sleep 1000", &victim, Time(0)).unwrap();
        assert!(!running.is_done(Time(1)).unwrap());
        let late = Time(0) + TIME_MAX;
        let hangs = running.is_done(late).unwrap_err().to_string();
        assert!(hangs.contains("has not ended after 120 s"), "{hangs}");
    }
}
