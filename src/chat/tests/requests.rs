//! What makes a retry safe, and in which order a request is looked at.

use super::*;
use crate::limits::SESSION_OPEN_REQUESTS_MAX;

/// Alice, with session 7.
fn alice_in_session() -> (World, AccountId) {
    let mut world = World::new();
    let alice = world.create("alice");
    world.open(alice, 7);
    (world, alice)
}

/// A message of alice to herself.
fn message(alice: AccountId, number: u64, lowest_open: u64) -> ChatOp<'static> {
    sending(within(alice, 7, number, lowest_open), "alice", "hello")
}

/// What the session remembers.
fn remembered(world: &World) -> Vec<u64> {
    let image = world.state.image();
    let answers = image.sessions[0].answers.iter();
    answers.map(|(number, _)| number.0).collect()
}

#[test]
fn a_repeated_request_is_answered_and_not_repeated() {
    let (mut world, alice) = alice_in_session();
    let first = world.apply(message(alice, 1, 1));
    assert_eq!(first, Outcome::Sent(OpNumber(3)));
    for _ in 0..3 {
        assert_eq!(world.apply(message(alice, 1, 1)), first);
        assert!(world.effects.is_empty());
    }
    // Whatever it asks for now: the number is what counts.
    let other = acknowledging(within(alice, 7, 1, 1), None, 1);
    assert_eq!(world.apply(other), first);
    let other = closing(within(alice, 7, 1, 1));
    assert_eq!(world.apply(other), first);
    assert!(world.effects.is_empty());
    assert!(world.state.session(SessionId(7)).is_some());
}

#[test]
fn refusals_of_what_was_asked_are_remembered() {
    let (mut world, alice) = alice_in_session();
    let to_bob = sending(within(alice, 7, 1, 1), "bob", "hello");
    let refusal = refused(ErrorCode::NoSuchAccount);
    assert_eq!(world.apply(to_bob.clone()), refusal);
    world.create("bob");
    assert_eq!(world.apply(to_bob), refusal);

    let unknown = Some(ConversationId(99));
    let operation = acknowledging(within(alice, 7, 2, 1), unknown, 1);
    let refusal = refused(ErrorCode::BadArguments);
    assert_eq!(world.apply(operation), refusal);
    assert_eq!(world.apply(message(alice, 2, 1)), refusal);
    assert_eq!(remembered(&world), [1, 2]);
}

#[test]
fn a_session_that_is_not_open_or_not_ones_own_is_gone() {
    let (mut world, alice) = alice_in_session();
    let bob = world.create("bob");
    for origin in [
        within(alice, 8, 1, 1),
        within(bob, 7, 1, 1),
        within(AccountId(99), 7, 1, 1),
        // Before anything else is looked at.
        within(bob, 7, 1, 2),
    ] {
        for operation in [
            sending(origin, "alice", "hello"),
            acknowledging(origin, None, 1),
            closing(origin),
            deletion(origin, VERSION),
        ] {
            let outcome = world.apply(operation);
            assert_eq!(outcome, refused(ErrorCode::SessionGone));
            assert!(world.effects.is_empty());
        }
    }
    assert!(remembered(&world).is_empty());
}

#[test]
fn what_the_client_called_closed_is_stale() {
    let (mut world, alice) = alice_in_session();
    for number in 1..=5 {
        world.apply(message(alice, number, 1));
    }
    world.apply(message(alice, 6, 4));
    assert_eq!(remembered(&world), [4, 5, 6]);
    for number in [0, 1, 3] {
        let outcome = world.apply(message(alice, number, 0));
        assert_eq!(outcome, refused(ErrorCode::StaleRequest));
        assert!(world.effects.is_empty());
    }
    let repeated = world.apply(message(alice, 4, 4));
    assert_eq!(repeated, Outcome::Sent(OpNumber(6)));
}

