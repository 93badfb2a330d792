//! Clients of RFC 8489 and of RFC 5389, and what may happen between them and the server.

use std::time::Duration;

use ::stun::{attributes::*, integrity::MessageIntegrity, message::*};
use callbox_base::ids::CallId;
use callbox_stun::{
    PasswordAlgorithm,
    testing::sign_sha256,
    vectors::{RFC5769_LONG_TERM, RFC8489_LONG_TERM},
};
use rand::{SeedableRng, rngs::StdRng};

use crate::testing::*;

const ALICE: &str = "198.51.100.1:4000";
const SHA256: PasswordAlgorithm = PasswordAlgorithm::Sha256;
const MD5: PasswordAlgorithm = PasswordAlgorithm::Md5;

/// Every way there is to prove who one is.
fn proofs() -> impl Iterator<Item = Proof> {
    let new = [(SHA256, false), (SHA256, true), (MD5, false), (MD5, true)];
    let new = new.map(|(algorithm, userhash)| Proof::New { algorithm, userhash });
    [Proof::Old].into_iter().chain(new)
}

fn call() -> CallId {
    CallId::generate(1, &mut StdRng::seed_from_u64(1))
}

/// A Binding asks for no proof, so that one is neither checked nor in the way.
#[test]
fn a_binding_with_credentials_is_answered_as_one_without() {
    for request in [RFC5769_LONG_TERM, RFC8489_LONG_TERM] {
        let mut world = World::default();
        let mut client = Client::new(ALICE, "nobody");
        let answer = client.exchange(&mut world, request);
        assert_eq!(answer.mapped(), client.address);
        assert!(answer.raw(ATTR_MESSAGE_INTEGRITY_SHA256).is_none());
    }
}

/// The challenge that a first Allocate gets.
fn challenge(world: &mut World, client: &mut Client) -> Answer {
    let request = client.plain(METHOD_ALLOCATE, CLASS_REQUEST, &[udp()]).raw;
    client.exchange(world, &request)
}

#[test]
fn a_challenge_offers_the_algorithms_and_says_so_in_its_nonce() {
    let mut world = World::default();
    let mut client = Client::new(ALICE, "alice");
    let stale = client.signed(METHOD_REFRESH, &[]);
    client.password = "wrong".into();
    let wrong = client.signed(METHOD_REFRESH, &[]);
    let answers = [
        (401, challenge(&mut world, &mut client)),
        (438, client.exchange(&mut world, &stale)),
        (401, client.exchange(&mut world, &wrong)),
    ];
    for (code, answer) in answers {
        assert_eq!(answer.code, Some(code));
        assert_eq!(answer.raw(ATTR_PASSWORD_ALGORITHMS).unwrap(), [0, 2, 0, 0, 0, 1, 0, 0]);
        let nonce = answer.text(ATTR_NONCE).unwrap();
        assert!(nonce.starts_with("obMatJos2gAAB") && nonce.len() < 128, "{nonce}");
        assert!(answer.raw(ATTR_MESSAGE_INTEGRITY).is_none());
        assert!(answer.raw(ATTR_MESSAGE_INTEGRITY_SHA256).is_none());
    }
}

#[test]
fn each_kind_of_integrity_opens_and_refreshes_an_allocation() {
    for proof in proofs() {
        let mut world = World::default();
        let mut client = Client::new(ALICE, "alice").with(proof);
        client.allocate(&mut world);
        assert_eq!(client.permit(&mut world, "8.8.8.8").code, None, "{proof:?}");
        assert_eq!(client.bind(&mut world, 0x4000, "8.8.8.8:7000").code, None);
        assert_eq!(client.request(&mut world, METHOD_REFRESH, &[lifetime(0)]).code, None);
        client.password = "wrong".into();
        let wrong = client.request(&mut world, METHOD_ALLOCATE, &[udp()]);
        assert_eq!(wrong.code, Some(401), "{proof:?}");
        world.assert_nothing_is_left();
    }
}

/// A TURN REST username is known by its minter alone, so that its hash says nothing.
#[test]
fn minted_credentials_prove_themselves_by_name_only() {
    for proof in proofs() {
        let mut world = World::default();
        let mut client = Client::minted(&world, ALICE, "alice", Some(call()), 60).with(proof);
        let answer = client.request(&mut world, METHOD_ALLOCATE, &[udp()]);
        let by_hash = matches!(proof, Proof::New { userhash: true, .. });
        assert_eq!(answer.code, by_hash.then_some(401), "{proof:?}");
        // Not even while an allocation of theirs is open.
        let mut named = client.clone().with(NEW);
        let first = named.request(&mut world, METHOD_ALLOCATE, &[udp()]).code;
        assert_eq!(first, if by_hash { None } else { Some(437) });
        let refresh = client.request(&mut world, METHOD_REFRESH, &[]);
        assert_eq!(refresh.code, by_hash.then_some(401), "{proof:?}");
    }
}

