//! What becomes of requests and messages, whichever server they go to and come from.

use super::*;

#[test]
fn what_is_open_goes_to_the_next_server_in_its_order_and_under_its_numbers() {
    let mut chat = Chat::logged_in(&[5001, 5002], Deliver::Nothing);
    assert_eq!(chat.send("one"), "by 1: send 3 (3..) Send bob one\n");
    assert_eq!(chat.send("two"), "by 1: send 4 (3..) Send bob two\n");
    assert_eq!(
        chat.closes(1),
        "hang up 1\n\
         127.0.0.1:5001 closed the connection; another server is looked for\n\
         dial 5002 as 2\n"
    );
    // Whoever asks meanwhile does not have to know.
    assert_eq!(chat.send("three"), "");
    assert_eq!(chat.connect(2, 1), "by 2: send 6 (3..) Resume\n");
    let resumed = Server::default().answer(6, welcome(None));
    assert_eq!(
        chat.hears(2, resumed),
        "127.0.0.1:5002 serves now; there was none for 0 ms\n\
         by 2: send 3 (3..) Send bob one\n\
         by 2: send 4 (3..) Send bob two\n\
         by 2: send 5 (3..) Send bob three\n\
         by 2: send 7 (3..) Status\n"
    );
    let answers = Server::default()
        .answer(3, sent_as(41))
        .answer(4, sent_as(42))
        .answer(5, sent_as(43));
    assert_eq!(
        chat.hears(2, answers),
        "3 done: Sent { id: OpNumber(41) }\n\
         4 done: Sent { id: OpNumber(42) }\n\
         5 done: Sent { id: OpNumber(43) }\n"
    );
}

#[test]
fn each_message_comes_once_and_in_order_over_servers() {
    let mut chat = Chat::logged_in(&[5001, 5002], Deliver::Unread);
    assert_eq!(chat.hears(1, delivery(10)), "delivered 10\n");
    chat.send("hi");
    chat.hears(1, Server::default().answer(3, sent_as(12)));
    chat.send("lost");
    chat.closes(1);
    chat.connect(2, 1);
    chat.hears(2, Server::default().answer(5, welcome(None)));
    // Everything above 10, and what was sent from here among it, some of it without its answer.
    assert_eq!(chat.hears(2, delivery(11)), "delivered 11\n");
    assert_eq!(chat.hears(2, own(12, "hi")), "");
    assert_eq!(chat.hears(2, own(13, "lost")), "");
    assert_eq!(chat.hears(2, delivery(14)), "", "it waits for its turn");
    let answered = Server::default().answer(4, sent_as(13));
    assert_eq!(
        chat.hears(2, answered),
        "4 done: Sent { id: OpNumber(13) }\ndelivered 14\n"
    );
    // What was sent by another client of mine is news.
    assert_eq!(chat.hears(2, own(15, "lost")), "delivered 15\n");
    assert_eq!(chat.hears(2, delivery(15)), "", "twice");
    assert_eq!(chat.client.last_seen(), OpNumber(15));
}

#[test]
fn what_looks_like_mine_and_is_not_comes_once_that_is_known() {
    let mut chat = Chat::logged_in(&[5001], Deliver::Unread);
    chat.send("same");
    assert_eq!(chat.hears(1, own(20, "same")), "");
    let answered = Server::default().answer(3, sent_as(21));
    assert_eq!(
        chat.hears(1, answered),
        "3 done: Sent { id: OpNumber(21) }\ndelivered 20\n"
    );
    let refused = Server::default().refuse(4, ErrorCode::NoSuchAccount);
    chat.send("same");
    assert_eq!(chat.hears(1, own(22, "same")), "");
    let said = chat.hears(1, refused);
    assert_eq!(said, "4 refused: no_such_account\ndelivered 22\n");
}

