//! Is a flipped bit in any byte reported where it matters, and nothing changed then?

use lastword::journal::JournalError;
use lastword::journal::storage::{FaultyStorage, Storage};

use super::{Random, SIZES, create_after, open, read};

/// Where a record stands, by the layout that the journal's documentation gives.
#[derive(Debug)]
struct Place {
    file: String,
    begin: u64,
    end: u64,
    /// The batch of its op.
    batch: usize,
}

/// A journal of several segments and batches, with the place of each op.
fn mapped_journal(storage: &FaultyStorage) -> Vec<Place> {
    let mut random = Random(3);
    let mut journal = create_after(storage, 0).unwrap();
    let mut places: Vec<Place> = Vec::new();
    let (mut first, mut end) = (1, 4096);
    for batch in 0..10 {
        for _ in 0..3 {
            let op = journal.head().next();
            let length = random.below(120);
            journal.append(op, &random.bytes(length));
            let bytes = (32 + length).next_multiple_of(8);
            if end + bytes > SIZES.segment_bytes {
                (first, end) = (op.0, 4096);
            }
            places.push(Place {
                file: format!("{first:020}.segment"),
                begin: end,
                end: end + bytes,
                batch,
            });
            end += bytes;
        }
        journal.sync().unwrap();
    }
    places
}

/// What opening and then reading everything says of a journal.
#[derive(Debug, PartialEq)]
enum Verdict {
    /// Damage, there.
    Damaged { file: String, offset: u64 },
    /// These ops; and a torn end was cut off, there.
    Whole { ops: usize, torn: Option<u64> },
}

fn judge(storage: &FaultyStorage) -> Verdict {
    let all = open(storage).and_then(|(journal, recovery)| {
        let ops = read(&journal, 0)?.len();
        let torn = recovery.torn.map(|it| it.offset);
        Ok(Verdict::Whole { ops, torn })
    });
    match all {
        Ok(verdict) => verdict,
        Err(JournalError::Damaged { file, offset, .. }) => Verdict::Damaged { file, offset },
        Err(error) => panic!("{error}"),
    }
}

/// What has to be said when a byte of a file is wrong.
fn expected(places: &[Place], file: &str, offset: u64) -> Verdict {
    let last = places.last().unwrap();
    let damaged = |offset| Verdict::Damaged {
        file: format!("memory/{file}"),
        offset,
    };
    if offset < 4096 {
        return damaged(0);
    }
    let in_record = |it: &Place| it.file == file && (it.begin..it.end).contains(&offset);
    match places.iter().position(in_record) {
        // The last batch was synced, too, but nothing that came later says so: it cannot be told
        // from one that was torn.
        Some(index) if places[index].batch == last.batch => Verdict::Whole {
            ops: index,
            torn: Some(places[index].begin),
        },
        Some(index) => damaged(places[index].begin),
        // Behind the records of a full segment nothing is ever read.
        None if file != last.file => Verdict::Whole {
            ops: places.len(),
            torn: None,
        },
        // The zeros that were prepared are made zeros again.
        None => Verdict::Whole {
            ops: places.len(),
            torn: Some(last.end),
        },
    }
}

#[test]
fn a_flipped_bit_in_any_byte_is_reported_where_it_matters() {
    let whole = FaultyStorage::new();
    let places = mapped_journal(&whole);
    let files = whole.list().unwrap();
    assert!(files.len() >= 3);
    let last = places.last().unwrap();
    let batches_of_last = places.iter().filter(|it| it.file == last.file);
    assert!(batches_of_last.map(|it| it.batch).min() < Some(last.batch));
    assert!(last.end < whole.contents(&last.file).len() as u64);
    for file in &files {
        for offset in 0..whole.contents(file).len() as u64 {
            let storage = whole.fork();
            storage.flip(file, offset, 1 << (offset % 8));
            let before: Vec<_> = files.iter().map(|it| storage.contents(it)).collect();
            let verdict = judge(&storage);
            assert_eq!(
                verdict,
                expected(&places, file, offset),
                "{file}, byte {offset}"
            );
            if matches!(verdict, Verdict::Damaged { .. }) {
                let after: Vec<_> = files.iter().map(|it| storage.contents(it)).collect();
                assert!(
                    before == after,
                    "{file}, byte {offset}: something was changed"
                );
            }
        }
    }
}
