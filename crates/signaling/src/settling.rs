//! The calls that are over and whose end is not reported yet, since the relay still closes their
//! allocations.

use std::{collections::BTreeMap, time::Instant};

use callbox_base::{clock::TimerQueue, deadline::Deadline, ids::CallId};

use super::{call::RelayMeter, ended_calls::EndedCall, timer::Timer};

/// The calls that wait for the relay, each with the time at which its end is reported anyway. They
/// are few: the relay's quotas bound them.
#[derive(Debug, Default)]
pub(super) struct Settling(BTreeMap<CallId, (Deadline, EndedCall)>);

impl Settling {
    /// Adds a call, whose end is reported at `due` at the latest.
    pub(crate) fn insert(&mut self, call: EndedCall, due: Instant, timers: &mut TimerQueue<Timer>) {
        let id = call.id();
        let mut deadline = Deadline::default();
        deadline.set(due, timers, Timer::Settle(id));
        self.0.insert(id, (deadline, call));
    }

    /// Removes a call with its timer.
    pub(crate) fn remove(
        &mut self,
        id: CallId,
        timers: &mut TimerQueue<Timer>,
    ) -> Option<EndedCall> {
        let (mut deadline, call) = self.0.remove(&id)?;
        deadline.clear(timers, Timer::Settle(id));
        Some(call)
    }

    pub(crate) fn get(&self, id: CallId) -> Option<&EndedCall> {
        self.0.get(&id).map(|(_, call)| call)
    }

    /// Returns the counters of a call's allocations.
    pub(crate) fn meter_mut(&mut self, id: CallId) -> Option<&mut RelayMeter> {
        self.0.get_mut(&id).map(|(_, call)| call.relay_mut())
    }

    pub(crate) fn ids(&self) -> impl Iterator<Item = CallId> {
        self.0.keys().copied()
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Checks that every call waits for an allocation.
    #[cfg(test)]
    pub(crate) fn check_invariants(&self) {
        assert!(self.0.values().all(|(_, call)| !call.is_settled()));
    }
}
