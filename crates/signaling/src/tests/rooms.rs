//! Calls of up to eight.

use super::*;
use crate::{CallEvent, EndReason};

/// A device of each user, in the room `lobby` in this order; and what each participant is called.
fn in_lobby<const N: usize>(world: &mut World, users: [&str; N]) -> ([SessionId; N], [String; N]) {
    let sessions = users.map(|user| world.open(user, "laptop"));
    let participants = sessions.map(|session| join(world, session));
    world.forget();
    (sessions, participants)
}

fn join(world: &mut World, session: SessionId) -> String {
    let answer = world.ok(session, "room:join", json!({ "roomId": "lobby" }));
    answer["participantId"].as_str().unwrap().to_owned()
}

fn call_of(answer: &Value) -> CallId {
    serde_json::from_value(answer["callId"].clone()).unwrap()
}

/// A payload that goes to one participant of the lobby.
fn to(participant: &str, mut data: Value) -> Value {
    data["roomId"] = json!("lobby");
    data["to"] = json!(participant);
    data
}

#[test]
fn who_joins_hears_who_is_there_and_the_others_hear_of_it() {
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
    assert_eq!(world.heard(alice), [("room:joined".to_owned(), joined)]);
    assert!(world.heard(bob).is_empty());
    // The credentials are for this life of this room.
    let username = second["turnCredentials"]["username"].as_str().unwrap();
    assert!(username.ends_with(&format!(":bob:{}", second["callId"].as_str().unwrap())));
    // Asked again, it is the same participant.
    let again = world.ok(bob, "room:join", json!({ "roomId": "lobby" }));
    assert_eq!(again, second);
    assert!(world.heard(alice).is_empty());
}

#[test]
fn what_is_for_one_reaches_that_one_alone() {
    let mut world = World::new(|config| config.candidate_hold = ms(0));
    let ([alice, bob, carol], [a, b, c]) = in_lobby(&mut world, ["alice", "bob", "carol"]);
    world.ok(carol, "signal:offer", to(&a, sdp("one")));
    world.ok(carol, "ice:candidate", to(&a, candidate(1)));
    let heard = world.heard(alice);
    assert_eq!(heard.len(), 2);
    for (_, data) in &heard {
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
    assert!(world.heard(bob).is_empty());
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
    assert!(world.heard(alice).is_empty());
    world.pass(ms(300));
    assert_eq!(world.names(alice), ["ice:candidate"]);
}

#[test]
fn nothing_goes_to_or_from_who_is_not_in_the_room() {
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
        // It is told the same of a room that does not exist.
        let mut elsewhere = data;
        elsewhere["roomId"] = json!("nowhere");
        world.refused(eve, event, elsewhere, "not_a_participant");
    }
    assert!(world.heard(alice).is_empty() && world.heard(bob).is_empty());
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
    assert!(world.heard(bob).is_empty() && world.heard(eve).is_empty());
}

#[test]
fn what_is_for_two_is_refused_in_a_room() {
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
    let room = world.hub.rooms().iter().next().unwrap().id;
    world.refused(alice, "call:end", json!({ "callId": room }), "invalid_state");
    let eve = world.open("eve", "laptop");
    world.refused(eve, "call:end", json!({ "callId": room }), "not_a_participant");
}

