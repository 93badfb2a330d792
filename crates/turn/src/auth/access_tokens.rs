//! Third-party authorization (RFC 7635): a client shows an access token that an authorization
//! server has sealed for us, with the key in it that the client signs with.

use std::{collections::HashMap, fmt};

use callbox_base::{auth::AccessTokenKey, clock::Now};
use ring::aead::{AES_128_GCM, AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};

use super::LongTermKey;

/// The seconds by which the clocks of the authorization server and ours may differ (RFC 7635 §5:
/// "a few seconds").
const CLOCK_DIFFERENCE: u64 = 5;

/// The keys that open access tokens.
pub(super) struct AccessTokens {
    /// Our name, for which tokens are sealed.
    server_name: String,
    keys: HashMap<String, LessSafeKey>,
}

/// The contents of a token.
pub(super) struct AccessToken {
    /// The key with which the client signs.
    pub key: LongTermKey,
    /// The time at which it ends, in seconds since 1970.
    pub expires: u64,
}

impl AccessTokens {
    /// Makes the keys for tokens that are sealed for `server_name`. `None` without a key.
    pub(super) fn new(server_name: &str, keys: Vec<AccessTokenKey>) -> Option<Self> {
        let keys = keys.into_iter().filter_map(|named| {
            let (kid, key) = (named.kid().to_owned(), named.expose());
            let algorithm = if key.len() == 16 { &AES_128_GCM } else { &AES_256_GCM };
            Some((kid, LessSafeKey::new(UnboundKey::new(algorithm, key).ok()?)))
        });
        let keys: HashMap<_, _> = keys.collect();
        (!keys.is_empty()).then(|| Self { server_name: server_name.to_owned(), keys })
    }

    /// Returns our name.
    pub(super) fn server_name(&self) -> &str {
        &self.server_name
    }

    /// Returns true if there is a key of this name.
    pub(super) fn knows(&self, kid: &str) -> bool {
        self.keys.contains_key(kid)
    }

    /// Opens a token (RFC 7635 §6.2): nonce, then key, time and lifetime, sealed. `None` if it was
    /// not sealed with the key of this name, or its time is not now.
    pub(super) fn open(&self, now: Now, kid: &str, token: &[u8]) -> Option<AccessToken> {
        let key = self.keys.get(kid)?;
        let (len, rest) = token.split_first_chunk()?;
        let (nonce, sealed) = rest.split_at_checked(usize::from(u16::from_be_bytes(*len)))?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut sealed = sealed.to_vec();
        let opened =
            key.open_in_place(nonce, Aad::from(self.server_name.as_bytes()), &mut sealed).ok()?;
        let (len, rest) = opened.split_first_chunk()?;
        let (mac_key, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*len)))?;
        let (timestamp, rest) = rest.split_first_chunk()?;
        let (lifetime, _) = rest.split_first_chunk()?;
        // 48 bits of seconds, 16 of a second's parts.
        let made = u64::from_be_bytes(*timestamp) >> 16;
        let expires = made + u64::from(u32::from_be_bytes(*lifetime));
        let now = now.unix_secs();
        let fits = made <= now + CLOCK_DIFFERENCE && now <= expires + CLOCK_DIFFERENCE;
        let key = LongTermKey::of_token(mac_key).filter(|_| fits)?;
        Some(AccessToken { key, expires })
    }
}

impl fmt::Debug for AccessTokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccessTokens").field("server_name", &self.server_name).finish()
    }
}

/// The part of an authorization server.
#[cfg(test)]
pub mod testing {
    use super::*;

    /// Returns a token that an authorization server would hand out.
    pub fn seal(key: &[u8], server: &str, mac_key: &[u8], made: u64, lifetime: u32) -> Vec<u8> {
        let mut block = (mac_key.len() as u16).to_be_bytes().to_vec();
        block.extend(mac_key);
        block.extend((made << 16).to_be_bytes());
        block.extend(lifetime.to_be_bytes());
        let algorithm = if key.len() == 16 { &AES_128_GCM } else { &AES_256_GCM };
        let key = LessSafeKey::new(UnboundKey::new(algorithm, key).unwrap());
        let nonce = Nonce::assume_unique_for_key([7; 12]);
        key.seal_in_place_append_tag(nonce, Aad::from(server.as_bytes()), &mut block).unwrap();
        [&[0, 12][..], &[7; 12], &block].concat()
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use base64::{Engine, prelude::BASE64_STANDARD};

    use super::{testing::seal, *};

    const KEY: [u8; 32] = *b"12345678901234567890123456789012";

    fn now(secs: u64) -> Now {
        Now { instant: Instant::now(), unix: Duration::from_secs(secs) }
    }

    fn tokens() -> AccessTokens {
        let long = format!("long:{}", BASE64_STANDARD.encode(KEY)).parse().unwrap();
        let short = format!("short:{}", BASE64_STANDARD.encode(&KEY[..16])).parse().unwrap();
        AccessTokens::new("turn.example", vec![long, short]).unwrap()
    }

    #[test]
    fn a_token_contains_the_key_and_its_expiry() {
        for (kid, key) in [("long", &KEY[..]), ("short", &KEY[..16])] {
            let token = seal(key, "turn.example", &[9; 20], 1000, 60);
            let opened = tokens().open(now(1010), kid, &token).unwrap();
            assert_eq!((opened.key.bytes(), opened.expires), (&[9; 20][..], 1060));
        }
    }

    #[test]
    fn invalid_tokens_are_refused() {
        let tokens = tokens();
        let good = seal(&KEY, "turn.example", &[9; 20], 1000, 60);
        let open = |at, kid, token: &[u8]| tokens.open(now(at), kid, token).is_some();
        assert!(open(1000, "long", &good));
        for at in 0..good.len() * 8 {
            let mut changed = good.clone();
            changed[at / 8] ^= 1 << (at % 8);
            assert!(!open(1000, "long", &changed), "bit {at}");
        }
        for len in 0..good.len() {
            assert!(!open(1000, "long", &good[..len]), "{len} bytes");
        }
        assert!(!open(1000, "short", &good) && !open(1000, "nobody", &good));
        assert!(!open(1000, "long", &seal(&KEY, "other.example", &[9; 20], 1000, 60)));
        assert!(!open(1066, "long", &good) && open(1065, "long", &good), "it is over");
        assert!(!open(994, "long", &good) && open(995, "long", &good), "it has not begun");
        assert!(!open(1000, "long", &seal(&KEY, "turn.example", &[9; 33], 1000, 60)));
        assert!(!open(1000, "long", &seal(&KEY, "turn.example", &[], 1000, 60)));
    }
}