#[test]
fn what_cannot_be_found_out_any_more_is_called_unknown() {
    let mut chat = Chat::logged_in(&[5001, 5002], Deliver::Nothing);
    chat.send("one");
    chat.closes(1);
    chat.send("two");
    chat.connect(2, 1);
    let gone = Server::default().refuse(5, ErrorCode::SessionGone);
    let said = chat.hears(2, gone);
    let (known, rest) = said.split_at(said.find("alice is").unwrap());
    assert_eq!(
        known,
        "3 refused: unknown_outcome\n4 refused: session_gone\n"
    );
    assert!(rest.contains("alice is not logged in any more"), "{rest}");
    assert_eq!(chat.client.identity(), None);
    let (to, text) = (name("bob"), Text::parse("three").unwrap());
    let asked = chat.client.ask(&Request::Send { to, text }, chat.now);
    assert_eq!(asked, Err(AskError::NotLoggedIn));

    // A logout that was lost had its effect.
    let mut chat = Chat::logged_in(&[5001, 5002], Deliver::Nothing);
    chat.ask(&Request::Logout);
    chat.closes(1);
    chat.connect(2, 1);
    let gone = Server::default().refuse(4, ErrorCode::SessionGone);
    assert!(chat.hears(2, gone).starts_with("3 done: LoggedOut\n"));
}

#[test]
fn a_session_that_ends_elsewhere_is_told() {
    for about in [NoteKind::SessionEnded, NoteKind::AccountDeleted] {
        let mut chat = Chat::logged_in(&[5001], Deliver::Unread);
        let sentence = "so it is";
        let note = Server::default().push(Push::Note { about, sentence });
        let said = chat.hears(1, note);
        assert_eq!(said, "alice is not logged in any more: so it is\n");
        assert_eq!(chat.closes(1), "hang up 1\n", "nothing depends on it");
    }
}

#[test]
fn what_is_refused_for_now_is_asked_again_and_holds_up_what_is_behind_it() {
    let mut chat = Chat::logged_in(&[5001], Deliver::Nothing);
    chat.send("one");
    chat.hears(1, Server::default().refuse(3, ErrorCode::Busy));
    assert_eq!(chat.send("two"), "");
    assert_eq!(chat.until(49), "");
    assert_eq!(
        chat.until(50),
        "by 1: send 3 (3..) Send bob one\nby 1: send 4 (3..) Send bob two\n"
    );
    chat.hears(1, Server::default().refuse(3, ErrorCode::UnknownOutcome));
    assert_eq!(chat.until(149), "");
    assert_eq!(chat.until(150), "by 1: send 3 (3..) Send bob one\n");
}

#[test]
fn what_is_refused_for_now_keeps_nobody_busy_and_the_next_server_is_asked_at_once() {
    let mut chat = Chat::logged_in(&[5001, 5002], Deliver::Nothing);
    chat.send("one");
    chat.send("two");
    // The first one is refused twice, and waits longer than the second.
    let busy = |number| Server::default().refuse(number, ErrorCode::Busy);
    chat.hears(1, busy(3));
    chat.until(50);
    chat.hears(1, busy(3));
    chat.hears(1, busy(4));
    assert_eq!(chat.until(149), "");
    let said = chat.until(150);
    assert_eq!(
        said,
        "by 1: send 3 (3..) Send bob one\nby 1: send 4 (3..) Send bob two\n"
    );

    chat.hears(1, busy(3));
    chat.closes(1);
    chat.connect(2, 1);
    let said = chat.hears(2, Server::default().answer(5, welcome(None)));
    assert!(said.contains("by 2: send 3 (3..) Send bob one\n"), "{said}");
}

#[test]
fn each_login_that_is_sent_is_for_a_session_of_its_own() {
    let mut chat = Chat::served(&[5001]);
    chat.ask(&login(Deliver::Nothing));
    chat.closes(1);
    chat.connect(2, 1);
    chat.hears(2, Server::default().answer(2, welcome(Some(SECRET))));
    let session = chat.client.identity().unwrap().session;
    assert_eq!(
        session,
        Some(SessionId(10)),
        "9 may still be opened by the first"
    );
}

