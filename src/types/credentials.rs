//! Passwords and the secrets of sessions: never shown, not even by `{:?}`.

use std::fmt;

use crate::limits::{PASSWORD_BYTES_MAX, PASSWORD_BYTES_MIN};

/// A password that may become an account's: [`PASSWORD_BYTES_MIN`] to [`PASSWORD_BYTES_MAX`]
/// bytes without spaces or control characters, which text mode could not carry.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Password<'a>(&'a str);

/// The text cannot be an account's password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a password has {PASSWORD_BYTES_MIN} to {PASSWORD_BYTES_MAX} bytes, without spaces and control characters"
)]
pub struct InvalidPassword;

impl<'a> Password<'a> {
    /// `text` as a new account's password, if it may be one.
    pub fn parse(text: &'a str) -> Result<Self, InvalidPassword> {
        let length_fits = (PASSWORD_BYTES_MIN..=PASSWORD_BYTES_MAX).contains(&text.len());
        if !length_fits || text.chars().any(|c| c == ' ' || c.is_control()) {
            return Err(InvalidPassword);
        }
        Ok(Self(text))
    }

    /// The password itself.
    pub fn as_str(self) -> &'a str {
        self.0
    }
}

impl fmt::Debug for Password<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(..)")
    }
}

/// What a session is resumed with: 256 random bits, told to the client once, when it logs in.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Secret(pub [u8; 32]);

/// What the replicated state keeps of a [`Secret`]: its BLAKE2s-256 hash. The secret is random
/// and long, so that a quick hash is enough.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SecretHash(pub [u8; 32]);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

impl fmt::Debug for SecretHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretHash(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_at_below_and_above_their_limits() {
        assert_eq!(Password::parse("1234567"), Err(InvalidPassword));
        assert!(Password::parse("12345678").is_ok());
        assert!(Password::parse(&"x".repeat(128)).is_ok());
        assert_eq!(Password::parse(&"x".repeat(129)), Err(InvalidPassword));
        assert_eq!(Password::parse("with space"), Err(InvalidPassword));
        assert_eq!(Password::parse("with\0zero"), Err(InvalidPassword));
    }

    #[test]
    fn a_password_is_not_shown() {
        let shown = format!("{:?}", Password::parse("correct-horse").unwrap());
        assert!(!shown.contains("horse"));
    }
}
