//! The connection to the signaling server, by its WebSocket protocol.

use std::collections::{HashMap, VecDeque};

use anyhow::{Context, Result, bail};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::{
    net::TcpStream,
    sync::{mpsc, oneshot},
};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async, tungstenite::Message};

type Stream = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// A request, and the receiver of its answer.
type Request = (String, Value, oneshot::Sender<Value>);

/// A session.
pub(crate) struct Signaling {
    requests: Requests,
    events: mpsc::UnboundedReceiver<(String, Value)>,
    /// Events that were skipped by a wait for another one.
    skipped: VecDeque<(String, Value)>,
}

impl Signaling {
    /// Connects and signs in.
    pub(crate) async fn connect(server: &str, token: &str) -> Result<Self> {
        let (stream, _) = connect_async(server).await.context("the server is not reached")?;
        let (sender, requests) = mpsc::unbounded_channel();
        let (event_sender, events) = mpsc::unbounded_channel();
        tokio::spawn(run(stream, requests, event_sender));
        let mut signaling = Self { requests: Requests(sender), events, skipped: VecDeque::new() };
        signaling.requests.send("session:hello", json!({ "token": token, "protocol": 1 }))?;
        signaling.event("session:welcome").await.context("the sign-in failed")?;
        Ok(signaling)
    }

    /// Returns a handle for requests.
    pub(crate) fn requests(&self) -> Requests {
        self.requests.clone()
    }

    /// Sends a request and returns its answer.
    pub(crate) async fn request(&self, name: &str, data: Value) -> Result<Value> {
        self.requests.request(name, data).await
    }

    /// Waits for an event; others stay for [`Signaling::next`].
    pub(crate) async fn event(&mut self, name: &str) -> Result<Value> {
        loop {
            let (event, data) = self.events.recv().await.context("the connection has ended")?;
            if event == name {
                return Ok(data);
            }
            self.skipped.push_back((event, data));
        }
    }

    /// Returns the next event; `None` when the connection has ended.
    pub(crate) async fn next(&mut self) -> Option<(String, Value)> {
        match self.skipped.pop_front() {
            Some(event) => Some(event),
            None => self.events.recv().await,
        }
    }
}

/// Sends requests.
#[derive(Clone)]
pub(crate) struct Requests(mpsc::UnboundedSender<Request>);

impl Requests {
    fn send(&self, name: &str, data: Value) -> Result<oneshot::Receiver<Value>> {
        let (sender, answer) = oneshot::channel();
        self.0.send((name.to_owned(), data, sender)).ok().context("the connection has ended")?;
        Ok(answer)
    }

    /// Sends a request and returns its answer.
    pub(crate) async fn request(&self, name: &str, data: Value) -> Result<Value> {
        let answer = self.send(name, data)?.await.context("the connection has ended")?;
        if answer["ok"] != true {
            bail!("{name}: {}", answer["error"]["message"]);
        }
        Ok(answer)
    }
}

async fn run(
    mut stream: Stream,
    mut requests: mpsc::UnboundedReceiver<Request>,
    events: mpsc::UnboundedSender<(String, Value)>,
) {
    let mut open: HashMap<u64, oneshot::Sender<Value>> = HashMap::new();
    let mut id = 0;
    loop {
        tokio::select! {
            request = requests.recv() => {
                let Some((name, data, answer)) = request else { return };
                id += 1;
                open.insert(id, answer);
                let frame = json!({ "event": name, "id": id, "data": data });
                if stream.send(Message::text(frame.to_string())).await.is_err() {
                    return;
                }
            }
            message = stream.next() => {
                let Some(Ok(message)) = message else { return };
                let Ok(text) = message.to_text() else { continue };
                let Ok(mut frame) = serde_json::from_str::<Value>(text) else { continue };
                let data = frame["data"].take();
                if let Some(name) = frame["event"].as_str() {
                    let _ = events.send((name.to_owned(), data));
                } else if let Some(answer) = frame["re"].as_u64().and_then(|id| open.remove(&id)) {
                    let _ = answer.send(data);
                }
            }
        }
    }
}
