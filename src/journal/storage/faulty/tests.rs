//! Does the faulty storage lose what a disk may lose, and nothing else?

use super::*;

fn read(storage: &FaultyStorage, name: &str) -> Vec<u8> {
    let file = storage.open(name).unwrap();
    let mut bytes = vec![0; file.length().unwrap() as usize];
    assert_eq!(file.read_at(&mut bytes, 0).unwrap(), bytes.len());
    bytes
}

/// A file "one" of 1024 bytes of 1, for good.
fn with_one() -> FaultyStorage {
    let mut storage = FaultyStorage::new();
    let mut file = storage.create("one").unwrap();
    file.write_at(&[1; 1024], 0).unwrap();
    file.sync().unwrap();
    storage.sync_directory().unwrap();
    storage
}

#[test]
fn a_crash_loses_each_unsynced_sector_or_not() {
    let storage = with_one();
    let mut file = storage.open("one").unwrap();
    file.write_at(&[2; 1000], 500).unwrap();
    assert_eq!(read(&storage, "one")[500..], [2; 1000]);
    // The new length, and three sectors: 500..512, 512..1024, 1024..1500.
    assert_eq!(storage.unsynced(), 4);
    assert_eq!(read(&storage.crash(&mut |_| false), "one"), [1; 1024]);
    let sector = Unsynced::Sector {
        file: 0,
        offset: 512,
    };
    let left = read(&storage.crash(&mut |it| it == sector), "one");
    assert_eq!(left, [vec![1; 512], vec![2; 512]].concat());
    let left = read(&storage.crash(&mut |it| it != sector), "one");
    let wanted = [vec![1; 500], vec![2; 12], vec![1; 512], vec![2; 476]].concat();
    assert_eq!(left, wanted);
    let length = Unsynced::Length {
        file: 0,
        bytes: 1500,
    };
    let left = read(&storage.crash(&mut |it| it == length), "one");
    assert_eq!(left, [vec![1; 1024], vec![0; 476]].concat());
    file.sync().unwrap();
    assert_eq!(storage.unsynced(), 0);
    assert_eq!(
        read(&storage.crash(&mut |_| false), "one")[500..],
        [2; 1000]
    );
}

#[test]
fn a_crash_loses_each_change_of_a_name_or_not() {
    let mut storage = with_one();
    storage.create("two").unwrap();
    storage.rename("two", "three").unwrap();
    storage.remove("one").unwrap();
    assert_eq!(storage.list().unwrap(), ["three"]);
    let left = |survivors: &[usize]| {
        let mut change = 0;
        let left = storage.crash(&mut |_| {
            change += 1;
            survivors.contains(&change)
        });
        left.list().unwrap().join(" ")
    };
    assert_eq!(left(&[]), "one");
    assert_eq!(left(&[1]), "one two");
    assert_eq!(left(&[2]), "one three");
    assert_eq!(left(&[3]), "");
    assert_eq!(left(&[1, 2, 3]), "three");
    storage.sync_directory().unwrap();
    assert_eq!(storage.unsynced(), 0);
}

#[test]
fn it_goes_back_to_any_step() {
    let mut storage = with_one();
    storage.record();
    let mut file = storage.open("one").unwrap();
    file.write_at(b"a", 0).unwrap();
    file.sync().unwrap();
    storage.create("two").unwrap();
    assert_eq!(storage.steps(), 3);
    assert_eq!(read(&storage.after(0), "one"), [1; 1024]);
    assert_eq!(storage.after(1).unsynced(), 1);
    assert_eq!(storage.after(2).unsynced(), 0);
    assert_eq!(read(&storage.after(2), "one")[0], b'a');
    assert_eq!(storage.after(3).list().unwrap(), ["one", "two"]);
}

#[test]
fn what_a_failed_sync_should_have_made_safe_is_seen_and_never_safe() {
    let storage = with_one();
    let mut file = storage.open("one").unwrap();
    file.write_at(b"a", 0).unwrap();
    storage.fail_sync(0);
    assert!(file.sync().is_err());
    file.sync().unwrap();
    assert_eq!(read(&storage, "one")[0], b'a');
    assert_eq!(read(&storage.crash(&mut |_| true), "one")[0], 1);
}

#[test]
fn a_failing_write_is_half_done_and_a_full_disk_takes_what_fits() {
    let storage = with_one();
    let mut file = storage.open("one").unwrap();
    storage.fail_write(1);
    file.write_at(b"aa", 0).unwrap();
    assert!(!storage.has_failed());
    assert!(file.write_at(b"bbbb", 0).is_err());
    assert!(storage.has_failed());
    assert_eq!(read(&storage, "one")[..4], *b"bb\x01\x01");
    storage.limit_growth(3);
    file.write_at(b"c", 0).unwrap();
    file.write_at(b"dddd", 1022).unwrap();
    let error = file.write_at(b"eeee", 1026).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    assert_eq!(read(&storage, "one")[1022..], *b"dddde");
}

#[test]
fn a_flipped_bit_is_on_the_disk() {
    let storage = with_one();
    storage.flip("one", 7, 0x80);
    assert_eq!(read(&storage, "one")[7], 0x81);
    assert_eq!(read(&storage.crash(&mut |_| false), "one")[7], 0x81);
}
