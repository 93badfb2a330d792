//! The proofs of a message, and what they cover.

use super::*;

#[test]
fn a_flipped_bit_anywhere_is_noticed() {
    for at in 0..RFC5769_REQUEST.len() * 8 {
        let mut bytes = RFC5769_REQUEST.to_vec();
        bytes[at / 8] ^= 1 << (at % 8);
        // A flip in a length may hide the fingerprint; then it is not counted as one.
        assert!(!Request::parse(&bytes).is_ok_and(|r| r.fingerprint), "bit {at}");
    }
}

#[test]
fn nothing_after_the_integrity_counts() {
    let key = MessageIntegrity(b"key".to_vec());
    let peer = |port| PeerAddress { ip: "192.0.2.1".parse().unwrap(), port };
    let bytes = message(
        METHOD_CREATE_PERMISSION,
        CLASS_REQUEST,
        &[
            &peer(1),
            &peer(2),
            &key,
            &peer(3),
            &raw(ATTR_LIFETIME, &[0; 4]),
            &raw(AttrType(0x7777), b""),
        ],
    );
    let request = Request::parse(&bytes).unwrap();
    assert_eq!(request.peers().map(|p| p.port()).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(request.attributes.lifetime, None);
    assert!(request.attributes.unknown.is_empty());
    assert!(request.credentials.unwrap().verify(b"key"));
}

/// Of what follows MESSAGE-INTEGRITY only MESSAGE-INTEGRITY-SHA256 and FINGERPRINT count, of what
/// follows that only FINGERPRINT (RFC 8489 §9).
#[test]
fn the_stronger_integrity_is_the_one_that_counts() {
    let lifetime = |n| raw(ATTR_LIFETIME, &[0, 0, 0, n]);
    let old = MessageIntegrity(b"old".to_vec());
    let sha256 = |setters: &[&dyn Setter], key: &[u8]| {
        let mut read = Message::new();
        read.unmarshal_binary(&message(METHOD_REFRESH, CLASS_REQUEST, setters)).unwrap();
        sign_sha256(&mut read, key, 32);
        read
    };
    let both = sha256(&[&lifetime(1), &old], b"new").raw;
    let gap = sha256(&[&lifetime(1), &old, &lifetime(2), &raw(AttrType(0x7777), b"")], b"new").raw;
    let mut behind = sha256(&[&lifetime(1)], b"new");
    lifetime(2).add_to(&mut behind).unwrap();
    old.add_to(&mut behind).unwrap();
    sign_sha256(&mut behind, b"other", 32);
    FINGERPRINT.add_to(&mut behind).unwrap();
    for (name, bytes) in [("both", &both), ("gap", &gap), ("behind", &behind.raw)] {
        let request = Request::parse(bytes).unwrap();
        let credentials = request.credentials.unwrap();
        assert_eq!(credentials.integrity(), Integrity::Sha256, "{name}");
        assert!(credentials.verify(b"new"), "{name}");
        assert!(!credentials.verify(b"old"), "{name}");
        assert_eq!(request.attributes.lifetime, Some(1), "{name}");
        assert!(request.attributes.unknown.is_empty() && !request.attributes.malformed, "{name}");
        assert_eq!(request.fingerprint, name == "behind");
    }
}

#[test]
fn peers_behind_the_first_integrity_are_not_installed() {
    let peer = |port| PeerAddress { ip: "192.0.2.1".parse().unwrap(), port };
    let mut bytes = Message::new();
    let old = MessageIntegrity(b"key".to_vec());
    let setters: [&dyn Setter; 3] = [&peer(1), &old, &peer(2)];
    bytes.unmarshal_binary(&message(METHOD_CREATE_PERMISSION, CLASS_REQUEST, &setters)).unwrap();
    sign_sha256(&mut bytes, b"key", 32);
    let request = Request::parse(&bytes.raw).unwrap();
    assert_eq!(request.peers().map(|p| p.port()).collect::<Vec<_>>(), [1]);
}

/// "At most 32 bytes, but … at least 16 bytes and … a multiple of 4 bytes" (RFC 8489 §14.6).
#[test]
fn a_truncated_integrity_is_one_of_16_to_32_bytes() {
    for len in 0..=40 {
        let mut message = Message::new();
        message.typ = MessageType { method: METHOD_REFRESH, class: CLASS_REQUEST };
        message.write_header();
        sign_sha256(&mut message, b"key", len);
        let request = Request::parse(&message.raw).unwrap();
        let allowed = [16, 20, 24, 28, 32].contains(&len);
        assert_eq!(request.credentials.is_some(), allowed, "{len}");
        assert_eq!(request.attributes.malformed, !allowed, "{len}");
        if let Some(credentials) = request.credentials {
            assert!(credentials.verify(b"key") && !credentials.verify(b"kez"), "{len}");
        }
    }
}
