//! The lifetimes of allocations and permissions.

use super::*;

#[test]
fn lifetimes_are_kept_within_the_range() {
    let mut world = World::default();
    let mut client = Client::new(ALICE, "alice");
    for (asked, given) in [(1, 600), (600, 600), (1200, 1200), (u64::from(u32::MAX), 3600)] {
        let answer = client.request(&mut world, METHOD_ALLOCATE, &[udp(), lifetime(asked)]);
        assert_eq!(answer.lifetime(), given);
        assert_eq!(
            client.request(&mut world, METHOD_REFRESH, &[lifetime(asked)]).lifetime(),
            given
        );
        assert_eq!(client.request(&mut world, METHOD_REFRESH, &[lifetime(0)]).lifetime(), 0);
    }
    world.assert_nothing_is_left();
}

#[test]
fn an_allocation_lives_until_it_is_not_refreshed() {
    let mut world = World::default();
    let mut client = Client::new(ALICE, "alice");
    client.allocate(&mut world);
    world.advance(secs(599));
    client.request(&mut world, METHOD_REFRESH, &[]);
    world.advance(secs(599));
    assert_eq!(world.network.sockets.len(), 1);
    world.advance(secs(1));
    world.assert_nothing_is_left();
    assert_eq!(client.request(&mut world, METHOD_REFRESH, &[]).code, Some(437));
}

#[test]
fn a_permission_lives_five_minutes() {
    let mut world = World::default();
    let mut client = Client::new(ALICE, "alice");
    let relayed = client.allocate(&mut world);
    client.permit(&mut world, "8.8.8.8");
    world.advance(secs(299));
    assert!(client.send(&mut world, at(PEER), b"x").is_some());
    world.advance(secs(1));
    assert_eq!(client.send(&mut world, at(PEER), b"x"), None);
    assert_eq!(world.peer_sends(at(PEER), relayed, b"x"), None);
}
