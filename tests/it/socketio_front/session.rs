//! A Socket.IO session that uses polling, for the tests.

use serde_json::{Value, json};

use crate::common::{Server, http};

/// A session that uses polling.
pub(super) struct Polling<'a> {
    pub server: &'a Server,
    pub path: String,
    pub max_payload: u64,
}

impl<'a> Polling<'a> {
    pub(super) fn open(server: &'a Server) -> Self {
        let base = "/socket.io/?EIO=4&transport=polling";
        let answer = http::request(server.authority(), "GET", base, &[], None);
        assert_eq!(answer.status, 200, "{answer:?}");
        let open: Value = serde_json::from_str(answer.body.strip_prefix('0').unwrap()).unwrap();
        assert_eq!(open["upgrades"], json!(["websocket"]));
        let max_payload = open["maxPayload"].as_u64().unwrap();
        Self { server, max_payload, path: format!("{base}&sid={}", open["sid"].as_str().unwrap()) }
    }

    pub(super) fn sign_in(server: &'a Server, user: &str) -> Self {
        Self::sign_in_with(server, &server.token(user))
    }

    pub(super) fn sign_in_with(server: &'a Server, token: &str) -> Self {
        let session = Self::open(server);
        session.send(&format!("40{}", json!({ "token": token })));
        session.poll_until("session:welcome");
        session
    }

    pub(super) fn send(&self, packet: &str) -> http::Response {
        http::raw(self.server.authority(), self.post(packet).as_bytes())
    }

    pub(super) fn post(&self, packet: &str) -> String {
        format!(
            "POST {} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\ncontent-type: text/plain\r\n\
             content-length: {}\r\n\r\n{packet}",
            self.path,
            self.server.authority(),
            packet.len()
        )
    }

    pub(super) fn poll(&self) -> http::Response {
        http::request(self.server.authority(), "GET", &self.path, &[], None)
    }

    /// Polls until a packet contains this text.
    pub(super) fn poll_until(&self, text: &str) -> String {
        let mut received = String::new();
        while !received.contains(text) {
            let answer = self.poll();
            assert_eq!(answer.status, 200, "{answer:?} after {received}");
            received.push_str(&answer.body);
        }
        received
    }
}

/// Returns the status, the code and the message of an Engine.IO error.
pub(super) fn refused(answer: &http::Response) -> (u16, i64, String) {
    let body: Value = serde_json::from_str(&answer.body).expect("it is JSON");
    let message = body["message"].as_str().expect("the error has a message").to_owned();
    (answer.status, body["code"].as_i64().unwrap(), message)
}

/// Sends packets that must be refused, checks that the session has ended, and returns the error.
pub(super) fn refused_then_gone(session: &Polling<'_>, packets: &str) -> (u16, i64, String) {
    let answer = refused(&session.send(packets));
    assert_eq!(refused(&session.poll()).1, 1);
    answer
}
