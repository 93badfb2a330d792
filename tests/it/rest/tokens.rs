//! Tokens that back ends request for their users.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use serde_json::json;

use crate::common::{Server, bearer, callbox, http, websocket};

/// Requests a token as a back end does.
fn mint(server: &Server, key: &str, body: &serde_json::Value) -> http::Response {
    http::request(server.authority(), "POST", "/api/v1/tokens", &bearer(Some(key)), Some(body))
}

#[tokio::test]
async fn back_ends_get_tokens_for_their_users() {
    let server = Server::with(&["--jwt-issuer", "us", "--jwt-audience", "callbox"]);
    let key = server.text("/dev/apiKey");
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let grants = json!({ "call": ["bob"], "maxCalls": 1, "relay": false });
    let wanted = json!({ "userId": "alice", "name": "Alice", "ttl": 600, "callbox": grants });
    let answer = mint(&server, key, &wanted);
    assert_eq!((answer.status, answer.header("cache-control")), (201, Some("no-store")));
    let answer = answer.json();
    let token = answer["token"].as_str().unwrap();
    let claims = BASE64_URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap();
    let claims: serde_json::Value = serde_json::from_slice(&claims).unwrap();
    assert_eq!((&claims["sub"], &claims["name"]), (&json!("alice"), &json!("Alice")));
    assert_eq!((&claims["iss"], &claims["aud"]), (&json!("us"), &json!("callbox")));
    assert_eq!(claims["callbox"], grants);
    let expires = claims["exp"].as_u64().unwrap();
    assert!((now + 600..now + 660).contains(&expires), "{expires}");
    let at = UNIX_EPOCH + Duration::from_secs(expires);
    assert_eq!(answer["expiresAt"], humantime::format_rfc3339_millis(at).to_string());

    // The token opens a session with exactly its permissions.
    let mut alice = websocket::Client::connect(&server).await;
    alice.send("session:hello", Some(0), &json!({ "token": token })).await;
    let welcome = alice.event("session:welcome").await;
    assert_eq!((&welcome["userId"], &welcome["turnCredentials"]), (&json!("alice"), &json!(null)));
    let carol = json!({ "targetUserId": "carol", "callType": "audio" });
    assert_eq!(alice.refused("call:initiate", carol).await, "invalid_target");

    // The default lifetime is an hour; a token without restrictions has no `callbox` claim.
    let plain = mint(&server, key, &json!({ "userId": "bob" })).json();
    let ends = humantime::parse_rfc3339(plain["expiresAt"].as_str().unwrap()).unwrap();
    let ends = ends.duration_since(UNIX_EPOCH).unwrap().as_secs();
    assert!((now + 3600..now + 3660).contains(&ends), "{ends}");
    let answer = server.get("/api/v1/ice-servers", plain["token"].as_str());
    assert_eq!(answer.json()["iceServers"].as_array().map(Vec::len), Some(2));
}

#[test]
fn unusable_tokens_are_not_minted() {
    let server = Server::start();
    let key = server.text("/dev/apiKey");
    for body in [
        json!({}),
        json!({ "userId": "" }),
        json!({ "userId": "alice", "ttl": 0 }),
        json!({ "userId": "alice", "ttl": 30 * 86400 + 1 }),
        json!({ "userId": "alice", "ttl": -1 }),
        json!({ "userId": "alice", "ttl": u64::MAX }),
        json!({ "userId": "alice", "name": "x".repeat(129) }),
        json!({ "userId": "alice", "name": "a\u{0}b" }),
        json!({ "userId": "alice", "callbox": { "call": [""] } }),
        json!({ "userId": "alice", "callbox": { "maxcalls": 1 } }),
        json!({ "userId": "alice", "callbox": { "call": ["x".repeat(8000)] } }),
        // The misspelt claim was meant as a restriction.
        json!({ "userId": "alice", "callBox": { "relay": false } }),
    ] {
        let refused = mint(&server, key, &body);
        assert_eq!((refused.status, refused.error().as_str()), (400, "invalid_payload"), "{body}");
    }
    let body = json!({ "userId": "alice" });
    for token in [None, Some("nonsense"), Some(server.token("alice").as_str())] {
        let path = "/api/v1/tokens";
        let refused = http::request(server.authority(), "POST", path, &bearer(token), Some(&body));
        assert_eq!((refused.status, refused.error().as_str()), (401, "unauthorized"));
    }
}

#[test]
fn a_server_without_a_signing_secret_refuses_to_mint_tokens() {
    let key = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/jwt/ed.pub.pem");
    let secrets = ["serve", "--auth-secret", "a-secret-of-some-length", "--api-key", "the-api-key"];
    let listen = ["--http", "127.0.0.1:0", "--listen", "127.0.0.1:0", "--lifetime", "5m"];
    let rest = ["--ready-json", "--jwt-public-key", key];
    let server = Server::spawn(&mut callbox(&[&secrets[..], &listen, &rest].concat()));
    let refused = mint(&server, "the-api-key", &json!({ "userId": "alice" }));
    assert_eq!((refused.status, refused.error().as_str()), (501, "no_signing_secret"));
    assert!(refused.body.contains("--jwt-secret"), "{}", refused.body);
}
