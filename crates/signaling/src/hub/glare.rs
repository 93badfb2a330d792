//! Glare: two users call each other at the same time, and are put into one call.

use callbox_base::{
    clock::Now,
    ids::{CallId, UserId},
};

use super::{Hub, call_accept, credentials};
use crate::{
    CallState, RequestError,
    answers::CallInitiateAnswer,
    call::{Involvement, Role},
    sender::Sender,
};

/// Returns the call of the other user that rings at this device, or that it has just accepted: the
/// two have called each other (glare).
pub(super) fn find(hub: &Hub, sender: &Sender, other: &UserId) -> Option<CallId> {
    let calls = hub.users.calls(&sender.user);
    calls.iter().copied().find(|id| {
        let Some(call) = hub.calls.get(*id) else { return false };
        let is_new = call.state() == CallState::Connecting || !call.state().is_accepted();
        let here = [Some(Involvement::Ringing), Some(Involvement::Side(Role::Callee))];
        is_new
            && call.party(Role::Caller).user() == other
            && here.contains(&call.involvement_of(sender.session))
    })
}

/// Resolves glare: the caller that comes second accepts the call of the other.
pub(super) fn resolve(
    hub: &mut Hub,
    now: Now,
    sender: &Sender,
    id: CallId,
) -> Result<CallInitiateAnswer, RequestError> {
    if hub.calls.find(id)?.state() != CallState::Connecting {
        call_accept::accept(hub, now, sender, id)?;
    }
    let call = hub.calls.find(id)?;
    let (state, call_type) = (call.state(), call.kind());
    let ice = credentials::mint_for_session(hub, now, sender.session, Some(id));
    Ok(CallInitiateAnswer {
        call_id: id,
        state,
        call_type,
        glare: Some(true),
        expires_at: None,
        ice_servers: ice.ice_servers,
        ice_transport_policy: ice.ice_transport_policy,
        turn_credentials: ice.turn_credentials,
    })
}
