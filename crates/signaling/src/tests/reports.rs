//! Reports of calls.

use std::{sync::Arc, time::Duration};

use callbox_base::{
    ids::{CallId, SessionId},
    usage::{RelayUsage, Usage},
};
use serde_json::json;

use super::{World, ms};
use crate::{CallEvent, CallReport, CallState, EndReason, Input, Timestamp};

fn world() -> (World, SessionId, SessionId) {
    let mut world = World::new(|config| config.report_calls = true);
    let (alice, bob) = (world.open("alice", "laptop"), world.open("bob", "phone"));
    (world, alice, bob)
}

fn events(world: &mut World) -> Vec<&'static str> {
    std::mem::take(&mut world.reports).iter().map(|report| report.event.as_str()).collect()
}

/// The one report since the last time, which must be of an end.
fn end(world: &mut World) -> Option<CallReport> {
    let mut reports = std::mem::take(&mut world.reports);
    assert!(reports.len() <= 1 && reports.iter().all(|it| it.event == CallEvent::Ended));
    reports.pop()
}

fn allocation(world: &mut World, call: CallId) -> Arc<Usage> {
    let usage = Arc::new(Usage::default());
    world.input(Input::RelayOpened { call, usage: usage.clone() });
    usage
}

#[test]
fn each_step_is_reported_once_with_the_call_as_it_is_then() {
    let (mut world, alice, bob) = world();
    world.open("bob", "tablet");
    world.call(alice, "bob");
    world.pass(ms(1000));
    world.ok(bob, "call:accept", json!({}));
    let accepted = world.reports.last().unwrap();
    assert_eq!(accepted.at, Timestamp(world.now.unix));
    assert_eq!(
        (accepted.call.state, accepted.call.started_at),
        (CallState::Connecting, Some(accepted.at))
    );
    let device = accepted.call.participants[1].device_id.as_ref().unwrap();
    assert_eq!(device.as_str(), "phone");
    for event in ["call:connected", "call:reconnecting", "call:reconnecting", "call:connected"] {
        world.ok(alice, event, json!({}));
    }
    world.pass(ms(500));
    world.ok(alice, "call:end", json!({}));
    let ended = world.reports.last().unwrap();
    assert_eq!((ended.at, ended.call.duration), (Timestamp(world.now.unix), Some(0.5)));
    assert_eq!((ended.call.reason, ended.call.state), (Some(EndReason::Hangup), CallState::Ended));
    assert_eq!(
        events(&mut world),
        [
            "call.initiated",
            "call.ringing",
            "call.accepted",
            "call.connected",
            "call.reconnecting",
            "call.reconnected",
            "call.ended",
        ]
    );
    world.call(alice, "nobody");
    assert_eq!(events(&mut world), ["call.initiated", "call.ended"]);
    world.assert_nothing_is_left();
}

#[test]
fn the_end_waits_for_the_last_allocation() {
    let (mut world, alice, bob) = world();
    let call = world.call(alice, "bob");
    let (one, two) = (allocation(&mut world, call), allocation(&mut world, call));
    one.add_up(100);
    world.reports.clear();
    world.pass(ms(1000));
    world.ok(bob, "call:reject", json!({}));
    let at = Timestamp(world.now.unix);
    assert_eq!(end(&mut world), None);
    world.input(Input::RelayClosed { call, usage: one });
    world.pass(ms(1999));
    two.add_down(7);
    assert_eq!(end(&mut world), None);
    world.input(Input::RelayClosed { call, usage: two });
    let report = end(&mut world).unwrap();
    assert_eq!(report.call.relay, RelayUsage { allocations: 2, bytes_up: 100, bytes_down: 7 });
    // It happened when the call ended, not when that was reported.
    assert_eq!((report.at, report.call.ended_at), (at, Some(at)));
    world.pass(Duration::from_secs(10));
    assert_eq!(end(&mut world), None);
    world.assert_nothing_is_left();
}

#[test]
fn the_report_of_an_end_waits_for_a_limited_time() {
    let (mut world, alice, bob) = world();
    let call = world.call(alice, "bob");
    let usage = allocation(&mut world, call);
    world.reports.clear();
    world.ok(bob, "call:reject", json!({}));
    usage.add_up(5);
    world.pass(ms(2000));
    assert_eq!(end(&mut world).unwrap().call.relay.bytes_up, 5);
    world.input(Input::RelayClosed { call, usage });
    assert_eq!(end(&mut world), None);
    world.assert_nothing_is_left();
}

/// Even if the list of ended calls has no room for it.
#[test]
fn an_end_is_reported_after_the_call_is_no_longer_listed() {
    let mut world = World::new(|config| {
        config.report_calls = true;
        config.ended_calls = 0;
    });
    let (alice, bob) = (world.open("alice", "laptop"), world.open("bob", "phone"));
    let call = world.call(alice, "bob");
    let usage = allocation(&mut world, call);
    world.reports.clear();
    world.ok(bob, "call:reject", json!({}));
    assert_eq!((world.hub.call(world.now, call), end(&mut world)), (None, None));
    usage.add_up(5);
    world.input(Input::RelayClosed { call, usage });
    assert_eq!(end(&mut world).unwrap().call.relay.bytes_up, 5);
    world.assert_nothing_is_left();
}

#[test]
fn the_report_of_an_end_does_not_wait_for_a_stopped_relay() {
    let (mut world, alice, _) = world();
    let call = world.call(alice, "bob");
    allocation(&mut world, call);
    world.reports.clear();
    world.input(Input::Shutdown);
    assert_eq!(end(&mut world), None);
    world.input(Input::RelayStopped);
    assert_eq!(end(&mut world).unwrap().call.reason, Some(EndReason::ServerShutdown));
}

#[test]
fn without_subscribed_steps_only_the_end_is_reported() {
    let (mut world, alice, bob) = World::with_alice_and_bob();
    let call = world.call(alice, "bob");
    let usage = allocation(&mut world, call);
    world.ok(bob, "call:reject", json!({}));
    assert_eq!(events(&mut world), [""; 0]);
    world.input(Input::RelayClosed { call, usage });
    assert_eq!(events(&mut world), ["call.ended"]);
    assert!(world.hub.has_reported_ends());
}
