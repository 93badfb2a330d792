//! RFC 6062 on the production core with virtual time.

use std::{net::SocketAddr, time::Duration};

use ::stun::{attributes::*, message::*};
use ::turn::proto::{PROTO_TCP, reqtrans::RequestedTransport};

use crate::{testing::*, *};

const ALICE: &str = "198.51.100.1:4000";
/// Alice's stream for data.
const DATA: &str = "198.51.100.1:4001";
const PEER: &str = "8.8.8.8:7000";

fn tcp() -> Box<dyn Setter> {
    Box::new(RequestedTransport { protocol: PROTO_TCP })
}

fn number(bytes: &[u8]) -> Box<dyn Setter> {
    raw(ATTR_CONNECTION_ID, bytes)
}

/// A client with a TCP allocation, and where that is.
fn client(world: &mut World) -> (Client, SocketAddr) {
    let mut client = Client::new(ALICE, "alice");
    world.connect(client.address);
    let relayed = client.request(world, METHOD_ALLOCATE, &[tcp()]).relayed();
    (client, relayed)
}

/// Returns the user on another stream.
fn data_stream(world: &mut World, address: &str, user: &str) -> Client {
    let data = Client::new(address, user);
    world.connect(data.address);
    data
}

fn ask_for(world: &mut World, client: &mut Client, to: &str) -> Option<Answer> {
    let request = client.signed(METHOD_CONNECT, &[peer(to)]);
    world.client_sends(client.address, &request);
    world.answers(client.address).pop()
}

/// Connects, and gives the connection's number.
fn connect(world: &mut World, client: &mut Client) -> Vec<u8> {
    assert!(ask_for(world, client, PEER).is_none(), "not answered before it is made");
    world.connected(0, true);
    let answer = world.answers(client.address).pop().unwrap();
    assert_eq!((answer.code, answer.message.typ.method), (None, METHOD_CONNECT));
    answer.raw(ATTR_CONNECTION_ID).unwrap()
}

#[test]
fn a_tcp_allocation_needs_a_stream_and_no_datagram_options() {
    let mut world = World::default();
    let mut over_udp = Client::new("198.51.100.2:4000", "bob");
    assert_eq!(over_udp.request(&mut world, METHOD_ALLOCATE, &[tcp()]).code, Some(400));
    let mut over_tcp = data_stream(&mut world, ALICE, "alice");
    let even = [tcp(), raw(ATTR_EVEN_PORT, &[0])];
    assert_eq!(over_tcp.request(&mut world, METHOD_ALLOCATE, &even).code, Some(400));
    let token = [tcp(), raw(ATTR_RESERVATION_TOKEN, &[1; 8])];
    assert_eq!(over_tcp.request(&mut world, METHOD_ALLOCATE, &token).code, Some(400));
    let whole = [tcp(), raw(ATTR_DONT_FRAGMENT, &[])];
    assert_eq!(over_tcp.request(&mut world, METHOD_ALLOCATE, &whole).code, Some(400));
    assert_eq!(over_tcp.request(&mut world, METHOD_ALLOCATE, &[tcp()]).code, None);
    world.disconnect(over_tcp.address);
    world.assert_nothing_is_left();
}

#[test]
fn a_connection_is_made_announced_and_bound() {
    let mut world = World::default();
    let (mut alice, relayed) = client(&mut world);
    let id = connect(&mut world, &mut alice);
    assert_eq!(world.network.connecting[0].1, relayed, "from the relayed address");
    assert_eq!(world.network.connecting[0].2, PEER.parse::<SocketAddr>().unwrap());
    let again = ask_for(&mut world, &mut alice, PEER).unwrap();
    assert_eq!(again.code, Some(446));

    let mut data = data_stream(&mut world, DATA, "alice");
    let answer = data.request(&mut world, METHOD_CONNECTION_BIND, &[number(&id)]);
    assert_eq!(answer.code, None);
    assert_eq!(world.network.spliced.len(), 1);
    // It is bound for as long as there is something to it.
    world.advance(Duration::from_secs(500));
    assert_eq!(world.network.closed, []);
    world.disconnect(data.address);
    assert_eq!(world.network.closed.len(), 1, "the peer's connection ends with the stream");
    world.disconnect(alice.address);
    world.assert_nothing_is_left();
}

