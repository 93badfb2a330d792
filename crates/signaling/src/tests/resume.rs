//! Sessions that lose their connection and go on over another one.

use std::time::Duration;

use callbox_base::ids::SessionId;
use serde_json::{Value, json};

use super::{Input, World, candidate, ms, sdp};
use crate::{CloseReason, Resume};

const WINDOW: Duration = Duration::from_secs(30);

fn lose(world: &mut World, session: SessionId) {
    world.input(Input::Lost { session });
}

/// The client comes back, having all events up to `seq`. The name of the session that it has now.
fn come_back(
    world: &mut World,
    name: &str,
    device: &str,
    session: SessionId,
    seq: u64,
) -> SessionId {
    let expires = world.now.unix_secs() + 86_400;
    let connection = world.connect(name, device, expires, Resume::From { session, seq });
    let now = world.resumed.get(&connection).copied().unwrap_or(connection);
    let mut received = world.received[&now].iter().rev();
    let (_, welcome) = received.find(|(name, _)| name == "welcome").expect("a welcome");
    assert_eq!(welcome["sessionId"], json!(now));
    assert_eq!(welcome["resumed"] == json!(true), now == session);
    now
}

/// A call that is connected, with nothing heard yet, and how many events each side has had.
fn connected() -> (World, [SessionId; 2], [u64; 2]) {
    let (mut world, alice, bob) = World::with_alice_and_bob();
    world.call(alice, "bob");
    world.ok(bob, "call:accept", json!({}));
    world.ok(alice, "signal:offer", sdp("a"));
    world.ok(bob, "signal:answer", sdp("b"));
    let seqs = [alice, bob].map(|s| world.hub.outbox().last_seq(s));
    world.forget();
    (world, [alice, bob], seqs)
}

#[test]
fn missed_events_come_once_and_in_order() {
    let (mut world, [alice, bob], [seq, _]) = connected();
    lose(&mut world, alice);
    assert_eq!(world.names(bob), ["call:reconnecting"]);
    world.ok(bob, "signal:offer", sdp("b"));
    world.ok(bob, "ice:candidate", candidate(1));
    world.ok(bob, "ice:candidate", candidate(2));
    assert_eq!(world.names(alice), [""; 0], "there is nobody to hear it");
    let states = world.states(bob);
    world.pass(WINDOW - ms(1));
    assert_eq!(come_back(&mut world, "alice", "laptop", alice, seq), alice);
    assert_eq!(world.names(alice), ["signal:offer", "ice:candidate", "ice:candidate"]);
    assert_eq!(world.names(bob), ["call:reconnected"]);
    assert_eq!(states, [""; 0]);
    // And what comes now follows it.
    world.ok(bob, "ice:candidate", candidate(3));
    assert_eq!(world.names(alice), ["ice:candidate"]);
    assert_eq!(world.hub.stats().counters.sessions_resumed, 1);
    world.assert_nothing_is_left();
}

#[test]
fn received_events_are_not_replayed() {
    let (mut world, [alice, bob], [seq, _]) = connected();
    for n in 1..=3 {
        world.ok(bob, "ice:candidate", candidate(n));
    }
    lose(&mut world, alice);
    world.forget();
    // It had the first, and says so; later it says that it has all.
    let back = come_back(&mut world, "alice", "laptop", alice, seq + 1);
    let received = world.received(back);
    let lines: Vec<_> = received.iter().map(|(_, data)| &data["candidate"]["candidate"]).collect();
    assert_eq!(lines.len(), 2);
    assert!(lines[0].as_str().unwrap().starts_with("candidate:2 "), "{lines:?}");
    let last = world.hub.outbox().last_seq(alice);
    world.input(Input::Acknowledged { session: alice, seq: last });
    assert!(
        world.hub.outbox().can_resume(alice, last)
            && !world.hub.outbox().can_resume(alice, last - 1)
    );
    lose(&mut world, alice);
    come_back(&mut world, "alice", "laptop", alice, last);
    // No event was sent while it was away.
    assert_eq!(world.names(alice), [""; 0]);
}

