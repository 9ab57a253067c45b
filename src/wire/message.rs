//! What clients and servers say to each other, whichever dialect it is written in.
//!
//! A dialect turns bytes into [`Request`]s, and [`Answer`]s, [`Item`]s and [`Push`]es into bytes;
//! the rest of the program does not know which one a connection speaks.

use crate::types::{
    ConversationId, ErrorCode, Name, OpNumber, Password, RequestNumber, Secret, SessionId, Text,
    Timestamp,
};

/// What a client asks for.
#[derive(Clone, Debug, PartialEq)]
pub enum Request<'a> {
    /// What there is. Answered with lines.
    Help,
    /// Is anybody there.
    Ping,
    /// A new account.
    Create {
        /// Its name.
        name: Name,
        /// Its password.
        password: Password<'a>,
        /// The session that a retry is known by; `None` in text mode.
        session: Option<SessionId>,
    },
    /// A login. Name and password are as they came: what cannot exist is as wrong as what does
    /// not fit, and gets the same answer.
    Login {
        /// The name that was given.
        name: &'a str,
        /// The password that was given.
        password: &'a str,
        /// The session to open; `None` in text mode.
        session: Option<SessionId>,
        /// What is to be delivered on this connection.
        deliver: Deliver,
    },
    /// A login by a session's secret, without a password.
    Resume {
        /// The session.
        session: SessionId,
        /// What the login gave.
        secret: Secret,
        /// What is to be delivered on this connection.
        deliver: Deliver,
    },
    /// The end of the login, and of its session.
    Logout,
    /// The end of one's own account.
    Delete {
        /// The password that was given.
        password: &'a str,
    },
    /// The accounts whose names match. Answered with accounts.
    List {
        /// `*` stands for any characters, `?` for one.
        pattern: &'a str,
    },
    /// A message to an account.
    Send {
        /// The recipient.
        to: Name,
        /// What it says.
        text: Text<'a>,
    },
    /// The newest messages before some id, oldest first. Answered with messages.
    History {
        /// Where they stand.
        scope: HistoryScope,
        /// How many at most, 1 to [`crate::limits::HISTORY_MESSAGES_MAX`].
        limit: u32,
        /// Only those with a lower id.
        before: OpNumber,
    },
    /// All messages after some id, oldest first. Answered with messages.
    Log {
        /// Only those with a higher id; 0 for all.
        after: OpNumber,
        /// How many at most; `None` for all that there are.
        limit: Option<u32>,
    },
    /// Messages were read.
    Acknowledge {
        /// In this conversation; `None`: in all.
        conversation: Option<ConversationId>,
        /// Up to this id.
        up_to: OpNumber,
    },
    /// As whom one is logged in.
    WhoAmI,
    /// How the server is. Answered with lines.
    Status,
    /// The end of the connection.
    Quit,
}

/// Whose history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HistoryScope {
    /// With everybody.
    All,
    /// With the account that has this name now.
    With(Name),
    /// One conversation, whoever is left in it.
    Conversation(ConversationId),
}

/// What a login wants to have delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deliver {
    /// Nothing.
    Nothing,
    /// What is unread, then what comes.
    Unread,
    /// What came after this id, read or not and also one's own, then what comes.
    After(OpNumber),
}

/// A request with what its frame said around it.
#[derive(Clone, Debug, PartialEq)]
pub struct Asked<'a> {
    /// The request's number; 0 in text mode.
    pub number: RequestNumber,
    /// The lowest number that is still open; 0 in text mode.
    pub lowest_open: RequestNumber,
    /// What is asked, or why it cannot be.
    pub request: Result<Request<'a>, Refusal>,
}

/// A refusal with its sentence for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Why.
    pub code: ErrorCode,
    /// What was wrong and what to do. One line.
    pub sentence: std::borrow::Cow<'static, str>,
}

impl Refusal {
    /// A refusal with a sentence of its own.
    pub fn new(code: ErrorCode, sentence: impl Into<std::borrow::Cow<'static, str>>) -> Self {
        Self {
            code,
            sentence: sentence.into(),
        }
    }
}

