//! A server that crashed.

use super::*;

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
    let sync = world.received[&alice].iter().find(|(name, _)| name == "call:sync").unwrap();
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
fn a_call_whose_sides_do_not_return_ends_at_the_time_of_the_crash() {
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

/// On its record it ends when the server before was last known to run, and not when the next one
/// came.
#[test]
fn a_call_that_is_not_restored_ends_at_the_time_of_the_crash() {
    for (alive, duration) in [(ms(0), 60.0), (Duration::MAX, 0.0)] {
        let mut world = world();
        let (alice, bob) = (world.open("alice", "laptop"), world.open("bob", "phone"));
        world.connected_call(alice, bob);
        world.pass(ms(60_000));
        let crashed = PreviousStop::Crashed(world.now.unix.saturating_sub(alive));
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
    let call = world.hub.calls_of_two().iter().next().unwrap().id();
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
fn an_unreadable_entry_affects_no_other_call() {
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
