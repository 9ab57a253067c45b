//! What can the measures be told on their command line?

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;

use lastword::bench::failover::TIMES_MAX;
use lastword::bench::fill::{ACCOUNTS_MAX, Fill, MEMBER_DEFAULT, MESSAGES_MAX, PASSWORD_DEFAULT};
use lastword::bench::idle;
use lastword::bench::load::{CLIENTS_MAX, DEPTH_MAX, LISTENERS_MAX, Load, SIZE_MAX, SIZE_MIN};
use lastword::client::address::ServerAddress;

const EXAMPLES: &str = "\
Examples:
  bench                                  50 connections with 16 requests open on each, for 10 s
  bench --clients 1 --depth 1            one message after the other
  bench --rate 1000 --seconds 60         a thousand a second, whatever the server does
  bench grid --against-limit --runs 3    few and many connections, beside what is possible at all
  bench fill --data DIR                  a data folder with a million messages, to start a server on
  bench costs                            what a server takes with 10 thousand, 1 and 10 million of them
  bench idle --clients 10000             what a client costs that does nothing
  bench failover --kill 'kill -9 $LASTWORD_PID'
                                         for how long nobody is answered after a crash
  bench man | man -l -                   all of this, and more

Exit codes: 0 it was measured and all that was acknowledged is there, 1 it was not measured, or something
is missing, 2 wrong arguments.";

const FAILOVER_HELP: &str = "\
The commands are run by sh, and their environment says whom it is about: LASTWORD_SERVER_ID is the \
primary's id (and its slot, where scripts/cluster start has made the cluster), LASTWORD_MEMBER its own \
address, and for --kill LASTWORD_PID its process, if that runs on this machine and is yours.

Examples:
  bench failover --kill 'kill -9 $LASTWORD_PID'
  bench failover --times 50 --kill 'scripts/cluster kill $LASTWORD_SERVER_ID' \\
      --restart 'scripts/cluster start'
  bench failover --server a:5000,b:5001 --kill 'ssh ${LASTWORD_MEMBER%:*} pkill -9 -x server'";

/// Measure a Lastword server: messages a second, how long they take, and whether all that was acknowledged is
/// there. It makes accounts for itself, and deletes them in the end.
#[derive(Parser)]
#[command(name = "bench", version, after_help = EXAMPLES, args_conflicts_with_subcommands = true)]
pub struct Arguments {
    #[command(flatten)]
    pub target: Target,
    #[command(flatten)]
    pub load: LoadArguments,
    #[command(flatten)]
    pub output: OutputArguments,
    #[command(subcommand)]
    pub command: Option<Command>,
}

#[derive(Subcommand)]
pub enum Command {
    /// Few and many connections, with few and many requests open: 1x1, 1x64, 50x1, 50x16, 1000x1, 1000x4
    Grid {
        #[command(flatten)]
        target: Target,
        #[command(flatten)]
        grid: GridArguments,
        /// Measure the bare pipeline beside it, and say which part of that the server reaches
        #[arg(long)]
        against_limit: bool,
    },
    /// The same grid on a bare pipeline: three processes that take the same frames, append, sync and
    /// acknowledge, and do nothing else
    Limit {
        #[command(flatten)]
        grid: GridArguments,
    },
    /// Fill a data folder with accounts and messages, without a server: one that is started on it finds them as
    /// if clients had sent them
    Fill {
        /// The folder, as a server's --data: one that is not there yet, or is empty
        #[arg(long, value_name = "DIR")]
        data: PathBuf,
        /// Messages
        #[arg(long, value_name = "N", default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(..=MESSAGES_MAX))]
        messages: u64,
        /// The address of its own that the server keeps; if it is taken, the server takes another one
        #[arg(long, value_name = "IP:PORT", default_value_t = MEMBER_DEFAULT)]
        member: SocketAddr,
        /// Accounts: a0, a1, and so on
        #[arg(long, value_name = "N", default_value = "10000", value_parser = count_up_to(ACCOUNTS_MAX))]
        accounts: usize,
        #[command(flatten)]
        kind: FillArguments,
    },
    /// Start a server on folders with few and many messages, and show what it takes: disk, memory, the time until
    /// clients are let in, and the medians of single requests
    Costs {
        /// How many messages, with commas between them; for each a folder is filled, and removed again
        #[arg(long, value_name = "N,...", value_delimiter = ',', default_value = "10000,1000000,10000000", value_parser = clap::value_parser!(u64).range(..=MESSAGES_MAX))]
        messages: Vec<u64>,
        /// Measure on this filled folder instead; a few messages are added to it
        #[arg(long, value_name = "DIR", conflicts_with = "messages")]
        data: Option<PathBuf>,
        /// The server's program; without it, the one beside this program
        #[arg(long, value_name = "PATH")]
        program: Option<PathBuf>,
        /// Where the folders are made
        #[arg(long, value_name = "DIR", default_value = ".")]
        folder: PathBuf,
        /// Accounts; without it, one for each hundred messages, but at most 10000, and on a filled folder so many
        #[arg(long, value_name = "N", value_parser = count_up_to(ACCOUNTS_MAX))]
        accounts: Option<usize>,
        #[command(flatten)]
        kind: FillArguments,
    },
    /// Kill the primary by a command of yours, and measure how long it takes until a client that was
    /// connected is answered again
    #[command(after_help = FAILOVER_HELP)]
    Failover(FailoverArguments),
    /// Many clients that log in and do nothing: the server's memory for each, and its processor time. To be
    /// run where the server runs
    Idle(IdleArguments),
    /// A process of the bare pipeline
    #[command(hide = true)]
    Stage { words: Vec<std::ffi::OsString> },
    /// Write what a shell needs to complete these options
    Completions {
        /// Which shell
        shell: Shell,
    },
    /// Write the manual page; to read it: bench man | man -l -
    Man,
}

