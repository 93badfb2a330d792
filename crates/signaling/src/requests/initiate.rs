//! `call:initiate { targetUserId, callType, metadata? }`: call a user.

use callbox_base::{
    clock::Now,
    ids::{CallId, UserId},
};
use serde::Deserialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::{Fields, Sender, accept, parse};
use crate::{
    CallEvent, CallState, CallType, EndReason, ErrorCode, Hub, RequestError,
    answers::CallInitiateAnswer,
    call::{Call, Party, PerRole, Place, Role, Step},
    timer::Timer,
};

/// Call a user.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CallInitiateRequest<'a> {
    /// Whom.
    target_user_id: UserId,
    /// What the call is to carry.
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
    if let Some(id) = find_glare(hub, sender, &callee) {
        return resolve_glare(hub, now, sender, id);
    }
    let session = hub.sessions.get(&sender.session);
    if !session.is_some_and(|session| session.grants.may_call(&callee)) {
        let message = "Your token does not let you call this user.";
        return Err(RequestError::new(ErrorCode::InvalidTarget, message));
    }
    if hub.is_blocked(&sender.user, &callee) {
        let message = "This user does not take calls from you.";
        return Err(RequestError::new(ErrorCode::InvalidTarget, message));
    }
    let metadata = hub.metadata(payload.metadata)?;
    hub.check_own_calls(sender)?;
    hub.check_ringing(sender, &callee)?;
    hub.check_all_calls()?;
    hub.count_call_to(now, &sender.user, &callee)?;
    hub.give_way(now, sender);
    hub.give_way_at(now, sender, &callee);

    let busy = hub.is_busy(&callee);
    let devices = hub.users.get(&callee).map(|user| user.devices.clone()).unwrap_or_default();
    // Past the limits: from here on there is a call, which may be over at once.
    let id = CallId::generate(now.unix_ms(), &mut hub.rng);
    let caller_name = hub.sessions.get(&sender.session).and_then(|session| session.name.clone());
    let parties = PerRole {
        caller: Party {
            device: Some(sender.device.clone()),
            session: Some(sender.session),
            ..Party::new(sender.user.clone(), caller_name)
        },
        callee: Party::new(callee.clone(), hub.name_of(&callee)),
    };
    let call = Call::new(now, id, payload.call_type, metadata, parties, hub.config.ring_timeout);
    let expires_at = call.expires_at();
    hub.timers.set(call.ring_until.instant, Timer::Ring(id));
    hub.calls.insert(call);
    hub.calls.step(id, Step::Initiate)?;
    hub.users.update(&sender.user, |user| user.calls.push(id));
    hub.users.update(&callee, |user| user.calls.push(id));
    hub.counters.calls_started += 1;
    hub.report(now, id, CallEvent::Initiated);

    if !busy {
        for (device, session) in &devices {
            hub.ring(now, id, *session, device);
        }
    }
    let state = hub.calls.find(id)?.state();
    let ice = hub.ice_for(now, sender.session, Some(id));
    let answer = CallInitiateAnswer {
        call_id: id,
        state,
        call_type: payload.call_type,
        glare: None,
        expires_at: Some(expires_at),
        ice_servers: ice.ice_servers,
        turn_credentials: ice.turn_credentials,
    };
    if busy {
        hub.end(now, id, EndReason::Busy);
        return Ok(answer);
    }
    if devices.is_empty() {
        hub.reach_nobody(now, id);
    }
    if let Some(call) = hub.calls.get(id) {
        hub.outbox.show_to_all(now, call);
    }
    Ok(answer)
}

/// A call of the other user that rings at this device, or that it has just taken: the two have called
/// each other (glare).
fn find_glare(hub: &Hub, sender: &Sender, other: &UserId) -> Option<CallId> {
    let calls = hub.users.get(&sender.user).map_or(&[][..], |user| &user.calls);
    calls.iter().copied().find(|id| {
        let Some(call) = hub.calls.get(*id) else { return false };
        let is_new = call.state() == CallState::Connecting || !call.state().is_accepted();
        let here = [Some(Place::Ringing), Some(Place::Party(Role::Callee))];
        is_new
            && call.parties.caller.user == *other
            && here.contains(&call.place_of(sender.session))
    })
}

/// There is one call: whoever comes second takes the other's.
fn resolve_glare(
    hub: &mut Hub,
    now: Now,
    sender: &Sender,
    id: CallId,
) -> Result<CallInitiateAnswer, RequestError> {
    if hub.calls.find(id)?.state() != CallState::Connecting {
        accept::take(hub, now, sender, id)?;
    }
    let call = hub.calls.find(id)?;
    let (state, call_type) = (call.state(), call.kind);
    let ice = hub.ice_for(now, sender.session, Some(id));
    Ok(CallInitiateAnswer {
        call_id: id,
        state,
        call_type,
        glare: Some(true),
        expires_at: None,
        ice_servers: ice.ice_servers,
        turn_credentials: ice.turn_credentials,
    })
}
