//! A server that stops, and the next one that goes on with its calls.

use std::time::Duration;

use serde_json::json;

use super::{World, candidate, ms, sdp};
use crate::{CallState, Config, EndReason, HowItStopped, Hub, Input};

impl World {
    /// Stops the server, and starts another `after` a while.
    fn restart(&mut self, after: Duration) {
        self.restart_with(after, |_| {});
    }

    /// Starts the next server with another configuration.
    fn restart_with(&mut self, after: Duration, change: impl FnOnce(&mut Config)) {
        self.input(Input::Shutdown);
        self.input(Input::RelayStopped);
        self.next_server(after, HowItStopped::Orderly, change);
    }

    /// Kills the server, and starts another `after` a while.
    fn crash(&mut self, after: Duration, change: impl FnOnce(&mut Config)) {
        let crashed = HowItStopped::Crashed(self.now.unix);
        self.next_server(after, crashed, change);
    }

    fn next_server(
        &mut self,
        after: Duration,
        stopped: HowItStopped,
        change: impl FnOnce(&mut Config),
    ) {
        self.now = self.now + after;
        let mut config = self.hub.config().clone();
        change(&mut config);
        self.hub = Hub::new(config, [8; 32]);
        // Its log begins with what it puts out now.
        let found = std::mem::take(&mut self.kept);
        self.hub.restore(self.now, &found.into(), stopped);
        self.drain();
    }
}

fn world() -> World {
    World::new(|config| {
        config.keep_calls = true;
        config.report_calls = true;
    })
}

#[test]
fn a_call_goes_on_once_both_are_back() {
    let mut world = world();
    let (alice, bob) = (world.open("alice", "laptop"), world.open("bob", "phone"));
    let id = world.call(alice, "bob");
    world.ok(bob, "call:accept", json!({}));
    world.ok(alice, "signal:offer", sdp("a"));
    world.ok(bob, "signal:answer", sdp("b"));
    world.ok(bob, "media:update", json!({ "muted": true }));
    world.pass(ms(10_000));
    world.forget();
    world.restart(ms(5000));
    for session in [alice, bob] {
        assert_eq!(world.names(session), ["server:draining"]);
    }
    assert_eq!(world.ended, []);

    let alice = world.open("alice", "laptop");
    assert_eq!(world.heard[&alice][1].1["call"]["state"], "reconnecting");
    let sync = &world.heard[&alice][2];
    assert_eq!((sync.0.as_str(), &sync.1["description"]["type"]), ("call:sync", &json!("answer")));
    world.ok(alice, "ice:candidate", candidate(1));
    let bob = world.open("bob", "phone");
    let state = &world.heard[&bob][1].1["call"];
    assert_eq!((&state["id"], &state["state"]), (&json!(id), &json!("connected")));
    assert_eq!(state["participants"][1]["media"]["muted"], true);
    assert_eq!(state["duration"], 15.0);
    assert_eq!(world.names(bob), ["ice:candidate"]);
    assert_eq!(world.names(alice), ["call:reconnected"]);
    world.ok(alice, "signal:offer", sdp("a2"));
    assert_eq!(world.names(bob), ["signal:offer"]);
    world.ok(bob, "call:end", json!({}));
    assert_eq!(world.reasons(alice), ["hangup"]);
    let events: Vec<_> = world.reports.iter().map(|report| report.event.as_str()).collect();
    let expected = ["initiated", "ringing", "accepted", "connected"];
    assert_eq!(events[..4], expected.map(|step| format!("call.{step}")));
    assert_eq!(events[4..], ["call.reconnecting", "call.reconnected", "call.ended"]);
    world.assert_nothing_is_left();
}

#[test]
fn one_who_does_not_come_back_is_waited_for_as_long_as_ever() {
    let mut world = world();
    let (alice, bob) = (world.open("alice", "laptop"), world.open("bob", "phone"));
    world.call(alice, "bob");
    world.ok(bob, "call:accept", json!({}));
    world.restart(ms(60_000));
    let alice = world.open("alice", "laptop");
    world.pass(ms(29_999));
    assert_eq!(world.ended, []);
    world.pass(ms(1));
    assert_eq!(world.reasons(alice), ["connection_lost"]);
    world.assert_nothing_is_left();
}

