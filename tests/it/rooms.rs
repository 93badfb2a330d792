//! Rooms through the real binary, with participants on both fronts.

use std::fs;

use serde_json::{Value, json};

use crate::common::{Server, bearer, http, socketio, websocket};

const ROOM: &str = "team-a/standup";

/// Adds the room, and the recipient if there is one, to a payload.
fn in_room(mut data: Value, to: Option<&Value>) -> Value {
    data["roomId"] = ROOM.into();
    if let Some(to) = to {
        data["to"] = to.clone();
    }
    data
}

fn sdp(ufrag: &str) -> Value {
    json!({ "sdp": format!("v=0\r\na=ice-ufrag:{ufrag}\r\n") })
}

fn candidate() -> Value {
    json!({ "candidate": { "candidate": "candidate:1 1 udp 1 192.0.2.9 9 typ host" } })
}

/// Returns the next event, which must be this one.
async fn expect_event(client: &mut websocket::Client, event: &str) -> Value {
    let frame = client.frame().await;
    assert_eq!(frame["event"], event, "{frame}");
    frame["data"].clone()
}

/// Checks that no more events are pending: the response to a new request comes next.
async fn expect_no_event(client: &mut websocket::Client) {
    client.send("presence:subscribe", Some(99), &json!({ "userIds": [] })).await;
    let frame = client.frame().await;
    assert_eq!(frame["re"], 99, "{frame}");
}

#[tokio::test]
async fn three_participants_on_both_fronts_join_and_leave() {
    let dir = tempfile::tempdir().unwrap();
    let records = dir.path().join("records.jsonl");
    let server = Server::with(&["--call-records", records.to_str().unwrap()]);
    let mut alice = socketio::Client::sign_in_on(&server, "alice", "laptop").await;
    let mut bob = websocket::Client::sign_in_on(&server, "bob", Some("phone")).await;
    let mut carol = websocket::Client::sign_in_on(&server, "carol", Some("tablet")).await;
    let mut dave = websocket::Client::sign_in(&server, "dave").await;

    let first = alice.request("room:join", in_room(json!({}), None)).await;
    assert_eq!(first["participants"], json!([]));
    let call = first["callId"].as_str().unwrap().to_owned();
    let second = bob.request("room:join", in_room(json!({}), None)).await;
    assert_eq!(
        (&second["callId"], &second["participants"][0]["userId"]),
        (&first["callId"], &json!("alice"))
    );
    let username = second["turnCredentials"]["username"].as_str().unwrap();
    assert!(username.ends_with(&format!(":bob:{call}")), "{username}");
    assert_eq!(alice.event("room:joined").await["participant"]["userId"], "bob");
    let third = carol.request("room:join", in_room(json!({}), None)).await;
    assert_eq!(third["participants"].as_array().unwrap().len(), 2);
    assert_eq!(alice.event("room:joined").await["participant"]["userId"], "carol");
    assert_eq!(expect_event(&mut bob, "room:joined").await["participant"]["userId"], "carol");
    let [a, b, c] = [&first, &second, &third].map(|answer| answer["participantId"].clone());

    // A new participant sends an offer to each one present, and only that one receives it.
    for (from, to) in [(&mut bob, &a), (&mut carol, &a)] {
        from.request("signal:offer", in_room(sdp("x"), Some(to))).await;
        from.request("ice:candidate", in_room(candidate(), Some(to))).await;
    }
    for from in [(&b, "bob"), (&c, "carol")] {
        let offer = alice.event("signal:offer").await;
        assert_eq!((&offer["fromParticipant"], &offer["from"]), (from.0, &json!(from.1)));
        assert_eq!(alice.event("ice:candidate").await["fromParticipant"], *from.0);
        alice.request("signal:answer", in_room(sdp("a"), Some(from.0))).await;
    }
    assert_eq!(expect_event(&mut bob, "signal:answer").await["fromParticipant"], a);
    assert_eq!(expect_event(&mut carol, "signal:answer").await["fromParticipant"], a);
    carol.request("signal:offer", in_room(sdp("c"), Some(&b))).await;
    assert_eq!(expect_event(&mut bob, "signal:offer").await["fromParticipant"], c);
    alice.request("call:message", in_room(json!({ "data": "hello" }), None)).await;
    assert_eq!(expect_event(&mut carol, "call:message").await["data"], "hello");
    let frame = bob.frame().await;
    assert_eq!(
        (&frame["event"], &frame["data"]["data"]),
        (&json!("call:message"), &json!("hello"))
    );
    let seq = frame["seq"].clone();

    // A user outside of the room is refused, and receives nothing.
    let outside = dave.refused("signal:offer", in_room(sdp("d"), Some(&a))).await;
    assert_eq!(outside, "not_a_participant");
    let path = format!("/api/v1/calls/{call}");
    let key = Some(server.text("/dev/apiKey"));
    let calls = server.get("/api/v1/calls", key).json()["calls"].clone();
    assert_eq!(calls.as_array().unwrap().len(), 1);
    let calls = &calls[0];
    assert_eq!(calls["id"], call);
    assert_eq!((&calls["roomId"], &calls["state"]), (&json!(ROOM), &json!("connected")));
    assert_eq!(calls["participants"].as_array().unwrap().len(), 3);

    // A participant that loses its connection resumes its session without missing an event.
    let (session, user) = (bob.welcome["sessionId"].clone(), server.token("bob"));
    drop(bob);
    assert_eq!(alice.event("call:reconnecting").await["participantId"], b);
    alice.request("call:message", in_room(json!({ "data": "are you there?" }), Some(&b))).await;
    let mut bob = websocket::Client::connect(&server).await;
    let resume = json!({ "sessionId": session, "seq": seq });
    let hello = json!({ "token": user, "deviceId": "phone", "resume": resume });
    bob.send("session:hello", Some(0), &hello).await;
    assert_eq!(bob.event("session:welcome").await["resumed"], true);
    assert_eq!(bob.event("call:message").await["data"], "are you there?");
    assert_eq!(alice.event("call:reconnected").await["participantId"], b);
    // Messages for bob only are not sent to carol.
    assert_eq!(expect_event(&mut carol, "call:reconnecting").await["participantId"], b);
    assert_eq!(expect_event(&mut carol, "call:reconnected").await["participantId"], b);

    carol.request("room:leave", in_room(json!({}), None)).await;
    let left = alice.event("room:left").await;
    assert_eq!((&left["participantId"], &left["userId"]), (&c, &json!("carol")));
    assert_eq!(bob.event("room:left").await["participantId"], c);
    let hung_up = http::request(server.authority(), "DELETE", &path, &bearer(key), None);
    assert_eq!(hung_up.json()["reason"], "kicked");
    for ended in [alice.event("call:ended").await, bob.event("call:ended").await] {
        assert_eq!((&ended["roomId"], &ended["reason"]), (&json!(ROOM), &json!("kicked")));
    }
    server.wait_for_metric("callbox_call_records_total{fate=\"written\"}", |n| n == 1.0);
    let record: Value = serde_json::from_str(fs::read_to_string(&records).unwrap().trim()).unwrap();
    assert_eq!((&record["id"], &record["roomId"]), (&json!(call), &json!(ROOM)));
    let users: Vec<_> = record["participants"].as_array().unwrap().iter().collect();
    assert_eq!(users.len(), 3);
    assert!(users.iter().all(|user| user["joinedAt"].is_string() && user["leftAt"].is_string()));
    // carol has left long before, and dave never was in the room.
    expect_no_event(&mut carol).await;
    expect_no_event(&mut dave).await;
}

