//! Messages, commands, names, search and history.

use super::*;

#[test]
fn a_message_is_pending_until_it_is_acknowledged() {
    let mut person = Person::with_bob(WIDE);
    person.types("hi bob");
    person.sees_not("alice: hi bob");
    person.types("\n");
    assert_eq!(person.sent, "send 5 (5..) Send bob hi bob\n");
    person.sees("… alice: hi bob (pending)");
    person.waits(3000);
    person.sees("… alice: hi bob (pending for 3 s)");
    person.sees("1 message waits");
    person.hears(push(message(40, "bob", "alice", "and?")));
    person.sees_not("✓");
    person.hears(sent_as(5, 41));
    person.sees("14:03 ✓ alice: hi bob");
    person.sees_not("pending");
    person.sees_not("waits");
    assert_eq!(person.rows_with("hi bob").len(), 1);
}

#[test]
fn a_refused_message_says_why_and_can_be_recalled() {
    let mut person = Person::with_bob(WIDE);
    person.types("hi bob\n");
    person.hears(Server::default().refuse(5, ErrorCode::NoSuchAccount));
    person.sees("✗ alice: hi bob");
    person.sees("(not sent: there is no account of this name");
    person.sees_not("✓");
    person.press(KeyCode::Up);
    person.sees(" > hi bob");
    person.press(KeyCode::Down);
    person.sees_not(" > hi bob");
}

#[test]
fn a_message_that_is_too_long_is_not_sent_and_not_lost() {
    let mut person = Person::with_bob(WIDE);
    let text = "x".repeat(crate::limits::TEXT_BYTES_MAX + 1);
    person.gives(Typed::Pasted(text));
    person.press(KeyCode::Enter);
    person.sees("not sent: 16385 bytes, and a message has at most 16384");
    person.sees("xxxxxxxxxx");
    assert_eq!(person.sent, "");
    person.press(KeyCode::Backspace);
    person.press(KeyCode::Enter);
    assert_eq!(person.asked("Send bob xxx"), 5);
    person.sees_not("not sent");
}

#[test]
fn a_paste_of_several_lines_is_one_message() {
    let mut person = Person::with_bob(WIDE);
    person.gives(Typed::Pasted("one\r\ntwo\rthree\n/four".into()));
    assert_eq!(person.sent, "");
    person.sees(" > one\n   two\n   three\n   /four");
    person.press_with(KeyCode::Enter, KeyModifiers::ALT);
    person.control('j');
    person.types("five\n");
    assert_eq!(
        person.sent,
        "send 5 (5..) Send bob one\ntwo\nthree\n/four\n\nfive\n"
    );
}

#[test]
fn the_last_lines_of_a_long_input_are_seen() {
    let mut person = Person::with_bob(NARROW);
    let lines: Vec<String> = (1..=40).map(|line| format!("line {line}")).collect();
    person.gives(Typed::Pasted(lines.join("\n")));
    person.sees("   line 40");
    person.sees_not("line 35");
    person.sees("bob: hello");
}

#[test]
fn commands_and_names_are_completed() {
    let mut person = Person::with_bob(WIDE);
    person.types("/sea\t");
    person.sees(" > /search");
    person.control('u');
    person.types("/to b\t");
    person.sees(" > /to bob");
    person.control('u');
    // Nobody has heard of carol yet: the server is asked.
    person.types("/to ca\t");
    assert_eq!(person.asked("List ca*"), 5);
    person.hears(presence(5, "carol", true));
    person.sees(" > /to carol");
    person.types("\n");
    person.sees("carol");
    person.types("hi\n");
    assert_eq!(person.asked("Send carol hi"), 8);
}

#[test]
fn several_candidates_are_shown_and_come_in_turn() {
    let mut person = Person::with_bob(WIDE);
    person.types("/s\t");
    person.sees("/search  /status");
    person.sees(" > /search");
    person.types("\t");
    person.sees(" > /status");
    person.types("\t");
    person.sees(" > /search");
}

#[test]
fn a_bare_name_opens_a_conversation_only_if_there_is_such_an_account() {
    let mut person = Person::with_bob(WIDE);
    person.types("/hlep\n");
    let asked = person.asked("List hlep");
    let count = 0;
    person.hears(Server::default().answer(asked, Answer::Listed { count }));
    person.sees("there is no command and no account /hlep");
    person.types("/carol hi there\n");
    let asked = person.asked("List carol");
    assert_eq!(number_of(&person.sent, "Send"), None);
    person.hears(presence(asked, "carol", false));
    person.asked("Send carol hi there");
    person.sees("… alice: hi there (pending)");
}

