//! The views for operators.

use std::{sync::Arc, time::Duration};

use callbox_base::usage::{RelayUsage, Usage};
use serde_json::{Value, json};

use super::{Input, World, identity, ms};
use crate::{CallState, EndReason, RequestName};

#[test]
fn a_call_shows_what_the_relay_did_for_it() {
    let (mut world, alice, bob) = World::with_alice_and_bob();
    let call = world.call(alice, "bob");
    let (one, two) = (Arc::new(Usage::default()), Arc::new(Usage::default()));
    for usage in [&one, &two] {
        world.input(Input::RelayOpened { call, usage: usage.clone() });
    }
    one.add_up(100);
    two.add_down(30);
    let relay = |world: &World| world.hub.call(world.now, call).unwrap().relay;
    let expected = RelayUsage { allocations: 2, bytes_up: 100, bytes_down: 30 };
    assert_eq!(relay(&world), expected);
    world.input(Input::RelayClosed { call, usage: one });
    world.ok(bob, "call:reject", json!({}));
    assert_eq!(relay(&world), expected);

    // The relay closes the rest because the call ended; the last bytes still count.
    two.add_down(5);
    world.input(Input::RelayClosed { call, usage: two.clone() });
    assert_eq!(relay(&world).bytes_down, 35);
    assert_eq!(Arc::strong_count(&two), 1);
    world.pass(Duration::from_secs(3600));
    world.input(Input::RelayOpened { call, usage: two });
    assert_eq!(world.hub.call(world.now, call), None);
}

#[test]
fn ended_calls_are_listed_for_a_while() {
    let mut world = World::new(|config| {
        config.ring_timeout = Duration::from_secs(600);
        config.ended_calls = 8;
        config.ended_calls_for = Duration::from_secs(60);
    });
    let alice = world.open("alice", "laptop");
    let calls: Vec<_> = (0..3)
        .map(|_| {
            world.pass(ms(1000));
            world.call(alice, "nobody")
        })
        .collect();
    world.open("bob", "phone");
    let live = world.call(alice, "bob");
    let listed = |world: &World| world.hub.calls(world.now).map(|c| c.id).collect::<Vec<_>>();
    assert_eq!(listed(&world), [live, calls[1], calls[2]]);
    world.pass(Duration::from_millis(58_999));
    assert_eq!(listed(&world)[1..], calls[1..]);
    world.pass(ms(1));
    assert_eq!(listed(&world)[1..], calls[2..]);
    world.pass(ms(1000));
    assert_eq!(listed(&world).len(), 1);
}

/// One user cannot push the calls that were answered out of sight.
#[test]
fn unanswered_calls_evict_only_each_other() {
    let mut world = World::new(|config| {
        config.ended_calls = 8;
        config.calls_per_minute = 0;
        config.calls_per_pair = 0;
        config.events_per_second = 0;
    });
    let (alice, bob) = (world.open("alice", "laptop"), world.open("bob", "phone"));
    let mallory = world.open("mallory", "laptop");
    let take_place = |world: &mut World| {
        // The order is that of the times.
        world.pass(ms(1));
        let call = world.call(alice, "bob");
        world.ok(bob, "call:accept", json!({}));
        world.ok(bob, "call:end", json!({}));
        call
    };
    let listed = |world: &World| world.hub.calls(world.now).map(|c| c.id).collect::<Vec<_>>();
    let mut expected = vec![take_place(&mut world)];
    for _ in 0..1200 {
        world.call(mallory, "nobody");
    }
    for _ in 0..2 {
        world.pass(ms(1));
        expected.push(world.call(mallory, "nobody"));
    }
    expected.push(take_place(&mut world));
    // The oldest first, whichever they are.
    assert_eq!(listed(&world), expected);

    // The answered ones push out one another too.
    let six: Vec<_> = (0..6).map(|_| take_place(&mut world)).collect();
    assert_eq!(listed(&world), [&expected[1..3], &six[..]].concat());
    world.assert_nothing_is_left();
}

#[test]
fn online_users_and_their_devices() {
    let (mut world, alice, bob) = World::with_alice_and_bob();
    world.open("bob", "tablet");
    let online: Vec<_> = world.hub.online_users().collect();
    assert_eq!(
        serde_json::to_value(&online).unwrap(),
        json!([
            { "userId": "alice", "devices": ["laptop"] },
            { "userId": "bob", "devices": ["phone", "tablet"] },
        ])
    );
    // A user who is only waited for is not online.
    world.call(alice, "bob");
    world.ok(bob, "call:accept", json!({}));
    world.close(alice);
    assert_eq!(world.hub.online_users().count(), 1);
}

#[test]
fn ice_servers_for_the_rest_api() {
    let mut world = World::new(|_| {});
    let data = json!(world.hub.ice_servers(world.now, &identity("alice", u64::MAX)));
    assert_eq!(data["expiresAt"], "2023-11-14T23:13:20.000Z");
    assert_eq!(data["turnCredentials"]["username"], "1700003600:alice");
    assert_eq!(data["iceServers"][1]["credential"], data["turnCredentials"]["password"]);
}

#[test]
fn a_forced_policy_is_with_all_servers() {
    let mut world = World::new(|config| {
        config.force_relay = true;
        config.credential_ttl = Duration::from_secs(60);
    });
    let alice = world.open("alice", "laptop");
    let bob = world.open("bob", "phone");
    let forced = |data: &Value| assert_eq!(data["iceTransportPolicy"], "relay", "{data}");
    forced(&world.received[&alice][0].1);
    forced(&json!(world.hub.ice_servers(world.now, &identity("alice", u64::MAX))));
    forced(&world.ok(alice, "ice:refresh", json!({})));
    world.forget();
    forced(&world.ok(
        alice,
        "call:initiate",
        json!({ "targetUserId": "bob", "callType": "audio" }),
    ));
    forced(&world.received(bob)[0].1);
    world.ok(bob, "call:accept", json!({}));
    world.forget();
    world.pass(ms(30_000));
    let (name, fresh) = &world.received(alice)[0];
    assert_eq!(name, "ice:servers");
    forced(fresh);
    let carol = world.open("carol", "laptop");
    forced(&world.ok(carol, "room:join", json!({ "roomId": "r", "callType": "audio" })));
}

#[test]
fn numbers_for_the_metrics_page() {
    let (mut world, alice, bob) = World::with_alice_and_bob();
    world.call(alice, "bob");
    world.ok(bob, "call:accept", json!({}));
    let stats = world.hub.stats();
    assert_eq!((stats.sessions, stats.users), (2, 2));
    assert_eq!(stats.calls.get(CallState::Connecting), 1);
    assert_eq!(stats.calls.total(), 1);
    assert_eq!(stats.counters.calls_started, 1);
    assert_eq!(stats.counters.events.get(RequestName::CallAccept), 1);
    world.ok(bob, "call:end", json!({}));
    let stats = world.hub.stats();
    assert_eq!(stats.calls.total(), 0);
    assert_eq!(stats.ended_calls, 1);
    assert_eq!(stats.counters.calls_ended.get(EndReason::Hangup), 1);
}
