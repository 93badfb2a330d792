//! Clients that connect through a proxy, from an address of their own.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
};

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpSocket;
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{Message, client::IntoClientRequest},
};

use crate::common::{DEADLINE, http, within};

/// The address of the clients, which is neither the proxy's nor the server's.
pub(crate) const CLIENT: &str = "127.0.0.9";

/// An address that a client claims to have.
pub(crate) const CLAIMED: &str = "6.6.6.6";

/// The address at which clients connect: `host:port` and the path prefix.
#[derive(Clone)]
pub(crate) struct Endpoint {
    pub authority: String,
    pub prefix: &'static str,
}

/// Connects from the clients' address.
pub(crate) fn connect(authority: &str) -> TcpStream {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&format!("{CLIENT}:0").parse::<SocketAddr>().unwrap().into()).unwrap();
    socket.connect(&authority.parse::<SocketAddr>().unwrap().into()).unwrap();
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream
}

impl Endpoint {
    /// Sends a request with headers in which the client claims another address, and returns the
    /// response.
    pub(crate) fn ask(&self, method: &str, path: &str, body: &str) -> http::Response {
        let Self { authority, prefix } = self;
        // HTTP/1.0 has no chunks, so the body extends to the end of the connection.
        let request = format!(
            "{method} {prefix}{path} HTTP/1.0\r\nhost: {authority}\r\nx-forwarded-for: \
             {CLAIMED}\r\nforwarded: for={CLAIMED}\r\ncontent-type: \
             text/plain;charset=UTF-8\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        let mut stream = connect(authority);
        stream.write_all(request.as_bytes()).unwrap();
        http::read(&mut stream)
    }

    async fn websocket(&self, path: &str) -> WebSocketStream<tokio::net::TcpStream> {
        let Self { authority, prefix } = self;
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(format!("{CLIENT}:0").parse().unwrap()).unwrap();
        let stream = socket.connect(authority.parse().unwrap()).await.unwrap();
        let mut request = format!("ws://{authority}{prefix}{path}").into_client_request().unwrap();
        for (name, value) in [("x-forwarded-for", CLAIMED), ("forwarded", "for=6.6.6.6")] {
            request.headers_mut().insert(name, value.parse().unwrap());
        }
        let (ws, _) = within("the upgrade", client_async(request, stream)).await.unwrap();
        ws
    }

    /// Signs in over the plain WebSocket front; returns the user in the welcome.
    pub(crate) async fn plain_websocket(&self, token: &str) -> String {
        let mut ws = self.websocket("/ws").await;
        let hello =
            json!({ "event": "session:hello", "id": 1, "data": { "token": token, "protocol": 1 } });
        ws.send(Message::text(hello.to_string())).await.unwrap();
        let frame = text(&mut ws).await;
        let frame: Value = serde_json::from_str(&frame).unwrap();
        assert_eq!(frame["event"], "session:welcome", "{frame}");
        frame["data"]["userId"].as_str().unwrap().to_owned()
    }

    /// Signs in over Socket.IO by polling, upgrades to WebSocket as its clients do, and sends a
    /// request there (the Engine.IO protocol, version 4, has the packets).
    pub(crate) async fn socket_io(&self, token: &str) {
        let path = "/socket.io/?EIO=4&transport=polling";
        let open = self.ask("GET", path, "");
        let open: Value = serde_json::from_str(open.body.strip_prefix('0').unwrap()).unwrap();
        assert_eq!(open["upgrades"], json!(["websocket"]));
        let sid = open["sid"].as_str().unwrap();
        let polling = format!("{path}&sid={sid}");
        let posted = self.ask("POST", &polling, &format!("40{}", json!({ "token": token })));
        assert_eq!((posted.status, posted.body.as_str()), (200, "ok"));
        let mut polled = String::new();
        while !polled.contains("session:welcome") {
            let answer = self.ask("GET", &polling, "");
            assert_eq!(answer.status, 200, "{answer:?}");
            polled.push_str(&answer.body);
        }
        assert!(polled.contains("40{"), "{polled}");

        let mut ws =
            self.websocket(&format!("/socket.io/?EIO=4&transport=websocket&sid={sid}")).await;
        ws.send(Message::text("2probe")).await.unwrap();
        assert_eq!(text(&mut ws).await, "3probe");
        ws.send(Message::text("5")).await.unwrap();
        ws.send(Message::text(r#"427["ice:refresh",{}]"#)).await.unwrap();
        loop {
            let packet = text(&mut ws).await;
            if let Some(answer) = packet.strip_prefix("437") {
                let answer: Value = serde_json::from_str(answer).unwrap();
                assert_eq!(answer[0]["ok"], true, "{answer}");
                return;
            }
        }
    }
}

async fn text(ws: &mut WebSocketStream<tokio::net::TcpStream>) -> String {
    loop {
        match within("a frame", ws.next()).await {
            Some(Ok(Message::Text(text))) => return text.to_string(),
            Some(Ok(Message::Ping(_))) => {}
            other => panic!("no frame, but {other:?}"),
        }
    }
}

/// Reads one STUN message from a stream.
pub(crate) fn stun_message(stream: &mut impl Read) -> Vec<u8> {
    let mut message = vec![0; 20];
    stream.read_exact(&mut message).unwrap();
    let len = usize::from(u16::from_be_bytes([message[2], message[3]]));
    message.resize(20 + len, 0);
    stream.read_exact(&mut message[20..]).unwrap();
    message
}
