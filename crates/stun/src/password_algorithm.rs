//! The algorithms by which a password becomes a key: PASSWORD-ALGORITHM and PASSWORD-ALGORITHMS
//! (RFC 8489 §14.11, §14.12).

/// A hash over username, realm and password (RFC 8489 §18.5.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PasswordAlgorithm {
    /// 0x0001: a key of 16 bytes, and all that RFC 5389 knew.
    Md5,
    /// 0x0002: a key of 32 bytes.
    Sha256,
}

impl PasswordAlgorithm {
    /// The value of the PASSWORD-ALGORITHMS that clients are offered, "in preferential order"
    /// (RFC 8489 §9.2.4): SHA-256, then MD5, both without parameters.
    pub const OFFER: [u8; 8] = [0, 2, 0, 0, 0, 1, 0, 0];

    /// Reads the value of PASSWORD-ALGORITHM; `None` for an unknown algorithm.
    ///
    /// The number decides. Both algorithms have no parameters, and clients are about (libjuice)
    /// that leave the field for the parameters' length to chance.
    pub(super) fn read(value: &[u8]) -> Option<Self> {
        match value {
            [0, 1, _, _] => Some(Self::Md5),
            [0, 2, _, _] => Some(Self::Sha256),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn offered_algorithms_are_parsed_back() {
        let offered: Vec<_> =
            PasswordAlgorithm::OFFER.chunks(4).map(PasswordAlgorithm::read).collect();
        assert_eq!(offered, [Some(PasswordAlgorithm::Sha256), Some(PasswordAlgorithm::Md5)]);
    }

    proptest! {
        #[test]
        fn only_the_two_assigned_numbers_are_algorithms(value in prop::collection::vec(0u8..4, 0..7)) {
            let expected = match (value.len(), value.get(..2)) {
                (4, Some([0, 1])) => Some(PasswordAlgorithm::Md5),
                (4, Some([0, 2])) => Some(PasswordAlgorithm::Sha256),
                _ => None,
            };
            prop_assert_eq!(PasswordAlgorithm::read(&value), expected);
        }
    }
}
