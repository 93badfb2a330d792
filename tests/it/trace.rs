//! Traces of calls: the steps of both fronts and of the relay, and what a trace never has.

use std::{net::UdpSocket, path::Path, time::Instant};

use serde_json::{Value, json};

use crate::{
    common::{DEADLINE, Server, http, socketio, turn_credentials, websocket::Client},
    support::plain_client::PlainClient,
};

const CANDIDATE: &str = "candidate:842163049 1 udp 1677729535 203.0.113.9 46154 typ srflx raddr \
                         10.0.0.17 rport 46154 generation 0 ufrag EEtu";

fn ask(server: &Server, call: &Value) -> http::Response {
    let headers = [("authorization", format!("Bearer {}", server.text("/dev/apiKey")))];
    let path = format!("/api/v1/calls/{}/trace", call.as_str().unwrap());
    http::request(server.authority(), "GET", &path, &headers, None)
}

fn trace(server: &Server, call: &Value) -> Value {
    let answer = ask(server, call);
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.json()
}

/// Waits until a trace has a step. Returns the trace.
fn wait_for(server: &Server, call: &Value, fits: impl Fn(&Value) -> bool) -> Value {
    let until = Instant::now() + DEADLINE;
    loop {
        let trace = trace(server, call);
        if steps(&trace).iter().any(&fits) {
            return trace;
        }
        assert!(Instant::now() < until, "{trace:#}");
        std::thread::yield_now();
    }
}

fn steps(trace: &Value) -> &[Value] {
    trace["steps"].as_array().unwrap()
}

/// Returns the steps as short texts, without events of the call's state.
fn short(trace: &Value) -> Vec<String> {
    let text = |step: &Value| {
        let part = |name: &str| match &step[name] {
            Value::Null => String::new(),
            Value::String(text) => format!(" {text}"),
            other => format!(" {other}"),
        };
        let parts = ["step", "user", "event", "method", "error", "direction", "fault", "change"];
        parts.map(part).concat().trim().to_owned()
    };
    let is_shown = |step: &&Value| step["event"] != "call:state";
    steps(trace).iter().filter(is_shown).map(text).collect()
}

/// Calls from alice to bob, who accepts. Returns the call, and alice's credentials for it.
async fn call(alice: &mut Client, bob: &mut Client) -> (Value, (String, String)) {
    let data = json!({ "targetUserId": "bob", "callType": "video", "metadata": "hidden-meta" });
    let call = alice.request("call:initiate", data).await;
    bob.event("call:incoming").await;
    bob.request("call:accept", json!({ "callId": call["callId"] })).await;
    (call["callId"].clone(), turn_credentials(&call))
}

