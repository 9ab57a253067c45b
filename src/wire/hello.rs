//! Who is at the other end of the line?
//!
//! Each side of a binary connection begins with a hello: the client at once, the server when it
//! has seen the client's. Clients and other servers come in by the same port, and the hello tells
//! them apart: that of a server which wants a link, or answers one that does, goes on with what
//! servers have to know of each other ([`LinkHello`]). Bytes behind its last field are what only
//! newer peers understand, and are ignored.

use std::net::SocketAddr;

use crate::limits::{FRAME_BODY_BYTES_MAX_BEFORE_LOGIN, SOFTWARE_BYTES_MAX};
use crate::types::{
    ClusterId, ErrorCode, Incarnation, Lineage, RequestNumber, ServerId, ViewNumber,
};

use super::cluster::{
    put_address, put_incarnation, put_lineage, read_address, read_incarnation, read_lineage,
};
use super::decoded::Decoded;
use super::fields::{InvalidField, Reader, put_short_string, put_u8, put_u16, put_u64, put_u128};
use super::frame::{Frame, Kind, decode_frame, put_frame};
use super::message::Refusal;

/// The newest version of the protocol that is spoken here. The lower one of both sides' is used.
pub const PROTOCOL_VERSION: u16 = 1;

/// The version of the messages between servers that is spoken here. All servers of a cluster have to
/// speak the same.
pub const LINK_VERSION: u16 = 4;

/// What each side says first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    /// What the sender is.
    pub role: Role,
    /// The newest version of the protocol that it speaks, from 1.
    pub version: u16,
    /// Its name and version for people, such as `lastword 0.1.0`: at most [`SOFTWARE_BYTES_MAX`]
    /// bytes without control characters.
    pub software: String,
    /// A server's cluster; 0 from a client, and from a server that has none yet.
    pub cluster: ClusterId,
    /// A server's id; 0 from a client, and from a server that has none yet.
    pub server: ServerId,
    /// The newest view that a server knows; 0 from a client, and from a server that knows none.
    pub view: ViewNumber,
    /// What a server says of itself to another that it wants a link with; `None` from a client,
    /// and from a server that talks to one.
    pub link: Option<LinkHello>,
}

/// What servers have to know of each other before they talk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkHello {
    /// The line of the cluster's history that the sender follows.
    pub lineage: Lineage,
    /// Which process of its server the sender is.
    pub incarnation: Incarnation,
    /// The sender's own member address, as others reach it, if it knows that.
    pub address: Option<SocketAddr>,
    /// It has the cluster's key: what comes next is encrypted.
    pub encrypted: bool,
    /// Random, so that what was recorded of one link's beginning is worth nothing on another.
    pub nonce: u64,
    /// The newest process of its server that it descends from and that may have been a member of a
    /// view; 0 if there is none.
    pub ancestor: Incarnation,
    /// The service's address, at which the sender looks for the primary of its cluster.
    pub service: Option<SocketAddr>,
    /// The version of the messages between servers that it speaks: [`LINK_VERSION`]. Servers of
    /// different ones do not understand each other.
    pub version: u16,
}

/// What a peer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Role {
    /// It asks.
    Client = 1,
    /// It is a server: it answers, or it belongs to the cluster.
    Server = 2,
}

impl Hello {
    /// What a client says that calls itself `software`.
    pub fn client(software: &str) -> Self {
        Self {
            role: Role::Client,
            version: PROTOCOL_VERSION,
            software: software.to_owned(),
            cluster: ClusterId(0),
            server: ServerId(0),
            view: ViewNumber(0),
            link: None,
        }
    }

    /// What a server says to a client: it calls itself `software`, and is `server` of `cluster`.
    pub fn server(software: &str, cluster: ClusterId, server: ServerId, view: ViewNumber) -> Self {
        Self {
            role: Role::Server,
            cluster,
            server,
            view,
            ..Self::client(software)
        }
    }

    /// The same, of a server to another.
    pub fn with_link(self, link: LinkHello) -> Self {
        Self {
            link: Some(link),
            ..self
        }
    }
}

/// Writes a hello. A software's name beyond its limit is our own mistake, and so is a client that
/// wants a link.
pub fn encode_hello(out: &mut Vec<u8>, hello: &Hello) {
    assert!(
        is_software(&hello.software),
        "a hello names its software in one short line"
    );
    assert!(
        hello.link.is_none() || hello.role == Role::Server,
        "only servers have links"
    );
    put_frame(out, Kind::HELLO, RequestNumber(0), |out| {
        put_u8(out, hello.role as u8);
        put_u16(out, hello.version);
        put_short_string(out, &hello.software);
        put_u128(out, hello.cluster.0);
        put_u16(out, hello.server.0);
        put_u64(out, hello.view.0);
        if let Some(link) = &hello.link {
            put_u8(out, 1);
            put_link(out, link);
        }
    });
}

