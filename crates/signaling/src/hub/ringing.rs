//! Ringing the devices of a callee.

use callbox_base::{
    clock::Now,
    ids::{CallId, DeviceId, SessionId},
};

use super::{Hub, call_end, credentials, reporting};
use crate::{
    CallEvent,
    call::{Role, Step},
    events::CallIncomingEvent,
};

/// Rings a device of the callee.
pub(super) fn ring(hub: &mut Hub, now: Now, id: CallId, session: SessionId, device: &DeviceId) {
    let Some(call) = hub.calls.get_mut(id) else { return };
    call.ringing_mut().add(device.clone(), session);
    announce(hub, now, id, Role::Callee, session);
    if hub.sessions.is_here(session) {
        deliver(hub, now, id);
    }
}

/// Records that a device of the callee received the call. Returns true if it is the first.
pub(super) fn deliver(hub: &mut Hub, now: Now, id: CallId) -> bool {
    let is_first = hub.calls.step(id, Step::Deliver).is_ok();
    if is_first {
        call_end::stop_hold_decision(hub, id);
        reporting::report_step(hub, now, id, CallEvent::Ringing);
    }
    is_first
}

/// Sends a device the `call:incoming` for a side of a call.
pub(super) fn announce(hub: &mut Hub, now: Now, id: CallId, to: Role, session: SessionId) {
    let ice = credentials::mint_for_session(hub, now, session, Some(id));
    let Some(call) = hub.calls.get(id) else { return };
    let other = call.party(to.other());
    let transfer_from = call.transfer().and(call.party(to).device()).cloned();
    let incoming = CallIncomingEvent {
        call_id: id,
        caller_id: other.user().clone(),
        caller_name: other.name().cloned(),
        call_type: call.kind(),
        metadata: call.metadata().map(ToOwned::to_owned),
        transfer_from,
        expires_at: call.expires_at(),
        ice_servers: ice.ice_servers,
        ice_transport_policy: ice.ice_transport_policy,
        turn_credentials: ice.turn_credentials,
    };
    hub.outbox.send(session, &incoming);
}
