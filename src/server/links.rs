//! How do messages get to the other servers, and back?
//!
//! A link is a connection to another server, dialed by either side. It is full duplex, and every
//! message is a frame of its own: nothing on it waits for anything else. Its beginning, until it
//! is known who is there and that he may be, is the business of [`handshake`](super::handshake).
//!
//! Bytes on a link that make no sense end that link with a line in the log, and nothing else.

use std::net::SocketAddr;

use super::Server;
use super::complaints::Complaints;
use super::handshake::Stage;
use crate::limits::{
    HANDSHAKE_TIME_MAX, LINK_INPUT_BYTES_MAX, LINK_SEND_QUEUE_BYTES_MAX, PEER_FRAME_BODY_BYTES_MAX,
};
use crate::net::secure::{ClusterKey, Secure};
use crate::net::{Bounds, CloseReason, ConnectionId};
use crate::replica::{Input, LinkId, Unwanted};
use crate::types::{ErrorCode, Member, NumberMap, RequestNumber, ServerId};
use crate::wire::decoded::Decoded;
use crate::wire::frame::{Kind, decode_frame};
use crate::wire::message::{Answer, Refusal};
use crate::wire::peer::{PeerMessage, decode_peer, encode_peer};
use crate::wire::reply::{FromServer, decode_from_server, encode_answer};

/// The other servers' connections.
pub(super) struct Links {
    /// Each by its connection.
    pub all: NumberMap<ConnectionId, Link>,
    /// The servers' shared secret, if they have one.
    pub key: Option<ClusterKey>,
    /// What was said about whom.
    pub complaints: Complaints,
    /// Where messages are written before they are sealed; kept for its memory.
    scratch: Vec<u8>,
}

/// A connection to another server, or to what was taken for one.
pub(super) struct Link {
    /// The other end.
    pub peer: SocketAddr,
    /// The address that was dialed; `None` if the peer has dialed.
    pub dialed: Option<SocketAddr>,
    /// How far it has come.
    pub stage: Stage,
    /// Who it is; 0 before it is up, and of a server that has no id yet.
    pub server: ServerId,
    /// As which process this server has said hello by it, once it has.
    pub said_hello_as: Option<Member>,
    /// What was opened and is the part of a message; always empty without a cluster key.
    pub plain: Vec<u8>,
    /// The peer looks for its primary at the address of the service that this server is for, too.
    pub seeks_our_service: bool,
    /// The peer has said that it does not want this link: its end says nothing about the peer.
    dismissed: bool,
}

/// What came of looking at the next bytes of a link.
pub(super) enum Heard {
    /// Drop so many and look again.
    Go(usize),
    /// Nothing can be done with what is there until more has come.
    NeedsMore,
    /// The link has ended.
    Over,
}

impl Links {
    /// No links yet.
    pub fn new(key: Option<ClusterKey>) -> Self {
        Self {
            all: NumberMap::default(),
            key,
            complaints: Complaints::default(),
            scratch: Vec::new(),
        }
    }

    /// Which server is at the other end.
    pub fn server_at(&self, id: ConnectionId) -> Option<ServerId> {
        let link = self.all.get(&id)?;
        (link.server != ServerId(0)).then_some(link.server)
    }

    /// Whether this connection is a link, or may become one.
    pub fn has(&self, id: ConnectionId) -> bool {
        self.all.contains_key(&id)
    }
}

impl Link {
    /// A link that has not come far yet.
    pub fn new(peer: SocketAddr, dialed: Option<SocketAddr>, stage: Stage) -> Self {
        Self {
            peer,
            dialed,
            stage,
            server: ServerId(0),
            said_hello_as: None,
            plain: Vec::new(),
            seeks_our_service: false,
            dismissed: false,
        }
    }

    fn is_up(&self) -> bool {
        matches!(self.stage, Stage::Up { .. })
    }
}

/// What a link may hold: the replica limits what is on its way, and counts on the rest.
pub(super) const BOUNDS: Bounds = Bounds {
    input_bytes_max: LINK_INPUT_BYTES_MAX,
    output_bytes_max: LINK_SEND_QUEUE_BYTES_MAX,
};

/// The replica's name for a link.
pub(super) fn link_id(id: ConnectionId) -> LinkId {
    LinkId(id.to_bits())
}

/// The connection that the replica means.
pub(super) fn connection_of(link: LinkId) -> ConnectionId {
    ConnectionId::from_bits(link.0)
}

impl Server {
    /// Connects to a server, unless that is being tried already.
    pub(super) fn dial(&mut self, address: SocketAddr) {
        let mut all = self.links.all.values();
        if all.any(|link| link.dialed == Some(address) && !link.is_up()) {
            return;
        }
        let patience = HANDSHAKE_TIME_MAX.min(self.options.fresh);
        match self.network.connect(address, patience) {
            Ok(id) => {
                let link = Link::new(address, Some(address), Stage::Connecting);
                self.links.all.insert(id, link);
                self.bound(id, BOUNDS);
            }
            Err(error) => {
                self.complain(&address.to_string(), &format!("cannot be dialed: {error}"));
                self.dial_failed(address, false);
            }
        }
    }

