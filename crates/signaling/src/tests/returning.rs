//! Clients that leave for good, and those that come back without saying which they were.

use std::{
    hash::{BuildHasherDefault, DefaultHasher},
    time::Duration,
};

use callbox_base::ids::{DeviceId, SessionId};
use serde_json::json;

use super::{World, identity, ms, sdp};
use crate::{ClientMark, CloseReason, Input, Resume};

const GRACE: Duration = Duration::from_secs(30);

/// A plain Socket.IO client: it names its device only if it was given one before.
fn connect(world: &mut World, user: &str, device: Option<&str>, token: &str) -> SessionId {
    let keys = BuildHasherDefault::<DefaultHasher>::default();
    let session = SessionId::generate(world.now.unix_ms(), &mut world.rng);
    let identity = identity(user, u64::MAX);
    let device = device.map(|device| DeviceId::new(device).unwrap());
    let resume = Resume::Like(ClientMark::of(&keys, token, Some("python")));
    world.input(Input::Open { session, identity: identity.into(), device, resume });
    session
}

fn device_of(world: &World, session: SessionId) -> String {
    world.hub.session(session).unwrap().device().to_string()
}

fn lose(world: &mut World, session: SessionId) {
    world.input(Input::Lost { session });
}

/// A call between two clients that name no devices.
fn connected() -> (World, SessionId, SessionId) {
    let mut world = World::new(|_| {});
    let alice = connect(&mut world, "alice", None, "a");
    let bob = connect(&mut world, "bob", None, "b");
    world.connected_call(alice, bob);
    (world, alice, bob)
}

#[test]
fn a_client_that_leaves_ends_its_call() {
    let (mut world, alice, bob) = connected();
    world.input(Input::Left { session: alice });
    let received = world.received(bob);
    assert_eq!(received.len(), 1, "nobody is waited for: {received:?}");
    assert_eq!(
        (&received[0].1["reason"], &received[0].1["endedBy"]),
        (&json!("left"), &json!("alice"))
    );
    assert_eq!(world.ended.len(), 1);
    world.assert_nothing_is_left();
}

#[test]
fn a_caller_who_leaves_while_it_rings_ends_the_call() {
    let (mut world, alice, bob) = World::with_alice_and_bob();
    world.call(alice, "bob");
    world.forget();
    world.input(Input::Left { session: alice });
    assert_eq!(world.reasons(bob), ["left"]);
    world.assert_nothing_is_left();
}

#[test]
fn a_call_stays_with_the_remaining_devices_of_the_callee() {
    let (mut world, alice, phone) = World::with_alice_and_bob();
    let tablet = world.open("bob", "tablet");
    world.call(alice, "bob");
    world.input(Input::Left { session: phone });
    world.ok(tablet, "call:accept", json!({}));
    world.input(Input::Left { session: tablet });
    assert_eq!(world.reasons(alice), ["left"]);
    world.assert_nothing_is_left();
}

#[test]
fn a_call_in_transfer_continues_on_the_other_device() {
    for takes in [true, false] {
        let (mut world, alice, laptop) = World::with_alice_and_bob();
        let phone = world.open("bob", "tablet");
        world.call(alice, "bob");
        world.ok(laptop, "call:accept", json!({}));
        world.ok(laptop, "call:transfer", json!({ "deviceId": "tablet" }));
        world.forget();
        world.input(Input::Left { session: laptop });
        assert_eq!(world.names(alice), ["call:reconnecting"]);
        if takes {
            world.ok(phone, "call:accept", json!({}));
            assert_eq!(world.names(alice), ["call:transferred", "call:reconnected"]);
            world.ok(phone, "call:end", json!({}));
            assert_eq!(world.reasons(alice), ["hangup"]);
        } else {
            assert_eq!(world.ok(phone, "call:reject", json!({}))["state"], "ended");
            assert_eq!(world.reasons(alice), ["left"]);
        }
        world.assert_nothing_is_left();
    }
}

#[test]
fn a_client_that_leaves_also_leaves_its_room() {
    let (mut world, alice, bob) = World::with_alice_and_bob();
    for session in [alice, bob] {
        world.ok(session, "room:join", json!({ "roomId": "r" }));
    }
    world.forget();
    world.input(Input::Left { session: alice });
    let received = world.received(bob);
    assert_eq!((received[0].0.as_str(), &received[0].1["reason"]), ("room:left", &json!("left")));
    world.assert_nothing_is_left();
}

#[test]
fn a_client_that_names_no_device_goes_on_as_the_one_that_was_lost() {
    let (mut world, alice, bob) = connected();
    let device = device_of(&world, alice);
    lose(&mut world, alice);
    assert_eq!(world.names(bob), ["call:reconnecting"]);
    let back = connect(&mut world, "alice", None, "a");
    assert_eq!(device_of(&world, back), device);
    assert_eq!(world.names(bob), ["call:reconnected"]);
    world.ok(back, "call:end", json!({}));
    assert_eq!(world.reasons(bob), ["hangup"]);
    world.assert_nothing_is_left();
}

