//! Who is at the other end of a link, and may he be there?
//!
//! ```text
//!  dialer                                            acceptor
//!  Connecting
//!     │── hello ─────────────────────────────────────► │   (a client until then)
//!  Greeting                                            │
//!     │ ◄───────────────────────────────────── hello ──│
//!     │                                                │
//!     Up, without a cluster key ──────────────────────Up
//!     │                                                │
//!     │── Noise, first message ──────────────────────► │   Answering
//!  Shaking                                             │
//!     │ ◄───────────────────── Noise, second message ──│   Proving
//!     Up ── a sealed frame ──────────────────────────► Up
//! ```
//!
//! Without a cluster key only servers of the same host are accepted. Whoever is not gets a
//! sentence that says which option would help, and nothing else: not even a hello. Nothing that
//! anybody says before his link is up reaches the replica.
//!
//! A server that has dialed itself (its own address in the place of another's that is gone) knows
//! by the hello that comes back: nobody else listens there, which is as good as a refusal.

use super::Server;
use super::links::{BOUNDS, Heard, Link, link_id, name_of, refusal_in};
use crate::limits::{FRAME_BODY_BYTES_MAX_BEFORE_LOGIN, HANDSHAKE_TIME_MAX};
use crate::net::ConnectionId;
use crate::net::secure::{ClusterKey, Dialled, Hellos, Secure, Unproven};
use crate::replica::{Identity, Input};
use crate::types::{ErrorCode, RequestNumber};
use crate::wire::decoded::Decoded;
use crate::wire::frame::{Frame, Kind, MAGIC, decode_frame};
use crate::wire::hello::{Hello, LINK_VERSION, LinkHello, Role, decode_first, encode_hello};
use crate::wire::message::{Answer, Refusal};
use crate::wire::reply::{decode_from_server, encode_answer};

use super::Alarm;

/// How far a link has come.
pub(super) enum Stage {
    /// It was dialed and is not there yet.
    Connecting,
    /// It was dialed; our hello, which is kept, was sent, and the other one is awaited.
    Greeting(Vec<u8>),
    /// It was dialed, and the acceptor's answer to the first message is awaited.
    Shaking(Identity, Dialled),
    /// The peer has dialed, both hellos were exchanged, and its first message is awaited.
    Answering {
        /// Who it says that it is.
        peer: Identity,
        /// Its hello.
        theirs: Vec<u8>,
        /// Ours.
        ours: Vec<u8>,
    },
    /// The peer has dialed, and has to prove that it has not sent again what it once heard.
    Proving(Identity, Unproven),
    /// The replica knows it.
    Up {
        /// How it is sealed; `None` without a cluster key.
        secure: Option<Secure>,
    },
}

/// Why a peer is no link.
enum NoLink {
    /// It is this very process.
    Oneself,
    /// It may not be one.
    Refused(String),
}

impl Server {
    /// A dialed connection is there: we speak first.
    pub(super) fn connected(&mut self, id: ConnectionId) {
        let ours = self.encoded_hello();
        let Some(link) = self.links.all.get_mut(&id) else {
            return;
        };
        if let Some(out) = self.network.output(id) {
            out.extend_from_slice(&ours);
        }
        link.stage = Stage::Greeting(ours);
        link.said_hello_as = Some(self.replica.identity().member());
        self.expect_handshake(id);
    }

    /// A connection that came in has turned out to be another server's.
    pub(super) fn become_link(&mut self, id: ConnectionId, hello: &Hello, theirs: &[u8]) {
        let Some(client) = self.clients.remove(&id) else {
            return;
        };
        if let Some((_, timer)) = client.timer {
            self.network.cancel_timer(timer);
        }
        // Until it is up it may hold no more than any stranger.
        self.network.mark_as_link(id);
        let Some(connection) = self.network.connection(id) else {
            return;
        };
        connection.resume();
        let link = Link::new(connection.peer(), None, Stage::Greeting(Vec::new()));
        self.links.all.insert(id, link);
        let peer = match self.judge(id, hello) {
            Ok(peer) => peer,
            Err(NoLink::Refused(reason)) => return self.refuse_link(id, &reason),
            Err(NoLink::Oneself) => {
                // The dialing half of this process learns by it whom it has reached.
                self.greet_link(id);
                self.links.all.remove(&id);
                return self.network.close_when_sent(id);
            }
        };
        let ours = self.greet_link(id);
        if self.links.key.is_none() {
            return self.link_is_up(id, peer, None);
        }
        if let Some(link) = self.links.all.get_mut(&id) {
            let theirs = theirs.to_vec();
            link.stage = Stage::Answering { peer, theirs, ours };
        }
        self.expect_handshake(id);
    }

