//! How are the servers, now or from second to second?
//!
//! Any server that answers will do: a backup and one that waits tell, too, what they know.

use std::net::SocketAddr;
use std::time::Duration;

use super::super::cluster::Cluster;
use super::super::event::Part;
use super::super::failover::{Change, Client, Output};
use super::super::front::{Exit, Front, Written};
use super::super::show::{Colours, Role, json_string};
use super::drawing;
use super::patience::Patience;
use super::refused;
use crate::types::{RequestNumber, Time};
use crate::wire::message::Request;

/// How often it is looked again.
const INTERVAL: Duration = Duration::from_secs(1);

/// How the state of the servers is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StatusOptions {
    /// One JSON object a line, for programs.
    pub is_json: bool,
    /// It is looked again each second.
    pub watches: bool,
    /// What is drawn takes the place of what was drawn before.
    pub redraws: bool,
    /// How it is dressed.
    pub colours: Colours,
    /// How long no server may answer before the first one does.
    pub time_max: Duration,
}

/// Looking at the servers.
pub struct StatusView {
    options: StatusOptions,
    patience: Patience,
    /// The question, if it is open.
    asked: Option<RequestNumber>,
    /// What came of its answer.
    lines: Vec<String>,
    /// When the next thing is to be shown, after the first answer.
    next_at: Option<Time>,
    /// When a server answered last.
    answered_at: Time,
    has_drawn: bool,
    written: Written,
    exit: Option<Exit>,
}

impl StatusView {
    /// Looks once, or on and on, as `options` say.
    pub fn new(options: StatusOptions) -> Self {
        Self {
            options,
            patience: Patience::new(options.time_max),
            asked: None,
            lines: Vec::new(),
            next_at: None,
            answered_at: Time(0),
            has_drawn: false,
            written: Written::default(),
            exit: None,
        }
    }
}

impl Front for StatusView {
    fn handle_output(&mut self, output: Output, client: &mut Client, now: Time) {
        if self.exit.is_some() {
            return;
        }
        match output {
            Output::Item {
                item: Part::Line(line),
                ..
            } => self.lines.push(line),
            Output::Answered { answer, .. } => {
                self.asked = None;
                match answer {
                    Ok(_) => self.draw(client, now),
                    Err(refusal) => {
                        self.written.complain(&refused("status", &refusal));
                        self.exit = Some(Exit::Failed);
                    }
                }
            }
            Output::Changed(change) => {
                self.patience.note(&change);
                let is_first = self.next_at.is_none() && self.asked.is_none();
                if is_first && matches!(change, Change::Up { .. }) {
                    self.ask(client, now);
                }
            }
            _ => {}
        }
    }

    fn handle_signal(&mut self, signal: i32, _: &mut Client, _: Time) {
        self.exit = Some(Exit::Signal(signal));
    }

    fn is_for_its_reader(&self) -> bool {
        true
    }

    fn handle_timeout(&mut self, client: &mut Client, now: Time) {
        if self.exit.is_some() {
            return;
        }
        match self.next_at {
            None => self.patience.begin(now),
            Some(at) if at <= now => {
                self.next_at = Some(now + INTERVAL);
                match self.asked {
                    None => self.ask(client, now),
                    Some(_) => self.draw_silence(now),
                }
            }
            Some(_) => {}
        }
        if self.patience.is_over(now) {
            for sentence in self.patience.complaint() {
                self.written.complain(&sentence);
            }
            self.exit = Some(Exit::NobodyAnswered);
        }
    }

    fn poll_timeout(&self) -> Option<Time> {
        // At first it is called at once, and the waiting begins.
        let until = self.patience.until().unwrap_or_default();
        Some(self.next_at.unwrap_or(until))
    }

    fn take_text(&mut self, _: &Client, _: Time) -> Written {
        std::mem::take(&mut self.written)
    }

    fn exit(&self) -> Option<Exit> {
        self.exit
    }
}

impl StatusView {
    fn ask(&mut self, client: &mut Client, now: Time) {
        self.lines.clear();
        match client.ask(&Request::Status, now) {
            Ok(number) => self.asked = Some(number),
            Err(error) => {
                self.written.complain(&format!("status: {error}"));
                self.exit = Some(Exit::Failed);
            }
        }
    }

    fn draw(&mut self, client: &Client, now: Time) {
        let cluster = Cluster::parse(self.lines.iter().map(String::as_str));
        let address = client.server().map(|it| it.0).or(cluster.member);
        let address = address.unwrap_or(SocketAddr::from(([0, 0, 0, 0], 0)));
        let drawn = match self.options.is_json {
            true => drawing::object(&cluster, address),
            false => drawing::draw(&cluster, address, self.options.colours),
        };
        self.put(&drawn);
        // Whoever watches wants to see the servers go and come.
        self.patience.end();
        self.answered_at = now;
        match self.options.watches {
            true => self.next_at = Some(now + INTERVAL),
            false => self.exit = Some(Exit::Done),
        }
    }

    /// Nobody has answered since the last time.
    fn draw_silence(&mut self, now: Time) {
        let seconds = now.since(self.answered_at).as_secs();
        let met: Vec<String> = self
            .patience
            .met()
            .map(|(address, why)| format!("{address}: {why}"))
            .collect();
        let drawn = match self.options.is_json {
            true => {
                let met: Vec<String> = met.iter().map(|line| json_string(line)).collect();
                format!(
                    "{{\"answered_by\":null,\"ready\":false,\"silent_s\":{seconds},\"tried\":[{}]}}\n",
                    met.join(",")
                )
            }
            false => {
                let sentence = format!("no server has answered for {seconds} s");
                let mut drawn = self.options.colours.paint(Role::Trouble, &sentence);
                for line in met {
                    drawn.push_str("\n  ");
                    drawn.push_str(&line);
                }
                drawn + "\n"
            }
        };
        self.put(&drawn);
    }

    /// Writes a drawing, in the place of the one before where there is a screen.
    fn put(&mut self, drawn: &str) {
        let output = &mut self.written.output;
        if self.options.redraws {
            // To the top, whatever is right of each line and below the last one goes.
            output.push_str(if self.has_drawn {
                "\x1b[H"
            } else {
                "\x1b[2J\x1b[H"
            });
            output.push_str(&drawn.replace('\n', "\x1b[K\n"));
            output.push_str("\x1b[J");
        } else {
            if self.has_drawn && !self.options.is_json {
                output.push('\n');
            }
            output.push_str(drawn);
        }
        self.has_drawn = true;
    }
}

#[cfg(test)]
mod tests;
