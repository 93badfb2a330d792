//! Calls that reach no device, with a back end that may have them held.

use std::time::Duration;

use callbox_base::ids::{CallId, SessionId};
use serde_json::json;

use super::{World, ms};
use crate::{CallState, Input, Resume};

/// alice calls bob, who has no device.
fn world() -> (World, SessionId, CallId) {
    let mut world = World::new(|config| config.ask_to_hold = true);
    let alice = world.open("alice", "laptop");
    let call = world.call(alice, "bob");
    assert_eq!(world.asked, [call]);
    assert_eq!(world.names(alice), [""; 0]);
    (world, alice, call)
}

fn state(world: &World, call: CallId) -> CallState {
    world.hub.call(world.now, call).unwrap().state
}

#[test]
fn a_call_that_is_held_rings_at_the_first_device() {
    let (mut world, _, call) = world();
    world.input(Input::HoldDecision { call, hold: true });
    world.pass(Duration::from_secs(30));
    assert_eq!(state(&world, call), CallState::Initiating);
    let bob = world.open("bob", "phone");
    assert_eq!(world.names(bob), ["call:incoming"]);
    world.ok(bob, "call:accept", json!({}));
    assert_eq!(state(&world, call), CallState::Connecting);
    world.assert_nothing_is_left();
}

#[test]
fn a_call_that_is_held_waits_no_longer_than_it_would_ring() {
    let (mut world, alice, call) = world();
    world.input(Input::HoldDecision { call, hold: true });
    world.pass(ms(44_999));
    assert_eq!(state(&world, call), CallState::Initiating);
    world.pass(ms(1));
    assert_eq!(world.reasons(alice), ["timeout"]);
    world.assert_nothing_is_left();
}

#[test]
fn a_call_that_is_not_held_ends_as_offline() {
    let (mut world, alice, call) = world();
    world.input(Input::HoldDecision { call, hold: false });
    assert_eq!(world.reasons(alice), ["offline"]);
    world.input(Input::HoldDecision { call, hold: true });

    // So does a call without a decision in time.
    let second = world.call(alice, "bob");
    world.pass(ms(1999));
    assert_eq!(state(&world, second), CallState::Initiating);
    world.pass(ms(1));
    assert_eq!(world.reasons(alice), ["offline"]);
    world.input(Input::HoldDecision { call: second, hold: true });
    assert_eq!(state(&world, second), CallState::Ended);
    world.assert_nothing_is_left();
}

#[test]
fn an_answer_comes_too_late_for_a_call_that_rings_or_is_over() {
    let (mut world, alice, call) = world();
    let bob = world.open("bob", "phone");
    world.input(Input::HoldDecision { call, hold: false });
    world.pass(ms(2000));
    assert_eq!(
        (state(&world, call), world.names(bob)),
        (CallState::Ringing, vec!["call:incoming".to_owned()])
    );
    world.ok(alice, "call:cancel", json!({}));
    world.close(bob);
    let second = world.call(alice, "bob");
    world.ok(alice, "call:cancel", json!({}));
    world.input(Input::HoldDecision { call: second, hold: false });
    assert_eq!(world.asked, [call, second]);
    world.assert_nothing_is_left();
}

#[test]
fn the_back_end_is_asked_once_lost_devices_have_not_returned() {
    let mut world = World::new(|config| config.ask_to_hold = true);
    let (alice, bob) =
        (world.open("alice", "laptop"), world.connect("bob", "phone", u64::MAX / 2, Resume::New));
    world.input(Input::Lost { session: bob });
    let call = world.call(alice, "bob");
    assert_eq!((state(&world, call), world.asked.len()), (CallState::Initiating, 0));
    world.pass(Duration::from_secs(30));
    assert_eq!(world.asked, [call]);
    world.input(Input::HoldDecision { call, hold: true });
    world.open("bob", "tablet");
    assert_eq!(state(&world, call), CallState::Ringing);
    world.assert_nothing_is_left();
}
