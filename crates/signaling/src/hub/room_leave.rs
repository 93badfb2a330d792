//! Participants leave a room, and the last one ends it.

use callbox_base::{
    clock::Now,
    ids::{CallId, ParticipantId, SessionId, UserId},
};

use super::{Hub, finalize};
use crate::{
    EndReason, Output,
    call::{HasLifecycle, Step, seconds},
    ended_calls::EndedCall,
    events::{CallEndedEvent, RoomLeftEvent},
};

/// The reason for which a participant leaves a room, or all of them do.
#[derive(Debug)]
pub(super) struct Leaving {
    pub reason: EndReason,
    /// The user who asked for it; `None` if the server did.
    pub by: Option<UserId>,
    /// The session that gets the answer to its request to leave, and needs no event.
    pub requested_by: Option<SessionId>,
}

impl Leaving {
    /// Makes the leaving that the server causes for this reason.
    pub(super) fn for_reason(reason: EndReason) -> Self {
        Self { reason, by: None, requested_by: None }
    }
}

/// Removes a participant from a room that goes on: clears its timers and journals, tells it why
/// unless it knows, and tells the others. Ends the room if nobody is left.
pub(super) fn leave(
    hub: &mut Hub,
    now: Now,
    id: CallId,
    participant: ParticipantId,
    leaving: &Leaving,
) {
    let Some(user) = remove_participant(hub, now, id, participant, leaving) else { return };
    let Some(room) = hub.rooms.get(id) else { return };
    if room.len() == 0 {
        return finish(hub, now, id, leaving);
    }
    let left = RoomLeftEvent {
        call_id: id,
        room_id: room.name().clone(),
        participant_id: participant,
        user_id: user.clone(),
        reason: leaving.reason,
    };
    let still_in = room.has(&user);
    hub.outbox.send_to_all(room.sessions(), &left);
    if !still_in {
        hub.outbox.push(Output::RevokeUser { call: id, user });
    }
}

/// Ends a room for everyone in it.
pub(super) fn end(hub: &mut Hub, now: Now, id: CallId, reason: EndReason) {
    let Some(room) = hub.rooms.get(id) else { return };
    let leaving = Leaving::for_reason(reason);
    for participant in room.ids() {
        remove_participant(hub, now, id, participant, &leaving);
    }
    finish(hub, now, id, &leaving);
}

/// Removes a participant from a room. Returns the user.
fn remove_participant(
    hub: &mut Hub,
    now: Now,
    id: CallId,
    participant: ParticipantId,
    leaving: &Leaving,
) -> Option<UserId> {
    let room = hub.rooms.get_mut(id)?;
    let (party, dropped) = room.remove(now, participant, &mut hub.timers)?;
    hub.counters.candidates_dropped += dropped as u64;
    let user = party.user().clone();
    if !room.has(&user) {
        hub.users.remove_call(&user, id);
    }
    if let Some(session) = party.session()
        && leaving.requested_by != Some(session)
    {
        let ended = CallEndedEvent {
            call_id: id,
            room_id: Some(room.name().clone()),
            reason: leaving.reason,
            ended_by: leaving.by.clone(),
            duration: seconds(room.lifecycle().duration(now)),
        };
        hub.outbox.send(session, &ended);
    }
    Some(user)
}

/// Ends a room without participants.
fn finish(hub: &mut Hub, now: Now, id: CallId, leaving: &Leaving) {
    let was_connected = hub.rooms.get(id).is_some_and(|room| room.state().has_media());
    if hub.rooms.step(id, Step::End(leaving.reason)).is_err() {
        return;
    }
    let Some(mut room) = hub.rooms.remove(id) else { return };
    room.lifecycle_mut().stop_credential_refresh(&mut hub.timers);
    let record = room.final_record(now, leaving.reason, leaving.by.clone());
    finalize::finalize(
        hub,
        now,
        EndedCall::new(record, room.lifecycle().relay().clone(), was_connected),
        leaving.reason,
    );
}
