//! What became of each line, and how is that said?
//!
//! Lines that follow each other and have the same fate are told together, so that a hundred thousand
//! that were refused for the same reason are one sentence.

use super::super::front::Written;
use super::super::show::{escape_line, json_string};
use crate::types::OpNumber;
use crate::wire::message::Refusal;

/// So many characters of a line are shown, that it can be known again.
const CHARACTERS_SHOWN: usize = 40;

/// A line of the input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line {
    /// Its place, from 1.
    number: u64,
    /// How it begins.
    beginning: String,
}

/// What became of a line.
#[derive(Clone, Copy, Debug)]
pub(super) enum Fate<'a> {
    /// It is a message, with this id.
    Acknowledged(OpNumber),
    /// It is none, and why.
    Refused(&'a Refusal),
    /// It may be one or not.
    Unknown,
    /// No server has ever seen it.
    NotSent,
}

/// What became of all lines.
#[derive(Debug)]
pub(super) struct Tally {
    is_json: bool,
    acknowledged: u64,
    refused: u64,
    unknown: u64,
    not_sent: u64,
    /// The highest id of a message.
    last_id: OpNumber,
    /// Lines that follow each other, were not acknowledged, and are not told yet.
    run: Option<Run>,
}

/// Lines with the same fate.
#[derive(Debug)]
struct Run {
    first: Line,
    last: u64,
    /// What follows "line 7" or "lines 7 to 9"; `{were}` stands for was or were.
    fate: String,
}

impl Line {
    pub fn new(number: u64, text: &str) -> Self {
        let mut beginning: String = text.chars().take(CHARACTERS_SHOWN).collect();
        if beginning.len() < text.len() {
            beginning.push('…');
        }
        Self { number, beginning }
    }
}

impl Tally {
    /// Nothing was heard yet. With `is_json` everything is told as objects.
    pub fn new(is_json: bool) -> Self {
        Self {
            is_json,
            acknowledged: 0,
            refused: 0,
            unknown: 0,
            not_sent: 0,
            last_id: OpNumber::ZERO,
            run: None,
        }
    }

    pub fn is_all_acknowledged(&self) -> bool {
        self.refused + self.unknown + self.not_sent == 0
    }

    /// A line has its fate.
    pub fn settle(&mut self, line: Line, fate: Fate<'_>, written: &mut Written) {
        match fate {
            Fate::Acknowledged(id) => {
                self.acknowledged += 1;
                self.last_id = self.last_id.max(id);
            }
            Fate::Refused(_) => self.refused += 1,
            Fate::Unknown => self.unknown += 1,
            Fate::NotSent => self.not_sent += 1,
        }
        if self.is_json {
            written.output.push_str(&object(&line, fate));
        } else if let Some(fate) = words(fate) {
            self.add_to_run(line, fate, written);
        }
    }

    /// There is nothing more to hear. `unread_from`: from this line on nothing was read.
    pub fn close(&mut self, unread_from: Option<u64>, written: &mut Written) {
        self.tell_run(written);
        let Self {
            acknowledged,
            refused,
            unknown,
            not_sent,
            ..
        } = self;
        if self.is_json {
            let unread = unread_from.map_or("null".to_owned(), |line| line.to_string());
            written.output.push_str(&format!(
                "{{\"acknowledged\":{acknowledged},\"refused\":{refused},\"unknown\":{unknown},\"not_sent\":{not_sent},\"unread_from_line\":{unread}}}\n"
            ));
            return;
        }
        if let Some(line) = unread_from {
            written.error.push_str(&format!(
                "client: line {line} and what follows it were not sent\n"
            ));
        }
        let last = match self.last_id {
            OpNumber::ZERO => String::new(),
            id => format!(", last id {id}"),
        };
        written
            .output
            .push_str(&format!("{acknowledged} sent{last}\n"));
    }

    fn add_to_run(&mut self, line: Line, fate: String, written: &mut Written) {
        if let Some(run) = &mut self.run
            && run.last + 1 == line.number
            && run.fate == fate
        {
            run.last = line.number;
            return;
        }
        self.tell_run(written);
        self.run = Some(Run {
            last: line.number,
            first: line,
            fate,
        });
    }

    fn tell_run(&mut self, written: &mut Written) {
        let Some(Run { first, last, fate }) = self.run.take() else {
            return;
        };
        let (lines, were) = match first.number == last {
            true => (format!("line {last}"), "was"),
            false => (format!("lines {} to {last}", first.number), "were"),
        };
        let shown = match first.beginning.is_empty() {
            true => String::new(),
            false => format!(": {}", escape_line(&first.beginning)),
        };
        let fate = fate.replacen("{were}", were, 1);
        written
            .error
            .push_str(&format!("client: {lines} {fate}{shown}\n"));
    }
}

/// What is said of lines that were not acknowledged.
fn words(fate: Fate<'_>) -> Option<String> {
    Some(match fate {
        Fate::Acknowledged(_) => return None,
        Fate::Refused(refusal) => format!(
            "{{were}} refused, {} ({})",
            escape_line(&refusal.sentence),
            refusal.code.word()
        ),
        Fate::Unknown => {
            "{were} not acknowledged, and may or may not have been sent (look with: client log)"
                .to_owned()
        }
        Fate::NotSent => "{were} not sent".to_owned(),
    })
}

fn object(line: &Line, fate: Fate<'_>) -> String {
    let number = line.number;
    let failed = |code: &str, sentence: &str| {
        format!(
            "{{\"line\":{number},\"error\":{},\"sentence\":{},\"text\":{}}}\n",
            json_string(code),
            json_string(sentence),
            json_string(&line.beginning)
        )
    };
    match fate {
        Fate::Acknowledged(id) => format!("{{\"line\":{number},\"id\":{id}}}\n"),
        Fate::Refused(refusal) => failed(refusal.code.word(), &refusal.sentence),
        Fate::Unknown => failed("unknown_outcome", "it may or may not have been sent"),
        Fate::NotSent => failed("not_sent", "it was not sent"),
    }
}
