//! Does the journal keep what it was given, and say so when it cannot?

use std::ops::ControlFlow;

use super::storage::FaultyStorage;
use super::*;

const CLUSTER: ClusterId = ClusterId(0xc1);

/// Four records of [`body`] fill a segment.
const SIZES: Sizes = Sizes {
    segment_bytes: RECORDS_BEGIN + 4 * 64,
    prepared_bytes: 128,
    segments_kept: 1,
    segments_spare: 1,
};

pub(super) fn op(number: u64) -> OpNumber {
    OpNumber(number)
}

/// What stands for the Prepare of an op; its record has 64 bytes.
pub(super) fn body(op: OpNumber) -> Vec<u8> {
    vec![op.0 as u8; 32]
}

pub(super) fn create(storage: &FaultyStorage) -> Journal {
    Journal::create_sized(Box::new(storage.clone()), SIZES, CLUSTER, 5).unwrap()
}

pub(super) fn open(storage: &FaultyStorage) -> (Journal, Recovery) {
    Journal::open_sized(Box::new(storage.clone()), SIZES).unwrap()
}

pub(super) fn open_error(storage: &FaultyStorage) -> JournalError {
    let opened = Journal::open_sized(Box::new(storage.clone()), SIZES);
    opened.map(|(_, recovery)| recovery).unwrap_err()
}

pub(super) fn append(journal: &mut Journal, count: usize) {
    for _ in 0..count {
        let op = journal.head().next();
        journal.append(op, &body(op));
    }
}

/// A journal that was synced after every so many ops.
pub(super) fn with_batches(storage: &FaultyStorage, batches: &[usize]) -> Journal {
    let mut journal = create(storage);
    for count in batches {
        append(&mut journal, *count);
        journal.sync().unwrap();
    }
    journal
}

pub(super) fn read(journal: &Journal, after: u64) -> Result<Vec<u64>, JournalError> {
    let mut ops = Vec::new();
    journal.read(op(after), &mut |op, bytes| {
        assert_eq!(bytes, body(op));
        ops.push(op.0);
        ControlFlow::Continue(())
    })?;
    Ok(ops)
}

pub(super) fn name(first: u64) -> String {
    format!("{first:020}.segment")
}

#[test]
fn nothing_is_written_before_the_sync_and_then_once() {
    let storage = FaultyStorage::new();
    let mut journal = with_batches(&storage, &[1]);
    storage.record();
    append(&mut journal, 2);
    assert_eq!((journal.head(), journal.synced()), (op(3), op(1)));
    assert_eq!(storage.steps(), 0);
    assert_eq!(journal.sync().unwrap(), op(3));
    assert_eq!(storage.steps(), 2, "one write, one sync");
    assert_eq!(journal.synced(), op(3));
    assert_eq!(journal.sync().unwrap(), op(3));
    assert_eq!(storage.steps(), 2, "nothing to do");
}

#[test]
fn a_file_grows_ahead_of_its_records_and_up_to_a_segment() {
    let storage = FaultyStorage::new();
    let mut journal = create(&storage);
    let mut lengths = Vec::new();
    for _ in 0..4 {
        append(&mut journal, 1);
        storage.record();
        journal.sync().unwrap();
        assert_eq!(storage.steps(), 2, "the zeros go with the records");
        lengths.push(storage.contents(&name(1)).len() as u64 - RECORDS_BEGIN);
    }
    assert_eq!(lengths, [128, 128, 256, 256]);
}

#[test]
fn a_batch_goes_over_as_many_segments_as_it_needs() {
    let storage = FaultyStorage::new();
    let mut journal = with_batches(&storage, &[3, 7]);
    assert_eq!(storage.list().unwrap(), [name(1), name(5), name(9)]);
    assert_eq!(read(&journal, 0).unwrap(), Vec::from_iter(1..=10));
    let storage = storage.crash(&mut |_| false);
    let (opened, recovery) = open(&storage);
    let wanted = Recovery {
        first: op(1),
        head: op(10),
        torn: None,
        cut: None,
    };
    assert_eq!(recovery, wanted);
    assert_eq!(opened.cluster(), CLUSTER);
    assert_eq!(read(&opened, 6).unwrap(), [7, 8, 9, 10]);
    append(&mut journal, 3);
    assert_eq!(
        read(&journal, 9).unwrap(),
        [10],
        "only what is safe is read"
    );
}

