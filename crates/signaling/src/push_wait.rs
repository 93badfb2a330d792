//! A call that reaches no device: somebody outside may know how to wake one, and is asked. If they
//! want it held, it waits for a device as long as it would have rung.

use std::time::Duration;

use callbox_base::{clock::Now, ids::CallId};

use super::{CallEvent, CallReport, EndReason, Hub, Output, timer::Timer};

/// The time in which [`Output::AskToHold`] is to be answered. The caller hears nothing meanwhile.
pub const ASK_FOR: Duration = Duration::from_secs(2);

impl Hub {
    /// The callee has no device that could get the call. That ends it, unless there is somebody to ask.
    pub(super) fn reach_nobody(&mut self, now: Now, id: CallId) {
        if !self.config.ask_to_hold {
            return self.end(now, id, EndReason::Offline);
        }
        let Some(call) = self.calls.get_mut(id) else { return };
        let until = now.instant + ASK_FOR;
        call.asked_until = Some(until);
        self.timers.set(until, Timer::Asked(id));
        let (event, at) = (CallEvent::Offline, call.times.at(now));
        let report = CallReport { event, at, call: call.record(now), was_connected: false };
        self.outbox.push(Output::AskToHold(Box::new(report)));
    }

    /// They have answered, or their time is over. It counts only while it is waited for.
    pub(super) fn held(&mut self, now: Now, id: CallId, hold: bool) {
        if self.stop_asking(id) && !hold {
            self.end(now, id, EndReason::Offline);
        }
    }

    /// The answer does not matter any more. Says whether it did.
    pub(super) fn stop_asking(&mut self, id: CallId) -> bool {
        let asked = self.calls.get_mut(id).and_then(|call| call.asked_until.take());
        let Some(until) = asked else { return false };
        self.timers.clear(until, Timer::Asked(id));
        true
    }
}
