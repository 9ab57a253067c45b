//! The server: arguments, exit codes, nothing else.

use std::io::Write;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{CommandFactory, Parser};
use clap_complete::Shell;
use lastword::limits::{
    BACKUPS_DEFAULT, CLIENTS_MAX_DEFAULT, CLIENTS_PER_IP_MAX_DEFAULT, MEMBERS_MAX,
};
use lastword::server::{self, Options};
use lastword::types::TrustRefused;

#[path = "shared/documents.rs"]
mod documents;
#[path = "server/manual.rs"]
mod manual;

/// Wrong arguments.
const EXIT_USAGE: u8 = 2;
/// Everything else that ends a server before it was told to stop.
const EXIT_FAILURE: u8 = 1;

/// A chat server that never loses a message that it has said OK to.
#[derive(Parser)]
#[command(
    name = "server",
    version,
    max_term_width = 100,
    after_help = "\
Examples:
  server 127.0.0.1 5000 1             the first server of three; talk to it with: nc 127.0.0.1 5000
  server 127.0.0.1 5000 0             the second, and once more for the third
  server 127.0.0.1 5000 1 --backups 0                 a single server
  server 10.0.0.1 5000 0 --member 10.0.0.2:5000 --cluster-key FILE   one on another machine
  kill PID                            stops it; what it said OK to is on disk in any case
  server man | man -l -               the manual page; also: server completions bash"
)]
struct Arguments {
    /// The service's address
    ip: IpAddr,
    /// The service's port
    #[arg(value_parser = clap::value_parser!(u16).range(1..))]
    port: u16,
    /// 1: be the primary if nobody is; 0: join a cluster, never found one
    #[arg(value_parser = ["0", "1"])]
    is_primary: String,
    /// Data directory [default: lastword-data/IP_PORT]
    #[arg(long, value_name = "DIR", env = "LASTWORD_DATA")]
    data: Option<PathBuf>,
    /// This slot of the data directory and no other
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    slot: Option<u32>,
    /// This server's own address [default: the service's ip and the first free port above its port]
    #[arg(long, value_name = "IP:PORT")]
    member: Option<SocketAddr>,
    /// What others are told instead of the member address
    #[arg(long, value_name = "IP:PORT")]
    advertise: Option<SocketAddr>,
    /// Where else to look for the cluster: other servers' addresses, with commas between them
    #[arg(long, value_name = "IP:PORT,...", value_delimiter = ',')]
    peers: Vec<SocketAddr>,
    /// Backups in sync before a new cluster lets clients in; 0: a single server
    #[arg(long, value_name = "N", default_value_t = BACKUPS_DEFAULT, value_parser = backups)]
    backups: u16,
    /// How long a server that takes over leaves the service's address alone first
    #[arg(long, value_name = "TIME", default_value = "50ms", value_parser = time)]
    rebind_delay: Duration,
    /// How often servers tell each other that they are alive
    #[arg(long, value_name = "TIME", default_value = "100ms", value_parser = time)]
    heartbeat: Duration,
    /// How old the proof may be that a primary still leads; shorter than --grace
    #[arg(long, value_name = "TIME", default_value = "800ms", value_parser = time)]
    fresh: Duration,
    /// How long a server may be silent before the others go on without it
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = time)]
    grace: Duration,
    /// Whether a refused connect proves that a process has ended: yes, no, or auto: only on the same host
    #[arg(long, value_name = "auto/yes/no", default_value = "auto", value_parser = ["auto", "yes", "no"], hide_possible_values = true)]
    trust_refused: String,
    /// Lead alone, though other servers may hold newer messages: those are lost
    #[arg(long)]
    force_primary: bool,
    /// The answer to what --force-primary asks
    #[arg(long)]
    yes: bool,
    /// The file with the servers' shared secret; without it, only servers of this machine are accepted
    #[arg(long, value_name = "FILE")]
    cluster_key: Option<PathBuf>,
    /// Clients at a time
    #[arg(long, value_name = "N", default_value_t = CLIENTS_MAX_DEFAULT, value_parser = at_least_one)]
    max_clients: usize,
    /// Clients of one address at a time (loopback is exempt)
    #[arg(long, value_name = "N", default_value_t = CLIENTS_PER_IP_MAX_DEFAULT, value_parser = at_least_one)]
    max_clients_per_ip: usize,
    /// Requests a second for each connection; 0: no limit
    #[arg(long, value_name = "N", default_value_t = 0)]
    max_rate: u32,
}

/// What describes the server itself, in the place of its arguments.
#[derive(Parser)]
#[command(name = "server")]
enum Document {
    /// Write what a shell needs to complete these options
    Completions {
        /// Which shell
        shell: Shell,
    },
    /// Write the manual page; to read it: server man | man -l -
    Man,
}

fn main() -> ExitCode {
    // No ip looks like these words.
    let first = std::env::args_os().nth(1);
    if first.is_some_and(|word| word == "completions" || word == "man") {
        return match Document::try_parse() {
            Ok(document) => print(&document),
            Err(error) => error.exit(),
        };
    }
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return usage(&error),
    };
    let options = arguments.into_options();
    if let Some(mistake) = mistaken_address(&options).or_else(|| mistaken_times(&options)) {
        complain(mistake);
        return ExitCode::from(EXIT_USAGE);
    }
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("info")).init();
    match server::run(options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&error.to_string());
            ExitCode::from(EXIT_FAILURE)
        }
    }
}

