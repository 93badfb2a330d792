//! The replay of missed events: those that a session has not acknowledged are kept until it is
//! resumed.

use std::collections::VecDeque;

use super::Event;

/// The largest number of events that are kept for a session until it acknowledges them.
pub const MAX_REPLAY: usize = 256;

/// The largest weight of these events together, in bytes of their payloads: a few calls' worth of
/// descriptions and candidates.
pub const MAX_REPLAY_WEIGHT: usize = 256 << 10;

/// The events of one session, numbered from 1. Past the limits the oldest ones are forgotten: a
/// session that has not seen those cannot be resumed.
#[derive(Debug, Default)]
pub(super) struct Replay {
    /// The number of the last event.
    last: u64,
    kept: VecDeque<Event>,
    weight: usize,
}

impl Replay {
    /// Keeps an event that is sent, and returns its number.
    pub(crate) fn push(&mut self, event: Event) -> u64 {
        self.last += 1;
        self.weight += event.data.weight();
        self.kept.push_back(event);
        while self.kept.len() > MAX_REPLAY || self.weight > MAX_REPLAY_WEIGHT {
            self.forget_first();
        }
        self.last
    }

    /// Forgets the events up to this number, which the session has.
    pub(crate) fn acknowledge(&mut self, number: u64) {
        while self.first() <= number.min(self.last) {
            self.forget_first();
        }
        if self.kept.is_empty() {
            self.kept.shrink_to_fit();
        }
    }

    /// Returns the events after this number, each with its own; `None` if some of them are
    /// forgotten, or no event had this number.
    pub(crate) fn after(&self, number: u64) -> Option<impl Iterator<Item = (u64, &Event)>> {
        let first = self.first();
        let fits = (first - 1..=self.last).contains(&number);
        let seen = number.saturating_sub(first - 1) as usize;
        fits.then(|| (number + 1..).zip(self.kept.iter().skip(seen)))
    }

    /// Returns the number of the oldest event that is kept.
    fn first(&self) -> u64 {
        self.last + 1 - self.kept.len() as u64
    }

    fn forget_first(&mut self) {
        if let Some(event) = self.kept.pop_front() {
            self.weight -= event.data.weight();
        }
    }

    /// Returns the number of the last event that was sent.
    #[cfg(test)]
    pub(crate) fn last(&self) -> u64 {
        self.last
    }

    /// Returns the number of bytes that are kept.
    pub(crate) fn weight(&self) -> usize {
        self.weight
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::JsonText;

    fn event(n: u64, bytes: usize) -> Event {
        let text = format!(r#"{{"n":{n},"x":"{}"}}"#, "y".repeat(bytes));
        Event::new("ice:candidate", JsonText::written(text))
    }

    fn numbers(replay: &Replay, after: u64) -> Option<Vec<u64>> {
        // Without a look at the rest, which is long.
        let number = |event: &Event| -> u64 {
            let text = event.data.as_str().strip_prefix(r#"{"n":"#).unwrap();
            text.split(',').next().unwrap().parse().unwrap()
        };
        Some(replay.after(after)?.map(|(seq, event)| seq * 1000 + number(event)).collect())
    }

    #[test]
    fn unacknowledged_events_are_replayed_in_order() {
        let mut replay = Replay::default();
        assert_eq!(numbers(&replay, 0), Some(vec![]));
        assert_eq!(numbers(&replay, 1), None, "it was never sent");
        for n in 1..=4 {
            assert_eq!(replay.push(event(n, 0)), n);
        }
        assert_eq!(numbers(&replay, 0), Some(vec![1001, 2002, 3003, 4004]));
        replay.acknowledge(2);
        assert_eq!(numbers(&replay, 1), None, "it said that it has that");
        assert_eq!(numbers(&replay, 2), Some(vec![3003, 4004]));
        assert_eq!(numbers(&replay, 3), Some(vec![4004]));
        replay.acknowledge(1);
        replay.acknowledge(u64::MAX);
        assert_eq!(numbers(&replay, 4), Some(vec![]));
        assert_eq!((numbers(&replay, 5), replay.weight()), (None, 0));
    }

    proptest! {
        /// The end of what was sent is kept, whatever is sent and acknowledged, within
        /// bounds.
        #[test]
        fn the_latest_events_are_kept_within_bounds(
            steps in prop::collection::vec((0usize..40_000, prop::option::of(0u64..700)), 0..600),
        ) {
            let mut replay = Replay::default();
            let mut sent = 0;
            for (bytes, acknowledged) in steps {
                sent += 1;
                prop_assert_eq!(replay.push(event(sent, bytes)), sent);
                if let Some(number) = acknowledged {
                    replay.acknowledge(number);
                }
                prop_assert!(replay.kept.len() <= MAX_REPLAY && replay.weight() <= MAX_REPLAY_WEIGHT);
                for after in (0..=sent).rev().take(5) {
                    if let Some(numbers) = numbers(&replay, after) {
                        let all: Vec<_> = (after + 1..=sent).map(|n| n * 1001).collect();
                        prop_assert_eq!(numbers, all);
                    }
                }
                prop_assert!(replay.after(sent + 1).is_none());
            }
        }
    }
}
