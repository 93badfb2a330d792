//! Data between clients and peers, and the peers that may be reached.

use super::*;

#[test]
fn permissions_are_installed_all_or_none() {
    let mut world = World::default();
    let mut client = Client::new(ALICE, "alice");
    let relayed = client.allocate(&mut world);
    let both = |second: &str| [peer(PEER), peer(second)];
    let mut ask =
        |second: &str| client.request(&mut world, METHOD_CREATE_PERMISSION, &both(second)).code;
    assert_eq!(ask("127.0.0.1:9"), Some(403));
    assert_eq!(ask("[2606:4700::9]:9"), Some(443));
    assert_eq!(client.request(&mut world, METHOD_CREATE_PERMISSION, &[]).code, Some(400));
    assert_eq!(world.peer_sends(at(PEER), relayed, b"x"), None);
    let two = client.request(&mut world, METHOD_CREATE_PERMISSION, &both("9.9.9.9:9"));
    assert_eq!(two.code, None);
    assert!(world.peer_sends(at(PEER), relayed, b"x").is_some());
    // Any port of the address, and no other address.
    assert!(world.peer_sends(at("9.9.9.9:1"), relayed, b"x").is_some());
    assert_eq!(world.peer_sends(at("9.9.9.10:9"), relayed, b"x"), None);
}

#[test]
fn data_goes_both_ways_over_indications_and_channels() {
    let mut world = World::default();
    let mut client = Client::new(ALICE, "alice");
    let relayed = client.allocate(&mut world);
    assert_eq!(client.send(&mut world, at(PEER), b"early"), None);
    client.permit(&mut world, "8.8.8.8");
    assert_eq!(client.send(&mut world, at(PEER), b"hello"), Some((at(PEER), b"hello".to_vec())));
    let indication = Answer::read(&world.peer_sends(at(PEER), relayed, b"hi").unwrap());
    let mut payload = Data::default();
    payload.get_from(&indication.message).unwrap();
    assert_eq!(payload.0, b"hi");

    client.bind(&mut world, 0x4001, PEER);
    for len in 0..9 {
        let bytes = vec![7; len];
        assert_eq!(
            client.channel_data(&mut world, 0x4001, &bytes),
            Some((at(PEER), bytes.clone()))
        );
        let back = world.peer_sends(at(PEER), relayed, &bytes).unwrap();
        assert_eq!(back, [&[0x40, 0x01, 0, len as u8][..], &bytes].concat());
    }
    // Another port of the same address has no channel.
    let other = world.peer_sends(at("8.8.8.8:7001"), relayed, b"hi").unwrap();
    assert_eq!(Answer::read(&other).message.typ.method, METHOD_DATA);
    let counted = world.snapshot();
    assert_eq!((counted.packets_up, counted.packets_down), (10, 11));
    assert_eq!((counted.bytes_up, counted.bytes_down), (5 + 36, 2 + 36 + 2));
}

#[test]
fn a_channel_has_one_peer_and_a_peer_one_channel() {
    let mut world = World::default();
    let mut client = Client::new(ALICE, "alice");
    client.allocate(&mut world);
    let mut code = |number, to: &str| client.bind(&mut world, number, to).code;
    assert_eq!(code(0x4000, PEER), None);
    assert_eq!(code(0x4000, PEER), None);
    assert_eq!(code(0x4000, "8.8.8.8:7001"), Some(400));
    assert_eq!(code(0x4001, PEER), Some(400));
    assert_eq!(code(0x7FFF, "8.8.8.8:7001"), None);
    for number in [0, 0x3FFF, 0x8000, 0xFFFF] {
        assert_eq!(code(number, "9.9.9.9:1"), Some(400), "{number:x}");
    }
    let lacking = client.request(&mut world, METHOD_CHANNEL_BIND, &[channel(0x4002)]);
    assert_eq!(lacking.code, Some(400));
    let lacking = client.request(&mut world, METHOD_CHANNEL_BIND, &[peer("9.9.9.9:1")]);
    assert_eq!(lacking.code, Some(400));
    // Once the binding is over, the number is free again.
    client.request(&mut world, METHOD_REFRESH, &[lifetime(3600)]);
    world.advance(secs(600));
    assert_eq!(client.bind(&mut world, 0x4000, "9.9.9.9:1").code, None);
}

