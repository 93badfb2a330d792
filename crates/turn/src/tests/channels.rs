//! Tests of the lifetimes of channels and of the permissions that come with them, on the production
//! code with virtual time.

use std::{net::SocketAddr, time::Duration};

use ::stun::message::*;

use crate::{testing::*, *};

const ALICE: &str = "198.51.100.1:4000";
const PEER: &str = "8.8.8.8:7000";

fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

fn at(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// A client with an allocation that lasts an hour, and its relayed address.
fn allocated(world: &mut World) -> (Client, SocketAddr) {
    let mut client = Client::new(ALICE, "alice");
    let relayed = client.allocate(world);
    let answer = client.request(world, METHOD_REFRESH, &[lifetime(3600)]);
    assert_eq!((answer.code, answer.lifetime()), (None, 3600));
    (client, relayed)
}

/// Sends a packet to the peer and one back, and returns for each true if it passes as ChannelData.
fn passes(world: &mut World, client: &mut Client, relayed: SocketAddr) -> [bool; 2] {
    let up = client.channel_data(world, 0x4000, b"x").is_some();
    let down = world.peer_sends(at(PEER), relayed, b"x");
    [up, down.is_some_and(|bytes| bytes[0] == 0x40)]
}

/// The client does as aioice and werift do: it sends ChannelBind every 500 seconds and never
/// CreatePermission.
#[test]
fn a_channel_that_is_refreshed_by_channel_bind_alone_never_stops() {
    let mut world = World::default();
    let (mut client, relayed) = allocated(&mut world);
    for second in 0..3500 {
        if second % 500 == 0 {
            assert_eq!(client.bind(&mut world, 0x4000, PEER).code, None);
        }
        assert_eq!(passes(&mut world, &mut client, relayed), [true; 2], "second {second}");
        world.advance(secs(1));
    }
    assert_eq!(world.snapshot().drops, World::default().snapshot().drops);
}

#[test]
fn a_channel_and_its_permission_end_together_ten_minutes_after_the_last_bind() {
    let mut world = World::default();
    let (mut client, relayed) = allocated(&mut world);
    client.bind(&mut world, 0x4000, PEER);
    world.advance(secs(100));
    client.bind(&mut world, 0x4000, PEER);
    world.advance(secs(599));
    assert_eq!(passes(&mut world, &mut client, relayed), [true; 2]);
    world.advance(secs(1));
    assert_eq!(client.channel_data(&mut world, 0x4000, b"x"), None);
    assert_eq!(client.send(&mut world, at(PEER), b"x"), None);
    assert_eq!(world.peer_sends(at(PEER), relayed, b"x"), None);
    world.assert_timers_fit();
}

#[test]
fn a_permission_of_its_own_lasts_its_five_minutes_past_the_channel() {
    let mut world = World::default();
    let (mut client, relayed) = allocated(&mut world);
    client.bind(&mut world, 0x4000, PEER);
    world.advance(secs(450));
    client.permit(&mut world, "8.8.8.8");
    world.advance(secs(150));
    assert_eq!(client.channel_data(&mut world, 0x4000, b"x"), None);
    // Without its channel the peer is heard in Data indications.
    let indication = Answer::read(&world.peer_sends(at(PEER), relayed, b"x").unwrap());
    assert_eq!(
        indication.message.typ,
        MessageType { method: METHOD_DATA, class: CLASS_INDICATION }
    );
    world.advance(secs(149));
    assert!(client.send(&mut world, at(PEER), b"x").is_some());
    world.advance(secs(1));
    assert_eq!(client.send(&mut world, at(PEER), b"x"), None);
    assert_eq!(world.peer_sends(at(PEER), relayed, b"x"), None);
}

#[test]
fn create_permission_does_not_shorten_what_a_channel_has() {
    let mut world = World::default();
    let (mut client, relayed) = allocated(&mut world);
    client.bind(&mut world, 0x4000, PEER);
    world.advance(secs(100));
    client.permit(&mut world, "8.8.8.8");
    world.advance(secs(499));
    assert_eq!(passes(&mut world, &mut client, relayed), [true; 2]);
    world.advance(secs(1));
    assert_eq!(client.send(&mut world, at(PEER), b"x"), None);
}

#[test]
fn the_permission_of_two_channels_to_one_address_lasts_as_long_as_the_later() {
    let mut world = World::default();
    let (mut client, relayed) = allocated(&mut world);
    client.bind(&mut world, 0x4000, PEER);
    world.advance(secs(200));
    client.bind(&mut world, 0x4001, "8.8.8.8:7001");
    world.advance(secs(400));
    assert_eq!(passes(&mut world, &mut client, relayed), [false; 2]);
    world.advance(secs(199));
    assert!(client.channel_data(&mut world, 0x4001, b"x").is_some());
    world.advance(secs(1));
    assert_eq!(client.channel_data(&mut world, 0x4001, b"x"), None);
    assert_eq!(client.send(&mut world, at(PEER), b"x"), None);
}

/// A channel's permission counts among those that an allocation may have, for as long as the
/// channel is bound, so that a refresh always finds its permission.
#[test]
fn others_do_not_take_the_place_of_a_channel_s_permission() {
    let config = Config { max_permissions: 2, ..Config::default() };
    let mut world = World::new(config, 1);
    let (mut client, _) = allocated(&mut world);
    client.bind(&mut world, 0x4000, PEER);
    assert_eq!(client.permit(&mut world, "9.9.9.1").code, None);
    assert_eq!(client.permit(&mut world, "9.9.9.2").code, Some(508));
    world.advance(secs(300));
    assert_eq!(client.permit(&mut world, "9.9.9.2").code, None);
    assert_eq!(client.permit(&mut world, "9.9.9.3").code, Some(508));
    world.advance(secs(200));
    assert_eq!(client.bind(&mut world, 0x4000, PEER).code, None);
    // 9.9.9.2 is over, and the channel is not.
    world.advance(secs(100));
    assert_eq!(client.permit(&mut world, "9.9.9.4").code, None);
    assert_eq!(client.permit(&mut world, "9.9.9.5").code, Some(508));
    world.advance(secs(500));
    assert_eq!(client.bind(&mut world, 0x4001, "9.9.9.6:1").code, None);
    assert_eq!(client.bind(&mut world, 0x4002, "9.9.9.7:1").code, None);
    world.assert_timers_fit();
}

#[test]
fn both_addresses_of_a_dual_allocation_keep_their_channels() {
    let mut world = World::default();
    let mut client = Client::new(ALICE, "alice");
    client.request(&mut world, METHOD_ALLOCATE, &[udp(), both(), lifetime(3600)]);
    let bind = |world: &mut World, client: &mut Client| {
        assert_eq!(client.bind(world, 0x4000, PEER).code, None);
        assert_eq!(client.bind(world, 0x4001, "[2606:4700::9]:7000").code, None);
    };
    bind(&mut world, &mut client);
    for _ in 0..3 {
        for _ in 0..5 {
            world.advance(secs(100));
            for number in [0x4000, 0x4001] {
                assert!(client.channel_data(&mut world, number, b"x").is_some());
            }
        }
        bind(&mut world, &mut client);
    }
}

#[test]
fn a_client_that_moves_keeps_its_channels_and_their_permissions() {
    let mut world = World::new(Config { mobility: true, ..Config::default() }, 1);
    let mut client = Client::new(ALICE, "alice");
    let asked = [udp(), lifetime(3600), raw(MOBILITY_TICKET, &[])];
    let answer = client.request(&mut world, METHOD_ALLOCATE, &asked);
    let (relayed, ticket) = (answer.relayed(), answer.raw(MOBILITY_TICKET).unwrap());
    client.bind(&mut world, 0x4000, PEER);
    world.advance(secs(400));
    client.address = at("203.0.113.7:5000");
    let attributes = [raw(MOBILITY_TICKET, &ticket), lifetime(3600)];
    assert_eq!(client.request(&mut world, METHOD_REFRESH, &attributes).code, None);
    assert_eq!(passes(&mut world, &mut client, relayed), [true; 2]);
    assert_eq!(world.delivered_to, Some(client.address));
    world.advance(secs(199));
    assert_eq!(passes(&mut world, &mut client, relayed), [true; 2]);
    world.advance(secs(1));
    assert_eq!(passes(&mut world, &mut client, relayed), [false; 2]);
}

/// There are no channels to connections (RFC 6062 §4), so nothing makes a permission last longer.
#[test]
fn an_allocation_of_tcp_has_permissions_of_five_minutes_only() {
    let mut world = World::default();
    let mut client = Client::new(ALICE, "alice");
    world.connect(client.address);
    let asked = [raw(::stun::attributes::ATTR_REQUESTED_TRANSPORT, &[6, 0, 0, 0])];
    let relayed = client.request(&mut world, METHOD_ALLOCATE, &asked).relayed();
    assert_eq!(client.bind(&mut world, 0x4000, PEER).code, Some(400));
    assert!(world.peer_connects(PEER, relayed).is_none());
    client.permit(&mut world, "8.8.8.8");
    world.advance(secs(299));
    assert!(world.peer_connects(PEER, relayed).is_some());
    world.advance(secs(1));
    assert!(world.peer_connects("8.8.8.8:7001", relayed).is_none());
}