#[test]
fn nothing_ends_while_the_server_stops() {
    let mut world = World::new(|config| {
        config.keep_calls = true;
        config.reconnect_grace = ms(2000);
    });
    let (alice, bob, carol) =
        (world.open("alice", "laptop"), world.open("bob", "phone"), world.open("carol", "phone"));
    world.call(alice, "bob");
    world.ok(bob, "call:accept", json!({}));
    world.open("dave", "phone");
    world.call(carol, "dave");
    world.input(Input::Shutdown);
    // As long as it takes until the last client is gone.
    world.pass(ms(60_000));
    assert_eq!((world.hub.kept_calls(), world.ended.len()), (2, 0));
}

#[test]
fn what_nobody_keeps_ends_with_the_server_after_all() {
    let mut world = world();
    let (alice, bob) = (world.open("alice", "laptop"), world.open("bob", "phone"));
    world.call(alice, "bob");
    world.ok(bob, "call:accept", json!({}));
    world.input(Input::Shutdown);
    world.input(Input::RelayStopped);
    assert_eq!(world.reports.last().unwrap().event.as_str(), "call.accepted");
    world.hub.give_up_calls(world.now);
    world.drain();
    let last = world.reports.last().unwrap();
    assert_eq!(last.event.as_str(), "call.ended");
    assert_eq!(last.call.reason, Some(EndReason::ServerShutdown));
    assert_eq!(world.hub.kept_calls(), 0);
}

#[test]
fn clients_are_asked_back_while_their_calls_wait_for_them() {
    let latest = |grace| {
        let mut world = World::new(|config| {
            config.keep_calls = true;
            config.reconnect_grace = ms(grace);
            config.max_sessions = 5000;
        });
        let users = (0..3000).map(|n| world.open(&format!("user{n}"), "phone"));
        let users: Vec<_> = users.collect();
        world.forget();
        world.input(Input::Shutdown);
        let delays = users.into_iter().map(|user| {
            world.heard(user).remove(0).1["reconnectAfterMs"].as_u64().expect("it is a number")
        });
        delays.max().unwrap()
    };
    assert!((2000..3000).contains(&latest(30_000)));
    assert!(latest(3000) < 1500);
}

#[test]
fn a_call_rings_on_with_what_its_caller_has_sent() {
    let mut world = world();
    let (alice, bob) = (world.open("alice", "laptop"), world.open("bob", "phone"));
    let id = world.call(alice, "bob");
    world.ok(alice, "signal:offer", sdp("a"));
    world.ok(alice, "ice:candidate", candidate(1));
    assert_eq!(world.names(bob), ["call:incoming"]);
    world.restart(ms(5000));
    let bob = world.open("bob", "phone");
    let (name, incoming) = world.heard(bob).remove(0);
    assert_eq!((name.as_str(), &incoming["callId"]), ("call:incoming", &json!(id)));
    let alice = world.open("alice", "laptop");
    world.ok(bob, "call:accept", json!({}));
    assert_eq!(world.names(bob), ["signal:offer", "ice:candidate"]);
    assert_eq!(world.names(alice), ["call:accepted"]);
    world.ok(alice, "call:end", json!({}));
    world.assert_nothing_is_left();
}

#[test]
fn its_ring_time_goes_on_while_there_is_no_server() {
    let mut world = world();
    let (alice, _) = (world.open("alice", "laptop"), world.open("bob", "phone"));
    world.call(alice, "bob");
    world.restart(ms(44_000));
    let alice = world.open("alice", "laptop");
    assert_eq!(world.ended, []);
    world.pass(ms(1000));
    assert_eq!(world.reasons(alice), ["timeout"]);
    world.assert_nothing_is_left();
}

