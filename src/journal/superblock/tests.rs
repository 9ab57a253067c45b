//! Is a superblock there again after a crash, and is a bad one recognised?

use byteorder::{BigEndian, ByteOrder};

use super::format::{FORMAT_VERSION, FORMAT_VERSION_2, seal};
use super::*;
use crate::journal::storage::{FaultyStorage, Unsynced};
use crate::limits::{BINDINGS_MAX, MEMBERS_MAX};
use crate::types::{Binding, Member, OpNumber, ViewNumber};

fn superblock(counter: u64) -> Superblock {
    Superblock {
        cluster: ClusterId(0x1234_5678_9abc_def0),
        lineage: Lineage {
            counter: 2,
            random: 3,
        },
        server: ServerId(4),
        incarnation: Incarnation {
            counter,
            random: !counter,
        },
        member_address: "127.0.0.1:5001".parse().unwrap(),
        vote: vote(2, 3),
        generation: counter as u32,
        folder: Some(FolderMark {
            directory: counter,
            file: counter + 1,
        }),
    }
}

/// A vote with so many bindings of so many members, all different.
fn vote(bindings: usize, members: usize) -> Vote {
    let member = |number: u64| Member {
        server: ServerId(number as u16),
        incarnation: Incarnation {
            counter: number << 40,
            random: !number,
        },
    };
    let binding = |it: u64| Binding {
        number: ViewNumber::new(it, ServerId(2)),
        members: (0..members as u64).map(|i| member(100 * it + i)).collect(),
    };
    Vote {
        promised: ViewNumber(u64::MAX),
        bindings: (1..=bindings as u64).map(binding).collect(),
        in_force: OpNumber(1 << 50),
        stood: ViewNumber(9),
        descent: (1..=bindings as u64)
            .map(|it| member(it).incarnation)
            .collect(),
        ordered: Some(Lineage {
            counter: 5,
            random: 6,
        }),
    }
}

/// Where the body begins, and where it began in versions 1 and 2.
const BODY: usize = 28;
const BODY_2: usize = 24;

/// The two copies that version 2 wrote: the body without its length.
fn format_2(superblock: &Superblock, sequence: u64) -> Vec<u8> {
    let mut bytes = encode(superblock, sequence);
    bytes.copy_within(BODY.., BODY_2);
    bytes[8..12].copy_from_slice(&FORMAT_VERSION_2.to_be_bytes());
    seal(&mut bytes);
    bytes
}

/// What 0.1.0 wrote: two copies of format 1, which ended with the member address.
fn format_1(superblock: &Superblock, sequence: u64) -> Vec<u8> {
    let mut bytes = format_2(superblock, sequence);
    bytes[11] = 1;
    bytes[93..].fill(0);
    seal(&mut bytes);
    bytes
}

/// What is made of a superblock that an earlier version wrote, with this vote.
fn earlier(counter: u64, vote: Vote, generation: u32) -> Superblock {
    let incarnation = superblock(counter).incarnation;
    Superblock {
        vote: Vote {
            stood: vote.promised,
            descent: vec![incarnation],
            ordered: None,
            ..vote
        },
        generation,
        folder: None,
        ..superblock(counter)
    }
}

fn put(storage: &mut FaultyStorage, bytes: &[u8]) {
    let mut file = storage.create(FILE).unwrap();
    file.write_at(bytes, 0).unwrap();
    file.sync().unwrap();
    storage.sync_directory().unwrap();
}

#[test]
fn what_is_written_comes_back_from_the_disk() {
    let mut storage = FaultyStorage::new();
    assert_eq!(read(&storage).unwrap(), None);
    for address in ["10.0.0.1:1", "[::1]:65535", "[fe80::1%7]:5001"] {
        let mut wanted = superblock(1);
        wanted.member_address = address.parse().unwrap();
        write(&mut storage, &wanted).unwrap();
        let left = storage.crash(&mut |_| false);
        assert_eq!(read(&left).unwrap(), Some(wanted));
    }
}

#[test]
fn a_vote_comes_back_whole_up_to_the_most_there_can_be() {
    for (bindings, members) in [(0, 0), (1, 0), (1, 1), (BINDINGS_MAX, MEMBERS_MAX)] {
        let mut storage = FaultyStorage::new();
        let mut wanted = superblock(1);
        wanted.vote = vote(bindings, members);
        wanted.generation = u32::MAX;
        write(&mut storage, &wanted).unwrap();
        assert_eq!(read(&storage).unwrap(), Some(wanted));
    }
}

#[test]
#[should_panic(expected = "9 bindings")]
fn more_bindings_than_there_can_be_are_our_own_mistake() {
    let mut wanted = superblock(1);
    wanted.vote = vote(BINDINGS_MAX + 1, 1);
    let _ = write(&mut FaultyStorage::new(), &wanted);
}