#[test]
fn what_is_typed_for_somebody_waits_with_them() {
    let history = [
        (4, "bob", "alice", "hello"),
        (5, "carol", "alice", "good day"),
    ];
    let mut person = Person::logged_in(WIDE, &history);
    person.sees("▸carol");
    person.types("for carol");
    person.control('n');
    person.sees("▸bob");
    person.sees_not("for carol");
    person.types("for bob");
    person.control('p');
    person.sees(" > for carol");
    person.press_with(KeyCode::Down, KeyModifiers::ALT);
    person.sees(" > for bob");
}

#[test]
fn a_text_is_searched_in_the_open_conversation() {
    let texts = ["one Apple", "two", "three apples", "four"];
    let history: Vec<_> = (4..)
        .zip(texts)
        .map(|(id, text)| (id, "bob", "alice", text))
        .collect();
    let mut person = Person::logged_in(WIDE, &history);
    person.types("/search apple\n");
    person.sees("1 of 2 found, from the newest");
    assert_eq!(
        person.rows_with("▶")[0].split("▶ ").last(),
        Some("bob: three apples")
    );
    person.press(KeyCode::Enter);
    person.sees("2 of 2 found");
    assert_eq!(
        person.rows_with("▶")[0].split("▶ ").last(),
        Some("bob: one Apple")
    );
    person.press(KeyCode::Enter);
    person.sees("there is no older one");
    person.press(KeyCode::Down);
    person.sees("1 of 2 found");
    person.types("x");
    person.sees("not found in what is loaded");
    person.press(KeyCode::Esc);
    person.sees_not("▶");
    person.sees_not("search:");
}

#[test]
fn older_messages_are_loaded_as_one_scrolls_up() {
    let mut person = Person::at(WIDE);
    person.types("alice\tcorrect-horse\n");
    person.hears(Server::default().answer(2, welcome()));
    let full = u64::from(crate::limits::HISTORY_MESSAGES_MAX);
    let mut server = Server::default();
    for id in 1001..1001 + full {
        let text = format!("text {id}");
        server = server.item(3, Item::Message(message(id, "bob", "alice", &text)));
    }
    person.hears(server.answer(3, Answer::Messages { count: full }));
    person.sees("text 2000");
    // There may be more conversations.
    let more = person.asked("History 1000 1001");
    let count = 0;
    person.hears(Server::default().answer(more, Answer::Messages { count }));
    person.takes_sent();
    for _ in 0..60 {
        person.press(KeyCode::PageUp);
    }
    person.sees("text 1001");
    assert_eq!(number_of(&person.sent, "History"), None, "these are all");
    person.press_with(KeyCode::End, KeyModifiers::CONTROL);
    person.sees("text 2000");
}

#[test]
fn scrolling_up_asks_for_a_page_and_does_not_move_what_is_seen() {
    let mut person = Person::logged_in(WIDE, &[]);
    person.types("/to bob\n");
    let asked = person.asked("History 100");
    let page = |from: u64, count: u64, number: u64| {
        let mut server = Server::default();
        for id in from..from + count {
            let text = format!("text {id}.");
            server = server.item(number, Item::Message(message(id, "bob", "alice", &text)));
        }
        server.answer(number, Answer::Messages { count })
    };
    person.hears(page(1001, 100, asked));
    person.sees("text 1100.");
    for _ in 0..4 {
        person.press(KeyCode::PageUp);
    }
    assert_eq!(number_of(&person.sent, "History 100 1001"), None);
    person.press(KeyCode::PageUp);
    let asked = person.asked("History 100 1001");
    person.sees("loading…");
    person.sees("text 1001.");
    let before = person.rows_with("text");
    person.hears(page(981, 20, asked));
    assert!(person.rows_with("text").ends_with(&before));
    person.takes_sent();
    for _ in 0..5 {
        person.press(KeyCode::PageUp);
    }
    person.sees("text 981.");
    assert_eq!(number_of(&person.sent, "History"), None, "nothing is older");
}

