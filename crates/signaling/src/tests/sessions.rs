//! Sessions, tokens and limits.

use std::time::Duration;

use serde_json::{Value, json};

use super::{Input, RequestId, World, candidate, ms, sdp};
use crate::{CloseReason, ErrorCode};

#[test]
fn a_session_is_welcomed() {
    let mut world = World::new(|_| {});
    let alice = world.open("alice", "laptop");
    let (name, data) = &world.received[&alice][0];
    assert_eq!(name, "welcome");
    assert_eq!(data["sessionId"], json!(alice));
    assert_eq!((&data["userId"], &data["deviceId"]), (&json!("alice"), &json!("laptop")));
    assert_eq!(data["turnCredentials"]["username"], "1700003600:alice");
    assert_eq!(data["iceServers"].as_array().map(Vec::len), Some(2));
}

#[test]
fn without_a_secret_there_are_no_relay_credentials() {
    let mut world = World::new(|config| config.turn_secrets = Default::default());
    let alice = world.open("alice", "laptop");
    let data = &world.received[&alice][0].1;
    assert_eq!(data["turnCredentials"], Value::Null);
    assert_eq!(data["iceServers"], json!([{ "urls": ["stun:192.0.2.1:3478"] }]));
}

#[test]
fn a_session_ends_with_its_token() {
    let mut world = World::new(|_| {});
    let start = world.now.unix_secs();
    let alice = world.open_until("alice", "laptop", start + 60);
    let bob = world.open("bob", "phone");
    world.call(alice, "bob");
    world.ok(bob, "call:accept", json!({}));
    world.pass(ms(64_999));
    assert_eq!(world.closed.len(), 0);
    world.pass(ms(1));
    assert_eq!(world.closed[&alice], CloseReason::TokenExpired);
    assert_eq!(world.names(bob).last().map(String::as_str), Some("call:reconnecting"));

    // A fresh token on the same device saves the call; a stale one does not get in.
    let stale = world.open_until("alice", "laptop", start + 60);
    assert_eq!(world.closed[&stale], CloseReason::TokenExpired);
    world.open("alice", "laptop");
    assert_eq!(world.names(bob), ["call:reconnected"]);
    world.assert_nothing_is_left();
}

#[test]
fn a_token_may_outlive_every_clock() {
    let mut world = World::new(|_| {});
    let alice = world.open_until("alice", "laptop", u64::MAX);
    world.pass(Duration::from_secs(400 * 24 * 3600));
    assert_eq!(world.closed.len(), 0);
    world.ok(alice, "call:initiate", json!({ "targetUserId": "bob", "callType": "audio" }));
}

#[test]
fn sessions_are_limited() {
    let mut world = World::new(|config| {
        config.max_sessions = 3;
        config.max_sessions_per_user = 2;
    });
    let one = world.open("alice", "one");
    world.open("alice", "two");
    let three = world.open("alice", "three");
    assert_eq!(world.closed[&three], CloseReason::TooManyConnections);
    world.open("bob", "one");
    let carol = world.open("carol", "one");
    assert_eq!(world.closed[&carol], CloseReason::TooManyConnections);
    // A device that comes back is not one more.
    world.open("alice", "one");
    assert_eq!(world.closed[&one], CloseReason::Replaced);
    assert_eq!(world.hub.stats().sessions, 3);
    let closed = world.hub.stats().counters.sessions_closed;
    assert_eq!(closed.get(CloseReason::TooManyConnections), 2);
}

#[test]
fn excess_events_are_refused_and_then_close_the_session() {
    let mut world = World::new(|config| {
        config.events_per_second = 10;
        config.event_burst = 5;
    });
    let (alice, bob) = (world.open("alice", "laptop"), world.open("bob", "phone"));
    world.call(alice, "bob");
    world.ok(bob, "call:accept", json!({}));
    world.ok(alice, "signal:offer", sdp("a"));
    for n in 0..3 {
        world.ok(alice, "ice:candidate", candidate(n));
    }
    let answer = world.ask(alice, "ice:candidate", candidate(4));
    assert_eq!(answer["error"]["code"], "rate_limited");
    assert_eq!(answer["error"]["retryAfterMs"], 100);
    world.pass(ms(100));
    world.ok(alice, "ice:candidate", candidate(4));

    // Bob is not slowed by what alice sends.
    world.forget();
    for n in 0..15 {
        world.emit(alice, "ice:candidate", candidate(n));
    }
    assert_eq!(world.names(alice), ["error"]);
    world.ok(bob, "signal:answer", sdp("b"));
    assert_eq!(world.names(alice), ["signal:answer"]);
    assert_eq!(world.closed.len(), 0);
    world.emit(alice, "ice:candidate", candidate(9));
    assert_eq!(world.closed[&alice], CloseReason::RateLimited);
    assert_eq!(world.names(bob), ["call:reconnecting"]);
    assert_eq!(world.hub.stats().counters.errors.get(ErrorCode::RateLimited), 16);
}

/// The limit is the user's: a second device is not a second burst.
#[test]
fn frequent_calls_are_limited() {
    let mut world = World::new(|config| {
        config.calls_per_minute = 60;
        config.call_burst = 5;
    });
    let (laptop, phone) = (world.open("alice", "laptop"), world.open("alice", "phone"));
    let bob = world.open("bob", "phone");
    // A request that begins no call does not count.
    let nobody = json!({ "targetUserId": "nobody", "callType": "audio" });
    let oneself = json!({ "targetUserId": "alice", "callType": "audio" });
    for _ in 0..10 {
        world.refused(laptop, "call:initiate", oneself.clone(), "invalid_target");
    }
    for _ in 0..5 {
        world.call(laptop, "nobody");
    }
    for device in [laptop, phone] {
        let answer = world.ask(device, "call:initiate", nobody.clone());
        assert_eq!(answer["error"]["code"], "rate_limited");
        assert_eq!(answer["error"]["retryAfterMs"], 1000);
    }
    let counters = world.hub.stats().counters;
    assert_eq!((counters.calls_started, counters.errors.get(ErrorCode::RateLimited)), (5, 2));

    // Others may call, even alice; and she may again once there is a token.
    world.call(bob, "alice");
    world.ok(phone, "call:accept", json!({}));
    world.ok(phone, "call:end", json!({}));
    world.pass(ms(999));
    world.refused(phone, "call:initiate", nobody.clone(), "rate_limited");
    world.pass(ms(1));
    world.call(phone, "nobody");
    world.refused(laptop, "call:initiate", nobody, "rate_limited");
    assert_eq!(world.closed.len(), 0);
    world.assert_nothing_is_left();
}

#[test]
fn the_rate_of_calls_can_be_unlimited() {
    let mut world = World::new(|config| {
        config.calls_per_minute = 0;
        config.calls_per_pair = 0;
    });
    let alice = world.open("alice", "laptop");
    for _ in 0..100 {
        world.call(alice, "nobody");
    }
}

/// A front may still be handing over what it had read.
#[test]
fn a_session_that_is_gone_is_not_answered() {
    let (mut world, alice, _) = World::with_alice_and_bob();
    world.close(alice);
    let (id, event) = (Some(RequestId(1)), "call:end".into());
    assert_eq!(
        world.input(Input::Request { session: alice, id, event, data: json!({}).into() }),
        None
    );
    world.close(alice);
}

#[test]
fn the_same_inputs_give_the_same_outputs() {
    let run = || {
        let (mut world, alice, bob) = World::with_alice_and_bob();
        world.call(alice, "bob");
        world.ok(bob, "call:accept", json!({}));
        world.received
    };
    assert_eq!(run(), run());
}
