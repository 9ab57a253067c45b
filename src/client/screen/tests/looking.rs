//! Sizes, colours and texts that would do harm.

use super::*;

/// Codes of colours in what is written.
fn colours_in(written: &str) -> Vec<&str> {
    let sequences = written.split("\x1b[").skip(1);
    let dresses = sequences.filter_map(|sequence| {
        let end = sequence.find(char::is_alphabetic)?;
        sequence[end..].starts_with('m').then(|| &sequence[..end])
    });
    let codes = dresses.flat_map(|dress| dress.split(';'));
    codes.filter(|code| code.len() > 1).collect()
}

fn looks_around(colours: Colours) -> String {
    let mut person = Person::before_servers(WIDE, colours);
    person.connects();
    person.types("alice\twrong-horse\n");
    person.hears(Server::default().refuse(2, ErrorCode::BadLogin));
    person.types("correct-horse\n");
    person.hears(Server::default().answer(3, welcome()));
    let item = Item::Message(message(4, "bob", "alice", "hello"));
    let count = 1;
    person.hears(
        Server::default()
            .item(4, item)
            .answer(4, Answer::Messages { count }),
    );
    person.types("hi\n/search h\n");
    person.loses_server();
    person.sees("bob: hello");
    person.written
}

#[test]
fn without_colours_there_are_none() {
    assert_eq!(colours_in(&looks_around(Colours::Off)), [""; 0]);
    let colours = looks_around(Colours::On);
    for code in ["31", "32", "33", "36"] {
        assert!(colours_in(&colours).contains(&code), "{code}");
    }
}

#[test]
fn texts_of_others_steer_nothing_and_look_like_nobody_else() {
    let mut person = Person::with_bob(WIDE);
    let evil = "hi\x1b[2J\x1b]0;x\x07\n14:99   carol: pay him\u{9b}1m\u{202e}";
    // A server may be a stranger, and not look at what it hands on.
    let message = super::super::super::event::Message::from(message(9, "bob", "alice", evil));
    person
        .screen
        .handle_output(Output::Delivered(message), &mut person.client, person.now);
    person.turn();
    person.sees("bob: hi\\u{1b}[2J\\u{1b}]0;x\\u{7}");
    let forged = person.rows_with("carol").remove(0);
    assert!(forged.contains("│         14:99   carol"), "{forged}");
    assert!(!person.written.contains("\x1b]"));
}

#[test]
fn sentences_of_servers_are_escaped_too() {
    let mut person = Person::at(WIDE);
    person.types("alice\tcorrect-horse\n");
    let why = Refusal::new(ErrorCode::RateLimited, "wait \x1b[31mlong");
    // As a connection would hand it over.
    let answer = Err(why);
    let number = RequestNumber(2);
    person.screen.handle_output(
        Output::Answered { number, answer },
        &mut person.client,
        person.now,
    );
    person.turn();
    person.sees("wait \\u{1b}[31mlong");
}

#[test]
fn wide_characters_stay_within_their_place() {
    let mut person = Person::with_bob(NARROW);
    let text = "日本語のとても長い文章です。".repeat(4) + "🙂👍🏽e\u{301}";
    person.hears(push(message(9, "bob", "alice", &text)));
    for row in person.shown().lines() {
        assert!(row.width() <= 40, "{row}");
    }
    person.sees("日本語");
}

#[test]
fn a_narrow_screen_shows_the_list_and_the_conversation_in_turns() {
    let history = [
        (4, "bob", "alice", "hello"),
        (5, "carol", "alice", "good day"),
    ];
    let mut person = Person::logged_in(NARROW, &history);
    person.sees("▸carol\n bob");
    person.sees_not("good day");
    person.press(KeyCode::Down);
    person.sees("▸bob");
    person.press(KeyCode::Enter);
    person.sees("‹ bob");
    person.sees("bob: hello");
    person.sees_not("carol");
    person.hears(push(message(6, "carol", "alice", "again")));
    person.sees("1 unread");
    person.press(KeyCode::Esc);
    person.sees(" carol                                1");
    person.sees_not("again");
}

#[test]
fn nothing_is_read_while_the_list_covers_it() {
    let mut person = Person::logged_in(NARROW, &[(4, "bob", "alice", "hello")]);
    person.hears(push(message(6, "bob", "alice", "again")));
    assert_eq!(number_of(&person.sent, "Acknowledge"), None);
    person.press(KeyCode::Enter);
    person.asked("Acknowledge 6");
}

#[test]
fn another_size_is_filled_anew() {
    let mut person = Person::with_bob(WIDE);
    for (columns, rows) in [NARROW, (120, 40), WIDE] {
        person.gives(Typed::Resized { columns, rows });
        person.sees("bob: hello");
        person.sees("● ");
        let width = person.shown().lines().map(UnicodeWidthStr::width).max();
        assert!(width.unwrap() <= usize::from(columns));
    }
}

/// Whatever is pressed at whatever size: nothing panics.
#[test]
fn no_key_and_no_size_is_too_much() {
    let mut seed = 7_u32;
    let mut random = |below: u32| {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (seed >> 16) % below
    };
    let codes = [
        KeyCode::Enter,
        KeyCode::Tab,
        KeyCode::Esc,
        KeyCode::Up,
        KeyCode::Down,
        KeyCode::Left,
        KeyCode::Home,
        KeyCode::End,
        KeyCode::PageUp,
        KeyCode::PageDown,
        KeyCode::Backspace,
        KeyCode::Delete,
        KeyCode::F(1),
        KeyCode::Char('/'),
        KeyCode::Char('h'),
        KeyCode::Char('日'),
        KeyCode::Char('b'),
        KeyCode::Char('f'),
        KeyCode::Char('n'),
        KeyCode::Char('\u{301}'),
    ];
    let modifiers = [
        KeyModifiers::NONE,
        KeyModifiers::NONE,
        KeyModifiers::CONTROL,
        KeyModifiers::ALT,
    ];
    let mut person = Person::with_bob(WIDE);
    for round in 0..3000_u64 {
        let code = codes[random(codes.len() as u32) as usize];
        person.press_with(code, modifiers[random(4) as usize]);
        if random(8) == 0 {
            let (columns, rows) = (random(90) as u16, random(30) as u16);
            person.gives(Typed::Resized { columns, rows });
        }
        if random(8) == 0 {
            let from = ["bob", "carol", "日"][random(3) as usize];
            let text = "many words ".repeat(random(60) as usize + 1);
            person.hears(push(message(1000 + round, from, "alice", &text)));
        }
        assert_eq!(person.screen.exit(), None);
        assert!(person.screen.chat.is_some());
    }
}
