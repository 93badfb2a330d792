//! Presence, and its watchers.

use callbox_base::ids::SessionId;
use serde_json::{Value, json};

use super::{Input, Resume, World, ms};
use crate::{jwt::Grants, watches::MAX_WATCHED};

/// Watches these users; gives how they are.
fn watch(world: &mut World, session: SessionId, users: &[&str]) -> Vec<String> {
    let answer = world.ok(session, "presence:subscribe", json!({ "userIds": users }));
    let list = answer["presence"].as_array().unwrap().iter();
    list.map(|one| format!("{} {}", text(&one["userId"]), text(&one["status"]))).collect()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

/// The changes that a session has heard of since the last time.
fn changes(world: &mut World, session: SessionId) -> Vec<String> {
    let received = world.received(session).into_iter();
    let changes = received.filter(|(name, _)| name == "presence:changed");
    changes
        .map(|(_, data)| format!("{} {}", text(&data["userId"]), text(&data["status"])))
        .collect()
}

fn may_see(patterns: &[&str]) -> Grants {
    let patterns = patterns.iter().map(|pattern| (*pattern).to_owned()).collect();
    Grants { presence: Some(patterns), ..Grants::default() }
}

#[test]
fn a_watcher_is_notified_of_each_change() {
    let mut world = World::new(|_| {});
    let alice = world.open("alice", "laptop");
    assert_eq!(
        watch(&mut world, alice, &["bob", "carol", "bob"]),
        ["bob offline", "carol offline"]
    );
    let bob = world.open("bob", "phone");
    assert_eq!(changes(&mut world, alice), ["bob online"]);
    // A second device is no change, nor is the loss of one of two.
    let tablet = world.open("bob", "tablet");
    world.close(bob);
    assert_eq!(changes(&mut world, alice), [""; 0]);
    let carol = world.open("carol", "phone");
    world.call(carol, "bob");
    // A call that rings at bob is not bob's.
    assert_eq!(changes(&mut world, alice), ["carol online", "carol busy"]);
    world.ok(tablet, "call:accept", json!({}));
    assert_eq!(changes(&mut world, alice), ["bob busy"]);
    world.ok(tablet, "call:end", json!({}));
    assert_eq!(changes(&mut world, alice), ["bob online", "carol online"]);
    world.close(tablet);
    assert_eq!(changes(&mut world, alice), ["bob offline"]);
    world.assert_nothing_is_left();
}

/// A state that is over at once was never a change.
#[test]
fn a_momentary_state_is_not_reported() {
    let mut world = World::new(|_| {});
    let (alice, bob) = (world.open("alice", "laptop"), world.open("bob", "phone"));
    assert_eq!(watch(&mut world, alice, &["bob"]), ["bob online"]);
    // It is replaced by its own device.
    let bob = [world.open("bob", "phone"), bob][0];
    // It calls a user who is offline.
    world.call(bob, "nobody");
    assert_eq!(changes(&mut world, alice), [""; 0]);
    world.assert_nothing_is_left();
}

#[test]
fn a_new_list_replaces_the_previous_one() {
    let mut world = World::new(|_| {});
    let alice = world.open("alice", "laptop");
    watch(&mut world, alice, &["bob", "carol"]);
    assert_eq!(world.hub.stats().watches, 2);
    watch(&mut world, alice, &["carol"]);
    world.open("bob", "phone");
    world.open("carol", "phone");
    assert_eq!(changes(&mut world, alice), ["carol online"]);
    assert_eq!(watch(&mut world, alice, &[]), [""; 0]);
    assert_eq!(world.hub.stats().watches, 0);
    world.open("dave", "phone");
    assert_eq!(world.names(alice), [""; 0]);
    // One that is refused changes nothing.
    watch(&mut world, alice, &["dave"]);
    let many: Vec<_> = (0..=MAX_WATCHED).map(|n| format!("user-{n}")).collect();
    world.refused(alice, "presence:subscribe", json!({ "userIds": many }), "invalid_payload");
    world.refused(alice, "presence:subscribe", json!({ "userIds": [""] }), "invalid_payload");
    world.refused(alice, "presence:subscribe", json!({}), "invalid_payload");
    assert_eq!(world.hub.stats().watches, 1);
    world.ok(alice, "presence:subscribe", json!({ "userIds": many[1..] }));
    assert_eq!(world.hub.stats().watches, MAX_WATCHED);
    world.assert_nothing_is_left();
}

#[test]
fn a_user_is_online_until_the_lost_session_expires() {
    let mut world = World::new(|_| {});
    let (alice, bob) = (world.open("alice", "laptop"), world.open("bob", "phone"));
    watch(&mut world, alice, &["bob"]);
    world.input(Input::Lost { session: bob });
    world.pass(ms(29_999));
    assert_eq!(changes(&mut world, alice), [""; 0]);
    world.pass(ms(1));
    assert_eq!(changes(&mut world, alice), ["bob offline"]);
    world.assert_nothing_is_left();
}

#[test]
fn a_watcher_that_resumes_gets_all_changes() {
    let mut world = World::new(|_| {});
    let alice = world.open("alice", "laptop");
    watch(&mut world, alice, &["bob"]);
    world.input(Input::Lost { session: alice });
    let bob = world.open("bob", "phone");
    world.close(bob);
    world.open("bob", "phone");
    world.connect("alice", "laptop", u64::MAX, Resume::From { session: alice, seq: 0 });
    assert_eq!(changes(&mut world, alice), ["bob online", "bob offline", "bob online"]);
    // In a new session it begins anew.
    let alice = world.open("alice", "laptop");
    assert_eq!(world.hub.stats().watches, 0);
    assert_eq!(watch(&mut world, alice, &["bob"]), ["bob online"]);
    world.assert_nothing_is_left();
}

/// A name would bring an answer that is out of date, and keep it.
#[test]
fn a_subscribe_with_a_message_id_is_answered_anew_each_time() {
    let mut world = World::new(|_| {});
    let alice = world.open("alice", "laptop");
    let data = json!({ "userIds": ["bob"], "msgId": "1" });
    let before = world.ok(alice, "presence:subscribe", data.clone());
    world.open("bob", "phone");
    let after = world.ok(alice, "presence:subscribe", data);
    let status = |answer: &Value| text(&answer["presence"][0]["status"]).to_owned();
    assert_eq!([status(&before), status(&after)], ["offline", "online"]);
    world.assert_nothing_is_left();
}

/// The answer has what happened by then, and nothing of it comes again.
#[test]
fn the_answer_to_a_list_includes_overdue_changes() {
    let mut world = World::new(|_| {});
    let (alice, bob) = (world.open("alice", "laptop"), world.open("bob", "phone"));
    watch(&mut world, alice, &["bob"]);
    world.input(Input::Lost { session: bob });
    // A driver that is late with its timers.
    world.now = world.now + ms(30_000);
    assert_eq!(watch(&mut world, alice, &["bob"]), ["bob offline"]);
    let received = changes(&mut world, alice);
    assert_eq!(received, ["bob offline"], "once, to the list before");
    world.assert_nothing_is_left();
}

#[test]
fn only_permitted_users_can_be_watched() {
    let mut world = World::new(|_| {});
    let alice = world.open_with("alice", "laptop", may_see(&["bob", "team-a:*"]));
    watch(&mut world, alice, &["bob", "team-a:x"]);
    let data = json!({ "userIds": ["bob", "carol"] });
    let answer = world.ask(alice, "presence:subscribe", data);
    assert_eq!(answer["error"]["code"], "invalid_target");
    assert!(text(&answer["error"]["message"]).contains("carol"), "{answer}");
    assert_eq!(world.hub.stats().watches, 2, "the list before still holds");
    // A fresh token is asked again.
    world.refresh_with(alice, "alice", may_see(&["team-a:*", "carol"]));
    assert_eq!(world.hub.stats().watches, 1);
    world.open("bob", "phone");
    world.open("team-a:x", "phone");
    assert_eq!(changes(&mut world, alice), ["team-a:x online"]);
    // Without a word on it, those are seen who may be called.
    let call = Some(vec!["bob".to_owned()]);
    world.refresh_with(alice, "alice", Grants { call, ..Grants::default() });
    assert_eq!(world.hub.stats().watches, 0);
    assert_eq!(watch(&mut world, alice, &["bob"]), ["bob online"]);
    world.assert_nothing_is_left();
}

#[test]
fn a_token_with_a_lower_limit_of_calls_makes_its_user_busy() {
    let mut world = World::new(|config| config.max_calls_per_user = 2);
    let (alice, bob) = (world.open("alice", "laptop"), world.open("bob", "phone"));
    watch(&mut world, alice, &["bob"]);
    world.call(bob, "nobody-1");
    let carol = world.open("carol", "phone");
    world.call(carol, "bob");
    world.ok(bob, "call:accept", json!({}));
    assert_eq!(changes(&mut world, alice), [""; 0]);
    world.refresh_with(bob, "bob", Grants { max_calls: Some(1), ..Grants::default() });
    assert_eq!(changes(&mut world, alice), ["bob busy"]);
    world.refresh_with(bob, "bob", Grants::default());
    assert_eq!(changes(&mut world, alice), ["bob online"]);
    world.assert_nothing_is_left();
}

/// Acts of operators are published as well.
#[test]
fn a_user_who_is_kicked_is_offline() {
    let mut world = World::new(|_| {});
    let alice = world.open("alice", "laptop");
    world.open("bob", "phone");
    watch(&mut world, alice, &["bob"]);
    world.hub.kick(world.now, &super::user("bob"), None);
    world.drain();
    assert_eq!(changes(&mut world, alice), ["bob offline"]);
    world.assert_nothing_is_left();
}