    /// Goes on with a link that is not up yet.
    pub(super) fn shake_hands(&mut self, id: ConnectionId, bytes: &[u8]) -> Heard {
        // Before it has heard a hello, a server takes everybody for a person who reads lines.
        if bytes.first().is_some_and(|first| *first != MAGIC) {
            return self.skip_line(id, bytes);
        }
        let (frame, consumed) = match decode_frame(bytes, FRAME_BODY_BYTES_MAX_BEFORE_LOGIN) {
            Decoded::Message { message, consumed } => (message, consumed),
            Decoded::Incomplete | Decoded::Nothing { .. } => return Heard::NeedsMore,
            Decoded::Broken { .. } => {
                self.give_up(id, "is no Lastword server: its bytes make no sense", false);
                return Heard::Over;
            }
        };
        if frame.kind == Kind::REFUSED {
            let sentence = refusal_in(bytes).unwrap_or_default();
            self.give_up(id, &format!("refuses this server: {sentence}"), false);
            return Heard::Over;
        }
        let Some(link) = self.links.all.get_mut(&id) else {
            return Heard::Over;
        };
        match std::mem::replace(&mut link.stage, Stage::Connecting) {
            Stage::Greeting(ours) => self.greeted(id, &ours, &bytes[..consumed]),
            stage => self.noise(id, stage, &frame),
        }
        if self.links.has(id) {
            Heard::Go(consumed)
        } else {
            Heard::Over
        }
    }

    /// A line in the place of a hello: a note says nothing, a refusal ends the handshake.
    fn skip_line(&mut self, id: ConnectionId, bytes: &[u8]) -> Heard {
        match decode_from_server(bytes) {
            Decoded::Nothing { consumed } => return Heard::Go(consumed),
            Decoded::Incomplete => return Heard::NeedsMore,
            Decoded::Message { .. } | Decoded::Broken { .. } => {}
        }
        match refusal_in(bytes) {
            Some(sentence) => {
                self.give_up(id, &format!("refuses this server: {sentence}"), false);
            }
            None => self.give_up(id, "is no Lastword server: its bytes make no sense", false),
        }
        Heard::Over
    }

    /// The acceptor's hello has come.
    fn greeted(&mut self, id: ConnectionId, ours: &[u8], theirs: &[u8]) {
        let Decoded::Message { message: hello, .. } = decode_first(theirs) else {
            return self.give_up(id, "is no Lastword server: it says no hello", false);
        };
        let peer = match self.judge(id, &hello) {
            Ok(peer) => peer,
            Err(NoLink::Oneself) => return self.give_up(id, "", true),
            Err(NoLink::Refused(reason)) => return self.refuse_link(id, &reason),
        };
        let Some(key) = self.links.key.clone() else {
            return self.link_is_up(id, peer, None);
        };
        let hellos = Hellos {
            dialer: ours,
            acceptor: theirs,
        };
        if let (Some(out), Some(link)) = (self.network.output(id), self.links.all.get_mut(&id)) {
            link.stage = Stage::Shaking(peer, Dialled::begin(&key, hellos, out));
        }
    }

    /// A frame of the handshake by which both show that they have the cluster key.
    fn noise(&mut self, id: ConnectionId, stage: Stage, frame: &Frame<'_>) {
        let Some(out) = self.network.output(id) else {
            return;
        };
        let mut plain = Vec::new();
        let result = match (stage, &self.links.key) {
            (Stage::Shaking(peer, noise), _) => noise
                .finish(frame, out)
                .map(|secure| (peer, Proof::Whole(secure))),
            (Stage::Answering { peer, theirs, ours }, Some(key)) => {
                answer(key, &theirs, &ours, frame, out).map(|it| (peer, Proof::Half(it)))
            }
            (Stage::Proving(peer, noise), _) => noise
                .prove(frame, &mut plain)
                .map(|secure| (peer, Proof::Whole(secure))),
            _ => return self.give_up(id, "sends what does not belong here", false),
        };
        match result {
            Ok((peer, Proof::Whole(secure))) => {
                self.link_is_up(id, peer, Some(secure));
                if let Some(link) = self.links.all.get_mut(&id) {
                    link.plain = plain;
                }
                self.hear_opened(id);
            }
            Ok((peer, Proof::Half(noise))) => {
                if let Some(link) = self.links.all.get_mut(&id) {
                    link.stage = Stage::Proving(peer, noise);
                }
            }
            Err(error) => self.refuse_link(id, &error.to_string()),
        }
    }

    /// Both sides know each other: from now on the replica talks.
    fn link_is_up(&mut self, id: ConnectionId, peer: Identity, secure: Option<Secure>) {
        let me = self.replica.identity().member();
        let Some(link) = self.links.all.get_mut(&id) else {
            return;
        };
        if link.said_hello_as != Some(me) {
            // It has got an id, or has resigned, since it said hello: the peer would take it for
            // the process before.
            return self.give_up(id, "", false);
        }
        link.stage = Stage::Up { secure };
        link.server = peer.server;
        if link.seeks_our_service {
            self.replica.sought_by(peer);
        }
        let input = Input::LinkUp {
            link: link_id(id),
            peer,
            dialed: link.dialed,
        };
        self.bound(id, BOUNDS);
        self.replica.handle_input(input, self.now);
    }

