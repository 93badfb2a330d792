//! The Socket.IO front on the wire: both transports, the upgrade, who gets in, bad input. An
//! unmodified `socket.io-client` is driven by `tests/socketio/`.

mod common;

use common::{Server, http, socketio::Client};
use futures_util::SinkExt;
use serde_json::{Value, json};
use tokio_tungstenite::{connect_async, tungstenite::Message};

const CONNECTIONS: &str = "callbox_connections{front=\"socketio\"}";

#[tokio::test]
async fn a_connection_is_refused_with_a_code_and_words() {
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
    // The same transport may try again, until its time to say who it is is over.
    let connected = client.auth(&json!({ "token": server.token("alice") })).await;
    assert!(connected.starts_with("40{\"sid\":"), "{connected}");
}

#[tokio::test]
async fn who_does_not_say_who_it_is_is_closed_in_time() {
    let server = Server::start();
    let mut client = Client::connect(&server).await;
    client.auth(&json!({ "token": "nonsense" })).await;
    while let Some(packet) = client.packet().await {
        assert!(!packet.starts_with("42"), "{packet}");
    }
}

#[tokio::test]
async fn bad_input_gets_a_typed_error_and_a_counter() {
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
    // What is no packet at all ends the transport; that is how Socket.IO says it.
    client.send("4nonsense").await;
    while client.packet().await.is_some() {}
    server.wait_for_metric(CONNECTIONS, |value| value == 0.0);
    server.wait_for_metric("callbox_bad_frames_total{front=\"socketio\"}", |value| value == 2.0);
}

#[tokio::test]
async fn a_message_that_is_too_long_ends_the_transport_and_nothing_else() {
    let server = Server::with(&["--max-message", "16KiB"]);
    let mut bystander = Client::sign_in(&server, "bob").await;
    let mut client = Client::sign_in(&server, "alice").await;
    let long = format!("42{}", json!(["call:nonsense", { "a": "x".repeat(20 * 1024) }]));
    let _ = client.ws.send(Message::text(long)).await;
    while client.packet().await.is_some() {}
    server.wait_for_metric(CONNECTIONS, |value| value == 1.0);
    assert_eq!(bystander.ask("call:accept", json!({})).await["error"]["code"], "call_id_required");
    // A poll gets an answer, and can be counted.
    let session = Polling::open(&server);
    assert_eq!(session.send(&"x".repeat(20 * 1024)).status, 413);
    assert_eq!(server.metric("callbox_errors_total{code=\"payload_too_large\"}"), 1.0);
}

#[tokio::test]
async fn what_is_nested_too_deeply_is_an_invalid_payload() {
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

#[tokio::test]
async fn a_flood_is_told_that_it_is_one() {
    let server = Server::with(&["--events-per-second", "0", "--max-message", "4MiB"]);
    let session = Polling::open(&server);
    session.send(&format!("40{}", json!({ "token": server.token("alice") })));
    session.until("session:welcome");
    let mut bob = Client::sign_in(&server, "bob").await;
    let initiate = json!({ "targetUserId": "alice", "callType": "audio" });
    let call = bob.request("call:initiate", initiate).await["callId"].clone();
    // All in one request, faster than the hub takes them; nothing comes back for any of them.
    let ring = format!("42{}", json!(["call:ring", { "callId": call }]));
    let flood = vec![ring; 50_000].join("\x1e");
    // It asks for what comes while it sends: once it is told, the session is soon gone.
    let (authority, request) = (server.authority().to_owned(), session.post(&flood));
    let sender = std::thread::spawn(move || http::raw(&authority, request.as_bytes()));
    let heard = session.until("rate_limited");
    sender.join().unwrap();
    assert!(heard.contains(r#""code":"rate_limited""#), "{heard}");
    let sample = "callbox_errors_total{code=\"rate_limited\"}";
    server.wait_for_metric(sample, |value| value == 1.0);
}

#[tokio::test]
async fn events_are_taken_in_the_order_in_which_they_were_sent() {
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
    // What is sent just before the end is still heard.
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

/// A session that goes by polling.
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

    /// Polls until something has been said.
    fn until(&self, text: &str) -> String {
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
    let welcome = session.until("session:welcome");
    assert!(welcome.contains("\"deviceId\":\"laptop\""), "{welcome}");
    session.send("421[\"call:nonsense\",{}]");
    assert!(session.until("431[").contains("unknown_event"));
    assert_eq!(server.metric(CONNECTIONS), 1.0);
    // More than a message may have.
    assert_eq!(session.send(&format!("42[\"a\",\"{}\"]", "x".repeat(70_000))).status, 413);
    server.wait_for_metric(CONNECTIONS, |value| value == 0.0);
}

#[tokio::test]
async fn polling_can_be_upgraded() {
    let server = Server::start();
    let session = Polling::open(&server);
    session.send(&format!("40{}", json!({ "token": server.token("alice") })));
    session.until("session:welcome");
    let url =
        format!("ws://{}{}", server.authority(), session.path.replace("polling", "websocket"));
    let (mut ws, _) = connect_async(url).await.unwrap();
    for (send, receive) in [("2probe", Some("3probe")), ("5", None)] {
        ws.send(Message::text(send)).await.unwrap();
        if let Some(expected) = receive {
            let got = common::within("the probe", futures_util::StreamExt::next(&mut ws)).await;
            assert_eq!(got.unwrap().unwrap(), Message::text(expected));
        }
    }
    ws.send(Message::text("421[\"call:nonsense\",{}]")).await.unwrap();
    loop {
        let message = common::within("the answer", futures_util::StreamExt::next(&mut ws)).await;
        let message = message.unwrap().unwrap().into_text().unwrap();
        if message.starts_with("431[") {
            assert!(message.contains("unknown_event"), "{message}");
            break;
        }
    }
    assert_eq!(server.metric(CONNECTIONS), 1.0);
}

#[tokio::test]
async fn an_address_may_begin_so_many_sessions_at_a_time() {
    // Each request of this test is a connection as well, one after the other.
    let server = Server::with(&["--max-connections-per-address", "4"]);
    let open = || {
        let path = "/socket.io/?EIO=4&transport=polling";
        http::request(server.authority(), "GET", path, &[], None)
    };
    let answers: Vec<_> = (0..10).map(|_| open()).collect();
    let refused: Vec<_> = answers.iter().filter(|answer| answer.status == 429).collect();
    // A new window may have begun meanwhile, but no third one.
    assert!((2..=6).contains(&refused.len()), "{answers:?}");
    assert!(refused.iter().all(|answer| answer.error() == "too_many_connections"));
    let counted = server.metric("callbox_refused_connections_total{limit=\"handshakes\"}");
    assert_eq!(counted, refused.len() as f64);
}

#[tokio::test]
async fn pages_of_other_origins_are_refused_and_those_of_ours_may_read() {
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
