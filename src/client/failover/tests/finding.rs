//! Which server is tried when, and which one is believed.

use super::*;

#[test]
fn a_server_that_is_not_the_primary_says_where_it_is() {
    let mut chat = Chat::logged_in(&[5001, 5002], Deliver::Nothing);
    chat.send("one");
    let said = chat.hears(
        1,
        elsewhere(3, "127.0.0.1:5009 is the primary; so go there"),
    );
    assert!(said.ends_with("dial 5009 as 2\n"), "{said}");
    chat.connect(2, 1);
    // It knows no more than that it is none.
    let said = chat.hears(2, elsewhere(4, "unknown is the primary"));
    assert_eq!(said, "hang up 2\ndial 5002 as 3\n");
    chat.connect(3, 1);
    let said = chat.hears(3, elsewhere(5, "127.0.0.1:5009 is the primary"));
    assert_eq!(said, "hang up 3\ndial 5001 as 4\n");
    assert_eq!(chat.fails(4), "hang up 4\nunreachable\n");
    let said = chat.until(40);
    assert!(said.starts_with("dial 5009"), "the last one named: {said}");
}

#[test]
fn nobody_is_believed_who_knows_less_than_was_known_or_is_of_another_cluster() {
    let mut chat = Chat::logged_in(&[5001, 5002, 5003], Deliver::Nothing);
    chat.closes(1);
    assert_eq!(chat.connect(2, 7), "by 2: send 3 (3..) Resume\n");
    chat.closes(2);
    assert_eq!(chat.connect(3, 6), "hang up 3\ndial 5001 as 4\n");
    let said = chat.connect_to(4, 8, 6);
    assert_eq!(said, "hang up 4\nunreachable\n");
    let said = chat.until(40);
    assert!(said.starts_with("dial 5001 as 5\n"), "{said}");
    assert!(chat.connect(5, 7).ends_with("Resume\n"));
}

#[test]
fn a_server_that_is_not_ready_is_asked_again_when_it_says_so_and_others_are_tried_meanwhile() {
    let mut chat = Chat::served(&[5001, 5002]);
    chat.ask(&login(Deliver::Nothing));
    let said = chat.hears(1, Server::default().refuse(2, ErrorCode::NotReady));
    assert!(
        said.starts_with("127.0.0.1:5001 does not serve yet: ")
            && said.ends_with("dial 5002 as 2\n"),
        "{said}"
    );
    assert_eq!(chat.fails(2), "hang up 2\nunreachable\n");
    let note = Push::Note {
        about: NoteKind::Ready,
        sentence: "ready",
    };
    let said = chat.hears(1, Server::default().push(note));
    assert!(said.contains("by 1: send 2 (2..) Login alice\n"), "{said}");

    // And a second later where nobody says anything.
    let mut chat = Chat::served(&[5001]);
    chat.ask(&login(Deliver::Nothing));
    chat.hears(1, Server::default().refuse(2, ErrorCode::NotReady));
    assert_eq!(chat.until(999), "");
    let said = chat.until(1000);
    assert!(said.contains("by 1: send 2 (2..) Login alice\n"), "{said}");
}

#[test]
fn what_a_server_that_is_not_ready_leaves_unanswered_is_asked_by_another_connection() {
    let mut chat = Chat::logged_in(&[5001], Deliver::Nothing);
    chat.send("one");
    chat.send("two");
    chat.hears(1, Server::default().refuse(3, ErrorCode::NotReady));
    assert_eq!(chat.until_dialed(), "hang up 1\ndial 5001 as 2\n");
    chat.connect(2, 1);
    let said = chat.hears(2, Server::default().answer(5, welcome(None)));
    assert!(
        said.contains("Send bob one\nby 2: send 4 (3..) Send bob two"),
        "{said}"
    );
}

