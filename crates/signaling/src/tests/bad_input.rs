//! Bad input of clients, which nobody else notices.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{World, candidate, sdp};
use crate::{ErrorCode, RequestName, WireEnum};

#[test]
fn wrong_payloads_are_refused_by_the_name_of_the_field() {
    let (mut world, alice, bob) = World::with_alice_and_bob();
    world.call(alice, "bob");
    world.ok(bob, "call:accept", json!({}));
    world.forget();
    let long = "x".repeat(129);
    let cases = [
        ("call:initiate", json!({ "callType": "audio" }), "targetUserId"),
        ("call:initiate", json!({ "targetUserId": 7, "callType": "audio" }), "targetUserId"),
        ("call:initiate", json!({ "targetUserId": "", "callType": "audio" }), "targetUserId"),
        ("call:initiate", json!({ "targetUserId": long, "callType": "audio" }), "targetUserId"),
        ("call:initiate", json!({ "targetUserId": "bob" }), "callType"),
        ("call:initiate", json!({ "targetUserId": "bob", "callType": "fax" }), "callType"),
        ("call:accept", json!({ "callId": 5 }), "callId"),
        ("call:accept", json!({ "callId": "01J" }), "callId"),
        ("call:accept", json!({ "callId": [] }), "callId"),
        ("call:reject", json!({ "reason": 5 }), "reason"),
        ("call:end", json!({ "reason": {} }), "reason"),
        ("ice:candidate", json!({}), "candidate"),
        ("ice:candidate", json!({ "candidate": 5 }), "candidate"),
        ("ice:candidate", json!({ "candidate": [] }), "candidate"),
        ("ice:candidate", json!({ "candidate": {} }), "candidate"),
        ("ice:candidate", json!({ "candidate": { "candidate": 1 } }), "candidate"),
        ("signal:offer", json!({}), "sdp"),
        ("signal:offer", json!({ "sdp": null }), "sdp"),
        ("signal:answer", json!({ "sdp": { "type": "answer" } }), "sdp"),
        ("call:end", json!([]), "object"),
        ("call:end", json!("x"), "object"),
        ("call:end", json!(true), "object"),
    ];
    let count = cases.len() as u64;
    for (event, data, names) in cases {
        let answer = world.ask(alice, event, data.clone());
        let error = &answer["error"];
        assert_eq!(error["code"], "invalid_payload", "{event} {data}: {answer}");
        let message = error["message"].as_str().unwrap();
        assert!(message.contains(names), "{event} {data}: {message}");
        assert!(message.len() < 1000);
    }
    assert_eq!(world.hub.stats().counters.errors.get(ErrorCode::InvalidPayload), count);
    assert_eq!(world.received(bob), []);
    world.ok(alice, "call:end", Value::Null);
}

#[test]
fn unknown_events_are_refused_and_counted() {
    let (mut world, alice, _) = World::with_alice_and_bob();
    for event in ["", "call:teleport", "call:accepted", "presence:changed", "CALL:END", "error"] {
        world.refused(alice, event, json!({}), "unknown_event");
    }
    world.emit(alice, "message", json!([]));
    let received = world.received(alice);
    assert_eq!(received[0].0, "error");
    assert_eq!(received[0].1["event"], "message");
    assert_eq!(received[0].1["error"]["code"], "unknown_event");
    assert_eq!(world.hub.stats().counters.unknown_events, 7);
}

/// The requests that are about a call that there is.
fn about_a_call() -> impl Iterator<Item = &'static RequestName> {
    let others = [
        RequestName::CallInitiate,
        RequestName::AuthRefresh,
        RequestName::PresenceSubscribe,
        RequestName::UserBlock,
        RequestName::RoomJoin,
        RequestName::RoomLeave,
    ];
    RequestName::ALL.iter().filter(move |request| !others.contains(request))
}

