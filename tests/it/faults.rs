//! Faults on demand, as clients over real sockets meet with them.

use std::{
    collections::BTreeSet,
    net::UdpSocket,
    time::{Duration, Instant},
};

use callbox_client::Request;
use futures_util::StreamExt;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use crate::{
    common::{DEADLINE, Server, http, socketio, turn_credentials, websocket::Client, within},
    support::plain_client::PlainClient,
};

const PATH: &str = "/api/v1/faults";

fn ask(server: &Server, method: &str, document: Option<&Value>) -> http::Response {
    let headers = [("authorization", format!("Bearer {}", server.text("/dev/apiKey")))];
    http::request(server.authority(), method, PATH, &headers, document)
}

/// Replaces the faults.
fn put(server: &Server, document: &Value) -> Value {
    let answer = ask(server, "PUT", Some(document));
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.json()
}

fn end(server: &Server) -> Value {
    let answer = ask(server, "DELETE", None);
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.json()
}

fn start() -> Server {
    Server::with(&["--allow-faults"])
}

/// Gets credentials for a user by `GET /api/v1/ice-servers`.
fn credentials(server: &Server, user: &str) -> (String, String) {
    let token = server.token(user);
    turn_credentials(&server.get("/api/v1/ice-servers", Some(&token)).json())
}

fn allocate(server: &Server, (username, password): &(String, String)) -> PlainClient {
    let at = server.turn().parse().unwrap();
    PlainClient::allocate_as(at, server.text("/realm"), username, password)
}

/// A client with an allocation and a peer that it has a channel to.
struct Pair {
    client: PlainClient,
    peer: UdpSocket,
}

const CHANNEL: u16 = 0x4001;

impl Pair {
    fn open(server: &Server, user: &str) -> Self {
        let peer = UdpSocket::bind("127.0.0.1:0").unwrap();
        peer.set_read_timeout(Some(DEADLINE)).unwrap();
        let client = allocate(server, &credentials(server, user));
        client.bind(CHANNEL, peer.local_addr().unwrap());
        Self { client, peer }
    }

    /// Sends a number to the peer.
    fn send(&self, number: u32) {
        let data = callbox_client::channel_data(CHANNEL, &number.to_be_bytes());
        self.client.socket.send(&data).unwrap();
    }

    /// Returns the next number that the peer gets.
    fn received(&self) -> u32 {
        let mut buffer = [0; 100];
        let (len, _) = self.peer.recv_from(&mut buffer).expect("it comes before the deadline");
        u32::from_be_bytes(buffer[..len].try_into().unwrap())
    }

    /// Sends numbers under these faults. Returns those that arrive, in their order.
    fn relayed_under(&self, server: &Server, document: &Value, count: u32) -> Vec<u32> {
        put(server, document);
        for number in 0..count {
            self.send(number);
            if number % 20 == 19 {
                // A buffer of a socket that overflows would lose more.
                self.client.permit(self.peer.local_addr().unwrap());
            }
        }
        end(server);
        self.send(u32::MAX);
        let mut received = Vec::new();
        loop {
            match self.received() {
                u32::MAX => return received,
                number => received.push(number),
            }
        }
    }
}

#[test]
fn nothing_fails_without_allow_faults() {
    let server = Server::start();
    assert_eq!(server.ready.get("faultsAllowed"), None);
    assert_eq!(server.metric("callbox_faults_allowed"), 0.0);
    for (method, document) in [("GET", None), ("PUT", Some(json!({}))), ("DELETE", None)] {
        let answer = ask(&server, method, document.as_ref());
        assert_eq!((answer.status, &*answer.error()), (403, "faults_not_allowed"), "{method}");
        // Without an API key nobody learns even that.
        let answer = http::request(server.authority(), method, PATH, &[], document.as_ref());
        assert_eq!((answer.status, &*answer.error()), (401, "unauthorized"), "{method}");
    }
    let error = Server::try_with(&["--faults", "{}"]).err().expect("it does not start");
    assert!(error.contains("--allow-faults"), "{error}");
    let error = Server::try_with(&["--allow-faults", "--strict"]).err().expect("it does not start");
    assert!(error.contains("--allow-faults"), "{error}");
}

