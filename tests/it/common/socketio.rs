//! A client of the Socket.IO front over WebSocket. Tests read and write packets as they are on the
//! wire, so that they can send invalid ones.

use std::collections::VecDeque;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async,
    tungstenite::{Message, protocol::CloseFrame},
};

use super::{Server, within};

/// An Engine.IO connection; after `sign_in`, a Socket.IO socket.
pub(crate) struct Client {
    pub ws: WebSocketStream<MaybeTlsStream<TcpStream>>,
    next_ack: u64,
    waiting: VecDeque<(String, Value)>,
    /// The payload of `session:welcome`.
    pub welcome: Value,
}

impl Client {
    /// Opens the transport.
    pub(crate) async fn connect(server: &Server) -> Self {
        let url = format!("ws://{}/socket.io/?EIO=4&transport=websocket", server.authority());
        let (ws, _) = within("the upgrade", connect_async(url)).await.expect("the upgrade is made");
        let mut client = Self { ws, next_ack: 0, waiting: VecDeque::new(), welcome: Value::Null };
        let open = client.packet().await.expect("the transport opens");
        assert!(open.starts_with("0{"), "{open}");
        client
    }

    /// Connects to the namespace; returns the response packet: `40…` or `44…`.
    pub(crate) async fn auth(&mut self, auth: &Value) -> String {
        self.send(&format!("40{auth}")).await;
        self.packet().await.expect("there is an answer")
    }

    /// Connects and signs in.
    pub(crate) async fn sign_in(server: &Server, user: &str) -> Self {
        Self::sign_in_with(server, json!({ "token": server.token(user) })).await
    }

    /// Connects and signs in on a device.
    pub(crate) async fn sign_in_on(server: &Server, user: &str, device: &str) -> Self {
        let auth = json!({ "token": server.token(user), "deviceId": device });
        Self::sign_in_with(server, auth).await
    }

    async fn sign_in_with(server: &Server, auth: Value) -> Self {
        let mut client = Self::connect(server).await;
        let connected = client.auth(&auth).await;
        assert!(connected.starts_with("40{"), "{connected}");
        client.welcome = client.event("session:welcome").await;
        client
    }

    /// Sends a packet.
    pub(crate) async fn send(&mut self, packet: &str) {
        within("sending", self.ws.send(Message::text(packet))).await.expect("it is open");
    }

    /// Sends an event without an acknowledgement.
    pub(crate) async fn emit(&mut self, event: &str, data: &Value) {
        self.send(&format!("42{}", json!([event, data]))).await;
    }

    /// Sends an event and waits for its acknowledgement, which may be an error.
    pub(crate) async fn ask(&mut self, event: &str, data: Value) -> Value {
        self.next_ack += 1;
        let ack = self.next_ack;
        self.send(&format!("42{ack}{}", json!([event, data]))).await;
        let prefix = format!("43{ack}");
        loop {
            let packet = self.packet().await.expect("the transport is open");
            if let Some(answer) = packet.strip_prefix(&prefix) {
                let answer: Value = serde_json::from_str(answer).expect("it is JSON");
                return answer[0].clone();
            }
            self.keep(&packet);
        }
    }

    /// Sends an event whose acknowledgement must be a success.
    pub(crate) async fn request(&mut self, event: &str, data: Value) -> Value {
        let answer = self.ask(event, data).await;
        assert_eq!(answer["ok"], true, "{event}: {answer}");
        answer
    }

    /// Waits for an event; skips others before it.
    pub(crate) async fn event(&mut self, name: &str) -> Value {
        loop {
            let (event, data) = self.next_event().await;
            if event == name {
                return data;
            }
        }
    }

    /// Returns the next event of the published call flow.
    pub(crate) async fn seed_event(&mut self) -> (String, Value) {
        loop {
            let event = self.next_event().await;
            if event.0 != "call:state" {
                return event;
            }
        }
    }

    async fn next_event(&mut self) -> (String, Value) {
        loop {
            if let Some(event) = self.waiting.pop_front() {
                return event;
            }
            let packet = self.packet().await.expect("the transport is open");
            self.keep(&packet);
        }
    }

    fn keep(&mut self, packet: &str) {
        let Some(event) = packet.strip_prefix("42") else { panic!("no event: {packet}") };
        let event: Value = serde_json::from_str(event).expect("it is JSON");
        let name = event[0].as_str().expect("it has a name").to_owned();
        self.waiting.push_back((name, event[1].clone()));
    }

    /// Reads until the connection is closed; returns the close frame, if there is one.
    pub(crate) async fn close_frame(&mut self) -> Option<CloseFrame> {
        loop {
            match within("the close", self.ws.next()).await {
                Some(Ok(Message::Close(frame))) => return frame,
                Some(Ok(_)) => {}
                _ => return None,
            }
        }
    }

    /// Returns the next packet, or `None` once the transport is closed. Answers pings; a failure to
    /// do so on a closed connection shows in the next read.
    pub(crate) async fn packet(&mut self) -> Option<String> {
        loop {
            match within("a packet", self.ws.next()).await {
                Some(Ok(Message::Text(text))) if text == "2" => {
                    let _ = within("a pong", self.ws.send(Message::text("3"))).await;
                }
                Some(Ok(Message::Text(text))) => return Some(text.to_string()),
                Some(Ok(Message::Ping(_))) => {}
                _ => return None,
            }
        }
    }
}
