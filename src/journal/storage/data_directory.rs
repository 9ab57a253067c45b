//! Which folder does a starting server work in, and does another process work there already?
//!
//! A data directory holds a folder for each server: `server-1`, `server-2`, and so on, the slots.
//! A server holds a lock (flock) on the file `lock` in its slot as long as it lives, and the file
//! says which process it is. The kernel lets go of the lock with the process, however that ends,
//! so that a slot of a dead server is free at once.
//!
//! A slot has data if there is a superblock in it. A first start that crashed may leave an empty
//! slot, or one with some files of no meaning: it counts as empty.
//!
//! Nothing is created in a directory that is refused.

mod error;

pub use self::error::{ClaimError, ExamineError};

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use rustix::process::{Pid, test_kill_process};

use super::disk::{FILE_MODE, create_directory, sync_directory};
use crate::journal::superblock;

/// The file in a slot that is locked.
const LOCK: &str = "lock";
/// How the name of a slot's folder begins; its number follows.
const SLOT_PREFIX: &str = "server-";
/// What says nothing about whose directory this is: a fresh file system holds the one, and scripts
/// that start servers keep their logs and process ids in the other, from before the first start on.
const NOBODYS: [&str; 2] = ["lost+found", "run"];
/// More servers than this do not share a data directory.
const SLOTS_MAX: u32 = 1000;
/// How often, and how long, a lock is waited for whose holder is not (or not yet) a live process:
/// [`DataDirectory::examine`] holds it for a moment, and who has just taken it has yet to say so.
const LOCK_TRIES: u32 = 20;
const LOCK_PAUSE: Duration = Duration::from_millis(2);

/// What there is where servers are to keep their data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DataDirectory {
    /// No such directory.
    Missing,
    /// Nothing is in it.
    Empty,
    /// Slots, in the order of their numbers; there is one at least.
    Slots(Vec<SlotState>),
    /// It holds something that is not Lastword's.
    Foreign {
        /// What.
        entry: PathBuf,
    },
}

/// A slot that exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlotState {
    /// Its number, from 1.
    pub number: u32,
    /// There is a superblock in it.
    pub has_data: bool,
    /// A live process works in it.
    pub locked: bool,
    /// Which one, if `locked` and if it can be told.
    pub process: Option<u32>,
}

/// A slot that belongs to this process, until this is dropped.
#[derive(Debug)]
pub struct Slot {
    number: u32,
    directory: PathBuf,
    has_data: bool,
    others_with_data: Vec<u32>,
    /// Locked; closing it unlocks.
    _lock: File,
}

impl DataDirectory {
    /// Looks, and changes nothing. (It holds the lock of each free slot for a moment, to see that
    /// it is free; a server that starts just then waits for it.)
    pub fn examine(path: &Path) -> Result<Self, ExamineError> {
        let survey = match Survey::of(path)? {
            Survey::Missing => return Ok(Self::Missing),
            Survey::Foreign { entry } => return Ok(Self::Foreign { entry }),
            Survey::Slots(slots) => slots,
        };
        if survey.is_empty() {
            return Ok(Self::Empty);
        }
        let states = survey.into_iter().map(|number| slot_state(path, number));
        Ok(Self::Slots(states.collect::<Result<_, _>>()?))
    }

    /// Lets the one slot of `draft`, a data directory inside of the one at `path`, be in that one from
    /// now on, wholly and for good, and removes `draft`. No process may work in the slot at that
    /// moment.
    ///
    /// # Errors
    /// What was not moved is in `draft`, where no server looks for it.
    pub fn adopt(path: &Path, draft: &Path) -> io::Result<()> {
        for entry in fs::read_dir(draft)? {
            let name = entry?.file_name();
            fs::rename(draft.join(&name), path.join(&name))?;
        }
        sync_directory(path)?;
        fs::remove_dir(draft)?;
        sync_directory(path)
    }

