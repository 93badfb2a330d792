//! The queue of events, without I/O and without a clock.
//!
//! Each call has a line of its own, whose first event is being sent or waits for its due time. So a
//! call's events arrive in order whatever fails, and no call waits for another's.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::{Duration, Instant},
};

use bytes::Bytes;
use callbox_base::ids::CallId;
use rand::rngs::StdRng;

use super::{super::Event, backoff::pause};

/// The longest pause that the receiver can ask for.
const MAX_ASKED: Duration = Duration::from_secs(600);

/// The weight of an event besides its body.
const EVENT_WEIGHT: usize = 128;

/// The limits of the queue.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// The number of events that wait.
    pub events: usize,
    /// Their total weight in bytes.
    pub bytes: usize,
    /// The number of events that are sent at the same time.
    pub at_once: usize,
}

/// The outcome of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The receiver has accepted the event.
    Delivered,
    /// The receiver has judged the event and refuses it: it would refuse it later, too.
    Refused,
    /// The delivery has to be tried again.
    Failed,
    /// The delivery has to be tried again, for a reason that affects all events.
    Down,
    /// The delivery has to be tried again, and the receiver asks for a pause.
    Busy(Duration),
}

impl Outcome {
    /// Returns true if the receiver would accept no other event either.
    pub(super) fn is_outage(self) -> bool {
        matches!(self, Self::Down | Self::Busy(_))
    }
}

/// The counters of events.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct WebhookCounts {
    /// The number of events that the receiver has accepted.
    pub delivered: u64,
    /// The number of events that it has refused.
    pub refused: u64,
    /// The number of events that were dropped, since too many waited.
    pub dropped: u64,
    /// The number of deliveries that failed, and are retried.
    pub failures: u64,
    /// The number of events that wait now.
    pub waiting: usize,
    /// Their total weight in bytes.
    pub waiting_bytes: usize,
}

/// The events that wait.
#[derive(Debug)]
pub(super) struct Queue {
    limits: Limits,
    rng: StdRng,
    /// The lines by call; ids sort by the start of the call.
    lines: BTreeMap<CallId, Line>,
    /// The due time of the first event of each line, unless it is being sent.
    due: BTreeSet<(Instant, CallId)>,
    /// The number of events that are being sent.
    sending: usize,
    /// Set while the receiver cannot be reached.
    outage: Option<Outage>,
    /// The time before which nothing is sent, since the receiver asked for a pause.
    not_before: Option<Instant>,
    counts: WebhookCounts,
    /// The numbers of events that need not be stored any more.
    finished: Vec<u64>,
}

/// The events of a call. There is at least one.
#[derive(Debug, Default)]
struct Line {
    events: VecDeque<Event>,
    /// The number of times that the first has failed.
    failures: u32,
    /// Its due time; `None` while it is being sent.
    due: Option<Instant>,
}

/// The state of a receiver that cannot be reached.
#[derive(Debug, Clone, Copy)]
struct Outage {
    failures: u32,
    /// The time when one event is sent as a probe.
    until: Instant,
}

impl Queue {
    /// Creates an empty queue.
    pub(super) fn new(limits: Limits, rng: StdRng) -> Self {
        Self {
            limits,
            rng,
            lines: BTreeMap::new(),
            due: BTreeSet::new(),
            sending: 0,
            outage: None,
            not_before: None,
            counts: WebhookCounts::default(),
            finished: Vec::new(),
        }
    }

    /// Returns the counters.
    pub(super) fn counts(&self) -> WebhookCounts {
        self.counts
    }

    /// Returns true if no event waits and none is being sent.
    pub(super) fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// Appends an event to its call's line. If there is no room, the waiting events of the oldest
    /// calls are dropped.
    pub(super) fn put(&mut self, now: Instant, call: CallId, event: Event) {
        let weight = weight(&event.body);
        while (self.counts.waiting >= self.limits.events
            || self.counts.waiting_bytes + weight > self.limits.bytes)
            && self.drop_oldest()
        {}
        self.counts.waiting += 1;
        self.counts.waiting_bytes += weight;
        let line = self.lines.entry(call).or_default();
        line.events.push_back(event);
        if line.events.len() == 1 {
            line.due = Some(now);
            self.due.insert((now, call));
        }
    }

