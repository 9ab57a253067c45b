//! Does `proto.md` say what the encoders write? Whoever writes a client has nothing else: every
//! dump, table and number of it is compared with the code. (That a server really answers so is
//! shown end to end, with the same dumps.)

use lastword::limits::*;
use lastword::types::*;
use lastword::wire::frame::{FRAME_VERSION, HEADER_BYTES, Kind, MAGIC, put_frame};
use lastword::wire::hello::{LINK_VERSION, PROTOCOL_VERSION, encode_hello};
use lastword::wire::message::*;
use lastword::wire::reply::{decode_from_server, encode_answer, encode_item, encode_push};
use lastword::wire::request::{decode_from_client, encode_request};
use lastword::wire::{Decoded, FromClient, FromServer, Hello, LinkHello};

fn document() -> String {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/proto.md");
    std::fs::read_to_string(path).expect("proto.md stands at the top")
}

/// What stands in the fenced blocks that begin with this word.
fn blocks(tag: &str) -> Vec<String> {
    let document = document();
    let fence = format!("\n```{tag}\n");
    let after_fences = document.split(fence.as_str()).skip(1);
    after_fences
        .map(|rest| rest.split("\n```").next().expect("a block ends").to_owned())
        .collect()
}

/// The bytes of a dump; `None` for one that is not always the same, written as two dots. What
/// stands behind a `#` is for people.
fn dump(block: &str) -> Vec<Option<u8>> {
    let code = block.lines().map(|line| line.split('#').next().unwrap());
    code.flat_map(str::split_whitespace)
        .map(|word| match word {
            ".." => None,
            _ => Some(u8::from_str_radix(word, 16).expect(word)),
        })
        .collect()
}

fn encoded(encode: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = Vec::new();
    encode(&mut out);
    out
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x} ")).collect()
}

fn assert_dumped(block: &str, bytes: &[u8]) {
    let dump = dump(block);
    let fits = dump.len() == bytes.len()
        && dump
            .iter()
            .zip(bytes)
            .all(|(d, b)| d.is_none_or(|d| d == *b));
    assert!(fits, "proto.md says\n{block}\nand this is\n{}", hex(bytes));
}

const SESSION: SessionId = SessionId(0x0011_2233_4455_6677_8899_aabb_ccdd_eeff);

fn alice() -> Name {
    Name::parse("alice").unwrap()
}

/// The requests of the example, a hello first.
fn example_requests() -> Vec<Vec<u8>> {
    let hello = encoded(|out| encode_hello(out, &Hello::client("example")));
    let requests = [
        Request::Create {
            name: alice(),
            password: Password::parse("correct-horse").unwrap(),
            session: Some(SESSION),
        },
        Request::Login {
            name: "alice",
            password: "correct-horse",
            session: Some(SESSION),
            deliver: Deliver::Nothing,
        },
        Request::Send {
            to: alice(),
            text: Text::parse("Hi there").unwrap(),
        },
    ];
    let frames = requests.iter().zip(1..).map(|(request, number)| {
        encoded(|out| encode_request(out, RequestNumber(number), RequestNumber(1), request))
    });
    [hello].into_iter().chain(frames).collect()
}

#[test]
fn the_requests_of_the_example_are_what_the_encoder_writes() {
    let blocks = blocks("hex request");
    let requests = example_requests();
    assert_eq!(blocks.len(), requests.len());
    for (block, request) in blocks.iter().zip(&requests) {
        assert_dumped(block, request);
    }
}

#[test]
fn the_answers_of_the_example_are_what_the_encoder_writes() {
    let software = concat!("lastword ", env!("CARGO_PKG_VERSION"));
    let hello = Hello::server(software, ClusterId(1), ServerId(1), ViewNumber(1));
    let answers = [
        Answer::Created { name: alice() },
        Answer::LoggedIn {
            name: alice(),
            unread: 0,
            secret: Some(Secret([0; 32])),
        },
        Answer::Sent { id: OpNumber(6) },
    ];
    let frames = answers
        .iter()
        .zip(1..)
        .map(|(answer, number)| encoded(|out| encode_answer(out, RequestNumber(number), answer)));
    let hello = encoded(|out| encode_hello(out, &hello));
    let expected: Vec<_> = [hello].into_iter().chain(frames).collect();
    let blocks = blocks("hex answer");
    assert_eq!(blocks.len(), expected.len());
    for (block, answer) in blocks.iter().zip(&expected) {
        assert_dumped(block, answer);
    }
}

