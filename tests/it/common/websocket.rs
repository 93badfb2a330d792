//! A client of the plain WebSocket front.

use std::collections::VecDeque;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async,
    tungstenite::{self, Message, client::IntoClientRequest, protocol::CloseFrame},
};

use super::{Server, asyncapi, within};

type Stream = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// A connection; after `sign_in`, a session.
pub(crate) struct Client {
    pub ws: Stream,
    next_id: u64,
    waiting: VecDeque<Value>,
    /// The payload of `session:welcome`.
    pub welcome: Value,
}

impl Client {
    /// Connects without a `hello`.
    pub(crate) async fn connect(server: &Server) -> Self {
        Self::try_connect(server, &[]).await.expect("the upgrade is made")
    }

    /// Connects with additional headers.
    pub(crate) async fn try_connect(
        server: &Server,
        headers: &[(&'static str, String)],
    ) -> Result<Self, tungstenite::Error> {
        Self::try_connect_to(server.text("/websocket"), headers).await
    }

    /// Connects to a server by its URL.
    async fn try_connect_to(
        url: &str,
        headers: &[(&'static str, String)],
    ) -> Result<Self, tungstenite::Error> {
        let mut request = url.into_client_request()?;
        for (name, value) in headers {
            request.headers_mut().insert(*name, value.parse().expect("it is a header"));
        }
        let (ws, _) = within("the upgrade", connect_async(request)).await?;
        Ok(Self { ws, next_id: 0, waiting: VecDeque::new(), welcome: Value::Null })
    }

    /// Connects and signs in.
    pub(crate) async fn sign_in(server: &Server, user: &str) -> Self {
        Self::sign_in_on(server, user, None).await
    }

    /// Connects and signs in on a device.
    pub(crate) async fn sign_in_on(server: &Server, user: &str, device: Option<&str>) -> Self {
        Self::sign_in_with(server, &server.token(user), device).await
    }

    /// Connects and signs in with this token.
    pub(crate) async fn sign_in_with(server: &Server, token: &str, device: Option<&str>) -> Self {
        Self::connect(server).await.hello(token, device).await
    }

    /// Connects to a server by its URL, and signs in with this token on a device.
    pub(crate) async fn sign_in_to(url: &str, token: &str, device: Option<&str>) -> Self {
        let client = Self::try_connect_to(url, &[]).await.expect("the upgrade is made");
        client.hello(token, device).await
    }

    async fn hello(mut self, token: &str, device: Option<&str>) -> Self {
        let mut hello = json!({ "token": token, "protocol": 1 });
        if let Some(device) = device {
            hello["deviceId"] = device.into();
        }
        self.send("session:hello", Some(0), &hello).await;
        self.welcome = self.event("session:welcome").await;
        self
    }

    /// Sends a frame.
    pub(crate) async fn send(&mut self, event: &str, id: Option<u64>, data: &Value) {
        let mut frame = json!({ "event": event, "data": data });
        if let Some(id) = id {
            frame["id"] = id.into();
        }
        self.send_text(&frame.to_string()).await;
    }

    /// Sends a text frame with any content.
    pub(crate) async fn send_text(&mut self, text: &str) {
        within("sending", self.ws.send(Message::text(text))).await.expect("the connection is open");
    }

    /// Sends a request and waits for its response, which may be an error.
    pub(crate) async fn ask(&mut self, event: &str, data: Value) -> Value {
        self.next_id += 1;
        let id = self.next_id;
        self.send(event, Some(id), &data).await;
        let frame = self.answer_frame(id).await;
        asyncapi::check_answer(event, &frame);
        frame["data"].clone()
    }

    /// Sends a request whose response must be a success.
    pub(crate) async fn request(&mut self, event: &str, data: Value) -> Value {
        let answer = self.ask(event, data).await;
        assert_eq!(answer["ok"], true, "{event}: {answer}");
        answer
    }

    /// Sends a request whose response must be an error; returns its code.
    pub(crate) async fn refused(&mut self, event: &str, data: Value) -> String {
        let answer = self.ask(event, data).await;
        assert_eq!(answer["ok"], false, "{event}: {answer}");
        answer["error"]["code"].as_str().expect("there is a code").to_owned()
    }

    /// Waits for the response to a request.
    pub(crate) async fn answer(&mut self, id: u64) -> Value {
        self.answer_frame(id).await["data"].clone()
    }

    async fn answer_frame(&mut self, id: u64) -> Value {
        let known = self.waiting.iter().position(|frame| frame["re"] == id);
        if let Some(frame) = known.and_then(|at| self.waiting.remove(at)) {
            return frame;
        }
        loop {
            let frame = self.read().await;
            if frame["re"] == id {
                return frame;
            }
            self.waiting.push_back(frame);
        }
    }

    /// Waits for an event; skips others before it.
    pub(crate) async fn event(&mut self, name: &str) -> Value {
        loop {
            let frame = self.frame().await;
            if frame["event"] == name {
                return frame["data"].clone();
            }
        }
    }

    /// Returns the next event of the published call flow; skips those that only clients of callbox
    /// know.
    pub(crate) async fn seed_event(&mut self) -> (String, Value) {
        loop {
            let frame = self.frame().await;
            let name = frame["event"].as_str().expect("it is an event").to_owned();
            if !["call:state", "call:sync"].contains(&name.as_str()) {
                return (name, frame["data"].clone());
            }
        }
    }

    /// Returns the next frame.
    pub(crate) async fn frame(&mut self) -> Value {
        match self.waiting.pop_front() {
            Some(frame) => frame,
            None => self.read().await,
        }
    }

    async fn read(&mut self) -> Value {
        loop {
            match within("a frame", self.ws.next()).await {
                Some(Ok(Message::Text(text))) => {
                    let frame = serde_json::from_str(&text).expect("frames are JSON");
                    asyncapi::check_event(&frame);
                    return frame;
                }
                Some(Ok(Message::Ping(_))) => {}
                other => panic!("no frame, but {other:?}"),
            }
        }
    }

    /// Closes the connection with this code.
    pub(crate) async fn close(&mut self, code: u16) {
        let frame = CloseFrame { code: code.into(), reason: "".into() };
        within("the close", self.ws.close(Some(frame))).await.expect("the connection is open");
    }

    /// Reads to the end; returns the close code and reason.
    pub(crate) async fn closed(&mut self) -> (u16, String) {
        loop {
            match within("the close", self.ws.next()).await {
                Some(Ok(Message::Close(Some(close)))) => {
                    return (close.code.into(), close.reason.to_string());
                }
                Some(Ok(Message::Text(_) | Message::Ping(_))) => {}
                other => panic!("no close, but {other:?}"),
            }
        }
    }
}
