//! Refused requests and limits of rooms.

use super::*;

#[test]
fn requests_of_two_party_calls_are_refused_in_a_room() {
    let mut world = World::new(|config| config.max_calls_per_user = 2);
    let ([alice, bob], _) = in_lobby(&mut world, ["alice", "bob"]);
    let id = world.call(alice, "bob");
    world.ok(bob, "call:accept", json!({ "callId": id }));
    for event in ["call:ring", "call:accept", "call:reject", "call:cancel", "call:end"] {
        world.refused(alice, event, json!({ "roomId": "lobby" }), "invalid_state");
    }
    let upgrade = json!({ "roomId": "lobby", "callType": "audio" });
    world.refused(alice, "call:upgrade", upgrade, "invalid_state");
    assert!(world.hub.calls_of_two().get(id).is_some(), "the call beside it goes on");
    let room = world.hub.rooms().iter().next().unwrap().id();
    world.refused(alice, "call:end", json!({ "callId": room }), "invalid_state");
    let eve = world.open("eve", "laptop");
    world.refused(eve, "call:end", json!({ "callId": room }), "not_a_participant");
}

#[test]
fn a_room_has_eight_slots() {
    let mut world = World::new(|config| config.max_calls_per_user = 2);
    let sessions: Vec<_> = (0..9).map(|n| world.open(&format!("user{n}"), "laptop")).collect();
    for session in &sessions[..8] {
        join(&mut world, *session);
    }
    world.refused(sessions[8], "room:join", json!({ "roomId": "lobby" }), "room_full");
    // A participant still gets its answer.
    join(&mut world, sessions[0]);
    world.ok(sessions[3], "room:leave", json!({ "roomId": "lobby" }));
    let answer = world.ok(sessions[8], "room:join", json!({ "roomId": "lobby" }));
    assert_eq!(answer["participants"].as_array().unwrap().len(), 7);
}

#[test]
fn a_room_counts_as_a_call_in_limits() {
    let mut world = World::new(|config| config.max_calls = 2);
    let ([alice, _bob], _) = in_lobby(&mut world, ["alice", "bob"]);
    world.refused(alice, "room:join", json!({ "roomId": "other" }), "too_many_calls");
    let data = json!({ "targetUserId": "carol", "callType": "audio" });
    world.refused(alice, "call:initiate", data, "too_many_calls");
    let carol = world.open("carol", "laptop");
    let data = json!({ "targetUserId": "alice", "callType": "audio" });
    world.ok(carol, "call:initiate", data);
    assert_eq!(world.reasons(carol), ["busy"]);
    // A second device of a user is in the same call.
    let phone = world.open("alice", "phone");
    join(&mut world, phone);
    let dave = world.open("dave", "laptop");
    world.call(dave, "erin");
    let erin = world.open("erin", "laptop");
    world.call(erin, "dave");
    world.refused(carol, "room:join", json!({ "roomId": "third" }), "server_full");
    join(&mut world, carol);
}

#[test]
fn a_join_counts_against_the_rate_of_calls() {
    let mut world = World::new(|config| {
        config.calls_per_minute = 60;
        config.call_burst = 2;
    });
    let alice = world.open("alice", "laptop");
    for _ in 0..2 {
        join(&mut world, alice);
        join(&mut world, alice);
        world.ok(alice, "room:leave", json!({ "roomId": "lobby" }));
    }
    world.refused(alice, "room:join", json!({ "roomId": "lobby" }), "rate_limited");
    world.pass(ms(1000));
    join(&mut world, alice);
}

#[test]
fn a_token_limits_the_rooms() {
    let mut world = World::new(|_| {});
    let session = SessionId::generate(world.now.unix_ms(), &mut world.rng);
    let grants = Grants { rooms: Some(vec!["team-a/*".into()]), ..Grants::default() };
    let identity = Identity { grants, ..identity("alice", world.now.unix_secs() + 1000) };
    world.input(Input::Open {
        session,
        identity: identity.into(),
        device: None,
        resume: Resume::New,
    });
    world.refused(session, "room:join", json!({ "roomId": "team-b/x" }), "not_allowed");
    world.ok(session, "room:join", json!({ "roomId": "team-a/x" }));
}

#[test]
fn invalid_room_ids_are_refused() {
    let mut world = World::new(|_| {});
    let alice = world.open("alice", "laptop");
    for room in [json!(""), json!(null), json!(7), json!("x".repeat(129)), json!("a\nb")] {
        world.refused(alice, "room:join", json!({ "roomId": room }), "invalid_payload");
    }
    world.ok(alice, "room:join", json!({ "roomId": "ü".repeat(64) }));
    let data = json!({ "roomId": "x", "metadata": "x".repeat(5000) });
    world.refused(alice, "room:join", data, "payload_too_large");
}

#[test]
fn a_repeated_join_gets_the_same_answer() {
    let mut world = World::new(|_| {});
    let ([alice], _) = in_lobby(&mut world, ["alice"]);
    let bob = world.open("bob", "phone");
    let data = json!({ "roomId": "lobby", "msgId": "x" });
    let first = world.ok(bob, "room:join", data.clone());
    assert_eq!(world.ok(bob, "room:join", data), first);
    assert_eq!(world.names(alice), ["room:joined"]);
}

/// One user with eight devices left no slot for anybody else.
#[test]
fn the_devices_of_one_user_do_not_fill_a_room() {
    let mut world = World::new(|_| {});
    let devices: Vec<_> = (0..8).map(|n| world.open("mallory", &format!("device-{n}"))).collect();
    for device in &devices[..2] {
        join(&mut world, *device);
    }
    for device in &devices[2..] {
        world.refused(*device, "room:join", json!({ "roomId": "lobby" }), "room_full");
    }
    for n in 2..8 {
        let other = world.open(&format!("user-{n}"), "laptop");
        join(&mut world, other);
    }
    let ninth = world.open("ninth", "laptop");
    world.refused(ninth, "room:join", json!({ "roomId": "lobby" }), "room_full");
    // A device in its reconnect grace makes room for another one of its user.
    world.input(Input::Closed { session: devices[0] });
    world.refused(ninth, "room:join", json!({ "roomId": "lobby" }), "room_full");
    world.forget();
    join(&mut world, devices[2]);
    assert_eq!(world.names(devices[1]), ["room:left", "room:joined"]);
    world.refused(devices[3], "room:join", json!({ "roomId": "lobby" }), "room_full");
    world.assert_nothing_is_left();
}