#[test]
fn only_its_user_binds_a_connection_and_only_once() {
    let mut world = World::default();
    let (mut alice, _) = client(&mut world);
    let id = connect(&mut world, &mut alice);
    let mut bob = data_stream(&mut world, "198.51.100.2:1", "bob");
    let bind = |world: &mut World, client: &mut Client, id: &[u8]| {
        client.request(world, METHOD_CONNECTION_BIND, &[number(id)]).code
    };
    assert_eq!(bind(&mut world, &mut bob, &id), Some(400));
    assert_eq!(bind(&mut world, &mut alice, &id), Some(400), "not where the allocation is");
    let mut data = data_stream(&mut world, DATA, "alice");
    assert_eq!(bind(&mut world, &mut data, &[9; 4]), Some(400));
    assert_eq!(data.request(&mut world, METHOD_CONNECTION_BIND, &[]).code, Some(400));
    assert_eq!(bind(&mut world, &mut data, &id), None);
    let mut more = data_stream(&mut world, "198.51.100.1:4002", "alice");
    assert_eq!(bind(&mut world, &mut more, &id), Some(400));
    let mut over_udp = Client::new("198.51.100.3:1", "alice");
    assert_eq!(bind(&mut world, &mut over_udp, &id), Some(400));
    for client in [&bob, &data, &more, &alice] {
        world.disconnect(client.address);
    }
    world.assert_nothing_is_left();
}

#[test]
fn a_failed_connect_is_answered_with_its_error() {
    let mut world = World::default();
    let (mut alice, _) = client(&mut world);
    for denied in ["127.0.0.1:1", "10.0.0.1:1", "8.8.4.4:3478", "8.8.4.4:22", "8.8.8.8:0"] {
        let answer = ask_for(&mut world, &mut alice, denied).unwrap();
        assert_eq!(answer.code, Some(403), "{denied}");
    }
    assert_eq!(ask_for(&mut world, &mut alice, "[2606:4700::2]:1").unwrap().code, Some(443));
    assert_eq!(alice.request(&mut world, METHOD_CONNECT, &[]).code, Some(400));
    assert!(ask_for(&mut world, &mut alice, PEER).is_none());
    world.connected(0, false);
    assert_eq!(world.answers(alice.address).pop().unwrap().code, Some(447));
    // One that neither comes to be nor fails is given up after 30 seconds.
    assert!(ask_for(&mut world, &mut alice, PEER).is_none());
    world.advance(Duration::from_secs(29));
    assert!(world.answers(alice.address).is_empty());
    world.advance(Duration::from_secs(1));
    assert_eq!(world.answers(alice.address).pop().unwrap().code, Some(447));
    assert_eq!(world.network.closed.len(), 2);
    let mut udp_only = data_stream(&mut world, DATA, "alice");
    udp_only.allocate(&mut world);
    assert_eq!(ask_for(&mut world, &mut udp_only, PEER).unwrap().code, Some(437));
    world.disconnect(udp_only.address);
    world.disconnect(alice.address);
    world.assert_nothing_is_left();
}

#[test]
fn a_permitted_peer_s_connection_can_be_bound_for_thirty_seconds() {
    let mut world = World::default();
    let (mut alice, relayed) = client(&mut world);
    assert_eq!(world.peer_connects(PEER, relayed), None, "without a permission");
    alice.permit(&mut world, "8.8.8.8");
    assert!(world.peer_connects(PEER, relayed).is_some());
    let attempt = world.answers(alice.address).pop().unwrap().message;
    assert_eq!(
        (attempt.typ.method, attempt.typ.class),
        (METHOD_CONNECTION_ATTEMPT, CLASS_INDICATION)
    );
    let id = attempt.get(ATTR_CONNECTION_ID).unwrap();
    world.advance(Duration::from_secs(30));
    assert_eq!(world.network.closed.len(), 1);
    let mut data = data_stream(&mut world, DATA, "alice");
    let late = data.request(&mut world, METHOD_CONNECTION_BIND, &[number(&id)]);
    assert_eq!(late.code, Some(400));
    world.disconnect(data.address);
    world.disconnect(alice.address);
    world.assert_nothing_is_left();
}

