//! The REST API, the metrics and the pages, over real sockets.

use std::{
    io::Write,
    net::TcpStream,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use serde_json::json;

use crate::common::{DEADLINE, Server, bearer, callbox, http, websocket};

#[test]
fn only_users_get_ice_servers() {
    let server = Server::start();
    let path = "/api/v1/ice-servers";
    let answer = server.get(path, Some(&server.token("alice")));
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let json = answer.json();
    let credentials = &json["turnCredentials"];
    // All URIs that work without TLS: nobody trusts the certificate of --dev.
    let works = server.ready["turn"].as_array().unwrap().iter();
    let trusted: Vec<_> =
        works.filter(|uri| uri.as_str().unwrap().starts_with("turn:")).cloned().collect();
    assert_eq!((trusted.len(), &credentials["uris"]), (2, &json!(trusted)));
    assert_eq!(credentials["ttl"], 3600);
    assert!(credentials["username"].as_str().unwrap().ends_with(":alice"));
    assert_eq!(json["iceServers"][0], json!({ "urls": server.ready["stun"] }));
    assert_eq!(json["iceServers"][1]["urls"], json!(trusted));
    assert_eq!(json["iceServers"][1]["username"], credentials["username"]);
    assert_eq!(json["iceServers"][1]["credential"], credentials["password"]);
    assert!(json["expiresAt"].as_str().unwrap().ends_with('Z'));

    for token in [None, Some("nonsense"), Some(server.text("/dev/apiKey"))] {
        let refused = server.get(path, token);
        assert_eq!((refused.status, refused.error().as_str()), (401, "unauthorized"));
        assert_eq!(refused.header("www-authenticate"), Some("Bearer"));
    }
    let basic = [("authorization", "Basic YTpi".to_owned())];
    let refused = http::request(server.authority(), "GET", path, &basic, None);
    assert_eq!((refused.status, refused.error().as_str()), (401, "unauthorized"));
}

#[tokio::test]
async fn only_back_ends_see_calls() {
    let server = Server::start();
    let key = server.text("/dev/apiKey");
    assert_eq!(server.get("/api/v1/calls", Some(key)).json(), json!({ "calls": [] }));
    let mut alice = websocket::Client::sign_in(&server, "alice").await;
    let mut bob = websocket::Client::sign_in(&server, "bob").await;
    let initiate = json!({ "targetUserId": "bob", "callType": "audio" });
    let call = alice.request("call:initiate", initiate).await["callId"].clone();
    bob.request("call:accept", json!({})).await;
    let calls = server.get("/api/v1/calls", Some(key)).json()["calls"].clone();
    assert_eq!((&calls[0]["id"], &calls[0]["state"]), (&call, &json!("connecting")));
    assert_eq!(calls[0]["participants"][1]["userId"], "bob");
    assert_eq!(server.metric("callbox_calls{state=\"connecting\"}"), 1.0);
    let path = format!("/api/v1/calls/{}", call.as_str().unwrap());
    assert_eq!(server.get(&path, Some(key)).json()["type"], "audio");
    alice.request("call:end", json!({})).await;
    assert_eq!(server.get(&path, Some(key)).json()["reason"], "hangup");
    assert_eq!(server.metric("callbox_calls_ended_total{reason=\"hangup\"}"), 1.0);

    for path in ["/api/v1/calls", path.as_str()] {
        for token in [None, Some("nonsense"), Some(server.token("alice").as_str())] {
            let refused = server.get(path, token);
            assert_eq!((refused.status, refused.error().as_str()), (401, "unauthorized"));
        }
    }
    for id in ["nonsense", "01J0000000000000000000000A", "%00", "%ff"] {
        let missing = server.get(&format!("/api/v1/calls/{id}"), Some(key));
        assert_eq!((missing.status, missing.error().as_str()), (404, "not_found"), "{id}");
    }
}

#[test]
fn every_error_is_json() {
    let server = Server::start();
    for (method, path, status, code) in [
        ("GET", "/nope", 404, "not_found"),
        ("GET", "/api/v1/nope", 404, "not_found"),
        ("GET", "/socket.iox", 404, "not_found"),
        ("POST", "/api/v1/calls", 405, "method_not_allowed"),
        ("DELETE", "/metrics", 405, "method_not_allowed"),
        ("GET", "/dev/token", 405, "method_not_allowed"),
        ("GET", "/ws", 426, "upgrade_required"),
    ] {
        let answer = http::request(server.authority(), method, path, &[], None);
        assert_eq!((answer.status, answer.error().as_str()), (status, code), "{method} {path}");
        assert_eq!(answer.header("content-type"), Some("application/json"));
    }
    for body in [json!({}), json!([]), json!({ "userId": "" }), json!({ "userId": 5 })] {
        let answer = http::request(server.authority(), "POST", "/dev/token", &[], Some(&body));
        assert_eq!(answer.error(), "invalid_payload", "{body}");
        assert!((400..500).contains(&answer.status));
    }
    let long = json!({ "userId": "x".repeat(100_000) });
    let key = bearer(Some(server.text("/dev/apiKey")));
    for (path, headers) in [("/dev/token", &[][..]), ("/api/v1/tokens", &key)] {
        let answer = http::request(server.authority(), "POST", path, headers, Some(&long));
        assert_eq!((answer.status, answer.error().as_str()), (413, "payload_too_large"), "{path}");
    }
}

#[test]
fn the_demo_page_loads_nothing_from_elsewhere() {
    let server = Server::start();
    for (path, content_type) in [
        ("/", "text/html; charset=utf-8"),
        ("/app.js", "text/javascript; charset=utf-8"),
        ("/style.css", "text/css; charset=utf-8"),
    ] {
        let part = server.get(path, None);
        assert_eq!((part.status, part.header("content-type")), (200, Some(content_type)));
        let policy = part.header("content-security-policy").unwrap();
        assert!(policy.starts_with("default-src 'none'; script-src 'self';"), "{policy}");
        assert!(!policy.contains("unsafe"), "{policy}");
    }
    // A foreign name that resolves to this server does not open the page.
    let request = b"GET / HTTP/1.1\r\nhost: evil.example\r\nconnection: close\r\n\r\n";
    assert_eq!(http::raw(server.authority(), request).error(), "not_found");
    assert_eq!(server.get("/dev/online", None).error(), "unauthorized");
}

#[test]
fn pages_of_any_origin_may_import_the_client() {
    let server = Server::start();
    let client = server.get("/callbox.js", None);
    assert_eq!(client.status, 200);
    for (header, value) in [
        ("content-type", "text/javascript; charset=utf-8"),
        ("access-control-allow-origin", "*"),
        ("cross-origin-resource-policy", "cross-origin"),
        ("cache-control", "no-cache"),
    ] {
        assert_eq!(client.header(header), Some(value), "{header}");
    }
    assert_eq!(client.body, include_str!("../../clients/js/callbox.js"));
}

/// Browsers revalidate each time, since the files change with the server.
#[test]
fn unchanged_files_are_a_304() {
    let server = Server::start();
    let mut tags = Vec::new();
    for path in ["/callbox.js", "/", "/app.js", "/style.css"] {
        let file = server.get(path, None);
        let tag = file.header("etag").expect("a tag").to_owned();
        assert_eq!((file.status, file.header("cache-control")), (200, Some("no-cache")), "{path}");
        let ask = |method: &str, tag: String| {
            http::request(server.authority(), method, path, &[("if-none-match", tag)], None)
        };
        for (method, known) in
            [("GET", tag.clone()), ("GET", format!("\"other\", W/{tag}")), ("HEAD", "*".to_owned())]
        {
            let kept = ask(method, known);
            assert_eq!((kept.status, kept.body.len()), (304, 0), "{path}");
            // The headers of the full response (RFC 9110 §15.4.5), and those that permit other
            // origins.
            for name in ["etag", "cache-control", "access-control-allow-origin"] {
                assert_eq!(kept.header(name), file.header(name), "{path} {name}");
            }
        }
        let changed = ask("GET", "\"that of an older server\"".to_owned());
        assert_eq!((changed.status, changed.body == file.body), (200, true), "{path}");
        assert!(!tags.contains(&tag), "{path}");
        tags.push(tag);
    }
}

#[test]
fn metrics_are_open_metrics() {
    let server = Server::start();
    let page = server.get("/metrics", None);
    let content_type = page.header("content-type").unwrap();
    assert!(content_type.starts_with("application/openmetrics-text"), "{content_type}");
    assert!(page.body.ends_with("# EOF\n"));
    for family in [
        "callbox_allocations",
        "callbox_relayed_packets",
        "callbox_relayed_bytes",
        "callbox_drops",
        "callbox_stun_requests",
        "callbox_calls",
        "callbox_calls_ended",
        "callbox_connections",
        "callbox_errors",
        "callbox_bad_frames",
        "callbox_build_info",
    ] {
        assert!(page.body.contains(&format!("# TYPE {family} ")), "{family} is missing");
    }
    assert_eq!(server.metric("callbox_relayed_bytes_total{direction=\"up\"}"), 0.0);
    assert!(page.body.contains("callbox_connections{front=\"websocket\"} 0\n"), "{}", page.body);
}

#[test]
fn pages_of_other_origins_cannot_use_the_api() {
    let server = Server::with(&["--allow-origin", "https://app.example.com"]);
    let token = server.token("alice");
    let ask = |method: &str, origin: &str| {
        let mut headers = bearer(Some(&token));
        headers.push(("origin", origin.to_owned()));
        http::request(server.authority(), method, "/api/v1/ice-servers", &headers, None)
    };
    let evil = ask("GET", "https://evil.example");
    assert_eq!((evil.status, evil.error().as_str()), (403, "origin_not_allowed"));
    assert_eq!(evil.header("access-control-allow-origin"), None);
    let good = ask("GET", "https://app.example.com");
    assert_eq!(good.status, 200);
    assert_eq!(good.header("access-control-allow-origin"), Some("https://app.example.com"));
    assert_eq!(good.header("access-control-allow-credentials"), Some("true"));
    assert_eq!(ask("OPTIONS", "https://app.example.com").status, 204);
    assert_eq!(ask("OPTIONS", "https://evil.example").status, 403);
    // A client that is no page sends no origin.
    assert_eq!(server.get("/api/v1/ice-servers", Some(&token)).status, 200);
}

#[test]
fn connections_per_address_are_limited() {
    let server = Server::with(&["--max-connections-per-address", "3"]);
    let mut held: Vec<_> =
        (0..3).map(|_| TcpStream::connect(server.authority()).unwrap()).collect();
    let mut next = TcpStream::connect(server.authority()).unwrap();
    next.set_read_timeout(Some(DEADLINE)).unwrap();
    let refused = http::read(&mut next);
    assert_eq!((refused.status, refused.error().as_str()), (429, "too_many_connections"));
    // A connection that ends makes room for another one.
    let mut first = held.remove(0);
    first.write_all(b"nonsense\r\n\r\n").unwrap();
    assert_eq!(http::read(&mut first).status, 400);
    drop(first);
    server.wait_for_metric("callbox_tcp_connections", |value| value == 3.0);
    let refused = "callbox_refused_connections_total{limit=\"address\"}";
    server.wait_for_metric(refused, |value| value >= 1.0);
}

#[test]
fn connections_in_total_are_limited() {
    let server = Server::with(&["--max-connections", "2"]);
    let held = (TcpStream::connect(server.authority()), TcpStream::connect(server.authority()));
    let mut next = TcpStream::connect(server.authority()).unwrap();
    next.set_read_timeout(Some(DEADLINE)).unwrap();
    let refused = http::read(&mut next);
    assert_eq!((refused.status, refused.error().as_str()), (503, "too_many_connections"));
    drop(held);
}

#[tokio::test]
async fn operators_end_calls_and_sessions() {
    let key = "an-api-key-of-some-length";
    let server = Server::with(&["--api-key", key]);
    let headers = [("authorization", format!("Bearer {key}"))];
    let ask =
        |method: &str, path: &str| http::request(server.authority(), method, path, &headers, None);
    let mut alice = websocket::Client::sign_in_on(&server, "alice", Some("laptop")).await;
    let mut bob = websocket::Client::sign_in_on(&server, "bob", Some("phone")).await;
    let initiate = || json!({ "targetUserId": "bob", "callType": "audio" });

    // A call.
    let call = alice.request("call:initiate", initiate()).await["callId"].clone();
    let path = format!("/api/v1/calls/{}", call.as_str().unwrap());
    assert_eq!(http::request(server.authority(), "DELETE", &path, &[], None).status, 401);
    let ended = ask("DELETE", &path);
    assert_eq!((ended.status, &ended.json()["reason"]), (200, &json!("kicked")));
    for client in [&mut alice, &mut bob] {
        assert_eq!(client.event("call:ended").await["reason"], "kicked");
    }
    // A second request returns the same; an unknown call is not found.
    assert_eq!(ask("DELETE", &path).json()["endedAt"], ended.json()["endedAt"]);
    assert_eq!(ask("DELETE", "/api/v1/calls/nonsense").status, 404);

    // Sessions.
    let tablet = websocket::Client::sign_in_on(&server, "bob", Some("tablet")).await;
    drop(tablet);
    server.wait_for_metric("callbox_sessions_away", |away| away == 1.0);
    let all = ask("GET", "/api/v1/sessions").json();
    assert_eq!(all["sessions"].as_array().map(Vec::len), Some(3), "{all}");
    let bobs = ask("GET", "/api/v1/sessions?userId=bob").json();
    let seen: Vec<_> = bobs["sessions"].as_array().unwrap().iter().collect();
    assert_eq!(seen.iter().map(|s| &s["deviceId"]).collect::<Vec<_>>(), ["phone", "tablet"]);
    assert_eq!(seen.iter().map(|s| &s["connected"]).collect::<Vec<_>>(), [true, false]);

    // A device without a call, then a user with one.
    let kicked = ask("DELETE", "/api/v1/sessions?userId=bob&deviceId=tablet").json();
    assert_eq!(kicked, json!({ "sessions": 1, "calls": 0, "rooms": 0, "allocations": 0 }));
    alice.request("call:initiate", initiate()).await;
    bob.event("call:incoming").await;
    bob.request("call:accept", json!({})).await;
    let kicked = ask("DELETE", "/api/v1/sessions?userId=bob").json();
    assert_eq!(kicked, json!({ "sessions": 1, "calls": 1, "rooms": 0, "allocations": 0 }));
    assert_eq!(alice.event("call:ended").await["reason"], "kicked");
    assert_eq!(bob.closed().await.0, 4410);
    assert_eq!(ask("DELETE", "/api/v1/sessions?userId=nobody").json()["sessions"], 0);
}

/// A misspelt parameter that was meant as a limit would be ignored otherwise.
#[tokio::test]
async fn an_unknown_parameter_is_refused() {
    let server = Server::start();
    let key = server.text("/dev/apiKey");
    let ask = |method: &str, path: &str, token: &str| {
        let path = format!("/api/v1/{path}");
        http::request(server.authority(), method, &path, &bearer(Some(token)), None)
    };
    let _alice = websocket::Client::sign_in_on(&server, "alice", Some("laptop")).await;
    for (method, path, named) in [
        ("DELETE", "sessions?userId=alice&deviceID=phone", "`deviceID`"),
        ("DELETE", "sessions", "`userId`"),
        ("DELETE", "sessions?userId=", "userId"),
        ("DELETE", "sessions?deviceId=laptop", "`userId`"),
        ("DELETE", "sessions?userId=alice&deviceId=", "deviceId"),
        ("DELETE", "sessions?userId=alice&userId=bob", "`userId`"),
        ("GET", "sessions?userID=bob", "`userID`"),
        ("GET", "sessions?userId=", "userId"),
        ("GET", "calls?userId=bob", "`userId`"),
        ("GET", "calls/01J0000000000000000000000A?full", "`full`"),
        ("DELETE", "calls/01J0000000000000000000000A?dry=1", "`dry`"),
        ("POST", "tokens?ttl=60", "`ttl`"),
        ("GET", "ice-servers?ttl=60", "`ttl`"),
        ("GET", "openapi.json?version=3", "`version`"),
    ] {
        let refused = ask(method, path, key);
        assert_eq!((refused.status, refused.error().as_str()), (400, "invalid_payload"), "{path}");
        assert!(refused.body.contains(named), "{path}: {}", refused.body);
    }
    let sessions = ask("GET", "sessions?userId=alice&deviceId=laptop", key).json();
    assert_eq!(sessions["sessions"][0]["connected"], true, "no session was closed: {sessions}");
    assert_eq!(ask("GET", "calls?", key).status, 200, "nothing is no parameter");
    assert_eq!(ask("DELETE", "sessions?deviceID=phone", "nonsense").status, 401);
}

#[test]
fn the_served_documents_equal_those_of_the_repository() {
    let server = Server::start();
    for (path, document) in [
        ("/api/v1/asyncapi.json", include_str!("../../docs/asyncapi.json")),
        ("/api/v1/openapi.json", include_str!("../../docs/openapi.json")),
    ] {
        let served = server.get(path, None);
        assert_eq!((served.status, served.header("content-type")), (200, Some("application/json")));
        assert!(served.body == document, "{path}");
    }
}

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
