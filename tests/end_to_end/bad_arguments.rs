//! What does a user get who starts the server in a way that cannot work? One clear sentence, an
//! exit code, and nothing touched.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::common::files::{assert_untouched, files, listing};
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
            &["127.0.0.1", "5000", "1", "--backups", "9"],
            &["--backups", "from 0", "to 8"],
        ),
        (
            &["127.0.0.1", "5000", "1", "--backups", "two"],
            &["--backups", "from 0"],
        ),
        (
            &["127.0.0.1", "5000", "1", "--heartbeat", "100"],
            &["--heartbeat", "50ms or 1s"],
        ),
        (
            &["127.0.0.1", "5000", "1", "--rebind-delay", "0ms"],
            &["--rebind-delay", "50ms or 1s"],
        ),
        (
            &["127.0.0.1", "5000", "1", "--fresh", "1s"],
            &["--fresh", "--grace"],
        ),
        (
            &["127.0.0.1", "5000", "1", "--heartbeat", "500ms"],
            &["--heartbeat", "--fresh"],
        ),
        (
            &["127.0.0.1", "5000", "1", "--trust-refused", "maybe"],
            &["--trust-refused", "maybe"],
        ),
        (
            &["127.0.0.1", "5000", "1", "--peers", "here"],
            &["--peers", "here"],
        ),
        (
            &["127.0.0.1", "5000", "1", "--max-clients", "0"],
            &["--max-clients", "from 1"],
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
        (
            &["127.0.0.1", "5000", "1", "--member", "127.0.0.1:5000"],
            &["--member", "port"],
        ),
        (
            &["0.0.0.0", "5000", "1", "--member", "127.0.0.1:5000"],
            &["--member", "port"],
        ),
        (
            &["127.0.0.1", "5000", "1", "--member", "0.0.0.0:5001"],
            &["--member", "--advertise"],
        ),
        (&["0.0.0.0", "5000", "1"], &["--member"]),
    ] {
        let refused = run(folder.path(), arguments);
        assert_eq!(
            refused.code,
            Some(2),
            "{arguments:?}: {}",
            refused.complaint
        );
        refused.assert(2, naming);
        assert_untouched(folder.path(), &before);
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
    assert_untouched(folder.path(), &before);
}

#[test]
fn an_address_of_another_machine_is_told() {
    let folder = TempDir::new().expect("a folder");
    let before = listing(folder.path());
    // Set aside for documentation: no machine has it.
    let refused = run(folder.path(), &["192.0.2.1", &free_port().to_string(), "1"]);
    refused.assert(1, &["192.0.2.1"]);
    assert_untouched(folder.path(), &before);
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
        assert_untouched(folder.path(), &before);
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
    assert_untouched(folder.path(), &before);
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
        assert_untouched(folder.path(), &before);
    }
}

#[test]
fn a_folder_of_a_newer_version_is_left_alone() {
    let mut server = TestServer::start();
    server.account("alice");
    server.terminate();
    server.wait();
    let data = server.data();
    let (mut superblocks, mut segments, mut stores) = (0, 0, 0);
    for path in files(&data) {
        let original = fs::read(&path).expect("a file of the server's");
        let mut newer = original.clone();
        if original.starts_with(b"\xffLWsupb\xfe") {
            superblocks += 1;
            let (first, second) = newer.split_at_mut(BLOCK);
            make_newer(first);
            make_newer(second);
        } else if original.starts_with(b"\xffLWsegm\xfe") {
            segments += 1;
            make_newer(&mut newer[..BLOCK]);
        } else if original.starts_with(b"SQLite format 3\0") {
            stores += 1;
            // Where SQLite keeps the `user_version`, which is its user's to set.
            newer[60..64].copy_from_slice(&99u32.to_be_bytes());
        } else {
            continue;
        }
        fs::write(&path, newer).expect("a file of the server's");
        let before = listing(&data);
        let status = server.restart_refused();
        assert_eq!(status.code(), Some(1));
        let said = server.said();
        let complaint = said.lines().last().expect("a complaint");
        assert!(
            complaint.contains("version") && complaint.contains("format 99"),
            "{}: {complaint}",
            path.display()
        );
        assert_untouched(&data, &before);
        fs::write(&path, original).expect("a file of the server's");
    }
    assert!(superblocks == 1 && segments >= 1 && stores == 1);
    server.restart();
    server.login("alice");
}

/// The blocks that say which version wrote a file. In every version, bytes 8 to 12 are its number,
/// and the next four a checksum of the rest.
const BLOCK: usize = 4096;

fn make_newer(block: &mut [u8]) {
    block[8..12].copy_from_slice(&99u32.to_be_bytes());
    let checksum = crc32c::crc32c_append(crc32c::crc32c(&block[..12]), &block[16..BLOCK]);
    block[12..16].copy_from_slice(&checksum.to_be_bytes());
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
    let arguments = ["127.0.0.1", &port, "1", "--data", data, "--slot", "1"];
    let refused = run(server.folder(), &arguments);
    refused.assert(1, &[data]);
    assert_eq!(slots(), before, "{arguments:?}");
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
