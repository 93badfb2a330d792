//! Sessions that are resumed over another connection, with the real server.

use serde_json::{Value, json};

use crate::common::{Server, socketio, websocket::Client};

fn candidate(n: u32) -> Value {
    let line = format!("candidate:{n} 1 udp 1 192.0.2.9 9 typ host");
    json!({ "candidate": { "candidate": line } })
}

/// Returns the number of the candidate in an event.
fn number(data: &Value) -> u32 {
    let line = data["candidate"]["candidate"].as_str().unwrap();
    line["candidate:".len()..].split(' ').next().unwrap().parse().unwrap()
}

/// Connects and resumes a session.
async fn resume(server: &Server, user: &str, device: &str, session: &Value, seq: u64) -> Client {
    let mut client = Client::connect(server).await;
    let resume = json!({ "sessionId": session, "seq": seq });
    let hello = json!({ "token": server.token(user), "deviceId": device, "resume": resume });
    client.send("session:hello", Some(0), &hello).await;
    client.welcome = client.event("session:welcome").await;
    client
}

/// Sets up a call in which candidates are forwarded at once.
async fn call(server: &Server) -> (Client, Client) {
    let mut alice = Client::sign_in_on(server, "alice", Some("laptop")).await;
    let mut bob = Client::sign_in_on(server, "bob", Some("phone")).await;
    alice.request("call:initiate", json!({ "targetUserId": "bob", "callType": "audio" })).await;
    bob.event("call:incoming").await;
    bob.request("call:accept", json!({})).await;
    alice.event("call:accepted").await;
    bob.request("signal:offer", json!({ "sdp": "v=0\r\n" })).await;
    alice.event("signal:offer").await;
    (alice, bob)
}

/// Reads up to this candidate; returns the sequence number of its event.
async fn read_up_to(client: &mut Client, n: u32) -> u64 {
    loop {
        let frame = client.frame().await;
        if frame["event"] == "ice:candidate" && number(&frame["data"]) == n {
            return frame["seq"].as_u64().expect("events have a number");
        }
    }
}

#[tokio::test]
async fn no_event_is_lost_or_duplicated_when_connections_break() {
    let server = Server::start();
    let (mut alice, mut bob) = call(&server).await;
    let session = alice.welcome["sessionId"].clone();
    assert_eq!(alice.welcome["resumed"], false);
    let mut got = 0;
    for round in 1..=10 {
        for n in 5 * round - 4..=5 * round {
            bob.request("ice:candidate", candidate(n)).await;
        }
        // Alice reads some events, acknowledges fewer, and loses the connection.
        let seq = read_up_to(&mut alice, got + 3).await;
        got += 3;
        alice.send_text(&json!({ "ack": seq - 1 }).to_string()).await;
        drop(alice);
        if round % 2 == 0 {
            bob.event("call:reconnecting").await;
        }
        alice = resume(&server, "alice", "laptop", &session, seq).await;
        assert_eq!(
            (&alice.welcome["sessionId"], &alice.welcome["resumed"]),
            (&session, &json!(true))
        );
    }
    for n in got + 1..=50 {
        loop {
            let frame = alice.frame().await;
            if frame["event"] == "ice:candidate" {
                assert_eq!(number(&frame["data"]), n, "each once, in order");
                break;
            }
        }
    }
    // Alice is still in the call.
    alice.request("call:end", json!({})).await;
    bob.event("call:ended").await;
    assert_eq!(server.metric("callbox_sessions_resumed_total"), 10.0);
    assert_eq!(server.metric("callbox_sessions_opened_total"), 2.0);
}

#[tokio::test]
async fn a_connection_that_hangs_is_taken_over() {
    let server = Server::start();
    let (mut alice, mut bob) = call(&server).await;
    let session = alice.welcome["sessionId"].clone();
    bob.request("ice:candidate", candidate(1)).await;
    let seq = read_up_to(&mut alice, 1).await;
    let mut again = resume(&server, "alice", "laptop", &session, seq).await;
    assert_eq!(again.welcome["resumed"], true);
    assert_eq!(alice.closed().await.0, 4409);
    bob.request("ice:candidate", candidate(2)).await;
    assert_eq!(number(&again.event("ice:candidate").await), 2);
    // Late messages of the old connection are ignored.
    drop(alice);
    again.request("call:end", json!({})).await;
    bob.event("call:ended").await;
}

#[tokio::test]
async fn only_its_own_client_can_resume_a_session() {
    let server = Server::start();
    let alice = Client::sign_in_on(&server, "alice", Some("laptop")).await;
    let session = alice.welcome["sessionId"].clone();
    for (user, device, seq) in
        [("mallory", "laptop", 0), ("alice", "other", 0), ("alice", "laptop", 9)]
    {
        let other = resume(&server, user, device, &session, seq).await;
        assert_eq!(other.welcome["resumed"], false);
        assert_ne!(other.welcome["sessionId"], session);
    }
    let mut client = Client::connect(&server).await;
    let hello = json!({ "token": server.token("alice"), "resume": { "sessionId": 7 } });
    client.send("session:hello", Some(1), &hello).await;
    let answer = client.answer(1).await;
    assert_eq!(answer["error"]["code"], "invalid_payload", "{answer}");
}

