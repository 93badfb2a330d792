//! Access tokens as an authorization server makes them (RFC 7635 §6.2).

use std::time::Duration;

use callbox_base::{auth::AccessTokenKey, clock::Now};
use rand::Rng;
use ring::aead::{AES_128_GCM, AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};

/// The key that a client signs with: 160 bits, as HMAC-SHA1 has it.
pub(super) const MAC_KEY: [u8; 20] = *b"a key for this suite";

/// Seals a token for a server, made so long ago by its timestamp.
pub(super) fn seal(
    key: &AccessTokenKey,
    server_name: &str,
    made_before: Duration,
    lifetime: Duration,
) -> Vec<u8> {
    let made = Now::read().unix.saturating_sub(made_before).as_secs();
    let mut block = (MAC_KEY.len() as u16).to_be_bytes().to_vec();
    block.extend(MAC_KEY);
    // 48 bits of seconds, and 16 of fractions of a second.
    block.extend((made << 16).to_be_bytes());
    block.extend((lifetime.as_secs() as u32).to_be_bytes());
    let nonce: [u8; 12] = rand::rng().random();
    let algorithm = if key.expose().len() == 16 { &AES_128_GCM } else { &AES_256_GCM };
    let key = UnboundKey::new(algorithm, key.expose()).expect("a key has 16 bytes or 32");
    LessSafeKey::new(key)
        .seal_in_place_append_tag(
            Nonce::assume_unique_for_key(nonce),
            Aad::from(server_name.as_bytes()),
            &mut block,
        )
        .expect("a hundred bytes can be sealed");
    [&[0, 12][..], &nonce, &block].concat()
}
