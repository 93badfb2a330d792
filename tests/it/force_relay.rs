//! `--force-relay`: clients are told to use the relay alone.

use serde_json::{Value, json};

use crate::common::{Server, socketio, websocket};

#[tokio::test]
async fn every_message_with_servers_has_the_policy() {
    let server = Server::with(&["--force-relay"]);
    assert_eq!(server.ready["forceRelay"], true);
    let mut alice = websocket::Client::sign_in(&server, "alice").await;
    let mut bob = socketio::Client::sign_in(&server, "bob").await;
    assert_eq!(alice.welcome["iceTransportPolicy"], "relay");
    let refreshed = alice.request("ice:refresh", json!({})).await;
    assert_eq!(refreshed["iceTransportPolicy"], "relay");
    let call = json!({ "targetUserId": "bob", "callType": "audio" });
    let initiated = alice.request("call:initiate", call).await;
    assert_eq!(initiated["iceTransportPolicy"], "relay");
    assert_eq!(bob.event("call:incoming").await["iceTransportPolicy"], "relay");
    let room = json!({ "roomId": "r", "callType": "audio" });
    let mut carol = websocket::Client::sign_in(&server, "carol").await;
    assert_eq!(carol.request("room:join", room).await["iceTransportPolicy"], "relay");
    let asked = server.get("/api/v1/ice-servers", Some(&server.token("carol"))).json();
    assert_eq!(asked["iceTransportPolicy"], "relay");
    // Both STUN and the relay are still listed.
    assert_eq!(asked["iceServers"].as_array().map(Vec::len), Some(2));

    server.terminate();
    let (_, log) = server.wait();
    assert!(log.contains("WARN") && log.contains("--force-relay: clients are told"), "{log}");
}

#[tokio::test]
async fn without_it_nothing_is_said_of_a_policy() {
    let server = Server::start();
    let alice = websocket::Client::sign_in(&server, "alice").await;
    assert_eq!(alice.welcome.get("iceTransportPolicy"), None);
    assert_eq!(server.ready.get("forceRelay"), None);
    let asked: Value = server.get("/api/v1/ice-servers", Some(&server.token("alice"))).json();
    assert_eq!(asked.get("iceTransportPolicy"), None);
}