#[derive(Args)]
pub struct Target {
    /// The server that is measured: the primary, or the service's address
    #[arg(
        long,
        value_name = "ADDRESS",
        env = "LASTWORD_SERVER",
        default_value = "127.0.0.1:5000"
    )]
    pub server: ServerAddress,
}

#[derive(Args)]
pub struct FailoverArguments {
    /// Servers of the cluster, with commas between them; one is enough, the others are learnt
    #[arg(
        long,
        value_name = "ADDRESS,...",
        env = "LASTWORD_SERVER",
        value_delimiter = ',',
        default_value = "127.0.0.1:5000"
    )]
    pub server: Vec<ServerAddress>,
    /// The shell command that kills the primary
    #[arg(long, value_name = "COMMAND", value_parser = command)]
    pub kill: String,
    /// The shell command that starts it again, and that ends while it runs on
    #[arg(long, value_name = "COMMAND", value_parser = command)]
    pub restart: Option<String>,
    /// How often; more than once only when all are in sync again
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=i64::from(TIMES_MAX)))]
    pub times: u32,
    /// Leave the account and the messages that are made for it
    #[arg(long)]
    pub keep: bool,
    /// One JSON object
    #[arg(long)]
    pub json: bool,
}

#[derive(Args)]
pub struct IdleArguments {
    #[command(flatten)]
    pub target: Target,
    /// Clients that do nothing
    #[arg(long, value_name = "N", default_value = "10000", value_parser = count_up_to(idle::CLIENTS_MAX))]
    pub clients: usize,
    /// For how long
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = seconds)]
    pub seconds: Duration,
    /// The server's process, if it is not found
    #[arg(long, value_name = "PID", value_parser = clap::value_parser!(u32).range(1..))]
    pub pid: Option<u32>,
    /// Leave the accounts that are made for it
    #[arg(long)]
    pub keep: bool,
    /// One JSON object
    #[arg(long)]
    pub json: bool,
}

#[derive(Args)]
pub struct LoadArguments {
    /// Connections
    #[arg(long, value_name = "N", default_value = "50", value_parser = count_up_to(CLIENTS_MAX))]
    pub clients: usize,
    /// Requests that each connection keeps open
    #[arg(long, value_name = "N", default_value = "16", value_parser = count_up_to(DEPTH_MAX))]
    pub depth: usize,
    /// Bytes of a message
    #[arg(long, value_name = "BYTES", default_value_t = 100, value_parser = size)]
    pub size: usize,
    /// How long it counts
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = seconds)]
    pub seconds: Duration,
    /// How long it goes on before it counts
    #[arg(long, value_name = "SECONDS", default_value = "1", value_parser = seconds_or_none)]
    pub warm_up: Duration,
    /// Messages a second in all, each counted from when it was due; without it, as many as can be
    #[arg(long, value_name = "N", value_parser = rate)]
    pub rate: Option<f64>,
    /// Further connections to which every message is delivered
    #[arg(long, value_name = "N", default_value = "0", value_parser = clap::value_parser!(u16).range(..=LISTENERS_MAX as i64))]
    pub listeners: u16,
    /// Further connections to which every message is delivered, and which never read
    #[arg(long, value_name = "N", default_value = "0", value_parser = clap::value_parser!(u16).range(..=LISTENERS_MAX as i64))]
    pub stalled: u16,
    /// Leave the accounts and the messages that are made for it
    #[arg(long)]
    pub keep: bool,
}

