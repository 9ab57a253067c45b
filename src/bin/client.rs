//! The client: arguments, exit codes, nothing else.

use std::io::{self, IsTerminal};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::{Args, Parser, Subcommand};
use jiff::tz::TimeZone;

use lastword::client::address::{ServerAddress, resolve};
use lastword::client::command;
use lastword::client::driver::{Reads, run};
use lastword::client::failover::Settings;
use lastword::client::front::{Exit, Front};
use lastword::client::line::{LineMode, LineOptions};
use lastword::client::one_shot::{Credentials, Format, Job, OneShot};
use lastword::client::password::{PasswordError, PasswordSource};
use lastword::client::screen::{Screen, ScreenOptions};
use lastword::client::show::{Colours, Conversation};
use lastword::client::terminal::{FullScreen, size};
use lastword::limits::{HISTORY_MESSAGES_DEFAULT, HISTORY_MESSAGES_MAX};
use lastword::types::{OpNumber, SessionId, Timestamp};
use lastword::wire::message::{HistoryScope, Refusal};

const EXAMPLES: &str = "\
Examples:
  client                                     chat with the server at 127.0.0.1:5000
  client --server chat.example --user alice  chat there as alice
  client --user alice create                 make the account alice
  client --user alice send bob \"hi\"          send one message
  client --user alice history bob --limit 20 show the last messages with bob
  client --user alice log --json | jq .text  all messages, for programs
  client status                              how the servers are

Exit codes: 0 it was acknowledged, 1 it was refused or failed, 2 wrong arguments,
3 no server answered in time; a signal counts as shells count it (Ctrl+C: 130).";

/// Chat with people on a Lastword server. Without a command it takes the terminal; /help lists what there is.
#[derive(Parser)]
#[command(name = "client", version, after_help = EXAMPLES)]
struct Arguments {
    /// The server, or several: the first that takes the connection; without a port it is port 5000
    #[arg(
        long,
        value_name = "ADDRESS,…",
        env = "LASTWORD_SERVER",
        default_value = "127.0.0.1:5000",
        value_delimiter = ',',
        global = true
    )]
    server: Vec<ServerAddress>,

    /// The account to log in as
    #[arg(long, value_name = "NAME", env = "LASTWORD_USER", global = true)]
    user: Option<String>,

    /// A file whose first line is the password, - for standard input. Without it LASTWORD_PASSWORD counts,
    /// or you are asked
    #[arg(long, value_name = "FILE", global = true)]
    password_file: Option<PathBuf>,

    /// Lines only, instead of the full screen: no prompt, no colours
    #[arg(long, global = true)]
    plain: bool,

    /// How long a server may take to answer
    #[arg(
        long,
        value_name = "SECONDS",
        default_value = "10",
        value_parser = parse_seconds,
        global = true
    )]
    timeout: Duration,

    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Send a message; done only once it is on the disk of every server in sync
    Send {
        /// For whom
        name: String,
        /// What it says; several words are joined by a space
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
    /// Show how the servers are; needs no account
    Status,
    /// Make an account
    Create {
        /// Its name; --user if left out
        name: Option<String>,
    },
    /// Delete the account of --user, and what is unread in it
    Delete,
}

#[derive(Args)]
struct JsonFlag {
    /// Write one JSON object a line
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let exit = start(arguments).unwrap_or_else(|failure| {
        eprintln!("client: {}", failure.sentence);
        failure.exit
    });
    ExitCode::from(exit.code())
}

/// Why it could not even begin, or go on.
struct Failure {
    sentence: String,
    exit: Exit,
}

impl Failure {
    fn usage(sentence: impl Into<String>) -> Self {
        Self {
            sentence: sentence.into(),
            exit: Exit::Usage,
        }
    }
}

impl From<PasswordError> for Failure {
    fn from(error: PasswordError) -> Self {
        let exit = match error {
            PasswordError::Interrupted => Exit::Signal(2),
            PasswordError::Unreadable { .. } | PasswordError::Different => Exit::Failed,
            _ => Exit::Usage,
        };
        Self {
            sentence: error.to_string(),
            exit,
        }
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self::usage(refusal.sentence)
    }
}

