//! Dual allocations on the production core with virtual time.

use std::{net::SocketAddr, time::Duration};

use ::stun::{attributes::*, message::*};
use ::turn::proto::data::Data;
use callbox_base::ids::CallId;
use rand::{SeedableRng, rngs::StdRng};

use crate::{testing::*, *};

const ALICE: &str = "198.51.100.1:4000";
const V4: &str = "8.8.8.8:7000";
const V6: &str = "[2606:4700::9]:7000";

fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

fn at(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// A client with both addresses, and which they are.
fn dual(world: &mut World) -> (Client, SocketAddr, SocketAddr) {
    let mut client = Client::new(ALICE, "alice");
    let answer = client.request(world, METHOD_ALLOCATE, &[udp(), both()]);
    let [v4, v6] = answer.all_relayed()[..] else { panic!("two addresses: {answer:?}") };
    assert!(v4.is_ipv4() && v6.is_ipv6() && answer.address_error().is_none());
    (client, v4, v6)
}

#[test]
fn each_peer_is_reached_from_the_address_of_its_family() {
    let mut world = World::default();
    let (mut client, v4, v6) = dual(&mut world);
    assert_eq!(world.network.sockets.len(), 2);
    let peers = [peer(V4), peer(V6)];
    assert_eq!(client.request(&mut world, METHOD_CREATE_PERMISSION, &peers).code, None);
    for (to, from, number) in [(V4, v4, 0x4000), (V6, v6, 0x4001)] {
        let sent = client.send(&mut world, at(to), b"indication");
        assert_eq!(sent, Some((at(to), b"indication".to_vec())));
        let indication = Answer::read(&world.peer_sends(at(to), from, b"back").unwrap());
        let mut payload = Data::default();
        payload.get_from(&indication.message).unwrap();
        assert_eq!(payload.0, b"back");
        assert_eq!(client.bind(&mut world, number, to).code, None);
        let sent = client.channel_data(&mut world, number, b"channel");
        assert_eq!(sent, Some((at(to), b"channel".to_vec())));
        let back = world.peer_sends(at(to), from, b"x").unwrap();
        assert_eq!(back, [0x40, number as u8, 0, 1, b'x']);
    }
    // The number of one family is taken for the other, too.
    assert_eq!(client.bind(&mut world, 0x4000, "[2606:4700::10]:7000").code, Some(400));
    assert_eq!(client.bind(&mut world, 0x4001, "9.9.9.9:7000").code, Some(400));
}

/// The socket from which a packet leaves is that of the peer's family.
#[test]
fn a_packet_leaves_by_the_socket_of_its_peer_s_family() {
    let mut world = World::default();
    let (mut client, v4, v6) = dual(&mut world);
    for (to, from, number) in [(V4, v4, 0x4000u16), (V6, v6, 0x4001)] {
        client.bind(&mut world, number, to);
        let indication = client.plain(METHOD_SEND, CLASS_INDICATION, &[peer(to), data(b"x")]);
        let channel_data = [&number.to_be_bytes()[..], &[0, 1, b'x', 0, 0, 0]].concat();
        for bytes in [&indication.raw, &channel_data] {
            let (verdict, _) = world.client_sends(client.address, bytes);
            let FromClient::Forward { allocation, .. } = verdict else { panic!("{verdict:?}") };
            assert_eq!(world.network.sockets[&(0, allocation)], from);
        }
    }
}

#[test]
fn conflicting_attributes_are_a_400() {
    let mut world = World::default();
    let mut client = Client::new(ALICE, "alice");
    let mut code = |more: Vec<Box<dyn Setter>>| {
        let attributes: Vec<_> = [udp(), both()].into_iter().chain(more).collect();
        client.request(&mut world, METHOD_ALLOCATE, &attributes).code
    };
    assert_eq!(code(vec![family(true)]), Some(400));
    assert_eq!(code(vec![family(false)]), Some(400));
    assert_eq!(code(vec![raw(ATTR_EVEN_PORT, &[0x80])]), Some(400));
    assert_eq!(code(vec![raw(ATTR_RESERVATION_TOKEN, &[7; 8])]), Some(400));
    for wrong in [&[1, 0, 0, 0][..], &[3, 0, 0, 0], &[2]] {
        let attributes = [udp(), raw(AttrType(0x8000), wrong)];
        let answer = client.request(&mut world, METHOD_ALLOCATE, &attributes);
        assert_eq!(answer.code, Some(400), "{wrong:?}");
    }
    world.assert_nothing_is_left();
}

#[test]
fn an_even_port_without_reservation_applies_to_both_families() {
    let mut world = World::default();
    let mut client = Client::new(ALICE, "alice");
    let attributes = [udp(), both(), raw(ATTR_EVEN_PORT, &[0])];
    let relayed = client.request(&mut world, METHOD_ALLOCATE, &attributes).all_relayed();
    assert_eq!(relayed.len(), 2);
    assert!(relayed.iter().all(|at| at.port() % 2 == 0), "{relayed:?}");
}

#[test]
fn without_ipv6_the_client_gets_ipv4_and_a_440() {
    let config = Config { relay_ips: vec!["8.8.4.4".parse().unwrap()], ..Config::default() };
    let mut world = World::new(config, 1);
    let mut client = Client::new(ALICE, "alice");
    let answer = client.request(&mut world, METHOD_ALLOCATE, &[udp(), both()]);
    assert_eq!((answer.all_relayed().len(), answer.relayed().is_ipv4()), (1, true));
    assert_eq!(answer.address_error(), Some((false, 440)));
    assert_eq!(client.permit(&mut world, "2606:4700::9").code, Some(443));
}

/// "If … absent and the server does not support the IPv4 address family, … 440" (RFC 8656 §7.2).
#[test]
fn without_ipv4_it_is_a_440() {
    let config = Config { relay_ips: vec!["2606:4700::1".parse().unwrap()], ..Config::default() };
    let mut world = World::new(config, 1);
    let mut client = Client::new(ALICE, "alice");
    assert_eq!(client.request(&mut world, METHOD_ALLOCATE, &[udp(), both()]).code, Some(440));
    world.assert_nothing_is_left();
}

#[test]
fn of_a_family_whose_sockets_fail_there_is_a_508_and_the_other_is_given() {
    for v4 in [true, false] {
        let mut world = World::default();
        world.network.without = Some(v4);
        let mut client = Client::new(ALICE, "alice");
        let request = client.signed(METHOD_ALLOCATE, &[udp(), both()]);
        client.nonce = client.exchange(&mut world, &request).text(ATTR_NONCE).unwrap();
        let request = client.signed(METHOD_ALLOCATE, &[udp(), both()]);
        let answer = client.exchange(&mut world, &request);
        assert_eq!(answer.all_relayed().iter().map(SocketAddr::is_ipv4).collect::<Vec<_>>(), [!v4]);
        assert_eq!(answer.address_error(), Some((v4, 508)));
        // Its retransmission gets the same.
        assert_eq!(client.exchange(&mut world, &request).message.raw, answer.message.raw);
        let (yes, no) = if v4 { (V6, V4) } else { (V4, V6) };
        assert_eq!(client.bind(&mut world, 0x4000, yes).code, None);
        assert_eq!(client.bind(&mut world, 0x4001, no).code, Some(443));
        assert_eq!(world.snapshot().allocations, 1);
        client.request(&mut world, METHOD_REFRESH, &[lifetime(0)]);
        world.assert_nothing_is_left();
    }
    let mut world = World::default();
    world.network.exhausted = true;
    let mut client = Client::new(ALICE, "alice");
    assert_eq!(client.request(&mut world, METHOD_ALLOCATE, &[udp(), both()]).code, Some(508));
    world.assert_nothing_is_left();
}

#[test]
fn the_second_address_counts_against_the_limits() {
    for (user, config) in [
        ("alice", Config { max_allocations_per_user: 3, ..Config::default() }),
        ("bob", Config { max_allocations: 3, ..Config::default() }),
    ] {
        let mut world = World::new(config, 1);
        let mut open = |port: u16, user: &str| {
            let mut client = Client::new(&format!("198.51.100.1:{port}"), user);
            client.request(&mut world, METHOD_ALLOCATE, &[udp(), both()])
        };
        assert_eq!(open(1, user).all_relayed().len(), 2);
        // One more allocation may be had: it is for IPv4.
        let half = open(2, user);
        assert_eq!((half.all_relayed().len(), half.address_error()), (1, Some((false, 508))));
        assert!(half.relayed().is_ipv4());
        let full = open(3, user).code;
        assert_eq!(full, Some(if user == "alice" { 486 } else { 508 }));
        assert_eq!(world.snapshot().allocations, 3);
        world.advance(secs(600));
        world.assert_nothing_is_left();
    }
}

#[test]
fn a_port_range_that_runs_out_for_ipv4_leaves_ipv6() {
    let config = Config { relay_ports: 50000..=50000, ..Config::default() };
    let mut world = World::new(config, 1);
    Client::new("198.51.100.2:4000", "bob").allocate(&mut world);
    let mut client = Client::new(ALICE, "alice");
    let answer = client.request(&mut world, METHOD_ALLOCATE, &[udp(), both()]);
    assert_eq!(answer.all_relayed(), [at("[2606:4700::1]:50000")]);
    assert_eq!(answer.address_error(), Some((true, 508)));
    world.advance(secs(600));
    world.assert_nothing_is_left();
}

/// "Deleting a single allocation destroys any permissions or channels associated with that
/// particular allocation; it MUST NOT affect any … of the other address family" (RFC 8656 §8.1).
#[test]
fn one_address_can_be_deleted_and_the_other_goes_on() {
    for delete_v4 in [true, false] {
        let mut world = World::default();
        let (mut client, v4, v6) = dual(&mut world);
        for (number, to) in [(0x4000, V4), (0x4001, V6)] {
            client.bind(&mut world, number, to);
        }
        let gone = [lifetime(0), family(delete_v4)];
        let answer = client.request(&mut world, METHOD_REFRESH, &gone);
        assert_eq!((answer.code, answer.lifetime()), (None, 0));
        assert_eq!(
            world.network.sockets.values().collect::<Vec<_>>(),
            [if delete_v4 { &v6 } else { &v4 }]
        );
        for (number, to, left) in [(0x4000, V4, !delete_v4), (0x4001, V6, delete_v4)] {
            let sent = client.channel_data(&mut world, number, b"x");
            assert_eq!(sent.is_some(), left, "{to}");
            assert_eq!(client.send(&mut world, at(to), b"x").is_some(), left, "{to}");
            let code = if left { None } else { Some(443) };
            assert_eq!(client.bind(&mut world, number, to).code, code, "{to}");
        }
        let again = client.request(&mut world, METHOD_REFRESH, &gone);
        assert_eq!(again.code, Some(443));
        // Not even a new Allocate may come yet.
        assert_eq!(client.request(&mut world, METHOD_ALLOCATE, &[udp()]).code, Some(437));
        client.request(&mut world, METHOD_REFRESH, &[lifetime(0)]);
        world.assert_nothing_is_left();
    }
}

#[test]
fn a_refresh_without_a_family_is_for_both_and_with_one_for_that_alone() {
    let mut world = World::default();
    let (mut client, _, v6) = dual(&mut world);
    world.advance(secs(500));
    assert_eq!(client.request(&mut world, METHOD_REFRESH, &[lifetime(600)]).code, None);
    world.advance(secs(500));
    assert_eq!(world.network.sockets.len(), 2);
    let answer = client.request(&mut world, METHOD_REFRESH, &[lifetime(1200), family(false)]);
    assert_eq!(answer.lifetime(), 1200);
    world.advance(secs(100));
    assert_eq!(world.network.sockets.values().collect::<Vec<_>>(), [&v6]);
    world.advance(secs(1100));
    world.assert_nothing_is_left();
}

#[test]
fn a_dual_allocation_is_reported_to_its_call_once_and_ends_with_it() {
    let mut world = World::new(Config::default(), 2);
    let id = CallId::generate(1, &mut StdRng::seed_from_u64(1));
    let mut client = Client::minted(&world, ALICE, "alice", Some(id), 3600);
    client.request(&mut world, METHOD_ALLOCATE, &[udp(), both()]);
    assert_eq!(world.network.open_for_calls[&id], 1);
    client.request(&mut world, METHOD_REFRESH, &[lifetime(0), family(true)]);
    assert_eq!(world.network.open_for_calls[&id], 1, "one address is left");
    world.end_call(id);
    world.assert_nothing_is_left();
}

#[test]
fn both_addresses_end_with_the_stream() {
    let mut world = World::default();
    world.connect(at(ALICE));
    dual(&mut world);
    world.disconnect(at(ALICE));
    world.assert_nothing_is_left();
}

#[test]
fn the_limits_of_permissions_and_channels_are_for_both_together() {
    let config = Config { max_permissions: 3, max_channels: 2, ..Config::default() };
    let mut world = World::new(config, 1);
    let (mut client, ..) = dual(&mut world);
    assert_eq!(client.bind(&mut world, 0x4000, V4).code, None);
    assert_eq!(client.bind(&mut world, 0x4001, V6).code, None);
    assert_eq!(client.bind(&mut world, 0x4002, V6).code, Some(400));
    assert_eq!(client.bind(&mut world, 0x4002, "[2606:4700::9]:7001").code, Some(508));
    assert_eq!(client.permit(&mut world, "9.9.9.9").code, None);
    assert_eq!(client.permit(&mut world, "2606:4700::10").code, Some(508));
    // All or none, over both families.
    let world = &mut World::default();
    let (mut client, ..) = dual(world);
    let peers = [peer(V4), peer(V6), peer("[::1]:80")];
    assert_eq!(client.request(world, METHOD_CREATE_PERMISSION, &peers).code, Some(403));
    assert_eq!(client.send(world, at(V4), b"x"), None);
}
