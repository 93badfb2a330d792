//! Sessions that use polling, their upgrade, and the older protocol.

use std::time::Duration;

use futures_util::SinkExt;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_tungstenite::{connect_async, tungstenite::Message};

use super::{
    CONNECTIONS,
    session::{Polling, refused, refused_then_gone},
};
use crate::common::{Server, http, socketio::Client};

#[tokio::test]
async fn polling_works_without_a_websocket() {
    let server = Server::start();
    let session = Polling::open(&server);
    assert_eq!(session.max_payload, 65536);
    let auth = json!({ "token": server.token("alice"), "deviceId": "laptop" });
    assert_eq!(session.send(&format!("40{auth}")).body, "ok");
    let welcome = session.poll_until("session:welcome");
    assert!(welcome.contains("\"deviceId\":\"laptop\""), "{welcome}");
    session.send("421[\"call:nonsense\",{}]");
    assert!(session.poll_until("431[").contains("unknown_event"));
    assert_eq!(server.metric(CONNECTIONS), 1.0);
    // The client closes the session.
    assert_eq!(session.send("41\x1e1").body, "ok");
    server.wait_for_metric(CONNECTIONS, |value| value == 0.0);
}

#[tokio::test]
async fn polling_can_be_upgraded() {
    let server = Server::start();
    let session = Polling::open(&server);
    session.send(&format!("40{}", json!({ "token": server.token("alice") })));
    session.poll_until("session:welcome");
    let url =
        format!("ws://{}{}", server.authority(), session.path.replace("polling", "websocket"));
    let (mut ws, _) = connect_async(url).await.unwrap();
    for (send, receive) in [("2probe", Some("3probe")), ("5", None)] {
        ws.send(Message::text(send)).await.unwrap();
        if let Some(expected) = receive {
            let got =
                crate::common::within("the probe", futures_util::StreamExt::next(&mut ws)).await;
            assert_eq!(got.unwrap().unwrap(), Message::text(expected));
        }
    }
    ws.send(Message::text("421[\"call:nonsense\",{}]")).await.unwrap();
    loop {
        let message =
            crate::common::within("the answer", futures_util::StreamExt::next(&mut ws)).await;
        let message = message.unwrap().unwrap().into_text().unwrap();
        if message.starts_with("431[") {
            assert!(message.contains("unknown_event"), "{message}");
            break;
        }
    }
    assert_eq!(server.metric(CONNECTIONS), 1.0);
}

#[tokio::test]
async fn invalid_requests_are_refused_as_clients_expect() {
    let server = Server::start();
    let session = Polling::open(&server);
    let (base, sid) = session.path.split_once("&sid=").unwrap();
    let is = |code: i64, message: &str| (400, code, message.to_owned());
    for (method, path, expected) in [
        ("GET", "/socket.io/", is(0, "Transport unknown")),
        ("GET", "/socket.io/?EIO=4&transport=pigeon", is(0, "Transport unknown")),
        ("GET", &format!("{base}&sid=unknown"), is(1, "Session ID unknown")),
        ("POST", base, is(2, "Bad handshake method")),
        ("PUT", &session.path, is(3, "Bad request")),
        ("GET", &session.path.replace("polling", "websocket"), is(3, "Bad request")),
        ("GET", "/socket.io/?EIO=4&transport=websocket", is(3, "Bad request")),
        ("GET", "/socket.io/?transport=polling", is(5, "Unsupported protocol version")),
        ("GET", "/socket.io/?EIO=2&transport=polling", is(5, "Unsupported protocol version")),
    ] {
        let answer = http::request(server.authority(), method, path, &[], None);
        assert_eq!(refused(&answer), expected, "{method} {path}");
    }
    // None of that has ended the session, and its id cannot be guessed.
    assert!(sid.len() >= 20 && session.send("41").body == "ok");
    let other = Polling::open(&server);
    assert_ne!(other.path, session.path);
}

#[tokio::test]
async fn polls_that_overlap_end_the_session() {
    let server = Server::start();
    let session = Polling::sign_in(&server, "alice");
    let (authority, path) = (server.authority().to_owned(), session.path.clone());
    let other = std::thread::spawn(move || http::request(&authority, "GET", &path, &[], None));
    // Both polls wait; the second one is refused, and the first one ends with the session.
    let mut answers = [session.poll(), other.join().unwrap()];
    answers.sort_by_key(|answer| answer.status);
    assert_eq!((answers[0].status, &*answers[0].body), (200, "1"));
    assert_eq!(refused(&answers[1]), (400, 3, "Bad request".into()));
    assert_eq!(refused(&session.poll()).1, 1);
    server.wait_for_metric(CONNECTIONS, |value| value == 0.0);
}

/// The memory for undelivered events of a session is limited.
#[tokio::test]
async fn a_client_that_does_not_poll_is_closed() {
    let server = Server::start();
    for packet in ["2", "40/admin,", r#"40{"token":"x"}"#] {
        let session = Polling::open(&server);
        assert_eq!(session.send(&vec![packet; 2000].join("\x1e")).body, "ok", "{packet}");
        assert_eq!(refused(&session.poll()).1, 1, "{packet}");
    }
    assert_eq!(server.metric("callbox_slow_sessions_total"), 3.0);
}

