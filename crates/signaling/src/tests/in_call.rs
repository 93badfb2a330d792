//! Requests of sides in a call: media, upgrades, messages, statistics, fresh credentials.

use std::time::Duration;

use callbox_base::ids::SessionId;
use serde_json::{Value, json};

use super::{World, ms};

fn accepted() -> (World, SessionId, SessionId) {
    let (mut world, alice, bob) = World::with_alice_and_bob();
    world.call(alice, "bob");
    world.ok(bob, "call:accept", json!({}));
    world.forget();
    (world, alice, bob)
}

fn one(world: &mut World, session: SessionId) -> (String, Value) {
    let mut received = world.received(session);
    assert_eq!(received.len(), 1, "{received:?}");
    received.remove(0)
}

#[test]
fn events_of_one_side_reach_the_other() {
    let (mut world, alice, bob) = accepted();
    world.ok(alice, "media:update", json!({ "muted": true }));
    world.ok(alice, "media:update", json!({ "video": false }));
    let received = world.received(bob);
    assert_eq!(received.len(), 2);
    let (name, data) = &received[1];
    assert_eq!(name, "media:updated");
    // The media that it reported before is unchanged.
    assert_eq!((&data["muted"], &data["video"]), (&json!(true), &json!(false)));
    assert_eq!((&data["held"], &data["userId"]), (&json!(false), &json!("alice")));
    let call = world.hub.calls(world.now).next().unwrap();
    let participants = json!(call.participants);
    assert_eq!(participants[0]["media"]["muted"], true);
    assert_eq!(participants[1]["media"], Value::Null);
    world.refused(alice, "media:update", json!({ "muted": "yes" }), "invalid_payload");
    world.assert_nothing_is_left();
}

#[test]
fn a_call_is_upgraded_when_both_want_it() {
    let (mut world, alice, bob) = World::with_alice_and_bob();
    world.ok(alice, "call:initiate", json!({ "targetUserId": "bob", "callType": "audio" }));
    let video = json!({ "callType": "video" });
    world.refused(alice, "call:upgrade", video.clone(), "invalid_state");
    world.ok(bob, "call:accept", json!({}));
    world.forget();
    // Refused.
    assert_eq!(world.ok(alice, "call:upgrade", video.clone())["callType"], "audio");
    let (name, data) = one(&mut world, bob);
    assert_eq!(
        (name.as_str(), &data["callType"], &data["from"]),
        ("call:upgrade", &json!("video"), &json!("alice"))
    );
    world.ok(bob, "call:upgrade", json!({ "callType": "video", "accept": false }));
    for side in [alice, bob] {
        let (name, data) = one(&mut world, side);
        assert_eq!((name.as_str(), &data["accepted"]), ("call:upgraded", &json!(false)));
        assert_eq!(data["callType"], "audio");
    }
    // Once it is refused it has to be asked for again.
    world.refused(
        bob,
        "call:upgrade",
        json!({ "callType": "video", "accept": false }),
        "invalid_state",
    );
    world.ok(alice, "call:upgrade", video.clone());
    // Asked twice is asked once; one's own yes is none.
    world.ok(alice, "call:upgrade", video.clone());
    world.forget();
    assert_eq!(world.ok(bob, "call:upgrade", video.clone())["callType"], "video");
    for side in [alice, bob] {
        assert_eq!(one(&mut world, side).1["accepted"], true);
    }
    assert_eq!(json!(world.hub.calls(world.now).next().unwrap())["type"], "video");
    world.refused(bob, "call:upgrade", video, "invalid_state");
    world.assert_nothing_is_left();
}

#[test]
fn messages_between_the_sides_have_any_content() {
    let (mut world, alice, bob) = accepted();
    world.ok(alice, "call:message", json!({ "data": { "hand": "raised" }, "from": "mallory" }));
    let (name, data) = one(&mut world, bob);
    assert_eq!((name.as_str(), &data["data"]["hand"]), ("call:message", &json!("raised")));
    assert_eq!((&data["from"], &data["fromDevice"]), (&json!("alice"), &json!("laptop")));
    world.refused(alice, "call:message", json!({}), "invalid_payload");
    let carol = world.open("carol", "phone");
    let call = data["callId"].clone();
    world.refused(carol, "call:message", json!({ "callId": call, "data": 1 }), "not_a_participant");
    world.close(bob);
    world.refused(alice, "call:message", json!({ "data": 1 }), "invalid_state");
    world.assert_nothing_is_left();
}

