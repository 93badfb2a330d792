//! The plain WebSocket front: authentication, invalid input, limits, and the errors that clients
//! get.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::{
    self, Message,
    protocol::frame::{
        Frame,
        coding::{CloseCode, Data, OpCode},
    },
};

use crate::common::{Server, callbox, run, websocket::Client, within};

/// Sends `hello`; returns the response and the close code with its reason.
async fn hello(server: &Server, data: Value) -> (Value, (u16, String)) {
    let mut client = Client::connect(server).await;
    client.send("session:hello", Some(7), &data).await;
    let answer = client.answer(7).await;
    (answer, client.closed().await)
}

#[tokio::test]
async fn wrong_expired_and_missing_tokens_are_distinguished() {
    let server = Server::start();
    // A token beyond its expiry and the five seconds of leeway: it was issued long ago.
    let expired = {
        let secret = callbox_base::auth::Secret::new(server.text("/dev/jwtSecret"));
        let user = callbox_base::ids::UserId::new("alice").unwrap();
        let minter = callbox_signaling::jwt::TokenMinter::new(&secret, None, None);
        let (ttl, grants) = (Duration::from_secs(60), Default::default());
        let wanted = callbox_signaling::jwt::Wanted { user, name: None, ttl, grants };
        let long_ago = Duration::from_secs(1_700_000_000);
        let then = callbox_base::clock::Now { unix: long_ago, ..callbox_base::clock::Now::read() };
        minter.mint(&wanted, then).unwrap().token
    };
    let wrong = {
        let secret = "another secret of at least thirty-two bytes";
        let output = run(&mut callbox(&["token", "--user", "alice", "--jwt-secret", secret]));
        output.stdout.trim().to_owned()
    };
    for (data, code, close) in [
        (json!({ "token": expired }), "token_expired", 4401),
        (json!({ "token": wrong }), "unauthorized", 4401),
        (json!({ "token": "nonsense" }), "unauthorized", 4401),
        (json!({}), "unauthorized", 4401),
        (json!({ "token": 5 }), "invalid_payload", 4400),
        (json!({ "token": wrong, "protocol": 2 }), "invalid_payload", 4400),
    ] {
        let (answer, (got, reason)) = hello(&server, data.clone()).await;
        assert_eq!(answer["ok"], false, "{data}");
        assert_eq!(answer["error"]["code"], code, "{data}");
        assert_eq!(got, close, "{data}");
        assert!(reason.starts_with(&format!("{code}: ")), "{reason}");
    }
    assert_eq!(server.metric("callbox_errors_total{code=\"unauthorized\"}"), 3.0);
    assert_eq!(server.metric("callbox_errors_total{code=\"token_expired\"}"), 1.0);
    let mut client = Client::connect(&server).await;
    client
        .send(
            "session:hello",
            Some(1),
            &json!({ "token": server.minted("alice", &["--ttl", "1h"]) }),
        )
        .await;
    let answer = client.event("session:welcome").await;
    assert_eq!(answer["userId"], "alice");
}

