//! RFC 8016 on the production core with virtual time.

use std::{net::SocketAddr, time::Duration};

use ::stun::message::*;
use ::turn::proto::{PROTO_TCP, reqtrans::RequestedTransport};

use crate::{testing::*, *};

const HOME: &str = "198.51.100.1:4000";
/// With two workers, another one's.
const AWAY: &str = "203.0.113.9:5001";
const FURTHER: &str = "203.0.113.9:5002";
const PEER: &str = "8.8.8.8:7000";
const CHANNEL: u16 = 0x4001;

fn world() -> World {
    World::new(Config { mobility: true, ..Config::default() }, 2)
}

fn ticket(bytes: &[u8]) -> Box<dyn Setter> {
    raw(MOBILITY_TICKET, bytes)
}

fn at(address: &str) -> SocketAddr {
    address.parse().unwrap()
}

/// A client at home, with a channel to the peer, and its ticket.
struct Mobile {
    client: Client,
    relayed: SocketAddr,
    ticket: Vec<u8>,
}

impl Mobile {
    fn new(world: &mut World) -> Self {
        Self::over(world, Client::new(HOME, "alice"), &[udp(), ticket(&[])])
    }

    fn over(world: &mut World, mut client: Client, wanted: &[Box<dyn Setter>]) -> Self {
        let answer = client.request(world, METHOD_ALLOCATE, wanted);
        assert_eq!(answer.code, None);
        let ticket = answer.raw(MOBILITY_TICKET).expect("a ticket");
        assert_eq!(client.bind(world, CHANNEL, PEER).code, None);
        Self { relayed: answer.relayed(), client, ticket }
    }

    /// Returns the client at another address.
    fn at(&self, address: &str) -> Client {
        let mut client = self.client.clone();
        client.address = at(address);
        client
    }

    /// Says that it is at another address, with a ticket. The code, or the next ticket.
    fn move_to(
        &mut self,
        world: &mut World,
        address: &str,
        current: &[u8],
    ) -> Result<Vec<u8>, u16> {
        self.client = self.at(address);
        let answer = self.client.request(world, METHOD_REFRESH, &[ticket(current)]);
        match answer.code {
            None => Ok(answer.raw(MOBILITY_TICKET).expect("another ticket")),
            Some(code) => Err(code),
        }
    }

    /// Returns true if data that the client sends from an address goes through.
    fn sends_from(&self, world: &mut World, address: &str) -> bool {
        self.at(address).channel_data(world, CHANNEL, b"up").is_some()
    }

    /// Returns the address to which the peer's data goes.
    fn gets_at(&self, world: &mut World) -> Option<SocketAddr> {
        world.peer_sends(at(PEER), self.relayed, b"down");
        world.delivered_to
    }

    fn close(&mut self, world: &mut World) {
        assert_eq!(self.client.request(world, METHOD_REFRESH, &[lifetime(0)]).code, None);
        world.assert_nothing_is_left();
    }
}

#[test]
fn a_client_that_moves_keeps_its_allocation() {
    let mut world = world();
    let mut mobile = Mobile::new(&mut world);
    let first = mobile.ticket.clone();
    let second = mobile.move_to(&mut world, AWAY, &first).unwrap();
    assert_ne!(first, second);
    // Until it is heard from there, its old address counts.
    assert_eq!(mobile.gets_at(&mut world), Some(at(HOME)));
    assert!(mobile.sends_from(&mut world, HOME));
    assert_eq!(mobile.gets_at(&mut world), Some(at(HOME)));
    assert!(mobile.sends_from(&mut world, AWAY));
    assert_eq!(mobile.gets_at(&mut world), Some(at(AWAY)));
    assert!(!mobile.sends_from(&mut world, HOME), "not from there any more");
    assert_eq!(mobile.move_to(&mut world, FURTHER, &first), Err(437), "nor with that ticket");
    // A request counts like data, and a refresh without a ticket is one as ever.
    let third = mobile.move_to(&mut world, FURTHER, &second).unwrap();
    assert_eq!(mobile.client.request(&mut world, METHOD_REFRESH, &[]).code, None);
    assert_eq!(mobile.gets_at(&mut world), Some(at(FURTHER)));
    // And back to where it came from.
    mobile.move_to(&mut world, HOME, &third).unwrap();
    assert!(mobile.sends_from(&mut world, HOME));
    assert_eq!(mobile.gets_at(&mut world), Some(at(HOME)));
    world.assert_timers_fit();
    mobile.close(&mut world);
}

#[test]
fn a_move_can_be_repeated_after_a_lost_answer() {
    let mut world = world();
    let mut mobile = Mobile::new(&mut world);
    let first = mobile.ticket.clone();
    let second = mobile.move_to(&mut world, AWAY, &first).unwrap();
    // Asked again, it is answered the same; and so it is with the ticket that it was given.
    assert_eq!(mobile.move_to(&mut world, AWAY, &first).unwrap(), second);
    assert_eq!(mobile.move_to(&mut world, AWAY, &second).unwrap(), second);
    // It has moved on, and the answer never reached it.
    let third = mobile.move_to(&mut world, FURTHER, &first).unwrap();
    assert!(third != first && third != second);
    assert!(!mobile.sends_from(&mut world, AWAY), "it is not expected there any more");
    assert!(mobile.sends_from(&mut world, FURTHER));
    assert_eq!(mobile.gets_at(&mut world), Some(at(FURTHER)));
    mobile.close(&mut world);
}

