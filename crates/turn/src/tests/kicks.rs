//! Tests of users who are kicked, on the production code with virtual time.

use std::time::Duration;

use ::stun::message::*;
use callbox_base::ids::CallId;
use callbox_stun::{Packet, roomy};
use rand::{SeedableRng, rngs::StdRng};

use crate::{testing::*, *};

const HOUR: u64 = 3600;

fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

fn call(n: u64) -> CallId {
    CallId::generate(n, &mut StdRng::seed_from_u64(n))
}

fn client(world: &World, port: u16, user: &str, call: Option<CallId>) -> Client {
    Client::minted(world, &format!("198.51.100.1:{port}"), user, call, HOUR)
}

/// The code with which an allocation is refused, if it is.
fn refused(world: &mut World, client: &mut Client) -> Option<u16> {
    client.request(world, METHOD_ALLOCATE, &[udp()]).code
}

#[test]
fn a_kick_ends_all_allocations_and_credentials_of_the_user() {
    let mut world = World::default();
    let mut own =
        [None, Some(call(1)), Some(call(2))].map(|call| client(&world, 1, "mallory", call));
    for (n, client) in own.iter_mut().enumerate() {
        client.address.set_port(1 + n as u16);
        client.allocate(&mut world);
    }
    let mut other = client(&world, 9, "bob", Some(call(1)));
    other.allocate(&mut world);
    // Of another minter, for longer than ours.
    let mut foreign = Client::minted(&world, "198.51.100.1:8", "mallory", None, 9 * HOUR);
    assert_eq!(world.kick("mallory", None, secs(600)), 3);
    let reasons: Vec<_> = world.network.ended.iter().map(|ended| ended.reason).collect();
    assert_eq!(reasons, [EndReason::Revoked; 3]);
    for client in own.iter_mut().chain([&mut foreign]) {
        assert_eq!(refused(&mut world, client), Some(401));
    }
    other.request(&mut world, METHOD_REFRESH, &[lifetime(600)]);
    assert_eq!(world.kick("mallory", None, secs(600)), 0);

    // Made in the same second they are refused after it, too; made later, once the user is let in.
    let mut same = client(&world, 7, "mallory", None);
    world.advance(secs(1));
    let mut later = client(&world, 6, "mallory", None);
    assert_eq!(refused(&mut world, &mut later), Some(401));
    world.lift_kick("mallory");
    assert_eq!(refused(&mut world, &mut later), None);
    assert_eq!(refused(&mut world, &mut foreign), None);
    for client in own.iter_mut().chain([&mut same]) {
        assert_eq!(refused(&mut world, client), Some(401));
    }
}

#[test]
fn a_kick_that_is_not_lifted_ends_after_its_time() {
    let mut world = World::default();
    // A static user, whose credentials never end.
    let mut alice = Client::new("198.51.100.1:1", "alice");
    alice.allocate(&mut world);
    assert_eq!(world.kick("alice", None, secs(600)), 1);
    world.advance(secs(599));
    assert_eq!(refused(&mut world, &mut alice), Some(401));
    world.advance(secs(1));
    assert_eq!(refused(&mut world, &mut alice), None);
}

#[test]
fn a_kick_from_a_device_leaves_other_calls_alone() {
    let mut world = World::default();
    let [mut none, mut left, mut stays] =
        [(1, None), (2, Some(call(1))), (3, Some(call(2)))].map(|(port, call)| {
            let mut client = client(&world, port, "mallory", call);
            client.allocate(&mut world);
            client
        });
    assert_eq!(world.kick("mallory", Some(&[call(1)]), secs(600)), 2);
    world.end_call(call(1));
    for client in [&mut none, &mut left] {
        assert_eq!(refused(&mut world, client), Some(401));
    }
    stays.request(&mut world, METHOD_REFRESH, &[lifetime(600)]);
    assert_eq!(world.network.ended.len(), 2);
    // The user's other devices have others made.
    world.advance(secs(1));
    let mut later = client(&world, 4, "mallory", None);
    assert_eq!(refused(&mut world, &mut later), None);
}

/// It is not yet among the open ones that the kick counts.
#[test]
fn a_kick_also_closes_an_allocation_that_is_being_opened() {
    let mut world = World::default();
    let mut mallory = client(&world, 1, "mallory", None);
    assert_eq!(mallory.permit(&mut world, "8.8.8.8").code, Some(437));
    let request = mallory.signed(METHOD_ALLOCATE, &[udp()]);
    let (mut buffer, range) = roomy(&request);
    let tuple = world.tuple(mallory.address);
    let engine = &mut world.workers[0];
    engine.handle_client(world.now, tuple, &mut Packet::new(&mut buffer, range));
    let Some(Output::OpenRelay { allocation, .. }) = engine.poll_output() else {
        panic!("no socket is asked for");
    };
    assert_eq!(world.kick("mallory", None, secs(600)), 0);
    let engine = &mut world.workers[0];
    engine.relay_opened(world.now, allocation, Ok(()));
    let outputs: Vec<_> = std::iter::from_fn(|| engine.poll_output()).collect();
    assert!(
        matches!(outputs[..], [Output::CloseRelay { .. }, Output::Transmit { .. }]),
        "{outputs:?}"
    );
    world.assert_nothing_is_left();
}