#[test]
fn a_record_longer_than_a_segment_gets_one_of_its_own() {
    let storage = FaultyStorage::new();
    let mut journal = create(&storage);
    let long = vec![7; 1000];
    for number in 1..=3 {
        journal.append(op(number), &long);
    }
    journal.sync().unwrap();
    assert_eq!(storage.list().unwrap(), [name(1), name(2), name(3)]);
    let (journal, _) = open(&storage);
    let mut lengths = Vec::new();
    let mut visit = |_, bytes: &[u8]| {
        lengths.push(bytes.len());
        ControlFlow::Continue(())
    };
    journal.read(OpNumber::ZERO, &mut visit).unwrap();
    assert_eq!(lengths, [1000; 3]);
}

#[test]
fn reading_ends_where_the_visitor_wants() {
    let journal = with_batches(&FaultyStorage::new(), &[10]);
    let mut seen = Vec::new();
    let mut visit = |op: OpNumber, _: &[u8]| {
        seen.push(op.0);
        match op.0 {
            6 => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        }
    };
    journal.read(op(3), &mut visit).unwrap();
    assert_eq!(seen, [4, 5, 6]);
    assert!(read(&journal, 10).unwrap().is_empty());
    assert!(read(&journal, u64::MAX).unwrap().is_empty());
}

#[test]
fn released_segments_go_but_for_one_and_the_last() {
    let storage = FaultyStorage::new();
    let mut journal = with_batches(&storage, &[18]);
    assert_eq!(storage.list().unwrap().len(), 5);
    assert_eq!(
        journal.release(op(7)).unwrap(),
        0,
        "5 to 8 are needed, 1 to 4 are kept"
    );
    assert_eq!(journal.release(op(8)).unwrap(), 1);
    assert_eq!(journal.first(), op(5));
    assert_eq!(journal.release(OpNumber::MAX).unwrap(), 2);
    let spare = format!("{:020}.segment.spare", 1);
    assert_eq!(storage.list().unwrap(), [spare, name(13), name(17)]);
    assert_eq!(read(&journal, 12).unwrap(), Vec::from_iter(13..=18));
    let error = read(&journal, 11).unwrap_err();
    assert!(matches!(
        error,
        JournalError::Released {
            first: OpNumber(13)
        }
    ));
    let (_, recovery) = open(&storage.crash(&mut |_| false));
    assert_eq!((recovery.first, recovery.head), (op(13), op(18)));
}

#[test]
fn a_released_segment_becomes_the_next_one_without_zeros() {
    let storage = FaultyStorage::new();
    let mut journal = with_batches(&storage, &[18]);
    journal.release(OpNumber::MAX).unwrap();
    append(&mut journal, 2);
    journal.sync().unwrap();
    storage.record();
    append(&mut journal, 1);
    journal.sync().unwrap();
    assert_eq!(storage.list().unwrap(), [name(13), name(17), name(21)]);
    // Its header and a sync, its name and a sync, the record and a sync.
    assert_eq!(storage.steps(), 6);
    let contents = storage.contents(&name(21));
    assert_eq!(contents.len() as u64, SIZES.segment_bytes);
    assert_eq!(contents[RECORDS_BEGIN as usize + 64 + 32], 2, "of op 2");
    let (mut journal, recovery) = open(&storage.crash(&mut |_| false));
    assert_eq!((recovery.head, recovery.torn), (op(21), None));
    append(&mut journal, 3);
    journal.sync().unwrap();
    assert_eq!(read(&journal, 12).unwrap(), Vec::from_iter(13..=24));
}

#[test]
fn behind_the_records_of_a_reused_segment_a_torn_end_is_told_from_what_was_there_before() {
    let storage = FaultyStorage::new();
    let mut journal = with_batches(&storage, &[18]);
    journal.release(OpNumber::MAX).unwrap();
    append(&mut journal, 3);
    journal.sync().unwrap();
    storage.record();
    append(&mut journal, 2);
    journal.sync().unwrap();
    let begin = RECORDS_BEGIN + 64;
    // The first of two records is lost, the second is there.
    let torn = storage.after(1).crash(&mut |_| true);
    torn.flip(&name(21), begin + 40, 1);
    let (mut journal, recovery) = open(&torn);
    let found = recovery.torn.expect("the second record is ours");
    assert_eq!(
        (found.offset, found.bytes, found.after),
        (begin, 128, op(21))
    );
    append(&mut journal, 1);
    journal.sync().unwrap();
    let (_, recovery) = open(&torn.crash(&mut |_| false));
    assert_eq!((recovery.head, recovery.torn), (op(22), None));
    // A later record knew the lost one to be synced.
    append_to(&storage, 1);
    let damaged = storage.crash(&mut |_| true);
    damaged.flip(&name(21), begin + 40, 1);
    let error = open_error(&damaged);
    assert!(matches!(error, JournalError::Damaged { .. }), "{error}");
}

