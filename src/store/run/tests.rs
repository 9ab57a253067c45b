//! Are the ids of a run what was put into it, and is everything else found out?

use proptest::prelude::*;

use super::*;

const LIST: List = List { owner: 7, part: 3 };

fn run_of(ids: &[i64]) -> OpenRun {
    let mut open = OpenRun::new(ids[0]);
    ids[1..].iter().for_each(|id| open.push(*id).unwrap());
    open
}

fn ascending() -> impl Strategy<Value = Vec<i64>> {
    let difference = prop_oneof![4 => 1..200_i64, 1 => 1..1_000_000_i64, 1 => 1..1_i64 << 40];
    (0..1_i64 << 50, prop::collection::vec(difference, 0..40)).prop_map(|(first, differences)| {
        let mut ids = vec![first];
        ids.extend(differences.iter().scan(first, |last, difference| {
            *last += difference;
            Some(*last)
        }));
        ids
    })
}

proptest! {
    #[test]
    fn the_ids_of_a_run_are_those_that_were_added(ids in ascending(), at: prop::sample::Index) {
        let open = run_of(&ids);
        prop_assert_eq!(open.run.ids(LIST).unwrap(), &ids[..]);
        prop_assert_eq!(open.run.count, ids.len() as u64);
        // Nor does it matter whether they came one by one, or what was written between.
        let (before, after) = ids.split_at(1 + at.index(ids.len()));
        let mut again = OpenRun::reopened(run_of(before).run, LIST).unwrap();
        if !after.is_empty() {
            let after = run_of(after);
            prop_assert!(again.has_room_for(&after, usize::MAX));
            again.append(&after).unwrap();
        }
        prop_assert_eq!(again, open);
    }

    #[test]
    fn an_id_that_is_not_above_the_last_one_is_refused(ids in ascending(), below in 0..1000_i64) {
        let mut open = run_of(&ids);
        let before = open.clone();
        prop_assert!(open.push(ids.last().unwrap() - below).is_err());
        prop_assert_eq!(open, before);
    }

    #[test]
    fn a_row_that_is_none_is_an_error_and_no_panic(
        first: i64,
        count in prop_oneof![0..40_u64, any::<u64>()],
        differences in prop::collection::vec(prop_oneof![0..4_u8, any::<u8>()], 0..40),
    ) {
        let run = Run { first, count, differences };
        if let Ok(ids) = run.ids(LIST) {
            prop_assert_eq!(ids.len() as u64, count);
            prop_assert!(ids.is_sorted_by(|one, next| one < next));
        }
    }

    #[test]
    fn a_row_that_has_changed_or_is_elsewhere_does_not_add_up(ids in ascending(), bit: prop::sample::Index) {
        let run = run_of(&ids).run;
        let sum = run.checksum(LIST);
        let mut others = vec![
            (Run { first: run.first + 1, ..run.clone() }, LIST),
            (Run { count: run.count + 1, ..run.clone() }, LIST),
            (run.clone(), List { owner: 8, ..LIST }),
            (run.clone(), List { part: -1, ..LIST }),
        ];
        if !run.differences.is_empty() {
            let mut other = run.clone();
            let bit = bit.index(other.differences.len() * 8);
            other.differences[bit / 8] ^= 1 << (bit % 8);
            others.push((other, LIST));
        }
        for (run, list) in others {
            prop_assert_ne!(run.checksum(list), sum);
        }
    }

    #[test]
    fn no_run_is_longer_than_it_may_be(ids in ascending(), bytes_max in 0..60_usize) {
        let mut open = OpenRun::new(ids[0]);
        for id in &ids[1..] {
            if open.has_room(bytes_max) {
                open.push(*id).unwrap();
            }
        }
        prop_assert!(open.run.differences.len() <= bytes_max);
    }
}
