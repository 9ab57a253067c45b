//! What can the client be told on its command line?

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;

use lastword::client::address::ServerAddress;
use lastword::limits::{HISTORY_MESSAGES_DEFAULT, HISTORY_MESSAGES_MAX};

const EXAMPLES: &str = "\
Examples:
  client                                     chat with the server at 127.0.0.1:5000
  client --server chat.example --user alice  chat there as alice
  client --user alice create                 make the account alice
  client --user alice send bob \"hi\"          send one message
  client --user alice history bob --limit 20 show the last messages with bob
  client --user alice log --json | jq .text  all messages, for programs
  … | client --user alice send bob -         a message a line
  client --user bob watch --json             messages as they come
  client status                              how the servers are
  client man | man -l -                      all of this, and more

Exit codes: 0 it was acknowledged, 1 it was refused or failed, 2 wrong arguments,
3 no server answered in time; a signal counts as shells count it (Ctrl+C: 130).";

/// Chat with people on a Lastword server. Without a command it takes the terminal; /help lists what there is.
#[derive(Parser)]
#[command(name = "client", version, after_help = EXAMPLES)]
pub struct Arguments {
    /// A server, or several; one is enough, the others are learnt from it. Without a port it is port 5000
    #[arg(
        long,
        value_name = "ADDRESS,...",
        env = "LASTWORD_SERVER",
        default_value = "127.0.0.1:5000",
        value_delimiter = ',',
        global = true
    )]
    pub server: Vec<ServerAddress>,

    /// The account to log in as
    #[arg(long, value_name = "NAME", env = "LASTWORD_USER", global = true)]
    pub user: Option<String>,

    /// A file whose first line is the password, - for standard input. Without it LASTWORD_PASSWORD counts,
    /// or you are asked
    #[arg(long, value_name = "FILE", global = true)]
    pub password_file: Option<PathBuf>,

    /// Lines only, instead of the full screen: no prompt, no colours
    #[arg(long, global = true)]
    pub plain: bool,

    /// How long a command may go without an answer before it gives up
    #[arg(
        long,
        value_name = "SECONDS",
        default_value = "10",
        value_parser = parse_seconds,
        global = true
    )]
    pub timeout: Duration,

    #[command(subcommand)]
    pub command: Option<Command>,
}

#[derive(Subcommand)]
pub enum Command {
    /// Send a message; done only once it is on the disk of every server in sync
    Send {
        /// For whom
        name: String,
        /// What it says; several words are joined by a space. Only -: standard input, a message a line
        #[arg(required = true, allow_hyphen_values = true, trailing_var_arg = true)]
        text: Vec<String>,
        #[command(flatten)]
        output: JsonFlag,
    },
    /// Show the newest messages, oldest first
    History {
        /// With whom; with everybody if left out
        name: Option<String>,
        /// How many at most
        #[arg(
            long,
            default_value_t = HISTORY_MESSAGES_DEFAULT,
            value_parser = clap::value_parser!(u32).range(1..=i64::from(HISTORY_MESSAGES_MAX))
        )]
        limit: u32,
        /// Only those before this id
        #[arg(long, value_name = "ID")]
        before: Option<u64>,
        #[command(flatten)]
        output: JsonFlag,
    },
    /// Show all of your messages, oldest first
    Log {
        /// Only those after this id
        after: Option<u64>,
        #[command(flatten)]
        output: JsonFlag,
    },
    /// Show who has an account, and who is online
    List {
        /// Which names: * stands for any characters, ? for one
        pattern: Option<String>,
        #[command(flatten)]
        output: JsonFlag,
    },
    /// Call messages read, so that they do not come again
    Ack {
        /// Up to this id; all of them if left out
        id: Option<u64>,
        #[command(flatten)]
        output: JsonFlag,
    },
    /// Write out messages as they come, and what is unread first; each is called read once it is written
    Watch {
        /// End after so many messages
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
        count: Option<u64>,
        /// Leave them unread: they come again the next time
        #[arg(long)]
        no_ack: bool,
        #[command(flatten)]
        output: JsonFlag,
    },
    /// Show how the servers are, as the first one that answers knows it; needs no account
    Status {
        /// Look again each second
        #[arg(long)]
        watch: bool,
        #[command(flatten)]
        output: JsonFlag,
    },
    /// Make an account
    Create {
        /// Its name; --user if left out
        name: Option<String>,
    },
    /// Delete the account of --user, and what is unread in it
    Delete,
    /// Write what a shell needs to complete these commands
    Completions {
        /// Which shell
        shell: Shell,
    },
    /// Write the manual page; to read it: client man | man -l -
    Man,
}

#[derive(Args)]
pub struct JsonFlag {
    /// Write one JSON object a line
    #[arg(long)]
    pub json: bool,
}

fn parse_seconds(text: &str) -> Result<Duration, String> {
    text.parse()
        .ok()
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .filter(|time| !time.is_zero())
        .ok_or_else(|| "a number of seconds above 0 is needed".to_owned())
}
