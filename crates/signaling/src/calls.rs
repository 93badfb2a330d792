//! What happens to calls, whoever caused it.

use callbox_base::{
    clock::Now,
    ids::{CallId, DeviceId, SessionId, UserId},
};

use super::{
    CallEvent, CallRecord, CallState, EndReason, Event, Hub, Output, RequestError,
    answers::CallEndAnswer,
    call::{Place, RingingDevice, Role, Step, seconds},
    ended_calls::EndedCall,
    events::{
        CallEndedEvent, CallIncomingEvent, CallStateEvent, CallSyncEvent, IceServersEvent,
        OpenUpgrade,
    },
    members::{Lane, Member},
    sender::Sender,
    timer::Timer,
};

impl Hub {
    /// Lets a call ring on one device of the callee.
    pub(super) fn ring(&mut self, now: Now, id: CallId, session: SessionId, device: &DeviceId) {
        let Some(call) = self.calls.get_mut(id) else { return };
        call.ringing.insert(device.clone(), RingingDevice::new(session));
        self.announce_call(now, id, Role::Callee, session);
        if self.is_here(session) {
            self.deliver(now, id);
        }
    }

    /// A device of the callee has the call. Says whether it is the first.
    fn deliver(&mut self, now: Now, id: CallId) -> bool {
        let is_first = self.calls.step(id, Step::Deliver).is_ok();
        if is_first {
            self.stop_asking(id);
            self.report(now, id, CallEvent::Ringing);
        }
        is_first
    }

    /// Tells a device that it is wanted for a side of a call.
    pub(super) fn announce_call(&mut self, now: Now, id: CallId, to: Role, session: SessionId) {
        let ice = self.ice_for(now, session, Some(id));
        let Some(call) = self.calls.get(id) else { return };
        let other = &call.parties[to.other()];
        let transfer_from = call.transfer.as_ref().and(call.parties[to].device.clone());
        let incoming = CallIncomingEvent {
            call_id: id,
            caller_id: other.user.clone(),
            caller_name: other.name.clone(),
            call_type: call.kind,
            metadata: call.metadata.clone(),
            transfer_from,
            expires_at: call.expires_at(),
            ice_servers: ice.ice_servers,
            turn_credentials: ice.turn_credentials,
        };
        self.outbox.send(session, &incoming);
    }

    /// A new session of a user who is in this call: it takes its device's place again, or rings.
    pub(super) fn enter(
        &mut self,
        now: Now,
        id: CallId,
        session: SessionId,
        user: &UserId,
        device: &DeviceId,
    ) {
        let Some(call) = self.calls.get_mut(id) else {
            return self.enter_room(now, id, session, user, device);
        };
        let Some(role) = call.role_of(user) else { return };
        let party = &mut call.parties[role];
        if party.device.as_ref() == Some(device) {
            let member = Member::Side(id, role);
            if !self.take_place(now, member, session)
                && let Some(call) = self.calls.get(id)
            {
                self.outbox.show(now, call, session);
            }
            self.sync(now, id, role, session);
            self.hand_over(now, Lane::From(id, role.other()));
        } else if let Some(transfer) = &mut call.transfer
            && transfer.role == role
            && transfer.device == *device
        {
            transfer.ringing = RingingDevice::new(session);
            self.offer_transfer(now, id);
        } else if role == Role::Callee && !call.state().is_accepted() {
            let before = call.state();
            self.ring(now, id, session, device);
            match self.calls.get(id) {
                Some(call) if call.state() != before => self.outbox.show_to_all(now, call),
                Some(call) => self.outbox.show(now, call, session),
                None => {}
            }
        }
    }

    /// Tells a device that has come back, and may have lost all that it had, where the call stands,
    /// and what has come from the other side.
    fn sync(&mut self, now: Now, id: CallId, role: Role, session: SessionId) {
        let Some(call) = self.calls.get(id) else { return };
        let (description, candidates) = call.journals[role.other()].relayed();
        let upgrade = call
            .upgrade
            .map(|(by, call_type)| OpenUpgrade { from: call.parties[by].user.clone(), call_type });
        let transfer = call.transfer.as_ref().filter(|transfer| transfer.role == role);
        let event = CallSyncEvent {
            call_id: id,
            call: call.record(now),
            upgrade,
            transfer_to: transfer.map(|transfer| transfer.device.clone()),
            description,
            candidates,
        };
        self.outbox.send(session, &event);
    }

