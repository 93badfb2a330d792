//! The seed's diagram, event for event.

use serde_json::json;

use super::{World, candidate, ms, sdp};

/// Each side hears what the diagram shows, in its order, from clients that know nothing but the
/// seed: no `call:ring`, no `call:connected`, and no `callId` where the diagram has none.
#[test]
fn the_events_are_those_of_the_diagram() {
    let (mut world, alice, bob) = World::with_alice_and_bob();
    let initiate = json!({ "targetUserId": "bob", "callType": "video" });
    world.emit(alice, "call:initiate", initiate);
    let incoming = world.received(bob);
    assert_eq!(incoming.len(), 1);
    assert_eq!(incoming[0].0, "call:incoming");
    assert_eq!(incoming[0].1["callerId"], "alice");
    assert_eq!(incoming[0].1["callType"], "video");
    let call = incoming[0].1["callId"].clone();

    world.emit(bob, "call:accept", json!({ "callId": call }));
    assert_eq!(world.names(alice), ["call:accepted"]);

    // Nothing may be held for longer than this; the diagram's clients gather before they offer.
    world.emit(alice, "ice:candidate", candidate(1));
    world.pass(ms(300));
    assert_eq!(world.names(bob), ["ice:candidate"]);
    world.emit(bob, "ice:candidate", candidate(2));
    world.pass(ms(300));
    assert_eq!(world.names(alice), ["ice:candidate"]);

    world.emit(alice, "signal:offer", sdp("a"));
    assert_eq!(world.names(bob), ["signal:offer"]);
    world.emit(bob, "signal:answer", sdp("b"));
    assert_eq!(world.names(alice), ["signal:answer"]);

    world.pass(ms(5000));
    world.emit(alice, "call:end", json!({ "callId": call }));
    let ended = world.received(bob);
    assert_eq!(ended.len(), 1);
    assert_eq!(ended[0].0, "call:ended");
    assert_eq!(
        ended[0].1,
        json!({ "callId": call, "reason": "hangup", "endedBy": "alice", "duration": 5.6 })
    );
    assert_eq!(world.names(alice), [""; 0]);
    assert_eq!(world.ended.len(), 1);
    world.assert_nothing_is_left();
}

/// The states of the seed's `CallState` in their order, to both sides, and the `Call` as it is
/// shown at the end.
#[test]
fn the_states_of_a_call() {
    let (mut world, alice, bob) = World::with_alice_and_bob();
    let call = world.call(alice, "bob");
    world.ok(bob, "call:accept", json!({}));
    world.ok(alice, "signal:offer", sdp("a"));
    world.ok(bob, "signal:answer", sdp("b"));
    world.pass(ms(1500));
    world.ok(bob, "call:end", json!({}));
    for session in [alice, bob] {
        assert_eq!(world.states(session), ["ringing", "connecting", "connected", "ended"]);
    }
    let record = serde_json::to_value(world.hub.call(world.now, call).unwrap()).unwrap();
    assert_eq!(
        record,
        json!({
            "id": call,
            "state": "ended",
            "type": "video",
            "participants": [
                { "userId": "alice", "role": "caller", "deviceId": "laptop" },
                { "userId": "bob", "role": "callee", "deviceId": "phone" },
            ],
            "createdAt": "2023-11-14T22:13:20.000Z",
            "startedAt": "2023-11-14T22:13:20.000Z",
            "endedAt": "2023-11-14T22:13:21.500Z",
            "duration": 1.5,
            "reason": "hangup",
            "endedBy": "bob",
            "relay": { "allocations": 0, "bytesUp": 0, "bytesDown": 0 },
        })
    );
}

/// A seed client that calls somebody who cannot take the call hears so in a `call:ended`, after
/// the answer to its request.
#[test]
fn busy_and_offline_come_as_call_ended() {
    let (mut world, alice, bob) = World::with_alice_and_bob();
    let carol = world.open("carol", "tablet");
    world.call(carol, "bob");
    world.ok(bob, "call:accept", json!({}));
    for (target, reason) in [("bob", "busy"), ("nobody", "offline")] {
        world.forget();
        let data = json!({ "targetUserId": target, "callType": "audio" });
        let answer = world.ok(alice, "call:initiate", data);
        assert_eq!(answer["state"], "initiating");
        let received = world.received(alice);
        assert_eq!(received.len(), 1);
        assert_eq!(
            received[0].1,
            json!({ "callId": answer["callId"], "reason": reason, "endedBy": null, "duration": 0.0 })
        );
    }
    assert_eq!(world.ended.len(), 2);
    assert_eq!(world.hub.stats().counters.calls_ended.total(), 2);
}