#[test]
fn files_of_earlier_versions_are_read_and_replaced_at_the_next_write() {
    let files = [
        (format_1(&superblock(1), 7), earlier(1, Vote::default(), 0)),
        (format_2(&superblock(1), 8), earlier(1, vote(2, 3), 1)),
    ];
    for (copy, old) in files {
        let mut storage = FaultyStorage::new();
        put(&mut storage, &copy.repeat(2));
        assert_eq!(read(&storage).unwrap().as_ref(), Some(&old));
        storage.record();
        write(&mut storage, &superblock(2)).unwrap();
        for steps in 0..=storage.steps() {
            for left in crashes(&storage.after(steps)) {
                let found = read(&left).unwrap().unwrap();
                assert!(found == old || found == superblock(2), "{found:?}");
            }
        }
        assert_eq!(storage.contents(FILE).len(), COPIES * COPY_BYTES);
        for copy in storage.contents(FILE).chunks(COPY_BYTES) {
            let is_blank = copy.iter().all(|byte| *byte == 0);
            assert!(is_blank || copy[8..12] == FORMAT_VERSION.to_be_bytes());
        }
        assert_eq!(read(&storage).unwrap(), Some(superblock(2)));
    }
}

#[test]
fn one_bad_copy_of_an_earlier_version_loses_nothing() {
    for index in 0..2 {
        let mut storage = FaultyStorage::new();
        put(&mut storage, &format_2(&superblock(1), 7).repeat(2));
        storage.flip(FILE, (index * COPY_BYTES) as u64 + 60, 1);
        assert_eq!(read(&storage).unwrap(), Some(earlier(1, vote(2, 3), 1)));
    }
}

/// An election takes a save of the candidate and one of its voter.
#[test]
fn a_save_of_a_running_server_takes_one_sync() {
    let mut storage = FaultyStorage::new();
    write(&mut storage, &superblock(1)).unwrap();
    let (mut file, found) = SuperblockFile::open(Box::new(storage.clone())).unwrap();
    assert_eq!(found, Some(superblock(1)));
    file.save(&superblock(2)).unwrap();
    for counter in 3..9 {
        storage.record();
        file.save(&superblock(counter)).unwrap();
        // Two writes and a sync; no new length, no name.
        assert_eq!(storage.steps(), 3);
        let left = storage.crash(&mut |_| false);
        assert_eq!(read(&left).unwrap(), Some(superblock(counter)));
    }
}

/// The file is made by the first save, and stays open.
#[test]
fn a_new_server_makes_the_file_and_saves_in_it() {
    let storage = FaultyStorage::new();
    let (mut file, found) = SuperblockFile::open(Box::new(storage.clone())).unwrap();
    assert_eq!(found, None);
    file.save(&superblock(1)).unwrap();
    storage.record();
    file.save(&superblock(2)).unwrap();
    assert_eq!(storage.steps(), 3);
    assert_eq!(read(&storage).unwrap(), Some(superblock(2)));
}

/// The sync of a save fails, and the kernel shows what never got to the disk. The next process
/// must not write over the only copies that are really there.
#[test]
fn after_a_sync_that_failed_the_next_process_keeps_a_good_pair_at_any_moment() {
    let mut storage = FaultyStorage::new();
    write(&mut storage, &superblock(1)).unwrap();
    let (mut file, _) = SuperblockFile::open(Box::new(storage.clone())).unwrap();
    file.save(&superblock(2)).unwrap();
    storage.fail_sync(0);
    assert!(file.save(&superblock(3)).is_err());
    assert_eq!(read(&storage).unwrap(), Some(superblock(3)));
    storage.record();
    write(&mut storage, &superblock(4)).unwrap();
    for steps in 0..=storage.steps() {
        for left in crashes(&storage.after(steps)) {
            let found = read(&left).unwrap().unwrap();
            assert!((2..=4).contains(&found.incarnation.counter), "{found:?}");
        }
    }
}

/// Every way to lose some of what is not synced, for a handful of pieces; else each piece
/// alone, and all but each.
fn crashes(storage: &FaultyStorage) -> Vec<FaultyStorage> {
    let pieces = storage.unsynced();
    let mut choices: Vec<u64> = Vec::new();
    if pieces <= 10 {
        choices.extend(0..1 << pieces);
    } else {
        choices.extend([0, u64::MAX]);
        choices.extend((0..pieces).flat_map(|it| [1 << it, !(1 << it)]));
    }
    let crash = |choice: u64| {
        let mut piece = 0;
        storage.crash(&mut |_| {
            piece += 1;
            choice >> (piece - 1) & 1 == 1
        })
    };
    choices.into_iter().map(crash).collect()
}