#[test]
fn a_client_that_sends_its_assigned_device_id_is_that_device() {
    let (mut world, alice, bob) = connected();
    let device = device_of(&world, alice);
    // Also before the server has noticed that it was lost, and with another token.
    let back = connect(&mut world, "alice", Some(&device), "fresh");
    assert_eq!(world.closed[&alice], CloseReason::Replaced);
    world.ok(bob, "signal:offer", sdp("b"));
    assert_eq!(world.names(back), ["signal:offer"]);
    world.assert_nothing_is_left();
}

#[test]
fn two_clients_that_look_alike_stay_two_devices() {
    let (mut world, alice, bob) = connected();
    // A second tab is none that was lost.
    let tab = connect(&mut world, "alice", None, "a");
    assert_ne!(device_of(&world, tab), device_of(&world, alice));
    // If both are lost they cannot be told apart: neither gets the other's call.
    let devices = [device_of(&world, alice), device_of(&world, tab)];
    lose(&mut world, tab);
    lose(&mut world, alice);
    for _ in 0..2 {
        let back = connect(&mut world, "alice", None, "a");
        assert!(!devices.contains(&device_of(&world, back)));
    }
    assert_eq!(world.names(bob), ["call:reconnecting"]);
    // They can if they were told.
    let back = connect(&mut world, "alice", Some(&devices[0]), "a");
    assert_eq!(world.names(bob), ["call:reconnected"]);
    world.ok(back, "call:end", json!({}));
    world.assert_nothing_is_left();
}

#[test]
fn others_are_not_taken_for_a_lost_client() {
    let (mut world, alice, bob) = connected();
    let device = device_of(&world, alice);
    lose(&mut world, alice);
    for (user, token) in [("alice", "another"), ("carol", "a")] {
        let other = connect(&mut world, user, None, token);
        assert_ne!(device_of(&world, other), device, "{user} {token}");
    }
    assert_eq!(world.names(bob), ["call:reconnecting"]);
    // Nor is one that comes too late, or one that comes after a client that left.
    world.pass(GRACE);
    let late = connect(&mut world, "alice", None, "a");
    assert_ne!(device_of(&world, late), device);
    let left = device_of(&world, late);
    world.input(Input::Left { session: late });
    let next = connect(&mut world, "alice", None, "a");
    assert_ne!(device_of(&world, next), left);
    world.assert_nothing_is_left();
}

#[test]
fn lost_clients_are_remembered_for_a_user_who_is_there_and_only_so_many() {
    let mut world = World::new(|config| config.max_sessions_per_user = 3);
    let _here = connect(&mut world, "alice", None, "here");
    for n in 0..100 {
        let session = connect(&mut world, "alice", None, &n.to_string());
        lose(&mut world, session);
    }
    let lost = format!("{:?}", world.hub.user(&super::user("alice")).unwrap());
    assert_eq!(lost.matches("mark").count(), 3, "{lost}");
    world.assert_nothing_is_left();
}

#[test]
fn a_lost_connection_does_not_keep_its_user_from_a_new_call() {
    let (mut world, alice, bob) = connected();
    world.open("carol", "phone");
    world.refused(
        alice,
        "call:initiate",
        json!({ "targetUserId": "carol", "callType": "audio" }),
        "too_many_calls",
    );
    // The page crashed, and comes back as another device.
    lose(&mut world, alice);
    let back = connect(&mut world, "alice", None, "fresh");
    world.forget();
    world.call(back, "carol");
    assert_eq!(world.reasons(bob), ["left"]);
    world.assert_nothing_is_left();
}

#[test]
fn a_call_restored_to_a_client_that_does_not_know_it_is_replaced_by_a_new_one() {
    for knows in [false, true] {
        let (mut world, alice, bob) = connected();
        world.open("carol", "phone");
        lose(&mut world, alice);
        let back = connect(&mut world, "alice", None, "a");
        world.forget();
        let carol = json!({ "targetUserId": "carol", "callType": "audio" });
        if knows {
            world.ok(back, "signal:offer", sdp("again"));
            world.refused(back, "call:initiate", carol, "too_many_calls");
        } else {
            world.ok(back, "call:initiate", carol);
            assert_eq!(world.reasons(bob), ["left"]);
            assert_eq!(world.reasons(back), ["left"]);
        }
        world.assert_nothing_is_left();
    }
}

#[test]
fn a_call_is_replaced_only_if_another_one_begins() {
    let (mut world, alice, bob) = connected();
    lose(&mut world, alice);
    let back = connect(&mut world, "alice", None, "fresh");
    world.forget();
    let oneself = json!({ "targetUserId": "alice", "callType": "audio" });
    world.refused(back, "call:initiate", oneself, "invalid_target");
    world.hub.config_mut().max_calls = 1;
    let carol = json!({ "targetUserId": "carol", "callType": "audio" });
    world.refused(back, "call:initiate", carol, "server_full");
    assert_eq!(world.reasons(bob), [""; 0]);
    // A room is replaced as well, but only by a join to another room.
    world.hub.config_mut().max_calls = 10;
    world.ok(back, "room:join", json!({ "roomId": "r" }));
    assert_eq!(world.reasons(bob), ["left"]);
    lose(&mut world, back);
    let again = connect(&mut world, "alice", None, "fresher");
    world.ok(again, "room:join", json!({ "roomId": "other" }));
    world.pass(ms(1));
    assert_eq!(world.hub.stats().rooms, 1);
    world.assert_nothing_is_left();
}