fn put_link(out: &mut Vec<u8>, link: &LinkHello) {
    put_lineage(out, link.lineage);
    put_incarnation(out, link.incarnation);
    put_u8(out, u8::from(link.address.is_some()));
    if let Some(address) = link.address {
        put_address(out, address);
    }
    put_u8(out, u8::from(link.encrypted));
    put_u64(out, link.nonce);
    put_incarnation(out, link.ancestor);
    put_u8(out, u8::from(link.service.is_some()));
    if let Some(service) = link.service {
        put_address(out, service);
    }
    put_u16(out, link.version);
}

/// Reads the first frame of a connection, which has to be a hello: before it, a server does not
/// know what it is talking to. For the side that was connected to.
pub fn decode_first(bytes: &[u8]) -> Decoded<Hello> {
    decode_frame(bytes, FRAME_BODY_BYTES_MAX_BEFORE_LOGIN).and_then(|frame| match frame.kind {
        Kind::HELLO => decode_hello(&frame),
        _ => Err(Refusal::new(
            ErrorCode::BadArguments,
            "the first frame of a connection has to be a hello",
        )),
    })
}

/// Reads the hello in a frame of that kind.
pub(super) fn decode_hello(frame: &Frame<'_>) -> Result<Hello, Refusal> {
    Ok(read_hello(Reader::new(frame.body))?)
}

fn read_hello(mut fields: Reader<'_>) -> Result<Hello, InvalidField> {
    let role = match fields.u8()? {
        1 => Role::Client,
        2 => Role::Server,
        _ => return Err(InvalidField::OutOfRange("a hello's role is 1 or 2")),
    };
    let version = fields.u16()?;
    if version == 0 {
        return Err(InvalidField::OutOfRange("a protocol's version is from 1"));
    }
    let software = fields.short_string()?;
    if !is_software(software) {
        return Err(InvalidField::OutOfRange(
            "a software's name has at most 64 bytes without control characters",
        ));
    }
    Ok(Hello {
        role,
        version,
        software: software.to_owned(),
        cluster: ClusterId(fields.u128()?),
        server: ServerId(fields.u16()?),
        view: ViewNumber(fields.u64()?),
        link: match role {
            Role::Client => None,
            Role::Server => read_link(&mut fields)?,
        },
    })
}

/// A flag says whether it is there, so that later versions may add fields behind it to what is
/// said to clients, too; today a server says nothing more to those.
fn read_link(fields: &mut Reader<'_>) -> Result<Option<LinkHello>, InvalidField> {
    if fields.remaining() == 0 || !fields.flag()? {
        return Ok(None);
    }
    let mut link = LinkHello {
        lineage: read_lineage(fields)?,
        incarnation: read_incarnation(fields)?,
        address: match fields.flag()? {
            true => Some(read_address(fields)?),
            false => None,
        },
        encrypted: fields.flag()?,
        nonce: fields.u64()?,
        ancestor: Incarnation::default(),
        service: None,
        version: 1,
    };
    // A server of the first version says no more.
    if fields.remaining() > 0 {
        link.ancestor = read_incarnation(fields)?;
        if fields.flag()? {
            link.service = Some(read_address(fields)?);
        }
        link.version = fields.u16()?;
    }
    Ok(Some(link))
}