#[test]
fn a_client_that_comes_back_before_it_was_heard_is_not_expected_elsewhere() {
    let mut world = world();
    let mut mobile = Mobile::new(&mut world);
    let first = mobile.ticket.clone();
    let second = mobile.move_to(&mut world, AWAY, &first).unwrap();
    let third = mobile.move_to(&mut world, HOME, &second).unwrap();
    assert!(third != first && third != second);
    assert!(!mobile.sends_from(&mut world, AWAY));
    assert!(mobile.sends_from(&mut world, HOME));
    // The answer may have been lost here as well.
    let fourth = mobile.move_to(&mut world, HOME, &second).unwrap();
    mobile.move_to(&mut world, AWAY, &fourth).unwrap();
    assert!(mobile.sends_from(&mut world, AWAY));
    mobile.close(&mut world);
}

/// From one address one ticket is shown: with a second, what the first one's client had would be
/// left to whoever gets the name of its stream.
#[test]
fn two_allocations_do_not_move_to_one_address() {
    let mut world = World::new(Config { mobility: true, ..Config::default() }, 1);
    let (one, other) = ("198.51.100.1:4000", "198.51.100.1:4002");
    let mut mobiles = [one, other].map(|address| {
        world.connect(at(address));
        let wanted = [udp(), ticket(&[])];
        Mobile::over(&mut world, Client::new(address, "alice"), &wanted)
    });
    world.connect(at(AWAY));
    let tickets = mobiles.each_ref().map(|mobile| mobile.ticket.clone());
    mobiles[0].move_to(&mut world, AWAY, &tickets[0]).unwrap();
    assert_eq!(mobiles[1].move_to(&mut world, AWAY, &tickets[1]), Err(437));
    world.assert_mobility_fits();
    world.disconnect(at(AWAY));
    world.assert_mobility_fits();
    for address in [one, other] {
        world.disconnect(at(address));
        world.assert_mobility_fits();
    }
    // Whoever comes now gets nothing of theirs.
    world.connect(at("203.0.113.66:1"));
    world.connect(at("203.0.113.66:2"));
    for mobile in &mobiles {
        let to = mobile.gets_at(&mut world);
        assert!(to.is_none_or(|to| to.ip() != at("203.0.113.66:1").ip()), "{to:?}");
    }
    world.advance(Duration::from_secs(600));
    world.disconnect(at("203.0.113.66:1"));
    world.disconnect(at("203.0.113.66:2"));
    world.assert_nothing_is_left();
}

#[test]
fn an_invalid_ticket_moves_no_allocation() {
    let mut world = world();
    let mut mobile = Mobile::new(&mut world);
    let good = mobile.ticket.clone();
    for at in 0..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 1;
        assert_eq!(mobile.move_to(&mut world, AWAY, &bad), Err(437), "byte {at}");
    }
    for bad in [&[][..], &good[1..], &[7; 600]] {
        assert_eq!(mobile.move_to(&mut world, AWAY, bad), Err(437));
    }
    let mut bob = Client::new(AWAY, "bob");
    let stolen = bob.request(&mut world, METHOD_REFRESH, &[ticket(&good)]);
    assert_eq!(stolen.code, Some(441));
    assert_eq!(bob.channel_data(&mut world, CHANNEL, b"x"), None);
    // A client that has an allocation where it is gets no second one there.
    let mut other = Client::new(FURTHER, "alice");
    other.allocate(&mut world);
    assert_eq!(mobile.move_to(&mut world, FURTHER, &good), Err(437));
    other.request(&mut world, METHOD_REFRESH, &[lifetime(0)]);
    assert!(mobile.sends_from(&mut world, HOME));
    mobile.client = mobile.at(HOME);
    // There is no other allocation at an address where a client may have arrived.
    mobile.move_to(&mut world, AWAY, &good).unwrap();
    assert_eq!(mobile.client.request(&mut world, METHOD_ALLOCATE, &[udp()]).code, Some(437));
    mobile.close(&mut world);
}

