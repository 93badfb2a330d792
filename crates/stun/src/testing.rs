//! Messages of the `stun` crate, for tests and benchmarks, and MESSAGE-INTEGRITY-SHA256 as a client
//! makes and checks it, which that crate does not have.

use ::stun::{
    attributes::ATTR_MESSAGE_INTEGRITY_SHA256,
    message::{Message, MessageType, Setter},
};
use ring::{digest, hmac};

/// Returns a message with these attributes. Its transaction ID is zero.
///
/// # Panics
/// If an attribute cannot be encoded.
pub fn message(typ: MessageType, attributes: &[&dyn Setter]) -> Message {
    let mut message = Message::new();
    message.typ = typ;
    message.write_header();
    for attribute in attributes {
        attribute.add_to(&mut message).expect("the attribute fits");
    }
    message
}

/// SHA-256 of parts with colons between them: a key is that of username, realm and password.
pub fn sha256_of(parts: &[&str]) -> Vec<u8> {
    digest::digest(&digest::SHA256, parts.join(":").as_bytes()).as_ref().to_vec()
}

/// Adds the first `len` bytes of the HMAC, or more than there are.
pub fn sign_sha256(message: &mut Message, key: &[u8], len: usize) {
    let length = message.length;
    message.length += 4 + len as u32;
    message.write_length();
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), &message.raw);
    message.length = length;
    let mut value = tag.as_ref().to_vec();
    value.resize(len, 0);
    message.add(ATTR_MESSAGE_INTEGRITY_SHA256, &value);
}

/// Returns true if a message ends with the whole HMAC, except for a FINGERPRINT.
pub fn is_signed_sha256(bytes: &[u8], key: &[u8]) -> bool {
    let header = [0x00, 0x1C, 0x00, 0x20];
    let mut ends =
        [0, 8].map(|fingerprint| bytes.len().saturating_sub(36 + fingerprint)).into_iter();
    let Some(end) = ends.find(|end| bytes[*end..].starts_with(&header)) else { return false };
    let mut signed = bytes[..end].to_vec();
    signed[2..4].copy_from_slice(&((end + 36 - 20) as u16).to_be_bytes());
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), &signed);
    tag.as_ref() == &bytes[end + 4..end + 36]
}