    /// Says who we are, and what was said.
    fn greet_link(&mut self, id: ConnectionId) -> Vec<u8> {
        let ours = self.encoded_hello();
        if let Some(out) = self.network.output(id) {
            out.extend_from_slice(&ours);
        }
        if let Some(link) = self.links.all.get_mut(&id) {
            link.said_hello_as = Some(self.replica.identity().member());
        }
        ours
    }

    fn encoded_hello(&self) -> Vec<u8> {
        let me = self.replica.identity();
        let hello = self.hello().with_link(LinkHello {
            lineage: me.lineage,
            incarnation: me.incarnation,
            address: Some(me.address),
            encrypted: self.links.key.is_some(),
            nonce: super::random(),
            ancestor: me.ancestor,
            service: Some(self.options.service),
            version: LINK_VERSION,
        });
        let mut bytes = Vec::new();
        encode_hello(&mut bytes, &hello);
        bytes
    }

    /// Whether a peer that says this of itself may be a link.
    fn judge(&mut self, id: ConnectionId, hello: &Hello) -> Result<Identity, NoLink> {
        let refused = |sentence: &str| Err(NoLink::Refused(sentence.to_owned()));
        let is_from_this_host = self
            .network
            .connection(id)
            .is_some_and(|connection| connection.is_from_this_host());
        if self.links.key.is_none() && !is_from_this_host {
            return refused(
                "without a cluster key only servers of the same host are accepted; start all of \
                 them with the same --cluster-key FILE",
            );
        }
        if hello.role != Role::Server {
            return refused("it is a client, and no server");
        }
        let Some(link) = hello.link.filter(|link| link.version == LINK_VERSION) else {
            return Err(NoLink::Refused(format!(
                "{} ({}) and {} (link version {LINK_VERSION}) cannot be servers of one cluster: \
                 run the same version everywhere",
                hello.software,
                match hello.link {
                    Some(link) => format!("link version {}", link.version),
                    None => "without replication".to_owned(),
                },
                super::SOFTWARE,
            )));
        };
        match (self.links.key.is_some(), link.encrypted) {
            (true, false) => {
                return refused(
                    "one of the two servers has a cluster key and the other has none; start both \
                     with the same --cluster-key FILE",
                );
            }
            (false, true) => {
                return refused(
                    "one of the two servers has no cluster key and the other has one; start both \
                     with the same --cluster-key FILE",
                );
            }
            _ => {}
        }
        if let Some(our) = self.links.all.get_mut(&id) {
            our.seeks_our_service = link.service == Some(self.options.service);
        }
        let me = self.replica.identity();
        if link.incarnation == me.incarnation && hello.server == me.server {
            return Err(NoLink::Oneself);
        }
        let Some(address) = link.address else {
            return refused("it does not say where others reach it");
        };
        Ok(Identity {
            cluster: hello.cluster,
            lineage: link.lineage,
            server: hello.server,
            incarnation: link.incarnation,
            ancestor: link.ancestor,
            address,
        })
    }

    /// Tells the peer, and our log, why there will be no link.
    fn refuse_link(&mut self, id: ConnectionId, reason: &str) {
        let Some(link) = self.links.all.remove(&id) else {
            return;
        };
        if let Some(out) = self.network.output(id) {
            let refusal = Refusal::new(ErrorCode::BadArguments, reason.to_owned());
            encode_answer(out, RequestNumber(0), &Answer::Refused(&refusal));
        }
        self.network.close_when_sent(id);
        self.complain(&name_of(&link), &format!("is refused: {reason}"));
        if let Some(address) = link.dialed {
            self.dial_failed(address, false);
        }
    }

    /// There will be no link, and nothing to tell the peer.
    fn give_up(&mut self, id: ConnectionId, reason: &str, refused: bool) {
        let Some(link) = self.links.all.remove(&id) else {
            return;
        };
        self.network.close(id);
        if !reason.is_empty() {
            self.complain(&name_of(&link), reason);
        }
        if let Some(address) = link.dialed {
            self.dial_failed(address, refused);
        }
    }

    fn expect_handshake(&mut self, id: ConnectionId) {
        let at = self.now + HANDSHAKE_TIME_MAX;
        self.network.set_timer(at, Alarm::Handshake(id));
    }

    /// Whoever has not shown by now who he is will not.
    pub(super) fn handshake_late(&mut self, id: ConnectionId) {
        if let Some(link) = self.links.all.get(&id)
            && !matches!(link.stage, Stage::Up { .. })
        {
            let reason = "takes connections and does not say who it is: it is stopped or busy, or no \
                          Lastword server";
            self.give_up(id, reason, false);
        }
    }
}

/// How much a frame of the handshake has proven.
enum Proof {
    Whole(Secure),
    Half(Unproven),
}

fn answer(
    key: &ClusterKey,
    theirs: &[u8],
    ours: &[u8],
    frame: &Frame<'_>,
    out: &mut Vec<u8>,
) -> Result<Unproven, crate::net::secure::LinkError> {
    let hellos = Hellos {
        dialer: theirs,
        acceptor: ours,
    };
    Unproven::answer(key, hellos, frame, out)
}
