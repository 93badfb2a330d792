//! A server at the most verbose log level that gets every kind of secret: none of them is in the
//! log.

use std::{fs, sync::Arc};

use base64::{Engine, prelude::BASE64_STANDARD};
use http_body_util::{BodyExt, Empty};
use hyper::{Request, body::Bytes, client::conn::http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::{CertificateDer, ServerName};
use serde_json::{Value, json};

use crate::{
    common::{Server, bearer, callbox, http, identity, run, socketio, websocket, within},
    support::plain_client::PlainClient,
};

const REALM: &str = "test";
const STATIC_PASSWORD: &str = "static-password";
const WRONG_PASSWORD: &str = "wrong-password";
const WRONG_KEY: &str = "wrong-api-key-of-somebody";
const WRONG_TOKEN: &str = "wrong-token-of-somebody";

/// The keys with which coturn's client makes access tokens.
const OAUTH_KEYS: [(&str, &str); 3] = [
    ("north", "01234567890123456789012345678901"),
    ("union", "1234567890123456"),
    ("oldempire", "12345678901234567890123456789012"),
];

/// Returns the lines of a description that identify a client.
fn description(side: &str) -> Vec<String> {
    vec![
        format!("o=- 46117317 2 IN IP4 {side}.invalid"),
        "c=IN IP4 203.0.113.77".to_owned(),
        format!("a=ice-ufrag:{side}Frag"),
        format!("a=ice-pwd:{side}PwdOfTwentyTwoChars"),
        "a=fingerprint:sha-256 6B:8B:F0:65:5F:78:E2:51:3B:AC:6F:F3:3F:46:1B:35".to_owned(),
        "a=candidate:1 1 udp 2122260223 192.168.77.9 54321 typ host".to_owned(),
    ]
}

fn sdp(lines: &[String]) -> String {
    format!("v=0\r\n{}\r\n", lines.join("\r\n"))
}

fn candidate(side: &str) -> String {
    format!("candidate:842163049 1 udp 1677729535 203.0.113.77 46154 typ srflx ufrag {side}Frag")
}

/// The strings that must not be in the log.
#[derive(Default)]
struct Hidden(Vec<String>);

impl Hidden {
    fn add(&mut self, secret: impl Into<String>) -> String {
        self.0.push(secret.into());
        self.0[self.0.len() - 1].clone()
    }

    /// Checks that no string is in the log, neither as text nor in the form of `Debug` for bytes.
    fn assert_not_in(&self, log: &str) {
        for secret in &self.0 {
            assert!(secret.len() > 7, "{secret:?} may be there by chance");
            let bytes = format!("{:?}", secret.as_bytes());
            for form in [secret, bytes.trim_matches(['[', ']'])] {
                let line = log.lines().find(|line| line.contains(form));
                assert!(line.is_none(), "{secret} was logged: {line:?}");
            }
        }
    }
}

/// Writes a certificate and its key into files; returns the options that name them.
fn certificate(dir: &tempfile::TempDir) -> (CertificateDer<'static>, [String; 4]) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let write = |name: &str, label: &str, der: &[u8]| {
        let path = dir.path().join(name);
        let text = BASE64_STANDARD.encode(der);
        let pem = format!("-----BEGIN {label}-----\n{text}\n-----END {label}-----\n");
        fs::write(&path, pem).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let cert = write("cert.pem", "CERTIFICATE", made.cert.der());
    let key = write("key.pem", "PRIVATE KEY", &made.signing_key.serialize_der());
    (made.cert.der().clone(), ["--tls-cert".into(), cert, "--tls-key".into(), key])
}

/// Requests a page over TLS and HTTP/2, whose crate logs frames by itself.
async fn get_over_http2(server: &Server, cert: &CertificateDer<'static>, path: &str, key: &str) {
    let mut config = identity::trusting(cert);
    config.alpn_protocols = vec![b"h2".to_vec()];
    let at = server.text("/https").strip_prefix("https://").unwrap();
    let stream = tokio::net::TcpStream::connect(at).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let tls = tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, stream).await;
    let io = TokioIo::new(tls.unwrap());
    let (mut requests, connection) =
        http2::handshake(TokioExecutor::new(), io).await.expect("it speaks HTTP/2");
    tokio::spawn(connection);
    let request = Request::get(format!("https://localhost{path}"))
        .header("authorization", format!("Bearer {key}"))
        .body(Empty::<Bytes>::new())
        .unwrap();
    let answer = within("an answer", requests.send_request(request)).await.unwrap();
    assert_eq!(answer.status(), 200, "{path}");
    within("its body", answer.into_body().collect()).await.unwrap();
}

