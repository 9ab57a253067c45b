//! Does a cursor show every op once, in order, whatever happens to the journal in between?

use super::super::tests::{append, body, create, name, op, open, with_batches};
use super::*;
use crate::journal::storage::{FaultyStorage, Storage};

/// What one call shows.
fn next(journal: &Journal, cursor: &mut Cursor, bytes_max: usize) -> Vec<u64> {
    let mut ops = Vec::new();
    let mut visit = |op: OpNumber, bytes: &[u8]| {
        assert_eq!(bytes, body(op));
        ops.push(op.0);
    };
    journal.read_next(cursor, bytes_max, &mut visit).unwrap();
    ops
}

#[test]
fn pieces_are_as_long_as_they_may_be_and_hold_one_op_at_least() {
    // The body of each op is 32 bytes long, and four ops fill a segment.
    let journal = with_batches(&FaultyStorage::new(), &[10]);
    for (bytes_max, count) in [(0, 1), (1, 1), (63, 1), (64, 2), (159, 4), (usize::MAX, 10)] {
        let mut cursor = Cursor::after(OpNumber::ZERO);
        let mut seen = Vec::new();
        loop {
            let ops = next(&journal, &mut cursor, bytes_max);
            assert!(ops.len() <= count && (ops.len() == count || seen.len() + ops.len() == 10));
            if ops.is_empty() {
                break;
            }
            seen.extend(ops);
            assert_eq!(cursor.next_op().0, seen.len() as u64 + 1);
        }
        assert_eq!(seen, Vec::from_iter(1..=10));
    }
}

#[test]
fn only_what_is_safe_is_shown_and_later_the_rest() {
    let mut journal = with_batches(&FaultyStorage::new(), &[3]);
    let mut cursor = Cursor::after(op(2));
    append(&mut journal, 3);
    assert_eq!(next(&journal, &mut cursor, 1000), [3]);
    assert!(next(&journal, &mut cursor, 1000).is_empty());
    journal.sync().unwrap();
    assert_eq!(next(&journal, &mut cursor, 1000), [4, 5, 6]);
    let mut behind = Cursor::after(OpNumber::MAX);
    assert!(next(&journal, &mut behind, 1000).is_empty());
}

#[test]
fn a_place_outlives_the_journal_that_was_opened() {
    let storage = FaultyStorage::new();
    let mut cursor = Cursor::after(op(4));
    let journal = with_batches(&storage, &[10]);
    assert_eq!(next(&journal, &mut cursor, 70), [5, 6]);
    drop(journal);
    assert_eq!(next(&open(&storage).0, &mut cursor, 70), [7, 8]);
}

#[test]
fn a_known_place_is_gone_to_and_not_looked_for() {
    let storage = FaultyStorage::new();
    let journal = with_batches(&storage, &[4]);
    let mut cursor = Cursor::after(OpNumber::ZERO);
    assert_eq!(next(&journal, &mut cursor, 64), [1, 2]);
    // Who passes over the first record from now on finds that it is bad.
    storage.flip(&name(1), RECORDS_BEGIN, 1);
    assert_eq!(next(&journal, &mut cursor, 64), [3, 4]);
    let mut other = Cursor::after(op(2));
    let error = journal.read_next(&mut other, 64, &mut |_, _| {});
    assert!(matches!(error, Err(JournalError::Damaged { .. })));
}

#[test]
fn damage_is_reported_where_it_is_and_what_comes_before_is_shown() {
    let storage = FaultyStorage::new();
    let journal = with_batches(&storage, &[4]);
    let offset = RECORDS_BEGIN + 2 * 64;
    storage.flip(&name(1), offset + 40, 1);
    let mut cursor = Cursor::after(OpNumber::ZERO);
    for _ in 0..2 {
        let mut visit = |_: OpNumber, _: &[u8]| {};
        let error = journal
            .read_next(&mut cursor, 1000, &mut visit)
            .unwrap_err();
        let wanted = format!("memory/{}, byte {offset}: op 3 should be here", name(1));
        assert!(error.to_string().contains(&wanted), "{error}");
        assert_eq!(cursor.next_op(), op(3));
    }
}

#[test]
fn what_was_released_under_a_cursor_is_said_to_be() {
    let storage = FaultyStorage::new();
    let mut journal = with_batches(&storage, &[18]);
    let mut cursor = Cursor::after(op(1));
    assert_eq!(next(&journal, &mut cursor, 32), [2]);
    // Whoever needs an op names it, and its segment stays.
    assert_eq!(journal.release(op(cursor.next_op().0 - 1)).unwrap(), 0);
    assert_eq!(next(&journal, &mut cursor, 32), [3]);
    journal.release(OpNumber::MAX).unwrap();
    assert!(!storage.list().unwrap().contains(&name(1)));
    let error = journal.read_next(&mut cursor, 32, &mut |_, _| {});
    assert!(matches!(
        error,
        Err(JournalError::Released {
            first: OpNumber(13)
        })
    ));
    assert_eq!(cursor.next_op(), op(4));
}

#[test]
fn another_journals_place_means_nothing() {
    let mut cursor = Cursor::after(OpNumber::ZERO);
    let journal = with_batches(&FaultyStorage::new(), &[4]);
    assert_eq!(next(&journal, &mut cursor, 32), [1]);
    let mut other = create(&FaultyStorage::new());
    for number in 1..=3 {
        other.append(op(number), &[number as u8; 33]);
    }
    other.sync().unwrap();
    let mut seen = Vec::new();
    let mut visit = |op: OpNumber, bytes: &[u8]| seen.push((op.0, bytes.len()));
    other.read_next(&mut cursor, 1000, &mut visit).unwrap();
    assert_eq!(seen, [(2, 33), (3, 33)]);
}
