//! Calls that go well, and calls that end before they begin.

use std::time::Duration;

use callbox_base::auth::TurnUsername;
use serde_json::json;

use super::{World, ms, sdp};
use crate::CallState;

#[test]
fn credentials_are_for_the_call() {
    let (mut world, alice, bob) = World::with_alice_and_bob();
    let data = json!({ "targetUserId": "bob", "callType": "audio", "metadata": { "topic": "x" } });
    let answer = world.ok(alice, "call:initiate", data);
    let incoming = world.received(bob).remove(0).1;
    assert_eq!(answer["state"], "ringing");
    assert_eq!(answer["expiresAt"], "2023-11-14T22:14:05.000Z");
    assert_eq!(incoming["expiresAt"], answer["expiresAt"]);
    assert_eq!(incoming["metadata"], json!({ "topic": "x" }));
    for (data, name) in [(&answer, "alice"), (&incoming, "bob")] {
        let credentials = &data["turnCredentials"];
        let username = TurnUsername::parse(credentials["username"].as_str().unwrap()).unwrap();
        assert_eq!(username.user, name);
        assert_eq!(username.call.map(|call| call.to_string()).as_deref(), data["callId"].as_str());
        assert_eq!(credentials["ttl"], 3600);
        assert_eq!(data["iceServers"][0], json!({ "urls": ["stun:192.0.2.1:3478"] }));
        assert_eq!(data["iceServers"][1]["urls"], credentials["uris"]);
        assert_eq!(data["iceServers"][1]["username"], credentials["username"]);
        assert_eq!(data["iceServers"][1]["credential"], credentials["password"]);
    }
}

#[test]
fn the_answer_precedes_the_events_that_its_request_causes() {
    let mut world = World::new(|_| {});
    let alice = world.open("alice", "laptop");
    world.hub.handle(
        world.now,
        super::Input::Request {
            session: alice,
            id: Some(super::RequestId(1)),
            event: "call:initiate".into(),
            data: json!({ "targetUserId": "bob", "callType": "audio" }).into(),
        },
    );
    assert!(matches!(world.hub.poll_output(), Some(super::Output::Answer { .. })));
    assert!(matches!(world.hub.poll_output(), Some(super::Output::Send { .. })));
}

/// The answer of the side that was offered to says that media will flow.
#[test]
fn only_an_answer_to_an_offer_connects() {
    let (mut world, alice, bob) = World::with_alice_and_bob();
    let call = world.call(alice, "bob");
    world.ok(bob, "call:accept", json!({}));
    let state = |world: &World| world.hub.call(world.now, call).unwrap().state;
    for session in [alice, bob] {
        world.refused(session, "signal:answer", sdp("x"), "invalid_state");
    }
    world.ok(alice, "signal:offer", sdp("a"));
    // Nobody answers their own offer.
    world.refused(alice, "signal:answer", sdp("a"), "invalid_state");
    assert_eq!(state(&world), CallState::Connecting);
    world.ok(bob, "signal:answer", sdp("b"));
    assert_eq!(state(&world), CallState::Connected);

    // Later either side may offer, and the other answers.
    for (from, to) in [(bob, alice), (alice, bob)] {
        world.forget();
        world.ok(from, "signal:offer", sdp("c"));
        world.ok(to, "signal:answer", sdp("d"));
        assert_eq!(world.names(from), ["signal:answer"]);
    }
}

/// An offer that was kept is one to answer, and the callee may be the one who offers.
#[test]
fn offers_may_precede_the_accept_or_come_from_the_callee() {
    for callee_offers in [false, true] {
        let (mut world, alice, bob) = World::with_alice_and_bob();
        let call = world.call(alice, "bob");
        let (from, to) = if callee_offers { (bob, alice) } else { (alice, bob) };
        if !callee_offers {
            world.ok(alice, "signal:offer", sdp("a"));
        }
        world.ok(bob, "call:accept", json!({}));
        if callee_offers {
            world.ok(bob, "signal:offer", sdp("a"));
        }
        world.refused(from, "signal:answer", sdp("b"), "invalid_state");
        assert_eq!(world.hub.call(world.now, call).unwrap().state, CallState::Connecting);
        world.ok(to, "signal:answer", sdp("b"));
        assert_eq!(world.hub.call(world.now, call).unwrap().state, CallState::Connected);
    }
}

