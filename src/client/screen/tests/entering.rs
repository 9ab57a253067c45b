//! The first screen.

use super::*;

#[test]
fn the_first_screen_asks_for_a_name_and_a_password() {
    let person = Person::at(WIDE);
    person.sees("name");
    person.sees("password");
    person.sees_not("again");
    person.sees("Ctrl+N");
    person.sees("● 127.0.0.1:5000 (server 1)");
}

#[test]
fn a_password_is_never_to_be_seen() {
    let mut person = Person::at(WIDE);
    person.types("alice\tcorrect-horse");
    person.sees("alice");
    person.sees("•••••••••••••");
    person.types("\n");
    person.sees("logging in…");
    for part in ["correct", "horse"] {
        assert!(!person.written.contains(part));
    }
    person.hears(Server::default().refuse(2, ErrorCode::BadLogin));
    person.reads("no account has this name and this password; Ctrl+N makes a new one");
    person.sees_not("•");
    person.types("correct-horse\n");
    person.hears(Server::default().answer(3, welcome()));
    person.sees("lastword alice");
}

#[test]
fn an_account_is_made_and_logged_into() {
    let mut person = Person::at(WIDE);
    person.control('n');
    person.sees("again");
    person.types("alice\tcorrect-horse\tcorrect-house\n");
    person.sees("these were two different passwords");
    assert_eq!(number_of(&person.sent, "Create"), None);
    person.types("short\tshort\n");
    person.sees("a password has 8 to 128 bytes");
    person.types("correct-horse\tcorrect-horse\n");
    assert_eq!(person.asked("Create alice"), 2);
    person.sees("making the account alice…");
    person.hears(Server::default().refuse(2, ErrorCode::NameTaken));
    person.sees("this name is taken; choose another");
    person.types("2\tcorrect-horse\tcorrect-horse\n");
    assert_eq!(person.asked("Create alice2"), 3);
    let name = name("alice2");
    person.hears(Server::default().answer(3, Answer::Created { name }));
    assert_eq!(person.asked("Login alice2"), 4);
}

#[test]
fn a_name_that_cannot_be_is_told_before_anybody_is_asked() {
    let mut person = Person::at(WIDE);
    person.control('n');
    person.types("al ice\tcorrect-horse\tcorrect-horse\n");
    person.sees("a name has 1 to 32 characters");
    assert_eq!(number_of(&person.sent, "Create"), None);
}

#[test]
fn a_name_and_a_password_that_are_known_are_used_at_once() {
    let mut person = Person::before_servers(WIDE, Colours::Off);
    let options = ScreenOptions {
        size: WIDE,
        colours: Colours::Off,
        zone: TimeZone::UTC,
        wall: AFTERNOON,
        servers: vec![],
        user: Some("alice".into()),
        password: Some("correct-horse".into()),
    };
    person.screen = Screen::new(options, Box::new(|| SessionId(1)));
    person.turn();
    person.sees("logging in…");
    person.connects();
    assert!(person.sent.contains("Login alice"), "{}", person.sent);
}

#[test]
fn an_account_that_was_deleted_elsewhere_leads_back_to_the_first_screen() {
    let mut person = Person::with_bob(WIDE);
    person.types("are you there?\n");
    let note = Push::Note {
        about: NoteKind::AccountDeleted,
        sentence: "this account was deleted",
    };
    person.hears(Server::default().push(note));
    person.sees("the account alice was deleted");
    person.sees("password");
    person.sees("not known whether it was sent, to bob: are you there?");
    person.sees_not("✓");
}

#[test]
fn what_was_pending_when_the_session_ended_is_not_known_also_after_the_next_login() {
    let mut person = Person::with_bob(WIDE);
    person.types("are you there?\n");
    person.session_ends();
    person.reads("alice is not logged in any more: the session was ended from elsewhere");
    person.types("\ncorrect-horse\n");
    let login = person.asked("Login alice");
    person.hears(Server::default().answer(login, welcome()));
    let history = person.asked("History");
    let item = Item::Message(message(4, "bob", "alice", "hello"));
    let count = 1;
    let answer = Answer::Messages { count };
    person.hears(
        Server::default()
            .item(history, item)
            .answer(history, answer),
    );
    person.sees("? alice: are you there?");
    person.sees("(not known: it may or may not have been sent)");
    person.sees_not("✓");
}

#[test]
fn what_is_being_typed_outlives_the_session_and_is_no_password() {
    let mut person = Person::with_bob(WIDE);
    person.types("/to carol\nfor carol");
    person.control('n');
    person.sees("▸bob");
    person.types("are you");
    person.session_ends();
    person.takes_sent();
    person.reads("ended from elsewhere; Enter goes on");
    person.sees("not sent, and kept: to bob: are you");
    person.sees("not sent, and kept: to carol: for carol");
    person.types(" there?");
    person.gives(Typed::Pasted("and this".into()));
    person.types("\n");
    person.sees_not("•");
    assert_eq!(person.takes_sent(), "");
    person.types("correct-horse\n and hi");
    let login = person.asked("Login alice");
    person.hears(Server::default().answer(login, welcome()));
    person.sees("▸bob");
    person.sees(" > are you and hi");
    assert_eq!(number_of(&person.sent, "Send"), None);
    person.press(KeyCode::Home);
    person.control('k');
    person.types("/to carol\n");
    person.sees(" > for carol");
}

#[test]
fn what_was_being_typed_is_named_at_the_end_where_nobody_came_back() {
    let mut person = Person::with_bob(WIDE);
    person.types("are you");
    person.session_ends();
    person.control('c');
    person.waits(500);
    let farewell = "not sent, you were logged out: to bob: are you\n";
    assert_eq!(person.screen.farewell(), farewell);
}

#[test]
fn logging_out_and_deleting_lead_back_to_the_first_screen() {
    let mut person = Person::with_bob(WIDE);
    person.types("/logout\n");
    let logout = person.asked("Logout");
    person.hears(Server::default().answer(logout, Answer::LoggedOut));
    person.sees("alice");
    person.sees("password");

    let mut person = Person::with_bob(WIDE);
    person.types("/delete\n");
    person.sees("password, to delete your account:");
    person.types("correct-horse");
    assert!(!person.written.contains("correct"));
    person.types("\n");
    let delete = person.asked("Delete");
    person.hears(Server::default().refuse(delete, ErrorCode::BadLogin));
    person.sees("nothing was deleted: the password is wrong");
    person.types("/delete\ncorrect-horse\n");
    let delete = person.asked("Delete");
    let name = name("alice");
    person.hears(Server::default().answer(delete, Answer::Deleted { name }));
    person.sees("the account alice is deleted");
}

#[test]
fn what_is_typed_during_a_login_is_there_after_it() {
    let mut person = Person::at(WIDE);
    person.types("alice\tcorrect-horse\n/to bob\nhi");
    person.sees("logging in…");
    person.hears(Server::default().answer(2, welcome()));
    person.sees("▸bob");
    person.sees(" > hi");

    // Where it fails, nothing of it becomes a password.
    let mut person = Person::at(WIDE);
    person.types("alice\tcorrect-horse\n/to bob\n");
    person.hears(Server::default().refuse(2, ErrorCode::BadLogin));
    person.sees_not("•");
    person.types("correct-horse\n");
    person.hears(Server::default().answer(3, welcome()));
    person.sees("loading…");
    person.sees_not("bob");
}
