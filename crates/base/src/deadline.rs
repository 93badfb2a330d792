//! A time at which something is due, in step with its timer.

use std::time::Instant;

use crate::clock::TimerQueue;

/// The due time of one timer; unset while nothing is due. Its owner sets and clears both at once
/// by handing in the queue, always with the same key.
#[derive(Debug, Clone, Copy, Default)]
pub struct Deadline(Option<Instant>);

impl Deadline {
    /// Returns true if something is due.
    pub fn is_set(self) -> bool {
        self.0.is_some()
    }

    /// Returns the due time, if it is set. It stays set once its timer has been taken out.
    pub fn time(self) -> Option<Instant> {
        self.0
    }

    /// Sets the due time and the timer. Those before are cleared.
    pub fn set<K: Ord + Copy>(&mut self, at: Instant, timers: &mut TimerQueue<K>, key: K) {
        self.clear(timers, key);
        self.0 = Some(at);
        timers.set(at, key);
    }

    /// Sets the due time and the timer, unless they are set to a later time.
    pub fn extend<K: Ord + Copy>(&mut self, at: Instant, timers: &mut TimerQueue<K>, key: K) {
        if self.0.is_none_or(|before| before < at) {
            self.set(at, timers, key);
        }
    }

    /// Clears the due time and the timer. Returns true if they were set.
    pub fn clear<K: Ord + Copy>(&mut self, timers: &mut TimerQueue<K>, key: K) -> bool {
        let Some(at) = self.0.take() else { return false };
        timers.clear(at, key);
        true
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn there_is_one_timer_or_none() {
        let (start, second) = (Instant::now(), Duration::from_secs(1));
        let (mut deadline, mut timers) = (Deadline::default(), TimerQueue::default());
        deadline.set(start + 3 * second, &mut timers, 'a');
        deadline.set(start + second, &mut timers, 'a');
        assert_eq!((timers.next(), timers.len()), (deadline.time(), 1));
        for (at, is) in [(2, 2), (1, 2)] {
            deadline.extend(start + at * second, &mut timers, 'a');
            assert_eq!((timers.next(), timers.len()), (Some(start + is * second), 1));
        }
        assert!(deadline.is_set() && deadline.clear(&mut timers, 'a'));
        assert_eq!((deadline.time(), timers.is_empty()), (None, true));
        assert!(!deadline.is_set() && !deadline.clear(&mut timers, 'a'));
    }
}
