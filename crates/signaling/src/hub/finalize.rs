//! The end of calls and rooms as records and the relay see it.

use callbox_base::{clock::Now, ids::CallId};

use super::{Hub, reporting};
use crate::{EndReason, Output, ended_calls::EndedCall, timer::Timer};

/// Tells the relay and the readers of reports that a call or a room is over, and keeps its record.
pub(super) fn finalize(hub: &mut Hub, now: Now, ended: EndedCall, reason: EndReason) {
    let id = ended.id();
    hub.outbox.push(Output::CallEnded { call: id });
    hub.counters.calls_ended.add(reason);
    reporting::report_end(hub, now, id, ended.clone());
    remember(hub, now, ended, id);
}

/// Keeps the record of a call that is over, to be shown for a while.
fn remember(hub: &mut Hub, now: Now, call: EndedCall, id: CallId) {
    let before = hub.ended.next_due();
    let due = now.instant + hub.config.ended_calls_for;
    hub.ended.insert(id, call, due, hub.config.ended_calls);
    let after = hub.ended.next_due();
    if before != after {
        if let Some(at) = before {
            hub.timers.clear(at, Timer::ForgetEnded);
        }
        if let Some(at) = after {
            hub.timers.set(at, Timer::ForgetEnded);
        }
    }
}
