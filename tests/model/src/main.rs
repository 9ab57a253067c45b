//! scratch
use lastword_model::checker::{Outcome, search};
use lastword_model::rules::{Guard, Setting};
use lastword_model::walks::walk;

fn show(name: &str, setting: &Setting, millions: f64) {
    let started = std::time::Instant::now();
    let outcome: Outcome = search(setting, (millions * 1e6) as usize);
    println!("{name}: {} states, depth {}, complete {}, {:.1?}", outcome.states, outcome.depth, outcome.complete, started.elapsed());
    if let Some(v) = outcome.violation { println!("{v}"); }
}
fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let get = |n: usize| arguments.get(n).map(String::as_str);
    let servers: u8 = get(2).unwrap().parse().unwrap();
    let mut s = Setting::calm(servers).with(get(3).unwrap());
    for f in arguments.iter().skip(5) {
        match f.as_str() { "free" => s = s.free(), "lazy" => s = s.lazy(), "wild" => s = s.wild(), "two" => s.world.cuts_in_two = true, "forge" => s.world.forged_refusals = true, "prompt" => s.world.prompt_evidence = true, "late" => s.world.late_frames = true, "slow" => s.world.slow_network = true, "oneway" => s.world.one_way_cuts = true, x if x.starts_with("led=") => s = s.led_by(&x[4..]), x => {
            let all = [Guard::EveryMemberHasIt, Guard::PromiserTakesNoPrepare, Guard::PromisingPrimaryStops, Guard::ReadsAreFresh, Guard::DeadWasFresh, Guard::DeathIsUnopposed, Guard::NoEchoToTheExcluded, Guard::CandidateIsIntact, Guard::PromisesRise, Guard::VoterIsNotNewer, Guard::PromiseBinds, Guard::EveryPromiseBinds, Guard::ReleasedWithoutViewOp, Guard::EachStandingView, Guard::DeadAreNoVotes, Guard::TieNeedsPrecedence, Guard::SilentWereNamed, Guard::HeardAreNotSilent, Guard::MembersPromised, Guard::PromiserInstallsNothingLower, Guard::InForceWithAll, Guard::LearnerHasAll, Guard::IncarnationRises, Guard::ColdStartNeedsAll, Guard::ColdStartAsksStandingViews, Guard::ColdLeaderWasMember, Guard::ColdLeaderIsAhead, Guard::ColdStartWithoutIntact, Guard::PromiseIsReleased, Guard::Resignation, Guard::PromisedAreNotSilent];
            for g in all { if format!("{g:?}") == x[1..] { s = s.without(g); } }
        } }
    }
    let millions: f64 = get(4).unwrap().parse().unwrap();
    match get(1).unwrap() {
        "search" => show(get(3).unwrap(), &s, millions),
        "walk" => { let o = walk(&s, (millions*1e6) as usize, 120, 1); println!("{} steps", o.states); if let Some(v) = o.violation { println!("{v}"); } }
        _ => {}
    }
}