#[test]
fn records_that_stood_there_before_have_lower_numbers_and_do_not_count_even_if_their_nonce_fits() {
    let storage = FaultyStorage::new();
    let mut boxed: Box<dyn Storage> = Box::new(storage.clone());
    let segment = |first, reused| Segment {
        first: op(first),
        cluster: CLUSTER,
        nonce: 5,
        reused,
    };
    let records = |ops: std::ops::RangeInclusive<u64>| {
        let mut records = Vec::new();
        for number in ops {
            let op = op(number);
            record::encode(&mut records, 5, op, OpNumber(number - 1), &body(op));
        }
        records
    };
    let before = segment(1, false);
    let mut file = before.create(&mut *boxed, SIZES.segment_bytes).unwrap();
    file.write_at(&records(1..=4), RECORDS_BEGIN).unwrap();
    let spare = before.spare_name();
    boxed.rename(&before.name(), &spare).unwrap();
    let mut file = segment(21, true).create_from(&mut *boxed, &spare).unwrap();
    file.write_at(&records(21..=21), RECORDS_BEGIN).unwrap();
    file.sync().unwrap();
    let contents = storage.contents(&name(21));
    let (mut journal, recovery) = open(&storage);
    assert_eq!((recovery.head, recovery.torn), (op(21), None));
    assert_eq!(storage.contents(&name(21)), contents);
    append(&mut journal, 1);
    journal.sync().unwrap();
    let (journal, recovery) = open(&storage);
    assert_eq!((recovery.head, recovery.torn), (op(22), None));
    assert_eq!(read(&journal, 20).unwrap(), [21, 22]);
}

/// Opens a journal, and appends and syncs so many ops.
fn append_to(storage: &FaultyStorage, count: usize) {
    let (mut journal, _) = open(storage);
    append(&mut journal, count);
    journal.sync().unwrap();
}

#[test]
fn a_crash_while_segments_are_released_leaves_no_gap() {
    let storage = FaultyStorage::new();
    let mut journal = with_batches(&storage, &[18]);
    storage.record();
    journal.release(op(18)).unwrap();
    for steps in 0..=storage.steps() {
        let before = storage.after(steps);
        for survivors in 0..1_u32 << before.unsynced() {
            let mut piece = 0;
            let left = before.crash(&mut |_| {
                piece += 1;
                survivors >> (piece - 1) & 1 == 1
            });
            let (journal, recovery) = open(&left);
            assert!(recovery.first <= op(13));
            let all = Vec::from_iter(recovery.first.0..=18);
            assert_eq!(read(&journal, recovery.first.0 - 1).unwrap(), all);
        }
    }
}

#[test]
fn an_error_of_a_sync_is_final() {
    for fail in [FaultyStorage::fail_write, FaultyStorage::fail_sync] {
        let storage = FaultyStorage::new();
        let mut journal = with_batches(&storage, &[2]);
        fail(&storage, 0);
        append(&mut journal, 1);
        assert!(matches!(journal.sync(), Err(JournalError::Io { .. })));
        assert!(matches!(journal.sync(), Err(JournalError::Poisoned)));
        assert!(matches!(
            journal.release(op(1)),
            Err(JournalError::Poisoned)
        ));
        append(&mut journal, 1);
        assert!(matches!(journal.sync(), Err(JournalError::Poisoned)));
        assert_eq!(journal.synced(), op(2));
    }
}

#[test]
fn a_full_disk_is_an_error_that_names_the_file() {
    let storage = FaultyStorage::new();
    let mut journal = with_batches(&storage, &[2]);
    storage.limit_growth(10);
    append(&mut journal, 1);
    let error = journal.sync().unwrap_err().to_string();
    let wanted = format!("cannot write memory/{}: No space left", name(1));
    assert!(error.starts_with(&wanted), "{error}");
}

#[test]
fn what_is_read_after_a_failed_sync_is_made_safe_before_it_is_believed() {
    let storage = FaultyStorage::new();
    let mut journal = with_batches(&storage, &[2]);
    storage.fail_sync(0);
    append(&mut journal, 2);
    journal.sync().unwrap_err();
    // The kernel still shows what it has not written and never will.
    let (_, recovery) = open(&storage);
    assert_eq!(recovery.head, op(4));
    let (journal, recovery) = open(&storage.crash(&mut |_| false));
    assert_eq!(recovery.head, op(4));
    assert_eq!(read(&journal, 0).unwrap(), [1, 2, 3, 4]);
}