#[tokio::test]
async fn a_room_does_not_outlive_its_server() {
    let dir = tempfile::tempdir().unwrap();
    let records = dir.path().join("records.jsonl");
    let start = || {
        Server::with(&[
            "--state-dir",
            dir.path().to_str().unwrap(),
            "--call-records",
            records.to_str().unwrap(),
            "--jwt-secret",
            "north south east west, 32 bytes of it",
            "--auth-secret",
            "what the relay and the hub share",
        ])
    };
    let server = start();
    let mut alice = websocket::Client::sign_in_on(&server, "alice", Some("laptop")).await;
    let mut bob = websocket::Client::sign_in_on(&server, "bob", Some("phone")).await;
    let before = alice.request("room:join", in_room(json!({}), None)).await;
    bob.request("room:join", in_room(json!({}), None)).await;
    expect_event(&mut alice, "room:joined").await;

    server.terminate();
    for client in [&mut alice, &mut bob] {
        assert_eq!(expect_event(client, "call:ended").await["reason"], "server_shutdown");
        expect_event(client, "server:draining").await;
    }
    let (status, stderr) = server.wait();
    assert!(status.success() && !stderr.contains("ERROR"), "{stderr}");
    let record: Value = serde_json::from_str(fs::read_to_string(&records).unwrap().trim()).unwrap();
    assert_eq!((&record["id"], &record["reason"]), (&before["callId"], &json!("server_shutdown")));

    let server = start();
    let mut alice = websocket::Client::sign_in_on(&server, "alice", Some("laptop")).await;
    expect_no_event(&mut alice).await;
    let after = alice.request("room:join", in_room(json!({}), None)).await;
    assert_eq!(after["participants"], json!([]));
    assert_ne!(after["callId"], before["callId"]);
}