#[test]
fn a_server_with_faults_says_so_everywhere() {
    let faults = r#"{"seed":7,"requests":[{"method":"allocate","answer":486,"count":1}]}"#;
    let server = Server::with(&["--allow-faults", "--faults", faults]);
    assert_eq!(server.ready["faultsAllowed"], true);
    assert_eq!(server.metric("callbox_faults_allowed"), 1.0);
    let report = ask(&server, "GET", None).json();
    assert_eq!((&report["seed"], &report["requests"][0]["left"]), (&json!(7), &json!(1)));
    let (username, password) = credentials(&server, "alice");
    let at = server.turn().parse().unwrap();
    let realm = server.text("/realm");
    let refused = PlainClient::try_allocate_as(at, realm, &username, &password).err();
    assert_eq!(refused, Some(486));
    PlainClient::allocate_as(at, realm, &username, &password);
    assert_eq!(server.metric("callbox_injected_faults_total{kind=\"request_answered\"}"), 1.0);
    server.terminate();
    let (_, log) = server.wait();
    assert!(log.contains("it is for tests alone"), "{log}");
    assert!(log.contains("seed=7"), "{log}");
}

#[test]
fn a_wrong_document_is_refused_and_changes_nothing() {
    let server = start();
    put(&server, &json!({ "seed": 1, "packets": [{ "lossPercent": 5 }] }));
    for (document, expected) in [
        (json!({ "packets": [{ "lossPercent": 120 }] }), "packets[0].lossPercent is 120"),
        (json!({ "packets": [{ "for": { "user": "x" } }] }), "unknown field `user`"),
        (json!({ "packet": [] }), "unknown field `packet`"),
    ] {
        let answer = ask(&server, "PUT", Some(&document));
        assert_eq!((answer.status, &*answer.error()), (400, "invalid_payload"), "{document}");
        assert!(answer.body.contains(expected), "{}", answer.body);
    }
    assert_eq!(ask(&server, "GET", None).json()["packets"][0]["lossPercent"], 5.0);
}

#[test]
fn packets_are_lost_by_the_seed_and_a_seed_that_was_generated_repeats_them() {
    let server = start();
    let pair = Pair::open(&server, "alice");
    let lossy = |seed: u64| json!({ "seed": seed, "packets": [{ "lossPercent": 50 }] });
    let first = pair.relayed_under(&server, &lossy(1), 200);
    assert!((60..140).contains(&first.len()), "{first:?}");
    assert!(first.is_sorted());
    // Another allocation of the user meets with the same.
    let again = Pair::open(&server, "alice");
    assert_eq!(again.relayed_under(&server, &lossy(1), 200), first);
    assert_ne!(pair.relayed_under(&server, &lossy(2), 200), first);
    let generated = put(&server, &json!({}))["seed"].as_u64().unwrap();
    assert_ne!(put(&server, &json!({}))["seed"], generated);
    // The other direction, and other users, are not affected.
    put(
        &server,
        &json!({ "packets": [
        { "lossPercent": 100, "direction": "up", "for": { "userId": "alice" } },
    ] }),
    );
    let bob = Pair::open(&server, "bob");
    bob.send(7);
    assert_eq!(bob.received(), 7);
    pair.send(8);
    pair.peer.send_to(b"down", pair.client.relayed).unwrap();
    assert!(pair.client.receive().ends_with(b"down"));
    end(&server);
    pair.send(9);
    assert_eq!(pair.received(), 9);
}

#[test]
fn packets_come_late_in_order_twice_and_out_of_order() {
    let server = start();
    let pair = Pair::open(&server, "alice");
    put(&server, &json!({ "packets": [{ "direction": "up", "delayMs": 200, "jitterMs": 50 }] }));
    let sent = Instant::now();
    (0..50).for_each(|number| pair.send(number));
    let received: Vec<_> = (0..50).map(|_| pair.received()).collect();
    assert!(sent.elapsed() >= Duration::from_millis(150), "{:?}", sent.elapsed());
    assert_eq!(received, (0..50).collect::<Vec<_>>());

    let twice = json!({ "packets": [{ "duplicatePercent": 100 }] });
    assert_eq!(pair.relayed_under(&server, &twice, 3), [0, 0, 1, 1, 2, 2]);

    // What is held back when the faults end is sent at once.
    let reordered = json!({ "seed": 3, "packets": [{ "delayMs": 60_000, "reorderPercent": 30 }] });
    let received = pair.relayed_under(&server, &reordered, 60);
    assert!(!received.is_sorted(), "{received:?}");
    assert_eq!(received.iter().collect::<BTreeSet<_>>().len(), 60);
    let injected = ask(&server, "GET", None).json()["injected"].clone();
    assert!(injected["packetsReordered"].as_u64().unwrap() > 5, "{injected}");
    assert_eq!(injected["packetsDuplicated"], 3);
}

