//! The faults of relayed packets.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use serde_json::json;

use super::{Pair, allocate, ask, credentials, end, put, start};
use crate::common::Server;

#[test]
fn packets_are_lost_by_the_seed_and_a_seed_that_was_generated_repeats_them() {
    let server = start();
    let pair = Pair::open(&server, "alice");
    let lossy = |seed: u64| json!({ "seed": seed, "packets": [{ "lossPercent": 50 }] });
    let first = pair.relayed_under(&server, &lossy(1), 200);
    assert!((60..140).contains(&first.len()), "{first:?}");
    assert!(first.is_sorted());
    // Another allocation of the user meets with the same.
    let again = Pair::open(&server, "alice");
    assert_eq!(again.relayed_under(&server, &lossy(1), 200), first);
    assert_ne!(pair.relayed_under(&server, &lossy(2), 200), first);
    let generated = put(&server, &json!({}))["seed"].as_u64().unwrap();
    assert_ne!(put(&server, &json!({}))["seed"], generated);
    // The other direction, and other users, are not affected.
    put(
        &server,
        &json!({ "packets": [
        { "lossPercent": 100, "direction": "up", "for": { "userId": "alice" } },
    ] }),
    );
    let bob = Pair::open(&server, "bob");
    bob.send(7);
    assert_eq!(bob.received(), 7);
    pair.send(8);
    pair.peer.send_to(b"down", pair.client.relayed).unwrap();
    assert!(pair.client.receive().ends_with(b"down"));
    end(&server);
    pair.send(9);
    assert_eq!(pair.received(), 9);
}

#[test]
fn packets_come_late_in_order_twice_and_out_of_order() {
    let server = start();
    let pair = Pair::open(&server, "alice");
    put(&server, &json!({ "packets": [{ "direction": "up", "delayMs": 200, "jitterMs": 50 }] }));
    let sent = Instant::now();
    (0..50).for_each(|number| pair.send(number));
    let received: Vec<_> = (0..50).map(|_| pair.received()).collect();
    assert!(sent.elapsed() >= Duration::from_millis(150), "{:?}", sent.elapsed());
    assert_eq!(received, (0..50).collect::<Vec<_>>());

    let twice = json!({ "packets": [{ "duplicatePercent": 100 }] });
    assert_eq!(pair.relayed_under(&server, &twice, 3), [0, 0, 1, 1, 2, 2]);

    // Packets that are held back when the faults end are sent at once.
    let reordered = json!({ "seed": 3, "packets": [{ "delayMs": 60_000, "reorderPercent": 30 }] });
    let received = pair.relayed_under(&server, &reordered, 60);
    assert!(!received.is_sorted(), "{received:?}");
    assert_eq!(received.iter().collect::<BTreeSet<_>>().len(), 60);
    let injected = ask(&server, "GET", None).json()["injected"].clone();
    assert!(injected["packetsReordered"].as_u64().unwrap() > 5, "{injected}");
    assert_eq!(injected["packetsDuplicated"], 3);
}

#[test]
fn the_bandwidth_of_a_user_is_limited_in_the_other_direction_too() {
    let server = start();
    let pair = Pair::open(&server, "alice");
    // A message of 1004 bytes takes 80 ms.
    let slow = json!({ "direction": "down", "bandwidthKbps": 100, "for": { "userId": "alice" } });
    put(&server, &json!({ "packets": [slow] }));
    let sent = Instant::now();
    for _ in 0..5 {
        pair.peer.send_to(&[7; 1000], pair.client.relayed).unwrap();
    }
    for _ in 0..5 {
        assert_eq!(pair.client.receive().len(), 1004);
    }
    assert!(sent.elapsed() >= Duration::from_millis(400), "{:?}", sent.elapsed());
}

/// The packets of two clients of this server go from one allocation to the other without a socket
/// between them, perhaps from worker to worker.
#[test]
fn faults_are_also_for_packets_between_two_clients_of_the_server() {
    let server = Server::with(&["--allow-faults", "--workers", "2"]);
    let pairs: Vec<_> = ["alice", "bob", "carol", "dave"]
        .map(|user| allocate(&server, &credentials(&server, user)))
        .into();
    let [alice, others @ ..] = &pairs[..] else { panic!("there are four") };
    for (n, other) in others.iter().enumerate() {
        let channel = 0x4001 + n as u16;
        alice.bind(channel, other.relayed);
        other.bind(0x4001, alice.relayed);
        let late = json!({ "for": { "userId": "alice" }, "direction": "up", "delayMs": 100 });
        put(&server, &json!({ "packets": [late, { "duplicatePercent": 100 }] }));
        let sent = Instant::now();
        let data = callbox_client::channel_data(channel, b"ping");
        alice.socket.send(&data).unwrap();
        for _ in 0..2 {
            assert!(other.receive().ends_with(b"ping"));
        }
        assert!(sent.elapsed() >= Duration::from_millis(100));
        end(&server);
    }
}
