//! What does a user get who starts the server in a way that cannot work? One clear sentence, an
//! exit code, and nothing touched.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::common::files::{files, find_last, listing};
use crate::common::server::{SERVER, TestServer, free_port, loopback, wait_for};

/// What is left of a server that did not start.
struct Refused {
    code: Option<i32>,
    complaint: String,
}

/// Runs the server in a folder until it ends by itself.
fn run(folder: &Path, arguments: &[&str]) -> Refused {
    let mut child = Command::new(SERVER)
        .args(arguments)
        .current_dir(folder)
        .env_remove("RUST_LOG")
        .env_remove("LASTWORD_DATA")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the server can be run");
    let status = wait_for(&mut child);
    let output = child.wait_with_output().expect("what it said can be read");
    let complaint = String::from_utf8(output.stderr).expect("it speaks UTF-8");
    let status = status.unwrap_or_else(|| panic!("{arguments:?} does not end: {complaint}"));
    Refused {
        code: status.code(),
        complaint,
    }
}

impl Refused {
    /// It ended with this code and a short word that names each of these.
    #[track_caller]
    fn assert(&self, code: i32, naming: &[&str]) {
        let complaint = &self.complaint;
        assert_eq!(self.code, Some(code), "{complaint}");
        assert!(!complaint.contains("panicked"), "{complaint}");
        let lines = complaint
            .lines()
            .filter(|line| !line.trim().is_empty())
            .count();
        assert!((1..=6).contains(&lines), "{lines} lines: {complaint}");
        for word in naming {
            assert!(complaint.contains(word), "no {word:?} in {complaint:?}");
        }
    }
}

#[test]
fn wrong_arguments_are_usage_errors_and_leave_nothing_behind() {
    let folder = TempDir::new().expect("a folder");
    let before = listing(folder.path());
    for (arguments, naming) in [
        (&[][..], &["<"][..]),
        (&["foo"], &["foo"]),
        (&["127.0.0.1"], &["<"]),
        (&["127.0.0.1", "5000"], &["<"]),
        (&["127.0.0.1", "70000", "1"], &["70000"]),
        (&["127.0.0.1", "0", "1"], &["0"]),
        (&["127.0.0.1", "-1", "1"], &["-1"]),
        (&["127.0.0.1", "http", "1"], &["http"]),
        (&["127.0.0.1", "5000", "2"], &["2"]),
        (&["127.0.0.1", "5000", "yes"], &["yes"]),
        (&["127.0.0.256", "5000", "1"], &["127.0.0.256"]),
        (&["localhost:5000", "5000", "1"], &["localhost:5000"]),
        (&["127.0.0.1", "5000", "1", "again"], &["again"]),
        (&["127.0.0.1", "5000", "1", "--nonsense"], &["--nonsense"]),
        (
            &["127.0.0.1", "5000", "1", "--backups", "1"],
            &["--backups"],
        ),
        (
            &["127.0.0.1", "5000", "1", "--backups", "2"],
            &["--backups"],
        ),
        (&["127.0.0.1", "5000", "1", "--backups", "-1"], &["-1"]),
        (
            &["127.0.0.1", "5000", "1", "--max-clients", "x"],
            &["--max-clients"],
        ),
        (
            &["127.0.0.1", "5000", "1", "--max-rate", "x"],
            &["--max-rate"],
        ),
        (&["127.0.0.1", "5000", "1", "--slot", "0"], &["--slot"]),
        (&["127.0.0.1", "5000", "1", "--data"], &["--data"]),
        (
            &["127.0.0.1", "5000", "1", "--member", "here"],
            &["--member"],
        ),
    ] {
        let refused = run(folder.path(), arguments);
        assert_eq!(
            refused.code,
            Some(2),
            "{arguments:?}: {}",
            refused.complaint
        );
        refused.assert(2, naming);
        assert!(
            listing(folder.path()) == before,
            "{arguments:?} left something"
        );
    }
}

#[test]
fn help_and_version_are_no_errors() {
    let folder = TempDir::new().expect("a folder");
    for argument in ["--help", "--version"] {
        let output = Command::new(SERVER)
            .arg(argument)
            .current_dir(folder.path())
            .output();
        let output = output.expect("the server can be run");
        assert_eq!(output.status.code(), Some(0));
        let said = String::from_utf8(output.stdout).expect("it speaks UTF-8");
        let expected = match argument {
            "--version" => env!("CARGO_PKG_VERSION"),
            _ => "--data",
        };
        assert!(said.contains(expected), "{said}");
    }
    assert_eq!(files(folder.path()).len(), 0);
}

#[test]
fn an_address_in_use_is_told() {
    let folder = TempDir::new().expect("a folder");
    let before = listing(folder.path());
    let port = free_port();
    let _somebody = TcpListener::bind(loopback(port)).expect("the port was free");
    let address = loopback(port).to_string();
    let refused = run(folder.path(), &["127.0.0.1", &port.to_string(), "1"]);
    refused.assert(1, &[&address, "in use"]);
    assert!(listing(folder.path()) == before, "something was left");
}