#[test]
fn what_a_killed_process_wrote_is_made_safe_before_it_is_believed() {
    let storage = FaultyStorage::new();
    let mut journal = with_batches(&storage, &[2]);
    storage.record();
    append(&mut journal, 2);
    journal.sync().unwrap();
    let killed_before_the_sync = storage.after(1);
    let (_, recovery) = open(&killed_before_the_sync);
    assert_eq!(recovery.head, op(4));
    let (_, recovery) = open(&killed_before_the_sync.crash(&mut |_| false));
    assert_eq!(recovery.head, op(4));
}

#[test]
fn a_torn_end_is_cut_off_described_and_zeroed() {
    let storage = FaultyStorage::new();
    let mut journal = with_batches(&storage, &[1]);
    storage.record();
    append(&mut journal, 3);
    journal.sync().unwrap();
    let offset = RECORDS_BEGIN + 2 * 64;
    let mut storage = storage.after(1).crash(&mut |_| true);
    storage.flip(&name(1), offset + 40, 1);
    let (mut journal, recovery) = open(&storage);
    let torn = TornEnd {
        file: format!("memory/{}", name(1)),
        offset,
        bytes: 2 * 64,
        after: op(2),
    };
    assert_eq!((recovery.head, recovery.torn), (op(2), Some(torn)));
    assert!(
        storage.contents(&name(1))[offset as usize..]
            .iter()
            .all(|it| *it == 0)
    );
    append(&mut journal, 1);
    journal.sync().unwrap();
    storage = storage.crash(&mut |_| false);
    let (journal, recovery) = open(&storage);
    assert_eq!((recovery.head, recovery.torn), (op(3), None));
    assert_eq!(read(&journal, 0).unwrap(), [1, 2, 3]);
}

#[test]
fn damage_is_reported_and_nothing_is_changed() {
    let storage = FaultyStorage::new();
    with_batches(&storage, &[2, 1]);
    storage.flip(&name(1), RECORDS_BEGIN + 64 + 40, 1);
    let before = storage.contents(&name(1));
    let error = open_error(&storage).to_string();
    let wanted = format!(
        "the journal is damaged: memory/{}, byte {}: op 2 should be here, and op 3 behind it \
         shows that it was. Nothing was changed.",
        name(1),
        RECORDS_BEGIN + 64
    );
    assert!(error.starts_with(&wanted), "{error}");
    assert_eq!(storage.contents(&name(1)), before);
}

#[test]
fn damage_in_an_earlier_segment_is_found_by_reading_it() {
    let storage = FaultyStorage::new();
    with_batches(&storage, &[6]);
    storage.flip(&name(1), RECORDS_BEGIN + 3 * 64, 1);
    let (journal, _) = open(&storage);
    assert_eq!(read(&journal, 4).unwrap(), [5, 6]);
    let JournalError::Damaged { file, offset, .. } = read(&journal, 0).unwrap_err() else {
        panic!("it is damage");
    };
    assert_eq!(
        (file, offset),
        (format!("memory/{}", name(1)), RECORDS_BEGIN + 3 * 64)
    );
}

#[test]
fn a_segment_that_is_missing_or_of_another_journal_is_damage() {
    let mut storage = FaultyStorage::new();
    with_batches(&storage, &[10]);
    let other = FaultyStorage::new();
    drop(Journal::create_sized(Box::new(other.clone()), SIZES, CLUSTER, 6).unwrap());
    storage.remove(&name(5)).unwrap();
    let error = open_error(&storage);
    assert!(
        error.to_string().contains(&format!("{}, byte 0", name(9))),
        "{error}"
    );
    storage.remove(&name(1)).unwrap();
    let bytes = other.contents(&name(1));
    storage
        .create(&name(1))
        .unwrap()
        .write_at(&bytes, 0)
        .unwrap();
    assert!(matches!(open_error(&storage), JournalError::Damaged { .. }));
}

#[test]
fn a_segment_that_was_never_finished_does_not_exist() {
    let mut storage = FaultyStorage::new();
    with_batches(&storage, &[4]);
    let unfinished = "00000000000000000005.segment.new";
    storage
        .create(unfinished)
        .unwrap()
        .write_at(b"half", 0)
        .unwrap();
    let (mut journal, recovery) = open(&storage);
    assert_eq!((recovery.head, recovery.torn), (op(4), None));
    assert_eq!(storage.list().unwrap(), [name(1)]);
    append(&mut journal, 1);
    assert_eq!(journal.sync().unwrap(), op(5));
}

