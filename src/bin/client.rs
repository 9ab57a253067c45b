//! The client: arguments, exit codes, nothing else.

use std::io::{self, IsTerminal, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::{CommandFactory, Parser};
use jiff::tz::TimeZone;

use lastword::client::address::resolve;
use lastword::client::command;
use lastword::client::driver::{Reads, run};
use lastword::client::failover::Settings;
use lastword::client::front::{Exit, Front};
use lastword::client::line::{LineMode, LineOptions};
use lastword::client::one_shot::sending::Sending;
use lastword::client::one_shot::status::{StatusOptions, StatusView};
use lastword::client::one_shot::watching::{WatchOptions, Watching};
use lastword::client::one_shot::{Credentials, Format, Job, OneShot};
use lastword::client::password::{PasswordError, PasswordSource};
use lastword::client::screen::{Screen, ScreenOptions};
use lastword::client::show::{Colours, Conversation};
use lastword::client::terminal::{FullScreen, size};
use lastword::types::{OpNumber, SessionId, Timestamp};
use lastword::wire::message::{HistoryScope, Refusal};

#[path = "client/arguments.rs"]
mod arguments;
#[path = "shared/documents.rs"]
mod documents;
#[path = "client/manual.rs"]
mod manual;

use arguments::{Arguments, Command, JsonFlag};

/// What stands for standard input in the place of a text.
const INPUT: &str = "-";

fn main() -> ExitCode {
    let mut arguments = Arguments::parse();
    let command = arguments.command.take();
    if let Some(document) = command.as_ref().and_then(document) {
        return documents::print(&document);
    }
    let exit = match command {
        Some(command) => one_shot(&arguments, command),
        None if wants_screen(&arguments) => full_screen(&arguments),
        None => line_mode(&arguments),
    };
    let exit = exit.unwrap_or_else(|failure| {
        // Where nobody can be told, nobody is told.
        let _ = writeln!(io::stderr(), "client: {}", failure.sentence);
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
            PasswordError::Interrupted(signal) => Exit::Signal(signal),
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

/// What describes the client itself, for which no server is needed.
fn document(command: &Command) -> Option<Vec<u8>> {
    match command {
        Command::Completions { shell } => {
            Some(documents::completions(Arguments::command(), *shell))
        }
        Command::Man => Some(
            documents::manual(Arguments::command(), manual::SYNOPSIS, manual::SECTIONS)
                .expect("memory can be written"),
        ),
        _ => None,
    }
}

/// Whether the client has a terminal for itself, which can do more than write line after line.
fn wants_screen(arguments: &Arguments) -> bool {
    io::stdin().is_terminal() && is_on_screen(arguments)
}

/// Whether what is written appears on a terminal on which the cursor can be moved.
fn is_on_screen(arguments: &Arguments) -> bool {
    let is_dumb = std::env::var_os("TERM").is_none_or(|term| term.is_empty() || term == "dumb");
    !arguments.plain && !is_dumb && io::stdout().is_terminal()
}

fn full_screen(arguments: &Arguments) -> Result<Exit, Failure> {
    /// How often the state of the cluster is asked for, to be shown.
    const STATUS_INTERVAL: Duration = Duration::from_secs(2);
    let servers = servers_at_last(arguments);
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
    let settings = Settings::new(servers_at_last(arguments), fresh_session().0 as u64);
    drive(&mut front, settings, Reads::Lines)
}

fn one_shot(arguments: &Arguments, command: Command) -> Result<Exit, Failure> {
    match command {
        Command::Send { name, text, output } if text[0] == INPUT => {
            send_lines(arguments, &name, &text, output.json)
        }
        Command::Watch {
            count,
            no_ack,
            output,
        } => {
            let options = WatchOptions {
                acknowledges: !no_ack,
                count,
                format: format(arguments, &output),
                time_max: arguments.timeout,
            };
            let credentials = credentials(arguments, false)?;
            let mut front = Watching::new(options, credentials, Box::new(fresh_session));
            connect(arguments, &mut front, Reads::Nothing)
        }
        Command::Status { watch, output } => {
            let colours = colours(arguments);
            let options = StatusOptions {
                is_json: output.json,
                watches: watch,
                redraws: watch && !output.json && is_on_screen(arguments),
                colours,
                time_max: arguments.timeout,
            };
            connect(arguments, &mut StatusView::new(options), Reads::Nothing)
        }
        command => one_request(arguments, command),
    }
}

/// Sends standard input, a message a line.
fn send_lines(
    arguments: &Arguments,
    name: &str,
    text: &[String],
    is_json: bool,
) -> Result<Exit, Failure> {
    let to = command::check_name(name)?;
    if text.len() > 1 {
        return Err(Failure::usage(
            "- stands for standard input, and nothing follows it; options go before: client send --json bob -",
        ));
    }
    let credentials = credentials(arguments, true)?;
    let time_max = arguments.timeout;
    let mut front = Sending::new(to, is_json, credentials, fresh_session(), time_max);
    connect(arguments, &mut front, Reads::Lines)
}

fn one_request(arguments: &Arguments, command: Command) -> Result<Exit, Failure> {
    let format = match &command {
        Command::Send { output, .. }
        | Command::History { output, .. }
        | Command::Log { output, .. }
        | Command::List { output, .. }
        | Command::Ack { output, .. } => format(arguments, output),
        _ => format(arguments, &JsonFlag { json: false }),
    };
    let job = into_job(command, arguments)?;
    let credentials = match job.needs_login() {
        true => Some(credentials(arguments, false)?),
        false => None,
    };
    let mut front = OneShot::new(job, format, credentials, fresh_session(), arguments.timeout);
    connect(arguments, &mut front, Reads::Nothing)
}

/// Whom to log in. `input_is_taken`: standard input is where messages come from.
fn credentials(arguments: &Arguments, input_is_taken: bool) -> Result<Credentials, Failure> {
    let Some(user) = &arguments.user else {
        return Err(Failure::usage(
            "this needs an account: say which with --user NAME or LASTWORD_USER",
        ));
    };
    Ok(Credentials {
        name: user.clone(),
        password: password(arguments, user, input_is_taken)?,
    })
}

fn format(arguments: &Arguments, output: &JsonFlag) -> Format {
    match output.json {
        true => Format::Json,
        false => Format::People(Box::new(conversation(colours(arguments)))),
    }
}

fn into_job(command: Command, arguments: &Arguments) -> Result<Job, Failure> {
    Ok(match command {
        Command::Send { name, text, .. } => {
            let text = text.join(" ");
            command::check_text(&text)?;
            let to = command::check_name(&name)?;
            Job::Send { to, text }
        }
        Command::History {
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
        Command::Log { after, .. } => Job::Log {
            after: after.map_or(OpNumber::ZERO, OpNumber),
        },
        Command::List { pattern, .. } => {
            let pattern = pattern.unwrap_or_else(|| "*".into());
            command::check_pattern(&pattern)?;
            Job::List { pattern }
        }
        Command::Ack { id, .. } => Job::Acknowledge {
            up_to: id.map_or(OpNumber::MAX, OpNumber),
        },
        Command::Create { name } => create(name, arguments)?,
        Command::Delete => Job::Delete,
        Command::Watch { .. }
        | Command::Status { .. }
        | Command::Completions { .. }
        | Command::Man => {
            unreachable!("these are no single requests")
        }
    })
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

/// The same for who wants to stay: a name that leads nowhere may do so again when the network is
/// back.
fn servers_at_last(arguments: &Arguments) -> Vec<SocketAddr> {
    const PAUSE: Duration = Duration::from_secs(1);
    let mut told = String::new();
    loop {
        let failure = match servers(arguments) {
            Ok(servers) => return servers,
            Err(failure) => failure.sentence,
        };
        if failure != told {
            // Where nobody can be told, nobody is told.
            let _ = writeln!(io::stderr(), "client: {failure}; tried again every second");
            told = failure;
        }
        std::thread::sleep(PAUSE);
    }
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
