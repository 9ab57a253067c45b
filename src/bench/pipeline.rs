//! What is the most that such a server could do?
//!
//! A bare pipeline: three processes which do what none of this kind can leave out, and nothing else. The
//! first one reads the frames of its clients with the same loop, appends them to a file, sends them to
//! the two others, which append them too; all three write once and sync once for all that came
//! together; then it acknowledges. One batch is in flight at a time. There is no chat in it, no store, and no
//! protocol: nobody could be killed here.

mod stage;

pub use stage::{Place, run_stage};

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::connections::BenchError;

/// How the files are written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileKind {
    /// Zeros were written before, so that a sync has no new length to write down.
    Prepared,
    /// They grow.
    Growing,
}

/// A pipeline that runs, as long as this is kept.
pub struct Pipeline {
    stages: Vec<Child>,
    address: SocketAddr,
}

impl Pipeline {
    /// Starts the processes. Each is made by `command`, gets as its last arguments where it stands, and
    /// has to call [`run_stage`] with that. Their files are in `folder`, some 200 MiB each, without names: they are
    /// gone when the processes are.
    ///
    /// # Errors
    /// A process cannot be started, or does not say where it listens.
    pub fn start(
        command: impl Fn() -> Command,
        folder: &Path,
        kind: FileKind,
    ) -> Result<Self, BenchError> {
        if !folder.is_dir() {
            let folder = folder.display();
            return Err(BenchError::Process(format!(
                "there is no folder {folder}: make it, or name another one with --folder"
            )));
        }
        let mut pipeline = Self {
            stages: Vec::new(),
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
        };
        let mut backups = Vec::new();
        for number in [3, 2, 1] {
            let place = Place {
                folder: folder.to_owned(),
                number,
                kind,
                backups: if number == 1 {
                    backups.clone()
                } else {
                    Vec::new()
                },
            };
            backups.push(pipeline.start_stage(command(), &place)?);
        }
        pipeline.address = backups[2];
        Ok(pipeline)
    }

    /// Where clients connect.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    fn start_stage(
        &mut self,
        mut command: Command,
        place: &Place,
    ) -> Result<SocketAddr, BenchError> {
        let failed = |what: String| BenchError::Process(format!("the bare pipeline: {what}"));
        let mut child = command
            .args(place.to_words())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| failed(error.to_string()))?;
        let output = child.stdout.take().expect("it was asked for");
        self.stages.push(child);
        let mut line = String::new();
        BufReader::new(output)
            .read_line(&mut line)
            .map_err(|error| failed(error.to_string()))?;
        line.trim().parse().map_err(|_| {
            failed("a process has not come to listen; what it said is above".to_owned())
        })
    }
}

impl Drop for Pipeline {
    fn drop(&mut self) {
        for mut stage in self.stages.drain(..) {
            // It is gone already, if that fails.
            let _ = stage.kill();
            let _ = stage.wait();
        }
    }
}