/// Tries to open an allocation with these credentials; returns true if it succeeds.
fn allocate(server: &Server, username: &str, password: &str) -> bool {
    let at = server.turn().parse().unwrap();
    PlainClient::try_allocate_as(at, REALM, username, password).is_ok()
}

/// Makes a call with all its messages, and with invalid ones.
async fn make_a_call(server: &Server, hidden: &mut Hidden) {
    let token = hidden.add(server.token("alice"));
    let mut alice = websocket::Client::connect(server).await;
    alice.send("session:hello", Some(1), &json!({ "token": token })).await;
    alice.event("session:welcome").await;
    let token = hidden.add(server.token("bob"));
    let mut bob = socketio::Client::connect(server).await;
    bob.auth(&json!({ "token": token })).await;
    bob.event("session:welcome").await;

    let started = json!({ "targetUserId": "bob", "callType": "video" });
    let started = alice.request("call:initiate", started).await;
    let incoming = bob.event("call:incoming").await;
    let credentials = [&started, &incoming].map(|data| {
        let text = |name| data["turnCredentials"][name].as_str().unwrap().to_owned();
        (text("username"), hidden.add(text("password")))
    });
    let call = &started["callId"];
    bob.request("call:accept", json!({ "callId": call })).await;
    let [offer, answer] = ["alice", "bobby"].map(|side| {
        let lines = description(side);
        lines.iter().for_each(|line| _ = hidden.add(line));
        sdp(&lines)
    });
    let [early, late] = ["alice", "bobby"].map(|side| hidden.add(candidate(side)));
    // A candidate that is held until its description comes.
    let early = json!({ "callId": call, "candidate": { "candidate": early, "sdpMid": "0" } });
    alice.request("ice:candidate", early).await;
    alice.request("signal:offer", json!({ "callId": call, "sdp": offer })).await;
    bob.event("signal:offer").await;
    bob.event("ice:candidate").await;
    bob.request("signal:answer", json!({ "callId": call, "sdp": answer })).await;
    bob.request("ice:candidate", json!({ "callId": call, "candidate": late })).await;
    alice.event("signal:answer").await;
    alice.event("ice:candidate").await;

    // Events in the wrong state, and frames that cannot be parsed.
    alice.refused("signal:answer", json!({ "callId": call, "sdp": { "type": offer } })).await;
    alice.refused("ice:candidate", json!({ "callId": answer, "candidate": offer })).await;
    alice.send_text(&format!("{{ {offer}")).await;
    alice.event("error").await;
    bob.send(&format!("42[\"signal:offer\", {offer}]")).await;

    let [caller, _] = credentials;
    assert!(allocate(server, &caller.0, &caller.1));
    assert!(!allocate(server, &caller.0, WRONG_PASSWORD));
    alice.request("call:end", json!({ "callId": call })).await;
}

