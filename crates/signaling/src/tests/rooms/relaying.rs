//! Joining, and what participants relay to each other.

use super::*;

#[test]
fn a_join_returns_the_participants_and_notifies_them() {
    let mut world = World::new(|_| {});
    let alice = world.open("alice", "laptop");
    let bob = world.open("bob", "phone");
    let data = json!({ "roomId": "lobby", "callType": "audio", "metadata": { "seat": 3 } });
    let first = world.ok(alice, "room:join", data);
    assert_eq!(first["participants"], json!([]));
    assert_eq!(first["callType"], "audio");
    let second = world.ok(bob, "room:join", json!({ "roomId": "lobby", "callType": "video" }));
    assert_eq!((&second["callId"], &second["callType"]), (&first["callId"], &json!("audio")));
    let me = json!({ "participantId": first["participantId"], "userId": "alice",
        "deviceId": "laptop", "connected": true, "metadata": { "seat": 3 } });
    assert_eq!(second["participants"], json!([me]));
    let joined = json!({ "callId": first["callId"], "roomId": "lobby", "participant": {
        "participantId": second["participantId"], "userId": "bob", "deviceId": "phone",
        "connected": true } });
    assert_eq!(world.received(alice), [("room:joined".to_owned(), joined)]);
    assert!(world.received(bob).is_empty());
    // The credentials are for this life of this room.
    let username = second["turnCredentials"]["username"].as_str().unwrap();
    assert!(username.ends_with(&format!(":bob:{}", second["callId"].as_str().unwrap())));
    // Asked again, it is the same participant.
    let again = world.ok(bob, "room:join", json!({ "roomId": "lobby" }));
    assert_eq!(again, second);
    assert!(world.received(alice).is_empty());
}

#[test]
fn addressed_events_reach_one_participant_only() {
    let mut world = World::new(|config| config.candidate_hold = ms(0));
    let ([alice, bob, carol], [a, b, c]) = in_lobby(&mut world, ["alice", "bob", "carol"]);
    world.ok(carol, "signal:offer", to(&a, sdp("one")));
    world.ok(carol, "ice:candidate", to(&a, candidate(1)));
    let received = world.received(alice);
    assert_eq!(received.len(), 2);
    for (_, data) in &received {
        assert_eq!((&data["from"], &data["fromDevice"]), (&json!("carol"), &json!("laptop")));
        assert_eq!((&data["fromParticipant"], &data["to"]), (&json!(c), &json!(a)));
        assert_eq!(data["roomId"], "lobby");
    }
    world.ok(alice, "signal:answer", to(&c, sdp("two")));
    assert_eq!(world.names(carol), ["signal:answer"]);
    // An answer needs an offer of the very pair.
    world.refused(bob, "signal:answer", to(&c, sdp("x")), "invalid_state");
    world.ok(bob, "call:message", to(&c, json!({ "data": 1 })));
    world.ok(bob, "call:message", json!({ "roomId": "lobby", "data": 2 }));
    assert_eq!(world.names(carol), ["call:message", "call:message"]);
    assert_eq!(world.names(alice), ["call:message"]);
    assert!(world.received(bob).is_empty());
    world.refused(
        bob,
        "signal:offer",
        json!({ "roomId": "lobby", "sdp": "v=0" }),
        "invalid_payload",
    );
    world.refused(bob, "signal:offer", to(&b, sdp("x")), "participant_not_found");
    let nobody = "01JNVGZ9Q1T7Z4M6Y2K8C3B5XA";
    world.refused(bob, "ice:candidate", to(nobody, candidate(1)), "participant_not_found");
}

#[test]
fn candidates_wait_for_the_description_of_their_own_pair() {
    let mut world = World::new(|_| {});
    let ([alice, bob, carol], [a, b, _]) = in_lobby(&mut world, ["alice", "bob", "carol"]);
    world.ok(carol, "ice:candidate", to(&a, candidate(1)));
    world.ok(carol, "ice:candidate", to(&b, candidate(2)));
    world.ok(carol, "signal:offer", to(&b, sdp("one")));
    assert_eq!(world.names(bob), ["signal:offer", "ice:candidate"]);
    assert!(world.received(alice).is_empty());
    world.pass(ms(300));
    assert_eq!(world.names(alice), ["ice:candidate"]);
}

#[test]
fn only_participants_send_and_receive_events_of_a_room() {
    let mut world = World::new(|_| {});
    let ([alice, bob], [a, b]) = in_lobby(&mut world, ["alice", "bob"]);
    let eve = world.open("eve", "laptop");
    let phone = world.open("alice", "phone");
    for (event, data) in [
        ("signal:offer", to(&a, sdp("x"))),
        ("ice:candidate", to(&a, candidate(1))),
        ("call:message", json!({ "roomId": "lobby", "data": 1 })),
        ("media:update", json!({ "roomId": "lobby", "muted": true })),
        ("call:connected", json!({ "roomId": "lobby" })),
        ("call:reconnecting", json!({ "roomId": "lobby" })),
        ("call:stats", json!({ "roomId": "lobby" })),
        ("ice:refresh", json!({ "roomId": "lobby" })),
        ("room:leave", json!({ "roomId": "lobby" })),
    ] {
        world.refused(eve, event, data.clone(), "not_a_participant");
        // Nor another device of who is.
        world.refused(phone, event, data.clone(), "not_a_participant");
        // The error is the same for a room that does not exist.
        let mut elsewhere = data;
        elsewhere["roomId"] = json!("nowhere");
        world.refused(eve, event, elsewhere, "not_a_participant");
    }
    assert!(world.received(alice).is_empty() && world.received(bob).is_empty());
    world.ok(bob, "room:leave", json!({ "roomId": "lobby" }));
    world.forget();
    world.refused(
        bob,
        "call:message",
        json!({ "roomId": "lobby", "data": 1 }),
        "not_a_participant",
    );
    world.ok(alice, "call:message", json!({ "roomId": "lobby", "data": 1 }));
    world.refused(alice, "signal:offer", to(&b, sdp("x")), "participant_not_found");
    assert!(world.received(bob).is_empty() && world.received(eve).is_empty());
}

#[test]
fn only_the_addresses_of_members_are_announced() {
    let mut world = World::new(|config| config.announce_peers = true);
    let ([alice, _bob], [_, b]) = in_lobby(&mut world, ["alice", "bob"]);
    let eve = world.open("eve", "laptop");
    world.refused(eve, "ice:candidate", to(&b, candidate(1)), "not_a_participant");
    assert!(world.announced.is_empty());
    world.ok(alice, "ice:candidate", to(&b, candidate(1)));
    assert_eq!(world.announced.len(), 1);
    assert_eq!(world.announced[0].1, user("alice"));
}
