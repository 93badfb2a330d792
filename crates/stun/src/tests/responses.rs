//! Responses and indications, as the crates of webrtc-rs read them.

use super::*;

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
