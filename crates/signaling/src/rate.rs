//! Limits on the rates of a session's events and of a user's calls.

use std::time::{Duration, Instant};

use callbox_base::token_bucket;

/// A token bucket, kept as the time at which it is full again. It begins full.
#[derive(Debug, Default)]
pub(super) struct Bucket {
    full_at: Option<Instant>,
}

impl Bucket {
    /// Makes a bucket that is full again at this moment, or full now.
    pub(crate) fn full_again_at(full_at: Option<Instant>) -> Self {
        Self { full_at }
    }

    /// Returns the time at which it is full again, if anything was taken.
    pub(crate) fn full_at(&self) -> Option<Instant> {
        self.full_at
    }

    /// Takes one token. One comes back each `interval` until there are `burst`. Zero for the
    /// interval is no limit.
    ///
    /// # Errors
    /// The time until there is a token.
    pub(crate) fn take(
        &mut self,
        now: Instant,
        interval: Duration,
        burst: u32,
    ) -> Result<(), Duration> {
        let used = self.full_at.map_or(Duration::ZERO, |at| at.saturating_duration_since(now));
        let depth = interval.saturating_mul(burst.max(1));
        let used = token_bucket::take(nanos(used), 0, nanos(interval), nanos(depth))
            .map_err(Duration::from_nanos)?;
        self.full_at = Some(now + Duration::from_nanos(used));
        Ok(())
    }
}

/// Returns a duration in nanoseconds, at most 584 years.
fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// Returns the interval of which `count` fit into `period`; zero, which is no limit, for none.
pub(super) fn interval(period: Duration, count: u32) -> Duration {
    period.checked_div(count).unwrap_or_default()
}

/// The limit on the events of one session, with the number of events that were refused in a row.
#[derive(Debug, Default)]
pub(super) struct EventLimit {
    bucket: Bucket,
    refused_in_a_row: u32,
}

/// The verdict on an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Within the limit.
    Pass,
    /// Over the limit.
    Refuse {
        /// The time until the next event passes.
        retry_after: Duration,
        /// True if the event before it passed: the sender has not been told yet.
        first: bool,
    },
    /// Over the limit for so long that the session is closed.
    Close,
}

/// The number of bursts of refused events in a row past which the session is closed.
const BURSTS_BEFORE_CLOSE: u32 = 3;

impl EventLimit {
    /// Counts one event.
    pub(crate) fn take(&mut self, now: Instant, per_second: u32, burst: u32) -> Verdict {
        let interval = interval(Duration::from_secs(1), per_second);
        let Err(retry_after) = self.bucket.take(now, interval, burst) else {
            self.refused_in_a_row = 0;
            return Verdict::Pass;
        };
        self.refused_in_a_row += 1;
        if self.refused_in_a_row > burst.max(1).saturating_mul(BURSTS_BEFORE_CLOSE) {
            return Verdict::Close;
        }
        Verdict::Refuse { retry_after, first: self.refused_in_a_row == 1 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_then_the_rate_then_it_closes() {
        let start = Instant::now();
        let mut limit = EventLimit::default();
        for _ in 0..5 {
            assert_eq!(limit.take(start, 10, 5), Verdict::Pass);
        }
        let retry_after = Duration::from_millis(100);
        assert_eq!(limit.take(start, 10, 5), Verdict::Refuse { retry_after, first: true });
        assert_eq!(limit.take(start, 10, 5), Verdict::Refuse { retry_after, first: false });
        let later = start + retry_after;
        assert_eq!(limit.take(later, 10, 5), Verdict::Pass);
        for n in 0..15 {
            let first = n == 0;
            assert_eq!(limit.take(later, 10, 5), Verdict::Refuse { retry_after, first });
        }
        assert_eq!(limit.take(later, 10, 5), Verdict::Close);
    }

    #[test]
    fn an_idle_bucket_fills_to_one_burst_and_no_more() {
        let start = Instant::now();
        let mut limit = EventLimit::default();
        let later = start + Duration::from_secs(3600);
        let passed = (0..100).filter(|_| limit.take(later, 10, 5) == Verdict::Pass).count();
        assert_eq!(passed, 5);
    }

    #[test]
    fn zero_is_no_limit() {
        let start = Instant::now();
        let mut limit = EventLimit::default();
        assert!((0..1000).all(|_| limit.take(start, 0, 0) == Verdict::Pass));
    }
}
