//! MESSAGE-INTEGRITY-SHA256 (RFC 8489 §14.6).

use ring::hmac;

/// Returns the value of a MESSAGE-INTEGRITY-SHA256 behind these bytes of a message. The length in
/// the header counts it, too.
pub(super) fn sha256_tag(key: &[u8], before: &[u8]) -> Vec<u8> {
    let length = (before.len() - 20 + 4 + 32) as u16;
    let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, key));
    context.update(&before[..2]);
    context.update(&length.to_be_bytes());
    context.update(&before[4..]);
    context.sign().as_ref().to_vec()
}
