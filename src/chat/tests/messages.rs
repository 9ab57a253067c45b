//! Sending and reading.

use super::*;
use crate::chat::Sent;
use crate::chat::change::Message;

#[test]
fn the_first_message_begins_the_conversation() {
    let mut world = World::new();
    let alice = world.create("alice");
    let bob = world.create("bob");
    assert_eq!(world.state.conversation_between(alice, bob), None);

    let outcome = world.apply(sending(without_session(bob), "alice", "hi, alice"));
    let id = world.op();
    let conversation = ConversationId(id.0);
    assert_eq!(outcome, Outcome::Sent(id));
    let message = Message {
        id,
        time: Timestamp(1000),
        conversation,
        sender: bob,
        recipient: alice,
        text: "hi, alice".to_owned(),
    };
    let begun = Change::ConversationBegun {
        id: conversation,
        members: [alice, bob],
    };
    assert_eq!(world.effects.changes, [begun, Change::MessageSent(message)]);
    let sent = Sent {
        id,
        time: Timestamp(1000),
        conversation,
        sender: bob,
        recipient: alice,
        sender_name: name("bob"),
        recipient_name: name("alice"),
        text: "hi, alice",
    };
    assert_eq!(world.effects.message, Some(sent));
    assert_eq!(world.state.members(conversation), Some([alice, bob]));

    world.send(alice, "bob");
    assert_eq!(world.effects.message.unwrap().conversation, conversation);
    assert_eq!(world.effects.changes.len(), 1);
    let found = world.state.conversation_between(bob, alice);
    assert_eq!(found, Some(conversation));
}

#[test]
fn one_can_write_to_oneself() {
    let mut world = World::new();
    let alice = world.create("alice");
    assert_eq!(world.send(alice, "alice"), Outcome::Sent(OpNumber(2)));
    let conversation = ConversationId(2);
    assert_eq!(world.state.members(conversation), Some([alice, alice]));
    assert_eq!(world.effects.message.unwrap().recipient, alice);
    let found = world.state.conversation_between(alice, alice);
    assert_eq!(found, Some(conversation));
}

#[test]
fn a_message_to_nobody_is_refused() {
    let mut world = World::new();
    let alice = world.create("alice");
    let bob = world.create("bob");
    world.delete(bob);
    assert_eq!(world.send(alice, "bob"), refused(ErrorCode::NoSuchAccount));
    assert!(world.effects.is_empty());
    assert_eq!(world.state.conversation_between(alice, bob), None);
}

#[test]
fn the_recipient_is_whoever_has_the_name_when_it_is_applied() {
    let mut world = World::new();
    let alice = world.create("alice");
    let first = world.create("bob");
    world.send(alice, "bob");
    world.delete(first);
    let second = world.create("bob");
    world.send(alice, "bob");
    assert_eq!(world.effects.message.unwrap().recipient, second);
    assert_eq!(
        world.effects.message.unwrap().conversation,
        ConversationId(world.op().0)
    );
}

#[test]
fn times_never_go_back() {
    let mut world = World::new();
    let alice = world.create("alice");
    let mut times = Vec::new();
    for time in [500, 500, 200, 499, 700] {
        world.time = Timestamp(time);
        world.send(alice, "alice");
        times.push(world.effects.message.unwrap().time.0);
        assert_eq!(world.state.clock(), world.effects.message.unwrap().time);
    }
    assert_eq!(times, [500, 500, 500, 500, 700]);
    // Nothing but a message moves the clock.
    world.time = Timestamp(9000);
    world.create("bob");
    assert_eq!(world.state.clock(), Timestamp(700));
}

#[test]
fn everything_is_read_up_to_what_there_is() {
    let mut world = World::new();
    let alice = world.create("alice");
    world.send(alice, "alice");
    let newest = world.op();

    let outcome = world.apply(acknowledging(without_session(alice), None, u64::MAX));
    assert_eq!(outcome, Outcome::Acknowledged(newest));
    let all_read = Change::AllRead {
        account: alice,
        up_to: newest,
    };
    assert_eq!(world.effects.changes, [all_read]);
    // What comes later is unread: its id is above.
    world.send(alice, "alice");
    assert!(world.state.cursors(alice).0 < world.op());
}

#[test]
fn cursors_move_up_only() {
    let mut world = World::new();
    let alice = world.create("alice");
    for _ in 0..9 {
        world.send(alice, "alice");
    }
    let origin = without_session(alice);
    let own = Some(ConversationId(2));
    let mut read = |conversation, up_to| {
        let outcome = world.apply(acknowledging(origin, conversation, up_to));
        (outcome, !world.effects.is_empty())
    };
    let acknowledged = |up_to| Outcome::Acknowledged(OpNumber(up_to));
    assert_eq!(read(None, 5), (acknowledged(5), true));
    assert_eq!(read(None, 5), (acknowledged(5), false));
    assert_eq!(read(None, 3), (acknowledged(5), false));
    // A conversation is read as far as all of them at least.
    assert_eq!(read(own, 4), (acknowledged(5), false));
    assert_eq!(read(own, 8), (acknowledged(8), true));
    assert_eq!(read(own, 6), (acknowledged(8), false));
    assert_eq!(read(None, 0), (acknowledged(5), false));
}

#[test]
fn a_single_cursor_goes_when_everything_is_read_that_far() {
    let mut world = World::new();
    let alice = world.create("alice");
    let bob = world.create("bob");
    world.send(alice, "bob");
    let first = ConversationId(world.op().0);
    world.send(bob, "bob");
    let second = ConversationId(world.op().0);
    for _ in 0..6 {
        world.send(bob, "bob");
    }
    let origin = without_session(bob);
    world.apply(acknowledging(origin, Some(second), 8));
    world.apply(acknowledging(origin, Some(first), 6));
    let both = [(first, OpNumber(6)), (second, OpNumber(8))];
    assert_eq!(world.state.cursors(bob), (OpNumber::ZERO, &both[..]));

    world.apply(acknowledging(origin, None, 6));
    assert_eq!(world.state.cursors(bob), (OpNumber(6), &both[1..]));
    world.apply(acknowledging(origin, None, 8));
    assert_eq!(world.state.cursors(bob), (OpNumber(8), &[][..]));
}

#[test]
fn only_members_read_a_conversation() {
    let mut world = World::new();
    let alice = world.create("alice");
    let bob = world.create("bob");
    let carol = world.create("carol");
    world.send(alice, "bob");
    let conversation = ConversationId(world.op().0);
    for unknown in [conversation, ConversationId(0), ConversationId(u64::MAX)] {
        let operation = acknowledging(without_session(carol), Some(unknown), 4);
        let outcome = world.apply(operation);
        assert_eq!(outcome, refused(ErrorCode::BadArguments));
        assert!(world.effects.is_empty());
    }
    // One who is left may.
    world.delete(alice);
    let outcome = world.apply(acknowledging(without_session(bob), Some(conversation), 4));
    assert_eq!(outcome, Outcome::Acknowledged(OpNumber(4)));
}
