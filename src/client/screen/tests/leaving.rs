//! How it ends.

use super::*;

#[test]
fn ctrl_c_ends_the_session_and_then_the_screen() {
    let mut person = Person::with_bob(WIDE);
    person.control('c');
    assert_eq!(person.sent, "send 5 (5..) Logout\n");
    person.sees("leaving…");
    assert_eq!(person.screen.exit(), None);
    person.hears(Server::default().answer(5, Answer::LoggedOut));
    assert_eq!(person.screen.exit(), Some(Exit::Signal(2)));
    assert_eq!(person.screen.farewell(), "");
}

#[test]
fn nobody_waits_long_for_the_end_of_a_session() {
    let mut person = Person::with_bob(WIDE);
    person
        .screen
        .handle_signal(15, &mut person.client, person.now);
    person.turn();
    assert_eq!(person.sent, "send 5 (5..) Logout\n");
    person.waits(499);
    assert_eq!(person.screen.exit(), None);
    person.waits(1);
    assert_eq!(person.screen.exit(), Some(Exit::Signal(15)));

    let mut person = Person::with_bob(WIDE);
    person.control('c');
    person.control('c');
    assert_eq!(person.screen.exit(), Some(Exit::Signal(2)));

    let mut person = Person::at(WIDE);
    person.control('c');
    assert_eq!(person.screen.exit(), Some(Exit::Signal(2)));
}

#[test]
fn what_was_not_acknowledged_is_named_at_the_end() {
    let mut person = Person::with_bob(WIDE);
    person.types("one\ntwo\n");
    person.hears(sent_as(5, 41));
    person.types("/quit\n");
    person.sees("1 not acknowledged yet; /quit again leaves");
    assert_eq!(person.screen.exit(), None);
    person.types("\n");
    person.waits(500);
    assert_eq!(person.screen.exit(), Some(Exit::Done));
    assert_eq!(
        person.screen.farewell(),
        "not acknowledged: it may or may not have been sent: to bob: two\n"
    );
}

#[test]
fn an_answer_that_comes_while_leaving_still_counts() {
    let mut person = Person::with_bob(WIDE);
    person.types("one\n");
    person.control('c');
    person.hears(sent_as(5, 41));
    person.hears(Server::default().answer(6, Answer::LoggedOut));
    assert_eq!(person.screen.exit(), Some(Exit::Signal(2)));
    assert_eq!(person.screen.farewell(), "");
}

#[test]
fn a_terminal_that_is_gone_ends_it_like_its_signal() {
    let mut person = Person::with_bob(WIDE);
    person.gives(Typed::End);
    person.waits(500);
    assert_eq!(person.screen.exit(), Some(Exit::Signal(1)));
}

#[test]
fn what_somebody_else_left_open_is_named_at_the_end_too() {
    let mut person = Person::with_bob(WIDE);
    person.types("of alice\n");
    person.session_ends();
    person.press(KeyCode::Enter);
    person.press(KeyCode::BackTab);
    for _ in 0.."alice".len() {
        person.press(KeyCode::Backspace);
    }
    person.types("carol\tcorrect-horse\n");
    let login = person.asked("Login carol");
    let name = name("carol");
    let answer = Answer::LoggedIn {
        name,
        unread: 0,
        secret: Some(Secret([8; 32])),
    };
    person.hears(Server::default().answer(login, answer));
    person.sees("lastword carol");
    person.sees_not("of alice");
    person.types("/to dave\nof carol\n/quit\n\n");
    person.waits(500);
    assert_eq!(person.screen.exit(), Some(Exit::Done));
    assert_eq!(
        person.screen.farewell(),
        "not acknowledged: it may or may not have been sent: to bob: of alice\n\
         not acknowledged: it may or may not have been sent: to dave: of carol\n"
    );
}
