//! What makes a retry safe? A request that comes again, over whichever connection, is answered
//! and not repeated.

use lastword::types::{ErrorCode, Name, OpNumber, Password, Secret, SessionId, Text};
use lastword::wire::message::{Answer, Deliver, NoteKind, Request};

use crate::common::PASSWORD;
use crate::common::binary::{BinaryClient, Login};
use crate::common::server::TestServer;
use crate::common::text::{Message, ids, texts};

fn message(text: &str) -> Request<'_> {
    Request::Send {
        to: Name::parse("alice").expect("a name"),
        text: Text::parse(text).expect("a text"),
    }
}

/// What a request gets under these numbers.
fn asked(
    client: &mut BinaryClient,
    number: u64,
    lowest_open: u64,
    request: &Request<'_>,
) -> Result<Answer<'static>, ErrorCode> {
    let said = client.say(number, lowest_open, request);
    said.expect("the server takes the request");
    let answer = client.try_answer().expect("an answer, and not the end");
    assert_eq!(answer.number, number);
    answer.last.map_err(|refusal| refusal.code)
}

/// A server with alice, and a session of hers.
fn with_session(deliver: Deliver) -> (TestServer, BinaryClient, Login) {
    let server = TestServer::start();
    server.text().create("alice");
    let mut client = BinaryClient::connect(server.address());
    let login = client.login("alice", SessionId(7), deliver);
    (server, client, login)
}

#[test]
fn a_request_that_comes_again_gets_its_first_answer() {
    let (mut server, mut client, login) = with_session(Deliver::Nothing);
    let first = asked(&mut client, 100, 100, &message("once"));
    assert!(matches!(first, Ok(Answer::Sent { .. })), "{first:?}");
    assert_eq!(asked(&mut client, 100, 100, &message("once")), first);
    // Over another connection of the same session, and after a crash.
    let mut other = BinaryClient::connect(server.address());
    other
        .resume(login, Deliver::Nothing)
        .expect("the server is there");
    assert_eq!(asked(&mut other, 100, 100, &message("once")), first);
    server.kill();
    server.restart();
    let mut again = BinaryClient::connect(server.address());
    again
        .resume(login, Deliver::Nothing)
        .expect("the server is there");
    assert_eq!(asked(&mut again, 100, 100, &message("once")), first);
    assert_eq!(texts(&again.log()), ["once"]);
}

#[test]
fn requests_that_were_refused_by_the_log_are_remembered_too() {
    let (mut server, mut client, login) = with_session(Deliver::Nothing);
    let to_bob = Request::Send {
        to: Name::parse("bob").expect("a name"),
        text: Text::parse("are you there").expect("a text"),
    };
    assert_eq!(
        asked(&mut client, 100, 100, &to_bob),
        Err(ErrorCode::NoSuchAccount)
    );
    server.account("bob");
    server.kill();
    server.restart();
    let mut again = BinaryClient::connect(server.address());
    again
        .resume(login, Deliver::Nothing)
        .expect("the server is there");
    assert_eq!(
        asked(&mut again, 100, 100, &to_bob),
        Err(ErrorCode::NoSuchAccount)
    );
    assert!(matches!(
        asked(&mut again, 101, 100, &to_bob),
        Ok(Answer::Sent { .. })
    ));
}

#[test]
fn numbers_that_are_closed_or_too_far_ahead_are_refused() {
    let (_server, mut client, _) = with_session(Deliver::Nothing);
    assert!(asked(&mut client, 500, 500, &message("a")).is_ok());
    assert_eq!(
        asked(&mut client, 499, 499, &message("b")),
        Err(ErrorCode::StaleRequest)
    );
    assert_eq!(
        asked(&mut client, 501, 502, &message("c")),
        Err(ErrorCode::BadArguments),
        "a request cannot be closed itself"
    );
    assert!(asked(&mut client, 755, 500, &message("d")).is_ok());
    assert_eq!(
        asked(&mut client, 756, 500, &message("e")),
        Err(ErrorCode::BadArguments)
    );
    assert!(asked(&mut client, 756, 501, &message("f")).is_ok());
    assert_eq!(texts(&client.log()), ["a", "d", "f"]);
}

