//! The connection to the signaling server, by its WebSocket protocol.

use std::{
    collections::{HashMap, VecDeque},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::{
    net::TcpStream,
    sync::{mpsc, oneshot},
    time::sleep,
};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async, tungstenite::Message};

/// The pause between two attempts to reach the server again.
const RETRY: Duration = Duration::from_millis(200);

type Stream = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// A request, and the receiver of its answer.
type Request = (String, Value, oneshot::Sender<Value>);

/// The events of the server, by name.
type Events = mpsc::UnboundedSender<(String, Value)>;

/// The connection, which is made again when it is lost.
pub(crate) struct Signaling {
    requests: Requests,
    events: mpsc::UnboundedReceiver<(String, Value)>,
    /// Events that were skipped by a wait for another one.
    skipped: VecDeque<(String, Value)>,
}

impl Signaling {
    /// Connects and signs in.
    pub(crate) async fn connect(server: &str, token: &str) -> Result<Self> {
        let login = Login { server: server.to_owned(), token: token.to_owned() };
        let stream = login.sign_in().await?;
        let (sender, requests) = mpsc::unbounded_channel();
        let (event_sender, events) = mpsc::unbounded_channel();
        tokio::spawn(run(login, stream, requests, event_sender));
        Ok(Self { requests: Requests(sender), events, skipped: VecDeque::new() })
    }

    /// Returns a handle for requests.
    pub(crate) fn requests(&self) -> Requests {
        self.requests.clone()
    }

    /// Sends a request and returns its answer.
    pub(crate) async fn request(&self, name: &str, data: Value) -> Result<Value> {
        self.requests.request(name, data).await
    }

    /// Waits for an event of a call that is not up yet; others stay for [`Signaling::next`].
    pub(crate) async fn event(&mut self, name: &str) -> Result<Value> {
        loop {
            let (event, data) = self.events.recv().await.context("the connection has ended")?;
            if event == name {
                return Ok(data);
            }
            if event == "call:ended" {
                bail!("the call has ended: {}", data["reason"]);
            }
            self.skipped.push_back((event, data));
        }
    }

    /// Returns the next event.
    pub(crate) async fn next(&mut self) -> Option<(String, Value)> {
        match self.skipped.pop_front() {
            Some(event) => Some(event),
            None => self.events.recv().await,
        }
    }
}

/// Sends requests. Those that are made without a connection wait for the next one.
#[derive(Clone)]
pub(crate) struct Requests(mpsc::UnboundedSender<Request>);

impl Requests {
    /// Sends a request and returns its answer.
    pub(crate) async fn request(&self, name: &str, data: Value) -> Result<Value> {
        let (sender, answer) = oneshot::channel();
        self.0.send((name.to_owned(), data, sender)).ok().context("the connection has ended")?;
        let answer = answer.await.with_context(|| format!("{name}: the connection was lost"))?;
        if answer["ok"] != true {
            bail!("{name}: {}", answer["error"]["message"]);
        }
        Ok(answer)
    }
}

struct Login {
    server: String,
    token: String,
}

impl Login {
    /// Connects and signs in, always as the same device: calls wait for it.
    async fn sign_in(&self) -> Result<Stream> {
        let (mut stream, _) = connect_async(&self.server).await.context("no server")?;
        let data = json!({ "token": self.token, "protocol": 1, "deviceId": "app" });
        stream.send(frame("session:hello", 0, &data)).await?;
        let welcome = stream.next().await.context("the sign-in failed")??;
        match welcome.to_text()?.contains("session:welcome") {
            true => Ok(stream),
            false => bail!("the sign-in failed: {welcome}"),
        }
    }
}

fn frame(event: &str, id: u64, data: &Value) -> Message {
    Message::text(json!({ "event": event, "id": id, "data": data }).to_string())
}

/// Keeps up a connection until nobody sends requests any more.
async fn run(
    login: Login,
    mut stream: Stream,
    mut requests: mpsc::UnboundedReceiver<Request>,
    events: Events,
) {
    while serve(stream, &mut requests, &events).await {
        stream = loop {
            match login.sign_in().await {
                Ok(stream) => break stream,
                Err(_) if requests.is_closed() => return,
                Err(_) => sleep(RETRY).await,
            }
        };
    }
}

/// Serves a connection. Returns true if it is lost.
async fn serve(
    mut stream: Stream,
    requests: &mut mpsc::UnboundedReceiver<Request>,
    events: &Events,
) -> bool {
    let mut open: HashMap<u64, oneshot::Sender<Value>> = HashMap::new();
    let mut id = 0;
    loop {
        tokio::select! {
            request = requests.recv() => {
                let Some((name, data, answer)) = request else { return false };
                id += 1;
                open.insert(id, answer);
                if stream.send(frame(&name, id, &data)).await.is_err() {
                    return true;
                }
            }
            message = stream.next() => {
                let Some(Ok(message)) = message else { return true };
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
