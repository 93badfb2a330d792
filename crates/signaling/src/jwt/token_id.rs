//! The id of a token, by which it is recognized without being kept.

use ring::digest::{SHA256, digest};

/// A digest of what is signed of a token, by which the same token is known again. It says nothing
/// of the token.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TokenId([u8; 16]);

impl TokenId {
    /// Returns the id of a token. The signature does not count: ECDSA signatures are malleable, so
    /// that a second valid one can be derived from the first (s and n - s).
    pub fn of(token: &str) -> Self {
        let signed = token.rsplit_once('.').map_or(token, |(signed, _)| signed);
        let mut id = [0; 16];
        id.copy_from_slice(&digest(&SHA256, signed.as_bytes()).as_ref()[..16]);
        Self(id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signature_is_not_part_of_a_token_s_id() {
        assert_eq!(TokenId::of("head.claims.one"), TokenId::of("head.claims.other"));
        assert_ne!(TokenId::of("head.claims.one"), TokenId::of("head.other.one"));
    }
}
