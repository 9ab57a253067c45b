//! Creating and deleting accounts, and what of them is remembered.

use super::*;
use crate::limits::REMEMBERED_CREATIONS_MAX;

#[test]
fn an_account_is_found_by_its_name_and_its_id() {
    let mut world = World::new();
    let alice = world.create("alice");
    assert_eq!(world.state.account_named(name("alice")), Some(alice));
    let view = world.state.account(alice).unwrap();
    assert_eq!((view.name, view.password_version), (name("alice"), VERSION));
    assert_eq!(world.state.account_named(name("bob")), None);
    assert_eq!(world.state.account(AccountId(99)), None);
    let hash = "$argon2id$hash".to_owned();
    let created = Change::AccountCreated {
        id: alice,
        name: name("alice"),
        password_hash: hash,
    };
    assert_eq!(world.effects.changes, [created]);
}

#[test]
fn a_name_is_taken_once() {
    let mut world = World::new();
    let alice = world.create("alice");
    let outcome = world.apply(creation("ALICE", None));
    assert_eq!(outcome, refused(ErrorCode::NameTaken));
    assert!(world.effects.is_empty());
    assert_eq!(world.state.account_named(name("alice")), Some(alice));
}

#[test]
fn the_retry_of_a_creation_gets_its_first_outcome() {
    let mut world = World::new();
    let retry = Some(request(7, 1, 1));
    let outcome = world.apply(creation("alice", retry));
    assert_eq!(outcome, Outcome::Created(AccountId(1)));
    assert_eq!(
        world.state.recall_creation(SessionId(7), RequestNumber(1)),
        Some(outcome)
    );
    for _ in 0..3 {
        assert_eq!(world.apply(creation("alice", retry)), outcome);
        assert!(world.effects.is_empty());
    }
    // Also when the account has gone, and somebody else has its name.
    world.delete(AccountId(1));
    world.create("alice");
    assert_eq!(world.apply(creation("alice", retry)), outcome);
    assert_eq!(world.state.account_count(), 1);
}

#[test]
fn a_refused_creation_stays_refused() {
    let mut world = World::new();
    let alice = world.create("alice");
    let retry = Some(request(7, 1, 1));
    let outcome = world.apply(creation("alice", retry));
    assert_eq!(outcome, refused(ErrorCode::NameTaken));
    world.delete(alice);
    assert_eq!(world.apply(creation("alice", retry)), outcome);
    assert_eq!(world.state.account_named(name("alice")), None);
    // Another number is another request.
    let outcome = world.apply(creation("alice", Some(request(7, 2, 1))));
    assert_eq!(outcome, Outcome::Created(AccountId(world.op().0)));
}

#[test]
fn the_oldest_remembered_creation_is_forgotten_first() {
    let mut state = State::new();
    let mut effects = Effects::default();
    let mut create = |number: u64| {
        effects.clear();
        let op = state.applied().next();
        let operation = creation("alice", Some(request(7, number, 0)));
        let outcome = state.apply(op, Timestamp(0), &operation, &mut effects);
        (outcome, effects.changes.clone())
    };
    for number in 1..=REMEMBERED_CREATIONS_MAX as u64 {
        create(number);
    }
    assert_eq!(create(1).0, Outcome::Created(AccountId(1)));
    let (_, changes) = create(u64::MAX);
    let forgotten = Change::CreationForgotten { op: OpNumber(1) };
    assert_eq!(changes.len(), 2);
    assert_eq!(changes[0], forgotten);
    // The first is forgotten, the second is not.
    let (outcome, changes) = create(2);
    assert_eq!(outcome, refused(ErrorCode::NameTaken));
    assert_eq!(changes, []);
    let (outcome, changes) = create(1);
    assert_eq!(outcome, refused(ErrorCode::NameTaken));
    assert_eq!(changes.len(), 2);
    state.check_invariants();
    assert_eq!(state.image().creations.len(), REMEMBERED_CREATIONS_MAX);
}

