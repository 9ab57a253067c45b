//! How do two servers talk so that nobody else can listen, change anything or join in?
//!
//! Both have the cluster key. After their plain hellos they shake hands by
//! `Noise_NNpsk0_25519_ChaChaPoly_BLAKE2s`, and from then on everything is sealed:
//!
//! ```text
//!  dialer: Dialled                                    acceptor
//!     │── HELLO ────────────────────────────────────────► │
//!     │ ◄──────────────────────────────────────── HELLO ──│
//!     │── NOISE (first message) ────────────────────────► │ answer
//!     │ ◄────────────────────── NOISE (second message) ───│ Unproven
//!  Secure                                                 │
//!     │── SEALED (nothing) ─────────────────────────────► │ Secure
//!     │ ◄──────────────────── SEALED (frames) ──────────► │
//! ```
//!
//! - The hellos are the handshake's prologue: if anybody has changed a byte of them, it fails.
//! - The first message shows that its sender had the key once, and may have been sent again by a
//!   stranger who only listened. So the acceptor's side is [`Unproven`], which can say nothing and
//!   hear nothing, until a frame is opened that was sealed with the keys of this very handshake.
//!   The dialer sends an empty one at once, so that nobody waits for somebody who has nothing to
//!   say.
//! - Keys come from fresh random bits on both sides: whoever learns the cluster key later still
//!   cannot read what was sent before.
//! - Inside is a stream of the frames of [`frame`](crate::wire::frame), divided into parts of at
//!   most [`PART_BYTES_MAX`] bytes without regard to where a frame ends. The parts are counted, and
//!   the count is sealed with them: one that is missing, doubled, out of its place or changed
//!   cannot be opened, and ends the link.
//!
//! What it does not do: the end of a connection is not sealed, as TCP's end never is; and that a
//! server has not reached itself, through a stranger who hands on every byte, is to be seen from
//! the id in the hello.
//!
//! Nothing here has a socket. Frames come in whole (`decode_frame`), and what has to go out is
//! appended to a buffer.

mod key;

pub use key::{ClusterKey, InvalidKey};

use crate::types::RequestNumber;
use crate::wire::frame::{Frame, HEADER_BYTES, Kind, put_frame};
use snow::params::NoiseParams;
use snow::{Builder, HandshakeState, TransportState};
use std::fmt;

/// What the two sides have to agree upon.
const NOISE: &str = "Noise_NNpsk0_25519_ChaChaPoly_BLAKE2s";
/// Bytes that tell whether a message was changed.
const TAG_BYTES: usize = 16;
/// Bytes of a handshake's message: a public key, and a tag of nothing.
const HANDSHAKE_BYTES: usize = 32 + TAG_BYTES;
/// Longest body of a sealed frame: Noise has no longer messages.
const SEALED_BYTES_MAX: usize = 65_535;
/// Bytes of plain text in a sealed frame: what is longer takes several.
pub const PART_BYTES_MAX: usize = SEALED_BYTES_MAX - TAG_BYTES;

/// Why a link cannot go on. It has to be closed: nothing that follows can be believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LinkError {
    /// The other side has another key, or somebody has changed the hellos or the handshake.
    #[error("the cluster keys differ (--cluster-key)")]
    KeysDiffer,
    /// Something else came than what comes now: the other side may have no key at all.
    #[error(
        "a frame of kind {got:#06x} came where {expected} belongs: has the other server a \
         --cluster-key?",
        got = .got.0
    )]
    OutOfPlace {
        /// What came.
        got: Kind,
        /// What belongs there.
        expected: &'static str,
    },
    /// A frame that no server of this version writes.
    #[error("{0}")]
    Malformed(&'static str),
    /// Somebody has changed, left out, moved or repeated a sealed frame.
    #[error("a sealed frame was changed, left out, moved or repeated on its way")]
    Forged,
}

/// The hellos that have gone before, as they were sent: whole frames.
#[derive(Clone, Copy, Debug)]
pub struct Hellos<'a> {
    /// The one of the side that has connected.
    pub dialer: &'a [u8],
    /// The one of the side that was connected to.
    pub acceptor: &'a [u8],
}

/// The dialer's side, until the acceptor has answered.
pub struct Dialled(Box<HandshakeState>);

/// The acceptor's side, until the dialer has shown that it is no echo of an earlier one.
pub struct Unproven(Secure);

/// One side of a link whose other side has the cluster key, too.
pub struct Secure {
    noise: Box<TransportState>,
    /// Something could not be opened, and so nothing will be.
    broken: bool,
}

impl Dialled {
    /// Begins the handshake: appends its first message to `out`.
    pub fn begin(key: &ClusterKey, hellos: Hellos<'_>, out: &mut Vec<u8>) -> Self {
        let mut noise = builder(key, &hellos.prologue(), |b| b.build_initiator());
        put_handshake(&mut noise, out);
        Self(Box::new(noise))
    }

    /// Takes the acceptor's answer, and appends an empty sealed frame to `out`, which proves to
    /// it that this side is alive.
    pub fn finish(mut self, frame: &Frame<'_>, out: &mut Vec<u8>) -> Result<Secure, LinkError> {
        take_handshake(&mut self.0, frame)?;
        let mut secure = Secure::of(*self.0);
        secure.seal_part(&[], out);
        Ok(secure)
    }
}

impl Unproven {
    /// Takes the first message of a handshake, and appends the answer to `out`. Whoever has sent
    /// it again without knowing the key learns nothing from the answer.
    pub fn answer(
        key: &ClusterKey,
        hellos: Hellos<'_>,
        frame: &Frame<'_>,
        out: &mut Vec<u8>,
    ) -> Result<Self, LinkError> {
        let mut noise = builder(key, &hellos.prologue(), |b| b.build_responder());
        take_handshake(&mut noise, frame)?;
        put_handshake(&mut noise, out);
        Ok(Self(Secure::of(noise)))
    }

