//! The published call flow, event for event, through the real binary: on the plain WebSocket front,
//! on the Socket.IO front, and between the two.

use callbox_client::payload_of;
use serde_json::{Value, json};

use crate::{
    common::{Server, socketio, websocket},
    support::plain_client::PlainClient,
};

/// One side of a call, on either front.
enum Side {
    WebSocket(Box<websocket::Client>),
    SocketIo(Box<socketio::Client>),
}

impl Side {
    async fn websocket(server: &Server, user: &str) -> Self {
        Self::WebSocket(Box::new(websocket::Client::sign_in(server, user).await))
    }

    async fn socketio(server: &Server, user: &str) -> Self {
        Self::SocketIo(Box::new(socketio::Client::sign_in(server, user).await))
    }

    async fn request(&mut self, event: &str, data: Value) -> Value {
        match self {
            Self::WebSocket(client) => client.request(event, data).await,
            Self::SocketIo(client) => client.request(event, data).await,
        }
    }

    /// Sends an event without waiting for a response.
    async fn emit(&mut self, event: &str, data: Value) {
        match self {
            Self::WebSocket(client) => client.send(event, None, &data).await,
            Self::SocketIo(client) => client.emit(event, &data).await,
        }
    }

    /// Returns the next event, which must be this one.
    async fn expect_event(&mut self, event: &str) -> Value {
        let (name, data) = match self {
            Self::WebSocket(client) => client.seed_event().await,
            Self::SocketIo(client) => client.seed_event().await,
        };
        assert_eq!(name, event, "{data}");
        data
    }
}

/// Runs the call flow: no other event may come, and none in another order.
async fn run_call_flow(server: &Server, mut a: Side, mut b: Side, target: &str) {
    let initiate = json!({ "targetUserId": target, "callType": "video" });
    let initiated = a.request("call:initiate", initiate).await;
    let call = initiated["callId"].clone();
    assert_eq!(initiated["state"], "ringing");
    let incoming = b.expect_event("call:incoming").await;
    assert_eq!((&incoming["callId"], &incoming["callType"]), (&call, &json!("video")));
    for credentials in [&initiated["turnCredentials"], &incoming["turnCredentials"]] {
        let username = credentials["username"].as_str().unwrap();
        assert!(username.ends_with(&format!(":{}", call.as_str().unwrap())), "{username}");
    }

    b.request("call:accept", json!({ "callId": call })).await;
    let accepted = a.expect_event("call:accepted").await;
    assert_eq!((&accepted["callId"], &accepted["calleeId"]), (&call, &json!(target)));

    // Candidates overtake the descriptions. They are held back, so that no browser gets a candidate
    // before its description.
    let candidate = |line: &str| json!({ "candidate": line, "sdpMid": "0", "sdpMLineIndex": 0 });
    let (from_a, from_b) =
        (candidate("candidate:1 1 udp 1 192.0.2.1 1 typ srflx"), candidate("candidate:2"));
    a.emit("ice:candidate", json!({ "callId": call, "candidate": from_a })).await;
    b.emit("ice:candidate", json!({ "callId": call, "candidate": from_b })).await;
    a.emit("signal:offer", json!({ "callId": call, "sdp": "v=0 offer" })).await;
    assert_eq!(b.expect_event("signal:offer").await["sdp"], "v=0 offer");
    assert_eq!(b.expect_event("ice:candidate").await["candidate"], from_a);
    b.emit("signal:answer", json!({ "callId": call, "sdp": "v=0 answer" })).await;
    // B's candidate may have been held for the maximum time, and then it comes first.
    let mut received = [a.expect_one_of(["signal:answer", "ice:candidate"]).await, Value::Null];
    received[1] = a.expect_one_of(["signal:answer", "ice:candidate"]).await;
    assert!(received.iter().any(|data| data["sdp"] == "v=0 answer"), "{received:?}");
    assert!(received.iter().any(|data| data["candidate"] == from_b), "{received:?}");

    a.request("call:end", json!({ "callId": call })).await;
    let ended = b.expect_event("call:ended").await;
    assert_eq!((&ended["callId"], &ended["reason"]), (&call, &json!("hangup")));

    let key = server.text("/dev/apiKey");
    let record = server.get(&format!("/api/v1/calls/{}", call.as_str().unwrap()), Some(key)).json();
    assert_eq!(record["state"], "ended");
    assert_eq!(record["relay"], json!({ "allocations": 0, "bytesUp": 0, "bytesDown": 0 }));
}

impl Side {
    async fn expect_one_of(&mut self, events: [&str; 2]) -> Value {
        let (name, data) = match self {
            Self::WebSocket(client) => client.seed_event().await,
            Self::SocketIo(client) => client.seed_event().await,
        };
        assert!(events.contains(&name.as_str()), "{name}: {data}");
        data
    }
}

#[tokio::test]
async fn the_call_flow_works_over_plain_websocket() {
    let server = Server::start();
    let a = Side::websocket(&server, "alice").await;
    let b = Side::websocket(&server, "bob").await;
    run_call_flow(&server, a, b, "bob").await;
}

