//! The relay's checklist, on the production core with virtual time.

use std::{net::SocketAddr, time::Duration};

use ::stun::{attributes::*, message::*, uattrs::UnknownAttributes};
use ::turn::proto::data::Data;
use callbox_base::ids::CallId;
use callbox_stun::{Packet, roomy};
use rand::{SeedableRng, rngs::StdRng};

use super::{testing::*, *};

const ALICE: &str = "198.51.100.1:4000";
const BOB: &str = "198.51.100.2:4000";
const PEER: &str = "8.8.8.8:7000";

fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

fn call(n: u64) -> CallId {
    CallId::generate(n, &mut StdRng::seed_from_u64(n))
}

fn at(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

#[test]
fn binding_tells_the_client_its_address() {
    let mut world = World::default();
    for address in [ALICE, "[2001:db8::9]:4000"] {
        let mut client = Client::new(address, "nobody");
        let request = client.plain(METHOD_BINDING, CLASS_REQUEST, &[]).raw;
        assert_eq!(client.exchange(&mut world, &request).mapped(), client.address);
    }
}

#[test]
fn an_unknown_attribute_is_named_in_a_420() {
    let mut world = World::default();
    let mut client = Client::new(ALICE, "alice");
    let request = client
        .plain(
            METHOD_BINDING,
            CLASS_REQUEST,
            &[raw(AttrType(0x7001), b"x"), raw(AttrType(0x9001), b"x")],
        )
        .raw;
    let answer = client.exchange(&mut world, &request);
    assert_eq!(answer.code, Some(420));
    let mut unknown = UnknownAttributes(vec![]);
    unknown.get_from(&answer.message).unwrap();
    assert_eq!(unknown.0, [AttrType(0x7001)]);

    client.allocate(&mut world);
    let answer = client.request(&mut world, METHOD_REFRESH, &[raw(AttrType(0x7002), b"")]);
    assert_eq!(answer.code, Some(420));
}

#[test]
fn a_first_allocate_is_challenged_and_a_second_one_succeeds() {
    let mut world = World::default();
    let mut client = Client::new(ALICE, "alice");
    let request = client.plain(METHOD_ALLOCATE, CLASS_REQUEST, &[udp()]).raw;
    let answer = client.exchange(&mut world, &request);
    assert_eq!(answer.code, Some(401));
    assert_eq!(answer.text(ATTR_REALM).unwrap(), REALM);
    client.nonce = answer.text(ATTR_NONCE).unwrap();
    let request = client.signed(METHOD_ALLOCATE, &[udp()]);
    let answer = client.exchange(&mut world, &request);
    assert_eq!(answer.code, None);
    assert_eq!((answer.mapped(), answer.lifetime()), (client.address, 600));
    assert_eq!(answer.relayed().ip(), at(LISTENERS[0]).ip());
    assert!((49152..=65535).contains(&answer.relayed().port()));
}

#[test]
fn wrong_credentials_are_a_401() {
    let mut world = World::default();
    for (user, password) in [("alice", "wrong"), ("nobody", "pass"), ("1900000000:alice", "pass")] {
        let mut client = Client::new(ALICE, user);
        client.password = password.into();
        let answer = client.request(&mut world, METHOD_ALLOCATE, &[udp()]);
        assert_eq!(answer.code, Some(401), "{user}");
        assert!(answer.text(ATTR_NONCE).is_some());
    }
    world.assert_nothing_is_left();
}

#[test]
fn a_retransmitted_allocate_gets_the_same_success_and_another_one_a_437() {
    let mut world = World::default();
    let mut client = Client::new(ALICE, "alice");
    client.allocate(&mut world);
    client.request(&mut world, METHOD_REFRESH, &[lifetime(0)]);
    let request = client.signed(METHOD_ALLOCATE, &[raw(ATTR_EVEN_PORT, &[0x80]), udp()]);
    let first = client.exchange(&mut world, &request);
    let again = client.exchange(&mut world, &request);
    assert_eq!(first.code, None);
    assert_eq!(first.message.raw, again.message.raw);
    let other = client.request(&mut world, METHOD_ALLOCATE, &[udp()]);
    assert_eq!(other.code, Some(437));
    assert_eq!(world.sockets.len(), 1);
}

#[test]
fn each_wrong_allocate_has_its_code() {
    let mut world = World::default();
    let mut client = Client::new(ALICE, "alice");
    let mut code = |attributes: &[Box<dyn Setter>]| {
        client.request(&mut world, METHOD_ALLOCATE, attributes).code
    };
    let family = |n| raw(ATTR_REQUESTED_ADDRESS_FAMILY, &[n, 0, 0, 0]);
    let token = || raw(ATTR_RESERVATION_TOKEN, &[7; 8]);
    assert_eq!(code(&[]), Some(400));
    assert_eq!(code(&[raw(ATTR_REQUESTED_TRANSPORT, &[132, 0, 0, 0])]), Some(442));
    assert_eq!(code(&[udp(), family(3)]), Some(440));
    assert_eq!(code(&[udp(), token()]), Some(508));
    assert_eq!(code(&[udp(), token(), family(1)]), Some(400));
    assert_eq!(code(&[udp(), token(), raw(ATTR_EVEN_PORT, &[0])]), Some(400));
    assert_eq!(code(&[udp(), raw(ATTR_LIFETIME, &[0; 3])]), Some(400));
    assert_eq!(code(&[udp(), raw(ATTR_DONT_FRAGMENT, &[0])]), Some(400));
    world.assert_nothing_is_left();
}

#[test]
fn without_an_address_of_the_family_it_is_a_440() {
    let config = Config { relay_ips: vec!["8.8.4.4".parse().unwrap()], ..Config::default() };
    let mut world = World::new(config, 1);
    let mut client = Client::new(ALICE, "alice");
    let v6 = [udp(), raw(ATTR_REQUESTED_ADDRESS_FAMILY, &[2, 0, 0, 0])];
    assert_eq!(client.request(&mut world, METHOD_ALLOCATE, &v6).code, Some(440));
}

#[test]
fn a_client_of_one_family_can_have_an_address_of_the_other() {
    let mut world = World::default();
    let mut client = Client::new(ALICE, "alice");
    let v6 = [udp(), raw(ATTR_REQUESTED_ADDRESS_FAMILY, &[2, 0, 0, 0])];
    let answer = client.request(&mut world, METHOD_ALLOCATE, &v6);
    assert!(answer.relayed().is_ipv6());
    assert_eq!(client.permit(&mut world, "8.8.8.8").code, Some(443));
    assert_eq!(client.bind(&mut world, 0x4000, PEER).code, Some(443));
    assert_eq!(client.permit(&mut world, "2606:4700::2").code, None);
    let refresh = |family| [lifetime(600), raw(ATTR_REQUESTED_ADDRESS_FAMILY, &[family, 0, 0, 0])];
    assert_eq!(client.request(&mut world, METHOD_REFRESH, &refresh(1)).code, Some(443));
    assert_eq!(client.request(&mut world, METHOD_REFRESH, &refresh(2)).code, None);
}

#[test]
fn what_a_client_has_ends_with_its_stream() {
    let mut world = World::default();
    let mut client = Client::new(ALICE, "alice");
    world.connect(client.address);
    let relayed = client.allocate(&mut world);
    client.bind(&mut world, 0x4000, PEER);
    // Padded to four bytes, over a stream.
    let down = world.peer_sends(PEER.parse().unwrap(), relayed, b"five!").unwrap();
    assert_eq!(down, b"\x40\0\0\x05five!\0\0\0");
    world.disconnect(client.address);
    world.assert_nothing_is_left();
    // The address alone leads to nothing.
    world.connect(client.address);
    assert_eq!(client.channel_data(&mut world, 0x4000, b"up"), None);
    assert_eq!(client.request(&mut world, METHOD_REFRESH, &[lifetime(600)]).code, Some(437));
    world.disconnect(client.address);
}

/// The client goes while the system still opens the socket for it.
#[test]
fn an_allocation_that_nobody_waits_for_is_not_opened() {
    let mut world = World::default();
    let mut client = Client::new(ALICE, "alice");
    world.connect(client.address);
    assert_eq!(client.permit(&mut world, "8.8.8.8").code, Some(437));
    let request = client.signed(METHOD_ALLOCATE, &[udp()]);
    let tuple = world.tuple(client.address);
    for result in [Ok(()), Err(OpenError::AddressInUse), Err(OpenError::System)] {
        let (mut buffer, range) = roomy(&request);
        let mut packet = Packet::new(&mut buffer, range);
        let engine = &mut world.workers[0];
        let fresh = engine.stream_opened(tuple.client, "8.8.4.4".parse().unwrap());
        engine.handle_client(world.now, fresh, &mut packet);
        let Some(Output::OpenRelay { allocation, .. }) = engine.poll_output() else {
            panic!("no socket is asked for");
        };
        let Via::Stream(id) = fresh.via else { panic!("{fresh:?}") };
        engine.stream_closed(id);
        assert!(engine.poll_output().is_none());
        engine.relay_opened(world.now, allocation, result);
        let closed = matches!(engine.poll_output(), Some(Output::CloseRelay { .. }));
        assert_eq!(closed, result.is_ok());
        assert!(engine.poll_output().is_none(), "nobody is answered");
    }
    world.disconnect(client.address);
    world.assert_nothing_is_left();
}

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
    assert_eq!(world.sockets.len(), 1);
    world.advance(secs(1));
    world.assert_nothing_is_left();
    assert_eq!(client.request(&mut world, METHOD_REFRESH, &[]).code, Some(437));
}