#[test]
fn an_empty_last_segment_is_gone_on_with() {
    let storage = FaultyStorage::new();
    let mut journal = with_batches(&storage, &[4]);
    storage.record();
    append(&mut journal, 1);
    journal.sync().unwrap();
    // Made, written and synced, renamed, the directory synced; then the record.
    let storage = storage.after(5);
    let (mut journal, recovery) = open(&storage);
    assert_eq!(
        (recovery.first, recovery.head, recovery.torn),
        (op(1), op(4), None)
    );
    assert_eq!(storage.list().unwrap(), [name(1), name(5)]);
    append(&mut journal, 2);
    journal.sync().unwrap();
    assert_eq!(read(&journal, 3).unwrap(), [4, 5, 6]);
}

#[test]
fn there_is_one_journal_in_a_place_and_it_has_to_be_made() {
    let storage = FaultyStorage::new();
    assert!(matches!(open_error(&storage), JournalError::Missing { .. }));
    drop(create(&storage));
    let mut journal = create(&storage);
    append(&mut journal, 1);
    journal.sync().unwrap();
    let again = Journal::create_sized(Box::new(storage.clone()), SIZES, CLUSTER, 5);
    assert!(matches!(again.err(), Some(JournalError::Exists { .. })));
    assert_eq!(open(&storage).1.head, op(1));
}

#[test]
fn a_journal_may_begin_after_any_op() {
    for after in [1, 41, u64::MAX - 100] {
        let storage = FaultyStorage::new();
        let create_after = |after| {
            let storage = Box::new(storage.clone());
            Journal::create_after_sized(storage, SIZES, CLUSTER, 5, op(after))
        };
        // A crash may leave one that was to begin elsewhere, as long as nothing is in it.
        drop(create_after(7).unwrap());
        let mut journal = create_after(after).unwrap();
        assert_eq!((journal.head(), journal.synced()), (op(after), op(after)));
        assert_eq!(journal.first(), op(after + 1));
        let (empty, recovery) = open(&storage.crash(&mut |_| false));
        let wanted = Recovery {
            first: op(after + 1),
            head: op(after),
            torn: None,
            cut: None,
        };
        assert_eq!(recovery, wanted);
        assert!(read(&empty, after).unwrap().is_empty());
        append(&mut journal, 6);
        journal.sync().unwrap();
        assert_eq!(storage.list().unwrap(), [name(after + 1), name(after + 5)]);
        let (journal, recovery) = open(&storage.crash(&mut |_| false));
        assert_eq!(
            (recovery.first, recovery.head),
            (op(after + 1), op(after + 6))
        );
        assert_eq!(read(&journal, after).unwrap().len(), 6);
        let error = read(&journal, after - 1).unwrap_err();
        assert!(matches!(error, JournalError::Released { .. }));
        assert!(matches!(
            create_after(after).err(),
            Some(JournalError::Exists { .. })
        ));
    }
}

#[test]
fn segments_are_held_back_by_a_lower_op() {
    let mut journal = with_batches(&FaultyStorage::new(), &[18]);
    for up_to in [0, 1, 3, 4, 7] {
        assert_eq!(journal.release(op(up_to)).unwrap(), 0, "{up_to}");
    }
    assert_eq!(journal.release(op(8)).unwrap(), 1);
    assert_eq!(journal.release(op(2)).unwrap(), 0);
    assert_eq!(journal.release(op(12)).unwrap(), 1);
    assert_eq!(journal.first(), op(9));
}

#[test]
fn other_sizes_than_before_are_no_obstacle() {
    let storage = FaultyStorage::new();
    with_batches(&storage, &[3]);
    for segment_bytes in [RECORDS_BEGIN, RECORDS_BEGIN + 1000] {
        let sizes = Sizes {
            segment_bytes,
            ..SIZES
        };
        let opened = Journal::open_sized(Box::new(storage.clone()), sizes);
        let (mut journal, _) = opened.unwrap();
        append(&mut journal, 5);
        journal.sync().unwrap();
    }
    let (journal, _) = open(&storage);
    assert_eq!(read(&journal, 0).unwrap(), Vec::from_iter(1..=13));
}

#[test]
#[should_panic(expected = "ops are appended without gaps")]
fn a_gap_is_our_own_mistake() {
    create(&FaultyStorage::new()).append(op(2), b"two");
}
