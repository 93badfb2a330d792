use std::time::{Duration, Instant};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use callbox_base::auth::Secret;
use proptest::prelude::*;
use ring::{
    hmac,
    rand::SystemRandom,
    signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256,
        RsaKeyPair, RsaPublicKeyComponents,
    },
};
use serde_json::{Value, json};

use super::*;

macro_rules! fixture {
    ($name:literal) => {
        include_bytes!(concat!("../../../../tests/fixtures/jwt/", $name)).as_slice()
    };
}

const NOW: u64 = 1_700_000_000;
const SECRET: &str = "a shared secret for these tests, of some length";

fn now() -> Now {
    Now { instant: Instant::now(), unix: Duration::from_secs(NOW) }
}

/// The DER inside a PEM file.
fn der(pem: &[u8]) -> Vec<u8> {
    let body: String =
        std::str::from_utf8(pem).unwrap().lines().filter(|l| !l.starts_with('-')).collect();
    base64::prelude::BASE64_STANDARD.decode(body).unwrap()
}

fn token(header: &Value, claims: &Value, sign: impl Fn(&[u8]) -> Vec<u8>) -> String {
    let part = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
    let message = format!("{}.{}", part(header), part(claims));
    let signature = BASE64_URL_SAFE_NO_PAD.encode(sign(message.as_bytes()));
    format!("{message}.{signature}")
}

fn hmac_with(key: &[u8]) -> impl Fn(&[u8]) -> Vec<u8> {
    let key = hmac::Key::new(hmac::HMAC_SHA256, key);
    move |message| hmac::sign(&key, message).as_ref().to_vec()
}

fn hs256(claims: &Value) -> String {
    token(&json!({"alg": "HS256", "typ": "JWT"}), claims, hmac_with(SECRET.as_bytes()))
}

fn rs256(message: &[u8]) -> Vec<u8> {
    let key = RsaKeyPair::from_pkcs8(&der(fixture!("rsa.key.pem"))).unwrap();
    let mut signature = vec![0; key.public().modulus_len()];
    key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut signature).unwrap();
    signature
}

fn es256(message: &[u8]) -> Vec<u8> {
    let random = SystemRandom::new();
    let der = der(fixture!("ec.key.pem"));
    let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &der, &random).unwrap();
    key.sign(&random, message).unwrap().as_ref().to_vec()
}

fn eddsa(message: &[u8]) -> Vec<u8> {
    let key = Ed25519KeyPair::from_pkcs8_maybe_unchecked(&der(fixture!("ed.key.pem"))).unwrap();
    key.sign(message).as_ref().to_vec()
}

fn shared() -> TokenVerifier {
    let mut keys = TokenKeys::default();
    keys.add_secret(&Secret::new(SECRET));
    TokenVerifier::new(keys, None, None)
}

fn public(pem: &[u8]) -> TokenVerifier {
    let mut keys = TokenKeys::default();
    keys.add_public_key(pem).unwrap();
    TokenVerifier::new(keys, None, None)
}

fn alice() -> Value {
    json!({"sub": "alice", "name": "Alice", "exp": NOW + 60})
}

fn identity() -> Identity {
    let user = UserId::new("alice").unwrap();
    let grants = Grants::default();
    let (token, issued) = (TokenId::default(), None);
    Identity { user, name: Some("Alice".into()), expires: NOW + 60, grants, token, issued }
}

/// The bearer as this token names it, without the digest of the token.
fn bearer(verifier: &TokenVerifier, token: &str) -> Result<Identity, TokenError> {
    let identity = verifier.verify(token, now())?;
    assert_eq!(identity.token, TokenId::of(token));
    Ok(Identity { token: TokenId::default(), issued: None, ..identity })
}

