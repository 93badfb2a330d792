//! Users who take no calls from another one.

use serde_json::{Value, json};

use super::World;
use crate::{ErrorCode, Input, Resume, jwt::Grants, sessions::MAX_BLOCKED};

fn calling(target: &str) -> Value {
    json!({ "targetUserId": target, "callType": "audio" })
}

fn blocking(patterns: &[&str]) -> Grants {
    let block = patterns.iter().map(|pattern| (*pattern).to_owned()).collect();
    Grants { block: Some(block), ..Grants::default() }
}

#[test]
fn a_blocked_user_cannot_call_while_the_session_lasts() {
    let mut world = World::new(|_| {});
    let (mallory, alice) = (world.open("mallory", "laptop"), world.open("alice", "laptop"));
    let (phone, tablet) = (world.open("bob", "phone"), world.open("bob", "tablet"));
    let call = world.call(mallory, "bob");
    world.forget();
    let answer = world.ok(phone, "user:block", json!({ "userId": "mallory" }));
    assert_eq!(answer, json!({ "ok": true, "userId": "mallory", "blocked": true }));
    // The call stops ringing on all devices.
    assert_eq!(world.reasons(mallory), ["rejected"]);
    for device in [phone, tablet] {
        assert_eq!(world.reasons(device), ["rejected"]);
    }
    world.refused(phone, "call:accept", json!({ "callId": call }), "call_ended");
    world.refused(mallory, "call:initiate", calling("bob"), "invalid_target");
    assert!(world.received(phone).is_empty() && world.received(tablet).is_empty());
    // Nobody else is, and the other direction is not.
    world.call(alice, "bob");
    world.ok(alice, "call:cancel", json!({}));
    world.call(phone, "mallory");
    world.ok(phone, "call:cancel", json!({}));

    // A lost connection does not end the session.
    world.input(Input::Lost { session: phone });
    world.refused(mallory, "call:initiate", calling("bob"), "invalid_target");
    let resume = Resume::From { session: phone, seq: 1 };
    world.connect("bob", "phone", u64::MAX / 2, resume);
    world.refused(mallory, "call:initiate", calling("bob"), "invalid_target");

    world.ok(phone, "user:block", json!({ "userId": "mallory", "blocked": false }));
    world.call(mallory, "bob");
    world.ok(mallory, "call:cancel", json!({}));
    world.ok(phone, "user:block", json!({ "userId": "mallory", "blocked": true }));
    world.input(Input::Left { session: phone });
    world.call(mallory, "bob");
    world.assert_nothing_is_left();
}

#[test]
fn blocking_does_not_end_a_call_in_progress() {
    let (mut world, alice, bob) = World::with_alice_and_bob();
    world.connected_call(alice, bob);
    world.ok(bob, "user:block", json!({ "userId": "alice" }));
    assert!(world.reasons(bob).is_empty());
    world.ok(bob, "call:end", json!({}));
    world.refused(alice, "call:initiate", calling("bob"), "invalid_target");
}

#[test]
fn a_token_can_block_users() {
    let mut world = World::new(|config| config.ask_to_hold = true);
    let mallory = world.open("spam:mallory", "laptop");
    // A call that waits for a device of a user who blocks its caller.
    world.call(mallory, "bob");
    let bob = world.open_with("bob", "phone", blocking(&["spam:*"]));
    assert_eq!(world.reasons(mallory), ["rejected"]);
    assert!(world.names(bob).is_empty());
    world.refused(mallory, "call:initiate", calling("bob"), "invalid_target");
    // It goes with the token, and comes with it.
    world.refresh_with(bob, "bob", Grants::default());
    world.call(mallory, "bob");
    world.forget();
    world.refresh_with(bob, "bob", blocking(&["spam:*"]));
    assert_eq!(world.reasons(mallory), ["rejected"]);
    assert_eq!(world.reasons(bob), ["rejected"]);
    world.assert_nothing_is_left();
}

#[test]
fn the_block_list_of_a_session_is_limited() {
    let mut world = World::new(|config| config.events_per_second = 0);
    let (alice, bob) = (world.open("alice", "laptop"), world.open("bob", "phone"));
    world.refused(bob, "user:block", json!({ "userId": "bob" }), "invalid_target");
    world.refused(bob, "user:block", json!({}), "invalid_payload");
    world.refused(bob, "user:block", json!({ "userId": "x", "blocked": 1 }), "invalid_payload");
    for n in 0..MAX_BLOCKED {
        world.ok(bob, "user:block", json!({ "userId": format!("user-{n}") }));
    }
    world.ok(bob, "user:block", json!({ "userId": "user-0" }));
    world.refused(bob, "user:block", json!({ "userId": "alice" }), "too_many_blocked");
    assert_eq!(world.hub.stats().counters.errors.get(ErrorCode::TooManyBlocked), 1);
    world.call(alice, "bob");
    world.ok(bob, "user:block", json!({ "userId": "user-0", "blocked": false }));
    world.ok(bob, "user:block", json!({ "userId": "alice" }));
    world.assert_nothing_is_left();
}
