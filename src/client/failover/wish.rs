//! What was asked for, kept for as long as it may have to be asked again.

use crate::types::{ConversationId, Name, OpNumber, Password, SessionId, Text};
use crate::wire::message::{Deliver, HistoryScope, Request};

/// A [`Request`] that stands for itself.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Wish {
    Help,
    Ping,
    Create {
        name: Name,
        /// [`Password::parse`] has taken it.
        password: String,
        session: Option<SessionId>,
    },
    Login(Login),
    Logout,
    Delete {
        password: String,
    },
    List {
        pattern: String,
    },
    Send {
        to: Name,
        /// [`Text::parse`] has taken it.
        text: String,
    },
    History {
        scope: HistoryScope,
        limit: u32,
        before: OpNumber,
    },
    Log {
        after: OpNumber,
        limit: Option<u32>,
    },
    Acknowledge {
        conversation: Option<ConversationId>,
        up_to: OpNumber,
    },
    WhoAmI,
    Status,
}

/// What a login is made with.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Login {
    pub name: String,
    pub password: String,
    pub session: Option<SessionId>,
    pub deliver: Deliver,
}

impl Wish {
    /// `None` for what is the client's own business: RESUME and QUIT.
    pub fn of(request: &Request<'_>) -> Option<Self> {
        Some(match request {
            Request::Help => Self::Help,
            Request::Ping => Self::Ping,
            Request::Create {
                name,
                password,
                session,
            } => Self::Create {
                name: *name,
                password: password.as_str().to_owned(),
                session: *session,
            },
            Request::Login {
                name,
                password,
                session,
                deliver,
            } => Self::Login(Login {
                name: (*name).to_owned(),
                password: (*password).to_owned(),
                session: *session,
                deliver: *deliver,
            }),
            Request::Logout => Self::Logout,
            Request::Delete { password } => Self::Delete {
                password: (*password).to_owned(),
            },
            Request::List { pattern } => Self::List {
                pattern: (*pattern).to_owned(),
            },
            Request::Send { to, text } => Self::Send {
                to: *to,
                text: text.as_str().to_owned(),
            },
            Request::History {
                scope,
                limit,
                before,
            } => Self::History {
                scope: *scope,
                limit: *limit,
                before: *before,
            },
            Request::Log { after, limit } => Self::Log {
                after: *after,
                limit: *limit,
            },
            Request::Acknowledge {
                conversation,
                up_to,
            } => Self::Acknowledge {
                conversation: *conversation,
                up_to: *up_to,
            },
            Request::WhoAmI => Self::WhoAmI,
            Request::Status => Self::Status,
            Request::Resume { .. } | Request::Quit => return None,
        })
    }

    /// The request, as it is sent now.
    pub fn request(&self) -> Request<'_> {
        match self {
            Self::Help => Request::Help,
            Self::Ping => Request::Ping,
            Self::Create {
                name,
                password,
                session,
            } => Request::Create {
                name: *name,
                password: Password::parse(password).expect("it was a password before"),
                session: *session,
            },
            Self::Login(login) => login.request(),
            Self::Logout => Request::Logout,
            Self::Delete { password } => Request::Delete { password },
            Self::List { pattern } => Request::List { pattern },
            Self::Send { to, text } => Request::Send {
                to: *to,
                text: Text::parse(text).expect("it was a text before"),
            },
            Self::History {
                scope,
                limit,
                before,
            } => Request::History {
                scope: *scope,
                limit: *limit,
                before: *before,
            },
            Self::Log { after, limit } => Request::Log {
                after: *after,
                limit: *limit,
            },
            Self::Acknowledge {
                conversation,
                up_to,
            } => Request::Acknowledge {
                conversation: *conversation,
                up_to: *up_to,
            },
            Self::WhoAmI => Request::WhoAmI,
            Self::Status => Request::Status,
        }
    }

    /// Whether it has an effect that must not come twice.
    pub fn is_write(&self) -> bool {
        matches!(
            self,
            Self::Create { .. }
                | Self::Logout
                | Self::Delete { .. }
                | Self::Send { .. }
                | Self::Acknowledge { .. }
        )
    }

    /// Whether it changes who one is: nothing is sent behind it before it has its answer.
    pub fn is_alone(&self) -> bool {
        matches!(self, Self::Login(_) | Self::Logout | Self::Delete { .. })
    }

    /// Whether any server answers it, be it the primary or not.
    pub fn is_for_anybody(&self) -> bool {
        matches!(self, Self::Help | Self::Ping | Self::Status)
    }

    /// Whether it is answered to who is not logged in, too.
    pub fn needs_no_login(&self) -> bool {
        matches!(
            self,
            Self::Help | Self::Ping | Self::Status | Self::Create { .. } | Self::Login(_)
        )
    }
}

impl Login {
    /// A login that was sent and not answered may still be done, long after the one that is sent in
    /// its place: it would give the session a secret that nobody is told. Each is for a session of
    /// its own; nothing was asked in any of them yet.
    pub fn take_another_session(&mut self) {
        let next = |session: SessionId| SessionId(session.0.wrapping_add(1).max(1));
        self.session = self.session.map(next);
    }

    pub fn request(&self) -> Request<'_> {
        Request::Login {
            name: &self.name,
            password: &self.password,
            session: self.session,
            deliver: self.deliver,
        }
    }
}
