//! The state of a call as far as it follows media.

use callbox_base::{clock::Now, ids::CallId};

use super::{Hub, reporting};
use crate::{CallEvent, CallState, call::Step};

/// Records that media flows: for the first time, or on the new device of a side.
pub(super) fn connect(hub: &mut Hub, now: Now, id: CallId) {
    if hub.rooms.step(id, Step::Connect).is_ok() {
        return reporting::report_step(hub, now, id, CallEvent::Connected);
    }
    if let Some(call) = hub.calls.get_mut(id)
        && call.take_moved()
    {
        update_state(hub, now, id);
    }
    if hub.calls.step(id, Step::Connect).is_err() {
        return;
    }
    let Some(call) = hub.calls.get(id) else { return };
    hub.outbox.show_to_all(now, call);
    reporting::report_step(hub, now, id, CallEvent::Connected);
    // A side may have been lost all the while; both are told of that already.
    update_state(hub, now, id);
}

/// Moves a call of two between `connected` and `reconnecting`, depending on whether media is
/// interrupted. Returns true if the state changed; then everyone was sent it.
pub(super) fn update_state(hub: &mut Hub, now: Now, id: CallId) -> bool {
    let Some(call) = hub.calls.get(id) else { return false };
    let (step, event) = match (call.state(), call.is_interrupted()) {
        (CallState::Connected, true) => (Step::Lose, CallEvent::Reconnecting),
        (CallState::Reconnecting, false) => (Step::Recover, CallEvent::Reconnected),
        _ => return false,
    };
    // These two steps are legal from these two states.
    let stepped = hub.calls.step(id, step).is_ok();
    if let Some(call) = hub.calls.get(id) {
        hub.outbox.show_to_all(now, call);
    }
    reporting::report_step(hub, now, id, event);
    stepped
}