#[test]
fn an_address_of_another_machine_is_told() {
    let folder = TempDir::new().expect("a folder");
    let before = listing(folder.path());
    // Set aside for documentation: no machine has it.
    let refused = run(folder.path(), &["192.0.2.1", &free_port().to_string(), "1"]);
    refused.assert(1, &["192.0.2.1"]);
    assert!(listing(folder.path()) == before, "something was left");
}

#[test]
fn a_data_folder_that_cannot_be_one_is_told() {
    let folder = TempDir::new().expect("a folder");
    fs::write(folder.path().join("file"), "somebody's").expect("a file");
    let before = listing(folder.path());
    let port = free_port().to_string();
    for data in ["file", "file/below"] {
        let refused = run(folder.path(), &["127.0.0.1", &port, "1", "--data", data]);
        refused.assert(1, &[data]);
        assert!(listing(folder.path()) == before, "something was left");
    }
}

#[test]
fn a_data_folder_that_may_not_be_written_is_told() {
    use std::os::unix::fs::PermissionsExt;

    let folder = TempDir::new().expect("a folder");
    let data = folder.path().join("data");
    fs::create_dir(&data).expect("a folder");
    fs::set_permissions(&data, fs::Permissions::from_mode(0o500)).expect("permissions");
    if fs::write(data.join("probe"), "").is_ok() {
        eprintln!("skipped: this user may write everywhere");
        return;
    }
    let before = listing(folder.path());
    let port = free_port().to_string();
    let refused = run(folder.path(), &["127.0.0.1", &port, "1", "--data", "data"]);
    refused.assert(1, &["data"]);
    assert!(listing(folder.path()) == before, "something was left");
}

#[test]
fn a_folder_of_another_program_is_left_alone() {
    for place in ["data", "data/server-1"] {
        let folder = TempDir::new().expect("a folder");
        let foreign = folder.path().join(place);
        fs::create_dir_all(foreign.join("base")).expect("a folder");
        fs::write(foreign.join("PG_VERSION"), "15\n").expect("a file");
        fs::write(foreign.join("base/1"), [0; 8192]).expect("a file");
        let before = listing(folder.path());
        let port = free_port().to_string();
        let refused = run(folder.path(), &["127.0.0.1", &port, "1", "--data", "data"]);
        refused.assert(1, &[place]);
        assert!(
            listing(folder.path()) == before,
            "something was left in {place}"
        );
    }
}

#[test]
fn a_folder_of_a_newer_version_is_left_alone() {
    let mut server = TestServer::start();
    server.account("alice");
    server.terminate();
    server.wait();
    let (path, at) = version_of_a_segment(&server.data());
    let mut bytes = fs::read(&path).expect("a segment");
    bytes[at] = 2;
    fs::write(&path, bytes).expect("a segment");

    let before = listing(&server.data());
    let status = server.restart_refused();
    assert_eq!(status.code(), Some(1));
    let said = server.said();
    assert!(said.contains("newer"), "{said}");
    assert!(listing(&server.data()) == before, "something was changed");
}

/// The last byte of the format's version in the first segment of the journal: what a later version
/// of the server would write otherwise.
fn version_of_a_segment(data: &Path) -> (std::path::PathBuf, usize) {
    let segment = files(data).into_iter().find(|path| {
        path.extension()
            .is_some_and(|extension| extension == "segment")
    });
    let segment = segment.expect("a journal has a segment");
    let bytes = fs::read(&segment).expect("a segment");
    // It stands behind the magic, in every version.
    let magic = find_last(&bytes[..64], b"LWsegm").expect("a segment begins with its magic");
    (segment, magic + 6 + 1 + 3)
}

#[test]
fn a_folder_whose_server_still_runs_is_left_alone() {
    let mut server = TestServer::start();
    server.account("alice");
    let data = server.data();
    let data = data.to_str().expect("a path of letters");
    let slots = || {
        let entries = fs::read_dir(server.data()).expect("the data folder");
        let names = entries.map(|entry| entry.expect("an entry").file_name());
        let mut names: Vec<_> = names.collect();
        names.sort();
        names
    };
    let before = slots();
    let port = free_port().to_string();
    for arguments in [
        &["127.0.0.1", &port, "1", "--data", data, "--slot", "1"][..],
        &["127.0.0.1", &port, "1", "--data", data],
    ] {
        let refused = run(server.folder(), arguments);
        refused.assert(1, &[data]);
        assert_eq!(slots(), before, "{arguments:?}");
    }
    server.assert_well();
    server.kill();
    server.restart();
    server.login("alice");
}

#[test]
fn the_files_are_the_owners_alone() {
    use std::os::unix::fs::PermissionsExt;

    let server = TestServer::start();
    server.account("alice");
    for path in listing(&server.data()).into_keys() {
        let mode = fs::symlink_metadata(&path)
            .expect("it is there")
            .permissions()
            .mode();
        assert_eq!(mode & 0o077, 0, "{} is {mode:o}", path.display());
    }
}
