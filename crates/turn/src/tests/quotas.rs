//! The quotas of allocations, permissions and channels.

use super::*;

#[test]
fn quotas_have_their_codes() {
    let config = Config { max_allocations: 3, max_allocations_per_user: 2, ..Config::default() };
    let mut world = World::new(config, 2);
    let mut open = |port: u16, user: &str, even: &[u8]| {
        let mut client = Client::new(&format!("198.51.100.1:{port}"), user);
        let mut attributes = vec![udp()];
        if !even.is_empty() {
            attributes.push(raw(ATTR_EVEN_PORT, even));
        }
        client.request(&mut world, METHOD_ALLOCATE, &attributes).code
    };
    assert_eq!(open(1, "alice", &[]), None);
    assert_eq!(open(2, "alice", &[0x80]), Some(486));
    assert_eq!(open(2, "alice", &[]), None);
    assert_eq!(open(3, "alice", &[]), Some(486));
    assert_eq!(open(4, "bob", &[0x80]), Some(508));
    assert_eq!(open(4, "bob", &[]), None);
    assert_eq!(open(5, "carol", &[]), Some(508));
    world.advance(secs(600));
    world.assert_nothing_is_left();
}

#[test]
fn a_thousand_permissions_and_channels_are_too_many() {
    let mut world = World::default();
    let mut client = Client::new(ALICE, "alice");
    client.allocate(&mut world);
    for n in 0..256u16 {
        assert_eq!(client.bind(&mut world, 0x4000 + n, &format!("8.8.8.8:{}", 1 + n)).code, None);
    }
    assert_eq!(client.bind(&mut world, 0x4200, "8.8.8.8:999").code, Some(508));
    for n in 0..255u8 {
        assert_eq!(client.permit(&mut world, &format!("9.9.9.{n}")).code, None);
    }
    assert_eq!(client.permit(&mut world, "9.9.10.1").code, Some(508));
    assert_eq!(client.permit(&mut world, "9.9.9.1").code, None);
    let many: Vec<_> =
        (0..1000u16).map(|n| peer(&format!("11.0.{}.{}:1", n / 256, n % 256))).collect();
    assert_eq!(client.request(&mut world, METHOD_CREATE_PERMISSION, &many).code, Some(508));
}
