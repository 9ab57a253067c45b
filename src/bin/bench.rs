//! The measures: arguments, exit codes, nothing else.

use std::io::{self, IsTerminal, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command as Process, ExitCode};
use std::time::Duration;

use clap::{CommandFactory, Parser};

use lastword::bench::BenchError;
use lastword::bench::costs::{self, accounts_for, fill_and_measure, measure_costs, program_beside};
use lastword::bench::failover::{Failover, FailoverError, measure_failover};
use lastword::bench::figures::{Figures, Second};
use lastword::bench::fill::{Fill, FillError, MEMBER_DEFAULT, fill};
use lastword::bench::grid::{CELLS, measure_grid};
use lastword::bench::idle::{Idle, IdleError, measure_idle};
use lastword::bench::load::{Load, measure, measure_bare};
use lastword::bench::pipeline::{FileKind, Pipeline, Place, run_stage};
use lastword::client::address::{ResolveError, ServerAddress, resolve};
use lastword::client::front::Exit;

#[path = "bench/arguments.rs"]
mod arguments;
#[path = "shared/documents.rs"]
mod documents;
#[path = "bench/manual.rs"]
mod manual;
#[path = "bench/shown.rs"]
mod shown;

use arguments::{
    Arguments, Command, FailoverArguments, FillArguments, GridArguments, IdleArguments,
    OutputArguments,
};
use shown::Progress;

/// Everything but wrong arguments, with which clap ends it.
const EXIT_FAILURE: u8 = 1;
/// How long a name may be looked up.
const LOOK_UP_TIME_MAX: Duration = Duration::from_secs(10);

