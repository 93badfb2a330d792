//! `callbox::testing`: servers inside this process.

use std::{
    net::{SocketAddr, TcpListener, UdpSocket},
    time::Duration,
};

use callbox::testing::{Server, StartError};
use futures_util::{SinkExt, StreamExt};
use serde_json::json;
use tokio::task::JoinSet;
use tokio_tungstenite::{connect_async, tungstenite::Message};
use webrtc_util::Conn;

use crate::{
    common::{http, websocket, within},
    support::Echo,
    turn_client::turn_client,
};

/// The addresses of a server: of HTTP, and of STUN and TURN.
fn addresses(server: &Server) -> (SocketAddr, SocketAddr) {
    let http = server.http_url().strip_prefix("http://").unwrap();
    let stun = server.stun_uris()[0].strip_prefix("stun:").unwrap();
    (http.parse().unwrap(), stun.parse().unwrap())
}

/// Binds the addresses of a server that is gone.
fn bind((http, stun): (SocketAddr, SocketAddr)) {
    let _sockets = (
        TcpListener::bind(http).expect("HTTP is closed"),
        TcpListener::bind(stun).expect("TURN over TCP is closed"),
        UdpSocket::bind(stun).expect("TURN over UDP is closed"),
    );
}

/// Signs two users in, and lets one call the other.
async fn call(server: &Server) -> (websocket::Client, websocket::Client) {
    let [alice, bob] = ["alice", "bob"].map(|user| server.token(user).unwrap());
    let mut alice = websocket::Client::sign_in_to(server.websocket_url(), &alice).await;
    let mut bob = websocket::Client::sign_in_to(server.websocket_url(), &bob).await;
    alice.request("call:initiate", json!({ "targetUserId": "bob", "callType": "audio" })).await;
    bob.event("call:incoming").await;
    bob.request("call:accept", json!({})).await;
    alice.event("call:accepted").await;
    (alice, bob)
}

/// Sends a packet through the relay to an echo and back.
async fn relay(server: &Server) {
    let credentials = server.credentials("alice").unwrap();
    let at = addresses(server).1.to_string();
    let echo = Echo::start("127.0.0.1".parse().unwrap());
    let client = turn_client(&at, "callbox", &credentials.username, &credentials.password).await;
    let relayed = within("the allocation", client.allocate()).await.expect("it is permitted");
    within("sending", relayed.send_to(b"hello", echo.address)).await.unwrap();
    let mut buffer = [0; 100];
    let (len, _) = within("the echo", relayed.recv_from(&mut buffer)).await.unwrap();
    assert_eq!(&buffer[..len], b"hello");
    client.close().await.unwrap();
}

/// Ten servers, each with the same users in a call of their own.
#[tokio::test]
async fn ten_run_side_by_side() {
    let mut tests = JoinSet::new();
    for _ in 0..10 {
        tests.spawn(async {
            let server = Server::start().await.unwrap();
            let addresses = addresses(&server);
            let (mut alice, _bob) = call(&server).await;
            relay(&server).await;
            let page = [("authorization", format!("Bearer {}", server.api_key()))];
            let http = addresses.0.to_string();
            let calls = tokio::task::spawn_blocking(move || {
                http::request(&http, "GET", "/api/v1/calls", &page, None).json()
            });
            assert_eq!(calls.await.unwrap()["calls"].as_array().map(Vec::len), Some(1));
            server.stop().await;
            // It stops as with SIGTERM.
            assert_eq!(alice.event("call:ended").await["reason"], "server_shutdown");
            addresses
        });
    }
    let addresses = within("ten calls", tests.join_all()).await;
    let mut ports: Vec<_> = addresses.iter().flat_map(|(a, b)| [a.port(), b.port()]).collect();
    ports.sort_unstable();
    ports.dedup();
    assert_eq!(ports.len(), 20, "no two have the same");
    addresses.into_iter().for_each(bind);
}

/// A drop on the only thread of the test's runtime neither waits for that runtime nor leaves a
/// socket open, also in the middle of a call.
#[tokio::test(flavor = "current_thread")]
async fn a_dropped_server_gives_its_ports_back() {
    for _ in 0..3 {
        let server = Server::start().await.unwrap();
        let addresses = addresses(&server);
        let (mut alice, _bob) = call(&server).await;
        relay(&server).await;
        drop(server);
        bind(addresses);
        while let Some(Ok(_)) = within("the end of the connection", alice.ws.next()).await {}
    }
}

/// A server is not part of the runtime that starts it.
#[test]
fn it_outlives_the_runtime_that_started_it() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let server = runtime().block_on(Server::start()).unwrap();
    runtime().block_on(relay(&server));
    let addresses = addresses(&server);
    drop(server);
    bind(addresses);
}

/// Its clock is the real one, also in a test whose time is paused.
#[tokio::test(start_paused = true)]
async fn paused_time_does_not_stop_it() {
    // A deadline of the test's own runtime would be over at once.
    let server = Server::start().await.unwrap();
    let token = server.token("alice").unwrap();
    let (mut ws, _) = connect_async(server.websocket_url()).await.unwrap();
    let hello = json!({ "event": "session:hello", "data": { "token": token } }).to_string();
    ws.send(Message::text(hello)).await.unwrap();
    let welcome = ws.next().await.unwrap().unwrap();
    assert!(welcome.to_text().unwrap().contains("session:welcome"), "{welcome}");
}

#[tokio::test]
async fn options_are_those_of_the_binary() {
    let server = Server::builder()
        .force_relay()
        .credential_ttl(Duration::from_secs(90))
        .option("--realm", "example")
        .option("workers", 2)
        .start()
        .await
        .unwrap();
    assert_eq!(server.credentials("alice").unwrap().ttl, 90);
    let token = server.token("alice").unwrap();
    let alice = websocket::Client::sign_in_to(server.websocket_url(), &token).await;
    assert_eq!(alice.welcome["iceTransportPolicy"], "relay");
    let told = &alice.welcome["turnCredentials"];
    assert_eq!(told["ttl"], 90);
    assert_eq!(told["uris"], json!(server.credentials("alice").unwrap().uris));
    server.stop().await;
}

#[tokio::test]
async fn wrong_options_are_named() {
    let error = async |name: &str, value: &str| {
        Server::builder().option(name, value).start().await.err().expect("it is refused")
    };
    let unknown = error("max-lifetim", "60s").await.to_string();
    assert!(unknown.contains("'--max-lifetim'"), "{unknown}");
    let value = error("--max-lifetime", "soon").await.to_string();
    assert!(value.contains("soon") && value.contains("--max-lifetime"), "{value}");
    let process = error("log-level", "debug").await;
    assert!(matches!(process, StartError::ProcessOption(name) if name == "log-level"));

    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let taken = error("http", &address).await.to_string();
    assert!(taken.contains(&address) && taken.contains("--http"), "{taken}");
}

#[tokio::test]
async fn a_text_that_is_no_user_id_is_refused() {
    let server = Server::start().await.unwrap();
    for user in ["", &"a".repeat(200)] {
        let error = server.token(user).unwrap_err().to_string();
        assert!(error.contains("is not a user id"), "{error}");
        assert!(server.credentials(user).is_err());
    }
}