#[test]
fn a_connection_that_was_not_yet_lost_is_replaced() {
    let (mut world, [alice, bob], [seq, _]) = connected();
    // The old one hangs; the server does not know it yet.
    world.ok(bob, "ice:candidate", candidate(1));
    world.forget();
    assert_eq!(come_back(&mut world, "alice", "laptop", alice, seq), alice);
    assert_eq!(world.names(alice), ["ice:candidate"]);
    assert_eq!(world.names(bob), [""; 0], "nobody was lost");
    assert_eq!(world.closed.len(), 0);
}

#[test]
fn an_end_during_the_absence_is_sent_on_resume() {
    let (mut world, [alice, bob], [seq, _]) = connected();
    lose(&mut world, alice);
    world.ok(bob, "call:end", json!({}));
    come_back(&mut world, "alice", "laptop", alice, seq);
    assert_eq!(world.reasons(alice), ["hangup"]);
    world.assert_nothing_is_left();
}

#[test]
fn a_lost_session_is_kept_for_a_limited_time() {
    let (mut world, [alice, bob], [seq, _]) = connected();
    world.ok(bob, "call:end", json!({}));
    lose(&mut world, alice);
    world.pass(WINDOW);
    assert_eq!(world.hub.stats().sessions, 1);
    let back = come_back(&mut world, "alice", "laptop", alice, seq);
    assert_ne!(back, alice);
    // Nor is one that left, or one that cannot be resumed.
    world.close(back);
    assert_ne!(come_back(&mut world, "alice", "laptop", back, 0), back);
    let never = world.connect("carol", "phone", u64::MAX, Resume::Never);
    lose(&mut world, never);
    assert_ne!(come_back(&mut world, "carol", "phone", never, 0), never);
    world.assert_nothing_is_left();
}

#[test]
fn a_session_of_another_user_is_not_resumed() {
    let (mut world, [alice, _], [seq, _]) = connected();
    lose(&mut world, alice);
    for (name, device) in [("mallory", "laptop"), ("bob", "phone"), ("alice", "tablet")] {
        assert_ne!(come_back(&mut world, name, device, alice, seq), alice);
    }
    // Nor does anybody have what was never sent.
    for ahead in [1, 1000] {
        let (mut world, [alice, _], _) = connected();
        lose(&mut world, alice);
        let wrong = world.hub.outbox().last_seq(alice) + ahead;
        assert_ne!(come_back(&mut world, "alice", "laptop", alice, wrong), alice);
    }
}

#[test]
fn a_device_with_a_new_session_gets_the_state_of_its_call() {
    let (mut world, [alice, bob], _) = connected();
    world.ok(bob, "ice:candidate", candidate(1));
    lose(&mut world, alice);
    world.ok(bob, "ice:candidate", candidate(2));
    world.forget();
    // A page that was loaded again, or a plain Socket.IO client.
    let back = world.connect("alice", "laptop", u64::MAX, Resume::Never);
    let received = world.received.remove(&back).unwrap();
    let names: Vec<_> = received.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["welcome", "call:state", "call:sync"]);
    let sync = &received[2].1;
    assert_eq!(sync["call"]["state"], "connected");
    assert_eq!(sync["description"]["type"], "answer");
    assert_eq!(sync["description"]["sdp"], sdp("b")["sdp"]);
    let candidates = sync["candidates"].as_array().unwrap();
    assert_eq!(candidates.len(), 2);
    assert_eq!(
        (&candidates[1]["from"], &candidates[1]["callId"]),
        (&json!("bob"), &sync["callId"])
    );
    assert_eq!(world.names(bob), ["call:reconnected"]);
    assert_eq!((&sync["upgrade"], &sync["transferTo"]), (&Value::Null, &Value::Null));
    // With a new generation the older candidates are void.
    world.ok(bob, "signal:offer", sdp("new"));
    world.ok(bob, "ice:candidate", candidate(3));
    let again = world.connect("alice", "laptop", u64::MAX, Resume::Never);
    assert_eq!(world.closed[&back], CloseReason::Replaced);
    let sync = world.received.remove(&again).unwrap().pop().unwrap().1;
    assert_eq!(sync["description"]["type"], "offer");
    assert_eq!(sync["candidates"].as_array().map(Vec::len), Some(1));
    // Each side also gets its own open requests.
    let other = if sync["call"]["type"] == "video" { "audio" } else { "video" };
    world.ok(bob, "call:upgrade", json!({ "callType": other }));
    let tablet = world.open("alice", "tablet");
    world.ok(again, "call:transfer", json!({ "deviceId": "tablet" }));
    assert!(world.names(tablet).contains(&"call:incoming".to_owned()));
    for (user, device, to) in [("alice", "laptop", json!("tablet")), ("bob", "phone", Value::Null)]
    {
        let back = world.connect(user, device, u64::MAX, Resume::Never);
        let sync = world.received.remove(&back).unwrap().pop().unwrap().1;
        assert_eq!(sync["upgrade"], json!({ "from": "bob", "callType": other }));
        assert_eq!(sync["transferTo"], to);
    }
    world.assert_nothing_is_left();
}

