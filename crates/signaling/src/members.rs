//! Who is in a call, a side of a call of two or a participant of a room, and the ways between them.
//! What holds for both is said here once.

use callbox_base::{
    clock::Now,
    ids::{CallId, ParticipantId, RoomId, SessionId},
};

use super::{
    CallEvent, CallState, Hub, RequestError,
    call::Calls,
    call::{Journal, Party, Role, Step},
    events::{CallReconnectedEvent, CallReconnectingEvent},
    message::EventPayload,
    rooms::Rooms,
    timer::Timer,
};

/// Somebody who is in a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Member {
    /// A side of a call of two.
    Side(CallId, Role),
    /// A participant of a room.
    Participant(CallId, ParticipantId),
}

/// The way from one member of a call to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Lane {
    /// From this side to the other.
    From(CallId, Role),
    /// From one participant to another.
    Between(CallId, ParticipantId, ParticipantId),
}

impl Member {
    /// The call it is in.
    pub fn call(self) -> CallId {
        match self {
            Self::Side(call, _) | Self::Participant(call, _) => call,
        }
    }

    /// What it is called in its room.
    pub fn participant(self) -> Option<ParticipantId> {
        match self {
            Self::Side(..) => None,
            Self::Participant(_, id) => Some(id),
        }
    }

    pub fn find<'a>(self, calls: &'a Calls, rooms: &'a Rooms) -> Option<&'a Party> {
        match self {
            Self::Side(call, role) => Some(&calls.get(call)?.parties[role]),
            Self::Participant(call, id) => Some(&rooms.get(call)?.participants.get(&id)?.party),
        }
    }

    pub fn find_mut<'a>(self, calls: &'a mut Calls, rooms: &'a mut Rooms) -> Option<&'a mut Party> {
        match self {
            Self::Side(call, role) => Some(&mut calls.get_mut(call)?.parties[role]),
            Self::Participant(call, id) => {
                Some(&mut rooms.get_mut(call)?.participants.get_mut(&id)?.party)
            }
        }
    }
}

impl Lane {
    /// Whose events go this way.
    pub fn from(self) -> Member {
        match self {
            Self::From(call, role) => Member::Side(call, role),
            Self::Between(call, from, _) => Member::Participant(call, from),
        }
    }

    /// Whom they reach.
    pub fn to(self) -> Member {
        match self {
            Self::From(call, role) => Member::Side(call, role.other()),
            Self::Between(call, _, to) => Member::Participant(call, to),
        }
    }

    /// The way back.
    pub fn back(self) -> Self {
        match self {
            Self::From(call, role) => Self::From(call, role.other()),
            Self::Between(call, from, to) => Self::Between(call, to, from),
        }
    }

    /// Its journal, if it was used.
    pub fn journal<'a>(self, calls: &'a Calls, rooms: &'a Rooms) -> Option<&'a Journal> {
        match self {
            Self::From(call, role) => Some(&calls.get(call)?.journals[role]),
            Self::Between(call, from, to) => rooms.get(call)?.journals.get(&(from, to)),
        }
    }

    /// Its journal, to be used. In a room there is none before.
    pub fn journal_mut<'a>(
        self,
        calls: &'a mut Calls,
        rooms: &'a mut Rooms,
    ) -> Option<&'a mut Journal> {
        match self {
            Self::From(call, role) => Some(&mut calls.get_mut(call)?.journals[role]),
            Self::Between(call, from, to) => {
                Some(rooms.get_mut(call)?.journals.entry((from, to)).or_default())
            }
        }
    }
}

impl Hub {
    pub(super) fn member(&self, member: Member) -> Option<&Party> {
        member.find(&self.calls, &self.rooms)
    }

    /// The member, for a request that has found it before.
    pub(super) fn member_mut(&mut self, member: Member) -> Result<&mut Party, RequestError> {
        member.find_mut(&mut self.calls, &mut self.rooms).ok_or_else(RequestError::call_not_found)
    }

    /// Where a live call or room stands.
    pub(super) fn state_of(&self, call: CallId) -> Result<CallState, RequestError> {
        let state = self.calls.get(call).map(|call| call.state());
        state
            .or_else(|| Some(self.rooms.get(call)?.state()))
            .ok_or_else(RequestError::call_not_found)
    }

    /// What the room is called, where it is one.
    pub(super) fn room_id(&self, call: CallId) -> Option<RoomId> {
        self.rooms.get(call).map(|room| room.name.clone())
    }