fn allocate(server: &Server, (username, password): &(String, String)) -> PlainClient {
    let at = server.turn().parse().unwrap();
    PlainClient::allocate_as(at, server.text("/realm"), username, password)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trace_has_the_steps_of_both_sides_and_of_the_relay_and_no_secrets() {
    let server = Server::with(&["--trace"]);
    let mut alice = Client::sign_in(&server, "alice").await;
    let mut bob = Client::sign_in(&server, "bob").await;
    let (id, credentials) = call(&mut alice, &mut bob).await;
    let offer = json!({ "callId": id, "sdp": { "type": "offer", "sdp": "v=0 hidden-sdp" } });
    alice.request("signal:offer", offer).await;
    let candidate = json!({ "candidate": CANDIDATE, "sdpMid": "0" });
    alice.request("ice:candidate", json!({ "callId": id, "candidate": candidate })).await;
    alice.request("call:message", json!({ "callId": id, "data": "hidden-text" })).await;
    bob.event("call:message").await;

    let peer = UdpSocket::bind("127.0.0.1:0").unwrap();
    peer.set_read_timeout(Some(DEADLINE)).unwrap();
    let client = allocate(&server, &credentials);
    peer.send_to(b"too early", client.relayed).unwrap();
    wait_for(&server, &id, |step| step["step"] == "firstRefusedPacket");
    client.bind(0x4001, peer.local_addr().unwrap());
    client.socket.send(&callbox_client::channel_data(0x4001, b"up")).unwrap();
    peer.recv(&mut [0; 9]).unwrap();
    peer.send_to(b"down", client.relayed).unwrap();
    assert!(client.receive().ends_with(b"down"));
    alice.refused("call:accept", json!({ "callId": id })).await;
    bob.request("call:connected", json!({ "callId": id })).await;
    bob.request("call:stats", json!({ "callId": id, "path": "relay" })).await;
    alice.request("call:end", json!({ "callId": id })).await;
    let trace = wait_for(&server, &id, |step| step["step"] == "over");

    let expected = [
        "request alice call:initiate",
        "event bob call:incoming",
        "request bob call:accept",
        "event alice call:accepted",
        "request alice signal:offer",
        "event bob signal:offer",
        "request alice ice:candidate",
        "event bob ice:candidate",
        "request alice call:message",
        "event bob call:message",
        "turn alice Allocate",
        "firstRefusedPacket alice toClient",
        "turn alice ChannelBind",
        "firstPacket alice toPeer",
        "firstPacket alice toClient",
        "request bob call:connected",
        "request bob call:stats",
        "request alice call:end",
        "event bob call:ended",
        "allocationClosed alice",
        "over alice",
    ];
    let short = short(&trace);
    let missing: Vec<_> = expected.iter().filter(|step| !is_in_order(&short, step)).collect();
    assert!(missing.is_empty(), "{missing:?} of {short:#?}");
    assert!(short.iter().any(|step| step.starts_with("request alice call:accept ")), "{short:?}");
    let positions: Vec<_> = expected.iter().map(|step| position(&short, step)).collect();
    // The steps of a request and of what it causes are told at the same time.
    let firsts: Vec<_> =
        [0, 2, 4, 6, 8, 10, 11, 12, 13, 14, 15, 16, 17].map(|n| positions[n]).into();
    assert!(firsts.is_sorted(), "{short:#?}");

    let find = |name: &str| steps(&trace).iter().find(|step| step["step"] == *name).unwrap();
    assert_eq!(find("allocationClosed")["bytesUp"], 2);
    assert_eq!(find("allocationClosed")["refusedPackets"], 1);
    assert_eq!(find("firstRefusedPacket")["reason"], "no_permission");
    let stats = steps(&trace).iter().find(|step| step["event"] == "call:stats").unwrap();
    assert_eq!(stats["path"], "relay");
    let candidate = steps(&trace).iter().find(|step| step["event"] == "ice:candidate").unwrap();
    let address = "203.0.113.9:46154";
    let expected = json!({ "type": "srflx", "transport": "udp", "address": address });
    assert_eq!(candidate["candidate"], expected);
    assert_eq!(trace["users"], json!(["alice", "bob"]));
    assert_eq!(trace["isOver"], true);
    let text = trace.to_string();
    let secrets = ["hidden-", "842163049", "EEtu", "10.0.0.17", "v=0", &credentials.1];
    for secret in secrets {
        assert!(!text.contains(secret), "{secret} is in {text}");
    }
}

fn position(steps: &[String], step: &str) -> Option<usize> {
    steps.iter().position(|other| other == step)
}

fn is_in_order(steps: &[String], step: &str) -> bool {
    position(steps, step).is_some()
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_and_lost_connections_are_in_the_trace() {
    let server = Server::with(&["--trace", "--allow-faults"]);
    let mut alice = Client::sign_in(&server, "alice").await;
    let mut bob = Client::sign_in(&server, "bob").await;
    let (id, credentials) = call(&mut alice, &mut bob).await;
    let client = allocate(&server, &credentials);
    let faults = json!({
        "packets": [{ "lossPercent": 100 }],
        "requests": [{ "method": "refresh", "answer": 437, "count": 1 }],
        "events": [{ "event": "media:updated", "effect": "drop" }],
    });
    put(&server, &faults);
    let peer = UdpSocket::bind("127.0.0.1:0").unwrap();
    client.bind(0x4001, peer.local_addr().unwrap());
    client.socket.send(&callbox_client::channel_data(0x4001, b"up")).unwrap();
    assert_eq!(client.try_request(&callbox_client::Request::refresh()), Some(437));
    alice.request("media:update", json!({ "callId": id, "muted": true })).await;
    wait_for(&server, &id, |step| step["step"] == "firstLostPacket");
    put(
        &server,
        &json!({ "actions": [
        { "action": "expireCredentials" },
        { "action": "cutSession", "for": { "userId": "bob" } },
    ] }),
    );
    assert_eq!(client.try_request(&callbox_client::Request::refresh()), Some(401));
    let trace = wait_for(&server, &id, |step| step["change"] == "lost");
    let short = short(&trace);
    for step in [
        "fault packets",
        "fault requests",
        "fault events",
        "firstLostPacket alice toPeer",
        "turn alice Refresh 437 answered",
        "event bob media:updated dropped",
        "fault expireCredentials",
        "fault bob cutSession",
        "session bob lost",
        "turn alice Refresh 401",
    ] {
        let found = match step {
            "fault bob cutSession" => short.iter().any(|s| s.contains("cutSession")),
            step => position(&short, step).is_some(),
        };
        assert!(found, "{step} is not in {short:#?}");
    }
    let refused = |step: &&Value| step["error"] == 401;
    let refused = steps(&trace).iter().find(refused).unwrap();
    assert_eq!(refused["refusal"], "they have expired");
}

fn put(server: &Server, document: &Value) {
    let headers = [("authorization", format!("Bearer {}", server.text("/dev/apiKey")))];
    let authority = server.authority();
    let answer = http::request(authority, "PUT", "/api/v1/faults", &headers, Some(document));
    assert_eq!(answer.status, 200, "{}", answer.body);
}

/// The Binding requests of a client come before its user is known.
#[tokio::test(flavor = "multi_thread")]
async fn a_binding_belongs_to_the_user_who_announces_its_address_or_allocates_from_it() {
    let server = Server::with(&["--trace"]);
    let mut alice = Client::sign_in(&server, "alice").await;
    let mut bob = socketio::Client::sign_in(&server, "bob").await;
    let data = json!({ "targetUserId": "bob", "callType": "audio" });
    let call = alice.request("call:initiate", data).await;
    let id = call["callId"].clone();
    bob.event("call:incoming").await;
    bob.request("call:accept", json!({ "callId": id })).await;
    let ours = UdpSocket::bind("127.0.0.1:0").unwrap();
    ours.set_read_timeout(Some(DEADLINE)).unwrap();
    let binding = b"\x00\x01\x00\x00\x21\x12\xa4\x42transaction!";
    ours.send_to(binding, server.turn()).unwrap();
    ours.recv(&mut [0; 100]).unwrap();
    let port = ours.local_addr().unwrap().port();
    let line = format!("candidate:1 1 udp 1 127.0.0.1 {port} typ host");
    bob.request("ice:candidate", json!({ "callId": id, "candidate": line })).await;
    let is_binding = |step: &Value| step["step"] == "binding";
    let trace = wait_for(&server, &id, is_binding);
    let binding = steps(&trace).iter().find(|step| is_binding(step)).unwrap();
    assert_eq!((&binding["user"], &binding["transport"]), (&json!("bob"), &json!("udp")));
    assert_eq!(binding["client"], format!("127.0.0.1:{port}"));
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_neither_begin_a_trace_nor_read_one() {
    let server = Server::with(&["--trace"]);
    let mut alice = Client::sign_in(&server, "alice").await;
    let mut bob = Client::sign_in(&server, "bob").await;
    let mut mallory = Client::sign_in(&server, "mallory").await;
    let unknown = json!("01K0000000000000000000000G");
    mallory.ask("call:end", json!({ "callId": unknown })).await;
    assert_eq!(ask(&server, &unknown).status, 404);
    let (id, _) = call(&mut alice, &mut bob).await;
    let path = format!("/api/v1/calls/{}/trace", id.as_str().unwrap());
    assert_eq!(server.get(&path, None).status, 401);
    assert_eq!(server.get(&path, Some(&server.token("alice"))).status, 401);
    let answer = ask(&Server::start(), &id);
    assert_eq!(answer.status, 404);
    assert!(answer.body.contains("--trace"), "{}", answer.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn traces_are_written_to_files_when_calls_end_and_when_the_server_stops() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("traces");
    let server = Server::with(&["--trace-dir", path.to_str().unwrap()]);
    let mut alice = Client::sign_in(&server, "alice").await;
    let mut bob = Client::sign_in(&server, "bob").await;
    let (over, _) = call(&mut alice, &mut bob).await;
    alice.request("call:end", json!({ "callId": over })).await;
    let file = |call: &Value| path.join(format!("{}.json", call.as_str().unwrap()));
    let until = Instant::now() + DEADLINE;
    while !file(&over).exists() {
        assert!(Instant::now() < until);
        tokio::task::yield_now().await;
    }
    let (live, _) = call(&mut alice, &mut bob).await;
    server.terminate();
    let (status, log) = server.wait();
    assert!(status.success(), "{log}");
    assert_eq!(read(&file(&over))["isOver"], true);
    assert_eq!(read(&file(&live))["callId"], live);
}

fn read(path: &Path) -> Value {
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}
