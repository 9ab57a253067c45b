//! Where does a binary frame begin, what is it, and where does it end?
//!
//! ```text
//!  0       1       2               4                               8                       16
//!  ├───────┼───────┼───────────────┼───────────────────────────────┼────────── … ──────────┼─ … ─┤
//!  │ magic │version│     kind      │          body length          │    request number     │ body │
//!  └───────┴───────┴───────────────┴───────────────────────────────┴────────── … ──────────┴─ … ─┘
//! ```
//!
//! The first byte has its highest bit set, which no line of text mode begins with: one look at it
//! tells the two dialects apart.

use byteorder::{BigEndian, ByteOrder};

use crate::types::{ErrorCode, RequestNumber};

use super::decoded::Decoded;
use super::fields::{put_u8, put_u16, put_u32, put_u64};
use super::message::Refusal;

/// The first byte of every frame: an `L` with the highest bit set.
pub const MAGIC: u8 = 0xcc;
/// The second byte of every frame: how the rest of the header is laid out.
pub const FRAME_VERSION: u8 = 1;
/// Bytes of the header.
pub const HEADER_BYTES: usize = 16;

/// What a frame is. The upper byte tells who may say it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Kind(pub u16);

/// The kinds that there are. `0x00xx`: both sides, `0x01xx`: requests of a client, `0x02xx`: the last word of
/// an answer, `0x03xx`: what comes before it, `0x04xx`: what a server says unasked, `0x10xx`:
/// between servers.
impl Kind {
    /// The first frame of each side.
    pub const HELLO: Self = Self(0x0001);

    /// What there is.
    pub const HELP: Self = Self(0x0101);
    /// Is anybody there.
    pub const PING: Self = Self(0x0102);
    /// A new account.
    pub const CREATE: Self = Self(0x0103);
    /// A login with a password.
    pub const LOGIN: Self = Self(0x0104);
    /// A login with a session's secret.
    pub const RESUME: Self = Self(0x0105);
    /// The end of the login and of its session.
    pub const LOGOUT: Self = Self(0x0106);
    /// The end of one's own account.
    pub const DELETE: Self = Self(0x0107);
    /// The accounts.
    pub const LIST: Self = Self(0x0108);
    /// A message.
    pub const SEND: Self = Self(0x0109);
    /// The newest messages.
    pub const HISTORY: Self = Self(0x010a);
    /// All messages.
    pub const LOG: Self = Self(0x010b);
    /// Messages were read.
    pub const ACKNOWLEDGE: Self = Self(0x010c);
    /// As whom one is logged in.
    pub const WHO_AM_I: Self = Self(0x010d);
    /// How the server is.
    pub const STATUS: Self = Self(0x010e);
    /// The end of the connection.
    pub const QUIT: Self = Self(0x010f);

    /// HELP's lines are complete.
    pub const HELPED: Self = Self(0x0201);
    /// Somebody is there.
    pub const PONG: Self = Self(0x0202);
    /// The account exists.
    pub const CREATED: Self = Self(0x0203);
    /// One is logged in, by LOGIN or by RESUME.
    pub const LOGGED_IN: Self = Self(0x0204);
    /// One is not logged in any more.
    pub const LOGGED_OUT: Self = Self(0x0206);
    /// The account is gone.
    pub const DELETED: Self = Self(0x0207);
    /// LIST's accounts are complete.
    pub const LISTED: Self = Self(0x0208);
    /// The message is durable.
    pub const SENT: Self = Self(0x0209);
    /// The messages of HISTORY or LOG are complete.
    pub const MESSAGES: Self = Self(0x020a);
    /// The messages are read.
    pub const ACKNOWLEDGED: Self = Self(0x020c);
    /// As whom one is logged in.
    pub const YOU: Self = Self(0x020d);
    /// STATUS's lines are complete.
    pub const REPORTED: Self = Self(0x020e);
    /// The connection ends.
    pub const BYE: Self = Self(0x020f);
    /// It was not done.
    pub const REFUSED: Self = Self(0x02ff);

