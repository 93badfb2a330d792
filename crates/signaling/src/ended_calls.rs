//! The calls that are over and still shown.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Instant,
};

use callbox_base::{
    clock::TimerQueue,
    deadline::Deadline,
    ids::{CallId, UserId},
};

use super::{CallRecord, call::RelayMeter, timer::Timer};

/// A call that is over. Its allocations may take a moment longer to close.
#[derive(Debug, Clone)]
pub(super) struct EndedCall {
    record: CallRecord,
    relay: RelayMeter,
    was_connected: bool,
}

impl EndedCall {
    pub(crate) fn new(record: CallRecord, relay: RelayMeter, was_connected: bool) -> Self {
        Self { record, relay, was_connected }
    }

    pub(crate) fn id(&self) -> CallId {
        self.record.id
    }

    /// Returns the record, with what was relayed so far.
    pub(crate) fn record(&self) -> CallRecord {
        CallRecord { relay: self.relay.usage(), ..self.record.clone() }
    }

    /// Returns true if media had flowed.
    pub(crate) fn was_connected(&self) -> bool {
        self.was_connected
    }

    /// Returns the counters of its allocations.
    pub(crate) fn relay_mut(&mut self) -> &mut RelayMeter {
        &mut self.relay
    }

    /// Returns true if the relay has closed all its allocations.
    pub(crate) fn is_settled(&self) -> bool {
        self.relay.is_final()
    }

    /// Returns true if it was accepted.
    fn was_answered(&self) -> bool {
        self.record.started_at.is_some()
    }

    /// Returns true if the user was in it.
    pub(crate) fn was_in_it(&self, user: &UserId) -> bool {
        self.record.participants.iter().any(|participant| participant.user_id == *user)
    }
}

/// The calls that are over and still shown, the oldest first.
///
/// Anybody can begin calls that nobody answers, as fast as they may send, so those have a queue of
/// their own: they push out one another, and never a call that was answered.
#[derive(Debug, Default)]
pub(super) struct EndedCalls {
    calls: BTreeMap<CallId, EndedCall>,
    answered: VecDeque<(Instant, CallId)>,
    unanswered: VecDeque<(Instant, CallId)>,
    /// The time at which the oldest call is forgotten.
    forget: Deadline,
}

/// The part of the calls still shown that may be unanswered ones: one in so many.
const UNANSWERED_SHARE: usize = 4;

impl EndedCalls {
    pub(crate) fn get(&self, id: CallId) -> Option<&EndedCall> {
        self.calls.get(&id)
    }

    /// Returns the counters of a call's allocations.
    pub(crate) fn meter_mut(&mut self, id: CallId) -> Option<&mut RelayMeter> {
        self.calls.get_mut(&id).map(EndedCall::relay_mut)
    }

    /// Returns the calls, the oldest first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &EndedCall> {
        let mut answered = self.answered.iter().peekable();
        let mut unanswered = self.unanswered.iter().peekable();
        let in_order = std::iter::from_fn(move || match (answered.peek(), unanswered.peek()) {
            (Some(one), Some(other)) if other < one => unanswered.next(),
            (Some(_), _) => answered.next(),
            (None, _) => unanswered.next(),
        });
        in_order.filter_map(|(_, id)| self.calls.get(id))
    }

    pub(crate) fn len(&self) -> usize {
        self.calls.len()
    }

    /// Adds a call that is forgotten at `due`, and forgets the oldest of its kind past its kind's
    /// share of `max` calls.
    pub(crate) fn insert(
        &mut self,
        call: EndedCall,
        due: Instant,
        max: usize,
        timers: &mut TimerQueue<Timer>,
    ) {
        let id = call.id();
        let share = max / UNANSWERED_SHARE;
        let (queue, max) = if call.was_answered() {
            (&mut self.answered, max - share)
        } else {
            (&mut self.unanswered, share)
        };
        queue.push_back((due, id));
        self.calls.insert(id, call);
        while queue.len() > max {
            if let Some((_, oldest)) = queue.pop_front() {
                self.calls.remove(&oldest);
            }
        }
        self.schedule(timers);
    }

    /// Forgets every call whose time is over.
    pub(crate) fn forget_until(&mut self, now: Instant, timers: &mut TimerQueue<Timer>) {
        for queue in [&mut self.answered, &mut self.unanswered] {
            while let Some((_, id)) = queue.pop_front_if(|(due, _)| *due <= now) {
                self.calls.remove(&id);
            }
        }
        self.schedule(timers);
    }

    /// Sets the timer to the time at which the oldest call is forgotten.
    fn schedule(&mut self, timers: &mut TimerQueue<Timer>) {
        let fronts = [self.answered.front(), self.unanswered.front()];
        match fronts.into_iter().flatten().map(|(due, _)| *due).min() {
            Some(due) if self.forget.time() == Some(due) => {}
            Some(due) => self.forget.set(due, timers, Timer::ForgetEnded),
            None => drop(self.forget.clear(timers, Timer::ForgetEnded)),
        }
    }
}
