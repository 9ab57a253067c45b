//! Whatever may be said: everything that clients and servers can write, and what comes near it.

use lastword::limits::TEXT_BYTES_MAX;
use lastword::types::*;
use lastword::wire::fields::{SHORT_STRING_BYTES_MAX, cut};
use lastword::wire::frame::{FRAME_VERSION, MAGIC};
use lastword::wire::hello::encode_hello;
use lastword::wire::message::*;
use lastword::wire::reply::{encode_answer, encode_item, encode_push};
use lastword::wire::request::encode_request;
use lastword::wire::{Hello, LinkHello, Role};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use crate::generated_cluster::{addresses, incarnations, lineages};

/// Messages borrow their strings; those of a test live as long as it.
pub fn kept(text: String) -> &'static str {
    text.leak()
}

pub fn names() -> impl Strategy<Value = Name> {
    "[a-z0-9_.-]{1,32}".prop_map(|text| Name::parse(&text).unwrap())
}

pub fn passwords() -> impl Strategy<Value = Password<'static>> {
    "[!-~]{8,128}".prop_map(|text| Password::parse(kept(text)).unwrap())
}

pub fn texts() -> impl Strategy<Value = Text<'static>> {
    prop_oneof![
        "(\\PC|\n|\t|\\\\|n){1,60}",
        ("[ -~]", TEXT_BYTES_MAX - 2..=TEXT_BYTES_MAX).prop_map(|(c, count)| c.repeat(count)),
    ]
    .prop_map(|text| Text::parse(kept(text)).unwrap())
}

/// What a server writes into its lines.
pub fn sentences() -> impl Strategy<Value = &'static str> {
    "\\PC{0,80}".prop_map(kept)
}

/// What a server's lines may be made of, control characters and all.
pub fn any_sentences() -> impl Strategy<Value = String> {
    vec(
        prop_oneof![any::<char>(), select(vec!['\n', '\r', '\x1b', ' '])],
        0..2000,
    )
    .prop_map(String::from_iter)
}

pub fn ids() -> impl Strategy<Value = OpNumber> {
    any::<u64>().prop_map(OpNumber)
}

pub fn secrets() -> impl Strategy<Value = Secret> {
    any::<[u8; 32]>().prop_map(Secret)
}

pub fn sessions() -> impl Strategy<Value = SessionId> {
    (1..u128::MAX).prop_map(SessionId)
}

pub fn conversations() -> impl Strategy<Value = ConversationId> {
    (1..u64::MAX).prop_map(ConversationId)
}

pub fn deliveries() -> impl Strategy<Value = Deliver> {
    prop_oneof![
        Just(Deliver::Nothing),
        Just(Deliver::Unread),
        ids().prop_map(Deliver::After),
    ]
}

pub fn scopes() -> impl Strategy<Value = HistoryScope> {
    prop_oneof![
        Just(HistoryScope::All),
        names().prop_map(HistoryScope::With),
        conversations().prop_map(HistoryScope::Conversation),
    ]
}

pub fn requests() -> impl Strategy<Value = Request<'static>> {
    let plain = select(vec![
        Request::Help,
        Request::Ping,
        Request::Logout,
        Request::WhoAmI,
        Request::Status,
        Request::Quit,
    ]);
    prop_oneof![
        plain,
        (names(), passwords(), option::of(sessions())).prop_map(|(name, password, session)| {
            Request::Create {
                name,
                password,
                session,
            }
        }),
        (
            sentences(),
            sentences(),
            option::of(sessions()),
            deliveries()
        )
            .prop_map(|(name, password, session, deliver)| Request::Login {
                name: cut(name, SHORT_STRING_BYTES_MAX),
                password: cut(password, SHORT_STRING_BYTES_MAX),
                session,
                deliver
            }),
        (sessions(), secrets(), deliveries()).prop_map(|(session, secret, deliver)| {
            Request::Resume {
                session,
                secret,
                deliver,
            }
        }),
        "[!-~]{0,255}".prop_map(|password| Request::Delete {
            password: kept(password)
        }),
        "[a-z*?]{1,128}".prop_map(|pattern| Request::List {
            pattern: kept(pattern)
        }),
        (names(), texts()).prop_map(|(to, text)| Request::Send { to, text }),
        (scopes(), 1..=1000u32, ids()).prop_map(|(scope, limit, before)| Request::History {
            scope,
            limit,
            before
        }),
        (ids(), option::of(1..u32::MAX)).prop_map(|(after, limit)| Request::Log { after, limit }),
        (option::of(conversations()), ids()).prop_map(|(conversation, up_to)| {
            Request::Acknowledge {
                conversation,
                up_to,
            }
        }),
    ]
}

