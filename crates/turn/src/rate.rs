//! A number of units a second, and a token bucket for each direction that keeps to it.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use callbox_base::token_bucket;

/// The time whose share of the rate may pass at once after a silence. A packet larger than that
/// passes when the bucket is full, and what it takes beyond is owed.
const BURST: Duration = Duration::from_secs(1);

const BURST_NANOS: u64 = BURST.as_nanos() as u64;

/// The number of bits after the point of a unit's time: at gigabytes a second a byte's is no whole
/// number of nanoseconds.
const FRACTION: u32 = 16;

/// The direction of something that is relayed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Direction {
    /// From the client to a peer.
    Up,
    /// From a peer to the client.
    Down,
}

/// A number of units a second, bytes or packets, as the time that one takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rate {
    /// In nanoseconds, with [`FRACTION`] bits after the point, rounded up: never more passes than
    /// was set.
    per_unit: u64,
}

impl Rate {
    /// Makes a rate; `None` for 0, which is no limit.
    pub(crate) fn new(units_per_second: u64) -> Option<Self> {
        let second = 1_000_000_000 << FRACTION;
        (units_per_second > 0).then(|| Self { per_unit: u64::div_ceil(second, units_per_second) })
    }

    /// Returns the time that so many units take, in nanoseconds. A datagram's length times the
    /// longest time of a byte, a second, has 62 bits.
    #[inline]
    fn cost(self, units: usize) -> u64 {
        (units as u64 * self.per_unit + ((1 << FRACTION) - 1)) >> FRACTION
    }

    /// Returns the time up to which the rate is used up once a packet has passed; `None` if it may
    /// not.
    #[inline]
    fn after(self, used: u64, now: u64, units: usize) -> Option<u64> {
        token_bucket::take(used, now, self.cost(units), BURST_NANOS).ok()
    }
}

/// A bucket for each direction. They are empty at first and fill as time goes by: whoever closes
/// and opens again gains nothing. Times are in nanoseconds since they were made.
#[derive(Debug)]
pub(super) struct Buckets {
    rate: Rate,
    /// By direction, the time up to which the rate is used up.
    used: [AtomicU64; 2],
}

impl Buckets {
    pub(crate) fn new(rate: Rate) -> Self {
        Self { rate, used: [(); 2].map(|()| AtomicU64::new(BURST_NANOS)) }
    }

    /// Lets a packet pass, and counts it, if there is room. For several threads at once: whoever
    /// tries again here does so since another one's packet has passed.
    #[inline]
    pub(crate) fn take(&self, direction: Direction, now: u64, units: usize) -> bool {
        let after = |used| self.rate.after(used, now, units);
        self.used[direction as usize].fetch_update(Relaxed, Relaxed, after).is_ok()
    }

    /// Returns the time up to which the rate is used up once a packet has passed; `None` if it may
    /// not.
    #[inline]
    pub(crate) fn after(&self, direction: Direction, now: u64, units: usize) -> Option<u64> {
        self.rate.after(self.used[direction as usize].load(Relaxed), now, units)
    }

    /// Returns the time from which on so many units may pass.
    pub(crate) fn free_at(&self, direction: Direction, units: usize) -> u64 {
        let used = self.used[direction as usize].load(Relaxed);
        (used + self.rate.cost(units).min(BURST_NANOS)).saturating_sub(BURST_NANOS)
    }

    /// Counts what has passed, whether there was room or not.
    pub(crate) fn charge(&self, direction: Direction, now: u64, units: usize) {
        let after = |used: u64| Some(used.max(now).saturating_add(self.rate.cost(units)));
        // It is never refused.
        let _ = self.used[direction as usize].fetch_update(Relaxed, Relaxed, after);
    }

    /// Counts a packet by what [`Buckets::after`] gave, where nobody else counts.
    #[inline]
    pub(crate) fn set(&self, direction: Direction, after: u64) {
        self.used[direction as usize].store(after, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Direction::*, *};

    fn buckets(units_per_second: u64) -> Buckets {
        Buckets::new(Rate::new(units_per_second).unwrap())
    }

    impl Buckets {
        /// Upwards, so long after the start.
        fn admit(&self, now: Duration, units: usize) -> bool {
            let now = now.as_nanos() as u64;
            let after = self.after(Up, now, units);
            assert_eq!(self.take(Up, now, units), after.is_some());
            assert!(after.is_none_or(|after| self.used[Up as usize].load(Relaxed) == after));
            after.is_some()
        }

        /// Returns the number of packets in a row that pass.
        fn burst(&self, now: Duration, units: usize) -> usize {
            (0..100_000).take_while(|_| self.admit(now, units)).count()
        }
    }

    #[test]
    fn a_bucket_starts_empty_and_holds_a_second() {
        let buckets = buckets(10_000);
        assert_eq!(buckets.burst(Duration::ZERO, 100), 0);
        assert_eq!(buckets.burst(Duration::from_millis(500), 100), 50);
        for later in [2, 3, 3600] {
            assert_eq!(buckets.burst(Duration::from_secs(later), 100), 100, "after {later} s");
        }
    }

    #[test]
    fn zero_is_no_limit() {
        assert_eq!(Rate::new(0), None);
    }

    #[test]
    fn a_datagram_larger_than_the_rate_passes_now_and_then() {
        let buckets = buckets(1);
        assert!(!buckets.admit(Duration::from_millis(999), 65_507));
        assert!(buckets.admit(Duration::from_secs(1), 65_507));
        assert!(!buckets.admit(Duration::from_secs(65_507), 65_507));
        assert!(buckets.admit(Duration::from_secs(65_508), 65_507));
    }

    proptest! {
        /// In any interval, no more passes than the rate allows for it, plus that of one second; a
        /// sender that always has something to send gets no less than the rate.
        #[test]
        fn the_rate_holds(
            rate in prop_oneof![1u64..100, 1_000u64..10_000_000, 1u64 << 30..1 << 40],
            arrivals in prop::collection::vec((0u64..2_000_000_000, 0usize..65_508), 1..60),
        ) {
            let buckets = buckets(rate);
            let mut now = Duration::ZERO;
            let mut passed = Vec::new();
            for (wait, bytes) in arrivals {
                now += Duration::from_nanos(wait);
                if buckets.admit(now, bytes) {
                    passed.push((now, bytes as f64));
                }
            }
            for (at, (from, _)) in passed.iter().enumerate() {
                let mut total = 0.0;
                for (to, bytes) in &passed[at..] {
                    let time = (*to - *from + BURST).as_secs_f64();
                    prop_assert!(total <= time * rate as f64 + 1.0, "{total} in {time} s");
                    total += bytes;
                }
            }
        }

        /// A packet and the wait for the next one fit into a bucket together, so that none runs
        /// over: one that holds hardly a packet loses what comes between the packet that does not
        /// pass yet and the next.
        #[test]
        fn a_constant_sender_gets_the_rate(rate in 2_000u64..10_000_000, bytes in 1usize..1500) {
            let buckets = buckets(rate);
            // Three packets come in the time of one.
            let step = bytes as u64 * 1_000_000_000 / rate / 3;
            let at = |n| Duration::from_nanos(n * step);
            let passed = (0..3000).filter(|n| buckets.admit(at(*n), bytes)).count() as f64;
            let expected = (3000 * step * rate) as f64 / bytes as f64 / 1e9;
            // A packet's time is rounded up to a nanosecond.
            prop_assert!(passed > 0.98 * expected - 1.0, "{passed} of {expected}");
            prop_assert!(passed < expected + 2.0, "{passed} of {expected}");
        }
    }
}
