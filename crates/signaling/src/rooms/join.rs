//! Devices come into a room, are lost and come back.

use callbox_base::{
    clock::Now,
    ids::{CallId, DeviceId, ParticipantId, RoomId, SessionId, UserId},
};

use super::{Occupant, Room};
use crate::{
    CallEvent, CallType, ErrorCode, Hub, Output, RequestError,
    call::Step,
    events::{Relayed, RoomJoinedEvent, RoomSyncEvent, RoomView},
    members::{Lane, Member},
};

impl Hub {
    /// Which participant of a room the sender is. Who is not in it does not learn whether it is
    /// there.
    pub(crate) fn locate_participant(
        &self,
        session: SessionId,
        name: &RoomId,
        call: Option<CallId>,
    ) -> Result<(CallId, ParticipantId), RequestError> {
        let room = self.rooms.named(name);
        let place = room.and_then(|room| Some((room.id, room.participant_of(session)?)));
        let (id, participant) = place
            .ok_or_else(|| RequestError::not_a_participant("This device is not in the room."))?;
        if call.is_some_and(|call| call != id) {
            let message = "That call is over: the room has begun another one since.";
            return Err(RequestError::new(ErrorCode::CallEnded, message));
        }
        Ok((id, participant))
    }

    /// The way from one participant to another.
    pub(crate) fn lane_to(
        &self,
        call: CallId,
        from: ParticipantId,
        to: ParticipantId,
    ) -> Result<Lane, RequestError> {
        let is_there = |room: &Room| to != from && room.participants.contains_key(&to);
        if self.rooms.get(call).is_some_and(is_there) {
            return Ok(Lane::Between(call, from, to));
        }
        let message = "Nobody else in the room has this participantId, or not any more.";
        Err(RequestError::new(ErrorCode::ParticipantNotFound, message))
    }

    /// Makes a room that nobody is in yet.
    pub(crate) fn begin_room(&mut self, now: Now, name: RoomId, kind: CallType) -> CallId {
        let id = CallId::generate(now.unix_ms(), &mut self.rng);
        self.rooms.insert(Room::new(now, id, name, kind));
        self.counters.calls_started += 1;
        self.schedule_credential_refresh(now, id);
        id
    }

    /// A device comes into a room that has a place for it.
    pub(crate) fn come_in(&mut self, now: Now, id: CallId, occupant: Occupant) {
        let participant = ParticipantId::generate(now.unix_ms(), &mut self.rng);
        let Some(room) = self.rooms.get_mut(id) else { return };
        let (user, is_first) = (occupant.party.user.clone(), room.participants.is_empty());
        let shown = occupant.shown(participant);
        if !room.has(&user) {
            self.users.update(&user, |entry| entry.calls.push(id));
            self.outbox.push(Output::ReadmitUser { call: id, user });
        }
        room.participants.insert(participant, occupant);
        let joined =
            RoomJoinedEvent { call_id: id, room_id: room.name.clone(), participant: shown };
        self.tell_others(Member::Participant(id, participant), &joined);
        if is_first {
            self.report(now, id, CallEvent::Initiated);
        } else if self.rooms.step(id, Step::Meet).is_ok() {
            if let Some(room) = self.rooms.get_mut(id) {
                room.times.start(now);
            }
            self.report(now, id, CallEvent::Accepted);
        }
    }

    /// The room as one participant sees it, with relay credentials for it.
    pub(crate) fn room_view(
        &self,
        now: Now,
        id: CallId,
        participant: ParticipantId,
        session: SessionId,
    ) -> Result<RoomView, RequestError> {
        let room = self.rooms.get(id).ok_or_else(RequestError::call_not_found)?;
        let ice = self.ice_for(now, session, Some(id));
        Ok(RoomView {
            call_id: id,
            room_id: room.name.clone(),
            call_type: room.kind,
            participant_id: participant,
            participants: room.seen_by(participant),
            ice_servers: ice.ice_servers,
            turn_credentials: ice.turn_credentials,
            expires_at: ice.expires_at,
        })
    }

    /// A new session of a user who is in this room: if its device is, it has its place again.
    pub(crate) fn enter_room(
        &mut self,
        now: Now,
        id: CallId,
        session: SessionId,
        user: &UserId,
        device: &DeviceId,
    ) {
        let room = self.rooms.get(id);
        let Some(participant) = room.and_then(|room| room.device_of(user, device)) else { return };
        self.take_place(now, Member::Participant(id, participant), session);
        self.sync_room(now, id, participant, session);
        let Some(room) = self.rooms.get(id) else { return };
        let lanes: Vec<_> = room.journals.keys().filter(|(_, to)| *to == participant).collect();
        let lanes: Vec<_> = lanes.iter().map(|(from, to)| Lane::Between(id, *from, *to)).collect();
        lanes.into_iter().for_each(|lane| self.hand_over(now, lane));
    }

    /// Tells a device that has come back, and may have lost all that it had, where the room stands,
    /// and what has come from the others.
    fn sync_room(&mut self, now: Now, id: CallId, to: ParticipantId, session: SessionId) {
        let Ok(view) = self.room_view(now, id, to, session) else { return };
        let Some(room) = self.rooms.get(id) else { return };
        let relayed = view.participants.iter().filter_map(|other| {
            let from = other.participant_id;
            let (description, candidates) = room.journals.get(&(from, to))?.relayed();
            let is_any = description.is_some() || !candidates.is_empty();
            is_any.then_some(Relayed { from_participant: from, description, candidates })
        });
        let relayed = relayed.collect();
        self.outbox.send(session, &RoomSyncEvent { room: view, relayed });
    }

    /// A session that was lost goes on.
    pub(crate) fn come_back_to_room(&mut self, now: Now, id: CallId, session: SessionId) {
        let room = self.rooms.get(id);
        if let Some(participant) = room.and_then(|room| room.participant_of(session)) {
            self.go_on(now, Member::Participant(id, participant));
        }
    }

    /// A session has lost its connection, or is gone.
    pub(crate) fn lose_in_room(
        &mut self,
        now: Now,
        id: CallId,
        session: SessionId,
        may_resume: bool,
    ) {
        let room = self.rooms.get(id);
        if let Some(participant) = room.and_then(|room| room.participant_of(session)) {
            self.wait_for(now, Member::Participant(id, participant), may_resume);
        }
    }
}
