//! The candidate journal, as the design has it.

use callbox_base::ids::SessionId;
use serde_json::{Value, json};

use super::{World, candidate, ms, sdp};

/// The descriptions and candidates that a session heard, each as its `n`.
fn relayed(world: &mut World, session: SessionId) -> Vec<(String, Value)> {
    let received = world.received(session).into_iter();
    received
        .filter(|(name, _)| name.starts_with("ice:") || name.starts_with("signal:"))
        .map(|(name, data)| (name, data["n"].clone()))
        .collect()
}

fn numbered(n: u32, mut data: Value) -> Value {
    data["n"] = n.into();
    data
}

fn expect(list: &[(&str, u32)]) -> Vec<(String, Value)> {
    list.iter().map(|(name, n)| ((*name).to_owned(), json!(n))).collect()
}

#[test]
fn before_the_accept_everything_is_kept_for_the_device_that_accepts() {
    let (mut world, alice, phone) = World::with_alice_and_bob();
    let tablet = world.open("bob", "tablet");
    world.call(alice, "bob");
    world.ok(alice, "ice:candidate", numbered(1, candidate(1)));
    world.ok(alice, "signal:offer", numbered(2, sdp("a")));
    world.ok(alice, "ice:candidate", numbered(3, candidate(3)));
    world.ok(alice, "ice:candidate", numbered(4, json!({ "candidate": null })));
    world.pass(ms(2000));
    assert_eq!(relayed(&mut world, phone), []);
    assert_eq!(relayed(&mut world, tablet), []);
    assert_eq!(world.hub.stats().journal_candidates, 3);

    world.ok(phone, "call:accept", json!({}));
    let kept = [("signal:offer", 2), ("ice:candidate", 1), ("ice:candidate", 3)];
    let mut expected = expect(&kept);
    expected.extend(expect(&[("ice:candidate", 4)]));
    assert_eq!(relayed(&mut world, phone), expected);
    assert_eq!(relayed(&mut world, tablet), []);
    assert_eq!(world.hub.stats().journal_bytes, 0);

    // After the description, candidates are relayed at once.
    world.ok(alice, "ice:candidate", numbered(5, candidate(5)));
    assert_eq!(relayed(&mut world, phone), expect(&[("ice:candidate", 5)]));
}

#[test]
fn fields_that_the_server_sets_are_not_taken_from_the_sender() {
    let (mut world, alice, bob) = World::with_alice_and_bob();
    world.call(alice, "bob");
    world.ok(bob, "call:accept", json!({}));
    world.forget();
    let mut data = sdp("a");
    for name in ["from", "fromDevice", "fromParticipant", "msgId"] {
        data[name] = json!("01JNVH1B2XK4D6F8H0J2M4P6R8");
    }
    data["roomId"] = Value::Null;
    data["mine"] = json!(true);
    world.ok(alice, "signal:offer", data);
    let (_, received) = world.received(bob).remove(0);
    let mut names: Vec<_> = received.as_object().unwrap().keys().cloned().collect();
    names.sort();
    assert_eq!(names, ["callId", "from", "fromDevice", "mine", "sdp"]);
    assert_eq!((&received["from"], &received["fromDevice"]), (&json!("alice"), &json!("laptop")));
}

#[test]
fn after_the_accept_candidates_wait_for_their_description() {
    let (mut world, alice, bob) = World::with_alice_and_bob();
    world.call(alice, "bob");
    world.ok(bob, "call:accept", json!({}));
    world.ok(alice, "ice:candidate", numbered(1, candidate(1)));
    world.pass(ms(200));
    world.ok(alice, "ice:candidate", numbered(2, json!({ "candidate": "" })));
    assert_eq!(relayed(&mut world, bob), []);
    world.ok(alice, "signal:offer", numbered(3, sdp("a")));
    assert_eq!(
        relayed(&mut world, bob),
        expect(&[("signal:offer", 3), ("ice:candidate", 1), ("ice:candidate", 2)])
    );
    // Each direction waits by itself.
    world.ok(bob, "ice:candidate", numbered(4, candidate(4)));
    assert_eq!(relayed(&mut world, alice), []);
    world.ok(bob, "signal:answer", numbered(5, sdp("b")));
    assert_eq!(relayed(&mut world, alice), expect(&[("signal:answer", 5), ("ice:candidate", 4)]));
}

#[test]
fn candidates_wait_no_longer_than_the_hold_time() {
    let (mut world, alice, bob) = World::with_alice_and_bob();
    world.call(alice, "bob");
    world.ok(alice, "ice:candidate", numbered(1, candidate(1)));
    world.ok(bob, "call:accept", json!({}));
    world.pass(ms(200));
    world.ok(alice, "ice:candidate", numbered(2, candidate(2)));
    world.pass(ms(99));
    assert_eq!(relayed(&mut world, bob), []);
    world.pass(ms(1));
    assert_eq!(relayed(&mut world, bob), expect(&[("ice:candidate", 1), ("ice:candidate", 2)]));
}

