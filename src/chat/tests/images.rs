//! The state as a whole, out and in; and what is no state.

use super::*;
use crate::chat::InvalidImage;
use crate::limits::{ACCOUNT_SESSIONS_MAX, REMEMBERED_CREATIONS_MAX, SESSION_OPEN_REQUESTS_MAX};

/// Two accounts and something of everything. Accounts 1 and 2, conversations 3 (of both) and
/// 4 (of 1 alone), sessions 7 (of 1, with answers 1 and 2) and 8 (of 2), cursors in both
/// conversations for 1, two remembered creations.
fn image_of_everything() -> Image {
    let mut world = World::new();
    world.apply(creation("alice", Some(request(70, 1, 1))));
    world.apply(creation("bob", Some(request(80, 1, 1))));
    let [alice, bob] = [AccountId(1), AccountId(2)];
    world.send(bob, "alice");
    world.send(alice, "alice");
    world.open(alice, 7);
    world.open(bob, 8);
    world.apply(sending(within(alice, 7, 1, 1), "bob", "hello"));
    world.apply(sending(within(alice, 7, 2, 1), "nobody", "hello"));
    let origin = without_session(alice);
    world.apply(acknowledging(origin, None, 2));
    world.apply(acknowledging(origin, Some(ConversationId(3)), 5));
    world.apply(acknowledging(origin, Some(ConversationId(4)), 6));
    world.state.image()
}

/// What is wrong with the image of everything after `spoil`.
fn spoiled(spoil: impl FnOnce(&mut Image)) -> String {
    let mut image = image_of_everything();
    spoil(&mut image);
    match State::restore(&image) {
        Ok(_) => panic!("restored {image:?}"),
        Err(wrong) => wrong.to_string(),
    }
}

#[test]
fn nothing_is_nothing() {
    let state = State::restore(&Image::empty()).unwrap();
    state.check_invariants();
    assert_eq!(state.image(), Image::empty());
    assert_eq!(State::new().image(), Image::empty());
}

#[test]
fn what_was_written_down_is_taken_up_again() {
    let image = image_of_everything();
    let state = State::restore(&image).unwrap();
    state.check_invariants();
    assert_eq!(state.image(), image);
    assert_eq!(state.applied(), OpNumber(11));
    assert_eq!(state.clock(), Timestamp(1000));
    assert_eq!(state.account_named(name("bob")), Some(AccountId(2)));
    let between = state.conversation_between(AccountId(1), AccountId(2));
    assert_eq!(between, Some(ConversationId(3)));
    let created = state.recall_creation(SessionId(80), RequestNumber(1));
    assert_eq!(created, Some(Outcome::Created(AccountId(2))));
    // Nothing has changed since.
    let mut changes = Vec::new();
    let mut state = state;
    state.flush_sessions(&mut changes);
    assert_eq!(changes, []);
}

#[test]
fn lists_out_of_order_are_no_state() {
    for (list, spoil) in [
        ("accounts", (|i| i.accounts.swap(0, 1)) as fn(&mut Image)),
        ("conversations", |i| i.conversations.swap(0, 1)),
        ("conversations", |i| {
            i.conversations[1].0 = ConversationId(3)
        }),
        ("sessions", |i| i.sessions.swap(0, 1)),
        ("answers", |i| i.sessions[0].answers.swap(0, 1)),
        ("cursors", |i| i.accounts[0].read_up_to.swap(0, 1)),
        ("account creations", |i| i.creations.swap(0, 1)),
    ] {
        assert_eq!(spoiled(spoil), format!("the {list} are out of order"));
    }
}

