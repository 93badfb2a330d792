//! FINGERPRINT: a checksum that tells STUN from other protocols (RFC 8489 §14.7).

use crc::{CRC_32_ISO_HDLC, Crc};

/// The length of the attribute's value.
pub(crate) const FINGERPRINT: usize = 4;

/// "XOR'ed with the 32-bit value 0x5354554e": a protocol inside may have a CRC-32 as well.
const XOR: u32 = 0x5354_554E;

/// The CRC-32 of ITU V.42, with its table made when the program is built.
static CRC: Crc<u32> = Crc::<u32>::new(&CRC_32_ISO_HDLC);

/// Returns the attribute's value behind `message`, whose length field counts the attribute already.
pub(crate) fn fingerprint(message: &[u8]) -> [u8; FINGERPRINT] {
    (CRC.checksum(message) ^ XOR).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_fingerprint_is_that_of_webrtc_rs(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let expected = ::stun::fingerprint::fingerprint_value(&bytes).to_be_bytes();
            prop_assert_eq!(super::fingerprint(&bytes), expected);
        }
    }
}
