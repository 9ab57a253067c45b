//! Is each command understood in every form that it has, and refused in every other?

use super::*;

fn parse(line: &str) -> Result<Request<'static>, Refusal> {
    parse_line(line.to_owned().leak(), Box::leak(Box::default()))
}

fn code(line: &str) -> ErrorCode {
    parse(line).expect_err(line).code
}

fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

fn sent(text: &'static str) -> Result<Request<'static>, Refusal> {
    Ok(Request::Send {
        to: name("bob"),
        text: Text::parse(text).unwrap(),
    })
}

#[test]
fn commands_come_in_any_case_and_words_with_any_number_of_spaces() {
    assert_eq!(parse("ping"), Ok(Request::Ping));
    assert_eq!(parse("  PiNg  "), Ok(Request::Ping));
    assert_eq!(parse("list   a*  "), Ok(Request::List { pattern: "a*" }));
    assert_eq!(parse("LIST"), Ok(Request::List { pattern: "*" }));
    assert_eq!(
        parse("create ALICE  12345678"),
        Ok(Request::Create {
            name: name("alice"),
            password: Password::parse("12345678").unwrap(),
            session: None
        })
    );
    assert_eq!(
        parse("LOGIN not/a/name x"),
        Ok(Request::Login {
            name: "not/a/name",
            password: "x",
            session: None,
            deliver: Deliver::Unread
        })
    );
    assert_eq!(parse("delete x"), Ok(Request::Delete { password: "x" }));
    assert_eq!(parse("logout"), Ok(Request::Logout));
    assert_eq!(parse("whoami"), Ok(Request::WhoAmI));
    assert_eq!(parse("status"), Ok(Request::Status));
    assert_eq!(parse("quit"), Ok(Request::Quit));
    assert_eq!(parse("help"), Ok(Request::Help));
}

#[test]
fn the_text_of_send_is_the_rest_of_the_line() {
    assert_eq!(parse("SEND bob hi"), sent("hi"));
    assert_eq!(parse("SEND  BOB   two  words  "), sent("two  words  "));
    assert_eq!(parse("SEND bob \ttab"), sent("\ttab"));
    assert_eq!(parse("SEND bob *"), sent("*"));
}

#[test]
fn send_takes_two_escapes_and_leaves_other_backslashes() {
    assert_eq!(parse(r"SEND bob one\ntwo"), sent("one\ntwo"));
    assert_eq!(parse(r"SEND bob \\n"), sent(r"\n"));
    assert_eq!(parse(r"SEND bob \\\n"), sent("\\\n"));
    assert_eq!(parse(r"SEND bob \t\ä\"), sent(r"\t\ä\"));
    assert_eq!(parse(r"SEND bob \\"), sent(r"\"));
}

#[test]
fn texts_at_and_above_their_limit() {
    let max = crate::limits::TEXT_BYTES_MAX;
    assert!(parse(&format!("SEND bob {}", "x".repeat(max))).is_ok());
    assert!(parse(&format!("SEND bob {}", r"\n".repeat(max))).is_ok());
    let too_long = parse(&format!("SEND bob {}", "x".repeat(max + 1))).unwrap_err();
    assert_eq!(too_long.code, ErrorCode::TooLong);
    assert!(too_long.sentence.contains("16384"));
    assert_eq!(
        code(&format!("SEND bob {}", r"\n".repeat(max + 1))),
        ErrorCode::TooLong
    );
}

#[test]
fn history_goes_by_place() {
    let history = |scope, limit, before| {
        Ok(Request::History {
            scope,
            limit,
            before: OpNumber(before),
        })
    };
    let bob = HistoryScope::With(name("bob"));
    assert_eq!(parse("HISTORY"), history(HistoryScope::All, 100, u64::MAX));
    assert_eq!(parse("HISTORY bob"), history(bob, 100, u64::MAX));
    assert_eq!(parse("HISTORY bob 1"), history(bob, 1, u64::MAX));
    assert_eq!(
        parse("HISTORY * 1000 7"),
        history(HistoryScope::All, 1000, 7)
    );
    assert_eq!(
        parse("HISTORY 100"),
        history(HistoryScope::With(name("100")), 100, u64::MAX)
    );
    for line in ["HISTORY * 0", "HISTORY * 1001", "HISTORY * 4294967396"] {
        let refusal = parse(line).unwrap_err();
        assert_eq!(refusal.code, ErrorCode::BadArguments);
        assert!(refusal.sentence.contains("1 to 1000"), "{line}");
    }
    assert_eq!(code("HISTORY bob/ 1"), ErrorCode::BadName);
    assert_eq!(code("HISTORY bob 1 2 3"), ErrorCode::BadArguments);
}

#[test]
fn log_and_ack_take_an_id() {
    let log = |after| {
        Ok(Request::Log {
            after: OpNumber(after),
            limit: None,
        })
    };
    assert_eq!(parse("LOG"), log(0));
    assert_eq!(parse("LOG 18446744073709551615"), log(u64::MAX));
    assert_eq!(
        parse("ACK 007"),
        Ok(Request::Acknowledge {
            conversation: None,
            up_to: OpNumber(7)
        })
    );
    for line in [
        "LOG x",
        "LOG -1",
        "LOG +1",
        "LOG 18446744073709551616",
        "ACK",
    ] {
        assert_eq!(code(line), ErrorCode::BadArguments, "{line}");
    }
}

#[test]
fn wrong_arguments_are_shown_the_right_form() {
    for command in COMMANDS {
        let word = split_word(command.form).0;
        let refusal = match word {
            "SEND" => parse("SEND bob"),
            _ => parse(&format!("{word} 1 2 3 4")),
        }
        .unwrap_err();
        assert_eq!(refusal.code, ErrorCode::BadArguments);
        assert_eq!(refusal.sentence, format!("it is written: {}", command.form));
    }
    for line in [
        "CREATE alice",
        "LOGIN",
        "SEND",
        "SEND bob   ",
        "ACK one",
        "DELETE",
    ] {
        assert_eq!(code(line), ErrorCode::BadArguments, "{line}");
    }
}

#[test]
fn wrong_words_get_a_code_of_their_own() {
    assert_eq!(code("CREATE al/ice 12345678"), ErrorCode::BadName);
    assert_eq!(code("CREATE alice 1234567"), ErrorCode::BadPassword);
    assert_eq!(
        code(&format!("CREATE alice {}", "x".repeat(129))),
        ErrorCode::BadPassword
    );
    assert_eq!(
        code(&format!("CREATE {} 12345678", "x".repeat(33))),
        ErrorCode::BadName
    );
    assert_eq!(code("SEND b/ hi"), ErrorCode::BadName);
    assert_eq!(code("SEND bob \x1b[2J"), ErrorCode::BadText);
    assert_eq!(code("SEND bob nul\0"), ErrorCode::BadText);
    assert!(parse(&format!("LIST {}", "x".repeat(128))).is_ok());
    assert_eq!(
        code(&format!("LIST {}", "x".repeat(129))),
        ErrorCode::BadArguments
    );
}

#[test]
fn what_is_no_command_is_not_echoed() {
    for line in [
        "GET / HTTP/1.1",
        "\0\0\0",
        "\x1b[2J",
        "PINGPING",
        "PING\t",
        "\tPING",
        "ping\r",
    ] {
        let refusal = parse(line).unwrap_err();
        assert_eq!(refusal, ErrorCode::UnknownCommand.into(), "{line:?}");
    }
}

#[test]
fn help_names_every_command_and_ack_after_login() {
    let help: Vec<_> = help_lines().collect();
    for command in COMMANDS {
        assert!(help.iter().any(|line| line.starts_with(command.form)));
    }
    assert!(
        help.iter()
            .any(|line| line.contains("unread") && line.contains("ACK"))
    );
    assert!(help.iter().all(|line| line.len() <= 90));
}