#[test]
fn everything_but_allocate_wants_an_allocation_of_the_same_user() {
    let mut world = World::default();
    let mut alice = Client::new(ALICE, "alice");
    let mut mallory = Client::new(ALICE, "bob");
    assert_eq!(alice.permit(&mut world, "8.8.8.8").code, Some(437));
    assert_eq!(alice.bind(&mut world, 0x4000, PEER).code, Some(437));
    alice.allocate(&mut world);
    assert_eq!(mallory.permit(&mut world, "8.8.8.8").code, Some(441));
    assert_eq!(mallory.bind(&mut world, 0x4000, PEER).code, Some(441));
    assert_eq!(mallory.request(&mut world, METHOD_REFRESH, &[lifetime(0)]).code, Some(441));
    assert_eq!(mallory.request(&mut world, METHOD_ALLOCATE, &[udp()]).code, Some(437));
    assert_eq!(world.sockets.len(), 1);
}

#[test]
fn a_stale_nonce_is_a_438_with_a_fresh_one() {
    let mut world = World::default();
    let mut client = Client::new(ALICE, "alice");
    client.allocate(&mut world);
    for _ in 0..7 {
        world.advance(secs(550));
        assert_eq!(client.request(&mut world, METHOD_REFRESH, &[]).code, None);
    }
    let old = client.signed(METHOD_REFRESH, &[]);
    world.advance(secs(580));
    client.request(&mut world, METHOD_REFRESH, &[]);
    client.nonce = "made-up".into();
    let request = client.signed(METHOD_REFRESH, &[]);
    let answer = client.exchange(&mut world, &request);
    assert_eq!(answer.code, Some(438));
    assert!(answer.text(ATTR_NONCE).is_some() && answer.text(ATTR_REALM).is_some());
    // From another address even a good one is of no use: there is nothing behind it.
    let mut thief = Client::new(BOB, "alice");
    assert_eq!(thief.exchange(&mut world, &old).code, Some(438));
}

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
fn denied_peers_are_denied_on_every_way() {
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

#[test]
fn a_port_range_that_runs_out_is_a_508_and_recovers() {
    let config = Config { relay_ports: 50000..=50003, ..Config::default() };
    let mut world = World::new(config, 1);
    world.busy.insert(50001);
    let mut clients: Vec<_> =
        (1..=4).map(|n| Client::new(&format!("198.51.100.1:{n}"), "alice")).collect();
    let codes: Vec<_> = clients
        .iter_mut()
        .map(|client| client.request(&mut world, METHOD_ALLOCATE, &[udp()]).code)
        .collect();
    assert_eq!(codes.iter().filter(|code| code.is_none()).count(), 3);
    assert_eq!(codes.iter().filter(|code| **code == Some(508)).count(), 1);
    world.advance(secs(600));
    world.exhausted = true;
    assert_eq!(clients[0].request(&mut world, METHOD_ALLOCATE, &[udp()]).code, Some(508));
    world.exhausted = false;
    clients[0].allocate(&mut world);
    world.advance(secs(600));
    world.assert_nothing_is_left();
}

/// Something else on the machine holds an even port: another is found, and what is reserved with it.
#[test]
fn an_even_port_that_is_held_is_another_one() {
    let config = Config { relay_ports: 50000..=50009, ..Config::default() };
    for reserve in [0, 0x80] {
        let mut world = World::new(config.clone(), 1);
        world.busy.extend([50000, 50002, 50004, 50008]);
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
fn credentials_that_are_over_open_nothing_but_keep_what_they_opened() {
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
    assert_eq!(world.sockets.len(), 1);
    assert_eq!(world.peer_sends(at(PEER), relayed, b"x"), None);
    assert_eq!(even.send(&mut world, at(PEER), b"x"), None);
    assert_eq!(even.request(&mut world, METHOD_ALLOCATE, &[udp()]).code, Some(401));
    assert_eq!(even.request(&mut world, METHOD_REFRESH, &[]).code, Some(437));
    assert_eq!(other.request(&mut world, METHOD_REFRESH, &[lifetime(0)]).code, None);
    world.assert_nothing_is_left();
}

#[test]
fn who_is_put_out_of_a_call_has_no_relay_for_it_until_let_in_again() {
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
    assert_eq!(world.sockets.len(), 2);
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

#[test]
fn unauthenticated_answers_to_an_address_are_limited_and_nothing_grows() {
    let config = Config { max_unauthenticated_replies: 100, ..Config::default() };
    let mut world = World::new(config, 1);
    let mut flood = Client::new(ALICE, "x");
    let mut answered = 0;
    for _ in 0..10_000 {
        let request = flood.plain(METHOD_ALLOCATE, CLASS_REQUEST, &[udp()]).raw;
        world.client_sends(flood.address, &request);
        answered += world.answers(flood.address).len();
    }
    // Half of them at first: the other half is for requests that come again.
    assert_eq!(answered, 50);
    world.assert_nothing_is_left();
    assert!(world.snapshot().drops.contains(&("reply_limit", 9_950)));
    // Others are served, and so is the address itself a moment later.
    Client::new(BOB, "bob").allocate(&mut world);
    world.advance(secs(1));
    Client::new("198.51.100.1:5000", "alice").allocate(&mut world);
}

/// For two seconds, 3,000 forged Allocates in each come "from" an address with clients.
#[test]
fn forged_requests_keep_no_client_away_that_has_proved_its_address() {
    let mut world = World::default();
    let mut known = Client::new("198.51.100.1:4000", "alice");
    known.allocate(&mut world);
    let mut flood = Client::new("198.51.100.1:10000", "x");
    for round in 0..20 {
        for n in 0..300 {
            flood.address.set_port(10_000 + n);
            let request = flood.plain(METHOD_ALLOCATE, CLASS_REQUEST, &[udp()]).raw;
            world.client_sends(flood.address, &request);
            world.answers(flood.address);
        }
        // Over TCP with no nonce yet, and over UDP with one that is good and a wrong password.
        let mut client = Client::new(&format!("198.51.100.1:{}", 5000 + round), "bob");
        world.connect(client.address);
        client.allocate(&mut world);
        world.disconnect(client.address);
        let mut wrong = known.clone();
        wrong.password = "other".into();
        assert_eq!(wrong.request(&mut world, METHOD_REFRESH, &[]).code, Some(401));
        world.advance(Duration::from_millis(100));
    }
    let dropped = world.snapshot().drops.iter().find(|drop| drop.0 == "reply_limit").unwrap().1;
    assert!(dropped > 3_000, "{dropped} were held back");
}

#[test]
fn an_answer_is_hardly_larger_than_its_question() {
    let mut world = World::default();
    let mut client = Client::new("[2001:db8::9]:4000", "nobody");
    let request = client.plain(METHOD_BINDING, CLASS_REQUEST, &[]).raw;
    assert!(client.exchange(&mut world, &request).message.raw.len() <= 44);
    let request = client.plain(METHOD_ALLOCATE, CLASS_REQUEST, &[udp()]).raw;
    // What RFC 8489 §9.2.4 asks for and nothing else: the header (20), an error without a phrase (8), the
    // realm (4, and 4 for this one), a nonce of which half is the nonce cookie (4 and 28), and
    // PASSWORD-ALGORITHMS (12).
    assert_eq!(client.exchange(&mut world, &request).message.raw.len(), 80);
}

#[test]
fn a_port_tells_nothing_about_the_next() {
    let mut world = World::default();
    let ports: Vec<u16> = (0..50)
        .map(|n| {
            Client::new(&format!("198.51.100.1:{}", 1000 + n), "alice").allocate(&mut world).port()
        })
        .collect();
    let steps = ports.windows(2).filter(|w| w[0].abs_diff(w[1]) < 50).count();
    assert!(steps < 10, "{ports:?}");
}

#[test]
fn behind_a_nat_the_outer_address_is_told_and_the_inner_one_used() {
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
    // What comes from the inner address is heard as the outer one, by its channel.
    assert_eq!(world.peer_sends(inner(b), inner(a), b"x").unwrap()[..2], [0x40, 0]);
}

/// The same bound of an allocation twice: by bytes, and by packets of a hundred bytes. With the reason
/// for which what is past it is dropped.
fn bounded_by_bytes_and_by_packets() -> [(Config, &'static str); 2] {
    [
        (Config { max_bandwidth: 10_000, ..Config::default() }, "bandwidth"),
        (Config { max_packet_rate: 100, ..Config::default() }, "packet_rate"),
    ]
}

#[test]
fn what_is_past_an_allocation_s_limits_is_dropped_each_way() {
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
        // A bucket is empty at first, and a second's worth is the most that it holds. What a channel
        // takes is taken from indications, too; what goes down has its own.
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
fn between_two_relayed_addresses_the_limits_of_both_hold() {
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