#[test]
fn denied_peers_are_denied_by_each_method() {
    for target in [
        "127.0.0.1:80",
        "0.0.0.0:80",
        "10.0.0.1:80",
        "100.64.0.1:80",
        "169.254.169.254:80",
        "172.16.0.1:80",
        "192.168.1.1:80",
        "224.0.0.1:80",
        "255.255.255.255:80",
        "168.63.129.16:80",
        "[::]:80",
        "[::1]:80",
        "[::ffff:127.0.0.1]:80",
        "[::ffff:8.8.8.8]:80",
        "[fe80::1]:80",
        "[fd00:ec2::254]:80",
        "[ff02::1]:80",
        "[64:ff9b::7f00:1]:80",
        // The server's own services.
        "8.8.4.4:3478",
        "8.8.4.4:8080",
        "[2606:4700::1]:3478",
    ] {
        let mut world = World::default();
        let mut client = Client::new(ALICE, "alice");
        let own = target.starts_with("8.8.4.4") || target.starts_with("[2606");
        let family = raw(
            ATTR_REQUESTED_ADDRESS_FAMILY,
            &[if at(target).is_ipv4() { 1 } else { 2 }, 0, 0, 0],
        );
        let relayed = client.request(&mut world, METHOD_ALLOCATE, &[udp(), family]).relayed();
        // A permission has no port: for our own address it stands for its relayed ports.
        let permission = client.request(&mut world, METHOD_CREATE_PERMISSION, &[peer(target)]);
        assert_eq!(permission.code, if own { None } else { Some(403) }, "{target}");
        assert_eq!(client.bind(&mut world, 0x4000, target).code, Some(403), "{target}");
        assert_eq!(client.send(&mut world, at(target), b"x"), None, "{target}");
        assert_eq!(client.channel_data(&mut world, 0x4000, b"x"), None, "{target}");
        if !own {
            assert_eq!(world.peer_sends(at(target), relayed, b"x"), None, "{target}");
        }
    }
}

#[test]
fn two_clients_of_one_server_can_talk() {
    let mut world = World::default();
    let (mut alice, mut bob) = (Client::new(ALICE, "alice"), Client::new(BOB, "bob"));
    let (a, b) = (alice.allocate(&mut world), bob.allocate(&mut world));
    assert_eq!(alice.bind(&mut world, 0x4000, &b.to_string()).code, None);
    assert_eq!(bob.permit(&mut world, &a.ip().to_string()).code, None);
    assert_eq!(alice.channel_data(&mut world, 0x4000, b"hi"), Some((b, b"hi".to_vec())));
    assert!(world.peer_sends(a, b, b"hi").is_some());
    assert_eq!(bob.send(&mut world, a, b"ho"), Some((a, b"ho".to_vec())));
    assert_eq!(world.peer_sends(b, a, b"ho").unwrap()[..2], [0x40, 0]);
}

/// Something else on this machine may listen on a port of the relay's range: what is reachable is
/// what we have opened, for as long as it is open.
#[test]
fn a_port_of_our_own_address_is_a_peer_only_while_it_is_relayed() {
    let mut world = World::new(Config::default(), 2);
    let mut alice = Client::new("198.51.100.1:4000", "alice");
    let mut bob = Client::new("198.51.100.2:4001", "bob");
    let (a, b) = (alice.allocate(&mut world), bob.allocate(&mut world));
    let free = SocketAddr::new(b.ip(), if b.port() == 49152 { 49153 } else { b.port() - 1 });
    assert_ne!(free, a);
    assert_eq!(alice.permit(&mut world, &b.ip().to_string()).code, None);
    assert_eq!(alice.bind(&mut world, 0x4000, &free.to_string()).code, Some(403));
    assert_eq!(alice.send(&mut world, free, b"x"), None);
    assert_eq!(world.peer_sends(free, a, b"x"), None);

    assert_eq!(alice.bind(&mut world, 0x4000, &b.to_string()).code, None);
    assert!(alice.channel_data(&mut world, 0x4000, b"x").is_some());
    assert!(alice.send(&mut world, b, b"x").is_some());
    bob.request(&mut world, METHOD_REFRESH, &[lifetime(0)]);
    assert_eq!(alice.channel_data(&mut world, 0x4000, b"x"), None);
    assert_eq!(alice.send(&mut world, b, b"x"), None);
    assert_eq!(world.peer_sends(b, a, b"x"), None);
}

#[test]
fn behind_a_nat_the_outer_address_is_sent_and_the_inner_one_used() {
    let config =
        Config { external_ips: vec!["1.2.3.4/8.8.4.4".parse().unwrap()], ..Config::default() };
    let mut world = World::new(config, 1);
    let (mut alice, mut bob) = (Client::new(ALICE, "alice"), Client::new(BOB, "bob"));
    let (a, b) = (alice.allocate(&mut world), bob.allocate(&mut world));
    assert_eq!(a.ip(), at("1.2.3.4:0").ip());
    let inner = |outer: SocketAddr| SocketAddr::new("8.8.4.4".parse().unwrap(), outer.port());
    alice.bind(&mut world, 0x4000, &b.to_string());
    bob.permit(&mut world, "1.2.3.4");
    assert_eq!(alice.channel_data(&mut world, 0x4000, b"x"), Some((inner(b), b"x".to_vec())));
    assert_eq!(bob.send(&mut world, a, b"x"), Some((inner(a), b"x".to_vec())));
    // A datagram from the inner address is heard as one from the outer, by its channel.
    assert_eq!(world.peer_sends(inner(b), inner(a), b"x").unwrap()[..2], [0x40, 0]);
}