#[test]
fn the_quality_of_a_call_is_on_its_record() {
    let (mut world, alice, bob) = accepted();
    world.ok(alice, "call:stats", json!({ "rttMs": 40, "path": "host" }));
    world.ok(
        alice,
        "call:stats",
        json!({ "rttMs": 41.5, "lossPercent": 0.2, "path": "relay", "x": 1 }),
    );
    for bad in [
        json!({ "rttMs": -1 }),
        json!({ "lossPercent": 101 }),
        json!({ "path": "tunnel" }),
        json!({ "jitterMs": "low" }),
    ] {
        world.refused(bob, "call:stats", bad, "invalid_payload");
    }
    assert_eq!(world.names(bob), [""; 0], "the other side is not told");
    world.ok(bob, "call:end", json!({}));
    let record = json!(world.hub.calls(world.now).next().unwrap());
    let stats = &record["participants"][0]["stats"];
    assert_eq!(*stats, json!({ "rttMs": 41.5, "lossPercent": 0.2, "path": "relay" }));
    assert_eq!(record["participants"][1]["stats"], Value::Null);
    world.assert_nothing_is_left();
}

#[test]
fn relay_credentials_are_fresh_at_half_their_time() {
    let (mut world, alice, bob) = accepted();
    let half = world.hub.config().credential_ttl / 2;
    world.pass(half - ms(1));
    assert_eq!(world.names(alice), [""; 0]);
    for _ in 0..3 {
        world.pass(ms(1));
        let until = world.now.unix_secs() + 2 * half.as_secs();
        for (side, user) in [(alice, "alice"), (bob, "bob")] {
            let (name, data) = one(&mut world, side);
            assert_eq!(name, "ice:servers");
            let username = data["turnCredentials"]["username"].as_str().unwrap();
            assert!(username.starts_with(&format!("{until}:{user}:")), "{username}");
            assert_eq!(data["iceServers"][1]["username"], username);
        }
        world.pass(half - ms(1));
    }
    world.assert_nothing_is_left();
}

#[test]
fn relay_credentials_are_sent_on_request() {
    let (mut world, alice, _) = accepted();
    world.pass(Duration::from_secs(60));
    let answer = world.ok(alice, "ice:refresh", json!({}));
    let call = answer["callId"].as_str().expect("it is in a call").to_owned();
    let username = answer["turnCredentials"]["username"].as_str().unwrap();
    assert!(username.ends_with(&format!(":alice:{call}")), "{username}");
    assert!(answer["expiresAt"].is_string());
    let carol = world.open("carol", "phone");
    let answer = world.ok(carol, "ice:refresh", json!({}));
    let username = answer["turnCredentials"]["username"].as_str().unwrap();
    assert!(username.ends_with(":carol") && answer["callId"].is_null());
    world.refused(carol, "ice:refresh", json!({ "callId": call }), "not_a_participant");
}

#[test]
fn glare_puts_both_users_into_one_call() {
    for type_of_second in ["audio", "video"] {
        let (mut world, alice, bob) = World::with_alice_and_bob();
        let tablet = world.open("bob", "tablet");
        let first = world.call(alice, "bob");
        world.forget();
        let glare = json!({ "targetUserId": "alice", "callType": type_of_second });
        let answer = world.ok(bob, "call:initiate", glare.clone());
        assert_eq!((&answer["callId"], &answer["glare"]), (&json!(first), &json!(true)));
        assert_eq!(
            (&answer["state"], &answer["callType"]),
            (&json!("connecting"), &json!("video"))
        );
        let username = answer["turnCredentials"]["username"].as_str().unwrap();
        assert!(username.ends_with(&format!(":bob:{first}")));
        assert_eq!(world.names(alice), ["call:accepted"]);
        assert_eq!(world.reasons(tablet), ["answered_elsewhere"]);
        // Asked again while it is being answered, it is still the one.
        let again = world.ok(bob, "call:initiate", glare.clone());
        assert_eq!((&again["callId"], &again["glare"]), (&json!(first), &json!(true)));
        // Another device is not in it, and the user has as many calls as one may have.
        world.refused(tablet, "call:initiate", glare, "too_many_calls");
        assert_eq!(world.hub.stats().counters.calls_started, 1);
        world.ok(bob, "call:end", json!({}));
        assert_eq!(world.reasons(alice), ["hangup"]);
        world.assert_nothing_is_left();
    }
}