#[test]
fn connections_are_bounded_and_end_with_their_allocation() {
    let mut world = World::new(Config { max_channels: 3, ..Config::default() }, 1);
    let (mut alice, relayed) = client(&mut world);
    alice.permit(&mut world, "8.8.8.8");
    let come = |world: &mut World, n: u16| world.peer_connects(&format!("8.8.8.8:{n}"), relayed);
    for n in 1..=3 {
        assert!(come(&mut world, n).is_some());
    }
    assert!(come(&mut world, 4).is_none());
    assert_eq!(ask_for(&mut world, &mut alice, PEER).unwrap().code, Some(508));
    alice.request(&mut world, METHOD_REFRESH, &[lifetime(0)]);
    assert_eq!(world.network.closed.len(), 3);
    world.disconnect(alice.address);
    world.assert_nothing_is_left();
}

#[test]
fn connections_in_total_are_limited_like_allocations() {
    let mut world = World::new(Config { max_allocations: 3, ..Config::default() }, 1);
    let (mut alice, relayed) = client(&mut world);
    let mut bob = data_stream(&mut world, "198.51.100.2:4000", "bob");
    let bobs = bob.request(&mut world, METHOD_ALLOCATE, &[tcp()]).relayed();
    for client in [&mut alice, &mut bob] {
        client.permit(&mut world, "8.8.8.8");
    }
    let come = |world: &mut World, n: u16, to| world.peer_connects(&format!("8.8.8.8:{n}"), to);
    for (n, to) in [(1, relayed), (2, bobs), (3, relayed)] {
        assert!(come(&mut world, n, to).is_some());
    }
    assert!(come(&mut world, 4, bobs).is_none());
    assert_eq!(ask_for(&mut world, &mut bob, PEER).unwrap().code, Some(508));
    world.disconnect(alice.address);
    assert!(come(&mut world, 4, bobs).is_some());
    world.disconnect(bob.address);
    world.assert_nothing_is_left();
}

#[test]
fn connections_to_peers_per_user_are_limited() {
    let mut world = World::new(Config { max_channels: 2, ..Config::default() }, 1);
    let (mut alice, relayed) = client(&mut world);
    let mut again = data_stream(&mut world, "198.51.100.1:4004", "alice");
    let second = again.request(&mut world, METHOD_ALLOCATE, &[tcp()]).relayed();
    for client in [&mut alice, &mut again] {
        client.permit(&mut world, "8.8.8.8");
    }
    assert!(world.peer_connects("8.8.8.8:1", relayed).is_some());
    assert!(world.peer_connects("8.8.8.8:2", second).is_some());
    assert!(world.peer_connects("8.8.8.8:3", second).is_none());
    assert_eq!(ask_for(&mut world, &mut alice, PEER).unwrap().code, Some(486));
    world.disconnect(again.address);
    assert!(world.peer_connects("8.8.8.8:4", relayed).is_some());
    world.disconnect(alice.address);
    world.assert_nothing_is_left();
}

/// Of the server's own ports a Connect reaches those that are relayed over TCP: on the same number
/// of one that is relayed over UDP, something else on this machine may listen.
#[test]
fn a_port_that_is_relayed_over_udp_is_no_peer_of_a_connect() {
    let mut world = World::default();
    let (mut alice, own) = client(&mut world);
    let mut bob = Client::new("198.51.100.2:4000", "bob");
    let udp = bob.allocate(&mut world);
    assert_eq!(ask_for(&mut world, &mut alice, &udp.to_string()).unwrap().code, Some(403));
    assert!(ask_for(&mut world, &mut alice, &own.to_string()).is_none(), "it is being made");
    // And a datagram does not reach a port that is relayed over TCP.
    bob.permit(&mut world, &own.ip().to_string());
    assert_eq!(bob.send(&mut world, own, b"up"), None);
    assert_eq!(bob.bind(&mut world, 0x4000, &own.to_string()).code, Some(403));
    // Nor does what listens beside one come in as a peer.
    alice.permit(&mut world, &own.ip().to_string());
    assert_eq!(world.peer_connects(&udp.to_string(), own), None);
    world.disconnect(alice.address);
}

/// Neither indications nor channels go through an allocation of TCP (RFC 6062 §4.3).
#[test]
fn datagrams_are_not_relayed_by_a_tcp_allocation() {
    let mut world = World::default();
    let (mut alice, relayed) = client(&mut world);
    alice.permit(&mut world, "8.8.8.8");
    assert_eq!(alice.bind(&mut world, 0x4000, PEER).code, Some(400));
    assert_eq!(alice.send(&mut world, PEER.parse().unwrap(), b"up"), None);
    assert_eq!(world.peer_sends(PEER.parse().unwrap(), relayed, b"down"), None);
    world.disconnect(alice.address);
    world.assert_nothing_is_left();
}