#[test]
fn the_other_dumps_are_what_the_encoders_write() {
    let message = MessageView {
        id: OpNumber(6),
        time: Timestamp(1_700_000_000_007),
        conversation: ConversationId(6),
        from: "alice",
        to: "alice",
        text: "Hi there",
    };
    let refusal = Refusal::from(ErrorCode::NoSuchAccount);
    let number = RequestNumber(4);
    let expected = [
        encoded(|out| encode_push(out, &Push::Message(message))),
        encoded(|out| encode_answer(out, number, &Answer::Refused(&refusal))),
        encoded(|out| {
            let (name, online) = (alice(), true);
            encode_item(out, number, &Item::Account { name, online });
        }),
    ];
    let blocks = blocks("hex");
    assert_eq!(blocks.len(), expected.len());
    for (block, bytes) in blocks.iter().zip(&expected) {
        assert_dumped(block, bytes);
    }
}

#[test]
fn the_one_liner_sends_the_requests_of_the_example() {
    let block = blocks("bash").into_iter().next().expect("a one-liner");
    let quoted: String = block.split('\'').skip(1).step_by(2).collect();
    let mut bytes = Vec::new();
    for escape in quoted.split("\\x").skip(1) {
        bytes.push(u8::from_str_radix(escape.trim(), 16).expect(escape));
    }
    let expected = example_requests().concat();
    assert_eq!(hex(&bytes), hex(&expected));
}

/// The cells of all table rows of a section whose first cell is this one.
fn rows(section: &str, first: &str) -> Vec<Vec<String>> {
    let document = document();
    let heading = format!("\n## {section}\n");
    let (_, rest) = document.split_once(&heading).expect(section);
    let section = rest.split("\n## ").next().unwrap();
    let rows = section.lines().filter(|line| line.starts_with("| "));
    rows.map(|row| {
        let cells = row.trim_matches('|').split('|');
        cells
            .map(|cell| cell.trim().trim_matches('`').to_owned())
            .collect::<Vec<_>>()
    })
    .filter(|cells| cells[0] == first)
    .collect()
}

/// The only row of a section that begins with this cell.
fn row(section: &str, first: &str) -> Vec<String> {
    let mut rows = rows(section, first);
    assert_eq!(rows.len(), 1, "one row for {first}");
    rows.remove(0)
}

#[test]
fn every_error_code_stands_in_its_table() {
    for code in ErrorCode::ALL {
        assert_eq!(row("Errors", &(*code as u16).to_string())[1], code.word());
    }
    let newer = ErrorCode::ALL.len() + 1;
    assert_eq!(rows("Errors", &newer.to_string()).len(), 0);
}

#[test]
fn every_note_stands_in_its_table() {
    for kind in NoteKind::ALL {
        let row = row("Pushes", &format!("note {}", *kind as u16));
        assert!(!row[1].is_empty());
    }
    let newer = NoteKind::ALL.len() + 1;
    assert_eq!(rows("Pushes", &format!("note {newer}")).len(), 0);
}

#[test]
fn every_kind_stands_in_its_table() {
    for (kind, name) in [
        (Kind::HELLO, "HELLO"),
        (Kind::HELP, "HELP"),
        (Kind::PING, "PING"),
        (Kind::CREATE, "CREATE"),
        (Kind::LOGIN, "LOGIN"),
        (Kind::RESUME, "RESUME"),
        (Kind::LOGOUT, "LOGOUT"),
        (Kind::DELETE, "DELETE"),
        (Kind::LIST, "LIST"),
        (Kind::SEND, "SEND"),
        (Kind::HISTORY, "HISTORY"),
        (Kind::LOG, "LOG"),
        (Kind::ACKNOWLEDGE, "ACK"),
        (Kind::WHO_AM_I, "WHOAMI"),
        (Kind::STATUS, "STATUS"),
        (Kind::QUIT, "QUIT"),
        (Kind::HELPED, "HELPED"),
        (Kind::PONG, "PONG"),
        (Kind::CREATED, "CREATED"),
        (Kind::LOGGED_IN, "LOGGED_IN"),
        (Kind::LOGGED_OUT, "LOGGED_OUT"),
        (Kind::DELETED, "DELETED"),
        (Kind::LISTED, "LISTED"),
        (Kind::SENT, "SENT"),
        (Kind::MESSAGES, "MESSAGES"),
        (Kind::ACKNOWLEDGED, "ACKNOWLEDGED"),
        (Kind::YOU, "YOU"),
        (Kind::REPORTED, "REPORTED"),
        (Kind::BYE, "BYE"),
        (Kind::REFUSED, "REFUSED"),
        (Kind::ITEM_LINE, "ITEM_LINE"),
        (Kind::ITEM_ACCOUNT, "ITEM_ACCOUNT"),
        (Kind::ITEM_MESSAGE, "ITEM_MESSAGE"),
        (Kind::PUSH_MESSAGE, "PUSH_MESSAGE"),
        (Kind::PUSH_NOTE, "PUSH_NOTE"),
    ] {
        let section = match kind.0 >> 8 {
            0x00 => "Hello",
            0x01 => "Requests",
            0x04 => "Pushes",
            _ => "Answers and items",
        };
        assert_eq!(row(section, &format!("{:04x}", kind.0))[1], name);
    }
}