impl From<ErrorCode> for Refusal {
    fn from(code: ErrorCode) -> Self {
        Self {
            code,
            sentence: code.sentence().into(),
        }
    }
}

/// The last word of an answer.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer<'a> {
    /// HELP's lines are complete.
    Helped,
    /// Somebody is there.
    Pong,
    /// The account exists.
    Created {
        /// Its name.
        name: Name,
    },
    /// One is logged in.
    LoggedIn {
        /// As whom.
        name: Name,
        /// How many messages are unread. In text mode they follow.
        unread: u64,
        /// What the session can be resumed with; `None` in text mode and after a resume.
        secret: Option<Secret>,
    },
    /// One is not logged in any more.
    LoggedOut,
    /// The account is gone.
    Deleted {
        /// Its name.
        name: Name,
    },
    /// The accounts are complete.
    Listed {
        /// How many they were.
        count: u64,
    },
    /// The message is durable.
    Sent {
        /// Its id.
        id: OpNumber,
    },
    /// The messages of HISTORY or LOG are complete.
    Messages {
        /// How many they were.
        count: u64,
    },
    /// The messages are read.
    Acknowledged {
        /// Up to this id.
        up_to: OpNumber,
    },
    /// As whom one is logged in.
    You {
        /// The account's name.
        name: Name,
    },
    /// STATUS's lines are complete.
    Reported,
    /// The connection ends.
    Bye,
    /// It was not done.
    Refused(&'a Refusal),
}

/// A part of an answer before its last word.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Item<'a> {
    /// A line of HELP or STATUS.
    Line(&'a str),
    /// An account of LIST.
    Account {
        /// Its name.
        name: Name,
        /// Whether somebody is logged in as it.
        online: bool,
    },
    /// A message of HISTORY or LOG.
    Message(MessageView<'a>),
}

/// What a server says unasked.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Push<'a> {
    /// A message for the account that is logged in, or one that it sent from elsewhere.
    Message(MessageView<'a>),
    /// A sentence about the connection.
    Note {
        /// What it is about, for programs.
        about: NoteKind,
        /// What it says, for people. One line.
        sentence: &'a str,
    },
}

/// What a note is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum NoteKind {
    /// Who this server is and how to get help.
    Greeting = 1,
    /// The server lets clients in from now on.
    Ready = 2,
    /// Writes wait while another server takes over.
    WritesWait = 3,
    /// One's own account was deleted from elsewhere; the connection is closed.
    AccountDeleted = 4,
    /// The server stops; the connection is closed.
    ServerStops = 5,
    /// The session was ended from elsewhere; the connection is logged out.
    SessionEnded = 6,
    /// The connection was too slow, idle before login, or one too many; it is closed.
    Closing = 7,
    /// The server is not the primary any more; whoever was logged in on this connection is not.
    SteppedDown = 8,
    /// Messages are damaged on the server's disk, and are left out of what is delivered.
    Damaged = 9,
}

impl NoteKind {
    /// Every kind there is, in the order of their numbers.
    pub const ALL: &'static [Self] = &[
        Self::Greeting,
        Self::Ready,
        Self::WritesWait,
        Self::AccountDeleted,
        Self::ServerStops,
        Self::SessionEnded,
        Self::Closing,
        Self::SteppedDown,
        Self::Damaged,
    ];

    /// The kind with this number, if there is one.
    pub fn from_number(number: u16) -> Option<Self> {
        let place = usize::from(number).checked_sub(1)?;
        Self::ALL.get(place).copied()
    }
}

/// A message as it is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MessageView<'a> {
    /// Its id.
    pub id: OpNumber,
    /// When it was sent.
    pub time: Timestamp,
    /// Where it lives.
    pub conversation: ConversationId,
    /// The sender's name, with `(deleted)` behind it if the account is gone.
    pub from: &'a str,
    /// The recipient's name, likewise.
    pub to: &'a str,
    /// What it says.
    pub text: &'a str,
}
