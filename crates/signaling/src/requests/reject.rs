//! `call:reject { callId?, reason? }`: refuse the call, on all devices of the callee. `reason` may
//! be `busy`; anything else is `rejected`.

use callbox_base::clock::Now;

use super::{CallEndRequest, Fields, Sender, must_ring, parse};
use crate::{EndReason, Hub, RequestError, answers::CallEndAnswer, call::Place};

pub(super) fn apply(
    hub: &mut Hub,
    now: Now,
    sender: &Sender,
    data: &Fields<'_>,
) -> Result<CallEndAnswer, RequestError> {
    let payload: CallEndRequest<'_> = parse(data)?;
    let (id, place) = hub.locate(sender, payload.call_id)?;
    must_ring(
        &place,
        "You are the caller: use call:cancel.",
        "You have accepted the call: use call:end.",
    )?;
    if let Place::Offered(_) = place {
        return hub.decline_transfer(now, id);
    }
    let reason = match payload.reason.as_deref() {
        Some("busy") => EndReason::Busy,
        _ => EndReason::Rejected,
    };
    hub.end_for(now, id, reason, sender)
}
