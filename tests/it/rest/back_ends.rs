//! Requests of users and back ends for ICE servers, calls and sessions.

use serde_json::json;

use crate::common::{Server, bearer, http, websocket};

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
