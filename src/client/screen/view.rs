//! Which part of a conversation is on the screen?
//!
//! The newest, unless somebody has scrolled, or something came that would have passed by unseen: then
//! the view rests at a place, and what comes meanwhile does not move it.

use ratatui::text::Line;

use super::conversations::{Conversation, Place};
use super::entries::{Dresser, Entry};
use crate::types::OpNumber;

/// Where a view rests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Rest {
    /// The lowest entry that is on the screen.
    place: Place,
    /// So many of its rows are below the screen.
    hidden: usize,
}

/// The view of the open conversation.
#[derive(Debug, Default)]
pub(super) struct View {
    /// `None`: the newest entries are shown, also those that come.
    rest: Option<Rest>,
    /// Rows to go up (or down, below zero) as soon as they are known.
    scroll: isize,
    /// An entry to be shown.
    wanted: Option<Place>,
    /// What nobody has seen may pass by this time.
    skips: bool,
    /// The first message that had not been seen when the conversation was opened.
    pub new_from: Option<OpNumber>,
    /// What was seen last of it.
    pub seen: Seen,
}

/// What a view has shown.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Seen {
    /// Everything up to this id.
    pub up_to: OpNumber,
    /// From this id on, as far as it goes up.
    pub from: OpNumber,
    /// It begins with the first entry that there is.
    pub is_top: bool,
    /// Entries below.
    pub below: usize,
}

/// The rows of a conversation, made when they are needed.
struct Sheet<'a> {
    entries: Vec<Entry<'a>>,
    rows: Vec<Option<Vec<Line<'static>>>>,
    dresser: &'a Dresser<'a>,
    height: usize,
}

impl View {
    /// A view of a conversation that is opened now.
    pub fn of(conversation: &Conversation) -> Self {
        Self {
            new_from: conversation.unread.first().copied(),
            ..Self::default()
        }
    }

    /// Goes up so many rows, or down below zero, the next time it is drawn.
    pub fn scroll(&mut self, rows: isize) {
        self.scroll = self.scroll.saturating_add(rows);
    }

    /// Shows the newest entries from now on, whatever was not seen above them.
    pub fn follow(&mut self) {
        self.rest = None;
        self.scroll = 0;
        self.wanted = None;
        self.skips = true;
    }

    /// Shows an entry, somewhere in the middle.
    pub fn show(&mut self, place: Place) {
        self.wanted = Some(place);
    }

