//! ICMP errors on the production core.

use std::{net::SocketAddr, time::Duration};

use ::stun::{attributes::*, message::*};
use ::turn::proto::peeraddr::PeerAddress;
use callbox_stun::{Family, Icmp};

use crate::testing::*;

const PEER: &str = "8.8.8.8:7000";
const UNREACHABLE: Icmp = Icmp { family: Family::V4, kind: 3, code: 3, mtu: 0 };

fn at(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// Reports an ICMP error to the engine; returns the indications that the client gets of it.
fn icmp_errors(world: &mut World, client: &Client, to: &str, icmp: Icmp) -> Vec<Answer> {
    let (&(worker, id), _) = world.network.sockets.first_key_value().unwrap();
    world.workers[worker].handle_icmp(world.now, id, at(to), icmp);
    world.carry_out(worker);
    world.answers(client.address)
}

#[test]
fn a_client_gets_icmp_errors_of_a_permitted_peer() {
    let mut world = World::default();
    let mut client = Client::new("198.51.100.1:4000", "alice");
    client.request(&mut world, METHOD_ALLOCATE, &[udp(), raw(ATTR_DONT_FRAGMENT, b"")]);
    assert!(icmp_errors(&mut world, &client, PEER, UNREACHABLE).is_empty(), "without a permission");
    client.permit(&mut world, "8.8.8.8");
    let [error] = &icmp_errors(&mut world, &client, PEER, UNREACHABLE)[..] else { panic!("one") };
    let typ = MessageType { method: METHOD_DATA, class: CLASS_INDICATION };
    assert_eq!(error.message.typ, typ);
    let mut peer = PeerAddress::default();
    peer.get_from(&error.message).unwrap();
    assert_eq!(SocketAddr::new(peer.ip, peer.port), at(PEER));
    assert_eq!(error.raw(AttrType(0x8004)).unwrap(), [0, 0, 6, 3, 0, 0, 0, 0]);
    assert_eq!(error.raw(ATTR_DATA), None);
    // Other messages, such as echo replies, are not reported.
    world.advance(Duration::from_secs(1));
    let echo = Icmp { kind: 0, ..UNREACHABLE };
    assert!(icmp_errors(&mut world, &client, PEER, echo).is_empty());
    world.advance(Duration::from_secs(300));
    assert!(
        icmp_errors(&mut world, &client, PEER, UNREACHABLE).is_empty(),
        "the permission is over"
    );
}

#[test]
fn icmp_errors_of_each_peer_are_sent_ten_times_a_second() {
    let mut world = World::default();
    let mut client = Client::new("198.51.100.1:4000", "alice");
    client.request(&mut world, METHOD_ALLOCATE, &[udp(), raw(ATTR_DONT_FRAGMENT, b"")]);
    client.permit(&mut world, "8.8.8.8");
    client.permit(&mut world, "9.9.9.9");
    let mut times = 0;
    for _ in 0..1000 {
        times += icmp_errors(&mut world, &client, PEER, UNREACHABLE).len();
        world.advance(Duration::from_millis(1));
    }
    assert_eq!(times, 10);
    assert_eq!(icmp_errors(&mut world, &client, PEER, UNREACHABLE).len(), 1);
    assert_eq!(
        icmp_errors(&mut world, &client, "9.9.9.9:1", UNREACHABLE).len(),
        1,
        "another peer's"
    );
}

/// Such a client might take the indication for an empty datagram.
#[test]
fn a_client_without_attributes_of_rfc_8656_gets_no_icmp_errors() {
    for (attributes, expected) in [(vec![], 0), (vec![both()], 1)] {
        let mut world = World::default();
        let mut client = Client::new("198.51.100.1:4000", "alice");
        let attributes: Vec<_> = [udp()].into_iter().chain(attributes).collect();
        client.request(&mut world, METHOD_ALLOCATE, &attributes);
        client.permit(&mut world, "8.8.8.8");
        assert_eq!(icmp_errors(&mut world, &client, PEER, UNREACHABLE).len(), expected);
    }
}
