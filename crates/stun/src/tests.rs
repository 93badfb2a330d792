//! The wire format against the RFC's vectors, the crates' own messages, and nonsense.

use std::net::SocketAddr;

use ::stun::{
    attributes::*,
    error_code::ErrorCodeAttribute,
    fingerprint::FINGERPRINT,
    integrity::MessageIntegrity,
    message::{Getter, Message, Setter, *},
    textattrs::TextAttribute,
};
use ::turn::proto::{data::Data, peeraddr::PeerAddress};
use proptest::prelude::*;

use super::{
    testing::{is_signed_sha256, sign_sha256},
    vectors::{RFC5769_LONG_TERM, RFC5769_REQUEST},
    *,
};

fn message(
    method: ::stun::message::Method,
    class: MessageClass,
    setters: &[&dyn Setter],
) -> Vec<u8> {
    let mut message = Message::new();
    message.typ = MessageType { method, class };
    message.transaction_id.0 = *b"transaction!";
    message.write_header();
    for setter in setters {
        setter.add_to(&mut message).unwrap();
    }
    message.raw
}

fn raw(typ: AttrType, value: &[u8]) -> RawAttribute {
    RawAttribute { typ, length: value.len() as u16, value: value.to_vec() }
}

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

#[test]
fn a_password_algorithm_that_there_is_not_is_no_malformed_one() {
    for (value, expected) in [
        (&[0, 1, 0, 0][..], Some(PasswordAlgorithm::Md5)),
        (&[0, 2, 0, 0], Some(PasswordAlgorithm::Sha256)),
        (&[0, 3, 0, 0], None),
        (&[0, 2], None),
        (&[], None),
    ] {
        let attribute = raw(ATTR_PASSWORD_ALGORITHM, value);
        let bytes = message(METHOD_REFRESH, CLASS_REQUEST, &[&attribute]);
        let attributes = Request::parse(&bytes).unwrap().attributes;
        assert_eq!(attributes.password_algorithm, Some(expected), "{value:?}");
        assert!(!attributes.malformed && attributes.unknown.is_empty());
    }
}

/// "A compliant implementation MUST be able to parse … 763 or fewer octets" (RFC 8489 §14.3).
#[test]
fn a_username_is_read_up_to_763_bytes() {
    for (len, read) in [(508, true), (763, true), (764, false)] {
        let name = "n".repeat(len);
        let attribute = raw(ATTR_USERNAME, name.as_bytes());
        let bytes = message(METHOD_ALLOCATE, CLASS_REQUEST, &[&attribute]);
        let attributes = Request::parse(&bytes).unwrap().attributes;
        assert_eq!((attributes.username.is_some(), attributes.malformed), (read, !read), "{len}");
    }
}

#[test]
fn of_a_repeated_attribute_the_first_counts() {
    let bytes = message(
        METHOD_REFRESH,
        CLASS_REQUEST,
        &[&raw(ATTR_LIFETIME, &[0, 0, 0, 7]), &raw(ATTR_LIFETIME, &[0, 0, 0, 8])],
    );
    assert_eq!(Request::parse(&bytes).unwrap().attributes.lifetime, Some(7));
}

#[test]
fn a_thousand_unknown_attributes_are_reported_by_eight() {
    let attributes: Vec<_> = (0..1000).map(|i| raw(AttrType(0x4000 + i), b"")).collect();
    let setters: Vec<&dyn Setter> = attributes.iter().map(|a| a as &dyn Setter).collect();
    let bytes = message(METHOD_BINDING, CLASS_REQUEST, &setters);
    let unknown = Request::parse(&bytes).unwrap().attributes.unknown;
    assert_eq!(
        unknown.as_slice(),
        [0x4000, 0x4001, 0x4002, 0x4003, 0x4004, 0x4005, 0x4006, 0x4007]
    );
}

#[test]
fn attributes_of_a_wrong_length_are_malformed() {
    for (typ, value) in [
        (ATTR_LIFETIME, &[0; 3][..]),
        (ATTR_REQUESTED_TRANSPORT, &[17]),
        (ATTR_REQUESTED_ADDRESS_FAMILY, &[1; 5]),
        (ATTR_EVEN_PORT, &[]),
        (ATTR_RESERVATION_TOKEN, &[0; 7]),
        (ATTR_CHANNEL_NUMBER, &[0x40, 0]),
        (ATTR_XOR_PEER_ADDRESS, &[0, 1, 0, 0, 1, 2, 3]),
        (ATTR_XOR_PEER_ADDRESS, &[0, 3, 0, 0, 1, 2, 3, 4]),
        (ATTR_USERNAME, &[0xFF]),
        (ATTR_USER_HASH, &[0; 31]),
        (ATTR_USER_HASH, &[0; 33]),
        (ATTR_MESSAGE_INTEGRITY, &[0; 19]),
        (ATTR_MESSAGE_INTEGRITY_SHA256, &[0; 12]),
        (ATTR_MESSAGE_INTEGRITY_SHA256, &[0; 18]),
    ] {
        let bytes = message(METHOD_ALLOCATE, CLASS_REQUEST, &[&raw(typ, value)]);
        assert!(Request::parse(&bytes).unwrap().attributes.malformed, "{typ} {value:?}");
    }
}