#[test]
fn after_a_crash_at_any_point_there_is_the_old_or_the_new_and_the_new_once_it_was_written() {
    let mut storage = FaultyStorage::new();
    storage.record();
    let mut done = vec![(0, None)];
    for counter in 1..=4 {
        write(&mut storage, &superblock(counter)).unwrap();
        done.push((storage.steps(), Some(superblock(counter))));
    }
    for steps in 0..=storage.steps() {
        let written = done.iter().rposition(|(end, _)| *end <= steps).unwrap();
        let allowed: Vec<_> = done[written..].iter().take(2).map(|it| &it.1).collect();
        for mut left in crashes(&storage.after(steps)) {
            let found = read(&left).unwrap();
            assert!(allowed.contains(&&found), "after {steps} steps: {found:?}");
            write(&mut left, &superblock(9)).unwrap();
            let left = left.crash(&mut |_| false);
            assert_eq!(read(&left).unwrap(), Some(superblock(9)));
        }
    }
}

/// A process is killed while it makes the file, the next one writes what it is, and then the power
/// goes.
#[test]
fn what_the_next_process_has_written_outlasts_a_power_cut_wherever_the_first_was_killed() {
    let mut storage = FaultyStorage::new();
    storage.record();
    write(&mut storage, &superblock(1)).unwrap();
    for steps in 0..=storage.steps() {
        let mut next = storage.after(steps);
        write(&mut next, &superblock(2)).unwrap();
        let left = next.crash(&mut |_| false);
        assert_eq!(read(&left).unwrap(), Some(superblock(2)), "{steps} steps");
    }
}

#[test]
fn an_error_leaves_the_old_or_the_new() {
    for successes in 0..2 {
        for fail in [FaultyStorage::fail_write, FaultyStorage::fail_sync] {
            let mut storage = FaultyStorage::new();
            write(&mut storage, &superblock(1)).unwrap();
            fail(&storage, successes);
            assert!(write(&mut storage, &superblock(2)).is_err());
            for left in crashes(&storage) {
                let found = read(&left).unwrap();
                assert!([Some(superblock(1)), Some(superblock(2))].contains(&found));
            }
        }
    }
}

#[test]
fn one_damaged_copy_loses_nothing_and_the_next_write_repairs_it() {
    let mut storage = FaultyStorage::new();
    write(&mut storage, &superblock(1)).unwrap();
    write(&mut storage, &superblock(2)).unwrap();
    for offset in (0..(COPIES * COPY_BYTES) as u64).step_by(5) {
        storage.flip(FILE, offset, 1);
        assert_eq!(read(&storage).unwrap(), Some(superblock(2)), "{offset}");
        storage.flip(FILE, offset, 1);
    }
    // The newest copies are the even ones, 0 and 2; the next write makes both whole.
    storage.flip(FILE, 100, 1);
    write(&mut storage, &superblock(3)).unwrap();
    storage.flip(FILE, COPY_BYTES as u64 + 100, 1);
    assert_eq!(read(&storage).unwrap(), Some(superblock(3)));
    storage.flip(FILE, 3 * COPY_BYTES as u64 + 100, 1);
    assert_eq!(read(&storage).unwrap(), Some(superblock(2)));
    storage.flip(FILE, 2 * COPY_BYTES as u64 + 100, 1);
    assert_eq!(read(&storage).unwrap(), Some(superblock(2)));
}

#[test]
fn a_save_never_touches_the_copies_that_count() {
    let mut storage = FaultyStorage::new();
    write(&mut storage, &superblock(1)).unwrap();
    let (mut file, _) = SuperblockFile::open(Box::new(storage.clone())).unwrap();
    file.save(&superblock(2)).unwrap();
    for counter in 3..7 {
        storage.record();
        file.save(&superblock(counter)).unwrap();
        let written = (counter % 2) as usize;
        storage.after(2).crash(&mut |it| {
            let Unsynced::Sector { offset, .. } = it else {
                panic!("nothing else is touched: {it:?}");
            };
            assert_eq!(offset as usize / COPY_BYTES % PAIRS, written);
            true
        });
    }
}

#[test]
fn a_file_without_a_good_copy_is_an_error_that_names_it_and_changes_nothing() {
    let mut storage = FaultyStorage::new();
    write(&mut storage, &superblock(1)).unwrap();
    write(&mut storage, &superblock(2)).unwrap();
    for copy in 0..COPIES {
        storage.flip(FILE, (copy * COPY_BYTES) as u64 + 100, 1);
    }
    let before = storage.contents(FILE);
    let error = write(&mut storage, &superblock(3)).unwrap_err();
    assert!(matches!(&error, SuperblockError::Damaged { .. }));
    assert!(
        error
            .to_string()
            .starts_with("memory/superblock is damaged")
    );
    assert_eq!(storage.contents(FILE), before);
}