#[test]
fn a_minted_token_is_accepted() {
    let minter = TokenMinter::new(&Secret::new(SECRET), Some("us"), Some("callbox"));
    let Minted { token, expires } = minter.mint(&wanted(&identity()), now()).unwrap();
    assert_eq!(expires, identity().expires);
    assert_eq!(bearer(&shared(), &token), Ok(identity()));
    assert_eq!(shared().verify(&token, now()).unwrap().issued, Some(NOW));
    let mut keys = TokenKeys::default();
    keys.add_secret(&Secret::new("another one"));
    keys.add_secret(&Secret::new(SECRET));
    let verifier = TokenVerifier::new(keys, Some("us"), Some("callbox"));
    assert_eq!(bearer(&verifier, &token), Ok(identity()));
    let call = Some(vec!["bob".into(), "team-a:*".into()]);
    let rooms = Some(vec!["team-a/*".into()]);
    let presence = Some(Vec::new());
    let block = Some(vec!["mallory".into()]);
    let grants = Grants { call, presence, rooms, block, max_calls: Some(2), relay: false };
    let limited = Identity { grants, ..identity() };
    let token = minter.mint(&wanted(&limited), now()).unwrap().token;
    assert_eq!(bearer(&verifier, &token), Ok(limited));
}

/// A token for this bearer.
fn wanted(bearer: &Identity) -> Wanted {
    let Identity { user, name, expires, grants, .. } = bearer.clone();
    Wanted { user, name, ttl: Duration::from_secs(expires - now().unix_secs()), grants }
}

#[test]
fn invalid_tokens_are_not_minted() {
    let minter = TokenMinter::new(&Secret::new(SECRET), None, None);
    let good = wanted(&identity());
    let calls = |patterns: Vec<String>| Grants { call: Some(patterns), ..Grants::default() };
    let day = Duration::from_secs(86400);
    for (wanted, error) in [
        (Wanted { name: Some("a\nb".into()), ..good.clone() }, MintError::Name),
        (Wanted { name: Some("a".repeat(129)), ..good.clone() }, MintError::Name),
        (Wanted { ttl: Duration::from_millis(999), ..good.clone() }, MintError::Ttl),
        (Wanted { ttl: 30 * day + Duration::from_secs(1), ..good.clone() }, MintError::Ttl),
        (Wanted { ttl: Duration::MAX, ..good.clone() }, MintError::Ttl),
        (
            Wanted { grants: calls(vec!["*".into(), String::new()]), ..good.clone() },
            MintError::Pattern,
        ),
        (
            Wanted {
                grants: Grants { presence: Some(vec![String::new()]), ..Grants::default() },
                ..good.clone()
            },
            MintError::Pattern,
        ),
        (
            Wanted {
                grants: Grants { rooms: Some(vec![String::new()]), ..Grants::default() },
                ..good.clone()
            },
            MintError::Pattern,
        ),
        (Wanted { grants: calls(vec!["a".repeat(7000)]), ..good.clone() }, MintError::TooLong),
    ] {
        assert_eq!(minter.mint(&wanted, now()), Err(error));
    }
    let longest = Wanted {
        name: Some("a".repeat(128)),
        ttl: 30 * day,
        grants: calls(vec!["a".repeat(5500)]),
        ..good
    };
    let token = minter.mint(&longest, now()).unwrap().token;
    assert!(shared().verify(&token, now()).is_ok());
}

#[test]
fn an_invalid_claim_is_named_in_the_error() {
    let mut claims = alice();
    claims["callbox"] = json!({ "call": ["bob"], "relay": false });
    let grants = shared().verify(&hs256(&claims), now()).unwrap().grants;
    assert_eq!(
        grants,
        Grants { call: Some(vec!["bob".into()]), relay: false, ..Grants::default() }
    );
    claims["callbox"] = json!({ "maxCalls": "two" });
    let refused = shared().verify(&hs256(&claims), now()).unwrap_err();
    assert!(refused.to_string().contains("`callbox.maxCalls`"), "{refused}");
}