fn start(mut arguments: Arguments) -> Result<Exit, Failure> {
    match arguments.command.take() {
        Some(command) => one_shot(&arguments, command),
        None if wants_screen(&arguments) => full_screen(&arguments),
        None => line_mode(&arguments),
    }
}

/// Whether the client has a terminal for itself, which can do more than write line after line.
fn wants_screen(arguments: &Arguments) -> bool {
    let is_dumb = std::env::var_os("TERM").is_none_or(|term| term.is_empty() || term == "dumb");
    let has_terminal = io::stdin().is_terminal() && io::stdout().is_terminal();
    !arguments.plain && !is_dumb && has_terminal
}

fn full_screen(arguments: &Arguments) -> Result<Exit, Failure> {
    /// How often the state of the cluster is asked for, to be shown.
    const STATUS_INTERVAL: Duration = Duration::from_secs(2);
    let servers = servers(arguments)?;
    let source = source(arguments, true);
    let password = match &arguments.user {
        Some(user) if source.has_answer() => Some(password(arguments, user, true)?),
        _ => None,
    };
    let mut settings = Settings::new(servers.clone(), fresh_session().0 as u64);
    settings.status_interval = Some(STATUS_INTERVAL);
    let terminal = FullScreen::take().map_err(failed)?;
    let options = ScreenOptions {
        size: size(),
        colours: colours(arguments),
        zone: TimeZone::system(),
        wall: wall_time(),
        servers,
        user: arguments.user.clone(),
        password,
    };
    let mut screen = Screen::new(options, Box::new(fresh_session));
    let exit = drive(&mut screen, settings, Reads::Keys);
    drop(terminal);
    eprint!("{}", screen.farewell());
    exit
}

fn line_mode(arguments: &Arguments) -> Result<Exit, Failure> {
    let output_is_terminal = io::stdout().is_terminal();
    let has_person = output_is_terminal && io::stdin().is_terminal();
    let colours = colours(arguments);
    let login = match &arguments.user {
        Some(user) => Some((user.clone(), password(arguments, user, true)?)),
        None => None,
    };
    let options = LineOptions {
        has_person,
        has_prompt: has_person && !arguments.plain,
        output_is_read: output_is_terminal,
        colours,
        login,
    };
    let mut front = LineMode::new(options, conversation(colours), Box::new(fresh_session));
    connect(arguments, &mut front, Reads::Lines)
}

fn one_shot(arguments: &Arguments, command: Command) -> Result<Exit, Failure> {
    let is_json = command.is_json();
    let job = command.into_job(arguments)?;
    let credentials = match (&arguments.user, job.needs_login()) {
        (_, false) => None,
        (None, true) => {
            return Err(Failure::usage(
                "this needs an account: say which with --user NAME or LASTWORD_USER",
            ));
        }
        (Some(user), true) => {
            let password = password(arguments, user, false)?;
            Some(Credentials {
                name: user.clone(),
                password,
            })
        }
    };
    let format = match is_json {
        true => Format::Json,
        false => Format::People(Box::new(conversation(colours(arguments)))),
    };
    connect(
        arguments,
        &mut OneShot::new(job, format, credentials, fresh_session(), arguments.timeout),
        Reads::Nothing,
    )
}

impl Command {
    fn is_json(&self) -> bool {
        match self {
            Self::Send { output, .. }
            | Self::History { output, .. }
            | Self::Log { output, .. }
            | Self::List { output, .. }
            | Self::Ack { output, .. } => output.json,
            Self::Status | Self::Create { .. } | Self::Delete => false,
        }
    }