#[test]
fn mobility_is_asked_for_and_may_be_refused() {
    let mut client = Client::new(HOME, "alice");
    let mut off = World::default();
    let wanted = [udp(), ticket(&[])];
    assert_eq!(client.request(&mut off, METHOD_ALLOCATE, &wanted).code, Some(405));
    off.assert_nothing_is_left();
    let mut world = world();
    let wanted = [udp(), ticket(&[1; 22])];
    assert_eq!(client.request(&mut world, METHOD_ALLOCATE, &wanted).code, Some(400));
    world.connect(at(AWAY));
    let tcp = Box::new(RequestedTransport { protocol: PROTO_TCP });
    let wanted: [Box<dyn Setter>; 2] = [tcp, ticket(&[])];
    let mut over_tcp = Client::new(AWAY, "alice");
    assert_eq!(over_tcp.request(&mut world, METHOD_ALLOCATE, &wanted).code, Some(405));
    // A client that does not ask has no ticket.
    let answer = client.request(&mut world, METHOD_ALLOCATE, &[udp()]);
    assert_eq!((answer.code, answer.raw(MOBILITY_TICKET)), (None, None));
    client.request(&mut world, METHOD_REFRESH, &[lifetime(0)]);
    world.disconnect(at(AWAY));
    world.assert_nothing_is_left();
}

#[test]
fn an_allocation_outlives_the_stream_of_a_client_that_comes_back() {
    let mut world = world();
    world.connect(at(HOME));
    let mut mobile = Mobile::new(&mut world);
    world.disconnect(at(HOME));
    assert!(!mobile.sends_from(&mut world, HOME));
    // Over another stream, which has come to another worker: there is nowhere else for it to be.
    world.connect(at(AWAY));
    let ticket = mobile.ticket.clone();
    let ticket = mobile.move_to(&mut world, AWAY, &ticket).unwrap();
    assert_eq!(mobile.gets_at(&mut world), Some(at(AWAY)));
    // And over UDP, while the stream is still there.
    let ticket = mobile.move_to(&mut world, FURTHER, &ticket).unwrap();
    assert_eq!(mobile.gets_at(&mut world), Some(at(AWAY)));
    world.disconnect(at(AWAY));
    assert_eq!(mobile.gets_at(&mut world), Some(at(FURTHER)), "the one that is left");
    // Over a stream that ends before anything was heard from it.
    world.connect(at(HOME));
    let ticket = mobile.move_to(&mut world, HOME, &ticket).unwrap();
    world.disconnect(at(HOME));
    assert_eq!(mobile.gets_at(&mut world), Some(at(FURTHER)));
    world.connect(at(HOME));
    mobile.move_to(&mut world, HOME, &ticket).unwrap();
    assert!(mobile.sends_from(&mut world, HOME));
    // One that does not come back has its lifetime.
    world.disconnect(at(HOME));
    assert_eq!(world.network.sockets.len(), 1);
    world.advance(Duration::from_secs(600));
    world.assert_nothing_is_left();
}

#[test]
fn both_addresses_of_a_dual_allocation_move() {
    let mut world = world();
    let wanted = [udp(), both(), ticket(&[])];
    let mut mobile = Mobile::over(&mut world, Client::new(HOME, "alice"), &wanted);
    let v6: SocketAddr = "[2606:4700::9]:1000".parse().unwrap();
    assert_eq!(mobile.client.permit(&mut world, "2606:4700::9").code, None);
    let relayed_v6 = *world.network.sockets.values().find(|at| at.is_ipv6()).unwrap();
    let (first, gets_v6) = (mobile.ticket.clone(), |world: &mut World| {
        world.peer_sends(v6, relayed_v6, b"down");
        world.delivered_to
    });
    let second = mobile.move_to(&mut world, AWAY, &first).unwrap();
    assert!(mobile.sends_from(&mut world, AWAY));
    assert_eq!(mobile.gets_at(&mut world), Some(at(AWAY)));
    assert_eq!(gets_v6(&mut world), Some(at(AWAY)));
    // Of whichever address it is refreshed, there is another.
    let attributes = [ticket(&second), family(false)];
    let answer = mobile.client.request(&mut world, METHOD_REFRESH, &attributes);
    let second = answer.raw(MOBILITY_TICKET).expect("another ticket");
    // The ticket is good for what is left.
    mobile.client.request(&mut world, METHOD_REFRESH, &[family(true), lifetime(0)]);
    let third = mobile.move_to(&mut world, FURTHER, &second).unwrap();
    assert!(mobile.client.send(&mut world, v6, b"up").is_some());
    assert_eq!(gets_v6(&mut world), Some(at(FURTHER)));
    // With a ticket it ends as well.
    mobile.client = mobile.at(AWAY);
    let end = [lifetime(0), ticket(&third)];
    assert_eq!(mobile.client.request(&mut world, METHOD_REFRESH, &end).code, None);
    world.assert_nothing_is_left();
}

/// Whoever moves has no more than before.
#[test]
fn a_move_does_not_bypass_a_quota() {
    let config = Config { mobility: true, max_allocations_per_user: 1, ..Config::default() };
    let mut world = World::new(config, 2);
    let mut mobile = Mobile::new(&mut world);
    let ticket = mobile.ticket.clone();
    mobile.move_to(&mut world, AWAY, &ticket).unwrap();
    assert!(mobile.sends_from(&mut world, AWAY));
    let mut again = mobile.at(HOME);
    assert_eq!(again.request(&mut world, METHOD_ALLOCATE, &[udp()]).code, Some(486));
    mobile.close(&mut world);
}
