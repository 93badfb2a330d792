//! The log lines that `docs/logs.md` documents: ended calls and refused credentials.

use callbox_client::channel_data;
use regex::Regex;
use serde_json::json;

use crate::{
    common::{Server, bearer, callbox, fail2ban_filter, http, run, socketio, websocket},
    support::plain_client::PlainClient,
};

const REALM: &str = "callbox";

/// Stops the server and returns its log.
fn log(server: Server) -> String {
    server.terminate();
    let (status, log) = server.wait();
    assert!(status.success(), "{log}");
    log
}

/// Returns the lines that contain these words.
fn lines<'a>(log: &'a str, words: &str) -> Vec<&'a str> {
    log.lines().filter(|line| line.contains(words)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ended_call_is_one_line() {
    let server = Server::start();
    let mut alice = websocket::Client::sign_in(&server, "alice").await;
    let mut bob = websocket::Client::sign_in(&server, "bob \"the\" builder").await;
    let initiate = json!({ "targetUserId": "bob \"the\" builder", "callType": "video" });
    let started = alice.request("call:initiate", initiate.clone()).await;
    let call = started["callId"].clone();
    bob.request("call:accept", json!({ "callId": call })).await;
    let text = |name| started["turnCredentials"][name].as_str().unwrap();
    let at = server.turn().parse().unwrap();
    let client = PlainClient::allocate_as(at, REALM, text("username"), text("password"));
    let echo = crate::support::Echo::start("127.0.0.1".parse().unwrap());
    client.bind(0x4001, echo.address);
    let message = channel_data(0x4001, &[7; 1000]);
    for _ in 0..20 {
        client.socket.send(&message).unwrap();
        assert_eq!(client.receive(), message);
    }
    let secret_words = json!({ "callId": call, "candidate": { "candidate": "candidate:1 1 udp 1 203.0.113.77 9 typ host" } });
    alice.request("ice:candidate", secret_words).await;
    alice.request("call:end", json!({ "callId": call })).await;

    // A call that is refused, and one in which a side reports a direct connection.
    let second = alice.request("call:initiate", initiate.clone()).await["callId"].clone();
    bob.request("call:reject", json!({ "callId": second })).await;
    let third = alice.request("call:initiate", initiate).await["callId"].clone();
    bob.request("call:accept", json!({ "callId": third })).await;
    bob.request("call:stats", json!({ "callId": third, "path": "host" })).await;
    bob.request("call:end", json!({ "callId": third })).await;
    let log = log(server);
    let lines = lines(&log, "call ended ");
    assert_eq!(lines.len(), 3, "{log}");
    let id = |call: &serde_json::Value| call.as_str().unwrap().to_owned();
    let users = r#"caller="alice" callee="bob \\"the\\" builder""#.replace(r"\\", r"\");
    let expected = format!(
        r#"^\S+ +INFO callbox::reports::call_log: call ended call={} kind=video {} reason=hangup ended_by="alice" rang=\d+\.\d+ duration=\d+\.\d+ path="relayed" allocations=1 bytes_up=20000 bytes_down=20000$"#,
        id(&call),
        regex::escape(&users),
    );
    let find = |call: &serde_json::Value| {
        let id = format!("call={} ", id(call));
        *lines.iter().find(|line| line.contains(&id)).unwrap()
    };
    assert!(Regex::new(&expected).unwrap().is_match(find(&call)), "{expected}\n{}", find(&call));
    let rejected = find(&second);
    for part in ["reason=rejected", "duration=0", r#"path="none" allocations=0"#] {
        assert!(rejected.contains(part), "no {part} in {rejected}");
    }
    assert!(!rejected.contains("rang="), "{rejected}");
    assert!(find(&third).contains(r#"path="direct" allocations=0"#), "{}", find(&third));
    assert!(!log.contains("203.0.113.77"), "{log}");
    drop(client);
}

#[tokio::test]
async fn an_ended_room_is_one_line() {
    let server = Server::start();
    let mut alice = websocket::Client::sign_in(&server, "alice").await;
    let mut bob = socketio::Client::sign_in(&server, "bob").await;
    let room = json!({ "roomId": "stand up" });
    let call = alice.request("room:join", room.clone()).await["callId"].clone();
    bob.request("room:join", room.clone()).await;
    alice.request("room:leave", room.clone()).await;
    bob.request("room:leave", room).await;
    let log = log(server);
    let lines = lines(&log, "room ended ");
    assert_eq!(lines.len(), 1, "{log}");
    let call = format!("call={} ", call.as_str().unwrap());
    for part in [&call, r#"room="stand up" participants=["alice", "bob"]"#, r#"path="none""#] {
        assert!(lines[0].contains(part), "no {part} in {}", lines[0]);
    }
}

#[tokio::test]
async fn refused_credentials_are_logged_and_match_the_fail2ban_filter() {
    let server = Server::start();
    let other = run(&mut callbox(&["token", "--user", "mallory", "--jwt-secret", "hush-hush"]));
    let forged = other.stdout.trim().to_owned();
    let refuse = async |token: &str| {
        let mut client = websocket::Client::connect(&server).await;
        client.send("session:hello", Some(1), &json!({ "token": token })).await;
        assert_eq!(client.answer(1).await["ok"], false);
    };
    refuse(&forged).await;
    let mut client = socketio::Client::connect(&server).await;
    let refused = client.auth(&json!({ "token": forged })).await;
    assert!(refused.starts_with("44"), "{refused}");
    assert_eq!(server.get("/api/v1/ice-servers", Some(&forged)).status, 401);
    assert_eq!(server.get("/api/v1/calls", Some("wrong-key")).status, 401);
    let headers = bearer(Some(&forged));
    assert_eq!(http::request(server.authority(), "GET", "/dev/online", &headers, None).status, 401);
    let mut alice = websocket::Client::sign_in(&server, "alice").await;
    assert_eq!(alice.refused("auth:refresh", json!({ "token": forged })).await, "unauthorized");
    let log = log(server);
    let filter = fail2ban_filter();
    let tokens = lines(&log, "token refused ");
    let keys = lines(&log, "API key refused ");
    assert_eq!((tokens.len(), keys.len()), (5, 1), "{log}");
    for line in tokens.iter().chain(&keys) {
        let (_, undated) = line.split_once(' ').unwrap();
        let journal = format!("host callbox[4711]: {line}");
        for line in [*line, undated, &journal] {
            let found = filter.captures(line).unwrap_or_else(|| panic!("not found: {line}"));
            assert_eq!(&found["host"], "127.0.0.1");
        }
    }
    for line in &tokens {
        assert!(line.ends_with(r#"reason="its signature matches no configured key""#), "{line}");
        assert!(!line.contains("user="), "who it is for is only claimed: {line}");
    }
    assert!(!log.contains(&forged) && !log.contains("mallory") && !log.contains("wrong-key"));
}

/// The name in an expired token is not trusted input: it cannot add lines to the log, or imitate
/// one.
#[tokio::test]
async fn an_expired_token_is_logged_with_its_user_and_not_as_an_attack() {
    let server = Server::start();
    let name = "x\" WARN callbox::http::refused: token refused address=192.0.2.1 ";
    let secret = callbox_base::auth::Secret::new(server.text("/dev/jwtSecret"));
    let minter = callbox_signaling::jwt::TokenMinter::new(&secret, None, None);
    let wanted = callbox_signaling::jwt::Wanted {
        user: callbox_base::ids::UserId::new(name).unwrap(),
        name: None,
        ttl: std::time::Duration::from_secs(60),
        grants: callbox_signaling::jwt::Grants::default(),
    };
    let mut now = callbox_base::clock::Now::read();
    now.unix -= std::time::Duration::from_secs(3600);
    let token = minter.mint(&wanted, now).unwrap().token;
    assert_eq!(server.get("/api/v1/ice-servers", Some(&token)).error(), "token_expired");
    let log = log(server);
    let lines = lines(&log, "token refused ");
    assert_eq!(lines.len(), 1, "{log}");
    assert!(
        lines[0].contains(" INFO ") && lines[0].contains("address=127.0.0.1 user=\"x\\\" WARN")
    );
    assert!(lines[0].ends_with("reason=\"it has expired\""), "{}", lines[0]);
    let filter = fail2ban_filter();
    assert!(log.lines().all(|line| !filter.is_match(line)), "{log}");
}

#[tokio::test]
async fn a_flood_of_wrong_tokens_is_few_lines() {
    let server = Server::start();
    for _ in 0..200 {
        assert_eq!(server.get("/api/v1/ice-servers", Some("nonsense")).status, 401);
    }
    let log = log(server);
    // If the minute changed meanwhile, there are twice as many.
    let lines = lines(&log, "token refused ").len();
    assert!((10..=20).contains(&lines), "{lines} lines");
}