#[test]
fn what_was_on_the_screen_is_read_and_nothing_else() {
    let history = [
        (4, "bob", "alice", "hello"),
        (5, "carol", "alice", "good day"),
    ];
    let mut person = Person::logged_in(WIDE, &history);
    person.takes_sent();
    person.hears(push(message(6, "carol", "alice", "and hello again")));
    person.sees("carol: and hello again");
    assert_eq!(person.asked("Acknowledge 6"), 5);
    person.hears(push(message(7, "bob", "alice", "are you there?")));
    person.hears(push(message(8, "bob", "alice", "alice?")));
    let row = person.rows_with(" bob ").remove(0);
    assert!(row.starts_with(" bob              2 │"), "{row}");
    let up_to = OpNumber(6);
    person.takes_sent();
    person.hears(Server::default().answer(5, Answer::Acknowledged { up_to }));
    assert_eq!(number_of(&person.sent, "Acknowledge"), None);
    person.control('p');
    person.sees("─ new ─");
    person.sees("bob: alice?");
    person.asked("Acknowledge 8");
}

#[test]
fn what_comes_faster_than_it_fits_does_not_pass_by_unseen() {
    let mut person = Person::with_bob(WIDE);
    let mut server = Server::default();
    for id in 10..60 {
        let text = format!("text {id}.");
        server = server.push(Push::Message(message(id, "bob", "alice", &text)));
    }
    person.hears(server);
    person.sees("text 10.");
    person.sees_not("text 59.");
    person.sees("below, End goes there");
    let first = person.asked("Acknowledge");
    person.sees("text 29.");
    assert!(person.sent.contains("Acknowledge 29"), "{}", person.sent);
    let up_to = OpNumber(29);
    person.hears(Server::default().answer(first, Answer::Acknowledged { up_to }));
    person.press(KeyCode::End);
    person.sees("text 59.");
    assert!(person.sent.contains("Acknowledge 59"), "{}", person.sent);
}

#[test]
fn a_message_that_comes_while_one_reads_above_does_not_move_anything() {
    let history: Vec<_> = (4..104).map(|id| (id, "bob", "alice", "text")).collect();
    let mut person = Person::logged_in(WIDE, &history);
    person.press(KeyCode::PageUp);
    let before = person.rows_with("bob: ");
    person.hears(push(message(200, "bob", "alice", "new")));
    assert_eq!(person.rows_with("bob: ")[1..], before[1..]);
    person.sees("20 below, End goes there");
    assert_eq!(number_of(&person.sent, "Acknowledge"), None);
    person.types("hi\n");
    person.sees("… alice: hi (pending)");
}

#[test]
fn a_message_to_oneself_is_there_once() {
    let mut person = Person::logged_in(WIDE, &[]);
    person.types("/to alice\nnote\n");
    let asked = person.asked("Send alice note");
    person.hears(push(message(9, "alice", "alice", "note")));
    person.hears(sent_as(asked, 9));
    assert_eq!(person.rows_with("alice: note").len(), 1);
    person.sees("✓ alice: note");
}

#[test]
fn pages_show_accounts_servers_and_help() {
    let mut person = Person::with_bob(WIDE);
    person.types("/list b*\n");
    let asked = person.asked("List b*");
    person.hears(presence(asked, "bob", true));
    person.sees("online   bob");
    person.sees("1 account");
    person.types("/status\n");
    let asked = person.asked("Status");
    let lines = [
        "server 1 primary view 7 commit 9 member 127.0.0.1:5001 service 127.0.0.1:5000",
        "primary 1 127.0.0.1:5001",
        "member 1 in-sync 127.0.0.1:5001 lag 0",
        "member 2 catching-up 127.0.0.1:5002 lag 12",
    ];
    let mut server = Server::default();
    for line in lines {
        server = server.item(asked, Item::Line(line));
    }
    person.hears(server.answer(asked, Answer::Reported));
    person.sees("server 1   in-sync, primary  127.0.0.1:5001");
    person.sees("server 2   catching-up, 12 behind");
    person.sees("view 7 · 1 of 2 in sync");
    person.types("/help\n");
    person.sees("/to NAME [TEXT]");
    person.press(KeyCode::Esc);
    person.sees("bob: hello");
}

#[test]
fn presence_is_that_of_the_open_conversation() {
    let history = [
        (4, "bob", "alice", "hello"),
        (5, "carol", "alice", "good day"),
    ];
    let mut person = Person::logged_in(WIDE, &history);
    let asked = person.asked("List carol");
    person.control('n');
    person.hears(presence(asked, "carol", true));
    person.sees_not("online");
    let asked = person.asked("List bob");
    person.hears(presence(asked, "bob", false));
    person.sees("offline");
    person.takes_sent();
    person.waits(15_000);
    let asked = person.asked("List bob");
    person.hears(presence(asked, "bob", true));
    person.sees(" online");
}