#[test]
fn a_call_rings_at_a_device_when_it_comes_back() {
    let (mut world, alice, bob) = World::with_alice_and_bob();
    lose(&mut world, bob);
    assert_eq!(world.hub.online_users().count(), 1);
    let answer =
        world.ok(alice, "call:initiate", json!({ "targetUserId": "bob", "callType": "audio" }));
    assert_eq!(answer["state"], "initiating", "no device has it yet");
    world.forget();
    world.pass(ms(10_000));
    come_back(&mut world, "bob", "phone", bob, 0);
    assert_eq!(world.names(bob), ["call:incoming"]);
    assert_eq!(world.states(alice), ["ringing"]);
    world.ok(bob, "call:accept", json!({}));
    world.assert_nothing_is_left();
}

#[test]
fn a_callee_who_does_not_come_back_is_offline() {
    let (mut world, alice, bob) = World::with_alice_and_bob();
    lose(&mut world, bob);
    world.pass(ms(20_000));
    world.call(alice, "bob");
    world.pass(ms(10_000));
    assert_eq!(world.reasons(alice), ["offline"]);
    // One that has heard it ring is waited for.
    let bob = world.open("bob", "phone");
    world.call(alice, "bob");
    lose(&mut world, bob);
    world.pass(WINDOW);
    assert_eq!(world.reasons(alice), [""; 0]);
    world.pass(ms(15_000));
    assert_eq!(world.reasons(alice), ["timeout"]);
    world.assert_nothing_is_left();
}

#[test]
fn a_client_that_acknowledges_nothing_is_bounded() {
    let mut world = World::new(|config| config.events_per_second = 0);
    let (alice, bob) = (world.open("alice", "laptop"), world.open("bob", "phone"));
    world.call(alice, "bob");
    world.ok(bob, "call:accept", json!({}));
    world.ok(bob, "signal:offer", sdp("b"));
    for n in 0..2000 {
        world.ok(bob, "ice:candidate", candidate(n));
    }
    world.forget();
    assert!(world.hub.stats().unacknowledged_bytes < 2 * crate::MAX_REPLAY_WEIGHT);
    lose(&mut world, alice);
    // Too much of it is gone.
    assert_ne!(come_back(&mut world, "alice", "laptop", alice, 3), alice);
}

#[test]
fn lost_sessions_are_dropped_for_new_connections() {
    let mut world = World::new(|config| {
        config.max_sessions = 3;
        config.max_sessions_per_user = 2;
    });
    let one = world.open("alice", "one");
    let two = world.open("alice", "two");
    lose(&mut world, one);
    lose(&mut world, two);
    world.open("alice", "three");
    assert_eq!(world.closed.len(), 0);
    world.open("bob", "one");
    assert_eq!(world.hub.stats().sessions, 3);
    world.open("carol", "one");
    assert_eq!((world.closed.len(), world.hub.stats().sessions_away), (0, 0));
    let late = world.open("dave", "one");
    assert_eq!(world.closed[&late], CloseReason::TooManyConnections);
    world.assert_nothing_is_left();
}

