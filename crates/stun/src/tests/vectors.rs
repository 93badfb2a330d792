//! The test vectors of RFC 5769 and RFC 8489, read and written.

use std::net::SocketAddr;

use ::stun::{attributes::*, fingerprint::fingerprint_value, integrity::MessageIntegrity};

use crate::{
    address::{read_xor, write_xor, xor_len},
    vectors::*,
    *,
};

#[test]
fn the_rfc_s_sample_request_is_read() {
    let request = Request::parse(RFC5769_REQUEST).unwrap();
    assert_eq!(request.method, crate::Method::Binding);
    assert_eq!(request.attributes.username, Some("evtj:h6vY"));
    assert!(request.fingerprint);
    let credentials = request.credentials.unwrap();
    assert!(credentials.verify(SHORT_TERM));
    assert!(!credentials.verify(b"VOkJxbRl1RmTxUk/WvJxBu"));
    // PRIORITY must be understood, and is not, by a server that is no ICE agent.
    assert_eq!(request.attributes.unknown.as_slice(), [ATTR_PRIORITY.value()]);
}

#[test]
fn the_rfc_s_long_term_request_is_read() {
    let request = Request::parse(RFC5769_LONG_TERM).unwrap();
    assert_eq!(request.attributes.username, Some(MATRIX[0]));
    assert_eq!(request.attributes.realm, Some(MATRIX[1].as_bytes()));
    assert!(request.credentials.unwrap().verify(&long_term().0));
}

#[test]
fn the_rfc_s_responses_are_what_this_server_would_send() {
    for (bytes, address) in [
        (RFC5769_IPV4, "192.0.2.1:32853"),
        (RFC5769_IPV6, "[2001:db8:1234:5678:11:2233:4455:6677]:32853"),
    ] {
        let address: SocketAddr = address.parse().unwrap();
        let transaction = TransactionId(bytes[8..20].try_into().unwrap());
        // Behind the header and SOFTWARE, whose padding is a space.
        let mapped = 20 + 16 + 4;
        let integrity = mapped + xor_len(address);
        let value = &bytes[mapped..integrity];
        assert_eq!(read_xor(value, transaction), Some(address));
        let mut written = vec![0; value.len()];
        write_xor(&mut written, address, transaction);
        assert_eq!(written, value);

        let key = SigningKey { integrity: Integrity::Sha1, key: SHORT_TERM };
        let fingerprint = integrity + 4 + 20;
        assert_eq!(key.sign(&bytes[..integrity]).as_ref(), &bytes[integrity + 4..fingerprint]);
        let sum = fingerprint_value(&bytes[..fingerprint]).to_be_bytes();
        assert_eq!(sum, bytes[fingerprint + 4..]);
        assert_eq!(Request::parse(bytes).unwrap_err(), ParseError::NotARequest);
        // With coturn's change it is not: a letter of SOFTWARE.
        let mut changed = bytes.to_vec();
        changed[27] = 23;
        assert_ne!(key.sign(&changed[..integrity]).as_ref(), &bytes[integrity + 4..fingerprint]);
        assert_eq!(Request::parse(&changed).unwrap_err(), ParseError::Fingerprint);
    }
}

#[test]
fn with_coturn_s_changes_the_requests_are_refused() {
    let mut changed = RFC5769_REQUEST.to_vec();
    changed[27] = 23;
    assert_eq!(Request::parse(&changed).unwrap_err(), ParseError::Fingerprint);
    let mut changed = RFC5769_LONG_TERM.to_vec();
    changed[32] = 10;
    let credentials = Request::parse(&changed).unwrap().credentials.unwrap();
    assert!(!credentials.verify(&long_term().0));
}

#[test]
fn the_long_term_request_is_made_again_byte_by_byte() {
    let mut message = ::stun::message::Message::new();
    message.typ = ::stun::message::BINDING_REQUEST;
    message.transaction_id.0.copy_from_slice(&RFC5769_LONG_TERM[8..20]);
    message.write_header();
    message.add(ATTR_USERNAME, MATRIX[0].as_bytes());
    message.add(ATTR_NONCE, b"f//499k954d6OL34oL9FSTvy64sA");
    message.add(ATTR_REALM, MATRIX[1].as_bytes());
    let key = SigningKey { integrity: Integrity::Sha1, key: &long_term().0 };
    let value = key.sign(&message.raw);
    message.add(ATTR_MESSAGE_INTEGRITY, value.as_ref());
    assert_eq!(message.raw, RFC5769_LONG_TERM);
}

#[test]
fn the_rfc_s_sha256_request_is_read() {
    let request = Request::parse(RFC8489_LONG_TERM).unwrap();
    assert_eq!(request.attributes.userhash, RFC8489_LONG_TERM[24..56].first_chunk());
    assert_eq!(request.attributes.realm, Some(MATRIX[1].as_bytes()));
    assert_eq!(request.attributes.password_algorithm, Some(Some(PasswordAlgorithm::Sha256)));
    assert!(!request.attributes.malformed && request.attributes.unknown.is_empty());
    let credentials = request.credentials.unwrap();
    assert_eq!(credentials.integrity(), Integrity::Sha256);
    assert!(credentials.verify(&testing::sha256_of(&MATRIX)));
    assert!(!credentials.verify(&long_term().0));
}

/// Nobody may send it, so nobody must read it; its HMAC is right for the length that it claims.
#[test]
fn the_sha256_request_as_printed_is_no_message() {
    assert_eq!(Request::parse(RFC8489_AS_PRINTED).unwrap_err(), ParseError::NotStun);
    let end = RFC8489_AS_PRINTED.len() - 36;
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, &testing::sha256_of(&MATRIX));
    let sum = ring::hmac::sign(&key, &RFC8489_AS_PRINTED[..end]);
    assert_eq!(sum.as_ref(), &RFC8489_AS_PRINTED[end + 4..]);
}

/// The MD5 key of the long-term requests.
fn long_term() -> MessageIntegrity {
    let [username, realm, password] = MATRIX.map(str::to_owned);
    MessageIntegrity::new_long_term_integrity(username, realm, password)
}
