//! `--relay-policy signaled` on the production core: what a call's credentials reach.

use std::net::{IpAddr, SocketAddr};

use ::stun::{attributes::ATTR_REQUESTED_ADDRESS_FAMILY, message::*};
use ::turn::proto::{PROTO_TCP, reqtrans::RequestedTransport};
use callbox_base::ids::{CallId, UserId};
use rand::{SeedableRng, rngs::StdRng};

use crate::{testing::*, *};

const ALICE: &str = "198.51.100.1:4000";
const BOB: &str = "198.51.100.2:4001";
const PEER: &str = "9.9.9.9:7000";

fn at(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn call(n: u64) -> CallId {
    CallId::generate(n, &mut StdRng::seed_from_u64(n))
}

fn signaled() -> Config {
    Config { signaled_peers: true, ..Config::default() }
}

/// Has a side of a call announce addresses to the other side, of alice and bob.
fn announce(world: &mut World, of: u64, by: &str, ips: &[&str]) {
    let ips: Vec<IpAddr> = ips.iter().map(|ip| ip.parse().unwrap()).collect();
    let to = if by == "alice" { "bob" } else { "alice" };
    let [by, to] = [by, to].map(|name| UserId::new(name).unwrap());
    world.common.announce(call(of), &by, &to, &ips);
}

/// Makes a client with credentials for a call.
fn in_call(world: &World, address: &str, user: &str, of: u64) -> Client {
    Client::minted(world, address, user, Some(call(of)), 3600)
}

/// Returns true for each way to a peer that is open: CreatePermission, ChannelBind, Send,
/// ChannelData, and from the peer.
fn ways(world: &mut World, client: &mut Client, relayed: SocketAddr, to: &str) -> [bool; 5] {
    [
        client.permit(world, &at(to).ip().to_string()).code.is_none(),
        client.bind(world, 0x4000, to).code.is_none(),
        client.send(world, at(to), b"x").is_some(),
        client.channel_data(world, 0x4000, b"x").is_some(),
        world.peer_sends(at(to), relayed, b"x").is_some(),
    ]
}

#[test]
fn only_announced_addresses_are_reached_by_each_method() {
    let mut world = World::new(signaled(), 2);
    let mut alice = in_call(&world, ALICE, "alice", 1);
    let relayed = alice.allocate(&mut world);
    assert_eq!(alice.permit(&mut world, "9.9.9.9").code, Some(403));
    assert_eq!(alice.bind(&mut world, 0x4000, PEER).code, Some(403));
    assert_eq!(ways(&mut world, &mut alice, relayed, PEER), [false; 5]);
    // Her own addresses are not for her, nor are those of another call.
    announce(&mut world, 1, "alice", &["9.9.9.9"]);
    announce(&mut world, 2, "bob", &["9.9.9.9"]);
    assert_eq!(ways(&mut world, &mut alice, relayed, PEER), [false; 5]);
    // One for all or none, as always.
    announce(&mut world, 1, "bob", &["8.8.8.8"]);
    let both = [peer("8.8.8.8:1"), peer(PEER)];
    let answer = alice.request(&mut world, METHOD_CREATE_PERMISSION, &both);
    assert_eq!(answer.code, Some(403));
    assert_eq!(alice.send(&mut world, at("8.8.8.8:1"), b"x"), None);

    announce(&mut world, 1, "bob", &["9.9.9.9", "2606:4700::9"]);
    assert_eq!(ways(&mut world, &mut alice, relayed, PEER), [true; 5]);
    let v6 = [udp(), raw(ATTR_REQUESTED_ADDRESS_FAMILY, &[2, 0, 0, 0])];
    let mut other = in_call(&world, "198.51.100.1:4003", "alice", 1);
    let relayed = other.request(&mut world, METHOD_ALLOCATE, &v6).relayed();
    assert_eq!(ways(&mut world, &mut other, relayed, "[2606:4700::9]:1"), [true; 5]);
    assert_eq!(other.permit(&mut world, "2606:4700::8").code, Some(403));
}

#[test]
fn an_announcement_does_not_permit_a_denied_address() {
    let mut world = World::new(signaled(), 1);
    let mut alice = in_call(&world, ALICE, "alice", 1);
    let relayed = alice.allocate(&mut world);
    for denied in ["127.0.0.1:80", "10.0.0.1:80", "169.254.169.254:80"] {
        announce(&mut world, 1, "bob", &[&at(denied).ip().to_string()]);
        assert_eq!(ways(&mut world, &mut alice, relayed, denied), [false; 5], "{denied}");
    }
    // Nor does it open the server's own ports.
    announce(&mut world, 1, "bob", &["8.8.4.4"]);
    for own in ["8.8.4.4:3478", "8.8.4.4:22"] {
        assert_eq!(ways(&mut world, &mut alice, relayed, own)[1..], [false; 4], "{own}");
    }
}

#[test]
fn the_relay_s_own_allocations_are_reached_unannounced() {
    let mut world = World::new(signaled(), 2);
    let mut alice = in_call(&world, ALICE, "alice", 1);
    let mut bob = in_call(&world, BOB, "bob", 1);
    let (a, b) = (alice.allocate(&mut world), bob.allocate(&mut world));
    bob.permit(&mut world, &a.ip().to_string());
    assert_eq!(ways(&mut world, &mut alice, a, &b.to_string()), [true; 5]);
    let (_, got) = world.handed_over.take().expect("it went from one to the other");
    assert!(got.is_some());
}

/// Neither `--allow-peer` nor the other side's word opens more of the server's own address.
#[test]
fn an_allowed_address_of_our_own_is_open_on_relayed_ports_only() {
    let peers = PeerPolicy::new(vec!["8.8.4.0/24".parse().unwrap()], Vec::new());
    let mut world = World::new(Config { peers, ..signaled() }, 2);
    let mut alice = in_call(&world, ALICE, "alice", 1);
    let mut bob = Client::new(BOB, "bob");
    let (a, b) = (alice.allocate(&mut world), bob.allocate(&mut world));
    // A permission has no port.
    assert_eq!(ways(&mut world, &mut alice, a, "8.8.4.4:22"), [true, false, false, false, false]);
    assert_eq!(ways(&mut world, &mut alice, a, &b.to_string()), [true; 5]);
    // Bob's credentials name no call.
    assert_eq!(ways(&mut world, &mut bob, b, "8.8.4.4:22")[1..], [false; 4]);
    announce(&mut world, 1, "bob", &["8.8.4.4"]);
    assert_eq!(alice.bind(&mut world, 0x4001, "8.8.4.4:22").code, Some(403));
    assert_eq!(alice.permit(&mut world, "8.8.4.4").code, None);
    assert_eq!(alice.send(&mut world, at("8.8.4.4:22"), b"x"), None);
}

/// Those of the welcome, and those of static users.
#[test]
fn credentials_without_a_call_reach_addresses_announced_in_the_user_s_calls() {
    let mut world = World::new(signaled(), 2);
    let mut fixed = Client::new(ALICE, "alice");
    let mut minted = Client::minted(&world, BOB, "alice", None, 3600);
    let mut stranger = Client::minted(&world, "198.51.100.3:4001", "eve", None, 3600);
    let (a, b) = (fixed.allocate(&mut world), minted.allocate(&mut world));
    let c = stranger.allocate(&mut world);
    for (client, relayed) in [(&mut fixed, a), (&mut minted, b), (&mut stranger, c)] {
        assert_eq!(client.permit(&mut world, "9.9.9.9").code, Some(403));
        assert_eq!(client.bind(&mut world, 0x4000, PEER).code, Some(403));
        assert_eq!(ways(&mut world, client, relayed, PEER), [false; 5]);
    }
    // Her own addresses are not for her; relayed addresses are for everybody.
    announce(&mut world, 1, "alice", &["9.9.9.9"]);
    assert_eq!(ways(&mut world, &mut minted, b, PEER), [false; 5]);
    assert_eq!(ways(&mut world, &mut minted, b, &a.to_string())[..4], [true; 4]);
    announce(&mut world, 2, "bob", &["9.9.9.9"]);
    let mut again = Client::minted(&world, "198.51.100.2:4003", "alice", None, 3600);
    let d = again.allocate(&mut world);
    assert_eq!(ways(&mut world, &mut fixed, a, PEER), [true; 5]);
    assert_eq!(ways(&mut world, &mut again, d, PEER), [true; 5]);
    assert_eq!(ways(&mut world, &mut stranger, c, PEER), [false; 5]);
    // It ends with the call, for what was granted before as well: the channel is still bound.
    world.end_call(call(2));
    for (client, relayed) in [(&mut fixed, a), (&mut again, d)] {
        assert_eq!(client.send(&mut world, at(PEER), b"x"), None);
        assert_eq!(client.channel_data(&mut world, 0x4000, b"x"), None);
        assert_eq!(world.peer_sends(at(PEER), relayed, b"x"), None);
        assert_eq!(ways(&mut world, client, relayed, PEER), [false; 5]);
    }
    let mut late = Client::minted(&world, "198.51.100.2:4005", "alice", None, 3600);
    let e = late.allocate(&mut world);
    assert_eq!(ways(&mut world, &mut late, e, PEER), [false; 5]);
}

#[test]
fn the_open_policy_needs_no_announcements() {
    let mut world = World::default();
    let mut alice = in_call(&world, ALICE, "alice", 1);
    let relayed = alice.allocate(&mut world);
    assert_eq!(ways(&mut world, &mut alice, relayed, PEER), [true; 5]);
    // It keeps nothing of what nobody asks for.
    announce(&mut world, 1, "bob", &["9.9.9.9"]);
    assert!(world.common.announcements.is_empty());
}

/// A side is who it is by the credentials, whatever is in the name.
#[test]
fn an_escaped_user_name_is_not_taken_for_another_side() {
    let mut world = World::new(signaled(), 1);
    let name = "urn:user:7%3A";
    let mut client = in_call(&world, ALICE, name, 1);
    let relayed = client.allocate(&mut world);
    announce(&mut world, 1, name, &["9.9.9.9"]);
    assert_eq!(ways(&mut world, &mut client, relayed, PEER), [false; 5]);
}

#[test]
fn announcements_end_with_the_call() {
    let mut world = World::new(signaled(), 2);
    let mut alice = in_call(&world, ALICE, "alice", 1);
    alice.allocate(&mut world);
    announce(&mut world, 1, "bob", &["9.9.9.9"]);
    announce(&mut world, 2, "bob", &["9.9.9.9"]);
    world.end_call(call(1));
    let mut other = in_call(&world, "198.51.100.3:4000", "alice", 2);
    let relayed = other.allocate(&mut world);
    assert_eq!(ways(&mut world, &mut other, relayed, PEER), [true; 5]);
    world.end_call(call(2));
    world.assert_nothing_is_left();
}

/// A side that has left is reached no more, though the call goes on and the channel is bound; the
/// others are.
#[test]
fn a_side_that_has_left_is_no_longer_reached() {
    let mut world = World::new(signaled(), 2);
    let mut alice = in_call(&world, ALICE, "alice", 1);
    let relayed = alice.allocate(&mut world);
    announce(&mut world, 1, "bob", &["9.9.9.9", "8.8.8.8"]);
    announce(&mut world, 1, "carol", &["8.8.8.8"]);
    assert_eq!(ways(&mut world, &mut alice, relayed, PEER), [true; 5]);
    assert_eq!(alice.permit(&mut world, "8.8.8.8").code, None);
    world.revoke_user(call(1), "bob");
    assert_eq!(alice.channel_data(&mut world, 0x4000, b"x"), None);
    assert_eq!(alice.send(&mut world, at(PEER), b"x"), None);
    assert_eq!(world.peer_sends(at(PEER), relayed, b"x"), None);
    assert_eq!(alice.bind(&mut world, 0x4000, PEER).code, Some(403));
    assert!(alice.send(&mut world, at("8.8.8.8:1"), b"x").is_some());
}

/// Of RFC 6062, whether they are bound or still being made.
#[test]
fn connections_to_peers_end_with_the_call() {
    let mut world = World::new(signaled(), 1);
    // Credentials of the welcome: those of the call end by themselves.
    let mut alice = Client::minted(&world, ALICE, "alice", None, 3600);
    world.connect(alice.address);
    let tcp: Box<dyn Setter> = Box::new(RequestedTransport { protocol: PROTO_TCP });
    alice.request(&mut world, METHOD_ALLOCATE, &[tcp]);
    announce(&mut world, 1, "bob", &["9.9.9.9"]);
    announce(&mut world, 2, "bob", &["8.8.8.8"]);
    for (n, to) in ["8.8.8.8:1", "9.9.9.9:1", "9.9.9.9:2"].into_iter().enumerate() {
        let request = alice.signed(METHOD_CONNECT, &[peer(to)]);
        world.client_sends(alice.address, &request);
        if n != 2 {
            world.connected(0, true);
            assert_eq!(world.answers(alice.address)[0].code, None);
        }
    }
    world.end_call(call(1));
    assert_eq!(world.answers(alice.address)[0].code, Some(403));
    assert_eq!(world.network.closed.len(), 2);
    assert_eq!(world.connections(0), 1);
}
