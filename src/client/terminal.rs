//! How is a terminal taken over for a full screen, and given back as it was?
//!
//! It is given back when its [`FullScreen`] is dropped, and before a panic tells what it has to say. Signals
//! are no case of their own: the driver makes an ordinary end of them.

use std::io::{self, Write};
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};

use crossterm::terminal::{self, disable_raw_mode, enable_raw_mode};

/// The other page of the terminal, emptied; pastes come as a whole.
const TAKE: &str = "\x1b[?1049h\x1b[2J\x1b[?2004h";
/// The page that was there before, with its cursor, and nothing left of our styles.
const GIVE_BACK: &str = "\x1b[0m\x1b[?2004l\x1b[?25h\x1b[?1049l";
/// For a terminal that does not know how large it is.
const SIZE_UNKNOWN: (u16, u16) = (80, 24);

/// The terminal is taken.
static IS_TAKEN: AtomicBool = AtomicBool::new(false);

/// The terminal of standard input and output, for as long as it is a full screen.
#[derive(Debug)]
pub struct FullScreen(());

impl FullScreen {
    /// Takes the terminal over: keys come one by one and are not echoed, Ctrl+C among them.
    ///
    /// # Errors
    /// It is no terminal, or it is gone.
    pub fn take() -> io::Result<Self> {
        give_back_at_panics();
        enable_raw_mode()?;
        IS_TAKEN.store(true, Ordering::SeqCst);
        let taken = Self(());
        let mut stdout = io::stdout();
        stdout.write_all(TAKE.as_bytes())?;
        stdout.flush()?;
        Ok(taken)
    }
}

/// The columns and rows of the terminal.
pub fn size() -> (u16, u16) {
    match terminal::size() {
        Ok((columns, rows)) if columns > 0 && rows > 0 => (columns, rows),
        _ => SIZE_UNKNOWN,
    }
}

impl Drop for FullScreen {
    fn drop(&mut self) {
        give_back();
    }
}

/// Does what is left to do, once. There is nothing to be done about a terminal that is gone.
fn give_back() {
    if IS_TAKEN.swap(false, Ordering::SeqCst) {
        let mut stdout = io::stdout();
        let _ = stdout.write_all(GIVE_BACK.as_bytes());
        let _ = stdout.flush();
        let _ = disable_raw_mode();
    }
}

/// What a panic says is to be read on the page that stays.
fn give_back_at_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            give_back();
            before(panic);
        }));
    });
}
