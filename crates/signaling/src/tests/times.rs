//! A wall clock that is set while calls go on.

use callbox_base::ids::CallId;
use serde_json::json;

use super::{World, ms};
use crate::{CallEvent, Hub, PreviousStop};

impl World {
    /// The wall clock is set so many seconds ahead, or back.
    fn set_clock(&mut self, ahead: i64) {
        let by = ms(ahead.unsigned_abs() * 1000);
        let unix = self.now.unix;
        self.now.unix = if ahead < 0 { unix - by } else { unix + by };
    }

    /// The record of a call that is over is as it should be.
    fn check_record(&self, call: CallId, duration: f64) {
        let record = self.hub.call(self.now, call).unwrap();
        let (started, ended) = (record.started_at.unwrap(), record.ended_at.unwrap());
        assert_eq!(record.duration, Some(duration));
        assert!(record.created_at <= started, "it began after it was accepted");
        assert_eq!((ended.0 - started.0).as_secs_f64(), duration);
        let report = self.reports.iter().rfind(|report| report.call.id == call).unwrap();
        assert_eq!((report.event, report.at), (CallEvent::Ended, ended));
    }
}

/// A call of 0.7 s lasted an hour, or no time.
#[test]
fn a_clock_that_jumps_changes_no_duration() {
    for jump in [3600, -3600] {
        let mut world = World::new(|config| config.report_calls = true);
        let (alice, bob) = (world.open("alice", "laptop"), world.open("bob", "phone"));
        let call = world.call(alice, "bob");
        world.pass(ms(200));
        world.ok(bob, "call:accept", json!({}));
        world.ok(bob, "call:connected", json!({}));
        world.pass(ms(300));
        world.set_clock(jump);
        world.pass(ms(400));
        let live = world.hub.call(world.now, call).unwrap();
        assert_eq!(live.duration, Some(0.7), "{jump}");
        let answer = world.ok(alice, "call:end", json!({}));
        assert_eq!(answer["duration"], 0.7, "{jump}");
        assert_eq!(world.received(bob).last().unwrap().1["duration"], 0.7, "{jump}");
        world.check_record(call, 0.7);
        let times: Vec<_> = world.reports.iter().map(|report| report.at).collect();
        assert!(times.is_sorted(), "{times:?}");
    }
}

#[test]
fn a_clock_that_jumps_changes_no_duration_of_a_room() {
    for jump in [3600, -3600] {
        let mut world = World::new(|config| config.report_calls = true);
        let [alice, bob] = ["alice", "bob"].map(|name| world.open(name, "laptop"));
        let room = json!({ "roomId": "lobby" });
        let answer = world.ok(alice, "room:join", room.clone());
        let call: CallId = serde_json::from_value(answer["callId"].clone()).unwrap();
        world.set_clock(jump);
        world.ok(bob, "room:join", room.clone());
        world.pass(ms(700));
        world.set_clock(jump);
        world.ok(bob, "room:leave", room.clone());
        world.ok(alice, "room:leave", room);
        world.check_record(call, 0.7);
        for participant in world.hub.call(world.now, call).unwrap().participants {
            let (joined, left) = (participant.joined_at.unwrap(), participant.left_at.unwrap());
            assert_eq!((left.0 - joined.0).as_secs_f64(), 0.7);
        }
    }
}

/// Over a restart nothing but the wall clock says how long it took, and it may say anything.
#[test]
fn a_clock_that_jumps_over_a_restart_is_bounded() {
    for (jump, duration) in [(0, 60.0), (-7200, 0.0), (1_000_000_000, 7.0 * 86_400.0 - 1.0)] {
        let mut world = World::new(|config| {
            config.keep_calls = true;
            config.report_calls = true;
        });
        let (alice, bob) = (world.open("alice", "laptop"), world.open("bob", "phone"));
        let call = world.call(alice, "bob");
        world.pass(ms(1000));
        world.ok(bob, "call:accept", json!({}));
        world.pass(ms(60_000));
        let kept = std::mem::take(&mut world.kept);
        world.set_clock(jump);
        world.hub = Hub::new(world.hub.config().clone(), [8; 32]);
        let stopped = PreviousStop::Crashed(world.now.unix);
        assert_eq!(world.hub.restore(world.now, &kept.into(), stopped).live, 1);
        world.drain();
        assert_eq!(world.hub.call(world.now, call).unwrap().duration, Some(duration), "{jump}");
        world.pass(ms(10_000));
        world.hub.hang_up(world.now, call);
        world.drain();
        world.check_record(call, duration + 10.0);
    }
}
