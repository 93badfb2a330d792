//! Keys derived from username, realm and password.

use std::fmt;

use callbox_stun::{Integrity, PasswordAlgorithm, SigningKey, md5_key, sha256_key};

/// The key of a long-term credential, and the attribute that answers are signed in. It does not
/// print.
#[derive(Clone, Copy)]
pub struct LongTermKey {
    algorithm: PasswordAlgorithm,
    bytes: [u8; 32],
    /// The number of its bytes: 16 for MD5, all for SHA-256.
    len: u8,
    answers: Integrity,
}

impl LongTermKey {
    /// Returns MD5 or SHA-256 of username ":" realm ":" password (RFC 8489 §9.2.2, §18.5.1), as
    /// they stand: preparing them (RFC 8265) is left to those who choose them.
    pub(super) fn derive(
        algorithm: PasswordAlgorithm,
        username: &str,
        realm: &str,
        password: &str,
    ) -> Self {
        let mut bytes = [0; 32];
        match algorithm {
            PasswordAlgorithm::Md5 => {
                bytes[..16].copy_from_slice(&md5_key(username, realm, password));
            }
            PasswordAlgorithm::Sha256 => bytes = sha256_key(username, realm, password),
        }
        let len = if algorithm == PasswordAlgorithm::Md5 { 16 } else { 32 };
        Self { algorithm, bytes, len, answers: Integrity::Sha1 }
    }

    /// Returns the key that stands in an access token, which is no password's (RFC 7635 §4). `None`
    /// if it has no bytes, or more than 32.
    pub(super) fn of_token(key: &[u8]) -> Option<Self> {
        let mut bytes = [0; 32];
        bytes.get_mut(..key.len()).filter(|_| !key.is_empty())?.copy_from_slice(key);
        let algorithm = PasswordAlgorithm::Md5;
        Some(Self { algorithm, bytes, len: key.len() as u8, answers: Integrity::Sha1 })
    }

    /// Cuts it to its first `len` bytes, if it has more.
    pub(super) fn shortened(self, len: u8) -> Self {
        Self { len: self.len.min(len), ..self }
    }

    /// Returns the key, with answers signed in this attribute.
    pub(super) fn answering(self, answers: Integrity) -> Self {
        Self { answers, ..self }
    }

    /// Returns the algorithm by which it was made of the password.
    pub(super) fn algorithm(&self) -> PasswordAlgorithm {
        self.algorithm
    }

    /// Returns the bytes to check a request with.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }

    /// Returns the key and the attribute to sign a response with.
    pub fn expose(&self) -> SigningKey<'_> {
        SigningKey { integrity: self.answers, key: self.bytes() }
    }
}

impl fmt::Debug for LongTermKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

/// The keys of one user, one for each algorithm.
#[derive(Debug, Clone, Copy)]
pub(super) struct UserKeys {
    md5: LongTermKey,
    sha256: LongTermKey,
}

impl UserKeys {
    /// Derives them all.
    pub(super) fn derive(username: &str, realm: &str, password: &str) -> Self {
        let key = |algorithm| LongTermKey::derive(algorithm, username, realm, password);
        Self { md5: key(PasswordAlgorithm::Md5), sha256: key(PasswordAlgorithm::Sha256) }
    }

    /// Returns the key for an algorithm.
    pub(super) fn of(&self, algorithm: PasswordAlgorithm) -> LongTermKey {
        match algorithm {
            PasswordAlgorithm::Md5 => self.md5,
            PasswordAlgorithm::Sha256 => self.sha256,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The MD5 key stands in RFC 8489 §9.2.2; the SHA-256 key is what
    /// `printf user:realm:pass | sha256sum` prints.
    #[test]
    fn the_keys_are_those_of_the_rfc() {
        let keys = UserKeys::derive("user", "realm", "pass");
        let md5 = 0x8493_fbc5_3ba5_82fb_4c04_4c45_6bdc_40eb_u128.to_be_bytes();
        assert_eq!(keys.of(PasswordAlgorithm::Md5).bytes(), md5);
        let sha256 = [
            0x07, 0xe9, 0x34, 0x11, 0x7a, 0xbd, 0x40, 0x83, 0x6e, 0x7c, 0x63, 0x29, 0xb5, 0x47,
            0x31, 0xb2, 0xb2, 0xd2, 0xa5, 0xf9, 0xa7, 0x1f, 0x54, 0x49, 0x22, 0xd7, 0x5e, 0x07,
            0x30, 0xd8, 0x25, 0x1b,
        ];
        assert_eq!(keys.of(PasswordAlgorithm::Sha256).bytes(), sha256);
    }

    #[test]
    fn a_key_is_never_printed() {
        let keys = UserKeys::derive("user", "realm", "pass");
        assert_eq!(format!("{keys:?}"), "UserKeys { md5: [redacted], sha256: [redacted] }");
        assert_eq!(format!("{:?}", keys.md5.expose()), "Sha1 [redacted]");
    }
}