    fn into_job(self, arguments: &Arguments) -> Result<Job, Failure> {
        Ok(match self {
            Self::Send { name, text, .. } => {
                let text = text.join(" ");
                command::check_text(&text)?;
                let to = command::check_name(&name)?;
                Job::Send { to, text }
            }
            Self::History {
                name,
                limit,
                before,
                ..
            } => Job::History {
                scope: match name.as_deref() {
                    None | Some("*") => HistoryScope::All,
                    Some(name) => HistoryScope::With(command::check_name(name)?),
                },
                limit,
                before: before.map_or(OpNumber::MAX, OpNumber),
            },
            Self::Log { after, .. } => Job::Log {
                after: after.map_or(OpNumber::ZERO, OpNumber),
            },
            Self::List { pattern, .. } => {
                let pattern = pattern.unwrap_or_else(|| "*".into());
                command::check_pattern(&pattern)?;
                Job::List { pattern }
            }
            Self::Ack { id, .. } => Job::Acknowledge {
                up_to: id.map_or(OpNumber::MAX, OpNumber),
            },
            Self::Status => Job::Status,
            Self::Create { name } => create(name, arguments)?,
            Self::Delete => Job::Delete,
        })
    }
}

fn create(name: Option<String>, arguments: &Arguments) -> Result<Job, Failure> {
    let Some(name) = name.or_else(|| arguments.user.clone()) else {
        return Err(Failure::usage("say which account: client create NAME"));
    };
    let name = command::check_name(&name)?;
    let prompt = format!("new password for {name}: ");
    let password = source(arguments, false).password(&prompt, true)?;
    command::check_password(&password)?;
    Ok(Job::Create { name, password })
}

fn password(
    arguments: &Arguments,
    user: &str,
    input_is_taken: bool,
) -> Result<String, PasswordError> {
    source(arguments, input_is_taken).password(&format!("password of {user}: "), false)
}

fn source(arguments: &Arguments, input_is_taken: bool) -> PasswordSource {
    PasswordSource {
        file: arguments.password_file.clone(),
        environment: std::env::var("LASTWORD_PASSWORD")
            .ok()
            .filter(|password| !password.is_empty()),
        input_is_taken,
    }
}

fn connect(arguments: &Arguments, front: &mut impl Front, reads: Reads) -> Result<Exit, Failure> {
    let settings = Settings::new(servers(arguments)?, fresh_session().0 as u64);
    drive(front, settings, reads)
}

fn drive(front: &mut impl Front, settings: Settings, reads: Reads) -> Result<Exit, Failure> {
    run(front, settings, state_folder(), reads).map_err(failed)
}

fn servers(arguments: &Arguments) -> Result<Vec<SocketAddr>, Failure> {
    resolve(&arguments.server, arguments.timeout).map_err(|error| Failure {
        sentence: error.to_string(),
        exit: Exit::NobodyAnswered,
    })
}

fn failed(error: io::Error) -> Failure {
    Failure {
        sentence: error.to_string(),
        exit: Exit::Failed,
    }
}

/// Where programs of this user remember things, as the XDG base directories have it.
fn state_folder() -> Option<PathBuf> {
    let absolute = |name| {
        let folder = std::env::var_os(name).map(PathBuf::from);
        folder.filter(|folder| folder.is_absolute())
    };
    let state = absolute("XDG_STATE_HOME");
    let state = state.or_else(|| absolute("HOME").map(|home| home.join(".local/state")));
    state.map(|folder| folder.join("lastword"))
}

fn colours(arguments: &Arguments) -> Colours {
    let is_unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let is_dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
    match !arguments.plain && !is_unwanted && !is_dumb && io::stdout().is_terminal() {
        true => Colours::On,
        false => Colours::Off,
    }
}

fn conversation(colours: Colours) -> Conversation {
    Conversation::new(TimeZone::system(), colours, wall_time())
}

fn wall_time() -> Timestamp {
    let since_1970 = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    Timestamp(u64::try_from(since_1970.as_millis()).unwrap_or(u64::MAX))
}

fn fresh_session() -> SessionId {
    loop {
        let mut bits = [0; 16];
        getrandom::fill(&mut bits).expect("the system gives random bits");
        // 0 stands for no session on the wire.
        if bits != [0; 16] {
            return SessionId(u128::from_be_bytes(bits));
        }
    }
}

fn parse_seconds(text: &str) -> Result<Duration, String> {
    text.parse()
        .ok()
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .filter(|time| !time.is_zero())
        .ok_or_else(|| "a number of seconds above 0 is needed".to_owned())
}
