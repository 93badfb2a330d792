//! Calls that ring: they cost the callee nothing, and there are only so many of them.

use callbox_base::ids::SessionId;
use serde_json::{Value, json};

use super::{World, grants::at_once, ms};
use crate::{EndReason, Input};

fn calling(target: &str) -> Value {
    json!({ "targetUserId": target, "callType": "audio" })
}

/// The users of these names, each with one device.
fn online<const N: usize>(world: &mut World, names: [&str; N]) -> [SessionId; N] {
    names.map(|name| world.open(name, "phone"))
}

/// One user who calls another one without end could keep that one from calling and from being
/// called.
#[test]
fn a_user_with_a_ringing_call_can_call_and_be_called() {
    let mut world = World::new(|_| {});
    let [mallory, bob, alice, _, watcher] =
        online(&mut world, ["mallory", "bob", "alice", "carol", "watcher"]);
    world.ok(watcher, "presence:subscribe", json!({ "userIds": ["bob"] }));
    world.forget();
    let first = world.call(mallory, "bob");
    assert!(world.names(watcher).is_empty(), "bob is busy since somebody calls");
    let second = world.call(alice, "bob");
    assert_eq!(world.reasons(alice), [""; 0]);
    assert_eq!(world.names(bob), ["call:incoming", "call:incoming"]);
    // And bob calls somebody else meanwhile.
    let own = world.call(bob, "carol");
    assert_eq!(world.names(watcher), ["presence:changed"]);
    // Now bob is in as many calls as may be: those that ring wait until one is over.
    world.refused(bob, "call:accept", json!({ "callId": second }), "too_many_calls");
    world.ok(bob, "call:cancel", json!({ "callId": own }));
    world.ok(bob, "call:accept", json!({ "callId": second }));
    world.refused(bob, "call:accept", json!({ "callId": first }), "too_many_calls");
    world.refused(bob, "call:initiate", calling("carol"), "too_many_calls");
    let [dave] = online(&mut world, ["dave"]);
    world.call(dave, "bob");
    assert_eq!(world.reasons(dave), ["busy"]);
    world.ok(bob, "call:end", json!({ "callId": second }));
    world.ok(bob, "call:accept", json!({ "callId": first }));
    world.assert_nothing_is_left();
}

#[test]
fn a_ringing_call_makes_its_user_busy_if_configured() {
    let mut world = World::new(|config| config.ringing_is_busy = true);
    let [mallory, bob, alice, watcher] = online(&mut world, ["mallory", "bob", "alice", "watcher"]);
    world.ok(watcher, "presence:subscribe", json!({ "userIds": ["bob"] }));
    world.call(mallory, "bob");
    assert_eq!(world.names(watcher), ["presence:changed"]);
    world.call(alice, "bob");
    assert_eq!(world.reasons(alice), ["busy"]);
    // But it is no call of bob's own.
    world.call(bob, "carol");
    world.assert_nothing_is_left();
}

#[test]
fn a_caller_rings_once_at_a_callee() {
    let mut world = World::new(|config| config.max_calls_per_user = 9);
    let [mallory, _, _] = online(&mut world, ["mallory", "bob", "carol"]);
    let tablet = world.open("mallory", "tablet");
    let call = world.call(mallory, "bob");
    for device in [mallory, tablet] {
        world.refused(device, "call:initiate", calling("bob"), "too_many_calls");
    }
    world.call(mallory, "carol");
    world.ok(mallory, "call:cancel", json!({ "callId": call }));
    world.call(tablet, "bob");
    world.assert_nothing_is_left();
}

/// The remains of a lost connection do not keep its user from calling again.
#[test]
fn a_lost_call_that_rings_makes_place_for_another() {
    let mut world = World::new(|config| config.max_calls_per_user = 9);
    let [alice, bob] = online(&mut world, ["alice", "bob"]);
    world.call(alice, "bob");
    world.input(Input::Closed { session: alice });
    let tablet = world.open("alice", "tablet");
    world.forget();
    world.call(tablet, "bob");
    assert_eq!(world.names(bob), ["call:ended", "call:incoming"]);
    assert_eq!(world.hub.stats().counters.calls_ended.get(EndReason::Left), 1);
    world.assert_nothing_is_left();
}

#[test]
fn ringing_calls_per_user_are_limited() {
    let mut world = World::new(|config| config.max_ringing_per_user = 3);
    let [bob, watcher] = online(&mut world, ["bob", "watcher"]);
    world.ok(watcher, "presence:subscribe", json!({ "userIds": ["bob"] }));
    world.forget();
    let callers = online(&mut world, ["a", "b", "c", "d"]);
    for caller in callers {
        world.call(caller, "bob");
    }
    assert_eq!(world.names(bob), ["call:incoming"; 3]);
    assert_eq!(world.reasons(callers[3]), ["busy"]);
    assert_eq!(world.received(watcher)[0].1["status"], "busy");
    world.ok(callers[0], "call:cancel", json!({}));
    world.call(callers[3], "bob");
    assert_eq!(world.reasons(callers[3]), [""; 0]);
    world.assert_nothing_is_left();
}

#[test]
fn a_pair_has_a_rate_that_lasts_over_new_connections() {
    let mut world = World::new(|config| config.calls_per_pair = 6);
    let [mut mallory, mut bob] = online(&mut world, ["mallory", "bob"]);
    for n in 0..6 {
        world.call(mallory, "bob");
        world.ok(mallory, "call:cancel", json!({}));
        if n == 3 {
            // Neither side's coming and going gives the caller another go.
            for session in [mallory, bob] {
                world.input(Input::Left { session });
            }
            [mallory, bob] = online(&mut world, ["mallory", "bob"]);
        }
    }
    let answer = world.ask(mallory, "call:initiate", calling("bob"));
    assert_eq!(answer["error"]["code"], "rate_limited");
    assert_eq!(answer["error"]["retryAfterMs"], 10_000);
    // It is the pair's: both may call others, and bob may call back.
    world.call(mallory, "carol");
    world.forget();
    world.call(bob, "mallory");
    assert_eq!(world.names(mallory), ["call:incoming"]);
    world.pass(ms(10_000));
    world.assert_nothing_is_left();
}

#[test]
fn a_user_whose_token_permits_no_calls_is_busy() {
    let mut world = World::new(|_| {});
    let [alice] = online(&mut world, ["alice"]);
    world.open_with("bob", "phone", at_once(0));
    world.call(alice, "bob");
    assert_eq!(world.reasons(alice), ["busy"]);
}
