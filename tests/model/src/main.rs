//! How far has one to look? Asks what the tests ask with more time: see the usage below.

use std::env;
use std::process::ExitCode;
use std::time::Instant;

use lastword_model::checker::{Outcome, search};
use lastword_model::properties::{deaths, has_connected_majority, has_room, is_well, serves};
use lastword_model::reachable::always_reachable;
use lastword_model::rules::{Guard, Setting};
use lastword_model::state::State;
use lastword_model::walks::walk;

const USAGE: &str = "usage: scripts/model [search | live | walks | spare] [MILLIONS] [SEED]

  search  every state at bounds that end, or the first MILLIONS of them (20)
  live    from where somebody can always serve again, up to MILLIONS of states (20)
  walks   MILLIONS of random steps in each world (2), from SEED (1) on
  spare   all those taken out of which nothing is known that they prevent: MILLIONS of random
          steps in each world (2), from SEED (1) on

Without arguments: search, live and walks.";

/// Every fault that there is, several times.
const FAR: &str = "4 crashes, 3 restarts, 2 pauses, 3 cuts, 3 heals, 3 ops, 9 log, 14 numbers";

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let millions = arguments.get(1).map(|text| text.parse::<f64>());
    let seed = arguments.get(2).map_or(Ok(1), |text| text.parse::<u64>());
    let (Ok(millions), Ok(seed)) = (millions.transpose(), seed) else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    let states = (millions.unwrap_or(20.0) * 1e6) as usize;
    let steps = (millions.unwrap_or(2.0) * 1e6) as usize;
    let holds = match arguments.first().map(String::as_str) {
        Some("search") => searches(states),
        Some("live") => questions(states),
        Some("walks") => walks(steps, seed, &[]),
        Some("spare") => walks(steps, seed, &Guard::SPARE),
        None => searches(states) & questions(states) & walks(steps, seed, &[]),
        Some(_) => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    ExitCode::from(u8::from(!holds))
}

/// Prints what became of a search, and answers whether nothing was broken.
fn tell(title: &str, outcome: &Outcome, started: Instant) -> bool {
    let seconds = started.elapsed().as_secs_f32();
    let seen = if outcome.complete { "all" } else { "not all" };
    println!(
        "{title}: {} states or steps ({seen}), depth {}, {seconds:.1} s",
        outcome.states, outcome.depth
    );
    if let Some(violation) = &outcome.violation {
        println!("{violation}");
    }
    outcome.violation.is_none()
}

fn searches(states_max: usize) -> bool {
    let sober = [
        (3, "2 crashes, 1 cut, 1 op, 4 numbers"),
        (3, "2 crashes, 1 restart, 1 op, 4 numbers"),
        (3, "1 crash, 1 cut, 1 heal, 1 op, 4 numbers"),
        (3, "1 crash, 1 pause, 1 cut, 1 op, 4 numbers"),
        (3, "3 crashes, 3 restarts, 3 numbers"),
        (3, "1 crash, 1 cut, 5 numbers"),
        (4, "1 crash, 5 numbers"),
        (4, "1 crash, 1 cut, 3 numbers"),
        (5, "1 crash, 3 numbers"),
        (5, "1 cut, 3 numbers"),
    ];
    let mut holds = true;
    for (servers, faults) in sober {
        let started = Instant::now();
        let mut setting = Setting::calm(servers).with(faults);
        setting.world.cuts_in_two = servers > 3;
        let title = format!("{servers} servers, {faults}");
        holds &= tell(&title, &search(&setting, states_max), started);
    }
    let free = [
        (3, "1 cut, 1 op, 3 numbers"),
        (3, "1 crash, 3 numbers"),
        (3, "1 crash, 1 cut, 3 numbers"),
        (4, "1 op, 3 numbers, 3 log"),
    ];
    for (servers, faults) in free {
        let started = Instant::now();
        let setting = Setting::calm(servers).free().lazy().with(faults);
        let title = format!("{servers} servers, any members, late pings, {faults}");
        holds &= tell(&title, &search(&setting, states_max), started);
    }
    holds
}

fn questions(states_max: usize) -> bool {
    type Condition = fn(&State) -> bool;
    let two_dead: Condition = |state| deaths(state) == 2;
    let questions: [(&str, u8, &str, Condition); 7] = [
        ("L1", 3, "2 crashes, 1 op", two_dead),
        ("L2", 3, "2 cuts", has_connected_majority),
        ("L2", 3, "1 crash, 1 cut, 4 numbers", has_connected_majority),
        ("L2", 3, "1 pause, 1 cut, 4 numbers", has_connected_majority),
        ("all is well", 3, "1 crash, 1 restart, 4 numbers", is_well),
        (
            "all is well",
            3,
            "1 pause, 1 cut, 1 heal, 4 numbers",
            is_well,
        ),
        ("L2", 4, "1 crash, 4 numbers", has_connected_majority),
    ];
    let mut holds = true;
    for (title, servers, faults, condition) in questions {
        let started = Instant::now();
        let mut setting = Setting::calm(servers).with(faults);
        setting.world.prompt_evidence = true;
        let asked = |state: &State| has_room(state, &setting) && condition(state);
        let answer = always_reachable(&setting, states_max, asked, serves);
        println!(
            "{title}: {servers} servers, {faults}: {} states ({}), {} asked, {:.1} s",
            answer.states,
            if answer.complete {
                "all"
            } else {
                "not all: nothing can be said"
            },
            answer.asked,
            started.elapsed().as_secs_f32()
        );
        if answer.stuck.is_some() {
            println!("{answer}");
            holds = false;
        }
    }
    holds
}

fn walks(steps: usize, seed: u64, without: &[Guard]) -> bool {
    let mut holds = true;
    for servers in [3, 4, 5] {
        let sober = Setting::calm(servers).with(FAR);
        let sober = without
            .iter()
            .fold(sober, |setting, &guard| setting.without(guard));
        let mut in_two = sober.free();
        in_two.world.cuts_in_two = true;
        let worlds = [
            ("sober", sober),
            ("any members", sober.free()),
            ("any members, cut in two", in_two),
            ("wild", sober.wild()),
        ];
        for (world, setting) in worlds {
            let started = Instant::now();
            let title = format!("{servers} servers, {world}");
            holds &= tell(&title, &walk(&setting, steps, 120, seed), started);
        }
    }
    holds
}
