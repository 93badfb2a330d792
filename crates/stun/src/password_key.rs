//! The keys of long-term credentials, by the hashes of RFC 8489 §18.5.1.

use md5::{Digest, Md5};
use ring::digest;

/// Returns the key by MD5: the hash of username ":" realm ":" password (RFC 8489 §9.2.2).
///
/// The parts are taken as they stand: preparing them (RFC 8265) is left to those who choose them.
pub fn md5_key(username: &str, realm: &str, password: &str) -> [u8; 16] {
    let mut hash = Md5::new();
    for part in with_colons([username, realm, password]) {
        hash.update(part);
    }
    hash.finalize().into()
}

/// Returns the key by SHA-256, of the same parts as [`md5_key`] (RFC 8489 §18.5.1.2).
pub fn sha256_key(username: &str, realm: &str, password: &str) -> [u8; 32] {
    sha256([username, realm, password])
}

/// Returns the value of USERHASH: SHA-256 of username ":" realm (RFC 8489 §14.4).
pub fn userhash(username: &str, realm: &str) -> [u8; 32] {
    sha256([username, realm])
}

fn sha256<const PARTS: usize>(parts: [&str; PARTS]) -> [u8; 32] {
    let mut hash = digest::Context::new(&digest::SHA256);
    for part in with_colons(parts) {
        hash.update(part);
    }
    let mut bytes = [0; 32];
    bytes.copy_from_slice(hash.finish().as_ref());
    bytes
}

/// Returns the parts with a colon between each two, without a copy of a password that nothing would
/// clear.
fn with_colons<const PARTS: usize>(parts: [&str; PARTS]) -> impl Iterator<Item = &[u8]> {
    parts.into_iter().enumerate().flat_map(|(i, part)| {
        let colon: &[u8] = if i == 0 { b"" } else { b":" };
        [colon, part.as_bytes()]
    })
}

#[cfg(test)]
mod tests {
    use ::stun::integrity::MessageIntegrity;
    use proptest::prelude::*;

    use super::*;
    use crate::testing::sha256_of;

    proptest! {
        #[test]
        fn a_key_is_that_of_webrtc_rs(username: String, realm: String, password: String) {
            prop_assert_eq!(
                &sha256_key(&username, &realm, &password)[..],
                sha256_of(&[&username, &realm, &password])
            );
            prop_assert_eq!(&userhash(&username, &realm)[..], sha256_of(&[&username, &realm]));
            let key = md5_key(&username, &realm, &password);
            let expected = MessageIntegrity::new_long_term_integrity(username, realm, password);
            prop_assert_eq!(&key[..], expected.0);
        }
    }
}