#[test]
fn a_room_has_eight_places() {
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
fn a_room_is_a_call_as_far_as_limits_go() {
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
fn joins_count_as_calls_that_are_begun() {
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
fn a_token_says_which_rooms() {
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
fn what_is_no_room_is_refused() {
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
fn the_last_one_to_leave_ends_it_and_the_next_life_is_another_call() {
    let mut world = World::new(|config| config.report_calls = true);
    let ([alice, bob], [_, b]) = in_lobby(&mut world, ["alice", "bob"]);
    world.ok(alice, "call:connected", json!({ "roomId": "lobby" }));
    world.pass(ms(5000));
    let left = world.ok(bob, "room:leave", json!({ "roomId": "lobby", "reason": "ice_failed" }));
    let id = call_of(&left);
    assert_eq!(left["participantId"], b);
    let heard = world.heard(alice);
    assert_eq!(heard[0].0, "room:left");
    assert_eq!(
        (&heard[0].1["participantId"], &heard[0].1["reason"]),
        (&json!(b), &json!("ice_failed"))
    );
    assert!(world.heard(bob).is_empty() && world.ended.is_empty());
    world.ok(alice, "room:leave", json!({ "roomId": "lobby" }));
    assert_eq!(world.ended, [id]);
    let events: Vec<_> = world.reports.iter().map(|report| report.event).collect();
    use CallEvent::*;
    assert_eq!(events, [Initiated, Accepted, Connected, Ended]);
    let record = world.hub.call(world.now, id).unwrap();
    assert_eq!(record.room_id.as_ref().unwrap().as_str(), "lobby");
    assert_eq!((record.reason, record.duration), (Some(EndReason::Hangup), Some(5.0)));
    let users: Vec<_> = record.participants.iter().map(|p| p.user_id.as_str()).collect();
    assert_eq!(users, ["bob", "alice"], "in the order in which they left");
    assert!(record.participants.iter().all(|p| p.left_at.is_some() && p.connected.is_none()));
    let again = world.ok(alice, "room:join", json!({ "roomId": "lobby" }));
    assert_ne!(call_of(&again), id);
    // A request for the life before does not count for this one.
    let late = json!({ "roomId": "lobby", "callId": id });
    world.refused(alice, "room:leave", late, "call_ended");
    world.assert_nothing_is_left();
}

#[test]
fn a_participant_that_is_lost_is_waited_for() {
    let mut world = World::new(|_| {});
    let ([alice, bob, carol], [_, b, _]) = in_lobby(&mut world, ["alice", "bob", "carol"]);
    world.input(Input::Lost { session: bob });
    for session in [alice, carol] {
        let heard = world.heard(session);
        assert_eq!(heard.len(), 1);
        assert_eq!(heard[0].0, "call:reconnecting");
        assert_eq!(heard[0].1["participantId"], b);
    }
    world.ok(alice, "signal:offer", to(&b, sdp("one")));
    let resume = Resume::From { session: bob, seq: 1 };
    let back = world.connect("bob", "laptop", u64::MAX / 2, resume);
    assert_eq!(world.resumed.get(&back), Some(&bob));
    assert_eq!(world.names(bob), ["signal:offer"]);
    assert_eq!(world.names(alice), ["call:reconnected"]);
    world.forget();
    world.close(bob);
    assert_eq!(world.names(alice), ["call:reconnecting"]);
    world.pass(ms(30_000));
    let heard = world.heard(alice);
    assert_eq!(heard[0].0, "room:left");
    assert_eq!(heard[0].1["reason"], "connection_lost");
    assert_eq!(world.moved.last().unwrap().2, "out");
}

#[test]
fn a_device_without_its_session_is_told_where_the_room_stands() {
    let mut world = World::new(|config| config.candidate_hold = ms(0));
    let ([alice, bob, carol], [a, b, c]) = in_lobby(&mut world, ["alice", "bob", "carol"]);
    world.ok(bob, "signal:offer", to(&a, sdp("one")));
    world.ok(bob, "ice:candidate", to(&a, candidate(1)));
    world.ok(alice, "media:update", json!({ "roomId": "lobby", "muted": true }));
    world.ok(carol, "media:update", json!({ "roomId": "lobby", "held": true }));
    world.close(alice);
    world.ok(carol, "signal:offer", to(&a, sdp("two")));
    world.ok(bob, "ice:candidate", to(&a, candidate(2)));
    world.refused(carol, "call:message", to(&a, json!({ "data": 1 })), "invalid_state");
    world.forget();
    let alice = world.open("alice", "laptop");
    let heard = world.heard.remove(&alice).unwrap();
    let names: Vec<_> = heard.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names[..2], ["welcome", "room:sync"]);
    let mut rest = names[2..].to_vec();
    rest.sort_unstable();
    assert_eq!(rest, ["ice:candidate", "signal:offer"]);
    let sync = &heard[1].1;
    assert_eq!((&sync["roomId"], &sync["participantId"]), (&json!("lobby"), &json!(a)));
    let others: Vec<_> = sync["participants"].as_array().unwrap().iter().collect();
    let ids: Vec<_> = others.iter().map(|other| &other["participantId"]).collect();
    assert_eq!(ids, [&json!(b), &json!(c)]);
    assert_eq!(others[1]["media"]["held"], true);
    let relayed = sync["relayed"].as_array().unwrap();
    assert_eq!(relayed.len(), 1);
    assert_eq!(relayed[0]["fromParticipant"], b);
    assert_eq!(relayed[0]["description"]["type"], "offer");
    assert_eq!(relayed[0]["candidates"].as_array().unwrap().len(), 1);
    assert_eq!(world.names(bob), ["call:reconnected"]);
    // Another device of the user is not in the room.
    let phone = world.open("alice", "phone");
    assert!(world.heard(phone).is_empty());
}

#[test]
fn a_device_that_connects_again_takes_its_place() {
    let mut world = World::new(|_| {});
    let ([alice, bob], [a, _]) = in_lobby(&mut world, ["alice", "bob"]);
    let again = world.open("alice", "laptop");
    assert_eq!(world.closed.get(&alice), Some(&CloseReason::Replaced));
    let heard = world.heard.remove(&again).unwrap();
    assert_eq!(heard.last().unwrap().0, "room:sync");
    assert!(world.heard(bob).is_empty(), "nothing has changed for the others");
    world.ok(bob, "signal:offer", to(&a, sdp("x")));
    assert_eq!(world.names(again), ["signal:offer"]);
}

#[test]
fn media_that_stops_is_told_to_all() {
    let mut world = World::new(|_| {});
    let ([alice, bob, carol], [a, ..]) = in_lobby(&mut world, ["alice", "bob", "carol"]);
    world.refused(alice, "call:reconnecting", json!({ "roomId": "lobby" }), "invalid_state");
    let answer = world.ok(alice, "call:connected", json!({ "roomId": "lobby" }));
    assert_eq!((&answer["state"], &answer["roomId"]), (&json!("connected"), &json!("lobby")));
    world.ok(alice, "call:reconnecting", json!({ "roomId": "lobby" }));
    world.ok(alice, "media:update", json!({ "roomId": "lobby", "video": false }));
    world.ok(alice, "call:connected", json!({ "roomId": "lobby" }));
    for session in [bob, carol] {
        let heard = world.heard(session);
        let names: Vec<_> = heard.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["call:reconnecting", "media:updated", "call:reconnected"]);
        assert!(heard.iter().all(|(_, data)| data["participantId"] == a));
    }
    let stats = json!({ "roomId": "lobby", "rttMs": 40 });
    world.ok(alice, "call:stats", stats);
    let record = world.hub.calls(world.now).next().unwrap();
    assert_eq!(record.participants[0].stats.unwrap().rtt_ms, Some(40.0));
}

#[test]
fn everyone_has_fresh_credentials_in_time() {
    let mut world = World::new(|_| {});
    let ([alice, bob], _) = in_lobby(&mut world, ["alice", "bob"]);
    world.pass(Duration::from_secs(1800));
    for session in [alice, bob] {
        let heard = world.heard(session);
        assert_eq!(heard[0].0, "ice:servers");
        assert_eq!(heard[0].1["roomId"], "lobby");
    }
    let answer = world.ok(alice, "ice:refresh", json!({ "roomId": "lobby" }));
    let username = answer["turnCredentials"]["username"].as_str().unwrap();
    assert!(username.ends_with(answer["callId"].as_str().unwrap()));
}

#[test]
fn operators_end_rooms_and_put_users_out() {
    let mut world = World::new(|_| {});
    let ([alice, bob, carol], [a, ..]) = in_lobby(&mut world, ["alice", "bob", "carol"]);
    let phone = world.open("alice", "phone");
    join(&mut world, phone);
    world.forget();
    let kicked = world.hub.kick(world.now, &user("alice"), Some(&DeviceId::new("laptop").unwrap()));
    world.drain();
    assert_eq!((kicked.calls, kicked.sessions), (1, 1));
    assert_eq!(world.reasons(alice), ["kicked"]);
    let heard = world.heard(bob);
    assert_eq!(
        (&heard[0].1["participantId"], &heard[0].1["reason"]),
        (&json!(a), &json!("kicked"))
    );
    assert_eq!(world.moved.iter().filter(|moved| moved.2 == "out").count(), 0);
    let kicked = world.hub.kick(world.now, &user("alice"), None);
    world.drain();
    assert_eq!((kicked.calls, kicked.sessions), (1, 1));
    let id = world.hub.rooms().iter().next().unwrap().id;
    assert_eq!(world.moved.last(), Some(&(id, user("alice"), "out")));
    world.forget();
    let record = world.hub.hang_up(world.now, id).unwrap();
    world.drain();
    assert_eq!(record.reason, Some(EndReason::Kicked));
    for session in [bob, carol] {
        let heard = world.heard(session);
        assert_eq!(heard.len(), 1);
        assert_eq!(heard[0].0, "call:ended");
        assert_eq!(heard[0].1["roomId"], "lobby");
    }
    assert_eq!(world.ended, [id]);
    world.assert_nothing_is_left();
}

#[test]
fn the_end_of_the_server_is_the_end_of_its_rooms() {
    let mut world = World::new(|_| {});
    let ([alice, bob], _) = in_lobby(&mut world, ["alice", "bob"]);
    world.input(Input::Shutdown);
    for session in [alice, bob] {
        assert_eq!(world.names(session), ["call:ended", "server:draining"]);
    }
    assert_eq!(world.ended.len(), 1);
}

#[test]
fn a_join_that_is_made_again_is_answered_again() {
    let mut world = World::new(|_| {});
    let ([alice], _) = in_lobby(&mut world, ["alice"]);
    let bob = world.open("bob", "phone");
    let data = json!({ "roomId": "lobby", "msgId": "x" });
    let first = world.ok(bob, "room:join", data.clone());
    assert_eq!(world.ok(bob, "room:join", data), first);
    assert_eq!(world.names(alice), ["room:joined"]);
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
