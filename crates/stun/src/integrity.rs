//! The proofs of who made a message: MESSAGE-INTEGRITY and MESSAGE-INTEGRITY-SHA256 (RFC 8489
//! §14.5, §14.6).

use std::fmt;

use ring::hmac;

use super::{
    attribute_type::AttributeType,
    header::{ATTRIBUTE_HEADER, HEADER},
};

/// The two attributes, the stronger one last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Integrity {
    /// MESSAGE-INTEGRITY: an HMAC-SHA1 of 20 bytes (RFC 8489 §14.5).
    Sha1,
    /// MESSAGE-INTEGRITY-SHA256: an HMAC-SHA256 of 32 bytes, or its beginning (RFC 8489 §14.6).
    Sha256,
}

impl Integrity {
    /// Returns the one that an attribute is; `None` for another attribute.
    pub(super) fn of(typ: AttributeType) -> Option<Self> {
        match typ {
            AttributeType::MESSAGE_INTEGRITY => Some(Self::Sha1),
            AttributeType::MESSAGE_INTEGRITY_SHA256 => Some(Self::Sha256),
            _ => None,
        }
    }

    /// Returns the attribute's type.
    pub(super) fn attribute(self) -> AttributeType {
        match self {
            Self::Sha1 => AttributeType::MESSAGE_INTEGRITY,
            Self::Sha256 => AttributeType::MESSAGE_INTEGRITY_SHA256,
        }
    }

    /// Returns true if a value may have this length: "at most 32 bytes, but … at least 16 bytes and
    /// … a multiple of 4 bytes" (RFC 8489 §14.6).
    fn allows(self, len: usize) -> bool {
        match self {
            Self::Sha1 => len == 20,
            Self::Sha256 => (16..=32).contains(&len) && len.is_multiple_of(4),
        }
    }

    /// Returns the HMAC over `message`, as if the message ended with this attribute and a value of
    /// `len` bytes: "the Length field … is adjusted to point to the end of the … attribute".
    fn hmac(self, key: &[u8], message: &[u8], len: usize) -> hmac::Tag {
        let algorithm = match self {
            Self::Sha1 => hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
            Self::Sha256 => hmac::HMAC_SHA256,
        };
        let length = (message.len() - HEADER + ATTRIBUTE_HEADER + len) as u16;
        let mut hmac = hmac::Context::with_key(&hmac::Key::new(algorithm, key));
        hmac.update(&message[..2]);
        hmac.update(&length.to_be_bytes());
        hmac.update(&message[4..]);
        hmac.sign()
    }
}

/// The proof in a request (RFC 8489 §9.2).
#[derive(Debug, Clone)]
pub struct Credentials<'a> {
    integrity: Integrity,
    /// The bytes that the HMAC is over, but for the length field.
    signed: &'a [u8],
    /// The HMAC that the client sent.
    value: &'a [u8],
}

impl<'a> Credentials<'a> {
    /// Takes the value of an attribute that stands behind the bytes `signed`; `None` if it has a
    /// length that there is not.
    pub(super) fn new(integrity: Integrity, signed: &'a [u8], value: &'a [u8]) -> Option<Self> {
        integrity.allows(value.len()).then_some(Self { integrity, signed, value })
    }

    /// Returns the attribute that it is.
    pub fn integrity(&self) -> Integrity {
        self.integrity
    }

    /// Returns true if it was made with `key`. Takes constant time.
    pub fn verify(&self, key: &[u8]) -> bool {
        let expected = self.integrity.hmac(key, self.signed, self.value.len());
        // A shorter value is "an initial portion of the HMAC" (RFC 8489 §14.6).
        let expected = &expected.as_ref()[..self.value.len()];
        subtle::ConstantTimeEq::ct_eq(expected, self.value).into()
    }
}

/// The key with which a response is signed.
#[derive(Clone, Copy)]
pub struct SigningKey<'a> {
    /// The attribute that carries the signature.
    pub integrity: Integrity,
    /// The key of the HMAC.
    pub key: &'a [u8],
}

impl SigningKey<'_> {
    /// Returns the attribute's value at the end of `message`, in full length.
    pub(super) fn sign(&self, message: &[u8]) -> hmac::Tag {
        let len = match self.integrity {
            Integrity::Sha1 => 20,
            Integrity::Sha256 => 32,
        };
        self.integrity.hmac(self.key, message, len)
    }
}

impl fmt::Debug for SigningKey<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} [redacted]", self.integrity)
    }
}