#[test]
fn the_caller_gets_one_ringing_event_for_each_device() {
    let (mut world, alice, phone) = World::with_alice_and_bob();
    let tablet = world.open("bob", "tablet");
    let call = world.call(alice, "bob");
    for device in [phone, tablet, phone] {
        world.ok(device, "call:ring", json!({ "callId": call }));
    }
    let received = world.received(alice);
    assert_eq!(received.len(), 2);
    assert_eq!(
        received[0],
        ("call:ringing".into(), json!({ "callId": call, "calleeId": "bob", "deviceId": "phone" }))
    );
    assert_eq!(received[1].1["deviceId"], "tablet");
}

#[test]
fn the_first_accept_wins() {
    let (mut world, alice, phone) = World::with_alice_and_bob();
    let tablet = world.open("bob", "tablet");
    let call = world.call(alice, "bob");
    world.forget();
    let answer = world.ok(tablet, "call:accept", json!({ "callId": call }));
    assert_eq!(answer["state"], "connecting");
    world.refused(phone, "call:accept", json!({ "callId": call }), "invalid_state");
    assert_eq!(world.reasons(phone), ["answered_elsewhere"]);
    let received = world.received(alice);
    assert_eq!(received.len(), 1);
    assert_eq!(received[0].1, json!({ "callId": call, "calleeId": "bob", "deviceId": "tablet" }));

    // From here on the phone receives no events, and its requests are refused.
    world.forget();
    world.ok(alice, "signal:offer", sdp("a"));
    world.refused(phone, "call:end", json!({ "callId": call }), "invalid_state");
    world.refused(phone, "call:end", json!({}), "call_id_required");
    world.ok(tablet, "call:end", json!({}));
    assert_eq!(world.received(phone), []);
}

#[test]
fn a_rejection_on_one_device_ends_the_call_on_all() {
    let (mut world, alice, phone) = World::with_alice_and_bob();
    let tablet = world.open("bob", "tablet");
    world.call(alice, "bob");
    world.forget();
    let answer = world.ok(phone, "call:reject", json!({}));
    assert_eq!((&answer["state"], &answer["reason"]), (&json!("ended"), &json!("rejected")));
    assert_eq!(world.reasons(alice), ["rejected"]);
    assert_eq!(world.reasons(tablet), ["rejected_elsewhere"]);
    assert_eq!(world.names(phone), [""; 0]);
    assert_eq!(world.ended.len(), 1);
}

#[test]
fn a_device_may_refuse_as_busy() {
    let (mut world, alice, bob) = World::with_alice_and_bob();
    world.call(alice, "bob");
    world.ok(bob, "call:reject", json!({ "reason": "busy" }));
    assert_eq!(world.reasons(alice), ["busy"]);
}

#[test]
fn a_caller_can_cancel() {
    let (mut world, alice, bob) = World::with_alice_and_bob();
    world.call(alice, "bob");
    assert_eq!(world.ok(alice, "call:cancel", json!({}))["reason"], "cancelled");
    assert_eq!(world.reasons(bob), ["cancelled"]);
}

#[test]
fn call_end_before_the_accept_is_cancel_or_reject() {
    let (mut world, alice, bob) = World::with_alice_and_bob();
    world.call(alice, "bob");
    world.ok(alice, "call:end", json!({}));
    assert_eq!(world.reasons(bob), ["cancelled"]);
    world.call(alice, "bob");
    world.ok(bob, "call:end", json!({}));
    assert_eq!(world.reasons(alice), ["rejected"]);
}

#[test]
fn a_call_that_is_not_accepted_times_out() {
    let (mut world, alice, bob) = World::with_alice_and_bob();
    let call = world.call(alice, "bob");
    world.pass(Duration::from_secs(45) - ms(1));
    assert_eq!(world.reasons(alice), [""; 0]);
    world.pass(ms(1));
    assert_eq!(world.reasons(alice), ["timeout"]);
    assert_eq!(world.reasons(bob), ["timeout"]);
    world.refused(bob, "call:accept", json!({ "callId": call }), "call_ended");
    world.assert_nothing_is_left();
}

