//! What becomes of a server that runs with a copy of its folder?

use std::path::Path;
use std::process::Command;

use crate::common::text::texts;
use crate::rig::{Cluster, Server};

fn copy(from: &Path, to: &Path) {
    let status = Command::new("cp").arg("-a").args([from, to]).status();
    assert!(status.expect("cp can be run").success());
}

#[test]
fn the_right_folder_is_taken_though_an_old_copy_of_it_runs() {
    let mut cluster = Cluster::of_three_that_notice_silence();
    let mut alice = cluster.account("alice");
    alice.send("alice", "in the copy, too");
    let elsewhere = cluster.folder().join("elsewhere");
    std::fs::create_dir(&elsewhere).expect("a folder for the copy");
    copy(&cluster.slot(2), &elsewhere);
    cluster.end_one_by_one("only the last one has this");

    // The copy is started in the place of the original, and the others wait.
    let copied = Server::new("the copy", cluster.service(), cluster.folder().join("copy"))
        .with("--data", elsewhere)
        .with("--slot", "3");
    let copied = cluster.add_server(copied);
    for place in [0, 1, copied] {
        cluster[place].start();
    }
    let is_waiting = |cluster: &Cluster| {
        cluster[0].until("waits for the original", |status| {
            let why = status.ready.as_ref().err();
            why.is_some_and(|why| why.starts_with("waiting for the original data folder"))
        });
    };
    is_waiting(&cluster);
    // The original is started, too. The copy still runs.
    cluster[2].start();
    cluster.until_in_sync(0);
    cluster.until_in_sync(1);
    let log = cluster.login("alice").messages("LOG");
    assert_eq!(
        texts(&log),
        ["in the copy, too", "only the last one has this"]
    );
}