#[test]
fn the_token_of_a_resume_replaces_the_old_one() {
    let mut world = World::new(|_| {});
    let start = world.now.unix_secs();
    let alice = world.open_until("alice", "laptop", start + 60);
    lose(&mut world, alice);
    world.pass(ms(20_000));
    assert_eq!(come_back(&mut world, "alice", "laptop", alice, 0), alice);
    world.pass(ms(3_600_000));
    assert!(world.hub.is_here(alice));
    // An expired token resumes no session.
    lose(&mut world, alice);
    let from = Resume::From { session: alice, seq: 0 };
    let stale = world.connect("alice", "laptop", start, from);
    assert_eq!(world.closed[&stale], CloseReason::TokenExpired);
    // And a session that is away ends with its token as well.
    let bob = world.open_until("bob", "phone", world.now.unix_secs() + 1);
    lose(&mut world, bob);
    world.pass(ms(6_000));
    assert!(world.hub.session(bob).is_none());
    world.assert_nothing_is_left();
}

#[test]
fn a_repeated_request_gets_the_same_answer() {
    let (mut world, alice, bob) = World::with_alice_and_bob();
    let initiate = json!({ "targetUserId": "bob", "callType": "audio", "msgId": "m1" });
    let first = world.ok(alice, "call:initiate", initiate.clone());
    // The answer was lost with the connection.
    lose(&mut world, alice);
    come_back(&mut world, "alice", "laptop", alice, 0);
    world.forget();
    assert_eq!(world.ok(alice, "call:initiate", initiate.clone()), first);
    assert_eq!(world.names(bob), [""; 0], "it rings once");
    assert_eq!(world.hub.stats().counters.calls_started, 1);
    // Without a session, too: the call is what is remembered.
    world.close(alice);
    let alice = world.connect("alice", "laptop", u64::MAX, Resume::Never);
    assert_eq!(world.ok(alice, "call:initiate", initiate), first);
    // A refused request may succeed later.
    let connected = json!({ "msgId": "m2" });
    world.refused(alice, "call:connected", connected.clone(), "invalid_state");
    world.ok(bob, "call:accept", connected.clone());
    world.ok(alice, "call:connected", connected);
    // Nor does the device's own new session forget: the user was never gone.
    let media = json!({ "muted": true, "msgId": "m3" });
    world.ok(bob, "media:update", media.clone());
    let bob = world.open("bob", "phone");
    world.forget();
    world.ok(bob, "media:update", media);
    assert_eq!(world.names(alice), [""; 0]);
    let bad = json!({ "msgId": 7 });
    world.refused(bob, "call:end", bad, "invalid_payload");
}

#[test]
fn a_stopping_server_tells_clients_when_to_reconnect() {
    let mut world = World::new(|config| config.max_sessions = 5000);
    let sessions: Vec<_> = (0..3000).map(|n| world.open(&format!("u{n}"), "one")).collect();
    lose(&mut world, sessions[0]);
    world.forget();
    world.input(Input::Shutdown);
    let mut after: Vec<u64> = Vec::new();
    for session in &sessions[1..] {
        let received = world.received(*session);
        let (name, data): &(String, Value) = &received[0];
        assert_eq!(name, "server:draining");
        after.push(data["reconnectAfterMs"].as_u64().unwrap());
        assert_eq!(world.closed[session], CloseReason::ServerShutdown);
    }
    after.sort_unstable();
    // Spread over the time: no second has far more than its share.
    for second in 0..3 {
        let in_it = after.iter().filter(|ms| *ms / 1000 == second).count();
        assert!((800..1200).contains(&in_it), "{in_it} in second {second}");
    }
}
