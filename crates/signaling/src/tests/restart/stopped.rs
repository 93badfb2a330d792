//! A server that stopped in order.

use super::*;

#[test]
fn a_call_goes_on_once_both_are_back() {
    let mut world = world();
    let (alice, bob) = (world.open("alice", "laptop"), world.open("bob", "phone"));
    let id = world.call(alice, "bob");
    world.ok(bob, "call:accept", json!({}));
    world.ok(alice, "signal:offer", sdp("a"));
    world.ok(bob, "signal:answer", sdp("b"));
    world.ok(bob, "media:update", json!({ "muted": true }));
    world.pass(ms(10_000));
    world.forget();
    world.restart(ms(5000));
    for session in [alice, bob] {
        assert_eq!(world.names(session), ["server:draining"]);
    }
    assert_eq!(world.ended, []);

    let alice = world.open("alice", "laptop");
    assert_eq!(world.received[&alice][1].1["call"]["state"], "reconnecting");
    let sync = &world.received[&alice][2];
    assert_eq!((sync.0.as_str(), &sync.1["description"]["type"]), ("call:sync", &json!("answer")));
    world.ok(alice, "ice:candidate", candidate(1));
    let bob = world.open("bob", "phone");
    let state = &world.received[&bob][1].1["call"];
    assert_eq!((&state["id"], &state["state"]), (&json!(id), &json!("connected")));
    assert_eq!(state["participants"][1]["media"]["muted"], true);
    assert_eq!(state["duration"], 15.0);
    assert_eq!(world.names(bob), ["ice:candidate"]);
    assert_eq!(world.names(alice), ["call:reconnected"]);
    world.ok(alice, "signal:offer", sdp("a2"));
    assert_eq!(world.names(bob), ["signal:offer"]);
    world.ok(bob, "call:end", json!({}));
    assert_eq!(world.reasons(alice), ["hangup"]);
    let events: Vec<_> = world.reports.iter().map(|report| report.event.as_str()).collect();
    let expected = ["initiated", "ringing", "accepted", "connected"];
    assert_eq!(events[..4], expected.map(|step| format!("call.{step}")));
    assert_eq!(events[4..], ["call.reconnecting", "call.reconnected", "call.ended"]);
    world.assert_nothing_is_left();
}

#[test]
fn a_side_that_does_not_return_is_awaited_for_the_full_grace_period() {
    let mut world = world();
    let (alice, bob) = (world.open("alice", "laptop"), world.open("bob", "phone"));
    world.call(alice, "bob");
    world.ok(bob, "call:accept", json!({}));
    world.restart(ms(60_000));
    let alice = world.open("alice", "laptop");
    world.pass(ms(29_999));
    assert_eq!(world.ended, []);
    world.pass(ms(1));
    assert_eq!(world.reasons(alice), ["connection_lost"]);
    world.assert_nothing_is_left();
}

#[test]
fn nothing_ends_while_the_server_stops() {
    let mut world = World::new(|config| {
        config.keep_calls = true;
        config.reconnect_grace = ms(2000);
    });
    let (alice, bob, carol) =
        (world.open("alice", "laptop"), world.open("bob", "phone"), world.open("carol", "phone"));
    world.call(alice, "bob");
    world.ok(bob, "call:accept", json!({}));
    world.open("dave", "phone");
    world.call(carol, "dave");
    world.input(Input::Shutdown);
    // As long as it takes until the last client is gone.
    world.pass(ms(60_000));
    assert_eq!((world.hub.kept_calls(), world.ended.len()), (2, 0));
}

#[test]
fn calls_that_cannot_be_stored_end_with_the_server() {
    let mut world = world();
    let (alice, bob) = (world.open("alice", "laptop"), world.open("bob", "phone"));
    world.call(alice, "bob");
    world.ok(bob, "call:accept", json!({}));
    world.input(Input::Shutdown);
    world.input(Input::RelayStopped);
    assert_eq!(world.reports.last().unwrap().event.as_str(), "call.accepted");
    world.hub.give_up_calls(world.now);
    world.drain();
    let last = world.reports.last().unwrap();
    assert_eq!(last.event.as_str(), "call.ended");
    assert_eq!(last.call.reason, Some(EndReason::ServerShutdown));
    assert_eq!(world.hub.kept_calls(), 0);
}

