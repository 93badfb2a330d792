//! The calls that are over and still shown.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Instant,
};

use callbox_base::ids::{CallId, UserId};

use super::{CallRecord, call::RelayMeter};

/// A call that is over. Its allocations may take a moment longer to close.
#[derive(Debug, Clone)]
pub(super) struct EndedCall {
    record: CallRecord,
    pub relay: RelayMeter,
    pub was_connected: bool,
}

impl EndedCall {
    pub fn new(record: CallRecord, relay: RelayMeter, was_connected: bool) -> Self {
        Self { record, relay, was_connected }
    }

    pub fn id(&self) -> CallId {
        self.record.id
    }

    pub fn record(&self) -> CallRecord {
        CallRecord { relay: self.relay.usage(), ..self.record.clone() }
    }

    /// Whether somebody accepted it.
    fn was_answered(&self) -> bool {
        self.record.started_at.is_some()
    }

    pub fn was_in_it(&self, user: &UserId) -> bool {
        self.record.participants.iter().any(|participant| participant.user_id == *user)
    }
}

/// The calls that are over and still shown, the oldest first.
///
/// Anybody can begin calls that nobody answers, as fast as they may send, so those have a queue of
/// their own: they push out one another, and never a call that took place.
#[derive(Debug, Default)]
pub(super) struct EndedCalls {
    calls: BTreeMap<CallId, EndedCall>,
    answered: VecDeque<(Instant, CallId)>,
    unanswered: VecDeque<(Instant, CallId)>,
}

/// Which part of the calls that are still shown may be ones that nobody answered: one in so many.
const UNANSWERED_SHARE: usize = 4;

impl EndedCalls {
    pub fn get(&self, id: CallId) -> Option<&EndedCall> {
        self.calls.get(&id)
    }

    pub fn get_mut(&mut self, id: CallId) -> Option<&mut EndedCall> {
        self.calls.get_mut(&id)
    }

    pub fn iter(&self) -> impl Iterator<Item = &EndedCall> {
        let mut answered = self.answered.iter().peekable();
        let mut unanswered = self.unanswered.iter().peekable();
        let in_order = std::iter::from_fn(move || match (answered.peek(), unanswered.peek()) {
            (Some(one), Some(other)) if other < one => unanswered.next(),
            (Some(_), _) => answered.next(),
            (None, _) => unanswered.next(),
        });
        in_order.filter_map(|(_, id)| self.calls.get(id))
    }

    pub fn len(&self) -> usize {
        self.calls.len()
    }

    /// When the oldest is to be forgotten.
    pub fn next_due(&self) -> Option<Instant> {
        let fronts = [self.answered.front(), self.unanswered.front()];
        fronts.into_iter().flatten().map(|(due, _)| *due).min()
    }

    /// Adds a call that is forgotten at `due`, and forgets the oldest of its kind past its kind's
    /// share of `max` calls.
    pub fn insert(&mut self, id: CallId, call: EndedCall, due: Instant, max: usize) {
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
    }

    /// Forgets every call whose time is over.
    pub fn forget_until(&mut self, now: Instant) {
        for queue in [&mut self.answered, &mut self.unanswered] {
            while let Some((_, id)) = queue.pop_front_if(|(due, _)| *due <= now) {
                self.calls.remove(&id);
            }
        }
    }
}