#[test]
fn an_account_is_made_once() {
    let mut server = TestServer::start();
    let create = Request::Create {
        name: Name::parse("alice").expect("a name"),
        password: Password::parse(PASSWORD).expect("a password"),
        session: Some(SessionId(3)),
    };
    let made = || {
        let mut client = BinaryClient::connect(server.address());
        asked(&mut client, 1, 1, &create)
    };
    assert!(matches!(made(), Ok(Answer::Created { .. })));
    assert!(matches!(made(), Ok(Answer::Created { .. })));
    server.kill();
    server.restart();
    let mut client = BinaryClient::connect(server.address());
    assert!(matches!(
        asked(&mut client, 1, 1, &create),
        Ok(Answer::Created { .. })
    ));
    assert_eq!(asked(&mut client, 2, 2, &create), Err(ErrorCode::NameTaken));
}

#[test]
fn a_session_ends_with_logout_and_with_the_account() {
    let (server, mut client, login) = with_session(Deliver::Nothing);
    let other_login =
        BinaryClient::connect(server.address()).login("alice", SessionId(8), Deliver::Nothing);
    assert!(matches!(
        client.ask(&Request::Logout).last,
        Ok(Answer::LoggedOut)
    ));
    assert_eq!(client.refused(&message("x")), ErrorCode::NotLoggedIn);
    let resume = |login: Login| Request::Resume {
        session: login.session,
        secret: login.secret,
        deliver: Deliver::Nothing,
    };
    assert_eq!(client.refused(&resume(login)), ErrorCode::SessionGone);
    assert!(client.ask(&resume(other_login)).last.is_ok());
    assert!(
        client
            .ask(&Request::Delete { password: PASSWORD })
            .last
            .is_ok()
    );
    let mut later = BinaryClient::connect(server.address());
    assert_eq!(later.refused(&resume(other_login)), ErrorCode::SessionGone);
}

#[test]
fn programs_are_told_why_their_login_or_connection_ends() {
    let (mut server, mut client, login) = with_session(Deliver::Nothing);
    let resumed = || {
        let mut client = BinaryClient::connect(server.address());
        client
            .resume(login, Deliver::Nothing)
            .expect("the server is there");
        client
    };
    let (mut same_session, mut elsewhere) = (resumed(), BinaryClient::connect(server.address()));
    elsewhere.login("alice", SessionId(8), Deliver::Nothing);
    let kinds = |client: &mut BinaryClient| -> Vec<NoteKind> {
        client.notes().into_iter().map(|(about, _)| about).collect()
    };
    assert!(client.ask(&Request::Logout).last.is_ok());
    assert_eq!(
        same_session.refused(&Request::WhoAmI),
        ErrorCode::SessionGone
    );
    assert_eq!(kinds(&mut same_session), [NoteKind::SessionEnded]);

    server
        .login("alice")
        .expect(&format!("DELETE {PASSWORD}"), "OK deleted alice");
    assert!(elsewhere.until_closed().is_none());
    assert_eq!(kinds(&mut elsewhere), [NoteKind::AccountDeleted]);

    server.terminate();
    server.wait();
    assert!(same_session.until_closed().is_none());
    assert_eq!(kinds(&mut same_session), [NoteKind::ServerStops]);
}

#[test]
fn errors_from_before_a_session_ended_are_not_held_against_the_next_login() {
    let (server, mut client, login) = with_session(Deliver::Nothing);
    let mut elsewhere = BinaryClient::connect(server.address());
    elsewhere
        .resume(login, Deliver::Nothing)
        .expect("the server is there");
    let nobody = Request::Send {
        to: Name::parse("nobody").expect("a name"),
        text: Text::parse("is there anybody").expect("a text"),
    };
    for _ in 0..20 {
        assert_eq!(client.refused(&nobody), ErrorCode::NoSuchAccount);
    }
    assert!(asked(&mut elsewhere, 100, 100, &Request::Logout).is_ok());
    // What it had sent ahead, too, does not close the connection.
    for _ in 0..20 {
        assert_eq!(client.refused(&Request::WhoAmI), ErrorCode::SessionGone);
    }
    client.login("alice", SessionId(8), Deliver::Nothing);
    assert!(client.ask(&Request::WhoAmI).last.is_ok());
}

