//! What holds for whatever may be said, in both dialects: it comes back as it was, however it was
//! divided into reads, and bytes that nobody meant never panic.

mod generated;
mod generated_cluster;
mod generated_ops;
mod generated_peer;
mod peer;

use generated::*;
use generated_ops::ops;
use lastword::limits::{FRAME_BODY_BYTES_MAX, LINE_BYTES_MAX};
use lastword::types::*;
use lastword::wire::hello::{decode_first, encode_hello};
use lastword::wire::message::*;
use lastword::wire::operation::{decode_op, encode_op};
use lastword::wire::prepare::Prepare;
use lastword::wire::reply::{decode_from_server, encode_answer, encode_item, encode_push};
use lastword::wire::request::{decode_from_client, encode_request};
use lastword::wire::{Decoded, FromClient, FromServer, TextDecoder, text};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

/// Feeds `bytes` in reads that end at `cuts`, and says what was made of them, until they are
/// broken or everything was read. `decode` is told whether more can come.
fn read_all(
    bytes: &[u8],
    cuts: &[usize],
    mut decode: impl FnMut(&[u8], bool) -> Decoded<String>,
) -> Vec<String> {
    let mut ends: Vec<usize> = cuts.iter().map(|cut| cut % (bytes.len() + 1)).collect();
    ends.push(bytes.len());
    ends.sort_unstable();
    let mut found = Vec::new();
    let mut start = 0;
    for (place, &end) in ends.iter().enumerate() {
        loop {
            let at_end = place + 1 == ends.len();
            let consumed = match decode(&bytes[start..end], at_end) {
                Decoded::Incomplete => break,
                Decoded::Nothing { consumed } => consumed,
                Decoded::Message { message, consumed } => {
                    found.push(message);
                    consumed
                }
                Decoded::Broken { refusal } => {
                    found.push(format!("{refusal:?}"));
                    return found;
                }
            };
            assert!(consumed > 0 && start + consumed <= end);
            start += consumed;
        }
    }
    found
}

fn shown<T: std::fmt::Debug>(decoded: Decoded<T>) -> Decoded<String> {
    match decoded {
        Decoded::Incomplete => Decoded::Incomplete,
        Decoded::Nothing { consumed } => Decoded::Nothing { consumed },
        Decoded::Message { message, consumed } => Decoded::Message {
            message: format!("{message:?}"),
            consumed,
        },
        Decoded::Broken { refusal } => Decoded::Broken { refusal },
    }
}

fn read_client(bytes: &[u8], cuts: &[usize]) -> Vec<String> {
    read_all(bytes, cuts, |bytes, _| {
        shown(decode_from_client(bytes, FRAME_BODY_BYTES_MAX))
    })
}

fn read_server(bytes: &[u8], cuts: &[usize]) -> Vec<String> {
    read_all(bytes, cuts, |bytes, _| shown(decode_from_server(bytes)))
}

fn read_lines(bytes: &[u8], line_bytes_max: usize, cuts: &[usize]) -> Vec<String> {
    let mut decoder = TextDecoder::new();
    read_all(bytes, cuts, |bytes, at_end| {
        let mut scratch = String::new();
        shown(decoder.next(bytes, line_bytes_max, at_end, &mut scratch))
    })
}

fn cuts() -> impl Strategy<Value = Vec<usize>> {
    vec(any::<usize>(), 0..12)
}

fn whole<T>(decoded: Decoded<T>, length: usize) -> T {
    match decoded {
        Decoded::Message { message, consumed } if consumed == length => message,
        _ => panic!("all {length} bytes are one message"),
    }
}

