//! Which event is sent next: with no I/O and no clock in it.
//!
//! Each call has a line of its own, of which the first event is under way or waits for its time. So a
//! call's events come in order whatever fails, and no call waits for another's.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::{Duration, Instant},
};

use bytes::Bytes;
use callbox_base::ids::CallId;
use rand::rngs::StdRng;

use super::{super::Event, backoff::pause};

/// The longest that the receiver can ask to be left alone for.
const MAX_ASKED: Duration = Duration::from_secs(600);

/// What an event weighs besides its body.
const EVENT_WEIGHT: usize = 128;

/// How much there may be.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Events that wait.
    pub events: usize,
    /// Bytes that they weigh together.
    pub bytes: usize,
    /// Events under way at once.
    pub at_once: usize,
}

/// How a delivery ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The receiver has it.
    Delivered,
    /// The receiver has judged it and does not want it: it would not want it later either.
    Refused,
    /// It has to be tried again.
    Failed,
    /// The same, for a reason that concerns whatever is sent to the receiver.
    Down,
    /// The same, and the receiver wants to be left alone for so long.
    Busy(Duration),
}

impl Outcome {
    /// Whether the receiver would take nothing else either.
    pub fn is_outage(self) -> bool {
        matches!(self, Self::Down | Self::Busy(_))
    }
}

/// What was counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct WebhookCounts {
    /// Events that the receiver has taken.
    pub delivered: u64,
    /// Events that it has refused.
    pub refused: u64,
    /// Events dropped since too many waited.
    pub dropped: u64,
    /// Deliveries that failed, and are made again.
    pub failures: u64,
    /// Events that wait now.
    pub waiting: usize,
    /// What they weigh, in bytes.
    pub waiting_bytes: usize,
}

/// The events that wait.
#[derive(Debug)]
pub(super) struct Queue {
    limits: Limits,
    rng: StdRng,
    /// By call; ids sort by when a call began.
    lines: BTreeMap<CallId, Line>,
    /// When the first event of each line is due, unless it is under way.
    due: BTreeSet<(Instant, CallId)>,
    /// How many are under way.
    sending: usize,
    /// Set while the receiver cannot be reached.
    outage: Option<Outage>,
    /// Nothing is sent earlier: the receiver has said so.
    not_before: Option<Instant>,
    counts: WebhookCounts,
    /// The numbers of events that need not be kept any more.
    finished: Vec<u64>,
}

/// The events of a call. There is at least one.
#[derive(Debug, Default)]
struct Line {
    events: VecDeque<Event>,
    /// How often the first has failed.
    failures: u32,
    /// When it is due; `None` while it is under way.
    due: Option<Instant>,
}

/// The receiver cannot be reached.
#[derive(Debug, Clone, Copy)]
struct Outage {
    failures: u32,
    /// Then one event is sent, to see.
    until: Instant,
}

impl Queue {
    /// One with nothing in it.
    pub fn new(limits: Limits, rng: StdRng) -> Self {
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

    /// What was counted so far.
    pub fn counts(&self) -> WebhookCounts {
        self.counts
    }

    /// Whether nothing waits and nothing is under way.
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// Puts an event at the end of its call's line. Where there is no room, the oldest calls lose what
    /// waits of them.
    pub fn put(&mut self, now: Instant, call: CallId, event: Event) {
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

    /// Drops what waits of the oldest call of which something does. What is under way stays in its
    /// line, so that no other event of its call overtakes it. Says whether there was such a call.
    fn drop_oldest(&mut self) -> bool {
        let waits = |line: &Line| line.events.len() > usize::from(line.due.is_none());
        // All but the few that are under way fit, so this looks at a few.
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

    /// When [`Queue::next`] is to be asked again, if nothing else happens.
    pub fn next_due(&self) -> Option<Instant> {
        let at_once = if self.outage.is_some() { 1 } else { self.limits.at_once };
        let (due, _) = self.due.first().filter(|_| self.sending < at_once)?;
        let until = self.outage.map(|outage| outage.until);
        Some(until.max(self.not_before).map_or(*due, |until| until.max(*due)))
    }

    /// Takes an event that is to be sent now. [`Queue::done`] is owed.
    pub fn next(&mut self, now: Instant) -> Option<(CallId, Bytes)> {
        if self.next_due()? > now {
            return None;
        }
        let (_, call) = self.due.pop_first()?;
        let line = self.lines.get_mut(&call)?;
        line.due = None;
        self.sending += 1;
        Some((call, line.events.front()?.body.clone()))
    }

    /// The delivery of a call's event has ended.
    pub fn done(&mut self, now: Instant, call: CallId, outcome: Outcome) {
        self.sending -= 1;
        self.note_outage(now, outcome);
        if let Outcome::Busy(asked) = outcome {
            self.not_before = self.not_before.max(Some(now + asked.min(MAX_ASKED)));
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

    /// While the receiver cannot be reached, one event at a time goes to it, and all others wait for
    /// that: it is not asked more often the more calls there are.
    fn note_outage(&mut self, now: Instant, outcome: Outcome) {
        match self.outage {
            _ if !outcome.is_outage() => self.outage = None,
            // It was under way when the outage began.
            Some(outage) if now < outage.until => {}
            outage => {
                let failures = outage.map_or(0, |outage| outage.failures).saturating_add(1);
                let until = now + pause(failures, &mut self.rng);
                self.outage = Some(Outage { failures, until });
            }
        }
    }

    /// Takes out the numbers of events that were delivered, refused or dropped since.
    pub fn take_finished(&mut self) -> Vec<u64> {
        std::mem::take(&mut self.finished)
    }

    /// Makes everything due now: the server stops, and there is no time to wait.
    pub fn hurry(&mut self, now: Instant) {
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
