//! Is a log cut off wholly or not at all, and does it go on?
//!
//! The seeded histories with every crash and every error are in `tests/journal_faults`.

use std::ops::ControlFlow;

use super::super::read_cut;
use super::super::segment::RECORDS_BEGIN;
use super::super::tests::{append, body, create, name, op, open, open_error, read, with_batches};
use super::*;
use crate::journal::storage::FaultyStorage;

fn kept_aside(storage: &FaultyStorage, cut: &CutFile) -> Vec<u64> {
    let mut ops = Vec::new();
    let mut visit = |op: OpNumber, bytes: &[u8]| {
        assert_eq!(bytes, body(op));
        ops.push(op.0);
        ControlFlow::Continue(())
    };
    assert_eq!(&read_cut(storage, &cut.name, &mut visit).unwrap(), cut);
    ops
}

/// The names of all segments.
fn segments(storage: &FaultyStorage) -> Vec<String> {
    let mut names = storage.list().unwrap();
    names.retain(|it| it.ends_with(".segment"));
    names
}

#[test]
fn every_cut_leaves_what_is_before_it_and_keeps_what_is_behind() {
    // Segments of four ops; two of the eleven are not even written.
    for after in 0..11 {
        let storage = FaultyStorage::new();
        let mut journal = with_batches(&storage, &[2, 1, 6]);
        append(&mut journal, 2);
        let truncated = journal.truncate(op(after)).unwrap();
        assert_eq!(truncated.head, op(after));
        assert_eq!((journal.head(), journal.synced()), (op(after), op(after)));
        let cut = truncated.cut.unwrap();
        assert_eq!((cut.first, cut.last), (op(after + 1), op(11)));
        let left = storage.crash(&mut |_| false);
        assert_eq!(kept_aside(&left, &cut), Vec::from_iter(after + 1..=11));
        assert_eq!(segments(&left).len() as u64, after.div_ceil(4).max(1));
        let (opened, recovery) = open(&left);
        assert_eq!((recovery.first, recovery.head), (op(1), op(after)));
        assert_eq!((recovery.torn, recovery.cut), (None, None));
        assert_eq!(read(&opened, 0).unwrap(), Vec::from_iter(1..=after));
        // It goes on, here and there.
        for mut journal in [journal, opened] {
            append(&mut journal, 6);
            journal.sync().unwrap();
            assert_eq!(read(&journal, 0).unwrap(), Vec::from_iter(1..=after + 6));
        }
        let (_, recovery) = open(&storage.crash(&mut |_| false));
        assert_eq!(recovery.head, op(after + 6));
    }
}

#[test]
fn where_nothing_is_behind_the_log_is_only_synced() {
    for after in [3, 4, u64::MAX] {
        let storage = FaultyStorage::new();
        let mut journal = with_batches(&storage, &[2]);
        append(&mut journal, 1);
        let truncated = journal.truncate(op(after)).unwrap();
        assert_eq!((truncated.head, truncated.cut), (op(3), None));
        assert_eq!((journal.head(), journal.synced()), (op(3), op(3)));
        assert_eq!(open(&storage.crash(&mut |_| false)).1.head, op(3));
    }
}

#[test]
fn before_the_first_op_there_is_nothing_to_cut_to() {
    let storage = FaultyStorage::new();
    let mut journal = with_batches(&storage, &[18]);
    journal.release(OpNumber::MAX).unwrap();
    append(&mut journal, 1);
    storage.record();
    let error = journal.truncate(op(11)).unwrap_err().to_string();
    let wanted = "the journal begins with op 13: it cannot be cut off after op 11";
    assert_eq!((error.as_str(), storage.steps()), (wanted, 0));
    assert_eq!((journal.head(), journal.synced()), (op(19), op(18)));
    // All of it can go; where it began is kept.
    journal.truncate(op(12)).unwrap();
    assert_eq!(segments(&storage), [name(13)]);
    let (mut journal, recovery) = open(&storage.crash(&mut |_| false));
    assert_eq!((recovery.first, recovery.head), (op(13), op(12)));
    append(&mut journal, 1);
    assert_eq!(journal.sync().unwrap(), op(13));
}

#[test]
fn the_same_ops_can_be_cut_off_again_and_each_has_its_file() {
    let storage = FaultyStorage::new();
    let mut journal = with_batches(&storage, &[3]);
    let mut files = Vec::new();
    for _ in 0..3 {
        append(&mut journal, 4);
        files.push(journal.truncate(op(3)).unwrap().cut.unwrap());
        assert!(!storage.list().unwrap().contains(&INTENT.to_owned()));
    }
    files.dedup_by_key(|it| it.name.clone());
    assert_eq!(files.len(), 3);
    for cut in files {
        assert_eq!(kept_aside(&storage, &cut), [4, 5, 6, 7]);
    }
}

#[test]
fn a_cut_that_was_interrupted_is_finished_and_described() {
    let storage = FaultyStorage::new();
    let mut journal = with_batches(&storage, &[10]);
    storage.record();
    let cut = journal.truncate(op(6)).unwrap().cut.unwrap();
    // The file of the cut and the intent are safe, and one segment is gone.
    let steps = 5 + 5 + 2;
    for left in [
        storage.after(steps),
        storage.after(steps).crash(&mut |_| true),
    ] {
        assert_eq!(segments(&left), [name(1), name(5)]);
        let (journal, recovery) = open(&left);
        assert_eq!(recovery.head, op(6));
        assert_eq!(recovery.cut.as_ref(), Some(&cut));
        assert_eq!(kept_aside(&left, &cut), [7, 8, 9, 10]);
        assert_eq!(read(&journal, 0).unwrap(), Vec::from_iter(1..=6));
        assert_eq!(open(&left.crash(&mut |_| false)).1.cut, None);
    }
}

