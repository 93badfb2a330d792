//! Participants that are lost and come back, and their media.

use super::*;

#[test]
fn a_lost_participant_is_awaited() {
    let mut world = World::new(|_| {});
    let ([alice, bob, carol], [_, b, _]) = in_lobby(&mut world, ["alice", "bob", "carol"]);
    world.input(Input::Lost { session: bob });
    for session in [alice, carol] {
        let received = world.received(session);
        assert_eq!(received.len(), 1);
        assert_eq!(received[0].0, "call:reconnecting");
        assert_eq!(received[0].1["participantId"], b);
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
    let received = world.received(alice);
    assert_eq!(received[0].0, "room:left");
    assert_eq!(received[0].1["reason"], "connection_lost");
    assert_eq!(world.moved.last().unwrap().2, "out");
}

#[test]
fn a_device_with_a_new_session_gets_the_state_of_its_room() {
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
    let received = world.received.remove(&alice).unwrap();
    let names: Vec<_> = received.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names[..2], ["welcome", "room:sync"]);
    let mut rest = names[2..].to_vec();
    rest.sort_unstable();
    assert_eq!(rest, ["ice:candidate", "signal:offer"]);
    let sync = &received[1].1;
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
    assert!(world.received(phone).is_empty());
}

#[test]
fn a_device_that_connects_again_is_the_same_participant() {
    let mut world = World::new(|_| {});
    let ([alice, bob], [a, _]) = in_lobby(&mut world, ["alice", "bob"]);
    let again = world.open("alice", "laptop");
    assert_eq!(world.closed.get(&alice), Some(&CloseReason::Replaced));
    let received = world.received.remove(&again).unwrap();
    assert_eq!(received.last().unwrap().0, "room:sync");
    assert!(world.received(bob).is_empty(), "nothing has changed for the others");
    world.ok(bob, "signal:offer", to(&a, sdp("x")));
    assert_eq!(world.names(again), ["signal:offer"]);
}

#[test]
fn stopped_media_is_reported_to_all_participants() {
    let mut world = World::new(|_| {});
    let ([alice, bob, carol], [a, ..]) = in_lobby(&mut world, ["alice", "bob", "carol"]);
    world.refused(alice, "call:reconnecting", json!({ "roomId": "lobby" }), "invalid_state");
    let answer = world.ok(alice, "call:connected", json!({ "roomId": "lobby" }));
    assert_eq!((&answer["state"], &answer["roomId"]), (&json!("connected"), &json!("lobby")));
    world.ok(alice, "call:reconnecting", json!({ "roomId": "lobby" }));
    world.ok(alice, "media:update", json!({ "roomId": "lobby", "video": false }));
    world.ok(alice, "call:connected", json!({ "roomId": "lobby" }));
    for session in [bob, carol] {
        let received = world.received(session);
        let names: Vec<_> = received.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["call:reconnecting", "media:updated", "call:reconnected"]);
        assert!(received.iter().all(|(_, data)| data["participantId"] == a));
    }
    let stats = json!({ "roomId": "lobby", "rttMs": 40 });
    world.ok(alice, "call:stats", stats);
    let record = world.hub.calls(world.now).next().unwrap();
    assert_eq!(record.participants[0].stats.unwrap().rtt_ms, Some(40.0));
}

#[test]
fn all_participants_get_new_credentials_in_time() {
    let mut world = World::new(|_| {});
    let ([alice, bob], _) = in_lobby(&mut world, ["alice", "bob"]);
    world.pass(Duration::from_secs(1800));
    for session in [alice, bob] {
        let received = world.received(session);
        assert_eq!(received[0].0, "ice:servers");
        assert_eq!(received[0].1["roomId"], "lobby");
    }
    let answer = world.ok(alice, "ice:refresh", json!({ "roomId": "lobby" }));
    let username = answer["turnCredentials"]["username"].as_str().unwrap();
    assert!(username.ends_with(answer["callId"].as_str().unwrap()));
}
