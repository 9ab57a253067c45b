//! What does a server get that cannot belong to the cluster it finds? A sentence that says what is
//! wrong and what to do; and nobody else notices.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crate::common::text::{TextClient, texts};
use crate::rig::cluster::PATIENT;
use crate::rig::{Cluster, Server};

/// A cluster, and a client of it that must not notice anything.
struct Undisturbed {
    cluster: Cluster,
    alice: TextClient,
    /// The view in which it was disturbed.
    view: u64,
    sent: usize,
}

impl Undisturbed {
    fn new(options: &[&str]) -> Self {
        let words = [&PATIENT[..], options].concat();
        let mut cluster = Cluster::to_be_started(3, &words);
        cluster.form();
        let alice = cluster.account("alice");
        let view = cluster[0].until("leads", |status| status.serves()).view;
        Self {
            cluster,
            alice,
            view,
            sent: 0,
        }
    }

    /// Fails if anything is not as it was.
    #[track_caller]
    fn check(&mut self) {
        self.alice.send("alice", &self.sent.to_string());
        self.sent += 1;
        let said = self.cluster[0].until("leads", |status| status.serves());
        assert_eq!(said.view, self.view, "{said:?}");
        assert_eq!(said.in_sync().len(), 3, "{said:?}");
        self.alice.ping();
        self.alice.pushed();
        let log = self.alice.messages("LOG");
        let expected: Vec<String> = (0..self.sent).map(|n| n.to_string()).collect();
        assert_eq!(texts(&log), expected);
        self.cluster.assert_well();
    }

    /// A server with a data folder of its own, at the service's address.
    fn newcomer(&self, name: &str) -> Server {
        let folder = self.cluster.folder().join(name);
        Server::new(name, self.cluster.service(), folder)
    }

    fn key(&self, name: &str, key: &str) -> PathBuf {
        write_key(&self.cluster, name, key)
    }
}

fn write_key(cluster: &Cluster, name: &str, key: &str) -> PathBuf {
    use std::os::unix::fs::PermissionsExt;
    let path = cluster.folder().join(name);
    fs::write(&path, key).expect("a file for the key");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("a mode");
    path
}

#[test]
fn a_server_of_another_cluster_is_refused() {
    let mut here = Undisturbed::new(&[]);
    let mut there = Cluster::of_three();
    there[2].kill();
    let mut lost = Server::new(
        "lost",
        here.cluster.service(),
        here.cluster.folder().join("lost"),
    )
    .with("--data", there.data())
    .with("--slot", "3");
    lost.start_to_join();
    lost.until_it_says("another cluster");
    here.check();
    // It never says that it belongs here, and finds its own again.
    assert!(lost.status().is_none_or(|status| !status.serves()));
    lost.kill();
    there[2].start();
    there.until_in_sync(2);
    here.check();
}

#[test]
fn without_the_right_key_nobody_joins() {
    let key_file = |cluster: &Cluster| write_key(cluster, "key", "the right key, of some length");
    let mut cluster = Cluster::to_be_started(0, &[]);
    let key = key_file(&cluster)
        .to_str()
        .expect("a plain path")
        .to_string();
    for _ in 0..3 {
        cluster.add(&[&["--cluster-key", &key], &PATIENT[..]].concat());
    }
    cluster.form();
    let alice = cluster.account("alice");
    let view = cluster[0].until("leads", |status| status.serves()).view;
    let mut here = Undisturbed {
        cluster,
        alice,
        view,
        sent: 0,
    };
    let wrong = here.key("wrong key", "another key, of some length");
    let mut newcomer = here
        .newcomer("with the wrong key")
        .with("--cluster-key", wrong);
    newcomer.start_to_join();
    newcomer.until_it_says("--cluster-key");
    here.check();
    let mut keyless = here.newcomer("without a key");
    keyless.start_to_join();
    keyless.until_it_says("--cluster-key");
    here.check();
    for stranger in [&newcomer, &keyless] {
        let said = stranger.until("waits", |status| status.ready.is_err());
        assert_eq!((said.server, &*said.role), (None, "waiting"), "{said:?}");
    }
    // With the right one it is a matter of a moment.
    newcomer.kill();
    let mut friend = here
        .newcomer("with the right key")
        .with("--cluster-key", key);
    friend.start_to_join();
    friend.until("joins", |status| status.role == "backup");
}