/// The device that rang does not ring any more, and whoever had the call has it.
#[test]
fn a_call_is_handed_on_before_or_after_it() {
    let mut world = world();
    let (alice, bob) = (world.open("alice", "laptop"), world.open("bob", "phone"));
    let tablet = world.open("bob", "tablet");
    let id = world.call(alice, "bob");
    world.ok(bob, "call:accept", json!({}));
    world.ok(alice, "call:connected", json!({}));
    world.ok(bob, "call:transfer", json!({ "deviceId": "tablet" }));
    world.ok(tablet, "call:accept", json!({}));
    world.ok(tablet, "call:transfer", json!({ "deviceId": "phone" }));
    world.restart(ms(1000));
    let (alice, bob) = (world.open("alice", "laptop"), world.open("bob", "phone"));
    let tablet = world.open("bob", "tablet");
    assert_eq!(world.names(bob), [""; 0]);
    // Media does not flow yet between the two.
    assert_eq!(world.states(tablet), ["reconnecting"]);
    world.ok(alice, "call:connected", json!({}));
    assert_eq!(world.states(tablet), ["connected"]);
    world.refused(bob, "call:accept", json!({ "callId": id }), "invalid_state");
    world.ok(tablet, "call:transfer", json!({ "deviceId": "phone" }));
    world.ok(bob, "call:accept", json!({}));
    world.assert_nothing_is_left();
}

#[test]
fn no_more_calls_come_back_than_there_may_be() {
    let mut world = world();
    for n in 0..3 {
        let caller = world.open(&format!("caller-{n}"), "laptop");
        world.open(&format!("callee-{n}"), "phone");
        world.call(caller, &format!("callee-{n}"));
    }
    world.restart_with(ms(0), |config| config.max_calls = 2);
    assert_eq!(world.hub.stats().calls.total(), 2);
    world.assert_nothing_is_left();
}

#[test]
fn media_that_did_not_flow_yet_after_a_transfer_is_not_taken_to_flow() {
    let mut world = world();
    let (alice, bob) = (world.open("alice", "laptop"), world.open("bob", "phone"));
    let phone = world.open("alice", "phone");
    world.call(alice, "bob");
    world.ok(bob, "call:accept", json!({}));
    world.ok(bob, "call:connected", json!({}));
    world.ok(alice, "call:transfer", json!({ "deviceId": "phone" }));
    world.ok(phone, "call:accept", json!({}));
    world.restart(ms(1000));
    let (phone, bob) = (world.open("alice", "phone"), world.open("bob", "phone"));
    assert_eq!(world.states(bob), ["reconnecting"]);
    world.ok(phone, "call:connected", json!({}));
    assert_eq!(world.states(bob), ["connected"]);
    world.ok(bob, "call:end", json!({}));
    world.assert_nothing_is_left();
}

#[test]
fn what_no_hub_has_kept_is_no_call_and_ends_on_its_record() {
    let mut world = world();
    let (alice, bob) = (world.open("alice", "laptop"), world.open("bob", "phone"));
    let id = world.call(alice, "bob");
    world.ok(bob, "call:accept", json!({}));
    let good = world.kept.clone();
    for (from, to, restored) in [
        ("", "", 1),
        ("\"state\":\"connecting\"", "\"state\":\"ended\"", 0),
        ("\"state\":\"connecting\"", "\"state\":\"ringing\"", 0),
        ("\"state\":\"connecting\"", "\"state\":\"idle\"", 0),
        ("\"device\":\"laptop\"", "\"device\":null", 0),
        ("\"user\":\"alice\"", "\"user\":\"bob\"", 0),
    ] {
        let mut kept = good.clone();
        let call = kept.get_mut(&format!("call/{id}")).unwrap();
        assert!(call.contains(from), "{from}");
        *call = call.replace(from, to);
        world.kept = kept;
        world.reports.clear();
        world.crash(ms(0), |_| {});
        assert_eq!(world.hub.kept_calls(), restored, "{to}");
        let ended: Vec<_> = world.reports.iter().map(|report| report.call.reason).collect();
        let expected = if restored == 1 { vec![] } else { vec![Some(EndReason::ServerCrashed)] };
        assert_eq!(ended, expected, "{to}");
        world.hub = Hub::new(world.hub.config().clone(), [8; 32]);
    }
}

