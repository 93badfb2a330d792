//! The users who are let in, and the answers to the others.

use std::time::{Duration, Instant};

use ::stun::{
    attributes::*,
    integrity::MessageIntegrity,
    message::{CLASS_REQUEST, METHOD_ALLOCATE, Message, MessageType, Setter},
    textattrs::TextAttribute,
};
use callbox_base::ids::UserId;
use callbox_stun::{
    Integrity,
    testing::{sha256_of, sign_sha256},
    vectors::{MATRIX, RFC5769_LONG_TERM, RFC8489_LONG_TERM},
};

use super::*;

fn now() -> Now {
    Now { instant: Instant::now(), unix: Duration::from_secs(1_700_000_000) }
}

fn client() -> ClientAddr {
    ClientAddr("192.0.2.1:5000".parse().unwrap())
}

fn auth() -> TurnAuth {
    let secrets = TurnSecrets::new(&[Secret::new("new"), Secret::new("old")]);
    TurnAuth::new("here".into(), secrets, vec![("static".into(), Secret::new("pass"))])
}

/// A request with what is `Some`, signed if there is a password.
fn request(
    user: Option<&str>,
    realm: Option<&str>,
    nonce: Option<&str>,
    password: Option<&str>,
) -> Vec<u8> {
    let mut message = Message::new();
    message.typ = MessageType { method: METHOD_ALLOCATE, class: CLASS_REQUEST };
    message.write_header();
    for (typ, text) in [(ATTR_USERNAME, user), (ATTR_REALM, realm), (ATTR_NONCE, nonce)] {
        if let Some(text) = text {
            TextAttribute::new(typ, text.into()).add_to(&mut message).unwrap();
        }
    }
    if let Some(password) = password {
        let (user, realm) = (user.unwrap_or(""), realm.unwrap_or(""));
        MessageIntegrity::new_long_term_integrity(user.into(), realm.into(), password.into())
            .add_to(&mut message)
            .unwrap();
    }
    message.raw
}

fn outcome(auth: &TurnAuth, bytes: &[u8]) -> Result<TurnIdentity, TurnAuthError> {
    auth.authenticate(now(), client(), &Request::parse(bytes).unwrap(), None)
}

#[test]
fn a_static_user_is_known_by_the_password() {
    let auth = auth();
    let nonce = auth.nonce(now(), client());
    let send = |user, password| {
        outcome(&auth, &request(Some(user), Some("here"), Some(&nonce), Some(password)))
    };
    let identity = send("static", "pass").unwrap();
    assert_eq!((&*identity.user, identity.call, identity.expires), ("static", None, None));
    assert_eq!(send("static", "Pass").unwrap_err(), TurnAuthError::Wrong);
    assert_eq!(send("nobody", "pass").unwrap_err(), TurnAuthError::Wrong);
}

#[test]
fn minted_credentials_are_known_under_every_secret() {
    let auth = auth();
    let nonce = auth.nonce(now(), client());
    let user = UserId::new("alice").unwrap();
    for secret in ["new", "old", "other"] {
        let minted = TurnSecrets::new(&[Secret::new(secret)])
            .mint(now(), Duration::from_secs(60), &user, None, &[])
            .unwrap();
        let bytes =
            request(Some(&minted.username), Some("here"), Some(&nonce), Some(&minted.password));
        match outcome(&auth, &bytes) {
            Ok(identity) => {
                assert_ne!(secret, "other");
                assert_eq!(&*identity.user, "alice");
                assert!(!identity.is_expired(now() + Duration::from_secs(60)));
                assert!(identity.is_expired(now() + Duration::from_secs(61)));
            }
            Err(error) => assert_eq!((secret, error), ("other", TurnAuthError::Wrong)),
        }
    }
}

