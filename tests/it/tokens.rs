//! Tokens that expire and are refreshed, over both fronts, and tokens of an issuer that publishes
//! its keys.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpListener,
    sync::mpsc,
    thread,
    time::{SystemTime, UNIX_EPOCH},
};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use ring::{
    rand::SystemRandom,
    signature::{Ed25519KeyPair, KeyPair},
};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite;

use crate::common::{DEADLINE, Server, bearer, identity::Identity, socketio, websocket};

/// A session over either front.
enum Client {
    WebSocket(websocket::Client),
    SocketIo(socketio::Client),
}

impl Client {
    /// Opens a session on each front with tokens that are valid for `ttl`.
    async fn both(server: &Server, user: &str, ttl: &str) -> [Self; 2] {
        let token = server.minted(user, &["--ttl", ttl]);
        let mut websocket = websocket::Client::connect(server).await;
        websocket.send("session:hello", Some(0), &json!({ "token": token })).await;
        websocket.event("session:welcome").await;
        let mut socketio = socketio::Client::connect(server).await;
        let connected = socketio.auth(&json!({ "token": token })).await;
        assert!(connected.starts_with("40{"), "{connected}");
        [Self::WebSocket(websocket), Self::SocketIo(socketio)]
    }

    async fn ask(&mut self, event: &str, data: Value) -> Value {
        match self {
            Self::WebSocket(client) => client.ask(event, data).await,
            Self::SocketIo(client) => client.ask(event, data).await,
        }
    }

    async fn refresh(&mut self, token: Value) -> Value {
        self.ask("auth:refresh", json!({ "token": token })).await
    }

    async fn event(&mut self, name: &str) -> Value {
        match self {
            Self::WebSocket(client) => client.event(name).await,
            Self::SocketIo(client) => client.event(name).await,
        }
    }

    /// Waits until the server closes the session because its token has expired.
    async fn expired(self) {
        match self {
            Self::WebSocket(mut client) => {
                let (code, reason) = client.closed().await;
                assert_eq!((code, reason.split(':').next()), (4401, Some("token_expired")));
            }
            Self::SocketIo(mut client) => {
                assert_eq!(client.event("error").await["error"]["code"], "token_expired");
            }
        }
    }
}

#[tokio::test]
async fn a_session_outlives_its_token_with_another_one() {
    let server = Server::with(&["--token-warning", "1h"]);
    let mut clients = Client::both(&server, "alice", "1s").await;
    for client in &mut clients {
        let expiring = client.event("auth:expiring").await;
        assert!(expiring["expiresAt"].as_str().is_some_and(|at| at.ends_with('Z')), "{expiring}");
        let answer = client.refresh(server.minted("alice", &["--ttl", "2h"]).into()).await;
        assert_eq!(answer["ok"], true, "{answer}");
        assert!(answer["expiresAt"].as_str() > expiring["expiresAt"].as_str(), "{answer}");
    }
    // Sessions without a refresh are closed when the first token expires.
    for client in Client::both(&server, "bob", "1s").await {
        client.expired().await;
    }
    for client in &mut clients {
        let answer = client.ask("call:end", json!({})).await;
        assert_eq!(answer["error"]["code"], "call_id_required", "{answer}");
    }
}

#[tokio::test]
async fn only_a_token_of_the_session_s_user_refreshes_it() {
    let server = Server::start();
    let wrong = crate::common::run(&mut crate::common::callbox(&[
        "token",
        "--user",
        "alice",
        "--jwt-secret",
        "another secret, that is none of the server's",
    ]));
    for mut client in Client::both(&server, "alice", "1h").await {
        for (token, code) in [
            (json!(server.minted("bob", &[])), "wrong_user"),
            (json!(wrong.stdout.trim()), "unauthorized"),
            (json!("hush"), "unauthorized"),
            (json!(["hush"]), "invalid_payload"),
            (Value::Null, "invalid_payload"),
        ] {
            let answer = client.refresh(token.clone()).await;
            assert_eq!(answer["error"]["code"], code, "{token}: {answer}");
            let text = answer.to_string();
            assert!(!token.as_str().is_some_and(|token| text.contains(token)), "{text}");
        }
        for data in [Value::Null, json!([]), json!("hush")] {
            assert_eq!(client.ask("auth:refresh", data).await["error"]["code"], "invalid_payload");
        }
        assert_eq!(client.refresh(server.minted("alice", &[]).into()).await["ok"], true);
    }
    // Each refusal is counted once.
    assert_eq!(server.metric("callbox_errors_total{code=\"unauthorized\"}"), 4.0);
    assert_eq!(server.metric("callbox_errors_total{code=\"wrong_user\"}"), 2.0);
}