#[tokio::test]
async fn a_poll_whose_connection_is_gone_is_a_lost_connection() {
    let server = Server::start();
    let token = server.token("alice");
    let session = Polling::sign_in_with(&server, &token);
    let mut bob = Client::sign_in(&server, "bob").await;
    session.send(r#"421["call:initiate",{"targetUserId":"bob","callType":"audio"}]"#);
    session.poll_until("431[");
    bob.request("call:accept", json!({})).await;
    // This is the last event, so no event is left that would answer a poll.
    session.poll_until(r#""state":"connecting""#);
    let head = format!("GET {} HTTP/1.1\r\nhost: x\r\n\r\n", session.path);
    let user = {
        let lost = async { bob.event("call:reconnecting").await["userId"].clone() };
        let mut lost = std::pin::pin!(lost);
        // A request whose connection is closed before the server has read it never waits as a poll,
        // so polls are abandoned until one did.
        loop {
            let mut poll = TcpStream::connect(server.authority()).await.unwrap();
            poll.write_all(head.as_bytes()).await.unwrap();
            let mut answer = Vec::new();
            tokio::select! {
                user = lost.as_mut() => break user,
                _ = poll.read_buf(&mut answer) => {}
                () = tokio::time::sleep(Duration::from_millis(100)) => {}
            }
            // Code 3 answers a poll beside another one, whose end had not been noticed.
            let answer = String::from_utf8_lossy(&answer);
            assert!(!answer.contains("\"code\":3"), "{answer}");
        }
    };
    assert_eq!(user, "alice");
    // The user closes the new session cleanly, so no session is kept for it.
    let again = Polling::sign_in_with(&server, &token);
    assert_eq!(bob.event("call:reconnected").await["userId"], "alice");
    assert_eq!(again.send("41").body, "ok");
    assert_eq!(bob.event("call:ended").await["reason"], "left");
}

/// Clients 1.x and 2.x: `tests/socketio/versions.test.js` has real ones.
#[tokio::test]
async fn the_older_protocol_is_served_as_well() {
    let server = Server::start();
    let base = "/socket.io/?EIO=3&transport=polling";
    let token = |user| ("authorization", format!("Bearer {}", server.token(user)));
    let answer = http::request(server.authority(), "GET", base, &[token("alice")], None);
    let (length, packets) = answer.body.split_once(':').unwrap();
    let (open, mut received) = packets.split_at(length.parse().unwrap());
    let open: Value = serde_json::from_str(open.strip_prefix('0').unwrap()).unwrap();
    let path = format!("{base}&sid={}", open["sid"].as_str().unwrap());
    let session = Polling { server: &server, path, max_payload: 0 };
    let more;
    if received.is_empty() {
        more = session.poll().body;
        received = &more;
    }
    assert!(received.starts_with("2:40") && received.contains("session:welcome"), "{received}");
    // A probe of the client.
    assert_eq!(session.send("6:2probe23:421[\"call:nonsense\",{}]").body, "ok");
    let answers = session.poll_until("unknown_event");
    assert!(answers.starts_with("6:3probe") && answers.contains(":431["), "{answers}");
    assert_eq!(refused_then_gone(&session, "24:4").1, 3);
    let stranger = http::request(server.authority(), "GET", base, &[], None);
    assert!(
        stranger.body.contains("44\"unauthorized: ") || {
            let (_, sid) = stranger.body.split_once("\"sid\":\"").unwrap();
            let path = format!("{base}&sid={}", sid.split('"').next().unwrap());
            Polling { server: &server, path, max_payload: 0 }
                .poll()
                .body
                .contains("44\"unauthorized: ")
        }
    );
}

#[tokio::test]
async fn an_invalid_packet_ends_a_polling_session() {
    let server = Server::start();
    for wrong in ["abc", "", "4", "42{}", "42abc[\"a\"]", "47"] {
        let session = Polling::sign_in(&server, "alice");
        assert_eq!(refused_then_gone(&session, wrong), (400, 3, "Bad request".into()), "{wrong}");
    }
    server.wait_for_metric(CONNECTIONS, |value| value == 0.0);
}

#[tokio::test]
async fn polling_sessions_per_address_are_limited() {
    // Each request of this test is a connection as well, one after the other.
    let server = Server::with(&["--max-connections-per-address", "4"]);
    let open = || {
        let path = "/socket.io/?EIO=4&transport=polling";
        http::request(server.authority(), "GET", path, &[], None)
    };
    let answers: Vec<_> = (0..10).map(|_| open()).collect();
    let refused: Vec<_> = answers.iter().filter(|answer| answer.status == 429).collect();
    // The first connection may have ended meanwhile.
    assert!((2..=6).contains(&refused.len()), "{answers:?}");
    assert!(refused.iter().all(|answer| answer.error() == "too_many_connections"));
    let counted = server.metric("callbox_refused_connections_total{limit=\"handshakes\"}");
    assert_eq!(counted, refused.len() as f64);
}
