//! `call:accept { callId? }`: take the call on this device. The first accept wins: it empties the
//! list of ringing devices, and only a device on that list can accept.

use callbox_base::clock::Now;

use super::{
    locate,
    payload::{CallRequest, parse},
};
use crate::{
    Hub, RequestError,
    answers::CallStateAnswer,
    call::Involvement,
    hub::{call_accept, transfer},
    payload::Fields,
    sender::Sender,
};

pub(super) fn apply(
    hub: &mut Hub,
    now: Now,
    sender: &Sender,
    data: &Fields<'_>,
) -> Result<CallStateAnswer, RequestError> {
    let payload: CallRequest = parse(data)?;
    let (id, involvement) = locate::call(hub, sender, payload.call_id)?;
    if let Involvement::Offered(role) = involvement {
        transfer::take_over(hub, now, id, role, sender);
        return Ok(CallStateAnswer {
            call_id: id,
            room_id: None,
            state: hub.calls.find(id)?.state(),
        });
    }
    locate::check_ringing(&involvement, "You are the caller.", "You have accepted the call.")?;
    call_accept::accept(hub, now, sender, id)
}
