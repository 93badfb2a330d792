//! Random and mutated bytes, which no reader may panic on.

use super::*;

proptest! {
    #[test]
    fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = Request::parse(&bytes);
    }

    /// A signature is known again, in every length, and with any bit changed it is not.
    #[test]
    fn a_signature_covers_all_that_stands_before_it(
        key in prop::collection::vec(any::<u8>(), 1..80),
        name in "[a-z]{0,40}",
        words in 4usize..=8,
        flip: prop::sample::Index,
    ) {
        let mut message = Message::new();
        message.typ = MessageType { method: METHOD_REFRESH, class: CLASS_REQUEST };
        message.transaction_id.0 = *b"transaction!";
        message.write_header();
        message.add(ATTR_USERNAME, name.as_bytes());
        sign_sha256(&mut message, &key, words * 4);
        let verified = |bytes: &[u8]| {
            let request = Request::parse(bytes).ok()?;
            Some(request.credentials?.verify(&key))
        };
        prop_assert_eq!(verified(&message.raw), Some(true));
        let mut bytes = message.raw;
        let bit = flip.index(bytes.len() * 8);
        bytes[bit / 8] ^= 1 << (bit % 8);
        prop_assert_ne!(verified(&bytes), Some(true), "bit {}", bit);
    }

    /// Mutations of a real request: what is still read stays within its bounds.
    #[test]
    fn mutated_requests_never_panic(
        cuts in prop::collection::vec((0usize..96, any::<u8>()), 0..6),
        len in 0usize..=RFC5769_LONG_TERM.len(),
        fix_length: bool,
    ) {
        let mut bytes = RFC5769_LONG_TERM[..len].to_vec();
        for (at, byte) in cuts {
            if let Some(b) = bytes.get_mut(at) {
                *b = byte;
            }
        }
        if fix_length && bytes.len() >= 20 {
            let length = (bytes.len() - 20) as u16;
            bytes[2..4].copy_from_slice(&length.to_be_bytes());
            bytes[4..8].copy_from_slice(&MAGIC_COOKIE.to_be_bytes());
        }
        if let Ok(request) = Request::parse(&bytes) {
            if let Some(data) = &request.attributes.data {
                prop_assert!(data.end <= bytes.len());
            }
            prop_assert!(request.peers().count() <= bytes.len() / 12);
            if let Some(credentials) = &request.credentials {
                credentials.verify(b"any key");
            }
        }
    }
}
