//! The nonce cookie (RFC 8489 §9.2): what a server can do, written in front of its nonces, so that
//! whoever takes it out of a challenge on the way breaks the nonce.

use base64::{Engine, prelude::BASE64_STANDARD};

/// What every nonce cookie begins with.
const COOKIE: &[u8] = b"obMatJos2";

/// How many base64 characters of features follow.
const FEATURES: usize = 4;

/// The STUN Security Features (RFC 8489 §18.1).
///
/// Bit 0 is the least significant of the 24: so the verified erratum 6290 has it, and the
/// example in Appendix B.1. Clients that follow the text before it see no bit that they know, and
/// go by PASSWORD-ALGORITHMS alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct SecurityFeatures {
    /// Bit 0: there are PASSWORD-ALGORITHMS beside the nonce.
    pub password_algorithms: bool,
    /// Bit 1: the client must name itself by USERHASH.
    pub username_anonymity: bool,
}

impl SecurityFeatures {
    /// The 13 characters that go in front of a nonce.
    pub fn cookie(self) -> String {
        let bits = u8::from(self.password_algorithms) | u8::from(self.username_anonymity) << 1;
        let mut cookie = String::from_utf8_lossy(COOKIE).into_owned();
        BASE64_STANDARD.encode_string([0, 0, bits], &mut cookie);
        cookie
    }

    /// The features that a nonce tells of; `None` if it does not begin with a cookie.
    pub fn of(nonce: &[u8]) -> Option<Self> {
        let features = nonce.strip_prefix(COOKIE)?.get(..FEATURES)?;
        let mut bits = [0; 3];
        let len = BASE64_STANDARD.decode_slice(features, &mut bits).ok()?;
        (len == bits.len()).then_some(Self {
            password_algorithms: bits[2] & 1 != 0,
            username_anonymity: bits[2] & 2 != 0,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_rfc_s_nonce_tells_of_username_anonymity() {
        let nonce = b"obMatJos2AAACf//499k954d6OL34oL9FSTvy64sA";
        let features = SecurityFeatures { password_algorithms: false, username_anonymity: true };
        assert_eq!(SecurityFeatures::of(nonce), Some(features));
        assert_eq!(features.cookie().as_bytes(), &nonce[..13]);
    }

    #[test]
    fn what_is_no_cookie_tells_of_nothing() {
        for nonce in
            ["", "f//499k954d6OL34oL9FSTvy64sA", "obMatJos2", "obMatJos2AAA", "obMatJos2AA=="]
        {
            assert_eq!(SecurityFeatures::of(nonce.as_bytes()), None, "{nonce}");
        }
        assert_eq!(SecurityFeatures::of(b"obMatJos2AAAA"), Some(SecurityFeatures::default()));
        // Bits that are not assigned say nothing.
        assert_eq!(SecurityFeatures::of(b"obMatJos2///8"), Some(SecurityFeatures::default()));
    }

    proptest! {
        #[test]
        fn a_cookie_is_read_back(password_algorithms: bool, username_anonymity: bool, rest in "[!-~]{0,100}") {
            let features = SecurityFeatures { password_algorithms, username_anonymity };
            let cookie = features.cookie();
            prop_assert_eq!(cookie.len(), 13);
            prop_assert_eq!(SecurityFeatures::of((cookie + &rest).as_bytes()), Some(features));
        }

        #[test]
        fn any_bytes_are_read_without_a_panic(rest in prop::collection::vec(any::<u8>(), 0..8)) {
            let _ = SecurityFeatures::of(&[COOKIE, &rest].concat());
        }
    }
}