    /// A line of HELP or STATUS.
    pub const ITEM_LINE: Self = Self(0x0301);
    /// An account of LIST.
    pub const ITEM_ACCOUNT: Self = Self(0x0302);
    /// A message of HISTORY or LOG.
    pub const ITEM_MESSAGE: Self = Self(0x0303);

    /// A message that was just sent, or that is unread.
    pub const PUSH_MESSAGE: Self = Self(0x0401);
    /// A sentence about the connection.
    pub const PUSH_NOTE: Self = Self(0x0402);

    /// Ops on their way to a backup's journal.
    pub const PREPARE: Self = Self(0x1001);
    /// A message of the handshake by which two servers show each other that they have the cluster
    /// key. It follows the hellos; its number is 0.
    pub const NOISE: Self = Self(0x1002);
    /// A part of the stream of frames that two servers with a cluster key send each other, sealed. Its
    /// number is 0.
    pub const SEALED: Self = Self(0x1003);
    /// How a server is, again and again.
    pub const PEER_PING: Self = Self(0x1004);
    /// The echo of a server's ping.
    pub const PEER_PONG: Self = Self(0x1005);
    /// Ops are on a backup's disk.
    pub const PREPARE_OK: Self = Self(0x1006);
    /// A view that somebody wants to lead.
    pub const PROPOSE: Self = Self(0x1007);
    /// A vote for a proposed view.
    pub const PROMISE: Self = Self(0x1008);
    /// An objection to a proposed view: somebody lives.
    pub const VETO: Self = Self(0x1009);
    /// A proposal or a view comes too late.
    pub const OVERRULED: Self = Self(0x100a);
    /// Who leads.
    pub const LEAD: Self = Self(0x100b);
    /// How a server's log is.
    pub const LOG_STATE: Self = Self(0x100c);
    /// The views that a server stands in.
    pub const STANDING: Self = Self(0x100d);
    /// An id for a new server.
    pub const WELCOME: Self = Self(0x100e);
    /// A server is about to end.
    pub const LEAVE: Self = Self(0x100f);
    /// A part of a snapshot.
    pub const SNAPSHOT: Self = Self(0x1010);
    /// So much of a snapshot is on disk.
    pub const SNAPSHOT_OK: Self = Self(0x1011);
    /// Where a server has links to others.
    pub const ADDRESSES: Self = Self(0x1012);

    /// Something that a server says unasked, perhaps one of a kind that only newer clients know.
    pub(super) fn is_push(self) -> bool {
        self.0 >> 8 == 0x04
    }

    /// Something that servers say to each other, perhaps one of a kind that only newer ones know.
    pub(super) fn is_between_servers(self) -> bool {
        self.0 >> 8 == 0x10
    }
}

/// A whole frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// What it is.
    pub kind: Kind,
    /// The request that it is or belongs to; 0 for a hello, a push and an answer that concerns
    /// the whole connection.
    pub number: RequestNumber,
    /// Its fields.
    pub body: &'a [u8],
}

/// Finds the first frame in `bytes`. Whatever can be wrong in its header breaks the connection,
/// as soon as the wrong byte is there: behind a length that cannot be trusted nothing is found.
pub fn decode_frame(bytes: &[u8], body_bytes_max: usize) -> Decoded<Frame<'_>> {
    if bytes.first().is_some_and(|&magic| magic != MAGIC) {
        return broken(ErrorCode::BadArguments, "a frame begins with the byte cc");
    }
    if bytes
        .get(1)
        .is_some_and(|&version| version != FRAME_VERSION)
    {
        return broken(
            ErrorCode::BadArguments,
            "frames of version 1 are spoken here",
        );
    }
    let Some((header, rest)) = bytes.split_first_chunk::<HEADER_BYTES>() else {
        return Decoded::Incomplete;
    };
    // A length that does not fit into memory's numbers is above every maximum.
    let length = usize::try_from(BigEndian::read_u32(&header[4..8])).unwrap_or(usize::MAX);
    if length > body_bytes_max {
        let sentence = format!("the body of a frame has at most {body_bytes_max} bytes here");
        return Decoded::Broken {
            refusal: Refusal::new(ErrorCode::TooLong, sentence),
        };
    }
    let Some(body) = rest.get(..length) else {
        return Decoded::Incomplete;
    };
    Decoded::Message {
        message: Frame {
            kind: Kind(BigEndian::read_u16(&header[2..4])),
            number: RequestNumber(BigEndian::read_u64(&header[8..16])),
            body,
        },
        consumed: HEADER_BYTES + length,
    }
}

