//! A time at which something is due, in step with its timer.

use std::time::Instant;

use callbox_base::clock::TimerQueue;

/// The due time of one timer; unset while nothing is due. `set` and `clear` update the timer queue,
/// too.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Deadline(Option<Instant>);

impl Deadline {
    /// Returns true if something is due.
    pub(crate) fn is_set(self) -> bool {
        self.0.is_some()
    }

    /// Returns the due time, if it is set.
    pub(crate) fn time(self) -> Option<Instant> {
        self.0
    }

    /// Sets the due time and the timer. Those before are cleared.
    pub(crate) fn set<T: Ord + Copy>(&mut self, at: Instant, timers: &mut TimerQueue<T>, timer: T) {
        self.clear(timers, timer);
        self.0 = Some(at);
        timers.set(at, timer);
    }

    /// Clears the due time and the timer. Returns true if they were set.
    pub(crate) fn clear<T: Ord + Copy>(&mut self, timers: &mut TimerQueue<T>, timer: T) -> bool {
        let Some(at) = self.0.take() else { return false };
        timers.clear(at, timer);
        true
    }
}
