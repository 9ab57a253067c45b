//! Is a folder judged rightly, and does a slot belong to one process at a time?

use std::os::unix::fs::PermissionsExt;

use tempfile::{TempDir, tempdir};

use super::*;

fn names(path: &Path) -> Vec<String> {
    let mut names = entries(path).unwrap().unwrap();
    names.sort_unstable();
    names
}

fn examine(path: &Path) -> DataDirectory {
    DataDirectory::examine(path).unwrap()
}

/// A directory with a slot 1 that has data and that nobody uses.
fn with_data() -> TempDir {
    let directory = tempdir().unwrap();
    let slot = DataDirectory::claim(directory.path(), None).unwrap();
    fs::write(slot.directory().join(superblock::FILE), "data").unwrap();
    directory
}

#[test]
fn a_draft_is_nobody_s_until_its_slot_is_adopted() {
    let directory = tempdir().unwrap();
    let path = directory.path();
    let draft = path.join("draft");
    let slot = DataDirectory::claim(&draft, Some(1)).unwrap();
    fs::write(slot.directory().join(superblock::FILE), "data").unwrap();
    drop(slot);
    let entry = draft.clone();
    assert_eq!(examine(path), DataDirectory::Foreign { entry });
    DataDirectory::adopt(path, &draft).unwrap();
    assert_eq!(names(path), ["server-1"]);
    let slot = DataDirectory::claim(path, None).unwrap();
    assert_eq!((slot.number(), slot.has_data()), (1, true));
}

#[test]
fn the_first_server_gets_slot_1_in_folders_of_its_owner_alone() {
    let parent = tempdir().unwrap();
    let path = parent.path().join("data/127.0.0.1_5000");
    assert_eq!(examine(&path), DataDirectory::Missing);
    assert!(names(parent.path()).is_empty());
    let slot = DataDirectory::claim(&path, None).unwrap();
    assert_eq!((slot.number(), slot.has_data()), (1, false));
    assert_eq!(slot.directory(), path.join("server-1"));
    assert!(slot.other_slots_with_data().is_empty());
    for directory in [
        parent.path().join("data").as_path(),
        &path,
        slot.directory(),
    ] {
        let mode = fs::metadata(directory).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700, "{}", directory.display());
    }
    let lock = slot.directory().join("lock");
    assert_eq!(
        fs::metadata(&lock).unwrap().permissions().mode() & 0o777,
        0o600
    );
    let process = std::process::id();
    assert_eq!(fs::read_to_string(lock).unwrap(), format!("{process}\n"));
    let state = SlotState {
        number: 1,
        has_data: false,
        locked: true,
        process: Some(process),
    };
    assert_eq!(examine(&path), DataDirectory::Slots(vec![state]));
}

#[test]
fn each_server_gets_the_lowest_slot_that_no_live_one_has() {
    let directory = with_data();
    let one = DataDirectory::claim(directory.path(), None).unwrap();
    let two = DataDirectory::claim(directory.path(), None).unwrap();
    let three = DataDirectory::claim(directory.path(), None).unwrap();
    assert_eq!([one.number(), two.number(), three.number()], [1, 2, 3]);
    assert!(one.has_data() && !two.has_data());
    assert_eq!(three.other_slots_with_data(), [1]);
    fs::write(two.directory().join(superblock::FILE), "data").unwrap();
    drop(two);
    let two = DataDirectory::claim(directory.path(), None).unwrap();
    assert_eq!((two.number(), two.has_data()), (2, true));
    assert_eq!(two.other_slots_with_data(), [1]);
}

#[test]
fn a_slot_whose_server_died_is_free_whatever_the_lock_says() {
    let directory = with_data();
    fs::write(directory.path().join("server-1/lock"), "1\n").unwrap();
    let state = SlotState {
        number: 1,
        has_data: true,
        locked: false,
        process: None,
    };
    assert_eq!(examine(directory.path()), DataDirectory::Slots(vec![state]));
    let slot = DataDirectory::claim(directory.path(), None).unwrap();
    assert_eq!((slot.number(), slot.has_data()), (1, true));
}

#[test]
fn a_named_slot_is_taken_or_its_user_is_named() {
    let directory = tempdir().unwrap();
    let slot = DataDirectory::claim(directory.path(), Some(3)).unwrap();
    assert_eq!(slot.number(), 3);
    let error = DataDirectory::claim(directory.path(), Some(3)).unwrap_err();
    let sentence = error.to_string();
    assert!(sentence.starts_with("slot 3 ("), "{sentence}");
    let user = format!(
        "is in use by process {}: stop that server",
        std::process::id()
    );
    assert!(sentence.contains(&user), "{sentence}");
    for number in [0, SLOTS_MAX + 1] {
        let error = DataDirectory::claim(directory.path(), Some(number)).unwrap_err();
        assert!(matches!(error, ClaimError::NoSuchSlot { .. }));
    }
    assert_eq!(names(directory.path()), ["server-3"]);
}

