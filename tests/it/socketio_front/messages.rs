//! Invalid and too long messages, backpressure and the order of events.

use futures_util::SinkExt;
use serde_json::json;
use tokio_tungstenite::tungstenite::Message;

use super::{CONNECTIONS, session::Polling};
use crate::common::{Server, http, socketio::Client};

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
    assert_eq!(
        u16::from(client.close_frame().await.expect("a close frame with a reason").code),
        4400
    );
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
    let close = client.close_frame().await.expect("a close frame with a reason");
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
