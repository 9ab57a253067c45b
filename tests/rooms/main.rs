//! Does everybody keep to his own room? Reads every file under `src` and compares who names whom
//! with the table in [`rules`].
//!
//! The rooms stay apart so that the protocol, the chat and the journal can be run without
//! sockets, files and clocks: under a simulator, and in a test that takes a millisecond. One
//! convenient import would end that without anybody noticing.

mod paths;
mod rules;
mod tokens;

use std::path::{Path, PathBuf};

use rules::{Breach, Source};

/// Every source of the crate, in a fixed order.
fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    collect(&root, &mut files);
    files.sort();
    files
        .iter()
        .map(|file| {
            let path = file.strip_prefix(&root).expect("found below the root");
            Source {
                path: path.to_str().expect("our file names are ASCII").to_owned(),
                text: std::fs::read_to_string(file).expect("sources are UTF-8"),
            }
        })
        .collect()
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("src can be listed") {
        let path = entry.expect("src can be listed").path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

#[test]
fn everybody_keeps_to_his_own_room() {
    let sources = sources();
    let breaches: Vec<String> = rules::check(&sources)
        .iter()
        .map(Breach::to_string)
        .collect();
    assert!(breaches.is_empty(), "\n{}\n", breaches.join("\n"));
}

/// A checker that saw nothing would be content, too.
#[test]
fn the_checker_sees_what_is_there() {
    let sources = sources();
    let store = sources
        .iter()
        .find(|source| source.path == "store/mod.rs")
        .expect("the store has its face in store/mod.rs");
    let named = paths::crate_paths(&store.path, &tokens::tokens(&store.text));
    assert!(named.iter().any(|path| path.segments[0] == "chat"));
    assert!(named.iter().any(|path| path.segments[0] == "types"));

    let rooms = rules::rooms(&sources);
    for room in ["types", "wire", "chat", "replica", "journal", "store"] {
        assert!(rooms.contains(room), "{room} is missing in {rooms:?}");
    }
}
