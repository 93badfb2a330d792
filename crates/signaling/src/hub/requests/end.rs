//! `call:end { callId?, reason? }`: hang up. `reason` may be `ice_failed` or `connection_lost`,
//! from a side whose media found no path or lost it; anything else is `hangup`.
//!
//! A client that knows only the seed has no other way to end a call, so before the accept this is
//! the caller's `call:cancel` and the callee's `call:reject`. A device that a call is handed
//! to refuses it likewise, and the call goes on.

use callbox_base::clock::Now;

use super::{
    locate,
    payload::{CallEndRequest, parse},
};
use crate::{
    EndReason, Hub, RequestError,
    answers::CallEndAnswer,
    call::Involvement,
    hub::{call_end, transfer},
    payload::Fields,
    sender::Sender,
};

pub(super) fn apply(
    hub: &mut Hub,
    now: Now,
    sender: &Sender,
    data: &Fields<'_>,
) -> Result<CallEndAnswer, RequestError> {
    let payload: CallEndRequest<'_> = parse(data)?;
    let (id, involvement) = locate::call(hub, sender, payload.call_id)?;
    let accepted = hub.calls.find(id)?.state().is_accepted();
    let reason = match (involvement, payload.reason.as_deref()) {
        (Involvement::Ringing, _) => EndReason::Rejected,
        (Involvement::Offered(_), _) => return transfer::decline(hub, now, id),
        (Involvement::Side(_), _) if !accepted => EndReason::Cancelled,
        (Involvement::Side(_), Some("ice_failed")) => EndReason::IceFailed,
        (Involvement::Side(_), Some("connection_lost")) => EndReason::ConnectionLost,
        (Involvement::Side(_), _) => EndReason::Hangup,
    };
    call_end::end_for(hub, now, id, reason, sender)
}
