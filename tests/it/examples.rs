//! The programs in `examples/`, which embed the two libraries, with clients from other projects.

use std::{
    io::{BufRead, BufReader},
    net::{SocketAddr, UdpSocket},
    path::Path,
    process::{Child, Command, Stdio},
    sync::mpsc::{self, Receiver},
    thread,
    time::Instant,
};

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::{net::TcpStream, time::timeout};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async,
    tungstenite::{
        Message,
        protocol::{CloseFrame, frame::coding::CloseCode},
    },
};
use webrtc_util::Conn;

use crate::{
    support::{DEADLINE, Echo},
    turn_client::turn_client,
};

/// An example that runs until its test ends, also on a panic.
struct Example {
    child: Child,
    lines: Receiver<String>,
}

impl Example {
    fn start(name: &str, args: &[&str]) -> Self {
        let bin = Path::new(env!("CARGO_BIN_EXE_callbox"));
        let bin = bin
            .with_file_name("examples")
            .join(name)
            .with_extension(std::env::consts::EXE_EXTENSION);
        assert!(bin.is_file(), "it comes with a plain `cargo test`, or: cargo build --examples");
        let mut command = Command::new(bin);
        let command = command.args(args).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("it starts");
        let stdout = BufReader::new(child.stdout.take().expect("it is piped"));
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                // The output must be read to its end even if the test needs no more of it.
                let _ = sender.send(line);
            }
        });
        Self { child, lines }
    }

    /// Waits for a line of the output with this prefix, and returns the rest of it.
    fn line(&self, start: &str) -> String {
        let deadline = Instant::now() + DEADLINE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let line = self.lines.recv_timeout(left);
            let line = line.unwrap_or_else(|error| panic!("no line {start:?}: {error}"));
            if let Some(rest) = line.strip_prefix(start) {
                return rest.to_owned();
            }
        }
    }
}

impl Drop for Example {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn embed_turn() -> (Example, SocketAddr) {
    let example = Example::start("embed_turn", &["127.0.0.1:0", "alice:secret"]);
    let at = example.line("listening on ").parse().expect("it is an address");
    (example, at)
}

/// The client of webrtc-rs relays data through it and deletes its allocation.
#[tokio::test(flavor = "multi_thread")]
async fn embed_turn_relays_for_a_client_of_webrtc_rs() {
    let (example, at) = embed_turn();
    let echo = Echo::start("127.0.0.1".parse().unwrap());
    let client = turn_client(&at.to_string(), "embedded", "alice", "secret").await;
    let relayed =
        timeout(DEADLINE, client.allocate()).await.expect("in time").expect("it is let in");
    let address = relayed.local_addr().unwrap();
    // The first payloads go as Send indications, and the later ones over the channel that the
    // client binds.
    for n in 0..20_u8 {
        let sent = timeout(DEADLINE, relayed.send_to(&[n; 100], echo.address)).await;
        sent.expect("in time").unwrap();
        let mut buffer = [0; 200];
        let received = timeout(DEADLINE, relayed.recv_from(&mut buffer)).await;
        assert_eq!(received.expect("an echo in time").unwrap(), (100, echo.address));
        assert_eq!(buffer[..100], [n; 100]);
    }
    relayed.close().await.unwrap();
    let end = example.line(&format!("{address} of alice "));
    assert_eq!(end, "released: 2000 bytes up, 2000 down");
    UdpSocket::bind(address).expect("the allocation's socket is closed");
    client.close().await.unwrap();
}

/// A wrong password gets no allocation.
#[tokio::test(flavor = "multi_thread")]
async fn embed_turn_refuses_a_wrong_password() {
    let (_example, at) = embed_turn();
    let client = turn_client(&at.to_string(), "embedded", "alice", "wrong").await;
    let refused = timeout(DEADLINE, client.allocate()).await.expect("an answer in time");
    let error = refused.err().expect("it is refused").to_string();
    assert!(error.contains("401"), "{error}");
    client.close().await.unwrap();
}

/// coturn's client relays over channels between allocations of the server, and by Send indications
/// to a peer.
#[test]
fn embed_turn_relays_for_coturn_s_client() {
    let (_example, at) = embed_turn();
    let echo = Echo::start("127.0.0.1".parse().unwrap());
    let port = echo.address.port().to_string();
    for how in [&["-y"][..], &["-s", "-c", "-e", "127.0.0.1", "-r", &port]] {
        crate::coturn_tools::uclient(at, &[&["-u", "alice", "-w", "secret"][..], how].concat());
    }
}

/// A client of the hub.
struct Client {
    ws: WebSocketStream<MaybeTlsStream<TcpStream>>,
    requests: u64,
}

impl Client {
    async fn connect(url: &str) -> Self {
        let (ws, _) = timeout(DEADLINE, connect_async(url)).await.expect("in time").unwrap();
        Self { ws, requests: 0 }
    }

    /// Connects and signs in.
    async fn sign_in(url: &str, token: &str) -> (Self, Value) {
        let mut client = Self::connect(url).await;
        client.send(&json!({ "event": "session:hello", "data": { "token": token } })).await;
        let welcome = client.event("session:welcome").await;
        (client, welcome)
    }

    async fn send(&mut self, frame: &Value) {
        let sent = self.ws.send(Message::text(frame.to_string()));
        timeout(DEADLINE, sent).await.expect("in time").unwrap();
    }

