//! `call:accept { callId? }`: take the call on this device. The first accept wins: it empties the
//! list of ringing devices, and only a device on that list can accept.

use serde_json::{Value, json};

use super::{Answered, CallRef, Sender, about, must_ring, parse};
use crate::{
    clock::Now,
    ids::CallId,
    signaling::{
        CallEvent, EndReason, EventName, Hub,
        call::{Role, Step},
        hub::Timer,
    },
};

pub(super) fn apply(hub: &mut Hub, now: Now, sender: &Sender, data: &Value) -> Answered {
    let payload: CallRef = parse(data)?;
    let (id, place) = hub.locate(sender, payload.call_id)?;
    must_ring(&place, "You are the caller.", "You have accepted the call.")?;
    take(hub, now, sender, id)
}

/// Lets a ringing device have the call.
pub(super) fn take(hub: &mut Hub, now: Now, sender: &Sender, id: CallId) -> Answered {
    hub.calls.step(id, Step::Accept)?;
    let call = hub.calls.find(id)?;
    hub.timers.clear(call.ring_until.instant, Timer::Ring(id));
    call.started = Some(now.unix);
    call.parties.callee.device = Some(sender.device.clone());
    call.parties.callee.session = Some(sender.session);
    let others = std::mem::take(&mut call.ringing).into_iter();

    for (_, device) in others.filter(|(_, device)| device.session != sender.session) {
        let data = json!({
            "callId": id,
            "reason": EndReason::AnsweredElsewhere,
            "endedBy": sender.user,
            "duration": 0.0,
        });
        hub.outbox.send(device.session, EventName::CallEnded, data);
    }
    let data = json!({ "callId": id, "calleeId": sender.user, "deviceId": sender.device });
    hub.outbox.send_to(call, Role::Caller, EventName::CallAccepted, data);
    hub.outbox.show_to_all(now, call);
    if call.parties.caller.is_lost() {
        let data = json!({ "callId": id, "userId": call.parties.caller.user });
        hub.outbox.send(sender.session, EventName::CallReconnecting, data);
    }
    let mut answer = about(id);
    answer.insert("state".into(), json!(call.state()));
    hub.report(now, id, CallEvent::Accepted);
    hub.hand_over(now, id, Role::Caller);
    hub.freshen_later(now, id);
    Ok(answer)
}