/// An allocation belongs to the user, not to a way to prove who that is.
#[test]
fn a_user_may_change_the_proof_while_the_allocation_lives() {
    for first in proofs() {
        let mut world = World::default();
        let mut client = Client::new(ALICE, "alice").with(first);
        client.allocate(&mut world);
        for proof in proofs() {
            client = client.with(proof);
            let answer = client.request(&mut world, METHOD_REFRESH, &[]);
            assert_eq!(answer.code, None, "{first:?}, then {proof:?}");
        }
        let mut mallory = Client::new(ALICE, "bob").with(NEW);
        assert_eq!(mallory.request(&mut world, METHOD_REFRESH, &[]).code, Some(441));
    }
}

#[test]
fn a_retransmitted_allocate_gets_the_same_success_again() {
    let mut world = World::default();
    let mut client = Client::new(ALICE, "alice").with(NEW);
    client.nonce = challenge(&mut world, &mut client).text(ATTR_NONCE).unwrap();
    let request = client.signed(METHOD_ALLOCATE, &[udp()]);
    let first = client.exchange(&mut world, &request);
    assert!(first.code.is_none() && client.accepts(&first));
    assert_eq!(client.exchange(&mut world, &request).message.raw, first.message.raw);
}

/// Errors of a user that is known are signed, those too that come when the request is gone.
#[test]
fn errors_are_signed_as_the_request_asks() {
    for proof in proofs() {
        let mut world = World::default();
        let mut client = Client::new(ALICE, "alice").with(proof);
        let mut error = |world: &mut World, method, attributes: &[Box<dyn Setter>], code| {
            let answer = client.request(world, method, attributes);
            assert_eq!(answer.code, Some(code), "{proof:?}");
            assert!(client.accepts(&answer), "{code}, {proof:?}");
        };
        error(&mut world, METHOD_REFRESH, &[], 437);
        error(&mut world, METHOD_ALLOCATE, &[], 400);
        error(&mut world, METHOD_ALLOCATE, &[udp(), raw(AttrType(0x7001), b"")], 420);
        world.network.exhausted = true;
        error(&mut world, METHOD_ALLOCATE, &[udp()], 508);
    }
    let mut world = World::default();
    let mut client = Client::minted(&world, ALICE, "alice", None, 10).with(NEW);
    world.advance(Duration::from_secs(11));
    let answer = client.request(&mut world, METHOD_ALLOCATE, &[udp()]);
    assert!(answer.code == Some(401) && client.accepts(&answer));
    assert!(answer.raw(ATTR_PASSWORD_ALGORITHMS).is_some());
}

/// RFC 8489 §9.2.4: where the nonce says that algorithms were offered, the request must show the
/// same offer and a choice out of it, or neither.
#[test]
fn a_changed_offer_is_a_400() {
    const OFFER: &[u8] = &[0, 2, 0, 0, 0, 1, 0, 0];
    let algorithms = |offer: &[u8]| raw(ATTR_PASSWORD_ALGORITHMS, offer);
    let algorithm = |number| raw(ATTR_PASSWORD_ALGORITHM, &[0, number, 0, 0]);
    let mut world = World::default();
    let mut client = Client::new(ALICE, "alice");
    client.nonce = challenge(&mut world, &mut client).text(ATTR_NONCE).unwrap();
    // Signed as the old clients do: with the MD5 key, which is right wherever MD5 is chosen.
    let cases = [
        ("no word of algorithms", vec![], None),
        ("the offer and MD5", vec![algorithms(OFFER), algorithm(1)], None),
        ("the offer and SHA-256", vec![algorithms(OFFER), algorithm(2)], Some(401)),
        ("a choice without the offer", vec![algorithm(1)], Some(400)),
        ("the offer without a choice", vec![algorithms(OFFER)], Some(400)),
        ("SHA-256 taken out", vec![algorithms(&[0, 1, 0, 0]), algorithm(1)], Some(400)),
        ("MD5 put first", vec![algorithms(&[0, 1, 0, 0, 0, 2, 0, 0]), algorithm(1)], Some(400)),
        ("an empty offer", vec![algorithms(&[]), algorithm(1)], Some(400)),
        ("a choice that there is not", vec![algorithms(OFFER), algorithm(3)], Some(400)),
    ];
    for (name, mut attributes, code) in cases {
        attributes.push(udp());
        let request = client.signed(METHOD_ALLOCATE, &attributes);
        let answer = client.exchange(&mut world, &request);
        assert_eq!(answer.code, code, "{name}");
        let has = |typ| answer.raw(typ).is_some();
        let integrities = [has(ATTR_MESSAGE_INTEGRITY), has(ATTR_MESSAGE_INTEGRITY_SHA256)];
        assert_eq!(integrities, [code.is_none(), false], "{name}");
        if code == Some(400) {
            assert!(!has(ATTR_NONCE) && !has(ATTR_REALM), "{name}");
        }
        client.request(&mut world, METHOD_REFRESH, &[lifetime(0)]);
    }
    world.assert_nothing_is_left();
}