/// A request with numbers that a client may use.
pub fn numbered_requests() -> impl Strategy<Value = (RequestNumber, RequestNumber, Request<'static>)>
{
    (1..u64::MAX - 256, 0..256u64, requests()).prop_map(|(lowest, open, request)| {
        (RequestNumber(lowest + open), RequestNumber(lowest), request)
    })
}

pub fn hellos() -> impl Strategy<Value = Hello> {
    let said = (
        select(vec![Role::Client, Role::Server]),
        1..u16::MAX,
        "[ -~]{0,64}",
        any::<u128>(),
        any::<u16>(),
        any::<u64>(),
    );
    (said, option::of(links())).prop_map(
        |((role, version, software, cluster, server, view), link)| Hello {
            role,
            version,
            software,
            cluster: ClusterId(cluster),
            server: ServerId(server),
            view: ViewNumber(view),
            link: link.filter(|_| role == Role::Server),
        },
    )
}

fn links() -> impl Strategy<Value = LinkHello> {
    (
        lineages(),
        (incarnations(), incarnations()),
        (option::of(addresses()), option::of(addresses())),
        any::<bool>(),
        any::<u64>(),
        any::<u16>(),
    )
        .prop_map(
            |(lineage, (incarnation, ancestor), (address, service), encrypted, nonce, version)| {
                LinkHello {
                    lineage,
                    incarnation,
                    address,
                    encrypted,
                    nonce,
                    ancestor,
                    service,
                    version,
                }
            },
        )
}

pub fn refusals() -> impl Strategy<Value = Refusal> {
    (select(ErrorCode::ALL), sentences()).prop_map(|(code, sentence)| Refusal::new(code, sentence))
}

/// Everything but a refusal.
pub fn answers() -> impl Strategy<Value = Answer<'static>> {
    let plain = select(vec![
        Answer::Helped,
        Answer::Pong,
        Answer::LoggedOut,
        Answer::Reported,
        Answer::Bye,
    ]);
    prop_oneof![
        plain,
        names().prop_map(|name| Answer::Created { name }),
        names().prop_map(|name| Answer::Deleted { name }),
        names().prop_map(|name| Answer::You { name }),
        (names(), any::<u64>(), option::of(secrets())).prop_map(|(name, unread, secret)| {
            Answer::LoggedIn {
                name,
                unread,
                secret,
            }
        }),
        any::<u64>().prop_map(|count| Answer::Listed { count }),
        any::<u64>().prop_map(|count| Answer::Messages { count }),
        ids().prop_map(|id| Answer::Sent { id }),
        ids().prop_map(|up_to| Answer::Acknowledged { up_to }),
    ]
}

pub fn messages() -> impl Strategy<Value = MessageView<'static>> {
    let people = || "[a-z]{1,32}(\\(deleted\\))?".prop_map(kept);
    (
        ids(),
        any::<u64>(),
        conversations(),
        people(),
        people(),
        texts(),
    )
        .prop_map(|(id, time, conversation, from, to, text)| MessageView {
            id,
            time: Timestamp(time),
            conversation,
            from,
            to,
            text: text.as_str(),
        })
}

pub fn items() -> impl Strategy<Value = Item<'static>> {
    prop_oneof![
        sentences().prop_map(Item::Line),
        (names(), any::<bool>()).prop_map(|(name, online)| Item::Account { name, online }),
        messages().prop_map(Item::Message),
    ]
}

