//! The faults of requests and allocations, and of the relay as a whole.

use std::time::{Duration, Instant};

use callbox_client::Request;
use serde_json::json;

use super::{Pair, allocate, ask, credentials, end, put, start};
use crate::{
    common::DEADLINE,
    support::plain_client::{Framed, Wire},
};

#[test]
fn the_next_requests_fail_and_those_after_them_do_not() {
    let server = start();
    let pair = Pair::open(&server, "alice");
    let peer = pair.peer.local_addr().unwrap();
    put(
        &server,
        &json!({ "requests": [
        { "method": "createPermission", "answer": 438, "count": 1 },
        { "method": "refresh", "answer": 437, "count": 2, "for": { "userId": "alice" } },
        { "method": "refresh", "answer": 508, "count": 1 },
    ] }),
    );
    // The client goes on with the new nonce.
    assert_eq!(pair.client.try_permit(peer), None);
    let refresh = || pair.client.try_request(&Request::refresh());
    assert_eq!(
        [refresh(), refresh(), refresh(), refresh()],
        [Some(437), Some(437), Some(508), None]
    );
    let report = ask(&server, "GET", None).json();
    assert_eq!(report["injected"]["requestsAnswered"], 4);
    assert!(report["requests"].as_array().unwrap().iter().all(|rule| rule["left"] == 0));
}

#[test]
fn credentials_expire_and_allocations_are_dropped_at_once() {
    let server = start();
    let old = credentials(&server, "alice");
    let alice = allocate(&server, &old);
    let bob = allocate(&server, &credentials(&server, "bob"));
    let of_alice = json!({ "userId": "alice" });
    let expire = json!({ "actions": [{ "action": "expireCredentials", "for": of_alice }] });
    let expected = json!([{ "action": "expireCredentials", "affected": 1 }]);
    assert_eq!(put(&server, &expire)["actions"], expected);
    assert_eq!(alice.try_request(&Request::refresh()), Some(401));
    assert_eq!(bob.try_request(&Request::refresh()), None);
    // Those that are made after the answer are others.
    let new = credentials(&server, "alice");
    let alice = allocate(&server, &new);
    let drop_all = json!({ "actions": [{ "action": "dropAllocations" }] });
    let dropped = put(&server, &drop_all)["actions"][0]["affected"].as_u64().unwrap();
    assert!(dropped >= 3, "{dropped}");
    for client in [&alice, &bob] {
        assert_eq!(client.try_request(&Request::refresh()), Some(437));
    }
    server.wait_for_metric("callbox_allocations", |open| open == 0.0);
}

#[test]
fn a_relay_that_is_gone_answers_nothing_and_comes_back_with_its_allocations() {
    let server = start();
    let pair = Pair::open(&server, "alice");
    let gone = json!({ "actions": [{ "action": "relayGone", "forMs": 600_000 }] });
    assert_eq!(put(&server, &gone)["relayGone"], true);
    pair.send(1);
    pair.peer.send_to(b"lost", pair.client.relayed).unwrap();
    let short = Duration::from_millis(200);
    pair.client.socket.set_read_timeout(Some(short)).unwrap();
    pair.peer.set_read_timeout(Some(short)).unwrap();
    assert!(pair.client.socket.recv(&mut [0; 9]).is_err());
    assert!(pair.peer.recv(&mut [0; 9]).is_err());
    assert_eq!(end(&server)["relayGone"], false);
    pair.client.socket.set_read_timeout(Some(DEADLINE)).unwrap();
    pair.peer.set_read_timeout(Some(DEADLINE)).unwrap();
    pair.send(2);
    assert_eq!(pair.received(), 2);
    pair.peer.send_to(b"back", pair.client.relayed).unwrap();
    assert!(pair.client.receive().ends_with(b"back"));
    // It ends by itself as well.
    put(&server, &json!({ "actions": [{ "action": "relayGone", "forMs": 100 }] }));
    let until = Instant::now() + DEADLINE;
    pair.client.socket.set_read_timeout(Some(short)).unwrap();
    loop {
        pair.peer.send_to(b"again", pair.client.relayed).unwrap();
        if pair.client.socket.recv(&mut [0; 100]).is_ok() {
            break;
        }
        assert!(Instant::now() < until, "the relay does not come back");
    }
}

/// A client of the server over TCP is held up while the relay is gone, and not lost.
#[test]
fn streams_wait_while_the_relay_is_gone() {
    let server = start();
    let stream = std::net::TcpStream::connect(server.turn()).unwrap();
    let mut writer = stream.try_clone().unwrap();
    let short = Duration::from_millis(200);
    put(&server, &json!({ "actions": [{ "action": "relayGone", "forMs": 600_000 }] }));
    let binding = b"\x00\x01\x00\x00\x21\x12\xa4\x42transaction!";
    std::io::Write::write_all(&mut writer, binding).unwrap();
    writer.set_read_timeout(Some(short)).unwrap();
    assert!(std::io::Read::read(&mut writer, &mut [0; 9]).is_err());
    end(&server);
    writer.set_read_timeout(Some(DEADLINE)).unwrap();
    let framed = Framed::new(stream);
    let answer = Wire::take(&framed);
    assert_eq!(answer[..2], [0x01, 0x01]);
}