/// Whoever takes the cookie out of a nonce on its way to the client keeps it from asking for
/// SHA-256, but the server does not know the nonce again.
#[test]
fn a_nonce_without_its_cookie_is_stale() {
    for proof in [Proof::Old, NEW] {
        let mut world = World::default();
        let mut client = Client::new(ALICE, "alice").with(proof);
        let nonce = challenge(&mut world, &mut client).text(ATTR_NONCE).unwrap();
        for cookie in ["", "obMatJos2AAAA"] {
            client.nonce = format!("{cookie}{}", &nonce[13..]);
            let request = client.signed(METHOD_ALLOCATE, &[udp()]);
            assert_eq!(client.exchange(&mut world, &request).code, Some(438), "{proof:?}");
        }
        client.nonce = nonce;
        let request = client.signed(METHOD_ALLOCATE, &[udp()]);
        assert_eq!(client.exchange(&mut world, &request).code, None);
    }
}

/// The answer is as RFC 8489 §9.2.4 asks, where the client keeps to §9.2.5; one that does not, such
/// as the turn-client-proto crate with the algorithms that it has by default, understands the
/// answer.
#[test]
fn an_answer_is_signed_in_the_attribute_that_the_request_is() {
    let mut world = World::default();
    let mut client = Client::new(ALICE, "alice");
    client.allocate(&mut world);
    let choice = || {
        let algorithm = raw(ATTR_PASSWORD_ALGORITHM, &[0, 1, 0, 0]);
        vec![raw(ATTR_PASSWORD_ALGORITHMS, &PasswordAlgorithm::OFFER), algorithm]
    };
    for (attributes, sha256) in
        [(vec![], false), (vec![], true), (choice(), false), (choice(), true)]
    {
        let mut message = client.unsigned(METHOD_REFRESH, &attributes);
        match sha256 {
            false => MessageIntegrity(client.key()).add_to(&mut message).unwrap(),
            true => sign_sha256(&mut message, &client.key(), 32),
        }
        let answer = client.exchange(&mut world, &message.raw);
        assert_eq!(answer.code, None);
        let proof = Proof::New { algorithm: MD5, userhash: false };
        let reader = client.clone().with(if sha256 { proof } else { Proof::Old });
        assert!(reader.accepts(&answer), "{} attributes, {sha256}", attributes.len());
    }
}

/// As the example in RFC 8656 §20 has it: both attributes, of which the second decides.
#[test]
fn a_request_with_both_integrities_is_checked_by_the_stronger() {
    let mut world = World::default();
    let mut client = Client::new(ALICE, "alice").with(NEW);
    client.nonce = challenge(&mut world, &mut client).text(ATTR_NONCE).unwrap();
    let right = client.key();
    for (sha1, sha256, code) in [(&right[..], &b"wrong"[..], Some(401)), (b"wrong", &right, None)] {
        let mut message = client.unsigned(METHOD_ALLOCATE, &[udp()]);
        MessageIntegrity(sha1.to_vec()).add_to(&mut message).unwrap();
        sign_sha256(&mut message, sha256, 32);
        let answer = client.exchange(&mut world, &message.raw);
        assert_eq!(answer.code, code);
        assert_eq!(client.accepts(&answer), code.is_none());
    }
}

#[test]
fn a_truncated_integrity_is_answered_in_full() {
    let mut world = World::default();
    let mut client = Client::new(ALICE, "alice").with(NEW);
    client.allocate(&mut world);
    for len in [16, 20, 24, 28, 32] {
        let mut message = client.unsigned(METHOD_REFRESH, &[]);
        sign_sha256(&mut message, &client.key(), len);
        let answer = client.exchange(&mut world, &message.raw);
        assert!(answer.code.is_none() && client.accepts(&answer), "{len}");
    }
    // Too short is no integrity at all.
    let mut message = client.unsigned(METHOD_REFRESH, &[]);
    sign_sha256(&mut message, &client.key(), 12);
    assert_eq!(client.exchange(&mut world, &message.raw).code, Some(401));
}
