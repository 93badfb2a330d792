//! The ends of rooms.

use super::*;
use crate::{CallEvent, EndReason};

#[test]
fn a_room_ends_with_its_last_participant_and_reopens_as_another_call() {
    let mut world = World::new(|config| config.report_calls = true);
    let ([alice, bob], [_, b]) = in_lobby(&mut world, ["alice", "bob"]);
    world.ok(alice, "call:connected", json!({ "roomId": "lobby" }));
    world.pass(ms(5000));
    let left = world.ok(bob, "room:leave", json!({ "roomId": "lobby", "reason": "ice_failed" }));
    let id = call_of(&left);
    assert_eq!(left["participantId"], b);
    let received = world.received(alice);
    assert_eq!(received[0].0, "room:left");
    assert_eq!(
        (&received[0].1["participantId"], &received[0].1["reason"]),
        (&json!(b), &json!("ice_failed"))
    );
    assert!(world.received(bob).is_empty() && world.ended.is_empty());
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
    let received = world.received(bob);
    assert_eq!(
        (&received[0].1["participantId"], &received[0].1["reason"]),
        (&json!(a), &json!("kicked"))
    );
    assert_eq!(world.moved.iter().filter(|moved| moved.2 == "out").count(), 0);
    let kicked = world.hub.kick(world.now, &user("alice"), None);
    world.drain();
    assert_eq!((kicked.calls, kicked.sessions), (1, 1));
    let id = world.hub.rooms().iter().next().unwrap().id();
    assert_eq!(world.moved.last(), Some(&(id, user("alice"), "out")));
    world.forget();
    let record = world.hub.hang_up(world.now, id).unwrap();
    world.drain();
    assert_eq!(record.reason, Some(EndReason::Kicked));
    for session in [bob, carol] {
        let received = world.received(session);
        assert_eq!(received.len(), 1);
        assert_eq!(received[0].0, "call:ended");
        assert_eq!(received[0].1["roomId"], "lobby");
    }
    assert_eq!(world.ended, [id]);
    world.assert_nothing_is_left();
}

#[test]
fn rooms_end_with_the_server() {
    let mut world = World::new(|_| {});
    let ([alice, bob], _) = in_lobby(&mut world, ["alice", "bob"]);
    world.input(Input::Shutdown);
    for session in [alice, bob] {
        assert_eq!(world.names(session), ["call:ended", "server:draining"]);
    }
    assert_eq!(world.ended.len(), 1);
}