#[test]
fn a_hold_time_of_zero_disables_the_wait() {
    let mut world = World::new(|config| config.candidate_hold = ms(0));
    let (alice, bob) = (world.open("alice", "laptop"), world.open("bob", "phone"));
    world.call(alice, "bob");
    world.ok(alice, "ice:candidate", numbered(1, candidate(1)));
    world.ok(bob, "call:accept", json!({}));
    world.ok(alice, "ice:candidate", numbered(2, candidate(2)));
    assert_eq!(relayed(&mut world, bob), expect(&[("ice:candidate", 1), ("ice:candidate", 2)]));
}

#[test]
fn a_newer_generation_drops_what_was_kept_of_the_older() {
    let (mut world, alice, bob) = World::with_alice_and_bob();
    world.call(alice, "bob");
    world.ok(alice, "signal:offer", numbered(1, sdp("one")));
    world.ok(alice, "ice:candidate", numbered(2, candidate(2)));
    world.ok(alice, "signal:offer", numbered(3, sdp("two")));
    world.ok(alice, "ice:candidate", numbered(4, candidate(4)));
    world.ok(bob, "call:accept", json!({}));
    assert_eq!(relayed(&mut world, bob), expect(&[("signal:offer", 3), ("ice:candidate", 4)]));
    assert_eq!(world.hub.stats().counters.candidates_dropped, 1);
}

#[test]
fn a_full_journal_is_reported() {
    let (mut world, alice, bob) = World::with_alice_and_bob();
    world.call(alice, "bob");
    for n in 0..64 {
        world.ok(alice, "ice:candidate", candidate(n));
    }
    world.refused(alice, "ice:candidate", candidate(64), "too_many_candidates");
    let huge = json!({ "sdp": "x".repeat(64 * 1024) });
    world.refused(alice, "signal:offer", huge.clone(), "payload_too_large");
    world.ok(bob, "call:accept", json!({}));
    // A candidate that can be sent on is not kept.
    world.ok(alice, "signal:offer", huge);
    assert_eq!(world.names(bob).len(), 1 + 1 + 64);
    assert_eq!(world.hub.stats().counters.candidates_refused, 1);
}

#[test]
fn a_full_journal_does_not_stop_relaying_to_a_connected_side() {
    let mut world = World::new(|config| config.journal_candidates = 2);
    let (alice, bob) = (world.open("alice", "laptop"), world.open("bob", "phone"));
    world.call(alice, "bob");
    world.ok(bob, "call:accept", json!({}));
    for n in 1..=3 {
        world.ok(alice, "ice:candidate", numbered(n, candidate(n)));
    }
    assert_eq!(
        relayed(&mut world, bob),
        expect(&[("ice:candidate", 1), ("ice:candidate", 2), ("ice:candidate", 3)])
    );
}

#[test]
fn relayed_events_name_their_sender_and_keep_their_fields() {
    let (mut world, alice, bob) = World::with_alice_and_bob();
    let call = world.call(alice, "bob");
    world.ok(bob, "call:accept", json!({}));
    world.forget();
    let data = json!({ "sdp": "v=0\r\n", "from": "eve", "fromDevice": 7, "x": { "y": [1] } });
    world.ok(alice, "signal:offer", data);
    assert_eq!(
        world.received(bob),
        [(
            "signal:offer".into(),
            json!({
                "sdp": "v=0\r\n", "x": { "y": [1] },
                "callId": call, "from": "alice", "fromDevice": "laptop",
            })
        )]
    );
}

/// Browsers print descriptions and candidates as objects; the seed sends both forms.
#[test]
fn candidates_in_each_form_of_browsers_are_accepted() {
    let (mut world, alice, bob) = World::with_alice_and_bob();
    world.call(alice, "bob");
    world.ok(bob, "call:accept", json!({}));
    let line = "candidate:1 1 udp 1 192.0.2.9 9 typ host";
    world.ok(alice, "signal:offer", json!({ "sdp": { "type": "offer", "sdp": "v=0\r\n" } }));
    for data in [
        json!({ "candidate": { "candidate": line, "sdpMid": "0", "sdpMLineIndex": 0,
                "usernameFragment": null } }),
        json!({ "candidate": line }),
        json!({ "candidate": null }),
        json!({ "candidate": { "candidate": "" } }),
    ] {
        world.forget();
        world.ok(alice, "ice:candidate", data.clone());
        assert_eq!(world.received(bob)[0].1["candidate"], data["candidate"]);
    }
}

#[test]
fn a_device_that_only_rings_sends_nothing_to_the_caller() {
    let (mut world, alice, bob) = World::with_alice_and_bob();
    world.call(alice, "bob");
    world.forget();
    for (event, data) in
        [("ice:candidate", candidate(1)), ("signal:offer", sdp("b")), ("signal:answer", sdp("b"))]
    {
        world.refused(bob, event, data, "invalid_state");
    }
    world.refused(alice, "signal:answer", sdp("a"), "invalid_state");
    assert_eq!(world.received(alice), []);
}
