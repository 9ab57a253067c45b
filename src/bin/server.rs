//! The server: arguments, exit codes, nothing else.

use std::io::Write;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use lastword::limits::{CLIENTS_MAX_DEFAULT, CLIENTS_PER_IP_MAX_DEFAULT};
use lastword::server::{self, Options};

/// Wrong arguments.
const EXIT_USAGE: u8 = 2;
/// Everything else that ends a server before it was told to stop.
const EXIT_FAILURE: u8 = 1;

/// A chat server that never loses a message that it has said OK to.
#[derive(Parser)]
#[command(
    version,
    max_term_width = 100,
    after_help = "\
Examples:
  server 127.0.0.1 5000 1             a server for this machine; talk to it with: nc 127.0.0.1 5000
  server 0.0.0.0 5000 1 --member 10.0.0.1:5001
  kill PID                            stops it; what it said OK to is on disk in any case"
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
    /// Backups in sync before clients are let in; this version serves alone, so only 0
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = backups)]
    backups: u16,
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

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return usage(&error),
    };
    let options = arguments.into_options();
    if let Some(mistake) = mistaken_address(&options) {
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

impl Arguments {
    fn into_options(self) -> Options {
        let service = SocketAddr::new(self.ip, self.port);
        let mut options = Options::new(service, self.is_primary == "1");
        if let Some(data) = self.data {
            options.data = data;
            options.data_named = true;
        }
        options.data_named |= self.slot.is_some();
        options.slot = self.slot;
        options.member = self.member;
        options.advertise = self.advertise;
        options.backups = self.backups;
        options.max_clients = self.max_clients;
        options.max_clients_per_ip = self.max_clients_per_ip;
        options.max_rate = self.max_rate;
        options
    }
}

/// clap's own sentence ("2 is not in 0..=0") would not say what to do instead.
fn backups(value: &str) -> Result<u16, &'static str> {
    match value.parse() {
        Ok(0) => Ok(0),
        _ => Err("this version serves alone; say 0, or leave it out"),
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