#[test]
fn the_bandwidth_of_a_user_is_limited_in_the_other_direction_too() {
    let server = start();
    let pair = Pair::open(&server, "alice");
    // A message of 1004 bytes takes 80 ms.
    let slow = json!({ "direction": "down", "bandwidthKbps": 100, "for": { "userId": "alice" } });
    put(&server, &json!({ "packets": [slow] }));
    let sent = Instant::now();
    for _ in 0..5 {
        pair.peer.send_to(&[7; 1000], pair.client.relayed).unwrap();
    }
    for _ in 0..5 {
        assert_eq!(pair.client.receive().len(), 1004);
    }
    assert!(sent.elapsed() >= Duration::from_millis(400), "{:?}", sent.elapsed());
}

/// The packets of two clients of this server go from one allocation to the other without a socket
/// between them, perhaps from worker to worker.
#[test]
fn faults_are_also_for_packets_between_two_clients_of_the_server() {
    let server = Server::with(&["--allow-faults", "--workers", "2"]);
    let pairs: Vec<_> = ["alice", "bob", "carol", "dave"]
        .map(|user| allocate(&server, &credentials(&server, user)))
        .into();
    let [alice, others @ ..] = &pairs[..] else { panic!("there are four") };
    for (n, other) in others.iter().enumerate() {
        let channel = 0x4001 + n as u16;
        alice.bind(channel, other.relayed);
        other.bind(0x4001, alice.relayed);
        let late = json!({ "for": { "userId": "alice" }, "direction": "up", "delayMs": 100 });
        put(&server, &json!({ "packets": [late, { "duplicatePercent": 100 }] }));
        let sent = Instant::now();
        let data = callbox_client::channel_data(channel, b"ping");
        alice.socket.send(&data).unwrap();
        for _ in 0..2 {
            assert!(other.receive().ends_with(b"ping"));
        }
        assert!(sent.elapsed() >= Duration::from_millis(100));
        end(&server);
    }
}

#[test]
fn the_next_requests_fail_and_those_after_them_do_not() {
    let server = start();
    let pair = Pair::open(&server, "alice");
    let peer = pair.peer.local_addr().unwrap();
    put(
        &server,
        &json!({ "requests": [
        { "method": "createPermission", "answer": 438, "count": 1 },
        { "method": "refresh", "answer": 437, "count": 2, "for": { "userId": "alice" } },
        { "method": "refresh", "answer": 508, "count": 1 },
    ] }),
    );
    // The client goes on with the new nonce.
    assert_eq!(pair.client.try_permit(peer), None);
    let refresh = || pair.client.try_request(&Request::refresh());
    assert_eq!(
        [refresh(), refresh(), refresh(), refresh()],
        [Some(437), Some(437), Some(508), None]
    );
    let report = ask(&server, "GET", None).json();
    assert_eq!(report["injected"]["requestsAnswered"], 4);
    assert!(report["requests"].as_array().unwrap().iter().all(|rule| rule["left"] == 0));
}

#[test]
fn credentials_expire_and_allocations_are_dropped_at_once() {
    let server = start();
    let old = credentials(&server, "alice");
    let alice = allocate(&server, &old);
    let bob = allocate(&server, &credentials(&server, "bob"));
    let of_alice = json!({ "userId": "alice" });
    let expire = json!({ "actions": [{ "action": "expireCredentials", "for": of_alice }] });
    let expected = json!([{ "action": "expireCredentials", "affected": 1 }]);
    assert_eq!(put(&server, &expire)["actions"], expected);
    assert_eq!(alice.try_request(&Request::refresh()), Some(401));
    assert_eq!(bob.try_request(&Request::refresh()), None);
    // Credentials are the same within a second.
    let until = Instant::now() + DEADLINE;
    let new = loop {
        let new = credentials(&server, "alice");
        if new.0 > old.0
            && PlainClient::try_allocate_as(
                server.turn().parse().unwrap(),
                server.text("/realm"),
                &new.0,
                &new.1,
            )
            .is_ok()
        {
            break new;
        }
        assert!(Instant::now() < until, "new credentials are refused");
        std::thread::yield_now();
    };
    let alice = allocate(&server, &new);
    let drop_all = json!({ "actions": [{ "action": "dropAllocations" }] });
    let dropped = put(&server, &drop_all)["actions"][0]["affected"].as_u64().unwrap();
    assert!(dropped >= 3, "{dropped}");
    for client in [&alice, &bob] {
        assert_eq!(client.try_request(&Request::refresh()), Some(437));
    }
    server.wait_for_metric("callbox_allocations", |open| open == 0.0);
}