#[test]
fn clients_are_told_to_reconnect_within_the_grace_period() {
    let latest = |grace| {
        let mut world = World::new(|config| {
            config.keep_calls = true;
            config.reconnect_grace = ms(grace);
            config.max_sessions = 5000;
        });
        let users = (0..3000).map(|n| world.open(&format!("user{n}"), "phone"));
        let users: Vec<_> = users.collect();
        world.forget();
        world.input(Input::Shutdown);
        let delays = users.into_iter().map(|user| {
            world.received(user).remove(0).1["reconnectAfterMs"].as_u64().expect("it is a number")
        });
        delays.max().unwrap()
    };
    assert!((2000..3000).contains(&latest(30_000)));
    assert!(latest(3000) < 1500);
}

#[test]
fn a_ringing_call_is_restored_with_the_events_of_its_caller() {
    let mut world = world();
    let (alice, bob) = (world.open("alice", "laptop"), world.open("bob", "phone"));
    let id = world.call(alice, "bob");
    world.ok(alice, "signal:offer", sdp("a"));
    world.ok(alice, "ice:candidate", candidate(1));
    assert_eq!(world.names(bob), ["call:incoming"]);
    world.restart(ms(5000));
    let bob = world.open("bob", "phone");
    let (name, incoming) = world.received(bob).remove(0);
    assert_eq!((name.as_str(), &incoming["callId"]), ("call:incoming", &json!(id)));
    let alice = world.open("alice", "laptop");
    world.ok(bob, "call:accept", json!({}));
    assert_eq!(world.names(bob), ["signal:offer", "ice:candidate"]);
    assert_eq!(world.names(alice), ["call:accepted"]);
    world.ok(alice, "call:end", json!({}));
    world.assert_nothing_is_left();
}

#[test]
fn the_ring_time_includes_the_restart() {
    let mut world = world();
    let (alice, _) = (world.open("alice", "laptop"), world.open("bob", "phone"));
    world.call(alice, "bob");
    world.restart(ms(44_000));
    let alice = world.open("alice", "laptop");
    assert_eq!(world.ended, []);
    world.pass(ms(1000));
    assert_eq!(world.reasons(alice), ["timeout"]);
    world.assert_nothing_is_left();
}

/// The device that rang no longer rings, and the device that had the call keeps it.
#[test]
fn a_call_can_be_transferred_before_or_after_a_restart() {
    let mut world = world();
    let (alice, bob) = (world.open("alice", "laptop"), world.open("bob", "phone"));
    let tablet = world.open("bob", "tablet");
    let id = world.call(alice, "bob");
    world.ok(bob, "call:accept", json!({}));
    world.ok(alice, "call:connected", json!({}));
    world.ok(bob, "call:transfer", json!({ "deviceId": "tablet" }));
    world.ok(tablet, "call:accept", json!({}));
    world.ok(tablet, "call:transfer", json!({ "deviceId": "phone" }));
    world.restart(ms(1000));
    let (alice, bob) = (world.open("alice", "laptop"), world.open("bob", "phone"));
    let tablet = world.open("bob", "tablet");
    assert_eq!(world.names(bob), [""; 0]);
    // Media does not flow yet between the two.
    assert_eq!(world.states(tablet), ["reconnecting"]);
    world.ok(alice, "call:connected", json!({}));
    assert_eq!(world.states(tablet), ["connected"]);
    world.refused(bob, "call:accept", json!({ "callId": id }), "invalid_state");
    world.ok(tablet, "call:transfer", json!({ "deviceId": "phone" }));
    world.ok(bob, "call:accept", json!({}));
    world.assert_nothing_is_left();
}

