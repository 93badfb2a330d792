//! How fast one session may send.

use std::time::{Duration, Instant};

/// A token bucket, kept as the moment at which it would be full again: one number, and no
/// fractions of tokens to add up.
#[derive(Debug)]
pub(super) struct Bucket {
    full_at: Instant,
    refused_in_a_row: u32,
}

/// What became of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Within the limit.
    Pass,
    /// Over the limit.
    Refuse {
        /// When the next event passes.
        retry_after: Duration,
        /// Whether the event before it passed: the sender has not been told yet.
        first: bool,
    },
    /// Over the limit for so long that the sender does not listen.
    Close,
}

/// After how many bursts' worth of refused events in a row the session is closed.
const BURSTS_BEFORE_CLOSE: u32 = 3;

impl Bucket {
    /// A full bucket.
    pub fn new(now: Instant) -> Self {
        Self { full_at: now, refused_in_a_row: 0 }
    }

    /// Takes one event out of the bucket.
    pub fn take(&mut self, now: Instant, per_second: u32, burst: u32) -> Verdict {
        if per_second == 0 {
            return Verdict::Pass;
        }
        let burst = burst.max(1);
        let interval = Duration::from_secs(1) / per_second;
        let full_at = self.full_at.max(now) + interval;
        let retry_after = (full_at - now).saturating_sub(interval * burst);
        if retry_after.is_zero() {
            self.full_at = full_at;
            self.refused_in_a_row = 0;
            return Verdict::Pass;
        }
        self.refused_in_a_row += 1;
        if self.refused_in_a_row > burst.saturating_mul(BURSTS_BEFORE_CLOSE) {
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
        let mut bucket = Bucket::new(start);
        for _ in 0..5 {
            assert_eq!(bucket.take(start, 10, 5), Verdict::Pass);
        }
        let retry_after = Duration::from_millis(100);
        assert_eq!(bucket.take(start, 10, 5), Verdict::Refuse { retry_after, first: true });
        assert_eq!(bucket.take(start, 10, 5), Verdict::Refuse { retry_after, first: false });
        let later = start + retry_after;
        assert_eq!(bucket.take(later, 10, 5), Verdict::Pass);
        for n in 0..15 {
            let first = n == 0;
            assert_eq!(bucket.take(later, 10, 5), Verdict::Refuse { retry_after, first });
        }
        assert_eq!(bucket.take(later, 10, 5), Verdict::Close);
    }

    #[test]
    fn an_idle_bucket_fills_to_one_burst_and_no_more() {
        let start = Instant::now();
        let mut bucket = Bucket::new(start);
        let later = start + Duration::from_secs(3600);
        let passed = (0..100).filter(|_| bucket.take(later, 10, 5) == Verdict::Pass).count();
        assert_eq!(passed, 5);
    }

    #[test]
    fn zero_is_no_limit() {
        let start = Instant::now();
        let mut bucket = Bucket::new(start);
        assert!((0..1000).all(|_| bucket.take(start, 0, 0) == Verdict::Pass));
    }
}
