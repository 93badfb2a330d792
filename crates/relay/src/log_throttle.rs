//! At most one line a minute about what may happen a million times.

use std::time::{Duration, Instant};

/// How long a line stands for those that would follow.
const PERIOD: Duration = Duration::from_secs(60);

/// Says when a line is due.
#[derive(Debug, Default)]
pub(super) struct LogThrottle {
    last: Option<Instant>,
    since: u64,
}

impl LogThrottle {
    /// `Some` if it is time for a line, with how often it happened since the last one.
    pub fn hit(&mut self, now: Instant) -> Option<u64> {
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
    fn a_minute_of_trouble_is_one_line() {
        let start = Instant::now();
        let mut throttle = LogThrottle::default();
        assert_eq!(throttle.hit(start), Some(1));
        assert_eq!(throttle.hit(start + Duration::from_secs(59)), None);
        assert_eq!(throttle.hit(start + PERIOD), Some(2));
    }
}
