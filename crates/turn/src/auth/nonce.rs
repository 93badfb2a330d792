//! Nonces that the server need not remember: each says when it was made, and proves that it was
//! made here and for this client. A flood of requests that want one costs no memory.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use callbox_base::{clock::Now, ids::ClientAddr};
use rand::{RngCore, TryRngCore, rngs::OsRng};
use ring::hmac;

use super::security_features::SecurityFeatures;

/// The time for which a nonce is good: "the nonce … expires at least once every hour" (RFC 8656
/// §5).
const LIFETIME: Duration = Duration::from_secs(3600);

/// The part of the HMAC that a nonce carries: 64 bits. Each guess is a datagram, and a nonce lives
/// for an hour; more of them would only make a challenge longer, which goes to sources that may be
/// forged.
const TAG: usize = 8;

/// The bytes of the time in a nonce: the number of [`STEP`]s since 1970, which begins again after
/// two years.
const TIME: usize = 3;

/// The step of a nonce's time in seconds.
const STEP: u64 = 4;

/// The reason for which a nonce is not accepted. The client is given a fresh one and may try again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum NonceError {
    /// Not made by this process for this client.
    #[error("not a nonce of this server for this client")]
    Foreign,
    /// Made too long ago.
    #[error("the nonce is too old")]
    Expired,
}

/// Makes nonces and knows them again.
#[derive(Debug, Clone)]
pub(super) struct Nonces {
    key: hmac::Key,
    /// The cookie with which each begins.
    cookie: String,
}

impl Nonces {
    /// Nonces that tell of these features, under a fresh random key, so that those of an earlier
    /// process are stale.
    pub(super) fn new(features: SecurityFeatures) -> Self {
        let mut key = [0; 32];
        OsRng.unwrap_err().fill_bytes(&mut key);
        Self { key: hmac::Key::new(hmac::HMAC_SHA256, &key), cookie: features.cookie() }
    }

    /// Returns a nonce for `client`, good for an hour: the nonce cookie (13 characters, RFC 8489
    /// §9.2) and base64url of the time and the tag. With 28 characters it needs no padding, and is
    /// "fewer than 128" (RFC 8489 §14.10).
    pub(super) fn issue(&self, now: Now, client: ClientAddr) -> String {
        let time = time(now);
        let mut bytes = [0; TIME + TAG];
        bytes[..TIME].copy_from_slice(&time);
        bytes[TIME..].copy_from_slice(&self.tag(time, client));
        let mut nonce = self.cookie.clone();
        BASE64_URL_SAFE_NO_PAD.encode_string(bytes, &mut nonce);
        nonce
    }

    /// Checks a nonce that `client` sent, in constant time.
    ///
    /// # Errors
    /// [`NonceError`]
    pub(super) fn check(
        &self,
        now: Now,
        client: ClientAddr,
        nonce: &[u8],
    ) -> Result<(), NonceError> {
        // A missing or different cookie means that the challenge was modified.
        let own = nonce.strip_prefix(self.cookie.as_bytes()).ok_or(NonceError::Foreign)?;
        let mut bytes = [0; TIME + TAG];
        match BASE64_URL_SAFE_NO_PAD.decode_slice(own, &mut bytes) {
            Ok(len) if len == bytes.len() => {}
            _ => return Err(NonceError::Foreign),
        }
        let made = [bytes[0], bytes[1], bytes[2]];
        let expected = self.tag(made, client);
        if !bool::from(subtle::ConstantTimeEq::ct_eq(&bytes[TIME..], &expected[..])) {
            return Err(NonceError::Foreign);
        }
        let steps = |[a, b, c]: [u8; TIME]| u32::from_be_bytes([0, a, b, c]);
        let age = steps(time(now)).wrapping_sub(steps(made)) & 0xFF_FFFF;
        if u64::from(age) * STEP > LIFETIME.as_secs() {
            return Err(NonceError::Expired);
        }
        Ok(())
    }

    fn tag(&self, time: [u8; TIME], ClientAddr(client): ClientAddr) -> [u8; TAG] {
        let mut hmac = hmac::Context::with_key(&self.key);
        hmac.update(&time);
        hmac_address(&mut hmac, client);
        let mut tag = [0; TAG];
        tag.copy_from_slice(&hmac.sign().as_ref()[..TAG]);
        tag
    }
}

/// Returns the time as it stands in a nonce.
fn time(now: Now) -> [u8; TIME] {
    let [_, a, b, c] = ((now.unix_secs() / STEP) as u32).to_be_bytes();
    [a, b, c]
}

fn hmac_address(hmac: &mut hmac::Context, address: SocketAddr) {
    match address.ip() {
        IpAddr::V4(ip) => hmac.update(&ip.octets()),
        IpAddr::V6(ip) => hmac.update(&ip.octets()),
    }
    hmac.update(&address.port().to_be_bytes());
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    fn make() -> Nonces {
        Nonces::new(SecurityFeatures { password_algorithms: true, username_anonymity: false })
    }

    fn now() -> Now {
        Now { instant: Instant::now(), unix: Duration::from_secs(1_700_000_000) }
    }

    fn client(text: &str) -> ClientAddr {
        ClientAddr(text.parse().unwrap())
    }

    #[test]
    fn a_nonce_is_good_for_an_hour_and_one_client() {
        let nonces = make();
        let alice = client("192.0.2.1:5000");
        let nonce = nonces.issue(now(), alice);
        let check = |now, who| nonces.check(now, who, nonce.as_bytes());
        assert_eq!(check(now(), alice), Ok(()));
        assert_eq!(check(now() + LIFETIME, alice), Ok(()));
        let late = now() + LIFETIME + Duration::from_secs(STEP);
        assert_eq!(check(late, alice), Err(NonceError::Expired));
        assert_eq!(check(now(), client("192.0.2.1:5001")), Err(NonceError::Foreign));
        assert_eq!(check(now(), client("192.0.2.2:5000")), Err(NonceError::Foreign));
        assert_eq!(make().check(now(), alice, nonce.as_bytes()), Err(NonceError::Foreign));
    }

    /// Whoever takes a feature out of the challenge takes the nonce with it.
    #[test]
    fn a_nonce_with_another_cookie_is_foreign() {
        let nonces = make();
        let alice = client("192.0.2.1:5000");
        let nonce = nonces.issue(now(), alice);
        for cookie in ["", "obMatJos2AAAA", "obMatJos2gAAA", "obMatJos2AAAB", "obMatJos2wAAD"] {
            let other = format!("{cookie}{}", &nonce[13..]);
            assert_eq!(nonces.check(now(), alice, other.as_bytes()), Err(NonceError::Foreign));
        }
        assert_eq!(nonces.check(now(), alice, nonce.as_bytes()), Ok(()));
    }

    #[test]
    fn a_changed_nonce_is_foreign() {
        let nonces = make();
        let alice = client("[2001:db8::1]:5000");
        let nonce = nonces.issue(now(), alice);
        assert_eq!(&nonce[..13], "obMatJos2gAAB");
        assert_eq!(nonce.len(), 28);
        for at in 0..nonce.len() - 1 {
            let mut bytes = nonce.clone().into_bytes();
            bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
            assert_eq!(nonces.check(now(), alice, &bytes), Err(NonceError::Foreign), "{at}");
        }
        for bad in [&b""[..], b"x", &[0xFF; 763], &[b'A'; 763], &nonce.as_bytes()[..27]] {
            assert_eq!(nonces.check(now(), alice, bad), Err(NonceError::Foreign));
        }
    }
}
