//! How are figures shown?

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::time::Duration;

use lastword::bench::costs::Costs;
use lastword::bench::failover::{Gap, Gaps};
use lastword::bench::figures::{Figures, Latency, Second};
use lastword::bench::fill::{self, Fill, Filled};
use lastword::bench::grid::{Cell, median};
use lastword::bench::idle::IdleFigures;
use lastword::bench::load::Load;
use serde_json::{Value, json};

/// A line on the terminal that says how far it is, if there is a terminal.
pub struct Progress {
    what: String,
    shown: bool,
}

impl Progress {
    /// Nothing shown yet.
    pub fn new(what: &str) -> Self {
        Self {
            what: what.to_owned(),
            shown: false,
        }
    }

    /// A second of a load has passed. Behind the last one it takes a while until the load has ended and
    /// all of it is looked up.
    pub fn second(&mut self, second: &Second, load: &Load) {
        let last = load.window.as_secs_f64().ceil().max(1.0) as usize;
        self.say(&format!(
            "{} of {last} s{}: {} messages, p50 {}, p99 {}",
            second.at + 1,
            if second.at + 1 == last {
                ", now it is looked up"
            } else {
                ""
            },
            grouped(second.acknowledged as f64),
            short(second.p50),
            short(second.p99),
        ));
    }

    /// Something more of a folder is filled.
    pub fn filled(&mut self, filled: &fill::Progress) {
        self.say(&format!(
            "{} of {}",
            grouped(filled.done as f64),
            grouped(filled.of as f64)
        ));
    }

    /// The primary was killed.
    pub fn gap(&mut self, gap: &Gap) {
        self.say(&format!(
            "server {} was killed, and server {} has answered after {}",
            gap.from,
            gap.to,
            short(gap.time),
        ));
    }

    /// So many clients have come.
    pub fn came(&mut self, came: usize) {
        self.say(&format!("{} clients", grouped(came as f64)));
    }

    fn say(&mut self, how_far: &str) {
        if !super::is_watched() {
            return;
        }
        self.shown = true;
        // Where it cannot be seen it is not missed.
        let _ = write!(io::stderr(), "\r\x1b[K{}{how_far}", self.what);
    }