#[test]
fn a_stranger_gets_nothing_out_of_a_call() {
    let (mut world, alice, bob) = World::with_alice_and_bob();
    let eve = world.open("eve", "laptop");
    let call = world.call(alice, "bob");
    let try_all = |world: &mut World, code: &str| {
        world.forget();
        for &request in about_a_call() {
            let mut data = candidate(1);
            data["sdp"] = json!("v=0");
            data["callType"] = json!("video");
            data["data"] = json!("hello");
            data["deviceId"] = json!("phone");
            data["callId"] = json!(call);
            world.refused(eve, request.as_str(), data, code);
        }
        for session in [alice, bob, eve] {
            assert_eq!(world.received.remove(&session), None);
        }
    };
    try_all(&mut world, "not_a_participant");
    world.ok(bob, "call:accept", json!({}));
    try_all(&mut world, "not_a_participant");
    world.ok(bob, "call:end", json!({}));
    try_all(&mut world, "not_a_participant");
}

#[test]
fn every_request_needs_its_state() {
    let (mut world, alice, bob) = World::with_alice_and_bob();
    let other = "01JZZZZZZZZZZZZZZZZZZZZZZZ";
    for &request in about_a_call() {
        let mut data = candidate(1);
        data["sdp"] = json!("v=0");
        data["callType"] = json!("video");
        data["data"] = json!("hello");
        data["deviceId"] = json!("phone");
        if request != RequestName::IceRefresh {
            world.refused(alice, request.as_str(), data.clone(), "call_id_required");
        }
        data["callId"] = json!(other);
        world.refused(alice, request.as_str(), data, "call_not_found");
    }
    let call = world.call(alice, "bob");
    world.refused(
        alice,
        "call:initiate",
        json!({ "targetUserId": "carol", "callType": "audio" }),
        "too_many_calls",
    );
    world.refused(alice, "call:ring", json!({}), "not_allowed");
    world.refused(alice, "call:accept", json!({}), "not_allowed");
    world.refused(alice, "call:reject", json!({}), "not_allowed");
    world.refused(bob, "call:cancel", json!({}), "not_allowed");
    world.ok(bob, "call:accept", json!({}));
    world.refused(bob, "call:ring", json!({}), "invalid_state");
    world.refused(bob, "call:accept", json!({}), "invalid_state");
    world.refused(bob, "call:reject", json!({}), "invalid_state");
    world.refused(alice, "call:cancel", json!({}), "invalid_state");
    world.ok(bob, "call:end", json!({}));
    world.refused(alice, "call:end", json!({ "callId": call }), "call_ended");
    world.refused(alice, "signal:offer", sdp("a"), "call_id_required");
}

#[test]
fn a_call_to_oneself_is_refused() {
    let (mut world, alice, _) = World::with_alice_and_bob();
    let data = json!({ "targetUserId": "alice", "callType": "audio" });
    world.refused(alice, "call:initiate", data, "invalid_target");
    assert_eq!(world.hub.stats().counters.calls_started, 0);
}

#[test]
fn metadata_has_a_limit() {
    let (mut world, alice, _) = World::with_alice_and_bob();
    let data = |n| json!({ "targetUserId": "bob", "callType": "audio", "metadata": "x".repeat(n) });
    world.refused(alice, "call:initiate", data(4095), "payload_too_large");
    world.ok(alice, "call:initiate", data(4094));
}

/// Any JSON, with the names that mean something in it more often than chance would have them.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        ".{0,20}".prop_map(Value::from),
        Just(json!("bob")),
        Just(json!("audio")),
        Just(json!("v=0\r\na=ice-ufrag:\r\na=ice-ufrag:x")),
    ];
    let names = "callId|targetUserId|callType|candidate|sdp|reason|metadata|usernameFragment|\
                 roomId|to|[a-z]";
    leaf.prop_recursive(4, 40, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((names, inner), 0..6)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn any_json_is_answered(events in prop::collection::vec((0..RequestName::ALL.len() + 1, any_json()), 1..20)) {
        let (mut world, alice, bob) = World::with_alice_and_bob();
        for (at, (index, data)) in events.into_iter().enumerate() {
            let event = RequestName::ALL.get(index).map_or("x", |name| name.as_str());
            let answer = world.ask([alice, bob][at % 2], event, data);
            prop_assert!(answer["ok"] == true || answer["error"]["code"].is_string());
        }
        world.assert_nothing_is_left();
    }
}