pub fn pushes() -> impl Strategy<Value = Push<'static>> {
    prop_oneof![
        messages().prop_map(Push::Message),
        (select(NoteKind::ALL), sentences())
            .prop_map(|(about, sentence)| Push::Note { about, sentence }),
    ]
}

pub fn encoded(encode: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = Vec::new();
    encode(&mut out);
    out
}

/// What a server says, one thing after the other.
pub fn replies() -> impl Strategy<Value = Vec<u8>> {
    let number = || any::<u64>().prop_map(RequestNumber);
    prop_oneof![
        hellos().prop_map(|hello| encoded(|out| encode_hello(out, &hello))),
        (number(), answers()).prop_map(|(n, a)| encoded(|out| encode_answer(out, n, &a))),
        (number(), refusals()).prop_map(|(n, r)| encoded(|out| encode_answer(
            out,
            n,
            &Answer::Refused(&r)
        ))),
        (number(), items()).prop_map(|(n, i)| encoded(|out| encode_item(out, n, &i))),
        pushes().prop_map(|push| encoded(|out| encode_push(out, &push))),
        Just(b"NOTE lastword: type HELP\n".to_vec()),
    ]
}

/// What a client says, one thing after the other.
pub fn asked() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        1 => hellos().prop_map(|hello| encoded(|out| encode_hello(out, &hello))),
        9 => numbered_requests()
            .prop_map(|(n, l, r)| encoded(|out| encode_request(out, n, l, &r))),
    ]
}

/// Lines that are nearly requests.
pub fn lines() -> impl Strategy<Value = Vec<u8>> {
    let word = "(?i)(HELP|PING|CREATE|LOGIN|DELETE|LIST|SEND|HISTORY|LOG|ACK|QUIT)";
    let rest = "( {0,2}(bob|\\*|[0-9]{1,21}|12345678|\\PC|\\\\n|\\\\\\\\|\\\\|\t)){0,4}";
    let line = (word, rest).prop_map(|(word, rest)| [word, rest].concat().into_bytes());
    prop_oneof![
        4 => line,
        1 => vec(any::<u8>(), 0..40),
        1 => (0..200usize).prop_map(|length| vec![b'x'; length]),
    ]
}

pub fn bytes_of_lines() -> impl Strategy<Value = Vec<u8>> {
    let end = select(vec!["\n", "\r\n", "\n\n", " \n", "\r\r\n"]);
    vec((lines(), end), 0..8).prop_map(|lines| {
        let ended = lines
            .into_iter()
            .map(|(line, end)| [line, end.into()].concat());
        ended.collect::<Vec<_>>().concat()
    })
}

/// Bytes with some of them changed, left out, or put in.
pub fn mutated(bytes: impl Strategy<Value = Vec<u8>>) -> impl Strategy<Value = Vec<u8>> {
    let changes = vec((any::<Index>(), any::<u8>(), 0..3u8), 1..5);
    (bytes, changes).prop_map(|(mut bytes, changes)| {
        for (place, byte, how) in changes {
            let place = place.index(bytes.len() + 1);
            match how {
                0 => bytes.insert(place, byte),
                1 if place < bytes.len() => drop(bytes.remove(place)),
                _ if place < bytes.len() => bytes[place] = byte,
                _ => {}
            }
        }
        bytes
    })
}

/// A frame whose header is right and whose body is anything.
pub fn junk_frames() -> impl Strategy<Value = Vec<u8>> {
    let kind = prop_oneof![
        0x0001..=0x0002u16,
        0x0101..=0x0110u16,
        0x0201..=0x0210u16,
        0x0301..=0x0304u16,
        0x0401..=0x0403u16,
        0x1001..=0x1012u16,
        any::<u16>(),
    ];
    (
        kind,
        1..300u64,
        vec(prop_oneof![0..4u8, any::<u8>()], 0..80),
    )
        .prop_map(|(kind, number, body)| {
            let mut out = vec![MAGIC, FRAME_VERSION];
            out.extend(kind.to_be_bytes());
            out.extend((body.len() as u32).to_be_bytes());
            out.extend(number.to_be_bytes());
            out.extend(body);
            out
        })
}
