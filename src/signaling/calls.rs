//! What happens to calls, whoever caused it.

use serde_json::{Map, Value, json};

use super::{
    CallEvent, CallRecord, CallState, EndReason, EventName, Hub, Output,
    call::{Place, RingingDevice, Role, Step, seconds},
    hub::Timer,
    requests::Sender,
    tables::EndedCall,
};
use crate::{
    clock::Now,
    ids::{CallId, DeviceId, SessionId, UserId},
};

impl Hub {
    /// Lets a call ring on one device of the callee.
    pub(super) fn ring(&mut self, now: Now, id: CallId, session: SessionId, device: &DeviceId) {
        // Another device may have it already.
        let is_first = self.is_here(session) && self.calls.step(id, Step::Deliver).is_ok();
        let Some(call) = self.calls.get_mut(id) else { return };
        call.ringing.insert(device.clone(), RingingDevice { session, alerting: false });
        let mut data = Map::new();
        data.insert("callId".into(), json!(id));
        data.insert("callerId".into(), json!(call.parties.caller.user));
        if let Some(name) = &call.parties.caller.name {
            data.insert("callerName".into(), json!(name));
        }
        data.insert("callType".into(), json!(call.kind));
        // We printed the text ourselves, from a value that a front had parsed.
        if let Some(metadata) = call.metadata.as_ref().and_then(|m| serde_json::from_str(m).ok()) {
            data.insert("metadata".into(), metadata);
        }
        data.insert("expiresAt".into(), call.expires_at());
        if let Some(ice) = self.ice_for(now, session, Some(id)) {
            ice.write_to(&mut data);
        }
        self.outbox.send(session, EventName::CallIncoming, data.into());
        if is_first {
            self.stop_asking(id);
            self.report(now, id, CallEvent::Ringing);
        }
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
        let Some(call) = self.calls.get_mut(id) else { return };
        let Some(role) = call.role_of(user) else { return };
        let party = &mut call.parties[role];
        if party.device.as_ref() == Some(device) {
            let was_lost = party.is_lost();
            party.session = Some(session);
            // What the device said over the connection before may not hold any more.
            party.media_lost = false;
            if let Some(at) = party.grace_until.take() {
                self.timers.clear(at, Timer::Grace(id, role));
            }
            if !self.tell_if_lost(now, id, role, was_lost)
                && let Some(call) = self.calls.get(id)
            {
                self.outbox.show(now, call, session);
            }
            self.sync(now, id, role, session);
            self.hand_over(now, id, role.other());
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
        let mut data = json!({ "callId": id, "call": call.record(now), "candidates": candidates });
        if let Some(description) = description {
            data["description"] = description;
        }
        self.outbox.send(session, EventName::CallSync, data);
    }

    /// A session that was lost goes on.
    pub(super) fn come_back(&mut self, now: Now, id: CallId, session: SessionId) {
        let Some(call) = self.calls.get_mut(id) else { return };
        match call.place_of(session) {
            Some(Place::Party(role)) => {
                let party = &mut call.parties[role];
                let was_lost = party.is_lost();
                if let Some(at) = party.grace_until.take() {
                    self.timers.clear(at, Timer::Grace(id, role));
                }
                self.tell_if_lost(now, id, role, was_lost);
            }
            Some(Place::Ringing) => {
                if self.calls.step(id, Step::Deliver).is_ok()
                    && let Some(call) = self.calls.get(id)
                {
                    self.outbox.show_to_all(now, call);
                    self.report(now, id, CallEvent::Ringing);
                }
            }
            None => {}
        }
    }

    /// A session has lost its connection, or is gone; as a side of the call it is waited for.
    pub(super) fn lose(&mut self, now: Now, id: CallId, session: SessionId) {
        let may_resume = self.sessions.contains_key(&session);
        let Some(call) = self.calls.get_mut(id) else { return };
        match call.place_of(session) {
            Some(Place::Party(role)) => {
                if !may_resume {
                    call.parties[role].session = None;
                }
                self.wait_for(now, id, role);
            }
            // It rings when it comes back.
            Some(Place::Ringing) if may_resume => {}
            Some(Place::Ringing) => {
                call.ringing.retain(|_, device| device.session != session);
                let reaches_nobody =
                    call.ringing.is_empty() && call.state() == CallState::Initiating;
                if reaches_nobody && !self.stopping {
                    self.reach_nobody(now, id);
                }
            }
            None => {}
        }
    }

    /// A side that was in the call has no connection any more: it has so long to come back.
    pub(super) fn wait_for(&mut self, now: Now, id: CallId, role: Role) {
        let Some(call) = self.calls.get_mut(id) else { return };
        let party = &mut call.parties[role];
        if party.device.is_none() {
            return;
        }
        let was_lost = party.is_lost();
        if party.grace_until.is_none() {
            let grace_until = now.instant + self.config.reconnect_grace;
            party.grace_until = Some(grace_until);
            self.timers.set(grace_until, Timer::Grace(id, role));
        }
        self.tell_if_lost(now, id, role, was_lost);
    }

    /// After something that may have made a side lost, or not lost any more: tells the other side
    /// and moves the state along. Says whether the state changed; then everyone was shown the call.
    pub(super) fn tell_if_lost(
        &mut self,
        now: Now,
        id: CallId,
        role: Role,
        was_lost: bool,
    ) -> bool {
        let Some(call) = self.calls.get(id) else { return false };
        let party = &call.parties[role];
        // Before the accept the callee's devices only ring; whom they will reach shows then.
        if call.state().is_accepted() && party.is_lost() != was_lost {
            let name =
                if was_lost { EventName::CallReconnected } else { EventName::CallReconnecting };
            let data = json!({ "callId": id, "userId": party.user });
            self.outbox.send_to(call, role.other(), name, data);
        }
        let (step, event) = match (call.state(), call.is_any_side_lost()) {
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

    /// Media flows, as far as a connecting call is concerned.
    pub(super) fn connect(&mut self, now: Now, id: CallId) {
        if self.calls.step(id, Step::Connect).is_err() {
            return;
        }
        let Some(call) = self.calls.get(id) else { return };
        self.outbox.show_to_all(now, call);
        // A side may have been lost all the while; both are told of that already.
        let was_lost = call.parties.caller.is_lost();
        self.report(now, id, CallEvent::Connected);
        self.tell_if_lost(now, id, Role::Caller, was_lost);
    }

    /// Sees to it that the sides of a call always have relay credentials that open allocations: after
    /// half of their time they are sent others.
    pub(super) fn freshen_later(&mut self, now: Now, id: CallId) {
        let Some(call) = self.calls.get_mut(id) else { return };
        let half = self.config.credential_ttl / 2;
        if half.is_zero() || self.config.turn_secrets.is_empty() {
            return;
        }
        let at = now.instant + half;
        call.fresh_at = Some(at);
        self.timers.set(at, Timer::Credentials(id));
    }

    /// Sends both sides of a call fresh relay credentials.
    pub(super) fn freshen(&mut self, now: Now, id: CallId) {
        let Some(call) = self.calls.get(id) else { return };
        for role in [Role::Caller, Role::Callee] {
            let session = call.parties[role].session;
            let Some(ice) = session.and_then(|session| self.ice_for(now, session, Some(id))) else {
                continue;
            };
            let mut data = Map::new();
            data.insert("callId".into(), json!(id));
            ice.write_with_expiry_to(&mut data);
            self.outbox.send_to(call, role, EventName::IceServers, data.into());
        }
        self.freshen_later(now, id);
    }

    /// Ends a call, with nobody having asked for it.
    pub(super) fn end(&mut self, now: Now, id: CallId, reason: EndReason) {
        self.finish(now, id, reason, None);
    }

    /// Ends a call that somebody asked to end, and gives the answer for them. They hear of it in
    /// the answer, everyone else in a `call:ended`.
    pub(super) fn end_for(
        &mut self,
        now: Now,
        id: CallId,
        reason: EndReason,
        sender: &Sender,
    ) -> Map<String, Value> {
        let mut answer = Map::new();
        if let Some(record) = self.finish(now, id, reason, Some(sender)) {
            answer.insert("callId".into(), json!(id));
            answer.insert("state".into(), json!(record.state));
            answer.insert("reason".into(), json!(reason));
            answer.insert("duration".into(), json!(record.duration));
        }
        answer
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
        self.calls.step(id, Step::End(reason)).ok()?;
        self.stop_asking(id);
        let call = self.calls.remove(id)?;
        self.timers.clear(call.ring_until.instant, Timer::Ring(id));
        if let Some(at) = call.fresh_at {
            self.timers.clear(at, Timer::Credentials(id));
        }
        for role in [Role::Caller, Role::Callee] {
            let (party, journal) = (&call.parties[role], &call.journals[role]);
            if let Some(at) = party.grace_until {
                self.timers.clear(at, Timer::Grace(id, role));
            }
            if let Some(at) = journal.hold_until {
                self.timers.clear(at, Timer::Hold(id, role));
            }
            self.counters.candidates_dropped += journal.len() as u64;
            self.users.update(&party.user, |user| user.calls.retain(|call| *call != id));
        }

        let record = call.final_record(now, reason, actor.map(|actor| actor.user.clone()));
        let shown = json!({ "callId": id, "call": record });
        let refused_by_device =
            actor.is_some_and(|actor| call.place_of(actor.session) == Some(Place::Ringing));
        for session in call.members() {
            if actor.is_none_or(|actor| actor.session != session) {
                let elsewhere = refused_by_device && call.place_of(session) == Some(Place::Ringing);
                let reason = if elsewhere { EndReason::RejectedElsewhere } else { reason };
                let data = json!({
                    "callId": id,
                    "reason": reason,
                    "endedBy": record.ended_by,
                    "duration": seconds(call.duration(now)),
                });
                self.outbox.send(session, EventName::CallEnded, data);
            }
            self.outbox.send(session, EventName::CallState, shown.clone());
        }
        self.outbox.push(Output::CallEnded { call: id });
        self.counters.calls_ended.add(reason);
        let ended = EndedCall::new(record.clone(), call.relay);
        if self.config.report_calls {
            self.report_end(now, id, ended.clone());
        }
        self.remember(now, ended, id);
        Some(record)
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