/// Presents invalid tokens by every front and header.
async fn present_invalid_tokens(server: &Server, hidden: &mut Hidden) {
    hidden.add(WRONG_TOKEN);
    let other = hidden.add("another secret of at least thirty-two bytes");
    let forged = run(&mut callbox(&["token", "--user", "alice", "--jwt-secret", &other])).stdout;
    let forged = hidden.add(forged.trim());
    for token in [WRONG_TOKEN, &forged] {
        let header = [("authorization", format!("Bearer {token}"))];
        assert!(websocket::Client::try_connect(server, &header).await.is_err());
        let mut client = websocket::Client::connect(server).await;
        client.send("session:hello", Some(1), &json!({ "token": token })).await;
        assert_eq!(client.answer(1).await["ok"], false);
        let mut client = socketio::Client::connect(server).await;
        let refused = client.auth(&json!({ "token": token })).await;
        assert!(refused.starts_with("44"), "{refused}");
        assert_eq!(server.get("/api/v1/ice-servers", Some(token)).status, 401);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_is_logged_at_any_level() {
    let mut hidden = Hidden::default();
    let dir = tempfile::tempdir().unwrap();
    let (cert, tls) = certificate(&dir);
    let mut options: Vec<String> =
        ["--log-level", "trace", "--realm", REALM, "--tls-listen", "127.0.0.1:0"]
            .map(ToOwned::to_owned)
            .into();
    options.extend(tls);
    options.extend(["--user".into(), format!("camera:{}", hidden.add(STATIC_PASSWORD))]);
    for (kid, key) in OAUTH_KEYS {
        hidden.add(key);
        let key = hidden.add(BASE64_STANDARD.encode(key));
        options.extend(["--oauth-key".into(), format!("{kid}:{key}")]);
    }
    let server = Server::with(&options.iter().map(String::as_str).collect::<Vec<_>>());
    for name in ["authSecret", "jwtSecret", "apiKey"] {
        hidden.add(server.text(&format!("/dev/{name}")));
    }

    make_a_call(&server, &mut hidden).await;
    hidden.add(WRONG_PASSWORD);
    assert!(allocate(&server, "camera", STATIC_PASSWORD));
    assert!(!allocate(&server, "camera", WRONG_PASSWORD));
    let few = ["-J", "-y", "-c", "-n", "5", "-m", "1", "-l", "100"];
    let at = server.turn().parse().unwrap();
    crate::coturn_tools::assert_nothing_lost(&crate::coturn_tools::run(
        "turnutils_uclient",
        at,
        &few,
    ));

    present_invalid_tokens(&server, &mut hidden).await;
    let token = hidden.add(server.token("carol"));
    let answer = server.get("/api/v1/ice-servers", Some(&token)).json();
    hidden.add(answer["turnCredentials"]["password"].as_str().unwrap());
    get_over_http2(&server, &cert, "/api/v1/ice-servers", &token).await;
    let api_key = server.text("/dev/apiKey");
    let headers = bearer(Some(api_key));
    let body = json!({ "userId": "dave" });
    let minted =
        http::request(server.authority(), "POST", "/api/v1/tokens", &headers, Some(&body)).json();
    hidden.add(minted["token"].as_str().unwrap());
    for path in ["/metrics", "/api/v1/calls"] {
        assert_eq!(server.get(path, Some(api_key)).status, 200);
        get_over_http2(&server, &cert, path, api_key).await;
    }
    hidden.add(WRONG_KEY);
    assert_eq!(server.get("/api/v1/calls", Some(WRONG_KEY)).status, 401);
    // The secrets are in an unexpected part of the URL.
    let path = format!("/api/v1/calls/{WRONG_KEY}?token={WRONG_TOKEN}");
    let body: Value = json!({ "userId": WRONG_TOKEN, "password": WRONG_PASSWORD });
    http::request(server.authority(), "POST", &path, &[], Some(&body));

    server.terminate();
    let (status, log) = server.wait();
    assert!(status.success());
    // The log really was at the most verbose level.
    for line in ["TRACE", "session opened", "token refused", "call over"] {
        assert!(log.contains(line), "no {line} in the log\n{log}");
    }
    hidden.assert_not_in(&log);
}
