//! The nonce cookie (RFC 8489 §9.2): what a server can do, written in front of its nonces, so that
//! whoever takes it out of a challenge on the way breaks the nonce.

use base64::{Engine, prelude::BASE64_STANDARD};

/// The beginning of every nonce cookie.
const COOKIE: &[u8] = b"obMatJos2";

/// The number of base64 characters of features that follow.
const FEATURES: usize = 4;

/// The STUN Security Features (RFC 8489 §18.1), 24 bits of which two are assigned.
///
/// Bit 0 is the leftmost bit in the RFC and in the examples of RFC 8656, and the rightmost in the
/// verified erratum 6290 and in Appendix B.1. Clients implement either order, so each bit is
/// written at both ends and read from either; in the other order it is an unassigned bit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct SecurityFeatures {
    /// Bit 0: there are PASSWORD-ALGORITHMS beside the nonce.
    pub password_algorithms: bool,
    /// Bit 1: the client must name itself by USERHASH.
    pub username_anonymity: bool,
}

/// Bit 0, at both ends.
const PASSWORD_ALGORITHMS: [u8; 3] = [0x80, 0, 0x01];

/// Bit 1, at both ends.
const USERNAME_ANONYMITY: [u8; 3] = [0x40, 0, 0x02];

impl SecurityFeatures {
    /// Returns the 13 characters that go in front of a nonce.
    pub(super) fn cookie(self) -> String {
        let mut bits = [0; 3];
        for (set, feature) in [
            (self.password_algorithms, PASSWORD_ALGORITHMS),
            (self.username_anonymity, USERNAME_ANONYMITY),
        ] {
            if set {
                bits.iter_mut().zip(feature).for_each(|(b, f)| *b |= f);
            }
        }
        let mut cookie = String::from_utf8_lossy(COOKIE).into_owned();
        BASE64_STANDARD.encode_string(bits, &mut cookie);
        cookie
    }

    /// Returns the features that a nonce tells of; `None` if it does not begin with a cookie.
    pub(super) fn of(nonce: &[u8]) -> Option<Self> {
        let features = nonce.strip_prefix(COOKIE)?.get(..FEATURES)?;
        let mut bits = [0; 3];
        let len = BASE64_STANDARD.decode_slice(features, &mut bits).ok()?;
        let has = |feature: [u8; 3]| bits.iter().zip(feature).any(|(b, f)| b & f != 0);
        (len == bits.len()).then(|| Self {
            password_algorithms: has(PASSWORD_ALGORITHMS),
            username_anonymity: has(USERNAME_ANONYMITY),
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The nonces of RFC 8489, Appendix B.1, whose user is named by a hash, and of RFC 8656, §20,
    /// whose server offers algorithms.
    #[test]
    fn the_nonces_of_both_rfcs_have_the_documented_features() {
        let b1 = SecurityFeatures::of(b"obMatJos2AAACf//499k954d6OL34oL9FSTvy64sA").unwrap();
        assert_eq!((b1.password_algorithms, b1.username_anonymity), (false, true));
        let turn = SecurityFeatures::of(b"obMatJos2gAAAadl7W7PeDU4hKE72jda").unwrap();
        assert_eq!((turn.password_algorithms, turn.username_anonymity), (true, false));
    }

    #[test]
    fn a_client_of_either_reading_sees_each_feature() {
        for (features, cookie) in [
            ((false, false), "obMatJos2AAAA"),
            ((true, false), "obMatJos2gAAB"),
            ((false, true), "obMatJos2QAAC"),
            ((true, true), "obMatJos2wAAD"),
        ] {
            let (password_algorithms, username_anonymity) = features;
            let features = SecurityFeatures { password_algorithms, username_anonymity };
            assert_eq!(features.cookie(), cookie);
        }
    }

    #[test]
    fn a_nonce_without_a_cookie_has_no_features() {
        for nonce in
            ["", "f//499k954d6OL34oL9FSTvy64sA", "obMatJos2", "obMatJos2AAA", "obMatJos2AA=="]
        {
            assert_eq!(SecurityFeatures::of(nonce.as_bytes()), None, "{nonce}");
        }
        assert_eq!(SecurityFeatures::of(b"obMatJos2AAAA"), Some(SecurityFeatures::default()));
        // Bits that are not assigned say nothing.
        assert_eq!(SecurityFeatures::of(b"obMatJos2P//8"), Some(SecurityFeatures::default()));
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