/// It goes into logs, so that it must not steer a terminal.
fn is_software(text: &str) -> bool {
    text.len() <= SOFTWARE_BYTES_MAX && !text.contains(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first(hello: &Hello) -> Vec<u8> {
        let mut out = Vec::new();
        encode_hello(&mut out, hello);
        out
    }

    #[test]
    fn a_first_frame_that_is_no_hello_breaks_the_connection() {
        let mut out = Vec::new();
        put_frame(&mut out, Kind::PING, RequestNumber(1), |out| {
            put_u64(out, 1)
        });
        let Decoded::Broken { refusal } = decode_first(&out) else {
            panic!("a PING is no hello");
        };
        assert_eq!(refusal.code, ErrorCode::BadArguments);
        assert!(refusal.sentence.contains("hello"));
    }

    #[test]
    fn software_at_and_above_its_limit() {
        let at_limit = Hello::client(&"x".repeat(SOFTWARE_BYTES_MAX));
        let mut bytes = first(&at_limit);
        assert!(
            matches!(decode_first(&bytes), Decoded::Message { message, .. } if message == at_limit)
        );

        // One byte more, as only somebody else's encoder would write it.
        bytes.insert(20, b'x');
        bytes[19] += 1;
        bytes[7] += 1;
        assert!(matches!(decode_first(&bytes), Decoded::Broken { .. }));
    }

    #[test]
    fn what_newer_peers_say_behind_the_last_field_is_ignored() {
        let hello = Hello::client("newer");
        let mut bytes = first(&hello);
        bytes.push(0xff);
        bytes[7] += 1;
        assert!(
            matches!(decode_first(&bytes), Decoded::Message { message, .. } if message == hello)
        );
    }

    fn link() -> LinkHello {
        LinkHello {
            lineage: Lineage {
                counter: 1,
                random: 2,
            },
            incarnation: Incarnation {
                counter: 3,
                random: 4,
            },
            address: Some("127.0.0.1:5001".parse().unwrap()),
            encrypted: true,
            nonce: 5,
            ancestor: Incarnation {
                counter: 6,
                random: 7,
            },
            service: Some("127.0.0.1:5000".parse().unwrap()),
            version: LINK_VERSION,
        }
    }

    fn server() -> Hello {
        Hello::server("nc", ClusterId(6), ServerId(7), ViewNumber(8))
    }

    /// `bytes` of a hello, with more behind it.
    fn longer(mut bytes: Vec<u8>, more: &[u8]) -> Vec<u8> {
        bytes.extend(more);
        bytes[7] += more.len() as u8;
        bytes
    }

    fn read(bytes: &[u8]) -> Option<Hello> {
        match decode_first(bytes) {
            Decoded::Message { message, .. } => Some(message),
            _ => None,
        }
    }

    #[test]
    fn a_link_stands_behind_what_servers_say_to_clients() {
        let to_client = first(&server());
        let to_server = first(&server().with_link(link()));
        let fields = [
            &[1][..],                                          // there is one
            &[0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 2],             // lineage
            &[0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 4], // incarnation
            &[1, 4, 127, 0, 0, 1, 0x13, 0x89],                 // address
            &[1],                                              // encrypted
            &[0, 0, 0, 0, 0, 0, 0, 5],                         // nonce
            &[0, 0, 0, 0, 0, 0, 0, 6, 0, 0, 0, 0, 0, 0, 0, 7], // ancestor
            &[1, 4, 127, 0, 0, 1, 0x13, 0x88],                 // service
            &[0, 4],                                           // version
        ];
        assert_eq!(to_server, longer(to_client.clone(), &fields.concat()));
        assert_eq!(read(&to_client), Some(server()));
        assert_eq!(read(&to_server), Some(server().with_link(link())));
        assert_eq!(
            read(&longer(to_server, &[0xff])),
            Some(server().with_link(link()))
        );
        assert_eq!(read(&longer(to_client, &[0, 0xff])), Some(server()));
    }

    #[test]
    fn a_link_is_whole_or_not_there_and_no_client_has_one() {
        let behind_view = first(&server()).len();
        let whole = first(&server().with_link(link()));
        let fields = &whole[behind_view..];
        // A server of the first version says nothing of its ancestor.
        let first_version = fields.len() - 26;
        let earlier = read(&longer(first(&server()), &fields[..first_version]));
        assert_eq!(earlier.unwrap().link.unwrap().version, 1);
        for length in (1..fields.len()).filter(|length| *length != first_version) {
            let shorter = longer(first(&server()), &fields[..length]);
            assert_eq!(read(&shorter), None, "{length} bytes");
        }
        for (place, wrong) in [(0, 2), (29, 2), (30, 5), (37, 2)] {
            let mut wrong_fields = fields.to_vec();
            wrong_fields[place] = wrong;
            let bytes = longer(first(&server()), &wrong_fields);
            assert_eq!(read(&bytes), None, "byte {place}");
        }
        let client = Hello::client("nc");
        assert_eq!(read(&longer(first(&client), fields)), Some(client));
    }

    #[test]
    fn wrong_fields_break_the_connection() {
        let bytes = first(&Hello::client("nc"));
        for (place, wrong) in [(16, 0), (16, 3), (18, 0), (20, 0x1b), (20, 0xff)] {
            let mut bytes = bytes.clone();
            bytes[place] = wrong;
            assert!(
                matches!(decode_first(&bytes), Decoded::Broken { .. }),
                "byte {place}"
            );
        }
    }
}