#[tokio::test]
async fn a_client_that_leaves_cannot_resume() {
    let server = Server::with(&["--resume-window", "10m"]);
    for device in ["one", "two"] {
        drop(Client::sign_in_on(&server, "bob", Some(device)).await);
    }
    Client::sign_in_on(&server, "bob", Some("three")).await.close(4000).await;
    server.wait_for_metric("callbox_sessions_away", |away| away == 3.0);
    for code in [1000, 1001] {
        Client::sign_in_on(&server, "alice", Some("laptop")).await.close(code).await;
        server.wait_for_metric("callbox_sessions", |open| open == 3.0);
    }
    Client::sign_in_on(&server, "alice", Some("laptop")).await.ws.close(None).await.unwrap();
    server.wait_for_metric("callbox_sessions", |open| open == 3.0);
}

#[tokio::test]
async fn a_plain_socket_io_client_gets_the_state_of_its_call() {
    let server = Server::start();
    let mut bob = Client::sign_in_on(&server, "bob", Some("phone")).await;
    let auth = json!({ "token": server.token("alice"), "deviceId": "laptop" });
    let mut alice = socketio::Client::connect(&server).await;
    alice.auth(&auth).await;
    alice.request("call:initiate", json!({ "targetUserId": "bob", "callType": "audio" })).await;
    bob.event("call:incoming").await;
    bob.request("call:accept", json!({})).await;
    bob.request("signal:offer", json!({ "sdp": "v=0\r\n" })).await;
    bob.request("ice:candidate", candidate(1)).await;
    alice.event("ice:candidate").await;
    drop(alice);
    bob.event("call:reconnecting").await;
    bob.request("ice:candidate", candidate(2)).await;
    let mut alice = socketio::Client::connect(&server).await;
    alice.auth(&auth).await;
    let sync = alice.event("call:sync").await;
    assert_eq!(
        (&sync["description"]["type"], &sync["call"]["state"]),
        (&json!("offer"), &json!("connecting"))
    );
    assert_eq!(sync["candidates"].as_array().map(Vec::len), Some(1));
    // The missed events follow, as usual.
    assert_eq!(number(&alice.event("ice:candidate").await), 2);
    bob.event("call:reconnected").await;
}

/// The response is lost with the connection. The repeated request gets the same one, and has no
/// second effect.
#[tokio::test]
async fn a_repeated_request_gets_the_same_response() {
    let server = Server::start();
    let mut bob = Client::sign_in_on(&server, "bob", Some("phone")).await;
    let mut alice = Client::sign_in_on(&server, "alice", Some("laptop")).await;
    let session = alice.welcome["sessionId"].clone();
    let initiate = json!({ "targetUserId": "bob", "callType": "audio", "msgId": "x1" });
    alice.send("call:initiate", Some(1), &initiate).await;
    let call = bob.event("call:incoming").await["callId"].clone();
    drop(alice);
    let mut alice = resume(&server, "alice", "laptop", &session, 0).await;
    let answer = alice.request("call:initiate", initiate).await;
    assert_eq!(answer["callId"], call);
    assert_eq!(server.metric("callbox_calls_started_total"), 1.0);
}

/// All retained events come at once, and are not mistaken for a slow reader.
#[tokio::test]
async fn a_session_with_many_missed_events_is_resumed() {
    let server = Server::with(&["--events-per-second", "0", "--max-message", "16KiB"]);
    let (mut alice, mut bob) = call(&server).await;
    let session = alice.welcome["sessionId"].clone();
    bob.request("ice:candidate", candidate(1)).await;
    let seq = read_up_to(&mut alice, 1).await;
    alice.send_text(&json!({ "ack": seq }).to_string()).await;
    drop(alice);
    bob.event("call:reconnecting").await;
    // Those of a change of state count against the limit as well.
    for n in 2..=250 {
        bob.request("ice:candidate", candidate(n)).await;
    }
    let mut alice = resume(&server, "alice", "laptop", &session, seq).await;
    assert_eq!(alice.welcome["resumed"], true);
    for n in 2..=250 {
        assert_eq!(number(&alice.event("ice:candidate").await), n);
    }
}

/// Only close code 1000 leaves; a page that is closed otherwise may be reloading.
#[tokio::test]
async fn a_client_that_leaves_ends_its_call_and_a_lost_one_can_return() {
    let server = Server::start();
    for code in [Some(1000), Some(1001), Some(1011), Some(4000), None] {
        let mut alice = Client::sign_in_on(&server, "alice", Some("laptop")).await;
        let mut bob = Client::sign_in_on(&server, "bob", Some("phone")).await;
        let initiate = json!({ "targetUserId": "bob", "callType": "audio" });
        alice.request("call:initiate", initiate).await;
        bob.request("call:accept", json!({})).await;
        match code {
            Some(code) => alice.close(code).await,
            None => alice.ws.close(None).await.unwrap(),
        }
        loop {
            let (name, data) = bob.seed_event().await;
            match name.as_str() {
                "call:ended" => {
                    assert_eq!((code, &data["reason"]), (Some(1000), &json!("left")));
                    assert_eq!(data["endedBy"], "alice");
                    break;
                }
                "call:reconnecting" => {
                    assert_ne!(code, Some(1000));
                    bob.request("call:end", json!({})).await;
                    break;
                }
                _ => {}
            }
        }
        bob.close(1000).await;
    }
}
