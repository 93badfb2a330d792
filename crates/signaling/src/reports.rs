//! What is told to others than the clients: each step of a call, with the call as it is then.

use std::time::Duration;

use callbox_base::{clock::Now, ids::CallId};

use super::{
    CallRecord, Hub, Output, Timestamp, call::RelayMeter, ended_calls::EndedCall, timer::Timer,
    wire_enums::wire_enum,
};

/// For how long at most the report of a call's end waits for the relay. It closes the allocations
/// within milliseconds, unless it is busy beyond measure or its news got lost.
const SETTLE: Duration = Duration::from_secs(2);

wire_enum! {
    /// A step of a call, by the name that webhooks have for it.
    pub enum CallEvent {
        /// Somebody calls, or is the first in a room.
        Initiated = "call.initiated",
        /// A device of the callee has it.
        Ringing = "call.ringing",
        /// A device of the callee took it, or a second participant came into the room.
        Accepted = "call.accepted",
        /// Media flows, for the first time.
        Connected = "call.connected",
        /// A side is lost, works on its media path or has gone on with another device.
        Reconnecting = "call.reconnecting",
        /// Media flows again.
        Reconnected = "call.reconnected",
        /// The callee has no device. It is a question, and no step.
        Offline = "call.offline",
        /// It is over, and the relay has nothing to add.
        Ended = "call.ended",
    }
}

/// A step of a call. Of each call they come in order, the end last and once.
#[derive(Debug, Clone, PartialEq)]
pub struct CallReport {
    /// The step.
    pub event: CallEvent,
    /// The time of the step.
    pub at: Timestamp,
    /// The call as it was then; of one that has ended, with all that was relayed for it.
    pub call: CallRecord,
    /// True if the call had been [`Connected`](super::CallState::Connected) by then.
    pub was_connected: bool,
}

impl Hub {
    /// Reports a step of a live call.
    pub(super) fn report(&mut self, now: Now, id: CallId, event: CallEvent) {
        if !self.config.report_calls {
            return;
        }
        let Some(call) = self.live_call(now, id) else { return };
        let was_connected = call.state.has_media();
        let Some(at) = self.time_in(now, id) else { return };
        let report = CallReport { event, at, call, was_connected };
        self.outbox.push(Output::Report(Box::new(report)));
    }

    /// Reports the end of a call, once the relay has closed its last allocation.
    pub(super) fn report_end(&mut self, now: Now, id: CallId, call: EndedCall) {
        let due = now.instant + SETTLE;
        self.timers.set(due, Timer::Settle(id));
        let is_final = call.relay.is_final();
        self.keep(id);
        self.settling.insert(id, (due, call));
        if is_final {
            self.settle(id);
        }
    }

    /// What the relay did for a call has changed.
    pub(super) fn update_meter(&mut self, id: CallId, change: impl Fn(&mut RelayMeter)) {
        if let Some(call) = self.calls.get_mut(id) {
            return change(&mut call.relay);
        }
        if let Some(room) = self.rooms.get_mut(id) {
            return change(&mut room.relay);
        }
        if let Some(call) = self.ended.get_mut(id) {
            change(&mut call.relay);
        }
        if let Some((_, call)) = self.settling.get_mut(&id) {
            change(&mut call.relay);
            if call.relay.is_final() {
                self.settle(id);
            }
        }
    }

    /// Reports the end of a call with the numbers as they are.
    pub(super) fn settle(&mut self, id: CallId) {
        let Some((due, call)) = self.settling.remove(&id) else { return };
        self.timers.clear(due, Timer::Settle(id));
        self.keep(id);
        let was_connected = call.was_connected;
        let call = call.record();
        // A call that is over has this time.
        let at = call.ended_at.unwrap_or(call.created_at);
        let report = CallReport { event: CallEvent::Ended, at, call, was_connected };
        self.outbox.push(Output::Report(Box::new(report)));
    }

    /// The relay has stopped: all its numbers are final.
    pub(super) fn settle_all(&mut self) {
        let waiting: Vec<_> = self.settling.keys().copied().collect();
        waiting.into_iter().for_each(|id| self.settle(id));
    }
}