    /// A dialed connection did not come about.
    pub(super) fn connect_failed(
        &mut self,
        id: ConnectionId,
        refused: bool,
        error: std::io::ErrorKind,
    ) {
        let Some(link) = self.links.all.remove(&id) else {
            return;
        };
        // A listener that is being closed resets who is on his way in.
        if !refused && error != std::io::ErrorKind::ConnectionReset {
            self.complain(&link.peer.to_string(), &format!("does not answer: {error}"));
        }
        if let Some(address) = link.dialed {
            self.dial_failed(address, refused);
        }
    }

    pub(super) fn dial_failed(&mut self, address: SocketAddr, refused: bool) {
        let input = Input::DialFailed { address, refused };
        self.replica.handle_input(input, self.now);
    }

    /// Takes in what a link has brought.
    pub(super) fn hear_link(&mut self, id: ConnectionId) {
        let Some(connection) = self.network.connection(id) else {
            return;
        };
        // Taken out while it is read, since messages borrow from it.
        let mut input = std::mem::take(connection.input());
        loop {
            match self.hear_next(id, input.bytes()) {
                Heard::Go(consumed) => input.consume(consumed),
                Heard::NeedsMore => break,
                Heard::Over => return,
            }
        }
        if let Some(connection) = self.network.connection(id) {
            *connection.input() = input;
        }
    }

    fn hear_next(&mut self, id: ConnectionId, bytes: &[u8]) -> Heard {
        let Some(link) = self.links.all.get_mut(&id) else {
            return Heard::Over;
        };
        let Stage::Up { secure } = &mut link.stage else {
            return self.shake_hands(id, bytes);
        };
        let Some(secure) = secure else {
            return self.hear_message(id, bytes);
        };
        let frame = match decode_frame(bytes, PEER_FRAME_BODY_BYTES_MAX) {
            Decoded::Message { message, consumed } => (message, consumed),
            Decoded::Broken { refusal } => return self.senseless(id, &refusal.sentence),
            Decoded::Incomplete | Decoded::Nothing { .. } => return Heard::NeedsMore,
        };
        let (frame, consumed) = frame;
        if let Err(error) = secure.open(&frame, &mut link.plain) {
            return self.senseless(id, &error.to_string());
        }
        match self.hear_opened(id) {
            Heard::Over => Heard::Over,
            Heard::Go(_) | Heard::NeedsMore => Heard::Go(consumed),
        }
    }

    /// Takes in the whole messages among what was opened.
    pub(super) fn hear_opened(&mut self, id: ConnectionId) -> Heard {
        let Some(link) = self.links.all.get_mut(&id) else {
            return Heard::Over;
        };
        let mut plain = std::mem::take(&mut link.plain);
        let mut begin = 0;
        loop {
            match self.hear_message(id, &plain[begin..]) {
                Heard::Go(consumed) => begin += consumed,
                Heard::NeedsMore => break,
                Heard::Over => return Heard::Over,
            }
        }
        plain.drain(..begin);
        if let Some(link) = self.links.all.get_mut(&id) {
            link.plain = plain;
        }
        Heard::NeedsMore
    }

    /// Takes in the next message.
    fn hear_message(&mut self, id: ConnectionId, bytes: &[u8]) -> Heard {
        if let Decoded::Message { message, consumed } =
            decode_frame(bytes, PEER_FRAME_BODY_BYTES_MAX)
            && message.kind == Kind::REFUSED
        {
            self.dismissed(id, bytes);
            return Heard::Go(consumed);
        }
        match decode_peer(bytes) {
            Decoded::Incomplete => Heard::NeedsMore,
            Decoded::Nothing { consumed } => Heard::Go(consumed),
            Decoded::Broken { refusal } => self.senseless(id, &refusal.sentence),
            Decoded::Message { message, consumed } => {
                self.take_message(id, message);
                Heard::Go(consumed)
            }
        }
    }

    fn take_message(&mut self, id: ConnectionId, message: PeerMessage) {
        match message {
            PeerMessage::Snapshot(part) => self.take_snapshot_part(id, part),
            PeerMessage::SnapshotOk { applied, bytes } => {
                self.snapshot_acknowledged(id, applied, bytes);
            }
            message => {
                let link = link_id(id);
                let input = Input::Message { link, message };
                self.replica.handle_input(input, self.now);
            }
        }
    }

    /// The peer has said why it does not want the link.
    fn dismissed(&mut self, id: ConnectionId, bytes: &[u8]) {
        let Some(link) = self.links.all.get_mut(&id) else {
            return;
        };
        link.dismissed = true;
        let peer = name_of(link);
        let Some(sentence) = refusal_in(bytes) else {
            return;
        };
        let what = format!("refuses this server: {sentence}");
        let mut harmless = [Unwanted::Redundant, Unwanted::Twice].into_iter();
        match harmless.find(|why| sentence == why.to_string()) {
            Some(why) => self.complain_of(&peer, why, &what),
            None => self.complain(&peer, &what),
        }
    }