    /// Takes the lowest slot that no live process has locked, or `slot`, and creates the folders
    /// that are missing (with mode 0700).
    pub fn claim(path: &Path, slot: Option<u32>) -> Result<Slot, ClaimError> {
        if let Some(number) = slot
            && !(1..=SLOTS_MAX).contains(&number)
        {
            return Err(ClaimError::NoSuchSlot { number });
        }
        let existing = match Survey::of(path)? {
            Survey::Missing => Vec::new(),
            Survey::Foreign { entry } => return Err(ClaimError::Foreign { entry }),
            Survey::Slots(slots) => slots,
        };
        let (number, lock) = match slot {
            Some(number) => match lock_slot(path, number)? {
                Locked::Ours(lock) => (number, lock),
                Locked::Theirs { process } => {
                    let directory = slot_directory(path, number);
                    return Err(ClaimError::InUse {
                        number,
                        directory,
                        process,
                    });
                }
            },
            None => lock_lowest_slot(path)?,
        };
        let directory = slot_directory(path, number);
        let with_data = |it: &u32| *it != number && has_data(&slot_directory(path, *it));
        Ok(Slot {
            number,
            has_data: has_data(&directory),
            directory,
            others_with_data: existing.into_iter().filter(with_data).collect(),
            _lock: lock,
        })
    }
}

impl Slot {
    /// Its number, from 1.
    pub fn number(&self) -> u32 {
        self.number
    }

    /// Its folder, which exists.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Whether there was a superblock in it when it was claimed.
    pub fn has_data(&self) -> bool {
        self.has_data
    }

    /// The other slots that had data when this one was claimed.
    pub fn other_slots_with_data(&self) -> &[u32] {
        &self.others_with_data
    }
}

/// The names in a data directory, judged.
enum Survey {
    Missing,
    Foreign {
        entry: PathBuf,
    },
    /// The numbers of the slots, in order; none if the directory is empty.
    Slots(Vec<u32>),
}

impl Survey {
    fn of(path: &Path) -> Result<Self, ExamineError> {
        let Some(entries) = entries(path)? else {
            return Ok(Self::Missing);
        };
        let mut slots = Vec::new();
        let mut ours = false;
        let mut foreign = None;
        for name in entries {
            match slot_number(&name) {
                Some(number) => {
                    let directory = slot_directory(path, number);
                    let Some(files) = entries_of_slot(&directory)? else {
                        return Ok(Self::Foreign { entry: directory });
                    };
                    let marked = files.iter().any(|it| it == LOCK || it == superblock::FILE);
                    if !marked && let Some(file) = files.first() {
                        let entry = directory.join(file);
                        return Ok(Self::Foreign { entry });
                    }
                    ours |= marked;
                    slots.push(number);
                }
                None if NOBODYS.contains(&name.as_str()) => {}
                None => foreign = Some(path.join(name)),
            }
        }
        // What people put beside our slots is their own affair.
        if let Some(entry) = foreign
            && !ours
        {
            return Ok(Self::Foreign { entry });
        }
        slots.sort_unstable();
        Ok(Self::Slots(slots))
    }
}

/// The names in a directory; `None` if there is none.
fn entries(path: &Path) -> Result<Option<Vec<String>>, ExamineError> {
    let unreadable = |source| ExamineError::Unreadable {
        path: path.to_owned(),
        source,
    };
    let directory = match fs::read_dir(path) {
        Ok(directory) => directory,
        Err(error) => match error.kind() {
            io::ErrorKind::NotFound => return Ok(None),
            io::ErrorKind::NotADirectory => {
                let path = path.to_owned();
                return Err(ExamineError::NotADirectory { path });
            }
            _ => return Err(unreadable(error)),
        },
    };
    let mut names = Vec::new();
    for entry in directory {
        let entry = entry.map_err(unreadable)?;
        names.push(entry.file_name().to_string_lossy().into_owned());
    }
    Ok(Some(names))
}

/// The names in a slot's folder; `None` if it is no folder.
fn entries_of_slot(directory: &Path) -> Result<Option<Vec<String>>, ExamineError> {
    match entries(directory) {
        Err(ExamineError::NotADirectory { .. }) => Ok(None),
        other => other,
    }
}

fn slot_number(name: &str) -> Option<u32> {
    let digits = name.strip_prefix(SLOT_PREFIX)?;
    let number = digits.parse().ok()?;
    // Not `server-01`, which would be a second name for the same number.
    ((1..=SLOTS_MAX).contains(&number) && digits == number.to_string()).then_some(number)
}