/// Why there is no figure.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Bench(#[from] BenchError),
    #[error(transparent)]
    Fill(#[from] FillError),
    #[error(transparent)]
    Failover(#[from] FailoverError),
    #[error(transparent)]
    Idle(#[from] IdleError),
    #[error(transparent)]
    Address(#[from] ResolveError),
    #[error("what was measured cannot be written: {0}")]
    Output(#[from] io::Error),
}

fn main() -> ExitCode {
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("warn")).init();
    let arguments = Arguments::parse();
    let done = match arguments.command {
        None => one_load(&arguments),
        Some(Command::Grid {
            target,
            grid,
            against_limit,
        }) => grid_of(Some(&target.server), &grid, against_limit),
        Some(Command::Limit { grid }) => grid_of(None, &grid, true),
        Some(Command::Fill {
            data,
            messages,
            member,
            accounts,
            kind,
        }) => fill_folder(&kind.fill(data, accounts, messages, member)),
        Some(Command::Costs {
            messages,
            data,
            program,
            folder,
            accounts,
            kind,
        }) => {
            let program = program.unwrap_or_else(|| program_beside(&this_program()));
            match data {
                Some(data) => costs_of(program, data, accounts, kind),
                None => costs_of_each(&program, &messages, &folder, accounts, &kind),
            }
        }
        Some(Command::Failover(arguments)) => failover(&arguments),
        Some(Command::Idle(arguments)) => idle(&arguments),
        Some(Command::Stage { words }) => stage(&words),
        Some(Command::Completions { shell }) => {
            return documents::print(&documents::completions(Arguments::command(), shell));
        }
        Some(Command::Man) => {
            let page = documents::manual(Arguments::command(), manual::SYNOPSIS, manual::SECTIONS);
            return documents::print(&page.expect("memory can be written"));
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            // Where nobody can be told, nobody is told.
            let _ = writeln!(io::stderr(), "bench: {failure}");
            ExitCode::from(match failure {
                Failure::Failover(FailoverError::Signal(signal)) => Exit::Signal(signal).code(),
                Failure::Bench(BenchError::Interrupted(signal))
                | Failure::Idle(IdleError::Bench(BenchError::Interrupted(signal))) => {
                    Exit::Signal(signal.number()).code()
                }
                _ => EXIT_FAILURE,
            })
        }
    }
}

fn one_load(arguments: &Arguments) -> Result<(), Failure> {
    let OutputArguments { timeline, json } = arguments.output;
    let address = address_of(&arguments.target.server)?;
    let load = arguments.load.load();
    let mut progress = Progress::new("");
    let figures = measure(address, &load, &mut |second| progress.second(second, &load));
    progress.done();
    let figures = figures?;
    let shown = match json {
        true => shown::load_json(&load, &figures, timeline),
        false => shown::load_table(&load, &figures, timeline),
    };
    write_out(&shown)
}

fn grid_of(
    server: Option<&ServerAddress>,
    arguments: &GridArguments,
    with_limit: bool,
) -> Result<(), Failure> {
    let server = server.map(address_of).transpose()?;
    let cells = match arguments.cells.is_empty() {
        true => CELLS.to_vec(),
        false => arguments.cells.clone(),
    };
    let load = Load {
        clients: 1,
        depth: 1,
        size: arguments.size,
        warm_up: Duration::from_secs(1),
        window: arguments.seconds,
        rate: None,
        listeners: 0,
        stalled: 0,
        keep: false,
    };
    let mut measure_server = server
        .map(|address| move |load: &Load| told(load, "", |tell| measure(address, load, tell)));
    let kind = match arguments.growing {
        true => FileKind::Growing,
        false => FileKind::Prepared,
    };
    let mut measure_limit = |load: &Load| {
        let pipeline = Pipeline::start(stage_command, &arguments.folder, kind)?;
        told(load, "bare pipeline ", |tell| {
            measure_bare(pipeline.address(), load, tell)
        })
    };
    let grid = measure_grid(
        &cells,
        arguments.runs,
        &load,
        measure_server.as_mut().map(|measure| measure as _),
        with_limit.then_some(&mut measure_limit as _),
    )?;
    let shown = match arguments.json {
        true => shown::grid_json(&load, &grid),
        false => shown::grid_table(&load, &grid),
    };
    write_out(&shown)
}

/// Measures a cell, and shows on a terminal how far it is.
fn told(
    load: &Load,
    what: &str,
    measure: impl FnOnce(&mut dyn FnMut(&Second)) -> Result<Figures, BenchError>,
) -> Result<Figures, BenchError> {
    let mut progress = Progress::new(&format!("{what}{}x{} ", load.clients, load.depth));
    let figures = measure(&mut |second| progress.second(second, load));
    progress.done();
    figures
}

fn fill_folder(wanted: &Fill) -> Result<(), Failure> {
    let mut progress = Progress::new("filled ");
    let filled = fill(wanted, &mut |so_far| progress.filled(&so_far));
    progress.done();
    write_out(&shown::filled(wanted, &filled?))
}

fn costs_of(
    program: PathBuf,
    data: PathBuf,
    accounts: Option<usize>,
    kind: FillArguments,
) -> Result<(), Failure> {
    let accounts = accounts.unwrap_or_else(|| accounts_for(u64::MAX));
    let costs = measure_costs(&costs::Place {
        program,
        data,
        accounts,
        password: kind.password,
        size: kind.size,
    })?;
    write_out(shown::costs_head())?;
    write_out(&shown::costs_row(None, accounts, &costs))
}

fn costs_of_each(
    program: &Path,
    messages: &[u64],
    folder: &Path,
    accounts: Option<usize>,
    kind: &FillArguments,
) -> Result<(), Failure> {
    write_out(shown::costs_head())?;
    for messages in messages {
        let data = folder.join(format!("lastword-costs-{}", std::process::id()));
        let accounts = accounts.unwrap_or_else(|| accounts_for(*messages));
        let wanted = kind.clone().fill(data, accounts, *messages, MEMBER_DEFAULT);
        let mut progress = Progress::new("filled ");
        let costs = fill_and_measure(program, &wanted, &mut |so_far| progress.filled(&so_far));
        progress.done();
        write_out(&shown::costs_row(Some(*messages), accounts, &costs?))?;
    }
    Ok(())
}

fn this_program() -> PathBuf {
    std::env::current_exe().unwrap_or_else(|_| Path::new("bench").to_owned())
}

fn failover(arguments: &FailoverArguments) -> Result<(), Failure> {
    let failover = Failover {
        servers: resolve(&arguments.server, LOOK_UP_TIME_MAX)?,
        kill: arguments.kill.clone(),
        restart: arguments.restart.clone(),
        times: arguments.times,
        keep: arguments.keep,
    };
    let mut progress = Progress::new("");
    let gaps = measure_failover(&failover, &mut |gap| progress.gap(gap));
    progress.done();
    let gaps = gaps?;
    write_out(&match arguments.json {
        true => shown::gaps_json(&gaps),
        false => shown::gaps_table(&gaps),
    })
}

fn idle(arguments: &IdleArguments) -> Result<(), Failure> {
    let address = address_of(&arguments.target.server)?;
    let idle = Idle {
        clients: arguments.clients,
        window: arguments.seconds,
        process: arguments.pid,
        keep: arguments.keep,
    };
    let mut progress = Progress::new("");
    let figures = measure_idle(address, &idle, &mut |came| progress.came(came));
    progress.done();
    let figures = figures?;
    write_out(&match arguments.json {
        true => shown::idle_json(&figures),
        false => shown::idle_table(&figures),
    })
}

fn stage_command() -> Process {
    let mut command = Process::new(this_program());
    command.arg("stage");
    command
}

fn stage(words: &[std::ffi::OsString]) -> Result<(), Failure> {
    let place = Place::from_words(words).ok_or_else(|| {
        BenchError::Process("stage is for bench itself; see: bench limit".to_owned())
    })?;
    run_stage(&place, |address| {
        // Nobody needs it if nobody reads it.
        let _ = writeln!(io::stdout(), "{address}");
    })
    .map_err(|error| BenchError::Process(format!("the bare pipeline: {error}")))?;
    Ok(())
}

fn address_of(server: &ServerAddress) -> Result<SocketAddr, Failure> {
    let found = resolve(std::slice::from_ref(server), LOOK_UP_TIME_MAX)?;
    Ok(found[0])
}

fn write_out(text: &str) -> Result<(), Failure> {
    let mut output = io::stdout().lock();
    output.write_all(text.as_bytes())?;
    output.flush()?;
    Ok(())
}

/// Whether somebody watches.
fn is_watched() -> bool {
    io::stderr().is_terminal()
}