#[test]
fn a_relay_that_is_gone_answers_nothing_and_comes_back_with_its_allocations() {
    let server = start();
    let pair = Pair::open(&server, "alice");
    let gone = json!({ "actions": [{ "action": "relayGone", "forMs": 600_000 }] });
    assert_eq!(put(&server, &gone)["relayGone"], true);
    pair.send(1);
    pair.peer.send_to(b"lost", pair.client.relayed).unwrap();
    let short = Duration::from_millis(200);
    pair.client.socket.set_read_timeout(Some(short)).unwrap();
    pair.peer.set_read_timeout(Some(short)).unwrap();
    assert!(pair.client.socket.recv(&mut [0; 9]).is_err());
    assert!(pair.peer.recv(&mut [0; 9]).is_err());
    assert_eq!(end(&server)["relayGone"], false);
    pair.client.socket.set_read_timeout(Some(DEADLINE)).unwrap();
    pair.peer.set_read_timeout(Some(DEADLINE)).unwrap();
    pair.send(2);
    assert_eq!(pair.received(), 2);
    pair.peer.send_to(b"back", pair.client.relayed).unwrap();
    assert!(pair.client.receive().ends_with(b"back"));
    // It ends by itself as well.
    put(&server, &json!({ "actions": [{ "action": "relayGone", "forMs": 100 }] }));
    let until = Instant::now() + DEADLINE;
    pair.client.socket.set_read_timeout(Some(short)).unwrap();
    loop {
        pair.peer.send_to(b"again", pair.client.relayed).unwrap();
        if pair.client.socket.recv(&mut [0; 100]).is_ok() {
            break;
        }
        assert!(Instant::now() < until, "the relay does not come back");
    }
}

/// A client of the server over TCP is held up while the relay is gone, and not lost.
#[test]
fn streams_wait_while_the_relay_is_gone() {
    use crate::support::plain_client::Framed;

    let server = start();
    let stream = std::net::TcpStream::connect(server.turn()).unwrap();
    let mut writer = stream.try_clone().unwrap();
    let short = Duration::from_millis(200);
    put(&server, &json!({ "actions": [{ "action": "relayGone", "forMs": 600_000 }] }));
    let binding = b"\x00\x01\x00\x00\x21\x12\xa4\x42transaction!";
    std::io::Write::write_all(&mut writer, binding).unwrap();
    writer.set_read_timeout(Some(short)).unwrap();
    assert!(std::io::Read::read(&mut writer, &mut [0; 9]).is_err());
    end(&server);
    writer.set_read_timeout(Some(DEADLINE)).unwrap();
    let framed = Framed::new(stream);
    let answer = crate::support::plain_client::Wire::take(&framed);
    assert_eq!(answer[..2], [0x01, 0x01]);
}

