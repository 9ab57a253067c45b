//! How does each part of the screen look, with colours and without?
//!
//! Colours are the sixteen that everybody has chosen for their own terminal, and no background is ever set.
//! Nothing is told by a colour alone: where there are none, bold, faint and reversed text are left.

use ratatui::style::{Color, Modifier, Style};

use super::super::show::Colours;

/// What a part of the screen is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Look {
    /// What people say.
    Plain,
    /// Beside the point: times, dates, lines, hints.
    Faint,
    /// What is above what.
    Title,
    /// Somebody else speaks.
    Person,
    /// I speak.
    Me,
    /// Something waits.
    Waiting,
    /// Something is as it should be.
    Good,
    /// Something went wrong.
    Trouble,
    /// Something was not seen before.
    New,
    /// What is chosen, or found.
    Chosen,
}

impl Look {
    /// Its style.
    pub fn style(self, colours: Colours) -> Style {
        let (colour, modifier) = match self {
            Self::Plain => (Color::Reset, Modifier::empty()),
            Self::Faint => (Color::Reset, Modifier::DIM),
            Self::Title => (Color::Reset, Modifier::BOLD),
            Self::Person => (Color::Cyan, Modifier::BOLD),
            Self::Me => (Color::Green, Modifier::empty()),
            Self::Waiting => (Color::Yellow, Modifier::empty()),
            Self::Good => (Color::Green, Modifier::empty()),
            Self::Trouble => (Color::Red, Modifier::BOLD),
            Self::New => (Color::Yellow, Modifier::BOLD),
            Self::Chosen => (Color::Reset, Modifier::REVERSED),
        };
        match colours {
            Colours::On => Style::new().fg(colour).add_modifier(modifier),
            Colours::Off => Style::new().add_modifier(modifier),
        }
    }
}