/// The driver may be late with the timer; the accept is later still.
#[test]
fn an_accept_after_the_ring_time_is_too_late() {
    let (mut world, alice, bob) = World::with_alice_and_bob();
    let call = world.call(alice, "bob");
    world.now = world.now + Duration::from_secs(46);
    world.refused(bob, "call:accept", json!({ "callId": call }), "call_ended");
    assert_eq!(world.reasons(alice), ["timeout"]);
}

#[test]
fn a_side_can_report_that_no_path_was_found() {
    let (mut world, alice, bob) = World::with_alice_and_bob();
    let call = world.call(alice, "bob");
    world.ok(bob, "call:accept", json!({}));
    world.ok(alice, "call:end", json!({ "reason": "ice_failed" }));
    assert_eq!(world.reasons(bob), ["ice_failed"]);
    let record = world.hub.call(world.now, call).unwrap();
    assert_eq!(record.state, CallState::Failed);
    world.call(alice, "bob");
    world.ok(bob, "call:accept", json!({}));
    world.ok(bob, "call:end", json!({ "reason": "connection_lost" }));
    assert_eq!(world.reasons(alice), ["connection_lost"]);
}

#[test]
fn either_side_may_say_that_media_flows() {
    let (mut world, alice, bob) = World::with_alice_and_bob();
    world.call(alice, "bob");
    world.refused(alice, "call:connected", json!({}), "invalid_state");
    world.ok(bob, "call:accept", json!({}));
    world.refused(bob, "call:reconnecting", json!({}), "invalid_state");
    world.forget();
    assert_eq!(world.ok(bob, "call:connected", json!({}))["state"], "connected");
    assert_eq!(world.ok(alice, "call:connected", json!({}))["state"], "connected");
    assert_eq!(world.states(alice), ["connected"]);
}

#[test]
fn media_can_stop_and_resume() {
    let (mut world, alice, bob) = World::with_alice_and_bob();
    world.call(alice, "bob");
    world.ok(bob, "call:accept", json!({}));
    world.ok(bob, "call:connected", json!({}));
    world.forget();
    for _ in 0..2 {
        world.ok(alice, "call:reconnecting", json!({}));
    }
    assert_eq!(world.ok(bob, "call:connected", json!({}))["state"], "reconnecting");
    assert_eq!(world.ok(alice, "call:connected", json!({}))["state"], "connected");
    assert_eq!(world.names(bob), ["call:reconnecting", "call:reconnected"]);
    assert_eq!(world.states(alice), ["reconnecting", "connected"]);
}

#[test]
fn a_user_may_have_several_calls_where_the_limit_says_so() {
    let mut world = World::new(|config| config.max_calls_per_user = 2);
    let alice = world.open("alice", "laptop");
    for name in ["bob", "carol", "dave"] {
        world.open(name, "phone");
    }
    let first = world.call(alice, "bob");
    world.call(alice, "carol");
    let third = json!({ "targetUserId": "dave", "callType": "audio" });
    world.refused(alice, "call:initiate", third.clone(), "too_many_calls");
    world.refused(alice, "call:cancel", json!({}), "call_id_required");
    world.ok(alice, "call:cancel", json!({ "callId": first }));
    world.ok(alice, "call:initiate", third);
}

#[test]
fn the_number_of_calls_is_limited() {
    let mut world = World::new(|config| config.max_calls = 1);
    let (alice, carol) = (world.open("alice", "laptop"), world.open("carol", "laptop"));
    world.open("bob", "phone");
    world.open("dave", "phone");
    world.call(alice, "bob");
    let data = json!({ "targetUserId": "dave", "callType": "audio" });
    world.refused(carol, "call:initiate", data.clone(), "server_full");
    world.ok(alice, "call:cancel", json!({}));
    world.ok(carol, "call:initiate", data);
}

#[test]
fn shutdown_ends_every_call_and_closes_every_session() {
    let (mut world, alice, bob) = World::with_alice_and_bob();
    world.call(alice, "bob");
    world.input(super::Input::Shutdown);
    assert_eq!(world.reasons(alice), ["server_shutdown"]);
    assert_eq!(world.reasons(bob), ["server_shutdown"]);
    assert_eq!(world.closed.len(), 2);
    let late = world.open("carol", "laptop");
    assert_eq!(world.closed[&late], super::CloseReason::ServerShutdown);
    world.assert_nothing_is_left();
}