impl LoadArguments {
    pub fn load(&self) -> Load {
        Load {
            clients: self.clients,
            depth: self.depth,
            size: self.size,
            warm_up: self.warm_up,
            window: self.seconds,
            rate: self.rate,
            listeners: self.listeners.into(),
            stalled: self.stalled.into(),
            keep: self.keep,
        }
    }
}

#[derive(Args)]
pub struct OutputArguments {
    /// A line for each second, too
    #[arg(long)]
    pub timeline: bool,
    /// One JSON object
    #[arg(long)]
    pub json: bool,
}

#[derive(Args)]
pub struct GridArguments {
    /// How long each measurement counts
    #[arg(long, value_name = "SECONDS", default_value = "5", value_parser = seconds)]
    pub seconds: Duration,
    /// How often each is made: the medians are shown
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=99))]
    pub runs: u32,
    /// Bytes of a message
    #[arg(long, value_name = "BYTES", default_value_t = 100, value_parser = size)]
    pub size: usize,
    /// Only these: connections x open requests, with commas between them
    #[arg(long, value_name = "NxN,...", value_delimiter = ',', value_parser = cell)]
    pub cells: Vec<(usize, usize)>,
    /// Where the bare pipeline keeps its files; they are removed in the end
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub folder: PathBuf,
    /// The bare pipeline writes files that grow, and not into space that was prepared
    #[arg(long)]
    pub growing: bool,
    /// One JSON object
    #[arg(long)]
    pub json: bool,
}

#[derive(Args, Clone)]
pub struct FillArguments {
    /// With how many others each account talks
    #[arg(long, value_name = "N", default_value = "10", value_parser = count_up_to(ACCOUNTS_MAX))]
    pub contacts: usize,
    /// Bytes of a message
    #[arg(long, value_name = "BYTES", default_value_t = 100, value_parser = size)]
    pub size: usize,
    /// The password of all accounts, which is no secret
    #[arg(long, value_name = "PASSWORD", default_value = PASSWORD_DEFAULT)]
    pub password: String,
}

impl FillArguments {
    pub fn fill(self, data: PathBuf, accounts: usize, messages: u64, member: SocketAddr) -> Fill {
        Fill {
            data,
            member,
            accounts,
            messages,
            size: self.size,
            contacts: self.contacts,
            password: self.password,
        }
    }
}

fn cell(text: &str) -> Result<(usize, usize), String> {
    let (clients, depth) = text
        .split_once('x')
        .ok_or_else(|| "connections x open requests, such as 50x16".to_owned())?;
    Ok((
        count_up_to(CLIENTS_MAX)(clients)?,
        count_up_to(DEPTH_MAX)(depth)?,
    ))
}

fn command(text: &str) -> Result<String, String> {
    match text.trim() {
        "" => Err("a command is needed, such as 'kill -9 $LASTWORD_PID'".to_owned()),
        _ => Ok(text.to_owned()),
    }
}

fn count_up_to(max: usize) -> impl Fn(&str) -> Result<usize, String> + Clone {
    move |text| match text.parse() {
        Ok(count) if (1..=max).contains(&count) => Ok(count),
        _ => Err(format!("a number from 1 to {max} is needed")),
    }
}

fn size(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(size) if (SIZE_MIN..=SIZE_MAX).contains(&size) => Ok(size),
        _ => Err(format!("a number from {SIZE_MIN} to {SIZE_MAX} is needed")),
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    match seconds_or_none(text)? {
        Duration::ZERO => Err("at least a little time is needed".to_owned()),
        time => Ok(time),
    }
}

fn seconds_or_none(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text
        .parse()
        .map_err(|_| "a number of seconds is needed, such as 10 or 0.5".to_owned())?;
    Duration::try_from_secs_f64(seconds)
        .ok()
        .filter(|time| *time <= Duration::from_secs(86_400))
        .ok_or_else(|| "from 0 to 86400 seconds, please".to_owned())
}

fn rate(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(rate) if (0.1..=10_000_000.0).contains(&rate) => Ok(rate),
        _ => Err("a number from 0.1 to 10000000 is needed".to_owned()),
    }
}
