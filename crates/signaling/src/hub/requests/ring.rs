//! `call:ring { callId? }`: this device alerts its user. The caller hears `call:ringing`, or the
//! device that hands the call over.

use super::{
    locate,
    payload::{CallRequest, parse},
};
use crate::{
    Hub, RequestError,
    answers::CallAnswer,
    call::{Involvement, RingingDevice, Role, Transfer},
    events::CallRingingEvent,
    payload::Fields,
    sender::Sender,
};

pub(super) fn apply(
    hub: &mut Hub,
    sender: &Sender,
    data: &Fields<'_>,
) -> Result<CallAnswer, RequestError> {
    let payload: CallRequest = parse(data)?;
    let (id, involvement) = locate::call(hub, sender, payload.call_id)?;
    locate::check_ringing(&involvement, "You are the caller.", "You have accepted the call.")?;
    let call = hub.calls.find(id)?;
    let (is_first, to) = match involvement {
        Involvement::Offered(role) => (call.transfer_mut().is_some_and(Transfer::alert), role),
        _ => {
            let device = call.ringing_mut().get_mut(&sender.device);
            (device.is_some_and(RingingDevice::alert), Role::Caller)
        }
    };
    if is_first {
        let ringing = CallRingingEvent {
            call_id: id,
            callee_id: sender.user.clone(),
            device_id: sender.device.clone(),
        };
        hub.outbox.send_to(call, to, &ringing);
    }
    Ok(CallAnswer { call_id: id, room_id: None })
}