#[test]
fn a_cluster_that_is_not_ready_for_minutes_is_asked_about_once_a_second() {
    let mut chat = Chat::served(&[5001, 5002]);
    chat.ask(&login(Deliver::Nothing));
    let (mut dials, mut logins, mut links) = (0, 0, vec![1]);
    let mut said = chat.hears(1, Server::default().refuse(2, ErrorCode::NotReady));
    for _ in 0..100_000 {
        for line in std::mem::take(&mut said).lines() {
            let words: Vec<&str> = line.split([' ', ':']).collect();
            match words[..] {
                ["dial", _, "as", link] => {
                    dials += 1;
                    links.push(link.parse().unwrap());
                    said.push_str(&chat.connect(*links.last().unwrap(), 1));
                }
                ["by", link, "", "send", number, _, "Login", _] => {
                    logins += 1;
                    let number = number.parse().unwrap();
                    let refused = Server::default().refuse(number, ErrorCode::NotReady);
                    said.push_str(&chat.hears(link.parse().unwrap(), refused));
                }
                ["by", link, "", "send", number, _, "Status"] => {
                    let answered = Server::default();
                    let answered = answered.answer(number.parse().unwrap(), Answer::Reported);
                    said.push_str(&chat.hears(link.parse().unwrap(), answered));
                }
                _ => {}
            }
        }
        if said.is_empty() {
            let wake = chat.client.poll_timeout().unwrap();
            if wake > at(300_000) {
                break;
            }
            said = chat.until(wake.0.div_ceil(1_000_000));
        }
    }
    assert!(dials <= 2, "each is connected to once, and kept: {dials}");
    assert!((250..=650).contains(&logins), "{logins} logins");
}

#[test]
fn a_server_that_has_become_ready_says_again_what_it_knows_if_more_was_seen_meanwhile() {
    let mut chat = Chat::served(&[5001, 5002]);
    chat.ask(&login(Deliver::Nothing));
    chat.hears(1, Server::default().refuse(2, ErrorCode::NotReady));
    chat.connect(2, 7);
    chat.hears(2, Server::default().refuse(2, ErrorCode::NotReady));
    let note = Push::Note {
        about: NoteKind::Ready,
        sentence: "ready",
    };
    let said = chat.hears(1, Server::default().push(note));
    assert_eq!(said, "hang up 1\ndial 5001 as 3\n");
    assert!(
        chat.connect(3, 7)
            .contains("by 3: send 2 (2..) Login alice\n")
    );

    // Of two that are asked at the same time the one that knows less may answer first.
    let mut chat = Chat::logged_in(&[5001, 5002, 5003], Deliver::Nothing);
    chat.closes(1);
    chat.until(150);
    assert_eq!(chat.connect(2, 1), "by 2: send 3 (3..) Resume\n");
    assert_eq!(chat.connect(3, 2), "by 3: send 4 (4..) Resume\n");
    let said = chat.hears(2, Server::default().answer(3, welcome(None)));
    assert_eq!(said, "hang up 2\n");
    let said = chat.hears(3, Server::default().answer(4, welcome(None)));
    assert!(said.contains("serves now"), "{said}");
}

#[test]
fn servers_that_do_nothing_but_refuse_are_asked_with_pauses() {
    let mut chat = Chat::served(&[5001, 5002]);
    let mut said = chat.ask(&login(Deliver::Nothing));
    let mut dials = 0;
    while chat.now < at(60_000) && dials < 1000 {
        for line in std::mem::take(&mut said).lines() {
            let words: Vec<&str> = line.split([' ', ':']).collect();
            match words[..] {
                ["dial", _, "as", link] => {
                    dials += 1;
                    said.push_str(&chat.connect(link.parse().unwrap(), 1));
                }
                ["by", link, "", "send", number, _, "Login", _] => {
                    let sentence = "127.0.0.1:5001 is the primary";
                    let refused = elsewhere(number.parse().unwrap(), sentence);
                    said.push_str(&chat.hears(link.parse().unwrap(), refused));
                }
                _ => {}
            }
        }
        if said.is_empty() {
            let wake = chat.client.poll_timeout().unwrap();
            said = chat.until(wake.0.div_ceil(1_000_000));
        }
    }
    assert!((120..300).contains(&dials), "{dials} in a minute");
}

#[test]
fn a_server_that_was_not_ready_is_asked_at_once_when_another_one_says_that_it_leads() {
    let mut chat = Chat::served(&[5001, 5002]);
    chat.ask(&login(Deliver::Nothing));
    chat.hears(1, Server::default().refuse(2, ErrorCode::NotReady));
    chat.connect(2, 1);
    let said = chat.hears(2, elsewhere(2, "127.0.0.1:5001 is the primary"));
    assert!(said.contains("by 1: send 2 (2..) Login alice\n"), "{said}");
}