#[test]
fn no_call_rings_longer_than_a_new_one_however_the_clock_was_set() {
    let mut world = world();
    let (alice, _) = (world.open("alice", "laptop"), world.open("bob", "phone"));
    let id = world.call(alice, "bob");
    let call = world.kept.get_mut(&format!("call/{id}")).unwrap();
    let mut kept: serde_json::Value = serde_json::from_str(call).unwrap();
    kept["ring_until"]["secs"] = u64::MAX.into();
    *call = kept.to_string();
    world.crash(ms(0), |_| {});
    assert_eq!(world.hub.kept_calls(), 1);
    let alice = world.open("alice", "laptop");
    let ring_timeout = world.hub.config().ring_timeout;
    world.pass(ring_timeout - ms(1));
    assert_eq!(world.ended, []);
    world.pass(ms(1));
    assert_eq!(world.reasons(alice), ["timeout"]);
    world.assert_nothing_is_left();
}

/// The messages that a side has sent and the other has not got yet are there after a crash as well.
#[test]
fn a_call_goes_on_after_a_crash_where_it_was() {
    let mut world = world();
    let (alice, bob) = (world.open("alice", "laptop"), world.open("bob", "phone"));
    let id = world.call(alice, "bob");
    world.ok(alice, "signal:offer", sdp("a"));
    world.ok(alice, "ice:candidate", candidate(1));
    world.crash(ms(1000), |_| {});
    assert!(world.hub.sessions().next().is_none(), "{bob} is there");
    let (alice, bob) = (world.open("alice", "laptop"), world.open("bob", "phone"));
    world.ok(bob, "call:accept", json!({}));
    assert_eq!(world.names(bob), ["call:incoming", "signal:offer", "ice:candidate"]);
    world.ok(bob, "signal:answer", sdp("b"));
    world.ok(bob, "ice:candidate", candidate(2));
    assert_eq!(world.names(alice), ["call:accepted", "signal:answer", "ice:candidate"]);

    world.crash(ms(1000), |_| {});
    let alice = world.open("alice", "laptop");
    let sync = world.heard[&alice].iter().find(|(name, _)| name == "call:sync").unwrap();
    assert_eq!((&sync.1["callId"], &sync.1["description"]["type"]), (&json!(id), &json!("answer")));
    assert_eq!(sync.1["candidates"].as_array().unwrap().len(), 1);
    let bob = world.open("bob", "phone");
    assert_eq!(world.names(alice), ["call:reconnected"]);
    world.ok(bob, "call:end", json!({}));
    assert_eq!(world.reasons(alice), ["hangup"]);
    let ends = world.reports.iter().filter(|report| report.call.reason.is_some());
    assert_eq!(ends.count(), 1);
    world.assert_nothing_is_left();
}

#[test]
fn a_call_that_nobody_comes_back_to_ends_with_the_crash_that_orphaned_it() {
    for back in [false, true] {
        let mut world = world();
        let (alice, bob) = (world.open("alice", "laptop"), world.open("bob", "phone"));
        world.connected_call(alice, bob);
        world.crash(ms(5000), |_| {});
        if back {
            world.open("alice", "laptop");
        }
        world.pass(ms(60_000));
        let last = world.reports.last().unwrap();
        let expected = if back { EndReason::ConnectionLost } else { EndReason::ServerCrashed };
        assert_eq!((last.call.reason, last.call.state), (Some(expected), CallState::Failed));
        world.assert_nothing_is_left();
    }
}

/// The caller does not come back, but the callee's device is there and rings.
#[test]
fn a_call_that_rings_again_after_a_crash_is_not_orphaned() {
    let mut world = world();
    let (alice, _) = (world.open("alice", "laptop"), world.open("bob", "phone"));
    world.call(alice, "bob");
    world.crash(ms(5000), |_| {});
    let bob = world.open("bob", "phone");
    world.pass(ms(60_000));
    assert_eq!(world.names(bob).last().unwrap(), "call:ended");
    let last = world.reports.last().unwrap();
    assert_eq!(last.call.reason, Some(EndReason::ConnectionLost));
    world.assert_nothing_is_left();
}