#[test]
fn the_lowest_open_number_never_falls() {
    let (mut world, alice) = alice_in_session();
    world.apply(message(alice, 10, 10));
    // Sent before, came later: its lower number means nothing.
    world.apply(message(alice, 11, 2));
    assert_eq!(remembered(&world), [10, 11]);
    let outcome = world.apply(message(alice, 9, 2));
    assert_eq!(outcome, refused(ErrorCode::StaleRequest));
    // A repeated request may raise it, too.
    world.apply(message(alice, 11, 11));
    assert_eq!(remembered(&world), [11]);
}

#[test]
fn a_request_that_calls_itself_closed_is_malformed() {
    let (mut world, alice) = alice_in_session();
    world.apply(message(alice, 5, 5));
    for (number, lowest_open) in [(6, 7), (5, 6), (4, 5), (0, u64::MAX)] {
        let outcome = world.apply(message(alice, number, lowest_open));
        assert_eq!(outcome, refused(ErrorCode::BadArguments));
        assert!(world.effects.is_empty());
    }
    // It left no trace.
    assert_eq!(remembered(&world), [5]);
    let outcome = world.apply(message(alice, 6, 5));
    assert_eq!(outcome, Outcome::Sent(world.op()));
}

#[test]
fn so_many_requests_may_be_open_and_not_one_more() {
    let (mut world, alice) = alice_in_session();
    world.apply(message(alice, 1, 1));
    let highest = SESSION_OPEN_REQUESTS_MAX;
    let outcome = world.apply(message(alice, highest, 1));
    assert_eq!(outcome, Outcome::Sent(world.op()));
    for (number, lowest_open) in [(highest + 1, 1), (u64::MAX, 0), (highest + 2, 2)] {
        let outcome = world.apply(message(alice, number, lowest_open));
        assert_eq!(outcome, refused(ErrorCode::BadArguments));
    }
    // Nothing of that is remembered, not even the lowest open number.
    assert_eq!(remembered(&world), [1, highest]);
    let outcome = world.apply(message(alice, highest + 1, 2));
    assert_eq!(outcome, Outcome::Sent(world.op()));
    assert_eq!(remembered(&world), [highest, highest + 1]);
}

#[test]
fn numbers_may_begin_anywhere_and_end_at_the_highest() {
    let (mut world, alice) = alice_in_session();
    let outcome = world.apply(message(alice, u64::MAX - 1, u64::MAX - 1));
    assert_eq!(outcome, Outcome::Sent(world.op()));
    let last = world.apply(message(alice, u64::MAX, u64::MAX));
    assert_eq!(last, Outcome::Sent(world.op()));
    assert_eq!(world.apply(message(alice, u64::MAX, 0)), last);
    assert_eq!(remembered(&world), [u64::MAX]);
}

#[test]
fn requests_that_overtake_each_other_are_remembered_in_their_order() {
    let (mut world, alice) = alice_in_session();
    let mut outcomes = Vec::new();
    for number in [3, 1, 4, 2] {
        outcomes.push((number, world.apply(message(alice, number, 1))));
    }
    assert_eq!(remembered(&world), [1, 2, 3, 4]);
    for (number, outcome) in outcomes {
        assert_eq!(world.apply(message(alice, number, 1)), outcome);
    }
}

#[test]
fn answers_are_kept_for_each_session_apart() {
    let (mut world, alice) = alice_in_session();
    world.open(alice, 8);
    let first = world.apply(message(alice, 1, 1));
    let second = world.apply(sending(within(alice, 8, 1, 1), "alice", "hello"));
    assert_ne!(first, second);
    assert_eq!(world.apply(message(alice, 1, 1)), first);
}

#[test]
#[should_panic(expected = "op 2 after op 2")]
fn an_op_that_was_applied_is_not_applied_again() {
    let (mut world, alice) = alice_in_session();
    let operation = message(alice, 1, 1);
    let time = world.time;
    world
        .state
        .apply(OpNumber(2), time, &operation, &mut world.effects);
}