#[test]
fn a_server_that_says_nothing_for_a_second_is_left() {
    let mut chat = Chat::logged_in(&[5001, 5002], Deliver::Nothing);
    chat.until(500);
    chat.send("one");
    assert_eq!(chat.until(1499), "");
    assert_eq!(
        chat.until(1500),
        "hang up 1\n\
         127.0.0.1:5001 has not answered for 1 s; another server is looked for\n\
         dial 5002 as 2\n"
    );

    // Somebody who has nothing to ask finds out, too.
    let mut chat = Chat::logged_in(&[5001, 5002], Deliver::Nothing);
    assert_eq!(chat.until(1000), "by 1: send 3 (3..) Ping\n");
    chat.hears(1, Server::default().answer(3, Answer::Pong));
    assert_eq!(chat.until(2000), "by 1: send 4 (4..) Ping\n");
    assert!(chat.until(3000).contains("dial 5002"));
}

#[test]
fn the_only_server_that_serves_is_given_more_time_after_each_silence() {
    let mut chat = Chat::logged_in(&[5001], Deliver::Nothing);
    chat.send("one");
    assert!(chat.until(1000).contains("dial 5001 as 2"));
    chat.connect(2, 1);
    let resumed = Server::default().answer(4, welcome(None));
    let said = chat.hears(2, resumed);
    assert!(said.contains("none for 1.0 s") && said.contains("send 3 (3..) Send bob one"));
    assert_eq!(chat.until(2900), "");
    assert!(chat.until(3000).contains("has not answered for 2 s"));
}

#[test]
fn while_one_server_is_slow_the_next_is_tried_and_the_first_that_serves_wins() {
    let mut chat = Chat::new(&[5001, 5002, 5003]);
    assert_eq!(chat.log(), "dial 5001 as 1\n");
    assert_eq!(chat.until(150), "dial 5002 as 2\n");
    assert_eq!(chat.until(300), "dial 5003 as 3\n");
    assert_eq!(
        chat.connect(2, 1),
        "hang up 1\nhang up 3\nconnected to 127.0.0.1:5002\nby 2: send 1 (1..) Status\n"
    );

    let mut chat = Chat::new(&[5001]);
    assert_eq!(chat.until(999), "dial 5001 as 1\n");
    assert_eq!(chat.until(1000), "hang up 1\nunreachable\n");
}

#[test]
fn pauses_grow_to_a_second_and_nobody_gives_up() {
    let mut chat = Chat::new(&[5001]);
    let mut begun = Vec::new();
    for link in 1..=20 {
        chat.fails(link);
        let wake = chat.client.poll_timeout().unwrap();
        begun.push(wake.since(chat.now));
        chat.now = wake;
        chat.client.handle_timeout(wake);
    }
    assert!(begun[0] < Duration::from_millis(26), "{begun:?}");
    assert!(begun[1] > begun[0] || begun[2] > begun[0], "{begun:?}");
    let long = Duration::from_millis(500)..=PAUSE_MAX;
    assert!(begun[10..].iter().all(|pause| long.contains(pause)));
    assert_ne!(begun[18], begun[19], "not all clients come back at once");
}

#[test]
fn who_is_nobody_and_wants_nothing_needs_no_connection() {
    let mut chat = Chat::served(&[5001]);
    assert_eq!(chat.until(60_000), "", "no heartbeat either");
    assert_eq!(chat.closes(1), "hang up 1\n");
    assert_eq!(chat.client.poll_timeout(), None);
    assert_eq!(chat.ask(&Request::Ping), "dial 5001 as 2\n");
}

#[test]
fn the_members_of_the_cluster_are_learnt_and_tried_in_their_order() {
    let mut chat = Chat::new(&[5000]);
    chat.log();
    chat.connect(1, 1);
    let mut status = Server::default();
    for line in [
        "server 1 primary view 1 commit 5 member 127.0.0.1:5001 service 127.0.0.1:5000",
        "member 2 in-sync 127.0.0.1:5002 lag 0",
        "member 1 in-sync 127.0.0.1:5001 lag 0",
    ] {
        status = status.item(1, Item::Line(line));
    }
    chat.hears(1, status.answer(1, Answer::Reported));
    chat.ask(&login(Deliver::Nothing));
    assert!(chat.closes(1).ends_with("dial 5001 as 2\n"));
    assert_eq!(chat.fails(2), "hang up 2\ndial 5002 as 3\n");
    assert_eq!(chat.fails(3), "hang up 3\ndial 5000 as 4\n");
}
