//! What does a client cost that does nothing?
//!
//! Many clients log in and then say nothing. The memory of the server's process is looked at before
//! they come and after they have done nothing for a while: what it kept of their coming counts, also
//! where the allocator only has it in store. What the kernel keeps for their sockets is not in it.
//!
//! A server that has had as many clients before still has their memory, and gives it to those who come
//! now: their price cannot be seen again until it is started anew.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use super::connections::{BenchError, Connections};
use super::entrance::Entrance;
use super::process::Process;
use crate::limits::DESCRIPTORS_FOR_FILES;
use crate::net::clock;
use crate::net::descriptors::raise_limit;

/// Most clients that do nothing: what more there is has to fit beside them into a server's default.
pub const CLIENTS_MAX: usize = 19_900;
/// Clients that are there before anything is measured, so that what comes once has come: the accounts,
/// their sessions, the passwords' work, and the pages of the program.
const BEFORE: usize = 8;
/// Clients that come at a time, about.
const AT_A_TIME: usize = 256;
/// Bytes that no client can do without, by far. For fewer than so many nothing was measured.
const BYTES_EACH_MIN: f64 = 256.0;
/// How long the server has for what it still does after the first have come.
const SETTLE: Duration = Duration::from_millis(300);

/// What is to be measured.
#[derive(Clone, Debug)]
pub struct Idle {
    /// How many clients do nothing, 1 to [`CLIENTS_MAX`].
    pub clients: usize,
    /// For how long.
    pub window: Duration,
    /// The server's process; `None`: it is looked for.
    pub process: Option<u32>,
    /// Whether the accounts that are made for it stay.
    pub keep: bool,
}

/// What came of it.
#[derive(Clone, Copy, Debug)]
pub struct IdleFigures {
    /// The server's process.
    pub process: u32,
    /// How many clients came and did nothing.
    pub clients: usize,
    /// Resident bytes of the server before them.
    pub before: u64,
    /// And with them, at the end of the window.
    pub after: u64,
    /// How long they did nothing.
    pub window: Duration,
    /// Processor time that the server used meanwhile, to a hundredth of a second.
    pub cpu: Duration,
}

impl IdleFigures {
    /// Bytes of the server's memory for each client; below 0 if it has given some back meanwhile.
    pub fn bytes_each(&self) -> f64 {
        (self.after as f64 - self.before as f64) / self.clients as f64
    }

    /// Whether that can be true. If not, the server had the memory from clients before, or they are too few to
    /// be seen among everything else.
    pub fn is_plausible(&self) -> bool {
        self.bytes_each() >= BYTES_EACH_MIN
    }

    /// Which part of one processor it used.
    pub fn cpu_share(&self) -> f64 {
        self.cpu.as_secs_f64() / self.window.as_secs_f64()
    }
}

/// Why there is no figure.
#[derive(Debug, thiserror::Error)]
pub enum IdleError {
    /// As of any measure.
    #[error(transparent)]
    Bench(#[from] BenchError),
    /// This process may not have so many descriptors.
    #[error(
        "this process can hold {possible} connections and not {wanted}: raise its limit of descriptors (ulimit -n {descriptors}), or ask for fewer --clients"
    )]
    Descriptors {
        /// How many it can hold.
        possible: usize,
        /// How many it would take.
        wanted: usize,
        /// A limit that suffices.
        descriptors: usize,
    },
    /// It is not known which process serves.
    #[error(
        "no process of this machine that you may look into serves at {0}: run this where the server runs, as the one who runs it, or name its process with --pid"
    )]
    NoProcess(SocketAddr),
    /// Nothing is known of the process.
    #[error("the server's process {process} cannot be looked at ({error}): does it still run?")]
    Process {
        /// Which.
        process: u32,
        /// What the system says.
        error: io::Error,
    },
    /// The server took no more.
    #[error(
        "the server took about {came} clients and not {wanted} ({why}): start it with --max-clients {wanted} or more, from elsewhere also --max-clients-per-ip, and with enough descriptors (ulimit -n)"
    )]
    Full {
        /// How many came in.
        came: usize,
        /// How many should have.
        wanted: usize,
        /// What was said.
        why: BenchError,
    },
}