/// The connection has another id than the session that it resumes.
#[tokio::test]
async fn a_session_that_was_resumed_is_refreshed() {
    let server = Server::start();
    let mut alice = websocket::Client::sign_in_on(&server, "alice", Some("laptop")).await;
    let mut resumed = websocket::Client::connect(&server).await;
    let resume = json!({ "sessionId": alice.welcome["sessionId"], "seq": 0 });
    let hello = json!({ "token": server.token("alice"), "deviceId": "laptop", "resume": resume });
    resumed.send("session:hello", Some(0), &hello).await;
    assert_eq!(resumed.event("session:welcome").await["resumed"], true);
    assert_eq!(alice.closed().await.0, 4409);
    resumed.request("auth:refresh", json!({ "token": server.token("alice") })).await;
}

#[tokio::test]
async fn a_token_limits_the_permissions_of_its_bearer() {
    let server = Server::with(&["--max-calls-per-user", "2"]);
    let limits = ["--call", "b*", "--call", "team:*", "--max-calls", "1", "--no-relay"];
    let token = server.minted("alice", &limits);
    let stun = json!([{ "urls": server.ready["stun"] }]);
    let answer = server.get("/api/v1/ice-servers", Some(&token)).json();
    assert_eq!((&answer["iceServers"], &answer["turnCredentials"]), (&stun, &Value::Null));

    let mut alice = websocket::Client::connect(&server).await;
    alice.send("session:hello", Some(0), &json!({ "token": token })).await;
    assert_eq!(alice.event("session:welcome").await["iceServers"], stun);
    let mut bob = socketio::Client::sign_in(&server, "bob").await;
    let call = |target: &str| json!({ "targetUserId": target, "callType": "audio" });
    assert_eq!(alice.refused("call:initiate", call("carol")).await, "invalid_target");
    assert_eq!(alice.request("call:initiate", call("bob")).await["iceServers"], stun);
    assert!(bob.event("call:incoming").await["turnCredentials"].is_object());
    assert_eq!(alice.refused("call:initiate", call("team:dave")).await, "too_many_calls");
    // More is permitted as soon as a token grants it.
    alice.request("auth:refresh", json!({ "token": server.minted("alice", &[]) })).await;
    let answer = alice.request("call:initiate", call("carol")).await;
    assert!(answer["turnCredentials"].is_object(), "{answer}");
}

/// A signing key of an issuer.
struct Key(Ed25519KeyPair);

impl Key {
    fn new() -> Self {
        let pkcs8 = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        Self(Ed25519KeyPair::from_pkcs8(pkcs8.as_ref()).unwrap())
    }

    fn token(&self, kid: &str) -> String {
        let part = |value: Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let header = part(json!({ "alg": "EdDSA", "kid": kid }));
        let message = format!("{header}.{}", part(json!({ "sub": "alice", "exp": now + 60 })));
        let signature = BASE64_URL_SAFE_NO_PAD.encode(self.0.sign(message.as_bytes()));
        format!("{message}.{signature}")
    }
}

/// Returns the key set that an issuer with this key publishes.
fn key_set(key: &Key, kid: &str) -> String {
    let x = BASE64_URL_SAFE_NO_PAD.encode(key.0.public_key());
    json!({ "keys": [{ "kty": "OKP", "crv": "Ed25519", "kid": kid, "x": x }] }).to_string()
}

/// Publishes a key over HTTPS; returns the URL.
fn publish(key: &Key, kid: &str, identity: Identity) -> String {
    let set = key_set(key, kid);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://{}/jwks.json", listener.local_addr().unwrap());
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut stream = BufReader::new(identity.take(stream));
            // A client that does not trust the certificate sends no request.
            let asked = stream.by_ref().lines().map_while(Result::ok);
            if asked.take_while(|line| !line.is_empty()).count() > 0 {
                let length = set.len();
                let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n");
                stream.get_mut().write_all(format!("{head}{set}").as_bytes()).unwrap();
            }
        }
    });
    url
}

#[test]
fn the_keys_of_tokens_are_those_that_their_issuer_publishes() {
    let (key, stranger, identity) = (Key::new(), Key::new(), Identity::new());
    let trust = identity.path().to_owned();
    let url = publish(&key, "2026-11", identity);
    let server = Server::with(&["--jwt-jwks-url", &url, "--trust-ca", &trust]);
    let status = |token: &str| server.get("/api/v1/ice-servers", Some(token)).status;
    assert_eq!(status(&key.token("2026-11")), 200);
    assert_eq!(status(&stranger.token("2026-11")), 401);
    assert_eq!(status(&stranger.token("2026-12")), 401);
    // Tokens with the shared secret stay valid.
    assert_eq!(status(&server.minted("bob", &[])), 200);

    // A server that does not trust the issuer's certificate accepts no key from it.
    let doubter = Server::with(&["--jwt-jwks-url", &url]);
    assert_eq!(doubter.get("/api/v1/ice-servers", Some(&key.token("2026-11"))).status, 503);
    doubter.terminate();
    let (_, log) = doubter.wait();
    assert!(log.contains("--jwt-jwks-url: no keys") && log.contains("UnknownIssuer"), "{log}");
}

