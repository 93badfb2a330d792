//! The wait for a device that a push message may wake.
//!
//! If a call reaches no device, a webhook may wake one by a push message, and is asked to hold the
//! call. If it does, the call waits for a device for as long as it would have rung.

use std::time::Duration;

use callbox_base::{clock::Now, ids::CallId};

use super::{Hub, call_end};
use crate::{CallEvent, CallReport, EndReason, Output, call::HasLifecycle};

/// The time in which [`Output::AskToHold`] is to be answered. The caller receives nothing
/// meanwhile.
pub const ASK_FOR: Duration = Duration::from_secs(2);

/// Handles a call for which the callee has no device: ends it, or asks whether to hold it if there
/// is somebody to ask.
pub(super) fn reach_no_device(hub: &mut Hub, now: Now, id: CallId) {
    if !hub.config.ask_to_hold {
        return call_end::end(hub, now, id, EndReason::Offline);
    }
    let Some(call) = hub.calls.get_mut(id) else { return };
    let until = now.instant + ASK_FOR;
    call.ringing_mut().await_hold_decision(until, &mut hub.timers);
    let (event, at) = (CallEvent::Offline, call.lifecycle().times().at(now));
    let report = CallReport { event, at, call: call.record(now), was_connected: false };
    hub.outbox.push(Output::AskToHold(Box::new(report)));
}

/// Applies the decision about holding a call, or its absence in time. It counts only while it is
/// waited for.
pub(super) fn decide(hub: &mut Hub, now: Now, id: CallId, hold: bool) {
    if call_end::stop_hold_decision(hub, id) && !hold {
        call_end::end(hub, now, id, EndReason::Offline);
    }
}