#[test]
fn what_servers_say_to_each_other_is_not_for_clients() {
    assert!(document().contains("kinds `10xx`"));
    for kind in Kind::PREPARE.0..=Kind::SNAPSHOT_OK.0 {
        for section in ["Hello", "Requests", "Answers and items", "Pushes"] {
            assert_eq!(rows(section, &format!("{kind:04x}")).len(), 0);
        }
        let frame = encoded(|out| {
            put_frame(out, Kind(kind), RequestNumber(1), |out| {
                out.extend(1u64.to_be_bytes());
            });
        });
        let Decoded::Message {
            message: FromClient::Asked(asked),
            ..
        } = decode_from_client(&frame, FRAME_BODY_BYTES_MAX)
        else {
            panic!("the connection goes on");
        };
        let code = asked.request.map_err(|refusal| refusal.code);
        assert_eq!(code, Err(ErrorCode::UnknownCommand));
    }
}

#[test]
fn a_client_reads_a_hello_that_was_meant_for_a_server_and_what_newer_ones_add() {
    let hello = Hello::server("lastword", ClusterId(1), ServerId(2), ViewNumber(3));
    let link = LinkHello {
        lineage: Lineage::default(),
        incarnation: Incarnation::default(),
        address: None,
        encrypted: false,
        nonce: 0,
        ancestor: Incarnation::default(),
        service: None,
        version: LINK_VERSION,
    };
    let mut longer = encoded(|out| encode_hello(out, &hello.clone().with_link(link)));
    longer.extend([0xff; 9]);
    longer[7] += 9;
    let Decoded::Message {
        message: FromServer::Hello(found),
        consumed,
    } = decode_from_server(&longer)
    else {
        panic!("a hello is one, however long");
    };
    assert_eq!(consumed, longer.len());
    assert_eq!(
        Hello {
            link: None,
            ..found
        },
        hello
    );
}

#[test]
fn every_limit_is_what_the_program_keeps() {
    let seconds = |time: std::time::Duration| time.as_secs() as usize;
    for (what, expected) in [
        ("header", HEADER_BYTES),
        ("magic", usize::from(MAGIC)),
        ("frame version", usize::from(FRAME_VERSION)),
        ("protocol version", usize::from(PROTOCOL_VERSION)),
        (
            "body from a client before login",
            FRAME_BODY_BYTES_MAX_BEFORE_LOGIN,
        ),
        ("body from a client after login", FRAME_BODY_BYTES_MAX),
        ("body from a server", FRAME_BODY_BYTES_MAX_TO_CLIENT),
        ("software", SOFTWARE_BYTES_MAX),
        ("name", NAME_BYTES_MAX),
        ("password, shortest", PASSWORD_BYTES_MIN),
        ("password, longest", PASSWORD_BYTES_MAX),
        ("text", TEXT_BYTES_MAX),
        ("pattern", PATTERN_BYTES_MAX),
        ("sentence or line", SENTENCE_BYTES_MAX),
        ("messages of one HISTORY", HISTORY_MESSAGES_MAX as usize),
        (
            "open requests of a session",
            SESSION_OPEN_REQUESTS_MAX as usize,
        ),
        ("sessions of an account", ACCOUNT_SESSIONS_MAX),
        ("remembered creations", REMEMBERED_CREATIONS_MAX),
        (
            "requests of a connection under way",
            CONNECTION_REQUESTS_MAX,
        ),
        (
            "errors in a row before login",
            ERRORS_BEFORE_LOGIN_MAX as usize,
        ),
        ("time to log in", seconds(LOGIN_TIME_MAX_BINARY)),
        ("time for one frame", seconds(PARTIAL_MESSAGE_TIME_MAX)),
        ("silence before the greeting", seconds(GREETING_AFTER)),
        ("bytes waiting for a client", SEND_QUEUE_BYTES_MAX),
        ("time without reading them", seconds(SEND_QUEUE_FULL_MAX)),
        (
            "wrong passwords without a wait",
            LOGIN_FAILURES_FREE as usize,
        ),
    ] {
        let row = row("Limits", what);
        let number: String = row[1].chars().filter(char::is_ascii_digit).collect();
        assert_eq!(number, expected.to_string(), "{what}");
    }
}