    /// A session that was lost goes on.
    pub(super) fn come_back(&mut self, now: Now, id: CallId, session: SessionId) {
        let Some(call) = self.calls.get(id) else {
            return self.come_back_to_room(now, id, session);
        };
        match call.place_of(session) {
            Some(Place::Party(role)) => self.go_on(now, Member::Side(id, role)),
            Some(Place::Ringing) => {
                if self.deliver(now, id)
                    && let Some(call) = self.calls.get(id)
                {
                    self.outbox.show_to_all(now, call);
                }
            }
            // It has been told already.
            Some(Place::Offered(_)) | None => {}
        }
    }

    /// A session has lost its connection, or is gone; as a side of the call it is waited for.
    pub(super) fn lose(&mut self, now: Now, id: CallId, session: SessionId) {
        let may_resume = self.sessions.contains_key(&session);
        let Some(call) = self.calls.get_mut(id) else {
            return self.lose_in_room(now, id, session, may_resume);
        };
        match call.place_of(session) {
            Some(Place::Party(role)) => self.wait_for(now, Member::Side(id, role), may_resume),
            // It rings when it comes back.
            Some(Place::Ringing | Place::Offered(_)) if may_resume => {}
            Some(Place::Ringing) => {
                call.ringing.retain(|_, device| device.session != session);
                let reaches_nobody =
                    call.ringing.is_empty() && call.state() == CallState::Initiating;
                if reaches_nobody && !self.stopping {
                    self.reach_nobody(now, id);
                }
            }
            Some(Place::Offered(_)) => self.refuse_transfer(now, id),
            None => {}
        }
    }

    /// Media flows, for the first time or with the new device of a side.
    pub(super) fn connect(&mut self, now: Now, id: CallId) {
        if self.rooms.step(id, Step::Connect).is_ok() {
            return self.report(now, id, CallEvent::Connected);
        }
        if let Some(call) = self.calls.get_mut(id)
            && std::mem::take(&mut call.moved)
        {
            self.follow_media(now, id);
        }
        if self.calls.step(id, Step::Connect).is_err() {
            return;
        }
        let Some(call) = self.calls.get(id) else { return };
        self.outbox.show_to_all(now, call);
        self.report(now, id, CallEvent::Connected);
        // A side may have been lost all the while; both are told of that already.
        self.follow_media(now, id);
    }

    /// Sees to it that everyone in a call always has relay credentials that open allocations: after
    /// half of their time they are sent others.
    pub(super) fn schedule_credential_refresh(&mut self, now: Now, id: CallId) {
        let half = self.config.credential_ttl / 2;
        if half.is_zero() || self.config.turn_secrets.is_empty() {
            return;
        }
        let at = now.instant + half;
        if let Some(call) = self.calls.get_mut(id) {
            call.fresh_at = Some(at);
        } else if let Some(room) = self.rooms.get_mut(id) {
            room.fresh_at = Some(at);
        } else {
            return;
        }
        self.timers.set(at, Timer::Credentials(id));
    }

    /// Sends everyone in a call fresh relay credentials.
    pub(super) fn refresh_credentials(&mut self, now: Now, id: CallId) {
        let (room_id, sessions): (_, Vec<_>) = if let Some(call) = self.calls.get(id) {
            (None, call.members().collect())
        } else if let Some(room) = self.rooms.get(id) {
            (Some(room.name.clone()), room.sessions().collect())
        } else {
            return;
        };
        for session in sessions {
            let ice = self.ice_for(now, session, Some(id));
            let fresh = IceServersEvent {
                call_id: id,
                room_id: room_id.clone(),
                ice_servers: ice.ice_servers,
                turn_credentials: ice.turn_credentials,
                expires_at: ice.expires_at,
            };
            self.outbox.send(session, &fresh);
        }
        self.schedule_credential_refresh(now, id);
    }

