//! `call:initiate { targetUserId, callType, metadata? }`: call a user.

use callbox_base::{
    clock::Now,
    ids::{CallId, UserId},
};
use serde::Deserialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::payload::parse;
use crate::{
    CallEvent, CallType, EndReason, ErrorCode, Hub, RequestError,
    answers::CallInitiateAnswer,
    call::{Call, Party, PerRole, Step},
    hub::{
        blocking, call_end, credentials, glare, limits, push_wait, replaceable_calls, reporting,
        ringing, views,
    },
    payload::Fields,
    sender::Sender,
};

/// Call a user.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CallInitiateRequest<'a> {
    /// The user to call.
    target_user_id: UserId,
    /// The media of the call.
    call_type: CallType,
    /// Any JSON, shown to the callee; up to 4 KiB.
    #[serde(borrow)]
    #[schema(value_type = Option<Value>)]
    metadata: Option<&'a RawValue>,
}

pub(super) fn apply(
    hub: &mut Hub,
    now: Now,
    sender: &Sender,
    data: &Fields<'_>,
) -> Result<CallInitiateAnswer, RequestError> {
    let payload: CallInitiateRequest<'_> = parse(data)?;
    let callee = payload.target_user_id;
    if callee == sender.user {
        return Err(RequestError::new(ErrorCode::InvalidTarget, "You cannot call yourself."));
    }
    if let Some(id) = glare::find(hub, sender, &callee) {
        return glare::resolve(hub, now, sender, id);
    }
    let session = hub.sessions.get(sender.session);
    if !session.is_some_and(|session| session.token().grants().may_call(&callee)) {
        let message = "Your token does not let you call this user.";
        return Err(RequestError::new(ErrorCode::InvalidTarget, message));
    }
    if blocking::is_blocked(hub, &sender.user, &callee) {
        let message = "This user does not take calls from you.";
        return Err(RequestError::new(ErrorCode::InvalidTarget, message));
    }
    let metadata = limits::checked_metadata(hub, payload.metadata)?;
    replaceable_calls::check_own_calls(hub, sender)?;
    replaceable_calls::check_ringing(hub, sender, &callee)?;
    limits::check_all_calls(hub)?;
    limits::count_call_to(hub, now, &sender.user, &callee)?;
    replaceable_calls::end_for_call(hub, now, sender);
    replaceable_calls::end_for_ringing(hub, now, sender, &callee);

    let busy = limits::is_busy(hub, &callee);
    let devices = hub.users.get(&callee).map(|user| user.devices().clone()).unwrap_or_default();
    // All limits are checked: from here on there is a call, which may be over at once.
    let id = CallId::generate(now.unix_ms(), &mut hub.rng);
    let caller_name = hub.sessions.get(sender.session).and_then(|session| session.token().name());
    let caller_name = caller_name.map(Into::into);
    let parties = PerRole {
        caller: Party::new(sender.user.clone(), caller_name)
            .with_device(sender.device.clone(), sender.session),
        callee: Party::new(callee.clone(), views::display_name(hub, &callee)),
    };
    let mut call =
        Call::new(now, id, payload.call_type, metadata, parties, hub.config.ring_timeout);
    let expires_at = call.expires_at();
    call.ringing_mut().start(&mut hub.timers);
    hub.calls.insert(call);
    hub.calls.step(id, Step::Initiate)?;
    hub.users.add_call(&sender.user, id);
    hub.users.add_call(&callee, id);
    hub.counters.calls_started += 1;
    reporting::report_step(hub, now, id, CallEvent::Initiated);

    if !busy {
        for (device, session) in &devices {
            ringing::ring(hub, now, id, *session, device);
        }
    }
    let state = hub.calls.find(id)?.state();
    let ice = credentials::mint_for_session(hub, now, sender.session, Some(id));
    let answer = CallInitiateAnswer {
        call_id: id,
        state,
        call_type: payload.call_type,
        glare: None,
        expires_at: Some(expires_at),
        ice_servers: ice.ice_servers,
        ice_transport_policy: ice.ice_transport_policy,
        turn_credentials: ice.turn_credentials,
    };
    if busy {
        call_end::end(hub, now, id, EndReason::Busy);
        return Ok(answer);
    }
    if devices.is_empty() {
        push_wait::reach_no_device(hub, now, id);
    }
    if let Some(call) = hub.calls.get(id) {
        hub.outbox.show_to_all(now, call);
    }
    Ok(answer)
}