#[test]
fn each_kind_of_public_key_verifies_its_own_algorithm() {
    let rsa = token(&json!({"alg": "RS256"}), &alice(), rs256);
    let ec = token(&json!({"alg": "ES256"}), &alice(), es256);
    let ed = token(&json!({"alg": "EdDSA"}), &alice(), eddsa);
    for (pem, good, bad) in [
        (fixture!("rsa.pub.pem"), &rsa, [&ec, &ed]),
        (fixture!("rsa.pkcs1.pub.pem"), &rsa, [&ec, &ed]),
        (fixture!("ec.pub.pem"), &ec, [&rsa, &ed]),
        (fixture!("ed.pub.pem"), &ed, [&rsa, &ec]),
    ] {
        let verifier = public(pem);
        assert_eq!(bearer(&verifier, good), Ok(identity()));
        for bad in bad {
            assert!(matches!(verifier.verify(bad, now()), Err(TokenError::Invalid(_))));
        }
        let (message, _) = good.rsplit_once('.').unwrap();
        assert_eq!(verifier.verify(&format!("{message}.AAAA"), now()), Err(WRONG_SIGNATURE));
    }
}

/// The classic: a public key is no secret, so whoever has it could sign HS256 with it.
#[test]
fn a_public_key_is_never_an_hmac_secret() {
    for pem in [fixture!("rsa.pub.pem"), fixture!("ec.pub.pem"), fixture!("ed.pub.pem")] {
        for key in [pem.to_vec(), der(pem)] {
            let forged = token(&json!({"alg": "HS256"}), &alice(), hmac_with(&key));
            let refused = public(pem).verify(&forged, now());
            assert_eq!(refused, Err(TokenError::Invalid("no key is configured for its algorithm")));
        }
    }
}

#[test]
fn the_header_cannot_pick_another_way_to_verify() {
    let mut keys = TokenKeys::default();
    keys.add_secret(&Secret::new(SECRET));
    keys.add_public_key(fixture!("rsa.pub.pem")).unwrap();
    let verifier = TokenVerifier::new(keys, None, None);
    for alg in ["none", "None", "NONE", "", "HS384", "HS512", "RS384", "PS256", "ES384", "ES256"] {
        for sign in [&(|_: &[u8]| Vec::new()) as &dyn Fn(&[u8]) -> Vec<u8>, &rs256] {
            let forged = token(&json!({"alg": alg}), &alice(), sign);
            assert!(
                matches!(verifier.verify(&forged, now()), Err(TokenError::Invalid(_))),
                "{alg}"
            );
        }
    }
    // A key that the token brings along is not looked at.
    let jwk = json!({"kty": "oct", "k": BASE64_URL_SAFE_NO_PAD.encode("mine")});
    let forged = token(&json!({"alg": "HS256", "jwk": jwk}), &alice(), hmac_with(b"mine"));
    assert_eq!(verifier.verify(&forged, now()), Err(WRONG_SIGNATURE));
    // RFC 7515 §4.1.11
    let critical = json!({"alg": "HS256", "crit": ["b64"], "b64": true});
    let token = token(&critical, &alice(), hmac_with(SECRET.as_bytes()));
    assert!(matches!(verifier.verify(&token, now()), Err(TokenError::Invalid(_))));
}

#[test]
fn expiry_and_not_before_have_five_seconds_of_leeway() {
    let verify = |claims: Value| shared().verify(&hs256(&claims), now());
    assert!(verify(json!({"sub": "a", "exp": NOW - 5})).is_ok());
    assert_eq!(verify(json!({"sub": "a", "exp": NOW - 6})), Err(TokenError::Expired));
    assert!(verify(json!({"sub": "a", "exp": (NOW as f64) + 0.5})).is_ok());
    assert!(verify(json!({"sub": "a", "exp": NOW + 60, "nbf": NOW + 5})).is_ok());
    assert!(matches!(
        verify(json!({"sub": "a", "exp": NOW + 60, "nbf": NOW + 6})),
        Err(TokenError::Invalid(_))
    ));
    assert!(verify(json!({"sub": "a", "exp": u64::MAX})).is_ok());
}

