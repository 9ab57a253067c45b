//! How are many runs made at once, and what is said of one that fails?

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use super::broken::Variant;
use super::run::{Plan, Summary};

/// How many of the last lines of a failed run are shown.
const LINES_SHOWN: usize = 80;

/// Makes all runs, on all processors, and panics with the story of the first that fails.
pub fn run_many(plans: impl Iterator<Item = Plan> + Send) {
    if let Some((plan, _)) = find_violation(plans) {
        panic!("{}", plan.tell(LINES_SHOWN));
    }
}

/// Makes runs until one fails: the one with the lowest number among those that were begun.
pub fn find_violation(plans: impl Iterator<Item = Plan> + Send) -> Option<(Plan, String)> {
    quietly(|| {
        let mut failed = each_of(plans, |_, _| {}, true);
        failed.sort_by_key(|(index, ..)| *index);
        failed.into_iter().next().map(|(_, plan, why)| (plan, why))
    })
}

/// Failures are told by who looks for them, and not by each thread on its way out.
fn quietly<T>(action: impl FnOnce() -> T) -> T {
    static HOOK: std::sync::Once = std::sync::Once::new();
    thread_local! {
        static IS_QUIET: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
    }
    HOOK.call_once(|| {
        let loud = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            let name = std::thread::current().name().map(str::to_owned);
            if name.as_deref() != Some(RUNNER) {
                loud(info);
            }
        }));
    });
    action()
}

/// The name of the threads that make runs.
const RUNNER: &str = "simulation";

fn each_of(
    plans: impl Iterator<Item = Plan> + Send,
    done: impl Fn(u64, &Summary) + Sync,
    stops: bool,
) -> Vec<(u64, Plan, String)> {
    let plans = Mutex::new((0..).zip(plans));
    let failed = Mutex::new(Vec::new());
    let processors = std::thread::available_parallelism().map_or(2, |it| it.get());
    std::thread::scope(|scope| {
        for _ in 0..processors {
            let work = || {
                loop {
                    if stops && !failed.lock().expect("no panic").is_empty() {
                        return;
                    }
                    let next = plans.lock().expect("no panic").next();
                    let Some((index, plan)) = next else { return };
                    match plan.run() {
                        Ok(summary) => done(index, &summary),
                        Err(why) => failed.lock().expect("no panic").push((index, plan, why)),
                    }
                }
            };
            std::thread::Builder::new()
                .name(RUNNER.to_owned())
                .spawn_scoped(scope, work)
                .expect("a thread");
        }
    });
    failed.into_inner().expect("no panic")
}

/// One seed, or many, as the environment says.
pub fn simulate() {
    let number = |name: &str| {
        let text = std::env::var(name).ok().filter(|it| !it.is_empty())?;
        Some(text.parse::<u64>().expect("scripts/simulate gives numbers"))
    };
    let variant = std::env::var("SIMULATE_BROKEN")
        .ok()
        .filter(|it| !it.is_empty());
    let variant = variant.map(|name| Variant::named(&name).expect("the name of a broken rule"));
    let plan = |seed| Plan {
        seed,
        servers: number("SIMULATE_SERVERS").map(|it| it as usize),
        variant,
    };
    if let Some(seed) = number("SIMULATE_SEED") {
        let lines = number("SIMULATE_LINES").unwrap_or(LINES_SHOWN as u64);
        println!("{}", quietly_told(plan(seed), lines as usize));
        return;
    }
    let first = number("SIMULATE_FROM").unwrap_or(0);
    let count = number("SIMULATE_SEEDS").unwrap_or(10_000);
    make_runs((first..first + count).map(plan), count, variant.is_some());
}

/// The story of a run, told in a thread of its own, which is quiet.
fn quietly_told(plan: Plan, lines: usize) -> String {
    let thread = std::thread::Builder::new().name(RUNNER.to_owned());
    quietly(|| {
        let told = thread.spawn(move || plan.tell(lines)).expect("a thread");
        told.join().expect("violations are caught")
    })
}

/// Makes runs and says what came of them; with a broken rule, until it is missed.
fn make_runs(plans: impl Iterator<Item = Plan> + Send, count: u64, stops: bool) {
    let begun = Instant::now();
    let runs = AtomicU64::new(0);
    let sum = Mutex::new(Summary::default());
    let done = |_, summary: &Summary| {
        let mut sum = sum.lock().expect("no panic");
        sum.simulated += summary.simulated;
        sum.events += summary.events;
        sum.acknowledged += summary.acknowledged;
        sum.reads += summary.reads;
        sum.rounds += summary.rounds;
        sum.starts += summary.starts;
        let runs = runs.fetch_add(1, Ordering::Relaxed) + 1;
        if runs.is_multiple_of((count / 20).max(1)) {
            println!("{runs} runs, {} s", begun.elapsed().as_secs());
        }
    };
    let mut failed = quietly(|| each_of(plans, done, stops));
    failed.sort_by_key(|(index, ..)| *index);
    let sum = sum.into_inner().expect("no panic");
    println!(
        "{count} runs in {} s: {} s simulated, {} events, {} ops acknowledged, {} reads answered, \
         {} rounds of views, {} starts of processes",
        begun.elapsed().as_secs(),
        sum.simulated / 1_000_000_000,
        sum.events,
        sum.acknowledged,
        sum.reads,
        sum.rounds,
        sum.starts
    );
    for (_, plan, why) in &failed {
        let first = why.lines().next().unwrap_or_default();
        println!("failed: {first}\n  again: {}", plan.command());
    }
    assert!(failed.is_empty(), "{} of {count} runs failed", failed.len());
}
