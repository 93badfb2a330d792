//! `call:transfer { callId?, deviceId }`: go on with the call on another device of this user, which
//! rings. The sender hears `call:ended` once it has the call, else `call:transferred`.

use callbox_base::{
    clock::Now,
    ids::{CallId, DeviceId},
};
use serde::Deserialize;
use utoipa::ToSchema;

use super::{locate, payload::parse};
use crate::{
    ErrorCode, Hub, RequestError, Timestamp, answers::CallTransferAnswer, call::Transfer,
    hub::transfer, payload::Fields, sender::Sender,
};

/// Go on with the call on another device.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CallTransferRequest {
    /// The call; optional in a session with exactly one call.
    call_id: Option<CallId>,
    /// The device, which must be connected.
    device_id: DeviceId,
}

pub(super) fn apply(
    hub: &mut Hub,
    now: Now,
    sender: &Sender,
    data: &Fields<'_>,
) -> Result<CallTransferAnswer, RequestError> {
    let payload: CallTransferRequest = parse(data)?;
    let (id, role) = locate::accepted_side(hub, sender, payload.call_id)?;
    let device = payload.device_id;
    let refused = |why| Err(RequestError::new(ErrorCode::InvalidTarget, why));
    if device == sender.device {
        return refused("The call is on this device already.");
    }
    let session = hub.users.session_on(&sender.user, &device);
    let Some(session) = session.filter(|session| hub.sessions.is_here(*session)) else {
        return refused("No device of yours with this name is connected.");
    };
    let until = now + hub.config.ring_timeout;
    let call = hub.calls.find(id)?;
    if call.transfer().is_some() {
        let message = "The call is being handed to another device already.";
        return Err(RequestError::new(ErrorCode::InvalidState, message));
    }
    call.begin_transfer(Transfer::new(role, device, session, until), &mut hub.timers);
    transfer::offer(hub, now, id);
    Ok(CallTransferAnswer { call_id: id, expires_at: Timestamp(until.unix) })
}
