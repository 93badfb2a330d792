//! The limits of bytes and packets a second.

use super::*;

/// Returns one bound of an allocation in two forms, by bytes and by packets of a hundred bytes,
/// each with the reason for which packets past it are dropped.
fn bounded_by_bytes_and_by_packets() -> [(Config, &'static str); 2] {
    [
        (Config { max_bandwidth: 10_000, ..Config::default() }, "bandwidth"),
        (Config { max_packet_rate: 100, ..Config::default() }, "packet_rate"),
    ]
}

#[test]
fn traffic_above_the_limits_of_an_allocation_is_dropped_in_each_direction() {
    for (config, reason) in bounded_by_bytes_and_by_packets() {
        let mut world = World::new(config, 1);
        let mut client = Client::new(ALICE, "alice");
        let relayed = client.allocate(&mut world);
        client.bind(&mut world, 0x4000, PEER);
        client.permit(&mut world, "8.8.8.8");
        let mut pass = |world: &mut World| {
            let channel = (0..200)
                .filter(|_| client.channel_data(world, 0x4000, &[7; 100]).is_some())
                .count();
            let indications =
                (0..200).filter(|_| client.send(world, at(PEER), &[7; 100]).is_some()).count();
            let down = (0..200)
                .filter(|_| world.peer_sends(at(PEER), relayed, &[7; 100]).is_some())
                .count();
            (channel, indications, down)
        };
        // A bucket is empty at first, and a second's worth is the most that it holds. What a
        // channel takes is taken from indications, too; what goes down has its own.
        assert_eq!(pass(&mut world), (0, 0, 0));
        world.advance(Duration::from_millis(500));
        assert_eq!(pass(&mut world), (50, 0, 50));
        world.advance(secs(5));
        assert_eq!(pass(&mut world), (100, 0, 100));
        let counted = world.snapshot();
        assert_eq!((counted.packets_up, counted.packets_down), (150, 150));
        assert_eq!((counted.bytes_up, counted.bytes_down), (15_000, 15_000));
        assert!(counted.drops.contains(&(reason, 3 * 600 - 300)));
        // Requests are not payload.
        assert_eq!(client.permit(&mut world, "8.8.8.8").code, None);
    }
}

/// From one relayed address to another, past the kernel: the sender's way up and the receiver's way
/// down are counted as they would be outside.
#[test]
fn between_two_relayed_addresses_both_limits_apply() {
    for (config, reason) in bounded_by_bytes_and_by_packets() {
        let mut world = World::new(config, 2);
        let mut alice = Client::new("198.51.100.1:4000", "alice");
        let mut bob = Client::new("198.51.100.2:4001", "bob");
        let (a, b) = (alice.allocate(&mut world), bob.allocate(&mut world));
        alice.bind(&mut world, 0x4000, &b.to_string());
        bob.bind(&mut world, 0x4000, &a.to_string());
        bob.permit(&mut world, "8.8.8.8");
        world.advance(secs(1));
        // Half of what may come down to Bob is taken already.
        for _ in 0..50 {
            assert!(world.peer_sends(at(PEER), b, &[7; 100]).is_some());
        }
        let (mut sent, mut arrived) = (0, 0);
        for _ in 0..200 {
            sent += usize::from(alice.channel_data(&mut world, 0x4000, &[7; 100]).is_some());
            let handed_over = world.handed_over.take();
            arrived += usize::from(handed_over.is_some_and(|(_, got)| got.is_some()));
        }
        assert_eq!((sent, arrived), (100, 50));
        assert!(world.snapshot().drops.contains(&(reason, 100 + 50)));
    }
}

#[test]
fn a_user_s_limits_are_shared_by_all_workers_and_end_with_the_last_allocation() {
    for config in [
        Config { max_bandwidth_per_user: 10_000, ..Config::default() },
        Config { max_packet_rate_per_user: 100, ..Config::default() },
    ] {
        let mut world = World::new(config, 2);
        let mut clients = [("4000", "alice"), ("4001", "alice"), ("4002", "bob")]
            .map(|(port, user)| Client::new(&format!("198.51.100.1:{port}"), user));
        for client in &mut clients {
            client.allocate(&mut world);
            client.bind(&mut world, 0x4000, PEER);
        }
        assert_ne!(world.worker_of(clients[0].address), world.worker_of(clients[1].address));
        let pass = |world: &mut World, client: &mut Client| {
            (0..200).filter(|_| client.channel_data(world, 0x4000, &[7; 100]).is_some()).count()
        };
        world.advance(secs(1));
        let (first, rest) = clients.split_at_mut(1);
        for _ in 0..60 {
            assert!(first[0].channel_data(&mut world, 0x4000, &[7; 100]).is_some());
        }
        assert_eq!(pass(&mut world, &mut rest[0]), 40);
        assert_eq!(pass(&mut world, &mut first[0]), 0);
        assert_eq!(pass(&mut world, &mut rest[1]), 100);
        // Whoever closes everything and begins anew has an empty bucket, not a full one.
        for client in &mut clients {
            client.request(&mut world, METHOD_REFRESH, &[lifetime(0)]);
        }
        world.assert_nothing_is_left();
        clients[0].allocate(&mut world);
        clients[0].bind(&mut world, 0x4000, PEER);
        assert_eq!(pass(&mut world, &mut clients[0]), 0);
    }
}
