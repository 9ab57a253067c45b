//! Which journal and which store in a slot are the current ones?
//!
//! A server that gets a snapshot does not write over what it has: it builds a journal and a store
//! beside the old ones, and when both are whole and safe, the superblock names their generation.
//! Before that moment the old ones count, after it the new ones; there is none between. The
//! generation before stays until the next one comes: nothing that somebody may want to look into
//! is thrown away at once.
//!
//! ```text
//! server-1/                generation 0: journal/   store.sqlite
//!                          generation 1: journal-1/ store-1.sqlite
//! ```

use std::io;
use std::path::{Path, PathBuf};

use crate::journal::storage::{Storage, leftovers};

const JOURNAL: &str = "journal";
const STORE: &str = "store";
const STORE_SUFFIX: &str = ".sqlite";

/// The journal's folder.
pub(super) fn journal(slot: &Path, generation: u32) -> PathBuf {
    slot.join(numbered(JOURNAL, generation))
}

/// The store's file.
pub(super) fn store(slot: &Path, generation: u32) -> PathBuf {
    slot.join(format!("{}{STORE_SUFFIX}", numbered(STORE, generation)))
}

/// The name of the file that says of a generation's store that it is damaged, and how. It belongs to the generation,
/// and goes with it: the next one's store is whole.
pub(super) fn damage_mark(generation: u32) -> String {
    format!("{}{STORE_SUFFIX}-damage", numbered(STORE, generation))
}

/// Puts a store that cannot be used aside, so that its place is free for one that is made anew, and takes the mark
/// of its damage away. What was put aside before makes way.
pub(super) fn set_store_aside(storage: &mut dyn Storage, generation: u32) -> io::Result<()> {
    let store = format!("{}{STORE_SUFFIX}", numbered(STORE, generation));
    let names = storage.list()?;
    for suffix in ["", "-wal", "-shm"] {
        let name = format!("{store}{suffix}");
        if names.contains(&name) {
            storage.rename(&name, &format!("{store}-aside{suffix}"))?;
        }
    }
    storage.sync_directory()?;
    let mark = damage_mark(generation);
    if names.contains(&mark) {
        storage.remove(&mark)?;
        storage.sync_directory()?;
    }
    Ok(())
}

/// Where a snapshot is made that goes to another server.
pub(super) fn outgoing(slot: &Path) -> PathBuf {
    slot.join("outgoing.snapshot")
}

/// Where a snapshot is collected that comes from another server.
pub(super) fn incoming(slot: &Path) -> PathBuf {
    slot.join("incoming.snapshot")
}

/// Removes everything of one generation.
pub(super) fn remove(slot: &Path, generation: u32) -> io::Result<()> {
    remove_where(slot, |it| it == generation)
}

/// Removes what a crash has left of a generation that never counted, and all that came before the
/// one before the current.
pub(super) fn remove_old(slot: &Path, current: u32) -> io::Result<()> {
    let names = leftovers::names(slot)?;
    let generations = names.iter().filter_map(|name| generation_of(name));
    let before = generations.filter(|it| *it < current).max();
    remove_where(slot, |it| it != current && Some(it) != before)
}

fn remove_where(slot: &Path, is_unwanted: impl Fn(u32) -> bool) -> io::Result<()> {
    for name in leftovers::names(slot)? {
        if generation_of(&name).is_some_and(&is_unwanted) {
            leftovers::remove(&slot.join(name))?;
        }
    }
    Ok(())
}

fn numbered(name: &str, generation: u32) -> String {
    match generation {
        0 => name.to_owned(),
        _ => format!("{name}-{generation}"),
    }
}

/// The generation that a file or folder belongs to; `None` if it is something else. What SQLite puts
/// beside a store belongs to it.
fn generation_of(name: &str) -> Option<u32> {
    let number = |rest: &str| match rest.strip_prefix('-') {
        None if rest.is_empty() => Some(0),
        None => None,
        Some(digits) => digits
            .parse()
            .ok()
            .filter(|n: &u32| n.to_string() == digits && *n > 0),
    };
    if let Some(rest) = name.strip_prefix(JOURNAL) {
        return number(rest);
    }
    let (before, _) = name.strip_prefix(STORE)?.split_once(STORE_SUFFIX)?;
    number(before)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_to_their_generation_and_back() {
        let slot = Path::new("slot");
        for generation in [0, 1, 2, 10] {
            for path in [journal(slot, generation), store(slot, generation)] {
                let name = path.file_name().unwrap().to_str().unwrap();
                assert_eq!(generation_of(name), Some(generation), "{name}");
            }
        }
        assert_eq!(generation_of("store.sqlite-wal"), Some(0));
        assert_eq!(generation_of("store-3.sqlite-shm"), Some(3));
        for other in [
            "lock",
            "superblock",
            "journal-x",
            "journal-01",
            "journals",
            "store-1",
            "my",
        ] {
            assert_eq!(generation_of(other), None, "{other}");
        }
    }

    #[test]
    fn the_current_generation_and_the_one_before_stay() {
        let folder = tempfile::tempdir().unwrap();
        let slot = folder.path();
        let make = |generation| {
            std::fs::create_dir(journal(slot, generation)).unwrap();
            std::fs::write(journal(slot, generation).join("segment"), "").unwrap();
            std::fs::write(store(slot, generation), "").unwrap();
        };
        [0, 2, 3, 4].into_iter().for_each(make);
        std::fs::write(slot.join("lock"), "").unwrap();
        remove_old(slot, 3).unwrap();
        let mut names = leftovers::names(slot).unwrap();
        names.sort();
        let expected = [
            "journal-2",
            "journal-3",
            "lock",
            "store-2.sqlite",
            "store-3.sqlite",
        ];
        assert_eq!(names, expected);
        remove(slot, 2).unwrap();
        assert!(!journal(slot, 2).exists() && journal(slot, 3).exists());
    }
}
