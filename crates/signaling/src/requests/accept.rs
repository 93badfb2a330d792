//! `call:accept { callId? }`: take the call on this device. The first accept wins: it empties the
//! list of ringing devices, and only a device on that list can accept.

use callbox_base::{clock::Now, ids::CallId};

use super::{CallRequest, Fields, Sender, must_ring, parse};
use crate::{
    CallEvent, EndReason, Event, Hub, RequestError,
    answers::CallStateAnswer,
    call::{Place, Role, Step},
    events::{CallAcceptedEvent, CallEndedEvent, CallReconnectingEvent},
    members::Lane,
    timer::Timer,
};

pub(super) fn apply(
    hub: &mut Hub,
    now: Now,
    sender: &Sender,
    data: &Fields<'_>,
) -> Result<CallStateAnswer, RequestError> {
    let payload: CallRequest = parse(data)?;
    let (id, place) = hub.locate(sender, payload.call_id)?;
    if let Place::Offered(role) = place {
        hub.take_over(now, id, role, sender);
        return Ok(CallStateAnswer {
            call_id: id,
            room_id: None,
            state: hub.calls.find(id)?.state(),
        });
    }
    must_ring(&place, "You are the caller.", "You have accepted the call.")?;
    take(hub, now, sender, id)
}

/// Lets a ringing device have the call.
pub(super) fn take(
    hub: &mut Hub,
    now: Now,
    sender: &Sender,
    id: CallId,
) -> Result<CallStateAnswer, RequestError> {
    // While it only rang it was none of the callee's own calls; from now on it is.
    hub.calls.find(id)?.state().after(Step::Accept)?;
    hub.check_own_calls(sender)?;
    hub.give_way(now, sender);
    hub.calls.step(id, Step::Accept)?;
    hub.users.watches.touch(&sender.user);
    let call = hub.calls.find(id)?;
    hub.timers.clear(call.ring_until.instant, Timer::Ring(id));
    call.times.start(now);
    call.parties.callee.device = Some(sender.device.clone());
    call.parties.callee.session = Some(sender.session);
    let others = std::mem::take(&mut call.ringing).into_iter();

    let ended = Event::of(&CallEndedEvent {
        call_id: id,
        room_id: None,
        reason: EndReason::AnsweredElsewhere,
        ended_by: Some(sender.user.clone()),
        duration: 0.0,
    });
    for (_, device) in others.filter(|(_, device)| device.session != sender.session) {
        hub.outbox.send_event(device.session, ended.clone());
    }
    let accepted = CallAcceptedEvent {
        call_id: id,
        callee_id: sender.user.clone(),
        device_id: sender.device.clone(),
    };
    hub.outbox.send_to(call, Role::Caller, &accepted);
    hub.outbox.show_to_all(now, call);
    if call.parties.caller.is_lost() {
        let user_id = call.parties.caller.user.clone();
        let lost =
            CallReconnectingEvent { call_id: id, room_id: None, participant_id: None, user_id };
        hub.outbox.send(sender.session, &lost);
    }
    let answer = CallStateAnswer { call_id: id, room_id: None, state: call.state() };
    hub.report(now, id, CallEvent::Accepted);
    hub.hand_over(now, Lane::From(id, Role::Caller));
    hub.schedule_credential_refresh(now, id);
    Ok(answer)
}