#[test]
fn a_key_on_one_side_only_is_told() {
    let mut here = Undisturbed::new(&[]);
    let key = here.key("key", "some key, of some length");
    let mut newcomer = here.newcomer("with a key").with("--cluster-key", key);
    newcomer.start_to_join();
    newcomer.until_it_says("--cluster-key");
    here.check();
}

#[test]
fn a_copy_of_a_running_servers_folder_disturbs_nobody() {
    let mut here = Undisturbed::new(&[]);
    let slot = here.cluster.slot(2);
    let folder = here.cluster.folder().join("copy");
    fs::create_dir_all(folder.join("data")).expect("a folder for the copy");
    let copied = Command::new("cp")
        .arg("-a")
        .args([&slot, &folder.join("data/server-1")])
        .status();
    assert!(copied.expect("cp can be run").success());
    let mut copy = Server::new("copy", here.cluster.service(), folder.clone())
        .with("--data", folder.join("data"));
    copy.start_to_join();
    // One of the two is server 3, and the other one says why it is not.
    let id = here.cluster[2].id();
    copy.until_it_says(&format!("server {id}"));
    for _ in 0..3 {
        here.check();
    }
    copy.kill();
    here.check();
}

#[test]
fn a_folder_that_is_in_use_is_not_shared() {
    let mut here = Undisturbed::new(&[]);
    let mut second = here
        .newcomer("second")
        .with("--data", here.cluster.data())
        .with("--slot", "2");
    second.start_to_join();
    assert_eq!(second.wait().code(), Some(1));
    let said = second.said();
    let process = here.cluster[1].pid().to_string();
    assert!(said.contains("in use") || said.contains("uses"), "{said}");
    assert!(said.contains(&process), "{said}");
    here.check();
}

#[test]
fn a_journal_that_is_older_than_what_was_acknowledged_is_told() {
    let mut cluster = Cluster::of_three();
    let mut alice = cluster.account("alice");
    alice.send("alice", "first");
    cluster[2].kill();
    let kept = cluster.folder().join("kept");
    let copy = |from: &PathBuf, to: &PathBuf| {
        let copied = Command::new("cp").arg("-a").args([from, to]).status();
        assert!(copied.expect("cp can be run").success());
    };
    copy(&cluster.slot(2).join("journal"), &kept);
    cluster[2].start();
    cluster.until_in_sync(2);
    alice.send("alice", "second");
    // It has to know that the second is committed.
    cluster[2].until("has it all", |status| {
        status.commit == cluster[0].status().map_or(0, |primary| primary.commit)
    });
    cluster[2].terminate();
    cluster[2].wait();
    fs::remove_dir_all(cluster.slot(2).join("journal")).expect("a journal");
    copy(&kept, &cluster.slot(2).join("journal"));
    cluster[2].start();
    assert_eq!(cluster[2].wait().code(), Some(1));
    let said = cluster[2].said();
    assert!(said.contains("the journal is older"), "{said}");
    assert!(said.contains("start with 0"), "{said}");
    alice.send("alice", "third");
    assert_eq!(cluster.primary(), 0);

    // What it says helps.
    fs::rename(cluster.slot(2), cluster.folder().join("away")).expect("a folder");
    cluster[2].start();
    cluster.until_in_sync(2);
    cluster[0].kill();
    cluster.primary();
    cluster[1].kill();
    assert_eq!(cluster.primary(), 2);
    let log = cluster.login("alice").messages("LOG");
    assert_eq!(texts(&log), ["first", "second", "third"]);
}
