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

use super::*;

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

/// RFC 5769 §2.1, "Sample Request", with a FINGERPRINT and a MESSAGE-INTEGRITY by a short-term
/// password. Its USERNAME is padded with spaces, and it carries PRIORITY and ICE-CONTROLLED.
const RFC5769_REQUEST: &[u8] = b"\x00\x01\x00\x58\x21\x12\xa4\x42\
    \xb7\xe7\xa7\x01\xbc\x34\xd6\x86\xfa\x87\xdf\xae\
    \x80\x22\x00\x10STUN test client\
    \x00\x24\x00\x04\x6e\x00\x01\xff\
    \x80\x29\x00\x08\x93\x2f\xf9\xb1\x51\x26\x3b\x36\
    \x00\x06\x00\x09\x65\x76\x74\x6a\x3a\x68\x36\x76\x59\x20\x20\x20\
    \x00\x08\x00\x14\x9a\xea\xa7\x0c\xbf\xd8\xcb\x56\x78\x1e\xf2\xb5\
    \xb2\xd3\xf2\x49\xc1\xb5\x71\xa2\
    \x80\x28\x00\x04\xe5\x7a\x3b\xcf";

/// RFC 5769 §2.4, "Sample Request with Long-Term Authentication".
const RFC5769_LONG_TERM: &[u8] = b"\x00\x01\x00\x60\x21\x12\xa4\x42\
    \x78\xad\x34\x33\xc6\xad\x72\xc0\x29\xda\x41\x2e\
    \x00\x06\x00\x12\xe3\x83\x9e\xe3\x83\x88\xe3\x83\xaa\xe3\x83\x83\xe3\x82\xaf\xe3\x82\xb9\x00\x00\
    \x00\x15\x00\x1cf//499k954d6OL34oL9FSTvy64sA\
    \x00\x14\x00\x0bexample.org\x00\
    \x00\x08\x00\x14\xf6\x70\x24\x65\x6d\xd6\x4a\x3e\x02\xb8\xe0\x71\
    \x2e\x85\xc9\xa2\x8c\xa8\x96\x66";

#[test]
fn the_rfc_s_sample_request_is_read() {
    let request = Request::parse(RFC5769_REQUEST).unwrap();
    assert_eq!(request.method, super::Method::Binding);
    assert_eq!(request.attributes.username, Some("evtj:h6vY"));
    assert!(request.fingerprint);
    let credentials = request.credentials.unwrap();
    assert!(credentials.verify(b"VOkJxbRl1RmTxUk/WvJxBt"));
    assert!(!credentials.verify(b"VOkJxbRl1RmTxUk/WvJxBu"));
    // PRIORITY must be understood, and is not, by a server that is no ICE agent.
    assert_eq!(request.attributes.unknown.as_slice(), [ATTR_PRIORITY.value()]);
}

#[test]
fn the_rfc_s_long_term_request_is_read() {
    let request = Request::parse(RFC5769_LONG_TERM).unwrap();
    assert_eq!(
        request.attributes.username,
        Some("\u{30DE}\u{30C8}\u{30EA}\u{30C3}\u{30AF}\u{30B9}")
    );
    assert_eq!(request.attributes.realm, Some(&b"example.org"[..]));
    let key = MessageIntegrity::new_long_term_integrity(
        "\u{30DE}\u{30C8}\u{30EA}\u{30C3}\u{30AF}\u{30B9}".into(),
        "example.org".into(),
        "TheMatrIX".into(),
    );
    assert!(request.credentials.unwrap().verify(&key.0));
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
        (ATTR_MESSAGE_INTEGRITY, &[0; 19]),
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
        (METHOD_CONNECT, CLASS_REQUEST),
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
            let (mut buffer, place) = roomy(&payload);
            let mut packet = Packet::new(&mut buffer, place);
            assert!(write_data_indication(&mut packet, peer, TransactionId([9; 12])));

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
    let (mut buffer, place) = roomy(&[0; 65_480]);
    let mut packet = Packet::new(&mut buffer, place);
    let peer = "[2001:db8::7]:1234".parse().unwrap();
    assert!(!write_data_indication(&mut packet, peer, TransactionId([9; 12])));
    assert_eq!(packet.bytes().len(), 65_480);
}

#[test]
fn an_error_response_is_what_the_crate_reads() {
    let bytes = message(METHOD_ALLOCATE, CLASS_REQUEST, &[&FINGERPRINT]);
    let request = Request::parse(&bytes).unwrap();
    let response = ResponseBuilder::error(&request, ErrorCode::StaleNonce)
        .challenge("here", "nonce".into())
        .finish(Some(b"key"));
    let mut read = Message::new();
    read.unmarshal_binary(&response).unwrap();
    assert_eq!(read.transaction_id.0, request.transaction.0);
    let mut code = ErrorCodeAttribute::default();
    code.get_from(&read).unwrap();
    assert_eq!((code.code.0, &code.reason[..]), (438, &b"Stale Nonce"[..]));
    assert_eq!(TextAttribute::get_from_as(&read, ATTR_REALM).unwrap().text, "here");
    FINGERPRINT.check(&read).unwrap();
    MessageIntegrity(b"key".to_vec()).check(&mut read).unwrap();
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