#[test]
fn a_holder_that_cannot_be_seen_is_respected_too() {
    let directory = tempdir().unwrap();
    let slot = DataDirectory::claim(directory.path(), None).unwrap();
    fs::write(slot.directory().join("lock"), "").unwrap();
    let error = DataDirectory::claim(directory.path(), Some(1)).unwrap_err();
    assert!(
        error.to_string().contains("in use by another process"),
        "{error}"
    );
}

#[test]
fn what_is_not_ours_is_named_and_left_alone() {
    let directory = tempdir().unwrap();
    fs::write(directory.path().join("thesis.tex"), "").unwrap();
    let entry = directory.path().join("thesis.tex");
    assert_eq!(examine(directory.path()), DataDirectory::Foreign { entry });
    for slot in [None, Some(1)] {
        let error = DataDirectory::claim(directory.path(), slot).unwrap_err();
        let wanted = format!(
            "{}/thesis.tex is not Lastword's",
            directory.path().display()
        );
        assert!(error.to_string().starts_with(&wanted), "{error}");
    }
    assert_eq!(names(directory.path()), ["thesis.tex"]);
}

#[test]
fn a_folder_that_only_has_the_name_of_a_slot_is_not_ours() {
    let directory = tempdir().unwrap();
    let folder = directory.path().join("server-1");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("eula.txt"), "").unwrap();
    let entry = folder.join("eula.txt");
    assert_eq!(examine(directory.path()), DataDirectory::Foreign { entry });
    fs::remove_dir_all(&folder).unwrap();
    fs::write(&folder, "").unwrap();
    assert_eq!(
        examine(directory.path()),
        DataDirectory::Foreign { entry: folder }
    );
    assert!(DataDirectory::claim(directory.path(), None).is_err());
}

#[test]
fn names_that_are_no_slots_are_foreign() {
    for name in [
        "server-0",
        "server-01",
        "server-",
        "server-x",
        "server-1001",
        "server--1",
    ] {
        let directory = tempdir().unwrap();
        fs::create_dir(directory.path().join(name)).unwrap();
        let entry = directory.path().join(name);
        assert_eq!(examine(directory.path()), DataDirectory::Foreign { entry });
    }
}

#[test]
fn what_a_crashed_first_start_or_a_new_file_system_left_is_empty() {
    let directory = tempdir().unwrap();
    fs::create_dir(directory.path().join("lost+found")).unwrap();
    assert_eq!(examine(directory.path()), DataDirectory::Empty);
    fs::create_dir(directory.path().join("server-1")).unwrap();
    let slot = DataDirectory::claim(directory.path(), None).unwrap();
    assert_eq!((slot.number(), slot.has_data()), (1, false));
}

#[test]
fn what_scripts_keep_is_there_before_the_first_slot() {
    let directory = tempdir().unwrap();
    fs::create_dir(directory.path().join("run")).unwrap();
    fs::write(directory.path().join("run/server-1.log"), "").unwrap();
    assert_eq!(examine(directory.path()), DataDirectory::Empty);
    let slot = DataDirectory::claim(directory.path(), None).unwrap();
    assert_eq!((slot.number(), slot.has_data()), (1, false));
}

#[test]
fn notes_beside_our_slots_do_no_harm() {
    let directory = with_data();
    fs::write(directory.path().join("README"), "").unwrap();
    assert!(matches!(examine(directory.path()), DataDirectory::Slots(_)));
    assert!(
        DataDirectory::claim(directory.path(), None)
            .unwrap()
            .has_data()
    );
}

#[test]
fn a_file_in_the_way_is_said_to_be_one() {
    let directory = tempdir().unwrap();
    let file = directory.path().join("file");
    fs::write(&file, "").unwrap();
    for path in [file.clone(), file.join("data")] {
        for error in [
            DataDirectory::claim(&path, None).unwrap_err().to_string(),
            DataDirectory::examine(&path).unwrap_err().to_string(),
        ] {
            let wanted = format!("{} is not a directory: choose", path.display());
            assert!(error.starts_with(&wanted), "{error}");
        }
    }
    assert_eq!(names(directory.path()), ["file"]);
}

#[test]
fn where_nothing_can_be_created_nothing_stays() {
    // Nobody, root neither, creates folders there.
    let path = Path::new("/proc/self/lastword-data");
    let error = DataDirectory::claim(path, None).unwrap_err().to_string();
    assert!(
        error.starts_with("cannot write /proc/self/lastword-data: "),
        "{error}"
    );

    // The folders that lead to a name that is too long can be made, and go again.
    let directory = tempdir().unwrap();
    let path = directory.path().join("one").join("x".repeat(300));
    let error = DataDirectory::claim(&path, None).unwrap_err();
    assert!(matches!(error, ClaimError::NotWritable { .. }), "{error}");
    assert!(names(directory.path()).is_empty());
}

#[test]
fn a_lock_that_cannot_be_written_is_named() {
    let directory = tempdir().unwrap();
    let lock = directory.path().join("server-1/lock");
    fs::create_dir_all(&lock).unwrap();
    let error = DataDirectory::claim(directory.path(), None).unwrap_err();
    let wanted = format!("cannot write {}: ", lock.display());
    assert!(error.to_string().starts_with(&wanted), "{error}");
}