#[test]
fn a_log_goes_on_where_it_was_and_other_answers_come_whole() {
    let mut chat = Chat::logged_in(&[5001, 5002], Deliver::Nothing);
    let (after, limit) = (OpNumber(0), Some(3));
    chat.ask(&Request::Log { after, limit });
    let one = Server::default().item(3, Item::Message(message(10)));
    assert_eq!(chat.hears(1, one), "3: message 10\n");
    chat.ask(&Request::List { pattern: "*" });
    chat.closes(1);
    chat.connect(2, 1);
    let said = chat.hears(2, Server::default().answer(5, welcome(None)));
    assert!(said.contains("send 3 (3..) Log 10\n"), "{said}");
    let rest = Server::default()
        .item(3, Item::Message(message(11)))
        .item(3, Item::Message(message(12)))
        .answer(3, Answer::Messages { count: 2 });
    assert_eq!(
        chat.hears(2, rest),
        "3: message 11\n3: message 12\n3 done: Messages { count: 3 }\n"
    );
    let account = Item::Account {
        name: name("bob"),
        online: true,
    };
    let half = Server::default().item(4, account);
    assert_eq!(chat.hears(2, half), "", "it may have to begin anew");
    let whole = Server::default().answer(4, Answer::Listed { count: 1 });
    assert_eq!(
        chat.hears(2, whole),
        "4: item\n4 done: Listed { count: 1 }\n"
    );
}

#[test]
fn a_log_of_which_everything_came_is_not_asked_for_again() {
    let mut chat = Chat::logged_in(&[5001, 5002], Deliver::Nothing);
    let (after, limit) = (OpNumber(0), Some(1));
    chat.ask(&Request::Log { after, limit });
    let one = Server::default().item(3, Item::Message(message(10)));
    chat.hears(1, one);
    // To a server a limit of 0 is none.
    assert!(chat.closes(1).contains("3 done: Messages { count: 1 }\n"));
}

#[test]
fn without_a_session_nothing_is_done_again_that_may_have_been_done() {
    let mut chat = Chat::served(&[5001, 5002]);
    chat.ask(&Request::Login {
        name: "alice",
        password: "correct-horse",
        session: None,
        deliver: Deliver::Nothing,
    });
    chat.hears(1, Server::default().answer(2, welcome(None)));
    chat.send("one");
    assert!(chat.closes(1).contains("3 refused: unknown_outcome\n"));
    assert_eq!(chat.connect(2, 1), "by 2: send 4 (4..) Login alice\n");
}

#[test]
fn numbers_never_span_more_than_a_server_takes() {
    let mut chat = Chat::logged_in(&[5001], Deliver::Nothing);
    while chat.client.can_ask() {
        chat.send("hi");
    }
    let (to, text) = (name("bob"), Text::parse("hi").unwrap());
    let asked = chat.client.ask(&Request::Send { to, text }, chat.now);
    assert_eq!(asked, Err(AskError::TooManyOpen));
    // However often the session has to be resumed meanwhile.
    for link in 2..300 {
        if !chat.closes(link - 1).contains("dial") {
            chat.until_dialed();
        }
        assert!(chat.connect(link, 1).contains("Resume"), "link {link}");
    }
}

#[test]
fn a_login_waits_for_what_was_asked_before_it_and_holds_up_what_comes_behind() {
    let mut chat = Chat::logged_in(&[5001], Deliver::Nothing);
    chat.send("one");
    assert_eq!(chat.ask(&login(Deliver::Nothing)), "");
    assert_eq!(chat.send("two"), "");
    let said = chat.hears(1, Server::default().answer(3, sent_as(9)));
    assert!(said.ends_with("by 1: send 4 (4..) Login alice\n"), "{said}");
    let said = chat.hears(1, Server::default().answer(4, welcome(Some(SECRET))));
    assert!(
        said.ends_with("by 1: send 5 (5..) Send bob two\n"),
        "{said}"
    );
}