fn print(document: &Document) -> ExitCode {
    let whole = Arguments::command().subcommands(Document::command().get_subcommands().cloned());
    documents::print(&match document {
        Document::Completions { shell } => documents::completions(whole, *shell),
        Document::Man => documents::manual(whole, manual::SYNOPSIS, manual::SECTIONS)
            .expect("memory can be written"),
    })
}

impl Arguments {
    fn into_options(self) -> Options {
        let service = SocketAddr::new(self.ip, self.port);
        let mut options = Options::new(service, self.is_primary == "1");
        if let Some(data) = self.data {
            options.data = data;
        }
        options.slot = self.slot;
        options.member = self.member;
        options.advertise = self.advertise;
        options.peers = self.peers;
        options.backups = self.backups;
        options.rebind_delay = self.rebind_delay;
        options.heartbeat = self.heartbeat;
        options.fresh = self.fresh;
        options.grace = self.grace;
        options.trust_refused = match self.trust_refused.as_str() {
            "yes" => TrustRefused::Everywhere,
            "no" => TrustRefused::Nowhere,
            _ => TrustRefused::OnThisHost,
        };
        options.force_primary = self.force_primary;
        options.yes = self.yes;
        options.cluster_key = self.cluster_key;
        options.max_clients = self.max_clients;
        options.max_clients_per_ip = self.max_clients_per_ip;
        options.max_rate = self.max_rate;
        options
    }
}

/// clap's own sentence ("10 is not in 0..=8") would not say what to do instead.
fn backups(value: &str) -> Result<u16, String> {
    let most = MEMBERS_MAX - 1;
    match value.parse() {
        Ok(number) if usize::from(number) <= most => Ok(number),
        _ => Err(format!("it is a number from 0 (a single server) to {most}")),
    }
}

/// A time as people write it.
fn time(value: &str) -> Result<Duration, &'static str> {
    let milliseconds = if let Some(number) = value.strip_suffix("ms") {
        number.parse::<u64>().ok()
    } else if let Some(number) = value.strip_suffix('s') {
        number.parse::<u64>().ok().and_then(|s| s.checked_mul(1000))
    } else {
        None
    };
    match milliseconds {
        Some(number @ 1..=3_600_000) => Ok(Duration::from_millis(number)),
        _ => Err("it is a time such as 50ms or 1s, up to 3600s"),
    }
}

/// A server that admits nobody would look like one that hangs.
fn at_least_one(value: &str) -> Result<usize, &'static str> {
    match value.parse() {
        Ok(number) if number > 0 => Ok(number),
        _ => Err("it is a number from 1"),
    }
}

/// What is wrong with addresses that are right each for itself.
fn mistaken_address(options: &Options) -> Option<&'static str> {
    let service = options.service;
    let Some(member) = options.member else {
        let needed =
            "a service on every address needs --member IP:PORT with an ip that others can reach";
        return service.ip().is_unspecified().then_some(needed);
    };
    let overlaps = member.ip() == service.ip()
        || member.is_ipv4() == service.is_ipv4()
            && (member.ip().is_unspecified() || service.ip().is_unspecified());
    if member.port() == service.port() && overlaps {
        return Some(
            "--member is the server's own address beside the service's: choose another port",
        );
    }
    let unreachable = member.ip().is_unspecified() && options.advertise.is_none();
    unreachable.then_some(
        "others cannot reach an --member on every address: name one, or say with --advertise where",
    )
}

/// What is wrong with times that are right each for itself. The protocol counts on their order:
/// whoever is called silent must have stopped answering reads before.
fn mistaken_times(options: &Options) -> Option<&'static str> {
    if options.fresh >= options.grace {
        return Some(
            "--fresh has to be shorter than --grace: a server that the others go on without must not answer reads any more",
        );
    }
    (options.heartbeat * 2 > options.fresh).then_some(
        "--heartbeat has to be at most half of --fresh: between two of them nothing is proven",
    )
}

/// Help and version go to standard output; a mistake is one line that says how it is done right.
fn usage(error: &clap::Error) -> ExitCode {
    if !error.use_stderr() {
        let _ = error.print();
        return ExitCode::SUCCESS;
    }
    let rendered = error.to_string();
    // clap's tips are sentences of their own, and guess at other options.
    let ends = |line: &&str| {
        !["Usage:", "For more", "  tip:"]
            .iter()
            .any(|end| line.starts_with(end))
    };
    let what = rendered
        .lines()
        .take_while(ends)
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect::<Vec<_>>()
        .join(" ");
    let what = what.strip_prefix("error: ").unwrap_or(&what);
    complain(&format!(
        "{what}; it is: server <ip> <port> <is_primary>, such as: server 127.0.0.1 5000 1 (--help shows more)"
    ));
    ExitCode::from(EXIT_USAGE)
}

fn complain(sentence: &str) {
    let _ = writeln!(std::io::stderr(), "server: {sentence}");
}
