//! What goes into the client, and what comes out of it?

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use super::super::cluster::Cluster;
use super::super::event::{Ending, Message, Part};
use super::super::show::duration;
use crate::types::{ClusterId, Name, RequestNumber, ServerId, ViewNumber};
use crate::wire::message::{Answer, NoteKind, Refusal};

/// A connection, from the moment at which it is to be made; its number is never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkId(pub u64);

/// What a client has to know at its start.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How it calls itself: at most [`SOFTWARE_BYTES_MAX`](crate::limits::SOFTWARE_BYTES_MAX) bytes
    /// without control characters.
    pub software: String,
    /// The servers that were named, in the order in which they are tried. At least one.
    pub servers: Vec<SocketAddr>,
    /// Members of their cluster that were learnt before.
    pub members: Vec<SocketAddr>,
    /// How long a server that owes an answer may say nothing before it is left.
    pub silence_max: Duration,
    /// The same while a password's hash is computed, for which many may wait.
    pub hashing_max: Duration,
    /// When nothing was heard for so long, the server is asked whether it is there.
    pub heartbeat: Duration,
    /// How often the state of the cluster is asked for; `None`: only when a connection is new.
    pub status_interval: Option<Duration>,
    /// What pauses are drawn from, so that not all clients come back at once.
    pub seed: u64,
}

impl Settings {
    /// What suits a client of `servers`, with pauses drawn from `seed`: a server is left when it has
    /// said nothing for a second.
    pub fn new(servers: Vec<SocketAddr>, seed: u64) -> Self {
        Self {
            software: concat!("lastword client ", env!("CARGO_PKG_VERSION")).to_owned(),
            servers,
            members: Vec::new(),
            silence_max: Duration::from_secs(1),
            hashing_max: Duration::from_secs(10),
            heartbeat: Duration::from_secs(1),
            status_interval: None,
            seed,
        }
    }
}

/// What happens to the connections. What comes from one that has ended is ignored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input<'a> {
    /// It is up. Comes once.
    Connected(LinkId),
    /// It cannot be made, or has broken, as the system says.
    Failed(LinkId, String),
    /// Bytes came.
    Received(LinkId, &'a [u8]),
    /// The server has closed it.
    Closed(LinkId),
}

/// What the client wants done, and what it has to say. The first three are for whoever drives it,
/// the others for whoever uses it.
#[derive(Debug, PartialEq)]
pub enum Output {
    /// Make a connection.
    Dial {
        /// Which.
        link: LinkId,
        /// Where to.
        address: SocketAddr,
    },
    /// Send these bytes.
    Send {
        /// By which connection.
        link: LinkId,
        /// The bytes.
        bytes: Vec<u8>,
    },
    /// Close a connection. Nothing of it is of any use any more.
    HangUp(LinkId),

    /// The members of the cluster are others than were known: worth remembering for the next start.
    Learnt {
        /// The cluster.
        cluster: ClusterId,
        /// Its members' addresses, in the order of their ids.
        members: Vec<SocketAddr>,
    },
    /// A part of an answer.
    Item {
        /// The request that it belongs to.
        number: RequestNumber,
        /// The part.
        item: Part,
    },
    /// A request has its answer: it was done once, or certainly not, and is not open any more. But for
    /// [`ErrorCode::UnknownOutcome`](crate::types::ErrorCode::UnknownOutcome): its session is gone, and
    /// with it the only one who could have told.
    Answered {
        /// The request.
        number: RequestNumber,
        /// What was done (of the kind that was asked for), or why it was not.
        answer: Result<Answer<'static>, Refusal>,
    },
    /// A message came: each once, in the order of their ids; none that was sent from here, as long
    /// as the session lasts in which it was.
    Delivered(Message),
    /// The server said a sentence.
    Noted {
        /// What it is about.
        about: NoteKind,
        /// What it says.
        sentence: String,
    },
    /// It is not as it was with the servers.
    Changed(Change),
    /// How the cluster was a moment ago, and how long the answer took.
    Status {
        /// What the server that serves this client says.
        cluster: Cluster,
        /// From the question to the answer.
        round_trip: Duration,
    },
    /// How long an answer took. (Comes about once in a heartbeat while nothing else is going on.)
    RoundTrip(Duration),
}

/// What has changed between the client and the servers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A server serves this client; after a login, with the session that it had.
    Up {
        /// Where it is.
        address: SocketAddr,
        /// Its id; 0 if it has none yet.
        server: ServerId,
        /// The newest view that it knows.
        view: ViewNumber,
        /// Its name and version.
        software: String,
        /// How long there was none, with the silence of the one before; `None` the first time.
        without: Option<Duration>,
    },
    /// No server serves it any more. Another one is looked for.
    Down {
        /// Which one did.
        address: SocketAddr,
        /// Why it does not any more.
        why: Ending,
    },
    /// A server has said that the cluster does not serve yet, or not now, and why. It is asked again.
    Waiting {
        /// Where it is.
        address: SocketAddr,
        /// What it waits for, and what to do.
        sentence: String,
    },
    /// All servers were tried in vain; they are tried again after a pause.
    Unreachable {
        /// Where, and what came of each.
        tried: Vec<(SocketAddr, String)>,
        /// The pause.
        pause: Duration,
    },
    /// One is not logged in any more, and did not ask for that.
    LoggedOut {
        /// As whom one was.
        name: Name,
        /// Why.
        why: Refusal,
    },
}

/// A sentence for people.
impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Up {
                address,
                without: None,
                ..
            } => write!(f, "connected to {address}"),
            Self::Up {
                address,
                without: Some(without),
                ..
            } => write!(
                f,
                "{address} serves now; there was none for {}",
                duration(*without)
            ),
            Self::Down {
                address,
                why: Ending::Refused(refusal),
            } => write!(
                f,
                "{address} does not serve any more: {}; another server is looked for",
                refusal.sentence
            ),
            Self::Down { address, why } => {
                write!(f, "{address} {why}; another server is looked for")
            }
            Self::Waiting { address, sentence } => {
                write!(f, "{address} does not serve yet: {sentence}")
            }
            Self::Unreachable { tried, .. } => {
                f.write_str("no server serves: ")?;
                for (place, (address, why)) in tried.iter().enumerate() {
                    let comma = if place == 0 { "" } else { ", " };
                    // Some reasons are sentences about the server, others are what it has to say.
                    write!(f, "{comma}{address}: {why}")?;
                }
                Ok(())
            }
            Self::LoggedOut { name, why } => {
                write!(f, "{name} is not logged in any more: {}", why.sentence)
            }
        }
    }
}
