//! Participants leave a room, and the last one ends it.

use callbox_base::{
    clock::Now,
    ids::{CallId, ParticipantId, SessionId, UserId},
};

use crate::{
    EndReason, Hub, Output,
    call::{Step, seconds},
    ended_calls::EndedCall,
    events::{CallEndedEvent, RoomLeftEvent},
    members::{Lane, Member},
    timer::Timer,
};

/// Why somebody leaves a room, or all of them do.
#[derive(Debug)]
pub(crate) struct Leaving {
    pub reason: EndReason,
    /// Who wanted it; nobody where the server did.
    pub by: Option<UserId>,
    /// The session that has the answer to its request to leave, and needs no event.
    pub asked: Option<SessionId>,
}

impl Leaving {
    /// Nobody asked for it.
    pub fn for_reason(reason: EndReason) -> Self {
        Self { reason, by: None, asked: None }
    }
}

impl Hub {
    /// The one way out of a room that goes on: the participant's timers and journals go, it is told
    /// why unless it knows, and the others hear of it. If there are none the room is over.
    pub(crate) fn leave_room(
        &mut self,
        now: Now,
        id: CallId,
        participant: ParticipantId,
        leaving: &Leaving,
    ) {
        let Some(user) = self.remove_participant(now, id, participant, leaving) else { return };
        let Some(room) = self.rooms.get(id) else { return };
        if room.participants.is_empty() {
            return self.finish_room(now, id, leaving);
        }
        let left = RoomLeftEvent {
            call_id: id,
            room_id: room.name.clone(),
            participant_id: participant,
            user_id: user.clone(),
            reason: leaving.reason,
        };
        let still_in = room.has(&user);
        self.outbox.send_to_all(room.sessions(), &left);
        if !still_in {
            self.outbox.push(Output::RevokeUser { call: id, user });
        }
    }

    /// Ends a room for everyone in it.
    pub(crate) fn end_room(&mut self, now: Now, id: CallId, reason: EndReason) {
        let Some(room) = self.rooms.get(id) else { return };
        let leaving = Leaving::for_reason(reason);
        for participant in room.participants.keys().copied().collect::<Vec<_>>() {
            self.remove_participant(now, id, participant, &leaving);
        }
        self.finish_room(now, id, &leaving);
    }

    /// Takes a participant out of a room. Gives the user.
    fn remove_participant(
        &mut self,
        now: Now,
        id: CallId,
        participant: ParticipantId,
        leaving: &Leaving,
    ) -> Option<UserId> {
        self.stop_waiting(Member::Participant(id, participant));
        let room = self.rooms.get_mut(id)?;
        let occupant = room.participants.remove(&participant)?;
        room.remember(now, participant, &occupant);
        let counters = &mut self.counters;
        for ((from, to), journal) in
            room.journals.extract_if(.., |(from, to), _| [*from, *to].contains(&participant))
        {
            if let Some(at) = journal.hold_until {
                self.timers.clear(at, Timer::Hold(Lane::Between(id, from, to)));
            }
            counters.candidates_dropped += journal.len() as u64;
        }
        let user = occupant.party.user;
        if !room.has(&user) {
            self.users.update(&user, |entry| entry.calls.retain(|call| *call != id));
        }
        if let Some(session) = occupant.party.session
            && leaving.asked != Some(session)
        {
            let ended = CallEndedEvent {
                call_id: id,
                room_id: Some(room.name.clone()),
                reason: leaving.reason,
                ended_by: leaving.by.clone(),
                duration: seconds(room.duration(now)),
            };
            self.outbox.send(session, &ended);
        }
        Some(user)
    }

    /// A room that nobody is in any more is over.
    fn finish_room(&mut self, now: Now, id: CallId, leaving: &Leaving) {
        let was_connected = self.rooms.get(id).is_some_and(|room| room.state().has_media());
        if self.rooms.step(id, Step::End(leaving.reason)).is_err() {
            return;
        }
        let Some(room) = self.rooms.remove(id) else { return };
        if let Some(at) = room.fresh_at {
            self.timers.clear(at, Timer::Credentials(id));
        }
        let record = room.final_record(now, leaving.reason, leaving.by.clone());
        self.finalize(now, EndedCall::new(record, room.relay, was_connected), leaving.reason);
    }
}