fn slot_directory(path: &Path, number: u32) -> PathBuf {
    path.join(format!("{SLOT_PREFIX}{number}"))
}

fn has_data(slot: &Path) -> bool {
    slot.join(superblock::FILE).exists()
}

fn slot_state(path: &Path, number: u32) -> Result<SlotState, ExamineError> {
    let directory = slot_directory(path, number);
    let lock_path = directory.join(LOCK);
    let locked = match File::open(&lock_path) {
        Ok(lock) => flock(&lock, FlockOperation::NonBlockingLockShared).is_err(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => false,
        Err(source) => {
            return Err(ExamineError::Unreadable {
                path: lock_path,
                source,
            });
        }
    };
    Ok(SlotState {
        number,
        has_data: has_data(&directory),
        locked,
        process: locked.then(|| recorded_process(&lock_path)).flatten(),
    })
}

enum Locked {
    Ours(File),
    Theirs { process: Option<u32> },
}

fn lock_lowest_slot(path: &Path) -> Result<(u32, File), ClaimError> {
    for number in 1..=SLOTS_MAX {
        if let Locked::Ours(lock) = lock_slot(path, number)? {
            return Ok((number, lock));
        }
    }
    Err(ClaimError::AllInUse {
        path: path.to_owned(),
    })
}

/// Locks a slot, and creates it if it is missing; if that fails, what was created goes again.
fn lock_slot(path: &Path, number: u32) -> Result<Locked, ClaimError> {
    let directory = slot_directory(path, number);
    let mut created = Vec::new();
    let locked = create_directories(&directory, &mut created).and_then(|()| lock_in(&directory));
    if locked.is_err() {
        for directory in created.iter().rev() {
            // It may hold something of another process by now, and then it stays.
            let _ = fs::remove_dir(directory);
        }
    }
    locked
}

/// Creates a directory and those above it that are missing, for good, and lists them.
fn create_directories(directory: &Path, created: &mut Vec<PathBuf>) -> Result<(), ClaimError> {
    if directory.as_os_str().is_empty() || directory.is_dir() {
        return Ok(());
    }
    let parent = directory.parent().unwrap_or(Path::new(""));
    create_directories(parent, created)?;
    let not_writable = |source| ClaimError::NotWritable {
        path: directory.to_owned(),
        source,
    };
    match create_directory(directory) {
        Ok(()) => created.push(directory.to_owned()),
        // Another server that starts just now was quicker.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && directory.is_dir() => {}
        Err(error) => return Err(not_writable(error)),
    }
    sync_directory(parent).map_err(not_writable)
}

fn lock_in(directory: &Path) -> Result<Locked, ClaimError> {
    let path = directory.join(LOCK);
    let not_writable = |source| ClaimError::NotWritable {
        path: path.clone(),
        source,
    };
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(FILE_MODE)
        .open(&path)
        .map_err(not_writable)?;
    for _ in 0..LOCK_TRIES {
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {
                record_process(&mut file).map_err(not_writable)?;
                return Ok(Locked::Ours(file));
            }
            Err(rustix::io::Errno::WOULDBLOCK) => {}
            Err(error) => return Err(not_writable(error.into())),
        }
        let process = recorded_process(&path);
        if process.is_some_and(is_alive) {
            return Ok(Locked::Theirs { process });
        }
        std::thread::sleep(LOCK_PAUSE);
    }
    // Somebody has it whom we cannot see, in another container for instance.
    Ok(Locked::Theirs { process: None })
}

fn record_process(lock: &mut File) -> io::Result<()> {
    lock.set_len(0)?;
    lock.rewind()?;
    writeln!(lock, "{}", std::process::id())
}

fn recorded_process(lock: &Path) -> Option<u32> {
    let mut text = String::new();
    let file = File::open(lock).ok()?;
    // A process id and its line end are shorter.
    file.take(32).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

fn is_alive(process: u32) -> bool {
    let pid = i32::try_from(process).ok().and_then(Pid::from_raw);
    // A process of somebody else's may not be signalled, but it is there.
    pid.is_some_and(|pid| test_kill_process(pid) != Err(rustix::io::Errno::SRCH))
}

#[cfg(test)]
mod tests;
