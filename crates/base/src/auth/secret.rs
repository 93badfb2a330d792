//! A secret in memory.

use std::fmt;

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use rand::{RngCore, TryRngCore, rngs::OsRng};
use subtle::ConstantTimeEq;

/// Bytes that must not be shown: never printed, compared in constant time.
#[derive(Clone)]
pub struct Secret(Box<[u8]>);

impl Secret {
    /// Takes the bytes as a secret.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Self {
        Self(bytes.into().into())
    }

    /// Makes a secret of 32 bytes from the system's random source, printable as text.
    pub fn generate() -> Self {
        let mut bytes = [0; 32];
        OsRng.unwrap_err().fill_bytes(&mut bytes);
        Self::new(BASE64_URL_SAFE_NO_PAD.encode(bytes))
    }

    /// The bytes themselves. Callers say where they need them; nobody prints them.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// The secret as text, where it is text: what `--dev` hands to a test.
    pub fn expose_text(&self) -> Option<&str> {
        std::str::from_utf8(&self.0).ok()
    }

    /// Returns true if `other` is the same, in a time that tells nothing but the length.
    pub fn matches(&self, other: &[u8]) -> bool {
        self.0.ct_eq(other).into()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_never_printed() {
        assert_eq!(format!("{:?}", Secret::new("hush")), "[redacted]");
    }

    #[test]
    fn secrets_compare() {
        assert!(Secret::new("hush").matches(b"hush"));
        assert!(!Secret::new("hush").matches(b"hus"));
        assert!(!Secret::generate().matches(Secret::generate().expose()));
    }
}
