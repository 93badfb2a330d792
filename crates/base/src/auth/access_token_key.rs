//! The keys of access tokens (RFC 7635), which authorization servers share with TURN servers.

use std::{fmt, str::FromStr};

use base64::{Engine, prelude::BASE64_STANDARD};

/// A key that an authorization server shares with this one, and its name: 16 bytes (A128GCM) or 32
/// (A256GCM). It is read from the text `KID:KEY`, with the key in base64, and prints as its name
/// alone.
#[derive(Clone)]
pub struct AccessTokenKey {
    kid: String,
    key: Vec<u8>,
}

impl AccessTokenKey {
    /// Returns its name, which clients send as USERNAME.
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// Returns the key itself, 16 or 32 bytes, for a program that seals tokens.
    pub fn expose(&self) -> &[u8] {
        &self.key
    }
}

/// The error for a text that is no [`AccessTokenKey`]. It does not show the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected KID:KEY, KEY being 16 bytes (A128GCM) or 32 (A256GCM) in base64")]
pub struct AccessTokenKeyError;

impl FromStr for AccessTokenKey {
    type Err = AccessTokenKeyError;

    fn from_str(text: &str) -> Result<Self, AccessTokenKeyError> {
        let (kid, key) = text.split_once(':').ok_or(AccessTokenKeyError)?;
        let key = BASE64_STANDARD.decode(key).map_err(|_| AccessTokenKeyError)?;
        let fits = !kid.is_empty() && matches!(key.len(), 16 | 32);
        fits.then(|| Self { kid: kid.to_owned(), key }).ok_or(AccessTokenKeyError)
    }
}

impl fmt::Debug for AccessTokenKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:[redacted]", self.kid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_written_in_base64_and_never_shown() {
        let text = format!("north:{}", BASE64_STANDARD.encode([1; 32]));
        let key: AccessTokenKey = text.parse().unwrap();
        assert_eq!(format!("{key:?}"), "north:[redacted]");
        for bad in ["", "north", "north:", "north:AAAA", ":AAAAAAAAAAAAAAAAAAAAAA==", "north:??"] {
            assert!(bad.parse::<AccessTokenKey>().is_err(), "{bad}");
        }
    }
}