/// Lets so many clients log in at the server at `address` and do nothing, and checks in the end that
/// each of them is still answered. `tell` is called with the number of those that have come.
///
/// # Errors
/// Whatever ends it before there is a figure.
pub fn measure_idle(
    address: SocketAddr,
    idle: &Idle,
    tell: &mut dyn FnMut(usize),
) -> Result<IdleFigures, IdleError> {
    // And the one that deletes the accounts.
    let wanted = BEFORE + idle.clients + 1;
    let possible = raise_limit()
        .saturating_sub(DESCRIPTORS_FOR_FILES)
        .min(wanted);
    if possible < wanted {
        let descriptors = wanted + (wanted - possible).max(1024);
        return Err(IdleError::Descriptors {
            possible,
            wanted,
            descriptors,
        });
    }
    if let Some(process) = idle.process {
        resident_bytes(Process(process))?;
    }
    let entered = Entrance::open(address, BEFORE, 1);
    let mut entrance = entered.map_err(|why| full(0, wanted, why))?;
    let measured = measure_entered(address, idle, &mut entrance, wanted, tell);
    entrance.leave(idle.keep);
    measured
}

fn measure_entered(
    address: SocketAddr,
    idle: &Idle,
    entrance: &mut Entrance,
    wanted: usize,
    tell: &mut dyn FnMut(usize),
) -> Result<IdleFigures, IdleError> {
    let process = match idle.process {
        Some(process) => Process(process),
        None => Process::serving(address).ok_or(IdleError::NoProcess(address))?,
    };
    rest(&mut entrance.connections, SETTLE)?;
    let before = resident_bytes(process)?;
    while entrance.connections.count() < BEFORE + idle.clients {
        let came = entrance.connections.count();
        tell(came - BEFORE);
        let count = (BEFORE + idle.clients).min(came + AT_A_TIME);
        let more = entrance.add(count);
        more.map_err(|why| full(came, wanted, why))?;
    }
    tell(idle.clients);
    let cpu_before = cpu_time(process)?;
    rest(&mut entrance.connections, idle.window)?;
    let cpu = cpu_time(process)?.saturating_sub(cpu_before);
    let after = resident_bytes(process)?;
    entrance.ping_all()?;
    Ok(IdleFigures {
        process: process.0,
        clients: idle.clients,
        before,
        after,
        window: idle.window,
        cpu,
    })
}

fn resident_bytes(process: Process) -> Result<u64, IdleError> {
    let bytes = process.resident_bytes();
    bytes.map_err(|error| looked_at(process, error))
}

fn cpu_time(process: Process) -> Result<Duration, IdleError> {
    let time = process.cpu_time();
    time.map_err(|error| looked_at(process, error))
}

fn looked_at(process: Process, error: io::Error) -> IdleError {
    let process = process.0;
    IdleError::Process { process, error }
}

/// Says nothing for so long. It is an error if a connection ends meanwhile.
fn rest(connections: &mut Connections, time: Duration) -> Result<(), BenchError> {
    // More than once within what counts as a silence of the server's.
    const LOOK_EVERY: Duration = Duration::from_secs(10);
    let end = clock::now() + time;
    while clock::now() < end {
        connections.rest(end.since(clock::now()).min(LOOK_EVERY))?;
    }
    Ok(())
}

/// What it means that no more could come in.
fn full(came: usize, wanted: usize, why: BenchError) -> IdleError {
    // The very first one is closed for another reason.
    let is_first = came == 0 && matches!(why, BenchError::Closed(_));
    let is_full = why.is_of_a_full_server() && !is_first;
    match is_full {
        true => IdleError::Full { came, wanted, why },
        false => why.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::ErrorCode;

    #[test]
    fn figures_are_for_each_client_and_second() {
        let figures = IdleFigures {
            process: 1,
            clients: 1000,
            before: 20_000_000,
            after: 20_700_000,
            window: Duration::from_secs(10),
            cpu: Duration::from_millis(50),
        };
        assert_eq!(figures.bytes_each(), 700.0);
        assert_eq!(figures.cpu_share(), 0.005);
        assert!(figures.is_plausible());
        let after = figures.before;
        assert!(!IdleFigures { after, ..figures }.is_plausible());
    }

    #[test]
    fn a_server_that_is_full_is_told_from_one_that_fails() {
        let busy = crate::wire::message::Refusal::from(ErrorCode::Busy);
        let what = "a login";
        let busy = BenchError::Refused {
            what,
            refusal: busy,
        };
        let sentence = full(70, 85, busy).to_string();
        assert!(
            sentence.contains("took about 70 clients and not 85"),
            "{sentence}"
        );
        assert!(sentence.contains("--max-clients 85"), "{sentence}");
        let silent = full(70, 85, BenchError::Silent);
        assert!(matches!(silent, IdleError::Bench(BenchError::Silent)));
    }
}
