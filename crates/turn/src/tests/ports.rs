//! The ports of relayed addresses.

use super::*;

#[test]
fn even_ports_and_reservations() {
    let mut world = World::new(Config::default(), 2);
    let even = |r| [udp(), raw(ATTR_EVEN_PORT, &[r])];
    let mut first = Client::new("198.51.100.1:4000", "alice");
    let answer = first.request(&mut world, METHOD_ALLOCATE, &even(0x80));
    let port = answer.relayed().port();
    assert_eq!(port % 2, 0);
    let token = answer.raw(ATTR_RESERVATION_TOKEN).unwrap();

    // The second client comes to the other worker; a stranger gets nothing for the token.
    let mut stranger = Client::new("198.51.100.3:4001", "bob");
    let redeem = [udp(), raw(ATTR_RESERVATION_TOKEN, &token)];
    assert_eq!(stranger.request(&mut world, METHOD_ALLOCATE, &redeem).code, Some(508));
    let mut second = Client::new("198.51.100.1:4001", "alice");
    assert_ne!(world.worker_of(first.address), world.worker_of(second.address));
    let redeemed = second.request(&mut world, METHOD_ALLOCATE, &redeem);
    assert_eq!(redeemed.relayed().port(), port + 1);
    // Once only.
    let mut third = Client::new("198.51.100.1:4002", "alice");
    assert_eq!(third.request(&mut world, METHOD_ALLOCATE, &redeem).code, Some(508));

    // A reservation that nobody comes for is given back.
    let answer = third.request(&mut world, METHOD_ALLOCATE, &even(0x80));
    let token = answer.raw(ATTR_RESERVATION_TOKEN).unwrap();
    world.advance(secs(30));
    let late = [udp(), raw(ATTR_RESERVATION_TOKEN, &token)];
    let mut fourth = Client::new("198.51.100.1:4003", "alice");
    assert_eq!(fourth.request(&mut world, METHOD_ALLOCATE, &late).code, Some(508));
    let plain = fourth.request(&mut world, METHOD_ALLOCATE, &even(0));
    assert!(
        plain.relayed().port().is_multiple_of(2) && plain.raw(ATTR_RESERVATION_TOKEN).is_none()
    );
    world.advance(secs(600));
    world.assert_nothing_is_left();
}

#[test]
fn a_port_range_that_runs_out_is_a_508_and_recovers() {
    let config = Config { relay_ports: 50000..=50003, ..Config::default() };
    let mut world = World::new(config, 1);
    world.network.busy.insert(50001);
    let mut clients: Vec<_> =
        (1..=4).map(|n| Client::new(&format!("198.51.100.1:{n}"), "alice")).collect();
    let codes: Vec<_> = clients
        .iter_mut()
        .map(|client| client.request(&mut world, METHOD_ALLOCATE, &[udp()]).code)
        .collect();
    assert_eq!(codes.iter().filter(|code| code.is_none()).count(), 3);
    assert_eq!(codes.iter().filter(|code| **code == Some(508)).count(), 1);
    world.advance(secs(600));
    world.network.exhausted = true;
    assert_eq!(clients[0].request(&mut world, METHOD_ALLOCATE, &[udp()]).code, Some(508));
    world.network.exhausted = false;
    clients[0].allocate(&mut world);
    world.advance(secs(600));
    world.assert_nothing_is_left();
}

/// Something else on the machine holds an even port: another is found, and what is reserved with
/// it.
#[test]
fn an_even_port_that_is_held_is_another_one() {
    let config = Config { relay_ports: 50000..=50009, ..Config::default() };
    for reserve in [0, 0x80] {
        let mut world = World::new(config.clone(), 1);
        world.network.busy.extend([50000, 50002, 50004, 50008]);
        let mut first = Client::new(ALICE, "alice");
        let answer =
            first.request(&mut world, METHOD_ALLOCATE, &[udp(), raw(ATTR_EVEN_PORT, &[reserve])]);
        assert_eq!((answer.code, answer.relayed().port()), (None, 50006));
        if let Some(token) = answer.raw(ATTR_RESERVATION_TOKEN) {
            let mut second = Client::new(BOB, "alice");
            let wanted = [udp(), raw(ATTR_RESERVATION_TOKEN, &token)];
            let answer = second.request(&mut world, METHOD_ALLOCATE, &wanted);
            assert_eq!((answer.code, answer.relayed().port()), (None, 50007));
        } else {
            assert_eq!(reserve, 0);
        }
        world.advance(secs(600));
        world.assert_nothing_is_left();
    }
}

#[test]
fn ports_are_not_predictable() {
    let mut world = World::default();
    let ports: Vec<u16> = (0..50)
        .map(|n| {
            Client::new(&format!("198.51.100.1:{}", 1000 + n), "alice").allocate(&mut world).port()
        })
        .collect();
    let steps = ports.windows(2).filter(|w| w[0].abs_diff(w[1]) < 50).count();
    assert!(steps < 10, "{ports:?}");
}
