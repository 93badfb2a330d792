//! A signaling client over WebSocket.

use std::collections::VecDeque;

use anyhow::{Context, bail, ensure};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio_tungstenite::{WebSocketStream, tungstenite::Message};

use super::{
    answers::{refusal, text},
    http::Http,
    stream::Stream,
};

/// A user who is signed in.
pub(super) struct Client {
    user: String,
    ws: WebSocketStream<Box<dyn Stream>>,
    next_id: u64,
    /// Events that came while the client waited for another one.
    early: VecDeque<Value>,
}

impl Client {
    /// Connects and says hello.
    pub(crate) async fn connect(http: &Http, token: &str) -> anyhow::Result<Self> {
        let scheme = if http.is_secure() { "wss" } else { "ws" };
        let url = format!("{scheme}://{}/ws", http.authority());
        let (ws, _) = tokio_tungstenite::client_async(&url, http.connect().await?)
            .await
            .with_context(|| format!("no WebSocket at {url}"))?;
        let mut client = Self { user: String::new(), ws, next_id: 0, early: VecDeque::new() };
        let hello = json!({ "token": token, "protocol": 1 });
        let welcome = client.request("session:hello", &hello).await?;
        client.user = text(&welcome, "userId")?;
        Ok(client)
    }

    /// Returns the user.
    pub(crate) fn user(&self) -> &str {
        &self.user
    }

    /// Sends a request and waits for its answer.
    pub(crate) async fn request(&mut self, event: &str, data: &Value) -> anyhow::Result<Value> {
        self.next_id += 1;
        let id = self.next_id;
        let frame = json!({ "event": event, "id": id, "data": data });
        self.ws.send(Message::text(frame.to_string())).await?;
        loop {
            let frame = self.frame().await.with_context(|| format!("no answer to {event}"))?;
            if frame["re"] == id {
                let answer = &frame["data"];
                ensure!(answer["ok"] != false, "{event} was refused: {}", refusal(answer));
                return Ok(answer.clone());
            }
            self.early.push_back(frame);
        }
    }

    /// Waits for an event; others before it are passed over.
    pub(crate) async fn event(&mut self, name: &str) -> anyhow::Result<Value> {
        loop {
            let frame = match self.early.pop_front() {
                Some(frame) => frame,
                None => self.frame().await.with_context(|| format!("no {name}"))?,
            };
            if frame["event"] == name {
                return Ok(frame["data"].clone());
            }
        }
    }

    async fn frame(&mut self) -> anyhow::Result<Value> {
        loop {
            match self.ws.next().await.context("the server closed the connection")?? {
                Message::Text(text) => return Ok(serde_json::from_str(&text)?),
                Message::Close(Some(close)) => {
                    bail!("the server closed the connection with {}: {}", close.code, close.reason)
                }
                Message::Close(None) => bail!("the server closed the connection"),
                _ => {}
            }
        }
    }
}