#[test]
fn accounts_that_contradict_are_no_state() {
    for (sentence, spoil) in [
        (
            "another account has its name",
            (|i| i.accounts[0].name = name("bob")) as fn(&mut Image),
        ),
        ("no applied op has created it", |i| {
            i.accounts[1].id = AccountId(12);
        }),
        ("no applied op has created it", |i| {
            i.accounts[0].id = AccountId(0);
        }),
        ("it has read what does not exist yet", |i| {
            i.accounts[1].all_read_up_to = OpNumber(12);
        }),
        ("a cursor says nothing new", |i| {
            i.accounts[0].all_read_up_to = OpNumber(5);
        }),
        ("or points beyond the last op", |i| {
            i.accounts[0].read_up_to[0].1 = OpNumber(12);
        }),
        ("a cursor points to a conversation of others", |i| {
            let cursor = (ConversationId(4), OpNumber(5));
            i.accounts[1].read_up_to.push(cursor);
        }),
        ("a cursor points to a conversation of others", |i| {
            let cursor = (ConversationId(5), OpNumber(5));
            i.accounts[1].read_up_to.push(cursor);
        }),
    ] {
        let wrong = spoiled(spoil);
        assert!(wrong.contains(sentence), "{wrong} is not {sentence}");
        assert!(wrong.starts_with("account "), "{wrong}");
    }
}

#[test]
fn conversations_that_contradict_are_no_state() {
    for (sentence, spoil) in [
        (
            "its members have another one",
            (|i| i.conversations[1].1 = i.conversations[0].1) as fn(&mut Image),
        ),
        ("its members are disordered", |i| {
            i.conversations[0].1.reverse();
        }),
        ("its first message is not applied", |i| {
            i.conversations[1].0 = ConversationId(12);
        }),
        ("its first message is not applied", |i| {
            i.conversations[0].0 = ConversationId(2);
        }),
        ("nobody is left to read it", |i| {
            let [third, fourth] = [AccountId(3), AccountId(4)];
            i.conversations.push((ConversationId(5), [third, fourth]));
        }),
    ] {
        let wrong = spoiled(spoil);
        assert!(wrong.contains(sentence), "{wrong} is not {sentence}");
        assert!(wrong.starts_with("conversation "), "{wrong}");
    }
}

#[test]
fn sessions_that_contradict_are_no_state() {
    for (sentence, spoil) in [
        (
            "its account does not live",
            (|i| i.sessions[0].account = AccountId(3)) as fn(&mut Image),
        ),
        ("an op that is not applied has used it", |i| {
            i.sessions[0].last_used = OpNumber(12);
        }),
        ("of a request that is not open", |i| {
            i.sessions[0].lowest_open = RequestNumber(2);
        }),
        ("of a request that is not open", |i| {
            let beyond = RequestNumber(1 + SESSION_OPEN_REQUESTS_MAX);
            i.sessions[0].answers[1].0 = beyond;
        }),
        ("its account has too many", |i| {
            for id in 0..ACCOUNT_SESSIONS_MAX as u128 {
                let mut session = i.sessions[1].clone();
                session.id = SessionId(100 + id);
                i.sessions.push(session);
            }
        }),
    ] {
        let wrong = spoiled(spoil);
        assert!(wrong.contains(sentence), "{wrong} is not {sentence}");
        assert!(wrong.starts_with("session 0000"), "{wrong}");
    }
}

#[test]
fn creations_that_contradict_are_no_state() {
    for (sentence, spoil) in [
        (
            "no applied op has answered it",
            (|i| i.creations[1].op = OpNumber(12)) as fn(&mut Image),
        ),
        ("no applied op has answered it", |i| {
            i.creations[0].op = OpNumber(0);
        }),
        ("it is remembered twice", |i| {
            i.creations[1].session = SessionId(70);
        }),
        ("too many are remembered", |i| {
            i.applied = OpNumber(1_000_000);
            for number in 0..REMEMBERED_CREATIONS_MAX as u64 {
                let mut creation = i.creations[1];
                creation.op = OpNumber(3 + number);
                creation.number = RequestNumber(3 + number);
                i.creations.push(creation);
            }
        }),
    ] {
        let wrong = spoiled(spoil);
        assert!(wrong.contains(sentence), "{wrong} is not {sentence}");
        assert!(wrong.starts_with("the account creation "), "{wrong}");
    }
}

#[test]
fn an_error_names_what_is_wrong() {
    let mut image = image_of_everything();
    image.sessions[1].account = AccountId(3);
    let wrong = State::restore(&image).unwrap_err();
    let expected = InvalidImage::Session {
        session: SessionId(8),
        what: "its account does not live",
    };
    assert_eq!(wrong, expected);
}
