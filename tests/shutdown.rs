//! How the server stops: everyone hears of it, and then it is gone.

mod common;

use std::net::{TcpListener, UdpSocket};

use common::{Server, socketio, websocket};
use serde_json::json;

#[tokio::test]
async fn calls_end_and_everyone_hears_of_it() {
    let server = Server::start();
    let mut alice = websocket::Client::sign_in(&server, "alice").await;
    let mut bob = socketio::Client::sign_in(&server, "bob").await;
    // One who has not said who it is, and one who has asked for nothing.
    let mut stranger = websocket::Client::connect(&server).await;
    let _idle = std::net::TcpStream::connect(server.authority()).unwrap();
    alice.request("call:initiate", json!({ "targetUserId": "bob", "callType": "audio" })).await;
    bob.request("call:accept", json!({})).await;

    server.terminate();
    let ended = alice.event("call:ended").await;
    assert_eq!((&ended["reason"], &ended["endedBy"]), (&json!("server_shutdown"), &json!(null)));
    let (code, reason) = alice.closed().await;
    assert_eq!((code, reason.split(':').next()), (1001, Some("server_shutdown")));
    assert_eq!(bob.event("call:ended").await["reason"], "server_shutdown");
    assert_eq!(bob.event("error").await["error"]["code"], "server_shutdown");
    while bob.packet().await.is_some() {}
    assert_eq!(stranger.closed().await.0, 1001);

    let http = server.authority().to_owned();
    let stun = server.text("/stun/0").strip_prefix("stun:").unwrap().to_owned();
    let (status, stderr) = server.wait();
    assert!(status.success(), "{stderr}");
    assert!(!stderr.contains("ERROR") && !stderr.contains("panicked"), "{stderr}");
    // Its addresses are free again.
    assert!(TcpListener::bind(http).is_ok());
    assert!(UdpSocket::bind(stun).is_ok());
}

#[tokio::test]
async fn a_client_that_does_not_answer_holds_nobody_up() {
    let server = Server::start();
    // It neither reads nor writes from here on.
    let _silent = websocket::Client::sign_in(&server, "alice").await;
    let _other = socketio::Client::sign_in(&server, "bob").await;
    server.terminate();
    let (status, stderr) = server.wait();
    assert!(status.success(), "{stderr}");
}

#[test]
fn no_secret_is_logged_at_any_level() {
    let server = Server::with(&["--log-level", "trace"]);
    let secrets: Vec<String> = ["authSecret", "jwtSecret", "apiKey"]
        .map(|name| server.text(&format!("/dev/{name}")).to_owned())
        .into();
    let token = server.token("alice");
    let answer = server.get("/api/v1/ice-servers", Some(&token)).json();
    let password = answer["turnCredentials"]["password"].as_str().unwrap().to_owned();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let mut alice = websocket::Client::sign_in(&server, "alice").await;
        let mut bob = socketio::Client::sign_in(&server, "bob").await;
        let initiate = json!({ "targetUserId": "bob", "callType": "audio" });
        let call = alice.request("call:initiate", initiate).await["callId"].clone();
        bob.request("call:accept", json!({})).await;
        alice.request("signal:offer", json!({ "callId": call, "sdp": "the-description" })).await;
        let candidate = json!({ "callId": call, "candidate": "the-candidate" });
        bob.request("ice:candidate", candidate).await;
        bob.event("signal:offer").await;
        let mut third = socketio::Client::connect(&server).await;
        third.auth(&json!({ "token": "the-wrong-token" })).await;
    });
    server.terminate();
    let (_, stderr) = server.wait();
    let hidden = ["the-description", "the-candidate", "the-wrong-token", &token, &password];
    for text in secrets.iter().map(String::as_str).chain(hidden) {
        assert!(!stderr.contains(text), "{text} was logged");
    }
}