    /// Ends a call or a room, with nobody having asked for it.
    pub(super) fn end(&mut self, now: Now, id: CallId, reason: EndReason) {
        match self.rooms.get(id) {
            Some(_) => self.end_room(now, id, reason),
            None => drop(self.finish(now, id, reason, None)),
        }
    }

    /// Ends a call that somebody asked to end, and gives the answer for them. They hear of it in
    /// the answer, everyone else in a `call:ended`.
    pub(super) fn end_for(
        &mut self,
        now: Now,
        id: CallId,
        reason: EndReason,
        sender: &Sender,
    ) -> Result<CallEndAnswer, RequestError> {
        let record = self.finish(now, id, reason, Some(sender));
        let record = record.ok_or_else(RequestError::call_not_found)?;
        let duration = record.duration.unwrap_or_default();
        Ok(CallEndAnswer { call_id: id, state: record.state, reason, duration })
    }

    /// The one way out for a call: its timers, its places in the tables and its journals go, and
    /// everyone who can hear it is told why.
    fn finish(
        &mut self,
        now: Now,
        id: CallId,
        reason: EndReason,
        actor: Option<&Sender>,
    ) -> Option<CallRecord> {
        let was_connected = self.calls.get(id)?.state().has_media();
        self.calls.step(id, Step::End(reason)).ok()?;
        self.stop_asking(id);
        let call = self.calls.remove(id)?;
        self.timers.clear(call.ring_until.instant, Timer::Ring(id));
        if let Some(at) = call.fresh_at {
            self.timers.clear(at, Timer::Credentials(id));
        }
        if let Some(transfer) = &call.transfer {
            self.timers.clear(transfer.until.instant, Timer::Transfer(id));
        }
        for role in [Role::Caller, Role::Callee] {
            let (party, journal) = (&call.parties[role], &call.journals[role]);
            if let Some(at) = party.grace_until {
                self.timers.clear(at, Timer::Grace(Member::Side(id, role)));
            }
            if let Some(at) = journal.hold_until {
                self.timers.clear(at, Timer::Hold(Lane::From(id, role)));
            }
            self.counters.candidates_dropped += journal.len() as u64;
            self.users.update(&party.user, |user| user.calls.retain(|call| *call != id));
        }

        let record = call.final_record(now, reason, actor.map(|actor| actor.user.clone()));
        let shown = Event::of(&CallStateEvent { call_id: id, call: record.clone() });
        let refused_by_device =
            actor.is_some_and(|actor| call.place_of(actor.session) == Some(Place::Ringing));
        for session in call.members() {
            if actor.is_none_or(|actor| actor.session != session) {
                let elsewhere = refused_by_device && call.place_of(session) == Some(Place::Ringing);
                let reason = if elsewhere { EndReason::RejectedElsewhere } else { reason };
                let ended = CallEndedEvent {
                    call_id: id,
                    room_id: None,
                    reason,
                    ended_by: record.ended_by.clone(),
                    duration: seconds(call.duration(now)),
                };
                self.outbox.send(session, &ended);
            }
            self.outbox.send_event(session, shown.clone());
        }
        self.finalize(now, EndedCall::new(record.clone(), call.relay, was_connected), reason);
        Some(record)
    }

    /// A call or a room is over: the relay and whoever reads reports hear of it.
    pub(super) fn finalize(&mut self, now: Now, ended: EndedCall, reason: EndReason) {
        let id = ended.id();
        self.outbox.push(Output::CallEnded { call: id });
        self.counters.calls_ended.add(reason);
        self.report_end(now, id, ended.clone());
        self.remember(now, ended, id);
    }

    /// Keeps a call that is over, to be shown for a while.
    fn remember(&mut self, now: Now, call: EndedCall, id: CallId) {
        let before = self.ended.next_due();
        let due = now.instant + self.config.ended_calls_for;
        self.ended.insert(id, call, due, self.config.ended_calls);
        let after = self.ended.next_due();
        if before != after {
            if let Some(at) = before {
                self.timers.clear(at, Timer::ForgetEnded);
            }
            if let Some(at) = after {
                self.timers.set(at, Timer::ForgetEnded);
            }
        }
    }
}
