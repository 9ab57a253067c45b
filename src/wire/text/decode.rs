//! Lines out of bytes.

use crate::types::{ErrorCode, RequestNumber};

use super::super::decoded::Decoded;
use super::super::message::{Asked, Refusal, Request};
use super::commands::parse_line;

/// Finds the requests of one connection in its bytes, line by line. It holds no bytes, and
/// remembers between calls only what they cannot tell.
#[derive(Clone, Debug, Default)]
pub struct TextDecoder {
    /// The line that began was too long, and was refused: its rest, up to and with its end, says
    /// nothing.
    is_skipping: bool,
    /// So many of the bytes that were not consumed have no line end among them. Without this, a
    /// line that comes byte by byte would be searched again for each of them.
    searched: usize,
}

impl TextDecoder {
    /// At the beginning of a connection.
    pub fn new() -> Self {
        Self::default()
    }

    /// Finds the first request in `bytes`, which are all that were received and not yet consumed.
    ///
    /// A line may have `line_bytes_max` bytes; two bytes more, for its end, are all that has to be
    /// kept to decide about it. With `at_end` no byte can follow, and a last line needs no end.
    /// `scratch` is room for a text that does not stand in the line as it is meant; what was in
    /// it is lost.
    pub fn next<'a>(
        &mut self,
        bytes: &'a [u8],
        line_bytes_max: usize,
        at_end: bool,
        scratch: &'a mut String,
    ) -> Decoded<Asked<'a>> {
        let searched = self.searched.min(bytes.len());
        let end = bytes[searched..].iter().position(|&byte| byte == b'\n');
        let (line, consumed) = match end {
            Some(place) => (&bytes[..searched + place], searched + place + 1),
            None if bytes.is_empty() => return Decoded::Incomplete,
            None if at_end => (bytes, bytes.len()),
            None => return self.unfinished(bytes, line_bytes_max),
        };
        self.searched = 0;
        if std::mem::take(&mut self.is_skipping) {
            return Decoded::Nothing { consumed };
        }
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        match parse(line, line_bytes_max, scratch) {
            Some(request) => asked(request, consumed),
            None => Decoded::Nothing { consumed },
        }
    }

    /// Bytes without a line end, and more may come.
    fn unfinished<'a>(&mut self, bytes: &[u8], line_bytes_max: usize) -> Decoded<Asked<'a>> {
        let consumed = bytes.len();
        if self.is_skipping {
            self.searched = 0;
            return Decoded::Nothing { consumed };
        }
        // One byte beyond the limit may be the first half of the line's end.
        if consumed > line_bytes_max + 1 {
            self.searched = 0;
            self.is_skipping = true;
            return asked(Err(too_long(line_bytes_max)), consumed);
        }
        self.searched = consumed;
        Decoded::Incomplete
    }
}

/// `None` for a line with nothing in it.
fn parse<'a>(
    line: &'a [u8],
    line_bytes_max: usize,
    scratch: &'a mut String,
) -> Option<Result<Request<'a>, Refusal>> {
    if line.len() > line_bytes_max {
        return Some(Err(too_long(line_bytes_max)));
    }
    let Ok(line) = std::str::from_utf8(line) else {
        return Some(Err(ErrorCode::NotUtf8.into()));
    };
    if line.bytes().all(|byte| byte == b' ') {
        return None;
    }
    Some(parse_line(line, scratch))
}

fn too_long(line_bytes_max: usize) -> Refusal {
    Refusal::new(
        ErrorCode::TooLong,
        format!("a line has at most {line_bytes_max} bytes here; the rest of it was skipped"),
    )
}

