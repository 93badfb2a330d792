//! The Socket.IO front on the wire: both transports, the upgrade, authentication, invalid input. An
//! unmodified `socket.io-client` is driven by `tests/socketio/`.

use std::time::Duration;

use futures_util::SinkExt;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_tungstenite::{connect_async, tungstenite::Message};

use crate::common::{Server, http, socketio::Client};

const CONNECTIONS: &str = "callbox_connections{front=\"socketio\"}";

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
async fn invalid_input_gets_a_typed_error_and_is_counted() {
    let server = Server::start();
    let mut client = Client::sign_in(&server, "alice").await;
    assert_eq!(client.welcome["userId"], "alice");
    for (data, code) in [
        (json!({}), "invalid_payload"),
        (json!([1]), "invalid_payload"),
        (json!("text"), "invalid_payload"),
        (json!({ "targetUserId": 5, "callType": "audio" }), "invalid_payload"),
        (json!({ "targetUserId": "alice", "callType": "audio" }), "invalid_target"),
    ] {
        let answer = client.ask("call:initiate", data.clone()).await;
        assert_eq!(
            (&answer["ok"], &answer["error"]["code"]),
            (&json!(false), &json!(code)),
            "{data}"
        );
    }
    assert_eq!(client.ask("call:nonsense", json!({})).await["error"]["code"], "unknown_event");
    // Without a callback the error is an event.
    client.emit("call:nonsense", &json!({})).await;
    let error = client.event("error").await;
    assert_eq!(
        (&error["event"], &error["error"]["code"]),
        (&json!("call:nonsense"), &json!("unknown_event"))
    );
    // An event without a payload, as in the flow's `call:end`.
    client.send(r#"42["call:end"]"#).await;
    assert_eq!(client.event("error").await["error"]["code"], "call_id_required");
    // A binary attachment.
    client.send(r#"451-["call:end",{"_placeholder":true,"num":0}]"#).await;
    client.ws.send(Message::binary(vec![1, 2, 3])).await.unwrap();
    assert_eq!(client.event("error").await["error"]["code"], "invalid_payload");
    assert_eq!(server.metric("callbox_bad_frames_total{front=\"socketio\"}"), 1.0);
    let offline =
        client.request("call:initiate", json!({ "targetUserId": "bob", "callType": "audio" }));
    assert_eq!(offline.await["state"], "initiating");
    // An invalid packet ends the transport, as the Socket.IO protocol requires.
    client.send("4nonsense").await;
    while client.packet().await.is_some() {}
    server.wait_for_metric(CONNECTIONS, |value| value == 0.0);
    server.wait_for_metric("callbox_bad_frames_total{front=\"socketio\"}", |value| value == 2.0);
}

const TOO_LARGE: &str = "callbox_errors_total{code=\"payload_too_large\"}";

#[tokio::test]
async fn a_too_long_message_is_refused_and_the_session_continues() {
    let server = Server::with(&["--max-message", "16KiB"]);
    let mut client = Client::sign_in(&server, "alice").await;
    let long = |bytes: usize| json!({ "a": "x".repeat(bytes) });
    let answer = client.ask("call:message", long(20 * 1024)).await;
    assert_eq!(answer["error"]["code"], "payload_too_large", "{answer}");
    // Without a callback the error is an event, which names the event.
    client.emit("call:message", &long(60 * 1024)).await;
    let error = client.event("error").await;
    assert_eq!(
        (&error["event"], &error["error"]["code"]),
        (&json!("call:message"), &json!("payload_too_large"))
    );
    assert_eq!(client.ask("call:end", json!({})).await["error"]["code"], "call_id_required");
    assert_eq!(server.metric(TOO_LARGE), 2.0);
    // A token may be too long as well.
    let mut stranger = Client::connect(&server).await;
    let refused = stranger.auth(&json!({ "token": "x".repeat(20 * 1024) })).await;
    assert!(refused.starts_with("44{\"message\":\"payload_too_large: "), "{refused}");
}

#[tokio::test]
async fn repeated_too_long_messages_close_the_session_with_a_reason() {
    let server = Server::with(&["--max-message", "1KiB"]);
    let long = json!({ "a": "x".repeat(2 * 1024) });
    let mut client = Client::sign_in(&server, "alice").await;
    for _ in 0..33 {
        client.emit("call:message", &long).await;
        assert_eq!(client.event("error").await["error"]["code"], "payload_too_large");
    }
    assert_eq!(client.event("error").await["error"]["code"], "invalid_frame");
    assert_eq!(u16::from(client.close_frame().await.expect("it is told why").code), 4400);
    let session = Polling::sign_in(&server, "bob");
    for _ in 0..33 {
        session.send(&format!("42{}", json!(["call:message", long])));
    }
    assert!(session.poll_until("\x1e1").contains("\"invalid_frame\""));
}

#[tokio::test]
async fn a_far_too_long_message_ends_the_transport_with_a_reason() {
    let server = Server::with(&["--max-message", "16KiB"]);
    let mut bystander = Client::sign_in(&server, "bob").await;
    let mut client = Client::sign_in(&server, "alice").await;
    let long = format!("42{}", json!(["call:nonsense", { "a": "x".repeat(65 * 1024) }]));
    let _ = client.ws.send(Message::text(long)).await;
    let close = client.close_frame().await.expect("it is told why");
    assert_eq!(u16::from(close.code), 1009);
    assert_eq!(&*close.reason, "payload_too_large: A message may have 16384 bytes.");
    server.wait_for_metric(CONNECTIONS, |value| value == 1.0);
    assert_eq!(bystander.ask("call:accept", json!({})).await["error"]["code"], "call_id_required");
}

#[tokio::test]
async fn a_too_long_message_is_refused_over_polling() {
    let server = Server::with(&["--max-message", "16KiB"]);
    let session = Polling::sign_in(&server, "alice");
    let long =
        |ack: &str, bytes: usize| format!("42{ack}[\"call:message\",\"{}\"]", "x".repeat(bytes));
    assert_eq!(session.send(&long("7", 20 * 1024)).body, "ok");
    assert!(session.poll_until("437[").contains("payload_too_large"));
    assert_eq!(session.send(&long("", 20 * 1024)).body, "ok");
    assert!(session.poll_until("\"error\"").contains("payload_too_large"));
    // Beyond the limit the request is refused and the session ends; its poll reports that as well.
    let answer = session.send(&long("", 65 * 1024));
    assert_eq!((answer.status, answer.error()), (413, "payload_too_large".into()));
    let last = session.poll();
    assert!(last.body.contains("payload_too_large") && last.body.ends_with("\x1e1"), "{last:?}");
    assert_eq!(session.poll().status, 400);
    assert_eq!(server.metric(TOO_LARGE), 3.0);
    server.wait_for_metric(CONNECTIONS, |value| value == 0.0);
}

#[tokio::test]
async fn a_too_deeply_nested_payload_is_invalid() {
    let server = Server::start();
    let mut client = Client::sign_in(&server, "alice").await;
    let deep = |open: &str| format!("{open}{}{}]", "[".repeat(200), "]".repeat(200));
    client.send(&deep(r#"42["call:end","#)).await;
    let error = client.event("error").await;
    assert_eq!(error["error"]["code"], "invalid_payload");
    assert_eq!(error.get("event"), None);
    client.send(&deep(r#"427["call:end","#)).await;
    let answer = client.packet().await.unwrap();
    assert!(answer.starts_with("437[") && answer.contains("invalid_payload"), "{answer}");
    assert_eq!(server.metric("callbox_bad_frames_total{front=\"socketio\"}"), 2.0);
}

/// A client that sends faster than the hub processes gets backpressure, and loses nothing.
#[tokio::test]
async fn a_flood_gets_backpressure_from_the_hub() {
    let server = Server::with(&["--events-per-second", "0", "--max-message", "4MiB"]);
    let session = Polling::sign_in(&server, "alice");
    let mut bob = Client::sign_in(&server, "bob").await;
    let initiate = json!({ "targetUserId": "alice", "callType": "audio" });
    let call = bob.request("call:initiate", initiate).await["callId"].clone();
    // All packets are in one request; only the last gets an acknowledgement.
    let ring = format!("42{}", json!(["call:ring", { "callId": call }]));
    let mut flood = vec![ring; 50_000];
    flood.push(format!("429{}", json!(["call:accept", { "callId": call }])));
    let (authority, request) = (server.authority().to_owned(), session.post(&flood.join("\x1e")));
    let sender = std::thread::spawn(move || http::raw(&authority, request.as_bytes()));
    assert!(session.poll_until("439[").contains(r#""state":"connecting""#));
    assert_eq!(sender.join().unwrap().body, "ok");
    bob.event("call:accepted").await;
    let sample = "callbox_events_total{event=\"call:ring\"}";
    assert_eq!(server.metric(sample), 50_000.0);
}

#[tokio::test]
async fn events_are_processed_in_the_order_in_which_they_were_sent() {
    let server = Server::with(&["--event-burst", "1000"]);
    let mut alice = Client::sign_in(&server, "alice").await;
    let mut bob = Client::sign_in(&server, "bob").await;
    let initiate = json!({ "targetUserId": "bob", "callType": "audio" });
    let call = alice.request("call:initiate", initiate).await["callId"].clone();
    bob.request("call:accept", json!({})).await;
    alice.emit("signal:offer", &json!({ "callId": call, "sdp": "v=0" })).await;
    for n in 0..100 {
        alice.emit("ice:candidate", &json!({ "callId": call, "candidate": n.to_string() })).await;
    }
    for n in 0..100 {
        assert_eq!(bob.event("ice:candidate").await["candidate"], n.to_string());
    }
    // An event directly before the end is still processed.
    alice.emit("call:end", &json!({ "callId": call })).await;
    alice.send("41").await;
    alice.ws.close(None).await.unwrap();
    while alice.packet().await.is_some() {}
    assert_eq!(bob.event("call:ended").await["reason"], "hangup");
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

/// A session that uses polling.
struct Polling<'a> {
    server: &'a Server,
    path: String,
    max_payload: u64,
}

impl<'a> Polling<'a> {
    fn open(server: &'a Server) -> Self {
        let base = "/socket.io/?EIO=4&transport=polling";
        let answer = http::request(server.authority(), "GET", base, &[], None);
        assert_eq!(answer.status, 200, "{answer:?}");
        let open: Value = serde_json::from_str(answer.body.strip_prefix('0').unwrap()).unwrap();
        assert_eq!(open["upgrades"], json!(["websocket"]));
        let max_payload = open["maxPayload"].as_u64().unwrap();
        Self { server, max_payload, path: format!("{base}&sid={}", open["sid"].as_str().unwrap()) }
    }

    fn sign_in(server: &'a Server, user: &str) -> Self {
        Self::sign_in_with(server, &server.token(user))
    }

    fn sign_in_with(server: &'a Server, token: &str) -> Self {
        let session = Self::open(server);
        session.send(&format!("40{}", json!({ "token": token })));
        session.poll_until("session:welcome");
        session
    }

    fn send(&self, packet: &str) -> http::Response {
        http::raw(self.server.authority(), self.post(packet).as_bytes())
    }

    fn post(&self, packet: &str) -> String {
        format!(
            "POST {} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\ncontent-type: text/plain\r\n\
             content-length: {}\r\n\r\n{packet}",
            self.path,
            self.server.authority(),
            packet.len()
        )
    }

    fn poll(&self) -> http::Response {
        http::request(self.server.authority(), "GET", &self.path, &[], None)
    }

    /// Polls until a packet contains this text.
    fn poll_until(&self, text: &str) -> String {
        let mut heard = String::new();
        while !heard.contains(text) {
            let answer = self.poll();
            assert_eq!(answer.status, 200, "{answer:?} after {heard}");
            heard.push_str(&answer.body);
        }
        heard
    }
}

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

/// Returns the status, the code and the message of an Engine.IO error.
fn refused(answer: &http::Response) -> (u16, i64, String) {
    let body: Value = serde_json::from_str(&answer.body).expect("it is JSON");
    let message = body["message"].as_str().expect("it says what is wrong").to_owned();
    (answer.status, body["code"].as_i64().unwrap(), message)
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
    let close = stranger.close_frame().await.expect("it is told why");
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

/// Clients 1.x and 2.x: `tests/socketio/versions.test.js` has real ones.
#[tokio::test]
async fn the_older_protocol_is_served_as_well() {
    let server = Server::start();
    let base = "/socket.io/?EIO=3&transport=polling";
    let token = |user| ("authorization", format!("Bearer {}", server.token(user)));
    let answer = http::request(server.authority(), "GET", base, &[token("alice")], None);
    let (length, packets) = answer.body.split_once(':').unwrap();
    let (open, mut heard) = packets.split_at(length.parse().unwrap());
    let open: Value = serde_json::from_str(open.strip_prefix('0').unwrap()).unwrap();
    let path = format!("{base}&sid={}", open["sid"].as_str().unwrap());
    let session = Polling { server: &server, path, max_payload: 0 };
    let more;
    if heard.is_empty() {
        more = session.poll().body;
        heard = &more;
    }
    assert!(heard.starts_with("2:40") && heard.contains("session:welcome"), "{heard}");
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

/// Sends packets that must be refused, checks that the session has ended, and returns the error.
fn refused_then_gone(session: &Polling<'_>, packets: &str) -> (u16, i64, String) {
    let answer = refused(&session.send(packets));
    assert_eq!(refused(&session.poll()).1, 1);
    answer
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
