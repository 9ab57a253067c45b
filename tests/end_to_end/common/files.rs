//! What is on disk, and has it changed?

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Everything below a folder: the files with their age and what they hold, and the folders.
pub type Listing = BTreeMap<PathBuf, Option<(SystemTime, Vec<u8>)>>;

/// Everything below this folder, and the folder itself.
pub fn listing(folder: &Path) -> Listing {
    let mut all = Listing::new();
    add(folder, &mut all);
    all
}

/// Fails if anything below a folder is different from what it was. A slot that has a lock may be
/// locked while it is looked at.
#[track_caller]
pub fn assert_untouched(folder: &Path, before: &Listing) {
    let now = listing(folder);
    let paths: BTreeSet<&PathBuf> = before.keys().chain(now.keys()).collect();
    let is_lock = |path: &Path| path.ends_with("lock") && before.contains_key(path);
    let different =
        |path: &&PathBuf| before.get(*path) != now.get(*path) && !is_lock(path.as_path());
    let different: Vec<&PathBuf> = paths.into_iter().filter(different).collect();
    assert!(different.is_empty(), "changed: {different:?}");
}

/// The files below a folder.
pub fn files(folder: &Path) -> Vec<PathBuf> {
    let all = listing(folder).into_iter();
    all.filter_map(|(path, file)| file.map(|_| path)).collect()
}

/// Where these bytes stand in a file, last.
pub fn find_last(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes
        .windows(wanted.len())
        .rposition(|window| window == wanted)
}

/// Where the last record of a journal's segment begins and ends; `None` if it holds none.
pub fn last_record(bytes: &[u8]) -> Option<(usize, usize)> {
    let begin = find_last(bytes, &[0xff, b'L', b'W', 0xfe])?;
    let length = bytes.get(begin + 12..begin + 16)?.try_into().ok()?;
    let length = 32 + u32::from_be_bytes(length) as usize;
    Some((begin, begin + length.next_multiple_of(8)))
}

fn add(path: &Path, all: &mut Listing) {
    let about = fs::symlink_metadata(path).expect("what a listing has found is there");
    if about.is_dir() {
        all.insert(path.to_path_buf(), None);
        for entry in fs::read_dir(path).expect("a folder can be read") {
            add(&entry.expect("a folder can be read").path(), all);
        }
    } else {
        let bytes = fs::read(path).expect("a file can be read");
        let changed = about.modified().expect("files have times here");
        all.insert(path.to_path_buf(), Some((changed, bytes)));
    }
}