/// Writes a frame whose body is what `put_body` writes.
pub fn put_frame(
    out: &mut Vec<u8>,
    kind: Kind,
    number: RequestNumber,
    put_body: impl FnOnce(&mut Vec<u8>),
) {
    let start = out.len();
    put_u8(out, MAGIC);
    put_u8(out, FRAME_VERSION);
    put_u16(out, kind.0);
    put_u32(out, 0);
    put_u64(out, number.0);
    put_body(out);
    let length = out.len() - start - HEADER_BYTES;
    let length = u32::try_from(length).expect("a body that we write is far below 4 GiB");
    BigEndian::write_u32(&mut out[start + 4..start + 8], length);
}

fn broken<T>(code: ErrorCode, sentence: &'static str) -> Decoded<T> {
    Decoded::Broken {
        refusal: Refusal::new(code, sentence),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_laid_out_as_the_picture_says() {
        let mut out = Vec::new();
        put_frame(&mut out, Kind::SENT, RequestNumber(7), |out| out.push(0xaa));
        assert_eq!(
            out,
            [
                0xcc, 1, 0x02, 0x09, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 7, 0xaa
            ]
        );
        let Decoded::Message { message, consumed } = decode_frame(&out, 1) else {
            panic!("a whole frame is there");
        };
        assert_eq!(consumed, out.len());
        assert_eq!(message.kind, Kind::SENT);
        assert_eq!(message.number, RequestNumber(7));
        assert_eq!(message.body, [0xaa]);
    }

    #[test]
    fn every_beginning_of_a_frame_is_incomplete() {
        let mut out = Vec::new();
        put_frame(&mut out, Kind::SENT, RequestNumber(7), |out| {
            out.extend([0; 5])
        });
        for length in 0..out.len() {
            assert_eq!(decode_frame(&out[..length], 5), Decoded::Incomplete);
        }
    }

    #[test]
    fn a_wrong_header_breaks_the_connection_at_once() {
        let code = |bytes: &[u8]| match decode_frame(bytes, 100) {
            Decoded::Broken { refusal } => refusal.code,
            other => panic!("{other:?}"),
        };
        assert_eq!(code(&[0x80]), ErrorCode::BadArguments);
        assert_eq!(code(&[MAGIC, 2]), ErrorCode::BadArguments);
        assert_eq!(
            code(&[MAGIC, 1, 0, 1, 0, 0, 0, 101, 0, 0, 0, 0, 0, 0, 0, 0]),
            ErrorCode::TooLong
        );
        assert_eq!(
            code(&[MAGIC, 1, 0, 1, 255, 255, 255, 255, 0, 0, 0, 0, 0, 0, 0, 0]),
            ErrorCode::TooLong
        );
    }

    #[test]
    fn a_body_at_its_limit_fits() {
        let mut out = Vec::new();
        put_frame(&mut out, Kind::PING, RequestNumber(1), |out| {
            out.extend([0; 100])
        });
        assert!(matches!(
            decode_frame(&out, 100),
            Decoded::Message { consumed: 116, .. }
        ));
        assert!(matches!(decode_frame(&out, 99), Decoded::Broken { .. }));
    }
}
