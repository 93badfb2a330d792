//! The end of calls and rooms as records and the relay see it.

use callbox_base::clock::Now;

use super::{Hub, reporting};
use crate::{EndReason, Output, ended_calls::EndedCall};

/// Tells the relay and the readers of reports that a call or a room is over, and keeps its record.
pub(super) fn finalize(hub: &mut Hub, now: Now, ended: EndedCall, reason: EndReason) {
    let id = ended.id();
    hub.outbox.push(Output::CallEnded { call: id });
    hub.counters.calls_ended.add(reason);
    reporting::report_end(hub, now, ended.clone());
    let forget_at = now.instant + hub.config.ended_calls_for;
    hub.ended.insert(ended, forget_at, hub.config.ended_calls, &mut hub.timers);
}
