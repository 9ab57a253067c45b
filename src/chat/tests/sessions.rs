//! Opening and closing sessions, and which one is let go.

use super::*;
use crate::limits::ACCOUNT_SESSIONS_MAX;

#[test]
fn a_session_needs_the_password_that_is_current_when_it_is_applied() {
    let mut world = World::new();
    let alice = world.create("alice");
    let outcome = world.apply(opening(alice, PasswordVersion(1), 7, 1));
    assert_eq!(outcome, refused(ErrorCode::BadLogin));
    let outcome = world.apply(opening(AccountId(99), VERSION, 7, 1));
    assert_eq!(outcome, refused(ErrorCode::BadLogin));
    assert_eq!(world.state.session(SessionId(7)), None);
    world.delete(alice);
    let outcome = world.apply(opening(alice, VERSION, 7, 1));
    assert_eq!(outcome, refused(ErrorCode::BadLogin));
    assert!(world.effects.is_empty());
}

#[test]
fn opening_again_changes_the_secret_and_keeps_the_answers() {
    let mut world = World::new();
    let alice = world.create("alice");
    world.open(alice, 7);
    let operation = sending(within(alice, 7, 5, 4), "alice", "hello");
    let first = world.apply(operation.clone());

    let outcome = world.apply(opening(alice, VERSION, 7, 2));
    assert_eq!(outcome, Outcome::SessionOpened);
    assert!(world.effects.is_empty());
    let view = world.state.session(SessionId(7)).unwrap();
    assert_eq!(view.account, alice);
    assert!(view.secret_hash == SecretHash([2; 32]));
    assert_eq!(world.apply(operation), first);
    let outcome = world.apply(sending(within(alice, 7, 3, 3), "alice", "hello"));
    assert_eq!(outcome, refused(ErrorCode::StaleRequest));
}

#[test]
fn a_session_of_somebody_else_cannot_be_opened() {
    let mut world = World::new();
    let alice = world.create("alice");
    let bob = world.create("bob");
    world.open(alice, 7);
    let outcome = world.apply(opening(bob, VERSION, 7, 2));
    assert_eq!(outcome, refused(ErrorCode::BadArguments));
    // With a wrong password one does not even learn that there is such a session.
    let outcome = world.apply(opening(bob, PasswordVersion(1), 7, 2));
    assert_eq!(outcome, refused(ErrorCode::BadLogin));
    let view = world.state.session(SessionId(7)).unwrap();
    assert!(view.account == alice && view.secret_hash == SecretHash([1; 32]));
    // After its end it may be anybody's.
    world.apply(closing(within(alice, 7, 1, 1)));
    world.open(bob, 7);
    assert_eq!(world.state.session(SessionId(7)).unwrap().account, bob);
}

#[test]
fn the_least_recently_used_session_is_let_go() {
    let mut world = World::new();
    let alice = world.create("alice");
    let bob = world.create("bob");
    world.open(bob, 1000);
    let all = ACCOUNT_SESSIONS_MAX as u128;
    for session in 1..=all {
        world.open(alice, session);
    }
    // In use: 1 by a new request, 2 by a repeated one, 3 by a login; 4 by nothing that counts.
    world.apply(sending(within(alice, 2, 1, 1), "alice", "hello"));
    world.apply(sending(within(alice, 4, 9, 9), "alice", "hello"));
    for session in 5..=all {
        world.open(alice, session);
    }
    world.apply(sending(within(alice, 1, 1, 1), "alice", "hello"));
    world.apply(sending(within(alice, 2, 1, 1), "alice", "hello"));
    world.open(alice, 3);
    let stale = world.apply(sending(within(alice, 4, 8, 8), "alice", "hello"));
    assert_eq!(stale, refused(ErrorCode::StaleRequest));
    let malformed = world.apply(sending(within(alice, 4, 10, 11), "alice", "hello"));
    assert_eq!(malformed, refused(ErrorCode::BadArguments));

    let order = std::iter::once(4).chain(5..=all).chain([1, 2, 3]);
    for (oldest, session) in order.zip(100..) {
        world.open(alice, session);
        let session = SessionId(oldest);
        assert_eq!(world.effects.ended_session, Some(session));
        let ended = Change::SessionEnded { session };
        assert_eq!(world.effects.changes, [ended]);
        assert_eq!(world.state.session(session), None);
    }
    assert!(world.state.session(SessionId(1000)).is_some());
    let origin = within(alice, 4, 10, 9);
    let outcome = world.apply(sending(origin, "alice", "hello"));
    assert_eq!(outcome, refused(ErrorCode::SessionGone));
}

#[test]
fn closing_ends_the_session_and_its_retry_finds_it_gone() {
    let mut world = World::new();
    let alice = world.create("alice");
    world.open(alice, 7);
    world.open(alice, 8);
    let operation = closing(within(alice, 7, 1, 1));
    assert_eq!(world.apply(operation.clone()), Outcome::SessionClosed);
    assert_eq!(world.effects.ended_session, Some(SessionId(7)));
    assert_eq!(world.state.session(SessionId(7)), None);
    assert!(world.state.session(SessionId(8)).is_some());
    let outcome = world.apply(operation);
    assert_eq!(outcome, refused(ErrorCode::SessionGone));
    assert!(world.effects.is_empty());
}

#[test]
fn closing_without_a_session_ends_nothing() {
    let mut world = World::new();
    let alice = world.create("alice");
    world.open(alice, 7);
    let outcome = world.apply(closing(without_session(alice)));
    assert_eq!(outcome, Outcome::SessionClosed);
    assert!(world.effects.is_empty());
    assert!(world.state.session(SessionId(7)).is_some());
}

#[test]
fn sessions_are_handed_over_once_a_turn() {
    let mut state = State::new();
    let mut effects = Effects::default();
    let alice = AccountId(1);
    let turn = [
        creation("alice", None),
        opening(alice, VERSION, 9, 1),
        opening(alice, VERSION, 7, 1),
        opening(alice, VERSION, 8, 1),
        sending(within(alice, 7, 1, 1), "alice", "hello"),
        sending(within(alice, 9, 1, 1), "alice", "hello"),
        closing(within(alice, 8, 1, 1)),
        // Ended and come again within a turn: once, and after its end.
        closing(within(alice, 9, 2, 1)),
        opening(alice, VERSION, 9, 2),
    ];
    for (operation, op) in turn.iter().zip(1..) {
        state.apply(OpNumber(op), Timestamp(0), operation, &mut effects);
    }
    let handed_over = |state: &mut State| {
        let mut changes = Vec::new();
        state.flush_sessions(&mut changes);
        let id = |change| match change {
            Change::Session(image) => image.id.0,
            other => panic!("{other:?}"),
        };
        changes.into_iter().map(id).collect::<Vec<_>>()
    };
    assert_eq!(handed_over(&mut state), [9, 7]);
    assert_eq!(handed_over(&mut state), []);
    let again = sending(within(alice, 7, 1, 1), "alice", "hello");
    state.apply(OpNumber(20), Timestamp(0), &again, &mut effects);
    assert_eq!(handed_over(&mut state), [7]);
}
