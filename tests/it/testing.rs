//! `callbox::testing`: servers inside this process.

use std::{
    net::{SocketAddr, TcpListener, UdpSocket},
    time::{Duration, Instant},
};

use callbox::testing::{FaultsError, Server, StartError, TurnCredentials};
use futures_util::{FutureExt, SinkExt, StreamExt};
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

/// Signs a user in, always on the same device.
async fn sign_in(server: &Server, user: &str) -> websocket::Client {
    let token = server.token(user).unwrap();
    websocket::Client::sign_in_to(server.websocket_url(), &token, Some("phone")).await
}

/// Signs two users in, and lets one call the other.
async fn call(server: &Server) -> (websocket::Client, websocket::Client) {
    let [mut alice, mut bob] = [sign_in(server, "alice").await, sign_in(server, "bob").await];
    alice.request("call:initiate", json!({ "targetUserId": "bob", "callType": "audio" })).await;
    bob.event("call:incoming").await;
    bob.request("call:accept", json!({})).await;
    alice.event("call:accepted").await;
    (alice, bob)
}

/// Sends a packet through the relay to an echo and back.
async fn relay(server: &Server) {
    relay_with(server, &server.credentials("alice").unwrap()).await;
}

async fn relay_with(server: &Server, credentials: &TurnCredentials) {
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
    let alice = sign_in(&server, "alice").await;
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

#[tokio::test]
async fn faults_are_injected_and_counted() {
    let server = Server::builder().allow_faults().start().await.unwrap();
    let rule = json!({ "method": "allocate", "answer": 486, "count": 1 });
    let document = json!({ "seed": 7, "requests": [rule], "packets": [{ "lossPercent": 100 }] });
    let report = server.faults(document).await.unwrap();
    assert_eq!((report.seed, report.requests[0].left), (7, Some(1)));

    let TurnCredentials { username, password, .. } = server.credentials("alice").unwrap();
    let echo = Echo::start("127.0.0.1".parse().unwrap());
    let client =
        turn_client(&addresses(&server).1.to_string(), "callbox", &username, &password).await;
    let refused = within("the answer", client.allocate()).await.err().expect("it is refused");
    assert!(refused.to_string().contains("486"), "{refused}");
    let relayed = within("the allocation", client.allocate()).await.expect("the rule is used up");
    within("sending", relayed.send_to(b"lost", echo.address)).await.unwrap();
    let lost = async {
        while server.current_faults().await.unwrap().injected.packets_lost == 0 {
            tokio::task::yield_now().await;
        }
    };
    within("the loss", lost).await;

    let report = server.end_faults().await.unwrap();
    assert!(report.packets.is_empty() && report.requests.is_empty());
    assert_eq!((report.injected.packets_lost, report.injected.requests_answered), (1, 1));
    within("sending", relayed.send_to(b"arrives", echo.address)).await.unwrap();
    let mut buffer = [0; 100];
    let (len, _) = within("the echo", relayed.recv_from(&mut buffer)).await.unwrap();
    assert_eq!(&buffer[..len], b"arrives");
    client.close().await.unwrap();
}

/// An action takes up to a second of real time, in a test whose own time stands still.
#[tokio::test(start_paused = true)]
async fn paused_time_does_not_stop_faults() {
    let server = Server::builder().allow_faults().start().await.unwrap();
    let old = server.credentials("alice").unwrap();
    let expiry = json!({ "actions": [{ "action": "expireCredentials" }] });
    let report = server.faults(expiry).await.unwrap();
    let actions = report.actions.unwrap();
    assert_eq!((actions.len(), actions[0].action), (1, "expireCredentials"));
    let new = server.credentials("alice").unwrap();
    assert_ne!(old.username, new.username, "fresh credentials are others");
}

#[tokio::test]
async fn faults_that_are_not_injected_say_why() {
    let server = Server::start().await.unwrap();
    let error = server.faults(json!({})).await.unwrap_err();
    assert!(matches!(error, FaultsError::NotAllowed), "{error:?}");
    assert!(error.to_string().contains("allow_faults()"), "{error}");
    let server = Server::builder().allow_faults().start().await.unwrap();
    let wrong = json!({ "packets": [{ "lossPercent": 101 }] });
    let error = server.faults(wrong).await.unwrap_err().to_string();
    assert!(error.contains("packets[0].lossPercent is 101"), "{error}");
}

/// An action that waits does not delay the end of the server.
#[tokio::test]
async fn a_drop_in_the_middle_of_an_action_ends_the_server() {
    let server = Server::builder().allow_faults().start().await.unwrap();
    let addresses = addresses(&server);
    let expiry = json!([{ "action": "expireCredentials" }]);
    let expiries: Vec<_> = std::iter::repeat_n(expiry[0].clone(), 60).collect();
    let document = json!({ "actions": expiries });
    assert!(server.faults(document).now_or_never().is_none(), "it takes a minute");
    let begin = Instant::now();
    drop(server);
    assert!(begin.elapsed() < Duration::from_secs(10));
    bind(addresses);
}

/// The clients find the server again, with the tokens and credentials that they have, and with a
/// state directory their call.
#[tokio::test]
async fn a_restart_keeps_addresses_and_secrets() {
    let state = tempfile::tempdir().unwrap();
    let builder = Server::builder().option("state-dir", state.path().display());
    let server = builder.option("tls-listen", "127.0.0.1:0");
    let server = server.start().await.unwrap();
    let (mut alice, mut bob) = call(&server).await;
    let before = (
        server.http_url().to_owned(),
        server.turn_uris().to_vec(),
        server.api_key().to_owned(),
        server.https_url().map(str::to_owned),
    );
    let token = server.token("alice").unwrap();
    let credentials = server.credentials("alice").unwrap();

    let server = server.restart().await.unwrap();
    alice.event("server:draining").await;
    bob.event("server:draining").await;
    let after = (
        server.http_url().to_owned(),
        server.turn_uris().to_vec(),
        server.api_key().to_owned(),
        server.https_url().map(str::to_owned),
    );
    assert_eq!(before, after);
    let url = server.websocket_url();
    let mut alice = websocket::Client::sign_in_to(url, &token, Some("phone")).await;
    let call = alice.event("call:sync").await["callId"].clone();
    let mut bob = sign_in(&server, "bob").await;
    assert_eq!(bob.event("call:sync").await["callId"], call);
    relay_with(&server, &credentials).await;
    alice.request("call:end", json!({})).await;
    assert_eq!(bob.event("call:ended").await["reason"], "hangup");

    let server = server.restart().await.expect("a second time");
    sign_in(&server, "alice").await;
}

#[tokio::test]
async fn a_restart_without_a_state_directory_ends_calls() {
    let server = Server::builder().option("workers", 2).start().await.unwrap();
    let (mut alice, _bob) = call(&server).await;
    let server = server.restart().await.unwrap();
    assert_eq!(alice.event("call:ended").await["reason"], "server_shutdown");
    call(&server).await;
    relay(&server).await;
}
