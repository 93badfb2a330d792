//! Authentication, namespaces, devices and origins of connections.

use serde_json::{Value, json};

use super::CONNECTIONS;
use crate::common::{Server, http, socketio::Client};

#[tokio::test]
async fn a_connection_is_refused_with_a_code_and_a_message() {
    let server = Server::start();
    for (auth, code) in [
        (json!({ "token": "nonsense" }), "unauthorized"),
        (json!({}), "unauthorized"),
        (json!({ "token": 5 }), "invalid_payload"),
        (json!({ "token": server.token("alice"), "deviceId": "" }), "invalid_payload"),
    ] {
        let mut client = Client::connect(&server).await;
        let answer = client.auth(&auth).await;
        let error: Value = serde_json::from_str(answer.strip_prefix("44").unwrap()).unwrap();
        let message = error["message"].as_str().unwrap();
        assert!(message.starts_with(&format!("{code}: ")), "{message}");
    }
    let mut client = Client::connect(&server).await;
    client.send("40").await;
    assert!(client.packet().await.unwrap().starts_with("44{\"message\":\"unauthorized: "));
    // The same transport may retry until the time for authentication is over.
    let connected = client.auth(&json!({ "token": server.token("alice") })).await;
    assert!(connected.starts_with("40{\"sid\":"), "{connected}");
}

#[tokio::test]
async fn an_unauthenticated_connection_times_out() {
    let server = Server::start();
    let mut client = Client::connect(&server).await;
    client.auth(&json!({ "token": "nonsense" })).await;
    while let Some(packet) = client.packet().await {
        assert!(!packet.starts_with("42"), "{packet}");
    }
}

#[tokio::test]
async fn a_lost_transport_is_a_lost_connection() {
    let server = Server::start();
    let mut alice = Client::sign_in(&server, "alice").await;
    let mut bob = Client::sign_in(&server, "bob").await;
    alice.request("call:initiate", json!({ "targetUserId": "bob", "callType": "audio" })).await;
    bob.request("call:accept", json!({})).await;
    drop(alice);
    assert_eq!(bob.event("call:reconnecting").await["userId"], "alice");
    server.wait_for_metric(CONNECTIONS, |value| value == 1.0);
}

#[tokio::test]
async fn there_is_only_the_default_namespace() {
    let server = Server::start();
    let mut client = Client::connect(&server).await;
    client.send(r#"40/admin,{"token":"x"}"#).await;
    let refused = client.packet().await.unwrap();
    assert_eq!(refused, r#"44/admin,{"message":"Invalid namespace"}"#);
    // The session continues; an event before the namespace is connected ends it.
    let connected = client.auth(&json!({ "token": server.token("alice") })).await;
    assert!(connected.starts_with("40{\"sid\":"), "{connected}");
    let mut stranger = Client::connect(&server).await;
    stranger.emit("call:end", &json!({})).await;
    let close = stranger.close_frame().await.expect("a close frame with a reason");
    assert_eq!(
        (u16::from(close.code), &*close.reason),
        (4400, "invalid_frame: It is no packet of Socket.IO.")
    );
}

#[tokio::test]
async fn a_disconnected_client_can_reconnect_on_the_same_transport() {
    let server = Server::start();
    let mut client = Client::sign_in(&server, "alice").await;
    client.send("41").await;
    server.wait_for_metric(CONNECTIONS, |value| value == 0.0);
    let connected = client.auth(&json!({ "token": server.token("alice") })).await;
    assert!(connected.starts_with("40{\"sid\":"), "{connected}");
    client.event("session:welcome").await;
    assert_eq!(client.ask("call:end", json!({})).await["error"]["code"], "call_id_required");
    // It is closed if it does not reconnect.
    client.send("41").await;
    while client.packet().await.is_some() {}
}

/// `socket.io-client` since 4.6 sends back its `pid`.
#[tokio::test]
async fn a_client_that_presents_its_pid_is_the_same_device() {
    let server = Server::start();
    let connect = async |auth: Value| {
        let mut client = Client::connect(&server).await;
        let connected = client.auth(&auth).await;
        let connected: Value = serde_json::from_str(connected.strip_prefix("40").unwrap()).unwrap();
        let welcome = client.event("session:welcome").await;
        (client, connected["pid"].clone(), welcome["deviceId"].clone())
    };
    let (_first, pid, device) = connect(json!({ "token": server.token("alice") })).await;
    let (_again, next, same) = connect(json!({ "token": server.token("alice"), "pid": pid })).await;
    assert_eq!(same, device);
    assert_ne!(next, pid, "or it would believe to have missed nothing");
    let (_tab, _, other) = connect(json!({ "token": server.token("alice") })).await;
    assert_ne!(other, device);
    // A client that names its device needs none.
    let named =
        connect(json!({ "token": server.token("alice"), "deviceId": "laptop", "pid": pid }));
    let (_named, none, device) = named.await;
    assert_eq!((none, device), (Value::Null, json!("laptop")));
}

#[tokio::test]
async fn pages_of_other_origins_are_refused_and_configured_ones_can_read() {
    let server = Server::with(&["--allow-origin", "https://app.example.com"]);
    let path = "/socket.io/?EIO=4&transport=polling";
    let ask = |method: &str, origin: &str| {
        http::request(server.authority(), method, path, &[("origin", origin.to_owned())], None)
    };
    assert_eq!(ask("GET", "https://evil.example").error(), "origin_not_allowed");
    let good = ask("GET", "https://app.example.com");
    assert_eq!(good.status, 200);
    assert_eq!(good.header("access-control-allow-origin"), Some("https://app.example.com"));
    let preflight = ask("OPTIONS", "https://app.example.com");
    assert_eq!(preflight.status, 204);
    assert_eq!(
        preflight.header("access-control-allow-headers"),
        Some("authorization, content-type")
    );
}