/// Calls from alice, and returns the id of the call.
async fn call(alice: &mut Client) -> Value {
    let call = json!({ "targetUserId": "bob", "callType": "audio" });
    alice.request("call:initiate", call).await["callId"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_dropped_sent_twice_and_held_back_on_both_fronts() {
    let server = start();
    let mut alice = Client::sign_in(&server, "alice").await;
    let mut bob = Client::sign_in(&server, "bob").await;
    let mut io = socketio::Client::sign_in(&server, "bob").await;
    put(
        &server,
        &json!({ "events": [
        { "event": "call:incoming", "effect": "duplicate", "for": { "userId": "bob" } },
        { "event": "call:ringing", "effect": "drop", "for": { "userId": "bob" } },
    ] }),
    );
    let id = call(&mut alice).await;
    for _ in 0..2 {
        assert_eq!(bob.seed_event().await.0, "call:incoming");
        assert_eq!(io.seed_event().await.0, "call:incoming");
    }
    // Both are told of the end, and one of them only of the end.
    put(
        &server,
        &json!({ "events": [
        { "event": "call:ended", "effect": "delay", "delayMs": 300, "for": { "callId": id } },
        { "event": "call:ended", "effect": "drop", "for": { "userId": "alice" } },
    ] }),
    );
    let ended = Instant::now();
    alice.request("call:end", json!({ "callId": id })).await;
    assert_eq!(bob.seed_event().await.0, "call:ended");
    assert!(ended.elapsed() >= Duration::from_millis(300), "{:?}", ended.elapsed());
    assert_eq!(io.seed_event().await.0, "call:ended");

    put(
        &server,
        &json!({ "events": [
        { "event": "call:incoming", "effect": "drop", "count": 2 },
    ] }),
    );
    let lost = call(&mut alice).await;
    alice.request("call:end", json!({ "callId": lost })).await;
    assert_eq!(bob.seed_event().await.0, "call:ended");
    let report = ask(&server, "GET", None).json();
    assert_eq!(report["events"][0]["left"], 0);
    assert_eq!(report["injected"]["eventsDropped"], 2);
    let heard = call(&mut alice).await;
    let (name, data) = bob.seed_event().await;
    assert_eq!((&*name, &data["callId"]), ("call:incoming", &heard));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_cut_without_a_word_on_both_fronts() {
    let server = start();
    let mut bob = Client::sign_in(&server, "bob").await;
    let mut io = socketio::Client::sign_in(&server, "bob").await;
    let mut alice = Client::sign_in(&server, "alice").await;
    let cut = json!({ "action": "cutSession", "for": { "userId": "bob" } });
    let cut = put(&server, &json!({ "actions": [cut] }));
    assert_eq!(cut["actions"], json!([{ "action": "cutSession", "affected": 2 }]));
    let last = within("the end", bob.ws.next()).await;
    assert!(!matches!(last, Some(Ok(_))), "{last:?}");
    assert_eq!(io.close_frame().await, None);
    // Alice goes on, and bob may come back.
    alice.request("presence:subscribe", json!({ "userIds": ["bob"] })).await;
    Client::sign_in(&server, "bob").await;
}

/// The sessions in a call are those of the devices in it.
#[tokio::test(flavor = "multi_thread")]
async fn only_the_devices_of_a_call_are_cut_with_it() {
    let server = start();
    let mut alice = Client::sign_in_on(&server, "alice", Some("laptop")).await;
    let mut phone = Client::sign_in_on(&server, "alice", Some("phone")).await;
    let mut bob = Client::sign_in(&server, "bob").await;
    let id = call(&mut alice).await;
    bob.event("call:incoming").await;
    bob.request("call:accept", json!({ "callId": id })).await;
    let cut = json!({ "action": "cutSession", "for": { "callId": id, "userId": "alice" } });
    assert_eq!(put(&server, &json!({ "actions": [cut] }))["actions"][0]["affected"], 1);
    phone.request("presence:subscribe", json!({ "userIds": ["bob"] })).await;
    bob.request("presence:subscribe", json!({ "userIds": ["alice"] })).await;
    loop {
        match within("the end", alice.ws.next()).await {
            Some(Ok(Message::Text(_))) => {}
            end => break assert!(!matches!(end, Some(Ok(_))), "{end:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_session_hears_and_is_heard_when_the_silence_is_over() {
    let server = start();
    let mut bob = Client::sign_in(&server, "bob").await;
    let mut io = socketio::Client::sign_in(&server, "bob").await;
    let mut alice = Client::sign_in(&server, "alice").await;
    let half_open = json!({ "action": "halfOpenSession", "for": { "userId": "bob" } });
    put(&server, &json!({ "actions": [half_open] }));
    // Requests are not read.
    bob.send("presence:subscribe", Some(99), &json!({ "userIds": ["alice"] })).await;
    let id = call(&mut alice).await;
    let short = Duration::from_millis(200);
    assert!(tokio::time::timeout(short, bob.ws.next()).await.is_err());
    assert!(tokio::time::timeout(short, io.packet()).await.is_err());
    end(&server);
    assert_eq!(bob.event("call:incoming").await["callId"], id);
    assert_eq!(bob.answer(99).await["ok"], true);
    assert_eq!(io.event("call:incoming").await["callId"], id);

    let stall = json!({ "action": "stallSession", "for": { "userId": "bob" }, "forMs": 300 });
    let since = Instant::now();
    put(&server, &json!({ "actions": [stall] }));
    alice.request("call:end", json!({ "callId": id })).await;
    bob.event("call:ended").await;
    io.event("call:ended").await;
    assert!(since.elapsed() >= Duration::from_millis(300), "{:?}", since.elapsed());
}