#[tokio::test]
async fn the_call_flow_works_over_socket_io() {
    let server = Server::start();
    let a = Side::socketio(&server, "alice").await;
    let b = Side::socketio(&server, "bob").await;
    run_call_flow(&server, a, b, "bob").await;
}

#[tokio::test]
async fn the_call_flow_works_between_the_fronts() {
    let server = Server::start();
    let a = Side::websocket(&server, "alice").await;
    let b = Side::socketio(&server, "bob").await;
    run_call_flow(&server, a, b, "bob").await;
    let c = Side::socketio(&server, "carol").await;
    let d = Side::websocket(&server, "dave").await;
    run_call_flow(&server, c, d, "dave").await;
    assert_eq!(server.metric("callbox_calls_ended_total{reason=\"hangup\"}"), 2.0);
}

#[tokio::test]
async fn a_relayed_call_shows_its_bytes() {
    use std::net::UdpSocket;
    let dir = tempfile::tempdir().unwrap();
    let records = dir.path().join("calls.jsonl");
    let server = Server::with(&["--call-records", records.to_str().unwrap()]);
    let mut alice = websocket::Client::sign_in(&server, "alice").await;
    let mut bob = websocket::Client::sign_in(&server, "bob").await;
    let initiate = json!({ "targetUserId": "bob", "callType": "audio" });
    let call = alice.request("call:initiate", initiate).await;
    bob.request("call:accept", json!({ "callId": call["callId"] })).await;

    let address = server.text("/turn/0").strip_prefix("turn:").unwrap();
    let address = address.strip_suffix("?transport=udp").unwrap();
    let text = |name: &str| call["turnCredentials"][name].as_str().unwrap().to_owned();
    let (at, realm) = (address.parse().unwrap(), server.text("/realm"));
    let client = PlainClient::allocate_as(at, realm, &text("username"), &text("password"));
    let peer = UdpSocket::bind("127.0.0.1:0").unwrap();
    peer.set_read_timeout(Some(crate::common::DEADLINE)).unwrap();
    client.permit(peer.local_addr().unwrap());
    client.send(peer.local_addr().unwrap(), b"0123456789");
    let mut buffer = [0; 100];
    let (len, from) = peer.recv_from(&mut buffer).unwrap();
    assert_eq!(&buffer[..len], b"0123456789");
    peer.send_to(b"01234", from).unwrap();
    assert_eq!(payload_of(&client.receive()), Some(&b"01234"[..]));

    server.wait_for_metric("callbox_relayed_bytes_total{direction=\"down\"}", |bytes| bytes == 5.0);
    assert_eq!(server.metric("callbox_relayed_bytes_total{direction=\"up\"}"), 10.0);
    assert_eq!(server.metric("callbox_allocations"), 1.0);
    let path = format!("/api/v1/calls/{}", call["callId"].as_str().unwrap());
    let relay = || server.get(&path, Some(server.text("/dev/apiKey"))).json()["relay"].clone();
    let expected = json!({ "allocations": 1, "bytesUp": 10, "bytesDown": 5 });
    assert_eq!(relay(), expected);
    // The allocation ends with the call, whatever the client does.
    bob.request("call:end", json!({})).await;
    server.wait_for_metric("callbox_allocations", |allocations| allocations == 0.0);
    assert_eq!(relay(), expected);
    server.wait_for_metric("callbox_call_records_total{fate=\"written\"}", |it| it == 1.0);
    let record: Value = serde_json::from_slice(&std::fs::read(records).unwrap()).unwrap();
    assert_eq!((&record["reason"], &record["relay"]), (&json!("hangup"), &expected));
}

/// A subscriber on one front is notified of presence and calls on the other.
#[tokio::test]
async fn presence_is_sent_on_both_fronts() {
    let server = Server::start();
    let mut alice = Side::websocket(&server, "alice").await;
    let mut bob = Side::socketio(&server, "bob").await;
    for (watcher, user) in [(&mut alice, "dave"), (&mut bob, "carol")] {
        let answer = watcher.request("presence:subscribe", json!({ "userIds": [user] })).await;
        assert_eq!(answer["presence"], json!([{ "userId": user, "status": "offline" }]));
    }
    let mut carol = Side::websocket(&server, "carol").await;
    let mut dave = Side::socketio(&server, "dave").await;
    let changed = |user, status| json!({ "userId": user, "status": status });
    assert_eq!(alice.expect_event("presence:changed").await, changed("dave", "online"));
    assert_eq!(bob.expect_event("presence:changed").await, changed("carol", "online"));
    carol.request("call:initiate", json!({ "targetUserId": "dave", "callType": "audio" })).await;
    dave.request("call:accept", json!({})).await;
    assert_eq!(alice.expect_event("presence:changed").await, changed("dave", "busy"));
    assert_eq!(bob.expect_event("presence:changed").await, changed("carol", "busy"));
    assert_eq!(server.metric("callbox_presence_subscriptions"), 2.0);
    drop(dave);
    // dave cannot resume the session.
    assert_eq!(alice.expect_event("presence:changed").await, changed("dave", "offline"));
}
