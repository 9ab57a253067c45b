//! What became of an op, and the codes of everything that can be refused.

use super::{AccountId, OpNumber};

/// What an op did, once it was applied. A session remembers the outcomes of its requests, so that
/// one that comes again is answered and not repeated; hence they are small.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The account exists now, under the op's number.
    Created(AccountId),
    /// The session is open (again), with a new secret.
    SessionOpened,
    /// The session is gone.
    SessionClosed,
    /// The account is gone.
    Deleted,
    /// The message is in its conversation, under this id.
    Sent(OpNumber),
    /// Everything up to this id is read.
    Acknowledged(OpNumber),
    /// Nothing was done.
    Refused(ErrorCode),
}

/// Declares the codes with their number on the wire, their word in text mode, and the sentence
/// that is given where there is nothing more particular to say.
macro_rules! error_codes {
    ($($(#[$meta:meta])* $variant:ident = $number:literal, $word:literal, $sentence:literal;)*) => {
        /// Why a request was refused. The words are text mode's contract, the numbers that of the
        /// binary frames; neither ever changes its meaning.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u16)]
        pub enum ErrorCode {
            $($(#[$meta])* $variant = $number,)*
        }

        impl ErrorCode {
            /// Every code there is, in the order of their numbers.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The code with this number, if there is one.
            pub fn from_number(number: u16) -> Option<Self> {
                match number {
                    $($number => Some(Self::$variant),)*
                    _ => None,
                }
            }

            /// The code's word, as text mode writes it.
            pub fn word(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)*
                }
            }

            /// The sentence for people where there is nothing more particular to say.
            pub fn sentence(self) -> &'static str {
                match self {
                    $(Self::$variant => $sentence,)*
                }
            }
        }
    };
}

error_codes! {
    /// No such command, or no such kind of frame.
    UnknownCommand = 1, "unknown_command", "there is no such command; HELP lists what there is";
    /// A command's words, or a frame's fields, are not what it takes.
    BadArguments = 2, "bad_arguments", "these are not the arguments of this command; HELP shows them";
    /// Not a name.
    BadName = 3, "bad_name", "a name has 1 to 32 characters out of a-z 0-9 _ . -";
    /// A password that no account may have.
    BadPassword = 4, "bad_password", "a password has 8 to 128 bytes, without spaces and control characters";
    /// A text that no message may have.
    BadText = 5, "bad_text", "a message is not empty and has no control characters but tab and line feed";
    /// A line, a frame or a text beyond its limit.
    TooLong = 6, "too_long", "this is longer than the limit";
    /// Bytes that are not UTF-8.
    NotUtf8 = 7, "not_utf8", "text has to be UTF-8";
    /// Somebody has the name.
    NameTaken = 8, "name_taken", "this name is taken; choose another";
    /// The name or the password is wrong.
    BadLogin = 9, "bad_login", "no account has this name and this password";
    /// The request needs a login.
    NotLoggedIn = 10, "not_logged_in", "log in first";
    /// There is no account of this name (any more).
    NoSuchAccount = 11, "no_such_account", "there is no account of this name; LIST shows those that exist";
    /// Another server is the primary.
    NotPrimary = 12, "not_primary", "unknown is the primary; try again soon";
    /// The cluster does not serve yet.
    NotReady = 13, "not_ready", "the server is not ready yet; it says so when it is";
    /// The request may or may not have been done.
    UnknownOutcome = 14, "unknown_outcome", "this may or may not have been done; look with LOG";
    /// The session was ended, or let go for newer ones.
    SessionGone = 15, "session_gone", "the session is over; log in again";
    /// The request's number is below the lowest that its client called open.
    StaleRequest = 16, "stale_request", "the request is older than those that its session has open";
    /// Too many requests, or too many wrong passwords.
    RateLimited = 17, "rate_limited", "too many requests; wait a little";
    /// A queue is full.
    Busy = 18, "busy", "the server has too much to do; try again soon";
    /// The server is about to stop.
    ShuttingDown = 19, "shutting_down", "the server is stopping";
    /// Our own mistake.
    Internal = 20, "internal", "the server made a mistake; its log says more";
    /// What was asked for is damaged on this server's disk, and no other server is there that has it.
    Damaged = 21, "damaged", "this is damaged on the server's disk, and no other server is there that has it";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_have_numbers_of_their_own_and_find_themselves() {
        for code in ErrorCode::ALL {
            assert_eq!(ErrorCode::from_number(*code as u16), Some(*code));
        }
        assert_eq!(ErrorCode::from_number(0), None);
    }
}