/// On its record it ends when the server before was last known to run, and not when the next one came.
#[test]
fn a_call_that_does_not_go_on_ends_at_the_crash() {
    for (alive, duration) in [(ms(0), 60.0), (Duration::MAX, 0.0)] {
        let mut world = world();
        let (alice, bob) = (world.open("alice", "laptop"), world.open("bob", "phone"));
        world.connected_call(alice, bob);
        world.pass(ms(60_000));
        let crashed = HowItStopped::Crashed(world.now.unix.saturating_sub(alive));
        world.next_server(ms(3_600_000), crashed, |config| config.max_calls = 0);
        let last = &world.reports.last().unwrap().call;
        assert_eq!((last.reason, last.duration), (Some(EndReason::ServerCrashed), Some(duration)));
        let ended = last.started_at.unwrap().0 + Duration::from_secs_f64(duration);
        assert_eq!(last.ended_at.unwrap().0, ended);
        world.assert_nothing_is_left();
    }
}

#[test]
fn a_room_ends_with_a_crash_and_its_end_is_reported_once() {
    let mut world = world();
    let (alice, bob) = (world.open("alice", "laptop"), world.open("bob", "phone"));
    let join = json!({ "roomId": "garden", "callType": "audio" });
    world.ok(alice, "room:join", join.clone());
    world.ok(bob, "room:join", join);
    world.pass(ms(4000));
    world.crash(ms(5000), |_| {});
    let last = world.reports.last().unwrap().clone();
    assert_eq!(last.call.reason, Some(EndReason::ServerCrashed));
    assert_eq!((last.call.participants.len(), last.call.duration), (2, Some(4.0)));
    let count = world.reports.len();
    world.crash(ms(5000), |_| {});
    assert_eq!(world.reports.len(), count);
    world.assert_nothing_is_left();
}

/// The relay had not closed the call's last allocation when the server was killed.
#[test]
fn an_end_that_was_not_reported_is_reported_by_the_next_server() {
    let mut world = world();
    let (alice, bob) = (world.open("alice", "laptop"), world.open("bob", "phone"));
    world.connected_call(alice, bob);
    let call = world.hub.calls_of_two().iter().next().unwrap().id;
    let usage = std::sync::Arc::new(callbox_base::usage::Usage::default());
    world.input(Input::RelayOpened { call, usage: usage.clone() });
    usage.add_up(1234);
    world.ok(alice, "call:end", json!({}));
    let ends = |world: &World| {
        let ends = world.reports.iter().filter(|report| report.call.reason.is_some());
        ends.map(|report| (report.call.reason, report.call.relay.bytes_up)).collect::<Vec<_>>()
    };
    assert_eq!(ends(&world), []);
    world.crash(ms(5000), |_| {});
    assert_eq!(ends(&world), [(Some(EndReason::Hangup), 1234)]);
    world.crash(ms(5000), |_| {});
    assert_eq!(ends(&world).len(), 1);
    world.assert_nothing_is_left();
}

#[test]
fn calls_past_the_limit_of_the_next_server_are_over_and_reported() {
    for crashes in [false, true] {
        let mut world = world();
        for n in 0..3 {
            let caller = world.open(&format!("caller-{n}"), "laptop");
            let callee = world.open(&format!("callee-{n}"), "phone");
            world.call(caller, &format!("callee-{n}"));
            world.ok(callee, "call:accept", json!({}));
        }
        let smaller = |config: &mut Config| config.max_calls = 2;
        match crashes {
            true => world.crash(ms(1000), smaller),
            false => world.restart_with(ms(1000), smaller),
        }
        let ends = world.reports.iter().filter_map(|report| report.call.reason);
        let expected = if crashes { EndReason::ServerCrashed } else { EndReason::ServerShutdown };
        assert_eq!(ends.collect::<Vec<_>>(), [expected]);
        assert_eq!(world.hub.stats().calls.total(), 2);
        world.assert_nothing_is_left();
    }
}

#[test]
fn one_entry_that_cannot_be_read_costs_no_other_call() {
    let mut world = world();
    for n in 0..2 {
        let caller = world.open(&format!("caller-{n}"), "laptop");
        world.open(&format!("callee-{n}"), "phone");
        world.call(caller, &format!("callee-{n}"));
        world.ok(caller, "signal:offer", sdp("a"));
    }
    let calls = world.kept.keys().filter(|key| key.starts_with("call/")).cloned();
    let calls: Vec<_> = calls.collect();
    world.kept.insert(calls[0].clone(), "{}".into());
    world.crash(ms(1000), |_| {});
    assert_eq!(world.hub.kept_calls(), 1);
    world.assert_nothing_is_left();
}