#[test]
fn accounts_are_listed_in_slices_by_name() {
    let mut world = World::new();
    let [carol, alice, bob] = ["carol", "alice", "bob"].map(|one| world.create(one));
    let after = |from: Option<&str>| -> Vec<AccountId> {
        let accounts = world.state.accounts_after(from.map(name));
        accounts.map(|(_, id)| id).collect()
    };
    assert_eq!(after(None), [alice, bob, carol]);
    assert_eq!(after(Some("alice")), [bob, carol]);
    assert_eq!(after(Some("bilbo")), [bob, carol]);
    assert_eq!(after(Some("carol")), []);
    assert_eq!(world.state.account_count(), 3);
}

#[test]
fn a_deleted_account_frees_its_name_and_loses_everything() {
    let mut world = World::new();
    let alice = world.create("alice");
    let bob = world.create("bob");
    world.open(alice, 7);
    world.open(bob, 8);
    world.send(bob, "alice");
    let conversation = ConversationId(world.op().0);
    world.apply(acknowledging(
        without_session(alice),
        Some(conversation),
        u64::MAX,
    ));

    world.delete(alice);
    assert_eq!(world.effects.deleted, Some(alice));
    assert_eq!(world.effects.ended_session, None);
    let deleted = Change::AccountDeleted { id: alice };
    assert_eq!(world.effects.changes, [deleted]);
    assert_eq!(world.state.account(alice), None);
    assert_eq!(world.state.session(SessionId(7)), None);
    assert!(world.state.session(SessionId(8)).is_some());
    assert_eq!(world.state.cursors(alice), (OpNumber::ZERO, &[][..]));

    let second = world.create("alice");
    assert_ne!(second, alice);
    assert_eq!(world.state.conversation_between(second, bob), None);
    assert_eq!(world.state.cursors(second), (OpNumber::ZERO, &[][..]));
}

#[test]
fn a_conversation_stays_while_one_of_its_members_lives() {
    let mut world = World::new();
    let alice = world.create("alice");
    let bob = world.create("bob");
    world.send(alice, "bob");
    let shared = ConversationId(world.op().0);
    world.send(alice, "alice");
    let own = ConversationId(world.op().0);

    world.delete(alice);
    assert_eq!(world.state.members(shared), Some([alice, bob]));
    assert_eq!(world.state.members(own), None);
    assert_eq!(world.state.conversation_between(alice, alice), None);
    world.delete(bob);
    assert_eq!(world.state.members(shared), None);
    assert_eq!(world.state.conversation_between(bob, alice), None);
}

#[test]
fn a_deletion_needs_the_password_that_is_current_when_it_is_applied() {
    let mut world = World::new();
    let alice = world.create("alice");
    let outdated = PasswordVersion(1);
    let outcome = world.apply(deletion(without_session(alice), outdated));
    assert_eq!(outcome, refused(ErrorCode::BadLogin));
    assert!(world.effects.is_empty());
    // In a session that refusal is remembered like any other.
    world.open(alice, 7);
    let outcome = world.apply(deletion(within(alice, 7, 1, 1), outdated));
    assert_eq!(outcome, refused(ErrorCode::BadLogin));
    let outcome = world.apply(deletion(within(alice, 7, 1, 1), VERSION));
    assert_eq!(outcome, refused(ErrorCode::BadLogin));
    assert!(world.state.account(alice).is_some());
}

#[test]
fn the_retry_of_a_deletion_finds_its_session_gone() {
    let mut world = World::new();
    let alice = world.create("alice");
    world.open(alice, 7);
    let operation = deletion(within(alice, 7, 1, 1), VERSION);
    assert_eq!(world.apply(operation.clone()), Outcome::Deleted);
    let outcome = world.apply(operation);
    assert_eq!(outcome, refused(ErrorCode::SessionGone));
    assert!(world.effects.is_empty());
}

#[test]
fn the_dead_are_not_logged_in() {
    let mut world = World::new();
    let alice = world.create("alice");
    world.create("bob");
    world.delete(alice);
    for account in [alice, AccountId(0), AccountId(u64::MAX)] {
        let origin = without_session(account);
        for operation in [
            sending(origin, "bob", "hello"),
            acknowledging(origin, None, 1),
            closing(origin),
            deletion(origin, VERSION),
        ] {
            let outcome = world.apply(operation);
            assert_eq!(outcome, refused(ErrorCode::NotLoggedIn));
            assert!(world.effects.is_empty());
        }
    }
}
