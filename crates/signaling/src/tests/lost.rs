//! Connections that are lost in the middle of a call.

use std::time::Duration;

use serde_json::json;

use super::{World, candidate, ms, sdp};
use crate::CloseReason;

const GRACE: Duration = Duration::from_secs(30);

/// A call that is connected.
fn connected() -> (World, callbox_base::ids::SessionId, callbox_base::ids::SessionId) {
    let (mut world, alice, bob) = World::with_alice_and_bob();
    world.connected_call(alice, bob);
    (world, alice, bob)
}

#[test]
fn a_call_waits_for_a_lost_side_and_then_ends() {
    let (mut world, alice, bob) = connected();
    world.close(alice);
    assert_eq!(world.names(bob), ["call:reconnecting"]);
    world.pass(GRACE - ms(1));
    assert_eq!(world.ended, []);
    world.pass(ms(1));
    assert_eq!(world.reasons(bob), ["connection_lost"]);
    assert_eq!(world.ended.len(), 1);
    world.assert_nothing_is_left();
}

#[test]
fn the_same_device_takes_its_place_again() {
    let (mut world, alice, bob) = connected();
    world.close(alice);
    // Payloads that come meanwhile are kept, a description first.
    world.ok(bob, "ice:candidate", candidate(1));
    world.ok(bob, "signal:offer", sdp("b"));
    world.forget();
    let back = world.open("alice", "laptop");
    assert_eq!(world.received[&back][1].0, "call:state");
    assert_eq!(world.received[&back][1].1["call"]["state"], "connected");
    assert_eq!(world.names(back), ["signal:offer", "ice:candidate"]);
    assert_eq!(world.names(bob), ["call:reconnected"]);
    world.pass(2 * GRACE);
    assert_eq!(world.ended, []);
    world.ok(back, "call:end", json!({}));
    assert_eq!(world.reasons(bob), ["hangup"]);
    world.assert_nothing_is_left();
}

#[test]
fn another_device_of_the_same_user_does_not_take_its_place() {
    let (mut world, alice, _) = connected();
    world.close(alice);
    let other = world.open("alice", "phone");
    world.refused(other, "call:end", json!({}), "call_id_required");
    world.pass(GRACE);
    assert_eq!(world.names(other), [""; 0]);
    assert_eq!(world.ended.len(), 1);
}

#[test]
fn a_device_that_connects_twice_replaces_itself() {
    let (mut world, alice, bob) = connected();
    let again = world.open("alice", "laptop");
    assert_eq!(world.closed[&alice], CloseReason::Replaced);
    // Nothing was lost, so no event is sent.
    assert_eq!(world.names(bob), [""; 0]);
    // The front may report the old connection late.
    world.close(alice);
    world.ok(bob, "signal:offer", sdp("b"));
    assert_eq!(world.names(again), ["signal:offer"]);
}

#[test]
fn both_sides_may_be_lost_at_once() {
    let (mut world, alice, bob) = connected();
    world.close(alice);
    world.close(bob);
    world.pass(ms(20_000));
    let (alice, bob) = (world.open("alice", "laptop"), world.open("bob", "phone"));
    assert_eq!(world.states(alice), ["reconnecting", "connected"]);
    assert_eq!(world.states(bob), ["connected"]);
    world.assert_nothing_is_left();
    assert_eq!(world.ended.len(), 1);
}

#[test]
fn a_side_may_be_lost_while_connecting() {
    let (mut world, alice, bob) = World::with_alice_and_bob();
    world.call(alice, "bob");
    world.ok(bob, "call:accept", json!({}));
    world.ok(alice, "signal:offer", sdp("a"));
    world.close(alice);
    world.forget();
    // The answer reaches nobody yet, so the call is not connected by it.
    world.ok(bob, "signal:answer", sdp("b"));
    assert_eq!(world.states(bob), [""; 0]);
    let alice = world.open("alice", "laptop");
    assert_eq!(world.states(alice), ["connecting", "connected"]);
    assert_eq!(world.states(bob), ["connected"]);
}

#[test]
fn a_call_that_connects_with_a_side_lost_is_reconnecting() {
    let (mut world, alice, bob) = World::with_alice_and_bob();
    world.call(alice, "bob");
    world.ok(bob, "call:accept", json!({}));
    world.close(alice);
    world.forget();
    assert_eq!(world.ok(bob, "call:connected", json!({}))["state"], "reconnecting");
    assert_eq!(world.states(bob), ["connected", "reconnecting"]);
}

#[test]
fn a_ringing_call_waits_for_a_device_to_return() {
    let (mut world, alice, bob) = World::with_alice_and_bob();
    let call = world.call(alice, "bob");
    world.close(bob);
    world.pass(ms(10_000));
    assert_eq!(world.ended, []);
    let tablet = world.open("bob", "tablet");
    let phone = world.open("bob", "phone");
    for device in [tablet, phone] {
        let received = world.received(device);
        assert_eq!(received[0].0, "call:incoming");
        assert_eq!(received[0].1["callId"], json!(call));
    }
    world.ok(phone, "call:accept", json!({}));
    assert_eq!(world.reasons(tablet), ["answered_elsewhere"]);
    assert_eq!(world.names(alice), ["call:accepted"]);
}

#[test]
fn a_ringing_call_whose_devices_are_gone_times_out() {
    let (mut world, alice, bob) = World::with_alice_and_bob();
    world.call(alice, "bob");
    world.close(bob);
    world.pass(Duration::from_secs(45));
    assert_eq!(world.reasons(alice), ["timeout"]);
}

#[test]
fn a_caller_may_be_lost_while_the_call_rings() {
    let (mut world, alice, bob) = World::with_alice_and_bob();
    world.call(alice, "bob");
    world.ok(alice, "signal:offer", sdp("a"));
    world.forget();
    world.close(alice);
    assert_eq!(world.names(bob), [""; 0]);
    world.ok(bob, "call:accept", json!({}));
    assert_eq!(world.names(bob), ["call:reconnecting", "signal:offer"]);
    let alice = world.open("alice", "laptop");
    assert_eq!(world.names(bob), ["call:reconnected"]);
    assert_eq!(world.states(alice), ["connecting"]);

    world.close(alice);
    world.pass(GRACE);
    assert_eq!(world.reasons(bob), ["connection_lost"]);
    world.assert_nothing_is_left();
}