    /// Opens the first sealed frame, and appends what is in it to `plain`. From then on the other
    /// side is known to have the key.
    pub fn prove(mut self, frame: &Frame<'_>, plain: &mut Vec<u8>) -> Result<Secure, LinkError> {
        self.0.open(frame, plain)?;
        Ok(self.0)
    }
}

impl Secure {
    /// Appends `plain`, some whole frames or a part of one, to `out` as sealed frames; nothing, if
    /// it is empty.
    pub fn seal(&mut self, plain: &[u8], out: &mut Vec<u8>) {
        for part in plain.chunks(PART_BYTES_MAX) {
            self.seal_part(part, out);
        }
    }

    /// Opens a sealed frame, and appends what is in it to `plain`, where the part of a frame may
    /// stand that came before. `plain` is as it was after an error, and nothing is opened any more.
    pub fn open(&mut self, frame: &Frame<'_>, plain: &mut Vec<u8>) -> Result<(), LinkError> {
        if self.broken {
            return Err(LinkError::Forged);
        }
        let length = plain.len();
        let opened = self.try_open(frame, plain);
        if opened.is_err() {
            self.broken = true;
            plain.truncate(length);
        }
        opened
    }

    /// How many bytes `plain` ones become.
    pub fn sealed_bytes(plain: usize) -> usize {
        plain + plain.div_ceil(PART_BYTES_MAX) * (HEADER_BYTES + TAG_BYTES)
    }

    fn of(handshake: HandshakeState) -> Self {
        let noise = handshake.into_transport_mode();
        Self {
            noise: Box::new(noise.expect("both messages have been exchanged")),
            broken: false,
        }
    }

    fn seal_part(&mut self, part: &[u8], out: &mut Vec<u8>) {
        put_frame(out, Kind::SEALED, RequestNumber(0), |out| {
            let start = out.len();
            out.resize(start + part.len() + TAG_BYTES, 0);
            let written = self.noise.write_message(part, &mut out[start..]);
            // It could only be too long, or the last of 2^64.
            let written = written.expect("a part can be sealed");
            assert_eq!(written, part.len() + TAG_BYTES, "all of it was written");
        });
    }

    fn try_open(&mut self, frame: &Frame<'_>, plain: &mut Vec<u8>) -> Result<(), LinkError> {
        check_header(frame, Kind::SEALED, "a sealed frame")?;
        let sealed = frame.body.len();
        if !(TAG_BYTES..=SEALED_BYTES_MAX).contains(&sealed) {
            return Err(LinkError::Malformed(
                "a sealed frame has 16 to 65535 bytes in its body",
            ));
        }
        let start = plain.len();
        plain.resize(start + sealed - TAG_BYTES, 0);
        match self.noise.read_message(frame.body, &mut plain[start..]) {
            Ok(_) => Ok(()),
            Err(_) => Err(LinkError::Forged),
        }
    }
}

impl Hellos<'_> {
    /// Each is a frame, and says how long it is: no other pair of hellos gives the same bytes.
    fn prologue(self) -> Vec<u8> {
        [self.dialer, self.acceptor].concat()
    }
}

fn builder(
    key: &ClusterKey,
    prologue: &[u8],
    build: impl FnOnce(Builder<'_>) -> Result<HandshakeState, snow::Error>,
) -> HandshakeState {
    let params: NoiseParams = NOISE.parse().expect("snow knows these names");
    Builder::new(params)
        .psk(0, key.bytes())
        .and_then(|builder| builder.prologue(prologue))
        .and_then(build)
        .expect("nothing that a peer says has any part in this")
}

fn put_handshake(noise: &mut HandshakeState, out: &mut Vec<u8>) {
    let mut message = [0; HANDSHAKE_BYTES];
    let written = noise.write_message(&[], &mut message);
    // What it draws its keys from is the only thing that might fail.
    let written = written.expect("the operating system gives random bits");
    assert_eq!(written, HANDSHAKE_BYTES, "a public key and a tag");
    put_frame(out, Kind::NOISE, RequestNumber(0), |out| {
        out.extend_from_slice(&message);
    });
}

fn take_handshake(noise: &mut HandshakeState, frame: &Frame<'_>) -> Result<(), LinkError> {
    check_header(frame, Kind::NOISE, "a message of the handshake")?;
    if frame.body.len() != HANDSHAKE_BYTES {
        return Err(LinkError::Malformed(
            "a message of the handshake has 48 bytes in its body",
        ));
    }
    match noise.read_message(frame.body, &mut []) {
        Ok(_) => Ok(()),
        Err(_) => Err(LinkError::KeysDiffer),
    }
}

/// The header of a frame is not sealed: what it says is either checked here, or makes the body one
/// that cannot be opened.
fn check_header(frame: &Frame<'_>, kind: Kind, expected: &'static str) -> Result<(), LinkError> {
    if frame.kind != kind {
        let got = frame.kind;
        return Err(LinkError::OutOfPlace { got, expected });
    }
    if frame.number != RequestNumber(0) {
        return Err(LinkError::Malformed(
            "frames around sealed ones have the number 0",
        ));
    }
    Ok(())
}

impl fmt::Debug for Dialled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Dialled")
    }
}

impl fmt::Debug for Unproven {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Unproven")
    }
}

impl fmt::Debug for Secure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secure")
            .field("broken", &self.broken)
            .finish_non_exhaustive()
    }
}