    /// What is on the screen now, in so many rows at most.
    pub fn rows(
        &mut self,
        conversation: &Conversation,
        dresser: &Dresser<'_>,
        height: usize,
    ) -> Vec<Line<'static>> {
        let entries = Entry::all(conversation);
        self.seen = Seen::default();
        if entries.is_empty() || height == 0 {
            self.seen.is_top = true;
            return Vec::new();
        }
        let mut sheet = Sheet {
            rows: vec![None; entries.len()],
            entries,
            dresser,
            height,
        };
        let (index, hidden) = self.settle(conversation, &mut sheet);
        let (index, hidden) = sheet.scrolled(index, hidden, std::mem::take(&mut self.scroll));
        self.skips = false;
        let last = sheet.entries.len() - 1;
        self.rest = ((index, hidden) != (last, 0)).then(|| Rest {
            place: sheet.entries[index].place(),
            hidden,
        });
        self.look(&mut sheet, index, hidden)
    }

    /// The lowest entry to be shown, and how many of its rows are not, before any scrolling.
    fn settle(&mut self, conversation: &Conversation, sheet: &mut Sheet<'_>) -> (usize, usize) {
        let last = sheet.entries.len() - 1;
        if let Some(wanted) = self.wanted.take() {
            let index = sheet.index_of(wanted);
            return sheet.below(index, sheet.height / 2);
        }
        match self.rest {
            Some(rest) => {
                let index = sheet.index_of(rest.place);
                let rows = sheet.rows_of(index).len();
                (index, rest.hidden.min(rows - 1))
            }
            None => {
                let unseen = conversation.unread.first().filter(|_| !self.skips);
                let unseen = unseen.map(|id| sheet.index_of((*id, 0)));
                // What nobody has seen does not pass by above the screen.
                match unseen {
                    Some(first) => sheet.below(first, sheet.height),
                    None => (last, 0),
                }
            }
        }
    }

    /// Takes the rows upwards from there, and notes what is seen.
    fn look(&mut self, sheet: &mut Sheet<'_>, index: usize, hidden: usize) -> Vec<Line<'static>> {
        let height = sheet.height;
        let mut taken: Vec<Line<'static>> = Vec::new();
        let mut top = index;
        let whole = if hidden > 0 { index } else { index + 1 };
        for at in (0..=index).rev() {
            let skipped = if at == index { hidden } else { 0 };
            let rows = sheet.rows_of(at);
            let shown = rows.len() - skipped;
            taken.extend(rows[..shown].iter().rev().cloned());
            top = at;
            if taken.len() >= height {
                break;
            }
        }
        let ids = |entries: &[Entry<'_>]| entries.iter().rev().find_map(Entry::id);
        self.seen = Seen {
            up_to: ids(&sheet.entries[..whole]).unwrap_or_default(),
            from: sheet.entries[top..]
                .iter()
                .find_map(Entry::id)
                .unwrap_or(OpNumber::MAX),
            is_top: top == 0 && taken.len() <= height,
            below: sheet.entries.len() - whole,
        };
        taken.truncate(height);
        taken.reverse();
        taken
    }
}

impl Sheet<'_> {
    /// The entry of this place, or the one before it.
    fn index_of(&self, place: Place) -> usize {
        let behind = self.entries.partition_point(|entry| entry.place() <= place);
        behind.saturating_sub(1)
    }

    fn rows_of(&mut self, index: usize) -> &[Line<'static>] {
        let before = index.checked_sub(1).map(|before| self.entries[before]);
        let (entry, dresser) = (self.entries[index], self.dresser);
        self.rows[index].get_or_insert_with(|| dresser.rows(entry, before))
    }

    /// The lowest entry on a screen whose first rows are those of `index`, with so many rows.
    fn below(&mut self, index: usize, height: usize) -> (usize, usize) {
        let mut room = height;
        for at in index..self.entries.len() {
            let rows = self.rows_of(at).len();
            if rows >= room {
                return self.at_least_full(at, rows - room);
            }
            room -= rows;
        }
        (self.entries.len() - 1, 0)
    }

    /// Goes up so many rows from there, or down below zero.
    fn scrolled(&mut self, index: usize, hidden: usize, by: isize) -> (usize, usize) {
        let (mut index, mut hidden) = (index, hidden);
        for _ in 0..by.unsigned_abs() {
            if by > 0 {
                if hidden + 1 < self.rows_of(index).len() {
                    hidden += 1;
                } else if index > 0 {
                    (index, hidden) = (index - 1, 0);
                } else {
                    break;
                }
            } else if hidden > 0 {
                hidden -= 1;
            } else if index + 1 < self.entries.len() {
                index += 1;
                hidden = self.rows_of(index).len() - 1;
            } else {
                break;
            }
        }
        self.at_least_full(index, hidden)
    }

    /// Nothing is left empty on the screen while there is something below it.
    fn at_least_full(&mut self, index: usize, hidden: usize) -> (usize, usize) {
        let mut rows = 0;
        for at in (0..=index).rev() {
            rows += self.rows_of(at).len();
            if rows >= self.height + hidden {
                return (index, hidden);
            }
        }
        let mut missing = self.height + hidden - rows;
        if missing <= hidden {
            return (index, hidden - missing);
        }
        missing -= hidden;
        for at in index + 1..self.entries.len() {
            let more = self.rows_of(at).len();
            if more >= missing {
                return (at, more - missing);
            }
            missing -= more;
        }
        (self.entries.len() - 1, 0)
    }
}
