//! Time, as the protocol cores see it: the shell passes both clocks in, so that a test can set
//! them.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

/// The present moment on both clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// The monotonic clock: every timer runs on this one.
    pub instant: Instant,
    /// The time since 1970-01-01 UTC, which dates credentials and tokens.
    pub unix: Duration,
}

impl Now {
    /// Reads both clocks of the machine. Only shells call this; the cores are given a `Now`.
    pub fn read() -> Self {
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { instant: Instant::now(), unix }
    }

    /// Returns the whole seconds since 1970.
    pub fn unix_secs(&self) -> u64 {
        self.unix.as_secs()
    }

    /// Returns the milliseconds since 1970.
    pub fn unix_ms(&self) -> u64 {
        self.unix.as_secs() * 1000 + u64::from(self.unix.subsec_millis())
    }
}

/// The moment `by` later, on both clocks.
impl std::ops::Add<Duration> for Now {
    type Output = Self;
    fn add(self, by: Duration) -> Self {
        Self { instant: self.instant + by, unix: self.unix + by }
    }
}

/// The timers of one core, ordered by their due times. Setting and clearing cost O(log n), and
/// nothing is left behind: a queue is as long as there are timers running.
///
/// The owner of a timer keeps its due time, which is half of the key to clear it by.
#[derive(Debug)]
pub struct TimerQueue<K> {
    due: BTreeSet<(Instant, K)>,
}

impl<K: Ord + Copy> Default for TimerQueue<K> {
    fn default() -> Self {
        Self { due: BTreeSet::new() }
    }
}

impl<K: Ord + Copy> TimerQueue<K> {
    /// Starts the timer `key`, due at `at`.
    pub fn set(&mut self, at: Instant, key: K) {
        self.due.insert((at, key));
    }

    /// Stops the timer `key` that was due at `at`. Returns true if it was running.
    pub fn clear(&mut self, at: Instant, key: K) -> bool {
        self.due.remove(&(at, key))
    }

    /// Moves the timer `key` from `from` to `to`.
    pub fn reset(&mut self, from: Instant, to: Instant, key: K) {
        self.clear(from, key);
        self.set(to, key);
    }

    /// Returns the time at which the next timer is due.
    pub fn next(&self) -> Option<Instant> {
        self.due.first().map(|(at, _)| *at)
    }

    /// Removes one timer that is due at `now`, the earliest first, and returns its key.
    pub fn pop(&mut self, now: Instant) -> Option<K> {
        if self.next()? > now {
            return None;
        }
        self.due.pop_first().map(|(_, key)| key)
    }

    /// Returns the number of running timers.
    pub fn len(&self) -> usize {
        self.due.len()
    }

    /// Returns the keys of the running timers, the earliest first.
    pub fn keys(&self) -> impl Iterator<Item = K> {
        self.due.iter().map(|(_, key)| *key)
    }

    /// Returns true if no timer is running.
    pub fn is_empty(&self) -> bool {
        self.due.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timers_come_out_in_order_and_leave_nothing() {
        let start = Instant::now();
        let second = Duration::from_secs(1);
        let mut timers = TimerQueue::default();
        timers.set(start + 2 * second, 'b');
        timers.set(start + second, 'a');
        timers.set(start + 3 * second, 'c');
        timers.reset(start + 3 * second, start + second, 'c');
        assert!(timers.clear(start + 2 * second, 'b'));
        assert!(!timers.clear(start + 2 * second, 'b'));
        assert_eq!(timers.pop(start), None);
        assert_eq!(timers.next(), Some(start + second));
        assert_eq!(timers.pop(start + second), Some('a'));
        assert_eq!(timers.pop(start + second), Some('c'));
        assert!(timers.is_empty());
    }
}
