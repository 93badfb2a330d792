//! The attributes of requests, of right and of wrong lengths.

use super::*;

#[test]
fn an_unknown_password_algorithm_is_not_malformed() {
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