    /// Bytes that make no sense: the link ends.
    fn senseless(&mut self, id: ConnectionId, reason: &str) -> Heard {
        let Some(link) = self.links.all.get(&id) else {
            return Heard::Over;
        };
        let peer = name_of(link);
        self.complain(&peer, &format!("sends what makes no sense: {reason}"));
        self.network.close(id);
        self.link_gone(id, false);
        Heard::Over
    }

    /// Sends a message, if the link is still there.
    pub(super) fn send_to_link(&mut self, id: ConnectionId, message: &PeerMessage) {
        let Some(Link {
            stage: Stage::Up { secure },
            ..
        }) = self.links.all.get_mut(&id)
        else {
            return;
        };
        let Some(out) = self.network.output(id) else {
            return;
        };
        match secure {
            None => encode_peer(out, message),
            Some(secure) => {
                let scratch = &mut self.links.scratch;
                scratch.clear();
                encode_peer(scratch, message);
                secure.seal(scratch, out);
            }
        }
    }

    /// Ends a link, and tells the peer why, if there is something to tell.
    pub(super) fn close_link(&mut self, id: ConnectionId, why: Option<Unwanted>) {
        let Some(mut link) = self.links.all.remove(&id) else {
            return;
        };
        self.transfer_ended(id);
        if let Some(why) = why {
            let mut plain = Vec::new();
            let refusal = Refusal::new(ErrorCode::BadArguments, why.to_string());
            encode_answer(&mut plain, RequestNumber(0), &Answer::Refused(&refusal));
            if let (Stage::Up { secure }, Some(out)) = (&mut link.stage, self.network.output(id)) {
                match secure {
                    None => out.extend_from_slice(&plain),
                    Some(secure) => Secure::seal(secure, &plain, out),
                }
            }
            self.complain_of(&name_of(&link), why, &format!("is refused: {why}"));
        }
        self.network.close_when_sent(id);
    }

    /// The peer has ended its half, or the connection is broken.
    pub(super) fn link_closed(&mut self, id: ConnectionId, reason: Option<CloseReason>) {
        let by_peer = matches!(reason, None | Some(CloseReason::Reset));
        if let Some(CloseReason::TooSlow) = reason
            && let Some(link) = self.links.all.get(&id)
        {
            let peer = name_of(link);
            self.complain(&peer, "does not read what it is sent; the link is cut");
        }
        self.network.close(id);
        self.link_gone(id, by_peer);
    }

    /// Forgets a link whose connection is gone.
    pub(super) fn link_gone(&mut self, id: ConnectionId, by_peer: bool) {
        let Some(link) = self.links.all.remove(&id) else {
            return;
        };
        self.transfer_ended(id);
        if link.is_up() {
            let by_peer = by_peer && !link.dismissed;
            let link = link_id(id);
            let input = Input::LinkEnded { link, by_peer };
            self.replica.handle_input(input, self.now);
        } else if let Some(address) = link.dialed {
            if by_peer {
                let reason = "ends the connection before it says that it is a Lastword server";
                log::debug!("{address} {reason}");
            }
            self.dial_failed(address, false);
        }
    }

    /// What a link's other end is called.
    pub(super) fn name_of_link(&self, id: ConnectionId) -> String {
        let link = self.links.all.get(&id);
        link.map_or_else(|| "a server that is gone".into(), name_of)
    }

    /// The same, about a link that is not wanted: as a rule there is nothing wrong when there are two
    /// links for a moment, or when one is there whose end has yet to be seen.
    fn complain_of(&mut self, about: &str, why: Unwanted, what: &str) {
        match why {
            Unwanted::Redundant => log::debug!("{about} {what}"),
            Unwanted::Twice => {
                let complaints = &mut self.links.complaints;
                if complaints.is_news_by_now(about, what, self.now) {
                    log::warn!("{about} {what}");
                }
            }
            _ => self.complain(about, what),
        }
    }

    /// Writes a line to the log about somebody, unless it was written a moment ago.
    pub(super) fn complain(&mut self, about: &str, what: &str) {
        if self.links.complaints.is_news(about, what, self.now) {
            log::warn!("{about} {what}");
        }
    }
}

/// What a link's other end is called: the address that was dialed, or where it comes from.
pub(super) fn name_of(link: &Link) -> String {
    match (link.server, link.dialed) {
        (ServerId(0), Some(address)) => address.to_string(),
        (ServerId(0), None) => format!("a server at {}", link.peer.ip()),
        (server, Some(address)) => format!("server {server} ({address})"),
        (server, None) => format!("server {server}"),
    }
}

/// The sentence of a refusal.
pub(super) fn refusal_in(bytes: &[u8]) -> Option<String> {
    match decode_from_server(bytes) {
        Decoded::Message {
            message:
                FromServer::Answer {
                    answer: Err(refusal),
                    ..
                },
            ..
        } => Some(refusal.sentence.into_owned()),
        _ => None,
    }
}
