//! What goes into a connection's core, and what comes out of it?
//!
//! Outputs own what they say, so that the bytes they came in can be dropped at once.

use std::time::Duration;

use crate::types::{ConversationId, Name, OpNumber, RequestNumber, Timestamp};
use crate::wire::hello::Hello;
use crate::wire::message::{Answer, MessageView, NoteKind, Refusal};

/// What happens to a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input<'a> {
    /// It is up. Comes once.
    Connected,
    /// Bytes came.
    Received(&'a [u8]),
    /// The server closed it.
    Closed,
    /// It broke, as the system says.
    Failed(String),
}

/// What a connection wants done, or has to say.
#[derive(Debug, PartialEq)]
pub enum Output {
    /// Send these bytes.
    Send(Vec<u8>),
    /// The server said who it is: from now on it can be asked.
    Greeted(Hello),
    /// A part of an answer.
    Item {
        /// The request that it belongs to.
        number: RequestNumber,
        /// The part.
        item: Part,
    },
    /// A request has its answer and is not open any more.
    Answered {
        /// The request.
        number: RequestNumber,
        /// What was done (of the kind that was asked for), or why it was not.
        answer: Result<Answer<'static>, Refusal>,
    },
    /// A message came.
    Delivered(Message),
    /// The server said a sentence about the connection.
    Noted {
        /// What it is about.
        about: NoteKind,
        /// What it says.
        sentence: String,
    },
    /// It is over: the last output, after which the driver closes the socket.
    Ended {
        /// Why.
        ending: Ending,
        /// Requests without an answer, lowest first: they may or may not have been done.
        open: Vec<RequestNumber>,
    },
}

/// An [`Item`](crate::wire::message::Item) that stands for itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// A line of HELP or STATUS.
    Line(String),
    /// An account of LIST.
    Account {
        /// Its name.
        name: Name,
        /// Whether somebody is logged in as it.
        online: bool,
    },
    /// A message of HISTORY or LOG.
    Message(Message),
}

/// A message that stands for itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Its id.
    pub id: OpNumber,
    /// When it was sent.
    pub time: Timestamp,
    /// Where it lives.
    pub conversation: ConversationId,
    /// The sender's name, with `(deleted)` behind it if the account is gone.
    pub from: String,
    /// The recipient's name, likewise.
    pub to: String,
    /// What it says.
    pub text: String,
}

impl Message {
    /// The message, borrowed.
    pub fn view(&self) -> MessageView<'_> {
        MessageView {
            id: self.id,
            time: self.time,
            conversation: self.conversation,
            from: &self.from,
            to: &self.to,
            text: &self.text,
        }
    }
}

impl From<MessageView<'_>> for Message {
    fn from(view: MessageView<'_>) -> Self {
        Self {
            id: view.id,
            time: view.time,
            conversation: view.conversation,
            from: view.from.to_owned(),
            to: view.to.to_owned(),
            text: view.text.to_owned(),
        }
    }
}

/// Why a connection is over. The sentences begin where the server's address stands.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Ending {
    /// What answered did not do so as a Lastword server does.
    #[error("does not answer as a Lastword server does: {0}")]
    Stranger(String),
    /// It was closed before a hello came.
    #[error(
        "closed the connection without a word; look whether that is a Lastword server, and its log"
    )]
    ClosedUngreeted,
    /// No hello came in time.
    #[error(
        "took the connection but said nothing for {seconds} s; that is no Lastword server, or one that hangs",
        seconds = .0.as_secs_f32()
    )]
    Mute(Duration),
    /// The server closed it.
    #[error("closed the connection")]
    Closed,
    /// It broke.
    #[error("cannot be reached any more: {0}")]
    Failed(String),
    /// The server does not want it.
    #[error("refused the connection: {sentence} ({word})", sentence = .0.sentence, word = .0.code.word())]
    Refused(Refusal),
    /// The server said what makes no sense.
    #[error("said what makes no sense: {0}")]
    Nonsense(String),
    /// Something was asked, and nothing at all was heard for too long.
    #[error("has not answered for {seconds} s", seconds = .0.as_secs_f32())]
    Silent(Duration),
}