#[test]
fn each_missing_or_wrong_attribute_has_its_error() {
    let auth = auth();
    let nonce = auth.nonce(now(), client());
    let (user, realm, nonce, password) =
        (Some("static"), Some("here"), Some(&*nonce), Some("pass"));
    let error = |bytes: Vec<u8>| outcome(&auth, &bytes).unwrap_err();
    assert_eq!(error(request(user, realm, nonce, None)), TurnAuthError::Missing);
    assert_eq!(error(request(None, realm, nonce, password)), TurnAuthError::Incomplete);
    assert_eq!(error(request(user, None, nonce, password)), TurnAuthError::Incomplete);
    assert_eq!(error(request(user, realm, None, password)), TurnAuthError::Incomplete);
    assert_eq!(error(request(user, Some("there"), nonce, password)), TurnAuthError::Wrong);
    assert_eq!(error(request(user, realm, Some("stale"), password)), TurnAuthError::StaleNonce);
    // Wrong in both: the password is what the client should hear of.
    assert_eq!(error(request(user, realm, Some("stale"), Some("x"))), TurnAuthError::Wrong);
}

/// The name that a client of RFC 8489 gives.
enum Name<'a> {
    Plain(&'a str),
    Hashed(&'a str),
}

/// A request of RFC 8489 with the key of SHA-256.
fn new_request(name: Name<'_>, nonce: &str, password: &str) -> Vec<u8> {
    let mut message = Message::new();
    message.typ = MessageType { method: METHOD_ALLOCATE, class: CLASS_REQUEST };
    message.write_header();
    let name = match name {
        Name::Plain(name) => {
            message.add(ATTR_USERNAME, name.as_bytes());
            name
        }
        Name::Hashed(name) => {
            message.add(ATTR_USER_HASH, &sha256_of(&[name, "here"]));
            name
        }
    };
    message.add(ATTR_REALM, b"here");
    message.add(ATTR_NONCE, nonce.as_bytes());
    message.add(ATTR_PASSWORD_ALGORITHMS, &PasswordAlgorithm::OFFER);
    message.add(ATTR_PASSWORD_ALGORITHM, &[0, 2, 0, 0]);
    sign_sha256(&mut message, &sha256_of(&[name, "here", password]), 32);
    message.raw
}

#[test]
fn a_static_user_is_known_by_name_and_by_hash() {
    let users = (0..100).map(|n| (format!("user {n}"), Secret::new(format!("pass {n}"))));
    let auth = TurnAuth::new("here".into(), TurnSecrets::default(), users.collect());
    let nonce = auth.nonce(now(), client());
    for n in 0..100 {
        let (name, password) = (format!("user {n}"), format!("pass {n}"));
        for who in [Name::Plain(&name), Name::Hashed(&name)] {
            let identity = outcome(&auth, &new_request(who, &nonce, &password)).unwrap();
            assert_eq!((&*identity.username, &*identity.user), (&*name, &*name));
            let key = identity.key.expose();
            assert_eq!(key.integrity, Integrity::Sha256);
            assert_eq!(key.key, sha256_of(&[&name, "here", &password]));
        }
        let wrong = new_request(Name::Hashed(&name), &nonce, "pass");
        assert_eq!(outcome(&auth, &wrong).unwrap_err(), TurnAuthError::Wrong);
    }
    let nobody = new_request(Name::Hashed("user 100"), &nonce, "pass 100");
    assert_eq!(outcome(&auth, &nobody).unwrap_err(), TurnAuthError::Wrong);
}

#[test]
fn minted_credentials_have_a_sha256_key_under_every_secret_and_no_hash() {
    let auth = auth();
    let nonce = auth.nonce(now(), client());
    let user = UserId::new("alice").unwrap();
    for (secret, good) in [("new", true), ("old", true), ("other", false)] {
        let secrets = TurnSecrets::new(&[Secret::new(secret)]);
        let minted = secrets.mint(now(), Duration::from_secs(60), &user, None, &[]).unwrap();
        let plain = new_request(Name::Plain(&minted.username), &nonce, &minted.password);
        let found = outcome(&auth, &plain).map(|identity| identity.user.to_string());
        assert_eq!(found, if good { Ok("alice".into()) } else { Err(TurnAuthError::Wrong) });
        let hashed = new_request(Name::Hashed(&minted.username), &nonce, &minted.password);
        assert_eq!(outcome(&auth, &hashed).unwrap_err(), TurnAuthError::Wrong);
    }
}

/// A client that reads the bit must send a USERHASH, which only static users can be known by.
#[test]
fn user_hashes_are_requested_only_if_they_identify_every_user() {
    let secret = || TurnSecrets::new(&[Secret::new("north")]);
    let user = || vec![("static".to_owned(), Secret::new("pass"))];
    for (secrets, users, asked) in [
        (secret(), user(), false),
        (secret(), vec![], false),
        (TurnSecrets::default(), vec![], false),
        (TurnSecrets::default(), user(), true),
    ] {
        let auth = TurnAuth::new("here".into(), secrets, users);
        let features = SecurityFeatures::of(auth.nonce(now(), client()).as_bytes()).unwrap();
        assert!(features.password_algorithms);
        assert_eq!(features.username_anonymity, asked);
    }
}

/// The owner's key saves work where it is the key that the request is made with, and only there.
#[test]
fn a_known_key_is_used_for_its_own_algorithm() {
    let auth = auth();
    let nonce = auth.nonce(now(), client());
    let old = request(Some("static"), Some("here"), Some(&nonce), Some("pass"));
    let new = new_request(Name::Plain("static"), &nonce, "pass");
    let hashed = new_request(Name::Hashed("static"), &nonce, "pass");
    let owner = outcome(&auth, &old).unwrap();
    for (owner, answers) in
        [(owner, Integrity::Sha1), (outcome(&auth, &new).unwrap(), Integrity::Sha256)]
    {
        assert_eq!(owner.key.expose().integrity, answers);
        for (bytes, answers) in
            [(&old, Integrity::Sha1), (&new, Integrity::Sha256), (&hashed, Integrity::Sha256)]
        {
            let parsed = Request::parse(bytes).unwrap();
            let again = auth.authenticate(now(), client(), &parsed, Some(&owner)).unwrap();
            assert_eq!(again.key.expose().integrity, answers);
        }
    }
}

/// The key, the hash and the HMAC of the RFCs' requests are right, so that only the nonce, which
/// is not of this server, is found wanting.
#[test]
fn the_rfc_s_requests_lack_but_a_nonce() {
    for (password, error) in [("TheMatrIX", TurnAuthError::StaleNonce), ("x", TurnAuthError::Wrong)]
    {
        let user = (MATRIX[0].to_owned(), Secret::new(password));
        let auth = TurnAuth::new(MATRIX[1].into(), TurnSecrets::default(), vec![user]);
        for bytes in [RFC5769_LONG_TERM, RFC8489_LONG_TERM] {
            assert_eq!(outcome(&auth, bytes).unwrap_err(), error);
        }
    }
}

/// The comparison of RFC 8489 §9.2.4 is made where the nonce tells of an offer.
#[test]
fn a_foreign_nonce_is_no_offer_to_compare_with() {
    let mut message = Message::new();
    message.typ = MessageType { method: METHOD_ALLOCATE, class: CLASS_REQUEST };
    message.write_header();
    for (typ, value) in [(ATTR_USERNAME, "static"), (ATTR_REALM, "here"), (ATTR_NONCE, "foreign")] {
        message.add(typ, value.as_bytes());
    }
    let outcome = |algorithm: &[u8]| {
        let mut message = message.clone();
        message.add(ATTR_PASSWORD_ALGORITHM, algorithm);
        sign_sha256(&mut message, &sha256_of(&["static", "here", "pass"]), 32);
        outcome(&auth(), &message.raw).unwrap_err()
    };
    assert_eq!(outcome(&[0, 2, 0, 0]), TurnAuthError::StaleNonce);
    assert_eq!(outcome(&[0, 1, 0, 0]), TurnAuthError::Wrong);
    // There is no key to check it with.
    assert_eq!(outcome(&[0, 3, 0, 0]), TurnAuthError::BidDown);
}
