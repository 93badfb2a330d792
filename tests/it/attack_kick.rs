//! Kicked users over real sockets: their allocations are closed as well, and the token that they
//! had does not open new ones.

use serde_json::{Value, json};

use crate::{
    common::{Server, http, websocket::Client},
    support::plain_client::PlainClient,
};

fn allocate(server: &Server, data: &Value) -> PlainClient {
    let (username, password) = crate::common::turn_credentials(data);
    let at = server.turn().parse().unwrap();
    PlainClient::allocate_as(at, server.text("/realm"), &username, &password)
}

/// Opens an allocation; returns the error code if it is refused.
fn try_allocate(server: &Server, data: &Value) -> Option<u16> {
    let (username, password) = crate::common::turn_credentials(data);
    let at = server.turn().parse().unwrap();
    PlainClient::try_allocate_as(at, server.text("/realm"), &username, &password).err()
}

fn kick(server: &Server, query: &str) -> Value {
    let headers = [("authorization", format!("Bearer {}", server.text("/dev/apiKey")))];
    let path = format!("/api/v1/sessions?{query}");
    let answer = http::request(server.authority(), "DELETE", &path, &headers, None);
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.json()
}

const OPEN: &str = "callbox_allocations";

#[tokio::test(flavor = "multi_thread")]
async fn a_kick_closes_the_allocations_of_the_user() {
    let server = Server::with(&["--max-calls-per-user", "9"]);
    let token = server.minted("mallory", &["--ttl", "10m"]);
    let mut mallory = Client::sign_in_with(&server, &token, Some("laptop")).await;
    let mut bob = Client::sign_in(&server, "bob").await;
    let call = json!({ "targetUserId": "bob", "callType": "audio" });
    let call = mallory.request("call:initiate", call).await;
    let incoming = bob.event("call:incoming").await;
    let room = json!({ "roomId": "lobby" });
    let bobs_room = bob.request("room:join", room.clone()).await;
    let room = mallory.request("room:join", room).await;
    let welcome = mallory.welcome.clone();
    let gathering = allocate(&server, &welcome);
    let _others = [&call, &room].map(|data| allocate(&server, data));
    let [_bobs, _bobs_room] = [&incoming, &bobs_room].map(|data| allocate(&server, data));
    server.wait_for_metric(OPEN, |open| open == 5.0);

    let kicked = kick(&server, "userId=mallory");
    assert_eq!(kicked, json!({ "sessions": 1, "calls": 2, "rooms": 1, "allocations": 3 }));
    // The allocations are closed before the response. The other side of the call follows; the room
    // goes on.
    assert_eq!(gathering.try_permit("127.0.0.1:9".parse().unwrap()), Some(437));
    server.wait_for_metric(OPEN, |open| open == 1.0);
    assert_eq!(bob.event("room:left").await["reason"], "kicked");
    // The credentials that mallory got are refused, whether for a call, a room or neither.
    for data in [&welcome, &call, &room] {
        assert_eq!(try_allocate(&server, data), Some(401), "{data}");
    }

    // The same token permits signaling only.
    let mut back = Client::sign_in_with(&server, &token, Some("laptop")).await;
    assert_eq!(back.welcome["turnCredentials"], Value::Null);
    let again = back.request("room:join", json!({ "roomId": "lobby" })).await;
    assert_eq!(again["turnCredentials"], Value::Null);
    let path = "/api/v1/ice-servers";
    assert_eq!(server.get(path, Some(&token)).json()["turnCredentials"], Value::Null);
    // A new token permits everything, and the earlier credentials stay refused.
    let token = server.minted("mallory", &["--ttl", "11m"]);
    let fresh = server.get(path, Some(&token)).json();
    allocate(&server, &fresh);
    let new = Client::sign_in_with(&server, &token, Some("phone")).await;
    allocate(&server, &new.welcome);
    assert_eq!(try_allocate(&server, &welcome), Some(401));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kick_of_a_device_closes_its_calls_and_allocations_without_a_call() {
    let server = Server::with(&["--max-calls-per-user", "9"]);
    let tokens = ["10m", "11m"].map(|ttl| server.minted("mallory", &["--ttl", ttl]));
    let mut laptop = Client::sign_in_with(&server, &tokens[0], Some("laptop")).await;
    let mut phone = Client::sign_in_with(&server, &tokens[1], Some("phone")).await;
    let [_bob, _carol] =
        [Client::sign_in(&server, "bob").await, Client::sign_in(&server, "carol").await];
    let target = |user: &str| json!({ "targetUserId": user, "callType": "audio" });
    let from_laptop = laptop.request("call:initiate", target("bob")).await;
    let from_phone = phone.request("call:initiate", target("carol")).await;
    let [_one, stays, _gathering] =
        [&from_laptop, &from_phone, &phone.welcome].map(|data| allocate(&server, data));

    let kicked = kick(&server, "userId=mallory&deviceId=laptop");
    assert_eq!(kicked, json!({ "sessions": 1, "calls": 1, "rooms": 0, "allocations": 2 }));
    assert_eq!(stays.try_permit("127.0.0.1:9".parse().unwrap()), None);
    for (data, code) in
        [(&from_laptop, Some(401)), (&laptop.welcome, Some(401)), (&from_phone, None)]
    {
        assert_eq!(try_allocate(&server, data), code, "{data}");
    }
    let fresh = phone.request("ice:refresh", json!({ "callId": from_phone["callId"] })).await;
    assert_eq!(try_allocate(&server, &fresh), None);
    let laptop = Client::sign_in_with(&server, &tokens[0], Some("laptop")).await;
    assert_eq!(laptop.welcome["turnCredentials"], Value::Null);
}

/// The end of a call reaches the relay once it is stored; the answer to the kick does not wait for
/// that.
#[tokio::test(flavor = "multi_thread")]
async fn credentials_of_a_call_that_a_kick_ends_are_refused_when_it_is_answered() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::with(&["--state-dir", directory.path().to_str().unwrap()]);
    let _bob = Client::sign_in(&server, "bob").await;
    let target = json!({ "targetUserId": "bob", "callType": "audio" });
    for minutes in 10..20 {
        let token = server.minted("mallory", &["--ttl", &format!("{minutes}m")]);
        let mut laptop = Client::sign_in_with(&server, &token, Some("laptop")).await;
        let call = laptop.request("call:initiate", target.clone()).await;
        let kicked = kick(&server, "userId=mallory&deviceId=laptop");
        assert_eq!(kicked["calls"], 1);
        assert_eq!(try_allocate(&server, &call), Some(401));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_without_sessions_can_be_kicked() {
    let server = Server::start();
    let (old, later) = (server.minted("mallory", &["--ttl", "10m"]), "/api/v1/ice-servers");
    let before = server.get(later, Some(&old)).json();
    let kicked = kick(&server, "userId=mallory");
    assert_eq!(kicked, json!({ "sessions": 0, "calls": 0, "rooms": 0, "allocations": 0 }));
    assert_eq!(try_allocate(&server, &before), Some(401));
}