#[test]
fn an_error_in_a_cut_is_final_and_the_log_is_whole_or_cut_off() {
    for fail in [FaultyStorage::fail_write, FaultyStorage::fail_sync] {
        for successes in 0.. {
            let storage = FaultyStorage::new();
            let mut journal = with_batches(&storage, &[10]);
            fail(&storage, successes);
            if journal.truncate(op(3)).is_ok() {
                assert!(successes > 3 && !storage.has_failed());
                break;
            }
            assert!(matches!(
                journal.truncate(op(3)),
                Err(JournalError::Poisoned)
            ));
            append(&mut journal, 1);
            assert!(matches!(journal.sync(), Err(JournalError::Poisoned)));
            for left in [storage.fork(), storage.crash(&mut |_| false)] {
                let head = open(&left).1.head.0;
                assert!([3, 10].contains(&head), "op {head}");
            }
        }
    }
}

#[test]
fn damage_before_the_cut_is_found_before_anything_is_changed() {
    for interrupted in [false, true] {
        let storage = FaultyStorage::new();
        let mut journal = with_batches(&storage, &[4]);
        storage.record();
        let steps = match interrupted {
            true => {
                journal.truncate(op(3)).unwrap();
                10
            }
            false => 0,
        };
        let left = storage.after(steps).crash(&mut |_| true);
        left.flip(&name(1), RECORDS_BEGIN + 2 * 64 + 40, 1);
        let before = left.contents(&name(1));
        let error = if interrupted {
            open_error(&left)
        } else {
            storage.flip(&name(1), RECORDS_BEGIN + 2 * 64 + 40, 1);
            journal.truncate(op(3)).unwrap_err()
        };
        let wanted = format!("byte {}: op 3 should be here", RECORDS_BEGIN + 2 * 64);
        assert!(error.to_string().contains(&wanted), "{error}");
        assert_eq!(left.contents(&name(1)), before);
    }
}

#[test]
fn a_bad_intent_is_damage_a_newer_one_is_said_to_be_and_one_that_is_done_is_removed() {
    let intent = Intent {
        after: op(2),
        last: op(4),
        segment_nonce: 5,
        cut_nonce: 1,
    };
    let put = |bytes: &[u8]| {
        let mut storage = FaultyStorage::new();
        with_batches(&storage, &[4]);
        storage.create(INTENT).unwrap().write_at(bytes, 0).unwrap();
        storage
    };
    let good = intent.encode(State::ToDo);
    assert_eq!(open(&put(&good)).1.head, op(2));
    for offset in 0..INTENT_BYTES {
        let mut bytes = good;
        bytes[offset] ^= 0x10;
        let error = open_error(&put(&bytes));
        assert!(matches!(error, JournalError::Damaged { .. }), "{offset}");
        let error = open_error(&put(&good[..offset]));
        assert!(matches!(error, JournalError::Damaged { .. }), "{offset}");
    }
    let mut newer = good;
    newer[11] = 2;
    let checksum = checksum(&newer);
    BigEndian::write_u32(&mut newer[CHECKSUM], checksum);
    let error = open_error(&put(&newer));
    assert!(matches!(
        error,
        JournalError::NewerVersion { version: 2, .. }
    ));
    let other = Intent {
        segment_nonce: 6,
        ..intent
    };
    let error = open_error(&put(&other.encode(State::ToDo)));
    assert!(error.to_string().contains("memory/truncate"), "{error}");
    let storage = put(&intent.encode(State::Done));
    let (_, recovery) = open(&storage);
    assert_eq!((recovery.head, recovery.cut), (op(4), None));
    let storage = storage.crash(&mut |_| false);
    assert_eq!(storage.list().unwrap(), [name(1)]);
}

#[test]
fn a_new_journal_is_not_cut_off_by_what_an_old_one_has_left() {
    let mut storage = FaultyStorage::new();
    drop(create(&storage));
    let intent = Intent {
        after: OpNumber::ZERO,
        last: op(4),
        segment_nonce: 5,
        cut_nonce: 1,
    };
    let bytes = intent.encode(State::ToDo);
    storage.create(INTENT).unwrap().write_at(&bytes, 0).unwrap();
    let mut journal = create(&storage);
    append(&mut journal, 3);
    journal.sync().unwrap();
    let (_, recovery) = open(&storage.crash(&mut |_| true));
    assert_eq!((recovery.head, recovery.cut), (op(3), None));
}

#[test]
fn a_cursor_finds_its_place_anew() {
    let storage = FaultyStorage::new();
    let mut journal = with_batches(&storage, &[10]);
    let mut cursor = super::super::Cursor::after(op(5));
    let shown = |journal: &Journal, cursor: &mut _| {
        let mut ops = Vec::new();
        let mut visit = |op: OpNumber, bytes: &[u8]| ops.push((op.0, bytes.len()));
        journal.read_next(cursor, 32, &mut visit).unwrap();
        ops
    };
    assert_eq!(shown(&journal, &mut cursor), [(6, 32)]);
    journal.truncate(op(4)).unwrap();
    assert!(shown(&journal, &mut cursor).is_empty());
    for number in 5..=8 {
        journal.append(op(number), &[1; 20]);
    }
    journal.sync().unwrap();
    assert_eq!(shown(&journal, &mut cursor), [(7, 20)]);
    assert_eq!(shown(&journal, &mut cursor), [(8, 20)]);
}
