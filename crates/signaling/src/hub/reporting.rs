//! Reports of the steps of calls, and of their ends once the relay is done with them.

use std::time::Duration;

use callbox_base::{clock::Now, ids::CallId};

use super::{Hub, changed_calls, members, views};
use crate::{CallEvent, CallReport, Output, call::RelayMeter, ended_calls::EndedCall};

/// The longest time for which the report of a call's end waits for the relay. It closes the
/// allocations within milliseconds, unless it is overloaded or its events got lost.
const SETTLE: Duration = Duration::from_secs(2);

/// Reports a step of a live call.
pub(super) fn report_step(hub: &mut Hub, now: Now, id: CallId, event: CallEvent) {
    if !hub.config.report_calls {
        return;
    }
    let Some(call) = views::live_record(hub, now, id) else { return };
    let was_connected = call.state.has_media();
    let Some(live) = members::lifecycle(hub, id) else { return };
    let at = live.times().at(now);
    let report = CallReport { event, at, call, was_connected };
    hub.outbox.push(Output::Report(Box::new(report)));
}

/// Reports the end of a call once the relay has closed its last allocation.
pub(super) fn report_end(hub: &mut Hub, now: Now, call: EndedCall) {
    let (id, is_settled) = (call.id(), call.is_settled());
    changed_calls::note(hub, id);
    hub.settling.insert(call, now.instant + SETTLE, &mut hub.timers);
    if is_settled {
        settle(hub, id);
    }
}

/// Applies a change of the relay's counters of a call, live or over.
pub(super) fn update_meter(hub: &mut Hub, id: CallId, change: impl Fn(&mut RelayMeter)) {
    if let Some(live) = members::lifecycle_mut(&mut hub.calls, &mut hub.rooms, id) {
        return change(live.relay_mut());
    }
    if let Some(meter) = hub.ended.meter_mut(id) {
        change(meter);
    }
    if let Some(meter) = hub.settling.meter_mut(id) {
        change(meter);
        if meter.is_final() {
            settle(hub, id);
        }
    }
}

/// Reports the end of a call with the counters as they are.
pub(super) fn settle(hub: &mut Hub, id: CallId) {
    let Some(call) = hub.settling.remove(id, &mut hub.timers) else { return };
    changed_calls::note(hub, id);
    let was_connected = call.was_connected();
    let call = call.record();
    // A call that is over has this time.
    let at = call.ended_at.unwrap_or(call.created_at);
    let report = CallReport { event: CallEvent::Ended, at, call, was_connected };
    hub.outbox.push(Output::Report(Box::new(report)));
}

/// Reports the end of every call that waits for the relay, which has stopped: all counters are
/// final.
pub(super) fn settle_all(hub: &mut Hub) {
    let waiting: Vec<_> = hub.settling.ids().collect();
    waiting.into_iter().for_each(|id| settle(hub, id));
}
