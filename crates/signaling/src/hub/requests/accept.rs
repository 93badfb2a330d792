//! `call:accept { callId? }`: take the call on this device. The first accept wins: it empties the
//! list of ringing devices, and only a device on that list can accept.

use callbox_base::{clock::Now, ids::CallId};

use super::{
    locate,
    payload::{CallRequest, parse},
};
use crate::{
    CallEvent, EndReason, Event, Hub, RequestError,
    answers::CallStateAnswer,
    call::{Involvement, Role, Step},
    events::{CallAcceptedEvent, CallEndedEvent, CallReconnectingEvent},
    hub::{credentials, relaying, reporting, transfer, yielding},
    member::Lane,
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
    take(hub, now, sender, id)
}

/// Lets a ringing device have the call.
pub(super) fn take(
    hub: &mut Hub,
    now: Now,
    sender: &Sender,
    id: CallId,
) -> Result<CallStateAnswer, RequestError> {
    // A ringing call does not count as the callee's own; from now on it does.
    hub.calls.find(id)?.state().after(Step::Accept)?;
    yielding::check_own_calls(hub, sender)?;
    yielding::make_room_for_call(hub, now, sender);
    hub.calls.step(id, Step::Accept)?;
    hub.users.touch(&sender.user);
    let call = hub.calls.find(id)?;
    let (device, session) = (sender.device.clone(), sender.session);
    let rang = call.accept(now, device, session, &mut hub.timers);

    let ended = Event::of(&CallEndedEvent {
        call_id: id,
        room_id: None,
        reason: EndReason::AnsweredElsewhere,
        ended_by: Some(sender.user.clone()),
        duration: 0.0,
    });
    for other in rang.into_iter().filter(|session| *session != sender.session) {
        hub.outbox.send_event(other, ended.clone());
    }
    let accepted = CallAcceptedEvent {
        call_id: id,
        callee_id: sender.user.clone(),
        device_id: sender.device.clone(),
    };
    hub.outbox.send_to(call, Role::Caller, &accepted);
    hub.outbox.show_to_all(now, call);
    if call.party(Role::Caller).is_lost() {
        let user_id = call.party(Role::Caller).user().clone();
        let lost =
            CallReconnectingEvent { call_id: id, room_id: None, participant_id: None, user_id };
        hub.outbox.send(sender.session, &lost);
    }
    let answer = CallStateAnswer { call_id: id, room_id: None, state: call.state() };
    reporting::report_step(hub, now, id, CallEvent::Accepted);
    relaying::deliver_journal(hub, now, Lane::From(id, Role::Caller));
    credentials::schedule_refresh(hub, now, id);
    Ok(answer)
}