    /// Drops the waiting events of the oldest call that has some. An event that is being sent stays
    /// in its line, so that no other event of its call overtakes it. Returns true if there was such
    /// a call.
    fn drop_oldest(&mut self) -> bool {
        let waits = |line: &Line| line.events.len() > usize::from(line.due.is_none());
        // All but the few that are being sent fit, so this inspects a few.
        let Some((&call, line)) = self.lines.iter_mut().find(|(_, line)| waits(line)) else {
            return false;
        };
        let keep = usize::from(line.due.is_none());
        for event in line.events.drain(keep..) {
            self.counts.waiting -= 1;
            self.counts.waiting_bytes -= weight(&event.body);
            self.counts.dropped += 1;
            self.finished.extend(event.kept);
        }
        if let Some(due) = line.due {
            self.due.remove(&(due, call));
            self.lines.remove(&call);
        }
        true
    }

    /// Returns the time when [`Queue::next`] must be called again, if nothing else happens.
    pub(super) fn next_due(&self) -> Option<Instant> {
        let at_once = if self.outage.is_some() { 1 } else { self.limits.at_once };
        let (due, _) = self.due.first().filter(|_| self.sending < at_once)?;
        let until = self.outage.map(|outage| outage.until);
        Some(until.max(self.not_before).map_or(*due, |until| until.max(*due)))
    }

    /// Returns an event that is to be sent now. [`Queue::done`] must follow.
    pub(super) fn next(&mut self, now: Instant) -> Option<(CallId, Bytes)> {
        if self.next_due()? > now {
            return None;
        }
        let (_, call) = self.due.pop_first()?;
        let line = self.lines.get_mut(&call)?;
        line.due = None;
        self.sending += 1;
        Some((call, line.events.front()?.body.clone()))
    }

    /// Records the outcome of the delivery of a call's event.
    pub(super) fn done(&mut self, now: Instant, call: CallId, outcome: Outcome) {
        self.sending -= 1;
        self.note_outage(now, outcome);
        if let Outcome::Busy(retry_after) = outcome {
            self.not_before = self.not_before.max(Some(now + retry_after.min(MAX_ASKED)));
        }
        let Some(line) = self.lines.get_mut(&call) else { return };
        let due = match outcome {
            Outcome::Delivered | Outcome::Refused => {
                line.failures = 0;
                if let Some(event) = line.events.pop_front() {
                    self.counts.waiting -= 1;
                    self.counts.waiting_bytes -= weight(&event.body);
                    self.finished.extend(event.kept);
                }
                match outcome {
                    Outcome::Refused => self.counts.refused += 1,
                    _ => self.counts.delivered += 1,
                }
                now
            }
            Outcome::Failed | Outcome::Down | Outcome::Busy(_) => {
                line.failures = line.failures.saturating_add(1);
                self.counts.failures += 1;
                now + pause(line.failures, &mut self.rng)
            }
        };
        if line.events.is_empty() {
            self.lines.remove(&call);
        } else {
            line.due = Some(due);
            self.due.insert((due, call));
        }
    }

    /// While the receiver cannot be reached, one event at a time is sent to it, and all others wait
    /// for that: the number of attempts does not grow with the number of calls.
    fn note_outage(&mut self, now: Instant, outcome: Outcome) {
        match self.outage {
            _ if !outcome.is_outage() => self.outage = None,
            // It was being sent when the outage began.
            Some(outage) if now < outage.until => {}
            outage => {
                let failures = outage.map_or(0, |outage| outage.failures).saturating_add(1);
                let until = now + pause(failures, &mut self.rng);
                self.outage = Some(Outage { failures, until });
            }
        }
    }

    /// Returns the numbers of events that were delivered, refused or dropped since the last call.
    pub(super) fn take_finished(&mut self) -> Vec<u64> {
        std::mem::take(&mut self.finished)
    }

    /// Makes every event due now: the server stops, and there is no time to wait.
    pub(super) fn hurry(&mut self, now: Instant) {
        (self.outage, self.not_before) = (None, None);
        self.due = self.due.iter().map(|(_, call)| (now, *call)).collect();
        for line in self.lines.values_mut() {
            line.due = line.due.map(|_| now);
        }
    }
}

fn weight(body: &Bytes) -> usize {
    EVENT_WEIGHT + body.len()
}
