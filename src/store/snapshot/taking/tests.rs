//! Does a receiver's file hold what was sent, and nothing else pass for it?

use super::*;

/// What is sent for a database of these bytes.
fn sent(database: &[u8]) -> Vec<u8> {
    let trailer = Trailer {
        checksum: crc32c::crc32c(database),
        bytes: database.len() as u64,
    };
    [database, &trailer.encode()].concat()
}

/// A writer that was given all of `bytes`, so many at a time.
fn written(path: &Path, bytes: &[u8], part: usize) -> SnapshotWriter {
    let mut writer = SnapshotWriter::create(path).unwrap();
    for part in bytes.chunks(part) {
        writer.write(writer.received(), part).unwrap();
    }
    writer
}

fn refusal(writer: SnapshotWriter, length: u64) -> String {
    let wake = Box::new(|| {});
    let refused = writer.finish(length, OpNumber(1), wake).unwrap_err();
    refused.to_string()
}

#[test]
fn parts_of_any_length_leave_the_trailer_out_of_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("incoming");
    let database: Vec<u8> = (0..100).collect();
    let bytes = sent(&database);
    for part in 1..=bytes.len() {
        let writer = written(&path, &bytes, part);
        assert_eq!(writer.received(), bytes.len() as u64);
        assert_eq!(std::fs::read(&path).unwrap(), database, "parts of {part}");
        assert_eq!(writer.tail, bytes[database.len()..]);
        assert_eq!(writer.checksum, crc32c::crc32c(&database));
        drop(writer);
        assert!(!path.exists());
    }
}

#[test]
fn a_part_that_is_not_the_next_one_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("incoming");
    let mut writer = written(&path, &[7; 40], 40);
    for offset in [0, 39, 41, u64::MAX] {
        match writer.write(offset, b"what") {
            Err(TakeSnapshotError::OutOfOrder {
                received: 40,
                offset: found,
            }) => assert_eq!(found, offset),
            other => panic!("{other:?}"),
        }
    }
    writer.write(40, &[7; 2]).unwrap();
    assert_eq!(writer.received(), 42);
    assert_eq!(std::fs::read(&path).unwrap(), [7; 42 - TRAILER_BYTES]);
}

#[test]
fn what_is_not_all_that_was_sent_is_refused_and_removed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("incoming");
    let bytes = sent(&[3; 200]);
    let length = bytes.len() as u64;
    for kept in [0, 1, 100, 199, 215] {
        let refused = refusal(written(&path, &bytes[..kept], 64), length);
        assert!(refused.contains(&format!("after {kept}")), "{refused}");
        // Nor does it help to be told a wrong length.
        let refused = refusal(written(&path, &bytes[..kept], 64), kept as u64);
        assert!(refused.contains("not what was sent"), "{refused}");
    }
    for flipped in 0..bytes.len() {
        let mut bytes = bytes.clone();
        bytes[flipped] ^= 1 << (flipped % 8);
        let refused = refusal(written(&path, &bytes, 64), length);
        assert!(refused.contains("not what was sent"), "{refused}");
    }
    assert!(!path.exists());
}