    /// The sessions of everyone else who is in the call.
    pub(super) fn others(&self, member: Member) -> Vec<SessionId> {
        match member {
            Member::Side(call, role) => {
                let call = self.calls.get(call);
                call.and_then(|call| call.parties[role.other()].session).into_iter().collect()
            }
            Member::Participant(call, id) => {
                let room = self.rooms.get(call);
                room.map(|room| room.sessions_but(id).collect()).unwrap_or_default()
            }
        }
    }

    pub(super) fn tell_others<P: EventPayload>(&mut self, member: Member, payload: &P) {
        let others = self.others(member);
        self.outbox.send_to_all(others, payload);
    }

    /// A member that was in the call has no connection any more: it has so long to come back.
    pub(super) fn wait_for(&mut self, now: Now, member: Member, may_resume: bool) {
        let grace_until = now.instant + self.config.reconnect_grace;
        let Ok(party) = self.member_mut(member) else { return };
        if party.device.is_none() {
            return;
        }
        let was_lost = party.is_lost();
        if !may_resume {
            party.session = None;
        }
        if party.grace_until.is_none() {
            party.grace_until = Some(grace_until);
            self.timers.set(grace_until, Timer::Grace(member));
        }
        self.tell_if_lost(now, member, was_lost);
    }

    /// The session of a member that was waited for goes on.
    pub(super) fn go_on(&mut self, now: Now, member: Member) {
        let Ok(party) = self.member_mut(member) else { return };
        let was_lost = party.is_lost();
        self.stop_waiting(member);
        self.tell_if_lost(now, member, was_lost);
    }

    /// The device of a member has a new session. Says whether everyone was shown the call.
    pub(super) fn take_place(&mut self, now: Now, member: Member, session: SessionId) -> bool {
        let Ok(party) = self.member_mut(member) else { return false };
        let was_lost = party.is_lost();
        party.session = Some(session);
        party.unclaimed = true;
        // What the device said over the connection before may not hold any more.
        party.media_lost = false;
        if let Member::Side(call, _) = member
            && let Some(call) = self.calls.get_mut(call)
        {
            call.orphaned = false;
        }
        self.stop_waiting(member);
        self.tell_if_lost(now, member, was_lost)
    }

    /// A member is not waited for any more.
    pub(super) fn stop_waiting(&mut self, member: Member) {
        let Ok(party) = self.member_mut(member) else { return };
        if let Some(at) = party.grace_until.take() {
            self.timers.clear(at, Timer::Grace(member));
        }
    }

    /// After something that may have made a member lost, or not lost any more: tells the others and
    /// moves the state of a call of two along. Says whether that changed; then everyone was shown
    /// the call.
    pub(super) fn tell_if_lost(&mut self, now: Now, member: Member, was_lost: bool) -> bool {
        let Some(party) = self.member(member) else { return false };
        let is_lost = party.is_lost();
        let (call_id, user_id) = (member.call(), party.user.clone());
        // Before the accept the callee's devices only ring; whom they will reach shows then.
        let accepted = self.calls.get(call_id).is_none_or(|call| call.state().is_accepted());
        if accepted && is_lost != was_lost {
            let (room_id, participant_id) = (self.room_id(call_id), member.participant());
            if was_lost {
                let back = CallReconnectedEvent { call_id, room_id, participant_id, user_id };
                self.tell_others(member, &back);
            } else {
                let lost = CallReconnectingEvent { call_id, room_id, participant_id, user_id };
                self.tell_others(member, &lost);
            }
        }
        self.follow_media(now, call_id)
    }

    /// Moves the state of a call of two along with whether media waits for something. Says whether it
    /// changed; then everyone was shown the call.
    pub(super) fn follow_media(&mut self, now: Now, id: CallId) -> bool {
        let Some(call) = self.calls.get(id) else { return false };
        let (step, event) = match (call.state(), call.is_interrupted()) {
            (CallState::Connected, true) => (Step::Lose, CallEvent::Reconnecting),
            (CallState::Reconnecting, false) => (Step::Recover, CallEvent::Reconnected),
            _ => return false,
        };
        // These two steps are legal from these two states.
        let stepped = self.calls.step(id, step).is_ok();
        if let Some(call) = self.calls.get(id) {
            self.outbox.show_to_all(now, call);
        }
        self.report(now, id, event);
        stepped
    }
}
