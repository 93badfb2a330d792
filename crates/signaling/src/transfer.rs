//! A side of a call goes on with it on another device of the same user.
//!
//! The other device rings; until it accepts, nothing changes. Then it is the side, and whatever was
//! on its way for a peer connection of the old device is forgotten.

use callbox_base::{clock::Now, ids::CallId};

use super::{
    CallState, EndReason, Hub, RequestError,
    answers::CallEndAnswer,
    call::{Media, Role, Transfer, seconds},
    events::{CallEndedEvent, CallReconnectingEvent, CallTransferredEvent},
    members::{Lane, Member},
    sender::Sender,
    timer::Timer,
};

impl Hub {
    /// Lets the device ring that a call is handed to.
    pub(super) fn offer_transfer(&mut self, now: Now, id: CallId) {
        let Some(call) = self.calls.get(id) else { return };
        let Some(Transfer { role, ringing, .. }) = &call.transfer else { return };
        let (role, session) = (*role, ringing.session);
        self.announce_call(now, id, role, session);
        if let Some(call) = self.calls.get(id) {
            self.outbox.show(now, call, session);
        }
    }

    /// It does not take the call, which goes on where it is, if anybody is left there.
    pub(super) fn refuse_transfer(&mut self, now: Now, id: CallId) {
        let Some(transfer) = self.stop_transfer(id) else { return };
        if transfer.alone {
            return self.end(now, id, EndReason::Left);
        }
        let Some(call) = self.calls.get(id) else { return };
        let refused = CallTransferredEvent {
            call_id: id,
            user_id: call.parties[transfer.role].user.clone(),
            device_id: transfer.device,
            accepted: false,
        };
        self.outbox.send_to(call, transfer.role, &refused);
    }

    /// It says so. Gives the answer for it.
    pub(super) fn decline_transfer(
        &mut self,
        now: Now,
        id: CallId,
    ) -> Result<CallEndAnswer, RequestError> {
        let duration = seconds(self.calls.find(id)?.duration(now));
        self.refuse_transfer(now, id);
        let state = self.calls.get(id).map_or(CallState::Ended, |call| call.state());
        let reason = EndReason::Rejected;
        Ok(CallEndAnswer { call_id: id, state, reason, duration })
    }

    /// It has rung long enough.
    pub(super) fn give_up_transfer(&mut self, now: Now, id: CallId) {
        let Some(call) = self.calls.get(id) else { return };
        let Some(transfer) = &call.transfer else { return };
        let ended = CallEndedEvent {
            call_id: id,
            room_id: None,
            reason: EndReason::Timeout,
            ended_by: None,
            duration: seconds(call.duration(now)),
        };
        self.outbox.send(transfer.ringing.session, &ended);
        self.refuse_transfer(now, id);
    }

    /// It takes the call, and is the side from now on.
    pub(super) fn take_over(&mut self, now: Now, id: CallId, role: Role, by: &Sender) {
        self.stop_transfer(id);
        let Some(call) = self.calls.get_mut(id) else { return };
        let ended = CallEndedEvent {
            call_id: id,
            room_id: None,
            reason: EndReason::AnsweredElsewhere,
            ended_by: Some(by.user.clone()),
            duration: seconds(call.duration(now)),
        };
        let party = &mut call.parties[role];
        let was_lost = party.is_lost();
        if let Some(at) = party.grace_until.take() {
            self.timers.clear(at, Timer::Grace(Member::Side(id, role)));
        }
        party.media_lost = false;
        // What the device before said of itself; how the call went on it is still a part of the call.
        party.media = Media::default();
        party.device = Some(by.device.clone());
        if let Some(before) = party.session.replace(by.session) {
            self.outbox.send(before, &ended);
        }
        // The device that asked, or that was asked, is not in the call any more.
        call.upgrade = None;
        call.moved = call.state() != CallState::Connecting;
        self.begin_anew(id);

        let Some(call) = self.calls.get(id) else { return };
        let transferred = CallTransferredEvent {
            call_id: id,
            user_id: by.user.clone(),
            device_id: by.device.clone(),
            accepted: true,
        };
        self.outbox.send_to(call, role.other(), &transferred);
        let other = &call.parties[role.other()];
        if other.is_lost() {
            let user_id = other.user.clone();
            let lost =
                CallReconnectingEvent { call_id: id, room_id: None, participant_id: None, user_id };
            self.outbox.send(by.session, &lost);
        }
        if !self.tell_if_lost(now, Member::Side(id, role), was_lost)
            && let Some(call) = self.calls.get(id)
        {
            self.outbox.show_to_all(now, call);
        }
    }

    /// The sides begin with new peer connections: nothing of the ones before goes to either.
    fn begin_anew(&mut self, id: CallId) {
        let Some(call) = self.calls.get_mut(id) else { return };
        for from in [Role::Caller, Role::Callee] {
            let journal = std::mem::take(&mut call.journals[from]);
            if let Some(at) = journal.hold_until {
                self.timers.clear(at, Timer::Hold(Lane::From(id, from)));
            }
            self.counters.candidates_dropped += journal.len() as u64;
        }
    }

    /// Nobody rings any more.
    fn stop_transfer(&mut self, id: CallId) -> Option<Transfer> {
        let transfer = self.calls.get_mut(id)?.transfer.take()?;
        self.timers.clear(transfer.until.instant, Timer::Transfer(id));
        Some(transfer)
    }
}
