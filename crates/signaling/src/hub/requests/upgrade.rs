//! `call:upgrade { callId?, callType, accept? }`: this side wants to carry something else, a call
//! of sound to become one of pictures. The other side hears the same, and says yes by asking the
//! same itself, or no with `accept: false`. Then both hear `call:upgraded`.

use callbox_base::{clock::Now, ids::CallId};
use serde::Deserialize;
use utoipa::ToSchema;

use super::{locate, payload::parse};
use crate::{
    CallType, ErrorCode, Hub, RequestError,
    answers::CallUpgradeAnswer,
    events::{CallUpgradeEvent, CallUpgradedEvent},
    payload::Fields,
    sender::Sender,
};

/// Carry something else from now on, or not.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CallUpgradeRequest {
    /// The call; optional in a session with exactly one call.
    call_id: Option<CallId>,
    /// The media that the call would have.
    call_type: CallType,
    /// False for no to what the other side asked for.
    #[serde(default = "yes")]
    accept: bool,
}

fn yes() -> bool {
    true
}

pub(super) fn apply(
    hub: &mut Hub,
    now: Now,
    sender: &Sender,
    data: &Fields<'_>,
) -> Result<CallUpgradeAnswer, RequestError> {
    let payload: CallUpgradeRequest = parse(data)?;
    let (id, role) = locate::accepted_side(hub, sender, payload.call_id)?;
    let call = hub.calls.find(id)?;
    let is_requested = call.upgrade() == Some((role.other(), payload.call_type));
    match (is_requested, payload.accept) {
        (false, false) => {
            let message = "The other side has not asked for that.";
            return Err(RequestError::new(ErrorCode::InvalidState, message));
        }
        (false, true) if call.kind() == payload.call_type => {
            let message = format!("The call is of type {} already.", call.kind());
            return Err(RequestError::new(ErrorCode::InvalidState, message));
        }
        (false, true) => {
            call.ask_upgrade(role, payload.call_type);
            let upgrade = CallUpgradeEvent {
                call_id: id,
                from: sender.user.clone(),
                from_device: sender.device.clone(),
                call_type: payload.call_type,
            };
            hub.outbox.send_to(call, role.other(), &upgrade);
        }
        (true, accepted) => {
            call.answer_upgrade(accepted);
            let upgraded = CallUpgradedEvent { call_id: id, call_type: call.kind(), accepted };
            for side in [role, role.other()] {
                hub.outbox.send_to(call, side, &upgraded);
            }
            if accepted {
                hub.outbox.show_to_all(now, call);
            }
        }
    }
    Ok(CallUpgradeAnswer { call_id: id, call_type: hub.calls.find(id)?.kind() })
}