#[test]
fn responses_and_strange_methods_are_not_requests() {
    for (method, class) in [
        (METHOD_BINDING, CLASS_SUCCESS_RESPONSE),
        (METHOD_BINDING, CLASS_INDICATION),
        (METHOD_SEND, CLASS_REQUEST),
        (METHOD_ALLOCATE, CLASS_INDICATION),
        (METHOD_CONNECTION_ATTEMPT, CLASS_REQUEST),
    ] {
        let bytes = message(method, class, &[]);
        assert_eq!(
            Request::parse(&bytes).unwrap_err(),
            ParseError::NotARequest,
            "{method} {class}"
        );
    }
}

#[test]
fn a_data_indication_is_what_the_crate_reads() {
    for peer in ["192.0.2.7:1234", "[2001:db8::7]:1234"] {
        for len in [0, 1, 2, 3, 4, 1200] {
            let payload: Vec<u8> = (0..len).map(|i| i as u8).collect();
            let peer: SocketAddr = peer.parse().unwrap();
            let (mut buffer, range) = roomy(&payload);
            let mut packet = Packet::new(&mut buffer, range);
            assert!(write_data_indication(&mut packet, peer, TransactionId([9; 12]), MAX_FRAME));

            let mut read = Message::new();
            read.unmarshal_binary(packet.bytes()).unwrap();
            assert_eq!(read.typ, MessageType { method: METHOD_DATA, class: CLASS_INDICATION });
            assert_eq!(read.raw.len() % 4, 0);
            let mut address = PeerAddress::default();
            address.get_from(&read).unwrap();
            assert_eq!((address.ip, address.port), (peer.ip(), peer.port()));
            let mut data = Data::default();
            data.get_from(&read).unwrap();
            assert_eq!(data.0, payload);
        }
    }
}

#[test]
fn an_indication_that_would_not_fit_is_refused() {
    // Over UDP it has to fit a datagram; over a stream, the 16 bits of its length.
    let cases = [
        ("192.0.2.7:1", 65_507, 65_507 - 36 - 3),
        ("[2001:db8::7]:1", 65_527, 65_527 - 48 - 3),
        ("192.0.2.7:1", MAX_FRAME, 65_532 - 16),
        ("[2001:db8::7]:1", MAX_FRAME, 65_532 - 28),
    ];
    for (peer, limit, longest) in cases {
        let peer: SocketAddr = peer.parse().unwrap();
        for (len, fits) in [(longest, true), (longest + 1, false)] {
            let (mut buffer, range) = roomy(&vec![0; len]);
            let mut packet = Packet::new(&mut buffer, range);
            let written = write_data_indication(&mut packet, peer, TransactionId([9; 12]), limit);
            assert_eq!(written, fits, "{len} bytes from {peer}, {limit} at most");
            if fits {
                Message::new().unmarshal_binary(packet.bytes()).unwrap();
                assert!(packet.bytes().len() <= limit);
            } else {
                assert_eq!(packet.bytes().len(), len, "untouched");
            }
        }
    }
}

#[test]
fn an_error_response_is_what_the_crate_reads() {
    let bytes = message(METHOD_ALLOCATE, CLASS_REQUEST, &[&FINGERPRINT]);
    let request = Request::parse(&bytes).unwrap();
    let response = ResponseBuilder::error(&request, ErrorCode::StaleNonce)
        .challenge("here", "nonce".into())
        .finish(Some(SigningKey { integrity: Integrity::Sha1, key: b"key" }));
    let mut read = Message::new();
    read.unmarshal_binary(&response).unwrap();
    assert_eq!(read.transaction_id.0, request.transaction.0);
    let mut code = ErrorCodeAttribute::default();
    code.get_from(&read).unwrap();
    assert_eq!((code.code.0, &code.reason[..]), (438, &b"Stale Nonce"[..]));
    assert_eq!(TextAttribute::get_from_as(&read, ATTR_REALM).unwrap().text, "here");
    FINGERPRINT.check(&read).unwrap();
    MessageIntegrity(b"key".to_vec()).check(&mut read).unwrap();
    // SHA-256, then MD5 (RFC 8489 §18.5).
    assert_eq!(read.get(ATTR_PASSWORD_ALGORITHMS).unwrap(), [0, 2, 0, 0, 0, 1, 0, 0]);
}

#[test]
fn a_response_is_signed_with_one_of_the_two() {
    for with_fingerprint in [false, true] {
        let setters: &[&dyn Setter] = if with_fingerprint { &[&FINGERPRINT] } else { &[] };
        let bytes = message(METHOD_REFRESH, CLASS_REQUEST, setters);
        let request = Request::parse(&bytes).unwrap();
        for integrity in [Integrity::Sha1, Integrity::Sha256] {
            let key = SigningKey { integrity, key: b"key" };
            let response = ResponseBuilder::success(&request).finish(Some(key));
            let mut read = Message::new();
            read.unmarshal_binary(&response).unwrap();
            let sha1 = MessageIntegrity(b"key".to_vec()).check(&mut read).is_ok();
            let sha256 = is_signed_sha256(&response, b"key");
            assert_eq!((sha1, sha256), (integrity == Integrity::Sha1, !sha1));
            assert_eq!(read.contains(ATTR_FINGERPRINT), with_fingerprint);
            assert!(!with_fingerprint || FINGERPRINT.check(&read).is_ok());
        }
    }
}

#[test]
fn every_error_code_has_its_number_as_label() {
    for code in ErrorCode::ALL {
        assert_eq!(code.label(), code.number().to_string());
    }
}

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