#[tokio::test]
async fn the_first_frame_must_be_a_hello() {
    let server = Server::start();
    for (text, code, close) in [
        (r#"{"event":"call:initiate","data":{}}"#, "unauthorized", 4401),
        ("hello", "invalid_frame", 4400),
        ("{}", "invalid_frame", 4400),
    ] {
        let mut client = Client::connect(&server).await;
        client.send_text(text).await;
        let error = client.event("error").await;
        assert_eq!(error["error"]["code"], code, "{text}");
        assert_eq!(client.closed().await.0, close, "{text}");
    }
    let mut client = Client::connect(&server).await;
    client.ws.send(Message::binary(vec![1, 2, 3])).await.unwrap();
    assert_eq!(client.closed().await.0, 4400);
}

#[tokio::test]
async fn a_silent_connection_times_out() {
    let server = Server::start();
    let mut client = Client::connect(&server).await;
    let (code, reason) = client.closed().await;
    assert_eq!((code, reason.split(':').next()), (4408, Some("hello_timeout")));
}

#[tokio::test]
async fn a_token_may_come_in_a_header() {
    let server = Server::start();
    let header = |token: &str| [("authorization", format!("Bearer {token}"))];
    let alice = header(&server.token("alice"));
    let mut client = Client::try_connect(&server, &alice).await.unwrap();
    client.send("session:hello", Some(7), &json!({ "protocol": 1, "deviceId": "laptop" })).await;
    let welcome = client.event("session:welcome").await;
    assert_eq!((&welcome["userId"], &welcome["deviceId"]), (&json!("alice"), &json!("laptop")));
    drop(client);
    // Everything else is as with a token in the frame.
    let resume = json!({ "sessionId": welcome["sessionId"], "seq": 0 });
    let mut client = Client::try_connect(&server, &alice).await.unwrap();
    client.send("session:hello", Some(1), &json!({ "deviceId": "laptop", "resume": resume })).await;
    assert_eq!(client.event("session:welcome").await["resumed"], true);
    let mut client = Client::try_connect(&server, &alice).await.unwrap();
    client.send("session:hello", Some(1), &json!({ "token": server.token("bob") })).await;
    assert_eq!(client.event("session:welcome").await["userId"], "bob");
    let mut client = Client::try_connect(&server, &alice).await.unwrap();
    client.send("ice:refresh", Some(1), &json!({})).await;
    assert_eq!(client.closed().await.0, 4401);
    let refused = Client::try_connect(&server, &header("nonsense")).await.err().unwrap();
    let tungstenite::Error::Http(response) = refused else { panic!("{refused}") };
    assert_eq!(response.status(), 401);
}

#[tokio::test]
async fn invalid_frames_get_a_typed_error_and_are_counted() {
    let server = Server::start();
    let mut client = Client::sign_in(&server, "alice").await;
    for (text, code) in [
        ("not json", "invalid_frame"),
        ("[1,2]", "invalid_frame"),
        (r#"{"event":5}"#, "invalid_frame"),
        (r#"{"event":"call:initiate","data":[]}"#, "invalid_payload"),
        (r#"{"event":"call:initiate","data":{"targetUserId":5}}"#, "invalid_payload"),
        (
            r#"{"event":"call:initiate","data":{"targetUserId":"bob","callType":"smell"}}"#,
            "invalid_payload",
        ),
        (r#"{"event":"call:nonsense"}"#, "unknown_event"),
        (r#"{"event":"session:hello","data":{}}"#, "unknown_event"),
        (r#"{"event":"call:accept"}"#, "call_id_required"),
        (
            r#"{"event":"call:end","data":{"callId":"01J0000000000000000000000A"}}"#,
            "call_not_found",
        ),
        (r#"{"event":"call:end","data":{"callId":"nonsense"}}"#, "invalid_payload"),
    ] {
        client.send_text(text).await;
        assert_eq!(client.event("error").await["error"]["code"], code, "{text}");
    }
    client.ws.send(Message::binary(vec![0; 10])).await.unwrap();
    assert_eq!(client.event("error").await["error"]["code"], "invalid_frame");
    // An invalid frame with an id gets a response.
    client.send_text(r#"{"id":77}"#).await;
    assert_eq!(client.answer(77).await["error"]["code"], "invalid_frame");
    assert_eq!(server.metric("callbox_bad_frames_total{front=\"websocket\"}"), 5.0);
    assert_eq!(server.metric("callbox_errors_total{code=\"invalid_frame\"}"), 5.0);
    assert_eq!(server.metric("callbox_events_total{event=\"unknown\"}"), 2.0);
    // The connection still works.
    let answer =
        client.request("call:initiate", json!({ "targetUserId": "bob", "callType": "audio" }));
    assert_eq!(answer.await["state"], "initiating");
    assert_eq!(client.event("call:ended").await["reason"], "offline");
    // A client that sends nothing else is closed.
    for _ in 0..100 {
        let _ = client.ws.send(Message::text("nonsense")).await;
    }
    assert_eq!(client.closed().await.0, 4400);
}

#[tokio::test]
async fn out_of_order_events_are_refused() {
    let server = Server::start();
    let mut alice = Client::sign_in(&server, "alice").await;
    let mut bob = Client::sign_in(&server, "bob").await;
    let mut carol = Client::sign_in(&server, "carol").await;
    let initiate = json!({ "targetUserId": "bob", "callType": "audio" });
    let call = alice.request("call:initiate", initiate).await["callId"].clone();
    let about = json!({ "callId": call, "sdp": "v=0" });
    // The callee has not accepted yet; the caller cannot accept; carol is not in the call.
    assert_eq!(bob.refused("signal:answer", about.clone()).await, "invalid_state");
    assert_eq!(alice.refused("call:accept", about.clone()).await, "not_allowed");
    assert_eq!(carol.refused("call:accept", about.clone()).await, "not_a_participant");
    assert_eq!(carol.refused("signal:offer", about.clone()).await, "not_a_participant");
    bob.request("call:accept", about.clone()).await;
    assert_eq!(bob.refused("call:accept", about.clone()).await, "invalid_state");
    assert_eq!(alice.refused("call:cancel", about.clone()).await, "invalid_state");
    alice.request("call:end", about.clone()).await;
    assert_eq!(bob.refused("call:end", about).await, "call_ended");
}

#[tokio::test]
async fn a_too_long_message_closes_the_connection_with_a_reason() {
    let server = Server::with(&["--max-message", "16KiB"]);
    let mut alice = Client::sign_in(&server, "alice").await;
    let fits = "x".repeat(15 * 1024);
    alice.send("call:nonsense", None, &json!({ "a": fits })).await;
    assert_eq!(alice.event("error").await["error"]["code"], "unknown_event");
    // Far more than the buffers of the sockets hold: it is still being sent when it is refused.
    let long = json!({ "event": "call:nonsense", "data": { "a": "x".repeat(3 * 1024 * 1024) } });
    let _ = alice.ws.send(Message::text(long.to_string())).await;
    let (code, reason) = alice.closed().await;
    assert_eq!(code, u16::from(CloseCode::Size));
    assert_eq!(reason, "payload_too_large: A message may have 16384 bytes.");
    assert_eq!(server.metric("callbox_errors_total{code=\"payload_too_large\"}"), 1.0);
    // The same in fragments.
    let mut bob = Client::sign_in(&server, "bob").await;
    for opcode in [Data::Text, Data::Continue, Data::Continue, Data::Continue, Data::Continue] {
        let piece = Frame::message(vec![b'x'; 4 * 1024], OpCode::Data(opcode), false);
        if bob.ws.send(Message::Frame(piece)).await.is_err() {
            break;
        }
    }
    assert_eq!(bob.closed().await.0, 1009);
}

#[tokio::test]
async fn too_many_events_are_refused_and_then_the_connection_is_closed() {
    let server = Server::with(&["--events-per-second", "5", "--event-burst", "10"]);
    let mut client = Client::sign_in(&server, "alice").await;
    let mut bystander = Client::sign_in(&server, "bob").await;
    for id in 1..=20 {
        client.send("call:accept", Some(id), &json!({})).await;
    }
    let mut codes = Vec::new();
    for id in 1..=20 {
        let answer = client.answer(id).await;
        if answer["error"]["code"] == "rate_limited" {
            assert!(answer["error"]["retryAfterMs"].as_u64().unwrap() > 0);
        }
        codes.push(answer["error"]["code"].as_str().unwrap().to_owned());
    }
    assert!(codes[..10].iter().all(|code| code == "call_id_required"), "{codes:?}");
    assert!(codes[10..].iter().filter(|code| *code == "rate_limited").count() >= 5, "{codes:?}");
    for id in 0..200 {
        if client.ws.send(Message::text(json!({"event":"a","id":id}).to_string())).await.is_err() {
            break;
        }
    }
    let (code, reason) = client.closed().await;
    assert_eq!((code, reason.split(':').next()), (4429, Some("rate_limited")));
    assert_eq!(bystander.refused("call:accept", json!({})).await, "call_id_required");
    assert!(server.metric("callbox_errors_total{code=\"rate_limited\"}") >= 5.0);
}

#[tokio::test]
async fn the_same_device_again_replaces_the_older_connection() {
    let server = Server::start();
    let mut old = Client::sign_in_on(&server, "alice", Some("laptop")).await;
    let _other = Client::sign_in_on(&server, "alice", Some("phone")).await;
    let _new = Client::sign_in_on(&server, "alice", Some("laptop")).await;
    let (code, reason) = old.closed().await;
    assert_eq!((code, reason.split(':').next()), (4409, Some("replaced")));
    server.wait_for_metric("callbox_connections{front=\"websocket\"}", |value| value == 2.0);
    let users = server.get("/dev/online", Some(&server.token("alice"))).json()["users"].clone();
    assert_eq!(users, json!([{ "userId": "alice", "devices": ["laptop", "phone"] }]));
}

#[tokio::test]
async fn connections_per_user_are_limited() {
    let server = Server::with(&["--max-connections-per-user", "2"]);
    let _first = Client::sign_in(&server, "alice").await;
    let _second = Client::sign_in(&server, "alice").await;
    let mut third = Client::connect(&server).await;
    third.send("session:hello", None, &json!({ "token": server.token("alice") })).await;
    let (code, reason) = third.closed().await;
    assert_eq!((code, reason.split(':').next()), (4429, Some("too_many_connections")));
    let _bob = Client::sign_in(&server, "bob").await;
}

#[tokio::test]
async fn a_page_of_another_origin_is_refused_with_a_reason() {
    let server = Server::with(&["--allow-origin", "https://app.example.com"]);
    let origin = |origin: &str| [("origin", origin.to_owned())];
    let mut evil = Client::try_connect(&server, &origin("https://evil.example")).await.unwrap();
    let (code, reason) = evil.closed().await;
    assert_eq!((code, reason.split(':').next()), (4403, Some("origin_not_allowed")));
    for good in ["https://app.example.com", server.text("/http")] {
        let mut client = Client::try_connect(&server, &origin(good)).await.unwrap();
        client.send("session:hello", Some(1), &json!({ "token": server.token("alice") })).await;
        client.event("session:welcome").await;
    }
}

#[tokio::test]
async fn a_debug_log_shows_sessions_and_no_secret() {
    let server = Server::with(&["--log-level", "debug"]);
    let alice_token = server.token("alice");
    let mut alice = Client::connect(&server).await;
    alice.send("session:hello", Some(1), &json!({ "token": alice_token })).await;
    let session = alice.event("session:welcome").await["sessionId"].clone();
    let mut bob = Client::sign_in(&server, "bob").await;
    let initiate = json!({ "targetUserId": "bob", "callType": "audio" });
    let call = alice.request("call:initiate", initiate).await["callId"].clone();
    bob.request("call:accept", json!({})).await;
    let offer = json!({ "callId": call, "sdp": "v=0 hush-sdp" });
    alice.request("signal:offer", offer).await;
    let candidate = json!({ "callId": call, "candidate": "hush-candidate" });
    alice.request("ice:candidate", candidate).await;
    bob.event("ice:candidate").await;
    alice.request("call:end", json!({ "callId": call })).await;
    alice.request("auth:refresh", json!({ "token": alice_token })).await;
    alice.refused("auth:refresh", json!({ "token": "hush-token" })).await;
    hello(&server, json!({ "token": "hush-token" })).await;
    alice.ws.close(None).await.unwrap();
    server.wait_for_metric("callbox_connections{front=\"websocket\"}", |value| value == 1.0);
    server.terminate();
    let (_, log) = server.wait();
    let session = session.as_str().unwrap();
    let lines = |words: &str| log.lines().filter(|line| line.contains(words)).collect::<Vec<_>>();
    for what in ["session opened", "session closed"] {
        let lines = lines(what);
        assert_eq!(lines.len(), 2, "{log}");
        let ours = lines.iter().find(|line| line.contains(session)).expect("it is there");
        assert!(ours.contains("alice") && ours.contains("websocket"), "{ours}");
    }
    assert!(lines("call over")[0].contains(call.as_str().unwrap()), "{log}");
    assert!(lines("token refused")[0].contains("address=127.0.0.1 reason="), "{log}");
    assert!(!log.contains("hush") && !log.contains(&alice_token), "{log}");
}

#[tokio::test]
async fn a_session_that_does_not_read_uses_little_memory() {
    // Far fewer messages than the limit are in the outbox at the disconnect.
    let server = Server::with(&["--events-per-second", "0", "--max-message", "160KiB"]);
    let mut alice = Client::sign_in(&server, "alice").await;
    let mut slow = Client::sign_in(&server, "slow").await;
    let initiate = json!({ "targetUserId": "slow", "callType": "audio" });
    let call = alice.request("call:initiate", initiate).await["callId"].clone();
    slow.request("call:accept", json!({})).await;
    alice.request("signal:offer", json!({ "callId": call, "sdp": "v=0" })).await;
    let big = json!({ "callId": call, "candidate": "x".repeat(150 * 1024) });
    // The sockets' buffers take some of these, the outbox eight.
    for _ in 0..100 {
        alice.send("ice:candidate", None, &big).await;
    }
    let sent = std::time::Instant::now();
    server.wait_for_metric("callbox_slow_sessions_total", |value| value == 1.0);
    // The outbox is the cause, and not the timeout of a single message.
    assert!(sent.elapsed() < std::time::Duration::from_secs(15));
}

#[tokio::test]
async fn a_client_that_does_not_read_is_disconnected_and_delays_no_other() {
    let server = Server::with(&["--events-per-second", "0"]);
    let mut alice = Client::sign_in(&server, "alice").await;
    let mut slow = Client::sign_in(&server, "slow").await;
    let mut carol = Client::sign_in(&server, "carol").await;
    let mut dave = Client::sign_in(&server, "dave").await;
    let initiate = |target: &str| json!({ "targetUserId": target, "callType": "audio" });
    let call = alice.request("call:initiate", initiate("slow")).await["callId"].clone();
    slow.request("call:accept", json!({})).await;
    let offer = json!({ "callId": call, "sdp": "v=0" });
    alice.request("signal:offer", offer).await;
    let other = carol.request("call:initiate", initiate("dave")).await["callId"].clone();
    dave.request("call:accept", json!({})).await;
    carol.request("signal:offer", json!({ "callId": other, "sdp": "v=0" })).await;
    dave.event("signal:offer").await;

    // From here on `slow` does not read. Its socket's buffers fill, then its outbox.
    let big = json!({ "callId": call, "candidate": "x".repeat(60 * 1024) });
    let mut rounds = 0;
    while server.metric("callbox_slow_sessions_total") == 0.0 {
        for _ in 0..50 {
            alice.send("ice:candidate", None, &big).await;
        }
        // Meanwhile other clients are served without delay.
        let candidate = json!({ "callId": other, "candidate": "small" });
        carol.request("ice:candidate", candidate).await;
        dave.event("ice:candidate").await;
        rounds += 1;
        assert!(rounds < 100, "it is never cut off");
    }
    // The other side of its call is notified, and the server has dropped the connection.
    assert_eq!(alice.event("call:reconnecting").await["userId"], "slow");
    server.wait_for_metric("callbox_connections{front=\"websocket\"}", |value| value == 3.0);
    // Everything that had been sent before arrives, and then the connection ends.
    let end = async { while let Some(Ok(_)) = slow.ws.next().await {} };
    within("the end", end).await;
}
