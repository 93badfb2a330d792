//! The ends of calls.

use callbox_base::{clock::Now, ids::CallId};

use super::{Hub, finalize, room_leave};
use crate::{
    CallRecord, EndReason, Event, RequestError,
    answers::CallEndAnswer,
    call::{Call, HasLifecycle, Involvement, Role, Step, seconds},
    ended_calls::EndedCall,
    events::{CallEndedEvent, CallStateEvent},
    sender::Sender,
};

/// Ends a call or a room that nobody asked to end.
pub(super) fn end(hub: &mut Hub, now: Now, id: CallId, reason: EndReason) {
    match hub.rooms.get(id) {
        Some(_) => room_leave::end(hub, now, id, reason),
        None => drop(finish(hub, now, id, reason, None)),
    }
}

/// Ends a call at the request of `sender`, and returns the answer. The sender learns of the end
/// from the answer, everyone else from a `call:ended`.
pub(super) fn end_for(
    hub: &mut Hub,
    now: Now,
    id: CallId,
    reason: EndReason,
    sender: &Sender,
) -> Result<CallEndAnswer, RequestError> {
    let record = finish(hub, now, id, reason, Some(sender));
    let record = record.ok_or_else(RequestError::call_not_found)?;
    let duration = record.duration.unwrap_or_default();
    Ok(CallEndAnswer { call_id: id, state: record.state, reason, duration })
}

/// Ends a call in every case: removes it with its timers and journals, and tells everyone who can
/// be told why.
fn finish(
    hub: &mut Hub,
    now: Now,
    id: CallId,
    reason: EndReason,
    actor: Option<&Sender>,
) -> Option<CallRecord> {
    let was_connected = hub.calls.get(id)?.state().has_media();
    hub.calls.step(id, Step::End(reason)).ok()?;
    let mut call = hub.calls.remove(id)?;
    hub.counters.candidates_dropped += call.stop(&mut hub.timers) as u64;
    for role in [Role::Caller, Role::Callee] {
        hub.users.remove_call(call.party(role).user(), id);
    }

    let record = call.final_record(now, reason, actor.map(|actor| actor.user.clone()));
    let state_event = Event::of(&CallStateEvent { call_id: id, call: record.clone() });
    let refused_by_device =
        actor.is_some_and(|actor| call.involvement_of(actor.session) == Some(Involvement::Ringing));
    for session in call.members() {
        if actor.is_none_or(|actor| actor.session != session) {
            let elsewhere =
                refused_by_device && call.involvement_of(session) == Some(Involvement::Ringing);
            let reason = if elsewhere { EndReason::RejectedElsewhere } else { reason };
            let ended = CallEndedEvent {
                call_id: id,
                room_id: None,
                reason,
                ended_by: record.ended_by.clone(),
                duration: seconds(call.lifecycle().duration(now)),
            };
            hub.outbox.send(session, &ended);
        }
        hub.outbox.send_event(session, state_event.clone());
    }
    finalize::finalize(
        hub,
        now,
        EndedCall::new(record.clone(), call.lifecycle().relay().clone(), was_connected),
        reason,
    );
    Some(record)
}

/// Ends a call whose time to ring or to reconnect is over.
pub(super) fn give_up(hub: &mut Hub, now: Now, id: CallId, reason: EndReason) {
    // A device of the callee that rings, or has accepted, is back.
    let is_orphaned = hub.calls.get(id).is_some_and(Call::is_orphaned);
    end(hub, now, id, if is_orphaned { EndReason::ServerCrashed } else { reason });
}

/// Ends all live calls of two with the server.
pub(super) fn end_all(hub: &mut Hub, now: Now) {
    let calls: Vec<CallId> = hub.calls.iter().map(|call| call.id()).collect();
    for call in calls {
        end(hub, now, call, EndReason::ServerShutdown);
    }
}

/// Stops the wait for a decision about holding a call. Returns true if there was one.
pub(super) fn stop_hold_decision(hub: &mut Hub, id: CallId) -> bool {
    let call = hub.calls.get_mut(id);
    call.is_some_and(|call| call.ringing_mut().stop_hold_decision(&mut hub.timers))
}