proptest! {
    #[test]
    fn a_request_comes_back((number, lowest_open, request) in numbered_requests()) {
        let bytes = encoded(|out| encode_request(out, number, lowest_open, &request));
        let expected = Asked { number, lowest_open, request: Ok(request) };
        let found = whole(decode_from_client(&bytes, FRAME_BODY_BYTES_MAX), bytes.len());
        prop_assert_eq!(found, FromClient::Asked(expected));
    }

    #[test]
    fn a_hello_comes_back(hello in hellos()) {
        let bytes = encoded(|out| encode_hello(out, &hello));
        prop_assert_eq!(whole(decode_first(&bytes), bytes.len()), hello.clone());
        let found = whole(decode_from_server(&bytes), bytes.len());
        prop_assert_eq!(found, FromServer::Hello(hello));
    }

    #[test]
    fn a_damaged_hello_is_refused_or_another_hello(bytes in mutated(hellos().prop_map(|hello| encoded(|out| encode_hello(out, &hello))))) {
        if let Decoded::Message { message, .. } = decode_first(&bytes) {
            let again = encoded(|out| encode_hello(out, &message));
            prop_assert_eq!(whole(decode_first(&again), again.len()), message);
        }
    }

    #[test]
    fn an_answer_comes_back(number: u64, answer in answers()) {
        let number = RequestNumber(number);
        let bytes = encoded(|out| encode_answer(out, number, &answer));
        let found = whole(decode_from_server(&bytes), bytes.len());
        prop_assert_eq!(found, FromServer::Answer { number, answer: Ok(answer) });
    }

    #[test]
    fn a_refusal_comes_back(number: u64, refusal in refusals()) {
        let number = RequestNumber(number);
        let bytes = encoded(|out| encode_answer(out, number, &Answer::Refused(&refusal)));
        let found = whole(decode_from_server(&bytes), bytes.len());
        prop_assert_eq!(found, FromServer::Answer { number, answer: Err(refusal) });
    }

    #[test]
    fn an_item_comes_back(number: u64, item in items()) {
        let number = RequestNumber(number);
        let bytes = encoded(|out| encode_item(out, number, &item));
        let found = whole(decode_from_server(&bytes), bytes.len());
        prop_assert_eq!(found, FromServer::Item { number, item });
    }

    #[test]
    fn a_push_comes_back(push in pushes()) {
        let bytes = encoded(|out| encode_push(out, &push));
        let found = whole(decode_from_server(&bytes), bytes.len());
        prop_assert_eq!(found, FromServer::Push(push));
    }

    #[test]
    fn an_op_comes_back_and_takes_nothing_more(op in ops()) {
        let mut bytes = encoded(|out| encode_op(out, &op));
        prop_assert_eq!(decode_op(&bytes), Ok(op.clone()));
        bytes.push(0);
        prop_assert_ne!(decode_op(&bytes), Ok(op));
    }

    #[test]
    fn a_prepare_comes_back(numbers: [u64; 3], op in 1..u64::MAX, payload: Vec<u8>) {
        let prepare = Prepare {
            view: ViewNumber(numbers[0]),
            op: OpNumber(op),
            commit: OpNumber(numbers[1]),
            time: Timestamp(numbers[2]),
            payload: &payload,
        };
        let bytes = encoded(|out| prepare.encode(out));
        prop_assert_eq!(bytes.len(), Prepare::HEADER_BYTES + payload.len());
        prop_assert_eq!(Prepare::decode(&bytes), Ok(prepare));
    }

    #[test]
    fn a_text_is_shown_as_send_takes_it(message in messages()) {
        let mut line = encoded(|out| text::encode_push(out, &Push::Message(message)));
        // MSG id time from to text
        let words: usize = line.split(|&byte| byte == b' ').take(5).map(|w| w.len() + 1).sum();
        line.splice(..words, *b"SEND bob ");
        let mut scratch = String::new();
        let found = TextDecoder::new().next(&line, LINE_BYTES_MAX, false, &mut scratch);
        let Ok(Request::Send { text, .. }) = whole(found, line.len()).request else {
            // Spaces right behind the name belong to the name.
            prop_assert!(message.text.trim_start_matches(' ').is_empty());
            return Ok(());
        };
        prop_assert_eq!(text.as_str(), message.text.trim_start_matches(' '));
    }

    #[test]
    fn what_a_server_writes_is_one_line_whatever_it_was_made_of(sentence in any_sentences(), code in select(ErrorCode::ALL)) {
        let refusal = Refusal::new(code, sentence.clone());
        let note = Push::Note { about: NoteKind::Ready, sentence: &sentence };
        for line in [
            encoded(|out| text::encode_answer(out, &Answer::Refused(&refusal))),
            encoded(|out| text::encode_item(out, &Item::Line(&sentence))),
            encoded(|out| text::encode_push(out, &note)),
        ] {
            let line = String::from_utf8(line).unwrap();
            prop_assert_eq!(line.find(char::is_control), Some(line.len() - 1));
        }
        let number = RequestNumber(1);
        for frame in [
            encoded(|out| encode_answer(out, number, &Answer::Refused(&refusal))),
            encoded(|out| encode_item(out, number, &Item::Line(&sentence))),
            encoded(|out| encode_push(out, &note)),
        ] {
            whole(decode_from_server(&frame), frame.len());
        }
    }

    #[test]
    fn reads_make_no_difference_to_a_server(parts in vec(asked(), 0..5), cuts in cuts()) {
        let bytes = parts.concat();
        let found = read_client(&bytes, &[]);
        prop_assert_eq!(found.len(), parts.len());
        prop_assert_eq!(read_client(&bytes, &cuts), found);
    }

    #[test]
    fn reads_make_no_difference_to_a_client(parts in vec(replies(), 0..5), cuts in cuts()) {
        let bytes = parts.concat();
        prop_assert_eq!(read_server(&bytes, &cuts), read_server(&bytes, &[]));
    }

    #[test]
    fn reads_make_no_difference_to_lines(bytes in bytes_of_lines(), cuts in cuts(), max in 4..100usize) {
        let found = read_lines(&bytes, max, &[]);
        prop_assert_eq!(read_lines(&bytes, max, &cuts), found.clone());
        let byte_by_byte: Vec<_> = (0..bytes.len()).collect();
        prop_assert_eq!(read_lines(&bytes, max, &byte_by_byte), found);
    }

    #[test]
    fn damaged_bytes_are_read_alike_in_any_reads(
        requests in mutated(vec(asked(), 1..4).prop_map(|parts| parts.concat())),
        replies in mutated(vec(replies(), 1..4).prop_map(|parts| parts.concat())),
        lines in mutated(bytes_of_lines()),
        cuts in cuts(),
    ) {
        prop_assert_eq!(read_client(&requests, &cuts), read_client(&requests, &[]));
        prop_assert_eq!(read_server(&replies, &cuts), read_server(&replies, &[]));
        prop_assert_eq!(read_lines(&lines, 60, &cuts), read_lines(&lines, 60, &[]));
    }

    #[test]
    fn junk_in_whole_frames_is_refused_or_understood(frames in vec(junk_frames(), 0..5), cuts in cuts()) {
        let bytes = frames.concat();
        prop_assert_eq!(read_client(&bytes, &cuts), read_client(&bytes, &[]));
        prop_assert_eq!(read_server(&bytes, &cuts), read_server(&bytes, &[]));
        for frame in &frames {
            decode_first(frame);
        }
    }

    #[test]
    fn random_bytes_never_panic(bytes: Vec<u8>, cuts in cuts()) {
        prop_assert_eq!(read_client(&bytes, &cuts), read_client(&bytes, &[]));
        prop_assert_eq!(read_server(&bytes, &cuts), read_server(&bytes, &[]));
        prop_assert_eq!(read_lines(&bytes, 60, &cuts), read_lines(&bytes, 60, &[]));
        let _ = (decode_op(&bytes), Prepare::decode(&bytes), decode_first(&bytes));
    }

    #[test]
    fn a_damaged_op_is_refused_or_another_op(bytes in mutated(ops().prop_map(|op| encoded(|out| encode_op(out, &op))))) {
        if let Ok(op) = decode_op(&bytes) {
            let again = encoded(|out| encode_op(out, &op));
            prop_assert_eq!(decode_op(&again), Ok(op));
        }
    }
}