#[test]
fn restored_calls_are_limited() {
    let mut world = world();
    for n in 0..3 {
        let caller = world.open(&format!("caller-{n}"), "laptop");
        world.open(&format!("callee-{n}"), "phone");
        world.call(caller, &format!("callee-{n}"));
    }
    world.restart_with(ms(0), |config| config.max_calls = 2);
    assert_eq!(world.hub.stats().calls.total(), 2);
    world.assert_nothing_is_left();
}

#[test]
fn media_that_did_not_flow_yet_after_a_transfer_is_not_taken_to_flow() {
    let mut world = world();
    let (alice, bob) = (world.open("alice", "laptop"), world.open("bob", "phone"));
    let phone = world.open("alice", "phone");
    world.call(alice, "bob");
    world.ok(bob, "call:accept", json!({}));
    world.ok(bob, "call:connected", json!({}));
    world.ok(alice, "call:transfer", json!({ "deviceId": "phone" }));
    world.ok(phone, "call:accept", json!({}));
    world.restart(ms(1000));
    let (phone, bob) = (world.open("alice", "phone"), world.open("bob", "phone"));
    assert_eq!(world.states(bob), ["reconnecting"]);
    world.ok(phone, "call:connected", json!({}));
    assert_eq!(world.states(bob), ["connected"]);
    world.ok(bob, "call:end", json!({}));
    world.assert_nothing_is_left();
}

#[test]
fn inconsistent_stored_calls_are_not_restored_and_end_on_their_records() {
    let mut world = world();
    let (alice, bob) = (world.open("alice", "laptop"), world.open("bob", "phone"));
    let id = world.call(alice, "bob");
    world.ok(bob, "call:accept", json!({}));
    let good = world.kept.clone();
    for (from, to, restored) in [
        ("", "", 1),
        ("\"state\":\"connecting\"", "\"state\":\"ended\"", 0),
        ("\"state\":\"connecting\"", "\"state\":\"ringing\"", 0),
        ("\"state\":\"connecting\"", "\"state\":\"idle\"", 0),
        ("\"device\":\"laptop\"", "\"device\":null", 0),
        ("\"user\":\"alice\"", "\"user\":\"bob\"", 0),
    ] {
        let mut kept = good.clone();
        let call = kept.get_mut(&format!("call/{id}")).unwrap();
        assert!(call.contains(from), "{from}");
        *call = call.replace(from, to);
        world.kept = kept;
        world.reports.clear();
        world.crash(ms(0), |_| {});
        assert_eq!(world.hub.kept_calls(), restored, "{to}");
        let ended: Vec<_> = world.reports.iter().map(|report| report.call.reason).collect();
        let expected = if restored == 1 { vec![] } else { vec![Some(EndReason::ServerCrashed)] };
        assert_eq!(ended, expected, "{to}");
        world.hub = Hub::new(world.hub.config().clone(), [8; 32]);
    }
}

#[test]
fn no_call_rings_longer_than_a_new_one_however_the_clock_was_set() {
    let mut world = world();
    let (alice, _) = (world.open("alice", "laptop"), world.open("bob", "phone"));
    let id = world.call(alice, "bob");
    let call = world.kept.get_mut(&format!("call/{id}")).unwrap();
    let mut kept: serde_json::Value = serde_json::from_str(call).unwrap();
    kept["ring_until"]["secs"] = u64::MAX.into();
    *call = kept.to_string();
    world.crash(ms(0), |_| {});
    assert_eq!(world.hub.kept_calls(), 1);
    let alice = world.open("alice", "laptop");
    let ring_timeout = world.hub.config().ring_timeout;
    world.pass(ring_timeout - ms(1));
    assert_eq!(world.ended, []);
    world.pass(ms(1));
    assert_eq!(world.reasons(alice), ["timeout"]);
    world.assert_nothing_is_left();
}