#[test]
fn a_token_needs_a_user_and_an_expiry() {
    for claims in [
        json!({"exp": NOW + 60}),
        json!({"sub": "alice"}),
        json!({"sub": "", "exp": NOW + 60}),
        json!({"sub": 7, "exp": NOW + 60}),
        json!({"sub": "a\nb", "exp": NOW + 60}),
        json!({"sub": "alice", "exp": "tomorrow"}),
        json!({"sub": "alice", "exp": null}),
        json!({"sub": "alice", "exp": NOW + 60, "name": "x".repeat(129)}),
        json!({"sub": "alice", "exp": NOW + 60, "name": ["x"]}),
        json!([]),
        json!("alice"),
    ] {
        let refused = shared().verify(&hs256(&claims), now());
        assert!(matches!(refused, Err(TokenError::Invalid(_))), "{claims}");
    }
}

#[test]
fn issuer_and_audience_are_checked_where_configured() {
    let mut keys = TokenKeys::default();
    keys.add_secret(&Secret::new(SECRET));
    let verifier = TokenVerifier::new(keys, Some("us"), Some("callbox"));
    let verify = |more: Value| {
        let mut claims = alice();
        claims.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        // Without configuration, both claims are of no interest.
        assert!(shared().verify(&hs256(&claims), now()).is_ok());
        verifier.verify(&hs256(&claims), now()).is_ok()
    };
    assert!(verify(json!({"iss": "us", "aud": "callbox"})));
    assert!(verify(json!({"iss": "us", "aud": ["other", "callbox"]})));
    assert!(!verify(json!({"iss": "them", "aud": "callbox"})));
    assert!(!verify(json!({"iss": "us", "aud": "other"})));
    assert!(!verify(json!({"iss": "us"})));
    assert!(!verify(json!({"aud": "callbox"})));
}

#[test]
fn a_key_that_cannot_work_is_refused_when_it_is_configured() {
    let add = |pem: &[u8]| TokenKeys::default().add_public_key(pem).unwrap_err();
    assert_eq!(add(fixture!("rsa.key.pem")), PublicKeyError::Private);
    assert_eq!(add(fixture!("rsa.cert.pem")), PublicKeyError::Certificate);
    assert_eq!(add(fixture!("rsa1024.pub.pem")), PublicKeyError::SmallRsa);
    assert_eq!(add(fixture!("ec384.pub.pem")), PublicKeyError::WrongCurve);
    for junk in ["", "hello", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"] {
        assert_eq!(add(junk.as_bytes()), PublicKeyError::NotPem);
    }
}

proptest! {
    #[test]
    fn random_text_is_not_a_token(text in ".{0,200}") {
        prop_assert!(shared().verify(&text, now()).is_err());
    }

    #[test]
    fn no_changed_token_is_accepted(at in 0usize..100, byte in 33u8..127) {
        let good = hs256(&alice());
        let mut changed = good.clone().into_bytes();
        let at = at % changed.len();
        changed[at] = byte;
        let changed = String::from_utf8(changed).unwrap();
        // The last character of a part carries bits that mean nothing; strict base64 refuses them.
        prop_assert!(changed == good || shared().verify(&changed, now()).is_err());
    }
}

fn base64url(bytes: &[u8]) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

/// The public halves of the keys that the tests sign with.
fn jwks() -> [Value; 3] {
    let rsa = RsaKeyPair::from_pkcs8(&der(fixture!("rsa.key.pem"))).unwrap();
    let RsaPublicKeyComponents { n, e } = RsaPublicKeyComponents::<Vec<u8>>::from(rsa.public());
    let (n, e) = (base64url(&n), base64url(&e));
    let (random, ec) = (SystemRandom::new(), der(fixture!("ec.key.pem")));
    let ec = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &ec, &random).unwrap();
    let (x, y) = ec.public_key().as_ref()[1..].split_at(32);
    let ed = Ed25519KeyPair::from_pkcs8_maybe_unchecked(&der(fixture!("ed.key.pem"))).unwrap();
    [
        json!({ "kty": "RSA", "kid": "r", "alg": "RS256", "n": n, "e": e }),
        json!({ "kty": "EC", "kid": "e", "crv": "P-256", "x": base64url(x), "y": base64url(y) }),
        json!({ "kty": "OKP", "kid": "d", "crv": "Ed25519", "x": base64url(ed.public_key().as_ref()) }),
    ]
}