#[test]
fn a_file_of_zeros_is_damaged_and_not_somebody_elses() {
    for length in [0, COPY_BYTES, COPIES * COPY_BYTES] {
        let mut storage = FaultyStorage::new();
        put(&mut storage, &vec![0; length]);
        let error = read(&storage).unwrap_err();
        assert!(matches!(error, SuperblockError::Damaged { .. }), "{length}");
    }
}

#[test]
fn what_is_not_ours_and_what_is_newer_is_told_apart() {
    let mut storage = FaultyStorage::new();
    let mut file = storage.create(FILE).unwrap();
    file.write_at(b"#!/bin/sh", 0).unwrap();
    let error = read(&storage).unwrap_err();
    assert!(matches!(error, SuperblockError::Foreign { .. }));
    let mut bytes = encode(&superblock(1), 1).repeat(2);
    bytes[COPY_BYTES + 11] = 4;
    bytes[COPY_BYTES + 23] = 2;
    seal(&mut bytes[COPY_BYTES..]);
    file.write_at(&bytes, 0).unwrap();
    let error = read(&storage).unwrap_err();
    assert!(matches!(
        error,
        SuperblockError::NewerVersion { version: 4, .. }
    ));
}

#[test]
fn nothing_that_may_stand_in_a_copy_makes_reading_panic() {
    let good = [
        encode(&superblock(1), 1),
        format_2(&superblock(1), 1),
        format_1(&superblock(1), 1),
    ];
    for good in good {
        for length in 0..good.len() {
            assert!(decode(&good[..length], 0).is_err(), "{length} bytes");
        }
        for offset in 0..good.len() {
            for value in [0, 1, 9, 10, 0x7f, 0xff] {
                let mut bytes = good.clone();
                bytes[offset] = value;
                let damaged = bytes != good;
                assert_eq!(decode(&bytes, 0).is_err(), damaged, "byte {offset}");
                // Even with a checksum that is right, which no accident makes.
                seal(&mut bytes);
                let _ = decode(&bytes, 0);
            }
        }
    }
}

#[test]
fn counts_and_lengths_beyond_what_there_can_be_are_damage() {
    let good = encode(&superblock(1), 1);
    let length = BigEndian::read_u32(&good[BODY - 4..BODY]);
    let bindings = BODY + 89;
    let changes: [(usize, u32); 7] = [
        (bindings, BINDINGS_MAX as u32 + 1),
        (bindings + 9, MEMBERS_MAX as u32 + 1),
        (11, 0),
        (BODY - 1, length - 1),
        (BODY - 1, length + 1),
        (BODY - 2, 0xff),
        (BODY - 4, 0xff),
    ];
    for (offset, value) in changes {
        let mut bytes = good.clone();
        bytes[offset] = value as u8;
        seal(&mut bytes);
        let decoded = decode(&bytes, 0);
        assert!(matches!(decoded, Err(BadCopy::Damaged)), "byte {offset}");
    }
}

#[test]
fn a_process_in_a_copied_folder_continues_none_of_its_original() {
    let mark = |made| {
        Some(FolderMark {
            directory: made,
            file: made,
        })
    };
    let next = Incarnation {
        counter: 9,
        random: 9,
    };
    for (folder, now, is_copy) in [
        (mark(1), mark(1), false),
        (mark(1), mark(2), true),
        // The system does not tell, or a file of an earlier version.
        (mark(1), None, false),
        (None, mark(2), false),
    ] {
        let mut superblock = Superblock {
            folder,
            ..superblock(1)
        };
        let descent = superblock.vote.descent.clone();
        assert_eq!(superblock.begin_process(next, now), is_copy);
        assert_eq!(superblock.vote.descent.is_empty(), is_copy);
        assert!(is_copy || superblock.vote.descent == descent);
        assert_eq!(superblock.incarnation, next);
    }
}

#[test]
fn a_second_process_with_the_same_file_ends_the_first_one_that_saves_after_it() {
    let mut storage = FaultyStorage::new();
    write(&mut storage, &superblock(1)).unwrap();
    let (mut first, _) = SuperblockFile::open(Box::new(storage.clone())).unwrap();
    first.save(&superblock(2)).unwrap();
    let (mut second, _) = SuperblockFile::open(Box::new(storage)).unwrap();
    second.save(&superblock(4)).unwrap();
    let refused = first.save(&superblock(3));
    assert!(matches!(refused, Err(SuperblockError::Shared { .. })));
    second.save(&superblock(5)).unwrap();
}
