//! The shutdown of the server: every client is notified before it ends.

use std::net::{TcpListener, UdpSocket};

use serde_json::json;

use crate::common::{Server, socketio, websocket};

#[tokio::test]
async fn calls_end_and_every_client_is_notified() {
    let server = Server::start();
    let mut alice = websocket::Client::sign_in(&server, "alice").await;
    let mut bob = socketio::Client::sign_in(&server, "bob").await;
    // A client without a `hello`, and one without a request.
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
    // The addresses are free again.
    assert!(TcpListener::bind(http).is_ok());
    assert!(UdpSocket::bind(stun).is_ok());
}

#[tokio::test]
async fn a_silent_client_does_not_delay_the_shutdown() {
    let server = Server::start();
    // The client neither reads nor writes from here on.
    let _silent = websocket::Client::sign_in(&server, "alice").await;
    let _other = socketio::Client::sign_in(&server, "bob").await;
    server.terminate();
    let (status, stderr) = server.wait();
    assert!(status.success(), "{stderr}");
}