/// An issuer that is down until it gets a key set to publish.
struct Issuer {
    url: String,
    publish: mpsc::Sender<String>,
    /// Notifies each time that it has published a key set.
    published: mpsc::Receiver<()>,
}

impl Issuer {
    fn down() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/jwks.json", listener.local_addr().unwrap());
        let ((publish, news), (tell, published)) = (mpsc::channel::<String>(), mpsc::channel());
        thread::spawn(move || {
            let mut set = None;
            for stream in listener.incoming().flatten() {
                set = news.try_iter().last().or(set);
                let (status, body) = match &set {
                    Some(set) => ("200 OK", set.as_str()),
                    None => ("503 Service Unavailable", ""),
                };
                let mut stream = BufReader::new(stream);
                let asked = stream.by_ref().lines().map_while(Result::ok);
                let _ = asked.take_while(|line| !line.is_empty()).count();
                let head = format!("connection: close\r\ncontent-length: {}", body.len());
                let answer = format!("HTTP/1.1 {status}\r\n{head}\r\n\r\n{body}");
                let _ = stream.get_mut().write_all(answer.as_bytes());
                if set.is_some() && tell.send(()).is_err() {
                    return;
                }
            }
        });
        Self { url, publish, published }
    }
}

#[tokio::test]
async fn while_the_issuer_is_down_its_tokens_are_not_invalid() {
    const UNAVAILABLE: &str = "issuer_unavailable";
    let (key, issuer) = (Key::new(), Issuer::down());
    let server = Server::with(&["--jwt-jwks-url", &issuer.url]);
    let token = key.token("2026-11");

    let mut client = websocket::Client::connect(&server).await;
    client.send("session:hello", Some(1), &json!({ "token": token })).await;
    let error = client.answer(1).await["error"].clone();
    assert_eq!(error["code"], UNAVAILABLE, "{error}");
    assert!(error["retryAfterMs"].as_u64().is_some_and(|ms| ms <= 10_000), "{error}");
    let (code, reason) = client.closed().await;
    assert_eq!((code, reason.split(':').next()), (4503, Some(UNAVAILABLE)));

    let mut client = socketio::Client::connect(&server).await;
    let refused = client.auth(&json!({ "token": token })).await;
    assert!(refused.starts_with("44{\"message\":\"issuer_unavailable: "), "{refused}");

    let refused = server.get("/api/v1/ice-servers", Some(&token));
    assert_eq!((refused.status, refused.error().as_str()), (503, UNAVAILABLE));
    let seconds: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=10).contains(&seconds), "{seconds}");
    let refused = websocket::Client::try_connect(&server, &bearer(Some(&token))).await;
    match refused.err().expect("it is refused") {
        tungstenite::Error::Http(answer) => assert_eq!(answer.status(), 503),
        other => panic!("{other}"),
    }

    // A session continues with its current token.
    let mut clients = Client::both(&server, "alice", "1h").await;
    for client in &mut clients {
        let error = client.refresh(json!(token)).await["error"].clone();
        assert_eq!(error["code"], UNAVAILABLE, "{error}");
        assert!(error["retryAfterMs"].is_u64(), "{error}");
        assert_eq!(client.ask("call:end", json!({})).await["error"]["code"], "call_id_required");
    }
    assert_eq!(server.metric("callbox_errors_total{code=\"issuer_unavailable\"}"), 6.0);
    // A token that no issuer can have signed is still invalid.
    assert_eq!(server.get("/api/v1/ice-servers", Some("hush")).status, 401);

    // Once the issuer is back, its token is valid without a restart, and another signer's is not.
    issuer.publish.send(key_set(&key, "2026-11")).unwrap();
    issuer.published.recv_timeout(DEADLINE).expect("it is asked again");
    assert_eq!(server.get("/api/v1/ice-servers", Some(&token)).status, 200);
    for client in &mut clients {
        assert_eq!(client.refresh(json!(token)).await["ok"], true);
    }
    let refused = server.get("/api/v1/ice-servers", Some(&key.token("another")));
    assert_eq!((refused.status, refused.error().as_str()), (401, "unauthorized"));
}
