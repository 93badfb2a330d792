//! The life of a call, as calls of two and rooms share it.

use std::time::{Duration, Instant};

use callbox_base::{
    clock::{Now, TimerQueue},
    deadline::Deadline,
    ids::{CallId, UserId},
};

use super::{CallRecord, CallState, RelayMeter, Times, seconds};
use crate::{CallType, EndReason, Timestamp, timer::Timer};

/// The state of a call or a room, its times, the relay's counters and the refresh of its
/// credentials.
#[derive(Debug)]
pub(crate) struct Lifecycle {
    id: CallId,
    kind: CallType,
    state: CallState,
    times: Times,
    relay: RelayMeter,
    /// The next refresh of everyone's relay credentials.
    credential_refresh: Deadline,
}

impl Lifecycle {
    /// Makes the life of a call that begins now.
    pub(crate) fn begin(now: Now, id: CallId, kind: CallType, state: CallState) -> Self {
        Self {
            id,
            kind,
            state,
            times: Times::begin(now),
            relay: RelayMeter::default(),
            credential_refresh: Deadline::default(),
        }
    }

    /// Returns the life of a call that a server before this one kept.
    pub(crate) fn restored(self, state: CallState, times: Times, relay: RelayMeter) -> Self {
        Self { state, times, relay, ..self }
    }

    pub(crate) fn id(&self) -> CallId {
        self.id
    }

    pub(crate) fn kind(&self) -> CallType {
        self.kind
    }

    pub(crate) fn set_kind(&mut self, kind: CallType) {
        self.kind = kind;
    }

    pub(crate) fn state(&self) -> CallState {
        self.state
    }

    /// Sets the state. Only the table of calls does so, since it counts the states.
    pub(super) fn set_state(&mut self, state: CallState) {
        self.state = state;
    }

    pub(crate) fn times(&self) -> &Times {
        &self.times
    }

    /// Sets the times of a call that ended with the server before.
    pub(crate) fn set_times(&mut self, times: Times) {
        self.times = times;
    }

    /// Records that it was accepted, or a second participant joined.
    pub(crate) fn start(&mut self, now: Now) {
        self.times.start(now);
    }

    /// Returns the time since it started.
    pub(crate) fn duration(&self, now: Now) -> Duration {
        self.times.duration(now)
    }

    /// Returns the counters of its allocations.
    pub(crate) fn relay(&self) -> &RelayMeter {
        &self.relay
    }

    pub(crate) fn relay_mut(&mut self) -> &mut RelayMeter {
        &mut self.relay
    }

    /// Schedules the next refresh of relay credentials.
    pub(crate) fn schedule_credential_refresh(
        &mut self,
        at: Instant,
        timers: &mut TimerQueue<Timer>,
    ) {
        self.credential_refresh.set(at, timers, Timer::Credentials(self.id));
    }

    /// Stops the refresh of relay credentials.
    pub(crate) fn stop_credential_refresh(&mut self, timers: &mut TimerQueue<Timer>) {
        self.credential_refresh.clear(timers, Timer::Credentials(self.id));
    }

    /// Returns true if a refresh of relay credentials is scheduled.
    #[cfg(test)]
    pub(crate) fn has_credential_refresh(&self) -> bool {
        self.credential_refresh.is_set()
    }

    /// Returns the duration of a live call, for its record.
    pub(crate) fn recorded_duration(&self, now: Now) -> Option<f64> {
        self.times.started().map(|_| seconds(self.duration(now)))
    }

    /// Returns the record of a live call, without its participants, its room and its duration.
    pub(crate) fn record(&self) -> CallRecord {
        CallRecord {
            id: self.id,
            room_id: None,
            state: self.state,
            kind: self.kind,
            participants: Vec::new(),
            created_at: Timestamp(self.times.created()),
            started_at: self.times.started().map(Timestamp),
            ended_at: None,
            duration: None,
            reason: None,
            ended_by: None,
            relay: self.relay.usage(),
        }
    }

    /// Records in a record of this call that it ends now.
    pub(crate) fn end_record(
        &self,
        now: Now,
        record: &mut CallRecord,
        reason: EndReason,
        ended_by: Option<UserId>,
    ) {
        record.end(self.times.at(now), reason, ended_by);
        record.duration = Some(seconds(self.duration(now)));
    }
}