fn asked<'a>(request: Result<Request<'a>, Refusal>, consumed: usize) -> Decoded<Asked<'a>> {
    Decoded::Message {
        message: Asked {
            number: RequestNumber(0),
            lowest_open: RequestNumber(0),
            request,
        },
        consumed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX: usize = 16;

    /// What the decoder makes of bytes that come in these reads: `ok`, or a code's word.
    fn words(reads: &[&[u8]], closes: bool) -> Vec<&'static str> {
        let mut decoder = TextDecoder::new();
        let mut buffer = Vec::new();
        let mut found = Vec::new();
        let last: &[u8] = &[];
        for (number, read) in reads.iter().chain([&last]).enumerate() {
            buffer.extend_from_slice(read);
            let at_end = closes && number == reads.len();
            loop {
                let mut scratch = String::new();
                let consumed = match decoder.next(&buffer, MAX, at_end, &mut scratch) {
                    Decoded::Incomplete => break,
                    Decoded::Nothing { consumed } => consumed,
                    Decoded::Message { message, consumed } => {
                        found.push(match message.request {
                            Ok(_) => "ok",
                            Err(refusal) => refusal.code.word(),
                        });
                        consumed
                    }
                    Decoded::Broken { .. } => panic!("text is never broken"),
                };
                assert!(consumed > 0);
                buffer.drain(..consumed);
            }
            assert!(buffer.len() <= MAX + 1, "no more has to be kept");
        }
        found
    }

    #[test]
    fn lines_end_with_lf_or_crlf_and_empty_ones_say_nothing() {
        assert_eq!(words(&[b"PING\nPING\r\n\n\r\n   \n"], false), ["ok", "ok"]);
        assert_eq!(words(&[b"PI", b"NG\r", b"\n"], false), ["ok"]);
        assert_eq!(words(&[b"PING\rPING\n"], false), ["unknown_command"]);
    }

    #[test]
    fn the_last_line_needs_no_end_once_the_peer_is_done() {
        assert_eq!(words(&[b"PING\nQUIT"], false), ["ok"]);
        assert_eq!(words(&[b"PING\nQUIT"], true), ["ok", "ok"]);
        assert_eq!(words(&[b"PING\nQUIT\r"], true), ["ok", "ok"]);
        assert_eq!(words(&[b"PING\n"], true), ["ok"]);
        assert_eq!(words(&[b"PING\n  "], true), ["ok"]);
    }

    #[test]
    fn lines_at_and_above_their_limit() {
        let at_limit = b"SEND bob 1234567";
        assert_eq!(at_limit.len(), MAX);
        let above = b"SEND bob 12345678";
        for end in ["\n", "\r\n"] {
            let at_limit = [at_limit, end.as_bytes(), b"PING\n"].concat();
            assert_eq!(words(&[&at_limit], false), ["ok", "ok"]);
            let above = [above, end.as_bytes(), b"PING\n"].concat();
            assert_eq!(words(&[&above], false), ["too_long", "ok"]);
        }
        assert_eq!(words(&[above], true), ["too_long"]);
        assert_eq!(words(&[at_limit], true), ["ok"]);
        assert_eq!(words(&[at_limit, b"\r"], true), ["ok"]);
    }

    #[test]
    fn the_rest_of_a_line_that_is_too_long_is_skipped_once() {
        let long = [b'x'; 100];
        assert_eq!(
            words(&[&long, &long, b"\nPING\n"], false),
            ["too_long", "ok"]
        );
        assert_eq!(words(&[&long, b"PING", b"\n"], false), ["too_long"]);
        assert_eq!(words(&[&long, &long], true), ["too_long"]);
        assert_eq!(
            words(&[&long, b"\n", &long], true),
            ["too_long", "too_long"]
        );
    }

    #[test]
    fn a_line_that_is_not_utf8_is_refused_and_the_next_one_is_read() {
        assert_eq!(
            words(&[b"SEND bob \xff\nPING\n"], false),
            ["not_utf8", "ok"]
        );
        assert_eq!(words(&[b"PING\n\xc3"], true), ["ok", "not_utf8"]);
        assert_eq!(words(&[b"SEND bob \xc3", b"\xa4\n"], false), ["ok"]);
    }

    #[test]
    fn a_text_without_a_backslash_is_not_copied() {
        let mut decoder = TextDecoder::new();
        let mut scratch = String::new();
        decoder.next(b"SEND bob plain\n", MAX, false, &mut scratch);
        assert_eq!(scratch.capacity(), 0);
    }
}
