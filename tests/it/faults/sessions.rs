//! The faults of events and of sessions' connections.

use std::time::{Duration, Instant};

use futures_util::StreamExt;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use super::{ask, end, put, start};
use crate::common::{socketio, websocket::Client, within};

/// Calls from alice, and returns the id of the call.
async fn call(alice: &mut Client) -> Value {
    let call = json!({ "targetUserId": "bob", "callType": "audio" });
    alice.request("call:initiate", call).await["callId"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_dropped_sent_twice_and_held_back_on_both_fronts() {
    let server = start();
    let mut alice = Client::sign_in(&server, "alice").await;
    let mut bob = Client::sign_in(&server, "bob").await;
    let mut io = socketio::Client::sign_in(&server, "bob").await;
    put(
        &server,
        &json!({ "events": [
        { "event": "call:incoming", "effect": "duplicate", "for": { "userId": "bob" } },
        { "event": "call:ringing", "effect": "drop", "for": { "userId": "bob" } },
    ] }),
    );
    let id = call(&mut alice).await;
    for _ in 0..2 {
        assert_eq!(bob.seed_event().await.0, "call:incoming");
        assert_eq!(io.seed_event().await.0, "call:incoming");
    }
    // Both are told of the end, and one of them only of the end.
    put(
        &server,
        &json!({ "events": [
        { "event": "call:ended", "effect": "delay", "delayMs": 300, "for": { "callId": id } },
        { "event": "call:ended", "effect": "drop", "for": { "userId": "alice" } },
    ] }),
    );
    let ended = Instant::now();
    alice.request("call:end", json!({ "callId": id })).await;
    assert_eq!(bob.seed_event().await.0, "call:ended");
    assert!(ended.elapsed() >= Duration::from_millis(300), "{:?}", ended.elapsed());
    assert_eq!(io.seed_event().await.0, "call:ended");

    put(
        &server,
        &json!({ "events": [
        { "event": "call:incoming", "effect": "drop", "count": 2 },
    ] }),
    );
    let lost = call(&mut alice).await;
    alice.request("call:end", json!({ "callId": lost })).await;
    assert_eq!(bob.seed_event().await.0, "call:ended");
    let report = ask(&server, "GET", None).json();
    assert_eq!(report["events"][0]["left"], 0);
    assert_eq!(report["injected"]["eventsDropped"], 2);
    let heard = call(&mut alice).await;
    let (name, data) = bob.seed_event().await;
    assert_eq!((&*name, &data["callId"]), ("call:incoming", &heard));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_cut_without_a_word_on_both_fronts() {
    let server = start();
    let mut bob = Client::sign_in(&server, "bob").await;
    let mut io = socketio::Client::sign_in(&server, "bob").await;
    let mut alice = Client::sign_in(&server, "alice").await;
    let cut = json!({ "action": "cutSession", "for": { "userId": "bob" } });
    let cut = put(&server, &json!({ "actions": [cut] }));
    assert_eq!(cut["actions"], json!([{ "action": "cutSession", "affected": 2 }]));
    let last = within("the end", bob.ws.next()).await;
    assert!(!matches!(last, Some(Ok(_))), "{last:?}");
    assert_eq!(io.close_frame().await, None);
    // Alice goes on, and bob may come back.
    alice.request("presence:subscribe", json!({ "userIds": ["bob"] })).await;
    Client::sign_in(&server, "bob").await;
}

/// The sessions in a call are those of the devices in it.
#[tokio::test(flavor = "multi_thread")]
async fn only_the_devices_of_a_call_are_cut_with_it() {
    let server = start();
    let mut alice = Client::sign_in_on(&server, "alice", Some("laptop")).await;
    let mut phone = Client::sign_in_on(&server, "alice", Some("phone")).await;
    let mut bob = Client::sign_in(&server, "bob").await;
    let id = call(&mut alice).await;
    bob.event("call:incoming").await;
    bob.request("call:accept", json!({ "callId": id })).await;
    let cut = json!({ "action": "cutSession", "for": { "callId": id, "userId": "alice" } });
    assert_eq!(put(&server, &json!({ "actions": [cut] }))["actions"][0]["affected"], 1);
    phone.request("presence:subscribe", json!({ "userIds": ["bob"] })).await;
    bob.request("presence:subscribe", json!({ "userIds": ["alice"] })).await;
    loop {
        match within("the end", alice.ws.next()).await {
            Some(Ok(Message::Text(_))) => {}
            end => break assert!(!matches!(end, Some(Ok(_))), "{end:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_session_hears_and_is_heard_when_the_silence_is_over() {
    let server = start();
    let mut bob = Client::sign_in(&server, "bob").await;
    let mut io = socketio::Client::sign_in(&server, "bob").await;
    let mut alice = Client::sign_in(&server, "alice").await;
    let half_open = json!({ "action": "halfOpenSession", "for": { "userId": "bob" } });
    put(&server, &json!({ "actions": [half_open] }));
    // Requests are not read.
    bob.send("presence:subscribe", Some(99), &json!({ "userIds": ["alice"] })).await;
    let id = call(&mut alice).await;
    let short = Duration::from_millis(200);
    assert!(tokio::time::timeout(short, bob.ws.next()).await.is_err());
    assert!(tokio::time::timeout(short, io.packet()).await.is_err());
    end(&server);
    assert_eq!(bob.event("call:incoming").await["callId"], id);
    assert_eq!(bob.answer(99).await["ok"], true);
    assert_eq!(io.event("call:incoming").await["callId"], id);

    let stall = json!({ "action": "stallSession", "for": { "userId": "bob" }, "forMs": 300 });
    let since = Instant::now();
    put(&server, &json!({ "actions": [stall] }));
    alice.request("call:end", json!({ "callId": id })).await;
    bob.event("call:ended").await;
    io.event("call:ended").await;
    assert!(since.elapsed() >= Duration::from_millis(300), "{:?}", since.elapsed());
}

/// A session that is resumed is sent the event again, by its number.
#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_was_held_back_is_not_repeated_after_a_resume() {
    let server = start();
    let mut alice = Client::sign_in(&server, "alice").await;
    let bob = Client::sign_in_on(&server, "bob", Some("phone")).await;
    let late =
        json!({ "event": "call:incoming", "effect": "delay", "delayMs": 60_000, "count": 1 });
    put(&server, &json!({ "events": [late] }));
    let id = call(&mut alice).await;
    let session = json!({ "sessionId": bob.welcome["sessionId"], "seq": 0 });
    drop(bob);
    let mut bob = Client::connect(&server).await;
    let hello = json!({ "token": server.token("bob"), "deviceId": "phone", "resume": session });
    bob.send("session:hello", Some(0), &hello).await;
    assert_eq!(bob.event("session:welcome").await["resumed"], true);
    let (name, data) = bob.seed_event().await;
    assert_eq!((&*name, &data["callId"]), ("call:incoming", &id));
    // Without faults, what is held back is sent at once.
    end(&server);
    alice.request("call:end", json!({ "callId": id })).await;
    assert_eq!(bob.seed_event().await.0, "call:ended");
}
