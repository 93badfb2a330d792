//! Credentials that have expired or are revoked.

use super::*;

#[test]
fn expired_credentials_open_no_allocation_and_keep_open_ones() {
    let mut world = World::default();
    let mut early = Client::minted(&world, ALICE, "alice", Some(call(1)), 100);
    let mut late = early.clone();
    late.address = at(BOB);
    early.allocate(&mut world);
    world.advance(secs(101));
    assert_eq!(late.request(&mut world, METHOD_ALLOCATE, &[udp()]).code, Some(401));
    assert_eq!(early.request(&mut world, METHOD_REFRESH, &[]).code, None);
    assert_eq!(early.permit(&mut world, "8.8.8.8").code, None);
}

#[test]
fn the_end_of_a_call_closes_its_allocations_and_refuses_its_credentials() {
    let mut world = World::new(Config::default(), 2);
    let mut even = Client::minted(&world, "198.51.100.1:4000", "alice", Some(call(1)), 3600);
    let mut odd = Client::minted(&world, "198.51.100.1:4001", "bob", Some(call(1)), 3600);
    let mut other = Client::minted(&world, "198.51.100.1:4002", "bob", Some(call(2)), 3600);
    let relayed = even.allocate(&mut world);
    odd.allocate(&mut world);
    other.allocate(&mut world);
    even.permit(&mut world, "8.8.8.8");
    world.end_call(call(1));
    assert_eq!(world.network.sockets.len(), 1);
    assert_eq!(world.peer_sends(at(PEER), relayed, b"x"), None);
    assert_eq!(even.send(&mut world, at(PEER), b"x"), None);
    assert_eq!(even.request(&mut world, METHOD_ALLOCATE, &[udp()]).code, Some(401));
    assert_eq!(even.request(&mut world, METHOD_REFRESH, &[]).code, Some(437));
    assert_eq!(other.request(&mut world, METHOD_REFRESH, &[lifetime(0)]).code, None);
    world.assert_nothing_is_left();
}

#[test]
fn a_user_removed_from_a_call_has_no_relay_for_it_until_readmitted() {
    let mut world = World::new(Config::default(), 2);
    let client = |at: &str, user, n| Client::minted(&world, at, user, Some(call(n)), 3600);
    let mut even = client("198.51.100.1:4000", "alice", 1);
    let mut odd = client("198.51.100.1:4001", "alice", 1);
    let mut bob = client("198.51.100.1:4002", "bob", 1);
    let mut elsewhere = client("198.51.100.1:4003", "alice", 2);
    for client in [&mut even, &mut odd, &mut bob, &mut elsewhere] {
        client.allocate(&mut world);
    }
    world.revoke_user(call(1), "alice");
    assert_eq!(world.network.sockets.len(), 2);
    for client in [&mut even, &mut odd] {
        assert_eq!(client.request(&mut world, METHOD_REFRESH, &[]).code, Some(437));
        assert_eq!(client.request(&mut world, METHOD_ALLOCATE, &[udp()]).code, Some(401));
    }
    for client in [&mut bob, &mut elsewhere] {
        assert_eq!(client.request(&mut world, METHOD_REFRESH, &[lifetime(0)]).code, None);
    }
    world.readmit_user(call(1), "alice");
    even.allocate(&mut world);
    world.end_call(call(1));
    world.readmit_user(call(1), "alice");
    assert_eq!(even.request(&mut world, METHOD_ALLOCATE, &[udp()]).code, Some(401));
    world.assert_nothing_is_left();
}
