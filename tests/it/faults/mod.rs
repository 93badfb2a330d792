//! Faults on demand, as clients over real sockets meet with them.

mod packets;
mod relay;
mod sessions;

use std::net::UdpSocket;

use serde_json::{Value, json};

use crate::{
    common::{DEADLINE, Server, http, turn_credentials},
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
        // The relay has read all of them once it answers.
        self.client.permit(self.peer.local_addr().unwrap());
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
