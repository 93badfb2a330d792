//! The test vectors of RFC 5769, which coturn's `turnutils_rfc5769check` has too, and of RFC 8489.

use std::net::SocketAddr;

use ::stun::{attributes::*, fingerprint::fingerprint_value, integrity::MessageIntegrity};

use super::{
    address::{read_xor, write_xor, xor_len},
    *,
};

/// RFC 5769 §2.1, "Sample Request", with a FINGERPRINT and a MESSAGE-INTEGRITY by a short-term
/// password. Its USERNAME is padded with spaces, and it carries PRIORITY and ICE-CONTROLLED.
pub(crate) const RFC5769_REQUEST: &[u8] = b"\x00\x01\x00\x58\x21\x12\xa4\x42\
    \xb7\xe7\xa7\x01\xbc\x34\xd6\x86\xfa\x87\xdf\xae\
    \x80\x22\x00\x10STUN test client\
    \x00\x24\x00\x04\x6e\x00\x01\xff\
    \x80\x29\x00\x08\x93\x2f\xf9\xb1\x51\x26\x3b\x36\
    \x00\x06\x00\x09\x65\x76\x74\x6a\x3a\x68\x36\x76\x59\x20\x20\x20\
    \x00\x08\x00\x14\x9a\xea\xa7\x0c\xbf\xd8\xcb\x56\x78\x1e\xf2\xb5\
    \xb2\xd3\xf2\x49\xc1\xb5\x71\xa2\
    \x80\x28\x00\x04\xe5\x7a\x3b\xcf";

/// RFC 5769 §2.4, "Sample Request with Long-Term Authentication".
pub(crate) const RFC5769_LONG_TERM: &[u8] = b"\x00\x01\x00\x60\x21\x12\xa4\x42\
    \x78\xad\x34\x33\xc6\xad\x72\xc0\x29\xda\x41\x2e\
    \x00\x06\x00\x12\xe3\x83\x9e\xe3\x83\x88\xe3\x83\xaa\xe3\x83\x83\xe3\x82\xaf\xe3\x82\xb9\x00\x00\
    \x00\x15\x00\x1cf//499k954d6OL34oL9FSTvy64sA\
    \x00\x14\x00\x0bexample.org\x00\
    \x00\x08\x00\x14\xf6\x70\x24\x65\x6d\xd6\x4a\x3e\x02\xb8\xe0\x71\
    \x2e\x85\xc9\xa2\x8c\xa8\x96\x66";

/// RFC 5769 §2.2, "Sample IPv4 Response": from 192.0.2.1:32853.
const RFC5769_IPV4: &[u8] = b"\x01\x01\x00\x3c\x21\x12\xa4\x42\
    \xb7\xe7\xa7\x01\xbc\x34\xd6\x86\xfa\x87\xdf\xae\
    \x80\x22\x00\x0btest vector \
    \x00\x20\x00\x08\x00\x01\xa1\x47\xe1\x12\xa6\x43\
    \x00\x08\x00\x14\x2b\x91\xf5\x99\xfd\x9e\x90\xc3\x8c\x74\x89\xf9\
    \x2a\xf9\xba\x53\xf0\x6b\xe7\xd7\
    \x80\x28\x00\x04\xc0\x7d\x4c\x96";

/// RFC 5769 §2.3, "Sample IPv6 Response": from [2001:db8:1234:5678:11:2233:4455:6677]:32853.
const RFC5769_IPV6: &[u8] = b"\x01\x01\x00\x48\x21\x12\xa4\x42\
    \xb7\xe7\xa7\x01\xbc\x34\xd6\x86\xfa\x87\xdf\xae\
    \x80\x22\x00\x0btest vector \
    \x00\x20\x00\x14\x00\x02\xa1\x47\x01\x13\xa9\xfa\xa5\xd3\xf1\x79\
    \xbc\x25\xf4\xb5\xbe\xd2\xb9\xd9\
    \x00\x08\x00\x14\xa3\x82\x95\x4e\x4b\xe6\x7b\xf1\x17\x84\xc9\x7c\
    \x82\x92\xc2\x75\xbf\xe3\xed\x41\
    \x80\x28\x00\x04\xc8\xfb\x0b\x4c";

/// RFC 8489 Appendix B.1, "Sample Request with Long-Term Authentication with
/// MESSAGE-INTEGRITY-SHA256 and USERHASH", as the verified erratum 6268 has it.
pub(crate) const RFC8489_LONG_TERM: &[u8] = b"\x00\x01\x00\x90\x21\x12\xa4\x42\
    \x78\xad\x34\x33\xc6\xad\x72\xc0\x29\xda\x41\x2e\
    \x00\x1e\x00\x20\x4a\x3c\xf3\x8f\xef\x69\x92\xbd\xa9\x52\xc6\x78\
    \x04\x17\xda\x0f\x24\x81\x94\x15\x56\x9e\x60\xb2\x05\xc4\x6e\x41\x40\x7f\x17\x04\
    \x00\x15\x00\x29obMatJos2AAACf//499k954d6OL34oL9FSTvy64sA\0\0\0\
    \x00\x14\x00\x0bexample.org\x00\
    \x00\x1d\x00\x04\x00\x02\x00\x00\
    \x00\x1c\x00\x20\xb5\xc7\xbf\x00\x5b\x6c\x52\xa2\x1c\x51\xc5\xe8\
    \x92\xf8\x19\x24\x13\x62\x96\xcb\x92\x7c\x43\x14\x93\x09\x27\x8c\xc6\x51\x8e\x65";

/// The same as it is printed in the RFC: 20 bytes shorter than its length field says.
const RFC8489_AS_PRINTED: &[u8] = b"\x00\x01\x00\x9c\x21\x12\xa4\x42\
    \x78\xad\x34\x33\xc6\xad\x72\xc0\x29\xda\x41\x2e\
    \x00\x1e\x00\x20\x4a\x3c\xf3\x8f\xef\x69\x92\xbd\xa9\x52\xc6\x78\
    \x04\x17\xda\x0f\x24\x81\x94\x15\x56\x9e\x60\xb2\x05\xc4\x6e\x41\x40\x7f\x17\x04\
    \x00\x15\x00\x29obMatJos2AAACf//499k954d6OL34oL9FSTvy64sA\0\0\0\
    \x00\x14\x00\x0bexample.org\x00\
    \x00\x1c\x00\x20\xe4\x68\x6c\x8f\x0e\xde\xb5\x90\x13\xe0\x70\x90\
    \x01\x0a\x93\xef\xcc\xbc\xcc\x54\x4c\x0a\x45\xd9\xf8\x30\xaa\x6d\x6f\x73\x5a\x01";

/// The password of the first three.
const SHORT_TERM: &[u8] = b"VOkJxbRl1RmTxUk/WvJxBt";

/// The username, realm and password of the long-term ones.
pub(crate) const MATRIX: [&str; 3] =
    ["\u{30DE}\u{30C8}\u{30EA}\u{30C3}\u{30AF}\u{30B9}", "example.org", "TheMatrIX"];

#[test]
fn the_rfc_s_sample_request_is_read() {
    let request = Request::parse(RFC5769_REQUEST).unwrap();
    assert_eq!(request.method, super::Method::Binding);
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
