//! Tests of the reports of allocations that are gone and of credentials that are refused, on the
//! production code with virtual time.

use std::{net::SocketAddr, time::Duration};

use ::stun::{attributes::*, message::*};
use callbox_base::ids::CallId;
use rand::{SeedableRng, rngs::StdRng};

use crate::auth::WrongCredentials;
use crate::{testing::*, *};

const ALICE: &str = "198.51.100.1:4000";

fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

fn at(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn call() -> CallId {
    CallId::generate(1, &mut StdRng::seed_from_u64(1))
}

/// Takes the report of the one allocation that is gone: the reason, and the seconds that it lasted.
fn end(world: &mut World) -> (EndReason, u64) {
    let [ended] = &world.network.ended[..] else {
        panic!("one is gone: {:?}", world.network.ended)
    };
    let seconds = (world.now.instant - ended.opened).as_secs();
    let reason = ended.reason;
    world.network.ended.clear();
    (reason, seconds)
}

#[test]
fn each_end_is_reported_with_its_reason() {
    let mut world = World::default();
    let mut client = Client::new(ALICE, "alice");
    let relayed = client.allocate(&mut world);
    client.permit(&mut world, "8.8.8.8");
    client.send(&mut world, at("8.8.8.8:1"), b"three").unwrap();
    world.peer_sends(at("8.8.8.8:1"), relayed, b"seven!!").unwrap();
    world.advance(secs(7));
    client.request(&mut world, METHOD_REFRESH, &[lifetime(0)]);
    let ended = &world.network.ended[0];
    assert_eq!((&*ended.user, ended.call), ("alice", None));
    assert_eq!((ended.tuple.client.0, ended.relayed.0), (at(ALICE), relayed));
    assert_eq!(ended.usage.read(), (5, 7));
    assert_eq!(end(&mut world), (EndReason::Released, 7));

    client.allocate(&mut world);
    world.advance(secs(601));
    assert_eq!(end(&mut world), (EndReason::Expired, 601));

    world.connect(at(ALICE));
    client.allocate(&mut world);
    world.disconnect(at(ALICE));
    assert_eq!(end(&mut world), (EndReason::Disconnected, 0));

    for (reason, user) in [(EndReason::Revoked, "bob"), (EndReason::CallEnded, "carol")] {
        let mut client = Client::minted(&world, ALICE, user, Some(call()), 3600);
        client.allocate(&mut world);
        world.advance(secs(2));
        match reason {
            EndReason::Revoked => world.revoke_user(call(), user),
            _ => world.end_call(call()),
        }
        assert_eq!(world.network.ended[0].call, Some(call()));
        assert_eq!(end(&mut world), (reason, 2));
    }

    // Both addresses of a dual one, each for itself.
    client.request(&mut world, METHOD_ALLOCATE, &[udp(), both()]);
    world.workers[0].close_all();
    world.carry_out(0);
    let reasons: Vec<_> = world.network.ended.iter().map(|ended| ended.reason).collect();
    assert_eq!(reasons, [EndReason::Stopped; 2]);
    world.network.ended.clear();
    world.assert_nothing_is_left();
}

#[test]
fn wrong_credentials_are_reported_with_their_reason() {
    let mut world = World::default();
    let assert_reported = |world: &mut World, mut client: Client, expected: WrongCredentials| {
        let name = client.username.clone();
        assert_eq!(client.request(world, METHOD_ALLOCATE, &[udp()]).code, Some(401));
        // Its first nonce was not given by the server, so it had not proved its address.
        assert!(world.network.refused.is_empty(), "{expected:?}");
        let challenged = client.signed(METHOD_ALLOCATE, &[udp()]);
        client.nonce = client.exchange(world, &challenged).text(ATTR_NONCE).unwrap();
        assert_eq!(client.request(world, METHOD_ALLOCATE, &[udp()]).code, Some(401));
        let refused = std::mem::take(&mut world.network.refused);
        assert_eq!(refused, [(client.address, Some(name), expected)]);
        client
    };
    let mut wrong = Client::new(ALICE, "alice");
    wrong.password = "guess".into();
    let mut client = assert_reported(&mut world, wrong, WrongCredentials::Password);
    assert_reported(&mut world, Client::new(ALICE, "mallory"), WrongCredentials::User);
    let mut forged = Client::minted(&world, ALICE, "bob", None, 3600);
    forged.password = "guess".into();
    assert_reported(&mut world, forged, WrongCredentials::Password);

    // The nonce from another address does not prove that one.
    client.address = at("203.0.113.9:1");
    assert_eq!(client.request(&mut world, METHOD_ALLOCATE, &[udp()]).code, Some(401));
    assert!(world.network.refused.is_empty());
    // A first request without a nonce is not reported either.
    let first = client.plain(METHOD_ALLOCATE, CLASS_REQUEST, &[udp()]);
    assert_eq!(client.exchange(&mut world, &first.raw).code, Some(401));
    assert!(world.network.refused.is_empty());
}

#[test]
fn expired_credentials_are_reported_as_expired() {
    let mut world = World::default();
    let mut late = Client::minted(&world, ALICE, "alice", None, 60);
    world.advance(secs(61));
    assert_eq!(late.request(&mut world, METHOD_ALLOCATE, &[udp()]).code, Some(401));
    let mut out = Client::minted(&world, "198.51.100.1:4001", "bob", Some(call()), 60);
    world.end_call(call());
    assert_eq!(out.request(&mut world, METHOD_ALLOCATE, &[udp()]).code, Some(401));
    let reasons: Vec<_> = world.network.refused.iter().map(|(.., reason)| *reason).collect();
    assert_eq!(reasons, [WrongCredentials::Expired, WrongCredentials::Revoked]);
}

#[test]
fn a_long_name_is_cut_between_characters() {
    let mut world = World::default();
    let mut client = Client::new(ALICE, &"é".repeat(100));
    for _ in 0..2 {
        let request = client.signed(METHOD_ALLOCATE, &[udp()]);
        client.nonce = client.exchange(&mut world, &request).text(ATTR_NONCE).unwrap();
    }
    let (_, name, _) = &world.network.refused[0];
    assert_eq!(name.as_deref(), Some(&*"é".repeat(32)));
}
