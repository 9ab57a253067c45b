//! Does a file of cut off ops hold what it was given, and is it noticed if not?

use super::super::tests::{append, body, op, with_batches};
use super::*;
use crate::journal::storage::FaultyStorage;

/// A file with ops 4 to 7.
fn cut_off() -> (FaultyStorage, CutFile) {
    let storage = FaultyStorage::new();
    let mut journal = with_batches(&storage, &[3]);
    append(&mut journal, 4);
    let cut = journal.truncate(op(3)).unwrap().cut.unwrap();
    (storage, cut)
}

fn read(storage: &FaultyStorage, name: &str) -> Result<Vec<u64>, JournalError> {
    let mut ops = Vec::new();
    read_cut(storage, name, &mut |op, bytes| {
        assert_eq!(bytes, body(op));
        ops.push(op.0);
        ControlFlow::Continue(())
    })?;
    Ok(ops)
}

#[test]
fn its_name_says_where_it_begins_and_all_is_in_it() {
    let (storage, cut) = cut_off();
    assert!(cut.name.starts_with("cut-00000000000000000004-"));
    assert!(cut.name.ends_with(".ops"));
    assert_eq!(cut.file, format!("memory/{}", cut.name));
    assert_eq!(read(&storage, &cut.name).unwrap(), [4, 5, 6, 7]);
    assert_eq!(storage.contents(&cut.name).len(), 4096 + 4 * 64);
}

#[test]
fn reading_ends_where_the_visitor_wants() {
    let (storage, cut) = cut_off();
    let mut ops = Vec::new();
    let mut visit = |op: OpNumber, _: &[u8]| {
        ops.push(op.0);
        ControlFlow::Break(())
    };
    read_cut(&storage, &cut.name, &mut visit).unwrap();
    assert_eq!(ops, [4]);
}

#[test]
fn every_flipped_bit_and_every_missing_byte_is_noticed() {
    let (mut storage, cut) = cut_off();
    let bytes = storage.contents(&cut.name);
    for offset in 0..bytes.len() as u64 {
        storage.flip(&cut.name, offset, 0x20);
        let error = read(&storage, &cut.name).unwrap_err();
        assert!(matches!(error, JournalError::BadCut { .. }), "{offset}");
        storage.flip(&cut.name, offset, 0x20);
    }
    let mut file = storage.create("short").unwrap();
    for length in 0..bytes.len() {
        let error = read(&storage, "short").unwrap_err();
        assert!(matches!(error, JournalError::BadCut { .. }), "{length}");
        file.write_at(&bytes[length..=length], length as u64)
            .unwrap();
    }
    assert_eq!(read(&storage, "short").unwrap(), [4, 5, 6, 7]);
}

#[test]
fn a_newer_version_is_told_from_damage() {
    let (storage, cut) = cut_off();
    let mut block = storage.contents(&cut.name)[..HEADER_BLOCK_BYTES].to_vec();
    block[11] = 2;
    let checksum = checksum(&block);
    BigEndian::write_u32(&mut block[CHECKSUM], checksum);
    storage
        .open(&cut.name)
        .unwrap()
        .write_at(&block, 0)
        .unwrap();
    let error = read(&storage, &cut.name).unwrap_err();
    assert!(matches!(
        error,
        JournalError::NewerVersion { version: 2, .. }
    ));
}

#[test]
fn more_than_is_written_at_once_is_kept_too() {
    let storage = FaultyStorage::new();
    let mut journal = Journal::create(Box::new(storage.clone()), ClusterId(1), 9).unwrap();
    let long = vec![7; 8_000];
    for number in 1..=400 {
        journal.append(op(number), &long);
    }
    let cut = journal.truncate(op(1)).unwrap().cut.unwrap();
    let mut bytes = 0;
    let mut visit = |_, body: &[u8]| {
        bytes += body.len();
        ControlFlow::Continue(())
    };
    read_cut(&storage, &cut.name, &mut visit).unwrap();
    assert_eq!(bytes, 399 * 8_000);
}