    /// Waits for a frame in which `member` has this value; skips others before it.
    async fn frame(&mut self, member: &str, value: &Value) -> Value {
        loop {
            let message = timeout(DEADLINE, self.ws.next()).await;
            let message = message.unwrap_or_else(|_| panic!("no frame with {member} {value}"));
            let Some(Ok(message)) = message else { panic!("the connection ended: {message:?}") };
            let Message::Text(text) = message else { continue };
            let mut frame: Value = serde_json::from_str(&text).expect("frames are JSON");
            if frame[member] == *value {
                return frame["data"].take();
            }
        }
    }

    async fn event(&mut self, name: &str) -> Value {
        self.frame("event", &name.into()).await
    }

    /// Sends a request, which must succeed, and returns the response.
    async fn request(&mut self, event: &str, data: Value) -> Value {
        self.requests += 1;
        let id = self.requests;
        self.send(&json!({ "event": event, "id": id, "data": data })).await;
        let answer = self.frame("re", &id.into()).await;
        assert_eq!(answer["ok"], true, "{event}: {answer}");
        answer
    }
}

fn embed_hub() -> (Example, String, [String; 2]) {
    let example = Example::start("embed_hub", &["127.0.0.1:0", "alice", "bob"]);
    let url = example.line("listening on ");
    let tokens = ["alice ", "bob "].map(|user| example.line(user));
    (example, url, tokens)
}

/// Two clients go through a call from the offer to its end.
#[tokio::test]
async fn embed_hub_carries_a_call() {
    let (_example, url, [alice, bob]) = embed_hub();
    let (mut alice, welcome) = Client::sign_in(&url, &alice).await;
    assert_eq!(welcome["userId"], "alice");
    let (mut bob, _) = Client::sign_in(&url, &bob).await;

    let wanted = json!({ "targetUserId": "bob", "callType": "video" });
    let call = alice.request("call:initiate", wanted).await["callId"].clone();
    let incoming = bob.event("call:incoming").await;
    assert_eq!((&incoming["callId"], &incoming["callerId"]), (&call, &"alice".into()));
    bob.request("call:accept", json!({ "callId": call })).await;
    assert_eq!(alice.event("call:accepted").await["callId"], call);

    let sdp = |ufrag: &str| format!("v=0\r\na=ice-ufrag:{ufrag}\r\n");
    alice.request("signal:offer", json!({ "callId": call, "sdp": sdp("a") })).await;
    assert_eq!(bob.event("signal:offer").await["sdp"], sdp("a"));
    bob.request("signal:answer", json!({ "callId": call, "sdp": sdp("b") })).await;
    assert_eq!(alice.event("signal:answer").await["sdp"], sdp("b"));

    alice.request("call:end", json!({ "callId": call })).await;
    let ended = bob.event("call:ended").await;
    assert_eq!((&ended["callId"], &ended["reason"]), (&call, &"hangup".into()));
}

/// A client that closes its connection for good ends its call.
#[tokio::test]
async fn embed_hub_ends_the_calls_of_a_client_that_leaves() {
    let (_example, url, [alice, bob]) = embed_hub();
    let (mut alice, _) = Client::sign_in(&url, &alice).await;
    let (mut bob, _) = Client::sign_in(&url, &bob).await;
    let wanted = json!({ "targetUserId": "bob", "callType": "audio" });
    let call = alice.request("call:initiate", wanted).await["callId"].clone();
    bob.event("call:incoming").await;
    bob.request("call:accept", json!({ "callId": call })).await;
    let frame = CloseFrame { code: CloseCode::Normal, reason: "".into() };
    timeout(DEADLINE, alice.ws.close(Some(frame))).await.expect("in time").unwrap();
    let ended = bob.event("call:ended").await;
    assert_eq!((&ended["callId"], &ended["endedBy"]), (&call, &"alice".into()));
}

/// Invalid frames end only the connection that they came from.
#[tokio::test]
async fn embed_hub_survives_invalid_frames() {
    let (_example, url, [alice, bob]) = embed_hub();
    let (mut alice, _) = Client::sign_in(&url, &alice).await;
    let deep = format!(r#"{{"event":"x","data":{}{}}}"#, "[".repeat(10_000), "]".repeat(10_000));
    let hello = json!({ "event": "session:hello", "data": { "token": "none" } }).to_string();
    for first in ["", "{", "null", r#"{"event":"call:end"}"#, &hello, &deep] {
        let mut stranger = Client::connect(&url).await;
        let sent = stranger.ws.send(Message::text(first));
        timeout(DEADLINE, sent).await.expect("in time").unwrap();
        let end = timeout(DEADLINE, stranger.ws.next()).await.expect("the end in time");
        assert!(!matches!(end, Some(Ok(Message::Text(_)))), "{first:.40}: {end:?}");
    }
    let (mut bob, _) = Client::sign_in(&url, &bob).await;
    bob.send(&json!({ "event": "no:such", "data": [1] })).await;
    assert_eq!(bob.event("error").await["error"]["code"], "unknown_event");
    let wanted = json!({ "targetUserId": "bob", "callType": "audio" });
    alice.request("call:initiate", wanted).await;
    bob.event("call:incoming").await;
}
