//! Answers in, and what is drawn when.

use super::super::super::failover::Input;
use super::super::super::scripted::{Dialed, Server, seconds};
use super::*;
use crate::types::ErrorCode;
use crate::wire::message::{Answer, Item};

struct Run {
    dialed: Dialed,
    front: StatusView,
}

const ONCE: StatusOptions = StatusOptions {
    is_json: false,
    watches: false,
    redraws: false,
    colours: Colours::Off,
    time_max: Duration::from_secs(10),
};

impl Run {
    fn start(options: StatusOptions) -> Self {
        let mut run = Self {
            dialed: Dialed::new(),
            front: StatusView::new(options),
        };
        run.front.handle_timeout(&mut run.dialed.client, seconds(0));
        assert_eq!(run.turn(), "send 2 (2..) Status\n");
        run
    }

    fn hears(&mut self, server: Server) -> String {
        self.dialed.hears(&server);
        self.turn()
    }

    fn at(&mut self, moment: u64) -> String {
        self.front
            .handle_timeout(&mut self.dialed.client, seconds(moment));
        self.turn()
    }

    fn turn(&mut self) -> String {
        let log = self.dialed.drain(&mut self.front);
        let written = self.front.take_text(&self.dialed.client, seconds(0));
        log + &written.output + &written.error
    }
}

fn answer(number: u64) -> Server {
    Server::default()
        .item(number, Item::Line("server 1 primary view 1 commit 4"))
        .item(number, Item::Line("ready yes"))
        .answer(number, Answer::Reported)
}

const DRAWN: &str = "clients are let in; 0 of 0 servers in sync\n\
                     server 1 at 127.0.0.1:5000 answered: view 1, commit 4\n";

#[test]
fn who_looks_once_sees_it_once() {
    let mut run = Run::start(ONCE);
    assert_eq!(run.hears(answer(2)), DRAWN);
    assert_eq!(run.front.exit(), Some(Exit::Done));

    let mut run = Run::start(ONCE);
    let shown = run.hears(Server::default().refuse(2, ErrorCode::Internal));
    assert!(shown.contains("(internal)"), "{shown}");
    assert_eq!(run.front.exit(), Some(Exit::Failed));

    let mut run = Run::start(ONCE);
    assert_eq!(run.at(10), "client: no server has served for 10 s\n");
    assert_eq!(run.front.exit(), Some(Exit::NobodyAnswered));
}

#[test]
fn who_watches_sees_it_each_second_also_while_nobody_answers() {
    let mut run = Run::start(StatusOptions {
        watches: true,
        ..ONCE
    });
    assert_eq!(run.hears(answer(2)), DRAWN);
    assert_eq!(run.front.poll_timeout(), Some(seconds(1)));
    assert_eq!(run.at(1), "send 3 (3..) Status\n");
    assert_eq!(run.hears(answer(3)), format!("\n{DRAWN}"));
    let lost = Input::Closed(run.dialed.link);
    run.dialed.client.handle_input(lost, seconds(1));
    run.turn();
    run.at(2);
    for moment in 3..100 {
        let shown = run.at(moment);
        assert_eq!(
            shown.lines().nth(1),
            Some(&*format!("no server has answered for {moment} s"))
        );
    }
    assert_eq!(run.front.exit(), None, "they may come back");
}

#[test]
fn on_a_terminal_the_new_takes_the_place_of_the_old() {
    let mut run = Run::start(StatusOptions {
        watches: true,
        redraws: true,
        ..ONCE
    });
    assert!(run.hears(answer(2)).starts_with("\x1b[2J\x1b[Hclients are"));
    run.at(1);
    let shown = run.hears(answer(3));
    assert!(shown.starts_with("\x1b[Hclients are"), "{shown:?}");
    // Neither the rest of a longer line nor that of a longer drawing stays.
    assert_eq!(
        shown.matches("\x1b[K\n").count(),
        shown.matches('\n').count()
    );
    assert!(shown.ends_with("\x1b[J"), "{shown:?}");
}

#[test]
fn programs_get_a_line_each_second() {
    let mut run = Run::start(StatusOptions {
        watches: true,
        is_json: true,
        ..ONCE
    });
    let mut lines = run.hears(answer(2));
    run.at(1);
    lines += &run.at(2);
    let values: Vec<serde_json::Value> = lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(values[0]["answered_by"], "127.0.0.1:5000");
    assert_eq!(values[1]["answered_by"], serde_json::Value::Null);
    assert_eq!(values[1]["silent_s"], 2);
    assert_eq!(values.len(), 2);
}