#[test]
fn a_session_is_nothing_without_its_secret() {
    let (server, _client, login) = with_session(Deliver::Nothing);
    let mut stranger = BinaryClient::connect(server.address());
    let mut wrong = login.secret.0;
    wrong[31] ^= 1;
    for (session, secret) in [(login.session, wrong), (SessionId(1), login.secret.0)] {
        let code = stranger.refused(&Request::Resume {
            session,
            secret: Secret(secret),
            deliver: Deliver::Unread,
        });
        assert!(
            matches!(code, ErrorCode::SessionGone | ErrorCode::BadLogin),
            "{code:?}"
        );
        assert_eq!(stranger.refused(&Request::WhoAmI), ErrorCode::NotLoggedIn);
    }
}

#[test]
fn the_least_used_of_seventeen_sessions_is_let_go() {
    let (server, mut first, _) = with_session(Deliver::Nothing);
    let mut second = BinaryClient::connect(server.address());
    second.login("alice", SessionId(100), Deliver::Nothing);
    for n in 1..15 {
        let mut client = BinaryClient::connect(server.address());
        client.login("alice", SessionId(100 + n), Deliver::Nothing);
    }
    // Sixteen are open. The first was opened first, but is used.
    first.send("alice", "still used");
    let mut one_more = BinaryClient::connect(server.address());
    one_more.login("alice", SessionId(200), Deliver::Nothing);
    first.send("alice", "and again");
    let code = second.refused(&message("from a session that is gone"));
    assert!(matches!(code, ErrorCode::SessionGone), "{code:?}");
    assert_eq!(first.log().len(), 2);
}

#[test]
fn a_session_that_was_let_go_last_is_gone_after_a_restart_too() {
    let (mut server, _, oldest) = with_session(Deliver::Nothing);
    let mut last = oldest;
    for n in 0..16 {
        let mut client = BinaryClient::connect(server.address());
        last = client.login("alice", SessionId(100 + n), Deliver::Nothing);
    }
    server.terminate();
    server.wait();
    server.restart();
    let mut client = BinaryClient::connect(server.address());
    let code = client.refused(&Request::Resume {
        session: oldest.session,
        secret: oldest.secret,
        deliver: Deliver::Nothing,
    });
    assert_eq!(code, ErrorCode::SessionGone);
    client
        .resume(last, Deliver::Nothing)
        .expect("the server is there");
}

#[test]
fn a_client_chooses_what_is_delivered() {
    let (server, mut here, login) = with_session(Deliver::Nothing);
    let mut bob = server.account("bob");
    let from_bob: Vec<u64> = (0..3).map(|n| bob.send("alice", &n.to_string())).collect();
    let own = here.send("bob", "own");
    let all = [&from_bob[..], &[own]].concat();

    let delivered = |deliver, count| {
        let mut client = BinaryClient::connect(server.address());
        client.resume(login, deliver).expect("the server is there");
        let messages: Vec<Message> = (0..count).map(|_| client.delivered()).collect();
        assert!(matches!(client.ask(&Request::Ping).last, Ok(Answer::Pong)));
        assert_eq!(client.pushed(), [], "no more than {count}");
        ids(&messages)
    };
    assert_eq!(delivered(Deliver::Nothing, 0), [0; 0]);
    assert_eq!(delivered(Deliver::Unread, 3), from_bob);
    assert_eq!(delivered(Deliver::After(OpNumber::ZERO), 4), all);
    assert_eq!(
        delivered(Deliver::After(OpNumber(from_bob[1])), 2),
        all[2..]
    );

    // Who wants nothing gets nothing.
    let last = bob.send("alice", "last");
    assert!(matches!(here.ask(&Request::Ping).last, Ok(Answer::Pong)));
    assert_eq!(here.pushed(), []);
    assert_eq!(delivered(Deliver::After(OpNumber(own)), 1), [last]);
}

#[test]
fn one_conversation_is_read_without_the_others() {
    let (server, mut alice, _) = with_session(Deliver::Nothing);
    let mut bob = server.account("bob");
    let mut carol = server.account("carol");
    let from_bob = bob.send("alice", "from bob");
    let from_carol = carol.send("alice", "from carol");
    // A conversation is named by its first message.
    let read = asked(
        &mut alice,
        100,
        100,
        &Request::Acknowledge {
            conversation: Some(lastword::types::ConversationId(from_bob)),
            up_to: OpNumber(from_carol),
        },
    );
    assert!(matches!(read, Ok(Answer::Acknowledged { .. })), "{read:?}");
    assert_eq!(ids(&server.text().login_unread("alice")), [from_carol]);
    let again = bob.send("alice", "again");
    assert_eq!(
        ids(&server.text().login_unread("alice")),
        [from_carol, again]
    );
}
