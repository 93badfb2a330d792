//! `call:reject { callId?, reason? }`: refuse the call, on all devices of the callee. `reason` may
//! be `busy`; anything else is `rejected`.

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
    locate::check_ringing(
        &involvement,
        "You are the caller: use call:cancel.",
        "You have accepted the call: use call:end.",
    )?;
    if let Involvement::Offered(_) = involvement {
        return transfer::decline(hub, now, id);
    }
    let reason = match payload.reason.as_deref() {
        Some("busy") => EndReason::Busy,
        _ => EndReason::Rejected,
    };
    call_end::end_for(hub, now, id, reason, sender)
}