    /// Takes the line away.
    pub fn done(&mut self) {
        if std::mem::take(&mut self.shown) {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}

/// One load, for people.
pub fn load_table(load: &Load, figures: &Figures, timeline: bool) -> String {
    let mut out = String::new();
    let _ = writeln!(
        out,
        "{} connections, {} requests open on each, {} bytes, {:.1} s{}",
        load.clients,
        load.depth,
        load.size,
        figures.window.as_secs_f64(),
        load.rate
            .map_or(String::new(), |rate| format!(", {rate} a second wanted")),
    );
    if timeline {
        let _ = writeln!(out, "  second   messages       p50       p99       max");
        for second in &figures.timeline {
            let _ = writeln!(
                out,
                "  {:>6} {:>10} {:>9} {:>9} {:>9}",
                second.at + 1,
                grouped(second.acknowledged as f64),
                short(second.p50),
                short(second.p99),
                short(second.max),
            );
        }
    }
    let _ = writeln!(out, "  {} messages/s", grouped(figures.each_second()));
    for (name, time) in times(&figures.latency) {
        let _ = writeln!(out, "  {name:<6} {:>9}", short(time));
    }
    let _ = writeln!(
        out,
        "  all {} that were acknowledged are there, once",
        grouped(figures.checked as f64)
    );
    if load.listeners > 0 {
        let _ = writeln!(
            out,
            "  {} were delivered, all of them to each who listens, in order",
            grouped(figures.delivered as f64)
        );
    }
    out
}

/// One load, for programs.
pub fn load_json(load: &Load, figures: &Figures, timeline: bool) -> String {
    let mut value = figures_json(figures);
    value["clients"] = load.clients.into();
    value["depth"] = load.depth.into();
    value["size"] = load.size.into();
    value["rate"] = load.rate.into();
    if timeline {
        value["timeline"] = figures
            .timeline
            .iter()
            .map(|second| {
                json!({
                    "second": second.at + 1,
                    "acknowledged": second.acknowledged,
                    "p50_us": micros(second.p50),
                    "p99_us": micros(second.p99),
                    "max_us": micros(second.max),
                })
            })
            .collect();
    }
    format!("{value}\n")
}

/// A grid, for people.
pub fn grid_table(load: &Load, grid: &[Cell]) -> String {
    let mut out = String::new();
    let runs = grid
        .first()
        .map_or(0, |cell| cell.server.len().max(cell.limit.len()));
    let _ = writeln!(
        out,
        "messages of {} bytes; {} s each; {}",
        load.size,
        load.window.as_secs_f64(),
        match runs {
            1 => "one run".to_owned(),
            runs => format!("medians of {runs} runs"),
        }
    );
    let has_server = grid.iter().any(|cell| !cell.server.is_empty());
    let has_limit = grid.iter().any(|cell| !cell.limit.is_empty());
    let mut line = format!("  {:<8}", "");
    if has_server {
        let _ = write!(line, " {:>11} {:>9} {:>9}", "messages/s", "p50", "p99");
    }
    if has_limit {
        let _ = write!(line, " {:>11} {:>9} {:>9}", "bare/s", "p50", "p99");
    }
    if has_server && has_limit {
        let _ = write!(line, " {:>6} {:>6}", "share", "p99");
    }
    let _ = writeln!(out, "{line}");
    for cell in grid {
        let mut line = format!("  {:<8}", format!("{}x{}", cell.clients, cell.depth));
        for runs in [&cell.server, &cell.limit] {
            if let (Some(each_second), Some(p50), Some(p99)) = (
                median(runs, Figures::each_second),
                median_of(runs, 50.0),
                median_of(runs, 99.0),
            ) {
                let _ = write!(
                    line,
                    " {:>11} {:>9} {:>9}",
                    grouped(each_second),
                    short(p50),
                    short(p99)
                );
            }
        }
        if let (Some(share), Some(server), Some(limit)) = (
            cell.share(),
            median_of(&cell.server, 99.0),
            median_of(&cell.limit, 99.0),
        ) {
            let times = server.as_secs_f64() / limit.as_secs_f64();
            let _ = write!(line, " {:>5.0}% {:>5.1}x", share * 100.0, times);
        }
        let _ = writeln!(out, "{line}");
    }
    out
}

/// A grid, for programs.
pub fn grid_json(load: &Load, grid: &[Cell]) -> String {
    let cells: Vec<Value> = grid
        .iter()
        .map(|cell| {
            json!({
                "clients": cell.clients,
                "depth": cell.depth,
                "server": cell.server.iter().map(figures_json).collect::<Vec<_>>(),
                "limit": cell.limit.iter().map(figures_json).collect::<Vec<_>>(),
                "share": cell.share(),
            })
        })
        .collect();
    format!("{}\n", json!({ "size": load.size, "cells": cells }))
}

/// What was filled, and what to do with it.
pub fn filled(fill: &Fill, filled: &Filled) -> String {
    let seconds = filled.took.as_secs_f64();
    format!(
        "{} accounts (a0 to a{}, password {}) and {} messages of {} bytes in {seconds:.1} s, {} a second\n\
         start a server on it with: ./server 127.0.0.1 5000 1 --data {}\n",
        grouped(fill.accounts as f64),
        fill.accounts - 1,
        fill.password,
        grouped(fill.messages as f64),
        fill.size,
        grouped((fill.accounts as u64 + fill.messages) as f64 / seconds),
        fill.data.display(),
    )
}

/// The head of a table of costs, in Markdown.
pub fn costs_head() -> &'static str {
    "| messages | accounts | on disk | start | memory | after requests | LOGIN | RESUME | SEND | HISTORY * 100 |\n\
     | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n"
}

/// A row of it: the medians of requests. `messages` is `None` if nobody knows how many there are.
pub fn costs_row(messages: Option<u64>, accounts: usize, costs: &Costs) -> String {
    let messages = messages.map_or("?".to_owned(), |count| grouped(count as f64));
    let mebibytes = |bytes: u64| format!("{} MiB", grouped((bytes as f64 / 1048576.0).ceil()));
    let mut row = format!(
        "| {messages} | {} | {} | {} | {} | {} |",
        grouped(accounts as f64),
        mebibytes(costs.disk_bytes),
        short(costs.start),
        mebibytes(costs.memory_at_start),
        mebibytes(costs.memory),
    );
    for latency in [&costs.login, &costs.resume, &costs.send, &costs.history] {
        let _ = write!(row, " {} |", short(latency.percentile(50.0)));
    }
    row.push('\n');
    row
}

/// What kills have come to, for people.
pub fn gaps_table(gaps: &Gaps) -> String {
    let mut out = String::new();
    let _ = writeln!(
        out,
        "from the last acknowledgement before the kill to the first one behind it"
    );
    for (at, gap) in gaps.each.iter().enumerate() {
        let _ = writeln!(
            out,
            "  {:>6} {:>9}  server {} was killed, server {} took over",
            at + 1,
            short(gap.time),
            gap.from,
            gap.to
        );
    }
    let _ = writeln!(out, "  median {:>9}", short(gaps.median()));
    let _ = writeln!(out, "  worst  {:>9}", short(gaps.worst()));
    let _ = writeln!(
        out,
        "  all {} that were acknowledged are there, once",
        grouped(gaps.checked as f64)
    );
    out
}

/// What kills have come to, for programs.
pub fn gaps_json(gaps: &Gaps) -> String {
    let each = gaps.each.iter().map(|gap| {
        json!({
            "gap_us": micros(gap.time),
            "from": gap.from.0,
            "to": gap.to.0,
        })
    });
    let value = json!({
        "gaps": each.collect::<Vec<_>>(),
        "median_us": micros(gaps.median()),
        "worst_us": micros(gaps.worst()),
        "checked": gaps.checked,
    });
    format!("{value}\n")
}

/// What clients cost that do nothing, for people.
pub fn idle_table(figures: &IdleFigures) -> String {
    let kib = |bytes: u64| grouped(bytes as f64 / 1024.0);
    let mut out = String::new();
    let _ = writeln!(
        out,
        "{} clients that did nothing for {:.1} s, process {}",
        grouped(figures.clients as f64),
        figures.window.as_secs_f64(),
        figures.process
    );
    let _ = writeln!(
        out,
        "  memory    {:>9} KiB before them, {} KiB with them",
        kib(figures.before),
        kib(figures.after)
    );
    let _ = writeln!(out, "  for each  {:>9.0} bytes", figures.bytes_each());
    let _ = writeln!(
        out,
        "  processor {:>9.2} % of one",
        figures.cpu_share() * 100.0
    );
    if !figures.is_plausible() {
        let _ = writeln!(
            out,
            "  (no client costs so little: the server had the memory in store from clients before, or these are \
             too few to tell. Start it anew, and ask for some thousand clients.)"
        );
    }
    let _ = writeln!(out, "  all of them were answered in the end");
    out
}

/// What clients cost that do nothing, for programs.
pub fn idle_json(figures: &IdleFigures) -> String {
    let value = json!({
        "process": figures.process,
        "clients": figures.clients,
        "seconds": figures.window.as_secs_f64(),
        "resident_bytes_before": figures.before,
        "resident_bytes_after": figures.after,
        "bytes_each": figures.bytes_each(),
        "is_plausible": figures.is_plausible(),
        "cpu_us": micros(figures.cpu),
        "cpu_share": figures.cpu_share(),
    });
    format!("{value}\n")
}

fn figures_json(figures: &Figures) -> Value {
    let mut value = json!({
        "seconds": figures.window.as_secs_f64(),
        "acknowledged": figures.acknowledged,
        "each_second": figures.each_second(),
        "checked": figures.checked,
        "delivered": figures.delivered,
    });
    for (name, time) in times(&figures.latency) {
        value[format!("{}_us", name.replace('.', "_"))] = micros(time).into();
    }
    value
}

fn times(latency: &Latency) -> [(&'static str, Duration); 7] {
    [
        ("mean", latency.mean()),
        ("p50", latency.percentile(50.0)),
        ("p90", latency.percentile(90.0)),
        ("p99", latency.percentile(99.0)),
        ("p99.9", latency.percentile(99.9)),
        ("p99.99", latency.percentile(99.99)),
        ("max", latency.max()),
    ]
}

fn median_of(runs: &[Figures], percent: f64) -> Option<Duration> {
    let seconds = median(runs, |figures| {
        figures.latency.percentile(percent).as_secs_f64()
    });
    seconds.map(Duration::from_secs_f64)
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// A time in the unit that fits it.
pub fn short(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    match seconds {
        ..0.001 => format!("{:.0} us", seconds * 1e6),
        ..0.1 => format!("{:.2} ms", seconds * 1e3),
        ..1.0 => format!("{:.0} ms", seconds * 1e3),
        _ => format!("{seconds:.2} s"),
    }
}

/// A number with its thousands apart.
pub fn grouped(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at) % 3 == 0 {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_and_times_are_short() {
        assert_eq!(grouped(1_234_567.0), "1,234,567");
        assert_eq!(grouped(999.4), "999");
        assert_eq!(short(Duration::from_micros(12)), "12 us");
        assert_eq!(short(Duration::from_micros(12_340)), "12.34 ms");
        assert_eq!(short(Duration::from_millis(340)), "340 ms");
        assert_eq!(short(Duration::from_millis(2500)), "2.50 s");
    }
}