fn published(keys: &[Value]) -> (TokenVerifier, usize) {
    let published = PublishedKeys::default();
    let count = published.replace(json!({ "keys": keys }).to_string().as_bytes()).unwrap();
    let mut keys = TokenKeys::default();
    keys.add_published(&published);
    (TokenVerifier::new(keys, None, None), count)
}

#[test]
fn published_keys_verify_tokens_that_name_them() {
    let (verifier, count) = published(&jwks());
    assert_eq!(count, 3);
    let verify = |header: Value, sign: &dyn Fn(&[u8]) -> Vec<u8>| {
        bearer(&verifier, &token(&header, &alice(), sign))
    };
    for (alg, kid, sign) in [
        ("RS256", "r", &rs256 as &dyn Fn(&[u8]) -> Vec<u8>),
        ("ES256", "e", &es256),
        ("EdDSA", "d", &eddsa),
    ] {
        assert_eq!(verify(json!({ "alg": alg, "kid": kid }), sign), Ok(identity()));
        assert_eq!(verify(json!({ "alg": alg }), sign), Ok(identity()), "no name is any");
        let unknown = verify(json!({ "alg": alg, "kid": "x" }), sign);
        assert_eq!(unknown, Err(TokenError::UnknownKey));
        let forged = verify(json!({ "alg": alg, "kid": kid }), &|_| vec![0; 64]);
        assert_eq!(forged, Err(WRONG_SIGNATURE));
    }
    // The name picks a key, but not how it is used.
    assert!(verify(json!({ "alg": "EdDSA", "kid": "r" }), &eddsa).is_err());
    let hmac = hmac_with(b"x");
    let unknown = verify(json!({ "alg": "HS256", "kid": "x" }), &hmac);
    assert!(matches!(unknown, Err(TokenError::Invalid(_))), "no set will have it");
}

#[test]
fn unsuitable_published_keys_are_ignored() {
    let [rsa, ec, ed] = jwks();
    let with = |key: &Value, name: &str, value: Value| {
        let mut key = key.clone();
        key[name] = value;
        key
    };
    let short = base64url(&[0xff; 128]);
    for useless in [
        json!({ "kty": "oct", "kid": "s", "alg": "HS256", "k": base64url(SECRET.as_bytes()) }),
        with(&rsa, "use", json!("enc")),
        with(&rsa, "alg", json!("RS512")),
        with(&rsa, "alg", json!("HS256")),
        with(&rsa, "alg", json!("whatever")),
        with(&rsa, "n", json!(short)),
        with(&rsa, "n", json!("?")),
        with(&ec, "crv", json!("P-384")),
        with(&ec, "x", json!(short)),
        with(&ed, "crv", json!("X25519")),
        with(&ed, "key_ops", json!(["sign"])),
        json!({ "kty": "something new" }),
    ] {
        assert_eq!(published(&[useless.clone(), ed.clone()]).1, 1, "{useless}");
    }
    let secret = json!({ "kty": "oct", "alg": "HS256", "k": base64url(SECRET.as_bytes()) });
    assert!(published(&[secret]).0.verify(&hs256(&alice()), now()).is_err());
}

#[test]
fn before_the_first_published_keys_an_unmatched_token_has_an_unknown_key() {
    let mut keys = TokenKeys::default();
    keys.add_published(&PublishedKeys::default());
    keys.add_secret(&Secret::new(SECRET));
    let verifier = TokenVerifier::new(keys, None, None);
    assert_eq!(bearer(&verifier, &hs256(&alice())), Ok(identity()));
    let token = token(&json!({"alg": "EdDSA"}), &alice(), eddsa);
    assert_eq!(verifier.verify(&token, now()), Err(TokenError::UnknownKey));
}
