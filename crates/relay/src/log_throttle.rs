//! A limit of one log line a minute for events that may happen a million times.

use std::time::{Duration, Instant};

/// The time after a line in which no other is due.
const PERIOD: Duration = Duration::from_secs(60);

/// Decides when a line is due.
#[derive(Debug, Default)]
pub(super) struct LogThrottle {
    last: Option<Instant>,
    since: u64,
}

impl LogThrottle {
    /// Counts an event. Returns `Some` if a line is due, with the number of events since the last
    /// one.
    pub(crate) fn hit(&mut self, now: Instant) -> Option<u64> {
        self.since += 1;
        if self.last.is_some_and(|last| now.saturating_duration_since(last) < PERIOD) {
            return None;
        }
        self.last = Some(now);
        Some(std::mem::take(&mut self.since))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_is_due_each_minute() {
        let start = Instant::now();
        let mut throttle = LogThrottle::default();
        assert_eq!(throttle.hit(start), Some(1));
        assert_eq!(throttle.hit(start + Duration::from_secs(59)), None);
        assert_eq!(throttle.hit(start + PERIOD), Some(2));
    }
}
