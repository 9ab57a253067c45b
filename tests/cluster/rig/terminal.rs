//! What does a person see who sits at a terminal? The real client runs on a pseudo-terminal, an
//! emulator keeps the screen, and the test types.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{Read, Write};
use std::num::NonZero;
use std::os::fd::OwnedFd;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Instant;

use rustix::fs::{Mode, OFlags, open};
use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, Termios, Winsize, tcgetattr, tcsetwinsize};

use crate::common::server::wait_for;
use crate::common::{PASSWORD, PATIENCE};

/// A terminal in which a client runs, which ends with the test.
pub struct Terminal {
    /// The side of whoever types and looks.
    master: File,
    /// The client's side, kept open so that its settings can be looked at after its end.
    slave: OwnedFd,
    before: Termios,
    screen: Arc<Mutex<vt100::Parser>>,
    reader: Option<JoinHandle<()>>,
    child: Child,
}

impl Terminal {
    /// Runs the client with these arguments in a terminal of so many columns and rows.
    pub fn run<S: AsRef<OsStr>>(columns: u16, rows: u16, arguments: &[S]) -> Self {
        Self::run_with(columns, rows, arguments, &[])
    }

    /// The same with some of the environment set.
    pub fn run_with<S: AsRef<OsStr>>(
        columns: u16,
        rows: u16,
        arguments: &[S],
        environment: &[(&str, &str)],
    ) -> Self {
        Self::run_program(
            env!("CARGO_BIN_EXE_client"),
            columns,
            rows,
            arguments,
            environment,
        )
    }

    /// Runs any program so.
    pub fn run_program<S: AsRef<OsStr>>(
        program: &str,
        columns: u16,
        rows: u16,
        arguments: &[S],
        environment: &[(&str, &str)],
    ) -> Self {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a pseudo-terminal");
        grantpt(&master).expect("it is ours");
        unlockpt(&master).expect("it can be used");
        let name = ptsname(&master, Vec::new()).expect("its other side has a name");
        let slave =
            open(name, OFlags::RDWR | OFlags::NOCTTY, Mode::empty()).expect("its other side");
        set_size(&slave, columns, rows);
        let before = tcgetattr(&slave).expect("it is a terminal");
        let side = || Stdio::from(slave.try_clone().expect("one more descriptor"));
        // A terminal of its own is what `setsid` gives the program; it becomes the program's process.
        let child = Command::new("setsid")
            .args(["--ctty", "--wait", program])
            .args(arguments)
            .env("TERM", "xterm-256color")
            .env("TZ", "UTC")
            .env("LASTWORD_PASSWORD", PASSWORD)
            .env_remove("NO_COLOR")
            .env_remove("HOME")
            .env_remove("XDG_STATE_HOME")
            .envs(environment.iter().copied())
            .stdin(side())
            .stdout(side())
            .stderr(side())
            .spawn()
            .expect("the program can be run");
        let screen = Arc::new(Mutex::new(vt100::Parser::new(
            cells(rows),
            cells(columns),
            0,
        )));
        let mut terminal = Self {
            master: File::from(master),
            slave,
            before,
            screen,
            reader: None,
            child,
        };
        terminal.reader = Some(terminal.start_reader());
        terminal
    }

    fn start_reader(&self) -> JoinHandle<()> {
        let mut master = self.master.try_clone().expect("one more descriptor");
        let screen = Arc::clone(&self.screen);
        std::thread::spawn(move || {
            let mut chunk = [0; 4096];
            while let Ok(length @ 1..) = master.read(&mut chunk) {
                screen.lock().expect("no panic").process(&chunk[..length]);
            }
        })
    }

    // --- what a person does ---

    /// Types this; `\r` is Enter.
    pub fn types(&mut self, keys: &str) {
        self.master
            .write_all(keys.as_bytes())
            .expect("the terminal takes what is typed");
    }

    /// Makes the window another size.
    pub fn resize(&self, columns: u16, rows: u16) {
        let mut screen = self.screen.lock().expect("no panic");
        screen.screen_mut().set_size(cells(rows), cells(columns));
        drop(screen);
        set_size(&self.slave, columns, rows);
        // The kernel tells the one whose terminal it is.
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("a signal goes out");
    }

    // --- what a person sees ---

    /// The screen, a line for each row, without the blanks at their ends.
    pub fn shown(&self) -> String {
        let screen = self.screen.lock().expect("no panic");
        let (_, columns) = screen.screen().size();
        let rows = screen.screen().rows(0, columns.get());
        rows.map(|row| row.trim_end().to_owned() + "\n").collect()
    }

    /// Waits until the screen is as wanted. Answers what it shows then.
    #[track_caller]
    pub fn until(&self, what: &str, wanted: impl Fn(&str) -> bool) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let shown = self.shown();
            if wanted(&shown) {
                return shown;
            }
            assert!(
                Instant::now() < deadline,
                "{what}: not within {PATIENCE:?}; the screen shows\n{shown}"
            );
            // Whoever looks at the screen need not look more often.
            std::thread::sleep(std::time::Duration::from_millis(2));
        }
    }

    /// Waits until these words are somewhere on the screen.
    #[track_caller]
    pub fn until_shown(&self, words: &str) -> String {
        self.until(words, |shown| shown.contains(words))
    }

    /// Whether any cell has a colour.
    pub fn is_coloured(&self) -> bool {
        let screen = self.screen.lock().expect("no panic");
        let (rows, columns) = screen.screen().size();
        let (rows, columns) = (rows.get(), columns.get());
        let mut cells = (0..rows).flat_map(|row| (0..columns).map(move |column| (row, column)));
        cells.any(|(row, column)| {
            let cell = screen.screen().cell(row, column);
            cell.is_some_and(|it| {
                it.fgcolor() != vt100::Color::Default || it.bgcolor() != vt100::Color::Default
            })
        })
    }

    /// Waits for the client's end.
    #[track_caller]
    pub fn wait(&mut self) -> ExitStatus {
        let ended = wait_for(&mut self.child);
        ended.unwrap_or_else(|| panic!("the client does not end:\n{}", self.shown()))
    }

    /// Fails unless the terminal is as it was before the client: what is typed is shown, the
    /// cursor is, and so is what stood there before.
    #[track_caller]
    pub fn assert_as_before(&self) {
        let after = tcgetattr(&self.slave).expect("it is a terminal");
        let modes = |it: &Termios| {
            let (input, output) = (it.input_modes, it.output_modes);
            (input, output, it.control_modes, it.local_modes)
        };
        assert_eq!(modes(&after), modes(&self.before));
        assert!(after.local_modes.contains(LocalModes::ECHO));
        // What the client wrote last may still be on its way here.
        self.until("the screen from before", |_| {
            let screen = self.screen.lock().expect("no panic");
            let screen = screen.screen();
            !screen.alternate_screen() && !screen.hide_cursor() && !screen.bracketed_paste()
        });
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing left to kill.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// How many cells there are in a row or a column.
fn cells(count: u16) -> NonZero<u16> {
    NonZero::new(count).expect("a terminal has cells")
}

fn set_size(slave: &OwnedFd, columns: u16, rows: u16) {
    let size = Winsize {
        ws_col: columns,
        ws_row: rows,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    tcsetwinsize(slave, size).expect("a terminal has a size");
}
