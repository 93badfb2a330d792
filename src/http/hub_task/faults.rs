//! The faults of events and of sessions' connections.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use callbox_base::{
    faults::{Injected, Injection, Selector},
    ids::{CallId, SessionId},
};
use callbox_signaling::{Event, Hub};
use serde::Deserialize;

use crate::faults::{EventEffect, EventFault};

/// The number of events that are held back. Past it, events are not held back.
const MAX_DELAYED_EVENTS: usize = 1024;

/// Something that the task is asked for.
pub(in crate::http) enum FaultTask {
    /// Replace the faults of events by these. Sessions that were silent go on.
    Replace(Arc<EventFaults>),
    /// Inject a fault into the sessions of a selector.
    Sessions(Selector, SessionFault),
}

/// A fault of a session's connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::http) enum SessionFault {
    /// It is closed without a word.
    Cut,
    /// Nothing is read from it and nothing is sent: for some time, or until the faults are
    /// replaced.
    Silent(Option<Duration>),
}

/// The faults of events, each with the number of events that it is still for.
#[derive(Debug)]
pub(in crate::http) struct EventFaults {
    faults: Vec<(EventFault, AtomicU32)>,
    injected: Arc<Injected>,
}

impl EventFaults {
    /// Makes the faults, which are counted in `injected`.
    pub(in crate::http) fn new(faults: &[EventFault], injected: Arc<Injected>) -> Self {
        let left = |fault: &EventFault| AtomicU32::new(fault.count.unwrap_or(u32::MAX));
        let faults = faults.iter().map(|fault| (fault.clone(), left(fault))).collect();
        Self { faults, injected }
    }

    /// Returns the faults with the numbers of events that they are still for.
    pub(in crate::http) fn with_left(&self) -> Vec<EventFault> {
        let with_left = |(fault, left): &(EventFault, AtomicU32)| EventFault {
            left: fault.count.map(|_| left.load(Ordering::Relaxed)),
            ..fault.clone()
        };
        self.faults.iter().map(with_left).collect()
    }

    /// Returns true if there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.faults.is_empty()
    }

    /// Returns the fault of an event, if it has one, and counts it.
    fn take(&self, hub: &Hub, session: SessionId, event: &Event) -> Option<&EventFault> {
        let mut matching = self.faults.iter().filter(|(fault, _)| {
            fault.event.as_str() == event.name && is_meant(&fault.selector, hub, session, event)
        });
        let (fault, _) = matching.find(|(fault, left)| {
            let less = |left: u32| left.checked_sub(1);
            fault.count.is_none()
                || left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).is_ok()
        })?;
        self.injected.add(match fault.effect {
            EventEffect::Drop => Injection::EventDropped,
            EventEffect::Delay => Injection::EventDelayed,
            EventEffect::Duplicate => Injection::EventDuplicated,
        });
        Some(fault)
    }
}

/// Returns true if a selector is for an event of a session.
fn is_meant(selector: &Selector, hub: &Hub, session: SessionId, event: &Event) -> bool {
    if selector.is_everybody() {
        return true;
    }
    let user = hub.user_of(session).map_or("", |user| user.as_str());
    let call = selector.call_id.and_then(|_| call_of(event));
    selector.includes(user, call)
}

/// Returns the call that an event names.
fn call_of(event: &Event) -> Option<CallId> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct OfCall {
        call_id: CallId,
    }
    serde_json::from_str(event.data.as_str()).ok().map(|OfCall { call_id }| call_id)
}

/// Returns the sessions of a selector: with a call, those of the devices that are in it.
pub(super) fn sessions(
    hub: &Hub,
    now: callbox_base::clock::Now,
    selector: &Selector,
) -> Vec<SessionId> {
    let call = selector.call_id.map(|id| hub.call(now, id));
    let is_in_call = |session: &callbox_signaling::SessionRecord| match &call {
        None => true,
        Some(call) => call.iter().flat_map(|call| &call.participants).any(|participant| {
            let device = participant.device_id.as_ref();
            participant.user_id == session.user_id
                && device.is_none_or(|device| *device == session.device_id)
        }),
    };
    let is_user = |session: &callbox_signaling::SessionRecord| {
        selector.user_id.as_ref().is_none_or(|user| *user == session.user_id)
    };
    let meant = hub.sessions().filter(|session| is_user(session) && is_in_call(session));
    meant.map(|session| session.session_id).collect()
}

/// The faults that the task injects, and the events that it holds back.
#[derive(Debug)]
pub(super) struct HeldEvents {
    faults: Arc<EventFaults>,
    /// The events, by the time at which they are due and their number.
    held: BTreeMap<(Instant, u64), (SessionId, Event)>,
    next: u64,
}

/// The fate of an event.
#[derive(Debug, PartialEq)]
pub(super) enum EventFate {
    /// It is sent.
    Once(Event),
    /// It is sent twice.
    Twice(Event),
    /// It is not sent.
    Dropped(Event),
    /// It is sent later.
    Held(Event),
}

impl HeldEvents {
    pub(super) fn new(faults: Arc<EventFaults>) -> Self {
        Self { faults, held: BTreeMap::new(), next: 0 }
    }

    /// Decides on an event.
    pub(super) fn judge(
        &mut self,
        hub: &Hub,
        now: Instant,
        session: SessionId,
        event: Event,
    ) -> EventFate {
        let Some(fault) = self.faults.take(hub, session, &event) else {
            return EventFate::Once(event);
        };
        match fault.effect {
            EventEffect::Drop => EventFate::Dropped(event),
            EventEffect::Duplicate => EventFate::Twice(event),
            EventEffect::Delay if self.held.len() >= MAX_DELAYED_EVENTS => EventFate::Once(event),
            EventEffect::Delay => {
                let due = now + Duration::from_millis(fault.delay_ms.unwrap_or_default());
                self.held.insert((due, self.next), (session, event.clone()));
                self.next += 1;
                EventFate::Held(event)
            }
        }
    }

    /// Drops the events of a session that is resumed: it is sent all that it has not acknowledged.
    pub(super) fn forget(&mut self, session: SessionId) {
        self.held.retain(|_, (receiver, _)| *receiver != session);
    }

    /// Takes out the next event that is due at `now`.
    pub(super) fn pop(&mut self, now: Instant) -> Option<(SessionId, Event)> {
        let first = self.held.first_entry()?;
        (first.key().0 <= now).then(|| first.remove())
    }

    /// Takes out every event, in the order in which they are due.
    pub(super) fn into_events(self) -> impl Iterator<Item = (SessionId, Event)> {
        self.held.into_values()
    }

    /// Returns the time at which the next event is due.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.held.first_key_value().map(|((due, _), _)| *due)
    }
}
