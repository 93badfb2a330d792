//! The accept of a call by a device that rings.

use callbox_base::{clock::Now, ids::CallId};

use super::{Hub, credentials, relaying, replaceable_calls, reporting};
use crate::{
    CallEvent, EndReason, Event, RequestError,
    answers::CallStateAnswer,
    call::{Role, Step},
    events::{CallAcceptedEvent, CallEndedEvent, CallReconnectingEvent},
    member::Lane,
    sender::Sender,
};

/// Accepts a call for a device that rings.
pub(super) fn accept(
    hub: &mut Hub,
    now: Now,
    sender: &Sender,
    id: CallId,
) -> Result<CallStateAnswer, RequestError> {
    // A ringing call does not count as the callee's own; from now on it does.
    hub.calls.find(id)?.state().after(Step::Accept)?;
    replaceable_calls::check_own_calls(hub, sender)?;
    replaceable_calls::end_for_call(hub, now, sender);
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
